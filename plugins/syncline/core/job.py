"""A sync job: a valid manifest with its mapping, and the mistakes that only both together can have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from syncline.core.files.findings import nearest
from syncline.core.manifest import Manifest, Source, Target
from syncline.core.mapping import Fault, Mapping
from syncline.core.transforms import NotApplicable
from syncline.core.transforms.literals import check_literal
from syncline.core.types import PgType
from syncline.core.values import Mode


@dataclass(frozen=True)
class SyncJob:
    """A valid manifest with its mapping, under the name that stands at every stop of the line.

    Attributes:
        manifest_hash: Of all that both files and their lists say, and of our version: two workers must agree on it.
        rows_hash: Of what decides which rows the copy holds and their values; where it changed, all rows are owed.
    """

    id: str
    manifest: Manifest
    mapping: Mapping
    manifest_hash: str
    rows_hash: str

    @property
    def source(self) -> Source:
        return self.manifest.source

    @property
    def target(self) -> Target:
        return self.manifest.target

    @property
    def tenant_column(self) -> str | None:
        return self.manifest.tenancy.column

    @cached_property
    def default_mode(self) -> Mode:
        """Incremental where the source says what changed; a replacing job must read everything."""
        if self.source.cursor is None or self.target.write == "replace":
            return Mode.FULL
        return Mode.INCREMENTAL

    @property
    def on_delete(self) -> str:
        """What a source row that is deleted does; `ignore` where nobody could know of it."""
        is_known = self.source.deleted is not None or self.source.key_set != "never"
        return self.target.on_delete if is_known else "ignore"

    @property
    def command(self) -> str:
        """What a person types to run it: a member of a group runs with its group."""
        group = self.manifest.group
        return f"syncline run {self.id}" if group is None else f"syncline run-group {group}"

    def finds_absent(self, mode: Mode) -> bool:
        """Whether a batch looks for rows of the copy that the source no longer has."""
        if self.target.write == "replace":
            return True
        if mode is Mode.REPAIR:  # those that its plan names
            return self.target.write == "upsert" and self.on_delete != "ignore"
        wanted = {"never": (), "full": (Mode.FULL,), "every_run": (Mode.FULL, Mode.INCREMENTAL)}
        return mode in wanted[self.source.key_set]

    def faults(self) -> list[Fault]:
        """Mistakes between manifest and mapping, placed in the manifest."""
        found: list[Fault] = []
        fields, columns, target = self.mapping.fields, self.mapping.source, self.target
        wanted: dict[tuple[str | int, ...], str] = {("target", "key", n): name for n, name in enumerate(target.key)}
        if target.version:
            wanted[("target", "version")] = target.version
        if self.tenant_column:
            wanted[("tenancy", "column")] = self.tenant_column
        for place, name in wanted.items():
            if name not in fields:
                found.append(
                    (
                        place,
                        "M20",
                        f"target column '{name}' is mapped by no field",
                        nearest(name, fields) or "add a field for it",
                    )
                )
        for place, name in self._source_columns().items():
            if name not in columns:
                said = f"source column '{name}' is not declared in the mapping"
                found.append((place, "M20", said, nearest(name, columns) or "declare it under `source` there"))
        filled = {
            ("target", "stamps", "batch"): target.stamps.batch,
            ("target", "stamps", "loaded_at"): target.stamps.loaded_at,
            ("target", "deleted"): target.deleted,
        }
        for place, filled_by_us in filled.items():
            if filled_by_us is not None and filled_by_us in fields:
                said = f"'{filled_by_us}' is filled by the loader and cannot be mapped too"
                found.append((place, "M20", said, "drop the field, or name another column here"))
        return [*found, *self._key_faults(), *self._key_field_faults(), *self._version_faults(), *self._source_faults()]

    def _source_columns(self) -> dict[tuple[str | int, ...], str]:
        source = self.source
        named: dict[tuple[str | int, ...], str] = {("source", "key", n): name for n, name in enumerate(source.key)}
        if source.tenant:
            named[("source", "tenant")] = source.tenant
        return named

    def _key_faults(self) -> list[Fault]:
        """The target key must carry the whole source key and nothing else: otherwise two rows could meet in one."""
        found: list[Fault] = []
        carried: set[str | None] = set()
        for n, name in enumerate(self.target.key):
            field = self.mapping.fields.get(name)
            if field is None:
                continue
            carried.add(field.from_)
            if field.from_ not in self.source.key:
                said = f"key column '{name}' must come `from` a column of source.key"
                found.append((("target", "key", n), "M19", said, ""))
        for n, column in enumerate(self.source.key):
            if column not in carried:
                said = f"source key column '{column}' reaches no column of target.key: two rows could meet in one"
                found.append((("source", "key", n), "M19", said, ""))
        return found

    def _version_faults(self) -> Iterator[Fault]:
        """Versions are ordered by the moment of the change: by another column a real change would be called old."""
        field = self.mapping.fields.get(self.target.version or "")
        if field is not None and self.source.cursor and (field.from_ != self.source.cursor or field.steps):
            said = f"`target.version` '{self.target.version}' is not the cursor '{self.source.cursor}' as it is"
            mend = f"fill it by {{from: {self.source.cursor}, type: timestamptz}}, or drop target.version"
            yield ("target", "version"), "M19", said, mend

    def _key_field_faults(self) -> Iterator[Fault]:
        """A key's value must arrive as it is: a step could make two keys one, and NULL is no key."""
        for n, name in enumerate(self.target.key):
            field = self.mapping.fields.get(name)
            if field is None:
                continue
            code = "M18" if name == self.tenant_column else "M19"
            if not any(check.word == "required" for check in field.checks):
                yield ("target", "key", n), code, f"key column '{name}' may be NULL", "say checks: [required]"
            if field.lossy is not None:
                said = f"`lossy` on key column '{name}': two keys could become one"
                yield ("target", "key", n), code, said, "keep the key in a type that holds it as it is"
            if field.equal.words:
                said = f"`equal` on key column '{name}': rows of both sides are paired by their keys as they are"
                yield ("target", "key", n), code, said, "drop `equal` there"
            for step in field.steps:
                if step.word != "to_text":
                    said = f"`{step.word}` on key column '{name}': two keys could become one"
                    yield ("target", "key", n), code, said, "map a key as it is; put the changed value beside it"
            if name == self.tenant_column and field.pii != "none":
                said = f"tenant column '{name}' is personal: names of tenants stand in logs, alerts and reports"
                mend = "let a column that names nobody tell tenants apart; or say pii: none, if somebody looked"
                yield ("target", "key", n), "M18", said, mend
            if name == self.tenant_column and field.from_ != self.source.tenant:
                wanted = f" '{self.source.tenant}'" if self.source.tenant else ", which is not said"
                yield (
                    ("target", "key", n),
                    "M18",
                    f"tenant column '{name}' does not come `from` source.tenant{wanted}",
                    "",
                )

    def _source_faults(self) -> Iterator[Fault]:
        """Columns with a duty in the source, as far as the mapping declares their types."""
        declared, source = self.mapping.source, self.source
        if (cursor := source.cursor) in declared and declared[cursor].name != "timestamptz":
            said = f"cursor '{cursor}' is {declared[cursor]}, not timestamptz: it names no instant"
            yield ("source", "cursor"), "M19", said, _no_instant(declared[cursor], cursor, source.table)
        if (deleted := source.deleted) in declared and declared[deleted].name != "boolean":
            said = f"`source.deleted` '{deleted}' is {declared[deleted]}, not boolean"
            yield ("source", "deleted"), "M19", said, _no_flag(declared[deleted], deleted)
        for column, allowed in source.filter.items():
            for value in allowed if column in declared else ():
                try:
                    check_literal(value, declared[column])
                except NotApplicable as error:
                    yield ("source", "filter", column), "M20", f"filter of '{column}': {error}", ""


def _no_instant(given: PgType, cursor: str, table: str) -> str:
    """What to do about a cursor that is no timestamptz; the source may be somebody else's, who will not change it."""
    mend = "leave `cursor` and `target.version` out: every run then reads everything"
    if given.name not in ("timestamp", "date"):
        return f"{mend}; or name a timestamptz column that every change sets"
    change = f"alter table {table} alter column {cursor} type timestamptz using {cursor} at time zone '<its zone>'"
    return f"{mend}; or, where the table may be changed: {change}"


def _no_flag(given: PgType, flag: str) -> str:
    """How a view of the source makes a boolean of a flag."""
    holds = {"number": f"{flag} <> 0", "text": f"{flag} = '<what deleted rows have>'"}
    made = f"coalesce({holds.get(given.family, f'{flag} is not null')}, false) as is_deleted"
    return f"read a view of the table with `{made}`, and leave `cursor` out: a view is read whole"
