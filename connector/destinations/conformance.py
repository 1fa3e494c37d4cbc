"""A test kit that every destination must pass: whoever writes one runs it against a sandbox.

From a shell, where a module has a `KIND` and a `BENCH` (a class of a `Served`)::

    python -m connector.destinations.conformance my_module

With pytest::

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_conforms(check, bench):
        asyncio.run(check(KIND, bench))

Each check raises AssertionError with a sentence that says which promise does not hold.
"""

import asyncio
import sys
import traceback
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from importlib import import_module
from json import loads
from typing import Any, TypeVar

from connector.destinations import http
from connector.destinations.bench import STORES, UNREAD, Bench, Fault, Trouble, Troubled, running
from connector.destinations.playing import OLD, Player
from connector.destinations.port import (
    AnyKind,
    Doubt,
    Proof,
)
from connector.rules.delivery import (
    Accepted,
    Missing,
    NotApplied,
    Refused,
    Removed,
    Submitted,
    Unknown,
    Withheld,
)
from connector.rules.errors import DestinationUnusable, KeyRefused
from connector.rules.read_back import Absent, Here, Shown, Stored, Undecided, Unread, Verdict

__all__ = ["CHECKS", "STORES", "Bench", "Check", "Fault", "main"]

Check = Callable[[AnyKind, Bench], Coroutine[Any, Any, None]]
MANY = 30
"""Rows beside the one that is looked for: more than a small page has."""
LONGEST = 60.0
"""Seconds after which a check is taken to hang."""
DEAF = (Trouble.NOTHING_READ, Trouble.ERROR_READ, Trouble.KEY_READ)
"""Whatever is asked, nothing is done."""

R = TypeVar("R")


# --- before anything is sent ----------------------------------------------------------------------


async def what_it_can_is_told_before_it_is_built(kind: AnyKind, bench: Bench) -> None:
    """`can` of the kind is that of the destination, and there is a method for each ability."""
    async with Player(kind, bench) as play:
        assert play.can == play.there.can, "the kind says otherwise what it can"
        methods = {
            "looks_up": "look_up",
            "shows": "interaction",
            "lists_equals": "shelves",
            "takes_back": "delete",
            "lists_person": "of_person",
            "keeps_schemas": "create_schema",
        }
        for ability, method in methods.items():
            has = hasattr(play.there, method)
            assert has or not getattr(play.can, ability), f"{ability}, and there is no {method}"


async def what_is_composed_is_what_is_sent(kind: AnyKind, bench: Bench) -> None:
    """A preview shows the request byte for byte, and no secret."""
    async with Player(kind, bench) as play, Player(kind, bench) as other:
        item = play.item()
        look = play.there.compose(play.activation, play.parcel(item))
        for again in (play, other):
            same = again.there.compose(again.activation, play.parcel(item))
            assert look == same, "composed twice, not alike"
        nobody = replace(item, contact="")  # in a preview that looks nobody up
        play.there.compose(play.activation, play.parcel(nobody))
        await play.send(item)
        sent = bench.last_request()
        assert sent == (look.method, look.url, look.body), "what was sent is not what was composed"
        shown = f"{look.url} {look.body!r} {look.headers}"
        for secret in play.there.credentials.secrets:
            assert secret not in shown, "a secret stands in what a preview shows"


# --- what an answer means -------------------------------------------------------------------------


async def an_accepted_row_is_stored_once(kind: AnyKind, bench: Bench) -> None:
    """And has an id, where there are ids."""
    async with Player(kind, bench) as play:
        outcome = await play.send(play.item())
        assert isinstance(outcome, Accepted | Submitted), f"a good row was not taken: {outcome}"
        assert bench.stored() == 1, f"{bench.stored()} are stored of one that was accepted"
        if isinstance(outcome, Accepted):
            assert bool(outcome.interaction_id) == play.can.gives_ids, "it gives ids, or not?"


