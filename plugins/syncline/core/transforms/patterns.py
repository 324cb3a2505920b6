"""The regular expressions that mappings may use: what Python and PostgreSQL read alike, and no more.

So whether a pattern can run, and what it means, is known before it meets a row. Who uses one (the check `pattern`,
the step `extract`, restricted expressions) is not this module's matter; they all give the server what `for_server`
writes, never what the author wrote.

`.` is any character, a line feed too; `^` and `$` are the ends of the text. `\\d`, `\\w` and `\\s` are those of ASCII:
what a server takes for a letter depends on its locale, so it is given `[0-9]`, `[A-Za-z0-9_]` and `[ \\t\\n\\r\\f\\v]`.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, reduce

from pydantic_core import PydanticCustomError

REPEAT_MAX = 255  # PostgreSQL's limit
LAST_CHARACTER = 0x10FFFF
NESTING_MAX = 30
# PostgreSQL writes repetitions out. So many steps from sign to sign take it 10 ms, a hundred times as many minutes.
STEPS_MAX = 5_000
CLASSES = {"d": "0-9", "w": "A-Za-z0-9_", "s": r" \t\n\r\f\v"}  # as they stand in brackets
MEMBERS = {"d": ((48, 57),), "w": ((48, 57), (65, 90), (95, 95), (97, 122)), "s": ((9, 13), (32, 32))}
MAY_BE_ESCAPED = re.compile(r"[!-/:-@\[-`{-~]")
COUNT = re.compile(r"\{([0-9]{1,3})(?:(,)([0-9]{1,3})?)?\}")
DOUBLED = ("--", "&&", "||", "~~")  # Python keeps them for sets of sets

Ranges = tuple[tuple[int, int], ...]  # of code points, both ends included


class _Refused(ValueError):
    """The text says why."""


@cache
def why_not_portable(regex: str) -> str | None:
    """Why a regular expression is refused; None when it is fine."""
    try:
        read(regex)
    except _Refused as refused:
        return str(refused)
    return None


def portable(regex: str) -> str:
    """The regular expression, or PydanticCustomError (M02) with what is wrong with it."""
    if why := why_not_portable(regex):
        raise PydanticCustomError("M02", "the pattern cannot run: {why}", {"why": why})
    return regex


def for_server(regex: str, group: int = 0) -> str:
    """A portable regular expression as PostgreSQL is given it; only the asked group keeps its part of the text.

    Told to keep several, the server tries all ways to divide a text among them; in repetitions that takes hours.
    """
    return read(regex, group).server


@dataclass(frozen=True)
class Pattern:
    """A pattern that has been read.

    Attributes:
        is_lazy: `*?` and its like are in it; Python and PostgreSQL match the same texts, but other parts of them.
        repeated: Groups inside of a repetition; they have several values.
    """

    server: str
    groups: int
    is_lazy: bool
    repeated: frozenset[int]


@cache
def read(regex: str, group: int = 0) -> Pattern:
    """Read a pattern; raises a ValueError that says why it is refused."""
    reader = _Reader(regex, group)
    tree = reader.whole()
    try:
        re.compile(regex)
    except (re.error, RecursionError, OverflowError) as error:
        raise _Refused(str(error)) from None
    if _steps(tree, reader.signs) > STEPS_MAX:
        raise _Refused("too many counted repetitions, one in another or of what may be absent")
    return Pattern("".join(reader.said), reader.groups, reader.is_lazy, frozenset(reader.repeated))


# -- reading --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Sign:
    """One character of some ranges, or of none of them; or ^ or $."""

    ranges: Ranges = ()
    is_negated: bool = False
    is_anchor: bool = False


@dataclass(frozen=True)
class _Repeated:
    part: _Part
    low: int
    high: int | None


@dataclass(frozen=True)
class _Row:
    parts: tuple[_Part, ...]


@dataclass(frozen=True)
class _Either:
    parts: tuple[_Part, ...]


_Part = _Sign | _Repeated | _Row | _Either
ANY = _Sign(is_negated=True)


class _Reader:
    """Reads a pattern from left to right, and writes what the server is given."""

    def __init__(self, regex: str, group: int) -> None:
        self.regex, self.group = regex, group
        self.at = self.groups = 0
        self.said: list[str] = []
        self.signs: list[_Sign] = []
        self.is_lazy = False
        self.repeated: set[int] = set()

    def whole(self) -> _Part:
        tree = self._either(0)
        if self.at < len(self.regex):
            raise _Refused("unbalanced parenthesis")
        return tree

    @property
    def _here(self) -> str:
        return self.regex[self.at : self.at + 1]

    def _skips(self, text: str) -> bool:
        found = self.regex.startswith(text, self.at)
        self.at += len(text) if found else 0
        return found

    def _either(self, depth: int) -> _Part:
        if depth > NESTING_MAX:
            raise _Refused(f"more than {NESTING_MAX} groups inside of each other")
        parts = [self._row(depth)]
        while self._skips("|"):
            self.said.append("|")
            parts.append(self._row(depth))
        return parts[0] if len(parts) == 1 else _Either(tuple(parts))

    def _row(self, depth: int) -> _Part:
        parts: list[_Part] = []
        while self._here not in {"", "|", ")"}:
            parts.append(self._counted(depth))
        return _Row(tuple(parts))

    def _counted(self, depth: int) -> _Part:
        groups, part, start = self.groups, self._part(depth), self.at
        low, high = self._count()
        if self.at == start:
            return part
        if isinstance(part, _Sign) and part.is_anchor:
            raise _Refused("one sign repeats one thing, and ^ and $ are none")
        self.is_lazy |= self._skips("?")
        if self._here in {"*", "+", "?"} or COUNT.match(self.regex, self.at):
            raise _Refused("one sign repeats one thing; (?: ) around it can be repeated again")
        if high != 1:
            self.repeated.update(range(groups + 1, self.groups + 1))
        self.said.append(self.regex[start : self.at])
        return _Repeated(part, low, high)

    def _count(self) -> tuple[int, int | None]:
        for sign, low, high in (("*", 0, None), ("+", 1, None), ("?", 0, 1)):
            if self._skips(sign):
                return low, high
        if (found := COUNT.match(self.regex, self.at)) is None:
            return 1, 1
        self.at = found.end()
        low = int(found[1])
        most = int(found[3] or low)
        if max(low, most) > REPEAT_MAX:
            raise _Refused(f"a repetition above {REPEAT_MAX}")
        if most < low:
            raise _Refused(f"a repetition of {low} to {most}")
        return low, None if found[2] and not found[3] else most

    def _part(self, depth: int) -> _Part:
        sign = self._here
        self.at += 1
        match sign:
            case "(":
                return self._group(depth)
            case "[":
                return self._bracket()
            case "\\":
                return self._escaped()
            case "*" | "+" | "?":
                raise _Refused("one sign repeats one thing, and nothing stands before it")
            case "{" | "}":
                raise _Refused("a brace that counts nothing: escape it")
            case "]":
                raise _Refused("brackets that nothing opens: escape ]")
        self.said.append(sign)
        return self._one(_Sign(is_anchor=True) if sign in "^$" else ANY if sign == "." else _exactly(sign))

    def _one(self, sign: _Sign) -> _Sign:
        self.signs.append(sign)
        return sign

    def _group(self, depth: int) -> _Part:
        is_silent = self._skips("?:")
        if self._here == "?":
            raise _Refused("groups are ( ) or (?: )")
        if not is_silent:
            self.groups += 1
        self.said.append("(?:" if is_silent or self.groups != self.group else "(")
        part = self._either(depth + 1)
        if not self._skips(")"):
            raise _Refused("unterminated group")
        self.said.append(")")
        return part

    def _escaped(self) -> _Part:
        sign = self._after_backslash()
        if sign.lower() not in CLASSES:
            self.said.append("\\" + sign)
            return self._one(_exactly(sign))
        self.said.append(f"[{'^' * sign.isupper()}{CLASSES[sign.lower()]}]")
        return self._one(_Sign(MEMBERS[sign.lower()], sign.isupper()))

    def _after_backslash(self) -> str:
        sign = self._here
        if sign.lower() not in CLASSES and not MAY_BE_ESCAPED.fullmatch(sign):
            raise _Refused("only \\d \\w \\s and escaped signs may follow a backslash")
        self.at += 1
        return sign

    def _bracket(self) -> _Part:
        is_negated = self._skips("^")
        self.said.append("[^" if is_negated else "[")
        start = self.at
        ranges: Ranges = ()
        while not self._skips("]"):
            ranges += self._member(start)
        if not ranges:
            raise _Refused("brackets hold nothing; escape [ ] ^ in them")
        if any(doubled in self.regex[start : self.at] for doubled in DOUBLED):
            raise _Refused("two equal signs of `-&|~` side by side in brackets")
        self.said.append("]")
        return self._one(_Sign(ranges, is_negated))

    def _member(self, start: int) -> Ranges:
        """A sign, a class or a range of brackets that began at `start`."""
        is_first, is_dash = self.at == start, self._here == "-"
        kind, low = self._in_brackets()
        is_range = self._here == "-" and self.regex[self.at + 1 : self.at + 2] != "]"
        if (is_dash and not is_first and self._here != "]") or (is_range and (is_dash or kind)):
            raise _Refused("in brackets - stands first, last or between the two ends of one range: escape it")
        if kind:
            return MEMBERS[kind]
        if not is_range:
            return ((ord(low), ord(low)),)
        self.said.append("-")
        self.at += 1
        kind, high = self._in_brackets()
        if kind or high < low:
            raise _Refused(f"the range {low}-{high} in brackets")
        return ((ord(low), ord(high)),)

    def _in_brackets(self) -> tuple[str, str]:
        """The letter of a class, or a sign."""
        sign = self._here
        if sign in {"", "[", "^"}:
            raise _Refused("brackets hold plain characters and ranges; escape [ ] ^ in them")
        self.at += 1
        if sign != "\\":
            self.said.append("\\-" if sign == "-" else sign)
            return "", sign
        sign = self._after_backslash()
        if sign.lower() in CLASSES and sign.isupper():
            raise _Refused(f"in brackets \\{sign} is read in several ways: write [^\\{sign.lower()}]")
        self.said.append(CLASSES.get(sign, "\\" + sign))
        return (sign, sign) if sign in CLASSES else ("", sign)


def _exactly(sign: str) -> _Sign:
    return _Sign(((ord(sign), ord(sign)),))


# -- what it costs --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Size:
    """What a part costs the server, which writes repetitions out and goes from each sign to all that may follow.

    Attributes:
        steps: Ways from one of its signs to another one.
        first: Signs that it can begin with; one of several kinds of characters counts for each.
        last: Signs that it can end with.
        may_be_absent: Whether it matches the empty text, so that what is before it meets what is behind it.
    """

    steps: int
    first: int
    last: int
    may_be_absent: bool

    def then(self, other: _Size) -> _Size:
        return _Size(
            self.steps + other.steps + self.last * other.first,
            self.first + other.first * self.may_be_absent,
            other.last + self.last * other.may_be_absent,
            self.may_be_absent and other.may_be_absent,
        )

    def or_(self, other: _Size) -> _Size:
        return _Size(
            self.steps + other.steps, self.first + other.first, self.last + other.last,
            self.may_be_absent or other.may_be_absent,
        )  # fmt: skip

    def repeated(self, low: int, high: int | None) -> _Size:
        """As PostgreSQL does it: x{2,4} is ((x)?x)?xx."""
        if high == 0:
            return ABSENT
        again = self.last * self.first if high is None else 0
        whole = _Size(self.steps + again, self.first, self.last, self.may_be_absent)
        for _ in range((high or low) - max(low, 1)):
            whole = whole.or_(ABSENT).then(self)
        for _ in range(low - 1):
            whole = whole.then(self)
        return whole if low else whole.or_(ABSENT)


ABSENT = _Size(0, 0, 0, may_be_absent=True)


def _steps(tree: _Part, signs: list[_Sign]) -> int:
    size = _size(tree, _kinds(signs))
    return size.steps + size.first


def _size(part: _Part, kinds: Callable[[_Sign], int]) -> _Size:
    match part:
        case _Sign():
            return _Size(0, kinds(part), 1, may_be_absent=part.is_anchor)
        case _Repeated():
            return _size(part.part, kinds).repeated(part.low, part.high)
        case _Either():
            return reduce(_Size.or_, (_size(one, kinds) for one in part.parts))
    return reduce(_Size.then, (_size(one, kinds) for one in part.parts), ABSENT)


def _kinds(signs: list[_Sign]) -> Callable[[_Sign], int]:
    """Tells how many kinds of characters a sign stands for: all signs divide the characters into kinds."""
    ends = {end for sign in signs for low, high in sign.ranges for end in (low, high + 1)}
    kinds = sorted({0, *ends} - {LAST_CHARACTER + 1})

    def count(sign: _Sign) -> int:
        inside = sum(bisect(kinds, high) - bisect(kinds, low) + 1 for low, high in sign.ranges)
        return max(len(kinds) - inside if sign.is_negated else inside, 1)

    return count
