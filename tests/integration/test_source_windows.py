"""What an incremental batch reads: every row version that the last one could not see, however it came about.

Each test is a way in which `updated_at > last maximum` loses rows; on a real server, as the demo's plain reader.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from syncline.adapters.source import Source
from syncline.core.errors import SchemaDrift
from syncline.core.values import CutOff, Mode
from syncline.steps.connecting import compare_with_databases
from tests.integration.conftest import Lab
from tests.integration.faults import person

LATE = "insert into lab.person (tenant_id, person_id, name, updated_at) values ('t1', 'late', 'Zoe', {at})"
LONG_AGO = "now() - interval '3 days'"  # far below where the index begins to look


def writer(lab: Lab) -> psycopg.Connection:
    return psycopg.connect(make_conninfo(lab.admin, dbname="mdm"))


def blind(lab: Lab) -> None:
    """As on a server whose administrator grants nothing but SELECT."""
    lab.sql("mdm", "revoke pg_read_all_stats from syncline_reader")


@pytest.fixture
def seeing(lab: Lab) -> Iterator[None]:
    yield
    lab.sql("mdm", "grant pg_read_all_stats to syncline_reader")


# -- times that say nothing -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "at", [LONG_AGO, "'-infinity'", "now() + interval '1 year'", "'infinity'", "null", "(select max(updated_at) from lab.person)"]
)  # fmt: skip
def test_a_changed_row_is_read_whatever_time_its_writer_gave_it(lab: Lab, at: str) -> None:
    lab.sql("mdm", "alter table lab.person alter column updated_at drop not null")
    lab.hub(person("p1"), person("p2"))
    lab.run()
    lab.sql("mdm", f"update lab.person set name = 'Bea', updated_at = {at} where person_id = 'p1'")

    changed = lab.run()
    lab.sql("mdm", f"update lab.person set name = 'Cleo', updated_at = {at} where person_id = 'p1'")
    again = lab.run()

    assert (changed.mode, again.mode) == (Mode.INCREMENTAL, Mode.INCREMENTAL)
    assert (changed.counts.extracted_rows, again.counts.extracted_rows) == (1, 1)


def test_a_row_that_hides_from_the_cursors_index_is_told(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    lab.hub(person("p1"), person("p2"))
    lab.run()
    lab.hub(person("p1", name="Bea", at="2020-01-01 00:00Z"), person("p3"))

    with caplog.at_level(logging.WARNING):
        done = lab.run()

    assert (done.counts.extracted_rows, done.counts.inserted_rows) == (2, 1)
    assert "hidden_rows=1" in caplog.text


@pytest.mark.usefixtures("seeing")
@pytest.mark.parametrize(
    ("how", "is_blind"), [("transaction", False), ("transaction", True), ("subtransaction", True), ("prepared", True)]
)
def test_F17_F18_F19_what_commits_late_is_read_also_by_a_role_that_sees_nobody_elses_transactions(
    lab: Lab, how: str, is_blind: bool
) -> None:
    if is_blind:
        blind(lab)
    lab.hub(person("p1"))
    with writer(lab) as late:
        late.execute("select pg_current_xact_id()")
        if how == "subtransaction":
            with late.transaction():
                late.execute(LATE.format(at=LONG_AGO).encode())
        else:
            late.execute(LATE.format(at=LONG_AGO).encode())  # as now() says in a transaction that is three days old
        if how == "prepared":
            late.execute("prepare transaction 'late'")
        lab.hub(person("between"))
        lab.run()
        late.commit()
        if how == "prepared":
            lab.sql("mdm", "commit prepared 'late'")

    done = lab.run()

    assert (lab.people()["t1/late"], done.mode) == ("Zoe", Mode.INCREMENTAL)


# -- row versions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    ["vacuum (freeze) lab.person", "vacuum (full, freeze) lab.person", "cluster lab.person using person_pkey"],
)
def test_rewriting_and_freezing_a_table_neither_hides_a_change_nor_makes_one(lab: Lab, statement: str) -> None:
    lab.hub(person("p1"), person("p2"), person("p3"))
    lab.run()
    lab.hub(person("p2", name="Bea"))
    lab.sql("mdm", statement)

    changed = lab.run()
    lab.sql("mdm", statement)
    unchanged = lab.run()

    assert (changed.counts.extracted_rows, unchanged.counts.extracted_rows) == (1, 0)
    assert lab.people()["t1/p2"] == "Bea"


def test_a_lock_on_a_row_is_no_change_of_it(lab: Lab) -> None:
    lab.hub(person("p1"), person("p2"))
    lab.run()
    with writer(lab) as one, writer(lab) as other:  # two at a time: a multixact
        for session in (one, other):
            session.execute("select from lab.person where person_id = 'p1' for key share")
        done = lab.run()

    assert done.counts.extracted_rows == 0


def test_a_column_that_was_dropped_and_made_again_is_read_for_every_row(lab: Lab) -> None:
    lab.hub(person("p1"), person("p2"))
    lab.run()
    lab.sql("mdm", "alter table lab.person drop column name")
    lab.sql("mdm", "alter table lab.person add column name text default 'Nobody'")  # rewrites no row

    done = lab.run()

    assert (done.mode, done.counts.updated_rows) == (Mode.INCREMENTAL, 2)
    assert set(lab.people().values()) == {"Nobody"}
    notes = lab.ledger("select schema_notes from ledger.batch order by batch_id desc limit 1")[0]["schema_notes"]
    assert notes == ["lab.person: column name was made anew, so every row is read"]


PARTITIONED = """
drop table lab.person;
create table lab.person (tenant_id text, person_id text, name text, born text,
    updated_at timestamptz not null default now(), is_deleted boolean not null default false,
    primary key (tenant_id, person_id)) partition by list (tenant_id);
