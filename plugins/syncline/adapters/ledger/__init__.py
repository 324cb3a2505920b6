"""The ledger: the only writer of schema `ledger` (include/ledger/).

One room for each thing it keeps: `batches` with the watermark, `letters`, `alerts`, `breakers`, `sources`, `parts`,
`control_runs`; `reports` only reads; `session` is what they share. Readers get values of core, never rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import psycopg
from psycopg.rows import dict_row

from syncline.adapters import connections
from syncline.adapters.failures import telling
from syncline.adapters.ledger.alerts import Alerts
from syncline.adapters.ledger.breakers import systems_of
from syncline.adapters.ledger.comparisons import Begun
from syncline.adapters.ledger.control_runs import ControlRuns
from syncline.adapters.ledger.parts import Parts, TakenPart
from syncline.adapters.ledger.reports import Reports
from syncline.adapters.ledger.sources import Sources

__all__ = ("CONNECTION", "Begun", "Ledger", "TakenPart", "install", "opened", "systems_of")
CONNECTION = "ledger"
INSTALL_LOCK = 7_205_759  # any number; two installers must not interleave


class Ledger(Reports, ControlRuns, Alerts, Sources, Parts):
    """A session on the ledger. Made by `opened`."""


@contextmanager
def opened(purpose: str) -> Iterator[Ledger]:
    """A session on the ledger's connection, for one step or one report."""
    session = connections.connect(CONNECTION, purpose=f"ledger {purpose}", autocommit=True)
    with session:
        session.row_factory = cast(Any, dict_row)
        yield Ledger(cast("psycopg.Connection[dict[str, Any]]", session))


def install(folder: Path) -> list[str]:
    """Run the numbered files of include/ledger in order, in one transaction; returns their names. Idempotent."""
    files = sorted(folder.glob("[0-9][0-9][0-9]_*.sql"))
    with telling("installing the ledger"), connections.connect(CONNECTION, purpose="ledger install") as session:
        session.execute("select pg_advisory_xact_lock(%s)", [INSTALL_LOCK])
        for file in files:
            session.execute(file.read_bytes())
    return [file.name for file in files]
