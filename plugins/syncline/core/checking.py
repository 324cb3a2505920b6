"""Check a whole project's YAML at once: every mistake of every file, sorted by place.

Only what needs all files together is decided here (a mapping that nobody uses is no mistake: it may be on its way).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from syncline.core.files.findings import Finding
from syncline.core.job import SyncJob
from syncline.core.job_files import examine_job, examine_mapping, files_below, job_ids, rivals
from syncline.core.models import NAME
from syncline.core.reference_files import KINDS, examine_reference

# Airflow gives a DAG file 50 s; at 7 ms a manifest (reading it and making its DAG) so many leave it a third.
MANIFESTS_MAX = 5_000


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
    findings.update(_stray_files(root))
    findings.update(_too_many(root))
    return jobs, sorted(findings)


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
