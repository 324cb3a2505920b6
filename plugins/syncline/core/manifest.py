"""The manifest: the agreement between the team that owns a source and the team that owns its copy.

A manifest and its mapping make a `SyncJob`; after `load_job` no code asks again whether they are valid. `tenancy`,
`owner` and `sla` cannot be left out (control SYNC-001: no owner, no DAG). Connection ids are names of an
operator's registry, never hosts or secrets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StrictFloat, StrictInt, model_validator
from pydantic_core import PydanticCustomError

from syncline.core import cron
from syncline.core.files.findings import nearest
from syncline.core.mapping import Fault
from syncline.core.models import NAME, Frozen, Name, Sentence, Table, Version
from syncline.core.references import Day
from syncline.core.transforms import Scalar

JOB_ID = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*(__[a-z][a-z0-9]*(_[a-z0-9]+)*){2}")
JOB_ID_MAX = 48  # `staged.<job>__<batch>` must stay below PostgreSQL's 63 bytes
MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+|[a-z][a-z0-9-]*")
MAIL_MAX = 254  # RFC 5321
CLOCK_RANGE = re.compile("([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]")
# A page that people open: a URL, or a path below the project's root that does not climb out of it.
CONTRACT = re.compile(r"https://[^\s]{1,280}|(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_./-]{0,200}(#[A-Za-z0-9_-]{1,100})?")
CONNECTIONS_MAX = 64
LATENCY_S_MAX = 366 * 86_400  # a copy older than a year keeps no promise


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
    none: Sentence | None = Field(
        None, description="Why the rows belong to no tenant",
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
    description: Sentence = Field(
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
        examples=["docs/contracts/master-data.md#mdm__payroll__worker", "https://contracts.example.org/payroll/worker"],
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
            yield ("target", "on_delete"), "M02", said, "name it in `source.deleted`, or say on_delete: ignore"
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
                yield ("target",), "M20", f"two values would go into target column '{column}'", "name two columns"