create table lab.person_t1 partition of lab.person for values in ('t1');
create index on lab.person (updated_at);
create table lab.person_t2 (like lab.person including all);
insert into lab.person_t2 values ('t2', 'old', 'Olga', '1990-01-01', now() - interval '1 hour');
grant select on lab.person to syncline_reader;
"""


def test_partitions_are_read_and_one_that_joins_later_is_read_whole(lab: Lab) -> None:
    lab.sql("mdm", PARTITIONED)
    lab.hub(person("p1"))
    lab.run()
    with writer(lab) as late:
        late.execute(LATE.format(at=LONG_AGO).encode())
        lab.hub(person("p2"))
        lab.run()
        late.commit()
    lab.sql("mdm", "alter table lab.person attach partition lab.person_t2 for values in ('t2')")

    done = lab.run()

    assert lab.people() == {"t1/p1": "Ann", "t1/p2": "Ann", "t1/late": "Zoe", "t2/old": "Olga"}
    assert done.counts.inserted_rows == 2
    assert lab.run().counts.extracted_rows == 0


def test_a_table_that_begins_to_inherit_is_read_whole(lab: Lab) -> None:
    lab.sql("mdm", "create table lab.elsewhere (like lab.person including all);"
                   " insert into lab.elsewhere values ('t2', 'old', 'Olga', '1990-01-01')")  # fmt: skip
    lab.hub(person("p1"))
    lab.run()
    lab.sql("mdm", "alter table lab.elsewhere inherit lab.person")

    lab.run()

    assert lab.people() == {"t1/p1": "Ann", "t2/old": "Olga"}


XIDS = 2**32


def test_the_numbers_of_row_versions_are_compared_around_their_end(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real server that passes 2^32 stands in test_source_identity.py; here the corners, on its arithmetic."""
    span = 1_000
    with psycopg.connect(lab.admin) as session:
        source = Source(lab.job, session, None)
        for oldest in (epoch * XIDS + low for epoch in (0, 1, 5) for low in (3, 1_000, 2**31 - 1, 2**31, XIDS - 3)):
            top = oldest + span
            monkeypatch.setattr(source, "cut_off", partial(CutOff, f"{top}:{top}:", None, datetime.now(UTC)))
            shown = [oldest - 1, oldest, oldest + 1, top - span // 2, top - 1, oldest - 2**31 + 5, top - XIDS]
            true = [xid for xid in shown if xid >= 3 and xid % XIDS >= 3]
            values = ", ".join(f"({xid}::bigint, '{xid % XIDS}'::xid)" for xid in true)
            condition = source._changed_since(f"{oldest}:{top}:").as_string(session)
            found = session.execute(f"select s.n from (values {values}) as s (n, xmin) where {condition}".encode())
            read = {row[0] for row in found}

            assert {xid for xid in true if oldest <= xid < top} <= read
            assert read <= {xid for xid in true if oldest <= xid < top or (top - xid) % XIDS <= span}


# -- what has no row versions ---------------------------------------------------------------------------------

VIEW = """
create table lab.extra (tenant_id text, person_id text, born text, primary key (tenant_id, person_id));
create view lab.people as select p.tenant_id, p.person_id, p.name, coalesce(e.born, p.born) as born, p.updated_at, p.is_deleted
  from lab.person as p left join lab.extra as e using (tenant_id, person_id);
grant select on lab.people to syncline_reader;
"""
WINDOW = {"lag_s": 60, "overlap_s": 3600}


def from_view(lab: Lab, **declared: Any) -> None:
    lab.sql("mdm", VIEW)
    lab.manifest["source"] |= {"table": "lab.people", **declared}


def test_a_view_with_a_cursor_is_refused_with_both_remedies(lab: Lab) -> None:
    from_view(lab)
    lab.hub(person("p1"))

    with pytest.raises(SchemaDrift, match="lab.people is a view: it has no row versions of its own"):
        lab.run()
    (finding,) = compare_with_databases(lab.folder, [lab.job]).findings
    assert "source.window: {lag_s: 300, overlap_s: 3600}" in finding.allowed
    assert "drop `source.cursor`" in finding.allowed


def test_a_view_with_a_declared_window_is_read_by_lag_and_overlap(lab: Lab) -> None:
    from_view(lab, window=WINDOW)
    lab.hub(*(person(f"p{n}", at="2026-01-01 00:00Z") for n in range(5)))
    first = lab.run()
    with writer(lab) as late:
        late.execute(LATE.format(at="now()").encode())
        lab.hub(person("future", at="2999-01-01 00:00Z"))
        lab.run()
        late.commit()

    done = lab.run()

    assert (first.mode, done.mode) == (Mode.FULL, Mode.INCREMENTAL)
    assert done.counts.extracted_rows == 2  # the late one, and the one from the future again
    assert lab.people()["t1/late"] == "Zoe"
    (mark,) = lab.ledger(
        "select extract(epoch from source_as_of - cursor_floor)::integer as lag_s from ledger.watermark"
    )
    assert mark["lag_s"] == WINDOW["lag_s"]


def test_a_window_may_be_declared_where_row_versions_tell_and_changes_nothing(lab: Lab) -> None:
    lab.manifest["source"]["window"] = {"lag_s": 0, "overlap_s": 0}
    lab.hub(person("p1"))
    lab.run()
    with writer(lab) as late:
        late.execute(LATE.format(at=LONG_AGO).encode())
        lab.hub(person("p2"))
        lab.run()
        late.commit()

    lab.run()
    assert lab.people()["t1/late"] == "Zoe"


COLUMNS = "tenant_id, person_id, name, born, updated_at, is_deleted"


def test_F19_a_grant_on_columns_alone_is_refused_and_the_grant_that_is_told_mends_it(lab: Lab) -> None:
    lab.sql("mdm", "revoke select on lab.person from syncline_reader")
    lab.sql("mdm", f"grant select ({COLUMNS}) on lab.person to syncline_reader")
    lab.hub(person("p1"))

    with pytest.raises(SchemaDrift, match="may not read the row versions of lab.person"):
        lab.run()
    assert lab.ledger("select * from ledger.watermark") == []
    (finding,) = compare_with_databases(lab.folder, [lab.job]).findings
    grant, _, other = finding.allowed.partition(" or ")
    assert "source.window" in other
    lab.sql("mdm", grant)

    assert lab.run().counts.inserted_rows == 1
    lab.hub(person("p2"))
    assert lab.run().counts.extracted_rows == 1


def test_where_only_columns_are_granted_a_declared_window_is_used(lab: Lab) -> None:
    lab.manifest["source"]["window"] = WINDOW
    lab.sql("mdm", "revoke select on lab.person from syncline_reader")
    lab.sql("mdm", f"grant select ({COLUMNS}) on lab.person to syncline_reader")
    lab.hub(person("p1", at="2026-01-01 00:00Z"))
    lab.run()
    lab.hub(person("p2"))

    done = lab.run()

    assert (done.mode, done.counts.extracted_rows) == (Mode.INCREMENTAL, 1)


FOREIGN = """
create foreign data wrapper lab_elsewhere;
create server lab_elsewhere foreign data wrapper lab_elsewhere;
create foreign table lab.far (tenant_id text not null, person_id text not null, name text, born text,
    updated_at timestamptz not null, is_deleted boolean not null) server lab_elsewhere;
grant select on lab.far to syncline_reader;
"""


def test_rows_of_another_server_have_no_row_versions(lab: Lab) -> None:
    lab.sql("mdm", "drop foreign data wrapper if exists lab_elsewhere cascade")
    lab.sql("mdm", FOREIGN)
    try:
        lab.manifest["source"]["table"] = "lab.far"
        with pytest.raises(SchemaDrift, match="lab.far is a foreign table: it has no row versions of its own"):
            lab.run()
        lab.sql("mdm", "alter foreign table lab.far inherit lab.person")
        lab.manifest["source"]["table"] = "lab.person"
        with pytest.raises(SchemaDrift, match="lab.person has partitions that are foreign tables"):
            lab.run()
    finally:
        lab.sql("mdm", "drop foreign data wrapper lab_elsewhere cascade")
