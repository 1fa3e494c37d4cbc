"""What is amiss around the ledger is told before a run finds out."""

from connector.ledger.amiss import Amiss
from connector.ledger.generation import GenerationFile
from connector.ledger.records import Tally
from connector.rules.place import Place
from tests.ledger.factories import a_mark, a_row, an_identity


def recorded(ledger, name, **over):
    """An activation of which a row waits."""
    run = ledger.begin(name, an_identity(**over))
    ledger.stage(run, [a_row("r1")], [], a_mark(), begun=True)
    ledger.finish(run, "succeeded", Tally(), None)


def test_rows_wait_of_activations_that_nothing_configures(ledger, engine):
    for name in ("configured", "renamed", "removed"):
        recorded(ledger, name)
    ledger.finish(ledger.begin("empty", an_identity()), "succeeded", Tally(), None)
    now = {"configured", "called_so_now"}

    amiss = Amiss(engine, {"called_so_now": "renamed"})

    assert amiss.left_behind(now) == {"removed": {"pending": 1}}
    assert Amiss(engine).left_behind(now).keys() == {"removed", "renamed"}
    assert Amiss(None).left_behind(now) == {}
    assert [amiss.knows(name) for name in ("removed", "called_so_now")] == [True, False]


def test_activations_that_a_run_would_refuse(ledger, engine, reports):
    here = Place("engage", "https://here.example")
    for name in ("a", "b", "c", "d"):
        recorded(ledger, name, place=here)
    asked = {
        "a": an_identity(place=here),
        "b": an_identity(place=here, row_key=("another",)),
        "c": an_identity(place=Place("engage", "https://there.example")),
        "new": an_identity(place=here, renamed_from=None, neighbours=frozenset("abc")),
        "said": an_identity(place=here, renamed_from="d", neighbours=frozenset("abc")),
    }

    found = Amiss(engine).refused(asked.items(), set(asked))

    assert found.keys() == {"b", "c", "new"}
    assert found["b"] == reports.identity_problems("b", asked["b"])
    assert "renamed_from: d" in found["new"][0].message


def test_a_ledger_that_another_one_has_taken_the_place_of(ledger, engine, tmp_path):
    recorded(ledger, "a")
    mine = Amiss(engine).put_back(GenerationFile(tmp_path / "none.generation"))
    file = GenerationFile(tmp_path / "other.generation")
    file.raise_to("another", 3)

    in_file = engine.dialect.name == "sqlite"  # a server is used from machines that keep none
    assert mine == ("the file that belongs beside it is gone" if in_file else None)
    assert Amiss(engine).put_back(file) == "it is not the ledger that was here before"
    assert Amiss(None).put_back(file) == "it is not the ledger that was here before"
    assert Amiss(None).put_back(GenerationFile(tmp_path / "none.generation")) is None
