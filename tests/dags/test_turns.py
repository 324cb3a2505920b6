"""Runs of one job take turns, whatever started them."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRescheduleException

from syncline.orchestration.turns import wait_for_turn


class Ti:
    """A task instance that answers about the other runs of its DAG."""

    dag_id = "sync__a__b__c"

    def __init__(self, runs: dict[str, tuple[str, dict[str, str | None]]], run_id: str = "mine") -> None:
        self.run_id = run_id
        self.runs = {run_id: ("running", {"open": "running", "publish": None}), **runs}
        self.asked: list[str] = []

    def get_dr_count(self, dag_id: str, *, states: list[str]) -> int:
        return sum(state in states for state, _tasks in self.runs.values())

    def get_task_states(self, dag_id: str, *, task_ids: list[str]) -> dict[str, Any]:
        self.asked.append("states")
        return {run_id: tasks for run_id, (_state, tasks) in self.runs.items()}

    def get_dagrun_state(self, dag_id: str, run_id: str) -> str:
        return self.runs[run_id][0]


def must_wait(other_state: str, *, mine: str = "mine", other: str = "other", **tasks: str | None) -> bool:
    ti = Ti({other: (other_state, tasks)}, mine)
    try:
        wait_for_turn(ti, first="open", last="publish")
    except AirflowRescheduleException:
        return True
    return False


@pytest.mark.parametrize("publish", [None, "scheduled", "queued", "running", "up_for_retry"])
def test_a_run_waits_while_another_one_is_between_open_and_publish(publish: str | None) -> None:
    assert must_wait("running", open="success", publish=publish)


@pytest.mark.parametrize("publish", ["success", "failed", "skipped", "upstream_failed", "removed"])
def test_a_run_does_not_wait_for_one_that_is_done(publish: str) -> None:
    assert not must_wait("running", open="success", publish=publish)


def test_two_runs_that_have_not_opened_do_not_wait_for_each_other() -> None:
    assert not must_wait("running", open="up_for_reschedule", publish=None)


@pytest.mark.parametrize("state", ["queued", "failed", "success"])
def test_a_run_that_is_not_running_is_not_waited_for(state: str) -> None:
    assert not must_wait(state, open="success", publish=None)


def test_a_run_that_is_alone_asks_nothing_more() -> None:
    ti = Ti({})

    wait_for_turn(ti, first="open", last="publish")

    assert ti.asked == []


BACKFILLED, NIGHTLY = "backfill__2026-11-01T00:00:00+00:00", "scheduled__2026-11-02T00:00:00+00:00"


@pytest.mark.parametrize("waits", ["scheduled", "queued", "up_for_reschedule"])
def test_a_backfilled_run_lets_the_nights_run_go_first(waits: str) -> None:
    assert must_wait("running", mine=BACKFILLED, other=NIGHTLY, open=waits, publish=None)
    assert must_wait("running", mine=BACKFILLED, other="manual__1", open=waits, publish=None)
    assert not must_wait("queued", mine=BACKFILLED, other=NIGHTLY, open=waits, publish=None)


@pytest.mark.parametrize("mine", [NIGHTLY, BACKFILLED])
@pytest.mark.parametrize("other", [NIGHTLY, BACKFILLED])
def test_of_two_runs_that_wait_one_always_goes(mine: str, other: str) -> None:
    mine, other = f"{mine}/1", f"{other}/2"
    both = [must_wait("running", mine=a, other=b, open="up_for_reschedule", publish=None)
            for a, b in ((mine, other), (other, mine))]  # fmt: skip
    assert not all(both)


@pytest.mark.parametrize("done", ["success", "failed", "skipped", "upstream_failed"])
def test_a_backfilled_run_does_not_wait_for_one_that_is_done(done: str) -> None:
    assert not must_wait("running", mine=BACKFILLED, other=NIGHTLY, open="success", publish=done)
    assert not must_wait("running", mine=BACKFILLED, other=NIGHTLY, open="failed", publish="upstream_failed")
