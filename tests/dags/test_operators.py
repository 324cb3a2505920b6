"""Tasks call the step of their name with ids; what they hand to Airflow is ids, counts and verdicts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from airflow.sdk.exceptions import AirflowSkipException

from syncline import steps
from syncline.core.errors import SynclineError, TerminalError
from syncline.core.job import SyncJob
from syncline.core.values import BatchSummary, Counts, Mode, State, Verdict
from syncline.orchestration.assets import job_asset
from syncline.orchestration.dag_factory import build_dag
from syncline.orchestration.operators import Stopped
from syncline.steps import looking
from tests.dags.jobs import WORKER

BATCH = 42
Run = Callable[..., Any]


def summary(state: State = State.PUBLISHED) -> BatchSummary:
    counts = Counts(extracted_rows=5, rejected_rows=1, staged_rows=4, inserted_rows=1, unchanged_rows=3)
    return BatchSummary(
        WORKER, BATCH, Mode.INCREMENTAL, state, Verdict.MATCHED, counts, 2, datetime(2026, 11, 1, tzinfo=UTC)
    )


class Accessor:
    extra: dict[str, Any] = {}  # noqa: RUF012


@pytest.fixture
def context() -> dict[str, Any]:
    run = SimpleNamespace(conf={}, run_type="scheduled", run_id="r1", data_interval_start=None, data_interval_end=None)
    ti = SimpleNamespace(
        dag_id=f"sync__{WORKER}", run_id="r1",
        xcom_pull=lambda task_ids, key="return_value": {("open", "return_value"): BATCH}.get((task_ids, key)),
        get_dr_count=lambda *_args, **_kwargs: 1,
    )  # fmt: skip
    params = {"mode": "incremental", "tenants": None, "dry_run": False, "reason": None}
    return {"ti": ti, "dag_run": run, "params": params, "outlet_events": {job_asset(WORKER): Accessor()}}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Every step is replaced by one that notes how it was called."""
    made: list[tuple[Any, ...]] = []

    def note(name: str, result: Any) -> None:
        monkeypatch.setattr(steps, name, lambda *args: made.append((name, *args)) or result)

    for name in ("open_batch", "extract_and_map", "load", "reconcile"):
        note(name, BATCH)
    note("publish", summary())
    monkeypatch.setattr(steps, "covering_batch", lambda *_args: None)
    return made


@pytest.fixture
def run(job: SyncJob, context: dict[str, Any], calls: list[Any]) -> Run:
    return lambda task_id: build_dag(job).get_task(task_id).work(context)


@pytest.mark.parametrize("task_id", ["extract_and_map", "load", "reconcile", "publish"])
def test_a_task_calls_the_step_of_its_name_and_hands_the_batch_id_on(
    run: Run, calls: list[Any], job: SyncJob, task_id: str
) -> None:
    assert run(task_id) == BATCH
    assert calls == [(task_id, job, BATCH)]


def test_open_asks_for_what_the_run_says(run: Run, calls: list[Any], job: SyncJob) -> None:
    assert run("open") == BATCH
    ((name, asked_job, request),) = calls
    assert (name, asked_job.id, request.run_key, request.mode) == ("open_batch", job.id, "r1", None)


def test_the_asset_tells_ids_counts_and_verdict(run: Run, context: dict[str, Any]) -> None:
    run("publish")

    extra = context["outlet_events"][job_asset(WORKER)].extra
    assert extra == {**summary().as_dict()}
    assert extra["batch_id"] == BATCH
    assert extra["verdict"] == "matched"
    assert extra["source_as_of"] == "2026-11-01T00:00:00+00:00"


def test_a_dry_run_updates_no_asset_and_shows_neither_reconcile_nor_publish_as_green(
    run: Run, context: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    context["params"]["dry_run"] = True
    monkeypatch.setattr(steps, "publish", lambda *_args: summary(State.DRY_RUN))

    for task_id in ("reconcile", "publish"):
        with pytest.raises(AirflowSkipException, match="dry run"):
            run(task_id)
    assert context["outlet_events"][job_asset(WORKER)].extra == {}


def test_a_dry_run_tells_in_the_log_of_load_what_would_change(
    run: Run, context: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(looking, "would_change", lambda batch_id: [f"batch {batch_id}", "tenant  inserted"])
    caplog.set_level("INFO", "syncline.orchestration.operators")

    assert run("load") == BATCH
    assert caplog.messages == []
    context["params"]["dry_run"] = True
    run("load")

    assert caplog.messages == [f"batch {BATCH}", "tenant  inserted"]


def test_a_backfill_with_nothing_to_do_is_skipped_from_open_to_publish_and_names_the_batch_that_covers_it(
    run: Run, context: dict[str, Any], calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed: dict[str, Any] = {}
    context["ti"].xcom_push = lambda key, value: pushed.update({key: value})
    context["ti"].xcom_pull = lambda task_ids, key="return_value": pushed.get(key)
    monkeypatch.setattr(steps, "covering_batch", lambda *_args: 7)

    with pytest.raises(AirflowSkipException, match="batch 7 did so after"):
        run("open")
    with pytest.raises(AirflowSkipException, match="batch 7 covers"):
        run("publish")

    assert calls == []
    assert context["outlet_events"][job_asset(WORKER)].extra == {}


def test_publish_clears_up_after_a_dry_run_but_never_follows_a_failure(job: SyncJob) -> None:
    rules = {task.task_id: task.trigger_rule.value for task in build_dag(job).tasks}

    assert rules.pop("publish") == "none_failed"
    assert set(rules.values()) == {"all_success"}


def test_a_run_whose_open_was_marked_success_by_hand_says_so(run: Run, context: dict[str, Any]) -> None:
    context["ti"].xcom_pull = lambda task_ids, key="return_value": None

    with pytest.raises(TerminalError, match="marked success by hand"):
        run("load")


def test_a_drivers_text_never_leaves_a_task(
    job: SyncJob, context: dict[str, Any], calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def leak(*_args: Any) -> None:
        raise psycopg.errors.UniqueViolation("Key (email)=(ada@example.org) already exists")

    monkeypatch.setattr(steps, "load", leak)

    task = build_dag(job).get_task("load")
    with pytest.raises(SynclineError) as failed:
        type(task).execute.__wrapped__(task, context)

    assert "ada@example.org" not in str(failed.value)
    assert failed.value.__suppress_context__


def test_ending_a_task_interrupts_it_so_that_psycopg_cancels_its_statement(job: SyncJob) -> None:
    assert issubclass(Stopped, KeyboardInterrupt)  # the kind that psycopg's wait answers with a cancel
    with pytest.raises(Stopped):
        build_dag(job).get_task("load").on_kill()
