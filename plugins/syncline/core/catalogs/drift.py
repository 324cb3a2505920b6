"""What has changed about a table since a mapping was written: what passes and is told, and what the mapping should say.

A proposal is a change of the files' own text, so that it can be read as a diff and applied: comments and layout stay.
It is a proposal. Whether a column was renamed, or another one took its place, only its owner knows.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import yaml

from syncline.core.catalogs.fitting import Drift, Gone, Misfit, Owed, Renamed, Retyped
from syncline.core.files.documents import Document, Where
from syncline.core.job import SyncJob
from syncline.core.remedies import remedy
from syncline.core.types import PgType

File = Literal["manifest", "mapping"]
Edit = tuple[int, int, str]  # from and to in the text, and what stands there then
WORDS_ABOUT_VALUES = {"type", "steps", "checks", "constant", "lossy", "equal", "severity", "pii", "description"}
NAMING_COLUMNS = {"key", "cursor", "tenant", "deleted", "version", "stamps"}
CONDITIONS = {"expression", "if"}  # restricted SQL over the columns


def changed_columns(table: str, before: Mapping[str, str], now: Mapping[str, str], used: set[str]) -> Iterator[str]:
    """Changes that no mapping has to follow, in words: columns that are new, gone or retyped, and that it does not use.

    Args:
        before, now: Column -> type. Nothing is told where one of them is not known.
        used: Columns that the job reads or writes; what happens to those is the preflight's matter.
    """
    if not before or not now:
        return
    for name in sorted(now.keys() - before.keys() - used):
        yield f"{table} has a new column {name} ({now[name]}), which no field uses"
    for name in sorted(before.keys() - now.keys() - used):
        yield f"{table} no longer has column {name} ({before[name]}), which no field used"
    for name in sorted(before.keys() & now.keys() - used):
        if before[name] != now[name]:
            yield f"{table} has column {name} as {now[name]}, it was {before[name]}; no field uses it"


def proposed(job: SyncJob, documents: Mapping[File, Document], misfits: Iterable[Misfit]) -> dict[File, str]:
    """The files' texts as they should be now; a file that needs no change is left out."""
    edits: dict[File, set[Edit]] = {"manifest": set(), "mapping": set()}
    for drift in dict.fromkeys(misfit.drift for misfit in misfits if misfit.drift is not None):
        for file, edit in _edits(job, documents, drift):
            edits[file].add(edit)
    return {file: _edited(documents[file].text, wanted) for file, wanted in edits.items() if wanted}


def diff(documents: Mapping[File, Document], texts: Mapping[File, str]) -> str:
    """The change as a unified diff, with the numbers of the lines."""
    told = []
    for file, text in texts.items():
        path = documents[file].path
        lines = difflib.unified_diff(
            documents[file].text.splitlines(), text.splitlines(), f"a/{path}", f"b/{path}", lineterm="", n=0
        )
        told += list(lines)
    return "\n".join(told)


def _edited(text: str, edits: set[Edit]) -> str:
    for begin, end, said in sorted(edits, reverse=True):
        text = text[:begin] + said + text[end:]
    return text


def _edits(job: SyncJob, documents: Mapping[File, Document], drift: Drift) -> Iterator[tuple[File, Edit]]:
    mapping = documents["mapping"]
    match drift:
        case Renamed("source", old, new):
            yield from (("mapping", edit) for edit in _renamed_in_mapping(mapping, old, new))
            yield from (("manifest", edit) for edit in _renamed_in_manifest(documents["manifest"], "source", old, new))
        case Renamed("target", old, new):
            yield from (("mapping", edit) for edit in _key(mapping, ("fields", old), new))
            yield from (("manifest", edit) for edit in _renamed_in_manifest(documents["manifest"], "target", old, new))
        case Retyped("source", name, kind):
            yield from (("mapping", edit) for edit in _value(mapping, ("source", name), str(kind)))
            for field in _plain_readers(job, name):
                yield from (("mapping", edit) for edit in _new_steps(job, mapping, field, kind))
        case Retyped("target", name, kind):
            yield from (("mapping", edit) for edit in _value(mapping, ("fields", name, "type"), str(kind)))
        case Gone("source", name) if not _is_needed(job, name):
            for where in [("source", name), *(("fields", field) for field in _plain_readers(job, name))]:
                yield from (("mapping", edit) for edit in _without(mapping, where))
        case Gone("target", name) if name not in job.target.key:
            yield from (("mapping", edit) for edit in _without(mapping, ("fields", name)))
        case Owed(name, kind):
            yield from (
                ("mapping", edit)
                for edit in _added(mapping, f"{name}: {{from: <column>, type: {kind}, checks: [required]}}")
            )


def _plain_readers(job: SyncJob, column: str) -> list[str]:
    """Fields that begin with the column as it is."""
    return [name for name, field in job.mapping.fields.items() if field.from_ == column]


