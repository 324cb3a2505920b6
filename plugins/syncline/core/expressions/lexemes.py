"""The closed vocabulary of expressions: text in, lexemes out, each known and in its place.

sqlglot reads many dialects and forgives much: `==`, a missing THEN, `a b`, `$$`, comments, 40 kinds of literal. So
nothing reaches its parser that is not listed here, and the order of values and operators is checked before. The
parser then only decides what binds tighter. Names and literals go to it as numbers (`reading.py`), so no word of an
author can ever mean something to it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from syncline.core.expressions.refused import LEXEMES_MAX, NESTING_MAX, TEXT_MAX, ExpressionRefused, shown
from syncline.core.expressions.words import (
    BEFORE_NOT,
    CAST_TYPES,
    ELSEWHERE,
    INFIX,
    KEYWORDS,
    LITERAL_TYPES,
    PREDICATES,
    REMEDIES,
    RESERVED,
    SPECIAL,
    SYSTEM_COLUMNS,
    UNITS,
    VALUES,
)
from syncline.core.files.findings import nearest
from syncline.core.types import PgType

LEXICON = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    |(?P<comment>--|/\*)
    |(?P<word>[A-Za-z_][A-Za-z0-9_$]*)
    |(?P<quoted>"(?:[^"]|"")*")
    |(?P<string>'(?:[^']|'')*')
    |(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?P<tail>[A-Za-z0-9_.$]*))
    |(?P<op>::|\|\||<>|!=|<=|>=|!~|[-+*/%=<>~(),])""",
    re.VERBOSE,
)
DIGITS_MAX = 100
NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


class Kind(Enum):
    """What a lexeme is, after its neighbours are known."""

    COLUMN = auto()
    FUNCTION = auto()
    STRING = auto()
    NUMBER = auto()
    KEYWORD = auto()
    TYPE = auto()  # of a literal or a cast
    FIELD = auto()  # of EXTRACT
    OPERATOR = auto()


@dataclass(frozen=True)
class Lexeme:
    """A piece of the text. `text` is folded for names and keywords, without quotes for strings and quoted names."""

    kind: Kind
    text: str
    position: int
    is_quoted: bool = False


def lexemes(text: str, types: Mapping[str, PgType], functions: frozenset[str]) -> list[Lexeme]:
    """The lexemes of an expression, each of the vocabulary and in its place; raises ExpressionRefused."""
    _check_characters(text)
    raw = _split(text)
    if not raw:
        raise ExpressionRefused(0, "the expression is empty", "write a value, such as coalesce(a, b)")
    known = [_classify(raw, n, types, functions) for n in range(len(raw))]
    _Order(known).check(len(text))
    return known


def _check_characters(text: str) -> None:
    if len(text) > TEXT_MAX:
        raise ExpressionRefused(
            TEXT_MAX, f"the expression has {len(text)} characters", f"{TEXT_MAX} are allowed; use several fields"
        )
    for position, sign in enumerate(text):
        if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") and sign not in "\t\r\n":
            raise ExpressionRefused(
                position, f"an invisible character, U+{ord(sign):04X}", "only what can be seen, spaces and line ends"
            )


def _split(text: str) -> list[Lexeme]:
    """Cut the text; every word is still a KEYWORD here."""
    found: list[Lexeme] = []
    at = 0
    while at < len(text):
        match = LEXICON.match(text, at)
        if match is None:
            sign = text[at]
            raise ExpressionRefused(at, f"'{sign}' is not part of expressions", REMEDIES.get(sign, ""))
        if (lexeme := _lexeme(match, at)) is not None:
            found.append(lexeme)
        if len(found) > LEXEMES_MAX:
            raise ExpressionRefused(at, f"more than {LEXEMES_MAX} words and signs", "use several fields")
        at = match.end()
    return found


def _lexeme(match: re.Match[str], at: int) -> Lexeme | None:
    piece = match[0]
    if match["comment"]:
        raise ExpressionRefused(at, "a comment", "use the field's `description`; minus a minus is written - (-1)")
    if match["string"]:
        return Lexeme(Kind.STRING, piece[1:-1].replace("''", "'"), at)
    if match["quoted"]:
        return Lexeme(Kind.COLUMN, piece[1:-1].replace('""', '"'), at, is_quoted=True)
    if match["number"]:
        if match["tail"] or len(piece) > DIGITS_MAX:
            raise ExpressionRefused(
                at, f"'{shown(piece)}' is not a number", f"digits and a point, at most {DIGITS_MAX}"
            )
        return Lexeme(Kind.NUMBER, piece, at)
    if match["word"]:
        return Lexeme(Kind.KEYWORD, piece.lower(), at)
    return Lexeme(Kind.OPERATOR, piece, at) if match["op"] else None


