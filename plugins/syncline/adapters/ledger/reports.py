"""What is told about batches and jobs: ids, counts, verdicts and reasons, never rows."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from syncline.adapters.ledger.batches import COUNTS, Batches
from syncline.core.job import SyncJob
from syncline.core.values import BatchSummary, KeyCheck, TenantCheck

LAST_BATCHES = """
select job.job_id, job.criticality, job.source_system, job.target_system, job.sla_latency_s_max,
       batch.batch_id, batch.mode, batch.state, batch.verdict, batch.held_because, batch.schema_notes,
       (select concat_ws(' ', step, 'failed:', error_type, '(SQLSTATE ' || sqlstate || ')')
        from ledger.attempt as tried where tried.batch_id = batch.batch_id and tried.outcome = 'failed'
          and tried.attempt_id = (select max(attempt_id) from ledger.attempt as a where a.batch_id = batch.batch_id))
           as last_error,
       batch.opened_at, batch.published_at,
       batch.extracted_rows, batch.rejected_rows, batch.staged_rows, batch.inserted_rows, batch.updated_rows,
       batch.deleted_rows, batch.removed_rows, batch.unchanged_rows, batch.superseded_rows, batch.conflicted_rows,
       batch.equal_rows, batch.compared_ranges, batch.differing_ranges,
       (select count(*) from ledger.tenant_count as c
         where c.batch_id = batch.batch_id and c.tenant_id <> '' and c.extracted_rows > 0) as tenants,
       mark.batch_id as published_batch_id, mark.source_as_of as fresh_as_of,
       extract(epoch from clock_timestamp() - mark.source_as_of)::bigint as age_s,
       (select count(*) from ledger.dead_letter as d where d.job_id = job.job_id and d.state = 'open')
           as open_dead_letters,
       (select count(*) from ledger.alert as a where a.job_id = job.job_id and a.delivered_at is null
          and (a.escalates is null or a.closed_at is null))  -- a message that was withdrawn is owed to nobody
           as pending_alerts,
       (select count(*) from ledger.alert as a where a.job_id = job.job_id and a.closed_at is null
           and a.escalates is null) as open_alerts,
       compared.verdict as compared_verdict, compared.ended_at as compared_at,
       (select first_seen_at from ledger.drift as d where d.job_id = job.job_id and d.closed_at is null)
           as drifts_since,
       -- as in dbt_project/models/intermediate/int_sync__job.sql: whatever wrote the target has been covered since
       mark.batch_id is not null and not exists (
           select from ledger.batch as unproven
           where unproven.job_id = job.job_id and unproven.published_by is null and not unproven.is_dry_run
             and (unproven.state = 'held' or (unproven.state = 'abandoned' and unproven.loaded_at is not null))
       ) as is_proven
from ledger.job
left join lateral (
    select * from ledger.batch where batch.job_id = job.job_id and not is_dry_run order by batch_id desc limit 1
) as batch on true
left join ledger.watermark as mark on mark.job_id = job.job_id
-- As dbt_project/models/pub/pub_reconciliation.sql: what compares less than every record can refute and cannot prove.
left join lateral (
    select verdict, ended_at from ledger.comparison as c
    where c.job_id = job.job_id and ended_at is not null and (tenants is null or verdict = 'mismatched')
    order by tenants is null and sample_ratio is null or verdict = 'mismatched' desc,
             coalesce(source_as_of, ended_at) desc, comparison_id desc
    limit 1
) as compared on true
where %s::text is null or job.job_id = %s
order by job.job_id
"""

# As dbt_project/models/pub/pub_reconciliation_trend.sql tells months; here from the ledger itself, up to this moment.
TREND = """
with compared as (
    select job_id, ended_at at time zone 'UTC' as at, comparison_id, verdict,
           case when tenants is null then match_ratio end as match_ratio
    from ledger.comparison where state in ('done', 'failed') and ended_at is not null
), month as (
    select job_id, step as starts_at, step + interval '1 month' as ends_at
    from (select job_id, min(at) as first_at from compared group by job_id) as span
    cross join generate_series(
        greatest(date_trunc('month', first_at),
                 date_trunc('month', clock_timestamp() at time zone 'UTC') - make_interval(months => %s - 1)),
        clock_timestamp() at time zone 'UTC', interval '1 month') as step
    where %s::text is null or job_id = %s
)
select month.job_id, month.starts_at::date as month, told.*, opened.*, repaired.*
from month
cross join lateral (
    select count(*) as comparisons,
           count(*) filter (where verdict = 'matched') as matched_comparisons,
           min(match_ratio) as match_ratio_min,
           (array_agg(match_ratio order by at desc, comparison_id desc) filter (where match_ratio is not null))[1]
               as match_ratio_last
    from compared where compared.job_id = month.job_id and at >= starts_at and at < ends_at
) as told
cross join lateral (
    select count(*) as drifts_opened,
           count(*) filter (where found_by = 'automation') as drifts_found_by_automation
    from ledger.drift where drift.job_id = month.job_id
      and first_seen_at at time zone 'UTC' >= starts_at and first_seen_at at time zone 'UTC' < ends_at
) as opened
cross join lateral (
    select count(*) as drifts_repaired,
           round(avg(extract(epoch from closed_at - first_seen_at) / 3600), 2)::double precision
               as time_to_repair_h_mean
    from ledger.drift where drift.job_id = month.job_id
      and closed_at at time zone 'UTC' >= starts_at and closed_at at time zone 'UTC' < ends_at
) as repaired
order by month.job_id, month.starts_at
"""
# Days on which all tenants were compared; null where that proved nothing.
TREND_DAYS = """
select job_id, (ended_at at time zone 'UTC')::date as day, min(match_ratio) as match_ratio_min
from ledger.comparison
where state in ('done', 'failed') and ended_at is not null and (%s::text is null or job_id = %s) and tenants is null
  and ended_at >= (date_trunc('month', now() at time zone 'UTC') - make_interval(months => %s - 1)) at time zone 'UTC'
