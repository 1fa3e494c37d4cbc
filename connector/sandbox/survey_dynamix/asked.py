"""What a form asks for: a survey for a person at a time, and everything else as metadata."""

import re
from dataclasses import field
from datetime import UTC, datetime, timedelta, timezone
from typing import Literal
from urllib.parse import parse_qsl

from connector.basis import dataclass
from connector.sandbox.exchange import Refusal, Request

BY_PHONE = frozenset({"inbound", "outbound", "sms", "websms"})
SURVEY_TYPES = BY_PHONE | {"web", "email"}
TEXTS = (
    "external_ref",
    "call_type",
    "agent_id",
    "phone_connection_id",
    "respondent_language",
)
"""Parameters that are kept as they are written."""
PARAMETERS = frozenset(
    {
        *TEXTS,
        "survey_id",
        "survey_type",
        "phone_number",
        "email",
        "scheduled_at",
        "_shorten_urls",
        "_force_new",
    }
)
"""The API's own; what has any other name is metadata."""
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
PHONE = re.compile(r"\+[0-9]{8,15}")
EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
IN_A_WHILE = re.compile(r"now(?:\s*[+ ]\s*([0-9]+)\s*(day|hour|minute)s?)?", re.IGNORECASE)
ABSOLUTE = "%Y-%m-%d %H:%M:%S"
LOCAL = timezone(timedelta(hours=10))
"""The zone of the account."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A survey that is asked for."""

    survey_id: int
    survey_type: str
    phone_number: str | None
    email: str | None
    scheduled_at: float | None  #: None: now
    force_new: bool
    texts: dict[str, str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)  #: the metadata

    @property
    def person(self) -> str:
        """Whom the survey reaches; "" for one that only has a link."""
        return (self.email if self.survey_type == "email" else self.phone_number) or ""


def form_of(request: Request, json_body: Literal["400", "ignored"]) -> dict[str, str]:
    """Return the form in a body. A bare `+` in it is a blank. Raises Refusal for a body of JSON if
    those are refused; any other that is no form is an empty one."""
    kind = request.headers.get(b"content-type", b"").split(b";")[0].strip().lower()
    if kind == b"application/json" and json_body == "400":
        raise Refusal(400, "malformed", "The body must be form-encoded")
    if kind != b"application/x-www-form-urlencoded":
        return {}
    try:
        text = request.body.decode("ascii")
        return dict(parse_qsl(text, keep_blank_values=True, errors="strict"))
    except ValueError:
        raise Refusal(400, "malformed", "The body is no form in UTF-8") from None


def asked(
    form: dict[str, str],
    now: float,
    *,
    iso_time: Literal["taken", "400", "local"],
    bad_name: Literal["400", "stored"],
) -> Asked:
    """Return what a form asks for. Raises Refusal for what is missing or malformed."""
    survey_type = form.get("survey_type") or "web"
    if survey_type not in SURVEY_TYPES:
        raise Refusal(400, "malformed", f"survey_type '{survey_type}' is unknown")
    data = {name: value for name, value in form.items() if name not in PARAMETERS}
    if bad_name == "400" and (bad := [name for name in data if not NAME.fullmatch(name)]):
        raise Refusal(400, "malformed", f"'{bad[0]}' is no name of custom data")
    at = form.get("scheduled_at")
    return Asked(
        survey_id=whole_number(form, "survey_id"),
        survey_type=survey_type,
        phone_number=_address(form, "phone_number", PHONE, survey_type in BY_PHONE),
        email=_address(form, "email", EMAIL, survey_type == "email"),
        scheduled_at=instant(at, now, iso_time) if at else None,
        force_new=form.get("_force_new", "").lower() in ("true", "1"),
        texts={name: form[name] for name in TEXTS if name in form},
        data=data,
    )


def whole_number(form: dict[str, str], name: str) -> int:
    """Return a number of a form or query. Raises Refusal for any other text, and for none."""
    text = form.get(name, "")
    if not (text.isascii() and text.isdecimal()):
        raise Refusal(400, "malformed", f"{name} is required and must be a whole number")
    return int(text)


def instant(text: str, now: float, iso_time: Literal["taken", "400", "local"]) -> float:
    """Return the time that a text means: UTC, relative to now, or ISO 8601 as it is taken. Raises
    Refusal for any other."""
    if found := IN_A_WHILE.fullmatch(text.strip()):
        number, unit = found.groups()
        return now + int(number or 0) * {"day": 86400, "hour": 3600}.get((unit or "").lower(), 60)
    try:
        return datetime.strptime(text, ABSOLUTE).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return _iso(text, iso_time)


def written(moment: float) -> str:
    """Return a time as the API shows it."""
    return datetime.fromtimestamp(moment, UTC).strftime(ABSOLUTE)


def _iso(text: str, iso_time: Literal["taken", "400", "local"]) -> float:
    refusal = Refusal(400, "malformed", f"scheduled_at '{text}' is no time")
    if iso_time == "400":
        raise refusal
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise refusal from None
    if iso_time == "local":
        return moment.replace(tzinfo=LOCAL).timestamp()
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _address(
    form: dict[str, str], name: str, pattern: re.Pattern[str], required: bool
) -> str | None:
    text = form.get(name)
    if not text:
        if required:
            raise Refusal(400, "malformed", f"{name} is required for this survey_type")
        return None
    if not pattern.fullmatch(text):
        raise Refusal(400, "malformed", f"{name} is not in the proper format")
    return text
