"""Circuit breakers in the ledger: one for each connection id, seen by all jobs and all workers.

Every decision is taken under the breaker's row lock, so that of many jobs that ask at one moment one becomes the
probe. The ledger's clock is the only one: workers' clocks differ. Where the ledger itself is down there is no breaker,
and plain retries are what is left.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, cast

from psycopg import sql

from syncline.adapters import connections
from syncline.adapters.ledger.alerts import SYSTEM, Alerts
from syncline.core.alerts import Alert
from syncline.core.breakers import Breaker
from syncline.core.errors import SynclineError, SystemDown
from syncline.core.job import SyncJob

SEEN = "select * from ledger.breaker where connection_id = any(%s) order by connection_id"
LOCKED = f"{SEEN} for update"  # in one order, so that nobody waits in a circle
STATE = tuple(item.name for item in fields(Breaker))
log = logging.getLogger(__name__)


def systems_of(job: SyncJob, step: str) -> tuple[str, ...]:
    """The connection ids that a step works on, besides the ledger's."""
    if step in ("load", "reconcile", "publish"):
        return (job.target.connection,)
    return (job.source.connection, job.target.connection)


class Breakers(Alerts):
    """Which systems are down."""

    @contextmanager
    def guarding(self, job: SyncJob, batch_id: int | None, systems: Iterable[str]) -> Iterator[None]:
        """Start nothing on a system that is down, and learn from how the work inside ends.

        Raises:
            SystemDown: The breaker of one of the systems is open, or its probe is on its way.
        """
        probed = self._pass(job, systems)
        with connections.noting_reached() as reached:
            try:
                yield
            except BaseException as error:
                self._learn(job, batch_id, probed, reached, error)
                raise
        with self._doing(job.id, "noting systems that are up"):
            self._note_up(job, batch_id, reached)

    def require_up(self, job: SyncJob, systems: Iterable[str]) -> None:
        """Refuse what would only wait later on; nobody becomes a probe by it. Raises SystemDown."""
        with self._doing(job.id, "looking at circuit breakers"):
            now = self._now()
            for system, breaker in self._breakers(systems).items():
                if until := breaker.wait_until(now):
                    raise SystemDown(job.id, system, until, breaker.failures)

    def is_down(self, system: str) -> bool:
        """Whether the system counts as down: then its alert has gone out already."""
        with self._doing(system, "looking at its circuit breaker"):
            return system in (found := self._breakers([system])) and found[system].is_open

    def open_breakers(self) -> list[dict[str, Any]]:
        """The systems that count as down, with the jobs that use them."""
        return self._all(
            "select connection_id, opened_at, open_until, failures, last_error, probe_until,"
            " (select array_agg(job_id order by job_id) from ledger.job"
            "   where connection_id in (source_system, target_system)) as jobs"
            " from ledger.breaker where opened_at is not null order by opened_at, connection_id"
        )

    def close_breaker(self, system: str) -> bool:
        """Let work start at once, because a person says that the system is back. False where it was not open."""
        with self._doing(system, "closing its circuit breaker"):
            breaker = self._breakers([system], lock=True).get(system)
            if breaker is None or not breaker.is_open:
                return False
            self._put_breaker(system, breaker.ended_well())
            self._close_system(system)
            self._audit("", None, "breaker_closed", {"connection": system, "by": "a person"})
            return True

    def _pass(self, job: SyncJob, systems: Iterable[str]) -> set[str]:
        """The systems that this attempt probes. All or none: whoever waits for one system probes no other."""
        with self._doing(job.id, "passing circuit breakers"):
            found = self._breakers(systems)
            if not any(breaker.is_open for breaker in found.values()):
                return set()
            found, now = self._breakers(systems, lock=True), self._now()
            for system, breaker in found.items():
                if until := breaker.wait_until(now):
                    raise SystemDown(job.id, system, until, breaker.failures)
            for system, breaker in found.items():
                self._put_breaker(system, breaker.probed(now))
            return {system for system, breaker in found.items() if breaker.is_open}

    def _learn(
        self, job: SyncJob, batch_id: int | None, probed: set[str], reached: set[str], error: BaseException
    ) -> None:
        """Best effort: the failure itself matters more than what is learnt from it."""
        down = error.down if isinstance(error, SynclineError) else None
        try:
            with self._doing(job.id, "noting what an attempt has learnt"):
                self._note_up(job, batch_id, reached - {down or ""})
                for system, breaker in self._breakers(probed - reached - {down or ""}, lock=True).items():
                    self._put_breaker(system, breaker.unasked())
                if down is not None and isinstance(error, SynclineError):
                    self._note_down(job, batch_id, down, error, is_probe=down in probed)
        except SynclineError as failure:
            log.warning("circuit breaker not told job=%s error=%s", job.id, type(failure).__name__)

    def _note_down(
        self, job: SyncJob, batch_id: int | None, system: str, error: SynclineError, *, is_probe: bool
    ) -> None:
        self._session.execute("insert into ledger.breaker (connection_id) values (%s) on conflict do nothing", [system])
        before = self._breakers([system], lock=True)[system]
        said = f"{type(error).__name__} (SQLSTATE {error.sqlstate or 'none'})"
        after = before.failed(self._now(), said, is_probe=is_probe)
        self._put_breaker(system, after)
        if after.is_open and not before.is_open:
            self._tell_opened(job, batch_id, system, after)

    def _note_up(self, job: SyncJob, batch_id: int | None, systems: Iterable[str]) -> None:
        """What was worked on without a failure of its own is up."""
        if not any(breaker.failures for breaker in self._breakers(systems).values()):
            return
        for system, breaker in self._breakers(systems, lock=True).items():
            self._put_breaker(system, breaker.ended_well())
            if breaker.is_open:
                self._close_system(system)
                self._audit(job.id, batch_id, "breaker_closed", {"connection": system})
                log.info("circuit breaker closed connection=%s", system)

    def _tell_opened(self, job: SyncJob, batch_id: int | None, system: str, breaker: Breaker) -> None:
        """One alert for all jobs, under the severity and to the people of the job that saw it."""
        manifest = job.manifest
        self._queue(
            Alert(
                job_id=job.id,
                batch_id=batch_id,
                control="SYNC-007",
                severity=manifest.errors.severity,
                oncall=manifest.owner.oncall,
                summary=f"system '{system}' is down: {breaker.failures} attempts in a row failed, the last with "
                f"{breaker.last_error}. No job starts work on it; one attempt at a time looks whether it is back. "
                f"See docs/runbooks/system-down.md",
                kind=f"{SYSTEM}{system}",
                escalate_to=manifest.owner.business,
            )
        )
        detail = {"connection": system, "failures": breaker.failures, "error": breaker.last_error}
        self._audit(job.id, batch_id, "breaker_opened", detail)
        log.error("circuit breaker opened connection=%s failures=%d", system, breaker.failures)

    def _breakers(self, systems: Iterable[str], *, lock: bool = False) -> dict[str, Breaker]:
        question = LOCKED if lock else SEEN
        rows = self._all(question, sorted({*systems}))
        return {row["connection_id"]: Breaker(**{name: row[name] for name in STATE}) for row in rows}

    def _put_breaker(self, system: str, breaker: Breaker) -> None:
        settings = sql.SQL(", ").join(sql.SQL("{} = {}").format(sql.Identifier(n), sql.Placeholder(n)) for n in STATE)
        self._session.execute(
            sql.SQL("update ledger.breaker set {} where connection_id = %(connection_id)s").format(settings),
            {**asdict(breaker), "connection_id": system},
        )

    def _now(self) -> datetime:
        row = self._one("select clock_timestamp() as now")
        return cast("dict[str, datetime]", row)["now"]
