"""Approvals of held runs: what is held, who let it go, and whether that still holds."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from hashlib import blake2b
from itertools import chain
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from connector.basis import dataclass
from connector.ledger.deeds import APPROVED, EDITED, REFUSED, Entry, approvals, audit, note
from connector.ledger.leases import Book
from connector.ledger.mirrored import (
    CHANGED,
    IS_LIVE,
    IS_UNSURE,
    MAY_GO,
    REPLACED_LATER,
    TAKING_BACK,
    Aim,
    Figures,
    changes,
    cover,
    is_of,
)
from connector.ledger.paging import PAGE, first_rows, open_rows
from connector.ledger.records import Run, instant, milliseconds
from connector.ledger.tables import NOW, chunks, deliveries, ledgers, runs, watermarks
from connector.ledger.transaction import Reader, repeated, transaction
from connector.rules.approval import Digests
from connector.rules.deed import Document
from connector.rules.delivery import State
from connector.rules.errors import HELD
from connector.rules.hold import Hold
from connector.rules.needs import as_called

MOST_LISTED = 20_000
"""Rows of which each has a digest of its own in a plan; of more there is one of all."""
EXAMPLES = 5

TAKEN_BACK = ("removed", "replaced")
"""The counts of what a mirror takes back."""

d, a, g = deliveries.c, approvals.c, changes.c
OF_APPROVAL = (approvals, (a.expires_at <= NOW).label("late"))


@dataclass(frozen=True, slots=True)
class HeldRun:
    """A run that waits for an approval. `run_id`: the run that was held first; `reason`: as the
    newest one told it; `editor`: who asked for the run that took up the last edit."""

    activation: str
    figures: Hold
    run_id: str | None
    reason: str
    editor: str | None
    rows: Digests
    examples: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """What is shown of it."""
        held = self.figures
        taken, replaced = held.removed, held.replaced
        if held.empty:  # all that is there goes, whatever an earlier reading wanted with it
            taken, replaced = held.live, 0
        return {
            "rows": self.rows.count,
            "staged": held.staged,
            "invalid": held.invalid,
            "rejected": held.rejected,
            **({"removed": taken, "replaced": replaced} if held.live else {}),
            **({"live": held.live} if held.live else {}),
        }


@dataclass(frozen=True, slots=True)
class Approving:
    """What is to be recorded: `by` approves just the rows with `digest`, as they were `shown`, for
    `span` (None: until a run uses it). `used`: the run that records it lets them go at once."""

    by: str
    note: str | None
    run_id: str | None
    digest: str
    shown: Mapping[str, Any]
    span: timedelta | None
    used: bool = False


@dataclass(frozen=True, slots=True)
class Approval:
    """One that was recorded. Times in milliseconds since 1970, by the database's clock."""

    id: int
    by: str
    note: str | None
    at: int
    run_id: str | None
    digest: str
    expires_at: int | None
    used_by: str | None
    void: str | None
    expired: bool
    shown: Mapping[str, Any]

    @property
    def is_usable(self) -> bool:
        """Whether the next run would use it, if what is held is still what it is of."""
        return not (self.used_by or self.void or self.expired)

    def document(self) -> Document:
        return {
            "approval": self.id,
            "run_id": self.run_id,
            "by": self.by,
            "note": self.note,
            "at": instant(self.at),
            "expires_at": instant(self.expires_at),
            "used_by": self.used_by,
            "void": self.void or ("it was not used in time" if self.expired else None),
            **self.shown,
        }


@dataclass(frozen=True, slots=True)
class Held:
    """Why an activation is held, the figures it is held by, and the approval that stands."""

    reason: str
    figures: Hold
    approval: Approval | None

    def document(self) -> Document:
        approval = self.approval.document() if self.approval else None
        return {**self.figures.document(), "approval": approval}


