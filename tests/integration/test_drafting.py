"""`syncline new` between real databases: the demo's tables, and tables that nobody would wish for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from syncline.core.catalogs.drafting import Draft
from syncline.core.checking import check_project
from syncline.core.errors import EnvironmentFailure, SynclineError, TerminalError
from syncline.core.job_files import load_job
from syncline.core.values import RunRequest, State
from syncline.steps import connecting, drafting, run_line
from syncline.steps.connecting import compare_with_databases
from syncline.steps.drafting import Place, new_job, write
from tests.integration.conftest import Lab
from tests.unit.test_drafting import NO_TENANTS, decide

ODD = """
drop schema if exists odd cascade; create schema odd; grant usage on schema odd to {role};
create table odd.plain (id integer primary key, note text);
create table odd.keyless (a text, b text);
create table odd.empty ();
create table odd.composite (region text, no integer, part uuid, note text, primary key (region, no, part));
create table odd."order" ("select" integer primary key, "user" text, "Mixed" text);
create table odd.wide ({wide});
create table odd.strange (id integer primary key, doc xml, at point, wait interval, tags text[], j json);
create table odd.twice (id integer primary key);
grant select, insert, update, delete on all tables in schema odd to {role};
create table odd.hidden (id integer primary key);
drop schema if exists odd2 cascade; create schema odd2; grant usage on schema odd2 to {role};
create table odd2.twice (id integer primary key); grant select on odd2.twice to {role};
"""


@pytest.fixture
def odd(lab: Lab) -> Lab:
    """The same odd tables on both sides."""
    wide = "id integer primary key, " + ", ".join(f"c{n} numeric(12,2)" for n in range(299))
    for database, role in (("mdm", "syncline_reader"), ("payroll", "syncline_tenant")):
        lab.sql(database, ODD.format(role=role, wide=wide))
    return lab


def no_tenants(made: Draft) -> Draft:
    return decide(made, NO_TENANTS)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("mdm.worker", "payroll.employee"), ("mdm.client", "billing.client_account"),
        ("mdm:mdm.worker", "warehouse:dw.worker"), ("mdm.contract", "warehouse.contract"),
        ("mdm.contract_event", "warehouse.dw.contract_event"),
    ],
)  # fmt: skip
def test_a_draft_of_the_demo_world_needs_nothing_but_decisions(lab: Lab, source: str, target: str) -> None:
    made = new_job(source, target)
    write(decide(made), lab.folder)

    assert check_project(lab.folder)[1] == []
    (job,) = check_project(lab.folder)[0]
    said = {finding.found for finding in compare_with_databases(lab.folder, [job]).findings}
    asked = {line.split("DECIDE: ")[1].split(" ")[0] for line in made.mapping.splitlines() if "is NOT NULL" in line}
    assert {one.split(" ")[1] for one in said} <= asked  # what does not fit yet is what the draft asks for


def test_a_finished_draft_runs(lab: Lab) -> None:
    job_id = "mdm__payroll__people"
    lab.hub(*({"person_id": f"p{n}", "name": f"Zebulon {n}", "born": "1990-01-31"} for n in range(30)))
    lab.sql("payroll", f"insert into syncline.job_tenant values ('{job_id}', 't1') on conflict do nothing")

    made = new_job("mdm:lab.person", "payroll:lab.person", entity="people")
    write(decide(made), lab.folder)
    job = load_job(lab.folder, job_id)

    assert "30" not in made.mapping
    assert "Zebulon" not in made.mapping + made.manifest
    assert "steps: [{parse_date: iso}]" in made.mapping
    assert compare_with_databases(lab.folder, [job]).findings == []
    assert run_line(job, RunRequest(run_key="first")).state is State.PUBLISHED
    assert len(lab.people()) == 30


def test_values_of_both_sides_are_compared_where_they_may_be_seen(odd: Lab) -> None:
    odd.sql("mdm", "insert into odd.plain select n, 'note ' || n from generate_series(1, 100) n")
    odd.sql("payroll", "insert into odd.plain select n, 'note ' || n from generate_series(1, 50) n")

    made = new_job("mdm:odd.plain", "payroll:odd.plain")

    assert made.mapping.count("100 % of sampled values occur on the other side") == 2
    assert "note 1" not in made.mapping
    assert made == new_job("mdm:odd.plain", "payroll:odd.plain")


def test_rows_that_row_security_hides_are_no_failure(lab: Lab) -> None:
    lab.sql("payroll", "insert into lab.person values ('t1', 'p1', 'Ann')")

    assert (
        "# No values of the target were compared: row-level security"
        in new_job("mdm:lab.person", "payroll:lab.person").mapping
    )


@pytest.mark.parametrize("name", ["plain", "composite", "order", "wide", "strange"])
def test_a_draft_of_an_odd_table_passes_the_check(odd: Lab, name: str) -> None:
    made = new_job(f"mdm:odd.{name}", f"payroll:odd.{name}")
    write(no_tenants(made), odd.folder)

    assert check_project(odd.folder)[1] == []
    if name == "order":
        assert '# Cannot be read: column "Mixed"' in made.mapping


@pytest.mark.parametrize("name", ["keyless", "empty"])
def test_a_table_without_a_key_asks_for_one(odd: Lab, name: str) -> None:
    made = new_job(f"mdm:odd.{name}", f"payroll:odd.{name}")
    write(no_tenants(made), odd.folder)

    found = check_project(odd.folder)[1]

    assert {finding.code for finding in found} == {"M02"}
    assert sum(f": odd.{name} has no primary key" in said for said in made.decisions) == 2


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("mdm.twice", "several tables twice; say which: mdm:odd.twice, mdm:odd2.twice"),
        ("mdm.workers", "no table workers. Did you mean worker?"),
        ("mdm:mdm.workers", "no table mdm.workers. Did you mean mdm.worker?"),
        ("mdm.hidden", "may not read odd.hidden"),
        ("mdm:odd.Order", "--source mdm:odd.Order: write <connection>.<table>"),
        ("mdm", "write <connection>.<table>"),
        ("mdm.a.b.c", "write <connection>.<table>"),
        ("nowhere.worker", "connection 'nowhere' is not configured"),
    ],
)
def test_what_cannot_be_found_is_told_with_what_could_be_meant(odd: Lab, source: str, said: str) -> None:
    with pytest.raises(SynclineError) as told:
        new_job(source, "payroll.employee")

    assert said in str(told.value)
    assert list((odd.folder / "include" / "manifests").iterdir()) == []


def test_a_table_that_may_not_be_read_is_drafted_without_a_sample(odd: Lab) -> None:
    made = new_job("mdm:odd.hidden", "payroll:odd.plain")

    assert "# No values of the source were compared: the role may not read the table." in made.mapping


def test_a_server_that_does_not_answer_is_one_sentence(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MDM", "postgresql://x:secret-word@127.0.0.1:1/mdm")

    with pytest.raises(SynclineError) as told:
        new_job("mdm.worker", "payroll.employee")
    assert "connecting to 'mdm'" in str(told.value)
    assert "secret-word" not in str(told.value)


def test_what_exists_is_never_overwritten(odd: Lab) -> None:
    made = new_job("mdm:odd.plain", "payroll:odd.plain")
    mapping = odd.folder / "include" / "mappings" / f"{made.job_id}.yaml"
    mapping.write_text("mine")

    with pytest.raises(TerminalError, match="exists already"):
        write(made, odd.folder)
    assert mapping.read_text() == "mine"
    assert not (odd.folder / "include" / "manifests" / f"{made.job_id}.yaml").exists()


def test_a_name_that_is_no_job_id_asks_for_an_entity(odd: Lab) -> None:
    odd.sql("mdm", "create table odd.a__b (id integer primary key); grant select on odd.a__b to syncline_reader")

    with pytest.raises(TerminalError, match="--entity"):
        new_job("mdm:odd.a__b", "payroll:odd.plain")
    assert new_job("mdm:odd.a__b", "payroll:odd.plain", entity="ab").job_id == "mdm__payroll__ab"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("mdm.worker", Place("mdm", None, "worker")), ("mdm:worker", Place("mdm", None, "worker")),
        ("mdm:hub.worker", Place("mdm", "hub", "worker")), ("mdm.hub.worker", Place("mdm", "hub", "worker")),
    ],
)  # fmt: skip
def test_how_a_table_may_be_named(text: str, place: Place) -> None:
    assert Place.parse(text, "--source") == place


def test_the_command_writes_both_files_and_lists_what_to_decide(lab: Lab, tmp_path: Path) -> None:
    ended = lab.shell("new", "--source", "mdm.worker", "--target", "payroll.employee")
    again = lab.shell("new", "--source", "mdm.worker", "--target", "payroll.employee")

    assert (ended.returncode, again.returncode) == (0, 1)
    written = ended.stdout.splitlines()[:2]
    assert written == [f"written: include/{kind}s/mdm__payroll__worker.yaml" for kind in ("manifest", "mapping")]
    assert "include/manifests/mdm__payroll__worker.yaml:7: a team" in ended.stdout
    assert all((lab.folder / line.split(": ")[1]).is_file() for line in written)
    assert "exists already" in again.stderr


def test_a_dry_run_prints_and_writes_nothing(lab: Lab) -> None:
    ended = lab.shell("new", "--source", "mdm.worker", "--target", "payroll.employee", "--dry-run")

    assert ended.returncode == 0
    assert "# include/mappings/mdm__payroll__worker.yaml\n# yaml-language-server" in ended.stdout
    assert not (lab.folder / "include" / "manifests" / "mdm__payroll__worker.yaml").exists()


@pytest.mark.parametrize("looking", [drafting._looking, connecting._looking])
def test_both_commands_look_through_a_session_that_cannot_write(lab: Lab, looking: Any) -> None:
    def try_to_write() -> None:
        with looking("warehouse") as session:
            session.execute("create table staged.by_accident ()")

    with pytest.raises(EnvironmentFailure, match="25006"):
        try_to_write()
