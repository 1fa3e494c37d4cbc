"""Voyado Engage, API v3 and v2: contacts are looked up, and each row is one interaction."""

from connector.destinations.engage.client import CAN, Engage
from connector.destinations.engage.grammar import EngageSettings
from connector.destinations.port import Kind
from connector.rules.activation import Activation

KIND = Kind("engage", "Voyado Engage", EngageSettings, Activation, lambda _: CAN, Engage)

__all__ = ["KIND", "Engage", "EngageSettings"]
