"""Backfills as operators make them, under a real Airflow: in any direction, over finished runs, beside other runs.

Whatever is clicked, rows are neither lost nor doubled nor set back, the watermark stays where the schedule's runs put
it, and every task succeeds on its first try or is skipped with a reason. Minutes: `make faults` runs it.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from tests.contracts.test_docs import UNDER_AIRFLOW, commands
from tests.demo.house import DAG, House, living
from tests.integration.faults import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

WHOLE_JOB = "mdm__warehouse__country"
WHOLE_DAG = f"sync__{WHOLE_JOB}"
WEEK = ("--from-date", "2026-01-04", "--to-date", "2026-01-11")  # seven runs, which begin at night
ALL_RUNS = ("--reprocess-behavior", "completed")
SPREAD = """
update mdm.worker as w set updated_at = timestamptz '2026-01-05 12:00Z' + (n % 6) * interval '1 day'
from (select ctid as place, row_number() over (order by tenant_id, worker_id) as n from mdm.worker) as numbered
where w.ctid = place
"""
NEWCOMERS = """
insert into mdm.worker select (jsonb_populate_record(w,
    jsonb_build_object('worker_id', 'new' || row_number() over (order by worker_id), 'updated_at', now()))).*
from mdm.worker as w where country_code = 'GB' and not is_deleted limit 20
"""
ROWS = "select * from hr.employee order by tenant_id, employee_no"
VALUES = "select tenant_id, employee_no, pay_status, bank_iban from hr.employee order by 1, 2"


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with living("bf", "sync_jobs.py") as made:
        made.sql("mdm", SPREAD)
        for dag in (DAG, WHOLE_DAG):
            made.await_first_run(dag)
        yield made


@pytest.fixture(autouse=True)
def nothing_failed(house: House) -> Iterator[None]:
    """After each test: no attempt failed, so no retry was burnt, nobody was alerted, and nothing is left open."""
    yield
    house.rest()
    assert house.sql("warehouse", "select * from ledger.attempt where outcome <> 'done'") == []
    assert house.sql("warehouse", "select * from ledger.alert") == []
    assert house.sql("warehouse", "select * from ledger.batch where state not in ('published', 'dry_run')") == []
    assert {run.state for dag in (DAG, WHOLE_DAG) for run in house.airflow.api.runs(dag)} == {"success"}


def test_ten_at_once_beside_a_run_by_hand_while_the_source_moves_on(house: House) -> None:
    before, since = house.sql("payroll", VALUES), house.last_batch()
    house.sql("mdm", NEWCOMERS)

    house.backfill(*WEEK, "--max-active-runs", "10")
    until("a backfilled run has begun", lambda: house.batches(since), seconds=120)
    by_hand = house.airflow.api.trigger(DAG)
    house.rest()

    (*windows,) = (batch for batch in house.batches(since) if batch["mode"] == "window")
    (daily,) = (batch for batch in house.batches(since) if batch["mode"] == "incremental")
    assert len(windows) == 7
    assert sum(batch["extracted_rows"] for batch in windows) >= len(before)
    assert {batch["changed_rows"] for batch in windows} == {0}
    assert daily["run_key"] == by_hand.run_id
    assert daily["batch_id"] < windows[-2]["batch_id"], "the run by hand had to queue behind the backfill"
    assert [mark["batch_id"] for mark in house.watermark()] == [daily["batch_id"]]
    after = house.sql("payroll", VALUES)
    assert len(after) - len(before) == daily["inserted_rows"] > 0
    assert [row for row in after if not row["employee_no"].startswith("new")] == before
    for run in house.airflow.api.runs(DAG):
        assert {*house.tasks(run).values()} == {("success", 1)}, run.run_id


def test_backwards_over_finished_runs_and_over_the_schedules_own(house: House) -> None:
    """F14 too: a finished run is cleared, a week is read again, and nothing changes."""
    rows, mark, since = house.sql("payroll", ROWS), house.watermark(), house.last_batch()
    (scheduled,) = (run for run in house.airflow.api.runs(DAG) if run.run_id.startswith("scheduled__"))

    house.backfill(*WEEK, *ALL_RUNS, "--run-backwards",
                   "--max-active-runs", "10")  # fmt: skip
    house.rest()
    now = datetime.now(UTC)
    house.backfill("--from-date", f"{now - timedelta(days=3):%F}", "--to-date", f"{now:%F}", *ALL_RUNS,
                   "--max-active-runs", "1")  # fmt: skip
    house.rest()

    again = house.batches(since)
    assert {batch["mode"] for batch in again} == {"window"}
    assert sum(batch["changed_rows"] for batch in again) == 0
    assert sum(batch["extracted_rows"] for batch in again) > 0
    assert scheduled.run_id in {batch["run_key"] for batch in again}
    assert house.sql("payroll", ROWS) == rows
    assert house.watermark() == mark

    (by_hand,) = (run for run in house.airflow.api.runs(DAG) if run.run_id.startswith("manual__"))
    house.airflow.api._call("POST", f"/dags/{DAG}/dagRuns/{quote(by_hand.run_id, safe='')}/clear", {"dry_run": False})
    house.rest()
    (cleared,) = house.batches(again[-1]["batch_id"])
    assert (cleared["mode"], cleared["changed_rows"]) == ("incremental", 0)
    assert cleared["extracted_rows"] > 0
    assert house.sql("payroll", ROWS) == rows
    assert house.watermark()[0]["source_as_of"] > mark[0]["source_as_of"]


def test_a_dry_backfill_tells_what_the_real_one_then_does(house: House) -> None:
    good = house.sql("payroll", VALUES)
    drifted = "source_event_at between '2026-01-06' and '2026-01-07'"
    house.sql("payroll", f"update hr.employee set pay_status = 'left' where {drifted} and pay_status <> 'left'")
    house.sql("payroll", f"delete from hr.employee where {drifted} and employee_no like '%7'")
    spoilt, since = house.sql("payroll", ROWS), house.last_batch()
    day = ("--from-date", "2026-01-05T12:00:00Z", "--to-date", "2026-01-06T12:00:00Z", *ALL_RUNS)

    house.backfill(*day, "--dag-run-conf", '{"dry_run": true}')
    house.rest()
    (dry,) = house.batches(since)
    (run,) = (run for run in house.airflow.api.runs(DAG) if run.run_id == dry["run_key"])
    ended = {task: state for task, (state, _try) in house.tasks(run).items()}
    assert (ended["load"], ended["reconcile"], ended["publish"]) == ("success", "skipped", "skipped")
    tries = house.tasks(run)["load"][1]
    log = json.dumps(house.get(f"/dags/{DAG}/dagRuns/{quote(run.run_id, safe='')}/taskInstances/load/logs/{tries}"))
    assert (
        f"dry run of batch {dry['batch_id']}: {dry['extracted_rows']:,} rows read, {dry['changed_rows']:,} would" in log
    )
    assert dry["inserted_rows"] > 0 < dry["updated_rows"]
    assert house.sql("payroll", ROWS) == spoilt

    house.backfill(*day)  # without saying that it is real: the run keeps its conf, as the runbook says
    house.rest()
    assert house.batches(dry["batch_id"])[0]["is_dry_run"]
    assert house.sql("payroll", ROWS) == spoilt

    house.backfill(*day, "--dag-run-conf", '{"dry_run": false}')
    house.rest()
    real = house.batches(dry["batch_id"])[-1]
    assert not real["is_dry_run"]
    assert [real[f"{what}_rows"] for what in ("inserted", "updated")] == [dry["inserted_rows"], dry["updated_rows"]]
    assert house.sql("payroll", VALUES) == good


def test_a_job_that_reads_everything_is_not_read_again_for_each_day(house: House) -> None:
    since = house.last_batch()

    house.backfill(*WEEK, "--max-active-runs", "3", dag=WHOLE_DAG)
    house.rest(WHOLE_DAG)

    assert house.batches(since, WHOLE_JOB) == []
    backfilled = [run for run in house.airflow.api.runs(WHOLE_DAG) if run.run_id.startswith("backfill__")]
    assert len(backfilled) == 7
    for run in backfilled:
        assert {state for state, _try in house.tasks(run).values()} == {"skipped"}


def test_every_airflow_command_of_the_documents_works(house: House) -> None:
    told = [line for line in commands() if line.startswith(UNDER_AIRFLOW)]

    assert len(told) >= 3
    for line in told:
        house.shell(shlex.split(line))
        house.rest()
