"""Policies for every DAG of the project's own manifests. A message says what its author should add, and where."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from syncline.core.job_files import job_ids
from syncline.orchestration.pools import pools
from tests.conftest import ROOT
from tests.dags.jobs import bag

LINE = ["open", "extract_and_map", "load", "reconcile", "publish"]


@pytest.fixture(scope="module", autouse=True)
def _the_project_itself() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNCLINE_HOME", str(ROOT))
        yield


@pytest.fixture(scope="module")
def dags() -> dict[str, Any]:
    found = bag("sync_jobs.py")
    assert not found.import_errors, f"dags/sync_jobs.py does not import: {found.import_errors}"
    return dict(found.dags)


each_job = pytest.mark.parametrize("job_id", job_ids(ROOT))


@pytest.fixture
def dag(dags: dict[str, Any], job_id: str) -> Any:
    name = f"sync__{job_id}"
    assert name in dags, f"{name} is missing: run `syncline check`, its manifest has mistakes"
    return dags[name]


def test_the_project_has_manifests() -> None:
    assert job_ids(ROOT), "include/manifests is empty: there is nothing to sync"


def test_no_manifest_is_broken() -> None:
    found = bag("broken_manifests.py")

    assert not found.import_errors, f"run `syncline check`: {found.import_errors}"
    assert not found.dags, "broken_manifests.py must hold no DAG: its import errors would hide them"


@each_job
def test_the_tasks_stand_in_one_line(dag: Any) -> None:
    tasks = list(dag.topological_sort())

    assert [task.task_id for task in tasks] == LINE
    assert all(len(task.upstream_task_ids) <= 1 for task in tasks), f"{dag.dag_id}: the line must not fork"


@each_job
def test_somebody_owns_it_and_can_be_reached(dag: Any) -> None:
    for task in dag.tasks:
        assert task.owner != "airflow", f"{dag.dag_id}: name an owner in its manifest; on-call needs a person to call"
    assert dag.owner_links, f"{dag.dag_id}: owner.oncall must be an address; the UI's owner link writes to it"


@each_job
def test_tags_say_domain_criticality_and_both_systems(dag: Any) -> None:
    for kind in ("domain:", "criticality:", "source:", "target:"):
        assert any(tag.startswith(kind) for tag in dag.tags), f"{dag.dag_id}: no tag {kind}...; operators filter by it"


@each_job
def test_an_operator_finds_a_guide_at_the_dag_and_at_every_task(dag: Any) -> None:
    for heading in ("story of a batch", "When something is red", "Backfill", "On call"):
        assert heading in dag.doc_md, f"{dag.dag_id}: doc_md says nothing about '{heading}'"
    for task in dag.tasks:
        assert "*Red" in task.doc_md, f"{dag.dag_id}.{task.task_id}: doc_md must say what to do when it is red"


@each_job
def test_every_pool_that_a_task_waits_in_will_exist(dag: Any) -> None:
    made = {*pools(ROOT), "default_pool"}
    for task in dag.tasks:
        assert task.pool in made, (
            f"{dag.dag_id}.{task.task_id}: pool '{task.pool}' is made by nobody; the task would never start"
        )


@each_job
def test_two_runs_never_race_for_one_watermark(dag: Any) -> None:
    assert dag.max_active_runs == 1, f"{dag.dag_id}: two runs of one job would race for one watermark"
    assert not dag.catchup, f"{dag.dag_id}: the watermark, not the calendar, says what is still owed"
    assert dag.get_task("open").max_active_tis_per_dag == 1, (
        f"{dag.dag_id}: two runs must not look for their turn at once"
    )


@each_job
def test_a_failed_task_is_retried_three_times_and_then_told_to_a_person(dag: Any) -> None:
    for task in dag.tasks:
        assert task.retries == 3, f"{dag.dag_id}.{task.task_id}: SYNC-007 wants three retries"
        assert task.retry_policy is not None, f"{dag.dag_id}.{task.task_id}: TerminalError must fail at once"
        assert task.on_failure_callback, f"{dag.dag_id}.{task.task_id}: nobody is told when it fails"


@each_job
def test_a_run_has_a_real_data_interval(dag: Any) -> None:
    assert type(dag.timetable).__name__ == "CronDataIntervalTimetable", (
        f"{dag.dag_id}: a cron string gives intervals of zero length, a backfill would read nothing"
    )


@each_job
def test_the_defaults_of_the_form_pass_their_own_schema(dag: Any) -> None:
    dag.params.validate()  # build_dag leaves it out: 1.4 ms a DAG at every parse


@each_job
def test_nothing_in_a_manifest_is_a_template(dag: Any) -> None:
    for task in dag.tasks:
        assert not task.template_fields, f"{dag.dag_id}.{task.task_id}: Jinja in a manifest would be rendered"


@each_job
def test_only_publish_updates_the_asset(dag: Any) -> None:
    outlets = {task.task_id: [asset.name for asset in task.outlets] for task in dag.tasks if task.outlets}

    assert outlets == {"publish": [dag.dag_id.replace("sync__", "sync://", 1)]}


@each_job
def test_parsing_twice_makes_no_new_dag_version(dag: Any) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    again = bag("sync_jobs.py").dags[dag.dag_id]

    assert DagSerialization.to_dict(again) == DagSerialization.to_dict(dag)


def test_every_runbook_that_a_guide_names_exists(dags: dict[str, Any]) -> None:
    texts = [text for dag in dags.values() for text in (dag.doc_md, *(task.doc_md for task in dag.tasks))]
    named = {name for text in texts for name in re.findall(r"docs/runbooks/[a-z-]+\.md", text)}

    assert named, "no guide names a runbook"
    for name in sorted(named):
        assert (ROOT / name).is_file(), f"write {name}: a DAG's guide sends an operator there at 3 a.m."
