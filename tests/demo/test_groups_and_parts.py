"""Parts of a batch as mapped tasks, and a group of jobs as one DAG, under a real Airflow with its own workers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.demo.house import House, living

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

WORKER, CLIENT, CONTRACT = (f"mdm__warehouse__{entity}" for entity in ("worker", "client", "contract"))
GROUP_DAG = "sync_group__engagement"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(ROOT / "include", home / "include")
    for job, bent in ((WORKER, {"source": {"parts": 4, "connections_max": 3}}), (CLIENT, {}), (CONTRACT, {})):
        path = home / "include" / "manifests" / f"{job}.yaml"
        manifest = yaml.safe_load(path.read_text())
        manifest["source"] |= bent.get("source", {})
        if job != WORKER:
            manifest |= {"group": "engagement", "schedule": {"cron": "0 2 * * *"}}
        path.write_text(yaml.safe_dump(manifest))
    with living("gp", "sync_jobs.py", "sync_groups.py", home=Path(home)) as made:
        yield made


def test_the_parts_of_a_first_read_are_tasks_and_each_row_is_read_once(house: House) -> None:
    dag = f"sync__{WORKER}"
    house.await_first_run(dag)

    (run,) = house.airflow.api.runs(dag)
    (batch,) = house.batches(0, WORKER)
    (hub,) = house.sql("mdm", "select count(*) as n from mdm.worker")
    found = house.get(f"/dags/{dag}/dagRuns/{run.run_id}/taskInstances".replace("+", "%2B"))["task_instances"]
    readers = [task for task in found if task["task_id"] == "read_parts"]
    assert [(task["map_index"], task["state"]) for task in sorted(readers, key=lambda task: task["map_index"])] == [
        (0, "success"), (1, "success"), (2, "success"),
    ]  # fmt: skip
    assert (batch["state"], batch["verdict"], batch["extracted_rows"]) == ("published", "matched", hub["n"])
    assert house.sql("warehouse", "select * from ledger.part") == []


def test_a_group_is_read_at_one_moment_and_published_at_once(house: House) -> None:
    house.await_first_run(GROUP_DAG)

    (client,), (contract,) = house.batches(0, CLIENT), house.batches(0, CONTRACT)
    assert {client["state"], contract["state"]} == {"published"}
    marks = house.sql("warehouse", "select job_id, snapshot::text from ledger.watermark where job_id = any(%s)",
                      [CLIENT, CONTRACT])  # fmt: skip
    assert len(marks) == 2
    assert len({mark["snapshot"] for mark in marks}) == 1

    again = house.airflow.api.trigger(GROUP_DAG)
    house.rest(GROUP_DAG)
    assert {run.state for run in house.airflow.api.runs(GROUP_DAG)} == {"success"}
    assert {batch["run_key"] for batch in house.batches(0, CLIENT)[1:]} == {again.run_id}
