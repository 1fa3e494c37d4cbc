"""A receipt shows whether it was changed; a draw is fair, bounded, and the same for a database."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.rules.draw import PRIME, Draw, shares
from connector.rules.receipt import (
    Seal,
    canonical,
    check,
    check_content,
    key_digest,
    keys_digest,
    sign,
)

SECRET, OTHER = b"s" * 32, b"o" * 32
CONTENT = {
    "activation": "visits",
    "rows": 3,
    "missing": 0,
    "sample": 0.05,
    "result": "ok",
    "å": "ö",
}


# --- receipts -------------------------------------------------------------------------------------


def test_a_receipt_that_was_handed_out_is_known_again_however_its_json_is_written():
    handed_out = sign(CONTENT, SECRET).content

    for text in (
        json.dumps(handed_out),
        json.dumps(handed_out, indent=3, ensure_ascii=False),
        json.dumps(dict(reversed(handed_out.items()))),
    ):
        assert check_content(json.loads(text), SECRET) is Seal.UNCHANGED


@pytest.mark.parametrize("name", CONTENT)
def test_whatever_is_changed_in_it_shows(name):
    handed_out = sign(CONTENT, SECRET).content

    assert check_content(handed_out | {name: "other"}, SECRET) is Seal.CHANGED
    without = {key: value for key, value in handed_out.items() if key != name}
    assert check_content(without, SECRET) is Seal.CHANGED


def test_what_is_added_to_it_and_another_signature_show():
    handed_out = sign(CONTENT, SECRET).content
    signature = handed_out["signature"]

    assert check_content(handed_out | {"more": 1}, SECRET) is Seal.CHANGED
    for value in ("", "0" * 64, signature["value"].upper(), "ö"):
        other = handed_out | {"signature": signature | {"value": value}}
        assert check_content(other, SECRET) is Seal.CHANGED


def test_another_key_can_say_nothing_of_it():
    signed = sign(CONTENT, SECRET)

    assert check(signed, OTHER) is Seal.OTHER_KEY
    assert check_content(signed.content, OTHER) is Seal.OTHER_KEY


@pytest.mark.parametrize("content", [None, [], "text", 3, {}, CONTENT, {"signature": "x"}])
def test_what_is_no_receipt_is_unsigned(content):
    assert check_content(content, SECRET) is Seal.UNSIGNED


def test_no_key_stands_in_a_receipt():
    assert SECRET.decode() not in json.dumps(sign(CONTENT, SECRET).content)


@given(st.lists(st.text(), unique=True), st.randoms())
def test_the_digest_of_keys_tells_sets_of_keys_apart_whatever_their_order(keys, random):
    digest = keys_digest(map(key_digest, keys))
    other = random.sample(keys, len(keys))

    assert keys_digest(map(key_digest, other)) == digest
    assert keys_digest(map(key_digest, [*keys, "\x00more"])) != digest


def test_the_one_writing_does_not_depend_on_the_order():
    assert canonical({"b": 1, "a": "ö"}) == canonical({"a": "ö", "b": 1}) == '{"a":"ö","b":1}'


# --- which rows -----------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_a_draw_takes_about_its_share_and_others_at_another_time(share):
    def drawn(factor: int, shift: int) -> set[int]:
        draw = Draw(100, 200, factor, shift, older_below=round(share * PRIME))
        return {number for number in range(1, 20_001) if draw.takes(number, 50)}

    one, other = drawn(1_999_999_973, 12_345), drawn(1_103_515_245, 77)

    assert abs(len(one) - share * 20_000) < 600
    assert abs(len(other) - share * 20_000) < 600
    assert one != other


def test_new_rows_are_all_looked_at_and_what_came_later_is_not():
    draw = Draw(100, 200, 48_271, 0, older_below=0)

    assert all(draw.takes(number, 150) for number in range(1, 1000))
    assert not any(draw.takes(number, 50) for number in range(1, 1000))
    assert not any(draw.takes(number, 201) for number in range(1, 1000))


def test_what_deviated_is_looked_at_again():
    draw = Draw(100, 200, 48_271, 0, older_below=0, again=frozenset({7}))

    assert [number for number in range(1, 1000) if draw.takes(number, 50)] == [7]


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.floats(0, 1))
def test_no_verification_looks_at_more_than_the_most(new, older, sample):
    of_new, of_older = shares(new, older, sample)

    assert 0 <= of_older <= sample
    assert new * of_new + older * of_older <= 100_000 * 1.000001
    assert of_new == 1 or new * of_new >= 100 * 0.999999
    assert of_new >= min(sample, 100_000 / max(new, 1)) * 0.999999
