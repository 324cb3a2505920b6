"""The column types that a mapping may name, and which may become which without losing anything.

Only the question "what type, how wide, what would be lost" belongs here; the SQL of a conversion is conversions.py's
matter, how a text is parsed into a type a transform's. The table of all pairs in docs/types.md is made from this.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Annotated, Literal

from psycopg import sql
from pydantic import BeforeValidator, PlainSerializer
from pydantic_core import PydanticCustomError

# name -> family; the family decides which transforms take it
FAMILIES = {
    "text": "text",
    "varchar": "text",
    "char": "text",
    "boolean": "boolean",
    "smallint": "number",
    "integer": "number",
    "bigint": "number",
    "numeric": "number",
    "real": "float",
    "double precision": "float",
    "money": "money",
    "date": "date",
    "time": "time",
    "timetz": "timetz",
    "timestamp": "timestamp",
    "timestamptz": "timestamptz",
    "interval": "interval",
    "uuid": "uuid",
    "json": "json",
    "jsonb": "jsonb",
    "bytea": "bytea",
    "inet": "inet",
    "cidr": "inet",
}
ARRAY = "array"
EVERY_FAMILY = (*sorted(set(FAMILIES.values())), ARRAY)
# decimal digits that an integer type needs
INTEGER_DIGITS = {"smallint": 5, "integer": 10, "bigint": 19}
LENGTH_MAX = 10_485_760  # PostgreSQL's limit of a declared length
PRECISION_MAX = 1000  # PostgreSQL's limit of a declared numeric
MICROSECONDS = 6  # digits of a second that PostgreSQL keeps; a column may keep fewer
CLOCKS = frozenset({"time", "timetz", "timestamp", "timestamptz"})
SPELLING = re.compile(r"([a-z]+(?: [a-z]+)*)(?:\(([0-9]{1,8})(?:, ?([0-9]{1,4}))?\))?(\[\])?")
SIZES = re.compile(r"\( ?([0-9]{1,8}(?: ?, ?[0-9]{1,4})?)(?: (?:char|byte))? ?\)")
SIZED = frozenset({"numeric", "varchar", "char"})
# what people and other databases call them
ALIASES = {
    "string": "text", "character varying": "varchar", "nvarchar": "varchar", "varchar2": "varchar", "clob": "text",
    "character": "char", "bpchar": "char", "citext": "text", "bool": "boolean", "int": "integer", "int2": "smallint",
    "int4": "integer", "int8": "bigint", "tinyint": "smallint", "serial": "integer", "bigserial": "bigint",
    "decimal": "numeric", "number": "numeric", "float": "double precision", "float4": "real",
    "double": "double precision", "float8": "double precision", "datetime": "timestamp",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz", "time without time zone": "time", "time with time zone": "timetz",
    "blob": "bytea", "binary": "bytea", "varbinary": "bytea", "guid": "uuid",
}  # fmt: skip

# lossless: every value arrives as it is. guarded: it arrives as it is, or its row is rejected. lossy: something of
# the value may be lost, so the field must say why that is right. impossible: it has no meaning without a step.
Conversion = Literal["lossless", "guarded", "lossy", "impossible"]


@dataclass(frozen=True)
class PgType:
    """A PostgreSQL type as mappings spell it.

    Attributes:
        precision: Digits of a numeric (None: unbounded), or of a second's fraction.
        scale: Decimals of a numeric.
        length: Characters of a varchar or char.
        is_array: One-dimensional array of the type.
    """

    name: str
    precision: int | None = None
    scale: int | None = None
    length: int | None = None
    is_array: bool = False

    def __str__(self) -> str:
        brackets = "[]" if self.is_array else ""
        if self.length is not None:
            return f"{self.name}({self.length}){brackets}"
        if self.precision is None:
            return self.name + brackets
        digits = str(self.precision) if self.scale is None else f"{self.precision},{self.scale}"
        return f"{self.name}({digits}){brackets}"

    @property
    def family(self) -> str:
        return ARRAY if self.is_array else FAMILIES[self.name]

    @property
    def element(self) -> PgType:
        """The type of an array's elements."""
        return PgType(self.name, self.precision, self.scale, self.length)

    @property
    def sql(self) -> sql.SQL:
        """The type's name for a cast. Built from the closed list above, never from a file's text."""
        return sql.SQL(str(self))

    @property
    def as_read(self) -> PgType:
        """The type that the first step meets: money as a number, padded text without its padding."""
        if self.is_array:
            return self
        return {"money": NUMERIC, "char": PgType("varchar", length=self.length or 1)}.get(self.name, self)

    @classmethod
    def parse(cls, spelling: str) -> PgType:
        """Read `numeric(12,2)`, `varchar(40)` or `text[]`; raises ValueError with what is allowed."""
        found = SPELLING.fullmatch(spelling)
        if not found or found[1] not in FAMILIES:
            raise ValueError(f"'{spelling[:60]}' is not a type; {_instead(spelling)}")
        name, first, second = found[1], found[2] and int(found[2]), found[3] and int(found[3])
        is_array = bool(found[4])
        if name == "numeric" and first:
            return cls._numeric(spelling, int(first), int(second or 0), is_array)
        if name in ("varchar", "char") and second is None:
            if first is not None and not 1 <= int(first) <= LENGTH_MAX:
                raise ValueError(f"'{spelling}': a length is 1 to {LENGTH_MAX}")
            return cls(name, length=None if first is None else int(first), is_array=is_array)
        if name in CLOCKS and first is not None and second is None:
            if int(first) > MICROSECONDS:
                raise ValueError(f"'{spelling}': a second has at most {MICROSECONDS} digits")
            return cls(name, int(first) if int(first) < MICROSECONDS else None, is_array=is_array)
        if first is not None:
            raise ValueError(f"'{spelling}' is not a type; {_instead(spelling)}")
        return cls(name, is_array=is_array)

    @classmethod
    def _numeric(cls, spelling: str, precision: int, scale: int, is_array: bool) -> PgType:
        if not (1 <= precision <= PRECISION_MAX and scale <= precision):
            raise ValueError(f"'{spelling}': precision is 1 to {PRECISION_MAX}, scale 0 to the precision")
        return cls("numeric", precision, scale, is_array=is_array)

    def becomes(self, target: PgType) -> Conversion:
        """What happens to a value of this type in a column of the target type."""
        if self == target:
            return "lossless"
        if self.is_array or target.is_array:
            return self._becomes_array(target)
        if target.family == "text":
            return self._becomes_text(target)
        if self.family == target.family:
            return self._within_family(target)
        return _ACROSS.get((self.name, target.name), "impossible")

    def _becomes_array(self, target: PgType) -> Conversion:
        if not (self.is_array and target.is_array):
            return "impossible"
        return "lossless" if self.element.becomes(target.element) == "lossless" else "impossible"

    def _becomes_text(self, target: PgType) -> Conversion:
        if self.name == "money":  # its text has the signs of a locale
            return "impossible"
        if target.length is None and target.name != "char":
            return "lossless"
        is_shorter = self.family == "text" and self.length is not None and self.length <= (target.length or 1)
        return "lossless" if is_shorter else "guarded"

    def _within_family(self, target: PgType) -> Conversion:
        if self.family == "number":
            return self._becomes_number(target)
        if self.family == "float":
            return "lossless" if target.name == "double precision" else "lossy"
        if self.name == target.name and self.name in CLOCKS:
            return "lossless" if self._second_digits <= target._second_digits else "lossy"
        return "lossless" if (self.name, target.name) == ("cidr", "inet") else "impossible"

    def _becomes_number(self, target: PgType) -> Conversion:
        if target.name != "numeric":
            if self.name == "numeric":
                return "guarded" if self.scale == 0 else "lossy"  # NaN is a numeric, and no integer
            return "lossless" if self._whole_digits < target._whole_digits else "guarded"
        if target.precision is None:
            return "lossless"
        if self.name == "numeric" and (self.scale is None or self.scale > (target.scale or 0)):
            return "lossy"
        return "lossless" if self._whole_digits <= target._whole_digits else "guarded"

    @property
    def _second_digits(self) -> int:
        return MICROSECONDS if self.precision is None else self.precision

    @property
    def _whole_digits(self) -> int:
        """Digits before the decimal point that a value may need."""
        if self.precision is None:
            return INTEGER_DIGITS.get(self.name, PRECISION_MAX)
        return self.precision - (self.scale or 0)

    @property
    def bounds(self) -> tuple[int, int]:
        """Smallest and largest whole part that fits a bounded number type."""
        if self.name in INTEGER_DIGITS:
            bits = {"smallint": 15, "integer": 31, "bigint": 63}[self.name]
            return -(2**bits), 2**bits - 1
        limit = 10**self._whole_digits
        return -limit, limit


