"""Every row of a batch has one meaning to the ledger, and no key is taken twice."""

# ruff: noqa: DTZ001 -- cursors without a zone are what warehouses return

from collections import Counter
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.destinations.engage import EngageActivation
from connector.rules.delivery import CORRECTABLE, State
from connector.rules.errors import ConfigurationError
from connector.rules.interaction import Interaction, Invalid
from connector.rules.watermark import Kind
from connector.sync.reading import refuse_nested
from connector.sync.sorting import sort_out
from connector.warehouse import Column
from tests.factories import a_known, a_plan, an_activation

T0 = datetime(2026, 7, 1, 12)
EMAIL = "anna@example.com"
KEYS = [*"abcdef", None, "a\x00", float("nan")]

rows = st.lists(
    st.tuples(
        st.sampled_from(KEYS),
        st.sampled_from([T0, T0 + timedelta(hours=1), None]),
        st.sampled_from([EMAIL, None]),
        st.sampled_from([4, 5, 6, None, "text"]),
    ),
    max_size=15,
)
knowns = st.dictionaries(
    st.sampled_from("abcdef"),
    st.builds(
        a_known,
        st.sampled_from(State),
        digest=st.sampled_from([None, "another"]),
        reason=st.sampled_from([None, "rating: an integer breaks the rule maximum 5"]),
        run_id=st.sampled_from(["this run", "an earlier run"]),
    ),
)


def a_row(key="a", at=T0, email=EMAIL, rating=4):
    """A row of the model of `a_plan`."""
    return (key, at, email, rating)


def content_of(row):
    """What the mapper makes of `row`."""
    return a_plan().mapper(row)


@given(rows, knowns)
def test_every_row_of_a_batch_is_counted_once(rows, known):
    batch = sort_out(rows, a_plan(), known, "this run")

    counted = len(batch.new) + len(batch.corrected) + len(batch.repeated)
    assert batch.read == len(rows) == counted + batch.already + batch.without_key


@given(rows, knowns)
def test_no_key_is_taken_twice_and_none_that_the_ledger_has_is_new(rows, known):
    batch = sort_out(rows, a_plan(), known, "this run")

    new = [staged.row_key for staged in batch.new]
    corrected = [staged.row_key for _, staged in batch.corrected]
    assert set(Counter(new + corrected).values()) <= {1}
    assert not set(new) & known.keys()
    assert set(corrected) <= known.keys()


@given(rows, knowns)
def test_every_key_that_the_ledger_does_not_have_is_new(rows, known):
    plan = a_plan()

    batch = sort_out(rows, plan, known, "this run")

    keys = set(plan.mapper.keys(rows)) - {None}
    assert {staged.row_key for staged in batch.new} == keys - known.keys()


@given(rows, knowns)
def test_only_a_refused_row_that_changed_is_taken_again(rows, known):
    batch = sort_out(rows, a_plan(), known, "this run")

    for before, staged in batch.corrected:
        assert before is known[staged.row_key]
        assert before.state in CORRECTABLE
        assert before.run_id != "this run"
        if isinstance(staged.content, Interaction):
            assert staged.content.digest != before.digest
        else:
            assert staged.content.reason != before.reason


@given(rows, knowns)
def test_rows_that_the_ledger_has_change_nothing_when_they_are_read_again(rows, known):
    plan = a_plan()
    first = sort_out(rows, plan, known, "this run")
    recorded = known | {
        staged.row_key: a_known(
            State.INVALID if isinstance(staged.content, Invalid) else State.PENDING,
            digest=getattr(staged.content, "digest", None),
            reason=getattr(staged.content, "reason", None),
            run_id="this run",
        )
        for staged in [*first.new, *(staged for _, staged in first.corrected)]
    }

    again = sort_out(rows, plan, recorded, "this run")
    later = sort_out(rows, plan, recorded, "a later run")

    assert (again.new, again.corrected) == ([], [])
    assert later.new == []


@given(rows)
def test_the_content_of_a_new_row_is_what_the_mapper_makes_of_its_first_appearance(rows):
    batch = sort_out(rows, a_plan(), {}, "this run")

    for staged in batch.new:
        first = next(row for row in rows if row[0] == staged.row_key)
        assert staged.content == content_of(first)


@given(rows)
def test_the_cursors_are_those_of_the_batch_in_their_order(rows):
    cursors = [row[1] for row in rows if row[1] is not None]

    assert sort_out(rows, a_plan(), {}, "this run").cursors == cursors


def test_a_row_without_a_key_still_moves_the_position():
    batch = sort_out([a_row(key=None)], a_plan(), {}, "this run")

    assert (batch.without_key, batch.cursors) == (1, [T0])


def test_a_key_that_stands_twice_in_the_model_is_reported():
    batch = sort_out([a_row(rating=4), a_row(rating=5)], a_plan(), {}, "this run")

    assert [staged.row_key for staged in batch.new] == ["a"]
    assert batch.repeated == ["a"]


def test_a_key_that_comes_again_in_a_later_batch_of_the_run_is_reported():
    known = {"a": a_known(State.PENDING, run_id="this run")}

    assert sort_out([a_row()], a_plan(), known, "this run").repeated == ["a"]
    assert sort_out([a_row()], a_plan(), known, "a later run").already == 1


