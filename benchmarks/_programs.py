"""Run a contender as its user would, in a process of its own; tell how long it took and how much memory it had.

Whatever is started here ends with the benchmark, also when that is interrupted.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


class Failed(RuntimeError):
    """A contender ended with an error."""


@dataclass(frozen=True)
class Ran:
    """One finished program.

    Attributes:
        seconds: Wall clock, from start to end of the process.
        rss_mb: Peak resident memory of the process itself.
        output: What it printed on standard output.
    """

    seconds: float
    rss_mb: float
    output: str


def run(
    command: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path, log: Path, codes: Sequence[int] = (0,)
) -> Ran:
    """Run one program to its end; what it says on standard error goes to `log`.

    Raises:
        Failed: It ended with another exit code than one of `codes`.
    """
    started = time.monotonic()
    with log.open("ab") as errors:
        program = subprocess.Popen(
            [str(word) for word in command], env={**os.environ, **env}, cwd=cwd, stdout=subprocess.PIPE, stderr=errors
        )
        try:
            output = program.stdout.read() if program.stdout else b""
            _, status, used = os.wait4(program.pid, 0)
            program.returncode = os.waitstatus_to_exitcode(status)
        finally:
            _end(program)
    if program.returncode not in codes:
        raise Failed(f"{Path(str(command[0])).name} ended with exit code {program.returncode}; see {log}")
    return Ran(time.monotonic() - started, used.ru_maxrss / 1024, output.decode())


def pipe(first: Sequence[str | Path], second: Sequence[str | Path], *, env: Mapping[str, str]) -> float:
    """Run `first | second` and return the seconds until both have ended."""
    started = time.monotonic()
    everything = {**os.environ, **env}
    source = subprocess.Popen([str(word) for word in first], env=everything, stdout=subprocess.PIPE)
    target = subprocess.Popen([str(word) for word in second], env=everything, stdin=source.stdout)
    try:
        if source.stdout:
            source.stdout.close()
        codes = target.wait(), source.wait()
    finally:
        _end(source)
        _end(target)
    if any(codes):
        raise Failed(f"{first[0]} | {second[0]} ended with exit codes {codes[1]} and {codes[0]}")
    return time.monotonic() - started


def _end(program: subprocess.Popen[bytes]) -> None:
    if program.returncode is None and program.poll() is None:
        program.terminate()
        program.wait(30)
