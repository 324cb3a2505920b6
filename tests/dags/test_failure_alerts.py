"""SYNC-007: a task that failed for good is told to a person, once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from syncline.core.errors import BatchHeld, EnvironmentFailure, Fenced, TransientError
from syncline.core.job import SyncJob
from syncline.orchestration.callbacks import alert_task_failed
from syncline.orchestration.dag_factory import build_dag
from syncline.orchestration.params import RunRefused
from syncline.steps import alerting


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    made: list[tuple[Any, ...]] = []
    monkeypatch.setattr(
        alerting, "task_failed", lambda job, batch_id, step, error: made.append((job.id, batch_id, step, error))
    )
    return made


def failed(job: SyncJob, error: BaseException | None, *, batch_id: int | None = 42) -> dict[str, Any]:
    """The context that Airflow gives to the callback of task `load`."""

    def pull(task_ids: str) -> int | None:
        if batch_id is None:
            raise RuntimeError("API server is down")
        return batch_id

    context = {"task": build_dag(job).get_task("load"), "ti": SimpleNamespace(xcom_pull=pull)}
    return context | ({"exception": error} if error is not None else {})


@pytest.mark.parametrize("error", [TransientError("x"), EnvironmentFailure("x"), ValueError("x"), KeyboardInterrupt()])
def test_a_task_that_failed_for_good_is_told(job: SyncJob, told: list[Any], error: BaseException) -> None:
    alert_task_failed(failed(job, error))

    assert told == [(job.id, 42, "load", type(error).__name__)]


@pytest.mark.parametrize("error", [BatchHeld("j", 1, "x"), Fenced("j", 1, 2), RunRefused("x")])
def test_what_was_told_otherwise_is_not_told_twice(job: SyncJob, told: list[Any], error: BaseException) -> None:
    alert_task_failed(failed(job, error))

    assert told == []


def test_a_killed_worker_is_told_from_the_dag_processor_where_no_exception_is_known(
    job: SyncJob, told: list[Any]
) -> None:
    alert_task_failed(failed(job, None, batch_id=None))

    assert told == [(job.id, None, "load", "WorkerLost")]


def test_an_alert_that_fails_hides_nothing(job: SyncJob, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_args: object) -> None:
        raise OSError("no route")

    monkeypatch.setattr(alerting, "task_failed", down)

    alert_task_failed(failed(job, TransientError("x")))  # does not raise


def test_every_task_has_the_callback(job: SyncJob) -> None:
    assert all(task.on_failure_callback == [alert_task_failed] for task in build_dag(job).tasks)
