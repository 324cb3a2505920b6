"""The straight line on real PostgreSQL: laws 1 to 5 and the write modes, each as a sentence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from syncline import steps
from syncline.adapters.ledger import batches
from syncline.adapters.target import staging
from syncline.core.errors import BatchHeld, Fenced, SchemaDrift, TerminalError
from syncline.core.values import Mode, RunRequest, State, Verdict
from syncline.steps import looking
from tests.integration.conftest import Lab


def person(person_id: str, **shown: Any) -> dict[str, Any]:
    return {"person_id": person_id, **shown}


def test_a_first_batch_copies_balances_and_publishes(lab: Lab) -> None:
    lab.hub(person("p1"), person("p2", tenant_id="t2", name="Bob"))

    done = lab.run()

    assert lab.people() == {"t1/p1": "Ann", "t2/p2": "Bob"}
    assert (done.state, done.verdict, done.tenants) == (State.PUBLISHED, Verdict.MATCHED, 2)
    assert (done.counts.extracted_rows, done.counts.staged_rows, done.counts.inserted_rows) == (2, 2, 2)
    assert done.counts.imbalance() is None


def test_running_a_finished_run_again_changes_nothing(lab: Lab) -> None:
    lab.hub(person("p1"), person("p2"))
    lab.run("night-1")
    before = lab.sql("payroll", "select xmin::text, * from lab.person order by person_no")

    again = lab.run("night-1")

    assert again.counts.changed_rows == 0
    assert again.counts.unchanged_rows == 2
    assert lab.sql("payroll", "select xmin::text, * from lab.person order by person_no") == before


def test_an_incremental_batch_reads_only_what_changed(lab: Lab) -> None:
    lab.hub(person("p1"), person("p2"), person("p3"))
    lab.run()
    lab.hub(person("p2", name="Bea"))

    done = lab.run()

    assert done.mode is Mode.INCREMENTAL
    assert (done.counts.extracted_rows, done.counts.updated_rows) == (1, 1)
    assert lab.people() == {"t1/p1": "Ann", "t1/p2": "Bea", "t1/p3": "Ann"}


def test_a_transaction_that_commits_after_the_batch_is_read_by_the_next(lab: Lab) -> None:
    lab.hub(person("p1"))
    with psycopg.connect(make_conninfo(lab.admin, dbname="mdm")) as late:
        late.execute("insert into lab.person (tenant_id, person_id, name) values ('t1', 'late', 'Zoe')")
        lab.run()
        lab.hub(person("p2"))  # commits between the late writer's start and its commit
        lab.run()
        late.commit()

    lab.run()

    assert lab.people() == {"t1/late": "Zoe", "t1/p1": "Ann", "t1/p2": "Ann"}


def test_a_subtransaction_that_commits_late_is_read_by_the_next_batch(lab: Lab) -> None:
    lab.hub(person("p1"))
    with psycopg.connect(make_conninfo(lab.admin, dbname="mdm")) as late:
        late.execute("select pg_current_xact_id()")
        with late.transaction():  # a savepoint: its xid is in no list of open transactions
            late.execute("insert into lab.person (tenant_id, person_id, name) values ('t1', 'sub', 'Sue')")
        lab.hub(person("p2"))  # a newer transaction completes, so the subtransaction lies below the snapshot's top
        lab.run()
        late.commit()

    lab.run()

    assert lab.people()["t1/sub"] == "Sue"


def test_a_late_batch_does_not_overwrite_a_newer_value(lab: Lab) -> None:
    lab.hub(person("p1", name="OLD", at="2026-01-01 10:00Z"))
    lab.run()
    lab.sql("payroll", "update lab.person set name = 'NEWER', source_event_at = '2026-01-01 11:00Z'")
    lab.hub(person("p1", name="LATE", at="2026-01-01 10:30Z"))

    done = lab.run(mode=Mode.FULL)

    assert lab.people() == {"t1/p1": "NEWER"}
    assert done.counts.superseded_rows == 1


def test_a_bad_value_becomes_a_dead_letter_and_the_others_go_on(lab: Lab) -> None:
    lab.hub(person("p1"), person("bad", born="1990-02-30", name=" "))

    done = lab.run()

    assert lab.people() == {"t1/p1": "Ann"}
    assert (done.counts.rejected_rows, done.verdict) == (1, Verdict.MATCHED)
    (letter,) = lab.ledger("select * from ledger.dead_letter")
    assert letter["source_key"] == ["t1", "bad"]
    assert letter["errors"] == [{"column": "name", "code": "required"}, {"column": "born", "code": "parse_date"}]
    assert b"1990-02-30" not in letter["payload"]


def test_a_repaired_row_settles_its_dead_letter(lab: Lab) -> None:
    lab.hub(person("p1"), person("bad", born="never"))
    lab.run()
    lab.hub(person("bad", born="1990-02-28"))

    lab.run()

    assert "t1/bad" in lab.people()
    assert [row["state"] for row in lab.ledger("select state from ledger.dead_letter")] == ["resolved"]


def test_rejected_rows_that_share_a_key_are_letters_of_their_own_and_are_settled_together(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source without a primary key: `check --connect` refuses it, and a batch all the same loses nothing."""
    monkeypatch.setattr(staging, "LETTERS_AT_ONCE", 1)
    lab.sql("mdm", "alter table lab.person drop constraint person_pkey, alter person_id drop not null")
    people = "('t1', {key}, 'Ann', 'never', now()), ('t1', {key}, 'Bob', 'never', now())"
    for key in ("null", "'twice'"):
        lab.sql("mdm", "insert into lab.person (tenant_id, person_id, name, born, updated_at) values "
                + people.format(key=key))  # fmt: skip
    lab.manifest["errors"]["rejected_ratio_max"] = 1

    done = lab.run()

    assert (done.counts.rejected_rows, done.verdict) == (4, Verdict.MATCHED)
    letters = "select state, count(*) as n from ledger.dead_letter group by 1 order by 1"
    assert lab.ledger(letters) == [{"state": "open", "n": 4}]
    lab.sql("mdm", "delete from lab.person where person_id is null or name = 'Bob'")
    lab.sql("mdm", "update lab.person set born = '1990-01-01', updated_at = now()")
    assert lab.run().verdict is Verdict.MATCHED
    assert "open" not in [row["state"] for row in lab.ledger(letters)]


