{# Post-hook of a pub_ model: takes out rows that a published batch deleted, and rows erased from the target by hand.

   It runs in the transaction of the merge, so readers see both or neither. A target that suddenly shows almost
   nothing (a lost row-level policy, a half restored database) is no reason to empty a published table: above
   `removed_ratio_max` the build fails and the table stands as it was. #}
{% macro remove_what_left(target, key) %}
{%- if is_incremental() -%}
do $guard$
declare
    gone_rows bigint;
    pub_rows bigint;
begin
    select count(*) filter (where target.{{ key[0] }} is null), count(*) into gone_rows, pub_rows
    from {{ this }} as pub
    left join {{ target }} as target using ({{ key | join(', ') }});
    if gone_rows > pub_rows * {{ var('removed_ratio_max') }} then
        raise exception
            '{{ this.identifier }}: % of % published rows are no longer in {{ target.schema }}.{{ target.identifier }}, '
            'and no batch deleted them. The table stands as it was. Check that role % may see all rows of the target '
            '(policy "using (true)"). If the rows were erased on purpose, once: dbt build --select {{ this.identifier }} '
            '--vars ''{as_of: "{{ var('as_of', '') }}", removed_ratio_max: 1}''',
            gone_rows, pub_rows, current_user using errcode = 'SY020';
    end if;
end
$guard$;
delete from {{ this }} as pub
where not exists (
    select from {{ target }} as target
    where
        {% for column in key -%}
        target.{{ column }} = pub.{{ column }} and
        {% endfor -%}
        (target.is_deleted and target.sync_batch_id in (
            select batch_id from {{ ref('stg_ledger__batch') }} where is_published
        )) is not true
)
{%- endif -%}
{% endmacro %}
