"""Manifests that tests bend, and DAG files as Airflow reads them."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT

WORKER = "mdm__payroll__worker"
CLIENT = "mdm__billing__client"
MANIFEST: dict[str, Any] = {
    "version": "1.2.0",
    "description": "UK workers as payroll needs them",
    "domain": "workforce",
    "criticality": "critical",
    "owner": {"team": "payroll-integration", "oncall": "oncall@example.org", "business": "head@example.org"},
    "tenancy": {"column": "tenant_id"},
    "schedule": {"cron": "15 4 * * *", "timezone": "Europe/London", "avoid": ["02:00-02:40"]},
    "sla": {"latency_p50_s_max": 7200, "latency_p99_s_max": 21600},
    "source": {
        "connection": "mdm",
        "table": "mdm.worker",
        "key": ["tenant_id", "worker_id"],
        "cursor": "updated_at",
        "tenant": "tenant_id",
        "connections_max": 3,
    },
    "target": {
        "connection": "payroll",
        "table": "hr.employee",
        "key": ["tenant_id", "employee_no"],
        "connections_max": 2,
    },
    "mapping": "worker",
    "errors": {"rejected_ratio_max": 0.05, "severity": "page"},
}
MAPPING: dict[str, Any] = {
    "version": "1.0.0",
    "source": {"tenant_id": "text", "worker_id": "text"},
    "fields": {
        "tenant_id": {"from": "tenant_id", "type": "text", "checks": ["required"]},
        "employee_no": {"from": "worker_id", "type": "text", "checks": ["required"]},
    },
}
NO_CURSOR = {"source__cursor": None}  # a source that does not say what changed: only everything can be read


def write_job(home: Path, job_id: str, **bent: object) -> Path:
    """Write manifest and mapping below `home`; `source__cursor=None` drops a nested key. Returns the manifest."""
    manifest = deepcopy(MANIFEST)
    for name, value in bent.items():
        at: dict[str, Any] = manifest
        *parents, key = name.split("__")
        for parent in parents:
            at = at[parent]
        if value is None:
            del at[key]
        else:
            at[key] = value
    folder = home / "include"
    for name, content in (("manifests/" + job_id, manifest), ("mappings/worker", MAPPING)):
        path = folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return folder / "manifests" / f"{job_id}.yaml"


def bag(file: str) -> Any:
    """What Airflow finds in one file of dags/."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(ROOT / "dags" / file), bundle_path=ROOT / "dags", bundle_name="dags-folder")
