"""Steps that calculate with a number, exactly: a quotient without a last decimal needs a declared rounding."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar, Literal, Self

from psycopg import sql
from psycopg.sql import Composable
from pydantic import Field, PrivateAttr, StrictInt, model_validator
from pydantic_core import PydanticCustomError

from syncline.core.transforms.base import Cost, Scalar, Transform, lit, template
from syncline.core.transforms.numbers import (
    DIGITS_MAX,
    SCALE_MAX,
    Mode,
    exact_number,
    in_bounds,
    numeric_of,
    whole_digits,
)
from syncline.core.types import NUMERIC, PRECISION_MAX, PgType


class Multiply(Transform):
    """Times a number, exactly: `{multiply: 100}`, `{multiply: 0.01}`; the result has all its decimals.

    NULL stays NULL. NaN, infinity and numbers of more than 900 digits are errors of the row.
    """

    word: Literal["multiply"] = "multiply"
    shorthand: ClassVar[str | None] = "by"
    takes: ClassVar[tuple[str, ...]] = ("number",)
    may_reject: ClassVar[bool] = True
    examples: ClassVar[tuple[str, ...]] = ("{multiply: 100}", "{multiply: -0.01}")
    by: Scalar = Field(description="The factor", examples=[100, 0.01])
    _by: Decimal = PrivateAttr()

    @model_validator(mode="after")
    def _is_number(self) -> Self:
        self._by = exact_number(self.word, self.by)
        return self

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return product_type(given, self._by)

    def sql(self, value: Composable, given: PgType) -> Composable:
        return product(value, self._by)


def product_type(given: PgType, factor: Decimal) -> PgType:
    """The narrowest numeric that holds every product."""
    if given.name == "numeric" and given.precision is None:
        return NUMERIC
    scale = max(0, -int(factor.as_tuple().exponent))
    return numeric_of(whole_digits(given) + max(0, factor.adjusted() + 1), (given.scale or 0) + scale)


def product(value: Composable, factor: Decimal) -> Composable:
    """SQL of an exact product; NULL where it cannot be."""
    v = template("({v})::numeric", v=value)
    return template(
        "case when {in_} then case when scale({v}) <= {most} then {v} * {f} end end",
        in_=in_bounds(v), v=v, most=lit(SCALE_MAX), f=sql.Literal(factor),
    )  # fmt: skip


class DivideBy(Transform):
    """Divided by a number: `{divide_by: 100}`; a quotient without a last decimal needs its rounding said.

    A divisor of twos and fives alone (100, 8, 0.25) divides exactly, and the result has all its decimals. Every other
    one (12, 3) needs `scale` and `mode`: the quotient is rounded once, from its exact value. NULL stays NULL. NaN,
    infinity and numbers of more than 900 digits are errors of the row.
    """

    word: Literal["divide_by"] = "divide_by"
    shorthand: ClassVar[str | None] = "divisor"
    takes: ClassVar[tuple[str, ...]] = ("number",)
    may_reject: ClassVar[bool] = True
    examples: ClassVar[tuple[str, ...]] = ("{divide_by: 100}", "{divide_by: {divisor: 12, scale: 2, mode: half_even}}")
    divisor: Scalar = Field(description="What it is divided by; not zero", examples=[100, 12])
    scale: StrictInt | None = Field(None, ge=0, le=12, description="Decimals that stay", examples=[2])
    mode: Mode | None = Field(None, description="How it is rounded, as in round", examples=["half_even"])
    _divisor: Decimal = PrivateAttr()

    @model_validator(mode="after")
    def _is_said_whole(self) -> Self:
        self._divisor = exact_number(self.word, self.divisor)
        if self._divisor == 0:
            raise PydanticCustomError("M02", "`divide_by` does not divide by zero", {})
        if (self.scale is None) != (self.mode is None):
            raise PydanticCustomError("M02", "`scale` and `mode` go together", {})
        if self.mode is None and reciprocal(self._divisor) is None:
            raise PydanticCustomError(
                "M02", "a quotient by {divisor} may have no last decimal: say `scale` and `mode`",
                {"divisor": str(self.divisor)},
            )  # fmt: skip
        return self

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        if self.scale is None:
            return product_type(given, reciprocal(self._divisor) or Decimal(1))
        if given.name == "numeric" and given.precision is None:
            return PgType("numeric", PRECISION_MAX, self.scale)
        return numeric_of(whole_digits(given) + max(0, -self._divisor.adjusted()) + 1, self.scale)

    def sql(self, value: Composable, given: PgType) -> Composable:
        if self.scale is None:
            return product(value, reciprocal(self._divisor) or Decimal(1))
        v = template("({v})::numeric", v=value)
        # copy_abs: abs() rounds to 28 digits
        d, step = sql.Literal(self._divisor.copy_abs()), sql.Literal(Decimal(1).scaleb(-self.scale))
        # div() cuts the exact quotient q towards zero; r is what is left of the dividend.
        nearer = {
            "truncate": "q",
            "floor": "case when r < 0 then q - 1 else q end",
            "ceiling": "case when r > 0 then q + 1 else q end",
            "half_up": "case when abs(r) * 2 >= {d} then q + sign(r) else q end",
            "half_even": "case when abs(r) * 2 > {d} or (abs(r) * 2 = {d} and mod(q, 2) <> 0)"
            " then q + sign(r) else q end",
        }[self.mode or "truncate"]
        return template(
            "case when {in_} then case when scale({v}) <= {most} then (select ({nearer}) * {step}"
            " from (select q, n - q * {d} as r from (select div(n, {d}) as q, n"
            " from (select {v} * {unit} as n offset 0) as x offset 0) as y offset 0) as z) end end",
            in_=in_bounds(v), v=v, most=lit(SCALE_MAX), nearer=template(nearer, d=d), step=step, d=d,
            unit=sql.Literal(Decimal(10**self.scale) * (1 if self._divisor > 0 else -1)),
        )  # fmt: skip


def reciprocal(divisor: Decimal) -> Decimal | None:
    """1 / divisor where that is a decimal of at most 30 digits."""
    top, bottom = divisor.as_integer_ratio()
    for digits in range(DIGITS_MAX + 1):
        if (bottom * 10**digits) % top == 0:
            return Decimal(f"{bottom * 10**digits // top}E-{digits}")  # arithmetic would round it to 28 digits
    return None


class Absolute(Transform):
    """The number without its sign; an integer becomes the next wider type, for its least value has no counterpart.

    NULL stays NULL. Nothing is an error of the row.
    """

    word: Literal["absolute"] = "absolute"
    takes: ClassVar[tuple[str, ...]] = ("number", "float")
    cost: ClassVar[Cost] = "free"
    examples: ClassVar[tuple[str, ...]] = ("absolute",)

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return _wider(given)

    def sql(self, value: Composable, given: PgType) -> Composable:
        return template("abs(({v})::{t})", v=value, t=_wider(given).sql)


class Negate(Transform):
    """The number with the other sign; an integer becomes the next wider type, for its least value has no counterpart.

    NULL stays NULL. Nothing is an error of the row.
    """

    word: Literal["negate"] = "negate"
    takes: ClassVar[tuple[str, ...]] = ("number", "float")
    cost: ClassVar[Cost] = "free"
    examples: ClassVar[tuple[str, ...]] = ("negate",)

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return _wider(given)

    def sql(self, value: Composable, given: PgType) -> Composable:
        return template("(- ({v})::{t})", v=value, t=_wider(given).sql)


WIDER = {"smallint": PgType("integer"), "integer": PgType("bigint"), "bigint": PgType("numeric", 19, 0)}


def _wider(given: PgType) -> PgType:
    return WIDER.get(given.name, given)
