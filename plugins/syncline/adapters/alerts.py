"""Carry an alert to the people who are on call (control SYNC-007), or say plainly that it did not arrive.

Three channels: `webhook`, one POST of JSON to a paging service, which routes it by `severity` and `oncall`; `mail`
(adapters/alert_mail.py); `journal`, one line in `var/alerts.jsonl` and one in the log, so that a machine without the
others still keeps them all. Which channels take an alert is decided by its severity, in `Channels`.

An alert that cannot be delivered must not hide the failure that it reports, so nothing here raises for a
sink that is down: it returns False, the ledger keeps the alert pending, and the next one tries again. The
ledger is the caller's business; this module knows no database.

    SYNCLINE_ALERT_WEBHOOK   http or https URL; set by the operator, never by a manifest
    SYNCLINE_ALERT_TOKEN     optional: sent as `Authorization: Bearer ...`
    SYNCLINE_ALERT_PAGE      optional: the channels of severity `page`, as in `webhook,mail`
    SYNCLINE_ALERT_TICKET    optional: those of `ticket`

A URL may itself be a secret, so logs name its host at most. Summaries carry ids and counts, never values.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from syncline.adapters import alert_mail, project
from syncline.core.alerts import Alert, Outcome, Severity, Sink

TIMEOUT_S = 5.0  # a task's failure callback waits for it
JOURNAL = "alerts.jsonl"  # in var/, where all that we write stands

# The receiver's word about this one alert; anything else that is no success is about the sink.
REFUSED_STATUS = frozenset({400, 413, 415, 422})

LEVELS: dict[Severity, int] = {"page": logging.ERROR, "ticket": logging.WARNING, "log": logging.INFO}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Webhook:
    """A paging service's door. Redirects are not followed: nobody named the host they lead to."""

    url: str = field(repr=False)
    token: str | None = field(default=None, repr=False)

    def send(self, alert: Alert) -> Outcome:
        if fault := self._misconfigured():
            log.error("alert not delivered because=%s %s", fault, alert.line())
            return Outcome.SINK_DOWN
        try:
            with requests.post(
                self.url,
                json=alert.payload(),
                auth=_Bearer(self.token),
                timeout=TIMEOUT_S,
                allow_redirects=False,
                stream=True,  # the answer's body is of no interest, however long
            ) as response:
                status = response.status_code
        except (requests.RequestException, OSError, ValueError) as error:
            return self._told(alert, Outcome.SINK_DOWN, type(error).__name__)  # its text quotes the URL
        if 200 <= status < 300:
            return Outcome.DELIVERED
        outcome = Outcome.REFUSED if status in REFUSED_STATUS else Outcome.SINK_DOWN
        return self._told(alert, outcome, f"HTTP {status}")

    def _misconfigured(self) -> str | None:
        try:
            parts = urlsplit(self.url)
            is_web = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_web = False
        if not is_web:
            return "SYNCLINE_ALERT_WEBHOOK is not an http or https URL"
        if self.token and not (self.token.isascii() and self.token.isprintable()):
            return "SYNCLINE_ALERT_TOKEN holds characters that no header can carry"
        return None

    def _told(self, alert: Alert, outcome: Outcome, because: str) -> Outcome:
        host, word = urlsplit(self.url).hostname, outcome.name.lower()
        log.warning("alert not delivered sink=%s outcome=%s because=%s %s", host, word, because, alert.line())
        return outcome


@dataclass(frozen=True)
class Journal:
    """A file with one alert per line, and the log: for a machine without a paging service."""

    path: Path

    def send(self, alert: Alert) -> Outcome:
        line = json.dumps({"at": datetime.now(UTC).isoformat(timespec="seconds"), **alert.payload()}) + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _append(self.path, line.encode("ascii"))
        except OSError as error:
            log.error("alert not kept sink=journal because=%s %s", type(error).__name__, alert.line())
            return Outcome.SINK_DOWN
        log.log(LEVELS.get(alert.severity, logging.ERROR), "alert %s", alert.line())
        return Outcome.DELIVERED


class _Bearer(AuthBase):
    """Sets the token itself: left to requests, a .netrc entry for the host would take its place."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


@dataclass(frozen=True)
class Channels:
    """The sinks that are set up, by name, and which severity goes where. Itself a sink: all that an alert is meant for.

    A page goes to webhook and mail, a ticket to the first of them that there is; without either both go to the
    journal. `log` is for the weekly review and goes there always.
    """

    sinks: Mapping[str, Sink]
    asked: Mapping[Severity, str] = field(default_factory=dict)

    def of(self, severity: Severity) -> tuple[str, ...]:
        """The names of the channels that shall take an alert."""
        if severity == "log":
            return ("journal",)
        named = [name.strip() for name in self.asked.get(severity, "").split(",") if name.strip()]
        if missing := [name for name in named if name not in self.sinks]:
            variable = f"SYNCLINE_ALERT_{severity.upper()}"
            log.error("%s names %d channels that are not set up; it may name: %s",
                      variable, len(missing), ", ".join(self.sinks))  # fmt: skip
        found = [name for name in named if name in self.sinks]
        if not found:
            loud = [name for name in ("webhook", "mail") if name in self.sinks]
            found = (loud if severity == "page" else loud[:1]) or ["journal"]
        return tuple(dict.fromkeys(found))

    def send(self, alert: Alert) -> Outcome:
        """Offer it to each of its channels; one that takes it is enough."""
        outcomes = {self.sinks[name].send(alert) for name in self.of(alert.severity)}
        return min(outcomes, key=lambda outcome: outcome.value)


def channels_from_environment() -> Channels:
    """The journal, and what the environment sets up beside it."""
    sinks: dict[str, Sink] = {}
    if url := os.environ.get("SYNCLINE_ALERT_WEBHOOK", "").strip():
        sinks["webhook"] = Webhook(url, os.environ.get("SYNCLINE_ALERT_TOKEN", "").strip() or None)
    if (mail := alert_mail.from_environment()) is not None:
        sinks["mail"] = mail
    sinks["journal"] = Journal(project.var() / JOURNAL)
    asked: dict[Severity, str] = {
        "page": os.environ.get("SYNCLINE_ALERT_PAGE", ""),
        "ticket": os.environ.get("SYNCLINE_ALERT_TICKET", ""),
    }
    return Channels(sinks, asked)


def deliver(alert: Alert, sink: Sink | None = None) -> bool:
    """Try once to bring one alert to the sink; False means it is still owed. Waits 5 s for an answer."""
    return (sink or channels_from_environment()).send(alert) is Outcome.DELIVERED


def deliver_pending(pending: Iterable[tuple[int, Alert]], sink: Sink | None = None) -> list[int]:
    """Try to bring all alerts that are still owed, in the order given.

    An alert that the receiver refuses stays owed and the next one is tried; after the first sign that the
    sink itself is down nothing more is tried: a hundred alerts must not wait for a hundred timeouts.

    Returns:
        The ids of the alerts that arrived.
    """
    sink = sink or channels_from_environment()
    delivered = []
    for alert_id, alert in pending:
        outcome = sink.send(alert)
        if outcome is Outcome.SINK_DOWN:
            break
        if outcome is Outcome.DELIVERED:
            delivered.append(alert_id)
    return delivered


def _append(path: Path, line: bytes) -> None:
    """One write to a file opened for appending: lines of several processes do not run into each other."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        if os.write(handle, line) != len(line):
            raise OSError("the disk took only part of the line")
    finally:
        os.close(handle)
