-- The roles that Syncline acts as, on any database of a server. Safe to repeat. They have no password yet:
-- `alter role syncline_loader password '...'` (and reader, ledger), and put the URIs where your secrets are kept.
do $$
declare
    wanted record;
begin
    for wanted in
        select * from (values
            ('syncline_reader', 'login'),                -- reads sources; give it select and nothing else
            ('syncline_owner',  'nologin'),              -- owns the corridor of a target, where no better owner is there
            ('syncline_tenant', 'nologin'),              -- holds the rights on target rows, under row security
            ('syncline_loader', 'login'),                -- writes staging tables; becomes syncline_tenant for a load
            ('syncline_ledger', 'login')                 -- owns schema ledger
        ) as role (name, attributes)
    loop
        if not exists (select from pg_roles where rolname = wanted.name) then
            execute format('create role %I %s', wanted.name, wanted.attributes);
        end if;
    end loop;
end
$$;

-- The loader has a tenant's rights only after SET ROLE, never by itself. Since PostgreSQL 16 the membership says so;
-- before, the role's NOINHERIT.
do $$
begin
    if current_setting('server_version_num')::integer >= 160000 then
        execute 'grant syncline_tenant to syncline_loader with inherit false, set true, admin false';
    else
        execute 'alter role syncline_loader noinherit';
        execute 'grant syncline_tenant to syncline_loader';
    end if;
end
$$;

-- Without it the reader cannot see the start of other sessions' transactions: incremental runs would scan whole tables.
grant pg_read_all_stats to syncline_reader;
