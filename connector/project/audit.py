"""The audit list of a project: narrowed down, and written as a file."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo

from connector.ledger.audit import ALL, Deeds
from connector.project.reporting import Reporting
from connector.rules.deed import Document
from connector.rules.errors import ConfigurationError
from connector.rules.grammar import parse_duration

COLUMNS = ("id", "at", "by", "what", "activation", "run_id", "details")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would take for the beginning of a formula."""


def entries(
    project: Reporting, name: str | None, which: Deeds = ALL, limit: int | None = None
) -> list[Document]:
    """The newest entries, of all activations or of one. Raises ConfigurationError."""
    if name is not None:
        name = project.recorded(name)
        known = project.settings.project.activations.get(name)
        earlier = known.renamed_from if known else None
        which = replace(which, names=(name, earlier) if isinstance(earlier, str) else (name,))
    with project.reports() as reports:
        return reports.audit(which, limit)


def milliseconds(moment: datetime | None) -> int | None:
    """A time as the ledger has it, since 1970."""
    return None if moment is None else round(moment.timestamp() * 1000)


def since_when(text: str | None, option: str = "--since", zone: tzinfo = UTC) -> datetime | None:
    """A date in `zone`, a time with its own, or a span before now. Raises ConfigurationError."""
    if text is None:
        return None
    try:
        return datetime.now(UTC) - parsed if (parsed := _span(text)) else _moment(text, zone)
    except (ValueError, OverflowError):
        raise ConfigurationError(
            f"{option} wants a date such as 2026-01-31, a time with its zone, or a span such as 7d"
        ) from None


def _span(text: str) -> timedelta | None:
    try:
        span = parse_duration(text)
    except ValueError:
        return None
    return span if isinstance(span, timedelta) else None


def _moment(text: str, zone: tzinfo) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        if len(text) > len("2026-01-31"):
            raise ValueError(text)
        moment = moment.replace(tzinfo=zone)
    return moment


def export(found: Sequence[Document], suffix: str) -> str:
    """The entries as the text of a file. Raises ConfigurationError for another kind of file."""
    match suffix.lower():
        case ".jsonl":
            return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in found)
        case ".csv":
            text = io.StringIO()
            rows = csv.writer(text)
            rows.writerow(COLUMNS)
            for each in found:
                told = {**each, "details": json.dumps(each["details"], ensure_ascii=False)}
                rows.writerow([harmless(told[name]) for name in COLUMNS])
            return text.getvalue()
    raise ConfigurationError("the list is written as .csv or as .jsonl")


def harmless(value: object) -> object:
    """A value for a file of a spreadsheet, which must not take it for a formula."""
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value
