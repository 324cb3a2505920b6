"""Compare a job's copy with its source, record by record (SYNC-008): counts, checksums of key ranges, then single rows.

Cheapest first. Both databases count and hash their own rows, each under one snapshot, both taken together; only ranges
that differ are looked into, where the source's rows travel to the copy's server and both versions meet. A difference
counts when it stood unchanged in two looks. The worker sees numbers of ranges and at most the keys that differ.

An interrupted comparison goes on where it ended: ranges that were found equal are not hashed again, the others are
looked at under new snapshots, as every difference is.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

import psycopg
from psycopg import sql
from psycopg.sql import Composable

from syncline.adapters import ledger
from syncline.adapters.comparing import Ranges, side_by_side
from syncline.adapters.failpoints import failpoint
from syncline.adapters.ledger import Ledger
from syncline.adapters.source import Source, reading
from syncline.adapters.source_records import Published, mapped_spellings, of_keys, of_tenants, records
from syncline.adapters.target.records import Records, Where, comparing
from syncline.core.checksums import Columns, hash_of, in_ranges, mapped_checksums, range_of
from syncline.core.compile import mapped_key
from syncline.core.errors import SynclineError, TerminalError
from syncline.core.job import SyncJob
from syncline.core.parts import Part, divide
from syncline.core.record_comparison import (
    Cause,
    ComparisonRequest,
    ComparisonSummary,
    Depth,
    RecordClass,
    RecordCount,
    worst,
)
from syncline.core.transforms import template
from syncline.core.values import TOTAL, Batch, Mode, State, Verdict
from syncline.steps.compiling import blocks_of, compile_batch
from syncline.steps.scope import scope

ROWS_PER_RANGE = 64  # a range that differs costs so many rows; more ranges cost the servers memory
BITS_MAX = 20
SESSIONS_MAX = 2  # at the source, at one time
SETTLE_S = 0.5  # between two looks at a difference: what is on its way has arrived by then
LOOKS_MAX = 8  # what changed between all of them is in flight
KEYS_KEPT_MAX = 100_000  # that differ: kept for repair; beyond, the counts say enough
KEYS_AT_ONCE = 10_000  # looked up one by one; more are found by their ranges again
CONFIDENT_SHARE = 0.001  # a sample says how sure it is that no more than this share differs
SAMPLE_BITS = 20
log = logging.getLogger(__name__)


@dataclass
class _Seen:
    """What both sides showed at the cut-off."""

    source_as_of: datetime | None = None
    target_as_of: datetime | None = None
    source_rows: dict[str, int] = field(default_factory=dict)
    target_rows: dict[str, int] = field(default_factory=dict)
    sampled_rows: int = 0
    bits: int = 0
    ranges: list[int] = field(default_factory=list)


def compare_records(job: SyncJob, request: ComparisonRequest, *, settle_s: float = SETTLE_S) -> ComparisonSummary:
    """Compare all records of a job, or a sample, and record what differs and why. Nothing is written to either side.

    Args:
        settle_s: How long a difference must stand before it counts.

    Raises:
        SynclineError: No answer: the comparison is recorded as unverified, and the same run may go on with it.
    """
    _require_sensible(request)
    with ledger.opened(f"{job.id} compare") as book:
        begun = book.begin_comparison(job, request)
        try:
            return _Comparison(job, request, book, begun, settle_s).run()
        except SynclineError as error:
            book.comparison_failed(begun.comparison_id, f"{type(error).__name__}: {error}"[:1000])
            raise
        except BaseException as error:
            book.comparison_failed(begun.comparison_id, type(error).__name__)
            raise


def _require_sensible(request: ComparisonRequest) -> None:
    if request.sample_ratio is not None and not 0 < request.sample_ratio < 1:
        raise TerminalError("a sample is above 0 % and below 100 % of the keys; without --sample all are compared")


class _Comparison:
    """One comparison on its way; what its parts share."""

    def __init__(
        self, job: SyncJob, request: ComparisonRequest, book: Ledger, begun: ledger.Begun, settle_s: float
    ) -> None:
        self.job, self.request, self.book, self.begun, self.settle_s = job, request, book, begun, settle_s
        self.batch = Batch(0, job.id, request.run_key, Mode.FULL, State.OPEN, 0, tenants=request.tenants)
        self.seen = _Seen()
        self.published: Published | None = None
        self.looked_at = 0.0

    def run(self) -> ComparisonSummary:
        started = time.monotonic()
        with comparing(self.job, keeps_columns=self.request.depth is Depth.RECORDS) as there:
            there.prepare()
            pending = self._look_first(there)
            failpoint("compare.looked")
            look = 1
            while pending and look < LOOKS_MAX:
                look += 1
                pending = self._look_again(there, look)
            if pending:
                there.give_up()
            summary = self._record(there)
        log.info(
            "records compared job=%s comparison=%d source_rows=%d target_rows=%d differing_rows=%d excused_rows=%d"
            " verdict=%s looks=%d seconds=%.1f",
            self.job.id, summary.comparison_id, summary.source_rows, summary.target_rows, summary.differing_rows,
            summary.excused_rows, summary.verdict, look, time.monotonic() - started,
        )  # fmt: skip
        return summary

    # --- looks

    def _look_first(self, there: Records) -> int:
        """Counts, checksums, a look into the ranges that differ; returns how many records to look at again."""
        self.published = self.book.last_published(self.job)
        known, grants = self.book.known_tenants(self.job.id), there.grants()
        with reading(self.job) as here:
            here.preflight()
            _require_comparable(self.job, here, there)
            self.looked_at = time.monotonic()
            cut_off = here.cut_off()
            tenants = scope(self.job, self.batch, self._source_tenants(here) | known, grants)
            with there.looking(tenants) as target_as_of:
                if self.begun.progress:
                    self._go_on(cut_off.source_as_of, target_as_of)
                else:
                    self._hash(here, there, cut_off.source_as_of, target_as_of)
                if not self.seen.ranges:
                    return 0
                log.info(
                    "looking into ranges that differ job=%s comparison=%d ranges=%d",
                    self.job.id, self.begun.comparison_id, len(self.seen.ranges),
                )  # fmt: skip
                key = mapped_key(self.job.mapping, self.job.target.key)
                where = in_ranges(key, self.seen.bits, self.seen.ranges)
                self._judge(here, there, 1, [where, *_given(self._sample(key))], self.seen.ranges)
        return there.settle_excused(1)

    def _look_again(self, there: Records, look: int) -> int:
        """Look once more at what has not settled, under new snapshots, a moment later."""
        time.sleep(max(0.0, self.looked_at + self.settle_s - time.monotonic()))
        keys = there.unsettled(KEYS_AT_ONCE + 1)
        known, grants = self.book.known_tenants(self.job.id), there.grants()
        self.published = self.book.last_published(self.job)
        with reading(self.job) as here:
            here.preflight()
            self.looked_at = time.monotonic()
            here.cut_off()  # the snapshot is taken here, beside the copy's
            tenants = scope(self.job, self.batch, {*self.seen.source_rows} | known, grants)
            with there.looking(tenants):
                if len(keys) <= KEYS_AT_ONCE:
                    where, ranges = of_keys(here, keys), None
                else:
                    key = mapped_key(self.job.mapping, self.job.target.key)
                    where, ranges = in_ranges(key, self.seen.bits, self.seen.ranges), self.seen.ranges
                self._judge(here, there, look, [where], ranges)
        return there.settle(look)

    def _judge(
        self, here: Source, there: Records, look: int, where: list[Composable], ranges: list[int] | None
    ) -> None:
        where = [*where, *of_tenants(here, self.request.tenants)]
        select = records(here, there.fields, there.hashed, sql.SQL(" and ").join(where), self.published)
        with closing(blocks_of(here, select)) as blocks, closing(self.book.waiting_keys(self.job.id)) as waiting:
            there.take(blocks, (letter.target_key for letter in waiting))
        sample = self._sample(there.key()) if ranges is not None else None
        held = self.published is not None and self.published.is_held
        there.judge(look, Where(self.seen.bits, ranges, sample), owed=Cause.HELD_BATCH if held else None)

    # --- checksums

    def _source_tenants(self, here: Source) -> set[str]:
        """Counted per tenant, as the manifest's filter has it; kept, because whoever compares wants the numbers."""
        self.seen.source_rows = here.count(self.batch).tenants
        return {*self.seen.source_rows}

    def _hash(self, here: Source, there: Records, source_as_of: datetime, target_as_of: datetime) -> None:
        """Find the ranges that differ; the numbers are kept, so that a crash costs no second pass."""
        seen = self.seen
        seen.source_as_of, seen.target_as_of = source_as_of, target_as_of
        seen.bits = _bits_for(sum(seen.source_rows.values()))
        at_source, at_target = Ranges(seen.bits), Ranges(seen.bits)
        log.info(
            "hashing both sides job=%s comparison=%d source_rows=%d ranges=%d",
            self.job.id, self.begun.comparison_id, sum(seen.source_rows.values()), 2**seen.bits,
        )  # fmt: skip
        with ExitStack() as stack:
            tasks: list[tuple[psycopg.Connection, Callable[[], None]]] = []
            blocks = here.blocks()
            sessions = min(SESSIONS_MAX, self.job.source.connections_max)
            for part in divide(sessions if blocks else 1, blocks):
                beside = here if part.number == 0 else stack.enter_context(here.beside())
                tasks.append((beside.session, partial(beside.compare, self._of_part(beside, part), at_source)))
            tasks.append((there.session, partial(self._ask_copy, there, at_target)))
            side_by_side(tasks)
        doubled = set() if here.is_key_unique else {*self._doubled(here)}
        if not there.is_key_unique():
            doubled |= {*there.doubled(seen.bits, self._sample(there.key()))}
        seen.ranges = sorted({*at_source.differing(at_target).tolist()} | doubled)
        seen.sampled_rows = int(at_source.rows.sum() + at_source.rejected.sum())
        self._keep_progress()
        log.info(
            "checksums compared job=%s comparison=%d rows=%d ranges=%d differing_ranges=%d",
            self.job.id, self.begun.comparison_id, seen.sampled_rows, 2**seen.bits, len(seen.ranges),
        )  # fmt: skip

    def _of_part(self, here: Source, part: Part) -> Composable:
        key = mapped_key(self.job.mapping, self.job.target.key)
        also = [*_given(part.condition(key)), *_given(self._sample(key))]
        compiled = compile_batch(self.job, here, self.batch, also=sql.SQL(" and ").join(also) if also else None)
        return mapped_checksums(compiled, self.job.target.key, mapped_spellings(here), self.seen.bits)

    def _ask_copy(self, there: Records, ranges: Ranges) -> None:
        self.seen.target_rows = there.count()
        there.ask(ranges, self.seen.bits, self._sample(there.key()))

    def _doubled(self, here: Source) -> list[int]:
        """Ranges in which two rows of the source have one key: their checksums may cancel."""
        key = mapped_key(self.job.mapping, self.job.target.key)
        where = [*here.living(self.batch), *_given(self._sample(key))]
        return here.numbers(
            sql.SQL("select distinct {range} from {table} as s{where} group by {key} having count(*) > 1").format(
                range=range_of(key, self.seen.bits),
                table=here.table,
                where=template(" where {c}", c=sql.SQL(" and ").join(where)) if where else sql.SQL(""),
                key=sql.SQL(", ").join(value for value, _ in key.values()),
            )
        )

    def _sample(self, key: Columns) -> Composable | None:
        """The condition that a key is in the sample, over either side; by other bits of its hash than the ranges."""
        if self.request.sample_ratio is None:
            return None
        below = max(1, round(self.request.sample_ratio * 2**SAMPLE_BITS))
        return template(
            "((({h}) >> 40) & {mask}) < {below}",
            h=hash_of(key), mask=sql.Literal(2**SAMPLE_BITS - 1), below=sql.Literal(below),
        )  # fmt: skip

    # --- what an interrupted try left

    def _keep_progress(self) -> None:
        seen = self.seen
        if len(seen.ranges) > KEYS_KEPT_MAX:
            return  # so much is hashed anew
        progress = {
            "bits": seen.bits, "ranges": seen.ranges, "source_rows": seen.source_rows, "target_rows": seen.target_rows,
            "sampled_rows": seen.sampled_rows, "source_as_of": seen.source_as_of and seen.source_as_of.isoformat(),
            "target_as_of": seen.target_as_of and seen.target_as_of.isoformat(),
        }  # fmt: skip
        self.book.keep_progress(self.begun.comparison_id, progress)
        failpoint("compare.hashed")

    def _go_on(self, source_as_of: datetime, target_as_of: datetime) -> None:
        told: dict[str, Any] = dict(self.begun.progress)
        for name, now in (("source_as_of", source_as_of), ("target_as_of", target_as_of)):
            told[name] = datetime.fromisoformat(told[name]) if told[name] else now
        self.seen = _Seen(**told)
        log.info("comparison goes on job=%s comparison=%d", self.job.id, self.begun.comparison_id)

    # --- the result

    def _record(self, there: Records) -> ComparisonSummary:
        counts: list[RecordCount] = []
        of_source: Counter[str] = Counter()  # tenant -> rows of the source whose keys differ
        for tenant, kind, cause, severity, is_excused, columns, rows, here_rows in there.counts():
            words = (RecordClass(kind), Cause(cause), severity, is_excused, rows, tuple(columns))
            counts.append(RecordCount(tenant, *words))
            of_source[tenant] += here_rows
        summary = self._summary(counts, of_source.total())
        counts += self._identical(of_source, summary.identical_rows)
        with closing(there.found(KEYS_KEPT_MAX)) as found:
            self.book.compared(summary, counts, found, published=self.published, target_as_of=self.seen.target_as_of)
        return summary

    def _summary(self, counts: list[RecordCount], differing_of_source: int) -> ComparisonSummary:
        rows = {kind: sum(c.rows for c in counts if c.record_class is kind) for kind in RecordClass}
        excused = sum(c.rows for c in counts if c.is_excused)
        differing = sum(rows.values())
        identical = max(0, self.seen.sampled_rows - differing_of_source)
        keys = identical + differing
        source_rows, target_rows = sum(self.seen.source_rows.values()), sum(self.seen.target_rows.values())
        verdict, reason = Verdict.MATCHED if differing == excused else Verdict.MISMATCHED, ""
        if keys == 0:
            verdict, reason = Verdict.UNVERIFIED, "no record on either side: nothing was compared"
        return ComparisonSummary(
            self.begun.comparison_id,
            self.job.id,
            self.request.depth,
            verdict,
            source_rows,
            target_rows,
            identical,
            rows[RecordClass.MISMATCHED],
            rows[RecordClass.MISSING_IN_TARGET],
            rows[RecordClass.MISSING_IN_SOURCE],
            rows[RecordClass.DUPLICATE_KEY],
            excused,
            raw_match_ratio=identical / keys if keys else None,
            match_ratio=(identical + excused) / keys if keys else None,
            severity=worst(c.severity for c in counts if not c.is_excused),
            source_as_of=self.seen.source_as_of,
            sample_ratio=self.request.sample_ratio,
            confidence=_confidence(keys, differing - excused) if self.request.sample_ratio is not None else None,
            reason=reason,
        )

    def _identical(self, differing: Mapping[str, int], identical_rows: int) -> list[RecordCount]:
        """Identical records per tenant; of a sample only in total."""
        rows = {tenant: counted - differing.get(tenant, 0) for tenant, counted in sorted(self.seen.source_rows.items())}
        if self.request.sample_ratio is not None:
            rows = {TOTAL: identical_rows}
        return [
            RecordCount(tenant, RecordClass.IDENTICAL, None, None, False, max(0, number))
            for tenant, number in rows.items()
        ]


