"""What is told of a mirror's rows without reading what they hold, on both databases."""

from connector.ledger.mirrored import Aim, Wish
from connector.ledger.reports import Reports
from connector.ledger.store import Ledger
from tests.ledger.factories import REVIEWS, a_row, delivered, staged
from tests.ledger.factories import an_invalid_row as invalid

KEYS = ["a", "b", "c", "d", "e", "né'w\\"]


def test_a_row_is_told_with_its_digest_only_while_there_is_nothing_to_do(
    ledger: Ledger, reports: Reports
) -> None:
    rows = [a_row(key, source=f"digest of {key}") for key in KEYS[:4]]
    run = staged(ledger, *rows, invalid("e"))
    for number, key in enumerate(KEYS[:3]):
        delivered(ledger, run, key, f"i-{number}")
    ids = {key: row.known.id for key, row in ledger.mirrored(REVIEWS, KEYS).items()}
    ledger.reflect(run, [], [Wish(ids["b"], Aim.REMOVE)])

    expected = {
        "a": (ids["a"], "digest of a"),
        "b": (ids["b"], None),  # something is to become of it
        "c": (ids["c"], "digest of c"),
        "d": (ids["d"], None),  # it is not sent yet
        "e": (ids["e"], None),  # no digest is known
    }
    assert ledger.sources(REVIEWS, KEYS) == reports.sources(REVIEWS, KEYS) == expected
    assert ledger.sources("another", KEYS) == ledger.sources(REVIEWS, []) == {}


def test_however_many_keys_are_asked_for(ledger: Ledger) -> None:
    staged(ledger, *(a_row(f"r{n}") for n in range(5)))
    many = [f"r{n}" for n in range(40_000)]

    assert len(ledger.sources(REVIEWS, many)) == len(ledger.mirrored(REVIEWS, many)) == 5


def test_only_what_a_reading_has_not_met_is_looked_at(ledger: Ledger) -> None:
    run = staged(ledger, "a", "b", "c")
    delivered(ledger, run, "b")
    ids = {key: row.known.id for key, row in ledger.mirrored(REVIEWS, KEYS).items()}
    ledger.reflect(run, [], [Wish(ids["b"], Aim.REMOVE)])
    newest = ledger.newest_row()

    found, end = ledger.present(REVIEWS, 0, newest, {ids["a"]})

    assert [(row.row_key, row.change) for row in found] == [("b", Aim.REMOVE), ("c", None)]
    assert end == newest
    assert ledger.figures(REVIEWS).removed == 1
    changes = {key: row.change for key, row in ledger.mirrored(REVIEWS, KEYS).items()}
    assert {key: each.aim for key, each in changes.items() if each} == {"b": Aim.REMOVE}
    assert ledger.examples(REVIEWS, Aim.REMOVE) == ("b",)
