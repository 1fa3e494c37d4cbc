"""What a sandbox does where Engage's documentation is silent, and how it is made to fail.

Every default is the documented behaviour; where nothing is documented it is the one that shows
a mistake soonest. All durations are seconds, all shares lie between 0 and 1.
"""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Seconds = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
FaultStatus = Annotated[int, Field(ge=300, le=599)]
Kind = Literal["email", "mobilePhone", "socialSecurityNumber", "customKey"]


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


class Behaviour(Setting):
    """Every switch of a sandbox. Immutable: give the sandbox another one to change its mind."""

    # Answers
    success_status: Literal[200, 201, 202] = Field(
        default=200, description="status of an accepted POST /interactions"
    )
    delete_status: Literal[200, 204] = Field(
        default=200, description="status of a DELETE that deleted"
    )
    error_body: Literal["json", "empty"] = Field(
        default="json", description="errors carry the envelope, or nothing"
    )
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

    # Callers
    bad_key_status: Literal[401, 403] = Field(
        default=401, description="status of a missing or wrong key"
    )
    strict_user_agent: bool = Field(
        default=False, description="400 for a User-Agent that is missing or not System/version"
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

    # Sending interactions
    breaking: Literal["refuse", "no_id", "swallow"] = Field(
        default="refuse",
        description="an interaction that breaks its schema is refused with `refuse_status`, "
        "or dropped behind a success without an id, or behind a success with one",
    )
    refuse_status: Literal[400, 422] = Field(
        default=400, description="status of a refused interaction"
    )
    mistyped_required: Literal["break", "drop"] = Field(
        default="break",
        description="a required property of the wrong type breaks the interaction, "
        "or is dropped as an optional one would be",
    )
    unknown_contact: Literal["404", "400", "swallow"] = Field(
        default="404", description="refused with this status, or dropped behind a 202 with an id"
    )
    unknown_schema_status: Literal[404, 400] = Field(
        default=404, description="status of Schema '<id>' not found"
    )
    created_date: Literal["utc_milliseconds", "as_sent"] = Field(
        default="utc_milliseconds", description="how createdDate is kept and shown"
    )

    # Reading interactions
    read_back_delay: Seconds = Field(
        default=0, description="how long after its POST an interaction cannot be read yet"
    )
    delete_delay: Seconds = Field(
        default=0, description="how long after its POST an interaction cannot be deleted yet (404)"
    )
    listed_after_delete: Seconds = Field(
        default=0, description="how long GET /interactions still lists what was deleted"
    )
    page_order: Literal["newest", "oldest"] = Field(
        default="newest", description="what a page starts with"
    )
    page_shape: Literal["items", "data", "array"] = Field(
        default="items",
        description="{links, items}, {links, data}, or a bare array, which has no place for "
        "a token and is therefore never cut into pages",
    )
    page_size: Annotated[int, Field(gt=0)] = Field(default=50, description="interactions on a page")
    link_rel: str = Field(default="next", description="rel of the link that holds the token")

    # Contacts
    contact_delay: Seconds = Field(
        default=0, description="how long a contact made by POST /contacts cannot be found yet"
    )
    merged_list: Literal["empty", "404"] = Field(
        default="empty",
        description="what GET /interactions gives of a contact that was merged away",
    )
    merged_contact: Literal["gone", "follows"] = Field(
        default="gone",
        description="what is sent about a contact that was merged away is refused as about an "
        "unknown one, or stored of the contact that it has become",
    )
    custom_key: Literal["either", "memberNumber", "externalId"] = Field(
        default="either", description="what customKey looks at"
    )
    unconfigured: frozenset[Kind] = Field(
        default=frozenset(), description="identifiers answered with 500 InvalidSystemConfiguration"
    )

    # Interaction schemas
    schema_limits: bool = Field(
        default=True, description="enforce 15 schemas, and 6 segmented properties in each"
    )
    backward_compatible: bool = Field(
        default=True, description="a schema made again must keep every property it once had"
    )
    schema_refuse_status: Literal[400, 422] = Field(
        default=400, description="status of a bad schema"
    )
    schema_exists_status: Literal[409, 400] = Field(
        default=409, description="status of an id in use"
    )
    schema_id_case: Literal["exact", "folded"] = Field(
        default="exact", description="whether a schema id is found in another case than its own"
    )
    schema_delay: Seconds = Field(
        default=0, description="how long after its POST a schema cannot be read yet"
    )

    # Faults
    seed: int = Field(
        default=0, description="the same seed and order of requests give the same faults"
    )
    faults: Faults = Field(default=Faults(), description="faults of POST /interactions")
    lookup_faults: ReadFaults = Field(
        default=ReadFaults(), description="faults of GET /contacts/id"
    )
    read_faults: ReadFaults = Field(
        default=ReadFaults(), description="faults of GET /interactions and GET /interactions/{id}"
    )
    delete_faults: Faults = Field(
        default=Faults(),
        description="faults of DELETE /interactions/{id}; `_after` means that it was deleted",
    )
    schema_faults: WriteFaults = Field(
        default=WriteFaults(),
        description="faults of POST /interactionschemas and of DELETE /interactionschemas/{id}",
    )
