"""The rate of each API key, lent in parts to the processes that use it: see connector.rules.shares.

A transaction of these two tables touches no other one; it locks the keys it is about in their order
before it reads who has what. Times are those of the database's clock: in SQLite, whose database has
none, the milliseconds that the machine is up, which nobody sets.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Float,
    String,
    Table,
    delete,
    literal,
    literal_column,
    select,
    text,
    tuple_,
    update,
)

from connector.basis import dataclass
from connector.ledger.migrations import HEAD
from connector.ledger.tables import NOW, metadata, upsert
from connector.ledger.transaction import transaction
from connector.rules.clocks import uptime
from connector.rules.errors import LedgerOfAnotherVersion
from connector.rules.shares import LENT, ONE_WAVE, Part, beside, grown, halved, next_share

rates = Table(  # one row for each key that was ever used
    "rates",
    metadata,
    Column("key_hash", String, primary_key=True),
    Column("rate", Float),  # a second, when it was last slowed down; NULL: it is not slowed down
    Column("changed_at", BigInteger),
    Column("slowed_until", BigInteger),  # nothing is sent before
)

rate_shares = Table(  # processes that want to send now
    "rate_shares",
    metadata,
    Column("key_hash", String, primary_key=True),
    Column("holder", String, primary_key=True),
    Column("rate", Float, nullable=False),  # a second, that its configuration allows all together
    Column("wants", Float, nullable=False),
    Column("share", Float, nullable=False),  # a second, that it may send …
    Column("until", BigInteger, nullable=False),  # … until then
)

LENT_FOR, LONGEST_PAUSE = round(LENT * 1000), 300_000
"""Milliseconds."""
VERSION: Any = literal_column("(select version_num from alembic_version)", String).label("version")
FROZEN = text(
    "select set_config('idle_in_transaction_session_timeout', '750', true),"
    " set_config('lock_timeout', '1000', true), set_config('statement_timeout', '1000', true)"
)
"""A process may be stopped at any statement: the others must have the key before what they were
lent is over."""


@dataclass(frozen=True, slots=True)
class Question:
    """What one process asks about one key. `rate`: what its configuration allows for the key;
    `uses`: what it sends at most until it hears more; `busy`: seconds for which the destination
    wants nothing, where it has said so since the last question. Who `wants` 0 gives up its part."""

    key: str
    rate: float
    wants: float
    uses: float
    busy: float | None = None


@dataclass(frozen=True, slots=True)
class Lent:
    """What it may send a second from now on, and how many seconds nothing at all before that."""

    share: float
    pause: float = 0.0


class Rates:
    """The accounts of a ledger that is there. Raises LedgerUnavailable when it cannot be asked."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def close(self) -> None:
        """Let go of the connection; the next question makes another one."""
        self._engine.dispose()

    def ask(self, holder: str, questions: Sequence[Question]) -> Mapping[str, Lent]:
        """What `holder` may send, by key. One transaction, which waits for nobody for long."""
        if not any(question.wants or question.busy is not None for question in questions):
            return self._give_up(holder, [question.key for question in questions])
        answers, keep, strike = {}, list[dict[str, Any]](), list[tuple[str, str]]()
        with transaction(self._engine) as c:
            accounts = _locked(c, sorted(question.key for question in questions))
            for question in questions:
                account = accounts[question.key]
                if question.busy is not None:
                    account.slow_down(c, question.rate, question.busy)
                share, kept = account.part(holder, question)
                answers[question.key] = Lent(share, account.pause)
                strike += [(question.key, name) for name in account.over]
                if question.wants:
                    facts = {"rate": question.rate, "wants": question.wants, "share": kept}
                    until = account.now + LENT_FOR
                    key = {"key_hash": question.key, "holder": holder}
                    keep.append({**key, **facts, "until": until})
                elif holder in account.held:
                    strike.append((question.key, holder))
            _note(c, keep, strike)
        return answers

    def _give_up(self, holder: str, keys: Sequence[str]) -> Mapping[str, Lent]:
        """What it had is nobody's: that takes nothing from others, so no key is locked for it."""
        mine = rate_shares.c.holder == holder, rate_shares.c.key_hash.in_(keys)
        with transaction(self._engine) as c:
            if c.dialect.name == "postgresql":
                c.execute(FROZEN)
            c.execute(delete(rate_shares).where(*mine))
        return {key: Lent(0.0) for key in keys}

    def look(self, questions: Sequence[Question]) -> Mapping[str, Lent]:
        """What may be sent, by key, by somebody who asks for no part: for commands that write
        nothing. The engine may be one that cannot write."""
        keys = [question.key for question in questions]
        with transaction(self._engine) as c:
            rows = c.execute(_standing(c.dialect.name, keys)).all()
        lent = dict.fromkeys(keys, 0.0)
        pauses = dict.fromkeys(keys, 0.0)
        for row in rows:
            pauses[row.key_hash] = max(0.0, ((row.slowed_until or 0) - row.now) / 1000)
            if row.holder is not None and row.until >= row.now:
                lent[row.key_hash] += row.share
        return {q.key: Lent(beside(q.rate, lent[q.key]), pauses[q.key]) for q in questions}


