{# Nothing is missing and nothing stays behind: what published batches left in the target is here, and no row that they
   deleted. Cannot fail because the target moved on: a version of a batch in the frozen list was there all along. #}
{% test holds_every_published_row(model, target, columns) %}
select {{ columns | join(', ') }}
from {{ target }} as target
inner join {{ ref('stg_ledger__batch') }} as batch on batch.batch_id = target.sync_batch_id and batch.is_published
left join {{ model }} as pub using ({{ columns | join(', ') }})
where pub.sync_batch_id is distinct from case when not target.is_deleted then target.sync_batch_id end
{% endtest %}
