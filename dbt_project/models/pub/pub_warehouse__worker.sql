-- Grain: one row per worker of a tenant, in the last version that a published batch vouches for. Held batches and
-- batches under way are never seen here; deleted workers are not in it.
{% set job_id = 'mdm__warehouse__worker' %}
{% set key = ['tenant_id', 'worker_id'] %}
{{ config(
    unique_key=key,
    meta={'job_id': job_id},
    post_hook="{{ remove_what_left(source('dw', 'worker'), ['tenant_id', 'worker_id']) }}"
) }}

{{ last_good(
    job_id=job_id,
    target=ref('stg_warehouse__worker'),
    key=key,
    columns=[
        'full_name', 'country_code', 'birth_year', 'hired_on', 'status', 'annual_salary', 'salary_currency'
    ]
) }}
