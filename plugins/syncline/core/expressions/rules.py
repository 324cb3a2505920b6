"""The types of expressions: which operands an operator takes, what it gives, and how large that can be.

Families are never mixed, and nothing is converted without a word: a text beside a number is a mistake that is told,
with its remedy. Families that expressions do not calculate with (uuid, jsonb, arrays ...) may be compared for
equality, tested for NULL and written as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import NoReturn

from psycopg import sql

from syncline.core.cron import zones
from syncline.core.expressions.nodes import (
    CALENDAR,
    DIVISION_SCALE_MAX,
    FIRST_DAY,
    LAST_DAY,
    OCTETS_MAX,
    PG_FIRST_DAY,
    PG_LAST_DAY,
    RESULT_OCTETS_MAX,
    SCALE_MAX,
    WHOLE_DIGITS_MAX,
    Call,
    Constant,
    Known,
    Node,
    known_of,
    numeric,
    text_constant,
)
from syncline.core.expressions.refused import ExpressionRefused, shown
from syncline.core.transforms.base import NotApplicable, lit, template
from syncline.core.transforms.literals import check_literal
from syncline.core.transforms.patterns import for_server, why_not_portable
from syncline.core.types import BOOLEAN, DATE, INTEGER, INTEGER_DIGITS, TEXT, PgType

MOMENTS = ("date", "timestamp", "timestamptz")
ORDERED = ("text", "number", *MOMENTS)
CALCULATED = (*ORDERED, "boolean")  # families with operators; all others are compared for equality at most
WITHOUT_EQUALITY = ("json",)
# Families whose text depends on settings of the session, and what to write instead.
SESSION_SPELT = {
    "timestamp": "write to_char(x, 'YYYY-MM-DD HH24:MI:SS')",
    "timestamptz": "write to_char(x at time zone 'Europe/London', 'YYYY-MM-DD HH24:MI:SS')",
    **dict.fromkeys(["interval", "float", "money", "bytea", "array"], "use a step of the field: to_text"),
}
SHORT_SPELT = ("uuid", "inet", "time", "timetz")  # texts of a few letters
# (family found, family wanted) -> what to write
REMEDIES = {
    ("text", "number"): "a text is read by a step of the field: {from: column, steps: [parse_number]}",
    ("text", "date"): "a literal is written date '2026-12-31'; a column is read by a step: parse_date",
    ("text", "timestamp"): "a literal is written timestamp '2026-12-31 10:00:00'",
    ("text", "timestamptz"): "a literal is written timestamptz '2026-12-31 10:00:00+00'",
    ("timestamptz", "date"): "write (x at time zone 'Europe/London')::date",
    ("timestamptz", "timestamp"): "write x at time zone 'Europe/London'",
    ("timestamp", "date"): "write x::date",
    ("float", "number"): "a field with `steps: [{cast: numeric}]` says how it is rounded",
    ("date", "timestamp"): "write x::date at the other side",
}
WHOLE = re.compile("-?[0-9]{1,9}")
FORMAT = re.compile(r"(?:YYYY|IYYY|MM|DD|DDD|HH24|MI|SS|MS|US|IW|ID|Q|[-/.:, _])+")
FORMAT_MAX = 60
SHIFT_DIGITS = 6  # days that a date may be moved by: 2,737 years


@dataclass(frozen=True)
class Null(Constant):
    """NULL, before its surroundings say of which type."""


def null(position: int) -> Null:
    return Null(TEXT, Known(0, 0, 0), position, sql.SQL("null"), "null")


def refuse(node: Node, said: str, allowed: str = "") -> NoReturn:
    raise ExpressionRefused(node.position, said, allowed)


def require(node: Node, families: Sequence[str], by: str) -> Node:
    """The node, if it is of one of the families."""
    if isinstance(node, Null):
        refuse(node, f"{by} of null is always null", "write `is null`, or coalesce(a, b)")
    if node.type.family not in families:
        remedy = next((told for (a, b), told in REMEDIES.items() if a == node.type.family and b in families), "")
        remedy = remedy or ("write x::text" if "text" in families else "")
        refuse(node, f"{by} takes {' or '.join(families)}, not {node.type}", remedy)
    return node


# -- one type for several values ----------------------------------------------------------------------------------


def unified(nodes: Sequence[Node], by: str) -> tuple[PgType, Known]:
    """The one type of values of which one is chosen; NULL takes part in any."""
    said = [node for node in nodes if not isinstance(node, Null)]
    if not said:
        refuse(nodes[0], f"{by} has nothing but null", "write a value")
    for node in said[1:]:
        _same(said[0], node, by)
    known = reduce(Known.or_, (node.known for node in said))
    kinds = {node.type for node in said}
    if len(kinds) == 1:
        return said[0].type, known
    if said[0].type.family == "number":
        if all(kind.name in INTEGER_DIGITS for kind in kinds):
            return max(kinds, key=lambda kind: INTEGER_DIGITS[kind.name]), known
        return numeric(reduce(Known.or_, (known_of(kind) for kind in kinds))), known
    return PgType(said[0].type.name), known


def _same(one: Node, other: Node, by: str) -> None:
    if one.type.family == other.type.family and (one.type.family in CALCULATED or one.type == other.type):
        return
    remedy = REMEDIES.get((other.type.family, one.type.family)) or REMEDIES.get((one.type.family, other.type.family))
    refuse(
        other, f"{by} of {one.type} and {other.type}", remedy or "both sides must be of one type; x::text makes text"
    )


def typed(node: Node, kind: PgType) -> Node:
    """NULL as a value of the given type."""
    if not isinstance(node, Null):
        return node
    return Constant(kind, node.known, node.position, template("null::{t}", t=kind.sql), "null")


# -- conditions ---------------------------------------------------------------------------------------------------


def condition(text: str, *args: Node, fault: str = "") -> Node:
    return Call(BOOLEAN, Known(), args[0].position, text, args, fault)


def boolean(node: Node, by: str) -> Node:
    return require(node, ("boolean",), by)


def comparable(sign: str, *nodes: Node) -> None:
    """Refuse values that have no such comparison."""
    by = f"`{sign}`"
    for node in nodes:
        if isinstance(node, Null):
            refuse(node, f"{by} null is never true", "write `is null` or `is not null`")
    for node in nodes[1:]:
        _same(nodes[0], node, by)
    is_equality = sign in ("=", "<>", "in", "is distinct from", "nullif", "case")
    family = nodes[0].type.family
    if nodes[0].type.name in WITHOUT_EQUALITY or not (is_equality or family in ORDERED):  # json, and arrays of it
        allowed = ("" if family == "array" else "write x::text") if is_equality else "= and <> only"
        refuse(nodes[0], f"{by} does not take {nodes[0].type}", allowed)


def compare(sign: str, left: Node, right: Node) -> Node:
    comparable(sign, left, right)
    return condition(f"{{0}} {sign} {{1}}", left, right)


def like(node: Node, pattern: Node, word: str) -> Node:
    require(node, ("text",), f"`{word}`")
    said = literal_text(pattern, f"the pattern of `{word}`")
    if re.search(r"\\(?![%_])", said.replace("\\\\", "")):
        refuse(pattern, "a backslash in a pattern", r"only before % _ and \ itself")
    if word == "like":
        return condition("{0} like {1}", node, pattern)
    told = '{0} collate pg_catalog."default" ilike {1} collate pg_catalog."default"'
    return condition(told, node.guarded(), pattern)


def matches(node: Node, pattern: Node) -> Node:
    require(node, ("text",), "`~`")
    said = literal_text(pattern, "the pattern of `~`")
    if why := why_not_portable(said) or ("it is empty" if not said else None):
        refuse(pattern, f"the pattern cannot run: {why}")
    return condition("{0} ~ {1}", node.guarded(), text_constant(for_server(said), pattern.position))


# -- literals -----------------------------------------------------------------------------------------------------


def literal_text(node: Node, what: str) -> str:
    if not isinstance(node, Constant) or node.type != TEXT or isinstance(node, Null):
        refuse(node, f"{what} is not a literal", "write a text in single quotes")
    return node.said


def literal_whole(node: Node, what: str, low: int, high: int) -> int:
    is_whole = isinstance(node, Constant) and node.type.family == "number" and WHOLE.fullmatch(node.said)
    value = int(node.said) if isinstance(node, Constant) and is_whole else low - 1
    if not low <= value <= high:
        refuse(node, f"{what} is not a whole number from {low} to {high}", "write digits")
    return value


def moment_constant(node: Node, kind: PgType) -> Node:
    """`date '2026-12-31'`."""
    said = literal_text(node, f"the text of {kind}")
    try:
        check_literal(said, kind)
    except NotApplicable as error:
        refuse(node, str(error), "write 2026-12-31" if kind == DATE else "")
    return Constant(kind, Known(), node.position, template("{v}::{t}", v=sql.Literal(said), t=kind.sql), said)


# -- numbers ------------------------------------------------------------------------------------------------------


def number(node: Node, by: str) -> Node:
    """A finite number below a known bound."""
    return require(node, ("number",), by).guarded()


def calculated(text: str, known: Known, position: int, *args: Node, fault: str = "") -> Node:
    """A numeric result, or a refusal where it could be larger than PostgreSQL's numeric."""
    if known.whole > WHOLE_DIGITS_MAX:
        raise ExpressionRefused(
            position, f"the result could have {known.whole} digits", "round what you divide by: round(x, 4)"
        )
    known = replace(known, scale=min(known.scale, SCALE_MAX))
    return Call(numeric(known), known, position, text, args, fault)


