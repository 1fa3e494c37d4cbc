"""A sample retailer: a warehouse of believable events, and the contacts that Engage knows.

Kvist & Fjäll sells clothes and gear for the Nordic outdoors. Most of its data is good, and a
handful of rows is bad in each of the ways in which real data is bad. Which rows those are does
not depend on the seed, so `FACTS` holds for every seed.
"""

from __future__ import annotations

import csv
import random
import uuid
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

Option = TypeVar("Option")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is true of one model of the sample, and what a first sync must make of it.

    Every key has at most one kind of trouble, so the kinds add up to the rows.
    """

    rows: int  #: rows that the model returns
    valid: int  #: rows to be delivered
    repeated: int = 0  #: further rows under a key that stood in the model before
    null_contact: int = 0  #: no contact identifier at all: invalid
    breaking_schema: int = 0  #: values that the schema does not allow: invalid
    malformed_contact: int = 0  #: no e-mail address: rejected
    ambiguous_contact: int = 0  #: an e-mail address of two contacts: rejected
    unknown_contact: int = 0  #: an e-mail address of no contact: waiting
    tied: int = 0  #: rows that share their cursor value with another row

    @property
    def keys(self) -> int:
        return self.rows - self.repeated

    @property
    def invalid(self) -> int:
        return self.null_contact + self.breaking_schema

    @property
    def rejected(self) -> int:
        return self.malformed_contact + self.ambiguous_contact

    @property
    def waiting(self) -> int:
        return self.unknown_contact


# Written down rather than counted, so that the generator and the models can be held to them.
FACTS = {
    "product_reviews": Facts(
        rows=1400,
        valid=1383,
        repeated=2,
        null_contact=2,
        breaking_schema=6,
        malformed_contact=2,
        ambiguous_contact=1,
        unknown_contact=4,
        tied=820,
    ),
    "repairs": Facts(rows=500, valid=500, tied=300),
    "wishlist": Facts(rows=900, valid=899, unknown_contact=1, tied=120),
}


@dataclass(frozen=True, slots=True)
class Changes:
    """The reviews that `next_day` touched, by review id."""

    late: str  #: committed late, with a time before the newest that was there: must be sent
    corrected: str  #: broke the schema and no longer does: must be sent
    edited: str  #: was delivered, then its text changed: must not be sent again


# ---- what is the same for every seed --------------------------------------------------------

CONTACT_FIELDS = (
    "contactId",
    "email",
    "mobilePhone",
    "socialSecurityNumber",
    "memberNumber",
    "externalId",
    "contactType",
)

TABLES = {
    "shop.customers": {
        "customer_id": "INTEGER",
        "first_name": "VARCHAR",
        "last_name": "VARCHAR",
        "email": "VARCHAR",
        "city": "VARCHAR",
        "country": "VARCHAR",
        "member_number": "VARCHAR",
        "created_at": "TIMESTAMP",
    },
    "shop.products": {
        "sku": "VARCHAR",
        "name": "VARCHAR",
        "brand": "VARCHAR",
        "category": "VARCHAR",
        "price": "DECIMAL(10, 2)",
        "is_eco_labelled": "BOOLEAN",
    },
    "shop.stores": {
        "store_id": "INTEGER",
        "name": "VARCHAR",
        "city": "VARCHAR",
        "country": "VARCHAR",
    },
    "shop.reviews": {
        "review_id": "VARCHAR",
        "written_at": "TIMESTAMP",  # local time in Stockholm, as the review form stores it
        "reviewer_email": "VARCHAR",
        "sku": "VARCHAR",
        "rating": "VARCHAR",  # what the form posted
        "title": "VARCHAR",
        "body": "VARCHAR",
        "would_recommend": "BOOLEAN",
        "is_verified_purchase": "BOOLEAN",
        "status": "VARCHAR",
    },
    "workshop.repair_orders": {
        "repair_no": "VARCHAR",
        "member_number": "VARCHAR",
        "store_id": "INTEGER",
        "sku": "VARCHAR",
        "status": "VARCHAR",
        "received_at": "TIMESTAMPTZ",
        "completed_at": "TIMESTAMPTZ",
        "customer_note": "VARCHAR",
    },
    "workshop.repair_lines": {
        "repair_no": "VARCHAR",
        "line_no": "INTEGER",
        "service": "VARCHAR",
        "price": "DECIMAL(10, 2)",
    },
    "web.wishlist_events": {
        "event_id": "BIGINT",
        "customer_id": "INTEGER",
        "sku": "VARCHAR",
        "action": "VARCHAR",
        "device": "VARCHAR",
        "happened_at": "TIMESTAMP",  # UTC, as the web server logs it
    },
    "crm.engage_contacts": {
        "contact_id": "UUID",
        "contact_type": "VARCHAR",
        "email": "VARCHAR",
        "member_number": "VARCHAR",
    },
}

STORES = (
    (101, "Kvist & Fjäll Götgatan", "Stockholm", "SE"),
    (102, "Kvist & Fjäll Haga", "Göteborg", "SE"),
    (103, "Kvist & Fjäll Möllan", "Malmö", "SE"),
    (104, "Kvist & Fjäll Östersund", "Östersund", "SE"),
    (105, "Kvist & Fjäll Umeå", "Umeå", "SE"),
    (201, "Kvist & Fjäll Grünerløkka", "Oslo", "NO"),
    (202, "Kvist & Fjäll Bryggen", "Bergen", "NO"),
    (301, "Kvist & Fjäll Nørrebro", "København", "DK"),
    (302, "Kvist & Fjäll Åboulevarden", "Aarhus", "DK"),
    (401, "Kvist & Fjäll Kallio", "Helsinki", "FI"),
    (402, "Kvist & Fjäll Tampere", "Tampere", "FI"),
)

PRODUCTS = tuple(
    (f"KF-{2001 + 13 * place}", name, brand, category, Decimal(price), eco)
    for place, (name, brand, category, price, eco) in enumerate(
        (
            ("Skaljacka Storm", "Kvist & Fjäll", "Jackets", "2999.00", True),
            ("Dunjacka Rimfrost", "Kvist & Fjäll", "Jackets", "3499.00", False),
            ("Anorak Vidda", "Kvist & Fjäll", "Jackets", "1899.00", True),
            ("Regnjacka Skur", "Tjärnmark", "Jackets", "1199.00", True),
            ("Fleecejacka Kåta", "Kvist & Fjäll", "Jackets", "999.00", True),
            ("Väst Gryning", "Tjärnmark", "Jackets", "1099.50", False),
            ("Skalbyxa Storm", "Kvist & Fjäll", "Trousers", "2199.00", True),
            ("Vandringsbyxa Led", "Kvist & Fjäll", "Trousers", "1299.00", True),
            ("Shorts Sommarled", "Kvist & Fjäll", "Trousers", "699.00", True),
            ("Regnbyxa Skur", "Tjärnmark", "Trousers", "799.00", True),
            ("Merinotröja Ull 200", "Lammö", "Base layers", "849.00", True),
            ("Merinobyxa Ull 200", "Lammö", "Base layers", "799.00", True),
            ("Nättröja Luft", "Lammö", "Base layers", "649.50", False),
            ("Islandströja Hekla", "Lammö", "Knitwear", "1399.00", False),
            ("Polotröja Strand", "Lammö", "Knitwear", "1149.00", True),
            ("Mössa Vinter", "Lammö", "Accessories", "299.00", True),
            ("Vantar Tvåfinger", "Lammö", "Accessories", "399.00", False),
            ("Buff Vindskydd", "Kvist & Fjäll", "Accessories", "179.90", True),
            ("Vandringssocka Tjock", "Lammö", "Accessories", "189.00", True),
            ("Keps Skugga", "Kvist & Fjäll", "Accessories", "249.00", False),
            ("Känga Granit", "Hällstig", "Footwear", "2499.00", False),
            ("Låg känga Mosse", "Hällstig", "Footwear", "1599.00", False),
            ("Stövel Myr", "Hällstig", "Footwear", "999.00", True),
            ("Löparsko Stig", "Hällstig", "Footwear", "1449.00", False),
            ("Ryggsäck Dagstur 22", "Bärfis", "Packs", "1099.00", True),
            ("Ryggsäck Veckotur 60", "Bärfis", "Packs", "2799.00", True),
            ("Axelremsväska Torg", "Bärfis", "Packs", "599.00", True),
            ("Packpåse 12 l", "Bärfis", "Packs", "229.00", False),
            ("Tält Kråkris 2", "Tjärnmark", "Camping", "4999.00", False),
            ("Tält Kråkris 3", "Tjärnmark", "Camping", "5999.00", False),
            ("Sovsäck Höst -5", "Tjärnmark", "Camping", "2299.00", True),
            ("Liggunderlag Mossa", "Tjärnmark", "Camping", "1249.00", False),
            ("Stormkök Glöd", "Tjärnmark", "Camping", "1149.00", False),
            ("Termos 0,75 l", "Kvist & Fjäll", "Camping", "379.00", False),
            ("Pannlampa Norrsken", "Kvist & Fjäll", "Camping", "549.00", False),
            ("Impregnering 300 ml", "Kvist & Fjäll", "Care", "129.90", True),
        )
    )
)

SERVICES = (
    ("Zip replaced", "349.00"),
    ("Seam sewn again", "129.50"),
    ("Patch sewn on", "89.00"),
    ("Washed and proofed", "199.00"),
    ("Sole glued", "289.90"),
    ("Buckle replaced", "59.50"),
    ("Down refilled", "449.00"),
)


@dataclass(frozen=True, slots=True)
class Country:
    """Names, places and turns of phrase of one country's customers."""

    code: str
    customers: int
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    cities: tuple[str, ...]
    titles: tuple[str, str, str]  # bad, fair, good: like the openings
    openings: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
    details: tuple[str, ...]
    endings: tuple[str, ...]


