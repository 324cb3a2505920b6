"""Judge the expression of a row-level policy: does it keep to the tenants in scope?

A policy that merely mentions `syncline.scoped_tenants()` proves nothing: `... or true` mentions it too. So one of the
conditions that must all hold has to be the plain comparison of the tenant column with the scope; whatever stands
beside it can only make the policy stricter. An expression that says the same in another way is refused as well: what
a reader cannot see at a glance is no wall.

Expressions are as `pg_get_expr` writes them under an empty search path: every name with its schema.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

CALL = r"syncline\.scoped_tenants\(\)"
CAST = r"(?:::[a-z][a-z ]*)"  # no length: a cast that cuts would let tenants meet
SCOPE = "|".join(
    (
        rf"SELECT (?:{CALL}|\({CALL}\){CAST}) AS \w+",
        rf"SELECT (?:\w+\.)?(?P<a>\w+) FROM {CALL} \w+\((?P=a)\)",  # noqa: S608
        rf"SELECT \((?:\w+\.)?(?P<b>\w+)\){CAST} AS \w+ FROM {CALL} \w+\((?P=b)\)",  # noqa: S608
    )
)


def keeps_to_scope(expression: str, column: str) -> bool:
    """Whether the expression lets through rows only whose `column` is a tenant in scope."""
    quoted = re.escape('"' + column.replace('"', '""') + '"')
    name = rf"(?:{re.escape(column)}|{quoted})"
    compared = rf"(?:{name}|\({name}\)::text) (?:IN \( (?:{SCOPE})\)|= ANY \(ARRAY\( (?:{_renamed(SCOPE)})\)\))"
    plain = " ".join(expression.split())
    return any(re.fullmatch(compared, part) for part in _conditions(plain))


def _renamed(pattern: str) -> str:
    """The same pattern once more in one expression: its groups need other names."""
    return pattern.replace("P<a>", "P<c>").replace("P=a", "P=c").replace("P<b>", "P<d>").replace("P=b", "P=d")


def _conditions(expression: str) -> Iterator[str]:
    """The parts that must all be true; an expression that is not a row of ANDs is one part."""
    parts = _split(_bare(expression))
    if len(parts) == 1:
        yield parts[0]
        return
    for part in parts:
        yield from _conditions(part)


def _bare(text: str) -> str:
    """Without parentheses around the whole."""
    while text.startswith("(") and _closes(text) == len(text) - 1:
        text = text[1:-1]
    return text


def _closes(text: str) -> int:
    """Where the parenthesis that opens the text closes."""
    return next((place for place, depth in _depths(text) if depth == 0 and text[place] == ")"), -1)


def _split(text: str) -> list[str]:
    """The text cut at each AND outside of parentheses and quotes; whole if an OR stands there."""
    outside = {place for place, depth in _depths(text) if depth == 0}
    words = [found for found in re.finditer(r" (AND|OR) ", text) if found.start() in outside]
    if any(found[1] == "OR" for found in words):
        return [text]
    cuts = [0, *(place for found in words for place in found.span()), len(text)]
    return [text[cuts[n] : cuts[n + 1]] for n in range(0, len(cuts), 2)]


def _depths(text: str) -> Iterator[tuple[int, int]]:
    """Each character outside of quotes with the depth of parentheses behind it."""
    depth, quote = 0, ""
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
            continue
        if letter in "'\"":
            quote = letter
            continue
        depth += {"(": 1, ")": -1}.get(letter, 0)
        yield place, depth
