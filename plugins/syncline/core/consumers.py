"""Which systems depend most on the hub: whom the monthly control SYNC-008 compares.

A consumer is a target connection. How critical it is, its jobs' manifests say; nobody keeps a second list.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from syncline.core.job import SyncJob

CONSUMERS_MAX = 5  # control SYNC-008: the five most critical
CRITICALITIES = ("critical", "high", "medium", "low")  # the worst first


def most_critical(jobs: Iterable[SyncJob], consumers_max: int = CONSUMERS_MAX) -> list[SyncJob]:
    """All jobs of the most critical consumers: consumers in rank order, each one's most critical jobs first.

    Consumers rank by their most critical job, then by how many critical jobs they have, then by name.
    """
    consumers: dict[str, list[SyncJob]] = defaultdict(list)
    for job in jobs:
        consumers[job.target.connection].append(job)
    ranked = sorted(consumers, key=lambda name: (*_rank(consumers[name]), name))
    chosen = [job for name in ranked[:consumers_max] for job in consumers[name]]
    return sorted(chosen, key=lambda job: (ranked.index(job.target.connection), _of(job), job.id))


def _rank(jobs: list[SyncJob]) -> tuple[int, int]:
    criticality = [_of(job) for job in jobs]
    return min(criticality), -criticality.count(0)


def _of(job: SyncJob) -> int:
    return CRITICALITIES.index(job.manifest.criticality)
