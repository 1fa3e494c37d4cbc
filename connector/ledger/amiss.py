"""What is amiss between the ledger and what is around it, told before a run finds out: rows of
activations that nothing configures, activations that a run would refuse, a ledger from a backup."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import Engine, select

from connector.ledger.counts import FEW, counts_of
from connector.ledger.engine import nothing
from connector.ledger.generation import GenerationFile
from connector.ledger.identity import identity_problems
from connector.ledger.known_by import knows_otherwise
from connector.ledger.records import Identity, stored_identity
from connector.ledger.restored import ANOTHER, FILE_GONE, contradiction, itself, seen_beside
from connector.ledger.tables import watermarks
from connector.ledger.transaction import Reader, repeated, transaction
from connector.rules.errors import Problem

w = watermarks.c
OF_IDENTITY = (
    *(w.activation, w.origin, w.destination, w.schema_id, w.row_key, w.type, w.address),
    *(w.reference_prefix, w.identifier),
)


class Amiss(Reader):
    """Looks for it in the ledger behind `engine`, or in one that does not exist yet (None)."""

    def __init__(self, engine: Engine | None, earlier: Mapping[str, str] | None = None) -> None:
        """`earlier`: names under which activations may still be recorded."""
        self._engine = engine or nothing()
        self._earlier = earlier or {}

    def knows(self, activation: str) -> bool:
        """Whether something is recorded under just this name."""
        return self._first(select(w.activation).where(w.activation == activation)) is not None

    @repeated
    def left_behind(self, configured: Collection[str]) -> dict[str, dict[str, int]]:
        """Of activations that are recorded, and not among those that are `configured`, how many of
        their rows wait, by state; those of which none does are left out."""
        with transaction(self._engine) as c:
            there = set(c.execute(select(w.activation)).scalars())
            followed = {self._earlier.get(name) for name in configured if name not in there}
            left = sorted(there - set(configured) - followed)
            counts = counts_of(c, left) if left else {}
        waits = {
            name: {state: number for state in FEW if (number := counts.get(name, {}).get(state))}
            for name in left
        }
        return {name: states for name, states in waits.items() if states}

    @repeated
    def refused(
        self, identities: Iterable[tuple[str, Identity]], configured: Collection[str]
    ) -> dict[str, list[Problem]]:
        """Those activations that no run takes for what is recorded under their names, and why; in
        one statement where there is none. `configured`: all that are."""
        found = {}
        with transaction(self._engine) as c:
            there = {row.activation: row for row in c.execute(select(*OF_IDENTITY))}
            origins = {row.origin for row in there.values()}
            strangers = not there.keys() <= set(configured)
            for name, identity in identities:
                known = there.get(name) or there.get(str(identity.renamed_from))
                if known is None:
                    if not strangers and name not in origins:
                        continue
                elif _is_the_same(known, identity):
                    continue
                if problems := identity_problems(c, name, identity):
                    found[name] = problems
        return found

    def put_back(self, file: GenerationFile) -> str | None:
        """What says that the ledger was put back from a backup, or is another one, that no run has
        seen yet; None: nothing does."""
        reason = self._contradicted(file)
        # somebody may have begun the ledger after we had looked for the file
        return self._contradicted(file) if reason == FILE_GONE else reason

    @repeated
    def _contradicted(self, file: GenerationFile) -> str | None:
        beside = seen_beside(file, self._engine.dialect.name)
        with transaction(self._engine) as c:
            found = itself(c)
        if found is None:
            return ANOTHER if beside.last else None
        return contradiction(found, beside)


def _is_the_same(known: Any, identity: Identity) -> bool:
    """Whether nothing of what must not change has changed, or is said to."""
    was, here = stored_identity(known), identity.place
    same = (was.destination, was.schema_id, was.row_key)
    if same != (identity.destination, identity.schema_id, identity.row_key):
        return False
    if known.reference_prefix not in (None, identity.prefix):
        return False
    if knows_otherwise(known, identity):
        return False
    return here is None or was.place is None or here.covers(was.place)
