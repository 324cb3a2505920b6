"""Turn a connection id into a PostgreSQL session.

Manifests name ids; where an id leads, and with which secret, is the operator's: by default `AIRFLOW_CONN_<ID>` in
the environment, which Airflow and the shell read alike. Inside Airflow the orchestration layer installs Airflow's
own lookup with `use`, so secrets backends work too. No URI and no secret of one is ever logged or shown.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from syncline.adapters import liveness
from syncline.adapters.failures import telling
from syncline.core.errors import EnvironmentFailure, SynclineError, TransientError
from syncline.core.manifest import LOCK_TIMEOUT_S, Source, Target

Resolver = Callable[[str], str]

# What one statement over a whole table may use of a server: a join of millions of rows, or a million ranges, in memory.
WORK_MEM = "128MB"

# A peer that is gone is noticed within half a minute (fault F49), not after the kernel's two hours; one that is there
# and hands nothing on, by liveness.py.
KEEPALIVE = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}

# A pooler hands a session on with all that its last user left: a role, a setting that names a tenant, temporary tables
# and cursors with a tenant's rows. On a session that nobody used before there is nothing to drop.
EMPTY = "discard all"
# How values are spelt as text, whatever server, database or role are set to: `to_text` and what is made of it need it.
# Rows travel in the client's encoding, so both ends must have the same. Compiling a wide mapping by JIT takes longer
# than running it (measured on 15 with LLVM: 60 s and more instead of 0.2 s), and cannot be cancelled meanwhile.
SPELLING = """
    set client_encoding = 'UTF8';
    set timezone = 'UTC';
    set datestyle = 'ISO, YMD';
    set intervalstyle = 'iso_8601';
    set bytea_output = 'hex';
    set extra_float_digits = 1;
    set standard_conforming_strings = on;
    set jit = off;
"""
# The server looks whether we are still there while a statement runs: of a killed worker no backend stays behind,
# holding locks (fault F15), and it notices by itself when nobody acknowledges any more. Servers on systems that cannot
# look refuse the setting, and are used without it.
SETTINGS = """
    set lock_timeout = {lock_timeout};
    do $$ begin
        perform set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', false),
                set_config('tcp_keepalives_count', '3', false), set_config('tcp_user_timeout', '25000', false),
                set_config('client_connection_check_interval', '5s', false);
    exception when others then null;
    end $$
"""
NUMBER = re.compile(r"[0-9]+")
# The strongest lock first: a reader among many holders is rarely the one who is in the way. A prepared transaction has
# no process; what it locks stays locked until somebody ends it by name.
HOLDERS = """
    select l.pid, coalesce(nullif(a.application_name, ''), 'login ' || a.usename), p.gid
    from pg_locks as l
    join pg_class as c on c.oid = l.relation
    join pg_namespace as n on n.oid = c.relnamespace
    left join pg_stat_activity as a on a.pid = l.pid
    left join pg_locks as own on l.pid is null and own.pid is null and own.locktype = 'transactionid' and own.granted
        and own.virtualtransaction = l.virtualtransaction
    left join pg_prepared_xacts as p on p.transaction = own.transactionid
    where l.granted and l.pid is distinct from pg_backend_pid() and n.nspname || '.' || c.relname = any(%s)
      and l.database = (select oid from pg_database where datname = current_database())
    group by 1, 2, 3
    order by max(array_position(array['AccessShareLock', 'RowShareLock', 'RowExclusiveLock', 'ShareUpdateExclusiveLock',
        'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'], l.mode)) desc, 1
    limit 3
"""
PROCESSES = """
    select pid, coalesce(nullif(application_name, ''), 'login ' || usename), null
    from pg_stat_activity where pid = any(%s) and pid <> %s order by pid
