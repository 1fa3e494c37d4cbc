"""What contacts are known by may be edited: no row goes to another contact for that, or twice."""

import time
from typing import Any

import pytest

from connector.sandbox.behaviour import Faults
from tests.whole.shop import Done, Shop, behaving, contact_id
from tests.whole.test_restore import backup, restore, settled

NUMBER = "+46701234567"
"""The member number of one contact, and the telephone number of another."""
MEMBER, OWNER = contact_id(80), contact_id(81)
SOON: dict[str, Any] = {"timeout": "1s", "settle_after": "1s", "contact_cache": "0"}
BY_PHONE = {
    "identifier": "mobilePhone",
    "model": "select * replace ('+46709999999' as contact) from visits",
}
"""Another column than the one that was recorded."""


@pytest.fixture(autouse=True)
def _two_contacts(shop: Shop) -> None:
    engage = shop.sandbox.engage
    engage.add_contact({"contactId": MEMBER, "memberNumber": NUMBER})
    engage.add_contact({"contactId": OWNER, "mobilePhone": NUMBER})
    engage.add_contact({"contactId": contact_id(82), "mobilePhone": "+46709999999"})


def whose(shop: Shop) -> set[str]:
    return {i.contact_id for i in shop.sandbox.engage.interactions()}


def reason(shop: Shop, key: str) -> str:
    rows = shop.connector("quarantine", "list", "--json").json["rows"]
    return {row["row_key"]: str(row["reason"]) for row in rows}.get(key, "")


def hold_back(shop: Shop, *more: dict[str, str]) -> None:
    """Two rows are recorded as member numbers, and held before they are sent."""
    shop.configure(identifier="customKey", limits="{rows: 1}")
    shop.add({"id": "v1", "contact": NUMBER}, {"id": "v2", "contact": NUMBER}, *more)
    assert shop.sync().run["status"] == "held"
    shop.configure(limits="{}")


def hold_back_and_go_on(shop: Shop) -> None:
    """The same, and they are not among what the next run reads again."""
    hold_back(shop, {"id": "end", "seen_at": "2026-11-09 10:00:00", "contact": NUMBER})


def wait(shop: Shop) -> None:
    """Two rows wait for somebody with such a member number."""
    shop.sandbox.engage.remove_contact(MEMBER)
    shop.configure(identifier="customKey")
    shop.add({"id": "v1", "contact": NUMBER}, {"id": "v2", "contact": NUMBER})
    shop.add({"id": "end", "seen_at": "2026-11-09 10:00:00", "contact": "nobody's"})
    assert shop.sync().run["waiting"] >= 3


@pytest.mark.parametrize("before", [hold_back_and_go_on, wait])
def test_rows_that_are_not_sent_yet_are_read_anew_and_go_as_they_read_now(
    shop: Shop, before: Any
) -> None:
    before(shop)
    assert shop.connector("approve", "visits", "--by", "anna").code in (0, 2)  # of what is held
    shop.configure(**BY_PHONE)

    checked, preview = shop.connector("check").said, shop.connector("preview", "visits").said
    foreseen = shop.connector("preview", "visits", "--json").json
    done = shop.sync("--approve")

    for told in (checked, preview):
        assert "rows are not sent as recorded: contacts were known by customKey then" in told
        assert "`connector quarantine retry` reads it anew" in told
    assert foreseen["pending"] == 0
    assert OWNER not in whose(shop)
    assert reason(shop, "v1").startswith("recorded under another identifier: its contact was known")
    assert (done.code, shop.state("v1"), shop.state("v2")) == (1, "rejected", "rejected")
    assert shop.connector("quarantine", "retry", "visits").code == 0
    assert shop.sync().code == 0
    assert shop.stored == {"v1": 1, "v2": 1, "end": 1}
    assert whose(shop) == {contact_id(82)}


def test_a_hold_whose_rows_are_read_anew_is_over_as_a_preview_says(shop: Shop) -> None:
    hold_back(shop)
    shop.configure(**BY_PHONE)

    checked = shop.connector("check").said
    foreseen = shop.connector("preview", "visits", "--json").json
    approved = shop.connector("approve", "visits", "--by", "anna")
    done = shop.sync()

    assert "would be held" not in checked
    assert approved.code == 2
    assert 'nothing that is held of "visits" would go: 2 rows are not sent' in approved.said
    assert (foreseen["outlook"]["would"], foreseen["new"]) == ("send", 2)
    assert (done.code, done.run["delivered"]) == (0, 2)
    assert whose(shop) == {contact_id(82)}
    assert shop.connector("approve", "visits", "--by", "anna").code == 2  # nothing is held


def test_one_command_tries_them_again_before_any_run(shop: Shop) -> None:
    wait(shop)
    shop.configure(**BY_PHONE)

    tried = shop.connector("quarantine", "retry", "visits")

    assert (tried.code, shop.state("v1")) == (0, "pending")
    assert shop.sync().run["delivered"] == 3
    assert whose(shop) == {contact_id(82)}


