-- Grain: one row per client of a tenant, as the target holds it now, proven or not.
-- The target's constant `source_system` is not taken: pub_ rows carry the ledger's.
select
    tenant_id,
    client_id,
    legal_name,
    country_code,
    status,
    currency,
    payment_terms_days,
    credit_limit,
    account_manager,
    onboarded_on,
    is_deleted,
    source_event_at,
    loaded_at,
    sync_batch_id
from {{ source('dw', 'client') }}
