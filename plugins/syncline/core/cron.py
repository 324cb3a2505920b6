"""Think about cron expressions without a clock: are they readable, do they ever run, do they meet a forbidden hour.

Airflow's own reader of cron expressions decides what one means. A time of day that a zone skips in spring is refused:
Airflow moves that run an hour on, finds the same instant before and after it, and the batch has an empty interval.

Everything is computed once per process: thousands of manifests share a few dozen schedules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, available_timezones

from croniter import CroniterBadDateError, croniter

FIELDS = 5
MINUTES_A_DAY = 24 * 60
EPOCH = datetime(2026, 1, 1)  # wall clock of whichever zone; any year would do
GAP_YEARS = 28  # after so many years days of the week fall on the same dates again
GAP_STEP = timedelta(days=10)  # no summer time is shorter
SEASON_DAYS = 366
MINUTE, ONE_DAY = timedelta(minutes=1), timedelta(days=1)
RANDOM = re.compile(r"(?i)(?<![a-z])[hr](?![a-z])")  # croniter's own extension: another time in every process
MACHINE_ZONES = {"localtime", "Factory"}  # mean something else on every machine


class CronRefused(ValueError):
    """The expression cannot be used; the text says why."""


@cache
def zones() -> frozenset[str]:
    """Time zones of the IANA database."""
    return frozenset(available_timezones()) - MACHINE_ZONES


@lru_cache(maxsize=4096)
def check_cron(expression: str) -> None:
    """Refuse what is not a cron expression of five fields, or never runs; raises CronRefused."""
    if len(expression.split()) != FIELDS:
        raise CronRefused("a cron expression has five fields: minute, hour, day, month, weekday")
    if RANDOM.search(expression):
        raise CronRefused("H and R are random times; write the time itself")
    _, _, days, months, _ = _expanded(expression)
    if "*" not in days and "*" not in months:  # only a date can be one that never comes
        try:
            croniter(expression, start_time=EPOCH).get_next()
        except ValueError:
            raise CronRefused("this date never comes") from None


def times_of_day(expression: str) -> set[int]:
    """The minutes of a day, 0 to 1439, at which a valid expression runs on the days that it names."""
    minutes, hours, *_ = _expanded(expression)
    of_hour = range(60) if "*" in minutes else [int(minute) for minute in minutes]
    of_day = range(24) if "*" in hours else [int(hour) for hour in hours]
    return {hour * 60 + minute for hour in of_day for minute in of_hour}


def in_zone(said: str, zone: str) -> tuple[str, str]:
    """Range and zone of `02:00-02:40` or `02:00-02:40 Europe/London`; without one the zone that is given."""
    clock_range, _, own = said.partition(" ")
    return clock_range, own or zone


@lru_cache(maxsize=4096)
def run_within(expression: str, clock_range: str, run_minutes: int = 0, shifts: tuple[int, ...] = (0,)) -> str | None:
    """The first `hh:mm` whose run meets `22:30-01:00`, both ends included; None without one.

    Args:
        run_minutes: How long a run lasts; 0 where only its beginning counts.
        shifts: Minutes by which the range's zone may be ahead of the schedule's.
    """
    begin, end = (int(clock[:2]) * 60 + int(clock[3:]) for clock in clock_range.split("-"))
    span = (end - begin) % MINUTES_A_DAY
    hit = min(
        (
            minute
            for minute in times_of_day(expression)
            for shown in (minute + shift for shift in shifts)
            if (shown - begin) % MINUTES_A_DAY <= span or (begin - shown) % MINUTES_A_DAY < run_minutes
        ),
        default=None,
    )
    return None if hit is None else f"{hit // 60:02}:{hit % 60:02}"


@lru_cache(maxsize=4096)
def zone_shifts(zone: str, other: str) -> tuple[int, ...]:
    """Minutes by which a zone may be ahead of another, over the seasons: clocks do not change on the same days."""
    if zone == other:
        return (0,)
    days = (EPOCH.replace(tzinfo=UTC) + timedelta(days=n, hours=12) for n in range(SEASON_DAYS))
    return tuple(sorted({(_offset(ZoneInfo(zone), day) - _offset(ZoneInfo(other), day)) // MINUTE for day in days}))


@lru_cache(maxsize=4096)
def skipped_run(expression: str, zone: str) -> datetime | None:
    """A wall-clock time at which a valid expression should run, but which the zone skips; None without one.

    An expression that runs every hour is never hurt: Airflow counts hours there, not clock readings.
    """
    if "*" in _expanded(expression)[1]:
        return None
    times = times_of_day(expression)
    for begin, end in _gaps(zone):
        first = begin.hour * 60 + begin.minute
        length = int((end - begin).total_seconds() // 60)
        if any((minute - first) % MINUTES_A_DAY < length for minute in times):
            at: datetime = croniter(expression, start_time=begin - timedelta(minutes=1)).get_next(datetime)
            if at < end:
                return at
    return None


def next_runs(expression: str, zone: str, after: datetime, count: int = 3) -> list[datetime]:
    """The next runs after an aware instant, in the schedule's own zone."""
    runs = croniter(expression, start_time=after.astimezone(ZoneInfo(zone)))
    return [runs.get_next(datetime) for _ in range(count)]


