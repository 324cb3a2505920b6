"""From seconds to the ratios that are reported: medians first, then one divided by another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

CASES = ("equal", "diff100")  # of compare.py


def medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Median per measure over all rounds that have it."""
    names = {name for measured in rounds for name in measured}
    return {name: median(measured[name] for measured in rounds if name in measured) for name in sorted(names)}


def ratios(seconds: Mapping[str, float]) -> dict[str, float | None]:
    """The benchmark's figures from median seconds (`worker_rss_mb`: the most of all our runs); None was not measured.

    extract_map_x, first_load_x: our steps against the limit, unmapped COPY to COPY. Lower is better.
    rerun_x, incremental_x, key_set_x: our second run, open to publish, against the limit. Lower is better.
    sling_x, dlt_x: the other tool's whole run against our whole run, start of the process to its end. Higher is better.
    sling_incremental_x, dlt_incremental_x: the same of the second run, incremental against incremental.
    """
    return {
        "extract_map_x": _ratio(seconds, "extract_and_map", "limit"),
        "first_load_x": _ratio(seconds, "first_load", "limit"),
        "sling_x": _ratio(seconds, "sling", "syncline_run"),
        "dlt_x": _ratio(seconds, "dlt", "syncline_run"),
        "rerun_x": _ratio(seconds, "rerun", "limit_again"),
        "incremental_x": _ratio(seconds, "incremental", "limit_again"),
        "key_set_x": _ratio(seconds, "key_set", "limit_again"),
        "sling_incremental_x": _ratio(seconds, "sling_incremental", "incremental_run"),
        "dlt_incremental_x": _ratio(seconds, "dlt_incremental", "incremental_run"),
        "worker_rss_mb": _rounded(max((mb for name, mb in seconds.items() if name.endswith("_rss_mb")), default=None)),
    }


def comparison_ratios(measured: Mapping[str, float]) -> dict[str, float | None]:
    """The figures of compare.py from medians by case and contender; None was not measured in both cases.

    equal_x, diff100_x: our step against the limit, one checksum of each table. Lower is better.
    reladiff_x, dvt_x: the other tool's whole run against ours, in the case where it is closer to us. Higher is better.
    rss_mb: Our worker's peak, in the case where it is higher.
    """
    peaks = [measured[f"{case}_rss_mb"] for case in CASES if f"{case}_rss_mb" in measured]
    return {
        **{f"{case}_x": _ratio(measured, f"{case}_step", f"{case}_limit") for case in CASES},
        **{f"{peer}_x": _closest(measured, peer) for peer in ("reladiff", "dvt")},
        "rss_mb": _rounded(max(peaks, default=None)),
    }


def _closest(measured: Mapping[str, float], peer: str) -> float | None:
    found = [_ratio(measured, f"{case}_{peer}", f"{case}_command") for case in CASES]
    known = [ratio for ratio in found if ratio is not None]
    return min(known) if len(known) == len(CASES) else None


def _ratio(seconds: Mapping[str, float], over: str, under: str) -> float | None:
    if over not in seconds or not seconds.get(under):
        return None
    return _rounded(seconds[over] / seconds[under])


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
