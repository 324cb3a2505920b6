"""Repair from a comparison: planned, approved, applied through the ordinary load, and proven by another comparison."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from syncline import steps
from syncline.core.errors import BatchHeld, TerminalError
from syncline.core.repair import Action, Approval
from syncline.core.values import RunRequest, State, Verdict
from syncline.steps.repair import apply_repair, plan_repair
from tests.integration.conftest import JOB, Lab
from tests.integration.faults import PEOPLE, fill
from tests.integration.test_record_comparison import compare

BY = Approval("Ann of payroll", "drift found by SYNC-008")


@pytest.fixture
def drifted(lab: Lab) -> Lab:
    """Three records that differ, of each kind one."""
    fill(lab)
    lab.run()
    lab.sql("payroll", "update lab.person set name = 'Eve' where person_no = 'p1'")
    lab.sql("payroll", "delete from lab.person where person_no = 'p2'")
    lab.sql("payroll", "insert into lab.person values ('t1', 'p9999', 'Eve', null, now())")
    return lab


def agree_on(lab: Lab, person_no: str) -> None:
    """Another job writes a person of the copy, as its batches do: with a marker in the same transaction."""
    lab.sql("payroll", f"begin; update lab.person set name = 'Agreed' where person_no = '{person_no}';"
            " insert into syncline.marker (batch_id, job_id, epoch, counts) values (-1, 'other', 1, '{}'); commit")  # fmt: skip


def test_a_repair_mends_exactly_what_was_planned_and_proves_it(drifted: Lab) -> None:
    found = compare(drifted)
    made = plan_repair(found.comparison_id)
    assert [len(made.of(action)) for action in (Action.SEND, Action.DELETE, Action.ESCALATE)] == [2, 1, 0]
    drifted.sql("payroll", "update lab.person set name = 'Later' where person_no = 'p3'")  # not in the plan
    mark = drifted.ledger("select snapshot::text from ledger.watermark")

    done = apply_repair(found.comparison_id, BY)

    counts = done.batch.counts
    assert (done.batch.state, counts.inserted_rows, counts.updated_rows, counts.removed_rows) == (
        State.PUBLISHED, 1, 1, 1,
    )  # fmt: skip
    people = drifted.people()
    assert (people["t2/p1"], people["t1/p2"], "t1/p9999" in people, people["t2/p3"]) == (
        "Ann 1",
        "Ann 2",
        False,
        "Later",
    )
    assert done.comparison is not None
    assert (done.comparison.verdict, done.comparison.mismatched_rows) == (Verdict.MISMATCHED, 1)
    assert drifted.ledger("select snapshot::text from ledger.watermark") == mark
    audited = drifted.ledger("select detail ->> 'approved_by' as by from ledger.audit where event = 'repair_approved'")
    assert audited == [{"by": "Ann of payroll"}]

    drifted.ledger("insert into ledger.alert (job_id, control, kind, severity, oncall, summary)"
                   " values (%s, 'SYNC-008', 'differences', 'page', 'a', 'b')", JOB)  # fmt: skip
    again = apply_repair(done.comparison.comparison_id, BY)
    assert drifted.ledger("select closed_at is not null as is_over from ledger.alert") == [{"is_over": True}]
    assert again.comparison is not None
    assert again.comparison.verdict is Verdict.MATCHED
    drift = drifted.ledger("select closed_comparison_id, repair_batch_id from ledger.drift")
    assert drift == [{"closed_comparison_id": again.comparison.comparison_id, "repair_batch_id": again.batch.batch_id}]


def test_critical_fields_are_written_only_where_that_was_approved(drifted: Lab) -> None:
    drifted.mapping["fields"]["name"]["severity"] = "critical"
    found = compare(drifted)

    assert [one.action for one in plan_repair(found.comparison_id).planned] == [Action.ESCALATE] * 3
    with pytest.raises(TerminalError, match="3 records need a person"):
        apply_repair(found.comparison_id, BY)
    done = apply_repair(found.comparison_id, Approval(BY.by, BY.reason, with_critical=True))
    assert done.comparison is not None
    assert done.comparison.verdict is Verdict.MATCHED


def test_a_version_that_no_batch_wrote_does_not_keep_a_repair_away_and_another_jobs_does(drifted: Lab) -> None:
    drifted.sql("payroll", "update lab.person set name = 'Eve', source_event_at = now() + interval '1 day'"
                " where person_no in ('p1', 'p3')")  # fmt: skip
    found = compare(drifted)
    agree_on(drifted, "p3")

    apply_repair(found.comparison_id, BY)

    assert (drifted.people()["t2/p1"], drifted.people()["t2/p3"]) == ("Ann 1", "Agreed")


def test_what_is_expected_is_left_and_what_nobody_can_know_is_escalated(drifted: Lab) -> None:
    drifted.hub({"person_id": "p4", "name": "Zoe"})
    drifted.sql("payroll", "alter table lab.person drop constraint person_pkey")
    drifted.sql("payroll", "insert into lab.person select * from lab.person where person_no = 'p5'")

    made = plan_repair(compare(drifted).comparison_id)

    told = {one.record.target_key[1]: (one.action, one.because) for one in made.planned}
    assert told["p4"] == (Action.LEAVE, "expected: in_flight")
    assert told["p5"][0] is Action.ESCALATE
    assert "two rows have one key" in told["p5"][1]


def test_the_guard_against_mass_deletion_holds_a_repair_too(drifted: Lab) -> None:
    drifted.sql(
        "payroll", "insert into lab.person select 't1', 'x' || n, 'Eve', null, now() from generate_series(1, 300) n"
    )
    found = compare(drifted)

    with pytest.raises(BatchHeld, match="it would delete 301"):
        apply_repair(found.comparison_id, BY)

    assert len(drifted.people()) == PEOPLE + 300


def test_nothing_is_planned_from_other_files_and_nothing_done_without_a_name(drifted: Lab) -> None:
    found = compare(drifted)
    with pytest.raises(TerminalError, match="--approved-by"):
        apply_repair(found.comparison_id, Approval(" ", "because"))
    drifted.mapping["fields"]["name"]["steps"] = []
    drifted.job  # noqa: B018 written to the files
    with pytest.raises(TerminalError, match="changed after comparison"):
        plan_repair(found.comparison_id)


def test_the_shell_plans_and_applies(drifted: Lab) -> None:
    found = json.loads(drifted.shell("diff", JOB, "--json").stdout)

    planned = drifted.shell("repair", "plan", str(found["comparison_id"]))
    assert (planned.returncode, "send              2" in planned.stdout) == (0, True), planned.stdout

    dry = drifted.shell(
        "repair", "apply", str(found["comparison_id"]), "--approved-by", "Ann", "--reason", "x", "--dry-run"
    )
    assert (dry.returncode, drifted.people()["t2/p1"]) == (0, "Eve"), dry.stderr
    done = drifted.shell("repair", "apply", str(found["comparison_id"]), "--approved-by", "Ann", "--reason", "x")
    assert (done.returncode, drifted.people()["t2/p1"]) == (0, "Ann 1"), done.stderr
    assert drifted.shell("repair", "plan", "999").returncode == 1


def test_a_repair_whose_proof_has_no_answer_says_what_it_did(drifted: Lab) -> None:
    found = str(compare(drifted).comparison_id)

    done = drifted.shell("repair", "apply", found, "--approved-by", "Ann", "--reason", "x", "--json",
                         SYNCLINE_FAILPOINTS="compare.looked:RAISE")  # fmt: skip

    said = json.loads(done.stdout)
    assert (done.returncode, said["batch"]["state"], said["comparison"]) == (2, "published", None)
    assert "compare.looked" in said["unproven"]
    assert f"{JOB} is unverified" in done.stderr
    assert drifted.people()["t2/p1"] == "Ann 1"


def test_the_shell_repairs_neither_in_closed_hours_nor_over_a_batch_that_is_under_way(
    drifted: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SYNCLINE_DESPITE_WINDOWS")
    now = datetime.now(UTC)
    drifted.manifest["schedule"] = {"cron": f"30 {(now.hour + 12) % 24} * * *", "timezone": "UTC"}
    drifted.manifest["target"]["avoid"] = [f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(hours=2):%H:%M}"]
    found = str(compare(drifted).comparison_id)
    apply = ("repair", "apply", found, "--approved-by", "Ann", "--reason", "drift")
    steps.extract_and_map(drifted.job, steps.open_batch(drifted.job, RunRequest(run_key="scheduled")))

    closed = drifted.shell(*apply)
    assert (closed.returncode, "is closed" in closed.stderr) == (3, True), closed.stderr
    busy = drifted.shell(*apply, "--despite-windows")
    assert (busy.returncode, "say --take-over" in busy.stderr) == (1, True), busy.stderr
    assert drifted.people()["t2/p1"] == "Eve"
    done = drifted.shell(*apply, "--despite-windows", "--take-over")
    assert (done.returncode, drifted.people()["t2/p1"]) == (0, "Ann 1"), done.stderr


def test_a_critical_field_that_changed_since_is_not_written_by_the_way(drifted: Lab) -> None:
    drifted.mapping["fields"]["born"]["severity"] = "critical"
    drifted.run()
    drifted.sql("payroll", "update lab.person set name = 'Eve' where person_no in ('p1', 'p3')")
    found = compare(drifted)
    drifted.hub({"tenant_id": "t2", "person_id": "p1", "name": "Ann 1", "born": "1970-01-01"})

    done = apply_repair(found.comparison_id, BY)

    assert (done.batch.counts.updated_rows, done.batch.counts.conflicted_rows) == (1, 1)
    rows = drifted.sql(
        "payroll", "select person_no, name, born::text from lab.person where person_no in ('p1', 'p3') order by 1"
    )
    assert [(row["name"], row["born"]) for row in rows] == [("Eve", "1990-01-01"), ("Ann 3", "1990-01-01")]


def test_a_member_of_a_group_is_repaired_with_its_group(drifted: Lab) -> None:
    drifted.manifest["group"] = "payroll_cut_off"
    found = compare(drifted)

    assert {one.because for one in plan_repair(found.comparison_id).planned} == {
        "it is published with its group alone: `syncline run-group payroll_cut_off --mode full`"
    }
    with pytest.raises(TerminalError, match="3 records need a person"):
        apply_repair(found.comparison_id, BY)
    assert drifted.ledger("select from ledger.repair") == []


def test_an_approval_is_used_once(drifted: Lab) -> None:
    found = compare(drifted)
    apply_repair(found.comparison_id, BY)
    drifted.sql("payroll", "insert into lab.person values ('t1', 'p9999', 'Right', null, now())")

    with pytest.raises(TerminalError, match="needs a comparison and an approval of its own"):
        apply_repair(found.comparison_id, BY)

    assert drifted.people()["t1/p9999"] == "Right"


def test_a_repair_deletes_what_no_batch_wrote_and_leaves_what_another_job_wrote_since(drifted: Lab) -> None:
    drifted.sql("payroll", "insert into lab.person values ('t1', 'p7777', 'Eve', null, now() + interval '1 day'),"
                " ('t1', 'p8888', 'Eve', null, now() + interval '1 day')")  # fmt: skip
    found = compare(drifted)
    agree_on(drifted, "p8888")

    apply_repair(found.comparison_id, BY)

    people = drifted.people()
    assert ("t1/p7777" in people, people.get("t1/p8888")) == (False, "Agreed")


def test_an_interval_that_is_spelt_otherwise_is_a_changed_critical_field(lab: Lab) -> None:
    fill(lab)
    lab.sql("mdm", "alter table lab.person add leave interval default '1 month'")
    lab.sql("payroll", "alter table lab.person add leave interval")
    lab.mapping["source"]["leave"] = "interval"
    lab.mapping["fields"]["leave"] = {"from": "leave", "type": "interval", "pii": "none", "severity": "critical"}
    lab.run()
    lab.sql("payroll", "update lab.person set name = 'Eve' where person_no = 'p1'")
    found = compare(lab)
    lab.sql("mdm", "update lab.person set leave = '30 days' where person_id = 'p1'")

    done = apply_repair(found.comparison_id, BY)

    assert (done.batch.counts.updated_rows, done.batch.counts.conflicted_rows) == (0, 1)
    rows = lab.sql("payroll", "select name, leave::text from lab.person where person_no = 'p1'")
    assert rows == [{"name": "Eve", "leave": "1 mon"}]
