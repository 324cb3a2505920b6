"""After a load that was refused because of a row: load all others, and make dead letters of the rows that are to blame.

The ledger is told before the target commits. A crash in between leaves counts in the ledger that the staging table does
not bear out; the next try counts the staging table again, so nothing hangs on which of the two came to know first.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from syncline.adapters import ledger
from syncline.adapters.target import Target
from syncline.core.errors import BatchHeld, TooManyRefused
from syncline.core.job import SyncJob
from syncline.core.values import Balance, Batch
from syncline.steps import alerting
from syncline.steps.extract import balance_of, hold_if_too_many_rejected


def load_apart(
    job: SyncJob,
    batch: Batch,
    book: ledger.Ledger,
    there: Target,
    tenants: set[str],
    require: Callable[[Balance], None],
) -> tuple[Balance, Balance]:
    """Load what the target does not refuse; returns the extraction's counts, with the refused rows rejected, and the
    outcomes.

    Raises:
        BatchHeld: More rows were refused than the manifest allows, or than can be told one by one.
    """

    def before_commit(outcomes: Balance) -> None:
        extraction = recount(batch, book, there)
        require(extraction.merged(outcomes))
        hold_if_too_many_rejected(job, batch, book, extraction.total)

    try:
        outcomes = there.load_apart(tenants, loaded_at=datetime.now(UTC), before_commit=before_commit)
    except TooManyRefused as refused:
        if batch.is_dry_run:
            raise
        book.held(batch, refused.because, alerting.alert(job, batch.batch_id, "rejected-rows", refused.because))
        alerting.deliver_pending()
        raise BatchHeld(job.id, batch.batch_id, refused.because, runbook="rows-rejected") from None
    return book.counts(batch.batch_id), outcomes


def recount(batch: Batch, book: ledger.Ledger, there: Target) -> Balance:
    """What was staged and what was rejected, as the staging table has it now; the ledger is told where it differs."""
    known = book.counts(batch.batch_id)
    superseded = {tenant: counts.superseded_rows for tenant, counts in known.tenants.items()}
    equal = {tenant: counts.unchanged_rows for tenant, counts in known.tenants.items()}
    found = balance_of(there.count_staged(), superseded).merged(Balance.unchanged(equal))
    if found.total != known.total:
        book.refused(batch, found, there.letters())
    return found
