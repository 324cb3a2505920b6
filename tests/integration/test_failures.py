"""Families of failure: each SQLSTATE, provoked on a real server, has its family and a message without values."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from syncline.adapters import connections
from syncline.adapters.failures import telling
from syncline.core.errors import (
    BatchHeld,
    EnvironmentFailure,
    RowRefused,
    SchemaDrift,
    SynclineError,
    TerminalError,
    TransientError,
)
from syncline.steps import alerting
from tests.conftest import ROOT
from tests.integration.conftest import JOB, Lab
from tests.integration.faults import closed_port, in_thread, many, person, states, until

CANARY = "CANARY-4711"
SCRATCH = f"""
drop schema if exists fault cascade; create schema fault;
create table fault.t (id integer primary key, short varchar(3), n integer not null check (n < 100));
insert into fault.t values (1, 'abc', 1), (2, 'def', 2);
create table fault.child (id integer references fault.t, note text default '{CANARY}');
"""
PROVOKED: list[tuple[str, str, type[SynclineError]]] = [
    ("23505", f"insert into fault.t select 1, 'x', 1 where '{CANARY}' <> ''", RowRefused),
    ("23502", "insert into fault.t values (3, 'x', null)", RowRefused),
    ("23503", f"insert into fault.child values (99, '{CANARY}')", RowRefused),
    ("23514", "insert into fault.t values (3, 'x', 4711)", RowRefused),
    ("22001", f"insert into fault.t values (3, '{CANARY}', 1)", RowRefused),
    ("22003", "select 4711::smallint * 4711::smallint", RowRefused),
    ("22012", "select 4711 / 0", RowRefused),
    ("22P02", f"select '{CANARY}'::integer", RowRefused),
    ("22007", f"select '{CANARY}'::date", RowRefused),
    ("22008", "select '2026-02-30'::date", RowRefused),
    ("21000", "select (select 4711 union all select 1)", TerminalError),
    ("42703", f'select "{CANARY}" from fault.t', SchemaDrift),
    ("42P01", f'select * from fault."{CANARY}"', SchemaDrift),
    ("42883", f"select fault.nothing('{CANARY}')", SchemaDrift),
    ("42804", f"insert into fault.t (id, n) values (3, '{CANARY}'::text)", SchemaDrift),
    ("42501", "set role syncline_tenant; select * from fault.t", EnvironmentFailure),
    ("25006", "begin read only; insert into fault.t values (3, 'x', 1)", EnvironmentFailure),
    ("57014", f"set statement_timeout = 50; select pg_sleep(5), '{CANARY}'", TransientError),
    ("25P02", "begin; select 1 / 0; select 1", TransientError),
    ("P0001", f"do $$ begin raise exception '{CANARY}'; end $$", RowRefused),
    # What a test cannot bring about in a second, raised by the server under its own code.
    *(
        (state, f"do $$ begin raise exception '{CANARY}' using errcode = '{state}'; end $$", family)
        for state, family in (
            ("40001", TransientError), ("08006", TransientError), ("53300", TransientError), ("57P01", TransientError),
            ("57P03", TransientError), ("53100", EnvironmentFailure), ("53200", EnvironmentFailure),
            ("XX001", EnvironmentFailure), ("58030", EnvironmentFailure), ("0A000", EnvironmentFailure),
            ("SY003", TerminalError),
        )
    ),
]  # fmt: skip


@pytest.fixture
def scratch(lab: Lab) -> Iterator[psycopg.Connection]:
    lab.sql("payroll", SCRATCH)
    with psycopg.connect(make_conninfo(lab.admin, dbname="payroll"), autocommit=True) as session:
        yield session
    lab.sql("payroll", "drop schema fault cascade")


def provoke(session: psycopg.Connection, statements: str) -> None:
    """Run them; the last one is the one that is judged."""
    *before, last = [statements] if "$$" in statements else statements.split("; ")
    for statement in before:
        with suppress(psycopg.errors.DivisionByZero):
            session.execute(statement.encode())
    session.execute(last.encode())


@pytest.mark.parametrize(("sqlstate", "statement", "family"), PROVOKED, ids=[row[0] for row in PROVOKED])
def test_each_sqlstate_has_its_family_and_a_message_without_values(
    scratch: psycopg.Connection, sqlstate: str, statement: str, family: type[SynclineError]
) -> None:
    with pytest.raises(SynclineError) as raised, telling("job: batch 1: doing"):
        provoke(scratch, statement)

    assert type(raised.value) is family
    assert f"SQLSTATE {sqlstate}" in str(raised.value)
    assert "4711" not in str(raised.value)
    assert raised.value.__suppress_context__


def test_a_deadlock_is_transient(scratch: psycopg.Connection, lab: Lab) -> None:
    with psycopg.connect(make_conninfo(lab.admin, dbname="payroll")) as other:
        other.execute("set deadlock_timeout = '10s'")  # the session under test finds the deadlock
        other.execute("update fault.t set n = 6 where id = 2")
        scratch.execute("set deadlock_timeout = '50ms'")
        scratch.execute("begin; update fault.t set n = 5 where id = 1")
        thread, _ = in_thread(lambda: other.execute("update fault.t set n = 6 where id = 1"))
        waiting = "select pid from pg_stat_activity where wait_event_type = 'Lock'"
        until("the other waits", lambda: lab.sql("payroll", waiting))
        with pytest.raises(TransientError, match="40P01"), telling("two writers"):
            scratch.execute("update fault.t set n = 5 where id = 2")
        scratch.execute("rollback")
        thread.join(10)


def test_a_serialization_failure_is_transient(scratch: psycopg.Connection, lab: Lab) -> None:
    scratch.execute("begin isolation level repeatable read; select * from fault.t")
    lab.sql("payroll", "update fault.t set n = 8")

    with pytest.raises(TransientError, match="40001"), telling("two writers"):
        scratch.execute("update fault.t set n = 9")


def test_a_lock_that_is_not_waited_for_is_transient(scratch: psycopg.Connection, lab: Lab) -> None:
    with psycopg.connect(make_conninfo(lab.admin, dbname="payroll")) as other:
        other.execute("lock table fault.t")
        with pytest.raises(TransientError, match="55P03"), telling("asking"):
            scratch.execute("do 'begin lock table fault.t nowait; end'")


@pytest.mark.parametrize("text", ["NUL \0 CANARY-4711", "surrogate \ud800 CANARY-4711"], ids=["NUL", "surrogate"])
def test_text_that_no_server_can_hold_is_a_rows_fault_and_not_quoted(scratch: psycopg.Connection, text: str) -> None:
    with pytest.raises(RowRefused) as raised, telling("writing"):
        scratch.execute("insert into fault.child (note) values (%s)", [text])

    assert CANARY not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "family"),
    [
        ({"password": CANARY}, EnvironmentFailure),  # 28P01
        ({"user": CANARY}, EnvironmentFailure),  # 28P01 too: the server does not say that the role is unknown
        ({"dbname": CANARY}, EnvironmentFailure),  # 3D000
        ({"dbname": "airflow"}, EnvironmentFailure),  # 42501: no CONNECT
        ({"port": 1}, TransientError),
    ],
    ids=["28P01", "unknown role", "3D000", "42501", "nobody there"],
)
def test_a_refused_login_waits_for_a_person_and_an_absent_server_does_not(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], family: type[SynclineError]
) -> None:
    there = os.environ["AIRFLOW_CONN_PAYROLL"]
    monkeypatch.setenv("AIRFLOW_CONN_PAYROLL", make_conninfo(there, **change))

    with pytest.raises(SynclineError) as raised:
        connections.connect("payroll", purpose="test")

    assert type(raised.value) is family
    assert CANARY not in str(raised.value)


def test_a_full_disk_is_told_as_such_and_rows_are_not_to_blame(lab: Lab, tmp_path: Path) -> None:
    small = ROOT / "var" / "test" / f"small-{os.getpid()}"
    small.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m,mode=777", "none", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        small.rmdir()
        pytest.skip("this user may not mount a small tmpfs to fill")
    try:
        home = small / "space"
        home.mkdir()
        shutil.chown(home, "nobody")
        home.chmod(0o700)
        lab.sql("postgres", f"create tablespace small location '{home}'")
        lab.sql("payroll", "alter role syncline_loader in database payroll set default_tablespace = 'small'")
        lab.sql("postgres", "grant create on tablespace small to syncline_loader")
        many(lab, 8_000)

        with pytest.raises(EnvironmentFailure, match=r"53100.*disk is full"):
            lab.run("night")

        assert (lab.people(), lab.ledger("select * from ledger.dead_letter"), states(lab)) == ({}, [], ["open"])
        lab.sql("payroll", "alter role syncline_loader in database payroll reset default_tablespace")
        assert lab.run("night").counts.inserted_rows == 8_000
    finally:
        lab.sql("payroll", "alter role syncline_loader in database payroll reset default_tablespace")
        lab.sql("postgres", "drop tablespace if exists small")
        subprocess.run(["umount", "--lazy", str(small)], check=False)
        small.rmdir()


POISON = {
    "23505": "create unique index on lab.person (name)",
    "23514": "alter table lab.person add constraint no_canary check (name not like 'CANARY%')",
    "22001": "alter table lab.person alter name type varchar(5)",
    "P0001": (
        "create function lab.refuse() returns trigger language plpgsql as"
        " $$ begin raise exception 'refused: %', new; end $$;"
        " create trigger refuse before insert on lab.person for each row execute function lab.refuse()"
    ),
}


REFUSED = {
    "23505": "name:unique by person_name_idx",
    "23514": "name:check by no_canary",
    "22001": ":too_long by 22001",
    "P0001": ":refused by P0001",
}


@pytest.mark.parametrize("sqlstate", POISON)
def test_no_value_of_a_row_reaches_errors_logs_ledger_or_alerts(
    lab: Lab, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, sqlstate: str
) -> None:
    caplog.set_level(logging.DEBUG)
    server_log = ROOT / "var" / "test" / f"pg-{os.getpid()}.log"
    logged_before = len(server_log.read_text())
    monkeypatch.setenv("SYNCLINE_ALERT_WEBHOOK", f"http://127.0.0.1:{closed_port()}/alerts")
    lab.hub(person("p1", name=CANARY), person("p2", name=CANARY), person("bad", born=CANARY))
    lab.sql("payroll", POISON[sqlstate])

    lab.manifest["errors"]["rejected_ratio_max"] = 0.4
    with pytest.raises(BatchHeld) as raised:
        lab.run("night")
    assert f"{REFUSED[sqlstate]} " in str(raised.value)
    alerting.task_failed(lab.job, 1, "load", type(raised.value).__name__)
    shell = lab.shell("run", JOB)

    assert lab.people() == {}
    assert shell.returncode == 1
    assert "Traceback" not in shell.stderr
    kept = [
        str(raised.value), caplog.text, shell.stdout, shell.stderr, lab.shell("status", "--json").stdout,
        *(str(lab.ledger(f"select * from ledger.{table}"))
          for table in ("attempt", "audit", "alert", "batch", "result", "tenant_count", "dead_letter")),
        server_log.read_text()[logged_before:] if sqlstate != "P0001" else "",  # a trigger's own words are its author's
    ]  # fmt: skip
    assert [text[:200] for text in kept if CANARY in text] == []
