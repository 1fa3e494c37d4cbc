"""Fill `${NAME}` and `${NAME:-default}` in a text, from the environment and from a `.env`, and
`${file:path}` and the like from where secrets are kept.

There is no other form. What other tools would fill in (`$NAME`, `${NAME-default}`, `{{ … }}`) is
refused where it is written, since it would be taken to the letter otherwise: as an API key, say.
No message here shows what was found, for it could be a secret.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from io import StringIO
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from connector.basis import dataclass
from connector.rules.errors import ConfigurationError, Mark, Problem

VARIABLE = re.compile(r"\$(\$?)\{([A-Za-z_][A-Za-z0-9_]*)(?::-((?:[^}\\]|\\.)*))?\}")
SECRET = re.compile(r"\$(\$?)\{([a-z][a-z0-9-]*):([^}:-][^}]*)\}")
"""One that is kept elsewhere: `${file:path}`, `${vault:path#key}` …"""
BEGINNING = re.compile(r"\$?\$\{")
EITHER = re.compile(f"(?:{SECRET.pattern})|(?:{VARIABLE.pattern})")
BARE_NAME = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*|\(.*\))")
"""As a shell fills it in, without braces."""
TEMPLATE = re.compile(r"\{\{|\{%")
IN_SINGLE_QUOTES = re.compile(r"\s*(?:export\s+)?[^=\s]+\s*=\s*'")
FORMS = (
    "write ${NAME}, ${NAME:-default} or ${file:path}, or $${ for a ${ that is meant as it stands"
)
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class Unfilled(ValueError):
    """A text holds what would be filled in elsewhere, and is not here. Says what to write."""


class NotSet(Unfilled):
    """A text holds a variable that is not set."""


class NotFetched(Unfilled):
    """A text holds a secret that is kept elsewhere, and none is fetched."""


class OutOfReach(Unfilled):
    """A text holds a secret that is kept elsewhere, and nobody answers there."""


class Nothing(str):
    """The empty text that `source` was filled with: whoever refuses it can name the variable."""

    source: str

    def __new__(cls, source: str) -> "Nothing":
        made = super().__new__(cls)
        made.source = source
        return made


PLACES = ("file", "vault", "aws-sm", "gcp-sm")
"""Where secrets may be kept."""
Fetch = Callable[[str, str], str]
"""From a scheme such as `file` and a name to the secret. Raises Unfilled."""


def refuse_unknown(scheme: str) -> None:
    """Raises Unfilled for what is no place of secrets."""
    if scheme not in PLACES:
        known = ", ".join(PLACES)
        raise Unfilled(f'there is no secret manager "{scheme}"; there are: {known}')


def fetch_none(scheme: str, name: str) -> str:
    """For those who need no secret. Raises NotFetched, or Unfilled where nobody could fetch it."""
    refuse_unknown(scheme)
    what = f"${{{scheme}:{name}}}"
    if scheme == "vault":
        try:
            path_and_key(name)
        except Unfilled as error:
            raise Unfilled(f"{what}: {error}") from None
    raise NotFetched(f"{what} is not fetched")


def path_and_key(name: str) -> tuple[str, str]:
    """The parts of `path#key`. Raises Unfilled."""
    path, mark, key = name.partition("#")
    if not mark or not path or not key:
        raise Unfilled("write path#key")
    return path.strip("/"), key


@dataclass(frozen=True, slots=True)
class Variables:
    """What `${NAME}` can be filled with. `unfilled`: names whose value in `.env` holds a `${` of
    its own. `fetch`: what finds secrets that are kept elsewhere."""

    values: Mapping[str, str | None]
    unfilled: frozenset[str] = frozenset()
    fetch: Fetch = fetch_none

    def fill(self, text: str) -> str:
        """`text` with its variables filled in. Raises Unfilled."""
        rest = SECRET.sub("", VARIABLE.sub("", text))
        if BEGINNING.search(rest):
            raise Unfilled(f"a ${{ is not understood; {FORMS}")
        # in one pass, so that nothing is filled into what was fetched
        return EITHER.sub(self._filled, text) or Nothing(text)

    def _filled(self, match: re.Match[str]) -> str:
        if found := SECRET.fullmatch(match[0]):
            escaped, scheme, name = found.groups()
            return match[0][1:] if escaped else self.fetch(scheme, name)
        found = VARIABLE.fullmatch(match[0])
        assert found
        return self._value(found)

    def _value(self, match: re.Match[str]) -> str:
        escaped, name, default = match.groups()
        if escaped:
            return match[0][1:]
        if default is not None and "${" in default:
            raise Unfilled(f"the default of {name} holds a variable, which is not filled in")
        value = self.values.get(name)
        if value and name in self.unfilled:
            raise Unfilled(
                f"{name} holds a ${{ in .env, where nothing is filled in; write what is meant"
                " there, in single quotes if it is to stand as it is"
            )
        if not value and default is not None:
            value = default
        if value is None:
            raise NotSet(
                f"the environment variable {name} is not set; set it, put it into .env beside the"
                f" file, or write ${{{name}:-default}}"
            )
        return value


def refuse_other_forms(text: str, connects: bool) -> None:
    """Raises Unfilled where `text` holds what other tools would fill in.

    `connects`: it is an address or a key, in which nobody means a `$NAME` or a `{{` to the letter.
    """
    if TEMPLATE.search(text) and (connects or "env_var(" in text):
        raise Unfilled("this is no template; write ${NAME} for an environment variable")
    if not connects and BARE_NAME.fullmatch(text):
        raise Unfilled("a $NAME is not filled in; write ${NAME}")
    if connects and BARE_NAME.search(SECRET.sub("", VARIABLE.sub("", text))):
        raise Unfilled(
            "a $NAME is not filled in; write ${NAME}. Where a $ is meant, put the whole value into"
            " a variable, or write %24 for it in a URL"
        )


def variables_for(
    file: Path, environment: Mapping[str, str] | None = None, fetch: Fetch = fetch_none
) -> Variables:
    """What is set in `environment` (default: os.environ), then in the `.env` beside `file`; `fetch`
    finds secrets that are kept elsewhere.

    Raises ConfigurationError when the `.env` cannot be read, naming the line.
    """
    environment = os.environ if environment is None else environment
    path = file.parent / ".env"
    values: dict[str, str | None] = {}
    unfilled: set[str] = set()
    for binding in _bindings(path):
        name = str(binding.key)
        values[name] = binding.value
        unfilled.discard(name)
        if "${" in (binding.value or "") and not IN_SINGLE_QUOTES.match(binding.original.string):
            unfilled.add(name)
    return Variables(values | dict(environment), frozenset(unfilled - environment.keys()), fetch)


def read_utf8(file: Path) -> str:
    """What a file of text holds. Raises ConfigurationError, with the line where it is not UTF-8,
    and FileNotFoundError."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        said = f"cannot read it: {error.strerror}"
        raise ConfigurationError(Problem((), said, "include", Mark(file, 1, 1))) from None
    if content.startswith(UTF_16) or b"\x00" in content:
        raise _not_utf8(file, 1, "not a text in UTF-8 (UTF-16?); save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _not_utf8(file, line, "not a text in UTF-8; save the file as UTF-8") from None


def _not_utf8(file: Path, line: int, said: str) -> ConfigurationError:
    return ConfigurationError(Problem((), said, "encoding", Mark(file, line, 1)))


def _bindings(path: Path) -> Iterator[Binding]:
    try:
        text = read_utf8(path)
    except FileNotFoundError:
        return
    for binding in parse_stream(StringIO(text)):
        if binding.error:
            before = binding.original.string
            line = binding.original.line + before[: -len(before.lstrip())].count("\n")
            raise ConfigurationError(f"{path}:{line}: expected a line such as NAME=value")
        if binding.key is not None:
            yield binding
