-- Grain: one row per drift: from the first comparison that found an unexcused difference to the first that found none.
select
    drift_id,
    job_id,
    first_comparison_id,
    first_seen_at,
    found_by,
    differing_rows_max,
    severity,
    repair_batch_id,
    closed_comparison_id,
    closed_at
from {{ source('ledger', 'drift') }}
