"""The manifest: the agreement between the team that owns a source and the team that owns its copy.

A manifest and its mapping make a `SyncJob`; after `load_job` no code asks again whether they are valid. `tenancy`,
`owner` and `sla` cannot be left out (control SYNC-001: no owner, no DAG). Connection ids are names of an
operator's registry, never hosts or secrets.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from syncline.core import strict_yaml
from syncline.core.errors import ManifestInvalid
from syncline.core.findings import Finding, nearest, report
from syncline.core.mapping import Fault, Mapping, Name, Table, Text, Version
from syncline.core.pydantic_places import tell
from syncline.core.strict_yaml import Document
from syncline.core.transforms import Frozen
from syncline.core.values import Mode

JOB_ID = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*(__[a-z][a-z0-9]*(_[a-z0-9]+)*){2}")
JOB_ID_MAX = 48  # `staged.<job>__<batch>` must stay below PostgreSQL's 63 bytes
MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+|[a-z][a-z0-9-]*")
CONNECTIONS_MAX = 64
Model = TypeVar("Model", bound=Frozen)


def _zone(value: str) -> str:
    if value not in available_timezones():
        near = nearest(value, available_timezones())
        raise PydanticCustomError(
            "M08", "'{value}' is not a time zone of the IANA database{near}",
            {"value": value[:60], "near": f". Did you mean '{near}'?" if near else ""},
        )  # fmt: skip
    return value


def _cron(value: str) -> str:
    if len(value.split()) != 5:
        raise PydanticCustomError("M08", "'{value}' is not a cron expression of five fields", {"value": value[:60]})
    from croniter import croniter  # Airflow's own reader of cron expressions

    if not croniter.is_valid(value) or not croniter(value).get_next():
        raise PydanticCustomError("M08", "'{value}' is not a cron expression, or it never runs", {"value": value[:60]})
    return value


def _clock_range(value: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d", value):
        raise PydanticCustomError("M02", "'{value}' is not a time range; write \"02:00-02:40\"", {"value": value[:40]})
    return value


def _contact(value: str) -> str:
    if not MAIL.fullmatch(value):
        raise PydanticCustomError("M02", "'{value}' is no address or role a person answers to", {"value": value[:60]})
    return value


Contact = Annotated[str, AfterValidator(_contact)]


class Owner(Frozen):
    """Who answers: the team, the person on call, and the one in the business whose data it is."""

    team: Contact
    oncall: Contact
    business: Contact


class Tenancy(Frozen):
    """The target column that holds the tenant, or the reason why there is none."""

    column: Name | None = None
    none: Text | None = Field(None, min_length=10)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.column is None) == (self.none is None):
            raise PydanticCustomError("M18", "tenancy is `column: <target column>` or `none: <the reason>`", {})
        return self


class Schedule(Frozen):
    """When the job runs, in which time zone, and the clock ranges in which it must not start."""

    cron: Annotated[str, AfterValidator(_cron)]
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    avoid: tuple[Annotated[str, AfterValidator(_clock_range)], ...] = ()


class Sla(Frozen):
    """Promised age of the copy in seconds, from source change to publication (SYNC-006)."""

    latency_p50_s_max: int = Field(ge=1)
    latency_p99_s_max: int = Field(ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.latency_p50_s_max > self.latency_p99_s_max:
            raise PydanticCustomError("M02", "latency_p50_s_max is above latency_p99_s_max", {})
        return self


class Source(Frozen):
    """What is read. `filter` names the allowed values of columns; `deleted` is a boolean column of the source."""

    connection: Name
    table: Table
    key: tuple[Name, ...] = Field(min_length=1)
    cursor: Name | None = None
    tenant: Name | None = None
    filter: dict[Name, tuple[str | int | bool, ...]] = Field(default_factory=dict)
    deleted: Name | None = None
    connections_max: int = Field(2, ge=1, le=CONNECTIONS_MAX)


class Stamps(Frozen):
    """Target columns that the loader fills: the batch that last wrote the row, and when."""

    batch: Name | None = None
    loaded_at: Name | None = None


class Target(Frozen):
    """What is written and how.

    write: upsert (insert or update by key), append (insert what is missing, never change), replace (afterwards the
    table holds exactly the batch: full runs only).
    on_delete: hard removes the row, soft sets the boolean column `deleted`, ignore keeps it.
    version: target column that orders versions of a row; an older version never wins.
    """

    connection: Name
    table: Table
    key: tuple[Name, ...] = Field(min_length=1)
    write: Literal["upsert", "append", "replace"] = "upsert"
    on_delete: Literal["hard", "soft", "ignore"] = "ignore"
    deleted: Name | None = None
    version: Name | None = None
    stamps: Stamps = Stamps()
    role: Name = "syncline_tenant"
    connections_max: int = Field(2, ge=1, le=CONNECTIONS_MAX)


class Reconcile(Frozen):
    """Limits of SYNC-005: above them the batch is held."""

    mismatch_ratio_max: float = Field(0.001, ge=0, le=1)
    on_breach: Literal["hold"] = "hold"


class Errors(Frozen):
    """What rejected rows mean: above the ratio the batch is held; severity says who is woken."""

    rejected_ratio_max: float = Field(0.01, ge=0, le=1)
    severity: Literal["page", "ticket", "log"] = "ticket"


class Manifest(Frozen):
    """One `include/manifests/<job>.yaml`."""

    version: Version
    description: Annotated[Text, Field(min_length=10)]
    domain: Name
    criticality: Literal["critical", "high", "medium", "low"]
    owner: Owner
    tenancy: Tenancy
    schedule: Schedule
    sla: Sla
    source: Source
    target: Target
    mapping: Name
    reconcile: Reconcile = Reconcile()
    errors: Errors = Errors()
    downstream: tuple[Name, ...] = ()

    def faults(self) -> list[Fault]:
        """Mistakes within the manifest that concern several of its keys."""
        found: list[Fault] = []
        source, target = self.source, self.target
        if self.tenancy.column is not None:
            if self.tenancy.column not in target.key:
                said = f"tenant column '{self.tenancy.column}' is not in target.key: rows of two tenants could meet"
                found.append((("target", "key"), "M18", said, nearest(self.tenancy.column, target.key)))
            if source.tenant is None:
                found.append((("source",), "M18", "`source.tenant` is missing: which column names the tenant?", ""))
            elif source.tenant not in source.key:
                said = f"`source.tenant` '{source.tenant}' is not in source.key"
                found.append((("source", "tenant"), "M18", said, nearest(source.tenant, source.key)))
        if source.deleted is not None and target.on_delete == "soft" and target.deleted is None:
            said = "on_delete: soft needs `target.deleted`, a boolean column"
            found.append((("target", "on_delete"), "M02", said, ""))
        if source.deleted is not None and target.write == "append":
            found.append((("source", "deleted"), "M02", "an append job cannot delete; drop `source.deleted`", ""))
        if target.version is not None and source.cursor is None:
            found.append((("target", "version"), "M02", "`target.version` needs `source.cursor` to order versions", ""))
        return found


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
        for stamped in (target.stamps.batch, target.stamps.loaded_at, target.deleted):
            if stamped is not None and stamped in fields:
                said = f"'{stamped}' is filled by the loader and cannot be mapped too"
                found.append((("target",), "M20", said, ""))
        return found + self._key_faults()

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
    document = strict_yaml.read(path, _shown(path, root))
    _check_id(job_id, document)
    manifest = _model(document, Manifest)
    if manifest is None:
        return None, document.findings
    _add(document, manifest.faults())
    mapping, mapping_findings, mapping_data = examine_mapping(root, manifest.mapping, document)
    if mapping is None:
        return None, [*document.findings, *mapping_findings]
    job = SyncJob(job_id, manifest, mapping, _hash(document.data, mapping_data))
    _add(document, job.faults())
    return job, [*document.findings, *mapping_findings]


def examine_mapping(
    root: Path, name: str, manifest: Document | None = None
) -> tuple[Mapping | None, list[Finding], Any]:
    """Read one mapping document; a missing file is told at the manifest's `mapping` key."""
    folder = root / "include" / "mappings"
    path = folder / f"{name}.yaml"
    if not path.is_file() or path.resolve().parent != folder.resolve():
        if manifest is not None:
            near = nearest(name, (other.stem for other in folder.glob("*.yaml")))
            manifest.mistake(("mapping",), "M17", f"there is no mapping {_shown(path, root)}", "", near)
        return None, [], None
    document = strict_yaml.read(path, _shown(path, root))
    mapping = _model(document, Mapping)
    if mapping is not None:
        _add(document, mapping.faults())
    return mapping, document.findings, document.data


def _model(document: Document, kind: type[Model]) -> Model | None:
    if document.data is None:
        return None
    try:
        return kind.model_validate(document.data)
    except ValidationError as error:
        tell(error, document, kind)
        return None


def _add(document: Document, faults: list[Fault]) -> None:
    for where, code, found, hint in faults:
        is_sentence = " " in hint
        document.mistake(where, code, found, hint if is_sentence else "", "" if is_sentence else hint)


def _check_id(job_id: str, document: Document) -> None:
    if not JOB_ID.fullmatch(job_id) or len(job_id) > JOB_ID_MAX:
        allowed = f"<source>__<target>__<entity> in a-z, 0-9 and _, at most {JOB_ID_MAX} characters"
        document.mistake((), "M22", f"'{job_id[:80]}' is not a job id", allowed)


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _hash(*documents: Any) -> str:
    """What the files say, independent of comments and layout: two workers must agree on it (K10)."""
    said = json.dumps(documents, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(said.encode()).hexdigest()[:16]
