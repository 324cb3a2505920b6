"""A PostgreSQL of your own to try a sync job on: your SQL files as source and target, roles and ledger ready.

    python -m demo.sandbox --source chinook=path/to/source.sql --target invoicing=path/to/target.sql

does what the owners of two real databases would: a reader that may select from the source; a corridor, a loader and a
tenant role for the target; a ledger. It stays up until Ctrl-C. All is kept in var/sandbox and used again the next time;
--fresh begins from nothing. A file that fails leaves nothing behind. For trying only: on servers that matter, their
owners do this by hand (docs/adding_a_sync.md says what).
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, NoReturn
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from demo.problems import DemoError
from demo.servers import SUPERUSER, EmbeddedServer
from demo.settings import Settings
from demo.vault import Vault

INCLUDE = Path(__file__).resolve().parents[1] / "include"
ROLES = INCLUDE / "roles.sql"
CORRIDOR = INCLUDE / "target" / "001_corridor.sql"
LOGINS = ("syncline_reader", "syncline_loader", "syncline_ledger")
LEDGER = "sandbox_ledger"
SAID_MAX = 600  # signs of what psql says: its last words name the mistake
CONNECTION = re.compile(r"[a-z_][a-z0-9_]{0,40}")
# A script that makes its own database and moves into it, as generated ones often do.
MOVES = re.compile(r"^\\c(?:onnect)?\s.*$", re.MULTILINE)
# A setting of the database itself: it is gone with it, and a load that was cut short never said it.
IS_LOADED = "sandbox.is_loaded"
# The corridor's owner must be able to make schemas in a database that a script made.
CORRIDOR_INSIDE = """\
alter database :"DBNAME" owner to syncline_owner;
set role syncline_owner;
\\i '{corridor}'
set role {superuser};
"""


class Given(NamedTuple):
    """One side: the connection id, which is also the database's name, and the SQL file that fills it."""

    connection: str
    file: Path

    @property
    def script(self) -> str:
        return self.file.read_text(errors="replace")


def main(arguments: list[str] | None = None) -> int:
    asked = _asked(arguments)
    settings = Settings.from_environment()
    folder = settings.var / "sandbox"
    signal.signal(signal.SIGTERM, _end)
    try:
        with _alone(folder), _server(folder, settings.postgres_port, fresh=asked.fresh) as server:
            environment = build(server, Vault(folder / "secrets"), asked.source, asked.target)
            _tell(_write(folder / "env.sh", environment))
            signal.pause()
    except DemoError as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The databases are kept; run the same command to go on.")
    return 0


def build(server: EmbeddedServer, vault: Vault, sources: list[Given], targets: list[Given]) -> dict[str, str]:
    """Bring the server to the asked state; returns the environment that Syncline needs.

    Raises:
        DemoError: One of the files failed. Of its database nothing is left, the others stay.
    """
    passwords = {login: vault.password(login) for login in LOGINS}
    admin = server.admin_conninfo
    _psql(server, "postgres", ROLES)
    with psycopg.connect(admin, autocommit=True) as session:
        for login, password in passwords.items():
            session.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(login), sql.Literal(password)))
    for given in sources:
        _load(server, given, is_target=False)
        _let_read(admin, given.connection)
    for given in targets:
        _load(server, given, is_target=True)
        _psql(server, given.connection, CORRIDOR, role="syncline_owner")
        _let_load(admin, given.connection)
    _make_ledger(server)
    sides = [("syncline_reader", given.connection, given.connection) for given in sources]
    sides += [("syncline_loader", given.connection, given.connection) for given in targets]
    sides += [("syncline_ledger", "ledger", LEDGER)]
    return {
        **{
            f"AIRFLOW_CONN_{connection.upper()}": _uri(server, login, passwords[login], database)
            for login, connection, database in sides
        },
        "SYNCLINE_PAYLOAD_KEY": vault.key("payload"),
        # For the person who tries things out, never for Syncline: what the owners of the databases would use.
        **{
            f"SANDBOX_ADMIN_{connection.upper()}": _uri(server, SUPERUSER, server.password, database)
            for _, connection, database in sides
        },
        "SANDBOX_PSQL": str(server.bin_path / "psql"),
    }


