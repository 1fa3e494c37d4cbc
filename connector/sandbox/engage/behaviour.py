"""What a sandbox does where Engage's documentation is silent, and how it is made to fail.

Every default is the documented behaviour; where nothing is documented it is the one that shows
a mistake soonest. All durations are seconds, all shares lie between 0 and 1.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from connector.sandbox.behaviour import Common, Faults, ReadFaults, Seconds, Shares, WriteFaults

Kind = Literal["email", "mobilePhone", "socialSecurityNumber", "customKey"]


class Behaviour(Common):
    """Every switch of a sandbox of Engage."""

    # Answers
    success_status: Literal[200, 201, 202] = Field(
        default=200, description="status of an accepted POST /interactions"
    )
    delete_status: Literal[200, 202, 204] = Field(
        default=200, description="status of a DELETE that deleted"
    )
    delete_again: Literal[404, 410, 200, 204] = Field(
        default=404, description="status of a DELETE of an interaction that was deleted before"
    )
    error_body: Literal["json", "empty"] = Field(
        default="json", description="errors carry the envelope, or nothing"
    )

    # Callers
    strict_user_agent: bool = Field(
        default=False, description="400 for a User-Agent that is missing or not System/version"
    )
    without_user_agent: Literal["taken", 400, 403, 406] = Field(
        default="taken", description="status of a request without a User-Agent, or it is taken"
    )
    without_content_type: Literal[500, 415, 400, "taken"] = Field(
        default=500, description="status of a POST that does not say it is JSON, or it is taken"
    )

    # Sending interactions
    breaking: Literal["refuse", "no_id", "swallow", "store"] = Field(
        default="refuse",
        description="an interaction that breaks its schema is refused with `refuse_status`, "
        "or dropped behind a success without an id, or behind a success with one, or stored",
    )
    refuse_status: Literal[400, 422] = Field(
        default=400, description="status of a refused interaction"
    )
    mistyped_required: Literal["break", "drop"] = Field(
        default="break",
        description="a required property of the wrong type breaks the interaction, "
        "or is dropped as an optional one would be",
    )
    unknown_property: Literal["dropped", "stored", "refused"] = Field(
        default="dropped",
        description="a property that the schema has not is dropped, or stored, or the interaction "
        "is refused with `refuse_status`",
    )
    unknown_contact: Literal["404", "400", "422", "swallow", "no_id", "store"] = Field(
        default="404",
        description="refused with this status, or dropped behind a 202 with an id, or behind one "
        "without, or stored",
    )
    unknown_schema_status: Literal[404, 400, 422] = Field(
        default=404, description="status of Schema '<id>' not found"
    )
    created_date: Literal["utc_milliseconds", "as_sent"] = Field(
        default="utc_milliseconds",
        description="how createdDate is kept and shown: as the next two say, or to the letter",
    )
    created_date_precision: Literal["seconds", "milliseconds", "microseconds"] = Field(
        default="milliseconds", description="what is kept of a createdDate"
    )
    created_date_offset: Literal["utc", "kept", "none"] = Field(
        default="utc", description="in which offset it is shown: UTC, the one sent, or without any"
    )
    equal_twice: Literal["two_ids", "one"] = Field(
        default="two_ids",
        description="an interaction that equals one that is there is stored beside it, or answered "
        "with its id",
    )

    # Reading interactions
    read_back_delay: Seconds = Field(
        default=0, description="how long after its POST an interaction cannot be read yet"
    )
    delete_delay: Seconds = Field(
        default=0, description="how long after its POST an interaction cannot be deleted yet"
    )
    delete_early_status: Literal[404, 409] = Field(
        default=404, description="the status of a deletion that comes too early"
    )
    listed_after_delete: Seconds = Field(
        default=0, description="how long GET /interactions still lists what was deleted"
    )
    shown_after_delete: bool = Field(
        default=False,
        description="whether GET /interactions/{id} still shows what was deleted and is listed",
    )
    page_order: Literal["newest", "oldest", "other"] = Field(
        default="newest", description="what a page starts with; `other`: in no order of time"
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

    # Faults: a route each
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

    def faulty(self) -> Mapping[str, Shares]:
        """The routes that can be made to fail, with the shares of each."""
        return {
            "POST /interactions": self.faults,
            "GET /contacts/id": self.lookup_faults,
            "GET /interactions": self.read_faults,
            "POST /interactionschemas": self.schema_faults,
            "DELETE /interactionschemas/{id}": self.schema_faults,
            "GET /interactions/{id}": self.read_faults,
            "DELETE /interactions/{id}": self.delete_faults,
        }
