"""Checksums of key ranges: two copies of many rows are compared without moving a row.

A range is all keys whose hash ends in the same bits. Ranges by hash are of even size for keys of any type and any
number of columns, need no common order on both sides (two servers seldom sort texts alike), and halve by taking one
bit more. Both sides hash the same columns, cast to the widest type of their family: `hash_record_extended` gives equal
values the same number on every supported server.

SQL only: who runs it, on which side, and what is done about a range that differs is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from psycopg import sql
from psycopg.sql import Composable

from syncline.core.compile import DELETED, REJECT, CompiledMapping
from syncline.core.field_values import Types
from syncline.core.transforms import template
from syncline.core.types import PgType

NOT_HELD = 7_205_761  # in place of a hash: of a source row that its copy should not hold; any number
ROWS_PER_RANGE = 4  # measured: of 2,000,000 rows with 1 % changed at random, 5 % are read again
BITS_MAX = 20  # a million ranges: 40 MB in the worker, whatever the table's size
# A moment's own hash folds its 64 bits into 32, so moments 71 minutes apart may have one. Seconds as a float lose none
# while they can tell microseconds; farther away the two together tell each from each.
MOMENT = (
    "hashfloat8extended(date_part('epoch', {{v}}), {{n}}) # case when ({{v}}) between {kind} '1700-01-01Z'"
    " and {kind} '2240-01-01Z' then 0 else timestamp_hash_extended({utc}, {{n}}) end"
)
# What hashes a value without making a record of it. A numeric's hash leaves out its sign and what is no number, and
# ends with its weight as it is: it is hashed once more, or what two fields of a row exchange would cancel.
DIRECT = {
    "text": "hashtextextended({v}, {n})",
    "numeric": "hashtextextended('', hash_numeric_extended({v}, {n})"
    " # case when ({v}) < 0 then 1::bigint << 40 when ({v}) < 'Infinity' then 0 when ({v}) = 'NaN' then 3::bigint << 42"
    " else 5::bigint << 44 end)",
    "double precision": "hashfloat8extended(({v}) + 0, {n})",
    "boolean": "hashint4extended(({v})::integer, {n})",
    "uuid": "uuid_hash_extended({v}, {n})",
    "timestamp": MOMENT.format(kind="timestamp", utc="{v}"),
    "timestamptz": MOMENT.format(kind="timestamptz", utc="({v}) at time zone 'UTC'"),
    "date": "case when isfinite({v}) then hashint4extended(({v}) - date '2000-01-01', {n})"
    " else hashtextextended(({v})::text, {n}) end",
}
# Of a number with a limit, which cannot be infinite; NaN is none of the others' hash.
BOUNDED = "hashtextextended('', hash_numeric_extended({v}, {n}) # case when ({v}) < 0 then 1::bigint << 40 else 0 end)"
COMPARABLE_SINCE = 140000  # server version: hash_record_extended, bit_xor
# Types without a hash, whose hash calls different spellings equal (a month and 30 days), or folds them into 32 bits.
BY_TEXT = frozenset({"json", "money", "interval", "time", "timetz"})
# By family: what every column of it can be cast to without a loss. Equal numbers have one hash, whatever their scale.
WIDEST = {"text": "text", "number": "numeric", "float": "double precision", "inet": "inet"}

STATES, HELD, FLAGGED, REJECTED = 4, 0, 1, 2  # of a row, within the number of its group
MAPPED = "m"  # the alias of a mapped row

Columns = Mapping[str, tuple[Composable, PgType]]


def bits_for(rows: int) -> int:
    """How many bits of the key's hash make ranges of about ROWS_PER_RANGE rows; at least 1."""
    return max(1, min(BITS_MAX, (rows // ROWS_PER_RANGE).bit_length()))


def hash_of(values: Columns) -> Composable:
    """A 64-bit hash of some values in this order; NULL counts as a value.

    Each value is hashed by a seed of its own; their sum without carry is the seed of the last hash, so that what two
    rows exchange does not cancel. PostgreSQL's hash of a record would say the same, at half the speed, of texts; it
    takes 5 and -5 for one number, and NaN, infinity and NULL for another.
    """
    return template("hashtextextended('', {seed})", seed=key_hash(values))


def key_hash(values: Columns) -> Composable:
    """The same of values that no other row has: nothing is added up, so nothing can cancel."""
    parts, others = [], []
    for n, (value, kind) in enumerate(values.values(), start=1):
        direct = _direct(kind)
        if direct is None:
            others.append(_hashable(value, kind))
            continue
        hashed = template(direct, v=_hashable(value, kind), n=sql.Literal(n))
        parts.append(template("coalesce({h}, {null})", h=hashed, null=sql.Literal(_of_null(n))))
    if others:
        parts.append(template("hash_record_extended(row({values}), 0)", values=sql.SQL(", ").join(others)))
    return template("({parts})", parts=sql.SQL(" # ").join(parts))


def _direct(kind: PgType) -> str | None:
    if kind.is_array:
        return None
    if kind.family == "number" and (kind.precision is not None or kind.name != "numeric"):
        return BOUNDED
    return DIRECT.get("text" if kind.name in BY_TEXT else _widest(kind))


def range_of(key: Columns, bits: int) -> Composable:
    """The number of the range that a key belongs to, 0 to 2^bits - 1."""
    return template("({hash} & {mask})::integer", hash=key_hash(key), mask=sql.Literal(2**bits - 1))


def in_ranges(key: Columns, bits: int, ranges: Iterable[int]) -> Composable:
    """The condition that a key belongs to one of some ranges."""
    listed = sql.SQL("'{{{}}}'::integer[]").format(sql.SQL(",".join(map(str, ranges))))
    return template("({range} = any({ranges}))", range=range_of(key, bits), ranges=listed)


def in_hashes(key: Columns, hashes: Iterable[int]) -> Composable:
    """The condition that a key has one of some hashes."""
    listed = sql.Literal("{" + ",".join(map(str, hashes)) + "}")
    return template("({h} = any({all}::bigint[]))", h=key_hash(key), all=listed)


def mapped_checksums(compiled: CompiledMapping, key: tuple[str, ...], compared: Columns, bits: int) -> Composable:
    """Per group of a compiled mapping: its number, how many rows, their checksum.

    A group is a range and a state: rows that a copy should hold, those flagged deleted, those rejected. One number for
    both costs less than counting each apart. The two OFFSET 0 make PostgreSQL compute each value once.

    Args:
        compared: What is hashed, over the mapped row `m`.
    """
    said = columns_of(MAPPED, compiled.columns)
    return template(
        "select number, count(*)::integer, bit_xor(checksum) from ("
        "select {range} * {states} + case when {reject} is not null then {rejected} when {deleted} then {flagged}"
        " else {held} end as number, {hash} as checksum"
        " from (\n{select}\noffset 0) as m offset 0) as hashed group by number",
        range=range_of({name: said[name] for name in key}, bits),
        states=sql.Literal(STATES),
        held=sql.Literal(HELD),
        flagged=sql.Literal(FLAGGED),
        rejected=sql.Literal(REJECTED),
        reject=sql.Identifier(MAPPED, REJECT),
        deleted=sql.Identifier(MAPPED, DELETED),
        hash=hash_of(compared),
        select=compiled.select,
    )


def table_checksums(
    relation: Composable, key: Columns, compared: Columns, bits: int, *, where: Iterable[Composable]
) -> Composable:
    """The same of a relation with its alias, all of whose rows that meet the conditions are held."""
    return template(
        "select number, count(*)::integer, bit_xor(checksum)"
        " from (select {range} * {states} + {held} as number, {hash} as checksum from {relation}{where} offset 0)"
        " as hashed group by number",
        range=range_of(key, bits),
        states=sql.Literal(STATES),
        held=sql.Literal(HELD),
        hash=hash_of(compared),
        relation=relation,
        where=_where(where),
    )


def doubled_ranges(relation: Composable, key: Columns, bits: int, *, where: Iterable[Composable]) -> sql.Composed:
    """The ranges of a relation in which two rows have one key: their checksums may cancel."""
    return sql.SQL("select distinct {range} from {relation}{where} group by {key} having count(*) > 1").format(
        range=range_of(key, bits),
        relation=relation,
        where=_where(where),
        key=sql.SQL(", ").join(value for value, _ in key.values()),
    )


def table_listing(relation: Composable, key: Columns, compared: Columns, *, where: Iterable[Composable]) -> Composable:
    """Per row of a relation `t`: hash of its key, of what is compared, and its place."""
    return template(
        "select {key}, {hash}, t.ctid from {relation} where {where}",
        key=key_hash(key), hash=hash_of(compared), relation=relation, where=sql.SQL(" and ").join(list(where)),
    )  # fmt: skip


def at_places(column: Composable, places: Iterable[str]) -> Composable:
    """The condition that a row stands at one of some places, under the snapshot that showed them."""
    listed = sql.Literal("{" + ",".join(f'"{place}"' for place in places) + "}")
    return template("({c} = any({all}::tid[]))", c=column, all=listed)


def columns_of(alias: str, columns: Types) -> dict[str, tuple[Composable, PgType]]:
    return {name: (sql.Identifier(alias, name), kind) for name, kind in columns.items()}


def _where(conditions: Iterable[Composable]) -> Composable:
    joined = sql.SQL(" and ").join(list(conditions))
    return template(" where {c}", c=joined) if joined.as_string(None) else sql.SQL("")


def _hashable(value: Composable, kind: PgType) -> Composable:
    """The value in the widest type of its family: no cast of a copy's value may fail, or make two values one."""
    if kind.is_array:
        return template("({v})::{t}[]", v=value, t=sql.SQL(_widest(kind.element)))
    if kind.name in BY_TEXT or kind.family == "text":
        return template('({v})::text collate "C"', v=value)
    return template("({v})::{t}", v=value, t=sql.SQL(_widest(kind)))


def _of_null(n: int) -> int:
    """A number that no value's hash is likely to be, another one at each place."""
    return (n * 0x9E3779B97F4A7C15) % 2**63


def _widest(kind: PgType) -> str:
    if kind.name in BY_TEXT:
        return "text"
    return WIDEST.get(kind.family, kind.name)
