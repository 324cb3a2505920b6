"""The lab of tests/integration, and the world of machines in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.conftest import Lab, lab, world_uris
from tests.machines.world import World

__all__ = ["lab", "world_uris"]


@pytest.fixture
def world(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(lab, monkeypatch)
    try:
        made.reset()
        yield made
    finally:
        made.close()
