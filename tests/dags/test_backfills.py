"""Backfilled runs through the DAG's own tasks and real databases, one after the other; tests/demo has the scheduler."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from airflow.sdk.exceptions import AirflowSkipException

from syncline.orchestration.assets import job_asset
from syncline.orchestration.dag_factory import build_dag
from tests.dags.test_run_params import accepted
from tests.integration.conftest import JOB, Lab, lab, world_uris
from tests.integration.faults import person

__all__ = ["lab", "world_uris"]  # fixtures
DAY = timedelta(days=1)
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def run(lab: Lab, run_id: str, begin: datetime, *, run_type: str = "backfill", **conf: Any) -> dict[str, str]:
    """Each task in turn as a worker would run it; how each ended."""
    dag, ended, handed = build_dag(lab.job), {}, {}
    ti = SimpleNamespace(
        dag_id=dag.dag_id, run_id=run_id, get_dr_count=lambda *_args, **_kwargs: 1,
        xcom_pull=lambda task_ids, key="return_value": handed.get((task_ids, key)),
        xcom_push=lambda key, value: handed.update({("open", key): value}),
    )  # fmt: skip
    interval = {"data_interval_start": begin, "data_interval_end": begin + DAY}
    context = {
        "ti": ti,
        "dag_run": SimpleNamespace(conf=conf, run_type=run_type, run_id=run_id, run_after=begin + DAY, **interval),
        "params": accepted(lab.job, conf),
        "outlet_events": {job_asset(JOB): SimpleNamespace(extra={})},
    }
    for task in dag.tasks:
        before = {ended[name] for name in task.upstream_task_ids}
        if "skipped" in before and task.trigger_rule.value == "all_success":
            ended[task.task_id] = "skipped"
            continue
        try:
            handed[task.task_id, "return_value"] = task.work(context)  # type: ignore[attr-defined]
            ended[task.task_id] = "success"
        except AirflowSkipException:
            ended[task.task_id] = "skipped"
    return ended


def test_days_backwards_twice_over_the_nights_own_run_and_dry(lab: Lab) -> None:
    lab.hub(*(person(f"p{n}", at=f"2026-01-0{n + 1} 12:00Z") for n in range(3)))
    assert {*run(lab, "scheduled__1", FIRST + 5 * DAY, run_type="scheduled").values()} == {"success"}
    mark = lab.ledger("select * from ledger.watermark")
    rows = "select xmin::text, ctid::text, * from lab.person order by person_no"
    there = lab.sql("payroll", rows)
    lab.hub(*(person(f"new{n}") for n in range(9)))

    for run_id, day in [("backfill__3", 2), ("backfill__2", 1), ("backfill__3", 2), ("scheduled__1", 0)]:
        assert {*run(lab, run_id, FIRST + day * DAY).values()} == {"success"}
    dry = run(lab, "backfill__2", FIRST + DAY, dry_run=True)

    assert list(dry.values()) == ["success", "success", "success", "skipped", "skipped"]
    assert lab.sql("payroll", rows) == there
    assert lab.ledger("select * from ledger.watermark") == mark
    counted = lab.ledger("select mode, state, extracted_rows, unchanged_rows from ledger.batch order by batch_id")
    assert [tuple(row.values()) for row in counted] == [
        ("full", "published", 3, 0),
        *[("window", "published", 1, 1)] * 4,
        ("window", "dry_run", 1, 1),
    ]


def test_days_of_a_job_that_reads_everything_are_read_once(lab: Lab) -> None:
    del lab.manifest["source"]["cursor"], lab.manifest["target"]["version"]
    lab.hub(person("p1"))

    assert {*run(lab, "backfill__1", FIRST).values()} == {"success"}
    assert {*run(lab, "backfill__2", FIRST + DAY).values()} == {"skipped"}
    assert lab.ledger("select count(*) as n from ledger.batch") == [{"n": 1}]
