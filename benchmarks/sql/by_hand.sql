-- The mapping mdm__warehouse__assignment as one would write it by hand for a tool that takes a SELECT: the same values,
-- but a bad one silently becomes NULL, and nobody is told. What Sling and dlt read.
create or replace view mdm.assignment_by_hand as
select
    tenant_id,
    assignment_id as assignment_no,
    btrim(worker_id) as employee_no,
    left(btrim(concat_ws(' ', given_name, family_name)), 140) as full_name,
    upper(btrim(family_name)) as family_name,
    lower(btrim(email)) as email,
    birth_date,
    upper(country_code) as country,
    upper(replace(iban, ' ', '')) as iban,
    case when pg_input_is_valid(hired_on, 'date') then hired_on::date end as start_date,
    case status_code when 'ACT' then 'active' when 'LOA' then 'leave' when 'TRM' then 'left' end as status,
    btrim(job_title) as job_title,
    department_code as department,
    city,
    postal_code,
    replace(phone, ' ', '') as phone,
    case when abs(annual_salary * 100 % 1) = 0.5 then round(annual_salary / 2, 2) * 2 else round(annual_salary, 2)
    end::numeric(12, 2) as annual_salary,
    salary_currency,
    round(weekly_hours, 2)::numeric(5, 2) as weekly_hours,
    round(rate_amount, 2)::numeric(12, 2) as rate_amount,
    round(credit_limit, 2)::numeric(14, 2) as credit_limit,
    starts_on,
    signed_at,
    'mdm'::text as source_system,
    updated_at as source_event_at
from mdm.assignment
where not is_deleted;
