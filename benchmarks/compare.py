"""Time the comparison of two tables, equal and with 100 differences, against one checksum of each and against other
tools, on one machine, in one run.

    .venv/bin/python benchmarks/compare.py [--rows N] [--rounds N] [--skip-peers]

The contenders take turns in every round; medians are compared. A contender has to report exactly the rows that differ.
Absolute seconds belong to the machine, ratios travel. The last line printed is one JSON object; README.md says how to
read it.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import _compare_peers, _programs, _two_tables
from benchmarks._ratios import comparison_ratios, medians
from benchmarks._two_tables import DIFF100, EQUAL, Case
from benchmarks._world import World, introduce, running, say
from demo.problems import DemoError

ROWS_DEFAULT = 2_000_000
ROWS_MIN = 200  # of which 80 differ
ROUNDS_DEFAULT = 2
CONTENDERS = ("limit", "step", "command", *_compare_peers.PEERS)


def main() -> None:
    """Measure and print; the exit code says only whether we and the limit could be measured."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # leave through the `finally`s
    try:
        with running(options.rows, say) as world:
            measured = Measuring(world, options).all_rounds()
    except (DemoError, _programs.Failed) as problem:
        sys.exit(f"benchmarks/compare.py: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)
    _show(measured)
    print(json.dumps(comparison_ratios(measured)))


class Measuring:
    """All rounds of both cases. A peer that cannot be installed, or fails, is left out from there on; why is said."""

    def __init__(self, world: World, options: argparse.Namespace) -> None:
        self._world, self._rounds = world, options.rounds
        introduce(world, options.rows, options.rounds)
        self._peers = {} if options.skip_peers else self._installed()

    def all_rounds(self) -> dict[str, float]:
        """Medians: seconds by case and contender, and memory in MB."""
        measured = []
        say("first load of the copy, untimed ...")
        _two_tables.first_load(self._world)
        for case in (EQUAL, DIFF100):
            if case is DIFF100:
                self._world.happen_in_warehouse("differences.sql")
            _two_tables.run_limit(self._world, case)  # untimed: everybody finds warm caches
            for number in range(1, self._rounds + 1):
                say(f"{case.name}, round {number}:")
                measured.append(self._round(case))
        return medians(measured)

    def _round(self, case: Case) -> dict[str, float]:
        measured = {"limit": _two_tables.run_limit(self._world, case)}
        say(f"  limit                {measured['limit']:7.2f} s")
        measured["step"], measured["rss_mb"] = _two_tables.run_our_step(self._world, case)
        measured["command"] = _two_tables.run_our_command(self._world, case)
        told = f"(whole `syncline diff` {measured['command']:.2f} s; {measured['rss_mb']:.0f} MB)"
        say(f"  syncline             {measured['step']:7.2f} s {told}")
        for name, run in list(self._peers.items()):
            try:
                ran = run(self._world, case)
            except (_programs.Failed, ValueError, OSError) as problem:
                self._leave_out(name, problem)
                continue
            measured |= {name: ran.seconds, f"{name}_mb": ran.rss_mb}
            say(f"  {name:20} {ran.seconds:7.2f} s ({ran.rss_mb:.0f} MB)")
        return {f"{case.name}_{name}": value for name, value in measured.items()}

    def _installed(self) -> dict[str, _compare_peers.Run]:
        try:
            _compare_peers.install(say)
            say("peers: " + ", ".join(f"{name} {version}" for name, version in _compare_peers.versions().items()))
        except (subprocess.CalledProcessError, OSError) as problem:
            say(f"peers: not measured: {problem}")
            return {}
        return dict(_compare_peers.PEERS)

    def _leave_out(self, name: str, problem: Exception) -> None:
        del self._peers[name]
        say(f"  {name:20} not measured: {problem}")


def _show(measured: dict[str, float]) -> None:
    print("\nmedians                seconds  x limit       MB")
    for case in (EQUAL, DIFF100):
        limit = measured[f"{case.name}_limit"]
        for contender in CONTENDERS:
            name = f"{case.name}_{contender}"
            if name in measured:
                memory = measured.get(f"{case.name}_{'rss' if contender == 'step' else contender}_mb")
                shown = f"{memory:8.0f}" if memory is not None else ""
                print(f"{name:20} {measured[name]:9.2f} {measured[name] / limit:8.2f} {shown}".rstrip())
    print()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=ROWS_DEFAULT, help=f"rows in the hub (default {ROWS_DEFAULT:,})")
    parser.add_argument("--rounds", type=int, default=ROUNDS_DEFAULT, help=f"default {ROUNDS_DEFAULT}")
    parser.add_argument("--skip-peers", action="store_true", help="without reladiff and the data validator")
    options = parser.parse_args()
    if options.rows < ROWS_MIN or options.rounds < 1:
        parser.error(f"--rows is at least {ROWS_MIN}, --rounds at least 1")
    return options


if __name__ == "__main__":
    main()
