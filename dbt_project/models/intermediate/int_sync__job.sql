-- Grain: one row per job, with what its batches have proven.
with newest_finished as (
    select distinct on (job_id) job_id, batch_id, state, verdict
    from {{ ref('stg_ledger__batch') }}
    where is_finished
    order by job_id, batch_id desc
),

-- Batches that ended without proof. The publication of a batch of all tenants and no window covers what came before it
-- (ledger: published_by); a window that matched does not.
unproven as (
    select distinct job_id
    from {{ ref('stg_ledger__batch') }}
    where is_finished and not is_published
),

-- Only a batch of all tenants and no window says something about every row of the job.
newest_published as (
    select distinct on (job_id) job_id, batch_id, source_as_of, published_at
    from {{ ref('stg_ledger__batch') }}
    where state = 'published' and is_whole_job
    order by job_id, batch_id desc
)

select
    job.job_id,
    job.source_system,
    job.target_system,
    job.criticality,
    job.sla_latency_s_max,
    newest_finished.batch_id as newest_batch_id,
    newest_finished.state as newest_batch_state,
    newest_finished.verdict,
    newest_published.batch_id as published_batch_id,
    newest_published.published_at,
    newest_published.source_as_of as fresh_as_of,
    (newest_finished.verdict = 'matched') is true and unproven.job_id is null as is_proven
from {{ ref('stg_ledger__job') }} as job
left join newest_finished using (job_id)
left join newest_published using (job_id)
left join unproven using (job_id)
