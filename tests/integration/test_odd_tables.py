"""A comparison tells the truth of tables and rows that nobody expects: odd names, keys, tenants, heirs, clocks.

Found by somebody who planted differences to refute it. What every table has stands in test_record_comparison.py.
"""

from __future__ import annotations

import json

import pytest

from syncline.core.errors import BatchHeld, TerminalError
from syncline.core.values import Verdict
from tests.integration.conftest import JOB, Lab
from tests.integration.faults import fill
from tests.integration.test_record_comparison import compare, differences, snapshot, touching

ROWS = 20
EVE = "update lab.person set name = 'Eve' where person_no = 'p2'"


@pytest.fixture
def synced(lab: Lab) -> Lab:
    fill(lab, ROWS)
    lab.run()
    return lab


def key_more(lab: Lab, name: str, of_source: str, of_copy: str, default: str) -> None:
    """One more column of the key."""
    for database, key, kind in (("mdm", "person_id", of_source), ("payroll", "person_no", of_copy)):
        lab.sql(database, f"alter table lab.person drop constraint person_pkey,"
                          f" add {name} {kind} not null default '{default}', add primary key (tenant_id, {key}, {name})")  # fmt: skip
    lab.mapping["source"][name] = of_source
    lab.mapping["fields"][name] = {"from": name, "type": of_source, "checks": ["required"]}
    for side in ("source", "target"):
        lab.manifest[side]["key"].append(name)


# -- names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["jsonb", "integer"])
@pytest.mark.parametrize("name", ["w", "key", "letter"])
def test_a_column_of_the_source_may_have_any_name(lab: Lab, kind: str, name: str) -> None:
    lab.sql("mdm", f"alter table lab.person add {name} {kind}")  # that the mapping does not read
    fill(lab, ROWS)
    lab.run()
    lab.sql("payroll", EVE)
    lab.sql("payroll", "delete from lab.person where person_no = 'p4'")

    assert differences(compare(lab)) == [
        ("t1/p2", "mismatched", "foreign_write", ("name",)), ("t1/p4", "missing_in_target", "foreign_write", ()),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["jsonb", "integer"])
def test_a_letter_stays_open_whatever_a_column_of_the_source_is_called(lab: Lab, kind: str) -> None:
    lab.sql("mdm", f"alter table lab.person add w {kind}")
    fill(lab, ROWS)
    lab.run()
    lab.hub({"person_id": "p2", "born": "not a day"}, *({"person_id": f"p{n}", "name": "Zoe"} for n in (4, 6)))
    lab.run()
    lab.hub({"person_id": "p4", "name": "Zoey"})
    lab.run()

    assert lab.ledger("select state from ledger.dead_letter") == [{"state": "open"}]


@pytest.mark.parametrize("name", ["class", "cause", "columns", "lives", "here_hash", "is_newer"])
def test_a_column_of_the_key_may_have_any_name(lab: Lab, name: str) -> None:
    lab.sql("payroll", f'alter table lab.person rename person_no to "{name}"')
    lab.mapping["fields"][name] = lab.mapping["fields"].pop("person_no")
    lab.manifest["target"]["key"] = ["tenant_id", name]
    fill(lab, ROWS)
    lab.run()
    lab.sql("payroll", EVE.replace("person_no", f'"{name}"'))

    assert differences(compare(lab)) == [("t1/p2", "mismatched", "foreign_write", ("name",))]


# -- keys ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "key"), [("integer", "n"), ("uuid", "md5(n::text)::uuid")])
@pytest.mark.parametrize("foreign", ["test-person", "99999999999"])
def test_a_key_that_the_source_could_not_have_is_told(lab: Lab, kind: str, key: str, foreign: str) -> None:
    lab.sql("mdm", f"alter table lab.person alter person_id type {kind} using null")
    lab.mapping["source"]["person_id"] = kind
    lab.sql("mdm", "insert into lab.person (tenant_id, person_id, name, born)"
            f" select 't1', {key}, 'Ann', '1990-01-01' from generate_series(1, {ROWS}) as n")  # fmt: skip
    lab.run()
    lab.sql("payroll", "insert into lab.person (tenant_id, person_no, name) values ('t1', %s, 'Eve')", foreign)

    assert differences(compare(lab)) == [(f"t1/{foreign}", "missing_in_source", "foreign_write", ())]


