"""SYNC-001 on the real DAG files: without owner, SLA, tenancy or version there is no DAG, and the register says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncline.core.registry import take_stock
from tests.dags.jobs import CLIENT, WORKER, bag, write_job


@pytest.mark.parametrize("missing", ["owner", "sla", "tenancy", "version"])
def test_a_manifest_that_lacks_what_governs_it_makes_no_dag(home: Path, missing: str) -> None:
    write_job(home, CLIENT, **{missing: None})
    write_job(home, WORKER)

    assert bag("sync_jobs.py").dag_ids == [f"sync__{WORKER}"]
    (report,) = bag("broken_manifests.py").import_errors.values()
    assert f"include/manifests/{CLIENT}.yaml" in report
    assert f"'{missing}' is missing" in report
    broken, healthy = take_stock(home).integrations
    assert (broken.id, broken.is_broken, healthy.is_broken) == (CLIENT, True, False)
    assert f"'{missing}' is missing" in broken.as_dict()["finding"]


@pytest.mark.parametrize("missing", ["owner__team", "owner__oncall", "owner__business", "sla__latency_p99_s_max"])
def test_half_an_owner_or_half_a_promise_is_none(home: Path, missing: str) -> None:
    write_job(home, CLIENT, **{missing: None})

    assert bag("sync_jobs.py").dag_ids == []
    (report,) = bag("broken_manifests.py").import_errors.values()
    assert f"'{missing.partition('__')[2]}' is missing" in report
