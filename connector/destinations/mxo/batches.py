"""What MXO says of a batch: its id, its status, its errors, and what that means for each row.

How these answers are written is in no public copy of the documentation. So each is read by what it
is called in many ways, and believed only as far as it adds up: a row is processed where the number
of errors that were read is the number that the status gives, and each is some other row's.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import orjson

from connector.basis import dataclass
from connector.destinations.http import parsed
from connector.destinations.port import Doubt, Item
from connector.rules.read_back import Here, TurnedDown, Undecided, Underway, Verdict

IDS = ("jobid", "id")
LONGEST_ID = 200
STATUSES = ("status", "state", "batchstatus", "jobstatus", "batchstate", "jobstate")
INSIDE = ("batch", "job", "data", "result", "counts", "statistics", "summary", "record")
WITHIN = (*INSIDE, *STATUSES)
ENDED = {
    *("completed", "complete", "done", "finished", "success", "succeeded", "successful"),
    *("processed", "partial", "partialsuccess", "partialfailure", "ended"),
    *(f"partially{word}" for word in
      ("completed", "processed", "succeeded", "successful", "failed")),
    *(f"{word}successfully" for word in ("completed", "finished", "processed")),
    *(f"{word}with{what}" for word in
      ("completed", "complete", "finished", "processed", "done", "ended", "succeeded", "success")
      for what in ("errors", "error", "warnings", "failures")),
}  # fmt: skip
FAILED = {"failed", "failure", "error", "errored", "aborted", "cancelled", "canceled", "rejected"}
UNDER_WAY = {
    *("queued", "pending", "processing", "running", "inprogress", "accepted", "submitted"),
    *("received", "new", "created", "started", "waiting", "scheduled", "validating", "open"),
}
TOTALS = (
    *("total", "totalrecords", "recordcount", "recordstotal", "totalcount", "records"),
    *("numberofrecords", "recordsreceived", "receivedrecords"),
)
DONE = ("processed", "processedrecords", "recordsprocessed", "processedcount")
GOOD = (
    *("succeeded", "successful", "successcount", "successfulrecords", "recordssucceeded"),
    *("success", "succeededrecords", "succeededcount", "successfulcount"),
)
BAD = (
    *("failed", "failedrecords", "recordsfailed", "failedcount", "failures", "failurecount"),
    *("errors", "errorcount", "errorrecords", "recordserrored", "rejected", "rejectedrecords"),
    *("errorscount", "numberoferrors", "totalerrors", "totalfailed", "invalid", "invalidrecords"),
)
LEFT = (
    *("pending", "pendingrecords", "recordspending", "pendingcount", "remaining", "queued"),
    *("remainingrecords", "unprocessed", "unprocessedrecords", "inprogress", "inprogressrecords"),
)
LISTS = ("errors", "records", "items", "data", "content", "results", "errorrecords")
FROM_0 = ("index", "recordindex", "arrayindex")
FROM_1 = ("line", "linenumber", "recordnumber", "rownumber")
CUSTOMERS = ("customerkey",)
MESSAGES = ("message", "error", "reason", "errormessage", "description", "detail", "text")
INNER = ("errors", "fielderrors", "violations", "details", "messages", "causes")
CODES = ("code", "errorcode")
REFERENCE = re.compile(r"c[a-z2-7]{26}")
PLACE = re.compile(r"[0-9]{1,9}")
NUMBER = re.compile(rf"{PLACE.pattern}([.]0+)?")
DEEPEST = 8


def same_id(one: str, other: str) -> bool:
    """Whether both are one batch's: how letters are written makes no difference."""
    return one.strip().strip("{}").lower() == other.strip().strip("{}").lower()


def id_in(content: object, headers: Mapping[str, str]) -> str | None:
    """The id of a batch that an answer shows; None where it shows none."""
    told = one_of(content) or {}
    named = _first(told, ("batchid",), (str, int), fits=_is_id) or headers.get("batchId")
    found = named if named and _is_id(named) else _first(told, IDS, (str, int), fits=_is_id)
    return None if found is None else str(found)


def _is_id(given: str | int) -> bool:
    """Whether something can be asked for by it."""
    return bool(given) and str(given).isprintable() and len(str(given)) <= LONGEST_ID


