"""How fresh a copy is, in the four words that analysts read.

Checked in this order; dbt_project/macros/freshness.sql says the same in SQL and a test compares the two.
"""

from __future__ import annotations

from enum import StrEnum


class Freshness(StrEnum):
    """unreliable: a batch ended without proof and none has covered it since, or nothing was ever published;
    partial: rows wait in dead letters; delayed: older than promised; current: none of these."""

    UNRELIABLE = "unreliable"
    DELAYED = "delayed"
    PARTIAL = "partial"
    CURRENT = "current"


def freshness(*, is_proven: bool, age_s: float | None, latency_s_max: float, open_dead_letters: int) -> Freshness:
    """The state of a job's copy.

    Args:
        is_proven: Every batch that wrote the target was matched, or a later published one covers it.
        age_s: Seconds since the cut-off of the last published batch; None when there is none.
        latency_s_max: What the manifest's SLA promises, in seconds.
    """
    if not is_proven or age_s is None:
        return Freshness.UNRELIABLE
    if open_dead_letters:
        return Freshness.PARTIAL
    return Freshness.DELAYED if age_s > latency_s_max else Freshness.CURRENT
