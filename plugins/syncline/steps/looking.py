"""What people ask about a job without running it: preview, explanation, status. Nothing is written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from syncline.adapters import connections, hash_keys, ledger, source
from syncline.adapters.failures import telling
from syncline.core.compile import DELETED, REJECT, compile_mapping, sample_relation
from syncline.core.errors import TerminalError
from syncline.core.freshness import freshness
from syncline.core.manifest import SyncJob
from syncline.core.models import table_identifier

PREVIEW_ROWS_MAX = 1_000
MASK = "•••"
ROW = sql.Identifier("0row")  # no column is called like this; to_jsonb(r) would take a column `r` for the row


@dataclass(frozen=True)
class PreviewRow:
    """One row on both sides of its mapping; values as JSON shows them (decimals as text: a float would round them),
    personal ones masked unless asked for."""

    source: dict[str, Any]
    target: dict[str, Any]
    errors: list[str]


def preview(job: SyncJob, *, limit: int, unmask: bool = False) -> list[PreviewRow]:
    """Map the first living rows of the source, in the source's own engine, in a read-only transaction."""
    if not 1 <= limit <= PREVIEW_ROWS_MAX:
        raise TerminalError(f"--limit is 1 to {PREVIEW_ROWS_MAX}")
    columns = sql.SQL(", ").join(sql.Identifier("s", name) for name in job.mapping.source)
    read = sql.SQL("select to_jsonb({row})::text from (select {} from {} as s where {} limit {}) as {row}").format(
        columns, table_identifier(job.source.table), _previewed(job), sql.Literal(limit), row=ROW
    )
    keys = hash_keys.from_environment(job.mapping.keys)
    with (
        connections.connect(job.source.connection, purpose=f"{job.id} preview") as session,
        telling(f"{job.id}: preview"),
    ):
        session.read_only = True
        keys.lend(session, job.source.connection)
        given = [row[0] for row in session.execute(read)]
        return [_mapped(job, session, row, unmask=unmask) for row in given]


def explain_sql(job: SyncJob) -> str:
    """The SELECT that a mapping becomes, as it runs for a full batch."""
    compiled = compile_mapping(
        job.mapping,
        table_identifier(job.source.table),
        where=source.filter_of(job),
        deleted=source.deleted_column(job),
        key=job.target.key,
    )
    return compiled.select.as_string(None)


def status(job_id: str | None = None) -> list[dict[str, Any]]:
    """Per job the last batch, its counts and verdict, the watermark and the freshness; from the ledger alone."""
    with ledger.opened("status") as book:
        rows = book.last_batches(job_id)
    for row in rows:
        row["freshness_state"] = freshness(
            is_proven=row["is_proven"],
            age_s=row["age_s"],
            latency_s_max=row["sla_latency_s_max"],
            open_dead_letters=row["open_dead_letters"],
        ).value
    return rows


def _previewed(job: SyncJob) -> sql.Composable:
    """Which rows are shown: those of the job, without deleted ones, of which a batch maps the key alone."""
    parts = [source.filter_of(job) or sql.SQL("true")]
    if deleted := source.deleted_column(job):
        parts.append(sql.SQL("{} is not true").format(sql.Identifier("s", deleted)))
    return sql.SQL(" and ").join(parts)


def _mapped(job: SyncJob, session: Any, given: str, *, unmask: bool) -> PreviewRow:
    relation = sample_relation(job.mapping, f"[{given}]")
    compiled = compile_mapping(job.mapping, relation, key=job.target.key)
    row = session.execute(
        sql.SQL("select to_jsonb({0})::text from ({1}) as {0}").format(ROW, compiled.select)
    ).fetchone()
    mapped = json.loads(row[0], parse_float=str)
    errors = (mapped.pop(REJECT) or {}).get("errors", [])
    mapped.pop(DELETED)
    read = json.loads(given, parse_float=str)
    return PreviewRow(read, mapped, errors) if unmask else _masked(job, PreviewRow(read, mapped, errors))


def _masked(job: SyncJob, row: PreviewRow) -> PreviewRow:
    personal = {name for name, field in job.mapping.fields.items() if field.pii != "none"}
    feeding = {column for name in personal for column in job.mapping.reads(name)}
    return PreviewRow(_hide(row.source, feeding), _hide(row.target, personal), row.errors)


def _hide(row: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: MASK if name in names and value is not None else value for name, value in row.items()}
