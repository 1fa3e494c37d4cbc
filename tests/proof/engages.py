"""Sandboxes in a process of their own: what they hold is the truth, and outlives every crash.

Run as a script it is that process; imported, it starts one.
"""

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any, ClassVar

from connector.sandbox import running as serving
from connector.sandbox.behaviour import Common
from connector.sandbox.engage import running, store
from connector.sandbox.engage.interactions import Interaction, Interactions
from connector.sandbox.mxo import running as mxo
from connector.sandbox.mxo.store import Mxo
from connector.sandbox.survey_dynamix import running as survey_dynamix
from connector.sandbox.survey_dynamix.store import SurveyDynamix
from connector.sandbox.traffic import Received, RequestLog
from tests.proof.apart import Apart
from tests.whole.shop import an_engage

PATIENCE = 20.0
MOST_LOGGED = 20_000


@dataclass(frozen=True, slots=True)
class Address:
    """One sandbox as others reach it: over HTTP alone, so that any process may ask."""

    url: str
    api_key: str = running.API_KEY

    def interactions(self) -> list[dict[str, Any]]:
        """Everything that is really stored."""
        found: list[dict[str, Any]] = self._ask("GET", "/sandbox/interactions")
        return found

    def traffic(self) -> dict[str, Any]:
        """How many requests came, and how they ended."""
        found: dict[str, Any] = self._ask("GET", "/sandbox/requests")
        return found

    def behave(self, behaviour: Common) -> None:
        """Do otherwise from now on; the faults begin at their seed."""
        self._ask("PUT", "/sandbox/behaviour", behaviour.model_dump_json().encode())

    def merge(self, contact: str, into: str) -> None:
        """The contact becomes one that is new."""
        self._ask("POST", "/sandbox/contacts", json.dumps([{"contactId": into}]).encode())
        merging = {"contactId": contact, "into": into}
        self._ask("POST", "/sandbox/contacts/merge", json.dumps(merging).encode())

    def know(self, contacts: Sequence[str]) -> None:
        """There are these contacts, too."""
        known = [{"contactId": contact} for contact in contacts]
        self._ask("POST", "/sandbox/contacts", json.dumps(known).encode())

    def revoke(self) -> None:
        """Every token that was given dies."""
        self._ask("POST", "/sandbox/tokens/revoke")

    def forget(self) -> None:
        """Lose all interactions; contacts and schema stay."""
        self._ask("POST", "/sandbox/reset?keep=schemas&keep=contacts")

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        # not httpx: a client of it reads all certificates of the world before its first word
        connection = HTTPConnection(self.url.removeprefix("http://"), timeout=PATIENCE)
        with closing(connection):
            connection.request(method, path, body)
            response = connection.getresponse()
            content = response.read()
        assert response.status < 300, (response.status, content)
        return json.loads(content) if content else None


class Engages(Apart):
    """The process that holds them, as seen from the one that started it."""

    def __init__(self, number: int, type: str = "engage") -> None:
        super().__init__("tests.proof.engages", str(number), type)
        self.all = [Address(url) for url in self.answer()]

    def down(self, number: int) -> None:
        """Refuse connections, and drop those that are there; what is stored stays."""
        self._tell("down", number)

    def up(self, number: int) -> None:
        """Answer again, at the same address."""
        self._tell("up", number)

    def faults(self) -> Counter[str]:
        """How often each fault befell a request, in all of them, since the beginning."""
        return Counter(self._tell("faults", 0))

    def twice(self) -> list[str]:
        """Rows of which more than one interaction was there at any moment of any of them."""
        found: list[str] = self._tell("twice", 0)
        return found

    def changed(self) -> tuple[int, int]:
        """How many interactions were stored, and how many deleted, in all of them."""
        stored, deleted = self._tell("changed", 0)
        return stored, deleted

    def _tell(self, word: str, number: int) -> Any:
        return self.ask(json.dumps([word, number]))


class Remembering(RequestLog):
    """Knows the faults of all requests, whatever it is made to forget."""

    faults: ClassVar[Counter[str]] = Counter()
    lock: ClassVar[threading.Lock] = threading.Lock()

    def ended(self, request: Received, status: int | None, fault: str | None = None) -> None:
        super().ended(request, status, fault)
        if fault:
            with self.lock:
                self.faults[f"{request.route}: {fault}"] += 1


class Watching(Interactions):
    """Counts the interactions of each row whenever one is stored or deleted."""

    log: ClassVar[list[tuple[float, str, str, str]]] = []
    """When what became of which interaction of which row."""
    twice: ClassVar[list[str]] = []
    stored: ClassVar[int] = 0
    deleted: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self._live: dict[str, set[str]] = {}

    def _store(self, interaction: Interaction) -> None:
        super()._store(interaction)
        live = self._saw("stored", interaction)
        Watching.stored += 1
        live.add(interaction.id)
        if len(live) > 1:
            row = interaction.payload.get("visitId")
            log = [entry for entry in self.log if entry[2] == row]
            self.twice.append(f"{row}: {sorted(live)} are there, {log[-12:]}")

    def remove(self, interaction_id: str, listed_until: float = 0) -> None:
        interaction = self._by_id.get(interaction_id)
        super().remove(interaction_id, listed_until)
        if interaction is not None:
            Watching.deleted += 1
            self._saw("deleted", interaction).discard(interaction_id)

    def _saw(self, what: str, interaction: Interaction) -> set[str]:
        row = str(interaction.payload.get("visitId"))
        said = f"{interaction.id} {interaction.payload}"
        self.log.append((round(time.time(), 3), what, row, said))
        del self.log[:-MOST_LOGGED]
        return self._live.setdefault(row, set())


SERVING: dict[str, tuple[Callable[[], Any], Callable[[Any, int], Any]]] = {
    "engage": (an_engage, lambda kept, port: running.running(engage=kept, port=port)),
    "mxo": (Mxo, lambda kept, port: mxo.running(store=kept, port=port)),
    "survey_dynamix": (
        SurveyDynamix,
        lambda kept, port: survey_dynamix.running(store=kept, port=port),
    ),
}
"""By type: what a sandbox keeps, and how it is served."""


class Standing:
    """One sandbox with its server, which may be taken down."""

    def __init__(self, type: str) -> None:
        make, self._serving = SERVING[type]
        self._kept, self._port, self._stack = make(), 0, ExitStack()
        self.url = ""

    def up(self) -> None:
        self.url = self._stack.enter_context(self._serving(self._kept, self._port)).url
        self._port = int(self.url.rpartition(":")[2])

    def down(self) -> None:
        self._stack.close()


def main(arguments: Sequence[str]) -> None:
    """Serve so many, obey what standard input says, and end with it."""
    vars(serving)["RequestLog"] = Remembering
    vars(store)["Interactions"] = Watching
    engages = [Standing(arguments[1]) for _ in range(int(arguments[0]))]
    for engage in engages:
        engage.up()
    print(json.dumps([engage.url for engage in engages]), flush=True)
    for line in sys.stdin:
        word, number = json.loads(line)
        answer: Any = None
        if word == "faults":
            answer = dict(Remembering.faults)
        elif word == "twice":
            answer = Watching.twice
        elif word == "changed":
            answer = [Watching.stored, Watching.deleted]
        else:
            getattr(engages[number], word)()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
