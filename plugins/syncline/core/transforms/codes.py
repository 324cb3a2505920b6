"""Steps on codes: enumeration maps and code lists. Lookups in other tables are a field's beginning, see field_values.

Measured over 200,000 rows, in ns for one row beyond a plain column, CASE against a constant jsonb object: 3 codes 40
and 30, 8 codes 70 and 45, 50 codes 350 and 45, 500 codes 2,650 and 140; array_position is slower than both. So a few
codes are a CASE, which people can read, and more are an object. Where the day decides, a tree of comparisons ends in
the periods of one code: 500 codes 210. Asking only whether a code is there costs 30 by a constant array, at any size.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Literal, Self

from psycopg import sql
from psycopg.sql import Composable
from pydantic import Field, PrivateAttr, ValidationInfo, model_validator

from syncline.core.models import Frozen, Name
from syncline.core.references import CodeList, Entry, references_of
from syncline.core.transforms.base import Check, Cost, NotApplicable, Row, Transform, lit, template
from syncline.core.types import LENGTH_MAX, PgType

CASE_MAX = 4  # codes; more are an object
LEAF_MAX = 4  # codes at the end of a branch


def looked_up(value: Composable, table: Mapping[str, str]) -> Composable:
    """SQL of a code's counterpart; NULL for a code without one."""
    if len(table) <= CASE_MAX:
        whens = sql.SQL(" ").join(template("when {a} then {b}", a=lit(a), b=lit(b)) for a, b in table.items())
        return template("case {v} {whens} end", v=value, whens=whens)
    return template("({t}::jsonb ->> {v})", t=sql.Literal(json.dumps(dict(table), ensure_ascii=False)), v=value)


def branched(value: Composable, codes: Sequence[str], leaf: Callable[[str], Composable]) -> Composable:
    """SQL that finds one of many sorted codes by halving, and then says what `leaf` says of it."""
    if len(codes) <= LEAF_MAX:
        whens = sql.SQL(" ").join(template("when {a} then {b}", a=lit(code), b=leaf(code)) for code in codes)
        return template("case {v} {whens} end", v=value, whens=whens)
    middle = len(codes) // 2
    return template(
        'case when {v} collate "C" < {middle} then {below} else {above} end',
        v=value, middle=lit(codes[middle]),
        below=branched(value, codes[:middle], leaf), above=branched(value, codes[middle:], leaf),
    )  # fmt: skip


def sorted_codes(codes: Sequence[str]) -> list[str]:
    """As collation C sorts UTF-8: by bytes."""
    return sorted(codes, key=lambda code: code.encode())


def within(entry: Entry, at: Composable) -> Composable:
    """Whether an entry holds on a day; never where the day is NULL."""
    said = []
    if entry.valid_from is not None:
        said.append(template("{at} >= {day}", at=at, day=_day(str(entry.valid_from))))
    if entry.valid_to is not None:
        said.append(template("{at} <= {day}", at=at, day=_day(str(entry.valid_to))))
    return sql.SQL(" and ").join(said) if said else template("{at} is not null", at=at)


def _day(day: str) -> Composable:
    return sql.SQL("{}::date").format(sql.Literal(day))


def _or_otherwise(value: Composable, found: Composable, otherwise: str | None) -> Composable:
    if otherwise is None:
        return found
    return template("case when {v} is not null then coalesce({found}, {o}) end", v=value, found=found, o=lit(otherwise))


def _text_of(counterparts: list[str], otherwise: str | None) -> PgType:
    """varchar of the longest counterpart."""
    longest = max(map(len, [*counterparts, otherwise or ""]))
    return PgType("varchar", length=min(max(longest, 1), LENGTH_MAX))


class MapCodes(Transform):
    """Each code becomes its counterpart: `{map: {ACT: active, TRM: left}}`.

    NULL stays NULL. A code without counterpart is an error of the row, or becomes `otherwise` where that is declared.
    What several mappings share, or what changes with the years, is better kept as a code list: see `code_list`.
    """

    word: Literal["map"] = "map"
    shorthand: ClassVar[str | None] = "values"
    may_reject: ClassVar[bool] = True
    cost: ClassVar[Cost] = "free"
    examples: ClassVar[tuple[str, ...]] = (
        "{map: {ACT: active, TRM: left}}",
        "{map: {values: {A: active}, otherwise: unknown}}",
    )
    values: dict[str, str] = Field(
        min_length=1, description="Code -> its counterpart", examples=[{"ACT": "active", "TRM": "left"}]
    )
    otherwise: str | None = Field(None, description="What every other code becomes", examples=["unknown"])

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return _text_of(list(self.values.values()), self.otherwise)

    def sql(self, value: Composable, given: PgType) -> Composable:
        return _or_otherwise(value, looked_up(value, self.values), self.otherwise)


