"""Full record comparison on two real databases: every class, every cause, and nothing that is only on its way."""

from __future__ import annotations

import json
import signal
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql

from syncline import steps
from syncline.adapters import ledger
from syncline.adapters.comparing import Ranges
from syncline.adapters.source import Source
from syncline.adapters.target.records import Records, comparing
from syncline.core.checksums import hash_of
from syncline.core.errors import BatchHeld, TerminalError
from syncline.core.record_comparison import ComparisonRequest, ComparisonSummary, Depth
from syncline.core.types import PgType
from syncline.core.values import Verdict
from syncline.steps import record_comparison
from tests.integration.conftest import JOB, Lab
from tests.integration.faults import PEOPLE, fill


def compare(lab: Lab, **asked: Any) -> ComparisonSummary:
    request = ComparisonRequest(run_key=uuid.uuid4().hex, **asked)
    return steps.compare_records(lab.job, request, settle_s=0.02)


def differences(done: ComparisonSummary) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """key, class, cause, columns of what differs, sorted by key."""
    with ledger.opened("test") as book:
        found = book.differences(done.comparison_id)
    return sorted(
        ("/".join(str(part) for part in one.target_key), str(one.record_class), str(one.cause), one.columns)
        for one in found
    )


@pytest.fixture
def synced(lab: Lab) -> Lab:
    fill(lab)
    lab.run()
    return lab


def test_equal_sides_match(synced: Lab) -> None:
    done = compare(synced)

    assert (done.verdict, done.source_rows, done.target_rows, done.identical_rows) == (
        Verdict.MATCHED, PEOPLE, PEOPLE, PEOPLE,
    )  # fmt: skip
    assert (done.raw_match_ratio, done.match_ratio, done.differing_rows) == (1.0, 1.0, 0)


def test_every_class_is_found_and_explained(synced: Lab) -> None:
    synced.sql("payroll", "update lab.person set name = 'Eve' where person_no = 'p1'")
    synced.sql("payroll", "delete from lab.person where person_no = 'p2'")
    synced.sql("payroll", "insert into lab.person values ('t1', 'p9999', 'Eve', null, now())")

    done = compare(synced)

    assert done.verdict is Verdict.MISMATCHED
    assert differences(done) == [
        ("t1/p2", "missing_in_target", "foreign_write", ()),
        ("t1/p9999", "missing_in_source", "foreign_write", ()),
        ("t2/p1", "mismatched", "foreign_write", ("name",)),
    ]
    assert (done.identical_rows, done.mismatched_rows, done.excused_rows) == (PEOPLE - 2, 1, 0)
    assert done.match_ratio == done.raw_match_ratio == (PEOPLE - 2) / (PEOPLE + 1)


@contextmanager
def touching(lab: Lab, database: str, *statements: str) -> Iterator[None]:
    """Somebody who runs the statements in turn, over and over, meanwhile."""
    is_over = threading.Event()

    def touch() -> None:
        with psycopg.connect(lab.conninfo(database), autocommit=True) as session:
            while not is_over.is_set():
                for statement in statements:
                    session.execute(statement.encode())

    thread = threading.Thread(target=touch)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@pytest.mark.parametrize(
    ("database", "statement"),
    [
        ("payroll", "update lab.person set loaded_at = now() where person_no = 'p1'"),  # no field of the mapping
        ("payroll", "update lab.person set name = 'Eve' || random() where person_no = 'p1'"),
        ("mdm", "update lab.person set is_deleted = false where person_id = 'p1'"),
    ],
)
def test_a_wrong_value_is_found_though_somebody_keeps_touching_its_row(
    synced: Lab, database: str, statement: str
) -> None:
    synced.sql("payroll", "update lab.person set name = 'Eve' where person_no = 'p1'")

    with touching(synced, database, statement):
        done = compare(synced)

    assert done.verdict is Verdict.MISMATCHED
    assert differences(done) == [("t2/p1", "mismatched", "foreign_write", ("name",))]


def test_what_its_source_changes_at_each_look_is_in_flight(synced: Lab) -> None:
    """Even beside a hand that writes the copy: what it should be, nobody can say."""
    with (
        touching(synced, "mdm", "update lab.person set name = 'Ann ' || random() where person_id = 'p1'"),
        touching(synced, "payroll", "update lab.person set name = 'Eve ' || random() where person_no = 'p1'"),
    ):
        done = compare(synced)

    assert (done.verdict, done.excused_rows) == (Verdict.MATCHED, 1)
    assert differences(done) == [("t2/p1", "mismatched", "in_flight", ("name",))]