class HeldRuns(Reader):
    """What is held, and who let what go."""

    def held_run(self, activation: str) -> HeldRun | None:
        """The run of the activation that waits for an approval; None: none does."""
        name = self._name(activation)
        with transaction(self._engine) as c:
            mine = watermarks.c.activation == name
            held = c.execute(select(watermarks.c.held).where(mine)).scalar()
            if not held:
                return None
            figures = Hold.of(held)
            reason, editor = _reason(c, name, self._called(c, name)), _editor(c, name)
        rows, examples = self.held_rows(activation)
        if figures.empty:  # what a model without rows says is recorded once that is believed
            rows, examples = replace(rows, count=figures.live), self._some_live(name)
        return HeldRun(activation, figures, figures.run_id, reason, editor, rows, examples)

    def _some_live(self, activation: str) -> tuple[str, ...]:
        """The keys of some rows that are, or may be, at the destination."""
        live = select(d.row_key).where(d.activation == activation, IS_LIVE)
        return tuple(row[0] for row in first_rows(self._engine, live, d.id, 0, EXAMPLES))

    def held_rows(self, activation: str) -> tuple[Digests, tuple[str, ...]]:
        """The rows that an approval lets go, and some of their keys."""
        query, secret = select(d.id, d.row_key, d.digest, d.contact), self._secret()
        name = self._name(activation)
        pending = open_rows(self._engine, name, [State.PENDING], query)
        whole, each, examples = blake2b(key=secret, digest_size=16), dict[str, str](), list[str]()
        count = 0
        for row in chain(pending, self._changes(name)):
            key = _short(secret, row.row_key)
            aim = getattr(row, "aim", "")
            content = _short(secret, f"{aim}\0{row.digest}\0{row.contact}")
            whole.update(f"{row.id} {key} {content}\n".encode())
            count += 1
            if count <= MOST_LISTED:
                each[key] = content
            if count <= EXAMPLES:
                examples.append(row.row_key)
        listed = each if count <= MOST_LISTED else None
        return Digests(count, whole.hexdigest(), listed), tuple(examples)

    def bodies(self, activation: str, keys: Sequence[str]) -> list[Document]:
        """What is kept of the held rows with `keys`: whom and what each is about, and what a mirror
        wants with it (`aim`)."""
        query = select(
            *(d.row_key, d.contact, d.created_date, d.payload, g.aim),
            *(g.contact.label("then"), g.created_date.label("when"), g.payload.label("what")),
        ).select_from(deliveries.outerjoin(changes, g.delivery_id == d.id))
        found = {
            row.row_key: row for row in self._all(query.where(*_of(self._name(activation), keys)))
        }
        return [_body(found[key]) for key in keys if key in found]

    def _changes(self, activation: str) -> Iterator[Any]:
        """What a mirror would take back, and what it would send instead."""
        query = (
            select(d.id, d.row_key, g.aim, g.digest, g.contact)
            .select_from(CHANGED)
            .where(is_of(activation), g.aim.in_(TAKING_BACK))
            .order_by(g.delivery_id)
            .limit(PAGE)
        )
        after = 0
        while page := self._all(query.where(g.delivery_id > after)):
            yield from page
            after = page[-1].id

    def goes_by_approval(self, activation: str) -> set[int]:
        """The rows of a mirror that an approval lets be taken back still, though the run which it
        has let begin is over; none while it is held, where nothing goes by an earlier one."""
        name = self._name(activation)
        held = exists().where(watermarks.c.activation == name, watermarks.c.held.is_not(None))
        ours = (is_of(name), g.approved.is_not(None), IS_LIVE, ~held)
        return {row[0] for row in self._all(select(d.id).select_from(CHANGED).where(*ours))}

    def still_approved(self, activation: str) -> Figures:
        """What of a mirror is as it was sent, and may be taken back by an approval still."""
        may = or_(and_(g.aim == Aim.REMOVE, MAY_GO), REPLACED_LATER)
        ours = (is_of(self._name(activation)), g.approved.is_not(None), may, ~IS_UNSURE)
        kind = (g.aim, g.invalid.is_(None))
        query = select(*kind, func.count()).select_from(CHANGED).where(*ours).group_by(*kind)
        found = {(Aim(row[0]), bool(row[1])): row[2] for row in self._all(query)}
        removed = sum(found.get((Aim.REMOVE, each), 0) for each in (True, False))
        sent, ended = (found.get((Aim.REPLACE, each), 0) for each in (True, False))
        return Figures(0, removed, sent + ended, to_send=sent)

    def sealing(self) -> Callable[[str], str]:
        """Makes digests of texts that this ledger alone can make."""
        secret = self._secret()
        return lambda text: _short(secret, text)

    def seal(self, text: str) -> str:
        """Such a digest."""
        return self.sealing()(text)

    def _secret(self) -> bytes:
        identity = self._first(select(ledgers.c.identity))
        return blake2b(str(identity and identity[0]).encode(), digest_size=32).digest()

    def approvals(self, activation: str, limit: int = 1) -> list[Approval]:
        """The newest approvals of the activation, newest first."""
        query = select(*OF_APPROVAL).where(a.activation == self._name(activation))
        return [_approval(row) for row in self._all(query.order_by(a.id.desc()).limit(limit))]

    def standing_approval(self, activation: str) -> Approval | None:
        """The approval that the next run would use, if what is held is still what it is of."""
        newest = self.approvals(activation)
        return newest[0] if newest and newest[0].is_usable else None

    def holds(self, activations: Sequence[str]) -> dict[str, Held]:
        """What each of `activations` is held by, in a few statements for all; those that are not
        held are left out."""
        recorded, found = {name: self._name(name) for name in activations}, dict[str, Held]()
        with transaction(self._engine) as c:
            for part in chunks(list(recorded.values())):
                homes = c.execute(_held(part)).all()
                held = [row.activation for row in homes]
                approved = {row.activation: _approval(row) for row in c.execute(_approved(held))}
                for row in homes:
                    approval = approved.get(row.activation)
                    usable = approval if approval and approval.is_usable else None
                    figures = Hold.of(row.held)
                    called = self._called(c, row.activation)
                    reason = as_called(_reason_in(row.notes), called, row.activation)
                    found[row.activation] = Held(reason, figures, usable)
        return {name: found[of] for name, of in recorded.items() if of in found}

    def waits_for_approval(self, activation: str) -> bool:
        """Whether it is held, and nobody has approved that."""
        held = self.holds([activation]).get(activation)
        return held is not None and held.approval is None


