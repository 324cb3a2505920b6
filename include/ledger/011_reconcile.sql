-- SYNC-005 in both directions: rows that the target lacks and rows that it has too many, at least, and the batch's keys.
alter table ledger.tenant_count add column if not exists missing_rows bigint;   -- expected + extra = target + missing
alter table ledger.tenant_count add column if not exists extra_rows bigint;
alter table ledger.tenant_count add column if not exists brought_rows bigint;   -- keys of the batch; null: staging was lost
alter table ledger.tenant_count add column if not exists missing_keys bigint;   -- of those, living ones not in the target
alter table ledger.tenant_count add column if not exists extra_keys bigint;     -- of those, deleted ones still in it
