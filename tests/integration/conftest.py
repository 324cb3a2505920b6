"""A small lab for the line: one hub table, one RLS-guarded copy, and a manifest that a test may bend.

The demo world's roles, corridor and ledger are used as they are, so what holds here holds for real grants.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import yaml
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from demo.world.provision import LOGIN_ROLES, provision
from syncline import steps
from syncline.adapters import connections, judging
from syncline.core.job import SyncJob
from syncline.core.job_files import load_job
from syncline.core.values import BatchSummary, RunRequest
from tests.conftest import ROOT, Postgres
from tests.integration.mapping_engine import Engine

if TYPE_CHECKING:
    from tests.integration.dbt_world import World

JOB = "mdm__payroll__person"
TRY_DOCS = judging._try_docs
RECONCILE = import_module("syncline.steps.reconcile")  # `steps.reconcile` is the step
MANIFEST: dict[str, Any] = {
    "version": "1.0.0",
    "description": "People of the hub, for tests",
    "domain": "lab",
    "criticality": "high",
    "owner": {"team": "lab", "oncall": "lab-oncall", "business": "lab-business"},
    "tenancy": {"column": "tenant_id"},
    "schedule": {"cron": "0 1 * * *"},
    "sla": {"latency_p50_s_max": 60, "latency_p99_s_max": 3600},
    "source": {
        "connection": "mdm",
        "table": "lab.person",
        "key": ["tenant_id", "person_id"],
        "cursor": "updated_at",
        "tenant": "tenant_id",
        "deleted": "is_deleted",
    },
    "target": {
        "connection": "payroll",
        "table": "lab.person",
        "key": ["tenant_id", "person_no"],
        "write": "upsert",
        "on_delete": "hard",
        "version": "source_event_at",
        "stamps": {"batch": "sync_batch_id", "loaded_at": "loaded_at"},
    },
    "mapping": JOB,
    "errors": {"rejected_ratio_max": 0.5, "severity": "ticket"},
}
MAPPING: dict[str, Any] = {
    "version": "1.0.0",
    "source": {"tenant_id": "text", "person_id": "text", "name": "text", "born": "text", "updated_at": "timestamptz"},
    "fields": {
        "tenant_id": {"from": "tenant_id", "type": "text", "checks": ["required"]},
        "person_no": {"from": "person_id", "type": "text", "checks": ["required"]},
        "name": {"from": "name", "type": "text", "steps": ["trim"], "checks": ["required"]},
        "born": {"from": "born", "type": "date", "steps": [{"parse_date": "iso"}]},
        "source_event_at": {"from": "updated_at", "type": "timestamptz"},
    },
}
SOURCE_DDL = """
drop schema if exists lab cascade;
create schema lab;
create table lab.person (tenant_id text, person_id text, name text, born text,
    updated_at timestamptz not null default now(), is_deleted boolean not null default false,
    primary key (tenant_id, person_id));
create index on lab.person (updated_at);
grant usage on schema lab to syncline_reader;
grant select on lab.person to syncline_reader;
"""
TARGET_DDL = """
drop schema if exists lab cascade;
create schema lab;
grant usage on schema lab to syncline_tenant;
create table lab.person (tenant_id text, person_no text, name text not null, born date, source_event_at timestamptz,
    loaded_at timestamptz, sync_batch_id bigint, is_gone boolean not null default false,
    primary key (tenant_id, person_no));
alter table lab.person enable row level security, force row level security;
create policy tenant on lab.person for all to syncline_tenant
    using (tenant_id in (select syncline.scoped_tenants()))
    with check (tenant_id in (select syncline.scoped_tenants()));
grant select, insert, update, delete on lab.person to syncline_tenant;
alter schema lab owner to syncline_owner;
alter table lab.person owner to syncline_owner;
delete from syncline.marker; delete from syncline.fence; delete from syncline.deleted; delete from syncline.agreed;
delete from syncline.job_tenant where job_id = 'mdm__payroll__person';
insert into syncline.job_tenant values ('mdm__payroll__person', 't1'), ('mdm__payroll__person', 't2');
do $$ declare left_over text; begin
    for left_over in select tablename from pg_tables where schemaname = 'staged' loop
        execute format('drop table staged.%I', left_over);
    end loop;
end $$;
"""
HUB_UPSERT = """
insert into lab.person ({names}, updated_at) values ({values}, coalesce({at}::timestamptz, now()))
on conflict (tenant_id, person_id) do update set ({names}, updated_at) = ({changed}, excluded.updated_at)
"""
LEDGER_RESET = """
alter table ledger.audit disable trigger user;
truncate ledger.audit, ledger.alert, ledger.breaker, ledger.control_run, ledger.job restart identity cascade;
alter table ledger.audit enable trigger user;
"""


@cache
def _world(admin: str) -> dict[str, str]:
    """Once per server: tests/faults takes the same fixtures, and a second time would change the passwords."""
    return provision(admin, {role: uuid.uuid4().hex for role in LOGIN_ROLES})


@pytest.fixture(scope="session")
def world_uris(pg: Postgres) -> dict[str, str]:
    """The demo world's databases, without rows."""
    return _world(pg.admin_conninfo)


