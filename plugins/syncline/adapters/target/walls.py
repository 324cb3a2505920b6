"""Whether row-level security really stands between tenants: everything of the catalog that could lead past a policy.

A wall has as many doors as there are ways to a row: the roles that a login may become, the rights that no policy
binds, partitions and children that can be addressed directly, views that run with somebody else's rights, policies
that add up (one open door is enough), and the functions of the corridor themselves. Only the catalog is read.

What can be shown by trying alone stands in `leaks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from syncline.core.catalogs.policies import keeps_to_scope
from syncline.core.job import SyncJob

UNFORCED = "the table has not both ENABLE and FORCE ROW LEVEL SECURITY"
# SHA-256 of the bodies in include/target/001_corridor.sql; a unit test compares. Add one when a body changes: a target
# whose owner has not run the newer file yet keeps its older, known body.
CORRIDOR_BODIES = {
    "enter": {"9c7567c936ec8f202e8d8011de3597e60917a9d3efc67f39224358fee0d1b6c7"},
    "look": {"2fea909b39a998b3dbe9aa191b795f2deec48a3e91e031a20c981f68eb2ea1d9"},
    "scoped_tenants": {"b34d009ad7328ed980d16ee09565cba1886c4279a786be2e727732c1e211df95"},
}
# Their members can read or write the server's files, and so become superuser.
FILES = ["pg_read_server_files", "pg_write_server_files", "pg_execute_server_program"]

# The table by its catalog: `to_regclass` asks for a right on the schema that the login need not have. A role counts
# with all that it may become by SET ROLE, through any chain of memberships.
REACHABLE = sql.SQL("""
    with target as (
        select c.* from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname || '.' || c.relname = %(table)s
    ), role as (
        select r.* from pg_roles as r
        where pg_has_role(session_user, r.oid, 'member') or pg_has_role(%(role)s, r.oid, 'member')
    )
""")
# The table with its partitions and children, and those that it is itself a part of: all that show its rows.
FAMILY = REACHABLE + sql.SQL(""", kin as (
        with recursive up (oid) as (
            select oid from target
            union select i.inhparent from up join pg_inherits as i on inhrelid = oid
        ), down (oid) as (
            select oid from target
            union select i.inhrelid from down join pg_inherits as i on inhparent = oid
        )
        select c.*, c.oid = (select oid from target) as is_target, c.oid::regclass::text as name
        from (select oid from up union select oid from down) as one join pg_class as c using (oid)
    )
""")
MIGHTY = REACHABLE + sql.SQL("""
    select rolname::text from role
    where rolsuper or rolbypassrls or rolreplication or rolname = any(%(files)s)
       or rolcreaterole and current_setting('server_version_num')::integer < 160000
""")
KIN = FAMILY + sql.SQL("""
    select oid, name, is_target, relrowsecurity, relforcerowsecurity,
           exists (select from role where role.oid = relowner),
           exists (select from role where has_table_privilege(role.oid, kin.oid, 'select, insert, update, delete')
               or has_any_column_privilege(role.oid, kin.oid, 'select, insert, update')),
           array_remove(array[
               case when exists (select from role where has_table_privilege(role.oid, kin.oid, 'truncate'))
                    then 'TRUNCATE' end,
               case when exists (select from role where has_any_column_privilege(role.oid, kin.oid, 'references'))
                    then 'REFERENCES' end,
               case when exists (select from role where has_table_privilege(role.oid, kin.oid, 'trigger'))
                    then 'TRIGGER' end], null)
    from kin order by is_target desc, name
""")
POLICIES = FAMILY + sql.SQL("""
    select kin.oid, p.polname::text, pg_get_expr(rule.tree, p.polrelid)
    from kin join pg_policy as p on p.polrelid = kin.oid
    cross join lateral (values (p.polqual), (p.polwithcheck)) as rule (tree)
    where p.polpermissive and rule.tree is not null
      and exists (select from unnest(p.polroles) as bound where bound = 0 or bound in (select oid from role))
    order by kin.name, p.polname
""")
IS_SHUT = REACHABLE + sql.SQL("""
    select not exists (
        select from pg_policy as p, unnest(p.polroles) as bound
        where p.polrelid = c.oid and p.polpermissive and (bound = 0 or pg_has_role(%(role)s, bound, 'usage')))
    from target as c where c.relrowsecurity
