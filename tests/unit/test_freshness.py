"""The four words of freshness. That dbt's macro says the same is a matter of tests/integration."""

from __future__ import annotations

import pytest

from syncline.core.freshness import Freshness, freshness


@pytest.mark.parametrize(
    ("is_proven", "age_s", "letters", "says"),
    [
        (True, 59.9, 0, Freshness.CURRENT),
        (True, 60.0, 0, Freshness.CURRENT),  # the promise itself is kept
        (True, 60.1, 0, Freshness.DELAYED),
        (True, 1.0, 1, Freshness.PARTIAL),
        (True, 60.1, 1, Freshness.PARTIAL),  # rows that are missing weigh more than rows that are late
        (False, 1.0, 0, Freshness.UNRELIABLE),
        (False, 60.1, 1, Freshness.UNRELIABLE),
        (False, None, 0, Freshness.UNRELIABLE),  # nothing was ever published
        (True, None, 0, Freshness.UNRELIABLE),
        (True, 0.0, 0, Freshness.CURRENT),
    ],
)
def test_the_gravest_word_wins(is_proven: bool, age_s: float | None, letters: int, says: Freshness) -> None:
    said = freshness(is_proven=is_proven, age_s=age_s, latency_s_max=60, open_dead_letters=letters)

    assert said is says
