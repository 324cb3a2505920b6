"""The other tools that compare two tables: reladiff and Google's data validator, as their documentation says for tables
of this size. They connect as superuser, meet no row security, and keep no record of what they found."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import _programs
from benchmarks._peers import install_lock, versions_of
from benchmarks._two_tables import COPY_TABLE, HUB_TABLE, KEY, Case, Differences, columns_of_hub
from benchmarks._world import FOLDER, HUB, WAREHOUSE, Say, World

LOCK = Path(__file__).with_name("requirements-compare.txt")
VENV = FOLDER / "compare-peers"
VALIDATOR_HOME = FOLDER / "data-validation"  # its connections
Run = Callable[[World, Case], _programs.Ran]
# Its defaults otherwise: what else was tried, and was no faster, stands in README.md.
RELADIFF_SETTINGS = ("--algorithm", "hashdiff", "--threads", "4")


def install(say: Say) -> None:
    install_lock(LOCK, VENV, say)


def versions() -> dict[str, str]:
    return versions_of(LOCK, ("reladiff", "google-pso-data-validator"))


def run_reladiff(world: World, case: Case) -> _programs.Ran:
    """Checksums of key ranges, bisected: all columns, the whole key."""
    columns = [name for name in columns_of_hub(world) if name not in KEY]
    ran = _run(
        "reladiff",
        [
            world.superuser_uri(HUB), HUB_TABLE, world.superuser_uri(WAREHOUSE), COPY_TABLE,
            *(word for name in KEY for word in ("--key-columns", name)),
            *(word for name in columns for word in ("--columns", name)),
            *RELADIFF_SETTINGS, "--json",
        ],
        {"COLUMNS": "100000"},  # it wraps its JSON at the terminal's width
    )  # fmt: skip
    rows = [json.loads(line) for line in ran.output.splitlines()]
    removed, added = ({tuple(row[: len(KEY)]) for sign, row in rows if sign == one} for one in "-+")
    both = removed & added
    case.require("reladiff", Differences(len(both), len(removed - both), len(added - both)))
    return ran


def run_validator(world: World, case: Case) -> _programs.Ran:
    """A hash of each row computed by its database, all of them joined by key in pandas."""
    _write_connections(world)
    ran = _run(
        "data-validation",
        [
            "validate", "row", "--source-conn", "hub", "--target-conn", "warehouse",
            "--tables-list", f"{HUB_TABLE}={COPY_TABLE}", "--primary-keys", ",".join(KEY),
            "--hash", "*", "--filter-status", "fail", "--format", "json",
        ],
        {"PSO_DV_CONN_HOME": str(VALIDATOR_HOME)},
    )  # fmt: skip
    rows = json.loads(ran.output).values()
    at_hub, at_copy = (
        {row["group_by_columns"] for row in rows if row[f"{side}_agg_value"] is not None}
        for side in ("source", "target")
    )
    case.require("data-validation", Differences(len(at_hub & at_copy), len(at_hub - at_copy), len(at_copy - at_hub)))
    return ran


def _write_connections(world: World) -> None:
    """The validator reads connections from files of its own; this is what its `connections add` writes."""
    VALIDATOR_HOME.mkdir(mode=0o700, exist_ok=True)
    for name, database in (("hub", HUB), ("warehouse", WAREHOUSE)):
        said = {
            "source_type": "Postgres", "secret_manager_type": None, "secret_manager_project_id": None,
            "host": "127.0.0.1", "port": world.server.port, "user": "postgres", "password": world.server.password,
            "database": database,
        }  # fmt: skip
        (VALIDATOR_HOME / f"{name}.connection.json").write_text(json.dumps(said))


PEERS: Mapping[str, Run] = {"reladiff": run_reladiff, "dvt": run_validator}


def _run(program: str, arguments: Sequence[str], env: Mapping[str, str]) -> _programs.Ran:
    return _programs.run([VENV / "bin" / program, *arguments], env=env, cwd=FOLDER, log=FOLDER / f"{program}.log")
