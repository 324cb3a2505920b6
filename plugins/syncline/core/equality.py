"""Equality is declared, not guessed: when two values of a field are the same value, in SQL for both sides.

From the types of both sides comes what always holds; what a field adds to it stands under `equal` in the mapping. Two
expressions come out: a spelling, the same for equal values, that both servers can hash; and a condition that judges two
values in one server. Values whose spellings agree are equal; values whose spellings differ may still be (a tolerance).
"""

from __future__ import annotations

from psycopg import sql
from psycopg.sql import Composable

from syncline.core.mapping import FieldMap
from syncline.core.transforms import template
from syncline.core.types import PgType


def spelled(value: Composable, field: FieldMap) -> tuple[Composable, PgType]:
    """A value's spelling, with its type, for a checksum: equal spellings are equal values, on any supported server."""
    return value, field.type


def differs(here: Composable, there: Composable, field: FieldMap) -> Composable:
    """Whether two values of a field differ; never NULL. Both are evaluated by one server."""
    if field.type.name in ("json", "interval"):  # one has no equality, the other calls a month 30 days
        return template("({a})::text is distinct from ({b})::text", a=here, b=there)
    return sql.SQL("({a}) is distinct from ({b})").format(a=here, b=there)
