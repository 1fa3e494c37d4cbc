"""Which processes follow the schedules now: each says so while it lives."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select

from connector.ledger.processes import process_of, this_process
from connector.ledger.records import milliseconds, moment
from connector.ledger.tables import NOW, services, upsert
from connector.rules.interaction import instant_text
from connector.rules.telling import Failing

Schedules = Mapping[str, datetime | None]
"""By the name of an activation that has a schedule, when it is due next."""

FAILING = ""
"""Where alerts stand among the schedules that a service tells: no activation is called so."""


@dataclass(frozen=True, slots=True)
class Service:
    """A `connector serve` that lives."""

    id: str
    where: str
    started_at: datetime
    schedules: Schedules
    failing: Sequence[Failing] = ()
    """Alerts of it that get no messages."""

    @property
    def document(self) -> dict[str, str]:
        began = instant_text(self.started_at)
        return {"id": self.id, "where": self.where, "started_at": began}


def say(
    c: Connection,
    id: str,
    schedules: Schedules,
    span: timedelta,
    failing: Sequence[Failing] = (),
) -> None:
    """A service lives, and is taken for dead when it says nothing for `span`. Those that were
    silent for longer are forgotten. `failing`: its alerts that are."""
    c.execute(delete(services).where(services.c.expires_at < NOW))
    told: dict[str, object] = {
        name: due and round(due.timestamp() * 1000) for name, due in schedules.items()
    }
    if failing:
        told[FAILING] = [[f.number, f.called, f.since.isoformat(), f.why] for f in failing]
    facts = {"expires_at": NOW + milliseconds(span), "schedules": json.dumps(told)}
    c.execute(
        upsert(c, services)
        .values(id=id, holder=this_process().text, started_at=NOW, **facts)
        .on_conflict_do_update(index_elements=[services.c.id], set_=facts)
    )


def living(c: Connection) -> list[Service]:
    """The services that have spoken lately, and whose process is not known to be gone."""
    rows = c.execute(
        select(services).where(services.c.expires_at >= NOW).order_by(services.c.started_at)
    )
    found = []
    for row in rows:
        holder = process_of(row.holder)
        if holder and not holder.is_dead():
            told = json.loads(row.schedules)
            failing = [
                Failing(number, called, datetime.fromisoformat(since), why)
                for number, called, since, why in told.pop(FAILING, ())
            ]
            due = {name: None if at is None else moment(at) for name, at in told.items()}
            where = f"process {holder.pid} on {holder.host}"
            found.append(Service(row.id, where, moment(row.started_at), due, failing))
    return found
