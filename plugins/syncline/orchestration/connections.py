"""Inside a task, connection ids are Airflow's: from its database, environment or secrets backend.

Only what libpq understands goes into the URI. Airflow masks the password in logs as soon as a connection is read.
"""

from __future__ import annotations

from urllib.parse import quote, urlencode

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from syncline.core.errors import EnvironmentFailure

POSTGRES = ("postgres", "postgresql")
# Extras of a connection that speak to Airflow's own hook, not to libpq.
HOOK_EXTRAS = {"cursor", "iam", "aws_conn_id", "azure_conn_id", "redshift", "sqlalchemy_scheme", "sqlalchemy_query"}


def use_airflow() -> None:
    """From here on this process resolves connection ids through Airflow."""
    from syncline.adapters import connections

    connections.use(airflow_uri)


def airflow_uri(connection_id: str) -> str:
    """The `postgresql://` URI of an Airflow connection.

    Raises:
        EnvironmentFailure: Airflow has no such connection, or it is not a PostgreSQL one.
    """
    try:
        connection = Connection.get(connection_id)
    except AirflowNotFoundException:
        raise EnvironmentFailure(
            f"Airflow has no connection '{connection_id}', which this task needs. Nothing was read or written. "
            f"Add it under Admin > Connections, or set AIRFLOW_CONN_{connection_id.upper()}, and clear the task."
        ) from None
    if connection.conn_type not in POSTGRES:
        raise EnvironmentFailure(
            f"Airflow's connection '{connection_id}' has type '{connection.conn_type}', not postgres. "
            f"Mend it under Admin > Connections and clear the task."
        )
    return _uri(connection)


def _uri(connection: Connection) -> str:
    user = quote(connection.login or "", safe="")
    if connection.password:
        user += ":" + quote(connection.password, safe="")
    host = quote(connection.host or "", safe="[]:")
    port = f":{connection.port}" if connection.port else ""
    options = {k: v for k, v in connection.extra_dejson.items() if k not in HOOK_EXTRAS and isinstance(v, str | int)}
    return (
        f"postgresql://{user}{'@' if user else ''}{host}{port}/{quote(connection.schema or '', safe='')}"
        f"{'?' if options else ''}{urlencode(options, quote_via=quote)}"
    )
