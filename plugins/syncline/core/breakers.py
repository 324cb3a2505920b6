"""The circuit breaker of one connection: when a system counts as down, for how long, and who looks whether it is back.

A system that is down makes every job on it fail, retry and fail, until all have used up their retries and woken a
person each. So failures that speak of the whole system are counted per connection id, over all jobs:

    closed      FAILURES attempts in a row failed, each within WITHIN of the one before -> open
    open        nothing is started for a pause: 1, 2, 4, 8 and then 15 minutes -> half open
    half open   one attempt is let through; while it is on its way the others wait
                it ends well -> closed; it fails -> open, for a longer pause

An attempt that began before the breaker opened and ends well closes it too. One that fails then changes nothing: it
says what is known. A probe that says nothing for PROBE (it runs long, or was killed) lets the next one through.

No clock and no ledger: the time is passed in, the state is a value.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

FAILURES = 3  # two may be one job and its first retry, while a server restarts
WITHIN = timedelta(minutes=10)  # longer than the pause before the last retry of a task
PAUSE = timedelta(minutes=1)
PAUSE_MAX = timedelta(minutes=15)  # somebody who has mended a system should not wait for longer
PROBE = timedelta(minutes=2)  # a login and the first statements; a dead host is noticed within half a minute


@dataclass(frozen=True)
class Breaker:
    """State of one connection's breaker; the columns of ledger.breaker."""

    failures: int = 0
    last_failed_at: datetime | None = None
    last_error: str | None = None
    openings: int = 0
    opened_at: datetime | None = None
    open_until: datetime | None = None
    probe_until: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Open or half open: the system counts as down."""
        return self.opened_at is not None

    def wait_until(self, now: datetime) -> datetime | None:
        """When to ask again; None lets the asker through, as the probe where the breaker is half open."""
        waits = [moment for moment in (self.open_until, self.probe_until) if moment is not None and moment > now]
        return max(waits, default=None) if self.is_open else None

    def probed(self, now: datetime) -> Breaker:
        """The asker that is let through takes the others' turn."""
        return replace(self, probe_until=now + PROBE) if self.is_open else self

    def failed(self, now: datetime, error: str, *, is_probe: bool) -> Breaker:
        """An attempt failed in a way that speaks of the whole system."""
        is_in_a_row = self.last_failed_at is not None and now - self.last_failed_at <= WITHIN
        noted = replace(
            self,
            failures=self.failures + 1 if is_in_a_row or self.is_open else 1,
            last_failed_at=now,
            last_error=error,
        )
        if noted.is_open and not is_probe:
            return noted
        return noted._opened(now) if is_probe or noted.failures >= FAILURES else noted

    def ended_well(self) -> Breaker:
        """An attempt has worked on the system."""
        return replace(self, failures=0, openings=0, opened_at=None, open_until=None, probe_until=None)

    def unasked(self) -> Breaker:
        """The probe failed elsewhere before it had asked this system: the next one may."""
        return replace(self, probe_until=None)

    def _opened(self, now: datetime) -> Breaker:
        pause = min(PAUSE * 2**self.openings, PAUSE_MAX)
        return replace(
            self,
            openings=self.openings + 1,
            opened_at=self.opened_at or now,
            open_until=now + pause,
            probe_until=None,
        )
