-- What was compared before it was read, rows that vanished from the source, and who allowed many of them to go.
alter table ledger.batch add column if not exists range_bits smallint;           -- null: nothing was compared first
alter table ledger.batch add column if not exists compared_ranges integer;
alter table ledger.batch add column if not exists differing_ranges integer;      -- these were read
alter table ledger.batch add column if not exists equal_rows bigint;             -- rows of the others
alter table ledger.batch add column if not exists removed_rows bigint;           -- of the copy, no longer in the source
alter table ledger.batch add column if not exists approves bigint references ledger.batch;  -- a batch held for its deletes
alter table ledger.batch add column if not exists wanted_deletes bigint;         -- what a held batch wanted to delete
alter table ledger.tenant_count add column if not exists removed_rows bigint not null default 0;
