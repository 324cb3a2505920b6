"""Run a group of jobs as one: one snapshot of the source for all, published together or not at all.

Each member is staged, loaded and reconciled as it would be alone. What is the group's is the moment, and the gate: the
verdict of the group is the worst of its members', and readers see all of them or the last good state of all of them.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace

from syncline.adapters import ledger, source, target
from syncline.adapters.failpoints import failpoint
from syncline.core.errors import BatchHeld, SynclineError, TerminalError
from syncline.core.groups import Group
from syncline.core.values import Batch, BatchSummary, RunRequest, State, Verdict
from syncline.steps import alerting
from syncline.steps.extract import extract_and_map
from syncline.steps.load import load
from syncline.steps.open import open_batch
from syncline.steps.publish import MARKERS_KEPT
from syncline.steps.reconcile import reconcile

STAY_S = 5  # between two signs of life of the session that holds the snapshot
log = logging.getLogger(__name__)


def run_group(group: Group, request: RunRequest) -> list[BatchSummary]:
    """All members from opening to publication. Raises what the failing step raises; then none is published."""
    batch_ids = open_group(group, request)
    failed: SynclineError | None = None
    try:
        extract_group(group, batch_ids)
        for job in group.jobs:
            reconcile(job, load(job, batch_ids[job.id]))
    except SynclineError as error:
        failed = error
    try:
        return publish_group(group, batch_ids)
    except BatchHeld:
        raise failed or BatchHeld(group.name, 0, "not all members are matched") from None


def open_group(group: Group, request: RunRequest) -> dict[str, int]:
    """Open a batch of each member; returns job id -> batch id.

    An approval of deletions is for the member whose batch was held.
    """
    asked = dict.fromkeys((job.id for job in group.jobs), replace(request, approve_deletes=None))
    if request.approve_deletes is not None:
        with ledger.opened(f"{group.name} open") as book:
            owner = book.batch(request.approve_deletes).job_id
        if owner not in asked:
            raise TerminalError(
                f"group {group.name}: batch {request.approve_deletes} belongs to {owner}, which is no member. Nothing "
                f"was opened."
            )
        asked[owner] = request
    return {job.id: open_batch(job, asked[job.id], in_group=True) for job in group.jobs}


def extract_group(group: Group, batch_ids: dict[str, int]) -> None:
    """Stage all members under one snapshot, which this process holds until the last one is staged."""
    if _is_read(group, batch_ids):
        return
    sessions = min(job.source.connections_max for job in group.jobs)
    with source.reading(group.jobs[0]) as here, ThreadPoolExecutor(max(1, sessions - 1)) as pool:
        shared = here.share()
        running = [pool.submit(extract_and_map, job, batch_ids[job.id], shared=shared) for job in group.jobs]
        while wait(running, timeout=STAY_S).not_done:
            here.stay()
    for one in running:
        one.result()


def _is_read(group: Group, batch_ids: dict[str, int]) -> bool:
    """Whether all members stand read at one moment already: a retry after a load reads none of them anew."""
    with ledger.opened(f"{group.name} extract") as book:
        batches = [book.batch(batch_ids[job.id]) for job in group.jobs]
    moments = {batch.upper.snapshot if batch.upper else None for batch in batches}
    is_begun = any(batch.state not in (State.OPEN, State.EXTRACTED) for batch in batches)
    return is_begun and State.OPEN not in {batch.state for batch in batches} and len(moments) == 1


def publish_group(group: Group, batch_ids: dict[str, int]) -> list[BatchSummary]:
    """Open the gate for all members at once; where one is not proven, hold all.

    Raises:
        BatchHeld: Not all members are matched, or they were not read at one moment; none was published.
    """
    with ledger.opened(f"{group.name} publish") as book:
        batches = [book.batch(batch_ids[job.id]) for job in group.jobs]
        if because := _not_together(group, batches):
            _hold(group, book, batches, because)
        failpoint("group.before")
        book.published_together([batch for batch in batches if not batch.state.is_final])
        failpoint("group.recorded")
        for job, batch in zip(group.jobs, batches, strict=True):
            with target.writing(job, batch, step="publish") as there:
                there.drop_staging()
                there.forget_deleted(MARKERS_KEPT)
        summaries = [book.summary(batch.batch_id) for batch in batches]
    log.info("group published group=%s members=%d", group.name, len(summaries))
    alerting.deliver_pending()
    return summaries


def _not_together(group: Group, batches: list[Batch]) -> str | None:
    """Why the members cannot be published as one; None where they can."""
    verdict = Verdict.worst(batch.verdict for batch in batches)
    if not verdict.ok:
        of = ", ".join(f"{batch.job_id} {batch.state} {batch.verdict}" for batch in batches if not batch.verdict.ok)
        return f"group '{group.name}' is {verdict}: {of}"
    if {batch.state for batch in batches} - {State.RECONCILED, State.PUBLISHED}:
        return f"group '{group.name}' is not complete: a member was overtaken"
    if len({batch.upper.snapshot for batch in batches if batch.upper}) != 1:
        return f"group '{group.name}' was not read at one moment: clear the run from `open`"
    return None


def _hold(group: Group, book: ledger.Ledger, batches: list[Batch], because: str) -> None:
    """One alert for all; a member that is held already has raised its own."""
    left = [(job, batch) for job, batch in zip(group.jobs, batches, strict=True) if not batch.state.is_final]
    is_told = any(batch.state is State.HELD for batch in batches)
    for n, (job, batch) in enumerate(left):
        alert = None if is_told or n else alerting.alert(job, batch.batch_id, "group", because)
        book.held(batch, because, alert)
    alerting.deliver_pending()
    raise BatchHeld(batches[0].job_id, batches[0].batch_id, because, runbook="group-held")
