"""A YAML file that was read: its data, where everything in it stands, and the mistakes told about it.

Models know the path of a mistake, such as ("source", "key", 0); the document knows the line and column of a path, and
how much of the line the mistake is about. It also knows what of its lines must not be shown: a secret is echoed neither
in words nor in the line above the caret.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import yaml

from syncline.core.files.excerpts import LINE_END, NOT_SHOWN, Excerpt, Span, excerpt, lines_of
from syncline.core.files.findings import KEY, Finding
from syncline.core.sensitive import is_secret_key

Where = tuple[str | int, ...]
MISTAKES_MAX = 200  # told of one file: who made more made one many times
# A word that announces a secret, and the sign behind which the secret stands.
ANNOUNCED = re.compile(r"(?i)(?:password|passwd|pwd|secret|token|api[_-]?key|private[_-]?key)s?[\"']?\s*[:=]")
# How a sign of a value is written in a quoted scalar, where it is not written as itself.
WRITTEN = {
    "'": re.compile("''"),
    '"': re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)"),
}


class Spot(NamedTuple):
    """A part of one line, counted from 1; `length` is 0 where it is not known."""

    line: int
    column: int
    length: int = 0


@dataclass
class Document:
    """A file's data, the places of its keys and values, and the mistakes told so far.

    Attributes:
        path: As it is told, relative to the project's root.
        text: What was parsed: the file, with what looks like a secret made illegible.
        blots: What was made illegible: begin and end in the text.
        keys: Path -> the parser's event that names its key.
        values: Path -> the parser's event that begins its value.
        ends: Path of a list or mapping -> the parser's event that ends it.
        empties: Paths of keys and items behind which nothing stands, not even `null`.
        is_read: False while reading: what of a line may be shown is known at the end.
        is_whole: False where the file could not be read to its end.
    """

    path: str
    data: Any = None
    findings: list[Finding] = field(default_factory=list)
    text: str = field(default="", repr=False)
    blots: list[Span] = field(default_factory=list, repr=False)
    keys: dict[Where, Any] = field(default_factory=dict, repr=False)
    values: dict[Where, Any] = field(default_factory=dict, repr=False)
    ends: dict[Where, Any] = field(default_factory=dict, repr=False)
    empties: list[Where] = field(default_factory=list, repr=False)
    is_read: bool = True
    is_whole: bool = True
    _waiting: list[tuple[Spot, str, str, str, str]] = field(default_factory=list, repr=False)

    def mistake(
        self, where: Where, code: str, found: str, allowed: str = "", nearest: str = "",
        *, offset: int | None = None, length: int = 1,
    ) -> None:  # fmt: skip
        """Tell a mistake at a path. `offset` and `length` name a part of the text that stands there as a value."""
        spot = self.spot(where, offset, length)
        if is_secret(where):
            name = next(part for part in where if isinstance(part, str) and is_secret_key(part))
            found = f"what stands under '{name}' is refused (not shown: it may be a secret)"
            allowed = nearest = ""
        self.mistake_at(spot, code, found, allowed, nearest)

    def mistake_at(self, spot: Spot, code: str, found: str, allowed: str = "", nearest: str = "") -> None:
        """Tell a mistake at a place that no path names; after MISTAKES_MAX of them only that there are more."""
        if len(self.findings) + len(self._waiting) == MISTAKES_MAX:
            code, found, allowed, nearest = "M23", f"more than {MISTAKES_MAX} mistakes", "mend those above first", ""
        if len(self.findings) + len(self._waiting) > MISTAKES_MAX:
            return
        if not self.is_read:
            self._waiting.append((spot, code, found, allowed, nearest))
            return
        is_hidden, shown = self._shown(spot)
        length = 0 if is_hidden else spot.length  # how long a secret is says something about it
        self.findings.append(Finding(self.path, spot.line, spot.column, code, found, allowed, nearest, length, shown))

    def finish(self) -> None:
        """All of the file is read: tell what was found meanwhile."""
        self.is_read = True
        waiting, self._waiting = self._waiting, []
        for told in waiting:
            self.mistake_at(*told)

    def place(self, where: Where) -> tuple[int, int]:
        """Line and column at which a mistake at a path is told."""
        spot = self.spot(where)
        return spot.line, spot.column

    def spot(self, where: Where, offset: int | None = None, length: int = 1) -> Spot:
        """What a mistake at a path is about: its scalar, or else its key; its nearest parent's where there is none.

        A path that ends in KEY means the key itself. An offset means a part of the scalar's value, as far as the file
        holds the value as it is; elsewhere it is the whole scalar.
        """
        if where[-1:] == (KEY,) and where not in self.values and where[:-1] in self.keys:
            return spot_of(self.keys[where[:-1]])
        while where and where not in self.values:
            where, offset = where[:-1], None
        value, key = self.values.get(where), self.keys.get(where)
        if _is_text(value):
            part = self._part(value, offset, length) if offset is not None and not is_secret(where) else None
            return part or self._first_line(value)
        if key is not None or value is None:
            return spot_of(key) if key is not None else Spot(1, 1)
        if getattr(value, "flow_style", False) and where in self.ends:
            return spot_of(value, self.ends[where])
        return Spot(value.start_mark.line + 1, value.start_mark.column + 1)

    def open_bracket(self) -> Any:
        """The mark of the innermost `[` or `{` that is not closed yet; None where all are."""
        opened = (value for where, value in self.values.items() if where not in self.ends)
        flows = [value.start_mark for value in opened if getattr(value, "flow_style", False)]
        return flows[-1] if flows else None

    def spot_at(self, begin: int, behind: int) -> Spot:
        """The part of the text between two offsets, as far as it is on one line."""
        number = bisect_right(self._line_begins, begin)
        column = begin - self._line_begins[number - 1]
        return Spot(number, column + 1, min(behind - begin, max(len(self.lines[number - 1]) - column, 0)))

    @cached_property
    def _line_begins(self) -> list[int]:
        return [0, *(end.end() for end in LINE_END.finditer(self.text))]

    @cached_property
    def lines(self) -> list[str]:
        return lines_of(self.text)

    def _first_line(self, value: Any) -> Spot:
        spot = spot_of(value)
        if spot.length == 0 and spot.line <= len(self.lines):
            return spot._replace(length=len(self.lines[spot.line - 1].rstrip()) - spot.column + 1)
        return spot

    def _part(self, value: Any, offset: int, length: int) -> Spot | None:
        """Where a part of a scalar's value stands; None where the file does not hold the value on one line."""
        if value.style in ("|", ">"):
            return self._part_of_block(value, offset, length)
        whole = spot_of(value)
        quote = 1 if value.style in WRITTEN else 0
        raw = self.lines[whole.line - 1][whole.column - 1 : whole.column - 1 + whole.length]
        at = _signs(raw, quote, len(value.value), WRITTEN.get(value.style))
        if at[-1] != len(raw) - quote:
            return None
        begin, behind = at[min(offset, len(value.value))], at[min(offset + length, len(value.value))]
        return Spot(whole.line, whole.column + begin, behind - begin)

    def _part_of_block(self, value: Any, offset: int, length: int) -> Spot | None:
        """The same for a block: its lines stand below the `|`, each behind the same indent."""
        before = value.value[:offset].split("\n")
        row, column = len(before), len(before[-1])
        line = value.value.split("\n")[row - 1]
        number = value.start_mark.line + 1 + row
        raw = self.lines[number - 1] if number <= len(self.lines) else ""
        if not line or not raw.endswith(line) or raw[: -len(line)].strip():
            return None
        return Spot(number, len(raw) - len(line) + column + 1, max(0, min(length, len(line) - column)))

    def _shown(self, spot: Spot) -> tuple[bool, Excerpt]:
        """Whether the spot may be part of a secret, and its line as it may be shown."""
        if not 0 < spot.line <= len(self.lines):
            return False, Excerpt()
        if spot.line in self._dark:
            return True, NOT_SHOWN
        begin, hidden = spot.column - 1, self._hidden.get(spot.line, [])
        is_hidden = any(first < begin + max(spot.length, 1) and begin < behind for first, behind in hidden)
        return is_hidden, excerpt(self.lines[spot.line - 1], begin, begin + spot.length, hidden)

    @cached_property
    def _hidden(self) -> dict[int, list[Span]]:
        """Line -> its masked parts: what looks like a secret, and what follows a word that announces one."""
        hidden: dict[int, list[Span]] = defaultdict(list)
        for begin, behind in self.blots:
            line, column, _ = self.spot_at(begin, begin)
            for part in lines_of(self.text[begin:behind]):
                hidden[line].append((column - 1, column - 1 + len(part)))
                line, column = line + 1, 1
        for number, said in self._announcing:
            hidden[number].append((said, len(self.lines[number - 1])))
        return hidden

    @cached_property
    def _announcing(self) -> list[tuple[int, int]]:
        """Lines that announce a secret, and where in them it begins."""
        found = ((number, ANNOUNCED.search(line)) for number, line in enumerate(self.lines, start=1))
        return [(number, word.end()) for number, word in found if word is not None]

    @cached_property
    def _dark(self) -> set[int]:
        """Lines that are not shown at all: a secret that was announced above them may go on in them."""
        dark: set[int] = set()
        for number, _ in self._announcing:
            if self.is_whole:
                dark.update(self._deeper_than(number))
            else:  # nobody knows where its value ends
                dark.update(range(number + 1, len(self.lines) + 1))
        open_ones = {number for number, _ in self._announcing}
        for where, value in self.values.items():
            if _is_text(value) and is_secret(where):
                first, last = value.start_mark.line + 1, value.end_mark.line + 1
                if value.style in ("|", ">") and value.end_mark.column == 0:  # a block ends where the next line begins
                    last -= 1
                dark.update(range(first, last + 1) if first not in open_ones else range(first + 1, last + 1))
        return dark

    def _deeper_than(self, number: int) -> Iterator[int]:
        """The lines below one that are empty or indented further."""
        depth = _indent(self.lines[number - 1])
        for below, line in enumerate(self.lines[number:], start=number + 1):
            if line.strip() and _indent(line) <= depth:
                return
            yield below


