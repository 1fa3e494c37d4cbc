"""Makes DAGs of a project: one for each destination and schedule, one task for each activation.

Only the configuration is read, by `connector plan`: where DAGs are parsed there is neither a secret
nor a warehouse.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from re import sub
from typing import Any

from airflow.sdk import DAG, Asset

from engage_connector_airflow.operators import ConnectorSyncOperator
from engage_connector_airflow.process.planned import Planned, read_plan

try:
    from airflow.sdk import CronTriggerTimetable, DeltaTriggerTimetable
except ImportError:  # before Airflow 3.2
    from airflow.timetables.trigger import CronTriggerTimetable, DeltaTriggerTimetable

POOL = "connector_{key}"
"""Of which fields of the plan the name of a pool is made: what shares a key shares a pool."""
TRIES: Mapping[str, Any] = {
    "retries": 3,
    "retry_delay": timedelta(minutes=1),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=15),
}
"""For what stood in the way outside; what a retry cannot help is not tried again."""
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
"""Before any turn; what was missed is made up for by one sync, so no turn is caught up on."""


def connector_dags(
    config: str,
    *,
    python: str | None = None,
    prefix: str = "connector",
    pool: str | None = POOL,
    dbt_asset: Callable[[str], Asset] | None = None,
    dag: Mapping[str, Any] | None = None,
    **operator: Any,
) -> dict[str, DAG]:
    """The DAGs of the project of `config`, by id, for `globals().update(…)`.

    `python`: the interpreter whose connector reads the plan, and runs the syncs. `pool`: how pools
    are named, `python -m engage_connector_airflow` prints them for `airflow pools import`; None:
    the default pool. `dbt_asset`: the asset of a dbt model by its name, which becomes the inlet of
    what reads it. `dag` and `operator` are handed on to each DAG and each task. Activations that
    the configuration pauses are left out. Raises NotPlanned.
    """
    together: dict[tuple[str, str | None, str | None], list[Planned]] = {}
    for each in read_plan(config, python):
        if not each.paused:
            group = (each.destination, each.schedule, each.timezone)
            together.setdefault(group, []).append(each)
    dags = {}
    for (destination, schedule, zone), activations in together.items():
        dag_id = _slug(f"{prefix}_{destination}_{_when(schedule, zone)}")
        options = {"max_active_runs": 1, **(dag or {})}
        tags = sorted({"connector", destination, *(t for each in activations for t in each.tags)})
        with DAG(
            dag_id,
            schedule=_timetable(activations[0]),
            start_date=BEGINNING,
            catchup=False,
            tags=tags,
            **options,
        ) as made:
            for each in activations:
                given = _task(each, pool, dbt_asset)
                ConnectorSyncOperator(config=config, python=python, **{**given, **operator})
        dags[dag_id] = made
    return dags


def pools(
    config: str, *, python: str | None = None, pool: str = POOL, slots: int = 2
) -> dict[str, dict[str, Any]]:
    """The pools that the DAGs of a project name, as `airflow pools import` reads them."""
    found: dict[str, set[str]] = {}
    for each in read_plan(config, python):
        found.setdefault(pool.format_map(_fields(each)), set()).add(each.destination)
    return {
        name: {
            "slots": slots,
            "description": f"syncs to {', '.join(sorted(destinations))}",
            "include_deferred": False,
        }
        for name, destinations in found.items()
    }


def asset_of(planned: Planned) -> Asset:
    """What a sync of an activation brings up to date."""
    place = f"{planned.destination}/{planned.name}"
    return Asset(name=f"connector/{place}", uri=f"connector://{place}", group="connector")


def _task(
    planned: Planned, pool: str | None, dbt_asset: Callable[[str], Asset] | None
) -> dict[str, Any]:
    inlets = [dbt_asset(planned.dbt)] if dbt_asset and planned.dbt else []
    own = {} if pool is None else {"pool": pool.format_map(_fields(planned))}
    return {
        "task_id": planned.name,
        "activation": planned.name,
        "destination": planned.destination,
        "owner": planned.owner or "airflow",
        "max_active_tis_per_dag": 1,
        "inlets": inlets,
        "outlets": [asset_of(planned)],
        **TRIES,
        **own,
    }


def _fields(planned: Planned) -> dict[str, Any]:
    return {name: getattr(planned, name) for name in planned.__slots__}


def _timetable(planned: Planned) -> Any:
    if planned.every is not None:
        return DeltaTriggerTimetable(planned.every)
    if planned.cron is not None:
        return CronTriggerTimetable(planned.cron, timezone=planned.timezone or "UTC")
    return None


def _when(schedule: str | None, zone: str | None) -> str:
    """A schedule as part of an id; a cron expression by a digest, since most of it is not
    allowed there."""
    if schedule is None:
        return "by_hand"
    if schedule.startswith("every "):
        return schedule
    text = f"{schedule} {zone}"
    return f"cron_{blake2b(text.encode(), digest_size=4).hexdigest()}"


def _slug(text: str) -> str:
    return sub(r"[^\w.-]+", "_", text)