def test_compensating_errors_are_found(synced: Lab) -> None:
    """Two rows that have each other's values, and one lost for one too many: no count tells."""
    synced.sql("payroll", "update lab.person set name = case person_no when 'p1' then 'Ann 3' else 'Ann 1' end"
               " where person_no in ('p1', 'p3')")  # fmt: skip
    synced.sql("payroll", "delete from lab.person where person_no = 'p5'")
    synced.sql("payroll", "insert into lab.person values ('t2', 'q5', 'Ann 5', '1990-01-01', now())")

    done = compare(synced)

    assert done.source_rows == done.target_rows
    assert [key for key, *_ in differences(done)] == ["t2/p1", "t2/p3", "t2/p5", "t2/q5"]


def test_what_changed_after_the_last_batch_is_in_flight(synced: Lab) -> None:
    synced.hub({"person_id": "p2", "name": "Zoe"}, {"person_id": "new", "name": "New"})
    synced.hub({"tenant_id": "t2", "person_id": "p3", "is_deleted": True})

    done = compare(synced)

    assert (done.verdict, done.excused_rows, done.raw_match_ratio) == (Verdict.MATCHED, 3, (PEOPLE - 2) / (PEOPLE + 1))
    assert differences(done) == [
        ("t1/new", "missing_in_target", "in_flight", ()),
        ("t1/p2", "mismatched", "in_flight", ("name", "source_event_at")),
        ("t2/p3", "missing_in_source", "in_flight", ()),
    ]
    synced.run()
    assert compare(synced).differing_rows == 0


def test_what_should_have_arrived_long_ago_is_overdue(synced: Lab) -> None:
    synced.hub({"person_id": "p2", "name": "Zoe"})
    synced.ledger("update ledger.watermark set source_as_of = source_as_of - interval '1 day'")
    synced.sql("mdm", "update lab.person set updated_at = now() - interval '2 hours' where person_id = 'p2'")

    done = compare(synced)

    assert (done.verdict, done.excused_rows) == (Verdict.MISMATCHED, 0)
    assert differences(done)[0][2] == "overdue"


def test_rejected_rows_wait_in_dead_letters(synced: Lab) -> None:
    synced.hub(*({"person_id": f"p{n}", "name": "Zoe"} for n in (4, 6)))
    synced.hub({"person_id": "p2", "born": "not a day"}, {"person_id": "new", "born": "nor this"})
    synced.run()

    done = compare(synced)

    assert (done.verdict, done.excused_rows) == (Verdict.MATCHED, 2)
    assert differences(done) == [
        ("t1/new", "missing_in_target", "dead_letter", ()),
        ("t1/p2", "mismatched", "dead_letter", ()),
    ]


def test_a_row_that_waits_does_not_hide_another_hand(synced: Lab) -> None:
    synced.hub({"person_id": "p2", "born": "not a day"}, {"person_id": "p4", "name": "Zoe"})
    synced.run()
    synced.sql("payroll", "update lab.person set name = 'Eve' where person_no = 'p2'")

    assert differences(compare(synced)) == [("t1/p2", "mismatched", "foreign_write", ())]


def test_a_job_that_never_ran_is_compared_for_the_tenants_of_its_source(lab: Lab) -> None:
    lab.sql("payroll", f"delete from syncline.job_tenant; insert into syncline.job_tenant values ('{JOB}', '*')")
    lab.sql("payroll", "insert into lab.person values ('t1', 'p9', 'Eve', null, now())")

    with pytest.raises(TerminalError, match="whose rows to look at is unknown.*`--tenant NAME` looks at one"):
        compare(lab)
    assert differences(compare(lab, tenants=("t1",))) == [("t1/p9", "missing_in_source", "foreign_write", ())]
    lab.hub({"person_id": "p1"})
    assert [key for key, *_ in differences(compare(lab))] == ["t1/p1", "t1/p9"]


