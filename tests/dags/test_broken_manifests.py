"""A broken manifest is an import error of its own, names file and line, and takes no other DAG away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from syncline.core.files import strict_yaml
from tests.dags.conftest import MakeJob
from tests.dags.jobs import CLIENT, WORKER, bag, write_job


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """From here on a worker asks for one DAG, as Airflow says it in the environment of a task."""
    return lambda dag_id: monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", dag_id)


@pytest.fixture
def two_jobs(home: Path) -> Path:
    for job_id in (CLIENT, WORKER):
        write_job(home, job_id)
    return home


def test_healthy_jobs_stay_when_another_ones_manifest_breaks(two_jobs: Path) -> None:
    write_job(two_jobs, CLIENT, criticality="urgent")

    jobs = bag("sync_jobs.py")

    assert jobs.dag_ids == [f"sync__{WORKER}"]
    assert jobs.import_errors == {}  # one here would make Airflow hide every DAG of the file


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("", ":1:1:"),
        ("version: [", ":"),
        ("version: 1.0.0\nversion: 1.0.0\n", ":2:1:"),
        ("just words", ":1:1:"),
        ("\x00", ":1:1:"),
        ("a: !!python/object/apply:os.system [x]", ":1:"),
    ],
)
def test_no_text_of_a_manifest_takes_other_dags_away(two_jobs: Path, text: str, at: str) -> None:
    (two_jobs / "include" / "manifests" / f"{CLIENT}.yaml").write_text(text)

    assert bag("sync_jobs.py").dag_ids == [f"sync__{WORKER}"]
    (report,) = bag("broken_manifests.py").import_errors.values()
    assert f"include/manifests/{CLIENT}.yaml{at}" in report


def test_the_import_error_stands_in_a_file_of_its_own_and_names_every_mistake(two_jobs: Path) -> None:
    write_job(two_jobs, CLIENT, criticality="urgent")
    write_job(two_jobs, "mdm__warehouse__client", schedule__timezone="Europe/Londn")

    broken = bag("broken_manifests.py")

    assert broken.dag_ids == []
    assert list(broken.import_errors) == ["broken_manifests.py"]
    report = broken.import_errors["broken_manifests.py"]
    assert f"include/manifests/{CLIENT}.yaml:4:14:" in report
    assert "include/manifests/mdm__warehouse__client.yaml:" in report
    assert "Europe/London" in report  # the nearest right name


def test_the_import_error_goes_when_the_manifest_is_mended(two_jobs: Path) -> None:
    write_job(two_jobs, CLIENT, criticality="urgent")
    assert bag("broken_manifests.py").import_errors
    write_job(two_jobs, CLIENT)

    assert bag("broken_manifests.py").import_errors == {}
    assert set(bag("sync_jobs.py").dag_ids) == {f"sync__{CLIENT}", f"sync__{WORKER}"}


def test_a_schedule_that_never_comes_takes_no_dag_away(two_jobs: Path) -> None:
    write_job(two_jobs, CLIENT, schedule__cron="0 0 30 2 *")  # would fail when Airflow computes the next run

    assert bag("sync_jobs.py").dag_ids == [f"sync__{WORKER}"]
    assert f"{CLIENT}.yaml" in bag("broken_manifests.py").import_errors["broken_manifests.py"]


def test_a_worker_builds_only_the_dag_that_it_runs(
    two_jobs: Path, asked_for: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, real = [], strict_yaml.read

    def spy(path: Path, shown_as: str) -> strict_yaml.Document:
        read.append(shown_as)
        return real(path, shown_as)

    monkeypatch.setattr(strict_yaml, "read", spy)

    asked_for(f"sync__{WORKER}")
    assert bag("sync_jobs.py").dag_ids == [f"sync__{WORKER}"]

    assert read == [f"include/manifests/{WORKER}.yaml", "include/mappings/worker.yaml"]


def test_a_worker_is_not_disturbed_by_other_jobs_mistakes(two_jobs: Path, asked_for: Callable[[str], None]) -> None:
    write_job(two_jobs, CLIENT, criticality="urgent")

    asked_for(f"sync__{WORKER}")
    assert bag("sync_jobs.py").import_errors == {}
    assert bag("broken_manifests.py").import_errors == {}


def test_a_task_of_a_broken_manifest_says_file_and_line_in_its_log(
    two_jobs: Path, asked_for: Callable[[str], None]
) -> None:
    write_job(two_jobs, CLIENT, criticality="urgent")

    asked_for(f"sync__{CLIENT}")
    report = bag("sync_jobs.py").import_errors["sync_jobs.py"]

    assert f"include/manifests/{CLIENT}.yaml:4:14:" in report


@pytest.mark.parametrize("file", ["sync_jobs.py", "broken_manifests.py"])
def test_airflow_takes_the_files_for_dag_files(file: str, make_job: MakeJob) -> None:
    from airflow.utils.file import might_contain_dag

    from tests.conftest import ROOT

    assert might_contain_dag(str(ROOT / "dags" / file), safe_mode=True), f"{file} needs the words airflow and dag"
