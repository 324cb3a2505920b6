"""The embedded PostgreSQL: private, durable, repeatable, and never left behind."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from demo.problems import DemoError, free_port, is_free
from demo.servers import EmbeddedServer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def server(tmp_path):
    server = EmbeddedServer(tmp_path / "postgres")
    yield server
    server.stop()


def ask(server: EmbeddedServer, query: str) -> object:
    with psycopg.connect(server.admin_conninfo) as connection:
        return connection.execute(query).fetchone()[0]


def test_it_answers_on_loopback_only_and_asks_for_a_password(server):
    server.start()

    assert ask(server, "show listen_addresses") == "127.0.0.1"
    assert ask(server, "show unix_socket_directories") == ""
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(f"postgresql://postgres:guess@127.0.0.1:{server.port}/postgres")
    assert stat.S_IMODE((server.data_dir.parent / "postgres.password").stat().st_mode) == 0o600


def test_it_is_set_up_for_change_data_capture_and_keeps_what_it_confirmed(server):
    server.start()

    assert ask(server, "show wal_level") == "logical"
    assert ask(server, "show fsync") == "on"
    assert ask(server, "show synchronous_commit") == "on"


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_committed_rows_are_there_after_the_next_start(server, end):
    server.start()
    with psycopg.connect(server.admin_conninfo) as connection:
        connection.execute("create table kept as select 1 as n")
    getattr(server, end)()
    server.start()

    assert ask(server, "select n from kept") == 1


def test_it_keeps_its_port_from_one_start_to_the_next(server):
    first = server.start().port
    server.stop()

    assert EmbeddedServer(server.data_dir)._choose_port() == first


def test_a_taken_port_is_one_sentence_that_says_what_to_do(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(DemoError, match=f"port {port} .* is taken .* SYNCLINE_PG_PORT"):
            EmbeddedServer(tmp_path / "postgres", port).start()


def test_an_interrupted_initdb_is_begun_again(server):
    unfinished = server.data_dir.with_name("postgres.new")
    (unfinished / "base").mkdir(parents=True)

    assert ask(server.start(), "select 1") == 1
    assert not unfinished.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the tether needs Linux")
def test_it_ends_with_the_process_that_started_it_even_by_kill_9(tmp_path):
    port = free_port()
    script = (
        "import sys, time; from demo.servers import EmbeddedServer;"
        f" EmbeddedServer({str(tmp_path / 'postgres')!r}, {port}).start(); print('up', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE) as owner:
        came_up = owner.stdout.readline()
        was_free = is_free(port)
        os.kill(owner.pid, signal.SIGKILL)
    assert (came_up, was_free) == (b"up\n", False)
    deadline = time.monotonic() + 20
    while not is_free(port) and time.monotonic() < deadline:
        time.sleep(0.1)

    assert is_free(port)


def test_a_start_right_after_the_owner_was_killed_takes_over(tmp_path):
    script = (
        "import os, signal; from demo.servers import EmbeddedServer;"
        f" EmbeddedServer({str(tmp_path / 'postgres')!r}).start(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)

    with EmbeddedServer(tmp_path / "postgres") as server:
        assert ask(server, "select 1") == 1
