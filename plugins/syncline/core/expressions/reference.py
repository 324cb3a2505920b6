"""The tables of docs/expressions.md, made from the code; a test keeps the page equal to them.

python -c "from syncline.core.expressions.reference import tables; print(tables())"
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from syncline.core.expressions import refused
from syncline.core.expressions.functions import DATE_FIELDS, FIELDS, FUNCTIONS
from syncline.core.expressions.lexemes import DIGITS_MAX
from syncline.core.expressions.nodes import NUMBER_DIGITS, OCTETS_MAX
from syncline.core.expressions.rules import SHIFT_DIGITS


@dataclass(frozen=True)
class Operator:
    """An operator with an example over the columns of EXAMPLE_COLUMNS."""

    usage: str
    gives: str
    note: str
    example: str


EXAMPLE_COLUMNS = {
    "amount": "numeric(14,4)", "hours": "integer", "name": "text", "code": "text", "starts_on": "date",
    "ends_on": "date", "signed_at": "timestamptz", "is_deleted": "boolean",
}  # fmt: skip
OPERATORS = (
    Operator("a + b, a - b, a * b", "numeric", "Numbers", "amount * hours + 1 - 2"),
    Operator("a / b, a % b", "numeric", "7 / 2 is 3.5; division by zero rejects the row", "amount / hours % 7"),
    Operator("-a", "numeric", "", "-amount"),
    Operator("date + days, date - days", "date", f"At most {10**SHIFT_DIGITS - 1:,} days", "starts_on + 30 - hours"),
    Operator("date - date", "integer", "Days", "ends_on - starts_on"),
    Operator("a || b", "text", "NULL if either is; concat leaves NULL out", "name || ' ' || code"),
    Operator("=  <>  !=", "boolean", "Any type, both sides of one", "code = 'A' or code <> 'B' or code != 'C'"),
    Operator("<  <=  >  >=", "boolean", "Texts by code point, whatever the locale",
             "amount < 1 or amount <= 2 or amount > 3 or amount >= 4"),
    Operator("a [not] between b and c", "boolean", "Both ends belong to it", "amount not between 1 and 2"),
    Operator("a [not] in (literals)", "boolean", "", "code in ('A', 'B') and hours not in (1, 2)"),
    Operator("a is [not] null", "boolean", "", "name is null or code is not null"),
    Operator("a is [not] true, is [not] false", "boolean", "", "is_deleted is not true or is_deleted is false"),
    Operator("a is [not] distinct from b", "boolean", "As <> and =, where NULL equals NULL",
             "name is distinct from code or name is not distinct from code"),
    Operator("a [not] like 'pattern'", "boolean", "% is any text, _ one letter", "name not like 'A%'"),
    Operator("a [not] ilike 'pattern'", "boolean", "The same without regard to case, by the rules of the database",
             "name ilike 'a%'"),
    Operator("a ~ 'regex', a !~ 'regex'", "boolean",
             "A match anywhere in the text; the patterns of the check `pattern`:"
             " \\w \\d \\s know ASCII, `.` is any character",
             "name ~ '^[A-Z]' or name !~ '[0-9]'"),
    Operator("not a, a and b, a or b", "boolean", "From left to right", "not is_deleted and hours = 1 or hours = 2"),
    Operator("case when a then b ... [else c] end", "as b, c", "NULL without `else`",
             "case when is_deleted then 'gone' when hours = 0 then 'idle' else 'here' end"),
    Operator("case a when b then c ... [else d] end", "as c, d", "", "case code when 'A' then 1 when 'B' then 2 end"),
    Operator("a::text, cast(a as text)", "text", "Not where the session decides the spelling: to_char, or a step",
             "hours::text || cast(starts_on as text)"),
    Operator("a::numeric", "numeric", "Of an integer", "hours::numeric"),
    Operator("a::date", "date", "Of a timestamp without zone", "(signed_at at time zone 'Europe/London')::date"),
    Operator("a at time zone 'Europe/London'", "timestamp", "Of a timestamptz; a name of the IANA database",
             "signed_at at time zone 'Europe/London'"),
    Operator("extract(year from a)", "integer",
             f"{' '.join(FIELDS)} (numeric) of a timestamp; of a date to {DATE_FIELDS[-1]}",
             "extract(year from starts_on)"),
)  # fmt: skip
LITERALS = (
    ("text", "'it''s'", "A backslash is a plain character"),
    ("number", "12.5", f"No exponents; at most {DIGITS_MAX} digits"),
    ("boolean", "true, false", ""),
    ("nothing", "null", "In `case` and `coalesce`"),
    ("date", "date '2026-12-31'", ""),
    ("timestamp", "timestamp '2026-12-31 10:00:00'", ""),
    ("timestamptz", "timestamptz '2026-12-31 10:00:00+00'", "The zone is part of it"),
)
LIMITS = (
    ("characters", refused.TEXT_MAX),
    ("words and signs", refused.LEXEMES_MAX),
    ("brackets and `case` inside each other", refused.NESTING_MAX),
    ("operators inside each other", refused.DEPTH_MAX),
    ("digits before the point of a number that is calculated with", NUMBER_DIGITS),
    ("bytes of a text that is joined, replaced in or searched by a regex", OCTETS_MAX),
)


def tables() -> str:
    """All tables of the page, in Markdown."""
    functions = [(item.usage, item.gives, item.note) for item in FUNCTIONS.values()]
    operators = [(item.usage, item.gives, item.note) for item in OPERATORS]
    limits = [(what, f"{limit:,}") for what, limit in LIMITS]
    return "\n\n".join((
        "### Literals\n\n" + _table(("of", "written", "note"), LITERALS),
        "### Operators\n\n" + _table(("written", "gives", "note"), operators),
        "### Functions\n\n" + _table(("written", "gives", "note"), functions),
        "### Limits\n\n" + _table(("what", "at most"), limits),
    ))  # fmt: skip


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table; what is written as code stands as code."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [f"`{cell}`" if name == "written" else cell for name, cell in zip(head, row, strict=True)]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)
