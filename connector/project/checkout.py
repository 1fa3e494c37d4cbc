"""The project as it stood at a commit: the parts of it that decide about rows, from Git.

What is not in Git is taken as it is now: variables, secrets, the warehouse, the ledger.
"""

import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy.engine.default import DefaultDialect

from connector.basis import dataclass
from connector.destinations.kinds import ActivationKeys
from connector.project.dbt import manifest_file
from connector.project.lenient import grammar_of
from connector.project.settings import Settings
from connector.rules.activation import Activation, Model
from connector.rules.errors import ConfigurationError
from connector.rules.variables import variables_for
from connector.rules.written import There, Written, read
from connector.warehouse.models import query_of, text_of

SUFFIXES = (".yaml", ".yml")
"""What a project includes, whatever its patterns are."""
OF_A_HOOK = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
"""What Git tells its hooks, and what would lead it to another checkout from another folder."""
LINK = "120000"
"""Git's mode of a symbolic link."""
NOT_IN_GIT = (
    "dbt's manifest is not in Git, so of models of dbt the relation of now stands for both"
    " versions; --state DIR names the folder of the earlier manifest.json"
)


@dataclass(frozen=True, slots=True)
class Earlier:
    """The activations at `commit`, their models as the SQL that they were then; and what of them
    cannot be read, by name. `edited`: other parts of the project that differ from now."""

    reference: str
    commit: str
    activations: Mapping[str, Activation] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    edited: Sequence[str] = ()
    notes: Sequence[str] = ()


def earlier(settings: Settings, reference: str, state: Path | None = None) -> Earlier:
    """The project of `settings` where what is checked out now left `reference`. `state`: the folder
    of dbt's manifest.json of that time.

    Raises ConfigurationError where there is no Git, no such commit, or nothing there can be read.
    """
    git = Git.around(settings.base)
    sha, notes = git.base_of(reference)
    file = _inside(settings.file, git.top)
    found = Earlier(reference, sha, notes=notes)
    files = frozenset(git.files(sha))
    if file is None or file not in files:
        said = f"{settings.file.name} is not there yet: everything is new"
        return replace(found, notes=[*notes, said])
    with TemporaryDirectory(prefix="connector-diff-") as folder:
        commit = Commit(git, sha, files, Path(folder).resolve())
        commit.fetch(each for each in files if each.endswith(SUFFIXES) or each == file)
        then = _read(commit.folder / file, settings, commit.has)
        commit.fetch(_named(then, commit))
        manifest = _manifest(settings, commit, state)
        if manifest == manifest_file(settings) and state is None and _of_dbt(then):
            notes = [*notes, NOT_IN_GIT]
        return _with_sql(replace(found, notes=notes), then, settings, manifest)


def _manifest(settings: Settings, commit: "Commit", state: Path | None) -> Path:
    """dbt's manifest of that time, or else that of now."""
    if state is not None:
        return settings.base / state / "manifest.json"
    now = manifest_file(settings)
    name = _inside(now, commit.git.top)
    if name not in commit.files:
        return now
    commit.fetch([str(name)])
    return commit.folder / str(name)


def _of_dbt(then: Settings) -> bool:
    return any(each.dbt for each in _models(then))


def _models(then: Settings) -> Iterator[Model]:
    for activation in then.project.activations.values():
        yield from (each for each in (activation.model, activation.contact.table) if each)


def _named(then: Settings, commit: "Commit") -> Iterator[str]:
    """The files of models, as Git names them."""
    for model in _models(then):
        if model.file and (name := _inside(then.base / model.file, commit.folder)):
            yield name


def _inside(file: Path, top: Path) -> str | None:
    """`file` as Git names it; None outside of the checkout."""
    resolved = file.resolve()
    return resolved.relative_to(top).as_posix() if resolved.is_relative_to(top) else None


def _read(file: Path, settings: Settings, there: There) -> Settings:
    """What stood in `file`, with the variables of now. `there`: whether there was a file then."""
    values = variables_for(settings.file).values
    known = {name: value for name, value in values.items() if value is not None}
    try:
        variables = variables_for(file, known)
        written = read(file, variables, ActivationKeys(), lenient=True, there=there)
        project, problems = grammar_of(written)
    except ConfigurationError as error:
        project, problems = None, list(error.problems)
    if project is None:
        said = problems[0].message if problems else "it holds no project"
        raise ConfigurationError(
            f"the earlier {settings.file.name} cannot be read as this version reads it: {said}"
        )
    return Settings(project, written)


def _with_sql(found: Earlier, then: Settings, now: Settings, manifest: Path) -> Earlier:
    activations, problems = dict[str, Activation](), dict[str, str]()
    for name, activation in then.project.activations.items():
        try:
            activations[name] = as_sql(activation, then.base, manifest)
        except ConfigurationError as error:
            said = error.problems[0].message
            problems[name] = said.replace(f"{then.base}{os.sep}", "")  # of no use to anybody
    # of both as they are written: a secret that is kept elsewhere was fetched for that of now alone
    written = read(now.file, variables_for(now.file), ActivationKeys(), lenient=True)
    edited = sorted(_other_parts(then.written) ^ _other_parts(written))
    names = list(dict.fromkeys(name for name, _ in edited))
    return replace(found, activations=activations, problems=problems, edited=names)


