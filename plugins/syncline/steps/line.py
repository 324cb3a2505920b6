"""Run a whole line in this process: what a DAG run does task by task, for the shell and for tests."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

from syncline.adapters import judging
from syncline.core.errors import SynclineError
from syncline.core.job import SyncJob
from syncline.core.values import BatchSummary, RunRequest
from syncline.steps import alerting
from syncline.steps.extract import extract_and_map
from syncline.steps.load import load
from syncline.steps.open import open_batch
from syncline.steps.parts import POLL_S, extract_parts, is_waiting_for_parts
from syncline.steps.publish import publish
from syncline.steps.reconcile import reconcile

log = logging.getLogger(__name__)


def run_line(job: SyncJob, request: RunRequest) -> BatchSummary:
    """Open, extract and map, load, reconcile, publish. Raises what the failing step raises."""
    judging.prepare()
    try:
        batch_id = open_batch(job, request)
        with _helping(job, batch_id):
            extract_and_map(job, batch_id)
        for step in (load, reconcile):
            batch_id = step(job, batch_id)
        return publish(job, batch_id)
    except SynclineError as error:
        alerting.tell_down(error)
        raise


@contextmanager
def _helping(job: SyncJob, batch_id: int) -> Iterator[None]:
    """Read the parts of a batch in threads beside the step that holds the snapshot; a DAG has tasks for that."""
    helpers = min(job.source.parts, job.source.connections_max) - 1
    if helpers < 1:
        yield
        return
    is_read = Event()

    def help_out() -> None:
        while not is_read.wait(POLL_S) and is_waiting_for_parts(job, batch_id):
            pass
        extract_parts(job, batch_id)

    with ThreadPoolExecutor(helpers) as pool:
        helping = [pool.submit(help_out) for _ in range(helpers)]
        try:
            yield
        finally:
            is_read.set()
    for one in helping:
        if (error := one.exception()) is not None:  # its parts were read by the step itself
            log.warning("a helper failed job=%s batch=%d error=%s", job.id, batch_id, type(error).__name__)
