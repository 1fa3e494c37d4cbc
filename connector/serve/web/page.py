"""How a page is made: its frame, questions and failures, and how numbers and times are written."""

import json
import re
from collections.abc import Collection, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from urllib.parse import parse_qsl, quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from connector import __version__
from connector.rules.errors import (
    ActivationBusy,
    ActivationPaused,
    ApprovalRefused,
    ConfigurationError,
    ConnectorError,
    StaleMove,
)
from connector.rules.properties import mask
from connector.rules.words import percent, words
from connector.serve.web.bounds import MOST_OF_A_BODY
from connector.serve.web.persons import Forbidden, from_elsewhere, visitor_of
from connector.show.blocks import match_rate
from connector.show.story import because_text, without_command
from connector.show.terminal import ON_PAGES, plain_on_page

LONGEST_CELL = 300
"""Characters of a key or a reason in a table; the page of the row shows all of it."""
TAG = re.compile(r"(<[^>]*>)")
READ = re.compile(r' (?:aria-label|data-confirm|data-ended|data-label|title)="[^"]*"')
"""What of a tag is shown, or read out."""
ZONE: ContextVar[tzinfo] = ContextVar("zone", default=UTC)
"""The project's, in which times are written while a page is made."""
CONFIGURED: ContextVar[Collection[str]] = ContextVar("configured", default=())
"""The names of the project's activations, which alone have pages of their own."""
UNITS = ((86400, "days"), (3600, "h"), (60, "min"), (1, "s"))
TONES = {
    "succeeded": "good",
    "delivered": "good",
    "attention": "warn",
    "held": "warn",
    "paused": "calm",
    "never run": "calm",
    "running": "calm",
    "not_begun": "calm",
    "stopped": "bad",
    "invalid": "bad",
    "rejected": "bad",
    "in_doubt": "warn",
    "waiting": "warn",
    "submitted": "calm",
    "ok": "good",
    "deviation": "bad",
    "nothing": "calm",
    "not_proven": "warn",
}


def page(request: Request, template: str, title: str, **content: Any) -> Response:
    """A rendered page."""
    frame = request.app.state.around()  # what stands on every page
    text = ENVIRONMENT.get_template(template).render(
        title=title,
        here=content.pop("here", request.scope["path"]),
        version=__version__,
        person=visitor_of(request),
        **frame,
        # a link on another site must not put words into our mouth
        said=None if from_elsewhere(request) else request.query_params.get("said"),
        **content,
    )
    return HTMLResponse(_as_it_is(text), content.get("status", 200))


def _as_it_is(html: str) -> str:
    """A page on which nothing turns the direction of what is read, and nothing hides. What forms
    send, and addresses, stay what they are."""
    if ON_PAGES.search(html) is None:
        return html
    pieces = TAG.split(html)
    for number, piece in enumerate(pieces):
        if number % 2:
            pieces[number] = READ.sub(lambda found: plain_on_page(found[0]), piece)
        else:
            pieces[number] = plain_on_page(piece)
    return "".join(pieces)


class NotUnderstood(ConfigurationError):
    """A body is not what is expected there."""


class TooLong(ConfigurationError):
    """A body is longer than any form of ours."""


async def form_of(request: Request) -> dict[str, str]:
    """What a form of ours has sent. Raises TooLong."""
    return dict(parse_qsl((await body_of(request)).decode(errors="replace")))


async def body_of(request: Request) -> bytes:
    """The body of a request. Raises TooLong."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_OF_A_BODY:
            raise TooLong("That is more than a form of these pages sends.")
    return body


def problem(
    request: Request,
    error: Exception,
    title: str = "That did not work",
    status: int | None = None,
    back: str | None = None,
) -> Response:
    """A failure, as a page with a sentence; `back`: where what it is about can be looked at."""
    usual, text = told(error)
    return page(request, "problem.html", title, text=text, status=status or usual, back=back)


def told(error: Exception) -> tuple[int, str]:
    """A failure's HTTP status and its sentence."""
    match error:
        case Forbidden():
            return 403, str(error)
        case ApprovalRefused():
            return 409, str(error)
        case ActivationBusy() | ActivationPaused() | StaleMove():
            return 409, str(error)
        case TooLong():
            return 413, str(error)
        case NotUnderstood():
            return 400, str(error)
        case ConfigurationError():
            return 404, str(error)
        case ConnectorError():
            return 503, str(error)
        case _:  # a mistake of ours may hold a row's values in its message
            return 500, f"unexpected {type(error).__name__}; the log says where"


def confirm(
    request: Request, question: str, form: Mapping[str, str], back: str, decides: bool = False
) -> Response:
    """The question that browsers without scripts see; others have asked it already.

    `decides`: it goes on record, so who decides is asked for, too.
    """
    return page(
        request,
        "confirm.html",
        "Are you sure?",
        question=question,
        fields=[(name, value) for name, value in form.items() if name not in ("by", "note")],
        action=request.scope["path"],
        back=back,
        decides=decides,
    )


