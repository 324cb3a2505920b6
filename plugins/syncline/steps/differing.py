"""Two versions of a mapping over the same sample of the source: which rows would come out differently.

Both are computed by the source's own engine in one read-only transaction; nothing is written. How the answer is shown
is the shell's matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg

from syncline.adapters import revisions
from syncline.core.errors import ManifestInvalid, TerminalError
from syncline.core.files.findings import nearest, printable, report
from syncline.core.job import SyncJob
from syncline.core.job_files import examine_job, examine_mapping, job_ids, load_job
from syncline.core.mapping import Mapping
from syncline.steps import sampling
from syncline.steps.sampling import Sampled, mask

SAMPLE_ROWS_MAX = 100_000


@dataclass(frozen=True)
class ChangedField:
    """What one field of one row was and would be; values as JSON shows them, None where the row is rejected for it."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True)
class ChangedRow:
    """A row of the sample that the two mappings see differently. `key` is the source's key."""

    key: dict[str, Any]
    fields: list[ChangedField]
    errors_before: list[str]
    errors_after: list[str]


@dataclass
class MappingDifference:
    """Everything that differs: the shape of the target, and rows of the sample.

    Attributes:
        added, removed: Target fields that only one version has.
        retyped: Target field -> (type before, type after).
        rows: The first changed rows; `changed_rows` counts all.
    """

    before: str
    after: str
    sampled_rows: int = 0
    changed_rows: int = 0
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    retyped: dict[str, tuple[str, str]] = field(default_factory=dict)
    rows: list[ChangedRow] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not (self.changed_rows or self.added or self.removed or self.retyped)


def diff_mappings(
    root: Path, before: str, after: str, *, job_id: str | None, sample_rows: int, shown_rows: int, unmask: bool
) -> MappingDifference:
    """Compare two mappings over the first rows of their job's source.

    Args:
        before, after: A mapping's name, a path of a mapping file, or `<git revision>:<name>`.
        job_id: Whose source is sampled; without it the one job that uses the mapping.
    """
    if not 1 <= sample_rows <= SAMPLE_ROWS_MAX:
        raise TerminalError(f"--sample is 1 to {SAMPLE_ROWS_MAX}")
    with TemporaryDirectory(prefix="syncline-diff-") as scratch:
        old, new = (_read(root, said, Path(scratch)) for said in (before, after))
    if job_id is not None and job_id not in (known := job_ids(root)):
        near = nearest(job_id, known)
        raise TerminalError(
            f"there is no job '{printable(job_id[:80])}'" + (f". Did you mean '{near}'?" if near else "")
        )
    job = load_job(root, job_id or _job_of(root, before, after))
    found = _shape(before, after, old, new)
    personal = set() if unmask else sampling.personal(old) | sampling.personal(new)
    feeding = sampling.feeding(old, personal) | sampling.feeding(new, personal)
    with sampling.sampling(job, "diff-mapping", old, new) as session:
        for changed in _changes(job, old, new, session, sample_rows, found):
            found.changed_rows += 1
            if len(found.rows) < shown_rows:
                found.rows.append(_masked(changed, personal, feeding))
    return found


def _read(root: Path, said: str, scratch: Path) -> Mapping:
    """A mapping by name, file or revision; raises ManifestInvalid with all its mistakes."""
    home, name = root, said
    path = Path(said)
    revision, colon, rest = said.rpartition(":")
    if path.suffix == ".yaml" and path.is_file():
        home, name = path.resolve().parents[2], path.stem
        if path.resolve().parent != home / "include" / "mappings":
            raise TerminalError(f"{said} is not a file of include/mappings")
    elif colon:
        home, name = scratch / str(abs(hash(revision))), Path(rest).stem
        if not home.exists():
            revisions.export_include(root, revision, home)
    mapping, findings, _ = examine_mapping(home, name)
    if findings:
        raise ManifestInvalid(f"{said} has mistakes:\n{report(findings)}")
    if mapping is None:
        known = sorted(file.stem for file in (home / "include" / "mappings").glob("*.yaml"))
        near = nearest(name, known)
        raise TerminalError(
            f"there is no mapping '{said}'; write a name of include/mappings, a file, or <git revision>:<name>"
            + (f". Did you mean '{near}'?" if near else "")
        )
    return mapping


def _job_of(root: Path, before: str, after: str) -> str:
    """The one job that uses either mapping."""
    names = {Path(said.rpartition(":")[2]).stem for said in (before, after)}
    jobs = (examine_job(root, job_id)[0] for job_id in job_ids(root))  # a broken one is no reason to stop here
    users = [job.id for job in jobs if job is not None and job.manifest.mapping in names]
    if len(users) != 1:
        who = ", ".join(users) or "none"
        raise TerminalError(f"say --job: whose source is sampled? Jobs that use {' or '.join(sorted(names))}: {who}")
    return users[0]


def _shape(before: str, after: str, old: Mapping, new: Mapping) -> MappingDifference:
    types = [{name: str(item.type) for name, item in mapping.fields.items()} for mapping in (old, new)]
    return MappingDifference(
        before,
        after,
        added=[name for name in types[1] if name not in types[0]],
        removed=[name for name in types[0] if name not in types[1]],
        retyped={
            name: (was, types[1][name]) for name, was in types[0].items() if types[1].get(name, was) != was
        },
    )  # fmt: skip


def _changes(
    job: SyncJob, old: Mapping, new: Mapping, session: psycopg.Connection, limit: int, found: MappingDifference
) -> Iterator[ChangedRow]:
    sides = (sampling.sampled(job, session, one, job.source.key, limit, in_order=True) for one in (old, new))
    for was, becomes in zip(*sides, strict=True):
        found.sampled_rows += 1
        if (changed := _changed(was, becomes)) is not None:
            yield changed


def _changed(was: Sampled, becomes: Sampled) -> ChangedRow | None:
    """The difference of one row; fields that only one mapping has are told once, not per row."""
    fields = [
        ChangedField(name, value, becomes.values[name])
        for name, value in was.values.items()
        if name in becomes.values and value != becomes.values[name]
    ]
    if not fields and was.errors == becomes.errors:
        return None
    return ChangedRow(was.given, fields, was.errors, becomes.errors)


def _masked(row: ChangedRow, personal: set[str], feeding: set[str]) -> ChangedRow:
    fields = [
        ChangedField(one.name, mask(one.before), mask(one.after)) if one.name in personal else one for one in row.fields
    ]
    return ChangedRow(sampling.masked(row.key, feeding), fields, row.errors_before, row.errors_after)
