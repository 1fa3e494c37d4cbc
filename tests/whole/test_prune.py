"""`ledger.keep` and `connector prune`: what was delivered long ago goes, and is not sent again."""

from datetime import UTC, datetime, timedelta

import pytest

from connector.ledger import pruning
from connector.rules.errors import LedgerUnavailable
from connector.sandbox.behaviour import Faults
from tests.whole.shop import Shop, behaving, contact_id
from tests.whole.test_undo import counts, nothing_is_sent

DAY = 86_400_000
KEPT = "2s, keep: 365d"


def aged(shop: Shop, days: int = 400) -> None:
    """As if all that is in the ledger had happened so many days ago."""
    with shop.ledger_connection() as c:
        c.execute(f"update deliveries set changed_at = changed_at - {days * DAY}")
        c.execute(
            f"update runs set started_at = started_at - {days * DAY},"
            f" finished_at = finished_at - {days * DAY}"
        )


def a_run_of_long_ago(shop: Shop) -> str:
    shop.add_many(3)
    run = shop.sync().run
    assert run["delivered"] == 3
    aged(shop)
    return str(run["run_id"])


def test_a_run_prunes_what_is_older_than_is_kept_and_nothing_is_sent_again(shop: Shop) -> None:
    a_run_of_long_ago(shop)
    shop.configure(lease=KEPT)
    shop.add_many(1, first=3)

    assert shop.sync().run["delivered"] == 1

    told = shop.connector("explain", "visits", "v1", "--json").json
    assert (told["state"], told["pruned"]["before"][:4]) == ("delivered", "2025")
    assert "never" not in (said := shop.connector("explain", "visits", "v1").out)
    assert "keeps it from being sent again" in " ".join(said.split())
    assert counts(shop) == {"delivered": 4}
    assert nothing_is_sent(shop)
    assert shop.sync("--full").run["staged"] == 0
    shop.execute("update visits set rating = 5, seen_at = seen_at + interval 1 day")
    shop.configure(model="select * from visits where rating > 0")
    assert nothing_is_sent(shop)
    assert set(shop.stored.values()) == {1}
    assert shop.connector("preview", "visits", "--json").json["new"] == 0
    again = shop.connector("quarantine", "retry", "visits", "v1", "--yes")
    assert again.code == 2
    assert "pruned" in again.err


def test_a_person_prunes_at_once_and_is_shown_what(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "RUNS_THAT_STAY", 1)
    old = a_run_of_long_ago(shop)
    shop.add_many(1, first=3)
    shop.sync()

    assert "ledger.keep" in shop.connector("prune", "--yes").err
    planned = shop.connector("prune", "--older-than", "365d", "--dry-run", "--json")
    assert planned.code == 0
    (each,) = planned.json["activations"]
    assert (each["rows"], each["runs"]) == (3, 1)
    unsaid = shop.connector("prune", "--older-than", "365d", "--json")
    assert unsaid.code == 2
    done = shop.connector("prune", "--older-than", "365d", "--yes", "--json", "--by", "vera")
    assert (done.code, done.json["status"]) == (0, "succeeded")
    assert done.json["activations"] == [
        {"activation": "visits", "rows": 3, "runs": 1, "done": True}
    ]
    assert shop.connector("prune", "--older-than", "365d").out == "Nothing is older than 365d.\n"
    deed = shop.connector("audit", "visits", "--json").json["entries"][0]
    assert (deed["what"], deed["by"]) == ("pruned", "vera")
    assert deed["details"] == {"rows": 3, "runs": 1}
    # its id says when it began, which was just now
    began = datetime.now(UTC) - timedelta(days=400)
    monkeypatch.setattr("connector.project.reporting.began_at", lambda _: began)
    for command in ("verify", "undo", "release"):
        told = shop.connector(command, old)
        assert (told.code, "are pruned (ledger.keep)" in told.err) == (2, True)
    assert "1 run that had ended before" in shop.connector("runs").out
    assert nothing_is_sent(shop)


def test_what_a_person_pruned_is_on_record_also_where_it_was_stopped(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object, **__: object) -> int:
        raise LedgerUnavailable("the server is gone")

    a_run_of_long_ago(shop)
    shop.add_many(1, first=3)
    shop.sync()
    monkeypatch.setattr(pruning.Pruning, "_prune_runs", dies)

    stopped = shop.connector("prune", "--older-than", "365d", "--yes", "--by", "vera")

    assert stopped.code == 3
    (deed,) = shop.connector("audit", "visits", "--json").json["entries"]
    assert (deed["what"], deed["by"], deed["details"]["rows"]) == ("pruned", "vera", 3)