def _uri(server: EmbeddedServer, login: str, password: str, database: str) -> str:
    return f"postgresql://{login}:{quote(password, safe='')}@127.0.0.1:{server.port}/{database}"


def _asked(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo.sandbox", description=(__doc__ or "").splitlines()[0])
    side = {"action": "append", "default": [], "type": _given, "metavar": "ID=FILE.sql"}
    parser.add_argument("--source", **side, help="connection id and the SQL file of a source database")
    parser.add_argument("--target", **side, help="connection id and the SQL file of a target database")
    parser.add_argument("--fresh", action="store_true", help="begin from nothing: all databases, roles, and the ledger")
    asked = parser.parse_args(arguments)
    ids = [given.connection for given in (*asked.source, *asked.target)]
    if twice := next((name for name in ids if ids.count(name) > 1), None):
        parser.error(f"'{twice}' is given twice: each connection is a database of its own")
    return asked


def _given(text: str) -> Given:
    connection, _, file = text.partition("=")
    if not CONNECTION.fullmatch(connection) or connection in ("postgres", "ledger", LEDGER):
        raise argparse.ArgumentTypeError(f"'{connection}' is no connection id: a-z, 0-9 and _; 'ledger' is taken")
    if not Path(file).is_file():
        raise argparse.ArgumentTypeError(
            f"there is no file {file or '(none given)'}; write {connection}=path/to/file.sql"
        )
    return Given(connection, Path(file).resolve())


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One sandbox per folder; the lock goes with the process, however that ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "sandbox.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise DemoError(
                f"a sandbox is up here already (process {lock.readline().strip() or 'unknown'}). Use it: "
                f"`. {_shown(folder / 'env.sh')}`; or stop it with Ctrl-C in its own terminal, then run this again."
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _server(folder: Path, port: int | None, *, fresh: bool) -> EmbeddedServer:
    """The folder's server, not started yet; a fresh one has nothing of the old world, not even its roles."""
    server = EmbeddedServer(folder / "postgres", port)
    if fresh:
        server.stop_leftover()
        shutil.rmtree(server.data_dir, ignore_errors=True)
    return server


def _load(server: EmbeddedServer, given: Given, *, is_target: bool) -> None:
    """Make and fill a database; one that is there already, and whole, is used as it is."""
    with psycopg.connect(server.admin_conninfo, autocommit=True) as admin:
        if _is_loaded(admin, given.connection):
            print(f"{given.connection}: is there already; --fresh makes it anew")
            return
        admin.execute(_drop_database(given.connection))  # half of one, which a killed start left
        before = _databases(admin), _roles(admin)
        try:
            _fill(server, admin, given, is_target=is_target)
        except BaseException as error:  # Ctrl-C too
            _undo(admin, *before)
            if not isinstance(error, DemoError):
                raise
            raise DemoError(
                f"{error}\nNothing of '{given.connection}' was kept: mend the file, then run this again."
            ) from None
        admin.execute(
            sql.SQL("alter database {} set {} = 'yes'").format(
                sql.Identifier(given.connection), sql.Identifier(*IS_LOADED.split("."))
            )
        )


def _fill(server: EmbeddedServer, admin: psycopg.Connection, given: Given, *, is_target: bool) -> None:
    """Run the file as a superuser; in a target after the corridor, so that its policies can name what is in there."""
    print(f"{given.connection}: loading {given.file.name}", flush=True)
    if MOVES.search(given.script):
        _psql(server, "postgres", given.file, script=_with_corridor(given.script) if is_target else None)
    else:
        owner = sql.Identifier("syncline_owner" if is_target else SUPERUSER)
        name = sql.Identifier(given.connection)
        admin.execute(sql.SQL("create database {} owner {} template template0").format(name, owner))
        if is_target:
            _psql(server, given.connection, CORRIDOR, role="syncline_owner")
        _psql(server, given.connection, given.file)
    if given.connection not in _databases(admin):
        raise DemoError(
            f"{given.file.name} made a database of another name than '{given.connection}'; give the connection "
            "the name of that database."
        )


def _with_corridor(script: str) -> str:
    """The script, with the corridor made as soon as it is in its database; its lines keep their numbers."""
    last = list(MOVES.finditer(script))[-1]
    return f"{script[: last.end()]} \\i :corridor_inside{script[last.end() :]}"


def _undo(admin: psycopg.Connection, databases: set[str], roles: set[str]) -> None:
    """Take back what a failed file made in the server: a next start would take it as loaded, or trip over it."""
    for name in sorted(_databases(admin) - databases):
        admin.execute(_drop_database(name))
    for name in sorted(_roles(admin) - roles):
        with contextlib.suppress(psycopg.Error):  # it got rights elsewhere; --fresh ends it
            admin.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


def _drop_database(name: str) -> sql.Composed:
    return sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))


