"""Forgetting a person: nothing is left of them in the ledger's own files, and nothing is sent."""

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import URL

from connector.decisions.forget import Forget
from connector.ledger import engine as ledger_engine
from connector.ledger.decisions import Person
from connector.project.app import App
from connector.project.settings import load
from connector.rules.errors import StaleMove
from connector.sandbox.behaviour import Faults, ReadFaults
from tests.whole.shop import Done, Shop, behaving, contact_id
from tests.whole.test_crash import until
from tests.whole.test_undo import counts, nothing_is_sent

ANNA, BERT = "anna.unknown@example.com", "bert.unknown@example.com"


def forget(shop: Shop, *arguments: str) -> Done:
    """`connector forget --yes --json`."""
    return shop.connector("forget", "--yes", "--json", *arguments)


def bytes_of_the_ledger(shop: Shop) -> bytes:
    """Everything in the files of the ledger, whatever SQLite thinks of it."""
    return b"".join(file.read_bytes() for file in Path(shop.path / ".connector").iterdir())


def two_persons_wait(shop: Shop) -> None:
    """Rows of Anna and of Bert, whose contacts are not known yet."""
    shop.configure(identifier="email")
    shop.add(*({"id": f"a{i}", "contact": ANNA, "sku": "annas-secret"} for i in range(5)))
    shop.add(*({"id": f"b{i}", "contact": BERT} for i in range(5)))
    shop.sync()


def test_nothing_of_a_person_is_left_in_the_files(shop: Shop) -> None:
    two_persons_wait(shop)
    held = bytes_of_the_ledger(shop)

    done = forget(shop, "--contact", ANNA.upper())

    left = bytes_of_the_ledger(shop)
    assert ANNA.encode() in held
    assert b"annas-secret" in held
    assert done.code == 0
    assert (done.json["rows"], done.json["states"]) == (5, {"waiting": 5})
    assert ANNA.encode() not in left
    assert b"annas-secret" not in left
    assert BERT.encode() in left
    assert not any("database's files" in note for note in done.json["notes"])


@pytest.mark.parametrize("in_the_way", [False, True])
def test_nothing_is_left_in_a_write_ahead_log_unless_somebody_still_reads_it(
    shop: Shop, in_the_way: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_engine, "BUSY_TIMEOUT", 100)
    two_persons_wait(shop)
    assert ledger_engine.SQLITE
    with closing(ledger_engine.SQLITE.connect(str(shop.ledger_file))) as neighbour:
        neighbour.execute("begin")
        neighbour.execute("select * from runs").fetchall()  # so that the log is kept
        if not in_the_way:
            neighbour.execute("commit")

        done = forget(shop, "--contact", ANNA)

        log = Path(f"{shop.ledger_file}-wal").stat().st_size
        left = bytes_of_the_ledger(shop)
    assert done.code == 0
    assert (log > 0, ANNA.encode() in left) == (in_the_way, in_the_way)
    assert any("database's files" in note for note in done.json["notes"]) == in_the_way


def test_what_a_delivered_row_held_is_not_in_the_file_either(shop: Shop) -> None:
    shop.configure(identifier="email")
    shop.add(*({"id": f"v{i}", "contact": "c1@example.com", "sku": "secret"} for i in range(50)))

    shop.sync()

    left = bytes_of_the_ledger(shop)
    assert b"c1@example.com" not in left
    assert b"secret" not in left


@pytest.mark.parametrize("asked_for", ["C1@Example.com", contact_id(1)])
def test_of_a_person_whose_rows_are_all_delivered_no_look_up_is_kept(
    shop: Shop, asked_for: str
) -> None:
    shop.configure(identifier="email", more="per_contact: {most: 5, every: 1d}")
    shop.add({"id": "v1", "contact": "c1@example.com"}, {"id": "v2", "contact": "c2@example.com"})
    shop.sync()
    held = bytes_of_the_ledger(shop)

    planned = shop.connector("forget", "--contact", asked_for, "--dry-run", "--json")
    done = forget(shop, "--contact", asked_for)
    again = forget(shop, "--contact", asked_for)

    left = bytes_of_the_ledger(shop)
    assert contact_id(1).encode() in held
    assert (planned.code, done.code, done.json["status"]) == (0, 0, "succeeded")
    assert any("looking this contact up" in note for note in planned.json["notes"])
    assert contact_id(1).encode() not in left
    assert contact_id(2).encode() in left
    with shop.ledger_connection() as ledger:
        assert ledger.execute("select count(*) from turns").fetchone() == (1,)
    assert again.json["status"] == "planned"  # since there is nothing more


