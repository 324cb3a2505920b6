"""Turn a connection id into a PostgreSQL session.

Manifests name ids; where an id leads, and with which secret, is the operator's: by default `AIRFLOW_CONN_<ID>` in
the environment, which Airflow and the shell read alike. Inside Airflow the orchestration layer installs Airflow's
own lookup with `use`, so secrets backends work too. No URI and no secret of one is ever logged or shown.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from syncline.adapters.failures import telling
from syncline.core.errors import EnvironmentFailure, SynclineError, TransientError

Resolver = Callable[[str], str]

# A peer that is gone is noticed within half a minute (fault F49), not after the kernel's two hours.
KEEPALIVE = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
LOCK_TIMEOUT_S = 60  # a table locked for longer is told, not waited for: its owner may be on holiday

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
# holding locks (fault F15). Servers on systems that cannot look refuse the setting, and are used without it.
SETTINGS = """
    set lock_timeout = {lock_timeout};
    do $$ begin
        perform set_config('client_connection_check_interval', '5s', false);
    exception when others then null;
    end $$
"""
HOLDERS = """
    select distinct l.pid, a.application_name
    from pg_locks as l
    join pg_class as c on c.oid = l.relation
    join pg_namespace as n on n.oid = c.relnamespace
    left join pg_stat_activity as a on a.pid = l.pid
    where l.granted and l.pid <> pg_backend_pid() and n.nspname || '.' || c.relname = any(%s)
      and l.database = (select oid from pg_database where datname = current_database())
    order by l.pid limit 3
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


def connect(connection_id: str, *, purpose: str, autocommit: bool = False) -> psycopg.Connection:
    """Open a session on a connection id.

    Args:
        purpose: Shown to the database's owner as application_name: who holds this lock?

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
    with telling(f"connecting to '{connection_id}'"):
        session = psycopg.connect(
            uri,
            autocommit=autocommit,
            application_name=f"syncline {purpose}"[:63],
            **keepalive,  # type: ignore[arg-type]
        )
    try:
        with telling(f"preparing the session on '{connection_id}'"):
            session.execute(sql.SQL(SPELLING + SETTINGS).format(lock_timeout=sql.Literal(f"{LOCK_TIMEOUT_S}s")))
            if not autocommit:
                session.commit()
    except SynclineError:
        session.close()
        raise
    return session


@contextmanager
def naming_holders(doing: str, connection_id: str, *tables: str) -> Iterator[None]:
    """Where a lock was waited for in vain, say who holds the tables: the reader of the message must ask them.

    Raises:
        TransientError: In place of the driver's error. They are asked for by another session: ours is in an
            aborted transaction.
    """
    try:
        yield
    except psycopg.errors.LockNotAvailable:
        raise TransientError(
            f"{doing}: waited {LOCK_TIMEOUT_S} s for a lock on {tables[0]}, held by {_holders(connection_id, tables)}. "
            f"Nothing was written. Have that session end, or wait for it; the same call may succeed later"
        ) from None


def _holders(connection_id: str, tables: tuple[str, ...]) -> str:
    """Process ids and programs; where nobody can be asked any more, or nobody holds it now, that is said."""
    try:
        with connect(connection_id, purpose="asks who holds a lock", autocommit=True) as session:
            rows = session.execute(HOLDERS, [list(tables)]).fetchall()
    except (SynclineError, psycopg.Error):
        return "a session that could not be found out"
    return ", ".join(f"process {pid} ({program or 'no name'})" for pid, program in rows) or "nobody any more"
