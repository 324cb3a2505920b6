"""Decisions that a draft left to a person: comments that begin `# DECIDE:`. A job that has one is not finished.

A comment is nothing to a YAML parser, so these are looked for in the text; what only looks like one, in a quoted value
or a block, is told apart by the places that the document remembers.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

import yaml

from syncline.core.files.documents import ANNOUNCED, Document, Spot

DECIDE = "# DECIDE:"
OPEN = re.compile(r"(?:^|(?<=\s))#\s*DECIDE:\s*(?P<question>.*)")
QUESTION_MAX = 120  # signs of it that are quoted; the line is shown too
MEND = "decide, then take the comment away"
QUOTED, BLOCKS = ("'", '"'), ("|", ">")
Place = tuple[int, int]  # line and column, both counted from 0


def tell_open_decisions(document: Document) -> None:
    """Add one finding per comment; a file that cannot be read is mended first."""
    if "DECIDE:" not in document.text:
        return
    texts = sorted(_texts(document))
    for number, line in enumerate(document.lines):
        for found in OPEN.finditer(line):
            if not _is_inside((number, found.start()), texts):
                spot = Spot(number + 1, found.start() + 1, len(line.rstrip()) - found.start())
                document.mistake_at(spot, "M24", f"still open{_quoted(found['question'], line)}", MEND)
                break  # the rest of the line is part of the same comment


def _is_inside(place: Place, texts: list[tuple[Place, Place]]) -> bool:
    """Whether a place is in one of the texts, which are sorted and do not overlap."""
    nearest_before = bisect_right(texts, place, key=lambda text: text[0]) - 1
    return nearest_before >= 0 and place < texts[nearest_before][1]


def _quoted(question: str, line: str) -> str:
    """The question for a message; none of a line that announces a secret."""
    shown = question.strip()
    if not shown or ANNOUNCED.search(line):
        return ""
    return f": {shown[:QUESTION_MAX]}{'…' if len(shown) > QUESTION_MAX else ''}"


def _texts(document: Document) -> Iterator[tuple[Place, Place]]:
    """Where quoted values and keys, and blocks, begin and end: a `#` in them is a sign like others."""
    for event in (*document.values.values(), *document.keys.values()):
        if not isinstance(event, yaml.ScalarEvent) or event.style not in (*QUOTED, *BLOCKS):
            continue
        begin: Any = event.start_mark
        end: Any = event.end_mark
        # Behind the sign of a block a comment may stand; its text begins in the next line.
        yield (begin.line + 1, 0) if event.style in BLOCKS else (begin.line, begin.column), (end.line, end.column)
