-- The hub's table: 25 columns as an employer of record has them. The key is added when the rows are there.
create schema if not exists mdm;
create table mdm.assignment (
    tenant_id text not null,
    assignment_id text not null,
    worker_id text not null,
    given_name text,
    family_name text,
    email text,
    birth_date date,
    country_code text,
    iban text,
    hired_on text,                                -- text in the hub, a date in the warehouse
    status_code text,
    job_title text,
    department_code text,
    city text,
    postal_code text,
    phone text,
    annual_salary numeric(14, 4),
    salary_currency text,
    weekly_hours numeric(6, 3),
    rate_amount numeric(14, 4),
    credit_limit numeric(18, 6),
    starts_on date,
    signed_at timestamptz,
    is_deleted boolean not null default false,
    updated_at timestamptz not null default now()
);
