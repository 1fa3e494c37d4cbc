"""Makes an asset of each activation, with a check that nothing waits for a person.

=======================================  ===================================================
the sync                                 the step
=======================================  ===================================================
succeeded                                materialized, with its counts
attention                                materialized; the check warns
held                                     failed without a retry, or what `on_held` says
paused                                   nothing is materialized, and nothing failed
busy, destination, warehouse, ledger     tried again, as the retry policy says
interrupted, killed                      tried again
key_refused, configuration, defect       failed without a retry: it would end like this again
=======================================  ===================================================
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from re import compile as pattern
from re import sub
from typing import Any

import dagster as dg

from engage_connector_dagster.process.outcome import (
    On,
    Outcome,
    Verdict,
    counts_of,
    judge,
    sync_arguments,
    tag_of,
)
from engage_connector_dagster.process.planned import Planned, read_plan
from engage_connector_dagster.resource import ConnectorResource

POOL = "connector_{key}"
"""Of which fields of the plan the name of a pool is made: what shares a key shares a pool."""
TRIES = dg.RetryPolicy(max_retries=3, delay=30, backoff=dg.Backoff.EXPONENTIAL)
"""For what stood in the way outside; what a retry cannot help says so itself."""
WAITING = ("invalid", "rejected", "in_doubt")
TAG = pattern(r"[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?")
"""What Dagster takes for one; any other is left out."""
CHECK = "nothing_waits_for_a_person"


@dataclass(frozen=True, slots=True)
class ConnectorAssets:
    """What `dg.Definitions` is given: the assets of a project, and their checks."""

    assets: list[Any] = field(default_factory=list)
    checks: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Ways:
    """How the syncs of a project are run."""

    pool: str | None
    retry_policy: dg.RetryPolicy | None
    budget: float | None
    on_held: On


def connector_assets(
    config: str,
    *,
    python: str | None = None,
    dbt_key: Callable[[str], dg.AssetKey] = lambda model: dg.AssetKey([model]),
    pool: str | None = POOL,
    retry_policy: dg.RetryPolicy | None = TRIES,
    budget: float | None = None,
    on_held: On = "fail",
) -> ConnectorAssets:
    """An asset for each activation of the project of `config` that it does not pause.

    `python`: the interpreter whose connector reads the plan; the resource says which one syncs.
    `dbt_key`: the key of the asset of a dbt model by its name, which is upstream of what reads it.
    `pool`: how concurrency pools are named. `budget`: seconds after which a sync ends in order.
    Reads the configuration only. Raises NotPlanned.
    """
    ways = Ways(pool, retry_policy, budget, on_held)
    made = ConnectorAssets()
    for each in read_plan(config, python):
        if not each.paused:
            upstream = [dbt_key(each.dbt)] if each.dbt else []
            made.assets.append(_asset(each, upstream, ways))
            made.checks.append(_check(each))
    return made


def key_of(planned: Planned) -> dg.AssetKey:
    """The key of the asset of an activation."""
    return dg.AssetKey(["connector", planned.destination, planned.name])


def _asset(planned: Planned, upstream: list[dg.AssetKey], ways: Ways) -> Any:
    pool = None if ways.pool is None else ways.pool.format_map(_fields(planned))

    @dg.asset(
        key=key_of(planned),
        deps=upstream,
        group_name=sub(r"\W", "_", f"connector_{planned.destination}"),
        kinds={"reverse_etl"},
        tags={tag: "" for tag in planned.tags if TAG.fullmatch(tag)},
        pool=pool,
        retry_policy=ways.retry_policy,
        output_required=False,
    )
    def sync(
        context: dg.AssetExecutionContext, connector: ConnectorResource
    ) -> Iterator[dg.MaterializeResult[Any]]:
        yield from _synced(planned, context, connector, ways)

    return sync


def _synced(
    planned: Planned, context: dg.AssetExecutionContext, connector: ConnectorResource, ways: Ways
) -> Iterator[dg.MaterializeResult[Any]]:
    """Sync, and end as it ended."""
    tag = tag_of("dagster", context.run_id)
    process = connector.connector(context.log.info)
    line = sync_arguments(planned.name, tag=tag, budget=ways.budget)
    outcome = judge(process.run(*line), ways.on_held)
    told: Mapping[str, Any] = outcome.run
    if context.retry_number:
        totals = process.run("runs", planned.name, "--tag", tag).document.get("totals")
        told = totals or told
    facts = _facts(outcome, {**counts_of(told), "tag": tag})
    match outcome.verdict:
        case Verdict.SKIP:
            context.log.warning(outcome.why)
            return
        case Verdict.RETRY:
            raise dg.Failure(outcome.why, metadata=facts)
        case Verdict.FAIL:
            raise dg.Failure(outcome.why, metadata=facts, allow_retries=False)
        case Verdict.WARN:
            context.log.warning(outcome.why)
    yield dg.MaterializeResult(metadata=facts)


def _check(planned: Planned) -> Any:
    @dg.asset_check(asset=key_of(planned), name=CHECK)
    def waits(
        context: dg.AssetCheckExecutionContext, connector: ConnectorResource
    ) -> dg.AssetCheckResult:
        document = connector.run("status", planned.name, log=context.log.info)
        if "activations" not in document:
            error = document.get("error", {"message": "the connector told nothing"})
            raise dg.Failure(error["message"])
        (activation,) = document["activations"]
        counts = {state: activation["counts"].get(state, 0) for state in WAITING}
        held = activation["held"]
        return dg.AssetCheckResult(
            passed=not held and not any(counts.values()),
            severity=dg.AssetCheckSeverity.WARN,
            description=f"held: {held}" if held else None,
            metadata=counts,
        )

    return waits


def _facts(outcome: Outcome, counts: Mapping[str, Any]) -> dict[str, Any]:
    """What Dagster shows of a sync: what is known of it."""
    run = {name: outcome.run.get(name) for name in ("run_id", "status", "kind", "watermark")}
    return {name: value for name, value in {**run, **counts}.items() if value is not None}


def _fields(planned: Planned) -> dict[str, Any]:
    return {name: getattr(planned, name) for name in planned.__slots__}
