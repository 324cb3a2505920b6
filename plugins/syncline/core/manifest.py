"""The manifest: the agreement between the team that owns a source and the team that owns its copy.

A manifest and its mapping make a `SyncJob`; after `load_job` no code asks again whether they are valid. `tenancy`,
`owner` and `sla` cannot be left out (control SYNC-001: no owner, no DAG). Connection ids are names of an
operator's registry, never hosts or secrets.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, StrictFloat, StrictInt, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from syncline import __version__
from syncline.core import cron, strict_yaml
from syncline.core.errors import ManifestInvalid
from syncline.core.findings import Finding, nearest, report
from syncline.core.mapping import Fault, Mapping
from syncline.core.models import NAME, Frozen, Name, Table, Version
from syncline.core.pydantic_places import sound_part, tell, tell_empties
from syncline.core.reference_files import ProjectReferences
from syncline.core.references import Day
from syncline.core.strict_yaml import Document
from syncline.core.transforms import NotApplicable, Scalar
from syncline.core.transforms.literals import check_literal
from syncline.core.values import Mode

JOB_ID = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*(__[a-z][a-z0-9]*(_[a-z0-9]+)*){2}")
JOB_ID_MAX = 48  # `staged.<job>__<batch>` must stay below PostgreSQL's 63 bytes
MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+|[a-z][a-z0-9-]*")
MAIL_MAX = 254  # RFC 5321
CLOCK_RANGE = re.compile("([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]")
# A page that people open: a URL, or a path below the project's root that does not climb out of it.
CONTRACT = re.compile(r"https://[^\s]{1,280}|(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_./-]{0,200}(#[A-Za-z0-9_-]{1,100})?")
CONNECTIONS_MAX = 64
LATENCY_S_MAX = 366 * 86_400  # a copy older than a year keeps no promise
FILE_SUFFIXES = (".yaml", ".yml", ".json")
Model = TypeVar("Model", bound=Frozen)


def _zone(value: str) -> str:
    if value not in cron.zones():
        near = nearest(value, cron.zones())
        raise PydanticCustomError(
            "M08", "'{value}' is not a time zone of the IANA database{near}",
            {"value": value[:60], "near": f". Did you mean '{near}'?" if near else ""},
        )  # fmt: skip
    return value


def _cron(value: str) -> str:
    try:
        cron.check_cron(value)
    except cron.CronRefused as error:
        raise PydanticCustomError("M08", "'{value}': {why}", {"value": value[:60], "why": str(error)}) from None
    return value


def _clock_range(value: str) -> str:
    if not CLOCK_RANGE.fullmatch(value):
        raise PydanticCustomError("M02", "'{value}' is not a time range; write \"02:00-02:40\"", {"value": value[:40]})
    return value


def _contact(value: str) -> str:
    if len(value) > MAIL_MAX or not MAIL.fullmatch(value):
        raise PydanticCustomError("M02", "'{value}' is no address or role a person answers to", {"value": value[:60]})
    return value


def _contract(value: str) -> str:
    if not CONTRACT.fullmatch(value):
        raise PydanticCustomError(
            "M02", "'{value}' is no reference to a contract; https://... or a path below the project's root",
            {"value": value[:80]},
        )  # fmt: skip
    return value


def _mapping_name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise PydanticCustomError(
            "M17", "'{value}' is not a mapping's name; the stem of a file in include/mappings", {"value": value[:80]}
        )
    return value


Contact = Annotated[str, AfterValidator(_contact)]
MappingName = Annotated[str, AfterValidator(_mapping_name)]
Cron = Annotated[str, AfterValidator(_cron)]
Zone = Annotated[str, AfterValidator(_zone)]
ClockRange = Annotated[str, AfterValidator(_clock_range)]
Contract = Annotated[str, AfterValidator(_contract)]
Ratio = Annotated[StrictFloat, Field(ge=0, le=1)]
Connections = Annotated[StrictInt, Field(ge=1, le=CONNECTIONS_MAX)]
LatencyS = Annotated[StrictInt, Field(ge=1, le=LATENCY_S_MAX)]
UNIQUE: dict[str, Any] = {"uniqueItems": True}


def _meanings(**meanings: str) -> dict[str, Any]:
    """For the schema: what each value of a closed list means, in the list's order."""
    return {"enumDescriptions": list(meanings.values())}


