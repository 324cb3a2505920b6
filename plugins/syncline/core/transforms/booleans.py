"""Steps between booleans and their spellings in other systems."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from psycopg import sql
from psycopg.sql import Composable
from pydantic import Field, StrictBool, model_validator
from pydantic_core import PydanticCustomError

from syncline.core.transforms.base import Cost, Scalar, Transform, lit, template
from syncline.core.types import PgType


class ParseBoolean(Transform):
    """Any declared spelling to true or false: `{parse_boolean: {true_is: [J, JA], false_is: ["N", NEIN]}}`.

    Letters are compared as they are, or without regard to case with `ignore_case`. A number is compared by its digits.
    NULL stays NULL; what is in neither list is an error of the row.
    """

    word: Literal["parse_boolean"] = "parse_boolean"
    takes: ClassVar[tuple[str, ...]] = ("text", "number")
    may_reject: ClassVar[bool] = True
    examples: ClassVar[tuple[str, ...]] = (
        "{parse_boolean: {true_is: ['Y', 'YES', '1'], false_is: ['N', 'NO', '0'], ignore_case: true}}",
        "{parse_boolean: {true_is: [1], false_is: [0]}}",
    )
    true_is: tuple[Scalar, ...] = Field(min_length=1, max_length=50, description="Spellings of true", examples=[["Y"]])
    false_is: tuple[Scalar, ...] = Field(
        min_length=1, max_length=50, description="Spellings of false", examples=[["N"]]
    )
    ignore_case: StrictBool = Field(False, description="Whether Y and y are the same", examples=[True])

    @model_validator(mode="after")
    def _differ(self) -> Self:
        change = str.casefold if self.ignore_case else str
        both = {change(t) for t in _spellings(self.true_is)} & {change(t) for t in _spellings(self.false_is)}
        if both:
            shown = {"value": min(both)[:40]}
            raise PydanticCustomError("M02", "'{value}' stands for true and for false", shown)
        return self

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return PgType("boolean")

    def sql(self, value: Composable, given: PgType) -> Composable:
        spelt = value if given.family == "text" else template("({v})::text", v=value)
        if self.ignore_case:
            spelt = template("lower({v})", v=spelt)
        return template(
            "case when {v} in ({yes}) then true when {v} in ({no}) then false end",
            v=spelt, yes=self._listed(self.true_is), no=self._listed(self.false_is),
        )  # fmt: skip

    def _listed(self, values: tuple[Scalar, ...]) -> Composable:
        form = "lower({v})" if self.ignore_case else "{v}"  # by the server's own rules on both sides
        return sql.SQL(", ").join(template(form, v=lit(spelt)) for spelt in _spellings(values))


def _spellings(values: tuple[Scalar, ...]) -> list[str]:
    return [str(value).lower() if isinstance(value, bool) else str(value) for value in values]


class FormatBoolean(Transform):
    """True and false in the target's spelling: `{format_boolean: {true_is: 'Y', false_is: 'N'}}`.

    NULL stays NULL. Nothing is an error of the row.
    """

    word: Literal["format_boolean"] = "format_boolean"
    takes: ClassVar[tuple[str, ...]] = ("boolean",)
    cost: ClassVar[Cost] = "free"
    examples: ClassVar[tuple[str, ...]] = ("{format_boolean: {true_is: 'Y', false_is: 'N'}}",)
    true_is: Scalar = Field(description="What true is written as", examples=["Y", 1])
    false_is: Scalar = Field(description="What false is written as", examples=["N", 0])

    @model_validator(mode="after")
    def _differ(self) -> Self:
        yes, no = _spellings((self.true_is, self.false_is))
        if yes == no:
            raise PydanticCustomError("M02", "true and false would be written alike", {})
        return self

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return PgType("varchar", length=max(map(len, _spellings((self.true_is, self.false_is)))))

    def sql(self, value: Composable, given: PgType) -> Composable:
        yes, no = _spellings((self.true_is, self.false_is))
        return template("case when {v} then {y} when not {v} then {n} end", v=value, y=lit(yes), n=lit(no))
