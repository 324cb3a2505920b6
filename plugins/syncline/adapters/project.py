"""Where the project's data lies, the folder that holds include/ and var/, and how a file of it is written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

CHECKOUT = Path(__file__).resolve().parents[3]


def root() -> Path:
    """The project's root: SYNCLINE_HOME, or the checkout that this package stands in."""
    return Path(os.environ.get("SYNCLINE_HOME") or CHECKOUT)


def var() -> Path:
    """Where Syncline writes: nothing outside of it."""
    return Path(os.environ.get("SYNCLINE_VAR") or root() / "var")


def ignores_windows() -> bool:
    """Whether closed hours of systems are not kept here: where the systems are toys, as in the demo and in tests."""
    return os.environ.get("SYNCLINE_DESPITE_WINDOWS") == "1"


def write(path: Path, text: str) -> None:
    """Write a whole file or nothing: who is interrupted leaves no half of it."""
    with writing(path) as out:
        out.write(text)


@contextmanager
def writing(path: Path) -> Iterator[IO[str]]:
    """The same for a text that is too long to be held at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=".", delete=False) as out:
        try:
            yield out
            out.close()
            Path(out.name).chmod(0o666 & ~_umask())
            Path(out.name).replace(path)
        except BaseException:
            Path(out.name).unlink(missing_ok=True)
            raise


def _umask() -> int:
    """What new files may not be; the system tells it only to who sets it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
