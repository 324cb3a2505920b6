-- The ledger: what each batch was asked to do, how far it came and what it counted.
-- Idempotent: safe to run at every start. Written by plugins/syncline/adapters/ledger/ alone.
create schema if not exists ledger;

create table if not exists ledger.job (
    job_id text primary key,
    epoch bigint not null default 0,              -- grows with every attempt; the fence compares it
    batch_id bigint,                              -- the batch that holds the job's lock now
    manifest_version text not null,
    manifest_hash text not null,
    source_system text not null,
    target_system text not null,
    criticality text not null,
    oncall text not null,
    sla_latency_s_max bigint not null,
    registered_at timestamptz not null default now()
);

create table if not exists ledger.batch (
    batch_id bigint generated always as identity primary key,
    job_id text not null references ledger.job,
    run_key text not null,                        -- the Airflow run id, or the shell's
    mode text not null check (mode in ('incremental', 'full', 'window')),
    is_dry_run boolean not null default false,
    tenants text[],                               -- null: every tenant of the job
    reason text not null default '',
    state text not null default 'open'
        check (state in ('open', 'extracted', 'loaded', 'reconciled', 'published', 'held', 'abandoned', 'dry_run')),
    epoch bigint not null,
    manifest_version text not null,
    manifest_hash text not null,
    rows_hash text,                               -- of what decides the rows and their values
    -- The window: what the batch must read. The lower bound is the watermark at opening.
    window_from timestamptz,                      -- mode window: cursor values >= this
    window_to timestamptz,                        -- mode window: cursor values < this
    lower_snapshot pg_snapshot,                   -- incremental: what its oldest open transaction or a later one wrote is the delta
    lower_cursor timestamptz,                     -- incremental: index pre-filter on the cursor column
    -- The cut-off: what the batch did read. Set by extract_and_map.
    upper_snapshot pg_snapshot,
    upper_cursor timestamptz,                     -- no open source transaction began before this
    source_as_of timestamptz,                     -- source clock at the snapshot
    source_max_at timestamptz,                    -- newest cursor value seen
    extracted_rows bigint,
    rejected_rows bigint,
    staged_rows bigint,
    inserted_rows bigint,
    updated_rows bigint,
    deleted_rows bigint,
    unchanged_rows bigint,
    superseded_rows bigint,
    conflicted_rows bigint,
    verdict text not null default 'unverified' check (verdict in ('matched', 'mismatched', 'unverified')),
    held_because text,
    published_by bigint references ledger.batch,  -- the batch whose publication covers this one's rows
    opened_at timestamptz not null default now(),
    extracted_at timestamptz,
    loaded_at timestamptz,
    reconciled_at timestamptz,
    published_at timestamptz,
    constraint only_matched_is_published check (state <> 'published' or verdict = 'matched')
);
alter table ledger.batch add column if not exists rows_hash text;  -- of ledgers that were made before it
create index if not exists batch_by_job on ledger.batch (job_id, batch_id desc);
create index if not exists batch_by_run on ledger.batch (job_id, run_key);

create table if not exists ledger.tenant_count (
    batch_id bigint not null references ledger.batch,
    tenant_id text not null,                      -- '' for jobs whose tenancy is none
    extracted_rows bigint not null default 0,
    rejected_rows bigint not null default 0,
    staged_rows bigint not null default 0,
    inserted_rows bigint not null default 0,
    updated_rows bigint not null default 0,
    deleted_rows bigint not null default 0,
    unchanged_rows bigint not null default 0,
    superseded_rows bigint not null default 0,
    conflicted_rows bigint not null default 0,
    source_rows bigint,                           -- source as of the cut-off (SYNC-005): all of it; of a window, its own
    excused_rows bigint,                          -- of those, waiting in dead letters and not in the target
    target_rows bigint,                           -- target, counted after the load: all of it; of a window, its keys
    primary key (batch_id, tenant_id)
);

create table if not exists ledger.watermark (
    job_id text primary key references ledger.job,
    batch_id bigint not null references ledger.batch,
    snapshot pg_snapshot not null,
    cursor_floor timestamptz,                     -- null: the next batch cannot use the index pre-filter
    source_as_of timestamptz not null,
    moved_at timestamptz not null default now()
);

create table if not exists ledger.attempt (
    attempt_id bigint generated always as identity primary key,
    batch_id bigint not null references ledger.batch,
    step text not null,
    epoch bigint not null,
    started_at timestamptz not null default now(),
    ended_at timestamptz,
    outcome text not null default 'running' check (outcome in ('running', 'done', 'failed')),
    error_type text,
    sqlstate text
);
-- The session that reports the attempt: while it lives, so does the attempt.
alter table ledger.attempt add column if not exists backend_pid integer;
alter table ledger.attempt add column if not exists backend_start timestamptz;
create index if not exists attempt_by_batch on ledger.attempt (batch_id);

create table if not exists ledger.result (
    result_id bigint generated always as identity primary key,
    batch_id bigint not null references ledger.batch,
    control text not null,                        -- SYNC-005, later SYNC-008
    verdict text not null check (verdict in ('matched', 'mismatched', 'unverified')),
    mismatch_ratio double precision,
    mismatch_ratio_max double precision,
    evidence jsonb not null,                      -- the Great Expectations validation result; counts, never values
    judged_at timestamptz not null default now()
);
create index if not exists result_by_batch on ledger.result (batch_id);
