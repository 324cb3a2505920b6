"""How agreement of a job's two sides develops, drawn in characters for a terminal or a mail.

What matters lies between 99 and 100 %, so a character does not measure the ratio but counts its nines.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping
from datetime import date

from syncline.core.record_comparison import percent_digits

NINES = ((1.0, "█"), (0.9999, "▇"), (0.999, "▅"), (0.99, "▃"), (0.9, "▂"), (0.0, "▁"))  # at least -> drawn
PROVED_NOTHING = "?"
NOT_COMPARED = "·"
LEGEND = "a character a day, the lowest match ratio: " + " ".join(
    [*(f"{mark} {'100 %' if least == 1 else f'{least:.2%}'.rstrip('0').rstrip('.') + '+'}" for least, mark in NINES),
     f"{PROVED_NOTHING} proved nothing", f"{NOT_COMPARED} not compared"]
)  # fmt: skip


def drawn(month: date, days: Mapping[int, float | None]) -> str:
    """A character for each day of the month.

    Args:
        month: Any day of it.
        days: Day of the month -> lowest match ratio, 0.0 to 1.0; None where what was compared proved nothing.
    """
    last = monthrange(month.year, month.month)[1]
    return "".join(_mark(days[day]) if day in days else NOT_COMPARED for day in range(1, last + 1))


def percent(ratio: float | None) -> str:
    """A ratio to four decimals of a percent at most; only what agrees entirely is 100 %."""
    if ratio is None:
        return ""
    return percent_digits(ratio).rstrip("0").rstrip(".") + " %"


def _mark(ratio: float | None) -> str:
    if ratio is None:
        return PROVED_NOTHING
    return next(mark for least, mark in NINES if ratio >= least)
