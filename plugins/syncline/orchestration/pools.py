"""Pools keep the promise `connections_max`: how many tasks of all jobs together may use one system at a time.

Manifests that name the same connection may promise different numbers; the smallest one is kept, because the
system's owner gave each of them and the system is one. A task takes one slot of one pool: extraction of the
source's, load and reconciliation of the target's.

A pool that Airflow does not know leaves its tasks `scheduled` for ever, and a DAG file may not ask the database
whether a pool exists. So pools are made when Syncline is installed, and again when manifests change, not by DAGs
(docs/decisions/0005-dags-from-manifests.md). This module knows no Airflow, only the file that Airflow imports:

    python -m syncline.orchestration.pools | airflow pools import /dev/stdin
"""

from __future__ import annotations

import json
from pathlib import Path

from syncline.adapters.project import root
from syncline.core.errors import ManifestInvalid
from syncline.core.job import SyncJob
from syncline.core.job_files import job_ids, load_job


def source_pool(job: SyncJob) -> str:
    return f"source_{job.source.connection}"


def target_pool(job: SyncJob) -> str:
    return f"target_{job.target.connection}"


def pools(home: Path) -> dict[str, dict[str, object]]:
    """All pools that the valid manifests below `home` need, as `airflow pools import` reads them."""
    slots: dict[str, int] = {}
    for job_id in job_ids(home):
        try:
            job = load_job(home, job_id)
        except ManifestInvalid:
            continue  # has no DAG either; `syncline check` and the import error tell its author
        for pool, side in ((source_pool(job), job.source), (target_pool(job), job.target)):
            slots[pool] = min(slots.get(pool, side.connections_max), side.connections_max)
    return {
        pool: {
            "slots": slots[pool],
            "description": f"Tasks at one time on '{pool.partition('_')[2]}': the smallest connections_max",
            "include_deferred": False,
        }
        for pool in sorted(slots)
    }


if __name__ == "__main__":
    print(json.dumps(pools(root()), indent=2))
