"""Alerts in the ledger: queued until a channel has taken them, open until the thing is over.

One row is one thing: job, control and kind. Told again while it is open, it counts and nobody is told again; told more
loudly, or after a week of silence, it is a new thing. Left open and unacknowledged it escalates: a message about it,
in a row of its own, goes the same way as the alert went. A channel that is down makes all of them late, never lost.

A change locks its alerts first and writes the audit trail last: that order keeps writers out of each other's way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, LiteralString, NamedTuple, cast

from psycopg import sql
from psycopg.types.json import Jsonb

from syncline.adapters.ledger.session import LedgerSession
from syncline.core.alerts import ESCALATIONS_MAX, Alert, OpenAlert, Severity, escalated
from syncline.core.errors import TerminalError

# What the batch line tells of is over once its batches are published, or covered by one that is.
CONTROLS_OF_LINE = ("SYNC-005", "SYNC-007", "rejected-rows", "mass-delete", "group")
SYSTEM = "system "  # begins the kind of an alert about a system; it is over when the breaker closes, not with a batch
SILENT_DAYS = 7  # what was not seen for so long is told anew: nobody remembers the first
REVIEW_DAYS = 7  # how far back the list looks for what was only logged
LOUDNESS: tuple[Severity, ...] = ("log", "ticket", "page")

# Due: nobody told of it, or told again, has done anything for its time. A message that is not out yet is waited for.
OVERDUE = """
select alert_id, job_id, batch_id, control, kind, severity, oncall, escalate_to, summary,
       raised_at, delivered_at is not null as is_delivered, seen_times, last_seen_at, last_summary,
       escalation_level, clock_timestamp() as now
from ledger.alert as open
where closed_at is null and acknowledged_at is null and escalates is null and escalation_level < %s
  and case escalation_level when 0 then coalesce(delivered_at, raised_at)
      else (select delivered_at from ledger.alert as message where message.escalates = open.alert_id
            order by alert_id desc limit 1) end
      < clock_timestamp() - make_interval(secs => (%s::jsonb ->> severity)::float8)
