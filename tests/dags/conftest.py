"""Airflow for tests: its home below var/, set before anything imports it. No server, no database is needed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT

os.environ.update(
    AIRFLOW_HOME=str(ROOT / "var" / "test" / f"airflow-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"),
    AIRFLOW__CORE__DAGS_FOLDER=str(ROOT / "dags"),
    AIRFLOW__CORE__PLUGINS_FOLDER=str(ROOT / "plugins"),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
)

from syncline.core.job import SyncJob
from syncline.core.job_files import load_job
from tests.dags.jobs import WORKER, write_job

MakeJob = Callable[..., SyncJob]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project root of its own, with no manifest yet; DAG files read it."""
    monkeypatch.setenv("SYNCLINE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def make_job(home: Path) -> MakeJob:
    """Write a job's two files and load it; keywords bend the manifest, `target__write="replace"` a nested key."""

    def make(job_id: str = WORKER, **bent: object) -> SyncJob:
        write_job(home, job_id, **bent)
        return load_job(home, job_id)

    return make


@pytest.fixture
def job(make_job: MakeJob) -> SyncJob:
    return make_job()