class Owner(Frozen):
    """Who answers: the team, the person on call, and the one in the business whose data it is."""

    team: Contact = Field(description="The team that keeps the job running", examples=["payroll-integration"])
    oncall: Contact = Field(description="Who is called when the job fails", examples=["payroll-oncall@example.org"])
    business: Contact = Field(
        description="Who decides what is right in this data", examples=["head-of-payroll@example.org"]
    )


class Tenancy(Frozen):
    """The target column that holds the tenant, or the reason why there is none."""

    column: Name | None = Field(
        None, description="Target column that holds the tenant; part of target.key", examples=["tenant_id"]
    )
    none: str | None = Field(
        None, min_length=10, description="Why the rows belong to no tenant",
        examples=["reference data that all tenants share"],
    )  # fmt: skip

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.column is None) == (self.none is None):
            raise PydanticCustomError("M18", "tenancy is `column: <target column>` or `none: <the reason>`", {})
        return self


class Schedule(Frozen):
    """When the job runs, in which time zone, and the clock ranges in which it must not start."""

    cron: Cron = Field(
        description="When it runs: minute, hour, day of month, month, day of week", examples=["15 3 * * *", "0 * * * *"]
    )
    timezone: Zone = Field(
        "UTC", description="Zone of the IANA database in which `cron` and `avoid` are read",
        examples=["UTC", "Europe/London", "Europe/Berlin", "Europe/Zurich", "America/New_York", "Asia/Singapore"],
    )  # fmt: skip
    avoid: tuple[
        Annotated[
            ClockRange, Field(description="From and to, within a day or over midnight", examples=["02:00-02:40"])
        ],
        ...,
    ] = Field((), description="Ranges of the clock in which it must not start", examples=[["02:00-02:40"]])


