-- What a target database lends to Syncline: a fence, a tenant scope, markers and a place for staging.
-- Run once by the owner of the target: `psql -f include/target/001_corridor.sql`. Idempotent. The current role
-- becomes the owner of schema `syncline`; roles syncline_loader (login) and syncline_tenant (nologin) must exist.
create schema if not exists syncline;
create schema if not exists staged;
revoke all on schema syncline, staged from public;
grant usage on schema syncline to syncline_loader, syncline_tenant;
grant usage, create on schema staged to syncline_loader;  -- the loader owns its staging tables and nothing else
grant usage on schema staged to syncline_tenant;

-- Which tenants a job may touch; '*' is every tenant. Only the target's owner writes it.
create table if not exists syncline.job_tenant (
    job_id text not null,
    tenant_id text not null,
    primary key (job_id, tenant_id)
);
grant select on syncline.job_tenant to syncline_loader;

-- The newest epoch that entered; an older attempt is refused inside its own transaction (law 6).
create table if not exists syncline.fence (
    job_id text primary key,
    epoch bigint not null
);

-- Tenants in scope of one transaction (law 7). Empty outside of a load.
create unlogged table if not exists syncline.scope (
    xact xid8 not null,
    tenant_id text not null,
    primary key (xact, tenant_id)
);

-- Proof that a batch was loaded, written by the transaction that loaded it.
create table if not exists syncline.marker (
    batch_id bigint primary key,
    job_id text not null,
    epoch bigint not null,
    counts jsonb not null,                        -- {tenant: {inserted_rows: n, ...}}
    loaded_at timestamptz not null default now()
);
grant select, insert on syncline.marker to syncline_loader;

-- Rows that Syncline has deleted, so that an older version cannot bring one back.
create table if not exists syncline.deleted (
    job_id text not null,
    tenant_id text not null,                      -- '' for jobs whose tenancy is none
    key text[] not null,                          -- the target key's values as text, in manifest order
    version timestamptz,                          -- of the row that was deleted, where the target has versions
    source_as_of timestamptz not null,            -- the source's clock when the row was seen to be gone
    batch_id bigint not null,
    deleted_at timestamptz not null default now(),
    primary key (job_id, tenant_id, key)
);
create index if not exists deleted_by_age on syncline.deleted (deleted_at);

-- What jobs agreed on where a target has no column for it: which version of a row stands, and whose.
create table if not exists syncline.agreed (
    relation text not null,                       -- the target table, as manifests name it
    tenant_id text not null,
    key text[] not null,
    version timestamptz not null,
    job_id text not null,
    batch_id bigint not null,
    primary key (relation, tenant_id, key)
);

-- Enter the corridor: pass the fence and open the scope for this transaction alone.
-- Waits while another attempt of the job is inside; SY001 fenced, SY002 tenant not granted.
create or replace function syncline.enter(p_job_id text, p_epoch bigint, p_tenants text[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    newest bigint;
    refused text[];
begin
    insert into syncline.fence (job_id, epoch) values (p_job_id, p_epoch) on conflict (job_id) do nothing;
    select epoch into strict newest from syncline.fence where job_id = p_job_id for update;
    if newest > p_epoch then
        raise exception 'fenced: epoch % of % was overtaken by %', p_epoch, p_job_id, newest using errcode = 'SY001';
    end if;
    update syncline.fence set epoch = p_epoch where job_id = p_job_id and epoch < p_epoch;

    select array_agg(asked order by asked) into refused
    from unnest(p_tenants) as asked
    where not exists (
        select from syncline.job_tenant as granted
        where granted.job_id = p_job_id and granted.tenant_id in (asked, '*'));
    if refused is not null then
        raise exception 'job % is not granted % of the tenants it asked for', p_job_id, cardinality(refused)
            using errcode = 'SY002';
    end if;

    -- Visible rows of other transactions are leavings: a transaction that committed needs its scope no more.
    delete from syncline.scope where ctid = any (array(select ctid from syncline.scope for update skip locked));
    insert into syncline.scope (xact, tenant_id)
    select distinct pg_current_xact_id(), asked from unnest(p_tenants) as asked;
end
$$;

-- Look at some tenants' rows in this transaction, and write nothing any more: for comparisons, which may take long and
-- must keep no load waiting at the fence. SY002 tenant not granted. Temporary tables may still be filled.
create or replace function syncline.look(p_job_id text, p_tenants text[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    refused text[];
begin
    select array_agg(asked order by asked) into refused
    from unnest(p_tenants) as asked
    where not exists (
        select from syncline.job_tenant as granted
        where granted.job_id = p_job_id and granted.tenant_id in (asked, '*'));
    if refused is not null then
        raise exception 'job % is not granted % of the tenants it asked for', p_job_id, cardinality(refused)
            using errcode = 'SY002';
    end if;
    insert into syncline.scope (xact, tenant_id)
    select distinct pg_current_xact_id(), asked from unnest(p_tenants) as asked;
    perform set_config('transaction_read_only', 'on', true);  -- cannot be taken back
end
$$;

-- For row-level policies: the tenants in scope, an error where there is none. Hashed once per statement.
create or replace function syncline.scoped_tenants() returns setof text
language plpgsql stable security definer rows 1000
set search_path = pg_catalog, pg_temp
as $$
begin
    return query select scope.tenant_id from syncline.scope where xact = pg_current_xact_id_if_assigned();
    if not found then
        raise exception 'no tenant scope: call syncline.enter in this transaction first' using errcode = 'SY003';
    end if;
end
$$;

revoke all on function syncline.enter(text, bigint, text[]), syncline.look(text, text[]), syncline.scoped_tenants()
    from public;
grant execute on function syncline.enter(text, bigint, text[]), syncline.look(text, text[]) to syncline_loader;
grant execute on function syncline.scoped_tenants() to syncline_tenant;

-- The markers of a tenant are seen and written in its scope alone.
alter table syncline.deleted enable row level security;  -- not forced: its owner forgets for all tenants
drop policy if exists in_scope on syncline.deleted;
create policy in_scope on syncline.deleted
    using (tenant_id = '' or tenant_id in (select syncline.scoped_tenants()))
    with check (tenant_id = '' or tenant_id in (select syncline.scoped_tenants()));
grant select, insert, update, delete on syncline.deleted to syncline_tenant;

alter table syncline.agreed enable row level security;
drop policy if exists in_scope on syncline.agreed;
create policy in_scope on syncline.agreed
    using (tenant_id = '' or tenant_id in (select syncline.scoped_tenants()))
    with check (tenant_id = '' or tenant_id in (select syncline.scoped_tenants()));
grant select, insert, update, delete on syncline.agreed to syncline_tenant;

-- Forget markers that no replay can reach any more; of all tenants, so it is the owner's function.
create or replace function syncline.forget_deleted(p_job_id text, p_older_than interval) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    forgotten bigint;
begin
    if p_older_than < interval '30 days' then
        raise exception 'markers are kept for 30 days at least, not %', p_older_than using errcode = '22023';
    end if;
    delete from syncline.deleted where job_id = p_job_id and deleted_at < now() - p_older_than;
    get diagnostics forgotten = row_count;
    return forgotten;
end
$$;
revoke all on function syncline.forget_deleted(text, interval) from public;
grant execute on function syncline.forget_deleted(text, interval) to syncline_loader;
