"""The source changes under the reader, or cuts it short: rows F19 and F22 to F31 of FAULTS.md."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from demo.servers import EmbeddedServer
from syncline.core.errors import BatchHeld, SchemaDrift, SourceReplaced, TerminalError, TransientError
from syncline.core.values import Verdict
from tests.faults.invariants import converged, invariants, settled
from tests.faults.oracle import Oracle
from tests.integration.conftest import Lab
from tests.integration.faults import SEVERAL_BLOCKS, arm, at, disarm, in_thread, many, person, states, until

LONG = pytest.mark.long


@contextmanager
def role_setting(lab: Lab, database: str, role: str, setting: str, value: str) -> Iterator[None]:
    """What a role's new sessions in one database begin with, for a while."""
    lab.sql("postgres", f"alter role {role} in database {database} set {setting} = '{value}'")
    try:
        yield
    finally:
        lab.sql("postgres", f"alter role {role} in database {database} reset {setting}")


# -- F19: what a role may not see -----------------------------------------------------------------------------


@pytest.fixture
def blind(lab: Lab) -> Iterator[None]:
    """The reader may not look at other sessions."""
    lab.sql("postgres", "revoke pg_read_all_stats from syncline_reader")
    yield
    lab.sql("postgres", "grant pg_read_all_stats to syncline_reader")


@pytest.mark.usefixtures("blind")
def test_F19_a_reader_that_cannot_see_other_sessions_reads_more_and_misses_nothing(lab: Lab) -> None:
    """The guard is blind, so nothing is narrowed down by the clock: DESIGN.md, section 6."""
    lab.hub(person("p1", at="2026-01-01Z"), person("p2"))
    with psycopg.connect(make_conninfo(lab.admin, dbname="mdm")) as late:
        late.execute("update lab.person set name = 'Late', updated_at = '2026-01-02Z' where person_id = 'p1'")
        lab.run()
        lab.run()
        late.commit()
    settled(lab)
    assert lab.people()["t1/p1"] == "Late"