def _require_comparable(job: SyncJob, here: Source, there: Records) -> None:
    for is_comparable, connection in ((here.is_comparable, job.source), (there.is_comparable, job.target)):
        if not is_comparable:
            raise TerminalError(
                f"{job.id}: '{connection.connection}' is a PostgreSQL before 14, whose hashes cannot be compared. "
                f"Nothing was compared."
            )


def _bits_for(rows: int) -> int:
    return max(1, min(BITS_MAX, (rows // ROWS_PER_RANGE).bit_length()))


def _given(condition: Composable | None) -> list[Composable]:
    return [condition] if condition is not None else []


def _confidence(rows: int, differing_rows: int) -> float:
    """How sure a sample is that at most CONFIDENT_SHARE of all records differ: 1 - P(as few or fewer | that share).

    Binomial; `rows` sampled, `differing_rows` of them differ.
    """
    if rows == 0:
        return 0.0
    share, total = CONFIDENT_SHARE, 0.0
    for k in range(min(differing_rows, rows) + 1):
        at = math.lgamma(rows + 1) - math.lgamma(k + 1) - math.lgamma(rows - k + 1)
        total += math.exp(at + k * math.log(share) + (rows - k) * math.log1p(-share))
        if total >= 1:
            return 0.0
    return 1 - total
