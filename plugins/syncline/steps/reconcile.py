"""SYNC-005: prove that the target holds what the source held at the cut-off, per tenant and in total.

The source was counted under the extraction's snapshot; the target's final table is counted here, whoever wrote it.
Rows that wait in dead letters and are not in the target are excused, by name. A window answers for its own rows: the
source's that lie in it, and the target's of the same keys. The judge is the Great Expectations suite
include/expectations/sync_005.json with the manifest's limits. Anything but `matched` holds the batch.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import closing

from syncline.adapters import expectations, ledger, project, target
from syncline.adapters.failpoints import failpoint
from syncline.adapters.target import Target
from syncline.core.errors import BatchHeld, TerminalError
from syncline.core.job import SyncJob
from syncline.core.values import TOTAL, Batch, Counts, Mode, State, TenantCheck, Verdict
from syncline.steps import alerting
from syncline.steps.scope import scope

log = logging.getLogger(__name__)
CONTROL = "SYNC-005"


def reconcile(job: SyncJob, batch_id: int) -> int:
    """Judge a loaded batch and keep the evidence.

    Raises:
        BatchHeld: The verdict is not `matched`; the alert is queued, nothing is published.
    """
    with ledger.opened(f"{job.id} reconcile") as book, book.attempt(job, batch_id, "reconcile") as batch:
        if batch.state.is_final:
            return _finished(job, batch)
        _require_loaded(job, batch)
        expectations.prepare()
        checks, resolved = _count(job, batch, book)
        judgement = _judge(job, batch, checks)
        failpoint("reconcile.judged")
        limit = job.manifest.reconcile.mismatch_ratio_max
        book.reconciled(batch, checks, judgement.verdict, judgement.mismatch_ratio, limit, judgement.evidence, resolved)
        failpoint("reconcile.recorded")
        _tell(job, batch, checks, judgement.verdict)
        if judgement.verdict is not Verdict.MATCHED:
            _hold(job, batch, book, checks, judgement)
    return batch_id


def _finished(job: SyncJob, batch: Batch) -> int:
    """A batch that is closed stays what it is: held is told again, the others are green."""
    if batch.state is State.HELD:
        raise BatchHeld(job.id, batch.batch_id, batch.held_because or "see the ledger")
    return batch.batch_id


def _require_loaded(job: SyncJob, batch: Batch) -> None:
    """Counts may agree before a load too: changed values are not loaded because the number of rows is right."""
    if batch.state not in (State.LOADED, State.RECONCILED):
        raise TerminalError(
            f"{job.id}: batch {batch.batch_id} is {batch.state}, not loaded: there is nothing to reconcile. Was a task "
            f"marked success by hand? Nothing was judged. Clear the run from `open`, or run the job again."
        )


def _count(job: SyncJob, batch: Batch, book: ledger.Ledger) -> tuple[list[TenantCheck], list[int]]:
    """Both sides per tenant, and the dead letters whose row came through clean."""
    source_rows, counts = book.source_rows(batch.batch_id), book.counts(batch.batch_id)
    asked = {*source_rows, *counts.tenants}
    if batch.tenants is None:
        asked |= book.known_tenants(job.id)
    with target.writing(job, batch, step="reconcile") as there:
        tenants = scope(job, batch, asked, there.grants())
        if not tenants and job.tenant_column is not None:  # nothing there may be looked at: nothing will be proven
            return _line_up(source_rows, {}, {}), []
        if batch.mode is Mode.WINDOW and not _is_staged(there, counts.total):
            log.warning("staging table lost, the window cannot be proven job=%s batch=%d", job.id, batch.batch_id)
            return [], []
        with closing(book.waiting_keys(job.id)) as waiting:
            settled, excused = there.settle_letters(tenants, waiting)
        target_rows = there.count_rows(tenants)
    return _line_up(source_rows, excused, target_rows), settled


def _is_staged(there: Target, total: Counts) -> bool:
    """Whether the keys of the window still stand in staging; rows that met in one key there are one row."""
    outcomes = there.loaded()
    if outcomes is None:
        return False
    met_rows = total.superseded_rows - outcomes.total.superseded_rows
    return there.has_staged(total.extracted_rows - met_rows)


def _line_up(
    source_rows: Mapping[str, int], excused: Mapping[str, int], target_rows: Mapping[str, int]
) -> list[TenantCheck]:
    """One line per tenant that any side knows; excuses count only where the source has such rows."""
    return [
        TenantCheck(
            tenant,
            source_rows.get(tenant, 0),
            min(excused.get(tenant, 0), source_rows.get(tenant, 0)),
            target_rows.get(tenant, 0),
        )
        for tenant in sorted({*source_rows, *target_rows})
    ]


def _judge(job: SyncJob, batch: Batch, checks: list[TenantCheck]) -> expectations.Judgement:
    import pandas as pd  # half a second that only this step should pay

    total = sum(checks, TenantCheck(TOTAL, 0, 0, 0))
    counts = pd.DataFrame(
        [(c.tenant_id, c.source_rows, c.excused_rows, c.target_rows) for c in [*checks, total]],
        columns=["tenant_id", "source_rows", "excused_rows", "target_rows"],
    )
    return expectations.judge(
        counts,
        job_id=job.id,
        batch_id=batch.batch_id,
        limits={"mismatch_ratio_max": job.manifest.reconcile.mismatch_ratio_max},
        suite_path=project.root() / "include" / "expectations" / "sync_005.json",
        docs_dir=project.var() / "data_docs",
        may_be_empty=batch.mode is Mode.WINDOW,
    )


def _hold(
    job: SyncJob, batch: Batch, book: ledger.Ledger, checks: list[TenantCheck], judgement: expectations.Judgement
) -> None:
    limit = job.manifest.reconcile.mismatch_ratio_max
    differing = sum(1 for check in checks if check.mismatch_ratio > limit)
    if judgement.verdict is Verdict.MISMATCHED:
        total = sum(checks, TenantCheck(TOTAL, 0, 0, 0))
        because = (
            f"{CONTROL} found {total.difference_rows} of {total.source_rows} rows different in total "
            f"({total.mismatch_ratio:.3%}; the worst tenant {judgement.mismatch_ratio:.3%}), {differing} tenants above "
            f"the {limit:.3%} that is allowed"
        )
    else:
        because = f"{CONTROL} is unverified: {judgement.evidence.get('reason', 'the check did not run')}"
    book.held(batch, because, alerting.alert(job, batch.batch_id, CONTROL, because))
    alerting.deliver_pending()
    runbook = "batch-held" if judgement.verdict is Verdict.MISMATCHED else "batch-unverified"
    raise BatchHeld(job.id, batch.batch_id, because, runbook=runbook)


def _tell(job: SyncJob, batch: Batch, checks: list[TenantCheck], verdict: Verdict) -> None:
    log.info(
        "batch reconciled job=%s batch=%d tenants=%d source_rows=%d excused_rows=%d target_rows=%d verdict=%s",
        job.id,
        batch.batch_id,
        len(checks),
        sum(c.source_rows for c in checks),
        sum(c.excused_rows for c in checks),
        sum(c.target_rows for c in checks),
        verdict,
    )
