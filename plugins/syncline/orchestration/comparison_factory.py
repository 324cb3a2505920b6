"""Make the two DAGs that compare source and copy: SYNC-008 once a month, to be signed, and a light look once a day.

One task for each job, not one mapped task: a mapped task waits in one pool for all of its jobs, and the number of
connections that a source's owner allows is kept by the pool of that source. A manifest with mistakes has no task and
takes no DAG away.

A worker parses this file at every start of a task. So it builds only what that task needs: the one job that it
compares, no manifest at all for judging and signing, and all of them only to choose.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, CronTriggerTimetable, Param, TaskGroup

from syncline.core.job import SyncJob
from syncline.core.job_files import job_ids, load_job
from syncline.orchestration import guide
from syncline.orchestration.assets import COMPARISONS
from syncline.orchestration.callbacks import alert_comparison_failed, close_alerts
from syncline.orchestration.comparison_form import control_params, daily_params
from syncline.orchestration.comparison_guide import COMPARISON_TASKS, CONTROL_GUIDE, DAILY_GUIDE
from syncline.orchestration.comparison_operators import (
    CONTROL_DAG,
    CONTROL_SETTINGS,
    ONCALL,
    Choose,
    Compare,
    CompareControl,
    CompareDaily,
    Judge,
    Keep,
    Proven,
    SignOff,
)
from syncline.orchestration.pools import source_pool
from syncline.orchestration.retry import SETTINGS

DAILY_DAG = "sync_compare_daily"
GROUP = "compare"
MONTHLY = "23 7 1 * *"  # UTC: after the night's batches, and in the hours in which somebody can look at it
DAILY = "47 5 * * *"
UNSIGNED_MAX = 24  # runs that wait for their owner keep no other from starting: two years of them


@dataclass(frozen=True)
class Known:
    """What the manifests of a project say: the jobs, and the ids of those with mistakes."""

    jobs: tuple[SyncJob, ...]
    broken: tuple[str, ...] = ()

    @property
    def consumers(self) -> list[str]:
        return sorted({job.target.connection for job in self.jobs})


def known(root: Path, task_id: str | None) -> Known:
    """The manifests that a parse needs: all where Airflow scans, and for a worker's task only what it works on."""
    ids = job_ids(root)
    if task_id is not None and task_id != "choose":
        ids = [job_id for job_id in ids if task_id == f"{GROUP}.{job_id}"]
    jobs, broken = [], []
    for job_id in ids:
        try:
            jobs.append(load_job(root, job_id))
        except Exception:  # whatever a manifest does to us: broken_manifests.py tells, other jobs are not affected
            broken.append(job_id)
    return Known(tuple(jobs), tuple(broken))


def build_control_dag(found: Known) -> DAG:
    """choose >> compare >> judge >> sign_off >> keep >> proven."""
    oncall = os.environ.get(ONCALL) or ""
    dag = _dag(
        CONTROL_DAG,
        description="SYNC-008: the hub and its most critical consumers, record by record, judged and signed",
        schedule=CronTriggerTimetable(MONTHLY, timezone="UTC"),
        max_active_runs=UNSIGNED_MAX,
        tags=["syncline", "comparison", "control:SYNC-008"],
        owner_links=_owner_links(found) | ({CONTROL_SETTINGS["owner"]: f"mailto:{oncall}"} if "@" in oncall else {}),
        doc_md=CONTROL_GUIDE,
    )
    common = {"dag": dag, **CONTROL_SETTINGS}
    choose = Choose(task_id="choose", jobs=found.jobs, broken=found.broken, doc_md=COMPARISON_TASKS["choose"], **common)
    judge = Judge(task_id="judge", doc_md=COMPARISON_TASKS["judge"], **common)
    sign_off = SignOff(task_id="sign_off", doc_md=COMPARISON_TASKS["sign_off"], **common)
    keep = Keep(task_id="keep", doc_md=COMPARISON_TASKS["keep"], **common)
    proven = Proven(task_id="proven", doc_md=COMPARISON_TASKS["proven"], **common)
    choose >> _compare(CompareControl, found, dag) >> judge >> sign_off >> keep >> proven
    choose >> judge  # also where no manifest can be compared
    [choose, judge] >> proven
    return _finished(dag, control_params(_ids(found), found.consumers), common)


def build_daily_dag(found: Known) -> DAG:
    """choose >> compare."""
    dag = _dag(
        DAILY_DAG,
        description="Every job's source and copy, by counts and checksums",
        schedule=CronTriggerTimetable(DAILY, timezone="UTC"),
        max_active_runs=1,
        tags=["syncline", "comparison"],
        owner_links=_owner_links(found),
        doc_md=DAILY_GUIDE,
    )
    common = {"dag": dag, **CONTROL_SETTINGS, "owner": "syncline"}
    choose = Choose(
        task_id="choose",
        jobs=found.jobs,
        broken=found.broken,
        doc_md=COMPARISON_TASKS["choose"],
        on_success_callback=partial(close_alerts, DAILY_DAG),  # the other tasks speak for their jobs
        **common,
    )
    choose >> _compare(CompareDaily, found, dag)
    return _finished(dag, daily_params(_ids(found)), common)


def _dag(dag_id: str, **said: Any) -> DAG:
    return DAG(
        dag_id,
        start_date=None,  # with one, the first run would be due as soon as the DAG is switched on
        catchup=False,  # a comparison is of now: there is nothing to make up for
        auto_register=False,  # the DAG file takes what it wants
        **said,
    )


def _compare(kind: type[Compare], found: Known, dag: DAG) -> TaskGroup:
    """One task for each job, in the pool of its source and behind the batches that wait there."""
    group = TaskGroup(GROUP, dag=dag, tooltip="One task for each job")
    for job in found.jobs:
        kind(
            task_id=job.id,
            task_group=group,
            dag=dag,
            job=job,
            owner=job.manifest.owner.team,
            pool=source_pool(job),
            priority_weight=0,
            weight_rule="absolute",
            on_failure_callback=alert_comparison_failed,
            doc_md=COMPARISON_TASKS["compare"],
            **SETTINGS,
        )
    return group


def _finished(dag: DAG, form: dict[str, Param], common: dict[str, Any]) -> DAG:
    """Tell the asset when all comparisons are done, and add the form.

    As a teardown `tell` runs after failures too, and is not asked whether the run succeeded.
    """
    tell = EmptyOperator(task_id="tell", outlets=[COMPARISONS], doc_md=COMPARISON_TASKS["tell"], **common)
    upstream = [task for task in dag.tasks if isinstance(task, Compare)]
    upstream >> tell.as_teardown()
    dag.params.update(form)  # last, as in dag_factory.py
    dag.validate()  # type: ignore[no-untyped-call]
    return dag


def _ids(found: Known) -> list[str]:
    return sorted([*(job.id for job in found.jobs), *found.broken])


def _owner_links(found: Known) -> dict[str, str]:
    links: dict[str, str] = {}
    for job in found.jobs:
        links |= guide.owner_links(job)
    return links
