"""A part of a source that one task reads while others read the rest, all under one exported snapshot.

A table is divided by its blocks: under one snapshot a row stands where it stands, so every row is in exactly one part,
parts are of even size, and nothing must be sorted or indexed. What has no blocks (a view, a partitioned table) is
divided by the hash of its key.
"""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql
from psycopg.sql import Composable

from syncline.core.checksums import Columns, hash_of
from syncline.core.transforms import template


@dataclass(frozen=True)
class Part:
    """One part of several.

    Attributes:
        number: From 0. parts: How many there are.
        blocks: First block, and the one after the last (None: to the end); None where the key's hash decides.
    """

    number: int
    parts: int
    blocks: tuple[int, int | None] | None

    def condition(self, key: Columns, alias: str = "s") -> Composable | None:
        """Over a relation, with its key: the row belongs here. None: every row does."""
        if self.parts == 1:
            return None
        if self.blocks is None:
            return template(
                "(({h}) & 2147483647) % {n} = {i}", h=hash_of(key), n=_number(self.parts), i=_number(self.number)
            )
        first, end = self.blocks
        place = sql.Identifier(alias, "ctid")
        begins = template("{p} >= {at}", p=place, at=_tid(first))
        return begins if end is None else template("({b} and {p} < {at})", b=begins, p=place, at=_tid(end))


def divide(parts: int, blocks: int | None) -> list[Part]:
    """Divide a source into at most so many parts.

    Args:
        blocks: Of the table, as its size says now; None where it has none. What is added later is the last part's.
    """
    if blocks is None:
        return [Part(number, parts, None) for number in range(parts)]
    starts = sorted({blocks * number // parts for number in range(parts)})
    return [
        Part(n, len(starts), (start, starts[n + 1] if n + 1 < len(starts) else None)) for n, start in enumerate(starts)
    ]


def _tid(block: int) -> Composable:
    return sql.SQL("'({},0)'::tid").format(sql.SQL(str(block)))


def _number(value: int) -> Composable:
    return sql.SQL(str(value))
