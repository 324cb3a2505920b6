-- The analytics warehouse. Runs as syncline_owner after the corridor, idempotent.
create schema if not exists dw;
revoke all on schema dw from public;
grant usage on schema dw to syncline_loader, syncline_tenant, syncline_dbt;

create table if not exists dw.country (           -- reference data: no tenant, so no row security
    country_code text primary key,
    alpha3 text not null,
    numeric_code text not null,
    name text not null,
    source_event_at timestamptz not null,
    loaded_at timestamptz not null,
    sync_batch_id bigint not null
);

create table if not exists dw.client (
    tenant_id text not null,
    client_id text not null,
    legal_name text not null,
    country_code text not null,
    status text not null,
    currency text not null,
    payment_terms_days integer not null,
    credit_limit numeric(14, 2),
    account_manager text not null,
    onboarded_on date,
    source_system text not null,
    is_deleted boolean not null default false,
    source_event_at timestamptz not null,
    loaded_at timestamptz not null,
    sync_batch_id bigint not null,
    primary key (tenant_id, client_id)
);

create table if not exists dw.worker (            -- no birthday, no bank account: analysts need neither
    tenant_id text not null,
    worker_id text not null,
    full_name text not null,
    country_code text not null,
    birth_year integer,                           -- statistics need no more than the year
    hired_on date not null,
    status text not null,
    annual_salary numeric(14, 2),
    salary_currency text not null,
    is_deleted boolean not null default false,
    source_event_at timestamptz not null,
    loaded_at timestamptz not null,
    sync_batch_id bigint not null,
    primary key (tenant_id, worker_id)
);

create table if not exists dw.contract (
    tenant_id text not null,
    contract_id text not null,
    worker_id text not null,
    contract_type text not null,
    starts_on date not null,
    ends_on date,
    weekly_hours numeric(5, 2) not null,
    rate_amount numeric(14, 2) not null,
    rate_currency text not null,
    signed_at timestamptz,
    status text not null,
    is_deleted boolean not null default false,
    source_event_at timestamptz not null,
    loaded_at timestamptz not null,
    sync_batch_id bigint not null,
    primary key (tenant_id, contract_id)
);

create table if not exists dw.contract_event (
    tenant_id text not null,
    event_id bigint not null,
    contract_id text not null,
    kind text not null,
    occurred_at timestamptz not null,
    source_event_at timestamptz not null,
    loaded_at timestamptz not null,
    sync_batch_id bigint not null,
    primary key (tenant_id, event_id)
);

grant select, insert, update, delete on dw.country to syncline_tenant;
grant select on all tables in schema dw to syncline_dbt;
alter default privileges in schema dw grant select on tables to syncline_dbt;
