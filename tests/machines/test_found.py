"""What the machines have found, written down: each of these lost or spoiled rows once."""

from __future__ import annotations

import pytest

from tests.machines.hub import Change
from tests.machines.world import ANCHOR, REFUSED, World

ONE, TWO = ("t1", "p1"), ("t2", "p1")


def test_a_change_after_a_future_dated_one_arrives(world: World) -> None:
    """By its version it is older; but the row stands as this job read it before, so it is the clock that went back."""
    world.hub.write(Change(ANCHOR), Change(ONE, clock="ahead"))
    world.settle(is_replayed=False)
    world.hub.write(Change(ONE))
    world.settle(is_replayed=False)


def test_a_change_that_bears_a_time_of_last_week_arrives(world: World) -> None:
    """The cursor's index does not lead to it."""
    world.hub.write(Change(ANCHOR), Change(ONE))
    world.settle(is_replayed=False)
    world.hub.write(Change(ONE, clock="long ago"), Change(TWO, clock="long ago"))
    world.settle(is_replayed=False)


@pytest.mark.parametrize(
    "place", ["", "load.before_ledger"], ids=["one tenant was run by it", "it died after its load"]
)
def test_what_a_withdrawn_mapping_wrote_is_written_anew(world: World, place: str) -> None:
    """No watermark tells of it: it stands where it stood before, under the mapping that came back."""
    world.hub.write(Change(ANCHOR), Change(ONE))
    world.settle(is_replayed=False)
    world.map("in capitals")
    world.run("incremental" if place else "one tenant, full", place=place)
    world.map("as it is")
    world.settle(is_replayed=False)


def test_a_refused_tenant_with_nothing_but_deleted_rows_stops_no_full_run(world: World) -> None:
    world.hub.write(Change(ANCHOR), Change((REFUSED, "p1"), "flag"))
    world.settle("full")


def test_a_run_of_one_tenant_that_compares_keys_removes_no_row_of_another(world: World) -> None:
    world.delete_by("hard", flag=False, key_set="every_run")
    world.hub.write(Change(ANCHOR), Change(ONE), Change(TWO))
    world.settle(is_replayed=False)
    world.vanish(TWO)
    world.run("one tenant")
    assert {*world.alive()} == {ANCHOR, ONE}
