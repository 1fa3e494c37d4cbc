"""A probe of MXO: questions that store nothing, since what it takes cannot be taken back."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from connector.destinations.api import Api
from connector.destinations.bodies import form
from connector.destinations.credentials import Credentials, basic
from connector.destinations.mxo.grammar import MxoSettings
from connector.destinations.probing import Asker
from connector.destinations.trials import Trials
from connector.rules.probing import (
    CLOCK_DIFFERENCE,
    Answered,
    Prospect,
    Question,
    Value,
    any_answer,
    one_of,
    refusal,
)

TOKEN, BATCHES = "/one/oauth2token", "/batchv2/interactions"
GRANT = {"grant_type": "client_credentials"}
NO_BATCHES = "batches are asked about with a workspace_id alone"


QUESTIONS = (
    Question(
        "wrong_secret",
        "What is the status of a token that is asked for with a wrong secret?",
        "400, 401 or 403",
        one_of(400, 401, 403),
        "a secret that was revoked could be taken for an outage",
    ),
    Question(
        "token_life",
        "For how many seconds is a token said to be good?",
        "whatever: one that is refused is fetched anew",
        any_answer,
    ),
    Question(
        "wrong_token",
        "What is the status of a request with a token that there is not?",
        "401",
        one_of(401),
        "a token that has expired is not told by 401, so a run stops where it could fetch another",
    ),
    Question(
        "unknown_batch",
        "What is the status of a batch that there is not?",
        "a refusal",
        refusal,
        "that a batch is not there cannot be told, so rows whose answer was lost stay in doubt",
    ),
    Question(
        "unknown_site",
        "What is the status of a site that there is not?",
        "a refusal",
        refusal,
        "a wrong site_key is not told, so rows could go nowhere",
    ),
    CLOCK_DIFFERENCE,
)


class MxoProbe:
    """One measuring of one site."""

    questions: tuple[Question, ...] = QUESTIONS

    def __init__(self, client: Api, settings: MxoSettings) -> None:
        self._client, self._settings = client, settings
        self._asker = Asker(client)

    async def prospect(self) -> Prospect:
        """Nothing is made."""
        await self._client.credentials.ready()
        return Prospect(self._settings.site_key, False, 0)

    async def answers(
        self, trials: Trials, tell: Callable[[str, int, int], None]
    ) -> list[Answered]:
        """Ask all questions, once each."""
        said = {**await self._tokens(), **await self._batches()}
        skew = self._asker.skew
        if skew is not None:
            middle = round(sum(skew) / 2, 1) + 0.0
            said["clock_difference"] = middle, [{"answers": self._asker.dates}]
        none = None, [{"why": "it did not come to that"}]
        return [Answered(q.name, *said.get(q.name, none)) for q in QUESTIONS]

    async def _tokens(self) -> dict[str, tuple[Value, list[Any]]]:
        """The tokens of MXO come from its url, which batches need not have."""
        if self._client.base != self._settings.url.rstrip("/"):
            return {}
        who, secret = self._settings.client_id, self._settings.secret
        body = form(GRANT)
        wrong = self._client.otherwise(basic(who, f"not-{uuid4().hex}"))
        refused = await self._asker.once("POST", TOKEN, body, client=wrong)
        right = self._client.otherwise(basic(who, secret))
        given = await self._asker.once("POST", TOKEN, body, client=right)
        content = given.content if isinstance(given.content, dict) else {}
        life = content.get("expires_in")
        return {
            "wrong_secret": (refused.status, [refused.shown()]),
            "token_life": (
                life if isinstance(life, int | float | str) else "it does not say",
                [given.shown(fields=sorted(map(str, content)))],
            ),
        }

    async def _batches(self) -> dict[str, tuple[Value, list[Any]]]:
        if not self._settings.workspace_id:
            why = [{"why": NO_BATCHES}]
            return dict.fromkeys(("wrong_token", "unknown_batch", "unknown_site"), (None, why))
        site, batch = quote(self._settings.site_key, safe=""), uuid4()
        other = self._client.otherwise(Credentials({"Authorization": "Bearer connector-probe"}))
        wrong = await self._asker.ask("GET", f"{BATCHES}/{site}/{batch}", other)
        unknown = await self._asker.ask("GET", f"{BATCHES}/{site}/{batch}")
        nowhere = await self._asker.ask("GET", f"{BATCHES}/ONE-CONNECTOR-PROBE/{batch}")
        return {
            "wrong_token": (wrong.status, [wrong.shown()]),
            "unknown_batch": (unknown.status, [unknown.shown()]),
            "unknown_site": (nowhere.status, [nowhere.shown()]),
        }
