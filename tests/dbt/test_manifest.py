"""Which model of dbt is meant: eight cases, in the manifests of every dbt that is about."""

import json
import time
from pathlib import Path

import orjson
import pytest

from connector.rules.dbt.manifest import Manifest, read_manifest, relation_of, version_text
from connector.rules.errors import ConfigurationError

MANIFESTS = Path(__file__).parent / "manifests"
KINDS = sorted(file.stem for file in MANIFESTS.glob("*.json"))


@pytest.fixture(params=KINDS)
def manifest(request: pytest.FixtureRequest) -> Manifest:
    """One of each version that dbt writes."""
    return read_manifest(MANIFESTS / f"{request.param}.json")


def why_not(manifest: Manifest, name: str) -> str:
    def look() -> None:
        node = manifest.find(name, ("activations", "a", "model"))
        relation_of(node, ("activations", "a", "model"))

    with pytest.raises(ConfigurationError) as caught:
        look()
    assert caught.value.problems[0].path == ("activations", "a", "model")
    return str(caught.value)


def test_there_is_a_manifest_of_each():
    assert KINDS == ["fusion", "v10", "v11", "v12"]


@pytest.mark.parametrize(
    ("name", "relation"),
    [
        ("reviews", '"shop"."prod"."reviews"'),
        ("shop.reviews", '"shop"."prod"."reviews"'),
        ("raw_reviews", '"shop"."prod"."raw_reviews"'),
        ("other.shared", '"shop"."prod"."shared"'),
        ("shop.shared", '"shop"."prod"."shop_shared"'),
        ("visits", '"shop"."prod"."visits_v2"'),
        ("visits.v1", '"shop"."prod"."visits_v1"'),
        ("visits.v2", '"shop"."prod"."visits_v2"'),
        ("shop.visits.v2", '"shop"."prod"."visits_v2"'),
        ("visits.v3", '"shop"."prod"."visits_v3"'),
    ],
)
def test_a_name_a_package_and_a_version_mean_one_relation(manifest, name, relation):
    assert relation_of(manifest.find(name)) == relation


def test_an_ephemeral_model_is_its_compiled_code(manifest):
    node = manifest.find("best")

    assert relation_of(node) is None
    assert "select review_id, rating" in (node.code or "")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("shared", "several models .* packages other, shop; .*: other.shared, shop.shared"),
        ("off", 'the model "shop.off" is disabled in dbt; enable it there'),
        ("shop.off", 'the model "shop.off" is disabled in dbt'),
        ("revews", 'dbt has no model "revews"; did you mean "reviews"'),
        ("shop.revews", 'no model "shop.revews"; did you mean "shop.reviews"'),
        ("visits.v9", r"no version 9 of .*: visits.v1, visits.v2 \(the latest\), visits.v3"),
        ("reviews.v2", 'the dbt model "reviews" has no versions; write reviews'),
        ("clicks", r'"clicks" is a source in dbt, .*table: …}`.*"shop"."raw"."clicks"'),
        ("raw.clicks", '"raw.clicks" is a source in dbt'),
        ("unique_reviews_review_id", 'dbt has no model "unique_reviews_review_id"'),
    ],
)
def test_what_cannot_be_meant_is_told_apart(manifest, name, said):
    with pytest.raises(ConfigurationError, match=said):
        manifest.find(name)
    why_not(manifest, name)


@pytest.mark.parametrize("version", [2, 2.0, "2", "2.0"])
def test_versions_are_compared_as_what_they_mean(version):
    assert version_text(version) == "2"


def a_manifest(tmp_path: Path, **nodes) -> Manifest:
    """`nodes`: by the rest of their id."""
    content = {
        "metadata": {},
        "nodes": {
            f"model.shop.{id.replace('__', '.')}": {"resource_type": "model", **node}
            for id, node in nodes.items()
        },
    }
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps(content))
    return read_manifest(file)


def test_a_version_may_be_a_word(tmp_path):
    manifest = a_manifest(
        tmp_path,
        visits__v1={"name": "visits", "version": "1", "latest_version": 1, "relation_name": "a"},
        visits__vbeta={
            "name": "visits",
            "version": "beta",
            "latest_version": 1,
            "relation_name": "b",
        },
    )

    assert relation_of(manifest.find("visits")) == "a"
    assert relation_of(manifest.find("visits.vbeta")) == "b"


def test_a_latest_version_that_is_away_is_not_guessed(tmp_path):
    manifest = a_manifest(
        tmp_path,
        visits__v1={"name": "visits", "version": 1, "latest_version": 2, "relation_name": "a"},
        visits__v3={"name": "visits", "version": 3, "latest_version": 2, "relation_name": "c"},
    )

    assert "no latest version of" in why_not(manifest, "visits")
    assert "visits.v1, visits.v3" in why_not(manifest, "visits")


def test_without_compiled_code_it_is_said_how_to_get_it(tmp_path):
    manifest = a_manifest(
        tmp_path,
        e={"name": "e", "config": {"materialized": "ephemeral"}, "compiled_code": None},
        r={"name": "r", "relation_name": None},
    )

    assert "no compiled SQL; run `dbt compile`" in why_not(manifest, "e")
    assert 'no relation of "r"; run `dbt build`' in why_not(manifest, "r")


def test_a_manifest_of_long_ago_is_refused_and_one_of_tomorrow_is_read(tmp_path):
    content = json.loads((MANIFESTS / "v12.json").read_text())
    file = tmp_path / "manifest.json"

    def written(version: int) -> None:
        address = f"https://schemas.getdbt.com/dbt/manifest/v{version}.json"
        file.write_text(json.dumps({**content, "metadata": {"dbt_schema_version": address}}))

    written(9)
    with pytest.raises(ConfigurationError, match=r"is a manifest of version 9 .* since 1.6"):
        read_manifest(file)
    written(20)
    assert read_manifest(file).find("reviews").relation == '"shop"."prod"."reviews"'


def test_a_manifest_is_read_again_only_when_it_has_changed(tmp_path):
    first = a_manifest(tmp_path, a={"name": "a", "relation_name": "x"})

    assert read_manifest(first.file) is first
    assert relation_of(a_manifest(tmp_path, b={"name": "b", "relation_name": "yy"}).find("b")) == (
        "yy"
    )


def test_one_of_fifty_megabytes_is_affordable(tmp_path):
    content = json.loads((MANIFESTS / "v12.json").read_text())
    node = content["nodes"]["model.shop.reviews"] | {"raw_code": "select 1 " * 500}
    many = {
        f"model.shop.m{n}": node | {"name": f"m{n}", "relation_name": f"r{n}"} for n in range(8000)
    }
    file = tmp_path / "manifest.json"
    file.write_bytes(orjson.dumps({**content, "nodes": many}))
    assert file.stat().st_size > 45_000_000

    began = time.process_time()
    assert relation_of(read_manifest(file).find("m77")) == "r77"
    assert time.process_time() - began < 5
    began = time.process_time()
    assert relation_of(read_manifest(file).find("m78")) == "r78"
    assert time.process_time() - began < 0.2
