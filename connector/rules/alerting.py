"""What `activations.yaml` says of alerts: whom `connector serve` tells, of what, and when."""

import re
from datetime import datetime, time, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from connector.rules.grammar import Closed, Duration, Names, Zone, plain_number
from connector.rules.network import Network

Severity = Literal["warning", "error"]
SERVICE = re.compile(r"([a-z][a-z0-9]{1,19})://")
HOST = re.compile(r"https?://([A-Za-z0-9.-]+)(?=[:/?#]|$)")
CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


def parse_clock(value: Any) -> Any:
    """`22:00` as a time of day."""
    if isinstance(value, str) and (match := CLOCK.fullmatch(value.strip())):
        return time(int(match[1]), int(match[2]))
    raise ValueError("expected a time of day in quotes, such as 22:00")


Clock = Annotated[
    time, BeforeValidator(parse_clock), WithJsonSchema({"type": "string", "examples": ["22:00"]})
]


class Quiet(Closed):
    """Hours in which nobody is told; what still stands at their end is told then."""

    begins: Clock = Field(alias="from")
    """A time of day, such as 22:00."""
    ends: Clock = Field(alias="to")
    """Before `from`: on the day after."""
    timezone: Zone = ZoneInfo("UTC")
    """Whose clocks. Left out: UTC."""
    loud: Literal["error"] | None = Field(default=None, alias="except")
    """error: that is told at any time. Left out: nothing is."""

    @model_validator(mode="after")
    def _some_time(self) -> "Quiet":
        if self.begins == self.ends:
            raise ValueError("expected two different times: from and to are the same")
        return self

    def keeps(self, severity: Severity, now: datetime) -> bool:
        """Whether what is as bad as that has to wait at `now`."""
        if severity == self.loud:
            return False
        shown = now.astimezone(self.timezone).time()
        if self.begins < self.ends:
            return self.begins <= shown < self.ends
        return shown >= self.begins or shown < self.ends


class Alert(Network):
    """Whom `connector serve` tells when an activation's state changes, for better or worse."""

    webhook: SecretStr | None = None
    """A Slack-compatible incoming webhook: gets {"text": …}."""
    apprise: SecretStr | None = None
    """Any address that apprise knows, such as mailto://…; needs the extra of that name."""
    activations: Names = ()
    """Of which it is told: names, patterns, tag:NAME, owner:NAME. Left out: of all, and of the
    project itself."""
    severity: Severity = "warning"
    """From which on it is told. error: nothing goes on until somebody does something (a run was
    stopped or is held, the configuration is wrong), or lag or nothing_for is passed."""
    lag: Duration | None = None
    """How long ago the model of an activation may have been read to its end."""
    nothing_for: Duration | None = None
    """How long an activation may have delivered no row."""
    group: Duration = timedelta(seconds=10)
    """What comes within that time after a message is one message. 0: each is told at once."""
    at_most: Annotated[int, Field(ge=1), BeforeValidator(plain_number)] = 30
    """Messages within an hour; what comes on top is told in one, as soon as the hour lets it."""
    remind: Duration | None = None
    """After which what still stands is told once more. Left out: it is told once."""
    quiet: Quiet | None = None

    @field_validator("lag", "nothing_for", "remind")
    @classmethod
    def _some_time(cls, span: timedelta | None) -> timedelta | None:
        if span is not None and span < timedelta(seconds=1):
            raise ValueError("expected 1s or longer")
        return span

    @model_validator(mode="after")
    def _one_address(self) -> "Alert":
        if (self.webhook is None) == (self.apprise is None):
            raise ValueError("expected exactly one of webhook and apprise")
        if self.webhook and not self.webhook.get_secret_value().startswith(("https://", "http://")):
            raise ValueError("expected a webhook such as https://hooks.slack.com/services/…")
        if self.apprise and not self.is_plain:
            raise ValueError(
                "proxy, ca_file and client_certificate go with a webhook; apprise goes by"
                " HTTPS_PROXY"
            )
        return self

    @property
    def address(self) -> str:
        """Where its messages go, which is a secret."""
        found = self.webhook or self.apprise
        assert found is not None
        return found.get_secret_value()

    @property
    def called(self) -> str:
        """It, without what is secret: which service, of a webhook which host; and of what it is
        told, if not of all."""
        service = SERVICE.match(self.address)
        if self.webhook:
            host = HOST.match(self.address)
            kind = f"webhook to {host[1]}" if host else "webhook"
        else:
            kind = f"{service[1]} through apprise" if service else "apprise"
        return f"{kind}, of {', '.join(self.activations)}" if self.activations else kind


def parse_alerts(value: Any) -> Any:
    """One entry alone as a list of one."""
    return [value] if isinstance(value, dict) else value


class OneOrMany:
    """Lets a list of one entry be written as that entry alone."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(parse_alerts, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        many = handler(schema)
        return {"anyOf": [many["items"], many]}


Alerts = Annotated[tuple[Alert, ...], OneOrMany()]
