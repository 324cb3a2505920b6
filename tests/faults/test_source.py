"""The source moves, is locked, changed or cut while it is read: rows F17 to F31 of FAULTS.md."""

from __future__ import annotations

import os
import signal
from functools import partial

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from syncline.core.errors import TransientError
from syncline.core.values import Mode, Verdict
from tests.integration.conftest import JOB, Lab
from tests.integration.faults import (
    at,
    disarm,
    many,
    person,
)

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
        ("mdm", "", "counting lab.person"),
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
    lab.manifest["source"]["lock_timeout_s"] = lab.manifest["target"]["lock_timeout_s"] = 1
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
    lab.manifest["source"]["lock_timeout_s"] = lab.manifest["target"]["lock_timeout_s"] = 1
    with psycopg.connect(os.environ["AIRFLOW_CONN_PAYROLL"], application_name=f"syncline {JOB} load") as stuck:
        stuck.execute("select syncline.enter(%s, 0, '{t1}')", [JOB])
        with pytest.raises(TransientError, match=rf"held by process {stuck.info.backend_pid} \(syncline {JOB} load\)"):
            lab.run("night")

    assert lab.run("night").verdict is Verdict.MATCHED