def test_an_edit_that_was_a_mistake_loses_nothing(shop: Shop) -> None:
    hold_back(shop)
    shop.configure(identifier="mobilePhone", model="select * from visits where id = 'end'")
    shop.sync()
    shop.configure(identifier="customKey", model="select * from visits")
    shop.connector("quarantine", "retry", "visits")

    shop.sync()

    assert whose(shop) == {MEMBER}
    assert shop.stored == {"v1": 1, "v2": 1}


@pytest.mark.parametrize("options", [{"cursor": ""}, {"cursor": "", "more": "mode: mirror"}])
def test_what_a_run_reads_again_goes_at_once_as_a_preview_says(
    shop: Shop, options: dict[str, str]
) -> None:
    shop.configure(**options)
    wait(shop)
    shop.configure(**BY_PHONE)

    foreseen = shop.connector("preview", "visits", "--json").json
    done = shop.sync()

    assert (foreseen["new"], foreseen["rejected"]) == (3, 0)
    assert (done.code, done.run["delivered"], done.run["rejected"]) == (0, 3, 0)
    assert whose(shop) == {contact_id(82)}


def refused(shop: Shop) -> list[Done]:
    commands = (["sync"], ["preview", "visits"], ["check"])
    return [shop.connector(*command) for command in commands]


@pytest.mark.parametrize(
    "then", ["mobilePhone", "any", "contactId", "customKey, contact_type: VIP"]
)
def test_a_row_in_doubt_is_settled_as_it_was_sent(shop: Shop, then: str) -> None:
    """It is stored, and its contact has become another one, which its member number alone finds."""
    shop.configure(identifier="customKey", **SOON)
    shop.sandbox.behaviour = behaving(faults=Faults(reset_after=1.0), read_back_delay=2)
    shop.add({"id": "v1", "contact": NUMBER})
    assert shop.sync().run["in_doubt"] == 1
    shop.sandbox.engage.merge_contacts(MEMBER, contact_id(1))
    shop.sandbox.behaviour = behaving()
    shop.configure(identifier=then)
    time.sleep(2.2)  # absence would be believed by now

    for done in refused(shop):
        assert done.code == 2
        assert "while 1 row is not settled that may have been sent under the former" in done.said
        assert "Put it back and let `connector sync --wait` settle them" in done.said
    (status,) = shop.connector("status", "--json").json["activations"]
    assert "while 1 row is not settled" in status["refused"]
    assert shop.connector("quarantine", "settle", "visits", "v1", "--absent", "--yes").code == 2
    shop.configure(identifier="customKey")
    assert shop.sync("--wait").run["delivered"] == 1
    shop.configure(identifier=then)
    assert shop.sync().code == 0
    assert (shop.posts, shop.stored) == (1, {"v1": 1})


def test_what_narrows_a_look_up_is_edited_while_rows_wait(shop: Shop) -> None:
    wait(shop)
    vip = {"contactId": contact_id(84), "memberNumber": NUMBER, "contactType": "VIP"}
    shop.sandbox.engage.add_contact(vip)
    with shop.ledger_connection() as connection:
        connection.execute("update deliveries set due_at = 0 where state = 'waiting'")
    shop.configure(identifier="customKey, contact_type: VIP")

    done = shop.sync().run

    assert (done["delivered"], done["waiting"]) == (2, 1)
    assert whose(shop) == {contact_id(84)}


def test_a_ledger_that_does_not_know_learns_it_from_the_next_run(shop: Shop) -> None:
    shop.add({"id": "old", "contact": "nobody's"})
    wait(shop)
    with shop.ledger_connection() as connection:
        connection.execute("update watermarks set identifier = null")
    shop.configure(identifier="any")

    shop.sync()
    learnt = shop.state("old")
    shop.configure(identifier="mobilePhone")
    shop.sync()

    assert (learnt, shop.state("old")) == ("waiting", "rejected")
    assert "known by any" in reason(shop, "old")


def test_rows_of_a_ledger_from_a_backup_are_looked_for_as_they_were_sent(shop: Shop) -> None:
    hold_back(shop)
    shop.add({"id": "end", "seen_at": "2026-11-09 10:00:00", "contact": NUMBER})
    copy = backup(shop)
    shop.sync("--approve")
    posts = shop.posts
    restore(shop, copy)
    shop.configure(identifier="mobilePhone")

    for done in refused(shop):
        assert done.code == 2
        assert "put it back and let `connector sync --wait` look for them first" in done.said
    shop.configure(identifier="customKey", **SOON)
    settled(shop)
    shop.sync()
    settled(shop)

    assert (shop.posts, shop.stored) == (posts + 1, {"v1": 1, "v2": 1, "end": 1})
    assert whose(shop) == {MEMBER}


def test_rows_that_are_held_under_other_keys_are_not_let_go_by_that(shop: Shop) -> None:
    shop.configure(identifier="customKey", model="select * from visits")
    shop.add(*({"id": f"v{n}", "contact": NUMBER} for n in range(30)))
    shop.sync()
    shop.execute("update visits set id = 'again-' || id")
    assert shop.sync().run["status"] == "held"
    shop.configure(identifier="mobilePhone")

    done = shop.connector("sync")

    assert done.code == 2
    assert "a run is held since its row keys seem to change" in done.said
    assert shop.posts == 30
