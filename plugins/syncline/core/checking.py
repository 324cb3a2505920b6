"""Check a whole project's YAML at once: every mistake of every file, sorted by place.

Only what needs all files together is decided here (a mapping that nobody uses is no mistake: it may be on its way).
"""

from __future__ import annotations

from pathlib import Path

from syncline.core.findings import Finding
from syncline.core.manifest import SyncJob, examine_job, examine_mapping, job_ids


def check_project(root: Path) -> tuple[list[SyncJob], list[Finding]]:
    """All jobs that are valid, and all findings of all files below `root/include`, each once."""
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
    for path in sorted((root / "include" / "mappings").glob("*.yaml")):
        if path.stem not in used:
            findings.update(examine_mapping(root, path.stem)[1])
    findings.update(_stray_files(root))
    return jobs, sorted(findings)


def _stray_files(root: Path) -> list[Finding]:
    """A file that looks like a manifest but is not read would be a job nobody has."""
    return [
        Finding(path.relative_to(root).as_posix(), 1, 1, "M22", "this file is not read", "name it <job>.yaml")
        for folder in ("manifests", "mappings")
        for path in sorted((root / "include" / folder).rglob("*"))
        if path.is_file() and (path.suffix != ".yaml" or path.parent.name != folder) and path.name != "README.md"
    ]
