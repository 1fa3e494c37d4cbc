"""Numbers in words: no share is told as none, or as all, that is not."""

import pytest

from connector.rules.words import limit_text, share_text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0.0%"),
        (0.0004, "less than 0.1%"),
        (0.3333, "33.3%"),
        (0.9999, "more than 99.9%"),
        (1.0, "100.0%"),
    ],
)
def test_a_share_that_was_counted_is_none_or_all_only_where_it_is_just_that(share, text):
    assert share_text(share) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.05, "5.0%"), (0.0004, "0.04%"), (0.00025, "0.025%"), (0.9996, "99.96%"), (0.07, "7.0%")],
)
def test_a_limit_is_told_as_it_is_written(share, text):
    assert limit_text(share) == text
