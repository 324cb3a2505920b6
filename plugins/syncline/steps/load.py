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
from syncline.core.errors import RowRefused, TerminalError
from syncline.core.job import SyncJob
from syncline.core.values import Balance, Batch, State
from syncline.steps.deletes import hold_if_many_deletes
from syncline.steps.extract import extract_and_map
from syncline.steps.isolating import load_apart, recount
from syncline.steps.scope import scope

log = logging.getLogger(__name__)


def load(job: SyncJob, batch_id: int) -> int:
    """Write a batch to its target, or find that it is written already.

    Raises:
        TerminalError: Rows are not conserved; the transaction was rolled back.
        Fenced: A newer attempt has taken over.
        BatchHeld: The target refused more rows than the manifest allows.
    """
    _restage_if_lost(job, batch_id)
    started = time.monotonic()
    with ledger.opened(f"{job.id} load") as book, book.attempt(job, batch_id, "load") as batch:
        if batch.state is not State.EXTRACTED:
            return batch_id
        with target.writing(job, batch, step="load") as there:
            extraction, outcomes = book.counts(batch_id), there.loaded()
            if outcomes is None:
                failpoint("load.begun")
                if book.tries(batch_id, "load") > 1:
                    extraction = recount(batch, book, there)
                extraction, outcomes = _write(job, batch, book, there, extraction)
        balance = extraction.merged(outcomes)
        _require_balance(job, batch, balance)
        failpoint("load.before_ledger")
        book.loaded(batch, balance)
        failpoint("load.recorded")
    total = balance.total
    log.info(
        "batch loaded job=%s batch=%d staged_rows=%d inserted_rows=%d updated_rows=%d deleted_rows=%d"
        " removed_rows=%d unchanged_rows=%d superseded_rows=%d dry_run=%s seconds=%.1f",
        job.id,
        batch_id,
        total.staged_rows,
        total.inserted_rows,
        total.updated_rows,
        total.deleted_rows,
        total.removed_rows,
        total.unchanged_rows,
        total.superseded_rows,
        batch.is_dry_run,
        time.monotonic() - started,
    )
    return batch_id


def _write(
    job: SyncJob, batch: Batch, book: ledger.Ledger, there: Target, extraction: Balance
) -> tuple[Balance, Balance]:
    """The counts of the extraction and the outcomes; where rows are refused, the former have changed."""
    if job.target.write == "replace" and extraction.total.staged_rows == 0:
        raise TerminalError(
            f"{job.id}: batch {batch.batch_id} is empty, and replacing would empty {job.target.table}. Nothing was "
            f"written. If the source really is empty, empty the target by hand."
        )
    # Rows of equal ranges are unchanged already and not in staging; their tenant need not even be granted.
    tenants = {tenant for tenant, counts in extraction.tenants.items() if counts.staged_rows > counts.unchanged_rows}
    if job.finds_absent(batch.mode):  # also of tenants that the source has no row of any more
        asked = {*extraction.tenants} | book.known_tenants(job.id)
        tenants |= scope(job, batch, asked, there.grants())

    def before_commit(balance: Balance) -> None:
        _require_balance(job, batch, balance)
        hold_if_many_deletes(job, batch, book, there, tenants, balance.total)

    try:
        outcomes = there.load(
            tenants,
            loaded_at=datetime.now(UTC),
            before_commit=lambda outcomes: before_commit(extraction.merged(outcomes)),
        )
    except RowRefused as refused:
        log.warning("load refused, looking for the rows job=%s batch=%d by=%s", job.id, batch.batch_id, refused.by)
        return load_apart(job, batch, book, there, tenants, before_commit)
    return extraction, outcomes


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
        with (
            book.guarding(job, batch_id, ledger.systems_of(job, "load")),
            target.writing(job, batch, step="load") as there,
        ):
            staged_rows = total.extracted_rows - total.superseded_rows - total.unchanged_rows
            if there.loaded() is not None or there.has_staged(staged_rows):
                return
    log.warning("staging table lost, reading the source again job=%s batch=%d", job.id, batch_id)
    extract_and_map(job, batch_id)
