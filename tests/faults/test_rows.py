"""Each row of the table of faults has a test that bears its number; a row without one is a promise nobody keeps."""

from __future__ import annotations

import ast
from collections import defaultdict

from tests.conftest import ROOT

# Loader and Airflow, then source and extraction: what batches promise. The other rows belong to other parts.
ROWS = [
    "F01",
    "F02",
    "F03",
    "F04",
    "F05",
    "F07",
    "F08",
    "F09",
    "F10",
    "F11",
    "F12",
    "F14",
    "F15",
    "F16",
    "F17",
    "F18",
    "F19",
    "F20",
    "F22",
    "F23",
    "F25",
    "F26",
    "F27",
    "F28",
    "F29",
    "F30",
    "F31",
    "F49",
    "F55",
]


def named_by_row() -> dict[str, list[str]]:
    """Row -> the tests that bear its number and are run, be it only by `make faults`."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "tests" / "faults").glob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_F"):
                is_skipped = any("mark.skip(" in ast.unparse(mark) for mark in node.decorator_list)
                found[node.name.split("_")[1]] += [] if is_skipped else [node.name]
    return found


def test_every_row_has_a_test() -> None:
    found = named_by_row()
    assert [row for row in ROWS if not found.get(row)] == []
    assert sorted(found.keys() - set(ROWS)) == [], (
        "a row that is no fault of batches: name it in ROWS, or move the test"
    )
