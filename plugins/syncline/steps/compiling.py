"""The statement that a batch runs at its source, and the blocks in which its rows travel."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

from psycopg import sql
from psycopg.sql import Composable

from syncline.adapters import source
from syncline.adapters.failpoints import failpoint
from syncline.adapters.source import Source
from syncline.core.compile import CompiledMapping, compile_mapping
from syncline.core.job import SyncJob
from syncline.core.models import table_identifier
from syncline.core.values import Batch


def compile_batch(
    job: SyncJob, here: Source, batch: Batch, *, by_cursor: bool = False, also: Composable | None = None
) -> CompiledMapping:
    """The job's mapping over its source table, for the rows that a batch owes.

    Args:
        by_cursor: Let the cursor's index find the rows; see `Source.delta`.
        also: One more condition over `s`.
    """
    parts = [part for part in (here.delta(batch, by_cursor=by_cursor), also) if part is not None]
    return compile_mapping(
        job.mapping,
        table_identifier(job.source.table),
        where=sql.SQL("\n      and ").join(parts) if parts else None,
        deleted=source.deleted_column(job),
        key=job.target.key,
        version=job.source.cursor if job.target.side_table else None,
    )


def blocks_of(here: Source, statement: Composable) -> Generator[bytes, None, None]:
    """To be closed by whoever takes them: a COPY that is left open locks its session against its own rollback."""
    with closing(here.copy_out(statement)) as blocks:
        for block in blocks:
            failpoint("extract.block")
            yield block
