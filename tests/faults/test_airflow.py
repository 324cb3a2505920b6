"""Airflow itself fails in the middle of a run: rows F09 to F12 of FAULTS.md, with a real one on loopback.

A run is stopped at a place of the test's choosing: its extraction waits for a lock on the hub. Then a part of Airflow
dies, comes back, the lock goes, and the run must end as if nothing had been. Minutes each: `make faults`.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from demo.airflow import API_SERVER, PARTS, Airflow, DagRun
from demo.problems import free_port
from demo.processes import Started, stop
from demo.servers import EmbeddedServer
from demo.vault import Vault
from syncline.orchestration.pools import pools
from tests.conftest import ROOT, Postgres
from tests.faults.invariants import converged, invariants
from tests.integration.conftest import JOB, LEDGER_RESET, SOURCE_DDL, TARGET_DDL, Lab
from tests.integration.faults import backends, markers, person, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

DAG = f"sync__{JOB}"
RUN_WAIT_S = 420  # a retry waits 30 to 45 s, a lost heartbeat is noticed after 20
IMPATIENT = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
}


@dataclass
class House:
    """One Airflow, its metadata server, and the lab that its only DAG works in."""

    airflow: Airflow
    metadata: EmbeddedServer
    lab: Lab
    uris: dict[str, str]
    dead: list[Started] = field(default_factory=list)

    def kill(self, part: str) -> None:
        """End one part as a power cut would; what it started is left behind."""
        process, started = self.airflow._running[part]
        self.dead.append(started)
        process.send_signal(signal.SIGKILL)
        process.wait(10)

    def revive(self) -> None:
        """Start again what has ended, as whatever keeps Airflow's parts running does."""
        for part, (process, started) in list(self.airflow._running.items()):
            if process.poll() is not None:
                self.dead.append(started)
                self.airflow._start_part(part, PARTS[part])

    def healthy(self) -> None:
        until("Airflow is healthy", lambda: not self.airflow.api.unhealthy_parts(), seconds=120)
        self.airflow.api.log_in()

    def empty(self) -> None:
        """Two people in the hub, nothing in target and ledger."""
        self.lab.sql("mdm", SOURCE_DDL)
        self.lab.sql("payroll", TARGET_DDL)
        self.lab.ledger(LEDGER_RESET)
        self.lab.hub(person("p1"), person("p2", tenant_id="t2"))

    def end_of(self, run: DagRun) -> str:
        """How a run ended; parts that end meanwhile are started again."""
        deadline = time.monotonic() + RUN_WAIT_S
        while time.monotonic() < deadline:
            self.revive()
            try:
                if (now := self.airflow.api.run(run.dag_id, run.run_id)).is_over:
                    return now.state
            except Exception as error:  # the API server is on its way up
                print(f"asking again: {type(error).__name__}")
            time.sleep(2)
        raise AssertionError(f"the run was not over after {RUN_WAIT_S} s")


@pytest.fixture(scope="module")
def house(pg: Postgres, world_uris: dict[str, str]) -> Iterator[House]:
    var = ROOT / "var" / "test" / f"af-{os.getpid()}"
    home, dags = var / "home", var / "dags"
    dags.mkdir(parents=True)
    shutil.copy(ROOT / "dags" / "sync_jobs.py", dags)
    vault = Vault(var / "secrets")
    vault.key("payload")
    lab = Lab(pg.admin_conninfo, home)
    lab.manifest["owner"]["oncall"] = "lab-oncall"
    _ = lab.job
    metadata = EmbeddedServer(var / "metadata")
    airflow = None
    try:
        metadata.start()
        with psycopg.connect(metadata.admin_conninfo, autocommit=True) as admin:
            admin.execute("create database airflow")
        airflow = Airflow(
            var,
            database_uri=make_uri(metadata),
            port=free_port(),
            vault=vault,
            dags=dags,
            environment={
                **{f"AIRFLOW_CONN_{name}": uri for name, uri in world_uris.items() if name != "AIRFLOW"},
                **IMPATIENT,
                "SYNCLINE_HOME": str(home),
                "SYNCLINE_VAR": str(var),
                "SYNCLINE_PAYLOAD_KEY_FILE": str(vault.folder / "payload"),
            },
        )
        airflow.prepare(pools(home))
        airflow.start()
        made = House(airflow, metadata, lab, world_uris)
        until("the DAG is there", lambda: DAG in airflow.api.dag_ids(), seconds=120)
        made.empty()
        airflow.api.set_paused(DAG, False)  # the schedule owes a run, which must not come in between later
        until("the owed run is over", lambda: [run for run in airflow.api.runs(DAG) if run.is_over], seconds=180)
        yield made
        stop(made.dead, grace_s=0)
    finally:
        if airflow is not None:
            airflow.stop()
        metadata.stop()
        shutil.rmtree(var, ignore_errors=True)