COUNTRIES = (
    Country(
        "SE",
        180,
        (
            *("Anna", "Erik", "Maja", "Lars", "Åsa", "Göran", "Elin", "Nils", "Sara", "Björn"),
            *("Karin", "Oskar", "Märta", "Per", "Ebba", "Ali", "Leila", "Hugo"),
        ),
        (
            *("Lindqvist", "Åberg", "Sjöström", "Nyström", "Öhman", "Bergman", "Hedlund", "Ek"),
            *("Wallin", "Dahlgren", "Strömberg", "Norén", "Hassan", "Fors", "Ålund", "Ros"),
        ),
        ("Stockholm", "Göteborg", "Malmö", "Umeå", "Östersund", "Kiruna", "Växjö", "Åre"),
        ("Besviken", "Helt okej", "Mycket nöjd!"),
        (
            ("Tyvärr höll {product} inte vad den lovade.", "Jag skickade tillbaka {product}."),
            ("{product} är helt okej för priset.", "Blandade känslor för {product}."),
            ("{product} är det bästa jag har köpt i år!", "Är mycket nöjd med {product}."),
        ),
        (
            "Använde den på Kungsleden i fyra dagar med regn och blåst.",
            "Storleken är lite liten, ta en större.",
            "Färgen är mörkare än på bilden.",
            "Dragkedjan kärvar när det är kallt.",
            "Materialet känns rejält och tåligt.",
            "Har tvättat den tre gånger och den ser ut som ny.",
        ),
        (
            "Leveransen gick snabbt.",
            "Rekommenderas.",
            "Tack för hjälpen i butiken!",
            "Vi ses igen.",
        ),
    ),
    Country(
        "NO",
        72,
        (
            "Ingrid",
            "Øyvind",
            "Sigrid",
            "Håkon",
            "Kari",
            "Magnus",
            "Solveig",
            "Tor",
            "Astrid",
            "Pål",
        ),
        ("Hansen", "Bakke", "Sørensen", "Haugen", "Lie", "Moen", "Ødegård", "Strand", "Vik", "Aas"),
        ("Oslo", "Bergen", "Tromsø", "Trondheim", "Ålesund", "Bodø"),
        ("Skuffet", "Helt grei", "Kjempefornøyd"),
        (
            ("{product} var dessverre en skuffelse.", "Måtte levere {product} tilbake."),
            ("{product} er grei nok.", "{product} gjør jobben, men ikke mer."),
            ("{product} er rett og slett supert!", "Veldig fornøyd med {product}."),
        ),
        (
            "Brukt på Hardangervidda i ei helg med sidelengs regn.",
            "Litt stor i størrelsen.",
            "Glidelåsen er litt treg.",
            "God og varm, selv når det blåser.",
        ),
        ("Rask levering.", "Anbefales!", "Kommer til å kjøpe igjen.", "Takk for god hjelp."),
    ),
    Country(
        "DK",
        54,
        (
            "Mette",
            "Søren",
            "Freja",
            "Jørgen",
            "Kirsten",
            "Mikkel",
            "Asger",
            "Rasmus",
            "Ida",
            "Bjarne",
        ),
        ("Nielsen", "Kjær", "Møller", "Østergaard", "Holm", "Bach", "Krogh", "Lund", "Juhl", "Frø"),
        ("København", "Aarhus", "Odense", "Aalborg", "Rønne"),
        ("Skuffende", "Udmærket", "Rigtig god"),
        (
            ("{product} levede ikke op til forventningerne.", "Desværre gik {product} i stykker."),
            ("{product} er fin til prisen.", "{product} er okay, hverken mere eller mindre."),
            ("Jeg er vild med {product}!", "{product} er hver en krone værd."),
        ),
        (
            "Brugt på Bornholm i både sol og regn.",
            "Den er lidt lille i størrelsen.",
            "Farven er flottere end på billedet.",
            "Syningerne er pæne og solide.",
        ),
        ("Hurtig levering.", "Kan anbefales.", "Tak for hjælpen!", "Køber gerne igen."),
    ),
    Country(
        "FI",
        54,
        ("Aino", "Väinö", "Päivi", "Jussi", "Hanna", "Mikko", "Tyyne", "Eero", "Kaisa", "Sami"),
        ("Korhonen", "Mäkinen", "Järvi", "Nieminen", "Hämäläinen", "Koski", "Salo", "Räty", "Aho"),
        ("Helsinki", "Tampere", "Oulu", "Rovaniemi", "Turku"),
        ("Pettymys", "Ihan hyvä", "Erinomainen"),
        (
            ("{product} oli pettymys.", "Palautin tuotteen {product}."),
            ("{product} on ihan hyvä hintaansa nähden.", "{product} ajaa asiansa."),
            ("{product} on loistava!", "Olen erittäin tyytyväinen: {product}."),
        ),
        (
            "Käytin sitä Lapissa viikon vaelluksella.",
            "Koko on hieman pieni.",
            "Väri on tummempi kuin kuvassa.",
            "Laatu tuntuu kestävältä ja lämmin se on.",
        ),
        ("Nopea toimitus.", "Suosittelen.", "Kiitos!", "Tulen ostamaan uudestaan."),
    ),
)

