"""Where many activations stand, in a few statements however many they are."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, select

from connector.basis import dataclass
from connector.ledger.records import stored_watermark
from connector.ledger.tables import (
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


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one activation stands. `is_held`: until a person lets its rows go."""

    counts: Mapping[str, int]
    last_run: Document | None
    paused_by: str | None
    watermark: Watermark
    read_at: int | None
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
            for row in c.execute(select(watermarks).where(w.activation.in_(part)))
        }
        newest += [str(id) for id in c.execute(_newest(part)).scalars() if id]
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


def _newest(activations: Sequence[str]) -> Select[Any]:
    """The id of the newest run of each: whoever began one has had its lease."""
    r = runs.c
    newest = select(r.run_id).where(r.activation == leases.c.activation)
    newest = newest.order_by(r.started_at.desc(), r.run_id.desc()).limit(1)
    return select(newest.scalar_subquery()).where(leases.c.activation.in_(activations))


def standing(name: str, known: Known, counts: Mapping[str, int], **more: Any) -> Standing:
    """Where the activation stands that is on record under `name`."""
    home = known.homes.get(name)
    return Standing(
        counts=counts,
        watermark=stored_watermark(home) if home is not None else Watermark(),
        read_at=home.read_at if home is not None else None,
        is_held=bool(home is not None and home.held),
        is_suspect=name in known.suspect,
        **more,
    )
