"""A mistake in a file, told so that its author can mend it: place, code, what was found, what is allowed.

Codes are the M rows of the project's fault list and are stable: people search for them. The value of a field
that may hold a secret is never echoed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True, order=True)
class Finding:
    """One mistake. `path` is relative to the project's root; line and column count from 1."""

    path: str
    line: int
    column: int
    code: str
    found: str
    allowed: str = ""
    nearest: str = ""

    def __str__(self) -> str:
        said = f"{self.path}:{self.line}:{self.column}: {self.code} {self.found}"
        said += f"; {self.allowed}" if self.allowed else ""
        return printable(said + (f". Did you mean '{self.nearest}'?" if self.nearest else ""))

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def printable(text: str) -> str:
    """The text on one line, with what a terminal would obey spelt out (V23)."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def nearest(name: str, allowed: Iterable[str]) -> str:
    """The allowed name closest to a wrong one, or '' where none is close."""
    return next(iter(difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.6)), "")


def report(findings: Iterable[Finding]) -> str:
    """All findings, sorted by place, one line each."""
    return "\n".join(str(finding) for finding in sorted(findings))