async def no_answer_is_taken_for_more_than_it_proves(kind: AnyKind, bench: Bench) -> None:
    """Whatever goes wrong, before or after storing: nothing twice, nothing lost."""
    async with Player(kind, bench) as play:
        errors = [Fault.ERROR_BEFORE, Fault.ERROR_AFTER] * 4
        for fault in (*sorted(STORES), Fault.LOST_BEFORE, *errors, Fault.BUSY):
            await _is_settled_by_what_is_there(play, fault)


async def _is_settled_by_what_is_there(play: Player, fault: Fault) -> None:
    before, item = play.bench.stored(), play.item()
    outcome = await play.fare(fault, item)
    there = play.bench.stored() - before
    assert there == (fault in STORES), f"{fault}: {there} are stored of one that was sent once"
    if there:
        taken = isinstance(outcome, Unknown | Accepted | Submitted)
        assert taken, f"{fault}: stored, and taken for {outcome}"
    else:
        assert not isinstance(outcome, Accepted), f"{fault}: not stored, and taken for accepted"
        assert not isinstance(outcome, Refused), f"{fault}: not about the row, which is rejected"
    if fault is Fault.BUSY:
        assert isinstance(outcome, NotApplied), f"429 was taken for {outcome}"
        assert outcome.busy, "429, and nothing slows down"
    if isinstance(outcome, Unknown):
        _judge(play, fault, (await play.settle(item))[item.delivery_id])
        if play.can.proof is Proof.REQUEST and not there:
            seen = Doubt(item, play.parcel(item).reference, OLD, seen=True)
            (verdict,) = (await play.verdicts(seen)).values()
            assert not isinstance(verdict, Absent), "the request was seen once, and is now absent"


def _judge(play: Player, fault: Fault, verdict: Verdict) -> None:
    """Of a row whose request ended in `fault` long ago."""
    there, said = fault in STORES, f"read back as {verdict}"
    match play.can.proof:
        case Proof.ROW if there:
            assert isinstance(verdict, Here), f"{fault}: stored, and {said}"
            assert bool(verdict.interaction_id) == play.can.gives_ids, f"{said}: it gives ids"
        case Proof.ROW:
            assert isinstance(verdict, Absent), f"{fault}: not stored, and {said}"
        case Proof.REQUEST if there:
            assert not isinstance(verdict, Absent), f"{fault}: stored, and {said}"
        case Proof.REQUEST:
            assert not isinstance(verdict, Here), f"{fault}: not stored, and {said}"
        case Proof.NONE:  # whatever else it says, somebody has written into the configuration
            chosen = isinstance(verdict, Absent | Here) and verdict.how not in ("absent", "found")
            parked = isinstance(verdict, Undecided) and verdict.lasting
            assert parked or chosen, f"{fault}: it cannot be asked, and {said}"


async def what_somebody_between_answers_is_believed_by_nobody(kind: AnyKind, bench: Bench) -> None:
    """A page of a proxy is no success, and a redirect is not followed."""
    async with Player(kind, bench) as play:
        for trouble in (Trouble.PAGE_BEFORE, Trouble.REDIRECT):
            if not _troubles(bench, trouble):
                continue
            try:
                outcome = await play.send(play.item())
            except DestinationUnusable:
                continue
            finally:
                _troubles(bench, None)
            assert isinstance(outcome, Unknown), f"{trouble}: not stored, and taken for {outcome}"


def _troubles(bench: Bench, trouble: Trouble | None) -> bool:
    return isinstance(bench, Troubled) and bench.trouble(trouble)


async def nothing_goes_out_against_the_last_look(kind: AnyKind, bench: Bench) -> None:
    """A reason in the last look keeps every byte from being written."""
    async with Player(kind, bench) as play:
        outcome = await play.send(play.item(), lambda: "it is too late")
        assert isinstance(outcome, Withheld), f"not held back: {outcome}"
        assert bench.stored() == 0, "it was sent against the last look"


