"""A probe of Survey Dynamix: nobody gets a survey, since the one that is asked for is far in the
future and deleted at once."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

from connector.destinations.api import Api
from connector.destinations.bodies import form
from connector.destinations.credentials import basic
from connector.destinations.port import References
from connector.destinations.probing import Asker, Exchange, lasted, pause_after
from connector.destinations.survey_dynamix.shown import (
    answered,
    page_of_content,
    path_of,
    time_text,
)
from connector.destinations.trials import Trials
from connector.rules.delivery import Accepted, NotApplied, Outcome, Refused, Unknown
from connector.rules.errors import ConfigurationError, DestinationUnusable, Interrupted
from connector.rules.probing import (
    CLOCK_DIFFERENCE,
    Answered,
    Prospect,
    Question,
    Subject,
    Value,
    any_answer,
    in_time,
    one_of,
    success,
)
from connector.rules.trial import Aim, Trial

IN_FUTURE = timedelta(days=300)
NOT_THERE = "999999999"


QUESTIONS = (
    Question(
        "wrong_key",
        "What is the status of a request with a wrong token?",
        "401 or 403",
        one_of(401, 403),
        "a token that was revoked could be taken for trouble with single rows",
    ),
    Question(
        "unknown_survey",
        "What is the status of a survey that there is not?",
        "404 or 410",
        one_of(404, 410),
        "whether there is the survey of an activation cannot be checked before rows are sent",
    ),
    Question("empty_list", "How is an empty list put?", "204 or an empty array", any_answer),
    Question(
        "create_status",
        "What is the status of a survey that is asked for?",
        "any success, with an id",
        success,
        "what is asked for is not answered with a success: do not sync before that is understood",
    ),
    Question(
        "reference_kept",
        "Is the reference (external_ref) kept as it was sent?",
        "yes",
        one_of("yes"),
        "references are not kept as they are sent, so a lost answer cannot be settled: a run stops",
    ),
    Question(
        "reference_filter",
        "Does the filter external_ref show that reference alone?",
        "whatever: what is shown is looked at",
        any_answer,
    ),
    Question(
        "scheduled_at_kept",
        "Is scheduled_at shown as the moment that was sent?",
        "yes",
        one_of("yes"),
        "times are read otherwise than as UTC there, so surveys would go out at another time",
    ),
    Question(
        "visible_after",
        "How many seconds until it can be read?",
        "within settle_after",
        in_time,
        "it is shown later than settle_after says: raise settle_after",
    ),
    Question(
        "delete_status",
        "What is the status of a deletion?",
        "any success",
        success,
        "`connector undo` reports what it deleted as refused",
    ),
    Question(
        "delete_again",
        "What is the status of a second deletion?",
        "404 or 410",
        one_of(404, 410),
        "what `connector undo` counts as deleted may have been gone before",
    ),
    Question(
        "listed_after_delete",
        "For how many seconds is it listed after it was deleted?",
        "whatever: what is listed is asked for by its id",
        any_answer,
    ),
    CLOCK_DIFFERENCE,
)


class SurveyProbe:
    """One measuring of one account. `answers` are collected by the name of the question."""

    questions: tuple[Question, ...] = QUESTIONS

    def __init__(self, client: Api, subject: Subject) -> None:
        self._client, self._subject = client, subject
        self._asker = Asker(client, {quote(subject.contact): "CONTACT", subject.contact: "CONTACT"})
        self._said: dict[str, tuple[Value, list[Any]]] = {}

    async def prospect(self) -> Prospect:
        """Whether this survey will do. Raises ConfigurationError, DestinationUnusable."""
        if not self._subject.contact:
            raise ConfigurationError("--contact wants an e-mail address, or a phone number")
        if not self._subject.target.isdecimal():
            raise ConfigurationError("--schema wants the id of a survey, such as 493")
        self._client.useful(await self._client.get(f"/surveys/{self._subject.target}"))
        days = f"{IN_FUTURE.days} days"
        note = f"It asks for one survey in {days}, and deletes it at once: nobody should get one."
        return Prospect(self._subject.target, False, 1, [note])

    async def answers(
        self, trials: Trials, tell: Callable[[str, int, int], None]
    ) -> list[Answered]:
        """Ask all questions."""
        await self._read_only()
        await self._one(trials, tell)
        skew = self._asker.skew
        if skew is not None:
            middle = round(sum(skew) / 2, 1) + 0.0
            self._said["clock_difference"] = middle, [{"answers": self._asker.dates}]
        none = None, [{"why": "it did not come to that"}]
        return [Answered(q.name, *self._said.get(q.name, none)) for q in QUESTIONS]

    async def _read_only(self) -> None:
        """What stores nothing."""
        other = self._client.otherwise(basic("connector-probe", "wrong"))
        asked = await self._asker.ask("GET", "/surveys", other)
        self._said["wrong_key"] = asked.status, [asked.shown()]
        asked = await self._asker.ask("GET", f"/surveys/{NOT_THERE}")
        self._said["unknown_survey"] = asked.status, [asked.shown()]
        asked = await self._list(f"connector-probe-{uuid4().hex[:8]}")
        page = page_of_content(asked.status, asked.content)
        empty: Value = "204" if asked.status == 204 else "empty array"
        said = empty if page == [] else None if page is None else "not empty: the filter is ignored"
        self._said["empty_list"] = said, [asked.shown()]

    async def _one(self, trials: Trials, tell: Callable[[str, int, int], None]) -> None:
        """One survey far in the future, to its end."""
        reference = References("probe").of(uuid4().hex)
        due = datetime.now(UTC).replace(microsecond=0) + IN_FUTURE
        sent, number = await self._send(trials, reference, due)
        found = answered(sent.content) if sent.succeeded else None
        name = found.id if found else None
        mine = await trials.close(number, name, _outcome(sent, name))
        self._said["create_status"] = sent.status, [sent.shown(id=name)]
        if found is None or not mine:
            return
        tell("measuring", 1, 1)
        path, first = path_of(found.id), True
        while True:
            shown = await self._asker.ask("GET", path)
            seen = answered(shown.content) if shown.status == 200 else None
            if seen is not None and seen.id == found.id:
                break
            if time.monotonic() > sent.sent + self._subject.patience:
                return
            await self._pause(pause_after(time.monotonic() - sent.sent))
            first = False
        self._said["visible_after"] = lasted(sent.sent, first, shown.came), [shown.shown()]
        kept = "yes" if seen.external_ref.strip() == reference else "no"
        at = seen.scheduled_at
        right = None if at is None else "yes" if at == due else "no"
        fields = {"external_ref": seen.external_ref, "scheduled_at": seen.text("scheduled_at")}
        self._said["reference_kept"] = kept, [shown.shown(sent=reference, **fields)]
        self._said["scheduled_at_kept"] = right, [shown.shown(sent=time_text(due), **fields)]
        listed = await self._list(reference)
        page = page_of_content(listed.status, listed.content) or []
        alone = all(each.external_ref == reference for each in page)
        self._said["reference_filter"] = ("yes" if alone else "no"), [listed.shown(shown=len(page))]
        await self._delete(trials, number, found.id, reference)

    async def _send(self, trials: Trials, reference: str, due: datetime) -> tuple[Exchange, int]:
        contact = self._subject.contact
        by_mail = "@" in contact
        fields = {
            "survey_id": self._subject.target,
            "survey_type": "email" if by_mail else "sms",
            ("email" if by_mail else "phone_number"): contact,
            "scheduled_at": time_text(due),
            "external_ref": reference,
        }
        trial = Trial(
            aim=Aim.PROBE,
            target=self._subject.target,
            contact=contact,
            created=due.isoformat(),
            payload=b"{}",
            reference=reference,
        )
        await self._client.wire.come_near(self._client.stopping)
        try:
            number = await trials.open(trial)
        except BaseException:
            self._client.wire.go_away()
            raise
        look = trials.last_look(number)
        body = form(fields)
        return await self._asker.once("POST", "/interactions", body, look, came_near=True), number

    async def _delete(self, trials: Trials, number: int, name: str, reference: str) -> None:
        path = path_of(name)
        first = await self._asker.ask("DELETE", path)
        self._said["delete_status"] = first.status, [first.shown()]
        if not first.succeeded:
            raise DestinationUnusable(f"it cannot be deleted there: HTTP {first.status}")
        again = await self._asker.ask("DELETE", path)
        self._said["delete_again"] = again.status, [again.shown()]
        gone = await self._asker.ask("GET", path)
        if gone.status in (404, 410):
            await trials.removed(number)
        at_once = True
        while time.monotonic() < first.sent + self._subject.patience:
            listed = await self._list(reference)
            page = page_of_content(listed.status, listed.content)
            if page is not None and name not in [each.id for each in page]:
                span = lasted(first.sent, at_once, listed.came)
                self._said["listed_after_delete"] = span, [listed.shown()]
                break
            at_once = False
            await self._pause(pause_after(time.monotonic() - first.sent))

    async def _list(self, reference: str) -> Exchange:
        wanted = {"survey_id": self._subject.target, "external_ref": reference, "_limit": "100"}
        return await self._asker.ask("GET", f"/interactions?{urlencode(wanted)}")

    async def _pause(self, seconds: float) -> None:
        import asyncio

        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self._client.stopping():
                raise Interrupted("interrupted")
            await asyncio.sleep(min(left, 0.2))


def _outcome(sent: Exchange, name: str | None) -> Outcome:
    if sent.unsent or sent.status == 429:
        return NotApplied(sent.why, sent.status)
    if sent.succeeded and name:
        return Accepted(name, sent.status)
    if sent.refused and sent.status != 408:
        return Refused(sent.why, sent.status)
    return Unknown(sent.why or "a success without an id", sent.status)
