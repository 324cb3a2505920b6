-- The hub: master data of an employer of record. Runs as mdm_owner, idempotent.
-- Deliberately as hubs are: ids are unique per tenant only (w00001 exists in every tenant), dates that came from
-- files are text, codes are unchecked, there are no foreign keys. What a consumer forbids, the mapping must catch.
create schema if not exists mdm;
revoke all on schema mdm from public;

create table if not exists mdm.country (
    country_code text primary key,                -- ISO 3166-1 alpha-2
    alpha3 text not null,
    numeric_code text not null,                   -- text: '004' is not 4
    name text not null,
    updated_at timestamptz not null default now()
);
create index if not exists country_updated_at on mdm.country (updated_at);

create table if not exists mdm.currency (
    currency_code text primary key,               -- ISO 4217
    numeric_code text not null,
    name text not null,
    minor_units smallint,                         -- digits after the point; null where ISO has none (gold, test)
    updated_at timestamptz not null default now()
);
create index if not exists currency_updated_at on mdm.currency (updated_at);

create table if not exists mdm.organisation (
    tenant_id text not null,
    organisation_id text not null,
    legal_name text,
    registration_no text,
    country_code text,
    city text,
    updated_at timestamptz not null default now(),
    is_deleted boolean not null default false,
    primary key (tenant_id, organisation_id)
);
create index if not exists organisation_updated_at on mdm.organisation (updated_at);

create table if not exists mdm.client (
    tenant_id text not null,
    client_id text not null,
    organisation_id text,                         -- the legal entity that is invoiced
    status_code text,                             -- A active, S suspended, C closed
    currency_code text,
    payment_terms text,                           -- N15, N30, N60 days net; EOM end of month
    credit_limit numeric(18, 6),
    billing_email text,
    onboarded_on text,                            -- ISO date, when people were careful
    account_manager text,
    updated_at timestamptz not null default now(),
    is_deleted boolean not null default false,
    primary key (tenant_id, client_id)
);
create index if not exists client_updated_at on mdm.client (updated_at);

create table if not exists mdm.worker (
    tenant_id text not null,
    worker_id text not null,
    given_name text,
    family_name text,
    birth_date date,
    email text,
    country_code text,
    city text,
    job_title text,
    iban text,                                    -- as typed: spaces, small letters
    hired_on text,                                -- ISO date, when people were careful
    status_code text,                             -- ACT active, LOA leave of absence, TRM terminated
    annual_salary numeric(14, 4),
    salary_currency text,
    tax_code text,                                -- UK only
    updated_at timestamptz not null default now(),
    is_deleted boolean not null default false,
    primary key (tenant_id, worker_id)
);
create index if not exists worker_updated_at on mdm.worker (updated_at);

create table if not exists mdm.contract (
    tenant_id text not null,
    contract_id text not null,
    worker_id text,
    contract_type text,                           -- PERM, FIX, HRLY
    starts_on date,
    ends_on date,
    weekly_hours numeric(6, 3),
    rate_amount numeric(14, 4),                   -- per year; per hour for HRLY
    rate_currency text,
    signed_at timestamptz,
    status_code text,                             -- DRAFT, LIVE, ENDED
    updated_at timestamptz not null default now(),
    is_deleted boolean not null default false,
    primary key (tenant_id, contract_id)
);
create index if not exists contract_updated_at on mdm.contract (updated_at);

create table if not exists mdm.contract_event (   -- append-only: an event is never changed, nor deleted
    tenant_id text not null,
    event_id bigint not null,
    contract_id text,
    kind text,                                    -- SIGNED, AMENDED, ENDED
    occurred_at timestamptz,
    updated_at timestamptz not null default now(),
    is_deleted boolean not null default false,
    primary key (tenant_id, event_id)
);
create index if not exists contract_event_updated_at on mdm.contract_event (updated_at);

-- What the demo put into the hub, so that it is filled once and its dirt can be counted by hand.
create table if not exists mdm.world (
    is_only_row boolean primary key default true check (is_only_row),
    recipe integer not null,
    seed bigint not null,
    workers integer not null,
    clients integer not null,
    contracts integer not null,
    rows jsonb not null,                          -- {table: rows} as generated
    changes_made integer not null default 0
);

create table if not exists mdm.world_dirt (
    table_name text not null,
    tenant_id text not null,
    entity_id text not null,                      -- second column of the table's key, as text
    kind text not null,
    column_name text not null,
    clean_value text,                             -- puts the row right again
    planted_in integer not null,                  -- 0: generated, n: the n-th change
    repaired_in integer
);
create unique index if not exists world_dirt_open
    on mdm.world_dirt (table_name, tenant_id, entity_id) where repaired_in is null;

grant usage on schema mdm to syncline_reader;
grant select on all tables in schema mdm to syncline_reader;
alter default privileges in schema mdm grant select on tables to syncline_reader;
