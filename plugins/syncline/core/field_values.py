"""What a field of a mapping starts from, where that is more than one column or one constant.

Each kind says which columns of the row it reads, what type it gives, and its SQL; the steps and checks that follow
are the same for all. Their SQL never fails on data. Adding a kind means a class here and its key in mapping.FieldMap.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol, Self

from psycopg import sql
from psycopg.sql import Composable
from pydantic import BeforeValidator, Field, StrictStr, model_validator
from pydantic_core import PydanticCustomError

from syncline.core.expressions import ExpressionRefused, read_expression
from syncline.core.models import Frozen, Name, Table, null_word
from syncline.core.transforms.base import NotApplicable, Row, Scalar, lit, template
from syncline.core.transforms.literals import check_literal, untyped
from syncline.core.types import NUMERIC, TEXT, PgType, TypeName

TAKEN = "0taken"  # no column is called like this
ARGUMENTS_MAX = 50  # PostgreSQL calls with 100 arguments at most, and an object has two for a key
NAMESPACE = uuid.UUID("6f1f2a64-3b0e-5b7c-9d0f-0d9e6c1a7d55")  # of all surrogate keys; changing it changes every key
Types = Mapping[str, PgType]
Columns = Annotated[tuple[Name, ...], Field(min_length=2, max_length=ARGUMENTS_MAX)]
Places = dict[str, tuple[str | int, ...]]  # column -> its place inside the field
Faults = list[tuple[str, Composable]]  # error code, boolean SQL


class Beginning(Protocol):
    """What a field starts from."""

    def places(self, types: Types) -> Places:
        """The columns that it reads."""

    def gives(self, types: Types, field_type: PgType) -> PgType:
        """Its type, where the columns have the given types; raises NotApplicable or ExpressionRefused."""

    def sql(self, row: Row, given: PgType) -> Composable:
        """Its SQL; `given` is what `gives` said."""

    def faults(self, row: Row) -> Faults:
        """When it has no value that it should have."""


class NeverFaulty:
    """A beginning that always has the value it says."""

    def faults(self, row: Row) -> Faults:
        return []


@dataclass(frozen=True)
class Column(NeverFaulty):
    """A column as it is."""

    name: str

    def places(self, types: Types) -> Places:
        return {self.name: ("from",)}

    def gives(self, types: Types, field_type: PgType) -> PgType:
        return types[self.name]

    def sql(self, row: Row, given: PgType) -> Composable:
        return row.values[self.name]


@dataclass(frozen=True)
class Constant(NeverFaulty):
    """The same value in every row, read as the field's type."""

    value: Scalar

    def places(self, types: Types) -> Places:
        return {}

    def gives(self, types: Types, field_type: PgType) -> PgType:
        check_literal(self.value, field_type)
        return field_type.as_read

    def sql(self, row: Row, given: PgType) -> Composable:
        return template("({v})::{t}", v=untyped(self.value), t=given.sql)


@dataclass(frozen=True)
class Computed:
    """A restricted expression."""

    text: str

    def places(self, types: Types) -> Places:
        try:
            return dict.fromkeys(read_expression(self.text, types).columns, ("expression",))
        except ExpressionRefused:
            return {}  # told by `gives`

    def gives(self, types: Types, field_type: PgType) -> PgType:
        return read_expression(self.text, types).type

    def sql(self, row: Row, given: PgType) -> Composable:
        return read_expression(self.text, row.types).sql(row.values)

    def faults(self, row: Row) -> Faults:
        fails = read_expression(self.text, row.types).fails(row.values)
        return [] if fails is None else [("expression", fails)]


class Concat(NeverFaulty, Frozen):
    """Columns joined by a separator; NULL ones are left out. All NULL gives NULL, and so does an empty result."""

    columns: Columns = Field(description="The columns, in order", examples=[["given_name", "family_name"]])
    separator: str = Field(" ", description="What stands between two values", examples=[" ", ", "])

    def places(self, types: Types) -> Places:
        return {column: ("concat", "columns", n) for n, column in enumerate(self.columns)}

    def gives(self, types: Types, field_type: PgType) -> PgType:
        for column in self.columns:
            if types[column].is_array and types[column].element.family == "money":
                raise NotApplicable(f"`concat` does not take {types[column]} column '{column}': its text is a locale's")
        return TEXT

    def sql(self, row: Row, given: PgType) -> Composable:
        parts = [_as_text(row, name) for name in self.columns]
        separator = sql.Literal(self.separator)
        if len(parts) == 2:  # a third of the price of concat_ws, and names are pairs
            joined = template("coalesce({a} || {s} || {b}, {a}, {b})", a=parts[0], b=parts[1], s=separator)
        else:
            joined = template("concat_ws({s}, {parts})", s=separator, parts=sql.SQL(", ").join(parts))
        return template("nullif({joined}, '')", joined=joined)


