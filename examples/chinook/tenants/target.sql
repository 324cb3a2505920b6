-- What billing's owner makes: a table whose rows belong to branches, a policy, and the branches that the job may touch.
create table billing.contact (
    branch text,
    contact_no integer,
    full_name varchar(80) not null,
    email varchar(254) not null,
    primary key (branch, contact_no)
);

alter table billing.contact enable row level security, force row level security;
create policy syncline on billing.contact for all to syncline_tenant
    using (branch in (select syncline.scoped_tenants()))
    with check (branch in (select syncline.scoped_tenants()));

insert into syncline.job_tenant (job_id, tenant_id)
select 'chinook__invoicing__contact', branch from unnest(array['USA', 'Canada', 'Germany']) as branch;
