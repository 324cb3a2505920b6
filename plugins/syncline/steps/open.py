"""Open a batch: take the job's lock and fix the window.

Afterwards the ledger says what must be read. If a run dies here or later, the next one reads the same window:
the watermark has not moved.
"""

from __future__ import annotations

import logging

from syncline.adapters import hash_keys, ledger
from syncline.core.job import SyncJob
from syncline.core.values import Mode, RunRequest

log = logging.getLogger(__name__)


def open_batch(job: SyncJob, request: RunRequest) -> int:
    """Take the job's lock and a new epoch; returns the batch's id. The same run asking again gets its batch back."""
    hash_keys.from_environment(job.mapping.keys)  # one that is missing is told before there is a batch
    with ledger.opened(f"{job.id} open") as book:
        batch = book.open_batch(job, request)
    if batch.mode is Mode.FULL and (request.mode or job.default_mode) is Mode.INCREMENTAL:
        log.info(
            "reads everything job=%s: its first batch, or the first since its mapping, filter or a code list changed",
            job.id,
        )
    log.info(
        "batch opened job=%s batch=%d mode=%s epoch=%d dry_run=%s run=%s",
        job.id,
        batch.batch_id,
        batch.mode,
        batch.epoch,
        batch.is_dry_run,
        batch.run_key,
    )
    return batch.batch_id
