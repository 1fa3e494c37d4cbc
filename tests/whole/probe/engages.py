"""Engages that behave in any way that may be measured, and what a probe must say of each."""

import random
from typing import Any

from connector.sandbox.engage.behaviour import Behaviour
from tests.whole.shop import behaving

BREAKING = {
    "refuse": "refused",
    "swallow": "ignored_with_id",
    "no_id": "ignored_without_id",
    "store": "stored",
}
UNKNOWN_CONTACT = {"swallow": "ignored", "no_id": "ignored", "store": "stored"}
LATE = 10
"""Seconds by which a look may be late on a machine that has much to do."""
DELAYS = ("visible_after", "deletable_after", "listed_after_delete")


def switches(seed: int, slowest: float) -> dict[str, Any]:
    """Switches drawn at random; nothing takes longer than `slowest` seconds."""
    draw = random.Random(seed)

    def delay() -> float:
        return draw.choice([0.0, 0.0, round(draw.uniform(0.6, slowest), 2)])

    return {
        "success_status": draw.choice([200, 201, 202]),
        "breaking": draw.choice([*BREAKING]),
        "refuse_status": draw.choice([400, 422]),
        "unknown_property": draw.choice(["dropped", "stored", "refused"]),
        "unknown_contact": draw.choice(["404", "400", "422", *UNKNOWN_CONTACT]),
        "unknown_schema_status": draw.choice([404, 400, 422]),
        "read_back_delay": delay(),
        "delete_delay": delay(),
        "listed_after_delete": delay(),
        "page_order": draw.choice(["newest", "oldest", "other"]),
        "page_shape": draw.choice(["items", "data", "array"]),
        "page_size": draw.choice([3, 10, 20, 50, 100]),
        "created_date": draw.choice(["utc_milliseconds", "utc_milliseconds", "as_sent"]),
        "created_date_precision": draw.choice(["seconds", "milliseconds", "microseconds"]),
        "created_date_offset": draw.choice(["utc", "kept", "none"]),
        "schema_id_case": draw.choice(["exact", "folded"]),
        "without_content_type": draw.choice([500, 415, 400, "taken"]),
        "without_user_agent": draw.choice(["taken", 400, 403, 406]),
        "bad_key_status": draw.choice([401, 403]),
        "delete_status": draw.choice([200, 202, 204]),
        "delete_again": draw.choice([404, 410, 200, 204]),
        "equal_twice": draw.choice(["two_ids", "one"]),
        "clock_ahead": draw.choice([0.0, 0.0, -90.0, 30.0, 7.5]),
        "error_body": draw.choice(["json", "empty"]),
        "link_rel": draw.choice(["next", "nextPage"]),
        "seed": seed,
    }


def engage(seed: int, slowest: float = 1.0, **more: Any) -> Behaviour:
    """A sandbox with such switches."""
    return behaving(**{**switches(seed, slowest), **more})


def expected(behaviour: Behaviour) -> dict[str, Any]:
    """What must be answered of it."""
    as_sent = behaviour.created_date == "as_sent"
    contact, whole = behaviour.unknown_contact, behaviour.page_shape == "array"
    return {
        "create_status": behaviour.success_status,
        "breaks_schema": BREAKING[behaviour.breaking],
        "unknown_property": behaviour.unknown_property,
        "unknown_contact": UNKNOWN_CONTACT.get(contact) or int(contact),
        "unknown_schema": behaviour.unknown_schema_status,
        "list_order": behaviour.page_order,
        "list_shape": behaviour.page_shape,
        "page_size": "whole" if whole else behaviour.page_size,
        "created_date_precision": "microseconds" if as_sent else behaviour.created_date_precision,
        "created_date_offset_kept": as_sent or behaviour.created_date_offset == "kept",
        "schema_id_case": behaviour.schema_id_case,
        "without_content_type": behaviour.without_content_type,
        "without_user_agent": behaviour.without_user_agent,
        "wrong_key": behaviour.bad_key_status,
        "delete_status": behaviour.delete_status,
        "delete_again": behaviour.delete_again,
        "equal_twice": behaviour.equal_twice.replace("_", " "),
    }


def wrong(document: Any, behaviour: Behaviour) -> dict[str, Any]:
    """The answers that are not what they must be: what was said, and what is so."""
    said = {each["question"]: each["answer"] for each in document["answers"]}
    wanted: dict[str, Any] = expected(behaviour)
    found = {name: (said[name], so) for name, so in wanted.items() if said[name] != so}
    delays = {
        "visible_after": behaviour.read_back_delay,
        "deletable_after": behaviour.delete_delay,
        "listed_after_delete": behaviour.listed_after_delete,
    }
    for name, so in delays.items():
        answer = said[name]
        if answer is None or not so - 0.01 <= answer <= so * 1.3 + LATE:
            found[name] = answer, so
    clock = said["clock_difference"]
    if clock is None or abs(clock - behaviour.clock_ahead) > 2:
        found["clock_difference"] = clock, behaviour.clock_ahead
    return found
