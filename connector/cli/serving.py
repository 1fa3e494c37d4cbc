"""`serve`: runs by schedule and on request, with a web page."""

import os
from typing import Annotated

import typer

from connector.cli.working import Before, settings, wait_for


def serve(
    host: Annotated[str, typer.Option(help="Beyond this machine only with a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8700,
) -> None:
    """Run by schedule and on request, with a web page, until SIGTERM."""
    from connector.serve.web.server import serve as serve_web
    from connector.show.logs import log_to_stderr

    if Before.quiet:
        log_to_stderr(quiet=True, log_format=None, serving=True)
    token = os.environ.get("CONNECTOR_TOKEN") or None
    wait_for(serve_web(Before.config, settings(), host, port, token))
