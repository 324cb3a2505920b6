"""Read a PostgreSQL source under one snapshot: what changed, how much there is, and up to which point.

`updated_at > last maximum` loses rows whose transaction commits late. Here a batch remembers the oldest
transaction that was still open at its snapshot; the next delta is every row version written by that transaction
or a later one (`xmin`), so a late commit is always read. That may read a row again that was read before: replay is
a no-op. The list of open transactions inside a snapshot is not used, because it leaves out subtransactions
(docs/decisions/0002-the-delta-is-a-superset.md).

The cursor column only narrows the scan by index, and is never believed: the statement that counts the whole source
counts the changed rows that bear an earlier time, too (a clock that was set back, an import that keeps its times, a
transaction open for longer than anybody saw). If there are any, the batch looks at every row: slower, never wrong.

A view or a foreign table has no row versions. There the manifest declares how late a row may appear (`source.window`),
and each batch reads that much again.

Everything here is read-only.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg
from psycopg import IsolationLevel, sql
from psycopg.sql import Composable

from syncline.adapters import connections, hash_keys
from syncline.adapters.catalog import read_catalog, table_blocks
from syncline.adapters.comparing import Listing, Ranges
from syncline.adapters.failpoints import after_each
from syncline.adapters.failures import telling
from syncline.adapters.identity import read_identity
from syncline.adapters.source_walls import source_wall_faults
from syncline.core.catalogs.fitting import drifted
from syncline.core.catalogs.fitting_source import fit_source, source_tables
from syncline.core.catalogs.tables import Table
from syncline.core.checksums import COMPARABLE_SINCE, in_hashes
from syncline.core.compile import mapped_key
from syncline.core.errors import EnvironmentFailure, SchemaDrift, SourceReplaced, TerminalError, TransientError
from syncline.core.identity import SourceIdentity
from syncline.core.job import SyncJob
from syncline.core.models import table_identifier
from syncline.core.values import NO_TENANT, TOTAL, Batch, CutOff, Lower, Mode

# Clocks of writers that set the cursor column themselves may run behind the server's by this much.
CURSOR_MARGIN_S = 3600
COPY_BUFFER_BYTES = 256 * 1024  # rows arrive one by one; smaller writes cost a system call each
XIDS = 2**32  # row versions keep this many numbers, then begin anew
LETTERS_AT_ONCE = 1_000

FLOOR = """
    select least(min(xact_start), statement_timestamp()) - make_interval(secs => {margin})
    from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()
"""


@dataclass(frozen=True)
class SourceCount:
    """What the target should hold as of the cut-off: rows per tenant; and the newest cursor value of the source."""

    tenants: dict[str, int]
    max_at: datetime | None
    read_rows: dict[str, int]  # with those flagged deleted: what a batch that reads everything reads
    hidden_rows: int = 0  # changed since the watermark, though their cursor says otherwise

    @property
    def is_cursor_true(self) -> bool:
        """Whether the cursor's index leads to every changed row of this snapshot."""
        return self.hidden_rows == 0


