"""Restricted SQL expressions, for what the catalogue of steps cannot say: `rate_amount * weekly_hours * 52`.

The language is a closed list of operators and functions over the columns of one row; docs/expressions.md is its
reference. A text is read in four stages, each of which refuses what it does not know:

    lexemes.py      the vocabulary: no word, sign or literal beyond the list; values and operators take turns
    reading.py      sqlglot's parser says what binds tighter; a whitelist of its tree's classes and their parts
    rules.py, functions.py   types of operands and results, and how large a result can be
    nodes.py        the SQL, composed anew from fixed templates: the author's text is never pasted

It is deterministic (no clock, no session, no other row, no locale but in lower, upper and ilike) and never fails on
data: what PostgreSQL would raise an error for is NULL, and `Expression.fails` says so, which rejects the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from psycopg.sql import Composable, Identifier

from syncline.core.expressions.refused import SQL_MAX, ExpressionRefused
from syncline.core.transforms.base import template
from syncline.core.types import PgType

if TYPE_CHECKING:
    from syncline.core.expressions.nodes import Node

__all__ = ["Expression", "ExpressionRefused", "read_expression"]


@dataclass(frozen=True)
class Expression:
    """A checked expression.

    Attributes:
        columns: Columns of the row that it reads, in order of first use.
        type: What it gives.
        tree: The checked tree, of which the SQL is made.
    """

    columns: tuple[str, ...]
    type: PgType
    tree: Node

    def sql(self, column: Mapping[str, Composable]) -> Composable:
        """Its SQL over the given columns. It cannot fail on data, and its text has the database's own collation."""
        value = self.tree.value(column)
        return template('({v} collate pg_catalog."default")', v=value) if self.type.family == "text" else value

    def fails(self, column: Mapping[str, Composable]) -> Composable | None:
        """Boolean SQL, true where there is no value although there should be one: the row is to be rejected.

        That is where PostgreSQL would raise an error, or a column holds what cannot be calculated with. False or NULL
        where the value is NULL for other reasons: its columns are, or a `case` has no `else`. None if it never fails.
        """
        return self.tree.fails(column)

    @property
    def is_partial(self) -> bool:
        """Whether a row can be rejected by it."""
        return self.fails(_named(self.columns)) is not None


def read_expression(text: str, types: Mapping[str, PgType]) -> Expression:
    """Read an expression over columns of the given types.

    Raises:
        ExpressionRefused: It is not in the restricted language; says where, what and what to write instead.
    """
    return _read(text, tuple(types.items()))


@lru_cache(maxsize=1024)  # a mapping asks for the columns, the type, the SQL and the faults of each
def _read(text: str, types: tuple[tuple[str, PgType], ...]) -> Expression:
    from syncline.core.expressions.reading import read  # sqlglot: 0.3 s that most files never need

    node, columns = read(text, dict(types))
    expression = Expression(columns, node.type, node)
    _check_size(expression)
    return expression


def _check_size(expression: Expression) -> None:
    """Conditions are told twice, in the value and in `fails`: what that makes is bounded too."""
    columns = _named(expression.columns)
    fails = expression.fails(columns)
    size = len(expression.sql(columns).as_string()) + (len(fails.as_string()) if fails is not None else 0)
    if size > SQL_MAX:
        raise ExpressionRefused(0, f"its SQL would have {size:,} characters", "use several fields")


def _named(columns: tuple[str, ...]) -> dict[str, Composable]:
    return {name: Identifier(name) for name in columns}
