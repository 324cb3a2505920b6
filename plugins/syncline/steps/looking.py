"""What people ask about a job without running it: preview, explanation, status, trend. Nothing is written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from syncline.adapters import ledger, source
from syncline.core import outcomes
from syncline.core.compile import compile_mapping
from syncline.core.errors import TerminalError
from syncline.core.freshness import freshness
from syncline.core.job import SyncJob
from syncline.core.models import table_identifier
from syncline.steps import sampling

PREVIEW_ROWS_MAX = 1_000
PATTERN = re.compile(r"~\s+(E?'(?:[^']|'')*')")
PATTERNS_KEPT = 32  # MAX_CACHED_RES; measured: 0.6 microseconds a match with 32 patterns, 10 to 27 with more


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
    mapping = job.mapping
    personal = set() if unmask else sampling.personal(mapping)
    feeding = sampling.feeding(mapping, personal)
    with sampling.sampling(job, "preview", mapping) as session:
        return [
            PreviewRow(sampling.masked(row.given, feeding), sampling.masked(row.values, personal), row.errors)
            for row in sampling.sampled(job, session, mapping, mapping.source, limit, key=job.target.key)
        ]


def explain_sql(job: SyncJob) -> str:
    """The SELECT that a mapping becomes, as it runs for a full batch."""
    compiled = compile_mapping(
        job.mapping,
        table_identifier(job.source.table),
        where=source.filter_of(job),
        deleted=source.deleted_column(job),
        key=job.target.key,
    )
    statement = compiled.select.as_string(None)
    patterns = len(set(PATTERN.findall(statement)))
    if patterns <= PATTERNS_KEPT:
        return statement
    return (
        f"-- {patterns} different patterns; PostgreSQL keeps {PATTERNS_KEPT} compiled, so each row compiles them anew: "
        f"use fewer, or the same ones\n{statement}"
    )


def would_change(batch_id: int) -> list[str]:
    """What a dry run counted, as the lines of a small table; from the ledger."""
    with ledger.opened("dry run") as book:
        return outcomes.would_change(batch_id, book.counts(batch_id))


def _balance_sheet(book: ledger.Ledger, batch_id: int | None) -> list[str]:
    if batch_id is None:
        return []
    return outcomes.balance_sheet(batch_id, book.counts(batch_id).total, book.checks(batch_id))


def systems_down() -> list[str]:
    """A sentence on each system whose circuit breaker is open."""
    with ledger.opened("status") as book:
        rows = book.open_breakers()
    return [
        f"system '{row['connection_id']}' is down since {row['opened_at'].astimezone(UTC):%Y-%m-%d %H:%M:%S}Z: "
        f"{row['failures']} attempts failed, the last with {row['last_error']}; the next is let through at "
        f"{max(row['open_until'], row['probe_until'] or row['open_until']).astimezone(UTC):%H:%M:%S}Z; "
        f"{len(row['jobs'] or [])} jobs wait: see docs/runbooks/system-down.md"
        for row in rows
    ]


def close_breaker(connection_id: str) -> bool:
    """Let work start on a system at once. False where it did not count as down."""
    with ledger.opened("close-breaker") as book:
        return book.close_breaker(connection_id)


def status(job_id: str | None = None) -> list[dict[str, Any]]:
    """Per job the last batch, its counts and verdict, the watermark and the freshness; from the ledger alone."""
    with ledger.opened("status") as book:
        rows = book.last_batches(job_id)
        if job_id:
            rows = [
                {
                    **row,
                    "open_reasons": book.open_reasons(job_id),
                    "balance_sheet": _balance_sheet(book, row["batch_id"]),
                    **book.last_dry_run(job_id),
                }
                for row in rows
            ]
        down = {row["connection_id"] for row in book.open_breakers()}
    for row in rows:
        row["systems_down"] = sorted(down & {row["source_system"], row["target_system"]})
        row["freshness_state"] = freshness(
            is_proven=row["is_proven"],
            age_s=row["age_s"],
            latency_s_max=row["sla_latency_s_max"],
            open_dead_letters=row["open_dead_letters"],
        ).value
    return rows


def trend(job_id: str | None = None, *, months: int) -> list[dict[str, Any]]:
    """Per job and month how the two sides agreed, which drifts were found and how long they lasted; from the ledger."""
    with ledger.opened("trend") as book:
        return book.trend(job_id, months=months)
