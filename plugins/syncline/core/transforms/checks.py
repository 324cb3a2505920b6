"""Checks on a finished value. A value that fails is an error of its row under the check's name."""

from __future__ import annotations

from functools import cache
from typing import ClassVar, Literal

from psycopg import sql
from psycopg.sql import Composable
from pydantic import Field, model_validator

from syncline.core.transforms.base import Check, lit, template
from syncline.core.transforms.text import check_literal, untyped
from syncline.core.types import PgType


class Required(Check):
    """The target must have a value."""

    word: Literal["required"] = "required"

    def fails(self, value: Composable) -> Composable:
        return template("{v} is null", v=value)


class MaxLength(Check):
    """At most so many characters; a longer value is refused, not cut."""

    word: Literal["max_length"] = "max_length"
    shorthand: ClassVar[str | None] = "length"
    takes: ClassVar[tuple[str, ...]] = ("text",)
    length: int = Field(ge=1, le=1_000_000)

    def fails(self, value: Composable) -> Composable:
        return template("char_length({v}) > {n}", v=value, n=lit(self.length))


class Range(Check):
    """Between min and max, both allowed; either may be left out. Infinity and NaN never pass a bound."""

    word: Literal["range"] = "range"
    takes: ClassVar[tuple[str, ...]] = ("number", "date", "timestamp", "timestamptz")
    min: int | float | str | None = None
    max: int | float | str | None = None

    @model_validator(mode="after")
    def _has_a_bound(self) -> Range:
        if self.min is None and self.max is None:
            raise ValueError("`range` needs min, max or both")
        return self

    def require(self, given: PgType) -> None:
        super().require(given)
        for bound in (self.min, self.max):
            if bound is not None:
                check_literal(bound, PgType("numeric") if given.family == "number" else given)

    def fails(self, value: Composable) -> Composable:
        said = []
        if self.min is not None:
            said.append(template("{v} < {bound}", v=value, bound=untyped(self.min)))
        if self.max is not None:
            said.append(template("{v} > {bound}", v=value, bound=untyped(self.max)))
        return sql.SQL("({})").format(sql.SQL(" or ").join(said))


class OneOf(Check):
    """One of the given values."""

    word: Literal["one_of"] = "one_of"
    shorthand: ClassVar[str | None] = "values"
    takes: ClassVar[tuple[str, ...]] = ("text",)
    values: tuple[str, ...] = Field(min_length=1)

    def fails(self, value: Composable) -> Composable:
        return _not_in(value, self.values)


class Pattern(Check):
    """Matches a PostgreSQL regular expression as a whole."""

    word: Literal["pattern"] = "pattern"
    shorthand: ClassVar[str | None] = "regex"
    takes: ClassVar[tuple[str, ...]] = ("text",)
    regex: str = Field(min_length=1, max_length=200)  # bounded: a pattern is reviewed by eye

    def fails(self, value: Composable) -> Composable:
        return template("{v} !~ {pattern}", v=value, pattern=lit(f"^(?:{self.regex})$"))


# Letters of an IBAN stand for 10 to 35 in the check sum.
IBAN_LETTERS = {chr(ord("A") + n): str(10 + n) for n in range(26)}
IBAN_SHAPE = "^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}$"


class Iban(Check):
    """A well-formed IBAN whose ISO 7064 mod 97 check digits hold; without spaces, upper case.

    Source: ISO 13616-1. The length per country is not checked here: the check digits find a lost digit.
    """

    word: Literal["iban"] = "iban"
    takes: ClassVar[tuple[str, ...]] = ("text",)

    def fails(self, value: Composable) -> Composable:
        digits = template("substr({v}, 5) || substr({v}, 1, 4)", v=value)
        for letter, number in IBAN_LETTERS.items():
            digits = template("replace({v}, {a}, {b})", v=digits, a=lit(letter), b=lit(number))
        return template(
            "case when {v} ~ {shape} then ({digits})::numeric % 97 <> 1 else {v} is not null end",
            v=value, shape=lit(IBAN_SHAPE), digits=digits,
        )  # fmt: skip


class IsoCountry(Check):
    """An officially assigned ISO 3166-1 alpha-2 code, upper case."""

    word: Literal["iso_country"] = "iso_country"
    takes: ClassVar[tuple[str, ...]] = ("text",)

    def fails(self, value: Composable) -> Composable:
        return _not_in(value, _iso("countries", "alpha_2"))


class IsoCurrency(Check):
    """An active ISO 4217 code, upper case."""

    word: Literal["iso_currency"] = "iso_currency"
    takes: ClassVar[tuple[str, ...]] = ("text",)

    def fails(self, value: Composable) -> Composable:
        return _not_in(value, _iso("currencies", "alpha_3"))


def _not_in(value: Composable, allowed: tuple[str, ...]) -> Composable:
    """`<> all (array)`: PostgreSQL hashes a constant array of nine values or more."""
    return template("{v} <> all ({allowed}::text[])", v=value, allowed=sql.Literal(list(allowed)))


@cache
def _iso(kind: str, attribute: str) -> tuple[str, ...]:
    import pycountry  # read when a mapping is compiled, not while a DAG file is parsed

    return tuple(sorted(getattr(entry, attribute) for entry in getattr(pycountry, kind)))
