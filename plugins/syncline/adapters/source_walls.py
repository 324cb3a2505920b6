"""Whether row-level security of a source would hide rows from its reader without a word.

A source may have policies of its own, and its owner may well mean that the reader sees some rows only. But a reader
that no policy lets in sees an empty table, and a policy that asks for a setting of the session shows what the last
user of the session left: both look like rows that were deleted. Only the catalog is read.
"""

from __future__ import annotations

from collections.abc import Iterable

import psycopg

# A role that policies do not bind sees everything: `row_security_active` is false for it.
HIDDEN = """
    select n.nspname || '.' || c.relname, current_user::text,
        array(select pg_get_expr(p.polqual, p.polrelid) from pg_policy as p
              where p.polrelid = c.oid and p.polpermissive and p.polqual is not null and p.polcmd in ('r', '*')
                and exists (select from unnest(p.polroles) as bound
                            where bound = 0 or pg_has_role(current_user, bound, 'usage'))),
        array(select pg_get_expr(p.polqual, p.polrelid) from pg_policy as p
              where p.polrelid = c.oid and not p.polpermissive and p.polqual is not null and p.polcmd in ('r', '*')
                and exists (select from unnest(p.polroles) as bound
                            where bound = 0 or pg_has_role(current_user, bound, 'usage')))
    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
    where n.nspname || '.' || c.relname = any(%s) and c.relrowsecurity and row_security_active(c.oid)
    order by 1
"""


def source_wall_faults(session: psycopg.Connection, tables: Iterable[str]) -> list[str]:
    """Why the session's role would miss rows of these tables, each with what mends it."""
    found = []
    for table, reader, permissive, restrictive in session.execute(HIDDEN, [sorted(set(tables))]):
        if not permissive:
            found.append(
                f"row-level security of {table} lets {reader} see no row: "
                f"create policy syncline on {table} for select to {reader} using (true)"
            )
        elif any("current_setting(" in said for said in [*restrictive, *([] if "true" in permissive else permissive)]):
            found.append(
                f"a policy of {table} asks for a setting of the session: {reader} would see whatever rows that names. "
                f"Give it a policy of its own, without current_setting"
            )
    return found
