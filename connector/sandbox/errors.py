"""How Engage says no: a status, an error code and a message."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4


class EngageError(Exception):
    """The request is refused with `status`. `envelope()` is the documented body of the answer."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        problems: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details or {}
        self.problems = tuple(problems)

    def envelope(self) -> dict[str, Any]:
        """Return the error as Engage words it, with a request id of its own."""
        body: dict[str, Any] = {
            "errorCode": self.code,
            "message": self.message,
            "messageDetails": self.details,
            "requestId": str(uuid4()),
        }
        if self.problems:
            body["validationErrors"] = [{"errorDescription": each} for each in self.problems]
        return body


def validation_error(status: int, problems: Sequence[str]) -> EngageError:
    """Return the refusal of something that breaks rules, one sentence a rule."""
    return EngageError(status, "ValidationError", "; ".join(problems), problems=problems)
