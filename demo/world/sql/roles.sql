-- Roles of the demo world, on any database of the server. Idempotent; passwords are set by provision.py.
-- A role that carries one of our names but not our comment belongs to somebody else: SY010, nothing is touched.
do $$
declare
    ours constant text := 'Syncline demo world';
    wanted record;
begin
    for wanted in
        select * from (values
            ('mdm_owner',        'nologin'),                 -- owns the hub; Syncline never acts as it
            ('syncline_reader',  'login connection limit 32'),
            ('syncline_owner',   'nologin'),                 -- owns the targets and the corridor
            ('syncline_tenant',  'nologin'),                 -- holds the rights on target rows, under row security
            ('syncline_loader',  'login connection limit 64'),
            ('syncline_ledger',  'login connection limit 64'),
            ('syncline_dbt',     'login connection limit 16'),
            ('airflow',          'login')
        ) as role (name, attributes)
    loop
        if not exists (select from pg_roles where rolname = wanted.name) then
            execute format('create role %I', wanted.name);
            execute format('comment on role %I is %L', wanted.name, ours);
        elsif shobj_description(wanted.name::regrole, 'pg_authid') is distinct from ours then
            raise exception 'role % exists and was not made by the demo', wanted.name using errcode = 'SY010';
        end if;
        -- noinherit matters for the loader: it has a tenant's rights only after SET ROLE, never by itself.
        execute format(
            'alter role %I nosuperuser nocreatedb nocreaterole noreplication nobypassrls %s %s',
            wanted.name,
            case wanted.name when 'syncline_loader' then 'noinherit' else 'inherit' end,
            wanted.attributes);
    end loop;
end
$$;

-- Since PostgreSQL 16 the membership itself says what it allows; before, the role's NOINHERIT says it.
do $$
begin
    if current_setting('server_version_num')::integer >= 160000 then
        execute 'grant syncline_tenant to syncline_loader with inherit false, set true, admin false';
    else
        execute 'grant syncline_tenant to syncline_loader';
    end if;
end
$$;

-- Without it the reader cannot see the start of other sessions' transactions, and a late commit could be missed.
grant pg_read_all_stats to syncline_reader;
