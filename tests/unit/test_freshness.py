"""The four words of freshness. That dbt's macro says the same is a matter of tests/integration."""

from __future__ import annotations

import pytest

from syncline.core.freshness import Freshness, freshness
from syncline.core.values import State


@pytest.mark.parametrize(
    ("last_state", "age_s", "letters", "says"),
    [
        (State.PUBLISHED, 59.9, 0, Freshness.CURRENT),
        (State.PUBLISHED, 60.0, 0, Freshness.CURRENT),  # the promise itself is kept
        (State.PUBLISHED, 60.1, 0, Freshness.DELAYED),
        (State.PUBLISHED, 1.0, 1, Freshness.PARTIAL),
        (State.PUBLISHED, 60.1, 1, Freshness.PARTIAL),  # rows that are missing weigh more than rows that are late
        (State.HELD, 1.0, 0, Freshness.UNRELIABLE),
        (State.HELD, 60.1, 1, Freshness.UNRELIABLE),
        (None, None, 0, Freshness.UNRELIABLE),  # nothing was ever published
        (State.PUBLISHED, None, 0, Freshness.UNRELIABLE),
        (State.ABANDONED, 1.0, 0, Freshness.CURRENT),  # the last good batch is still young
        (State.PUBLISHED, 0.0, 0, Freshness.CURRENT),
    ],
)
def test_the_gravest_word_wins(last_state: State | None, age_s: float | None, letters: int, says: Freshness) -> None:
    said = freshness(last_state=last_state, age_s=age_s, latency_s_max=60, open_dead_letters=letters)

    assert said is says