def test_forgotten_rows_are_never_sent_even_if_the_contact_comes_to_be_known(shop: Shop) -> None:
    two_persons_wait(shop)
    forget(shop, "--contact", ANNA)

    for address in (ANNA, BERT):
        shop.sandbox.engage.add_contact({"email": address})
    shop.execute("update visits set rating = 2")
    shop.configure(wait="0s")
    shop.sync()

    assert set(shop.stored) == {f"b{i}" for i in range(5)}
    assert shop.state("a1") == "discarded"
    assert "forgotten" in shop.connector("explain", "visits", "a1").out


def test_a_ledger_on_a_server_forgets_too(shop: Shop, postgresql_url: URL) -> None:
    address = postgresql_url.render_as_string(hide_password=False)
    shop.configure(ledger=address)
    two_persons_wait(shop)

    done = forget(shop, "--contact", ANNA)

    with psycopg.connect(address) as connection:
        rows = [
            str(connection.execute(f"select * from {table}").fetchall())
            for table in ("deliveries", "attempts", "decisions", "runs", "watermarks")
        ]
    assert done.code == 0
    assert ANNA not in "".join(rows)
    assert BERT in "".join(rows)
    assert any("vacuumed" in note for note in done.json["notes"])


def test_the_person_s_interactions_are_deleted_where_that_is_wanted(shop: Shop) -> None:
    shop.configure(identifier="email")
    shop.add(*({"id": f"v{i}", "contact": f"c{i % 2}@example.com"} for i in range(10)))
    run_id = str(shop.sync().run["run_id"])
    body = b'{"contactId": "%b", "schemaId": "visit", "payload": {"visitId": "by hand"}}'
    shop.sandbox.engage.receive(body % contact_id(1).encode())

    plan = shop.connector(
        "forget", "--contact", "c1@example.com", "--delete-interactions", "--dry-run", "--json"
    )
    kept = len(shop.stored)
    done = forget(shop, "--contact", "c1@example.com", "--delete-interactions")

    assert (plan.code, kept) == (0, 11)
    told = {name: plan.json[name] for name in ("rows", "interactions", "interactions_of_others")}
    assert told == {"rows": 0, "interactions": 5, "interactions_of_others": 1}
    assert (done.code, done.json["deleted"]) == (0, 5)
    assert set(shop.stored) == {"v0", "v2", "v4", "v6", "v8", "by hand"}
    assert counts(shop) == {"delivered": 5, "undone": 5}
    assert nothing_is_sent(shop)
    released = shop.connector("release", run_id, "--yes", "--json")
    assert released.json["rows"] == 0
    assert "forgotten for good" in " ".join(released.json["notes"])


@pytest.mark.parametrize("agreed", [True, False])
def test_what_was_sent_since_it_was_shown_is_not_left_there_in_silence(
    shop: Shop, agreed: bool
) -> None:
    shop.configure(identifier="email", limits="{rows: 1}")
    shop.add({"id": "v0", "contact": "c1@example.com"})
    shop.sync()
    shop.add(*({"id": f"v{i}", "contact": "c1@example.com"} for i in range(1, 3)))
    held = shop.sync().run["status"]
    names = ["c1@example.com"]
    deed = Forget(App(load(shop.config)), names, [], True, Person("anna"))

    shown = asyncio.run(deed.plan())
    shop.sync("--approve")
    stale = asyncio.run(deed.do(shown, agreed))
    left = dict(shop.stored)
    again = forget(shop, "--contact", *names, "--delete-interactions")

    assert held == "held"
    assert isinstance(stale.error, StaleMove)
    assert stale.exit_code == 3
    assert "2 rows were sent" in str(stale.error)
    assert len(left) == 3  # nothing was deleted
    assert (again.code, again.json["deleted"]) == (0, 3)
    assert shop.stored == {}
    assert nothing_is_sent(shop)


