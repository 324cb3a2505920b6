"""Time a whole batch against plain COPY and against other tools, on one machine, in one run.

    .venv/bin/python benchmarks/batch.py [--rows N] [--rounds N] [--skip-peers]

The contenders take turns in every round and find the same empty warehouse; medians are compared. Absolute seconds
belong to the machine, ratios travel. The last line printed is one JSON object; README.md says how to read it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import _peers, _programs
from benchmarks._ratios import medians, ratios
from benchmarks._world import FOLDER, HUB, JOB, WAREHOUSE, World, running
from demo.problems import DemoError

ROWS_DEFAULT = 2_000_000
ROUNDS_DEFAULT = 2
STEPS = ("extract_and_map", "load", "reconcile", "publish")
ATTEMPTS = """
    select coalesce(jsonb_object_agg(step, extract(epoch from ended_at - started_at)), '{}'),
           extract(epoch from max(ended_at) - (select max(opened_at) from ledger.batch)),
           (select (batch_id, state, verdict, extracted_rows, rejected_rows, inserted_rows)::text
            from ledger.batch order by batch_id desc limit 1)
    from ledger.attempt where batch_id = (select max(batch_id) from ledger.batch) and outcome = 'done'
"""


def main() -> None:
    """Measure and print; the exit code says only whether everything could be measured."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # leave through the `finally`s
    try:
        with running(options.rows, say) as world:
            if not options.skip_peers:
                _peers.install(say)
            _introduce(world, options)
            floor = _warm_up(world)
            rounds = [_round(world, number, options) for number in range(1, options.rounds + 1)]
    except (DemoError, _programs.Failed) as problem:
        sys.exit(f"benchmarks/batch.py: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)
    seconds = medians(rounds)
    _show(seconds)
    print(json.dumps({**ratios(seconds), "worker_rss_floor_mb": round(floor, 2)}))


def time_limit(world: World) -> float:
    """psql's COPY into psql's COPY, unmapped, binary, into a table with the same key: as fast as it gets."""
    world.fresh_warehouse()
    world.unmapped_table()
    psql = [world.server.bin_path / "psql", "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1"]
    host = ["-h", "127.0.0.1", "-p", world.server.port, "-U", "postgres"]
    return _programs.pipe(
        [*psql, *host, "-d", HUB, "-c", "copy mdm.assignment to stdout (format binary)"],
        [*psql, *host, "-d", WAREHOUSE, "-c", "copy mdm.assignment from stdin (format binary)"],
        env={"PGPASSWORD": world.server.password},
    )


def time_ours(world: World, *arguments: str) -> dict[str, float]:
    """`syncline run` as a person types it; the steps' own times as the ledger wrote them down."""
    world.fresh_warehouse()
    ran = _programs.run(
        [sys.executable, "-m", "syncline", "run", JOB, "--mode", "full", "--json", *arguments],
        env={**world.environment(), "GX_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"},
        cwd=FOLDER,
        log=FOLDER / "syncline.log",
    )
    summary = json.loads(ran.output.splitlines()[-1])
    if summary["verdict"] != "matched" or summary["state"] != "published":
        raise _programs.Failed(f"the batch is {summary['state']}, {summary['verdict']}; see {FOLDER / 'syncline.log'}")
    steps, first_load, _ = world.ask(WAREHOUSE, ATTEMPTS)
    seconds = {step: float(value) for step, value in dict(steps).items()}  # type: ignore[call-overload]
    return {
        **seconds,
        "first_load": float(str(first_load)),
        "syncline_run": ran.seconds,
        "worker_rss_mb": ran.rss_mb,
    }


def _round(world: World, number: int, options: argparse.Namespace) -> dict[str, float]:
    measured = {"limit": time_limit(world)}
    say(f"round {number}: limit     {measured['limit']:7.1f} s")
    measured |= time_ours(world)
    steps = ", ".join(f"{step} {measured[step]:.1f}" for step in STEPS if step in measured)
    say(
        f"round {number}: syncline  {measured['first_load']:7.1f} s ({steps}; whole run {measured['syncline_run']:.1f})"
    )
    if not options.skip_peers:
        for name, time_peer in (("sling", _peers.time_sling), ("dlt", _peers.time_dlt)):
            measured[name] = time_peer(world)
            say(f"round {number}: {name:9} {measured[name]:7.1f} s")
    return measured


def _warm_up(world: World) -> float:
    """One tenant's batch: fills caches for everybody, and shows the memory that a run needs whatever its size."""
    time_limit(world)
    (tenant,) = world.ask(HUB, "select tenant_id from mdm.assignment limit 1")
    return time_ours(world, "--tenant", str(tenant))["worker_rss_mb"]


def _introduce(world: World, options: argparse.Namespace) -> None:
    say(f"{options.rows:,} rows, {options.rounds} rounds, {os.cpu_count()} cores, Python {sys.version.split()[0]}")
    say("server: " + ", ".join(f"{name} {value}" for name, value in world.settings().items()))
    if not options.skip_peers:
        say("peers: " + ", ".join(f"{name} {version}" for name, version in _peers.versions().items()))


def _show(seconds: dict[str, float]) -> None:
    limit = seconds["limit"]
    print("\nmedians                seconds  x limit")
    for name in ("limit", *STEPS, "first_load", "syncline_run", "sling", "dlt"):
        if name in seconds:
            print(f"{name:20} {seconds[name]:9.2f} {seconds[name] / limit:8.2f}")
    print()


def say(sentence: str) -> None:
    print(sentence, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS_DEFAULT, help=f"rows in the hub (default {ROWS_DEFAULT:,})")
    parser.add_argument("--rounds", type=int, default=ROUNDS_DEFAULT, help=f"default {ROUNDS_DEFAULT}")
    parser.add_argument("--skip-peers", action="store_true", help="without Sling and dlt")
    options = parser.parse_args()
    if options.rows < 1 or options.rounds < 1:
        parser.error("--rows and --rounds are at least 1")
    return options


if __name__ == "__main__":
    main()
