"""A client of the MXO of a sandbox, and what is sent through it in tests of answers."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from connector.destinations.mxo import client
from connector.destinations.mxo.client import Mxo
from connector.destinations.mxo.grammar import MxoActivation, MxoSettings
from connector.destinations.pacing import Pacer
from connector.destinations.port import Answer, Item, Parcel, Wiring
from connector.sandbox.mxo.behaviour import Behaviour
from connector.sandbox.mxo.running import Running

CREATED = "2026-11-01T10:00:00.000Z"
ACTIVATION: dict[str, Any] = {
    "model": {"table": "visits"},
    "touchpoint": "store://pos/visit",
    "row_key": "id",
    "start": "all",
    "contact": {"column": "customer"},
}
SECRET = "a-client-secret"
WITHOUT_LIMIT: dict[str, Any] = {"hard_rate": None, "token_life": 3600}


def settings_of(sandbox: Running, mode: str, **keys: Any) -> dict[str, Any]:
    """The keys of the destination in activations.yaml."""
    return {
        "type": "mxo",
        "url": sandbox.url,
        "client_id": sandbox.client_id,
        "client_secret": sandbox.secret,
        "site_key": sandbox.site_key,
        "workspace_id": sandbox.workspace_id,
        "mode": mode,
        "requests_per_second": 1000,
        "timeout": "2s",
        "settle_after": "1s",
        **keys,
    }


def a_client(sandbox: Running, mode: str, **keys: Any) -> Mxo:
    """A client of the MXO in the sandbox."""
    settings = MxoSettings.model_validate(settings_of(sandbox, mode, **keys))
    return client.opened(settings, Wiring(Pacer(1000)))


@asynccontextmanager
async def opened(sandbox: Running, mode: str, **keys: Any) -> AsyncIterator[Mxo]:
    """Such a client, closed at the end."""
    there = a_client(sandbox, mode, **keys)
    try:
        yield there
    finally:
        await there.aclose()


def an_activation(**keys: Any) -> MxoActivation:
    """One that goes there."""
    return MxoActivation.model_validate({**ACTIVATION, **keys}).named("visits")


def an_item(number: int = 1, payload: bytes = b'{"storeNo":"12"}') -> Item:
    """A row."""
    return Item(number, f"row{number}", f"k{number}", CREATED, payload)


def behave(sandbox: Running, **switches: Any) -> None:
    """As the switches say, without a limit of requests."""
    sandbox.behaviour = Behaviour.model_validate({**WITHOUT_LIMIT, **switches})


async def sent(
    there: Mxo, items: Sequence[Item], activation: MxoActivation | None = None
) -> Answer:
    """What came of one request, and the end of the client."""
    await there.wire.come_near()
    return await there.send(activation or an_activation(), Parcel("p1", tuple(items)))
