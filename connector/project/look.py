"""Look at what is configured, recorded and delivered: check, preview, verify. Writes nothing."""

import asyncio
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from connector.destinations.port import Capabilities, Proof, References, lacks
from connector.ledger.reports import Reports
from connector.project.app import App
from connector.project.apprised import unreachable
from connector.project.dbt import gate_of, told_of
from connector.project.measured import check_measured, read_behaviour
from connector.project.receipts import key_file
from connector.project.reporting import known_run, per_contact_document, rhythm_and_zone
from connector.rules import clocks
from connector.rules.activation import Activation
from connector.rules.approval import what_goes
from connector.rules.deed import Document
from connector.rules.delivery import PATIENCE
from connector.rules.due import next_run
from connector.rules.errors import ConfigurationError, ConnectorError, LedgerUnavailable
from connector.rules.hold import Hold
from connector.rules.interaction import instant_text
from connector.rules.lanes import lane_of, lane_text
from connector.rules.needs import needs_of_project
from connector.rules.schema import InteractionSchema
from connector.rules.turns import cap_of
from connector.rules.window import window_of, window_text
from connector.rules.words import minute_text, percent
from connector.schemas import files
from connector.sync import preview as previewing
from connector.sync.check import (
    Check,
    Checked,
    Finding,
    Level,
    check_model,
    check_wait,
    findings_of,
)
from connector.sync.elsewhere import recorded_elsewhere, sending_alike
from connector.sync.foreseen import Foreseen
from connector.sync.lookup import contacts_of
from connector.sync.outlook import Stands
from connector.sync.preflight import preflight, refuse_misfits
from connector.sync.preview import Forecast, Preview
from connector.sync.preview_mirror import preview_mirror
from connector.sync.reading import Source, plan
from connector.sync.samples import deletions, samples
from connector.sync.scope import OfRun
from connector.sync.taking_back import told as told_of_stuck
from connector.sync.verify import PRUNED, Verification, Verifying
from connector.sync.verify_requests import AskingAnew
from connector.sync.verify_taken_back import LookingForTakenBack

OTHERS = stat.S_IRGRP | stat.S_IROTH | stat.S_IWGRP | stat.S_IWOTH
LEDGER_IS_FINE = "the ledger can be written"


# --- preview ------------------------------------------------------------------------------------


