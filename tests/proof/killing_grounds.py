"""Kill loops at an MXO and at a Survey Dynamix: what each seed switches there, the rows, and what
should be there in the end.

What a destination is like is drawn once for a loop; what fails is drawn again and again.
"""

from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import Any

from connector.sandbox.mxo import behaviour as mxo
from connector.sandbox.survey_dynamix import behaviour as survey_dynamix
from tests.proof.killing_faults import LAG, faults, read_faults
from tests.proof.killing_plan import CONTACTS, ENGAGE, Ground, Plan
from tests.proof.truth import Expected
from tests.proof.worlds import WORLDS

BATCH = "    batch: {{rows: 3}}\n"
NOBODY = "nobody@example.com"
EVERY = {"answer_delay": 0.03, "retry_after": 0, "hard_rate": None}
MXO_SWITCHES: Mapping[str, list[Any]] = {
    "same_id": ["twice", "twice", "409", "400", "ignored"],
    "batch_id_in": ["body", "header", "none"],
    "bad_record": ["listed", "listed", "refused"],
    "errors_by": ["reference", "index", "line", "customer_key", "text"],
    "errors_form": ["array", "object", "ndjson"],
    "counts": ["plain", "records"],
    "failing": [0, 0, 0.1],
    "failing_lists": [True, False],
    "process_delay": [0, 0.2],
    "process_time": [0, 0.2],
    "crashing": [0, 0.2],
    "errors_delay": [0, 0.3],
    "expires_in": ["absent", "there", "wrong", "nonsense"],
    "token_life": [60, 3],
    "token_uses": [None, 20],
    "offline_partly": ["refused", "taken"],
}
SURVEY_DYNAMIX_SWITCHES: Mapping[str, list[Any]] = {
    "reference_filter": ["exact", "ignored", "case_blind"],
    "empty_list": ["204", "array"],
    "answer_form": ["bare", "wrapped", "list"],
    "id_form": ["number", "text"],
    "success_status": [200, 201],
    "error_body": ["json", "empty", "html"],
}


def switched(plan: Plan, switches: Mapping[str, list[Any]]) -> dict[str, Any]:
    """What a destination is like in this loop."""
    dice = Random(f"nature {plan.destination} {plan.seed}")
    return {name: dice.choice(choices) for name, choices in switches.items()}


def _text(plan: Plan) -> str:
    text = WORLDS[plan.destination].text.replace("settle_after: 0.5s", "settle_after: 5s")
    return text.replace(BATCH, "    {more}\n")


# --- MXO ------------------------------------------------------------------------------------------


def mode(plan: Plan) -> Mapping[str, Any]:
    """How interactions go there; batches of few rows, or of many."""
    match plan.mode:
        case "batch":
            rows = Random(f"rows {plan.seed}").choice((3, 10, 50))
            return {"more": f"batch: {{rows: {rows}}}\n    status_kept: 12h"}
        case "offline":
            return {"more": "batch: {rows: 5}\n    mode: offline"}
        case _:
            return {"more": f"mode: {plan.mode}"}


def mxo_text(plan: Plan) -> str:
    """Single interactions have no time."""
    single = plan.mode == "single"
    return _text(plan).replace("    created_date: seen_at\n", "") if single else _text(plan)


def customers(_: Plan) -> str:
    """One each; some rows have none, and some have one that MXO does not take."""
    contact = f"case i % 50 when 7 then null when 3 then '{NOBODY}' else 'k' || i end"
    return (
        "'v' || i, timestamp '2026-11-01 10:00:00' + to_seconds((i * 37) % 600),"
        f" {contact}, 's', 1, 1, true"
    )


def effects(plan: Plan) -> Expected:
    """What should have taken effect at most; rows that did not are told as such."""
    others = {f"v{i}": "invalid" for i in range(plan.rows) if i % 50 == 7}
    nobody = {f"v{i}": "rejected" for i in range(plan.rows) if i % 50 == 3}
    others |= nobody
    stored = Counter(key for i in range(plan.rows) if (key := f"v{i}") not in others)
    return Expected(
        stored, lambda effect: str(effect["properties"].get("visitId")), others, nobody, ids=False
    )


def an_mxo(plan: Plan, **more: Any) -> mxo.Behaviour:
    """As this loop has it. Ids of ours are ignored there by every other seed."""
    own_id = "ignored" if plan.equal else "honoured"
    switches = switched(plan, MXO_SWITCHES)
    if plan.equal and switches["batch_id_in"] == "none":
        switches["batch_id_in"] = "body"  # else nobody could ever ask about any batch
    always: dict[str, Any] = {
        "offline": "on",
        "bad_customers": frozenset({NOBODY}),
        "kept_for": None,
    }
    always |= {"own_id": own_id, "crash_seconds": 0.5, "status_delay": LAG}
    return mxo.Behaviour.model_validate(EVERY | switches | always | more)


def failing_mxo(plan: Plan, dice: Random) -> mxo.Behaviour:
    """Neither single interactions nor lists have an id: a page that a cache repeats looks like any
    other answer to them, which nobody could tell."""
    return an_mxo(
        plan,
        seed=dice.randrange(10**6),
        faults=faults(dice, repeating=plan.mode == "batch"),
        status_faults=read_faults(dice),
        error_faults=read_faults(dice),
        token_faults=read_faults(dice),
    )


MXO = Ground(
    text=mxo_text,
    options=mode,
    columns=customers,
    expected=effects,
    behaviour=failing_mxo,
    calm=an_mxo,
    told=True,
)


# --- Survey Dynamix -------------------------------------------------------------------------------


def survey_dynamix_text(plan: Plan) -> str:
    """Many rows may have one external_ref; or persons have several surveys, one beside the other:
    never both, since such rows are told apart only by a second look each, when they are shown."""
    more = "    external_ref: {{value: same}}\n" if plan.equal else ""
    more += "    when_pending: force\n" if _forced(plan) else ""
    return _text(plan) + more


def _forced(plan: Plan) -> bool:
    return plan.looked_up and not plan.equal


def persons(plan: Plan) -> str:
    """One each, or a few persons with many rows; some rows have none."""
    person = f"'c' || i % {CONTACTS if _forced(plan) else plan.rows} || '@example.com'"
    return (
        "'v' || i, timestamp '2026-11-01 10:00:00' + to_seconds((i * 37) % 600),"
        f" case when i % 50 = 7 then null else {person} end, 's', 1, 1, true"
    )


def surveys(plan: Plan) -> Expected:
    """What should be asked for when all is over."""
    invalid = {f"v{i}": "invalid" for i in range(plan.rows) if i % 50 == 7}
    stored = Counter(key for i in range(plan.rows) if (key := f"v{i}") not in invalid)
    return Expected(stored, lambda each: str(each["data"].get("visitId")), invalid)


def a_survey_dynamix(plan: Plan, **more: Any) -> survey_dynamix.Behaviour:
    """As this loop has it."""
    switches = switched(plan, SURVEY_DYNAMIX_SWITCHES)
    always: dict[str, Any] = {"read_back_delay": LAG}
    return survey_dynamix.Behaviour.model_validate(EVERY | switches | always | more)


SURVEY_DYNAMIX = Ground(
    text=survey_dynamix_text,
    options=lambda _: {},
    columns=persons,
    expected=surveys,
    behaviour=lambda plan, dice: a_survey_dynamix(
        plan,
        seed=dice.randrange(10**6),
        faults=faults(dice),
        read_faults=read_faults(dice),
    ),
    calm=a_survey_dynamix,
)
GROUNDS = {"engage": ENGAGE, "mxo": MXO, "survey_dynamix": SURVEY_DYNAMIX}
