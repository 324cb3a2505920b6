"""Real rows of a source and what a mapping makes of them, for people who look before they run.

Nothing is written. What is done with the answer is looking.py's and differing.py's matter.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import count
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

ROWS_AT_ONCE = 1_000
MASK = "•••"
GIVEN, NUMBER = "0given", "0number"  # columns beside those of the source; none of its own is called like this
CURSORS = count()
ROW = sql.Identifier("0row")  # no column is called like this; to_json(r) would take a column `r` for the row


class Sampled(NamedTuple):
    """A source row and what the target would get; values as JSON shows them, and `column:code` of what was refused."""

    given: dict[str, Any]
    values: dict[str, Any]
    errors: list[str]


@contextmanager
def sampling(job: SyncJob, purpose: str, *mappings: Mapping) -> Iterator[psycopg.Connection]:
    """A read-only session on the job's source that can run these mappings."""
    keys = hash_keys.from_environment(frozenset().union(*(mapping.keys for mapping in mappings)))
    with (
        telling(f"{job.id}: {purpose} of {job.source.table}"),
        connections.connect(
            job.source.connection, purpose=f"{job.id} {purpose}", lock_timeout_s=job.source.lock_timeout_s
        ) as session,
    ):
        session.read_only = True
        session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ  # two mappings see the same rows
        keys.lend(session, job.source.connection)
        yield session


def sampled(
    job: SyncJob,
    session: psycopg.Connection,
    mapping: Mapping,
    shown: Iterable[str],
    limit: int,
    *,
    in_order: bool = False,
    key: Iterable[str] = (),
) -> Iterator[Sampled]:
    """The first living rows of the job, each beside what the mapping makes of it: without deleted ones.

    The mapping runs over the table itself, as in a batch; no row is sent back to the source, whose log might keep it.

    Args:
        shown: Source columns that are told.
        in_order: In the order of the source's key: the same rows each time, for the price of a sort.
        key: Target columns of the key.
    """
    compiled = compile_mapping(
        mapping, _first_rows(job, mapping, shown, limit, in_order), key=key, carried=(GIVEN, NUMBER)
    )
    statement = sql.SQL("select to_json({row})::text from ({select}) as {row} order by {row}.{number}").format(
        row=ROW, select=compiled.select, number=_id(NUMBER)
    )
    with session.cursor(f"syncline_sample_{next(CURSORS)}") as cursor:
        cursor.execute(statement)
        while rows := cursor.fetchmany(ROWS_AT_ONCE):
            yield from (_sampled(_read_json(row[0])) for row in rows)


def _first_rows(job: SyncJob, mapping: Mapping, shown: Iterable[str], limit: int, in_order: bool) -> Composable:
    """The rows with what the mapping reads, and as one JSON text what is shown of each."""
    shown = list(dict.fromkeys(shown))
    parts = [source.filter_of(job) or sql.SQL("true")]
    if deleted := source.deleted_column(job):
        parts.append(sql.SQL("{} is not true").format(_id("s", deleted)))
    order = sql.SQL(", ").join(_id("s", name) for name in job.source.key)
    by_key = sql.SQL(" order by {}").format(order) if in_order else sql.SQL("")
    return sql.SQL(
        "(select s.*, (select to_json({row})::text from (select {shown}) as {row}) as {given}"
        " from (select {columns}, row_number() over ({by_key}) as {number} from {table} as s where {where}{by_key}"
        " limit {limit}) as s)"
    ).format(
        row=ROW,
        shown=sql.SQL(", ").join(_id("s", name) for name in shown),
        given=_id(GIVEN),
        number=_id(NUMBER),
        columns=sql.SQL(", ").join(_id("s", name) for name in dict.fromkeys([*mapping.source, *shown])),
        table=table_identifier(job.source.table),
        where=sql.SQL(" and ").join(parts),
        by_key=by_key,
        limit=sql.Literal(limit),
    )


def _id(*names: str) -> Composable:
    return sql.Identifier(*names)


def _sampled(row: dict[str, Any]) -> Sampled:
    given = _read_json(row.pop(GIVEN))
    errors = (row.pop(REJECT) or {}).get("errors", [])
    for name in (DELETED, NUMBER):
        row.pop(name)
    return Sampled(given, row, errors)


def _read_json(text: str) -> Any:
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
