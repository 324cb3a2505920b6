"""Turn a group of manifests into one DAG: open >> extract_and_map >> (load >> reconcile) per member >> publish.

The members' own DAGs have no schedule: alone they may only be counted (`steps.open_batch` refuses the rest).
"""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import DAG, CronDataIntervalTimetable

from syncline.core.errors import TerminalError
from syncline.core.groups import Group
from syncline.orchestration import guide
from syncline.orchestration.assets import job_asset
from syncline.orchestration.dag_factory import START, settings
from syncline.orchestration.operators import Step
from syncline.orchestration.params import group_params, group_request
from syncline.orchestration.pools import source_pool, target_pool
from syncline.orchestration.turns import wait_for_turn
from syncline.orchestration.windows import wait_for_window

PREFIX = "sync_group__"


def group_dag_id(name: str) -> str:
    return f"{PREFIX}{name}"


class GroupStep(Step):
    """One step of a whole group, by the batch ids that `open` has handed on."""

    def __init__(self, *, group: Group, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.group = group

    def wait_for_windows(self, step: str, context: Any) -> None:
        """A step of all members begins when all their systems may be used."""
        for job in self.group.jobs:
            wait_for_window(job, step, context)

    def batch_ids(self, context: Any) -> dict[str, int]:
        ids: dict[str, int] | None = context["ti"].xcom_pull(task_ids="open")
        if ids is None:
            raise TerminalError(
                f"group {self.group.name}: task 'open' handed on no batch ids. Nothing was done. Clear the run from "
                f"`open`: it opens batches of its own."
            )
        return ids


class OpenGroup(GroupStep):
    """Opens a batch of each member, once no other run of the group is under way."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_active_tis_per_dag=1, **kwargs)

    def work(self, context: Any) -> Any:
        from syncline import steps

        self.wait_for_windows("open", context)
        wait_for_turn(context["ti"], first=self.task_id, last="publish")
        return steps.open_group(self.group, group_request(self.group, context))


class ExtractGroup(GroupStep):
    """Reads all members at one moment."""

    def work(self, context: Any) -> Any:
        from syncline import steps

        self.wait_for_windows("extract_and_map", context)
        ids = self.batch_ids(context)
        steps.extract_group(self.group, ids)
        return ids


class MemberStep(GroupStep):
    """One step of one member."""

    def __init__(self, *, step: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.step = step

    def work(self, context: Any) -> int:
        from syncline import steps

        wait_for_window(self.job, self.step, context)
        batch_id: int = getattr(steps, self.step)(self.job, self.batch_ids(context)[self.job.id])
        return batch_id


class PublishGroup(GroupStep):
    """Publishes all members, or holds all; it runs after a failure too, so that none is left open."""

    def __init__(self, *, group: Group, **kwargs: Any) -> None:
        outlets = [job_asset(job.id) for job in group.jobs]
        super().__init__(group=group, outlets=outlets, trigger_rule="all_done", **kwargs)

    def work(self, context: Any) -> Any:
        from syncline import steps

        ids = self.batch_ids(context)
        for summary in steps.publish_group(self.group, ids):
            context["outlet_events"][job_asset(summary.job_id)].extra = summary.as_dict()
        return ids


def build_group_dag(group: Group) -> DAG:
    """Turn a group into one DAG. The first member's manifest says when it runs, as all of them do."""
    first = group.jobs[0]
    schedule = first.manifest.schedule
    dag = DAG(
        group_dag_id(group.name),
        description=f"Group {group.name}: {len(group.jobs)} jobs, read at one moment and published together",
        schedule=CronDataIntervalTimetable(schedule.cron, timezone=pendulum.timezone(schedule.timezone)),
        start_date=START,
        catchup=False,
        max_active_runs=1,
        tags=["group", *guide.tags(first)],
        owner_links=guide.owner_links(first),
        doc_md=guide.group_guide(group),
        auto_register=False,
    )
    opened = OpenGroup(task_id="open", group=group, **settings(first, dag, "open"))
    extracted = ExtractGroup(
        task_id="extract_and_map", group=group, pool=source_pool(first), **settings(first, dag, "extract_and_map")
    )
    published = PublishGroup(task_id="publish", group=group, **settings(first, dag, "publish"))
    opened >> extracted
    for job in group.jobs:
        loaded, reconciled = (
            MemberStep(
                task_id=f"{step}__{job.id}", step=step, group=group, pool=target_pool(job), **settings(job, dag, step)
            )
            for step in ("load", "reconcile")
        )
        extracted >> loaded >> reconciled >> published
    dag.params.update(group_params(group))
    dag.validate()  # type: ignore[no-untyped-call]
    return dag
