"""The benches measure what they say: every row is counted, and so is every second."""

import asyncio
import gc
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.measured import WHAT
from benchmarks.peers.body import body_of
from benchmarks.picture import bars
from benchmarks.report import PAGE, spliced
from benchmarks.sink import Arrivals, Connection, busiest_second
from benchmarks.world import add_rows, make_mxo_project, make_project, make_warehouse
from connector.cli.main import run


@pytest.fixture
def arrivals() -> Arrivals:
    return Arrivals(0)


@pytest.fixture
def sink_url(arrivals: Arrivals) -> Iterator[str]:
    """The sink on a thread of this process."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(
        loop.create_server(lambda: Connection(arrivals), "127.0.0.1", 0)
    )
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    server.close()
    loop.run_until_complete(server.wait_closed())
    loop.close()


def test_the_sink_counts_every_row_of_a_sync(
    tmp_path: Path, arrivals: Arrivals, sink_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    warehouse = make_warehouse(tmp_path / "warehouse.duckdb", 50)
    project = make_project(tmp_path, warehouse, sink_url, f"sqlite:///{tmp_path}/ledger.db")

    assert run(["--config", str(project), "sync", "--json"]) == 0
    add_rows(warehouse, 7)
    assert run(["--config", str(project), "sync"]) == 0

    seen = arrivals.figures()
    assert (seen["posts"], seen["rows"], seen["repeated"]) == (57, 57, 0)


def test_the_sink_counts_every_row_of_a_batch(
    tmp_path: Path, arrivals: Arrivals, sink_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    warehouse = make_warehouse(tmp_path / "warehouse.duckdb", 50)
    project = make_mxo_project(tmp_path, warehouse, sink_url, 20)

    assert run(["--config", str(project), "sync", "--wait", "--json"]) == 0

    (synced,) = json.loads(capsys.readouterr().out)["runs"]
    seen = arrivals.figures()
    assert (seen["rows"], seen["repeated"], synced["delivered"]) == (50, 0, 50)
    assert seen["posts"] < 6


@pytest.mark.parametrize("what", WHAT)
def test_what_reads_a_model_reads_every_row_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    make_project(tmp_path, make_warehouse(tmp_path / "warehouse.duckdb", 50), "http://127.0.0.1:9")
    monkeypatch.chdir(tmp_path)

    collects = gc.get_threshold()
    try:
        rows, cpu = WHAT[what]()
    finally:
        gc.set_threshold(*collects)
        gc.unfreeze()

    assert rows == 50
    assert cpu > 0


def test_the_others_send_what_the_connector_sends(
    tmp_path: Path, arrivals: Arrivals, sink_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import duckdb

    warehouse = make_warehouse(tmp_path / "warehouse.duckdb", 3)
    project = make_project(tmp_path, warehouse, sink_url, f"sqlite:///{tmp_path}/ledger.db")
    run(["--config", str(project), "sync"])

    with duckdb.connect(str(warehouse)) as connection:
        cursor = connection.execute("select * from reviews")
        names = [column[0] for column in cursor.description]
        bodies = [body_of(dict(zip(names, row, strict=True))) for row in cursor.fetchall()]

    def key(body: dict[str, dict[str, str]]) -> str:
        return body["payload"]["reviewId"]

    sent = [json.loads(body) for body in arrivals.bodies]
    assert sorted(sent, key=key) == sorted(bodies, key=key)


def test_a_request_in_pieces_is_one_request(arrivals: Arrivals) -> None:
    connection = Connection(arrivals)
    written: list[bytes] = []
    connection._transport = type("Transport", (), {"write": lambda _, data: written.append(data)})()
    request = b'POST /x HTTP/1.1\r\nContent-Length: 17\r\n\r\n{"reviewId":"R1"}'

    for piece in (request[:30], request[30:50], request[50:] + request[:9], request[9:]):
        connection.data_received(piece)

    assert arrivals.figures()["posts"] == len(written) == 2
    assert arrivals.figures()["repeated"] == 1
    assert written[0] != written[1]


def test_the_busiest_second_may_begin_anywhere() -> None:
    assert busiest_second([]) == 0
    assert busiest_second([0.0, 0.5, 1.0, 1.4, 1.9]) == 3
    assert busiest_second([0.0, 1.0, 2.0]) == 1


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    text = "a\n<!-- x -->\nold\n<!-- x ends -->\nb"

    assert spliced(text, "x", "new") == "a\n<!-- x -->\nnew\n<!-- x ends -->\nb"
    with pytest.raises(ValueError, match="no markers"):
        spliced(text, "y", "new")


@pytest.mark.parametrize("name", ["machine", *"abcdefgh"])
def test_the_page_has_a_place_for_every_bench(name: str) -> None:
    assert spliced(PAGE.read_text(), name, "")


def test_the_longest_bar_is_the_largest_value() -> None:
    picture = bars("Speed", [("ours & theirs", 20, True), ("other", 10, False)])

    assert 'class="ours" x="230"' in picture
    assert 'width="460.0"' in picture
    assert 'width="230.0"' in picture
    assert "ours &amp; theirs" in picture
