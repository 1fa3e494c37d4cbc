"""Any history of a project: what `preview` says is what `sync` does; what a run, `status` and the
exit code say is what stands in the ledger and at the destination.

Figures of one command are held against those of another, and against what the sandbox was asked for
and holds. A history that fails tells all that happened in it.
"""

import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from connector.sandbox.engage.behaviour import Behaviour
from tests.targets import PROVE
from tests.whole.shop import Done, Shop, behaving, contact_id

SEEDS = range(300 if PROVE else 6)
STEPS = 9
SHOWN = 50
"""How many requests a preview shows: more than there ever are."""
FOR_A_PERSON = ("invalid", "rejected", "in_doubt")
CODES = {"succeeded": 0, "attention": 1, "held": 1, "stopped": 3}
MODES = {
    "with a cursor": ("mode: append", "cursor: {column: seen_at, overlap: 365d}"),
    "with a short overlap": ("mode: append", "cursor: {column: seen_at, overlap: 1h}"),
    "whole": ("mode: append", ""),
    "replacing": ("mode: mirror\n    on_change: replace", ""),
    "keeping": ("mode: mirror\n    on_change: keep", ""),
}
LIMITS = ("{}", "{}", "{}", "{rows: 6}", "{refused: 40%}", "{rows: 3, refused: 60%}")
CAPS = (
    "",
    "",
    "\n    per_contact: {most: 1, every: 1d}",
    "\n    per_contact: {most: 2, every: 1d}",
)
STARTS = ("all", "all", "2026-11-05T00:00:00Z")
PAYLOADS = (
    "{visitId: id, productSku: sku, rating: rating}",
    "{visitId: id, rating: rating}",
    "{visitId: id, productSku: sku, rating: rating, free: free}",
)
FAULTS = ("reset_before", "reset_after", "truncate_after", "no_id_after", "html_after", "too_many")
STATUSES = (400, 404, 422, 500, 503)
SENT_BY = """
    select row_key, interaction_id from deliveries join attempts
    on attempts.delivery_id = deliveries.id and attempts.number = deliveries.attempt
    where state = 'delivered' and attempts.run_id = ? and attempts.outcome = 'accepted'
"""
FIGURES = (
    *("read", "staged", "new", "already_recorded", "invalid", "rejected", "history", "repeated"),
    *("without_key", "behind", "pending", "waiting", "in_doubt", "delivered", "resent"),
    *("removed", "replaced", "returned", "dropped", "live"),
)


def told(document: Any) -> str:
    """The figures of a run or a preview that are not 0."""
    outlook = document.get("outlook", {})
    word, why = document.get("status") or outlook["would"], outlook.get("because")
    figures = {name: document[name] for name in FIGURES if document.get(name)}
    return f"{word} {figures} {document.get('error') or why or ''}"


