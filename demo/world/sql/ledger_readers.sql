-- dbt reads the ledger to know which batches are published. Runs as syncline_ledger, idempotent.
revoke all on schema ledger from public;
grant usage on schema ledger to syncline_dbt;
grant select on all tables in schema ledger to syncline_dbt;
alter default privileges in schema ledger grant select on tables to syncline_dbt;
