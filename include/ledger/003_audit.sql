-- The audit trail: append-only, each entry chained to the one before it.
create table if not exists ledger.audit (
    audit_id bigint primary key,
    at timestamptz not null,
    actor text not null,
    job_id text not null,
    batch_id bigint,
    event text not null,                          -- state changes: batch_opened, batch_held ...
    detail jsonb not null,
    previous_hash bytea not null,
    entry_hash bytea not null
);

create or replace function ledger.audit_hash(previous bytea, entry ledger.audit) returns bytea
language sql immutable
set search_path = pg_catalog
as $$
    select sha256(previous || convert_to(
        jsonb_build_array(entry.audit_id, extract(epoch from entry.at), entry.actor, entry.job_id,
                          entry.batch_id, entry.event, entry.detail)::text, 'UTF8'))
$$;

create or replace function ledger.audit_chain() returns trigger
language plpgsql
set search_path = pg_catalog
as $$
declare
    last record;
begin
    perform pg_advisory_xact_lock(hashtext('syncline ledger.audit'));  -- one writer: the chain has no forks
    select audit_id, entry_hash into last from ledger.audit order by audit_id desc limit 1;
    new.audit_id := coalesce(last.audit_id, 0) + 1;
    new.at := clock_timestamp();
    new.actor := session_user;
    new.previous_hash := coalesce(last.entry_hash, '\x00'::bytea);
    new.entry_hash := ledger.audit_hash(new.previous_hash, new);
    return new;
end
$$;
create or replace trigger audit_chain before insert on ledger.audit
    for each row execute function ledger.audit_chain();

create or replace function ledger.audit_refuse() returns trigger
language plpgsql
as $$
begin
    raise exception 'ledger.audit is append-only: % is refused', tg_op using errcode = '42501';
end
$$;
create or replace trigger audit_refuse_rows before update or delete on ledger.audit
    for each row execute function ledger.audit_refuse();
create or replace trigger audit_refuse_truncate before truncate on ledger.audit
    for each statement execute function ledger.audit_refuse();

-- The first entry whose hash or link does not hold; no row: the chain is whole.
create or replace view ledger.audit_broken as
select audit_id
from (
    select audit.*, lag(entry_hash, 1, '\x00'::bytea) over (order by audit_id) as expected_previous
    from ledger.audit
) as entry
where previous_hash <> expected_previous
   or entry_hash <> ledger.audit_hash(
          previous_hash,
          row(audit_id, at, actor, job_id, batch_id, event, detail, previous_hash, entry_hash)::ledger.audit)
order by audit_id;
