"""Medallia Experience Orchestration (MXO): interactions in batches, one by one, or of the past."""

from typing import TYPE_CHECKING

from connector.destinations.mxo.grammar import MxoActivation, MxoContact, MxoSettings, can, shape_of
from connector.destinations.port import Kind, Wiring

if TYPE_CHECKING:
    from connector.destinations.mxo.client import Mxo


def _open(settings: MxoSettings, wiring: Wiring) -> "Mxo":
    from connector.destinations.mxo.client import opened  # only who opens one pays for HTTP

    return opened(settings, wiring)


FORGETTING = (
    "MXO deletes a customer as a whole, with all that it has of them: by its Customer API, or by"
    " whoever administers it"
)

KIND = Kind(
    *("mxo", "MXO", MxoSettings, MxoActivation, can, _open),
    forgetting=FORGETTING,
    shape=shape_of,
)

__all__ = ["KIND", "MxoActivation", "MxoContact", "MxoSettings"]
