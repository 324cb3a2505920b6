"""Propose how the files of a job should follow a table that has changed. Nothing is written: a person decides.

A proposal that mends nothing would cost its reader more than none, so the changed files are read as `syncline check`
reads them, and what still does not fit is said below the diff.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from syncline.adapters import project
from syncline.core.catalogs.drift import File, diff, proposed
from syncline.core.catalogs.fitting import Misfit
from syncline.core.errors import SchemaDrift
from syncline.core.files import strict_yaml
from syncline.core.job import SyncJob
from syncline.core.job_files import examine_job


def proposal(root: Path, job: SyncJob, misfits: Iterable[Misfit]) -> str:
    """A diff of the job's files that follows the tables, and what it leaves open; '' where only a person can say."""
    paths: dict[File, str] = {
        "manifest": f"include/manifests/{job.id}.yaml", "mapping": f"include/mappings/{job.manifest.mapping}.yaml",
    }  # fmt: skip
    documents = {file: strict_yaml.read(root / path, path) for file, path in paths.items()}
    texts = proposed(job, documents, misfits)
    if not texts:
        return ""
    left = _left(root, job, {paths[file]: text for file, text in texts.items()})
    return diff(documents, texts) + "".join(f"\n# then: {said}" for said in left)


@contextmanager
def proposing(job: SyncJob) -> Iterator[None]:
    """Have an error about tables that have changed end with the proposed change."""
    try:
        yield
    except SchemaDrift as error:
        change = proposal(project.root(), job, error.misfits) if error.misfits else ""
        if not change:
            raise
        said = SchemaDrift(f"{error}\nProposed change:\n{change}")
        said.misfits = error.misfits
        raise said from None


def _left(root: Path, job: SyncJob, texts: Mapping[str, str]) -> list[str]:
    """What `syncline check` would say about the changed files."""
    with tempfile.TemporaryDirectory(prefix="syncline-") as folder:
        tried = Path(folder)
        shutil.copytree(root / "include", tried / "include")
        for path, text in texts.items():
            (tried / path).write_text(text, encoding="utf-8")
        _, findings = examine_job(tried, job.id)
    return [str(finding) for finding in findings]
