"""A task whose system is down is put off: it takes no worker slot, no retry, and nobody is woken for it again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRescheduleException

from syncline import steps
from syncline.core.errors import EnvironmentFailure, SystemDown, TransientError
from syncline.core.job import SyncJob
from syncline.orchestration.callbacks import alert_task_failed
from syncline.orchestration.dag_factory import build_dag
from syncline.orchestration.operators import APART_S, put_off
from syncline.steps import alerting

UNTIL = datetime(2026, 11, 1, 12, tzinfo=UTC)


def execute(job: SyncJob, task_id: str) -> Any:
    task = build_dag(job).get_task(task_id)
    context = {
        "ti": SimpleNamespace(xcom_pull=lambda **_: 42, dag_id=task.dag_id, run_id="r1"),
        "dag_run": SimpleNamespace(conf={}, run_type="manual", run_id="r1"),
        "params": {"mode": None, "dry_run": False, "reason": "test", "despite_windows": True},
    }
    return type(task).execute.__wrapped__(task, context)  # type: ignore[attr-defined]


def test_a_task_is_put_off_until_the_system_may_be_asked_again(job: SyncJob, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: object) -> None:
        raise SystemDown(job.id, "payroll", UNTIL, 3)

    monkeypatch.setattr(steps, "reconcile", down)

    with pytest.raises(AirflowRescheduleException) as put:
        execute(job, "reconcile")

    assert timedelta(0) <= put.value.reschedule_date - UNTIL <= timedelta(seconds=APART_S)


def test_tasks_that_wait_do_not_come_back_at_one_moment(job: SyncJob) -> None:
    down = SystemDown(job.id, "payroll", UNTIL, 3)

    assert len({put_off(down).reschedule_date for _ in range(50)}) > 40


@pytest.mark.parametrize("system", ["payroll", None])
def test_the_failure_that_opened_the_breaker_delivers_its_alert(
    job: SyncJob, monkeypatch: pytest.MonkeyPatch, system: str | None
) -> None:
    delivered: list[int] = []

    def lost(*_: object) -> None:
        error = TransientError("cut")
        error.down = system
        raise error

    monkeypatch.setattr(steps, "reconcile", lost)
    monkeypatch.setattr(alerting, "deliver_pending", lambda: delivered.append(1))

    with pytest.raises(TransientError, match="cut"):
        execute(job, "reconcile")

    assert delivered == ([1] if system else [])


@pytest.mark.parametrize("is_told", [True, False])
def test_a_task_that_failed_for_good_alerts_only_where_its_system_was_not_told(
    job: SyncJob, monkeypatch: pytest.MonkeyPatch, is_told: bool
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(alerting, "task_failed", lambda *args: told.append(args))
    monkeypatch.setattr(alerting, "has_told", lambda error: is_told)
    task = build_dag(job).get_task("load")

    alert_task_failed(
        {"task": task, "exception": EnvironmentFailure("x"), "ti": SimpleNamespace(xcom_pull=lambda **_: 42)}
    )

    assert told == ([] if is_told else [(job, 42, "load", "EnvironmentFailure")])
