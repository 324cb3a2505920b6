"""Backfills as operators make them, under a real Airflow: in any direction, over finished runs, beside other runs.

Whatever is clicked, rows are neither lost nor doubled nor set back, the watermark stays where the schedule's runs put
it, and every task succeeds on its first try or is skipped with a reason. Minutes: `make faults` runs it.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
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
from tests.contracts.test_docs import UNDER_AIRFLOW, commands
from tests.integration.faults import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

JOB, WHOLE_JOB = "mdm__payroll__worker", "mdm__warehouse__country"
DAG, WHOLE_DAG = f"sync__{JOB}", f"sync__{WHOLE_JOB}"
CLIENTS = 20
WEEK = ("--from-date", "2026-01-04", "--to-date", "2026-01-11")  # seven runs, which begin at night
ALL_RUNS = ("--reprocess-behavior", "completed")
SPREAD = """
update mdm.worker as w set updated_at = timestamptz '2026-01-05 12:00Z' + (n % 6) * interval '1 day'
from (select ctid as place, row_number() over (order by tenant_id, worker_id) as n from mdm.worker) as numbered
where w.ctid = place
"""
NEWCOMERS = """
insert into mdm.worker select (jsonb_populate_record(w,
    jsonb_build_object('worker_id', 'new' || row_number() over (order by worker_id), 'updated_at', now()))).*