def test_a_dead_letter_excuses_only_a_row_that_the_source_still_has(lab: Lab) -> None:
    lab.hub(person("p1"), person("p2"), person("bad", born="never"))
    lab.run()
    lab.sql("mdm", "delete from lab.person where person_id = 'bad'")
    lab.sql("payroll", "delete from lab.person where person_no = 'p1'")

    with pytest.raises(BatchHeld, match="SYNC-005"):
        lab.run()

    assert [row["state"] for row in lab.ledger("select state from ledger.dead_letter")] == ["superseded"]


def test_a_held_copy_stays_unreliable_until_a_whole_batch_matched(lab: Lab) -> None:
    lab.hub(person("p1"), person("p2"))
    lab.run()
    lab.sql("payroll", "delete from lab.person where person_no = 'p1'")
    with pytest.raises(BatchHeld):
        lab.run()

    for request in ({"dry_run": True}, {"mode": Mode.FULL}):
        (before,) = looking.status()
        assert before["freshness_state"] == "unreliable"
        lab.run(**request)

    (after,) = looking.status()
    assert after["freshness_state"] == "current"


def test_too_many_rejected_rows_hold_the_batch_before_it_is_loaded(lab: Lab) -> None:
    lab.manifest["errors"]["rejected_ratio_max"] = 0.1
    lab.hub(person("p1"), person("bad", born="never"))

    with pytest.raises(BatchHeld, match="1 of 2 rows were rejected"):
        lab.run()

    assert lab.people() == {}
    assert [row["state"] for row in lab.ledger("select state from ledger.batch")] == ["held"]
    assert len(lab.ledger("select * from ledger.alert where severity = 'ticket' and oncall = 'lab-oncall'")) == 1


def test_rows_missing_at_the_target_hold_the_batch_and_the_watermark(lab: Lab) -> None:
    lab.hub(person("p1"), person("p2"))
    lab.run()
    mark = lab.ledger("select * from ledger.watermark")
    lab.sql("payroll", "delete from lab.person where person_no = 'p1'")
    lab.hub(person("p3"))

    with pytest.raises(BatchHeld, match="SYNC-005"):
        lab.run()

    (held,) = lab.ledger("select state, verdict, published_by from ledger.batch order by batch_id desc limit 1")
    assert (held["state"], held["verdict"], held["published_by"]) == ("held", "mismatched", None)
    assert lab.ledger("select * from ledger.watermark") == mark
    (result,) = lab.ledger("select * from ledger.result where verdict = 'mismatched'")
    assert result["mismatch_ratio"] == pytest.approx(1 / 3)


