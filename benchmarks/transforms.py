"""Measure what each word of the mapping language costs, as a ratio to a plain column.

    .venv/bin/python benchmarks/transforms.py [--rows N] [--rounds N] [--every-example] [--server URI]

Each beginning of a field, each step and each check is compiled into a mapping of one field, in its own example, on
typical values; so is the plain column beside it. The server writes the result of both to /dev/null in binary, and the
processor time of its process is what counts. The last line printed is one JSON object; README.md says how to read it.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from benchmarks._words import TABLE, Builder, Case, Cases, fill, make_tables, set_keys
from benchmarks._world import FOLDER, ROOT
from demo.problems import DemoError
from demo.servers import EmbeddedServer
from syncline.core.compile import compile_mapping
from syncline.core.mapping import Mapping
from syncline.core.reference_files import ProjectReferences

DATABASE = "syncline_bench_words"
ROWS_DEFAULT = 1_000_000
ROUNDS_DEFAULT = 3
DEAR_S = 6.0  # processor seconds of one measurement from which one round has to do: the whole shall end within minutes
# The shares of a plain column's price that `Cost` of transforms/base.py speaks of; beside the limit, either is right.
FREE_MAX, LIGHT_MAX, DOUBT = 0.5, 3.0, 0.15


@dataclass(frozen=True)
class Measured:
    """What one example costs."""

    case: Case
    ratio: float

    @property
    def disagrees(self) -> bool:
        """Whether the class says another cost than was measured, farther from the limit than the doubt."""
        if self.case.cost is None:
            return False
        extra = self.ratio - 1
        low = {"free": float("-inf"), "light": FREE_MAX * (1 - DOUBT), "heavy": LIGHT_MAX * (1 - DOUBT)}
        high = {"free": FREE_MAX * (1 + DOUBT), "light": LIGHT_MAX * (1 + DOUBT), "heavy": float("inf")}
        return not low[self.case.cost] <= extra <= high[self.case.cost]

    @property
    def cost(self) -> str:
        extra = self.ratio - 1
        return "free" if extra <= FREE_MAX else "light" if extra <= LIGHT_MAX else "heavy"


class Meter:
    """One session whose server process is watched."""

    def __init__(self, session: psycopg.Connection) -> None:
        self.session = session
        try:
            self._process = psutil.Process(session.info.backend_pid)
        except psutil.NoSuchProcess:
            sys.exit("benchmarks/transforms.py: the server must run on this machine: its processor time is measured")
        self._schedstat = Path(f"/proc/{session.info.backend_pid}/schedstat")

    def seconds(self, mapping: Mapping) -> float:
        """Processor time of the server's process for one COPY of the mapped table."""
        set_keys(self.session, mapping)
        copy = sql.SQL("copy ({}) to '/dev/null' (format binary)").format(compile_mapping(mapping, TABLE).select)
        before = self._spent()
        self.session.execute(copy)
        return self._spent() - before

    def _spent(self) -> float:
        """Linux counts it to the nanosecond; elsewhere psutil has hundredths of a second."""
        try:
            return int(self._schedstat.read_text().split()[0]) / 1e9
        except OSError:
            times = self._process.cpu_times()
            return float(times.user + times.system)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # leave through the `finally`s
    try:
        with _session(options.server) as session:
            cases, measured, price_us = measure(session, options.rows, options.rounds, options.every_example)
    except DemoError as problem:
        sys.exit(f"benchmarks/transforms.py: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)
    _show(cases, measured, price_us)
    dearest: dict[str, float] = {}
    for one in measured:
        dearest[one.case.word] = max(one.ratio, dearest.get(one.case.word, one.ratio))
    print(json.dumps(dearest))


def measure(
    session: psycopg.Connection, rows: int, rounds: int, every_example: bool
) -> tuple[Cases, list[Measured], float]:
    """All cases, what each costs beside a plain column, and what a plain column costs in microseconds a row."""
    make_tables(session)
    builder = Builder(session, ProjectReferences(ROOT))
    cases = builder.all(every_example=every_example)
    say(f"{len(cases.ready)} cases, {len(cases.not_measured)} not measured; {rows:,} rows, {rounds} rounds")
    meter = Meter(session)
    fill(session, ["name"], rows)
    (price,) = _rounds(meter, [builder.plain(["name"], alone=True)], rounds + 2)  # all ratios stand on this one
    measured: list[Measured] = []
    for columns, group in groupby(sorted(cases.ready, key=lambda case: case.columns), key=lambda case: case.columns):
        together = list(group)
        fill(session, columns, rows)
        plains = list({case.plain.model_dump_json(): case.plain for case in together}.values())
        seconds = _rounds(meter, [*plains, *(case.mapping for case in together)], rounds)
        of_plain = dict(zip((plain.model_dump_json() for plain in plains), seconds, strict=False))
        for case, spent in zip(together, seconds[len(plains) :], strict=True):
            extra = spent - of_plain[case.plain.model_dump_json()]
            measured.append(Measured(case, round(1 + extra / price, 2)))
    return cases, measured, price / rows * 1e6


def _rounds(meter: Meter, mappings: Sequence[Mapping], rounds: int) -> list[float]:
    """Median seconds of each; they take turns. What is dear is measured once."""
    spent: list[list[float]] = [[] for _ in mappings]
    for _ in range(rounds):
        for mapping, found in zip(mappings, spent, strict=True):
            if not found or found[0] < DEAR_S:
                found.append(meter.seconds(mapping))
    return [median(found) for found in spent]


def _show(cases: Cases, measured: Sequence[Measured], price_us: float) -> None:
    print(f"\na plain column of names, read and written, takes {price_us:.3f} microseconds a row\n")
    print(f"{'ratio':>8}  {'measured':8} {'said':6} {'word':22} example")
    for one in sorted(measured, key=lambda one: (one.ratio, one.case.word)):
        note = f"  ({one.case.rejected_ratio:.0%} rejected)" if one.case.rejected_ratio else ""
        print(
            f"{one.ratio:8.2f}  {one.cost:8} {one.case.cost or '-':6} {one.case.word:22}"
            f" {one.case.written[:70]} on {', '.join(one.case.columns)}{note}"
        )
    for word, why in sorted(cases.not_measured.items()):
        print(f"not measured: {word}: {why}")
    wrong = [one for one in measured if one.disagrees]
    print(f"\n{len(wrong)} say another cost than was measured" + (":" if wrong else ""))
    for one in sorted(wrong, key=lambda one: one.case.word):
        print(
            f"  {one.case.word}: says {one.case.cost}, measured {one.cost} ({one.ratio:.2f}, {one.case.written[:60]})"
        )
    print()


@contextmanager
def _session(server: str | None) -> Iterator[psycopg.Connection]:
    """A superuser's session in a database of its own, on the embedded server or on a named one of this machine."""
    if server is None:
        folder = FOLDER / "words"
        folder.mkdir(parents=True, exist_ok=True)
        with EmbeddedServer(folder / "postgres", say=say) as embedded, _database(embedded.admin_conninfo) as session:
            yield session
        return
    with _database(server) as session:
        yield session


@contextmanager
def _database(admin_conninfo: str) -> Iterator[psycopg.Connection]:
    name = sql.Identifier(DATABASE)
    with psycopg.connect(admin_conninfo, autocommit=True) as admin:
        admin.execute(sql.SQL("drop database if exists {} with (force)").format(name))
        admin.execute(sql.SQL("create database {} template template0 encoding 'UTF8'").format(name))
        try:
            with psycopg.connect(make_conninfo(admin_conninfo, dbname=DATABASE), autocommit=True) as session:
                for setting in ("timezone = 'UTC'", "jit = off", "max_parallel_workers_per_gather = 0"):
                    session.execute(f"set {setting}".encode())
                yield session
        finally:
            admin.execute(sql.SQL("drop database if exists {} with (force)").format(name))


def say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS_DEFAULT, help=f"default {ROWS_DEFAULT:,}")
    parser.add_argument("--rounds", type=int, default=ROUNDS_DEFAULT, help=f"default {ROUNDS_DEFAULT}")
    parser.add_argument("--every-example", action="store_true", help="not only the first example of each word")
    parser.add_argument("--server", help="a superuser's URI of a server on this machine; default: the embedded one")
    options = parser.parse_args(arguments)
    if options.rows < 1 or options.rounds < 1:
        parser.error("--rows and --rounds are at least 1")
    return options


if __name__ == "__main__":
    main()
