"""What a schema needs is decided from what is there; a request is made only when it is needed."""

import asyncio
from collections.abc import Iterator

import pytest

from connector.rules.activation import Activation
from connector.rules.definition import DIALECT, Definition
from connector.rules.errors import ConfigurationError
from connector.sandbox.engage.behaviour import Behaviour
from connector.sandbox.engage.running import Running, running
from connector.sandbox.engage.store import Engage as SandboxEngage
from connector.schemas.catalogue import uses_by_schema
from connector.schemas.plan import Action, Version, compare, too_many
from connector.schemas.provision import Result, Status, create
from tests.destinations.engages import a_client
from tests.factories import an_activation


def a_definition(schema_id: str = "review", **types: str) -> Definition:
    properties = {n: {"type": t, "displayName": n} for n, t in {"sku": "string", **types}.items()}
    rules = {"$schema": DIALECT, "type": "object", "properties": properties}
    return Definition(schema_id, "Review", rules)


def by_id(*definitions: Definition) -> dict[str, Definition]:
    return {definition.id: definition for definition in definitions}


def an_activation_of(schema_id: str, name: str = "reviews", **over: object) -> Activation:
    return an_activation(name, schema_id=schema_id, **over)


@pytest.fixture
def sandbox() -> Iterator[Running]:
    with running(engage=SandboxEngage(Behaviour(hard_rate=None))) as server:
        yield server


def created(sandbox: Running, definition: Definition) -> Result:
    async def once() -> Result:
        engage = a_client(sandbox.url, key=sandbox.api_key)
        try:
            return await create(definition, engage)
        finally:
            await engage.aclose()

    return asyncio.run(once())


def test_a_step_is_to_create_to_leave_alone_or_to_decide_about() -> None:
    local = by_id(a_definition("new"), a_definition("same"), a_definition("other", x="string"))
    live = by_id(a_definition("same"), a_definition("other"))

    steps = compare(local, live, {})

    assert [step.action for step in steps] == [Action.CREATE, Action.UNCHANGED, Action.CHANGED]


def test_a_version_that_is_live_as_the_file_has_it_is_taken() -> None:
    local = by_id(a_definition(x="string"))
    live = by_id(a_definition(), a_definition("review_v2", x="string"), a_definition("review_v3"))

    (step,) = compare(local, live, {})

    assert step.version == Version("review_v2", live=True)


def test_a_new_version_takes_no_id_that_is_live_or_has_a_file() -> None:
    local = by_id(a_definition(x="string"), a_definition("review_v3"))
    live = by_id(a_definition(), a_definition("review_v2"))

    step, _ = compare(local, live, {}, reserved=["review_v4"])

    assert step.version == Version("review_v5", live=False)


def test_an_id_in_other_capitals_than_a_live_one_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="in capitals only"):
        compare(by_id(a_definition("Review")), by_id(a_definition("review")), {})


def test_a_schema_is_used_by_what_is_configured_and_by_what_was_recorded() -> None:
    activations = [an_activation_of("Review", paused=True), an_activation_of("wish", "moved")]
    recorded = [
        {"activation": "reviews", "schema_id": "review", "counts": {"delivered": 3, "in_doubt": 1}},
        {"activation": "moved", "schema_id": "review", "counts": {"delivered": 5}},
        {"activation": "gone", "schema_id": "review", "counts": {"delivered": 7, "pending": 2}},
    ]

    uses = uses_by_schema(activations, recorded)

    told = [(u.activation, u.paused, u.delivered, u.in_doubt, u.to_be_sent) for u in uses["review"]]
    assert told == [
        ("reviews", True, 3, 1, 0),
        ("moved", None, 5, 0, 0),
        ("gone", None, 7, 0, 2),
    ]
    assert [(u.activation, u.paused, u.delivered) for u in uses["wish"]] == [("moved", False, 0)]


@pytest.mark.parametrize(
    ("live", "more", "room"),
    [(0, 15, True), (14, 1, True), (15, 0, True), (16, 0, True), (15, 1, False)],
)
def test_there_is_room_for_15(live: int, more: int, room: bool) -> None:
    assert (too_many(live, more) is None) is room


def test_what_somebody_else_created_meanwhile_is_not_posted(sandbox: Running) -> None:
    sandbox.engage.add_schema(a_definition().content)

    assert created(sandbox, a_definition()) == Result("review", Status.UNCHANGED)
    other = created(sandbox, a_definition(x="string"))

    assert other.status is Status.REFUSED
    assert sandbox.requests.count("POST /interactionschemas") == 0


def test_what_is_created_is_read_back(sandbox: Running) -> None:
    assert created(sandbox, a_definition()) == Result("review", Status.CREATED)
    assert [e.route for e in sandbox.requests.entries()] == [
        "GET /interactionschemas/{id}",
        "POST /interactionschemas",
        "GET /interactionschemas/{id}",
    ]
