"""What of a source does not fit a job: the table it reads, those its lookups read, and the engine its words run in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from syncline.core.catalogs.fitting import (
    PLACE,
    SERVER_MIN,
    STORED,
    Drift,
    Misfit,
    Retyped,
    as_declared,
    comparable,
    no_column,
    no_table,
    server_misfits,
    what_became,
)
from syncline.core.catalogs.tables import Catalog, Table
from syncline.core.files.documents import Where
from syncline.core.files.findings import KEY, nearest
from syncline.core.job import SyncJob
from syncline.core.types import PgType
from syncline.core.values import Mode

INSTANT, FLAG = PgType("timestamptz"), PgType("boolean")


def fit_source(job: SyncJob, catalog: Catalog) -> list[Misfit]:
    """What of the source, and of the tables that lookups read, does not fit the job."""
    table = catalog.tables.get(job.source.table)
    found = [*server_misfits(catalog, ("source", "connection")), *_words(job, catalog), *_encoding(catalog)]
    if table is None:
        found.append(no_table("manifest", ("source", "table"), job.source.table, catalog))
    else:
        found += [
            *_source_rights(job, table, catalog),
            *_source_columns(job, table),
            *_source_key(job, table),
            *_cursor(job, table, catalog.role),
            *_source_duties(job, table),
        ]
    for name in job.mapping.lookups:
        found += _lookup(job, name, catalog)
    return found


def source_tables(job: SyncJob) -> list[str]:
    """All tables that the job reads."""
    return [job.source.table, *(lookup.table for lookup in job.mapping.lookups.values())]


def _words(job: SyncJob, catalog: Catalog) -> Iterator[Misfit]:
    """Words run in the source's engine."""
    for name, field in job.mapping.fields.items():
        for kind, words in (("steps", field.steps), ("checks", field.checks)):
            for n, word in enumerate(words):
                if word.server_min > max(catalog.server, SERVER_MIN):
                    said = f"`{word.word}` needs PostgreSQL {word.server_min}; the source is {catalog.server}"
                    yield Misfit("mapping", ("fields", name, kind, n), PLACE, said, weight="certain")


def _encoding(catalog: Catalog) -> Iterator[Misfit]:
    """Nobody can tell a server to leave out what is no text: one such value ends the batch."""
    if catalog.encoding == "SQL_ASCII":
        said = "the source's database has encoding SQL_ASCII: a text that is not UTF-8 would end every batch"
        mend = "read a copy whose encoding is known (pg_dump --encoding, createdb --encoding=UTF8)"
        yield Misfit("manifest", ("source", "connection"), PLACE, said, mend)


def _source_rights(job: SyncJob, table: Table, catalog: Catalog) -> Iterator[Misfit]:
    where: Where = ("source", "table")
    if "usage" not in table.rights:
        schema = table.name.split(".")[0]
        said = f"role {catalog.role} may not look into schema {schema}"
        yield Misfit("manifest", where, PLACE, said, f"grant usage on schema {schema} to {catalog.role};")
    elif unread := [name for name in _read_columns(job) if name in table.columns and not _may_read(table, name)]:
        which = f"columns {', '.join(unread)} of " if "select" in table.rights else ""
        columns = f" ({', '.join(unread)})" if which else ""
        said = f"role {catalog.role} may not read {which}{table.name}"
        yield Misfit("manifest", where, PLACE, said, f"grant select{columns} on {table.name} to {catalog.role};")


def _may_read(table: Table, name: str) -> bool:
    return "select" in table.rights and table.columns[name].is_readable


def _read_columns(job: SyncJob) -> list[str]:
    return [*dict.fromkeys([*job.mapping.source, *(name for _, name in _duties(job))])]


def _source_columns(job: SyncJob, table: Table) -> Iterator[Misfit]:
    """Columns that the mapping declares, and those that the manifest alone names."""
    for name, declared in job.mapping.source.items():
        if misfit := _declared(table, name, declared, ("source", name)):
            yield (
                replace(misfit, drift=_drift(job, table, name, declared))
                if name in table.columns
                else no_column("mapping", ("source", name, KEY), name, table, _drift(job, table, name, declared))
            )
    for where, name in _duties(job):
        if name not in job.mapping.source and name not in table.columns:
            yield no_column("manifest", where, name, table)


def _drift(job: SyncJob, table: Table, name: str, declared: PgType) -> Drift | None:
    column = table.columns.get(name)
    if column is not None:
        return None if column.type is None else Retyped("source", name, PgType.parse(as_declared(column)))
    named = {*job.mapping.source, *(duty for _, duty in _duties(job))}
    like = [one for one in table.columns.values() if one.type is not None and _stands_for(one.type, declared)]
    return what_became("source", name, [one.name for one in like if one.name not in named])


