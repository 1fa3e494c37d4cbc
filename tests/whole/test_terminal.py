"""Every command tells what it did on any terminal, and no row steers it."""

import json
import re
import unicodedata

import pytest

from connector.show.terminal import as_json_text, plain, plain_on_page
from tests.whole.shop import Done, Shop

STEERING = "".join(map(chr, (*range(1, 32), *range(127, 160), 0x202E, 0x2066)))
COMMANDS = (
    ("check",),
    ("preview", "visits", "--offline"),
    ("preview", "visits"),
    ("sync",),
    ("status",),
    ("runs",),
    ("quarantine", "list"),
)


def steers(text: str) -> set[str]:
    bad = {c for c in text if unicodedata.category(c) == "Cc" and c not in "\n\t"}
    return bad | {c for c in text if unicodedata.bidirectional(c) in ("RLO", "LRO", "RLI", "LRI")}


@pytest.fixture(params=["ascii", "cp1252"])
def encoding(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def done(shop: Shop, encoding: str, *arguments: str) -> Done:
    process = shop.start(*arguments, PYTHONIOENCODING=encoding)
    assert process.stdout
    assert process.stderr
    process.stdout.reconfigure(encoding=encoding)  # type: ignore[attr-defined]
    process.stderr.reconfigure(encoding=encoding)  # type: ignore[attr-defined]
    out, err = process.communicate(timeout=60)
    return Done(process.returncode, out, err)


def test_a_terminal_that_lacks_a_character_is_told_everything(shop: Shop, encoding: str) -> None:
    key = "émoji-😀-\u202e-漢"
    shop.add({"id": key}, {"id": f"bad {key}", "rating": 9})

    synced = done(shop, encoding, "sync", "--json")
    told = done(shop, encoding, "quarantine", "list")
    listed = done(shop, encoding, "quarantine", "list", "--json")
    shop.add({"id": f"next {key}"})
    shown = done(shop, encoding, "preview", "visits")

    assert (synced.code, synced.run["delivered"], synced.run["invalid"]) == (1, 1, 1)
    assert "unexpected" not in synced.err + told.err
    assert (told.code, "bad " in told.out) == (0, True)
    assert listed.json["rows"][0]["row_key"] == f"bad {key}"
    (body,) = re.findall(r"^\{$.*?^\}$", shown.out, re.DOTALL | re.MULTILINE)
    assert json.loads(body)["payload"]["visitId"] == f"next {key}"


def test_no_row_steers_the_terminal(shop: Shop) -> None:
    shop.add(
        {"id": f"good{STEERING}[red]"}, {"id": f"bad{STEERING}", "rating": 9}, {"id": STEERING}
    )

    for command in COMMANDS:
        told = shop.connector("--verbose", *command)
        assert not steers(told.out + told.err), command
    story = shop.connector("explain", "visits", f"good{STEERING}[red]")
    document = shop.connector("quarantine", "list", "--json")

    assert (story.code, steers(story.out)) == (0, set())
    assert "good\\x01\\x02" in story.out
    assert not steers(document.out)
    assert [row["row_key"] for row in document.json["rows"]] == [f"bad{STEERING}"]


def test_an_argument_that_is_no_text_is_a_sentence(shop: Shop) -> None:
    told = shop.connector("explain", "visits", "caf\udce9", "--json")

    assert (told.code, told.json["error"]["kind"]) == (2, "configuration")


def test_what_is_shown_can_be_told_apart() -> None:
    for unseen in (
        "\u200b",
        "\u200d",
        "\u2060",
        "\ufeff",
        "\u00ad",
        "\u3164",
        "\U000e0041",
        "\ufe0f",
    ):
        shown = unseen.encode("unicode_escape").decode("ascii")
        assert plain(f"a{unseen}b") == f"a{shown}b"
        assert plain_on_page(f"<a{unseen}\t\n") == f"<a{shown}\t\n"
        assert unseen not in as_json_text(f"a{unseen}")
        assert json.loads(as_json_text(f"a{unseen}")) == f"a{unseen}"
    for seen in ("åß漢字🦊", "❤\ufe0f", "a\u00a0b"):
        assert plain(seen) == plain_on_page(seen) == seen
    assert plain("a\x1b[31m\x9b1m\u202e\n\tb") == "a\\x1b[31m\\x9b1m\\u202e\\n\\tb"
