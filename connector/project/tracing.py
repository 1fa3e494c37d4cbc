"""OpenTelemetry traces, where the extra is installed and an exporter is set in the environment.

A span a run, and below it one for each request to a destination: methods, statuses and counts, and
nothing about customers. Set OTEL_EXPORTER_OTLP_ENDPOINT (and what else OpenTelemetry reads).
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from connector.basis.log import Log

log = Log(__name__)
ASKED_FOR_BY = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class Tracing:
    """Makes spans with `tracer`; without one it makes none."""

    def __init__(self, tracer: Any = None) -> None:
        self._tracer = tracer

    @classmethod
    def from_environment(cls) -> "Tracing":
        """Traces to where the environment says; none without it, or without the extra."""
        if not any(os.environ.get(name) for name in ASKED_FOR_BY):
            return cls()
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError:
            _say_once_what_is_missing()
            return cls()
        provider = TracerProvider(resource=Resource.create({"service.name": "connector"}))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        return cls(provider.get_tracer("connector"))

    @contextmanager
    def run(self, activation: str) -> Iterator[Any]:
        """A span around a run; `describe` puts on it how that ended."""
        if self._tracer is None:
            yield None
            return
        with self._tracer.start_as_current_span("run") as span:
            span.set_attribute("connector.activation", activation)
            yield span

    def request(self, method: str, answer: str, seconds: float) -> None:
        """A span of a request that has ended; an observer of destinations."""
        if self._tracer is None:
            return
        end = time.time_ns()
        span = self._tracer.start_span(f"{method} destination", start_time=end - int(seconds * 1e9))
        span.set_attribute("http.request.method", method)
        if answer.isdigit():
            span.set_attribute("http.response.status_code", int(answer))
        span.end(end_time=end)


@cache
def _say_once_what_is_missing() -> None:
    log.error("tracing.off", reason='run: pip install "engage-connector[otel]"')


def describe(span: Any, run_id: str | None, status: str) -> None:
    """Put on the span of a run how it ended."""
    if span is not None:
        span.set_attribute("connector.status", status)
        if run_id:
            span.set_attribute("connector.run_id", run_id)
