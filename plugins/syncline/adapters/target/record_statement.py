"""The statement that judges records: both versions of each, joined by key, and what is to be said of those that differ.

Its tables are temporary ones of the session, which Records makes and fills. In the order that the statement computes:
which keys are there twice, what met, its class, its cause, and of what is new since the looks before also the severity
and whether it is expected. Nothing is executed here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import sql
from psycopg.sql import Composable

from syncline.adapters.target.session import Column, TargetSession, listed, s, t
from syncline.core.checksums import Columns, hash_of, key_hash
from syncline.core.equality import differs, is_exact, spelled
from syncline.core.job import SyncJob
from syncline.core.record_comparison import SEVERITIES, Cause, RecordClass, worst
from syncline.core.transforms import template
from syncline.core.types import INTEGER_DIGITS, PgType
from syncline.core.values import Batch, Mode, State

HERE, FOUND, OWN, WAITING = (sql.Identifier("pg_temp", n) for n in ("here_row", "found", "own_writes", "waiting"))
STATES = ("0here_hash", "0there_hash", "0here_version", "0there_version")  # of a record on both sides, at one look
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


class RecordStatement(TargetSession):
    """What a comparison's session on the copy knows of fields and columns, and the statement made of it."""

    def __init__(self, job: SyncJob, session: psycopg.Connection, *, keeps_columns: bool) -> None:
        super().__init__(job, Batch(0, job.id, "", Mode.FULL, State.OPEN, 0), session)
        fields = job.mapping.fields
        needed = {*job.target.key, *filter(None, [job.target.version])}
        self.keeps_columns = keeps_columns
        self.stored: dict[str, PgType | None] = {}  # column -> its type
        self.may_be_null: list[str] = []  # columns of the key
        #: Fields whose values travel: all, or what a hash cannot decide.
        self.fields = tuple(n for n in fields if keeps_columns or n in needed or not is_exact(fields[n]))
        self.hashed = tuple(n for n in fields if keeps_columns or is_exact(fields[n]))

    def spellings(self, side: Column, names: Iterable[str] | None = None) -> Columns:
        """What is hashed of a row of either side."""
        fields = self.job.mapping.fields
        return {name: spelled(side(name), fields[name], self.stored.get(name)) for name in names or fields}

    def told_as(self, name: str) -> PgType:
        """The type that a column of the key is told in: it holds what either side may have."""
        mapped, stored = self.job.mapping.fields[name].type, self.stored.get(name)
        if stored is None or stored.is_array or mapped.is_array or stored == mapped:
            return stored or mapped
        if mapped.family == stored.family == "text":
            return PgType("text")
        if {mapped.name, stored.name} <= INTEGER_DIGITS.keys():
            return PgType("bigint")
        return PgType("numeric") if mapped.family == stored.family == "number" else stored

    def _differing(self, look: int, where: Iterable[Composable] | None, standing: Standing) -> Composable:
        """Both sides joined by key: one row for each record that differs, with what is to be said of it."""
        return self._judged(where, standing) + self._told(look, standing)

    def _judged(self, where: Iterable[Composable] | None, standing: Standing) -> sql.Composed:
        """What met, in which class and why: the last of these is `caused`."""
        key = self.job.target.key
        return sql.SQL(
            "with there as materialized (\n"
            '  select {there}, {hash} as "0hash", t.xmin::text::bigint as "0version",\n'
            '    t.xmin in (select by_xact from {own}) as "0ours",\n'
            '    t.xmin in (select by_xact from {own} where is_other) as "0others"\n'
            "  from {table} as t where {where}),\n"
            "twice as ({twice}),\n"
            'met as (select {key}, coalesce(s."0tenant", {tenant}, \'\') as "0tenant", {here_key} as "0here_key",\n'
            '    t."0hash" is not null as "0is_there", not (s."0deleted" or s."0filtered") as "0lives", s."0deleted",'
            ' s."0filtered", s."0rejected", s."0owed", s."0overdue", t."0ours", t."0others",\n'
            '    s."0hash" as "0here_hash", t."0hash" as "0there_hash", s."0version" as "0here_version",'
            ' t."0version" as "0there_version",\n'
            '    {newer} as "0is_newer", case when not s."0rejected" and {differs} then {columns} else \'{{}}\' end'
            ' as "0columns"\n'
            "  from (select * from ({here}) as s where {asked}) as s full join there as t on {same}),\n"
            'classed as (select *, {class_} as "0class" from met),\n'
            'caused as (select *, {cause} as "0cause" from classed where "0class" is not null)\n'
        ).format(
            there=listed(t(name) for name in self.fields),
            hash=hash_of(self.spellings(t, self.hashed)),
            own=OWN,
            table=self._table,
            where=sql.SQL(" and ").join(
                [self._alive(), *(where if where is not None else [self._again("t", self.may_be_null)])]
            ),
            twice=self._twice(),
            key=listed(
                sql.SQL("coalesce({}::{type}, {}::{type}) as {}").format(
                    s(n), t(n), sql.Identifier(n), type=self.told_as(n).sql
                )
                for n in key
            ),
            tenant=self._tenant_text(t),
            here_key=self._key_text(s),
            newer=self._newer(),
            columns=self._differing_columns(),
            here=self._living_first(),
            asked=self._again("s", key) if where is None and self._rounds_keys() else sql.SQL("true"),
            # Where only some fields travel, the hash is of the others alone.
            differs=sql.SQL('s."0hash" is distinct from t."0hash"' if self.keeps_columns else "true"),
            same=self._same_key(),
            class_=self._class(),
            cause=self._cause(standing),
        )

    def _told(self, look: int, standing: Standing) -> sql.Composed:
        """Of `caused` what is new since the looks before, as rows of FOUND."""
        typed = {name: (_r(name), self.job.mapping.fields[name].type) for name in self.job.target.key}
        return sql.SQL(
            'select distinct {key}, {look}, "0tenant", {texts}, {hash}, "0class",'
            ' case when {keeps} and "0class" = \'mismatched\' then "0columns" else \'{{}}\' end, "0cause",'
            " {severity}, {excused}, {states}, {rows}, {first}, {first}, {first},"
            # Pairs of a key that is there twice are one record; rows without a key are as many as they are.
            " case when {keyless} then row_number() over () end from caused as r"
            ' where not exists (select from {found} as z where z."0look" = 0 and {settled})'
            ' and not exists (select from {found} as z where z."0look" = 0 and z."0nth" is not null'
            '   and z."0key_hash" = {hash} and {untouched})'
        ).format(
            key=listed(value for value, _ in typed.values()),
            look=sql.Literal(look),
            first=sql.Literal(look == 1),
            texts=self._key_text(_r),
            states=listed(
                sql.SQL("case when \"0class\" <> 'duplicate_key' then {} end").format(sql.Identifier(name))
                for name in STATES
            ),
            keyless=sql.SQL(" or ").join(sql.SQL("{} is null").format(value) for value, _ in typed.values()),
            untouched=stands("z", "r", *STATES),
            hash=key_hash(typed),
            keeps=sql.Literal(self.keeps_columns),
            severity=self._severity(),
            excused=self._excused(standing),
            rows=self._rows_of_source(),
            found=FOUND,
            settled=self._one_key("z", "r"),
        )

    def _living_first(self) -> Composable:
        """The source's rows; of those that are deleted or filtered one, and none beside a living one of its key."""
        return sql.SQL(
            'select * from {here} where not ("0deleted" or "0filtered") union all ('
            'select distinct on ({key}) * from {here} as d where ("0deleted" or "0filtered") and not exists ('
            'select from {here} as l where {same} and not (l."0deleted" or l."0filtered"))'
            ' order by {key}, "0filtered", "0owed" desc)'
        ).format(here=HERE, same=self._one_key("d", "l"), key=listed(map(sql.Identifier, self.job.target.key)))

    def _again(self, side: str, may_be_null: Iterable[str]) -> Composable:
        """Over a side: its key has not settled yet, or is none."""
        again = sql.SQL('exists (select from {} as n where n."0look" > 0 and {})').format(
            FOUND, self._one_key(side, "n")
        )
        nulls = [sql.SQL("{} is null").format(sql.Identifier(side, name)) for name in may_be_null]
        return sql.SQL("({})").format(sql.SQL(" or ").join([again, *nulls]))

    def _rounds_keys(self) -> bool:
        """Whether two keys may have one hash, as a moment's and its day's: then what a hash finds was not asked for."""
        mapped = ((self.job.mapping.fields[name].type, self.stored.get(name)) for name in self.job.target.key)
        return any(stored not in (None, kind) and kind.family != "text" for kind, stored in mapped)

    def _one_key(self, one: str, other: str) -> Composable:
        return sql.SQL(" and ").join(
            sql.SQL("{} = {}").format(sql.Identifier(one, name), sql.Identifier(other, name))
            for name in self.job.target.key
        )

    def _twice(self) -> Composable:
        """Keys that one side has more than once."""
        key = listed(
            sql.SQL("{n}::{type} as {n}").format(n=sql.Identifier(n), type=self.told_as(n).sql)
            for n in self.job.target.key
        )
        names = listed(map(sql.Identifier, self.job.target.key))
        return sql.SQL(
            "select {key} from there group by {names} having count(*) > 1 union"
            ' select {key} from {here} where not ("0deleted" or "0filtered") group by {names} having count(*) > 1'
        ).format(key=key, names=names, here=HERE)

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
            'case when exists (select from twice where {same}) then case when "0is_there" or "0lives" then {twice} end'
            ' when coalesce("0lives", false) and "0is_there"'
            '   then case when "0rejected" or cardinality("0columns") > 0 then {mismatched} end'
            ' when coalesce("0lives", false) then {in_target}'
            ' when "0is_there" then {in_source} end'
        ).format(
            same=self._one_key("twice", "met"),
            **{name: sql.Literal(kind.value) for name, kind in kinds.items()},
        )

    def _cause(self, standing: Standing) -> Composable:
        """Why: the first that can be shown."""
        on_its_way = template(
            'case when "0overdue" then {late} else {flying} end',
            late=sql.Literal(Cause.OVERDUE.value),
            flying=sql.Literal((Cause.HELD_BATCH if standing.is_held else Cause.IN_FLIGHT).value),
        )
        waits = sql.SQL(
            'exists (select from {waiting} as w where w.tenant in ("0tenant", {tenant}) and (w.key = "0here_key"'
            ' or w.key is null and array_position("0here_key", null) is not null))'
        ).format(waiting=WAITING, tenant=self._tenant_text(_c))
        cause = {f"c_{cause.name.lower()}": sql.Literal(cause.value) for cause in Cause}
        is_append = sql.Literal(self.job.target.write == "append")
        return sql.SQL(
            "case when \"0class\" = 'duplicate_key' then {c_unknown}"
            ' when "0rejected" and {waits} and coalesce("0ours", true) then {c_dead_letter}'
            # What the next batch brings excuses what ours wrote, not what somebody else did to it meanwhile; and no
            # batch brings what the filter leaves out.
            ' when "0owed" and not "0filtered" and ("0class" <> \'mismatched\' or "0ours") then {on_its_way}'
            " when \"0class\" <> 'missing_in_source' then case"
            '   when {waits} and ("0class" <> \'mismatched\' or "0ours") then {c_dead_letter}'
            '   when "0rejected" and coalesce("0ours", true) then {c_unknown}'
            "   when \"0class\" = 'missing_in_target'"
            "     then case when {marked} then {c_conflict_kept} when {promised} then {c_foreign_write}"
            "     else {c_unknown} end"
            '   when "0ours" and {append} or "0others" and "0is_newer" then {c_conflict_kept}'
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
        ).format(sql.Literal(self.job.id), sql.Identifier("0tenant"), self._key_text(_c), sql.Literal(standing.as_of))

    def _severity(self) -> Composable:
        """The worst of the fields that differ; of a whole record, of all its fields."""
        fields = self.job.mapping.fields
        whole = worst(field.severity for field in fields.values()) or "medium"
        cases = [
            template(
                'when "0columns" && {names}::text[] then {severity}::text',
                names=sql.Literal([name for name, field in fields.items() if field.severity == severity]),
                severity=sql.Literal(severity),
            )
            for severity in SEVERITIES
        ]
        return template(
            "case when \"0class\" = 'mismatched' and {keeps} and cardinality(\"0columns\") > 0 then case {cases} end"
            " else {whole}::text end",
            keeps=sql.Literal(self.keeps_columns), cases=sql.SQL(" ").join(cases), whole=sql.Literal(whole),
        )  # fmt: skip

    def _excused(self, standing: Standing) -> Composable:
        """Expected by the line or by the manifest; all else counts. The next batch is expected while the SLA lasts."""
        excused = [cause.value for cause in EXCUSED]
        stays = [Cause.DELETED_AT_SOURCE.value, Cause.FILTERED.value] if self.job.on_delete == "ignore" else []
        is_next = standing.is_fresh and self.job.finds_absent(self.job.default_mode)
        goes = [Cause.DELETED_AT_SOURCE.value, Cause.FILTERED.value] if is_next else []
        return template(
            '"0cause" = any({excused}::text[]) or ("0cause" = any({goes}::text[]) and not coalesce("0deleted", false))',
            excused=sql.Literal(excused + stays),
            goes=sql.Literal(goes),
        )

    def _rows_of_source(self) -> Composable:
        """How many living rows the source has of the key: of a key that it has twice, two."""
        return sql.SQL(
            "case when \"0class\" = 'duplicate_key' then (select count(*) from {here} as h where {same}"
            ' and not (h."0deleted" or h."0filtered")) else coalesce("0lives", false)::integer end'
        ).format(here=HERE, same=self._one_key("h", "r"))


def stands(older: str, newer: str, *names: str) -> Composable:
    """Over two looks at a record: these are what they were."""
    return sql.SQL(" and ").join(
        sql.SQL("{} is not distinct from {}").format(sql.Identifier(older, name), sql.Identifier(newer, name))
        for name in names
    )


def _r(name: str) -> Composable:
    return sql.Identifier("r", name)


def _c(name: str) -> Composable:
    return sql.Identifier("classed", name)
