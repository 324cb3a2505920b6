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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property, partial

import numpy as np
import psycopg
from psycopg import sql
from psycopg.sql import Composable

from syncline.adapters import ledger
from syncline.adapters.comparing import Listing, Ranges, candidates, side_by_side
from syncline.adapters.failpoints import failpoint
from syncline.adapters.ledger import Ledger
from syncline.adapters.source import Source, of_tenants, reading
from syncline.adapters.source_records import PLACE, Published, listing, m, of_keys, records
from syncline.adapters.target.record_statement import Standing
from syncline.adapters.target.records import Records, comparing
from syncline.core.checksums import (
    BY_TEXT,
    Columns,
    at_places,
    doubled_ranges,
    in_hashes,
    in_ranges,
    key_hash,
    mapped_checksums,
)
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

ROWS_PER_RANGE = 1_024  # of the first pass: two thousand ranges stay in a processor's cache, 65,000 cost a third more
BITS_FIRST_MAX = 14
BITS_MORE = 6  # by which ranges that differ are divided further
BITS_MAX = 20
HALVED_SHARE_MAX = 0.5  # of the ranges; where more differ, the differences are everywhere
LISTED_ROWS_MAX = 500_000  # rows of differing ranges that are told one by one, 22 bytes each
PLACES_MAX = 50_000  # rows that are then fetched one by one
SESSIONS_MAX = 2  # on either side, at one time
ROWS_PER_SESSION = 10_000_000  # measured on 2 cores for both sides: below, a second session only takes its turn
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
    target_rows: int = 0
    sampled_rows: int = 0
    bits: int = 0
    ranges: list[int] = field(default_factory=list)
    rows_in_ranges: int = 0


def compare_records(job: SyncJob, request: ComparisonRequest, *, settle_s: float = SETTLE_S) -> ComparisonSummary:
    """Compare all records of a job, or a sample, and record what differs and why. Nothing is written to either side.

    Args:
        settle_s: How long a difference must stand before it counts.

    Raises:
        SynclineError: No answer: the comparison is recorded as unverified, and the same run may go on with it.
    """
    _require_sensible(job, request)
    with ledger.opened(f"{job.id} compare") as book:
        begun = book.begin_comparison(job, request)
        try:
            return _Comparison(job, request, book, begun, settle_s).run()
        except SynclineError as error:
            with suppress(SynclineError):  # what is wrong with the ledger may be what is told already
                book.comparison_failed(begun.comparison_id, f"{type(error).__name__}: {error}"[:1000])
            raise
        except BaseException as error:
            with suppress(SynclineError):
                book.comparison_failed(begun.comparison_id, type(error).__name__)
            raise


