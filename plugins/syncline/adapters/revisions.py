"""Files of the project as they were in another revision of its Git repository. Nothing is checked out."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from pathlib import Path

from syncline.core.errors import TerminalError

# A commit, tag or branch, with ~ and ^; never an option of git.
REVISION = re.compile(r"[A-Za-z0-9_@][A-Za-z0-9_./@{}~^+-]{0,199}")
GIT_TIMEOUT_S = 60


def is_revision(said: str) -> bool:
    return REVISION.fullmatch(said) is not None


def export_include(root: Path, revision: str, into: Path) -> None:
    """Write `include/` of a revision below a folder. Raises TerminalError where there is no such revision."""
    if not is_revision(revision):
        raise TerminalError(f"'{revision[:80]}' is not a revision; write a commit, a tag or a branch")
    packed = _git(root, revision, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    commit = packed.decode().strip()
    prefix = _git(root, revision, "rev-parse", "--show-prefix").decode().strip()
    archive = _git(root, revision, "archive", "--format=tar", f"{commit}:{prefix}", "include")
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(into, filter="data")


def _git(root: Path, revision: str, *arguments: str) -> bytes:
    try:
        done = subprocess.run(  # noqa: S603  # fixed words, and a revision that REVISION lets through
            ["git", "-C", str(root), *arguments],  # noqa: S607  # whichever stands on the reader's PATH
            capture_output=True,
            check=False,
            timeout=GIT_TIMEOUT_S,
        )
    except FileNotFoundError:
        raise TerminalError("git is not installed: compare two files instead of two revisions") from None
    except subprocess.TimeoutExpired:
        raise TerminalError(f"git did not answer in {GIT_TIMEOUT_S} s") from None
    if done.returncode != 0:
        raise TerminalError(f"git knows no revision '{revision}' with an include folder at {root.name}")
    return done.stdout