LONG_TEXT = (
    "Dag för dag med tältet på Kungsleden, från Abisko till Hemavan. "
    "Regn, sol, hagel och renar i absiden; en lång berättelse, men den som läser den vet allt. "
)

# Number of a review written on the web -> a text that careless software breaks.
ODD_TEXTS = {
    12: "Perfekt passform 😍🏔️ skulle köpa igen!!! 👍🏽",
    40: "Hela familjen älskar tältet 👨‍👩‍👧‍👦⛺",
    77: "מעיל מצוין לחורף, חם ונוח מאוד.",
    104: "سترة رائعة للمشي في الجبال، أنصح بها بشدة.",
    140: 'Sagt i butiken: "den håller livet ut". \\o/\nRad två.\n\tRad tre; DROP TABLE reviews;--',
    163: "<b>Fin</b> jacka & bra pris <script>alert('hej')</script> 100 % nöjd",
    205: (LONG_TEXT * 60)[:8000],
    310: (LONG_TEXT.upper() * 60)[:8000],
    420: "A\u030asa skriver med lo\u0308sa prickar och ringar.",  # letters in two code points
    560: "非常好的外套 🇸🇪❤️",
}

UNKNOWN = (
    "turid.viken@example.net",
    "guest.2041@example.org",
    "ronja.mattisdotter@example.com",
    "tove.skog@example.com",
)

