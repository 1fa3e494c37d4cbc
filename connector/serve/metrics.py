"""What Prometheus may ask: what happened in this process, and what stands in the ledger."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from connector.ledger.reports import Reports
from connector.rules.delivery import waiting_for_person
from connector.rules.errors import ConnectorError
from connector.rules.tempo import Tempo
from connector.sync.result import Result

RUN_SECONDS = (0.5, 1, 5, 15, 60, 300, 900, 3600, 14400)
REQUEST_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

OpenReports = Callable[[], AbstractContextManager[Reports]]
Names = Callable[[], Iterable[str]]
Rates = Callable[[], Mapping[str, float]]
OF_MIRRORS = ("removed", "replaced")
"""Interactions that were taken back."""
OUTCOMES = ("delivered", "invalid", "rejected", *OF_MIRRORS)


VERIFIED = {
    "rows": "Rows that were looked at",
    "interactions": "Interactions that the destination showed for them",
    "missing": "Rows whose interaction is not there",
    "twice": "Rows that stand twice",
    "changed": "Rows that are not as they were sent",
    "not_proven": "Rows of which something could not be seen",
}
"""What is told of a verification."""


class Metrics:
    """The metrics of one service."""

    def __init__(self, names: Names, reports: OpenReports, rates: Rates) -> None:
        """`names`: of the activations; `reports`: opens the ledger for reading, at each scrape;
        `rates`: requests a second by destination."""
        self.registry = CollectorRegistry()
        self.runs = Counter(
            "connector_runs", "Runs that ended.", ["activation", "status"], registry=self.registry
        )
        self.run_seconds = Histogram(
            "connector_run_seconds",
            "How long runs took.",
            ["activation"],
            buckets=RUN_SECONDS,
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "connector_request_seconds",
            "How long the destination took to answer; answer is an HTTP status, or none.",
            ["method", "answer"],
            buckets=REQUEST_SECONDS,
            registry=self.registry,
        )
        self.answers = defaultdict[str, Tempo](Tempo)
        """By destination, how it went since this process asks there."""
        self.outcomes = Counter(
            "connector_outcomes",
            "What became of rows in runs that ended.",
            ["activation", "outcome"],
            registry=self.registry,
        )
        self.webhooks = Counter(
            "connector_webhooks",
            "Webhooks: what those said that were believed, ignored and refused ones.",
            ["destination", "outcome"],
            registry=self.registry,
        )
        self.alerts = Counter(
            "connector_alerts",
            "Messages to people, by the place of their channel in alerts, and what became of them.",
            ["channel", "outcome"],
            registry=self.registry,
        )
        self.registry.register(Standing(names, reports, rates))
        self.registry.register(LastVerified(names, reports))

    def run_ended(self, ended: Result, seconds: float) -> None:
        """Count a run."""
        self.runs.labels(ended.activation, ended.status).inc()
        self.run_seconds.labels(ended.activation).observe(seconds)
        if ended.run:
            for outcome in OUTCOMES:
                number = getattr(ended.tally, outcome)
                if outcome in OF_MIRRORS and not number:
                    continue
                self.outcomes.labels(ended.activation, outcome).inc(number)

    def request(self, destination: str, method: str, answer: str, seconds: float) -> None:
        """Count a request to a destination."""
        self.answers[destination].saw(answer, seconds)
        self.request_seconds.labels(method, answer).observe(seconds)

    def webhook(self, destination: str, outcome: str) -> None:
        """Count a webhook."""
        self.webhooks.labels(destination, outcome).inc()

    def alert(self, channel: str, outcome: str) -> None:
        """Count a message to people: `sent` or `lost`."""
        self.alerts.labels(channel, outcome).inc()

    def text(self) -> bytes:
        """Everything, in Prometheus's text format."""
        return generate_latest(self.registry)


class Standing(Collector):
    """What stands in the ledger, and how fast destinations are asked at most, when it is asked."""

    def __init__(self, names: Names, reports: OpenReports, rates: Rates) -> None:
        self._names, self._reports, self._rates = names, reports, rates

    def collect(self) -> Iterator[Metric]:
        """One gauge a question, by activation. Of a ledger that cannot be read, that alone."""
        up = GaugeMetricFamily("connector_ledger_up", "Whether the ledger can be read.")
        rows = _gauge("connector_rows", "Rows by state.", "state")
        doubt = _gauge("connector_in_doubt_age_seconds", "How long the oldest doubt has stood.")
        waits = _gauge("connector_waiting_age_seconds", "How long the longest wait has lasted.")
        waits_for = _gauge(
            "connector_rows_for_a_person",
            "Rows that wait for a person: invalid, rejected, in doubt.",
        )
        held = _gauge("connector_held", "Whether a run is held until a person approves it.")
        lag = _gauge("connector_lag_seconds", "How long ago the model was last read to its end.")
        try:
            with self._reports() as reports:
                now = reports.now() / 1000
                names = list(self._names())
                oldest = reports.oldest(names)
                for name, standing in reports.standings(names).items():
                    counts = standing.counts
                    for state, number in counts.items():
                        rows.add_metric([name, state], number)
                    waits_for.add_metric([name], sum(waiting_for_person(counts).values()))
                    held.add_metric([name], int(standing.is_held))
                    if standing.read_ago is not None:
                        lag.add_metric([name], standing.read_ago / 1000)
                    for gauge, since in zip((doubt, waits), oldest[name], strict=True):
                        if since is not None:
                            gauge.add_metric([name], max(0.0, now - since))
            up.add_metric([], 1)
        except ConnectorError:
            up.add_metric([], 0)
        text = "The rate that is kept to now; lower than configured while the destination is busy."
        pace = GaugeMetricFamily("connector_requests_per_second", text, labels=["destination"])
        for destination, rate in self._rates().items():
            pace.add_metric([destination], rate)
        yield from (up, rows, waits_for, held, doubt, waits, lag, pace)


class LastVerified(Collector):
    """What the newest verification of each activation has found, when it is asked."""

    def __init__(self, names: Names, reports: OpenReports) -> None:
        self._names, self._reports = names, reports

    def collect(self) -> Iterator[Metric]:
        """Nothing of an activation that was never verified."""
        when = _gauge(
            "connector_verification_timestamp_seconds", "When the newest verification began."
        )
        found = {
            figure: _gauge(f"connector_verification_{figure}", f"{text} by the newest one.")
            for figure, text in VERIFIED.items()
        }
        with suppress(ConnectorError), self._reports() as reports:
            for name, receipt in reports.last_receipts(self._names()).items():
                when.add_metric([name], receipt.began_at / 1000)
                content = receipt.signed.content
                for figure, gauge in found.items():
                    gauge.add_metric([name], content[figure])
        yield from (when, *found.values())


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=["activation", *labels])
