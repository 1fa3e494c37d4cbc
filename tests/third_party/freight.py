"""A freight carrier as a destination: many rows in one request, which is processed later.

A consignment is a JSON array of boxes, handed in under an id of ours. It is asked for by that id:
the carrier says whether it is under way, or which of its boxes were turned down. Nothing has an id.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar, Literal
from urllib.parse import quote

import orjson
from pydantic import SecretStr

from connector.destinations.answers import Response
from connector.destinations.api import Api
from connector.destinations.credentials import Credentials
from connector.destinations.hooks import LastLook, nothing_to_see
from connector.destinations.http import json_of
from connector.destinations.port import (
    Answer,
    Capabilities,
    Doubt,
    Kind,
    Look,
    Owned,
    Parcel,
    Proof,
    Wiring,
)
from connector.destinations.settings import DestinationSettings
from connector.rules.activation import Activation
from connector.rules.delivery import Outcome, Submitted, Unknown
from connector.rules.errors import DestinationUnusable
from connector.rules.grammar import Name
from connector.rules.read_back import (
    Absent,
    Here,
    Split,
    TurnedDown,
    Undecided,
    Underway,
    Unread,
    Verdict,
)
from connector.rules.schema import OpenSchema

AGAIN = timedelta(seconds=0.05)


class FreightSettings(DestinationSettings):
    """Where the carrier is, and how much it takes at once."""

    secret_word: ClassVar[str] = "key"

    type: Literal["freight"]
    key: SecretStr
    rows: int = 10
    bytes: int = 0

    @property
    def secret(self) -> str:
        """The key."""
        return self.key.get_secret_value()


class FreightActivation(Activation):
    """Rows become boxes to one port."""

    target_key: ClassVar[str] = "port"
    target_word: ClassVar[str] = "port"

    port: Name

    @property
    def target(self) -> str:
        """The port."""
        return self.port


def can(settings: FreightSettings) -> Capabilities:
    """What the carrier can do."""
    return Capabilities(
        Proof.REQUEST,
        rows_per_request=settings.rows,
        bytes_per_request=settings.bytes,
        gives_ids=False,
        most_doubts=3,
    )


class Freight(Api):
    """One carrier."""

    def __init__(self, settings: FreightSettings, wiring: Wiring) -> None:
        credentials = Credentials({"X-Key": settings.secret}, settings.secret)
        super().__init__(settings.url, settings, credentials, wiring)
        self.can = can(settings)

    def said(self, content: Mapping[str, Any]) -> list[object]:
        """Why not."""
        return [content.get("why")]

    async def preflight(self, activation: FreightActivation) -> OpenSchema:
        """A box may hold anything."""
        return OpenSchema(activation.port)

    def compose(self, activation: FreightActivation, parcel: Parcel) -> Look:
        """All boxes, in their order."""
        boxes = [
            {"ref": item.reference, "to": item.contact, "holds": item.payload.decode()}
            for item in parcel.items
        ]
        url = f"{self.base}/consignments/{quote(parcel.reference)}"
        return Look("POST", url, orjson.dumps(boxes))

    async def send(
        self,
        activation: FreightActivation,
        parcel: Parcel,
        last_look: LastLook = nothing_to_see,
    ) -> Answer:
        """One consignment."""
        answer = await self.post(self.compose(activation, parcel), last_look)
        if not isinstance(answer, Response):
            return Answer(answer)
        return Answer(self._outcome(answer, parcel.reference))

    def _outcome(self, response: Response, reference: str) -> Outcome:
        status, words = response.status_code, self.words(response)
        content = json_of(response)
        if response.is_success and isinstance(content, dict):
            theirs = content.get("id")
            return Submitted(None if theirs in (None, reference) else str(theirs), status)
        if not_applied := self.not_applied(response):
            return not_applied
        self.refuse_all(response)
        if status in (404, 405):
            raise DestinationUnusable(f"there is no freight here: {words}", status)
        return Unknown(words, status)

    def drawer(self, doubt: Doubt) -> str:
        """One question for each consignment."""
        return doubt.request

    async def settle(
        self,
        activation: FreightActivation,
        doubts: Sequence[Doubt],
        owned: Owned,
        besides: Sequence[str] = (),
    ) -> Mapping[int, Verdict]:
        """How the consignment stands."""
        first = doubts[0]
        response = await self.get(f"/consignments/{quote(first.request)}")
        if isinstance(response, str):
            return _all(doubts, Unread(response, answered=False))
        found = json_of(self.useful(response))
        if response.status_code == 404 and first.seen:
            return _all(doubts, Undecided("the carrier knows it no more", lasting=True))
        if response.status_code == 404:
            refused = first.http_status in (400, 413, 422)
            return _all(doubts, Split(first.reason) if refused else Absent())
        if response.status_code != 200 or not isinstance(found, dict):
            return _all(doubts, Unread(self.words(response)))
        if found["status"] != "done":
            return _all(doubts, Underway(AGAIN))
        errors: dict[str, str] = found["errors"]
        if len(errors) != found["failed"]:
            return _all(doubts, Undecided("the list of errors is not whole", lasting=True))
        return {doubt.item.delivery_id: _one(errors, doubt) for doubt in doubts}


def _one(errors: Mapping[str, str], doubt: Doubt) -> Verdict:
    words = errors.get(doubt.item.reference)
    return Here(None, "processed") if words is None else TurnedDown(words)


def _all(doubts: Sequence[Doubt], verdict: Verdict) -> Mapping[int, Verdict]:
    return {doubt.item.delivery_id: verdict for doubt in doubts}


KIND = Kind("freight", "Freight", FreightSettings, FreightActivation, can, Freight)
