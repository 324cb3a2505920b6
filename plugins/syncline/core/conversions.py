"""The SQL that brings a value of one type into a column of another, and says when it does not fit.

types.py decides whether a pair may be; here stands what happens to it. No statement of this module fails on data:
what does not fit is told by `fault` before any cast meets it.
"""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql
from psycopg.sql import Composable

from syncline.core.transforms.base import template
from syncline.core.types import PgType

# Above and below these PostgreSQL's conversion to a float fails, instead of giving infinity or zero.
FLOAT_LIMITS = {"real": ("3.4028234e38", "1.5e-45"), "double precision": ("1.7976931348623157e308", "1e-307")}
LAST_DAY_OF_TIMESTAMP = "294276-12-31"


@dataclass(frozen=True)
class Converted:
    """A value in its new type. Where `fault` is true the value is NULL, and the row has the error `code`."""

    value: Composable
    code: str = ""
    fault: Composable | None = None


def convert(value: Composable, given: PgType, target: PgType) -> Converted:
    """Convert, where `given.becomes(target)` is not impossible. The result may still want the cast to the target."""
    if given == target:
        return Converted(value)
    if target.family == "text":
        return _to_text(value, given, target)
    if target.family == "number" and given.family == "number":
        return _to_number(value, given, target)
    if target.family == "float":
        return _to_float(value, given, target)
    if given.family == "float":
        # By its shortest text: the cast itself would round to 15 digits.
        return _to_number(template("({v})::text::numeric", v=value), PgType("numeric"), target)
    beyond = template("(isfinite({v}) and {v} > {last})", v=value, last=sql.Literal(LAST_DAY_OF_TIMESTAMP))
    if (given.name, target.name) == ("date", "timestamp"):
        return _guarded(value, "overflow", beyond)
    if target.name in ("timestamp", "timestamptz") and given.becomes(target) == "lossy":
        return _guarded(value, "overflow", beyond)  # rounded up, it may not exist
    if (given.name, target.name) == ("timestamp", "time"):  # PostgreSQL makes NULL of it without a word
        return _guarded(value, "overflow", template("not isfinite({v})", v=value))
    return Converted(value)


def _to_text(value: Composable, given: PgType, target: PgType) -> Converted:
    spelt = value if given.family == "text" else template("({v})::text", v=value)
    if given.becomes(target) != "guarded":
        return Converted(spelt)
    longer = template("char_length({v}) > {n}", v=spelt, n=sql.Literal(target.length or 1))
    return _guarded(spelt, "too_long", longer)


def _to_number(value: Composable, given: PgType, target: PgType) -> Converted:
    match given.becomes(target):
        case "lossless":
            return Converted(value)
        case "lossy":
            value = template("round({v}, {n})", v=value, n=sql.Literal(target.scale or 0))
    low, high = target.bounds
    inside = "{v} > {low} and {v} < {high}" if target.name == "numeric" else "{v} between {low} and {high}"
    return _guarded(
        value, "overflow",
        template("not (" + inside + ")", v=value, low=sql.Literal(low), high=sql.Literal(high)),
    )  # fmt: skip


def _to_float(value: Composable, given: PgType, target: PgType) -> Converted:
    if given.becomes(target) == "lossless" or given.name in ("integer", "bigint"):
        return Converted(value)
    largest, smallest = FLOAT_LIMITS[target.name]
    beyond = template(
        "(abs({v}) < 'infinity' and (abs({v}) > {largest} or ({v} <> 0 and abs({v}) < {smallest})))",
        v=value, largest=sql.Literal(largest), smallest=sql.Literal(smallest),
    )  # fmt: skip
    return _guarded(value, "overflow", beyond)


def _guarded(value: Composable, code: str, fault: Composable) -> Converted:
    return Converted(template("case when not ({f}) then {v} end", f=fault, v=value), code, fault)
