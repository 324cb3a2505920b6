"""Start other people's programs so that none of them outlives the demo.

Each program runs in a session of its own (Ctrl-C reaches the demo alone, which then stops things in order)
and on a tether (it ends if the demo is killed). Stopping is by process id only: the program, everything below
it, and everything left in its session. What a killed demo could not stop any more stands in a small book on
disk, with start times, so that the next demo ends it, and never signals a stranger whose id was reused.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

TETHER = Path(__file__).with_name("tether.py")
LAST_WAIT_S = 3


@dataclass(frozen=True)
class Account:
    """The operating system's user that a program runs as."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Started:
    """A process that is safe to signal: its id alone may meanwhile belong to somebody else."""

    name: str
    pid: int
    started_at: float
    booted_at: float

    @classmethod
    def of(cls, name: str, pid: int) -> Started:
        return cls(name, pid, psutil.Process(pid).create_time(), psutil.boot_time())

    def process(self) -> psutil.Process | None:
        """The process itself while it lives."""
        try:
            process = psutil.Process(self.pid)
            is_same = abs(process.create_time() - self.started_at) < 1
        except psutil.Error:
            return None
        return process if is_same and _is_alive(process) else None

    def family(self) -> set[psutil.Process]:
        """The process, its descendants, and whoever is left in its session."""
        if abs(psutil.boot_time() - self.booted_at) > 60:
            return set()
        process = self.process()
        if process is None and _belongs_to_another(self):
            return set()
        members = {member for member in psutil.process_iter() if _session(member) == self.pid}
        if process is not None:
            with contextlib.suppress(psutil.Error):
                members |= {process, *process.children(recursive=True)}
        return {member for member in members if _is_alive(member)}


def spawn(
    command: Sequence[str | Path],
    *,
    log: Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    account: Account | None = None,
    last_signal: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start `command` in the background; its output is appended to `log`.

    Args:
        account: Whose rights it gets; only root may give one.
        last_signal: What it receives if this process dies.
    """
    uid, gid = (account.uid, account.gid) if account else (-1, -1)
    tether = [sys.executable, "-I", "-S", str(TETHER), os.getpid(), int(last_signal), uid, gid, "--"]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            [str(word) for word in (*tether, *command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=dict(env) if env is not None else None,
            start_new_session=True,
        )


def stop(programs: Iterable[Started], *, grace_s: float) -> None:
    """Ask all of them to end; after `grace_s` seconds ask their whole families, and then end those.

    Airflow's scheduler, asked once, waits for its running tasks; the tasks themselves, asked, cancel their
    statement and say so to the API: stop the API server last, in a call of its own.
    """
    programs = list(programs)
    remaining: set[psutil.Process] = set().union(*(program.family() for program in programs))
    for program in programs:
        _signal(program.process(), signal.SIGTERM)
    remaining = _wait(programs, remaining, grace_s)
    for last_resort in (signal.SIGTERM, signal.SIGKILL):
        for process in remaining:
            _signal(process, last_resort)
        remaining = _wait(programs, remaining, LAST_WAIT_S)


def _wait(programs: list[Started], processes: set[psutil.Process], timeout_s: float) -> set[psutil.Process]:
    """Who is left, newcomers included, after at most that many seconds."""
    deadline = time.monotonic() + timeout_s
    while any(map(_is_alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return {process for process in processes if _is_alive(process)}.union(*(program.family() for program in programs))


class Book:
    """The programs of a running demo, on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, program: Started) -> None:
        self._write([*self.programs(), program])

    def close(self) -> None:
        self.path.unlink(missing_ok=True)

    def programs(self) -> list[Started]:
        try:
            return [Started(**entry) for entry in json.loads(self.path.read_text())]
        except (FileNotFoundError, ValueError, TypeError):
            return []

    def stop_leftovers(self, *, grace_s: float) -> int:
        """End what an earlier demo left running, and say how many processes that were."""
        leftovers = self.programs()
        found = len(set().union(*(program.family() for program in leftovers)))
        if found:
            stop(leftovers, grace_s=grace_s)
        self.close()
        return found

    def _write(self, programs: list[Started]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_suffix(".new")
        unfinished.write_text(json.dumps([asdict(program) for program in programs]))
        unfinished.replace(self.path)


def _belongs_to_another(program: Started) -> bool:
    """Whether the id, and with it the session of that number, was given to a later process."""
    try:
        return abs(psutil.Process(program.pid).create_time() - program.started_at) >= 1
    except psutil.Error:
        return False


def _session(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except OSError:
        return None


def _is_alive(process: psutil.Process) -> bool:
    """Whether it still does something; a zombie only waits for its parent to take notice."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _signal(process: psutil.Process | None, number: signal.Signals) -> None:
    if process is not None:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)
