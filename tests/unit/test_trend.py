"""The trend in characters: one for each day, and nothing but full agreement looks like it."""

from __future__ import annotations

from datetime import date

import pytest

from syncline.core.trend import LEGEND, drawn, percent


def test_each_day_of_the_month_has_one_character() -> None:
    assert drawn(date(2024, 2, 1), {1: 1.0, 2: None, 29: 0.5}) == "█?" + "·" * 26 + "▁"


@pytest.mark.parametrize(
    ("ratio", "mark"),
    [(1.0, "█"), (0.999_999_9, "▇"), (0.9999, "▇"), (0.9998, "▅"), (0.999, "▅"), (0.99, "▃"), (0.9, "▂"), (0.0, "▁")],
)
def test_a_character_counts_the_nines(ratio: float, mark: str) -> None:
    assert drawn(date(2026, 3, 1), {1: ratio})[0] == mark
    assert f" {mark} " in LEGEND


@pytest.mark.parametrize(
    ("ratio", "said"),
    [(1.0, "100 %"), (0.999_999_9, "99.9999 %"), (0.999, "99.9 %"), (0.5, "50 %"), (0.0, "0 %"), (None, "")],
)
def test_only_what_agrees_entirely_is_100_percent(ratio: float | None, said: str) -> None:
    assert percent(ratio) == said