@dataclass(frozen=True, slots=True)
class Status:
    """A status as it was told. `word`: in small letters; numbers are None where they are not told:
    of `records`, those `done`, `good` and `bad`, and those that are `left`."""

    word: str
    records: int | None = None
    done: int | None = None
    good: int | None = None
    bad: int | None = None
    left: int | None = None

    @property
    def is_clean(self) -> bool:
        """Whether its word says nothing of errors."""
        return not any(trace in self.word for trace in ("error", "fail", "partial"))

    @property
    def counts_nothing(self) -> bool:
        """Whether it says of no record what became of it."""
        return (self.done, self.good, self.bad, self.left) == (None, None, None, None)

    @property
    def is_known(self) -> bool:
        """Whether the word is one that people use for such a thing."""
        return self.word in ENDED | FAILED | UNDER_WAY

    def has_ended(self, rows: int) -> bool:
        """Whether nothing more will come: it says so, and has not counted fewer than there are."""
        if self.word in FAILED:
            return True
        all_there_are = rows if self.records is None else self.records
        # some count what failed among those that are done, others beside them
        done = None if self.done is None else self.done + (self.bad or 0)
        return self.word in ENDED and not self.left and (done is None or done >= all_there_are)

    def errors(self, rows: int) -> int | None:
        """How many records were not stored; None where that is not certain."""
        if self.records is not None and self.records != rows:
            return None
        if self.bad is None or self.good is None:
            return self.bad if self.good is None else rows - self.good
        return self.bad if self.good + self.bad == rows else None


def status_in(content: object) -> Status | None:
    """The status in an answer; None where there is none."""
    told = one_of(content)
    word = _innermost(told) if told else None
    if told is None or word is None:
        return None
    numbers = [_number(told, names) for names in (TOTALS, DONE, GOOD, BAD, LEFT)]
    return Status(_plain(word), *numbers)


def unreadable(doubt: Doubt, content: object) -> Verdict | None:
    """Of a batch that was taken over, and whose answer has no word for its status; None: it may be
    somebody else's answer."""
    if not doubt.submitted or (one_of(content) is None and doubt.age <= UNDER_WAY_FOR):
        return None
    return still_going(doubt.age, Status(""))


def one_of(content: object) -> dict[str, Any] | None:
    """An object, also as a list of one; None for all else."""
    if isinstance(content, list) and len(content) == 1:
        (content,) = content
    return content if isinstance(content, dict) else None


def _innermost(content: Mapping[str, Any]) -> str | None:
    """The word of a status. One that wraps another speaks of the answer, not of the batch."""
    plain = {_plain(name): value for name, value in content.items()}
    for name in WITHIN:
        inner = plain.get(name)
        found = _innermost(inner) if isinstance(inner, dict) else None
        if found is not None:
            return found
    words = (plain.get(name) for name in STATUSES)
    return next((word for word in words if isinstance(word, str)), None)


@dataclass(frozen=True, slots=True)
class Entry:
    """One error: what it says for people, and which of the rows it is about (`place`: where it
    stood; None where that cannot be told)."""

    words: str
    place: int | None


def errors_in(content: bytes, items: Sequence[Item], rows: int) -> list[Entry] | None:
    """The errors of a batch of so many `rows`, of which `items` are those that are still open; None
    for what is no list of errors."""
    given = _listed(content)
    if given is None:
        return None
    known = Known(items, rows)
    known.learn(given)
    return [Entry(_message(each), known.place_of(each)) for each in given]


GONE = -1
"""The place of a row of which a person has said something meanwhile."""


