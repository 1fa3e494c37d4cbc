"""From what a probe has measured of an Engage to the switches of a sandbox that behaves so."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from connector.sandbox.engage.behaviour import Behaviour

BREAKING = {
    "refused": "refuse",
    "ignored_with_id": "swallow",
    "ignored_without_id": "no_id",
    "stored": "store",
}
SAME = {
    "create_status": "success_status",
    "unknown_property": "unknown_property",
    "unknown_schema": "unknown_schema_status",
    "visible_after": "read_back_delay",
    "deletable_after": "delete_delay",
    "listed_after_delete": "listed_after_delete",
    "list_order": "page_order",
    "list_shape": "page_shape",
    "created_date_precision": "created_date_precision",
    "schema_id_case": "schema_id_case",
    "without_content_type": "without_content_type",
    "without_user_agent": "without_user_agent",
    "wrong_key": "bad_key_status",
    "delete_status": "delete_status",
    "delete_again": "delete_again",
    "clock_difference": "clock_ahead",
}
"""Answers that a switch takes as they are."""


def switches(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Switches for what was answered. What no sandbox can do is left out."""
    said = {each["question"]: each["answer"] for each in answers}
    seen = {each["question"]: each["evidence"] for each in answers}
    found = {switch: said[name] for name, switch in SAME.items() if said.get(name) is not None}
    if (breaking := BREAKING.get(str(said.get("breaks_schema")))) is not None:
        found["breaking"] = breaking
        found["refuse_status"] = _status(seen["breaks_schema"])
    found |= _unknown_contact(said.get("unknown_contact"), seen.get("unknown_contact", ()))
    match said.get("page_size"):
        case int(size):
            found["page_size"] = size
        case str(words) if words.startswith("more than "):
            found["page_size"] = int(words.rpartition(" ")[2]) + 1
    if said.get("created_date_offset_kept") is not None:
        found["created_date_offset"] = "kept" if said["created_date_offset_kept"] else "utc"
    if said.get("equal_twice") is not None:
        found["equal_twice"] = str(said["equal_twice"]).replace(" ", "_")
    return {name: value for name, value in found.items() if _is_good(name, value)}


def _unknown_contact(answer: Any, evidence: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    match answer:
        case int():
            return {"unknown_contact": str(answer)}
        case "stored":
            return {"unknown_contact": "store"}
        case "ignored":
            given = any(each.get("id") for each in evidence)
            return {"unknown_contact": "swallow" if given else "no_id"}
        case _:
            return {}


def _status(evidence: Sequence[Mapping[str, Any]]) -> Any:
    return next((each.get("status") for each in evidence if each.get("status")), None)


def _is_good(name: str, value: Any) -> bool:
    """Whether a switch can be set so."""
    try:
        Behaviour.model_validate({name: value})
    except ValidationError:
        return False
    return True
