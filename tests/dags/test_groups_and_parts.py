"""Parts of a large batch are tasks of their own; a group of manifests is one DAG."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRescheduleException

from syncline import steps
from syncline.core.errors import TerminalError
from syncline.core.groups import Group, load_group
from syncline.core.job import SyncJob
from syncline.core.values import Mode
from syncline.orchestration.assets import job_asset
from syncline.orchestration.callbacks import _batch_id
from syncline.orchestration.dag_factory import build_dag
from syncline.orchestration.group_factory import build_group_dag
from syncline.orchestration.operators import ReadParts
from syncline.orchestration.params import RunRefused, group_request
from syncline.steps import parts
from tests.dags.conftest import MakeJob
from tests.dags.jobs import CLIENT, WORKER, bag

IDS = {CLIENT: 8, WORKER: 7}


def context(**states: str) -> dict[str, Any]:
    ti = SimpleNamespace(
        dag_id="d", run_id="r1",
        xcom_pull=lambda task_ids: 42,
        get_task_states=lambda *_args, **_kwargs: {"r1": states},
    )  # fmt: skip
    return {"ti": ti, "params": {}}


# -- parts -----------------------------------------------------------------------------------------------------


@pytest.fixture
def helper(make_job: MakeJob) -> ReadParts:
    return ReadParts(task_id="read_parts", job=make_job(source__parts=4), helper=1)


def test_a_job_of_several_parts_has_as_many_readers(make_job: MakeJob) -> None:
    dag = build_dag(make_job(source__parts=4))

    helpers = dag.get_task("read_parts")

    assert helpers.is_mapped
    assert (helpers.upstream_task_ids, helpers.downstream_task_ids) == ({"open"}, {"load"})
    assert helpers.expand_input.value == {"helper": [1, 2, 3]}  # extract_and_map is the fourth
    assert helpers.pool == "source_mdm"


def test_a_job_of_one_part_has_no_readers(job: SyncJob) -> None:
    assert not build_dag(job).has_task("read_parts")


def test_a_reader_comes_back_while_there_is_no_snapshot_and_holds_no_slot(
    helper: ReadParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "is_waiting_for_parts", lambda *_: True)

    with pytest.raises(AirflowRescheduleException):
        helper.work(context(extract_and_map="running"))


@pytest.mark.parametrize("ended", ["failed", "success", "upstream_failed"])
def test_a_reader_does_not_wait_for_a_task_that_has_ended(
    helper: ReadParts, monkeypatch: pytest.MonkeyPatch, ended: str
) -> None:
    monkeypatch.setattr(parts, "is_waiting_for_parts", lambda *_: True)
    monkeypatch.setattr(parts, "extract_parts", lambda *_: 0)

    assert helper.work(context(extract_and_map=ended)) == 42


def test_a_reader_stages_what_is_free(helper: ReadParts, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(parts, "is_waiting_for_parts", lambda *_: False)
    monkeypatch.setattr(parts, "extract_parts", lambda job, batch_id: asked.append((job.id, batch_id)))

    helper.work(context(extract_and_map="running"))

    assert asked == [(WORKER, 42)]


# -- groups ----------------------------------------------------------------------------------------------------


@pytest.fixture
def group(home: Path, make_job: MakeJob) -> Group:
    schedule = {"cron": "0 2 * * *", "timezone": "UTC"}
    make_job(WORKER, group="cut_off", schedule=schedule)
    make_job(CLIENT, group="cut_off", schedule=schedule)
    return load_group(home, "cut_off")


def test_a_group_is_one_dag_that_reads_all_members_at_once_and_publishes_them_at_once(group: Group) -> None:
    dag = build_group_dag(group)

    lines = {task.task_id: set(task.downstream_task_ids) for task in dag.tasks}

    assert lines == {
        "open": {"extract_and_map"},
        "extract_and_map": {f"load__{CLIENT}", f"load__{WORKER}"},
        f"load__{CLIENT}": {f"reconcile__{CLIENT}"},
        f"load__{WORKER}": {f"reconcile__{WORKER}"},
        f"reconcile__{CLIENT}": {"publish"},
        f"reconcile__{WORKER}": {"publish"},
        "publish": set(),
    }
    assert dag.get_task("publish").trigger_rule == "all_done"
    assert dag.get_task("publish").outlets == [job_asset(CLIENT), job_asset(WORKER)]


def test_the_dag_of_a_member_has_no_schedule_of_its_own(group: Group) -> None:
    from airflow.sdk.definitions.timetables.simple import NullTimetable

    assert {type(build_dag(job).timetable) for job in group.jobs} == {NullTimetable}


def test_the_dag_file_shows_the_group_beside_its_members(group: Group) -> None:
    assert bag("sync_groups.py").dag_ids == ["sync_group__cut_off"]
    assert sorted(bag("sync_jobs.py").dag_ids) == [f"sync__{CLIENT}", f"sync__{WORKER}"]


def test_a_group_with_a_broken_member_has_no_dag_and_hides_no_other(home: Path, group: Group) -> None:
    manifest = home / "include" / "manifests" / f"{CLIENT}.yaml"
    manifest.write_text(manifest.read_text().replace("criticality", "criticalty"))

    assert bag("sync_groups.py").dag_ids == []
    assert bag("sync_groups.py").import_errors == {}


@pytest.mark.parametrize("step", ["load", "reconcile"])
def test_a_members_task_works_on_its_own_batch(group: Group, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(steps, step, lambda job, batch_id: asked.append((job.id, batch_id)) or batch_id)
    handed = {"ti": SimpleNamespace(xcom_pull=lambda task_ids: IDS), "params": {}}

    build_group_dag(group).get_task(f"{step}__{WORKER}").work(handed)

    assert asked == [(WORKER, 7)]


def test_a_group_whose_open_failed_is_not_published_and_does_not_look_green(group: Group) -> None:
    handed = {"ti": SimpleNamespace(xcom_pull=lambda task_ids: None), "params": {}}

    with pytest.raises(TerminalError, match="handed on no batch ids"):
        build_group_dag(group).get_task("publish").work(handed)


def test_a_group_can_be_asked_for_everything_and_for_approvals_with_a_reason(group: Group) -> None:
    run = SimpleNamespace(run_id="r1", conf={"mode": "full"})
    usual = {"mode": "as usual", "reason": None, "accept_source": False}

    assert set(build_group_dag(group).params) >= {"mode", "accept_source", "reason"}
    assert group_request(group, {"params": usual, "dag_run": SimpleNamespace(run_id="r1", conf={})}).mode is None
    asked = group_request(group, {"params": usual | {"mode": "full", "reason": "x"}, "dag_run": run})
    assert asked.mode is Mode.FULL
    for special in ({"mode": "full"}, {"accept_source": True}, {"approve_deletes": 3}, {"despite_windows": True}):
        with pytest.raises(RunRefused, match="needs a reason"):
            group_request(group, {"params": usual | special, "dag_run": run})
    with pytest.raises(RunRefused, match="unknown key 'modus'"):
        group_request(group, {"params": usual, "dag_run": SimpleNamespace(run_id="r1", conf={"modus": "full"})})


def test_the_alert_of_a_members_task_names_the_members_batch(group: Group) -> None:
    task = build_group_dag(group).get_task(f"load__{WORKER}")

    assert _batch_id({"ti": SimpleNamespace(xcom_pull=lambda task_ids: IDS), "task": task}) == 7
