"""Read a large batch in parts: several tasks, on any workers, under one exported snapshot.

One task opens the batch's snapshot, posts the parts in the ledger and holds the snapshot until all are staged; it reads
parts itself, so nothing hangs on the others. They take what is free and go when nothing is. A part is staged in one
transaction that also notes its number, so a part that is read twice is staged once.
"""

from __future__ import annotations

import logging
import time
from contextlib import closing

from syncline.adapters import ledger, source, target
from syncline.adapters.failpoints import failpoint
from syncline.adapters.ledger import TakenPart
from syncline.adapters.source import Shared, Source
from syncline.adapters.target import Target
from syncline.core.compile import mapped_key
from syncline.core.errors import Fenced
from syncline.core.job import SyncJob
from syncline.core.parts import divide
from syncline.core.values import Batch, State
from syncline.steps.compiling import blocks_of, compile_batch

POLL_S = 0.5
log = logging.getLogger(__name__)


def read_in_parts(job: SyncJob, batch: Batch, book: ledger.Ledger, here: Source, there: Target) -> int:
    """Have everything staged in parts, by whoever helps; returns the rows that the source sent."""
    shared = here.share()
    there.make_staging(compile_batch(job, here, batch))
    book.post_parts(batch, shared.snapshot, divide(job.source.parts, here.blocks()))
    failpoint("parts.posted")
    while book.parts_left(batch.batch_id):
        taken = book.take_part(batch.batch_id)
        if taken is not None:
            _stage(job, batch, book, here, there, taken)
        else:
            time.sleep(POLL_S)
        here.stay()
    book.drop_parts(batch.batch_id)
    return there.sent_rows()


def is_waiting_for_parts(job: SyncJob, batch_id: int) -> bool:
    """Whether the batch is neither staged yet nor has posted its parts: a helper comes back later."""
    with ledger.opened(f"{job.id} parts") as book:
        return book.batch(batch_id).state is State.OPEN and not book.has_posted(batch_id)


def extract_parts(job: SyncJob, batch_id: int) -> int:
    """Help to read a batch: stage parts until none is free; returns how many."""
    done = 0
    with (
        ledger.opened(f"{job.id} parts") as book,
        book.guarding(job, batch_id, ledger.systems_of(job, "extract_and_map")),
    ):
        while taken := book.take_part(batch_id):
            try:
                done += _help(job, batch_id, book, taken)
            except Fenced:  # the attempt that posted it is over; what is posted anew is taken anew
                continue
            except BaseException:
                book.release_part(batch_id, taken)
                raise
    log.info("parts staged job=%s batch=%d parts=%d", job.id, batch_id, done)
    return done


def _help(job: SyncJob, batch_id: int, book: ledger.Ledger, taken: TakenPart) -> int:
    batch = book.batch(batch_id)
    if batch.epoch != taken.epoch:
        raise Fenced(job.id, batch_id, taken.epoch)
    with (
        source.reading(job, shared=Shared(taken.snapshot, None)) as here,
        target.writing(job, batch, step="parts") as there,
    ):
        _stage(job, batch, book, here, there, taken)
    return 1


def _stage(job: SyncJob, batch: Batch, book: ledger.Ledger, here: Source, there: Target, taken: TakenPart) -> None:
    condition = taken.part.condition(mapped_key(job.mapping, job.target.key))
    compiled = compile_batch(job, here, batch, also=condition)
    with closing(blocks_of(here, compiled.select)) as blocks:
        there.stage_part(taken.part.number, blocks, lambda: here.copied_rows)
    failpoint("parts.staged")
    book.part_done(batch.batch_id, taken)