"""


def from_environment(connection_id: str) -> str:
    """The URI in `AIRFLOW_CONN_<ID>`."""
    name = f"AIRFLOW_CONN_{connection_id.upper()}"
    uri = os.environ.get(name, "")
    if not uri:
        raise EnvironmentFailure(
            f"connection '{connection_id}' is not configured: set {name} to a postgresql:// URI. Nothing was touched."
        )
    # Airflow writes the scheme `postgres`; libpq takes both.
    return uri


_resolve: Resolver = from_environment
_reached: ContextVar[set[str]] = ContextVar("reached", default=set())  # noqa: B039 the outermost is never read


def use(resolver: Resolver) -> None:
    """Install another way to find the URI of a connection id, for this process."""
    global _resolve
    _resolve = resolver


def is_configured(connection_id: str) -> bool:
    """Whether the id leads anywhere; nothing is opened."""
    try:
        return bool(_resolve(connection_id))
    except EnvironmentFailure:
        return False


def connect(
    connection_id: str, *, purpose: str, autocommit: bool = False, lock_timeout_s: int = LOCK_TIMEOUT_S
) -> psycopg.Connection:
    """Open a session on a connection id.

    Args:
        purpose: Shown to the database's owner as application_name: who holds this lock?
        lock_timeout_s: How long each of its statements waits for a lock.

    Raises:
        EnvironmentFailure: The id is unknown or its URI is not one.
        TransientError: The server does not answer, or refuses the login just now.
    """
    uri = _resolve(connection_id)
    try:
        known = conninfo_to_dict(uri)
    except psycopg.ProgrammingError:
        raise EnvironmentFailure(
            f"connection '{connection_id}' holds no PostgreSQL URI (its text is not shown: it may hold a secret)"
        ) from None
    keepalive = {name: value for name, value in KEEPALIVE.items() if name not in known}
    with telling(f"connecting to '{connection_id}'", on=connection_id):
        session = psycopg.connect(
            uri,
            autocommit=True,
            application_name=f"syncline {purpose}"[:63],
            **keepalive,  # type: ignore[arg-type]
        )
    try:
        with telling(f"preparing the session on '{connection_id}'", on=connection_id):
            session.execute(EMPTY)
            session.execute(sql.SQL(SPELLING + SETTINGS).format(lock_timeout=sql.Literal(f"{lock_timeout_s}s")))
            liveness.watch(session, uri)
            session.autocommit = autocommit
    except SynclineError:
        session.close()
        raise
    _reached.get().add(connection_id)
    return session


@contextmanager
def noting_reached() -> Iterator[set[str]]:
    """The connection ids on which sessions are opened inside: a system that was not asked has proven nothing."""
    reached: set[str] = set()
    before = _reached.set(reached)
    try:
        yield reached
    finally:
        _reached.reset(before)
        _reached.get().update(reached)


@contextmanager
def naming_holders(doing: str, side: Source | Target, *tables: str) -> Iterator[None]:
    """Where a lock was waited for in vain, say who is in the way: the reader of the message must ask them.

    Raises:
        TransientError: In place of the driver's error. Holders are asked for by another session: ours is in an
            aborted transaction.
    """
    try:
        yield
    except psycopg.errors.LockNotAvailable as error:
        raise _blocked(
            error,
            f"{doing}: waited {side.lock_timeout_s} s for a lock on {tables[0]}, held by "
            f"{_named(side.connection, HOLDERS, [list(tables)])}. "
            f"Nothing was written. Have that session end, or wait for it; the same call may succeed later",
        ) from None
    except psycopg.errors.DeadlockDetected as error:
        # The server's text about it is in its own language, and begins with our own process; of its other numbers,
        # those of processes that are there are meant.
        own, *others = map(int, NUMBER.findall(error.diag.message_detail or "0"))
        raise _blocked(
            error,
            f"{doing}: a deadlock on {tables[0]} with "
            f"{_named(side.connection, PROCESSES, [others, own])}; the server chose to roll this one "
            f"back. Nothing was written; the same call may succeed later",
        ) from None


def _blocked(error: psycopg.Error, said: str) -> TransientError:
    failure = TransientError(said)
    failure.sqlstate = error.sqlstate
    return failure


def _named(connection_id: str, question: str, parameters: list[Any]) -> str:
    """Process ids and programs; where nobody can be asked any more, or nobody holds it now, that is said."""
    try:
        with connect(connection_id, purpose="asks who holds a lock", autocommit=True) as session:
            rows = session.execute(question.encode(), parameters).fetchall()
    except (SynclineError, psycopg.Error):
        return "a session that could not be found out"
    return (
        ", ".join(
            f"process {pid} ({program or 'no name'})" if pid is not None else f"prepared transaction '{gid}'"
            for pid, program, gid in rows
        )
        or "nobody any more"
    )
