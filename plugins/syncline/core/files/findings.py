"""A mistake in a file, told so that its author can mend it: place, code, what was found, what is allowed.

Codes are the M rows of the project's fault list and are stable: people search for them, and docs/errors.md explains
them. The value of a field that may hold a secret is never echoed, neither in words nor in the line that is shown.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from syncline.core.files.codes import CODES
from syncline.core.files.excerpts import Excerpt, spelt

KEY = "[key]"  # at the end of a path: the key itself, not its value; pydantic's own marker
Paint = Callable[[str, str], str]  # style and text to what a terminal shows; styles: place, code, gutter, caret, hint


@dataclass(frozen=True, order=True)
class Finding:
    """One mistake. `path` is relative to the project's root; line and column count from 1.

    Attributes:
        length: Signs of the line that are wrong, from `column` on; 0 where that is not known.
        excerpt: The line as it may be shown.
    """

    path: str
    line: int
    column: int
    code: str
    found: str
    allowed: str = ""
    nearest: str = ""
    length: int = 0
    excerpt: Excerpt = field(default=Excerpt(), compare=False)

    def __str__(self) -> str:
        said = f"{self.path}:{self.line}:{self.column}: {self.code} {self.found}"
        said += f"; {self.allowed}" if self.allowed else ""
        return printable(said + self._question)

    @property
    def remedy(self) -> str:
        """What to do: what is allowed at this place, or else what helps with every mistake of the code."""
        is_told = self.allowed or "; " in self.found or "Did you mean" in self.found
        return self.allowed if is_told or self.code not in CODES else CODES[self.code].remedy

    @property
    def docs(self) -> str:
        return f"docs/errors.md#{self.code.lower()}"

    @property
    def _question(self) -> str:
        return f". Did you mean '{self.nearest}'?" if self.nearest else ""

    def page(self, paint: Paint = lambda _, text: text) -> str:
        """The mistake over several lines: place and sentence, the line, carets under what is wrong, the remedy."""
        place = paint("place", printable(f"{self.path}:{self.line}:{self.column}:"))
        said = [f"{place} {paint('code', self.code)} {printable(self.found + self._question)}"]
        number = str(self.line).rjust(4)
        margin = " " * len(number)
        if self.excerpt.text.strip():
            said.append(f"{paint('gutter', f'{number} |')} {self.excerpt.text}".rstrip())
            if self.excerpt.width:
                indent = " " * self.excerpt.indent
                said.append(f"{paint('gutter', f'{margin} |')} {indent}{paint('caret', '^' * self.excerpt.width)}")
        if self.remedy:
            said.append(f"{paint('gutter', f'{margin} =')} {paint('hint', printable(self.remedy))}")
        return "\n".join(said)

    def as_dict(self) -> dict[str, object]:
        """For other programs: the parts, the line as it may be shown, and where the code is explained."""
        return {
            "path": self.path,
            "line": self.line,
            "column": self.column,
            "end_column": self.column + self.length,
            "code": self.code,
            "found": self.found,
            "allowed": self.allowed,
            "nearest": self.nearest,
            "text": self.excerpt.text,
            "docs": self.docs,
        }


def printable(text: str) -> str:
    """The text on one line, with what a terminal would obey spelt out (V23)."""
    return text if text.isprintable() else "".join(map(spelt, text))


def nearest(name: str, allowed: Iterable[str]) -> str:
    """The allowed name closest to a wrong one, or '' where none is close."""
    return _nearest(name, tuple(allowed))


@lru_cache(maxsize=4096)
def _nearest(name: str, allowed: tuple[str, ...]) -> str:
    """Remembered: one slip is often made in many files."""
    return next(iter(difflib.get_close_matches(name, allowed, n=1, cutoff=0.6)), "")


def report(findings: Iterable[Finding]) -> str:
    """All findings, sorted by place, one line each."""
    return "\n".join(str(finding) for finding in sorted(findings))
