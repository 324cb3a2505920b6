"""The first load: everybody finds an empty warehouse."""

from __future__ import annotations

from benchmarks import _contenders, _peers, _programs
from benchmarks._world import HUB, WAREHOUSE, Say, World

STEPS = ("extract_and_map", "load", "reconcile", "publish")


def warm_up(world: World) -> float:
    """One tenant's batch: fills caches for everybody, and shows the memory that a run needs whatever its size."""
    _limit(world)
    (tenant,) = world.ask(HUB, "select tenant_id from mdm.assignment limit 1")
    world.fresh_warehouse()
    return _contenders.run_ours(world, "full", "--tenant", str(tenant))["rss_mb"]


def measure(world: World, say: Say, *, with_peers: bool) -> dict[str, float]:
    """Seconds of one round."""
    measured = {"limit": _limit(world)}
    say(f"  limit                {measured['limit']:7.1f} s")
    world.fresh_warehouse()
    ours = _contenders.run_ours(world, "full")
    measured |= {step: ours[step] for step in STEPS if step in ours}
    measured |= {"first_load": ours["batch"], "syncline_run": ours["run"], "first_load_rss_mb": ours["rss_mb"]}
    steps = ", ".join(f"{step} {ours[step]:.1f}" for step in STEPS if step in ours)
    say(f"  syncline             {ours['batch']:7.1f} s ({steps}; whole run {ours['run']:.1f})")
    if with_peers:
        world.fresh_warehouse()
        measured["sling"] = _peers.load_by_sling(world)
        _expect_all(world, _peers.SLING_TABLE)
        say(f"  sling                {measured['sling']:7.1f} s")
        world.fresh_warehouse()
        _peers.forget_dlt()
        measured["dlt"] = _peers.load_by_dlt(world)
        _expect_all(world, _peers.DLT_TABLE)
        say(f"  dlt                  {measured['dlt']:7.1f} s")
    return measured


def _limit(world: World) -> float:
    world.fresh_warehouse()
    world.unmapped_table()
    return _contenders.run_limit(world)


def _expect_all(world: World, table: str) -> None:
    wanted = world.ask(HUB, "select count(*) from mdm.assignment_by_hand")
    found = world.ask(WAREHOUSE, f"select count(*) from {table}")
    if wanted != found:
        raise _programs.Failed(f"{table} has {found[0]} rows, the hub {wanted[0]}")