async def preview(app: App, activation: Activation, show: int, offline: bool) -> Forecast:
    """What a sync would do, with the first `show` requests."""
    app.only_look()
    name = app.settings.project.destination_of(activation)
    await asyncio.to_thread(_refuse_another, app, activation)
    async with app.destination(name) as client:
        if offline:
            if client.can.keeps_schemas:
                schema = files.local_schema(app.settings.base, activation.target)
            else:
                schema = client.shape(activation)
            if schema:
                refuse_misfits(activation, schema)
        else:
            schema = await preflight(activation, client)
        result, now = await asyncio.to_thread(_preview, app, activation, schema, show, client.can)
        contacts = None
        if activation.contact.table or not offline:
            cache = app.contact_cache(activation)
            read = partial(_read_cache, app)
            contacts = contacts_of(activation, app.warehouse(), client, cache, read)
        sent = await samples(result, activation, client, contacts, _origin(app, activation))
        gone = deletions(result, client)
        # of both something is shown
        requests = [*gone[: max(show - len(sent), (show + 1) // 2)], *sent][:show]
        together = client.can.rows_per_request
        if contacts is not None and activation.limits.matched is not None:
            await result.look_up(contacts)
        result.foresee(activation, now)
    rate = app.settings.project.destinations[name].requests_per_second
    look_ups = activation.contact.table is None
    seconds = result.estimated_seconds(rate, look_ups)
    cap, waiting = cap_of(activation), result.turns and result.turns.waiting
    per_contact = None
    if cap and waiting:
        per_contact = {**per_contact_document(cap, waiting), "now": result.now}
    return Forecast(result, requests, seconds, together, per_contact)


def _origin(app: App, activation: Activation) -> str:
    """The name under which it was, or will be, recorded first."""
    before = [name for name in (activation.name, activation.renamed_from) if isinstance(name, str)]
    with app.reports() as reports:
        return next((found for name in before if (found := reports.origin(name))), activation.name)


async def _read_cache(
    app: App, destination: str, digests: list[str], span: timedelta
) -> dict[str, str]:
    with app.reports() as reports:
        return await asyncio.to_thread(reports.contacts, destination, digests, span)


def _preview(
    app: App, activation: Activation, schema: InteractionSchema | None, show: int, can: Capabilities
) -> tuple[Preview, Stands]:
    cache = app.contact_cache(activation)
    with _source(app, activation, schema) as source:
        now = stands(app, activation, source.memory, app.put_back())
        if activation.mirrors:
            found = preview_mirror(source, show, cache, can.shows, now.covers)
        else:
            found = previewing.preview(source, show, cache)
            if now.reads_no_more:
                found.leave_new()
        if now.first or "model" in found.edited:
            others = partial(_others, app, activation, source.memory)
            found.elsewhere = recorded_elsewhere(plan(source), source.memory, now, others)
        known = source.memory.knows_references(activation.name)
        found.first_alone = can.proof is Proof.REQUEST and known is False
        return found, now


@contextmanager
def _source(
    app: App, activation: Activation, schema: InteractionSchema | None
) -> Iterator[Source[Reports]]:
    """The model, and what is remembered of it, as the next run finds both."""
    with app.source(activation, schema) as source:
        found = Foreseen.of(source.memory, activation.name, app.identity(activation))
        yield replace(source, memory=found)


def _others(app: App, activation: Activation, reports: Reports) -> Sequence[str]:
    """The activations that send rows to where it does, under the same row key."""
    return sending_alike(reports, activation.name, app.identity(activation))


def _refuse_another(app: App, activation: Activation) -> None:
    """Raises ConfigurationError when the activation has become another one under its name."""
    with app.reports() as reports:
        if problems := reports.identity_problems(activation.name, app.identity(activation)):
            raise ConfigurationError(*problems)


def _closed(app: App, activation: Activation) -> str | None:
    """That the send window is closed, in words; None where rows may be sent."""
    window, now = window_of(activation, app.settings.project.warehouse.timezone), clocks.wall()
    if window is None or window.is_open(now):
        return None
    opens = window.opens_at(now)
    return f"outside its send window, which opens at {instant_text(opens) if opens else 'no time'}"


def stands(app: App, activation: Activation, reports: Reports, put_back: str | None) -> Stands:
    """How an activation stands before a run. `put_back`: what says that the ledger was."""
    name, hindrance = activation.name, app.trouble_writing()
    if busy := reports.holder(name):
        hindrance = hindrance or f"{busy} holds it now; a run would be refused until that ends"
    paused = {each.name: remedy for each, remedy in app.paused([activation], reports)}
    held, same = _held(app, activation, reports)
    cap, resting = cap_of(activation), reports.resting_before(name, PATIENCE)
    return Stands(
        hindrance=hindrance,
        paused=paused.get(name),
        held=held,
        first=not reports.watermark(name)[1],
        suspect=put_back is not None or reports.is_suspect(name),
        counts=reports.counts(name),
        in_line=reports.waiting_for_turn(name, cap).pending if cap else 0,
        closed=_closed(app, activation),
        approved=_approved(reports, name) if held and same else None,
        mirrors=activation.mirrors,
        resting=resting,
        otherwise=reports.note if isinstance(reports, Foreseen) else None,
    )


def _held(app: App, activation: Activation, reports: Reports) -> tuple[Hold | None, bool]:
    """What would hold a run: what is on record, or what dbt has built; and whether an approval that
    stands can be of that."""
    held, gate = reports.hold(activation.name), gate_of(app.settings, activation)
    if gate is None or (held and not held.build):
        return held, True
    barred = gate.look(reports.known_relation(activation.name), clocks.wall()).barred
    if barred is None:
        return None, True
    said = f"held: {barred.short}. It goes on by itself once that is mended"
    same = held is not None and held.about == barred.about
    return Hold(0, 0, 0, build=said, about=barred.about), same


def _approved(reports: Reports, name: str) -> str | None:
    """Who has approved what is held; None where nobody has, or where it is not that any more."""
    approval = reports.standing_approval(name)
    held = reports.held_run(name) if approval else None
    if approval is None or held is None or approval.digest != held.rows.digest:
        return None
    until = f" until {instant}" if (instant := approval.document()["expires_at"]) else ""
    return (
        f"it is held, and approved by {approval.by}{until}: the next run does exactly what was"
        f" shown ({what_goes(held.counts)})"
    )


# --- check --------------------------------------------------------------------------------------


async def check(app: App, activations: Sequence[Activation], named: bool) -> Check:
    """What stands in the way of each of `activations`; `named`: somebody wants just these."""
    app.only_look()
    found: dict[str, Checked] = {}
    trouble = await asyncio.to_thread(app.trouble_writing)
    put_back = None if trouble else await asyncio.to_thread(app.put_back)
    left, unreadable = await asyncio.to_thread(_left_behind, app)
    if trouble and unreadable and trouble.rpartition(": ")[2] in unreadable:
        trouble = unreadable  # the same, as all who read it say it: told once
    ledger = Finding(*(Level.OUTSIDE, trouble) if trouble else (Level.OK, LEDGER_IS_FINE))
    for activation in activations:
        schema, findings, stopped_by = await _check_destination(app, activation)
        checked = await asyncio.to_thread(_check_model, app, activation, schema, named, put_back)
        if stopped_by and checked.outlook:
            checked = replace(checked, outlook=checked.outlook.stopped(stopped_by))
        findings = [*findings, *_of_dbt(app, activation), *checked.findings]
        if not found:  # of the project, not of one activation: told once
            findings += [*_from_backup(put_back), *left]
            findings += [*_exposed(app), *_cautions(app), *_alerts(app)]
        if ledger not in findings:
            findings.append(ledger)
        once = [each for n, each in enumerate(findings) if each not in findings[:n]]
        told = [_with_its_place(app, finding) for finding in once]
        found[activation.name] = replace(checked, findings=told)
    return Check(found)


def _of_dbt(app: App, activation: Activation) -> list[Finding]:
    """What dbt says of the model, where it is one of dbt's. That it cannot be found is told where
    the model is looked at."""
    try:
        told = list(told_of(app.settings, activation))
    except ConfigurationError:
        return []
    path = ("activations", activation.name, "row_key")
    return [
        Finding(Level.ADVICE, text, path) if advice else Finding(Level.OK, text)
        for advice, text in told
    ]


def _with_its_place(app: App, finding: Finding) -> Finding:
    """`finding` with where in the configuration it belongs."""
    if not finding.path:
        return finding
    mark = app.settings.mark(finding.path)
    message = f"{finding.message} ({mark.file.name}:{mark.line}:{mark.column})"
    return replace(finding, message=message, mark=mark)


def _from_backup(put_back: str | None) -> list[Finding]:
    """Why it is told of each activation that rows are read back, before a run has marked them."""
    text = f"the ledger seems to be from a backup: {put_back}; the next run marks what is in doubt"
    return [Finding(Level.ADVICE, text)] if put_back else []


def _left_behind(app: App) -> tuple[list[Finding], str | None]:
    """Rows that wait of activations that nothing configures; or why the ledger cannot be read."""
    try:
        with app.amiss() as amiss:
            left = amiss.left_behind(app.settings.project.activations)
    except LedgerUnavailable as error:
        return [], str(error)
    found = [f"{need.text} ({need.command})" for need in needs_of_project((), None, left)]
    return [Finding(Level.ADVICE, text) for text in found], None


def _exposed(app: App) -> list[Finding]:
    """Files that others can read: keys, identifiers of contacts, what stands beside the ledger."""
    url = app.ledger_url
    file = Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
    beside = sorted(file.parent.glob(f"{file.name}*")) if file else []
    alone = [app.generation_file(url).path, key_file(app)]
    secret = dict.fromkeys([app.settings.base / ".env", *beside, *alone])
    return [
        Finding(
            Level.ADVICE,
            f"others on this machine can read {path}, which holds keys, or what is to be sent"
            f" of contacts: chmod 600 {path}",
        )
        for path in secret
        if _is_open_to_others(path)
    ]


def _alerts(app: App) -> list[Finding]:
    """Alerts that nobody would get. A sync works without them."""
    alerts = app.settings.project.alerts
    lost = [(number, each, unreachable(each)) for number, each in enumerate(alerts)]
    return [
        Finding(
            Level.ADVICE,
            f"alert {number + 1} ({each.called}) reaches nobody: {why}",
            ("alerts", number),
        )
        for number, each, why in lost
        if why
    ]


def _cautions(app: App) -> list[Finding]:
    """What this kind of warehouse, or its driver, cannot do."""
    told = app.warehouse().cautions()
    return [Finding(Level.ADVICE, each, ("warehouse", "url")) for each in told]


def _is_open_to_others(file: Path) -> bool:
    """Whether `file` is there, and somebody else than its owner may read or write it. Systems
    without such rights have no such files."""
    try:
        return os.name == "posix" and bool(file.stat().st_mode & OTHERS)
    except OSError:
        return False


async def _check_destination(
    app: App, activation: Activation
) -> tuple[InteractionSchema | None, list[Finding], str | None]:
    """Its schema, what was found, and what there stops any run before it reads its model."""
    name = app.settings.project.destination_of(activation)
    settings = app.settings.project.destinations[name]
    wait = list(check_wait(name, settings.timeout, settings.settle_after))
    try:
        wait += await asyncio.to_thread(_measured, app, name)
    except ConnectorError as error:
        wait += findings_of(error)
    try:
        async with app.destination(name) as client:
            schema = await preflight(activation, client)
            place = ("destinations", name, "url")
            wait += [Finding(Level.ADVICE, remark, place) for remark in client.remarks]
    except ConnectorError as error:
        found = findings_of(error)
        return None, found + wait, "; ".join(each.message for each in found)
    can = app.can(name)
    has = f' and has the schema "{schema.id}"' if can.keeps_schemas else ""
    message = f"the destination accepts the {settings.secret_word.rpartition(' ')[2]}{has}"
    missing = [Finding(Level.OK, f"at this destination {sentence}") for sentence in lacks(can)]
    missing += await asyncio.to_thread(_verified_by_itself, app, activation)
    missing += _when_and_how_much(app, activation)
    return schema, [Finding(Level.OK, f"{message}; the mapping fits"), *missing, *wait], None


def _measured(app: App, name: str) -> list[Finding]:
    """What a probe of the destination says against how it is used."""
    settings = app.settings.project.destinations[name]
    with app.reports() as reports:
        known = reports.probes(settings.place).last()
    if known is None and settings.behaviour:
        known = read_behaviour(app.settings.base / settings.behaviour, name)
    return list(check_measured(name, settings.settle_after, known)) if known else []


def _verified_by_itself(app: App, activation: Activation) -> list[Finding]:
    """How often what was delivered is verified, and when it is due."""
    if activation.verify is None:
        return []
    rhythm, now = activation.verify.schedule, datetime.now(UTC)
    with app.reports() as reports:
        last = reports.last_receipt(activation.name)
    due = next_run(rhythm, activation.paused, last.began if last else None, now)
    when = "at once" if due is None or due <= now else minute_text(due)
    text = (
        f"what was delivered is verified {rhythm_and_zone(rhythm)} by `connector serve`: all that"
        f" is new, and {percent(activation.verify.sample)} of the rest; next {when}"
    )
    return [Finding(Level.OK, text)]


def _when_and_how_much(app: App, activation: Activation) -> list[Finding]:
    """When rows are sent, and how much of the requests they have."""
    found, now = [], clocks.wall()
    if window := window_of(activation, app.settings.project.warehouse.timezone):
        state, until = "open", window.closes_at(now)
        if not window.is_open(now):
            state, until = "closed", window.opens_at(now)
        text = f"rows are sent {window_text(window)}; the window is {state} now"
        found.append(f"{text}, until {instant_text(until)}" if until else text)
    if among := lane_text(lane_of(activation)):
        found.append(f"among activations that use the same credentials: {among}")
    return [Finding(Level.OK, text) for text in found]


def _check_model(
    app: App,
    activation: Activation,
    schema: InteractionSchema | None,
    named: bool,
    put_back: str | None,
) -> Checked:
    try:
        _refuse_another(app, activation)
        with _source(app, activation, schema) as source:
            now = stands(app, activation, source.memory, put_back)
            cache = app.contact_cache(activation)
            compare: Callable[[int], Preview] | None = None
            if activation.mirrors:
                shows = app.can(app.settings.project.destination_of(activation)).shows
                compare = partial(
                    preview_mirror, source, cache=cache, shows=shows, covers=now.covers
                )
            elif cap_of(activation):  # whose turn it is, all rows together say
                compare = partial(previewing.preview, source, cache=cache)
            others = partial(_others, app, activation, source.memory)
            checked = check_model(source, now, named, others, compare)
            called = app.called(app.settings.project.destination_of(activation))
            stuck = [
                Finding(Level.DATA, told_of_stuck(each, called))
                for each in source.memory.stuck(activation.name)
            ]
            return replace(checked, findings=[*checked.findings, *stuck])
    except ConnectorError as error:
        return Checked(findings_of(error))


# --- verify -------------------------------------------------------------------------------------


async def verify(
    app: App, run_id: str, share: float, progress: Callable[[int, int], None]
) -> tuple[Document, Verification]:
    """A run, and what the destination has of the rows that it delivered."""
    with app.reports() as reports:
        run = known_run(reports, run_id)
        name = run["activation"]
        identity = reports.identity(name)
        assert identity is not None  # written before the run was
        destination = app.home(name, identity).destination
        can, what = app.can(destination), "there what was delivered cannot be read back"
        by_request = not can.shows and (
            can.proof is Proof.REQUEST or (can.asks_requests and bool(reports.carriers(run_id)))
        )
        app.refuse_without(can.shows or by_request, destination, what)
        configured = app.settings.project.activations.get(name)
        if configured and configured.row_key != identity.row_key:
            configured = None  # its rows are others by now
        mirrored = run["removed"] or run["replaced"] or (configured and configured.mirrors)
        lag = app.settings.project.destinations[destination].settle_after
        async with app.destination(destination) as client:
            if by_request:
                references = References(reports.origin(name) or name, client.reference_prefix)
                found: Verification = await AskingAnew(
                    run_id, references, configured, reports, client, share, progress
                ).verify()
            else:
                found = await Verifying(
                    scope=OfRun(run_id),
                    activation=name,
                    target=identity.schema_id,
                    configured=configured,
                    reports=reports,
                    destination=client,
                    lag=lag,
                    share=share,
                    progress=progress,
                ).verify()
            if mirrored:
                await LookingForTakenBack(
                    run_id, reports, client, lag, found, share, progress
                ).look()
            _leave_out_pruned(reports, run, found)
            return run, found


def _leave_out_pruned(reports: Reports, run: Document, found: Verification) -> None:
    """What the run delivered and is pruned cannot be proven."""
    gone = reports.already_pruned(run["activation"])
    if not gone.before or datetime.fromisoformat(run["started_at"]) >= gone.before:
        return
    taken = run["undone"] + run["removed"] + run["replaced"]
    if (number := run["delivered"] - taken - found.rows) > 0:
        found.incomplete[PRUNED] += number
        found.examples.setdefault(PRUNED, "")
