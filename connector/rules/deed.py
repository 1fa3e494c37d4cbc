"""The shape of a deed: planned, shown, asked about, done and told, on a terminal as on a page.

A deed plans before it does anything, and writes nothing meanwhile. Whoever carries it out shows the
plan, asks its question, and hands the plan back:

    plan = await deed.plan()
    ...show it; if it is not empty, ask its question...
    done = await deed.do(plan, agreed)
    ...tell it, and end with its exit code...

The command line has one function that does so, and the pages have one.
"""

from typing import Any, ClassVar, Protocol, TypeVar

from connector.basis import dataclass
from connector.rules.errors import ConfigurationError, ConnectorError, why

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Agree:
    """A person is asked for a yes."""

    text: str


@dataclass(frozen=True, slots=True)
class Retype:
    """So much is at stake that a person has to type `text`."""

    text: str
    meaning: str
    """What the text is made of, for whoever typed another one."""
    refusal: str = "nothing was done"

    def refuse_unless(self, typed: str) -> None:
        """Raises ConfigurationError unless `typed` is the text."""
        if " ".join(typed.split()) != self.text:
            raise ConfigurationError(
                f'{self.refusal}: it is confirmed with "{self.text}", {self.meaning}'
            )


Question = Agree | Retype


class Plan(Protocol):
    """What a deed would do."""

    @property
    def question(self) -> Question | None:
        """What a person is asked before it is done; None: it is done unasked."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do, and so nothing to ask."""

    @property
    def exit_code(self) -> int:
        """The exit code when it is empty."""

    def document(self) -> Document:
        """The plan, for programs."""


@dataclass(frozen=True, slots=True)
class Intention:
    """The plan of a deed of which nothing more can be told before it is done."""

    question: Question
    empty: ClassVar[bool] = False
    exit_code: ClassVar[int] = 0

    def document(self) -> Document:
        return {}


class Done(Protocol):
    """What a deed did."""

    @property
    def error(self) -> ConnectorError | None:
        """What stopped it half-way, when something did."""

    @property
    def exit_code(self) -> int:
        """The exit code."""

    def document(self) -> Document:
        """What came of it, for programs."""


P = TypeVar("P", bound=Plan)
D_co = TypeVar("D_co", bound=Done, covariant=True)


class Deed(Protocol[P, D_co]):
    """Something that a person decides to do, with all that it needs."""

    async def plan(self) -> P:
        """What it would do now. Writes nothing. Raises ConfigurationError when it cannot be."""

    async def do(self, plan: P, agreed: bool) -> D_co:
        """Do it. `agreed`: a person has said yes to just this plan, so nothing is done when there
        is more to do by now (StaleMove). Without it, whatever there is then is done."""


def status_word(done: Done) -> str:
    """How it ended, in the words that runs have for it."""
    return "stopped" if done.error else ("attention" if done.exit_code else "succeeded")


def error_document(error: ConnectorError | None) -> Document:
    """What stopped something, and what programs go by; nothing where nothing did."""
    return {"error": str(error) if error else None, **why(error)}
