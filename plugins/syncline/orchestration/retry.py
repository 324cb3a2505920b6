"""Decide after a failed task whether trying again can help (SYNC-007).

Steps sort their failures where they arise: TransientError may pass by itself, TerminalError needs a person. What
nobody sorted is retried: every step may be repeated without harm, so the only cost of a wrong guess is time.

A retry that comes due in closed hours of its systems is no retry yet: the task is put off to their end before it does
anything (windows.py).

Airflow evaluates a policy in the worker, with the exception in hand; scheduler and UI see only the decision (failed
now, or a delay and a reason). Where the worker dies without an exception (kill -9, lost heartbeat) the policy is
never asked: the scheduler follows the plain settings `retries`, `retry_delay` and `retry_exponential_backoff`,
which is why SETTINGS has both and why they say the same.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from airflow.sdk import RetryDecision, RetryPolicy

from syncline.core.errors import SynclineError, TerminalError

RETRIES = 3  # 1 + 3 attempts, then a person is called
DELAY_S = 30  # a restarting database answers again within the three delays: 30, 60, 120 s, each with jitter
JITTER_RATIO = 0.5  # below 1, so that a later delay is always longer than an earlier one


def base_delay_s(retry: int) -> int:
    """Seconds before the `retry`-th retry of a task (from 1), without jitter: doubles each time."""
    return int(DELAY_S * 2 ** (retry - 1))


class ByExceptionType(RetryPolicy):
    """TerminalError fails at once; everything else is retried with a growing, jittered delay.

    Args:
        uniform: Where the jitter comes from; `random.uniform` is enough, it spreads load and keeps no secret.
    """

    def __init__(self, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self.uniform = uniform

    def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> RetryDecision:
        kind = type(exception).__name__
        if isinstance(exception, TerminalError):
            return RetryDecision.fail(f"{kind}: a person must act, trying again changes nothing")
        # Clearing a task counts on: try 5 of a task cleared after try 4 is its first attempt again.
        retry = max(1, try_number - (max_tries - RETRIES))
        base_s = base_delay_s(min(retry, RETRIES))
        delay = timedelta(seconds=base_s * self.uniform(1, 1 + JITTER_RATIO))
        said = "may pass by itself" if isinstance(exception, SynclineError) else "unexpected; steps may be repeated"
        return RetryDecision.retry(delay, f"{kind}: {said}. Retry {retry} in {delay.total_seconds():.0f} s")

    def serialize(self) -> dict[str, Any]:
        """Airflow 3.3 stores only that there is a policy; should it store more one day, there is nothing to add."""
        return {"__type": type(self).__name__}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> ByExceptionType:
        return cls()


SETTINGS: dict[str, Any] = {
    "retries": RETRIES,
    "retry_delay": timedelta(seconds=DELAY_S),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(seconds=2 * base_delay_s(RETRIES)),
    "retry_policy": ByExceptionType(),
}
