"""`plan`: what is configured, for orchestrators, without what a sync needs."""

from connector.cli.options import Before, Json, group
from connector.cli.working import tell
from connector.project.plan import read_plan
from connector.show.plan import show_plan

commands = group()


@commands.command()
def plan(json: Json = False) -> None:
    """List what is configured; needs no secret and no connection."""
    tell(read_plan(Before.config).document(), show_plan, json)
