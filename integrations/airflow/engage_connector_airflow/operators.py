"""Runs one sync of one activation as a task, and makes of its end what Airflow understands.

=======================================  ===================================================
the sync                                 the task
=======================================  ===================================================
succeeded                                success
attention                                success with a warning, or what `on_attention` says
held                                     skipped, or what `on_held` says
paused                                   skipped
busy, destination, warehouse, ledger     tried again, as `retries` say
interrupted, killed                      tried again
key_refused, configuration, defect       failed at once: it would end like this again
its `budget` is over                     success with `done: false`, or `on_budget: again`
=======================================  ===================================================
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import BaseHook, BaseOperator

from engage_connector_airflow.lineage import lineage
from engage_connector_airflow.process.command import GRACE, Connector
from engage_connector_airflow.process.outcome import (
    On,
    Outcome,
    Verdict,
    counts_of,
    judge,
    sync_arguments,
    tag_of,
)

try:
    from airflow.sdk.exceptions import (
        AirflowException,
        AirflowFailException,
        AirflowRescheduleException,
        AirflowSkipException,
    )
except ImportError:  # Airflow 3.1 has them elsewhere
    from airflow.exceptions import (
        AirflowException,
        AirflowFailException,
        AirflowRescheduleException,
        AirflowSkipException,
    )

if TYPE_CHECKING:
    from airflow.sdk import Context

OnBudget = Literal["succeed", "again"]


class ConnectorSyncOperator(BaseOperator):
    """One sync of one activation. To try it again is safe: it settles what an earlier try left.

    :param activation: its name.
    :param config: the path of `activations.yaml`.
    :param python: the interpreter of the environment that the connector is installed in; Airflow's
        own when left out.
    :param conn_ids: variable to connection: its password stands in the environment of the sync
        alone, e.g. ``{"ENGAGE_API_KEY": "engage_acme"}``.
    :param env: more variables, which are no secrets: Airflow shows them.
    :param budget: how long the sync may take, in seconds or as a timedelta; then it ends in order.
    :param on_budget: ``succeed`` with ``done: false``, or ``again``: another one begins at once,
        with the pool's slot given back between them, until nothing is left.
    :param limit: the most rows to send.
    :param full: read the whole model.
    :param on_held: what the task becomes of a run that waits for an approval.
    :param on_attention: what it becomes when something waits for a person.
    :param grace: seconds for a sync to end in order, when the task is killed.
    :param tag: the mark of the runs; that of the DAG run when left out.
    :param reads: the datasets that OpenLineage is told as inputs, ``(namespace, name)`` each.
    :param destination: what OpenLineage is told as the place of the output.

    Returns, and hands on as the XCom ``counts``, what all tries of the DAG run have done together.
    """

    template_fields: Sequence[str] = ("activation", "config", "env", "conn_ids", "tag")
    ui_color = "#d4f0e3"

    def __init__(
        self,
        *,
        activation: str,
        config: str,
        python: str | None = None,
        conn_ids: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
        budget: float | timedelta | None = None,
        on_budget: OnBudget = "succeed",
        limit: int | None = None,
        full: bool = False,
        on_held: On = "skip",
        on_attention: On = "succeed",
        grace: float = GRACE,
        tag: str | None = None,
        reads: Sequence[tuple[str, str]] = (),
        destination: str = "engage",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.activation = activation
        self.config = config
        self.python = python
        self.conn_ids = dict(conn_ids or {})
        self.env = dict(env or {})
        self.budget = budget.total_seconds() if isinstance(budget, timedelta) else budget
        self.on_budget = on_budget
        self.limit = limit
        self.full = full
        self.on_held = on_held
        self.on_attention = on_attention
        self.grace = grace
        self.tag = tag
        self.reads = list(reads)
        self.destination = destination
        self._connector: Connector | None = None
        self._told: Mapping[str, Any] = {}

    def execute(self, context: "Context") -> dict[str, Any]:
        """Sync, and end as it ended."""
        tag = self.tag or tag_of("airflow", str(context["dag"].dag_id), str(context["run_id"]))
        connector = self._connector = Connector(
            self.config, self.python, self.env, self._secrets(), self.grace, self.log.info
        )
        sync = partial(sync_arguments, self.activation, tag=tag, budget=self.budget)
        ended = connector.run(*sync(limit=self.limit, full=self.full))
        outcome = judge(ended, self.on_held, self.on_attention)
        self._told = counts = self._counts(connector, outcome, tag, context)
        context["ti"].xcom_push(key="counts", value=counts)
        self.log.info("%s", counts)
        conclude(outcome, self.log.warning)
        if self.on_budget == "again" and self.budget and outcome.run.get("done") is False:
            raise AirflowRescheduleException(datetime.now(UTC) + timedelta(seconds=1))
        return counts

    def on_kill(self) -> None:
        """The sync ends in order: what is on the wire is answered and recorded."""
        if self._connector is not None:
            self._connector.stop()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """What it has read, where it has sent to, and how many rows."""
        return lineage(self.reads, self.destination, self.activation, self._told)

    def _secrets(self) -> dict[str, str]:
        """The passwords of connections, by the names of variables."""
        secrets = {}
        for variable, conn_id in self.conn_ids.items():
            try:
                password = BaseHook.get_connection(conn_id).password
            except Exception as error:  # whatever a secrets backend raises
                if type(error).__name__ != "AirflowNotFoundException":
                    raise
                raise AirflowFailException(f"there is no connection {conn_id}") from None
            if not password:
                raise AirflowFailException(f"the connection {conn_id} has no password")
            secrets[variable] = str(password)
        return secrets

    def _counts(
        self, connector: Connector, outcome: Outcome, tag: str, context: "Context"
    ) -> dict[str, Any]:
        """Those of the run, or of all runs with the tag once there were more."""
        told: Mapping[str, Any] = outcome.run
        if self.on_budget == "again" or context["ti"].try_number > 1:
            ended = connector.run("runs", self.activation, "--tag", tag)
            told = ended.document.get("totals") or told
        about = {"activation": self.activation, "run_id": outcome.run.get("run_id"), "tag": tag}
        return {**about, "status": outcome.run.get("status"), **counts_of(told)}


def conclude(outcome: Outcome, warn: Callable[[str], object]) -> None:
    """Raise what Airflow understands of an end that is no success, `warn` of one that is nearly."""
    match outcome.verdict:
        case Verdict.SKIP:
            raise AirflowSkipException(outcome.why)
        case Verdict.RETRY:
            raise AirflowException(outcome.why)
        case Verdict.FAIL:
            raise AirflowFailException(outcome.why)
        case Verdict.WARN:
            warn(outcome.why)