def _classify(raw: list[Lexeme], n: int, types: Mapping[str, PgType], functions: frozenset[str]) -> Lexeme:
    """Say what a word is by its neighbours: keyword, type, function or column."""
    lexeme = raw[n]
    before = raw[n - 1].text if n and raw[n - 1].kind in (Kind.OPERATOR, Kind.KEYWORD) else ""
    after = raw[n + 1] if n + 1 < len(raw) else Lexeme(Kind.OPERATOR, "", -1)
    if lexeme.kind is Kind.COLUMN:
        return _column(lexeme, types)
    if lexeme.kind is not Kind.KEYWORD:
        return lexeme
    if before in ("::", "as"):
        return _cast_type(lexeme, after)
    if before == "(" and n > 1 and raw[n - 2].text == "extract" and raw[n - 2].kind is Kind.KEYWORD:
        return Lexeme(Kind.FIELD, lexeme.text, lexeme.position)
    if lexeme.text in KEYWORDS or _is_zone_word(raw, n):
        return lexeme
    if after.kind is Kind.STRING:
        return _literal_type(lexeme)
    if after.text == "(" and after.kind is Kind.OPERATOR:
        return _function(lexeme, functions)
    return _column(lexeme, types)


def _is_zone_word(raw: list[Lexeme], n: int) -> bool:
    """Part of `at time zone`; elsewhere these are names as any others."""
    words = [lexeme.text if lexeme.kind is Kind.KEYWORD else "" for lexeme in raw]
    return any(words[start : start + 3] == ["at", "time", "zone"] for start in range(max(n - 2, 0), n + 1))


def _cast_type(lexeme: Lexeme, after: Lexeme) -> Lexeme:
    if lexeme.text not in CAST_TYPES or after.text == "(":
        raise ExpressionRefused(
            lexeme.position, f"no cast to {shown(lexeme.text)}",
            "only ::text, ::numeric (of a number) and ::date; others are steps of the field: round, cast, parse_date",
            nearest(lexeme.text, CAST_TYPES - {lexeme.text}),
        )  # fmt: skip
    return Lexeme(Kind.TYPE, lexeme.text, lexeme.position)


def _literal_type(lexeme: Lexeme) -> Lexeme:
    if lexeme.text not in LITERAL_TYPES:
        told = "literals are 'text', 12.5, true, null, date '2026-12-31', timestamp and timestamptz"
        raise ExpressionRefused(
            lexeme.position, f"'{shown(lexeme.text)}' before a text",
            ELSEWHERE.get(lexeme.text, told), nearest(lexeme.text, LITERAL_TYPES),
        )  # fmt: skip
    return Lexeme(Kind.TYPE, lexeme.text, lexeme.position)


def _function(lexeme: Lexeme, functions: frozenset[str]) -> Lexeme:
    if lexeme.text not in functions | SPECIAL:
        raise ExpressionRefused(
            lexeme.position, f"'{shown(lexeme.text)}' is not a function of expressions",
            ELSEWHERE.get(lexeme.text, "docs/expressions.md lists them all"), nearest(lexeme.text, functions | SPECIAL),
        )  # fmt: skip
    return Lexeme(Kind.FUNCTION, lexeme.text, lexeme.position)


def _column(lexeme: Lexeme, types: Mapping[str, PgType]) -> Lexeme:
    name = lexeme.text
    if name in SYSTEM_COLUMNS:
        raise ExpressionRefused(lexeme.position, f"'{name}' is a column of the database itself", "name one of `source`")
    if not lexeme.is_quoted and name in RESERVED:
        told = f'a column of that name is written "{name}"' if name in types else ELSEWHERE.get(name, "")
        raise ExpressionRefused(lexeme.position, f"'{name}' is a reserved word", told)
    if name not in types or not NAME.fullmatch(name):
        told = ELSEWHERE.get(name, "") if not lexeme.is_quoted else ""
        raise ExpressionRefused(
            lexeme.position, f"'{shown(name)}' is not a column of `source`",
            told or "a text stands in single quotes", nearest(name, types),
        )  # fmt: skip
    return Lexeme(Kind.COLUMN, name, lexeme.position, lexeme.is_quoted)


@dataclass
class _Level:
    """One bracket or CASE that is open."""

    opened_by: str
    position: int
    predicates: int = 0
    betweens: int = 0  # still waiting for their AND