class Coalesce(NeverFaulty, Frozen):
    """The first of several columns that is not NULL."""

    columns: Columns

    def places(self, types: Types) -> Places:
        return {column: ("coalesce", n) for n, column in enumerate(self.columns)}

    def gives(self, types: Types, field_type: PgType) -> PgType:
        return unified([types[name] for name in self.columns])

    def sql(self, row: Row, given: PgType) -> Composable:
        return template("coalesce({parts})", parts=_cast_all(row, self.columns, given))


class ArrayOf(NeverFaulty, Frozen):
    """An array of several columns, in their order; NULL ones are elements too."""

    columns: Annotated[tuple[Name, ...], Field(min_length=1, max_length=ARGUMENTS_MAX)]

    def places(self, types: Types) -> Places:
        return {column: ("array", n) for n, column in enumerate(self.columns)}

    def gives(self, types: Types, field_type: PgType) -> PgType:
        element = unified([types[name] for name in self.columns])
        if element.is_array:
            raise NotApplicable("`array` takes plain columns, not arrays")
        return PgType(element.name, element.precision, element.scale, element.length, is_array=True)

    def sql(self, row: Row, given: PgType) -> Composable:
        return template("array[{parts}]", parts=_cast_all(row, self.columns, given.element))


class JsonObject(NeverFaulty, Frozen):
    """A jsonb object: its keys, each with the column that fills it; a NULL column is a JSON null."""

    keys: Annotated[dict[StrictStr, Name], Field(min_length=1, max_length=ARGUMENTS_MAX)]

    def places(self, types: Types) -> Places:
        return {column: ("json_object", key) for key, column in self.keys.items()}

    def gives(self, types: Types, field_type: PgType) -> PgType:
        for column in self.keys.values():
            if types[column].name in ("json", "money"):
                raise NotApplicable(f"`json_object` does not take {types[column]} column '{column}'")
        return PgType("jsonb")

    def sql(self, row: Row, given: PgType) -> Composable:
        parts = [part for key, column in self.keys.items() for part in (lit(key), row.values[column])]
        return template("jsonb_build_object({parts})", parts=sql.SQL(", ").join(parts))


class SurrogateKey(NeverFaulty, Frozen):
    """A uuid that follows from the values of columns: the same values give the same uuid, everywhere and always.

    NULL in any of the columns gives NULL. The namespace keeps the keys of two entities apart.
    Source: RFC 9562, version 8 from the first 128 bits of SHA-256(namespace || JSON array of the values as text).
    """

    columns: Annotated[tuple[Name, ...], Field(min_length=1, max_length=ARGUMENTS_MAX)] = Field(
        description="The columns that identify the thing, in order", examples=[["tenant_id", "worker_id"]]
    )
    namespace: Annotated[str, Field(min_length=1, max_length=100)] = Field(
        description="What the key is of: keys of two namespaces never meet", examples=["worker"]
    )

    def places(self, types: Types) -> Places:
        return {column: ("surrogate_key", "columns", n) for n, column in enumerate(self.columns)}

    def gives(self, types: Types, field_type: PgType) -> PgType:
        for column in self.columns:
            if types[column].element.family in ("float", "money", "json"):
                raise NotApplicable(
                    f"`surrogate_key` does not take {types[column]} column '{column}': it has many spellings"
                )
        return PgType("uuid")

    def sql(self, row: Row, given: PgType) -> Composable:
        parts = [template("({c})::text", c=row.values[name]) for name in self.columns]
        missing = sql.SQL(" or ").join(template("{c} is null", c=row.values[name]) for name in self.columns)
        return template(
            # The bits of version 8 and of the variant are set one by one: a third of the price of a subquery.
            "case when {missing} then null else encode("
            "set_bit(set_bit(set_bit(set_bit(set_bit(set_bit(substr(sha256(decode({namespace}, 'hex')"
            " || convert_to(jsonb_build_array({parts})::text, 'UTF8')), 1, 16)"
            ", 55, 1), 54, 0), 53, 0), 52, 0), 71, 1), 70, 0), 'hex')::uuid end",
            missing=missing,
            namespace=lit(uuid.uuid5(NAMESPACE, self.namespace).hex),
            parts=sql.SQL(", ").join(parts),
        )


