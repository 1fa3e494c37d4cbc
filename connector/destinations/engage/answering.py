"""One small function for each question to an Engage: from what was seen to the answer."""

import re
from collections.abc import Callable
from typing import Any

from connector.destinations.engage.samples import UNKNOWN, Sample, Seen, evidence_of
from connector.rules.probing import Answered, Value

DATE = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d))?(?:[.,](\d+))?(.*)")
PRECISIONS = {0: "seconds", 1: "tenths", 2: "hundredths", 3: "milliseconds", 6: "microseconds"}
FEWEST_IN_ORDER = 4
"""Interactions from which on an order is no chance."""

Told = tuple[Value, list[Any]]


def answer(seen: Seen, question: str) -> Answered:
    """The answer to one question. Nothing that an Engage may say is a reason to fail."""
    value, evidence = ANSWERS[question](seen)
    return Answered(question, value, evidence)


def _of(name: str, judge: Callable[[Sample], Value]) -> Callable[[Seen], Told]:
    """What a sample says, where it was made and answered."""

    def told(seen: Seen) -> Told:
        sample = seen.samples.get(name)
        evidence = evidence_of(sample)
        if sample is None or sample.sent.status is None:
            return None, evidence
        return judge(sample), evidence

    return told


def _noted(name: str) -> Callable[[Seen], Told]:
    """What was measured beside the samples."""

    def told(seen: Seen) -> Told:
        value, evidence = seen.notes.get(name, (None, [{"why": "it did not come to that"}]))
        return value, evidence

    return told


def _status(sample: Sample) -> Value:
    return sample.sent.status


def _breaks_schema(sample: Sample) -> Value:
    if sample.sent.refused:
        return "refused"
    if not sample.accepted:
        return None
    if sample.seen:
        return "stored"
    return "ignored_with_id" if sample.id else "ignored_without_id"


def _unknown_property(sample: Sample) -> Value:
    if sample.sent.refused:
        return "refused"
    if not sample.accepted:
        return None
    if not sample.seen:
        return "ignored"
    payload = sample.shown.get("payload")
    return "stored" if isinstance(payload, dict) and UNKNOWN in payload else "dropped"


def _taken_or_status(word: str) -> Callable[[Sample], Value]:
    """The status of what was not taken; else whether it was stored."""

    def judge(sample: Sample) -> Value:
        if not sample.accepted:
            return sample.sent.status
        return word if sample.seen else "ignored"

    return judge


def _schema_id_case(sample: Sample) -> Value:
    if sample.accepted and sample.seen:
        return "folded"
    return "exact" if sample.accepted or sample.sent.refused else None


def _precision(seen: Seen) -> Told:
    precise, plain = seen.samples.get("precise"), seen.samples.get("plain")
    if precise and precise.sent.refused:  # so many digits are not taken at all
        precise, refused = plain, precise
        return _kept_of(precise), evidence_of(refused, precise)
    return _kept_of(precise), evidence_of(precise)


def _kept_of(sample: Sample | None) -> Value:
    """As far as the shown createdDate is the one that was sent."""
    if sample is None or not sample.seen:
        return None
    sent = DATE.fullmatch(sample.created)
    shown = DATE.fullmatch(str(sample.shown.get("createdDate")))
    if sent is None or shown is None or int(sent[3]) % 15 != int(shown[3]) % 15:
        return "not_kept"
    if shown[4] is None:
        return "minutes"
    if shown[4] != sent[4]:
        return "not_kept"
    digits, kept = sent[5] or "", shown[5] or ""
    same = next((n for n, d in enumerate(digits) if kept[n : n + 1] != d), len(digits))
    return PRECISIONS.get(same, f"{same} digits")


def _offset_kept(sample: Sample) -> Value:
    shown = DATE.fullmatch(str(sample.shown.get("createdDate")))
    return bool(shown and shown[6].endswith(("+02:00", "+0200"))) if sample.seen else None


def _equal_twice(seen: Seen) -> Told:
    first, second = seen.samples.get("one of two"), seen.samples.get("the other of two")
    evidence = evidence_of(first, second)
    if not first or not second or not first.accepted or not first.seen:
        return None, evidence
    if second.sent.refused or second.id == first.id:
        return "one", evidence
    if not second.accepted:
        return None, evidence
    return ("two ids" if second.seen else "one"), evidence


def _clock_difference(seen: Seen) -> Told:
    skew = seen.asker.skew
    if skew is None:
        return None, [{"why": "answers have no Date"}]
    middle = round((skew[0] + skew[1]) / 2, 1) + 0.0
    span = [round(each, 2) for each in sorted(skew)]
    return middle, [{"answers_with_a_date": seen.asker.dates, "between": span}]


def order_of(numbers: list[int]) -> Value:
    """What a list begins with, by the order in which its interactions were sent."""
    if len(numbers) < FEWEST_IN_ORDER:
        return None
    if numbers == sorted(numbers):
        return "oldest"
    return "newest" if numbers == sorted(numbers, reverse=True) else "other"


ANSWERS: dict[str, Callable[[Seen], Told]] = {
    "create_status": _of("plain", _status),
    "breaks_schema": _of("breaking", _breaks_schema),
    "unknown_property": _of("extra", _unknown_property),
    "unknown_contact": _of("nobody", _taken_or_status("stored")),
    "unknown_schema": _of("no schema", _taken_or_status("stored")),
    "visible_after": _noted("visible_after"),
    "deletable_after": _noted("deletable_after"),
    "list_order": _noted("list_order"),
    "list_shape": _noted("list_shape"),
    "page_size": _noted("page_size"),
    "created_date_precision": _precision,
    "created_date_offset_kept": _of("offset", _offset_kept),
    "schema_id_case": _of("other case", _schema_id_case),
    "without_content_type": _of("untyped", _taken_or_status("taken")),
    "without_user_agent": _of("unnamed", _taken_or_status("taken")),
    "wrong_key": _noted("wrong_key"),
    "delete_status": _noted("delete_status"),
    "delete_again": _noted("delete_again"),
    "listed_after_delete": _noted("listed_after_delete"),
    "equal_twice": _equal_twice,
    "clock_difference": _clock_difference,
}
