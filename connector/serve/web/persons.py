"""Who asks: a name and a role, by a token, by a session for it, or by a proxy that is trusted."""

import hmac
import ipaddress
import re
import secrets
from collections.abc import Mapping
from dataclasses import field, replace
from enum import StrEnum
from hashlib import sha256
from urllib.parse import urlsplit

from starlette.requests import Request

from connector.basis import dataclass
from connector.ledger.decisions import Person
from connector.rules.errors import ConfigurationError
from connector.rules.serving import ServeSettings

COOKIE = "connector_session"
HAS_TOKEN = "whoever has the token"
LONGEST_NAME = 100
LONGEST_NOTE = 500
PEER = "connector.peer"
VISITOR = "connector.visitor"
"""Under which names a request carries the address that it came from, and who asks."""


class Role(StrEnum):
    """What somebody may do; each includes those before it."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"

    @property
    def rank(self) -> int:
        return list(Role).index(self)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks. `name` None: nobody knows, so forms ask for one; `nameless`: what stands on record
    where none is given."""

    name: str | None = None
    role: Role = Role.APPROVER
    nameless: str = "the web page"
    in_session: bool = False
    """They have signed in with this browser."""

    def may(self, needed: Role) -> bool:
        return self.role.rank >= needed.rank

    @property
    def operates(self) -> bool:
        """Whether they may run, pause and retry."""
        return self.may(Role.OPERATOR)

    @property
    def approves(self) -> bool:
        """Whether they may also do what cannot be taken back."""
        return self.may(Role.APPROVER)


@dataclass(frozen=True, slots=True)
class Persons:
    """Those who are let in: whoever has the one `token`, with full rights and without a name, and
    those that the configuration names."""

    token: str | None
    named: ServeSettings = field(default_factory=ServeSettings)

    @property
    def anybody(self) -> bool:
        """Whether nobody has to show anything."""
        return self.token is None and not self.named.tokens and not self.named.user_header

    @property
    def sign_in(self) -> bool:
        """Whether there is a token to sign in with."""
        return self.token is not None or bool(self.named.tokens)

    def _tokens(self) -> list[tuple[str, Visitor]]:
        found = [] if self.token is None else [(self.token, Visitor(nameless=HAS_TOKEN))]
        for each in self.named.tokens:
            visitor = Visitor(each.name, Role(each.role))
            found.append((each.token.get_secret_value(), visitor))
        return found

    def with_token(self, given: str) -> Visitor | None:
        """Whose token that is; all are compared, so that the time tells nothing."""
        found = [visitor for token, visitor in self._tokens() if is_token(given, token)]
        return found[0] if found else None

    def with_session(self, request: Request) -> Visitor | None:
        """Whose session a browser has."""
        given = request.cookies.get(COOKIE, "")
        found = [v for token, v in self._tokens() if is_token(given, session_of(token))]
        return replace(found[0], in_session=True) if found else None

    def by_proxy(self, request: Request) -> Visitor | None:
        """Whom a trusted proxy names. From any other address the header says nothing."""
        header = self.named.user_header
        if header is None or not self._is_trusted(request):
            return None
        given = request.headers.getlist(header)
        name = " ".join(given[0].split())[:LONGEST_NAME] if len(given) == 1 else ""
        if not name or not name.isprintable():
            return None
        roles = {" ".join(n.split()).casefold(): role for n, role in self.named.roles.items()}
        return Visitor(name, Role(roles.get(name.casefold(), self.named.role)))

    def _is_trusted(self, request: Request) -> bool:
        peer = request.scope.get(PEER, request.scope.get("client"))
        try:
            address = ipaddress.ip_address(peer[0] if peer else "")
        except ValueError:
            return False
        return any(address in ipaddress.ip_network(n) for n in self.named.trusted_proxies)


def visitor_of(request: Request) -> Visitor:
    """Who asks; where nobody had to say so, somebody without a name."""
    found: Visitor = request.scope.get(VISITOR) or Visitor()
    return found


class Forbidden(ConfigurationError):
    """Somebody asks for what their role does not allow."""


def demand(request: Request, needed: Role) -> None:
    """Raises Forbidden."""
    visitor = visitor_of(request)
    if not visitor.may(needed):
        raise Forbidden(refusal(visitor, needed))


def refusal(visitor: Visitor, needed: Role) -> str:
    """That a role does not allow something."""
    return f"{visitor.name} has the role {visitor.role} here, and this takes the role {needed}"


FINAL = ("/quarantine/settle", "/quarantine/discard")
FINAL_TOO = re.compile(r"/api/approve/.*|.*/approve|/runs/[^/]+/undo")
LOOKS = ("/rows/now", "/quarantine/now", "/login", "/logout")


def needed_for(method: str, path: str) -> Role:
    """Which role a request takes. What cannot be taken back takes an approver."""
    if method in ("GET", "HEAD") or path in LOOKS:
        return Role.VIEWER
    if path in FINAL or FINAL_TOO.fullmatch(path):
        return Role.APPROVER
    return Role.OPERATOR


def is_token(given: str, token: str) -> bool:
    """Whether they are equal, in a time that does not tell how much of them is."""
    return secrets.compare_digest(given.encode(errors="replace"), token.encode())


def session_of(token: str) -> str:
    """What a browser keeps instead of the token."""
    return hmac.new(token.encode(), b"session", sha256).hexdigest()


def from_elsewhere(request: Request) -> bool:
    """Whether a page of another site has made the browser ask."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("origin")
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc != request.headers.get("host")
    except ValueError:
        return True


def person_of(request: Request, form: Mapping[str, str]) -> Person:
    """Who decides, each on one line. Where it is known who asks, no form takes another name."""
    visitor = visitor_of(request)
    name = visitor.name or " ".join(form.get("by", "").split())[:LONGEST_NAME]
    note = " ".join(form.get("note", "").split())[:LONGEST_NOTE]
    return Person(name or visitor.nameless, note or None)
