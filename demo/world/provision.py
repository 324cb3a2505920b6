"""Build the servers' side of the demo world: roles, databases, tables, row security, grants.

A real customer brings databases that Syncline did not make. Here we are that customer, so this module does
what their database administrators would: it owns the hub and the targets, lends Syncline a corridor in each
target, and gives every login only what its work needs. It fills nothing (see generate.py) and starts no
server.

Idempotent, and careful with servers that are not ours: a role or database that carries one of our names but
was not made here is left alone, and the whole call stops before it changes anything in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from demo.problems import DemoError
from demo.world.plan import CLIENTS_DEFAULT, has_uk_payroll, tenant_ids

SQL = Path(__file__).parent / "sql"
INCLUDE = Path(__file__).resolve().parents[2] / "include"
SERVER_VERSION_MIN = 150000
LOCK_ID = 0x5359_4E43  # "SYNC": two `make demo` against one server take turns

# The logins, and with them the keys of `passwords`.
LOGIN_ROLES = ("syncline_reader", "syncline_loader", "syncline_ledger", "syncline_dbt", "airflow")


class Database(NamedTuple):
    """One database of the world. Its owner is the mark by which we know that we made it."""

    name: str
    owner: str
    logins: tuple[str, ...]  # who may connect; PUBLIC may not


DATABASES = (
    Database("mdm", "mdm_owner", ("syncline_reader",)),
    Database("payroll", "syncline_owner", ("syncline_loader",)),
    Database("billing", "syncline_owner", ("syncline_loader",)),
    Database("warehouse", "syncline_owner", ("syncline_loader", "syncline_ledger", "syncline_dbt")),
    Database("airflow", "airflow", ("airflow",)),
)

CONNECTIONS = {  # connection id -> (login, database)
    "MDM": ("syncline_reader", "mdm"),
    "PAYROLL": ("syncline_loader", "payroll"),
    "BILLING": ("syncline_loader", "billing"),
    "WAREHOUSE": ("syncline_loader", "warehouse"),
    "LEDGER": ("syncline_ledger", "warehouse"),
    "DBT": ("syncline_dbt", "warehouse"),
    "AIRFLOW": ("airflow", "airflow"),
}

# Errors and slow statements must not carry a person's data into the server's log (law 9).
DATABASE_SETTINGS = {
    "log_error_verbosity": "terse",  # drops DETAIL and CONTEXT, where PostgreSQL quotes rows
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "timezone": "UTC",
}

ANY_TENANT = ("*",)


class NotOurs(DemoError):
    """The server already has a role or database of one of our names, made by somebody else."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} exists on this server and was not made by the demo. It was not touched. "
            "Give the demo a server of its own, or rename or drop what is in its way."
        )


def provision(
    admin_conninfo: str, passwords: Mapping[str, str], *, tenants: Sequence[str] | None = None
) -> dict[str, str]:
    """Bring one server to the state the demo needs; do nothing where it is there already.

    Args:
        admin_conninfo: A superuser's connection to any database of the server.
        passwords: One for each of `LOGIN_ROLES`. Sent as SCRAM verifiers: the server's log never holds one.
        tenants: Whom billing and (if they have a UK entity) payroll admit. Default: those of the full world.

    Returns:
        Connection URI by id: MDM, PAYROLL, BILLING, WAREHOUSE, LEDGER, DBT, AIRFLOW.

    Raises:
        ValueError: A password is missing.
        DemoError: The login is no superuser, or the server is older than 15.
        NotOurs: A role or database of our names belongs to somebody else.
    """
    if missing := [role for role in LOGIN_ROLES if not passwords.get(role)]:
        raise ValueError(f"provision needs a password for each login role; missing: {', '.join(missing)}")
    admitted = tuple(tenants) if tenants is not None else tenant_ids(CLIENTS_DEFAULT)

    with psycopg.connect(admin_conninfo, autocommit=True) as admin:
        _check_server(admin)
        with _one_at_a_time(admin):
            _make_roles(admin, passwords)
            _make_databases(admin)
            _fill_mdm(admin_conninfo)
            uk_tenants = tuple(tenant for tenant in admitted if has_uk_payroll(tenant))
            _fill_target(admin_conninfo, "payroll", {"mdm__payroll__worker": uk_tenants})
            _fill_target(admin_conninfo, "billing", {"mdm__billing__client": admitted})
            _fill_target(admin_conninfo, "warehouse", dict.fromkeys(_jobs_of("warehouse"), ANY_TENANT))
            _fill_ledger(admin_conninfo)
        return {
            connection_id: _uri(admin, login, passwords[login], database)
            for connection_id, (login, database) in CONNECTIONS.items()
        }


def hub_conninfo(admin_conninfo: str) -> str:
    """Where generate.py and change.py connect: the hub's database, with the right to become its owner."""
    return make_conninfo(admin_conninfo, dbname="mdm")


def _check_server(admin: psycopg.Connection) -> None:
    if admin.info.server_version < SERVER_VERSION_MIN:
        raise DemoError(f"the server is PostgreSQL {admin.info.server_version // 10000}; the demo needs 15 or newer")
    found = admin.execute("select rolsuper from pg_roles where rolname = current_user").fetchone()
    if found is None or not found[0]:
        raise DemoError(f"{admin.info.user} is no superuser; making roles, databases and log settings needs one")


@contextmanager
def _one_at_a_time(admin: psycopg.Connection) -> Iterator[None]:
    admin.execute("select pg_advisory_lock(%s)", [LOCK_ID])
    try:
        yield
    finally:
        admin.execute("select pg_advisory_unlock(%s)", [LOCK_ID])