async def credentials_that_are_refused_burn_no_row(kind: AnyKind, bench: Bench) -> None:
    """All rows would be refused, so the run stops; or they go again with new ones."""
    async with Player(kind, bench) as play:
        bench.fail(Fault.NOT_LET_IN)
        for _ in range(3):
            try:
                outcome = await play.send(play.item())
            except KeyRefused:
                return
            assert isinstance(outcome, NotApplied), f"401 was taken for {outcome}"
            assert outcome.again, "401: neither a stop nor another try"
        raise AssertionError("401 again and again, and the run does not stop")


async def no_secret_is_told(kind: AnyKind, bench: Bench) -> None:
    """Not even where the API's own words hold it."""
    async with Player(kind, bench) as play:
        try:
            outcome = await play.fare(Fault.REFUSED, play.item())
        except DestinationUnusable as unusable:
            outcome = Refused(str(unusable))
        secrets = play.there.credentials.secrets
        told = getattr(outcome, "reason", "")
        if play.can.proof is not Proof.REQUEST:  # there, what was refused is asked for
            assert isinstance(outcome, Refused), f"a refusal was taken for {outcome}"
        assert not any(secret in told for secret in secrets), "a secret stands in what people read"
        assert not any(secret in repr(play.settings) for secret in secrets), (
            "a secret stands where settings are printed; make it a SecretStr"
        )
        assert bool(play.settings.secret) == bool(secrets), (
            "`secret` of the settings is what opens it: pace and caches go by that"
        )


# --- how a doubt is settled -----------------------------------------------------------------------


async def what_belongs_to_a_row_settles_no_other(kind: AnyKind, bench: Bench) -> None:
    """Neither an equal row that was delivered is found a second time, nor one that says another
    thing."""
    async with Player(kind, bench) as play:
        if play.can.proof is not Proof.ROW:
            return
        released, _ = await play.accepted()  # taken back, to be sent again, and still listed
        before = (await play.settle(released))[released.delivery_id]
        assert isinstance(before, Absent), f"what it had before was taken once more: {before}"
        item, other = play.item(), play.item(payload=1)
        await play.fare(Fault.LOST_AFTER, other)
        verdicts = await play.settle(item, other)
        mine, its = verdicts[item.delivery_id], verdicts[other.delivery_id]
        assert isinstance(mine, Absent), f"another row's interaction was taken: {mine}"
        assert isinstance(its, Here), f"stored, and beside another row read back as {its}"
        await play.fare(Fault.LOST_AFTER, play.item(payload=1))
        if _troubles(bench, Trouble.UNFILTERED):
            mine = (await play.settle(item))[item.delivery_id]
            _troubles(bench, None)
            assert not isinstance(mine, Here), f"a list is not filtered, and read back as {mine}"


async def equal_rows_in_doubt_share_no_interaction(kind: AnyKind, bench: Bench) -> None:
    """Two rows say the same, and one of them is stored: one is found, and one is not."""
    async with Player(kind, bench) as play:
        if play.can.proof is not Proof.ROW:
            return
        items = play.item(), play.item()
        for item, fault in zip(items, (Fault.LOST_BEFORE, Fault.LOST_AFTER), strict=True):
            await play.fare(fault, item)
        verdicts = (await play.settle(*items)).values()
        found = sum(isinstance(verdict, Here) for verdict in verdicts)
        absent = sum(isinstance(verdict, Absent) for verdict in verdicts)
        assert (found, absent) == (1, 1), f"one of two is stored, read back as {[*verdicts]}"


async def what_stands_twice_for_one_row_is_left_to_a_person(kind: AnyKind, bench: Bench) -> None:
    """It is neither one of the two nor absent."""
    async with Player(kind, bench) as play:
        if play.can.proof is not Proof.ROW:
            return
        item = play.item()
        for _ in range(2):
            await play.fare(Fault.LOST_AFTER, item)
        verdict = (await play.settle(item))[item.delivery_id]
        assert isinstance(verdict, Undecided), f"it stands twice, and read back as {verdict}"


