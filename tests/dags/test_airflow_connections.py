"""Inside Airflow a connection id is Airflow's; what comes out is a URI that libpq and SQLAlchemy read alike."""

from __future__ import annotations

import pytest
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from psycopg.conninfo import conninfo_to_dict

from syncline.adapters import connections
from syncline.core.errors import EnvironmentFailure
from syncline.orchestration.connections import airflow_uri, use_airflow

SECRET = "p@ss/w:rd?&=é"


@pytest.fixture
def airflow_has(monkeypatch: pytest.MonkeyPatch):
    def has(**fields: object) -> None:
        monkeypatch.setattr(Connection, "get", classmethod(lambda _cls, conn_id: Connection(conn_id=conn_id, **fields)))

    return has


def test_every_part_reaches_libpq_unharmed(airflow_has) -> None:
    airflow_has(
        conn_type="postgres", host="db.example.org", port=6432, login="a b", password=SECRET, schema="hub",
        extra='{"sslmode": "verify-full", "application_name": "x y", "cursor": "dictcursor"}',
    )  # fmt: skip

    assert conninfo_to_dict(airflow_uri("mdm")) == {
        "host": "db.example.org", "port": "6432", "user": "a b", "password": SECRET, "dbname": "hub",
        "sslmode": "verify-full", "application_name": "x y",
    }  # fmt: skip


def test_a_socket_folder_is_a_host(airflow_has) -> None:
    airflow_has(conn_type="postgres", host="/var/run/postgresql", login="me", schema="hub")

    assert conninfo_to_dict(airflow_uri("mdm"))["host"] == "/var/run/postgresql"


def test_the_uri_of_the_environment_survives_the_way_through_airflow() -> None:
    uri = "postgresql://reader:p%40ss%2F@127.0.0.1:5432/mdm?sslmode=disable"

    assert conninfo_to_dict(_through_airflow(uri)) == conninfo_to_dict(uri)


def _through_airflow(uri: str) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Connection, "get", classmethod(lambda _cls, conn_id: Connection.from_uri(uri, conn_id=conn_id)))
        return airflow_uri("mdm")


def test_a_missing_connection_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_cls: object, conn_id: str) -> None:
        raise AirflowNotFoundException(f"The conn_id `{conn_id}` isn't defined")

    monkeypatch.setattr(Connection, "get", classmethod(missing))

    with pytest.raises(EnvironmentFailure, match="AIRFLOW_CONN_PAYROLL"):
        airflow_uri("payroll")


def test_another_kind_of_connection_is_refused_without_its_secret(airflow_has) -> None:
    airflow_has(conn_type="mysql", host="h", password=SECRET)

    with pytest.raises(EnvironmentFailure, match="'mysql', not postgres") as refused:
        airflow_uri("mdm")
    assert SECRET not in str(refused.value)


def test_tasks_resolve_through_airflow_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = []
    monkeypatch.setattr(connections, "use", installed.append)

    use_airflow()

    assert installed == [airflow_uri]
