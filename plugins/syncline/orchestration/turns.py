"""One run of a job at a time, whatever started it.

`max_active_runs=1` counts scheduled and manual runs together, but Airflow counts every backfill for itself, and the
command line's default lets ten of its runs go at once. The epoch fence would keep the data right; all but one of
them would fail, though. So `open` waits while another run stands between its own `open` and its end.

Backfilled runs let all others go first: the day's run must not queue behind a year of history.

Waiting is a reschedule: it takes no worker slot and no retry, and a run that is gone is waited for no longer.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk.exceptions import AirflowRescheduleException

WAIT = timedelta(seconds=20)
FINISHED = {"success", "failed", "skipped", "upstream_failed", "removed"}
WAITING = {"scheduled", "queued", "up_for_reschedule"}
BACKFILL = "backfill__"  # ids, not types: a finished run that a backfill runs again keeps its id, and its rank
log = logging.getLogger(__name__)


def wait_for_turn(ti: Any, first: str, last: str) -> None:
    """Put the running `first` task off while another run of its DAG has passed it and not finished `last`.

    A backfilled run is put off while one of another kind waits, too.

    Needs `max_active_tis_per_dag=1` on the first task: then no two runs look at the same moment.
    """
    if other := _run_under_way(ti, first, last):
        log.info("waiting for its turn dag=%s run=%s first=%s", ti.dag_id, ti.run_id, other)
        raise AirflowRescheduleException(datetime.now(UTC) + WAIT)  # type: ignore[no-untyped-call]


def _run_under_way(ti: Any, first: str, last: str) -> str | None:
    if ti.get_dr_count(ti.dag_id, states=["running"]) <= 1:  # the usual case: only this one
        return None
    gives_way = ti.run_id.startswith(BACKFILL)
    for run_id, states in ti.get_task_states(ti.dag_id, task_ids=[first, last]).items():
        has_begun = states.get(first) == "success" and states.get(last) not in FINISHED
        goes_first = gives_way and not run_id.startswith(BACKFILL) and states.get(first) in WAITING
        if run_id != ti.run_id and (has_begun or goes_first) and ti.get_dagrun_state(ti.dag_id, run_id) == "running":
            return str(run_id)
    return None
