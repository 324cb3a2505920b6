"""A PostgreSQL of your own to try a sync job on: your SQL files as source and target, roles and ledger ready.

    python -m demo.sandbox --source chinook=path/to/source.sql --target billing=path/to/target.sql

does what the owners of two real databases would: a reader that may select from the source; a corridor, a loader and a
tenant role for the target; a ledger. It stays up until Ctrl-C. The databases are kept in var/sandbox and used again the
next time; --fresh makes them anew. For trying only: on servers that matter, their owners do this by hand
(docs/adding_a_sync.md says what).
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from demo.problems import DemoError
from demo.servers import EmbeddedServer
from demo.settings import Settings
from demo.vault import Vault

INCLUDE = Path(__file__).resolve().parents[1] / "include"
ROLES = INCLUDE / "roles.sql"
CORRIDOR = INCLUDE / "target" / "001_corridor.sql"
LOGINS = ("syncline_reader", "syncline_loader", "syncline_ledger")
LEDGER = "sandbox_ledger"
CONNECTION = re.compile(r"[a-z_][a-z0-9_]{0,40}")
# A script that makes its own database and moves into it, as generated ones often do.
MAKES_ITS_DATABASE = re.compile(r"^\\c(?:onnect)?\s", re.MULTILINE)


class Given(NamedTuple):
    """One side: the connection id, which is also the database's name, and the SQL file that fills it."""

    connection: str
    file: Path


def main(arguments: list[str] | None = None) -> int:
    asked = _asked(arguments)
    settings = Settings.from_environment()
    folder = settings.var / "sandbox"
    signal.signal(signal.SIGTERM, _end)
    try:
        with EmbeddedServer(folder / "postgres", settings.postgres_port) as server:
            environment = build(server, Vault(folder / "secrets"), asked.source, asked.target, fresh=asked.fresh)
            _tell(_write(folder / "env.sh", environment))
            signal.pause()
    except DemoError as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The databases are kept; run the same command to go on.")
    return 0


def build(
    server: EmbeddedServer, vault: Vault, sources: list[Given], targets: list[Given], *, fresh: bool
) -> dict[str, str]:
    """Bring the server to the asked state; returns the environment that Syncline needs."""
    passwords = {login: vault.password(login) for login in LOGINS}
    admin = server.admin_conninfo
    _psql(server, "postgres", ROLES)
    with psycopg.connect(admin, autocommit=True) as session:
        for login, password in passwords.items():
            session.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(login), sql.Literal(password)))
    for given in sources:
        if _make_database(server, given, owner="postgres", fresh=fresh):
            _fill(server, given, role="postgres")
        _let_read(admin, given.connection)
    for given in targets:
        if _make_database(server, given, owner="syncline_owner", fresh=fresh):
            _fill(server, given, role="syncline_owner")
        _psql(server, given.connection, CORRIDOR, role="syncline_owner")
        _let_load(admin, given.connection)
    _make_database(server, Given(LEDGER, CORRIDOR), owner="syncline_ledger", fresh=False)
    for path in sorted((INCLUDE / "ledger").glob("*.sql")):
        _psql(server, LEDGER, path, role="syncline_ledger")
    sides = [("syncline_reader", given.connection, given.connection) for given in sources]
    sides += [("syncline_loader", given.connection, given.connection) for given in targets]
    sides += [("syncline_ledger", "ledger", LEDGER)]
    return {
        **{
            f"AIRFLOW_CONN_{connection.upper()}": (
                f"postgresql://{login}:{passwords[login]}@127.0.0.1:{server.port}/{database}"
            )
            for login, connection, database in sides
        },
        "SYNCLINE_PAYLOAD_KEY": vault.key("payload"),
    }