@dataclass
class History:
    """A project, and what befalls it. `keys`: those that the model has."""

    shop: Shop
    dice: Random
    keys: list[str] = field(default_factory=list)
    rows: int = 0
    name: str = "visits"
    mode: str = ""
    paused: bool = False
    unknown: Sequence[int] = (11, 12)
    """Contacts that Engage does not know yet."""
    log: list[str] = field(default_factory=list)

    def begin(self) -> None:
        dice = self.dice
        self.mode, cursor = MODES[word := dice.choice(list(MODES))]
        self.mode += dice.choice(CAPS)
        options = {
            "start": dice.choice(STARTS if cursor else STARTS[:1]),
            "identifier": dice.choice(("contactId", "contactId", "email")),
            "wait": dice.choice(("0", "3d")),
            "limits": dice.choice(LIMITS),
            "contact_cache": dice.choice(("0s", "1d")),
        }
        quick = {"timeout": "1s", "settle_after": "0s", "concurrency": 4}
        self.shop.configure(more=self.mode, cursor=cursor, **quick, **options)
        self.log.append(f"{word}, {options}")
        self.rows_come()

    @property
    def backup(self) -> Path:
        return self.shop.path / "backup.db"

    # --- the model ------------------------------------------------------------------------------

    def rows_come(self) -> None:
        """Some of them bad, or under a key that is there."""
        new = [self.row() for _ in range(self.dice.randint(1, 5))]
        self.keys += [row["id"] for row in new if row["id"]]
        self.shop.add(*new)
        self.log.append(f"rows {[(r['id'], r['rating'], r['contact'][:8]) for r in new]}")

    def row(self) -> dict[str, Any]:
        self.rows += 1
        n, dice = self.rows, self.dice
        key = f"r{n}"
        if self.keys and dice.random() < 0.1:
            key = dice.choice(self.keys)
        return {
            "id": None if dice.random() < 0.1 else key,
            "seen_at": f"2026-11-{1 + n % 27:02} 10:00:{n % 60:02}",
            "rating": dice.choice((1, 2, 3, 4, 5, 5, 9)),
            "contact": self.contact(),
        }

    def contact(self) -> str:
        if self.dice.random() < 0.07:
            return "nobody"
        n = self.dice.choice((1, 2, 3, 4, 5, 5, 11, 12))
        return f"c{n}@example.com" if self.shop.options["identifier"] == "email" else contact_id(n)

    def a_row_changes(self) -> None:
        if self.keys:
            key, rating = self.dice.choice(self.keys), self.dice.randint(1, 6)
            self.shop.execute(f"update visits set rating = {rating} where id = '{key}'")
            self.log.append(f"{key} is {rating}")

    def a_row_goes(self) -> None:
        if self.keys:
            gone = self.dice.choice(self.keys)
            self.keys = [key for key in self.keys if key != gone]
            self.shop.execute(f"delete from visits where id = '{gone}'")
            self.log.append(f"{gone} goes")

    # --- the destination ------------------------------------------------------------------------

    def contacts_join(self) -> None:
        for n in self.unknown:
            one = {"contactId": contact_id(n), "email": f"c{n}@example.com"}
            self.shop.sandbox.engage.add_contact(one)
        if self.unknown:
            self.shop.sandbox.engage.merge_contacts(contact_id(5), contact_id(6))
        self.unknown = ()
        self.log.append("contacts join, and one becomes another")

    # --- persons --------------------------------------------------------------------------------

    def done(self, *arguments: str) -> Done:
        done = self.shop.connector(*arguments, "--json")
        self.log.append(f"{' '.join(arguments)}: {done.code}")
        return done

    def waiting(self) -> list[Any]:
        """Rows that wait for a person."""
        rows: list[Any] = self.shop.connector("quarantine", "list", "--json").json["rows"]
        return rows

    def somebody_decides(self) -> None:
        if rows := self.waiting():
            key, what = self.dice.choice(rows)["row_key"], self.dice.choice(("retry", "discard"))
            self.done("quarantine", what, self.name, key, "--yes")

    def somebody_looks(self) -> None:
        """And says what is true of a row in doubt."""
        doubts = [row["row_key"] for row in self.waiting() if row["state"] == "in_doubt"]
        if not doubts:
            return
        key = self.dice.choice(doubts)
        with self.shop.ledger_connection() as c:
            owned = {id for (id,) in c.execute("select interaction_id from deliveries")}
        there = [id for id, name in self.stored().items() if name == key and id not in owned]
        how = ["--delivered", "--interaction-id", there[0]] if there else ["--not-delivered"]
        self.done("quarantine", "settle", self.name, key, *how)

    def somebody_approves(self) -> None:
        self.done("approve", self.name)

    def a_run_is_undone(self) -> None:
        """As its plan says."""
        runs = self.shop.connector("runs", self.name, "--json").json.get("runs")
        if not runs:
            return
        run_id = self.dice.choice(runs)["run_id"]
        plan = self.shop.connector("undo", run_id, "--dry-run", "--json").json
        done = self.done("undo", run_id, "--yes").json
        for name in ("rows", "contacts", "already_gone"):
            assert done[name] == plan[name], name
        assert done["undone"] + len(done["refused"]) == plan["rows"]
        left = self.shop.connector("undo", run_id, "--dry-run", "--json").json
        assert (left["rows"], left["standing"]) == (0, done["standing"])

    def a_person_is_forgotten(self) -> None:
        """As the plan says."""
        whose = ("--contact", contact_id(self.dice.choice((1, 2, 3))))
        more = self.dice.choice(([], ["--delete-interactions"]))
        plan = self.shop.connector("forget", *whose, *more, "--dry-run", "--json").json
        done = self.done("forget", *whose, *more, "--yes").json
        for name in ("rows", "states", "interactions"):
            assert done[name] == plan[name], name
        assert done["forgotten"] == plan["rows"]

    # --- the project and its ledger -------------------------------------------------------------

    def it_is_edited(self) -> None:
        what, values = self.dice.choice((("limits", LIMITS), ("payload", PAYLOADS)))
        self.shop.configure(**{what: (value := self.dice.choice(values))})
        self.log.append(f"{what}: {value}")

    def it_pauses_or_goes_on(self) -> None:
        self.paused = not self.paused
        self.shop.configure(more=self.mode + self.paused * "\n    paused: true")
        self.log.append(f"paused: {self.paused}")

    def it_is_renamed(self) -> None:
        before, self.name, self.paused = self.name, f"visits{len(self.log)}", False
        self.shop.configure(name=self.name, more=f"{self.mode}\n    renamed_from: {before}")
        self.log.append(f"{before} is {self.name}")
        self.sync()

    def it_is_backed_up(self) -> None:
        if self.shop.ledger_file.exists():
            with closing(sqlite3.connect(self.backup)) as to, self.shop.ledger_connection() as c:
                c.backup(to)
            self.log.append("backed up")

    def it_is_put_back(self) -> None:
        if self.backup.exists():
            for end in ("-wal", "-shm"):
                Path(f"{self.shop.ledger_file}{end}").unlink(missing_ok=True)
            shutil.copy(self.backup, self.shop.ledger_file)
            self.log.append("put back")

    # --- runs -----------------------------------------------------------------------------------

    def sync(self, *options: str) -> Any:
        """One run, after which all agree; None while it is paused."""
        done = self.shop.sync(*options)
        if self.paused:
            assert (done.code, done.json["runs"]) == (0, [])
            return None
        assert "runs" in done.json, f"{options} {done}"
        self.log.append(f"sync {options}: {told(done.run)}")
        self.all_agree(done)
        return done.run

    def sync_in_trouble(self) -> None:
        self.shop.sandbox.behaviour = self.trouble()
        try:
            self.sync(*self.dice.choice(([], ["--limit", "2"], ["--approve"])))
        finally:
            self.shop.sandbox.behaviour = behaving()

    def trouble(self) -> Behaviour:
        faults: dict[str, Any] = dict.fromkeys(self.dice.sample(FAULTS, 2), 0.2)
        faults["status_before"] = {self.dice.choice(STATUSES): 0.2}
        look_ups = {"status": {503: self.dice.choice((0, 0.3))}}
        return behaving(seed=self.dice.randrange(1000), faults=faults, lookup_faults=look_ups)

    def preview_and_sync(self) -> None:
        """What is foreseen comes to pass, where nothing fails."""
        before = self.everything()
        done = self.shop.connector("preview", self.name, "--json", "--limit", str(SHOWN))
        foreseen = done.json
        check = self.shop.connector("check", self.name, "--json").json["activations"][0]
        would = [check["outlook"]["would"], foreseen["outlook"]["would"]]
        assert would[0] == would[1], would
        assert self.everything() == before, "a preview has written, or sent"
        self.log.append(f"preview: {told(foreseen)}")
        posts = self.shop.posts
        run = self.sync()
        if run is None:
            assert foreseen["outlook"]["would"] == "be_passed_by"
        elif not any("from a backup" in note for note in foreseen["outlook"]["notes"]):
            came_to_pass(foreseen, run, self.shop.posts - posts)
            self.bodies_are_as_shown(foreseen, run)

    # --- what must hold -------------------------------------------------------------------------

    def everything(self) -> Any:
        """What a preview must not change."""
        count = self.shop.sandbox.requests.count
        written = [count("POST /interactions"), count("DELETE /interactions/{id}")]
        if not self.shop.ledger_file.exists():
            return written, None
        with self.shop.ledger_connection() as c:
            return written, list(c.iterdump())

    def stored(self) -> dict[str, str]:
        """What stands at the destination: the row key of each interaction, by its id."""
        return {i.id: i.payload["visitId"] for i in self.shop.sandbox.engage.interactions()}

    def bodies_are_as_shown(self, foreseen: Any, run: Any) -> None:
        shown = {r["row_key"]: r["body"] for r in foreseen["requests"] if r["method"] == "POST"}
        with self.shop.ledger_connection() as c:
            sent = dict(c.execute(SENT_BY, (run["run_id"],)).fetchall())
        there = {i.id: i.payload for i in self.shop.sandbox.engage.interactions()}
        for key in sent.keys() & shown.keys():
            assert there[sent[key]] == shown[key]["payload"], key
        if run["status"] in ("succeeded", "attention") and len(foreseen["requests"]) < SHOWN:
            more = sent.keys() - shown.keys()
            assert len(more) <= foreseen["outlook"]["may_send"], f"sent, and not shown: {more}"

    def all_agree(self, done: Done) -> None:
        """The run, the exit code, `status`, the ledger and the destination."""
        (status,) = self.shop.connector("status", "--json").json["activations"]
        with self.shop.ledger_connection() as c:
            query = "select row_key, state, interaction_id, suspect from deliveries"
            rows = c.execute(query).fetchall()
        run, counts, needs = done.run, status["counts"], status["needs"]
        assert status["last_run"] == {name: run[name] for name in status["last_run"]}
        assert +Counter(counts) == Counter(state for _, state, _, _ in rows)

        there = self.stored()
        owned = {id: key for key, state, id, _ in rows if state == "delivered"}
        unsure = {key for key, state, _, suspect in rows if suspect or state == "in_doubt"}
        lost = {key for id, key in owned.items() if there.get(id) != key}
        assert not lost, f"delivered, and not there: {lost}"
        strange = {key for id, key in there.items() if id not in owned} - unsure
        assert not strange, f"there, and not delivered: {strange}"
        twice = [key for key, times in Counter(there.values()).items() if times > 1]
        assert not twice, f"there twice: {twice}"

        waits = sum(counts[state] for state in FOR_A_PERSON)
        assert done.code == CODES[run["status"]]
        assert not (run["status"] == "succeeded" and waits), f"succeeded, and {waits} wait"
        assert needs or run["status"] != "attention", "attention for nothing"
        kinds, young = [need["kind"] for need in needs], run["too_young"]
        assert young <= counts["in_doubt"] + counts["sending"], "more young ones than doubts"
        assert ("rows" in kinds) == (waits > young), "rows wait in silence, or for nobody"
        assert ("young" in kinds) == (young > 0), "so do those in doubt that are too young"
        self.dice.choice((self.quarantine_agrees, self.a_story_agrees, self.a_look_agrees))(run)

    # --- what other commands tell of it, one of them after each run -----------------------------

    def quarantine_agrees(self, run: Any) -> None:
        listed = {(row["row_key"], row["state"]) for row in self.waiting()}
        with self.shop.ledger_connection() as c:
            rows = c.execute("select row_key, state from deliveries").fetchall()
        assert listed == {(key, state) for key, state in rows if state in FOR_A_PERSON}

    def a_story_agrees(self, run: Any) -> None:
        """That of any row, and the run among the others."""
        (last,) = self.shop.connector("runs", self.name, "--limit", "1", "--json").json["runs"]
        assert last == {name: run[name] for name in last}
        with self.shop.ledger_connection() as c:
            rows = c.execute("select id, row_key, state, interaction_id from deliveries").fetchall()
            if not rows:
                return
            id, key, state, interaction_id = self.dice.choice(rows)
            tries = "select count(*) from attempts where delivery_id = ?"
            ((number,),) = c.execute(tries, (id,)).fetchall()
        told = self.shop.connector("explain", self.name, key, "--json").json
        assert (told["state"], len(told["attempts"])) == (state, number)
        assert state != "delivered" or told["interaction_id"] == interaction_id
        changes = [each["state"] for each in told["story"] if each["state"]]
        assert not changes or changes[-1] == state, told["story"]

    def a_look_agrees(self, run: Any) -> None:
        """What was sent is there, once; and as it was sent, where the ledger has seen it sent."""
        found = self.shop.connector("verify", run["run_id"], "--json").json
        taken_back = [each for each in found["still_there"] if not each["recent"]]
        assert not [*found["missing"], *found["doubled"], *taken_back], found
        assert not found["changed"] or "put back" in self.log, found


