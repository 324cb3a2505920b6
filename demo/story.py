"""What the person at the keyboard sees while the demo works: one line per chapter, and what is going on in it.

On a terminal the present state is a line that moves; elsewhere (a log, CI) only what is finished is written.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.status import Status

TABLE_WIDTH = 142


class Story:
    """Tells the chapters of the demo. `note` may be called from any thread."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(soft_wrap=True, highlight=False)
        self._title = ""
        self._notes: dict[str, str] = {}
        self._status: Status | None = None

    @contextmanager
    def chapter(self, title: str) -> Iterator[None]:
        """One piece of work: shown while it lasts, and with its duration when it is done."""
        self._title, self._notes, began = title, {}, time.monotonic()
        if not self.console.is_terminal:
            self.say(f"... {title}")
        with self.console.status(escape(title)) as self._status:
            yield
        self._status = None
        self.say(f"ok  {title} ({time.monotonic() - began:.1f} s)")

    def note(self, topic: str, text: str) -> None:
        """Show what happens now under this topic; an empty text ends the topic."""
        if text:
            self._notes[topic] = text
        else:
            self._notes.pop(topic, None)
        if self._status is not None:
            self._status.update(escape("; ".join([self._title, *self._notes.values()])))

    def say(self, sentence: str) -> None:
        self.console.print(escape(sentence))

    def show(self, *tables: RenderableType) -> None:
        """Print wide things whole, also into a narrow log: a cut number is worse than a wrapped line."""
        wide = Console(width=max(self.console.width, TABLE_WIDTH), highlight=False)
        for table in tables:
            wide.print(table)