def _asked(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo.sandbox", description=(__doc__ or "").splitlines()[0])
    side = {"action": "append", "default": [], "type": _given, "metavar": "ID=FILE.sql"}
    parser.add_argument("--source", **side, help="connection id and the SQL file of a source database")
    parser.add_argument("--target", **side, help="connection id and the SQL file of a target database")
    parser.add_argument("--fresh", action="store_true", help="drop these databases first")
    return parser.parse_args(arguments)


def _given(text: str) -> Given:
    connection, _, file = text.partition("=")
    if not CONNECTION.fullmatch(connection) or connection in ("postgres", "ledger", LEDGER):
        raise argparse.ArgumentTypeError(f"'{connection}' is no connection id: a-z, 0-9 and _; 'ledger' is taken")
    if not Path(file).is_file():
        raise argparse.ArgumentTypeError(
            f"there is no file {file or '(none given)'}; write {connection}=path/to/file.sql"
        )
    return Given(connection, Path(file).resolve())


def _make_database(server: EmbeddedServer, given: Given, *, owner: str, fresh: bool) -> bool:
    """Whether the database is to be filled; one that is there already is used as it is."""
    name = sql.Identifier(given.connection)
    with psycopg.connect(server.admin_conninfo, autocommit=True) as admin:
        if fresh:
            admin.execute(sql.SQL("drop database if exists {} with (force)").format(name))
        if admin.execute("select 1 from pg_database where datname = %s", [given.connection]).fetchone():
            print(f"{given.connection}: is there already; --fresh makes it anew")
            return False
        if not MAKES_ITS_DATABASE.search(given.file.read_text(errors="replace")):
            admin.execute(sql.SQL("create database {} owner {} template template0").format(name, sql.Identifier(owner)))
    return True


def _fill(server: EmbeddedServer, given: Given, *, role: str) -> None:
    makes_its_own = MAKES_ITS_DATABASE.search(given.file.read_text(errors="replace"))
    print(f"{given.connection}: loading {given.file.name}")
    _psql(
        server,
        "postgres" if makes_its_own else given.connection,
        given.file,
        role="postgres" if makes_its_own else role,
    )
    with psycopg.connect(server.admin_conninfo) as admin:
        if not admin.execute("select 1 from pg_database where datname = %s", [given.connection]).fetchone():
            raise DemoError(
                f"{given.file.name} made a database of another name than '{given.connection}'; give the connection "
                "the name of that database."
            )


def _psql(server: EmbeddedServer, database: str, file: Path, *, role: str = "postgres") -> None:
    """Run a script as its author meant it, psql's own commands included; the first mistake ends it."""
    done = subprocess.run(
        [server.bin_path / "psql", "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--file", file],
        env={
            **os.environ,
            "PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGUSER": "postgres", "PGPASSWORD": server.password,
            "PGDATABASE": database, "PGOPTIONS": f"-c role={role} -c client_min_messages=warning",
        },
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise DemoError(f"{file.name} did not run on {database}: {done.stderr.strip()[-600:]}")


def _let_read(admin: str, database: str) -> None:
    with psycopg.connect(make_conninfo(admin, dbname=database), autocommit=True) as session:
        for schema in _schemas(session):
            session.execute(sql.SQL("grant usage on schema {} to syncline_reader").format(schema))
            session.execute(sql.SQL("grant select on all tables in schema {} to syncline_reader").format(schema))


def _let_load(admin: str, database: str) -> None:
    with psycopg.connect(make_conninfo(admin, dbname=database), autocommit=True) as session:
        for schema in _schemas(session):
            session.execute(sql.SQL("grant usage on schema {} to syncline_loader, syncline_tenant").format(schema))
            session.execute(
                sql.SQL("grant select, insert, update, delete on all tables in schema {} to syncline_tenant").format(
                    schema
                )
            )


def _schemas(session: psycopg.Connection) -> Iterator[sql.Identifier]:
    """The schemas of the database's own tables."""
    rows = session.execute(
        "select nspname from pg_namespace where nspname !~ '^pg_'"
        " and nspname not in ('information_schema', 'syncline', 'staged')"
    ).fetchall()
    return (sql.Identifier(row[0]) for row in rows)


def _write(path: Path, environment: dict[str, str]) -> Path:
    """A file that a shell reads; it holds secrets, so it is the owner's alone."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    Vault(path.parent).write(path.name, "\n".join(lines) + "\n")
    return path


def _tell(env: Path) -> None:
    shown = env.relative_to(Path.cwd()) if env.is_relative_to(Path.cwd()) else env
    print(f"The sandbox is up. In another terminal:\n\n  . {shown}\n\nCtrl-C stops it.", flush=True)


def _end(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
