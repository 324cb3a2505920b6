"""Record comparisons: begun, found, and how long a job's copy has drifted.

A comparison changes no state of a batch and needs no epoch; two processes on one comparison are kept apart by a lock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from syncline.adapters.ledger.batches import Batches
from syncline.adapters.source_records import Published
from syncline.core.errors import TerminalError
from syncline.core.job import SyncJob
from syncline.core.record_comparison import (
    SEVERITIES,
    Cause,
    ComparisonRequest,
    ComparisonSummary,
    Depth,
    DifferingRecord,
    RecordClass,
    RecordCount,
)
from syncline.core.repair import Approval
from syncline.core.values import Verdict

LOCK = 7_205_760  # any number: the space of comparisons among advisory locks
RESUME_WITHIN = "1 day"  # what was found equal longer ago is compared anew
DIFFERENCES = (
    "select tenant_id, target_key, key_hash, record_class, cause, severity, is_excused, columns"
    " from ledger.record_difference where comparison_id = %s"
    " order by is_excused, array_position(%s::text[], severity), tenant_id, target_key"
)  # the worst first
TOLD = tuple(item.name for item in fields(ComparisonSummary))


@dataclass(frozen=True)
class Begun:
    """A comparison that is under way. `progress` is what an earlier try of it has found out already."""

    comparison_id: int
    progress: dict[str, Any]


class Comparisons(Batches):
    """What was compared, and what was found."""

    def begin_comparison(self, job: SyncJob, request: ComparisonRequest) -> Begun:
        """Open a comparison, or go on with one that this run began and did not end.

        Raises:
            TerminalError: Another process is at it.
        """
        with self._doing(job.id, "beginning a comparison"):
            asked = (job.id, request.run_key, request.control, request.depth, job.manifest_hash)
            row = self._one(
                "select comparison_id, progress from ledger.comparison where job_id = %s and run_key = %s"
                " and control = %s and depth = %s and manifest_hash = %s and state <> 'done'"
                " and sample_ratio is not distinct from %s and tenants is not distinct from %s::text[]"
                " and started_at > now() - %s::interval order by comparison_id desc limit 1",
                *asked, request.sample_ratio, _listed(request.tenants), RESUME_WITHIN,
            )  # fmt: skip
            if row is None:
                self._register(job)
                row = self._one(
                    "insert into ledger.comparison (job_id, run_key, control, depth, manifest_hash, is_scheduled,"
                    " sample_ratio, tenants) values (%s, %s, %s, %s, %s, %s, %s, %s)"
                    " returning comparison_id, progress",
                    *asked, request.is_scheduled, request.sample_ratio, _listed(request.tenants),
                )  # fmt: skip
            begun = Begun(row["comparison_id"], row["progress"]) if row else Begun(0, {})
            lock = self._one("select pg_try_advisory_lock(%s, %s) as is_ours", LOCK, begun.comparison_id)
            if not lock or not lock["is_ours"]:
                raise TerminalError(
                    f"{job.id}: comparison {begun.comparison_id} is under way in another process. Nothing was done; "
                    f"wait for its end, or compare under another run."
                )
            running = self._one(
                "update ledger.comparison set state = 'running' where comparison_id = %s and state <> 'done'"
                " returning comparison_id",
                begun.comparison_id,
            )
            if running is None:
                raise TerminalError(
                    f"{job.id}: comparison {begun.comparison_id} has just been ended by another process: its result "
                    f"stands. Nothing was done."
                )
            return begun

    def last_published(self, job: SyncJob) -> Published | None:
        """The job's last published batch, whose rows its copy must hold; None where there never was one."""
        row = self._one(
            "select mark.batch_id, mark.snapshot::text as snapshot, mark.source_as_of,"
            " batch.rows_hash is not distinct from %s as is_of_these_files, exists (select from ledger.batch as later"
            "   where later.job_id = mark.job_id and later.batch_id > mark.batch_id and later.state = 'held'"
            "   and later.published_by is null and not later.is_dry_run) as is_held"
            " from ledger.watermark as mark join ledger.batch as batch using (batch_id) where mark.job_id = %s",
            job.rows_hash,
            job.id,
        )
        return Published(**row) if row is not None else None

    def keep_progress(self, comparison_id: int, progress: dict[str, Any]) -> None:
        with self._doing(str(comparison_id), "keeping the progress of a comparison"):
            self._session.execute(
                "update ledger.comparison set progress = %s where comparison_id = %s", [Jsonb(progress), comparison_id]
            )

    def compared(
        self,
        summary: ComparisonSummary,
        counts: Iterable[RecordCount],
        found: Iterable[DifferingRecord],
        *,
        published: Published | None,
        target_as_of: datetime | None,
    ) -> None:
        """Record what a comparison found, all or nothing, and whether the job's copy drifts."""
        with self._doing(summary.job_id, "recording a comparison"):
            told = {name: getattr(summary, name) for name in TOLD if name not in ("comparison_id", "job_id", "depth")}
            told |= {"published_batch_id": published.batch_id if published else None, "target_as_of": target_as_of}
            kept = self._session.execute(
                sql.SQL(
                    "update ledger.comparison set {}, state = 'done', progress = '{{}}', ended_at = clock_timestamp()"
                    " where comparison_id = %s returning tenants is null and sample_ratio is null as is_whole"
                ).format(sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in told)),
                [*told.values(), summary.comparison_id],
            ).fetchone()
            self._session.cursor().executemany(
                "insert into ledger.record_count (comparison_id, tenant_id, record_class, cause, severity, is_excused,"
                " columns, rows) values (%s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    (summary.comparison_id, one.tenant_id, one.record_class, one.cause, one.severity, one.is_excused,
                     list(one.columns), one.rows)
                    for one in counts
                ],
            )  # fmt: skip
            self._keep_differences(summary.comparison_id, found)
            self._follow_drift(summary, is_whole=kept is not None and kept["is_whole"])
            detail = {"comparison_id": summary.comparison_id, "verdict": summary.verdict, "depth": summary.depth}
            self._audit(summary.job_id, None, "records_compared", detail)

    def comparison_failed(self, comparison_id: int, reason: str) -> None:
        """A comparison that ended without an answer is unverified; the same run may go on with it."""
        with self._doing(str(comparison_id), "recording a failed comparison"):
            self._session.execute(
                "update ledger.comparison set state = 'failed', verdict = 'unverified', reason = %s,"
                " ended_at = clock_timestamp() where comparison_id = %s and state = 'running'",
                [reason, comparison_id],
            )

    def comparison_summary(self, comparison_id: int) -> ComparisonSummary:
        """What is told about a comparison.

        Raises:
            TerminalError: There is no such comparison.
        """
        row = self._one("select * from ledger.comparison where comparison_id = %s", comparison_id)
        if row is None:
            raise TerminalError(
                f"there is no comparison {comparison_id}. `syncline diff JOB` makes one, and says its id"
            )
        return summary_of(row)

    def record_counts(self, comparison_id: int) -> list[RecordCount]:
        rows = self._all(
            "select tenant_id, record_class, cause, severity, is_excused, rows, columns from ledger.record_count"
            " where comparison_id = %s order by rows desc, tenant_id",
            comparison_id,
        )
        return [RecordCount(**_worded(row)) for row in rows]

    def differences(self, comparison_id: int, limit: int | None = None) -> list[DifferingRecord]:
        """The records that differ, as far as they were kept: what is not expected, and the severe, first."""
        rows = self._all(f"{DIFFERENCES} limit %s", comparison_id, list(SEVERITIES), limit)
        return [DifferingRecord(**_worded(row)) for row in rows]

    def compared_files(self, comparison_id: int) -> str:
        """The hash of the files by which a comparison was made."""
        row = self._one("select manifest_hash from ledger.comparison where comparison_id = %s", comparison_id)
        return row["manifest_hash"] if row else ""

    def applied_repair(self, comparison_id: int) -> int | None:
        """The batch that has applied a comparison's repair already."""
        row = self._one(
            "select batch.batch_id from ledger.repair join ledger.batch on batch.repairs = repair.repair_id"
            " where repair.comparison_id = %s and batch.state = 'published' order by 1 desc limit 1",
            comparison_id,
        )
        return row["batch_id"] if row else None

    def approve_repair(
        self, comparison: ComparisonSummary, approval: Approval, send: list[int], delete: list[int], *, is_dry_run: bool
    ) -> int:
        """Record who approved what; returns the repair's id. Of a dry run the audit trail says that it only counted."""
        with self._doing(comparison.job_id, "approving a repair"):
            row = self._one(
                "insert into ledger.repair (comparison_id, job_id, approved_by, reason, with_critical, send_keys,"
                " delete_keys) values (%s, %s, %s, %s, %s, %s, %s) returning repair_id",
                comparison.comparison_id, comparison.job_id, approval.by, approval.reason, approval.with_critical,
                send, delete,
            )  # fmt: skip
            repair_id = int(row["repair_id"]) if row else 0
            detail = {
                "repair_id": repair_id, "comparison_id": comparison.comparison_id, "approved_by": approval.by,
                "reason": approval.reason, "with_critical": approval.with_critical,
                "send_keys": len(send), "delete_keys": len(delete),
            }  # fmt: skip
            self._audit(comparison.job_id, None, "repair_counted" if is_dry_run else "repair_approved", detail)
        return repair_id

    def interrupted_run(self, job_id: str) -> str | None:
        """The run of the newest comparison that a person asked for, if that was not ended."""
        row = self._one(
            "select run_key, state from ledger.comparison where job_id = %s and control = '' and not is_scheduled"
            " order by comparison_id desc limit 1",
            job_id,
        )
        return row["run_key"] if row and row["state"] != "done" else None

    def _keep_differences(self, comparison_id: int, found: Iterable[DifferingRecord]) -> None:
        copy = (
            "copy ledger.record_difference (comparison_id, tenant_id, target_key, key_hash, record_class, cause,"
            " severity, is_excused, columns) from stdin"
        )
        with self._session.cursor() as cursor, cursor.copy(copy) as rows:
            for one in found:
                rows.write_row((
                    comparison_id, one.tenant_id, list(one.target_key), one.key_hash, one.record_class, one.cause,
                    one.severity, one.is_excused, list(one.columns),
                ))  # fmt: skip

    def _follow_drift(self, summary: ComparisonSummary, *, is_whole: bool) -> None:
        """Drift begins with the first difference that is not excused, and ends when everything was looked at; so do
        its alerts, whoever asked for the comparison. What was seen after this one began, it cannot end: it may go on
        with checksums of an earlier try.
        """
        if summary.unexcused_rows > 0:
            self._session.execute(
                "insert into ledger.drift as d (job_id, first_comparison_id, first_seen_at, found_by,"
                " differing_rows_max, severity, last_comparison_id)"
                " select job_id, comparison_id, clock_timestamp(), case when is_scheduled then 'automation' else 'user'"
                " end, %s, %s, comparison_id from ledger.comparison where comparison_id = %s"
                " on conflict (job_id) where closed_at is null do update set"
                " differing_rows_max = greatest(d.differing_rows_max, excluded.differing_rows_max),"
                " severity = case when array_position(%s::text[], excluded.severity)"
                "   < array_position(%s::text[], d.severity) then excluded.severity else d.severity end,"
                " last_comparison_id = excluded.last_comparison_id",
                [summary.unexcused_rows, summary.severity, summary.comparison_id, list(SEVERITIES), list(SEVERITIES)],
            )
        elif summary.verdict is Verdict.MATCHED and is_whole:
            self._session.execute(
                "update ledger.drift set closed_at = clock_timestamp(), closed_comparison_id = %s,"
                " last_comparison_id = %s where job_id = %s and closed_at is null and not exists"
                " (select from ledger.comparison as seen, ledger.comparison as mine where mine.comparison_id = %s"
                "   and seen.comparison_id = drift.last_comparison_id and seen.ended_at > mine.started_at)",
                [summary.comparison_id, summary.comparison_id, summary.job_id, summary.comparison_id],
            )
            self._close(
                "job_id = %s and control = 'SYNC-008' and coalesce(last_seen_at, raised_at) <"
                " (select started_at from ledger.comparison where comparison_id = %s)",
                [summary.job_id, summary.comparison_id],
                "all records match",
            )


def summary_of(row: dict[str, Any]) -> ComparisonSummary:
    told = {name: row[name] for name in TOLD if row[name] is not None}
    return ComparisonSummary(**{**told, "depth": Depth(row["depth"]), "verdict": Verdict(row["verdict"])})


def _worded(row: dict[str, Any]) -> dict[str, Any]:
    """A row with the words of core."""
    worded = {**row, "record_class": RecordClass(row["record_class"]), "columns": tuple(row["columns"])}
    worded |= {"cause": Cause(row["cause"]) if row["cause"] is not None else None}
    return worded | ({"target_key": tuple(row["target_key"])} if "target_key" in row else {})


def _listed(tenants: tuple[str, ...] | None) -> list[str] | None:
    return list(tenants) if tenants is not None else None
