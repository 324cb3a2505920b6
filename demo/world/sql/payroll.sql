-- Payroll, United Kingdom. Runs as syncline_owner after the corridor, idempotent.
create schema if not exists hr;
revoke all on schema hr from public;
grant usage on schema hr to syncline_loader, syncline_tenant;

create table if not exists hr.employee (
    tenant_id text not null,
    employee_no text not null,
    full_name varchar(140) not null,
    bank_account_name varchar(70) not null,       -- SEPA character set: the bank refuses the file otherwise
    bank_iban varchar(34) not null,
    birth_date date not null,
    start_date date not null,
    pay_status text not null check (pay_status in ('active', 'leave', 'left')),
    annual_salary numeric(12, 2) not null check (annual_salary >= 0),
    salary_currency text not null,
    tax_code text not null,
    source_event_at timestamptz not null,
    loaded_at timestamptz not null,
    sync_batch_id bigint not null,
    primary key (tenant_id, employee_no)
);