async def a_row_is_found_among_many(kind: AnyKind, bench: Bench) -> None:
    """Also where it is not on the first page, and by a ledger that has other numbers for its rows
    and does not know the request."""
    async with Player(kind, bench) as play:
        if play.can.proof is not Proof.ROW:
            return
        for crowd in (MANY, 0):  # the first of many, and the last
            item = play.item(payload=1)
            await play.fare(Fault.LOST_AFTER, item)
            for _ in range(crowd):
                await play.accepted()
            stranger = replace(item, delivery_id=item.delivery_id + 1_000_000)
            (verdict,) = (await play.verdicts(Doubt(stranger, "", OLD))).values()
            assert isinstance(verdict, Here), f"stored among many, and read back as {verdict}"


async def what_was_not_shown_is_not_absent(kind: AnyKind, bench: Bench) -> None:
    """Where an answer may not be all, or is none, nothing is said to be absent, gone or unknown."""
    async with Player(kind, bench) as play:
        stored = play.item()
        await play.fare(Fault.LOST_AFTER, stored)
        name = (await play.accepted())[1] if play.can.gives_ids else ""
        for trouble in UNREAD:
            if not _troubles(bench, trouble):
                continue
            before = bench.stored()
            verdicts = await _answers(play.settle(stored))
            verdict = verdicts[stored.delivery_id] if verdicts else None
            bad = isinstance(verdict, Absent | Here) and verdict.how in ("absent", "found")
            assert not bad, f"{trouble}: nothing was shown, and read back as {verdict}"
            if play.can.shows:
                shown = await _answers(play.there.interaction(name))
                assert shown is None or isinstance(shown, Unread), f"{trouble}: taken for {shown}"
            if play.can.looks_up:
                found = await _answers(play.there.look_up("anybody", play.activation.contact))
                assert not isinstance(found, Missing), f"{trouble}: a contact is said to be missing"
            if play.can.takes_back and trouble in DEAF:
                gone = await _answers(play.there.delete(name))
                assert not isinstance(gone, Removed), f"{trouble}: said to be gone, and is there"
                assert bench.stored() == before, "the bench deleted it"
            _troubles(bench, None)


async def _answers(asked: Coroutine[Any, Any, R]) -> R | None:
    """What it says; None where it says that it cannot be used."""
    try:
        return await asked
    except DestinationUnusable:
        return None


# --- what stands there ----------------------------------------------------------------------------


async def what_is_shown_is_what_was_sent(kind: AnyKind, bench: Bench) -> None:
    """By its id; and what is not there is said to be absent."""
    async with Player(kind, bench) as play:
        if not play.can.shows:
            return
        item, name = await play.accepted()
        shown = await play.there.interaction(name)
        assert isinstance(shown, Shown), f"what was accepted is shown as {shown}"
        assert shown.stored.id.lower() == name.lower(), "another one is shown than was asked for"
        sent = loads(item.payload)
        assert dict(shown.stored.payload) == sent, (
            f"{sent} was sent, and {dict(shown.stored.payload)} is shown: `verify` would say that"
            " it was changed"
        )


async def what_stands_twice_is_seen(kind: AnyKind, bench: Bench) -> None:
    """Interactions of one row lie on one shelf, and are alike; those of other rows are not."""
    async with Player(kind, bench) as play:
        if not (play.can.lists_equals and play.can.shows):
            return
        item, name = await play.accepted()
        other = (await play.accepted(payload=1))[1]
        twice = await play.send(item)
        assert isinstance(twice, Accepted), f"the same once more was taken for {twice}"
        shelves = await play.there.shelves(play.activation.target, play.activation)
        assert shelves is not None, "what was just sent has no shelves"

        async def stands(name: str) -> Stored:
            """As it stands on its shelf."""
            shown = await play.there.interaction(name)
            assert isinstance(shown, Shown), f"what was accepted is shown as {shown}"
            read = await shelves.read(shelves.of(shown))
            assert read.gap is None, f"a shelf cannot be read: {read.gap}"
            found = [each for each in read.stored if each.id.lower() == name.lower()]
            assert len(found) == 1, f"{len(found)} of it stand on its shelf"
            return found[0]

        mine, again, its = [
            await stands(each or "") for each in (name, twice.interaction_id, other)
        ]
        assert shelves.likeness(mine) == shelves.likeness(again), "it stands twice, unseen"
        assert shelves.likeness(mine) != shelves.likeness(its), "two rows are taken for one"