def _is_needed(job: SyncJob, column: str) -> bool:
    """Whether more than plain fields hang on a column: then only a person knows what to do without it."""
    source = job.source
    keyed = {name for name in job.target.key if job.mapping.fields[name].from_ == column}
    duties = {*source.key, *source.filter, source.cursor, source.tenant, source.deleted}
    read = {name for name in job.mapping.fields if column in job.mapping.reads(name)}
    return bool(keyed) or column in duties or read != {*_plain_readers(job, column)}


def _new_steps(job: SyncJob, mapping: Document, field: str, kind: PgType) -> Iterator[Edit]:
    """Steps that bring the new type into the field's, in place of those for the old one."""
    where: Where = ("fields", field, "steps")
    said = remedy(kind, job.mapping.fields[field].type).removeprefix("steps: ")
    if where in mapping.values and where in mapping.ends:
        begin, end = mapping.keys[where].end_mark.index, mapping.ends[where].end_mark.index
        end = begin + len(mapping.text[begin:end].rstrip())
        yield begin, end, f": {said or '[]'}"  # whatever lines the old ones took
    elif said and ("fields", field, "type") in mapping.values and said.startswith("["):
        at = mapping.values["fields", field, "type"].end_mark.index
        is_flow = getattr(mapping.values["fields", field], "flow_style", False)
        indent = " " * mapping.keys["fields", field, "type"].start_mark.column
        yield at, at, f", steps: {said}" if is_flow else f"\n{indent}steps: {said}"


def _renamed_in_mapping(mapping: Document, old: str, new: str) -> Iterator[Edit]:
    yield from _key(mapping, ("source", old), new)
    for where, value in mapping.values.items():
        if where[:1] != ("fields",) or len(where) < 3 or where[2] in WORDS_ABOUT_VALUES:
            continue
        if not isinstance(value, yaml.ScalarEvent):
            continue
        begin, end = _span(value)
        if value.value == old:
            yield from _value(mapping, where, new)
        elif where[-1] in CONDITIONS or where[2] in CONDITIONS:
            for word in re.finditer(rf"\b{re.escape(old)}\b", mapping.text[begin:end]):
                yield begin + word.start(), begin + word.end(), new


def _renamed_in_manifest(manifest: Document, side: str, old: str, new: str) -> Iterator[Edit]:
    for where, value in manifest.values.items():
        has_duty = where[:1] == (side,) and where[1:2] and where[1] in NAMING_COLUMNS
        is_tenant = side == "target" and where == ("tenancy", "column")
        if (has_duty or is_tenant) and isinstance(value, yaml.ScalarEvent) and value.value == old:
            yield from _value(manifest, where, new)
    yield from _key(manifest, (side, "filter", old), new)


def _span(event: Any) -> tuple[int, int]:
    return event.start_mark.index, event.end_mark.index


def _key(document: Document, where: Where, new: str) -> Iterator[Edit]:
    if (event := document.keys.get(where)) is not None:
        yield event.start_mark.index, event.end_mark.index, new


def _value(document: Document, where: Where, new: str) -> Iterator[Edit]:
    if (event := document.values.get(where)) is not None:
        yield event.start_mark.index, event.end_mark.index, new


def _without(document: Document, where: Where) -> Iterator[Edit]:
    """The whole lines of an entry; one that shares its line with others is left to a person."""
    key = document.keys.get(where)
    if key is None:
        return
    last = document.ends.get(where) or document.values.get(where) or key
    text = document.text
    begin = text.rfind("\n", 0, key.start_mark.index) + 1
    end = key.end_mark.index + len(text[key.end_mark.index : last.end_mark.index].rstrip())
    stop = text.find("\n", end)
    behind = text[end : stop if stop >= 0 else len(text)].strip()
    if not text[begin : key.start_mark.index].strip() and (not behind or behind.startswith("#")):
        yield begin, stop + 1 if stop >= 0 else len(text), ""


def _added(mapping: Document, line: str) -> Iterator[Edit]:
    """A line behind the last field, where fields stand in lines of their own."""
    fields = [where for where in mapping.keys if len(where) == 2 and where[0] == "fields"]
    if not fields or getattr(mapping.values.get(("fields",)), "flow_style", False):
        return
    last = max(fields, key=lambda where: mapping.keys[where].start_mark.index)
    key = mapping.keys[last]
    end_mark = (mapping.ends.get(last) or mapping.values.get(last) or key).end_mark.index
    end = key.end_mark.index + len(mapping.text[key.end_mark.index : end_mark].rstrip())
    stop = mapping.text.find("\n", end)
    at = stop if stop >= 0 else len(mapping.text)
    yield at, at, f"\n{' ' * key.start_mark.column}{line}"
