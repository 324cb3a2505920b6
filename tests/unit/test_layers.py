"""The house of DESIGN.md, section 3: arrows point down only. An import inside a function is an arrow too."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "plugins" / "syncline"
# layer -> what of our own it may import
MAY = {
    "core": {"core"},
    "adapters": {"core", "adapters"},
    "steps": {"core", "adapters", "steps"},
    "orchestration": {"core", "adapters", "steps", "orchestration"},
    "web": {"core", "adapters", "web"},
    "shell": {"core", "adapters", "steps", "shell"},
    "__main__": {"core", "adapters", "steps", "shell"},
    "__init__": set(),
}
KNOW_AIRFLOW = {"orchestration", "web"}
AIRFLOW = {"airflow", "cosmos", "airflow_shared"}
# What core may use of the world: it computes. No clock, no network, no database, no environment, no process.
PURE = {
    "__future__", "bisect", "calendar", "collections", "contextlib", "copy", "dataclasses", "datetime", "decimal", "difflib", "enum", "functools", "hashlib", "heapq",
    "itertools", "json", "math", "operator", "pathlib", "re", "string", "textwrap", "typing", "unicodedata", "uuid", "zoneinfo",
    "croniter", "psycopg", "pycountry", "pydantic", "pydantic_core", "sqlglot", "yaml",
}  # fmt: skip
PSYCOPG_IN_CORE = {"psycopg.sql"}  # composing SQL is computing; running it is not
CLOCKS = {"now", "utcnow", "today", "monotonic", "perf_counter", "time_ns"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and full name of everything imported, wherever it is imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are banned by ruff"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def broken_rules(path: Path, source: str) -> list[str]:
    """What a module imports or calls and must not, as `path:line: why`."""
    layer, tree = layer_of(path), ast.parse(source)
    said = []
    for line, name in imports(tree):
        top, _, rest = name.partition(".")
        ours = rest.split(".")[0]
        if top == "syncline" and ours not in MAY[layer] and name != "syncline.__version__":
            said.append(f"{path.name}:{line}: {layer} imports {name}; arrows point down only")
        if top in AIRFLOW and layer not in KNOW_AIRFLOW:
            said.append(f"{path.name}:{line}: {layer} imports {name}; only orchestration knows Airflow")
        if layer == "core" and top != "syncline":
            said += [f"{path.name}:{line}: core is pure and imports {name}"] if not _is_pure(name) else []
    return said + (list(_clocks(path, tree)) if layer == "core" else [])


def _is_pure(name: str) -> bool:
    top = name.split(".")[0]
    return any(name.startswith(allowed) for allowed in PSYCOPG_IN_CORE) if top == "psycopg" else top in PURE


def _clocks(path: Path, tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in CLOCKS:
            yield f"{path.name}:{node.lineno}: core has no clock; pass the time in"
        if called == "croniter" and not any(word.arg == "start_time" for word in node.keywords):
            yield f"{path.name}:{node.lineno}: croniter without start_time asks the clock"


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_imports_only_what_is_below_it(path: Path) -> None:
    assert broken_rules(path, path.read_text()) == []


def test_there_are_modules_of_every_layer() -> None:
    assert {"core", "adapters", "steps", "orchestration", "__main__"} <= {layer_of(path) for path in modules()}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("core/x.py", "from syncline.adapters import ledger"),
        ("core/x.py", "import syncline.steps"),
        ("core/x.py", "def f():\n    from syncline.adapters.source import Source"),
        ("core/x.py", "import os"),
        ("core/x.py", "import time"),
        ("core/x.py", "import requests"),
        ("core/x.py", "import psycopg"),
        ("core/x.py", "from psycopg import connect"),
        ("core/x.py", "from datetime import datetime\nx = datetime.now()"),
        ("core/x.py", "from croniter import croniter\nx = croniter('* * * * *')"),
        ("core/x.py", "if TYPE_CHECKING:\n    from airflow.sdk import DAG"),
        ("adapters/x.py", "from syncline.steps import run_line"),
        ("adapters/x.py", "import airflow"),
        ("steps/x.py", "from airflow.sdk import DAG"),
        ("steps/x.py", "from syncline.orchestration import assets"),
        ("steps/x.py", "from syncline import __main__"),
        ("__main__.py", "from syncline.orchestration.dag_factory import build_dag"),
        ("__main__.py", "import cosmos"),
        ("__init__.py", "from syncline import core"),
    ],
)
def test_an_arrow_that_points_up_is_seen(module: str, source: str) -> None:
    assert broken_rules(PACKAGE / module, source)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("core/x.py", "from psycopg import sql\nfrom psycopg.sql import Composable\nfrom syncline import __version__"),
        ("steps/x.py", "from syncline.adapters import ledger\nfrom syncline.core.values import Mode"),
        ("orchestration/x.py", "from airflow.sdk import DAG\nfrom syncline import steps"),
    ],
)
def test_an_arrow_that_points_down_is_fine(module: str, source: str) -> None:
    assert broken_rules(PACKAGE / module, source) == []


@pytest.mark.parametrize("module", ["syncline.steps", "syncline.__main__", "syncline.core.checking"])
def test_the_line_is_imported_without_airflow(module: str) -> None:
    code = f"import sys, {module}; print([name for name in sys.modules if name.split('.')[0] in {AIRFLOW!r}])"

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)

    assert ended.stdout.strip() == "[]"
