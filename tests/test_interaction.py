"""What is sent is told apart by all of it, and its time is an instant."""

import re
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.interaction import Interaction, instant_text

some = settings(deadline=None, max_examples=300)

offsets = st.integers(-14 * 60, 14 * 60).map(lambda n: timezone(timedelta(minutes=n)))
instants = st.datetimes(timezones=offsets).filter(lambda moment: 1 < moment.year < 9999)
short = st.text("ab", max_size=2)
interactions = st.builds(Interaction, short, st.none() | short, short.map(str.encode))


@some
@given(instants)
def test_an_instant_is_read_back_exactly(moment):
    assert datetime.fromisoformat(instant_text(moment)) == moment


@some
@given(instants)
def test_an_instant_is_written_in_utc_as_rfc_3339_has_it(moment):
    written = re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.(\d{3}|\d{6})Z", instant_text(moment))

    assert written
    assert (len(written[1]) == 6) == (moment.microsecond % 1000 != 0)


def test_an_instant_has_milliseconds_as_engages_own_clients_write_it():
    noon = datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=1)))

    assert instant_text(noon) == "2026-01-31T11:00:00.000Z"


@some
@given(interactions, interactions)
def test_a_digest_tells_two_interactions_apart_exactly_when_they_differ(one, other):
    same = (one.contact, one.created or "", one.payload) == (
        other.contact,
        other.created or "",
        other.payload,
    )

    assert (one.digest == other.digest) == same


def test_a_digest_does_not_mix_up_its_parts():
    assert Interaction("ab", "c", b"").digest != Interaction("a", "bc", b"").digest


def test_a_digest_stays_what_it_is_since_ledgers_hold_it():
    digest = Interaction("anna@example.com", "2026-01-31T11:00:00.000Z", b"{}").digest

    assert digest == "980a60e494581bceb770d188743f7ff2"


@pytest.mark.parametrize("part", ["contact", "created", "payload"])
def test_an_interaction_does_not_change(part):
    with pytest.raises(AttributeError):
        setattr(Interaction("anna@example.com", None, b"{}"), part, None)
