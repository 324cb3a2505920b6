"""Show the line of a mistake as a terminal shows it, with a caret line below that stands under the right column.

A line is somebody's text: it may hold a secret, signs that a terminal obeys, letters two columns wide, or ten thousand
columns. What is hidden is replaced by `***` here, and only what comes out of here is printed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

WIDTH_MAX = 160  # columns; a longer line is cut around the caret
BEFORE_MAX = 60  # columns of a cut line that stay before the caret
NEAR = 4 * WIDTH_MAX  # signs before and behind the caret that are looked at: a line may be as long as a file
MASK = "***"
CUT = "…"
LINE_END = re.compile(r"\r\n|\n|\r")
Span = tuple[int, int]  # begin and end of a part of a line, counted from 0, the end excluded


@dataclass(frozen=True)
class Excerpt:
    """A line as it may be shown. The caret stands `indent` columns from its begin and is `width` columns wide."""

    text: str = ""
    indent: int = 0
    width: int = 0


NOT_SHOWN = Excerpt("(not shown: a secret may stand here)")


def lines_of(text: str) -> list[str]:
    """The lines of a file as YAML counts them: others that Python knows, such as form feeds, end none."""
    return LINE_END.split(text)


def excerpt(line: str, begin: int, end: int, hidden: Iterable[Span] = ()) -> Excerpt:
    """One line with a caret under `begin` to `end`; hidden parts are masked, wherever the caret stands."""
    begin = min(begin, len(line))
    far = max(begin - NEAR, 0)
    shown = [spelt(sign) for sign in line[far : begin + NEAR]]
    is_cut = far > 0, begin + NEAR < len(line)
    begin, end = begin - far, end - far
    for first, behind in ((max(first - far, 0), min(behind - far, len(shown))) for first, behind in hidden):
        if first < behind:
            shown[first:behind] = [MASK] + [""] * (behind - first - 1)
            if first <= begin < behind:
                begin, end = first, max(end, behind)
    columns = [0, *accumulate(columns_of(part) for part in shown)]
    left, right = _window(columns, begin)
    before = (CUT if left or is_cut[0] else "") + "".join(shown[left:begin])
    after = "".join(shown[begin:right]) + (CUT if right < len(shown) or is_cut[1] else "")
    width = columns[min(max(end, begin), right)] - columns[min(begin, right)]
    return Excerpt(before + after, columns_of(before), max(width, 1))


def _window(columns: Sequence[int], begin: int) -> Span:
    """The part of a line that is shown: all of it, or WIDTH_MAX columns with the caret's begin among them."""
    signs = len(columns) - 1
    if columns[-1] <= WIDTH_MAX:
        return 0, signs
    left = 0
    if columns[begin] > WIDTH_MAX - BEFORE_MAX:
        left = next(n for n in range(begin + 1) if columns[begin] - columns[n] <= BEFORE_MAX)
    room = WIDTH_MAX - 2  # for the two signs that say that it was cut
    right = next((n for n in range(left, signs) if columns[n + 1] - columns[left] > room), signs)
    return left, right


def spelt(sign: str) -> str:
    r"""A sign, or its escape where a terminal would obey it or show nothing: `\t`, `\x1b`, `\u202e`."""
    return sign if sign.isprintable() else sign.encode("unicode_escape").decode()


def columns_of(text: str) -> int:
    """Columns of a terminal that a printable text takes: East Asian letters take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(map(_columns_of_sign, text))


def _columns_of_sign(sign: str) -> int:
    if unicodedata.category(sign) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1
