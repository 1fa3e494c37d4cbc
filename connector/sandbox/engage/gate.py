"""Whom Engage lets in: key, User-Agent, rate and Content-Type, in this order."""

import re
import secrets

import orjson

from connector.sandbox.engage.behaviour import Behaviour
from connector.sandbox.engage.errors import envelope, plain_error, refused
from connector.sandbox.exchange import Answer, Refusal, Request
from connector.sandbox.gate import TokenBucket, retry_after

SYSTEM_AND_VERSION = re.compile(rb"[^\s/]+/\S+.*")


class Gate:
    """Checks a request before anything is done with it."""

    def __init__(self, api_key: str, behaviour: Behaviour, now: float) -> None:
        self._key = api_key.encode()
        self._behaviour = behaviour
        self._bucket = TokenBucket(behaviour.hard_rate, now) if behaviour.hard_rate else None

    def refusal(self, request: Request, now: float) -> Answer | None:
        """Return the answer to a request that is not let in, None for one that is."""
        behaviour = self._behaviour
        # Compared in constant time, as everywhere where a secret is compared.
        if not secrets.compare_digest(request.headers.get(b"apikey", b""), self._key):
            error = Refusal(behaviour.bad_key_status, "Unauthorized", "The API key is invalid")
            return refused(error, behaviour)
        agent = request.headers.get(b"user-agent")
        if behaviour.without_user_agent != "taken" and not agent:
            error = Refusal(
                behaviour.without_user_agent, "InvalidUserAgent", "User-Agent is missing"
            )
            return refused(error, behaviour)
        if behaviour.strict_user_agent and not _names_its_sender(request):
            error = Refusal(400, "InvalidUserAgent", "User-Agent must be System/version")
            return refused(error, behaviour)
        if self._bucket and not self._bucket.take(now):
            return too_many(behaviour, now)
        untyped = behaviour.without_content_type
        if untyped != "taken" and request.method == "POST" and not _is_json(request):
            return plain_error(untyped, "An error has occurred.")
        return None


def too_many(behaviour: Behaviour, now: float) -> Answer:
    """Return a 429, with Retry-After if the behaviour has one."""
    body = b""
    if behaviour.too_many_body == "json":
        body = orjson.dumps(envelope(Refusal(429, "TooManyRequests", "Too many requests")))
    return Answer(429, body, headers=retry_after(behaviour, now))


def _names_its_sender(request: Request) -> bool:
    agent = request.headers.get(b"user-agent", b"")
    return SYSTEM_AND_VERSION.fullmatch(agent) is not None


def _is_json(request: Request) -> bool:
    content_type = request.headers.get(b"content-type", b"")
    return content_type.split(b";")[0].strip().lower() == b"application/json"
