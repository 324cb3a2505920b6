"""Preflight refuses every door that leads past a policy, and a source whose own policies would hide rows silently.

Each wrong is done and asked about in one transaction of the superuser, who acts as the loader; then it is rolled back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from syncline.adapters import connections
from syncline.adapters.target import wall_faults
from syncline.core.errors import EnvironmentFailure
from syncline.core.job import SyncJob
from syncline.steps.connecting import compare_with_databases
from tests.conftest import Postgres
from tests.integration.conftest import Lab
from tests.integration.faults import person

# A policy of the source -> what is said of it; nothing where the reader's view is the owner's decision.
OF_SOURCE = {
    "alter table lab.person enable row level security": "lets syncline_reader see no row",
    "alter table lab.person enable row level security; create policy one on lab.person to syncline_reader"
    " using (tenant_id = current_setting('app.tenant', true))": "asks for a setting of the session",
    "alter table lab.person enable row level security; create policy one on lab.person using (true);"
    " create policy two on lab.person as restrictive using (tenant_id = current_setting('app.tenant', true))":
        "asks for a setting of the session",
    "alter table lab.person enable row level security; create policy one on lab.person to syncline_reader using (true)":
        None,
    "alter table lab.person enable row level security; create policy one on lab.person to syncline_reader"
    " using (tenant_id <> 't9')": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def admin(pg: Postgres, world_uris: dict[str, str]) -> Iterator[psycopg.Connection]:
    with psycopg.connect(make_conninfo(pg.admin_conninfo, dbname="payroll"), autocommit=True) as session:
        yield session


def faults(session: psycopg.Connection, job: SyncJob, wrong: str) -> list[str]:
    with session.transaction(force_rollback=True):
        session.execute(wrong.encode())
        session.execute("set session authorization syncline_loader")
        found = wall_faults(job, session)
        session.execute("reset session authorization")
    return found


@pytest.fixture
def job(lab: Lab) -> SyncJob:
    return lab.job


WRONG = [
    # roles, through any chain of memberships
    ("create role a bypassrls; create role b; grant a to b; grant b to syncline_loader", "BYPASSRLS.*: a"),
    ("create role a superuser; create role b; grant a to b; grant b to syncline_tenant", "superuser"),
    ("grant pg_write_server_files to syncline_loader", "the server's files"),
    ("alter role syncline_loader replication", "REPLICATION"),
    ("create role b; grant syncline_owner to b; grant b to syncline_loader", "owns the table, or may become"),
    # rights that no policy binds
    ("grant truncate on lab.person to syncline_tenant", "TRUNCATE on lab.person"),
    ("grant references on lab.person to syncline_loader", "REFERENCES on lab.person"),
    ("grant references (name) on lab.person to syncline_tenant", "REFERENCES on lab.person"),
    ("grant trigger on lab.person to public", "TRIGGER on lab.person"),
    # policies add up, for every role that may be taken on
    ("create policy open on lab.person for select to public using (true)", "policy open of lab.person"),
    ("create policy open on lab.person to syncline_loader using (true)", "policy open of lab.person"),
    ("create role a; grant a to syncline_loader; create policy open on lab.person to a using (true)", "policy open"),
    ("alter policy tenant on lab.person using (tenant_id in (select syncline.scoped_tenants()) or name = 'x')", "policy tenant"),
    ("alter policy tenant on lab.person with check (true)", "policy tenant"),
    ("alter policy tenant on lab.person using (person_no in (select syncline.scoped_tenants()))", "policy tenant"),
    ("create function lab.scoped_tenants() returns setof text language sql as 'select null::text';"
     " alter policy tenant on lab.person using (tenant_id in (select lab.scoped_tenants()))", "policy tenant"),
    # children and parents by their own names
    ("create table lab.child () inherits (lab.person); grant select on lab.child to syncline_tenant", "lab.child itself"),
    ("create table lab.child () inherits (lab.person); grant select (name) on lab.child to syncline_loader",
     "lab.child itself"),
    ("create table lab.child () inherits (lab.person); alter table lab.child enable row level security;"
     " grant select on lab.child to syncline_tenant; create policy open on lab.child using (true)", "policy open of lab.child"),
    ("create table lab.child () inherits (lab.person); alter table lab.child owner to syncline_tenant", "owns lab.child"),
    ("create table lab.elder (tenant_id text not null, person_no text not null); alter table lab.person inherit lab.elder;"
     " grant select on lab.elder to syncline_tenant", "lab.elder itself"),
    # views
    ("create view lab.v as select * from lab.person; grant select on lab.v to syncline_tenant", "view lab.v shows"),
    ("create view lab.v as select * from lab.person; grant update (name) on lab.v to syncline_loader", "view lab.v shows"),
    ("create view lab.w as select * from lab.person; create view lab.v as select * from lab.w;"
     " grant select on lab.v to public", "view lab.v shows"),
    ("create role a; grant usage on schema lab to a; grant select on lab.person to a; create policy all_rows on lab.person"
     " for select to a using (true); create view lab.v as select * from lab.person; alter view lab.v owner to a;"
     " grant select on lab.v to syncline_tenant", "view lab.v shows"),
    ("create materialized view lab.m as select * from lab.person; grant select on lab.m to syncline_tenant", "lab.m keeps"),
    ("create materialized view lab.m as select * from lab.person; create view lab.v as select * from lab.m;"
     " grant select on lab.v to syncline_tenant", "lab.v keeps"),
    # the corridor itself
    ("create or replace function syncline.scoped_tenants() returns setof text language sql security definer"
     " set search_path = pg_catalog, pg_temp as $$select 't1' union select 't2'$$", "syncline.scoped_tenants is not"),
    ("create or replace function syncline.enter(p_job_id text, p_epoch bigint, p_tenants text[]) returns void"
     " language sql security definer as $$insert into syncline.scope select pg_current_xact_id(), unnest(p_tenants)$$",
     "syncline.enter is not"),
    ("alter function syncline.scoped_tenants() security invoker", "syncline.scoped_tenants is not"),
    ("alter function syncline.scoped_tenants() reset all", "syncline.scoped_tenants is not"),
    ("grant insert on syncline.scope to syncline_tenant", "may write syncline.scope"),
    ("grant insert (tenant_id, job_id) on syncline.job_tenant to syncline_loader", "may write syncline.job_tenant"),
]  # fmt: skip
SOUND = [
    "select 1",
    "create role a; grant a to syncline_loader; grant select on lab.person to a",
    "create policy less on lab.person as restrictive to public using (name <> 'x')",
    "create policy read on lab.person for select to pg_read_all_data using (true)",
    "alter policy tenant on lab.person using (tenant_id = any(array(select syncline.scoped_tenants())) and name <> 'x')",
    "create table lab.child () inherits (lab.person)",
    "create view lab.v with (security_invoker = true) as select * from lab.person; grant select on lab.v to syncline_tenant",
    "create view lab.v as select * from lab.person",
    "create view lab.v as select * from lab.person; alter view lab.v owner to syncline_owner;"
    " grant select on lab.v to syncline_tenant",
    "create view lab.w with (security_invoker = true) as select * from lab.person;"
    " create view lab.v as select * from lab.w; grant select on lab.v to syncline_tenant",
    "create materialized view lab.m as select * from lab.person",
]


def test_each_door_past_a_policy_is_named(admin: psycopg.Connection, job: SyncJob) -> None:
    """One test for all: what is made anew for each of them takes longer than they do."""
    told = {wrong: faults(admin, job, wrong) for wrong, _ in WRONG}

    for wrong, said in WRONG:
        assert len(told[wrong]) == 1 + ("syncline_owner" in wrong), f"{wrong}: {told[wrong]}"
        assert re.search(said, told[wrong][0]), f"{wrong}: {told[wrong]}"


def test_what_leads_nowhere_is_accepted(admin: psycopg.Connection, job: SyncJob) -> None:
    assert {harmless: found for harmless in SOUND if (found := faults(admin, job, harmless))} == {}


def test_a_partition_that_is_addressed_by_its_own_name_needs_its_own_wall(admin: psycopg.Connection, lab: Lab) -> None:
    lab.manifest["target"]["table"] = "lab.parted"
    parted = """
        create table lab.parted (like lab.person including all) partition by list (tenant_id);
        create table lab.part partition of lab.parted for values in ('t1');
        create table lab.other_part partition of lab.parted default;
        alter table lab.parted enable row level security, force row level security;
        create policy tenant on lab.parted to syncline_tenant using (tenant_id in (select syncline.scoped_tenants()));
        grant select, insert, update, delete on lab.parted to syncline_tenant;
        alter table lab.parted owner to syncline_owner;
    """
    assert faults(admin, lab.job, parted) == []
    (said,) = faults(admin, lab.job, parted + "grant select on lab.part to syncline_tenant")
    assert "rights on lab.part itself" in said
    walled = """
        grant select on lab.part to syncline_tenant; alter table lab.part enable row level security;
        create policy tenant on lab.part to syncline_tenant using (tenant_id in (select syncline.scoped_tenants()))
    """
    assert faults(admin, lab.job, parted + walled) == []


@pytest.mark.parametrize("policy", OF_SOURCE)
def test_a_source_that_would_hide_rows_silently_is_refused_before_a_row_is_read(lab: Lab, policy: str) -> None:
    lab.sql("mdm", policy)
    said = OF_SOURCE[policy]
    if said is None:
        lab.hub(person("p1"))
        assert lab.run().counts.inserted_rows == 1
        return
    with pytest.raises(EnvironmentFailure, match=said):
        lab.run()
    assert said in str(compare_with_databases(lab.folder, [lab.job]).findings[0])


def test_a_session_that_a_pooler_hands_on_is_emptied_first(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the last user left: its role, a setting that names a tenant, and rows of a tenant."""
    used = psycopg.connect(connections.from_environment("payroll"), autocommit=True)
    used.execute("create temp table kept as select 'Canary' as name")
    with used.transaction():
        used.execute("declare held cursor with hold for select 'Canary'")
    used.execute("set app.tenant = 't1'")
    used.execute("set role syncline_tenant")
    monkeypatch.setattr(psycopg, "connect", lambda *_, **__: used)

    with connections.connect("payroll", purpose="test", autocommit=True) as session:
        row = session.execute(
            "select current_user::text, coalesce(current_setting('app.tenant', true), ''), to_regclass('pg_temp.kept'),"
            " (select count(*) from pg_cursors where name = 'held')"
        ).fetchone()
    assert row == ("syncline_loader", "", None, 0)
