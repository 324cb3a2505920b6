-- Grain: one row per comparison that found records to differ, with what its counts by tenant add up to.
with field as (
    select comparison_id, string_agg(distinct named.field, ', ' order by named.field) as differing_fields
    from {{ ref('stg_ledger__record_count') }}
    cross join unnest(fields) as named (field)
    where not is_excused
    group by comparison_id
)

select
    comparison_id,
    {% for record_class in ['mismatched', 'missing_in_target', 'missing_in_source', 'duplicate_key'] -%}
    coalesce(sum(record_rows) filter (where is_excused and record_class = '{{ record_class }}'), 0)::bigint
        as {{ record_class | replace('duplicate_key', 'duplicate') }}_excused_rows,
    {% endfor -%}
    coalesce(sum(record_rows) filter (where cause = 'unknown'), 0)::bigint as unknown_rows,
    min(field.differing_fields) as differing_fields
from {{ ref('stg_ledger__record_count') }}
left join field using (comparison_id)
where record_class <> 'identical'
group by comparison_id
