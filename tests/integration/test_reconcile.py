"""SYNC-005 deepened: both directions, the batch's own keys, a second count before the alarm, the sheet that is shown."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from syncline import steps
from syncline.core.errors import BatchHeld
from syncline.core.suites import GENERAL, own_suite
from syncline.core.values import Mode, RunRequest, State, Verdict
from syncline.steps import looking
from tests.integration.conftest import JOB, RECONCILE, Lab
from tests.integration.faults import person

LINE = "missing_rows, extra_rows, brought_rows, missing_keys, extra_keys"
STRANGER = "insert into lab.person (tenant_id, person_no, name) values ('t1', 'stranger', 'X')"


def loaded(lab: Lab, mode: Mode | None = None) -> int:
    """A batch that waits to be reconciled."""
    batch_id = steps.open_batch(lab.job, RunRequest(run_key="waiting", mode=mode))
    steps.extract_and_map(lab.job, batch_id)
    return steps.load(lab.job, batch_id)


def lines(lab: Lab, batch_id: int) -> dict[str, tuple[int, ...]]:
    rows = lab.ledger(f"select tenant_id, {LINE} from ledger.tenant_count where batch_id = %s", batch_id)
    return {row["tenant_id"]: tuple(row[name] for name in LINE.split(", ")) for row in rows}


def evidence(lab: Lab, batch_id: int) -> dict[str, Any]:
    rows = lab.ledger("select evidence from ledger.result where batch_id = %s order by result_id", batch_id)
    found: dict[str, Any] = rows[-1]["evidence"]
    return found


def while_settling(monkeypatch: pytest.MonkeyPatch, do: Callable[[], Any]) -> list[float]:
    """What somebody else does while the target is left to settle; the waits that there were."""
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        do()

    monkeypatch.setattr(RECONCILE, "time", SimpleNamespace(sleep=sleep))
    return waits


# -- the batch's own keys, in both directions ------------------------------------------------------------------


def test_a_batch_whose_keys_all_stand_tells_how_many_it_brought(lab: Lab) -> None:
    lab.hub(person("p1"), person("p2", tenant_id="t2"), person("bad", born="never"))

    done = lab.run()

    assert lines(lab, done.batch_id) == {"t1": (0, 0, 1, 0, 0), "t2": (0, 0, 1, 0, 0)}


def test_a_lost_row_is_not_made_up_for_by_a_stranger_of_the_same_tenant(lab: Lab) -> None:
    """Counts agree: as many rows as there should be, and one of them is another."""
    lab.hub(person("p1"), person("p2"), person("p3", tenant_id="t2"))
    batch_id = loaded(lab)
    lab.sql("payroll", "update lab.person set person_no = 'stranger' where person_no = 'p1'")

    with pytest.raises(BatchHeld, match=r"2 of 3 rows different in total \(1 missing, 1 too many"):
        steps.reconcile(lab.job, batch_id)

    assert lines(lab, batch_id) == {"t1": (1, 1, 2, 1, 0), "t2": (0, 0, 1, 0, 0)}
    assert evidence(lab, batch_id)["total"][0]["difference_rows"] == 2


def test_a_deletion_that_did_not_last_is_not_made_up_for_by_a_row_that_went(lab: Lab) -> None:
    lab.hub(person("p1"), person("gone"), person("old"))
    lab.run()
    lab.hub(person("gone", is_deleted=True))
    batch_id = loaded(lab)
    lab.sql("payroll", "update lab.person set person_no = 'gone' where person_no = 'old'")

    with pytest.raises(BatchHeld, match="1 missing, 1 too many"):
        steps.reconcile(lab.job, batch_id)

    assert lines(lab, batch_id) == {"t1": (1, 1, 1, 0, 1)}


def test_one_key_of_a_small_batch_is_judged_by_the_batch_and_not_by_a_large_table(lab: Lab) -> None:
    lab.sql(
        "mdm",
        "insert into lab.person (tenant_id, person_id, name, born)"
        " select 't1', 'old' || n, 'Ann', '1990-01-01' from generate_series(1, 2000) as n",
    )
    lab.run()
    lab.hub(person("new"))
    batch_id = loaded(lab)
    lab.sql("payroll", "delete from lab.person where person_no = 'new'")

    with pytest.raises(BatchHeld, match=r"1 of 2001 rows different in total .* the worst tenant 100.000%"):
        steps.reconcile(lab.job, batch_id)


def test_what_counts_and_keys_cannot_see_is_seen_by_a_full_run(lab: Lab) -> None:
    """A swap outside of the batch: the next full run compares every row, puts back what is missing, and tells."""
    lab.hub(person("p1"), person("p2"))
    lab.run()
    lab.sql("payroll", "update lab.person set person_no = 'stranger' where person_no = 'p1'")
    lab.hub(person("p3"))
    assert lab.run().verdict is Verdict.MATCHED

    with pytest.raises(BatchHeld, match=r"\(0 missing, 1 too many"):
        lab.run(mode=Mode.FULL)

    assert lab.people() == {"t1/p1": "Ann", "t1/p2": "Ann", "t1/p3": "Ann", "t1/stranger": "Ann"}


def test_missing_and_extra_rows_of_two_tenants_are_two_numbers(lab: Lab) -> None:
    lab.hub(person("p1"), person("p2"), person("p3", tenant_id="t2"))
    lab.run()
    lab.sql("payroll", "update lab.person set tenant_id = 't2' where person_no = 'p1'")
    lab.hub(person("p4"))
    batch_id = loaded(lab)

    with pytest.raises(BatchHeld, match="2 of 4 rows different in total .1 missing, 1 too many"):
        steps.reconcile(lab.job, batch_id)

    assert {tenant: line[:2] for tenant, line in lines(lab, batch_id).items()} == {"t1": (1, 0), "t2": (0, 1)}


@pytest.mark.parametrize("policy", ["hard", "soft"])
def test_a_row_that_is_newer_than_its_deletion_stands_by_right(lab: Lab, policy: str) -> None:
    """Law 5 left it, and its load said superseded: no key has too much. The count tells it, as it always did."""
    lab.manifest["reconcile"] = {"mismatch_ratio_max": 1.0}
    lab.manifest["target"] |= {"on_delete": "soft", "deleted": "is_gone"} if policy == "soft" else {}
    lab.hub(person("p1"), person("p2"))
    lab.run()
    lab.sql("payroll", "update lab.person set source_event_at = '2099-01-01' where person_no = 'p2'")
    lab.hub(person("p2", is_deleted=True))

    done = lab.run()

    assert done.counts.superseded_rows == 1
    assert lines(lab, done.batch_id) == {"t1": (0, 1, 1, 0, 0)}


def test_softly_deleted_rows_are_not_missing_and_a_hidden_living_one_is(lab: Lab) -> None:
    lab.manifest["target"] |= {"on_delete": "soft", "deleted": "is_gone"}
    lab.hub(person("p1"), person("gone"))
    lab.run()
    lab.hub(person("gone", is_deleted=True), person("p2"))
    batch_id = loaded(lab)
    lab.sql("payroll", "update lab.person set is_gone = true where person_no = 'p2'")

    with pytest.raises(BatchHeld, match="1 missing, 0 too many"):
        steps.reconcile(lab.job, batch_id)

    assert lines(lab, batch_id) == {"t1": (1, 0, 2, 1, 0)}


def test_without_its_staging_table_a_batch_is_proven_by_counts_and_says_so(lab: Lab) -> None:
    lab.hub(person("p1"))
    batch_id = loaded(lab)
    lab.sql("payroll", f'truncate staged."{JOB}__{batch_id}"')

    steps.reconcile(lab.job, batch_id)

    assert lines(lab, batch_id) == {"t1": (0, 0, None, None, None)}
    assert evidence(lab, batch_id)["keys_looked_up"] is False
    assert "keys of the batch: not looked up, its staging table was lost" in looking.status(JOB)[0]["balance_sheet"]


def test_rows_that_the_target_refused_are_no_keys_of_the_batch(lab: Lab) -> None:
    lab.sql("payroll", "alter table lab.person add constraint no_eve check (name <> 'Eve')")
    lab.hub(person("p1"), person("eve", name="Eve"))

    done = lab.run()

    assert (done.verdict, done.counts.rejected_rows) == (Verdict.MATCHED, 1)
    assert lines(lab, done.batch_id) == {"t1": (0, 0, 1, 0, 0)}


# -- counted again before anybody is woken ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("delete from lab.person where person_no = 'p1'", STRANGER.replace("stranger", "p1")),
        (STRANGER, "delete from lab.person where person_no = 'stranger'"),
    ],
)
def test_a_difference_that_settles_wakes_nobody(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, first: str, then: str
) -> None:
    lab.hub(person("p1"), person("p2"))
    batch_id = loaded(lab)
    lab.sql("payroll", first)
    waits = while_settling(monkeypatch, lambda: lab.sql("payroll", then))

    steps.reconcile(lab.job, batch_id)

    assert len(waits) == 1
    assert steps.publish(lab.job, batch_id).state is State.PUBLISHED
    assert lab.ledger("select * from ledger.alert") == []
    assert evidence(lab, batch_id)["before_settling"]["mismatch_ratio"] == pytest.approx(0.5)
    assert evidence(lab, batch_id)["total"][0]["difference_rows"] == 0


def test_a_difference_that_stands_twice_holds_and_wakes(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.hub(person("p1"), person("p2"))
    batch_id = loaded(lab)
    lab.sql("payroll", STRANGER)
    waits = while_settling(monkeypatch, lambda: lab.sql("payroll", "delete from lab.person where person_no = 'p2'"))

    with pytest.raises(BatchHeld, match="1 missing, 1 too many"):  # as it stands now, not as it stood before
        steps.reconcile(lab.job, batch_id)

    assert len(waits) == 1
    assert len(lab.ledger("select * from ledger.alert")) == 1
    assert len(lab.ledger("select * from ledger.result")) == 1
    before = evidence(lab, batch_id)["before_settling"]["total"][0]
    assert (before["missing_rows"], before["extra_rows"]) == (0, 1)


def test_who_agrees_at_once_does_not_wait_and_who_proves_nothing_neither(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = while_settling(monkeypatch, lambda: None)
    lab.hub(person("p1"))
    lab.run()
    (lab.folder / GENERAL).unlink()
    with pytest.raises(BatchHeld, match="unverified"):
        lab.run()

    assert waits == []


def test_a_letter_that_settles_meanwhile_is_closed_by_the_second_count(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.hub(person("p1"), person("bad", born="never"))
    lab.run()
    lab.hub(person("bad", born="1990-02-28"))
    batch_id = loaded(lab)
    lab.sql("payroll", STRANGER)
    while_settling(monkeypatch, lambda: lab.sql("payroll", "delete from lab.person where person_no = 'stranger'"))

    steps.reconcile(lab.job, batch_id)

    assert [row["state"] for row in lab.ledger("select state from ledger.dead_letter")] == ["resolved"]


# -- the balance sheet -----------------------------------------------------------------------------------------

SHEET = [
    "extracted 4 = staged 3 + rejected 1",
    "staged 3 = inserted 1 + updated 1 + deleted 1",
    "source 4 = target 3 + excused 1 + missing 0 - extra 0",
    "keys of the batch 3: missing 0, extra 0",
]


@pytest.fixture
def changed(lab: Lab) -> Lab:
    """A hub that has something of everything for the next run."""
    lab.manifest["errors"]["deleted_ratio_max"] = 1.0
    lab.hub(person("p1"), person("p2"), person("gone"))
    lab.run()
    lab.hub(person("p1", name="Bea"), person("new"), person("gone", is_deleted=True), person("bad", born="never"))
    return lab


def test_the_sheet_of_a_batch_stands_in_its_log_its_status_and_its_summary(
    changed: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="syncline"):
        done = changed.run()

    told = [record.getMessage() for record in caplog.records]
    start = told.index(f"balance sheet of batch {done.batch_id}")
    assert told[start + 1 : start + 5] == SHEET
    assert looking.status(JOB)[0]["balance_sheet"] == [told[start], *SHEET]
    assert done.as_dict()["balance"] == "; ".join(SHEET[:2])


def test_the_sheet_is_evidence_and_stands_on_the_page(changed: Lab, data_docs: None) -> None:
    done = changed.run()

    told = evidence(changed, done.batch_id)
    (sheet,) = told["balance_sheet"]
    assert {name: rows for name, rows in sheet.items() if rows} == {
        "extracted_rows": 4, "rejected_rows": 1, "staged_rows": 3,
        "inserted_rows": 1, "updated_rows": 1, "deleted_rows": 1,
    }  # fmt: skip
    page = (changed.folder / "var" / "data_docs" / told["docs"]["page"]).read_text()
    assert "Total of rows that the batch read." in page


def test_the_command_shows_the_sheet(changed: Lab) -> None:
    changed.run()

    shown = changed.shell("status", JOB).stdout.splitlines()

    assert [line for line in SHEET if line in shown] == SHEET


def test_a_held_batch_shows_the_tenants_that_differ_worst_first(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    lab.hub(*(person(f"p{n}") for n in range(4)), person("q1", tenant_id="t2"))
    batch_id = loaded(lab)
    lab.sql("payroll", "delete from lab.person where person_no in ('p1', 'q1')")

    with caplog.at_level(logging.INFO, logger="syncline"), pytest.raises(BatchHeld):
        steps.reconcile(lab.job, batch_id)

    told = [record.getMessage() for record in caplog.records]
    table = told[told.index("2 of 2 tenants differ") + 1 :][:3]
    assert [line.split() for line in table] == [
        ["tenant", "source", "excused", "target", "missing", "extra"],
        ["t2", "1", "0", "0", "1", "0"],
        ["t1", "4", "0", "3", "1", "0"],
    ]


# -- whose suite judges ----------------------------------------------------------------------------------------


def own(lab: Lab) -> Path:
    return lab.folder / own_suite(JOB)


def suite_of(lab: Lab, batch_id: int) -> str:
    return str(evidence(lab, batch_id)["suite"])


def test_a_generated_suite_judges_by_what_the_manifest_promises(lab: Lab) -> None:
    del lab.manifest["source"]["deleted"]
    lab.manifest["target"] |= {"write": "append", "on_delete": "ignore"}
    assert lab.shell("generate").returncode == 0
    lab.hub(person("p1"))

    done = lab.run()

    assert suite_of(lab, done.batch_id) == JOB
    columns = {said["kwargs"]["column"] for said in evidence(lab, done.batch_id)["results"]}
    assert {"mismatch_ratio", "batch_mismatch_ratio", "rejected_ratio", "updated_rows", "removed_rows"} <= columns


def test_a_generated_suite_of_yesterdays_manifest_is_passed_over(lab: Lab) -> None:
    del lab.manifest["source"]["deleted"]
    lab.manifest["target"] |= {"write": "append", "on_delete": "ignore"}
    lab.shell("generate")
    lab.manifest["target"] |= {"write": "upsert"}
    lab.hub(person("p1"))
    lab.run()
    lab.hub(person("p1", name="Bea"))

    done = lab.run()

    assert (done.state, done.counts.updated_rows, suite_of(lab, done.batch_id)) == (State.PUBLISHED, 1, "sync_005")


def test_a_suite_by_hand_judges_as_it_is_and_is_never_overwritten(lab: Lab) -> None:
    by_hand = json.loads((lab.folder / GENERAL).read_text())
    no_inserts = {"column": "inserted_rows", "min_value": 0, "max_value": 0}
    by_hand["expectations"].append({"type": "expect_column_values_to_be_between", "kwargs": no_inserts})
    own(lab).write_text(json.dumps({**by_hand, "name": "payroll's own"}))
    text = own(lab).read_text()
    lab.hub(person("p1"))

    with pytest.raises(BatchHeld, match="rules of the suite payroll's own do not hold: inserted_rows"):
        lab.run()

    assert lab.shell("generate").returncode == 0
    assert own(lab).read_text() == text


def test_a_suite_of_a_job_that_cannot_be_read_is_unverified(lab: Lab) -> None:
    own(lab).write_text("{")
    lab.hub(person("p1"))

    with pytest.raises(BatchHeld, match="unverified"):
        lab.run()
