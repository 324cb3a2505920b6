"""The first thing a newcomer runs: one sentence per failure, and a lock that installs the same everywhere."""

from __future__ import annotations

import ast
import importlib.util
import io
import re
import sys
from collections import namedtuple
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "bootstrap.py"
LOCK = (ROOT / "requirements.txt").read_text(encoding="utf-8")
PINNED = re.compile(r"^([a-z0-9][a-z0-9._-]*)(?:\[[a-z,]+\])?==\S+", re.MULTILINE)


@pytest.fixture
def bootstrap(tmp_path, monkeypatch) -> ModuleType:
    """The script, looking at an empty checkout."""
    spec = importlib.util.spec_from_file_location("bootstrap", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", str(tmp_path))
    monkeypatch.setattr(module, "VENV", str(tmp_path / ".venv"))
    monkeypatch.setattr(module, "STAMP", str(tmp_path / ".venv" / "stamp"))
    monkeypatch.setattr(module, "TEMPORARY", str(tmp_path / "var" / "tmp"))
    return module


def test_an_old_python_can_still_read_the_script():
    ast.parse(SCRIPT.read_text(encoding="utf-8"), feature_version=(3, 6))


def test_the_script_needs_nothing_that_is_not_in_the_standard_library():
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names


@pytest.mark.parametrize(
    ("version", "fits"),
    [((3, 6), False), ((3, 10), False), ((3, 11), True), ((3, 12), True), ((3, 13), True), ((3, 14), False)],
)
def test_python_from_3_11_to_3_13_fits(bootstrap, version, fits):
    assert bootstrap.supported((*version, 0)) is fits


@pytest.mark.parametrize(("version", "word"), [((3, 9), "old"), ((3, 14), "new")])
def test_a_python_that_does_not_fit_is_named_with_the_remedy(bootstrap, monkeypatch, capsys, version, word):
    monkeypatch.setattr(bootstrap.sys, "version_info", (*version, 1))
    monkeypatch.setattr(bootstrap.shutil, "which", lambda _name: None)

    assert bootstrap.main() == 1
    said = capsys.readouterr().err
    assert f"Python 3.{version[1]} is too {word}" in said
    assert "PYTHON=" in said
    assert said.count("\n") == 1


def test_a_newer_python_on_the_path_is_taken_instead_of_an_old_one(bootstrap, monkeypatch):
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 9, 1))
    monkeypatch.setattr(bootstrap.shutil, "which", {"python3.12": "/opt/bin/python3.12"}.get)
    monkeypatch.setattr(bootstrap, "version_of", lambda _python: (3, 12))

    assert bootstrap.find_python() == "/opt/bin/python3.12"


def test_a_full_disk_is_one_sentence(bootstrap, monkeypatch, capsys):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(bootstrap.shutil, "disk_usage", lambda _path: usage(9e9, 8e9, 1e9))

    assert bootstrap.main() == 1
    said = capsys.readouterr().err
    assert "1.0 GB free and 3 GB are needed" in said
    assert said.count("\n") == 1


def test_a_python_without_ensurepip_is_told_which_package_to_install(bootstrap, monkeypatch, capsys):
    monkeypatch.setattr(bootstrap, "find_uv", lambda: None)
    monkeypatch.setattr(bootstrap.shutil, "which", lambda _name: None)
    monkeypatch.setattr(bootstrap.importlib.util, "find_spec", lambda _name: None)

    assert bootstrap.main() == 1
    assert re.search(r"apt-get install python3\.\d+-venv", capsys.readouterr().err)


def test_a_failed_installation_leaves_no_stamp_so_that_the_next_call_repairs_it(bootstrap, monkeypatch):
    monkeypatch.setattr(bootstrap, "create_venv", lambda _python: None)
    monkeypatch.setattr(bootstrap, "run", lambda *_command, **_options: False)

    assert bootstrap.main() == 1
    assert not Path(bootstrap.STAMP).exists()


def test_a_second_call_does_nothing(bootstrap, monkeypatch):
    Path(bootstrap.VENV).mkdir()
    bootstrap.write_stamp()
    monkeypatch.setattr(bootstrap, "works", lambda _python: True)
    monkeypatch.setattr(bootstrap, "create_venv", lambda _python: pytest.fail("made .venv again"))

    assert bootstrap.main() == 0


def test_a_changed_lock_is_noticed(bootstrap, monkeypatch, tmp_path):
    before = bootstrap.fingerprint()
    (tmp_path / "requirements.txt").write_text(LOCK + "more==1\n", encoding="utf-8")
    monkeypatch.setattr(bootstrap, "LOCK", str(tmp_path / "requirements.txt"))

    assert bootstrap.fingerprint() != before


def test_uv_is_installed_from_the_lock_alone(bootstrap):
    lines = bootstrap.requirement(LOCK, "uv").splitlines()

    assert lines[0].startswith("uv==")
    assert all(line.strip().startswith("--hash=sha256:") for line in lines[1:])
    assert len(lines) > 1


def test_the_lock_pins_every_package_with_hashes():
    blocks = re.split(r"\n(?=\S)", "\n".join(line for line in LOCK.splitlines() if not line.startswith("#")))
    without = [block.split()[0] for block in blocks if block.strip() and "--hash=sha256:" not in block]
    assert without == []
    assert all(PINNED.match(block) for block in blocks if block.strip())


def test_the_lock_names_no_package_index():
    """The index is the machine's business: pip and uv are configured where they run."""
    assert not re.search(r"://|--index-url|--extra-index-url|--find-links|--trusted-host", LOCK)


def test_the_lock_holds_all_that_is_asked_for():
    asked = (ROOT / "requirements.in").read_text(encoding="utf-8")
    names = {re.split(r"[\[<>=~ ]", line)[0].lower() for line in asked.splitlines() if line and line[0] != "#"}
    assert names <= {match.group(1) for match in PINNED.finditer(LOCK)}


def test_output_of_a_program_that_is_missing_is_a_sentence(bootstrap, monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(bootstrap.sys, "stdout", written)

    assert bootstrap.run(["/no/such/program"]) is False
    assert written.getvalue() == (
        "bootstrap: /no/such/program: No such file or directory; mend that and run the same command again.\n"
    )
