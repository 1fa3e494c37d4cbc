"""Send a message to people: to a webhook, or through apprise; tried a few times, its address never
shown."""

import asyncio
from pathlib import Path

import httpx

from connector.basis.log import Log
from connector.destinations.routes import route_of
from connector.project.apprised import services
from connector.project.settings import Settings
from connector.rules.alerting import Alert
from connector.rules.deed import Document
from connector.rules.errors import ConfigurationError
from connector.rules.telling import Letter, Where

log = Log(__name__)

TRIES = (1.0, 5.0, 30.0)
"""Seconds between tries. A message that is lost is logged, and stops nothing."""
TIMEOUT = 10.0


class NotSent(Exception):
    """Says why, without a secret. `for_good`: to try again does not help."""

    def __init__(self, reason: str, for_good: bool = False) -> None:
        super().__init__(reason)
        self.for_good = for_good


async def send(alert: Alert, letter: Letter, base: Path = Path()) -> str | None:
    """Send `letter`, tried a few times; files that the alert names start at `base`. Gives back why
    it is lost, which is logged, too."""
    reason = ""
    for pause in (*TRIES, None):
        try:
            await send_once(alert, letter, base)
            return None
        except NotSent as error:
            reason = str(error)
            if error.for_good:
                break
        if pause is not None:
            await asyncio.sleep(pause)
    log.error("alert.lost", reason=reason)
    return reason


async def send_once(alert: Alert, letter: Letter, base: Path = Path()) -> None:
    """The same, tried once. Raises NotSent."""
    try:
        await (_post(alert, letter, base) if alert.webhook else _apprise(alert, letter))
    except ConfigurationError as error:
        raise NotSent(str(error)) from None
    except httpx.HTTPStatusError as error:
        raise NotSent(f"it answered {error.response.status_code}") from None
    except httpx.HTTPError as error:  # whose own words may hold the address, which is a secret
        raise NotSent(_why(error)) from None
    except OSError as error:
        raise NotSent(type(error).__name__) from None


def _why(error: httpx.HTTPError) -> str:
    match error:
        case httpx.ConnectTimeout():
            return "connecting took too long"
        case httpx.ConnectError():
            return "could not connect"
        case httpx.TimeoutException():
            return "no answer within the time-out"
        case httpx.RemoteProtocolError():
            return "the connection was closed before the whole answer came"
        case httpx.NetworkError():
            return "the connection broke"
        case _:
            return "an answer that cannot be read"


async def _post(alert: Alert, letter: Letter, base: Path) -> None:
    url = alert.address
    route = None if alert.is_plain else route_of(alert, url, base)
    verify, proxy = (route.context, route.proxy) if route else (True, None)
    async with httpx.AsyncClient(
        timeout=TIMEOUT, trust_env=True, verify=verify, proxy=proxy
    ) as client:
        response = await client.post(url, json={"text": letter.text})
        response.raise_for_status()


async def _apprise(alert: Alert, letter: Letter) -> None:
    try:
        everybody = services(alert)
    except ValueError as error:
        raise NotSent(str(error), for_good=True) from None
    from apprise import Apprise, NotifyFormat, NotifyType

    lost = False
    for service in everybody:
        one, shown = Apprise(), service.notify_format
        one.add(service)
        # HTML is made of the text as it stands; Markdown would be kept from being Markdown
        markdown = shown == NotifyFormat.MARKDOWN
        given = None if markdown else NotifyFormat.TEXT
        text = as_markdown(letter.text) if markdown else letter.text
        kind = NotifyType(letter.mood)
        sent = await one.async_notify(
            title=letter.title, body=text, notify_type=kind, body_format=given
        )
        lost = lost or not sent
    if lost:
        raise NotSent("apprise could not send it: `apprise -vv ADDRESS` says why")


def as_markdown(text: str) -> str:
    """`text` with an empty line where Markdown would else join two lines."""
    first, *others = text.split("\n")
    return first + "".join(
        f"\n{line}" if line.startswith("- ") else f"\n\n{line}" for line in others
    )


async def try_all(settings: Settings) -> list[Document]:
    """Send a message that says it is a try to each of the project's `alerts`, once."""
    project = settings.project
    called = Where(settings.name, project.environment, ()).called
    text = f"connector: a try, by `connector check --alerts`\n{called}"
    if project.serve.url:
        text = f"{text}\n{project.serve.url}"
    letter, found = Letter(f"{called}: a try", text, "success"), list[Document]()
    for alert in project.alerts:
        try:
            await send_once(alert, letter, settings.base)
            found.append({"called": alert.called, "sent": True, "reason": None})
        except NotSent as error:
            found.append({"called": alert.called, "sent": False, "reason": str(error)})
    return found
