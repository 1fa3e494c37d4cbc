"""The page of a sandbox: what it has received, at a glance, in sections of its own."""

from collections.abc import Iterable, Mapping
from html import escape

from connector.sandbox.behaviour import Common
from connector.sandbox.traffic import RequestLog

#: Nothing is loaded from anywhere, and no script runs, whatever a payload holds.
CONTENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="5">
<link rel="icon" href="data:,">
<title>{title}</title>
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
<h1>{title}</h1>
<p>{summary}</p>
{sections}
<h2>Behaviour</h2>
<pre>{behaviour}</pre>
</html>
"""


def render(title: str, summary: str, sections: Mapping[str, str], behaviour: Common) -> str:
    """Return the page as HTML: the sections, by their titles, then the behaviour."""
    return PAGE.format(
        title=escape(title),
        summary=escape(summary),
        sections="\n".join(f"<h2>{escape(name)}</h2>\n{html}" for name, html in sections.items()),
        behaviour=escape(behaviour.model_dump_json(indent=2)),
    )


def routes(requests: RequestLog) -> str:
    """Return the table of the requests that came, by how they ended."""
    rows = [
        (route, status, str(number))
        for route, outcomes in requests.by_route.items()
        for status, number in outcomes.items()
    ]
    return table(("request", "status", "number"), rows)


def table(heads: Iterable[str], rows: Iterable[Iterable[str]], kind: str = "short") -> str:
    """Return a table. Everything in it that came from outside is escaped."""
    body = "".join(_row("td", row) for row in rows)
    if not body:
        return "<p>none yet</p>"
    return f'<div><table class="{kind}">{_row("th", heads)}{body}</table></div>'


def _row(tag: str, cells: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
