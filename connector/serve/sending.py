"""Send a message to people: to a webhook, or through apprise; tried a few times, its address never
shown."""

import asyncio
from pathlib import Path

import httpx
import structlog

from connector.destinations.routes import route_of
from connector.rules.alerting import Alert
from connector.rules.errors import ConfigurationError

log = structlog.get_logger()

TRIES = (1.0, 5.0, 30.0)
"""Seconds between tries. A message that is lost is logged, and stops nothing."""
TIMEOUT = 10.0
INSTALL = 'run: pip install "engage-connector[apprise]"'


class NotSent(Exception):
    """Says why, without a secret. `for_good`: to try again does not help."""

    def __init__(self, reason: str, for_good: bool = False) -> None:
        super().__init__(reason)
        self.for_good = for_good


async def send(alert: Alert, text: str, title: str = "", base: Path = Path()) -> bool:
    """Send `text`, with a `title` where there is a place for one, as in an e-mail; files that the
    alert names start at `base`. False: it is lost, which is logged."""
    reason = ""
    for pause in (*TRIES, None):
        try:
            await (_post(alert, text, base) if alert.webhook else _apprise(alert, text, title))
            return True
        except (NotSent, ConfigurationError) as error:
            reason = str(error)
            if isinstance(error, NotSent) and error.for_good:
                break
        except (httpx.HTTPError, OSError) as error:
            reason = type(error).__name__  # its message may hold the address, which is a secret
        if pause is not None:
            await asyncio.sleep(pause)
    log.error("alert.lost", reason=reason)
    return False


async def _post(alert: Alert, text: str, base: Path) -> None:
    url = alert.address
    route = None if alert.is_plain else route_of(alert, url, base)
    verify, proxy = (route.context, route.proxy) if route else (True, None)
    async with httpx.AsyncClient(
        timeout=TIMEOUT, trust_env=True, verify=verify, proxy=proxy
    ) as client:
        response = await client.post(url, json={"text": text})
        response.raise_for_status()


async def _apprise(alert: Alert, text: str, title: str) -> None:
    try:
        from apprise import Apprise
    except ModuleNotFoundError:
        raise NotSent(INSTALL, for_good=True) from None
    sender = Apprise()
    if not sender.add(alert.address):
        raise NotSent("apprise knows no such address", for_good=True)
    if not await sender.async_notify(title=title, body=text):
        raise NotSent("apprise could not send it")
