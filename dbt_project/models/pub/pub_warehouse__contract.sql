-- Grain: one row per contract of a tenant, in the last version that a published batch vouches for. Held batches and
-- batches under way are never seen here; deleted contracts are not in it.
{% set job_id = 'mdm__warehouse__contract' %}
{% set key = ['tenant_id', 'contract_id'] %}
{{ config(
    unique_key=key,
    meta={'job_id': job_id},
    post_hook="{{ remove_what_left(source('dw', 'contract'), ['tenant_id', 'contract_id']) }}"
) }}

{{ last_good(
    job_id=job_id,
    target=ref('stg_warehouse__contract'),
    key=key,
    columns=[
        'worker_id', 'contract_type', 'starts_on', 'ends_on', 'weekly_hours', 'rate_amount', 'rate_currency',
        'signed_at', 'status'
    ]
) }}
