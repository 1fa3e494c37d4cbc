"""Activations are chosen by name, pattern, tag and owner; a choice of none is an error."""

import pytest

from connector.destinations.engage.grammar import EngageActivation
from connector.rules.errors import ConfigurationError
from connector.rules.selection import select, select_one


def activation(**keys: object) -> EngageActivation:
    common = {"model": "m.sql", "schema_id": "s", "row_key": "id", "start": "all"}
    contact = {"column": "email", "identifier": "email"}
    return EngageActivation.model_validate({**common, "contact": contact, **keys})


KNOWN = {
    "crm_reviews": activation(tags=["crm", "daily"], owner="anna"),
    "crm_repairs": activation(tags="crm"),
    "web_visits": activation(tags=["daily"], owner="web-team"),
}


@pytest.mark.parametrize(
    ("selectors", "expected"),
    [
        (["web_visits", "crm_reviews"], ["web_visits", "crm_reviews"]),
        (["crm_*"], ["crm_reviews", "crm_repairs"]),
        (["*_r[ae]p*"], ["crm_repairs"]),
        (["tag:daily"], ["crm_reviews", "web_visits"]),
        (["tag:d*", "crm_*"], ["crm_reviews", "web_visits", "crm_repairs"]),
        (["owner:web-*"], ["web_visits"]),
    ],
)
def test_each_is_chosen_once(selectors: list[str], expected: list[str]) -> None:
    assert select(selectors, KNOWN, "f") == expected


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("crm_review", 'there is no activation "crm_review" in f; did you mean "crm_reviews"?'),
        ("shop_*", 'no activation in f fits "shop_*"; there are: crm_repairs, crm_reviews'),
        ("tag:dayly", 'no activation in f has the tag "dayly"; did you mean "daily"?'),
        ("team:crm", '"team:" chooses no activations; write a name, a pattern such as crm_*'),
    ],
)
def test_what_chooses_none_is_an_error(selector: str, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        select([selector], KNOWN, "f")
    assert expected in str(caught.value)


def test_where_one_is_wanted_one_is_chosen() -> None:
    assert select_one("web*", KNOWN, "f") == "web_visits"
    assert select_one("configured_no_more", KNOWN, "f") == "configured_no_more"
    with pytest.raises(ConfigurationError, match="chooses 2 activations, and one is wanted"):
        select_one("tag:crm", KNOWN, "f")
