{# The last SELECT of a pub_ model that keeps what it once had: of `rows`, those that this table has not, or has otherwise.
   A run after nothing happened writes nothing. The columns are those of the contract. #}
{% macro only_changed(rows) %}
{%- set key = [config.get('unique_key')] if config.get('unique_key') is string else config.get('unique_key') -%}
{%- set columns = model.columns.keys() | list -%}
{%- set there = adapter.get_columns_in_relation(this) | map(attribute='name') | list if is_incremental() else [] -%}
select {{ rows }}.*
from {{ rows }}
{%- if is_incremental() and columns | reject('in', there) | list == [] %}
left join {{ this }} as pub using ({{ key | join(', ') }})
where row({{ rows }}.{{ columns | join(', ' ~ rows ~ '.') }})
    is distinct from row(pub.{{ columns | join(', pub.') }})
{%- endif %}
{% endmacro %}
