"""Turn a connection id into a PostgreSQL session.

Manifests name ids; where an id leads, and with which secret, is the operator's: by default `AIRFLOW_CONN_<ID>` in
the environment, which Airflow and the shell read alike. Inside Airflow the orchestration layer installs Airflow's
own lookup with `use`, so secrets backends work too. No URI and no secret of one is ever logged or shown.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import psycopg
from psycopg.conninfo import conninfo_to_dict

from syncline.adapters.failures import telling
from syncline.core.errors import EnvironmentFailure

Resolver = Callable[[str], str]

# A peer that is gone is noticed within half a minute (fault F49), not after the kernel's two hours.
KEEPALIVE = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


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
    session.execute("set timezone = 'UTC'")
    if not autocommit:
        session.commit()
    return session
