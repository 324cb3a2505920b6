"""The tasks of the line. Each calls the step of its name; ids go through XCom, rows never do.

No field is a template: what a manifest says is what runs. The steps are imported when a task runs, not when the DAG
file is parsed: they bring database drivers along.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from syncline.core.errors import TerminalError
from syncline.core.job import SyncJob
from syncline.core.values import BatchSummary, State
from syncline.orchestration.assets import job_asset
from syncline.orchestration.connections import use_airflow
from syncline.orchestration.params import run_request
from syncline.orchestration.turns import wait_for_turn


class Stopped(KeyboardInterrupt):
    """Airflow ends the task (deploy, clear, mark failed): psycopg cancels its statement and rolls back."""


class Step(BaseOperator):
    """One step of a batch, by the batch id that `open` has handed on."""

    template_fields = ()
    ui_color = "#e8f1f8"

    def __init__(self, *, job: SyncJob, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job = job

    def execute(self, context: Any) -> int:
        from syncline.adapters.failures import telling

        use_airflow()
        with telling(f"{self.job.id} {self.task_id}"):  # the last place where a driver's text, with rows, is cut off
            return self.work(context)

    def work(self, context: Any) -> int:
        from syncline import steps

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

    def on_kill(self) -> None:
        raise Stopped("Airflow asked the task to stop")


class Open(Step):
    """Opens the batch that the run asks for, once no other run of the job is under way."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_active_tis_per_dag=1, **kwargs)

    def work(self, context: Any) -> int:
        from syncline import steps

        request = run_request(self.job, context)
        wait_for_turn(context["ti"], first=self.task_id, last="publish")
        batch_id: int = steps.open_batch(self.job, request)
        return batch_id


class Reconcile(Step):
    """Proves the batch. After a dry run it is skipped, not green: nothing was compared."""

    def work(self, context: Any) -> int:
        batch_id = super().work(context)
        if context["params"]["dry_run"]:
            raise AirflowSkipException(f"dry run of batch {batch_id}: nothing was loaded, so nothing is compared")
        return batch_id


class Publish(Step):
    """Publishes, and tells the asset which batch it was: its ids, counts and verdict, never rows.

    It runs after a skipped `reconcile` too, to clear up after a dry run. Whether the gate may open, the ledger says.
    """

    def __init__(self, *, job: SyncJob, **kwargs: Any) -> None:
        super().__init__(job=job, outlets=[job_asset(job.id)], trigger_rule="none_failed", **kwargs)

    def work(self, context: Any) -> int:
        from syncline import steps

        summary: BatchSummary = steps.publish(self.job, self.batch_id(context))
        if summary.state is State.DRY_RUN:
            raise AirflowSkipException(f"dry run of batch {summary.batch_id}: nothing to publish")
        context["outlet_events"][job_asset(self.job.id)].extra = summary.as_dict()
        return summary.batch_id
