"""One session on a job's target for one batch: transactions, the fence, the tenant role, and the SQL all rooms share.

What a transaction may touch is decided here: it passes the job's fence and opens the tenant scope (`syncline.enter`),
then becomes the tenant role. Nothing in these rooms adds a tenant filter of its own to a write: row-level security is
the tenant boundary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime

import psycopg
from psycopg import sql
from psycopg.sql import Composable

from syncline.adapters import connections
from syncline.adapters.catalog import read_catalog
from syncline.adapters.failures import telling
from syncline.core.checksums import COMPARABLE_SINCE, Columns
from syncline.core.compile import REJECT, VERSION
from syncline.core.errors import Fenced, TenantRefused
from syncline.core.job import SyncJob
from syncline.core.models import table_identifier
from syncline.core.values import NO_TENANT, Balance, Batch, Counts

FENCED, TENANT_REFUSED = "SY001", "SY002"  # include/target/001_corridor.sql
Column = Callable[[str], Composable]


class TargetSession:
    """What all rooms of the target stand on; each public method of theirs is a transaction of its own."""

    def __init__(self, job: SyncJob, batch: Batch, session: psycopg.Connection) -> None:
        self.job, self.batch, self._session = job, batch, session
        self._table = table_identifier(job.target.table)
        self._staged: Composable = sql.Identifier("staged", f"{job.id}__{batch.batch_id}")
        self._place: Composable = sql.SQL("s.ctid")  # which staged row it is
        self._ranges = sql.Identifier("staged", f"{job.id}__{batch.batch_id}__r")  # those that differ
        self._keys = sql.Identifier("staged", f"{job.id}__{batch.batch_id}__k")  # what the source has there
        self._parts = sql.Identifier("staged", f"{job.id}__{batch.batch_id}__p")  # numbers of those that are staged
        self._has_scope = False  # without one row-level security answers with an error
        self._enums: dict[str, Composable] = {}  # target column -> its enumeration, as the load found them

    @property
    def session(self) -> psycopg.Connection:
        """For whoever must cancel it."""
        return self._session

    @property
    def is_comparable(self) -> bool:
        return self._session.info.server_version >= COMPARABLE_SINCE

    def loaded(self) -> Balance | None:
        """The counts of the marker: proof that this batch was loaded, whatever became of the attempt."""
        with self._transaction("reading its marker"):
            return self._marker()

    def _enter(self, tenants: Iterable[str]) -> None:
        asked = [tenant for tenant in tenants if tenant != NO_TENANT]
        self._has_scope = bool(asked) or self.job.tenant_column is None
        try:
            self._session.execute("select syncline.enter(%s, %s, %s)", [self.job.id, self.batch.epoch, asked])
        except psycopg.Error as error:
            if error.sqlstate == FENCED:
                raise Fenced(self.job.id, self.batch.batch_id, self.batch.epoch) from None
            if error.sqlstate == TENANT_REFUSED:
                raise TenantRefused(self.job.id, self.batch.batch_id) from None
            raise

    def _become_tenant(self) -> None:
        self._session.execute(sql.SQL("set local role {}").format(sql.Identifier(self.job.target.role)))

    def grants(self) -> set[str]:
        """The tenants that the target's owner lets the job touch; `*` is all of them."""
        with self._transaction("reading its grants"):
            rows = self._session.execute("select tenant_id from syncline.job_tenant where job_id = %s", [self.job.id])
            return {row[0] for row in rows}

    def _has_staging(self) -> bool:
        known = self._session.execute("select to_regclass(%s)", [self._staged.as_string(None)]).fetchone()
        return known is not None and known[0] is not None

    def _size_of(self, table: Composable) -> int:
        row = self._session.execute("select pg_relation_size(to_regclass(%s))", [table.as_string(None)]).fetchone()
        return (row[0] if row else None) or 0

    def _find_enums(self) -> dict[str, Composable]:
        """Enumerations among the columns: PostgreSQL takes no text for one without a cast."""
        table = read_catalog(self._session, [self.job.target.table]).tables.get(self.job.target.table)
        columns = table.columns.values() if table is not None else ()
        return {column.name: sql.Identifier(*column.enum) for column in columns if column.enum is not None}

    def _marker(self) -> Balance | None:
        row = self._session.execute(
            "select counts from syncline.marker where batch_id = %s", [self.batch.batch_id]
        ).fetchone()
        return None if row is None else Balance({tenant: Counts(**counts) for tenant, counts in row[0].items()})

    def _as_of(self) -> Composable:
        """The source's clock at the batch's snapshot."""
        upper = self.batch.upper
        return sql.SQL("{}::timestamptz").format(sql.Literal(upper.source_as_of.isoformat() if upper else None))

    def _stamps(self, loaded_at: datetime) -> dict[str, Composable]:
        """Columns that the loader fills, with their values."""
        stamps = self.job.target.stamps
        filled: dict[str, Composable] = {}
        if stamps.batch is not None:
            filled[stamps.batch] = sql.Literal(self.batch.batch_id)
        if stamps.loaded_at is not None:
            filled[stamps.loaded_at] = sql.SQL("{}::timestamptz").format(sql.Literal(loaded_at.isoformat()))
        return filled

    @property
    def _is_soft(self) -> bool:
        return self.job.on_delete == "soft"

    def _value(self, name: str) -> Composable:
        """A staged value as its column takes it."""
        return sql.SQL("{}::{}").format(s(name), self._enums[name]) if name in self._enums else s(name)

    def _same_key(self) -> Composable:
        return sql.SQL(" and ").join(sql.SQL("{} = {}").format(t(name), s(name)) for name in self.job.target.key)

    def _columns(self, names: Iterable[str]) -> Columns:
        return {name: (t(name), self.job.mapping.fields[name].type) for name in names}

    def key(self) -> Columns:
        """The key over `t`."""
        return self._columns(self.job.target.key)

    def _copy_in(self, table: Composable, blocks: Iterable[bytes]) -> None:
        """Fill a table from a binary COPY stream."""
        copy = sql.SQL("copy {} from stdin (format binary)").format(table)
        with self._session.cursor() as cursor, cursor.copy(copy) as rows:
            for block in blocks:
                rows.write(block)

    def _alive(self) -> Composable:
        """Of a row of the target: readers see it, it is not softly deleted."""
        deleted = self.job.target.deleted
        return sql.SQL("{} is not true").format(t(deleted)) if deleted is not None else sql.SQL("true")

    def _tenant_text(self, side: Column) -> Composable:
        """The tenant of a row of either side, as counts and markers spell it."""
        column = self.job.tenant_column
        return sql.SQL("{}::text").format(side(column)) if column is not None else sql.Literal(NO_TENANT)

    def _key_text(self, side: Column) -> Composable:
        """The target key of a row of either side, as markers spell it."""
        return sql.SQL("array[{}]").format(listed(sql.SQL("{}::text").format(side(n)) for n in self.job.target.key))

    def _tenant_of_staged(self) -> Composable:
        """The tenant of a staged row; of one whose tenant could not be mapped, what its source said."""
        if self.job.tenant_column is None:
            return sql.Literal(NO_TENANT)
        return sql.SQL("coalesce({}::text, {} #>> {}, '')").format(
            s(self.job.tenant_column), s(REJECT), sql.Literal(["payload", self.job.source.tenant or ""])
        )

    def _is_newer(self) -> Composable:
        """Whether the target's version of a row is the newer one (law 5). Unknown versions do not decide."""
        version = self.job.target.version
        if self.job.target.side_table:
            return self._is_agreed_newer()
        if version is None:
            return sql.SQL("false")
        return sql.SQL("coalesce({} > {}, false)").format(t(version), s(version))

    def _is_agreed_newer(self) -> Composable:
        """Whether another job has agreed on a newer version of the row, beside a table that has no column for it."""
        return sql.SQL(
            "exists (select from syncline.agreed as a where a.relation = {} and a.tenant_id = {}"
            " and a.key = {} and a.version > {} and a.job_id <> {})"
        ).format(
            sql.Literal(self.job.target.table),
            self._tenant_text(t),
            self._key_text(t),
            s(VERSION),
            sql.Literal(self.job.id),
        )

    @contextmanager
    def _transaction(self, what: str) -> Iterator[None]:
        """One transaction, all or nothing; what the driver says about it is told in our words."""
        with (
            telling(self._doing(what), on=self.job.target.connection),
            connections.naming_holders(self._doing(what), self.job.target, self.job.target.table, "syncline.fence"),
            self._session.transaction(),
        ):
            yield

    def _doing(self, what: str) -> str:
        batch = f"batch {self.batch.batch_id}: " if self.batch.batch_id else ""  # a comparison has none
        return f"{self.job.id}: {batch}{what} at '{self.job.target.connection}'"


def listed(parts: Iterable[Composable]) -> Composable:
    return sql.SQL(", ").join(parts)


def assigned(settings: dict[str, Composable]) -> Composable:
    """Columns with their new values, for an UPDATE."""
    return listed(sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in settings.items())


def s(name: str) -> Composable:
    """A column of the staging table."""
    return sql.Identifier("s", name)


def t(name: str) -> Composable:
    """A column of the target table."""
    return sql.Identifier("t", name)
