"""The APIs of MXO over HTTP: one interaction, a list of past ones, or a batch to be processed.

Neither a single interaction nor a list of past ones has an id, and nobody can be asked about them:
what becomes of a row whose answer was lost is as the activation says (`on_unknown`). A batch has an
id that we give it, and is asked about by that.
"""

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, Self, cast
from urllib.parse import quote, urlencode
from uuid import uuid4

from connector.destinations.answers import Response
from connector.destinations.api import Api
from connector.destinations.hooks import LastLook, Stopping, nothing_to_see
from connector.destinations.http import json_of
from connector.destinations.mxo import batches, records
from connector.destinations.mxo.grammar import MxoActivation, MxoSettings, can, shape_of
from connector.destinations.oauth import client_credentials
from connector.destinations.port import (
    Answer,
    Doubt,
    Item,
    Look,
    Owned,
    Parcel,
    Proof,
    Shape,
    Wiring,
)
from connector.destinations.trials import Probe
from connector.rules.delivery import Accepted, Outcome, Refused, Submitted, Unknown
from connector.rules.errors import DestinationUnusable
from connector.rules.probing import Subject
from connector.rules.read_back import Absent, Here, Split, Undecided, Unread, Verdict

TOKEN = "/one/oauth2token"
REAL_TIME = "/one/oauth2/rt/api/2.0"
BATCHES = "/batchv2/interactions"
REFUSALS = (400, 413, 422)
REQUEST_TIMEOUT = 408
NO_SUCH = (400, 404, 410, 422)
"""Answers to an id that is none of a batch."""
NO_JSON = (
    "asked for a batch that there is not, it answers with a page and not in JSON: either nothing of"
    " MXO is at this url, or it does not know the site key {}, or this is how MXO answers here; the"
    " first sync will tell, and stops before a row is lost"
)
TAKEN_OVER = (201, 202, 204)
"""What says by itself, without a word, or whatever the words, that something was taken over."""
NOBODY_KNOWS = (
    "its answer was lost, and MXO cannot be asked about a single interaction. Look in Monitor and"
    " tell with `connector quarantine settle`"
)
REFUSED_WHOLE = (
    "MXO refused the request that it went in ({said}), and does not say whether it took any of it."
    " Look in Monitor and tell with `connector quarantine settle`"
)
STRANGE = (
    "MXO answered in a way that does not say whether it was taken ({said}). Look in Monitor and"
    " tell with `connector quarantine settle`"
)
ONE_BY_ONE = "; with batch: {rows: 1} the next ones go one by one"
NO_WORKSPACE = (
    "it went in a batch, in mode: batch, and MXO can be asked about that only with the workspace_id"
    " that it had: put it back into the destination, and the next `connector sync` asks"
)
NO_BATCH = "the ledger does not know in which batch it was sent"
FORGOTTEN = "MXO had its batch, and knows it no more: it may have been processed"
NOT_WATCHED = (
    "MXO does not know its batch, and was not asked about it for longer than it may remember"
    " (status_kept): it may have been processed"
)


