"""The configuration file: a closed grammar in which every mistake has its place."""

from datetime import timedelta
from pathlib import Path

import pytest

from connector.errors import ConfigurationError
from connector.settings import Settings, load

GOOD = """\
version: 1
warehouse: {url: "duckdb:///w.duckdb"}
destinations:
  engage: {type: engage, url: "https://acme.voyado.com", api_key: "${KEY}"}
activations:
  reviews:
    model: reviews.sql
    schema_id: review
    row_key: id
    start: all
    contact: {column: email, identifier: email}
    payload: {rating: rating}
"""


def read(folder: Path, text: str, **environment: str) -> Settings:
    file = folder / "activations.yaml"
    file.write_text(text)
    return load(file, {"KEY": "k"} | environment)


def mistakes(folder: Path, text: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read(folder, text, **environment)
    return [problem.message.replace(f"{folder}/", "") for problem in caught.value.problems]


def test_a_good_file_is_read(tmp_path: Path) -> None:
    settings = read(tmp_path, GOOD)

    (activation,) = settings.project.activations.values()
    assert activation.name == "reviews"
    assert settings.project.destination_of(activation) == "engage"
    assert settings.project.destinations["engage"].api_key.get_secret_value() == "k"
    assert settings.project.ledger.lease == timedelta(seconds=30)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("row_key: id", "rowkey: id", 'activations.yaml:9:5: unknown key "rowkey"; did you mean'),
        ("start: all", "start: al", "activations.yaml:10:5: start: expected all, now, or a time"),
        ("start: all", "start: 2026-01-01", "activations.yaml:10:5: start: a time without a zone"),
        ("    start: all\n", "", 'activations.yaml:6:3: the key "start" is missing'),
        ("identifier: email", "identifier: mail", "identifier: expected 'contactId', 'email'"),
        ("version: 1", "version: 2", "activations.yaml:1:1: version: expected 1"),
        ("https://acme", "http://acme", "plain http would show the API key"),
        ("https://acme.voyado.com", "acme.voyado.com", "expected a url such as https://"),
        ("start: all", "start: all\n    destination: engag", 'did you mean "engage"?'),
        ("start: all", 'start: all\n    schedule: "61 * * * *"', "schedule:"),
        ("start: all", "start: all\n    schedule: {every: 3x}", "expected a duration"),
        ("start: all", "start: all\n    start: now", 'the key "start" stands twice'),
        ("start: all", "start: all\n    limits: {rows: few}", "rows: expected a valid integer"),
        ("model: reviews.sql", "model: {sql: a, table: b}", "expected a path, or exactly one of"),
        ("rating: rating}", "rating: {column: r, value: 1}}", "exactly one of column and value"),
        ("  reviews:", '  "a b":', "may hold only letters"),
        ("activations:", "activations: [", "not valid YAML"),
    ],
)
def test_a_mistake_is_told_with_its_place(
    tmp_path: Path, before: str, after: str, expected: str
) -> None:
    assert expected in "\n".join(mistakes(tmp_path, GOOD.replace(before, after, 1)))


def test_several_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = GOOD.replace("version: 1", "versio: 1").replace("row_key", "rowkey")

    found = mistakes(tmp_path, text.replace("KEY", "NOT_SET"))

    places = [int(message.split(":")[1]) for message in found]
    assert places == sorted(places)
    assert len(found) >= 5
    assert any("NOT_SET" in message for message in found)


def test_variables_come_from_the_environment_then_from_dot_env_then_from_the_default(
    tmp_path: Path,
) -> None:
    (tmp_path / ".env").write_text("SCHEMA=from-file\nOTHER=from-file\n")
    text = GOOD.replace("schema_id: review", "schema_id: ${SCHEMA:-default}")

    (by_environment,) = read(tmp_path, text, SCHEMA="from-env").project.activations.values()
    (by_file,) = read(tmp_path, text).project.activations.values()
    (tmp_path / ".env").unlink()
    (by_default,) = read(tmp_path, text).project.activations.values()

    assert by_environment.schema_id == "from-env"
    assert by_file.schema_id == "from-file"
    assert by_default.schema_id == "default"


def test_a_doubled_dollar_sign_is_a_dollar_sign(tmp_path: Path) -> None:
    text = GOOD.replace("schema_id: review", "schema_id: $${SCHEMA}")

    (activation,) = read(tmp_path, text).project.activations.values()

    assert activation.schema_id == "${SCHEMA}"


def test_yaml_is_read_as_its_current_version_says(tmp_path: Path) -> None:
    text = GOOD.replace("{rating: rating}", "{country: {value: no}, at: {value: 12:30}}")

    (activation,) = read(tmp_path, text).project.activations.values()

    assert (activation.payload["country"].value, activation.payload["at"].value) == ("no", "12:30")


@pytest.mark.parametrize("secret", [" s3cret", "s3cret\n", "s3crét", ""])
def test_a_bad_key_is_refused_and_not_shown(tmp_path: Path, secret: str) -> None:
    found = "\n".join(mistakes(tmp_path, GOOD, KEY=secret))

    assert "api_key" in found
    assert not secret.strip() or secret.strip() not in found


def test_no_mistake_shows_the_value_that_was_found(tmp_path: Path) -> None:
    text = GOOD.replace("row_key: id", "row_key: {hunter2: hunter2}").replace(
        'url: "duckdb:///w.duckdb"', "url: [hunter2]"
    )

    found = "\n".join(mistakes(tmp_path, text.replace("start: all", "start: hunter2")))

    assert "hunter2" not in found


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1.2.3", "[::1]"])
def test_plain_http_is_fine_on_this_machine(tmp_path: Path, host: str) -> None:
    assert read(tmp_path, GOOD.replace("https://acme.voyado.com", f"http://{host}:8765"))


@pytest.mark.parametrize("host", ["10.0.0.1", "127.0.0.1.evil.example", "localhost.example"])
def test_plain_http_is_refused_elsewhere(tmp_path: Path, host: str) -> None:
    assert mistakes(tmp_path, GOOD.replace("https://acme.voyado.com", f"http://{host}"))


def test_several_destinations_must_be_chosen_from(tmp_path: Path) -> None:
    two = "  engage: {type: engage, url: https://a.voyado.com, api_key: k}\n"
    text = GOOD.replace("activations:", two.replace("engage:", "other:", 1) + "activations:")

    assert "needs a destination; one of: engage, other" in "\n".join(mistakes(tmp_path, text))
