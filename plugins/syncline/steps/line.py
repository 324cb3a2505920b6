"""Run a whole line in this process: what a DAG run does task by task, for the shell and for tests."""

from __future__ import annotations

from syncline.core.job import SyncJob
from syncline.core.values import BatchSummary, RunRequest
from syncline.steps.extract import extract_and_map
from syncline.steps.load import load
from syncline.steps.open import open_batch
from syncline.steps.publish import publish
from syncline.steps.reconcile import reconcile


def run_line(job: SyncJob, request: RunRequest) -> BatchSummary:
    """Open, extract and map, load, reconcile, publish. Raises what the failing step raises."""
    batch_id = open_batch(job, request)
    for step in (extract_and_map, load, reconcile):
        batch_id = step(job, batch_id)
    return publish(job, batch_id)
