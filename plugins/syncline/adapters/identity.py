"""Ask a PostgreSQL source who it is: server, history, table. Nothing of it needs more than a plain login.

Where an administrator has taken a function away from PUBLIC, that part is left out; `syncline doctor` says which
grant brings it back. Asked inside the extracting transaction, so that it belongs to the batch's snapshot.
"""

from __future__ import annotations

import psycopg
from psycopg import sql
from psycopg.sql import Composable

from syncline.core.identity import SourceIdentity
from syncline.core.job import SyncJob

# Function -> what is lost without it.
ASKED = {
    "pg_control_system()": "the system identifier: another server behind the same address is not noticed",
    "pg_control_checkpoint()": "the timeline of a replica: a failover is not noticed there",
    "pg_control_recovery()": "the timeline of a replica: a failover is not noticed there",
    "pg_current_wal_flush_lsn()": "the position in the log: a restored copy may not be noticed",
    "pg_walfile_name(pg_lsn)": "the timeline: a failover or a restored copy may not be noticed",
    "pg_last_wal_replay_lsn()": "how far a replica has come: it may show less than the last batch saw",
}
MAY = """
    select pg_is_in_recovery(),
           array(select f from unnest(%s::text[]) as f where has_function_privilege('pg_catalog.' || f, 'execute'))
"""
# Of a partitioned table the rows are in its leaves; of an inherited one in the table itself, too.
TABLE = """
    with recursive tree (oid) as (
        select to_regclass(%(table)s)::oid
        union select i.inhrelid from pg_inherits as i join tree on i.inhparent = tree.oid and not i.inhdetachpending)
    select to_regclass(%(table)s)::oid::bigint,
           array(select oid::bigint from tree join pg_class as c using (oid) where c.relkind in ('r', 'f') order by 1),
           (select coalesce(jsonb_object_agg(attname, attnum), '{}') from pg_attribute
             where attrelid = to_regclass(%(table)s) and attname = any(%(columns)s) and not attisdropped)
"""
WITHOUT = sql.SQL("null")


def read_identity(session: psycopg.Connection, job: SyncJob) -> SourceIdentity:
    """Who the source is. The session's transaction has its snapshot, or takes it here."""
    row = session.execute(
        "select oid::bigint, pg_snapshot_xmax(now)::text::bigint, pg_snapshot_xmin(now)::text::bigint"
        " from pg_database, pg_current_snapshot() as now where datname = current_database()"
    ).fetchone()
    database, next_xid, oldest_xid = row or (0, 0, 0)
    is_replica, system, timeline, position = _server(session)
    found = session.execute(TABLE, {"table": job.source.table, "columns": read_columns(job)}).fetchone()
    relation, leaves, columns = found or (None, [], {})
    return SourceIdentity(
        connection=job.source.connection, table=job.source.table, database=database, next_xid=next_xid,
        oldest_xid=oldest_xid, system=system, timeline=timeline, relation=relation, leaves=tuple(leaves),
        columns=columns, position=position, is_replica=is_replica,
    )  # fmt: skip


def read_columns(job: SyncJob) -> list[str]:
    """Columns of the source whose values the copy depends on."""
    source = job.source
    named = [*job.mapping.source, *source.key, *source.filter, source.tenant, source.deleted]
    return sorted({name for name in named if name is not None})


def not_told(session: psycopg.Connection) -> dict[str, str]:
    """Functions that the role may not call, each with what is lost."""
    _, may = _rights(session)
    return {function: lost for function, lost in ASKED.items() if function not in may}


def _rights(session: psycopg.Connection) -> tuple[bool, set[str]]:
    row = session.execute(MAY, [list(ASKED)]).fetchone()
    return (bool(row[0]), set(row[1])) if row else (False, set())


def _server(session: psycopg.Connection) -> tuple[bool, str | None, int | None, int | None]:
    """Whether it is a replica, its system identifier, timeline and position in the log.

    A function that may not be called fails a statement even where it is not reached, so each is put in by its right.
    """
    is_replica, may = _rights(session)
    system: Composable = WITHOUT
    timeline: Composable = WITHOUT
    position: Composable = WITHOUT
    if "pg_control_system()" in may:
        system = sql.SQL("(select system_identifier::text from pg_control_system())")
    if is_replica and {"pg_control_checkpoint()", "pg_control_recovery()"} <= may:
        timeline = sql.SQL(
            "(select greatest(c.timeline_id, r.min_recovery_end_timeline)"
            " from pg_control_checkpoint() as c, pg_control_recovery() as r)"
        )
    elif not is_replica and {"pg_walfile_name(pg_lsn)", "pg_current_wal_flush_lsn()"} <= may:
        timeline = sql.SQL("('x' || left(pg_walfile_name(pg_current_wal_flush_lsn()), 8))::bit(32)::integer")
    asked = "pg_last_wal_replay_lsn()" if is_replica else "pg_current_wal_flush_lsn()"
    if asked in may:
        position = sql.SQL("({} - '0/0'::pg_lsn)::bigint").format(sql.SQL(asked))
    row = session.execute(sql.SQL("select {}, {}, {}").format(system, timeline, position)).fetchone()
    return (is_replica, *(row or (None, None, None)))