def _databases(admin: psycopg.Connection) -> set[str]:
    return {name for (name,) in admin.execute("select datname from pg_database").fetchall()}


def _roles(admin: psycopg.Connection) -> set[str]:
    return {name for (name,) in admin.execute("select rolname from pg_roles").fetchall()}


def _is_loaded(admin: psycopg.Connection, database: str) -> bool:
    asked = (
        "select 1 from pg_database d join pg_db_role_setting s on s.setdatabase = d.oid and s.setrole = 0"
        " where d.datname = %s and %s = any (s.setconfig)"
    )
    return admin.execute(asked, [database, f"{IS_LOADED}=yes"]).fetchone() is not None


def _make_ledger(server: EmbeddedServer) -> None:
    with psycopg.connect(server.admin_conninfo, autocommit=True) as admin:
        if LEDGER not in _databases(admin):
            admin.execute(
                sql.SQL("create database {} owner syncline_ledger template template0").format(sql.Identifier(LEDGER))
            )
    for path in sorted((INCLUDE / "ledger").glob("*.sql")):
        _psql(server, LEDGER, path, role="syncline_ledger")


def _psql(
    server: EmbeddedServer, database: str, file: Path, *, role: str = SUPERUSER, script: str | None = None
) -> None:
    """Run a file as its author meant it, psql's own commands included; the first mistake ends it.

    Args:
        script: What to run in place of the file's own text, under its name.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as inside:
        inside.write(CORRIDOR_INSIDE.format(corridor=str(CORRIDOR).replace("'", "''"), superuser=SUPERUSER))
        inside.flush()
        done = subprocess.run(
            [
                server.bin_path / "psql", "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1",
                "--set", f"corridor_inside={inside.name}", "--file", file if script is None else "-",
            ],
            env={
                **os.environ,
                "PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGUSER": SUPERUSER, "PGPASSWORD": server.password,
                "PGDATABASE": database, "PGOPTIONS": f"-c role={role} -c client_min_messages=warning",
            },
            input=script or "", capture_output=True, text=True, check=False,
        )  # fmt: skip
    if done.returncode != 0:
        said = done.stderr.replace("<stdin>", file.name).strip()
        raise DemoError(f"{file.name} did not run on {database}: {said[-SAID_MAX:]}")


def _let_read(admin: str, database: str) -> None:
    """The reader's rights, on what is there and on what the superuser will make, such as a view for an odd table."""
    with psycopg.connect(make_conninfo(admin, dbname=database), autocommit=True) as session:
        for schema in _schemas(session):
            session.execute(sql.SQL("grant usage on schema {} to syncline_reader").format(schema))
            session.execute(sql.SQL("grant select on all tables in schema {} to syncline_reader").format(schema))
        session.execute("alter default privileges grant usage on schemas to syncline_reader")
        session.execute("alter default privileges grant select on tables to syncline_reader")


def _let_load(admin: str, database: str) -> None:
    rights = sql.SQL("select, insert, update, delete")
    with psycopg.connect(make_conninfo(admin, dbname=database), autocommit=True) as session:
        for schema in _schemas(session):
            session.execute(sql.SQL("grant usage on schema {} to syncline_loader, syncline_tenant").format(schema))
            session.execute(sql.SQL("grant {} on all tables in schema {} to syncline_tenant").format(rights, schema))
        session.execute("alter default privileges grant usage on schemas to syncline_loader, syncline_tenant")
        session.execute(sql.SQL("alter default privileges grant {} on tables to syncline_tenant").format(rights))


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
    print(f"The sandbox is up. In another terminal:\n\n  . {_shown(env)}\n\nCtrl-C stops it.", flush=True)


def _shown(path: Path) -> Path:
    """As it may be typed from here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _end(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
