"""Each family brought about for real: on a server, by what its owner or its operator did, never by a raised code.

Constraints, types and triggers are in test_isolation.py, logins, locks, deadlocks and the full disk in test_failures.py,
crashes in tests/faults.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from syncline import steps
from syncline.adapters.failures import telling
from syncline.core.errors import (
    EnvironmentFailure,
    RowRefused,
    SchemaDrift,
    SynclineError,
    TerminalError,
    TransientError,
)
from syncline.core.values import RunRequest, Verdict
from tests.integration.conftest import Lab
from tests.integration.faults import person, states, until

SCRATCH = """
drop schema if exists fault cascade; create schema fault;
create table fault.t (id integer primary key, stay daterange, note text, exclude using gist (stay with &&));
insert into fault.t values (1, '[2020-01-01,2021-01-01]');
create index on fault.t (note);
create view fault.small as select * from fault.t where id < 10 with check option;
"""
# Statements that the server refuses by itself; the last one is judged.
PROVOKED: list[tuple[str, list[str], type[SynclineError]]] = [
    ("23P01", ["insert into fault.t values (2, '[2020-06-01,2020-07-01]')"], RowRefused),
    ("44000", ["insert into fault.small values (11)"], RowRefused),
    ("22021", [r"select convert_from('\xff'::bytea, 'UTF8')"], RowRefused),
    ("22P05", ["select (json '{\"a\": \"\\u0000\"}') ->> 'a'"], RowRefused),
    ("22023", ["select now() at time zone 'Middle/Earth'"], RowRefused),
    ("54000", ["select chr(0)"], RowRefused),
    ("54001", ["select repeat('[', 100000)::json"], RowRefused),
    ("25001", ["begin", "vacuum"], TerminalError),
    ("25P01", ["savepoint alone"], TerminalError),
    ("53400", ["set temp_file_limit = '64kB'", "set work_mem = '64kB'",
               "select count(*) from (select n from generate_series(1, 200000) as n order by md5(n::text)) as x"],
     EnvironmentFailure),
    ("26000", ["execute nothing"], EnvironmentFailure),
    ("42P05", ["prepare twice as select 1", "prepare twice as select 1"], EnvironmentFailure),
    ("3F000", ["create table nowhere.t ()"], SchemaDrift),
    ("42704", ["select null::nothing"], SchemaDrift),
    ("42601", ["selec 1"], TerminalError),
    ("25P04", ["set transaction_timeout = 50", "begin", "select pg_sleep(5)"], TransientError),
]  # fmt: skip


@pytest.fixture
def scratch(lab: Lab) -> Iterator[psycopg.Connection]:
    lab.sql("payroll", SCRATCH)
    with psycopg.connect(make_conninfo(lab.admin, dbname="payroll"), autocommit=True) as session:
        yield session
    lab.sql("payroll", "drop schema fault cascade")


@pytest.mark.parametrize(("sqlstate", "statements", "family"), PROVOKED, ids=[row[0] for row in PROVOKED])
def test_what_the_server_says_by_itself(
    scratch: psycopg.Connection, sqlstate: str, statements: list[str], family: type[SynclineError]
) -> None:
    *before, last = statements
    for statement in before:
        scratch.execute(statement.encode())

    with pytest.raises(SynclineError) as raised, telling("doing"):
        scratch.execute(last.encode())

    assert (raised.value.sqlstate, type(raised.value)) == (sqlstate, family)


def test_a_session_that_idled_in_its_transaction_for_too_long_is_transient(
    scratch: psycopg.Connection, lab: Lab
) -> None:
    pid = scratch.info.backend_pid
    scratch.execute("set idle_in_transaction_session_timeout = 50")
    scratch.execute("begin")
    until(
        "the server ends it", lambda: not lab.sql("payroll", "select 1 as n from pg_stat_activity where pid = %s", pid)
    )

    with pytest.raises(TransientError), telling("asking"):
        scratch.execute("select 1")


def test_this_machines_full_disk_is_the_environments_fault() -> None:
    with pytest.raises(EnvironmentFailure, match=r"OSError \(ENOSPC\)"), telling("writing"):
        Path("/dev/full").write_text("x")


# What an operator did to the target -> how it is put right. The line meets it where it meets it.
UNFIT: dict[str, tuple[str, str, type[SynclineError], str]] = {
    "read-only": (
        "alter role syncline_loader in database payroll set default_transaction_read_only = on",
        "alter role syncline_loader in database payroll reset default_transaction_read_only",
        EnvironmentFailure,
        "25006",
    ),
    "grant of the login": (
        "revoke usage on schema staged from syncline_loader",
        "grant usage on schema staged to syncline_loader",
        EnvironmentFailure,
        "42501",
    ),
    "no login any more": (
        "alter role syncline_loader nologin",
        "alter role syncline_loader login",
        EnvironmentFailure,
        "refuses the login",
    ),
    "too many connections": (
        "alter role syncline_loader connection limit 0",
        "alter role syncline_loader connection limit -1",
        TransientError,
        "",
    ),
    "database closed": (
        "alter database payroll allow_connections false",
        "alter database payroll allow_connections true",
        TransientError,
        "",
    ),
}


@pytest.mark.parametrize("what", UNFIT)
def test_a_place_that_is_not_fit_blames_no_row_and_the_same_batch_goes_on_afterwards(lab: Lab, what: str) -> None:
    spoil, mend, family, said = UNFIT[what]
    lab.hub(person("p1"), person("bad", born="never"))
    job = lab.job
    batch_id = steps.open_batch(job, RunRequest(run_key="night"))
    database = "postgres" if what == "database closed" else "payroll"
    lab.sql(database, spoil)
    try:
        with pytest.raises(SynclineError, match=said) as raised:
            steps.extract_and_map(job, batch_id)
    finally:
        lab.sql(database, mend)

    assert type(raised.value) is family
    assert (states(lab), lab.ledger("select * from ledger.dead_letter"), lab.people()) == (["open"], [], {})
    done = lab.run("night")
    assert (done.batch_id, done.verdict, done.counts.inserted_rows) == (batch_id, Verdict.MATCHED, 1)


def test_a_place_that_becomes_unfit_during_the_load_blames_no_row(lab: Lab) -> None:
    lab.hub(person("p1"), person("p2"))
    job = lab.job
    batch_id = steps.extract_and_map(job, steps.open_batch(job, RunRequest(run_key="night")))
    lab.sql("payroll", "revoke insert on lab.person from syncline_tenant")

    with pytest.raises(EnvironmentFailure, match="42501"):
        steps.load(job, batch_id)

    assert (states(lab), lab.ledger("select * from ledger.dead_letter")) == (["extracted"], [])
    attempt = lab.ledger("select error_type, sqlstate from ledger.attempt where step = 'load'")
    assert attempt == [{"error_type": "EnvironmentFailure", "sqlstate": "42501"}]
    lab.sql("payroll", "grant insert on lab.person to syncline_tenant")
    assert lab.run("night").batch_id == batch_id
