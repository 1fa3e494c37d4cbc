"""Traces tell of runs and requests, and nothing about customers."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from connector.project.app import App
from connector.project.run import sync
from connector.project.settings import load
from connector.project.tracing import Tracing
from connector.rules.activation import Activation
from connector.sync.flow import Orders
from connector.sync.progress import Progress
from tests.whole.shop import Shop, contact_id

trace = pytest.importorskip("opentelemetry.sdk.trace", reason="the extra otel is not installed")


async def synced(app: App, activations: list[Activation]) -> None:
    with app.ledger() as ledger:
        await sync(app, ledger, activations, Orders(), Progress())


def test_a_run_is_a_span_with_its_requests_below_it(shop: Shop) -> None:
    import asyncio

    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    spans, provider = InMemorySpanExporter(), trace.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    shop.add({"id": "v1"})
    settings = load(shop.config)
    app = App(settings, tracing=Tracing(provider.get_tracer("test")))

    asyncio.run(synced(app, app.activations([])))

    told: list[Any] = list(spans.get_finished_spans())
    *requests, run = told
    assert run.attributes["connector.status"] == "succeeded"
    assert run.attributes["connector.run_id"]
    assert {r.parent.span_id for r in requests} == {run.context.span_id}
    (post,) = [r for r in requests if r.attributes["http.request.method"] == "POST"]
    assert post.attributes["http.response.status_code"] == 200
    assert contact_id(1) not in json.dumps([json.loads(s.to_json()) for s in (run, *requests)])


def test_spans_go_where_the_environment_says(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="no exporter")
    told: list[str] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            told.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        shop.add({"id": "v1"})
        process = shop.start(
            "sync", OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{server.server_port}"
        )
        process.communicate(timeout=60)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

    assert told
    assert set(told) == {"/v1/traces"}
