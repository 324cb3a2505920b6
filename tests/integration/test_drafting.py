"""`syncline new` between real databases: the demo's tables, and tables that nobody would wish for."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from functools import partial
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
from syncline.steps.looking import preview
from tests.conftest import ROOT
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

    said = new_job("mdm:lab.person", "payroll:lab.person").mapping

    assert (
        "# No values of the target were compared: the statement failed with SQLSTATE SY003; the table has row-" in said
    )
    assert "# No values of the source were compared: the table has no rows." in said


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


@pytest.mark.parametrize("looking", [drafting._looking, partial(connecting.looking_at, purpose="test")])
def test_both_commands_look_through_a_session_that_cannot_write(lab: Lab, looking: Any) -> None:
    def try_to_write() -> None:
        with looking("warehouse") as session:
            session.execute("create table staged.by_accident ()")

    with pytest.raises(EnvironmentFailure, match="25006"):
        try_to_write()


def test_values_of_people_stay_in_the_databases(odd: Lab) -> None:
    odd.sql("mdm", """
        create table odd.person (id integer primary key, status_code text, religion text, phone text);
        insert into odd.person select n, (array['Kowalski', 'ACT'])[1 + n % 2], (array['jedi', 'none'])[1 + n % 2],
            (array['0301234567', '0307654321'])[1 + n % 2] from generate_series(1, 100) n;
        grant select on odd.person to syncline_reader""")  # fmt: skip
    odd.sql("payroll", """
        create table odd.person (id integer primary key, status text check (status in ('active', 'left')),
            religion text check (religion in ('catholic', 'none')), phone text check (phone in ('a', 'b')));
        grant select on odd.person to syncline_tenant""")  # fmt: skip

    made = new_job("mdm:odd.person", "payroll:odd.person")

    for value in ("Kowalski", "jedi", "catholic", "0301234567"):
        assert value not in made.mapping + made.manifest
    assert '{map: {values: {"ACT": "active"}}}' in made.mapping
    assert "1 different values have no counterpart; `syncline preview` shows them" in made.mapping
    assert "50 of 100 sampled values do not fit" in made.mapping


def test_a_system_table_is_drafted(lab: Lab) -> None:
    made = new_job("mdm:pg_catalog.pg_class", "payroll:lab.person", entity="pgclass")

    assert any(
        "key column oid is oid, a type that mappings do not know; decide a key" in said for said in made.decisions
    )


@pytest.mark.parametrize("missing", ["mapping", "manifest"])
def test_where_one_file_cannot_be_written_there_is_neither(odd: Lab, missing: str, monkeypatch: Any) -> None:
    made = new_job("mdm:odd.plain", "payroll:odd.plain")
    real = drafting.project.write

    def refused(path: Path, text: str) -> None:
        if path.parent.name == f"{missing}s":
            raise PermissionError(13, "Permission denied")
        real(path, text)

    monkeypatch.setattr(drafting.project, "write", refused)

    with pytest.raises(
        EnvironmentFailure, match=rf"include/{missing}s/{made.job_id}.yaml cannot be written: Permission"
    ):
        write(made, odd.folder)
    assert [path for kind in ("manifests", "mappings") for path in (odd.folder / "include" / kind).iterdir()] == []


def test_a_file_in_the_place_of_a_folder_is_one_sentence(odd: Lab) -> None:
    made = new_job("mdm:odd.plain", "payroll:odd.plain")
    (odd.folder / "include" / "mappings").rmdir()
    (odd.folder / "include" / "mappings").write_text("")

    with pytest.raises(EnvironmentFailure, match="Nothing was written"):
        write(made, odd.folder)
    assert list((odd.folder / "include" / "manifests").iterdir()) == []


def test_outside_a_project_nothing_is_drafted(odd: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = new_job("mdm:odd.plain", "payroll:odd.plain")
    monkeypatch.setenv("SYNCLINE_HOME", str(tmp_path / "elsewhere"))

    with pytest.raises(TerminalError, match="is not a project: it has no include/manifests"):
        new_job("mdm:odd.plain", "payroll:odd.plain")
    with pytest.raises(TerminalError, match="is not a project"):
        write(made, tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        ("select 1 as id where false", "the table has no rows"),
        ("select 1 / (random() * 0)::integer as id", "the statement failed with SQLSTATE 22012"),
        ("select 1 as id from (select pg_sleep(5)) as s", "the statement took longer than 1 s (SQLSTATE 57014)"),
        ("select point '(1,2)' as id", "the table has no column of a type that can be compared"),
    ],
)
def test_a_missing_sample_says_the_true_reason(
    odd: Lab, view: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafting, "LOOK_S_MAX", 1)
    odd.sql("mdm", f"create view odd.v as {view}; grant select on odd.v to syncline_reader")

    assert f"# No values of the source were compared: {reason}." in new_job("mdm:odd.v", "payroll:odd.plain").mapping


def test_a_code_list_of_the_project_is_proposed_where_texts_are_its_codes(odd: Lab) -> None:
    shutil.copytree(ROOT / "examples/chinook/include/code_lists", odd.folder / "include/code_lists")
    odd.sql("mdm", "create table odd.place (id integer primary key, country text);"
            " insert into odd.place values (1, 'USA'), (2, 'Germany'), (3, 'France'), (4, 'Atlantis'), (5, 'Chile');"
            " grant select on odd.place to syncline_reader")  # fmt: skip
    odd.sql("payroll", "create table odd.place (id integer primary key, country_code char(2))")

    made = new_job("mdm:odd.place", "payroll:odd.place")
    write(no_tenants(made), odd.folder)

    assert "steps: [{code_list: country_names}]" in made.mapping
    assert "1 of 5 sampled values do not fit" in made.mapping
    assert "Atlantis" not in made.mapping
    assert check_project(odd.folder)[1] == []


MIXED = {
    # source column: its values, the target's column
    "menge text": (["1,50", "x", "99999,1", "2,5", "-0,01", "7,", "1.5", "3,25", "4,5"], "menge numeric(6,2)"),
    "stueck text": (["1", "+2", "3.0", "99999999999", " 4", "5", "-6", "1e3", "7"], "stueck integer"),
    "tag text": (["2024-02-29", "2023-02-29", "2024-1-1", "0001-01-01", "2024-12-31", "2024-05-05", "2020-01-01",
                  "2021-01-01", "2022-01-01"], "tag date"),
    "offen text": (["ja", "nein", "JA", "Nein", "ja", "nein", "nein", "ja", "ja"], "offen boolean"),
    "zu text": (["t", "f", "TRUE", "yes", "1", "0", "T", "false", "on"], "zu boolean"),
    "ref text": (["b2f9f0f6-25d4-4b6a-b2d4-0e5b6b0a9a11", "b2f9f0f625d44b6ab2d40e5b6b0a9a11", "{x}", "", "a", "b",
                  "B2F9F0F6-25D4-4B6A-B2D4-0E5B6B0A9A11", "c", "d"], "ref uuid"),
    "kurz text": (["ab", "abc", "", "ä", "äöü", "a b", "abcd", "zz", "yy"], "kurz varchar(2)"),
    "klein bigint": (["1", "32767", "32768", "-32768", "-32769", "0", "2", "3", "4"], "klein smallint"),
    "genau numeric": (["9.994", "9.995", "9.996", "99.994", "99.996", "-99.999", "0", "1", "2"], "genau numeric(4,2)"),
    "summe numeric": (["12.34", "12.345", "0", "-1.10", "1e15", "1e18", "5", "6", "7"], "summe_minor bigint"),
    "betrag_cents integer": (["1234", "5", "0", "-7", "2147483647", "1", "2", "3", "99999999"], "betrag numeric(9,2)"),
    "status text": (["A", "X", "A", "B", "A", "B", "A", "B", "A"],
                    "status text check (status in ('active', 'blocked'))"),
}  # fmt: skip


def test_the_draft_rejects_in_its_head_what_the_engine_rejects(odd: Lab) -> None:
    shutil.copytree(ROOT / "include" / "code_lists", odd.folder / "include" / "code_lists")
    columns = list(MIXED)
    rows = list(zip(*(values for values, _ in MIXED.values()), strict=True))
    odd.sql("mdm", f"create table odd.mixed (id integer primary key, {', '.join(columns)});"
            " grant select on odd.mixed to syncline_reader")  # fmt: skip
    marks = ", ".join(f"%s::{column.split()[1]}" for column in columns)
    for n, row in enumerate(rows):
        odd.sql("mdm", f"insert into odd.mixed values ({n}, {marks})", *row)
    odd.sql("payroll", f"create table odd.mixed (id integer primary key, {', '.join(t for _, t in MIXED.values())})")

    made = new_job("mdm:odd.mixed", "payroll:odd.mixed")
    write(no_tenants(made), odd.folder)
    job = load_job(odd.folder, made.job_id)

    told = dict.fromkeys(job.mapping.fields, 0)
    lines: list[str] = []
    for line in made.mapping.splitlines():
        lines.append(line)
        if (found := re.match(r"  ([a-z_]+): \{", line)) is not None and found[1] in told:
            counted = re.findall(r"DECIDE: (\d+) of 9 sampled values", "\n".join(lines))
            told[found[1]] = int(counted[0]) if counted else 0
            lines.clear()
    engine = Counter(error.split(":")[0] for row in preview(job, limit=20) for error in row.errors)
    assert told == {name: engine[name] for name in told}
    assert set(told) == {"id", *(wanted.split()[0] for _, wanted in MIXED.values())}
    assert sum(told.values()) > 15
