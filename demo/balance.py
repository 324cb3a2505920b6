"""The balance sheet: what each job's last batch did, read from the ledger through `syncline status`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from demo.problems import DemoError

COLOURS = {"matched": "green", "mismatched": "red", "unverified": "yellow"}
COUNTS = ("extracted", "rejected", "inserted", "updated", "deleted", "unchanged")


@dataclass(frozen=True)
class Sheet:
    """One line per job, as the ledger tells it after a round."""

    title: str
    rows: tuple[Mapping[str, Any], ...]

    def problems(self, jobs: set[str], *, after_batch: int) -> list[str]:
        """Why the round is not a clean one: a sentence for each job without a new, matched, published batch."""
        by_job = {row["job_id"]: row for row in self.rows}
        said = [_problem(job, by_job.get(job), after_batch) for job in sorted(jobs)]
        return [sentence for sentence in said if sentence]

    @property
    def last_batch(self) -> int:
        return max((row["batch_id"] or 0 for row in self.rows), default=0)

    def table(self) -> Table:
        table = Table(
            title=self.title,
            title_justify="left",
            title_style="bold",
            box=SIMPLE_HEAD,
            padding=(0, 2, 0, 0),
            pad_edge=False,
        )
        table.add_column("job", no_wrap=True)
        for name in ("mode", *COUNTS, "tenants"):
            table.add_column(name, justify="left" if name == "mode" else "right", no_wrap=True)
        table.add_column("verdict", no_wrap=True)
        table.add_column("fresh as of", no_wrap=True)
        for row in sorted(self.rows, key=lambda row: str(row["job_id"])):
            numbers = [_number(row.get(f"{name}_rows")) for name in COUNTS]
            table.add_row(
                row["job_id"], row["mode"] or "", *numbers, _number(row["tenants"]), _verdict(row), _freshness(row)
            )
        return table


def read(title: str, syncline: Path, environment: Mapping[str, str]) -> Sheet:
    """Ask the ledger.

    Raises:
        DemoError: `syncline status` failed; its own sentence is passed on.
    """
    asked = subprocess.run(
        [str(syncline), "status", "--json"], env=dict(environment), capture_output=True, text=True, check=False
    )
    if asked.returncode:
        raise DemoError(f"the ledger could not be read: {(asked.stderr.strip().splitlines() or ['no reason'])[-1]}")
    return Sheet(title, tuple(json.loads(asked.stdout)))


def _problem(job: str, row: Mapping[str, Any] | None, after_batch: int) -> str | None:
    if row is None or not row["batch_id"] or row["batch_id"] <= after_batch:
        return f"{job}: no batch was opened in this round."
    if row["verdict"] != "matched" or row["state"] != "published":
        return f"{job}: batch {row['batch_id']} is {row['verdict']}, state {row['state']}, not published."
    return None


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _verdict(row: Mapping[str, Any]) -> Text:
    return Text(row["verdict"] or "", style=COLOURS.get(row["verdict"], ""))


def _freshness(row: Mapping[str, Any]) -> str:
    if not row["fresh_as_of"]:
        return ""
    at = datetime.fromisoformat(row["fresh_as_of"])
    return f"{at:%H:%M:%S}Z {row['freshness_state']}"
