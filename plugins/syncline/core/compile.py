"""Compile a mapping into one SELECT: one mapping, one meaning, wherever rows come from.

The statement reads any relation with the mapping's source columns (the source table, a landing table, sample
rows) and gives per row the typed target columns and two more:

    _deleted   boolean   the source flags the row as deleted
    _reject    jsonb     NULL, or {"errors": ["column:code", ...], "payload": {the source columns}}

A bad value is NULL in its column and named in the errors; the statement itself cannot fail on data. A value that a
partial step produces is computed once, in an inner query, and judged in the outer one; a partial step upon another
gets one more query around. OFFSET 0 keeps PostgreSQL from pulling them together and computing it twice.

Names that we add begin with a digit, so they meet no column of a source.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from psycopg import sql
from psycopg.sql import Composable

from syncline.core.conversions import convert
from syncline.core.field_values import TAKEN, Lookup, Types
from syncline.core.mapping import FieldMap, Mapping
from syncline.core.models import table_identifier
from syncline.core.transforms import Row, template
from syncline.core.transforms.literals import untyped
from syncline.core.types import PgType

DELETED, REJECT, VERSION = "_deleted", "_reject", "_version"
# A step may name its value several times: beyond so many signs it is computed once, before it doubles once more.
REPEATED_MAX = 2_000
TRAILER: dict[str, str] = {DELETED: "boolean", REJECT: "jsonb"}
FALSE = sql.SQL("false")
FLAG, CHANGED_AT = "0deleted", "0version"  # the source's flag and cursor, inside the statement


@dataclass(frozen=True)
class CompiledMapping:
    """The SELECT and what is needed around it.

    Attributes:
        select: The composed statement.
        columns: Target column -> type, in the order of the statement; the trailing columns are not in it.
        trailer: Trailing column -> type.
    """

    select: Composable
    columns: dict[str, PgType]
    trailer: dict[str, str]

    @property
    def staging_columns(self) -> Composable:
        """`name type` of all columns of the statement, for a staging table."""
        typed: list[Composable] = [
            sql.SQL("{} {}").format(sql.Identifier(name), kind.sql) for name, kind in self.columns.items()
        ]
        typed += [sql.SQL("{} " + kind).format(sql.Identifier(name)) for name, kind in self.trailer.items()]
        return sql.SQL(", ").join(typed)


def compile_mapping(
    mapping: Mapping,
    relation: Composable,
    *,
    where: Composable | None = None,
    deleted: str | None = None,
    key: Iterable[str] = (),
    carried: tuple[str, ...] = (),
    version: str | None = None,
) -> CompiledMapping:
    """Compile a valid mapping over a relation.

    Args:
        relation: What stands after FROM; its columns are reachable as `s`.
        where: Condition over `s`; None reads all rows.
        deleted: Boolean column of the relation that flags deleted rows. Of those only the key is judged.
        key: Target columns of the key.
        version: Column of the relation that says when the row changed, where a copy keeps that beside its table.
        carried: Columns of the relation that the statement gives as they are, after all others.
    """
    plan = _Plan(mapping, deleted, frozenset(key), carried, version)
    inner = sql.SQL("select {columns} from {relation} as s{lookups}{where}{fence}").format(
        columns=sql.SQL(",\n      ").join([*plan.source_columns(), *plan.computed[0]]),
        relation=relation,
        fence=sql.SQL("\n    offset 0" if plan.computed[0] else ""),
        lookups=sql.SQL("").join(plan.lookups),
        where=sql.SQL("\n    where {}").format(where) if where is not None else sql.SQL(""),
    )
    for columns in plan.computed[1:]:
        inner = sql.SQL("select m.*, {columns} from (\n    {inner}\n    ) as m offset 0").format(
            columns=sql.SQL(",\n      ").join(columns), inner=inner
        )
    select = sql.SQL("select\n    {columns}\nfrom (\n    {inner}\n) as m").format(
        columns=sql.SQL(",\n    ").join(plan.outer_columns()), inner=inner
    )
    trailer = TRAILER | ({VERSION: "timestamptz"} if version is not None else {})
    return CompiledMapping(select, {name: item.type for name, item in mapping.fields.items()}, trailer)


def mapped_key(mapping: Mapping, key: Iterable[str]) -> dict[str, tuple[Composable, PgType]]:
    """Target columns of the key over the relation `s` itself, before anything else is mapped; NULL where refused."""
    types = mapping.types
    read = Row({name: _as_read(name, kind, types[name]) for name, kind in mapping.source.items()}, types)
    mapped: dict[str, tuple[Composable, PgType]] = {}
    for name in key:
        spec = mapping.fields[name]
        kind = spec.begins.gives(types, spec.type)
        value = spec.begins.sql(read, kind)
        for step in spec.steps:
            value, kind = step.sql_in(value, kind, read), step.gives(kind)
        mapped[name] = (template("({v})::{t}", v=convert(value, kind, spec.type).value, t=spec.type.sql), spec.type)
    return mapped


def sample_relation(mapping: Mapping, rows_json: str) -> Composable:
    """A relation of rows given as a JSON array: previews and tests need no table.

    The rows become a literal: a compiled statement is run without parameters, so that `%` means itself in it.
    """
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), kind.sql) for name, kind in mapping.source.items()
    )
    return sql.SQL("(select * from json_to_recordset({}::json) as r ({}))").format(sql.Literal(rows_json), columns)


def payload(alias: str, columns: Types) -> Composable:
    """Columns of a row as jsonb, for its dead letter. json travels as text: it may hold what jsonb cannot (V16)."""
    said = (
        template("{c}::text as {n}", c=_of(alias, name), n=_id(name)) if kind.name == "json" else _of(alias, name)
        for name, kind in columns.items()
    )
    columns_said = sql.SQL(", ").join(said)
    return template("(select to_jsonb({row}) from (select {columns}) as {row})", columns=columns_said, row=_id("0row"))


@dataclass
class _Field:
    """One field on its way: what the outermost query says for its value, and the faults found."""

    name: str
    value: Composable
    faults: list[tuple[str, Composable]] = field(default_factory=list)


class _Plan:
    """Decides per field what the inner queries compute and what is judged in the outer one.

    Attributes:
        computed: Columns that each query adds, from the innermost outwards.
        lookups: Joins of the innermost query.
    """

    def __init__(
        self,
        mapping: Mapping,
        deleted: str | None,
        key: frozenset[str],
        carried: tuple[str, ...],
        version: str | None = None,
    ) -> None:
        self.mapping, self.deleted, self.key, self.carried, self.version = mapping, deleted, key, carried, version
        self.computed: list[list[Composable]] = [[]]
        self.lookups: list[Composable] = []
        types = mapping.types
        # The row as the innermost query reads it, and as the queries around it name it.
        self.read = Row({name: _as_read(name, kind, types[name]) for name, kind in mapping.source.items()}, types)
        self.named = Row({name: _of("m", name) for name in mapping.source}, types)
        self.fields = [self._field(name, item) for name, item in mapping.fields.items()]
        finished = Row(
            {item.name: item.value for item in self.fields}, {name: item.type for name, item in mapping.fields.items()}
        )
        for item in self.fields:
            self._judge(item, mapping.fields[item.name], finished)

    def source_columns(self) -> list[Composable]:
        columns: list[Composable] = [
            template("{v} as {n}", v=value, n=_id(name)) for name, value in self.read.values.items()
        ]
        if self.deleted is not None:
            columns.append(template("coalesce({c}, false) as {name}", c=_of("s", self.deleted), name=_id(FLAG)))
        if self.version is not None:
            columns.append(template("{c} as {name}", c=_of("s", self.version), name=_id(CHANGED_AT)))
        return [*columns, *(_of("s", name) for name in self.carried)]

    def outer_columns(self) -> list[Composable]:
        values: list[Composable] = [
            template("({v})::{t} as {n}", v=item.value, t=self.mapping.fields[item.name].type.sql, n=_id(item.name))
            for item in self.fields
        ]
        deleted = _of("m", FLAG) if self.deleted is not None else FALSE
        return [
            *values,
            template("{d} as {n}", d=deleted, n=_id(DELETED)),
            template("{r} as {n}", r=self._reject(), n=_id(REJECT)),
            *([template("{c} as {n}", c=_of("m", CHANGED_AT), n=_id(VERSION))] if self.version is not None else []),
            *(_of("m", name) for name in self.carried),
        ]

    def _reject(self) -> Composable:
        """NULL for a good row; what is wrong with a bad one is put together for bad rows only."""
        of_key: list[tuple[str, Composable]] = []
        of_others: list[tuple[str, Composable]] = []
        for item in self.fields:
            said = of_key if self.deleted is None or item.name in self.key else of_others
            said += [(f"{item.name}:{code}", fault) for code, fault in item.faults]
        if not of_key and not of_others:
            return sql.SQL("null::jsonb")
        lives = template("not {d}", d=_of("m", FLAG))
        cases = [template("case when {f} then {c}::text end", f=f, c=sql.Literal(c)) for c, f in of_key] + [
            template("case when {lives} and ({f}) then {c}::text end", lives=lives, f=f, c=sql.Literal(c))
            for c, f in of_others
        ]
        refused = [_any(of_key)] if of_key else []
        refused += [template("({lives} and ({any}))", lives=lives, any=_any(of_others))] if of_others else []
        return template(
            "case when {refused} then jsonb_build_object('errors', array_remove(array[{cases}], null),"
            " 'payload', {payload}) end",
            refused=sql.SQL(" or ").join(refused),
            cases=sql.SQL(", ").join(cases),
            payload=payload("m", self.mapping.types),
        )

    def _field(self, name: str, spec: FieldMap) -> _Field:
        """Walk the steps. `here` is the value as query `level` sees it, `item.value` as the outermost one does."""
        level = 0
        read, named = self.read, self.named
        if spec.lookup is not None:
            read = Row({**read.values, TAKEN: self._look_up(spec.lookup)}, read.types)
        kind = spec.begins.gives(self.mapping.types, spec.type)
        here = spec.begins.sql(read, kind)
        item = _Field(name, spec.begins.sql(named, kind) if spec.from_ is not None else here)
        if spec.lookup is not None:
            self._judge_lookup(item, spec.lookup)
        elif spec.from_ is None:
            item.faults += spec.begins.faults(named)
        if spec.from_ is None and spec.constant is None:
            item.value = self._compute(level, name, here)
        for step in spec.steps:
            before = item.value
            here = step.sql_in(here, kind, read if level == 0 else named)
            if step.is_partial:
                here = item.value = self._compute(level, name, here)
                level += 1
                item.faults.append((step.word, template("({v} is null and not {b} is null)", v=here, b=before)))
            else:
                item.value = step.sql_in(before, kind, named)
                if len(item.value.as_string()) > REPEATED_MAX:
                    here = item.value = self._compute(level, name, here)
                    level += 1
            kind = step.gives(kind)
        if spec.checks and spec.steps and not spec.steps[-1].is_partial:
            item.value = self._compute(level, name, here)  # the checks ask for it again
        converted = convert(item.value, kind, spec.type)
        if converted.fault is not None:
            item.faults.append((converted.code, converted.fault))
        # Texts get their length at the very end: to a check, a padded char is another text.
        is_plain = kind == spec.type or spec.type.family == "text"
        item.value = converted.value if is_plain else template("({v})::{t}", v=converted.value, t=spec.type.sql)
        return item

    def _judge(self, item: _Field, spec: FieldMap, finished: Row) -> None:
        """The checks: they see the finished value, and may compare it with other fields."""
        item.faults += [(check.word, check.fails_in(item.value, spec.type, finished)) for check in spec.checks]

    def _compute(self, level: int, name: str, here: Composable) -> Composable:
        """Have query `level` compute a value once; returns how the queries around it name it."""
        while len(self.computed) <= level:
            self.computed.append([])
        column = f"{level}.{len(self.computed[level])} {name}"[:63]
        self.computed[level].append(template("{v} as {n}", v=here, n=_id(column)))
        return _of("m", column)

    def _look_up(self, lookup: Lookup) -> Composable:
        """Join the other table; returns the SQL of what is taken from it."""
        alias = f"0lookup{len(self.lookups)}"
        self.lookups.append(_lookup_join(lookup, alias, self.mapping.types))
        taken = _of(alias, "taken")
        if lookup.on_several == "null":
            taken = template("case when {m} = 1 then {t} end", m=_of(alias, "matches"), t=taken)
        if lookup.default is not None:
            taken = template(
                "case when {m} is null then {d} else {t} end",
                m=_of(alias, "matches"), d=untyped(lookup.default), t=taken,
            )  # fmt: skip
        return taken

    def _judge_lookup(self, item: _Field, lookup: Lookup) -> None:
        if lookup.on_several != "reject" and lookup.on_missing != "reject":
            return
        alias = f"0lookup{len(self.lookups) - 1}"
        count = self._compute(0, f"{item.name} matches", _of(alias, "matches"))
        if lookup.on_several == "reject":
            item.faults.append(("lookup_ambiguous", template("{c} > 1", c=count)))
        if lookup.on_missing == "reject":
            asked = sql.SQL(" and ").join(
                template("{c} is not null", c=_of("m", column)) for column in lookup.match.values()
            )
            item.faults.append(("lookup", template("({c} is null and {asked})", c=count, asked=asked)))


def _as_read(name: str, declared: PgType, kind: PgType) -> Composable:
    """A source column as steps meet it: enumerations, domains and padded text by the type that the mapping declares."""
    column = _of("s", name)
    if kind.family == "text":  # whatever the column's collation: some refuse patterns, and two of them do not mix
        return template('({c})::{t} collate "default"', c=column, t=kind.sql)
    if declared == kind and not kind.is_array:
        return column
    return template("({c})::{t}", c=column, t=kind.sql)


def _lookup_join(lookup: Lookup, alias: str, types: Types) -> Composable:
    """Left join to one row per match key, so that a second match cannot multiply the row."""
    keys = {theirs: _as_matched(_id(theirs), types[ours]) for theirs, ours in lookup.match.items()}
    on = sql.SQL(" and ").join(
        template("{l} = {s}", l=_of(alias, theirs), s=_as_matched(_of("s", ours), types[ours]))
        for theirs, ours in lookup.match.items()
    )
    taken = template("({t})::{k}", t=_id(lookup.take), k=lookup.take_type.as_read.sql)
    return template(
        "\n    left join (select {keys}, {one} as taken, count(*) as matches from {table} group by {groups})"
        " as {alias} on {on}",
        keys=sql.SQL(", ").join(template("{v} as {n}", v=value, n=_id(name)) for name, value in keys.items()),
        groups=sql.SQL(", ").join(sql.Literal(n) for n in range(1, len(keys) + 1)),
        one=_one_of_several(lookup, taken),
        table=table_identifier(lookup.table),
        alias=_id(alias),
        on=on,
    )


def _one_of_several(lookup: Lookup, taken: Composable) -> Composable:
    """An aggregate that gives the same value whatever the order of the rows."""
    kind = lookup.take_type.as_read
    if lookup.newest_by is None and kind.family in ("text", "number", "date", "timestamptz"):
        return template("min({t})", t=taken)
    spelt = template('({t})::text collate "C"', t=taken)
    newest = template("{c} desc nulls last, ", c=_id(lookup.newest_by)) if lookup.newest_by else sql.SQL("")
    # By their text: of arrays array_agg makes no list but an array of more dimensions.
    return template("((array_agg({s} order by {newest}{s}))[1])::{k}", s=spelt, newest=newest, k=kind.sql)


def _as_matched(column: Composable, kind: PgType) -> Composable:
    """A column of a match; two collations do not meet, and equal is what is equal letter by letter."""
    return template('({c})::text collate "C"', c=column) if kind.family == "text" else column


def _any(faults: list[tuple[str, Composable]]) -> Composable:
    return sql.SQL(" or ").join(template("({f})", f=fault) for _, fault in faults)


def _id(name: str) -> Composable:
    return sql.Identifier(name)


def _of(alias: str, name: str) -> Composable:
    return sql.Identifier(alias, name)
