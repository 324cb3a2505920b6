"""`syncline check --connect`: jobs beside their real databases, and what stops a run before its first row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from syncline.adapters import connections
from syncline.core.errors import SchemaDrift
from syncline.core.files.findings import Finding
from syncline.core.job_files import job_ids, load_job
from syncline.core.values import State
from syncline.steps.connecting import Compared, compare_with_databases
from tests.conftest import ROOT
from tests.integration.conftest import JOB, Lab

MANIFEST, MAPPING = f"include/manifests/{JOB}.yaml", f"include/mappings/{JOB}.yaml"


def compared(lab: Lab) -> Compared:
    return compare_with_databases(lab.folder, [lab.job], named=frozenset({JOB}))


def told(lab: Lab) -> Finding:
    (finding,) = compared(lab).findings
    return finding


def line(finding: Finding, folder: Path) -> str:
    """The line that a finding points at."""
    return (folder / finding.path).read_text().splitlines()[finding.line - 1].strip()


def test_the_jobs_of_the_demo_fit_their_databases(lab: Lab) -> None:
    jobs = [load_job(ROOT, job_id) for job_id in job_ids(ROOT)]
    done = compare_with_databases(ROOT, jobs)

    assert done.findings == []
    assert done.compared == [job.id for job in jobs]


def test_a_job_that_fits_has_no_finding(lab: Lab) -> None:
    done = compared(lab)

    assert (done.findings, done.compared) == ([], [JOB])
    assert [note.code for note in done.notes] == ["M19"]  # a key of text without a limit


@pytest.mark.parametrize(
    ("database", "statement", "path", "place", "found"),
    [
        ("mdm", "alter table lab.person rename column born to born_on", MAPPING, "born: text", "column born is missing"),
        ("mdm", "alter table lab.person alter column name type integer using 1", MAPPING, "name: text", "is integer"),
        ("mdm", "drop index lab.person_updated_at_idx", MANIFEST, "cursor: updated_at", "has no index"),
        ("mdm", "alter table lab.person alter column updated_at drop not null", MANIFEST, "cursor: updated_at", "NULL"),
        ("mdm", "alter table lab.person drop constraint person_pkey", MANIFEST, "key:", "is not unique"),
        ("mdm", "alter schema lab rename to labs", MANIFEST, "table: lab.person", "table lab.person does not exist"),
        ("mdm", "revoke select on lab.person from syncline_reader", MANIFEST, "table: lab.person", "may not read"),
        ("mdm", "revoke usage on schema lab from syncline_reader", MANIFEST, "table: lab.person", "may not look into"),
        ("payroll", "alter table lab.person rename column born to birth", MAPPING, "born:", "column born is missing"),
        ("payroll", "alter table lab.person alter column name type varchar(3)", MAPPING, "type: text", "may be longer"),
        ("payroll", "alter table lab.person alter column born set not null", MAPPING, "born:", "is NOT NULL"),
        ("payroll", "alter table lab.person add column pay numeric not null", MAPPING, "fields:", "no field fills it"),
        ("payroll", "alter table lab.person drop column born;"
         " alter table lab.person add column born date generated always as ('2000-01-01'::date) stored",
         MAPPING, "born:", "is generated"),
        ("payroll", "alter table lab.person no force row level security", MANIFEST, "column: tenant_id", "ENABLE and FORCE"),
        ("payroll", "drop policy tenant on lab.person; create policy tenant on lab.person to syncline_tenant using (true)",
         MANIFEST, "column: tenant_id", "without syncline.scoped_tenants()"),
        ("payroll", "drop policy tenant on lab.person", MANIFEST, "column: tenant_id", "no policy lets syncline_tenant in"),
        ("payroll", "delete from syncline.job_tenant where job_id = 'mdm__payroll__person'", MANIFEST, "column: tenant_id", "may touch no tenant"),
        ("payroll", "revoke insert on lab.person from syncline_tenant", MANIFEST, "table: lab.person", "may not insert"),
    ],
)  # fmt: skip
def test_what_does_not_fit_stands_at_its_line(
    lab: Lab, database: str, statement: str, path: str, place: str, found: str
) -> None:
    lab.sql(database, "drop schema if exists labs cascade")
    lab.sql(database, statement)

    finding = told(lab)

    assert (finding.path, finding.found.count(found)) == (path, 1)
    assert line(finding, lab.folder).startswith(place)
    lab.sql(database, "drop schema if exists labs cascade")


def test_the_remedy_mends_it(lab: Lab) -> None:
    lab.sql("mdm", "drop index lab.person_updated_at_idx; alter table lab.person alter column updated_at drop not null")

    for finding in compared(lab).findings:
        lab.sql("mdm", finding.allowed)

    assert compared(lab).findings == []


def test_a_connection_that_cannot_be_reached_is_told_at_its_line_and_tried_once(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PAYROLL", "postgresql://nobody:secret-word@127.0.0.1:1/payroll")
    opened: list[str] = []
    connect = connections.connect
    monkeypatch.setattr(
        connections, "connect", lambda name, **how: opened.append(name) or connect(name, **how)
    )  # fmt: skip
    jobs = [load_job(ROOT, "mdm__payroll__worker"), load_job(ROOT, "mdm__warehouse__worker")]

    done = compare_with_databases(ROOT, jobs)

    assert sorted(opened) == ["mdm", "payroll", "warehouse"]
    (finding,) = done.findings
    assert (finding.path, finding.code) == ("include/manifests/mdm__payroll__worker.yaml", "D01")
    assert line(finding, ROOT) == "connection: payroll"
    assert "secret-word" not in str(finding)
    assert done.compared == ["mdm__warehouse__worker"]


def test_a_connection_that_is_not_configured_is_noted_unless_its_job_was_named(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_PAYROLL")
    by_chance = compare_with_databases(lab.folder, [lab.job])
    named = compared(lab)

    assert (by_chance.findings, [note.code for note in by_chance.notes], by_chance.compared) == ([], ["D01"], [])
    assert [finding.found for finding in named.findings] == [
        "connection 'payroll' is not configured: nothing of it was compared"
    ]


def test_a_target_without_the_corridor_is_told(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PAYROLL", connections.from_environment("airflow"))

    assert "schemas syncline and staged are missing" in {finding.found for finding in compared(lab).findings}


def test_the_command_tells_files_and_databases_in_one_report(lab: Lab) -> None:
    lab.sql("mdm", "drop index lab.person_updated_at_idx")
    ended = lab.shell("check", "--connect", JOB)
    as_json = json.loads(lab.shell("check", "--connect", "--json").stdout)

    assert ended.returncode == 1
    assert "create index concurrently on lab.person (updated_at);" in ended.stdout
    assert "1 jobs were compared with their databases" in ended.stderr
    assert "note: " in ended.stderr
    assert [finding["code"] for finding in as_json["findings"]] == ["M19"]
    assert as_json["compared"] == [JOB]


def test_without_any_connection_the_check_is_not_green(lab: Lab) -> None:
    nothing = {f"AIRFLOW_CONN_{name}": "" for name in ("MDM", "PAYROLL")}
    ended = lab.shell("check", "--connect", **nothing)

    assert ended.returncode == 3
    assert "nothing was compared" in ended.stderr


# -- before the first row


@pytest.mark.parametrize(
    ("database", "statement", "said"),
    [
        ("payroll", "alter table lab.person rename column born to born_on", r"column born is missing \(is it born_on now\?\)"),
        ("payroll", "alter table lab.person alter column born type text", "column born is text, and the field is date"),
        ("payroll", "alter table lab.person add column pay numeric not null", "no field fills it"),
        ("payroll", "alter table lab.person alter column name type json using null", "json, which has no equality"),
        ("mdm", "alter table lab.person alter column born type date using born::date", "column born is date, declared text"),
        ("mdm", "alter table lab.person rename to people; create view lab.person as select * from lab.people;"
         " grant select on lab.person to syncline_reader", "lab.person is a view"),
    ],
)  # fmt: skip
def test_what_would_fail_or_change_values_stops_the_run_before_its_first_row(
    lab: Lab, database: str, statement: str, said: str
) -> None:
    lab.hub({"person_id": "p1"})
    lab.sql(database, statement)

    with pytest.raises(SchemaDrift, match=said):
        lab.run()
    assert lab.ledger("select extracted_rows from ledger.batch where extracted_rows > 0") == []


def test_a_number_that_postgresql_would_round_stops_the_run(lab: Lab) -> None:
    lab.sql("mdm", "alter table lab.person add column pay numeric(14,4) not null default 1.0050")
    lab.sql("payroll", "alter table lab.person add column pay numeric(12,2)")
    lab.mapping["source"]["pay"] = "numeric(14,4)"
    lab.mapping["fields"]["pay"] = {"from": "pay", "type": "numeric(14,4)"}
    lab.hub({"person_id": "p1"})

    with pytest.raises(SchemaDrift, match="PostgreSQL would round or cut without a word"):
        lab.run()


def test_a_looked_up_number_that_would_be_rounded_stops_the_run(lab: Lab) -> None:
    lab.sql("mdm", "create table lab.rate (tenant_id text primary key, rate numeric(14,4));"
                   " grant select on lab.rate to syncline_reader; insert into lab.rate values ('t1', 1.0050)")  # fmt: skip
    lab.sql("payroll", "alter table lab.person add column rate numeric(12,2)")
    lookup = {"table": "lab.rate", "match": {"tenant_id": "tenant_id"}, "take": "rate", "take_type": "numeric(12,2)"}
    lab.mapping["fields"]["rate"] = {"lookup": lookup, "type": "numeric(12,2)"}
    lab.hub({"person_id": "p1"})

    with pytest.raises(SchemaDrift, match=r"column rate is numeric\(14,4\), declared numeric\(12,2\)"):
        lab.run()
    assert told(lab).allowed == "declare `take_type: numeric(14,4)`"


def test_enumerations_domains_and_padded_text_pass_through_a_whole_batch(lab: Lab) -> None:
    lab.sql("mdm", "create type lab.state as enum ('A', 'T'); create domain lab.short as varchar(5) check (value <> '');"
                   " alter table lab.person add column state lab.state default 'A', add column code char(4) default 'x',"
                   " add column nick lab.short default 'Annie'")  # fmt: skip
    lab.sql("payroll", "create type lab.state as enum ('active', 'left'); create domain lab.nick as text check (value > '');"
                       " alter table lab.person add column state lab.state, add column code varchar(4),"
                       " add column nick lab.nick; grant usage on schema lab to syncline_tenant")  # fmt: skip
    lab.mapping["source"] |= {"state": "text", "code": "char(4)", "nick": "varchar(5)"}
    lab.mapping["fields"] |= {
        "state": {"from": "state", "type": "text", "steps": [{"map": {"A": "active", "T": "left"}}]},
        "code": {"from": "code", "type": "varchar(4)"},
        "nick": {"from": "nick", "type": "text", "checks": ["required"]},
    }
    lab.hub({"person_id": "p1"}, {"person_id": "p2"})
    assert compared(lab).findings == []

    first = lab.run()
    lab.sql("mdm", "update lab.person set state = 'T', updated_at = now() where person_id = 'p2'")
    second = lab.run()

    assert (first.state, second.state) == (State.PUBLISHED, State.PUBLISHED)
    assert second.counts.updated_rows == 1
    assert lab.sql("payroll", "select person_no, state::text, code, nick from lab.person order by 1") == [
        {"person_no": "p1", "state": "active", "code": "x", "nick": "Annie"},
        {"person_no": "p2", "state": "left", "code": "x", "nick": "Annie"},
    ]


def test_a_text_that_is_no_label_is_refused_before_it_fails_a_batch(lab: Lab) -> None:
    lab.sql(
        "payroll", "create type lab.state as enum ('active', 'left'); alter table lab.person add column state lab.state"
    )
    lab.mapping["fields"]["state"] = {"from": "name", "type": "text", "steps": [{"map": {"Ann": "activ"}}]}

    finding = told(lab)

    assert (finding.code, finding.nearest) == ("M20", "active")
    assert "'activ' is none of them" in finding.found
