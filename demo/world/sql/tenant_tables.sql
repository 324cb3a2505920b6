-- Law 7, applied to what is there: every table with a tenant_id in the schemas below gets forced row security and
-- the tenant policy, so a new table cannot be forgotten. Runs as syncline_owner, last; idempotent.
do $$
declare
    wall record;
begin
    for wall in
        select class.oid::regclass as table_name, namespace.nspname as schema_name,
               class.relrowsecurity and class.relforcerowsecurity as is_forced,
               array(select polname from pg_policy where polrelid = class.oid) as policies
        from pg_class as class
        join pg_namespace as namespace on namespace.oid = class.relnamespace
        join pg_attribute as tenant on tenant.attrelid = class.oid and tenant.attname = 'tenant_id'
        where namespace.nspname in ('hr', 'billing', 'dw') and class.relkind in ('r', 'p')
    loop
        if not wall.is_forced then
            execute format('alter table %s enable row level security', wall.table_name);
            execute format('alter table %s force row level security', wall.table_name);
        end if;
        if 'tenant_scope' <> all (wall.policies) then
            execute format(
                'create policy tenant_scope on %s for all to syncline_tenant '
                'using (tenant_id in (select syncline.scoped_tenants())) '
                'with check (tenant_id in (select syncline.scoped_tenants()))', wall.table_name);
        end if;
        if wall.schema_name = 'dw' and 'dbt_reads' <> all (wall.policies) then
            execute format('create policy dbt_reads on %s for select to syncline_dbt using (true)', wall.table_name);
        end if;
        execute format('grant select, insert, update, delete on %s to syncline_tenant', wall.table_name);
    end loop;
end
$$;
