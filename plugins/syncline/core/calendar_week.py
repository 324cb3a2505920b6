"""The coming week of all jobs together: which runs meet where only so many may be at once.

A manifest alone is judged when it is read. What only all of them together show is told here: more runs on a system
than the connections it lends, runs that would wait in that queue until a window has begun, and two jobs that write
one table at the same time. Nothing of it breaks a file: pools let runs wait, and `open` waits for the end of a
window. So these are notes, with the moment at which it happens first.

A run is taken to last `schedule.run_minutes`, and to hold one connection of each side for that long; one job's own
runs never overlap, the next one waits. A thousand hourly jobs are 168,000 runs, so times are minutes since the
week's begin, equal schedules are computed and counted once, and every question is one sweep over begins and ends.
No clock: the caller says when the week begins.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from syncline.core.cron import run_minutes_of_week
from syncline.core.job import SyncJob
from syncline.core.windows import occurrences, windows_of

WEEK = timedelta(days=7)
MINUTE = timedelta(minutes=1)
Span = tuple[int, int]  # from and to (not included), in minutes since the week's begin


class Meeting(NamedTuple):
    """Minute of the first, how often, the most runs at once, and the jobs of the first; those asked for lead."""

    at: int
    times: int
    most: int
    jobs: tuple[str, ...]

    def told(self, begin: datetime, said: str, allowed: str) -> Collision:
        """The same in words, of a week that begins at a UTC minute."""
        return Collision(begin + self.at * MINUTE, self.times, self.jobs, said, allowed)


@dataclass(frozen=True, order=True)
class Collision:
    """One place at which runs meet in the week, told once however often they do.

    Attributes:
        at: When they meet first, UTC. times: How often. jobs: Those that meet first; the first of them leads.
        said: What meets, in words; allowed: what to do.
    """

    at: datetime
    times: int
    jobs: tuple[str, ...]
    said: str
    allowed: str


def collisions(jobs: Iterable[SyncJob], now: datetime, among: Set[str] | None = None) -> list[Collision]:
    """What meets in the week after an aware instant: at most two per system and side, and one per table.

    Args:
        among: Ids of jobs: only what runs of theirs take part in counts. None: of all.
    """
    begin = now.astimezone(UTC).replace(second=0, microsecond=0)
    systems: dict[tuple[str, str], list[SyncJob]] = defaultdict(list)
    tables: dict[tuple[str, str], list[SyncJob]] = defaultdict(list)
    for job in jobs:
        systems["source", job.source.connection].append(job)
        systems["target", job.target.connection].append(job)
        tables[job.target.connection, job.target.table].append(job)
    found: list[Collision] = []
    for (side, connection), there in systems.items():
        slots = min(getattr(job, side).connections_max for job in there)
        if said := _over_budget(f"{side} '{connection}'", slots, there, begin, among):
            late = _pushed(f"{side} '{connection}'", slots, there, begin, among)
            found += [said, late] if late else [said]
    for (connection, table), there in tables.items():
        if len(there) > 1 and (said := _on_one_table(f"{table} at '{connection}'", there, begin, among)):
            found.append(said)
    return sorted(found)


def _over_budget(
    system: str, slots: int, jobs: list[SyncJob], begin: datetime, among: Set[str] | None
) -> Collision | None:
    met = _meetings(jobs, slots, begin, among)
    return met and met.told(
        begin,
        f"{system} lends {slots} connection{'s' * (slots > 1)} at one time, up to {met.most} runs meet there",
        "runs then wait for each other in its pool; move their minutes apart, or ask its owner for more connections",
    )


def _on_one_table(table: str, jobs: list[SyncJob], begin: datetime, among: Set[str] | None) -> Collision | None:
    met = _meetings(jobs, 1, begin, among)
    return met and met.told(
        begin,
        f"{table} is written by {met.most} jobs at the same time",
        "they wait for each other's rows, at most `target.lock_timeout_s`; move their minutes apart",
    )


def _pushed(system: str, slots: int, jobs: list[SyncJob], begin: datetime, among: Set[str] | None) -> Collision | None:
    """Runs that would wait for a connection until a window of theirs has begun: first come, first served."""
    closed = {job.id: _closed(job, begin) for job in jobs}
    if not any(closed.values()):
        return None
    late: list[tuple[int, str]] = []
    free = [0] * slots
    for (first, last), job_id in sorted((span, job.id) for job in jobs for span in spans(job, begin)):
        starts = max(first, free[0])
        heapq.heapreplace(free, starts + last - first)
        is_asked = among is None or job_id in among
        if is_asked and starts > first and _touches(closed[job_id], starts, starts + last - first):
            late.append((first, job_id))
    if not late:
        return None
    return Collision(
        begin + late[0][0] * MINUTE,
        len(late),
        (late[0][1],),
        f"a run that waits for a connection of {system} would still run when a window of its systems begins",
        "it then waits for the window's end; give it an earlier minute, or one that fewer jobs share",
    )


def _meetings(jobs: list[SyncJob], slots: int, begin: datetime, among: Set[str] | None) -> Meeting | None:
    """When more runs than `slots` are under way at one time, one of them of `among`; None where they never are."""
    alike: dict[tuple[Span, ...], list[str]] = defaultdict(list)
    for job in jobs:
        alike[spans(job, begin)].append(job.id)
    change: Counter[int] = Counter()
    change_among: Counter[int] = Counter()
    for runs, ids in alike.items():
        _count(change, runs, len(ids))
        _count(change_among, runs, len(ids) if among is None else sum(job_id in among for job_id in ids))
    at, times, most, under_way, of_them, is_met = -1, 0, 0, 0, 0, False
    for minute in sorted(change):
        under_way += change[minute]
        of_them += change_among[minute]
        was_met, is_met = is_met, under_way > slots and of_them > 0
        if is_met:
            at = minute if at < 0 else at
            times += not was_met
            most = max(most, under_way)
    if not times:
        return None
    meeting = [job_id for runs, ids in alike.items() if _touches(runs, at, at + 1) for job_id in ids]
    leading = sorted(meeting, key=lambda job_id: (among is not None and job_id not in among, job_id))
    return Meeting(at, times, most, tuple(leading))


def _count(change: Counter[int], runs: tuple[Span, ...], jobs: int) -> None:
    if jobs:
        for first, last in runs:
            change[first] += jobs
            change[last] -= jobs


def spans(job: SyncJob, begin: datetime) -> tuple[Span, ...]:
    """The job's runs of the week that begins at a whole UTC minute, in order; none reaches into the next one."""
    schedule = job.manifest.schedule
    return _spans(run_minutes_of_week(schedule.cron, schedule.timezone, begin), schedule.run_minutes)


@lru_cache(maxsize=4096)
def _spans(starts: tuple[int, ...], minutes: int) -> tuple[Span, ...]:
    lasting = [(at, min(at + minutes, following)) for at, following in pairwise(starts)]
    return tuple(lasting + [(at, at + minutes) for at in starts[-1:]])


def _closed(job: SyncJob, begin: datetime) -> tuple[Span, ...]:
    """Minutes of the week in which the job must leave one of its systems alone, in order and apart."""
    windows = {window for key in ("source", "target") for window in windows_of(job.manifest, key)}
    apart: list[Span] = []
    for opens, ends in sorted(hour for window in windows for hour in occurrences(window, begin, begin + WEEK)):
        first, last = (opens - begin) // MINUTE, (ends - begin) // MINUTE
        if apart and first <= apart[-1][1]:
            first, last = apart[-1][0], max(last, apart.pop()[1])
        apart.append((first, last))
    return tuple(apart)


def _touches(apart: tuple[Span, ...], first: int, last: int) -> bool:
    """Whether one of the spans has a minute in common with `first` up to `last`."""
    at = bisect_left(apart, (last, 0))
    return at > 0 and apart[at - 1][1] > first