def test_a_later_matched_batch_publishes_what_a_held_one_left(lab: Lab) -> None:
    lab.hub(person("p1"), person("p2"))
    lab.run()
    lab.sql("payroll", "delete from lab.person where person_no = 'p1'")
    lab.hub(person("p3"))
    with pytest.raises(BatchHeld):
        lab.run()

    done = lab.run(mode=Mode.FULL)

    assert lab.people() == {"t1/p1": "Ann", "t1/p2": "Ann", "t1/p3": "Ann"}
    rows = lab.ledger("select published_by from ledger.batch order by batch_id")
    assert [row["published_by"] for row in rows][1:] == [done.batch_id, done.batch_id]


def test_an_empty_source_proves_nothing(lab: Lab) -> None:
    with pytest.raises(BatchHeld, match="unverified"):
        lab.run()


def test_a_missing_suite_is_unverified_and_never_green(lab: Lab) -> None:
    lab.hub(person("p1"))
    (lab.folder / "include" / "expectations" / "sync_005.json").unlink()

    with pytest.raises(BatchHeld, match="unverified"):
        lab.run()

    assert lab.ledger("select verdict from ledger.batch") == [{"verdict": "unverified"}]


@pytest.mark.parametrize(("on_delete", "left"), [("hard", 1), ("soft", 2)])
def test_a_deleted_flag_deletes(lab: Lab, on_delete: str, left: int) -> None:
    lab.manifest["target"] |= {"on_delete": on_delete, "deleted": "is_gone"} if on_delete == "soft" else {}
    lab.hub(person("p1"), person("p2"))
    lab.run()
    lab.hub(person("p1", is_deleted=True))

    done = lab.run()

    assert done.counts.deleted_rows == 1
    assert lab.people() == {"t1/p2": "Ann"}
    assert len(lab.sql("payroll", "select * from lab.person")) == left
    assert lab.run(mode=Mode.FULL).counts.changed_rows == 0


def test_append_never_changes_what_is_there(lab: Lab) -> None:
    lab.manifest["target"] |= {"write": "append", "on_delete": "ignore"}
    del lab.manifest["source"]["deleted"]
    lab.hub(person("p1"))
    lab.run()
    lab.hub(person("p1", name="Eve"), person("p2"))

    done = lab.run()

    assert lab.people() == {"t1/p1": "Ann", "t1/p2": "Ann"}
    assert (done.counts.inserted_rows, done.counts.unchanged_rows) == (1, 1)


def test_replace_leaves_exactly_the_batch(lab: Lab) -> None:
    lab.manifest["target"]["write"] = "replace"
    lab.hub(person("p1"), person("p2"))
    lab.run()
    lab.sql("mdm", "delete from lab.person where person_id = 'p1'")

    lab.run()

    assert lab.people() == {"t1/p2": "Ann"}


def test_replace_refuses_to_empty_its_target(lab: Lab) -> None:
    lab.manifest["target"]["write"] = "replace"
    lab.hub(person("p1"))
    lab.run()
    lab.sql("mdm", "delete from lab.person")

    with pytest.raises(TerminalError, match="would empty"):
        lab.run()

    assert lab.people() == {"t1/p1": "Ann"}


def test_an_interval_that_equals_another_in_length_only_is_an_update(lab: Lab) -> None:
    lab.sql("mdm", "alter table lab.person add notice interval not null default '1 month'")
    lab.sql("payroll", "alter table lab.person add notice interval")
    lab.mapping["source"]["notice"] = "interval"
    lab.mapping["fields"]["notice"] = {"from": "notice", "type": "interval"}
    lab.hub(person("p1"))
    lab.run()
    lab.sql("mdm", "update lab.person set notice = '30 days'")  # and not updated_at: only a full batch can see it

    done = lab.run(mode=Mode.FULL)

    assert done.counts.updated_rows == 1
    assert lab.sql("payroll", "select notice::text from lab.person") == [{"notice": "30 days"}]


