{# The grain: no two rows share these columns. Returns keys only. #}
{% test one_row_per(model, columns) %}
select {{ columns | join(', ') }}, count(*) as found_rows
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1
{% endtest %}
