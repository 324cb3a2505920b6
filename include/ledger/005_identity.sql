-- Which source a batch read, and what its two sides looked like: the next batch compares before its first row.
-- Idempotent. Written by plugins/syncline/adapters/ledger/sources.py alone.
alter table ledger.batch add column if not exists source_identity jsonb;     -- core/identity.py, SourceIdentity
alter table ledger.batch add column if not exists source_columns jsonb;      -- column -> type, as it was read
alter table ledger.batch add column if not exists target_columns jsonb;
alter table ledger.batch add column if not exists schema_notes text[] not null default '{}';  -- changes that passed
-- A person said, with a reason, that another source than the remembered one is right.
alter table ledger.batch add column if not exists accepts_source boolean not null default false;
