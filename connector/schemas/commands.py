"""What the `schema` commands do: a project's files, a destination's schemas and the ledger's counts
put together, and told as documents."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connector.ledger.replacing import goes_on
from connector.ledger.reports import Document
from connector.project.app import App
from connector.rules.columns import Proposal, property_name
from connector.rules.definition import ID, MOST_SCHEMAS, Definition, definition_of
from connector.rules.difference import difference
from connector.rules.errors import ConfigurationError, DestinationUnusable, did_you_mean
from connector.rules.place import Place
from connector.schemas import files
from connector.schemas.plan import Deletion, Plan, use_document
from connector.schemas.propose import propose, propose_for_model
from connector.schemas.provision import (
    EXIT_CODES,
    Result,
    Status,
    Use,
    create,
    delete,
    plan,
    uses_by_schema,
)


@dataclass(frozen=True, slots=True)
class Schemas:
    """The schemas of one destination, and the project's files of them."""

    app: App
    destination: str

    @classmethod
    def of(cls, app: App, destination: str | None) -> "Schemas":
        """Those of `destination`, or of the only one. Raises ConfigurationError."""
        names = list(app.settings.project.destinations)
        if destination is None and len(names) > 1:
            raise ConfigurationError(f"say which one with --destination: {', '.join(names)}")
        name = destination or names[0]
        if name not in names:
            raise ConfigurationError(f'there is no destination "{name}"{did_you_mean(name, names)}')
        return cls(app, name)

    @property
    def base(self) -> Path:
        """The folder of the project."""
        return self.app.settings.base

    @property
    def url(self) -> str:
        """Where the destination is."""
        return self.app.settings.project.destinations[self.destination].url

    # --- looking --------------------------------------------------------------------------------

    async def listed(self) -> Document:
        """Every schema that is live, or has a file."""
        live = {d.id: d for d in await self._definitions()}
        paths = {_id_in(path) or path.stem: path for path in files.folder_files(self.base)}
        uses = await asyncio.to_thread(self._uses)  # counts rows, which may take its time
        return {
            "destination": self.destination,
            "live": len(live),
            "most": MOST_SCHEMAS,
            "schemas": [
                _listed(schema_id, live.get(schema_id), paths.get(schema_id), uses)
                for schema_id in dict.fromkeys((*live, *paths))
            ],
        }

    async def shown(self, schema_id: str) -> Document:
        """One live schema, and who uses it. Raises ConfigurationError when it is not there."""
        definition = await self.live(schema_id)
        uses = (await asyncio.to_thread(self._uses)).get(schema_id.casefold(), [])
        return shown(definition, self.destination) | {
            "activations": [use_document(use) for use in uses],
            "interactions": sum(use.delivered for use in uses),
        }

    # --- plan and apply -------------------------------------------------------------------------

    async def planned(self, names: Sequence[str]) -> Plan:
        """What the files that `names` mean need at the destination.

        Raises ConfigurationError when a file breaks a rule, or when nothing is there to be planned.
        """
        local = files.definitions(self.base, names)
        if not local:
            raise ConfigurationError(f"there is no schema in {self.base / files.FOLDER}")
        live = await self._definitions()
        definitions = {schema_id: definition for schema_id, (definition, _) in local.items()}
        reserved = [path.stem for path in files.folder_files(self.base)]
        steps = plan(definitions, live, self._uses(), reserved)
        paths = {schema_id: path for schema_id, (_, path) in local.items()}
        return Plan(self.app.settings, self.destination, steps, paths, len(live))

    async def applied(self, to_create: Sequence[Definition]) -> list[Result]:
        """Create each of `to_create` unless it is there; the first doubt ends it."""
        results: list[Result] = []
        engage = self.app.engage(self.destination)
        try:
            for definition in to_create:
                try:
                    results.append(await create(definition, engage))
                except DestinationUnusable as error:
                    results.append(Result(definition.id, Status.NOT_APPLIED, str(error)))
                if EXIT_CODES.get(results[-1].status) == 3:
                    break
        finally:
            await engage.aclose()
        return results

    # --- export and delete ----------------------------------------------------------------------

    async def exported(self, ids: Sequence[str], folder: Path | None, force: bool) -> Document:
        """Write live schemas into files. A file that says the same stays as it is.

        Raises ConfigurationError, with nothing written, when a file would be replaced by something
        else and `force` is not given.
        """
        to = folder or self.base / files.FOLDER
        live = {d.id: d for d in await self._definitions()}
        for schema_id in ids:
            self._refuse_unknown(schema_id, live)
        exports = [_export(live[schema_id], to) for schema_id in ids or live]
        different = [str(e["file"]) for e in exports if e["status"] == "replaced"]
        if different and not force:
            raise ConfigurationError(
                f"{', '.join(different)}: not the same as the live schema; --force replaces it,"
                " comments and all. Nothing was written"
            )
        for export in exports:
            definition, path = live[export["id"]], Path(export["file"])
            if export["status"] != "unchanged":
                _write(path, files.text_of(definition, path.suffix))
        return {"destination": self.destination, "schemas": exports}

    async def deletion(self, schema_id: str) -> Deletion:
        """What deleting a schema would delete. Raises ConfigurationError when it is not there, or
        when something still sends to it."""
        definition = await self.live(schema_id)
        uses = self._uses().get(schema_id.casefold(), [])
        self.refuse_moved(uses)
        self._refuse_migrating(uses)
        active = [use.activation for use in uses if use.paused is False]
        if active:
            raise ConfigurationError(
                f'the schema "{schema_id}" is in use by {", ".join(active)}; set paused: true there'
                " (and let a scheduler that runs take it up) before the schema is deleted"
            )
        self._refuse_running(schema_id, uses)
        return Deletion(self.destination, definition, uses)

    async def deleted(self, deletion: Deletion) -> Result:
        """Delete the schema. Raises ConfigurationError when it is no longer as it was confirmed."""
        schema_id = deletion.definition.id
        again = await self.deletion(schema_id)
        if again.confirmation != deletion.confirmation:
            raise ConfigurationError(
                f'not deleted: "{schema_id}" had {deletion.interactions} interactions when it was'
                f" asked about, and has {again.interactions} now"
            )
        engage = self.app.engage(self.destination)
        try:
            return await delete(schema_id, engage)
        finally:
            await engage.aclose()

    # --- parts ----------------------------------------------------------------------------------

    async def _definitions(self) -> list[Definition]:
        engage = self.app.engage(self.destination)
        try:
            return await engage.definitions()
        finally:
            await engage.aclose()

    async def live(self, schema_id: str) -> Definition:
        """The live schema with exactly this id: one in other capitals is not what was meant."""
        live = {d.id: d for d in await self._definitions()}
        self._refuse_unknown(schema_id, live)
        return live[schema_id]

    def _refuse_unknown(self, schema_id: str, live: Collection[str]) -> None:
        if schema_id not in live:
            hint = did_you_mean(schema_id, list(live))
            raise ConfigurationError(f'{self.destination} has no schema "{schema_id}"{hint}')

    def _refuse_running(self, schema_id: str, uses: Sequence[Use]) -> None:
        with self.app.reports() as reports:
            for use in uses:
                if run := reports.run_under_way(use.activation):
                    raise ConfigurationError(
                        f'the run {run} of "{use.activation}" is sending to the schema'
                        f' "{schema_id}"; wait for its end'
                    )

    @property
    def names(self) -> list[str]:
        """The names under which the destination is configured."""
        destinations = self.app.settings.project.destinations
        return [n for n, d in destinations.items() if d.place.address == self.place.address]

    @property
    def place(self) -> Place:
        """Where the destination is."""
        return self.app.settings.project.destinations[self.destination].place

    def refuse_moved(self, uses: Sequence[Use]) -> None:
        """Raises ConfigurationError when interactions that the ledger has of one of `uses` are at
        another place, though it is called the same: what is deleted here would not be theirs."""
        project = self.app.settings.project
        known = [project.activations[u.activation] for u in uses if u.paused is not None]
        with self.app.reports() as reports:
            found = [
                p for a in known for p in reports.identity_problems(a.name, self.app.identity(a))
            ]
        if problems := [p for p in found if p.path[:2] == ("destinations", self.destination)]:
            raise ConfigurationError(*problems)

    def uses_of(self, schema_id: str) -> list[Use]:
        """Who uses a schema."""
        return self._uses().get(schema_id.casefold(), [])

    def _uses(self) -> dict[str, list[Use]]:
        """Who uses each schema; also under another name of the same destination."""
        project, names = self.app.settings.project, self.names
        every = project.activations.values()
        activations = [a for a in every if project.destination_of(a) in names]
        with self.app.reports() as reports:
            return uses_by_schema(activations, reports.schema_uses(self.place, names))

    def _refuse_migrating(self, uses: Sequence[Use]) -> None:
        with self.app.reports() as reports:
            for use in uses:
                if schema_id := reports.schema_being_replaced(use.activation):
                    raise ConfigurationError(goes_on(schema_id))


