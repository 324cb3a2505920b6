"""Places where a test may make the line die, wait or fail; free of cost unless SYNCLINE_FAILPOINTS is set.

    SYNCLINE_FAILPOINTS="extract.block@3:KILL,copy.after_rows=5000:RAISE"

At the third block the process kills itself; after 5,000 rows it raises. `@` and `=` both say at which passing of the
place, the first by default. A place stands on either side of each change of durable state (PLACES), so that every
order of "done" and "told" can be brought about. The variable is read when this module is: what it says wrongly is
refused before anything is touched.

    RAISE             a failure that may pass by itself
    KILL              SIGKILL to this process: no clean-up, no farewell
    FAIL_AFTER_WRITE  what comes next happens, and is told as failed: RAISE at the next place that is passed
    HOLD              wait for SIGCONT; other signals do what they do elsewhere
    SLOW              wait half a second, here and at each later passing
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from syncline.core.errors import TerminalError, TransientError

VARIABLE = "SYNCLINE_FAILPOINTS"
ACTIONS = ("RAISE", "KILL", "FAIL_AFTER_WRITE", "HOLD", "SLOW")
SLOW_S = 0.5
PLACES = {  # in the order of a batch's life
    "open.before": "nothing is written yet",
    "open.recorded": "the ledger has the batch, and the batch has the job's lock",
    "attempt.begun": "the ledger has a new epoch and an attempt that runs",
    "extract.begun": "source and target fit the mapping, the snapshot is taken",
    "copy.after_rows": "a row of the source has arrived, counted one by one",
    "parts.posted": "the ledger offers the parts of a batch, the snapshot that they are read under is held",
    "extract.block": "a block of rows has arrived and goes into the staging table",
    "extract.before_commit": "the staging table is filled, and not committed",
    "parts.staged": "a part is committed in the staging table, and the ledger does not know",
    "extract.staged": "the staging table is committed",
    "extract.settled": "what cannot be loaded is marked in the staging table",
    "extract.recorded": "the ledger has the cut-off, the counts and the dead letters",
    "hold.recorded": "the ledger has closed the batch unpublished and queued its alert",
    "alert.sent": "the channel has taken alerts, and the ledger does not know",
    "load.begun": "an attempt to load has found no marker",
    "load.before_commit": "the target is written, and not committed",
    "load.before_ledger": "the target is committed, and the ledger does not know",
    "load.recorded": "the ledger has the outcomes",
    "reconcile.judged": "the verdict and its page are there, and the ledger does not know",
    "reconcile.recorded": "the ledger has the verdict",
    "publish.before": "the gate is still closed",
    "publish.recorded": "the gate is open, the watermark has moved, the staging table still stands",
    "group.before": "all members are proven, the gate is still closed",
    "group.recorded": "the gate is open for all members, their staging tables still stand",
    "publish.cleared": "the staging table is gone",
    "compare.hashed": "a comparison has hashed both sides, and the ledger has the ranges that differ",
    "compare.looked": "a comparison has looked at single records once",
    "attempt.ended": "the ledger has the end of the attempt",
}
Item = TypeVar("Item")


@dataclass(frozen=True)
class Armed:
    """What is to happen at one passing of a place."""

    place: str
    turn: int
    action: str


_passed: Counter[str] = Counter()
_owed: Armed | None = None  # FAIL_AFTER_WRITE between its place and the next


def failpoint(name: str) -> None:
    """Do what the environment asks for at this place; nothing without it."""
    if _armed:
        _pass(name)


def after_each(name: str, items: Iterable[Item]) -> Iterable[Item]:
    """The items, with a failpoint after each of them; the same object where nothing is armed."""
    return _counted(name, items) if any(armed.place == name for armed in _armed) else items


def read(asked: str) -> tuple[Armed, ...]:
    """Take `place[@turn]:ACTION, ...` apart.

    Raises:
        TerminalError: All that is wrong with it, and what is known.
    """
    armed, wrong = [], []
    for entry in filter(None, map(str.strip, asked.split(","))):
        where, _, action = entry.partition(":")
        place, _, turn = where.replace("=", "@").partition("@")
        if place not in PLACES:
            wrong.append(f"{entry!r}: there is no place {place!r}")
        if action not in ACTIONS:
            wrong.append(f"{entry!r}: there is no action {action!r}")
        if where != place and not (turn.isascii() and turn.isdecimal() and int(turn)):
            wrong.append(f"{entry!r}: {turn!r} is no number from 1")
        if not wrong:
            armed.append(Armed(place, int(turn or 1), action))
    if wrong:
        raise TerminalError(
            f"{VARIABLE}: {'; '.join(wrong)}. Nothing was done. Write place@turn:ACTION. "
            f"Places: {', '.join(PLACES)}. Actions: {', '.join(ACTIONS)}"
        )
    return tuple(armed)


def _counted(name: str, items: Iterable[Item]) -> Iterator[Item]:
    for item in items:
        failpoint(name)
        yield item


def _pass(name: str) -> None:
    global _owed
    _passed[name] += 1
    owed, _owed = _owed, None
    if owed is not None:
        raise TransientError(f"failpoint {owed.place} was armed with {owed.action}: all up to {name} has happened")
    for armed in _armed:
        if armed.place == name and (
            _passed[name] == armed.turn or (armed.action == "SLOW" and _passed[name] > armed.turn)
        ):
            _act(armed)


def _act(armed: Armed) -> None:
    global _owed
    if armed.action == "KILL":
        os.kill(os.getpid(), signal.SIGKILL)
    elif armed.action == "HOLD":
        _hold()
    elif armed.action == "SLOW":
        time.sleep(SLOW_S)
    elif armed.action == "FAIL_AFTER_WRITE":
        _owed = armed
    else:
        raise TransientError(f"failpoint {armed.place} was armed with {armed.action}")


def _hold() -> None:
    """Wait for SIGCONT; other signals do what they do elsewhere, so a test may also end the process here."""
    while signal.sigtimedwait({signal.SIGCONT}, 1) is None:
        pass


_armed = read(os.environ.get(VARIABLE, "") or os.environ.get("SYNC_FAILPOINTS", ""))  # its older name
if any(armed.action == "HOLD" for armed in _armed):  # one that is sent before we hold must not be lost
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCONT})
