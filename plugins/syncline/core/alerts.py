"""What an alert is, and in which words it is told again to somebody else.

Values only: which channels there are stands in adapters/alerts.py, how long an alert stays open in the ledger.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Literal, Protocol, TypeAlias

from syncline.core import record_comparison

Severity: TypeAlias = Literal["page", "ticket", "log"]
SUMMARY_LENGTH_MAX = 1_000
ESCALATIONS_MAX = 2

# What the severity of a field asks for, where a comparison finds that it differs.
OF_FIELD: dict[record_comparison.Severity, Severity] = {"critical": "page", "medium": "ticket", "low": "log"}


@dataclass(frozen=True)
class Alert:
    """One thing that a person should know. `summary` is a sentence of ids and counts that says what to do.

    Attributes:
        kind: Which of the things that the control can find; with job and control it says what is the same thing.
        escalate_to: Who is told if nobody acts.
        alert_id: Its number in the ledger; None before it is queued.
    """

    job_id: str
    batch_id: int | None
    control: str
    severity: Severity
    oncall: str
    summary: str
    kind: str = ""
    escalate_to: str = ""
    alert_id: int | None = None

    def payload(self) -> dict[str, object]:
        """What leaves the house."""
        told = asdict(self) | {"summary": self.summary[:SUMMARY_LENGTH_MAX]}
        del told["kind"], told["escalate_to"]
        if self.alert_id is None:
            del told["alert_id"]
        return told

    def line(self) -> str:
        """The alert on one line, with nothing in it that would break the line or drive a terminal."""
        return on_one_line(" ".join(f"{name}={value}" for name, value in self.payload().items()))


class Outcome(Enum):
    """What became of one attempt: a sink that is down will refuse the next alert too, a refusal will not."""

    DELIVERED = auto()
    REFUSED = auto()
    SINK_DOWN = auto()


class Sink(Protocol):
    """Somewhere an alert can go. Reports what happened, never raises."""

    def send(self, alert: Alert) -> Outcome: ...


@dataclass(frozen=True)
class OpenAlert:
    """What the ledger knows of an alert that is not over."""

    alert: Alert
    raised_at: datetime
    is_delivered: bool
    seen_times: int
    last_seen_at: datetime | None
    last_summary: str | None
    escalation_level: int


def on_one_line(text: str) -> str:
    """The text with every letter that a line, a header or a terminal would obey replaced."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def escalated(found: OpenAlert, now: datetime, to: str) -> Alert:
    """The next message about an alert that nobody took up: what has happened since, then the words of the first.

    Args:
        to: Who shall be told; empty is whom the alert names, at last the person on call.
    """
    first, number = found.alert, found.alert.alert_id
    said = [f"open for {age(now - found.raised_at)}, acknowledged by nobody"]
    if not found.is_delivered:
        said.append("not delivered to the person on call")
    if found.last_seen_at is not None:
        said.append(f"seen {found.seen_times} times, last {age(now - found.last_seen_at)} ago")
    summary = (
        f"ESCALATED ({found.escalation_level + 1} of {ESCALATIONS_MAX}): alert {number} is {'; '.join(said)}. On call: "
        f"{first.oncall}. Whoever takes it up says `syncline ack {number} --note '...'`. First told: {first.summary}"
    )
    if found.last_summary is not None and found.last_summary != first.summary:
        summary = f"{summary[: SUMMARY_LENGTH_MAX // 2]} Last told: {found.last_summary}"
    return replace(first, oncall=to or first.escalate_to or first.oncall, summary=summary, alert_id=None)


def age(since: timedelta) -> str:
    """A span of time as a person says it: 45 min, 5 h, 3 d."""
    minutes = max(0, int(since.total_seconds() // 60))
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} d"