def test_what_a_held_batch_has_read_waits_for_a_person(synced: Lab) -> None:
    synced.manifest["errors"] = {"rejected_ratio_max": 0.0, "severity": "ticket"}
    synced.hub({"person_id": "p2", "name": "Zoe"}, {"person_id": "p4", "born": "not a day"})
    with pytest.raises(BatchHeld):
        synced.run()

    done = compare(synced)

    assert {cause for _, _, cause, _ in differences(done)} == {"held_batch", "dead_letter"}
    assert done.verdict is Verdict.MATCHED


def test_a_newer_version_of_another_job_is_kept_and_one_of_another_hand_is_not_excused(synced: Lab) -> None:
    newer = "update lab.person set name = 'Newer', source_event_at = now() + interval '1 hour' where person_no = '%s'"
    with psycopg.connect(synced.conninfo("payroll")) as session:  # as a batch of another job does: with a marker
        session.execute((newer % "p2").encode())
        session.execute("insert into syncline.marker (batch_id, job_id, epoch, counts) values (999, 'other', 1, '{}')")
    synced.sql("payroll", newer % "p4")

    done = compare(synced)

    assert [(key, cause) for key, _, cause, _ in differences(done)] == [
        ("t1/p2", "conflict_kept"), ("t1/p4", "foreign_write"),
    ]  # fmt: skip
    assert (done.verdict, done.excused_rows) == (Verdict.MISMATCHED, 1)


def test_a_row_that_left_the_filter_is_told(synced: Lab) -> None:
    synced.sql("mdm", "alter table lab.person add country text not null default 'GB'")
    synced.manifest["source"]["filter"] = {"country": ["GB"]}
    synced.mapping["source"]["country"] = "text"
    synced.mapping["fields"]["country"] = {"from": "country", "type": "text"}
    synced.sql("payroll", "alter table lab.person add country text")
    synced.run()
    synced.sql("mdm", "update lab.person set country = 'FR' where person_id = 'p2'")

    done = compare(synced)
    assert differences(done) == [("t1/p2", "missing_in_source", "filtered", ())]
    assert done.verdict is Verdict.MISMATCHED  # no batch brings what the filter leaves out
    with pytest.raises(BatchHeld):  # SYNC-005 counts one row too many
        synced.run()
    synced.manifest["source"]["key_set"] = "every_run"
    assert compare(synced).verdict is Verdict.MATCHED  # the next batch takes it away
    synced.sql("payroll", "update lab.person set name = 'Eve' where person_no = 'p2'")
    synced.sql("mdm", "update lab.person set updated_at = now() where person_id = 'p2'")
    done = compare(synced)
    assert differences(done) == [("t1/p2", "missing_in_source", "foreign_write", ())]
    assert done.verdict is Verdict.MISMATCHED


def test_rows_deleted_at_the_source_are_told_and_excused_where_the_next_batch_deletes_them(synced: Lab) -> None:
    synced.sql("mdm", "delete from lab.person where person_id in ('p2', 'p4')")

    done = compare(synced)
    assert differences(done) == [(f"t1/{key}", "missing_in_source", "deleted_at_source", ()) for key in ("p2", "p4")]
    assert done.verdict is Verdict.MISMATCHED

    synced.manifest["source"]["key_set"] = "every_run"
    done = compare(synced)
    assert (done.verdict, done.excused_rows) == (Verdict.MATCHED, 2)

    del synced.manifest["source"]["key_set"]
    del synced.manifest["source"]["deleted"]
    synced.manifest["target"]["on_delete"] = "ignore"
    synced.ledger("update ledger.batch set rows_hash = %s", synced.job.rows_hash)  # as if it had been published so
    done = compare(synced)
    assert (done.verdict, done.excused_rows) == (Verdict.MATCHED, 2)


def test_a_key_that_a_side_has_twice_is_found_even_where_checksums_cancel(synced: Lab) -> None:
    synced.sql("payroll", "alter table lab.person drop constraint person_pkey")
    synced.sql("payroll", "insert into lab.person select tenant_id, person_no, name, born, source_event_at"
               " from lab.person where person_no = 'p2'")  # fmt: skip
    done = compare(synced)
    assert differences(done) == [("t1/p2", "duplicate_key", "unknown", ())]

    synced.sql("mdm", "alter table lab.person drop constraint person_pkey")
    synced.sql("mdm", "insert into lab.person select * from lab.person where person_id = 'p2'")
    synced.sql("payroll", "update lab.person set name = 'Eve' where person_no = 'p2'")
    done = compare(synced)  # as many rows, and both pairs add up to 0
    assert (done.duplicate_rows, done.verdict, done.identical_rows) == (1, Verdict.MISMATCHED, PEOPLE - 1)


