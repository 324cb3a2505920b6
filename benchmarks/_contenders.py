"""The limit and ourselves, each run as its user would; the other tools are in _peers.py.

None of them prepares its warehouse: who measures says what a contender finds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import _programs
from benchmarks._world import FOLDER, HUB, JOB, KEY_SET, WAREHOUSE, World

OUR_TABLE = "dw.assignment"
LOG = FOLDER / "syncline.log"
ATTEMPTS = """
    select coalesce(jsonb_object_agg(step, extract(epoch from ended_at - started_at)), '{}'),
           extract(epoch from max(ended_at) - (select max(opened_at) from ledger.batch)),
           (select (batch_id, state, verdict, extracted_rows, rejected_rows, inserted_rows)::text
            from ledger.batch order by batch_id desc limit 1)
    from ledger.attempt where batch_id = (select max(batch_id) from ledger.batch) and outcome = 'done'
"""


def run_limit(world: World, hub: str = HUB) -> float:
    """psql's COPY into psql's COPY, unmapped, binary, into a table with the same key: as fast as it gets."""
    psql: list[str | Path] = [world.server.bin_path / "psql", "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1"]
    host = ["-h", "127.0.0.1", "-p", str(world.server.port), "-U", "postgres"]
    return _programs.pipe(
        [*psql, *host, "-d", hub, "-c", "copy mdm.assignment to stdout (format binary)"],
        [*psql, *host, "-d", WAREHOUSE, "-c", "copy mdm.assignment from stdin (format binary)"],
        env={"PGPASSWORD": world.server.password},
    )


def run_ours(world: World, mode: str, *arguments: str, hub: str = HUB, key_set: str = KEY_SET) -> dict[str, float]:
    """`syncline run` as a person types it: `batch` is from open to publish as the ledger has it, `run` the process."""
    ran = publish(world.environment(hub, key_set), JOB, mode, *arguments)
    steps, batch, _ = world.ask(WAREHOUSE, ATTEMPTS)
    seconds = {step: float(value) for step, value in dict(steps).items()}  # type: ignore[call-overload]
    return {**seconds, "batch": float(str(batch)), "run": ran.seconds, "rss_mb": ran.rss_mb}


def publish(environment: Mapping[str, str], job_id: str, mode: str, *arguments: str) -> _programs.Ran:
    """`syncline run` of a job, whose batch has to be published."""
    ran = syncline(environment, "run", job_id, "--mode", mode, *arguments)
    summary = json.loads(ran.output.splitlines()[-1])
    if summary["verdict"] != "matched" or summary["state"] != "published":
        raise _programs.Failed(f"the batch is {summary['state']}, {summary['verdict']}; see {LOG}")
    return ran


def syncline(environment: Mapping[str, str], *words: str, codes: Sequence[int] = (0,)) -> _programs.Ran:
    """A command of ours as a person types it, told to say it in JSON."""
    return _programs.run(
        [sys.executable, "-m", "syncline", *words, "--json"],
        env={**environment, "GX_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"},
        cwd=FOLDER,
        log=LOG,
        codes=codes,
    )