""")
# Views and materialized views above the family, at any height; what they stand on, and whether a role may touch them.
VIEWS = FAMILY + sql.SQL(""", rule as (
        select w.ev_class as view, d.refobjid as below
        from pg_rewrite as w join pg_depend as d on d.objid = w.oid and d.classid = 'pg_rewrite'::regclass
        where d.refclassid = 'pg_class'::regclass and d.refobjid <> w.ev_class
    ), edge as (
        with recursive above (view, below) as (
            select rule.view, rule.below from rule where rule.below in (select oid from kin)
            union select rule.view, rule.below from above join rule on rule.below = above.view
        ) select * from above
    )
    select v.oid, v.oid::regclass::text, v.relkind::text, v.relowner,
        coalesce((select option_value::boolean from pg_options_to_table(v.reloptions)
                  where option_name = 'security_invoker'), false),
        array(select role.oid from role
              where has_table_privilege(role.oid, v.oid, 'select, insert, update, delete')
                 or has_any_column_privilege(role.oid, v.oid, 'select, insert, update')),
        array(select below from edge where edge.view = v.oid)
    from pg_class as v where v.oid in (select view from edge) and v.relkind in ('v', 'm')
    order by 2
""")
# What a role sees of one table under its policies: everything, or what these expressions let through.
SEES = """
    select r.rolsuper or r.rolbypassrls or not c.relrowsecurity
               or pg_has_role(r.oid, c.relowner, 'usage') and not c.relforcerowsecurity,
           array(select pg_get_expr(p.polqual, p.polrelid) from pg_policy as p
                 where p.polrelid = c.oid and p.polpermissive and p.polqual is not null and p.polcmd in ('r', '*')
                   and exists (select from unnest(p.polroles) as bound
                               where bound = 0 or pg_has_role(r.oid, bound, 'usage')))
    from pg_class as c, pg_roles as r
    where c.oid = %(table)s and r.oid = %(role)s and has_any_column_privilege(r.oid, c.oid, 'select')
"""
CORRIDOR_FUNCTIONS = REACHABLE + sql.SQL("""
    select p.proname::text, encode(sha256(convert_to(p.prosrc, 'UTF8')), 'hex'),
        p.prosecdef and coalesce(p.proconfig, '{}') @> array['search_path=pg_catalog, pg_temp'],
        exists (select from role where role.oid = p.proowner)
    from pg_proc as p
    where p.oid in (to_regprocedure('syncline.enter(text, bigint, text[])'),
                    to_regprocedure('syncline.look(text, text[])'),
                    to_regprocedure('syncline.scoped_tenants()'))
    order by 1
""")
CORRIDOR_RIGHTS = REACHABLE + sql.SQL("""
    select c.oid::regclass::text from pg_class as c
    where c.oid in (to_regclass('syncline.scope'), to_regclass('syncline.job_tenant'), to_regclass('syncline.fence'))
      and exists (select from role
          where has_table_privilege(role.oid, c.oid, 'insert, update, delete, truncate, trigger')
             or has_any_column_privilege(role.oid, c.oid, 'insert, update'))
    order by 1
