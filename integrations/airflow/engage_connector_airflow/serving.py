"""Lets a `connector serve` run an activation, and waits for the end without a worker's slot.

Its ends become what those of a sync become; a key of the destination is nowhere in Airflow.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import httpx
from airflow.sdk import BaseHook, BaseOperator
from airflow.triggers.base import BaseTrigger, TriggerEvent

from engage_connector_airflow.operators import conclude
from engage_connector_airflow.process.command import Ended
from engage_connector_airflow.process.outcome import On, counts_of, judge, tag_of

if TYPE_CHECKING:
    from airflow.sdk import Context

PATIENCE = 30.0
"""Seconds for one answer."""
MISSES = 60
"""Answers in a row that may be missing before the task is tried again."""
REFUSED = (401, 403, 404)
"""What does not become better by itself, where no document says more."""


class ConnectorServeOperator(BaseOperator):
    """One run of one activation by `connector serve`. To try it again is safe.

    :param activation: its name.
    :param conn_id: the connection that says where `connector serve` is: host, port, schema (`http`
        when left out), and its token as the password.
    :param limit: the most rows to send.
    :param on_held: what the task becomes of a run that waits for an approval.
    :param on_attention: what it becomes when something waits for a person.
    :param every: seconds between two questions after the run.
    :param tag: the mark of the run; that of the DAG run when left out.

    A task that is killed leaves the run to `serve`, which goes on with it.
    """

    template_fields: Sequence[str] = ("activation", "conn_id", "tag")
    ui_color = "#d4f0e3"

    def __init__(
        self,
        *,
        activation: str,
        conn_id: str,
        limit: int | None = None,
        on_held: On = "skip",
        on_attention: On = "succeed",
        every: float = 5.0,
        tag: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.activation = activation
        self.conn_id = conn_id
        self.limit = limit
        self.on_held = on_held
        self.on_attention = on_attention
        self.every = every
        self.tag = tag

    def execute(self, context: "Context") -> None:
        """Ask for a run, and wait for it elsewhere."""
        tag = self.tag or tag_of("airflow", str(context["dag"].dag_id), str(context["run_id"]))
        asked: dict[str, Any] = {"tag": tag, "by": "airflow"}
        asked |= {} if self.limit is None else {"limit": self.limit}
        place = place_of(BaseHook.get_connection(self.conn_id))
        try:
            with httpx.Client(**place) as client:
                answer = client.post(f"/api/sync/{self.activation}", json=asked)
        except httpx.HTTPError as error:
            self._end(_no_answer(str(error) or type(error).__name__))
            return
        said = _document(answer)
        run_id = said.get("run_id")
        if answer.status_code != 202 or not run_id:
            self._end(_refusal(answer))
        has = "waits for its place" if said.get("waits_for_place") else "has begun"
        self.log.info("run %s of %s %s", run_id, self.activation, has)
        waiting = RunTrigger(conn_id=self.conn_id, run_id=str(run_id), every=self.every)
        self.defer(trigger=waiting, method_name="ended")

    def ended(self, context: "Context", event: Mapping[str, Any]) -> dict[str, Any]:
        """End as the run has ended."""
        run: Mapping[str, Any] = event if "error" not in event or "run_id" in event else {}
        counts = {"activation": self.activation, "run_id": run.get("run_id"), **counts_of(run)}
        context["ti"].xcom_push(key="counts", value=counts)
        self._end({"runs": [run]} if run else event)
        return counts

    def _end(self, document: Mapping[str, Any]) -> None:
        outcome = judge(Ended(0, document), self.on_held, self.on_attention)
        conclude(outcome, self.log.warning)


class RunTrigger(BaseTrigger):
    """Waits for the end of a run. Its event is the run, or an error when nobody answers."""

    def __init__(self, conn_id: str, run_id: str, every: float) -> None:
        super().__init__()
        self.conn_id = conn_id
        self.run_id = run_id
        self.every = every

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """How another process makes it anew: without the token."""
        given = {"conn_id": self.conn_id, "run_id": self.run_id, "every": self.every}
        return f"{__name__}.RunTrigger", given

    async def run(self) -> AsyncIterator[Any]:
        """Ask until the run has ended."""
        place, missed = place_of(await BaseHook.aget_connection(self.conn_id)), 0
        async with httpx.AsyncClient(**place) as client:
            while missed < MISSES:
                try:
                    answer = await client.get(f"/api/runs/{self.run_id}")
                    run = _document(answer) if answer.status_code == 200 else {}
                except httpx.HTTPError:
                    run = {}
                if run and run.get("status") != "running":
                    yield TriggerEvent(dict(run))
                    return
                missed = 0 if run else missed + 1
                await asyncio.sleep(self.every)
        yield TriggerEvent(dict(_no_answer(f"nothing was heard of run {self.run_id}")))


def place_of(connection: Any) -> dict[str, Any]:
    """What a client is told of where `connector serve` is."""
    host = connection.host or "127.0.0.1"
    schema = connection.schema or "http"
    address = host if "://" in host else f"{schema}://{host}:{connection.port or 8700}"
    token = connection.password
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return {"base_url": address, "headers": headers, "timeout": PATIENCE}


def _document(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _refusal(answer: httpx.Response) -> Mapping[str, Any]:
    """The error that `serve` tells, or what its status means."""
    document = _document(answer)
    if isinstance(document.get("error"), dict):
        return document
    kind = "configuration" if answer.status_code in REFUSED else "destination"
    message = f"connector serve has answered with {answer.status_code}"
    return {"error": {"kind": kind, "message": message, "retryable": kind != "configuration"}}


def _no_answer(why: str) -> Mapping[str, Any]:
    message = f"connector serve gives no answer: {why}"
    return {"error": {"kind": "serve", "message": message, "retryable": True}}
