"""The switches that every sandbox has, and the shares of requests that it makes fail.

All durations are seconds, all shares lie between 0 and 1.
"""

from collections.abc import Iterator, Mapping
from email.utils import formatdate
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Seconds = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
FaultStatus = Annotated[int, Field(ge=300, le=599)]
NO_SHARES = ("hang_seconds", "late_by", "late_answer", "repeat_older_than")


class Setting(BaseModel):
    """Base of the models here: immutable, and unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Shares(Setting):
    """Base of the faults: shares of requests, one fault a request at most."""

    hang_seconds: Seconds = Field(
        default=60, description="how long a hanging request is held at most"
    )

    @model_validator(mode="after")
    def _add_up_to_one(self) -> Self:
        # One draw decides a request, so that a share is exactly the part of requests it befalls.
        total = sum(self._shares())
        if total > 1 + 1e-9:
            raise ValueError(f"the shares of the faults add up to {total:g}, more than 1")
        return self

    def _shares(self) -> Iterator[float]:
        for name, value in self:
            if isinstance(value, dict):
                yield from value.values()
            elif name not in NO_SHARES:
                yield value


class ReadFaults(Shares):
    """Shares of the GET requests of one route that go wrong. Together at most 1."""

    too_many: Share = Field(default=0, description="429, whatever the rate is")
    status: dict[FaultStatus, Share] = Field(default={}, description="answered with this status")
    reset: Share = Field(default=0, description="TCP reset instead of an answer")
    hang: Share = Field(
        default=0, description="no answer for `hang_seconds`, then the connection closes"
    )
    truncate: Share = Field(default=0, description="the answer's JSON stops half-way")
    html: Share = Field(default=0, description="200 with an HTML page")


class WriteFaults(Shares):
    """Shares of the writing requests of one route that go wrong, one fault a request. Together at
    most 1.

    Names that end in `_before` store nothing; names that end in `_after` store first and fail
    then, which a caller cannot tell from the outside.
    """

    too_many: Share = Field(default=0, description="429, whatever the rate is; nothing stored")
    status_before: dict[FaultStatus, Share] = Field(
        default={}, description="this status; nothing stored"
    )
    reset_before: Share = Field(default=0, description="TCP reset; nothing stored")
    hang_before: Share = Field(
        default=0, description="no answer for `hang_seconds`; nothing stored"
    )
    status_after: dict[FaultStatus, Share] = Field(
        default={}, description="this status, though stored"
    )
    reset_after: Share = Field(default=0, description="TCP reset, though stored")
    hang_after: Share = Field(default=0, description="no answer for `hang_seconds`, though stored")
    truncate_after: Share = Field(default=0, description="stored; the answer's JSON stops half-way")
    cut_after: Share = Field(
        default=0, description="stored; the connection closes in the answer's body"
    )
    no_id_after: Share = Field(default=0, description="stored; a success without an id")
    html_after: Share = Field(default=0, description="stored; a success with an HTML page")


class Faults(WriteFaults):
    """Shares of the POST /interactions that go wrong: those of any writing, and a late one."""

    repeat_before: Share = Field(
        default=0,
        description="answered with the id that was given first, as a cache does; not stored",
    )
    repeat_after: Share = Field(
        default=0, description="stored, and answered with the id that was given first"
    )
    repeat_older_than: Seconds = Field(
        default=0, description="how long ago an id must have been given to be given once more"
    )
    late_commit: Share = Field(default=0, description="stored only `late_by` seconds afterwards")
    late_by: Seconds = Field(default=1, description="how late a late commit is")
    late_answer: Literal["hang", "reset", "504", "id"] = Field(
        default="hang", description="what the caller of a late commit sees meanwhile"
    )


class Common(Setting):
    """What the sandbox of any API can be told. Immutable: to change its mind, give it another."""

    answer_delay: Seconds = Field(
        default=0, description="latency: the work is done at once, the answer comes this much later"
    )
    date: Literal["now", "none", "frozen", "nonsense"] = Field(
        default="now", description="the Date of answers; `frozen`: always the same one"
    )
    clock_ahead: float = Field(
        default=0,
        description="seconds by which that Date is ahead of the real time; may be below 0",
    )
    bad_key_status: Literal[401, 403] = Field(
        default=401, description="status of a missing or wrong key"
    )
    hard_rate: Annotated[float, Field(ge=0)] | None = Field(
        default=200,
        description="requests per second above which 429 is answered; 0 or null for never",
    )
    recommended_rate: Annotated[float, Field(gt=0)] = Field(
        default=50, description="requests per second above which a second is counted, not refused"
    )
    retry_after: Seconds | None = Field(
        default=None, description="Retry-After of a 429; null for none"
    )
    retry_after_form: Literal["seconds", "date"] = Field(
        default="seconds", description="how Retry-After is written"
    )
    too_many_body: Literal["json", "empty"] = Field(default="json", description="body of a 429")
    seed: int = Field(
        default=0, description="the same seed and order of requests give the same faults"
    )

    @model_validator(mode="before")
    @classmethod
    def _without_what_it_was_measured_by(cls, switches: Any) -> Any:
        """What `connector probe --out` writes says beside the switches how it came to know them."""
        if not isinstance(switches, dict) or not isinstance(switches.get("measured"), dict):
            return switches
        return {name: value for name, value in switches.items() if name != "measured"}

    def faulty(self) -> Mapping[str, Shares]:
        """The routes that can be made to fail, with the shares of each."""
        return {}

    def date_at(self, now: float, born: float) -> str | None:
        """The Date of an answer that is made now, by a sandbox that was made at `born`."""
        match self.date:
            case "now":
                return formatdate(now + self.clock_ahead, usegmt=True)
            case "frozen":
                return formatdate(born + self.clock_ahead, usegmt=True)
            case "nonsense":
                return "Yesterday, 99 Foo 20261 25:61:61 XYZ"
            case "none":
                return None