# Number of a review written on the web -> what is wrong with it.
TROUBLES: dict[int, dict[str, str | None]] = {
    31: {"rating": "0"},
    62: {"reviewer_email": UNKNOWN[0]},
    89: {"reviewer_email": None},
    122: {"reviewer_email": "anna.at.example.com"},
    151: {"rating": None},
    191: {"reviewer_email": UNKNOWN[1]},
    212: {"body": None},
    299: {"body": ""},
    334: {"reviewer_email": UNKNOWN[2]},
    378: {"sku": None},
    403: {"reviewer_email": "jonas.lund(a)example.org"},
    471: {"reviewer_email": UNKNOWN[3]},
    518: {"reviewer_email": None},
    634: {"rating": "7"},
}
AMBIGUOUS_REVIEW = 257
AMBIGUOUS_CUSTOMER = 10041  # bought as a guest with the address of her membership
UNKNOWN_CUSTOMER = 10361  # registered in the web shop a moment ago, not yet in Engage

MIGRATED_AT = datetime.fromisoformat("2026-09-01T04:00:00")
MIGRATED_REVIEWS = 640
APP_IMPORTED_AT = datetime.fromisoformat("2026-09-07T04:30:00")
APP_IMPORTS = 10
APP_IMPORT_REVIEWS = 18
WORKSHOP_HOURS = (7, 17)
WEB_REVIEWS = 636  # of which every eleventh is not published

