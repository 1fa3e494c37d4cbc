"""Where many activations stand, in a few statements however many they are."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, select

from connector.basis import dataclass
from connector.ledger.ahead import AHEAD, is_ahead
from connector.ledger.records import stored_watermark
from connector.ledger.tables import (
    NOW,
    OPEN,
    chunks,
    deliveries,
    leases,
    migrations,
    pauses,
    runs,
    watermarks,
)
from connector.rules.deed import Document
from connector.rules.delivery import READ_BACK_BY_RUNS
from connector.rules.watermark import Watermark

AGO = (NOW - watermarks.c.read_at).label("read_ago")


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one activation stands. `is_held`: until a person lets its rows go; `read_ago`:
    milliseconds by the ledger's clock since its model was read to its end; None also where that is
    still to come, since the clock was put back."""

    counts: Mapping[str, int]
    last_run: Document | None
    paused_by: str | None
    watermark: Watermark
    read_at: int | None
    read_ago: int | None
    is_held: bool
    is_suspect: bool


@dataclass(frozen=True, slots=True)
class Known:
    """What is on record of activations, by the names under which it is."""

    homes: Mapping[str, Any]
    newest: Sequence[str]
    """The ids of their newest runs."""
    suspect: frozenset[str]


def known_of(c: Connection, activations: Sequence[str]) -> Known:
    """What is on record of each of `activations`."""
    d, w = deliveries.c, watermarks.c
    unsafe = (d.state.in_(READ_BACK_BY_RUNS), d.suspect, OPEN)
    homes: dict[str, Any] = {}
    newest, suspect = list[str](), set[str]()
    for part in chunks(activations):
        homes |= {
            row.activation: row
            for row in c.execute(select(watermarks, AGO).where(w.activation.in_(part)))
        }
        newest += _newest(c, part)
        open_rows = select(d.activation).where(d.activation.in_(part), *unsafe).distinct()
        suspect |= {row[0] for row in c.execute(open_rows)}
    suspect |= {name for name, row in homes.items() if row.suspect}
    return Known(homes, newest, frozenset(suspect))


class Paused(NamedTuple):
    """An activation that is kept from running, by whom; and the schema whose replacement keeps it;
    None: a person does."""

    by: str
    schema_id: str | None


def paused_among(activations: Sequence[str]) -> Select[str, str, str | None]:
    """Which of `activations` are paused, by whom, and for the replacement of which schema."""
    p = pauses.c
    query = select(p.activation, p.by, migrations.c.schema_id)
    return query.outerjoin(migrations, p.migration == migrations.c.id).where(
        p.activation.in_(activations)
    )


def paused_by(c: Connection, activations: Sequence[str]) -> dict[str, str]:
    """Who has paused which of `activations` without editing the configuration."""
    found: dict[str, str] = {}
    for part in chunks(activations):
        query = select(pauses.c.activation, pauses.c.by).where(pauses.c.activation.in_(part))
        found |= {name: str(by) for name, by in c.execute(query)}
    return found


def _newest(c: Connection, activations: Sequence[str]) -> list[str]:
    """The id of the newest run of each. What began later than now began before the clock was put
    back: it is the newest while it goes on, or if it ended after the others, by the clock as it is
    now; or where there is no other."""
    newest = {row.activation: row for row in c.execute(_newest_begun(activations)) if row.run_id}
    r = runs.c
    ahead = select(r.activation, r.run_id, r.finished_at, NOW.label("now"))
    later = ahead.where(r.activation.in_(activations), is_ahead(r.started_at, NOW))
    for row in c.execute(later.order_by(r.started_at, r.run_id)):
        other = newest.get(row.activation)
        if other is None or _ended(other) <= _ended(row):
            newest[row.activation] = row
    return [str(row.run_id) for row in newest.values()]


def _newest_begun(activations: Sequence[str]) -> Select[Any]:
    """The newest run of each up to now: whoever began one has had its lease."""
    r, names = runs.c, leases.c.activation
    newest = select(r.run_id).where(r.activation == names, r.started_at <= NOW + AHEAD)
    newest = newest.order_by(r.started_at.desc(), r.run_id.desc()).limit(1)
    found = select(names, newest.scalar_subquery().label("run_id")).where(names.in_(activations))
    begun = found.subquery().c
    return select(begun.activation, r.run_id, r.finished_at, NOW.label("now")).join(
        runs, r.run_id == begun.run_id
    )


def _ended(row: Any) -> tuple[bool, int]:
    """By what runs of one activation are in order, of which no two go on at a time: whether it goes
    on, and when it ended; 0 where that is still to come."""
    at = row.finished_at or 0
    return row.finished_at is None, at if at <= row.now + AHEAD else 0


def since(span: int | None) -> int | None:
    """How many milliseconds ago something was, by the ledger's clock; None where nobody knows,
    since that clock was ahead then, and was put back."""
    return None if span is None or span < -AHEAD else max(0, span)


def standing(name: str, known: Known, counts: Mapping[str, int], **more: Any) -> Standing:
    """Where the activation stands that is on record under `name`."""
    home = known.homes.get(name)
    return Standing(
        counts=counts,
        watermark=stored_watermark(home) if home is not None else Watermark(),
        read_at=home.read_at if home is not None else None,
        read_ago=since(home.read_ago) if home is not None else None,
        is_held=bool(home is not None and home.held),
        is_suspect=name in known.suspect,
        **more,
    )
