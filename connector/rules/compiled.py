"""The mapping of one activation as one function, for rows whose types are exactly what is expected.

What such a row becomes is written down once, column by column, as straight lines of Python. Every
other row, and one of which anything is odd, is handed to `RowMapper`: it alone says what is wrong
with a row, and makes the same of each row that both take.

The function is generated as text and run by `exec`. That is safe since the text is ours alone: the
templates of this module, numbers of columns, and names such as `c3`. What a user has written (names
of properties, constants, zones) goes in as the values of these names, never as text.
"""

from collections.abc import Callable, Sequence
from dataclasses import field
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from hashlib import blake2b
from math import isfinite
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson

from connector.basis import dataclass
from connector.rules.activation import Activation
from connector.rules.interaction import (
    CREATED_BYTES,
    PAYLOAD_BYTES,
    Interaction,
    Invalid,
    plain,
)
from connector.rules.mapping import (
    CONVERTERS,
    LARGEST_EXACT_FLOAT,
    LARGEST_INTEGER,
    LONGEST_KEY,
    SMALLEST_INTEGER,
    Row,
    RowMapper,
    as_text,
    key_text,
    to_moment,
    wanted_by,
)
from connector.rules.schema import InteractionSchema
from connector.rules.values import PLACED, has_place, is_text

SURE = 15
"""Digits of a decimal that always come back from a double."""
SCALARS = frozenset((str, int, float, bool, type(None)))
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 -- the times that it is taken from are in UTC

Mapping = Callable[[Row], Interaction | Invalid]


class Odd(Exception):
    """A row that is not what is expected."""


def present(values: dict[str, Any]) -> dict[str, Any]:
    """Those that are not NULL."""
    return {name: value for name, value in values.items() if value is not None}


TOOLS: dict[str, Any] = {
    tool.__name__: tool
    for tool in (
        *(Odd, Interaction, Decimal, UUID, datetime, blake2b),
        *(isfinite, is_text, has_place, to_moment, plain, present, as_text),
    )
}
TOOLS |= {
    # a frozen dataclass sets each of its fields through two more calls: 1 µs of every row
    f"set_{name}": getattr(Interaction, name).__set__
    for name in ("contact", "created", "payload", "made")
}
TOOLS |= {
    "new": object.__new__,
    "dumps": orjson.dumps,
    "UTC": UTC,
    "EPOCH": EPOCH,
    "SCALARS": SCALARS,
    "PLACED": PLACED,
}
"""What the lines below may name."""

READ = """
{v} = {read}(row)
if type({v}) not in SCALARS: raise Odd
"""
EXPECTED = {
    "string": """
if type({v}) is not str and {v} is not None:
    if type({v}) is int: {v} = str({v})
    elif type({v}) is float and 'e' not in (text := repr({v})) and 'n' not in text: {v} = text
    else:
        {v} = {read}(row)
        if type({v}) is not str: raise Odd
""",
    "boolean": """
if type({v}) is not bool and {v} is not None: {v} = {read}(row)
""",
    "integer": f"""
if {{v}} is not None:
    if type({{v}}) is not int or not {SMALLEST_INTEGER} <= {{v}} <= {LARGEST_INTEGER}:
        {{v}} = {{read}}(row)
""",
    "number": f"""
t = type({{v}})
if t is Decimal:
    text = str({{v}})
    if len(text) > {SURE} or 'E' in text or not isfinite({{v}} := float(text)):
        {{v}} = {{read}}(row)
elif t is float:
    if not isfinite({{v}}): raise Odd
elif {{v}} is not None:
    if t is not int or not -{LARGEST_EXACT_FLOAT} <= {{v}} <= {LARGEST_EXACT_FLOAT}:
        {{v}} = {{read}}(row)
        if type({{v}}) not in SCALARS: raise Odd
""",
}
"""By the one JSON type of a property, how its value `v` is taken as it is; else it is `read`."""
SAME = {
    "string": "({v} if {v} is None or len({v}) < 20 or {v}[10] != 'T' else plain({v}))",
    "boolean": "{v}",
    "integer": "{v}",
    "number": "({v} if type({v}) is not float or not {v}.is_integer() else plain({v}))",
    "": "plain({v})",
}
"""The same, in the one form that stands for all writings of a value."""
TEXT = {
    "string": "{v}",
    "boolean": "('true' if {v} else 'false')",
    "integer": "str({v})",
    "": "as_text({v})",
}
"""The same, as it is sent where every value becomes a text."""
CONTACT = """
contact = row[{place}]
if type(contact) is str:
    contact = contact.strip()
    if not contact or '\\x00' in contact: raise Odd
    if not contact.isascii() and not is_text(contact): raise Odd
elif type(contact) is int or type(contact) is UUID: contact = str(contact)
else: raise Odd
"""
PLACE = """
at = row[{place}]
if type(at) not in PLACED and not has_place(at): raise Odd
"""
TIME = """
at = row[{place}]
if not ({in_utc} and type(at) is datetime and at.tzinfo is None):
    at = to_moment(at, {zone}, {path}).astimezone(UTC).replace(tzinfo=None)
created = at.isoformat()
if not (micro := at.microsecond): created += '.000Z'
elif micro % 1000: created += 'Z'
else: created = created[:-3] + 'Z'
"""
DIGEST_OF_TIME = f"""
since = at - EPOCH
second = since.days * 86400 + since.seconds
digest += blake2b(b'%d' % second, digest_size={CREATED_BYTES}).hexdigest()
"""


