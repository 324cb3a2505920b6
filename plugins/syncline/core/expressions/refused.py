"""The one way in which an expression is turned down: where, what was found, what is allowed, the nearest right name."""

from __future__ import annotations

from syncline.core.files.findings import printable

# An expression is reviewed by eye; what needs more is a program, or several fields.
TEXT_MAX = 2_000  # characters
LEXEMES_MAX = 400
NESTING_MAX = 12  # brackets and CASE inside each other: each costs up to 35 of Python's 1,000 frames
DEPTH_MAX = 60  # of the parsed tree: a chain of 60 operators
PARTS_MAX = 3_000  # of the statement that comes out: guards repeat their operand
SQL_MAX = 200_000  # characters of the statement that comes out
SHOWN_MAX = 40  # characters of a wrong word that a message repeats


class ExpressionRefused(ValueError):
    """An expression is not in the restricted language.

    Attributes:
        position: Where in the text, from 0.
        said: What was found there.
        allowed: What is allowed, or what to write instead; may be empty.
        nearest: The nearest right name; may be empty.
        place: Where the text stands inside its field; set by who knows it.
    """

    place: tuple[str | int, ...] = ()

    def __init__(self, position: int, said: str, allowed: str = "", nearest: str = "") -> None:
        self.position, self.said, self.allowed, self.nearest = position, printable(said), allowed, nearest
        message = f"at {position + 1}: {self.said}"
        message += f"; {allowed}" if allowed else ""
        super().__init__(message + (f". Did you mean '{nearest}'?" if nearest else ""))


def shown(text: str) -> str:
    """A wrong word as a message repeats it: one line, not too long."""
    return text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "..."
