-- Grain: one row per batch whose row counts were judged (SYNC-005), by its last judgement.
select distinct on (batch_id)
    batch_id,
    batch.job_id,
    result.verdict,
    result.mismatch_ratio,
    result.judged_at
from {{ ref('stg_ledger__result') }} as result
inner join {{ ref('stg_ledger__batch') }} as batch using (batch_id)
where result.control = 'SYNC-005'
order by batch_id, result.result_id desc