# Pairs of two families that have one meaning; all others need a step that says which.
_ACROSS: dict[tuple[str, str], Conversion] = {
    ("smallint", "real"): "lossless",
    ("smallint", "double precision"): "lossless",
    ("integer", "double precision"): "lossless",
    ("integer", "real"): "lossy",
    ("bigint", "real"): "lossy",
    ("bigint", "double precision"): "lossy",
    ("numeric", "real"): "lossy",
    ("numeric", "double precision"): "lossy",
    ("real", "numeric"): "lossy",
    ("double precision", "numeric"): "lossy",
    ("date", "timestamp"): "guarded",  # a date may lie beyond the last time stamp
    ("timestamp", "date"): "lossy",
    ("timestamp", "time"): "lossy",
    ("time", "interval"): "lossless",
    ("jsonb", "json"): "lossless",
}


def _instead(wrong: str) -> str:
    """What to write in place of a name that is no type."""
    if right := _meant(wrong):
        return f"write {right}"
    near = difflib.get_close_matches(wrong.lower(), FAMILIES, n=1)
    hint = f". Did you mean '{near[0]}'?" if near else ""
    sized = "numeric(p,s), varchar(n), char(n), timestamptz(digits)"
    return f"one of: {', '.join(FAMILIES)}, {sized}, or one of them with []{hint}"


