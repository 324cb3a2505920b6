"""Two tables to compare: the hub's, and the copy that our own first load made of it, equal or with 100 differences.

Also the limit and ourselves; the other tools are in _compare_peers.py. Whoever compares has to find what is there: a
time counts only for the right answer.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg

from benchmarks import _contenders, _programs
from benchmarks._world import COPY_JOB, FOLDER, HUB, WAREHOUSE, World

HUB_TABLE, COPY_TABLE = "mdm.assignment", "dw.assignment_copy"
KEY = ("tenant_id", "assignment_id")
COLUMNS = """
    select array_agg(attname::text order by attnum) from pg_attribute
    where attrelid = 'mdm.assignment'::regclass and attnum > 0 and not attisdropped
"""
CHECKSUM = "select count(*), bit_xor(hash_record_extended(row({columns}), 0)) from {table}"


@dataclass(frozen=True)
class Differences:
    """How many rows differ, by kind: what was made to differ, or what a contender says."""

    mismatched: int = 0
    only_in_hub: int = 0
    only_in_copy: int = 0

    def __str__(self) -> str:
        return f"{self.mismatched} mismatched, {self.only_in_hub} only in source, {self.only_in_copy} only in target"


@dataclass(frozen=True)
class Case:
    """One state of the two tables."""

    name: str
    differences: Differences

    def require(self, contender: str, found: Differences) -> None:
        """Stop where a contender says something else than what is there."""
        if found != self.differences:
            raise _programs.Failed(f"{contender} reports {found}; there are {self.differences}")


EQUAL = Case("equal", Differences())
DIFF100 = Case("diff100", Differences(60, 20, 20))  # what sql/differences.sql makes


def first_load(world: World) -> None:
    """Copy the hub's rows as the job does, so that there is a published batch; leave the copy as autovacuum would."""
    world.fresh_warehouse()
    _contenders.publish(world.environment(), COPY_JOB, "full")
    world.settle_warehouse()


def columns_of_hub(world: World) -> list[str]:
    (columns,) = world.ask(HUB, COLUMNS)
    return [str(name) for name in columns]  # type: ignore[attr-defined]


def run_limit(world: World, case: Case) -> float:
    """Each database makes one checksum over all columns of its plain table, both at the same time."""
    columns = ", ".join(columns_of_hub(world))
    with (
        psycopg.connect(world.superuser_uri(HUB)) as hub,
        psycopg.connect(world.superuser_uri(WAREHOUSE)) as warehouse,
        ThreadPoolExecutor(2) as pool,
    ):
        asked = ((hub, HUB_TABLE), (warehouse, COPY_TABLE))
        started = time.monotonic()
        answers = list(pool.map(partial(_checksum, columns), asked))
        seconds = time.monotonic() - started
    if (answers[0] == answers[1]) is not (case is EQUAL):
        raise _programs.Failed(f"checksums {answers[0]} and {answers[1]} are not what the case {case.name} should have")
    return seconds


def run_our_step(world: World, case: Case) -> tuple[float, float]:
    """compare_records in a worker that is up: its seconds, and the worker's peak memory in MB."""
    ran = _programs.run(
        [sys.executable, Path(__file__).with_name("_diff_step.py"), COPY_JOB],
        env=world.environment(),
        cwd=FOLDER,
        log=_contenders.LOG,
    )
    told = json.loads(ran.output.splitlines()[-1])
    case.require("compare_records", _told(told))
    return float(told["seconds"]), float(told["rss_mb"])


def run_our_command(world: World, case: Case) -> float:
    """`syncline diff` as a person types it, start of the process to its end."""
    ran = _contenders.syncline(world.environment(), "diff", COPY_JOB, codes=(0,) if case is EQUAL else (1,))
    case.require("syncline diff", _told(json.loads(ran.output)))
    return ran.seconds


def _told(summary: dict[str, int]) -> Differences:
    names = ("mismatched_rows", "missing_in_target_rows", "missing_in_source_rows")
    return Differences(*(summary[name] for name in names))


def _checksum(columns: str, asked: tuple[psycopg.Connection, str]) -> tuple[object, ...]:
    session, table = asked
    return session.execute(CHECKSUM.format(columns=columns, table=table).encode()).fetchone() or ()
