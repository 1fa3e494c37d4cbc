"""What is sent to an API that keeps no schemas: texts, held against a file of the project."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from connector.destinations.shapes import local_shape
from connector.rules.activation import Activation, CreatedDate, Model, PayloadField
from connector.rules.errors import ConfigurationError
from connector.rules.interaction import Interaction, Invalid, differences
from connector.rules.mapping import RowMapper
from connector.rules.schema import InteractionSchema, OpenSchema
from connector.sync.preflight import refuse_misfits
from tests.factories import STOCKHOLM

FILE = {
    "type": "object",
    "properties": {"amount": {"type": "number"}, "day": {"type": "string", "format": "date"}},
    "required": ["amount"],
}


class Survey(Activation):
    """An activation with keys of its own that are sent for each row."""

    created_key = "scheduled_at"
    agent_id: PayloadField | None = None
    scheduled_at: CreatedDate | None = None

    @property
    def happened(self) -> CreatedDate | None:
        return self.scheduled_at

    @property
    def own_parts(self) -> Mapping[str, Any]:
        return {"scheduled_at": self.scheduled_at} if self.scheduled_at else {}

    @property
    def sent(self) -> Mapping[str, PayloadField]:
        own = {"agent_id": self.agent_id} if self.agent_id else {}
        return {**self.payload, **own}

    def too_late(self, created: datetime | None, now: datetime) -> str | None:
        return "too late" if (created or now) < now - timedelta(days=2) else None


def a_survey(**over: Any) -> Survey:
    keys = {
        "model": Model(table="visits"),
        "row_key": "id",
        "start": "all",
        "contact": {"column": "email"},
        "agent_id": {"column": "store"},
        "payload": {"amount": "amount", "day": "day", "channel": {"value": 4}},
    }
    return Survey.model_validate({**keys, **over}).named("visits")


def mapped(survey: Survey, schema: InteractionSchema, *row: object) -> Interaction | Invalid:
    columns = list(dict.fromkeys(survey.columns.values()))
    return RowMapper(survey, schema, columns, STOCKHOLM)(row)


def written(tmp_path: Path, content: Any) -> Path:
    (tmp_path / "x.json").write_bytes(orjson.dumps(content))
    return tmp_path


def test_every_value_becomes_a_text_without_loss_and_constants_too() -> None:
    row = ("r1", "anna@example.com", Decimal("4.10"), date(2026, 11, 1), 17)

    content = mapped(a_survey(), OpenSchema("493", text=True), *row)

    assert isinstance(content, Interaction)
    assert orjson.loads(content.payload) == {
        "amount": "4.10", "day": "2026-11-01", "channel": "4", "agent_id": "17",
    }  # fmt: skip
    shown = orjson.loads(content.payload)
    created = datetime(2026, 11, 1, tzinfo=UTC)
    assert "payload" not in differences(content.digest, created, shown)


def test_values_are_held_against_the_file_and_sent_as_texts(tmp_path: Path) -> None:
    survey = a_survey(payload={"amount": "amount", "day": "day"})
    shape = local_shape(written(tmp_path, FILE), survey, "x.json", own=("agent_id",))
    refuse_misfits(survey, shape)

    good = mapped(survey, shape, "r1", "anna@example.com", 4.5, date(2026, 11, 1), 17)
    bad = mapped(survey, shape, "r1", "anna@example.com", "four", date(2026, 11, 1), 17)
    none = mapped(survey, shape, "r1", "anna@example.com", None, date(2026, 11, 1), 17)

    assert isinstance(good, Interaction)
    assert orjson.loads(good.payload) == {"amount": "4.5", "day": "2026-11-01", "agent_id": "17"}
    assert isinstance(bad, Invalid)
    assert bad.reason.startswith("amount: ")
    assert isinstance(none, Invalid)
    assert "required" in none.reason


def test_a_name_that_the_file_does_not_have_is_refused_with_what_becomes_of_it(
    tmp_path: Path,
) -> None:
    base, survey = written(tmp_path, {"id": "x", "jsonSchema": FILE}), a_survey()

    with pytest.raises(ConfigurationError, match="so MXO would drop it in silence"):
        refuse_misfits(survey, local_shape(base, survey, "x.json", keeper="MXO"))
    with pytest.raises(ConfigurationError) as plain:
        refuse_misfits(survey, local_shape(base, survey, "x.json"))
    assert 'has no property "channel"' in str(plain.value)
    assert "silence" not in str(plain.value)


@pytest.mark.parametrize("content", [[], {"type": "object"}, {"properties": {"a": {"type": "x"}}}])
def test_a_file_that_is_no_schema_is_told_at_its_key(tmp_path: Path, content: Any) -> None:
    with pytest.raises(ConfigurationError) as told:
        local_shape(written(tmp_path, content), a_survey(), "x.json")
    assert told.value.problems[0].path == ("activations", "visits", "schema")

    with pytest.raises(ConfigurationError, match="cannot be read"):
        local_shape(tmp_path, a_survey(), "none.json")


def test_own_keys_are_columns_of_the_activation_under_their_own_name() -> None:
    survey = a_survey(scheduled_at={"column": "AT"})

    assert survey.columns["agent_id",] == "store"
    assert survey.columns["scheduled_at",] == "AT"
    respelt = survey.respelt({name: name.upper() for name in survey.columns.values()})
    assert respelt.agent_id == PayloadField(column="STORE")
    assert set(respelt.payload) == {"amount", "day", "channel"}
    row = ("r1", "anna@example.com", "no time", 17, 1, date(2026, 11, 1))
    columns = ["id", "email", "AT", "store", "amount", "day"]
    content = RowMapper(survey, OpenSchema("493", text=True), columns, STOCKHOLM)(row)
    assert isinstance(content, Invalid)
    assert content.reason.startswith("scheduled_at: ")
