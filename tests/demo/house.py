"""A real Airflow with a small demo world on a server of its own, for tests of minutes."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from demo.airflow import Airflow, DagRun
from demo.problems import free_port
from demo.servers import EmbeddedServer
from demo.vault import Vault
from demo.world.generate import generate
from demo.world.plan import tenant_ids
from demo.world.provision import LOGIN_ROLES, hub_conninfo, provision
from syncline.orchestration.pools import pools
from tests.conftest import ROOT
from tests.integration.faults import until

JOB = "mdm__payroll__worker"  # the one that is meant where no other is named
DAG = f"sync__{JOB}"
CLIENTS = 20


@dataclass
class House:
    """One Airflow and a small demo world, on a server of their own."""

    airflow: Airflow
    admin: str

    def sql(self, database: str, statement: str, *parameters: Any) -> list[dict[str, Any]]:
        conninfo = make_conninfo(self.admin, dbname=database)
        with psycopg.connect(conninfo, autocommit=True, row_factory=dict_row) as session:
            cursor = session.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def shell(self, command: list[str]) -> str:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**self.airflow.environment},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def backfill(self, *asked: str, dag: str = DAG) -> None:
        self.shell([str(ROOT / ".venv/bin/airflow"), "backfill", "create", "--dag-id", dag, *asked])

    def get(self, path: str) -> Any:
        return self.airflow.api._call("GET", path)

    def rest(self, dag: str = DAG) -> None:
        """Wait until nothing is under way: Airflow closes a backfill some seconds after its last run."""

        def is_quiet() -> bool:
            time.sleep(1)  # each look costs the API server two queries
            self.airflow.require_running()
            runs = self.airflow.api.runs(dag, states=("running", "queued"))
            backfills = self.get(f"/backfills?dag_id={dag}&limit=100")["backfills"]
            return not runs and all(backfill["completed_at"] for backfill in backfills)

        until(f"{dag} is at rest", is_quiet, seconds=600)

    def tasks(self, run: DagRun) -> dict[str, tuple[str, int]]:
        """Task -> how it ended, and on which try."""
        found = self.get(f"/dags/{run.dag_id}/dagRuns/{quote(run.run_id, safe='')}/taskInstances")["task_instances"]
        return {task["task_id"]: (task["state"], task["try_number"]) for task in found}

    def last_batch(self) -> int:
        return int(self.sql("warehouse", "select max(batch_id) as batch_id from ledger.batch")[0]["batch_id"])

    def batches(self, since: int, job: str = JOB) -> list[dict[str, Any]]:
        return self.sql(
            "warehouse",
            "select *, inserted_rows + updated_rows + deleted_rows as changed_rows from ledger.batch"
            " where job_id = %s and batch_id > %s order by batch_id",
            job,
            since,
        )

    def watermark(self, job: str = JOB) -> list[dict[str, Any]]:
        return self.sql("warehouse", "select *, snapshot::text from ledger.watermark where job_id = %s", job)

    def await_first_run(self, dag: str) -> None:
        """The schedule owes a run as soon as the DAG goes."""
        api = self.airflow.api
        until(f"{dag} is there", lambda: dag in api.dag_ids(), seconds=120)
        api.set_paused(dag, False)
        until(f"{dag} ran", lambda: [run for run in api.runs(dag) if run.is_over], seconds=300)
        assert {run.state for run in api.runs(dag)} == {"success"}


@contextmanager
def living(name: str, *dag_files: str, home: Path = ROOT) -> Iterator[House]:
    """Start all of it; stopped and removed at the end whatever happens.

    Args:
        home: Project whose manifests are synced.
    """
    var = ROOT / "var" / "test" / f"{name}-{os.getpid()}"
    dags = var / "dags"
    dags.mkdir(parents=True)
    for file in dag_files:
        shutil.copy(ROOT / "dags" / file, dags)
    vault = Vault(var / "secrets")
    vault.key("payload")
    server = EmbeddedServer(var / "postgres")
    airflow = None
    try:
        server.start()
        passwords = {role: vault.password(role) for role in LOGIN_ROLES}
        uris = provision(server.admin_conninfo, passwords, tenants=tenant_ids(CLIENTS))
        generate(hub_conninfo(server.admin_conninfo), workers=600, clients=CLIENTS, contracts=50)
        airflow = Airflow(
            var,
            database_uri=uris["AIRFLOW"],
            port=free_port(),
            vault=vault,
            dags=dags,
            environment={
                **{f"AIRFLOW_CONN_{name}": uri for name, uri in uris.items() if name != "AIRFLOW"},
                "SYNCLINE_HOME": str(home),
                "SYNCLINE_VAR": str(var),
                "SYNCLINE_PAYLOAD_KEY_FILE": str(vault.folder / "payload"),
            },
        )
        airflow.prepare(pools(home))
        airflow.start()
        yield House(airflow, server.admin_conninfo)
    finally:
        if airflow is not None:
            airflow.stop()
        server.stop()
        shutil.rmtree(var, ignore_errors=True)
