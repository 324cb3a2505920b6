"""Checks on a finished value: presence, size, shape, set, and its agreement with other fields of the row.

A value that fails is an error of its row under the check's name. Values are checked as they are: what is to be upper
case, or without blanks, is brought there by a step before. Numbers that somebody issues are identifiers.py's matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, ClassVar, Literal, Self

from psycopg import sql
from psycopg.sql import Composable
from pydantic import AfterValidator, Field, PrivateAttr, StrictInt, model_validator
from pydantic_core import PydanticCustomError

from syncline.core.models import Name
from syncline.core.transforms.base import Check, Cost, NotApplicable, Row, Scalar, lit, template
from syncline.core.transforms.literals import bound, check_literal, untyped
from syncline.core.transforms.patterns import for_server, portable
from syncline.core.types import INTEGER_DIGITS, NUMERIC, PgType

LENGTH_MAX = 1_000_000


class Required(Check):
    """The target must have a value: NULL is refused. An empty text is a value; `not_blank` refuses that."""

    word: Literal["required"] = "required"
    cost: ClassVar[Cost] = "free"
    examples: ClassVar[tuple[str, ...]] = ("required",)

    def fails(self, value: Composable, given: PgType) -> Composable:
        return template("{v} is null", v=value)


class NotBlank(Check):
    """A text that has more than white space: neither empty nor only spaces.

    NULL passes; `required` refuses it. White space is what `trim` takes away: space, tab, line ends, the no-break space
    and the ideographic space.
    """

    word: Literal["not_blank"] = "not_blank"
    takes: ClassVar[tuple[str, ...]] = ("text",)
    examples: ClassVar[tuple[str, ...]] = ("not_blank",)

    def fails(self, value: Composable, given: PgType) -> Composable:
        return template(r"btrim({v}, E' \t\n\r\u00a0\u3000') = ''", v=value)


class MaxLength(Check):
    """At most so many characters; a longer value is refused, not cut. NULL passes."""

    word: Literal["max_length"] = "max_length"
    shorthand: ClassVar[str | None] = "length"
    takes: ClassVar[tuple[str, ...]] = ("text",)
    cost: ClassVar[Cost] = "free"
    examples: ClassVar[tuple[str, ...]] = ("{max_length: 70}",)
    length: StrictInt = Field(ge=1, le=LENGTH_MAX, description="Characters, not bytes", examples=[70])

    def fails(self, value: Composable, given: PgType) -> Composable:
        return template("char_length({v}) > {n}", v=value, n=lit(self.length))


class Length(Check):
    """A text of exactly so many characters, or of min to max, both allowed. NULL passes."""

    word: Literal["length"] = "length"
    shorthand: ClassVar[str | None] = "exact"
    takes: ClassVar[tuple[str, ...]] = ("text",)
    cost: ClassVar[Cost] = "free"
    examples: ClassVar[tuple[str, ...]] = ("{length: 9}", "{length: {min: 2, max: 12}}")
    exact: StrictInt | None = Field(None, ge=0, le=LENGTH_MAX, description="Exactly so many characters", examples=[9])
    min: StrictInt | None = Field(None, ge=0, le=LENGTH_MAX, description="At least so many characters", examples=[2])
    max: StrictInt | None = Field(None, ge=0, le=LENGTH_MAX, description="At most so many characters", examples=[12])

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if (self.exact is None) == (self.min is None and self.max is None):
            raise PydanticCustomError("M02", "`length` needs either `exact`, or `min`, `max` or both", {})
        if self.min is not None and self.max is not None and self.min > self.max:
            raise PydanticCustomError("M02", "`length` has min above max: nothing passes", {})
        return self

    def fails(self, value: Composable, given: PgType) -> Composable:
        if self.exact is not None:
            return template("char_length({v}) <> {n}", v=value, n=lit(self.exact))
        if self.max is None:
            return template("char_length({v}) < {n}", v=value, n=lit(self.min))
        if self.min is None:
            return template("char_length({v}) > {n}", v=value, n=lit(self.max))
        return template("char_length({v}) not between {a} and {b}", v=value, a=lit(self.min), b=lit(self.max))


class Digits(Check):
    """A text of the digits 0 to 9 and nothing else, at least one. NULL passes; digits of other scripts do not."""

    word: Literal["digits"] = "digits"
    takes: ClassVar[tuple[str, ...]] = ("text",)
    examples: ClassVar[tuple[str, ...]] = ("digits",)

    def fails(self, value: Composable, given: PgType) -> Composable:
        return template("{v} !~ '^[0-9]+$'", v=value)


class Range(Check):
    """Between min and max, both allowed; either may be left out. Infinity and NaN never pass a bound. NULL passes."""

    word: Literal["range"] = "range"
    takes: ClassVar[tuple[str, ...]] = ("number", "date", "timestamp", "timestamptz")
    cost: ClassVar[Cost] = "free"
    examples: ClassVar[tuple[str, ...]] = ("{range: {min: 0}}", '{range: {min: "1950-01-01", max: "2100-01-01"}}')
    min: Scalar | None = Field(None, description="The smallest value that passes", examples=[0, "1950-01-01"])
    max: Scalar | None = Field(None, description="The greatest value that passes", examples=[100, "2100-01-01"])

    @model_validator(mode="after")
    def _has_a_bound(self) -> Self:
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
    """One of the given values, to the letter. NULL passes."""

    word: Literal["one_of"] = "one_of"
    shorthand: ClassVar[str | None] = "values"
    takes: ClassVar[tuple[str, ...]] = ("text",)
    cost: ClassVar[Cost] = "free"
    examples: ClassVar[tuple[str, ...]] = ("{one_of: [active, leave, left]}",)
    values: tuple[str, ...] = Field(min_length=1, description="What passes", examples=[["active", "leave", "left"]])

    def fails(self, value: Composable, given: PgType) -> Composable:
        return not_in(value, self.values)


class Pattern(Check):
    """Matches a regular expression as a whole: the part of the language that Python and PostgreSQL share.

    `\\d`, `\\w` and `\\s` are those of ASCII, also in brackets: [0-9], [A-Za-z0-9_] and [ \\t\\n\\r\\f\\v]. `.` is any
    character, a line feed too; `^` and `$` are the ends of the text. A pattern whose counted repetitions would take the
    server long to prepare is refused when the file is read. NULL passes. Prefer `+` to counted repetitions where the
    length is checked anyway: each count costs at every row.
    """

    word: Literal["pattern"] = "pattern"
    shorthand: ClassVar[str | None] = "regex"
    takes: ClassVar[tuple[str, ...]] = ("text",)
    examples: ClassVar[tuple[str, ...]] = ('{pattern: "[A-Z]{2}[0-9]+"}',)
    regex: Annotated[str, AfterValidator(portable)] = Field(
        min_length=1,
        max_length=200,  # a pattern is reviewed by eye
        description="Groups ( ) and (?: ), classes [a-z] \\d \\w \\s, repetitions * + ? {2,5}, alternatives |",
        examples=["[A-Z]{2}[0-9]+"],
    )

    def fails(self, value: Composable, given: PgType) -> Composable:
        return template("{v} !~ {pattern}", v=value, pattern=lit(f"^(?:{for_server(self.regex)})$"))


# -- checks that read other fields ----------------------------------------------------------------------------

ORDERED = ("text", "number", "float", "date", "time", "timestamp", "timestamptz", "interval")
EQUATED = (*ORDERED, "boolean", "uuid", "bytea", "inet", "jsonb", "timetz")
Comparison = Literal["at_least", "above", "at_most", "below", "equal", "different"]
# what must hold -> the operator that says it does not
BROKEN_BY = {"at_least": "<", "above": "<=", "at_most": ">", "below": ">=", "equal": "<>", "different": "="}


class Compare(Check):
    """Stands to another field of the row as said: at_least, above, at_most, below, equal or different.

    NULL on either side passes. Both fields are of one kind: two numbers, two dates, two texts. Texts are ordered by the
    code points of their characters, whatever the database's locale; NaN and infinity stand above every number, as
    PostgreSQL orders them.
    """

    word: Literal["compare"] = "compare"
    takes: ClassVar[tuple[str, ...]] = EQUATED
    cost: ClassVar[Cost] = "free"
    examples: ClassVar[tuple[str, ...]] = ("{compare: {is: at_least, field: starts_on}}",)
    is_: Comparison = Field(alias="is", description="How this field stands to the other", examples=["at_least"])
    field: Name = Field(description="Another field of the target", examples=["starts_on"])
    _family: str = PrivateAttr("")  # this field's, told by `require`

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.field,)

    @property
    def _is_about_order(self) -> bool:
        return self.is_ not in ("equal", "different")

    def require(self, given: PgType) -> None:
        super().require(given)
        if self._is_about_order and given.family not in ORDERED:
            raise NotApplicable(f"`compare` says {self.is_}, but {given} has no order; use equal or different")
        self._family = given.family

    def require_row(self, types: Mapping[str, PgType]) -> None:
        other = types[self.field]
        if other.family != self._family:
            raise NotApplicable(f"`compare` takes two values of one kind; '{self.field}' is {other}")

    def fails_in(self, value: Composable, given: PgType, row: Row) -> Composable:
        # The order of texts is a locale's, unless it is said which.
        collation = ' collate "C"' if self._is_about_order and given.family == "text" else ""
        return template(
            "({v}){collation} {broken_by} {other}",
            v=value, collation=sql.SQL(collation), broken_by=sql.SQL(BROKEN_BY[self.is_]),
            other=row.values[self.field],
        )  # fmt: skip


class RequiredWith(Check):
    """Must have a value where another field of the row has one. Where that is NULL, anything passes."""

    word: Literal["required_with"] = "required_with"
    shorthand: ClassVar[str | None] = "field"
    cost: ClassVar[Cost] = "free"
    examples: ClassVar[tuple[str, ...]] = ("{required_with: bank_iban}",)
    field: Name = Field(description="The field of the target that wants this one", examples=["bank_iban"])

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.field,)

    def fails_in(self, value: Composable, given: PgType, row: Row) -> Composable:
        return template("({v} is null and {o} is not null)", v=value, o=row.values[self.field])


class RequiredWhen(Check):
    """Must have a value where another field of the row has one of the given values. Elsewhere anything passes."""

    word: Literal["required_when"] = "required_when"
    cost: ClassVar[Cost] = "free"
    examples: ClassVar[tuple[str, ...]] = ("{required_when: {field: pay_status, values: [left]}}",)
    field: Name = Field(description="The field of the target that decides", examples=["pay_status"])
    values: tuple[Scalar, ...] = Field(
        min_length=1, description="Its values that want this one", examples=[["left"], [True]]
    )

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.field,)

    def require_row(self, types: Mapping[str, PgType]) -> None:
        other = types[self.field]
        if other.family not in ("text", "number", "boolean", "date", "uuid"):
            raise NotApplicable(f"`required_when` asks for a text, number, boolean, date or uuid, not {other}")
        for value in self.values:
            check_literal(value, NUMERIC if other.family == "number" else other)

    def fails_in(self, value: Composable, given: PgType, row: Row) -> Composable:
        other = row.types[self.field]
        wanted = [bound(one, other) if other.family == "number" else untyped(one) for one in self.values]
        return template(
            "({v} is null and {o} in ({wanted}))",
            v=value, o=row.values[self.field], wanted=sql.SQL(", ").join(wanted),
        )  # fmt: skip


def not_in(value: Composable, allowed: tuple[str, ...]) -> Composable:
    """`<> all (array)`: PostgreSQL hashes a constant array of nine values or more."""
    return template("{v} <> all ({allowed}::text[])", v=value, allowed=sql.Literal(list(allowed)))
