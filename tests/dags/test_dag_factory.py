"""One manifest, one DAG: what the manifest says is what Airflow does."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from syncline.core.errors import ManifestInvalid
from syncline.core.job import SyncJob
from syncline.orchestration import dag_factory
from syncline.orchestration.dag_factory import build_dag, build_or_explain
from tests.dags.conftest import MakeJob
from tests.dags.jobs import CLIENT, WORKER


def test_the_schedule_follows_the_clock_of_the_manifests_time_zone(job: SyncJob) -> None:
    from airflow.serialization.encoders import coerce_to_core_timetable

    timetable = coerce_to_core_timetable(build_dag(job).timetable)

    winter = timetable.infer_manual_data_interval(run_after=datetime(2026, 1, 15, 12, tzinfo=UTC))
    summer = timetable.infer_manual_data_interval(run_after=datetime(2026, 7, 15, 12, tzinfo=UTC))

    assert winter.start == datetime(2026, 1, 14, 4, 15, tzinfo=UTC)
    assert winter.end == datetime(2026, 1, 15, 4, 15, tzinfo=UTC)
    assert summer.end == datetime(2026, 7, 15, 3, 15, tzinfo=UTC)  # 04:15 in London is 03:15 UTC in summer


def test_a_task_waits_in_the_pool_of_the_system_that_it_burdens(job: SyncJob) -> None:
    assert {task.task_id: task.pool for task in build_dag(job).tasks} == {
        "open": "default_pool",
        "extract_and_map": "source_mdm",
        "load": "target_payroll",
        "reconcile": "target_payroll",
        "publish": "default_pool",
    }


def test_critical_jobs_get_a_free_slot_first_and_begun_batches_before_new_ones(make_job: MakeJob) -> None:
    critical, low = build_dag(make_job()), build_dag(make_job(CLIENT, criticality="low"))

    assert critical.get_task("open").priority_weight > 4 * low.get_task("publish").priority_weight
    assert {task.weight_rule for task in critical.tasks} == {"upstream"}


def test_the_guide_names_owner_promises_and_place(job: SyncJob) -> None:
    guide = build_dag(job).doc_md

    for said in ("payroll-integration", "oncall@example.org", "99 % within 6 h", "`page`", "0.100%", "5.000%",
                 f"include/manifests/{WORKER}.yaml", "not within 02:00-02:40", "hr.employee"):  # fmt: skip
        assert said in guide, said


def test_a_job_without_tenants_says_why(make_job: MakeJob) -> None:
    job = make_job(tenancy={"none": "countries belong to nobody"}, source__tenant=None)

    assert "none: countries belong to nobody" in build_dag(job).doc_md


def test_an_unexpected_failure_of_one_manifest_is_explained_not_raised(
    job: SyncJob, home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(_job: SyncJob) -> None:
        raise RuntimeError("secret of the file")

    monkeypatch.setattr(dag_factory, "build_dag", explode)

    explained = build_or_explain(home, WORKER)

    assert isinstance(explained, ManifestInvalid)
    assert f"include/manifests/{WORKER}.yaml:1:1" in str(explained)
    assert "RuntimeError at test_dag_factory.py" in str(explained)
    assert "secret" not in str(explained)