# -- F22: rows that move --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place", ["extract.block@2", *(pytest.param(x, marks=LONG) for x in ("extract.begun", "extract.before_commit"))]
)
def test_F22_rows_that_move_and_change_while_they_are_read_are_neither_lost_nor_doubled(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    many(lab)

    def move() -> None:
        lab.sql("mdm", "update lab.person set name = 'Bea', updated_at = now() where person_id < 'p2'")
        lab.sql(
            "mdm",
            "update lab.person set person_id = 'moved-' || person_id, updated_at = now() where person_id like 'p2%'",
        )
        lab.hub(person("late"))
        lab.sql("mdm", "vacuum lab.person")

    at(monkeypatch, place, move)
    first = lab.run("night")
    disarm(monkeypatch)

    assert (first.verdict, first.counts.extracted_rows, first.counts.inserted_rows) == (
        Verdict.MATCHED,
        SEVERAL_BLOCKS,
        SEVERAL_BLOCKS,
    )
    rows = lab.sql(
        "payroll", "select count(*) as n, count(distinct person_no) as d from lab.person where name like 'Ann%'"
    )
    assert rows == [{"n": SEVERAL_BLOCKS, "d": SEVERAL_BLOCKS}]  # all as of one instant
    invariants(lab)


@pytest.mark.parametrize("at_block", [1, pytest.param(3, marks=LONG)])
def test_F22_a_writer_that_never_rests_loses_no_committed_row(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, at_block: int
) -> None:
    many(lab)
    oracle = Oracle(lab)
    with oracle.busy(seed=at_block):
        for turn in range(3):
            if turn == 1:
                arm(monkeypatch, f"load.before_ledger:RAISE,extract.block@{at_block}:RAISE")
            with suppress(TransientError):
                lab.run(f"night-{turn}")
            disarm(monkeypatch)
            invariants(lab)
    settled(lab)
    oracle.agrees(lab)


# -- F23: hard deletes ----------------------------------------------------------------------------------------


def test_F23_a_hard_delete_that_nobody_looks_for_is_found_by_the_counts_and_never_published(lab: Lab) -> None:
    lab.hub(*(person(f"p{n}") for n in range(4)))
    lab.run()
    lab.sql("mdm", "delete from lab.person where person_id = 'p3'")

    with pytest.raises(BatchHeld, match="SYNC-005"):
        lab.run()

    assert states(lab) == ["published", "held"]
    lab.sql("payroll", "delete from lab.person where person_no = 'p3'")
    settled(lab)


@pytest.mark.parametrize(
    "place",
    [
        "",
        *(
            pytest.param(x, marks=LONG)
            for x in ("extract.recorded:RAISE", "load.before_commit:RAISE", "load.before_ledger:RAISE")
        ),
    ],
)
def test_F23_a_hard_delete_arrives_with_the_next_run_that_compares_keys(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    lab.manifest["source"]["key_set"] = "every_run"
    lab.hub(*(person(f"p{n}") for n in range(4)))
    lab.run()
    lab.sql("mdm", "delete from lab.person where person_id = 'p3'")
    arm(monkeypatch, place)
    with suppress(TransientError):
        lab.run("night")
    disarm(monkeypatch)

    lab.run("night")

    assert list(lab.people()) == ["t1/p0", "t1/p1", "t1/p2"]
    settled(lab)


# -- F26: deadlocks and serialization failures ----------------------------------------------------------------


def test_F26_a_deadlock_rolls_the_whole_load_back_and_the_retry_succeeds(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.hub(*(person(f"p{n}") for n in range(2)))
    lab.run()
    lab.sql("mdm", "update lab.person set name = 'Bea', updated_at = now()")
    target = make_conninfo(lab.admin, dbname="payroll")
    with psycopg.connect(target) as other:
        first, *_ = lab.sql("payroll", "select person_no from lab.person order by ctid limit 1")
        # It holds the row that the load comes to last, and asks for the first one once the load has that.
        at(monkeypatch, "load.begun", lambda: lock_last_then_first(lab, other, first["person_no"]))
        with pytest.raises(TransientError, match="deadlock"):
            lab.run("night")
        disarm(monkeypatch)
        other.rollback()

    done = lab.run("night")

    assert (done.verdict, done.counts.updated_rows) == (Verdict.MATCHED, 2)
    assert [row["n"] for row in lab.ledger("select count(*) as n from ledger.attempt where step = 'load'")] == [3]
    settled(lab)


def lock_last_then_first(lab: Lab, other: psycopg.Connection, first: str) -> None:
    other.execute("set deadlock_timeout = '60s'")  # so that the load is the one that looks, and gives way
    other.execute("update lab.person set name = name where person_no <> %s", [first])

    def ask_for_the_first() -> None:
        waiting = (
            "select pid from pg_stat_activity where wait_event_type = 'Lock' and application_name like 'syncline%load'"
        )
        until("the load waits for the last row", lambda: lab.sql("payroll", waiting))
        with suppress(psycopg.Error):
            other.execute("update lab.person set name = name where person_no = %s", [first])

    in_thread(ask_for_the_first)


@LONG
def test_F26_a_serialization_failure_is_the_whole_transaction_once_more(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.hub(person("p1"))
    lab.run()
    lab.hub(person("p1", name="Bea"))
    with (
        role_setting(lab, "payroll", "syncline_loader", "default_transaction_isolation", "repeatable read"),
        psycopg.connect(make_conninfo(lab.admin, dbname="payroll")) as other,
    ):

        def change_what_the_load_waits_for() -> None:
            other.execute("update lab.person set loaded_at = now()")

            def let_go() -> None:
                waiting = "select pid from pg_stat_activity where wait_event_type = 'Lock' and application_name like 'syncline%load'"
                until("the load waits for the row", lambda: lab.sql("payroll", waiting))
                other.commit()

            in_thread(let_go)

        at(monkeypatch, "load.begun", change_what_the_load_waits_for)
        with pytest.raises(TransientError, match="40001"):
            lab.run("night")
        disarm(monkeypatch)
        assert lab.run("night").counts.updated_rows == 1
    assert lab.people() == {"t1/p1": "Bea"}
    settled(lab)


# -- F27: the table is changed while we read ------------------------------------------------------------------

DDL = {
    "dropped": "alter table lab.person drop column born",
    "renamed": "alter table lab.person rename column born to birthday",
    "retyped": "alter table lab.person alter column born type date using born::date",
    "emptied": "truncate lab.person",
    "replaced": "create table lab.other (like lab.person including all); drop table lab.person;"
    " alter table lab.other rename to person; grant select on lab.person to syncline_reader",
}


@pytest.mark.parametrize(
    "change", ["renamed", "retyped", *(pytest.param(x, marks=LONG) for x in ("dropped", "emptied", "replaced"))]
)
def test_F27_ddl_between_preflight_and_read_publishes_nothing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    lab.hub(*(person(f"p{n}") for n in range(3)))
    lab.run()
    lab.hub(person("p1", name="Bea"))
    before, mark = lab.people(), lab.ledger("select batch_id, snapshot::text from ledger.watermark")
    # A rewrite is not hidden from an older snapshot: the reader finds an empty table, without any error. Where the
    # reader locks the table first, the change has to wait, which is as good.
    at(monkeypatch, "extract.begun", lambda: lab.sql("mdm", f"set lock_timeout = '1s'; {DDL[change]}"))

    with pytest.raises(TerminalError) as raised:
        lab.run("night")

    disarm(monkeypatch)
    assert (lab.people(), lab.ledger("select batch_id, snapshot::text from ledger.watermark")) == (before, mark)
    assert states(lab)[0] == "published"
    assert "published" not in states(lab)[1:]
    invariants(lab)
    if change in ("dropped", "renamed"):
        assert isinstance(raised.value, SchemaDrift)
        with pytest.raises(SchemaDrift, match="born"):  # the next run's preflight names the column
            lab.run("night")


# -- F28: another source under the same name ------------------------------------------------------------------


def test_F28_a_source_that_was_turned_back_to_an_older_state_is_a_hard_stop(
    own_hub: tuple[Lab, EmbeddedServer],
) -> None:
    lab, server = own_hub
    lab.hub(person("p1"), person("p2"))
    lab.run()
    server.stop()
    backup = server.data_dir.with_name(f"{server.data_dir.name}.backup")
    shutil.copytree(server.data_dir, backup)
    give_to_owner_of(server.data_dir, backup)
    server.start()
    lab.hub(person("p1", name="Bea"), person("p3"))  # what the backup does not have
    lab.run()
    before, mark = lab.people(), lab.ledger("select batch_id, snapshot::text from ledger.watermark")
    server.stop("immediate")
    shutil.rmtree(server.data_dir)
    backup.rename(server.data_dir)
    server.start()

    with pytest.raises(SourceReplaced):
        lab.run()

    assert (lab.people(), lab.ledger("select batch_id, snapshot::text from ledger.watermark")) == (before, mark)
    assert "published" not in states(lab)[2:]


@LONG
def test_F28_another_server_behind_the_same_name_is_a_hard_stop(lab: Lab, request: pytest.FixtureRequest) -> None:
    lab.hub(person("p1"), person("p2"))
    lab.run()
    before = lab.people()
    moved, _ = request.getfixturevalue("own_hub")
    moved.hub(person("p1", name="Someone else"))

    with pytest.raises(SourceReplaced):
        lab.run()

    assert lab.people() == before


def give_to_owner_of(model: Path, folder: Path) -> None:
    owner = model.stat()
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)


# -- F29, F30: change data capture ----------------------------------------------------------------------------


@pytest.mark.skip(reason="replication slots belong to change data capture, which has an issue of its own")
def test_F29_a_slot_that_was_dropped_or_lost_is_a_hard_stop() -> None: ...


@LONG
def test_F29_a_batch_does_not_care_for_slots(lab: Lab) -> None:
    """A batch reads by snapshots: a slot that vanishes or holds the log back changes nothing for it."""
    lab.hub(person("p1"))
    lab.run()
    lab.sql("mdm", "select pg_create_logical_replication_slot('f29', 'pgoutput')")
    lab.hub(person("p1", name="Bea"))
    lab.sql("mdm", "select pg_drop_replication_slot('f29')")
    settled(lab)
    assert lab.people() == {"t1/p1": "Bea"}


@pytest.mark.skip(reason="publications belong to change data capture, which has an issue of its own")
def test_F30_a_table_that_joins_a_publication_starts_with_a_snapshot() -> None: ...


@LONG
def test_F30_a_batch_that_runs_beside_a_changed_publication_misses_no_open_transaction(lab: Lab) -> None:
    lab.hub(person("p1"))
    with psycopg.connect(make_conninfo(lab.admin, dbname="mdm")) as late:
        late.execute(
            "insert into lab.person (tenant_id, person_id, name, born) values ('t1', 'late', 'Zoe', '1990-01-01')"
        )
        lab.sql("mdm", "create publication f30")
        try:
            with suppress(psycopg.errors.LockNotAvailable):
                lab.sql("mdm", "set lock_timeout = '1s'; alter publication f30 add table lab.person")
            lab.run()
            late.commit()
        finally:
            late.rollback()
            lab.sql("mdm", "drop publication f30")
    settled(lab)
    assert lab.people()["t1/late"] == "Zoe"


# -- F31: a source that loses its patience --------------------------------------------------------------------


@LONG
def test_F31_a_statement_timeout_in_mid_copy_is_transient(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    many(lab, 60_000)  # more than the sockets hold: the server is still in its COPY
    started = lab.sql("mdm", "select clock_timestamp() as at")[0]["at"]

    def outlast() -> None:
        past = started + timedelta(seconds=3)
        until("the time is over", lambda: lab.sql("mdm", "select clock_timestamp() > %s as is_so", past)[0]["is_so"])

    at(monkeypatch, "extract.block@2", outlast)
    with (
        role_setting(lab, "mdm", "syncline_reader", "statement_timeout", "1500ms"),
        pytest.raises(TransientError, match="57014"),
    ):
        lab.run("night")
    disarm(monkeypatch)
    assert lab.people() == {}
    assert lab.run("night").counts.inserted_rows == 60_000
    invariants(lab)
    converged(lab)


@pytest.mark.parametrize(
    ("database", "role", "place"),
    [
        ("mdm", "syncline_reader", "extract.before_commit"),  # read to its end, the snapshot still in use
        pytest.param("payroll", "syncline_loader", "load.before_commit", marks=LONG),
    ],
)
def test_F31_a_session_that_was_idle_too_long_is_transient(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, database: str, role: str, place: str
) -> None:
    lab.hub(person("p1"))
    with role_setting(lab, database, role, "idle_in_transaction_session_timeout", "200ms"):
        there = "state like 'idle in transaction%%' and usename = %s"
        gone = f"select pid from pg_stat_activity where {there} and datname = %s"
        at(
            monkeypatch,
            place,
            lambda: until("the server has ended it", lambda: not lab.sql(database, gone, role, database)),
        )
        with pytest.raises(TransientError):
            lab.run("night")
        disarm(monkeypatch)
        invariants(lab)
    assert lab.run("night").verdict is Verdict.MATCHED
    settled(lab)
