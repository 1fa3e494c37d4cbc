"""Activations that a person has paused, without an edit of the configuration; on the audit list."""

from sqlalchemy import delete, select, update

from connector.ledger.deeds import PAUSED, RESUMED, Entry, note
from connector.ledger.tables import NOW, PAUSERS, migrations, pauses, upsert
from connector.ledger.transaction import Reader, repeated, transaction
from connector.rules.errors import ConfigurationError

m = migrations.c


class Pauses(Reader):
    """The part of the ledger that keeps activations from running."""

    @repeated
    def pause(self, activation: str, by: str) -> str | None:
        """Let no schedule and no `sync` run the activation until it is resumed. Gives back who has
        paused it already, which stays so; the replacement of its schema, which keeps it, ends its
        own pause and leaves this one."""
        with transaction(self._engine) as c:
            mine = pauses.c.activation == activation
            before = c.execute(select(pauses.c.by).where(mine)).scalar()
            new = upsert(c, pauses).values(activation=activation, at=NOW, by=by)
            # PostgreSQL does not tell of an INSERT how many rows it has made
            made = new.on_conflict_do_nothing().returning(pauses.c.activation)
            added = c.execute(made).first()
            kept = c.execute(
                select(m.schema_id).select_from(pauses.join(migrations)).where(mine)
            ).scalar()
            own = [pauser.format(kept) for pauser in PAUSERS]
            also = c.execute(update(pauses).where(mine, pauses.c.by.in_(own)).values(at=NOW, by=by))
            if added or also.rowcount:
                note(c, Entry(PAUSED, by, activation))
            return before

    @repeated
    def resume(self, activation: str, by: str, earlier: str | None = None) -> bool:
        """End a pause, also one under an `earlier` name; False when there was none. Raises
        ConfigurationError while the replacement of its schema keeps the activation."""
        with transaction(self._engine) as c:
            named = pauses.c.activation.in_([activation, earlier or activation])
            paused = select(pauses.c.by).where(named)
            before = c.execute(paused).scalar()
            ended = c.execute(delete(pauses).where(named, pauses.c.migration.is_(None)))
            if kept := c.execute(paused).first():
                raise ConfigurationError(
                    f'"{activation}" stays paused ({kept[0]}): a replacement of its schema is not'
                    " done, and `connector schema replace` goes on with it"
                )
            if ended.rowcount:
                note(c, Entry(RESUMED, by, activation, details={"paused_by": before}))
            return bool(ended.rowcount)