class Known:
    """The rows of a batch, by all that an error may call them."""

    def __init__(self, items: Sequence[Item], rows: int) -> None:
        self._rows, self._all_open = rows, len(items) == rows
        self._base: int | None = 0
        """Where places count from; None: what is told of them contradicts itself."""
        self._references = {item.reference: item.place for item in items}
        self._customers: dict[str, list[int]] = {}
        for item in items:
            self._customers.setdefault(item.contact, []).append(item.place)

    def learn(self, errors: Sequence[Mapping[str, Any]]) -> None:
        """Where places count from, which is told nowhere: by the errors that name their row in
        another way, too; else from 0, but one that is the number of rows counts from 1."""
        places = [(p, each) for each in errors if (p := _number(each, FROM_0)) is not None]
        bases = {base for place, each in places for base in self._base_by(place, each)}
        if bases:
            self._base = bases.pop() if len(bases) == 1 else None
        elif places and 0 not in (numbers := {place for place, _ in places}):
            self._base = int(self._rows in numbers)

    def _base_by(self, place: int, error: Mapping[str, Any]) -> list[int]:
        """From where `place` must count to be of the row that the error names; empty where it names
        none, or both would do."""
        whose = self._named(error) or self._of_customer(error)
        fit = [base for base in (0, 1) if place - base in whose]
        return fit if len(fit) == 1 else []

    def place_of(self, error: Mapping[str, Any]) -> int | None:
        """Of the one row that it can be about, by the reference, the place and the customer. None
        where two of these contradict each other."""
        named = self._named(error)
        if not named and not self._all_open and any(map(REFERENCE.fullmatch, _texts(error))):
            return GONE
        placed = {place for place in self._placed(error) if 0 <= place < self._rows}
        told = [each for each in (named, placed, self._of_customer(error)) if each]
        if self._base is None and _number(error, FROM_0) is not None:
            return None
        found = set.intersection(*told) if told else set()
        return found.pop() if len(found) == 1 else None

    def _named(self, error: Mapping[str, Any]) -> set[int]:
        return {self._references[text] for text in _texts(error) if text in self._references}

    def _of_customer(self, error: Mapping[str, Any]) -> set[int]:
        """Of rows of which a person has said something meanwhile it is not known whose they are."""
        key = _first(error, CUSTOMERS, (str,)) if self._all_open else None
        return set(self._customers.get(key, ())) if key is not None else set()

    def _placed(self, error: Mapping[str, Any]) -> Iterator[int]:
        if self._base is not None and (place := _number(error, FROM_0)) is not None:
            yield place - self._base
        if (line := _number(error, FROM_1)) is not None:
            yield line - 1


# --- what it means --------------------------------------------------------------------------------

STRANGE_FOR, UNDER_WAY_FOR = timedelta(hours=1), timedelta(days=1)
"""How long a batch may have a status that nobody knows, and one that says that it is under way."""
SOONEST, LATEST = timedelta(seconds=1), timedelta(minutes=1)
PROCESSED = Here(None, "processed")
LOOK = "Look in Monitor and tell with `connector quarantine settle`"
UNPROVEN = (
    "MXO says that its batch has ended, and its errors do not add up: which rows it means cannot be"
    f" told for certain. {LOOK}"
)
WHOLE = "the whole batch failed"
NO_REASON = "MXO names it among the errors of its batch, and gives no reason"


