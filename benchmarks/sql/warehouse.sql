-- The target of the job mdm__warehouse__assignment. Row security is put around it by demo/world/sql/tenant_tables.sql.
create schema if not exists dw;
grant usage on schema dw to syncline_loader, syncline_tenant;
create table dw.assignment (
    tenant_id text not null,
    assignment_no text not null,
    employee_no text not null,
    full_name varchar(140) not null,
    family_name text,
    email text,
    birth_date date,
    country text,
    iban varchar(34) not null,
    start_date date not null,
    status text not null,
    job_title text,
    department text,
    city text,
    postal_code text,
    phone text,
    annual_salary numeric(12, 2) not null,
    salary_currency text,
    weekly_hours numeric(5, 2),
    rate_amount numeric(12, 2),
    credit_limit numeric(14, 2),
    starts_on date,
    signed_at timestamptz,
    source_system text not null,
    is_deleted boolean not null default false,
    source_event_at timestamptz not null,
    loaded_at timestamptz not null,
    sync_batch_id bigint not null,
    primary key (tenant_id, assignment_no)
);