def came_to_pass(foreseen: Any, run: Any, posts: int) -> None:
    """What was foreseen is what was done. What the destination refuses nobody knows before, nor
    what it says of rows in doubt (`may_send`)."""
    outlook, again = foreseen["outlook"], foreseen.get("replaced", 0) + foreseen.get("returned", 0)
    if not any("left to the run after" in note for note in (*outlook["notes"], *foreseen["notes"])):
        parts = FIGURES[2:9]
        known = sum(foreseen[part] for part in parts)
        assert known <= foreseen["read"] <= known + again, "the parts of what was read"
    if outlook["would"] == "be_held":
        assert (run["status"], posts) == ("held", 0)
        return
    if run["status"] == "held" and run["rejected"] > foreseen["rejected"]:
        return
    assert run["status"] in ("succeeded", "attention")
    if run["read"]:  # not where what is approved goes alone
        assert (run["read"], run["invalid"]) == (foreseen["read"], foreseen["invalid"])
    to_send = foreseen["new"] + foreseen["pending"] + again - outlook["left"]
    # of these one that is invalid by now is taken back alone
    least = to_send - foreseen["invalid"] - run["rejected"] - run["waiting"] - run["for_turn"]
    assert least <= posts, f"{posts} sent, {to_send} foreseen"
    # one of a contact that has become another one is refused, and sent again
    assert run["delivered"] <= to_send + outlook["may_send"], f"more than {to_send} delivered"
    # a row that is refused leaves its turn to another one
    done = posts - run["rejected"]
    assert outlook["would"] != "send_nothing" or done <= outlook["may_send"]
    if not outlook["may_send"] and not run["for_turn"]:
        for name in ("removed", "replaced"):
            assert run[name] == foreseen.get(name, 0), name


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_told_is_what_is(shop: Shop, seed: int) -> None:
    history = History(shop, Random(f"histories {seed}"))
    happens: Sequence[Callable[[], None]] = (
        *(history.rows_come, history.rows_come, history.rows_come),
        *(history.a_row_changes, history.a_row_changes, history.a_row_goes),
        *(history.contacts_join, history.somebody_decides, history.somebody_looks),
        *(history.somebody_approves, history.a_run_is_undone, history.a_person_is_forgotten),
        *(history.it_is_edited, history.it_pauses_or_goes_on, history.it_is_renamed),
        *(history.it_is_backed_up, history.it_is_put_back),
        *(history.sync_in_trouble, history.sync_in_trouble),
        *(history.preview_and_sync, history.preview_and_sync, history.preview_and_sync),
    )
    history.begin()
    try:
        for _ in range(STEPS):
            history.dice.choice(happens)()
        history.preview_and_sync()
    except AssertionError as error:
        raise AssertionError("\n".join([str(error), *history.log])) from error
