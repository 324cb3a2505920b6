"""Law 7: the tenant boundary is the database's. Forget a filter, swap an id, reuse a session: the server refuses.

Where an attack is written in SQL it is written as the loader's own statements would be if somebody had broken them:
without any tenant filter. A thousand generated ones: test_tenant_attacks.py; the doors of the catalog: test_tenant_walls.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from syncline import steps
from syncline.adapters.target import Target
from syncline.core.errors import BatchHeld, EnvironmentFailure, TenantRefused, TerminalError
from syncline.core.values import Balance, Counts, Mode, RunRequest, Verdict
from tests.integration.conftest import JOB, Lab
from tests.integration.faults import at, person

NO_SCOPE, NOT_GRANTED, NO_RIGHT = "SY003", "SY002", "42501"
EVERYONE = "select tenant_id, person_no, name from lab.person order by 1, 2"


@pytest.fixture
def loader(lab: Lab) -> Iterator[psycopg.Connection]:
    """The loader's own login, as a worker has it."""
    with psycopg.connect(os.environ["AIRFLOW_CONN_PAYROLL"], autocommit=True) as session:
        yield session


@contextmanager
def inside(session: psycopg.Connection, *tenants: str) -> Iterator[psycopg.Connection]:
    """One transaction as the tenant role with these tenants in scope, rolled back in the end."""
    with session.transaction(force_rollback=True):
        session.execute("select syncline.enter(%s, 1, %s)", [JOB, list(tenants)])
        session.execute("set local role syncline_tenant")
        yield session


def refused(session: psycopg.Connection, statement: str, *parameters: Any) -> str | None:
    """The SQLSTATE that the server answers with."""
    with pytest.raises(psycopg.Error) as raised, session.transaction():
        session.execute(statement.encode(), parameters or None)
    return raised.value.sqlstate


def two_tenants(lab: Lab) -> None:
    lab.sql(
        "payroll",
        "insert into lab.person (tenant_id, person_no, name) values ('t1', 'p1', 'Ann'), ('t2', 'p1', 'Bob')",
    )


# -- statements without their filter --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "touched"),
    [
        ("update lab.person set name = 'taken'", 1),
        ("delete from lab.person", 1),
        ("update lab.person set name = 'taken' where tenant_id = 't2'", 0),
        ("delete from lab.person where tenant_id = 't2'", 0),
        ("select * from lab.person", 1),
        ("select * from lab.person where tenant_id = 't2'", 0),
    ],
)
def test_a_statement_without_a_filter_reaches_the_tenants_in_scope_alone(
    lab: Lab, loader: psycopg.Connection, statement: str, touched: int
) -> None:
    two_tenants(lab)
    with inside(loader, "t1"):
        assert loader.execute(statement.encode()).rowcount == touched


@pytest.mark.parametrize(
    "statement",
    [
        "insert into lab.person (tenant_id, person_no, name) values ('t2', 'new', 'Eve')",
        "update lab.person set tenant_id = 't2'",
        "insert into lab.person (tenant_id, person_no, name) values ('t2', 'p1', 'Eve')"
        " on conflict (tenant_id, person_no) do update set name = excluded.name",
        "insert into lab.person (tenant_id, person_no, name) values ('t2', 'p1', 'Eve') on conflict do nothing",
        "merge into lab.person as t using (values ('t2', 'new')) as s (tenant_id, person_no)"
        " on t.tenant_id = s.tenant_id and t.person_no = s.person_no"
        " when not matched then insert (tenant_id, person_no, name) values (s.tenant_id, s.person_no, 'Eve')",
        "truncate lab.person",
        "alter table lab.person no force row level security",
        "drop policy tenant on lab.person",
    ],
)
def test_a_row_of_a_tenant_out_of_scope_cannot_be_written(lab: Lab, loader: psycopg.Connection, statement: str) -> None:
    two_tenants(lab)
    before = lab.sql("payroll", EVERYONE)
    with inside(loader, "t1"):
        assert refused(loader, statement) == NO_RIGHT  # also where a key exists: 23505 would tell that it does
    assert lab.sql("payroll", EVERYONE) == before


def test_the_owner_is_bound_too(lab: Lab) -> None:
    """FORCE: no policy is made for the owner, so it sees nothing and writes nothing."""
    two_tenants(lab)
    with psycopg.connect(make_conninfo(lab.admin, dbname="payroll"), autocommit=True) as owner:
        owner.execute("set role syncline_owner")
        assert owner.execute("select * from lab.person").fetchall() == []
        assert owner.execute("delete from lab.person").rowcount == 0
        assert refused(owner, "insert into lab.person (tenant_id, person_no, name) values ('t1', 'x', 'x')") == NO_RIGHT


