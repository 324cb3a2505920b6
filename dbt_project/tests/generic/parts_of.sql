{# A total is the sum of its parts. Null is no total: nothing was counted. #}
{% test parts_of(model, total, parts) %}
select {{ total }}, {{ parts | join(', ') }}
from {{ model }}
where {{ total }} <> {{ parts | join(' + ') }}
{% endtest %}
