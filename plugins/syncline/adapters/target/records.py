"""Compare records of the copy with those of its source, one by one, in the ranges whose checksums differ.

The source's rows of those ranges travel into a temporary table of this session; both versions of a record meet here and
are judged by one server. What leaves is a key, a class, a cause and names of fields, never another value. A look is one
transaction that sees one instant and can write to no table (`syncline.look`); a difference is believed when it stands
unchanged in two looks, so that what is on its way is not called drift.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.sql import Composable

from syncline.adapters import connections
from syncline.adapters.catalog import read_catalog, table_blocks
from syncline.adapters.comparing import Listing, Ranges
from syncline.adapters.connections import WORK_MEM
from syncline.adapters.target.counting import DeadKey
from syncline.adapters.target.record_statement import (
    FOUND,
    HERE,
    OWN,
    STATES,
    WAITING,
    RecordStatement,
    Standing,
    stands,
)
from syncline.adapters.target.session import TENANT_REFUSED, listed, t
from syncline.core.checksums import (
    doubled_ranges,
    table_checksums,
    table_listing,
)
from syncline.core.errors import TenantRefused
from syncline.core.job import SyncJob
from syncline.core.record_comparison import SEVERITIES, Cause, DifferingRecord, RecordClass
from syncline.core.values import NO_TENANT

# What the source says of a row beside its fields; names that begin with a digit meet no column of a mapping.
FLAGS = {
    "0deleted": "boolean", "0rejected": "boolean", "0filtered": "boolean", "0owed": "boolean", "0overdue": "boolean",
    "0hash": "bigint", "0version": "bigint", "0tenant": "text",
}  # fmt: skip
COMBINATIONS_MAX = 200
META = {
    "look": "integer", "tenant": "text", "key": "text[]", "key_hash": "bigint", "class": "text", "columns": "text[]",
    "cause": "text", "severity": "text", "is_excused": "boolean", "here_hash": "bigint", "there_hash": "bigint",
    "here_version": "bigint", "there_version": "bigint", "here_rows": "bigint",
    "kept_class": "boolean", "kept_values": "boolean", "kept_source": "boolean",  # at each look so far
    "nth": "bigint",  # of rows without a key
}  # fmt: skip
VALUES = ("0here_hash", "0there_hash")
SOURCE = ("0here_hash", "0here_version")


class Records(RecordStatement):
    """One comparison's session on the copy."""

    def __init__(self, job: SyncJob, session: psycopg.Connection, *, keeps_columns: bool) -> None:
        super().__init__(job, session, keeps_columns=keeps_columns)
        self._tenants: tuple[str, ...] = ()
        #: Blocks of the table; None where a row's place does not name it, as in a table of partitions or children.
        self.blocks: int | None = None
        self.is_key_unique = False  # as far as the server keeps it so

    def prepare(self) -> None:
        """Make the session's temporary tables: within a look nothing can be made. Each look empties all but one."""
        self._look_at_table()
        types = self.job.mapping.fields
        here = [sql.SQL("{} {}").format(sql.Identifier(n), types[n].type.sql) for n in self.fields]
        here += [sql.SQL("{} " + kind).format(sql.Identifier(name)) for name, kind in FLAGS.items()]
        found = [sql.SQL("{} {}").format(sql.Identifier(n), self.told_as(n).sql) for n in self.job.target.key]
        found += [sql.SQL("{} " + kind).format(sql.Identifier(f"0{name}")) for name, kind in META.items()]
        tables = [
            (HERE, listed(here)),
            (OWN, sql.SQL("by_xact xid, is_other boolean")),
            (WAITING, sql.SQL("tenant text, key text[]")),
        ]
        with self._transaction("preparing the comparison"):
            for table, typed in tables:
                self._session.execute(sql.SQL("create temp table {} ({}) on commit delete rows").format(table, typed))
            self._session.execute(sql.SQL("create temp table {} ({})").format(FOUND, listed(found)))
            role = sql.Identifier(self.job.target.role)
            granted = listed([HERE, OWN, WAITING, FOUND])
            self._session.execute(sql.SQL("grant select, insert, delete on {} to {}").format(granted, role))

    def _look_at_table(self) -> None:
        """What the server says of the table; as the tenant role, because the login may not even see its schema."""
        with self._transaction("looking at the target"):
            self._become_tenant()
            known = read_catalog(self._session, [self.job.target.table]).tables.get(self.job.target.table)
            self.blocks = table_blocks(self._session, self.job.target.table)
        if known is not None:
            self.stored = {name: column.type for name, column in known.columns.items()}
            self.is_key_unique = known.binds(self.job.target.key)
            self.may_be_null = [n for n in self.job.target.key if n in known.columns and known.columns[n].is_nullable]

    @contextmanager
    def looking(self, tenants: Iterable[str], snapshot: str | None = None) -> Iterator[datetime]:
        """One instant of the copy, as the tenant role; gives the server's clock.

        Args:
            snapshot: The one of another session of ours, as it exported it.
        """
        self._tenants = tuple(tenants)
        with self._transaction("comparing"):
            self._session.execute("set transaction isolation level repeatable read")
            if snapshot is not None:
                self._session.execute(sql.SQL("set transaction snapshot {}").format(sql.Literal(snapshot)))
            self._session.execute(sql.SQL("set local work_mem = {}").format(sql.Literal(WORK_MEM)))
            self._look([tenant for tenant in self._tenants if tenant != NO_TENANT])
            if snapshot is None:
                marked = sql.SQL("insert into {} select xmin, job_id <> %s from syncline.marker").format(OWN)
                self._session.execute(marked, [self.job.id])
            row = self._session.execute("select now()").fetchone()
            self._become_tenant()
            yield row[0] if row else datetime.min

    @contextmanager
    def beside(self) -> Iterator[Records]:
        """One more session that sees the very same instant, for checksums at the same time."""
        row = self._session.execute("select pg_export_snapshot()").fetchone()
        with comparing(self.job, keeps_columns=self.keeps_columns) as other:
            other.stored = self.stored
            with other.looking(self._tenants, row[0] if row else None):
                yield other

    def count(self) -> int:
        """Rows that readers see."""
        statement = sql.SQL("select count(*) from {} as t where {}").format(self._table, self._alive())
        return int((self._session.execute(statement).fetchone() or (0,))[0])

    def ask(self, ranges: Ranges, bits: int, also: Iterable[Composable]) -> None:
        """Add up the copy's checksums."""
        relation, where = sql.SQL("{} as t").format(self._table), [self._alive(), *also]
        ranges.ask(self._session, table_checksums(relation, self.key(), self.spellings(t), bits, where=where))

    def list_rows(self, listing: Listing, where: Iterable[Composable]) -> None:
        """Tell single rows by their hashes."""
        relation = sql.SQL("{} as t").format(self._table)
        rows = table_listing(relation, self.key(), self.spellings(t), where=[self._alive(), *where])
        listing.ask(self._session, rows)

    def doubled(self, bits: int, also: Iterable[Composable]) -> list[int]:
        """Ranges in which two rows of the copy have one key: their checksums may cancel."""
        relation = sql.SQL("{} as t").format(self._table)
        statement = doubled_ranges(relation, self.key(), bits, where=[self._alive(), *also])
        return [row[0] for row in self._session.execute(statement)]

    def take(self, blocks: Iterable[bytes], waiting: Iterable[DeadKey]) -> None:
        """What the source has, and the keys of rows that wait in dead letters."""
        self._copy_in(HERE, blocks)
        with self._session.cursor() as cursor, cursor.copy(sql.SQL("copy {} from stdin").format(WAITING)) as rows:
            for letter in waiting:
                key = letter.target_key
                rows.write_row([letter.tenant_id, list(key) if key is not None else None])
        self._session.execute(sql.SQL("analyze {}").format(HERE))

    def judge(self, look: int, where: Iterable[Composable] | None, standing: Standing) -> None:
        """Note the records that differ at this look.

        Args:
            where: Conditions over `t`; None: the keys that are not settled yet.
            standing: What the last published batch has promised.
        """
        self._session.execute(sql.SQL("insert into {} {}").format(FOUND, self._differing(look, where, standing)))

    def settle(self, look: int) -> int:
        """Compare a look with the one before, if any; returns how many records must be looked at once more.

        What is gone has settled; what is excused needs no second look; what stands as it stood, untouched, is believed.
        """
        parts = {
            "found": FOUND, "look": sql.Literal(look),
            "values": stands("o", "n", *VALUES), "source": stands("o", "n", *SOURCE),
            # By the hash of the key first: a key that could not be mapped is NULL, and NULL makes every other
            # comparison a loop over all pairs.
            "same": sql.SQL('o."0key_hash" = n."0key_hash" and {}').format(stands("o", "n", *self.job.target.key)),
            "untouched": stands("o", "n", "0class", *STATES),
        }  # fmt: skip
        with self._transaction("settling the comparison"):
            self._session.execute(  # what is settled: look 0
                sql.SQL(
                    'update {found} as n set "0look" = case when {untouched} then 0 else {look} end,'
                    ' "0kept_class" = o."0kept_class" and o."0class" = n."0class",'
                    ' "0kept_values" = o."0kept_values" and {values}, "0kept_source" = o."0kept_source" and {source}'
                    ' from {found} as o where n."0look" = {look} and o."0look" = {look} - 1 and {same}'
                ).format(**parts)
            )
            self._session.execute(sql.SQL('delete from {found} where "0look" between 1 and {look} - 1').format(**parts))
            self._session.execute(
                sql.SQL('update {} set "0look" = 0 where "0look" = %s and "0is_excused"').format(FOUND), [look]
            )
            self._session.execute(sql.SQL("analyze {}").format(FOUND))
            row = self._session.execute(sql.SQL('select count(*) from {} where "0look" = %s').format(FOUND), [look])
            return int((row.fetchone() or (0,))[0])

    def give_up(self) -> None:
        """End the looks at rows that somebody kept touching.

        What differed in the same way at each of them differs, and so does what only the copy's hand kept changing. The
        rest is in flight: nobody can say what it should be.
        """
        in_flight = sql.SQL(
            'update {} set "0cause" = %s, "0is_excused" = true'
            ' where "0look" > 0 and not ("0kept_source" or "0kept_class" and "0kept_values")'
        )
        with self._transaction("settling the comparison"):
            self._session.execute(in_flight.format(FOUND), [Cause.IN_FLIGHT])
            self._session.execute(sql.SQL('update {} set "0look" = 0').format(FOUND))

    def unsettled(self, limit: int) -> list[tuple[int, list[str | None]]]:
        """Hash and key of the records that must be looked at once more."""
        statement = sql.SQL('select "0key_hash", "0key" from {} where "0look" > 0 limit {}')
        with self._transaction("reading what differs"):
            return self._session.execute(statement.format(FOUND, sql.Literal(limit))).fetchall()

    def counts(self) -> list[tuple[Any, ...]]:
        """tenant, class, cause, severity, whether it is excused, fields, keys, rows of the source that have them.

        Fields are told in their most frequent combinations; there may be as many as records.
        """
        statement = sql.SQL(
            'with told as (select "0columns" from {found} group by 1 order by count(*) desc, 1 limit {most})'
            ' select "0tenant", "0class", "0cause", "0severity", "0is_excused",'
            ' case when "0columns" in (select "0columns" from told) then "0columns" else \'{{}}\' end,'
            ' count(*), sum("0here_rows")::bigint from {found} group by 1, 2, 3, 4, 5, 6 order by 7 desc, 1, 2, 3'
        ).format(found=FOUND, most=sql.Literal(COMBINATIONS_MAX))
        with self._transaction("counting what differs"):
            return self._session.execute(statement).fetchall()

    def found(self, limit: int) -> Generator[DifferingRecord, None, None]:
        """The records that differ, not excused and severe ones first."""
        statement = sql.SQL(
            'select "0tenant", "0key", "0key_hash", "0class", "0cause", "0severity", "0is_excused", "0columns" from {}'
            ' order by "0is_excused", array_position({}::text[], "0severity"), "0tenant", "0key" limit {}'
        ).format(FOUND, sql.Literal(list(SEVERITIES)), sql.Literal(limit))
        with self._transaction("reading what differs"), self._session.cursor(name="found") as cursor:
            cursor.execute(statement)
            for tenant, key, key_hash, kind, cause, severity, is_excused, columns in cursor:
                yield DifferingRecord(
                    tenant, tuple(key), key_hash, RecordClass(kind), Cause(cause), severity, is_excused, tuple(columns)
                )

    def _look(self, tenants: list[str]) -> None:
        try:
            self._session.execute("select syncline.look(%s, %s)", [self.job.id, tenants])
        except psycopg.Error as error:
            if error.sqlstate == TENANT_REFUSED:
                raise TenantRefused(self.job.id, 0) from None
            raise


@contextmanager
def comparing(job: SyncJob, *, keeps_columns: bool) -> Iterator[Records]:
    """A session on a job's target for one comparison.

    Args:
        keeps_columns: Tell which fields differ: all fields of the rows in question travel here, not only hashes.
    """
    session = connections.connect(
        job.target.connection, purpose=f"{job.id} compare", autocommit=True, lock_timeout_s=job.target.lock_timeout_s
    )
    with session:
        yield Records(job, session, keeps_columns=keeps_columns)
