{# The gate: no row of a batch that is held, under way or unknown. #}
{% test from_published_batch(model) %}
select pub.sync_batch_id, count(*) as found_rows
from {{ model }} as pub
left join {{ ref('stg_ledger__batch') }} as batch on batch.batch_id = pub.sync_batch_id and batch.is_published
where batch.batch_id is null
group by pub.sync_batch_id
{% endtest %}