def as_sql(activation: Activation, base: Path, manifest: Path) -> Activation:
    """`activation` with the SQL of its files and models of dbt in place, so that it needs neither.
    Raises ConfigurationError."""
    path = ("activations", activation.name)
    update: dict[str, Any] = {
        "model": _model_as_sql(activation.model, base, manifest, (*path, "model"))
    }
    if table := activation.contact.table:
        lookup = _model_as_sql(table, base, manifest, (*path, "contact", "lookup"))
        update["contact"] = activation.contact.model_copy(update={"lookup": lookup})
    return activation.model_copy(update=update).named(activation.name)


def _model_as_sql(model: Model, base: Path, manifest: Path, path: tuple[str, ...]) -> Model:
    if model.dbt:
        sql = query_of(model, path, "the model", DefaultDialect(), base, manifest)
    elif model.file:
        sql = text_of(base / model.file, path)
    else:
        return model
    return model.model_copy(update={"file": None, "dbt": None, "sql": sql})


def _other_parts(written: Written) -> set[tuple[str, str]]:
    """The parts of a project beside its activations, as they are written."""
    apart = ("activations", "include", "defaults", "alerts", "serve")
    return {(name, repr(value)) for name, value in written.content.items() if name not in apart}


@dataclass(frozen=True, slots=True)
class Git:
    """A checkout with its root at `top`."""

    top: Path

    @classmethod
    def around(cls, folder: Path) -> "Git":
        """The checkout that `folder` is in. Raises ConfigurationError where there is none."""
        done = _git(folder, "rev-parse", "--show-toplevel")
        if done.returncode:
            raise ConfigurationError(
                f"{folder.resolve()} is in no Git checkout, and diff compares with what Git has:"
                f" {_said(done)}"
            )
        return cls(Path(done.stdout.decode().strip()).resolve())

    def base_of(self, reference: str) -> tuple[str, list[str]]:
        """The commit that is compared with: where what is checked out left `reference`; with what
        is to be known of that. Raises ConfigurationError where there is no such commit."""
        commit = self._commit(reference)
        done = self._run("merge-base", commit, "HEAD")
        if done.returncode:  # of a shallow checkout the common history may not be there
            return commit, [f"no common history with {reference} is here: its tip is compared"]
        base = done.stdout.decode().strip()
        if base == commit:
            return commit, []
        return base, [f"{reference} has gone on since: compared is where this left it"]

    def _commit(self, reference: str) -> str:
        done = self._run("rev-parse", "--verify", "--end-of-options", f"{reference}^{{commit}}")
        if done.returncode:
            raise ConfigurationError(
                f'Git knows no commit "{reference}" here; fetch it first (in GitHub Actions:'
                " actions/checkout with fetch-depth: 0)"
            )
        return done.stdout.decode().strip()

    def files(self, commit: str) -> Iterator[str]:
        """The paths of all files at `commit`, without links."""
        listed = self._run("ls-tree", "-r", "-z", "--full-tree", commit).stdout.decode(
            errors="surrogateescape"
        )
        for entry in filter(None, listed.split("\0")):
            about, _, name = entry.partition("\t")
            mode, kind, _ = about.split()
            if kind == "blob" and mode != LINK:
                yield name

    def contents(self, commit: str, names: Sequence[str]) -> Iterator[bytes]:
        """What files held at `commit`."""
        asked = "".join(f"{commit}:{name}\n" for name in names)
        given = self._run("cat-file", "--batch", said=asked.encode(errors="surrogateescape")).stdout
        at = 0
        for _ in names:
            begin = given.index(b"\n", at) + 1
            at = begin + int(given[at:begin].split()[-1])
            yield given[begin:at]
            at += 1

    def _run(self, *arguments: str, said: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return _git(self.top, *arguments, said=said)


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit, and the `folder` into which those of its `files` are written that are needed."""

    git: Git
    sha: str
    files: frozenset[str]
    folder: Path

    def has(self, file: Path) -> bool:
        """Whether there was a file at this place below the `folder`."""
        return _inside(file, self.folder) in self.files

    def fetch(self, wanted: Iterable[str]) -> None:
        """Write files as they were; none where there was none."""
        names = sorted(each for each in wanted if each in self.files and "\n" not in each)
        for name, content in zip(names, self.git.contents(self.sha, names), strict=True):
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def _git(folder: Path, *arguments: str, said: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],
            input=said,
            capture_output=True,
            check=False,
            env={name: value for name, value in os.environ.items() if name not in OF_A_HOOK},
        )
    except FileNotFoundError:
        raise ConfigurationError("diff needs git, which is not installed here") from None


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "git gives no reason"
