"""The words of a full record comparison (SYNC-008): what two copies of a record can be to each other, and why.

Values only. How records are compared is core/checksums.py and core/equality.py; who compares, and what is done about a
difference, is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal, TypeAlias

from syncline.core.values import Verdict

Severity: TypeAlias = Literal["critical", "medium", "low"]
SEVERITIES: tuple[Severity, ...] = ("critical", "medium", "low")  # the worst first


class Depth(StrEnum):
    """How far a comparison looks: at counts and checksums and the keys behind them, or at every field."""

    CHECKSUMS = "checksums"
    RECORDS = "records"


class RecordClass(StrEnum):
    """What a record is on both sides; `identical` is only counted."""

    IDENTICAL = "identical"
    MISMATCHED = "mismatched"
    MISSING_IN_TARGET = "missing_in_target"
    MISSING_IN_SOURCE = "missing_in_source"
    DUPLICATE_KEY = "duplicate_key"


class Cause(StrEnum):
    """Why a record differs, as far as can be shown; adapters/target/record_statement.py decides which is told."""

    IN_FLIGHT = "in_flight"  # the source changed after the cut-off of the last published batch: the next one brings it
    OVERDUE = "overdue"  # the same, but longer ago than the manifest's SLA promises
    HELD_BATCH = "held_batch"  # a batch that was held has read it, and did not write it
    DEAD_LETTER = "dead_letter"  # the row was rejected and waits
    CONFLICT_KEPT = "conflict_kept"  # the target's version is newer, or the manifest never changes a row
    FILTERED = "filtered"  # the source has it, and the manifest's filter leaves it out
    DELETED_AT_SOURCE = "deleted_at_source"  # we wrote it; the source has it no longer, or flags it deleted
    FOREIGN_WRITE = "foreign_write"  # another hand than Syncline wrote the target's row last
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class ComparisonRequest:
    """What a person or the scheduler asked to be compared.

    Attributes:
        run_key: Identity of the run (Airflow's run id, or the shell's); asked again, an unfinished comparison goes on.
        control: The control that it is evidence for: SYNC-008, or empty.
        is_scheduled: Whether nobody asked for it by hand: drift that it finds was found by automation.
        sample_ratio: Share of the keys that is compared, above 0 and below 1; None compares all.
        tenants: Only these; None is every tenant of the job.
    """

    run_key: str
    depth: Depth = Depth.RECORDS
    control: str = ""
    is_scheduled: bool = False
    sample_ratio: float | None = None
    tenants: tuple[str, ...] | None = None


@dataclass(frozen=True)
class RecordCount:
    """How many records of a tenant are the same thing for the same reason.

    Attributes:
        columns: Which fields differ, of `mismatched` at depth records; else empty.
        is_excused: Expected, and told elsewhere: it does not count against the match ratio.
    """

    tenant_id: str
    record_class: RecordClass
    cause: Cause | None
    severity: Severity | None
    is_excused: bool
    rows: int
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class DifferingRecord:
    """One record that differs, by its key: the only values of a row that a comparison keeps.

    Attributes:
        target_key: As text, in manifest order.
        key_hash: Of the key, as core/checksums.py makes it.
    """

    tenant_id: str
    target_key: tuple[str | None, ...]
    key_hash: int
    record_class: RecordClass
    cause: Cause
    severity: Severity
    is_excused: bool
    columns: tuple[str, ...]


@dataclass(frozen=True)
class ComparisonSummary:
    """What is told about a comparison: ids, counts and ratios, fit for XCom, logs and reports.

    Attributes:
        identical_rows ... duplicate_rows: Keys by class; each key counts once.
        excused_rows: Of those that are not identical, the expected ones.
        raw_match_ratio: Identical keys of all keys; None where there was none.
        match_ratio: The same, excused ones left out of the differences.
        severity: The worst of what is not excused; None without any.
        sample_ratio, confidence: Of a sample: its share, and how sure it is that at most one row in a thousand differs
            after what was found, 0 to 1.
        reason: Why it is unverified.
    """

    comparison_id: int
    job_id: str
    depth: Depth
    verdict: Verdict
    source_rows: int = 0
    target_rows: int = 0
    identical_rows: int = 0
    mismatched_rows: int = 0
    missing_in_target_rows: int = 0
    missing_in_source_rows: int = 0
    duplicate_rows: int = 0
    excused_rows: int = 0
    raw_match_ratio: float | None = None
    match_ratio: float | None = None
    severity: Severity | None = None
    source_as_of: datetime | None = None
    sample_ratio: float | None = None
    confidence: float | None = None
    reason: str = ""

    @property
    def differing_rows(self) -> int:
        return self.mismatched_rows + self.missing_in_target_rows + self.missing_in_source_rows + self.duplicate_rows

    @property
    def unexcused_rows(self) -> int:
        return self.differing_rows - self.excused_rows

    def as_dict(self) -> dict[str, object]:
        told = asdict(self)
        told["source_as_of"] = self.source_as_of.isoformat() if self.source_as_of else None
        return told


def worst(severities: Iterable[Severity | None]) -> Severity | None:
    """The worst of several; None where none was said."""
    said = set(severities)
    return next((severity for severity in SEVERITIES if severity in said), None)


def percent_digits(ratio: float) -> str:
    """A ratio in percent, to four decimals; never rounded up to all of it: 0.9999999 is 99.9999."""
    digits = f"{100 * ratio:.4f}"
    return "99.9999" if ratio < 1 and digits == "100.0000" else digits
