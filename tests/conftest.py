"""One real PostgreSQL for all tests: the embedded one, started once, thrown away at the end.

Tests of what runs in other people's databases run on the oldest PostgreSQL that is supported too: the one whose
superuser's URI SYNCLINE_TEST_PG15 holds, or one of version 15 that is installed on this machine.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from demo.servers import EmbeddedServer

os.environ["SYNCLINE_DESPITE_WINDOWS"] = "1"  # tests run at any hour; those about closed hours take it away
ROOT = Path(__file__).resolve().parents[1]
PG15_URI = os.environ.get("SYNCLINE_TEST_PG15", "")
# Where the packages of Debian, Red Hat and Homebrew put it.
PG15_PROGRAMS = next(
    (
        Path(folder)
        for folder in ("/usr/lib/postgresql/15/bin", "/usr/pgsql-15/bin", "/opt/homebrew/opt/postgresql@15/bin",
                       "/usr/local/opt/postgresql@15/bin")
        if Path(folder, "initdb").is_file()
    ),
    None,
)  # fmt: skip
SERVERS = [
    "embedded",
    pytest.param("pg15", marks=pytest.mark.skipif(
        not PG15_URI and PG15_PROGRAMS is None, reason="no PostgreSQL 15 is installed, and SYNCLINE_TEST_PG15 names none",
    )),
]  # fmt: skip


@dataclass(frozen=True)
class Postgres:
    """A server that tests may do anything to."""

    admin_conninfo: str

    def create_database(self, name: str) -> str:
        """A fresh database; returns its superuser conninfo."""
        with psycopg.connect(self.admin_conninfo, autocommit=True) as admin:
            admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
            admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        return make_conninfo(self.admin_conninfo, dbname=name)


@pytest.fixture(scope="session")
def pg() -> Iterator[Postgres]:
    with _thrown_away(EmbeddedServer(ROOT / "var" / "test" / f"pg-{os.getpid()}")) as server:
        yield server


@pytest.fixture(scope="session")
def pg15() -> Iterator[Postgres]:
    if PG15_URI:
        yield Postgres(PG15_URI)
        return
    with _thrown_away(EmbeddedServer(ROOT / "var" / "test" / f"pg15-{os.getpid()}", programs=PG15_PROGRAMS)) as server:
        yield server


@contextmanager
def _thrown_away(server: EmbeddedServer) -> Iterator[Postgres]:
    try:
        with server:
            yield Postgres(server.admin_conninfo)
    finally:
        shutil.rmtree(server.data_dir, ignore_errors=True)


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Postgres:
    """Each PostgreSQL that a test of compiled SQL has to hold on."""
    found: Postgres = request.getfixturevalue("pg" if request.param == "embedded" else "pg15")
    return found
