"""Open a batch: take the job's lock and fix the window.

Afterwards the ledger says what must be read. If a run dies here or later, the next one reads the same window:
the watermark has not moved.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from syncline.adapters import hash_keys, ledger
from syncline.adapters.failpoints import failpoint
from syncline.core.errors import GroupMember
from syncline.core.job import SyncJob
from syncline.core.values import Mode, RunRequest

log = logging.getLogger(__name__)


def covering_batch(job: SyncJob, request: RunRequest) -> int | None:
    """The published batch that leaves a backfill nothing to do; None if there is none.

    A job that can only read everything has no days to catch up: a batch that read everything after the interval has
    read the interval too. Without this a month of backfilled days would read the whole source thirty times.
    """
    if not request.is_backfill or request.window is None or request.dry_run or job.default_mode is not Mode.FULL:
        return None
    with ledger.opened(f"{job.id} open") as book:
        return book.covering_batch(job, until=request.window[1])


def open_batch(job: SyncJob, request: RunRequest, *, in_group: bool = False) -> int:
    """Take the job's lock and a new epoch; returns the batch's id. The same run asking again gets its batch back.

    Raises:
        GroupMember: The job is published with its group only, and this run is not the group's.
    """
    if job.manifest.group is not None and not in_group:
        if not request.dry_run:
            raise GroupMember(job.id, job.manifest.group)
        request = replace(request, take_over=False)  # counting does not disturb the group's run
    hash_keys.from_environment(job.mapping.keys)  # one that is missing is told before there is a batch
    with ledger.opened(f"{job.id} open") as book:
        book.require_up(job, ledger.systems_of(job, "open"))
        failpoint("open.before")
        batch = book.open_batch(job, request)
        failpoint("open.recorded")
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
