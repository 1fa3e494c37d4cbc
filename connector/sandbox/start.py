"""The `connector sandbox` command: a sandbox in the foreground, filled from a project's files."""

from pathlib import Path

from pydantic import ValidationError

from connector.rules.errors import CannotListen, ConfigurationError
from connector.sandbox.behaviour import Behaviour
from connector.sandbox.engage import Engage
from connector.sandbox.load import LoadError, load_contacts, load_schemas
from connector.sandbox.server import Running, serve


def start(
    host: str,
    port: int,
    api_key: str,
    schemas: Path | None,
    contacts: Path | None,
    behaviour: Path | None,
) -> None:
    """Serve until Ctrl-C. Raises ConfigurationError for files that cannot be loaded, CannotListen
    when the port is taken."""
    try:
        engage = Engage(_behaviour(behaviour))
        loaded = _fill(engage, schemas, contacts)
        serve(host, port, engage=engage, api_key=api_key, on_ready=lambda r: _greet(r, loaded))
    except (LoadError, ValueError) as error:
        raise ConfigurationError(str(error)) from None
    except OSError as error:
        raise CannotListen(f"cannot listen on {host}:{port}: {error.strerror or error}") from None


def _behaviour(file: Path | None) -> Behaviour:
    if file is None:
        return Behaviour()
    try:
        return Behaviour.model_validate_json(file.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"cannot read {file}: {error.strerror}") from None
    except ValidationError as error:
        mistakes = "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['msg']}"
            for e in error.errors(include_input=False, include_url=False)
        )
        raise ConfigurationError(f"{file}: {mistakes}") from None


def _fill(engage: Engage, schemas: Path | None, contacts: Path | None) -> str:
    """Load what is there; what it was, for the greeting."""
    schemas = schemas or (Path("schemas") if Path("schemas").is_dir() else None)
    contacts = contacts or (Path("contacts.csv") if Path("contacts.csv").is_file() else None)
    ids = load_schemas(engage, schemas) if schemas else []
    number = load_contacts(engage, contacts) if contacts else 0
    return f"schemas: {', '.join(ids) or 'none'}; contacts: {number:,}"


def _greet(running: Running, loaded: str) -> None:
    print(f"A local Engage listens on {running.url} (API key: {running.api_key}).", flush=True)
    print(f"  {loaded}", flush=True)
    print(f"  Open {running.url}/ to see what it receives. Ctrl-C ends it.", flush=True)