def test_at_depth_checksums_no_field_is_told_and_the_same_keys_are_found(synced: Lab) -> None:
    synced.sql("payroll", "update lab.person set name = 'Eve' where person_no = 'p1'")

    done = compare(synced, depth=Depth.CHECKSUMS)

    assert differences(done) == [("t2/p1", "mismatched", "foreign_write", ())]


def test_a_sample_says_how_sure_it_is(lab: Lab) -> None:
    fill(lab, 20_000)
    lab.run()
    lab.sql("payroll", "update lab.person set name = 'Eve' where person_no like '%%7'")

    done = compare(lab, sample_ratio=0.1)
    assert 1_700 < done.identical_rows + done.differing_rows < 2_300
    assert 150 < done.mismatched_rows < 250
    assert (done.confidence or 0) < 0.001

    lab.sql("payroll", "update lab.person set name = 'Ann ' || substr(person_no, 2) where person_no like '%%7'")
    done = compare(lab, sample_ratio=0.1)
    assert done.verdict is Verdict.MATCHED
    assert 0.8 < (done.confidence or 0) < 0.9  # 1 - 0.999 ** 2,000


def test_only_some_tenants_are_compared(synced: Lab) -> None:
    synced.sql("payroll", "update lab.person set name = 'Eve' where person_no in ('p1', 'p2')")

    done = compare(synced, tenants=("t1",))

    assert (done.source_rows, done.target_rows) == (PEOPLE // 2, PEOPLE // 2)
    assert differences(done) == [("t1/p2", "mismatched", "foreign_write", ("name",))]


def test_a_tenant_that_the_target_does_not_grant_is_not_passed_over(synced: Lab) -> None:
    with pytest.raises(TerminalError, match=r"does not grant tenants that were asked for: t9\. Nothing was compared"):
        compare(synced, tenants=("t1", "t9"))

    assert synced.ledger("select verdict from ledger.comparison") == [{"verdict": "unverified"}]


def test_nothing_on_both_sides_proves_nothing(lab: Lab) -> None:
    done = compare(lab)

    assert (done.verdict, done.match_ratio) == (Verdict.UNVERIFIED, None)


def test_a_comparison_keeps_no_load_waiting_and_writes_nothing(synced: Lab) -> None:
    before = synced.sql("payroll", "select tenant_id, person_no, xmin::text from lab.person order by 1, 2")
    with comparing(synced.job, keeps_columns=True) as there:
        there.prepare()
        with there.looking(["t1", "t2"]):
            synced.hub({"person_id": "p2", "name": "Zoe"})
            assert synced.run().verdict is Verdict.MATCHED
            assert there.count() == PEOPLE
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), there.session.transaction():
                there.session.execute("update lab.person set name = 'x'")
    compare(synced)
    after = synced.sql("payroll", "select tenant_id, person_no, xmin::text from lab.person order by 1, 2")
    assert sum(one != other for one, other in zip(before, after, strict=True)) == 1


