"""What a sandbox does where the documentation of MXO is silent, and how it is made to fail.

What is documented is fixed. Of what is not, each switch has a default that shows a mistake soon.
All durations are seconds, all shares lie between 0 and 1.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from connector.sandbox.behaviour import (
    Faults,
    ReadFaults,
    Seconds,
    Setting,
    Share,
    Shares,
)
from connector.sandbox.plain import PlainBehaviour

Number = Annotated[int, Field(gt=0)]


class Words(Setting):
    """The words of the status of a batch: nobody publishes them."""

    queued: str = Field(default="QUEUED", description="taken over, not begun")
    running: str = Field(default="PROCESSING", description="begun")
    done: str = Field(default="COMPLETED", description="ended, every record without an error")
    partly: str = Field(default="COMPLETED", description="ended, some with an error")
    failed: str = Field(default="FAILED", description="the whole batch failed")


class Behaviour(PlainBehaviour):
    """Every switch of a sandbox of MXO."""

    hard_rate: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="requests per second above which 429 is answered; null for never"
    )
    recommended_rate: Annotated[float, Field(gt=0)] = Field(
        default=2, description="requests per second above which a second is counted, not refused"
    )

    # Tokens
    token_life: Seconds = Field(default=60, description="how long a token is taken")
    token_uses: Number | None = Field(
        default=None, description="requests after which a token is taken no more; null for any"
    )
    expires_in: Literal["absent", "there", "wrong", "nonsense"] = Field(
        default="absent",
        description="what is said of that life: nothing, the truth, ten times it, or no number",
    )
    old_tokens: Literal["live", "die"] = Field(
        default="live", description="what becomes of a token when another one is made"
    )
    permission: Literal["all", "none"] = Field(
        default="all", description="whether the user of the credentials may do anything; else 403"
    )

    # Interactions
    missing_header: Literal["400", "taken"] = Field(
        default="400", description="a request without the header dataMimeType"
    )
    unknown_site_status: Literal[404, 403] = Field(
        default=404, description="status of a site key that there is not"
    )
    inner_status: Literal[200, 400, 500] = Field(
        default=200, description="`statusCode` inside a 200"
    )
    inner_stored: bool = Field(
        default=False, description="whether an interaction counts though `statusCode` is not 200"
    )
    uris: frozenset[str] | None = Field(
        default=None, description="the URIs that are configured; null for all"
    )
    properties: frozenset[str] | None = Field(
        default=None,
        description="the properties that are configured, others are dropped; null: all",
    )
    unknown_uri: Literal["dropped", "404", "400"] = Field(
        default="dropped",
        description="an interaction at a URI that is not configured: taken, counted as licensed and"
        " without effect; or refused with this status, in a batch as an error of its record",
    )
    bad_customers: frozenset[str] = Field(
        default=frozenset(), description="customer keys whose interactions are not valid"
    )
    reference_property: str = Field(
        default="connectorRef", description="the property by which the truth knows a row"
    )

    # Offline
    offline: Literal["off", "on"] = Field(
        default="off", description="the deprecated …/offline calls: 404, or there"
    )
    offline_form: Literal["array", "object"] = Field(
        default="array", description="many interactions: an array, or `{interactions: [...]}`"
    )
    offline_time: Literal["either", "milliseconds", "iso"] = Field(
        default="either", description="the timestamp of offline interactions"
    )
    offline_partly: Literal["refused", "taken"] = Field(
        default="refused",
        description="a list with a bad interaction: all refused with 400, or the good ones taken"
        " behind a success",
    )

    # Batches: the answer
    batch_status: Literal[200, 202] = Field(default=200, description="status of a batch taken over")
    batch_id_in: Literal["body", "header", "none"] = Field(
        default="body", description="where the answer tells the id of the batch"
    )
    own_id: Literal["honoured", "ignored"] = Field(
        default="honoured", description="the batchId that the caller gives"
    )
    same_id: Literal["twice", "409", "400", "ignored"] = Field(
        default="twice",
        description="a second batch under an id: processed, too; refused; or a success that does"
        " nothing",
    )
    most_records: Number = Field(default=5000, description="records in a batch")
    most_bytes: Number | None = Field(
        default=None, description="bytes in the body of a batch, else 413; null for any"
    )
    too_many_status: Literal[400, 413] = Field(
        default=400, description="status of a batch with too many records"
    )
    bad_record: Literal["listed", "refused"] = Field(
        default="listed",
        description="a record that is not valid: an error of its own, or the batch is refused with"
        " `refuse_status`",
    )
    refuse_status: Literal[400, 422] = Field(
        default=400, description="status of a batch that is refused for a record"
    )
    properties_form: Literal["list", "object", "either"] = Field(
        default="list", description="properties of a record: `[{name, value}]`, or an object"
    )

    # Batches: what becomes of them
    process_delay: Seconds = Field(
        default=5, description="how long after it was taken over a batch begins to be processed"
    )
    process_time: Seconds = Field(default=0, description="how long a batch is processed")
    stuck: Share = Field(default=0, description="share of batches that are queued for ever")
    failing: Share = Field(
        default=0, description="share of batches that fail as a whole, without any effect"
    )
    failing_lists: bool = Field(
        default=False, description="whether the error list of a failed batch names its records"
    )
    crashing: Share = Field(
        default=0, description="share of batches whose processing stops half-way for a while"
    )
    crash_seconds: Seconds = Field(default=60, description="how long that while is")
    status_delay: Seconds = Field(
        default=0, description="how long after it was taken over a batch is not found yet"
    )
    kept_for: Seconds | None = Field(
        default=600, description="how long after its end a batch is found; null for ever"
    )
    id_name: Literal["batchId", "id", "jobId"] = Field(
        default="batchId", description="name of the id of a batch in answers"
    )
    status_name: Literal["status", "state", "jobStatus"] = Field(
        default="status", description="name of the status of a batch in answers"
    )
    words: Words = Field(default=Words(), description="the words of the status")
    counts: Literal["plain", "records", "missing"] = Field(
        default="plain",
        description="the numbers in a status: `total`, `processed` and `failed`; `totalRecords`,"
        " `processedRecords` and `errorCount`; none",
    )
    errors_by: Literal["reference", "index", "line", "customer_key", "text"] = Field(
        default="reference",
        description="how an error names its record: all of it; its place from 0, or from 1; its"
        " customer; not at all",
    )
    errors_form: Literal["array", "object", "ndjson"] = Field(
        default="array", description="the list of errors: bare, in `errors`, or a line each"
    )
    errors_cut: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="errors that the list holds at most; null for all"
    )
    errors_delay: Seconds = Field(
        default=0, description="how much later than the status the errors are seen"
    )
    errors_early: Literal["empty", "404"] = Field(
        default="empty", description="the list of errors until then"
    )

    # Faults: a route each
    faults: Faults = Field(
        default=Faults(), description="faults of the requests that carry interactions or batches"
    )
    status_faults: ReadFaults = Field(
        default=ReadFaults(), description="faults of the status of a batch"
    )
    error_faults: ReadFaults = Field(
        default=ReadFaults(), description="faults of the error list of a batch"
    )
    token_faults: ReadFaults = Field(
        default=ReadFaults(), description="faults of POST /one/oauth2token"
    )

    def faulty(self) -> Mapping[str, Shares]:
        """The routes that can be made to fail, with the shares of each."""
        return {
            "PUT /interaction": self.faults,
            "POST /interaction": self.faults,
            "PUT /interaction/offline": self.faults,
            "PUT /interactions/offline": self.faults,
            "POST /batch": self.faults,
            "GET /batch/{id}": self.status_faults,
            "GET /batch/{id}/error": self.error_faults,
            "POST /oauth2token": self.token_faults,
        }
