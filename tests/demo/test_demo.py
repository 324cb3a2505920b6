"""The demo as a newcomer runs it: real Airflow, real databases, real dbt; its sheet held against hand-written SQL.

These are the slowest tests of the house (minutes): one whole demo with a small world, and one interrupted half way.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from demo.servers import EmbeddedServer
from tests.conftest import ROOT

SMALL = {"SYNCLINE_DEMO_WORKERS": "1500", "SYNCLINE_DEMO_CLIENTS": "100", "SYNCLINE_DEMO_CONTRACTS": "2000"}
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def var() -> Iterator[Path]:
    folder = ROOT / "var" / "test" / f"demo-{os.getpid()}"
    folder.mkdir(parents=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def start(var: Path) -> subprocess.Popen[str]:
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "SYNCLINE"))}
    return subprocess.Popen(
        [sys.executable, "-m", "demo.run", "--once"],
        cwd=ROOT, env={**outside, **SMALL, "SYNCLINE_VAR": str(var)}, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def running_below(var: Path) -> list[str]:
    """Programs that still mention the demo's folder: everything it starts does, in its command or environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(var) in " ".join(process.cmdline()) or process.environ().get("SYNCLINE_VAR") == str(var):
                found.append(" ".join(process.cmdline())[:100])
        except psutil.Error:
            continue
    return found


def query(admin: str, database: str, statement: str) -> list[dict[str, Any]]:
    with psycopg.connect(make_conninfo(admin, dbname=database), row_factory=dict_row) as session:
        return session.execute(statement.encode()).fetchall()


def count(admin: str, database: str, what: str) -> int:
    return int(query(admin, database, f"select count(*) as n from {what}")[0]["n"])


def test_an_interrupted_demo_stops_all_it_started(var: Path) -> None:
    demo = start(var)
    assert demo.stdout is not None
    for line in demo.stdout:
        if "Round 1" in line:
            break
    time.sleep(3)  # tasks are running now
    demo.send_signal(signal.SIGINT)

    demo.communicate(timeout=90)
    assert demo.returncode == 128 + signal.SIGINT
    assert running_below(var) == []


def test_the_demo_syncs_reconciles_and_publishes(var: Path) -> None:
    """Right after the interrupted one, in the same folder: it can be run again at once."""
    demo = start(var)
    told, _ = demo.communicate(timeout=840)
    assert demo.returncode == 0, told[-3000:]
    assert "Every batch is matched with its source and published." in told
    assert running_below(var) == []

    with EmbeddedServer(var / "postgres", password=(var / "secrets" / "postgres").read_text().strip()) as server:
        admin = server.admin_conninfo
        assert count(admin, "warehouse", "ledger.batch where state <> 'published'") <= 7  # the interrupted round
        last = "select distinct on (job_id) * from ledger.batch order by job_id, batch_id desc"
        assert {row["verdict"] for row in query(admin, "warehouse", last)} == {"matched"}
        open_letters = "ledger.dead_letter where state = 'open' and job_id = 'mdm__{}__{}'"

        employees = count(admin, "payroll", "hr.employee")
        british = count(admin, "mdm", "mdm.worker where country_code = 'GB' and not is_deleted")
        assert 0 <= british - employees <= count(admin, "warehouse", open_letters.format("payroll", "worker"))
        for entity in ("worker", "client", "contract"):
            kept = count(admin, "warehouse", f"dw.{entity} where not is_deleted")
            source = count(admin, "mdm", f"mdm.{entity} where not is_deleted")
            letters = count(admin, "warehouse", open_letters.format("warehouse", entity))
            assert 0 <= source - kept <= letters, entity
            assert count(admin, "warehouse", f"pub.pub_warehouse__{entity}") == kept, entity
        assert count(admin, "warehouse", "pub.pub_sync_freshness") == 7
        assert count(admin, "warehouse", "pub.pub_reconciliation") == 7
        assert count(admin, "warehouse", "ledger.audit_broken") == 0
    assert list((var / "data_docs").rglob("index.html"))
