"""`syncline doctor JOB`: everything about a job's two databases and its ledger, a line each, with the exact remedy.

What does not fit the files is asked as `syncline check --connect` asks it; here come in addition the facts that decide
whether incremental batches are exact and fast: grants, replicas, open transactions, clocks, who the source is.
Nothing is written, no row is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any, Literal

import psycopg

from syncline.adapters import connections, ledger
from syncline.adapters.catalog import read_catalog
from syncline.adapters.failures import telling
from syncline.adapters.health import Health, clock_s, read_health
from syncline.adapters.identity import read_identity
from syncline.adapters.probing import hashes_agree
from syncline.core.catalogs.fitting import Misfit
from syncline.core.errors import SynclineError
from syncline.core.identity import Sighting
from syncline.core.job import SyncJob
from syncline.core.values import Mode
from syncline.steps.connecting import looking_at, source_misfits, target_misfits

State = Literal["ok", "warn", "wrong"]
EXIT: dict[State, int] = {"ok": 0, "warn": 1, "wrong": 2}
# The oldest minor releases without known holes that matter here (May 2026), by major version.
FLOORS = {15: 150018, 16: 160014, 17: 170010, 18: 180004}
OPEN_S_MAX = 3600  # a transaction open for longer makes batches look at every row
PREPARED_S_MAX = 600
CLOCK_S_MAX = 2.0
XID_AGE_MAX = 1_500_000_000  # of 2^31; autovacuum should have frozen long before
BEHIND_S_MAX = 300


@dataclass(frozen=True)
class Line:
    """One fact about one side, and what to do about it."""

    side: Literal["source", "target", "ledger", "both"]
    state: State
    said: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.state:<5}  {self.side:<6}  {self.said}" + (
            f"\n               -> {self.remedy}" if self.remedy else ""
        )


@dataclass(frozen=True)
class Report:
    """All lines about one job."""

    job_id: str
    lines: tuple[Line, ...]

    @property
    def exit_code(self) -> int:
        """0: all is well; 1: it works, but slower or less safely than it could; 2: something is wrong."""
        return max((EXIT[line.state] for line in self.lines), default=0)

    def as_dict(self) -> dict[str, Any]:
        return {"job": self.job_id, "exit_code": self.exit_code, "lines": [asdict(line) for line in self.lines]}


def examine(job: SyncJob) -> Report:
    """Look at the job's ledger, source and target. A side that cannot be reached is a line, too."""
    lines: list[Line] = []
    with ExitStack() as opened:
        known = _ledger(job, lines)
        source = _opened(opened, job.source.connection, "source", lines)
        target = _opened(opened, job.target.connection, "target", lines)
        if source is not None:
            lines += _told("source", lambda: [*_source(job, source, known)])
        if target is not None:
            lines += _told("target", lambda: [*_target(job, target)])
        if source is not None and target is not None:
            lines += _told("both", lambda: [*_both(job, source, target)])
    return Report(job.id, tuple(lines))


def _opened(stack: ExitStack, connection: str, side: Any, lines: list[Line]) -> psycopg.Connection | None:
    try:
        return stack.enter_context(looking_at(connection, "doctor"))
    except SynclineError as error:
        mend = "" if connections.is_configured(connection) else f"set AIRFLOW_CONN_{connection.upper()}"
        lines.append(Line(side, "wrong", str(error).rstrip("."), mend))
        return None


def _told(side: Any, ask: Any) -> list[Line]:
    """What a question gives; one that fails does not silence the others."""
    try:
        with telling("looking"):
            found: list[Line] = ask()
            return found
    except SynclineError as error:
        return [Line(side, "wrong", str(error).rstrip("."))]


