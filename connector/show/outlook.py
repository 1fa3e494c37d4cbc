"""What the next run would do, in words."""

from connector.rules.deed import Document
from connector.show.terminal import plain

MIRRORED = {
    "removed": "gone from the model: would be taken back",
    "replaced": "changed: would be taken back and sent anew",
    "returned": "there again: would be sent again",
    "dropped": "gone before they were sent: would not be sent any more",
}
"""What a mirror does with rows, by its count."""


def outlook_text(outlook: Document) -> str:
    """What the next run would do, in sentences."""
    nothing = "Nothing is certain to be sent." if may_send(outlook) else "There is nothing to send."
    because = str(outlook["because"])
    reason = because if because[:1].isdigit() else f"it is {because}"  # some rows, or itself
    sentences = {
        "send": "",
        "send_nothing": f"Nothing would be sent now: {reason}." if outlook["because"] else nothing,
        "be_held": f"A run would be held, because {outlook['because']}.",
        "be_passed_by": f"A run would send nothing, because {outlook['because']}.",
        "be_stopped": f"A run would be stopped, because {outlook['because']}.",
    }
    notes = (f"{_beginning(note)}." for note in outlook["notes"])
    return plain(" ".join(filter(None, (sentences[outlook["would"]], *notes))))


def may_send(outlook: Document | None) -> bool:
    """Whether a run may send rows of which that is not known before."""
    return bool(outlook and outlook.get("may_send"))


def _beginning(note: str) -> str:
    """A note as a sentence of its own; a key of the configuration keeps its letters."""
    return note if note.startswith("limits.") else f"{note[:1].upper()}{note[1:]}"