def arithmetic(sign: str, left: Node, right: Node) -> Node:
    """Arithmetic is done in numeric: 7 / 2 is 3.5, and nothing overflows."""
    by = f"`{sign}`"
    left, right = number(left, by), number(right, by)
    one, other = left.known, right.known
    text = f"{{0}}::numeric {sign} {{1}}::numeric"
    match sign:
        case "+" | "-":
            known = Known(max(one.whole, other.whole) + 1, max(one.scale, other.scale))
        case "*":
            known = Known(one.whole + other.whole, one.scale + other.scale)
        case _:
            return _divided(sign, left, right)
    return calculated(text, known, left.position, left, right)


def _divided(sign: str, left: Node, right: Node) -> Node:
    one, other = left.known, right.known
    is_literal = isinstance(right, Constant)
    if isinstance(right, Constant) and not right.said.strip("-0."):
        refuse(right, "division by zero")
    known = (
        Known(one.whole + other.scale + 1, DIVISION_SCALE_MAX)
        if sign == "/"
        else Known(min(one.whole, other.whole), max(one.scale, other.scale))
    )
    return calculated(
        f"{{0}}::numeric {sign} nullif({{1}}::numeric, 0)", known, left.position, left, right,
        fault="" if is_literal else "{1} = 0 and {0} is not null",
    )  # fmt: skip


