-- Full record comparisons (SYNC-008): what was compared, what differed and why, and how long it went on.
-- Idempotent. Written by plugins/syncline/adapters/ledger/comparisons.py alone.
create table if not exists ledger.comparison (
    comparison_id bigint generated always as identity primary key,
    job_id text not null references ledger.job,
    run_key text not null,                        -- the Airflow run id, or the shell's
    control text not null default '',             -- SYNC-008, or none
    depth text not null check (depth in ('checksums', 'records')),
    is_scheduled boolean not null,                -- else a person asked: drift that it finds was found by a user
    sample_ratio double precision,                -- null: every key
    tenants text[],                               -- null: every tenant of the job
    manifest_hash text not null,
    state text not null default 'running' check (state in ('running', 'done', 'failed')),
    -- The cut-off: both snapshots, and the batch whose copy it is.
    published_batch_id bigint references ledger.batch,
    source_as_of timestamptz,
    target_as_of timestamptz,
    source_rows bigint,
    target_rows bigint,
    identical_rows bigint,
    mismatched_rows bigint,
    missing_in_target_rows bigint,
    missing_in_source_rows bigint,
    duplicate_rows bigint,
    excused_rows bigint,                          -- of those that differ
    raw_match_ratio double precision,             -- null: no key on either side
    match_ratio double precision,                 -- excused differences left out
    severity text check (severity in ('critical', 'medium', 'low')),
    confidence double precision,                  -- of a sample
    verdict text not null default 'unverified' check (verdict in ('matched', 'mismatched', 'unverified')),
    reason text not null default '',              -- why it is unverified
    progress jsonb not null default '{}',         -- what an interrupted comparison need not do again
    started_at timestamptz not null default now(),
    ended_at timestamptz
);
create index if not exists comparison_by_job on ledger.comparison (job_id, comparison_id desc);
create index if not exists comparison_by_run on ledger.comparison (run_key);

-- Keys by tenant, class, cause, severity and the fields that differ.
create table if not exists ledger.record_count (
    comparison_id bigint not null references ledger.comparison,
    tenant_id text not null,                      -- '' for jobs whose tenancy is none
    record_class text not null check (record_class in
        ('identical', 'mismatched', 'missing_in_target', 'missing_in_source', 'duplicate_key')),
    cause text,                                   -- null: identical
    severity text check (severity in ('critical', 'medium', 'low')),
    is_excused boolean not null default false,
    columns text[] not null default '{}',         -- fields that differ; of mismatched ones at depth records
    rows bigint not null
);
create index if not exists record_count_by_comparison on ledger.record_count (comparison_id);

-- The keys that differ, of the first 100,000 of a comparison: what repair works from. Never another value of a row.
create table if not exists ledger.record_difference (
    comparison_id bigint not null references ledger.comparison,
    tenant_id text not null,
    target_key text[] not null,                   -- as text, in manifest order
    key_hash bigint not null,                     -- of the same, as core/checksums.py makes it
    record_class text not null,
    cause text not null,
    severity text not null,
    is_excused boolean not null,
    columns text[] not null default '{}'
);
create index if not exists record_difference_by_comparison on ledger.record_difference (comparison_id);

-- Repairs: what a person approved, from which comparison; its keys by their hashes. A batch of mode repair applies it.
create table if not exists ledger.repair (
    repair_id bigint generated always as identity primary key,
    comparison_id bigint not null references ledger.comparison,
    job_id text not null references ledger.job,
    approved_by text not null,
    reason text not null,
    with_critical boolean not null,               -- critical and financial fields may be written
    send_keys bigint[] not null,
    delete_keys bigint[] not null,
    approved_at timestamptz not null default now()
);
alter table ledger.batch add column if not exists repairs bigint references ledger.repair;
alter table ledger.batch drop constraint if exists batch_mode_check;
alter table ledger.batch add constraint batch_mode_check
    check (mode in ('incremental', 'full', 'window', 'repair') and (mode = 'repair' or repairs is null));

-- Drift: from the first comparison that found an unexcused difference of a job to the first that finds none.
create table if not exists ledger.drift (
    drift_id bigint generated always as identity primary key,
    job_id text not null references ledger.job,
    first_comparison_id bigint not null references ledger.comparison,
    first_seen_at timestamptz not null,
    found_by text not null check (found_by in ('automation', 'user')),
    differing_rows_max bigint not null,
    severity text,
    last_comparison_id bigint not null references ledger.comparison,
    repair_batch_id bigint references ledger.batch,  -- the last repair that was applied to it
    closed_comparison_id bigint references ledger.comparison,
    closed_at timestamptz
);
create unique index if not exists drift_open on ledger.drift (job_id) where closed_at is null;
