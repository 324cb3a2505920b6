-- Grain: one row per client of a tenant, in the last version that a published batch vouches for. Held batches and
-- batches under way are never seen here; deleted clients are not in it.
{% set job_id = 'mdm__warehouse__client' %}
{% set key = ['tenant_id', 'client_id'] %}
{{ config(
    unique_key=key,
    meta={'job_id': job_id},
    post_hook="{{ remove_what_left(source('dw', 'client'), ['tenant_id', 'client_id']) }}"
) }}

{{ last_good(
    job_id=job_id,
    target=ref('stg_warehouse__client'),
    key=key,
    columns=[
        'legal_name', 'country_code', 'status', 'currency', 'payment_terms_days', 'credit_limit',
        'account_manager', 'onboarded_on'
    ]
) }}