group by job_id, day
"""


class Reports(Batches):
    """Questions about what was done."""

    def source_rows(self, batch_id: int) -> dict[str, int]:
        """Tenant -> rows that the target should hold as of the batch's cut-off; of a window, its own."""
        rows = self._all(
            "select tenant_id, source_rows from ledger.tenant_count where batch_id = %s and source_rows is not null",
            batch_id,
        )
        return {row["tenant_id"]: row["source_rows"] for row in rows}

    def checks(self, batch_id: int) -> list[TenantCheck]:
        """What SYNC-005 counted for a batch, a line per tenant; none before it was reconciled."""
        rows = self._all(
            "select tenant_id, source_rows, excused_rows, target_rows, brought_rows, missing_keys, extra_keys"
            " from ledger.tenant_count where batch_id = %s and target_rows is not null order by tenant_id",
            batch_id,
        )
        return [_check(**row) for row in rows]

    def known_tenants(self, job_id: str) -> set[str]:
        """Tenants that the job's last published batch knew: one that vanished at the source is counted too."""
        rows = self._all(
            "select distinct tenant_id from ledger.tenant_count where batch_id = (select batch_id"
            " from ledger.watermark where job_id = %s)",
            job_id,
        )
        return {row["tenant_id"] for row in rows}

    def covering_batch(self, job: SyncJob, *, until: datetime) -> int | None:
        """The batch at the watermark, if it read the whole source after `until` with today's mapping."""
        row = self._one(
            "select batch_id from ledger.watermark as mark join ledger.batch using (job_id, batch_id)"
            " where job_id = %s and batch.mode = 'full' and rows_hash = %s and mark.source_as_of >= %s",
            job.id,
            job.rows_hash,
            until,
        )
        return row["batch_id"] if row else None

    def epoch_at_rest(self, job: SyncJob) -> int:
        """The newest epoch of a job that nobody runs just now.

        Raises:
            TerminalError: A batch of the job is under way.
        """
        with self._doing(job.id, "looking for a batch under way"):
            self._refuse_if_under_way(job)
            row = self._one("select epoch from ledger.job where job_id = %s", job.id)
        return row["epoch"] if row is not None else 0

    def summary(self, batch_id: int) -> BatchSummary:
        """What is told about a batch: ids and counts."""
        batch, balance = self.batch(batch_id), self.counts(batch_id)
        seen = sum(1 for tenant in balance.tenants if tenant)
        as_of = batch.upper.source_as_of if batch.upper else None
        return BatchSummary(batch.job_id, batch_id, batch.mode, batch.state, batch.verdict, balance.total, seen, as_of)

    def last_batches(self, job_id: str | None = None) -> list[dict[str, Any]]:
        """Per registered job: its last batch with counts, its watermark and open dead letters."""
        return self._all(LAST_BATCHES, job_id, job_id)

    def last_dry_run(self, job_id: str) -> dict[str, Any]:
        """What the job's newest dry run would have changed; nothing without one."""
        columns = ("batch_id", "mode", "loaded_at", "window_from", "window_to", *COUNTS)
        row = self._one(
            "select * from ledger.batch where job_id = %s and state = 'dry_run' order by batch_id desc limit 1", job_id
        )
        return {"last_dry_run": {name: row[name] for name in columns if row[name] is not None}} if row else {}

    def open_reasons(self, job_id: str, limit: int = 5, *, batch_id: int | None = None) -> dict[str, int]:
        """`column:code` -> open dead letters that have it, the most frequent first; of one batch, or of all.

        What the target refused tells by which constraint, or by which SQLSTATE.
        """
        rows = self._all(
            "select concat(error ->> 'column', ':', error ->> 'code', ' by ' || (error ->> 'by')) as said,"
            " count(*) as letters"
            " from ledger.dead_letter, jsonb_array_elements(errors) as error"
            " where job_id = %s and state = 'open' and (%s::bigint is null or batch_id = %s)"
            " group by 1 order by 2 desc, 1 limit %s",
            job_id,
            batch_id,
            batch_id,
            limit,
        )
        return {row["said"]: row["letters"] for row in rows}

    def trend(self, job_id: str | None, *, months: int) -> list[dict[str, Any]]:
        """Per job that was ever compared and month, to the current one: comparisons, match ratios and drifts (UTC).

        `days` is the lowest match ratio by day of the month; None where what was compared proved nothing.
        """
        rows = self._all(TREND, months, job_id, job_id)
        days: dict[tuple[str, date], dict[int, float | None]] = {}
        for row in self._all(TREND_DAYS, job_id, job_id, months):
            days.setdefault((row["job_id"], row["day"].replace(day=1)), {})[row["day"].day] = row["match_ratio_min"]
        return [{**row, "days": days.get((row["job_id"], row["month"]), {})} for row in rows]


def _check(
    tenant_id: str,
    source_rows: int,
    excused_rows: int,
    target_rows: int,
    brought_rows: int | None,
    missing_keys: int | None,
    extra_keys: int | None,
) -> TenantCheck:
    keys = None if brought_rows is None else KeyCheck(brought_rows, missing_keys or 0, extra_keys or 0)
    return TenantCheck(tenant_id, source_rows, excused_rows, target_rows, keys)
