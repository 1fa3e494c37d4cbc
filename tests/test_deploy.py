"""What deploy/ watches is there: each metric of its rules and its dashboard is told by `serve`."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from ruamel.yaml import YAML

from connector.ledger.reports import Reports
from connector.serve.metrics import Metrics
from tests.generated import ROOT

RULES, DASHBOARD = ROOT / "deploy/prometheus-rules.yml", ROOT / "deploy/grafana-dashboard.json"
METRIC = re.compile(r"\bconnector_[a-z_]+\b")


@contextmanager
def nothing_yet() -> Iterator[Reports]:
    yield Reports(None)


@pytest.fixture(scope="module")
def told() -> Mapping[str, set[str]]:
    """The labels of each name that `/metrics` tells, `le` of a histogram apart."""
    metrics = Metrics(lambda: ["visits"], nothing_yet, lambda: {"engage": 5.0})
    found: dict[str, set[str]] = {}
    metrics.runs.labels("visits", "succeeded").inc()
    metrics.run_seconds.labels("visits").observe(1)
    metrics.request_seconds.labels("POST", "201").observe(1)
    metrics.outcomes.labels("visits", "delivered").inc()
    for family in metrics.registry.collect():
        found.setdefault(family.name, set())
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def rules() -> list[dict[str, Any]]:
    (group,) = YAML(typ="safe").load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def expressions() -> list[str]:
    return [rule["expr"] for rule in rules()] + [
        target["expr"] for panel in panels() for target in panel["targets"]
    ]


@pytest.mark.parametrize("expression", expressions())
def test_what_is_watched_is_told_with_these_labels(
    expression: str, told: Mapping[str, set[str]]
) -> None:
    names = METRIC.findall(expression)

    assert names
    for name in names:
        assert name in told
    of_them = set[str]().union(*(told[name] for name in names))
    for labels in re.findall(r"by \(([a-z, ]+)\)", expression):
        without_samples = {"activation"}  # the oldest doubt of a ledger without any
        assert set(labels.split(", ")) <= of_them | without_samples
    for labels in re.findall(r"\{([^}]*)\}", expression):
        assert set(re.findall(r"(\w+)[=!]", labels)) <= of_them | {"activation"}


def test_each_rule_says_what_is_wrong_and_how_urgent_it_is() -> None:
    for rule in rules():
        assert rule["alert"].startswith("Connector")
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("page", "ticket")


def test_the_panels_of_the_dashboard_have_places_of_their_own() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels()]

    assert len({panel["id"] for panel in panels()}) == len(panels())
    assert len(set(places)) == len(places)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_takes_the_rules() -> None:
    subprocess.run(["promtool", "check", "rules", str(RULES)], check=True, capture_output=True)
