"""Locked and busy systems, on real servers: how long each side is waited for, and who is named as being in the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from syncline import steps
from syncline.adapters import connections, ledger, source, target
from syncline.adapters.failures import telling
from syncline.core.errors import TransientError
from syncline.core.values import RunRequest, Verdict
from syncline.steps import looking
from tests.integration.conftest import JOB, Lab
from tests.integration.faults import in_thread, person, until

ROWS = "select * from lab.person where person_no = 'p1' for update"


@pytest.fixture
def impatient(lab: Lab) -> Lab:
    """The lab after a published batch, with something to do, and one second of patience on both sides."""
    lab.hub(person("p1"))
    lab.run()
    lab.hub(person("p1", name="Bea"))
    lab.manifest["source"]["lock_timeout_s"] = lab.manifest["target"]["lock_timeout_s"] = 1
    return lab


@contextmanager
def holding(lab: Lab, database: str, statement: str, name: str = "nightly close") -> Iterator[int]:
    """Another session that holds what a statement locks; its process id."""
    with psycopg.connect(make_conninfo(lab.admin, dbname=database), application_name=name) as other:
        other.execute(statement.encode())
        yield other.info.backend_pid


def refused(lab: Lab) -> str:
    with pytest.raises(TransientError) as raised:
        lab.run("night")
    assert raised.value.sqlstate == "55P03"
    return str(raised.value)


def test_each_side_is_waited_for_as_long_as_the_manifest_says(lab: Lab) -> None:
    lab.manifest["source"]["lock_timeout_s"], lab.manifest["target"]["lock_timeout_s"] = 7, 9
    job = lab.job
    batch_id = steps.open_batch(job, RunRequest(run_key="night"))
    with ledger.opened("test") as book:
        batch = book.batch(batch_id)

    with source.reading(job) as here, target.writing(job, batch, step="load") as there:
        waits = [side._session.execute("show lock_timeout").fetchone() for side in (here, there)]

    assert waits == [("7s",), ("9s",)]


def test_F25_a_source_that_stays_locked_fails_the_run_and_its_copy_becomes_delayed(impatient: Lab) -> None:
    lab = impatient
    lab.sql("warehouse", "update ledger.watermark set source_as_of = source_as_of - interval '2 hours'")  # SLA: 1 h

    with holding(lab, "mdm", "lock table lab.person in access exclusive mode") as pid:
        said = refused(lab)

    assert f"waited 1 s for a lock on lab.person, held by process {pid} (nightly close)" in said
    (status,) = looking.status(JOB)
    assert (status["freshness_state"], lab.people()) == ("delayed", {"t1/p1": "Ann"})
    assert lab.run("night").verdict is Verdict.MATCHED
    assert (looking.status(JOB)[0]["freshness_state"], lab.people()) == ("current", {"t1/p1": "Bea"})


def test_a_row_that_somebody_holds_is_waited_for_no_longer_than_a_table(impatient: Lab) -> None:
    with holding(impatient, "payroll", ROWS) as pid:
        assert f"waited 1 s for a lock on lab.person, held by process {pid} (nightly close)" in refused(impatient)

    assert impatient.run("night").counts.updated_rows == 1


def test_of_many_holders_the_one_with_the_strongest_lock_is_named_first(impatient: Lab) -> None:
    lab = impatient
    readers = [holding(lab, "payroll", "select from lab.person", f"report {n}") for n in range(4)]
    close = holding(lab, "payroll", "lock table lab.person in share mode", "nightly close")
    with readers[0], readers[1], readers[2], readers[3], close as pid:
        said = refused(lab)

    assert f"held by process {pid} (nightly close), process " in said
    assert said.count("(report ") == 2  # three are named


def test_a_session_without_a_program_name_is_told_by_its_login(impatient: Lab) -> None:
    with holding(impatient, "mdm", "lock table lab.person in access exclusive mode", "") as pid:
        said = refused(impatient)

    assert f"held by process {pid} (login " in said


def test_a_prepared_transaction_that_holds_the_table_is_named_for_it_has_no_process(impatient: Lab) -> None:
    lab = impatient
    with psycopg.connect(make_conninfo(lab.admin, dbname="mdm"), autocommit=True) as other:
        other.execute("begin")
        other.execute("lock table lab.person in access exclusive mode")
        other.execute("prepare transaction 'close 2026'")
        try:
            said = refused(lab)
        finally:
            other.execute("rollback prepared 'close 2026'")

    assert "held by prepared transaction 'close 2026'" in said


def test_a_deadlock_names_the_other_process(impatient: Lab) -> None:
    lab = impatient
    lab.hub(person("p2"))
    lab.run("before")
    job = lab.job
    lock = "select from lab.person where person_no = %s for update"
    ours_waits = threading.Event()

    def load() -> None:
        with (
            psycopg.connect(make_conninfo(lab.admin, dbname="payroll")) as ours,
            telling("loading"),
            connections.naming_holders("loading", job.target, job.target.table),
            ours.transaction(),
        ):
            ours.execute(lock, ["p1"])
            ours_waits.set()
            ours.execute("set local application_name = 'ours waits'")
            ours.execute(lock, ["p2"])

    with psycopg.connect(make_conninfo(lab.admin, dbname="payroll"), application_name="nightly close") as other:
        pid = other.info.backend_pid
        other.execute("set deadlock_timeout = '1min'")  # ours finds the deadlock, and is rolled back
        other.execute(lock, ["p2"])
        thread, ended = in_thread(load)
        assert ours_waits.wait(10)
        waiting = "select pid from pg_stat_activity where application_name = 'ours waits' and wait_event_type = 'Lock'"
        until("ours waits", lambda: lab.sql("payroll", waiting))
        other.execute(lock, ["p1"])
        thread.join(20)

    (error,) = ended
    assert isinstance(error, TransientError)
    assert error.sqlstate == "40P01"
    assert str(error) == (
        f"loading: a deadlock on lab.person with process {pid} (nightly close); the server chose to roll this one back. "
        f"Nothing was written; the same call may succeed later"
    )


def test_a_server_that_lends_no_more_connections_is_told_as_that(impatient: Lab) -> None:
    lab = impatient
    lab.sql("payroll", "alter role syncline_loader connection limit 0")
    try:
        with pytest.raises(TransientError, match="lends no more connections"):
            lab.run("night")
    finally:
        lab.sql("payroll", "alter role syncline_loader connection limit -1")

    assert lab.run("night").counts.updated_rows == 1
