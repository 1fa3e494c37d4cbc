"""What a decision takes of the project whose rows it is about."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from connector.destinations.port import AnyDestination, Capabilities
from connector.ledger.records import Identity
from connector.ledger.reports import Document, Reports
from connector.ledger.store import Ledger
from connector.rules.activation import Activation
from connector.rules.contacts import ContactCache
from connector.rules.errors import ConfigurationError, did_you_mean
from connector.sync.flow import Flow, Recorded
from connector.sync.progress import Progress
from connector.sync.side_by_side import Stop


@dataclass(frozen=True, slots=True)
class Home:
    """The destination that the recorded rows of an activation went to, whatever the configuration
    says of their activation now."""

    destination: str
    schema_id: str
    url: str
    requests_per_second: float


class Project(Protocol):
    """A project wired together, as far as decisions know it."""

    @property
    def configured(self) -> Mapping[str, Activation]:
        """The activations by name."""

    def activation(self, name: str) -> Activation:
        """One of them. Raises ConfigurationError."""

    def reports(self) -> AbstractContextManager[Reports]:
        """Answers from the ledger, which is not made by asking."""

    def ledger(self) -> AbstractContextManager[Ledger]:
        """The ledger, made or brought up to date where needed."""

    def destination(self, name: str) -> AbstractAsyncContextManager[AnyDestination]:
        """A client of a destination."""

    def can(self, destination: str) -> Capabilities:
        """What a destination can do."""

    def refuse_without(self, able: bool, destination: str, what: str) -> None:
        """Raises ConfigurationError where a destination is not able to do what was asked for."""

    def home(self, activation: str, identity: Identity) -> Home:
        """Where recorded rows went. Raises ConfigurationError when it is configured no more."""

    def flow(self, activation: Activation, progress: Progress) -> AbstractAsyncContextManager[Flow]:
        """An activation with all that is needed to work on it."""

    def recorded(
        self, name: str, destination: str, progress: Progress
    ) -> AbstractAsyncContextManager[Recorded]:
        """What is recorded under a name, and went to a destination."""

    def settle_after_of(self, activation: Activation) -> timedelta:
        """How old an attempt must be before "not there" is believed of it."""

    def stopping(self) -> AbstractContextManager[Stop]:
        """A stop that Ctrl-C gives."""

    def contact_cache_of(self, activation: Activation) -> ContactCache:
        """How contacts of an activation are kept for later runs."""


def known_run(reports: Reports, run_id: str) -> Document:
    """A run of the ledger. Raises ConfigurationError, naming some that are there."""
    run = reports.run(run_id)
    if run is not None:
        return run
    newest = [each["run_id"] for each in reports.runs(None, 5)]
    near = did_you_mean(run_id, newest)
    if not newest:
        hint = "; there was no run yet"
    else:
        names = ", ".join(newest[:3])
        hint = near if "?" in near else f"; the newest are {names} (connector runs)"
    raise ConfigurationError(f'there is no run "{run_id}" in the ledger{hint}')
