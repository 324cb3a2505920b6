"""Raise alerts with the manifest's severity and on-call (SYNC-007), see that they arrive, and that somebody acts.

An alert is queued in the ledger first and delivered afterwards; a channel that is down makes it late, never lost. Who
delivers also looks for alerts that nobody took up in their time, so escalation needs no daemon.
Nothing here may fail a batch.

    SYNCLINE_ALERT_PAGE_MINUTES   how long a page may wait for somebody: 30
    SYNCLINE_ALERT_TICKET_HOURS   the same of a ticket: 48
    SYNCLINE_ALERT_ESCALATION     who is told then; without it the manifest's owner.business
"""

from __future__ import annotations

import logging
import os
from typing import Any

from syncline.adapters import alerts, ledger
from syncline.adapters.failpoints import failpoint
from syncline.core.alerts import Alert, Severity
from syncline.core.errors import SynclineError, TerminalError
from syncline.core.job import SyncJob

PAGE_MINUTES = 30
TICKET_HOURS = 48
UNVERIFIED, DIFFERENCES = "unverified", "differences"  # kinds of SYNC-008: one is over, or worse, without the other
log = logging.getLogger(__name__)


def alert(
    job: SyncJob, batch_id: int | None, control: str, because: str, *, kind: str = "", severity: Severity | None = None
) -> Alert:
    """The alert of a job in the words and under the severity of its manifest.

    Args:
        kind: Which of the things that the control can find; the same one is not told twice while it is open.
        severity: Where what was found decides it, and not the manifest.
    """
    manifest = job.manifest
    return Alert(
        job_id=job.id,
        batch_id=batch_id,
        control=control,
        severity=severity or manifest.errors.severity,
        oncall=manifest.owner.oncall,
        summary=f"{job.id}: {because}",
        kind=kind,
        escalate_to=manifest.owner.business,
    )


def tell(told: Alert) -> None:
    """Queue an alert and try to deliver it; where the ledger is down, deliver it at once. Never raises."""
    try:
        with ledger.opened(f"{told.job_id} alert") as book:
            book.queue_alert(told)
    except SynclineError as error:
        log.error("alert not queued job=%s control=%s error=%s", told.job_id, told.control, type(error).__name__)
        alerts.deliver(told)
        return
    deliver_pending()


def task_failed(job: SyncJob, batch_id: int | None, step: str, error_type: str) -> None:
    """A task gave up after its retries. Never raises: the failure itself is what matters."""
    because = f"task {step} failed with {error_type}; see docs/runbooks/task-failed.md"
    tell(alert(job, batch_id, "SYNC-007", because, kind=f"{step} {error_type}"))


def comparison_failed(job: SyncJob, step: str, error_type: str) -> None:
    """A comparison has no answer: its job is unverified until the next one has. Never raises."""
    because = f"SYNC-008 is unverified: task {step} failed with {error_type}; see docs/runbooks/records-differ.md"
    tell(alert(job, None, "SYNC-008", because, kind=UNVERIFIED))


def over(job_id: str, control: str, kind: str | None = None) -> None:
    """What a control had found of a job is over. Never raises: an alert that stays open is only looked at once more."""
    try:
        with ledger.opened(f"{job_id} alert") as book:
            book.close_alerts(job_id, control, kind)
    except SynclineError as error:
        log.error("alert not closed job=%s control=%s error=%s", job_id, control, type(error).__name__)


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
    """Escalate what is due, and offer all queued alerts to their channels. Never raises.

    Returns:
        How many alerts have now reached every channel that they are meant for.
    """
    try:
        with ledger.opened("alerts") as book:
            book.escalate_overdue(_patience(), os.environ.get("SYNCLINE_ALERT_ESCALATION", "").strip())
            return _deliver(book)
    except SynclineError as error:
        log.error("alerts not delivered error=%s", type(error).__name__)
        return 0


def acknowledge(alert_id: int, *, by: str, note: str) -> dict[str, Any]:
    """A person takes an alert up; both stand in the audit trail.

    Raises:
        TerminalError: Nobody or nothing is said, there is no such alert, or it is over.
    """
    if not by.strip() or not note.strip():
        raise TerminalError(f"alert {alert_id}: who takes it up, and what is done about it? Nothing was done.")
    with ledger.opened("alerts") as book:
        return book.acknowledge_alert(alert_id, by.strip(), note.strip())


def listed() -> list[dict[str, Any]]:
    """The open alerts, and what was only logged in the last week: the weekly review's list."""
    with ledger.opened("alerts") as book:
        return book.listed_alerts()


def _deliver(book: ledger.Ledger) -> int:
    pending = book.pending_alerts()
    if not pending:
        return 0
    channels = alerts.channels_from_environment()
    wanted = {owed.alert_id: set(channels.of(owed.alert.severity)) - owed.taken_by for owed in pending}
    for name, sink in channels.sinks.items():
        owed_here = [(owed.alert_id, owed.alert) for owed in pending if name in wanted[owed.alert_id]]
        if not owed_here:
            continue
        taken = alerts.deliver_pending(owed_here, sink)
        failpoint("alert.sent")
        book.alerts_tried(name, [alert_id for alert_id, _ in owed_here], taken)
        for alert_id in taken:
            wanted[alert_id].discard(name)
    delivered = [alert_id for alert_id, missing in wanted.items() if not missing]
    book.alerts_delivered(delivered)
    return len(delivered)


def _patience() -> dict[Severity, float]:
    """Seconds that an alert may wait for somebody; of what is only logged nobody is told again."""
    return {
        "page": 60 * _number("SYNCLINE_ALERT_PAGE_MINUTES", PAGE_MINUTES),
        "ticket": 3600 * _number("SYNCLINE_ALERT_TICKET_HOURS", TICKET_HOURS),
    }


def _number(variable: str, default: float) -> float:
    """A positive number from the environment; one that is none is told, and the default holds."""
    text = os.environ.get(variable, "").strip()
    try:
        number = float(text) if text else default
    except ValueError:
        number = 0
    if not 0 < number < 1e6:
        log.error("%s is not a positive number; %s holds", variable, default)
        return default
    return number