class Source:
    """One snapshot of a job's source. Made by `reading`; every method sees the same instant."""

    def __init__(self, job: SyncJob, session: psycopg.Connection, floor: datetime | None) -> None:
        self.job, self._session, self._floor = job, session, floor
        self.identity: SourceIdentity | None = None
        self._known: SourceIdentity | None = None  # what the watermark belongs to
        self._table: Table | None = None  # as the preflight found it
        self.is_shared = False  # it sees the instant of another session, beside others
        self.copied_rows = 0  # what the server says it sent: counted by neither the target nor us

    def cut_off(self) -> CutOff:
        """The instant that this snapshot shows."""
        row = self._session.execute("select pg_current_snapshot()::text, now()").fetchone()
        if row is None:
            raise SchemaDrift(f"{self.job.id}: the source shows no snapshot")
        floor = self._floor
        if not self.shows_row_versions and self.job.source.window is not None:
            floor = row[1] - timedelta(seconds=self.job.source.window.lag_s)
        return CutOff(snapshot=row[0], cursor_floor=floor, source_as_of=row[1])

    def recognise(self, batch: Batch, known: SourceIdentity | None) -> list[str]:
        """Compare the source with what the watermark belongs to; returns in what it differs, where that was accepted.

        Raises:
            SourceReplaced: Another server, another history of it, or another table; nothing was read.
            TransientError: A replica that does not show yet what the last batch saw.
        """
        self.identity = found = read_identity(self._session, self.job)
        if known is None or not found.is_named_like(known):
            return []
        said = found.server_differences(known)
        if self.job.default_mode is Mode.INCREMENTAL:  # who reads everything each time may be given a new table
            said += found.table_differences(known)
        if said and not batch.accepts_source:
            raise SourceReplaced(self.job.id, self.job.source.table, self.job.source.connection, said, self.job.command)
        if not said and found.is_replica and (behind := found.went_back(known)):
            raise TransientError(
                f"{self.job.id}: the replica behind '{self.job.source.connection}' is not yet where the last batch "
                f"read: {'; '.join(behind)}. Nothing was read; it may have caught up later"
            )
        self._known = None if said else known
        return said

    def notes(self) -> list[str]:
        """What has changed about the table and makes the batch read more than the delta, in words."""
        if self.identity is None or self._known is None or self.job.default_mode is not Mode.INCREMENTAL:
            return []
        table = self.job.source.table
        remade, joined = self.identity.remade_columns(self._known), self.identity.new_leaves(self._known)
        said = [f"{table}: column {name} was made anew, so every row is read" for name in remade]
        return said + ([f"{table}: {len(joined)} tables joined it, and are read whole"] if joined else [])

    def count(self, batch: Batch) -> SourceCount:
        """Rows that the target should hold, per tenant: filtered, without those flagged deleted.

        A window is judged by its own rows: what changed outside it since the watermark, another batch owes. Tenants
        without a row in it count 0, so that an empty window can be told from a source that shows nothing.
        """
        source = self.job.source
        newest: Composable = sql.SQL("null::timestamptz")
        if source.cursor:  # what Python cannot hold is no moment at which a row changed
            newest = sql.SQL("max({c}) filter (where {c} between '0001-01-02' and '9999-12-30')").format(
                c=_column(source.cursor)
            )
        counts = self._window(batch)
        if deleted := deleted_column(self.job):
            counts.append(sql.SQL("{} is not true").format(_column(deleted)))
        which = sql.SQL(" filter ({})").format(_where(counts)) if counts else sql.SQL("")
        statement = sql.SQL("select {}, count(*){}, {}, count(*), {} from {} as s{} group by 1").format(
            tenant_of(self.job),
            which,
            newest,
            self._hidden(batch),
            table_identifier(source.table),
            _where(_scope(self.job, batch.tenants)),
        )
        with self._telling("counting"):
            rows = self._session.execute(statement).fetchall()
        counted, read = ({row[0]: row[n] for row in rows} for n in (1, 3))
        newest_at = max((row[2] for row in rows if row[2] is not None), default=None)
        return SourceCount(counted, newest_at, read, hidden_rows=sum(row[4] for row in rows))

    def delta(self, batch: Batch, *, by_cursor: bool) -> Composable | None:
        """The condition over `s` that selects what this batch owes; None selects all.

        Args:
            by_cursor: Let the cursor's index find the rows: only where `count` has found none that hide from it.
        """
        parts = _scope(self.job, batch.tenants)
        if batch.mode is Mode.INCREMENTAL and batch.lower is not None:
            parts += self._owed(batch.lower, by_cursor=by_cursor)
        parts += self._window(batch)
        return sql.SQL("\n      and ").join(parts) if parts else None

    def blocks(self) -> int | None:
        """Blocks of the table as its size says now; None of what has none of its own."""
        return table_blocks(self._session, self.job.source.table)

    def share(self) -> Shared:
        """Let other sessions see the very same instant, as long as this one lives."""
        row = self._session.execute("select pg_export_snapshot()").fetchone()
        return Shared(row[0] if row else "", self._floor)

    @contextmanager
    def beside(self) -> Iterator[Source]:
        """One more session that sees the very same instant, for work at the same time."""
        with reading(self.job, shared=self.share()) as other:
            other.identity, other._known, other._table = self.identity, self._known, self._table
            yield other

    def stay(self) -> None:
        """A sign of life while others read under this snapshot: an idle session may be ended."""
        with self._telling("holding the snapshot of"):
            self._session.execute("select 1")

    def compare(self, checksums: Composable, ranges: Ranges) -> None:
        """Add up what a statement of core.checksums says about this side."""
        with self._telling("comparing"):
            ranges.ask(self._session, checksums)

    def count_living(self, batch: Batch) -> dict[str, int]:
        """Rows per tenant that the copy should hold, whenever they changed."""
        statement = sql.SQL("select {}, count(*) from {} as s{} group by 1").format(
            tenant_of(self.job), self.table, _where(self.living(batch))
        )
        with self._telling("counting"):
            return dict(self._session.execute(statement).fetchall())

    def list_rows(self, rows: Composable, listing: Listing) -> None:
        """Tell single rows by their hashes."""
        with self._telling("comparing"):
            listing.ask(self._session, rows)

    def living(self, batch: Batch) -> list[Composable]:
        """Conditions over `s` of the rows that the copy should hold, whenever they changed."""
        deleted = deleted_column(self.job)
        alive = [sql.SQL("{} is not true").format(_column(deleted))] if deleted else []
        return [*self.concerning(batch), *alive]

    def concerning(self, batch: Batch) -> list[Composable]:
        """Conditions over `s` of the rows that concern the job, those flagged deleted too."""
        return _scope(self.job, batch.tenants)

    def owed_since(self, snapshot: str, as_of: datetime) -> Composable:
        """Whether a row `s` has changed since a batch read under that snapshot, so that a later one owes it.

        Of a view only its cursor can tell; without one nothing can, and no row counts as owed.
        """
        if self.shows_row_versions:
            return self._changed_since(snapshot)
        cursor, window = self.job.source.cursor, self.job.source.window
        if cursor is None:
            return sql.SQL("false")
        begin = as_of - timedelta(seconds=window.lag_s + window.overlap_s if window is not None else 0)
        return sql.SQL("({c} >= {b} or {c} is null)").format(c=_column(cursor), b=_at(begin))

    def numbers(self, statement: sql.Composed) -> list[int]:
        """What a statement over the table gives, one number a row."""
        with self._telling("comparing"):
            return [row[0] for row in self._session.execute(statement)]

    @property
    def table(self) -> Composable:
        return table_identifier(self.job.source.table)

    @property
    def is_key_unique(self) -> bool:
        """Whether the server keeps the key unique."""
        return self._table is not None and self._table.binds(self.job.source.key)

    def is_plain(self, column: str) -> bool:
        """Whether a column is of the very type that the mapping names, so that its index finds a value of that type."""
        known = self._table.columns.get(column) if self._table is not None else None
        declared = self.job.mapping.source.get(column)
        return known is not None and known.type == declared and not known.labels and not known.domain

    @property
    def is_comparable(self) -> bool:
        return self._session.info.server_version >= COMPARABLE_SINCE

    @property
    def session(self) -> psycopg.Connection:
        """For whoever must cancel it."""
        return self._session

    def copy_out(self, select: Composable) -> Generator[bytes, None, None]:
        """Run the compiled SELECT and stream its rows as binary COPY, in blocks; no object per row. Close it."""
        statement = sql.SQL("copy ({}) to stdout (format binary)").format(select)
        buffer = bytearray()
        with self._telling("reading"), self._session.cursor() as cursor:
            with cursor.copy(statement) as rows:
                for piece in after_each("copy.after_rows", rows):
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
            # By a name that no column of the source hides: inside, a bare one would be the row's own.
            "select (w.letter ->> 0)::bigint from jsonb_array_elements({waiting}::jsonb) as w (letter)"
            " where case when w.letter -> 1 @> '[null]' then not exists (select from {table} as s where {loose}{scope})"
            " else not exists (select from {table} as s where {key}{scope}) end"
        )
        scope = _scope(self.job, None)
        if deleted := deleted_column(self.job):
            scope.append(sql.SQL("{} is not true").format(_column(deleted)))
        parts = [
            (
                _column(name),
                sql.SQL("(w.letter -> 1 ->> {})::{}").format(sql.Literal(n), self.job.mapping.source[name].sql),
            )
            for n, name in enumerate(self.job.source.key)
        ]
        key = sql.SQL(" and ").join(sql.SQL("{} = {}").format(*part) for part in parts)
        loose = sql.SQL(" and ").join(sql.SQL("{} is not distinct from {}").format(*part) for part in parts)
        for start in range(0, len(waiting), LETTERS_AT_ONCE):
            portion = json.dumps(waiting[start : start + LETTERS_AT_ONCE], ensure_ascii=False)
            asked = statement.format(
                waiting=sql.Literal(portion),
                table=table_identifier(self.job.source.table),
                key=key,
                loose=loose,
                scope=sql.SQL("").join(sql.SQL(" and ") + part for part in scope),
            )
            with self._telling("looking for rows of dead letters"):
                gone += [row[0] for row in self._session.execute(asked)]
        return gone

    def preflight(self) -> None:
        """Stop before the first row when a table that the mapping reads is not what the mapping declares."""
        source = self.job.source
        catalog = read_catalog(self._session, source_tables(self.job))
        self._table = catalog.tables.get(source.table)
        wrong = [misfit for misfit in fit_source(self.job, catalog) if misfit.weight == "certain"]
        if wrong:
            raise drifted(self.job, f"{source.table} at '{source.connection}'", wrong, "Nothing was read")
        if hidden := source_wall_faults(self._session, source_tables(self.job)):
            raise EnvironmentFailure(
                f"{self.job.id}: rows of {source.table} at '{source.connection}' are hidden, and would count as "
                f"deleted: {'; '.join(hidden)}. Nothing was read. Have the source's owner mend it."
            )

    def confirm(self) -> None:
        """Look at the tables once more, outside the snapshot: what changed while they were read stops the batch."""
        if self._table is not None and not self._session.closed:
            self.preflight()

    def columns(self) -> dict[str, str]:
        """Column -> type of the table that is read, as the preflight found it."""
        return self._table.shape if self._table is not None else {}

    @contextmanager
    def _telling(self, doing: str) -> Iterator[None]:
        source = self.job.source
        what = f"{self.job.id}: {doing} {source.table}"
        with telling(what, on=source.connection), connections.naming_holders(what, source, source.table):
            yield

    def _window(self, batch: Batch) -> list[Composable]:
        if batch.repair is not None:
            key = mapped_key(self.job.mapping, self.job.target.key)
            return [in_hashes(key, (*batch.repair.send, *batch.repair.delete))]
        if batch.mode is not Mode.WINDOW or batch.window is None:
            return []
        begin, end = batch.window
        cursor = _column(self.job.source.cursor or "")
        return [sql.SQL("{c} >= {b} and {c} < {e}").format(c=cursor, b=_at(begin), e=_at(end))]

    @property
    def shows_row_versions(self) -> bool:
        """Whether a row says which transaction wrote it."""
        return self._table is None or self._table.shows_row_versions

    def _owed(self, lower: Lower, *, by_cursor: bool) -> list[Composable]:
        """What may have changed since the watermark."""
        if self._known is not None and self.identity is not None and self.identity.remade_columns(self._known):
            return []  # the values of all rows, and no row version says so
        if not self.shows_row_versions:
            return self._since(lower)
        parts, cursor, floor = [self._changed_since(lower.snapshot)], self.job.source.cursor, lower.cursor_floor
        if by_cursor and floor is not None and cursor is not None:
            parts.insert(0, sql.SQL("({c} >= {f} or {c} is null)").format(c=_column(cursor), f=_at(floor)))
        return parts

    def _since(self, lower: Lower) -> list[Composable]:
        """Where there are no row versions: whatever bears a time from the declared overlap on, future ones too."""
        cursor, floor, window = self.job.source.cursor, lower.cursor_floor, self.job.source.window
        if cursor is None or floor is None or window is None:
            return []
        begin = floor - timedelta(seconds=window.overlap_s)
        return [sql.SQL("({c} >= {b} or {c} is null)").format(c=_column(cursor), b=_at(begin))]

    def _hidden(self, batch: Batch) -> Composable:
        """Counts rows that have changed since the watermark and whose cursor says that they have not."""
        cursor, lower = self.job.source.cursor, batch.lower
        if batch.mode is not Mode.INCREMENTAL or lower is None or lower.cursor_floor is None or cursor is None:
            return sql.SQL("0")
        if not self.shows_row_versions:
            return sql.SQL("0")
        return sql.SQL("count(*) filter (where {} < {} and {})").format(
            _column(cursor), _at(lower.cursor_floor), self._changed_since(lower.snapshot)
        )

    def _changed_since(self, snapshot: str) -> Composable:
        """Row versions of transactions that were open at the snapshot or began later.

        `xmin` has 32 bits and goes around: what counts is whether it lies between the snapshot's oldest transaction and
        today's newest, counted forwards. An older row version that lies there by chance is read again: a no-op.
        """
        oldest, top = int(snapshot.split(":")[0]), int(self.cut_off().snapshot.split(":")[1])
        changed: Composable = sql.SQL("((s.xmin::text::bigint - {}) & {}) < {}").format(
            sql.Literal(oldest), sql.Literal(XIDS - 1), sql.Literal(top - oldest)
        )
        joined = self.identity.new_leaves(self._known) if self.identity is not None and self._known is not None else ()
        if joined:
            changed = sql.SQL("({} or s.tableoid = any({}::oid[]))").format(changed, sql.Literal(list(joined)))
        return changed


