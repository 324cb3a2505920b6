"""The column types that a mapping may name, and which may become which without losing anything.

Only the question "what type, how wide" belongs here; how a text is parsed into a type is a transform's matter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from psycopg import sql
from pydantic import BeforeValidator, PlainSerializer
from pydantic_core import PydanticCustomError

# name -> family; the family decides which transforms take it
FAMILIES = {
    "text": "text",
    "boolean": "boolean",
    "smallint": "number",
    "integer": "number",
    "bigint": "number",
    "numeric": "number",
    "date": "date",
    "timestamp": "timestamp",
    "timestamptz": "timestamptz",
    "uuid": "uuid",
    "jsonb": "jsonb",
}
# decimal digits that an integer type needs
INTEGER_DIGITS = {"smallint": 5, "integer": 10, "bigint": 19}
SPELLING = re.compile(r"([a-z]+)(?:\(([0-9]{1,4})(?:, ?([0-9]{1,4}))?\))?")
Conversion = Literal["lossless", "guarded", "refused"]
PRECISION_MAX = 1000  # PostgreSQL's limit of a declared numeric


@dataclass(frozen=True)
class PgType:
    """A PostgreSQL type as mappings spell it; `numeric` alone is unbounded."""

    name: str
    precision: int | None = None
    scale: int | None = None

    def __str__(self) -> str:
        return self.name if self.precision is None else f"{self.name}({self.precision},{self.scale})"

    @property
    def family(self) -> str:
        return FAMILIES[self.name]

    @property
    def sql(self) -> sql.SQL:
        """The type's name for a cast. Built from the closed list above, never from a file's text."""
        return sql.SQL(str(self))

    @classmethod
    def parse(cls, spelling: str) -> PgType:
        """Read `numeric(12,2)` or `text`; raises ValueError with what is allowed."""
        found = SPELLING.fullmatch(spelling)
        if not found or found[1] not in FAMILIES or (found[2] and found[1] != "numeric"):
            raise ValueError(f"'{spelling}' is not a type; one of: {', '.join(FAMILIES)}, numeric(p,s)")
        if found[2] is None:
            return cls(found[1])
        precision, scale = int(found[2]), int(found[3] or 0)
        if not (1 <= precision <= PRECISION_MAX and scale <= precision):
            raise ValueError(f"'{spelling}': precision is 1 to {PRECISION_MAX}, scale 0 to the precision")
        return cls(found[1], precision, scale)

    def becomes(self, target: PgType) -> Conversion:
        """What happens to a value of this type in a column of the target type.

        `guarded`: nothing is rounded, but a number may be too large; then its row is rejected (code `overflow`).
        `refused`: something could be lost or misread; a step has to say how.
        """
        if self == target or target.name == "text":
            return "lossless"
        if self.family == target.family == "number":
            return self._becomes_number(target)
        return "refused"

    def _becomes_number(self, target: PgType) -> Conversion:
        if target.name != "numeric":
            if self.name == "numeric":
                return "guarded" if self.scale == 0 else "refused"  # NaN is a numeric, and no integer
            return "lossless" if self._whole_digits < target._whole_digits else "guarded"
        if target.precision is None:
            return "lossless"
        if self.name == "numeric" and (self.scale is None or self.scale > (target.scale or 0)):
            return "refused"
        return "lossless" if self._whole_digits <= target._whole_digits else "guarded"

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


def _read(value: object) -> PgType:
    if isinstance(value, PgType):
        return value
    try:
        return PgType.parse(str(value))
    except ValueError as error:
        raise PydanticCustomError("M02", "{said}", {"said": str(error)}) from None


TypeName = Annotated[PgType, BeforeValidator(_read), PlainSerializer(str)]
TEXT, BOOLEAN, DATE, NUMERIC = PgType("text"), PgType("boolean"), PgType("date"), PgType("numeric")