# The last reviews have fixed times: `next_day` needs them inside the activation's overlap.
LAST_REVIEWS = {
    634: datetime.fromisoformat("2026-11-14T08:13:40.118302"),
    635: datetime.fromisoformat("2026-11-14T12:05:59.640007"),
    636: datetime.fromisoformat("2026-11-14T18:42:07.351204"),
}
LATE_AT = datetime.fromisoformat("2026-11-14T18:02:31.907455")
CHANGES = Changes(late="W-00637", corrected="W-00634", edited="W-00635")


# ---- the interface ----------------------------------------------------------------------------


def build(path: Path, seed: int = 7) -> None:
    """Create the retailer's warehouse as a DuckDB file; a file that is there is never touched."""
    if path.exists():
        raise FileExistsError(f"{path} exists already")
    people = _people(seed)
    orders, lines = _repairs(people, seed)
    with duckdb.connect(str(path)) as warehouse:
        warehouse.begin()
        for schema in ("shop", "workshop", "web", "crm"):
            warehouse.execute(f"CREATE SCHEMA {schema}")
        _load(warehouse, "shop.customers", [_customer(person) for person in people])
        _load(warehouse, "shop.products", PRODUCTS)
        _load(warehouse, "shop.stores", STORES)
        _load(warehouse, "shop.reviews", [astuple(review) for review in _reviews(people, seed)])
        _load(warehouse, "workshop.repair_orders", orders)
        _load(warehouse, "workshop.repair_lines", lines)
        _load(warehouse, "web.wishlist_events", _wishlist_events(people, seed))
        _load(warehouse, "crm.engage_contacts", [_exported(c) for c in contacts(seed)])
        warehouse.commit()


def contacts(seed: int = 7) -> list[dict[str, str]]:
    """The contacts that Engage knows; a field that a contact lacks is left out."""
    rng = _rng(seed, "contacts")
    people = [person for person in _people(seed) if person.in_engage]
    known = [_contact(person, _guid(rng)) for person in people]
    twice = next(person for person in people if person.customer_id == AMBIGUOUS_CUSTOMER)
    known.append({"contactId": _guid(rng), "email": twice.email or "", "contactType": "Contact"})
    return known


