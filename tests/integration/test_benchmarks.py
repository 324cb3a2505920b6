"""The benchmarks still run at all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from benchmarks import transforms
from syncline.core.mapping import BEGINNINGS
from syncline.core.transforms import Check, Transform
from tests.conftest import ROOT, Postgres


def test_the_comparison_can_be_timed_and_finds_what_was_planted() -> None:
    """Shape only: a few rows say nothing about time. The script itself stops where ours reports other rows."""
    folder = ROOT / "var" / "test" / f"bench-{os.getpid()}"
    try:
        ran = subprocess.run(
            [sys.executable, "benchmarks/compare.py", "--rows", "1000", "--rounds", "1", "--skip-peers"],
            cwd=ROOT, env={**os.environ, "SYNCLINE_BENCH_FOLDER": str(folder)}, capture_output=True, text=True,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout + ran.stderr
        figures = json.loads(ran.stdout.splitlines()[-1])
    finally:
        shutil.rmtree(folder, ignore_errors=True)

    assert [name for name, figure in figures.items() if figure is None] == ["reladiff_x", "dvt_x"]
    assert all(figures[name] > 0 for name in ("equal_x", "diff100_x", "rss_mb"))


def test_every_word_is_measured_or_said_not_to_be(pg: Postgres, capsys: pytest.CaptureFixture[str]) -> None:
    """Shape only: a few rows say nothing about time."""
    transforms.main(["--rows", "2000", "--rounds", "1", "--server", pg.admin_conninfo])

    printed = capsys.readouterr().out.splitlines()
    measured = json.loads(printed[-1])
    told = {line.split(": ")[1] for line in printed if line.startswith("not measured: ")}
    words = {*Transform.known, *Check.known, *(word.rstrip("_") for word in BEGINNINGS)}
    assert set(measured) | told == words
    assert not set(measured) & told
    assert all(isinstance(ratio, float) for ratio in measured.values())
    refused = [line for line in printed if line.endswith(" rejected)")]
    assert not refused, "a rejected row costs more: give benchmarks/typical_values.yaml values that these words take"
    assert {"from", "concat", "lookup", "when", "trim", "parse_date", "required", "iban", "compare"} <= set(measured)
