"""Check a whole project's YAML at once: every mistake of every file, sorted by place.

Only what needs all files together is decided here (a mapping that nobody uses is no mistake: it may be on its way).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Set
from datetime import datetime
from pathlib import Path

from syncline.core.calendar_week import Collision, collisions
from syncline.core.cron import in_zone, moment
from syncline.core.files import strict_yaml
from syncline.core.files.findings import Finding
from syncline.core.groups import group_faults
from syncline.core.job import SyncJob
from syncline.core.job_files import examine_job, examine_mapping, files_below, job_ids, rivals
from syncline.core.models import NAME
from syncline.core.reference_files import KINDS, examine_reference

# Airflow gives a DAG file 50 s; at 7 ms a manifest (reading it and making its DAG) so many leave it a third.
MANIFESTS_MAX = 5_000
JOBS_SHOWN = 3  # of those that meet; the others are counted


def check_project(root: Path) -> tuple[list[SyncJob], list[Finding]]:
    """All jobs that are valid, and all findings of all files below `root/include` that jobs are made of, each once."""
    jobs: list[SyncJob] = []
    findings: set[Finding] = set()
    used: set[str] = set()
    for job_id in job_ids(root):
        job, found = examine_job(root, job_id)
        findings.update(found)
        if job is not None:
            used.add(job.manifest.mapping)
            if not found:
                jobs.append(job)
    for folder in ("mappings", *KINDS):
        for path in sorted((root / "include" / folder).glob("*.yaml")):
            if wrong := _unfit(path, root):
                findings.add(wrong)
            elif folder != "mappings":
                findings.update(examine_reference(root, folder, path.stem)[2])
            elif path.stem not in used:
                findings.update(examine_mapping(root, path.stem)[1])
    findings.update(_runs_in_closed_hours(root, jobs))
    findings.update(group_faults(root, jobs))
    findings.update(_stray_files(root))
    findings.update(_too_many(root))
    return jobs, sorted(findings)


def coming_week(
    root: Path, jobs: list[SyncJob], now: datetime, among: Set[str] | None = None
) -> list[tuple[Collision, Finding]]:
    """What meets in the week after an aware instant, each with its place: the schedule of the job that leads."""
    return [(one, _at_cron(root, one.jobs[0], _told(one, jobs), one.allowed)) for one in collisions(jobs, now, among)]


def _told(one: Collision, jobs: list[SyncJob]) -> str:
    schedule = next(job.manifest.schedule for job in jobs if job.id == one.jobs[0])
    others = f" and {len(one.jobs) - JOBS_SHOWN} more" if len(one.jobs) > JOBS_SHOWN else ""
    again = f"{one.times} times in the coming week, first" if one.times > 1 else "once in the coming week,"
    return f"{one.said}: {again} {moment(one.at, schedule.timezone)}: {', '.join(one.jobs[:JOBS_SHOWN])}{others}"


def _runs_in_closed_hours(root: Path, jobs: list[SyncJob]) -> Iterator[Finding]:
    """A system is one, whichever manifest says when it must be left alone; a job's own windows its manifest judges."""
    closed: dict[str, dict[tuple[str, str], str]] = defaultdict(dict)
    for job in jobs:
        for side in (job.source, job.target):
            for said in side.avoid:
                closed[side.connection].setdefault(in_zone(said, job.manifest.schedule.timezone), job.id)
    for job in jobs if closed else ():
        schedule = job.manifest.schedule
        for connection in {job.source.connection, job.target.connection} & closed.keys():
            for (clock_range, zone), elsewhere in closed[connection].items():
                at = job.manifest.meets(f"{clock_range} {zone}", zone, schedule.run_minutes)
                if at is None or job.id == elsewhere:
                    continue
                said = (
                    f"`cron` runs at {at} for {schedule.run_minutes} minutes, when '{connection}' is closed: "
                    f"{clock_range} {zone}, as include/manifests/{elsewhere}.yaml says"
                )
                yield _at_cron(
                    root, job.id, said, "move it; and say that `avoid` here too, so that no late run meets it"
                )


def _at_cron(root: Path, job_id: str, said: str, allowed: str) -> Finding:
    """A finding at a valid manifest's schedule; the file is read once more, for a valid job remembers no lines."""
    path = f"include/manifests/{job_id}.yaml"
    document = strict_yaml.read(root / path, path)
    document.mistake(("schedule", "cron"), "M08", said, allowed)
    return document.findings[-1]


def _unfit(path: Path, root: Path) -> Finding | None:
    """Why a file that others name by its stem is not even read."""
    shown, folder = path.relative_to(root).as_posix(), f"include/{path.parent.name}"
    if path.is_symlink() and not path.resolve().is_relative_to(path.parent.resolve()):
        return Finding(shown, 1, 1, "M17", f"a link that leads out of {folder}", "put the file itself here")
    if not path.is_file():
        return Finding(shown, 1, 1, "M12", "the file cannot be read", "put a file here, not a folder or a broken link")
    if not NAME.fullmatch(path.stem):
        said = f"'{path.stem[:80]}' is a name that no other file can say"
        return Finding(shown, 1, 1, "M22", said, "name it in a-z, 0-9 and _, at most 63")
    return None


def _stray_files(root: Path) -> Iterator[Finding]:
    """A file that looks like a manifest but is not read would be a job nobody has."""
    for name in ("manifests", "mappings", *KINDS):
        folder = root / "include" / name
        for path in files_below(folder):
            if (path.suffix == ".yaml" and path.parent == folder) or path.name == "README.md":
                continue
            shown = path.relative_to(root).as_posix()
            yield Finding(shown, 1, 1, "M22", "this file is not read", f"name it include/{name}/<name>.yaml")
            for rival in rivals(folder, path.stem):
                if folder / rival != path:
                    said = f"'{path.stem}' is also the name of include/{name}/{rival}"
                    yield Finding(shown, 1, 1, "M04", said, "one file per name")


def _too_many(root: Path) -> Iterator[Finding]:
    found = len(job_ids(root))
    if found > MANIFESTS_MAX:
        said = f"{found} manifests; Airflow would give up reading them"
        yield Finding("include/manifests", 1, 1, "M23", said, f"at most {MANIFESTS_MAX} in one project")