from mdm.worker as w where country_code = 'GB' and not is_deleted limit 20
"""
ROWS = "select * from hr.employee order by tenant_id, employee_no"
VALUES = "select tenant_id, employee_no, pay_status, bank_iban from hr.employee order by 1, 2"


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

    def watermark(self) -> list[dict[str, Any]]:
        return self.sql("warehouse", "select *, snapshot::text from ledger.watermark where job_id = %s", JOB)


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    var = ROOT / "var" / "test" / f"bf-{os.getpid()}"
    dags = var / "dags"
    dags.mkdir(parents=True)
    shutil.copy(ROOT / "dags" / "sync_jobs.py", dags)
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
                "SYNCLINE_HOME": str(ROOT),
                "SYNCLINE_VAR": str(var),
                "SYNCLINE_PAYLOAD_KEY_FILE": str(vault.folder / "payload"),
            },
        )
        airflow.prepare(pools(ROOT))
        airflow.start()
        made = House(airflow, server.admin_conninfo)
        made.sql("mdm", SPREAD)
        for dag in (DAG, WHOLE_DAG):
            until(f"{dag} is there", lambda dag=dag: dag in airflow.api.dag_ids(), seconds=120)
            airflow.api.set_paused(dag, False)  # the schedule owes a run
            until(f"{dag} ran", lambda dag=dag: [run for run in airflow.api.runs(dag) if run.is_over], seconds=300)
            assert {run.state for run in airflow.api.runs(dag)} == {"success"}
        yield made
    finally:
        if airflow is not None:
            airflow.stop()
        server.stop()
        shutil.rmtree(var, ignore_errors=True)


@pytest.fixture(autouse=True)
def nothing_failed(house: House) -> Iterator[None]:
    """After each test: no attempt failed, so no retry was burnt, nobody was alerted, and nothing is left open."""
    yield
    house.rest()
    assert house.sql("warehouse", "select * from ledger.attempt where outcome <> 'done'") == []
    assert house.sql("warehouse", "select * from ledger.alert") == []
    assert house.sql("warehouse", "select * from ledger.batch where state not in ('published', 'dry_run')") == []
    assert {run.state for dag in (DAG, WHOLE_DAG) for run in house.airflow.api.runs(dag)} == {"success"}


def test_ten_at_once_beside_a_run_by_hand_while_the_source_moves_on(house: House) -> None:
    before, since = house.sql("payroll", VALUES), house.last_batch()
    house.sql("mdm", NEWCOMERS)

    house.backfill(*WEEK, "--max-active-runs", "10")
    until("a backfilled run has begun", lambda: house.batches(since), seconds=120)
    by_hand = house.airflow.api.trigger(DAG)
    house.rest()

    (*windows,) = (batch for batch in house.batches(since) if batch["mode"] == "window")
    (daily,) = (batch for batch in house.batches(since) if batch["mode"] == "incremental")
    assert len(windows) == 7
    assert sum(batch["extracted_rows"] for batch in windows) >= len(before)
    assert {batch["changed_rows"] for batch in windows} == {0}
    assert daily["run_key"] == by_hand.run_id
    assert daily["batch_id"] < windows[-2]["batch_id"], "the run by hand had to queue behind the backfill"
    assert [mark["batch_id"] for mark in house.watermark()] == [daily["batch_id"]]
    after = house.sql("payroll", VALUES)
    assert len(after) - len(before) == daily["inserted_rows"] > 0
    assert [row for row in after if not row["employee_no"].startswith("new")] == before
    for run in house.airflow.api.runs(DAG):
        assert {*house.tasks(run).values()} == {("success", 1)}, run.run_id


def test_backwards_over_finished_runs_and_over_the_schedules_own(house: House) -> None:
    """F14 too: a finished run is cleared, a week is read again, and nothing changes."""
    rows, mark, since = house.sql("payroll", ROWS), house.watermark(), house.last_batch()
    (scheduled,) = (run for run in house.airflow.api.runs(DAG) if run.run_id.startswith("scheduled__"))

    house.backfill(*WEEK, *ALL_RUNS, "--run-backwards",
                   "--max-active-runs", "10")  # fmt: skip
    house.rest()
    now = datetime.now(UTC)
    house.backfill("--from-date", f"{now - timedelta(days=3):%F}", "--to-date", f"{now:%F}", *ALL_RUNS,
                   "--max-active-runs", "1")  # fmt: skip
    house.rest()

    again = house.batches(since)
    assert {batch["mode"] for batch in again} == {"window"}
    assert sum(batch["changed_rows"] for batch in again) == 0
    assert sum(batch["extracted_rows"] for batch in again) > 0
    assert scheduled.run_id in {batch["run_key"] for batch in again}
    assert house.sql("payroll", ROWS) == rows
    assert house.watermark() == mark

    (by_hand,) = (run for run in house.airflow.api.runs(DAG) if run.run_id.startswith("manual__"))
    house.airflow.api._call("POST", f"/dags/{DAG}/dagRuns/{quote(by_hand.run_id, safe='')}/clear", {"dry_run": False})
    house.rest()
    (cleared,) = house.batches(again[-1]["batch_id"])
    assert (cleared["mode"], cleared["changed_rows"]) == ("incremental", 0)
    assert cleared["extracted_rows"] > 0
    assert house.sql("payroll", ROWS) == rows
    assert house.watermark()[0]["source_as_of"] > mark[0]["source_as_of"]


def test_a_dry_backfill_tells_what_the_real_one_then_does(house: House) -> None:
    good = house.sql("payroll", VALUES)
    drifted = "source_event_at between '2026-01-06' and '2026-01-07'"
    house.sql("payroll", f"update hr.employee set pay_status = 'left' where {drifted} and pay_status <> 'left'")
    house.sql("payroll", f"delete from hr.employee where {drifted} and employee_no like '%7'")
    spoilt, since = house.sql("payroll", ROWS), house.last_batch()
    day = ("--from-date", "2026-01-05T12:00:00Z", "--to-date", "2026-01-06T12:00:00Z", *ALL_RUNS)

    house.backfill(*day, "--dag-run-conf", '{"dry_run": true}')
    house.rest()
    (dry,) = house.batches(since)
    (run,) = (run for run in house.airflow.api.runs(DAG) if run.run_id == dry["run_key"])
    ended = {task: state for task, (state, _try) in house.tasks(run).items()}
    assert (ended["load"], ended["reconcile"], ended["publish"]) == ("success", "skipped", "skipped")
    tries = house.tasks(run)["load"][1]
    log = json.dumps(house.get(f"/dags/{DAG}/dagRuns/{quote(run.run_id, safe='')}/taskInstances/load/logs/{tries}"))
    assert (
        f"dry run of batch {dry['batch_id']}: {dry['extracted_rows']:,} rows read, {dry['changed_rows']:,} would" in log
    )
    assert dry["inserted_rows"] > 0 < dry["updated_rows"]
    assert house.sql("payroll", ROWS) == spoilt

    house.backfill(*day)  # without saying that it is real: the run keeps its conf, as the runbook says
    house.rest()
    assert house.batches(dry["batch_id"])[0]["is_dry_run"]
    assert house.sql("payroll", ROWS) == spoilt

    house.backfill(*day, "--dag-run-conf", '{"dry_run": false}')
    house.rest()
    real = house.batches(dry["batch_id"])[-1]
    assert not real["is_dry_run"]
    assert [real[f"{what}_rows"] for what in ("inserted", "updated")] == [dry["inserted_rows"], dry["updated_rows"]]
    assert house.sql("payroll", VALUES) == good


def test_a_job_that_reads_everything_is_not_read_again_for_each_day(house: House) -> None:
    since = house.last_batch()

    house.backfill(*WEEK, "--max-active-runs", "3", dag=WHOLE_DAG)
    house.rest(WHOLE_DAG)

    assert house.batches(since, WHOLE_JOB) == []
    backfilled = [run for run in house.airflow.api.runs(WHOLE_DAG) if run.run_id.startswith("backfill__")]
    assert len(backfilled) == 7
    for run in backfilled:
        assert {state for state, _try in house.tasks(run).values()} == {"skipped"}


def test_every_airflow_command_of_the_documents_works(house: House) -> None:
    told = [line for line in commands() if line.startswith(UNDER_AIRFLOW)]

    assert len(told) >= 3
    for line in told:
        house.shell(shlex.split(line))
        house.rest()
