-- A billing system's own tables, as its owner made them; nothing here was shaped for the source.
create schema billing;

create table billing.clerk (
    clerk_no integer primary key,
    full_name varchar(80) not null,
    job_title varchar(40),
    email varchar(254) not null unique,
    hired_on date not null,
    reports_to integer
);

create table billing.account (
    account_no integer primary key,
    display_name varchar(120) not null,
    country_code char(2) not null,
    postal_code varchar(10),
    phone varchar(16),
    invoice_email varchar(254) not null,
    account_manager varchar(80),
    loaded_at timestamptz not null,
    sync_batch_id bigint not null
);

create table billing.invoice (
    invoice_no integer primary key,
    account_no integer not null,
    issued_on date not null,
    due_on date not null,
    bill_to jsonb not null,
    total_minor bigint not null check (total_minor >= 0),
    currency char(3) not null,
    loaded_at timestamptz not null,
    sync_batch_id bigint not null
);

create table billing.invoice_line (
    line_no integer primary key,
    invoice_no integer not null,
    item varchar(200) not null,
    quantity smallint not null check (quantity > 0),
    unit_price numeric(10,2) not null,
    amount numeric(12,2) not null
);
