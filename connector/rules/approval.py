"""Who may let a held run go, and what a plan of it says: pure, and handed all that it needs."""

from collections.abc import Collection, Mapping

from connector.basis import dataclass
from connector.rules.words import rows

CHANGED_SINCE = "the held rows have changed since"
"""Why an approval is void: it was of other rows than would go now."""

NO_NAMES = frozenset(
    {"", "unknown", "schedule", "a webhook", "the web page", "the api", "whoever has the token"}
)
"""What stands for somebody who gave no name, or for nobody."""


def plain_name(name: str | None) -> str:
    """A name as names are compared: without case, and without blanks around and between."""
    return " ".join((name or "").split()).casefold()


def who_may_not(
    by: str, askers: Collection[str | None], editor: str | None, demands_other: bool
) -> str | None:
    """Why `by` may not approve a held run; None: they may. `askers`: who asked for it; `editor`:
    who asked for the run that noticed the last edit; `demands_other`: as `limits.approval` says."""
    name = plain_name(by)
    if not demands_other:
        return None
    other = "limits.approval is other, so somebody else must approve"
    if name in NO_NAMES:
        return f"{other}: say who you are (--by NAME)"
    if name in {plain_name(asker) for asker in askers}:
        return f"{by} asked for the run that is held, and {other}"
    if editor is not None and name == plain_name(editor):
        return f"{by} asked for the run that took up the last edit, and {other}"
    return None


def what_goes(counts: Mapping[str, int]) -> str:
    """What an approval lets happen to the rows that are held, by the counts that are shown: `5 rows
    sent`; of a mirror also what is taken back."""
    removed, replaced = counts.get("removed", 0), counts.get("replaced", 0)
    sent = counts["rows"] - removed - replaced
    told = [(removed, "taken back"), (replaced, "taken back and sent anew"), (sent, "sent")]
    first, *others = [(number, what) for number, what in told if number] or [(0, "sent")]
    more = [f"{number:,} {what}" for number, what in others]
    return ", ".join([f"{rows(first[0])} {first[1]}", *more])


@dataclass(frozen=True, slots=True)
class Digests:
    """The rows that are held: how many, one digest of all of them, and where they are not too many
    one of each: of its key, by which it is compared, and of its content. No key can be read from
    them, since they are keyed with the ledger's own secret."""

    count: int
    digest: str
    each: Mapping[str, str] | None = None


def drift(before: Digests | str, now: Digests) -> str | None:
    """In what the held rows differ from those of a plan, in counts; None: in nothing. `before` may
    be their digest alone, by which a page knows them again."""
    if isinstance(before, str):
        return None if before == now.digest else f"they are {rows(now.count)} now, and not the same"
    if before.digest == now.digest and before.count == now.count:
        return None
    if before.each is None or now.each is None:
        return f"{rows(before.count)} then and {rows(now.count)} now, not the same"
    both = before.each.keys() & now.each.keys()
    changed = sum(before.each[key] != now.each[key] for key in both)
    numbers = [
        (len(now.each) - len(both), "more"),
        (len(before.each) - len(both), "fewer"),
        (changed, "with another content"),
    ]
    told = ", ".join(f"{number:,} {word}" for number, word in numbers if number)
    return told or "the same rows in another order"