def still_going(age: timedelta, status: Status) -> Verdict:
    """Of a batch that has not ended: later more often than not; for a person only after long."""
    longest = UNDER_WAY_FOR if status.is_known else STRANGE_FOR
    if age > longest:
        hours = int(longest.total_seconds() // 3600)
        had = f'the status "{status.word}"' if status.word else "no status that can be read"
        return Undecided(f"its batch has had {had} for {hours} h. {LOOK}")
    return Underway(pause(age))


def pause(age: timedelta) -> timedelta:
    """When to ask again about a batch of that age."""
    return min(max(age / 3, SOONEST), LATEST)


def ended(
    doubts: Sequence[Doubt], status: Status, entries: Sequence[Entry] | None, patient: bool
) -> Mapping[int, Verdict]:
    """What became of the rows of a batch that has ended. `entries` None: its errors could not be
    read, or were not asked for; `patient`: they may be shown later than the status."""
    rows = doubts[0].rows
    bad = status.errors(rows)
    found = {each.place: each.words for each in entries or ()}
    if bad == rows and not _are_errors_of_fewer(rows, status, entries or ()):
        return _each(doubts, lambda place: TurnedDown(found.get(place) or WHOLE))
    whole, unproven = status.word not in FAILED, Undecided(UNPROVEN, lasting=True)
    none_is_named = status.is_clean if entries is None else not entries
    if bad == 0 and whole and none_is_named and (status.is_clean or not patient):
        return _each(doubts, lambda _: PROCESSED)
    adds_up = entries is not None and None not in found and _is_number_of(bad, status, entries)
    if not adds_up and patient:
        return _each(doubts, lambda _: Underway(pause(doubts[0].age)))
    if bad == 0 and whole and entries and None not in found:  # named, and not counted
        return _each(doubts, lambda place: unproven if place in found else PROCESSED)
    all_counted = status.records in (None, rows)
    if all_counted and status.counts_nothing and status.is_clean and whole and entries == []:
        return _each(doubts, lambda _: PROCESSED)
    rest = PROCESSED if adds_up and whole and bad != rows else unproven
    return _each(
        doubts, lambda place: TurnedDown(found[place] or NO_REASON) if place in found else rest
    )


def _is_number_of(bad: int | None, status: Status, entries: Sequence[Entry]) -> bool:
    """Whether so many are the errors that were read. What is counted beside those that are good is
    rows; else it may be errors, of which a row can have several."""
    rows = len({each.place for each in entries})
    return bad == rows or (bad == len(entries) and status.good is None)


def _are_errors_of_fewer(rows: int, status: Status, entries: Sequence[Entry]) -> bool:
    """Whether as many as there are `rows` are errors rather than rows: all were read, and of some
    rows there is none."""
    places = {each.place for each in entries}
    all_read = len(entries) == rows and None not in places
    return status.good is None and all_read and len(places) < rows


def _each(doubts: Sequence[Doubt], of: Callable[[int], Verdict]) -> Mapping[int, Verdict]:
    return {doubt.item.delivery_id: of(doubt.item.place) for doubt in doubts}


# --- how it is written ----------------------------------------------------------------------------


def _listed(content: bytes) -> list[dict[str, Any]] | None:
    found = parsed(content)
    if isinstance(found, dict):
        by_name = {_plain(name): value for name, value in found.items()}
        inside = [by_name[name] for name in LISTS if name in by_name]
        named = [each for each in map(_by_row, (found, *inside)) if each is not None]
        # a line of its own is one error, where there is but one
        found = named[0] if named else [found]
    elif found is None:
        lines = [parsed(line) for line in content.splitlines() if line.strip()]
        found = lines if lines and None not in lines else None
    if not isinstance(found, list):
        return None
    return [each if isinstance(each, dict) else {"message": each} for each in found]


def _by_row(given: object) -> list[Any] | None:
    """A list of errors, also where each stands under the place, or the reference, of its row."""
    if isinstance(given, list):
        return given
    if not isinstance(given, dict) or not given:
        return None
    for kind, name in ((PLACE, FROM_0[0]), (REFERENCE, "reference")):
        if all(kind.fullmatch(key) for key in given):
            return [{name: key, "message": value} for key, value in given.items()]
    return None


def _number(content: Mapping[str, Any], names: Sequence[str]) -> int | None:
    """The first number under one of the names, also where it is written as a text, or with a
    fraction of 0."""
    kinds, fits = (int, float, str), lambda it: bool(NUMBER.fullmatch(str(it)))
    found = _first(content, names, kinds, WITHIN, fits)
    return None if found is None else int(float(found))


def _first(
    content: Mapping[str, Any],
    names: Sequence[str],
    kinds: tuple[type, ...],
    inside: Sequence[str] = INSIDE,
    fits: Callable[[Any], bool] = lambda _: True,
) -> Any:
    """The first value of a kind that `fits` under one of the names, however these are written;
    `inside` what wraps it, too."""
    plain = {_plain(name): value for name, value in content.items()}
    for name in names:
        value = plain.get(name)
        if isinstance(value, kinds) and not isinstance(value, bool) and fits(value):
            return value
    for name in inside:
        if isinstance(inner := plain.get(name), dict):
            found = _first(inner, names, kinds, inside, fits)
            if found is not None:
                return found
    return None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def _texts(value: object, depth: int = 0) -> Iterator[str]:
    """All texts in it, and whatever looks like a reference inside of these."""
    if depth > DEEPEST:
        return
    if isinstance(value, str):
        yield value
        yield from REFERENCE.findall(value)
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each, depth + 1)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each, depth + 1)


def _message(error: Mapping[str, Any]) -> str:
    plain = {_plain(name): value for name, value in error.items()}
    found = [plain[name] for name in MESSAGES if isinstance(plain.get(name), str)]
    if found:
        return str(found[0])
    inner = [plain[n] for n in (*MESSAGES, *INNER) if isinstance(plain.get(n), dict | list)]
    codes = [str(plain[name]) for name in CODES if isinstance(plain.get(name), str | int)]
    return " ".join([*codes[:1], *(orjson.dumps(each).decode() for each in inner[:1])])
