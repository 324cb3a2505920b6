"""What an integration must have beside its manifest and mapping: a contract, a reconciliation, runbooks (metric 11).

Each question is answered by what is lacking, in words for its owner, or by '' where nothing is. Files are read below
the project's root only; an address elsewhere is believed, because nothing here asks the network.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from syncline.core.job import SyncJob
from syncline.core.suites import judging_suite

MISMATCH_RATIO_MAX = 0.001  # the limit of control SYNC-005: 0.1 %; a manifest may promise less, not allow more
RUNBOOKS = "docs/runbooks"
ALWAYS = (
    "batch-held",
    "batch-unverified",
    "records-differ",
    "source-replaced",
    "system-down",
    "task-failed",
)  # alerts that every integration can raise
GENERATED = "<!-- Made by `syncline generate`"  # near the top of every page that is
TOP_LINES = 5
# What jobs are made of; a page that says it again is no agreement either.
MADE_OF = ("include/manifests", "include/mappings", "include/schemas", "include/expectations")
MARKDOWN = (".md", ".markdown")
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*")
LINKED = re.compile(r"\[([^]]*)\]\([^)]*\)")


class Surroundings:
    """The files of a project that its integrations lean on; each is read once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._pages: dict[str, tuple[str, frozenset[str]]] = {}
        self._suites: dict[str, str] = {}

    def contract_lack(self, contract: str | None) -> str:
        """Why a contract is none that two teams could have agreed on."""
        if contract is None:
            return "the manifest names none"
        if contract.startswith("https://"):
            return ""
        path, _, anchor = contract.partition("#")
        if path not in self._pages:
            self._pages[path] = self._page(path)
        lack, found = self._pages[path]
        if lack or not anchor or anchor in found:
            return lack
        return f"{path} has no heading '#{anchor}'"

    def _page(self, path: str) -> tuple[str, frozenset[str]]:
        """Why a page is no contract, or the anchors of its headings."""
        page = (self.root / path).resolve()
        if not page.is_file() or not page.is_relative_to(self.root.resolve()):
            return f"{path} does not exist", frozenset()
        if page.relative_to(self.root.resolve()).as_posix().startswith(MADE_OF):
            return f"{path} is what jobs are made of, not what two teams agreed on", frozenset()
        text = page.read_text(encoding="utf-8", errors="replace")
        if not text.strip():
            return f"{path} is empty", frozenset()
        if any(line.startswith(GENERATED) for line in text.splitlines()[:TOP_LINES]):
            return f"{path} is generated: it says what the manifest says, whatever that is", frozenset()
        return "", frozenset(anchors(text) if page.suffix.lower() in MARKDOWN else ())

    def reconciliation_lack(self, job: SyncJob) -> str:
        """Why batches of a job are not held against their source as SYNC-005 asks."""
        ratio = job.manifest.reconcile.mismatch_ratio_max
        if ratio > MISMATCH_RATIO_MAX:
            return f"mismatch_ratio_max {ratio:g} is above SYNC-005's {MISMATCH_RATIO_MAX:g}"
        suite, _ = judging_suite(self.root, job)
        if suite not in self._suites:
            self._suites[suite] = _suite_lack(self.root, suite)
        return self._suites[suite]

    def runbook_lack(self, job: SyncJob) -> str:
        """Which alerts of a job would leave the person on call without a page."""
        missing = [name for name in runbooks_of(job) if not _has_text(self.root / RUNBOOKS / f"{name}.md")]
        return f"{RUNBOOKS} has no {', '.join(missing)}" if missing else ""


def runbooks_of(job: SyncJob) -> list[str]:
    """What the alerts of a job are about; loud or not, each names its runbook."""
    found = list(ALWAYS)
    if job.manifest.errors.rejected_ratio_max < 1:  # where all rows may be rejected, no batch is held for it
        found.append("rows-rejected")
    if any(name.startswith("pub_") for name in job.manifest.downstream):
        found.append("publish-tables-failed")
    if job.on_delete != "ignore":
        found.append("mass-delete")
    if job.manifest.group is not None:
        found.append("group-held")
    return found


def _suite_lack(root: Path, path: str) -> str:
    try:
        suite = json.loads((root / path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return f"{path} does not exist"
    except (OSError, ValueError):
        return f"{path} cannot be read"
    expectations = suite.get("expectations") if isinstance(suite, dict) else None
    if not isinstance(expectations, list) or not any(map(_limits_the_mismatch, expectations)):
        return f"{path} does not compare mismatch_ratio with the manifest's limit"
    return ""


def _limits_the_mismatch(expectation: Any) -> bool:
    said = expectation if isinstance(expectation, dict) else {}
    takes = said.get("kwargs")
    return (
        said.get("type") == "expect_column_values_to_be_between"
        and isinstance(takes, dict)
        and takes.get("column") == "mismatch_ratio"
        and takes.get("max_value") == {"$PARAMETER": "mismatch_ratio_max"}
        and "mostly" not in takes
    )


def _has_text(path: Path) -> bool:
    return path.is_file() and bool(path.read_text(encoding="utf-8", errors="replace").strip())


def anchors(text: str) -> Iterator[str]:
    """The anchors of a markdown page's headings (`# ...`), as renderers make them."""
    seen: Counter[str] = Counter()
    for title in _titles(text):
        name = anchor_of(title)
        yield f"{name}-{seen[name]}" if seen[name] else name
        seen[name] += 1


def anchor_of(title: str) -> str:
    """`Workers, and who pays them` -> `workers-and-who-pays-them`."""
    shown = LINKED.sub(r"\1", title).lower()
    return re.sub(r"[^\w -]", "", shown).replace(" ", "-")


def _titles(text: str) -> Iterator[str]:
    """Headings that a reader sees: neither in a comment nor in a block of code."""
    fence = ""
    for line in COMMENT.sub("", text).splitlines():
        marked = FENCE.match(line)
        if fence:
            is_end = marked is not None and marked[1].startswith(fence) and not line.strip(" `~")
            fence = "" if is_end else fence
        elif marked:
            fence = marked[1]
        elif heading := HEADING.fullmatch(line):
            yield heading[1]