def write_contacts(path: Path, seed: int = 7) -> None:
    """Write the contacts that Engage knows as CSV, which is what the sandbox loads."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, CONTACT_FIELDS, restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(contacts(seed))


def next_day(path: Path) -> Changes:
    """Change a warehouse as a day of business does; doing it twice changes nothing more."""
    with duckdb.connect(str(path)) as warehouse:
        warehouse.begin()
        warehouse.execute(
            """
            INSERT INTO shop.reviews
            SELECT ?, ?, customer.email, ?, '5', 'Kom fram!',
                   'Skrev detta på fjället utan täckning. Jackan höll tätt hela vägen.',
                   true, true, 'published'
            FROM shop.customers AS customer
            WHERE customer.customer_id = 10007
              AND NOT EXISTS (SELECT 1 FROM shop.reviews WHERE review_id = ?)
            """,
            [CHANGES.late, LATE_AT, PRODUCTS[0][0], CHANGES.late],
        )
        warehouse.execute(
            "UPDATE shop.reviews SET rating = '5' WHERE review_id = ?", [CHANGES.corrected]
        )
        warehouse.execute(
            "UPDATE shop.reviews SET body = ? WHERE review_id = ?",
            ["Ändrat: efter en vecka tycker jag fortfarande detsamma.", CHANGES.edited],
        )
        warehouse.commit()
    return CHANGES


# ---- people -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Person:
    customer_id: int
    first_name: str
    last_name: str
    email: str | None
    country: Country
    city: str
    created_at: datetime

    @property
    def in_engage(self) -> bool:
        return self.email is not None and self.customer_id != UNKNOWN_CUSTOMER

    @property
    def member_number(self) -> str | None:
        """Five customers of six are members of the club."""
        is_member = self.in_engage and self.customer_id % 6 != 0
        # With letters, since a number alone could be taken for a phone number.
        return f"KF{self.customer_id + 400_000}" if is_member else None


def _people(seed: int) -> list[Person]:
    """All customers: those in Engage, one who is not yet there, and some without an address."""
    rng = _rng(seed, "people")
    homes = [country for country in COUNTRIES for _ in range(country.customers)]
    names = [
        name
        for country in COUNTRIES
        for name in rng.sample(
            [(first, last) for first in country.first_names for last in country.last_names],
            country.customers,
        )
    ]
    known = list(zip(homes, names, strict=True))
    rng.shuffle(known)
    people = [
        Person(
            customer_id=10_001 + place,
            first_name=first,
            last_name=last,
            email=_address(rng, first, last, place),
            country=country,
            city=rng.choice(country.cities),
            created_at=datetime.fromisoformat("2019-03-01T09:00:00")
            + timedelta(minutes=rng.randrange(7 * 365 * 24 * 60)),
        )
        for place, (country, (first, last)) in enumerate(known)
    ]
    sweden = COUNTRIES[0]
    opened = datetime.fromisoformat("2026-11-14T16:30:00")
    stranger = Person(UNKNOWN_CUSTOMER, "Ny", "Kund", "ny.kund@example.com", sweden, "Åre", opened)
    in_stores = [
        replace(stranger, customer_id=stranger.customer_id + n, last_name=f"Butik {n}", email=None)
        for n in range(1, 13)
    ]
    return [*people, stranger, *in_stores]


def _address(rng: random.Random, first: str, last: str, place: int) -> str:
    plain = f"{first}.{last}".lower().translate(str.maketrans("åäöøæé", "aaooae"))
    # The number keeps the addresses of Öst and Ost apart.
    return f"{plain}.{place + 1}@example.{rng.choice(('com', 'org', 'net'))}"


def _customer(person: Person) -> tuple[object, ...]:
    return (
        person.customer_id,
        person.first_name,
        person.last_name,
        person.email,
        person.city,
        person.country.code,
        person.member_number,
        person.created_at,
    )


def _contact(person: Person, contact_id: str) -> dict[str, str]:
    contact = {
        "contactId": contact_id,
        "email": person.email or "",
        "externalId": str(person.customer_id),
        "contactType": "Member" if person.member_number else "Contact",
    }
    if person.member_number:
        contact["memberNumber"] = person.member_number
    if 10_010 <= person.customer_id < 10_100:
        # Swedish numbers from the range that is set aside for fiction.
        contact["mobilePhone"] = f"+467017406{person.customer_id % 100:02d}"
    return contact


def _exported(contact: dict[str, str]) -> tuple[object, ...]:
    """A row of the nightly export of contacts from Engage back into the warehouse."""
    return (
        contact["contactId"],
        contact["contactType"],
        contact["email"],
        contact.get("memberNumber"),
    )


# ---- reviews ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Review:
    review_id: str
    written_at: datetime
    reviewer_email: str | None
    sku: str | None
    rating: str | None
    title: str | None
    body: str | None
    would_recommend: bool | None
    is_verified_purchase: bool
    status: str = "published"


def _reviews(people: Sequence[Person], seed: int) -> list[Review]:
    rng = _rng(seed, "reviews")
    writers = [p for p in people if p.in_engage and p.customer_id != AMBIGUOUS_CUSTOMER]
    migrated = [
        _review(rng, writers, f"M-{number:05d}", MIGRATED_AT)
        for number in range(1, MIGRATED_REVIEWS + 1)
    ]
    imported = [
        _review(
            rng,
            writers,
            f"A-{week * APP_IMPORT_REVIEWS + number:05d}",
            APP_IMPORTED_AT + timedelta(weeks=week),
        )
        for week in range(APP_IMPORTS)
        for number in range(1, APP_IMPORT_REVIEWS + 1)
    ]
    first_day = datetime.fromisoformat("2026-09-01T00:00:00")
    times = sorted(_moment(rng, first_day, days=74) for _ in range(WEB_REVIEWS - len(LAST_REVIEWS)))
    by_number = dict(enumerate(times, start=1)) | LAST_REVIEWS
    twice = next(p.email for p in people if p.customer_id == AMBIGUOUS_CUSTOMER)
    written = [
        _odd(_review(rng, writers, f"W-{number:05d}", at), number, twice)
        for number, at in by_number.items()
    ]
    # A job that broke half-way was run again, and took the time of its second run.
    repeats = [
        replace(written[44], written_at=written[44].written_at + timedelta(minutes=11)),
        replace(migrated[6], written_at=migrated[6].written_at + timedelta(days=3, hours=2)),
    ]
    reviews = [*migrated, *imported, *written, *repeats]
    rng.shuffle(reviews)  # a table has no order
    return reviews


def _review(rng: random.Random, writers: Sequence[Person], review_id: str, at: datetime) -> Review:
    writer = rng.choice(writers)
    sku, product, *_ = rng.choice(PRODUCTS)
    rating = _weighted(rng, {5: 46, 4: 30, 3: 13, 2: 7, 1: 4})
    mood = 0 if rating < 3 else 1 if rating == 3 else 2
    country = writer.country
    text = (
        rng.choice(country.openings[mood]).format(product=product),
        *rng.sample(country.details, rng.randrange(3)),
        rng.choice(country.endings) if mood else "",
    )
    return Review(
        review_id=review_id,
        written_at=at,
        reviewer_email=_typed(rng, writer.email or ""),
        sku=sku,
        rating=str(rating),
        title=_weighted(rng, {country.titles[mood]: 7, None: 3}),
        body=" ".join(text).strip(),
        would_recommend=_weighted(rng, {mood > 0: 8, None: 2}),
        is_verified_purchase=rng.random() < 0.8,
    )


def _typed(rng: random.Random, email: str) -> str:
    """An address as people type it into a form: now and then with capitals or a blank."""
    return _weighted(rng, {email: 94, email.title(): 4, f"{email} ": 2})


def _odd(review: Review, number: int, twice: str | None) -> Review:
    changes: dict[str, Any] = dict(TROUBLES.get(number, {}))
    if number in ODD_TEXTS:
        changes["body"] = ODD_TEXTS[number]
    if number == AMBIGUOUS_REVIEW:
        changes["reviewer_email"] = twice
    if number % 11 == 6:
        changes["status"] = "pending" if number % 3 else "refused"
    return replace(review, **changes)


# ---- repairs ----------------------------------------------------------------------------------


def _repairs(
    people: Sequence[Person], seed: int
) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """Repair orders, and the work done for each."""
    rng = _rng(seed, "repairs")
    members = [person.member_number for person in people if person.member_number]
    first_day = datetime.fromisoformat("2026-09-16T00:00:00")
    # Some workshops close their orders one by one, the others all at once in the evening.
    evenings = [first_day + timedelta(days=2 * n, hours=16, minutes=30) for n in range(25)]
    closed = [evening for evening in evenings for _ in range(12)]
    closed += [_moment(rng, first_day, days=58, hours=WORKSHOP_HOURS) for _ in range(200)]
    finished = [("completed", rng.choice(members), at) for at in closed]
    walk_ins = [
        ("completed", None, _moment(rng, first_day, days=58, hours=WORKSHOP_HOURS))
        for _ in range(15)
    ]
    others = [
        (status, rng.choice(members), _moment(rng, first_day, days=58, hours=WORKSHOP_HOURS))
        for status, count in (("received", 20), ("in_progress", 19), ("cancelled", 6))
        for _ in range(count)
    ]
    orders: list[tuple[object, ...]] = []
    lines: list[tuple[object, ...]] = []
    jobs = [*finished, *walk_ins, *others]
    rng.shuffle(jobs)
    for number, (status, member, at) in enumerate(jobs, start=1):
        repair_no = f"REP-{number:05d}"
        received_at = at - timedelta(days=rng.randrange(1, 14), minutes=rng.randrange(120))
        orders.append(
            (
                repair_no,
                member,
                rng.choice(STORES)[0],
                rng.choice(PRODUCTS[:-1])[0],  # the last one is a spray: nobody repairs it
                status,
                received_at.replace(tzinfo=UTC),
                at.replace(tzinfo=UTC) if status == "completed" else None,
                _weighted(rng, {None: 6, "Ring när den är klar 📞": 1, "Brådskar, fjälltur": 1}),
            )
        )
        free = rng.random() < 0.3  # within the guarantee
        services = rng.sample(SERVICES, _weighted(rng, {1: 6, 2: 3, 3: 1}))
        lines += [
            (repair_no, place, service, Decimal("0.00" if free else price))
            for place, (service, price) in enumerate(services, start=1)
        ]
    return orders, lines


# ---- wishlists --------------------------------------------------------------------------------


def _wishlist_events(people: Sequence[Person], seed: int) -> list[tuple[object, ...]]:
    """What the web shop logged: products put on a wishlist, put there again, and taken off."""
    rng = _rng(seed, "wishlist")
    wishers = [
        person.customer_id
        for person in people
        if person.in_engage and person.customer_id != AMBIGUOUS_CUSTOMER
    ]
    first_day = datetime.fromisoformat("2026-09-01T00:00:00")
    # A phone without coverage keeps what its owner does, and the app loads it up at night.
    loaded = [first_day + timedelta(days=7 * n + 3, hours=3) for n in range(10) for _ in range(12)]
    clicked = [_moment(rng, first_day, days=74) for _ in range(779)]
    first_adds = [
        (UNKNOWN_CUSTOMER, PRODUCTS[1][0], datetime.fromisoformat("2026-11-14T15:41:12.004518"))
    ]
    seen = set()
    for at in [*loaded, *clicked]:
        customer_id, sku = rng.choice(wishers), rng.choice(PRODUCTS)[0]
        while (customer_id, sku, at.date()) in seen:
            customer_id, sku = rng.choice(wishers), rng.choice(PRODUCTS)[0]
        seen.add((customer_id, sku, at.date()))
        first_adds.append((customer_id, sku, at))
    # Less than an hour later, so that it is still the same day.
    again = [
        (customer_id, sku, at + timedelta(seconds=rng.randrange(1, 3600)))
        for customer_id, sku, at in rng.sample(first_adds[1:], 60)
    ]
    removed = [
        (customer_id, sku, at + timedelta(minutes=rng.randrange(1, 600)))
        for customer_id, sku, at in rng.sample(first_adds[1:], 120)
    ]
    events = sorted(
        [(at, customer_id, sku, "add") for customer_id, sku, at in [*first_adds, *again]]
        + [(at, customer_id, sku, "remove") for customer_id, sku, at in removed]
    )
    return [
        (event_id, customer_id, sku, action, "app" if at.hour == 3 else "web", at)
        for event_id, (at, customer_id, sku, action) in enumerate(events, start=700_001)
    ]


# ---- chance, and writing ----------------------------------------------------------------------


def _rng(seed: int, topic: str) -> random.Random:
    """Chance of its own for every topic, so that a change to one leaves the others as they are."""
    return random.Random(f"{seed}:{topic}")


def _guid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def _weighted(rng: random.Random, options: dict[Option, int]) -> Option:
    return rng.choices(list(options), weights=list(options.values()))[0]


def _moment(
    rng: random.Random, first_day: datetime, *, days: int, hours: tuple[int, int] = (6, 23)
) -> datetime:
    """A time by day or in the evening: never in the hour that the clocks repeat in October."""
    opens, closes = (timedelta(hours=hour) for hour in hours)
    in_day = opens + timedelta(seconds=rng.random() * (closes - opens).total_seconds())
    return first_day + timedelta(days=rng.randrange(days)) + in_day


def _load(
    warehouse: duckdb.DuckDBPyConnection, table: str, rows: Iterable[Iterable[object]]
) -> None:
    columns = TABLES[table]
    warehouse.execute(
        f"CREATE TABLE {table} ({', '.join(f'{name} {kind}' for name, kind in columns.items())})"
    )
    # One list a column: a statement for every row would take seconds.
    warehouse.execute(
        f"INSERT INTO {table} SELECT "
        + ", ".join(f"unnest(?::{kind}[])" for kind in columns.values()),
        [list(values) for values in zip(*rows, strict=True)],
    )
