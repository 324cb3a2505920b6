"""Facts about one server and one login, for `syncline doctor`. Read-only; what a role may not see is no error."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psycopg

from syncline.adapters import identity

QUESTIONS = 3
SERVER = """
    select current_user::text, current_setting('server_version_num')::integer, pg_is_in_recovery(),
           current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
             - (select count(*) from pg_stat_activity where backend_type = 'client backend' or backend_type is null),
           (select nullif(rolconnlimit, -1) from pg_roles where rolname = session_user),
           pg_has_role(current_user, 'pg_read_all_stats', 'usage'),
           extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp())::float,
           (select age(datfrozenxid) from pg_database where datname = current_database())
"""
# Whoever has a transaction number holds the window open; who has none has written nothing.
OLDEST = """
    select pid, coalesce(application_name, ''), extract(epoch from clock_timestamp() - xact_start)::float
    from pg_stat_activity
    where datname = current_database() and backend_xid is not null and xact_start is not null
      and pid <> pg_backend_pid() and backend_type <> 'autovacuum worker'
    order by xact_start limit 1
"""
UNSEEN = """
    select count(*) from pg_stat_activity
    where datname = current_database() and backend_xid is not null and pid <> pg_backend_pid() and xact_start is null
"""
PREPARED = """
    select gid, extract(epoch from clock_timestamp() - prepared)::float from pg_prepared_xacts
    where database = current_database() order by prepared limit 5
"""


@dataclass(frozen=True)
class OpenTransaction:
    """The oldest transaction of another session that has written."""

    pid: int
    application: str
    age_s: float


@dataclass(frozen=True)
class Health:
    """What a server says about itself and about the login that asks.

    Attributes:
        free_connections: As far as the role sees sessions. connection_limit: The role's own, or None.
        behind_s: Of a replica, how old the last replayed transaction is; an idle primary looks like a slow replica.
        xid_age: Transactions since the oldest one that is not frozen; writing stops near 2^31.
        clock_s: How far the server's clock is ahead of ours.
        unseen: Transactions of others that the role cannot see the beginning of.
        untold: Functions that the role may not call, with what is lost.
    """

    role: str
    version: int
    is_replica: bool
    free_connections: int
    connection_limit: int | None
    sees_others: bool
    behind_s: float | None
    xid_age: int
    clock_s: float
    oldest: OpenTransaction | None
    unseen: int
    prepared: tuple[tuple[str, float], ...]
    untold: dict[str, str]


def read_health(session: psycopg.Connection) -> Health:
    """Ask everything at once; the session is in autocommit."""
    ahead_s = clock_s(session)
    row = session.execute(SERVER).fetchone()
    if row is None:
        raise psycopg.OperationalError("the server answered nothing")
    role, version, is_replica, free, limit, sees_others, behind_s, xid_age = row
    oldest = session.execute(OLDEST).fetchone()
    unseen = session.execute(UNSEEN).fetchone()
    return Health(
        role=role, version=version, is_replica=is_replica, free_connections=free, connection_limit=limit,
        sees_others=sees_others, behind_s=behind_s if is_replica else None, xid_age=xid_age, clock_s=ahead_s,
        oldest=OpenTransaction(*oldest) if oldest else None, unseen=unseen[0] if unseen else 0,
        prepared=tuple(session.execute(PREPARED).fetchall()), untold=identity.not_told(session),
    )  # fmt: skip


def clock_s(session: psycopg.Connection) -> float:
    """The server's clock less ours: of a few answers the quickest, taken in the middle of its question."""
    return min(_asked(session) for _ in range(QUESTIONS))[1]


def _asked(session: psycopg.Connection) -> tuple[float, float]:
    """How long the answer took, and how far the server is ahead."""
    asked = time.time()
    row = session.execute("select extract(epoch from clock_timestamp())::float").fetchone()
    answered = time.time()
    return answered - asked, (row[0] if row else answered) - (asked + answered) / 2
