"""Steps that read, write and round numbers; and what all steps on numbers share.

Nothing is rounded without a word: where a result has more decimals than it may, its row is rejected.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import ClassVar, Literal, Self

from psycopg import sql
from psycopg.sql import Composable
from pydantic import Field, StrictInt, model_validator
from pydantic_core import PydanticCustomError

from syncline.core.transforms.base import Cost, NotApplicable, Transform, lit, template
from syncline.core.types import INTEGER_DIGITS, NUMERIC, PRECISION_MAX, PgType

DIGITS_MAX = 30  # a longer run of digits in a business field is dirt, not a number
PLAIN = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")  # Decimal() reads 1_000 and ٣ too
LARGEST = "1e900"  # far above any business number, far below where PostgreSQL's numeric ends
SCALE_MAX = 16_000  # decimals; PostgreSQL rounds a product that has more than 16,383

Mode = Literal["half_even", "half_up", "floor", "ceiling", "truncate"]
Mark = Literal[".", ","]
Thousands = Literal["", ".", ",", " ", "'"]


def in_bounds(value: Composable) -> Composable:
    """Whether arithmetic on a numeric can be exact: neither NaN nor infinity, nor far from any business number."""
    return template(
        "{v} > {low}::numeric and {v} < {high}::numeric",
        v=value, low=sql.Literal("-" + LARGEST), high=sql.Literal(LARGEST),
    )  # fmt: skip


def whole_digits(given: PgType) -> int:
    """Digits before the decimal point that a value of a number type may have."""
    if given.precision is None:
        return INTEGER_DIGITS.get(given.name, PRECISION_MAX)
    return given.precision - (given.scale or 0)


def numeric_of(whole: int, scale: int) -> PgType:
    """numeric with so many digits before and behind the point; without bounds where there are too many."""
    if whole + scale > PRECISION_MAX or scale > PRECISION_MAX:
        return NUMERIC
    return PgType("numeric", max(whole + scale, 1), scale)


def exact_number(word: str, value: object) -> Decimal:
    """A number of a mapping file, as it is written there; raises M02."""
    number = Decimal(str(value)) if PLAIN.fullmatch(str(value)) else None  # `True` is none either
    if number is None or len(number.as_tuple().digits) > DIGITS_MAX or abs(number.adjusted()) > DIGITS_MAX:
        said = "`{word}` takes a plain number of at most {digits} digits, not '{value}'"
        shown = {"word": word, "digits": DIGITS_MAX, "value": str(value)[:40]}
        raise PydanticCustomError("M02", said, shown)
    return number


class ParseNumber(Transform):
    """Text to numeric: `1234.5` or, with separators declared, `1.234,50`.

    NULL stays NULL. Anything else is an error of the row: white space, an exponent, separators out of place, digits of
    other scripts, more than 30 digits in a row.
    """

    word: Literal["parse_number"] = "parse_number"
    may_reject: ClassVar[bool] = True
    cost: ClassVar[Cost] = "heavy"
    examples: ClassVar[tuple[str, ...]] = ("parse_number", "{parse_number: {decimal: ',', thousands: '.'}}")
    decimal: Mark = Field(".", description="The sign before the decimals", examples=[","])
    thousands: Thousands = Field(
        "", description="The sign between groups of three digits; none if empty", examples=["."]
    )

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        if self.decimal == self.thousands:
            raise NotApplicable("`parse_number` cannot use one sign for decimals and thousands")
        return NUMERIC

    def sql(self, value: Composable, given: PgType) -> Composable:
        mark = {".": r"\.", ",": ","}[self.decimal]
        grouped = {"": "", ".": r"\.", ",": ",", " ": " ", "'": "'"}[self.thousands]
        digits = f"[0-9]{{1,{DIGITS_MAX}}}"
        whole = f"({digits}|[0-9]{{1,3}}({grouped}[0-9]{{3}}){{1,{DIGITS_MAX // 3 - 1}}})" if grouped else digits
        pattern = f"^[+-]?{whole}({mark}{digits})?$"
        return template(
            "case when {v} ~ {pattern} then translate({v}, {given}, '.')::numeric end",
            v=value, pattern=lit(pattern), given=lit(self.decimal + self.thousands),
        )  # fmt: skip


class Round(Transform):
    """Round to `scale` decimals: half_even (bankers), half_up (away from zero at the half), floor, ceiling or truncate.

    NULL stays NULL. NaN, infinity and numbers of more than 900 digits are errors of the row.
    """

    word: Literal["round"] = "round"
    takes: ClassVar[tuple[str, ...]] = ("number",)
    may_reject: ClassVar[bool] = True  # NaN and infinity have no rounded value
    examples: ClassVar[tuple[str, ...]] = (
        "{round: {scale: 2, mode: half_even}}",
        "{round: {scale: 0, mode: floor}}",
    )
    scale: StrictInt = Field(ge=0, le=12, description="Decimals that stay", examples=[2])
    mode: Mode = Field(description="Which neighbour wins; of two equally near ones too", examples=["half_even"])

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        if given.name == "numeric" and given.precision is None:
            return PgType("numeric", PRECISION_MAX, self.scale)
        whole = given.bounds[1]  # rounding up may need one digit more
        return PgType("numeric", min(len(str(whole)) + 1 + self.scale, PRECISION_MAX), self.scale)

    def sql(self, value: Composable, given: PgType) -> Composable:
        v, n = template("({v})::numeric", v=value), lit(self.scale)
        rounded = {
            "half_up": "round({v}, {n})",
            "truncate": "trunc({v}, {n})",
            # Multiplied, not divided: PostgreSQL divides to 16 digits, a product is exact.
            "floor": "floor({v} * {unit}) * {step}",
            "ceiling": "ceil({v} * {unit}) * {step}",
            # exactly at the half the even neighbour wins; elsewhere it is plain rounding
            "half_even": "case when abs(round({v}, {n}) - {v}) = {half} then round({v} / 2, {n}) * 2"
            " else round({v}, {n}) end",
        }[self.mode]
        bounded = "case when {v} > {low} and {v} < {high} then " + rounded + " end"  # NaN is above everything
        return template(
            bounded,
            v=v,
            n=n,
            unit=sql.Literal(Decimal(10**self.scale)),
            step=sql.Literal(Decimal(1).scaleb(-self.scale)),
            half=sql.Literal(Decimal(5).scaleb(-self.scale - 1)),
            low=template("{l}::numeric", l=sql.Literal("-" + LARGEST)),
            high=template("{h}::numeric", h=sql.Literal(LARGEST)),
        )


class FormatNumber(Transform):
    """A number as text with a fixed number of decimals: `{format_number: {decimals: 2}}` writes 1234.50.

    `decimal` and `thousands` are the signs: `{decimals: 2, decimal: ',', thousands: '.'}` writes 1.234,50. NULL stays
    NULL. More decimals than are written (`round` goes before), more than 30 digits, NaN and infinity are errors of the
    row.
    """

    word: Literal["format_number"] = "format_number"
    takes: ClassVar[tuple[str, ...]] = ("number",)
    may_reject: ClassVar[bool] = True
    examples: ClassVar[tuple[str, ...]] = (
        "{format_number: {decimals: 2}}",
        "{format_number: {decimals: 2, decimal: ',', thousands: '.'}}",
    )
    decimals: StrictInt = Field(
        ge=0, le=12, description="Decimals that are written, no more and no fewer", examples=[2]
    )
    decimal: Mark = Field(".", description="The sign before the decimals", examples=[","])
    thousands: Thousands = Field(
        "", description="The sign between groups of three digits; none if empty", examples=["."]
    )

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if self.decimal == self.thousands:
            raise PydanticCustomError("M02", "`format_number` cannot use one sign for decimals and thousands", {})
        return self

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        whole = self._whole(given)
        groups = (whole - 1) // 3 if self.thousands else 0
        return PgType("varchar", length=1 + whole + groups + (self.decimals and self.decimals + 1))

    def _whole(self, given: PgType) -> int:
        return max(1, min(whole_digits(given), DIGITS_MAX))

    def sql(self, value: Composable, given: PgType) -> Composable:
        v, whole = template("({v})::numeric", v=value), self._whole(given)
        if self.thousands:
            digits = "9" * (whole - 1) + "0"
            groups = [digits[max(end - 3, 0) : end] for end in range(whole, 0, -3)]
            picture = "FM" + ",".join(reversed(groups)) + ("." + "0" * self.decimals if self.decimals else "")
            said = template("to_char({v}, {p})", v=v, p=lit(picture))
        else:
            said = template("round({v}, {d})::text", v=v, d=lit(self.decimals))
        swapped = ".," if self.thousands else "."
        if swapped != (wanted := self.decimal + self.thousands):
            said = template("translate({t}, {a}, {b})", t=said, a=lit(swapped), b=lit(wanted))
        limit = sql.Literal(Decimal(10**whole))
        return template(
            "case when {v} > - {limit} and {v} < {limit} then case when {v} = trunc({v}, {d}) then {said} end end",
            v=v, limit=limit, d=lit(self.decimals), said=said,
        )  # fmt: skip
