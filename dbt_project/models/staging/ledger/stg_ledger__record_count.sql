-- Grain: one row per comparison, tenant, class, cause, severity and set of differing fields. Counts only: the keys that
-- differ stay in the ledger.
select
    comparison_id,
    record_class,
    cause,
    is_excused,
    columns as fields,
    rows as record_rows
from {{ source('ledger', 'record_count') }}