@pytest.fixture(scope="module")
def engine(request: pytest.FixtureRequest, server: Postgres) -> Iterator[Engine]:
    """One database per test module and server."""
    database = f"syncline_{request.module.__name__.rpartition('.')[2]}"
    with psycopg.connect(server.admin_conninfo, autocommit=True) as admin:
        drop = sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(database))
        admin.execute(drop)
        admin.execute(sql.SQL("create database {} template template0").format(sql.Identifier(database)))
        with psycopg.connect(make_conninfo(server.admin_conninfo, dbname=database), autocommit=True) as session:
            yield Engine(session)
        admin.execute(drop)


@pytest.fixture(scope="session")
def warehouse(pg: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A database for all tests of the dbt project, installed and parsed once."""
    from tests.integration.dbt_world import World  # not above: dbt takes seconds to import

    world = World(pg.create_database(f"dbt_{os.getpid()}"), tmp_path_factory.mktemp("dbt"))
    world.install()
    yield world
    world.admin.close()


@pytest.fixture
def world(warehouse: World) -> World:
    """That database with its jobs and nothing else."""
    warehouse.clear()
    return warehouse


class Lab:
    """One job between two real tables."""

    def __init__(self, admin: str, folder: Path) -> None:
        self.admin, self.folder = admin, folder
        self.elsewhere: dict[str, str] = {}  # databases on another server: name -> superuser's URI
        self.manifest, self.mapping = deepcopy(MANIFEST), deepcopy(MAPPING)
        for kind in ("expectations", "reports"):
            shutil.copytree(ROOT / "include" / kind, folder / "include" / kind)
        for kind in ("manifests", "mappings"):
            (folder / "include" / kind).mkdir(parents=True)

    @property
    def job(self) -> SyncJob:
        """The job as the files say now."""
        for kind, content in (("manifests", self.manifest), ("mappings", self.mapping)):
            (self.folder / "include" / kind / f"{JOB}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return load_job(self.folder, JOB)

    def conninfo(self, database: str) -> str:
        """The superuser's way to a database."""
        return make_conninfo(self.elsewhere.get(database, self.admin), dbname=database)

    def sql(self, database: str, statement: str, *parameters: Any) -> list[dict[str, Any]]:
        """Run anything as the superuser."""
        with psycopg.connect(self.conninfo(database), autocommit=True, row_factory=dict_row) as session:
            cursor = session.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def hub(self, *people: dict[str, Any]) -> None:
        """Insert or change people in the hub; `at` is their updated_at."""
        for person in people:
            row = {"tenant_id": "t1", "name": "Ann", "born": "1990-01-01", "is_deleted": False, **person}
            moment = row.pop("at", None)
            names = sql.SQL(", ").join(map(sql.Identifier, row))
            statement = sql.SQL(HUB_UPSERT).format(
                names=names,
                values=sql.SQL(", ").join(map(sql.Literal, row.values())),
                at=sql.Literal(moment),
                changed=sql.SQL(", ").join(sql.Identifier("excluded", name) for name in row),
            )
            with psycopg.connect(self.conninfo("mdm"), autocommit=True) as session:
                session.execute(statement)

    def run(self, run_key: str = "", **request: Any) -> BatchSummary:
        return steps.run_line(self.job, RunRequest(run_key=run_key or uuid.uuid4().hex, **request))

    def shell(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """The `syncline` command in a process of its own, as a user runs it."""
        _ = self.job
        return subprocess.run(
            [sys.executable, "-m", "syncline", *arguments],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def people(self) -> dict[str, str]:
        """What the target shows: tenant/person -> name."""
        rows = self.sql("payroll", "select tenant_id, person_no, name from lab.person where not is_gone order by 1, 2")
        return {f"{row['tenant_id']}/{row['person_no']}": row["name"] for row in rows}

    def ledger(self, statement: str, *parameters: Any) -> list[dict[str, Any]]:
        return self.sql("warehouse", statement, *parameters)


def lab_on(admin: str, uris: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A fresh lab on a provisioned server, with the environment that its runs need."""
    for name, uri in uris.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", uri)
    monkeypatch.setattr(connections, "_resolve", connections.from_environment)  # tests/dags install Airflow's
    monkeypatch.setenv("SYNCLINE_PAYLOAD_KEY", base64.urlsafe_b64encode(os.urandom(32)).decode())
    monkeypatch.setenv("SYNCLINE_HOME", str(folder))
    monkeypatch.setenv("SYNCLINE_VAR", str(folder / "var"))
    monkeypatch.setattr(RECONCILE, "SETTLE_S", 0.0)  # what differs here differs still when it is counted again
    # Pages for people to read; each takes as long as the rest of a run. The judge itself is asked.
    monkeypatch.setattr(judging, "_try_docs", lambda found, folder: (None, {"built": False}))
    made = Lab(admin, folder)
    made.sql("mdm", SOURCE_DDL)
    made.sql("payroll", TARGET_DDL)
    made.ledger(LEDGER_RESET)
    return made


@pytest.fixture
def data_docs(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages, too: what a run of this process builds besides."""
    monkeypatch.setattr(judging, "_try_docs", TRY_DOCS)


@pytest.fixture
def lab(pg: Postgres, world_uris: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return lab_on(pg.admin_conninfo, world_uris, tmp_path, monkeypatch)
