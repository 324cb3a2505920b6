"""The tasks of the line. Each calls the step of its name; ids go through XCom, rows never do.

No field is a template: what a manifest says is what runs. The steps are imported when a task runs, not when the DAG
file is parsed: they bring database drivers along.
"""

from __future__ import annotations

import logging
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowRescheduleException, AirflowSkipException

from syncline.core.errors import SynclineError, SystemDown, TerminalError
from syncline.core.job import SyncJob
from syncline.core.values import BatchSummary, State
from syncline.orchestration.assets import job_asset
from syncline.orchestration.connections import use_airflow
from syncline.orchestration.params import run_request
from syncline.orchestration.turns import FINISHED, wait_for_turn
from syncline.orchestration.windows import wait_for_window

APART_S = 10  # the first to come back looks whether the system is up, and mostly has an answer when the last does
COVERED_BY = "covered_by"  # XCom of `open`: the batch that left a backfill nothing to do
LEADER = "extract_and_map"  # holds the snapshot that parts are read under
SOON = timedelta(seconds=5)
log = logging.getLogger(__name__)


def put_off(down: SystemDown) -> AirflowRescheduleException:
    """Wait until the system may be asked again: it takes no worker slot and no retry. Not all tasks at one moment."""
    until = down.until + timedelta(seconds=random.uniform(0, APART_S))  # noqa: S311 it spreads load, it keeps no secret
    log.info("%s. Looked at again at %s", down, until.isoformat(timespec="seconds"))
    return AirflowRescheduleException(until)  # type: ignore[no-untyped-call]


class Stopped(KeyboardInterrupt):
    """Airflow ends the task (deploy, clear, mark failed): psycopg cancels its statement and rolls back."""


class StepTask(BaseOperator):
    """A task that does its work by a step, and lets nothing out but ids and counts."""

    template_fields = ()
    ui_color = "#e8f1f8"

    @property
    def about(self) -> str:
        """What is under way, in ids, for errors."""
        return f"{self.dag_id} {self.task_id}"

    def execute(self, context: Any) -> Any:
        from syncline.adapters.failures import telling
        from syncline.steps import alerting

        use_airflow()
        try:
            # The last place where a driver's text, with rows, is cut off.
            with telling(self.about):
                return self.work(context)
        except SystemDown as down:
            raise put_off(down) from None
        except SynclineError as error:
            alerting.tell_down(error)
            raise

    def work(self, context: Any) -> Any:
        raise NotImplementedError

    def on_kill(self) -> None:
        raise Stopped("Airflow asked the task to stop")


class Step(StepTask):
    """One step of a batch, by the batch id that `open` has handed on."""

    def __init__(self, *, job: SyncJob, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job = job

    @property
    def about(self) -> str:
        return f"{self.job.id} {self.task_id}"

    def work(self, context: Any) -> int:
        from syncline import steps

        wait_for_window(self.job, self.task_id, context)
        batch_id: int = getattr(steps, self.task_id)(self.job, self.batch_id(context))
        return batch_id

    def batch_id(self, context: Any) -> int:
        """What `open` handed on; every task passes the same id along."""
        batch_id: int | None = context["ti"].xcom_pull(task_ids="open")
        if batch_id is None:
            raise TerminalError(
                f"{self.job.id}: task 'open' handed on no batch id; was it marked success by hand? Nothing was done. "
                f"Clear the run from `open`: it opens a batch of its own."
            )
        return batch_id


class Open(Step):
    """Opens the batch that the run asks for, once its systems may be used and no other run of the job is under way."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_active_tis_per_dag=1, **kwargs)

    def work(self, context: Any) -> int:
        from syncline import steps

        request = run_request(self.job, context)
        wait_for_window(self.job, self.task_id, context)
        wait_for_turn(context["ti"], first=self.task_id, last="publish")
        if covered_by := steps.covering_batch(self.job, request):
            context["ti"].xcom_push(key=COVERED_BY, value=covered_by)
            raise AirflowSkipException(
                f"nothing to backfill: {self.job.id} can only read everything, and batch {covered_by} did so after "
                f"this interval ended. To compare everything anew, trigger the job by hand"
            )
        batch_id: int = steps.open_batch(self.job, request)
        return batch_id


class ReadParts(Step):
    """Helps `extract_and_map` to read a large batch, under its snapshot, until no part is free."""

    def __init__(self, *, helper: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.helper = helper

    def work(self, context: Any) -> int:
        from syncline.steps import parts

        wait_for_window(self.job, self.task_id, context)
        ti, batch_id = context["ti"], self.batch_id(context)
        leader = ti.get_task_states(ti.dag_id, task_ids=[LEADER], run_ids=[ti.run_id]).get(ti.run_id, {}).get(LEADER)
        if leader not in FINISHED and parts.is_waiting_for_parts(self.job, batch_id):
            raise AirflowRescheduleException(datetime.now(UTC) + SOON)  # type: ignore[no-untyped-call]
        parts.extract_parts(self.job, batch_id)
        return batch_id


class Load(Step):
    """Loads; of a dry run it tells what would have changed."""

    def work(self, context: Any) -> int:
        from syncline.steps import looking

        batch_id = super().work(context)
        if context["params"]["dry_run"]:
            for line in looking.would_change(batch_id):
                log.info(line)
        return batch_id


class Reconcile(Step):
    """Proves the batch. After a dry run it is skipped, not green: nothing was compared."""

    def work(self, context: Any) -> int:
        batch_id = super().work(context)
        if context["params"]["dry_run"]:
            raise AirflowSkipException(
                f"dry run of batch {batch_id}: nothing was loaded, so nothing is compared. What it would change stands "
                f"in the log of `load`, and in `syncline status {self.job.id}`"
            )
        return batch_id


class Publish(Step):
    """Publishes, and tells the asset which batch it was: its ids, counts and verdict, never rows.

    It runs after a skipped `reconcile` too, to clear up after a dry run. Whether the gate may open, the ledger says.
    """

    def __init__(self, *, job: SyncJob, **kwargs: Any) -> None:
        super().__init__(job=job, outlets=[job_asset(job.id)], trigger_rule="none_failed", **kwargs)

    def work(self, context: Any) -> int:
        from syncline import steps

        if covered_by := context["ti"].xcom_pull(task_ids="open", key=COVERED_BY):
            raise AirflowSkipException(f"batch {covered_by} covers the interval: nothing to publish")
        summary: BatchSummary = steps.publish(self.job, self.batch_id(context))
        if summary.state is State.DRY_RUN:
            raise AirflowSkipException(f"dry run of batch {summary.batch_id}: nothing to publish")
        context["outlet_events"][job_asset(self.job.id)].extra = summary.as_dict()
        return summary.batch_id
