"""Who depends most on the hub: decided by the manifests alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from syncline.core.consumers import most_critical


def job(job_id: str, consumer: str, criticality: str) -> Any:
    return SimpleNamespace(
        id=job_id, target=SimpleNamespace(connection=consumer), manifest=SimpleNamespace(criticality=criticality)
    )


def ids(*jobs: Any, **limit: int) -> list[str]:
    return [chosen.id for chosen in most_critical(jobs, **limit)]


def test_a_consumer_ranks_by_its_most_critical_job_and_brings_all_of_them() -> None:
    jobs = (
        job("a", "wiki", "high"),
        job("b", "payroll", "low"),
        job("c", "payroll", "critical"),
        job("d", "crm", "medium"),
    )

    assert ids(*jobs) == ["c", "b", "a", "d"]


def test_among_equals_the_one_with_more_critical_jobs_comes_first_then_the_name() -> None:
    jobs = (
        job("a", "zeta", "critical"), job("b", "billing", "critical"), job("c", "payroll", "critical"),
        job("d", "payroll", "critical"),
    )  # fmt: skip

    assert ids(*jobs) == ["c", "d", "b", "a"]


@pytest.mark.parametrize(("limit", "consumers"), [({}, 5), ({"consumers_max": 2}, 2), ({"consumers_max": 9}, 7)])
def test_only_so_many_consumers_are_taken(limit: dict[str, int], consumers: int) -> None:
    assert len(ids(*(job(f"j{n}", f"c{n}", "high") for n in range(7)), **limit)) == consumers


def test_the_order_of_the_files_is_no_matter() -> None:
    jobs = [job("a", "x", "low"), job("b", "y", "critical"), job("c", "x", "critical")]

    assert ids(*jobs) == ids(*reversed(jobs)) == ["c", "a", "b"]


def test_without_jobs_there_is_nobody() -> None:
    assert ids() == []
