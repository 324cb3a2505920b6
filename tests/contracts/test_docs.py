"""What the documents say is held against what exists: paths, make targets, and every command they show."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.conftest import ROOT

DOCUMENTS = sorted(
    [ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("include/**/*.md"),
     *ROOT.glob("benchmarks/*.md"), *ROOT.glob("examples/**/*.md")]
)  # fmt: skip
WALKED = ROOT / "docs" / "adding_a_sync.md"  # its commands build on each other: test_adding_a_sync.py runs them
EXAMPLE = ROOT / "examples" / "chinook"
SHELL = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")
CODE_PATH = re.compile(r"`((?:plugins|include|tests|docs|dags|dbt_project|demo|benchmarks|examples)/[^`\s<>*]+)`")
# Needs a running Airflow: the demo (tests/demo) imports the same pools from the same function.
ELSEWHERE = ("python -m syncline.orchestration.pools | airflow pools import /dev/stdin",)
UNDER_AIRFLOW = ".venv/bin/airflow backfill"  # tests/demo/test_backfills.py runs them
KINDS = (UNDER_AIRFLOW, "make ", ".venv/bin/syncline", ".venv/bin/python benchmarks/")


def commands() -> list[str]:
    """Every line of every shell block, without repetition."""
    blocks = (block for document in DOCUMENTS if document != WALKED for block in SHELL.findall(document.read_text()))
    return sorted({line.strip() for block in blocks for line in block.splitlines() if line.strip()})


def test_there_are_commands_to_run() -> None:
    assert len(commands()) > 5


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_path_in_the_documents_exists(document: Path) -> None:
    text = FENCE.sub("", document.read_text())
    linked = {(document.parent / link).resolve() for link in LINK.findall(text)}
    named = {ROOT / path.rstrip("/") for path in CODE_PATH.findall(text)}
    if document == WALKED:  # it speaks of a folder into which its example was copied
        named = {path for path in named if not (EXAMPLE / path.relative_to(ROOT)).exists()}
    missing = sorted(str(path.relative_to(ROOT)) for path in linked | named if not path.exists())
    assert not missing, f"{document.name} names what is not there: {missing}"


@pytest.mark.parametrize("command", [line for line in commands() if line.startswith("make ")])
def test_every_make_target_in_the_documents_exists(command: str) -> None:
    target = shlex.split(command)[1]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), f"Makefile has no {target}"


@pytest.mark.parametrize("command", [line for line in commands() if ".venv/bin/syncline" in line])
def test_every_syncline_command_in_the_documents_works(command: str, demo_world: dict[str, str]) -> None:
    done = subprocess.run(
        shlex.split(command), cwd=ROOT, env={**os.environ, **demo_world}, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("runbook", sorted(ROOT.glob("docs/runbooks/*.md")), ids=lambda path: path.stem)
def test_the_queries_of_a_runbook_run_as_the_ledgers_login(runbook: Path, demo_world: dict[str, str]) -> None:
    for query in re.findall(r"^```sql\n(.*?)^```", runbook.read_text(), re.MULTILINE | re.DOTALL):
        with psycopg.connect(demo_world["AIRFLOW_CONN_LEDGER"]) as ledger:
            assert ledger.execute(query.encode()).description


def test_every_shell_command_is_of_a_kind_that_is_run() -> None:
    strange = [line for line in commands() if not line.startswith(KINDS) and line not in ELSEWHERE]
    assert not strange, f"commands that no test runs: {strange}"
