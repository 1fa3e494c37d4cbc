"""The page of a sandbox: what it has received, at a glance."""

from collections import Counter
from collections.abc import Iterable
from html import escape

import orjson

from connector.sandbox.engage import Engage
from connector.sandbox.interactions import Interaction
from connector.sandbox.traffic import RequestLog

#: Nothing is loaded from anywhere, and no script runs, whatever a payload holds.
CONTENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
NEWEST = 50

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="5">
<link rel="icon" href="data:,">
<title>Engage sandbox</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.45 system-ui, sans-serif; }}
body {{ margin: 0 auto; max-width: 70rem; padding: 1rem; }}
h1 {{ font-size: 1.4rem; }}
h2 {{ font-size: 1.1rem; margin: 1.6rem 0 .4rem; }}
div {{ overflow-x: auto; }}
table {{ border-collapse: collapse; }}
th, td {{ border-bottom: 1px solid color-mix(in srgb, currentColor 25%, transparent);
  padding: .25rem .8rem .25rem 0; text-align: left; vertical-align: top; }}
td {{ font-variant-numeric: tabular-nums; }}
code, pre {{ font: .85rem/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }}
pre {{ white-space: pre-wrap; }}
@media (max-width: 40rem) {{
  .long tr, .long td {{ display: block; }}
  .long tr {{ border-bottom: 1px solid color-mix(in srgb, currentColor 25%, transparent);
    padding: .4rem 0; }}
  .long th {{ display: none; }}
  .long td {{ border: 0; padding: 0; overflow-wrap: anywhere; }}
}}
</style>
<h1>Engage sandbox</h1>
<p>{contacts:,} contacts, {stored:,} interactions stored, {requests:,} requests received,
at most {peak} in one second.</p>
<h2>Stored by schema</h2>
{schemas}
<h2>Requests by status</h2>
{routes}
<h2>Last interactions</h2>
{interactions}
<h2>Behaviour</h2>
<pre>{behaviour}</pre>
</html>
"""


def render(engage: Engage, requests: RequestLog) -> str:
    """Return the page as HTML. Everything on it that came from outside is escaped."""
    stored = engage.interactions()
    return PAGE.format(
        contacts=engage.contact_count(),
        stored=len(stored),
        requests=requests.count(),
        peak=requests.peak_per_second,
        schemas=_schemas(engage, stored),
        routes=_routes(requests),
        interactions=_interactions(stored),
        behaviour=escape(engage.behaviour.model_dump_json(indent=2)),
    )


def _schemas(engage: Engage, stored: list[Interaction]) -> str:
    numbers = Counter(each.schema_id for each in stored)
    rows = [(each.id, each.display_name, str(numbers[each.id])) for each in engage.schemas()]
    return _table(("schema", "name", "interactions"), rows)


def _routes(requests: RequestLog) -> str:
    rows = [
        (route, status, str(number))
        for route, outcomes in requests.by_route.items()
        for status, number in outcomes.items()
    ]
    return _table(("request", "status", "number"), rows)


def _interactions(stored: list[Interaction]) -> str:
    newest = reversed(stored[-NEWEST:])
    rows = [
        (each.created_date, each.schema_id, each.contact_id, orjson.dumps(each.payload).decode())
        for each in newest
    ]
    return _table(("created", "schema", "contact", "payload"), rows, "long")


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]], kind: str = "short") -> str:
    body = "".join(_row("td", row) for row in rows)
    if not body:
        return "<p>none yet</p>"
    return f'<div><table class="{kind}">{_row("th", heads)}{body}</table></div>'


def _row(tag: str, cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
