"""Voyado Engage, API v3 and v2: contacts are looked up, and each row is one interaction."""

from typing import TYPE_CHECKING

from connector.destinations.engage.grammar import (
    CAN,
    ContactMapping,
    EngageActivation,
    EngageSettings,
    Identifier,
)
from connector.destinations.engage.webhooks import understand
from connector.destinations.port import Kind, Wiring

if TYPE_CHECKING:
    from connector.destinations.engage.client import Engage


def _open(settings: EngageSettings, wiring: Wiring) -> "Engage":
    from connector.destinations.engage.client import Engage  # only who opens one pays for HTTP

    return Engage(settings, wiring)


KIND = Kind(
    "engage",
    "Voyado Engage",
    EngageSettings,
    EngageActivation,
    lambda _: CAN,
    _open,
    "Engage",
    hears=understand,
)

__all__ = ["KIND", "ContactMapping", "EngageActivation", "EngageSettings", "Identifier"]
