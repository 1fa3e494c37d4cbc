"""Warehouses that something else speaks for, each in an environment of its own: a fixture for each.

`make emulators` makes those environments; where one is not there, its tests are skipped.
"""

import json
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.pool import NullPool

from tests.warehouse.kinds.places import BY_NAME, Place

SCRIPTS = Path(__file__).parent.parent / "emulators"
ENVIRONMENTS = Path(__file__).parent.parent.parent.parent / ".venv-emulators"
START = 60
"""Seconds that one may take to start."""


@contextmanager
def serving(name: str, *arguments: str, home: Path) -> Iterator[subprocess.Popen[str]]:
    """The script that speaks for a warehouse, as a process with a home of its own."""
    python = ENVIRONMENTS / name / "bin/python"
    if not python.exists():
        pytest.skip(f"there is no emulator of {name}; `make emulators` installs it")
    command = [str(python), str(SCRIPTS / f"serve_{name}.py"), *arguments]
    with (
        (home / "log").open("w") as log,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()


def _port_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def _free_ports(number: int) -> list[int]:
    doors = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [door.getsockname()[1] for door in doors]
    for door in doors:
        door.close()
    return ports


def _wait_for(port: int, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + START
    while True:
        with socket.socket() as knocking:
            if knocking.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.1)


def _filled(name: str, url: str, before: str | None, arguments: Mapping[str, Any]) -> Place:
    """The reviews, brought in through the back door."""
    place = Place(BY_NAME[name], make_url(url), arguments)
    engine = create_engine(url, poolclass=NullPool, connect_args=dict(arguments))
    with engine.connect() as connection:
        for statement in [*([before] if before else []), *place.kind.rows()]:
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
        connection.commit()
    return place


@pytest.fixture(scope="session")
def clickhouse_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    pytest.importorskip("clickhouse_connect")
    home = tmp_path_factory.mktemp("clickhouse")
    with serving("clickhouse", str(home / "data"), home=home) as process:
        url = f"clickhousedb://default:@127.0.0.1:{_port_of(process)}/default"
        yield _filled("clickhouse", url, None, {})


@pytest.fixture(scope="session")
def snowflake_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    pytest.importorskip("snowflake.sqlalchemy")
    with serving("snowflake", home=tmp_path_factory.mktemp("snowflake")) as process:
        arguments = {"protocol": "http", "host": "127.0.0.1", "port": _port_of(process)}
        url = "snowflake://fake:snow@fakesnow/SHOP/PUBLIC"
        yield _filled("snowflake", url, None, arguments)


@pytest.fixture(scope="session")
def bigquery_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    pytest.importorskip("sqlalchemy_bigquery")
    home = tmp_path_factory.mktemp("bigquery")
    rest, grpc, tokens = _free_ports(3)
    file = _service_account(home / "account.json", tokens)
    with (
        serving("bigquery", str(rest), str(grpc), str(tokens), home=home) as process,
        pytest.MonkeyPatch.context() as environment,
    ):
        _wait_for(rest, process)
        environment.setenv("BIGQUERY_EMULATOR_HOST", f"http://127.0.0.1:{rest}")
        url = f"bigquery://p1/shop?credentials_path={file}"
        yield _filled("bigquery", url, "create schema shop", {})


def _service_account(file: Path, tokens: int) -> Path:
    """The key of an account that the emulator's own server of tokens knows."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    plain = (form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    account = {
        "type": "service_account",
        "project_id": "p1",
        "private_key_id": "1",
        "private_key": key.private_bytes(*plain).decode(),
        "client_email": "reader@p1.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": f"http://127.0.0.1:{tokens}/token",
    }
    file.write_text(json.dumps(account))
    return file
