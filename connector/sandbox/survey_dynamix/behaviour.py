"""What a sandbox does where the documentation of Survey Dynamix is silent, and how it fails.

What is documented is fixed. Of what is not, each switch has a default that shows a mistake soon.
All durations are seconds, all shares lie between 0 and 1.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from connector.sandbox.behaviour import Faults, ReadFaults, Seconds, Share, Shares
from connector.sandbox.plain import PlainBehaviour


class Behaviour(PlainBehaviour):
    """Every switch of a sandbox of Survey Dynamix."""

    hard_rate: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="requests per second above which it is overloaded; null for never"
    )
    recommended_rate: Annotated[float, Field(gt=0)] = Field(
        default=5, description="requests per second above which a second is counted, not refused"
    )
    overload: Literal["429", "503_after"] = Field(
        default="429",
        description="the answer to one request too many: 429 and nothing done, or 503 and all done",
    )

    # Callers
    permission: Literal["all", "read", "none"] = Field(
        default="all", description="what the credentials may do"
    )
    no_permission_status: Literal[401, 403] = Field(
        default=401, description="status of what they may not do"
    )

    # Asking for a survey
    surveys: frozenset[int] = Field(
        default=frozenset({493, 511}), description="the ids of the surveys that there are"
    )
    unknown_survey_status: Literal[404, 400] = Field(
        default=404, description="status of a POST for any other survey"
    )
    json_body: Literal["400", "ignored"] = Field(
        default="400", description="a body of JSON is refused, or read as an empty form"
    )
    bad_name: Literal["400", "stored"] = Field(
        default="400", description="metadata whose name is none is refused, or stored"
    )
    past_time: Literal["at_once", "400"] = Field(
        default="at_once", description="a `scheduled_at` that is past"
    )
    iso_time: Literal["taken", "400", "local"] = Field(
        default="taken",
        description="a `scheduled_at` in ISO 8601 is understood, refused, or read as the local time"
        " of the account (10 hours ahead of UTC) whatever its zone",
    )
    reference_cut: Annotated[int, Field(gt=0)] | None = Field(
        default=None, description="characters of an `external_ref` that are kept; null for all"
    )
    email_pending: bool = Field(
        default=True,
        description="409 for a pending survey with the same e-mail, too, not only phone number",
    )
    pending_ends: Literal["started", "sent"] = Field(
        default="started", description="when a survey is no longer pending"
    )
    starts_after: Seconds = Field(
        default=0, description="how long after it was sent a survey starts"
    )
    restricted: Share = Field(
        default=0, description="share of persons whose surveys are prevented when they are due"
    )
    do_not_contact: frozenset[str] = Field(
        default=frozenset(), description="e-mails and phone numbers that get no survey"
    )

    # The answer to it
    success_status: Literal[200, 201] = Field(default=200, description="status of a stored POST")
    answer_form: Literal["bare", "wrapped", "list"] = Field(
        default="bare",
        description="the interaction itself, or in `interaction`, or in a list of one",
    )
    id_form: Literal["number", "text"] = Field(default="number", description="how ids are written")
    link_name: Literal["web_link", "weblink"] = Field(
        default="web_link", description="name of the link to the survey"
    )

    # Reading and deleting
    read_back_delay: Seconds = Field(
        default=0, description="how long after its POST an interaction cannot be read yet"
    )
    empty_list: Literal["204", "array"] = Field(
        default="204", description="a list of nothing: 204 without a body, or an empty array"
    )
    reference_filter: Literal["exact", "ignored", "case_blind"] = Field(
        default="exact", description="what the filter `external_ref` of lists does"
    )
    shown_data: Literal["pairs", "object", "never"] = Field(
        default="pairs",
        description="metadata with `_include_data`: pairs in a list, an object by key, or none",
    )
    shown_external_ref: bool = Field(
        default=True, description="whether an interaction shows its `external_ref`"
    )
    listed_after_delete: Seconds = Field(
        default=0, description="how long lists still show what was deleted"
    )
    gone_status: Literal[404, 410] = Field(
        default=404, description="status of an interaction that was deleted"
    )
    delete_status: Literal[200, 204] = Field(
        default=200, description="status of a DELETE that deleted"
    )

    # Faults: a route each
    faults: Faults = Field(default=Faults(), description="faults of POST /interactions")
    read_faults: ReadFaults = Field(
        default=ReadFaults(),
        description="faults of GET /interactions, GET /interactions/{id} and GET /surveys/{id}",
    )
    delete_faults: Faults = Field(
        default=Faults(),
        description="faults of DELETE /interactions/{id}; `_after` means that it was deleted",
    )

    def faulty(self) -> Mapping[str, Shares]:
        """The routes that can be made to fail, with the shares of each."""
        return {
            "POST /interactions": self.faults,
            "GET /interactions": self.read_faults,
            "GET /interactions/{id}": self.read_faults,
            "GET /surveys": self.read_faults,
            "GET /surveys/{id}": self.read_faults,
            "DELETE /interactions/{id}": self.delete_faults,
        }
