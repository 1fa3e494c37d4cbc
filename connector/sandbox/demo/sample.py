"""A sample retailer: a warehouse of believable events, and the contacts that Engage knows.

Most of its data is good, and a handful of rows is bad in each of the ways in which real data is
bad. The rows are the files in `data/`; they never change, so `FACTS` can be written down.
"""

import shutil
from pathlib import Path

import duckdb

from connector.basis import dataclass

DATA = Path(__file__).parent / "data"
TABLES = (
    "shop.customers",
    "shop.products",
    "shop.stores",
    "shop.reviews",
    "workshop.repair_orders",
    "workshop.repair_lines",
    "web.wishlist_events",
)
LATE, CORRECTED, EDITED = "W-00637", "W-00634", "W-00635"
"""The reviews that `next_day` touches: see `data/next_day.sql`."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is true of one model of the sample."""

    rows: int  #: rows that the model returns
    valid: int  #: rows that a first sync delivers


FACTS = {
    "product_reviews": Facts(rows=1400, valid=1383),
    "repairs": Facts(rows=500, valid=500),
    "wishlist": Facts(rows=900, valid=899),
}


def build(path: Path) -> None:
    """Create the retailer's warehouse as a DuckDB file; a file that is there is never touched."""
    if path.exists():
        raise FileExistsError(f"{path} exists already")
    with duckdb.connect(str(path)) as warehouse:
        warehouse.begin()
        warehouse.execute((DATA / "tables.sql").read_text(encoding="utf-8"))
        for table in TABLES:
            # two empty texts are meant to be empty; NULL is written as \N
            warehouse.execute(
                f"COPY {table} FROM '{_file(table)}' (HEADER, NULLSTR '\\N', AUTO_DETECT false)"
            )
        warehouse.execute(
            "INSERT INTO crm.engage_contacts SELECT contactId, contactType, email, memberNumber"
            f" FROM read_csv('{_file('contacts')}', HEADER = true, ALL_VARCHAR = true)"
        )
        warehouse.commit()


def write_contacts(path: Path) -> None:
    """Write the contacts that Engage knows as CSV, which is what the sandbox loads."""
    shutil.copyfile(DATA / "contacts.csv", path)


def next_day(path: Path) -> None:
    """Change a warehouse as a day of business does; doing it twice changes nothing more."""
    with duckdb.connect(str(path)) as warehouse:
        warehouse.begin()
        warehouse.execute((DATA / "next_day.sql").read_text(encoding="utf-8"))
        warehouse.commit()


def _file(name: str) -> str:
    """A file of the sample, as SQL quotes it."""
    return str(DATA / f"{name}.csv").replace("'", "''")
