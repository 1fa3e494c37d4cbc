"""The beat by which a process says that its runs live: one statement for all of them.

It prolongs those leases alone of which everything is as the run knows it: fence, writes, identity,
generation and timeline, as `prolong` compares them. Of all others it changes nothing, and they are
asked one by one, which tells what is wrong with them. It waits for no lock. What was committed is
then written beside the ledger and synced, outside of any transaction: a beat counts no generation,
for which all would wait for one row.
"""

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

from sqlalchemy import String, bindparam, literal_column, or_, select, update

from connector.ledger.generation import GenerationFile
from connector.ledger.json_rows import in_one, json_rows
from connector.ledger.leases import WRITTEN, Book, prolong
from connector.ledger.records import Run
from connector.ledger.tables import NOW, TIMELINE, leases, ledgers
from connector.ledger.transaction import after_commit, repeated, transaction


class Beats(Book):
    """How it is said that runs live."""

    _generation: GenerationFile | None

    @repeated
    def beat(self, runs: Sequence[Run]) -> list[Run]:
        """Say that all of `runs` live. Gives back those of which it could not be said: somebody
        writes in their leases just now, or `heartbeat` raises what is wrong with them."""
        asked = [run for run in runs if run.footing.lost is None]
        what = [_facts(run) for run in asked]  # before the ledger is looked at
        timeline = any(each["timeline"] for each in what)
        with transaction(self._engine) as c:
            statement = prolonging_all(c.dialect.name, timeline)
            found = c.execute(statement, in_one(what, lease=self._lease)).all()
        rows = {row.run_id: row for row in found}
        kept = [run for run in asked if run.run_id in rows]
        for run in kept:
            run.footing.saw(rows[run.run_id].writes, rows[run.run_id].generation)
        replaced = self._remember(kept)
        return [run for run in runs if run.run_id not in rows or run.activation in replaced]

    @repeated
    def heartbeat(self, run: Run) -> None:
        """Say that one run lives. Raises LeaseLost when another run has taken over, LedgerChanged
        when the ledger has forgotten what the run wrote."""
        with self._standing(run) as c:
            prolong(c, run, self._lease)
            after_commit(c, partial(self._remember, [run]))

    def _remember(self, runs: Sequence[Run]) -> set[str]:
        """See on the disk what is known of these runs. Gives back the activations that others have
        taken over since. Raises LedgerChanged when the files are another ledger's."""
        file = self._generation
        if file is None or not runs:
            return set()
        known = {run.activation: run.footing.known for run in runs}
        number = max(seen.number for seen in known.values())
        writes = {activation: seen.writes for activation, seen in known.items()}
        file.beaten(runs[0].footing.known.ledger, number, writes)
        return file.replaced({run.activation: run.fence for run in runs})


def _facts(run: Run) -> dict[str, Any]:
    known = run.footing.known
    return {
        "name": run.activation,
        "run": run.run_id,
        "fence": run.fence,
        "writes": known.writes,
        "ledger": known.ledger,
        "number": known.number,
        "timeline": known.timeline,
    }


FACTS = ("name", "run", "fence", "writes", "ledger", "number", "timeline")


@cache
def prolonging_all(dialect: str, with_timeline: bool) -> Any:
    """The statement, of which `json_rows` are the runs. Who is locked by somebody else is left
    out, in the order in which all take leases."""
    run = json_rows(dialect, *FACTS).c
    timeline = literal_column(TIMELINE if with_timeline else "NULL", String)
    generation = select(ledgers.c.generation).scalar_subquery()
    as_known = (
        leases.c.activation == run.name,
        leases.c.fence == run.fence,
        leases.c.run_id == run.run,
        leases.c.writes >= run.writes,
        run.ledger == select(ledgers.c.identity).scalar_subquery(),
        run.number <= generation,
        or_(run.timeline.is_(None), run.timeline == timeline),
    )
    mine = (
        select(leases.c.activation)
        .where(*as_known)
        .order_by(leases.c.activation)
        .with_for_update(of=leases, skip_locked=True)
        .cte("mine")
    )
    return (
        update(leases)
        .where(leases.c.activation.in_(select(mine.c.activation)))
        .values(expires_at=NOW + bindparam("lease"), writes=leases.c.writes + 1)
        .returning(
            leases.c.run_id,
            leases.c.writes,
            generation.label("generation"),
            *([literal_column(WRITTEN, String)] if dialect == "postgresql" else []),
        )
    )
