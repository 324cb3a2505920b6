"""Read a PostgreSQL source under one snapshot: what changed, how much there is, and up to which point.

`updated_at > last maximum` loses rows whose transaction commits late. Here a batch remembers the oldest
transaction that was still open at its snapshot; the next delta is every row version written by that transaction
or a later one (`xmin`), so a late commit is always read. That may read a row again that was read before: replay is
a no-op. The list of open transactions inside a snapshot is not used, because it leaves out subtransactions
(docs/decisions/0002-the-delta-is-a-superset.md).

The cursor column only narrows the scan by index: no row changed by a transaction that was not finished at the
snapshot can bear a time before that transaction began. Where that time cannot be known (a prepared transaction, a
role that may not see others' sessions) the whole table is scanned: slower, never wrong.

Everything here is read-only.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import IsolationLevel, sql
from psycopg.sql import Composable

from syncline.adapters import connections, hash_keys
from syncline.adapters.catalog import read_catalog
from syncline.adapters.failures import telling
from syncline.core.catalogs.fitting_source import fit_source, source_tables
from syncline.core.errors import SchemaDrift
from syncline.core.job import SyncJob
from syncline.core.models import table_identifier
from syncline.core.values import NO_TENANT, TOTAL, Batch, CutOff, Mode

# Clocks of writers that set the cursor column themselves may run behind the server's by this much.
CURSOR_MARGIN_S = 3600
COPY_BUFFER_BYTES = 256 * 1024  # rows arrive one by one; smaller writes cost a system call each
XID_RANGE = 2**32
LETTERS_AT_ONCE = 1_000

FLOOR = """
    select case when exists (select from pg_prepared_xacts where database = current_database())
                  or bool_or(state is null and backend_type = 'client backend')
                then null
                else least(min(xact_start), clock_timestamp()) - make_interval(secs => {margin}) end
    from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()
"""


@dataclass(frozen=True)
class SourceCount:
    """The whole source as of the cut-off: rows per tenant, and the newest cursor value."""

    tenants: dict[str, int]
    max_at: datetime | None


class Source:
    """One snapshot of a job's source. Made by `reading`; every method sees the same instant."""

    def __init__(self, job: SyncJob, session: psycopg.Connection, floor: datetime | None) -> None:
        self.job, self._session, self._floor = job, session, floor
        self.copied_rows = 0  # what the server says it sent: counted by neither the target nor us

    def cut_off(self) -> CutOff:
        """The instant that this snapshot shows."""
        row = self._session.execute("select pg_current_snapshot()::text, now()").fetchone()
        if row is None:
            raise SchemaDrift(f"{self.job.id}: the source shows no snapshot")
        return CutOff(snapshot=row[0], cursor_floor=self._floor, source_as_of=row[1])

    def count(self, tenants: tuple[str, ...] | None) -> SourceCount:
        """Rows that the target should hold, per tenant: filtered, without those flagged deleted."""
        source = self.job.source
        tenant = _text(source.tenant) if source.tenant else sql.Literal(NO_TENANT)
        newest: Composable = sql.SQL("null::timestamptz")
        if source.cursor:  # what Python cannot hold is no moment at which a row changed
            newest = sql.SQL("max({c}) filter (where {c} between '0001-01-02' and '9999-12-30')").format(
                c=_column(source.cursor)
            )
        alive: Composable = sql.SQL("")
        if deleted := deleted_column(self.job):
            alive = sql.SQL(" filter (where {} is not true)").format(_column(deleted))
        statement = sql.SQL("select {}, count(*){}, {} from {} as s{} group by 1").format(
            tenant, alive, newest, table_identifier(source.table), _where(_scope(self.job, tenants))
        )
        with self._telling("counting"):
            rows = self._session.execute(statement).fetchall()
        counted: Counter[str] = Counter()
        for row in rows:
            counted[tenant_name(row[0])] += row[1]
        return SourceCount(dict(counted), max((row[2] for row in rows if row[2] is not None), default=None))

    def delta(self, batch: Batch) -> Composable | None:
        """The condition over `s` that selects what this batch owes; None selects all."""
        parts = _scope(self.job, batch.tenants)
        if batch.mode is Mode.INCREMENTAL and batch.lower is not None:
            parts += self._changed_since(batch.lower.snapshot, batch.lower.cursor_floor)
        if batch.mode is Mode.WINDOW and batch.window is not None:
            begin, end = batch.window
            cursor = _column(self.job.source.cursor or "")
            parts.append(sql.SQL("{c} >= {b} and {c} < {e}").format(c=cursor, b=_at(begin), e=_at(end)))
        return sql.SQL("\n      and ").join(parts) if parts else None

    def copy_out(self, select: Composable) -> Generator[bytes, None, None]:
        """Run the compiled SELECT and stream its rows as binary COPY, in blocks; no object per row. Close it."""
        statement = sql.SQL("copy ({}) to stdout (format binary)").format(select)
        buffer = bytearray()
        with self._telling("reading"), self._session.cursor() as cursor:
            with cursor.copy(statement) as rows:
                for piece in rows:
                    buffer += piece
                    if len(buffer) >= COPY_BUFFER_BYTES:
                        yield bytes(buffer)
                        buffer.clear()
            self.copied_rows = cursor.rowcount
            if buffer:
                yield bytes(buffer)

    def vanished(self, waiting: list[tuple[int, list[str | None]]]) -> list[int]:
        """Of dead letters (id, source key), those whose row is no longer in this snapshot, or no longer concerns us."""
        gone: list[int] = []
        statement = sql.SQL(
            "select (w ->> 0)::bigint from jsonb_array_elements({waiting}::jsonb) as w"
            " where not exists (select from {table} as s where {key}{scope})"
        )
        scope = _scope(self.job, None)
        if deleted := deleted_column(self.job):
            scope.append(sql.SQL("{} is not true").format(_column(deleted)))
        key = sql.SQL(" and ").join(
            sql.SQL("{} = (w -> 1 ->> {})::{}").format(_column(name), sql.Literal(n), self.job.mapping.source[name].sql)
            for n, name in enumerate(self.job.source.key)
        )
        for start in range(0, len(waiting), LETTERS_AT_ONCE):
            portion = json.dumps(waiting[start : start + LETTERS_AT_ONCE], ensure_ascii=False)
            asked = statement.format(
                waiting=sql.Literal(portion),
                table=table_identifier(self.job.source.table),
                key=key,
                scope=sql.SQL("").join(sql.SQL(" and ") + part for part in scope),
            )
            with self._telling("looking for rows of dead letters"):
                gone += [row[0] for row in self._session.execute(asked)]
        return gone

    def preflight(self) -> None:
        """Stop before the first row when a table that the mapping reads is not what the mapping declares."""
        source = self.job.source
        catalog = read_catalog(self._session, source_tables(self.job))
        wrong = [misfit.said for misfit in fit_source(self.job, catalog) if misfit.weight == "certain"]
        if wrong:
            raise SchemaDrift(
                f"{self.job.id}: {source.table} at '{source.connection}' differs from the mapping: {'; '.join(wrong)}. "
                f"Nothing was read. Mend include/mappings/{self.job.manifest.mapping}.yaml or the source; "
                f"`syncline check --connect {self.job.id}` says how."
            )

    @contextmanager
    def _telling(self, doing: str) -> Iterator[None]:
        source = self.job.source
        what = f"{self.job.id}: {doing} {source.table}"
        with telling(what), connections.naming_holders(what, source.connection, source.table):
            yield

    def _changed_since(self, snapshot: str, floor: datetime | None) -> list[Composable]:
        oldest = int(snapshot.split(":")[0])
        top = int(self.cut_off().snapshot.split(":")[1])
        base = top - top % XID_RANGE
        xid = sql.SQL("s.xmin::text::bigint")
        # xmin has 32 bits: one above the newest transaction belongs to the round before.
        widened = sql.SQL("{x} + case when {x} > {low} then {before} else {base} end").format(
            x=xid, low=sql.Literal(top % XID_RANGE), before=sql.Literal(base - XID_RANGE), base=sql.Literal(base)
        )
        parts: list[Composable] = [sql.SQL("({} >= {})").format(widened, sql.Literal(oldest))]
        if floor is not None and self.job.source.cursor is not None:
            cursor = _column(self.job.source.cursor)
            parts.insert(0, sql.SQL("({c} >= {f} or {c} is null)").format(c=cursor, f=_at(floor)))
        return parts


