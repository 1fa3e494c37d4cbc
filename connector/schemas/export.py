"""Write live schemas into files."""

from collections.abc import Sequence
from pathlib import Path

from connector.rules.deed import Document
from connector.rules.definition import ID, Definition
from connector.rules.difference import difference
from connector.rules.errors import ConfigurationError
from connector.schemas import files
from connector.schemas.catalogue import Catalogue


async def export(
    catalogue: Catalogue, ids: Sequence[str], folder: Path | None, force: bool
) -> Document:
    """Write those with `ids`, or all. A file that says the same stays as it is.

    Raises ConfigurationError, with nothing written, when a file would be replaced by something
    else and `force` is not given.
    """
    to = folder or catalogue.base / files.FOLDER
    live = await catalogue.definitions()
    for schema_id in ids:
        catalogue.refuse_unknown(schema_id, live)
    exports = [_planned(live[schema_id], to) for schema_id in ids or live]
    different = [str(e["file"]) for e in exports if e["status"] == "replaced"]
    if different and not force:
        raise ConfigurationError(
            f"{', '.join(different)}: not the same as the live schema; --force replaces it,"
            " comments and all. Nothing was written"
        )
    for each in exports:
        if each["status"] != "unchanged":
            path = Path(each["file"])
            _write(path, files.text_of(live[each["id"]], path.suffix))
    return {"destination": catalogue.destination, "schemas": exports}


def _planned(live: Definition, folder: Path) -> Document:
    if not ID.fullmatch(live.id):
        raise ConfigurationError(f'the id "{live.id}" cannot be the name of a file')
    path = next(
        (p for s in files.SUFFIXES if (p := folder / f"{live.id}{s}").is_file()),
        folder / f"{live.id}.yaml",
    )
    status = "written"
    if path.exists():
        there = files.read(path).content
        same = there is not None and there.id == live.id and not difference(live, there)
        status = "unchanged" if same else "replaced"
    return {"id": live.id, "file": str(path), "status": status}


def _write(path: Path, text: str) -> None:
    """All of it or nothing, since a half-written schema is a broken one."""
    draft = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from None
