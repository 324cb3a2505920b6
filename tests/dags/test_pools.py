"""Pools keep each system's connection budget, across all jobs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from syncline.orchestration.pools import pools
from tests.dags.jobs import CLIENT, WORKER, write_job


def slots(home: Path) -> dict[str, object]:
    return {name: pool["slots"] for name, pool in pools(home).items()}


def test_a_pool_has_the_smallest_number_that_any_manifest_promises(home: Path) -> None:
    write_job(home, WORKER, source__connections_max=5)
    write_job(home, CLIENT, source__connections_max=2, target__connection="billing", target__connections_max=7)

    assert slots(home) == {"source_mdm": 2, "target_billing": 7, "target_payroll": 2}


def test_a_system_that_is_read_and_written_has_two_budgets(home: Path) -> None:
    write_job(home, WORKER, target__connection="mdm")

    assert slots(home) == {"source_mdm": 3, "target_mdm": 2}


def test_a_broken_manifest_changes_no_pool(home: Path) -> None:
    write_job(home, WORKER)
    write_job(home, CLIENT, source__connections_max=1, criticality="urgent")

    assert slots(home) == {"source_mdm": 3, "target_payroll": 2}


def test_the_command_prints_what_airflow_imports(home: Path) -> None:
    write_job(home, WORKER)
    command = [sys.executable, "-m", "syncline.orchestration.pools"]

    printed = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)

    assert printed == pools(home)
    for pool in printed.values():
        assert pool.keys() == {"slots", "description", "include_deferred"}  # what `airflow pools import` insists on