class Approvals(Book, HeldRuns):
    """Approvals are recorded, used, and refused; each on the audit list."""

    @repeated
    def hold_back(self, run: Run, figures: Hold | None) -> None:
        """Hold the activation until it is approved; with None let it go."""
        with self._leased(run) as (c, _):
            mine = watermarks.c.activation == run.activation
            text = None
            if figures:
                held = c.execute(select(watermarks.c.held).where(mine)).scalar()
                text = _asked_for(figures, run, held).text
            c.execute(update(watermarks).where(mine).values(held=text))

    @repeated
    def approve(self, lease: Run, what: Approving) -> Approval:
        """Record an approval. An earlier one that no run has used lets nothing go any more. Raises
        LeaseLost."""
        with self._leased(lease) as (c, now):
            name = lease.activation
            c.execute(
                update(approvals)
                .where(a.activation == name, a.used_by.is_(None), a.void.is_(None))
                .values(void="a later one stands in its place")
            )
            used = {"used_by": lease.run_id, "used_at": now} if what.used else {}
            row = c.execute(
                insert(approvals)
                .values(
                    activation=name,
                    run_id=what.run_id,
                    at=now,
                    by=what.by,
                    note=what.note,
                    digest=what.digest,
                    shown=json.dumps(what.shown, ensure_ascii=False),
                    expires_at=None if what.span is None else now + milliseconds(what.span),
                    **used,
                )
                .returning(*OF_APPROVAL)
            ).one()
            cover(c, name, row.id)
            details = {"approval": row.id, "counts": what.shown.get("counts"), "digest": row.digest}
            details |= {"note": what.note} if what.note else {}
            details |= {"build": build} if (build := what.shown.get("build")) else {}
            note(c, Entry(APPROVED, what.by, name, what.run_id, details), now)
            return _approval(row)

    def keep_approved(self, run: Run, figures: Hold) -> None:
        """Hold what `run` was let send and has left (`figures`), approved as that was."""
        self.hold_back(run, figures)
        rows, _ = self.held_rows(run.activation)
        self._approve_rest(run, rows, figures)

    @repeated
    def _approve_rest(self, run: Run, rows: Digests, figures: Hold) -> None:
        """No deed of a person, so it is not on the audit list."""
        with self._leased(run) as (c, _):
            done = c.execute(
                select(approvals)
                .where(a.activation == run.activation, a.used_by == run.run_id)
                .order_by(a.id.desc())
            ).first()
            if done is None:
                return
            if done.digest == rows.digest:  # nothing went: it has not been used
                unused = {"used_by": None, "used_at": None}
                c.execute(update(approvals).where(a.id == done.id).values(unused))
                return
            shown = json.loads(done.shown)
            counts = {**shown.get("counts", {}), "rows": rows.count}
            counts |= {name: getattr(figures, name) for name in TAKEN_BACK if name in counts}
            shown |= {"counts": counts, "digest": rows.digest, "rest_of": done.id}
            same = {name: getattr(done, name) for name in ("run_id", "at", "by", "note")}
            same |= {"expires_at": done.expires_at, "shown": json.dumps(shown, ensure_ascii=False)}
            rest = {"activation": run.activation, "digest": rows.digest, **same}
            c.execute(insert(approvals).values(rest))

    @repeated
    def refuse_approval(self, activation: str, by: str, why: str, run_id: str | None) -> None:
        """Put on record that somebody was not let approve."""
        with transaction(self._engine) as c:
            note(c, Entry(REFUSED, by, activation, run_id, {"why": why}))

    @repeated
    def let_go_by(self, run: Run, number: int | None) -> None:
        """The activation is held no more: `run` sends what the approval `number` lets go."""
        with self._leased(run) as (c, now):
            mine = watermarks.c.activation == run.activation
            c.execute(update(watermarks).where(mine).values(held=None))
            if number is not None:
                used = {"used_by": run.run_id, "used_at": now}
                c.execute(update(approvals).where(a.id == number).values(used))

    @repeated
    def void_approval(self, number: int, why: str) -> None:
        """It lets nothing go any more."""
        with transaction(self._engine) as c:
            c.execute(update(approvals).where(a.id == number, a.void.is_(None)).values(void=why))


