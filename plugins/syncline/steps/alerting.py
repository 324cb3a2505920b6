"""Raise alerts with the manifest's severity and on-call (SYNC-007), and see that they arrive.

An alert is queued in the ledger first and delivered afterwards; a channel that is down makes it late, never lost.
Nothing here may fail a batch.
"""

from __future__ import annotations

import logging

from syncline.adapters import alerts, ledger
from syncline.adapters.alerts import Alert
from syncline.adapters.failpoints import failpoint
from syncline.core.errors import SynclineError
from syncline.core.job import SyncJob

log = logging.getLogger(__name__)


def alert(job: SyncJob, batch_id: int | None, control: str, because: str) -> Alert:
    """The alert of a job in the words and under the severity of its manifest."""
    manifest = job.manifest
    return Alert(
        job_id=job.id,
        batch_id=batch_id,
        control=control,
        severity=manifest.errors.severity,
        oncall=manifest.owner.oncall,
        summary=f"{job.id}: {because}",
    )


def task_failed(job: SyncJob, batch_id: int | None, step: str, error_type: str) -> None:
    """A task gave up after its retries. Never raises: the failure itself is what matters."""
    because = f"task {step} failed with {error_type}; see docs/runbooks/task-failed.md"
    try:
        with ledger.opened(f"{job.id} alert") as book:
            book.queue_alert(alert(job, batch_id, "SYNC-007", because))
    except SynclineError as error:
        log.error("alert not queued job=%s step=%s error=%s", job.id, step, type(error).__name__)
        alerts.deliver(alert(job, batch_id, "SYNC-007", because))
        return
    deliver_pending()


def tell_down(error: SynclineError) -> None:
    """Deliver the alert that a system is down, if this failure is what opened its circuit breaker. Never raises."""
    if error.down is not None:
        deliver_pending()


def has_told(error: BaseException | None) -> bool:
    """Whether a failure needs no alert of its own: its system counts as down, and one alert told so for all jobs."""
    down = getattr(error, "down", None)
    if down is None:
        return False
    try:
        with ledger.opened("alert") as book:
            return book.is_down(down)
    except SynclineError:
        return False


def deliver_pending() -> int:
    """Offer all queued alerts to the channel; returns how many it took. Never raises."""
    try:
        with ledger.opened("alerts") as book:
            pending = book.pending_alerts()
            if not pending:
                return 0
            delivered = alerts.deliver_pending(pending)
            failpoint("alert.sent")
            book.alerts_tried([alert_id for alert_id, _ in pending], delivered)
            return len(delivered)
    except SynclineError as error:
        log.error("alerts not delivered error=%s", type(error).__name__)
        return 0
