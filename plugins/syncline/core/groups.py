"""Groups of jobs that are read at one moment and published together: customer, order and price are one truth.

Payroll's cut-off is such a group: complete and consistent in itself as of the moment at which it was read. Members read
one source and run by one schedule, which is the group's.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from syncline.core.errors import ManifestInvalid
from syncline.core.files import strict_yaml
from syncline.core.files.findings import Finding, report
from syncline.core.job import SyncJob
from syncline.core.job_files import job_ids, load_job

SAID = re.compile(r"^group:[ \t]*[\"']?([a-z0-9_]+)", re.MULTILINE)  # a quick look: the strict reader has the last word


@dataclass(frozen=True)
class Group:
    """Jobs that share one moment; at least one, sorted by id."""

    name: str
    jobs: tuple[SyncJob, ...]


def group_names(root: Path) -> dict[str, list[str]]:
    """Names of the groups that manifests declare, with the ids of their members; nothing is checked."""
    found: dict[str, list[str]] = defaultdict(list)
    for job_id in job_ids(root):
        text = (root / "include" / "manifests" / f"{job_id}.yaml").read_text(encoding="utf-8", errors="replace")
        if said := SAID.search(text):
            found[said[1]].append(job_id)
    return dict(found)


def load_group(root: Path, name: str) -> Group:
    """A group with all its members. Raises ManifestInvalid where one has mistakes, or does not fit the others."""
    return _group_of(root, name, group_names(root).get(name, ()))


def group_or_explain(root: Path, name: str, member_ids: Iterable[str]) -> Group | ManifestInvalid:
    """The group of these members, as group_names() tells them, or the report of why there is none."""
    try:
        return _group_of(root, name, member_ids)
    except ManifestInvalid as invalid:
        return invalid


def _group_of(root: Path, name: str, member_ids: Iterable[str]) -> Group:
    jobs = [load_job(root, job_id) for job_id in member_ids]
    members = tuple(job for job in jobs if job.manifest.group == name)
    if faults := list(group_faults(root, members)):
        raise ManifestInvalid(report(faults))
    return Group(name, members)


def group_faults(root: Path, jobs: Iterable[SyncJob]) -> Iterator[Finding]:
    """Members that cannot be read at one moment with the first one of their group."""
    first: dict[str, SyncJob] = {}
    for job in sorted(jobs, key=lambda one: one.id):
        if job.manifest.group is None:
            continue
        leader = first.setdefault(job.manifest.group, job)
        for what, mine, theirs in (
            ("source.connection", job.source.connection, leader.source.connection),
            ("schedule.cron", job.manifest.schedule.cron, leader.manifest.schedule.cron),
            ("schedule.timezone", job.manifest.schedule.timezone, leader.manifest.schedule.timezone),
        ):
            if mine != theirs:
                path = f"include/manifests/{job.id}.yaml"
                document = strict_yaml.read(root / path, path)
                said = f"group '{job.manifest.group}' is read at one moment, but {what} is '{mine}' here"
                mend = f"'{theirs}', as in include/manifests/{leader.id}.yaml"
                document.mistake(("group",), "M02", said, mend)
                yield from document.findings
