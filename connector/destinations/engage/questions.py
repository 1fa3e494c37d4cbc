"""What is asked of an Engage, what the connector assumes of it, and what another answer means.

Facts and their gaps: developer.voyado.com ("Interactions", "API authentication"). Where those are
silent, the connector goes by what cannot send twice or lose.
"""

from dataclasses import replace

from connector.destinations.engage.pages import PAGE_SIZE
from connector.rules.probing import (
    CLOCK_DIFFERENCE,
    Facts,
    Question,
    Value,
    any_answer,
    in_time,
    one_of,
    refusal,
    success,
)


def whole_or_cut_openly(answer: Value, facts: Facts) -> bool:
    """An array has no place for a token: one that is cut shorter than any page that is known hides
    what is there."""
    hidden = facts.answers.get("list_shape") == "array" and isinstance(answer, int)
    return not hidden or (isinstance(answer, int) and answer >= PAGE_SIZE)


QUESTIONS = (
    Question(
        "create_status",
        "What is the status of an interaction that is taken?",
        "any success, with an id",
        success,
        "an interaction is not answered with a success, so every row would stay in doubt: do not"
        " sync before that is understood",
    ),
    Question(
        "breaks_schema",
        "What becomes of an interaction that breaks its schema?",
        "refused",
        one_of("refused"),
        "what breaks its schema is not refused here. Rows are held against the schema as it is when"
        " a run begins; where somebody changes it meanwhile, a row can be dropped in silence and"
        " count as delivered. `connector verify RUN` finds such rows; change schemas while nothing"
        " runs",
    ),
    Question(
        "unknown_property",
        "What becomes of a property that the schema has not?",
        "whatever: none is sent",
        any_answer,
    ),
    Question(
        "unknown_contact",
        "What is the answer to an interaction about a contact that there is not?",
        "a refusal",
        refusal,
        "what is about a contact that there is not is not refused here: a row about a contact that"
        " was deleted after it was looked up counts as delivered. Keep contact_cache short, or 0,"
        " and let `connector verify RUN` look",
    ),
    Question(
        "unknown_schema",
        "What is the answer to an interaction of a schema that there is not?",
        "a refusal",
        refusal,
        "an interaction of a schema that there is not is not refused here: delete no schema while"
        " something is sent under it",
    ),
    Question(
        "visible_after",
        "How many seconds until an interaction can be read?",
        "within settle_after",
        in_time,
        "an interaction is shown later than settle_after says, so one that is there could be taken"
        " for absent and be sent twice: raise settle_after",
    ),
    Question(
        "deletable_after",
        "How many seconds until an interaction can be deleted?",
        "within settle_after",
        in_time,
        "an interaction cannot be deleted for longer than settle_after: wait so long before"
        " `connector undo`, which counts it as not found until then",
    ),
    Question(
        "list_order",
        "In which order is a list?",
        "whatever: it is read to its end",
        any_answer,
    ),
    Question(
        "list_shape",
        "How is a list put?",
        "items, data or array",
        one_of("items", "data", "array"),
        "a list of interactions cannot be read, so no doubt can be settled and nothing verified",
    ),
    Question(
        "page_size",
        "How many interactions are on a page?",
        "whatever, as long as it leads to the next one",
        whole_or_cut_openly,
        "a list ends before all is shown, and has no way to the rest: an interaction that is there"
        " could be taken for absent and be sent twice. Let a payload property carry the row key,"
        " and do not retry rows in doubt of contacts with many interactions",
    ),
    Question(
        "created_date_precision",
        "How precisely is createdDate kept?",
        "seconds, or finer",
        one_of("seconds", "tenths", "hundredths", "milliseconds", "microseconds", "finer"),
        "createdDate is not kept as it was sent, so what is in doubt is told apart by its payload"
        " alone: let a payload property carry the row key",
    ),
    Question(
        "created_date_offset_kept",
        "Does createdDate keep the offset that it was sent with?",
        "whatever: moments are compared",
        any_answer,
    ),
    Question(
        "schema_id_case",
        "Is a schema found under its id in another case?",
        "whatever: an id is sent as the destination writes it",
        any_answer,
    ),
    Question(
        "without_content_type",
        "What is the answer to a POST that does not say that it is JSON?",
        "whatever: each says so",
        any_answer,
    ),
    Question(
        "without_user_agent",
        "What is the answer to a request without a User-Agent?",
        "whatever: each has one",
        any_answer,
    ),
    Question(
        "wrong_key",
        "What is the status of a request with a wrong key?",
        "401 or 403",
        one_of(401, 403),
        "a wrong key is not told by 401 or 403, so a key that was revoked could be taken for"
        " trouble with single rows: look at runs in which all rows are refused",
    ),
    Question(
        "delete_status",
        "What is the status of a deletion?",
        "any success",
        success,
        "a deletion is not answered with a success, so `connector undo` reports what it deleted as"
        " refused",
    ),
    Question(
        "delete_again",
        "What is the status of a second deletion?",
        "404 or 410",
        one_of(404, 410),
        "a deletion succeeds though there is nothing to delete: what `connector undo` counts as"
        " deleted may have been gone before",
    ),
    Question(
        "listed_after_delete",
        "For how many seconds is an interaction listed that was deleted?",
        "whatever: ids that were taken back stay known",
        any_answer,
    ),
    Question(
        "equal_twice",
        "What becomes of two interactions that are equal to the last letter?",
        "two ids",
        one_of("two ids"),
        "interactions that are equal become one here: of two rows with the same contact,"
        " createdDate and payload, one stays in doubt. Let a payload property carry the row key",
    ),
    replace(
        CLOCK_DIFFERENCE,
        otherwise="the clocks differ: set this machine's by NTP; a createdDate may lie in the"
        " future there",
    ),
)
