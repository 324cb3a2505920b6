"""A warehouse database in which dbt runs as in production, and a pen to write the ledger with.

The tables are the demo's own DDL and the ledger's own SQL; the batches are written by hand, so that each test shows
the one state it is about.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dbt.cli.main import dbtRunner, dbtRunnerResult
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from tests.conftest import ROOT

PROJECT = ROOT / "dbt_project"
FOLDERS = ("--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT))
DEMO_SQL = ROOT / "demo" / "world" / "sql"
WORKERS = "mdm__warehouse__worker"
JOBS = (WORKERS, "mdm__warehouse__client", "mdm__warehouse__contract", "mdm__payroll__worker")
SLA_S = 3600
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
EVENT = MIDNIGHT - timedelta(days=9)


def at(hours: float) -> datetime:
    return MIDNIGHT + timedelta(hours=hours)


def worker(worker_id: str, tenant_id: str = "t1", status: str = "active") -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "worker_id": worker_id,
        "full_name": "A Name",
        "country_code": "GB",
        "birth_year": None,
        "hired_on": EVENT.date(),
        "status": status,
        "annual_salary": 1,
        "salary_currency": "GBP",
    }


class World:
    """One warehouse database; `dbt` runs in it as the role that production uses."""

    def __init__(self, conninfo: str, folder: Path) -> None:
        self.admin = psycopg.connect(conninfo, autocommit=True, row_factory=dict_row)
        self.env = _dbt_env(conninfo, folder)

    def install(self) -> None:
        self.admin.execute("set client_min_messages = warning")
        self.admin.execute((DEMO_SQL / "roles.sql").read_bytes())
        for path in (
            *sorted((ROOT / "include" / "target").glob("*.sql")),
            DEMO_SQL / "warehouse.sql",
            DEMO_SQL / "tenant_tables.sql",
            *sorted((ROOT / "include" / "ledger").glob("*.sql")),
            DEMO_SQL / "ledger_readers.sql",
        ):
            self.admin.execute(path.read_bytes())

    def clear(self) -> None:
        self.admin.execute("drop schema if exists pub, stg cascade")
        for schema in ("pub", "stg"):
            self.admin.execute(f"create schema {schema} authorization syncline_dbt")
        self.admin.execute("truncate ledger.job, dw.worker, dw.client, dw.contract restart identity cascade")
        for job_id in JOBS:
            self.job(job_id)

    def job(self, job_id: str) -> None:
        insert(
            self.admin,
            "ledger.job",
            job_id=job_id,
            manifest_version="1.0.0",
            manifest_hash="0",
            source_system="mdm",
            target_system=job_id.split("__")[1],
            criticality="high",
            oncall="x",
            sla_latency_s_max=SLA_S,
        )

    def batch(
        self,
        state: str,
        *,
        as_of: datetime,
        job_id: str = WORKERS,
        mode: str = "incremental",
        tenants: list[str] | None = None,
    ) -> int:
        """A batch in the given state. Publishing covers what came before it, as the ledger's adapter does."""
        batch_id: int = insert(
            self.admin,
            "ledger.batch",
            job_id=job_id,
            run_key="r",
            mode=mode,
            tenants=tenants,
            state=state,
            epoch=1,
            manifest_version="1.0.0",
            manifest_hash="0",
            source_as_of=as_of,
            loaded_at=as_of,
            verdict={"published": "matched", "held": "mismatched"}.get(state, "unverified"),
        )["batch_id"]
        if state == "published":
            is_whole_job = mode != "window" and tenants is None
            self.admin.execute(
                "update ledger.batch set published_by = %s where job_id = %s and published_by is null"
                " and (%s or batch_id = %s)",
                [batch_id, job_id, is_whole_job, batch_id],
            )
        return batch_id

    def load(self, batch_id: int, *rows: dict[str, Any], is_deleted: bool = False) -> None:
        for row in rows:
            self.admin.execute(
                "delete from dw.worker where tenant_id = %(tenant_id)s and worker_id = %(worker_id)s", row
            )
            insert(
                self.admin,
                "dw.worker",
                **row,
                is_deleted=is_deleted,
                source_event_at=EVENT,
                loaded_at=EVENT,
                sync_batch_id=batch_id,
            )

    def dead_letter(self, batch_id: int, tenant_id: str, job_id: str = WORKERS) -> None:
        insert(
            self.admin,
            "ledger.dead_letter",
            job_id=job_id,
            batch_id=batch_id,
            tenant_id=tenant_id,
            source_key='["x"]',
            errors="[]",
            payload=b"",
            payload_key_id="k",
        )

    def run_dbt(self, *arguments: str) -> dbtRunnerResult:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.env.items():
                patch.setenv(name, value)
            # A copy: dbt writes what it compiled into it.
            runner = dbtRunner(manifest=self._parsed.deepcopy())
            return runner.invoke([*arguments, *FOLDERS, "--quiet", "--indirect-selection", "buildable"])

    @cached_property
    def _parsed(self) -> Any:
        """The project, parsed once; `run_dbt` sets the environment, whose database stands in every relation."""
        return dbtRunner().invoke(["parse", *FOLDERS, "--quiet"]).result

    def publish_tables(self, as_of: datetime, *more: str) -> None:
        """What the DAG does, for the workers alone."""
        result = self.build(as_of, "--select", "stg_ledger__batch", "pub_warehouse__worker", *more)
        assert result.success, messages(result)

    def build(self, as_of: datetime, *more: str) -> dbtRunnerResult:
        return self.run_dbt("build", "--vars", f"{{as_of: '{as_of.isoformat()}'}}", *more)

    def workers(self, *columns: str) -> dict[str, Any]:
        """`columns` of the published workers, by worker id."""
        found = self.admin.execute("select * from pub.pub_warehouse__worker order by worker_id").fetchall()
        return {row["worker_id"]: tuple(row[name] for name in columns) for row in found}

    def fetch(self, query: str) -> list[dict[str, Any]]:
        return self.admin.execute(query).fetchall()


def insert(connection: psycopg.Connection[Any], table: str, **values: Any) -> Any:
    statement = sql.SQL("insert into {} ({}) values ({}) returning *").format(
        sql.Identifier(*table.split(".")),
        sql.SQL(", ").join(map(sql.Identifier, values)),
        sql.SQL(", ").join(sql.Placeholder() * len(values)),
    )
    return connection.execute(statement, list(values.values())).fetchone()


def _dbt_env(conninfo: str, folder: Path) -> dict[str, str]:
    given = conninfo_to_dict(conninfo)
    return {
        "SYNCLINE_DBT_HOST": str(given["host"]),
        "SYNCLINE_DBT_PORT": str(given.get("port", 5432)),
        "SYNCLINE_DBT_USER": str(given["user"]),
        "SYNCLINE_DBT_PASSWORD": str(given.get("password", "")),
        "SYNCLINE_DBT_DBNAME": str(given["dbname"]),
        "PGOPTIONS": "-c role=syncline_dbt",  # its rights and its row-level policy, without a password of its own
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_PATH": str(folder / "log"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }


def messages(result: dbtRunnerResult) -> str:
    if result.exception is not None:
        return str(result.exception)
    return "\n".join(f"{one.node.name}: {one.status} {one.message}" for one in result.result or ())
