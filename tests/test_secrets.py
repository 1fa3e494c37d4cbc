"""Secrets that are kept elsewhere: fetched once from where they are, and never told."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import google.auth
import pytest
from google.auth.credentials import AnonymousCredentials

from connector.project.offline import check_offline
from connector.project.settings import Settings, load
from connector.rules.errors import ConfigurationError
from tests.test_settings import GOOD

SECRET = "k-2f9c71d0"
Answer = tuple[int, Any]


class Manager:
    """An HTTP server on loopback that answers as a secret manager does."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler) -> None:  # noqa: N805
                self._answer(handler, handler.path)

            def do_POST(handler) -> None:  # noqa: N805
                length = int(handler.headers["Content-Length"])
                self._answer(handler, json.loads(handler.rfile.read(length))["SecretId"])

            def log_message(handler, *_: object) -> None:  # noqa: N805
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _answer(self, handler: BaseHTTPRequestHandler, name: str) -> None:
        self.asked.append(name)
        status, content = self.answers.get(name, (404, {"errors": [], "__type": "NotFound"}))
        body = json.dumps(content).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Manager]:
    made = Manager()
    for name, value in {
        "VAULT_ADDR": made.url,
        "VAULT_TOKEN": "t",
        "AWS_ENDPOINT_URL": made.url,
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "eu-north-1",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "GOOGLE_SECRETMANAGER_ENDPOINT": f"{made.url}/v1",
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(google.auth, "default", lambda **_: (AnonymousCredentials(), "shop"))
    yield made
    made.close()


def read(folder: Path, value: str) -> Settings:
    file = folder / "activations.yaml"
    file.write_text(GOOD.replace("${KEY}", value))
    return load(file, {})


def key_of(settings: Settings) -> str:
    engage: Any = settings.project.destinations["engage"]
    return str(engage.api_key.get_secret_value())


def refused(folder: Path, value: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(folder, value)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def google_secret(text: str) -> Answer:
    return 200, {"payload": {"data": base64.b64encode(text.encode()).decode()}}


NAMED = "/v1/projects/shop/secrets/engage/versions/latest:access"
VERSION = "/v1/projects/p/secrets/engage/versions/3:access"
AS_JSON = json.dumps({"key": SECRET, "other": 1})
V1, V2 = {"data": {"key": SECRET}}, {"data": {"data": {"key": SECRET}, "metadata": {"version": 3}}}


@pytest.mark.parametrize(
    ("value", "answers"),
    [
        ("${vault:kv/engage#key}", {"/v1/kv/engage": (200, V1)}),
        ("${vault:kv/engage#key}", {"/v1/kv/data/engage": (200, V2)}),
        ("${vault:kv/data/engage#key}", {"/v1/kv/data/engage": (200, V2)}),
        ("${aws-sm:engage}", {"engage": (200, {"SecretString": SECRET})}),
        ("${aws-sm:shop/engage#key}", {"shop/engage": (200, {"SecretString": AS_JSON})}),
        ("${gcp-sm:engage}", {NAMED: google_secret(SECRET)}),
        ("${gcp-sm:engage#key}", {NAMED: google_secret(AS_JSON)}),
        ("${gcp-sm:projects/p/secrets/engage/versions/3}", {VERSION: google_secret(SECRET)}),
    ],
)
def test_a_secret_is_fetched_from_its_manager(
    manager: Manager, tmp_path: Path, value: str, answers: dict[str, Answer]
) -> None:
    manager.answers = answers

    assert key_of(read(tmp_path, value)) == SECRET


@pytest.mark.parametrize(
    ("value", "answers", "expected"),
    [
        ("${vault:kv/engage}", {}, "write path#key"),
        ("${vault:kv/engage#key}", {}, "Vault has no such path"),
        ("${vault:kv/engage#ky}", {"/v1/kv/engage": (200, V1)}, 'it has no key "ky"'),
        ("${vault:kv/engage#key}", {"/v1/kv/engage": (403, {"errors": [SECRET]})}, "VAULT_TOKEN"),
        ("${vault:kv/engage#key}", {"/v1/kv/engage": (500, {"errors": [SECRET]})}, "be fetched"),
        ("${aws-sm:engage}", {"engage": (400, {"__type": "AccessDenied"})}, "says AccessDenied"),
        ("${aws-sm:engage#a}", {"engage": (200, {"SecretString": SECRET})}, "no JSON object"),
        ("${aws-sm:engage#a}", {"engage": (200, {"SecretString": AS_JSON})}, 'no key "a"'),
        ("${gcp-sm:engage}", {NAMED: (403, {"error": SECRET})}, "says HTTP 403"),
        ("${gcp-sm:engage}", {NAMED: google_secret("")}, "it is empty"),
        ("${azure-kv:engage}", {}, "there are: file, vault, aws-sm, gcp-sm"),
        ("${file:no/such/file}", {}, "there is no such file"),
    ],
)
def test_what_cannot_be_fetched_is_told_with_its_place_and_without_what_was_found(
    manager: Manager, tmp_path: Path, value: str, answers: dict[str, Answer], expected: str
) -> None:
    manager.answers = answers

    said = refused(tmp_path, value)

    assert expected in said
    assert "activations.yaml:4:" in said
    assert value.strip("${}").partition(":")[2].partition("#")[0] in said or "azure" in said


def test_a_manager_that_is_out_of_reach_is_told(manager: Manager, tmp_path: Path) -> None:
    manager.close()

    assert "Vault does not answer at http://127" in refused(tmp_path, "${vault:kv/engage#key}")
    assert "AWS Secrets Manager cannot be asked" in refused(tmp_path, "${aws-sm:engage}")
    assert "Google Secret Manager does not answer" in refused(tmp_path, "${gcp-sm:engage}")


@pytest.mark.parametrize("status", [403, 429, 500, 503, None])
@pytest.mark.parametrize(
    "value", ["${vault:kv/engage#key}", "${aws-sm:engage}", "${gcp-sm:engage}"]
)
def test_only_what_nobody_answers_for_is_worth_another_try(
    manager: Manager, tmp_path: Path, value: str, status: int | None
) -> None:
    answer = (status or 0, {"__type": "X", "errors": []})
    manager.answers = dict.fromkeys(("/v1/kv/engage", "engage", NAMED), answer)
    if status is None:
        manager.close()

    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, value)
    with pytest.raises(ConfigurationError) as beside_a_mistake:
        read(tmp_path, f'{value}", api_version: "${{NOT_SET}}')

    later = status != 403
    assert (caught.value.retryable, caught.value.exit_code) == (later, 3 if later else 2)
    assert not beside_a_mistake.value.retryable


def test_it_is_asked_once_for_all_places(manager: Manager, tmp_path: Path) -> None:
    manager.answers = {"engage": (200, {"SecretString": SECRET})}
    file = tmp_path / "activations.yaml"
    other = '  second: {type: engage, url: "https://b.voyado.com", api_key: "${aws-sm:engage}"}\n'
    text = GOOD.replace("${KEY}", "${aws-sm:engage}").replace(
        "activations:", other + "activations:"
    )
    file.write_text(text.replace("    start: all", "    start: all\n    destination: engage"))

    load(file, {})

    assert manager.asked == ["engage"]


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_file_is_read_without_the_end_of_its_line(tmp_path: Path, end: str) -> None:
    (tmp_path / "key").write_bytes(f"{SECRET}{end}".encode())

    assert key_of(read(tmp_path, "${file:key}")) == SECRET
    assert key_of(read(tmp_path, f"${{file:{tmp_path}/key}}")) == SECRET


def test_nothing_is_filled_into_what_was_fetched(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("a${HOME}b")

    assert key_of(read(tmp_path, "${file:key}")) == "a${HOME}b"
    assert key_of(read(tmp_path, "$${file:key}")) == "${file:key}"


def test_a_check_without_a_connection_fetches_nothing(manager: Manager, tmp_path: Path) -> None:
    file = tmp_path / "activations.yaml"
    (tmp_path / "reviews.sql").write_text("select id, email, rating from reviews")
    file.write_text(GOOD.replace("${KEY}", "${vault:kv/engage#key}"))

    found = check_offline(file, environment={})

    assert list(found.remarks) == []
    assert manager.asked == []
    file.write_text(GOOD.replace("${KEY}", "${nope:x}"))
    (remark,) = check_offline(file, environment={}).remarks
    assert 'no secret manager "nope"' in remark.message
    for name in ("kv", "kv#", "#key"):
        file.write_text(GOOD.replace("${KEY}", f"${{vault:{name}}}"))
        (remark,) = check_offline(file, environment={}).remarks
        assert (remark.level, f"${{vault:{name}}}: write path#key" in remark.message) == (
            "error",
            True,
        )
