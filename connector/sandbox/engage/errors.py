"""How Engage words a refusal: a status and an envelope with code, message and details."""

from typing import Any
from uuid import uuid4

from connector.sandbox.engage.behaviour import Behaviour
from connector.sandbox.exchange import Answer, Refusal, json_answer


def refused(refusal: Refusal, behaviour: Behaviour) -> Answer:
    """Return the answer that carries a refusal."""
    if behaviour.error_body == "empty":
        return Answer(refusal.status)
    return json_answer(envelope(refusal), refusal.status)


def envelope(refusal: Refusal) -> dict[str, Any]:
    """Return the documented body of a refusal, with a request id of its own."""
    body: dict[str, Any] = {
        "errorCode": refusal.code,
        "message": refusal.message,
        "messageDetails": refusal.details,
        "requestId": str(uuid4()),
    }
    if refusal.problems:
        body["validationErrors"] = [{"errorDescription": each} for each in refusal.problems]
    return body


def plain_error(status: int, message: str) -> Answer:
    """Return an error in the form of the framework that Engage runs on."""
    return json_answer({"Message": message}, status)