def test_the_first_batch_after_a_changed_mapping_reads_everything(lab: Lab) -> None:
    lab.hub(person("p1"), person("p2"))
    lab.run()

    lab.mapping["fields"]["name"]["steps"] = ["trim", "upper"]
    changed = lab.run(mode=Mode.INCREMENTAL)
    lab.manifest["owner"]["team"] = "another"  # decides no row
    lab.mapping["fields"]["name"]["severity"] = "critical"
    unchanged = lab.run()

    assert (changed.mode, changed.counts.updated_rows, unchanged.mode) == (Mode.FULL, 2, Mode.INCREMENTAL)
    assert set(lab.people().values()) == {"ANN"}


@pytest.mark.parametrize("held", [True, False])
def test_a_batch_that_did_not_publish_leaves_everything_owed(lab: Lab, held: bool) -> None:
    lab.hub(person("p1"), person("p2"))
    lab.run()
    lab.mapping["fields"]["name"]["steps"] = ["trim", "upper"]

    if held:
        lab.sql("payroll", "insert into lab.person (tenant_id, person_no, name) values ('t1', 'stranger', 'X')")
        with pytest.raises(BatchHeld):
            lab.run()
        lab.sql("payroll", "delete from lab.person where person_no = 'stranger'")
    else:
        lab.run(dry_run=True)
        lab.run(tenants=("t1",))

    assert lab.run().mode is Mode.FULL
    assert lab.run().mode is Mode.INCREMENTAL


def test_a_window_reads_its_interval_and_leaves_the_watermark(lab: Lab) -> None:
    lab.hub(person("p1", at="2026-01-01 10:00Z"), person("p2", at="2026-01-02 10:00Z"))
    lab.run()
    mark = lab.ledger("select * from ledger.watermark")
    lab.sql("payroll", "update lab.person set name = 'drifted'")
    day = datetime(2026, 1, 1, tzinfo=UTC)

    done = lab.run(mode=Mode.WINDOW, window=(day, day + timedelta(days=1)))

    assert (done.counts.extracted_rows, done.counts.updated_rows) == (1, 1)
    assert lab.people() == {"t1/p1": "Ann", "t1/p2": "drifted"}
    assert lab.ledger("select * from ledger.watermark") == mark


def test_a_dry_run_counts_and_writes_nothing(lab: Lab) -> None:
    lab.hub(person("p1"), person("p2"), person("bad", born="never"))

    done = lab.run(dry_run=True)

    assert (done.state, done.counts.inserted_rows, done.counts.rejected_rows) == (State.DRY_RUN, 2, 1)
    assert lab.ledger("select * from ledger.dead_letter") == []
    assert lab.people() == {}
    assert lab.ledger("select * from ledger.watermark") == []


def test_a_run_for_one_tenant_leaves_the_others_and_the_watermark(lab: Lab) -> None:
    lab.hub(person("p1"), person("p2", tenant_id="t2"))
    lab.run(tenants=("t1",))

    assert lab.people() == {"t1/p1": "Ann"}
    assert lab.ledger("select * from ledger.watermark") == []


def test_a_new_run_takes_over_an_unfinished_batch_and_fences_it(lab: Lab) -> None:
    lab.hub(person("p1"))
    job = lab.job
    first = steps.open_batch(job, RunRequest(run_key="first"))
    steps.extract_and_map(job, first)

    lab.run("second")

    with pytest.raises(Fenced):
        steps.load(job, first)
    assert lab.people() == {"t1/p1": "Ann"}


