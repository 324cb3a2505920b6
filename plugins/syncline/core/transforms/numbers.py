"""Steps on numbers: reading them from text and declared rounding. Nothing is rounded without a word."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar, Literal

from psycopg import sql
from psycopg.sql import Composable
from pydantic import Field, StrictInt

from syncline.core.transforms.base import NotApplicable, Transform, lit, template
from syncline.core.types import NUMERIC, PRECISION_MAX, PgType

DIGITS_MAX = 30  # a longer run of digits in a business field is dirt, not a number
LARGEST = "1e900"  # far above any business number, far below where PostgreSQL's numeric ends


class ParseNumber(Transform):
    """Text to numeric: `1234.5` or, with separators declared, `1.234,50`. Anything else is an error of the row."""

    word: Literal["parse_number"] = "parse_number"
    is_partial: ClassVar[bool] = True
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ".", ",", " ", "'"] = ""

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
    """Round to `scale` decimals: half_even (bankers), half_up (away from zero at the half), floor or ceiling."""

    word: Literal["round"] = "round"
    takes: ClassVar[tuple[str, ...]] = ("number",)
    is_partial: ClassVar[bool] = True  # NaN and infinity have no rounded value
    scale: StrictInt = Field(ge=0, le=12)
    mode: Literal["half_even", "half_up", "floor", "ceiling", "truncate"]

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


class Cast(Transform):
    """Text to a boolean, integer or uuid in its plain spelling; number to a narrower integer if it fits."""

    word: Literal["cast"] = "cast"
    shorthand: ClassVar[str | None] = "to"
    takes: ClassVar[tuple[str, ...]] = ("text", "number")
    is_partial: ClassVar[bool] = True
    to: Literal["boolean", "smallint", "integer", "bigint", "uuid"]

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        if given.family == "number" and self.to in ("boolean", "uuid"):
            raise NotApplicable(f"`cast` makes no {self.to} of a {given}")
        return PgType(self.to)

    def sql(self, value: Composable, given: PgType) -> Composable:
        if self.to == "boolean":
            return template(
                "case lower({v}) when 'true' then true when 'false' then false when 't' then true"
                " when 'f' then false when '1' then true when '0' then false end", v=value,
            )  # fmt: skip
        if self.to == "uuid":
            pattern = lit("^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")
            return template("case when {v} ~ {pattern} then ({v})::uuid end", v=value, pattern=pattern)
        low, high = PgType(self.to).bounds
        # A text is a whole number in its plain spelling; of a number, decimals may be there if they are zero.
        shape = "^[+-]?[0-9]{1,19}$" if given.family == "text" else r"^-?[0-9]{1,19}(\.0+)?$"
        return template(
            "case when ({v})::text ~ {shape} then"
            " case when ({v})::numeric between {low} and {high} then ({v})::numeric::{to} end end",
            v=value, shape=lit(shape), low=lit(low), high=lit(high), to=PgType(self.to).sql,
        )  # fmt: skip