class Mxo(Api):
    """One site of a tenancy, in one mode."""

    def __init__(
        self, base: str, settings: MxoSettings, wiring: Wiring, headers: Mapping[str, str]
    ) -> None:
        credentials = client_credentials(
            settings.url, TOKEN, settings.client_id, settings.secret, settings, wiring
        )
        super().__init__(base, settings, credentials, wiring, headers)
        self.can, self._settings, self._folder = can(settings), settings, wiring.base

    def probe(self, subject: Subject) -> Probe:
        """How this one behaves; loaded where it is asked."""
        probing: Any = import_module("connector.destinations.mxo.probing")
        return cast("Probe", probing.MxoProbe(self, self._settings))

    def said(self, content: Mapping[str, Any]) -> Iterable[object]:
        """Errors are not documented: whatever calls itself a message."""
        return [content.get("message") or content.get("error")]

    async def preflight(self, activation: MxoActivation) -> Shape:
        """Gets a token, too."""
        await self.credentials.ready()
        return self.shape(activation)

    def shape(self, activation: MxoActivation) -> Shape:
        """As the schema file says; else a text for each property."""
        return shape_of(activation, self._folder)

    def compose(self, activation: MxoActivation, parcel: Parcel) -> Look:
        """The request, byte for byte."""
        raise NotImplementedError

    async def send(
        self, activation: MxoActivation, parcel: Parcel, last_look: LastLook = nothing_to_see
    ) -> Answer:
        """One request."""
        answer = await self.post(parcel.look or self.compose(activation, parcel), last_look)
        if not isinstance(answer, Response):
            return Answer(answer)
        words = self.words(answer)
        if answer.is_success:
            return Answer(self._success(answer, words, parcel))
        if not_applied := self.not_applied(answer):
            return Answer(not_applied)
        self.refuse_all(answer)
        if answer.status_code in (404, 405):
            raise DestinationUnusable(self._nothing_here(words), answer.status_code)
        return Answer(self._failure(answer, words, parcel))

    def _success(self, response: Response, words: str, parcel: Parcel) -> Outcome:
        raise NotImplementedError

    def _failure(self, response: Response, words: str, parcel: Parcel) -> Outcome:
        return Unknown(words, response.status_code)

    def _nothing_here(self, words: str) -> str:
        where = f"the site key {self._settings.site_key}, or the touchpoint"
        if self._settings.mode == "offline":
            where = f"the offline call, which Medallia has deprecated (use mode: batch), {where}"
        return f"MXO does not know {where}: {words}"

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
        """What became of rows whose answer was lost, or that were taken over."""
        raise NotImplementedError


class Single(Mxo):
    """One interaction a request, or a list of past ones: nobody can be asked about either."""

    def __init__(self, settings: MxoSettings, wiring: Wiring) -> None:
        super().__init__(settings.url, settings, wiring, {"dataMimeType": "application/json"})
        self._batches = Batches(settings, wiring) if settings.workspace_id else None
        """Who asks about batches that went in another mode."""
        query = urlencode({"sk": settings.site_key})
        call = "interaction" if settings.mode == "single" else "interactions/offline"
        self._url = f"{self.base}{REAL_TIME}/{call}?{query}"

    def heeding(self, stopping: Stopping) -> Self:
        """The same, of batches too."""
        mine = super().heeding(stopping)
        mine._batches = self._batches and self._batches.heeding(stopping)
        return mine

    async def aclose(self) -> None:
        """Close every connection."""
        await super().aclose()
        if self._batches:
            await self._batches.aclose()

    def compose(self, activation: MxoActivation, parcel: Parcel) -> Look:
        """One interaction, or a list of past ones."""
        if self._settings.mode == "single":
            body = records.one(activation, parcel.items[0])
        else:
            body = records.past(activation, parcel.items, self._settings.offline)
        return Look("PUT", self._url, body.content, body.type)

    def _success(self, response: Response, words: str, parcel: Parcel) -> Outcome:
        """It says so twice: by its status, and by the `statusCode` inside, where there is one."""
        status, content = response.status_code, json_of(response)
        if status != 200 or not isinstance(content, dict):
            return Unknown(f"{words}: a success that is not documented", status)
        if str(content.get("statusCode", 200)) != "200":
            return Unknown(f"{words}: a success with another statusCode inside", status)
        return Accepted(None, status)

    def _failure(self, response: Response, words: str, parcel: Parcel) -> Outcome:
        """A refusal of several rows does not say that none of them was taken."""
        status = response.status_code
        if status in REFUSALS and len(parcel.items) == 1:
            return Refused(words, status)
        return Unknown(words, status)

    async def settle(
        self,
        activation: MxoActivation,
        doubts: Sequence[Doubt],
        owned: Owned,
        besides: Sequence[str] = (),
    ) -> Mapping[int, Verdict]:
        """As the activation says of what nobody can know; what went in a batch is asked about."""
        if doubts[0].proof is Proof.REQUEST:
            return await self._of_batches(activation, doubts, owned)
        return {doubt.item.delivery_id: self._unknown(activation, doubt) for doubt in doubts}

    def _unknown(self, activation: MxoActivation, doubt: Doubt) -> Verdict:
        """What was answered is not lost: where that proves nothing, it is neither delivered, nor
        taken if it is sent again."""
        status = doubt.http_status
        if status is not None and status < 400:
            return Undecided(STRANGE.format(said=doubt.reason), lasting=True)
        if status is not None and status < 500 and status != REQUEST_TIMEOUT:
            many = ONE_BY_ONE if self._settings.rows > 1 else ""
            return Undecided(REFUSED_WHOLE.format(said=doubt.reason) + many, lasting=True)
        match activation.on_unknown:
            case "resend":
                return Absent(how="resent")
            case "assume_delivered":
                return Here(None, how="assumed")
        return Undecided(NOBODY_KNOWS, lasting=True)

    async def remembers(self, request: str) -> bool:
        """Whether the status of a batch is still told that went in another mode."""
        return self._batches is not None and await self._batches.remembers(request)

    async def _of_batches(
        self, activation: MxoActivation, doubts: Sequence[Doubt], owned: Owned
    ) -> Mapping[int, Verdict]:
        if self._batches is None:
            return _all(doubts, Undecided(NO_WORKSPACE))
        self._batches.credentials, self._batches.observe = self.credentials, self.observe
        self._batches.in_flight = self.in_flight
        try:
            await self._batches.learn()
            return await self._batches.settle(activation, doubts, owned)
        except DestinationUnusable as error:  # of batches; what goes now goes another way
            return _all(doubts, Unread(str(error), answered=False))


