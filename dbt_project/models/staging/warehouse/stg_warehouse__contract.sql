-- Grain: one row per contract of a tenant, as the target holds it now, proven or not.
select
    tenant_id,
    contract_id,
    worker_id,
    contract_type,
    starts_on,
    ends_on,
    weekly_hours,
    rate_amount,
    rate_currency,
    signed_at,
    status,
    is_deleted,
    source_event_at,
    loaded_at,
    sync_batch_id
from {{ source('dw', 'contract') }}
