-- Grain: one row per full record comparison that ended; one under way has found nothing yet.
select
    comparison_id,
    job_id,
    control,
    depth,
    is_scheduled,
    sample_ratio,
    cardinality(tenants) as tenant_count,
    tenants is null and sample_ratio is null as is_whole_job,
    published_batch_id,
    source_as_of,
    ended_at,
    source_rows,
    target_rows,
    identical_rows,
    mismatched_rows,
    missing_in_target_rows,
    missing_in_source_rows,
    duplicate_rows,
    excused_rows,
    raw_match_ratio,
    match_ratio,
    severity,
    confidence,
    verdict,
    reason
from {{ source('ledger', 'comparison') }}
where state in ('done', 'failed') and ended_at is not null
