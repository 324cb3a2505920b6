"""SYNC-005: prove that the target holds what the source held at the cut-off, per tenant and in total.

The source was counted under the extraction's snapshot; the target's final table is counted here, whoever wrote it, and
each key that the batch brought is looked up in it. Rows that wait in dead letters and are not in the target are
excused, by name. A window answers for its own rows: the source's that lie in it, and the target's of the same keys. The
judge is a Great Expectations suite with the manifest's limits (core/suites.py says which). What moves between the load
and the count is the target, under somebody else's hand: a difference is counted again before it is believed. Anything
but `matched` holds the batch.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import astuple
from typing import TYPE_CHECKING

from syncline.adapters import expectations, judging, ledger, project, target
from syncline.adapters.failpoints import failpoint
from syncline.adapters.target import Target
from syncline.core.errors import BatchHeld, TerminalError
from syncline.core.job import SyncJob
from syncline.core.outcomes import balance_sheet
from syncline.core.suites import judging_suite
from syncline.core.values import TOTAL, Balance, Batch, Counts, KeyCheck, State, TenantCheck, Verdict
from syncline.steps import alerting
from syncline.steps.scope import scope

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)
CONTROL = "SYNC-005"
SETTLE_S = 3.0  # a transaction of somebody else that wrote a few rows has ended by then


def reconcile(job: SyncJob, batch_id: int) -> int:
    """Judge a loaded batch and keep the evidence.

    Raises:
        BatchHeld: The verdict is not `matched`; the alert is queued, nothing is published.
    """
    with ledger.opened(f"{job.id} reconcile") as book, book.attempt(job, batch_id, "reconcile") as batch:
        if batch.state.is_final:
            return _finished(job, batch)
        _require_loaded(job, batch)
        judging.prepare()
        balance = book.counts(batch_id)
        checks, resolved = _count(job, batch, balance, book)
        judgement = _judge(job, batch, balance, checks)
        if judgement.verdict is Verdict.MISMATCHED:
            checks, resolved, judgement = _count_again(job, batch, balance, book, judgement)
        failpoint("reconcile.judged")
        limit = job.manifest.reconcile.mismatch_ratio_max
        book.reconciled(batch, checks, judgement.verdict, judgement.mismatch_ratio, limit, judgement.evidence, resolved)
        failpoint("reconcile.recorded")
        _tell(job, batch, balance, checks, judgement.verdict)
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


def _count(job: SyncJob, batch: Batch, balance: Balance, book: ledger.Ledger) -> tuple[list[TenantCheck], list[int]]:
    """Both sides per tenant, and the dead letters whose row came through clean."""
    source_rows = book.source_rows(batch.batch_id)
    asked = {*source_rows, *balance.tenants}
    if batch.tenants is None:
        asked |= book.known_tenants(job.id)
    with target.writing(job, batch, step="reconcile") as there:
        tenants = scope(job, batch, asked, there.grants())
        if not tenants and job.tenant_column is not None:  # nothing there may be looked at: nothing will be proven
            return _line_up(source_rows, {}, {}, None), []
        if batch.mode.answers_for_itself and not _is_staged(there, balance.total):
            log.warning("staging table lost, the window cannot be proven job=%s batch=%d", job.id, batch.batch_id)
            return [], []
        with closing(book.waiting_keys(job.id)) as waiting:
            settled, excused = there.settle_letters(tenants, waiting)
        counted = there.count_rows(tenants)
    if counted.keys is None:
        log.warning("staging table lost, counts alone prove the batch job=%s batch=%d", job.id, batch.batch_id)
    return _line_up(source_rows, excused, counted.rows, counted.keys), settled


def _count_again(
    job: SyncJob, batch: Batch, balance: Balance, book: ledger.Ledger, first: expectations.Judgement
) -> tuple[list[TenantCheck], list[int], expectations.Judgement]:
    """Let the target settle, and judge it anew; what was found before stays in the evidence."""
    log.warning(
        "sides differ, counting again job=%s batch=%d mismatch_ratio=%.6f settle_s=%.1f",
        job.id, batch.batch_id, first.mismatch_ratio, SETTLE_S,
    )  # fmt: skip
    time.sleep(SETTLE_S)
    checks, resolved = _count(job, batch, balance, book)
    judgement = _judge(job, batch, balance, checks)
    told = {name: first.evidence[name] for name in ("total", "worst_tenants")}
    judgement.evidence["before_settling"] = {"mismatch_ratio": first.mismatch_ratio, **told}
    return checks, resolved, judgement


def _is_staged(there: Target, total: Counts) -> bool:
    """Whether the keys of the window still stand in staging; rows that met in one key there are one row."""
    outcomes = there.loaded()
    if outcomes is None:
        return False
    met_rows = total.superseded_rows - outcomes.total.superseded_rows
    return there.has_staged(total.extracted_rows - met_rows)


def _line_up(
    source_rows: Mapping[str, int],
    excused: Mapping[str, int],
    target_rows: Mapping[str, int],
    keys: Mapping[str, KeyCheck] | None,
) -> list[TenantCheck]:
    """One line per tenant that any side knows; excuses count only where the source has such rows."""
    return [
        TenantCheck(
            tenant,
            source_rows.get(tenant, 0),
            min(excused.get(tenant, 0), source_rows.get(tenant, 0)),
            target_rows.get(tenant, 0),
            None if keys is None else keys.get(tenant, KeyCheck()),
        )
        for tenant in sorted({*source_rows, *target_rows, *(keys or ())})
    ]


def _judge(job: SyncJob, batch: Batch, balance: Balance, checks: list[TenantCheck]) -> expectations.Judgement:
    suite, is_stale = judging_suite(project.root(), job)
    if is_stale:
        log.warning("the job's own suite is not as generated, judging by %s job=%s", suite, job.id)
    return expectations.judge(
        _tabulate(balance, checks),
        job_id=job.id,
        batch_id=batch.batch_id,
        limits={"mismatch_ratio_max": job.manifest.reconcile.mismatch_ratio_max},
        suite_path=project.root() / suite,
        docs_dir=project.var() / "data_docs",
        may_be_empty=batch.mode.answers_for_itself,
    )


def _tabulate(balance: Balance, checks: list[TenantCheck]) -> pd.DataFrame:
    """A line per tenant that was counted or that the batch read rows of, and one for the total."""
    import pandas as pd  # half a second that only this step should pay

    counted = {check.tenant_id: check for check in checks}
    unread = sorted({*balance.tenants} - {*counted}) if checks else ()
    no_keys = None if None in (check.keys for check in checks) else KeyCheck()
    lines = [*checks, *(TenantCheck(tenant, 0, 0, 0, no_keys) for tenant in unread)]
    table = pd.DataFrame(
        [
            (line.tenant_id, line.source_rows, line.excused_rows, line.target_rows)
            + (astuple(line.keys) if line.keys else (None, None, None))
            + astuple(balance.tenants.get(line.tenant_id, Counts()))
            for line in lines
        ],
        columns=["tenant_id", *expectations.NUMBERS],
    ).astype(dict.fromkeys(expectations.NUMBERS, "float64"))
    total = table[[*expectations.NUMBERS]].sum(min_count=len(lines))  # of keys that were not looked up there is none
    table.loc[len(table)] = [TOTAL, *total]
    return table


def _hold(
    job: SyncJob, batch: Batch, book: ledger.Ledger, checks: list[TenantCheck], judgement: expectations.Judgement
) -> None:
    if judgement.verdict is Verdict.MISMATCHED:
        because = _difference_told(job, checks, judgement)
    else:
        because = f"{CONTROL} is unverified: {judgement.evidence.get('reason', 'the check did not run')}"
    book.held(batch, because, alerting.alert(job, batch.batch_id, CONTROL, because, kind=judgement.verdict))
    alerting.deliver_pending()
    runbook = "batch-held" if judgement.verdict is Verdict.MISMATCHED else "batch-unverified"
    raise BatchHeld(job.id, batch.batch_id, because, runbook=runbook)


def _difference_told(job: SyncJob, checks: list[TenantCheck], judgement: expectations.Judgement) -> str:
    """What differs, in counts; or which rules of the job's suite do not hold, where that is not it."""
    limit = job.manifest.reconcile.mismatch_ratio_max
    differing = sum(1 for check in checks if check.mismatch_ratio > limit)
    if not differing:
        failed = [said for said in judgement.evidence["results"] if not said["success"]]
        about = {said["kwargs"].get("column", said["expectation"]) for said in failed}
        return f"{CONTROL}: rules of the suite {judgement.evidence['suite']} do not hold: {', '.join(sorted(about))}"
    source, missing, extra = (
        sum(getattr(check, name) for check in checks) for name in ("source_rows", "missing_rows", "extra_rows")
    )
    return (
        f"{CONTROL} found {missing + extra} of {source} rows different in total ({missing} missing, {extra} too many; "
        f"{(missing + extra) / max(source, 1):.3%}; the worst tenant {judgement.mismatch_ratio:.3%}), {differing} "
        f"tenants above the {limit:.3%} that is allowed"
    )


def _tell(job: SyncJob, batch: Batch, balance: Balance, checks: list[TenantCheck], verdict: Verdict) -> None:
    for line in balance_sheet(batch.batch_id, balance.total, checks):
        log.info("%s", line)
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
