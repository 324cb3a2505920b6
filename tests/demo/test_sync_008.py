"""SYNC-008 under a real Airflow: compared, judged, signed through the API by the owner, and red where copies differ."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from demo.airflow import USER, DagRun
from demo.problems import DemoError
from tests.demo.house import DAG, JOB, House, living
from tests.integration.faults import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

CONTROL, DAILY = "sync_008", "sync_compare_daily"
ONLY_THIS = {"jobs": [JOB]}


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNCLINE_SYNC_008_OWNER", USER)
        patch.setenv("SYNCLINE_DESPITE_WINDOWS", "1")
        with living("s8", "sync_jobs.py", "comparisons.py") as made:
            made.await_first_run(DAG)
            for dag in (CONTROL, DAILY):
                made.airflow.api.set_paused(dag, False)
            yield made


def waiting_for_its_owner(house: House, conf: dict[str, Any]) -> DagRun:
    run = house.airflow.api.trigger(CONTROL, conf)
    await_sign_off(house, run)
    return run


def await_sign_off(house: House, run: DagRun) -> None:
    def is_asked() -> bool:
        time.sleep(0.5)  # each look costs the API server two queries
        house.airflow.require_running()
        assert not house.airflow.api.run(CONTROL, run.run_id).is_over, house.tasks(run)
        return house.tasks(run)["sign_off"][0] == "awaiting_input"

    until("the owner is asked", is_asked, seconds=180)


def task_path(run: DagRun, task: str) -> str:
    return f"/dags/{CONTROL}/dagRuns/{quote(run.run_id, safe='')}/taskInstances/{task}"


def answer(house: House, run: DagRun, option: str, note: str | None = None) -> None:
    said = {"chosen_options": [option], "params_input": {"note": note}}
    house.airflow.api._call("PATCH", f"{task_path(run, 'sign_off')}/-1/hitlDetails", said)


def decide(house: House, run: DagRun, option: str, note: str | None = None) -> str:
    """Answer as the owner, and wait until Airflow has taken it.

    An answer within a second or two, before the scheduler knows that the asking process has ended, Airflow 3.3 takes for
    a lost task: it forgets the answer and asks again. So this answers whenever it is asked.
    """
    ends: list[str] = []

    def is_taken() -> bool:
        time.sleep(1)
        state, _try = house.tasks(run)["sign_off"]
        if state == "awaiting_input" and not house.get(f"{task_path(run, 'sign_off')}/-1/hitlDetails")["responded_at"]:
            answer(house, run, option, note)
        ends.append(state)
        return state in ("success", "failed")

    until("the answer is taken", is_taken, seconds=180)
    return ends[-1]


def ended(house: House, run: DagRun) -> tuple[str, dict[str, str]]:
    """How the run ended, and its tasks but those of jobs that were not asked for."""
    until("the run is over", lambda: house.airflow.api.run(run.dag_id, run.run_id).is_over, seconds=120)
    states = {task: state for task, (state, _try) in house.tasks(run).items()}
    others = [task for task in states if task.startswith("compare.") and task != f"compare.{JOB}"]
    assert {states.pop(task) for task in others} == {"skipped"}
    return house.airflow.api.run(run.dag_id, run.run_id).state, states


def control_run(house: House, run: DagRun) -> dict[str, Any]:
    (row,) = house.sql("warehouse", "select * from ledger.control_run where run_key = %s", run.run_id)
    return row


def test_a_copy_that_matches_is_signed_by_its_owner_and_the_run_is_green(house: House) -> None:
    run = waiting_for_its_owner(house, ONLY_THIS)

    shown = house.get(f"{task_path(run, 'sign_off')}/-1/hitlDetails")
    assert [user["id"] for user in shown["assigned_users"]] == [USER]
    assert "is matched" in shown["subject"]
    assert control_run(house, run)["html_path"] in shown["body"]
    assert decide(house, run, "Sign") == "success"

    state, tasks = ended(house, run)
    assert (state, {*tasks.values()}) == ("success", {"success"})
    kept = control_run(house, run)
    assert (kept["verdict"], kept["state"], kept["signer"]) == ("matched", "signed", USER)
    ours = "select * from ledger.alert where closed_at is null and job_id = any(%s)"
    assert house.sql("warehouse", ours, [CONTROL, JOB]) == []


def test_a_copy_that_differs_is_red_in_both_dags_and_its_owner_confirms_to_have_seen_it(house: House) -> None:
    one = "where ctid = (select min(ctid) from hr.employee)"
    house.sql("payroll", f"update hr.employee set annual_salary = annual_salary + 1 {one}")

    daily = house.airflow.api.trigger(DAILY, ONLY_THIS)
    run = waiting_for_its_owner(house, ONLY_THIS | {"reason": "OPS-1"})
    assert decide(house, run, "Sign") == "failed", "signed without a note"
    clear = {"dry_run": False, "task_ids": ["sign_off"], "dag_run_id": run.run_id, "include_downstream": True}
    house.airflow.api._call("POST", f"/dags/{CONTROL}/clearTaskInstances", clear)
    await_sign_off(house, run)
    assert decide(house, run, "Sign", note="OPS-2 mends it") == "success"

    assert ended(house, run) == (
        "failed",
        {
            "choose": "success", f"compare.{JOB}": "failed", "tell": "success", "judge": "failed",
            "sign_off": "success", "keep": "success", "proven": "upstream_failed",
        },
    )  # fmt: skip
    kept = control_run(house, run)
    assert (kept["verdict"], kept["state"], kept["note"]) == ("mismatched", "signed", "OPS-2 mends it")
    assert ended(house, daily) == ("failed", {"choose": "success", f"compare.{JOB}": "failed", "tell": "success"})
    told = house.get("/assets/events?limit=100")["asset_events"]
    assert {(event["source_dag_id"], event["source_task_id"]) for event in told} >= {(CONTROL, "tell"), (DAILY, "tell")}
    with pytest.raises(DemoError, match="409"):  # a decision is taken once
        answer(house, run, "Reject", note="changed my mind")


def test_a_report_that_its_owner_rejects_is_kept_and_the_run_is_red(house: House) -> None:
    run = waiting_for_its_owner(house, ONLY_THIS | {"sample_percent": 50})
    assert decide(house, run, "Reject", note="a sample is no evidence") == "success"

    state, tasks = ended(house, run)
    assert (state, tasks["sign_off"], tasks["keep"], tasks["proven"]) == (
        "failed", "success", "failed", "upstream_failed",
    )  # fmt: skip
    assert control_run(house, run)["state"] == "refused"
