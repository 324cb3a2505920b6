"""`syncline leakcheck`: it finds each kind of hole, calls a sound wall closed, and what it could not see unverified."""

from __future__ import annotations

import json

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from syncline.core.errors import TerminalError, TransientError
from syncline.core.leaks import LeakReport, Outcome, Wall
from syncline.steps.leakcheck import leakcheck
from tests.conftest import ROOT
from tests.integration.conftest import JOB, Lab
from tests.integration.faults import at, person

EVERYTHING = "select xmin::text, * from lab.person order by tenant_id, person_no"
PEOPLE = (
    "insert into lab.person (tenant_id, person_no, name) values"
    " ('t1', 'p1', 'Ann-Canary'), ('t1', 'p2', 'Bea-Canary'), ('t2', 'p1', 'Cid-Canary')"
)


@pytest.fixture
def peopled(lab: Lab) -> Lab:
    lab.sql("payroll", PEOPLE)
    return lab


def crossed(report: LeakReport) -> set[str]:
    return {one.family for one in report.families if one.outcome is Outcome.CROSSED}


def said(report: LeakReport) -> str:
    return json.dumps(report.as_dict())


def test_a_sound_wall_is_closed_and_nothing_is_left_of_the_attacks(peopled: Lab) -> None:
    looked_at = (EVERYTHING, "select * from syncline.fence", "select * from syncline.scope")
    before = [peopled.sql("payroll", statement) for statement in looked_at]

    report = leakcheck(peopled.job)

    assert (report.wall, crossed(report)) == (Wall.CLOSED, set()), said(report)
    assert {one.family for one in report.families if one.tried == 0} == {
        "unique probe", "foreign key probe", "views", "partitions", "functions",
    }  # fmt: skip
    assert [peopled.sql("payroll", statement) for statement in looked_at] == before


HOLES = {
    "a second policy": ("create policy open on lab.person to syncline_tenant using (true)",
                        {"catalog", "missing filter", "swapped tenant", "copy", "leaky operator", "session used again"}),
    "no row security": ("alter table lab.person disable row level security",
                        {"catalog", "missing filter", "swapped tenant", "copy", "leaky operator", "session used again"}),
    "a policy that lets everything be written": (
        "drop policy tenant on lab.person; create policy tenant on lab.person to syncline_tenant"
        " using (tenant_id in (select syncline.scoped_tenants())) with check (true)", {"catalog", "swapped tenant"}),
    "a policy for the login": (
        "grant usage on schema lab to syncline_loader; grant select on lab.person to syncline_loader;"
        " create policy open on lab.person to syncline_loader using (true)", {"catalog", "wrong role"}),
    "a scope that can be written": (
        "grant insert on syncline.scope to syncline_loader", {"catalog", "scope"}),
    "another scope": (
        "create or replace function syncline.scoped_tenants() returns setof text language sql security definer"
        " as $$select 't1' union select 't2'$$",
        {"catalog", "missing filter", "swapped tenant", "scope", "copy", "leaky operator", "session used again"}),
    "a right past policies": ("grant truncate on lab.person to syncline_tenant", {"catalog"}),
    "a key of all tenants": ("create unique index on lab.person (name)", {"unique probe"}),
    "a reference without the tenant": (
        "create table lab.boss (tenant_id text, boss_no text primary key);"
        " insert into lab.boss values ('t1', 'b1'), ('t2', 'b2');"
        " alter table lab.person add column boss_no text references lab.boss;"
        " update lab.person set boss_no = 'b' || right(tenant_id, 1)", {"foreign key probe"}),
    "a view of a superuser": (
        "create view lab.everyone as select * from lab.person; grant select on lab.everyone to syncline_tenant",
        {"catalog", "views"}),
    "a view above a view": (
        "create view lab.inner_one as select * from lab.person;"
        " create view lab.everyone as select * from lab.inner_one; grant select on lab.everyone to syncline_tenant",
        {"catalog", "views"}),
    "rows that a view stored": (
        "create materialized view lab.everyone as select * from lab.person; grant select on lab.everyone to syncline_tenant",
        {"catalog", "views"}),
    "a child without a wall": (
        "create table lab.child () inherits (lab.person); grant select on lab.child to syncline_tenant;"
        " insert into lab.child (tenant_id, person_no, name) values ('t1', 'c', 'Canary')", {"catalog", "partitions"}),
}  # fmt: skip


@pytest.mark.parametrize("hole", HOLES)
def test_each_hole_is_found_and_named_and_nothing_is_changed(peopled: Lab, hole: str) -> None:
    statement, families = HOLES[hole]
    peopled.sql("payroll", statement)
    before = peopled.sql("payroll", EVERYTHING)
    try:
        report = leakcheck(peopled.job)
    finally:
        mend(peopled)

    assert (report.wall, crossed(report)) == (Wall.LEAKS, families), said(report)
    assert peopled.sql("payroll", EVERYTHING) == before
    assert "Canary" not in said(report)
    assert "'t1'" not in said(report)


