"""Steps wait for the end of closed hours; and the calendar of the week has the runs that Airflow has."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pendulum
import pytest
from airflow.sdk import CronDataIntervalTimetable
from airflow.sdk.exceptions import AirflowRescheduleException
from airflow.timetables.interval import CronDataIntervalTimetable as Scheduled

from syncline import steps
from syncline.core.cron import run_minutes_of_week
from syncline.orchestration import windows
from syncline.orchestration.dag_factory import build_dag
from syncline.orchestration.params import RunRefused
from tests.dags.conftest import MakeJob

NIGHT = datetime(2026, 11, 23, 2, 10, tzinfo=UTC)
Attempt = Callable[..., datetime | None]


@pytest.fixture
def attempt(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> Attempt:
    """Begin a task of a job whose target is closed 02:00-02:40; until when it is put off, or None where it did its work."""
    monkeypatch.delenv("SYNCLINE_DESPITE_WINDOWS")
    job = make_job(schedule__avoid=[], target__avoid=["02:00-02:40"])
    done: list[str] = []

    def work(*_args: Any) -> int:
        done.append("work")
        return 42

    for step in ("open_batch", "extract_and_map", "load", "reconcile"):
        monkeypatch.setattr(steps, step, work)

    def begin(task_id: str, at: datetime = NIGHT, **params: Any) -> datetime | None:
        monkeypatch.setattr(windows, "now", lambda: at)
        run = SimpleNamespace(conf={}, run_type="manual", run_id="r1", data_interval_start=None, data_interval_end=None)
        ti = SimpleNamespace(dag_id="d", run_id="r1", xcom_pull=lambda **_: 42, get_dr_count=lambda *_, **__: 1)
        given = {"mode": "incremental", "tenants": None, "dry_run": False, "reason": None, **params}
        done.clear()
        try:
            task: Any = build_dag(job).get_task(task_id)
            task.work({"ti": ti, "dag_run": run, "params": given})
        except AirflowRescheduleException as put_off:
            assert not done
            until: datetime = put_off.reschedule_date
            return until
        assert done
        return None

    return begin


@pytest.mark.parametrize("task_id", ["open", "extract_and_map", "load", "reconcile"])
def test_a_step_that_comes_in_closed_hours_is_put_off_until_their_end(attempt: Attempt, task_id: str) -> None:
    until = attempt(task_id)

    assert until is not None
    assert timedelta() <= until - datetime(2026, 11, 23, 2, 41, tzinfo=UTC) <= timedelta(seconds=windows.SPREAD_S)


def test_tasks_that_wait_for_the_same_end_do_not_come_back_together(attempt: Attempt) -> None:
    assert len({attempt("load") for _ in range(20)}) > 15


def test_a_step_that_comes_when_its_system_is_open_does_its_work(attempt: Attempt) -> None:
    assert attempt("load", NIGHT + timedelta(minutes=31)) is None


def test_a_run_that_would_last_into_closed_hours_is_not_opened_but_one_under_way_goes_on(attempt: Attempt) -> None:
    just_before = NIGHT - timedelta(minutes=15)

    assert attempt("open", just_before) is not None
    assert attempt("load", just_before) is None


def test_a_run_by_hand_may_begin_in_closed_hours_with_a_reason(attempt: Attempt) -> None:
    for task_id in ("open", "extract_and_map", "load", "reconcile"):
        assert attempt(task_id, despite_windows=True, reason="payroll's night run is off, OPS-1") is None
    with pytest.raises(RunRefused, match="needs a reason"):
        attempt("open", despite_windows=True)


def test_where_the_systems_are_toys_their_hours_are_not_kept(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNCLINE_DESPITE_WINDOWS", "1")

    assert attempt("load") is None


def test_a_refused_run_is_told_at_once_and_does_not_wait_first(attempt: Attempt) -> None:
    with pytest.raises(RunRefused):
        attempt("open", mode="full")


@pytest.mark.parametrize("zone", ["UTC", "Europe/London", "America/New_York", "Africa/Cairo", "Asia/Kathmandu"])
@pytest.mark.parametrize(
    "expression",
    ["0 * * * *", "*/15 * * * *", "30 3 * * *", "10 4-23/2 * * *", "5 4 1 * mon", "15 3 l * *", "0 12 * * fri#2"],
)
def test_the_calendar_has_the_runs_that_airflow_will_start(expression: str, zone: str) -> None:
    assert CronDataIntervalTimetable.__name__ == Scheduled.__name__  # what DAGs say is what the scheduler computes
    timetable = Scheduled(expression, timezone=pendulum.timezone(zone))
    for day in ("2026-03-06", "2026-03-25", "2026-04-22", "2026-10-22", "2026-10-28", "2026-11-21"):
        begin = datetime.fromisoformat(f"{day}T07:13:00+00:00")
        runs, at = [], pendulum.instance(begin - timedelta(seconds=1))
        while (at := timetable._get_next(at)) < begin + timedelta(days=7):
            runs.append(int((at.timestamp() - begin.timestamp()) // 60))

        assert list(run_minutes_of_week(expression, zone, begin)) == runs, day
