"""Checks on a finished value. A value that fails is an error of its row under the check's name."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from functools import cache
from math import prod
from typing import Annotated, ClassVar, Literal

from psycopg import sql
from psycopg.sql import Composable
from pydantic import AfterValidator, Field, StrictInt, model_validator
from pydantic_core import PydanticCustomError

from syncline.core.transforms.base import Check, NotApplicable, Scalar, lit, template
from syncline.core.transforms.literals import bound, check_literal
from syncline.core.types import INTEGER_DIGITS, NUMERIC, PgType


class Required(Check):
    """The target must have a value."""

    word: Literal["required"] = "required"

    def fails(self, value: Composable, given: PgType) -> Composable:
        return template("{v} is null", v=value)


class MaxLength(Check):
    """At most so many characters; a longer value is refused, not cut."""

    word: Literal["max_length"] = "max_length"
    shorthand: ClassVar[str | None] = "length"
    takes: ClassVar[tuple[str, ...]] = ("text",)
    length: StrictInt = Field(ge=1, le=1_000_000)

    def fails(self, value: Composable, given: PgType) -> Composable:
        return template("char_length({v}) > {n}", v=value, n=lit(self.length))


class Range(Check):
    """Between min and max, both allowed; either may be left out. Infinity and NaN never pass a bound."""

    word: Literal["range"] = "range"
    takes: ClassVar[tuple[str, ...]] = ("number", "date", "timestamp", "timestamptz")
    min: Scalar | None = None
    max: Scalar | None = None

    @model_validator(mode="after")
    def _has_a_bound(self) -> Range:
        if self.min is None and self.max is None:
            raise PydanticCustomError("M02", "`range` needs min, max or both", {})
        return self

    def require(self, given: PgType) -> None:
        super().require(given)
        for limit in (self.min, self.max):
            if limit is not None:
                check_literal(limit, NUMERIC if given.family == "number" else given)
        if self.min is not None and self.max is not None and _is_above(self.min, self.max, given):
            raise NotApplicable(f"`range` has min {self.min} above max {self.max}: nothing passes")

    def fails(self, value: Composable, given: PgType) -> Composable:
        said = []
        if self.min is not None:
            said.append(template("{v} < {limit}", v=value, limit=bound(self.min, given)))
        elif given.name not in INTEGER_DIGITS:
            said.append(template("{v} = '-infinity'", v=value))
        if self.max is not None:
            said.append(template("{v} > {limit}", v=value, limit=bound(self.max, given)))
        elif given.name not in INTEGER_DIGITS:
            said.append(template("{v} >= 'infinity'", v=value))  # NaN is above infinity
        return sql.SQL("({})").format(sql.SQL(" or ").join(said))


def _is_above(one: Scalar, other: Scalar, given: PgType) -> bool:
    if given.family == "number":
        return Decimal(str(one)) > Decimal(str(other))
    return datetime.fromisoformat(str(one)) > datetime.fromisoformat(str(other))


class OneOf(Check):
    """One of the given values."""

    word: Literal["one_of"] = "one_of"
    shorthand: ClassVar[str | None] = "values"
    takes: ClassVar[tuple[str, ...]] = ("text",)
    values: tuple[str, ...] = Field(min_length=1)

    def fails(self, value: Composable, given: PgType) -> Composable:
        return _not_in(value, self.values)


# What Python and PostgreSQL read alike, and no more: whether a pattern can run is known before it meets a row.
ESCAPED = re.compile(r"\\[dwsDWS]|\\[^\w\s]")
BRACKET = re.compile(r"\[\^?[^\[\]^]+\]")
COUNT = re.compile(r"(\)?)\{([0-9]{1,3})(?:,([0-9]{0,3}))?\}")
REPEAT_MAX = 255  # PostgreSQL's limit
STATES_MAX = 2_000  # counted repetitions multiply; PostgreSQL refuses "too complex" only when it runs


@cache
def why_not_portable(regex: str) -> str | None:
    """Why a regular expression is refused; None when it is fine."""
    if "--" in regex or "&&" in regex or "||" in regex or "~~" in regex:
        return "two equal signs of `-&|~` side by side"
    bare = ESCAPED.sub("x", regex)
    if "\\" in bare:
        return "only \\d \\w \\s and escaped signs may follow a backslash"
    bare = BRACKET.sub("x", bare)
    if "[" in bare or "]" in bare:
        return "brackets hold plain characters and ranges; escape [ ] ^ in them"
    counts = [(group, int(high or low)) for group, low, high in COUNT.findall(bare)]
    if any(count > REPEAT_MAX for _, count in counts):
        return f"a repetition above {REPEAT_MAX}"
    nested, flat = (prod(n for g, n in counts if g), sum(n for g, n in counts if not g))
    if nested * max(flat, 1) > STATES_MAX:
        return "too many counted repetitions"
    bare = COUNT.sub(r"\1*", bare)
    if "{" in bare or "}" in bare:
        return "a brace that counts nothing: escape it"
    if re.search(r"\(\?(?!:)", bare) or re.search(r"[*+?][*+]|[*?+]\?\?|(?:^|[(|^$])[*+?]", bare.replace("(?:", "(")):
        return "groups are ( ) or (?: ), and one sign repeats one thing"
    try:
        re.compile(regex)
    except (re.error, RecursionError, OverflowError) as error:
        return str(error)
    return None


def _portable(regex: str) -> str:
    if why := why_not_portable(regex):
        raise PydanticCustomError("M02", "the pattern cannot run: {why}", {"why": why})
    return regex


class Pattern(Check):
    """Matches a regular expression as a whole: the part of the language that Python and PostgreSQL share."""

    word: Literal["pattern"] = "pattern"
    shorthand: ClassVar[str | None] = "regex"
    takes: ClassVar[tuple[str, ...]] = ("text",)
    # bounded: a pattern is reviewed by eye
    regex: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_portable)]

    def fails(self, value: Composable, given: PgType) -> Composable:
        return template("{v} !~ {pattern}", v=value, pattern=lit(f"^(?:{self.regex})$"))


# Letters of an IBAN stand for 10 to 35 in the check sum.
IBAN_LETTERS = {chr(ord("A") + n): str(10 + n) for n in range(26)}
IBAN_SHAPE = "^[A-Z]{2}(0[2-9]|[1-8][0-9]|9[0-8])[A-Z0-9]{11,30}$"  # 98 - n mod 97 is never 00, 01 or 99


class Iban(Check):
    """A well-formed IBAN whose ISO 7064 mod 97 check digits hold; without spaces, upper case.

    Source: ISO 13616-1. The length per country is not checked here: the check digits find a lost digit.
    """

    word: Literal["iban"] = "iban"
    takes: ClassVar[tuple[str, ...]] = ("text",)

    def fails(self, value: Composable, given: PgType) -> Composable:
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

    def fails(self, value: Composable, given: PgType) -> Composable:
        return _not_in(value, _iso("countries", "alpha_2"))


class IsoCurrency(Check):
    """An active ISO 4217 code, upper case."""

    word: Literal["iso_currency"] = "iso_currency"
    takes: ClassVar[tuple[str, ...]] = ("text",)

    def fails(self, value: Composable, given: PgType) -> Composable:
        return _not_in(value, _iso("currencies", "alpha_3"))


def _not_in(value: Composable, allowed: tuple[str, ...]) -> Composable:
    """`<> all (array)`: PostgreSQL hashes a constant array of nine values or more."""
    return template("{v} <> all ({allowed}::text[])", v=value, allowed=sql.Literal(list(allowed)))


@cache
def _iso(kind: str, attribute: str) -> tuple[str, ...]:
    import pycountry  # read when a mapping is compiled, not while a DAG file is parsed

    return tuple(sorted(getattr(entry, attribute) for entry in getattr(pycountry, kind)))