def _require_sensible(job: SyncJob, request: ComparisonRequest) -> None:
    if request.tenants and job.tenant_column is None:
        raise TerminalError(f"{job.id}: its rows belong to no tenant, so none can be asked for. Nothing was compared.")
    if request.tenants is not None and not all(request.tenants):
        raise TerminalError(f"{job.id}: a tenant that was asked for has no name. Nothing was compared.")
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
        self.source_as_of: datetime | None = None

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
        """Counts, checksums, a look at the records that may differ; returns how many to look at again."""
        goes_on = self._go_on()
        with self._both(there) as (here, target_as_of):
            if not goes_on:
                self._hash(here, there, target_as_of)
            if not self.seen.ranges:
                return 0
            self._look_into(here, there)
        return there.settle(1)

    def _look_again(self, there: Records, look: int) -> int:
        """Look once more at what has not settled, under new snapshots, a moment later."""
        time.sleep(max(0.0, self.looked_at + self.settle_s - time.monotonic()))
        keys = there.unsettled(KEYS_AT_ONCE + 1)
        with self._both(there) as (here, _):
            if len(keys) <= KEYS_AT_ONCE:
                self._judge(here, there, look, of_keys(here, keys, there.stored), None)
            else:
                self._judge_ranges(here, there, look)
        return there.settle(look)

    @contextmanager
    def _both(self, there: Records) -> Iterator[tuple[Source, datetime]]:
        """One instant of both sides, taken together; what must have arrived by then is known before."""
        self.published = self.book.last_published(self.job)
        sighting = self.book.known_sighting(self.job.id)
        known, grants = self.book.known_tenants(self.job.id), there.grants()
        for is_last in (False, True):
            with ExitStack() as stack:
                here = stack.enter_context(reading(self.job))
                here.recognise(self.batch, sighting.identity if sighting else None)
                here.preflight()
                _require_comparable(self.job, here, there)
                self.looked_at, self.source_as_of = time.monotonic(), here.cut_off().source_as_of
                asked = scope(self.job, self.batch, {*self.seen.source_rows} | known, grants)
                is_nobody = not asked and self.job.tenant_column is not None  # in scope yet
                if unseen := sorted({*(self.batch.tenants or ())} - asked):
                    raise TerminalError(
                        f"{self.job.id}: the target does not grant tenants that were asked for: {', '.join(unseen)}. "
                        f"Nothing was compared. Ask for others, or have its owner add them to syncline.job_tenant."
                    )
                target_as_of = None if is_nobody else stack.enter_context(there.looking(asked))
                if not self.seen.source_rows:
                    self.seen.source_rows = here.count_living(self.batch)
                    new = scope(self.job, self.batch, {*self.seen.source_rows} | known, grants) - asked
                    if new and not is_last:  # tenants that only the source knows: once more, with them in scope
                        continue
                if target_as_of is None:
                    raise TerminalError(
                        f"{self.job.id}: whose rows to look at is unknown: the source has none, no batch ever had one, "
                        f"and the target's grant `*` names no tenant. Nothing was compared. `--tenant NAME` looks at "
                        f"one."
                    )
                yield here, target_as_of
                return

    @property
    def _standing(self) -> Standing:
        as_of = self.published.source_as_of if self.published else None
        promised = timedelta(seconds=self.job.manifest.sla.latency_p99_s_max)
        is_fresh = as_of is not None and self.source_as_of is not None and self.source_as_of - as_of <= promised
        return Standing(as_of, is_fresh, self.published is not None and self.published.is_held)

    def _look_into(self, here: Source, there: Records) -> None:
        """Look at single records of the ranges that differ: those whose hashes say so, or all where they are many."""
        seen = self.seen
        log.info(
            "looking into ranges that differ job=%s comparison=%d ranges=%d of=%d",
            self.job.id, self.begun.comparison_id, len(seen.ranges), 2**seen.bits,
        )  # fmt: skip
        if seen.rows_in_ranges > LISTED_ROWS_MAX:
            return self._judge_ranges(here, there, 1)
        of_source, of_copy = Listing(), Listing()
        where = sql.SQL(" and ").join([self._in_ranges(self._key), *of_tenants(self.job, self.batch.tenants)])
        select = listing(here, there.spellings(m), where)
        side_by_side(
            [
                (here.session, partial(here.list_rows, select, of_source)),
                (there.session, partial(there.list_rows, of_copy, [self._in_ranges(there.key())])),
            ]
        )
        found = candidates(of_source, of_copy, PLACES_MAX)
        if found is None:
            return self._judge_ranges(here, there, 1)
        in_source, in_copy = in_hashes(self._key, found.keys), in_hashes(there.key(), found.keys)
        if here.blocks() is not None:
            in_source = at_places(sql.Identifier("s", PLACE), found.here)
        if there.blocks is not None:
            in_copy = at_places(sql.Identifier("t", "ctid"), found.there)
        self._judge(here, there, 1, in_source, [in_copy])

    def _judge_ranges(self, here: Source, there: Records, look: int) -> None:
        self._judge(here, there, look, self._in_ranges(self._key), [self._in_ranges(there.key())])

    def _judge(
        self, here: Source, there: Records, look: int, in_source: Composable, in_copy: list[Composable] | None
    ) -> None:
        where = sql.SQL(" and ").join([in_source, *of_tenants(self.job, self.batch.tenants)])
        select = records(here, there.fields, there.spellings(m, there.hashed), where, self.published)
        with closing(blocks_of(here, select)) as blocks, closing(self.book.waiting_keys(self.job.id)) as waiting:
            there.take(blocks, waiting)
        there.judge(look, in_copy, self._standing)

    # --- checksums

    def _hash(self, here: Source, there: Records, target_as_of: datetime) -> None:
        """Find the ranges that differ, dividing those that hold many rows; kept, so a crash costs no second pass."""
        seen = self.seen
        seen.source_as_of, seen.target_as_of = self.source_as_of, target_as_of
        seen.bits = _bits_for(sum(seen.source_rows.values()))
        at_source, at_target = self._ask(here, there, seen.bits)
        doubled: set[int] = set()
        if not here.is_key_unique:
            where = [*here.living(self.batch), *_given(self._sample(self._key))]
            relation = sql.SQL("{} as s").format(here.table)
            doubled |= {*here.numbers(doubled_ranges(relation, self._key, seen.bits, where=where))}
        if not there.is_key_unique:
            doubled |= {*there.doubled(seen.bits, _given(self._sample(there.key())))}
        self._keep(at_source, at_target, doubled)
        seen.target_rows = int(at_target.rows.sum()) if self.request.sample_ratio is None else there.count()
        seen.sampled_rows = int(at_source.rows.sum() + at_source.rejected.sum())
        while self._should_halve():
            bits, before = seen.bits, seen.ranges
            seen.bits = min(BITS_MAX, bits + BITS_MORE)
            at_source, at_target = self._ask(here, there, seen.bits, within=(bits, before))
            doubled = {n for n in range(2**seen.bits) if n % 2**bits in doubled} if doubled else doubled
            self._keep(at_source, at_target, doubled)
        self._keep_progress()

    def _ask(
        self, here: Source, there: Records, bits: int, within: tuple[int, list[int]] | None = None
    ) -> tuple[Ranges, Ranges]:
        """The checksums of both sides, each computed by its own server, at the same time."""
        log.info(
            "hashing both sides job=%s comparison=%d source_rows=%d ranges=%d within_ranges=%s",
            self.job.id, self.begun.comparison_id, sum(self.seen.source_rows.values()), 2**bits,
            len(within[1]) if within else "all",
        )  # fmt: skip
        at_source, at_target = Ranges(bits), Ranges(bits)
        of_source = [in_ranges(self._key, *within)] if within else []
        of_copy = [*_given(self._sample(there.key())), *([in_ranges(there.key(), *within)] if within else [])]
        with ExitStack() as stack:
            tasks: list[tuple[psycopg.Connection, Callable[[], None]]] = []
            for part in self._parts(here.blocks(), self.job.source.connections_max):
                source = here if part.number == 0 else stack.enter_context(here.beside())
                statement = self._checksums(source, there, bits, [*_given(part.condition(self._key)), *of_source])
                tasks.append((source.session, partial(source.compare, statement, at_source)))
            for part in self._parts(there.blocks, self.job.target.connections_max):
                copy = there if part.number == 0 else stack.enter_context(there.beside())
                where = [*_given(part.condition(there.key(), "t")), *of_copy]
                tasks.append((copy.session, partial(copy.ask, at_target, bits, where)))
            side_by_side(tasks)
        return at_source, at_target

    def _parts(self, blocks: int | None, connections_max: int) -> list[Part]:
        """Parts of one side that are hashed at the same time: small tables are not worth a second session."""
        is_large = sum(self.seen.source_rows.values()) > ROWS_PER_SESSION
        return divide(min(SESSIONS_MAX, connections_max) if blocks and is_large else 1, blocks)

    def _checksums(self, here: Source, there: Records, bits: int, also: list[Composable]) -> Composable:
        also = [*also, *_given(self._sample(self._key))]
        compiled = compile_batch(self.job, here, self.batch, also=sql.SQL(" and ").join(also) if also else None)
        return mapped_checksums(compiled, self.job.target.key, there.spellings(m), bits)

    def _keep(self, at_source: Ranges, at_target: Ranges, doubled: set[int]) -> None:
        seen = self.seen
        seen.ranges = sorted({*at_source.differing(at_target).tolist()} | doubled)
        rows = np.maximum(at_source.all_rows, at_target.rows)
        seen.rows_in_ranges = int(rows[seen.ranges].sum()) if seen.ranges else 0
        log.info(
            "checksums compared job=%s comparison=%d ranges=%d differing_ranges=%d rows_in_them=%d",
            self.job.id, self.begun.comparison_id, 2**seen.bits, len(seen.ranges), seen.rows_in_ranges,
        )  # fmt: skip

    def _should_halve(self) -> bool:
        """Where most ranges differ, halving them tells nothing."""
        seen = self.seen
        is_scattered = len(seen.ranges) > HALVED_SHARE_MAX * 2**seen.bits
        return seen.rows_in_ranges > LISTED_ROWS_MAX and seen.bits < BITS_MAX and not is_scattered

    # --- conditions

    @cached_property
    def _key(self) -> Columns:
        """The key over the source `s`."""
        return mapped_key(self.job.mapping, self.job.target.key)

    def _in_ranges(self, key: Columns) -> Composable:
        parts = [in_ranges(key, self.seen.bits, self.seen.ranges), *_given(self._sample(key))]
        return sql.SQL(" and ").join(parts)

    def _sample(self, key: Columns) -> Composable | None:
        """The condition that a key is in the sample, over either side; by other bits of its hash than the ranges."""
        if self.request.sample_ratio is None:
            return None
        below = max(1, round(self.request.sample_ratio * 2**SAMPLE_BITS))
        return template(
            "((({h}) >> 40) & {mask}) < {below}",
            h=key_hash(key), mask=sql.Literal(2**SAMPLE_BITS - 1), below=sql.Literal(below),
        )  # fmt: skip

    # --- what an interrupted try left

    def _keep_progress(self) -> None:
        seen = self.seen
        if len(seen.ranges) > KEYS_KEPT_MAX:
            return  # so much is hashed anew
        progress = {
            "bits": seen.bits, "ranges": seen.ranges, "source_rows": seen.source_rows, "target_rows": seen.target_rows,
            "sampled_rows": seen.sampled_rows, "rows_in_ranges": seen.rows_in_ranges,
            "source_as_of": str(seen.source_as_of), "target_as_of": str(seen.target_as_of),
        }  # fmt: skip
        self.book.keep_progress(self.begun.comparison_id, progress)
        failpoint("compare.hashed")

    def _go_on(self) -> bool:
        """Take over what an earlier try has found; False where there is nothing, or nothing that makes sense."""
        told = self.begun.progress
        try:
            seen = _Seen(
                datetime.fromisoformat(told["source_as_of"]), datetime.fromisoformat(told["target_as_of"]),
                {str(tenant): int(rows) for tenant, rows in told["source_rows"].items()},
                int(told["target_rows"]), int(told["sampled_rows"]), int(told["bits"]),
                [int(number) for number in told["ranges"]], int(told["rows_in_ranges"]),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, AttributeError):
            return False
        if not (1 <= seen.bits <= BITS_MAX and all(0 <= number < 2**seen.bits for number in seen.ranges)):
            return False
        self.seen = seen
        log.info("comparison goes on job=%s comparison=%d", self.job.id, self.begun.comparison_id)
        return True

    # --- the result

    def _record(self, there: Records) -> ComparisonSummary:
        counts: list[RecordCount] = []
        of_source: Counter[str] = Counter()
        for tenant, kind, cause, severity, is_excused, columns, rows, here_rows in there.counts():
            words = (RecordClass(kind), Cause(cause), severity, is_excused, rows, tuple(columns))
            counts.append(RecordCount(tenant, *words))
            of_source[tenant] += here_rows
        identical = self._identical(of_source)
        summary = self._summary(counts, sum(count.rows for count in identical))
        counts += identical
        with closing(there.found(KEYS_KEPT_MAX)) as found:
            self.book.compared(
                summary,
                counts,
                found,
                published=self.published,
                target_as_of=self.seen.target_as_of,
            )
        return summary

    def _summary(self, counts: list[RecordCount], identical: int) -> ComparisonSummary:
        rows = {kind: sum(c.rows for c in counts if c.record_class is kind) for kind in RecordClass}
        excused = sum(c.rows for c in counts if c.is_excused)
        differing = sum(rows.values())
        keys = identical + differing
        source_rows, target_rows = sum(self.seen.source_rows.values()), self.seen.target_rows
        verdict, reason = Verdict.MATCHED if differing == excused else Verdict.MISMATCHED, ""
        if keys == 0:
            where = "on either side" if self.request.sample_ratio is None else "fell into the sample"
            verdict, reason = Verdict.UNVERIFIED, f"no record {where}: nothing was compared"
        elif identical == 0 and verdict is Verdict.MATCHED:
            verdict, reason = Verdict.UNVERIFIED, "no record is the same on both sides: what is expected proves nothing"
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

    def _identical(self, differing: Counter[str]) -> list[RecordCount]:
        """Identical records per tenant; of a sample only in total. None where what differs has come since the cut-off.

        Args:
            differing: Tenant -> rows of the source whose keys differ.
        """
        rows = {tenant: counted - differing[tenant] for tenant, counted in sorted(self.seen.source_rows.items())}
        if self.request.sample_ratio is not None:
            rows = {TOTAL: self.seen.sampled_rows - differing.total()}
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
    for name in job.target.key:  # of some types it is hashed by its text, which another type would spell otherwise
        mapped, stored = job.mapping.fields[name].type, there.stored.get(name)
        if stored is not None and stored.name != mapped.name and {stored.name, mapped.name} & BY_TEXT:
            raise TerminalError(
                f"{job.id}: key column '{name}' is {mapped} in the mapping and {stored} in the copy, which spell it in "
                f"two ways: keys cannot be paired. Nothing was compared. Give the copy's column the mapping's type."
            )


def _bits_for(rows: int) -> int:
    return max(1, min(BITS_FIRST_MAX, (rows // ROWS_PER_RANGE).bit_length()))


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
