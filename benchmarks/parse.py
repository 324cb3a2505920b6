"""Time what a thousand manifests cost Airflow's DAG processor, and what one of them costs a worker.

    .venv/bin/python benchmarks/parse.py [--manifests N] [--rounds N]

Copies of a real manifest and its mapping under other ids go to a private project; fresh processes import
dags/sync_jobs.py over it, after Airflow itself is imported, and tell the seconds. The last line printed is one JSON
object; README.md says how to read it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "var" / "bench" / "parse"
MODEL = "mdm__payroll__worker"
MANIFESTS_DEFAULT = 1_000
ROUNDS_DEFAULT = 3

# Runs in a process of its own. What Airflow imports by itself before it looks at a DAG file is not counted.
CHILD = """
import runpy, sys, time
import airflow.sdk
import airflow.dag_processing.dagbag
airflow.sdk.DAG, airflow.sdk.CronDataIntervalTimetable, airflow.sdk.BaseOperator, airflow.sdk.Asset  # lazy ones
started = time.perf_counter()
found = runpy.run_path(sys.argv[1])
seconds = time.perf_counter() - started
print(seconds, sum(isinstance(value, airflow.sdk.DAG) for name, value in found.items() if name.startswith("sync__")))
"""


def main() -> None:
    """Measure and print."""
    options = _options()
    home = _project(options.manifests)
    wanted = f"sync__{_copy_id(options.manifests // 2)}"
    _seconds("sync_jobs.py", home, expected=1, wanted=wanted)  # compiles, fills caches
    measured: dict[str, list[float]] = {"all": [], "one": []}
    for number in range(1, options.rounds + 1):
        measured["all"].append(_seconds("sync_jobs.py", home, expected=options.manifests))
        measured["one"].append(_seconds("sync_jobs.py", home, expected=1, wanted=wanted))
        print(
            f"round {number}: {options.manifests} manifests {measured['all'][-1]:.2f} s,"
            f" one wanted {measured['one'][-1]:.2f} s",
            flush=True,
        )
    figures = {
        "parse_ms_per_manifest": round(median(measured["all"]) / options.manifests * 1000, 2),
        "parse_one_wanted_ms": round(median(measured["one"]) * 1000, 1),
    }
    print(json.dumps(figures))


def _copy_id(number: int) -> str:
    return f"mdm__payroll__worker{number:04d}"


def _project(manifests: int) -> Path:
    """A project with that many jobs, each with a mapping of its own."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    include = ROOT / "include"
    for kind in ("manifests", "mappings"):
        (FOLDER / "include" / kind).mkdir(parents=True)
        text = (include / kind / f"{MODEL}.yaml").read_text()
        for number in range(manifests):
            copy = text.replace(f"mapping: {MODEL}", f"mapping: {_copy_id(number)}")
            (FOLDER / "include" / kind / f"{_copy_id(number)}.yaml").write_text(copy)
    return FOLDER


def _seconds(dag_file: str, home: Path, *, expected: int, wanted: str | None = None) -> float:
    env = {
        **os.environ,
        "SYNCLINE_HOME": str(home),
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    }
    env.pop("_AIRFLOW_PARSING_CONTEXT_DAG_ID", None)
    if wanted:
        env["_AIRFLOW_PARSING_CONTEXT_DAG_ID"] = wanted  # how Airflow tells a worker's parse what it wants
    done = subprocess.run(
        [sys.executable, "-c", CHILD, ROOT / "dags" / dag_file], env=env, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"benchmarks/parse.py: {dag_file} could not be imported:\n{done.stderr[-2000:]}")
    seconds, dags = done.stdout.split()[-2:]
    if int(dags) != expected:
        sys.exit(f"benchmarks/parse.py: {dag_file} made {dags} DAGs where {expected} were expected")
    return float(seconds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--manifests", type=int, default=MANIFESTS_DEFAULT, help=f"default {MANIFESTS_DEFAULT}")
    parser.add_argument("--rounds", type=int, default=ROUNDS_DEFAULT, help=f"default {ROUNDS_DEFAULT}")
    options = parser.parse_args()
    if options.manifests < 1 or options.rounds < 1:
        parser.error("--manifests and --rounds are at least 1")
    return options


if __name__ == "__main__":
    main()
