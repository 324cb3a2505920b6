"""Hours in which a system must be left alone: whether a moment lies in one, and when it has ended.

Payroll locks its tables from 02:00 to 02:40. A job that begins then waits for a lock until it gives up; one that
began at 01:55 and still writes at 02:00 makes payroll's own night run wait. So a run keeps three lists of ranges of
the clock: `schedule.avoid`, in which it must not start, and `source.avoid` and `target.avoid`, in which it must not
use that system at all.

Both minutes of a range belong to it. In nights in which clocks change the widest reading counts: an hour that a zone
has twice is closed from its first beginning to its last end. Nothing here asks the clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from syncline.core.cron import in_zone
from syncline.core.manifest import Manifest

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
FAR = timedelta(days=2)  # windows return every day: what is not clear by then never is, and the manifest is refused


class Window(NamedTuple):
    """A range of the clock of a zone, every day, and whose it is: `'payroll'`, or `the job`."""

    clock_range: str
    zone: str
    whose: str

    def __str__(self) -> str:
        return f"{self.whose} is closed {self.clock_range} {self.zone}"


class Closed(NamedTuple):
    """Until when to wait, and which window says so."""

    until: datetime
    window: Window


def windows_of(manifest: Manifest, key: str) -> list[Window]:
    """The windows of `schedule`, `source` or `target`."""
    whose = "the job" if key == "schedule" else f"'{getattr(manifest, key).connection}'"
    return [Window(*in_zone(said, manifest.schedule.timezone), whose) for said in getattr(manifest, key).avoid]


def closed(manifest: Manifest, step: str, at: datetime) -> Closed | None:
    """Whether a step must not begin at an aware instant, and the first instant at which it may.

    `open` and `compare` look ahead: what is expected to reach into a window of its systems would be caught by it.
    """
    ahead = timedelta(minutes=manifest.schedule.run_minutes)
    run = [("schedule", timedelta()), ("source", ahead), ("target", ahead)]
    kept: dict[str, list[tuple[str, timedelta]]] = {
        "open": run,
        "compare": run,
        "extract_and_map": [("source", timedelta()), ("target", timedelta())],  # it stages at the target
        "load": [("target", timedelta())],
        "reconcile": [("target", timedelta())],
    }
    windows = [(window, length) for key, length in kept.get(step, []) for window in windows_of(manifest, key)]
    until, by = at, None
    while until < at + FAR:
        hit = next((found for window, length in windows if (found := _hit(window, until, length))), None)
        if hit is None:
            break
        until, by = hit
    return None if by is None else Closed(until, by)


def _hit(window: Window, at: datetime, length: timedelta) -> tuple[datetime, Window] | None:
    for begin, end in occurrences(window, at, at + length + MINUTE):
        if at < end and (begin <= at or begin < at + length):
            return end, window
    return None


def occurrences(window: Window, begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """When a window is closed, as UTC instants from and to (not included), as far as that touches an interval."""
    zone = ZoneInfo(window.zone)
    day, last = begin.astimezone(zone).date() - DAY, end.astimezone(zone).date()
    while day <= last:
        opens, ends = _on(window.clock_range, window.zone, day)
        if opens < end and begin < ends:
            yield opens, ends
        day += DAY


@lru_cache(maxsize=4096)
def _on(clock_range: str, zone: str, day: date) -> tuple[datetime, datetime]:
    first, last = (time.fromisoformat(clock) for clock in clock_range.split("-"))
    begin = datetime.combine(day, first)
    end = datetime.combine(day if first <= last else day + DAY, last) + MINUTE
    return min(_readings(begin, zone)), max(_readings(end, zone))


def _readings(wall: datetime, zone: str) -> Iterable[datetime]:
    """What a wall clock's reading may mean: two instants where clocks go back, or where there is no such reading."""
    return [wall.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1)]
