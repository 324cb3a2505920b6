"""SYNC-007: at most three retries, delays that double with jitter in bounds, and none where a person must act."""

from __future__ import annotations

import itertools
import json

import psycopg
import pytest
from airflow.sdk import RetryAction

from syncline.core.errors import (
    BatchHeld,
    EnvironmentFailure,
    Fenced,
    ManifestInvalid,
    SchemaDrift,
    TenantRefused,
    TerminalError,
    TransientError,
)
from syncline.core.job import SyncJob
from syncline.orchestration.dag_factory import build_dag
from syncline.orchestration.operators import Stopped
from syncline.orchestration.params import RunRefused
from syncline.orchestration.retry import JITTER_RATIO, RETRIES, SETTINGS, ByExceptionType, base_delay_s

LOCKED = TransientError("locked")


def delay_s(try_number: int, *, max_tries: int = RETRIES, policy: ByExceptionType | None = None) -> float:
    decision = (policy or ByExceptionType()).evaluate(LOCKED, try_number, max_tries)
    assert decision.action is RetryAction.RETRY
    assert decision.retry_delay is not None
    return decision.retry_delay.total_seconds()


@pytest.mark.parametrize(
    "error",
    [
        TerminalError("x"),
        ManifestInvalid("x"),
        EnvironmentFailure("disk full"),
        SchemaDrift("x"),
        RunRefused("x"),
        BatchHeld("job", 1, "x"),
        Fenced("job", 1, 2),
        TenantRefused("job", 1),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_needs_a_person_fails_at_once(error: Exception) -> None:
    assert ByExceptionType().evaluate(error, 1, RETRIES).action is RetryAction.FAIL


@pytest.mark.parametrize(
    "error",
    [LOCKED, ValueError("a bug"), psycopg.OperationalError(), Stopped("deploy"), SystemExit(1), MemoryError()],
    ids=lambda error: type(error).__name__,
)
def test_what_may_pass_is_retried(error: BaseException) -> None:
    assert ByExceptionType().evaluate(error, 1, RETRIES).action is RetryAction.RETRY


def test_base_delays_double() -> None:
    delays = [base_delay_s(retry) for retry in range(1, RETRIES + 1)]

    assert all(later == 2 * earlier for earlier, later in itertools.pairwise(delays))


@pytest.mark.parametrize("try_number", [1, 2, 3])
def test_jitter_stays_in_its_bounds(try_number: int) -> None:
    base = base_delay_s(try_number)

    assert delay_s(try_number, policy=ByExceptionType(uniform=lambda low, _high: low)) == base
    assert delay_s(try_number, policy=ByExceptionType(uniform=lambda _low, high: high)) == base * (1 + JITTER_RATIO)
    assert all(base <= delay_s(try_number) <= base * (1 + JITTER_RATIO) for _ in range(200))


def test_two_tasks_that_fail_together_do_not_come_back_together() -> None:
    assert len({delay_s(1) for _ in range(50)}) > 40


def test_a_later_delay_is_always_longer_than_an_earlier_one() -> None:
    assert base_delay_s(1) * (1 + JITTER_RATIO) < base_delay_s(2)


def test_clearing_a_task_starts_its_delays_anew() -> None:
    lowest = ByExceptionType(uniform=lambda low, _high: low)

    # Airflow sets max_tries to the tries so far + 3 when a task is cleared.
    assert delay_s(5, max_tries=4 + RETRIES, policy=lowest) == base_delay_s(1)
    assert delay_s(7, max_tries=4 + RETRIES, policy=lowest) == base_delay_s(3)


def test_a_task_is_tried_four_times_at_most(job: SyncJob) -> None:
    for task in build_dag(job).tasks:
        assert 1 + task.retries == 4


def test_a_worker_that_dies_without_a_word_is_retried_by_the_same_rules() -> None:
    assert SETTINGS["retry_delay"].total_seconds() == base_delay_s(1)
    assert SETTINGS["retry_exponential_backoff"] == 2.0
    assert SETTINGS["max_retry_delay"].total_seconds() >= base_delay_s(RETRIES) * (1 + JITTER_RATIO)


def test_the_reason_names_the_kind_of_error_and_nothing_of_its_text() -> None:
    decision = ByExceptionType().evaluate(ValueError("Key (email)=(x@y)"), 1, RETRIES)

    assert decision.reason is not None
    assert "ValueError" in decision.reason
    assert "email" not in decision.reason


def test_the_scheduler_learns_only_that_there_is_a_policy(job: SyncJob) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    stored = DagSerialization.to_dict(build_dag(job))["dag"]["tasks"][0]["__var"]

    assert stored["has_retry_policy"] is True
    assert "retry_policy" not in stored
    assert ByExceptionType.deserialize(json.loads(json.dumps(ByExceptionType().serialize())))
