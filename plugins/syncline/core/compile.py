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

from syncline.core.mapping import FieldMap, Lookup, Mapping, source_value, table_identifier
from syncline.core.transforms import template
from syncline.core.types import TEXT, PgType

DELETED, REJECT = "_deleted", "_reject"
TRAILER: dict[str, str] = {DELETED: "boolean", REJECT: "jsonb"}
FALSE = sql.SQL("false")
FLAG = "0deleted"  # the source's flag, inside the statement
WITHOUT_MIN = {"boolean", "uuid", "jsonb"}  # types that PostgreSQL has no min() for


@dataclass(frozen=True)
class CompiledMapping:
    """The SELECT and what is needed around it.

    Attributes:
        select: The composed statement.
        columns: Target column -> type, in the order of the statement; the two trailing columns are not in it.
    """

    select: Composable
    columns: dict[str, PgType]

    @property
    def staging_columns(self) -> Composable:
        """`name type` of all columns of the statement, for a staging table."""
        typed: list[Composable] = [
            sql.SQL("{} {}").format(sql.Identifier(name), kind.sql) for name, kind in self.columns.items()
        ]
        typed += [sql.SQL("{} " + kind).format(sql.Identifier(name)) for name, kind in TRAILER.items()]
        return sql.SQL(", ").join(typed)


def compile_mapping(
    mapping: Mapping,
    relation: Composable,
    *,
    where: Composable | None = None,
    deleted: str | None = None,
    key: Iterable[str] = (),
) -> CompiledMapping:
    """Compile a valid mapping over a relation.

    Args:
        relation: What stands after FROM; its columns are reachable as `s`.
        where: Condition over `s`; None reads all rows.
        deleted: Boolean column of the relation that flags deleted rows. Of those only the key is judged.
        key: Target columns of the key.
    """
    plan = _Plan(mapping, deleted, frozenset(key))
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
    return CompiledMapping(select, {name: item.type for name, item in mapping.fields.items()})