class Sla(Frozen):
    """Promised age of the copy in seconds, from source change to publication (SYNC-006)."""

    latency_p50_s_max: LatencyS = Field(
        description="Age in seconds that half of the changes stay below", examples=[7200]
    )
    latency_p99_s_max: LatencyS = Field(
        description="Age in seconds that 99 of 100 changes stay below; above it the copy is `delayed`", examples=[93600]
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.latency_p50_s_max > self.latency_p99_s_max:
            raise PydanticCustomError("M02", "latency_p50_s_max is above latency_p99_s_max", {})
        return self


class Source(Frozen):
    """What is read. `filter` names the allowed values of columns; `deleted` is a boolean column of the source."""

    connection: Name = Field(description="Connection id, as the operator registered it", examples=["mdm"])
    table: Table = Field(description="Table or view that is read", examples=["mdm.worker"])
    key: tuple[Annotated[Name, Field(description="A column of the key", examples=["worker_id"])], ...] = Field(
        min_length=1, description="Columns that identify a row", examples=[["tenant_id", "worker_id"]],
        json_schema_extra=UNIQUE,
    )  # fmt: skip
    cursor: Name | None = Field(
        None, description="timestamptz column that every change sets; without it every run reads everything",
        examples=["updated_at"],
    )  # fmt: skip
    tenant: Name | None = Field(
        None, description="Column that holds the tenant; part of the key", examples=["tenant_id"]
    )
    filter: dict[
        Name, Annotated[tuple[Scalar, ...], Field(min_length=1, description="The values that are read")]
    ] = Field(
        default_factory=dict, description="Columns, each with the values that it must have; other rows are not read",
        examples=[{"country_code": ["GB"]}],
    )  # fmt: skip
    deleted: Name | None = Field(
        None, description="boolean column that is true where the row is deleted", examples=["is_deleted"]
    )
    connections_max: Connections = Field(2, description="Connections at one time, over all jobs of this source")


class Stamps(Frozen):
    """Target columns that the loader fills: the batch that last wrote the row, and when."""

    batch: Name | None = Field(
        None, description="bigint column for the batch that last wrote the row", examples=["sync_batch_id"]
    )
    loaded_at: Name | None = Field(
        None, description="timestamptz column for when it was written", examples=["loaded_at"]
    )


class Target(Frozen):
    """What is written and how.

    write: upsert (insert or update by key), append (insert what is missing, never change), replace (afterwards the
    table holds exactly the batch: full runs only).
    on_delete: hard removes the row, soft sets the boolean column `deleted`, ignore keeps it.
    version: target column that orders versions of a row; an older version never wins.
    """

    connection: Name = Field(description="Connection id, as the operator registered it", examples=["payroll"])
    table: Table = Field(description="Table that is written", examples=["hr.employee"])
    key: tuple[Annotated[Name, Field(description="A column of the key", examples=["employee_no"])], ...] = Field(
        min_length=1, description="Columns that identify a row; each is mapped `from` a column of source.key",
        examples=[["tenant_id", "employee_no"]], json_schema_extra=UNIQUE,
    )  # fmt: skip
    write: Literal["upsert", "append", "replace"] = Field(
        "upsert", description="How rows are written",
        json_schema_extra=_meanings(
            upsert="insert what is new, update what has changed, by key",
            append="insert what is missing, never change a row",
            replace="afterwards the table holds exactly the batch; every run reads everything",
        ),
    )  # fmt: skip
    on_delete: Literal["hard", "soft", "ignore"] = Field(
        "ignore", description="What a row does that the source has deleted",
        json_schema_extra=_meanings(
            hard="it is removed", soft="`deleted` is set, the row stays", ignore="it stays as it is"
        ),
    )  # fmt: skip
    deleted: Name | None = Field(None, description="boolean column that on_delete: soft sets", examples=["is_deleted"])
    version: Name | None = Field(
        None, description="Column that orders versions of a row: an older version never wins",
        examples=["source_event_at"],
    )  # fmt: skip
    stamps: Stamps = Stamps()
    role: Name = Field("syncline_tenant", description="Role that writes; row-level security of the target binds it")
    connections_max: Connections = Field(2, description="Connections at one time, over all jobs of this target")


class Reconcile(Frozen):
    """Limits of SYNC-005: above them the batch is held."""

    mismatch_ratio_max: Ratio = Field(0.001, description="Share of rows that may differ: 0.001 is 0.1 %")
    on_breach: Literal["hold"] = Field(
        "hold", description="hold: readers keep the last good batch until a person has looked"
    )


class Errors(Frozen):
    """What rejected rows mean: above the ratio the batch is held; severity says who is woken."""

    rejected_ratio_max: Ratio = Field(0.01, description="Share of rows that may be rejected: 0.01 is 1 %")
    severity: Literal["page", "ticket", "log"] = Field(
        "ticket", description="How loud an alert of this job is",
        json_schema_extra=_meanings(page="somebody is woken", ticket="for the next working day", log="noted only"),
    )  # fmt: skip


class Manifest(Frozen):
    """One `include/manifests/<job>.yaml`: what is copied from where to where, for whom, and what is promised."""

    version: Version = Field(
        description="Version of this agreement; a change that readers notice raises the first part"
    )
    description: Annotated[str, Field(min_length=10)] = Field(
        description="What is copied and what for, in a sentence",
        examples=["UK workers as payroll needs them to pay wages"],
    )
    domain: Name = Field(description="Business domain that the data belongs to", examples=["workforce", "billing"])
    criticality: Literal["critical", "high", "medium", "low"] = Field(
        description="How much depends on it; decides who gets a free connection first",
        json_schema_extra=_meanings(
            critical="people are not paid, or a law is broken, without it", high="a department stands still without it",
            medium="somebody waits for it", low="nice to have",
        ),
    )  # fmt: skip
    owner: Owner
    tenancy: Tenancy
    schedule: Schedule
    sla: Sla
    source: Source
    target: Target
    mapping: MappingName = Field(description="Stem of the file in include/mappings", examples=["mdm__payroll__worker"])
    reconcile: Reconcile = Reconcile()
    errors: Errors = Errors()
    downstream: tuple[Annotated[Name, Field(description="A table or model", examples=["pub_sync_freshness"])], ...] = (
        Field((), description="What is built from the copy", examples=[["pub_sync_freshness"]])
    )
    contract: Contract | None = Field(
        None, description="The data contract: a URL, or a path below the project's root (SYNC-001)",
        examples=["docs/registry.md#mdm__payroll__worker", "https://contracts.example.org/payroll/worker"],
    )  # fmt: skip
    reviewed_on: Day | None = Field(
        None, description="Day on which owner and readers last went through this agreement; due again after 92 days",
    )  # fmt: skip

    def faults(self) -> list[Fault]:
        """Mistakes within the manifest that concern several of its keys."""
        return [*self._tenancy_faults(), *self._schedule_faults(), *self._delete_faults(), *self._column_faults()]

    def _tenancy_faults(self) -> Iterator[Fault]:
        source, target = self.source, self.target
        if self.tenancy.column is None:
            if source.tenant is not None:
                yield ("source", "tenant"), "M18", "tenancy is none, but `source.tenant` names a tenant column", ""
            return
        if self.tenancy.column not in target.key:
            said = f"tenant column '{self.tenancy.column}' is not in target.key: rows of two tenants could meet"
            yield ("target", "key"), "M18", said, nearest(self.tenancy.column, target.key)
        if source.tenant is None:
            yield ("source",), "M18", "`source.tenant` is missing: which column names the tenant?", ""
        elif source.tenant not in source.key:
            said = f"`source.tenant` '{source.tenant}' is not in source.key"
            yield ("source", "tenant"), "M18", said, nearest(source.tenant, source.key)

    def _schedule_faults(self) -> Iterator[Fault]:
        schedule = self.schedule
        for n, clock_range in enumerate(schedule.avoid):
            if at := cron.run_within(schedule.cron, clock_range):
                yield ("schedule", "avoid", n), "M08", f"`cron` runs at {at}, within the avoided {clock_range}", ""
        if skipped := cron.skipped_run(schedule.cron, schedule.timezone):
            said = f"`cron` runs at {skipped:%H:%M}, which {schedule.timezone} skips when its clocks go forward"
            yield ("schedule", "cron"), "M08", said, f"choose another hour: {skipped:%d %B %Y} would have no such time"

    def _delete_faults(self) -> Iterator[Fault]:
        deleted, target = self.source.deleted, self.target
        if deleted is None and target.on_delete != "ignore":
            said = f"on_delete: {target.on_delete} needs `source.deleted`, the boolean column that flags deleted rows"
            yield ("target", "on_delete"), "M02", said, ""
        if target.on_delete == "soft" and target.deleted is None:
            yield ("target", "on_delete"), "M02", "on_delete: soft needs `target.deleted`, a boolean column", ""
        if target.on_delete != "soft" and target.deleted is not None:
            said = f"`target.deleted` is never set: on_delete is {target.on_delete}"
            yield ("target", "deleted"), "M02", said, "say on_delete: soft, or drop it"
        if deleted is not None and target.write == "append":
            yield ("source", "deleted"), "M02", "an append job cannot delete; drop `source.deleted`", ""

    def _column_faults(self) -> Iterator[Fault]:
        source, target = self.source, self.target
        if target.version is not None and source.cursor is None:
            yield ("target", "version"), "M02", "`target.version` needs `source.cursor` to order versions", ""
        for side, key in (("source", source.key), ("target", target.key)):
            for n, name in enumerate(key):
                if name in key[:n]:
                    yield (side, "key", n), "M19", f"'{name}' stands twice in {side}.key", ""
        filled = [target.stamps.batch, target.stamps.loaded_at, target.deleted]
        for n, column in enumerate(filled):
            if column is not None and column in filled[:n]:
                yield ("target",), "M20", f"two values would go into target column '{column}'", ""


@dataclass(frozen=True)
class SyncJob:
    """A valid manifest with its mapping, under the name that stands at every stop of the line."""

    id: str
    manifest: Manifest
    mapping: Mapping
    manifest_hash: str

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
        """What a source row flagged deleted does; `ignore` where the source has no flag."""
        return self.target.on_delete if self.source.deleted is not None else "ignore"

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
                found.append((place, "M20", f"target column '{name}' is mapped by no field", nearest(name, fields)))
        for place, name in self._source_columns().items():
            if name not in columns:
                said = f"source column '{name}' is not declared in the mapping"
                found.append((place, "M20", said, nearest(name, columns)))
        filled = {
            ("target", "stamps", "batch"): target.stamps.batch,
            ("target", "stamps", "loaded_at"): target.stamps.loaded_at,
            ("target", "deleted"): target.deleted,
        }
        for place, filled_by_us in filled.items():
            if filled_by_us is not None and filled_by_us in fields:
                said = f"'{filled_by_us}' is filled by the loader and cannot be mapped too"
                found.append((place, "M20", said, ""))
        return [*found, *self._key_faults(), *self._key_field_faults(), *self._source_faults()]

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

    def _key_field_faults(self) -> Iterator[Fault]:
        """A key's value must arrive as it is: a step could make two keys one, and NULL is no key."""
        for n, name in enumerate(self.target.key):
            field = self.mapping.fields.get(name)
            if field is None:
                continue
            code = "M18" if name == self.tenant_column else "M19"
            if not any(check.word == "required" for check in field.checks):
                yield ("target", "key", n), code, f"key column '{name}' may be NULL", "say checks: [required]"
            for step in field.steps:
                if step.word != "to_text":
                    said = f"`{step.word}` on key column '{name}': two keys could become one"
                    yield ("target", "key", n), code, said, "map a key as it is; put the changed value beside it"
            if name == self.tenant_column and field.from_ != self.source.tenant:
                said = f"tenant column '{name}' does not come `from` source.tenant '{self.source.tenant}'"
                yield ("target", "key", n), "M18", said, ""

    def _source_faults(self) -> Iterator[Fault]:
        """Columns with a duty in the source, as far as the mapping declares their types."""
        declared, source = self.mapping.source, self.source
        if (cursor := source.cursor) in declared and declared[cursor].name != "timestamptz":
            mend = (
                f"alter table {source.table} alter column {cursor} type timestamptz using {cursor} at time zone 'UTC'"
            )
            said = f"cursor '{cursor}' is {declared[cursor]}, not timestamptz: it names no instant"
            yield ("source", "cursor"), "M19", said, mend
        if (deleted := source.deleted) in declared and declared[deleted].name != "boolean":
            said = f"`source.deleted` '{deleted}' is {declared[deleted]}, not boolean"
            yield ("source", "deleted"), "M19", said, ""
        for column, allowed in source.filter.items():
            for value in allowed if column in declared else ():
                try:
                    check_literal(value, declared[column])
                except NotApplicable as error:
                    yield ("source", "filter", column), "M20", f"filter of '{column}': {error}", ""


def job_ids(root: Path) -> list[str]:
    """Ids of all manifests below a project root, sorted: a stable order in the UI."""
    return sorted(path.stem for path in (root / "include" / "manifests").glob("*.yaml"))


def load_job(root: Path, job_id: str) -> SyncJob:
    """Read one job. Raises ManifestInvalid whose text is the report of all its mistakes."""
    job, findings = examine_job(root, job_id)
    if job is None or findings:
        raise ManifestInvalid(report(findings))
    return job


def examine_job(root: Path, job_id: str) -> tuple[SyncJob | None, list[Finding]]:
    """Read a manifest and its mapping; all mistakes of both, or the job and none."""
    path = root / "include" / "manifests" / f"{job_id}.yaml"
    document = Document(_shown(path, root))
    if _leads_out(path):
        document.mistake((), "M17", "a link that leads out of include/manifests", "put the file itself here")
        return None, document.findings
    document = strict_yaml.read(path, document.path)
    _check_id(job_id, document)
    _check_rivals(path, document)
    manifest = _model(document, Manifest)
    if manifest is None:
        return None, document.findings
    _add(document, manifest.faults())
    references = ProjectReferences(root)
    mapping, mapping_findings, mapping_data = examine_mapping(root, manifest.mapping, document, references)
    if mapping is None:
        return None, [*document.findings, *mapping_findings]
    said = (document.data, mapping_data, references.used) if references.used else (document.data, mapping_data)
    job = SyncJob(job_id, manifest, mapping, _hash(__version__, *said))
    _add(document, job.faults())
    return job, [*document.findings, *mapping_findings]


def examine_mapping(
    root: Path, name: str, manifest: Document | None = None, references: ProjectReferences | None = None
) -> tuple[Mapping | None, list[Finding], Any]:
    """Read one mapping document; a missing file is told at the manifest's `mapping` key."""
    folder = root / "include" / "mappings"
    path = folder / f"{name}.yaml"
    if not path.is_file() or _leads_out(path):
        if manifest is not None:
            near = nearest(name, (other.stem for other in folder.glob("*.yaml") if other != path))
            why = "leads out of include/mappings" if path.is_file() else "does not exist"
            manifest.mistake(("mapping",), "M17", f"mapping {_shown(path, root)} {why}", "", near)
        return None, [], None
    document = strict_yaml.read(path, _shown(path, root))
    mapping = _model(document, Mapping, references or ProjectReferences(root))
    if mapping is not None:
        _add(document, mapping.faults())
    return mapping, document.findings, document.data


def _model(document: Document, kind: type[Model], references: ProjectReferences | None = None) -> Model | None:
    if document.data is None:
        return None
    try:
        model = kind.model_validate(document.data, context=references)
        tell_empties(document)
        return model
    except ValidationError as error:
        tell(error, document, kind)
        tell_empties(document)
        if (sound := sound_part(error, document.data, "fields")) is not None:
            _add(document, _faults_of_sound_fields(document, sound, references))
        return None


def _faults_of_sound_fields(
    document: Document, sound: dict[str, Any], references: ProjectReferences | None
) -> list[Fault]:
    """What only a whole mapping can tell, told of the fields that have no mistake of their own: one report, not two."""
    try:
        faults = Mapping.model_validate(sound, context=references).faults()
    except ValidationError:
        return []
    gone = document.data["fields"].keys() - sound["fields"].keys()
    return [fault for fault in faults if fault[0][0] == "fields" and not any(f"'{name}'" in fault[2] for name in gone)]


def _add(document: Document, faults: list[Fault]) -> None:
    for where, code, found, hint, *offset in faults:
        is_sentence = " " in hint
        document.mistake(
            where, code, found, hint if is_sentence else "", "" if is_sentence else hint,
            offset=offset[0] if offset else None,
        )  # fmt: skip


def _check_id(job_id: str, document: Document) -> None:
    if not JOB_ID.fullmatch(job_id) or len(job_id) > JOB_ID_MAX:
        allowed = f"<source>__<target>__<entity> in a-z, 0-9 and _, at most {JOB_ID_MAX} characters"
        document.mistake((), "M22", f"'{job_id[:80]}' is not a job id", allowed)


def _check_rivals(path: Path, document: Document) -> None:
    """Two files that a person or another file system takes for one job: neither is loaded."""
    for rival in rivals(path.parent, path.stem):
        if rival != path.name:
            said = f"'{path.stem}' is also the job of include/manifests/{rival}"
            document.mistake((), "M04", said, "one file per job; neither is loaded")


def rivals(folder: Path, stem: str) -> list[str]:
    """Files below a folder whose stems are equal but for case; empty where there is only one."""
    try:
        return _rivals(folder, changed_ns=folder.stat().st_mtime_ns).get(stem.casefold(), [])
    except OSError:
        return []


@lru_cache(maxsize=8)
def _rivals(folder: Path, *, changed_ns: int) -> dict[str, list[str]]:
    """Casefolded stem -> the files that bear it, where there are several; remembered until the folder changes."""
    files: dict[str, list[str]] = defaultdict(list)
    for path in files_below(folder):
        if path.suffix.lower() in FILE_SUFFIXES:
            files[path.stem.casefold()].append(path.relative_to(folder).as_posix())
    return {stem: found for stem, found in files.items() if len(found) > 1}


def files_below(folder: Path) -> Iterator[Path]:
    """All files of a folder and its subfolders but hidden ones: in those, Kubernetes keeps what its links lead to."""
    for path in sorted(folder.rglob("*")):
        if not path.is_dir() and not any(part.startswith(".") for part in path.relative_to(folder).parts[:-1]):
            yield path


def _leads_out(path: Path) -> bool:
    """Whether a link leads out of the file's folder. Inside it links are fine: Kubernetes mounts files that way."""
    return path.is_symlink() and not path.resolve().is_relative_to(path.parent.resolve())


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _hash(*documents: Any) -> str:
    """What the files say to this version, whatever their comments and layout: two workers must agree on it (K10)."""
    said = json.dumps(documents, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(said.encode()).hexdigest()[:16]
