"""What a user writes about one flow: a model, and how a row becomes an interaction.

These classes are the grammar of an activation (CONTRACT: closed, so an unknown key is an
error). They hold no clock, no connection and no file: `settings.py` reads, these describe.
"""

import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from connector.rules.errors import Problem
from connector.rules.grammar import (
    Closed,
    Columns,
    Limits,
    Name,
    Overlap,
    PerContact,
    Priority,
    Schedule,
    Send,
    Share,
    Shorthand,
    StartAt,
    Tags,
    Verify,
    Zone,
)

CONTROL = re.compile(r"[\x00-\x1f\x7f]")
MALFORMED = "malformed contact identifier: {}"


class Model(Closed):
    """Where the rows come from: a SELECT in a file or in place, a table, or a dbt model."""

    file: Name | None = None
    """Path of a file with one SELECT statement, relative to the configuration."""
    sql: Name | None = None
    """One SELECT statement."""
    table: Name | None = None
    """A table or view, such as shop.reviews."""
    dbt: Name | None = None
    """The name of a dbt model; its relation is looked up in dbt's manifest."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if [self.file, self.sql, self.table, self.dbt].count(None) != 3:
            raise ValueError("expected a path, or exactly one of sql, table and dbt")
        return self


class Cursor(Closed):
    """The column that orders a model, so that a run reads only what is new."""

    column: Name
    overlap: Overlap | None = None
    """How far behind the watermark each run reads again, for rows that arrive late. A duration for
    times and dates, a number for integers. Reading again never sends again."""
    timezone: Zone | None = None
    """What times without a zone mean."""


class ContactLookup(Model):
    """Rows of the warehouse that say which contact an identifier belongs to: no look-up goes to
    Engage then. A SELECT in a file or in place, a table, or a dbt model."""

    key: Name | None = None
    """Its column with the identifiers. Left out: named as the contact's column is."""
    contact_id: Name = "contact_id"
    """Its column with Engage's contactIds."""


class Contact(Closed):
    """Whom a row is about. Each kind of destination adds what it needs to know of that."""

    column: Name

    @property
    def word(self) -> str:
        """What the column holds, for people."""
        return self.column

    @property
    def needs_look_up(self) -> bool:
        """Whether it has to be found out which contact an identifier belongs to; else it is sent as
        it stands."""
        return False

    @property
    def asks_destination(self) -> bool:
        """Whether the destination can be asked whose an identifier is."""
        return False

    @property
    def table(self) -> ContactLookup | None:
        """Where the warehouse has the contacts' own ids."""
        return None

    @property
    def patience(self) -> timedelta:
        """How long an unknown contact is looked up again."""
        return timedelta(0)

    @property
    def kind(self) -> str:
        """Under what its identifiers are kept, with everything that narrows a look-up."""
        return self.column

    @property
    def known_by(self) -> tuple[str, ...]:
        """What a recorded identifier is, whatever its column is called; then what narrows a
        look-up."""
        return (self.kind,)

    def malformed(self, contact: str) -> str | None:
        """Why no contact can have this identifier; None where only the destination can say."""
        empty = CONTROL.search(contact) or not contact.strip()
        return MALFORMED.format("it is empty, or holds line breaks or the like") if empty else None

    def is_own_id(self, text: str) -> bool:
        """Whether `text` can be an id that the destination gives to contacts."""
        return bool(text.strip())

    def advice(self, ambiguous: int) -> Iterator[tuple[str | None, str]]:
        """What could be better, and by which key; `ambiguous`: rows that several contacts fit."""
        yield from ()


class CreatedDate(Closed):
    """When it happened. Left out: the time at which the row was staged."""

    column: Name
    timezone: Zone | None = None


Scalar = str | bool | int | float
LARGEST_CONSTANT = 2**63 - 1


class PayloadField(Closed):
    """Where one payload property comes from: a column, or a constant."""

    column: Name | None = None
    value: Scalar | None = None
    timezone: Zone | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.column is None) == (self.value is None):
            raise ValueError("expected the name of a column, or exactly one of column and value")
        if isinstance(self.value, float) and not math.isfinite(self.value):
            raise ValueError("expected a finite number, since JSON has no other")
        if isinstance(self.value, int) and abs(self.value) > LARGEST_CONSTANT:
            raise ValueError("expected an integer of at most 64 bits")
        return self


