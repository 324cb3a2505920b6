"""Read what a PostgreSQL server says about tables: columns, keys, indexes, rights. Never a row of them.

Two statements for all tables that are asked for, a third where one of them is missing. The catalog shows its tables
to every role, so what a role may not touch is told by name, not by a failure half-way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

import psycopg
from psycopg import sql

from syncline.core.catalogs.tables import (
    Catalog,
    Column,
    Constraint,
    Identity,
    Index,
    Kind,
    Table,
    allowed_values,
    type_named,
    type_of_labels,
)

TABLES = """
with asked as (
    select n.nspname || '.' || c.relname as name, n.oid as namespace, c.*
    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
    where (n.nspname, c.relname) in
          (select split_part(t, '.', 1), split_part(t, '.', 2) from unnest(%(tables)s::text[]) as t)
      and c.relkind in ('r', 'p', 'v', 'm', 'f')
)
select asked.name, asked.oid, asked.relkind::text, pg_get_userbyid(asked.relowner),
    case when asked.reltuples >= 0 and asked.relkind in ('r', 'p', 'm') then asked.reltuples::bigint end,
    asked.relrowsecurity, asked.relforcerowsecurity,
    array_remove(array[
        case when has_schema_privilege({role}, asked.namespace, 'usage') then 'usage' end,
        case when has_any_column_privilege({role}, asked.oid, 'select') then 'select' end,
        case when has_any_column_privilege({role}, asked.oid, 'insert') then 'insert' end,
        case when has_any_column_privilege({role}, asked.oid, 'update') then 'update' end,
        case when has_table_privilege({role}, asked.oid, 'delete') then 'delete' end], null),
    (select coalesce(jsonb_agg(jsonb_build_object(
            'name', ic.relname, 'method', am.amname, 'is_unique', i.indisunique, 'is_primary', i.indisprimary,
            'is_valid', i.indisvalid, 'is_partial', i.indpred is not null,
            'columns', (select jsonb_agg(coalesce(a.attname::text, '') order by k.place)
                from unnest(i.indkey::int2[]) with ordinality as k (attnum, place)
                left join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum and k.attnum <> 0
                where k.place <= i.indnkeyatts)) order by ic.relname), '[]')
     from pg_index as i join pg_class as ic on ic.oid = i.indexrelid join pg_am as am on am.oid = ic.relam
     where i.indrelid = asked.oid and i.indislive),
    (select coalesce(jsonb_agg(jsonb_build_object(
            'name', con.conname, 'kind', con.contype::text, 'definition', pg_get_constraintdef(con.oid),
            'columns', (select coalesce(jsonb_agg(a.attname::text order by k.place), '[]')
                from unnest(con.conkey) with ordinality as k (attnum, place)
                join pg_attribute as a on a.attrelid = con.conrelid and a.attnum = k.attnum))
        order by con.conname), '[]')
     from pg_constraint as con where con.conrelid = asked.oid and con.contype in ('c', 'x', 'f')),
    exists (with recursive tree (oid) as (
            select asked.oid union select i.inhrelid from pg_inherits as i join tree on i.inhparent = tree.oid)
        select from tree join pg_class as c using (oid) where c.relkind = 'f'),
    asked.relkind = 'r' and asked.relhassubclass,
    coalesce(has_column_privilege({role}, asked.oid, (-2)::smallint, 'select'), false)  -- xmin
from asked order by asked.name
"""
# A domain may stand upon a domain: its base type, its conditions and its NOT NULL are those of the whole line.
COLUMNS = """
select a.attrelid, a.attname, format_type(a.atttypid, a.atttypmod), format_type(base.typ, base.typmod),
    bt.typname, not (a.attnotnull or base.is_not_null), a.atthasdef or base.has_default, a.attgenerated <> '',
    a.attidentity::text,
    case when bt.typtype = 'e'
         then array(select e.enumlabel::text from pg_enum as e where e.enumtypid = bt.oid order by e.enumsortorder) end,
    bn.nspname, case when t.typtype = 'd' then format_type(a.atttypid, null) else '' end, base.conditions,
    has_column_privilege({role}, a.attrelid, a.attnum, 'select')
from pg_attribute as a
join pg_type as t on t.oid = a.atttypid
cross join lateral (
    with recursive line (typ, typmod, is_not_null, has_default, conditions, depth) as (
        select a.atttypid, a.atttypmod, false, false, '{{}}'::text[], 0
        union all
        select d.typbasetype, d.typtypmod, line.is_not_null or d.typnotnull,
            line.has_default or d.typdefault is not null,
            line.conditions || array(select pg_get_constraintdef(con.oid) from pg_constraint as con
                where con.contypid = d.oid and con.contype = 'c' order by con.conname), line.depth + 1
        from line join pg_type as d on d.oid = line.typ and d.typtype = 'd')
    select * from line order by depth desc limit 1) as base
join pg_type as bt on bt.oid = base.typ
join pg_namespace as bn on bn.oid = bt.typnamespace
where a.attrelid = any(%(oids)s::oid[]) and a.attnum > 0 and not a.attisdropped
order by a.attrelid, a.attnum
"""
EVERY_NAME = """
    select n.nspname || '.' || c.relname
    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    order by 1