class _Order:
    """Checks that values and operators take turns, brackets match, and one comparison stands between connectives."""

    def __init__(self, known: list[Lexeme]) -> None:
        self.known = known
        self.levels = [_Level("", 0)]
        self.wants_value = True

    def check(self, length: int) -> None:
        n = 0
        while n < len(self.known):
            n += self._value(n) if self.wants_value else self._after_value(n)
        if len(self.levels) > 1:
            raise ExpressionRefused(self.levels[-1].position, f"'{self.levels[-1].opened_by}' is never closed")
        if self.wants_value:
            raise ExpressionRefused(length, "the expression ends too early", "a value is missing")

    def _word(self, n: int) -> str:
        """Keyword or sign at a place; '' for everything that an author named, and beyond both ends."""
        inside = 0 <= n < len(self.known) and self.known[n].kind in (Kind.KEYWORD, Kind.OPERATOR)
        return self.known[n].text if inside else ""

    def _value(self, n: int) -> int:
        """A value, or what begins one; returns the number of lexemes taken."""
        lexeme, word = self.known[n], self._word(n)
        if lexeme.kind is Kind.TYPE:
            return 1  # its text follows
        if lexeme.kind is Kind.FUNCTION:
            self._open(lexeme.text, lexeme)
            return 2
        if word in ("(", "case"):
            self._open(word, lexeme)
            return 2 if word == "case" and self._word(n + 1) == "when" else 1
        if word in ("-", "not"):
            return self._prefix(n, word)
        self._require(n, word in VALUES, "a value is missing before it")
        self.wants_value = False
        return 1

    def _prefix(self, n: int, word: str) -> int:
        is_doubled = self._word(n + 1) in ("-", "not")
        is_inside = word == "not" and n > 0 and self._word(n - 1) not in BEFORE_NOT
        self._require(n, not is_doubled and not is_inside, "put parentheses around what it belongs to")
        return 1

    def _after_value(self, n: int) -> int:
        """An operator, or what ends a value; returns the number of lexemes taken."""
        word = self._word(n)
        unit = next((unit for unit in UNITS if all(self._word(n + i) == part for i, part in enumerate(unit))), (word,))
        if word in ("::", "as"):
            self._require(n, word == "::" or self.levels[-1].opened_by == "cast", "`as` stands in cast(x as text)")
            is_typed = n + 1 < len(self.known) and self.known[n + 1].kind is Kind.TYPE
            self._require(n, is_typed, "a type follows: text, numeric or date")
            return 2
        if word in (")", "end"):
            self._close(n, word)
            return 1
        self._require(n, len(unit) > 1 or word in INFIX, "an operator is missing before it")
        self._count(n, word, unit)
        self.wants_value = unit[-1] not in ("null", "true", "false")
        return len(unit)

    def _count(self, n: int, word: str, unit: tuple[str, ...]) -> None:
        level = self.levels[-1]
        if unit[-1] in PREDICATES or word == "is":
            level.predicates += 1
            level.betweens += unit[-1] == "between"
            told = "one comparison after another: put parentheses around the one that is meant first"
            self._require(n, level.predicates == 1, told)
            self._require(n, unit[-1] != "in" or self._word(n + len(unit)) == "(", "write in ('A', 'B')")
        elif word == "and" and level.betweens:
            level.betweens = 0
        elif word in ("and", "or", ",", "when", "then", "else"):
            level.predicates = level.betweens = 0
        self._require(n, word not in ("when", "then", "else") or level.opened_by == "case", "it belongs into `case`")
        self._require(n, word != "," or level.opened_by not in SPECIAL, "see docs/expressions.md for how it is written")
        self._require(n, word != "from" or level.opened_by == "extract", "`from` stands in extract(year from x)")

    def _require(self, n: int, is_met: bool, allowed: str) -> None:
        if not is_met:
            lexeme = self.known[n]
            raise ExpressionRefused(lexeme.position, f"'{shown(lexeme.text)}' cannot stand here", allowed)

    def _open(self, opened_by: str, lexeme: Lexeme) -> None:
        self.levels.append(_Level(opened_by, lexeme.position))
        if len(self.levels) > NESTING_MAX + 1:
            raise ExpressionRefused(lexeme.position, f"nested deeper than {NESTING_MAX}", "use several fields")

    def _close(self, n: int, word: str) -> None:
        level = self.levels[-1]
        is_matching = len(self.levels) > 1 and (level.opened_by == "case") == (word == "end")
        self._require(n, is_matching, "nothing is open that it could close")
        self.levels.pop()
