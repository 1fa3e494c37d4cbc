"""Find out whether a sync would work, before there is one. Writes nothing, sends no POST."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from connector.basis import dataclass
from connector.ledger.reports import Reports
from connector.rules.activation import Activation
from connector.rules.columns import mapping_misfits
from connector.rules.deed import Document
from connector.rules.delivery import State, waiting_for_person
from connector.rules.errors import ConfigurationError, ConnectorError, Mark, Path
from connector.rules.grammar import Times
from connector.rules.mapping import LONGEST_KEY, key_text
from connector.rules.words import by_state, counted
from connector.sync.behind import passed_over
from connector.sync.elsewhere import Others, recorded_elsewhere
from connector.sync.findings import REPEATED_KEYS
from connector.sync.limits import FIRST_SYNC_ROWS
from connector.sync.mirror_ahead import Mirror
from connector.sync.outlook import BY_ROWS, Outlook, Stands, Would
from connector.sync.preview import Preview, look
from connector.sync.reading import Plan, Source, first_keys, plan
from connector.sync.result import exit_code
from connector.warehouse import Reader, lookup_columns


class Level(StrEnum):
    """What a finding means for a sync."""

    OK = "ok"
    ADVICE = "advice"
    """It works, and could be better."""
    DATA = "data"
    """Rows of the model wait for a person."""
    CONFIGURATION = "configuration"
    """It cannot work as it is written."""
    OUTSIDE = "outside"
    """Something outside stands in the way."""


MOST_ROWS = 120_000
"""Rows at which a check looks at most, where a limit makes it look further than at the first."""
MOST_REASONS = 5
"""How many reasons of invalid rows a check tells; a preview tells all."""

SAMPLED = 500
"""Rows that are read twice, to see whether they keep their keys."""
SUSPICIOUS_SHARE = 0.2
"""Of keys that stand for somebody else at the second reading."""

EXIT_CODES = {Level.CONFIGURATION: 2, Level.OUTSIDE: 3, Level.DATA: 1}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and what was found."""

    level: Level
    message: str
    path: Path = ()
    rule: str = "check"
    mark: Mark | None = None

    def document(self) -> Document:
        """For programs; the place is null where it is of no line of the configuration."""
        return {
            "level": self.level,
            "message": self.message,
            "rule": self.rule,
            "file": str(self.mark.file) if self.mark else None,
            "line": self.mark.line if self.mark else None,
            "column": self.mark.column if self.mark else None,
        }