def test_an_attempt_that_is_overtaken_as_it_begins_is_fenced_and_does_not_take_the_newer_ones_epoch(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.hub({"person_id": "p1", "name": "Ann"})
    batch_id = steps.open_batch(lab.job, RunRequest(run_key="night"))
    overtaking: list[int] = []

    def overtaken(place: str) -> None:
        if place == "attempt.begun" and not overtaking:
            overtaking.append(batch_id)
            steps.extract_and_map(lab.job, batch_id)

    monkeypatch.setattr(batches, "failpoint", overtaken)

    with pytest.raises(Fenced):
        steps.extract_and_map(lab.job, batch_id)

    attempts = lab.ledger("select epoch, outcome, error_type from ledger.attempt order by attempt_id")
    assert [(row["outcome"], row["error_type"]) for row in attempts] == [("failed", "Fenced"), ("done", None)]
    assert attempts[0]["epoch"] < attempts[1]["epoch"]


def test_a_renamed_source_column_stops_the_run_and_names_the_new_one(lab: Lab) -> None:
    lab.hub(person("p1"))
    lab.sql("mdm", "alter table lab.person rename column born to born_on")

    with pytest.raises(SchemaDrift, match=r"column born is missing \(is it born_on now\?\)"):
        lab.run()


def test_a_changed_manifest_stops_a_batch_that_is_under_way(lab: Lab) -> None:
    lab.hub(person("p1"))
    batch_id = steps.open_batch(lab.job, RunRequest(run_key="r"))
    lab.manifest["version"] = "1.0.1"

    with pytest.raises(TerminalError, match="manifest or mapping changed"):
        steps.extract_and_map(lab.job, batch_id)
    assert lab.run("r").state is State.PUBLISHED  # the run cleared from its first task takes the new files


def test_the_balance_sheet_equals_hand_written_sql(lab: Lab) -> None:
    lab.hub(*(person(f"p{n}", born="x" if n % 10 == 0 else "1990-01-01") for n in range(100)))
    done = lab.run()

    (source,) = lab.sql("mdm", "select count(*) as n, count(*) filter (where born = 'x') as bad from lab.person")
    (target,) = lab.sql("payroll", "select count(*) as n from lab.person")
    (ledger,) = lab.ledger("select sum(source_rows) as s, sum(target_rows) as t from ledger.tenant_count")
    assert (done.counts.extracted_rows, done.counts.rejected_rows) == (source["n"], source["bad"])
    assert (done.counts.inserted_rows, ledger["s"], ledger["t"]) == (target["n"], source["n"], target["n"])


def test_the_audit_trail_is_chained_and_append_only(lab: Lab) -> None:
    lab.hub(person("p1"))
    lab.run()
    assert lab.ledger("select * from ledger.audit_broken") == []
    events = [row["event"] for row in lab.ledger("select event from ledger.audit order by audit_id")]
    assert events == ["batch_opened", "batch_extracted", "batch_loaded", "batch_reconciled", "batch_published"]

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        lab.ledger("delete from ledger.audit")
    lab.ledger("alter table ledger.audit disable trigger user")
    lab.ledger("update ledger.audit set event = 'batch_held' where audit_id = 3")
    assert lab.ledger("select min(audit_id) as at from ledger.audit_broken") == [{"at": 3}]


def test_a_shell_run_does_not_take_over_a_batch_that_is_under_way(lab: Lab) -> None:
    lab.hub(person("p1"))
    steps.extract_and_map(lab.job, steps.open_batch(lab.job, RunRequest(run_key="scheduled")))

    refused = lab.shell("run", lab.job.id)
    assert refused.returncode == 1
    assert "batch 1 of run scheduled is under way (step extract_and_map)" in refused.stderr
    assert lab.shell("run", lab.job.id, "--take-over").returncode == 0


def test_a_tenant_that_nobody_knows_is_a_slip_of_the_pen(lab: Lab) -> None:
    lab.hub(person("p1"))

    with pytest.raises(TerminalError, match="neither the source has rows of nor the target grants: tX"):
        lab.run(tenants=("t1", "tX"))


def test_a_cursor_of_infinity_is_read_and_ends_nothing(lab: Lab) -> None:
    lab.hub(person("p1"), person("p2", at="infinity"))

    first, second = lab.run(), lab.run()

    assert (first.verdict, first.counts.inserted_rows, second.verdict) == (Verdict.MATCHED, 2, Verdict.MATCHED)


def test_a_rejected_row_whose_copy_is_flagged_deleted_is_excused(lab: Lab) -> None:
    lab.manifest["target"] |= {"on_delete": "soft", "deleted": "is_gone"}
    lab.manifest["errors"]["rejected_ratio_max"] = 1.0
    lab.hub(person("p1"), person("p2"))
    lab.run()
    lab.hub(person("p1", is_deleted=True))
    lab.run()
    lab.hub(person("p1", born="never"))

    assert lab.run().verdict is Verdict.MATCHED