def test_a_key_that_the_source_would_round_is_not_taken_for_another(lab: Lab) -> None:
    key_more(lab, "rate", "numeric(10,2)", "numeric(14,4)", "5.00")
    fill(lab, ROWS)
    lab.run()
    lab.sql("payroll", "insert into lab.person (tenant_id, person_no, name, rate) values ('t1', 'p2', 'Eve', 5.0001)")

    assert differences(compare(lab)) == [("t1/p2/5.0001", "missing_in_source", "foreign_write", ())]


def test_a_key_that_the_copy_could_not_have_waits_in_dead_letters(lab: Lab) -> None:
    lab.sql("payroll", "alter table lab.person alter person_no type varchar(6)")
    fill(lab, ROWS)
    lab.run()
    lab.hub({"person_id": "p-very-long-key"}, *({"person_id": f"p{n}", "name": "Zoe"} for n in (2, 4)))
    lab.run()

    assert differences(compare(lab)) == [("t1/p-very-long-key", "missing_in_target", "dead_letter", ())]


def test_a_day_that_the_copy_keeps_as_a_moment_is_the_same_key(lab: Lab) -> None:
    key_more(lab, "day", "date", "timestamp", "2026-01-01")
    fill(lab, ROWS)
    lab.run()
    lab.sql("mdm", "update lab.person set born = 'nonsense', updated_at = now() where person_id = 'p2'")
    lab.sql("mdm", "update lab.person set name = 'Zoe', updated_at = now() where person_id in ('p4', 'p6')")
    lab.run()
    lab.sql(
        "payroll",
        "insert into lab.person (tenant_id, person_no, name, day) values ('t1', 'p4', 'Eve', '2026-01-01 05:00')",
    )

    assert [found[1:3] for found in differences(compare(lab))] == [
        ("mismatched", "dead_letter"), ("missing_in_source", "foreign_write"),
    ]  # fmt: skip


def test_keys_that_two_types_spell_in_two_ways_are_not_compared(lab: Lab) -> None:
    key_more(lab, "at", "time", "interval", "10:00")
    fill(lab, ROWS)
    lab.run()

    with pytest.raises(TerminalError, match="key column 'at' is time in the mapping and interval in the copy"):
        compare(lab)


def test_rows_whose_keys_cannot_be_mapped_are_as_many_as_they_are(lab: Lab) -> None:
    """None of them is taken for one that arrived."""
    lab.sql("mdm", "alter table lab.person alter person_id type bigint using 0")
    lab.sql("payroll", "alter table lab.person alter person_no type integer using 0")
    lab.mapping["source"]["person_id"], lab.mapping["fields"]["person_no"]["type"] = "bigint", "integer"
    lab.sql("mdm", "insert into lab.person (tenant_id, person_id, name, born)"
                   " select 't1', 3000000000 + n, 'Ann', '1990-01-01' from generate_series(1, 5) n")  # fmt: skip
    with pytest.raises(BatchHeld):
        lab.run()

    done = compare(lab)
    assert (done.identical_rows, done.missing_in_target_rows, done.verdict) == (0, 5, Verdict.UNVERIFIED)


def test_a_row_without_a_key_counts_once_however_often_it_is_looked_at(synced: Lab) -> None:
    synced.sql("payroll", "alter table lab.person drop constraint person_pkey")
    synced.sql("payroll", "alter table lab.person alter person_no drop not null")
    synced.sql(
        "payroll", "insert into lab.person (tenant_id, person_no, name) values ('t1', null, 'x'), ('t1', null, 'x')"
    )
    synced.sql("payroll", EVE)

    with touching(synced, "payroll", "update lab.person set loaded_at = now() where person_no = 'p2'"):
        assert compare(synced).missing_in_source_rows == 2


def test_a_key_with_a_history_counts_once(lab: Lab) -> None:
    lab.sql("mdm", "alter table lab.person drop constraint person_pkey, add is_current boolean not null default true")
    lab.sql("payroll", "alter table lab.person add is_current boolean")
    lab.mapping["source"]["is_current"] = "boolean"
    lab.mapping["fields"]["is_current"] = {"from": "is_current", "type": "boolean"}
    lab.manifest["source"]["filter"] = {"is_current": [True]}
    lab.manifest["target"]["on_delete"] = "ignore"
    del lab.manifest["source"]["deleted"]
    fill(lab, ROWS)
    lab.run()
    lab.sql("mdm", "insert into lab.person (tenant_id, person_id, name, born, is_current)"
            " select 't1', 'p2', 'Old ' || n, '1990-01-01', false from generate_series(1, 3) as n")  # fmt: skip
    lab.sql("mdm", "update lab.person set is_current = false where person_id = 'p2'")

    assert compare(lab).missing_in_source_rows == 1


