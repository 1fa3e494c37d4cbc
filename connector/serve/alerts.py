"""Tell someone when an activation's state changes, and when it has recovered."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import structlog

from connector.destinations.routes import route_of
from connector.ledger.reports import Reports
from connector.project.settings import Alert
from connector.rules.delivery import waiting_for_person
from connector.rules.errors import ConfigurationError, ConnectorError
from connector.rules.words import Note, nameless
from connector.sync.result import Result

log = structlog.get_logger()

TRIES = (1.0, 5.0, 30.0)
"""Seconds between tries. A message that is lost is logged, and stops nothing."""
TIMEOUT = 10.0
LAST_WORDS = 5.0
"""Seconds that messages to people are waited for at the end."""


class NotSent(Exception):
    """Says why, without a secret."""


@dataclass(frozen=True, slots=True)
class Before:
    """How the run before ended, and whether it left something new for a person."""

    status: str = "succeeded"
    left: bool = False


def message(ended: Result, before: Before) -> str | None:
    """What is to be told after a run; None when nothing has changed since the run before it.

    An activation in which something waits for a person stays *attention* until nothing does. When a
    run leaves more there, after one that left nothing, that is news, too. Holds no personal data,
    and no row key, which may be an address.
    """
    now, more = ended.status, bool(ended.left) and not before.left
    if now == before.status and not (now == "attention" and more):
        return None
    if now == "succeeded":
        return f"connector: {ended.activation} has recovered (it was {before.status})"
    return f"connector: {ended.activation}: {_what(ended, now)}"


def _what(ended: Result, status: str) -> str:
    if ended.error is not None:
        return f"stopped: {_said(ended.error)}"
    notes = [nameless(note) for note in ended.tally.notes]
    if status == "held":
        return notes[-1]
    counts = ended.waits.items()
    waiting = ", ".join(f"{number} {state.replace('_', ' ')}" for state, number in counts)
    return f"something waits for a person ({waiting or '; '.join(notes)})"


def _said(error: ConnectorError) -> str:
    message = error.args[0] if error.args else None
    return message.nameless if isinstance(message, Note) else str(error)


class Alerts:
    """What is told of the runs of one service, in the order in which things happened."""

    def __init__(self, whom: Callable[[], Sequence[Alert]], base: Path = Path()) -> None:
        """`whom`: who is told, as it is configured now; `base`: where their files start."""
        self._whom, self._base = whom, base
        self._before: dict[str, Before] = {}
        self._telling: asyncio.Task[None] | None = None

    def remember(self, activations: Iterable[str], reports: Reports) -> None:
        """Note what was told of each of `activations` before this process began: that something
        waits for a person. A run that was just cut off is told again if it was more than that."""
        for name, standing in reports.standings(list(activations)).items():
            status = standing.last_run["status"] if standing.last_run else None
            if status in ("attention", "held"):
                self._before[name] = Before(status, left=True)
            elif waiting_for_person(standing.counts):
                self._before[name] = Before("attention", left=True)

    def run_ended(self, ended: Result) -> None:
        """Tell what has changed since the run before."""
        if text := message(ended, self._before.get(ended.activation, Before())):
            self.say(text)
        self._before[ended.activation] = Before(ended.status, bool(ended.left))

    def say(self, text: str) -> None:
        """Send `text` once what was told before is sent: a recovery must not come before its
        trouble."""
        self._telling = asyncio.create_task(self._tell_after(self._telling, text))

    async def _tell_after(self, before: asyncio.Task[None] | None, text: str) -> None:
        if before:
            await before
        await tell(self._whom(), text, self._base)

    async def last_words(self) -> None:
        """Wait for what is being sent, but not for long."""
        if self._telling:
            await asyncio.wait([self._telling], timeout=LAST_WORDS)


async def tell(alerts: Sequence[Alert], text: str, base: Path = Path()) -> None:
    """Send `text` to everyone, side by side; files that they name start at `base`."""
    await asyncio.gather(*(_tell(alert, text, base) for alert in alerts))


async def _tell(alert: Alert, text: str, base: Path) -> None:
    reason = ""
    for pause in (*TRIES, None):
        try:
            await (_post(alert, text, base) if alert.webhook else _apprise(alert, text))
            return
        except (NotSent, ConfigurationError) as error:
            reason = str(error)
        except (httpx.HTTPError, OSError) as error:
            reason = type(error).__name__  # its message may hold the address, which is a secret
        if pause is not None:
            await asyncio.sleep(pause)
    log.error("alert.lost", reason=reason)


async def _post(alert: Alert, text: str, base: Path) -> None:
    assert alert.webhook is not None
    url = alert.webhook.get_secret_value()
    route = None if alert.is_plain else route_of(alert, url, base)
    verify, proxy = (route.context, route.proxy) if route else (True, None)
    async with httpx.AsyncClient(
        timeout=TIMEOUT, trust_env=True, verify=verify, proxy=proxy
    ) as client:
        response = await client.post(url, json={"text": text})
        response.raise_for_status()


async def _apprise(alert: Alert, text: str) -> None:
    assert alert.apprise is not None
    try:
        from apprise import Apprise
    except ModuleNotFoundError:
        log.error("alert.lost", reason='run: pip install "engage-connector[apprise]"')
        return
    sender = Apprise()
    if not sender.add(alert.apprise.get_secret_value()):
        log.error("alert.lost", reason="apprise knows no such address")
        return
    if not await sender.async_notify(body=text):
        raise NotSent("apprise could not send it")
