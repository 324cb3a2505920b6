"""Schema drift: what a mapping needs and has lost stops a batch with a proposed change; what it does not need passes."""

from __future__ import annotations

import json
import subprocess

import pytest
import yaml

from syncline.core.errors import SchemaDrift
from syncline.core.job_files import load_job
from syncline.core.values import State
from syncline.steps import looking
from syncline.steps.connecting import compare_with_databases
from tests.integration.conftest import JOB, Lab
from tests.integration.faults import at, person

MAPPING = f"include/mappings/{JOB}.yaml"


def proposal(lab: Lab) -> str:
    return compare_with_databases(lab.folder, [lab.job], named=frozenset({JOB})).proposals.get(JOB, "")


def apply(lab: Lab, change: str) -> None:
    """The diff, applied to the project's files by `patch`'s rules: git knows them."""
    subprocess.run(["git", "apply", "--unidiff-zero", "-"], cwd=lab.folder, input=change + "\n", text=True, check=True)
    job = load_job(lab.folder, JOB)
    lab.manifest, lab.mapping = (
        yaml.safe_load((lab.folder / path).read_text()) for path in (f"include/manifests/{JOB}.yaml", MAPPING)
    )
    assert job.id == JOB


@pytest.mark.parametrize(
    ("database", "statement", "lines"),
    [
        ("mdm", "alter table lab.person rename column born to born_on", ["-  born: text", "+  born_on: text",
         "-    from: born", "+    from: born_on"]),
        ("mdm", "alter table lab.person rename column updated_at to updated_on", ["-  cursor: updated_at",
         "+  cursor: updated_on", "-    from: updated_at", "+    from: updated_on"]),
        ("mdm", "alter table lab.person rename column person_id to person_ident", ["-  - person_id", "+  - person_ident"]),
        ("mdm", "alter table lab.person alter column born type date using born::date", ["-  born: text", "+  born: date",
         "+    steps: []"]),
        ("mdm", "alter table lab.person alter column born type timestamptz using now()", ["+  born: timestamptz",
         "+    steps: [{date_in: <zone>}]"]),
        ("mdm", "alter table lab.person drop column born", ["-  born: text", "-    from: born"]),
        ("payroll", "alter table lab.person rename column born to born_on", ["-  born:", "+  born_on:"]),
        ("payroll", "alter table lab.person alter column born type text", ["-    type: date", "+    type: text"]),
        ("payroll", "alter table lab.person add column pay numeric not null",
         ["+  pay: {from: <column>, type: numeric, checks: [required]}"]),
    ],
)  # fmt: skip
def test_a_change_of_the_mapping_is_proposed_with_its_lines(
    lab: Lab, database: str, statement: str, lines: list[str]
) -> None:
    lab.hub(person("p1"))
    lab.sql(database, statement)
    with pytest.raises(SchemaDrift, match="schema drift: lab.person at") as raised:
        lab.run()

    shown = proposal(lab)

    for line in lines:
        assert line in shown.splitlines()
    assert shown.startswith("--- a/include/")
    assert str(raised.value).endswith(f"Proposed change:\n{shown}")
    assert lab.ledger("select * from ledger.watermark") == []


@pytest.mark.parametrize(
    ("database", "statement"),
    [
        ("mdm", "alter table lab.person rename column born to born_on"),
        ("mdm", "alter table lab.person rename column updated_at to updated_on"),
        ("mdm", "alter table lab.person alter column born type date using born::date"),
        ("payroll", "alter table lab.person rename column born to born_on"),
    ],
)
def test_the_proposed_change_mends_the_job(lab: Lab, database: str, statement: str) -> None:
    lab.sql(database, statement)
    apply(lab, proposal(lab))
    column = "updated_on" if "updated_on" in statement else "updated_at"
    lab.sql("mdm", f"insert into lab.person (tenant_id, person_id, name, {column}) values ('t1', 'p1', 'Ann', now())")

    assert lab.run().state is State.PUBLISHED
    assert proposal(lab) == ""


def test_a_column_in_an_expression_is_renamed_and_comments_stay(lab: Lab) -> None:
    lab.mapping["fields"]["name"] = {"expression": "upper(name) || name", "type": "text", "checks": ["required"]}
    _ = lab.job
    path = lab.folder / MAPPING
    path.write_text("# names are personal\n" + path.read_text())
    lab.sql("mdm", "alter table lab.person rename column name to names")

    done = compare_with_databases(lab.folder, [load_job(lab.folder, JOB)], named=frozenset({JOB}))

    assert "+    expression: upper(names) || names" in done.proposals[JOB]
    assert "# then" not in done.proposals[JOB]


def test_the_command_shows_the_proposal_and_what_it_leaves_open(lab: Lab) -> None:
    lab.sql("mdm", "alter table lab.person alter column born type timestamptz using now()")

    shown = lab.shell("check", "--connect", JOB)
    as_json = json.loads(lab.shell("check", "--connect", "--json", JOB).stdout)

    assert f"proposed change for {JOB}:\n--- a/{MAPPING}" in shown.stdout
    assert "# then: " in shown.stdout  # which zone it is, only a person knows
    assert as_json["proposals"][JOB].startswith("--- a/")


# -- while a batch reads --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "column"),
    [
        ("alter table lab.person drop column born", "born"),
        ("alter table lab.person rename column born to born_on", "born"),
        ("alter table lab.person alter column born type date using born::date", "born"),
    ],
)
def test_F27_a_table_that_changes_between_preflight_and_read_stops_the_batch_and_names_the_column(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, statement: str, column: str
) -> None:
    lab.hub(person("p1"))
    lab.run()
    lab.hub(person("p1", name="Bea"))
    before = lab.ledger("select * from ledger.watermark")
    at(monkeypatch, "extract.begun", lambda: lab.sql("mdm", statement))

    with pytest.raises(SchemaDrift, match=rf"schema drift: .*column {column} is"):
        lab.run()

    assert (lab.people(), lab.ledger("select * from ledger.watermark")) == ({"t1/p1": "Ann"}, before)
    assert lab.ledger("select state from ledger.batch order by batch_id desc limit 1") == [{"state": "open"}]


# -- what passes ----------------------------------------------------------------------------------------------


def test_columns_that_nobody_uses_may_come_and_go_and_are_told(lab: Lab) -> None:
    lab.sql("mdm", "alter table lab.person add column old integer")
    lab.hub(person("p1"))
    lab.run()
    lab.sql("mdm", "alter table lab.person drop column old; alter table lab.person add column nick text")
    lab.sql("payroll", "alter table lab.person add column grade smallint")

    done = lab.run()
    (told,) = looking.status(JOB)
    lab.run()
    (later,) = looking.status(JOB)

    assert done.state is State.PUBLISHED
    assert told["schema_notes"] == [
        "lab.person has a new column nick (text), which no field uses",
        "lab.person no longer has column old (integer), which no field used",
        "lab.person has a new column grade (smallint), which no field uses",
    ]
    assert later["schema_notes"] == []  # told once
    (entry,) = lab.ledger("select detail from ledger.audit where event = 'schema_changed'")
    assert len(entry["detail"]["notes"]) == 3
