"""A small demo world with all its jobs run once: what a reader of the documents has in front of them."""

from __future__ import annotations

import base64
import os
import subprocess
import uuid
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from demo.world.generate import generate
from demo.world.provision import DATABASES, LOGIN_ROLES, provision
from syncline.core.job_files import job_ids
from tests.conftest import ROOT, Postgres


@pytest.fixture(scope="session")
def demo_world(pg: Postgres, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment of a demo world whose jobs have all been published once."""
    with psycopg.connect(pg.admin_conninfo, autocommit=True) as admin:
        for database in DATABASES:  # the lab of tests/integration may have used them
            admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(database.name)))
    uris = provision(pg.admin_conninfo, {role: uuid.uuid4().hex for role in LOGIN_ROLES})
    generate(make_conninfo(pg.admin_conninfo, dbname="mdm"), workers=600, clients=20, contracts=700)
    var: Path = tmp_path_factory.mktemp("var")
    environment = {
        **{f"AIRFLOW_CONN_{name}": uri for name, uri in uris.items()},
        "SYNCLINE_PAYLOAD_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "SYNCLINE_VAR": str(var),
    }
    for job_id in job_ids(ROOT):
        subprocess.run(
            [ROOT / ".venv" / "bin" / "syncline", "run", job_id],
            env={**os.environ, **environment}, check=True, capture_output=True, timeout=120,
        )  # fmt: skip
    return environment
