"""Tokens for a client id and its secret (OAuth 2.0, RFC 6749, section 4.4)."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from connector.destinations.bodies import form
from connector.destinations.credentials import Bearer, Token, basic
from connector.destinations.http import Http, json_of, refuse_credentials, refuse_redirect
from connector.destinations.pacing import Wire
from connector.destinations.port import Wiring
from connector.destinations.settings import DestinationSettings, sendable
from connector.rules.errors import DestinationUnusable, KeyRefused

A_MINUTE = 60.0
WRONG_CLIENT = ("invalid_client", "unauthorized_client")
"""What is said, with 400 too, of an id or a secret that is not known (RFC 6749, section 5.2)."""


def client_credentials(
    base: str, path: str, user: str, secret: str, settings: DestinationSettings, wiring: Wiring
) -> Bearer:
    """A token that `path` under `base` gives for a client's id (`user`) and its `secret`. It is
    used until a minute before its end, and, where that is not told, until it is refused.

    Fetching raises KeyRefused where the client is not known, DestinationUnusable where no token is
    given. It has a wire of its own, since requests wait for it before their own turn comes.
    """
    shown = basic(user, secret)
    wire = Wire(1, wiring.pacer)
    endpoint = _Endpoint(base.rstrip("/"), shown, settings.timeout, wire, settings.user_agent)
    endpoint.go_out(settings, wiring.base)
    return _Fetched(endpoint, path, settings.secret_word)


class _Endpoint(Http):
    def said(self, content: Mapping[str, Any]) -> Iterable[object]:
        return [content.get("error"), content.get("error_description")]


class _Fetched(Bearer):
    def __init__(self, endpoint: Http, path: str, word: str) -> None:
        super().__init__(self._token, *endpoint.credentials.secrets, early=A_MINUTE)
        self._endpoint, self._path, self._word = endpoint, path, word

    async def aclose(self) -> None:
        await self._endpoint.aclose()

    async def _token(self) -> Token:
        body = form({"grant_type": "client_credentials"})
        answer = await self._endpoint.ask("POST", self._path, body=body)
        if isinstance(answer, str):
            raise DestinationUnusable(f"the destination gives no token: {answer}")
        refuse_redirect(answer)
        refuse_credentials(answer, self._word)
        content = json_of(answer)
        found = content if isinstance(content, dict) else {}
        if found.get("error") in WRONG_CLIENT:
            words = self._endpoint.words(answer)
            raise KeyRefused(f"the destination refuses the {self._word}: {words}")
        if not answer.is_success or not _is_token(found.get("access_token")):
            words = self._endpoint.words(answer)
            raise DestinationUnusable(
                f"the destination gives no token: {words}", answer.status_code
            )
        return Token(found["access_token"], _seconds(found.get("expires_in")))


def _is_token(text: object) -> bool:
    try:
        sendable(text if isinstance(text, str) else "", "a token")
    except ValueError:
        return False
    return True


def _seconds(written: object) -> float:
    """For how long it is good; infinite where that is not told."""
    try:
        seconds = float(written) if isinstance(written, int | float | str) else 0.0
    except (ValueError, OverflowError):
        return math.inf
    return seconds if seconds > 0 else math.inf