"""
# By the table's own name, whatever its schema: which of them a role may look into.
NAMESAKES = """
    select n.nspname || '.' || c.relname,
        has_schema_privilege({role}, n.oid, 'usage') and has_any_column_privilege({role}, c.oid, 'select')
    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
    where c.relname = %(name)s and c.relkind in ('r', 'p', 'v', 'm', 'f')
      and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'staged', 'syncline')
    order by 1
"""
KINDS: dict[str, Kind] = dict(zip("rpvmf", get_args(Kind), strict=True))
IDENTITIES: dict[str, Identity] = {"": "", "a": "always", "d": "by default"}
CONSTRAINTS: dict[str, Any] = {"c": "check", "x": "exclusion", "f": "foreign key"}
# The session's own role, or the one that it acts as. A role that does not exist has no rights.
ROLE = sql.SQL("coalesce((select oid from pg_roles where rolname = %(role)s), 0::oid)")


def read_catalog(session: psycopg.Connection, tables: Iterable[str], *, role: str | None = None) -> Catalog:
    """What the server says about `schema.table` names; those that it has not are absent.

    Args:
        role: On whose behalf rights are asked; without one the session's current role.
    """
    asked = sorted(set(tables))
    acting = role or _current_role(session)
    found = session.execute(sql.SQL(TABLES).format(role=ROLE), {"tables": asked, "role": acting}).fetchall()
    oids = {row[1]: row[0] for row in found}
    columns: dict[str, list[Column]] = {name: [] for name in oids.values()}
    for row in session.execute(sql.SQL(COLUMNS).format(role=ROLE), {"oids": list(oids), "role": acting}):
        columns[oids[row[0]]].append(_column(row[1:]))
    read = {row[0]: _table(row, columns[row[0]]) for row in found}
    missing = any(name not in read for name in asked)
    names = tuple(row[0] for row in session.execute(sql.SQL(EVERY_NAME))) if missing else ()
    encoding = session.info.parameter_status("server_encoding") or ""
    return Catalog(
        server=session.info.server_version // 10_000, encoding=encoding, tables=read, role=acting, table_names=names
    )


def tables_called(session: psycopg.Connection, name: str, *, role: str | None = None) -> tuple[list[str], list[str]]:
    """Tables of that name in any schema: those that the role may read, and the others."""
    acting = role or _current_role(session)
    found = session.execute(sql.SQL(NAMESAKES).format(role=ROLE), {"name": name, "role": acting}).fetchall()
    return [table for table, may in found if may], [table for table, may in found if not may]


def table_blocks(session: psycopg.Connection, table: str) -> int | None:
    """Blocks of a table as its size says now; None of what has none of its own, as a view, or one with partitions."""
    row = session.execute(
        "select pg_relation_size(oid) / current_setting('block_size')::bigint from pg_class"
        " where oid = to_regclass(%s) and relkind = 'r' and not relhassubclass",
        [table],
    ).fetchone()
    return row[0] if row else None


def _current_role(session: psycopg.Connection) -> str:
    row = session.execute("select current_user").fetchone()
    return str(row[0]) if row else ""


def _table(row: Any, columns: list[Column]) -> Table:
    (name, _, kind, owner, rows, enabled, forced, rights, indexes, constraints, has_foreign_rows, has_children,
     may_read_xmin) = row  # fmt: skip
    bound = tuple(
        Constraint(item["name"], CONSTRAINTS[item["kind"]], tuple(item["columns"]), item["definition"])
        for item in constraints
    )
    return Table(
        name=name,
        columns={column.name: _bounded(column, bound) for column in columns},
        kind=KINDS[kind],
        indexes=tuple(Index(**{**index, "columns": tuple(index["columns"] or ())}) for index in indexes),
        constraints=bound,
        owner=owner,
        estimated_rows=rows,
        has_row_security=enabled,
        forces_row_security=forced,
        rights=frozenset(rights),
        has_foreign_rows=has_foreign_rows,
        has_children=has_children,
        may_read_xmin=may_read_xmin,
    )


def _column(row: Any) -> Column:
    (name, spelling, base, base_name, nullable, default, generated, identity, labels, schema, domain, conditions,
     readable) = row  # fmt: skip
    return Column(
        name=name,
        spelling=spelling,
        type=type_of_labels(labels) if labels else type_named("citext" if base_name == "citext" else base),
        is_nullable=nullable,
        has_default=default and not generated,  # a generated column's expression stands where defaults do
        is_generated=generated,
        identity=IDENTITIES[identity],
        labels=tuple(labels or ()),
        domain=domain,
        domain_checks=tuple(conditions),
        ignores_case=base_name == "citext",
        is_readable=readable,
        enum=(schema, base_name) if labels else None,
    )


def _bounded(column: Column, constraints: tuple[Constraint, ...]) -> Column:
    """With the values that a plain `in` constraint, of the table or of its domain, leaves it."""
    said = [one.definition for one in constraints if one.kind == "check" and one.columns == (column.name,)]
    for definition in (*said, *column.domain_checks):
        if (values := allowed_values(definition)) is not None:
            return Column(**{**column.__dict__, "allowed": values})
    return column
