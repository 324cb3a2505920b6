"""Airflow executes every module below plugins/ under its bare file name, unless plugins/.airflowignore forbids it.

`values.py` would then exist twice, as `syncline.core.values` and as `values`, with two classes of each name.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from airflow._shared.module_loading.file_discovery import find_path_from_directory

from tests.conftest import ROOT

PLUGINS = ROOT / "plugins"
LOAD = """
import json, sys
from airflow import plugins_manager
_, errors = plugins_manager._get_plugins()
folder = sys.argv[1]
bare = [n for n, m in sys.modules.items()
        if (getattr(m, "__file__", None) or "").startswith(folder + "/syncline/") and n.split(".")[0] != "syncline"]
print(json.dumps({"executed": sorted(bare), "errors": errors}))
"""


def load_plugins(folder: Path) -> dict[str, object]:
    environment = {**os.environ, "AIRFLOW__CORE__PLUGINS_FOLDER": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(folder)], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


@pytest.mark.parametrize("syntax", ["glob", "regexp"])
def test_the_ignore_file_hides_the_whole_package_in_both_syntaxes(syntax: str) -> None:
    seen = {Path(path) for path in find_path_from_directory(PLUGINS, ".airflowignore", syntax)}

    assert not [path for path in seen if PLUGINS / "syncline" in path.parents]


def test_airflow_loads_plugins_without_executing_our_modules() -> None:
    assert load_plugins(PLUGINS) == {"executed": [], "errors": {}}


def test_without_the_ignore_file_it_would(tmp_path: Path) -> None:
    module = tmp_path / "syncline" / "core" / "values.py"
    module.parent.mkdir(parents=True)
    module.write_text("EXECUTED = True\n")
    assert load_plugins(tmp_path)["executed"] == ["values"]

    shutil.copy(PLUGINS / ".airflowignore", tmp_path)

    assert load_plugins(tmp_path)["executed"] == []
