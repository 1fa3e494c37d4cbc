"""Rows are known by where they went, whatever that is called."""

import pytest

from connector.ledger.records import Closing, Learnt, Opening, Remembered, Tally
from connector.ledger.reports import Reports
from connector.rules.delivery import Accepted, State
from connector.rules.errors import ConfigurationError
from connector.rules.place import Place
from connector.rules.turnover import Rereads
from connector.rules.values import Kind
from tests.ledger.factories import CONTACT_ID, a_mark, a_row, an_identity

OLD, NEW = "https://old.example", "https://new.example"


def recorded(ledger, activation, address, destination="engage", key="r1", **over):
    """A finished run of an activation at this address, that recorded a row."""
    place = None if address is None else Place("engage", address, over.pop("earlier", None))
    identity = an_identity(destination=destination, place=place, **over)
    run = ledger.begin(activation, identity)
    ledger.stage(run, [a_row(key)], [], a_mark(), begun=True)
    return run


def end(ledger, *runs):
    for run in runs:
        ledger.finish(run, "succeeded", Tally(), None)


def sent_as(ledger, run, interaction_id):
    """Deliver the row of `run` as this interaction."""
    (row,) = ledger.due(run.activation, State.PENDING, 0, 10)
    opened = Opening(row, CONTACT_ID)
    ledger.record(run, [opened])
    ledger.record(run, [Closing(row.id, opened.number, Accepted(interaction_id, 201))])


def test_another_address_is_refused_by_a_run_and_by_a_decision(ledger):
    end(ledger, recorded(ledger, "reviews", OLD))
    elsewhere = an_identity(place=Place("engage", NEW))

    for take in (ledger.begin, ledger.take_lease):
        with pytest.raises(ConfigurationError, match=r"previous_url: https://old\.example") as seen:
            take("reviews", elsewhere)
        assert seen.value.problems[0].path == ("destinations", "engage", "url")


def test_another_type_under_the_same_name_is_refused_whatever_its_address(ledger):
    end(ledger, recorded(ledger, "reviews", OLD))

    with pytest.raises(ConfigurationError, match="was a destination of the type engage"):
        ledger.begin("reviews", an_identity(place=Place("mxo", OLD, OLD)))


def test_all_activations_follow_a_destination_that_moved(ledger, reports):
    """Also those that nothing configures any more: whose an interaction is goes by the address."""
    end(ledger, recorded(ledger, "reviews", OLD), recorded(ledger, "former", OLD))
    end(ledger, recorded(ledger, "elsewhere", OLD, destination="another"))
    run = recorded(ledger, "reviews", NEW, earlier=OLD, key="r2")

    homes = {name: home.place.address for name, home in reports.homes().items()}
    assert homes == {"reviews": NEW, "former": NEW, "elsewhere": OLD}
    end(ledger, run)
    with pytest.raises(ConfigurationError, match=f"was at {NEW}"):
        ledger.begin("reviews", an_identity(place=Place("engage", OLD)))


def test_an_earlier_address_that_stays_written_moves_nobody_else_later(ledger, reports):
    end(ledger, recorded(ledger, "reviews", OLD))
    end(ledger, recorded(ledger, "reviews", NEW, earlier=OLD, key="r2"))
    end(ledger, recorded(ledger, "of_others", OLD))

    end(ledger, recorded(ledger, "reviews", NEW, earlier=OLD, key="r3"))

    assert reports.homes()["of_others"].place.address == OLD


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ((OLD, "engage"), (OLD, "engage"), True),
        ((OLD, "engage"), (OLD, "voyado"), True),  # two names of one place
        ((OLD, "engage"), (NEW, "engage"), False),  # one name of two places
        ((OLD, "engage"), (NEW, "voyado"), False),
        ((OLD, "engage"), (None, "engage"), True),  # of an older connector
        ((None, "engage"), (OLD, "engage"), True),
        ((None, "engage"), (OLD, "voyado"), False),
    ],
)
def test_whose_an_interaction_is_goes_by_the_address(ledger, reports, one, other, shared):
    mine = recorded(ledger, "mine", *one)
    theirs = recorded(ledger, "theirs", *other)
    sent_as(ledger, theirs, "i-1")

    assert ledger.owned("mine", {"i-1"}) == ({"i-1"} if shared else set())
    assert set(reports.owners("mine", {"i-1"})) == ({"i-1"} if shared else set())
    end(ledger, mine, theirs)


