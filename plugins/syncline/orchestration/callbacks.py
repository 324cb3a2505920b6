"""Tell a person when a task has failed for good (SYNC-007; of a comparison SYNC-008), and that it is over.

Airflow calls this in the worker after the last attempt. When a worker dies, it calls it in the DAG processor
instead, with no exception at hand. It may never raise: an alert that fails must not hide the failure.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from syncline.core.errors import BatchHeld, Fenced, TerminalError
from syncline.orchestration.params import RunRefused


class ToldAlready(TerminalError):
    """A task is red, and whom it concerns knows."""


# A held batch has alerted already, an overtaken one needs nobody, a refused run answers the one who started it.
TOLD_OTHERWISE = (BatchHeld, Fenced, RunRefused, ToldAlready)
LOST = "WorkerLost"  # no exception: the worker was killed, or the scheduler lost its heartbeat
log = logging.getLogger(__name__)


def alert_task_failed(context: Any) -> None:
    """Alert with the manifest's severity and on-call, once per task that has failed for good."""
    _tell(
        context,
        lambda alerting, task, failure: alerting.task_failed(task.job, _batch_id(context), task.task_id, failure),
    )


def alert_comparison_failed(context: Any) -> None:
    """The same of a comparison: its job is unverified until the next one has an answer."""
    _tell(context, lambda alerting, task, failure: alerting.comparison_failed(task.job, task.task_id, failure))


def _tell(context: Any, of_what: Callable[[Any, Any, str], None]) -> None:
    error = context.get("exception")
    if isinstance(error, TOLD_OTHERWISE):
        return
    task = context["task"]
    try:
        from syncline.orchestration.connections import use_airflow
        from syncline.steps import alerting

        use_airflow()
        if alerting.has_told(error):
            return
        of_what(alerting, task, failure_name(error))
    except Exception as failure:
        log.error("alert not sent dag=%s task=%s failure=%s", task.dag_id, task.task_id, type(failure).__name__)


def close_alerts(dag_id: str, _context: Any) -> None:
    """What was told of a DAG's own tasks is over, and their next failure is told again. Never raises."""
    try:
        from syncline.orchestration.connections import use_airflow
        from syncline.steps import alerting

        use_airflow()
        alerting.over(dag_id, "SYNC-007")
    except Exception as failure:
        log.error("alerts not closed dag=%s failure=%s", dag_id, type(failure).__name__)


def failure_name(error: BaseException | None) -> str:
    """What an alert says of a failure: its type alone, for its text may quote a row."""
    return LOST if error is None else type(error).__name__


def _batch_id(context: Any) -> int | None:
    """The batch of the run, or None where none was opened or Airflow cannot be asked."""
    try:
        handed = context["ti"].xcom_pull(task_ids="open")
    except Exception:
        return None
    if isinstance(handed, dict):  # a group's: one batch of each member
        handed = handed.get(context["task"].job.id)
    return handed if isinstance(handed, int) else None
