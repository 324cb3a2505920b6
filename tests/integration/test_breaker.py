"""A system that is down costs one alert and few attempts, however many jobs use it; and it comes back by itself."""

from __future__ import annotations

import os
import threading
import uuid
from dataclasses import replace
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

from syncline import steps
from syncline.adapters import connections, ledger, target
from syncline.core.breakers import FAILURES, PAUSE
from syncline.core.errors import EnvironmentFailure, SynclineError, SystemDown, TransientError
from syncline.core.job import SyncJob
from syncline.core.values import RunRequest, Verdict
from syncline.steps import alerting
from tests.integration.conftest import JOB, Lab
from tests.integration.faults import closed_port, in_thread, person

TARGET = "AIRFLOW_CONN_PAYROLL"


@pytest.fixture
def lab(lab: Lab) -> Lab:
    lab.hub(person("p1"))
    return lab


@pytest.fixture
def down(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> str:
    """The target's host answers no more; returns the URI under which it did."""
    there = os.environ[TARGET]
    monkeypatch.setenv(TARGET, make_conninfo(there, port=closed_port()))
    return there


def begin(job: SyncJob) -> int:
    return steps.open_batch(job, RunRequest(run_key=uuid.uuid4().hex))


def fail(job: SyncJob, times: int = 1, family: type[SynclineError] = TransientError) -> None:
    for _ in range(times):
        with pytest.raises(family) as raised:
            steps.extract_and_map(job, begin(job))
        assert type(raised.value) is family


def breaker(lab: Lab, system: str = "payroll") -> dict[str, Any]:
    found = lab.ledger("select * from ledger.breaker where connection_id = %s", system)
    return found[0] if found else {"failures": 0, "opened_at": None}


def cut(lab: Lab, application_name: str) -> None:
    lab.sql(
        "postgres",
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = %s",
        application_name,
    )


def pass_time(lab: Lab) -> None:
    """The pause is over, and a probe on its way has said nothing."""
    lab.ledger("update ledger.breaker set open_until = clock_timestamp(), probe_until = clock_timestamp()")


def alerts(lab: Lab) -> list[str]:
    return [row["summary"] for row in lab.ledger("select summary from ledger.alert order by alert_id")]


def test_after_three_failed_attempts_no_job_starts_work_there_and_one_alert_went_out(lab: Lab, down: str) -> None:
    job, other = lab.job, replace(lab.job, id="mdm__payroll__other")
    batch_id, others = begin(job), begin(other)
    fail(job, FAILURES - 1)
    fail(other)

    for late, batch in ((job, batch_id), (other, others)):
        for step in (steps.extract_and_map, steps.load):
            with pytest.raises(SystemDown, match=r"system 'payroll' is down: 3 attempts in a row failed") as raised:
                step(late, batch)
    with pytest.raises(SystemDown):
        begin(job)

    assert raised.value.until == breaker(lab)["open_until"]
    (told,) = alerts(lab)
    assert "system 'payroll' is down" in told
    assert breaker(lab)["last_error"] == "TransientError (SQLSTATE none)"
    assert len(lab.ledger("select 1 as n from ledger.attempt")) == FAILURES  # nothing was begun by those who wait


def test_once_it_counts_as_down_a_failed_task_needs_no_alert_of_its_own(lab: Lab, down: str) -> None:
    error = TransientError("x")
    error.down = "payroll"
    assert not alerting.has_told(error)
    fail(lab.job, FAILURES)

    assert alerting.has_told(error)
    assert not alerting.has_told(TransientError("a lock"))
    assert not alerting.has_told(None)


def test_when_the_pause_is_over_one_of_many_jobs_looks_and_its_success_lets_all_through(
    lab: Lab, down: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = lab.job
    fail(job, FAILURES)
    pass_time(lab)
    monkeypatch.setenv(TARGET, down)
    ready, decided = threading.Barrier(6), threading.Barrier(6)

    def ask() -> str:
        with ledger.opened("test") as book:
            ready.wait(30)
            try:
                with book.guarding(job, None, ["payroll", "mdm"]):
                    decided.wait(30)
                    connections.connect("payroll", purpose="test").close()
                    return "probe"
            except SystemDown:
                decided.wait(30)
                return "waits"

    threads = [in_thread(ask) for _ in range(6)]
    for thread, _ in threads:
        thread.join(60)

    assert sorted(ended[0] for _, ended in threads) == ["probe", *["waits"] * 5]
    assert (breaker(lab)["opened_at"], breaker(lab)["failures"]) == (None, 0)
    assert lab.run().verdict is Verdict.MATCHED
    events = lab.ledger("select event from ledger.audit where event like 'breaker%' order by audit_id")
    assert [row["event"] for row in events] == ["breaker_opened", "breaker_closed"]


def test_a_probe_that_fails_makes_the_pause_longer_and_tells_nobody_again(lab: Lab, down: str) -> None:
    job = lab.job
    fail(job, FAILURES)
    pass_time(lab)
    fail(job)

    now = breaker(lab)
    assert now["open_until"] - now["last_failed_at"] == 2 * PAUSE
    assert (now["openings"], len(alerts(lab))) == (2, 1)
    with pytest.raises(SystemDown):
        begin(job)


def test_a_probe_that_reached_the_system_and_failed_for_another_reason_closes_it(
    lab: Lab, down: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(lab.job, FAILURES)
    pass_time(lab)
    monkeypatch.setenv(TARGET, down)
    lab.sql("payroll", "alter table lab.person drop column name")

    with pytest.raises(SynclineError, match="name"):
        lab.run()

    assert breaker(lab)["opened_at"] is None


def test_a_probe_that_failed_at_the_other_side_lets_the_next_one_look(
    lab: Lab, down: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = lab.job
    fail(job, FAILURES)
    pass_time(lab)
    with ledger.opened("test") as book, pytest.raises(TransientError), book.guarding(job, None, ["mdm", "payroll"]):
        raise TransientError("the source, before the target was asked")

    assert (breaker(lab)["probe_until"], breaker(lab)["opened_at"] is None) == (None, False)


def test_a_success_in_between_begins_the_count_anew(lab: Lab, down: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = os.environ[TARGET]
    fail(lab.job, FAILURES - 1)
    monkeypatch.setenv(TARGET, down)
    steps.extract_and_map(lab.job, begin(lab.job))
    monkeypatch.setenv(TARGET, gone)
    fail(lab.job, FAILURES - 1)

    assert (breaker(lab)["opened_at"], breaker(lab)["failures"]) == (None, FAILURES - 1)


def test_a_refused_login_counts_a_missing_grant_does_not(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    there = os.environ[TARGET]
    monkeypatch.setenv(TARGET, make_conninfo(there, password="wrong"))
    fail(lab.job, FAILURES, EnvironmentFailure)
    assert breaker(lab)["last_error"] == "EnvironmentFailure (SQLSTATE none)"
    lab.ledger("truncate ledger.breaker")
    monkeypatch.setenv(TARGET, there)
    lab.sql("payroll", "revoke create on schema staged from syncline_loader")
    try:
        fail(lab.job, FAILURES, EnvironmentFailure)
    finally:
        lab.sql("payroll", "grant create on schema staged to syncline_loader")
    assert lab.ledger("select * from ledger.breaker") == []


def test_a_system_that_dies_in_the_middle_counts(lab: Lab) -> None:
    job = lab.job

    def die() -> None:
        with (
            ledger.opened("test") as book,
            book.guarding(job, None, ["payroll"]),
            target.writing(job, book.batch(begin(job)), step="test") as there,
        ):
            cut(lab, f"syncline {JOB} test")
            there.drop_staging()

    with pytest.raises(TransientError):
        die()
    assert breaker(lab)["failures"] == 1


def test_without_a_ledger_there_is_no_breaker(lab: Lab, down: str, monkeypatch: pytest.MonkeyPatch) -> None:
    job = lab.job
    batch_id = begin(job)
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", make_conninfo(os.environ["AIRFLOW_CONN_LEDGER"], port=closed_port()))

    for _ in range(FAILURES + 1):
        with pytest.raises(TransientError, match="connecting to 'ledger'") as raised:
            steps.extract_and_map(job, batch_id)
        assert not isinstance(raised.value, SystemDown)


def test_a_person_sees_it_and_may_close_it(lab: Lab, down: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(lab.job, FAILURES)

    refused = lab.shell("run", JOB)
    assert refused.returncode == 3
    assert refused.stderr.splitlines()[-1].startswith(f"syncline: {JOB}: system 'payroll' is down: 3 attempts")
    status = lab.shell("status")
    assert "system 'payroll' is down since" in status.stdout
    assert "1 jobs wait" in status.stdout
    assert '"systems_down": [\n      "payroll"\n    ]' in lab.shell("status", "--json").stdout
    monkeypatch.setenv(TARGET, down)
    assert lab.shell("close-breaker", "payroll").stdout == "'payroll' is open for work\n"
    assert lab.shell("close-breaker", "payroll").stdout == "'payroll' did not count as down\n"
    assert lab.run().verdict is Verdict.MATCHED
    assert "is down" not in lab.shell("status").stdout
