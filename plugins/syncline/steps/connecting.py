"""Hold jobs against the databases that they connect: `syncline check --connect`. Nothing is written, no row is read.

Each connection is opened once for all jobs, read-only. One that cannot be opened is a finding of every job that names
it, at the line that names it: a check that saw nothing must not look like one that found nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from syncline.adapters import connections, target
from syncline.adapters.catalog import read_catalog
from syncline.adapters.failures import telling
from syncline.adapters.source_walls import source_wall_faults
from syncline.core.catalogs.fitting import PLACE, Misfit, Weight
from syncline.core.catalogs.fitting_source import fit_source, source_tables
from syncline.core.catalogs.fitting_target import fit_target
from syncline.core.errors import SynclineError, TransientError
from syncline.core.files import strict_yaml
from syncline.core.files.documents import Document
from syncline.core.files.findings import Finding
from syncline.core.job import SyncJob
from syncline.steps.drifting import proposal

Comparison = Callable[[SyncJob, psycopg.Connection], list[Misfit]]


@dataclass
class Compared:
    """What comparing jobs with their databases gave.

    Attributes:
        findings: Mistakes. notes: What a person should know, but may have meant.
        compared: Ids of the jobs of which both sides were looked at.
        proposals: Job -> how its files should follow tables that have changed, as a diff.
    """

    findings: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    compared: list[str] = field(default_factory=list)
    proposals: dict[str, str] = field(default_factory=dict)


def compare_with_databases(root: Path, jobs: Iterable[SyncJob], *, named: frozenset[str] = frozenset()) -> Compared:
    """Compare valid jobs with their sources and targets.

    Args:
        named: Ids of jobs that were asked for by name: for them a connection that is not configured is a finding,
            for all others a note.
    """
    jobs = list(jobs)
    misfits: dict[str, list[Misfit]] = {job.id: [] for job in jobs}
    unseen: set[str] = set()
    for connection_id in sorted({side.connection for job in jobs for side in (job.source, job.target)}):
        for job, found, is_seen in _on(connection_id, jobs, named):
            misfits[job.id] += found
            unseen |= set() if is_seen else {job.id}
    done = Compared(compared=[job.id for job in jobs if job.id not in unseen])
    for job in jobs:
        findings, notes = _placed(root, job, misfits[job.id])
        done.findings += findings
        done.notes += notes
        if change := proposal(root, job, misfits[job.id]):
            done.proposals[job.id] = change
    done.findings, done.notes = sorted(set(done.findings)), sorted(set(done.notes))
    return done


def _on(connection_id: str, jobs: list[SyncJob], named: frozenset[str]) -> Iterator[tuple[SyncJob, list[Misfit], bool]]:
    """Everything that is asked on one connection: job, what does not fit, and whether anything was seen."""
    sides: list[tuple[SyncJob, str, Comparison]] = [
        *((job, "source", source_misfits) for job in jobs if job.source.connection == connection_id),
        *((job, "target", target_misfits) for job in jobs if job.target.connection == connection_id),
    ]
    if not connections.is_configured(connection_id):
        for job, side, _ in sides:
            said = f"connection '{connection_id}' is not configured: nothing of it was compared"
            mend = f"set AIRFLOW_CONN_{connection_id.upper()} to a postgresql:// URI"
            weight: Weight = "likely" if job.id in named else "noted"
            yield job, [Misfit("manifest", (side, "connection"), PLACE, said, mend, weight=weight)], False
        return
    done = 0
    try:
        with looking_at(connection_id, "check --connect") as session:
            for job, side, compare in sides:
                found = _told(job, side, session, compare)
                done += 1
                yield job, found, True
    except SynclineError as error:
        for job, side, _ in sides[done:]:
            yield job, [_failed(side, error)], False


@contextmanager
def looking_at(connection_id: str, purpose: str) -> Iterator[psycopg.Connection]:
    """A session that can change nothing."""
    session = connections.connect(connection_id, purpose=purpose, autocommit=True)
    with session, telling(f"looking at '{connection_id}'"):
        session.execute("set default_transaction_read_only = on")
        yield session


def _told(job: SyncJob, side: str, session: psycopg.Connection, compare: Comparison) -> list[Misfit]:
    """One job's side; a failure of this one question does not silence the other jobs."""
    try:
        with telling(f"{job.id}: looking at its {side}"):
            return compare(job, session)
    except TransientError:  # the connection itself is in doubt
        raise
    except SynclineError as error:
        return [_failed(side, error)]


def _failed(side: str, error: SynclineError) -> Misfit:
    return Misfit("manifest", (side, "connection"), PLACE, str(error).rstrip("."))


def source_misfits(job: SyncJob, session: psycopg.Connection) -> list[Misfit]:
    """The tables that the job reads, and whether a policy hides rows of them."""
    found = fit_source(job, read_catalog(session, source_tables(job)))
    hidden = source_wall_faults(session, source_tables(job))
    return [*found, *(Misfit("manifest", ("source", "table"), PLACE, said) for said in hidden)]


def target_misfits(job: SyncJob, session: psycopg.Connection) -> list[Misfit]:
    """The table, the corridor, and whether the roles are bound by row-level security."""
    catalog = read_catalog(session, [job.target.table], role=job.target.role)
    found = fit_target(job, catalog)
    lacking = target.corridor_faults(job, session)
    found += [Misfit("manifest", ("target", "connection"), PLACE, said, mend) for said, mend in lacking]
    table = catalog.tables.get(job.target.table)
    where = ("tenancy", "column")
    if not lacking:
        found += [Misfit("manifest", where, "M18", *told) for told in target.grant_faults(job, session)]
    if job.tenant_column is None or table is None or lacking or "usage" not in table.rights:
        return found
    with session.transaction():
        session.execute(sql.SQL("set local role {}").format(sql.Identifier(job.target.role)))
        unbound = [said for said in target.wall_faults(job, session) if said != target.UNFORCED]
    return [*found, *(Misfit("manifest", where, "M18", said, "see include/target/README.md") for said in unbound)]


def _placed(root: Path, job: SyncJob, misfits: list[Misfit]) -> tuple[list[Finding], list[Finding]]:
    """Misfits at their lines; the files are read once more, for a valid job remembers no lines."""
    if not misfits:
        return [], []
    paths = {"manifest": f"include/manifests/{job.id}.yaml", "mapping": f"include/mappings/{job.manifest.mapping}.yaml"}
    placed: list[list[Finding]] = []
    for is_note in (False, True):
        documents = {file: strict_yaml.read(root / path, path) for file, path in paths.items()}
        for misfit in misfits:
            if (misfit.weight == "noted") is is_note:
                _add(documents[misfit.file], misfit)
        placed.append([finding for document in documents.values() for finding in document.findings])
    return placed[0], placed[1]


def _add(document: Document, misfit: Misfit) -> None:
    document.mistake(misfit.where, misfit.code, misfit.found, misfit.allowed, misfit.nearest)
