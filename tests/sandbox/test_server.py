"""Starting and stopping a sandbox."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from connector.rules.errors import ConfigurationError
from connector.sandbox import TYPES
from connector.sandbox.behaviour import ReadFaults
from connector.sandbox.engage.behaviour import Behaviour
from connector.sandbox.engage.running import running
from connector.sandbox.engage.store import Engage
from connector.sandbox.running import serve
from connector.sandbox.start import behaviour_of

COUNT = "/api/v3/contacts/count"


def get(url, path=COUNT, key="sandbox", **options):
    with httpx.Client(verify=False, trust_env=False, timeout=5) as http:
        return http.get(url + path, headers={"apikey": key}, **options)


def has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def test_a_sandbox_answers_from_the_first_line_on_and_not_after_the_last():
    with running() as sandbox:
        assert get(sandbox.url).text == "0"

    with pytest.raises(httpx.ConnectError):
        get(sandbox.url)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"hard_rat": 20}', r'there is no switch "hard_rat"; did you mean "hard_rate"\?$'),
        ('{"faults": {"reset": 1}}', r'there is no switch "faults\.reset"$'),
        ('{"seed": "x"}', r"b\.json: seed: .*integer"),
        ("{hard", r"b\.json: Invalid JSON"),
    ],
)
def test_a_behaviour_that_is_none_is_told_with_the_switch(tmp_path, text, said):
    (tmp_path / "b.json").write_text(text)

    with pytest.raises(ConfigurationError, match=said):
        behaviour_of(Behaviour, tmp_path / "b.json")


def test_two_sandboxes_know_nothing_of_each_other():
    with running(api_key="one") as one, running(api_key="two") as two:
        one.engage.add_contact({})

        assert get(one.url, key="one").text == "1"
        assert get(two.url, key="two").text == "0"
        assert get(two.url, key="one").status_code == 401


def test_a_sandbox_can_come_back_with_what_it_knew():
    engage = Engage()
    with running(engage=engage) as first:
        engage.add_contact({})
    port = int(first.url.rpartition(":")[2])

    with running(engage=engage, port=port) as second:
        assert second.url == first.url
        assert get(second.url).text == "1"


def test_a_sandbox_starts_with_the_behaviour_given():
    with running(Behaviour(bad_key_status=403)) as sandbox:
        assert get(sandbox.url, key="wrong").status_code == 403


def test_a_sandbox_stops_at_once_though_requests_hang():
    behaviour = Behaviour(lookup_faults=ReadFaults(hang=1), answer_delay=60)
    with ThreadPoolExecutor() as pool:
        with running(behaviour) as sandbox:
            hanging = pool.submit(get, sandbox.url, "/api/v3/contacts/id?email=a@example.com")
            slow = pool.submit(get, sandbox.url, COUNT)
            deadline = time.monotonic() + 5
            while sandbox.requests.count() < 2:
                assert time.monotonic() < deadline
                time.sleep(0.001)
            begin = time.monotonic()

        assert time.monotonic() - begin < 10
        assert isinstance(hanging.exception(), httpx.TransportError)
        assert isinstance(slow.exception(), httpx.TransportError)


def test_nothing_is_left_running():
    before = set(threading.enumerate())

    with running() as sandbox:
        get(sandbox.url)

    assert set(threading.enumerate()) == before


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_loopback_hosts_are_served(host):
    if host == "::1" and not has_ipv6():
        pytest.skip("this machine has no IPv6")

    with running(host=host) as sandbox:
        assert get(sandbox.url).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com", ""])
def test_other_hosts_are_refused(host):
    with pytest.raises(ValueError, match="loopback only"), running(host=host):
        pass
    with pytest.raises(ValueError, match="loopback only"):
        serve(running(host=host), lambda _: None)


def test_a_port_in_use_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        with pytest.raises(OSError), running(port=port):
            pass


def test_a_sandbox_that_cannot_start_says_why(monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no event loop today")

    monkeypatch.setattr("connector.sandbox.server.Config", broken)

    with pytest.raises(RuntimeError, match="no event loop today"), running():
        pass


def test_many_requests_at_once_are_answered_and_counted(api, engage):
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: api.send().status_code, range(200)))

    assert statuses == [200] * 200
    assert len(engage.interactions()) == 200
    assert api.sandbox.requests.posts == 200
    assert len({each.id for each in engage.interactions()}) == 200


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_serve_ends_well_on_a_signal(stop):
    ready = []

    def on_ready(sandbox):
        ready.append(get(sandbox.url).status_code)
        os.kill(os.getpid(), stop)

    former = signal.getsignal(stop)
    serve(running(), on_ready)

    assert ready == [200]
    assert signal.getsignal(stop) is former


@pytest.mark.parametrize("type_", TYPES)
def test_the_command_tells_of_it_and_serves_until_it_is_stopped(type_, tmp_path):
    behaviour = tmp_path / "behaviour.json"
    behaviour.write_text('{"seed": 7}')
    command = [sys.executable, "-m", "connector", "sandbox", "--type", type_, "--port", "0"]
    command += ["--api-key", "a-secret", "--behaviour", str(behaviour)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path, text=True) as process:
        assert process.stdout
        said = process.stdout.readline()
        found = re.search(r"http://[0-9.:]+", said)

        assert found
        assert "a-secret" in said
        url = found[0]
        assert get(url, "/sandbox/behaviour").json()["seed"] == 7
        assert "sandbox</h1>" in get(url, "/").text
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()

    assert process.returncode == 0
    assert (f"type: {type_}" in rest) == (type_ != "engage")


def test_importing_the_package_is_cheap():
    program = (
        "import sys, connector.sandbox; "
        "print([m for m in ('pydantic', 'starlette', 'uvicorn') if m in sys.modules])"
    )

    out = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert out.stdout.strip() == b"[]"


def test_a_hundred_thousand_interactions_are_held_and_paged_quickly(clock):
    engage = Engage(clock=clock)
    engage.add_schema(
        {
            "id": "s",
            "displayName": "S",
            "jsonSchema": {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "type": "object",
                "properties": {"n": {"type": "integer"}},
            },
        }
    )
    contact = engage.add_contact({}).id
    body = b'{"contactId":"%s","schemaId":"s","payload":{"n":1}}' % contact.encode()
    begin = time.process_time()

    for _ in range(100_000):
        engage.receive(body)
    number, page = 0, engage.page(contact, "s")
    while page.continuation:
        number += len(page.items)
        page = engage.page(contact, "s", page.continuation)

    assert number + len(page.items) == 100_000
    assert time.process_time() - begin < 10
