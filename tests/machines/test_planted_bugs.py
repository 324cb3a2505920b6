"""Test the tests: each known bug of batches is planted, and must be seen.

A scenario written down shows each of them; the machines find some by themselves, from any seed.
"""

from __future__ import annotations

import pytest
from hypothesis.errors import Flaky

from tests.machines.planted import BUGS, Patch
from tests.machines.seeds import search
from tests.machines.test_line import Line
from tests.machines.world import World

OF_BATCHES = {  # of the list in the fault list's section 4
    "naive > watermark", ">= without tie key", "offset committed before effect", "no fencing", "count-only reconcile",
    "retry of permanent error", "DLQ failure ignored", "delete marker dropped early", "tenant check only in SQL text",
    "gate opens on zero rows", "resume inside a bulk statement", "bound/read split", "tie checkpoint", "chunk drift",
}  # fmt: skip
OF_CHANGE_DATA_CAPTURE = {  # no batch can have these
    "global LSN filter", "LSN-set dedupe", "TOAST to NULL", "lost wakeup", "slot recreation", "flush before durable",
    "buffered tables dropped on schema rebuild",
}  # fmt: skip
MORE = {
    "watermark moved at extract", "merge without version guard", "balance from the loader's own counter",
    "tie checkpoint, after a crash", "count-only reconcile, of values",
}  # fmt: skip


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_seen(world: World, monkeypatch: Patch, name: str) -> None:
    bug = BUGS[name]
    bug.around(world, monkeypatch)
    bug.plant(world, monkeypatch)

    with pytest.raises(AssertionError):
        bug.play(world)


@pytest.mark.long
@pytest.mark.parametrize("name", BUGS)
def test_without_the_bug_there_is_nothing_to_see(world: World, monkeypatch: Patch, name: str) -> None:
    bug = BUGS[name]
    bug.around(world, monkeypatch)
    bug.play(world)


@pytest.mark.parametrize(
    "name",
    ["naive > watermark", *(pytest.param(name, marks=pytest.mark.long) for name in
                            ("DLQ failure ignored", "watermark moved at extract"))],
)  # fmt: skip
def test_the_machine_finds_a_planted_bug_from_any_seed(
    world: World, monkeypatch: Patch, request: pytest.FixtureRequest, name: str
) -> None:
    BUGS[name].plant(world, monkeypatch)
    with pytest.raises((AssertionError, Flaky)):  # a clock that goes on may let the same steps pass the second time
        search(request, lambda: Line(world), examples=40)


def test_each_planted_bug_of_batches_has_its_test() -> None:
    assert set(BUGS) == OF_BATCHES | MORE
    assert not set(BUGS) & OF_CHANGE_DATA_CAPTURE
