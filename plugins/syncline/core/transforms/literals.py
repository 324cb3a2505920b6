"""Values written in a mapping file (constants, defaults, bounds) as SQL.

They are judged when the file is read: a literal that its type cannot hold exactly would fail every batch, or be
rounded without a word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from math import isfinite

from psycopg import sql
from psycopg.sql import Composable

from syncline.core.transforms.base import NotApplicable
from syncline.core.types import INTEGER_DIGITS, PgType

Literal = str | int | float | bool

WHOLE = re.compile(r"[+-]?[0-9]{1,1000}")
NUMBER = re.compile(r"[+-]?[0-9]{1,300}(\.[0-9]{1,300})?([eE][+-]?[0-9]{1,2})?")
DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
CLOCK = r"[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
ZONE = "(Z|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?)"
SHAPES = {
    "date": re.compile(DAY),
    "timestamp": re.compile(DAY + CLOCK),
    "timestamptz": re.compile(DAY + CLOCK + ZONE),
    "time": re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?"),
    "uuid": re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
}
JSON_EXPONENT_MAX = 1_000  # far below the end of numeric, above every business number
NO_CHARACTER = re.compile(r"(?<!\\)(\\\\)*\\u0000")  # jsonb has none that is zero
REAL_MAX, REAL_MIN = 3.4e38, 1.2e-38  # a literal beyond them is a slip of the pen
HINTS = {"timestamptz": "; write the zone too: 2026-01-01 00:00:00+00", "timestamp": "; write 2026-01-01 00:00:00"}


def spelt(value: Literal) -> str:
    """A literal's text; numbers in plain digits, for YAML's 0.00001 is 1e-05 to Python."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and isfinite(value):
        return format(Decimal(str(value)), "f")
    return str(value)


def untyped(value: Literal) -> Composable:
    """A literal that takes the type of its surroundings: `'2026-01-01'` beside a date is a date."""
    return sql.Literal(spelt(value))


def bound(value: Literal, given: PgType) -> Composable:
    """A bound to compare with a value of the given type: beside an integer, one that no integer can hold is numeric."""
    if given.family == "number" and not _fits(spelt(value), given):
        return sql.SQL("{}::numeric").format(untyped(value))
    return untyped(value)


def check_literal(value: Literal, given: PgType) -> None:
    """Refuse a literal that the type cannot hold exactly; raises NotApplicable."""
    if not _holds(value, given):
        raise NotApplicable(f"'{spelt(value)[:60]}' is not a {given}{HINTS.get(given.name, '')}")


def _holds(value: Literal, given: PgType) -> bool:
    if given.family == "boolean" or isinstance(value, bool):
        return isinstance(value, bool) and given.family in ("boolean", "text")
    text = spelt(value)
    match given.family:
        case "text":
            is_text = not isinstance(value, float) or isfinite(value)
            return is_text and (given.length is None or len(text) <= given.length)
        case "number":
            return _fits(text, given)
        case "float":
            return bool(NUMBER.fullmatch(text)) and (not float(text) or REAL_MIN <= abs(float(text)) <= REAL_MAX)
        case "jsonb":
            return _reads(_json, text)
        case "date" | "timestamp" | "timestamptz":
            return _is_instant(text, given)
        case "time" | "uuid":
            return bool(SHAPES[given.name].fullmatch(text))
    return False  # no other type has one plain spelling


def _is_instant(text: str, given: PgType) -> bool:
    if not SHAPES[given.name].fullmatch(text) or not _reads(datetime.fromisoformat, text):
        return False
    fraction = re.search(r"\.([0-9]+)", text)
    return given.precision is None or fraction is None or len(fraction[1].rstrip("0")) <= given.precision


def _fits(text: str, given: PgType) -> bool:
    if given.name in INTEGER_DIGITS:
        low, high = given.bounds
        return bool(WHOLE.fullmatch(text)) and low <= int(text) <= high
    if not NUMBER.fullmatch(text):
        return False
    if given.precision is None:
        return True
    _, digits, exponent = Decimal(text).as_tuple()  # exact; arithmetic would round to 28 digits
    significant = "".join(map(str, digits)).lstrip("0")
    whole_digits, decimals = len(significant) + int(exponent), -int(exponent)
    zeros = len(significant) - len(significant.rstrip("0"))
    scale = given.scale or 0
    return not significant or (whole_digits <= given.precision - scale and decimals - zeros <= scale)


def _reads(reader: Callable[[str], object], text: str) -> bool:
    try:
        reader(text)
    except (ValueError, RecursionError):
        return False
    return True


def _json(text: str) -> None:
    """Raises ValueError where jsonb would not hold it."""
    if NO_CHARACTER.search(text):
        raise ValueError
    read = json.loads(text, parse_constant=_refuse, parse_float=_number, parse_int=_number)
    json.dumps(read, ensure_ascii=False).encode()  # half of a surrogate pair has no bytes


def _refuse(word: str) -> None:
    raise ValueError(word)


def _number(text: str) -> int:
    _, digits, exponent = Decimal(text).as_tuple()
    if abs(int(exponent)) > JSON_EXPONENT_MAX or len(digits) > JSON_EXPONENT_MAX:
        raise ValueError(text)
    return 0  # which one does not matter
