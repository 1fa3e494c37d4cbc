"""Whether a run may read what dbt has built: the right target, the relation it was, and passed.

The one place where a build is judged; a run, `check`, `preview` and the page say the same with it.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from connector.basis import dataclass
from connector.rules.dbt.manifest import Manifest, Node, read_manifest, relation_of
from connector.rules.dbt.results import BUILT, PASSED, Results, instant_of, read_results
from connector.rules.errors import Path as KeyPath
from connector.rules.words import counted, span_text

MOST_NAMED = 3
GOES_ON = (
    ". Nothing was read; it goes on by itself once that is mended, and an approval lets it go"
    " as it is"
)


@dataclass(frozen=True, slots=True)
class Pinned:
    """Where the models of a target are; None: the adapter knows no such thing."""

    name: str
    database: str | None
    schema: str | None


@dataclass(frozen=True, slots=True)
class Taken:
    """What an earlier run has read: the relation that it took for a `model` of dbt."""

    model: str
    relation: str


@dataclass(frozen=True, slots=True)
class Barred:
    """Why a run may not read. `about`: just what it is that stands in the way, to be compared: an
    approval of one thing lets no other go."""

    reason: str
    about: str

    @property
    def short(self) -> str:
        """The reason without what follows from it for a run."""
        return self.reason.removeprefix("held: ").removesuffix(GOES_ON)


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of a build: which relation it is, and why it is not to be read."""

    node: Node
    taken: Taken
    barred: Barred | None = None


@dataclass(frozen=True, slots=True)
class Gate:
    """Judges the builds of what an activation reads: its `model`, and what `others` of dbt it looks
    up in. `path`: where the model stands in the configuration."""

    manifest: Path
    model: str
    others: Sequence[str] = ()
    pinned: Pinned | None = None
    passed: bool = False
    max_age: timedelta | None = None
    path: KeyPath = ()
    fresh: bool = False

    def look(self, before: Taken | None, now: datetime) -> Look:
        """What dbt's files say now; `before`: what the last run read. Raises ConfigurationError for
        a model that cannot be found."""
        manifest = read_manifest(self.manifest, self.path)
        wanted = [self.model, *self.others]
        nodes = [manifest.find(name, self.path) for name in wanted]
        relation_of(nodes[0], self.path)
        taken = Taken(self.model, relations(manifest, nodes[0]))
        found = [each for node in nodes for each in self._astray(manifest, node)]
        found += [] if found else _changed(before, taken)  # elsewhere is another place already
        if self.passed or self.max_age is not None:
            file = self.manifest.parent / "run_results.json"
            results = read_results(file, self.path)
            if results is None:
                text = f"there is no {file}, so no build is on record; `dbt build` writes it"
                found.append(Barred(text, "no results"))
            else:
                for node in nodes:
                    found += self._not_passed(manifest, node, results) if self.passed else []
                    found += self._too_old(manifest, node, results, now)
        if self.fresh:
            found += [each for node in nodes for each in self._not_fresh(manifest, node, now)]
        return Look(nodes[0], taken, _together(found))

    def _astray(self, manifest: Manifest, node: Node) -> Iterator[Barred]:
        """What is not in the database and the schema of the target."""
        pinned = self.pinned
        for built in built_nodes(manifest, node) if pinned else ():
            assert pinned is not None
            if not _is_in(built, pinned):
                there = ".".join(part for part in (pinned.database, pinned.schema) if part)
                yield Barred(
                    f'dbt\'s manifest has "{built.called}" at {built.relation}, and not in'
                    f" {there}, where the target {pinned.name} (dbt.target) builds: it was"
                    " written for another one, maybe by somebody else in the same folder; `dbt"
                    f" build --target {pinned.name}` mends it",
                    f"target {built.relation}",
                )

    def _not_passed(self, manifest: Manifest, node: Node, results: Results) -> Iterator[Barred]:
        about = f"results {results.invocation} {node.id}"
        if not results.builds:
            call = results.call
            yield Barred(
                f"the last call of dbt was `dbt {'docs generate' if call == 'generate' else call}`,"
                f" which builds nothing and has written over {results.file.name}; run `dbt build`"
                " last",
                about,
            )
            return
        if newer := _unfinished(manifest, results):
            yield Barred(newer, f"unfinished {manifest.invocation}")
        for built in built_nodes(manifest, node):
            outcome = results.outcomes.get(built.id)
            if outcome is None:
                yield Barred(
                    f'the last build ({results.file.name}) has no result of "{built.called}", as'
                    " when it was left out or never reached; run `dbt build`",
                    about,
                )
            elif outcome.status not in BUILT:
                yield Barred(f'dbt has not built "{built.called}": {outcome.status}', about)
        failed = list(_failed(manifest, node, results))
        if failed:
            more = f" and {len(failed) - MOST_NAMED} more" if len(failed) > MOST_NAMED else ""
            said = ", ".join(failed[:MOST_NAMED]) + more
            yield Barred(
                f'{counted(len(failed), "test")} of "{node.called}" did not pass: {said}', about
            )

    def _not_fresh(self, manifest: Manifest, node: Node, now: datetime) -> Iterator[Barred]:
        """Sources of the node that were too old, or could not be asked, in the last look at them.
        dbt looks at those alone that say in their YAML how old they may be."""
        sources = sources_of(manifest, node)
        file = self.manifest.parent / "sources.json"
        looked = read_results(file, self.path) if sources else None
        if not sources:
            return
        if looked is None:
            text = f"there is no {file}, and dbt.require is fresh; `dbt source freshness` writes it"
            yield Barred(text, "no freshness")
            return
        about = f"freshness {looked.invocation} {node.id}"
        age = now - looked.written if looked.written else None
        if self.max_age is not None and (age is None or age > self.max_age):
            when = f"{age_text(age)} ago" if age else "nobody knows when"
            yield Barred(
                f'the sources of "{node.called}" were looked at {when}, and dbt.max_age is'
                f" {span_text(self.max_age)}; run `dbt source freshness`, and `dbt build` after it",
                about,
            )
        for source in sources:
            outcome = looked.outcomes.get(source)
            if outcome is not None and outcome.status not in PASSED:
                name = ".".join(source.split(".")[2:])
                yield Barred(
                    f'the source {name}, which "{node.called}" comes from, is not fresh:'
                    f" {outcome.status} (sources.json)",
                    about,
                )

    def _too_old(
        self, manifest: Manifest, node: Node, results: Results, now: datetime
    ) -> Iterator[Barred]:
        if self.max_age is None:
            return
        about = f"age {results.invocation} {node.id}"
        if not results.builds:
            text = f"when it was built is not on record: the last call was `dbt {results.call}`"
            yield Barred(text, about)
            return
        for built in built_nodes(manifest, node):
            ended = results.ended(built.id)
            if ended is None:
                yield Barred(
                    f'when "{built.called}" was built is not on record ({results.file.name})', about
                )
            elif now - ended > self.max_age:
                yield Barred(
                    f'"{built.called}" was built {age_text(now - ended)} ago, and dbt.max_age is'
                    f" {span_text(self.max_age)}; run `dbt build`",
                    about,
                )


