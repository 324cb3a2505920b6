"""The other tools, in a virtual environment of their own below var/bench: their versions must not meddle with ours."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks import _programs
from benchmarks._world import FOLDER, HUB, WAREHOUSE, Say, World

HERE = Path(__file__).parent
LOCK = HERE / "requirements-bench.txt"
VENV = FOLDER / "peers"
KEY = ["tenant_id", "assignment_no"]
SLING_TABLE, DLT_TABLE = "public.assignment_by_sling", "by_dlt.assignment_by_hand"
DLT_STATE = FOLDER / "dlt"  # what dlt remembers between runs, apart from what it keeps in the warehouse
QUIET = {
    "DO_NOT_TRACK": "1",
    "SLING_DISABLE_TELEMETRY": "true",
    "SLING_HOME_DIR": str(FOLDER / "sling"),
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "DLT_DATA_DIR": str(DLT_STATE),
}


def install(say: Say) -> None:
    """Install the locked peers, unless that lock is installed already."""
    install_lock(LOCK, VENV, say)
    sling().chmod(0o755)


def install_lock(lock: Path, venv: Path, say: Say) -> None:
    """Install a lock into a virtual environment of its own, unless it is installed there already.

    Raises:
        subprocess.CalledProcessError: uv could not; it has said why.
    """
    stamp, wanted = venv / "lock", hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    say(f"peers: installing {lock.name} into {venv} ...")
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, venv], check=True)
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--require-hashes", "--build-constraints", lock,
         "--python", venv / "bin" / "python", "-r", lock],
        check=True,
    )  # fmt: skip
    stamp.write_text(wanted)


def versions() -> dict[str, str]:
    """Name -> version of what is compared, from the lock."""
    return versions_of(LOCK, ("sling-linux-amd64", "dlt", "connectorx", "adbc-driver-postgresql"))


def versions_of(lock: Path, names: Iterable[str]) -> dict[str, str]:
    pinned = dict(
        line.split(" ")[0].split("==") for line in lock.read_text().splitlines() if "==" in line and line[0].isalpha()
    )
    return {name: pinned[name] for name in names}


def sling() -> Path:
    return next(VENV.glob("lib/python*/site-packages/sling_linux_amd64/bin/sling-linux-amd64"))


def load_by_sling(world: World, mode: str = "full-refresh", hub: str = HUB) -> float:
    """The mapping written by hand into a table with the same primary key; `incremental` merges what is newer."""
    ran = _programs.run(
        [
            sling(), "run", "--mode", mode, "--primary-key", ",".join(KEY), "--update-key", "source_event_at",
            "--src-conn", "BENCH_HUB", "--src-stream", "mdm.assignment_by_hand",
            "--tgt-conn", "BENCH_WAREHOUSE", "--tgt-object", SLING_TABLE,
            "--tgt-options", json.dumps({"table_keys": {"primary": KEY}}),
        ],
        env={
            **QUIET,
            "BENCH_HUB": world.superuser_uri(hub) + "?sslmode=disable",
            "BENCH_WAREHOUSE": world.superuser_uri(WAREHOUSE) + "?sslmode=disable",
        },
        cwd=FOLDER,
        log=FOLDER / "sling.log",
    )  # fmt: skip
    return ran.seconds


def forget_dlt() -> None:
    shutil.rmtree(DLT_STATE, ignore_errors=True)


def load_by_dlt(world: World, how: str = "replace", hub: str = HUB) -> float:
    """In the fastest combination found: read by connectorx, hand over in parquet, write by ADBC."""
    ran = _programs.run(
        [VENV / "bin" / "python", HERE / "_dlt_load.py", how],
        env={
            **QUIET,
            "BENCH_HUB": world.superuser_uri(hub, "postgresql+psycopg2"),
            "BENCH_WAREHOUSE": world.superuser_uri(WAREHOUSE),
        },
        cwd=FOLDER,
        log=FOLDER / "dlt.log",
    )
    return ran.seconds
