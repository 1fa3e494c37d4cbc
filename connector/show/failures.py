"""Why a command failed: a sentence on standard error, or a document on standard output."""

from rich.text import Text

from connector.rules.errors import ConnectorError, Locate, why
from connector.show.layout import Paper
from connector.show.terminal import plain, print_json


def show_failure(error: ConnectorError, locate: Locate, as_document: bool) -> None:
    """Tell why a command failed."""
    problem = error.told(locate)
    if as_document:
        print_json({"error": {"message": problem, **why(error)}})
        return
    console = Paper(stderr=True, highlight=False, soft_wrap=True, emoji=False)
    told = "\n".join(map(plain, problem.splitlines()))
    console.print(Text.assemble(("error:", "red"), " ", told))