class OnList(Frozen):
    """What the words on code lists share: the list's name, and the column whose day decides where it is dated."""

    list: Name = Field(description="A file of include/code_lists/, without .yaml", examples=["iso_3166_alpha_3"])
    at: Name | None = Field(
        None,
        description="Date column whose day decides what a code means; for lists with periods",
        examples=["hired_on"],
    )
    _found: CodeList = PrivateAttr()

    @model_validator(mode="after")
    def _find(self, info: ValidationInfo) -> Self:
        self._found = references_of(info).code_list(self.list)
        return self

    @property
    def reads(self) -> tuple[str, ...]:
        return () if self.at is None else (self.at,)

    def require_row(self, types: Mapping[str, PgType]) -> None:
        for column in self.reads:
            if (kind := types.get(column)) is not None and kind.family != "date":
                raise NotApplicable(f"`at` is a date column, and '{column}' is {kind}")

    def require_day(self) -> None:
        """Refuse a dated list without a day, and a day that decides nothing; raises NotApplicable."""
        if self._found.is_dated and self.at is None:
            raise NotApplicable(f"code list '{self.list}' has periods: say `at`, the date column that decides")
        if not self._found.is_dated and self.at is not None:
            raise NotApplicable(f"code list '{self.list}' has no periods, so `at` decides nothing; drop it")


class FromCodeList(OnList, Transform):
    """Each code becomes its counterpart in a code list: `{code_list: worker_status}`.

    A list whose entries have periods needs `at`: the day in that column decides. A code that the list does not have, or
    not on that day, and NULL as the day are errors of the row, or become `otherwise` where that is declared. NULL stays
    NULL.
    """

    word: Literal["code_list"] = "code_list"
    shorthand: ClassVar[str | None] = "list"
    may_reject: ClassVar[bool] = True
    examples: ClassVar[tuple[str, ...]] = (
        "{code_list: iso_3166_alpha_3}",
        "{code_list: {list: euro_area, at: booked_on, otherwise: other}}",
    )
    otherwise: str | None = Field(None, description="What every other code becomes", examples=["unknown"])

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        self.require_day()
        return _text_of(sorted(self._found.values), self.otherwise)

    def sql_in(self, value: Composable, given: PgType, row: Row) -> Composable:
        entries = self._found.entries
        if self.at is None:
            found = looked_up(value, {code: periods[0].value for code, periods in entries.items()})
        else:
            at = row.values[self.at]
            found = branched(value, sorted_codes(list(entries)), lambda code: _on_day(entries[code], at))
        return _or_otherwise(value, found, self.otherwise)


def _on_day(periods: Sequence[Entry], at: Composable) -> Composable:
    whens = sql.SQL(" ").join(
        template("when {c} then {b}", c=within(entry, at), b=lit(entry.value)) for entry in periods
    )
    return template("case {whens} end", whens=whens)


class InCodeList(OnList, Check):
    """One of the codes of a list, or of its counterparts with `of: values`: `{in_code_list: iso_3166_alpha_3}`.

    A list whose entries have periods needs `at`, a date field of the target: a code outside its period is refused, and
    so is every code where that field is NULL. NULL passes.
    """

    word: Literal["in_code_list"] = "in_code_list"
    shorthand: ClassVar[str | None] = "list"
    takes: ClassVar[tuple[str, ...]] = ("text",)
    cost: ClassVar[Cost] = "free"
    examples: ClassVar[tuple[str, ...]] = (
        "{in_code_list: iso_3166_alpha_3}",
        "{in_code_list: {list: iso_3166_alpha_3, of: values}}",
        "{in_code_list: {list: euro_area, at: booked_on}}",
    )
    of: Literal["codes", "values"] = Field("codes", description="Which side of the list", examples=["values"])

    def require(self, given: PgType) -> None:
        super().require(given)
        self.require_day()

    def fails_in(self, value: Composable, given: PgType, row: Row) -> Composable:
        allowed: dict[str, list[Entry]] = {}
        for code, entry in self._found.periods():
            allowed.setdefault(code if self.of == "codes" else entry.value, []).append(entry)
        if self.at is None:
            return template("{v} <> all({codes})", v=value, codes=_array(list(allowed)))
        at = row.values[self.at]

        def holds(code: str) -> Composable:
            said = (template("({c})", c=within(entry, at)) for entry in allowed[code])
            return template("({any})", any=sql.SQL(" or ").join(said))

        held = branched(value, sorted_codes(list(allowed)), holds)
        return template("({v} is not null and ({held}) is not true)", v=value, held=held)


def _array(texts: list[str]) -> Composable:
    """A constant array; PostgreSQL hashes it."""
    return template("array[{texts}]", texts=sql.SQL(", ").join(lit(text) for text in texts))