def _asked_for(figures: Hold, run: Run, before: str | None) -> Hold:
    """`figures` with who has asked for what is held, as `run` holds it (again)."""
    if figures.run_id is not None:  # the same rows: what is held is not read anew
        return figures
    earlier = Hold.of(before).askers if before else ()
    askers = tuple(dict.fromkeys([*earlier, run.by]))
    return replace(figures, run_id=run.run_id, askers=askers)


def _of(activation: str, keys: Sequence[str]) -> tuple[ColumnElement[bool], ...]:
    return d.activation == activation, d.row_key.in_(keys)


def _body(row: Any) -> Document:
    payload = row.what or row.payload
    return {
        "row_key": row.row_key,
        "aim": row.aim,
        "contact": row.then or row.contact,
        "created_date": row.when or row.created_date,
        "payload": json.loads(payload) if payload else None,
    }


def _short(secret: bytes, text: str) -> str:
    return blake2b(text.encode(errors="replace"), key=secret, digest_size=8).hexdigest()


def _reason(c: Connection, activation: str, called: str) -> str:
    of_it = (runs.c.activation == activation, runs.c.status == HELD)
    found = c.execute(select(runs.c.notes).where(*of_it).order_by(runs.c.started_at.desc())).first()
    return as_called(_reason_in(found[0] if found else None), called, activation)


def _reason_in(notes: str | None) -> str:
    """Why a run was held, as its notes say."""
    return str(json.loads(notes)[-1]) if notes else HELD


def _held(activations: Sequence[str]) -> Select[Any]:
    """Those that are held, with the notes of the newest run of each that was."""
    of_it = (runs.c.activation == watermarks.c.activation, runs.c.status == HELD)
    notes = select(runs.c.notes).where(*of_it).order_by(runs.c.started_at.desc()).limit(1)
    return select(
        watermarks.c.activation, watermarks.c.held, notes.scalar_subquery().label("notes")
    ).where(watermarks.c.activation.in_(activations), watermarks.c.held.is_not(None))


def _approved(activations: Sequence[str]) -> Select[Any]:
    """The newest approval of each."""
    newest = select(func.max(a.id)).where(a.activation.in_(activations)).group_by(a.activation)
    return select(*OF_APPROVAL).where(a.id.in_(newest))


def _editor(c: Connection, activation: str) -> str | None:
    # on the list an activation stands as it was called then; its runs follow it to another name
    now = func.coalesce(runs.c.activation, audit.c.activation)
    query = select(audit.c.by).outerjoin(runs, runs.c.run_id == audit.c.run_id)
    edits = query.where(audit.c.what == EDITED, now == activation)
    row = c.execute(edits.order_by(audit.c.id.desc()).limit(1)).first()
    return None if row is None else str(row[0])


def _approval(row: Any) -> Approval:
    return Approval(
        id=row.id,
        by=row.by,
        note=row.note,
        at=row.at,
        run_id=row.run_id,
        digest=row.digest,
        expires_at=row.expires_at,
        used_by=row.used_by,
        void=row.void,
        expired=bool(row.late) and row.used_by is None,
        shown=json.loads(row.shown),
    )