@pytest.mark.parametrize("also", ["visits", "others"])
def test_what_was_recorded_and_sent_since_it_was_shown_does_not_stay_in_silence(
    shop: Shop, also: str
) -> None:
    shop.configure(identifier="email")
    text = shop.config.read_text()
    again = text.partition("activations:\n")[2].replace("  visits:", "  others:", 1)
    shop.config.write_text(f"{text}\n{again}")
    shop.connector("sync", "others")
    shop.add({"id": "v0", "contact": "c1@example.com"})
    shop.connector("sync", "visits")
    names = ["c1@example.com"]
    deed = Forget(App(load(shop.config)), names, [], True, Person("anna"))

    shown = asyncio.run(deed.plan())
    shop.add({"id": "v1", "contact": "c1@example.com"})
    shop.connector("sync", also)
    posts = shop.posts
    stale = asyncio.run(deed.do(shown, agreed=True))
    left = len(shop.sandbox.engage.interactions())
    again_done = forget(shop, "--contact", *names, "--delete-interactions")

    assert isinstance(stale.error, StaleMove)
    assert f"{posts - 1} row" in str(stale.error)
    assert (stale.exit_code, left) == (3, posts)  # nothing was deleted
    assert (again_done.code, again_done.json["deleted"]) == (0, posts)
    assert shop.sandbox.engage.interactions() == []


def test_a_contact_id_needs_no_look_up(shop: Shop) -> None:
    shop.add_many(20)
    shop.sync()

    done = forget(shop, "--contact", contact_id(3).upper(), "--delete-interactions")

    assert done.json["deleted"] == 2
    assert shop.sandbox.requests.count("GET /contacts/id") == 0
    assert len(shop.stored) == 18


def test_without_being_told_so_the_destination_is_not_asked(shop: Shop) -> None:
    shop.add_many(20)
    shop.sync()
    before = shop.sandbox.requests.count()

    done = forget(shop, "--contact", contact_id(3))

    assert (done.code, done.json["rows"], done.json["interactions"]) == (0, 0, None)
    assert shop.sandbox.requests.count() == before
    assert len(shop.stored) == 20


def test_a_schema_that_is_gone_has_no_interactions_to_be_deleted(shop: Shop) -> None:
    shop.add_many(20)
    shop.sync()
    shop.sandbox.engage.remove_schema("visit")

    done = forget(shop, "--contact", contact_id(3), "--delete-interactions")

    assert (done.code, done.json["interactions"]) == (0, 0)


def test_whoever_cannot_be_found_at_the_destination_is_told(shop: Shop) -> None:
    two_persons_wait(shop)

    done = forget(shop, "--contact", ANNA, "--delete-interactions")
    again = forget(shop, "--contact", ANNA, "--delete-interactions")

    assert (done.code, again.code) == (1, 1)
    assert done.json["forgotten"] == 5
    assert "no contact goes with what was given" in " ".join(done.json["notes"])


def test_an_identifier_of_several_contacts_deletes_nothing(shop: Shop) -> None:
    """The same number is one person's e-mail in an activation and another's key in the next."""
    shop.sandbox.engage.add_contact({"contactId": contact_id(50), "memberNumber": "c1@example.com"})
    text = shop.config.read_text()
    activation = text[text.index("  visits:") :]
    second = activation.replace("  visits:", "  others:").replace("contactId", "customKey")
    shop.configure(identifier="email")
    shop.config.write_text(shop.config.read_text() + second)
    shop.add({"id": "v1", "contact": "c1@example.com"})
    shop.sync()
    assert len(shop.sandbox.engage.interactions()) == 2

    done = forget(shop, "--contact", "c1@example.com", "--delete-interactions")
    narrowed = forget(
        shop, "--contact", "c1@example.com", "--delete-interactions", "--activation", "others"
    )

    assert done.code == 2
    assert "2 contacts go with what was given" in done.json["error"]["message"]
    assert (narrowed.code, narrowed.json["deleted"]) == (0, 1)
    (left,) = shop.sandbox.engage.interactions()
    assert left.contact_id == contact_id(1)