@pytest.mark.parametrize("state", [s for s in State if s not in CORRECTABLE])
def test_a_change_to_a_row_that_was_not_refused_is_never_sent(state):
    known = {"a": a_known(state, digest="another")}

    batch = sort_out([a_row()], a_plan(), known, "this run")

    assert (batch.new, batch.corrected, batch.already) == ([], [], 1)


@pytest.mark.parametrize("state", CORRECTABLE)
def test_a_refused_row_that_was_corrected_is_taken_again(state):
    known = {"a": a_known(state, digest="another", reason="rating: an integer")}

    ((before, staged),) = sort_out([a_row()], a_plan(), known, "this run").corrected

    assert before is known["a"]
    assert isinstance(staged.content, Interaction)


@pytest.mark.parametrize("rating", [4, 6])
def test_a_refused_row_that_stays_as_it_was_is_left_alone(rating):
    content = content_of(a_row(rating=rating))
    if isinstance(content, Invalid):
        before = a_known(State.INVALID, reason=content.reason)
    else:
        before = a_known(State.REJECTED, digest=content.digest, reason="contact unknown")

    batch = sort_out([a_row(rating=rating)], a_plan(), {"a": before}, "this run")

    assert (batch.corrected, batch.already) == ([], 1)


def rejected(row, **over):
    """What the ledger has of `row` after the destination refused it."""
    content = content_of(row)
    facts = {"contact": content.contact, "payload": content.payload.decode()} | over
    return {"a": a_known(State.REJECTED, digest=content.digest, reason="refused", **facts)}


def test_a_refused_row_whose_contact_alone_was_corrected_is_taken_again():
    known = rejected(a_row(email="ana@example.com"))

    assert len(sort_out([a_row(email=EMAIL)], a_plan(), known, "this run").corrected) == 1
    assert sort_out([a_row(email="ana@example.com")], a_plan(), known, "this run").already == 1


def test_a_refused_row_whose_values_are_only_written_differently_is_taken_again():
    """The digest is the same, but the destination may have refused the way it was written."""
    known = rejected(a_row(rating=4), payload='{"rating":4.0}')

    assert len(sort_out([a_row(rating=4)], a_plan(), known, "this run").corrected) == 1


def test_a_refused_row_whose_content_is_forgotten_is_left_alone_unless_its_digest_differs():
    known = rejected(a_row(), contact=None, payload=None)

    assert sort_out([a_row()], a_plan(), known, "this run").already == 1
    assert len(sort_out([a_row(rating=5)], a_plan(), known, "this run").corrected) == 1


def test_an_invalid_row_that_is_invalid_for_another_reason_says_so():
    before = a_known(State.INVALID, reason="contact: the column email is NULL")

    ((_, staged),) = sort_out([a_row(rating=6)], a_plan(), {"a": before}, "this run").corrected

    assert staged.content == Invalid("rating: an integer breaks the rule maximum 5")


def test_what_stands_in_the_model_before_start_now_is_history():
    rows = [a_row("a"), a_row("b", rating=6)]

    batch = sort_out(rows, a_plan(history=True, start="now"), {}, "this run")

    assert [staged.history for staged in batch.new] == [True, True]


def test_a_preview_belongs_to_no_run():
    known = {"a": a_known(State.DELIVERED), "b": a_known(State.DELIVERED)}

    batch = sort_out([a_row("a"), a_row("b"), a_row("c")], a_plan(), known, None)

    assert (batch.already, len(batch.new), batch.repeated) == (2, 1, [])


def test_without_a_cursor_there_is_no_position():
    plan = a_plan(cursor=None)

    batch = sort_out([("a", EMAIL, 4)], plan, {}, "this run")

    assert batch.cursors == []
    assert plan.advanced(plan.mark, [T0], datetime.now().astimezone()) == plan.mark


def test_the_first_position_tells_the_kind_of_the_cursor():
    plan = a_plan()

    mark = plan.advanced(plan.mark, [T0], datetime(2026, 7, 2).astimezone())

    assert (mark.kind, mark.value) == (Kind.LOCAL_TIME, T0)


def test_a_cursor_that_changes_its_kind_is_an_error():
    plan = a_plan()
    mark = plan.advanced(plan.mark, [T0], datetime(2026, 7, 2).astimezone())

    with pytest.raises(ConfigurationError, match="kind integer and local_time"):
        plan.advanced(mark, [5], datetime(2026, 7, 2).astimezone())


@given(rows)
def test_the_keys_of_a_batch_are_usable_or_none(rows):
    keys = a_plan().mapper.keys(rows)

    assert keys == [row[0] if row[0] in set("abcdef") else None for row in rows]


def test_columns_of_lists_and_structures_are_refused_before_the_first_row():
    activation = an_activation(payload={"tags": "tags", "rating": "rating"})
    columns = [Column("tags", "VARCHAR[]"), Column("rating", "INTEGER"), Column("x", "STRUCT(a)")]

    with pytest.raises(ConfigurationError, match="flat") as error:
        refuse_nested(activation, columns)

    assert [p.path for p in error.value.problems] == [("activations", "reviews", "payload", "tags")]


def test_a_row_that_is_too_late_when_it_is_read_is_invalid(monkeypatch):
    monkeypatch.setattr(
        EngageActivation, "too_late", lambda self, created, now: "too late" if created else None
    )
    dated = a_plan(created_date="reviewed_at")

    (late,) = sort_out([a_row()], dated, {}, "this run").new
    (now,) = sort_out([a_row()], a_plan(), {}, "this run").new

    assert late.content == Invalid("too late")
    assert isinstance(now.content, Interaction)
