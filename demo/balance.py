"""The balance sheet: what the batch of each run did, in the ledger's own numbers.

The counts are those of exactly the batches that the demo asked for (by run), not of the job's last batch: while
the demo looks on, a schedule may start another one. How fresh a job is *now* is for `syncline status` to say.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from demo.problems import DemoError

COLOURS = {"matched": "green", "mismatched": "red", "unverified": "yellow"}
COUNTS = ("extracted", "rejected", "inserted", "updated", "deleted", "unchanged")
BATCHES_OF_RUNS = """
    select asked.job_id, asked.run_key, batch.batch_id, batch.mode, batch.state, batch.verdict, batch.source_as_of,
           batch.extracted_rows, batch.rejected_rows, batch.inserted_rows, batch.updated_rows, batch.deleted_rows,
           batch.unchanged_rows,
           (select count(*) from ledger.tenant_count as counted
             where counted.batch_id = batch.batch_id and tenant_id <> '' and extracted_rows > 0) as tenants
    from unnest(%s::text[], %s::text[]) as asked (job_id, run_key)
    left join lateral (
        select * from ledger.batch
        where batch.job_id = asked.job_id and batch.run_key = asked.run_key
        order by batch_id desc limit 1
    ) as batch on true
    order by asked.job_id
"""


@dataclass(frozen=True)
class Sheet:
    """One line per job: the batch of its run in one round."""

    title: str
    rows: tuple[Mapping[str, Any], ...]

    def problems(self) -> list[str]:
        """A sentence for each job whose batch is not matched and published."""
        return [sentence for sentence in map(_problem, self.rows) if sentence]

    def table(self) -> Table:
        table = Table(
            title=self.title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False, padding=0
        )
        table.add_column("job", no_wrap=True)
        table.add_column("mode", no_wrap=True)
        for name in (*COUNTS, "tenants"):
            table.add_column(name, justify="right", no_wrap=True)
        for name in ("verdict", "fresh as of", "freshness"):
            table.add_column(name, no_wrap=True)
        for row in self.rows:
            numbers = [_number(row[f"{name}_rows"]) for name in COUNTS]
            table.add_row(row["job_id"], row["mode"], *numbers, _number(row["tenants"]), *_judgement(row))
        return table


def read(title: str, runs: Mapping[str, str], environment: Mapping[str, str], syncline: Path) -> Sheet:
    """The batches of these runs (job id -> run id).

    Args:
        environment: Holds AIRFLOW_CONN_LEDGER and what else the `syncline` command needs.
        syncline: The command.
    """
    freshness = _freshness(environment, syncline)
    with psycopg.connect(environment["AIRFLOW_CONN_LEDGER"], row_factory=dict_row) as ledger:
        rows = ledger.execute(BATCHES_OF_RUNS, [list(runs.keys()), list(runs.values())]).fetchall()
    return Sheet(title, tuple({**row, "freshness": freshness.get(row["job_id"], "")} for row in rows))


def _freshness(environment: Mapping[str, str], syncline: Path) -> dict[str, str]:
    command = [str(syncline), "status", "--json"]
    asked = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    if asked.returncode:
        last_words = asked.stderr.strip().splitlines() or ["no reason given"]
        raise DemoError(f"`syncline status` failed: {last_words[-1]}")
    return {row["job_id"]: row["freshness_state"] for row in json.loads(asked.stdout)}


def _problem(row: Mapping[str, Any]) -> str | None:
    if row["batch_id"] is None:
        return f"{row['job_id']}: the run {row['run_key']} opened no batch."
    if row["verdict"] != "matched" or row["state"] != "published":
        return f"{row['job_id']}: batch {row['batch_id']} is {row['verdict']} and {row['state']}, not published."
    return None


def _judgement(row: Mapping[str, Any]) -> tuple[Text, str, str]:
    verdict = row["verdict"] or "no batch"
    as_of = f"{row['source_as_of']:%H:%M:%S}Z" if row["source_as_of"] else ""
    return Text(verdict, style=COLOURS.get(verdict, "red")), as_of, row["freshness"]


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