def sources_of(manifest: Manifest, node: Node) -> list[str]:
    """The ids of the sources that a node comes from, through however many models."""
    seen, rest = set[str](), list(node.parents)
    while rest:
        if (one := rest.pop()) not in seen:
            seen.add(one)
            rest += manifest.nodes[one].parents if one in manifest.nodes else ()
    return sorted(each for each in seen if each.startswith("source."))


def built_nodes(manifest: Manifest, node: Node) -> list[Node]:
    """The node itself; of an ephemeral one what it is made of, as far as dbt builds that."""
    found: dict[str, Node] = {}
    seen, rest = set[str](), [node]
    while rest:
        one = rest.pop()
        if one.id in seen:
            continue
        seen.add(one.id)
        if one.ephemeral:
            rest += [manifest.nodes[p] for p in reversed(one.parents) if p in manifest.nodes]
        else:
            found[one.id] = one
    return list(found.values())


def relations(manifest: Manifest, node: Node) -> str:
    """The relation of a node; of an ephemeral one those that it reads."""
    return ", ".join(built.relation or built.id for built in built_nodes(manifest, node))


def _is_in(node: Node, pinned: Pinned) -> bool:
    """Whether a node is where a target builds. A model may ask for a database of its own, and for a
    schema of its own, which dbt writes behind that of the target, and many projects alone."""
    databases = [pinned.database, node.own_database]
    schemas = [pinned.schema, node.own_schema]
    if pinned.schema and node.own_schema:
        schemas.append(f"{pinned.schema}_{node.own_schema}")
    return _among(node.database, databases, pinned.database) and _among(
        node.schema, schemas, pinned.schema
    )


def _among(found: str | None, allowed: Sequence[str | None], wanted: str | None) -> bool:
    if wanted is None or found is None:
        return True
    return found.casefold() in {each.casefold() for each in allowed if each}


def _changed(before: Taken | None, now: Taken) -> Iterator[Barred]:
    if before and before.model == now.model and before.relation != now.relation:
        yield Barred(
            f'"{now.model}" was {before.relation} when it was read last, and dbt\'s manifest says'
            f" {now.relation or 'none'} now",
            f"relation {now.relation}",
        )


def _unfinished(manifest: Manifest, results: Results) -> str | None:
    """That a later call of dbt has begun, and has no results."""
    began = instant_of(manifest.generated)
    both = manifest.invocation and results.invocation
    if not both or manifest.invocation == results.invocation or not began or not results.written:
        return None
    if began <= results.written:
        return None
    return (
        "a later call of dbt has written manifest.json and no results: a build that goes on or was"
        " broken off, or `dbt parse`, `ls` or `source freshness`; run `dbt build` to its end"
    )


def _failed(manifest: Manifest, node: Node, results: Results) -> Iterator[str]:
    for test in manifest.tests_of(node):
        if test.severity != "error":
            continue
        outcome = results.outcomes.get(test.id)
        if outcome is None:
            yield f"{test.name} (was not run)"
        elif outcome.status not in PASSED:
            yield f"{test.name} ({outcome.status})"


def _together(found: Sequence[Barred]) -> Barred | None:
    if not found:
        return None
    reasons = list(dict.fromkeys(each.reason for each in found))
    about = sorted({each.about for each in found})
    return Barred(f"held: {'; and '.join(reasons)}{GOES_ON}", "\n".join(about))


def age_text(age: timedelta) -> str:
    """How long ago something was, in its largest unit."""
    seconds = int(age.total_seconds())
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length or (seconds >= length and unit == "minute"):
            return counted(seconds // length, unit)
    return counted(max(0, seconds), "second")
