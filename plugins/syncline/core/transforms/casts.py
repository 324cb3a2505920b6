"""The step `cast`: a value of one type as the same value of another, in spellings that can be read in one way only."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from psycopg.sql import Composable
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from syncline.core.transforms.base import Cost, NotApplicable, Transform, lit, template
from syncline.core.types import PgType

# Spellings that a cast of text takes; each is one that PostgreSQL reads in one way only.
BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
HEX = "[0-9a-fA-F]{1,4}"
IPV4 = rf"{BYTE}(\.{BYTE}){{3}}(/(3[0-2]|[12]?[0-9]))?"
IPV6 = (
    f"(({HEX}:){{7}}{HEX}|({HEX}:){{1,6}}:{HEX}|({HEX}:){{1,5}}(:{HEX}){{2}}|({HEX}:){{1,4}}(:{HEX}){{3}}"
    f"|({HEX}:){{1,3}}(:{HEX}){{4}}|({HEX}:){{1,2}}(:{HEX}){{5}}|{HEX}:(:{HEX}){{6}}"
    f"|({HEX}:){{1,7}}:|({HEX}:){{1,5}}:{HEX}|({HEX}:){{1,4}}(:{HEX}){{1,2}}|({HEX}:){{1,3}}(:{HEX}){{1,3}}"
    f"|({HEX}:){{1,2}}(:{HEX}){{1,4}}|{HEX}:(:{HEX}){{1,5}}|:(:{HEX}){{1,7}}|::)"
    "(/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?"
)
PLAIN = {
    "uuid": "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "inet": f"{IPV4}|{IPV6}",
    "time": r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?",
    "interval": (
        "P(?=.)([0-9]{1,4}Y)?([0-9]{1,5}M)?([0-9]{1,5}W)?([0-9]{1,6}D)?"
        r"(T(?=.)([0-9]{1,6}H)?([0-9]{1,6}M)?([0-9]{1,6}(\.[0-9]{1,6})?S)?)?"
    ),
}
ENCODINGS = {
    "hex": "([0-9a-fA-F]{2})*",
    "base64": "([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?",
}
INTEGERS = ("smallint", "integer", "bigint")
CASTS: dict[str, tuple[str, ...]] = {  # family -> what a cast makes of it
    "text": ("boolean", *INTEGERS, "uuid", "inet", "cidr", "bytea", "time", "interval"),
    "number": INTEGERS,
    "float": ("numeric",),
    "boolean": INTEGERS,
}


class Cast(Transform):
    """Text to a type in its plain spelling; a number to a narrower integer, a float to numeric, a boolean to 0 or 1.

    Of text: boolean (true, false, t, f, 1, 0), whole numbers, uuid, inet and cidr, bytea (with `encoding`), time
    (hh:mm:ss) and interval (an ISO 8601 duration). A float becomes the shortest number that reads as the same float. A
    number becomes an integer if its decimals are zero and it fits. NULL stays NULL; whatever else is an error of the
    row.
    """

    word: Literal["cast"] = "cast"
    shorthand: ClassVar[str | None] = "to"
    takes: ClassVar[tuple[str, ...]] = tuple(CASTS)
    may_reject: ClassVar[bool] = True
    cost: ClassVar[Cost] = "heavy"
    examples: ClassVar[tuple[str, ...]] = (
        "{cast: integer}",
        "{cast: boolean}",
        "{cast: uuid}",
        "{cast: numeric}",
        "{cast: inet}",
        "{cast: cidr}",
        "{cast: time}",
        "{cast: interval}",
        "{cast: {to: bytea, encoding: base64}}",
        "{cast: {to: bytea, encoding: hex}}",
    )
    to: Literal[
        "boolean", "smallint", "integer", "bigint", "numeric", "uuid", "inet", "cidr", "bytea", "time", "interval"
    ] = Field(description="The type that comes out", examples=["integer", "boolean", "uuid"])
    encoding: Literal["hex", "base64"] | None = Field(
        None, description="How the text spells bytes; with bytea", examples=["base64"]
    )

    @model_validator(mode="after")
    def _is_said_whole(self) -> Self:
        if (self.to == "bytea") != (self.encoding is not None):
            raise PydanticCustomError("M02", "`encoding` and `to: bytea` go together", {})
        return self

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        if self.to not in CASTS[given.family]:
            raise NotApplicable(f"`cast` makes no {self.to} of a {given}")
        return PgType(self.to)

    def sql(self, value: Composable, given: PgType) -> Composable:
        if given.family == "float":  # by its shortest text: PostgreSQL's own cast rounds to 15 digits
            return template("({v})::text::numeric", v=value)
        if given.family == "boolean":
            return template("({v})::integer::{to}", v=value, to=PgType(self.to).sql)
        if self.to in INTEGERS:
            return self._integer(value, given)
        return self._of_text(value)

    def _integer(self, value: Composable, given: PgType) -> Composable:
        low, high = PgType(self.to).bounds
        # A text is a whole number in its plain spelling; of a number, decimals may be there if they are zero.
        shape = "^[+-]?[0-9]{1,19}$" if given.family == "text" else r"^-?[0-9]{1,19}(\.0+)?$"
        return template(
            "case when ({v})::text ~ {shape} then"
            " case when ({v})::numeric between {low} and {high} then ({v})::numeric::{to} end end",
            v=value, shape=lit(shape), low=lit(low), high=lit(high), to=PgType(self.to).sql,
        )  # fmt: skip

    def _of_text(self, value: Composable) -> Composable:
        if self.to == "boolean":
            return template(
                "case lower({v}) when 'true' then true when 'false' then false when 't' then true"
                " when 'f' then false when '1' then true when '0' then false end", v=value,
            )  # fmt: skip
        if self.encoding is not None:
            shape = lit(f"^{ENCODINGS[self.encoding]}$")
            return template(
                "case when {v} ~ {shape} then decode({v}, {e}) end", v=value, shape=shape, e=lit(self.encoding)
            )
        if self.to == "cidr":  # a cast would drop the bits of the host without a word
            return template(
                "case when {v} ~ {shape} then case when network({v}::inet) = {v}::inet then {v}::cidr end end",
                v=value, shape=lit(f"^({PLAIN['inet']})$"),
            )  # fmt: skip
        shape = lit(f"^({PLAIN[self.to]})$")
        return template("case when {v} ~ {shape} then ({v})::{to} end", v=value, shape=shape, to=PgType(self.to).sql)
