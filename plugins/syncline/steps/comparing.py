"""Compare before reading: a batch that could read everything reads only the ranges of keys that differ.

A full run is a full record comparison: both databases compute checksums of their own rows at the same time, the source
of what the mapping makes of them. Only where they differ are rows moved. The same comparison over keys alone finds rows
that the source no longer has. Nothing here decides what is done about a difference.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import psycopg
from psycopg import sql
from psycopg.sql import Composable

from syncline.adapters.comparing import Ranges, side_by_side
from syncline.adapters.source import Source, SourceCount
from syncline.adapters.target import Target
from syncline.core.checksums import MAPPED, bits_for, columns_of, in_ranges, mapped_checksums, table_checksums
from syncline.core.compile import mapped_key
from syncline.core.equality import spelled_as_loaded
from syncline.core.errors import TransientError
from syncline.core.job import SyncJob
from syncline.core.models import table_identifier
from syncline.core.parts import Part, divide
from syncline.core.values import Batch, Difference, Mode
from syncline.steps.compiling import compile_batch

SESSIONS_MAX = 2  # at the source, at one time; never more than its manifest's connections_max
SHARE_MAX = 0.5  # above it, telling the ranges apart costs more than reading everything
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """What a comparison found: the numbers, and the ranges that differ."""

    difference: Difference
    ranges: list[int]

    def condition(self, job: SyncJob) -> Composable:
        """Over the source `s`: its key belongs to a range that differs."""
        return in_ranges(mapped_key(job.mapping, job.target.key), self.difference.bits, self.ranges)


def compare(
    job: SyncJob, batch: Batch, here: Source, there: Target, counted: SourceCount, tenants: set[str]
) -> Found | None:
    """Find the ranges that differ; None where everything that the batch owes is to be read.

    Args:
        counted: The source as of the batch's snapshot.
        tenants: Whose rows of the copy are looked at.
    """
    if not (here.is_comparable and there.is_comparable) or (job.tenant_column is not None and not tenants):
        return None
    if batch.mode is Mode.FULL:
        return None if there.is_empty(tenants) else _compare_rows(job, batch, here, there, counted, tenants)
    if batch.mode is Mode.REPAIR or not job.finds_absent(batch.mode):
        return None
    return _compare_keys(job, batch, here, there, counted, tenants)


def keys_of(job: SyncJob, batch: Batch, here: Source, found: Found | None) -> Composable:
    """The keys that the source has, in the ranges that differ; all of them where nothing was compared.

    A row that is flagged deleted is not absent: it comes with the batch, and its flag deletes it.
    """
    key = mapped_key(job.mapping, job.target.key)
    conditions = [*here.concerning(batch), *([found.condition(job)] if found is not None else [])]
    return sql.SQL("select {columns} from {table} as s{where}").format(
        columns=sql.SQL(", ").join(value for value, _ in key.values()),
        table=table_identifier(job.source.table),
        where=sql.SQL(" where {}").format(sql.SQL(" and ").join(conditions)) if conditions else sql.SQL(""),
    )


def _compare_rows(
    job: SyncJob, batch: Batch, here: Source, there: Target, counted: SourceCount, tenants: set[str]
) -> Found | None:
    read_rows = sum(counted.read_rows.values())
    bits = bits_for(read_rows)
    fields, only_keys = job.mapping.fields, job.target.write == "append"
    compared = {name: spelled_as_loaded(sql.Identifier(MAPPED, name), field) for name, field in fields.items()}
    if only_keys:
        compared = columns_of(MAPPED, {name: fields[name].type for name in job.target.key})
    at_source, at_target = Ranges(bits), Ranges(bits)

    def of_part(part: Part) -> Composable:
        compiled = compile_batch(job, here, batch, also=part.condition(mapped_key(job.mapping, job.target.key)))
        return mapped_checksums(compiled, job.target.key, compared, bits)

    with ExitStack() as stack:
        tasks: list[tuple[psycopg.Connection, Callable[[], None]]] = []
        blocks = here.blocks()
        sessions = 1 if here.is_shared else min(SESSIONS_MAX, job.source.connections_max)  # a group shares its sessions
        for part in divide(sessions if blocks else 1, blocks):
            beside = here if part.number == 0 else stack.enter_context(here.beside())
            tasks.append((beside.session, partial(beside.compare, of_part(part), at_source)))
        tasks.append((there.session, partial(there.compare, tenants, bits, at_target, only_keys=only_keys)))
        side_by_side(tasks)
    told_rows = int(at_source.all_rows.sum())
    if told_rows != read_rows:
        raise TransientError(
            f"{job.id}: batch {batch.batch_id}: {told_rows} rows were compared, the source counted {read_rows}. "
            f"Nothing was recorded; the next try compares again"
        )
    return _found(job, batch, bits, at_source, at_target)


def _compare_keys(
    job: SyncJob, batch: Batch, here: Source, there: Target, counted: SourceCount, tenants: set[str]
) -> Found | None:
    bits = bits_for(sum(counted.tenants.values()))
    key = mapped_key(job.mapping, job.target.key)
    relation = sql.SQL("{} as s").format(table_identifier(job.source.table))
    checksums = table_checksums(relation, key, key, bits, where=here.living(batch))
    at_source, at_target = Ranges(bits), Ranges(bits)
    side_by_side(
        [
            (here.session, partial(here.compare, checksums, at_source)),
            (there.session, partial(there.compare, tenants, bits, at_target, only_keys=True)),
        ]
    )
    return _found(job, batch, bits, at_source, at_target)


def _found(job: SyncJob, batch: Batch, bits: int, at_source: Ranges, at_target: Ranges) -> Found | None:
    """The ranges that differ, unless they are so many that all is read."""
    differing = at_source.differing(at_target)
    all_rows = at_source.all_rows
    equal_rows = int(all_rows.sum() - all_rows[differing].sum())
    compared = int(((all_rows > 0) | (at_target.rows > 0)).sum())
    log.info(
        "compared job=%s batch=%d ranges=%d differing_ranges=%d equal_rows=%d",
        job.id, batch.batch_id, compared, len(differing), equal_rows,
    )  # fmt: skip
    if len(differing) > max(1, SHARE_MAX * compared):
        return None
    return Found(Difference(bits, compared, len(differing), equal_rows), differing.tolist())
