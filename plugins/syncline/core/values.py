"""The words that steps, ledger and reports share: modes, verdicts, counts and the balance of a batch.

Values only: they check themselves and add up. Who counts is decided elsewhere; the loader's own numbers and
the reconciler's independent ones meet in the same classes so that they can be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from enum import StrEnum

TOTAL = "*"  # the tenant id under which reports show the sum of all tenants
NO_TENANT = ""  # the tenant id of jobs whose tenancy is none
# What becomes of a staged row.
OUTCOMES = ("inserted_rows", "updated_rows", "deleted_rows", "unchanged_rows", "superseded_rows", "conflicted_rows")


class Mode(StrEnum):
    """What a run reads: the delta since the watermark, everything, one interval of its cursor, or single keys."""

    INCREMENTAL = "incremental"
    FULL = "full"
    WINDOW = "window"
    REPAIR = "repair"

    @property
    def answers_for_itself(self) -> bool:
        """Whether a batch is judged by the rows that it brought alone, and moves no watermark."""
        return self in (Mode.WINDOW, Mode.REPAIR)


class Verdict(StrEnum):
    """What a check proved. Only `matched` opens the gate; a check that saw nothing is `unverified`."""

    MATCHED = "matched"
    MISMATCHED = "mismatched"
    UNVERIFIED = "unverified"

    @property
    def ok(self) -> bool:
        return self is Verdict.MATCHED

    @classmethod
    def worst(cls, verdicts: Iterable[Verdict]) -> Verdict:
        """The verdict of several checks: no check at all is `unverified`."""
        seen = set(verdicts)
        if cls.MISMATCHED in seen:
            return cls.MISMATCHED
        return cls.MATCHED if seen == {cls.MATCHED} else cls.UNVERIFIED


class State(StrEnum):
    """How far a batch came. `published`, `held`, `abandoned` and `dry_run` are final."""

    OPEN = "open"
    EXTRACTED = "extracted"
    LOADED = "loaded"
    RECONCILED = "reconciled"
    PUBLISHED = "published"
    HELD = "held"
    ABANDONED = "abandoned"
    DRY_RUN = "dry_run"

    @property
    def is_final(self) -> bool:
        return self in (State.PUBLISHED, State.HELD, State.ABANDONED, State.DRY_RUN)


@dataclass(frozen=True)
class RunRequest:
    """What a person or the scheduler asked one run of a job to do.

    Attributes:
        run_key: Identity of the run (Airflow's run id, or the shell's); a retried task asks under the same key.
        mode: None lets the job decide: incremental where the source has a cursor, full where it has none.
        tenants: Only these tenants; None is every tenant of the job.
        window: [from, to) of the cursor column, aware datetimes; needed by mode `window` and by backfills.
        take_over: Whether a batch of another run that is under way may be abandoned. The scheduler may, because it lets
            one run go at a time; a person at a shell has to say so.
        is_backfill: A backfill reads its window and leaves the watermark; a job that can only read everything reads
            everything, and the watermark moves forward as after any full run.
        approve_deletes: The batch that was held because it would delete much: this run may delete as many rows.
        repairs: The approved repair whose keys are read, by mode `repair` alone.
        accept_source: The source is another one than the last batch read, and that is right: full runs with a reason.
    """

    run_key: str
    mode: Mode | None = None
    tenants: tuple[str, ...] | None = None
    dry_run: bool = False
    reason: str = ""
    window: tuple[datetime, datetime] | None = None
    is_backfill: bool = False
    take_over: bool = True
    accept_source: bool = False
    approve_deletes: int | None = None
    repairs: int | None = None


@dataclass(frozen=True)
class Counts:
    """Rows of one batch by outcome, >= 0. Adds up; checks law 1.

    extracted = staged + rejected; staged = inserted + updated + deleted + unchanged + superseded + conflicted.
    Rows of ranges that were compared and found equal count as extracted, staged and unchanged. removed_rows stand
    outside: rows of the copy that the source no longer has, so no batch could extract them.
    """

    extracted_rows: int = 0
    rejected_rows: int = 0
    staged_rows: int = 0
    inserted_rows: int = 0
    updated_rows: int = 0
    deleted_rows: int = 0
    unchanged_rows: int = 0
    superseded_rows: int = 0
    conflicted_rows: int = 0
    removed_rows: int = 0

    def __post_init__(self) -> None:
        negative = [item.name for item in fields(self) if getattr(self, item.name) < 0]
        if negative:
            raise ValueError(f"counts cannot be negative: {negative}; drivers report -1 for unknown, not for zero")

    def __add__(self, other: Counts) -> Counts:
        mine, theirs = asdict(self), asdict(other)
        return Counts(**{name: mine[name] + theirs[name] for name in mine})

    @property
    def settled_rows(self) -> int:
        """Staged rows whose outcome is known."""
        return sum(getattr(self, name) for name in OUTCOMES)

    @property
    def changed_rows(self) -> int:
        """Rows of the target that the batch wrote."""
        return self.inserted_rows + self.updated_rows + self.gone_rows

    @property
    def gone_rows(self) -> int:
        """Rows that readers no longer see: flagged at the source, or no longer there."""
        return self.deleted_rows + self.removed_rows

    def sums(self) -> list[str]:
        """Law 1 in numbers: `extracted 8 = staged 7 + rejected 1`; `<>` where it does not hold, as before a load."""
        return [_sum(self, "extracted_rows", ("staged_rows", "rejected_rows")), _sum(self, "staged_rows", OUTCOMES)]

    def imbalance(self) -> str | None:
        """Say in one sentence which of the two sums does not hold; None when rows are conserved."""
        if self.extracted_rows != self.staged_rows + self.rejected_rows:
            return (
                f"extracted {self.extracted_rows} rows are not staged {self.staged_rows}"
                f" + rejected {self.rejected_rows}"
            )
        if self.staged_rows != self.settled_rows:
            return f"staged {self.staged_rows} rows, but outcomes are known for {self.settled_rows}"
        return None


def _sum(counts: Counts, whole: str, parts: Iterable[str]) -> str:
    told = {name: getattr(counts, name) for name in parts}
    terms = " + ".join(f"{name.removesuffix('_rows')} {rows:,}" for name, rows in told.items() if rows)
    rows = getattr(counts, whole)
    return f"{whole.removesuffix('_rows')} {rows:,} {'=' if rows == sum(told.values()) else '<>'} {terms or '0'}"


@dataclass(frozen=True)
class Balance:
    """The counts of one batch per tenant; the total is their sum, never a number of its own."""

    tenants: Mapping[str, Counts] = field(default_factory=dict)

    @property
    def total(self) -> Counts:
        return sum(self.tenants.values(), Counts())

    def imbalance(self) -> str | None:
        """The first tenant whose rows are not conserved, in words; None when all are."""
        for tenant_id, counts in sorted(self.tenants.items()):
            if said := counts.imbalance():
                return f"tenant {tenant_id or '(none)'}: {said}"
        return None

    @classmethod
    def unchanged(cls, rows: Mapping[str, int]) -> Balance:
        """Rows per tenant that were compared and found equal: they count as staged, though none was moved."""
        return cls({t: Counts(extracted_rows=n, staged_rows=n, unchanged_rows=n) for t, n in rows.items() if n})

    def merged(self, other: Balance) -> Balance:
        """Both balances added per tenant: extraction's counts and the load's."""
        ids = {*self.tenants, *other.tenants}
        return Balance({t: self.tenants.get(t, Counts()) + other.tenants.get(t, Counts()) for t in ids})


@dataclass(frozen=True)
class CutOff:
    """The point up to which a batch read its source, fixed by one snapshot.

    Attributes:
        snapshot: `pg_current_snapshot()` of the extracting transaction, as text.
        cursor_floor: Rows changed by transactions that were still open then bear, as a rule, no earlier time: the next
            batch looks for changed rows from here on by the cursor's index, and counts whether others hide below.
            Where a source has no row versions, the declared lag behind its clock. None in ledgers of old.
        source_as_of: The source's clock at the snapshot.
        source_max_at: Newest value of the cursor column among the rows read; None without rows or cursor.
    """

    snapshot: str
    cursor_floor: datetime | None
    source_as_of: datetime
    source_max_at: datetime | None = None


@dataclass(frozen=True)
class Lower:
    """Where an incremental batch begins: the watermark as it stood when the batch was opened."""

    snapshot: str
    cursor_floor: datetime | None


@dataclass(frozen=True)
class Difference:
    """How both sides were compared before a batch was staged, in ranges of their keys' hashes.

    Attributes:
        bits: Bits of the hash that tell a range's number.
        compared_ranges: How many there were. differing_ranges: How many of them differ, and were read.
        equal_rows: Rows of the source in the others.
    """

    bits: int
    compared_ranges: int
    differing_ranges: int
    equal_rows: int


@dataclass(frozen=True)
class Repair:
    """The keys of an approved repair, by the hashes that core/checksums.py makes.

    Attributes:
        with_critical: Critical and financial fields may be written; else a row of which they differ is left as it is.
    """

    send: tuple[int, ...]
    delete: tuple[int, ...]
    with_critical: bool = False


@dataclass(frozen=True)
class Batch:
    """One batch as the ledger knows it. `epoch` is this attempt's: an older one is fenced at the target.

    Attributes:
        difference: None where everything owed was staged without comparing first.
        approved_deletes: How many rows a person allowed this batch to delete, above the manifest's limits.
        repair: Of mode repair: hashes of the keys that are read, and of those that may be deleted.
    """

    batch_id: int
    job_id: str
    run_key: str
    mode: Mode
    state: State
    epoch: int
    is_dry_run: bool = False
    tenants: tuple[str, ...] | None = None
    reason: str = ""
    window: tuple[datetime, datetime] | None = None
    lower: Lower | None = None
    upper: CutOff | None = None
    manifest_hash: str = ""
    verdict: Verdict = Verdict.UNVERIFIED
    held_because: str | None = None
    accepts_source: bool = False
    difference: Difference | None = None
    approved_deletes: int | None = None
    repair: Repair | None = None

    @property
    def moves_watermark(self) -> bool:
        """Only a batch that read everything owed may say so: no window, no subset of tenants, no dry run."""
        return not self.mode.answers_for_itself and self.tenants is None and not self.is_dry_run


@dataclass(frozen=True)
class BatchSummary:
    """What is told about a finished batch: ids and counts only, fit for XCom, assets and logs."""

    job_id: str
    batch_id: int
    mode: Mode
    state: State
    verdict: Verdict
    counts: Counts
    tenants: int
    source_as_of: datetime | None

    def as_dict(self) -> dict[str, object]:
        told = {**asdict(self), **asdict(self.counts)}
        del told["counts"]
        told["balance"] = "; ".join(self.counts.sums())
        told["source_as_of"] = self.source_as_of.isoformat() if self.source_as_of else None
        return told


@dataclass(frozen=True)
class KeyCheck:
    """What became of the keys that a batch brought: each was looked up in the target after the load.

    Attributes:
        brought_rows: Staged and not rejected.
        missing_rows: Of those, living ones that the target does not show.
        extra_rows: Of those, deleted ones that the target still shows, unless its row is newer.
    """

    brought_rows: int = 0
    missing_rows: int = 0
    extra_rows: int = 0


@dataclass(frozen=True)
class TenantCheck:
    """One line of SYNC-005: a tenant's rows on both sides as of the cut-off, and the keys of its batch.

    Missing and extra rows do not cancel as far as keys can tell them apart: counts alone see only that a tenant has so
    many rows too few or too many, the batch's own keys say which of them are not there. What they tell are the smallest
    numbers that explain both: expected + extra = target + missing.

    Attributes:
        excused_rows: Source rows that wait in dead letters and have no row in the target.
        keys: None where the staging table was lost, so that nobody can look them up.
    """

    tenant_id: str
    source_rows: int
    excused_rows: int
    target_rows: int
    keys: KeyCheck | None = None

    @property
    def expected_rows(self) -> int:
        return self.source_rows - self.excused_rows

    @property
    def missing_rows(self) -> int:
        """Rows that the target lacks, at least."""
        keys = self.keys or KeyCheck()
        return max(keys.missing_rows, self.expected_rows - self.target_rows + keys.extra_rows)

    @property
    def extra_rows(self) -> int:
        """Rows that the target has too many, at least."""
        return self.missing_rows - (self.expected_rows - self.target_rows)

    @property
    def difference_rows(self) -> int:
        return self.missing_rows + self.extra_rows

    @property
    def mismatch_ratio(self) -> float:
        """Of all rows of the tenant, or of those that its batch brought: whichever is worse."""
        keys = self.keys or KeyCheck()
        of_batch = (keys.missing_rows + keys.extra_rows) / max(keys.brought_rows, 1)
        return max(self.difference_rows / max(self.source_rows, 1), of_batch)