class Lookup(NeverFaulty, Frozen):
    """A value of another table of the source: `take` from the row whose columns equal ours.

    match: column of the looked-up table -> column of this row.
    on_missing: no match is an error of the row (`reject`), NULL (`null`), or `default`.
    on_several: several matches are an error of the row (`reject`), NULL (`null`), or the row with the greatest
    `newest_by` is taken (`newest`); of several equally new ones, the value that is first in order of its letters.
    NULL in a column of `match` equals nothing: the value is NULL or the default, and no error. An incremental run looks
    again only for rows that changed themselves; a change of the other table alone needs a run of mode full.
    """

    table: Table = Field(description="The table that is looked into", examples=["mdm.organisation"])
    match: dict[Name, Name] = Field(
        min_length=1,
        description="Column of that table -> the column of this row that must be equal; NULL equals nothing",
        examples=[{"tenant_id": "tenant_id", "organisation_id": "organisation_id"}],
    )
    take: Name = Field(description="The column whose value is taken", examples=["legal_name"])
    take_type: TypeName = Field(TEXT, description="The type of that column")
    on_missing: Annotated[Literal["reject", "null", "default"], BeforeValidator(null_word)] = Field(
        "reject", description="No row matches: the row is rejected, the value is NULL, or it is `default`"
    )
    default: Scalar | None = Field(
        None, description="The value where no row matches; with on_missing: default", examples=["unknown"]
    )
    on_several: Annotated[Literal["reject", "null", "newest"], BeforeValidator(null_word)] = Field(
        "reject", description="Several rows match: the row is rejected, the value is NULL, or the newest one's is taken"
    )
    newest_by: Name | None = Field(
        None, description="The greatest value of this column is the newest; with on_several: newest",
        examples=["updated_at"],
    )  # fmt: skip

    @model_validator(mode="after")
    def _belongs(self) -> Self:
        if (self.on_missing == "default") != (self.default is not None):
            raise PydanticCustomError("M02", "`on_missing: default` and `default: <value>` go together", {})
        if (self.on_several == "newest") != (self.newest_by is not None):
            raise PydanticCustomError("M02", "`on_several: newest` and `newest_by: <column>` go together", {})
        return self

    def places(self, types: Types) -> Places:
        return {column: ("lookup", "match", key) for key, column in self.match.items()}

    def gives(self, types: Types, field_type: PgType) -> PgType:
        if self.default is not None:
            check_literal(self.default, self.take_type.as_read)
        return self.take_type.as_read

    def sql(self, row: Row, given: PgType) -> Composable:
        """The looked-up value is joined by compile.py under this name."""
        return row.values[TAKEN]


class Branch(Frozen):
    """A column or a constant."""

    from_: Name | None = Field(None, alias="from", description="A source column, as it is", examples=["nick_name"])
    constant: Scalar | None = Field(None, description="This value", examples=["employed"])

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.from_ is None) == (self.constant is None):
            raise PydanticCustomError("M20", "a branch is `from: <column>` or `constant: <value>`", {})
        return self


def _condition(value: Any) -> Any:
    """`{status: GB}` is `{status: [GB]}`."""
    if isinstance(value, dict):
        return {name: given if isinstance(given, list | tuple) else [given] for name, given in value.items()}
    return value


Condition = Annotated[
    dict[Name, Annotated[tuple[Scalar | None, ...], Field(min_length=1)]] | StrictStr, BeforeValidator(_condition)
]


class Case(Frozen):
    """`if` is a mapping of columns to the values they may have (null among them), or a restricted expression."""

    if_: Condition = Field(
        alias="if",
        description="Columns with the values that they may have, or a restricted expression; NULL does not hold",
        examples=[{"status_code": ["ACT", "LOA"]}],
    )
    then: Branch = Field(description="What the field is where the condition holds", examples=[{"constant": "employed"}])


