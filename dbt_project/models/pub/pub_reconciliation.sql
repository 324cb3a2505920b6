-- Grain: one row per job of the ledger, with the comparison that it is judged by. Never compared: unverified.
{{ config(unique_key='job_id') }}
-- depends_on: {{ ref('stg_ledger__batch') }} (through int_reconciliation__batch, which is no task of its own)
{% set depths = ['checksums', 'records'] %}

-- What compares less than every record (a sample, some tenants) can refute and cannot prove: it outdoes an older
-- comparison of the whole job only where it found a difference. A sample of all tenants is better than nothing at all.
-- The newest is the one with the newest cut-off: one that was interrupted and went on later knows what was then.
with judging as (
    select distinct on (job_id) *
    from {{ ref('pub_reconciliation_history') }}
    where is_whole_job or verdict = 'mismatched' or tenant_count is null
    order by
        job_id, is_whole_job or verdict = 'mismatched' desc, coalesce(fresh_as_of, compared_at) desc, comparison_id desc
),

by_depth as (
    select
        job_id,
        {% for depth in depths -%}
        max(verdict) filter (where depth = '{{ depth }}') as newest_{{ depth }}_verdict,
        max(compared_at) filter (where depth = '{{ depth }}') as newest_{{ depth }}_at{{ ',' if not loop.last }}
        {% endfor %}
    from (
        select distinct on (job_id, depth) job_id, depth, verdict, compared_at
        from {{ ref('pub_reconciliation_history') }}
        order by job_id, depth, coalesce(fresh_as_of, compared_at) desc, comparison_id desc
    ) as newest
    group by job_id
),

batch as (
    select distinct on (job_id) *
    from {{ ref('int_reconciliation__batch') }}
    order by job_id, batch_id desc
),

drift as (
    select * from {{ ref('pub_drift') }} where repaired_at is null
)

select
    job.job_id,
    job.source_system,
    job.target_system,
    job.criticality,
    judging.comparison_id,
    judging.control,
    judging.depth,
    judging.is_scheduled,
    judging.sample_ratio,
    judging.confidence,
    judging.tenant_count,
    coalesce(judging.verdict, 'unverified') as verdict,
    coalesce(judging.reason, 'never compared record by record') as reason,
    judging.source_rows,
    judging.target_rows,
    judging.identical_rows,
    judging.mismatched_rows,
    judging.missing_in_target_rows,
    judging.missing_in_source_rows,
    judging.duplicate_rows,
    judging.differing_rows,
    judging.excused_rows,
    judging.mismatched_excused_rows,
    judging.missing_in_target_excused_rows,
    judging.missing_in_source_excused_rows,
    judging.duplicate_excused_rows,
    judging.unknown_rows,
    judging.differing_fields,
    judging.raw_match_ratio,
    judging.match_ratio,
    judging.severity,
    judging.published_batch_id,
    judging.compared_at,
    judging.fresh_as_of,
    {{ freshness_state("(judging.verdict <> 'unverified') is true", '0', 'judging.fresh_as_of',
                       var('compared_within_s_max')) }} as freshness_state,
    case when judging.fresh_as_of is not null then {{ lag_s('judging.fresh_as_of') }} end as age_s,
    {% for depth in depths -%}
    by_depth.newest_{{ depth }}_verdict,
    by_depth.newest_{{ depth }}_at,
    {% endfor -%}
    batch.batch_id as newest_batch_id,
    batch.verdict as newest_batch_verdict,
    batch.mismatch_ratio as newest_batch_mismatch_ratio,
    drift.drift_id,
    drift.first_seen_at as drift_open_since,
    case when drift.drift_id is not null then greatest(0, {{ hours(as_of() ~ ' - drift.first_seen_at') }}) end
        as drift_open_h,
    drift.found_by as drift_found_by,
    {{ as_of() }} as as_of
from {{ ref('stg_ledger__job') }} as job
left join judging using (job_id)
left join by_depth using (job_id)
left join batch using (job_id)
left join drift using (job_id)
