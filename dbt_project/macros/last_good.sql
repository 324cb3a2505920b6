{# The body of a pub_ model: for each key the newest version that a published batch vouches for.

   The target holds one version of a row, and that may be the version of a batch which is under way or held. Hence
   two sources: the target, where the batch of its row is published; otherwise this table itself, whose row stands.

   - `stg_ledger__batch` is frozen at the start of the run. A batch that is published while we build is not in it, so
     no row can be newer than the time stamped on it.
   - `fresh_as_of` of a row in the target moves with its job: the batch confirmed every row of the job, changed or not.
     That of a row that stands does not move: we know that the source has something newer.
   - Only rows that differ from this table are returned: a second run changes nothing.

   job_id: the job that loads the target; target: its staging model; key, columns: of the published row, without
   stamps. Rows leave the table in `remove_what_left`, in the same transaction. #}
{% macro last_good(job_id, target, key, columns) %}
{%- set carried = key + columns + ['sync_batch_id', 'source_event_at', 'loaded_at', 'fresh_as_of'] -%}
{%- set there = adapter.get_columns_in_relation(this) | map(attribute='name') | list if is_incremental() else [] -%}
with job as (
    select * from {{ ref('int_sync__job') }} where job_id = '{{ job_id }}'
),

target as (
    select target.*, batch.source_as_of, coalesce(batch.is_published, false) as is_published
    from {{ target }} as target
    left join {{ ref('stg_ledger__batch') }} as batch on batch.batch_id = target.sync_batch_id
),

good as (
    select
        {% for column in carried if column != 'fresh_as_of' -%}
        target.{{ column }},
        {% endfor -%}
        greatest(job.fresh_as_of, target.source_as_of) as fresh_as_of  -- a batch of some tenants may be ahead of its job
    from target
    cross join job
    where target.is_published and not target.is_deleted
    {%- if is_incremental() %}
    union all
    select
        {% for column in carried -%}
        {{ 'pub.' ~ column if column in there else 'null' }}{{ ',' if not loop.last }}
        {% endfor -%}
    from {{ this }} as pub
    inner join target using ({{ key | join(', ') }})
    where not target.is_published
    {%- endif %}
),

stamped as (
    select
        {% for column in key + columns -%}
        good.{{ column }},
        {% endfor -%}
        good.sync_batch_id,
        job.source_system,
        good.source_event_at,
        good.loaded_at,
        good.fresh_as_of,
        {{ freshness_state('job.is_proven', 'coalesce(waiting.open_dead_letters, 0)', 'good.fresh_as_of',
                           'job.sla_latency_s_max') }} as freshness_state
    from good
    cross join job
    left join {{ ref('stg_ledger__open_dead_letter') }} as waiting
        on waiting.job_id = job.job_id and waiting.tenant_id = good.tenant_id
)

{{ only_changed('stamped') }}
{% endmacro %}