class When(Frozen):
    """The branch of the first case that holds; where none does, `otherwise`, else an error of the row."""

    cases: Annotated[tuple[Case, ...], Field(min_length=1, max_length=50)]
    otherwise: Branch | None = None
    may_be_none: bool = False  # `otherwise: null` was written

    @property
    def branches(self) -> Iterable[Branch]:
        return [case.then for case in self.cases] + ([self.otherwise] if self.otherwise is not None else [])

    def places(self, types: Types) -> Places:
        places: Places = {}
        for n, case in enumerate(self.cases):
            for column in case.if_ if isinstance(case.if_, dict) else Computed(case.if_).places(types):
                places.setdefault(column, ("when", n, "if", column))
            if case.then.from_ is not None:
                places.setdefault(case.then.from_, ("when", n, "then", "from"))
        if self.otherwise is not None and self.otherwise.from_ is not None:
            places.setdefault(self.otherwise.from_, ("otherwise", "from"))
        return places

    def gives(self, types: Types, field_type: PgType) -> PgType:
        for n, case in enumerate(self.cases):
            try:
                self._check_condition(case, types)
            except ExpressionRefused as refused:
                refused.place = ("when", n, "if")
                raise
        columns = [types[branch.from_] for branch in self.branches if branch.from_ is not None]
        given = unified(columns) if columns else field_type.as_read
        for branch in self.branches:
            if branch.constant is not None:
                check_literal(branch.constant, given)
        return given

    def _check_condition(self, case: Case, types: Types) -> None:
        if isinstance(case.if_, str):
            if read_expression(case.if_, types).type.name != "boolean":
                raise NotApplicable("the expression of `if` gives no boolean")
            return
        for column, allowed in case.if_.items():
            for value in allowed:
                if value is not None:
                    check_literal(value, types[column].as_read)

    def sql(self, row: Row, given: PgType) -> Composable:
        whens = [
            template("when {c} then {v}", c=_holds(case, row), v=_branch(case.then, row, given)) for case in self.cases
        ]
        if self.otherwise is not None:
            whens.append(template("else {v}", v=_branch(self.otherwise, row, given)))
        return template("case {whens} end", whens=sql.SQL(" ").join(whens))

    def faults(self, row: Row) -> Faults:
        found: Faults = []
        if (fails := self._fails(row)) is not None:
            found.append(("expression", fails))
        if self.otherwise is None and not self.may_be_none:
            held = sql.SQL(" or ").join(_holds(case, row) for case in self.cases)
            found.append(("when", template("(({held}) is not true)", held=held)))
        return found

    def _fails(self, row: Row) -> Composable | None:
        """Whether a condition that is reached cannot be computed; those after the first that holds are not reached."""
        reached: list[Composable] = []
        can_fail = False
        for case in self.cases:
            fails = read_expression(case.if_, row.types).fails(row.values) if isinstance(case.if_, str) else None
            if fails is not None:
                can_fail = True
                reached.append(template("when {f} then true", f=fails))
            reached.append(template("when {c} then false", c=_holds(case, row)))
        return template("case {reached} else false end", reached=sql.SQL(" ").join(reached)) if can_fail else None


def _holds(case: Case, row: Row) -> Composable:
    if isinstance(case.if_, str):
        return template("({c})", c=read_expression(case.if_, row.types).sql(row.values))
    parts = [_is_one_of(row.values[column], allowed) for column, allowed in case.if_.items()]
    return template("({c})", c=sql.SQL(" and ").join(parts))


def _is_one_of(value: Composable, allowed: tuple[Scalar | None, ...]) -> Composable:
    said = [untyped(one) for one in allowed if one is not None]
    parts = [template("{v} in ({said})", v=value, said=sql.SQL(", ").join(said))] if said else []
    if None in allowed:
        parts.append(template("{v} is null", v=value))
    return template("({any})", any=sql.SQL(" or ").join(parts))


def _branch(branch: Branch, row: Row, given: PgType) -> Composable:
    value = sql.NULL if branch.constant is None else untyped(branch.constant)
    if branch.from_ is not None:
        value = row.values[branch.from_]
    return template("({v})::{t}", v=value, t=given.sql)


def unified(types: list[PgType]) -> PgType:
    """The one type that values of all these types have; raises NotApplicable."""
    read = {kind.as_read for kind in types}
    if len(read) == 1:
        return read.pop()
    families = {kind.family for kind in read}
    if families == {"text"}:
        return TEXT
    if families == {"number"}:
        return NUMERIC
    raise NotApplicable(f"columns of different kinds do not go together: {', '.join(sorted(map(str, types)))}")


def _cast_all(row: Row, columns: Iterable[str], to: PgType) -> Composable:
    return sql.SQL(", ").join(template("({c})::{t}", c=row.values[name], t=to.sql) for name in columns)


def _as_text(row: Row, name: str) -> Composable:
    return row.values[name] if row.types[name] == TEXT else template("({c})::text", c=row.values[name])
