"""The checked tree of an expression: what each part gives, its SQL, and when it has no value that it should have.

The SQL never fails on data. PostgreSQL would raise an error for 1/0, for a number beyond 1e131072, for a date before
4714 BC. Here such a part is NULL instead, and `fails` is true exactly where PostgreSQL would have raised: along the
branch of a CASE that is taken, up to the first value of a coalesce, up to the condition that decides an AND.

Guards stand at the columns: a number that arithmetic reads is below 1e900, a date is one of the years 1 to 9999, a
text that grows has at most a megabyte. From there on the largest possible result is known before any row is read
(`Known`), and an expression that could leave what PostgreSQL holds is refused. So a guard costs one comparison per
column, and no operand is written twice but where the bounds do not decide.

Texts carry the collation "C" inside: order is that of code points, on every server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

from psycopg import sql
from psycopg.sql import Composable

from syncline.core.transforms.base import template
from syncline.core.types import INTEGER_DIGITS, PRECISION_MAX, TEXT, PgType

WHOLE_DIGITS_MAX = 131_000  # PostgreSQL's numeric ends at 131,072
SCALE_MAX = 16_383  # the most decimals that a numeric can have
DIVISION_SCALE_MAX = 1_000  # the most that PostgreSQL's division makes
NUMBER_DIGITS = 900  # of an unbounded numeric; far above any business number
OCTETS_MAX = 1_000_000  # of a text that is joined or replaced in
RESULT_OCTETS_MAX = 1_000_000_000  # a value of PostgreSQL ends at 1 GB
FIRST_DAY, LAST_DAY = 1, date.max.toordinal()
PG_FIRST_DAY, PG_LAST_DAY = -1_700_000, 100_000_000  # 4713 BC; the end of time stamps, with room

# The days that expressions calculate with; a time stamp with zone is still one of them when it is shifted.
CALENDAR = {
    "date": "{v} between '0001-01-01' and '9999-12-31'",
    "timestamp": "{v} >= '0001-01-01' and {v} < '10000-01-01'",
    "timestamptz": "{v} >= '0001-01-02 00:00:00+00' and {v} < '9999-12-31 00:00:00+00'",
}
Columns = Mapping[str, Composable]
FALSE = sql.SQL("false")


@dataclass(frozen=True)
class Known:
    """What is known of a value before any row is read, for the family that it has.

    Attributes:
        whole: Digits of a number before the point.
        scale: Digits after it.
        octets: Length of a text.
        first, last: Days of a date or time stamp, counted as Python counts them.
    """

    whole: int = NUMBER_DIGITS
    scale: int = SCALE_MAX
    octets: int = RESULT_OCTETS_MAX
    first: int = FIRST_DAY
    last: int = LAST_DAY

    def or_(self, other: Known) -> Known:
        """What is known of a value that may be either."""
        return Known(
            max(self.whole, other.whole), max(self.scale, other.scale), max(self.octets, other.octets),
            min(self.first, other.first), max(self.last, other.last),
        )  # fmt: skip


def known_of(kind: PgType) -> Known:
    """What the type of a column says, once its guard has passed."""
    if kind.family != "number":
        return Known(octets=OCTETS_MAX)
    if kind.name in INTEGER_DIGITS:
        return Known(INTEGER_DIGITS[kind.name], 0)
    if kind.precision is None:
        return Known()
    return Known(kind.precision - (kind.scale or 0), kind.scale or 0)


def numeric(known: Known) -> PgType:
    """The narrowest numeric that holds every such number."""
    precision = max(known.whole + known.scale, 1)
    return PgType("numeric", precision, known.scale) if precision <= PRECISION_MAX else PgType("numeric")


@dataclass(frozen=True)
class Node:
    """A part of an expression: its type, what is known of it, and where it stands in the text."""

    type: PgType
    known: Known
    position: int

    @cached_property
    def weight(self) -> int:
        """Parts of its SQL; guards repeat their operands."""
        return 1

    def value(self, columns: Columns) -> Composable:
        """Its SQL."""
        raise NotImplementedError

    def fails(self, columns: Columns) -> Composable | None:
        """Boolean SQL, true where it has no value that it should have; None where that cannot be."""
        return None

    def guarded(self) -> Node:
        """The same, with a guard at each column that it passes on."""
        return self


@dataclass(frozen=True)
class Constant(Node):
    """A literal."""

    literal: Composable
    said: str  # as the author wrote it

    def value(self, columns: Columns) -> Composable:
        return self.literal


@dataclass(frozen=True)
class Column(Node):
    """A column of the row. Where it is guarded, a value that cannot be calculated with is NULL and fails."""

    name: str
    is_guarded: bool = False

    @cached_property
    def weight(self) -> int:
        return 3 if self._condition else 1

    @property
    def _condition(self) -> str:
        if not self.is_guarded:
            return ""
        if self.type.name == "numeric":
            return "{v} > {low} and {v} < {high}"  # NaN is above everything
        if self.type.family == "text":
            return "octet_length({v}) <= {octets}"
        return CALENDAR.get(self.type.name, "")

    def _passes(self, columns: Columns) -> Composable:
        limit = f"1e{self.known.whole}"
        return template(
            self._condition,
            v=self._read(columns),
            low=template("{l}::numeric", l=sql.Literal("-" + limit)),
            high=template("{l}::numeric", l=sql.Literal(limit)),
            octets=sql.Literal(OCTETS_MAX),
        )

    def _read(self, columns: Columns) -> Composable:
        if self.type.family == "text":
            return template('({c})::text collate pg_catalog."C"', c=columns[self.name])
        return columns[self.name]

    def value(self, columns: Columns) -> Composable:
        if not self._condition:
            return template("({v})", v=self._read(columns))
        return template("(case when {p} then {v} end)", p=self._passes(columns), v=self._read(columns))

    def fails(self, columns: Columns) -> Composable | None:
        return template("not ({p})", p=self._passes(columns)) if self._condition else None

    def guarded(self) -> Node:
        return replace(self, is_guarded=True)


@dataclass(frozen=True)
class Call(Node):
    """An operator or function that looks at all its operands.

    Attributes:
        text: Its SQL, `{0}` for the first operand.
        fault: When the operands have no result; '' where they always have.
        passes_on: The result is one of the operands, so a guard belongs to them.
    """

    text: str
    args: tuple[Node, ...]
    fault: str = ""
    passes_on: bool = False

    @cached_property
    def weight(self) -> int:
        return 1 + sum(self.text.count(f"{{{n}}}") * arg.weight for n, arg in enumerate(self.args))

    def _filled(self, text: str, columns: Columns) -> Composable:
        return sql.SQL(text).format(*(arg.value(columns) for arg in self.args))

    def value(self, columns: Columns) -> Composable:
        return template("({v})", v=self._filled(self.text, columns))

    def fails(self, columns: Columns) -> Composable | None:
        faults = [fault for arg in self.args if (fault := arg.fails(columns)) is not None]
        return _any([*faults, *([self._filled(self.fault, columns)] if self.fault else [])])

    def guarded(self) -> Node:
        return replace(self, args=tuple(arg.guarded() for arg in self.args)) if self.passes_on else self


@dataclass(frozen=True)
class Case(Node):
    """Conditions and results in order; the result of the first condition that is true, else the last one.

    `of` is what the conditions are compared with in `case of when ...`.
    """

    whens: tuple[tuple[Node, Node], ...]
    otherwise: Node | None
    of: Node | None

    @cached_property
    def weight(self) -> int:
        return 1 + sum(node.weight for node in self._nodes())

    def _nodes(self) -> Iterator[Node]:
        for pair in self.whens:
            yield from pair
        yield from (node for node in (self.of, self.otherwise) if node is not None)

    def value(self, columns: Columns) -> Composable:
        whens = [
            template("when {c} then {r}", c=condition.value(columns), r=result.value(columns))
            for condition, result in self.whens
        ]
        subject = template("{of} ", of=self.of.value(columns)) if self.of is not None else sql.SQL("")
        if self.otherwise is not None:
            whens.append(template("else {r}", r=self.otherwise.value(columns)))
        return template("(case {of}{whens} end)", of=subject, whens=sql.SQL(" ").join(whens))

    def fails(self, columns: Columns) -> Composable | None:
        """Walks the conditions as PostgreSQL does; what lies behind the first true one is never asked."""
        if all(node.fails(columns) is None for node in self._nodes()):
            return None
        steps: list[tuple[Composable, Composable]] = []
        if self.of is not None and (fault := self.of.fails(columns)) is not None:
            steps.append((fault, sql.SQL("true")))
        for condition, result in self.whens:
            if (fault := condition.fails(columns)) is not None:
                steps.append((fault, sql.SQL("true")))
            holds = condition.value(columns)
            if self.of is not None:
                holds = template("{of} = {v}", of=self.of.value(columns), v=holds)
            steps.append((holds, result.fails(columns) or FALSE))
        last = self.otherwise.fails(columns) if self.otherwise is not None else None
        return _first(steps, last or FALSE)

    def guarded(self) -> Node:
        whens = tuple((condition, result.guarded()) for condition, result in self.whens)
        return replace(self, whens=whens, otherwise=self.otherwise and self.otherwise.guarded())


@dataclass(frozen=True)
class Coalesce(Node):
    """The first operand that is not NULL; those behind it are never asked."""

    args: tuple[Node, ...]

    @cached_property
    def weight(self) -> int:
        return 1 + sum(arg.weight for arg in self.args)

    def value(self, columns: Columns) -> Composable:
        return template("coalesce({a})", a=sql.SQL(", ").join(arg.value(columns) for arg in self.args))

    def fails(self, columns: Columns) -> Composable | None:
        faults = [arg.fails(columns) for arg in self.args]
        if not any(faults):
            return None
        steps: list[tuple[Composable, Composable]] = []
        for arg, fault in zip(self.args, faults, strict=True):
            if fault is not None:
                steps.append((fault, sql.SQL("true")))
            steps.append((template("{v} is not null", v=arg.value(columns)), FALSE))
        return _first(steps, FALSE)

    def guarded(self) -> Node:
        return replace(self, args=tuple(arg.guarded() for arg in self.args))


@dataclass(frozen=True)
class Connective(Node):
    """AND and OR from left to right: what the left side decides, the right side cannot fail."""

    word: str
    left: Node
    right: Node

    @cached_property
    def weight(self) -> int:
        return 1 + self.left.weight + self.right.weight

    def value(self, columns: Columns) -> Composable:
        return template("({l} " + self.word + " {r})", l=self.left.value(columns), r=self.right.value(columns))

    def fails(self, columns: Columns) -> Composable | None:
        mine, other = self.left.fails(columns), self.right.fails(columns)
        if other is None:
            return mine
        decided = "not {l}" if self.word == "and" else "{l}"
        steps = [(mine, sql.SQL("true"))] if mine is not None else []
        return _first([*steps, (template(decided, l=self.left.value(columns)), FALSE)], other)


def _any(faults: list[Composable]) -> Composable | None:
    once = [fault for n, fault in enumerate(faults) if fault not in faults[:n]]
    return template("({f})", f=sql.SQL(" or ").join(once)) if once else None


def _first(steps: list[tuple[Composable, Composable]], last: Composable) -> Composable:
    """The result of the first condition that is true."""
    while last is FALSE and steps and steps[-1][1] is FALSE:
        steps = steps[:-1]
    whens = sql.SQL(" ").join(template("when {c} then {r}", c=condition, r=result) for condition, result in steps)
    return template("(case {whens} else {last} end)", whens=whens, last=last) if steps else last


def text_constant(said: str, position: int) -> Constant:
    literal = template('({v}::text collate pg_catalog."C")', v=sql.Literal(said))
    return Constant(TEXT, Known(octets=len(said.encode())), position, literal, said)


def number_constant(said: str, position: int) -> Constant:
    """A number in the narrowest type that holds it."""
    whole, _, decimals = said.lstrip("-").partition(".")
    known = Known(max(len(whole.lstrip("0")), 1), len(decimals))
    for name, digits in INTEGER_DIGITS.items():
        if not decimals and known.whole < digits:
            return Constant(PgType(name), known, position, sql.SQL(f"{{}}::{name}").format(sql.Literal(said)), said)
    return Constant(numeric(known), known, position, template("{v}::numeric", v=sql.Literal(said)), said)