def test_rows_under_the_contact_s_own_id_are_found_by_the_look_up(shop: Shop) -> None:
    """The same person by e-mail in an activation, and by contactId, not sent yet, in the next."""
    text = shop.config.read_text()
    activation = text[text.index("  visits:") :]
    second = activation.replace("  visits:", "  others:").replace("limits: {}", "limits: {rows: 0}")
    shop.configure(identifier="email", model="select * from visits where id = 'v1'")
    second = second.replace("select * from visits", "select * from visits where id = 'v2'")
    shop.config.write_text(shop.config.read_text() + second)
    shop.add({"id": "v1", "contact": "c1@example.com"}, {"id": "v2", "contact": contact_id(1)})
    shop.sync()
    assert shop.stored == {"v1": 1}

    alone = forget(shop, "--contact", "c1@example.com")
    done = forget(shop, "--contact", "c1@example.com", "--delete-interactions")

    assert alone.json["rows"] == 0
    assert (done.json["deleted"], done.json["forgotten"]) == (1, 1)
    assert not shop.stored
    assert contact_id(1).encode() not in bytes_of_the_ledger(shop)


def test_a_forgetting_that_was_stopped_moves_nobody_up_in_line(shop: Shop) -> None:
    shop.configure(more="per_contact: {most: 2, every: 1d}")
    shop.add(*({"id": f"v{i}"} for i in range(5)))
    first = shop.sync().run
    shop.sandbox.behaviour = behaving(delete_faults=Faults(status_before={500: 1}))

    stopped = forget(shop, "--contact", contact_id(1), "--delete-interactions")
    shop.sandbox.behaviour = behaving()
    later = shop.sync().run
    done = forget(shop, "--contact", contact_id(1), "--delete-interactions")

    assert (first["delivered"], stopped.code) == (2, 3)
    assert (later["delivered"], later["for_turn"]) == (0, 3)
    assert (done.code, shop.stored) == (0, {})
    with shop.ledger_connection() as ledger:
        assert ledger.execute("select count(*) from turns").fetchone() == (0,)


def test_forgetting_in_one_activation_moves_nobody_up_in_line_of_another(shop: Shop) -> None:
    shop.configure(more="per_contact: {most: 2, every: 1d}")
    text = shop.config.read_text()
    others = text.partition("activations:\n")[2].replace("  visits:", "  others:", 1)
    shop.config.write_text(f"{text}\n{others}")
    shop.add(*({"id": f"v{i}"} for i in range(5)))
    shop.connector("sync")

    chosen = ("--contact", contact_id(1), "--activation", "others")
    done = forget(shop, *chosen)
    again = forget(shop, *chosen)
    run = shop.connector("sync", "visits", "--json").run

    assert (done.code, done.json["activations"]) == (0, ["others"])
    assert again.json["status"] == "planned"  # since there is nothing more
    assert (run["delivered"], run["for_turn"]) == (0, 3)


def test_rows_of_chosen_activations_alone(shop: Shop) -> None:
    two_persons_wait(shop)

    nowhere = forget(shop, "--contact", ANNA, "--activation", "vists")
    here = forget(shop, "--contact", ANNA, "--activation", "visits")

    assert nowhere.code == 2
    assert 'did you mean "visits"?' in nowhere.json["error"]["message"]
    assert here.json["forgotten"] == 5


def test_rows_of_a_chosen_activation_are_found_under_its_earlier_name(shop: Shop) -> None:
    two_persons_wait(shop)
    shop.configure(name="seen", more="renamed_from: visits")

    done = forget(shop, "--contact", ANNA, "--activation", "seen")

    assert (done.code, done.json.get("forgotten")) == (0, 5)
    assert ANNA.encode() not in bytes_of_the_ledger(shop)


def test_interactions_of_a_row_under_an_earlier_name_are_found_by_its_identifier(
    shop: Shop,
) -> None:
    shop.configure(identifier="email")
    shop.add({"id": "v1", "contact": "c1@example.com"})
    shop.sync()
    shop.configure(name="seen", more="renamed_from: visits", contact_cache="0s")

    done = forget(shop, "--contact", "c1@example.com", "--delete-interactions")

    assert (done.code, done.json["deleted"], shop.stored) == (0, 1, {})