def _duties(job: SyncJob) -> list[tuple[Where, str]]:
    """Columns of the source that the manifest gives a duty."""
    source = job.source
    named: list[tuple[Where, str | None]] = [
        (("source", "cursor"), source.cursor),
        (("source", "tenant"), source.tenant),
        (("source", "deleted"), source.deleted),
        *((("source", "key", n), name) for n, name in enumerate(source.key)),
        *((("source", "filter", name), name) for name in source.filter),
    ]
    return [(where, name) for where, name in named if name is not None]


def _declared(table: Table, name: str, declared: PgType, where: Where) -> Misfit | None:
    """A column that is not what the mapping declares."""
    column = table.columns.get(name)
    if column is None:
        return no_column("mapping", (*where, KEY) if where[0] == "source" else where, name, table)
    if column.type is None:
        said = f"column {name} is {column.spelling}, which mappings cannot read"
        return Misfit("mapping", where, "M20", said, "leave it out, or have a view read it as text", weight="certain")
    if _stands_for(column.type, declared):
        return None
    said = f"column {name} is {column.shown}, declared {declared}"
    return Misfit("mapping", where, "M20", said, f"declare `{name}: {as_declared(column)}`", weight="certain")


def _stands_for(given: PgType, declared: PgType) -> bool:
    """Whether the column may be read as the declared type: the same with more room, or another kind of text.

    An integer is not read as a numeric, though each is one: the compiled statement computes with the column as it is,
    and 7 / 2 is 3 in one type and 3.5 in the other.
    """
    is_same_kind = given.name == declared.name or given.family == declared.family == "text"
    return given.becomes(declared) == "lossless" and is_same_kind


def _source_key(job: SyncJob, table: Table) -> Iterator[Misfit]:
    key = job.source.key
    if any(name not in table.columns for name in key):
        return
    code, where = "M19", ("source", "key")
    for n, name in enumerate(key):
        column = table.columns[name]
        if column.is_nullable and table.kind in STORED:
            said = f"key column {name} of {table.name} may be NULL"
            mend = f"alter table {table.name} alter column {name} set not null;"
            yield Misfit("manifest", (*where, n), "M18" if name == job.source.tenant else code, said, mend)
        if column.labels:
            said = f"key column {name} is {column.shown}: keys are compared as text, and an enumeration is none"
            mend = "name another unique key, or have a view read it as text"
            yield Misfit("manifest", (*where, n), code, said, mend, weight="certain")
    if table.is_unique(key):
        return
    listed = ", ".join(key)
    if table.kind not in STORED:
        said = f"{table.name} is a {table.kind}: nothing keeps ({listed}) unique; two rows of one key fail the batch"
        yield Misfit("manifest", where, code, said, weight="noted")
        return
    proven = " or ".join(f"({', '.join(columns)})" for columns in table.keys)
    said = f"source.key ({listed}) is not unique in {table.name}: no primary key or unique index is within it"
    mend = f"the table keeps {proven} unique; or " if proven else ""
    index = f"create unique index concurrently on {table.name} ({listed});"
    yield Misfit("manifest", where, code, said, mend + index)


def _cursor(job: SyncJob, table: Table, role: str) -> Iterator[Misfit]:
    """The cursor narrows the scan, orders versions and measures freshness; row versions find what changed."""
    cursor, where = job.source.cursor, ("source", "cursor")
    if cursor is None or cursor not in table.columns:
        return
    if not table.shows_row_versions and job.default_mode is Mode.INCREMENTAL and "select" in table.rights:
        yield from _without_row_versions(job, table, role)
    if table.kind not in STORED and job.default_mode is Mode.INCREMENTAL and job.source.window is None:
        return
    column = table.columns[cursor]
    change = f"alter table {table.name} alter column {cursor}"
    if column.type is None or column.type.name != INSTANT.name:
        said = f"cursor '{cursor}' is {column.shown}, not timestamptz: it names no instant"
        mend = f"{change} type timestamptz using {cursor} at time zone 'UTC';"
        yield Misfit("manifest", where, "M19", said, mend, weight="certain")
    if table.kind not in STORED:
        return
    if column.is_nullable:
        said = f"cursor '{cursor}' may be NULL: such a row has no time, and a window never reads it"
        yield Misfit("manifest", where, "M19", said, f"{change} set not null;")
    if not table.is_indexed(cursor):
        said = f"cursor '{cursor}' has no index: every batch scans all of {table.name}{_rows(table)}"
        yield Misfit("manifest", where, "M19", said, f"create index concurrently on {table.name} ({cursor});")


