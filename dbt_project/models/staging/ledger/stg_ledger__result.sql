-- Grain: one row per judgement of a batch by a control; judged again, it has another.
select
    result_id,
    batch_id,
    control,
    verdict,
    mismatch_ratio,
    judged_at
from {{ source('ledger', 'result') }}