def test_nothing_is_called_forgotten_where_a_run_took_the_rows_over_meanwhile(shop: Shop) -> None:
    """While a person is asked, a service may run the activation under its new name."""
    two_persons_wait(shop)
    shop.configure(name="seen", more="renamed_from: visits")
    deed = Forget(App(load(shop.config)), [ANNA], (), False, Person("vera"))
    plan = asyncio.run(deed.plan())
    shop.sync()

    stale = asyncio.run(deed.do(plan, agreed=True))
    again = asyncio.run(deed.do(asyncio.run(deed.plan()), agreed=True))

    assert (stale.rows, stale.exit_code) == (0, 3)
    assert "run it again" in str(stale.error)
    assert (again.rows, again.error) == (len(plan.rows), None)
    assert again.rows > 0


def test_rows_in_doubt_are_told_and_given_up(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving(faults=Faults(reset_after=1.0), read_back_delay=60)
    shop.add({"id": "v1"})
    shop.sync()

    plan = shop.connector("forget", "--contact", contact_id(1), "--dry-run")
    forget(shop, "--contact", contact_id(1))
    shop.sandbox.behaviour = behaving()

    assert "1 row is in doubt: what they sent may have arrived" in plan.out
    assert nothing_is_sent(shop)
    assert shop.state("v1") == "discarded"
    assert contact_id(1).encode() not in bytes_of_the_ledger(shop)


def test_what_may_be_of_a_row_in_doubt_is_not_called_somebody_elses(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving(
        faults=Faults(reset_after=1.0), read_faults=ReadFaults(html=1.0)
    )
    shop.add({"id": "v1"})
    shop.sync()
    shop.sandbox.behaviour = behaving()

    done = forget(shop, "--contact", contact_id(1), "--delete-interactions")

    assert (done.code, done.json["interactions_of_others"]) == (1, 1)
    assert any("stays: it may be from here" in note for note in done.json["notes"])


def test_a_row_key_that_is_personal_stays_and_is_told(shop: Shop) -> None:
    shop.configure(identifier="email", wait="3d")
    shop.add({"id": ANNA, "contact": ANNA})
    shop.sync()

    done = forget(shop, "--contact", ANNA)

    assert done.json["row_keys_that_stay"] == 1
    assert "1 row key holds what was given itself" in " ".join(done.json["notes"])
    assert nothing_is_sent(shop)


def test_nobody_is_forgotten_unless_yes_is_said(shop: Shop) -> None:
    two_persons_wait(shop)

    done = shop.connector("forget", "--contact", ANNA)
    planned = shop.connector("forget", "--contact", ANNA, "--dry-run")
    nobody = shop.connector("forget", "--contact", "nobody@example.com")
    empty = shop.connector("forget", "--contact", " ", "--yes")

    assert (done.code, planned.code, nobody.code, empty.code) == (2, 0, 0, 2)
    assert "5  rows hold something of this contact" in planned.out
    assert ANNA not in done.out + done.err + planned.out
    assert ANNA.encode() in bytes_of_the_ledger(shop)


def test_nobody_is_forgotten_while_a_run_goes_on(shop: Shop) -> None:
    shop.add_many(60)
    shop.sandbox.behaviour = behaving(answer_delay=0.5)

    process = shop.start("sync")
    until(lambda: shop.posts >= 1)
    done = forget(shop, "--contact", contact_id(3))
    process.communicate(timeout=60)
    shop.sandbox.behaviour = behaving()

    assert done.code == 3
    assert done.json["error"]["kind"] == "busy"
    assert len(shop.stored) == 60


def test_what_a_mirror_s_row_is_to_become_is_not_forgotten_while_a_run_goes_on(shop: Shop) -> None:
    """A row reads as another person's now; its interaction is not deleted yet."""
    shop.configure(more="mode: mirror", cursor="")
    shop.add({"id": "v1"})
    shop.sync()
    shop.sandbox.behaviour = behaving(delete_faults=Faults(status_before={400: 1}))
    shop.execute(f"update visits set contact = '{contact_id(2)}'")
    shop.sync()
    shop.add(*({"id": f"w{i}"} for i in range(60)))
    shop.sandbox.behaviour = shop.sandbox.behaviour.model_copy(update={"answer_delay": 0.5})

    process = shop.start("sync")
    until(lambda: shop.posts >= 2)
    meanwhile = forget(shop, "--contact", contact_id(2))
    process.communicate(timeout=60)
    done = forget(shop, "--contact", contact_id(2))

    assert (meanwhile.code, meanwhile.json["error"]["kind"]) == (3, "busy")
    assert (done.code, done.json["activations"]) == (0, ["visits"])
    assert any("1 row of others reads as this contact's now" in n for n in done.json["notes"])
    assert contact_id(2).encode() not in bytes_of_the_ledger(shop)


@pytest.mark.parametrize(
    ("faults", "code"), [({"status_before": {500: 0.7}}, 3), ({"status_before": {400: 0.5}}, 1)]
)
def test_what_could_not_be_deleted_is_gone_on_with(
    shop: Shop, faults: dict[str, Any], code: int
) -> None:
    shop.configure(identifier="email", wait="0s")
    shop.add(*({"id": f"v{i}", "contact": "c1@example.com"} for i in range(12)))
    shop.sync()
    shop.sandbox.behaviour = behaving(delete_faults=Faults(**faults), seed=1)

    half = forget(shop, "--contact", "c1@example.com", "--delete-interactions")
    left = len(shop.stored)
    shop.sandbox.behaviour = behaving()
    done = forget(shop, "--contact", "c1@example.com", "--delete-interactions")

    assert half.code == code
    assert 0 < left < 12
    assert half.json["deleted"] == 12 - left
    assert (done.code, done.json["deleted"]) == (0, left)
    assert counts(shop) == {"undone": 12}
    assert nothing_is_sent(shop)


@pytest.mark.parametrize("whom", [1, 2])
def test_what_was_deleted_without_an_answer_is_forgotten_by_the_next_one(
    shop: Shop, whom: int
) -> None:
    """Whoever that is about: it is not listed any more, so nobody knows whose it was."""
    shop.configure(identifier="email")
    shop.add(*({"id": f"v{i}", "contact": "c1@example.com"} for i in range(3)))
    shop.add({"id": "other", "contact": "c2@example.com"})
    run_id = str(shop.sync().run["run_id"])
    shop.sandbox.behaviour = behaving(delete_faults=Faults(reset_after=1.0))

    stopped = forget(shop, "--contact", "c1@example.com", "--delete-interactions")
    gone = dict(shop.stored)
    shop.sandbox.behaviour = behaving()
    names = ("--contact", f"c{whom}@example.com", "--delete-interactions")
    done = forget(shop, *names)
    again = forget(shop, *names)

    assert (stopped.code, stopped.json["deleted"], gone) == (3, 0, {"other": 1})
    assert (done.code, done.json["deleted"]) == (0, 3 if whom == 1 else 4)
    assert any("asked for once more" in note for note in done.json["notes"])
    assert counts(shop) == ({"undone": 3, "delivered": 1} if whom == 1 else {"undone": 4})
    assert (again.json["status"], again.json["interactions"]) == ("planned", 0)
    assert "missing" not in shop.connector("verify", run_id).out
    with shop.ledger_connection() as ledger:
        assert ledger.execute("select count(*) from removed_interactions").fetchone() == (
            done.json["deleted"],
        )


def test_a_row_that_was_sent_anew_since_is_not_what_was_being_forgotten(shop: Shop) -> None:
    shop.configure(identifier="email")
    shop.add({"id": "v1", "contact": "c1@example.com"})
    run_id = str(shop.sync().run["run_id"])
    shop.sandbox.behaviour = behaving(delete_faults=Faults(status_before={500: 1}))
    forget(shop, "--contact", "c1@example.com", "--delete-interactions")
    shop.sandbox.behaviour = behaving()
    shop.connector("undo", run_id, "--yes")
    shop.connector("release", run_id, "--yes")
    sent = shop.sync().run["delivered"]

    done = forget(shop, "--contact", "c2@example.com", "--delete-interactions")

    assert (sent, done.json["interactions"], shop.stored) == (1, 0, {"v1": 1})


def test_the_files_are_for_their_owner_alone(shop: Shop) -> None:
    two_persons_wait(shop)

    assert shop.ledger_file.stat().st_mode & 0o077 == 0
