"""Full runs that read only what differs, and rows that the source no longer has: on two real databases."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from syncline import steps
from syncline.adapters import ledger
from syncline.adapters.ledger import Ledger
from syncline.core.errors import BatchHeld, TransientError
from syncline.core.parts import Part
from syncline.core.values import Mode, RunRequest, Verdict
from syncline.steps.parts import extract_parts
from tests.integration.conftest import JOB, Lab
from tests.integration.faults import PEOPLE, at, fill


def difference(lab: Lab) -> dict[str, Any]:
    return lab.ledger(
        "select range_bits, compared_ranges, differing_ranges, equal_rows from ledger.batch order by batch_id desc limit 1"
    )[0]


def silently(lab: Lab, statement: str) -> None:
    """Change the hub without its cursor: no incremental run sees it."""
    lab.sql("mdm", statement)


@pytest.fixture
def filled(lab: Lab) -> Lab:
    fill(lab)
    lab.run()
    return lab


def test_a_full_run_over_equal_sides_reads_no_row_and_counts_all(filled: Lab) -> None:
    before = filled.sql("payroll", "select tenant_id, person_no, xmin::text from lab.person order by 1, 2")

    done = filled.run(mode=Mode.FULL)

    assert (done.verdict, done.counts.extracted_rows, done.counts.unchanged_rows) == (Verdict.MATCHED, PEOPLE, PEOPLE)
    assert difference(filled) | {"range_bits": 0, "compared_ranges": 0} == {
        "range_bits": 0, "compared_ranges": 0, "differing_ranges": 0, "equal_rows": PEOPLE,
    }  # fmt: skip
    assert filled.sql("payroll", "select tenant_id, person_no, xmin::text from lab.person order by 1, 2") == before


def test_a_full_run_finds_what_was_changed_without_a_trace_on_either_side(filled: Lab) -> None:
    silently(filled, "update lab.person set name = 'Bea' where person_id = 'p7'")
    filled.sql("payroll", "update lab.person set name = 'Eve' where person_no = 'p8'")
    filled.sql("payroll", "delete from lab.person where person_no = 'p9'")

    done = filled.run(mode=Mode.FULL)

    assert (done.counts.updated_rows, done.counts.inserted_rows, done.counts.settled_rows) == (2, 1, PEOPLE)
    assert filled.people()["t2/p7"] == "Bea"
    assert filled.people()["t1/p8"] == "Ann 8"
    assert filled.people()["t2/p9"] == "Ann 9"
    assert 1 <= difference(filled)["differing_ranges"] <= 3
    assert difference(filled)["equal_rows"] > PEOPLE * 0.8


@pytest.mark.parametrize(
    "change", ["born = null", "born = '1990-01-02'", "name = name || ' '", "updated_at = updated_at"]
)
def test_the_counts_per_tenant_balance_whatever_was_compared(filled: Lab, change: str) -> None:
    silently(filled, f"update lab.person set {change} where person_id in ('p1', 'p2', 'p3')")

    filled.run(mode=Mode.FULL)

    rows = filled.ledger("select * from ledger.tenant_count where batch_id = 2 order by tenant_id")
    assert [(row["extracted_rows"], row["staged_rows"]) for row in rows] == [(200, 200), (200, 200)]
    assert [row["updated_rows"] + row["unchanged_rows"] for row in rows] == [200, 200]


def test_a_rejected_row_is_told_again_by_a_full_run(filled: Lab) -> None:
    silently(filled, "update lab.person set born = 'never' where person_id = 'p7'")

    done = filled.run(mode=Mode.FULL)

    assert (done.verdict, done.counts.rejected_rows) == (Verdict.MATCHED, 1)
    assert filled.ledger("select source_key from ledger.dead_letter where state = 'open'") == [
        {"source_key": ["t2", "p7"]}
    ]
    assert filled.run(mode=Mode.FULL).counts.rejected_rows == 1


def test_rows_flagged_deleted_long_ago_are_not_read_again(filled: Lab) -> None:
    filled.sql("mdm", "update lab.person set is_deleted = true, updated_at = now() where person_id < 'p2'")
    filled.manifest["errors"]["deleted_ratio_max"] = 1.0
    filled.run()

    done = filled.run(mode=Mode.FULL)

    assert (done.counts.extracted_rows, done.counts.unchanged_rows) == (PEOPLE, PEOPLE)
    assert difference(filled)["differing_ranges"] == 0


def test_when_most_ranges_differ_everything_is_read(filled: Lab) -> None:
    silently(filled, "update lab.person set name = 'Bea'")

    done = filled.run(mode=Mode.FULL)

    assert (done.counts.updated_rows, difference(filled)["range_bits"]) == (PEOPLE, None)


# -- rows that vanished ----------------------------------------------------------------------------------------


@pytest.fixture
def watching(filled: Lab) -> Lab:
    filled.manifest["source"]["key_set"] = "every_run"
    filled.run(mode=Mode.FULL)
    return filled


@pytest.mark.parametrize("mode", [Mode.FULL, None])
@pytest.mark.parametrize("policy", ["hard", "soft"])
def test_a_row_that_vanished_from_the_source_leaves_the_copy(watching: Lab, policy: str, mode: Mode | None) -> None:
    watching.manifest["target"]["on_delete"] = policy
    if policy == "soft":
        watching.manifest["target"]["deleted"] = "is_gone"
        watching.run(mode=Mode.FULL)
    watching.sql("mdm", "delete from lab.person where person_id in ('p7', 'p8')")
    watching.hub({"person_id": "new"})

    done = watching.run(mode=mode)

    assert (done.verdict, done.counts.removed_rows, done.counts.inserted_rows) == (Verdict.MATCHED, 2, 1)
    assert len(watching.people()) == PEOPLE - 1
    assert not {"t2/p7", "t1/p8"} & {*watching.people()}
    left = watching.sql("payroll", "select count(*) as n from lab.person where person_no in ('p7', 'p8')")[0]["n"]
    assert left == (2 if policy == "soft" else 0)
    assert watching.run(mode=mode).counts.removed_rows == 0


def test_a_row_that_left_the_filter_leaves_the_copy_and_comes_back(watching: Lab) -> None:
    watching.manifest["source"]["filter"] = {"born": ["1990-01-01"]}
    watching.run()
    silently(watching, "update lab.person set born = '1991-01-01' where person_id = 'p7'")
    assert watching.run().counts.removed_rows == 1
    silently(watching, "update lab.person set born = '1990-01-01' where person_id = 'p7'")

    assert watching.run().counts.inserted_rows == 1


def test_a_rejected_row_is_not_absent(watching: Lab) -> None:
    watching.manifest["errors"]["rejected_ratio_max"] = 1.0
    watching.hub({"person_id": "p8", "born": "never"})

    done = watching.run()

    assert (done.counts.rejected_rows, done.counts.removed_rows) == (1, 0)
    assert "t1/p8" in watching.people()


def test_a_tenant_whose_rows_have_all_vanished_is_emptied_where_that_is_allowed(watching: Lab) -> None:
    watching.manifest["errors"]["deleted_ratio_max"] = 0.6
    watching.sql("mdm", "delete from lab.person where tenant_id = 't2'")

    done = watching.run()

    assert (done.verdict, done.counts.removed_rows, len(watching.people())) == (Verdict.MATCHED, 200, 200)


def test_a_run_for_one_tenant_removes_nothing_of_another(watching: Lab) -> None:
    watching.sql("mdm", "delete from lab.person where person_id in ('p7', 'p8')")

    done = watching.run(tenants=("t1",), mode=Mode.FULL)

    assert done.counts.removed_rows == 1
    assert "t2/p7" in watching.people()


def test_a_window_removes_nothing(watching: Lab) -> None:
    watching.sql("mdm", "delete from lab.person where person_id = 'p7'")
    watching.run(mode=Mode.WINDOW, window=(datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 2, tzinfo=UTC)))

    assert "t2/p7" in watching.people()


def test_what_another_hand_wrote_after_the_source_was_read_is_not_absent(watching: Lab) -> None:
    watching.manifest["reconcile"] = {"mismatch_ratio_max": 0.5}
    watching.sql("payroll", "insert into lab.person (tenant_id, person_no, name, source_event_at) values"
                 " ('t1', 'newer', 'Eve', now() + interval '1 hour'), ('t1', 'older', 'Eve', now() - interval '1 hour')")  # fmt: skip

    assert watching.run(mode=Mode.FULL).counts.removed_rows == 1
    assert {"t1/newer", "t1/older"} & {*watching.people()} == {"t1/newer"}


# -- the guard -------------------------------------------------------------------------------------------------


def test_deleting_most_of_the_source_is_held_and_nothing_is_deleted(watching: Lab) -> None:
    watching.sql("mdm", "delete from lab.person where right(person_id, 1) < '6'")

    with pytest.raises(BatchHeld, match=r"would delete 240 of 400 rows \(60\.00%"):
        watching.run()

    assert len(watching.people()) == PEOPLE
    assert watching.ledger("select control from ledger.alert")[-1] == {"control": "mass-delete"}


def test_an_approved_batch_deletes_as_many_rows_once(watching: Lab) -> None:
    watching.sql("mdm", "delete from lab.person where right(person_id, 1) < '6'")
    with pytest.raises(BatchHeld):
        watching.run()
    (held,) = watching.ledger("select max(batch_id) as batch_id from ledger.batch")

    done = watching.run(approve_deletes=held["batch_id"], reason="TICKET-1")

    assert (done.verdict, done.counts.removed_rows, len(watching.people())) == (Verdict.MATCHED, 240, 160)
    watching.sql("mdm", "delete from lab.person where right(person_id, 1) < '9'")
    with pytest.raises(Exception, match="used up"):
        watching.run(approve_deletes=held["batch_id"], reason="TICKET-1")
    assert watching.ledger("select detail ->> 'reason' as why from ledger.audit where event = 'deletes_approved'") == [
        {"why": "TICKET-1"}
    ]


def test_an_approval_does_not_cover_more_than_was_held(watching: Lab) -> None:
    watching.sql("mdm", "delete from lab.person where right(person_id, 1) < '6'")
    with pytest.raises(BatchHeld):
        watching.run()
    watching.sql("mdm", "delete from lab.person where right(person_id, 1) < '9'")

    with pytest.raises(BatchHeld, match="would delete 360"):
        watching.run(approve_deletes=3, reason="TICKET-1")


def test_an_approving_run_reads_what_the_held_one_read(filled: Lab) -> None:
    filled.manifest["source"]["key_set"] = "full"
    filled.run(mode=Mode.FULL)
    filled.sql("mdm", "delete from lab.person where right(person_id, 1) < '6'")
    with pytest.raises(BatchHeld, match="would delete 240"):
        filled.run(mode=Mode.FULL)

    done = filled.run(approve_deletes=3, reason="TICKET-1")

    assert (done.mode, done.counts.removed_rows, done.verdict) == (Mode.FULL, 240, Verdict.MATCHED)


def test_old_flags_at_the_source_do_not_widen_the_guard(filled: Lab) -> None:
    filled.manifest["errors"]["deleted_ratio_max"] = 1.0
    filled.sql("mdm", "update lab.person set is_deleted = true, updated_at = now() where right(person_id, 1) < '7'")
    filled.run()
    filled.manifest["errors"]["deleted_ratio_max"] = 0.2
    filled.sql("mdm", "update lab.person set is_deleted = true, updated_at = now() where right(person_id, 1) = '8'")

    with pytest.raises(BatchHeld, match="would delete 40 of 120"):
        filled.run(mode=Mode.FULL)


def test_a_partitioned_copy_gets_each_row_its_own_value(lab: Lab) -> None:
    """Partitions have places of their own: the first row of each stands at the same one."""
    lab.sql(
        "payroll",
        "create table lab.parted (like lab.person including defaults including constraints,"
        " primary key (tenant_id, person_no)) partition by list (tenant_id);"
        "create table lab.parted_1 partition of lab.parted for values in ('t1');"
        "create table lab.parted_2 partition of lab.parted for values in ('t2');"
        "alter table lab.parted enable row level security, force row level security;"
        "create policy tenant on lab.parted for all to syncline_tenant"
        " using (tenant_id in (select syncline.scoped_tenants()))"
        " with check (tenant_id in (select syncline.scoped_tenants()));"
        "grant select, insert, update, delete on lab.parted to syncline_tenant;"
        "alter table lab.parted owner to syncline_owner; alter table lab.parted_1 owner to syncline_owner;"
        "alter table lab.parted_2 owner to syncline_owner",
    )
    lab.manifest["target"]["table"] = "lab.parted"
    lab.hub(*({"person_id": person_id, "tenant_id": tenant} for tenant in ("t1", "t2") for person_id in ("p1", "p2")))
    lab.run()
    lab.hub({"person_id": "p1", "name": "Bea"}, {"person_id": "p1", "tenant_id": "t2", "name": "Cid"},
            {"person_id": "p2", "tenant_id": "t2", "is_deleted": True})  # fmt: skip

    done = lab.run()

    found = lab.sql("payroll", "select tenant_id || '/' || person_no as key, name from lab.parted order by 1")
    assert {row["key"]: row["name"] for row in found} == {"t1/p1": "Bea", "t1/p2": "Ann", "t2/p1": "Cid"}
    assert (done.counts.updated_rows, done.counts.deleted_rows, done.verdict) == (2, 1, Verdict.MATCHED)


def test_flagged_deletions_are_guarded_too(filled: Lab) -> None:
    filled.sql("mdm", "update lab.person set is_deleted = true, updated_at = now()")

    with pytest.raises(BatchHeld, match="400 flagged"):
        filled.run()
    assert len(filled.people()) == PEOPLE


def test_a_dry_run_counts_the_deletions_that_would_be_held(watching: Lab) -> None:
    watching.sql("mdm", "delete from lab.person")

    done = watching.run(dry_run=True)

    assert (done.counts.removed_rows, len(watching.people())) == (PEOPLE, PEOPLE)


# -- markers ---------------------------------------------------------------------------------------------------


def test_a_deleted_row_is_not_brought_back_by_what_was_read_before(watching: Lab) -> None:
    """As change data capture will: a delete arrives while a batch that still saw the row is under way."""
    watching.sql(
        "payroll",
        "insert into syncline.deleted (job_id, tenant_id, key, version, source_as_of, batch_id)"
        f" values ('{JOB}', 't1', '{{t1,late}}', now(), now() + interval '1 hour', 0)",
    )
    watching.hub({"person_id": "late"})

    watching.manifest["reconcile"] = {"mismatch_ratio_max": 0.0}
    with pytest.raises(BatchHeld):  # its source has a row that the copy must not have: a person should look
        watching.run()

    assert "t1/late" not in watching.people()
    assert watching.ledger("select superseded_rows from ledger.batch order by batch_id desc limit 1") == [
        {"superseded_rows": 1}
    ]


def test_every_deletion_leaves_a_marker_with_its_version(watching: Lab) -> None:
    watching.sql("mdm", "delete from lab.person where person_id = 'p7'")
    watching.sql("mdm", "update lab.person set is_deleted = true, updated_at = now() where person_id = 'p8'")
    watching.run()

    marks = watching.sql("payroll", "select tenant_id, key, version is not null as has_version from syncline.deleted")
    assert sorted((mark["tenant_id"], *mark["key"], mark["has_version"]) for mark in marks) == [
        ("t1", "t1", "p8", True), ("t2", "t2", "p7", True),
    ]  # fmt: skip


def test_a_row_that_comes_back_at_the_source_comes_back_in_the_copy(watching: Lab) -> None:
    watching.sql("mdm", "create table lab.kept as select * from lab.person where person_id = 'p7'")
    watching.sql("mdm", "delete from lab.person where person_id = 'p7'")
    watching.run()
    watching.sql("mdm", "insert into lab.person select * from lab.kept")  # as it was, with its old time

    watching.run()

    assert "t2/p7" in watching.people()


# -- parts -----------------------------------------------------------------------------------------------------


@pytest.fixture
def in_parts(lab: Lab) -> Lab:
    lab.manifest["source"] |= {"parts": 4, "connections_max": 4}
    fill(lab, 2_000)
    return lab


def test_a_batch_of_everything_is_read_in_parts_by_several_sessions(
    in_parts: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "syncline")

    done = in_parts.run()

    assert (done.verdict, done.counts.extracted_rows, done.counts.inserted_rows) == (Verdict.MATCHED, 2_000, 2_000)
    assert len(in_parts.people()) == 2_000
    assert in_parts.ledger("select * from ledger.part") == []
    assert in_parts.sql("payroll", "select * from pg_class where relnamespace = 'staged'::regnamespace") == []


def test_parts_of_a_view_are_told_apart_by_their_keys(in_parts: Lab) -> None:
    in_parts.sql(
        "mdm", "create view lab.people as select * from lab.person; grant select on lab.people to syncline_reader"
    )
    in_parts.manifest["source"] |= {"table": "lab.people"}
    del in_parts.manifest["source"]["cursor"]
    del in_parts.manifest["target"]["version"]

    done = in_parts.run()

    assert (done.verdict, done.counts.inserted_rows) == (Verdict.MATCHED, 2_000)


def test_rows_that_move_while_parts_are_read_are_read_once(in_parts: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """F22: an update moves a row to another block, another changes a key; all parts see the snapshot before it."""
    at(
        monkeypatch,
        "parts.posted",
        lambda: silently(in_parts, "update lab.person set person_id = 'q' || person_id, name = 'Moved'"),
    )

    done = in_parts.run()

    assert (done.verdict, done.counts.inserted_rows) == (Verdict.MATCHED, 2_000)
    assert "Moved" not in in_parts.people().values()


def test_a_part_that_was_staged_by_a_worker_that_died_is_not_staged_twice(
    in_parts: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_parts.manifest["source"]["connections_max"] = 1
    with monkeypatch.context() as once:
        once.setattr(Ledger, "part_done", cut_off)
        with pytest.raises(TransientError):
            in_parts.run("night")
    done = in_parts.run("night")

    assert (done.verdict, done.counts.inserted_rows) == (Verdict.MATCHED, 2_000)


def cut_off(*_: object) -> None:
    raise TransientError("the ledger was cut off")


def test_a_helper_of_an_attempt_that_is_over_stages_nothing(in_parts: Lab) -> None:
    job = in_parts.job
    batch_id = steps.open_batch(job, RunRequest(run_key="night"))
    with ledger.opened("test") as book, book.attempt(job, batch_id, "extract_and_map") as batch:
        book.post_parts(batch, "00000000-00000000-1", [Part(0, 1, (0, None))])
    with ledger.opened("test") as book, book.attempt(job, batch_id, "extract_and_map"):
        assert extract_parts(job, batch_id) == 0


def test_a_row_that_is_mended_to_what_the_copy_has_settles_its_letter(filled: Lab) -> None:
    silently(filled, "update lab.person set born = 'never' where person_id = 'p7'")
    filled.run(mode=Mode.FULL)
    silently(filled, "update lab.person set born = '1990-01-01' where person_id = 'p7'")

    done = filled.run(mode=Mode.FULL)

    assert (done.verdict, difference(filled)["differing_ranges"]) == (Verdict.MATCHED, 0)
    assert filled.ledger("select state from ledger.dead_letter") == [{"state": "resolved"}]


# -- types -----------------------------------------------------------------------------------------------------

# column -> type at the source, type of the field, type of the copy's column, a value, and another one
ODD = {
    "c_small": ("smallint", "integer", "bigint", "7", "8"),
    "c_big": ("bigint", "numeric", "numeric", "9223372036854775807", "0"),
    "c_numeric": ("numeric(12,4)", "numeric(12,4)", "numeric(14,6)", "1.5000", "1.5001"),
    "c_nan": ("numeric", "numeric", "numeric", "NaN", "0"),
    "c_real": ("real", "real", "double precision", "0.1", "-0.1"),
    "c_zero": ("double precision", "double precision", "double precision", "-0", "1e-300"),
    "c_varchar": ("varchar(5)", "varchar(5)", "text", "a", "a "),
    "c_char": ("char(5)", "char(5)", "char(5)", "a", "b"),
    "c_boolean": ("boolean", "boolean", "boolean", "true", "false"),
    "c_date": ("date", "date", "date", "infinity", "4000-01-01"),
    "c_time": ("time(3)", "time(3)", "time", "10:00:00.5", "10:00:00.501"),
    "c_timestamptz": ("timestamptz(3)", "timestamptz(3)", "timestamptz", "2026-01-01 00:00Z", "2026-01-01 01:00Z"),
    "c_interval": ("interval", "interval", "interval", "1 month", "30 days"),
    "c_uuid": ("uuid", "uuid", "uuid", "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"),
    "c_jsonb": ("jsonb", "jsonb", "jsonb", '{"b": 1, "a": 1.0}', '{"b": 1, "a": 2}'),
    "c_bytea": ("bytea", "bytea", "bytea", "\\x00ff", "\\x00"),
    "c_inet": ("cidr", "cidr", "inet", "10.0.0.0/8", "10.0.0.0/16"),
    "c_array": ("text[]", "text[]", "text[]", '{a,NULL,"b c"}', "{a}"),
    "c_numbers": ("numeric[]", "numeric[]", "numeric[]", "{1.0,2}", "{1,2.5}"),
}


@pytest.fixture
def odd(lab: Lab) -> Lab:
    for name, (at_source, field, at_target, value, _) in ODD.items():
        lab.sql("mdm", f"alter table lab.person add {name} {at_source} default '{value}'")
        lab.sql("payroll", f"alter table lab.person add {name} {at_target}")
        lab.mapping["source"][name] = at_source
        lab.mapping["fields"][name] = {"from": name, "type": field}
    fill(lab)
    lab.run()
    return lab


def test_the_same_values_have_the_same_checksum_whatever_their_type(odd: Lab) -> None:
    odd.run(mode=Mode.FULL)

    assert difference(odd)["differing_ranges"] == 0


def test_another_value_of_any_type_is_found(odd: Lab) -> None:
    for n, (name, (_, _, at_target, _, other)) in enumerate(ODD.items(), start=1):
        odd.sql("payroll", f"update lab.person set {name} = %s::text::{at_target} where person_no = 'p{n}'", other)

    done = odd.run(mode=Mode.FULL)

    assert done.counts.updated_rows == len(ODD)


# -- versions beside a table that may have no column for them ---------------------------------------------------


@pytest.fixture
def bare(lab: Lab) -> Lab:
    """A copy without version, batch and time of loading."""
    lab.manifest["target"] |= {"side_table": True}
    del lab.manifest["target"]["version"], lab.manifest["target"]["stamps"]
    del lab.mapping["fields"]["source_event_at"], lab.mapping["source"]["updated_at"]
    lab.sql("payroll", "alter table lab.person drop source_event_at, drop loaded_at, drop sync_batch_id")
    return lab


def agreed(lab: Lab) -> list[dict[str, Any]]:
    return lab.sql("payroll", "select key, version::text, job_id, batch_id from syncline.agreed order by key")


def test_the_version_of_each_row_stands_beside_a_table_without_a_column_for_it(bare: Lab) -> None:
    bare.hub({"person_id": "p1", "at": "2026-01-01 10:00Z"}, {"person_id": "bad", "born": "never"})

    assert bare.run().verdict is Verdict.MATCHED
    assert agreed(bare) == [{"key": ["t1", "p1"], "version": "2026-01-01 10:00:00+00", "job_id": JOB, "batch_id": 1}]


def test_what_another_job_has_agreed_on_later_is_not_set_back(bare: Lab) -> None:
    bare.hub({"person_id": "p1", "name": "OLD", "at": "2026-01-01 10:00Z"})
    bare.run()
    bare.sql("payroll", "update lab.person set name = 'NEWER'")
    bare.sql("payroll", "update syncline.agreed set version = '2026-01-01 11:00Z', job_id = 'mdm__payroll__person_cdc'")

    bare.hub({"person_id": "p1", "name": "LATE", "at": "2026-01-01 10:30Z"})
    assert bare.run(mode=Mode.FULL).counts.superseded_rows == 1
    assert bare.people() == {"t1/p1": "NEWER"}
    bare.hub({"person_id": "p1", "name": "NEWEST", "at": "2026-01-01 12:00Z"})
    assert bare.run().counts.updated_rows == 1
    assert agreed(bare)[0]["job_id"] == JOB


def test_a_dry_run_agrees_on_nothing(bare: Lab) -> None:
    bare.hub({"person_id": "p1"})

    bare.run(dry_run=True)

    assert agreed(bare) == []


def test_a_clock_of_the_source_that_goes_back_keeps_no_row_away(watching: Lab) -> None:
    watching.sql("mdm", "delete from lab.person where person_id = 'p7'")
    watching.run()
    watching.sql("payroll", "update syncline.deleted set source_as_of = now() + interval '1 hour'")
    watching.hub({"person_id": "p7", "tenant_id": "t2"})

    watching.run()

    assert "t2/p7" in watching.people()


@pytest.mark.parametrize("policy", ["hard", "soft"])
def test_a_replacing_job_takes_flagged_rows_once(lab: Lab, policy: str) -> None:
    lab.manifest["target"] |= {"write": "replace", "on_delete": policy}
    if policy == "soft":
        lab.manifest["target"]["deleted"] = "is_gone"
    fill(lab, 40)
    lab.run()
    silently(lab, "update lab.person set is_deleted = true where person_id = 'p2'")
    silently(lab, "delete from lab.person where person_id = 'p3'")

    done = lab.run()

    assert (done.verdict, done.counts.deleted_rows, done.counts.removed_rows) == (Verdict.MATCHED, 1, 1)
    assert len(lab.people()) == 38


def test_a_rejected_row_without_a_key_stays_excused(lab: Lab) -> None:
    lab.sql(
        "mdm",
        "alter table lab.person drop constraint person_pkey; alter table lab.person alter person_id drop not null",
    )
    fill(lab, 10)
    lab.sql("mdm", "insert into lab.person (tenant_id, person_id, name) values ('t1', null, 'x')")

    assert lab.run().verdict is Verdict.MATCHED
    assert lab.run().verdict is Verdict.MATCHED


def test_a_marker_of_another_path_stops_no_batch_without_rows(filled: Lab) -> None:
    filled.sql(
        "payroll",
        "insert into syncline.deleted (job_id, tenant_id, key, source_as_of, batch_id)"
        f" values ('{JOB}', 't1', '{{t1,late}}', now() + interval '1 hour', 0)",
    )

    assert filled.run(mode=Mode.FULL).verdict is Verdict.MATCHED
    assert filled.run().verdict is Verdict.MATCHED


def test_a_full_run_sees_what_postgresqls_own_hashes_do_not(lab: Lab) -> None:
    """5 and -5 have one hash there, so have 0 and NULL among floats, and arrays of other shapes."""
    lab.sql(
        "mdm",
        "alter table lab.person add pay numeric(8,2) default 5, add share float8 default 0, add tags int[] default '{1,2}'",
    )
    lab.sql("payroll", "alter table lab.person add pay numeric(8,2), add share float8, add tags int[]")
    for name, kind in (("pay", "numeric(8,2)"), ("share", "double precision"), ("tags", "integer[]")):
        lab.mapping["source"][name] = kind
        lab.mapping["fields"][name] = {"from": name, "type": kind}
    fill(lab, 40)
    lab.run()

    for spoil in ("pay = -5", "share = null", "tags = '{{1},{2}}'"):
        lab.sql("payroll", f"update lab.person set {spoil} where person_no = 'p7'")
        done = lab.run(mode=Mode.FULL)
        assert done.counts.updated_rows == 1, spoil
