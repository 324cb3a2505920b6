"""A run of a control over several jobs (SYNC-008): what was compared, what that proves, and who signed it.

Values only. A control run is drafted with its verdict and report, then signed or refused by the control's owner, once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import cached_property

from syncline.core.record_comparison import (
    ComparisonSummary,
    RecordClass,
    RecordCount,
    Severity,
    percent_digits,
    worst,
)
from syncline.core.values import TOTAL, Verdict

NAMED_MAX = 3  # jobs in a sentence; the report names all


class ControlState(StrEnum):
    """How far a control run came. `signed` and `refused` are final."""

    JUDGING = "judging"
    DRAFTED = "drafted"
    SIGNED = "signed"
    REFUSED = "refused"

    @property
    def is_final(self) -> bool:
        return self in (ControlState.SIGNED, ControlState.REFUSED)


@dataclass(frozen=True)
class ControlRun:
    """What is told about a control run: ids, counts and ratios, fit for XCom and logs.

    Attributes:
        match_ratio: The lowest of its jobs, excused differences left out; None where nothing was compared.
        summary: One sentence for its owner.
        html_path, csv_path: The report, below the folder that Syncline writes to (project.var()).
        sha256: Of the HTML, which names that of the CSV: what is signed.
    """

    control_run_id: int
    verdict: Verdict
    job_ids: tuple[str, ...]
    match_ratio: float | None
    summary: str
    html_path: str
    csv_path: str
    sha256: str


@dataclass(frozen=True)
class Kept:
    """A report as it was written: where, below the folder that Syncline writes to, and what it hashed to."""

    html_path: str
    html_sha256: str
    csv_path: str
    csv_sha256: str


@dataclass(frozen=True)
class Decision:
    """What the owner of a control said about its report."""

    state: ControlState
    signer: str
    note: str
    decided_at: datetime


@dataclass(frozen=True)
class Compared:
    """A job's comparison as evidence: nothing is believed that the counts do not show.

    Attributes:
        summary: None where the job was not compared in this run.
        target_as_of: The target's clock at its snapshot.
        published_batch_id: The batch whose copy was compared.
        tenants_asked: None where all of the job's were compared.
    """

    job_id: str
    summary: ComparisonSummary | None = None
    counts: tuple[RecordCount, ...] = ()
    target_as_of: datetime | None = None
    published_batch_id: int | None = None
    tenants_asked: tuple[str, ...] | None = None

    @cached_property
    def unproven(self) -> str:
        """Why this comparison proves nothing, in words; '' where it does."""
        if self.summary is None:
            return "it was not compared in this run"
        if self.summary.verdict is Verdict.UNVERIFIED:
            return self.summary.reason or "the comparison ended without a verdict"
        if self.total.compared_rows == 0:
            return "no record was found on either side"
        if self.unaccounted_rows:
            return "its counts by class do not add up to its totals"
        return ""

    @property
    def is_whole(self) -> bool:
        """Whether every record of every tenant was looked at."""
        return self.summary is not None and self.summary.sample_ratio is None and self.tenants_asked is None

    @cached_property
    def total(self) -> RecordTally:
        """All records of the job; the identical ones as the comparison counted them under its snapshots."""
        identical_rows = self.summary.identical_rows if self.summary is not None else 0
        return replace(RecordTally.of(self.counts), identical_rows=identical_rows)

    @cached_property
    def tenants(self) -> dict[str, RecordTally]:
        """Tenant -> its records, sorted; nothing of a sample, whose identical records are known in total only."""
        counts: dict[str, list[RecordCount]] = {}
        for count in self.counts:
            counts.setdefault(count.tenant_id, []).append(count)
        if TOTAL in counts:
            return {}
        return {tenant: RecordTally.of(counts[tenant]) for tenant in sorted(counts)}

    @property
    def unaccounted_rows(self) -> int:
        """How far what the comparison says of itself is from what it counted by class and cause."""
        if self.summary is None:
            return 0
        said, counted = self.summary, RecordTally.of(self.counts)
        return (
            abs(said.identical_rows - counted.identical_rows)
            + abs(said.differing_rows - counted.differing_rows)
            + abs(said.excused_rows - counted.excused_rows)
        )


@dataclass(frozen=True)
class RecordTally:
    """Records of a job or of one of its tenants, each key once. >= 0.

    Attributes:
        excused_rows: Of those that differ, the expected ones.
        unexcused: Severity -> the others.
    """

    identical_rows: int
    differing_rows: int
    excused_rows: int
    unexcused: dict[Severity | None, int]

    @classmethod
    def of(cls, counts: Iterable[RecordCount]) -> RecordTally:
        identical_rows = differing_rows = excused_rows = 0
        unexcused: dict[Severity | None, int] = {}
        for count in counts:
            if count.record_class is RecordClass.IDENTICAL:
                identical_rows += count.rows
                continue
            differing_rows += count.rows
            if count.is_excused:
                excused_rows += count.rows
            else:
                unexcused[count.severity] = unexcused.get(count.severity, 0) + count.rows
        return cls(identical_rows, differing_rows, excused_rows, unexcused)

    @property
    def compared_rows(self) -> int:
        return self.identical_rows + self.differing_rows

    @property
    def unexcused_rows(self) -> int:
        return self.differing_rows - self.excused_rows

    @property
    def severity(self) -> Severity | None:
        """The worst of what is not excused. One without a severity is taken for the worst: nobody judged it."""
        said = {severity or "critical" for severity, rows in self.unexcused.items() if rows}
        return worst(said)

    @property
    def critical_rows(self) -> int:
        return self.unexcused.get("critical", 0) + self.unexcused.get(None, 0)

    def holds(self, match_ratio_min: float) -> bool:
        """Whether as many records match as asked, and none differs unexplained in a critical field."""
        return self.match_ratio is not None and self.match_ratio >= match_ratio_min and self.critical_rows == 0

    @property
    def raw_match_ratio(self) -> float | None:
        """Identical records of all; None without any."""
        return self.identical_rows / self.compared_rows if self.compared_rows else None

    @property
    def match_ratio(self) -> float | None:
        """The same, excused differences counted as expected."""
        return (self.compared_rows - self.unexcused_rows) / self.compared_rows if self.compared_rows else None


def percent(ratio: float | None) -> str:
    """A ratio for people, never rounded up to all of it: 0.9999999 is 99.9999 %."""
    if ratio is None:
        return "none"
    whole, _, rest = percent_digits(ratio).partition(".")
    return f"{whole}.{rest[:2]}{rest[2:].rstrip('0')} %"


def lowest_ratio(compared: Iterable[Compared]) -> float | None:
    """The lowest match ratio of the jobs whose comparison proved something."""
    ratios = [one.total.match_ratio for one in compared if not one.unproven]
    return min((ratio for ratio in ratios if ratio is not None), default=None)


def sentence(compared: Sequence[Compared], verdict: Verdict, *, match_ratio_min: float, reason: str = "") -> str:
    """What a control run found, for its owner: ids, counts and ratios.

    Args:
        reason: Why nothing was judged at all; empty where it was.
    """
    if reason:
        return f"Nothing is proven: {reason}."
    if verdict is Verdict.MATCHED:
        return _matched(compared)
    failing = [_differing(one) for one in compared if not one.unproven and not one.total.holds(match_ratio_min)]
    unproven = [f"{one.job_id} ({one.unproven})" for one in compared if one.unproven]
    said = []
    if failing:
        said.append(f"{_share(failing, compared)} not as agreed: {_first(failing)}.")
    if unproven:
        said.append(f"{_share(unproven, compared)} unverified: {_first(unproven)}.")
    return " ".join(said) or f"One of the checks does not hold for {_jobs(len(compared))}; see below."


def _matched(compared: Sequence[Compared]) -> str:
    rows = sum(one.total.compared_rows for one in compared)
    unexcused_rows = sum(one.total.unexcused_rows for one in compared)
    share = percent(lowest_ratio(compared))
    lowest = f"of each at least {share}" if len(compared) > 1 else share
    return (
        f"The records of {_jobs(len(compared))} match as agreed, {lowest}: {unexcused_rows:,} of {rows:,} records "
        f"differ without an explanation, none in a critical field.{_parts(compared)}"
    )


def _parts(compared: Sequence[Compared]) -> str:
    partly = [one.job_id for one in compared if not one.is_whole]
    return f" Only a part was compared, by a sample or of some tenants, of {_first(partly)}." if partly else ""


def _differing(one: Compared) -> str:
    total = one.total
    return (
        f"{one.job_id} ({percent(total.match_ratio)} match; {total.unexcused_rows:,} of {total.compared_rows:,} "
        f"records differ without an explanation, {total.critical_rows:,} in a critical field)"
    )


def _share(some: list[str], compared: Sequence[Compared]) -> str:
    return f"{len(some)} of {_jobs(len(compared))} {'is' if len(some) == 1 else 'are'}"


def _jobs(number: int) -> str:
    return f"{number} job{'s' if number != 1 else ''}"


def _first(said: list[str]) -> str:
    more = f" and {len(said) - NAMED_MAX} more" if len(said) > NAMED_MAX else ""
    return f"{', '.join(said[:NAMED_MAX])}{more}"