MADE = """
made = new(Interaction)
set_contact(made, contact)
set_created(made, created)
set_payload(made, data)
set_made(made, {digest})
return made
"""
WHOLE = """
def make({names}):
    def mapped(row):
        try:
{inner}
        except Exception:  # whatever is odd about it: who takes any row says what
            return {usual}(row)
    return mapped
"""


class CompiledMapper(RowMapper):
    """As RowMapper, which makes the same of every row and takes four times as long."""

    def __init__(
        self,
        activation: Activation,
        schema: InteractionSchema | None,
        columns: Sequence[str],
        zone: ZoneInfo | None = None,
        key: Sequence[str] | None = None,
    ) -> None:
        super().__init__(activation, schema, columns, zone, key)
        self._activation, self._zone = activation, zone
        self._key_place = self._key[0] if len(self._key) == 1 else None

    def __call__(self, row: Row) -> Interaction | Invalid:
        return self.with_digest(row)

    @cached_property
    def with_digest(self) -> Mapping:
        """The function itself, for whom it is called of every row."""
        return self._function(digest=True)

    @cached_property
    def without_digest(self) -> Mapping:
        """The same; a digest is made when somebody asks for it."""
        return self._function(digest=False)

    def keys(self, rows: Sequence[Row]) -> list[str | None]:
        """The row key of each of `rows`."""
        if (place := self._key_place) is None:
            return super().keys(rows)
        return [
            value
            if type(value := row[place]) is str
            and len(value) <= LONGEST_KEY
            and value.isascii()
            and "\x00" not in value
            else key_text((value,))
            for row in rows
        ]

    def _function(self, digest: bool) -> Mapping:
        source = _Source()
        if self._cursor is not None:
            source.add(PLACE, place=self._cursor)
        source.add(CONTACT, place=self._contact)
        self._add_time(source)
        same = self._add_body(source)
        if digest:
            source.add(f"digest = blake2b({same}, digest_size={PAYLOAD_BYTES}).hexdigest()")
            if self._activation.happened:
                source.add(DIGEST_OF_TIME)
        source.add(MADE, digest="digest" if digest else None)
        return source.compiled(super().__call__)

    def _add_time(self, source: "_Source") -> None:
        happened = self._activation.happened
        if happened is None:
            source.add("created = None")
            return
        zone = happened.timezone or self._zone
        source.add(
            TIME,
            place=self._exact(happened.column),
            in_utc=zone is not None and zone.key == "UTC",
            zone=source.constant(zone),
            path=source.constant(
                ("activations", self._activation.name, self._activation.created_key)
            ),
        )

    def _add_body(self, source: "_Source") -> str:
        """Add what makes `data`, the bytes to be sent; what makes those of which its digest is."""
        sent, kinds = [], []
        for i, (name, part) in enumerate(self._activation.sent.items()):
            v, kind = f"v{i}", self._kind(name)
            read, named = source.constant(self._reads[i + 2][1]), source.constant(name)
            if part.column is None:
                kind = ""
            else:
                source.add(f"{v} = row[{self._exact(part.column)}]")
            source.add(EXPECTED.get(kind, READ), v=v, read=read)
            sent.append((v, named))
            kinds.append(kind)
        source.add(f"gaps = {' or '.join(f'{v} is None' for v, _ in sent) or None}")
        source.add(body := f"body = {{{', '.join(f'{named}: {v}' for v, named in sent)}}}")
        source.add("if gaps: body = present(body)")
        source.add("data = dumps(body)")  # before it is validated: half a character is no text
        if self._schema:
            source.add(f"if not {source.constant(self._schema.accepting)}(body): raise Odd")
        if self._schema and self._schema.text and {*kinds} != {"string"}:
            for (v, _), kind in zip(sent, kinds, strict=True):
                source.add(f"if {v} is not None: {v} = {TEXT.get(kind, TEXT['']).format(v=v)}")
            kinds = ["string"] * len(sent)
            source.add(body)
            source.add("if gaps: body = present(body)")
            source.add("data = dumps(body)")
        same = [
            f"{named}: {SAME[k].format(v=v)}" for (v, named), k in zip(sent, kinds, strict=True)
        ]
        in_order = sorted(zip(self._activation.sent, same, strict=True))
        ordered = f"{{{', '.join(each for _, each in in_order)}}}"
        return f"dumps(present({ordered}) if gaps else {ordered})"

    def _kind(self, name: str) -> str:
        """The one type that a value becomes; or "", where that takes more than a look."""
        wanted = wanted_by(self._schema, name)
        kinds = [kind for kind in CONVERTERS if kind in wanted.types]
        return kinds[0] if len(kinds) == 1 and wanted.format != "date-time" else ""


@dataclass(slots=True)
class _Source:
    """The lines of a function of one row, and the values of the names that they use."""

    lines: list[str] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def constant(self, value: Any) -> str:
        """A name for `value`."""
        self.constants.append(value)
        return f"c{len(self.constants) - 1}"

    def add(self, lines: str, **holes: Any) -> None:
        self.lines += (lines.format(**holes) if holes else lines).strip("\n").split("\n")

    def compiled(self, usual: Mapping) -> Mapping:
        """The function; `usual` takes the rows of which anything is odd."""
        any_row = self.constant(usual)
        names = ", ".join(f"c{i}" for i in range(len(self.constants)))
        inner = "\n".join(f"            {line}" for line in self.lines)
        text = WHOLE.format(names=names, inner=inner, usual=any_row)
        space = dict(TOOLS)
        exec(compile(text, "<an activation's mapping>", "exec"), space)
        made: Mapping = space["make"](*self.constants)
        return made