def _ledger(job: SyncJob, lines: list[Line]) -> Sighting | None:
    try:
        with ledger.opened(f"{job.id} doctor") as book:
            known = book.known_sighting(job.id)
        with looking_at(ledger.CONNECTION, "doctor") as session:
            lines += _clock("ledger", clock_s(session))
    except SynclineError as error:
        lines.append(Line("ledger", "wrong", str(error).rstrip("."), "syncline install-ledger brings it up to date"))
        return None
    said = "the ledger answers" + ("" if known else "; no published batch has left anything about the source yet")
    lines.append(Line("ledger", "ok", said))
    return known


# -- both sides -----------------------------------------------------------------------------------------------


def _server(side: Literal["source", "target"], health: Health, connections_max: int) -> Iterator[Line]:
    major, shown = health.version // 10_000, f"PostgreSQL {health.version // 10_000}.{health.version % 10_000}"
    floor = FLOORS.get(major)
    kind = "a replica" if health.is_replica else "a primary"
    if floor is not None and health.version < floor:
        said = f"{shown} lacks fixes for known holes"
        yield Line(side, "warn", said, f"update the server to {major}.{floor % 10_000} or newer")
    yield Line(side, "ok", f"role {health.role} is logged in to {shown}, {kind}")
    free = min(health.free_connections, health.connection_limit or health.free_connections)
    if free < connections_max:
        mend = f"lower {side}.connections_max, or have max_connections or the role's connection limit raised"
        yield Line(side, "warn", f"{free} connections are free, and the manifest may use {connections_max}", mend)
    else:
        yield Line(side, "ok", f"{free} connections are free; the manifest may use {connections_max}")
    yield from _clock(side, health.clock_s)


def _clock(side: Literal["source", "target", "ledger"], ahead_s: float) -> Iterator[Line]:
    if abs(ahead_s) > CLOCK_S_MAX:
        mend = "synchronise both machines' clocks (NTP)"
        yield Line(side, "warn", f"its clock is {ahead_s:+.1f} s from ours: freshness is off by that", mend)
    else:
        yield Line(side, "ok", f"its clock is less than {CLOCK_S_MAX:.0f} s from ours")


def _fits(side: Literal["source", "target"], misfits: Iterable[Misfit], job: SyncJob) -> Iterator[Line]:
    told = list(misfits)
    for misfit in told:
        state: State = {"certain": "wrong", "likely": "warn", "noted": "ok"}[misfit.weight]  # type: ignore[assignment]
        if misfit.weight == "likely" and misfit.code in ("D01", "M18"):  # a right or a boundary, not a matter of rows
            state = "wrong"
        note = "for your information: " if state == "ok" else ""
        yield Line(side, state, note + misfit.said, misfit.allowed if state != "ok" else "")
    if all(misfit.weight == "noted" for misfit in told):
        table = job.source.table if side == "source" else job.target.table
        yield Line(side, "ok", f"{table} and all that the mapping needs of it is there, with every grant")


# -- the source -----------------------------------------------------------------------------------------------


def _source(job: SyncJob, session: psycopg.Connection, known: Sighting | None) -> Iterator[Line]:
    health = read_health(session)
    yield from _server("source", health, job.source.connections_max)
    yield from _fits("source", source_misfits(job, session), job)
    yield from _window(job, session, health)
    yield from _identity(job, session, known, health)
    if health.xid_age > XID_AGE_MAX:
        said = f"{health.xid_age:,} of 2,147,483,648 transaction numbers are used since the last freeze"
        yield Line("source", "warn", said, "vacuum (freeze); and look why autovacuum does not")


