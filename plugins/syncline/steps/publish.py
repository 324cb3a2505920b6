"""Publish a matched batch: the gate opens and the watermark moves, in one transaction and nowhere else."""

from __future__ import annotations

import logging

from syncline.adapters import ledger, target
from syncline.adapters.failpoints import failpoint
from syncline.core.errors import BatchHeld
from syncline.core.job import SyncJob
from syncline.core.values import BatchSummary, State, Verdict
from syncline.steps import alerting

MARKERS_KEPT = "400 days"  # of deleted rows: longer than any window that may be read again
log = logging.getLogger(__name__)


def publish(job: SyncJob, batch_id: int) -> BatchSummary:
    """Open the gate for a batch; publishing again is a no-op.

    Raises:
        BatchHeld: The batch is held, or its verdict is not `matched`.
    """
    with ledger.opened(f"{job.id} publish") as book, book.attempt(job, batch_id, "publish") as batch:
        if batch.state is State.HELD or (batch.state is not State.DRY_RUN and batch.verdict is not Verdict.MATCHED):
            raise BatchHeld(job.id, batch_id, batch.held_because or f"its verdict is {batch.verdict}")
        failpoint("publish.before")
        if not batch.state.is_final:
            book.published(batch)
        failpoint("publish.recorded")
        with target.writing(job, batch, step="publish") as there:
            there.drop_staging()
            there.forget_deleted(MARKERS_KEPT)
        failpoint("publish.cleared")
        summary = book.summary(batch_id)
    alerting.deliver_pending()
    ended = "batch published" if summary.state is State.PUBLISHED else "batch ended unpublished"
    log.info("%s job=%s batch=%d state=%s verdict=%s", ended, job.id, batch_id, summary.state, summary.verdict)
    return summary
