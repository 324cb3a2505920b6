"""The regular expressions that mappings may use: what Python and PostgreSQL read alike, and no more.

So whether a pattern can run, and what it means, is known before it meets a row. Who uses one (the check `pattern`,
steps that extract or replace, restricted expressions) is not this module's matter.
"""

from __future__ import annotations

import re
from functools import cache
from math import prod

from pydantic_core import PydanticCustomError

ESCAPED = re.compile(r"\\[dwsDWS]|\\[^\w\s]")
BRACKET = re.compile(r"\[\^?[^\[\]^]+\]")
COUNT = re.compile(r"(\)?)\{([0-9]{1,3})(?:,([0-9]{0,3}))?\}")
REPEAT_MAX = 255  # PostgreSQL's limit
STATES_MAX = 2_000  # counted repetitions multiply; PostgreSQL refuses "too complex" only when it runs


@cache
def why_not_portable(regex: str) -> str | None:
    """Why a regular expression is refused; None when it is fine."""
    if "--" in regex or "&&" in regex or "||" in regex or "~~" in regex:
        return "two equal signs of `-&|~` side by side"
    bare = ESCAPED.sub("x", regex)
    if "\\" in bare:
        return "only \\d \\w \\s and escaped signs may follow a backslash"
    bare = BRACKET.sub("x", bare)
    if "[" in bare or "]" in bare:
        return "brackets hold plain characters and ranges; escape [ ] ^ in them"
    counts = [(group, int(high or low)) for group, low, high in COUNT.findall(bare)]
    if any(count > REPEAT_MAX for _, count in counts):
        return f"a repetition above {REPEAT_MAX}"
    nested, flat = (prod(n for g, n in counts if g), sum(n for g, n in counts if not g))
    if nested * max(flat, 1) > STATES_MAX:
        return "too many counted repetitions"
    bare = COUNT.sub(r"\1*", bare)
    if "{" in bare or "}" in bare:
        return "a brace that counts nothing: escape it"
    if re.search(r"\(\?(?!:)", bare) or re.search(r"[*+?][*+]|[*?+]\?\?|(?:^|[(|^$])[*+?]", bare.replace("(?:", "(")):
        return "groups are ( ) or (?: ), and one sign repeats one thing"
    try:
        re.compile(regex)
    except (re.error, RecursionError, OverflowError) as error:
        return str(error)
    return None


def portable(regex: str) -> str:
    """The regular expression, or PydanticCustomError (M02) with what is wrong with it."""
    if why := why_not_portable(regex):
        raise PydanticCustomError("M02", "the pattern cannot run: {why}", {"why": why})
    return regex
