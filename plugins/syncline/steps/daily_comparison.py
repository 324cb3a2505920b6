"""The light look at every job, once a day: counts and checksums, and an alert where they do not match.

A copy that differs is looked at once more, with its fields: which of them differ decides who is told. It is one thing,
whether the day's look or SYNC-008 finds it: both speak of the same alert, and a copy that matches again closes it.
"""

from __future__ import annotations

from dataclasses import replace

from syncline.core.alerts import OF_FIELD, Alert
from syncline.core.job import SyncJob
from syncline.core.record_comparison import ComparisonRequest, ComparisonSummary, Depth
from syncline.core.values import Verdict
from syncline.steps import alerting
from syncline.steps.alerting import DIFFERENCES, UNVERIFIED
from syncline.steps.record_comparison import compare_records
from syncline.steps.sync_008 import CONTROL


def compare_daily(job: SyncJob, request: ComparisonRequest) -> ComparisonSummary:
    """Compare a job, and tell its on-call where the copy is not `matched`.

    Raises:
        SynclineError: No answer; nobody is told, the failed task does that.
    """
    found = compare_records(job, request)
    if found.verdict is Verdict.MISMATCHED and found.depth is not Depth.RECORDS:
        found = compare_records(job, replace(request, depth=Depth.RECORDS))
    if found.verdict is Verdict.MISMATCHED:
        alerting.over(job.id, CONTROL, UNVERIFIED)  # one that matched has closed both kinds when it was recorded
    if found.verdict is not Verdict.MATCHED:
        alerting.tell(_alert(job, found))
    return found


def _alert(job: SyncJob, found: ComparisonSummary) -> Alert:
    if found.verdict is Verdict.UNVERIFIED:
        because = f"the daily comparison proved nothing: {found.reason}; see docs/runbooks/records-differ.md"
        return alerting.alert(job, None, CONTROL, because, kind=UNVERIFIED)
    because = (
        f"the daily comparison found {found.unexcused_rows:,} records that differ without an explanation, of "
        f"{found.identical_rows + found.differing_rows:,}. Look: `syncline diff {job.id}` and "
        f"docs/runbooks/records-differ.md"
    )
    severity = OF_FIELD[found.severity] if found.severity is not None else None
    return alerting.alert(job, None, CONTROL, because, kind=DIFFERENCES, severity=severity)