def _make_roles(admin: psycopg.Connection, passwords: Mapping[str, str]) -> None:
    with admin.transaction():
        try:
            admin.execute((SQL / "roles.sql").read_bytes())
        except psycopg.Error as error:
            if error.sqlstate != "SY010":
                raise
            raise NotOurs((error.diag.message_primary or "a role").split(" exists")[0]) from None
        for role in LOGIN_ROLES:
            verifier = admin.pgconn.encrypt_password(passwords[role].encode(), role.encode(), b"scram-sha-256").decode()
            admin.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(role), verifier))


def _make_databases(admin: psycopg.Connection) -> None:
    found: dict[str, str] = dict(admin.execute("select datname, pg_get_userbyid(datdba) from pg_database").fetchall())
    for database in DATABASES:
        if found.get(database.name, database.owner) != database.owner:
            raise NotOurs(f"database {database.name}")
    for database in DATABASES:
        if database.name not in found:
            admin.execute(_create(database, admin.info.server_version))
        _lock_down(admin, database)


def _create(database: Database, server_version: int) -> sql.Composed:
    """UTF-8 whatever the cluster's default; from 17 on with the built-in locale, equal on every machine."""
    statement = sql.SQL("create database {} owner {} template template0 encoding 'UTF8'").format(
        sql.Identifier(database.name), sql.Identifier(database.owner)
    )
    if server_version < 170000:
        return statement
    return statement + sql.SQL(" locale_provider builtin builtin_locale 'C.UTF-8' locale 'C'")


def _lock_down(admin: psycopg.Connection, database: Database) -> None:
    name = sql.Identifier(database.name)
    logins = sql.SQL(", ").join(map(sql.Identifier, database.logins))
    admin.execute(sql.SQL("revoke all on database {} from public").format(name))
    admin.execute(sql.SQL("grant connect on database {} to {}").format(name, logins))
    if "syncline_loader" in database.logins:  # it compares waiting dead letters in a temporary table
        admin.execute(sql.SQL("grant temporary on database {} to syncline_loader").format(name))
    for setting, value in DATABASE_SETTINGS.items():
        admin.execute(
            sql.SQL("alter database {} set {} = {}").format(name, sql.Identifier(setting), sql.Literal(value))
        )


def _fill_mdm(admin_conninfo: str) -> None:
    with _acting_as(admin_conninfo, "mdm", "mdm_owner") as hub:
        hub.execute((SQL / "mdm.sql").read_bytes())
    with psycopg.connect(hub_conninfo(admin_conninfo)) as admin:
        admin.execute("alter role syncline_reader in database mdm set default_transaction_read_only = on")


def _fill_target(admin_conninfo: str, database: str, tenants_by_job: Mapping[str, Sequence[str]]) -> None:
    """The corridor first, since the policies call its functions; then the tables; then their walls."""
    with _acting_as(admin_conninfo, database, "syncline_owner") as owner:
        for path in sorted((INCLUDE / "target").glob("*.sql")):
            owner.execute(path.read_bytes())
        owner.execute((SQL / f"{database}.sql").read_bytes())
        owner.execute((SQL / "tenant_tables.sql").read_bytes())
        for job_id, tenants in tenants_by_job.items():
            owner.execute(
                "insert into syncline.job_tenant (job_id, tenant_id) select %s, unnest(%s::text[])"
                " on conflict do nothing",
                [job_id, list(tenants)],
            )


def _fill_ledger(admin_conninfo: str) -> None:
    with psycopg.connect(make_conninfo(admin_conninfo, dbname="warehouse")) as admin:
        # `create schema if not exists` asks for the right even where the schema exists.
        admin.execute("grant create on database warehouse to syncline_ledger")
        for schema in ("pub", "stg"):
            admin.execute(
                sql.SQL("create schema if not exists {} authorization syncline_dbt").format(sql.Identifier(schema))
            )
        admin.execute("grant temporary on database warehouse to syncline_dbt")  # incremental models need it
    with _acting_as(admin_conninfo, "warehouse", "syncline_ledger") as ledger:
        for path in sorted((INCLUDE / "ledger").glob("*.sql")):
            ledger.execute(path.read_bytes())
        ledger.execute((SQL / "ledger_readers.sql").read_bytes())


def _jobs_of(target: str) -> list[str]:
    """Job ids of one target, from the manifests' file names (`<source>__<target>__<entity>`)."""
    return sorted(path.stem for path in (INCLUDE / "manifests").glob(f"*__{target}__*.yaml"))


@contextmanager
def _acting_as(admin_conninfo: str, database: str, role: str) -> Iterator[psycopg.Connection]:
    """One transaction in `database` as `role`: what it makes belongs to that role, all of it or nothing."""
    with psycopg.connect(make_conninfo(admin_conninfo, dbname=database)) as connection:
        connection.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
        connection.execute("set local client_min_messages = warning")  # "already exists, skipping" is no news
        yield connection


def _uri(admin: psycopg.Connection, login: str, password: str, database: str) -> str:
    host, port = admin.info.host, admin.info.port
    given = conninfo_to_dict(admin.info.dsn)
    query = {name: str(given[name]) for name in ("sslmode", "sslrootcert") if name in given}
    if host.startswith("/"):  # a Unix socket has no place in the authority of a URI
        query, authority = {"host": host, "port": str(port), **query}, ""
    else:
        authority = f"{f'[{host}]' if ':' in host else host}:{port}"
    credentials = f"{quote(login, safe='')}:{quote(password, safe='')}"
    return f"postgresql://{credentials}@{authority}/{database}" + (f"?{urlencode(query)}" if query else "")
