"""Through a proxy, with certificates of a company: every request arrives once, or is known not to
have been sent."""

import asyncio
import base64
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from connector.destinations.answers import Response
from connector.destinations.bodies import json_body
from connector.destinations.credentials import api_key
from connector.destinations.http import Http
from connector.destinations.pacing import Pacer, Wire
from connector.destinations.routes import route_of
from connector.rules.alerting import Alert
from connector.rules.delivery import NotApplied, Unknown
from connector.rules.errors import ConfigurationError
from connector.rules.network import Network
from connector.rules.telling import Letter
from connector.serve.sending import send
from tests.destinations.test_connections import PEM

PASSWORD = "p4ss"


class Destination:
    """An HTTPS server on loopback that counts what arrives, and may ask who it is."""

    def __init__(self, asks: bool = False) -> None:
        self.bodies: list[bytes] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(handler) -> None:  # noqa: N805
                length = int(handler.headers["Content-Length"])
                self.bodies.append(handler.rfile.read(length))
                handler.send_response(201)
                handler.send_header("Content-Length", "2")
                handler.end_headers()
                handler.wfile.write(b"{}")

            def log_message(handler, *_: object) -> None:  # noqa: N805
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(PEM)
        if asks:
            context.load_verify_locations(PEM)
            context.verify_mode = ssl.CERT_REQUIRED
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.url = f"https://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Proxy:
    """A proxy on loopback that makes tunnels for whoever says the password. `status` other than
    200: it makes none; `cuts`: it cuts the tunnel after so many bytes of the client."""

    def __init__(self, status: int = 200, cuts: int | None = None) -> None:
        self.status, self.cuts, self.asked = status, cuts, list[str]()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://shop:{PASSWORD}@{self.address}"

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head = b""
        with client:
            while b"\r\n\r\n" not in head:
                if not (data := client.recv(4096)):
                    return
                head += data
            method, target, _ = head.decode().split(" ", 2)
            self.asked.append(f"{method} {target}")
            known = base64.b64encode(f"shop:{PASSWORD}".encode())
            status = self.status if known in head else 407
            client.sendall(f"HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n".encode())
            if status == 200:
                host, _, port = target.rpartition(":")
                with socket.create_connection((host, int(port))) as server:
                    self._tunnel(client, server)

    def _tunnel(self, client: socket.socket, server: socket.socket) -> None:
        passed = 0
        while True:
            for each in select.select([client, server], [], [])[0]:
                data = each.recv(65536)
                passed += len(data) if each is client else 0
                if not data or (self.cuts is not None and passed > self.cuts):
                    return
                (server if each is client else client).sendall(data)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def destination(monkeypatch: pytest.MonkeyPatch) -> Iterator[Destination]:
    for name in ("NO_PROXY", "no_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    made = Destination()
    yield made
    made.close()


def post(url: str, **keys: Any) -> Response | NotApplied | Unknown:
    async def once() -> Response | NotApplied | Unknown:
        http = Http(url, api_key("apikey", "k"), timedelta(seconds=5), Wire(4, Pacer(1000)))
        http.go_out(Network.model_validate(keys), Path())
        try:
            return await http.once("POST", "/it", json_body(b"{}"))
        finally:
            await http.aclose()

    return asyncio.run(once())


def test_it_goes_through_a_tunnel_and_arrives_once(destination: Destination) -> None:
    proxy = Proxy()

    answer = post(destination.url, proxy=proxy.url, ca_file=str(PEM))

    assert isinstance(answer, Response)
    assert answer.status_code == 201
    assert proxy.asked == [f"CONNECT {destination.url.removeprefix('https://')}"]
    assert len(destination.bodies) == 1
    proxy.close()


@pytest.mark.parametrize("spared", ["127.0.0.1", "example.com, 127.0.0.1", "*"])
def test_no_proxy_names_what_is_reached_without(
    destination: Destination, monkeypatch: pytest.MonkeyPatch, spared: str
) -> None:
    monkeypatch.setenv("NO_PROXY", spared)
    proxy = Proxy()

    post(destination.url, proxy=proxy.url, ca_file=str(PEM))

    assert (proxy.asked, len(destination.bodies)) == ([], 1)
    proxy.close()


@pytest.mark.parametrize("status", [403, 407, 502, 503])
def test_what_a_proxy_refuses_was_certainly_not_sent(destination: Destination, status: int) -> None:
    proxy = Proxy(status)

    answer = post(destination.url, proxy=proxy.url, ca_file=str(PEM))

    assert isinstance(answer, NotApplied)
    assert f"the proxy says HTTP {status}" in answer.reason
    assert PASSWORD not in str(answer)
    assert destination.bodies == []
    proxy.close()


def test_a_proxy_that_is_not_there_was_certainly_not_sent_through(
    destination: Destination,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = f"http://shop:{PASSWORD}@127.0.0.1:{listener.getsockname()[1]}"

    answer = post(destination.url, proxy=nobody, ca_file=str(PEM))

    assert isinstance(answer, NotApplied)
    assert PASSWORD not in str(answer)


def test_a_tunnel_that_is_cut_leaves_a_doubt_or_nothing(destination: Destination) -> None:
    for cuts in (300, 600, 2_000):
        proxy = Proxy(cuts=cuts)
        before = len(destination.bodies)

        answer = post(destination.url, proxy=proxy.url, ca_file=str(PEM))

        if isinstance(answer, NotApplied):
            assert len(destination.bodies) == before
        proxy.close()


def test_a_certificate_of_a_company_is_believed_where_it_is_named(
    destination: Destination,
) -> None:
    unknown = post(destination.url)
    assert isinstance(unknown, NotApplied)
    assert "its certificate is not believed; ca_file names" in unknown.reason
    assert isinstance(post(destination.url, ca_file=str(PEM)), Response)
    assert len(destination.bodies) == 1


def test_a_server_is_shown_our_certificate() -> None:
    asking = Destination(asks=True)

    assert not isinstance(post(asking.url, ca_file=str(PEM)), Response)
    assert asking.bodies == []
    answer = post(asking.url, ca_file=str(PEM), client_certificate=str(PEM))
    assert isinstance(answer, Response)
    assert len(asking.bodies) == 1
    asking.close()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"ca_file": "none.pem"}, "ca_file: there is no none.pem"),
        ({"client_certificate": "none.pem"}, "client_certificate: there is no none.pem"),
        ({"ca_file": __file__}, "cannot be used"),
        ({"client_certificate": {"file": __file__}}, "cannot be used"),
    ],
)
def test_a_file_that_does_not_serve_is_named(keys: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        route_of(Network.model_validate(keys), "https://shop.example", Path())
    assert expected in str(caught.value)


@pytest.mark.parametrize("proxy", ["proxy:3128", "socks5://proxy:1080", "http://", "http://[:1"])
def test_a_proxy_is_a_url_and_is_not_told(proxy: str) -> None:
    with pytest.raises(ValueError, match="expected a proxy such as") as caught:
        Network(proxy=proxy)  # type: ignore[arg-type]
    assert proxy not in str(caught.value).replace("http://proxy.shop.local:3128", "")
    assert PASSWORD not in repr(Network(proxy=f"http://a:{PASSWORD}@proxy"))  # type: ignore[arg-type]


def test_alerts_go_the_same_way(destination: Destination) -> None:
    proxy = Proxy()
    keys = {"webhook": f"{destination.url}/hook", "proxy": proxy.url, "ca_file": str(PEM)}

    assert asyncio.run(send(Alert.model_validate(keys), Letter("", "hello"))) is None

    assert destination.bodies == [b'{"text":"hello"}']
    assert proxy.asked == [f"CONNECT {destination.url.removeprefix('https://')}"]
    with pytest.raises(ValueError, match="apprise goes by HTTPS_PROXY"):
        Alert.model_validate({"apprise": "json://x", "proxy": proxy.url})
    proxy.close()
