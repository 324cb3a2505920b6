"""The form of a run: what its schema refuses, and what becomes of what it accepts."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import ParamValidationError

from syncline.core.job import SyncJob
from syncline.core.values import Mode, RunRequest
from syncline.orchestration.dag_factory import build_dag
from syncline.orchestration.params import RunRefused, run_request
from tests.dags.conftest import MakeJob
from tests.dags.jobs import NO_CURSOR

BEGIN, END = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)
SCHEDULED = {"run_type": "scheduled", "run_id": "scheduled__1", "data_interval_start": BEGIN, "data_interval_end": END}
BACKFILL = {**SCHEDULED, "run_type": "backfill", "run_id": "backfill__1"}
MANUAL = {**SCHEDULED, "run_type": "manual", "run_id": "manual__1"}
NO_LOGICAL_DATE = {**MANUAL, "data_interval_start": None, "data_interval_end": None}


def accepted(job: SyncJob, conf: dict[str, Any]) -> dict[str, Any]:
    """The params of a run as the API server makes them: defaults, overridden by conf, validated."""
    from airflow.serialization.serialized_objects import DagSerialization

    dag = DagSerialization.from_dict(DagSerialization.to_dict(build_dag(job)))
    return dict(dag.params.deep_merge(conf).validate())


def asks(job: SyncJob, run: dict[str, Any], **conf: Any) -> RunRequest:
    return run_request(job, {"params": accepted(job, conf), "dag_run": SimpleNamespace(conf=conf, **run)})


@pytest.mark.parametrize(
    "conf",
    [
        {"mode": "sideways"},
        {"mode": None},
        {"tenants": "t0001"},
        {"tenants": []},  # a script's empty list must not mean every tenant
        {"tenants": [""]},
        {"tenants": ["a b"]},
        {"tenants": ["'; drop table x"]},
        {"tenants": ["t1", "t1"]},
        {"tenants": [7]},
        {"tenants": ["t" * 64]},
        {"dry_run": "yes"},
        {"dry_run": None},
        {"reason": "x" * 501},
        {"reason": 7},
        {"window_from": "yesterday"},
        {"window_from": "2026-11-01"},
        {"window_from": "2026-11-01T00:00:00"},  # which time zone?
    ],
    ids=str,
)
def test_a_run_that_its_schema_does_not_allow_is_not_created(job: SyncJob, conf: dict[str, Any]) -> None:
    with pytest.raises((ParamValidationError, ValueError), match="Invalid input for param"):
        accepted(job, conf)


def test_a_scheduled_run_leaves_the_mode_to_the_job(job: SyncJob) -> None:
    assert asks(job, SCHEDULED) == RunRequest(run_key="scheduled__1")


def test_a_run_by_hand_carries_what_the_form_says(job: SyncJob) -> None:
    assert asks(job, MANUAL, mode="full", tenants=["t1", "t2"], reason=" INC-1 ", dry_run=True) == RunRequest(
        run_key="manual__1", mode=Mode.FULL, tenants=("t1", "t2"), reason="INC-1", dry_run=True
    )


def test_a_backfill_reads_its_own_interval(job: SyncJob) -> None:
    assert asks(job, BACKFILL) == RunRequest(
        run_key="backfill__1", mode=Mode.WINDOW, window=(BEGIN, END), is_backfill=True
    )


def test_a_backfill_of_a_source_that_says_no_changes_reads_everything(make_job: MakeJob) -> None:
    job = make_job(**NO_CURSOR)

    assert asks(job, BACKFILL) == RunRequest(run_key="backfill__1", window=(BEGIN, END), is_backfill=True)


@pytest.mark.parametrize("mode", ["full", "window"])
def test_an_unusual_run_by_hand_needs_a_reason(job: SyncJob, mode: str) -> None:
    with pytest.raises(RunRefused, match="needs a reason"):
        asks(job, MANUAL, mode=mode, reason="  ")

    assert asks(job, MANUAL, mode=mode, reason="INC-1").reason == "INC-1"
    assert asks(job, MANUAL, mode=mode, dry_run=True).dry_run
    assert asks(job, {**MANUAL, "run_type": "operator_triggered"}, mode=mode).mode == mode
    assert asks(job, BACKFILL, mode=mode).is_backfill


def test_a_usual_run_by_hand_needs_none(job: SyncJob, make_job: MakeJob) -> None:
    assert asks(job, MANUAL).reason == ""
    assert asks(make_job(**NO_CURSOR), MANUAL).reason == ""


def test_a_window_is_given_or_is_the_runs_data_interval(job: SyncJob) -> None:
    given = asks(
        job, MANUAL, mode="window", reason="x", window_from="2026-10-01T00:00:00+02:00", window_to="2026-10-02T00:00Z"
    )

    assert given.window == (datetime(2026, 9, 30, 22, tzinfo=UTC), datetime(2026, 10, 2, tzinfo=UTC))
    assert asks(job, MANUAL, mode="window", reason="x").window == (BEGIN, END)


@pytest.mark.parametrize(
    ("conf", "said"),
    [
        ({"mode": "window", "window_from": "2026-10-02T00:00Z"}, "both window_from and window_to"),
        ({"mode": "window", "window_from": "2026-10-02T00:00Z", "window_to": "2026-10-02T00:00Z"}, "must be before"),
        ({"mode": "window", "window_from": "2026-13-02T00:00Z", "window_to": "2026-10-02T00:00Z"}, "no moment"),
        ({"mode": "window"}, "triggered without a logical date"),
        ({"mode": "full", "window_from": "2026-10-02T00:00Z"}, "belong to mode 'window'"),
        ({"tenant": ["t1"]}, "unknown key 'tenant', did you mean 'tenants'"),
        ({"modus": "full"}, "unknown key 'modus'"),
    ],
    ids=str,
)
def test_what_makes_no_sense_together_is_refused_before_anything_is_opened(
    job: SyncJob, conf: dict[str, Any], said: str
) -> None:
    with pytest.raises(RunRefused, match=said) as refused:
        asks(job, NO_LOGICAL_DATE, reason="x", **conf)

    assert "Nothing was opened" in str(refused.value)


def test_the_form_offers_only_what_the_job_can_do(make_job: MakeJob) -> None:
    whole = build_dag(make_job(target__write="replace")).params

    assert whole.get_param("mode").schema["enum"] == ["full"]
    # some tenants only: replacing would drop the others
    assert set(whole) == {"mode", "dry_run", "accept_source", "reason", "despite_windows"}
    assert set(build_dag(make_job()).params) == {*whole, "tenants", "window_from", "window_to"}
    assert "despite_windows" not in build_dag(make_job(schedule__avoid=None)).params


def test_a_run_in_closed_hours_needs_a_reason(job: SyncJob) -> None:
    with pytest.raises(RunRefused, match="needs a reason"):
        asks(job, SCHEDULED, despite_windows=True)
    assert asks(job, SCHEDULED, despite_windows=True, reason="payroll's night run is off, OPS-1").reason.endswith(
        "OPS-1"
    )


def test_every_field_is_explained_and_stands_in_a_section(job: SyncJob) -> None:
    for name, param in build_dag(job).params.items():
        assert param.schema["title"], name
        assert param.schema["description_md"], name
        assert param.schema["section"], name
    mode = build_dag(job).params.get_param("mode").schema
    assert mode["values_display"].keys() == set(mode["enum"])


def test_the_form_says_before_the_click_what_a_backfill_will_read(job: SyncJob, make_job: MakeJob) -> None:
    said = build_dag(job).params.get_param("mode").schema["description_md"]
    assert "reads the interval of each of its runs in mode window" in said

    for bent in (NO_CURSOR, {"target__write": "replace"}):
        dag = build_dag(make_job(**bent))
        assert "runs are skipped" in dag.params.get_param("mode").schema["description_md"]
        assert "this job can read nothing less" in dag.doc_md
    assert "for the real one choose to reprocess" in dag.params.get_param("dry_run").schema["description_md"]


def test_deletions_are_approved_by_the_number_of_the_batch_that_was_held(make_job: MakeJob) -> None:
    deleting = make_job(source__deleted="is_deleted", target__on_delete="hard")

    assert "approve_deletes" in build_dag(deleting).params
    assert asks(deleting, NO_LOGICAL_DATE, reason="x", approve_deletes=41).approve_deletes == 41
    assert asks(deleting, NO_LOGICAL_DATE, reason="x").approve_deletes is None


def test_another_source_is_accepted_by_a_full_run(job: SyncJob) -> None:
    asked = asks(job, NO_LOGICAL_DATE, reason="failover", mode="full", accept_source=True)

    assert (asked.accept_source, asked.mode) == (True, Mode.FULL)
