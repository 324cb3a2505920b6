"""Two versions of a mapping over the same sample of the source: which rows would come out differently.

Both are computed by the source's own engine in one read-only transaction; nothing is written. How the answer is shown
is the shell's matter.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from psycopg import sql

from syncline.adapters import connections, revisions, source
from syncline.adapters.failures import telling
from syncline.core.compile import DELETED, REJECT, compile_mapping
from syncline.core.errors import ManifestInvalid, TerminalError
from syncline.core.findings import nearest, report
from syncline.core.manifest import SyncJob, examine_mapping, job_ids, load_job
from syncline.core.mapping import Mapping
from syncline.core.models import table_identifier

SAMPLE_ROWS_MAX = 100_000
ROWS_AT_ONCE = 1_000
MASK = "•••"


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
    job = load_job(root, job_id or _job_of(root, before, after))
    found = _shape(before, after, old, new)
    with (
        connections.connect(job.source.connection, purpose=f"{job.id} diff-mapping") as session,
        telling(f"{job.id}: comparing two mappings over {job.source.table}"),
    ):
        session.read_only = True
        masked = set() if unmask else _personal(old) | _personal(new)
        for changed in _changes(job, old, new, session, sample_rows, found):
            found.changed_rows += 1
            if len(found.rows) < shown_rows:
                found.rows.append(_masked(changed, masked, old, new))
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
    users = [job_id for job_id in job_ids(root) if load_job(root, job_id).manifest.mapping in names]
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
    with _sample(job, old, new, session, limit) as portions:
        for portion in portions:
            pairs = zip(_mapped(session, old, portion), _mapped(session, new, portion), strict=True)
            for read, (was, becomes) in zip(json.loads(portion, parse_float=str), pairs, strict=True):
                found.sampled_rows += 1
                if (changed := _changed(job, read, was, becomes)) is not None:
                    yield changed


@contextmanager
def _sample(
    job: SyncJob, old: Mapping, new: Mapping, session: psycopg.Connection, limit: int
) -> Iterator[Iterator[str]]:
    """The first living rows of the job in the order of its key, as JSON arrays of bounded size."""
    names = dict.fromkeys((*job.source.key, *old.source, *new.source))
    parts = [source.filter_of(job) or sql.SQL("true")]
    if deleted := source.deleted_column(job):
        parts.append(sql.SQL("{} is not true").format(sql.Identifier("s", deleted)))
    read = sql.SQL("select to_jsonb(r)::text from (select {} from {} as s where {} order by {} limit {}) as r").format(
        sql.SQL(", ").join(sql.Identifier("s", name) for name in names),
        table_identifier(job.source.table),
        sql.SQL(" and ").join(parts),
        sql.SQL(", ").join(sql.Identifier("s", name) for name in job.source.key),
        sql.Literal(limit),
    )
    with session.cursor("syncline_sample") as cursor:
        cursor.execute(read)
        yield iter(lambda: _portion(cursor.fetchmany(ROWS_AT_ONCE)), "")


def _portion(rows: list[Any]) -> str:
    return f"[{','.join(row[0] for row in rows)}]" if rows else ""


def _mapped(session: psycopg.Connection, mapping: Mapping, rows_json: str) -> list[dict[str, Any]]:
    """Each row of a JSON array through a mapping, in order."""
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), kind.sql) for name, kind in mapping.source.items()
    )
    one = sql.SQL('(select * from jsonb_to_record("0row"."value") as r ({}))').format(columns)
    statement = sql.SQL(
        'select to_jsonb("0mapped")::text'
        ' from jsonb_array_elements({rows}::jsonb) with ordinality as "0row" ("value", "n")'
        ' cross join lateral ({select}) as "0mapped" order by "0row"."n"'
    ).format(rows=sql.Literal(rows_json), select=compile_mapping(mapping, one).select)
    mapped = [json.loads(row[0], parse_float=str) for row in session.execute(statement)]
    for row in mapped:
        row[REJECT] = (row.pop(REJECT) or {}).get("errors", [])
        row.pop(DELETED)
    return mapped


def _changed(job: SyncJob, read: dict[str, Any], was: dict[str, Any], becomes: dict[str, Any]) -> ChangedRow | None:
    """The difference of one row; fields that only one mapping has are told once, not per row."""
    errors = was.pop(REJECT), becomes.pop(REJECT)
    shared = [name for name in was if name in becomes]
    fields = [ChangedField(name, was[name], becomes[name]) for name in shared if was[name] != becomes[name]]
    if not fields and errors[0] == errors[1]:
        return None
    return ChangedRow({name: read[name] for name in job.source.key}, fields, *errors)


def _personal(mapping: Mapping) -> set[str]:
    return {name for name, item in mapping.fields.items() if item.pii != "none"}


def _masked(row: ChangedRow, personal: set[str], old: Mapping, new: Mapping) -> ChangedRow:
    """Personal values are hidden; of a key, the columns that feed a personal field."""
    feeding = {
        column for mapping in (old, new) for name in personal & mapping.fields.keys() for column in mapping.reads(name)
    }
    return ChangedRow(
        {name: _hidden(value) if name in feeding else value for name, value in row.key.items()},
        [
            ChangedField(one.name, _hidden(one.before), _hidden(one.after)) if one.name in personal else one
            for one in row.fields
        ],
        row.errors_before,
        row.errors_after,
    )


def _hidden(value: Any) -> Any:
    return value if value is None else MASK
