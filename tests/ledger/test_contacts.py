"""Contacts that were found: kept for a time, under digests, beside the attempts that use them."""

import time
from datetime import timedelta
from threading import Thread

import pytest

from connector.ledger import ends
from connector.ledger.generation import GenerationFile
from connector.ledger.records import Closing, FoundContact, Opening, Presumed, SetAside, Tally
from connector.ledger.store import Ledger
from connector.rules.contacts import Matches
from connector.rules.delivery import NotApplied, State
from tests.conftest import LEASE
from tests.ledger.factories import (
    CONTACT_ID,
    an_identity,
    attempts,
    begun,
    due,
    execute,
    expire_lease,
    only,
    select,
    staged,
    stored,
    waits,
)

DAY = timedelta(days=1)


def a_contact(digest="d1", contact_id=CONTACT_ID, destination="engage", refused=False):
    return FoundContact(destination, digest, "email", contact_id, refused)


def opened(ledger, run, key, found):
    """An attempt on the pending row `key`, with what was learnt for it."""
    opening = Opening(due(ledger)[key], CONTACT_ID, found)
    assert ledger.record(run, [opening]) == [True]
    return opening


def cached(ledger, *digests, span=DAY, destination="engage"):
    return ledger.contacts(destination, digests, span)


def test_what_was_looked_up_while_the_clock_was_ahead_is_looked_up_again(ledger, engine):
    """It would be believed for as long as that was."""
    run = staged(ledger, "r1")
    opened(ledger, run, "r1", a_contact())
    execute(engine, "update contacts set looked_up_at = looked_up_at + 20000")
    assert cached(ledger, "d1")
    execute(engine, "update contacts set looked_up_at = looked_up_at + 86400000")

    assert not cached(ledger, "d1")
    assert ledger.rest("reviews", "engage", DAY).contacts
    ledger.remove_expired_contacts("engage", DAY)
    assert not select(engine, "select * from contacts")


def test_a_contact_is_kept_with_the_attempt_that_it_was_found_for(ledger, reports, engine):
    run = staged(ledger, "r1", "r2")
    before = time.time() * 1000

    opened(ledger, run, "r1", a_contact())
    opened(ledger, run, "r2", None)

    assert cached(ledger, "d1", "d2") == {"d1": CONTACT_ID}
    assert reports.contacts("engage", ["d1", "d2"], DAY) == {"d1": CONTACT_ID}
    row = only(engine, "select * from contacts")
    assert (row.destination, row.digest, row.identifier) == ("engage", "d1", "email")
    assert before - 5 <= row.looked_up_at <= time.time() * 1000 + 5


def test_contacts_of_one_destination_are_not_those_of_another(ledger):
    run = staged(ledger, "r1")
    opened(ledger, run, "r1", a_contact())

    assert cached(ledger, "d1", destination="other") == {}


def test_a_contact_is_forgotten_by_the_clock_of_the_database(ledger, engine):
    run = staged(ledger, "r1")
    opened(ledger, run, "r1", a_contact())
    execute(engine, "update contacts set looked_up_at = looked_up_at - 3600000")

    assert cached(ledger, "d1", span=timedelta(minutes=59)) == {}
    assert cached(ledger, "d1", span=timedelta(minutes=61)) == {"d1": CONTACT_ID}
    assert cached(ledger, "d1", span=timedelta(0)) == {}


def test_what_was_found_last_counts_and_is_young_again(ledger, engine):
    run = staged(ledger, "r1", "r2")
    opened(ledger, run, "r1", a_contact(contact_id="old"))
    execute(engine, "update contacts set looked_up_at = 1")

    opened(ledger, run, "r2", a_contact(contact_id="new"))

    assert cached(ledger, "d1") == {"d1": "new"}
    assert len(select(engine, "select * from contacts")) == 1


def test_a_late_refusal_of_what_a_contact_was_does_not_take_away_what_it_is(ledger):
    """Rows that were under way together are refused one after the other: the first of them has been
    looked up again, and its answer written, before the last one's refusal is."""
    run = staged(ledger, "r1", "r2")
    late = opened(ledger, run, "r1", a_contact())
    opened(ledger, run, "r2", a_contact(contact_id="n" * 32))
    refusal = NotApplied("refused", 404)

    closing = Closing(late.delivery.id, 1, refusal, found=a_contact(refused=True))
    assert ledger.record(run, [closing]) == [True]

    assert cached(ledger, "d1") == {"d1": "n" * 32}


def test_a_refused_contact_spares_no_look_up_until_it_is_found_again(ledger, engine):
    run = staged(ledger, "r1", "r2")
    opening = opened(ledger, run, "r1", a_contact())
    refusal = NotApplied("HTTP 404", 404)
    closing = Closing(opening.delivery.id, 1, refusal, found=a_contact(refused=True))

    assert ledger.record(run, [closing]) == [True]

    assert cached(ledger, "d1", span=timedelta(days=3650)) == {}
    assert (stored(engine).state, attempts(engine)[0].outcome) == ("pending", "not_applied")
    assert ledger.next_due("reviews") == timedelta(0)
    opened(ledger, run, "r2", a_contact(contact_id="new"))
    assert cached(ledger, "d1") == {"d1": "new"}


