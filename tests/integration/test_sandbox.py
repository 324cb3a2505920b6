"""The sandbox of docs/adding_a_sync.md with files that fail, that are run again, and that need what a target has."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from demo.problems import DemoError
from demo.sandbox import Given, build
from demo.servers import EmbeddedServer
from demo.vault import Vault
from tests.conftest import ROOT

START_WAIT_S = 120
POLICY = """
create role {role};
create schema pay;
create table pay.person (tenant_id text, person_no integer, primary key (tenant_id, person_no));
alter table pay.person enable row level security, force row level security;
create policy syncline on pay.person for all to syncline_tenant
    using (tenant_id in (select syncline.scoped_tenants())) with check (tenant_id in (select syncline.scoped_tenants()));
insert into syncline.job_tenant (job_id, tenant_id) values ('shop__{database}__person', '*');
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Inside the checkout: started by root, the server runs as another account, which temporary folders keep out."""
    folder = ROOT / "var" / "test" / f"sandbox-{os.getpid()}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(folder / "built" / "postgres") as server:
        yield server


def file(folder: Path, text: str) -> Path:
    path = folder / "given.sql"
    path.write_text(text)
    return path


def built(server: EmbeddedServer, *, source: Given | None = None, target: Given | None = None) -> dict[str, str]:
    vault = Vault(server.data_dir.parent / "secrets")
    return build(server, vault, [source] if source else [], [target] if target else [])


def query(uri: str, statement: str, database: str = "") -> list[tuple[Any, ...]]:
    with psycopg.connect(make_conninfo(uri, dbname=database) if database else uri) as session:
        return session.execute(statement.encode()).fetchall()


def names(server: EmbeddedServer) -> set[str]:
    asked = "select datname from pg_database union all select rolname from pg_roles"
    return {name for (name,) in query(server.admin_conninfo, asked)}


@pytest.mark.parametrize("makes_its_own", [False, True])
@pytest.mark.parametrize("is_target", [False, True])
def test_a_file_that_fails_leaves_nothing_that_the_next_start_takes_as_loaded(
    server: EmbeddedServer, tmp_path: Path, makes_its_own: bool, is_target: bool
) -> None:
    begin = "create database half;\n\\c half\n" if makes_its_own else ""
    good = f"{begin}create role half_role;\ncreate table a (id integer primary key);\n"
    before = names(server)

    side = "target" if is_target else "source"
    with pytest.raises(DemoError, match=r"given\.sql:\d: ERROR.*(?s:.)*no_such") as told:
        built(server, **{side: Given("half", file(tmp_path, f"{good}insert into no_such values (1);"))})

    assert "Nothing of 'half' was kept" in str(told.value)
    assert f"given.sql:{5 if makes_its_own else 3}:" in str(told.value)
    assert names(server) - before <= {"syncline_" + role for role in ("reader", "owner", "tenant", "loader", "ledger")}
    environment = built(server, **{side: Given("half", file(tmp_path, good))})
    assert query(environment["SANDBOX_ADMIN_HALF"], "select count(*) from a") == [(0,)]
    with psycopg.connect(server.admin_conninfo, autocommit=True) as admin:
        admin.execute("drop database half with (force)")
        admin.execute("drop role half_role")


def test_a_database_that_a_killed_start_left_half_is_made_anew(server: EmbeddedServer, tmp_path: Path) -> None:
    with psycopg.connect(server.admin_conninfo, autocommit=True) as admin:
        admin.execute("create database cut")

    environment = built(server, source=Given("cut", file(tmp_path, "create table a (id integer primary key);")))

    assert query(environment["SANDBOX_ADMIN_CUT"], "select count(*) from a") == [(0,)]


def test_what_was_loaded_is_kept_by_the_next_start(server: EmbeddedServer, tmp_path: Path) -> None:
    given = Given("kept", file(tmp_path, "create table a (id integer primary key);"))
    environment = built(server, source=given)
    with psycopg.connect(environment["SANDBOX_ADMIN_KEPT"]) as admin:
        admin.execute("insert into a values (1)")

    assert query(built(server, source=given)["AIRFLOW_CONN_KEPT"], "select id from a") == [(1,)]


@pytest.mark.parametrize("begin", ["", "create database {database};\n\\connect {database}\n"])
def test_a_targets_file_may_make_roles_policies_and_grants_of_tenants(
    server: EmbeddedServer, tmp_path: Path, begin: str
) -> None:
    database = "pay_moved" if begin else "pay"
    text = (begin + POLICY).format(database=database, role=f"{database}_role")

    environment = built(server, target=Given(database, file(tmp_path, text)))

    admin = environment[f"SANDBOX_ADMIN_{database.upper()}"]
    assert query(admin, "select job_id, tenant_id from syncline.job_tenant") == [(f"shop__{database}__person", "*")]
    loader = environment[f"AIRFLOW_CONN_{database.upper()}"]
    with psycopg.connect(loader) as session:
        session.execute("select syncline.enter(%s, 1, array['t1'])", [f"shop__{database}__person"])
        session.execute("set local role syncline_tenant")
        session.execute("insert into pay.person values ('t1', 1)")
        assert session.execute("select person_no from pay.person").fetchall() == [(1,)]


def test_a_view_that_is_made_later_can_be_read_at_once(server: EmbeddedServer, tmp_path: Path) -> None:
    environment = built(server, source=Given("odd", file(tmp_path, 'create table "Odd" ("Id" integer primary key);')))

    with psycopg.connect(environment["SANDBOX_ADMIN_ODD"]) as admin:
        admin.execute('create schema seen; create view seen.odd as select "Id" as id from "Odd"')

    assert query(environment["AIRFLOW_CONN_ODD"], "select count(*) from seen.odd") == [(0,)]


class Shell:
    """`python -m demo.sandbox` in a folder of its own."""

    def __init__(self, var: Path, place: Path) -> None:
        self.var, self.place, self.log = var, place, place / "sandbox.log"

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        with self.log.open("w") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "demo.sandbox", *options], cwd=self.place, stdout=log, stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT), "SYNCLINE_VAR": str(self.var)},
            )  # fmt: skip

    def up(self, *options: str) -> subprocess.Popen[bytes]:
        process, deadline = self.start(*options), time.monotonic() + START_WAIT_S
        while "The sandbox is up" not in self.log.read_text():
            assert process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)
        return process

    def admin(self, connection: str) -> str:
        told = (self.var / "sandbox" / "env.sh").read_text().splitlines()
        return next(line.partition("=")[2] for line in told if f"SANDBOX_ADMIN_{connection}=" in line)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(60)


def test_one_sandbox_per_folder_and_a_fresh_one_forgets_everything(folder: Path, tmp_path: Path) -> None:
    shell = Shell(folder / "shell", tmp_path)
    source = "--source", f"shop={file(tmp_path, 'create role shop_role; create table a (id integer primary key);')}"
    first = shell.up(*source)
    try:
        with psycopg.connect(shell.admin("LEDGER")) as admin:
            admin.execute("create table ledger.old_world ()")
        environment = folder / "shell" / "sandbox" / "env.sh"
        assert stat.S_IMODE(environment.stat().st_mode) == 0o600
        assert os.access(environment.read_text().partition("SANDBOX_PSQL=")[2].splitlines()[0], os.X_OK)

        began = time.monotonic()
        second = shell.start(*source)
        assert second.wait(20) == 1
        assert time.monotonic() - began < 10
        assert f"a sandbox is up here already (process {first.pid})" in shell.log.read_text()
        assert query(shell.admin("SHOP"), "select count(*) from a") == [(0,)]  # the first one was left alone
    finally:
        stop(first)
    fresh = shell.up(*source, "--fresh")
    try:
        assert query(shell.admin("LEDGER"), "select to_regclass('ledger.old_world')") == [(None,)]
        assert query(shell.admin("SHOP"), "select count(*) from a") == [(0,)]
    finally:
        stop(fresh)
