"""The proxy does to a real session what it says: a fault test is worth as much as its fault."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from time import monotonic
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.conftest import Postgres
from tests.faults.faultproxy import FaultProxy, Frames, is_commit


@pytest.fixture
def proxy(pg: Postgres) -> Iterator[FaultProxy]:
    with FaultProxy.before(pg.admin_conninfo) as made:
        yield made


@pytest.fixture
def session(pg: Postgres, proxy: FaultProxy) -> Iterator[psycopg.Connection]:
    made = psycopg.connect(proxy.uri(pg.admin_conninfo))
    yield made
    made.close()


@pytest.fixture
def table(pg: Postgres) -> Iterator[sql.Identifier]:
    with psycopg.connect(pg.admin_conninfo, autocommit=True) as admin:
        admin.execute("create table proxied (n int)")
        yield sql.Identifier("proxied")
        admin.execute("drop table proxied")


def rows(pg: Postgres, table: sql.Identifier) -> list[tuple[Any, ...]]:
    with psycopg.connect(pg.admin_conninfo) as admin:
        return admin.execute(sql.SQL("select n from {} order by 1").format(table)).fetchall()


def test_it_forwards_in_both_directions(session: psycopg.Connection) -> None:
    sent = "x" * 3_000_000
    assert session.execute("select %s", [sent]).fetchone() == (sent,)


def test_two_sessions_do_not_disturb_each_other(pg: Postgres, proxy: FaultProxy, session: psycopg.Connection) -> None:
    with psycopg.connect(proxy.uri(pg.admin_conninfo)) as other:
        assert session.info.backend_pid != other.info.backend_pid
    assert session.execute("select 1").fetchone() == (1,)
    assert proxy.accepted == 2


def test_reset_cuts_a_session_at_once_and_lets_the_next_one_pass(
    pg: Postgres, proxy: FaultProxy, session: psycopg.Connection
) -> None:
    proxy.reset()
    with pytest.raises(psycopg.OperationalError) as cut:
        session.execute("select 1")
    assert cut.value.sqlstate is None
    with psycopg.connect(proxy.uri(pg.admin_conninfo)) as other:
        assert other.execute("select 1").fetchone() == (1,)


def test_a_blackhole_answers_nothing_and_cuts_nothing(
    pg: Postgres, proxy: FaultProxy, session: psycopg.Connection
) -> None:
    proxy.blackhole()
    answered = threading.Event()

    def ask() -> None:
        with suppress(psycopg.Error):
            session.execute("select 1")
        answered.set()

    threading.Thread(target=ask, daemon=True).start()
    began = monotonic()
    with pytest.raises(psycopg.errors.ConnectionTimeout):
        psycopg.connect(proxy.uri(pg.admin_conninfo), connect_timeout=2)
    assert monotonic() - began >= 1.5
    assert not answered.is_set()
    proxy.heal()
    assert answered.wait(5)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_connection_is_cut_after_so_many_bytes_of_one_direction(
    proxy: FaultProxy, session: psycopg.Connection, direction: Any
) -> None:
    proxy.cut_after_bytes(100_000, direction)
    assert session.execute("select 1").fetchone() == (1,)  # a few bytes still pass
    said = {"up": ["select length(%s)", ["x" * 200_000]], "down": ["select repeat('x', 200000)", []]}[direction]
    with pytest.raises(psycopg.OperationalError):
        session.execute(*said)  # type: ignore[arg-type]


def test_delay_and_bandwidth_make_it_slower_and_not_wrong(proxy: FaultProxy, session: psycopg.Connection) -> None:
    proxy.delay(0.1)
    began = monotonic()
    assert session.execute("select 1").fetchone() == (1,)
    assert monotonic() - began >= 0.2  # there and back
    proxy.heal()
    proxy.bandwidth(1_000_000)
    began = monotonic()
    assert session.execute("select length(repeat('x', 300000)), repeat('x', 300000)").fetchone() == (
        300_000,
        "x" * 300_000,
    )
    assert monotonic() - began >= 0.25


@pytest.mark.parametrize(("fault", "kept"), [("drop_reply_to_commit", [(1,), (2,)]), ("drop_commit", [(1,)])])
def test_a_commit_is_cut_on_either_side_of_its_effect(
    pg: Postgres, proxy: FaultProxy, session: psycopg.Connection, table: sql.Identifier, fault: str, kept: list[Any]
) -> None:
    insert = sql.SQL("insert into {} values (%s)").format(table)
    session.execute(insert, [1])
    session.commit()
    session.execute(insert, [2])
    getattr(proxy, fault)()
    with pytest.raises(psycopg.OperationalError) as cut:
        session.commit()
    assert (cut.value.sqlstate, proxy.swallowed_commits) == (None, 1)
    assert rows(pg, table) == kept


def test_the_commit_of_a_transaction_block_is_seen_as_well(
    pg: Postgres, proxy: FaultProxy, session: psycopg.Connection, table: sql.Identifier
) -> None:
    session.autocommit = True
    proxy.drop_reply_to_commit()
    with pytest.raises(psycopg.OperationalError), session.transaction():
        session.execute(sql.SQL("insert into {} values (3)").format(table))
    assert rows(pg, table) == [(3,)]


def test_messages_are_found_however_the_stream_is_cut() -> None:
    def message(kind: bytes, body: bytes) -> bytes:
        return kind + (len(body) + 4).to_bytes(4, "big") + body

    start = message(b"", b"\0\3\0\0user\0a\0\0")
    stream = start + message(b"d", b"x" * 5_000) + message(b"Q", b"COMMIT\0") + message(b"P", b"s1\0commit;\0\0\0")
    for step in (1, 3, 7, 4_096, len(stream)):
        frames = Frames(has_start=True)
        found = [each for at in range(0, len(stream), step) for each in frames.feed(stream[at : at + step])]
        assert [kind for kind, _ in found] == [b"", b"d", b"Q", b"P"]
        assert [is_commit(each) for each in found] == [False, False, True, True]
    assert not is_commit((b"Q", b"select 'COMMIT'\0"))
