"""docs/performance.svg: a bar for each tool, readable on light and on dark."""

from collections.abc import Sequence
from html import escape

WIDTH, LABELS, FIGURES = 760, 230, 70
BAR, STEP, TOP = 18, 28, 40
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600 }
  .figure { font-variant-numeric: tabular-nums }
  .other { fill: #8c959f }
  .ours { fill: #0969da }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .other { fill: #6e7681 }
    .ours { fill: #58a6ff }
  }
"""


def bars(title: str, values: Sequence[tuple[str, float, bool]]) -> str:
    """An SVG with a bar for each (name, value, whether it is ours), from zero on."""
    height = TOP + STEP * len(values) + 8
    unit = (WIDTH - LABELS - FIGURES) / max(value for _, value, _ in values)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        f' width="{WIDTH}" height="{height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<text class="title" x="0" y="20">{escape(title)}</text>',
    ]
    for number, (name, value, ours) in enumerate(values):
        top, length = TOP + STEP * number, value * unit
        text = f'y="{top + BAR - 4}"'
        lines += [
            f'<text x="{LABELS - 10}" {text} text-anchor="end">{escape(name)}</text>',
            f'<rect class="{"ours" if ours else "other"}" x="{LABELS}" y="{top}" rx="2"'
            f' width="{length:.1f}" height="{BAR}"/>',
            f'<text class="figure" x="{LABELS + length + 8:.1f}" {text}>{value:,.0f}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])
