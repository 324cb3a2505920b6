-- Runs of a control over several jobs (SYNC-008): the verdict, the report that was kept, and who signed it.
-- Idempotent. Written by plugins/syncline/adapters/ledger/control_runs.py alone.
create table if not exists ledger.control_run (
    control_run_id bigint generated always as identity primary key,
    control text not null,                        -- SYNC-008
    run_key text not null,                        -- the Airflow run id, or the shell's
    job_ids text[] not null,                      -- asked for, compared or not
    comparison_ids bigint[] not null default '{}',
    state text not null default 'judging' check (state in ('judging', 'drafted', 'signed', 'refused')),
    verdict text not null default 'unverified' check (verdict in ('matched', 'mismatched', 'unverified')),
    match_ratio double precision,                 -- the lowest of its jobs, excused differences left out
    summary text not null default '',
    evidence jsonb not null default '{}',         -- of Great Expectations: ids, counts, ratios
    html_path text,                               -- below the folder that Syncline writes to
    html_sha256 text,
    csv_path text,
    csv_sha256 text,
    begun_at timestamptz not null default now(),
    drafted_at timestamptz,
    signer text,                                  -- as the owner of the control gave it
    note text,
    decided_at timestamptz,
    signed_sha256 text,                           -- of the report with the signature
    unique (control, run_key),
    check (state = 'judging' or (html_sha256 is not null and csv_sha256 is not null and drafted_at is not null)),
    check (state in ('judging', 'drafted') or (signer <> '' and decided_at is not null and signed_sha256 is not null))
);

-- What was signed or refused stays as it is.
create or replace function ledger.control_run_refuse() returns trigger
language plpgsql
as $$
begin
    raise exception 'control run % is %: it is not changed any more', old.control_run_id, old.state
        using errcode = '42501';
end
$$;
create or replace trigger control_run_final before update or delete on ledger.control_run
    for each row when (old.state in ('signed', 'refused')) execute function ledger.control_run_refuse();