class Activation(Closed):
    """One configured flow: rows of a model become interactions of their contacts. Each kind of
    destination adds keys of its own, among them what the rows go to."""

    created_key: ClassVar[str] = "created_date"
    """How people call `happened`."""
    created_shown: ClassVar[str] = "created_date"
    """How what is shown of an interaction calls it."""
    acts_at_its_time: ClassVar[bool] = False
    """The destination acts when `happened` comes, and not before."""
    target_key: ClassVar[str] = "schema_id"
    """The key that says what the rows go to; `target_word`: what people call that."""
    target_word: ClassVar[str] = "schema"
    sends_references: ClassVar[bool] = False
    """A reference of ours goes along with each row, and settles every doubt about it."""

    description: str | None = None
    owner: Name | None = None
    """Who answers for it: a person or a team."""
    tags: Tags = ()
    """By which it can be chosen, with others: `connector sync tag:crm`."""
    model: Annotated[Model, Shorthand("file")]
    renamed_from: Name | Literal[False] | None = None
    """Its earlier name, under which rows were sent. false: it follows no other activation."""
    destination: Name | None = None
    """May be left out when there is one destination."""
    row_key: Columns
    """The column, or columns, whose values identify a row. One interaction per row key, ever."""
    cursor: Annotated[Cursor, Shorthand("column")] | None = None
    start: StartAt
    """Which rows count at the first run: all, none that are there now, or those since a time."""
    mode: Literal["append", "mirror"] = "append"
    """append: each row becomes one interaction, ever. mirror: there is one for each row that the
    model has now; those of rows that are gone are taken back."""
    on_change: Literal["replace", "keep"] | None = None
    """In a mirror, what becomes of the interaction of a row that has changed: it is taken back and
    sent anew (replace, where it is not written), or left as it is (keep)."""
    contact: Contact
    payload: dict[Name, Annotated[PayloadField, Shorthand("column")]] = Field(default_factory=dict)
    """Property: model column."""
    schedule: Annotated[Schedule, Shorthand("cron")] | None = None
    verify: Annotated[Verify, Shorthand("every")] | None = None
    """When it is verified by itself that all of it is there, once, as it was sent."""
    limits: Limits = Limits.model_construct()
    send: Annotated[Send, Shorthand("between")] | None = None
    """When rows are sent; those outside stay pending."""
    per_contact: PerContact | None = None
    """How often one contact is told something; what is more waits its turn, oldest first."""
    priority: Priority = 0
    """Of activations that share an API key, the highest has what shares leave of its requests; a
    twentieth of that is for those below."""
    share: Share | None = None
    """Its part of the API key's requests while others want them, such as 20%: no more, and no less.
    Left out: it has what shares leave, by priority."""
    paused: bool = False

    _name: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def _start_has_a_cursor(self) -> Self:
        if isinstance(self.start, datetime) and self.cursor is None:
            raise ValueError("start is a time, which needs a cursor; add one, or use all or now")
        return self

    @model_validator(mode="after")
    def _matches_are_looked_up(self) -> Self:
        if self.limits.matched is not None and not self.contact.needs_look_up:
            raise ValueError(
                "limits.matched needs contacts that are looked up, and these go as they stand"
            )
        return self

    @property
    def mirrors(self) -> bool:
        """Whether it is a mirror."""
        return self.mode == "mirror"

    @property
    def keeps_changed(self) -> bool:
        """Whether the interaction of a row that has changed is left as it is."""
        return self.on_change == "keep"

    def problems_of_mode(self, takes_back: bool, called: str) -> Iterator[Problem]:
        """What does not go with its mode, by paths inside it. `takes_back`: whether interactions at
        the destination, which is `called` so, can be deleted by their ids."""
        if not self.mirrors:
            only = "goes with mode: mirror alone; take it out, or add mode: mirror"
            if self.on_change is not None:
                yield Problem(("on_change",), f"on_change: {only}")
            for key in ("removed", "replaced"):
                if getattr(self.limits, key) is not None:
                    yield Problem(("limits", key), f"limits.{key}: {only}")
            return
        if not takes_back:
            yield Problem(
                ("mode",),
                f"mode: mirror takes interactions back by their ids, and those in {called} cannot"
                " be; take the key out",
            )
            return  # what a mirror wants besides does not matter then
        if self.cursor is not None:
            yield Problem(
                ("cursor",), "cursor: a mirror reads its whole model at each run; take it out"
            )
        if self.start != "all":
            yield Problem(
                ("start",),
                "start: a mirror has an interaction for each row of the model; write all",
            )

    @property
    def name(self) -> str:
        """The key under `activations:`."""
        return self._name

    def named(self, name: str) -> Self:
        """This activation under its name; the grammar has the name outside the mapping."""
        copy = self.model_copy()
        copy._name = name
        return copy

    @property
    def target(self) -> str:
        """What its rows go to at the destination: it must not change under the name."""
        return ""

    @property
    def former_target(self) -> str | None:
        """What its rows went to before, where the user says so."""
        return None

    @property
    def happened(self) -> CreatedDate | None:
        """Where a row says when it happened; None: that is the time at which it is staged."""
        return None

    @property
    def own_parts(self) -> Mapping[str, Any]:
        """Keys of one kind of destination that name a `column`."""
        return {}

    @property
    def sent(self) -> Mapping[str, PayloadField]:
        """All that a row says beside contact and time, by name, recorded together as its payload:
        the `payload`, and keys of one kind of destination that say something of each row."""
        return self.payload

    @property
    def own_sent(self) -> list[str]:
        """What is sent, and stands outside of `payload`, under its own key."""
        return [name for name in self.sent if name not in self.payload]

    def path_to(self, name: str) -> tuple[str, ...]:
        """Where, in the activation, stands what is `sent` as `name`."""
        return ("payload", name) if name in self.payload else (name,)

    def shown_at(self, created: datetime) -> datetime:
        """The time that a destination shows of a row that happened at `created`."""
        return created

    def too_late(self, created: datetime | None, now: datetime) -> str | None:
        """Why a row of `created` is not sent any more at `now`, in words that stay the same;
        `created` None: it is staged now."""
        return None

    def advice(self, shape: Any) -> list[Problem]:
        """What of the `shape` of payloads is left unused."""
        return []

    @property
    def columns(self) -> dict[tuple[str | int, ...], str]:
        """Every column that the activation names, by its path in the configuration."""
        found: dict[tuple[str | int, ...], str] = {
            ("row_key",) if len(self.row_key) == 1 else ("row_key", i): column
            for i, column in enumerate(self.row_key)
        }
        if self.cursor:
            found[("cursor",)] = self.cursor.column
        found[("contact", "column")] = self.contact.column
        found |= {(name,): part.column for name, part in self.own_parts.items()}
        for name, field in self.sent.items():
            if field.column is not None:
                found[self.path_to(name)] = field.column
        return found

    def respelt(self, spelling: Mapping[str, str]) -> Self:
        """This activation with every column spelt as `spelling` has it."""
        parts = {"contact": self.contact, **self.own_parts}
        if self.cursor:
            parts["cursor"] = self.cursor
        fields: dict[str, Any] = {name: _respelt(part, spelling) for name, part in parts.items()}
        fields["row_key"] = tuple(spelling[c] for c in self.row_key)
        sent = {n: _respelt(f, spelling) if f.column else f for n, f in self.sent.items()}
        fields["payload"] = {name: sent[name] for name in self.payload}
        fields |= {name: sent[name] for name in self.own_sent}
        return self.model_copy(update=fields).named(self.name)


def _respelt(part: Any, spelling: Mapping[str, str]) -> Any:
    return part.model_copy(update={"column": spelling[part.column]})


class DatedActivation(Activation):
    """An activation whose rows may say when they happened."""

    created_date: Annotated[CreatedDate, Shorthand("column")] | None = None

    @property
    def happened(self) -> CreatedDate | None:
        """As it is written."""
        return self.created_date

    @property
    def own_parts(self) -> Mapping[str, Any]:
        """created_date, where it is written."""
        return {"created_date": self.created_date} if self.created_date else {}
