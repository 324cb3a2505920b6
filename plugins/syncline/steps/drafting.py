"""Draft a job from two tables: `syncline new`. Reads two catalogs and a sample of each side, writes two files.

The sample is looked at in memory and forgotten. Everything on the databases happens in read-only transactions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from pydantic_core import PydanticCustomError

from syncline.adapters import project
from syncline.adapters.catalog import read_catalog, tables_called
from syncline.core.catalogs.drafting import Draft, Side, Surroundings, draft
from syncline.core.catalogs.pairing import Sample
from syncline.core.catalogs.tables import Table
from syncline.core.errors import EnvironmentFailure, TerminalError
from syncline.core.files.findings import nearest, printable
from syncline.core.manifest import JOB_ID, JOB_ID_MAX
from syncline.core.models import NAME, table_identifier
from syncline.core.reference_files import ProjectReferences
from syncline.steps.connecting import looking_at

SAMPLE_ROWS = 1_000
VALUE_LENGTH_MAX = 300  # more of a value tells no more of its column; few columns are wider, and bounded
LOOK_S_MAX = 15  # for one statement: a view that takes longer would make a draft wait for nothing
TIMED_OUT = "57014"
TARGET_ROLE = "syncline_tenant"  # what a manifest's target.role is by default
EMPTY_TO_US = "row-level security shows the role no rows, or the table has none"
NOT_SAMPLED = frozenset({"bytea", "json", "jsonb"})


@dataclass(frozen=True)
class Place:
    """A table as people name it: a connection, and in it a table whose schema may be left out."""

    connection: str
    schema: str | None
    table: str

    @classmethod
    def parse(cls, text: str, option: str) -> Place:
        """Read `mdm.worker`, `mdm:hub.worker` or `mdm.hub.worker`."""
        parts = re.split(r"[.:]", text)
        is_shaped = len(parts) in (2, 3) and (":" not in text or text.index(":") == len(parts[0]))
        if not is_shaped or not all(NAME.fullmatch(part) for part in parts):
            raise TerminalError(
                f"{option} {printable(text[:140])}: write <connection>.<table> or <connection>:<schema>.<table>, "
                f"names in a-z, 0-9 and _. A table of another name can be read through a view. Nothing was written."
            )
        return cls(parts[0], parts[1] if len(parts) == 3 else None, parts[-1])


def new_job(source: str, target: str, *, entity: str = "") -> Draft:
    """Draft a job between two tables, named as `Place.parse` reads them."""
    here, there = Place.parse(source, "--source"), Place.parse(target, "--target")
    job_id = f"{here.connection}__{there.connection}__{entity or here.table}"
    if not JOB_ID.fullmatch(job_id) or len(job_id) > JOB_ID_MAX:
        raise TerminalError(
            f"'{job_id[:80]}' is not a job id: <source>__<target>__<entity> in a-z, 0-9 and single _, at most "
            f"{JOB_ID_MAX} characters. Name the entity yourself: --entity worker. Nothing was written."
        )
    root = project.root()
    _require_project(root)
    return draft(job_id, _look(here, role=None), _look(there, role=TARGET_ROLE), _around(root))


def write(made: Draft, root: Path) -> list[str]:
    """Write both files or neither: not where one exists already, nor where one cannot be written.

    Raises:
        TerminalError: A file is there already, or `root` is no project.
        EnvironmentFailure: The file system refuses.
    """
    _require_project(root)
    try:
        there = [path for path in made.files if (root / path).exists()]
    except OSError as error:
        raise _unwritable(root / "include", error) from None
    if there:
        raise TerminalError(
            f"{' and '.join(there)} exists already: a draft never overwrites. Nothing was written. Look at the new "
            f"draft with --dry-run, or name another entity: --entity."
        )
    written: list[Path] = []
    try:
        for path in sorted(
            made.files, key=lambda path: "/manifests/" in path
        ):  # a manifest alone would be a broken job
            project.write(root / path, made.files[path])
            written.append(root / path)
    except BaseException as error:
        for done in written:
            done.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _unwritable(root / path, error) from None
        raise
    return list(made.files)


def _require_project(root: Path) -> None:
    if not (root / "include" / "manifests").is_dir():
        raise TerminalError(
            f"{root.absolute()} is not a project: it has no include/manifests. Nothing was written. Say where the "
            f"project is: SYNCLINE_HOME."
        )


def _unwritable(path: Path, error: OSError) -> EnvironmentFailure:
    return EnvironmentFailure(
        f"{path} cannot be written: {error.strerror or type(error).__name__}. Nothing was written."
    )


def _around(root: Path) -> Surroundings:
    """The project's code lists, as far as they can be read: the others are `syncline check`'s matter."""
    references = ProjectReferences(root)
    lists: dict[str, dict[str, str]] = {}
    for path in sorted((root / "include" / "code_lists").glob("*.yaml")):
        with suppress(PydanticCustomError, OSError):
            found = references.code_list(path.stem)
            if not found.is_dated:
                lists[path.stem] = {code: entry.value for code, entry in found.periods()}
    return Surroundings(references, lists)


def _look(place: Place, *, role: str | None) -> Side:
    """One side's table and sample.

    Args:
        role: Whom the login becomes where it may: at a target the login itself sees no table.
    """
    with _looking(place.connection) as session:
        acting = role if role is not None and _may_become(session, role) else None
        name = f"{place.schema}.{place.table}" if place.schema else _found(session, place, acting)
        catalog = read_catalog(session, [name], role=acting)
        if name in catalog.tables and acting is not None and "select" not in catalog.tables[name].rights:
            acting = None  # the grants are still to come; perhaps the login itself may look
            catalog = read_catalog(session, [name])
        table = catalog.tables.get(name)
        if table is None:
            near = nearest(name, catalog.table_names)
            hint = f" Did you mean {near}?" if near else ""
            raise TerminalError(f"connection '{place.connection}' has no table {name}.{hint} Nothing was written.")
        return Side(place.connection, table, _sample(session, table, acting))


@contextmanager
def _looking(connection_id: str) -> Iterator[psycopg.Connection]:
    with looking_at(connection_id, "new") as session:
        session.execute(sql.SQL("set statement_timeout = {}").format(sql.Literal(f"{LOOK_S_MAX}s")))
        yield session


def _may_become(session: psycopg.Connection, role: str) -> bool:
    asked = "select pg_has_role(session_user, oid, 'member') from pg_roles where rolname = %s"
    row = session.execute(asked, [role]).fetchone()
    return bool(row and row[0])


def _found(session: psycopg.Connection, place: Place, role: str | None) -> str:
    """The one table of that name that the role, or else the login itself, may read."""
    seen, hidden = tables_called(session, place.table, role=role)
    if not seen and role is not None:
        seen, hidden = tables_called(session, place.table)
    if len(seen) == 1:
        return seen[0]
    if seen:
        choices = ", ".join(f"{place.connection}:{name}" for name in seen)
        raise TerminalError(
            f"connection '{place.connection}' has several tables {place.table}; say which: {choices}. "
            f"Nothing was written."
        )
    if hidden:
        raise EnvironmentFailure(
            f"the login of connection '{place.connection}' may not read {', '.join(hidden)}: grant usage on the schema "
            f"and select on the table, or name it with its schema for a draft without a sample. Nothing was written."
        )
    names = read_catalog(session, [f"public.{place.table}"], role=role).table_names
    near = nearest(place.table, [name.split(".")[1] for name in names])
    hint = f" Did you mean {near}?" if near else ""
    raise TerminalError(f"connection '{place.connection}' has no table {place.table}.{hint} Nothing was written.")


def _sample(session: psycopg.Connection, table: Table, role: str | None) -> Sample:
    """The first rows by the primary key: the same every time, and likely the same entities on both sides."""
    columns = [
        column for column in table.columns.values()
        if column.type is not None and column.is_readable and column.type.name not in NOT_SAMPLED
    ]  # fmt: skip
    if not {"select", "usage"} <= table.rights or (table.columns and not _readable(table)):
        return Sample(why_none="the role may not read the table")
    if not columns:
        return Sample(why_none="the table has no column of a type that can be compared")
    order = sql.SQL(", ").join(map(sql.Identifier, table.primary_key))
    statement = sql.SQL("select {} from {}{} limit {}").format(
        sql.SQL(", ").join(
            sql.SQL("left({}::text, {})").format(sql.Identifier(column.name), sql.Literal(VALUE_LENGTH_MAX))
            for column in columns
        ),
        table_identifier(table.name),
        sql.SQL(" order by ") + order if table.primary_key else sql.SQL(""),
        sql.Literal(SAMPLE_ROWS),
    )
    try:
        with session.transaction():
            if role is not None:
                session.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
            rows = session.execute(statement).fetchall()
    except psycopg.Error as error:
        if error.sqlstate is None:  # the connection is gone: there is nothing left to draft with
            raise
        return Sample(why_none=_why_failed(table, error.sqlstate))
    if not rows:
        return Sample(why_none=EMPTY_TO_US if table.has_row_security else "the table has no rows")
    return Sample({column.name: values for column, values in zip(columns, zip(*rows, strict=True), strict=True)})


def _readable(table: Table) -> list[str]:
    return [column.name for column in table.columns.values() if column.is_readable]


def _why_failed(table: Table, state: str) -> str:
    """Why no sample could be read; a server's message might quote a row, so its code alone is told."""
    if state == TIMED_OUT:
        return f"the statement took longer than {LOOK_S_MAX} s (SQLSTATE {state})"
    guarded = "; the table has row-level security, whose policies may need what only a batch sets"
    return f"the statement failed with SQLSTATE {state}" + (guarded if table.has_row_security else "")