def said(path: str, text: str) -> Response:
    """Go on to `path`, where `text` is shown."""
    joint = "&" if "?" in path else "?"
    return RedirectResponse(f"{path}{joint}said={quote(text)}", 303)


# --- how things are written ----------------------------------------------------------------------


def shortened(text: str, most: int = LONGEST_CELL) -> str:
    """The beginning of a text that could fill the page."""
    return text if len(text) <= most else f"{text[:most]}…"


def with_code(text: str) -> Markup:
    """A text in which code stands between backticks, as messages have it."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:  # one of them has no end: it is a row's own
        return escape(text)
    code = Markup("<code>{}</code>")
    return Markup().join(
        code.format(each) if number % 2 else escape(each) for number, each in enumerate(pieces)
    )


def with_way(activation: str) -> Markup:
    """The name of an activation, and the way to its page, if it has one: what was recorded of one
    that is taken out, or under its earlier name, is told all the same."""
    if activation not in CONFIGURED.get():
        return escape(activation)
    return Markup('<a href="/activations/{}">{}</a>').format(quote(activation), activation)


def moment(text: str | None, to: str = "minutes") -> str:
    """A time in the project's zone, with the name that the zone has then."""
    if not text:
        return "–"
    then = datetime.fromisoformat(text).astimezone(ZONE.get())
    return f"{then:{'%Y-%m-%d %H:%M:%S' if to == 'seconds' else '%Y-%m-%d %H:%M'}} {then.tzname()}"


def away(then: datetime, now: datetime) -> str:
    """How far `then` is from `now`, in the largest unit that still tells something."""
    seconds = abs((then - now).total_seconds())
    if seconds < 1.5:
        return "now"
    size, unit = next((s, u) for s, u in UNITS if seconds >= 1.5 * s)
    return f"in {seconds / size:.0f} {unit}" if then > now else f"{seconds / size:.0f} {unit} ago"


def lasting(seconds: float) -> str:
    """How long that is, in the largest unit that still tells something."""
    if 0 < seconds < 1:
        return "less than 1 s"
    size, unit = next((s, u) for s, u in UNITS if seconds >= 1.5 * s or s == 1)
    number = seconds / size
    return (
        f"{number:.1f} {unit}" if number < 10 and round(number, 1) % 1 else f"{number:.0f} {unit}"
    )


def run_now(document: Mapping[str, Any]) -> str | None:
    """The run of an activation that goes on now, of this process or of another one."""
    last = document["last_run"]
    there = last["run_id"] if last and last["status"] == "running" else None
    return document["running"] or there


def _speed(run: Mapping[str, Any]) -> str | None:
    """Deliveries a second of a run that has ended."""
    if not run["finished_at"] or not run["delivered"]:
        return None
    seconds = max(_span(run).total_seconds(), 0.001)
    return f"{run['delivered'] / seconds:,.1f} a second"


def _span(run: Mapping[str, Any]) -> timedelta:
    began, ended = run["started_at"], run["finished_at"]
    return datetime.fromisoformat(ended) - datetime.fromisoformat(began)


def _took(run: Mapping[str, Any]) -> str:
    if not run["finished_at"]:
        return "–"
    seconds = _span(run).total_seconds()
    return f"{seconds:.1f} s" if seconds < 60 else lasting(seconds)


def _pretty(body: Any, shown: bool) -> str:
    """A body; without `shown`, with everything masked that a row has brought."""
    if isinstance(body, str):  # a form
        fields = dict(parse_qsl(body, keep_blank_values=True))
        return body if shown else _pretty(fields, shown)
    if not shown and isinstance(body, dict) and isinstance(body.get("payload"), dict):
        masked = dict.fromkeys(body["payload"], "•••")  # a number may tell about a customer, too
        body = {**body, "contactId": "•••", "payload": masked}
    elif not shown:
        body = mask(body)
    return json.dumps(body, indent=2, ensure_ascii=False)


ENVIRONMENT = Environment(
    loader=PackageLoader("connector.serve.web"),
    autoescape=True,  # rows may hold anything, scripts too
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.filters.update(
    away=lambda text: away(datetime.fromisoformat(text), datetime.now(UTC)),
    moment=moment,
    number="{:,}".format,
    percent=percent,
    because=because_text,
    capitalize_first=lambda text: f"{text[:1].upper()}{text[1:]}",
    heading=lambda name: f"#{words(name).capitalize()}",
    with_code=with_code,
    with_way=with_way,
    has_page=lambda activation: activation in CONFIGURED.get(),
    without_command=without_command,
    words=words,
    took=_took,
    lasted=lambda receipt: _took({**receipt, "started_at": receipt["began_at"]}),
    plain=lambda value: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False),
    pretty=_pretty,
    matched=match_rate,
    lasting=lasting,
    short=shortened,
    run_now=run_now,
    speed=_speed,
    tone=lambda status: TONES.get(status, "calm"),
)