async def what_is_taken_back_is_gone(kind: AnyKind, bench: Bench) -> None:
    """Deleting twice is safe."""
    async with Player(kind, bench) as play:
        if not play.can.takes_back:
            return
        name = (await play.accepted())[1]
        assert await play.there.delete(name) == Removed(found=True), "it could not be taken back"
        assert bench.stored() == 0, "it is still there"
        again = await play.there.delete(name)
        assert again == Removed(found=False), f"taken back once more, and it says {again}"
        if play.can.shows:
            shown = await play.there.interaction(name)
            assert isinstance(shown, Absent), f"it is gone, and shown as {shown}"


CHECKS: Sequence[Check] = (
    what_it_can_is_told_before_it_is_built,
    what_is_composed_is_what_is_sent,
    an_accepted_row_is_stored_once,
    no_answer_is_taken_for_more_than_it_proves,
    what_somebody_between_answers_is_believed_by_nobody,
    nothing_goes_out_against_the_last_look,
    credentials_that_are_refused_burn_no_row,
    no_secret_is_told,
    what_belongs_to_a_row_settles_no_other,
    equal_rows_in_doubt_share_no_interaction,
    what_stands_twice_for_one_row_is_left_to_a_person,
    a_row_is_found_among_many,
    what_was_not_shown_is_not_absent,
    what_is_shown_is_what_was_sent,
    what_stands_twice_is_seen,
    what_is_taken_back_is_gone,
)


# --- from a shell ---------------------------------------------------------------------------------


def main(arguments: Sequence[str]) -> int:
    """Run all checks on a module's `KIND` and its `BENCH`, and say which promises hold. Gives 0
    where all do, 1 where one does not, 2 where there is nothing to be checked."""
    if len(arguments) != 1:
        return _say("usage: python -m connector.destinations.conformance MODULE", 2)
    try:
        module = import_module(arguments[0])
        kind, bench = module.KIND, module.BENCH
    except (ImportError, AttributeError) as error:
        return _say(f"{arguments[0]} has no KIND and BENCH to be checked: {error}", 2)
    http.GET_PAUSES = (0.01, 0.02, 0.04)  # nobody gets better here by being waited for
    broken = [check for check in CHECKS if not _holds(check, kind, bench)]
    return _say(f"{len(CHECKS) - len(broken)} of {len(CHECKS)} promises hold", 1 if broken else 0)


def _holds(check: Check, kind: AnyKind, bench: Callable[[], Any]) -> bool:
    promise = " ".join((check.__doc__ or "").split())
    name = check.__name__.replace("_", " ")
    try:
        with running(bench()) as served:
            asyncio.run(asyncio.wait_for(check(kind, served), LONGEST))
    except TimeoutError:
        why = "it hangs: does every request use the wire, through `post`, `get` or `remove`?"
    except AssertionError as broken:
        why = str(broken) or "an assertion of the destination's own"
    except Exception as error:  # whatever it does when it is called
        where = traceback.extract_tb(error.__traceback__)[-1]
        why = f"{type(error).__name__}: {error} ({where.filename}, line {where.lineno})"
    else:
        _say(f"holds   {name}", 0)
        return True
    _say(f"BROKEN  {name}: {promise}\n        {why}", 0)
    return False


def _say(text: str, code: int) -> int:
    sys.stdout.write(f"{text}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
