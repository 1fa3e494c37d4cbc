"""The APIs of MXO over HTTP: one interaction, a list of past ones, or a batch to be processed.

Neither a single interaction nor a list of past ones has an id, and nobody can be asked about them:
what becomes of a row whose answer was lost is as the activation says (`on_unknown`).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import httpx

from connector.destinations.api import Api
from connector.destinations.hooks import LastLook, nothing_to_see
from connector.destinations.http import json_of
from connector.destinations.mxo import records
from connector.destinations.mxo.grammar import NAMES, MxoActivation, MxoSettings, can
from connector.destinations.oauth import client_credentials
from connector.destinations.port import Answer, Doubt, Look, Owned, Parcel, Shape, Wiring
from connector.destinations.shapes import local_shape
from connector.rules.delivery import Accepted, Outcome, Refused, Unknown
from connector.rules.errors import ConfigurationError, DestinationUnusable
from connector.rules.read_back import Absent, Here, Undecided, Verdict
from connector.rules.schema import OpenSchema

TOKEN = "/one/oauth2token"
REAL_TIME = "/one/oauth2/rt/api/2.0"
REFUSALS = (400, 413, 422)
NOBODY_KNOWS = (
    "its answer was lost, and MXO cannot be asked about a single interaction. Look in Monitor and"
    " tell with `connector quarantine settle`"
)


class Mxo(Api):
    """One site of a tenancy, in one mode."""

    def __init__(self, settings: MxoSettings, wiring: Wiring) -> None:
        credentials = client_credentials(
            settings.url, TOKEN, settings.client_id, settings.secret, settings, wiring
        )
        headers = {"dataMimeType": "application/json"}
        super().__init__(settings.url, settings, credentials, wiring, headers)
        self.can, self._settings, self._folder = can(settings), settings, wiring.base
        query = urlencode({"sk": settings.site_key})
        call = "interaction" if settings.mode == "single" else "interactions/offline"
        self._url = f"{self.base}{REAL_TIME}/{call}?{query}"

    def said(self, content: Mapping[str, Any]) -> Iterable[object]:
        """Errors are not documented: whatever calls itself a message."""
        return [content.get("message") or content.get("error")]

    async def preflight(self, activation: MxoActivation) -> Shape:
        """As the schema file says; else a text for each property. Gets a token, too."""
        if self._settings.mode == "batch":
            raise ConfigurationError("mode: batch is not there yet")
        await self.credentials.ready()
        if activation.schema_file is None:
            return OpenSchema(activation.touchpoint, text=True, names=NAMES)
        own = {activation.reference} if activation.reference else set[str]()
        return local_shape(self._folder, activation, activation.schema_file, own, "MXO")

    def compose(self, activation: MxoActivation, parcel: Parcel) -> Look:
        """One interaction, or a list of past ones."""
        if self._settings.mode == "single":
            body = records.one(activation, parcel.items[0])
        else:
            body = records.past(activation, parcel.items, self._settings.offline)
        return Look("PUT", self._url, body.content, body.type)

    async def send(
        self, activation: MxoActivation, parcel: Parcel, last_look: LastLook = nothing_to_see
    ) -> Answer:
        """One request."""
        answer = await self.post(self.compose(activation, parcel), last_look)
        if not isinstance(answer, httpx.Response):
            return Answer(answer)
        return Answer(self._outcome(answer, len(parcel.items)))

    def _outcome(self, response: httpx.Response, rows: int) -> Outcome:
        status, words = response.status_code, self.words(response)
        if status == 200:
            return _captured(response, words)
        if response.is_success:
            return Unknown(f"{words}: a success that is not documented", status)
        if not_applied := self.not_applied(response):
            return not_applied
        self.refuse_all(response)
        if status in (404, 405):
            raise DestinationUnusable(self._nothing_here(words), status)
        if status in REFUSALS and rows == 1:
            return Refused(words, status)
        return Unknown(words, status)

    def _nothing_here(self, words: str) -> str:
        where = f"the site key {self._settings.site_key}, or the touchpoint"
        if self._settings.mode == "offline":
            where = f"the offline call, which Medallia has deprecated (use mode: batch), {where}"
        return f"MXO does not know {where}: {words}"

    # --- doubts ---------------------------------------------------------------------------------

    def drawer(self, doubt: Doubt) -> str:
        """Each request by itself."""
        return doubt.request

    async def settle(
        self,
        activation: MxoActivation,
        doubts: Sequence[Doubt],
        owned: Owned,
        besides: Sequence[str] = (),
    ) -> Mapping[int, Verdict]:
        """As the activation says of what nobody can know."""
        verdict = _of_what_nobody_knows(activation)
        return {doubt.item.delivery_id: verdict for doubt in doubts}


def _captured(response: httpx.Response, words: str) -> Outcome:
    """A success says so twice: by its status, and by the `statusCode` inside, where one is."""
    content = json_of(response)
    if not isinstance(content, dict):
        return Unknown(f"{words}: a success that is no JSON object", 200)
    inner = content.get("statusCode", 200)
    if inner != 200 or isinstance(inner, bool):
        return Unknown(f"{words}: a success with another statusCode inside", 200)
    return Accepted(None, 200)


def _of_what_nobody_knows(activation: MxoActivation) -> Verdict:
    match activation.on_unknown:
        case "resend":
            return Absent(how="resent")
        case "assume_delivered":
            return Here(None, how="assumed")
        case _:
            return Undecided(NOBODY_KNOWS, lasting=True)
