"""What every destination over HTTP has, to be inherited: its wire, its pace, and how it stops."""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Self

from connector.destinations.answers import Response
from connector.destinations.bodies import Body
from connector.destinations.credentials import Credentials
from connector.destinations.hooks import LastLook, Stopping
from connector.destinations.http import (
    NO_HEADERS,
    Http,
    asked_to_wait,
    refuse_credentials,
    refuse_redirect,
)
from connector.destinations.pacing import Wire
from connector.destinations.port import Item, Look, Shape, Wiring
from connector.destinations.settings import DestinationSettings
from connector.rules.delivery import NotApplied, Unknown
from connector.rules.errors import DestinationUnusable

ROUND_ABOUT = 512
"""Bytes of a request that a row takes beside its payload."""
TO_BE_MADE_ELSEWHERE = (301, 302, 307, 308)
"""What says that the request is to be made at another address (RFC 9110, section 15.4). The other
3xx do not: 303 says that it was performed, and where to see what came of it."""


class Api(Http):
    """One API under one set of credentials. Belongs to the event loop in which it is used."""

    reference_prefix: str = ""
    remarks: Sequence[str] = ()

    def __init__(
        self,
        base: str,
        settings: DestinationSettings,
        credentials: Credentials,
        wiring: Wiring,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        """`base`: the url that every path is added to; `headers`: what goes with each request."""
        wire, agent = Wire(settings.concurrency, wiring.pacer), settings.user_agent
        super().__init__(base.rstrip("/"), credentials, settings.timeout, wire, agent, headers)
        self.go_out(settings, wiring.base)
        self.concurrency = settings.concurrency
        self.reference_prefix = settings.prefix
        self._secret_word = settings.secret_word

    def heeding(self, stopping: Stopping) -> Self:
        """The same client for somebody who may be asked to stop: what may be repeated is not begun
        any more then, and no further page is asked for."""
        before, mine = self.stopping, copy(self)
        mine.stopping = lambda: stopping() or before()
        return mine

    def shape(self, activation: Any) -> Shape | None:
        """What payloads must be like, as far as the project's own files say it."""
        return None

    def weigh(self, item: Item) -> int:
        """About how many bytes of a request it takes."""
        return len(item.payload) + ROUND_ABOUT

    async def references(self, target: str) -> frozenset[str]:
        """None: most APIs cannot be asked for them."""
        return frozenset()

    def deletion(self, interaction_id: str) -> Look | None:
        """How the request looks that deletes an interaction. Not shown where an API has none."""
        return None

    async def post(self, look: Look, last_look: LastLook) -> Response | NotApplied | Unknown:
        """Send what was composed for a parcel that came near, exactly once."""
        path, body = look.url.removeprefix(self.base), Body(look.body, look.type)
        answer = await self.once(look.method, path, body, last_look, True, look.headers)
        return answer if not isinstance(answer, Response) else _known_or_doubtful(answer)

    def not_applied(self, response: Response) -> NotApplied | None:
        """Of an answer to what was sent once: that nothing came of it, and that it may go again.
        The destination is busy, or only the token had expired."""
        status = response.status_code
        if status == 429:
            return NotApplied(self.words(response), status, asked_to_wait(response), busy=True)
        if status == 401:
            sent = dict(response.request.headers)
            shown = {name: sent[name] for name in self.credentials.headers}
            if self.credentials.refused(shown):
                return NotApplied("HTTP 401: the token had expired", status, again=True)
        return None

    def refuse_all(self, response: Response) -> None:
        """Raises DestinationUnusable for an answer that every request would get: a redirect, or
        credentials that are refused."""
        refuse_redirect(response)
        refuse_credentials(response, self._secret_word)

    def useful(self, answer: Response | str) -> Response:
        """`answer`, if there is one. Raises DestinationUnusable."""
        if isinstance(answer, str):
            raise DestinationUnusable(f"the destination {self.base} gives no answer: {answer}")
        self.refuse_all(answer)
        return answer


def _known_or_doubtful(response: Response) -> Response | Unknown:
    """`response`, but for one that leads elsewhere and does not say that nothing was stored."""
    status = response.status_code
    if not 300 <= status < 400 or status in TO_BE_MADE_ELSEWHERE:
        return response
    why = f"the destination answers with HTTP {status}, which is not followed; is the url right?"
    return Unknown(f"HTTP {status} does not say whether it was stored", status, distrust=why)
