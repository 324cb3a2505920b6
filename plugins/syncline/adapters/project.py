"""Where the project's data lies: the folder that holds include/ and var/."""

from __future__ import annotations

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]


def root() -> Path:
    """The project's root: SYNCLINE_HOME, or the checkout that this package stands in."""
    return Path(os.environ.get("SYNCLINE_HOME") or CHECKOUT)


def var() -> Path:
    """Where Syncline writes: nothing outside of it."""
    return Path(os.environ.get("SYNCLINE_VAR") or root() / "var")
