"""The other tools, in a virtual environment of their own below var/bench: their versions must not meddle with ours."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks import _programs
from benchmarks._world import FOLDER, HUB, WAREHOUSE, Say, World

HERE = Path(__file__).parent
LOCK = HERE / "requirements-bench.txt"
VENV = FOLDER / "peers"
KEY = ["tenant_id", "assignment_no"]
QUIET = {
    "DO_NOT_TRACK": "1",
    "SLING_DISABLE_TELEMETRY": "true",
    "SLING_HOME_DIR": str(FOLDER / "sling"),
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "DLT_DATA_DIR": str(FOLDER / "dlt"),
}


def install(say: Say) -> None:
    """Install the locked peers, unless that lock is installed already."""
    stamp, wanted = VENV / "lock", hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    say("peers: installing Sling and dlt into var/bench/peers ...")
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, VENV], check=True)
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--require-hashes", "--python", VENV / "bin" / "python", "-r", LOCK],
        check=True,
    )
    sling().chmod(0o755)
    stamp.write_text(wanted)


def versions() -> dict[str, str]:
    """Name -> version of what is compared, from the lock."""
    pinned = dict(
        line.split(" ")[0].split("==") for line in LOCK.read_text().splitlines() if "==" in line and line[0].isalpha()
    )
    return {name: pinned[name] for name in ("sling-linux-amd64", "dlt", "connectorx", "adbc-driver-postgresql")}


def sling() -> Path:
    return next(VENV.glob("lib/python*/site-packages/sling_linux_amd64/bin/sling-linux-amd64"))


def time_sling(world: World) -> float:
    """Full refresh of the mapping written by hand into a table with the same primary key."""
    world.fresh_warehouse()
    ran = _programs.run(
        [
            sling(), "run", "--mode", "full-refresh", "--primary-key", ",".join(KEY),
            "--src-conn", "BENCH_HUB", "--src-stream", "select * from mdm.assignment_by_hand",
            "--tgt-conn", "BENCH_WAREHOUSE", "--tgt-object", "public.assignment_by_sling",
            "--tgt-options", json.dumps({"table_keys": {"primary": KEY}}),
        ],
        env={
            **QUIET,
            "BENCH_HUB": world.superuser_uri(HUB) + "?sslmode=disable",
            "BENCH_WAREHOUSE": world.superuser_uri(WAREHOUSE) + "?sslmode=disable",
        },
        cwd=FOLDER,
        log=FOLDER / "sling.log",
    )  # fmt: skip
    _expect_all(world, "public.assignment_by_sling")
    return ran.seconds


def time_dlt(world: World) -> float:
    """Replace, in the fastest combination found: read by connectorx, hand over in parquet, write by ADBC."""
    world.fresh_warehouse()
    shutil.rmtree(FOLDER / "dlt", ignore_errors=True)
    ran = _programs.run(
        [VENV / "bin" / "python", HERE / "_dlt_load.py"],
        env={
            **QUIET,
            "BENCH_HUB": world.superuser_uri(HUB, "postgresql+psycopg2"),
            "BENCH_WAREHOUSE": world.superuser_uri(WAREHOUSE),
        },
        cwd=FOLDER,
        log=FOLDER / "dlt.log",
    )
    _expect_all(world, "by_dlt.assignment_by_hand")
    shutil.rmtree(FOLDER / "dlt", ignore_errors=True)
    return ran.seconds


def _expect_all(world: World, table: str) -> None:
    wanted = world.ask(HUB, "select count(*) from mdm.assignment_by_hand")
    found = world.ask(WAREHOUSE, f"select count(*) from {table}")
    if wanted != found:
        raise _programs.Failed(f"{table} has {found[0]} rows, the hub {wanted[0]}")