@dataclass(slots=True)
class _Account:
    """One key: who has what of it `now`. `over`: whose time is over."""

    key: str
    now: int
    slowed: float | None
    changed_at: int
    slowed_until: int
    held: dict[str, Part] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    """How much the configuration of each allows for the whole key: the smallest holds."""
    over: list[str] = field(default_factory=list)

    @property
    def pause(self) -> float:
        """Seconds for which nothing is sent."""
        return max(0.0, (self.slowed_until - self.now) / 1000)

    def rate(self, full: float) -> float:
        """Requests a second now, where `full` are allowed."""
        since = (self.now - self.changed_at) / 1000
        return full if self.slowed is None else grown(self.slowed, since, full)

    def slow_down(self, c: Connection, full: float, pause: float) -> None:
        """The destination is busy: half the rate, and nothing for `pause` seconds."""
        rate = self.rate(full)
        if rate >= full or self.now - self.changed_at > ONE_WAVE * 1000:
            self.slowed, self.changed_at = halved(rate, full), self.now
        self.slowed_until = max(self.slowed_until, self.now + round(pause * 1000))
        facts = {"rate": self.slowed, "changed_at": self.changed_at}
        mine = update(rates).where(rates.c.key_hash == self.key)
        c.execute(mine.values(slowed_until=self.slowed_until, **facts))

    def part(self, holder: str, question: Question) -> tuple[float, float]:
        """What is lent to `holder`, and what stands in the accounts: as much as it uses, until it
        is known to have heard of less."""
        uses = question.uses if holder in self.held else 0.0  # what was its may be another's by now
        others = [name for name in self.held if name != holder]
        rate = self.rate(min([question.rate, *(self.limits[name] for name in others)]))
        mine = Part(question.wants, uses)
        share = next_share(rate, mine, [self.held[name] for name in others])
        return share, max(share, uses)


def _refuse_another(versions: Collection[str]) -> None:
    """Nothing is lent by an account of which this connector does not know what it means."""
    if any(version > HEAD for version in versions):
        raise LedgerOfAnotherVersion(
            f"a newer connector has brought the ledger up to date (tables {max(versions)}, this one"
            f" knows {HEAD}); stop this one, and upgrade it"
        )
    if versions:
        raise LedgerOfAnotherVersion("another version of the connector has written the ledger")


def _locked(c: Connection, keys: Sequence[str]) -> Mapping[str, _Account]:
    """The accounts of these keys, which nobody else changes until the transaction ends."""
    if on_server := c.dialect.name == "postgresql":
        c.execute(FROZEN)
    these = select(rates.c.key_hash).where(rates.c.key_hash.in_(keys))
    lock = these.order_by(rates.c.key_hash).with_for_update()
    standing = _standing(c.dialect.name, keys)
    rows = c.execute(lock if on_server else standing).all()  # who writes to SQLite is alone
    there = {row.key_hash for row in rows}
    if missing := [{"key_hash": key} for key in keys if key not in there]:
        c.execute(upsert(c, rates).on_conflict_do_nothing(), missing)
        c.execute(lock).all()
    if on_server or missing:
        rows = c.execute(standing).all()
    _refuse_another({row.version for row in rows} - {HEAD})
    now = max(int(row.now) for row in rows)
    found: dict[str, _Account] = {}
    for row in rows:
        account = found.get(row.key_hash)
        if account is None:
            facts = _sensible(c, row, now)
            account = found[row.key_hash] = _Account(row.key_hash, now, row.rate, *facts)
        if row.holder is None:
            continue
        if row.until < now:
            account.over.append(row.holder)
        else:
            account.held[row.holder] = Part(row.wants, row.share)
            account.limits[row.holder] = row.allowed
    return found


def _standing(dialect: str, keys: Sequence[str]) -> Any:
    """All that stands of these keys, what time it is, and of which version the ledger is."""
    clock = literal(uptime()) if dialect == "sqlite" else NOW
    r = rate_shares.c
    return (
        select(rates, clock.label("now"), r.holder, r.rate.label("allowed"))
        .add_columns(r.wants, r.share, r.until, VERSION)
        .select_from(rates.outerjoin(rate_shares, r.key_hash == rates.c.key_hash))
        .where(rates.c.key_hash.in_(keys))
    )


def _sensible(c: Connection, row: Any, now: int) -> tuple[int, int]:
    """Since when the rate grows again, and until when nothing is sent. A clock that was put back,
    or began anew, must not make anything last longer than it was meant to."""
    changed, pause = row.changed_at or 0, row.slowed_until or 0
    if changed > now or pause > now + LONGEST_PAUSE:
        changed, pause = min(changed, now), min(pause, now + LONGEST_PAUSE)
        mine = update(rates).where(rates.c.key_hash == row.key_hash)
        c.execute(mine.values(changed_at=changed, slowed_until=pause))
    late = rate_shares.c.until > now + LENT_FOR
    theirs = update(rate_shares).where(rate_shares.c.key_hash == row.key_hash, late)
    if row.until is not None and row.until > now + LENT_FOR:
        c.execute(theirs.values(until=now + LENT_FOR))
    return changed, pause


def _note(
    c: Connection, keep: Sequence[Mapping[str, Any]], strike: Sequence[tuple[str, str]]
) -> None:
    """Write down what this process has now, and strike out whose time is over."""
    table = rate_shares.c
    kept = {(each["key_hash"], each["holder"]) for each in keep}
    if gone := [each for each in strike if each not in kept]:
        c.execute(delete(rate_shares).where(tuple_(table.key_hash, table.holder).in_(gone)))
    if keep:
        statement = upsert(c, rate_shares)
        new = {name: statement.excluded[name] for name in ("rate", "wants", "share", "until")}
        same = [table.key_hash, table.holder]
        c.execute(statement.on_conflict_do_update(index_elements=same, set_=new), list(keep))