def shown(definition: Definition, source: str) -> Document:
    """A schema, and where it was read."""
    return {"source": source, **definition.content}


def shown_local(base: Path, schema_id: str) -> Document:
    """The file of a schema. Raises ConfigurationError when there is none, or it is broken."""
    (path,) = files.chosen(base, [schema_id])
    return shown(files.read(path).definition(), str(path))


def lint_document(linted: Sequence[files.Linted]) -> Document:
    """What `lint` found, for programs."""

    def told(each: files.Linted, problems: Any) -> list[Document]:
        places = [(p, each.file.parsed.place(p.path)) for p in problems]
        return [{"message": p.message, "line": line, "column": c} for p, (line, c) in places]

    return {
        "ok": not any(each.problems for each in linted),
        "files": [
            {
                "file": str(each.file.path),
                "id": each.id,
                "problems": told(each, each.problems),
                "advice": told(each, each.advice),
            }
            for each in linted
        ],
    }


def proposal_document(proposal: Proposal) -> Document:
    """A proposed schema, for programs."""
    return {
        "schema": proposal.definition.content,
        "payload": dict(proposal.columns),
        "left_out": dict(proposal.left_out),
        "guessed": list(proposal.guessed),
    }


def proposed(app: App, name: str | None, model: Path | None, schema_id: str | None) -> Proposal:
    """A schema for an activation, or for a model in a file. Reads the warehouse, sends nothing.

    Raises ConfigurationError.
    """
    if (name is None) == (model is None):
        raise ConfigurationError("name an activation, or a file with --model; one of the two")
    activation = app.settings.activation(name) if name else None
    default = activation.schema_id if activation else property_name(model.stem if model else "")
    chosen_id = schema_id or default
    if not ID.fullmatch(chosen_id):
        raise ConfigurationError(
            f'"{chosen_id}" is no id of a schema: only a-z, A-Z, 0-9, "_" and "-" are allowed;'
            " give one with --id"
        )
    with app.warehouse().open() as reader:
        if activation:
            return propose(chosen_id, activation, reader)
        assert model is not None
        return propose_for_model(chosen_id, model, reader)


