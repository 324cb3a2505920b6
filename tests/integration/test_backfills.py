"""What a backfill may meet: a source that moves on, rows newer than its window, empty days, runs asked for anew.

A backfill is a batch of mode window. It answers for its own rows, overwrites nothing newer and leaves the watermark;
that the scheduler's side of it holds, tests/demo/test_backfills.py shows.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncline import steps
from syncline.core.errors import BatchHeld
from syncline.core.values import Mode, RunRequest, State, Verdict
from tests.integration.conftest import JOB, Lab
from tests.integration.faults import person

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
WINDOW: dict[str, Any] = {"mode": Mode.WINDOW, "window": (JANUARY, JANUARY + DAY)}
IN_IT, LATER = "2026-01-01 10:00Z", "2026-01-02 10:00Z"


def loaded_window(lab: Lab) -> int:
    """A window that waits to be reconciled."""
    batch_id = steps.open_batch(lab.job, RunRequest(run_key="window", **WINDOW))
    steps.extract_and_map(lab.job, batch_id)
    return steps.load(lab.job, batch_id)


def watermark(lab: Lab) -> Any:
    return lab.ledger("select batch_id, snapshot::text, cursor_floor, source_as_of, moved_at from ledger.watermark")


# -- judged by its own rows -----------------------------------------------------------------------------------


def test_a_window_does_not_answer_for_what_happened_outside_it_since_the_watermark(lab: Lab) -> None:
    lab.hub(person("p1", at=IN_IT), *(person(f"old{n}", at=LATER) for n in range(3)))
    lab.run()
    before = watermark(lab)
    lab.hub(*(person(f"new{n}") for n in range(20)), person("old0", is_deleted=True))
    lab.sql("payroll", "delete from lab.person where person_no = 'old1'")

    done = lab.run(**WINDOW)

    assert (done.state, done.counts.unchanged_rows, done.counts.changed_rows) == (State.PUBLISHED, 1, 0)
    assert watermark(lab) == before
    assert lab.run(mode=Mode.FULL).counts.inserted_rows == 21  # nothing was taken for done that was not


@pytest.mark.parametrize("lost", ["p1", "p2"])
def test_a_row_of_the_window_that_the_target_lost_holds_it(lab: Lab, lost: str) -> None:
    lab.hub(person("p1", at=IN_IT), person("p2", tenant_id="t2", at=IN_IT), person("p3", at=LATER))
    lab.run()
    batch_id = loaded_window(lab)
    lab.sql("payroll", "delete from lab.person where person_no = %s", lost)

    with pytest.raises(BatchHeld, match="1 of 2 rows different"):
        steps.reconcile(lab.job, batch_id)


def test_a_deleted_row_of_the_window_that_the_target_still_has_holds_it(lab: Lab) -> None:
    lab.hub(person("p1", at=IN_IT), person("gone", at=IN_IT))
    lab.run()
    lab.hub(person("gone", at="2026-01-01 11:00Z", is_deleted=True))
    batch_id = loaded_window(lab)
    lab.sql("payroll", "insert into lab.person (tenant_id, person_no, name) values ('t1', 'gone', 'Ann')")

    with pytest.raises(BatchHeld, match="1 of 1 rows different"):
        steps.reconcile(lab.job, batch_id)


@pytest.mark.parametrize("is_soft", [False, True])
def test_a_window_carries_deletions(lab: Lab, is_soft: bool) -> None:
    if is_soft:
        lab.manifest["target"] |= {"on_delete": "soft", "deleted": "is_gone"}
    lab.hub(person("p1", at=IN_IT), person("gone", at=IN_IT))
    lab.run()
    lab.hub(person("gone", at="2026-01-01 11:00Z", is_deleted=True))

    assert lab.run(**WINDOW).counts.deleted_rows == 1
    assert lab.run(**WINDOW).counts.changed_rows == 0
    assert lab.people() == {"t1/p1": "Ann"}


def test_rejected_rows_of_the_window_are_excused_where_the_target_lacks_them(lab: Lab) -> None:
    """One was good before, so its older version stands; one never was; one outside the window waits already."""
    lab.manifest["errors"]["rejected_ratio_max"] = 1
    lab.mapping["fields"]["born"]["checks"] = ["required"]
    lab.hub(person("p1", at=IN_IT), person("outside", born="", at=LATER))
    lab.run()
    lab.hub(person("p1", born="", at=IN_IT), person("never", born="", at=IN_IT), person("good", at=IN_IT))

    done = lab.run(**WINDOW)

    assert (done.verdict, done.counts.rejected_rows, done.counts.inserted_rows) == (Verdict.MATCHED, 2, 1)
    (line,) = lab.ledger("select * from ledger.tenant_count where batch_id = %s", done.batch_id)
    assert (line["source_rows"], line["excused_rows"], line["target_rows"]) == (3, 1, 2)


def test_an_empty_window_is_matched_but_one_of_a_source_that_shows_nothing_is_not(lab: Lab) -> None:
    lab.hub(person("p1", at=LATER))
    lab.run()

    assert lab.run(**WINDOW).state is State.PUBLISHED

    lab.sql("mdm", "truncate lab.person")
    with pytest.raises(BatchHeld, match="unverified: 0 rows on both sides"):
        lab.run(**WINDOW)


def test_a_window_whose_staging_table_is_lost_proves_nothing_and_can_be_run_again(lab: Lab) -> None:
    lab.hub(person("p1", at=IN_IT))
    lab.run()
    batch_id = loaded_window(lab)
    lab.sql("payroll", f'truncate staged."{JOB}__{batch_id}"')

    with pytest.raises(BatchHeld, match="unverified"):
        steps.reconcile(lab.job, batch_id)
    assert lab.run("window", **WINDOW).state is State.PUBLISHED


# -- safe in any order ----------------------------------------------------------------------------------------


def test_windows_in_any_order_leave_what_the_nightly_runs_would(lab: Lab) -> None:
    """Days backwards, overlapping, twice, before the first whole batch, and under a newer value that another brought."""
    days = [(JANUARY + n * DAY, JANUARY + (n + 1) * DAY) for n in range(4)]
    lab.hub(*(person(f"p{n}", name=f"day {n}", at=f"2026-01-0{n + 1} 12:00Z") for n in range(4)))
    first = [lab.run(mode=Mode.WINDOW, window=day).counts.inserted_rows for day in reversed(days)]
    assert (first, watermark(lab)) == ([1, 1, 1, 1], [])

    lab.run()
    lab.sql("payroll", "update lab.person set name = 'newer', source_event_at = '2026-02-01' where person_no = 'p3'")
    before = watermark(lab)
    rows = "select xmin::text, ctid::text, * from lab.person order by person_no"
    there = lab.sql("payroll", rows)
    for window in (*days, *reversed(days), (JANUARY, JANUARY + 7 * DAY), days[1]):
        assert lab.run(mode=Mode.WINDOW, window=window).counts.changed_rows == 0
    assert lab.sql("payroll", rows) == there
    assert watermark(lab) == before
    superseded = lab.ledger("select sum(superseded_rows)::int as n from ledger.batch where mode = 'window'")
    assert superseded == [{"n": 3}]


# -- a run that now asks for something else -------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    [{"dry_run": True}, {"tenants": ("t1",)}, WINDOW, {"mode": Mode.FULL}],
    ids=["dry run", "one tenant", "window", "full"],
)
def test_a_failed_run_that_a_backfill_takes_over_does_what_is_asked_now(lab: Lab, asked: dict[str, Any]) -> None:
    """`airflow backfill --reprocess-behavior failed --dag-run-conf '{"dry_run": true}'` must not write."""
    lab.hub(person("p1", at=LATER))
    lab.run()
    lab.hub(person("p2"), person("p3", tenant_id="t2"))
    failed = steps.extract_and_map(lab.job, steps.open_batch(lab.job, RunRequest(run_key="night")))

    done = lab.run("night", **asked)

    assert done.batch_id != failed
    assert lab.ledger("select state from ledger.batch where batch_id = %s", failed) == [{"state": "abandoned"}]
    assert ("t1/p2" in lab.people()) is (asked not in ({"dry_run": True}, WINDOW))
    assert ("t2/p3" in lab.people()) is (asked == {"mode": Mode.FULL})
    assert {"t1/p2", "t2/p3"} <= {*lab.people()} or lab.run().counts.inserted_rows
    assert {"t1/p2", "t2/p3"} <= {*lab.people()}


@pytest.mark.parametrize("asked", [{}, {"dry_run": True}, {"tenants": ("t2", "t1")}, WINDOW], ids=str)
def test_a_failed_run_that_asks_for_the_same_goes_on_where_it_stopped(lab: Lab, asked: dict[str, Any]) -> None:
    lab.hub(person("p1", at=IN_IT))
    failed = steps.extract_and_map(lab.job, steps.open_batch(lab.job, RunRequest(run_key="night", **asked)))

    assert lab.run("night", **asked).batch_id == failed


# -- jobs without intervals -----------------------------------------------------------------------------------


def backfilled(end: datetime, **asked: Any) -> RunRequest:
    return RunRequest(run_key="backfill", window=(end - DAY, end), is_backfill=True, **asked)


def test_a_job_that_reads_everything_has_nothing_to_backfill_once_it_did(lab: Lab) -> None:
    long_ago, tomorrow = backfilled(JANUARY), backfilled(datetime.now(UTC) + DAY)
    lab.hub(person("p1"))
    assert steps.covering_batch(lab.job, long_ago) is None  # it has a cursor

    del lab.manifest["source"]["cursor"], lab.manifest["target"]["version"]
    assert steps.covering_batch(lab.job, long_ago) is None  # nothing was ever read
    lab.sql("payroll", "insert into lab.person (tenant_id, person_no, name) values ('t2', 'stranger', 'X')")
    with pytest.raises(BatchHeld):
        lab.run()
    assert steps.covering_batch(lab.job, long_ago) is None  # not proven
    lab.sql("payroll", "delete from lab.person where person_no = 'stranger'")
    proven = lab.run().batch_id

    assert steps.covering_batch(lab.job, long_ago) == proven
    assert steps.covering_batch(lab.job, tomorrow) is None  # read before the interval ended
    assert steps.covering_batch(lab.job, backfilled(JANUARY, dry_run=True)) is None
    assert steps.covering_batch(lab.job, RunRequest(run_key="by hand")) is None
    lab.mapping["fields"]["name"]["steps"] = ["trim", "upper"]
    assert steps.covering_batch(lab.job, long_ago) is None  # read with another mapping


# -- dry runs from the shell ----------------------------------------------------------------------------------


def test_a_dry_run_of_a_window_prints_what_would_change_and_status_keeps_it(lab: Lab) -> None:
    lab.hub(person("p1", at=IN_IT), person("p2", tenant_id="t2", at=IN_IT), person("p3", at=LATER))
    lab.run(tenants=("t1",))

    told = lab.shell(
        "run", JOB, "--mode", "window", "--from", "2026-01-01", "--to", "2026-01-02", "--dry-run"
    )  # fmt: skip

    assert told.returncode == 0, told.stderr
    sentence, head, *table = told.stdout.splitlines()
    assert "is dry_run, unverified: 2 rows read" in sentence
    assert head.endswith("2 rows read, 1 would change. Nothing was written")
    assert [row.split() for row in table] == [
        ["tenant", "read", "rejected", "inserted", "updated", "deleted", "unchanged"],
        ["all", "2", "0", "1", "0", "0", "1"],
        ["t2", "1", "0", "1", "0", "0", "0"],
    ]
    assert lab.people() == {"t1/p1": "Ann", "t1/p3": "Ann"}
    shown = lab.shell("status", JOB).stdout
    assert "last dry run" in shown
    assert "inserted_rows 1" in shown