def _window(job: SyncJob, session: psycopg.Connection, health: Health) -> Iterator[Line]:
    """By what incremental batches find what has changed, and what makes them slow."""
    if job.default_mode is not Mode.INCREMENTAL:
        yield Line("source", "ok", "every run reads everything: no window is needed")
        return
    table = read_catalog(session, [job.source.table]).tables.get(job.source.table)
    if table is None:
        return
    if not table.shows_row_versions:
        if (window := job.source.window) is not None:
            said = f"no row versions: batches read again what is {window.lag_s + window.overlap_s} s old, and what is "
            yield Line("source", "warn", said + "later than that is found by full runs only", "run full runs regularly")
        return
    yield Line("source", "ok", "row versions tell what has changed, exactly; the cursor only finds them faster")
    if not health.sees_others and not health.is_replica:
        said = "the role cannot see when others' transactions began: after one of more than an hour a batch looks at "
        yield Line("source", "warn", said + "every row", f"grant pg_read_all_stats to {health.role};")
    if health.is_replica:
        said = (
            "a replica shows no transactions of its primary: after one of more than an hour a batch looks at every row"
        )
        yield Line("source", "ok", f"for your information: {said}")
        if (health.behind_s or 0) > BEHIND_S_MAX:
            yield Line("source", "warn", f"the last transaction that it has replayed is {health.behind_s:,.0f} s old")
    yield from _held_open(health)


def _held_open(health: Health) -> Iterator[Line]:
    oldest = health.oldest
    if oldest is not None:
        said = (
            f"process {oldest.pid} ({oldest.application or 'no name'}) has a transaction open for {oldest.age_s:,.0f} s"
        )
        is_old = oldest.age_s > OPEN_S_MAX
        mend = f"end it, or select pg_terminate_backend({oldest.pid});" if is_old else ""
        what = ": each batch reads again what has changed since it began" if is_old else ""
        yield Line("source", "warn" if is_old else "ok", said + what, mend)
    elif not health.unseen:
        yield Line("source", "ok", "no transaction that has written is open")
    for gid, age_s in health.prepared:
        said = f"prepared transaction '{gid}' waits for {age_s:,.0f} s"
        state: State = "warn" if age_s > PREPARED_S_MAX else "ok"
        mend = f"commit prepared '{gid}'; or rollback prepared '{gid}';" if state == "warn" else ""
        yield Line("source", state, said, mend)


def _identity(job: SyncJob, session: psycopg.Connection, known: Sighting | None, health: Health) -> Iterator[Line]:
    for function, lost in health.untold.items():
        mend = f"grant execute on function pg_catalog.{function} to {health.role};"
        if "replica" not in lost or health.is_replica:
            yield Line("source", "warn", f"the role may not ask {function}, so we do not know {lost}", mend)
    if known is None:
        return
    found, stored = read_identity(session, job), known.identity
    if not found.is_named_like(stored):
        yield Line(
            "source", "ok", f"the last batch read {stored.table} at '{stored.connection}': the next reads everything"
        )
        return
    differs = found.server_differences(stored)
    differs += found.table_differences(stored) if job.default_mode is Mode.INCREMENTAL else []
    if differs:
        mend = f"docs/runbooks/source-replaced.md; {job.command} --mode full --accept-source --reason '<why>'"
        yield Line("source", "wrong", f"it is not the source that the last batch read: {'; '.join(differs)}", mend)
    elif found.is_replica and (behind := found.went_back(stored)):
        yield Line("source", "warn", f"the replica is not yet where the last batch read: {'; '.join(behind)}", "wait")
    else:
        yield Line("source", "ok", "it is the source that the last published batch read")


# -- the target -----------------------------------------------------------------------------------------------


def _target(job: SyncJob, session: psycopg.Connection) -> Iterator[Line]:
    health = read_health(session)
    yield from _server("target", health, job.target.connections_max)
    if health.is_replica:
        yield Line("target", "wrong", "a replica cannot be written", "name the primary in the connection")
    yield from _fits("target", target_misfits(job, session), job)


def _both(job: SyncJob, source: psycopg.Connection, target: psycopg.Connection) -> Iterator[Line]:
    if disagree := hashes_agree(job, source, target):
        said = f"the two servers do not hash alike: {', '.join(disagree)}"
        yield Line(
            "both", "warn", f"{said}. Checksums of copies cannot be relied on", "full runs stage every row instead"
        )
    else:
        yield Line("both", "ok", "both servers hash the mapping's types alike: copies may be compared by checksums")