def _without_row_versions(job: SyncJob, table: Table, role: str) -> Iterator[Misfit]:
    """Row versions tell what changed; where nobody shows them, the manifest must say how late a row may appear."""
    is_declared = job.source.window is not None
    declare = "say `source.window: {lag_s: 300, overlap_s: 3600}` with the numbers of its writers"
    if table.kind in STORED and not table.has_foreign_rows:
        said = f"role {role} may not read the row versions of {table.name}: a grant on columns leaves them out"
        said += "; batches rely on the declared window" if is_declared else ", so changes would be missed"
        mend = f"grant select (xmin, tableoid) on {table.name} to {role};"
        mend += "" if is_declared else f" or {declare}"
        yield Misfit("manifest", ("source", "table"), PLACE, said, mend, weight="noted" if is_declared else "certain")
    elif not is_declared:
        what = f"is a {table.kind}" if table.kind not in STORED else "has partitions that are foreign tables"
        said = f"{table.name} {what}: it has no row versions of its own, so changes would be missed"
        mend = f"{declare}; or drop `source.cursor` (every batch reads it all), or name the table behind it"
        yield Misfit("manifest", ("source", "cursor"), "M19", said, mend, weight="certain")


def _rows(table: Table) -> str:
    return "" if table.estimated_rows is None else f", about {table.estimated_rows:,} rows"


def _source_duties(job: SyncJob, table: Table) -> Iterator[Misfit]:
    """The tenant, the flag of deleted rows and the filter."""
    source = job.source
    tenant, flag = table.columns.get(source.tenant or ""), table.columns.get(source.deleted or "")
    if tenant is not None and tenant.is_nullable and tenant.name not in source.key and table.kind in STORED:
        said = f"tenant column {tenant.name} of {table.name} may be NULL: whose row is it?"
        mend = f"alter table {table.name} alter column {tenant.name} set not null;"
        yield Misfit("manifest", ("source", "tenant"), "M18", said, mend)
    if flag is not None and flag.type != FLAG:
        said = f"`source.deleted` '{flag.name}' is {flag.shown}, not boolean"
        mend = "name a boolean column, or have a view make one of it"
        yield Misfit("manifest", ("source", "deleted"), "M19", said, mend, weight="certain")
    for name, allowed in source.filter.items():
        column = table.columns.get(name)
        if column is not None and column.labels:
            for unknown in [value for value in allowed if str(value) not in column.labels]:
                said = f"filter of '{name}': '{unknown}' is no label of {column.shown}"
                near = nearest(str(unknown), column.labels)
                place: Where = ("source", "filter", name)
                yield Misfit("manifest", place, "M20", said, f"one of: {', '.join(column.labels)}", near, "certain")


def _lookup(job: SyncJob, field: str, catalog: Catalog) -> Iterator[Misfit]:
    lookup = job.mapping.lookups[field]
    where: Where = ("fields", field, "lookup")
    table = catalog.tables.get(lookup.table)
    if table is None:
        yield no_table("mapping", (*where, "table"), lookup.table, catalog)
        return
    if "usage" not in table.rights or "select" not in table.rights:
        said = f"role {catalog.role} may not read {table.name}"
        schema = table.name.split(".")[0]
        mend = f"grant usage on schema {schema} to {catalog.role}; grant select on {table.name} to {catalog.role};"
        yield Misfit("mapping", (*where, "table"), PLACE, said, mend)
    if misfit := _declared(table, lookup.take, lookup.take_type, (*where, "take")):
        mend = misfit.allowed.replace(f"`{lookup.take}: ", "`take_type: ")
        yield Misfit("mapping", misfit.where, misfit.code, misfit.found, mend, misfit.nearest, misfit.weight)
    if lookup.newest_by is not None and lookup.newest_by not in table.columns:
        yield no_column("mapping", (*where, "newest_by"), lookup.newest_by, table)
    yield from _match(job, field, table)


def _match(job: SyncJob, field: str, table: Table) -> Iterator[Misfit]:
    """The columns by which a lookup finds its row: there, comparable, and together unique."""
    lookup = job.mapping.lookups[field]
    own = job.mapping.types
    for theirs, ours in lookup.match.items():
        at: Where = ("fields", field, "lookup", "match", theirs)
        column = table.columns.get(theirs)
        if column is None:
            yield no_column("mapping", (*at, KEY), theirs, table)
        elif column.type is None or not comparable(column.type.as_read, own[ours]) or column.labels:
            said = f"column {theirs} of {table.name} is {column.shown}, and '{ours}' is {own[ours]}: they never match"
            yield Misfit("mapping", at, "M20", said, "match columns of one type", weight="certain")
    is_whole = all(theirs in table.columns for theirs in lookup.match)
    if is_whole and lookup.on_several == "reject" and not table.is_unique(lookup.match):
        listed = ", ".join(lookup.match)
        said = f"({listed}) is not unique in {table.name}: a row with several matches is rejected (lookup_ambiguous)"
        mend = "say on_several: newest or null, or match a unique key"
        yield Misfit("mapping", (*_at_lookup(field), "match"), "M19", said, mend, weight="noted")


def _at_lookup(field: str) -> Where:
    return ("fields", field, "lookup")
