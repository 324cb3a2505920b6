"""What tests of faults have in common: places to stop at, processes to kill, and patience."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from syncline.adapters import failpoints
from tests.integration.conftest import JOB, Lab

# Where durable state has just changed or is about to, on the way of one batch that is read in one piece and published.
ELSEWHERE = ("copy.after_rows", "parts.", "hold.", "alert.", "group.", "compare.")
BOUNDARIES = tuple(place for place in failpoints.PLACES if not place.startswith(ELSEWHERE))
SEVERAL_BLOCKS = 3_000  # rows of `many`, in blocks of 256 kB
PEOPLE = 400  # rows of `fill`


def person(person_id: str, **shown: Any) -> dict[str, Any]:
    return {"person_id": person_id, **shown}


def many(lab: Lab, rows: int = SEVERAL_BLOCKS) -> None:
    """Wide rows in the hub, in one statement."""
    lab.sql(
        "mdm",
        "insert into lab.person (tenant_id, person_id, name, born)"
        " select 't1', 'p' || n, 'Ann ' || n || repeat(' x', 180), '1990-01-01' from generate_series(1, %s) as n",
        rows,
    )


def fill(lab: Lab, rows: int = PEOPLE) -> None:
    """Narrow rows in the hub, of two tenants in turn."""
    lab.sql(
        "mdm",
        "insert into lab.person (tenant_id, person_id, name, born)"
        " select 't' || 1 + n %% 2, 'p' || n, 'Ann ' || n, '1990-01-01' from generate_series(1, %s) as n",
        rows,
    )


def at(monkeypatch: pytest.MonkeyPatch, place: str, act: Callable[[], Any]) -> None:
    """Have this process do something when the line comes to a failpoint; also at those that were named before."""
    armed = failpoints.read(f"{place}:RAISE")
    act_there = failpoints._act
    monkeypatch.setattr(failpoints, "_act", lambda here: act() if here in armed else act_there(here))
    monkeypatch.setattr(failpoints, "_armed", failpoints._armed + armed)
    failpoints._passed.clear()


def arm(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    """Arm failpoints of this process, in the words of SYNCLINE_FAILPOINTS, until the test ends."""
    monkeypatch.setattr(failpoints, "_owed", None)
    monkeypatch.setattr(failpoints, "_armed", failpoints.read(asked))
    failpoints._passed.clear()


def disarm(monkeypatch: pytest.MonkeyPatch) -> None:
    arm(monkeypatch, "")


@contextmanager
def started(lab: Lab, armed: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`syncline run` in a process of its own; never left behind."""
    _ = lab.job
    process = subprocess.Popen(
        [sys.executable, "-m", "syncline", "run", JOB, *arguments],
        env={**os.environ, "SYNCLINE_FAILPOINTS": armed}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(what: str, is_so: Callable[[], Any], *, seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := is_so():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


def backends(lab: Lab) -> list[dict[str, Any]]:
    """Sessions of the line on any database."""
    return lab.sql(
        "postgres", "select pid, application_name, state from pg_stat_activity where application_name like 'syncline%'"
    )


def in_thread(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Run something beside the test; the list gets its result or its error."""
    ended: list[Any] = []

    def run() -> None:
        try:
            ended.append(work())
        except Exception as error:
            ended.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, ended


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def states(lab: Lab) -> list[str]:
    return [row["state"] for row in lab.ledger("select state from ledger.batch order by batch_id")]


def cut(lab: Lab, application_name: str) -> None:
    """End the sessions of that name, as an administrator or a failover does."""
    ended = lab.sql(
        "postgres",
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name like %s",
        application_name,
    )
    assert ended, f"no session {application_name}"


def cut_line(session: psycopg.Connection) -> None:
    """End the connection below this session, which learns of it at its next word."""
    line = socket.socket(fileno=os.dup(session.fileno()))
    line.shutdown(socket.SHUT_RDWR)
    line.close()


def staging_tables(lab: Lab) -> list[str]:
    rows = lab.sql("payroll", "select relname from pg_class where relnamespace = 'staged'::regnamespace order by 1")
    return [row["relname"] for row in rows]


def markers(lab: Lab) -> list[int]:
    return [row["batch_id"] for row in lab.sql("payroll", "select batch_id from syncline.marker order by 1")]


def attempts(lab: Lab, batch_id: int) -> list[tuple[str, str, str | None]]:
    rows = lab.ledger("select * from ledger.attempt where batch_id = %s order by attempt_id", batch_id)
    return [(row["step"], row["outcome"], row["error_type"]) for row in rows]
