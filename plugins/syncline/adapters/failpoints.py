"""Places where a test may make the line die, wait or fail; free of cost unless SYNCLINE_FAILPOINTS is set.

`SYNCLINE_FAILPOINTS="extract.block@3:KILL,load.before_ledger:RAISE"`: at the third block the process kills itself,
before the ledger is told of a load it raises. Actions: RAISE, KILL (SIGKILL, no clean-up), HOLD (until SIGCONT).
"""

from __future__ import annotations

import os
import signal
from collections import Counter

from syncline.core.errors import TransientError

_ARMED = os.environ.get("SYNCLINE_FAILPOINTS", "")
_passed: Counter[str] = Counter()


def failpoint(name: str) -> None:
    """Do what the environment asks for at this place; nothing without it."""
    if not _ARMED:
        return
    _passed[name] += 1
    for entry in _ARMED.split(","):
        place, _, action = entry.strip().partition(":")
        where, _, turn = place.partition("@")
        if where == name and _passed[name] == int(turn or 1):
            _act(name, action)


def _act(name: str, action: str) -> None:
    if action == "KILL":
        os.kill(os.getpid(), signal.SIGKILL)
    if action == "HOLD":
        _hold()
        return
    if action != "RAISE":
        raise ValueError(f"failpoint {name}: there is no action {action!r}; use RAISE, KILL or HOLD")
    raise TransientError(f"failpoint {name} was armed with {action}")


def _hold() -> None:
    """Wait for SIGCONT; other signals do what they do elsewhere, so a test may also end the process here."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCONT})
    while signal.sigtimedwait({signal.SIGCONT}, 1) is None:
        pass
