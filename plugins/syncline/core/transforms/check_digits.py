"""The SQL of check digits: weighted sums, Luhn, and the systems of ISO 7064.

All of it expects a text whose shape has been tested, so that no cast can fail: it stands behind a WHEN of that test.
A digit is read as a byte of the text, `get_byte(value::bytea, n)`: half the price of `substr(...)::integer`, measured
over 200,000 rows of ten digits on PostgreSQL 18. A shape is tested with `+` and a length where that says the same:
PostgreSQL builds the states of a regular expression anew at every row, and each `{n}` is n of them (`[A-Z0-9]{11,30}`
alone took 2 microseconds a row, the same as `+` 0.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from psycopg import sql
from psycopg.sql import Composable

from syncline.core.transforms.base import lit, template

ZERO = ord("0")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def refused_unless(value: Composable, shape: str, holds: Composable | None = None, *, size: str) -> Composable:
    """What `Check.fails` gives: true where the value has not the size or shape, or what must hold of it does not.

    Args:
        shape: A regular expression, anchored here; without captures.
        holds: Boolean SQL that may rely on size and shape.
        size: Boolean SQL of `{v}`, cheaper than the shape and asked first.
    """
    shaped = template(f"({size} and {{v}} ~ {{shape}})", v=value, shape=lit(f"^(?:{shape})$"))
    if holds is None:
        return template("not {shaped}", shaped=shaped)
    return template(
        "case when {shaped} then not ({holds}) else {v} is not null end", shaped=shaped, holds=holds, v=value
    )


def byte(value: Composable, at: int) -> Composable:
    """The byte at a place of a text, counted from 0."""
    return template("get_byte(({v})::bytea, {at})", v=value, at=sql.Literal(at))


def digit(value: Composable, at: int) -> Composable:
    """The digit at a place, counted from 0."""
    return template("({b} - 48)", b=byte(value, at))


def weighted(value: Composable, weights: Iterable[int], start: int = 0) -> Composable:
    """The sum of weight times digit, over the digits from `start`."""
    weights = tuple(weights)
    terms = [
        template("{w} * {b}", w=sql.Literal(weight), b=byte(value, at)) for at, weight in enumerate(weights, start)
    ]
    return template("({terms} - {zeros})", terms=sql.SQL(" + ").join(terms), zeros=sql.Literal(ZERO * sum(weights)))


def looked_up(values: Mapping[str, int], value: Composable, at: int) -> Composable:
    """What a table says for the sign at a place: the table is a row of bytes, asked by the sign's own byte."""
    table = bytearray(max(map(ord, values)) + 1)
    for sign, number in values.items():
        table[ord(sign)] = number
    return template("get_byte({table}, {b})", table=sql.Literal(bytes(table)), b=byte(value, at))


def luhn_sum(value: Composable, count: int, start: int = 0) -> Composable:
    """The Luhn sum modulo 10 of `count` digits, the last of them not doubled. Source: ISO/IEC 7812-1, annex B.

    A doubled digit counts as the sum of its digits: modulo 10 that is 2d, and one more from 5 on.
    """
    terms = []
    for at in range(start, start + count):
        one = digit(value, at)
        is_doubled = (start + count - at) % 2 == 0
        terms.append(template("2 * {d} + {d} / 5", d=one) if is_doubled else one)
    return template("(({sum}) % 10)", sum=sql.SQL(" + ").join(terms))


def luhn(digits: Composable, count: int) -> Composable:
    """Whether `count` digits, which are worth computing once, end in their Luhn check digit."""
    return template(
        "(select {sum} = 0 from (select convert_to({digits}, 'UTF8') as b offset 0) as x)",
        sum=luhn_sum(sql.SQL("b"), count), digits=digits,
    )  # fmt: skip


def mod_97_10(text: Composable) -> Composable:
    """Whether a text of digits and upper case letters leaves 1. Source: ISO/IEC 7064, MOD 97-10; A is 10, Z is 35."""
    digits = text
    for number, letter in enumerate(LETTERS, 10):
        digits = template("replace({v}, {a}, {b})", v=digits, a=lit(letter), b=lit(str(number)))
    return template("({digits})::numeric % 97 = 1", digits=digits)


def mod_11_10(value: Composable, count: int, start: int = 0) -> Composable:
    """Whether `count` digits from `start` end in their check digit. Source: ISO/IEC 7064, MOD 11,10."""
    carry: Composable = sql.SQL("10")
    for at in range(start, start + count - 1):
        carry = template("coalesce(nullif(({c} + {d}) % 10, 0), 10) * 2 % 11", c=carry, d=digit(value, at))
    return template("({c} + {d}) % 10 = 1", c=carry, d=digit(value, start + count - 1))
