"""The guard against mass deletion: a batch that would delete more than its manifest allows waits for a person.

A source that was emptied, a filter that lost a value, a key that changed its form: all look like many deletions. Asked
before COMMIT, so what is held has deleted nothing. A run that names the held batch may delete as many rows, once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from syncline.adapters import ledger
from syncline.adapters.target import Target
from syncline.core.errors import BatchHeld
from syncline.core.job import SyncJob
from syncline.core.values import Batch, Counts
from syncline.steps import alerting
from syncline.steps.scope import scope

CONTROL = "mass-delete"
log = logging.getLogger(__name__)
FREE_ROWS = 5  # so few are no mass, whatever their share: of a table of two rows each is a half


def hold_if_many_deletes(
    job: SyncJob, batch: Batch, book: ledger.Ledger, there: Target, tenants: Iterable[str], total: Counts
) -> None:
    """Inside the target's transaction, before COMMIT. A dry run only says so.

    Raises:
        BatchHeld: More rows would go than the manifest or an approval allows; the transaction is to be rolled back.
    """
    gone_rows, limits = total.gone_rows, job.manifest.errors
    if gone_rows <= max(FREE_ROWS, batch.approved_deletes or 0):
        return
    everyone = {*tenants} | scope(job, batch, book.known_tenants(job.id), there.grants())
    kept_rows = there.standing_rows(everyone) - total.inserted_rows
    ratio = gone_rows / max(gone_rows + kept_rows, 1)
    if gone_rows <= limits.deleted_rows_max and ratio <= limits.deleted_ratio_max:
        return
    because = (
        f"it would delete {gone_rows} of {gone_rows + kept_rows} rows ({ratio:.2%}; {total.deleted_rows} flagged, "
        f"{total.removed_rows} no longer at the source); {limits.deleted_ratio_max:.2%} and at most "
        f"{limits.deleted_rows_max} rows are allowed without a person. Nothing was deleted. If it is right: "
        f"`{job.command} --approve-deletes {batch.batch_id} --reason ...`"
    )
    if batch.is_dry_run:
        log.warning("such a run would be held job=%s: %s", job.id, because)
        return
    book.held(batch, because, alerting.alert(job, batch.batch_id, CONTROL, because), wanted_deletes=gone_rows)
    alerting.deliver_pending()
    raise BatchHeld(job.id, batch.batch_id, because, runbook="mass-delete")
