"""Trials of one destination, for whoever makes some: on record, within time, without an activation.

The port's `Trials`, on the ledger. A command opens it with the ledger's thread, and hands it to
whatever sends interactions that are no rows'.
"""

from collections.abc import Callable, Sequence
from dataclasses import field
from datetime import timedelta

from connector.basis import dataclass
from connector.destinations.port import AnyDestination
from connector.ledger.trials import Opened, Trials, UnsettledRow
from connector.rules import clocks
from connector.rules.absence import SEND_WITHIN, Age, believed_in
from connector.rules.clocks import Deadline, Moment
from connector.rules.delivery import Outcome
from connector.rules.trial import LeftTrial, Trial
from connector.sync.settled import since
from connector.sync.thread import LedgerThread


@dataclass(frozen=True, slots=True)
class TrialBook:
    """The trials of one destination. `settle_after`: how old a trial must be before "not there" is
    believed of it, time-out and lag."""

    trials: Trials
    thread: LedgerThread
    destination: AnyDestination
    settle_after: timedelta
    _deadlines: dict[int, Deadline] = field(default_factory=dict)

    async def open(self, trial: Trial) -> int:
        """Put a trial on record, committed, before its first byte; its number."""
        deadline = Deadline(clocks.now(), min(SEND_WITHIN, self.settle_after.total_seconds() / 2))
        now = deadline.since
        opened = Opened(clocks.boot(), _milliseconds(now), self.destination.clock.latest(now))
        number = await self.thread.call(self.trials.open, trial, opened)
        self._deadlines[number] = deadline
        return number

    def last_look(self, number: int) -> Callable[[], str | None]:
        """Whether too much time has passed: whoever was frozen for long may have been found absent
        by somebody else."""
        return self._deadlines[number].passed

    async def close(self, number: int, interaction_id: str | None, outcome: Outcome) -> bool:
        """Record the answer; False where it proves nothing."""
        return await self.thread.call(self.trials.close, number, interaction_id, outcome)

    async def adopt(
        self,
        number: int,
        interaction_id: str,
        is_new: Callable[[UnsettledRow], bool] = lambda row: False,
    ) -> bool:
        """An interaction that was found is the trial's; False where it is another's by now, or may
        be that of an unsettled row which `is_new`."""
        return await self.thread.call(self.trials.adopt, number, interaction_id, is_new)

    async def owned(self, ids: Sequence[str]) -> set[str]:
        """Those of `ids` that are rows', or were, or a trial's."""
        return await self.thread.call(self.trials.owned, ids)

    async def is_a_rows(self, interaction_id: str) -> bool:
        """Whether an interaction is, or was, a row's."""
        return await self.thread.call(self.trials.is_a_rows, interaction_id)

    async def unsettled(self) -> Sequence[UnsettledRow]:
        """The rows of this place that are on the wire or in doubt."""
        return await self.thread.call(self.trials.unsettled)

    async def saw(self, left: LeftTrial) -> None:
        """Bring in this boot's clock, where a trial was opened under another one."""
        if left.boot != (boot := clocks.boot()):
            await self.thread.call(self.trials.saw, left.number, boot, _milliseconds(clocks.now()))

    async def removed(self, *numbers: int) -> None:
        """What they have made is gone, for certain."""
        await self.thread.call(self.trials.removed, *numbers)

    async def absent(self, *numbers: int) -> None:
        """They have made nothing, for certain."""
        await self.thread.call(self.trials.absent, *numbers)

    async def kept(self, *numbers: int) -> None:
        """What they have made is meant to stay."""
        await self.thread.call(self.trials.kept, *numbers)

    async def left(self) -> Sequence[LeftTrial]:
        """The trials that are not at their end, the oldest first."""
        return await self.thread.call(self.trials.left)

    def believed_in(self, left: LeftTrial | UnsettledRow, asked: Moment) -> timedelta:
        """How long until it may be believed that what a trial, or a row, has sent is not there, by
        a read-back that began `asked`; below 0: it is."""
        return believed_in(self._age(left, asked), self.settle_after)

    def _age(self, left: LeftTrial | UnsettledRow, asked: Moment) -> Age:
        same_boot = left.boot == clocks.boot()
        boot = since(left.boot_at, _milliseconds(asked)) if same_boot else None
        there = since(left.destination_at, self.destination.clock.earliest(asked))
        return Age(left.age, there, None if boot is None or boot < timedelta(0) else boot)


def _milliseconds(moment: Moment) -> int:
    return round(moment.boot * 1000)
