"""Read the source under one snapshot, mapped by its own engine, straight into the target's staging table.

Rows travel as binary COPY in blocks. Bad rows come along with their errors and end as dead letters; a batch with
more of them than the manifest allows is held, because then the source or the mapping is wrong, not the rows.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import replace

from syncline.adapters import ledger, source, target
from syncline.adapters.failpoints import failpoint
from syncline.adapters.source import Source
from syncline.core.compile import CompiledMapping, compile_mapping
from syncline.core.errors import BatchHeld, TerminalError, TransientError
from syncline.core.job import SyncJob
from syncline.core.models import table_identifier
from syncline.core.values import NO_TENANT, Balance, Batch, Counts, State
from syncline.steps import alerting

log = logging.getLogger(__name__)


def extract_and_map(job: SyncJob, batch_id: int) -> int:
    """Stage a batch at its target and record its cut-off; running it again starts from an empty staging table.

    Raises:
        SchemaDrift: Source or target are not what the mapping was written for; nothing was read.
        BatchHeld: More rows were rejected than the manifest allows.
    """
    started = time.monotonic()
    with ledger.opened(f"{job.id} extract") as book, book.attempt(job, batch_id, "extract_and_map") as batch:
        if batch.state not in (State.OPEN, State.EXTRACTED):
            return batch_id
        with target.writing(job, batch, step="extract") as there:
            there.preflight()
            if there.loaded() is not None:  # what is loaded is not read again under another cut-off
                return batch_id
            with source.reading(job) as here:
                here.preflight()
                cut_off = here.cut_off()
                compiled = compile_batch(job, here, batch)
                there.drop_leftovers()
                with closing(_blocks(here, compiled)) as blocks:
                    there.stage(compiled, blocks)
                counted = here.count(batch.tenants)
                _require_known_tenants(job, batch, {*counted.tenants} | there.grants())
                vanished = here.vanished(book.waiting_rows(batch))
            failpoint("extract.staged")
            superseded = there.settle_staging()
            balance = _balance(there.count_staged(), superseded)
            _require_all_arrived(job, batch, here.copied_rows, balance.total.extracted_rows)
            cut_off = replace(cut_off, source_max_at=counted.max_at)
            book.extracted(batch, cut_off, balance, counted.tenants, there.letters(), vanished)
        failpoint("extract.recorded")
        total = balance.total
        log.info(
            "batch extracted job=%s batch=%d extracted_rows=%d staged_rows=%d rejected_rows=%d seconds=%.1f",
            job.id,
            batch_id,
            total.extracted_rows,
            total.staged_rows,
            total.rejected_rows,
            time.monotonic() - started,
        )
        _hold_if_too_many_rejected(job, batch, book, total)
    alerting.deliver_pending()
    return batch_id


def compile_batch(job: SyncJob, here: Source, batch: Batch) -> CompiledMapping:
    """The job's mapping over its source table, for the rows that a batch owes."""
    return compile_mapping(
        job.mapping,
        table_identifier(job.source.table),
        where=here.delta(batch),
        deleted=source.deleted_column(job),
        key=job.target.key,
    )


def _blocks(here: Source, compiled: CompiledMapping) -> Generator[bytes, None, None]:
    """To be closed by whoever takes them: a COPY that is left open locks its session against its own rollback."""
    with closing(here.copy_out(compiled.select)) as blocks:
        for block in blocks:
            failpoint("extract.block")
            yield block


def _balance(staged: Mapping[str, tuple[int, int]], superseded: Mapping[str, int]) -> Balance:
    """What was extracted, as counted in the staging table; rows that a newer one of the same key replaced too."""
    tenants = {}
    for tenant in {*staged, *superseded}:
        kept, rejected = staged.get(tenant, (0, 0))
        gone = superseded.get(tenant, 0)
        tenants[tenant or NO_TENANT] = Counts(
            extracted_rows=kept + rejected + gone,
            rejected_rows=rejected,
            staged_rows=kept + gone,
            superseded_rows=gone,
        )
    return Balance(tenants)


def _require_known_tenants(job: SyncJob, batch: Batch, known: set[str]) -> None:
    """A tenant that was asked for by name and that nobody knows is a slip of the pen, not an empty batch."""
    unknown = sorted({*(batch.tenants or ())} - known)
    if unknown:
        raise TerminalError(
            f"{job.id}: batch {batch.batch_id} was asked for tenants that neither the source has rows of nor the "
            f"target grants: {', '.join(unknown)[:200]}. Nothing was loaded. Run the job again with the right ids."
        )


def _require_all_arrived(job: SyncJob, batch: Batch, sent_rows: int, arrived_rows: int) -> None:
    """Law 1 begins here: what the source's server sent is what stands in the staging table."""
    if sent_rows != arrived_rows:
        raise TransientError(
            f"{job.id}: batch {batch.batch_id}: the source sent {sent_rows} rows, {arrived_rows} arrived. "
            f"Nothing was recorded; the next try reads again"
        )


def _hold_if_too_many_rejected(job: SyncJob, batch: Batch, book: ledger.Ledger, total: Counts) -> None:
    limit = job.manifest.errors.rejected_ratio_max
    ratio = total.rejected_rows / max(total.extracted_rows, 1)
    if ratio <= limit or batch.is_dry_run:
        return
    reasons = ", ".join(
        f"{said} {letters}" for said, letters in book.open_reasons(job.id, limit=3, batch_id=batch.batch_id).items()
    )
    because = (
        f"{total.rejected_rows} of {total.extracted_rows} rows were rejected ({ratio:.2%}); {limit:.2%} is allowed. "
        f"Most: {reasons}"
    )
    book.held(batch, because, alerting.alert(job, batch.batch_id, "rejected-rows", because))
    alerting.deliver_pending()
    raise BatchHeld(job.id, batch.batch_id, because, runbook="rows-rejected")
