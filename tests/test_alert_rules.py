"""What a channel is told, and when."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connector.project.settings import load
from connector.rules.alerting import Alert
from connector.rules.errors import ConfigurationError
from connector.rules.telling import Channel, Message, News, Progress, Where, limits, worded

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
WHERE = Where("acme", "production", ["crm.example"], "https://connector.acme.internal")


def channel(**keys: Any) -> Channel:
    return Channel(Alert.model_validate({"webhook": "https://hooks.example/x", **keys}))


def stopped(name: str = "visits") -> News:
    return News(name, name, f"{name}: stopped: the key is refused")


def waits(name: str = "visits") -> News:
    return News(name, name, f"{name}: something waits for a person (1 invalid)", "warning")


def over(name: str = "visits") -> News:
    return News(name, name, f"{name} has recovered (it was stopped)", over=True)


def texts(message: Message | None) -> list[str]:
    return [told.news.text for told in message.told] if message else []


def test_a_message_names_project_environment_and_host_and_links_to_the_activation() -> None:
    told = channel()
    told.hear(stopped("a b"), NOON)
    message = told.take(NOON)

    assert message
    assert worded(message, WHERE).splitlines() == [
        "connector: a b: stopped: the key is refused",
        "acme (production), to crm.example",
        "https://connector.acme.internal/activations/a%20b",
    ]
    assert worded(message, Where("acme", None, [])).splitlines()[1:] == ["acme"]


def test_a_storm_is_two_messages_with_counts() -> None:
    told = channel(group="30s")
    told.hear(stopped("first"), NOON)
    assert texts(told.take(NOON)) == [stopped("first").text]
    told.hear(stopped("often"), NOON + SECOND)
    told.hear(stopped("often"), NOON + SECOND)
    for number in range(298):
        told.hear(stopped(f"a{number}"), NOON + SECOND)
    told.hear(over("first"), NOON + 2 * SECOND)
    assert told.take(NOON + 29 * SECOND) is None
    message = told.take(NOON + 30 * SECOND)

    assert message
    lines = worded(message, WHERE).splitlines()
    assert lines[0] == "connector: 300 messages of 300 activations (299 in trouble, 1 over):"
    assert lines[1] == "- often: stopped: the key is refused (2 times)"
    assert lines[21] == "- and 280 more: a19, a20, a21, a22, a23 …"
    assert lines[-1] == "https://connector.acme.internal/"
    assert told.take(NOON + HOUR) is None


def test_a_cause_is_told_once_and_its_end_once() -> None:
    told = channel(group=0)
    told.hear(stopped(), NOON)
    assert texts(told.take(NOON))
    assert told.take(NOON + 100 * HOUR) is None
    told.hear(over(), NOON + 101 * HOUR)
    assert texts(told.take(NOON + 101 * HOUR)) == [over().text]
    assert told.take(NOON + 102 * HOUR) is None


def test_what_came_and_went_before_anybody_was_told_is_not_told() -> None:
    told = channel()
    told.hear(waits("first"), NOON)
    assert told.take(NOON)
    told.hear(stopped(), NOON)
    told.hear(over(), NOON)

    assert told.take(NOON + HOUR) is None


def test_an_end_is_told_of_what_another_process_has_told() -> None:
    told = channel()
    told.hear(over(), NOON)

    assert texts(told.take(NOON)) == [over().text]


def test_only_errors_where_only_errors_are_told() -> None:
    told = channel(severity="error", group=0)
    told.hear(waits(), NOON)
    assert told.take(NOON) is None
    told.hear(stopped(), NOON)
    assert texts(told.take(NOON)) == [stopped().text]
    told.hear(waits(), NOON)  # which is no error any more
    message = told.take(NOON)

    assert message
    assert message.told[0].news.over


def test_no_more_than_so_many_an_hour_and_nothing_is_forgotten() -> None:
    told = channel(at_most=2, group=0)
    said = []
    for number in range(50):
        told.hear(stopped(f"a{number}"), NOON + number * SECOND)
        said.append(told.take(NOON + number * SECOND))

    last = said[1]
    assert last
    assert not any(said[2:])
    assert "what comes next is told at 13:00 UTC" in worded(last, WHERE)
    assert told.take(NOON + 59 * MINUTE) is None
    assert len(texts(told.take(NOON + HOUR))) == 48


QUIET = {"from": "22:00", "to": "07:00", "timezone": "Europe/Stockholm", "except": "error"}
NIGHT, MORNING = datetime(2026, 3, 2, 22, tzinfo=UTC), datetime(2026, 3, 3, 6, tzinfo=UTC)


def test_quiet_hours_keep_what_still_stands_until_they_end() -> None:
    told = channel(quiet=QUIET, group=0)
    told.hear(waits("stays"), NIGHT)
    told.hear(waits("goes"), NIGHT)
    told.hear(News("goes", "goes", "goes has recovered", "warning", over=True), NIGHT + HOUR)
    told.hear(stopped("loud"), NIGHT + HOUR)

    assert texts(told.take(NIGHT + HOUR)) == [stopped("loud").text]
    assert told.take(MORNING - SECOND) is None
    assert texts(told.take(MORNING)) == [waits("stays").text]


@pytest.mark.parametrize(
    ("clock", "quiet"), [("21:59", False), ("22:00", True), ("06:59", True), ("07:00", False)]
)
def test_quiet_hours_go_on_over_midnight(clock: str, quiet: bool) -> None:
    rule = channel(quiet={"from": "22:00", "to": "07:00"}).alert.quiet
    now = datetime.fromisoformat(f"2026-03-02T{clock}:00+00:00")

    assert rule
    assert rule.keeps("error", now) is quiet


def test_what_lasts_is_told_again_where_that_is_asked_for() -> None:
    told = channel(remind="1d", group=0)
    told.hear(stopped(), NOON)
    assert told.take(NOON)
    assert told.take(NOON + 23 * HOUR) is None
    for days in (1, 2):
        message = told.take(NOON + days * 24 * HOUR)
        assert message
        first = worded(message, WHERE).splitlines()[0]
        assert first == "connector: still: visits: stopped: the key is refused"


def test_a_limit_is_told_when_it_is_passed_and_when_it_is_kept_again() -> None:
    late = channel(lag="2h", nothing_for="1d")

    def look(read: timedelta, delivered: timedelta) -> list[tuple[str, bool]]:
        progress = Progress("visits", NOON - read, NOON - delivered)
        return [(news.text, news.over) for news in limits(late, [progress], NOON)]

    passed = "visits: its model was read to its end more than 2h ago"
    assert look(2 * HOUR, HOUR) == []
    assert look(2 * HOUR + SECOND, HOUR) == [(passed, False)]
    assert look(3 * HOUR, HOUR) == []
    nothing = ("visits: no row was delivered for more than 1d", False)
    assert look(3 * HOUR, 25 * HOUR) == [nothing]
    assert [over for _, over in look(HOUR, HOUR)] == [True, True]


def test_a_limit_of_what_is_paused_is_not_told() -> None:
    late = channel(lag="2h")
    progress = Progress("visits", NOON - 3 * HOUR, NOON)
    for news in limits(late, [progress], NOON):
        late.hear(news, NOON)

    assert not list(limits(late, [], NOON))
    assert late.take(NOON) is None


def test_one_entry_is_written_without_a_list_and_chooses_what_there_is(tmp_path: Path) -> None:
    text = """
version: 1
warehouse: {url: "duckdb:///w.duckdb"}
destinations: {e: {type: engage, url: "https://a.voyado.com", api_key: k}}
alerts: {webhook: "https://hooks.example/s3cret", lag: 2h, activations: "tag:none"}
"""
    file = tmp_path / "activations.yaml"
    file.write_text(text.replace(', activations: "tag:none"', ""))
    (alert,) = load(file, {}).project.alerts
    assert alert.lag == 2 * HOUR
    file.write_text(text)
    with pytest.raises(ConfigurationError, match="alerts, entry 1: no activation") as caught:
        load(file, {})
    assert "s3cret" not in str(caught.value)
