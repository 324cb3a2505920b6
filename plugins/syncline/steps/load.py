"""Load a staged batch: one target transaction, as the tenant role, counted by outcome and balanced before COMMIT.

Whether the transaction happened is never guessed: its marker stands in the target or it does not. A staging table
that a crash emptied is filled again from the source.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime

from syncline.adapters import ledger, target
from syncline.adapters.failpoints import failpoint
from syncline.adapters.target import Target
from syncline.core.errors import TerminalError
from syncline.core.job import SyncJob
from syncline.core.values import Balance, Batch, State
from syncline.steps.extract import extract_and_map

log = logging.getLogger(__name__)


def load(job: SyncJob, batch_id: int) -> int:
    """Write a batch to its target, or find that it is written already.

    Raises:
        TerminalError: Rows are not conserved; the transaction was rolled back.
        Fenced: A newer attempt has taken over.
    """
    _restage_if_lost(job, batch_id)
    started = time.monotonic()
    with ledger.opened(f"{job.id} load") as book, book.attempt(job, batch_id, "load") as batch:
        if batch.state is not State.EXTRACTED:
            return batch_id
        extraction = book.counts(batch_id)
        with target.writing(job, batch, step="load") as there:
            outcomes = there.loaded()
            if outcomes is None:
                outcomes = _write(job, batch, there, extraction)
        balance = extraction.merged(outcomes)
        _require_balance(job, batch, balance)
        failpoint("load.before_ledger")
        book.loaded(batch, balance)
    total = balance.total
    log.info(
        "batch loaded job=%s batch=%d staged_rows=%d inserted_rows=%d updated_rows=%d deleted_rows=%d"
        " unchanged_rows=%d superseded_rows=%d dry_run=%s seconds=%.1f",
        job.id,
        batch_id,
        total.staged_rows,
        total.inserted_rows,
        total.updated_rows,
        total.deleted_rows,
        total.unchanged_rows,
        total.superseded_rows,
        batch.is_dry_run,
        time.monotonic() - started,
    )
    return batch_id


def _write(job: SyncJob, batch: Batch, there: Target, extraction: Balance) -> Balance:
    if job.target.write == "replace" and extraction.total.staged_rows == 0:
        raise TerminalError(
            f"{job.id}: batch {batch.batch_id} is empty, and replacing would empty {job.target.table}. Nothing was "
            f"written. If the source really is empty, empty the target by hand."
        )
    return there.load(
        [tenant for tenant, counts in extraction.tenants.items() if counts.staged_rows],
        loaded_at=datetime.now(UTC),
        before_commit=lambda outcomes: _require_balance(job, batch, extraction.merged(outcomes)),
    )


def _require_balance(job: SyncJob, batch: Batch, balance: Balance) -> None:
    """Law 1: a batch that does not balance is never green; raised before COMMIT it leaves nothing behind."""
    if said := balance.imbalance():
        raise TerminalError(
            f"{job.id}: batch {batch.batch_id} does not balance: {said}. Rolled back, nothing was written. This is a "
            f"fault of Syncline or of a trigger on {job.target.table}: report it with the batch's id."
        )


def _restage_if_lost(job: SyncJob, batch_id: int) -> None:
    with ledger.opened(f"{job.id} load") as book:
        batch, total = book.batch(batch_id), book.counts(batch_id).total
    if batch.state not in (State.OPEN, State.EXTRACTED):
        return
    with target.writing(job, batch, step="load") as there:
        if there.loaded() is not None or there.has_staged(total.extracted_rows - total.superseded_rows):
            return
    log.warning("staging table lost, reading the source again job=%s batch=%d", job.id, batch_id)
    extract_and_map(job, batch_id)