def test_a_group_may_learn_and_forget_in_any_order(ledger, engine):
    keys = [f"r{n}" for n in range(20)]
    run = staged(ledger, *keys)
    rows = due(ledger)
    entries = [
        Opening(rows[key], CONTACT_ID, a_contact(f"d{19 - n}")) for n, key in enumerate(keys)
    ]

    assert ledger.record(run, [*entries, waits(rows["r0"])]) == [True] * 20 + [False]

    assert len(cached(ledger, *(f"d{n}" for n in range(20)))) == 20


def test_a_suspect_row_tells_what_was_learnt_for_it_too(engine, tmp_path):
    ledger = Ledger(engine, LEASE, GenerationFile(tmp_path / "generation"))
    staged(ledger, "r1")
    ledger.distrust()
    run = begun(ledger)

    assert ledger.record(run, [Presumed(due(ledger)["r1"], CONTACT_ID, a_contact())]) == [True]

    assert cached(ledger, "d1") == {"d1": CONTACT_ID}


def test_what_is_too_old_is_removed_and_nothing_else(ledger, engine, monkeypatch):
    monkeypatch.setattr(ends, "MOST_REMOVED", 3)
    run = staged(ledger, *(f"r{n}" for n in range(12)))
    for n in range(10):
        opened(ledger, run, f"r{n}", a_contact(f"d{n}"))
    execute(engine, "update contacts set looked_up_at = looked_up_at - 7200000")
    opened(ledger, run, "r10", a_contact("young"))
    opened(ledger, run, "r11", a_contact("foreign", destination="other"))
    execute(engine, "update contacts set looked_up_at = 1 where destination = 'other'")

    ledger.remove_expired_contacts("engage", timedelta(hours=1))

    left = {row.digest for row in select(engine, "select digest from contacts")}
    assert left == {"young", "foreign"}
    ledger.remove_expired_contacts("engage", timedelta(0))
    assert {row.digest for row in select(engine, "select digest from contacts")} == {"foreign"}


def test_more_contacts_than_a_statement_takes_are_read(ledger):
    run = staged(ledger, "r1")
    opened(ledger, run, "r1", a_contact("d4321"))

    assert cached(ledger, *(f"d{n}" for n in range(5000))) == {"d4321": CONTACT_ID}


def test_a_run_that_was_replaced_opens_nothing_and_harms_no_contact(ledger, engine):
    run = staged(ledger, "r1")
    row = due(ledger)["r1"]
    expire_lease(engine)
    execute(engine, "update leases set holder = null")
    begun(ledger)

    (lost,) = ledger.record(run, [Opening(row, CONTACT_ID, a_contact())])

    assert lost is not True
    assert stored(engine).state == State.PENDING


@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
def test_runs_of_two_activations_that_learn_the_same_contacts_do_not_block_each_other(
    ledger, engine
):
    """Each writes the same entries, in opposite orders, over and over."""
    names, rounds = ("one", "two"), 40
    digests = [f"d{n}" for n in range(30)]
    failures = []

    def learn(name, order):
        mine = Ledger(engine, LEASE)
        run = mine.begin(name, an_identity())
        for _ in range(rounds):
            entries = [Closing(0, 0, NotApplied("x"), found=a_contact(digest)) for digest in order]
            try:
                mine.record(run, entries)
                mine.remove_expired_contacts("engage", timedelta(0))
            except Exception as error:
                failures.append(error)

    threads = [
        Thread(target=learn, args=(name, order))
        for name, order in zip(names, (digests, digests[::-1]), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []


def test_what_a_run_matched_is_on_record(ledger, reports):
    run = staged(ledger, "r1")
    ledger.finish(run, "succeeded", Tally(contacts=Matches(looked_up=4, found=3, unknown=1)), None)
    plain = begun(ledger)
    ledger.finish(plain, "succeeded", Tally(), None)

    assert reports.run(run.run_id)["contacts"] == {
        "identifiers": 4,
        "looked_up": 4,
        "cached": 0,
        "found": 3,
        "unknown": 1,
        "ambiguous": 0,
        "malformed": 0,
        "match_rate": 0.75,
    }
    assert reports.run(plain.run_id)["contacts"] is None


def test_ambiguous_rows_are_counted_by_activation(ledger, reports):
    run = staged(ledger, "r1", "r2", "r3")
    rows = due(ledger)
    reasons = {"r1": "ambiguous contact: 2 contacts", "r2": "HTTP 404: ambiguous contact"}
    ledger.record(run, [SetAside(rows[k], State.REJECTED, reason) for k, reason in reasons.items()])

    assert (reports.ambiguous("reviews"), reports.ambiguous("other")) == (1, 0)
