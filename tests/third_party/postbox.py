"""A postbox as a destination: all that a third party has to write.

Each row is a letter, sent as a form with a reference of ours; letters are listed by it. There are
no schemas, and contacts are sent as they stand.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, Literal
from urllib.parse import quote

import orjson
from pydantic import SecretStr

from connector.destinations.answers import Response
from connector.destinations.api import Api
from connector.destinations.bodies import form
from connector.destinations.by_reference import ByReference
from connector.destinations.credentials import basic
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
from connector.rules.delivery import (
    Accepted,
    Outcome,
    Refused,
    Removal,
    Removed,
    Unknown,
)
from connector.rules.errors import ConfigurationError, DestinationUnusable, Problem
from connector.rules.grammar import Duration, Name
from connector.rules.read_back import (
    Absent,
    Here,
    ReadBack,
    Shown,
    Stored,
    Undecided,
    Unread,
    Verdict,
)
from connector.rules.schema import OpenSchema

CAN = Capabilities(Proof.ROW, shows=True, lists_equals=True, takes_back=True)


class PostboxSettings(DestinationSettings):
    """Where the postbox is, and who may use it."""

    secret_word: ClassVar[str] = "password"

    type: Literal["postbox"]
    user: Name
    password: SecretStr

    @property
    def secret(self) -> str:
        """The password."""
        return self.password.get_secret_value()


class PostboxActivation(Activation):
    """Rows become letters in one box."""

    target_key: ClassVar[str] = "box"
    target_word: ClassVar[str] = "box"
    sends_references: ClassVar[bool] = True

    box: Name
    stale_after: Duration | None = None

    @property
    def target(self) -> str:
        """The box."""
        return self.box

    def too_late(self, created: datetime | None, now: datetime) -> str | None:
        """A letter that lay for longer than `stale_after` is not sent any more."""
        late = created and self.stale_after is not None and created + self.stale_after < now
        return "it lay for too long" if late else None


class Postbox(Api):
    """One postbox."""

    can = CAN

    def __init__(self, settings: PostboxSettings, wiring: Wiring) -> None:
        credentials = basic(settings.user, settings.secret)
        super().__init__(settings.url, settings, credentials, wiring)

    def said(self, content: Mapping[str, Any]) -> list[object]:
        """Why not."""
        return [content.get("why")]

    async def preflight(self, activation: PostboxActivation) -> OpenSchema:
        """A letter may say anything, if there is such a box."""
        response = self.useful(await self.get(f"/boxes/{quote(activation.box)}"))
        if response.status_code == 404:
            path = ("activations", activation.name, "box")
            raise ConfigurationError(Problem(path, f'there is no box "{activation.box}"'))
        return OpenSchema(activation.box)

    def compose(self, activation: PostboxActivation, parcel: Parcel) -> Look:
        """A form."""
        (item,) = parcel.items
        fields = {
            "box": activation.box,
            "ref": item.reference,
            "to": item.contact,
            "at": item.created,
            "text": item.payload.decode(),
        }
        body = form(fields)
        return Look("POST", f"{self.base}/letters", body.content, body.type)

    async def send(
        self,
        activation: PostboxActivation,
        parcel: Parcel,
        last_look: LastLook = nothing_to_see,
    ) -> Answer:
        """One letter."""
        answer = await self.post(self.compose(activation, parcel), last_look)
        return Answer(self._outcome(answer) if isinstance(answer, Response) else answer)

    def _outcome(self, response: Response) -> Outcome:
        status, words = response.status_code, self.words(response)
        if response.is_success:
            number = _number(json_of(response))
            return Accepted(number, status) if number else Unknown(f"{words}: no number", status)
        if not_applied := self.not_applied(response):
            return not_applied
        self.refuse_all(response)
        if status == 422:
            return Refused(words, status)
        if status in (404, 405):
            raise DestinationUnusable(f"there are no letters here: {words}", status)
        return Unknown(words, status)

    # --- doubts ---------------------------------------------------------------------------------

    def drawer(self, doubt: Doubt) -> str:
        """Each row is asked for by itself."""
        return doubt.item.reference

    async def settle(
        self,
        activation: PostboxActivation,
        doubts: Sequence[Doubt],
        owned: Owned,
        besides: Sequence[str] = (),
    ) -> Mapping[int, Verdict]:
        """The list of the letters with its reference."""
        (doubt,) = doubts
        read = await self.letters(activation.box, doubt.item.reference)
        taken = await owned([letter.id for letter in read.stored])
        free = [letter for letter in read.stored if letter.id not in taken]
        verdict: Verdict = Here(free[0].id) if len(free) == 1 else Absent()
        if len(free) > 1:
            verdict = Undecided(f"{len(free)} letters have its reference")
        elif read.gap and not free:
            verdict = Unread(read.gap, read.answered)
        return {doubt.item.delivery_id: verdict}

    async def letters(self, box: str, reference: str) -> ReadBack:
        """All letters in a box with a reference."""
        response = await self.get("/letters", {"box": box, "ref": reference})
        if isinstance(response, str):
            return ReadBack([], f"reading back failed: {response}", answered=False)
        found = json_of(self.useful(response))
        if response.status_code != 200 or not isinstance(found, list):
            return ReadBack([], f"reading back gave no list: {self.words(response)}")
        return ReadBack([letter.stored for letter in map(_shown, found) if letter], None)

    # --- letters --------------------------------------------------------------------------------

    async def interaction(self, interaction_id: str) -> Shown | Absent | Unread:
        """One letter."""
        response = await self.get(f"/letters/{quote(interaction_id)}")
        if isinstance(response, str):
            return Unread(f"reading back failed: {response}", answered=False)
        if self.useful(response).status_code == 404:
            return Absent()
        return _shown(json_of(response)) or Unread(f"no letter: {self.words(response)}")

    async def delete(self, interaction_id: str) -> Removal:
        """Take a letter out."""
        response = await self.remove(f"/letters/{quote(interaction_id)}")
        if isinstance(response, str):
            return Unknown(response)
        self.refuse_all(response)
        if response.status_code == 404:
            return Removed(found=False)
        return Removed(found=True) if response.is_success else Refused(self.words(response))

    async def shelves(self, target: str, activation: Activation | None) -> ByReference:
        """Letters with one reference."""
        return ByReference(partial(self.letters, target))


def _number(content: object) -> str | None:
    number = content.get("number") if isinstance(content, dict) else None
    return str(number) if isinstance(number, int) else None


def _shown(content: Any) -> Shown | None:
    number = _number(content)
    if number is None:
        return None
    at, payload = datetime.fromisoformat(content["at"]), orjson.loads(content["text"])
    return Shown(content["to"], Stored(number, at, payload, content["ref"]))


KIND = Kind("postbox", "Postbox", PostboxSettings, PostboxActivation, lambda _: CAN, Postbox)
