"""A client of an Engage, and what is sent through it in tests of answers."""

from datetime import timedelta

from pydantic import SecretStr

from connector.destinations.engage import EngageActivation as Activation
from connector.destinations.engage import EngageSettings
from connector.destinations.engage.client import Engage
from connector.destinations.hooks import LastLook, nothing_to_see
from connector.destinations.pacing import Pacer
from connector.destinations.port import Item, Parcel, Wiring
from connector.rules.delivery import Outcome

KEY = "secret-key"
GUID = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"


def a_client(
    url: str, timeout: float = 5, key: str = KEY, rate: float = 1000, concurrency: int = 4
) -> Engage:
    """A client of the Engage at `url`."""
    settings = EngageSettings(
        type="engage",
        url=url,
        api_key=SecretStr(key),
        user_agent="test/1",
        requests_per_second=rate,
        concurrency=concurrency,
        timeout=timedelta(seconds=timeout),
    )
    return Engage(settings, Wiring(Pacer(rate)))


def an_activation(schema_id: str = "visit") -> Activation:
    """One that goes to an Engage."""
    written = {
        "model": {"table": "visits"},
        "schema_id": schema_id,
        "row_key": "id",
        "start": "all",
        "contact": {"column": "email", "identifier": "email"},
    }
    return Activation.model_validate(written).named("visits")


def a_parcel(payload: bytes = b"{}", contact: str = GUID) -> Parcel:
    """One row."""
    return Parcel("p1", (Item(1, "r1", contact, "2026-01-01T00:00:00.000Z", payload),))


async def sent(engage: Engage, last_look: LastLook = nothing_to_see) -> Outcome:
    """What came of sending one row."""
    return (await engage.send(an_activation(), a_parcel(), last_look)).of(1)
