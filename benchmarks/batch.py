"""Time whole batches against plain COPY and against other tools, on one machine, in one run: the first load, and the
second run when 1 % of the rows have changed.

    .venv/bin/python benchmarks/batch.py [--rows N] [--rounds N] [--part first|rerun] [--skip-peers]

The contenders take turns in every round and find the same warehouse; medians are compared. Absolute seconds belong
to the machine, ratios travel. The last line printed is one JSON object; README.md says how to read it.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import _first_load, _peers, _programs
from benchmarks._ratios import medians, ratios
from benchmarks._second_run import SecondRun
from benchmarks._world import World, introduce, running, say
from demo.problems import DemoError

ROWS_DEFAULT = 2_000_000
ROUNDS_DEFAULT = 2
PARTS = ("first", "rerun")
SHOWN = {  # measure -> what it is compared with
    **dict.fromkeys(("limit", *_first_load.STEPS, "first_load", "syncline_run", "sling", "dlt"), "limit"),
    **dict.fromkeys(("limit_again", "incremental", "incremental_run", "rerun", "rerun_run"), "limit_again"),
    **dict.fromkeys(("key_set", "key_set_run", "sling_incremental", "dlt_incremental"), "limit_again"),
}


def main() -> None:
    """Measure and print; the exit code says only whether everything could be measured."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # leave through the `finally`s
    try:
        with running(options.rows, say) as world:
            if not options.skip_peers:
                _peers.install(say)
            introduce(world, options.rows, options.rounds)
            if not options.skip_peers:
                say("peers: " + ", ".join(f"{name} {version}" for name, version in _peers.versions().items()))
            floor = _first_load.warm_up(world)
            seconds = medians(_rounds(world, options))
    except (DemoError, _programs.Failed) as problem:
        sys.exit(f"benchmarks/batch.py: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)
    _show(seconds)
    print(json.dumps({**ratios(seconds), "worker_rss_floor_mb": round(floor, 2)}))


def _rounds(world: World, options: argparse.Namespace) -> list[dict[str, float]]:
    measured: list[dict[str, float]] = []
    if "first" in options.part:
        for number in range(1, options.rounds + 1):
            say(f"first load, round {number}:")
            measured.append(_first_load.measure(world, say, with_peers=not options.skip_peers))
    if "rerun" in options.part:
        second = SecondRun(world, say, with_peers=not options.skip_peers)
        second.prepare()
        for number in range(1, options.rounds + 1):
            say(f"second run, round {number}:")
            measured.append(second.measure())
    return measured


def _show(seconds: dict[str, float]) -> None:
    print("\nmedians                seconds  x limit")
    for name, limit in SHOWN.items():
        if name in seconds:
            print(f"{name:20} {seconds[name]:9.2f} {seconds[name] / seconds[limit]:8.2f}")
    print()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS_DEFAULT, help=f"rows in the hub (default {ROWS_DEFAULT:,})")
    parser.add_argument("--rounds", type=int, default=ROUNDS_DEFAULT, help=f"default {ROUNDS_DEFAULT}")
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part; default: all")
    parser.add_argument("--skip-peers", action="store_true", help="without Sling and dlt")
    options = parser.parse_args()
    if options.rows < 1 or options.rounds < 1:
        parser.error("--rows and --rounds are at least 1")
    options.part = options.part or PARTS
    return options


if __name__ == "__main__":
    main()