@dataclass(frozen=True)
class Shared:
    """A snapshot that one session has exported and still holds, with what it knew of older transactions."""

    snapshot: str
    floor: datetime | None


@contextmanager
def reading(job: SyncJob, *, shared: Shared | None = None) -> Iterator[Source]:
    """Open the source, note who is still writing, then take the snapshot that everything is read under.

    Args:
        shared: The snapshot of another session of ours, to be taken instead of a new one.
    """
    keys = hash_keys.from_environment(job.mapping.keys)
    source = job.source
    session = connections.connect(
        source.connection, purpose=f"{job.id} extract", autocommit=True, lock_timeout_s=source.lock_timeout_s
    )
    with telling(f"{job.id}: opening {job.source.table}", on=job.source.connection), session:
        # Before the snapshot: what it misses was written by transactions that are seen here, or begin later.
        floor = session.execute(sql.SQL(FLOOR).format(margin=sql.Literal(CURSOR_MARGIN_S))).fetchone()
        session.execute("set default_transaction_read_only = on")
        session.isolation_level = IsolationLevel.REPEATABLE_READ
        session.autocommit = False
        here = Source(job, session, shared.floor if shared else floor[0] if floor else None)
        here.is_shared = shared is not None
        try:
            with session.transaction():
                if shared is not None:
                    _take(session, shared, job)
                keys.lend(session, job.source.connection)
                yield here
        except TerminalError as error:
            if type(error) in (SchemaDrift, TerminalError):  # a table that changed while it was read fails in many ways
                here.confirm()
            raise
        here.confirm()