def sample_relation(mapping: Mapping, rows_json: str) -> Composable:
    """A relation of rows given as a JSON array: previews and tests need no table.

    The rows become a literal: a compiled statement is run without parameters, so that `%` means itself in it.
    """
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), kind.sql) for name, kind in mapping.source.items()
    )
    return sql.SQL("(select * from jsonb_to_recordset({}::jsonb) as r ({}))").format(sql.Literal(rows_json), columns)


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

    def __init__(self, mapping: Mapping, deleted: str | None, key: frozenset[str]) -> None:
        self.mapping, self.deleted, self.key = mapping, deleted, key
        self.computed: list[list[Composable]] = [[]]
        self.lookups: list[Composable] = []
        self.fields = [self._field(name, item) for name, item in mapping.fields.items()]

    def source_columns(self) -> list[Composable]:
        columns: list[Composable] = [_of("s", name) for name in self.mapping.source]
        if self.deleted is not None:
            columns.append(template("coalesce({c}, false) as {name}", c=_of("s", self.deleted), name=_id(FLAG)))
        return columns

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
            " 'payload', (select to_jsonb({row}) from (select {columns}) as {row})) end",
            refused=sql.SQL(" or ").join(refused),
            cases=sql.SQL(", ").join(cases),
            columns=sql.SQL(", ").join(_of("m", name) for name in self.mapping.source),
            row=_id("0row"),
        )

    def _field(self, name: str, spec: FieldMap) -> _Field:
        """Walk the steps. `here` is the value as query `level` sees it, `item.value` as the outermost one does."""
        level = 0
        lookup = f"0lookup{len(self.lookups)}"
        here = source_value(spec, self._as_read(spec), _of(lookup, "taken"))
        kind = spec.start_type(dict(self.mapping.source))
        item = _Field(name, _of("m", spec.from_) if spec.from_ is not None else here)
        if spec.lookup is not None:
            self._look_up(item, spec.lookup, lookup)
        if spec.from_ is None and spec.constant is None:
            item.value = self._compute(level, name, here)
        for step in spec.steps:
            before, here = item.value, step.sql(here, kind)
            if step.is_partial:
                here = item.value = self._compute(level, name, here)
                level += 1
                item.faults.append((step.word, template("({v} is null and not {b} is null)", v=here, b=before)))
            else:
                item.value = step.sql(before, kind)
            kind = step.gives(kind)
        if spec.checks and spec.steps and not spec.steps[-1].is_partial:
            item.value = self._compute(level, name, here)  # the checks ask for it again
        if kind.family != spec.type.family:
            item.value, kind = template("({v})::{t}", v=item.value, t=spec.type.sql), spec.type
        item.faults += [(check.word, check.fails(item.value, kind)) for check in spec.checks]
        self._fit(item, kind, spec.type)
        return item

    def _as_read(self, spec: FieldMap) -> dict[str, Composable]:
        """Each source column as a field starts from it: what is joined is text first."""
        declared = self.mapping.source
        to_text = spec.concat is not None
        return {
            name: template("{c}::text", c=_of("s", name)) if to_text and kind != TEXT else _of("s", name)
            for name, kind in declared.items()
        }

    def _compute(self, level: int, name: str, here: Composable) -> Composable:
        """Have query `level` compute a value once; returns how the queries around it name it."""
        while len(self.computed) <= level:
            self.computed.append([])
        column = f"{level}.{len(self.computed[level])} {name}"[:63]
        self.computed[level].append(template("{v} as {n}", v=here, n=_id(column)))
        return _of("m", column)

    def _fit(self, item: _Field, kind: PgType, target: PgType) -> None:
        """A number that is too large for its column is NULL and an `overflow` error."""
        if kind.becomes(target) != "guarded":
            return
        low, high = target.bounds
        inside = "{v} > {low} and {v} < {high}" if target.name == "numeric" else "{v} between {low} and {high}"
        overflow = template("not (" + inside + ")", v=item.value, low=sql.Literal(low), high=sql.Literal(high))
        item.faults.append(("overflow", overflow))
        item.value = template("case when not ({o}) then {v} end", o=overflow, v=item.value)

    def _look_up(self, item: _Field, lookup: Lookup, alias: str) -> None:
        self.lookups.append(_lookup_join(lookup, alias))
        count = self._compute(0, f"{item.name} matches", _of(alias, "matches"))
        item.faults.append(("lookup_ambiguous", template("{c} > 1", c=count)))
        if lookup.on_missing == "reject":
            asked = sql.SQL(" and ").join(
                template("{c} is not null", c=_of("m", column)) for column in lookup.match.values()
            )
            item.faults.append(("lookup", template("({c} is null and {asked})", c=count, asked=asked)))


def _lookup_join(lookup: Lookup, alias: str) -> Composable:
    """Left join to one row per match key, so that a second match cannot multiply the row."""
    keys = sql.SQL(", ").join(_id(column) for column in lookup.match)
    on = sql.SQL(" and ").join(
        template("{l} = {s}", l=_of(alias, theirs), s=_of("s", ours)) for theirs, ours in lookup.match.items()
    )
    one = "(array_agg({take}))[1]" if lookup.take_type.name in WITHOUT_MIN else "min({take})"
    return template(
        "\n    left join (select {keys}, {one} as taken, count(*) as matches from {table} group by {keys})"
        " as {alias} on {on}",
        keys=keys,
        one=template(one, take=_id(lookup.take)),
        table=table_identifier(lookup.table),
        alias=_id(alias),
        on=on,
    )


def _any(faults: list[tuple[str, Composable]]) -> Composable:
    return sql.SQL(" or ").join(template("({f})", f=fault) for _, fault in faults)


def _id(name: str) -> Composable:
    return sql.Identifier(name)


def _of(alias: str, name: str) -> Composable:
    return sql.Identifier(alias, name)