def test_copy_past_the_policy_is_refused(lab: Lab, loader: psycopg.Connection) -> None:
    with (
        inside(loader, "t1"),
        pytest.raises(psycopg.errors.FeatureNotSupported),
        loader.cursor() as cursor,
        cursor.copy("copy lab.person (tenant_id, person_no, name) from stdin") as rows,
    ):
        rows.write_row(("t2", "new", "Eve"))


def test_the_loaders_own_statements_without_a_filter_are_refused_for_a_tenant_out_of_scope(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch carries t1 and t2; its scope has lost t2. No statement of the load has a filter that could help."""
    lab.hub(person("p1"), person("p2", tenant_id="t2"))
    enter = Target._enter
    monkeypatch.setattr(Target, "_enter", lambda self, tenants: enter(self, [t for t in tenants if t != "t2"]))

    with pytest.raises(EnvironmentFailure, match="42501"):
        lab.run()

    assert lab.people() == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "Eve"}, EnvironmentFailure),  # the unseen row is judged new, and as a new row it is refused
        ({"is_deleted": True}, BatchHeld),  # there is nothing to delete, and reconciliation finds the row
    ],
    ids=["update", "delete"],
)
def test_a_staged_change_of_a_tenant_out_of_scope_reaches_no_row(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], said: type[Exception]
) -> None:
    lab.hub(person("p1"), person("p2", tenant_id="t2"))
    lab.run()
    row = "select xmin::text, * from lab.person where tenant_id = 't2'"
    before = lab.sql("payroll", row)
    lab.hub(person("p1", name="Bea"), person("p2", tenant_id="t2", **change))
    enter = Target._enter

    def forget_t2() -> None:
        monkeypatch.setattr(Target, "_enter", lambda self, tenants: enter(self, [t for t in tenants if t != "t2"]))

    def remember_t2() -> None:
        monkeypatch.setattr(Target, "_enter", enter)

    at(monkeypatch, "extract.recorded", forget_t2)
    at(monkeypatch, "load.before_ledger", remember_t2)
    with pytest.raises(TerminalError) as raised:
        lab.run("night")

    assert type(raised.value) is said
    assert lab.sql("payroll", row) == before


# -- scope ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    ["select * from lab.person", "delete from lab.person", "update lab.person set name = 'x'",
     "insert into lab.person (tenant_id, person_no, name) values ('t1', 'new', 'Eve')"],
)  # fmt: skip
def test_no_scope_is_an_error_and_not_nothing(lab: Lab, loader: psycopg.Connection, statement: str) -> None:
    two_tenants(lab)
    loader.execute("set role syncline_tenant")
    assert refused(loader, statement) == NO_SCOPE


def test_scope_ends_with_its_transaction_also_on_a_session_that_is_used_again(
    lab: Lab, loader: psycopg.Connection
) -> None:
    two_tenants(lab)
    with loader.transaction():
        loader.execute("select syncline.enter(%s, 1, '{t1,t2}')", [JOB])
    loader.execute("set role syncline_tenant")
    assert refused(loader, "select * from lab.person") == NO_SCOPE
    loader.execute("reset role")
    with inside(loader, "t1"):
        assert loader.execute("select tenant_id from lab.person").fetchall() == [("t1",)]


def test_scope_is_not_seen_by_another_session_and_ends_with_a_savepoint(lab: Lab, loader: psycopg.Connection) -> None:
    two_tenants(lab)
    with psycopg.connect(os.environ["AIRFLOW_CONN_PAYROLL"], autocommit=True) as other, inside(loader, "t1"):
        other.execute("set role syncline_tenant")
        assert refused(other, "select * from lab.person") == NO_SCOPE
    with loader.transaction():
        with loader.transaction(force_rollback=True):
            loader.execute("select syncline.enter(%s, 1, '{t1}')", [JOB])
        loader.execute("set local role syncline_tenant")
        assert refused(loader, "select * from lab.person") == NO_SCOPE


def test_entering_again_replaces_the_scope_and_never_adds_to_it(lab: Lab, loader: psycopg.Connection) -> None:
    two_tenants(lab)
    with loader.transaction(force_rollback=True):
        loader.execute("select syncline.enter(%s, 1, '{t1}')", [JOB])
        loader.execute("select syncline.enter(%s, 1, '{t2}')", [JOB])
        loader.execute("set local role syncline_tenant")
        assert loader.execute("select tenant_id from lab.person").fetchall() == [("t2",)]


@pytest.mark.parametrize("asked", ["{t1,t9}", "{*}", '{""}', "{t2%}"])
def test_a_tenant_that_is_not_granted_cannot_enter(lab: Lab, loader: psycopg.Connection, asked: str) -> None:
    assert refused(loader, "select syncline.enter(%s, 1, %s::text[])", JOB, asked) == NOT_GRANTED


def test_a_job_enters_with_its_own_grants_only(lab: Lab, loader: psycopg.Connection) -> None:
    assert refused(loader, "select syncline.enter('mdm__payroll__other', 1, '{t1}')") == NOT_GRANTED


# -- the login ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "select * from lab.person",
        "insert into lab.person (tenant_id, person_no, name) values ('t1', 'new', 'Eve')",
        "select * from hr.employee",
        "set role syncline_owner",
        "insert into syncline.scope values ('1', 't1')",
        "insert into syncline.scope select pg_current_xact_id(), 't1'",
        "select * from syncline.scope",
        "insert into syncline.job_tenant values ('mdm__payroll__person', 't9')",
        "update syncline.fence set epoch = 0",
        "delete from syncline.fence",
        "update syncline.marker set counts = '{}'",
        "delete from syncline.marker",
        "select syncline.scoped_tenants()",
        "create table syncline.mine ()",
        "create or replace function syncline.scoped_tenants() returns setof text language sql as 'select null::text'",
        "alter function syncline.enter(text, bigint, text[]) owner to syncline_loader",
    ],
)
def test_the_loader_has_no_right_of_its_own(lab: Lab, loader: psycopg.Connection, statement: str) -> None:
    assert refused(loader, statement) == NO_RIGHT


@pytest.mark.parametrize("name", ["scope", "job_tenant", "fence", "marker"])
def test_the_tenant_role_cannot_look_into_the_corridor(lab: Lab, loader: psycopg.Connection, name: str) -> None:
    with inside(loader, "t1"):
        assert refused(loader, f"select * from syncline.{name}") == NO_RIGHT


def test_a_temporary_table_of_the_same_name_does_not_stand_before_the_real_scope(
    lab: Lab, loader: psycopg.Connection
) -> None:
    two_tenants(lab)
    with loader.transaction(force_rollback=True):
        loader.execute("create temp table scope as select pg_current_xact_id() as xact, 't2'::text as tenant_id")
        loader.execute("grant select on pg_temp.scope to syncline_tenant")
        loader.execute("set local search_path = pg_temp, syncline, pg_catalog")
        loader.execute("select syncline.enter(%s, 1, '{t1}')", [JOB])
        loader.execute("set local role syncline_tenant")
        assert loader.execute("select tenant_id from lab.person").fetchall() == [("t1",)]


# -- rows that bear the wrong tenant --------------------------------------------------------------------------


def test_a_row_of_a_tenant_that_is_not_granted_becomes_a_dead_letter_and_the_others_go_on(lab: Lab) -> None:
    lab.hub(person("p1"), person("p2"), person("p3", tenant_id="t9", name="Canary"))

    done = lab.run()

    assert (done.verdict, done.counts.inserted_rows, done.counts.rejected_rows) == (Verdict.MATCHED, 2, 1)
    assert lab.people() == {"t1/p1": "Ann", "t1/p2": "Ann"}
    (letter,) = lab.ledger("select tenant_id, source_key, errors, payload from ledger.dead_letter")
    assert (letter["tenant_id"], letter["source_key"]) == ("t9", ["t9", "p3"])
    assert letter["errors"] == [{"column": "tenant_id", "code": "not_granted"}]
    assert b"Canary" not in letter["payload"]


def test_once_the_owner_grants_the_tenant_its_rows_come_and_the_letter_is_settled(lab: Lab) -> None:
    lab.hub(person("p1"), person("p3", tenant_id="t9"))
    lab.run()
    lab.sql("payroll", "insert into syncline.job_tenant values ('mdm__payroll__person', 't9')")

    done = lab.run(mode=Mode.FULL)

    assert (done.verdict, done.counts.rejected_rows) == (Verdict.MATCHED, 0)
    assert lab.people() == {"t1/p1": "Ann", "t9/p3": "Ann"}
    assert lab.ledger("select * from ledger.dead_letter where state = 'open'") == []


def test_a_run_for_a_tenant_that_is_not_granted_proves_nothing_and_touches_no_other(lab: Lab) -> None:
    lab.manifest["errors"]["rejected_ratio_max"] = 1.0
    two_tenants(lab)
    before = lab.sql("payroll", EVERYONE)
    lab.hub(person("p3", tenant_id="t9"))

    with pytest.raises(BatchHeld):
        lab.run(tenants=("t9",))
    assert lab.sql("payroll", EVERYONE) == before


@pytest.mark.parametrize("tenant", ["", "*"])
def test_a_source_row_whose_tenant_is_no_name_is_rejected_also_where_every_tenant_is_granted(
    lab: Lab, tenant: str
) -> None:
    lab.sql("payroll", "insert into syncline.job_tenant values ('mdm__payroll__person', '*')")
    lab.hub(person("p1"), person("p2"), person("odd", tenant_id=tenant))

    done = lab.run()

    assert (done.verdict, done.counts.rejected_rows) == (Verdict.MATCHED, 1)
    assert lab.people() == {"t1/p1": "Ann", "t1/p2": "Ann"}


def test_rows_that_only_the_target_has_of_a_granted_tenant_are_found(lab: Lab) -> None:
    two_tenants(lab)
    lab.hub(person("p1"))

    with pytest.raises(BatchHeld, match="SYNC-005"):
        lab.run()


@pytest.mark.parametrize("tenant", ["t2", "t9"], ids=["of the batch", "not granted"])
def test_a_tenant_that_is_swapped_in_the_staging_table_stops_the_load(lab: Lab, tenant: str) -> None:
    lab.hub(person("p1"), person("p2", tenant_id="t2"))
    job = lab.job
    batch_id = steps.extract_and_map(job, steps.open_batch(job, RunRequest(run_key="night")))
    lab.sql("payroll", f"update staged.\"{JOB}__{batch_id}\" set tenant_id = '{tenant}' where tenant_id = 't1'")

    with pytest.raises(TerminalError):
        steps.load(job, batch_id)

    assert lab.people() == {}


def test_the_load_asks_the_fence_function_which_refuses_a_tenant_not_granted(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between staging and loading the owner takes a grant back: nothing of the batch is written."""
    lab.hub(person("p1"), person("p2", tenant_id="t2"))
    revoke = "delete from syncline.job_tenant where job_id = 'mdm__payroll__person' and tenant_id = 't2'"
    at(monkeypatch, "extract.recorded", lambda: lab.sql("payroll", revoke))

    with pytest.raises(TenantRefused):
        lab.run()

    assert lab.people() == {}


# -- preflight ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        ("alter role syncline_loader superuser", "alter role syncline_loader nosuperuser", "superuser or one with"),
        ("alter role syncline_loader bypassrls", "alter role syncline_loader nobypassrls", "BYPASSRLS"),
        ("alter role syncline_tenant bypassrls", "alter role syncline_tenant nobypassrls", "BYPASSRLS"),
        ("alter table lab.person owner to syncline_tenant", "alter table lab.person owner to syncline_owner", "owns"),
        ("grant syncline_owner to syncline_loader", "revoke syncline_owner from syncline_loader", "become its owner"),
        ("alter table lab.person no force row level security", "", "FORCE ROW LEVEL SECURITY"),
        ("alter table lab.person disable row level security", "", "FORCE ROW LEVEL SECURITY"),
        ("create policy open on lab.person for select to syncline_tenant using (true)", "", "without syncline.scoped"),
        ("create policy open on lab.person for insert to public with check (true)", "", "without syncline.scoped"),
    ],
)
def test_preflight_refuses_a_target_whose_boundary_is_not_the_databases(
    lab: Lab, wrong: str, right: str, said: str
) -> None:
    """K09."""
    lab.hub(person("p1"))
    lab.sql("payroll", wrong)
    try:
        with pytest.raises(EnvironmentFailure, match=said):
            lab.run()
    finally:
        if right:
            lab.sql("payroll", right)

    assert (lab.people(), lab.ledger("select state from ledger.batch")) == ({}, [{"state": "open"}])


def test_preflight_accepts_policies_that_bind_others_or_that_restrict(lab: Lab) -> None:
    lab.hub(person("p1"))
    lab.sql("payroll", "create policy read on lab.person for select to pg_read_all_data using (true)")
    lab.sql("payroll", "create policy less on lab.person as restrictive for all to public using (name <> 'Nobody')")

    assert lab.run().verdict is Verdict.MATCHED


def test_a_balance_that_moved_between_tenants_is_no_balance() -> None:
    swapped = Balance(
        {"t1": Counts(extracted_rows=1, staged_rows=1), "t2": Counts(extracted_rows=1, staged_rows=1, inserted_rows=2)}
    )
    assert swapped.total.imbalance() is None
    assert "tenant t1" in (swapped.imbalance() or "")


def test_the_login_of_one_database_opens_no_other(lab: Lab) -> None:
    uri = make_conninfo(os.environ["AIRFLOW_CONN_PAYROLL"], dbname="mdm")
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(uri)