def negative(node: Node) -> Node:
    node = number(node, "`-`")
    return calculated("- {0}::numeric", node.known, node.position, node)


def whole(node: Node, by: str, digits: int = 9) -> Node:
    """A whole number as an integer of at most so many digits; a larger one fails."""
    node = number(node, by)
    if node.known.scale > 0:
        refuse(node, f"{by} takes whole numbers, not {node.type}", "write trunc(x)")
    if node.known.whole <= digits:
        return Call(INTEGER, node.known, node.position, "{0}::integer", (node,))
    inside = f"{{0}} between -{10**digits - 1} and {10**digits - 1}"
    text = f"case when {inside} then {{0}}::integer end"
    return Call(INTEGER, Known(digits, 0), node.position, text, (node,), f"not ({inside})")


# -- texts --------------------------------------------------------------------------------------------------------


def text(node: Node, by: str) -> Node:
    """A text of a known greatest length."""
    return require(node, ("text",), by).guarded()


def texts(nodes: Iterable[Node], by: str) -> tuple[Node, ...]:
    return tuple(text(node, by) for node in nodes)


def grown(template_text: str, octets: int, position: int, *args: Node, fault: str = "") -> Node:
    """A text result, or a refusal where it could be longer than a value of PostgreSQL."""
    if octets > RESULT_OCTETS_MAX:
        raise ExpressionRefused(position, f"the result could have {octets:,} bytes", "shorten it before: left(x, 1000)")
    return Call(TEXT, Known(octets=octets), position, template_text, args, fault)


