-- Grain: one row per job of the ledger, of every target. It speaks of the job's target; the rows of a pub_ table carry
-- their own stamps.
{{ config(unique_key='job_id') }}
-- depends_on: {{ ref('stg_ledger__batch') }} (through int_sync__job, which is no task of its own)

with waiting as (
    select job_id, sum(open_dead_letters)::bigint as open_dead_letters
    from {{ ref('stg_ledger__open_dead_letter') }}
    group by job_id
)

select
    job.job_id,
    job.source_system,
    job.target_system,
    job.criticality,
    job.newest_batch_id,
    job.newest_batch_state,
    coalesce(job.verdict, 'unverified') as verdict,
    job.published_batch_id,
    job.published_at,
    job.fresh_as_of,
    {{ freshness_state('job.is_proven', 'coalesce(waiting.open_dead_letters, 0)', 'job.fresh_as_of',
                       'job.sla_latency_s_max') }} as freshness_state,
    job.sla_latency_s_max,
    case when job.fresh_as_of is not null then {{ lag_s('job.fresh_as_of') }} end as lag_s,
    coalesce(waiting.open_dead_letters, 0) as open_dead_letters,
    {{ as_of() }} as as_of
from {{ ref('int_sync__job') }} as job
left join waiting using (job_id)
