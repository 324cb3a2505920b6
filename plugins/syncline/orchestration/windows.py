"""A step does not begin while a system that it uses must be left alone.

Check and schedule keep the planned runs out of such hours. What comes at another time still has to be kept out of
them: a run that a person triggers, a backfill, a run that waited in a pool, a retry. Waiting is a reschedule: it takes
no worker slot and no retry. Tasks that wait for the same end come back spread over a minute.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk.exceptions import AirflowRescheduleException

from syncline.adapters import project
from syncline.core.job import SyncJob
from syncline.core.windows import closed

SPREAD_S = 60
log = logging.getLogger(__name__)


def now() -> datetime:
    return datetime.now(UTC)


def wait_for_window(
    job: SyncJob, step: str, context: Mapping[str, Any], uniform: Callable[[float, float], float] = random.uniform
) -> None:
    """Put a step off until it may begin, unless the run says to begin nevertheless."""
    if context["params"].get("despite_windows") or project.ignores_windows():
        return
    if found := closed(job.manifest, step, now()):
        until = found.until + timedelta(seconds=uniform(0, SPREAD_S))
        log.info("waiting for the end of a window job=%s step=%s until=%s: %s", job.id, step, until, found.window)
        raise AirflowRescheduleException(until)  # type: ignore[no-untyped-call]
