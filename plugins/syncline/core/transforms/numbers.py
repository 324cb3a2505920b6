"""Steps on numbers: reading and writing them, exact arithmetic, declared rounding, money in minor units.

Nothing is rounded without a word: where a result has more decimals than it may, its row is rejected, and a quotient
that has no last decimal is refused until its rounding is declared.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import ClassVar, Literal, Self

from psycopg import sql
from psycopg.sql import Composable
from pydantic import Field, PrivateAttr, StrictBool, StrictInt, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from syncline.core.models import Frozen, Name
from syncline.core.references import references_of
from syncline.core.transforms.base import Cost, NotApplicable, Row, Scalar, Transform, lit, template
from syncline.core.types import INTEGER_DIGITS, NUMERIC, PRECISION_MAX, PgType

DIGITS_MAX = 30  # a longer run of digits in a business field is dirt, not a number
LARGEST = "1e900"  # far above any business number, far below where PostgreSQL's numeric ends
SCALE_MAX = 16_000  # decimals; PostgreSQL rounds a product that has more than 16,383
MINOR_UNITS = "iso_4217_minor_units"  # the code list of include/code_lists
EXPONENT_MAX = 4  # of a currency in that list

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
    try:
        if isinstance(value, bool):
            raise InvalidOperation
        number = Decimal(str(value))
        if not number.is_finite() or len(number.as_tuple().digits) > DIGITS_MAX or abs(number.adjusted()) > DIGITS_MAX:
            raise InvalidOperation
    except InvalidOperation:
        said = "`{word}` takes a plain number of at most {digits} digits, not '{value}'"
        shown = {"word": word, "digits": DIGITS_MAX, "value": str(value)[:40]}
        raise PydanticCustomError("M02", said, shown) from None
    return number


class ParseNumber(Transform):
    """Text to numeric: `1234.5` or, with separators declared, `1.234,50`.

    NULL stays NULL. Anything else is an error of the row: white space, an exponent, separators out of place, digits of
    other scripts, more than 30 digits in a row.
    """

    word: Literal["parse_number"] = "parse_number"
    may_reject: ClassVar[bool] = True
    cost: ClassVar[Cost] = "heavy"
    examples: ClassVar[tuple[str, ...]] = ("parse_number", "{parse_number: {decimal: ',', thousands: .}}")
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
    cost: ClassVar[Cost] = "heavy"
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
    cost: ClassVar[Cost] = "heavy"
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
        d, step = sql.Literal(abs(self._divisor)), sql.Literal(Decimal(1).scaleb(-self.scale))
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
            return Decimal(bottom * 10**digits // top).scaleb(-digits)
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
            raise PydanticCustomError("M17", said, {"code": self.currency[:40], "name": MINOR_UNITS})
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
    cost: ClassVar[Cost] = "heavy"
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


class FormatNumber(Transform):
    """A number as text with a fixed number of decimals: `{format_number: {decimals: 2}}` writes 1234.50.

    `decimal` and `thousands` are the signs: `{decimals: 2, decimal: ',', thousands: .}` writes 1.234,50. NULL stays
    NULL. More decimals than are written (`round` goes before), more than 30 digits, NaN and infinity are errors of the
    row.
    """

    word: Literal["format_number"] = "format_number"
    takes: ClassVar[tuple[str, ...]] = ("number",)
    may_reject: ClassVar[bool] = True
    cost: ClassVar[Cost] = "heavy"
    examples: ClassVar[tuple[str, ...]] = (
        "{format_number: {decimals: 2}}",
        "{format_number: {decimals: 2, decimal: ',', thousands: .}}",
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


class ParseBoolean(Transform):
    """Any declared spelling to true or false: `{parse_boolean: {true_is: [J, JA], false_is: [N, NEIN]}}`.

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
