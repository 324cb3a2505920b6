-- Grain: one row per worker of a tenant, as the target holds it now, proven or not.
select
    tenant_id,
    worker_id,
    full_name,
    country_code,
    birth_year,
    hired_on,
    status,
    annual_salary,
    salary_currency,
    is_deleted,
    source_event_at,
    loaded_at,
    sync_batch_id
from {{ source('dw', 'worker') }}
