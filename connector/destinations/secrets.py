"""Fetch what `${file:…}`, `${vault:…#…}`, `${aws-sm:…#…}` and `${gcp-sm:…}` stand for.

Each is fetched once for a reading of the configuration, so a reload sees a key that was rotated.
The clients of the managers go by their own variables (VAULT_ADDR and VAULT_TOKEN, AWS_PROFILE,
GOOGLE_APPLICATION_CREDENTIALS …) and come as extras. An error names what was asked for, never what
was found.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from connector.rules.errors import ConfigurationError
from connector.rules.variables import (
    OutOfReach,
    Unfilled,
    path_and_key,
    read_utf8,
    refuse_unknown,
)

TIMEOUT = 10.0
"""Seconds that a manager has to answer."""
GOOGLE = "https://secretmanager.googleapis.com/v1"
EXTRAS = {"vault": "vault", "aws-sm": "aws", "gcp-sm": "gcp"}


class Secrets:
    """The secrets of a project; `base` is where relative paths of files start."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._fetched: dict[tuple[str, str], str] = {}
        self.files: list[Path] = []
        """All that were asked for."""

    def __call__(self, scheme: str, name: str) -> str:
        """The secret `name` of the manager `scheme`. Raises Unfilled."""
        refuse_unknown(scheme)
        if (scheme, name) not in self._fetched:
            self._fetched[scheme, name] = self._fetch(scheme, name)
        return self._fetched[scheme, name]

    def _fetch(self, scheme: str, name: str) -> str:
        what = f"${{{scheme}:{name}}}"
        try:
            found = self._file(name) if scheme == "file" else MANAGERS[scheme](name)
        except ImportError:  # of the client itself, or of what it needs
            run = f'pip install "engage-connector[{EXTRAS[scheme]}]"'
            raise Unfilled(f"{what}: its client is not installed; run: {run}") from None
        except OutOfReach as error:
            raise OutOfReach(f"{what}: {error}") from None
        except (Unfilled, ConfigurationError) as error:
            raise Unfilled(f"{what}: {error}") from None
        except Exception as error:  # whatever a client raises; its message may hold what it found
            raise Unfilled(f"{what} cannot be fetched: {type(error).__name__}") from None
        if not found:
            raise Unfilled(f"{what}: it is empty")
        return found

    def _file(self, name: str) -> str:
        file = self._base / name
        self.files.append(file)
        try:
            return read_utf8(file).removesuffix("\n").removesuffix("\r")
        except FileNotFoundError:
            raise Unfilled("there is no such file") from None


# --- managers -------------------------------------------------------------------------------------


def _vault(name: str) -> str:
    """HashiCorp Vault and OpenBao: `path#key`, of either version of the key-value engine."""
    import hvac
    from hvac.exceptions import (
        BadGateway,
        Forbidden,
        InternalServerError,
        InvalidPath,
        RateLimitExceeded,
        VaultDown,
    )

    path, key = path_and_key(name)
    client = hvac.Client(timeout=TIMEOUT)
    mount, _, rest = path.partition("/")
    try:
        try:
            found = client.read(path)
        except InvalidPath:
            found = None
        if found is None and rest:  # version 2 has another word in the path
            found = client.read(f"{mount}/data/{rest}")
    except Forbidden:
        raise Unfilled("Vault does not allow it; VAULT_TOKEN says who asks") from None
    except InvalidPath:
        found = None
    except OSError:
        raise OutOfReach(f"Vault does not answer at {client.url}") from None
    except (InternalServerError, BadGateway, VaultDown, RateLimitExceeded) as error:
        raise OutOfReach(f"it cannot be fetched now: {type(error).__name__}") from None
    if found is None:
        raise Unfilled("Vault has no such path")
    content: Mapping[str, Any] = found["data"]
    if isinstance(content.get("data"), dict) and "metadata" in content:
        content = content["data"]
    return _member(content, key)


def _kind_of(status: int | None) -> type[Unfilled]:
    """What an answer with this HTTP status means: another one may come later, or not."""
    return OutOfReach if status and (status == 429 or status >= 500) else Unfilled


def _aws(name: str) -> str:
    """AWS Secrets Manager: a name or an ARN; `#key` is one of a secret that is a JSON object."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

    secret, _, key = name.partition("#")
    config = Config(connect_timeout=TIMEOUT, read_timeout=TIMEOUT, retries={"max_attempts": 2})
    try:
        client = boto3.client("secretsmanager", config=config)
        found = client.get_secret_value(SecretId=secret)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "an error")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        raise _kind_of(status)(f"AWS Secrets Manager says {code}") from None
    except (ConnectionError, HTTPClientError) as error:
        said = f"AWS Secrets Manager cannot be asked: {type(error).__name__}"
        raise OutOfReach(said) from None
    except BotoCoreError as error:
        raise Unfilled(f"AWS Secrets Manager cannot be asked: {type(error).__name__}") from None
    text = found.get("SecretString") or found["SecretBinary"].decode()
    return _of_json(text, key) if key else str(text)


def _google(name: str) -> str:
    """Google Secret Manager: a name in the project of the credentials, or a whole resource name;
    `#key` is one of a secret that is a JSON object."""
    import base64

    import google.auth
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import AuthorizedSession

    secret, _, key = name.partition("#")
    try:
        credentials, project = google.auth.default(
            scopes=["https://www.googleapis.com/auth/cloud-platform"]
        )
        if "/" not in secret:
            if not project:
                raise Unfilled("no project is known; write projects/NAME/secrets/…")
            secret = f"projects/{project}/secrets/{secret}"
        version = "" if "/versions/" in secret else "/versions/latest"
        opened: Any = AuthorizedSession  # typed or not, as Google's package is here or not
        answer = opened(credentials).get(
            f"{_google_api()}/{secret}{version}:access", timeout=TIMEOUT
        )
    except GoogleAuthError as error:
        raise Unfilled(f"Google's credentials do not serve: {type(error).__name__}") from None
    except OSError:
        raise OutOfReach("Google Secret Manager does not answer") from None
    if answer.status_code != 200:
        raise _kind_of(answer.status_code)(f"Google Secret Manager says HTTP {answer.status_code}")
    text = base64.b64decode(answer.json()["payload"]["data"]).decode()
    return _of_json(text, key) if key else text


def _google_api() -> str:
    """Where it is asked: elsewhere for a private endpoint."""
    return os.environ.get("GOOGLE_SECRETMANAGER_ENDPOINT", GOOGLE)


MANAGERS: Mapping[str, Callable[[str], str]] = {"vault": _vault, "aws-sm": _aws, "gcp-sm": _google}


def _of_json(text: str, key: str) -> str:
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise Unfilled("it is no JSON object, which #key needs")
    return _member(content, key)


def _member(content: Mapping[str, Any], key: str) -> str:
    if key not in content:
        raise Unfilled(f'it has no key "{key}"')
    return str(content[key])
