"""The README as a package index shows it: its links lead into the repository, whose address stands
as `Source` in `[project.urls]`; until one does they are plain text, since no link is better than a
dead one."""

import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|#|mailto:)([^)\s]+)\)")


class ReadmeHook(MetadataHookInterface):
    """Hatchling calls it when it builds."""

    def update(self, metadata: dict[str, object]) -> None:
        """Set what pyproject.toml calls dynamic."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        urls = metadata.get("urls")
        source = urls.get("Source") if isinstance(urls, dict) else None
        shown = with_links(text, source)
        metadata["readme"] = {"content-type": "text/markdown", "text": shown}


def with_links(text: str, source: str | None) -> str:
    """`text` with its relative links under `source`, or without them."""

    def link(found: re.Match[str]) -> str:
        picture, words, path = found.groups()
        if source is None:
            return "" if picture else words
        kind = "raw" if picture else "blob"
        return f"{picture}[{words}]({source.rstrip('/')}/{kind}/HEAD/{path})"

    return LINK.sub(link, text)