""")


@dataclass(frozen=True)
class Kin:
    """The table of a job, or one that shares rows with it by inheritance."""

    oid: int
    name: str
    is_target: bool
    has_rls: bool
    is_forced: bool
    is_ours: bool
    is_addressed: bool
    unbound_rights: list[str]


def wall_faults(job: SyncJob, session: psycopg.Connection) -> list[str]:
    """Why row-level security would not keep the job's tenants apart, all reasons at once.

    Asked of the login (`session_user`) and of the target's role, whichever of them the session acts as.
    """
    asked = {"table": job.target.table, "role": job.target.role, "files": FILES}
    with session.transaction():
        # Names of other schemas are then written with their schema: another `scoped_tenants` is told apart.
        session.execute("set local search_path = ''")
        faults = [*_wall_faults(job, session, asked)]
        session.execute("set local search_path = default")
    return faults


def _wall_faults(job: SyncJob, session: psycopg.Connection, asked: dict[str, Any]) -> Iterator[str]:
    mighty = [row[0] for row in session.execute(MIGHTY, asked)]
    if mighty:  # to whom all is allowed: what else is said of it would be true and useless
        yield (
            "a role that loads is, or may become, a superuser or one with BYPASSRLS, REPLICATION or the server's "
            f"files: {', '.join(mighty)}"
        )
        return
    kin = [Kin(*row) for row in session.execute(KIN, asked)]
    yield from _kin_faults(kin)
    yield from _policy_faults(job, session, asked, kin)
    yield from _view_faults(job, session, asked, kin)
    yield from _corridor_faults(session, asked)


def _kin_faults(kin: list[Kin]) -> Iterator[str]:
    for one in kin:
        if one.is_ours:
            which = "the table" if one.is_target else one.name
            yield f"a role that loads owns {which}, or may become its owner"
            continue
        if one.is_target and not (one.has_rls and one.is_forced):
            yield UNFORCED
        elif one.is_addressed and not one.has_rls:
            yield f"a role that loads has rights on {one.name} itself, which has no row-level security"
        if one.unbound_rights:
            rights = ", ".join(one.unbound_rights)
            yield f"a role that loads has {rights} on {one.name}: no policy binds that (revoke it)"


def _policy_faults(job: SyncJob, session: psycopg.Connection, asked: dict[str, Any], kin: list[Kin]) -> Iterator[str]:
    """A policy of a partition matters where a role may address the partition."""
    reached = {one.oid: one for one in kin if one.is_target or one.is_addressed}
    for oid, name, expression in session.execute(POLICIES, asked):
        if oid in reached and not keeps_to_scope(expression, job.tenant_column or ""):
            yield (
                f"policy {name} of {reached[oid].name} lets a role that loads in without syncline.scoped_tenants(), "
                f"or not only by it: {job.tenant_column} in (select syncline.scoped_tenants())"
            )
    row = session.execute(IS_SHUT, asked).fetchone()
    if row is not None and row[0]:
        yield f"no policy lets {job.target.role} in: it would see and write no row"


def _view_faults(job: SyncJob, session: psycopg.Connection, asked: dict[str, Any], kin: list[Kin]) -> Iterator[str]:
    """Follow each view that a role may touch down to the table, as whom it gets there."""
    views = {row[0]: row for row in session.execute(VIEWS, asked)}
    tables = {one.oid for one in kin}
    for oid, name, *_, roles, _below in views.values():
        arrives = {pair for role in roles for pair in _arrivals(views, tables, oid, role)}
        if any(role is None for role, _ in arrives):
            yield f"{name} keeps rows of all tenants (a materialized view), and a role that loads may read it"
        elif any(_sees_all(job, session, role, table) for role, table in sorted(arrives - {(None, 0)})):
            yield (
                f"view {name} shows a role that loads the rows of all tenants: it reads with its owner's rights "
                f"(alter view {name} set (security_invoker = true), or revoke the right)"
            )


def _arrivals(views: dict[int, Any], tables: set[int], view: int, role: int) -> Iterator[tuple[int | None, int]]:
    """(role, table) pairs that a query of `view` by `role` ends at; role None: at rows that were stored.

    A view with security_invoker asks as the session's role, also where a view of somebody else stands above it.
    """
    _, _, kind, owner, is_invoker, _, below = views[view]
    if kind == "m":
        yield None, 0
        return
    acting = role if is_invoker else owner
    for oid in below:
        if oid in tables:
            yield acting, oid
        elif oid in views:
            yield from _arrivals(views, tables, oid, role)


def _sees_all(job: SyncJob, session: psycopg.Connection, role: int | None, table: int) -> bool:
    row = session.execute(SEES, {"role": role, "table": table}).fetchone()
    if row is None:
        return False
    is_exempt, expressions = row
    return is_exempt or any(not keeps_to_scope(said, job.tenant_column or "") for said in expressions)


def _corridor_faults(session: psycopg.Connection, asked: dict[str, Any]) -> Iterator[str]:
    functions = session.execute(CORRIDOR_FUNCTIONS, asked).fetchall()
    if any(is_ours for *_, is_ours in functions):
        yield "a role that loads owns the corridor (schema syncline), or may become its owner"
        return
    for name, digest, is_guarded, _ in functions:
        if digest not in CORRIDOR_BODIES[name] or not is_guarded:
            yield f"syncline.{name} is not the corridor's: its owner runs include/target/001_corridor.sql again"
    for (name,) in session.execute(CORRIDOR_RIGHTS, asked):
        yield f"a role that loads may write {name}: the scope would be its own to choose (revoke it)"


def leading_past(faults: Iterable[str]) -> list[str]:
    """Those faults that let rows through; a table that nobody may enter is useless, and closed."""
    return [said for said in faults if not said.startswith("no policy lets")]