# -- tables, tenants -------------------------------------------------------------------------------------------


def test_rows_of_heirs_whose_hashes_cancel_are_found(synced: Lab) -> None:
    """No index of a table binds the rows of those that inherit from it."""
    for database, key in (("mdm", "person_id"), ("payroll", "person_no")):
        synced.sql(database, "create table lab.person_old () inherits (lab.person)")
        synced.sql(database, f"insert into lab.person_old select * from only lab.person where {key} = 'p2'")
    synced.sql("mdm", "grant select on lab.person_old to syncline_reader")
    synced.sql("payroll", EVE)

    assert compare(synced).duplicate_rows == 1


def test_a_row_whose_tenant_cannot_be_mapped_waits_in_dead_letters(lab: Lab) -> None:
    lab.mapping["fields"]["tenant_id"]["type"] = "varchar(2)"
    fill(lab, ROWS)
    lab.run()
    lab.hub({"tenant_id": "toolong", "person_id": "z1"}, *({"person_id": f"p{n}", "name": "Zoe"} for n in (2, 4)))
    lab.run()

    done = compare(lab)
    assert (done.source_rows, done.identical_rows, done.missing_in_target_rows) == (ROWS + 1, ROWS, 1)
    assert [found[2] for found in differences(done)] == ["dead_letter"]


# -- causes ----------------------------------------------------------------------------------------------------


def test_a_row_that_no_batch_reads_is_not_on_its_way(lab: Lab) -> None:
    lab.sql("mdm", "alter table lab.person add country text not null default 'GB'")
    lab.sql("payroll", "alter table lab.person add country text")
    lab.manifest["source"]["filter"] = {"country": ["GB"]}
    lab.mapping["source"]["country"] = "text"
    lab.mapping["fields"]["country"] = {"from": "country", "type": "text"}
    fill(lab, ROWS)
    lab.run()
    lab.sql("mdm", "insert into lab.person (tenant_id, person_id, name, country) values ('t1', 'fr', 'x', 'FR')")
    lab.ledger("update ledger.watermark set snapshot = %s::pg_snapshot", snapshot(lab))
    lab.sql("payroll", "insert into lab.person (tenant_id, person_no, name) values ('t1', 'fr', 'Eve')")
    lab.sql("mdm", "update lab.person set updated_at = now() where person_id = 'fr'")

    done = compare(lab)
    assert differences(done) == [("t1/fr", "missing_in_source", "foreign_write", ())]
    assert done.verdict is Verdict.MISMATCHED


@pytest.mark.parametrize("at", ["2099-01-01", "infinity"])
def test_a_moment_to_come_excuses_nobody_for_ever(synced: Lab, at: str) -> None:
    synced.hub({"person_id": "p2", "name": "Zoe", "at": at})
    synced.ledger("update ledger.watermark set source_as_of = source_as_of - interval '30 days'")

    assert [found[2] for found in differences(compare(synced))] == ["overdue"]


def test_what_another_hand_keeps_changing_counts_while_the_source_stands_still(synced: Lab) -> None:
    """Now it is missing, now it is wrong."""
    with touching(synced, "payroll", "delete from lab.person where person_no = 'p1'",
                  "insert into lab.person values ('t2', 'p1', 'Eve', '1990-01-01', now())"):  # fmt: skip
        assert {compare(synced).verdict for _ in range(8)} == {Verdict.MISMATCHED}


# -- values, words ---------------------------------------------------------------------------------------------


def test_a_number_may_be_as_large_as_it_likes_within_a_tolerance(lab: Lab) -> None:
    for database in ("mdm", "payroll"):
        lab.sql(database, "alter table lab.person add amount numeric")
    lab.mapping["source"]["amount"] = "numeric"
    lab.mapping["fields"]["amount"] = {"from": "amount", "type": "numeric", "equal": {"within": 0.001}}
    fill(lab, ROWS)
    lab.sql(
        "mdm", "update lab.person set amount = case person_id when 'p2' then 1e131071 when 'p4' then 'NaN' else 1 end"
    )
    lab.run()
    assert compare(lab).identical_rows == ROWS

    lab.sql("payroll", "update lab.person set amount = amount - 1 where person_no = 'p2'")
    assert differences(compare(lab)) == [("t1/p2", "mismatched", "foreign_write", ("amount",))]


def test_who_asks_for_json_gets_json(synced: Lab) -> None:
    said = synced.shell("diff", JOB, "--json", "--sample", "0%")

    assert (said.returncode, json.loads(said.stdout)["verdict"]) == (2, "unverified")