def _listed(
    schema_id: str, live: Definition | None, path: Path | None, uses: dict[str, list[Use]]
) -> Document:
    local = _definition_in(path) if path else None
    known = live or local
    used = uses.get(schema_id.casefold(), [])
    return {
        "id": schema_id,
        "display_name": known.display_name if known else None,
        "live": live is not None,
        "file": str(path) if path else None,
        "in_step": not difference(live, local) if live and local else None,
        "properties": len(known.properties) if known else None,
        "segmentable": len(known.segmented) if known else None,
        "activations": [use.activation for use in used if use.paused is not None],
        "delivered": sum(use.delivered for use in used),
    }


def _export(live: Definition, folder: Path) -> Document:
    if not ID.fullmatch(live.id):
        raise ConfigurationError(f'the id "{live.id}" cannot be the name of a file')
    path = next(
        (p for s in files.SUFFIXES if (p := folder / f"{live.id}{s}").is_file()),
        folder / f"{live.id}.yaml",
    )
    status = "written"
    if path.exists():
        there = _definition_in(path)
        same = there is not None and there.id == live.id and not difference(live, there)
        status = "unchanged" if same else "replaced"
    return {"id": live.id, "file": str(path), "status": status}


def _write(path: Path, text: str) -> None:
    """All of it or nothing, since a half-written schema is a broken one. Raises
    ConfigurationError."""
    draft = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from None


def _definition_in(path: Path) -> Definition | None:
    """What a file holds, as far as that can be told; None when it cannot."""
    file = files.read(path)
    try:
        return None if file.error else definition_of(file.parsed.content)
    except ValueError:
        return None


def _id_in(path: Path) -> str | None:
    definition = _definition_in(path)
    return definition.id if definition else None