def findings_of(error: ConnectorError) -> list[Finding]:
    """What an exception says, as findings."""
    if isinstance(error, ConfigurationError):
        return [Finding(Level.CONFIGURATION, p.message, p.path, p.rule) for p in error.problems]
    return [Finding(Level.OUTSIDE, str(error))]


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found for an activation. `outlook` None: it did not come to that."""

    findings: list[Finding]
    outlook: Outlook | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """What was found for several activations."""

    activations: Mapping[str, Checked]

    @property
    def exit_code(self) -> int:
        levels = [f.level for checked in self.activations.values() for f in checked.findings]
        return exit_code([EXIT_CODES.get(level, 0) for level in levels])

    def document(self) -> Document:
        return {
            "ok": self.exit_code == 0,
            "activations": [
                {
                    "name": name,
                    "findings": [f.document() for f in checked.findings],
                    "outlook": checked.outlook.document() if checked.outlook else None,
                }
                for name, checked in self.activations.items()
            ],
        }


SETTLED_WITHIN = timedelta(minutes=2)
"""The least that should pass before an absence is believed. A gateway in front of an API goes on
with a request that nobody waits for any more, for up to a minute as gateways are commonly set; and
a list may be read from a copy that is behind by as much."""


def check_wait(name: str, timeout: timedelta, settle_after: timedelta) -> Iterator[Finding]:
    """Whether what the destination `name` takes can be outlived by a wait so long."""
    wait = timeout + settle_after
    if wait < SETTLED_WITHIN:
        yield Finding(
            Level.ADVICE,
            f"timeout and settle_after are {wait.total_seconds():g} s together: a request that a"
            " gateway passes on later than that, or an interaction that is shown later, is sent"
            f" twice; let them be {SETTLED_WITHIN.total_seconds():g} s at least (by default they"
            " are 4 minutes)",
            ("destinations", name, "settle_after"),
        )


def check_model(
    source: Source[Reports],
    stands: Stands,
    named: bool,
    others: Others,
    compare: Callable[[int], Preview] | None = None,
) -> Checked:
    """Look at the model, its columns and keys, its first rows, and what a run would do with them.
    `named`: somebody wants just this activation; `others`: see elsewhere.py; `compare`: how a whole
    model is compared, so many rows of which are kept, where its first rows do not say what becomes
    of it."""
    schema, reader = source.schema, source.reader
    findings: list[Finding] = []
    outlook = None
    try:
        reading = plan(source)
        activation = reading.activation
        findings += _columns(activation, reader)
        if schema:
            misfits = mapping_misfits(activation, schema, reading.types)
            findings += [Finding(Level.CONFIGURATION, p.message, p.path) for p in misfits]
            findings += [
                Finding(Level.ADVICE, p.message, p.path) for p in activation.advice(schema)
            ]
        total = reading.count()
        if compare and total <= MOST_ROWS:
            seen = compare(0)
        else:
            seen = look(reading, _enough(activation, stands, total))
            seen.compare(source, reading)
        findings += _keys(activation, reader, seen.without_key)
        findings += _stable(reading)
        findings += _position(reading, seen.cursors)
        findings += _first_rows(seen, total, fits=schema is not None)
        findings += _refused(seen, activation)
        seen.elsewhere = recorded_elsewhere(reading, source.memory, stands, others)
        outlook = seen.foresee(activation, stands)
        findings += _next_run(activation, stands, outlook, named)
        if activation.mirrors:
            findings += _compared(seen.mirror, seen.new, total)
            if seen.mirror is None and outlook.would in (Would.SEND, Would.NOTHING):
                outlook = None  # what is there is not known from the first rows
        elif not seen.whole and outlook.would is Would.NOTHING and outlook.because in BY_ROWS:
            outlook = None  # there may be something among the rows that were not looked at
    except ConnectorError as error:
        return Checked([*findings, *findings_of(error)], outlook)
    carried = {field.column for field in activation.payload.values()}
    carries = activation.sends_references or activation.row_key[0] in carried
    if len(activation.row_key) == 1 and not carries:
        findings.append(
            Finding(
                Level.ADVICE,
                f"no payload property carries the row key ({activation.row_key[0]}); one that does"
                " settles every doubt about what the destination has stored",
                ("activations", activation.name, "payload"),
            )
        )
    findings += _names(activation, source.memory)
    findings += _contacts(activation, source.memory)
    return Checked(findings, outlook)


def _enough(activation: Activation, stands: Stands, total: int) -> Callable[[Preview], bool]:
    """How far a model is read: to the first row that a run would send, and on while a limit may yet
    hold it."""
    limits = activation.limits
    most: int | None = FIRST_SYNC_ROWS if stands.first else None
    if isinstance(limits.rows, int):
        most = limits.rows
    whole = limits.refused is not None or limits.older_than or isinstance(limits.rows, Times)
    may_pass = most is not None and stands.pending + total > most
    settled = stands.hindrance or stands.paused or stands.held

    def enough(seen: Preview) -> bool:
        if settled or seen.read >= MOST_ROWS:
            return True
        if may_pass and most is not None and stands.pending + seen.new + seen.rejected <= most:
            return False
        return not whole and (activation.mirrors or seen.new > 0)

    return enough


def _columns(activation: Activation, reader: Reader) -> Iterator[Finding]:
    columns = ", ".join(dict.fromkeys(activation.columns.values()))
    yield Finding(Level.OK, f"the model runs and has the columns it needs ({columns})")
    if lookup := activation.contact.table:
        found = " and ".join(lookup_columns(activation, lookup, reader))
        yield Finding(Level.OK, f"the lookup runs and has the columns it needs ({found})")
    if activation.mirrors and not reader.makes_digests:
        yield Finding(
            Level.ADVICE,
            "this warehouse computes no digests of rows here (DuckDB and PostgreSQL do): each run"
            " of the mirror reads and maps all rows of the model, also those that have not changed",
            ("activations", activation.name, "mode"),
        )


def _keys(activation: Activation, reader: Reader, unusable: int) -> Iterator[Finding]:
    """`unusable`: rows among those that were looked at which have no row key that can be kept."""
    key = ", ".join(activation.row_key)
    path: Path = ("activations", activation.name, "row_key")
    number, example = reader.repeated_keys(activation)
    which = "only the first row of a key is sent"
    if activation.mirrors:
        which = REPEATED_KEYS[True]
    stand = "stands" if number == 1 else "stand"
    if number:
        yield Finding(
            Level.DATA,
            f"row_key {key} is not unique: {counted(number, 'key')} {stand} more than once, such as"
            f" {key_text(example)}; {which}",
            path,
        )
    if without := reader.count_null(activation, activation.row_key):
        yield Finding(
            Level.DATA, f"{counted(without, 'row')} without a row_key ({key} is NULL)", path
        )
    elif unusable:
        why = f"it is longer than {LONGEST_KEY:,} characters, or nothing that can be kept as it is"
        text = f"{counted(unusable, 'row')} without a row_key that can be used ({key}): {why}"
        yield Finding(Level.DATA, text, path)
    no_key, cursor = without or unusable, activation.cursor
    if cursor and (without := reader.count_null(activation, [cursor.column])):
        yield Finding(
            Level.DATA,
            f"{counted(without, 'row')} where the cursor {cursor.column} is NULL; such"
            " rows are invalid, since they have no place in the order",
            ("activations", activation.name, "cursor"),
        )
    if not (number or no_key):
        yield Finding(Level.OK, f"every row has its own row key ({key})")


def _position(reading: Plan, cursors: Sequence[Any]) -> Iterator[Finding]:
    """Where reading begins, and whether it passes over rows."""
    if reading.scan.cursor is None:
        return
    path: Path = ("activations", reading.activation.name, "cursor")
    yield from (Finding(Level.ADVICE, note, path) for note in reading.notes)
    _, told = passed_over(reading, reading.mark, bool(cursors))
    yield from (Finding(Level.DATA, note, path) for note in told)
    if (
        cursors
        and all(isinstance(c, str) and c.isdecimal() for c in cursors)
        and (len({len(c) for c in cursors}) > 1)
    ):
        yield Finding(
            Level.ADVICE,
            f"the cursor {reading.scan.cursor} holds numbers that are texts, and are ordered as"
            " texts: 10 comes before 9 and would be passed over; cast it in the model",
            path,
        )


def _stable(reading: Plan) -> Iterator[Finding]:
    """Whether rows keep their keys from one reading to the next."""
    first = _sample(reading)
    if not (problem := difference(first, again := _sample(reading))):
        return
    if difference(again, _sample(reading)):  # once may be somebody who writes meanwhile
        activation = reading.activation
        yield Finding(
            Level.CONFIGURATION,
            f"the row_key {', '.join(activation.row_key)} is not the same at each reading:"
            f" {problem}."
            " Every run would send its rows again, as with uuid(), random() or a row_number() whose"
            " order leaves ties; take a key that a row keeps",
            ("activations", activation.name, "row_key"),
        )


def _sample(reading: Plan) -> Mapping[str, Any]:
    """By row key, whom the first rows of the model are about; nobody, for a key of several rows,
    since these have no order."""
    rows = first_keys(reading, SAMPLED, [reading.activation.contact.column])
    found: dict[str, Any] = {}
    for values, contact in rows:
        if (key := key_text(values)) is not None:
            found[key] = None if key in found else contact
    return found


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """In what two readings of the first rows of a model differ as those of a stable key do not;
    both in the order in which they were read."""
    gone, new = [key for key in one if key not in other], other.keys() - one.keys()
    # a row that came before them pushes the last ones of a full sample out
    pushed = len(one) == SAMPLED and [*one][-len(gone) :] == gone and 2 * len(gone) <= len(one)
    if gone and len(new) >= len(gone) and not pushed:
        return (
            f"of {counted(len(one), 'key')} that were read, {len(gone):,} were gone when they were"
            " read once more, and as many others there"
        )
    both = [key for key in one if key in other]
    moved = sum(one[key] != other[key] for key in both)
    if moved > 1 and moved >= SUSPICIOUS_SHARE * len(both):
        return (
            f"{moved:,} of {counted(len(both), 'key')} stood for rows of other contacts when they"
            " were read once more"
        )
    return None


def _first_rows(seen: Preview, total: int, fits: bool) -> Iterator[Finding]:
    """What becomes of the rows that a run would record. `fits`: they were held against a schema."""
    number = seen.new + seen.invalid + seen.rejected
    found = _reasons(seen).most_common()
    reasons = [each for each in found if each[0] not in seen.refusals]
    which = f"the first {counted(number, 'row')}"
    if not seen.read:
        yield Finding(Level.OK, "there is no row to read")
    elif not number:
        some = f"no row is new, of {counted(seen.read, 'row')} that a run would read"
        none = f"none of the first {counted(seen.read, 'row')} that a run would read is new"
        yield Finding(Level.OK, some if seen.whole else none)
    elif not reasons:
        fit = "fit the schema" if number > 1 else "fits the schema"
        unknown = "can be mapped; whether they fit the schema could not be found out"
        yield Finding(Level.OK, f"{which} {fit if fits else unknown}")
    for reason, invalid in reasons[:MOST_REASONS]:
        yield Finding(
            Level.DATA,
            f"{invalid:,} of {which} would be invalid, such as {seen.examples[reason]}: {reason}",
        )
    if len(reasons) > MOST_REASONS:
        more = counted(len(reasons) - MOST_REASONS, "more reason")
        yield Finding(Level.DATA, f"{more}; `connector preview` counts the rows of each")
    if not seen.whole:
        yield Finding(
            Level.OK,
            f"{seen.read:,} of {max(total, seen.read):,} rows were looked at; `connector preview`"
            " looks at all",
        )


def _refused(seen: Preview, activation: Activation) -> Iterator[Finding]:
    """Rows of which it is certain that they are never sent as they are."""
    number = counted(seen.new + seen.invalid + seen.rejected, "row")
    path, reasons = ("activations", activation.name, "contact", "column"), _reasons(seen)
    for reason in sorted(seen.refusals):
        text = f"{reasons[reason]:,} of the first {number} would be rejected, such as"
        yield Finding(Level.DATA, f"{text} {seen.examples[reason]}: {reason}", path)
    late = activation.too_late(datetime.min.replace(tzinfo=UTC), datetime.now(UTC))
    for reason, again in sorted(Counter(reason for _, reason in seen.again).items()):
        example = next(key for key, each in seen.again if each == reason)
        text = (
            f"{counted(again, 'recorded row')} would be rejected, such as {example}: {reason}; a"
            " row stays as it was recorded, until it is rejected and"
            f" `connector quarantine retry {activation.name}` maps it as the model has it by then"
        )
        yield Finding(Level.DATA, text, () if reason == late else path)


def _reasons(seen: Preview) -> Counter[str]:
    """Those of the rows that were read."""
    return seen.reasons - Counter(reason for _, reason in seen.again)


def _compared(mirror: Mirror | None, new: int, total: int) -> Iterator[Finding]:
    """What a run of a mirror would do, where all of its model was compared."""
    if mirror is None:
        yield Finding(
            Level.OK,
            f"what a run would take back, replace and send of {total:,} rows is not looked at here:"
            " `connector preview` compares all of them, and says whether a run would be held",
        )
        return
    parts = (
        (new, f"send {counted(new, 'new row')}"),
        (mirror.returned, f"send {mirror.returned:,} again"),
        (mirror.removed, f"take {mirror.removed:,} back"),
        (mirror.replaced, f"replace {mirror.replaced:,}"),
    )
    *first, last = [what for number, what in parts if number] or ["change nothing"]
    does = f"{', '.join(first)} and {last}" if first else last
    at = f"of {mirror.live:,} at the destination"
    yield Finding(Level.OK, f"a run would {does}, {at}, as far as it is let go")


def _next_run(
    activation: Activation, stands: Stands, outlook: Outlook, named: bool
) -> Iterator[Finding]:
    """What stands in the ledger, and whether a run would send."""
    path: Path = ("activations", activation.name)
    if waits := waiting_for_person(stands.counts):
        number = sum(waits.values())
        asked = "a run asks about those in doubt first; " if State.IN_DOUBT in waits else ""
        yield Finding(
            Level.DATA,
            f"{counted(number, 'recorded row')} {'waits' if number == 1 else 'wait'} for a person"
            f" ({by_state(waits)}); {asked}`connector quarantine list {activation.name}` says why",
        )
    yield from (Finding(Level.ADVICE, note) for note in outlook.notes)
    match outlook.would:
        case Would.BE_STOPPED:
            yield Finding(Level.OUTSIDE, str(outlook.because))
        case Would.BE_HELD:
            yield Finding(Level.DATA, f"a run would be held, because {outlook.because}", path)
        case Would.BE_PASSED_BY:
            level = Level.DATA if named else Level.ADVICE
            yield Finding(level, f"a run would send nothing, because {outlook.because}", path)
        case _:
            pass


def _names(activation: Activation, reports: Reports) -> Iterator[Finding]:
    """Whether a lost request can be asked about."""
    if reports.names_of_its_own(activation.name):
        yield Finding(
            Level.ADVICE,
            "the destination was seen to give requests ids of its own instead of ours: one whose"
            " answer gets lost cannot be asked about, so all of its rows wait for a person. Ask"
            " whoever runs the destination to keep the ids that are sent along; until then, fewer"
            " rows in a request (batch.rows) make less work of each lost answer",
            ("activations", activation.name),
        )


def _contacts(activation: Activation, reports: Reports) -> Iterator[Finding]:
    how, path = activation.contact, ("activations", activation.name, "contact")
    for key, message in how.advice(reports.ambiguous(activation.name)):
        yield Finding(Level.ADVICE, message, (*path, key) if key else path)
