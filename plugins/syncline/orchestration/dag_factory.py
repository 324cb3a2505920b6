"""Turn one valid manifest into one DAG: open >> extract_and_map >> load >> reconcile >> publish.

Parsing must be cheap and may fail for one manifest without harm to another: an exception in a DAG file takes all
DAGs of that file away (docs/decisions/0005), so `build_or_explain` never lets one out.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import DAG, CronDataIntervalTimetable

from syncline.core.errors import ManifestInvalid
from syncline.core.job import SyncJob
from syncline.core.job_files import load_job
from syncline.orchestration import guide
from syncline.orchestration.callbacks import alert_task_failed
from syncline.orchestration.operators import Load, Open, Publish, ReadParts, Reconcile, Step
from syncline.orchestration.params import run_params
from syncline.orchestration.pools import source_pool, target_pool
from syncline.orchestration.retry import SETTINGS

PREFIX = "sync__"
START = datetime(2020, 1, 1, tzinfo=UTC)  # earlier than any interval somebody may want to backfill
PRIORITY = {"critical": 1000, "high": 100, "medium": 10, "low": 1}  # who gets a pool's free slot first


def dag_id(job_id: str) -> str:
    return f"{PREFIX}{job_id}"


def build_dag(job: SyncJob) -> DAG:
    """Turn one job into one DAG whose tasks stand in a single line."""
    manifest = job.manifest
    dag = DAG(
        dag_id(job.id),
        description=manifest.description,
        schedule=None  # its group's DAG has it
        if manifest.group is not None
        else CronDataIntervalTimetable(manifest.schedule.cron, timezone=pendulum.timezone(manifest.schedule.timezone)),
        start_date=START,
        catchup=False,  # the watermark, not the calendar, says what is still owed
        max_active_runs=1,  # two runs of one job would race for one watermark
        tags=guide.tags(job),
        owner_links=guide.owner_links(job),
        doc_md=guide.dag_guide(job),
        auto_register=False,  # the DAG file takes what it wants
    )
    line: list[Step] = []
    for task_id, operator, pool in (
        ("open", Open, None),
        ("extract_and_map", Step, source_pool(job)),
        ("load", Load, target_pool(job)),
        ("reconcile", Reconcile, target_pool(job)),
        ("publish", Publish, None),
    ):
        task = operator(task_id=task_id, pool=pool, **settings(job, dag, task_id))
        if line:
            line[-1] >> task
        line.append(task)
    if job.source.parts > 1:
        helpers = ReadParts.partial(task_id="read_parts", pool=source_pool(job), **settings(job, dag, "read_parts"))
        line[0] >> helpers.expand(helper=list(range(1, job.source.parts))) >> line[2]
    # Last and by hand: DAG(params=...) validates every default anew, 1.4 ms a DAG, and copies the form to each
    # task. tests/dags validates the defaults.
    dag.params.update(run_params(job))
    dag.validate()  # type: ignore[no-untyped-call]
    return dag


def settings(job: SyncJob, dag: DAG, task_id: str) -> dict[str, Any]:
    """What all tasks of a job have in common, in its own DAG and in its group's."""
    return {
        "job": job,
        "dag": dag,
        "owner": job.manifest.owner.team,
        "priority_weight": PRIORITY[job.manifest.criticality],
        "weight_rule": "upstream",  # finish what is begun before something new begins
        "on_failure_callback": alert_task_failed,
        "doc_md": guide.TASKS[task_id],
        **SETTINGS,
    }


def build_or_explain(root: Path, job_id: str) -> DAG | ManifestInvalid:
    """The DAG of a manifest, or the report of why there is none. Never raises for what a manifest says."""
    try:
        return build_dag(load_job(root, job_id))
    except ManifestInvalid as invalid:
        return invalid
    except Exception as error:  # a mistake of ours that one manifest brought to light must not hide other jobs
        return ManifestInvalid(
            f"include/manifests/{job_id}.yaml:1:1: the manifest could not become a DAG "
            f"({type(error).__name__} at {_origin(error)}). Report it with the manifest; other jobs are not affected."
        )


def _origin(error: BaseException) -> str:
    """The module and line that raised, without the message: it may quote the file."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "an unknown place"
