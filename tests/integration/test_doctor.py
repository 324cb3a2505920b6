"""`syncline doctor JOB`: each line is ok, warn or wrong, and its remedy, run as it stands, makes the line go away."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from syncline.adapters import connections, probing
from syncline.core.types import PgType
from syncline.steps import doctor
from syncline.steps.doctor import Line, examine
from tests.integration.conftest import JOB, Lab
from tests.integration.faults import person
from tests.integration.test_source_identity import REMAKE
from tests.integration.test_source_windows import COLUMNS, WINDOW, from_view

READER_MAY = "grant pg_read_all_stats to syncline_reader"


def lines(lab: Lab, *states: str) -> list[Line]:
    return [line for line in examine(lab.job).lines if not states or line.state in states]


@pytest.fixture(autouse=True)
def healthy_again(lab: Lab) -> Iterator[None]:
    yield
    lab.sql("mdm", f"{READER_MAY}; grant execute on function pg_control_system() to public")
    lab.sql("mdm", "revoke execute on function pg_control_system() from syncline_reader")  # a remedy granted it


def test_a_healthy_job_has_lines_that_are_all_ok(lab: Lab) -> None:
    lab.hub(person("p1"))
    lab.run()

    report = examine(lab.job)

    assert [str(line) for line in report.lines if line.state != "ok"] == []
    assert report.exit_code == 0
    said = "\n".join(line.said for line in report.lines)
    for part in (
        "role syncline_reader is logged in to PostgreSQL", "role syncline_loader is logged in", "connections are free",
        "row versions tell what has changed, exactly", "it is the source that the last published batch read",
        "with every grant", "both servers hash the mapping's types alike",
    ):  # fmt: skip
        assert part in said


@pytest.mark.parametrize(
    ("database", "statement", "state", "said"),
    [
        ("mdm", "revoke pg_read_all_stats from syncline_reader", "warn", "cannot see when others' transactions began"),
        ("mdm", "revoke execute on function pg_control_system() from public", "warn", "may not ask pg_control_system()"),
        ("mdm", "revoke select on lab.person from syncline_reader", "wrong", "may not read lab.person"),
        ("mdm", f"revoke select on lab.person from syncline_reader; grant select ({COLUMNS}) on lab.person to syncline_reader",
         "wrong", "may not read the row versions of lab.person"),
        ("mdm", "drop index lab.person_updated_at_idx", "warn", "has no index"),
        ("mdm", "alter table lab.person alter column updated_at drop not null", "warn", "may be NULL"),
        ("mdm", "alter table lab.person drop constraint person_pkey", "warn", "is not unique in lab.person"),
        ("payroll", "revoke insert on lab.person from syncline_tenant", "wrong", "may not insert on lab.person"),
        ("payroll", "revoke create on schema staged from syncline_loader", "wrong", "may not create tables in schema staged"),
    ],
)  # fmt: skip
def test_the_remedy_of_a_line_makes_it_go_away(lab: Lab, database: str, statement: str, state: str, said: str) -> None:
    lab.sql(database, statement)

    (line,) = [line for line in lines(lab, "warn", "wrong") if said in line.said]
    lab.sql(database, line.remedy.split(" or ")[0])

    assert line.state == state
    assert [str(left) for left in lines(lab, "warn", "wrong")] == []


def test_who_holds_the_window_open_is_named(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "OPEN_S_MAX", 0)
    monkeypatch.setattr(doctor, "PREPARED_S_MAX", -1)
    with psycopg.connect(make_conninfo(lab.admin, dbname="mdm"), application_name="long import") as other:
        other.execute("select pg_current_xact_id()")
        other.execute("prepare transaction 'half way'")
        other.execute("select pg_current_xact_id()")
        open_one, prepared = lines(lab, "warn")
        pid = other.info.backend_pid

    assert f"process {pid} (long import) has a transaction open for" in open_one.said
    assert open_one.remedy.endswith(f"select pg_terminate_backend({pid});")
    assert "prepared transaction 'half way' waits" in prepared.said
    lab.sql("mdm", prepared.remedy.split("; or ")[0])
    assert lab.sql("mdm", "select gid from pg_prepared_xacts") == []


def test_another_source_is_wrong_before_a_run_finds_out(lab: Lab) -> None:
    lab.hub(person("p1"))
    lab.run()
    lab.sql("mdm", REMAKE)

    (line,) = lines(lab, "wrong")

    assert "it is not the source that the last batch read: oid of lab.person" in line.said
    assert "--accept-source" in line.remedy


def test_a_view_says_what_its_window_is_worth(lab: Lab) -> None:
    from_view(lab, window=WINDOW)

    (line,) = lines(lab, "warn", "wrong")

    assert "no row versions: batches read again what is 3660 s old" in line.said


def test_clocks_and_free_connections_are_held_against_limits(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CLOCK_S_MAX", -1.0)
    lab.manifest["source"]["connections_max"] = 64
    lab.sql("mdm", "alter role syncline_reader connection limit 3")
    try:
        said = [line.said for line in lines(lab, "warn")]
    finally:
        lab.sql("mdm", "alter role syncline_reader connection limit -1")

    assert "3 connections are free, and the manifest may use 64" in said
    assert sum("from ours" in one for one in said) == 3


def test_a_side_that_cannot_be_reached_is_a_line_and_the_other_is_still_examined(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MDM", "postgresql://nobody:secret-word@127.0.0.1:1/mdm")

    report = examine(lab.job)

    assert [line.side for line in report.lines if line.state == "wrong"] == ["source"]
    assert any(line.side == "target" and "with every grant" in line.said for line in report.lines)
    assert "secret-word" not in str(report)


def test_the_command_prints_a_line_each_and_ends_with_the_worst(lab: Lab) -> None:
    well = lab.shell("doctor", JOB, "--json")
    lab.sql("mdm", "drop index lab.person_updated_at_idx")
    slower = lab.shell("doctor", JOB)
    lab.sql("payroll", "drop table lab.person")
    wrong = lab.shell("doctor", JOB)

    assert (well.returncode, json.loads(well.stdout)["exit_code"]) == (0, 0)
    assert (slower.returncode, wrong.returncode) == (1, 2)
    assert "warn   source  cursor 'updated_at' has no index" in slower.stdout
    assert "-> create index concurrently on lab.person (updated_at);" in slower.stdout
    assert "wrong  target  table lab.person does not exist" in wrong.stdout


# -- hashes ---------------------------------------------------------------------------------------------------

EVERY_TYPE = (
    "text", "varchar(4)", "char(4)", "boolean", "smallint", "integer", "bigint", "numeric", "numeric(4,2)", "real",
    "double precision", "money", "date", "time", "timetz", "timestamp", "timestamptz(3)", "interval", "uuid", "json",
    "jsonb", "bytea", "inet", "cidr", "text[]", "integer[]", "date[]",
)  # fmt: skip


def test_every_type_has_a_hash_and_the_oldest_supported_server_hashes_alike(pg: Any, request: Any) -> None:
    kinds = [PgType.parse(spelling) for spelling in EVERY_TYPE]
    with psycopg.connect(pg.admin_conninfo, autocommit=True) as session:
        session.execute(connections.SPELLING.encode())
        newest = probing._hashes(session, kinds)

    assert [str(kind) for kind, found in zip(kinds, newest, strict=True) if found is None] == []
    try:
        older = request.getfixturevalue("pg15")
    except Exception:  # no PostgreSQL 15 here
        pytest.skip("no PostgreSQL 15 is installed")
    with psycopg.connect(older.admin_conninfo, autocommit=True) as session:
        session.execute(connections.SPELLING.encode())
        assert probing._hashes(session, kinds) == newest


def test_a_server_that_hashes_otherwise_is_told(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    probe: Callable[..., Any] = probing._hash

    def another(session: psycopg.Connection, kind: PgType) -> int | None:
        found = probe(session, kind)
        is_target = session.info.dbname == "payroll"
        return found + 1 if is_target and found is not None and kind.name == "date" else found

    monkeypatch.setattr(probing, "_hash", another)
    (line,) = lines(lab, "warn")

    assert line.said.startswith("the two servers do not hash alike: date")
