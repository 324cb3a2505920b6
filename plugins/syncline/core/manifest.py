"""The manifest: the agreement between the team that owns a source and the team that owns its copy.

A manifest and its mapping make a `SyncJob`; after `load_job` no code asks again whether they are valid. `tenancy`,
`owner` and `sla` cannot be left out (control SYNC-001: no owner, no DAG). Connection ids are names of an
operator's registry, never hosts or secrets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StrictBool, StrictFloat, StrictInt, model_validator
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
ZONE = "[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*"
CLOCK_RANGE = re.compile(f"([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]( {ZONE})?")
# A page that people open: a URL, or a path below the project's root that does not climb out of it.
CONTRACT = re.compile(r"https://[^\s]{1,280}|(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_./-]{0,200}(#[A-Za-z0-9_-]{1,100})?")
CONNECTIONS_MAX = 64
RUN_MINUTES_MAX = 24 * 60
LOCK_TIMEOUT_S = 60  # a table locked for longer is told, not waited for: its owner may be on holiday
LOCK_TIMEOUT_S_MAX = 3600
WINDOW_S_MAX = 31 * 86_400  # whoever waits longer for a row reads everything
LATENCY_S_MAX = 366 * 86_400  # a copy older than a year keeps no promise
PARTS_MAX = 64  # tasks of one run that wait for connections
DELETED_ROWS_MAX = 10**12  # more than any table has


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
    if zone := value.partition(" ")[2]:
        _zone(zone)
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
RunMinutes = Annotated[StrictInt, Field(ge=1, le=RUN_MINUTES_MAX)]
LockTimeoutS = Annotated[StrictInt, Field(ge=1, le=LOCK_TIMEOUT_S_MAX)]
ClockRanges = tuple[
    Annotated[
        ClockRange,
        Field(
            description="From and to, within a day or over midnight; in the schedule's zone, or in one that is named",
            examples=["02:00-02:40", "02:00-02:40 Europe/London"],
        ),
    ],
    ...,
]
DeletedRows = Annotated[StrictInt, Field(ge=0, le=DELETED_ROWS_MAX)]
Parts = Annotated[StrictInt, Field(ge=1, le=PARTS_MAX)]
LatencyS = Annotated[StrictInt, Field(ge=1, le=LATENCY_S_MAX)]
WindowS = Annotated[StrictInt, Field(ge=0, le=WINDOW_S_MAX)]
UNIQUE: dict[str, Any] = {"uniqueItems": True}


def _within(at: str, said: str, run_minutes: int) -> str:
    lasting = f" for {run_minutes} minutes" if run_minutes else ""
    return f"`cron` runs at {at}{lasting}, within the avoided {said}"


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
    """When the job runs, in which time zone, how long, and the clock ranges in which it must not start."""

    cron: Cron = Field(
        description="When it runs: minute, hour, day of month, month, day of week", examples=["15 3 * * *", "0 * * * *"]
    )
    timezone: Zone = Field(
        "UTC", description="Zone of the IANA database in which `cron` and `avoid` are read",
        examples=["UTC", "Europe/London", "Europe/Berlin", "Europe/Zurich", "America/New_York", "Asia/Singapore"],
    )  # fmt: skip
    run_minutes: RunMinutes = Field(
        10,
        description="How long a run is expected to take; nothing is stopped by it, but what it meets is judged by it",
    )
    avoid: ClockRanges = Field(
        (), description="Ranges of the clock in which it must not start; a run that is due then waits for their end",
        examples=[["02:00-02:40"]],
    )  # fmt: skip


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


class ReadingWindow(Frozen):
    """How late a row may appear where a source has no row versions that tell: a view, or a foreign table.

    Each batch reads rows whose cursor is not older than the last batch's clock less both numbers.
    """

    lag_s: WindowS = Field(
        description="Seconds for which a transaction of a writer may stay open: so far the watermark stays behind",
        examples=[300],
    )
    overlap_s: WindowS = Field(
        description="Seconds that are read again before the watermark, for clocks of writers that are slow",
        examples=[3600],
    )


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
    window: ReadingWindow | None = Field(
        None, description="How late rows may appear: needed with a cursor on what has no row versions, such as a view",
        examples=[{"lag_s": 300, "overlap_s": 3600}],
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
    key_set: Literal["never", "full", "every_run"] = Field(
        "never", description="When the keys of both sides are compared, to find rows that the source no longer has",
        json_schema_extra=_meanings(
            never="rows that vanish are not looked for; the counts of SYNC-005 tell that there are some",
            full="in runs that read everything", every_run="in every run but that of a window",
        ),
    )  # fmt: skip
    connections_max: Connections = Field(2, description="Connections at one time, over all jobs of this source")
    parts: Parts = Field(
        1,
        description="Parts that a batch of everything is read in at the same time, by tasks of their own on any worker",
    )
    avoid: ClockRanges = Field(
        (), description="Ranges of the clock in which this system must be left alone: no run may begin, nor still run",
        examples=[["02:00-02:40 Europe/London"]],
    )  # fmt: skip
    lock_timeout_s: LockTimeoutS = Field(
        LOCK_TIMEOUT_S, description="Seconds to wait for a lock; then the try ends, and says who holds it"
    )


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
    side_table: StrictBool = Field(
        False, description="The table may have no column for versions: keep them beside it, in syncline.agreed"
    )
    stamps: Stamps = Stamps()
    role: Name = Field("syncline_tenant", description="Role that writes; row-level security of the target binds it")
    connections_max: Connections = Field(2, description="Connections at one time, over all jobs of this target")
    avoid: ClockRanges = Field(
        (), description="Ranges of the clock in which this system must be left alone: no run may begin, nor still run",
        examples=[["02:00-02:40 Europe/London"]],
    )  # fmt: skip
    lock_timeout_s: LockTimeoutS = Field(
        LOCK_TIMEOUT_S, description="Seconds to wait for a lock; then the try ends, and says who holds it"
    )


class Reconcile(Frozen):
    """Limits of SYNC-005: above them the batch is held."""

    mismatch_ratio_max: Ratio = Field(0.001, description="Share of rows that may differ: 0.001 is 0.1 %")
    on_breach: Literal["hold"] = Field(
        "hold", description="hold: readers keep the last good batch until a person has looked"
    )


class Errors(Frozen):
    """What rejected and deleted rows mean: above a limit the batch is held; severity says who is woken."""

    rejected_ratio_max: Ratio = Field(0.01, description="Share of rows that may be rejected: 0.01 is 1 %")
    deleted_ratio_max: Ratio = Field(
        0.2,
        description="Share of the copy's rows that one batch may delete; above it, and above 5 rows, a person must"
        " approve",
    )
    deleted_rows_max: DeletedRows = Field(
        100_000, description="Rows that one batch may delete, whatever their share; above it a person must approve"
    )
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
    group: Name | None = Field(
        None, description="Jobs of one group are read at one moment and published together, or none of them is",
        examples=["payroll_cut_off"],
    )  # fmt: skip
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
        for key, side in (("schedule", schedule), ("source", self.source), ("target", self.target)):
            for n, said in enumerate(side.avoid):
                minutes = 0 if key == "schedule" else schedule.run_minutes
                if at := self.meets(said, schedule.timezone, minutes):
                    yield (key, "avoid", n), "M08", _within(at, said, minutes), ""
        if skipped := cron.skipped_run(schedule.cron, schedule.timezone):
            said = f"`cron` runs at {skipped:%H:%M}, which {schedule.timezone} skips when its clocks go forward"
            yield ("schedule", "cron"), "M08", said, f"choose another hour: {skipped:%d %B %Y} would have no such time"

    def meets(self, said: str, zone: str, run_minutes: int) -> str | None:
        """The first `hh:mm` at which the job runs within a range, in any season; None without one.

        Args:
            said: A range; zone: its zone, where it names none.
            run_minutes: How long of a run counts; 0 is its beginning alone.
        """
        schedule = self.schedule
        clock_range, zone = cron.in_zone(said, zone)
        return cron.run_within(schedule.cron, clock_range, run_minutes, cron.zone_shifts(zone, schedule.timezone))

    def _delete_faults(self) -> Iterator[Fault]:
        deleted, target = self.source.deleted, self.target
        key_set = self.source.key_set
        if deleted is None and key_set == "never" and target.on_delete != "ignore":
            said = f"on_delete: {target.on_delete} needs to know what is deleted: by a flag, or by comparing keys"
            mend = "name the flag in `source.deleted`, say `source.key_set: full`, or on_delete: ignore"
            yield ("target", "on_delete"), "M02", said, mend
        if key_set != "never" and (target.on_delete == "ignore" or target.write != "upsert"):
            said = f"`key_set: {key_set}` finds rows that nothing is done about"
            yield ("source", "key_set"), "M02", said, "say on_delete: hard or soft, in a job that upserts, or drop it"
        if target.on_delete == "soft" and target.deleted is None:
            yield ("target", "on_delete"), "M02", "on_delete: soft needs `target.deleted`, a boolean column", ""
        if target.on_delete != "soft" and target.deleted is not None:
            said = f"`target.deleted` is never set: on_delete is {target.on_delete}"
            yield ("target", "deleted"), "M02", said, "say on_delete: soft, or drop it"
        if deleted is not None and target.write == "append":
            yield ("source", "deleted"), "M02", "an append job cannot delete; drop `source.deleted`", ""

    def _column_faults(self) -> Iterator[Fault]:
        source, target = self.source, self.target
        if source.window is not None and source.cursor is None:
            yield ("source", "window"), "M02", "`source.window` needs `source.cursor` to say when a row changed", ""
        if target.side_table and (target.version is not None or source.cursor is None):
            said = "`side_table` keeps what `source.cursor` says, where no column of the target does"
            yield (
                ("target", "side_table"),
                "M02",
                said,
                "name the cursor and drop `target.version`, or drop `side_table`",
            )
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
