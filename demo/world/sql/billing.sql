-- Billing. Runs as syncline_owner after the corridor, idempotent.
create schema if not exists billing;
revoke all on schema billing from public;
grant usage on schema billing to syncline_loader, syncline_tenant;

create table if not exists billing.client_account (
    tenant_id text not null,
    account_no text not null,
    legal_name varchar(120) not null,
    country_code text not null,
    currency text not null,
    payment_terms_days integer not null check (payment_terms_days >= 0),
    credit_limit numeric(14, 2),
    invoice_email text,
    onboarded_on date,
    account_status text not null check (account_status in ('active', 'suspended', 'closed')),
    is_deleted boolean not null default false,    -- invoices outlive the client
    source_event_at timestamptz not null,
    loaded_at timestamptz not null,
    sync_batch_id bigint not null,
    primary key (tenant_id, account_no)
);
