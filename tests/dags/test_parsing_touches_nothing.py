"""Parsing asks no database, no network, no Variable and no connection; proved by taking them all away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.dags.jobs import CLIENT, WORKER, write_job

# Parses one file in a process where every way out is walled up, from C level (audit events) to Airflow's own doors.
PARSE = """
import json, sys
import psycopg
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import Connection, Variable

touched = []

def wall(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "sqlite3.connect", "subprocess.Popen"):
        touched.append(event)
        raise RuntimeError(f"parsing must not touch {event}")

def door(name):
    def closed(*args, **kwargs):
        touched.append(name)
        raise RuntimeError(f"parsing must not ask {name}")
    return closed

sys.addaudithook(wall)
psycopg.connect = psycopg.Connection.connect = door("psycopg")
Variable.get, Connection.get = door("Variable"), door("Connection")
bag = DagBag(sys.argv[1], safe_mode=False)
print(json.dumps({"dags": sorted(bag.dag_ids), "errors": bag.import_errors, "touched": touched}))
"""


def parse(file: Path, home: Path) -> dict[str, Any]:
    environment = {
        **os.environ,
        "SYNCLINE_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg://nobody@127.0.0.1:1/nothing",
        "AIRFLOW_CONN_MDM": "postgresql://nobody@127.0.0.1:1/nothing",
    }
    done = subprocess.run(
        [sys.executable, "-c", PARSE, str(file)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


@pytest.fixture
def two_jobs(home: Path) -> Path:
    for job_id in (CLIENT, WORKER):
        write_job(home, job_id)
    return home


def test_the_dag_files_parse_with_every_way_out_walled_up(two_jobs: Path) -> None:
    assert parse(ROOT / "dags" / "sync_jobs.py", two_jobs) == {
        "dags": [f"sync__{CLIENT}", f"sync__{WORKER}"],
        "errors": {},
        "touched": [],
    }


def test_the_broken_manifests_are_told_with_every_way_out_walled_up(two_jobs: Path) -> None:
    write_job(two_jobs, CLIENT, criticality="urgent")

    told = parse(ROOT / "dags" / "broken_manifests.py", two_jobs)

    assert told["touched"] == []
    assert len(told["errors"]) == 1


@pytest.mark.parametrize(
    ("line", "touched"),
    [
        ("from airflow.sdk import Variable; Variable.get('x')", "Variable"),
        ("from airflow.sdk import Connection; Connection.get('mdm')", "Connection"),
        ("import psycopg; psycopg.connect('')", "psycopg"),
        ("import sqlite3; sqlite3.connect(':memory:')", "sqlite3.connect"),
        ("import urllib.request; urllib.request.urlopen('http://127.0.0.1:1')", "socket"),
    ],
)
def test_the_walls_hold(two_jobs: Path, line: str, touched: str) -> None:
    file = two_jobs / "touching.py"
    file.write_text(line)

    told = parse(file, two_jobs)

    assert told["errors"]
    assert told["touched"][0].startswith(touched)
