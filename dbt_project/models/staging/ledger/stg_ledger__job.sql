-- Grain: one row per job that ever opened a batch.
select
    job_id,
    source_system,
    target_system,
    criticality,
    sla_latency_s_max
from {{ source('ledger', 'job') }}