def test_rows_under_an_earlier_name_are_pruned_as_is_shown(shop: Shop) -> None:
    a_run_of_long_ago(shop)
    shop.add_many(1, first=3)
    shop.sync()
    shop.configure(name="seen", more="renamed_from: visits")

    done = shop.connector("prune", "--older-than", "365d", "--yes", "--json")
    again = shop.connector("prune", "--older-than", "365d", "--json")

    (each,) = done.json["activations"]
    assert (done.code, each["activation"], each["rows"]) == (0, "seen", 3)
    assert again.json["activations"] == []
    assert nothing_is_sent(shop)


def test_of_a_run_that_stays_what_is_pruned_is_neither_proven_nor_taken_back(shop: Shop) -> None:
    old = a_run_of_long_ago(shop)
    shop.add_many(1, first=3)
    shop.sync()
    shop.connector("prune", "--older-than", "365d", "--yes")

    verified, undone = shop.connector("verify", old), shop.connector("undo", old, "--yes")

    assert verified.code == 1
    assert "3 not proven: its details are pruned from the ledger" in verified.out
    assert undone.code == 1
    assert "3 rows are delivered by this run and pruned" in undone.out
    assert sum(shop.stored.values()) == 4


def test_a_person_is_forgotten_whose_rows_are_pruned_and_that_is_on_record(shop: Shop) -> None:
    a_run_of_long_ago(shop)
    shop.connector("prune", "--older-than", "365d", "--yes")
    (someone,) = {i.contact_id for i in shop.sandbox.engage.interactions()} & {contact_id(1)}

    done = shop.connector(
        *(
            "forget",
            "--contact",
            someone,
            "--delete-interactions",
            "--yes",
            "--by",
            "anna",
            "--json",
        )
    )

    gone = 3 - len(shop.sandbox.engage.interactions())
    assert (done.code, done.json["deleted"]) == (0, gone)
    assert gone > 0
    (status,) = shop.connector("status", "--json").json["activations"]
    assert status["counts"]["delivered"] == 3 - gone  # as many as are there
    assert any("Mails" in said for said in done.json["notes"])
    entries = shop.connector("audit", "--json").json["entries"]
    forgotten = [entry["by"] for entry in entries if entry["what"] == "forgotten"]
    assert forgotten == ["anna"] * gone


def test_what_of_pruned_rows_was_deleted_without_an_answer_is_counted_no_more(shop: Shop) -> None:
    """It is not listed as its contact's any more, so no later forgetting finds it."""
    a_run_of_long_ago(shop)
    shop.connector("prune", "--older-than", "365d", "--yes")
    before = shop.sandbox.engage.interactions()
    whom = ("forget", "--contact", contact_id(1), "--delete-interactions", "--yes")
    asked = [name for name in before if name.contact_id == contact_id(1)]

    shop.sandbox.behaviour = behaving(delete_faults=Faults(status_before={400: 1}))
    refused, stays = shop.connector(*whom), counts(shop)
    shop.sandbox.behaviour = behaving(delete_faults=Faults(reset_after=1.0))
    stopped = shop.connector(*whom)
    shop.sandbox.behaviour = behaving()
    done = shop.connector(*whom)

    assert (refused.code, stays) == (1, {"delivered": 3})
    assert (stopped.code, done.code) == (3, 0)
    assert len(shop.sandbox.engage.interactions()) == 3 - len(asked) < 3
    assert counts(shop) == {"delivered": 3 - len(asked)}


def test_rows_that_are_being_forgotten_are_not_pruned_before_that_is_over(shop: Shop) -> None:
    a_run_of_long_ago(shop)
    whom = ("forget", "--contact", contact_id(1), "--delete-interactions", "--yes", "--json")
    shop.sandbox.behaviour = behaving(delete_faults=Faults(reset_after=1.0))
    stopped = shop.connector(*whom)
    shop.sandbox.behaviour = behaving()

    shop.connector("prune", "--older-than", "365d", "--yes")
    left = len(shop.sandbox.engage.interactions())
    done = shop.connector(*whom)

    assert (stopped.code, done.code, done.json["deleted"]) == (3, 0, 3 - left)
    assert counts(shop) == {"undone": 3 - left, **({"delivered": left} if left else {})}


def test_forgetting_in_one_activation_leaves_the_pruned_rows_of_another(shop: Shop) -> None:
    text = shop.config.read_text()
    others = text.partition("activations:\n")[2].replace("  visits:", "  others:", 1)
    shop.config.write_text(f"{text}\n{others}")
    shop.add({"id": "v1"})
    shop.connector("sync")
    aged(shop)
    shop.connector("prune", "--older-than", "365d", "--yes")
    whom = ("--contact", contact_id(1), "--delete-interactions", "--yes", "--json")

    done = shop.connector("forget", *whom, "--activation", "others")

    left = len(shop.sandbox.engage.interactions())
    assert (done.code, done.json["deleted"], left) == (0, 1, 1)