def moment(at: datetime, zone: str) -> str:
    """An aware instant in a schedule's zone, and in UTC where that is another: `2026-11-22 05:30 CET (04:30 UTC)`."""
    here, utc = at.astimezone(ZoneInfo(zone)), at.astimezone(UTC)
    said = f"{here:%Y-%m-%d %H:%M %Z}"
    if here.utcoffset() == timedelta():
        return said
    return f"{said} ({utc:%H:%M} UTC)" if here.date() == utc.date() else f"{said} ({utc:%Y-%m-%d %H:%M} UTC)"


@lru_cache(maxsize=4096)
def run_minutes_of_week(expression: str, zone: str, begin: datetime) -> tuple[int, ...]:
    """Minutes after an aware instant at which a valid expression runs within seven days; that instant counts.

    The same as asking `next_runs` again and again, for a thousandth of its cost: days are asked for once, and on most
    of them a reading of the wall clock is a fixed number of minutes away.
    """
    every_hour = "*" in _expanded(expression)[1]
    times = sorted(times_of_day(expression))
    first = begin.astimezone(ZoneInfo(zone)).date() - ONE_DAY
    _, _, *of_day = expression.split()
    found: set[int] = set()
    for day in _days(" ".join(of_day), first):
        midnight = datetime.combine(day, time())
        shift, after = (_offset_of(midnight + more, zone) for more in (timedelta(), ONE_DAY))
        if shift == after:
            base = (midnight.replace(tzinfo=UTC) - shift - begin) // MINUTE
            found.update([base + minute for minute in times])
        else:
            walls = (midnight + minute * MINUTE for minute in times)
            found.update((at - begin) // MINUTE for wall in walls for at in _instants(wall, zone, every_hour))
    return tuple(sorted(minute for minute in found if 0 <= minute < 7 * MINUTES_A_DAY))


@lru_cache(maxsize=4096)
def _days(fields: str, first: date) -> list[date]:
    """Days that `day month weekday` name, from one day on for as long as a week can touch."""
    runs = croniter(f"0 0 {fields}", start_time=datetime.combine(first, time()) - MINUTE)
    found: list[date] = []
    with suppress(CroniterBadDateError):  # none for many years to come
        while (day := runs.get_next(datetime).date()) <= first + 9 * ONE_DAY:
            found.append(day)
    return found


def _instants(wall: datetime, zone: str, every_hour: bool) -> Iterator[datetime]:
    """What a reading of the wall clock means on a day on which clocks change: as Airflow takes it.

    Of an hour that comes twice a fixed time of day means the second; what runs every hour runs in both.
    """
    for fold in (0, 1) if every_hour else (1,):
        at = wall.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)
        if at.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == wall:
            yield at


def _offset_of(wall: datetime, zone: str) -> timedelta:
    return wall.replace(tzinfo=ZoneInfo(zone)).utcoffset() or timedelta()


@lru_cache(maxsize=4096)
def _expanded(expression: str) -> list[list[int | str]]:
    try:
        expanded: list[list[int | str]] = croniter.expand(expression)[0]
    except ValueError as error:  # croniter's errors are ValueErrors; some carry a traceback as their text
        raise CronRefused(str(error).strip().splitlines()[-1][:120]) from None
    return expanded


@cache
def _gaps(zone: str) -> tuple[tuple[datetime, datetime], ...]:
    """Wall-clock intervals that a zone skips when its clocks go forward, over GAP_YEARS."""
    return tuple(_forward_jumps(ZoneInfo(zone)))


def _forward_jumps(zone: ZoneInfo) -> Iterator[tuple[datetime, datetime]]:
    before = EPOCH.replace(tzinfo=UTC)
    while before.year < EPOCH.year + GAP_YEARS:
        after = before + GAP_STEP
        if _offset(zone, after) > _offset(zone, before):
            yield _jump(zone, before, after)
        before = after


def _jump(zone: ZoneInfo, before: datetime, after: datetime) -> tuple[datetime, datetime]:
    """The one jump between two instants, as the wall clock shows it before and after."""
    old, new = _offset(zone, before), _offset(zone, after)
    while after - before > timedelta(minutes=1):
        middle = before + timedelta(minutes=(after - before) // timedelta(minutes=2))
        before, after = (middle, after) if _offset(zone, middle) == old else (before, middle)
    naive = after.replace(tzinfo=None)
    return naive + old, naive + new


def _offset(zone: ZoneInfo, instant: datetime) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta()