def joined(left: Node, right: Node) -> Node:
    left, right = text(left, "`||`"), text(right, "`||`")
    return grown("{0} || {1}", left.known.octets + right.known.octets, left.position, left, right)


def as_text(node: Node) -> Node:
    """The cast to text, where the spelling depends on nothing but the value."""
    family = node.type.family
    if isinstance(node, Null):
        refuse(node, "null has no text", "write coalesce(a, b)")
    if family in SESSION_SPELT:
        refuse(node, f"{node.type} has no text of its own: it depends on the session", SESSION_SPELT[family])
    if family == "text":
        return node
    plain = '{0}::text collate pg_catalog."C"'
    if family == "date":
        day = in_calendar(node, "::text")
        return grown("to_char({0}::timestamp, 'YYYY-MM-DD') collate pg_catalog.\"C\"", 10, node.position, day)
    if family == "number":
        node = node.guarded()
        return grown(plain, node.known.whole + node.known.scale + 3, node.position, node)
    if family == "boolean" or family in SHORT_SPELT:
        return grown(plain, 100, node.position, node)
    inside = f"octet_length({{0}}::text) <= {OCTETS_MAX}"
    sized = f"case when {inside} then {plain} end"
    return grown(sized, OCTETS_MAX, node.position, node, fault=f"not ({inside})")


# -- days and moments ---------------------------------------------------------------------------------------------


def in_calendar(node: Node, by: str, families: Sequence[str] = ("date",)) -> Node:
    """A day or moment of the years 1 to 9999; another one fails."""
    node = require(node, families, by).guarded()
    if node.known.first >= FIRST_DAY and node.known.last <= LAST_DAY:
        return node
    inside = CALENDAR[node.type.name].format(v="{0}")
    return Call(node.type, Known(), node.position, f"case when {inside} then {{0}} end", (node,), f"not ({inside})")


def shifted(sign: str, day: Node, days: Node) -> Node:
    """A date and a number of days."""
    day = require(day, ("date",), f"`{sign}`").guarded()
    days = whole(days, f"`{sign}` of a date and days", SHIFT_DIGITS)
    reach = 10**days.known.whole
    known = Known(first=day.known.first - reach, last=day.known.last + reach)
    if known.first < PG_FIRST_DAY or known.last > PG_LAST_DAY:
        refuse(day, "the result could lie outside of PostgreSQL's calendar", "add the days up before: date + (a + b)")
    return Call(DATE, known, day.position, f"{{0}} {sign} {{1}}", (day, days))


def days_between(left: Node, right: Node) -> Node:
    left, right = left.guarded(), right.guarded()
    furthest = max(left.known.last - right.known.first, right.known.last - left.known.first)
    return Call(INTEGER, Known(len(str(furthest)), 0), left.position, "{0} - {1}", (left, right))


def at_zone(moment: Node, zone: Node) -> Node:
    require(moment, ("timestamptz",), "`at time zone`")
    said = literal_text(zone, "the zone")
    if said not in zones():
        refuse(zone, f"'{shown(said)}' is not a time zone of the IANA database", "such as Europe/London")
    name = Constant(TEXT, Known(), zone.position, lit(said), said)
    return Call(PgType("timestamp"), Known(), moment.position, "{0} at time zone {1}", (moment.guarded(), name))


def as_date(node: Node) -> Node:
    if isinstance(node, Constant) and node.type == TEXT and not isinstance(node, Null):
        return moment_constant(node, DATE)
    if node.type.family != "timestamp":
        return require(node, ("date",), "::date")
    node = node.guarded()
    return Call(DATE, node.known, node.position, "{0}::date", (node,))


def as_numeric(node: Node) -> Node:
    node = require(node, ("number",), "::numeric")
    if node.type.name not in INTEGER_DIGITS:
        return node
    return Call(numeric(node.known), node.known, node.position, "{0}::numeric", (node,), passes_on=True)