def is_secret(where: Where) -> bool:
    """Whether what stands at a path may be a secret: a key above it announces one.

    A target field may bear such a name, as a column of the target does; then only its constant may be one.
    """
    if where[-1:] == (KEY,):
        return False
    announced = [n for n, part in enumerate(where) if isinstance(part, str) and is_secret_key(part)]
    is_field = announced == [1] and where[0] == "fields" and len(where) > 2
    return bool(announced) and (not is_field or where[2] == "constant")


def spot_of(event: Any, last: Any = None) -> Spot:
    """What an event of the parser stands on, or from one event to another, as far as that is one line."""
    begin, end = event.start_mark, (last or event).end_mark
    return Spot(begin.line + 1, begin.column + 1, end.column - begin.column if begin.line == end.line else 0)


def _is_text(value: Any) -> bool:
    """Whether an event is a scalar of which the file shows something: an empty value shows nothing."""
    return isinstance(value, yaml.ScalarEvent) and bool(spot_of(value).length or value.value)


def _signs(raw: str, begin: int, count: int, written: re.Pattern[str] | None) -> list[int]:
    """Where each of so many signs of a value begins in the raw text, and where the last one ends."""
    at = [begin]
    while len(at) <= count:
        escaped = written.match(raw, at[-1]) if written is not None else None
        at.append(escaped.end() if escaped is not None else at[-1] + 1)
    return at


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
