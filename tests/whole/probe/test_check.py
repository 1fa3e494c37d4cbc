"""What a probe has found out is said by `check`, from the ledger or from a file."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from connector.destinations.engage import questions as engage
from connector.destinations.mxo import probing as mxo
from connector.destinations.survey_dynamix import probing as survey_dynamix
from connector.rules.probing import Question
from tests.whole.probe.test_probe import probe, waits_are_short
from tests.whole.shop import Shop, behaving

__all__ = ["waits_are_short"]


def advice(shop: Shop) -> list[str]:
    (activation,) = shop.connector("check", "--json").json["activations"]
    return [f["message"] for f in activation["findings"] if f["level"] == "advice"]


def test_a_wait_that_is_shorter_than_what_was_seen_is_told(shop: Shop) -> None:
    shop.configure(settle_after="1s", timeout="300s")
    shop.sandbox.behaviour = behaving(read_back_delay=1.2)
    done = probe(shop).json

    (told,) = [each for each in advice(shop) if "settle_after is 1s" in each]
    assert done["settle_after"]["seen_after_seconds"] >= 1.2
    assert f"let it be {done['settle_after']['proposed']} or longer" in told
    shop.configure(settle_after="2m")
    assert not [each for each in advice(shop) if "settle_after" in each]


def test_an_assumption_that_did_not_hold_is_told_and_what_to_do(shop: Shop) -> None:
    before = advice(shop)
    shop.sandbox.behaviour = behaving(breaking="swallow", unknown_contact="swallow")
    probe(shop)

    told = [each for each in advice(shop) if each not in before]

    assert [each.partition(":")[0] for each in told] == ["breaks_schema", "unknown_contact"]
    assert "connector verify RUN" in told[0]
    assert "contact_cache" in told[1]
    assert shop.connector("check").code == 0


def test_a_new_ledger_has_what_was_measured_from_a_file(shop: Shop, tmp_path: Path) -> None:
    shop.sandbox.behaviour = behaving(equal_twice="one")
    probe(shop, "--out", str(shop.path / "behaviour.json"))
    shop.configure(ledger="sqlite:///other.db")
    assert not [each for each in advice(shop) if "equal_twice" in each]

    text = shop.config.read_text()
    named = text.replace("api_key:", "behaviour: behaviour.json\n    api_key:")
    shop.config.write_text(named)

    assert [each for each in advice(shop) if "equal_twice" in each]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"measured": {"answers": 7}}', None])
def test_a_file_that_is_none_is_said(shop: Shop, content: str | None) -> None:
    text = shop.config.read_text()
    shop.config.write_text(text.replace("api_key:", "behaviour: b.json\n    api_key:"))
    if content is not None:
        (shop.path / "b.json").write_text(content)

    done = shop.connector("check", "--json")

    assert done.code == 2
    assert "b.json" in json.dumps(done.json)


@pytest.mark.parametrize(
    ("heading", "questions"),
    [
        ("## Engage", engage.QUESTIONS),
        ("## Survey Dynamix", survey_dynamix.QUESTIONS),
        ("## MXO", mxo.QUESTIONS),
    ],
)
def test_every_question_is_explained(heading: str, questions: Sequence[Question]) -> None:
    page = (Path(__file__).parents[3] / "docs" / "probe.md").read_text()
    part = page.partition(f"{heading}\n")[2].partition("\n## ")[0]

    explained = [
        name
        for row in re.findall(r"^\| (`.*?) \|", part, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    ]

    assert explained == [each.name for each in questions]
