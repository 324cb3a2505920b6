"""The coming week of all jobs: what meets, and when first; also where clocks change."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from syncline.core.calendar_week import Collision, collisions, spans
from syncline.core.cron import next_runs, run_minutes_of_week
from syncline.core.job import SyncJob
from syncline.core.job_files import load_job
from tests.unit.project_files import JOB, MANIFEST, write_project

SUNDAY = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
def model(tmp_path: Path) -> SyncJob:
    """A job without windows, from `mdm` to `payroll`."""
    return load_job(write_project(tmp_path, MANIFEST.replace('  avoid: ["02:00-02:40"]\n', "")), JOB)


def job(model: SyncJob, job_id: str, cron: str, **bent: Any) -> SyncJob:
    """The model at other times, in UTC; keywords bend: `zone`, `minutes`, `slots`, `table`, `target`, `target_avoid`."""
    manifest = model.manifest
    schedule = {"cron": cron, "timezone": bent.get("zone", "UTC"), "run_minutes": bent.get("minutes", 10)}
    source = {"connections_max": bent.get("slots", 64)}
    target = {
        "connection": bent.get("target", "payroll"), "table": bent.get("table", f"hr.{job_id}"),
        "avoid": bent.get("target_avoid", ()), "connections_max": bent.get("target_slots", 64),
    }  # fmt: skip
    update = {
        "schedule": manifest.schedule.model_copy(update=schedule),
        "source": manifest.source.model_copy(update=source),
        "target": manifest.target.model_copy(update=target),
    }
    return replace(model, id=job_id, manifest=manifest.model_copy(update=update))


def told(found: list[Collision]) -> list[tuple[str, int, tuple[str, ...]]]:
    return [(f"{one.at:%m-%d %H:%M}", one.times, one.jobs) for one in found]


def test_jobs_that_keep_the_budget_of_their_systems_do_not_meet(model: SyncJob) -> None:
    jobs = [job(model, "a", "0 3 * * *", slots=2), job(model, "b", "5 3 * * *"), job(model, "c", "10 3 * * *")]

    assert collisions(jobs, SUNDAY) == []  # c begins in the minute in which a ends


def test_one_run_more_than_the_smallest_budget_of_a_system_is_told(model: SyncJob) -> None:
    jobs = [job(model, "a", "0 3 * * *", slots=2), job(model, "b", "5 3 * * *"), job(model, "c", "9 3 * * *")]

    found = collisions(jobs, SUNDAY)

    assert told(found) == [("11-22 03:09", 7, ("a", "b", "c"))]
    assert found[0].said == "source 'mdm' lends 2 connections at one time, up to 3 runs meet there"


def test_a_target_has_a_budget_of_its_own(model: SyncJob) -> None:
    jobs = [job(model, name, "0 3 * * *", target_slots=1) for name in "ab"]

    assert [one.said for one in collisions(jobs, SUNDAY)] == [
        "target 'payroll' lends 1 connection at one time, up to 2 runs meet there"
    ]


def test_two_jobs_that_write_one_table_at_the_same_time_are_told(model: SyncJob) -> None:
    jobs = [job(model, "a", "0 3 * * sun", table="hr.x"), job(model, "b", "9 3 * * *", table="hr.x")]

    found = collisions(jobs, SUNDAY)

    assert told(found) == [("11-22 03:09", 1, ("a", "b"))]
    assert "hr.x at 'payroll' is written by 2 jobs" in found[0].said
    assert collisions([jobs[0], job(model, "b", "9 3 * * *", table="hr.x", target="billing")], SUNDAY) == []


def test_equal_schedules_are_counted_for_every_job_that_has_them(model: SyncJob) -> None:
    jobs = [job(model, f"j{n:03}", "0 * * * *", slots=99, target_slots=200) for n in range(100)]

    (found,) = collisions(jobs, SUNDAY)

    assert (found.times, len(found.jobs)) == (168, 100)
    assert "up to 100 runs" in found.said


def test_a_job_asks_only_for_what_its_own_runs_take_part_in(model: SyncJob) -> None:
    jobs = [job(model, name, cron, slots=1) for name, cron in (
        ("a", "0 3 * * *"), ("b", "0 3,5 * * *"), ("c", "5 5 * * *"), ("d", "0 9 * * *"),
    )]  # fmt: skip

    assert told(collisions(jobs, SUNDAY)) == [("11-22 03:00", 14, ("a", "b"))]
    assert told(collisions(jobs, SUNDAY, {"c"})) == [("11-22 05:05", 7, ("c", "b"))]  # who asks is named first
    assert collisions(jobs, SUNDAY, {"d"}) == []


def test_a_jobs_own_runs_wait_for_each_other_and_never_meet(model: SyncJob) -> None:
    assert collisions([job(model, "a", "*/5 * * * *", minutes=60, slots=1, target_slots=1)], SUNDAY) == []


def test_a_run_that_waits_for_a_connection_until_a_window_begins_is_told(model: SyncJob) -> None:
    jobs = [
        job(model, "early", "30 1 * * *", slots=1, minutes=25),
        job(model, "pushed", "35 1 * * *", target_avoid=("02:00-02:40",)),  # planned 01:35 to 01:45: clear of it
    ]

    found = collisions(jobs, SUNDAY)

    assert told(found) == [("11-22 01:35", 7, ("early", "pushed")), ("11-22 01:35", 7, ("pushed",))]
    assert found[1].said.startswith("a run that waits for a connection of source 'mdm' would still run when a window")
    assert told(collisions([replace(jobs[0], id="x"), jobs[1]], SUNDAY, {"x"})) == [("11-22 01:35", 7, ("x", "pushed"))]


def test_a_queue_of_several_runs_is_waited_for_to_its_end(model: SyncJob) -> None:
    jobs = [job(model, name, "20 1 * * *", slots=1, minutes=25) for name in "ab"]
    last = job(model, "last", "35 1 * * *", target_avoid=("02:00-02:40",))  # after a until 01:45 and b until 02:10

    assert [one.jobs for one in collisions([*jobs, last], SUNDAY)] == [("a", "b"), ("last",)]


def test_two_zones_meet_in_one_season_and_not_in_the_other(model: SyncJob) -> None:
    jobs = [job(model, "london", "0 3 * * *", zone="Europe/London", slots=1), job(model, "utc", "0 3 * * *")]

    assert told(collisions(jobs, datetime(2026, 7, 1, tzinfo=UTC))) == []
    assert [one.times for one in collisions(jobs, SUNDAY)] == [7]
    week_of_change = datetime(2026, 10, 21, 12, tzinfo=UTC)  # clocks go back on the 25th
    assert told(collisions(jobs, week_of_change)) == [("10-25 03:00", 4, ("london", "utc"))]


@pytest.mark.parametrize(
    ("expression", "hours"),
    [
        ("30 1 * * *", ["10-24 00:30", "10-25 01:30", "10-26 01:30"]),  # of the two, the second, as Airflow
        ("30 * * * *", 24 * 3),
        ("30 1 * * sun", ["10-25 01:30"]),
    ],
)
def test_where_clocks_go_back_a_time_of_day_runs_once_and_every_hour_runs_in_each(
    expression: str, hours: list[str] | int
) -> None:
    begin = datetime(2026, 10, 24, tzinfo=UTC)

    runs = [minute for minute in run_minutes_of_week(expression, "Europe/London", begin) if minute < 3 * 1440]

    said = [f"{begin + timedelta(minutes=minute):%m-%d %H:%M}" for minute in runs]
    assert (said if isinstance(hours, list) else len(said)) == hours


def test_where_clocks_go_forward_an_hourly_job_runs_on_as_if_nothing_were() -> None:
    begin = datetime(2026, 3, 28, 12, tzinfo=UTC)

    assert run_minutes_of_week("0 * * * *", "Europe/London", begin) == tuple(range(0, 7 * 1440, 60))


def test_a_week_begins_with_the_minute_that_is_given_and_ends_before_it() -> None:
    assert run_minutes_of_week("0 0 * * *", "UTC", SUNDAY) == tuple(range(0, 7 * 1440, 1440))


@pytest.mark.parametrize(
    "expression", ["5 0 1 * mon", "15 3 l * *", "0 12 * * fri#2", "0 0 29 2 *", "*/7 9-17 1-8 * 1-5"]
)
def test_the_runs_of_a_week_are_those_that_are_asked_for_one_by_one(expression: str) -> None:
    for day in range(0, 365, 30):
        begin = datetime(2026, 1, 1, 7, 13, tzinfo=UTC) + timedelta(days=day)
        runs = run_minutes_of_week(expression, "Asia/Singapore", begin)

        asked = next_runs(expression, "Asia/Singapore", begin - timedelta(minutes=1), len(runs) + 1)
        assert [begin + timedelta(minutes=minute) for minute in runs] == asked[:-1]
        assert asked[-1] >= begin + timedelta(days=7)


@pytest.mark.parametrize("seed", range(5))
def test_the_sweep_finds_what_counting_minute_by_minute_finds(model: SyncJob, seed: int) -> None:
    chance = random.Random(seed)
    jobs = [
        job(model, f"j{n}", f"{chance.randrange(60)} {chance.choice(['*', '*/3', '1', '1-4'])} * * *",
            minutes=chance.randrange(1, 90), slots=4, target=f"t{n}")
        for n in range(30)
    ]  # fmt: skip

    under_way = [0] * (8 * 1440)
    for one in jobs:
        for first, last in spans(one, SUNDAY):
            for minute in range(first, last):
                under_way[minute] += 1
    over = [count > 4 for count in under_way]
    begins = [n for n, is_over in enumerate(over) if is_over and (n == 0 or not over[n - 1])]

    (found,) = collisions(jobs, SUNDAY)

    assert (found.at, found.times) == (SUNDAY + timedelta(minutes=begins[0]), len(begins))
    assert f"up to {max(under_way)} runs" in found.said


def test_a_thousand_hourly_jobs_are_looked_at_in_a_moment(model: SyncJob) -> None:
    """168,000 runs. 0.3 s is usual; the limit forgives a busy machine."""
    jobs = [job(model, f"j{n}", f"{n % 60} * * * *", minutes=1 + n % 30, slots=8) for n in range(1_000)]
    began = datetime.now(UTC)

    collisions(jobs, SUNDAY)

    assert datetime.now(UTC) - began < timedelta(seconds=5)
