"""Read the source under one snapshot, mapped by its own engine, straight into the target's staging table.

Rows travel as binary COPY in blocks. Bad rows come along with their errors and end as dead letters; a batch with
more of them than the manifest allows is held, because then the source or the mapping is wrong, not the rows.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace

from syncline.adapters import ledger, source, target
from syncline.adapters.failpoints import failpoint
from syncline.adapters.identity import read_columns
from syncline.adapters.source import Shared, Source, SourceCount
from syncline.core.catalogs.drift import changed_columns
from syncline.core.errors import BatchHeld, TerminalError, TransientError
from syncline.core.identity import Sighting
from syncline.core.job import SyncJob
from syncline.core.values import NO_TENANT, Balance, Batch, Counts, Mode, State
from syncline.steps import alerting
from syncline.steps.comparing import Found, compare, keys_of
from syncline.steps.compiling import blocks_of, compile_batch
from syncline.steps.drifting import proposing
from syncline.steps.parts import read_in_parts
from syncline.steps.scope import scope

log = logging.getLogger(__name__)


def extract_and_map(job: SyncJob, batch_id: int, *, shared: Shared | None = None) -> int:
    """Stage a batch at its target and record its cut-off; running it again starts from an empty staging table.

    Args:
        shared: The moment at which a whole group is read.

    Raises:
        SchemaDrift: Source or target are not what the mapping was written for; nothing was read.
        BatchHeld: More rows were rejected than the manifest allows.
    """
    started = time.monotonic()
    with ledger.opened(f"{job.id} extract") as book, book.attempt(job, batch_id, "extract_and_map") as batch:
        if batch.state not in (State.OPEN, State.EXTRACTED):
            return batch_id
        with proposing(job), target.writing(job, batch, step="extract") as there:
            there.preflight()
            if there.loaded() is not None:  # what is loaded is not read again under another cut-off
                return batch_id
            with source.reading(job, shared=shared) as here:
                look_at_both(job, batch, book, here, there)
                cut_off = here.cut_off()
                failpoint("extract.begun")
                counted = here.count(batch)
                _tell_hidden(job, batch, counted)
                there.drop_leftovers()
                grants = there.grants()
                tenants = scope(job, batch, {*counted.tenants} | book.known_tenants(job.id), grants)
                found = compare(job, batch, here, there, counted, tenants)
                sent_rows = _stage(job, batch, book, here, there, counted, found)
                _stage_what_is_there(job, batch, here, there, found)
                _require_known_tenants(job, batch, {*counted.tenants} | grants)
                vanished = here.vanished(book.waiting_rows(batch))
            failpoint("extract.staged")
            superseded = there.settle_staging()
            failpoint("extract.settled")
            arrived = balance_of(there.count_staged(), superseded)
            _require_all_arrived(job, batch, sent_rows, arrived.total.extracted_rows)
            balance = _with_equal_rows(job, batch, arrived, counted, found)
            cut_off = replace(cut_off, source_max_at=counted.max_at)
            book.extracted(
                batch,
                cut_off,
                balance,
                counted.tenants,
                there.letters(),
                vanished,
                difference=found.difference if found else None,
            )
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
        hold_if_too_many_rejected(job, batch, book, total)
    alerting.deliver_pending()
    return batch_id


def look_at_both(job: SyncJob, batch: Batch, book: ledger.Ledger, here: Source, there: target.Target) -> None:
    """Recognise the source, compare its tables with the mapping, and record what both sides look like.

    Raises:
        SourceReplaced: The source is not the one that the watermark belongs to.
        SchemaDrift: A table is not what the mapping was written for.
    """
    known = book.known_sighting(job.id)
    accepted = here.recognise(batch, known.identity if known else None)
    here.preflight()
    if here.identity is None:
        return
    notes = [*here.notes(), *_passing_changes(job, known, here, there)]
    book.saw(batch, Sighting(here.identity, here.columns(), there.columns(), tuple(notes)), accepted)
    for said in accepted:
        log.warning("another source accepted job=%s batch=%d %s", job.id, batch.batch_id, said)
    for note in notes:
        log.warning("schema changed job=%s batch=%d %s", job.id, batch.batch_id, note)


def _passing_changes(job: SyncJob, known: Sighting | None, here: Source, there: target.Target) -> Iterator[str]:
    if known is not None:
        stamps = job.target.stamps
        written = {*job.mapping.fields, *filter(None, (stamps.batch, stamps.loaded_at, job.target.deleted))}
        yield from changed_columns(job.source.table, known.source_columns, here.columns(), {*read_columns(job)})
        yield from changed_columns(job.target.table, known.target_columns, there.columns(), written)


def _tell_hidden(job: SyncJob, batch: Batch, counted: SourceCount) -> None:
    if not counted.is_cursor_true:
        log.warning(
            "every row is looked at job=%s batch=%d hidden_rows=%d: they changed, and their cursor '%s' is older",
            job.id,
            batch.batch_id,
            counted.hidden_rows,
            job.source.cursor,
        )


def _stage(
    job: SyncJob,
    batch: Batch,
    book: ledger.Ledger,
    here: Source,
    there: target.Target,
    counted: SourceCount,
    found: Found | None,
) -> int:
    """Stage what the batch owes and what is not equal already; returns the rows that the source sent."""
    is_whole = batch.mode is Mode.FULL and found is None
    if is_whole and job.source.parts > 1:
        return read_in_parts(job, batch, book, here, there)
    in_ranges = found.condition(job) if found is not None and batch.mode is Mode.FULL else None
    compiled = compile_batch(job, here, batch, by_cursor=counted.is_cursor_true, also=in_ranges)
    with closing(blocks_of(here, compiled.select)) as blocks:
        there.stage(compiled, blocks)
    return here.copied_rows


def _stage_what_is_there(job: SyncJob, batch: Batch, here: Source, there: target.Target, found: Found | None) -> None:
    """What the load needs beside the rows to know which rows of the copy are absent from the source."""
    if not job.finds_absent(batch.mode):
        return
    if found is not None:
        there.stage_ranges(found.ranges)
    if batch.mode is Mode.INCREMENTAL:
        with closing(blocks_of(here, keys_of(job, batch, here, found))) as blocks:
            there.stage_keys(blocks)


def _with_equal_rows(
    job: SyncJob, batch: Batch, arrived: Balance, counted: SourceCount, found: Found | None
) -> Balance:
    """The rows of equal ranges were read by the source alone: they count as staged, and are unchanged."""
    if found is None or batch.mode is not Mode.FULL:
        return arrived
    equal = {
        tenant: rows - arrived.tenants.get(tenant, Counts()).extracted_rows
        for tenant, rows in counted.read_rows.items()
    }
    if min(equal.values(), default=0) < 0 or sum(equal.values()) != found.difference.equal_rows:
        raise TransientError(
            f"{job.id}: batch {batch.batch_id}: {found.difference.equal_rows} rows were compared and found equal, but "
            f"{sum(equal.values())} were not staged. Nothing was recorded; the next try compares again"
        )
    return arrived.merged(Balance.unchanged(equal))


def balance_of(staged: Mapping[str, tuple[int, int]], superseded: Mapping[str, int]) -> Balance:
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


def hold_if_too_many_rejected(job: SyncJob, batch: Batch, book: ledger.Ledger, total: Counts) -> None:
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
