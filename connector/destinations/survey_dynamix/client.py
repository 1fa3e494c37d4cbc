"""Survey Dynamix as a destination: what is sent, what an answer means, how a doubt is settled.

What the API says nowhere (whether references are kept as they are, whether a filter filters, how an
empty list looks) is taken for the worst.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import import_module
from typing import Any, cast

from connector.destinations.answers import Response
from connector.destinations.api import Api
from connector.destinations.bodies import form
from connector.destinations.by_reference import ByReference
from connector.destinations.hooks import LastLook, nothing_to_see
from connector.destinations.http import is_page, json_of, unanswered
from connector.destinations.port import Answer, Doubt, Item, Look, Owned, Parcel, Wiring
from connector.destinations.survey_dynamix.grammar import (
    CAN,
    EMAIL,
    PHONE,
    PUNCTUATION,
    REFERENCE,
    SurveyDynamixActivation,
    SurveyDynamixSettings,
    shape_of,
)
from connector.destinations.survey_dynamix.shown import (
    WHOLE,
    Found,
    Read,
    Resource,
    answered,
    external_ref_of,
    is_altered,
    is_nameless,
    is_surely_of,
    moment_of,
    page_of,
    path_of,
    said_of,
    time_text,
)
from connector.destinations.trials import Probe
from connector.rules.delivery import (
    TRIES_AGAIN,
    Accepted,
    NotApplied,
    Outcome,
    Refused,
    Removal,
    Removed,
    Unknown,
)
from connector.rules.errors import ConfigurationError, DestinationUnusable, Problem
from connector.rules.interaction import instant_text
from connector.rules.probing import Subject
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
from connector.rules.schema import InteractionSchema

LIMIT = 1000
MOST_PAGES = 200
"""Of one list: what has more is taken for endless."""
REFUSALS = (400, 413, 422)
"""Of a POST: about this row."""
SKEW = timedelta(days=1)
"""By which times there may be off: nobody says in which zone they are written."""
NO_REFERENCE = (
    "references are not kept as they are sent (external_ref), so what is asked for could not be"
    " found again if an answer was lost"
)
FOREIGN = "the answer is about another interaction than the one that was asked for"
UNSEEN = "whether the answer is about this row cannot be seen yet"
NAMELESS = "an interaction that may be its own does not show the reference that would tell"
PENDING = "a survey for this person is pending already"
STARTED = "it has started, and cannot be deleted any more"
BY_PHONE_NUMBER = (
    "interactions cannot be listed by phone number there, so nothing was done; without"
    " --delete-interactions, what the ledger holds can be removed all the same"
)


class SurveyDynamix(Api):
    """One account. Belongs to the event loop in which it is used."""

    can = CAN

    def __init__(self, settings: SurveyDynamixSettings, wiring: Wiring) -> None:
        base = f"{settings.url.rstrip('/')}/api"
        super().__init__(base, settings, settings.credentials, wiring)
        self._folder = wiring.base
        self._proven = set[str]()
        """What its answers have shown: that references are `kept`, that it is the `api`. Shared by
        all copies of this client."""
        self._surveys = set[str]()
        """Those that it has shown to be there; shared, too."""

    def probe(self, subject: Subject) -> Probe:
        """How this one behaves; loaded where it is asked."""
        probing: Any = import_module("connector.destinations.survey_dynamix.probing")
        return cast("Probe", probing.SurveyProbe(self, subject))

    def said(self, content: Mapping[str, Any]) -> list[object]:
        """How an error looks is documented nowhere; these are usual."""
        return [content.get("error"), content.get("message")]

    async def preflight(self, activation: SurveyDynamixActivation) -> InteractionSchema:
        """The shape in the project's file, or any; when there is the survey, as far as surveys are
        shown there."""
        response = self.useful(await self.get(f"/surveys/{activation.survey_id}"))
        if response.status_code in (404, 410) and await self._shows("/surveys"):
            path = ("activations", activation.name, "survey_id")
            text = f"there is no survey {activation.survey_id} at {self.base}"
            raise ConfigurationError(Problem(path, f"{text} ({self.words(response)})"))
        if not isinstance(json_of(response), dict | list) or not response.is_success:
            listed = {"survey_id": activation.target, "_limit": "1"}
            if not await self._shows("/interactions", listed):
                why = f"{self.base} shows no survey: {self.words(response)}; is the url right?"
                raise DestinationUnusable(why, response.status_code)
        self._proven.add("api")
        self._surveys.add(activation.target)
        return self.shape(activation)

    def shape(self, activation: SurveyDynamixActivation) -> InteractionSchema:
        """As the project's file says; else a text for each name."""
        return shape_of(activation, self._folder)

    async def _shows(self, path: str, wanted: Mapping[str, str] | None = None) -> bool:
        """Whether there is a list of the API."""
        return page_of(self.useful(await self.get(path, wanted))) is not None

    # --- asking for a survey --------------------------------------------------------------------

    def compose(self, activation: SurveyDynamixActivation, parcel: Parcel) -> Look:
        """A form. What the row says itself decides where its reference goes: the activation may
        have been edited since."""
        (item,) = parcel.items
        said = said_of(item)
        external_ref = said.get("external_ref") or item.reference
        apart = activation.external_ref is not None or external_ref != item.reference
        fields = {
            "survey_id": activation.target,
            "survey_type": activation.survey_type,
            activation.contact.identifier.value: item.contact,
            "scheduled_at": time_text(activation.due_at(item.created_at)),
            **said,
            "external_ref": external_ref,
            **({REFERENCE: item.reference} if apart else {}),
            **({"_force_new": "true"} if activation.when_pending == "force" else {}),
        }
        body = form(fields)
        return Look("POST", f"{self.base}/interactions", body.content, body.type)

    async def send(
        self,
        activation: SurveyDynamixActivation,
        parcel: Parcel,
        last_look: LastLook = nothing_to_see,
    ) -> Answer:
        """One survey; where one is pending, also a look at whose that is."""
        (item,) = parcel.items
        answer = await self.post(self.compose(activation, parcel), last_look)
        if not isinstance(answer, Response):
            return Answer(answer)
        if answer.status_code == 409:
            return Answer(await self._pending(activation, item))
        if answer.is_success:
            return Answer(await self._accepted(activation, item, answer))
        return Answer(self._outcome(answer))

    def _outcome(self, response: Response) -> Outcome:
        status, words = response.status_code, self.words(response)
        if not_applied := self.not_applied(response):
            return not_applied
        self.refuse_all(response)
        if status in (404, 405):
            why = f"no survey can be asked for there; are url and survey_id right? {words}"
            raise DestinationUnusable(why, status)
        return Refused(words, status) if status in REFUSALS else Unknown(words, status)

    async def _accepted(
        self, activation: SurveyDynamixActivation, item: Item, response: Response
    ) -> Outcome:
        """Only what can be no other row's, as the answer to an earlier request would be."""
        status, found = response.status_code, answered(json_of(response))
        if found is None:
            return Unknown(f"HTTP {status} without an interaction", status)
        sent, shown = external_ref_of(item), found.external_ref.strip()
        altered = is_altered(shown, sent)
        foreign = found.data.get(REFERENCE, item.reference) != item.reference
        if foreign or not (altered or shown in ("", sent.strip())):
            return Unknown(FOREIGN, status, distrust=FOREIGN)
        if not is_surely_of(found, activation, item) and (
            doubt := await self._looked_at(activation, found.id, item)
        ):
            return doubt
        if altered:
            distrust = NO_REFERENCE if sent == item.reference else ""
            return Accepted(found.id, status, distrust=distrust)
        self._saw(found)
        return Accepted(found.id, status)

    async def _looked_at(
        self, activation: SurveyDynamixActivation, name: str, item: Item
    ) -> Unknown | None:
        """What an answer does not show, the metadata with the row's own reference, is shown where
        its interaction is read, or listed; None where that is the row's."""
        try:
            shown = await self._shown_by_id(name)
            if isinstance(shown, Resource) and not shown.tells:
                sent = external_ref_of(item)
                read = await self.listed(activation.target, "external_ref", sent)
                shown = next((each for each in read.found if each.id == name), shown)
        except DestinationUnusable as unusable:
            return Unknown(f"{UNSEEN}: {unusable}", distrust=str(unusable))
        if not isinstance(shown, Resource) or is_nameless(shown, activation, item):
            return Unknown(UNSEEN)
        if shown.reference != item.reference:
            return Unknown(FOREIGN, distrust=FOREIGN)
        return None

    async def _pending(self, activation: SurveyDynamixActivation, item: Item) -> Outcome:
        """After a 409. Nothing was stored by this request, but an earlier one of the row may have
        been, and come late."""
        try:
            found = await self._find(activation, item, timedelta(0))
        except DestinationUnusable as unusable:
            return Unknown(f"HTTP 409: {unusable}", 409, distrust=str(unusable))
        if len(found.mine) == 1:
            return Accepted(found.mine[0].id, 409)
        if found.mine or found.altered or found.nameless or found.gap:
            why = found.gap or "what is there may be the row's own"
            return Unknown(f"HTTP 409, and {why}", 409)
        wait = activation.when_pending
        if not isinstance(wait, timedelta):
            return Refused(f"HTTP 409: {PENDING}", 409)
        if datetime.now(UTC) < (until := item.created_at + wait):
            again = f"{TRIES_AGAIN} {instant_text(until)}"
            return NotApplied(f"HTTP 409: {PENDING}; {again}", 409, alone=True)
        return Refused(f"HTTP 409: {PENDING}, and the wait for its end is over", 409)

    # --- doubts ---------------------------------------------------------------------------------

    def drawer(self, doubt: Doubt) -> str:
        """Each row is asked for by itself."""
        return doubt.item.reference

    async def settle(
        self,
        activation: SurveyDynamixActivation,
        doubts: Sequence[Doubt],
        owned: Owned,
        besides: Sequence[str] = (),
    ) -> Mapping[int, Verdict]:
        """What carries the row's reference, and is no other row's."""
        return {
            doubt.item.delivery_id: await self._verdict(activation, doubt, owned)
            for doubt in doubts
        }

    async def _verdict(
        self, activation: SurveyDynamixActivation, doubt: Doubt, owned: Owned
    ) -> Verdict:
        found = await self._find(activation, doubt.item, doubt.age)
        taken = await owned([each.id for each in (*found.mine, *found.altered, *found.nameless)])
        mine = [each.id for each in found.mine if each.id not in taken]
        if len(mine) > 1:
            return Undecided(f"it stands twice: the interactions {', '.join(mine)}", lasting=True)
        if mine:
            return await self._still_there(mine[0])
        if found.gap:
            return Unread(found.gap, found.answered)
        if altered := [each.id for each in found.altered if each.id not in taken]:
            which = ", ".join(altered[:3])
            return Undecided(f"{NO_REFERENCE}; look at {which} there", lasting=True)
        if nameless := [each.id for each in found.nameless if each.id not in taken]:
            return Undecided(f"{NAMELESS}; look at {', '.join(nameless[:3])} there")
        # what carries its reference and is another row's was given to that one by a wrong answer
        return Absent([each.id for each in found.mine])

    async def _still_there(self, name: str) -> Verdict:
        """What is listed may be deleted already, by a ledger that is gone."""
        match await self.interaction(name):
            case Shown():
                return Here(name)
            case Absent():
                return Unread(f"the interaction {name} is listed, and not shown by its id")
            case Unread() as unread:
                return unread

    async def _find(self, activation: SurveyDynamixActivation, item: Item, age: timedelta) -> Found:
        """What there is of a row whose attempt is `age` old. That a filter shows nothing proves
        nothing, as long as references may be cut short there: then what came since is read."""
        sent, survey_id = external_ref_of(item), activation.target
        plain = sent == item.reference
        read = await self.listed(survey_id, "external_ref", sent)
        found = self._sorted_out(read, activation, item)
        if found.mine or read.gap or found.nameless or (plain and "kept" in self._proven):
            return replace(found, altered=())  # a filter that filters shows none of these
        before = datetime.now(UTC) - age - SKEW
        newest = {"survey_id": survey_id, "_order": "DESC"}
        read = await self._read(newest, partial(self._is_old, plain, before))
        return self._sorted_out(read, activation, item)

    def _sorted_out(self, read: Read, activation: SurveyDynamixActivation, item: Item) -> Found:
        mine = [each for each in read.found if each.reference == item.reference]
        altered = [each for each in read.found if is_altered(each.external_ref, item.reference)]
        shows = external_ref_of(item) == item.reference and "kept" in self._proven
        nameless = [] if shows else [e for e in read.found if is_nameless(e, activation, item)]
        return Found(mine, read.gap, read.answered, altered, nameless)

    def _is_old(self, plain: bool, before: datetime, page: Sequence[Resource]) -> bool:
        """Whether what is older than `page` does not matter. `plain`: a reference of ours is looked
        for, of which it is known by now that they are kept."""
        if plain and "kept" in self._proven:
            return True
        created = moment_of(page[-1].text("created_at"))
        return created is not None and created < before

    # --- what stands there ----------------------------------------------------------------------

    async def listed(self, survey_id: str, name: str, text: str) -> Read:
        """What has `text` under `name`, with what else is shown where that is no filter."""

        def is_last(page: Sequence[Resource]) -> bool:
            return len(page) < LIMIT and all(each.text(name) == text for each in page)

        return await self._read({"survey_id": survey_id, name: text, "_order": "ASC"}, is_last)

    async def _read(
        self,
        wanted: Mapping[str, str],
        enough: Callable[[Sequence[Resource]], bool],
        keep: bool = True,
    ) -> Read:
        """A list, page by page, until a page has been `enough` or there is no more. Each page
        begins with the last of the page before, or the list has moved meanwhile. `keep`: all of it
        is wanted, else `enough` has taken what it needs."""
        found: list[Resource] = []
        passed, most = 0, MOST_PAGES if keep else 10 * MOST_PAGES
        for _ in range(most):
            offset = str(max(0, passed - 1))
            paging = {"_limit": str(LIMIT), "_offset": offset, "_include_data": "true"}
            response = await self.get("/interactions", {**wanted, **paging})
            if isinstance(response, str):
                return Read(found, f"reading back failed: {response}", answered=False)
            page = page_of(self.useful(response))
            if page is None:
                return Read(found, f"reading back gave no list: {self.words(response)}")
            ids = [each.id for each in page]
            if found and found[-1].id not in ids:
                return Read(found, "the list changed while it was read")
            new = page[ids.index(found[-1].id) + 1 :] if found else page
            passed += len(new)
            found = [*found, *new] if keep else page[-1:]
            for each in new:
                self._saw(each)
            if not new or enough(page):
                return Read(found)
        return Read(found, f"reading back does not end: {most} pages were read")

    def _saw(self, found: Resource) -> None:
        self._proven.add("api")
        if WHOLE.fullmatch(found.external_ref):
            self._proven.add("kept")

    async def interaction(self, interaction_id: str) -> Shown | Absent | Unread:
        """One interaction by its id. Raises DestinationUnusable when none could be read."""
        found = await self._shown_by_id(interaction_id)
        return found.shown if isinstance(found, Resource) else found

    async def _shown_by_id(self, interaction_id: str) -> Resource | Absent | Unread:
        wanted = {"_include_data": "true"}
        response = await self.get(path_of(interaction_id), wanted)
        if isinstance(response, str):
            return Unread(f"reading back failed: {response}", answered=False)
        if await self._is_gone(response):
            return Absent()
        found = answered(json_of(response)) if response.status_code == 200 else None
        if found is None:
            return Unread(f"reading back failed: {self.words(response)}")
        if found.id != interaction_id:
            return Unread("reading back gave another interaction than the one asked for")
        self._saw(found)
        return found

    def deletion(self, interaction_id: str) -> Look:
        """The request that takes one away."""
        return Look("DELETE", self.base + path_of(interaction_id), b"")

    async def delete(self, interaction_id: str) -> Removal:
        """Take one away, which is possible until it starts; safe to repeat. Raises
        DestinationUnusable when none could be deleted."""
        response = await self.remove(path_of(interaction_id))
        if isinstance(response, str):
            return unanswered(response)
        if await self._is_gone(response):
            return Removed(found=False)
        status, words = response.status_code, self.words(response)
        if status == 405:
            raise DestinationUnusable(f"interactions cannot be deleted there: {words}", status)
        if not response.is_success:
            return Refused(f"HTTP 409: {STARTED}" if status == 409 else words, status)
        if is_page(response):
            return Unknown(f"HTTP {status} with a page that is no answer of the API", status)
        return Removed(found=True)

    async def _is_gone(self, response: Response) -> bool:
        """Whether an answer about one interaction is that there is none. A 404 may also come from
        whoever answers under a wrong url. Raises DestinationUnusable."""
        self.useful(response)
        status = response.status_code
        if response.is_success and not is_page(response):
            self._proven.add("api")
        unproven = status == 404 and "api" not in self._proven
        if unproven or (status in (404, 410) and is_page(response)):
            await self._prove_that_it_is_the_api(response)
        return status in (404, 410)

    async def _prove_that_it_is_the_api(self, gone: Response) -> None:
        """By a list of the survey that is asked for, else of all surveys. Raises
        DestinationUnusable."""
        surveys = [{"survey_id": each, "_limit": "1"} for each in sorted(self._surveys)]
        what, wanted = ("interactions", surveys[0]) if surveys else ("surveys", None)
        if not await self._shows(f"/{what}", wanted):
            words = self.words(gone)
            raise DestinationUnusable(f"{self.base} shows no {what}: {words}", gone.status_code)
        self._proven.add("api")

    async def references(self, target: str) -> frozenset[str]:
        """The references of all rows there, whichever ledger has sent them."""
        found: set[str] = set()

        def take(page: Sequence[Resource]) -> bool:
            found.update(each.reference for each in page if WHOLE.fullmatch(each.reference))
            return False

        read = await self._read({"survey_id": target, "_order": "ASC"}, take, keep=False)
        if read.gap:
            raise DestinationUnusable(
                f"whether rows were asked for before cannot be told ({read.gap}), so none is sent"
            )
        return frozenset(found)

    async def shelves(self, target: str, activation: SurveyDynamixActivation | None) -> ByReference:
        """Interactions of one row; those of others have other references."""

        async def of_row(shelf: str) -> ReadBack:
            external_ref, _, reference = shelf.rpartition("\n")
            read = await self.listed(target, "external_ref", external_ref)
            mine = [each.shown.stored for each in read.found if each.reference == reference]
            return ReadBack(mine, read.gap, read.answered)

        return ByReference(of_row, _shelf)

    def person(self, name: str) -> str | None:
        """An e-mail address, or a phone number, as it is written."""
        plain = PUNCTUATION.sub("", name)
        return name if EMAIL.fullmatch(name) or PHONE.fullmatch(plain) else None

    async def of_person(self, person: str, target: str) -> set[str]:
        """The ids of all interactions with an e-mail address; phone numbers cannot be listed by.
        Raises ConfigurationError, DestinationUnusable."""
        if not EMAIL.fullmatch(person):
            raise ConfigurationError(BY_PHONE_NUMBER)
        read, same = await self.listed(target, "email", person), person.casefold()
        if read.gap:
            raise DestinationUnusable(
                f"the interactions of this person cannot be listed ({read.gap}); without"
                " --delete-interactions, what the ledger holds can be removed all the same"
            )
        return {each.id for each in read.found if each.text("email").casefold() == same}


def _shelf(stored: Stored) -> str:
    """What it can be listed by, and the row's own reference."""
    return f"{stored.payload.get('external_ref', stored.reference)}\n{stored.reference}"