class Batches(Mxo):
    """Many interactions a request, processed later: what became of them can be asked for."""

    def __init__(self, settings: MxoSettings, wiring: Wiring) -> None:
        headers = {"workspaceId": settings.workspace_id or ""}
        super().__init__(settings.batch_url or settings.url, settings, wiring, headers)
        self._url = f"{self.base}{BATCHES}/{quote(settings.site_key, safe='')}"
        self._nowhere = (404, "json")
        """How it says that there is no such batch."""
        self._learnt = False
        self._patience = settings.timeout + settings.settle_after

    async def preflight(self, activation: MxoActivation) -> Shape:
        """Asks for a batch that there is not, too."""
        shape = await super().preflight(activation)
        self._learnt = False
        await self.learn()
        return shape

    async def learn(self) -> None:
        """Ask once for a batch that there is not: that shows how MXO says so. Raises
        DestinationUnusable."""
        if self._learnt:
            return
        answer = self.useful(await self._get(str(uuid4())))
        if answer.is_success and batches.status_in(json_of(answer)):
            raise DestinationUnusable("MXO tells the status of a batch that nobody has sent")
        if answer.is_client_error:
            self._nowhere = _look_of(answer)
            page = self._nowhere[1] == "page"
            self.remarks = [NO_JSON.format(self._settings.site_key)] if page else ()
        self._learnt = True

    def weigh(self, item: Item) -> int:
        """Rather more than less."""
        return records.weigh(item)

    def compose(self, activation: MxoActivation, parcel: Parcel) -> Look:
        """A batch under the id of the parcel."""
        body = records.batch(activation, parcel.items, self._settings)
        return Look("POST", self._url, body.content, body.type, (("batchId", parcel.reference),))

    def _success(self, response: Response, words: str, parcel: Parcel) -> Outcome:
        status, content = response.status_code, json_of(response)
        silent = content is None and status in TAKEN_OVER and not is_page(response)
        if not batches.one_of(content) and content != {} and not silent:
            return Unknown(f"{words}: a success that is no JSON object", status)
        theirs = batches.id_in(content, response.headers)
        if theirs is not None and not batches.same_id(theirs, parcel.reference):
            return Submitted(theirs, status)
        if parcel.again:
            return Unknown(f"{words}: it went before, so its status decides", status)
        return Submitted(None, status)

    # --- doubts ---------------------------------------------------------------------------------

    async def settle(
        self,
        activation: MxoActivation,
        doubts: Sequence[Doubt],
        owned: Owned,
        besides: Sequence[str] = (),
    ) -> Mapping[int, Verdict]:
        """By the status and the errors of their batch."""
        if doubts[0].proof is Proof.NONE:  # it went in another mode
            return _all(doubts, Undecided(NOBODY_KNOWS, lasting=True))
        request = doubts[0].request
        if not request:
            return _all(doubts, Undecided(f"{NO_BATCH}. {batches.LOOK}", lasting=True))
        answer, ours = await self._get(request), doubts[0].ours
        another = bool(ours) and not batches.same_id(ours, request)
        if another and isinstance(answer, Response) and answer.status_code in NO_SUCH:
            # what was taken for its id may be that of something else
            request, answer = ours, await self._get(ours)
        if isinstance(answer, str):
            return _all(doubts, Unread(f"its status: {answer}", answered=False))
        self.refuse_all(answer)
        if answer.status_code == 410:
            return _all(doubts, Undecided(f"{FORGOTTEN}. {batches.LOOK}", lasting=True))
        if _look_of(answer) == self._nowhere:
            return _all(doubts, self._of_one_not_found(doubts))
        if not answer.is_success:
            return _all(doubts, Unread(f"no status of its batch: {self.words(answer)}"))
        content = json_of(answer)
        if (status := batches.status_in(content)) is not None:
            return await self._of_one_found(request, doubts, status)
        unread = Unread(f"no status of its batch: {self.words(answer)}")
        return _all(doubts, batches.unreadable(doubts[0], content) or unread)

    async def remembers(self, request: str) -> bool:
        """Whether the status of a batch is still told."""
        answer = await self._get(request)
        if isinstance(answer, str):
            return False
        self.refuse_all(answer)
        return answer.is_success and batches.status_in(json_of(answer)) is not None

    async def _of_one_found(
        self, request: str, doubts: Sequence[Doubt], status: batches.Status
    ) -> Mapping[int, Verdict]:
        rows, age = doubts[0].rows, max(doubt.age for doubt in doubts)
        if not status.has_ended(rows):
            return _all(doubts, batches.still_going(age, status))
        entries = None
        if status.errors(rows) != 0 or not status.is_clean:
            answer = await self._get(request, "/error")
            if isinstance(answer, str):
                return _all(doubts, Unread(f"its errors: {answer}", answered=False))
            self.refuse_all(answer)
            if answer.is_success:
                items = [doubt.item for doubt in doubts]
                entries = batches.errors_in(answer.content, items, rows)
        told = [batches.Entry(self.told(each.words), each.place) for each in entries or ()]
        return batches.ended(
            doubts, status, None if entries is None else told, age < self._patience
        )

    def _of_one_not_found(self, doubts: Sequence[Doubt]) -> Verdict:
        """It never came; or it was forgotten, which is told apart by having asked all the time. One
        that was taken over may take a while to be found."""
        first, age = doubts[0], max(doubt.age for doubt in doubts)
        if first.seen or first.submitted:
            if age < self._patience:
                return Unread("its batch was taken over, and is not found yet")
            return Undecided(f"{FORGOTTEN}. {batches.LOOK}", lasting=True)
        if any(doubt.unasked > self._settings.status_kept for doubt in doubts):
            return Undecided(f"{NOT_WATCHED}. {batches.LOOK}", lasting=True)
        if first.http_status in REFUSALS:
            return Split(first.reason or f"HTTP {first.http_status}")
        return Absent()

    async def _get(self, request: str, what: str = "") -> Response | str:
        path = self._url.removeprefix(self.base)
        return await self.get(f"{path}/{quote(request, safe='')}{what}")


def _look_of(response: Response) -> tuple[int, str]:
    """What kind of answer it is."""
    kind = "json" if json_of(response) is not None else "page" if response.content else "empty"
    return response.status_code, kind


def is_page(response: Response) -> bool:
    """Whether it is a page for people, or was to be JSON: whoever is in between answers so."""
    if not response.content:
        return False
    kind = response.headers.get("Content-Type", "")
    return response.content.lstrip()[:1] in (b"<", b"{", b"[") or "html" in kind or "json" in kind


def _all(doubts: Sequence[Doubt], verdict: Verdict) -> Mapping[int, Verdict]:
    return {doubt.item.delivery_id: verdict for doubt in doubts}


def opened(settings: MxoSettings, wiring: Wiring) -> Mxo:
    """The site, in its mode."""
    return (Batches if settings.mode == "batch" else Single)(settings, wiring)
