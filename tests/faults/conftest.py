"""The lab of tests/integration, with a network between the line and its databases that may be broken."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo.servers import EmbeddedServer
from demo.world.provision import LOGIN_ROLES, provision
from tests.conftest import ROOT
from tests.faults.faultproxy import FaultProxy
from tests.faults.invariants import invariants
from tests.integration.conftest import SOURCE_DDL, Lab, lab, lab_on, world_uris

__all__ = ["lab", "world_uris"]  # fixtures


@contextmanager
def server_of_its_own() -> Iterator[EmbeddedServer]:
    """A server that may be crashed or turned back; nothing of it is left."""
    folder = ROOT / "var" / "test" / f"crash-{os.getpid()}"
    server = EmbeddedServer(folder)
    try:
        with server:
            yield server
    finally:
        for left in folder.parent.glob(f"{folder.name}*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()


@pytest.fixture
def own_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Lab, EmbeddedServer]]:
    """A lab on a server of its own."""
    with server_of_its_own() as server:
        uris = provision(server.admin_conninfo, {role: uuid.uuid4().hex for role in LOGIN_ROLES}, tenants=["t1"])
        yield lab_on(server.admin_conninfo, uris, tmp_path, monkeypatch), server


@pytest.fixture
def own_hub(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Lab, EmbeddedServer]]:
    """The lab, its hub on a server of its own; target and ledger where they were."""
    with server_of_its_own() as server:
        uris = provision(server.admin_conninfo, {role: uuid.uuid4().hex for role in LOGIN_ROLES}, tenants=["t1"])
        monkeypatch.setenv("AIRFLOW_CONN_MDM", uris["MDM"])
        lab.elsewhere["mdm"] = server.admin_conninfo
        lab.sql("mdm", SOURCE_DDL)
        yield lab, server


@pytest.fixture(autouse=True)
def what_holds_at_every_instant(request: pytest.FixtureRequest) -> Iterator[None]:
    """Asked after each test, whatever it has done to the lab."""
    lab: Lab | None = request.getfixturevalue("lab") if "lab" in request.fixturenames else None
    yield
    if lab is not None:
        invariants(lab)


class Network:
    """One proxy before each of the three databases, by the name of its connection."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.proxies: dict[str, FaultProxy] = {}
        for name in ("MDM", "PAYROLL", "LEDGER"):
            variable = f"AIRFLOW_CONN_{name}"
            proxy = FaultProxy.before(os.environ[variable])
            monkeypatch.setenv(variable, proxy.uri(os.environ[variable]))
            self.proxies[name.lower()] = proxy

    def __getitem__(self, name: str) -> FaultProxy:
        return self.proxies[name]

    def close(self) -> None:
        for proxy in self.proxies.values():
            proxy.close()


@pytest.fixture
def network(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    made = Network(monkeypatch)
    yield made
    made.close()
