"""Voyado Engage, API v3 and v2: contacts are looked up, and each row is one interaction."""

from connector.destinations.engage.client import CAN, Engage
from connector.destinations.engage.grammar import (
    ContactMapping,
    EngageActivation,
    EngageSettings,
    Identifier,
)
from connector.destinations.port import Kind

KIND = Kind("engage", "Voyado Engage", EngageSettings, EngageActivation, lambda _: CAN, Engage)

__all__ = ["KIND", "ContactMapping", "Engage", "EngageActivation", "EngageSettings", "Identifier"]
