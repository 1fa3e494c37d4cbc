"""Receipts of a project: the key that signs them, and receipts as documents."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from connector.ledger.receipts import Kept
from connector.project.reporting import Reporting
from connector.rules.deed import Document
from connector.rules.errors import ConfigurationError, LedgerUnavailable
from connector.rules.receipt import FOUND, check, check_content
from connector.rules.words import one_line

KEY_FILE = "receipts.key"


def key_file(reporting: Reporting) -> Path:
    """Where the key is made that signs receipts: beside a ledger in a file; for one on a server, in
    the project."""
    url = reporting.ledger_url
    if url.get_backend_name() == "sqlite" and url.database:
        return Path(url.database).parent / KEY_FILE
    return reporting.settings.base / ".connector" / KEY_FILE


def known_key(reporting: Reporting) -> bytes | None:
    """What signs receipts; None: there is no key yet. Raises LedgerUnavailable."""
    configured = reporting.settings.project.ledger.receipt_key
    if configured is not None:
        return configured.get_secret_value().encode()
    file = key_file(reporting)
    try:
        return file.read_text().strip().encode() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeError) as error:
        raise LedgerUnavailable(f"cannot read {file}: {type(error).__name__}") from None


def signing_key(reporting: Reporting) -> bytes:
    """The same, made at its first use, so that only its owner can read it. Raises
    LedgerUnavailable."""
    return known_key(reporting) or _made(reporting)


def _made(reporting: Reporting) -> bytes:
    file = key_file(reporting)
    beside = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as opened:
            opened.write(f"{secrets.token_hex(32)}\n")
            opened.flush()
            os.fsync(opened.fileno())
        with suppress(FileExistsError):  # another process was faster: its key is the one
            os.link(beside, file)
        beside.unlink()
    except OSError as error:
        raise LedgerUnavailable(f"cannot write {file}: {error.strerror}") from None
    key = known_key(reporting)
    if key is None:
        raise LedgerUnavailable(f"{file} is empty; remove it, and a new key is made")
    return key


# --- documents ------------------------------------------------------------------------------------


def receipts(
    reporting: Reporting,
    name: str | None,
    limit: int | None,
    result: str | None = None,
    after: str | None = None,
) -> list[Document]:
    """The newest receipts, of all activations or of one, each with whether it is unchanged, and the
    rows that deviate; those with one `result`, and those that follow the receipt `after`. Raises
    ConfigurationError."""
    if name is not None:
        name = reporting.recorded(name)
    key = known_key(reporting)
    with reporting.reports() as reports:
        return [_document(kept, key) for kept in reports.receipts(name, limit, result, after)]


def receipt(reporting: Reporting, receipt_id: str) -> Document:
    """One of them. Raises ConfigurationError."""
    key = known_key(reporting)
    with reporting.reports() as reports:
        kept = reports.receipt(receipt_id)
    if kept is None:
        raise ConfigurationError(f"there is no receipt {one_line(receipt_id)[:40]}")
    return _document(kept, key)


def _document(kept: Kept, key: bytes | None) -> Document:
    rows = [
        {"row_key": each.row_key, "run_id": each.run_id, "found": list(each.found)}
        for each in kept.deviations
    ]
    seal = check(kept.signed, key or b"")
    return {**kept.signed.content, "seal": seal.value, "deviations": rows}


def handed_out(document: Document) -> Document:
    """A receipt as it is handed out: what is signed, and the signature; no row key."""
    return {name: each for name, each in document.items() if name not in ("seal", "deviations")}


def examined(reporting: Reporting, content: object) -> str:
    """Whether a receipt that was handed out is unchanged. Raises ConfigurationError where there is
    no key here."""
    key = known_key(reporting)
    if key is None:
        raise ConfigurationError(
            "there is no key here to check a receipt with: it was made in the folder of the ledger"
            " that the receipt is from, or is given as ledger.receipt_key"
        )
    return check_content(content, key).value


def amiss(document: Document) -> str:
    """What a receipt found amiss, in words; empty where nothing."""
    numbers = ((document[name], name) for name in FOUND)
    return ", ".join(f"{number:,} {name}" for number, name in numbers if number)