def test_an_interrupted_comparison_goes_on_without_hashing_again(synced: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    synced.sql("payroll", "update lab.person set name = 'Eve' where person_no = 'p1'")
    monkeypatch.setenv("SYNCLINE_FAILPOINTS", "compare.hashed:KILL")
    died = synced.shell("diff", JOB)
    monkeypatch.delenv("SYNCLINE_FAILPOINTS")
    assert died.returncode == -signal.SIGKILL
    assert synced.ledger("select state, verdict from ledger.comparison") == [
        {"state": "running", "verdict": "unverified"}
    ]

    done = synced.shell("diff", JOB, "--resume", "--json")

    assert (done.returncode, done.stderr.count("hashing both sides")) == (1, 0)
    said = json.loads(done.stdout)
    assert (said["comparison_id"], [one["key"]["person_no"] for one in said["differences"]]) == (1, ["p1"])
    assert said["identical_rows"] == PEOPLE - 1


def test_the_shell_says_it_in_words_in_json_and_by_its_exit_code(synced: Lab) -> None:
    assert synced.shell("diff", JOB).returncode == 0
    synced.mapping["fields"]["person_no"]["pii"] = "name"
    synced.run()
    synced.sql("payroll", "update lab.person set name = 'Eve', born = null where person_no = 'p1'")
    synced.hub({"person_id": "p2", "name": "Zoe"})

    said = synced.shell("diff", JOB)
    assert said.returncode == 1, said.stderr
    assert "person_no=***" in said.stdout
    assert "Eve" not in said.stdout + said.stderr

    told = json.loads(synced.shell("diff", JOB, "--json", "--unmask").stdout)
    assert (told["verdict"], told["mismatched_rows"], told["excused_rows"]) == ("mismatched", 2, 1)
    assert told["differences"][0]["columns"] == ["name", "born"]
    assert told["differences"][0]["key"] == {"tenant_id": "t2", "person_no": "p1"}

    synced.sql("payroll", "update lab.person set name = 'Ann 1', born = '1990-01-01' where person_no = 'p1'")
    assert synced.shell("diff", JOB).returncode == 0
    strictly = synced.shell("diff", JOB, "--strict", "--json")
    assert (strictly.returncode, json.loads(strictly.stdout)["verdict"]) == (1, "mismatched")

    unreachable = synced.shell("diff", JOB, "--json", AIRFLOW_CONN_PAYROLL="postgresql://x@127.0.0.1:1/x")
    assert (unreachable.returncode, json.loads(unreachable.stdout)["verdict"]) == (2, "unverified")
    assert synced.shell("diff", JOB, "--sample", "200%").returncode == 2
    nobody = synced.shell("diff", "no__such__job", "--json")
    assert (nobody.returncode, json.loads(nobody.stdout)["verdict"]) == (2, "unverified")


def test_drift_begins_and_ends_with_what_comparisons_find(synced: Lab) -> None:
    synced.sql("payroll", "update lab.person set name = 'Eve' where person_no = 'p1'")
    compare(synced, is_scheduled=True)
    compare(synced)
    drift = "select found_by, differing_rows_max, severity, first_comparison_id, last_comparison_id, closed_comparison_id from ledger.drift"
    assert synced.ledger(drift) == [
        {"found_by": "automation", "differing_rows_max": 1, "severity": "medium", "first_comparison_id": 1,
         "last_comparison_id": 2, "closed_comparison_id": None}
    ]  # fmt: skip
    synced.sql("payroll", "update lab.person set name = 'Ann 1' where person_no = 'p1'")
    compare(synced, tenants=("t1",))
    assert synced.ledger(drift)[0]["closed_comparison_id"] is None  # it has not looked at the other tenant
    compare(synced)
    assert synced.ledger(drift)[0]["closed_comparison_id"] == 4


def test_no_value_but_keys_reaches_the_ledger(synced: Lab) -> None:
    synced.hub({"person_id": "p2", "name": "CANARY-source"})
    synced.run()
    synced.sql("payroll", "update lab.person set name = 'CANARY-target' where person_no = 'p2'")
    compare(synced)

    for table in ("comparison", "record_count", "record_difference", "drift", "audit"):
        assert synced.ledger(f"select from ledger.{table} as r where r::text like '%%CANARY%%'") == []


TYPES: dict[str, tuple[str, str]] = {  # type of the field -> a value, and another that only a close look tells apart
    "text": ("'Ann'", "'ann'"), "varchar(40)": ("'Ann'", "'Anm'"), "char(5)": ("'ab'", "'ac'"),
    "integer": ("5", "-5"), "bigint": ("5", "-5"), "numeric(12,3)": ("100.5", "-100.5"), "numeric": ("1.10", "'NaN'"),
    "double precision": ("0", "null"), "boolean": ("false", "null"), "date": ("'2024-02-29'", "'2024-03-01'"),
    "time": ("'10:00'", "'10:00:00.000001'"), "timestamp": ("'2024-01-01'", "'2024-01-01 00:00:00.000001'"),
    "timestamptz": ("'2024-01-01 00:00+00'", "'2024-01-01 00:00+01'"), "interval": ("'1 month'", "'30 days'"),
    "uuid": ("'00000000-0000-0000-0000-000000000001'", "'00000000-0000-0000-0000-000000000002'"),
    "jsonb": ("'[1]'", "'[[1]]'"), "text[]": ("'{a,b}'", "'{{a},{b}}'"), "inet": ("'10.0.0.1'", "'10.0.0.1/24'"),
    "bytea": ("'\\x01'", "'\\x02'"),
}  # fmt: skip


def test_a_single_value_of_any_type_is_found_at_either_depth(lab: Lab) -> None:
    names = {f"c{n}": kind for n, kind in enumerate(TYPES)}
    for name, kind in names.items():
        lab.sql("mdm", f"alter table lab.person add {name} {kind} default {TYPES[kind][0]}")
        lab.sql("payroll", f"alter table lab.person add {name} {kind}")
        lab.mapping["source"][name] = kind
        lab.mapping["fields"][name] = {"from": name, "type": kind}
    fill(lab, 60)
    lab.run()
    assert compare(lab).identical_rows == 60
    for n, (name, kind) in enumerate(names.items(), start=1):
        lab.sql("payroll", f"update lab.person set {name} = {TYPES[kind][1]} where person_no = 'p{n}'")

    found = differences(compare(lab))
    assert {key.split("/")[1]: columns for key, _, _, columns in found} == {
        f"p{n}": (name,) for n, name in enumerate(names, start=1)
    }
    assert {key for key, *_ in differences(compare(lab, depth=Depth.CHECKSUMS))} == {key for key, *_ in found}


KEYS: dict[str, str] = {  # type of the key -> the n-th
    "uuid": "md5(n::text)::uuid", "bigint": "-n", "numeric(12,2)": "n + 0.5", "date": "date '2024-01-01' + n",
    "timestamptz": "timestamptz '2024-01-01 00:00+00' + n * interval '1 microsecond'",
    "double precision": "n / 7.0::double precision", "bytea": "decode(lpad(to_hex(n), 8, '0'), 'hex')",
    "inet": "inet '10.0.0.0' + n",
}  # fmt: skip


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_may_be_of_any_type(lab: Lab, kind: str) -> None:
    for database, side in (("mdm", "source"), ("payroll", "target")):
        lab.sql(database, "alter table lab.person drop constraint person_pkey")
        lab.sql(database, f"alter table lab.person add k {kind}, add primary key (tenant_id, k)")
        lab.manifest[side]["key"] = ["tenant_id", "k"]
    lab.mapping["source"]["k"] = kind
    lab.mapping["fields"]["k"] = {"from": "k", "type": kind, "checks": ["required"]}
    lab.sql("mdm", "insert into lab.person (tenant_id, person_id, name, k)"
            f" select 't' || 1 + n % 2, 'p' || n, 'Ann', {KEYS[kind]} from generate_series(1, 50) as n")  # fmt: skip
    lab.run()
    assert compare(lab).identical_rows == 50
    lab.sql("payroll", "update lab.person set name = 'Eve' where person_no = 'p1'")
    lab.sql("payroll", "delete from lab.person where person_no = 'p2'")
    lab.sql("payroll", f"insert into lab.person (tenant_id, person_no, name, k) select 't1', 'p9', 'Eve', {KEYS[kind]}"
            " from generate_series(99, 99) as n")  # fmt: skip

    keys = lab.sql("payroll", f"select format('%s', ({KEYS[kind]})::{kind}) as k from unnest(array[1, 2, 99]) as n")
    found = {record_class: found.split("/")[1] for found, record_class, *_ in differences(compare(lab))}
    assert found == dict(
        zip(("mismatched", "missing_in_target", "missing_in_source"), (r["k"] for r in keys), strict=True)
    )


def test_an_old_delete_marker_excuses_nothing(synced: Lab) -> None:
    synced.hub({"person_id": "p2", "name": "Ann 2", "is_deleted": True})
    synced.run()
    synced.hub({"person_id": "p2", "name": "Ann 2", "is_deleted": False})
    synced.run()
    synced.sql("payroll", "delete from lab.person where person_no = 'p2'")

    done = compare(synced)

    assert (differences(done), done.verdict) == (
        [("t1/p2", "missing_in_target", "foreign_write", ())], Verdict.MISMATCHED,
    )  # fmt: skip


def test_keys_that_the_mapping_could_not_hold_are_told(synced: Lab) -> None:
    """Longer than the mapping's type, and NULL where the table allows it."""
    synced.mapping["fields"]["person_no"]["type"] = "varchar(6)"
    synced.run()
    synced.sql("payroll", "alter table lab.person drop constraint person_pkey")
    synced.sql("payroll", "alter table lab.person alter person_no drop not null")
    synced.sql(
        "payroll",
        "insert into lab.person (tenant_id, person_no, name) values ('t1', 'p2-and-more', 'x'), ('t1', null, 'x')",
    )

    done = compare(synced)

    with ledger.opened("test") as book:
        found = book.differences(done.comparison_id)
    assert {one.target_key[1] for one in found} == {None, "p2-and-more"}


def test_what_an_append_job_keeps_is_excused_and_what_another_hand_wrote_is_not(synced: Lab) -> None:
    synced.manifest["source"].pop("deleted")
    synced.manifest["target"] |= {"write": "append", "on_delete": "ignore"}
    synced.run()
    synced.hub({"person_id": "p4", "name": "Zoe"})
    synced.run()  # which changes no row
    synced.sql("payroll", "update lab.person set name = 'Eve' where person_no = 'p2'")

    done = compare(synced)

    assert [(key, cause) for key, _, cause, _ in differences(done)] == [
        ("t1/p2", "foreign_write"), ("t1/p4", "conflict_kept"),
    ]  # fmt: skip


def test_what_is_expected_alone_proves_nothing(synced: Lab) -> None:
    synced.manifest["source"]["key_set"] = "every_run"
    synced.run()
    synced.sql("mdm", "delete from lab.person")

    done = compare(synced)

    assert (done.verdict, done.identical_rows, done.excused_rows) == (Verdict.UNVERIFIED, 0, PEOPLE)


def test_a_deletion_that_no_batch_has_looked_for_is_not_expected_for_ever(synced: Lab) -> None:
    synced.manifest["source"]["key_set"] = "every_run"
    synced.run()
    synced.sql("mdm", "delete from lab.person where person_id = 'p2'")
    assert compare(synced).verdict is Verdict.MATCHED
    synced.ledger("update ledger.watermark set source_as_of = source_as_of - interval '1 day'")
    assert compare(synced).verdict is Verdict.MISMATCHED


def test_the_next_batch_excuses_what_ours_wrote_and_not_what_another_hand_did(synced: Lab) -> None:
    synced.hub({"person_id": "p2", "name": "Zoe"}, {"person_id": "p4", "name": "Zoe"})
    synced.sql("payroll", "update lab.person set name = 'Eve' where person_no = 'p2'")

    assert [(key, cause) for key, _, cause, _ in differences(compare(synced))] == [
        ("t1/p2", "foreign_write"), ("t1/p4", "in_flight"),
    ]  # fmt: skip


def test_older_rows_of_a_key_do_not_stand_beside_the_living_one(synced: Lab) -> None:
    """A history at the source: one row of each key lives, others are flagged."""
    synced.sql("mdm", "alter table lab.person drop constraint person_pkey")
    synced.sql(
        "mdm", "insert into lab.person select tenant_id, person_id, 'Old', born, '2020-01-01', true from lab.person"
    )
    synced.ledger("update ledger.watermark set snapshot = %s::pg_snapshot", snapshot(synced))
    assert compare(synced).differing_rows == 0
    synced.sql("payroll", "update lab.person set name = 'Eve' where person_no = 'p2'")
    assert differences(compare(synced)) == [("t1/p2", "mismatched", "foreign_write", ("name",))]


def snapshot(lab: Lab) -> str:
    return str(lab.sql("mdm", "select pg_current_snapshot()::text as s")[0]["s"])


def test_many_differences_are_told_once_however_they_are_looked_up(
    synced: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced.hub({"person_id": "p6", "name": "Zoe"})
    synced.sql("payroll", "update lab.person set name = 'Eve' where person_no in ('p1', 'p2', 'p3')")
    wanted = differences(compare(synced))
    assert len(wanted) == 4
    for name in ("KEYS_AT_ONCE", "PLACES_MAX", "LISTED_ROWS_MAX"):
        monkeypatch.setattr(record_comparison, name, 1)
        done = compare(synced)
        assert (differences(done), done.differing_rows) == (wanted, 4), name


def test_several_sessions_of_a_side_see_one_instant(synced: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each side is changed after its first session has begun to look, and before its second one does."""
    asked: Counter[str] = Counter()
    ask = Ranges.ask

    def asking(ranges: Ranges, session: psycopg.Connection, statement: Any) -> None:
        asked[session.info.dbname] += 1
        ask(ranges, session, statement)

    def changing(kind: type[Source | Records], database: str) -> None:
        beside = kind.beside

        @contextmanager
        def late(here: Any) -> Iterator[Any]:
            synced.sql(database, "update lab.person set name = 'Late'")
            with beside(here) as other:
                yield other

        monkeypatch.setattr(kind, "beside", late)

    monkeypatch.setattr(record_comparison, "ROWS_PER_SESSION", 0)
    monkeypatch.setattr(Ranges, "ask", asking)
    synced.sql("payroll", "delete from lab.person where person_no in ('p1', 'p400')")
    changing(Source, "mdm")
    changing(Records, "payroll")

    assert compare(synced).differing_rows == 2
    assert sorted(asked.values()) == [2, 2]


def test_ranges_with_many_rows_are_divided_further(synced: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_comparison, "ROWS_PER_RANGE", 64)
    monkeypatch.setattr(record_comparison, "LISTED_ROWS_MAX", 10)
    synced.sql("payroll", "update lab.person set name = 'Eve' where person_no = 'p1'")
    assert differences(compare(synced)) == [("t2/p1", "mismatched", "foreign_write", ("name",))]


NUMBERS = ("0", "1", "-1", "5", "-5", "10000", "-10000", "0.0001", "'NaN'", "'Infinity'", "'-Infinity'", "null")
DAYS = (
    "'2000-01-01'", "'2000-01-02'", "'1999-12-31'", "'infinity'", "'2000-09-13'", "'-infinity'", "'2001-05-27'", "null",
)  # fmt: skip
MOMENTS = (  # PostgreSQL's own hash takes the second of a pair for the first
    "'2000-01-01 00:00:00.000001'", "'2000-01-01 01:11:34.967296'", "'2022-03-08 08:28:21'", "'2026-12-18 23:21:12'",
    "'9999-12-31 23:59:59.999998'", "'9999-12-31 23:59:59.999999'", "'1970-01-01'", "'4714-11-24 BC'", "'infinity'",
    "'-infinity'", "null",
)  # fmt: skip
TIMES = ("'00:00:00.000001'", "'01:11:34.967296'", "'00:00'", "'24:00'", "null")
ZONED = ("'00:00:00.000001+00'", "'01:11:34.967296+00'", "'00:00+00'", "'00:00+01'", "'23:00-01'", "null")


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("numeric", NUMBERS), ("date", DAYS), ("timestamp", MOMENTS), ("timestamptz", MOMENTS), ("time", TIMES),
        ("timetz", ZONED),
    ],
)  # fmt: skip
def test_no_two_pairs_of_values_have_one_hash(lab: Lab, kind: str, values: tuple[str, ...]) -> None:
    """What two fields of a row exchange, or change by the same, must not cancel."""
    for before in range(4):
        columns = {f"c{n}": (sql.Identifier(f"c{n}"), PgType("integer")) for n in range(before)}
        columns |= {name: (sql.Identifier(name), PgType.parse(kind)) for name in ("a", "b")}
        told = ", ".join(f"({a}::{kind}, {b}::{kind})" for a in values for b in values)
        zeros = "".join(f", {n} as c{n}" for n in range(before))
        asked = f"select count(distinct {hash_of(columns).as_string(None)}) as n from (select *{zeros} from (values {told}) as v (a, b)) as v"
        assert lab.sql("postgres", asked)[0]["n"] == len(values) ** 2, before


def test_a_row_of_ours_that_is_newer_than_its_source_is_not_kept(synced: Lab) -> None:
    """The source was set back: a run would write what it says now."""
    synced.sql(
        "mdm", "update lab.person set name = 'Old', updated_at = updated_at - interval '1 hour' where person_id = 'p2'"
    )
    synced.ledger("update ledger.watermark set snapshot = %s::pg_snapshot", snapshot(synced))

    done = compare(synced)

    assert [(key, cause) for key, _, cause, _ in differences(done)] == [("t1/p2", "unknown")]


def test_many_differences_settle_in_one_pass(lab: Lab) -> None:
    fill(lab, 20_000)
    lab.run()
    lab.sql("payroll", "update lab.person set name = 'Eve' where person_no like '%%1%%'")
    wanted = lab.sql("payroll", "select count(*) as n from lab.person where name = 'Eve'")[0]["n"]
    done = compare(lab)  # a loop over all pairs would end in the test's timeout
    assert (done.mismatched_rows, done.identical_rows) == (wanted, 20_000 - wanted)