def _meant(wrong: str) -> str:
    """The type that another database, or another letter case, calls so; '' where none is known."""
    spelt = " ".join(wrong.lower().split())
    brackets = "[]" if spelt.endswith("[]") else ""
    sizes = SIZES.search(spelt)
    name = " ".join(SIZES.sub(" ", spelt.removesuffix("[]")).split())
    name = ALIASES.get(name, name)
    digits = ",".join(sizes[1].replace(",", " ").split()) if sizes else ""
    forms = [f"{name}({digits}){brackets}"] if digits else []
    if name not in SIZED:  # int(11) has a size that says nothing
        forms.append(name + brackets)
    for right in forms or [name + brackets]:
        if name in FAMILIES and right != wrong:
            try:
                return str(PgType.parse(right))
            except ValueError:
                continue
    return ""


def _read(value: object) -> PgType:
    if isinstance(value, PgType):
        return value
    if not isinstance(value, str):
        raise PydanticCustomError("M02", "a type is wanted here", {"allowed": "text, as in numeric(12,2)"})
    try:
        return PgType.parse(value)
    except ValueError as error:
        found, _, allowed = str(error).partition("; ")
        raise PydanticCustomError("M02", "{said}", {"said": found, "allowed": allowed}) from None


TypeName = Annotated[PgType, BeforeValidator(_read), PlainSerializer(str)]
TEXT, BOOLEAN, DATE, NUMERIC, INTEGER = (PgType(name) for name in ("text", "boolean", "date", "numeric", "integer"))
