"""Steps between amounts and minor units of their currency (cents): how many decimals a currency has is data."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import ClassVar, Literal, Self

from psycopg import sql
from psycopg.sql import Composable
from pydantic import Field, PrivateAttr, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from syncline.core.models import Frozen, Name
from syncline.core.references import references_of
from syncline.core.transforms.base import Cost, NotApplicable, Row, Transform, lit, template
from syncline.core.transforms.numbers import (
    in_bounds,
    numeric_of,
    whole_digits,
)
from syncline.core.types import PRECISION_MAX, PgType

MINOR_UNITS = "iso_4217_minor_units"  # the code list of include/code_lists
EXPONENT_MAX = 4  # of a currency in that list


class InCurrency(Frozen):
    """What the words on minor units share: a currency, or the column that says it, and their exponents."""

    currency: str | None = Field(None, description="ISO 4217 code of all amounts", examples=["GBP", "JPY"])
    currency_from: Name | None = Field(
        None, description="Text column of the row that says each amount's currency", examples=["currency_code"]
    )
    _exponents: dict[str, int] = PrivateAttr()

    @model_validator(mode="after")
    def _find(self, info: ValidationInfo) -> Self:
        if (self.currency is None) == (self.currency_from is None):
            raise PydanticCustomError("M02", "say either `currency` or `currency_from`", {})
        found = references_of(info).code_list(MINOR_UNITS)
        self._exponents = {code: int(entries[0].value) for code, entries in found.entries.items()}
        if self.currency is not None and self.currency not in self._exponents:
            said = "'{code}' is not a currency of include/code_lists/{name}.yaml"
            shown = {"code": self.currency[:40], "name": MINOR_UNITS, "allowed": "a code of ISO 4217: EUR"}
            raise PydanticCustomError("M17", said, shown)
        return self

    @property
    def reads(self) -> tuple[str, ...]:
        return () if self.currency_from is None else (self.currency_from,)

    def require_row(self, types: Mapping[str, PgType]) -> None:
        for column in self.reads:
            if (kind := types.get(column)) is not None and kind.family != "text":
                raise NotApplicable(f"`currency_from` is a text column, and '{column}' is {kind}")

    @property
    def _most(self) -> int:
        """The most decimals that an amount may have."""
        return EXPONENT_MAX if self.currency is None else self._exponents[self.currency]

    def _power(self, row: Row, sign: int) -> Composable:
        """SQL of ten to the power of the currency's exponent; NULL for an unknown currency."""
        if self.currency is not None:
            return sql.Literal(Decimal(1).scaleb(sign * self._exponents[self.currency]))
        code = row.values[self.currency_from or ""]
        # The two decimals of most currencies first; PostgreSQL hashes a constant array.
        whens = [
            template(
                "when {code} = any({codes}::text[]) then {power}",
                code=code, power=sql.Literal(Decimal(1).scaleb(sign * exponent)),
                codes=sql.Literal("{" + ",".join(sorted(c for c, e in self._exponents.items() if e == exponent)) + "}"),
            )
            for exponent in sorted(set(self._exponents.values()), key=lambda e: (e != 2, e))
        ]  # fmt: skip
        return template("case {whens} end", whens=sql.SQL(" ").join(whens))


class ToMinorUnits(InCurrency, Transform):
    """An amount in a currency's smallest unit: GBP 12.34 is 1234, JPY 500 is 500, KWD 1.234 is 1234.

    `{to_minor_units: {currency: GBP}}`, or each row's own currency: `{currency_from: currency_code}`. NULL stays NULL.
    An unknown currency, NULL as a currency, a fraction of a minor unit, NaN and what is no bigint are errors of the
    row.

    Source: ISO 4217, as include/code_lists/iso_4217_minor_units.yaml has it.
    """

    word: Literal["to_minor_units"] = "to_minor_units"
    takes: ClassVar[tuple[str, ...]] = ("number",)
    may_reject: ClassVar[bool] = True
    cost: ClassVar[Cost] = "heavy"
    examples: ClassVar[tuple[str, ...]] = (
        "{to_minor_units: {currency: GBP}}",
        "{to_minor_units: {currency_from: currency_code}}",
    )

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return PgType("bigint")

    def sql_in(self, value: Composable, given: PgType, row: Row) -> Composable:
        low, high = PgType("bigint").bounds
        v = template("({v})::numeric", v=value)
        return template(
            "case when {v} between {low} and {high} then (select case when m = trunc(m) and m between {low} and {high}"
            " then m::bigint end from (select {v} * {power} as m offset 0) as x) end",
            v=v, low=lit(low), high=lit(high), power=self._power(row, 1),
        )  # fmt: skip


class FromMinorUnits(InCurrency, Transform):
    """An amount in minor units as an amount of its currency: 1234 of GBP is 12.34, of KWD 1.234, of JPY 1234.

    `{from_minor_units: {currency: GBP}}`, or each row's own currency: `{currency_from: currency_code}`. NULL stays
    NULL. An unknown currency, NULL as a currency, a number with decimals, NaN and infinity are errors of the row.

    Source: ISO 4217, as include/code_lists/iso_4217_minor_units.yaml has it.
    """

    word: Literal["from_minor_units"] = "from_minor_units"
    takes: ClassVar[tuple[str, ...]] = ("number",)
    may_reject: ClassVar[bool] = True
    examples: ClassVar[tuple[str, ...]] = (
        "{from_minor_units: {currency: GBP}}",
        "{from_minor_units: {currency_from: currency_code}}",
    )

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        if given.name == "numeric" and given.precision is None:
            return PgType("numeric", PRECISION_MAX, self._most)
        whole = whole_digits(given)
        return numeric_of(whole if self.currency is None else max(whole - self._most, 0), self._most)

    def sql_in(self, value: Composable, given: PgType, row: Row) -> Composable:
        v = template("({v})::numeric", v=value)
        return template(
            "case when {in_} then case when {v} = trunc({v}) then {v} * {power} end end",
            in_=in_bounds(v), v=v, power=self._power(row, -1),
        )  # fmt: skip
