-- Grain: one row per job and tenant with rows that wait for a person. Counts only: payloads stay in the ledger.
select
    job_id,
    tenant_id,
    count(*) as open_dead_letters
from {{ source('ledger', 'dead_letter') }}
where state = 'open'
group by job_id, tenant_id
