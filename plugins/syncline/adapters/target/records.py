"""Compare records of the copy with those of its source, one by one, in the ranges whose checksums differ.

The source's rows of those ranges travel into a temporary table of this session; both versions of a record meet here and
are judged by one server. What leaves is a key, a class, a cause and names of fields, never another value. A look is one
transaction that sees one instant and can write to no table (`syncline.look`); a difference is believed when it stands
unchanged in two looks, so that what is on its way is not called drift.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
from syncline.adapters.target.session import TENANT_REFUSED, Column, TargetSession, listed, s, t
from syncline.core.checksums import (
    Columns,
    doubled_ranges,
    hash_of,
    key_hash,
    table_checksums,
    table_listing,
)
from syncline.core.equality import differs, is_exact, spelled
from syncline.core.errors import TenantRefused
from syncline.core.job import SyncJob
from syncline.core.record_comparison import SEVERITIES, Cause, DifferingRecord, RecordClass, worst
from syncline.core.transforms import template
from syncline.core.types import PgType
from syncline.core.values import NO_TENANT, Batch, Mode, State

# What the source says of a row beside its fields; names that begin with a digit meet no column of a mapping.
FLAGS = {
    "0deleted": "boolean", "0rejected": "boolean", "0filtered": "boolean", "0owed": "boolean", "0overdue": "boolean",
    "0hash": "bigint", "0version": "bigint",
}  # fmt: skip
HERE, FOUND, OWN, WAITING = (sql.Identifier("pg_temp", n) for n in ("here_row", "found", "own_writes", "waiting"))
COMBINATIONS_MAX = 200
META = {
    "look": "integer", "tenant": "text", "key": "text[]", "key_hash": "bigint", "class": "text", "columns": "text[]",
    "cause": "text", "severity": "text", "is_excused": "boolean", "here_hash": "bigint", "there_hash": "bigint",
    "here_version": "bigint", "there_version": "bigint", "here_rows": "bigint",
}  # fmt: skip
EXCUSED = (Cause.IN_FLIGHT, Cause.HELD_BATCH, Cause.DEAD_LETTER, Cause.CONFLICT_KEPT)


@dataclass(frozen=True)
class Standing:
    """What the last published batch of a job has promised.

    Attributes:
        as_of: Up to when it had read the source; None where none was ever published.
        is_fresh: Younger than the manifest's SLA allows.
        is_held: A later batch was held.
    """

    as_of: datetime | None
    is_fresh: bool
    is_held: bool


class Records(TargetSession):
    """One comparison's session on the copy."""

    def __init__(self, job: SyncJob, session: psycopg.Connection, *, keeps_columns: bool) -> None:
        super().__init__(job, Batch(0, job.id, "", Mode.FULL, State.OPEN, 0), session)
        fields = job.mapping.fields
        needed = {*job.target.key, *filter(None, [job.target.version])}
        self.keeps_columns = keeps_columns
        self._tenants: tuple[str, ...] = ()
        self.stored: dict[str, PgType | None] = {}  # column -> its type
        #: Blocks of the table; None where a row's place does not name it, as in a table of partitions or children.
        self.blocks: int | None = None
        self.may_be_null: list[str] = []  # columns of the key
        self.is_key_unique = False  # as far as the server keeps it so
        #: Fields whose values travel: all, or what a hash cannot decide.
        self.fields = tuple(n for n in fields if keeps_columns or n in needed or not is_exact(fields[n]))
        self.hashed = tuple(n for n in fields if keeps_columns or is_exact(fields[n]))

    def prepare(self) -> None:
        """Make the session's temporary tables: within a look nothing can be made. Each look empties all but one."""
        self._look_at_table()
        types = self.job.mapping.fields
        here = [sql.SQL("{} {}").format(sql.Identifier(n), types[n].type.sql) for n in self.fields]
        here += [sql.SQL("{} " + kind).format(sql.Identifier(name)) for name, kind in FLAGS.items()]
        found = [sql.SQL("{} {}").format(sql.Identifier(n), self._key_type(n).sql) for n in self.job.target.key]
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
            self.is_key_unique = known.is_unique(self.job.target.key)
            self.may_be_null = [n for n in self.job.target.key if n in known.columns and known.columns[n].is_nullable]

    def _key_type(self, name: str) -> PgType:
        """As the copy stores it: it may have keys that the mapping's type would round or refuse."""
        return self.stored.get(name) or self.job.mapping.fields[name].type

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

    def spellings(self, side: Column, names: Iterable[str] | None = None) -> Columns:
        """What is hashed of a row of either side."""
        fields = self.job.mapping.fields
        return {name: spelled(side(name), fields[name], self.stored.get(name)) for name in names or fields}

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

        What is gone has settled; what is excused needs no second look; what stands as it stood is believed.
        """
        told = ["0class", "0here_hash", "0there_hash", "0here_version", "0there_version"]
        names = [*told, *self.job.target.key]  # a key that could not be mapped is NULL
        same = sql.SQL(" and ").join(
            sql.SQL("o.{n} is not distinct from n.{n}").format(n=sql.Identifier(name)) for name in names
        )
        # By the hash of the key first: NULL makes every other comparison a loop over all pairs.
        same = sql.SQL('o."0key_hash" = n."0key_hash" and {}').format(same)
        parts = {"found": FOUND, "same": same, "look": sql.Literal(look)}
        with self._transaction("settling the comparison"):
            self._session.execute(  # what stands in both looks is settled: look 0
                sql.SQL(
                    'update {found} as n set "0look" = 0 from {found} as o where n."0look" = {look}'
                    ' and o."0look" = {look} - 1 and {same}'
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
        """What changed at each look is in flight: nobody can say what it should be."""
        with self._transaction("settling the comparison"):
            self._session.execute(
                sql.SQL('update {} set "0cause" = %s, "0is_excused" = true, "0look" = 0 where "0look" > 0').format(
                    FOUND
                ),
                [Cause.IN_FLIGHT],
            )

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

    # --- the statement

    def _differing(self, look: int, where: Iterable[Composable] | None, standing: Standing) -> Composable:
        """Both sides joined by key: one row for each record that differs, with what is to be said of it."""
        key = self.job.target.key
        judged = sql.SQL(
            "with there as materialized (\n"
            '  select {there}, {hash} as "0hash", t.xmin::text::bigint as "0version",\n'
            '    t.xmin in (select by_xact from {own}) as "0ours",\n'
            '    t.xmin in (select by_xact from {own} where is_other) as "0others"\n'
            "  from {table} as t where {where}),\n"
            "twice as ({twice}),\n"
            'met as (select {key}, s."0deleted" is not null as is_here, t."0hash" is not null as is_there,\n'
            '    not (s."0deleted" or s."0filtered") as lives, s."0deleted", s."0filtered", s."0rejected",'
            ' s."0owed", s."0overdue", t."0ours", t."0others", s."0hash" as here_hash, t."0hash" as there_hash,\n'
            '    s."0version" as here_version, t."0version" as there_version,\n'
            '    {newer} as is_newer, case when not s."0rejected" and {differs}'
            " then {columns} else '{{}}' end as columns\n"
            "  from ({here}) as s full join there as t on {same}),\n"
            "classed as (select *, {class_} as class from met),\n"
            "caused as (select *, {cause} as cause from classed where class is not null)\n"
        ).format(
            there=listed(t(name) for name in self.fields),
            hash=hash_of(self.spellings(t, self.hashed)),
            own=OWN,
            table=self._table,
            where=sql.SQL(" and ").join([self._alive(), *(where if where is not None else [self._again()])]),
            twice=self._twice(),
            key=listed(sql.SQL("coalesce({}, {}) as {}").format(s(n), t(n), sql.Identifier(n)) for n in key),
            newer=self._newer(),
            columns=self._differing_columns(),
            here=self._living_first(),
            # Where only some fields travel, the hash is of the others alone.
            differs=sql.SQL('s."0hash" is distinct from t."0hash"' if self.keeps_columns else "true"),
            same=self._same_key(),
            class_=self._class(),
            cause=self._cause(standing),
        )
        typed = {name: (sql.Identifier("r", name), self.job.mapping.fields[name].type) for name in key}
        return judged + sql.SQL(
            "select distinct {key}, {look}, {tenant}, {texts}, {hash}, class,"
            " case when {keeps} and class = 'mismatched' then columns else '{{}}' end, cause, {severity}, {excused},"
            " case when class <> 'duplicate_key' then here_hash end,"
            " case when class <> 'duplicate_key' then there_hash end,"
            " case when class <> 'duplicate_key' then here_version end,"
            " case when class <> 'duplicate_key' then there_version end, {rows} from caused as r"
            ' where not exists (select from {found} as z where z."0look" = 0 and {settled})'
        ).format(
            key=listed(value for value, _ in typed.values()),
            look=sql.Literal(look),
            tenant=self._tenant_of(),
            texts=self._key_text(_r),
            hash=key_hash(typed),
            keeps=sql.Literal(self.keeps_columns),
            severity=self._severity(),
            excused=self._excused(standing),
            rows=self._rows_of_source(),
            found=FOUND,
            settled=self._one_key("z", "r"),
        )

    def _living_first(self) -> Composable:
        """The source's rows; one that is deleted or filtered does not stand beside a living one of its key."""
        return sql.SQL(
            'select * from {here} as d where not (("0deleted" or "0filtered") and exists (select from {here} as l'
            ' where {same} and not (l."0deleted" or l."0filtered")))'
        ).format(here=HERE, same=self._one_key("d", "l"))

    def _again(self) -> Composable:
        """Over `t`: its key has not settled yet, or is none, as where a table takes NULL in a key."""
        again = sql.SQL('exists (select from {} as n where n."0look" > 0 and {})').format(
            FOUND, self._one_key("t", "n")
        )
        if not self.may_be_null:
            return again
        nulls = sql.SQL(" or ").join(sql.SQL("{} is null").format(t(name)) for name in self.may_be_null)
        return sql.SQL("({} or {})").format(again, nulls)

    def _one_key(self, one: str, other: str) -> Composable:
        return sql.SQL(" and ").join(
            sql.SQL("{} = {}").format(sql.Identifier(one, name), sql.Identifier(other, name))
            for name in self.job.target.key
        )

    def _twice(self) -> Composable:
        """Keys that one side has more than once."""
        key = listed(map(sql.Identifier, self.job.target.key))
        return sql.SQL(
            "select {key} from there group by {key} having count(*) > 1 union"
            ' select {key} from {here} where not ("0deleted" or "0filtered") group by {key} having count(*) > 1'
        ).format(key=key, here=HERE)

    def _newer(self) -> Composable:
        """Whether the copy's version of the row is the newer one (law 5)."""
        if self.job.target.side_table:
            return sql.SQL(
                "exists (select from syncline.agreed as a where a.relation = {} and a.tenant_id = {} and a.key = {}"
                " and a.job_id <> {})"
            ).format(
                sql.Literal(self.job.target.table), self._tenant_text(t), self._key_text(t), sql.Literal(self.job.id)
            )
        return self._is_newer()

    def _differing_columns(self) -> Composable:
        """Names of the fields that differ; where only hashes travel, that some do."""
        fields = self.job.mapping.fields
        said: list[Composable] = [
            template("case when {d} then {n}::text end", d=differs(s(n), t(n), fields[n]), n=sql.Literal(n))
            for n in self.fields
            if n not in self.job.target.key
        ]
        if not self.keeps_columns:
            said.append(sql.SQL('case when s."0hash" is distinct from t."0hash" then \'*\'::text end'))
        return template("array_remove(array[{said}]::text[], null)", said=listed(said))

    def _class(self) -> Composable:
        kinds = {
            "twice": RecordClass.DUPLICATE_KEY,
            "mismatched": RecordClass.MISMATCHED,
            "in_target": RecordClass.MISSING_IN_TARGET,
            "in_source": RecordClass.MISSING_IN_SOURCE,
        }
        return sql.SQL(
            "case when exists (select from twice where {same}) then case when is_there or lives then {twice} end"
            " when coalesce(lives, false) and is_there"
            '   then case when "0rejected" or cardinality(columns) > 0 then {mismatched} end'
            " when coalesce(lives, false) then {in_target}"
            " when is_there then {in_source} end"
        ).format(
            same=self._one_key("twice", "met"),
            **{name: sql.Literal(kind.value) for name, kind in kinds.items()},
        )

    def _cause(self, standing: Standing) -> Composable:
        """Why: the first that can be shown, in the order of `Cause`."""
        on_its_way = template(
            'case when "0overdue" then {late} else {flying} end',
            late=sql.Literal(Cause.OVERDUE.value),
            flying=sql.Literal((Cause.HELD_BATCH if standing.is_held else Cause.IN_FLIGHT).value),
        )
        waits = sql.SQL(
            "exists (select from {waiting} as w where w.tenant = {tenant} and (w.key = {key}"
            " or w.key is null and array_position({key}, null) is not null))"
        ).format(waiting=WAITING, tenant=self._tenant_of(_c), key=self._key_text(_c))
        cause = {f"c_{cause.name.lower()}": sql.Literal(cause.value) for cause in Cause}
        is_append = sql.Literal(self.job.target.write == "append")
        return sql.SQL(
            "case when class = 'duplicate_key' then {c_unknown}"
            ' when "0rejected" and {waits} and coalesce("0ours", true) then {c_dead_letter}'
            # What the next batch brings excuses what ours wrote, not what somebody else did to it meanwhile.
            ' when "0owed" and (class <> \'mismatched\' or "0ours") then {on_its_way}'
            " when class <> 'missing_in_source' then case"
            "   when {waits} and (class <> 'mismatched' or \"0ours\") then {c_dead_letter}"
            '   when "0rejected" then {c_unknown}'
            "   when class = 'missing_in_target'"
            "     then case when {marked} then {c_conflict_kept} when {promised} then {c_foreign_write}"
            "     else {c_unknown} end"
            '   when "0ours" and {append} or "0others" and is_newer then {c_conflict_kept}'
            '   when not "0ours" then {c_foreign_write} else {c_unknown} end'
            ' when not "0ours" then {c_foreign_write}'
            ' when "0filtered" and not "0deleted" then {c_filtered}'
            " else {c_deleted_at_source} end"
        ).format(
            waits=waits,
            on_its_way=on_its_way,
            marked=self._marked(standing),
            promised=sql.Literal(standing.as_of is not None),
            append=is_append,
            **cause,
        )

    def _marked(self, standing: Standing) -> Composable:
        """Whether this job let the row go after the published batch had read: an older marker says nothing of it."""
        return sql.SQL(
            "exists (select from syncline.deleted as gone where gone.job_id = {} and gone.tenant_id = {}"
            " and gone.key = {} and gone.source_as_of > {}::timestamptz)"
        ).format(sql.Literal(self.job.id), self._tenant_of(_c), self._key_text(_c), sql.Literal(standing.as_of))

    def _severity(self) -> Composable:
        """The worst of the fields that differ; of a whole record, of all its fields."""
        fields = self.job.mapping.fields
        whole = worst(field.severity for field in fields.values()) or "medium"
        cases = [
            template(
                "when columns && {names}::text[] then {severity}::text",
                names=sql.Literal([name for name, field in fields.items() if field.severity == severity]),
                severity=sql.Literal(severity),
            )
            for severity in SEVERITIES
        ]
        return template(
            "case when class = 'mismatched' and {keeps} and cardinality(columns) > 0 then case {cases} end"
            " else {whole}::text end",
            keeps=sql.Literal(self.keeps_columns), cases=sql.SQL(" ").join(cases), whole=sql.Literal(whole),
        )  # fmt: skip

    def _excused(self, standing: Standing) -> Composable:
        """Expected by the line or by the manifest; all else counts. The next batch is expected while the SLA lasts."""
        excused = [cause.value for cause in EXCUSED]
        stays = [Cause.DELETED_AT_SOURCE.value, Cause.FILTERED.value] if self.job.on_delete == "ignore" else []
        goes = (
            [Cause.DELETED_AT_SOURCE.value]
            if standing.is_fresh and self.job.finds_absent(self.job.default_mode)
            else []
        )
        return template(
            'cause = any({excused}::text[]) or (cause = any({goes}::text[]) and not coalesce("0deleted", false))',
            excused=sql.Literal(excused + stays),
            goes=sql.Literal(goes),
        )

    def _rows_of_source(self) -> Composable:
        """How many living rows the source has of the key: of a key that it has twice, two."""
        return sql.SQL(
            "case when class = 'duplicate_key' then (select count(*) from {here} as h where {same}"
            ' and not (h."0deleted" or h."0filtered")) else coalesce(lives, false)::integer end'
        ).format(here=HERE, same=self._one_key("h", "r"))

    def _tenant_of(self, side: Column | None = None) -> Composable:
        return sql.SQL("coalesce({}, '')").format(self._tenant_text(side or _r))

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


def _r(name: str) -> Composable:
    return sql.Identifier("r", name)


def _c(name: str) -> Composable:
    return sql.Identifier("classed", name)
