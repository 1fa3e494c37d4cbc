"""Messages through apprise: who gets one by an address, or why nobody can."""

import logging
from typing import Any

from connector.rules.alerting import Alert

INSTALL = 'run: pip install "engage-connector[apprise]"'
UNKNOWN = (
    "apprise knows no such address; its services, and how their addresses are written, are listed"
    " at https://github.com/caronc/apprise/wiki"
)


def services(alert: Alert) -> list[Any]:
    """What apprise makes of the address, which may name several. Raises ValueError, which says what
    is to be done and shows nothing of the address."""
    logger = logging.getLogger("apprise")
    try:
        from apprise import Apprise, AppriseAsset
    except ModuleNotFoundError:
        raise ValueError(f"apprise is not installed; {INSTALL}") from None
    # not its own name and pictures, which it would have people fetch from elsewhere
    asset = AppriseAsset(
        app_id="connector", app_desc="engage-connector", image_url_mask="", image_url_logo=""
    )
    everybody, before = Apprise(asset=asset), logger.disabled
    logger.disabled = True  # it would tell the address
    try:
        known = everybody.add(alert.address)
    finally:
        logger.disabled = before
    if not known or not len(everybody):
        raise ValueError(UNKNOWN)
    return list(everybody)


def unreachable(alert: Alert) -> str | None:
    """Why no message can go to `alert` as this is installed and written; None: nothing is known
    against it. Asks nobody."""
    if alert.webhook:
        return None
    try:
        services(alert)
    except ValueError as error:
        return str(error)
    return None