def make_uri(server: EmbeddedServer) -> str:
    return server.admin_conninfo.rpartition("/")[0] + "/airflow"


@pytest.fixture
def fresh(house: House) -> House:
    """The house with an empty hub, target and ledger."""
    house.revive()
    house.healthy()
    until("no session of an earlier test is left", lambda: not backends(house.lab), seconds=120)
    house.empty()
    return house


@contextmanager
def stopped_while_reading(house: House) -> Iterator[DagRun]:
    """A run whose extraction waits for a lock on the hub, until the block is left."""
    with psycopg.connect(make_conninfo(house.lab.admin, dbname="mdm")) as other:
        other.execute("lock table lab.person in access exclusive mode")
        run = house.airflow.api.trigger(DAG)
        waiting = "select pid from pg_stat_activity where wait_event_type = 'Lock' and application_name like %s"
        until("it waits", lambda: house.lab.sql("mdm", waiting, f"syncline {JOB} extract"), seconds=120)
        yield run


def published_once(house: House) -> None:
    lab = house.lab
    until("no session of the line is left", lambda: not backends(lab), seconds=60)
    assert lab.people() == {"t1/p1": "Ann", "t2/p2": "Ann"}
    published = lab.ledger("select batch_id, inserted_rows from ledger.batch where state = 'published'")
    assert [row["inserted_rows"] for row in published] == [2]
    assert markers(lab) == [published[0]["batch_id"]]
    tries = lab.ledger("select step, count(*) as n from ledger.attempt group by 1")
    assert max(row["n"] for row in tries) <= 4, "R: more than three retries"
    invariants(lab)
    converged(lab)


def test_F10_a_second_scheduler_takes_over_from_a_killed_one_and_the_run_completes_once(fresh: House) -> None:
    with stopped_while_reading(fresh) as run:
        fresh.kill("scheduler")
        fresh.revive()
        fresh.healthy()
    assert fresh.end_of(run) == "success"
    published_once(fresh)


def test_F11_a_task_that_ends_while_the_api_server_is_down_loses_nothing(fresh: House) -> None:
    with stopped_while_reading(fresh) as run:
        fresh.kill(API_SERVER)
    time.sleep(60)  # as the table says: longer than a short pause, and than a task's own patience
    fresh.revive()
    fresh.healthy()
    assert fresh.end_of(run) == "success"
    published_once(fresh)


def test_F12_a_restart_of_the_metadata_database_in_mid_run_loses_nothing(fresh: House) -> None:
    with stopped_while_reading(fresh) as run:
        fresh.metadata.stop("immediate")
        time.sleep(5)
        fresh.metadata.start()
    assert fresh.end_of(run) == "success"
    published_once(fresh)


def test_F09_a_task_that_was_frozen_past_its_heartbeat_is_refused_when_it_wakes(fresh: House) -> None:
    frozen: list[psutil.Process] = []
    try:
        with stopped_while_reading(fresh) as run:
            frozen = task_and_supervisor(fresh.lab)
            for process in frozen:
                process.suspend()
            said = "select count(*) as n from ledger.attempt where step = 'extract_and_map'"
            until("Airflow has tried again", lambda: fresh.lab.ledger(said)[0]["n"] > 1, seconds=180)
        assert fresh.end_of(run) == "success"
    finally:
        for process in frozen:
            process.resume()
    published_once(fresh)


def task_and_supervisor(lab: Lab) -> list[psutil.Process]:
    """The process at the other end of the waiting session, and the one that reports its heartbeat."""
    asked = "select client_port from pg_stat_activity where application_name like %s and wait_event_type = 'Lock'"
    port = lab.sql("mdm", asked, f"syncline {JOB} extract")[0]["client_port"]
    task = next(
        psutil.Process(each.pid) for each in psutil.net_connections("tcp") if each.laddr and each.laddr.port == port and each.pid
        and psutil.Process(each.pid).name() != "postgres"
    )  # fmt: skip
    return [process for process in (task.parent(), task) if process is not None]