def _take(session: psycopg.Connection, shared: Shared, job: SyncJob) -> None:
    try:
        session.execute(sql.SQL("set transaction snapshot {}").format(sql.Literal(shared.snapshot)))
    except (psycopg.errors.InvalidParameterValue, psycopg.errors.UndefinedObject):
        raise TransientError(
            f"{job.id}: the session that held the common snapshot of {job.source.table} is gone. Nothing was read; "
            f"the next try finds the new one"
        ) from None


def filter_of(job: SyncJob) -> Composable | None:
    """The manifest's filter as a condition over `s`; None without one."""
    parts = _scope(job, None)
    return sql.SQL(" and ").join(parts) if parts else None


def tenant_name(said: str | None) -> str:
    """The tenant under which a row is counted. `*` is no name: reports would take it for the total."""
    return NO_TENANT if said is None or said == TOTAL else said


def tenant_of(job: SyncJob) -> Composable:
    """The same of a row `s`."""
    if job.source.tenant is None:
        return sql.Literal(NO_TENANT)
    return sql.SQL("coalesce(nullif({}, {}), {})").format(
        _text(job.source.tenant), sql.Literal(TOTAL), sql.Literal(NO_TENANT)
    )


def deleted_column(job: SyncJob) -> str | None:
    """The source column that flags deleted rows, where the job acts on it."""
    return job.source.deleted if job.on_delete != "ignore" else None  # of a copy that keeps them, they are rows


def _scope(job: SyncJob, tenants: tuple[str, ...] | None) -> list[Composable]:
    parts: list[Composable] = [
        sql.SQL("{} in ({})").format(_column(name), sql.SQL(", ").join(map(sql.Literal, allowed)))
        for name, allowed in job.source.filter.items()
    ]
    return parts + of_tenants(job, tenants)


def of_tenants(job: SyncJob, tenants: tuple[str, ...] | None) -> list[Composable]:
    """The condition over `s` that a row belongs to one of the asked tenants; none where all are meant."""
    if tenants is None or job.source.tenant is None:
        return []
    return [sql.SQL("{} = any({}::text[])").format(_text(job.source.tenant), sql.Literal(list(tenants)))]


def _where(parts: list[Composable]) -> Composable:
    return sql.SQL(" where ") + sql.SQL(" and ").join(parts) if parts else sql.SQL("")


def _column(name: str) -> Composable:
    return sql.Identifier("s", name)


def _text(name: str) -> Composable:
    return sql.SQL("{}::text").format(_column(name))


def _at(instant: datetime) -> Composable:
    return sql.SQL("{}::timestamptz").format(sql.Literal(instant.isoformat()))
