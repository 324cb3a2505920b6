-- Grain: one row per batch that was meant to load (no dry runs).
-- A table, not a view, on purpose: it freezes which batches count as published for the whole run. If each model asked
-- the ledger itself, a batch published in between would lend its time to rows of the batch before.
{{ config(materialized='table') }}

select
    batch_id,
    job_id,
    state,
    verdict,
    source_as_of,
    published_at,
    published_by is not null as is_published,
    tenants is null and mode not in ('window', 'repair') as is_whole_job,
    state in ('published', 'held') or (state = 'abandoned' and loaded_at is not null) as is_finished
from {{ source('ledger', 'batch') }}
where not is_dry_run
