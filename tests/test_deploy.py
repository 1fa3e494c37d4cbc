"""What deploy/ watches is there: each metric of its rules and its dashboard is told by `serve`."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema_rs
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


# --- the Helm chart -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["kubernetes.yaml", "kubernetes-cronjob.yaml"])
def test_a_cluster_that_is_strict_takes_the_pods(name: str) -> None:
    """What Kubernetes' Pod Security Standard "restricted" asks of a pod."""
    for document in YAML(typ="safe").load_all((ROOT / "deploy" / name).read_text()):
        spec = document["spec"]
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" not in spec:
            continue
        pod = spec["template"]["spec"]
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not container["securityContext"]["allowPrivilegeEscalation"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


CHART = ROOT / "deploy/helm/engage-connector"
HELM = os.environ.get("CONNECTOR_HELM") or shutil.which("helm")
with_helm = pytest.mark.skipif(HELM is None, reason="helm is not installed")
PROJECT = 'version: 1\n# "quoted": ${ENGAGE_URL}\nwarehouse: {url: "duckdb:///w.duckdb"}\n'
EVERYTHING: dict[str, Any] = {
    "project": {"activations": PROJECT, "models": {"reviews.sql": "select 1\n-- {{ x }}\n"}},
    "image": {"repository": "connector", "tag": "1.2", "pullSecrets": ["registry"]},
    "env": [{"name": "A", "value": "1"}],
    "cronJobs": [
        {"name": "hourly", "schedule": "7 * * * *", "select": ["tag:hourly", "a*"], "for": "50m"},
        {"name": "daily", "schedule": "@daily", "timeZone": "Europe/Stockholm"},
    ],
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "networkPolicy": {"enabled": True, "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]},
    "serviceAccount": {"name": "reader"},
    "nodeSelector": {"disk": "fast"},
}


def helm(values: Mapping[str, Any], tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """What helm makes of the chart with these values."""
    file = tmp_path / "values.json"
    file.write_text(json.dumps(values))
    command = [str(HELM), "template", "crm", str(CHART), "-f", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rendered(values: Mapping[str, Any], tmp_path: Path) -> dict[str, list[dict[str, Any]]]:
    """Its documents, by their kind."""
    done = helm(values, tmp_path)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[dict[str, Any]]] = {}
    for document in YAML(typ="safe").load_all(done.stdout):
        if document:
            found.setdefault(document["kind"], []).append(document)
    return found


def test_the_values_of_the_chart_are_what_its_schema_says_and_each_one_is_known() -> None:
    values = YAML(typ="safe").load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    check = jsonschema_rs.validator_for(schema)

    assert check.is_valid(values)
    assert set(values) == set(schema["properties"]) - {"global"}
    assert check.is_valid({**values, **EVERYTHING})
    assert not check.is_valid({"serve": {"replica": 2}})
    used = set[str]()
    for file in (CHART / "templates").iterdir():
        used |= set(re.findall(r"\.Values((?:\.\w+)+)", file.read_text()))
    for path in used:
        place = values
        for name in path.split(".")[1:]:
            assert name in place, path
            place = place[name]


@with_helm
def test_the_chart_is_what_the_other_files_are(tmp_path: Path) -> None:
    found = rendered(EVERYTHING, tmp_path)
    (deployment,) = found["Deployment"]
    hourly, daily = found["CronJob"]
    alone = YAML(typ="safe").load((ROOT / "deploy/kubernetes-cronjob.yaml").read_text())

    policy = alone["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]
    for job in (hourly, daily):
        assert job["spec"]["jobTemplate"]["spec"]["podFailurePolicy"] == policy
        assert job["spec"]["concurrencyPolicy"] == "Forbid"
    of_jobs = [job["spec"]["jobTemplate"]["spec"]["template"]["spec"] for job in (hourly, daily)]
    pods = [deployment["spec"]["template"]["spec"], *of_jobs]
    for pod in pods:
        (container,) = pod["containers"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        assert pod["terminationGracePeriodSeconds"] > 60
        assert pod["securityContext"]["runAsNonRoot"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["envFrom"] == [{"secretRef": {"name": "connector"}}]
        assert pod["serviceAccountName"] == "reader"
    args = [pod["containers"][0]["args"] for pod in pods]
    assert args[0][-3:] == ["serve", "--host", "0.0.0.0"]
    told = ["--log-format", "json", "sync"]
    assert args[1] == [*told, "tag:hourly", "a*", "--fail-on", "new", "--for", "50m"]
    assert args[2] == [*told, "--fail-on", "new"]


@with_helm
def test_what_the_chart_makes_belongs_together(tmp_path: Path) -> None:
    found = rendered(EVERYTHING, tmp_path)
    (deployment,), (service,), (claim,) = (
        found[kind] for kind in ("Deployment", "Service", "PersistentVolumeClaim")
    )
    texts = {each["metadata"]["name"]: each["data"] for each in found["ConfigMap"]}

    assert texts["crm-connector"] == {"activations.yaml": PROJECT}
    assert texts["crm-connector-models"] == EVERYTHING["project"]["models"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    (monitor,), (policy,) = found["ServiceMonitor"], found["NetworkPolicy"]
    watched = monitor["spec"]["selector"]["matchLabels"].items()
    assert watched <= service["metadata"]["labels"].items()
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    volumes = {v["name"]: v for v in deployment["spec"]["template"]["spec"]["volumes"]}
    assert volumes["state"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["image"] == "connector:1.2"


@with_helm
def test_little_is_enough_for_the_chart_and_mistakes_are_told(tmp_path: Path) -> None:
    little = {
        "project": {"existingConfigMap": "mine"},
        "serve": {"enabled": False},
        "persistence": {"enabled": False},
        "secret": {"existing": ""},
        "cronJobs": [{"name": "all", "schedule": "@hourly"}],
    }

    assert set(rendered(little, tmp_path)) == {"CronJob"}
    assert set(rendered({"project": {"inImage": True}}, tmp_path)) == {
        "Deployment",
        "Service",
        "PersistentVolumeClaim",
    }
    for wrong, word in (
        ({}, "project.existingConfigMap"),
        ({"project": {"inImage": True, "existingConfigMap": "x"}}, "one of project.activations"),
        ({**little, "cronJobs": [{"name": "No", "schedule": "x"}]}, "does not match pattern"),
        ({**little, "image": {"tags": "x"}}, "tags"),
    ):
        done = helm(wrong, tmp_path)
        assert done.returncode, wrong
        assert word in done.stderr