order by alert_id limit 100 for update of open skip locked
"""
PENDING = """
select alert_id, job_id, batch_id, control, kind, severity, oncall, escalate_to, taken_by,
       concat(summary, ' (over since ' || to_char(closed_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC)')
           as summary
from ledger.alert
where delivered_at is null and (escalates is null or closed_at is null)
order by alert_id limit 1000
"""
LISTED = """
select alert_id, job_id, control, kind, severity, oncall, batch_id, last_batch_id, seen_times, raised_at,
       coalesce(last_seen_at, raised_at) as last_seen_at, delivered_at, escalation_level, acknowledged_at,
       acknowledged_by, acknowledged_note, closed_at, summary, last_summary
from ledger.alert
where escalates is null and (closed_at is null
    or severity = 'log' and coalesce(last_seen_at, raised_at) > clock_timestamp() - make_interval(days => %s))
order by array_position(%s, severity) desc, alert_id
"""


class Owed(NamedTuple):
    """An alert that is not delivered yet, and the channels that have taken it already."""

    alert_id: int
    alert: Alert
    taken_by: frozenset[str]


class Alerts(LedgerSession):
    """The queue of alerts, and which of them are open."""

    def queue_alert(self, alert: Alert) -> None:
        """Tell of a thing; while it is open this only counts."""
        with self._doing(alert.job_id, "queueing an alert"):
            self._queue(alert)

    def close_alerts(self, job_id: str, control: str, kind: str | None = None) -> None:
        """Say that a thing is over."""
        with self._doing(job_id, "closing alerts"):
            self._close(
                "job_id = %s and control = %s and kind = coalesce(%s, kind)", [job_id, control, kind], "it is over"
            )

    def acknowledge_alert(self, alert_id: int, by: str, note: str) -> dict[str, Any]:
        """A person takes a thing up: it is escalated no more.

        Raises:
            TerminalError: There is no such alert, or it is over.
        """
        with self._doing("alerts", "acknowledging an alert"):
            found = self._one(
                "select * from ledger.alert where alert_id ="
                " (select coalesce(escalates, alert_id) from ledger.alert where alert_id = %s) for update",
                alert_id,
            )
            if found is None:
                raise TerminalError(f"the ledger has no alert {alert_id}; `syncline alerts` lists the open ones")
            if found["closed_at"] is not None:
                raise TerminalError(
                    f"alert {found['alert_id']} of {found['job_id']} is over since {found['closed_at']:%Y-%m-%d %H:%M} "
                    f"UTC. Nothing was done."
                )
            self._session.execute(
                "update ledger.alert set acknowledged_at = clock_timestamp(), acknowledged_by = %s,"
                " acknowledged_note = %s where alert_id = %s",
                [by, note, found["alert_id"]],
            )
            self._withdraw([found["alert_id"]])
            detail = {"alert": found["alert_id"], "by": by, "note": note}
            self._audit(found["job_id"], found["batch_id"], "alert_acknowledged", detail)
            return found

    def escalate_overdue(self, after_s: Mapping[Severity, float], to: str) -> None:
        """Queue a message about each alert that nobody took up in its time."""
        with self._doing("alerts", "escalating"):
            rows = self._session.execute(OVERDUE, [ESCALATIONS_MAX, Jsonb(dict(after_s))]).fetchall()
            found = [_open_alert(row) for row in rows]
            for one, row in zip(found, rows, strict=True):
                self._escalate(one, row["now"], to)
            for one in found:
                detail = {"alert": one.alert.alert_id, "level": one.escalation_level + 1}
                self._audit(one.alert.job_id, one.alert.batch_id, "alert_escalated", detail)

    def pending_alerts(self) -> list[Owed]:
        """Alerts and messages that not all of their channels have taken yet, oldest first.

        What is over by now is told all the same, with a word about it: it did happen.
        """
        rows = self._all(PENDING)
        return [Owed(row["alert_id"], taken_by=frozenset(row.pop("taken_by")), alert=Alert(**row)) for row in rows]

    def alerts_tried(self, channel: str, tried: Sequence[int], taken: Sequence[int]) -> None:
        """Record which alerts were offered to a channel and which it took."""
        with self._doing("alerts", "recording deliveries"):
            self._session.execute(
                "update ledger.alert set delivery_attempts = delivery_attempts + 1, taken_by = case when"
                " alert_id = any(%s) then taken_by || %s::text else taken_by end where alert_id = any(%s)",
                [list(taken), channel, list(tried)],
            )

    def alerts_delivered(self, alert_ids: Iterable[int]) -> None:
        """Record which alerts have reached all their channels."""
        with self._doing("alerts", "recording deliveries"):
            self._session.execute(
                "update ledger.alert set delivered_at = clock_timestamp()"
                " where alert_id = any(%s) and delivered_at is null",
                [list(alert_ids)],
            )

    def listed_alerts(self) -> list[dict[str, Any]]:
        """The open alerts, the loudest first, and what was only logged in the last week, open or over."""
        return self._all(LISTED, REVIEW_DAYS, list(LOUDNESS))

    def _queue(self, alert: Alert) -> None:
        """Open an alert, or count it on the open one: decided by one statement, whoever else tells the same."""
        self._close(
            "job_id = %s and control = %s and kind = %s and (array_position(%s, severity) < array_position(%s, %s)"
            " or coalesce(last_seen_at, raised_at) < clock_timestamp() - make_interval(days => %s))",
            [alert.job_id, alert.control, alert.kind, list(LOUDNESS), list(LOUDNESS), alert.severity, SILENT_DAYS],
            "it is told anew",
        )
        row = self._one(
            "insert into ledger.alert as open (job_id, batch_id, control, kind, severity, oncall, escalate_to, summary)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s)"
            " on conflict (job_id, control, kind) where closed_at is null and escalates is null do update set"
            " seen_times = open.seen_times + 1, last_seen_at = clock_timestamp(),"
            " last_batch_id = coalesce(excluded.batch_id, open.last_batch_id), last_summary = excluded.summary"
            " returning alert_id, seen_times",
            *[alert.job_id, alert.batch_id, alert.control, alert.kind, alert.severity, alert.oncall],
            *[alert.escalate_to, alert.summary],
        )
        told = cast("dict[str, Any]", row)
        event = "alert_raised" if told["seen_times"] == 1 else "alert_repeated"
        self._audit(alert.job_id, alert.batch_id, event, {"control": alert.control, "alert": told["alert_id"]})

    def _close_published(self, job_id: str) -> None:
        """Close what the line told of batches that are published by now, or covered, from the first to the last."""
        self._close(
            "job_id = %s and control = any(%s) and not starts_with(kind, %s) and not exists (select from ledger.batch"
            "  where batch.job_id = open.job_id and published_by is null and not is_dry_run and batch.batch_id between"
            "  open.batch_id and coalesce(open.last_batch_id, open.batch_id))",
            [job_id, list(CONTROLS_OF_LINE), SYSTEM],
            "published",
        )

    def _close_system(self, system: str) -> None:
        self._close("kind = %s", [f"{SYSTEM}{system}"], "the system is up")

    def _close(self, which: LiteralString, parameters: list[Any], because: str) -> None:
        """Close the open alerts that a condition of ours names; messages about them that are not out are withdrawn."""
        closed = self._session.execute(
            sql.SQL(
                "update ledger.alert set closed_at = clock_timestamp() where alert_id in (select alert_id"
                " from ledger.alert as open where closed_at is null and escalates is null and {}"
                " order by alert_id for update) returning alert_id, job_id, batch_id, control"
            ).format(sql.SQL(which)),
            parameters,
        ).fetchall()
        self._withdraw([row["alert_id"] for row in closed])
        for row in closed:
            detail = {"alert": row["alert_id"], "control": row["control"], "because": because}
            self._audit(row["job_id"], row["batch_id"], "alert_closed", detail)

    def _withdraw(self, alert_ids: list[int]) -> None:
        if alert_ids:
            self._session.execute(
                "update ledger.alert set closed_at = clock_timestamp()"
                " where escalates = any(%s) and delivered_at is null and closed_at is null",
                [alert_ids],
            )

    def _escalate(self, found: OpenAlert, now: datetime, to: str) -> None:
        message = escalated(found, now, to)
        self._session.execute(
            "insert into ledger.alert (job_id, batch_id, control, kind, severity, oncall, summary, escalates)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s)",
            [message.job_id, message.batch_id, message.control, message.kind, message.severity, message.oncall,
             message.summary, found.alert.alert_id],
        )  # fmt: skip
        self._session.execute(
            "update ledger.alert set escalation_level = escalation_level + 1 where alert_id = %s",
            [found.alert.alert_id],
        )


def _open_alert(row: dict[str, Any]) -> OpenAlert:
    of_alert = {item.name for item in fields(Alert)}
    alert = Alert(**{name: value for name, value in row.items() if name in of_alert})
    return OpenAlert(alert, **{name: value for name, value in row.items() if name not in {*of_alert, "now"}})
