"""The second run: 1 % of the hub's rows have changed since everybody loaded all of them.

Each contender loads once, untimed, and finds that state again in every round. Every measurement is followed by a
comparison of its rows with the hub's: see _equality.py.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from benchmarks import _contenders, _peers, _programs
from benchmarks._equality import Held, missed_deletes
from benchmarks._first_load import STEPS
from benchmarks._world import FOLDER, KEY_SET, MOVING, Say, World

# A row that the mapping refuses waits in the dead letters; the view written by hand passes it on without its date.
OURS = Held(_contenders.OUR_TABLE, where="not is_deleted", of_view="start_date is not null")
SLING, DLT = Held(_peers.SLING_TABLE), Held(_peers.DLT_TABLE)
DLT_STATE_KEPT = FOLDER / "dlt.loaded"


@dataclass(frozen=True)
class Way:
    """One of our ways to do a second run: the measure's name, the mode, and when vanished rows are looked for."""

    name: str
    mode: str
    key_set: str = KEY_SET

    @property
    def loaded(self) -> str:
        """Its starting state: a manifest that says something else is another job's copy."""
        return f"ours_{self.key_set}"


INCREMENTAL, RERUN, EVERY_KEY = (
    Way("incremental", "incremental"),
    Way("rerun", "full"),
    Way("key_set", "incremental", "every_run"),
)


class SecondRun:
    """The starting states, made once, and the rounds that begin from them."""

    def __init__(self, world: World, say: Say, *, with_peers: bool) -> None:
        self._world, self._say, self._with_peers = world, say, with_peers

    def prepare(self) -> None:
        """Everybody loads all rows; then the hub changes."""
        self._say("second run: everybody loads all rows, untimed ...")
        self._world.moving_hub()
        for way in (INCREMENTAL, EVERY_KEY):
            self._world.fresh_warehouse()
            _contenders.run_ours(self._world, "full", hub=MOVING, key_set=way.key_set)
            self._world.keep_warehouse(way.loaded)
        if self._with_peers:
            self._world.fresh_warehouse()
            _peers.load_by_sling(self._world, hub=MOVING)
            self._world.keep_warehouse("sling")
            self._world.fresh_warehouse()
            _peers.forget_dlt()
            _peers.load_by_dlt(self._world, "start", hub=MOVING)
            self._world.keep_warehouse("dlt")
            shutil.rmtree(DLT_STATE_KEPT, ignore_errors=True)
            shutil.copytree(_peers.DLT_STATE, DLT_STATE_KEPT)
        self._world.happen("changes.sql")

    def measure(self) -> dict[str, float]:
        """Seconds of one round."""
        measured = {"limit_again": self._limit(), **self._ours(INCREMENTAL)}
        if self._with_peers:
            measured["sling_incremental"] = self._sling()
            measured["dlt_incremental"] = self._dlt()
        self._world.happen("removals.sql")  # which an incremental run cannot see, whoever's
        measured |= {**self._ours(RERUN), **self._ours(EVERY_KEY)}
        self._world.happen("put_back.sql")
        return measured

    def _limit(self) -> float:
        self._world.fresh_warehouse()
        self._world.unmapped_table()
        seconds = _contenders.run_limit(self._world, hub=MOVING)
        self._say(f"  limit                {seconds:7.1f} s")
        return seconds

    def _ours(self, way: Way) -> dict[str, float]:
        self._world.loaded_warehouse(way.loaded)
        ours = _contenders.run_ours(self._world, way.mode, hub=MOVING, key_set=way.key_set)
        steps = ", ".join(f"{step} {ours[step]:.1f}" for step in STEPS if step in ours)
        told = f"({steps}; whole run {ours['run']:.1f})"
        self._say(f"  syncline {way.name:11} {ours['batch']:7.1f} s {told}{self._checked(OURS)}")
        return {way.name: ours["batch"], f"{way.name}_run": ours["run"], f"{way.name}_rss_mb": ours["rss_mb"]}

    def _sling(self) -> float:
        self._world.loaded_warehouse("sling")
        seconds = _peers.load_by_sling(self._world, "incremental", hub=MOVING)
        self._say(f"  sling incremental    {seconds:7.1f} s{self._checked(SLING)}")
        return seconds

    def _dlt(self) -> float:
        self._world.loaded_warehouse("dlt")
        _peers.forget_dlt()
        shutil.copytree(DLT_STATE_KEPT, _peers.DLT_STATE)
        seconds = _peers.load_by_dlt(self._world, "merge", hub=MOVING)
        self._say(f"  dlt incremental      {seconds:7.1f} s{self._checked(DLT)}")
        return seconds

    def _checked(self, held: Held) -> str:
        missed = missed_deletes(self._world, held)
        if held is OURS and missed:
            raise _programs.Failed(f"{missed} rows that the hub has no more are still in {held.table}")
        return f"; missed {missed} deletes" if missed else ""
