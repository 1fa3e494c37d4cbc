"""How the columns of a model are called: as the user writes them, and as the warehouse has them."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

RENAMED = {"sqlite": r":\d+", "duckdb": r"(_\d+)+"}
"""What is put behind the name of a column that an earlier one has already, by dialect. Other
warehouses leave it, and refuse to read such a column."""
TWICE = 'has more than one column "{}"; give each a name of its own'


def spelling_of(wanted: Iterable[str], names: Sequence[str]) -> dict[str, str]:
    """What the user wrote -> the model's own spelling; capitals matter only where they must."""
    lowered = [name.lower() for name in names]
    found = {}
    for name in wanted:
        if name in names:
            found[name] = name
        elif lowered.count(name.lower()) == 1:
            found[name] = names[lowered.index(name.lower())]
    return found


def doubled(
    dialect: str, names: Sequence[str], used: Collection[str], written: Callable[[], Sequence[str]]
) -> set[str]:
    """Those of the columns `used` that stand more than once in a model whose columns are called
    `names` inside another SELECT. `written`: asks how the model itself calls them, which is only
    done where one looks renamed."""
    if dialect not in RENAMED:
        times = Counter(names)
        return {name for name in used if times[name] > 1}
    behind = RENAMED[dialect]
    renamed = [re.compile(re.escape(name) + behind, re.IGNORECASE) for name in used]
    if not any(each.fullmatch(name) for each in renamed for name in names):
        return set()
    times = Counter(name.casefold() for name in written())
    return {name for name in used if times[name.casefold()] > 1}
