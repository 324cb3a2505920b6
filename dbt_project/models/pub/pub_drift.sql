-- Grain: one row per drift: from the first comparison that found an unexcused difference to the first that found none.
-- It knows no comparison that pub_reconciliation_history does not: what ends while we build is told by the next run.
{{ config(unique_key='drift_id') }}

with found as (
    select
        drift.drift_id,
        drift.job_id,
        first_seen.source_system,
        first_seen.target_system,
        drift.first_seen_at,
        drift.found_by,
        drift.first_comparison_id,
        first_seen.control,
        drift.differing_rows_max,
        drift.severity,
        drift.repair_batch_id,
        closing.comparison_id as closed_comparison_id,
        case when closing.comparison_id is not null then drift.closed_at end as repaired_at,
        case when closing.comparison_id is not null then {{ hours('drift.closed_at - drift.first_seen_at') }} end
            as time_to_repair_h
    from {{ ref('stg_ledger__drift') }} as drift
    inner join {{ ref('pub_reconciliation_history') }} as first_seen
        on first_seen.comparison_id = drift.first_comparison_id
    left join {{ ref('pub_reconciliation_history') }} as closing
        on closing.comparison_id = drift.closed_comparison_id
)

{{ only_changed('found') }}
