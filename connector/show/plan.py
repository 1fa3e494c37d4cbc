"""What is configured, an activation a line."""

from connector.rules.deed import Document
from connector.show.blocks import grid
from connector.show.layout import out


def show_plan(document: Document) -> None:
    """Every activation, where it sends to, and when."""
    if not document["activations"]:
        out().print("No activation is configured.")
        return
    table = grid("activation", "destination", "key", "schedule", "tags", "dbt model")
    for each in document["activations"]:
        when = "paused" if each["paused"] else each["schedule"] or "by hand"
        if each["timezone"] and not each["paused"]:
            when += f" ({each['timezone']})"
        tags = ", ".join(each["tags"]) or "-"
        table.add(each["name"], each["destination"], each["key"], when, tags, each["dbt"] or "-")
    table.print(out())
