"""What can be set from the environment, read once and checked before anything starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from demo.problems import DemoError
from demo.world.plan import CLIENTS_DEFAULT, CONTRACTS_DEFAULT, WORKERS_DEFAULT

ROOT = Path(__file__).resolve().parents[1]
SEED_DEFAULT = 7


@dataclass(frozen=True)
class Settings:
    """Where the demo lives and how large it is; a port of None means: take a free one."""

    root: Path
    var: Path
    seed: int
    workers: int
    clients: int
    contracts: int
    admin_uri: str | None
    postgres_port: int | None
    airflow_port: int | None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ, root: Path = ROOT) -> Settings:
        """Read the `SYNCLINE_*` variables.

        Raises:
            DemoError: One of them is no number, or outside its range.
        """
        return cls(
            root=root,
            var=Path(environ.get("SYNCLINE_VAR") or root / "var").resolve(),
            seed=_number(environ, "SYNCLINE_DEMO_SEED", SEED_DEFAULT, range(0, 2**31)),
            workers=_number(environ, "SYNCLINE_DEMO_WORKERS", WORKERS_DEFAULT, range(1, 10_000_001)),
            clients=_number(environ, "SYNCLINE_DEMO_CLIENTS", CLIENTS_DEFAULT, range(1, 10_000)),
            contracts=_number(environ, "SYNCLINE_DEMO_CONTRACTS", CONTRACTS_DEFAULT, range(1, 10_000_001)),
            admin_uri=environ.get("SYNCLINE_DEMO_ADMIN") or None,
            postgres_port=_port(environ, "SYNCLINE_PG_PORT"),
            airflow_port=_port(environ, "SYNCLINE_AIRFLOW_PORT"),
        )


def _port(environ: Mapping[str, str], name: str) -> int | None:
    return _number(environ, name, 0, range(1, 65536)) if environ.get(name) else None


def _number(environ: Mapping[str, str], name: str, default: int, allowed: range) -> int:
    text = environ.get(name) or str(default)
    if not text.isdecimal() or int(text) not in allowed:
        raise DemoError(f"{name} is {text!r}; it must be a whole number from {allowed.start} to {allowed.stop - 1}.")
    return int(text)
