"""One real PostgreSQL for all tests: the embedded one, started once, thrown away at the end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from demo.servers import EmbeddedServer

ROOT = Path(__file__).resolve().parents[1]


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
    folder = ROOT / "var" / "test" / f"pg-{os.getpid()}"
    server = EmbeddedServer(folder)
    try:
        with server:
            yield Postgres(server.admin_conninfo)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
