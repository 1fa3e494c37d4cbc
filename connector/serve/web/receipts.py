"""The pages of verifications: what each came to, and one of them: what was compared, what differs,
and whether the receipt is as it was signed."""

import json
from dataclasses import asdict
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from connector.basis import dataclass
from connector.project import receipts as project
from connector.rules.deed import Document
from connector.rules.errors import ConfigurationError
from connector.rules.receipt import FOUND, Verdict
from connector.rules.words import rows, share_text
from connector.serve.service import Service
from connector.serve.web.page import moment, page
from connector.show.receipts import SEALS

SHOWN = 50
"""Receipts on one page."""
RESULTS = tuple(each.value for each in Verdict)
MEANINGS = {
    Verdict.OK: "Everything that was looked at is there, once, as it was sent.",
    Verdict.NOTHING: "There was nothing to look at.",
    Verdict.NOT_PROVEN: "Nothing was found amiss, but not all of it could be seen.",
    Verdict.DEVIATION: "Not all of it is at the destination as it was sent.",
}
SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the list is narrowed down to, and after which receipt a page of it begins."""

    activation: str = ""
    result: str = ""
    after: str = ""

    def address(self, **other: str) -> str:
        """The address of the list, with `other` values in place of its own."""
        asked = {name: text for name, text in (asdict(self) | other).items() if text}
        return f"/receipts?{urlencode(asked)}" if asked else "/receipts"


def receipts(request: Request) -> Response:
    """The newest receipts, or those that are asked for, page by page."""
    query, app = request.query_params, Service.of(request).app
    wanted = Wanted(*(query.get(name, "")[:200] for name in ("activation", "result", "after")))
    if wanted.result and wanted.result not in RESULTS:
        raise ConfigurationError(f"a verification comes to one of {', '.join(RESULTS)}")
    parts = (wanted.activation or None, SHOWN + 1, wanted.result or None, wanted.after or None)
    found = project.receipts(app, *parts)
    activations = app.settings.project.activations
    return page(
        request,
        "receipts.html",
        "Verifications",
        receipts=found[:SHOWN],
        older=wanted.address(after=found[SHOWN - 1]["receipt_id"]) if len(found) > SHOWN else None,
        wanted=wanted,
        results=RESULTS,
        activations=list(activations),
        by_itself=sum(1 for each in activations.values() if each.verify),
    )


def receipt(request: Request) -> Response:
    """One receipt, as a page; or, with .json at its end, the signed document itself."""
    number, app = request.path_params["receipt_id"], Service.of(request).app
    found = project.receipt(app, number.removesuffix(SUFFIX))
    if number.endswith(SUFFIX):
        text = json.dumps(project.handed_out(found), indent=2, ensure_ascii=False)
        headers = {"Content-Disposition": f'attachment; filename="{found["receipt_id"]}{SUFFIX}"'}
        return Response(f"{text}\n", media_type="application/json", headers=headers)
    return page(
        request,
        "receipt.html",
        f"Verification {found['receipt_id']}",
        here="/receipts",
        r=found,
        meaning=_meaning(found),
        compared=list(_compared(found)),
        found=[(name, found[name]) for name in (*FOUND, "not_proven", "unverifiable")],
        seal=SEALS[found["seal"]],
    )


def _meaning(receipt: Document) -> str:
    """What it comes to, in a sentence."""
    text = MEANINGS.get(receipt["result"], "")
    return f"{text[:-1]}: {found}." if (found := project.amiss(receipt)) else text


def _compared(receipt: Document) -> list[str]:
    """What was looked at, in sentences."""
    new, older = receipt["new"], receipt["delivered"] - receipt["new"]
    drawn = [
        f"{_share(receipt[share])} of the {number:,} {what}"
        for number, share, what in (
            (new, "share_of_new", f"that were new since {moment(receipt['since'])}"),
            (older, "share_of_older", "older ones"),
        )
        if number
    ]
    return [
        f"{rows(receipt['rows'])} looked at, of {receipt['delivered']:,} that stood as delivered"
        f" by {moment(receipt['until'])}"
        + (f": {' and '.join(drawn)}, and those that deviated the last time." if drawn else "."),
        "Each was asked for at the destination, and what is shown there was compared with what was"
        " sent: whether it is there, whether it is there once, its time and its payload.",
    ]


def _share(share: float) -> str:
    """One that is worked out from others."""
    return f"{share:.0%}" if share in (0, 1) else share_text(share)


def of_activation(request: Request) -> Response:
    """The list of one activation, under the address that it had."""
    return RedirectResponse(f"/receipts?activation={quote(request.path_params['name'])}", 301)