def mend(lab: Lab) -> None:
    """What the fixture does not make anew."""
    lab.sql("payroll", "revoke insert on syncline.scope from syncline_loader")
    with psycopg.connect(make_conninfo(lab.admin, dbname="payroll"), autocommit=True) as owner:
        owner.execute("set role syncline_owner; set client_min_messages = warning")
        owner.execute((ROOT / "include/target/001_corridor.sql").read_bytes())


def test_somebody_elses_function_is_not_called_and_leaves_a_doubt(peopled: Lab) -> None:
    peopled.sql(
        "payroll",
        "create function lab.headcount() returns bigint language sql security definer"
        " as 'select count(*) from lab.person'",
    )

    report = leakcheck(peopled.job)

    assert (report.wall, crossed(report)) == (Wall.UNVERIFIED, set())
    assert "function lab.headcount() acts as" in said(report)


@pytest.mark.parametrize(
    ("statement", "because"),
    [
        ("truncate lab.person", "none of them has a row"),
        ("delete from syncline.job_tenant where tenant_id = 't2'", "fewer than two tenants"),
        ("delete from syncline.job_tenant where job_id = 'mdm__payroll__person'", "grants the job no tenant"),
        ("update syncline.job_tenant set tenant_id = '*' where job_id = 'mdm__payroll__person' and tenant_id = 't1';"
         "delete from syncline.job_tenant where job_id = 'mdm__payroll__person' and tenant_id <> '*'",
         "no tenant is known"),
    ],
)  # fmt: skip
def test_where_there_is_nothing_to_see_nothing_is_proven(peopled: Lab, statement: str, because: str) -> None:
    peopled.sql("payroll", statement)

    report = leakcheck(peopled.job)

    assert report.wall is Wall.UNVERIFIED
    assert because in report.because


def test_one_tenant_with_rows_is_enough_beside_one_without(peopled: Lab) -> None:
    peopled.sql("payroll", "delete from lab.person where tenant_id = 't2'")
    assert leakcheck(peopled.job).wall is Wall.CLOSED
    peopled.sql("payroll", "alter table lab.person disable row level security")
    assert leakcheck(peopled.job).wall is Wall.LEAKS


def test_a_job_that_may_touch_every_tenant_is_tried_with_those_of_its_last_batch(lab: Lab) -> None:
    lab.sql("payroll", "update syncline.job_tenant set tenant_id = '*' where job_id = %s and tenant_id = 't1'", JOB)
    lab.hub({"person_id": "p1"})
    lab.run()

    assert leakcheck(lab.job).wall is Wall.CLOSED
    lab.sql("payroll", "create policy open on lab.person to syncline_tenant using (true)")
    assert leakcheck(lab.job).wall is Wall.LEAKS


def test_the_command_ends_with_0_1_or_2_and_prints_no_value(peopled: Lab) -> None:
    closed = peopled.shell("leakcheck", JOB)
    assert (closed.returncode, closed.stdout.splitlines()[-1]) == (
        0, f"{JOB}: closed: no row of another tenant was reached",
    )  # fmt: skip

    peopled.sql("payroll", "alter table lab.person disable row level security")
    leaking = peopled.shell("leakcheck", JOB, "--json")
    told = json.loads(leaking.stdout)
    assert (leaking.returncode, told["job"], told["wall"]) == (1, JOB, "leaks")
    assert {"family": "copy", "outcome": "crossed"}.items() <= next(
        f for f in told["families"] if f["family"] == "copy"
    ).items()
    assert "Canary" not in closed.stdout + leaking.stdout + leaking.stderr

    peopled.manifest["tenancy"] = {"none": "everybody's"}
    del peopled.manifest["source"]["tenant"]
    unowned = peopled.shell("leakcheck", JOB)
    assert (unowned.returncode, "belong to no tenant" in unowned.stdout) == (2, True), unowned.stderr


def test_nothing_is_tried_while_a_batch_is_under_way(peopled: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    peopled.sql("payroll", "truncate lab.person")
    peopled.hub(person("p1"), person("p2", tenant_id="t2"))

    def look() -> None:
        with pytest.raises(TerminalError, match="is under way"):
            leakcheck(peopled.job)
        seen.append("refused")

    at(monkeypatch, "load.before_commit", look)
    peopled.run()

    assert seen == ["refused"]


def test_a_busy_table_is_not_waited_for(peopled: Lab) -> None:
    with psycopg.connect(make_conninfo(peopled.admin, dbname="payroll")) as busy:
        busy.execute("lock table lab.person in access exclusive mode")
        with pytest.raises(TransientError, match="55P03|waited"):
            leakcheck(peopled.job)
