"""A row's own reference is the same for every attempt, in every ledger, and after a renaming."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.destinations.port import References


def test_a_reference_is_what_it_has_always_been() -> None:
    assert References("visits").of("v1") == "c7fjkyxunaik3ieghi5dtdp2gwm"


@given(st.text(), st.text(), st.text())
def test_a_reference_is_short_and_plain_whatever_it_is_computed_from(
    origin: str, prefix: str, row_key: str
) -> None:
    reference = References(origin, prefix).of(row_key)

    assert len(reference) == 27
    assert reference.isascii()
    assert reference.isalnum()
    assert reference == reference.lower()


@pytest.mark.parametrize(
    "other", [References("calls"), References("visits", "staging"), References("visits", "calls")]
)
def test_other_names_and_prefixes_give_other_references(other: References) -> None:
    assert References("visits").of("v1") != other.of("v1")