def test_a_new_activation_beside_one_of_another_address_is_not_asked_for_its_earlier_name(ledger):
    end(ledger, recorded(ledger, "reviews", OLD))

    end(ledger, recorded(ledger, "reviews_of_staging", NEW, renamed_from=None))
    with pytest.raises(ConfigurationError, match="renamed_from: reviews"):
        recorded(ledger, "new_name", OLD, destination="voyado", renamed_from=None)


def test_uses_of_a_schema_are_those_at_the_address(ledger, reports):
    end(ledger, recorded(ledger, "reviews", OLD), recorded(ledger, "other_name", OLD, "voyado"))
    end(ledger, recorded(ledger, "staging", NEW))

    uses = reports.schema_uses(Place("engage", OLD), ["engage"])

    assert [use["activation"] for use in uses] == ["other_name", "reviews"]
    found = ledger.replacements.standings(Place("engage", NEW), ["engage"], "review", ())
    assert list(found) == ["staging"]


def test_what_is_remembered_of_rows_stays_until_it_is_another(ledger, reports):
    run = recorded(ledger, "reviews", OLD)
    kinds, rereads = (Kind.INTEGER, None), Rereads("2026-01-01", 2, {1: 5, 2: 6})
    ledger.stage(run, [], [], a_mark(), False, Learnt(remembered=Remembered(kinds, rereads)))
    ledger.stage(run, [], [], a_mark(), False)
    ledger.stage(run, [], [], a_mark(), False, Learnt(remembered=Remembered(None, None)))

    for memory in (ledger, reports):
        assert memory.home("reviews").remembered == Remembered(kinds, rereads)
        assert [key for _, key in memory.some_keys("reviews", 0, 10)] == ["r1"]
    assert reports.home("unknown").remembered == Remembered()
    end(ledger, run)


def test_the_first_name_of_an_activation_stays_known_however_often_it_is_renamed(ledger, reports):
    first = ledger.begin("visits", an_identity())
    end(ledger, first)
    second = ledger.begin("calls", an_identity(renamed_from="visits"))
    end(ledger, second)
    third = ledger.begin("talks", an_identity(renamed_from="calls"))
    end(ledger, third)

    assert [run.origin for run in (first, second, third)] == ["visits"] * 3
    assert reports.origin("talks") == "visits"
    assert Reports(reports._engine, {"chats": "talks"}).origin("chats") == "visits"
    assert reports.origin("visits") is None
    new = ledger.begin("visits", an_identity(row_key=("another",)))
    end(ledger, new)
    assert new.origin is not None
    assert new.origin.startswith("visits.")
    assert ledger.begin("visits", an_identity(row_key=("another",))).origin == new.origin


def test_an_activation_under_a_name_that_another_one_had_is_new_only_where_that_is_said(ledger):
    end(ledger, recorded(ledger, "visits", OLD))
    end(ledger, recorded(ledger, "calls", OLD, renamed_from="visits", key="r2"))
    beside = {"neighbours": frozenset({"calls"}), "renamed_from": None}

    with pytest.raises(ConfigurationError, match='recorded as that of "calls"'):
        recorded(ledger, "visits", OLD, **beside)
    end(ledger, recorded(ledger, "visits", OLD, **{**beside, "renamed_from": False}))
    end(ledger, recorded(ledger, "visits", OLD, **beside))  # it is known from now on


def test_an_earlier_name_that_was_never_recorded_is_no_word_for_one_that_was(ledger):
    """It may be misspelt, or left from the renaming before."""
    end(ledger, recorded(ledger, "visits", OLD))

    with pytest.raises(ConfigurationError, match="renamed_from: visits"):
        recorded(ledger, "calls", OLD, renamed_from="vists")
    end(ledger, recorded(ledger, "calls", NEW, renamed_from="vists"))


def test_rows_are_not_taken_from_an_activation_that_is_still_configured(ledger):
    end(ledger, recorded(ledger, "visits", OLD))

    with pytest.raises(ConfigurationError, match='"visits" is still configured'):
        recorded(ledger, "calls", OLD, renamed_from="visits", neighbours=frozenset({"visits"}))
