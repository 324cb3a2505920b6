"""Faults, brought about on real servers and in real processes; each test bears the number of its row in FAULTS.md.

After every fault the same three things are asked: was anything published that should not have been, does the next
run bring the target to what the source says, and are the counts honest about what happened.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import threading
import uuid
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from demo.servers import EmbeddedServer
from demo.world.provision import LOGIN_ROLES, provision
from syncline import steps
from syncline.adapters import connections, expectations, failpoints, source
from syncline.adapters.failures import telling
from syncline.core.errors import BatchHeld, Fenced, TerminalError, TransientError
from syncline.core.values import Mode, RunRequest, State, Verdict
from syncline.steps import alerting
from tests.conftest import ROOT
from tests.integration.conftest import JOB, LEDGER_RESET, SOURCE_DDL, TARGET_DDL, Lab
from tests.integration.faults import (
    BOUNDARIES,
    SEVERAL_BLOCKS,
    at,
    backends,
    closed_port,
    disarm,
    in_thread,
    many,
    person,
    started,
    states,
    until,
)


def cut(lab: Lab, application_name: str) -> None:
    """End the sessions of that name, as an administrator or a failover does."""
    ended = lab.sql(
        "postgres",
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name like %s",
        application_name,
    )
    assert ended, f"no session {application_name}"


def staging_tables(lab: Lab) -> list[str]:
    rows = lab.sql("payroll", "select relname from pg_class where relnamespace = 'staged'::regnamespace order by 1")
    return [row["relname"] for row in rows]


def markers(lab: Lab) -> list[int]:
    return [row["batch_id"] for row in lab.sql("payroll", "select batch_id from syncline.marker order by 1")]


def attempts(lab: Lab, batch_id: int) -> list[tuple[str, str, str | None]]:
    rows = lab.ledger("select * from ledger.attempt where batch_id = %s order by attempt_id", batch_id)
    return [(row["step"], row["outcome"], row["error_type"]) for row in rows]


# -- the worker dies ------------------------------------------------------------------------------------------


def test_F01_a_kill_in_the_middle_of_copy_publishes_nothing_and_the_next_run_completes(lab: Lab) -> None:
    many(lab)

    died = lab.shell("run", JOB, SYNCLINE_FAILPOINTS="extract.block@3:KILL")

    assert died.returncode == -signal.SIGKILL
    assert (lab.people(), states(lab), lab.ledger("select * from ledger.watermark")) == ({}, ["open"], [])
    done = lab.run()
    assert (done.verdict, done.counts.extracted_rows, done.counts.inserted_rows) == (
        Verdict.MATCHED,
        SEVERAL_BLOCKS,
        SEVERAL_BLOCKS,
    )
    assert states(lab) == ["abandoned", "published"]
    assert attempts(lab, 1) == [("extract_and_map", "failed", "Interrupted")]
    assert staging_tables(lab) == []


def test_F01_staging_tables_of_abandoned_and_held_batches_are_gone_after_the_next_run(lab: Lab) -> None:
    lab.manifest["errors"]["rejected_ratio_max"] = 0.1
    lab.hub(person("p1"), person("bad", born="never"))
    assert lab.shell("run", JOB, SYNCLINE_FAILPOINTS="extract.recorded:KILL").returncode == -signal.SIGKILL
    with pytest.raises(BatchHeld):
        lab.run()
    assert staging_tables(lab) == [f"{JOB}__2"]  # the first went when the second was staged
    lab.hub(person("bad", born="1990-01-01"))

    lab.run()

    assert (states(lab), staging_tables(lab)) == (["abandoned", "held", "published"], [])


def test_F01_a_staging_table_of_a_job_with_a_longer_name_or_of_a_later_batch_is_left_alone(lab: Lab) -> None:
    loader = os.environ["AIRFLOW_CONN_PAYROLL"]
    others = [f"{JOB}__x__1", f"{JOB}__999999", f"other__{JOB}__1"]
    with psycopg.connect(loader, autocommit=True) as session:
        for name in others:
            session.execute(f'create table staged."{name}" ()'.encode())
    try:
        lab.hub(person("p1"))
        lab.run()
        assert staging_tables(lab) == sorted(others)
    finally:
        for name in others:
            lab.sql("payroll", f'drop table staged."{name}"')


@pytest.mark.parametrize(
    ("place", "left", "counted"),
    [
        ("load.before_commit", 0, "inserted_rows"),  # rolled back: the next run writes them
        ("load.before_ledger", 2, "unchanged_rows"),  # committed: the next run finds them
    ],
)
def test_F02_a_kill_on_either_side_of_the_commit_is_told_as_what_it_was(
    lab: Lab, place: str, left: int, counted: str
) -> None:
    lab.hub(person("p1"), person("p2", tenant_id="t2"))

    assert lab.shell("run", JOB, SYNCLINE_FAILPOINTS=f"{place}:KILL").returncode == -signal.SIGKILL
    until("the dead session's transaction ends", lambda: not backends(lab))
    assert len(lab.people()) == left
    assert lab.ledger("select * from ledger.watermark") == []
    done = lab.run()

    assert (done.verdict, getattr(done.counts, counted), done.counts.settled_rows) == (Verdict.MATCHED, 2, 2)
    assert lab.people() == {"t1/p1": "Ann", "t2/p2": "Ann"}
    assert markers(lab) == ([1, 2] if left else [2])
    assert [row["published_by"] for row in lab.ledger("select published_by from ledger.batch")] == [2, 2]


def test_F02_the_same_run_retried_after_the_commit_reports_what_the_marker_says(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.hub(person("p1"), person("p2"))
    monkeypatch.setattr(failpoints, "_ARMED", "load.before_ledger:RAISE")
    failpoints._passed.clear()
    with pytest.raises(TransientError):
        lab.run("night")
    disarm(monkeypatch)

    done = lab.run("night")

    assert (done.batch_id, done.verdict, done.counts.inserted_rows) == (1, Verdict.MATCHED, 2)
    assert markers(lab) == [1]


@pytest.mark.parametrize("is_same_run", [True, False], ids=["retried", "next run"])
@pytest.mark.parametrize("place", BOUNDARIES)
def test_a_crash_at_any_boundary_repeats_work_and_never_skips_it(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, place: str, is_same_run: bool
) -> None:
    lab.hub(person("p1"), person("p2", tenant_id="t2"), person("bad", born="never"))
    monkeypatch.setattr(failpoints, "_ARMED", f"{place}:RAISE")
    failpoints._passed.clear()
    with pytest.raises(TransientError, match="failpoint"):
        lab.run("first")
    disarm(monkeypatch)

    done = lab.run("first" if is_same_run else "second")

    assert (done.verdict, done.state, done.counts.imbalance()) == (Verdict.MATCHED, State.PUBLISHED, None)
    assert lab.people() == {"t1/p1": "Ann", "t2/p2": "Ann"}
    assert len(markers(lab)) == len(set(markers(lab)))
    assert staging_tables(lab) == []
    (mark,) = lab.ledger("select batch_id from ledger.watermark")
    assert mark["batch_id"] == done.batch_id
    letters = lab.ledger("select source_key from ledger.dead_letter where state = 'open'")
    assert letters == [{"source_key": ["t1", "bad"]}]
    assert lab.ledger("select * from ledger.audit_broken") == []


def test_a_row_repaired_between_two_tries_of_one_extraction_leaves_no_open_letter(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.hub(person("p1"), person("bad", born="never"))
    monkeypatch.setattr(failpoints, "_ARMED", "extract.recorded:RAISE")
    failpoints._passed.clear()
    with pytest.raises(TransientError):
        lab.run("night")
    disarm(monkeypatch)
    lab.hub(person("bad", born="1990-01-01"))

    assert lab.run("night").counts.inserted_rows == 2
    assert lab.ledger("select state from ledger.dead_letter") == [{"state": "superseded"}]


# -- the other side dies --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "session"),
    [
        ("extract.block@2", f"syncline {JOB} extract"),  # source and target at once: both sessions bear the name
        ("extract.staged", f"syncline ledger {JOB} extract"),
        ("load.before_commit", f"syncline {JOB} load"),
        ("load.before_ledger", f"syncline ledger {JOB} load"),
    ],
)
def test_F04_a_terminated_session_is_transient_and_the_retry_succeeds(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, place: str, session: str
) -> None:
    many(lab)
    at(monkeypatch, place, lambda: cut(lab, session))

    with pytest.raises(TransientError):
        lab.run("night")
    disarm(monkeypatch)
    done = lab.run("night")

    assert (done.verdict, done.counts.extracted_rows, done.counts.inserted_rows) == (
        Verdict.MATCHED,
        SEVERAL_BLOCKS,
        SEVERAL_BLOCKS,
    )
    assert markers(lab) == [done.batch_id]


@pytest.mark.parametrize("database", ["mdm", "payroll"])
def test_F04_either_side_of_a_copy_may_be_cut(lab: Lab, monkeypatch: pytest.MonkeyPatch, database: str) -> None:
    many(lab)

    def cut_one_side() -> None:
        lab.sql(
            database,
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
            " where datname = current_database() and application_name like 'syncline%extract'",
        )

    at(monkeypatch, "extract.block@2", cut_one_side)
    with pytest.raises(TransientError):
        lab.run("night")
    disarm(monkeypatch)

    assert lab.run("night").counts.inserted_rows == SEVERAL_BLOCKS


def test_F04_a_cut_connection_has_no_sqlstate_and_is_transient(lab: Lab) -> None:
    with connections.connect("payroll", purpose="test", autocommit=True) as session:
        line = socket.socket(fileno=os.dup(session.fileno()))
        line.shutdown(socket.SHUT_RDWR)
        line.close()
        with pytest.raises(TransientError, match="SQLSTATE none"), telling("asking"):
            session.execute("select 1")


@pytest.fixture
def own_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Lab, EmbeddedServer]]:
    """A lab on a server of its own, which may be crashed."""
    folder = ROOT / "var" / "test" / f"crash-{os.getpid()}"
    server = EmbeddedServer(folder)
    try:
        with server:
            uris = provision(server.admin_conninfo, {role: uuid.uuid4().hex for role in LOGIN_ROLES}, tenants=["t1"])
            for name, uri in uris.items():
                monkeypatch.setenv(f"AIRFLOW_CONN_{name}", uri)
            monkeypatch.setenv("SYNCLINE_PAYLOAD_KEY", "A" * 43)
            monkeypatch.setenv("SYNCLINE_HOME", str(tmp_path))
            monkeypatch.setenv("SYNCLINE_VAR", str(tmp_path / "var"))
            made = Lab(server.admin_conninfo, tmp_path)
            made.sql("mdm", SOURCE_DDL)
            made.sql("payroll", TARGET_DDL)
            made.ledger(LEDGER_RESET)
            yield made, server
    finally:
        for left in folder.parent.glob(f"{folder.name}*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()


def test_F05_after_a_crash_of_the_target_the_emptied_staging_table_is_filled_again(
    own_lab: tuple[Lab, EmbeddedServer], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lab, server = own_lab
    lab.hub(person("p1"), person("p2"))
    job = lab.job
    batch_id = steps.extract_and_map(job, steps.open_batch(job, RunRequest(run_key="night")))
    port = server.port
    server.stop("immediate")
    with pytest.raises(TransientError):
        steps.load(job, batch_id)
    server.start()
    assert server.port == port
    assert lab.sql("payroll", f'select count(*) as n from staged."{JOB}__{batch_id}"') == [{"n": 0}]  # it is unlogged

    at(monkeypatch, "load.before_commit", lambda: server.stop("immediate"))  # and once more in the middle of the merge
    with pytest.raises(TransientError):
        steps.load(job, batch_id)
    server.start()
    disarm(monkeypatch)
    assert lab.people() == {}

    steps.reconcile(job, steps.load(job, batch_id))
    done = steps.publish(job, batch_id)

    assert (done.verdict, done.counts.inserted_rows, done.counts.extracted_rows) == (Verdict.MATCHED, 2, 2)
    assert lab.people() == {"t1/p1": "Ann", "t1/p2": "Ann"}
    assert "staging table lost" in caplog.text


# -- zombies --------------------------------------------------------------------------------------------------


def test_F09_an_attempt_that_was_stopped_and_comes_back_is_refused(lab: Lab) -> None:
    lab.hub(person("p1"))
    with started(lab, "extract.recorded:HOLD") as zombie:
        until("it holds", lambda: states(lab) == ["extracted"])
        zombie.send_signal(signal.SIGSTOP)
        lab.hub(person("p1", name="Bea"))
        assert lab.run().verdict is Verdict.MATCHED
        zombie.send_signal(signal.SIGCONT)
        _, said = zombie.communicate(timeout=60)

    assert (zombie.returncode, "overtaken by a newer attempt" in said) == (1, True), said
    assert (lab.people(), states(lab), markers(lab)) == ({"t1/p1": "Bea"}, ["abandoned", "published"], [2])


def test_F09_an_older_epoch_is_refused_once_a_newer_one_has_entered(lab: Lab) -> None:
    with psycopg.connect(os.environ["AIRFLOW_CONN_PAYROLL"], autocommit=True) as session:
        session.execute("select syncline.enter(%s, 7, '{t1}')", [JOB])
        session.execute("select syncline.enter(%s, 7, '{t1}')", [JOB])
        with pytest.raises(psycopg.Error) as refused:
            session.execute("select syncline.enter(%s, 6, '{t1}')", [JOB])
    assert refused.value.sqlstate == "SY001"


def test_F09_an_overtaken_attempt_cannot_stage_its_older_rows_under_the_newer_ones_name(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.hub(person("p1", name="OLD"))
    job = lab.job
    batch_id = steps.open_batch(job, RunRequest(run_key="night"))
    has_snapshot, go_on = threading.Event(), threading.Event()
    cut_off = source.Source.cut_off

    def slow(self: source.Source) -> Any:
        seen = cut_off(self)
        if not has_snapshot.is_set():
            has_snapshot.set()
            assert go_on.wait(30)
        return seen

    monkeypatch.setattr(source.Source, "cut_off", slow)
    thread, ended = in_thread(lambda: steps.extract_and_map(job, batch_id))
    assert has_snapshot.wait(30)
    lab.hub(person("p1", name="NEW"))
    steps.extract_and_map(job, batch_id)
    go_on.set()
    thread.join(30)

    assert isinstance(ended[0], Fenced)
    steps.reconcile(job, steps.load(job, batch_id))
    steps.publish(job, batch_id)
    assert lab.people() == {"t1/p1": "NEW"}


def test_F09_an_attempt_that_waited_for_an_older_one_finds_its_marker(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.hub(person("p1"))
    job = lab.job
    batch_id = steps.extract_and_map(job, steps.open_batch(job, RunRequest(run_key="night")))
    is_inside, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        is_inside.set()
        assert go_on.wait(30)

    at(monkeypatch, "load.before_commit", wait)
    older, old_end = in_thread(lambda: steps.load(job, batch_id))
    assert is_inside.wait(30)
    newer, new_end = in_thread(lambda: steps.load(job, batch_id))
    until(
        "the newer attempt waits at the fence",
        lambda: lab.sql("payroll", "select pid from pg_stat_activity where wait_event_type = 'Lock'"),
    )
    go_on.set()
    older.join(30)
    newer.join(30)

    assert isinstance(old_end[0], Fenced)  # its rows are in, but it may not tell the ledger
    assert new_end == [batch_id]
    steps.reconcile(job, batch_id)
    done = steps.publish(job, batch_id)
    assert (done.counts.inserted_rows, markers(lab)) == (1, [batch_id])


# -- replay and deploys ---------------------------------------------------------------------------------------


def test_F14_a_finished_run_a_full_run_and_a_window_again_change_no_row(lab: Lab) -> None:
    lab.hub(*(person(f"p{n}") for n in range(5)), person("gone"))
    lab.run("night")
    lab.hub(person("gone", is_deleted=True))
    lab.run("next")
    rows = "select xmin::text, ctid::text, * from lab.person order by person_no"
    before = lab.sql("payroll", rows)
    day = lab.sql("mdm", "select now() - interval '7 days' as begin, now() + interval '1 day' as until")[0]
    window = (day["begin"], day["until"])
    again = [lab.run("night"), lab.run(mode=Mode.FULL), lab.run(mode=Mode.WINDOW, window=window)]

    assert [done.counts.changed_rows for done in again] == [0, 0, 0]
    assert [done.counts.extracted_rows for done in again] == [6, 6, 6]
    assert lab.sql("payroll", rows) == before


def test_publishing_twice_is_a_no_op_also_when_the_next_batch_has_begun(lab: Lab) -> None:
    lab.hub(person("p1"))
    first = lab.run("night")
    second = steps.open_batch(lab.job, RunRequest(run_key="next"))

    assert steps.publish(lab.job, first.batch_id).state is State.PUBLISHED

    for step in (steps.extract_and_map, steps.load, steps.reconcile):
        step(lab.job, second)
    assert steps.publish(lab.job, second).state is State.PUBLISHED
    events = lab.ledger("select event from ledger.audit where event = 'batch_abandoned'")
    assert events == []


def test_a_batch_that_was_not_loaded_is_not_reconciled_though_its_counts_agree(lab: Lab) -> None:
    lab.hub(person("p1"))
    lab.run()
    lab.hub(person("p1", name="Bea"))
    batch_id = steps.extract_and_map(lab.job, steps.open_batch(lab.job, RunRequest(run_key="next")))

    with pytest.raises(TerminalError, match="not loaded"):
        steps.reconcile(lab.job, batch_id)
    with pytest.raises(BatchHeld, match="unverified"):
        steps.publish(lab.job, batch_id)


@pytest.mark.parametrize("is_sent", [signal.SIGTERM, signal.SIGKILL])
def test_F15_a_worker_that_is_ended_in_the_load_leaves_no_row_and_no_backend(lab: Lab, is_sent: signal.Signals) -> None:
    lab.hub(person("p1"))
    with started(lab, "load.before_commit:HOLD") as worker:
        until("the transaction is open", lambda: any(row["state"] == "idle in transaction" for row in backends(lab)))
        worker.send_signal(is_sent)
        worker.wait(20)
    until("no backend is left", lambda: not backends(lab), seconds=10)

    assert lab.people() == {}
    assert lab.run().counts.inserted_rows == 1


def test_F15_a_worker_that_is_ended_while_its_statement_runs_leaves_no_backend(lab: Lab) -> None:
    lab.hub(person("p1"))
    lab.run()
    lab.hub(person("p1", name="Bea"))
    with psycopg.connect(make_conninfo(lab.admin, dbname="payroll")) as other:
        other.execute("lock table lab.person in access exclusive mode")
        with started(lab, "") as worker:
            waiting = "select pid from pg_stat_activity where wait_event_type = 'Lock' and application_name like %s"
            until("it waits for the lock", lambda: lab.sql("payroll", waiting, f"syncline {JOB} %"))
            worker.send_signal(signal.SIGTERM)
            worker.wait(20)
        until("its backend ends though the lock is held", lambda: not backends(lab), seconds=20)

    assert lab.run().counts.updated_rows == 1


# -- alerts ---------------------------------------------------------------------------------------------------


class Pager:
    """A paging service on loopback that notes what it is sent."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        pager = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                pager.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/alerts"

    def __enter__(self) -> Pager:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def test_F16_an_alert_that_no_sink_takes_waits_in_the_ledger_and_arrives_later(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNCLINE_ALERT_WEBHOOK", f"http://127.0.0.1:{closed_port()}/alerts")
    lab.manifest["errors"]["rejected_ratio_max"] = 0.1
    lab.hub(person("p1"), person("bad", born="never"))
    with pytest.raises(BatchHeld):
        lab.run()
    alerting.task_failed(lab.job, 1, "load", "TransientError")
    (status,) = json.loads(lab.shell("status", JOB, "--json").stdout)
    assert (status["state"], status["pending_alerts"]) == ("held", 2)
    (first, _) = lab.ledger(
        "select delivered_at, delivery_attempts > 0 as is_tried from ledger.alert order by alert_id"
    )
    assert first == {"delivered_at": None, "is_tried": True}

    lab.hub(person("bad", born="1990-01-01"))
    with Pager() as pager:
        monkeypatch.setenv("SYNCLINE_ALERT_WEBHOOK", pager.url)
        lab.run()

    assert [sent["control"] for sent in pager.received] == ["rejected-rows", "SYNC-007"]
    assert all(row["delivered_at"] for row in lab.ledger("select delivered_at from ledger.alert"))
    assert alerting.deliver_pending() == 0


# -- a moving source ------------------------------------------------------------------------------------------


def test_F17_a_commit_that_is_late_by_two_runs_is_not_missed(lab: Lab) -> None:
    lab.hub(person("p1", at="2026-01-01Z"), person("p2"))
    with psycopg.connect(make_conninfo(lab.admin, dbname="mdm")) as late:
        late.execute("update lab.person set name = 'Late', updated_at = now() where person_id = 'p1'")
        lab.run()
        lab.hub(person("p2", name="Bea"))
        lab.run()
        assert lab.people() == {"t1/p1": "Ann", "t1/p2": "Bea"}
        late.commit()

    lab.run()

    assert lab.people() == {"t1/p1": "Late", "t1/p2": "Bea"}


def test_F18_a_prepared_transaction_that_commits_after_the_watermark_is_not_missed(lab: Lab) -> None:
    lab.hub(person("p1"))
    admin = make_conninfo(lab.admin, dbname="mdm")
    with psycopg.connect(admin, autocommit=True) as session:
        session.execute("begin")
        session.execute("insert into lab.person (tenant_id, person_id, name) values ('t1', 'prepared', 'Zoe')")
        session.execute("prepare transaction 'F18'")
    try:
        lab.run()
        lab.hub(person("p2"))
        lab.run()
        assert "t1/prepared" not in lab.people()
        (mark,) = lab.ledger("select cursor_floor from ledger.watermark")
        assert mark["cursor_floor"] is None  # when it began is recorded nowhere, so no index bound is safe
        lab.sql("mdm", "commit prepared 'F18'")
    except BaseException:
        lab.sql("mdm", "rollback prepared 'F18'")
        raise

    done = lab.run()

    assert lab.people()["t1/prepared"] == "Zoe"
    assert done.verdict is Verdict.MATCHED


def test_F20_a_crash_inside_ten_thousand_rows_of_one_instant_skips_none(lab: Lab) -> None:
    many(lab, 10_000)
    lab.run()
    lab.sql("mdm", "update lab.person set name = replace(name, 'Ann', 'Bea'), updated_at = now()")
    assert lab.sql("mdm", "select count(distinct updated_at) as n from lab.person") == [{"n": 1}]
    died = lab.shell("run", JOB, SYNCLINE_FAILPOINTS="extract.block@6:KILL")
    assert died.returncode == -signal.SIGKILL

    done = lab.run()

    assert (done.mode, done.counts.updated_rows) == (Mode.INCREMENTAL, 10_000)
    assert lab.sql("payroll", "select count(*) as n from lab.person where name like 'Bea%'") == [{"n": 10_000}]


@pytest.mark.parametrize(
    ("database", "place", "doing"),
    [
        ("mdm", "", "reading lab.person"),
        ("payroll", "", "batch 2: looking at the target at 'payroll'"),
        ("payroll", "extract.recorded", "batch 2: loading at 'payroll'"),
    ],
)
def test_F25_a_locked_table_is_told_with_who_holds_it_and_nothing_moves(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, database: str, place: str, doing: str
) -> None:
    lab.hub(person("p1"))
    lab.run()
    lab.hub(person("p1", name="Bea"))
    mark = lab.ledger("select * from ledger.watermark")
    monkeypatch.setattr(connections, "LOCK_TIMEOUT_S", 1)
    with psycopg.connect(make_conninfo(lab.admin, dbname=database), application_name="nightly close") as other:
        lock = partial(other.execute, "lock table lab.person in access exclusive mode")
        holder = other.info.backend_pid
        at(monkeypatch, place, lock) if place else lock()
        with pytest.raises(TransientError) as raised:
            lab.run("night")

    assert str(raised.value) == (
        f"{JOB}: {doing}: waited 1 s for a lock on lab.person, held by process {holder} (nightly close). "
        "Nothing was written. Have that session end, or wait for it; the same call may succeed later"
    )
    disarm(monkeypatch)
    assert (lab.people(), lab.ledger("select * from ledger.watermark")) == ({"t1/p1": "Ann"}, mark)
    assert lab.run("night").counts.updated_rows == 1


def test_F25_a_job_whose_other_attempt_is_stuck_says_which_session_to_end(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.hub(person("p1"))
    monkeypatch.setattr(connections, "LOCK_TIMEOUT_S", 1)
    with psycopg.connect(os.environ["AIRFLOW_CONN_PAYROLL"], application_name=f"syncline {JOB} load") as stuck:
        stuck.execute("select syncline.enter(%s, 0, '{t1}')", [JOB])
        with pytest.raises(TransientError, match=rf"held by process {stuck.info.backend_pid} \(syncline {JOB} load\)"):
            lab.run("night")

    assert lab.run("night").verdict is Verdict.MATCHED


# -- the judge ------------------------------------------------------------------------------------------------


def test_F55_a_judge_that_raises_leaves_the_gate_closed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.hub(person("p1"))

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("the judge is ill")

    with monkeypatch.context() as patched:
        patched.setattr(expectations, "judge", broken)
        with pytest.raises(RuntimeError):
            lab.run("night")
    with pytest.raises(BatchHeld, match="unverified"):
        steps.publish(lab.job, 1)
    assert lab.ledger("select verdict, published_by from ledger.batch") == [
        {"verdict": "unverified", "published_by": None}
    ]

    assert lab.run("night").verdict is Verdict.MATCHED


def test_F55_rows_without_any_tenant_in_the_source_are_not_proof(lab: Lab) -> None:
    lab.hub(person("p1"))
    lab.run()
    lab.ledger(LEDGER_RESET)
    lab.sql("payroll", "delete from syncline.marker; delete from syncline.fence")
    lab.sql("mdm", "delete from lab.person")

    with pytest.raises(BatchHeld, match="SYNC-005"):  # a lost grant and an empty source look alike
        lab.run()

    assert (states(lab), lab.ledger("select * from ledger.watermark")) == (["held"], [])


def test_F55_a_run_for_a_tenant_without_rows_is_not_green_also_while_letters_wait(lab: Lab) -> None:
    lab.hub(person("p1"), person("bad", born="never"))
    lab.run()
    lab.sql("payroll", "delete from syncline.job_tenant where tenant_id = 't2'")  # its policy would be asked for rows

    with pytest.raises(TerminalError, match="neither the source has rows of nor the target grants"):
        lab.run(tenants=("t2",))


def test_F55_the_ledger_itself_refuses_to_publish_what_is_not_matched(lab: Lab) -> None:
    lab.hub(person("p1"))
    steps.open_batch(lab.job, RunRequest(run_key="night"))

    with pytest.raises(psycopg.errors.CheckViolation):
        lab.ledger("update ledger.batch set state = 'published'")
