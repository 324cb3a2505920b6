"""Real rows of a source and what a mapping makes of them, for people who look before they run.

Rows travel as JSON arrays of bounded size, so nothing is written, and two mappings can see the same rows. What is done
with the answer is looking.py's and differing.py's matter.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg
from psycopg import sql
from psycopg.sql import Composable

from syncline.adapters import connections, hash_keys, source
from syncline.adapters.failures import telling
from syncline.core.compile import DELETED, REJECT, compile_mapping
from syncline.core.job import SyncJob
from syncline.core.mapping import Mapping
from syncline.core.models import table_identifier
from syncline.core.types import TEXT

ROWS_AT_ONCE = 1_000
MASK = "•••"
NESTED = frozenset({"json", "jsonb"})  # they travel as text: inside of other JSON they would be read and spelt anew
ROW = sql.Identifier("0row")  # no column is called like this; to_json(r) would take a column `r` for the row


class Mapped(NamedTuple):
    """A row as the target would get it: values as JSON shows them, and `column:code` of what was refused."""

    values: dict[str, Any]
    errors: list[str]


@contextmanager
def sampling(job: SyncJob, purpose: str, *mappings: Mapping) -> Iterator[psycopg.Connection]:
    """A read-only session on the job's source that can run these mappings."""
    keys = hash_keys.from_environment(frozenset().union(*(mapping.keys for mapping in mappings)))
    with (
        connections.connect(job.source.connection, purpose=f"{job.id} {purpose}") as session,
        telling(f"{job.id}: {purpose} of {job.source.table}"),
    ):
        session.read_only = True
        keys.lend(session, job.source.connection)
        yield session


def sampled(
    job: SyncJob, session: psycopg.Connection, mappings: Sequence[Mapping], limit: int, *, in_order: bool = False
) -> Iterator[str]:
    """The first living rows of the job as JSON arrays: without deleted ones, of which a batch maps the key alone.

    Args:
        mappings: The rows have what these read; with several of them, the source's key too.
        in_order: In the order of the source's key: the same rows each time, for the price of a sort.
    """
    parts = [source.filter_of(job) or sql.SQL("true")]
    if deleted := source.deleted_column(job):
        parts.append(sql.SQL("{} is not true").format(sql.Identifier("s", deleted)))
    order = sql.SQL(", ").join(sql.Identifier("s", name) for name in job.source.key)
    of_key = job.source.key if len(mappings) > 1 else ()
    columns = dict.fromkeys([*of_key, *(name for mapping in mappings for name in mapping.source)])
    nested = {name for mapping in mappings for name, kind in mapping.source.items() if kind.name in NESTED}
    statement = sql.SQL(
        "select to_json({row})::text"
        " from (select {columns} from {table} as s where {where}{order} limit {limit}) as {row}"
    ).format(
        row=ROW,
        columns=sql.SQL(", ").join(_as_text("s", name) if name in nested else _id("s", name) for name in columns),
        table=table_identifier(job.source.table),
        where=sql.SQL(" and ").join(parts),
        order=sql.SQL(" order by {}").format(order) if in_order else sql.SQL(""),
        limit=sql.Literal(limit),
    )
    with session.cursor("syncline_sample") as cursor:
        cursor.execute(statement)
        while rows := cursor.fetchmany(ROWS_AT_ONCE):
            yield f"[{','.join(row[0] for row in rows)}]"


def mapped(session: psycopg.Connection, mapping: Mapping, rows_json: str, key: Iterable[str] = ()) -> list[Mapped]:
    """Each row of a JSON array through a mapping, in order."""
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(_id(name), TEXT.sql if kind.name in NESTED else kind.sql)
        for name, kind in mapping.source.items()
    )
    typed = sql.SQL(", ").join(
        sql.SQL("{}::{} as {}").format(_id("r", name), kind.sql, _id(name)) for name, kind in mapping.source.items()
    )
    one = sql.SQL('(select {} from json_to_record("0given"."value") as r ({}))').format(typed, columns)
    statement = sql.SQL(
        "select to_json({row})::text"
        ' from json_array_elements({rows}::json) with ordinality as "0given" ("value", "n")'
        ' cross join lateral ({select}) as {row} order by "0given"."n"'
    ).format(row=ROW, rows=sql.Literal(rows_json), select=compile_mapping(mapping, one, key=key).select)
    return [_without_trailer(read_json(row[0])) for row in session.execute(statement)]


def _id(*names: str) -> Composable:
    return sql.Identifier(*names)


def _as_text(alias: str, name: str) -> Composable:
    return sql.SQL("{}::text as {}").format(_id(alias, name), _id(name))


def read_json(text: str) -> Any:
    """JSON with its decimals as text: a float would round them."""
    return json.loads(text, parse_float=str)


def masked(values: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Values with those of some names hidden; that nothing is there is no secret."""
    hidden = set(names)
    return {name: mask(value) if name in hidden else value for name, value in values.items()}


def mask(value: Any) -> Any:
    return value if value is None else MASK


def personal(mapping: Mapping) -> set[str]:
    """Target fields with a class of personal data."""
    return {name for name, item in mapping.fields.items() if item.pii != "none"}


def feeding(mapping: Mapping, fields: Iterable[str]) -> set[str]:
    """Source columns that any of these fields reads."""
    return {column for name in fields if name in mapping.fields for column in mapping.reads(name)}


def _without_trailer(row: dict[str, Any]) -> Mapped:
    errors = (row.pop(REJECT) or {}).get("errors", [])
    row.pop(DELETED)
    return Mapped(row, errors)
