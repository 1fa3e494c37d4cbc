"""Who follows the schedules is known as long as he lives."""

from datetime import UTC, datetime, timedelta

from connector.ledger.services import living, say
from connector.ledger.transaction import transaction
from connector.rules.telling import Failing
from tests.ledger.factories import execute

DUE = datetime(2026, 11, 27, 6, tzinfo=UTC)
SPAN = timedelta(minutes=1)


def services(engine):
    with transaction(engine) as c:
        return living(c)


def says(engine, id, **schedules):
    with transaction(engine) as c:
        say(c, id, schedules, SPAN)


def test_each_says_what_it_follows_and_when_that_is_due(engine):
    says(engine, "first", visits=DUE, repairs=None)
    says(engine, "second", visits=None)

    first, second = services(engine)

    assert (first.id, first.schedules) == ("first", {"visits": DUE, "repairs": None})
    assert second.schedules == {"visits": None}
    assert set(first.document) == {"id", "where", "started_at"}


def test_alerts_that_fail_are_told_with_it(engine):
    failing = [Failing(2, "slack through apprise", DUE, "it answered 500")]
    with transaction(engine) as c:
        say(c, "first", {"visits": DUE}, SPAN, failing)

    (told,) = services(engine)
    says(engine, "first", visits=DUE)
    (well,) = services(engine)

    assert (told.failing, told.schedules) == (failing, {"visits": DUE})
    assert well.failing == []


def test_saying_it_again_renews_it_and_keeps_its_beginning(engine):
    says(engine, "first", visits=None)
    (before,) = services(engine)
    says(engine, "first", visits=DUE)

    (after,) = services(engine)

    assert after.schedules == {"visits": DUE}
    assert after.started_at == before.started_at


def test_one_that_left_or_fell_silent_is_told_no_more(engine, ledger):
    says(engine, "first")
    says(engine, "second")
    says(engine, "third")
    ledger.serve_no_more("first")
    execute(engine, "update services set expires_at = 0 where id = 'second'")

    assert [service.id for service in services(engine)] == ["third"]


def test_one_whose_process_is_gone_is_told_no_more(engine):
    says(engine, "first")
    execute(engine, 'update services set holder = replace(holder, \'"born": "\', \'"born": "1\')')

    assert services(engine) == []