@contextmanager
def reading(job: SyncJob) -> Iterator[Source]:
    """Open the source, note who is still writing, then take the snapshot that everything is read under."""
    keys = hash_keys.from_environment(job.mapping.keys)
    session = connections.connect(job.source.connection, purpose=f"{job.id} extract", autocommit=True)
    with session, telling(f"{job.id}: opening {job.source.table}"):
        # Before the snapshot: a transaction that begins later cannot have written what the snapshot misses.
        floor = session.execute(sql.SQL(FLOOR).format(margin=sql.Literal(CURSOR_MARGIN_S))).fetchone()
        session.execute("set default_transaction_read_only = on")
        session.isolation_level = IsolationLevel.REPEATABLE_READ
        session.autocommit = False
        with session.transaction():
            keys.lend(session, job.source.connection)
            yield Source(job, session, floor[0] if floor else None)


def filter_of(job: SyncJob) -> Composable | None:
    """The manifest's filter as a condition over `s`; None without one."""
    parts = _scope(job, None)
    return sql.SQL(" and ").join(parts) if parts else None


def tenant_name(said: str | None) -> str:
    """The tenant under which a row is counted. `*` is no name: reports would take it for the total."""
    return NO_TENANT if said is None or said == TOTAL else said


def deleted_column(job: SyncJob) -> str | None:
    """The source column that flags deleted rows, where the job acts on it."""
    return job.source.deleted if job.on_delete != "ignore" else None


def _scope(job: SyncJob, tenants: tuple[str, ...] | None) -> list[Composable]:
    parts: list[Composable] = [
        sql.SQL("{} in ({})").format(_column(name), sql.SQL(", ").join(map(sql.Literal, allowed)))
        for name, allowed in job.source.filter.items()
    ]
    if tenants is not None and job.source.tenant is not None:
        parts.append(sql.SQL("{} = any({}::text[])").format(_text(job.source.tenant), sql.Literal(list(tenants))))
    return parts


def _where(parts: list[Composable]) -> Composable:
    return sql.SQL(" where ") + sql.SQL(" and ").join(parts) if parts else sql.SQL("")


def _column(name: str) -> Composable:
    return sql.Identifier("s", name)


def _text(name: str) -> Composable:
    return sql.SQL("{}::text").format(_column(name))


def _at(instant: datetime) -> Composable:
    return sql.SQL("{}::timestamptz").format(sql.Literal(instant.isoformat()))
