"""What a source says of single records, for a comparison: their mapped fields, and what is known about each.

The same SELECT as a batch's, without the manifest's filter: of a row that the filter leaves out, the copy's version
must be explained. Nothing here decides whether two records are the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from psycopg import sql
from psycopg.sql import Composable

from syncline.adapters.source import Source, deleted_column, filter_of, tenant_of
from syncline.core.checksums import MAPPED, NOT_HELD, Columns, hash_of, in_hashes, key_hash
from syncline.core.compile import DELETED, REJECT, CompiledMapping, compile_mapping, mapped_key
from syncline.core.models import table_identifier
from syncline.core.transforms import template
from syncline.core.types import PgType

FILTERED, OWED, OVERDUE, PLACE, WRITTEN = "0filtered", "0owed", "0overdue", "0place", "0written"
TENANT = "0tenant"  # as counts spell it: of a row whose tenant cannot be mapped, too


@dataclass(frozen=True)
class Published:
    """The last published batch of a job: what it has read, the copy must hold.

    Attributes:
        is_of_these_files: False where manifest or mapping have changed what rows become: then every row is owed.
        is_held: A later batch was held: what it has read waits for a person.
    """

    batch_id: int
    snapshot: str
    source_as_of: datetime
    is_of_these_files: bool = True
    is_held: bool = False


def records(
    here: Source, fields: Iterable[str], hashed: Columns, where: Composable, published: Published | None
) -> Composable:
    """The statement whose rows adapters/target/records.py takes: fields, flags, and a hash.

    Args:
        hashed: What is hashed, over the mapped row `m`.
        where: Condition over `s`.
    """
    compiled = _compiled(here, where, published)
    said: list[Composable] = [sql.Identifier(MAPPED, name) for name in fields]
    said += [sql.Identifier(MAPPED, DELETED), template("{r} is not null", r=sql.Identifier(MAPPED, REJECT))]
    said += [sql.Identifier(MAPPED, name) for name in (FILTERED, OWED, OVERDUE)]
    said += [hash_of(hashed), m(WRITTEN), m(TENANT)]
    return sql.SQL("select {} from (\n{}\noffset 0) as m").format(sql.SQL(", ").join(said), compiled.select)


def listing(here: Source, hashed: Columns, where: Composable) -> Composable:
    """The statement for adapters.comparing.Listing: per row the hash of its key, of what is compared, and its place.

    A rejected row has a hash that no copy has; one that is flagged deleted, or that the filter leaves out, has none.
    """
    job = here.job
    key = key_hash({name: (m(name), job.mapping.fields[name].type) for name in job.target.key})
    return template(
        "select {key}, case when {deleted} or {filtered} then {not_held}::bigint when {reject} is not null then ~{key}"
        " else {hash} end, {place} from (\n{select}\noffset 0) as m",
        key=key,
        deleted=m(DELETED),
        filtered=m(FILTERED),
        not_held=sql.Literal(NOT_HELD),
        reject=m(REJECT),
        hash=hash_of(hashed),
        place=template("coalesce({p}, '(0,0)')", p=m(PLACE)),
        select=_compiled(here, where, None).select,
    )


def _compiled(here: Source, where: Composable, published: Published | None) -> CompiledMapping:
    return compile_mapping(
        here.job.mapping,
        _with_flags(here, published),
        where=where,
        deleted=deleted_column(here.job),
        key=here.job.target.key,
        carried=(FILTERED, OWED, OVERDUE, PLACE, WRITTEN, TENANT),
    )


def m(name: str) -> Composable:
    """A column of a mapped row."""
    return sql.Identifier(MAPPED, name)


def of_keys(here: Source, keys: list[tuple[int, list[str | None]]], stored: Mapping[str, PgType | None]) -> Composable:
    """The condition over `s` that a row has one of some keys, given by hash and by text.

    An index finds them where any key of the copy, a stranger's too, is a value of the source's columns.

    Args:
        stored: Column of the copy -> its type.
    """
    job = here.job
    columns = [job.mapping.fields[name].from_ or "" for name in job.target.key]
    types = [_common_type(here, column, stored.get(name)) for name, column in zip(job.target.key, columns, strict=True)]
    if None in types or not all(_is_spelled(here, key) for _, key in keys):
        return in_hashes(mapped_key(job.mapping, job.target.key), (number for number, _ in keys))
    typed = (sql.SQL("(w.key ->> {})::{}").format(sql.Literal(n), kind.sql) for n, kind in enumerate(types) if kind)
    return template(
        "({columns}) in (select {typed} from jsonb_array_elements({keys}::jsonb) as w (key))",
        columns=sql.SQL(", ").join(sql.Identifier("s", column) for column in columns),
        typed=sql.SQL(", ").join(typed),
        keys=sql.Literal(json.dumps([key for _, key in keys], ensure_ascii=False)),
    )


def _common_type(here: Source, column: str, stored: PgType | None) -> PgType | None:
    """What a text of the copy's column can be cast to, to be looked up in the source's; None where it might not be."""
    declared = here.job.mapping.source.get(column)
    if declared is None or not here.is_plain(column):
        return None
    if stored is not None and {declared.name, stored.name} <= {"text", "varchar"}:
        return PgType("text")
    return declared if stored == declared else None


def _is_spelled(here: Source, key: list[str | None]) -> bool:
    """Whether a key is whole, and the source's server has its letters."""
    is_unicode = here.session.info.parameter_status("server_encoding") == "UTF8"
    return all(part is not None and (is_unicode or part.isascii()) for part in key)


def _with_flags(here: Source, published: Published | None) -> Composable:
    """The source table, each row with whether the filter leaves it out, and whether a batch still owes it."""
    kept = filter_of(here.job)
    owed, overdue = _owed(here, published)
    return template(
        "(select s.*, {filtered} as {f}, {owed} as {o}, {overdue} as {l}, {place} as {p}, {written} as {w},"
        " {tenant} as {t} from {table} as s)",
        filtered=template("({kept}) is not true", kept=kept) if kept is not None else sql.SQL("false"),
        owed=owed, overdue=overdue, table=table_identifier(here.job.source.table),
        f=sql.Identifier(FILTERED), o=sql.Identifier(OWED), l=sql.Identifier(OVERDUE), p=sql.Identifier(PLACE),
        place=sql.SQL("s.ctid" if here.blocks() is not None else "null::tid"),
        written=sql.SQL("s.xmin::text::bigint" if here.shows_row_versions else "0::bigint"), w=sql.Identifier(WRITTEN),
        tenant=tenant_of(here.job), t=sql.Identifier(TENANT),
    )  # fmt: skip


def _owed(here: Source, published: Published | None) -> tuple[Composable, Composable]:
    if published is None:  # no batch has promised anything yet
        return sql.SQL("false"), sql.SQL("false")
    changed_at: Composable = sql.SQL("{}::timestamptz").format(sql.Literal(published.source_as_of.isoformat()))
    if here.job.source.cursor is not None:
        cursor = sql.Identifier("s", here.job.source.cursor)  # one that names a moment to come says nothing of a change
        changed_at = sql.SQL("greatest({}, case when {c} <= now() then {c} end)").format(changed_at, c=cursor)
    overdue = template(
        "{at} < now() - make_interval(secs => {promised})",
        at=changed_at, promised=sql.Literal(here.job.manifest.sla.latency_p99_s_max),
    )  # fmt: skip
    if not published.is_of_these_files:
        return sql.SQL("true"), overdue
    return here.owed_since(published.snapshot, published.source_as_of), overdue
