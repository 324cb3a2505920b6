"""docs/errors.md explains exactly the codes that are told, and its examples are what it says they are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from syncline.core.checking import check_project
from syncline.core.files.codes import CODES, Code, errors_page
from syncline.core.files.findings import Finding
from tests.conftest import ROOT
from tests.unit.project_files import JOB, MANIFEST, MAPPING, write_project

PACKAGE = ROOT / "plugins" / "syncline"
PAGE = ROOT / "docs" / "errors.md"
GOOD = {"manifest": MANIFEST, "mapping": MAPPING}
ARROW = re.compile(r"\s+# <- ([MD]\d\d)$")
OFFLINE = {code: said for code, said in CODES.items() if said.example.kind != "database"}
LISTED = re.compile(r"(\S+)(?: (\d+) KB)?(?:\s+# <- ([MD]\d\d))?")


def codes_told() -> set[str]:
    """All codes that stand as a text of their own in the package."""
    trees = (ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py") if path.name != "codes.py")
    texts = (node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {text for text in texts if isinstance(text, str) and re.fullmatch(r"[MD]\d\d", text)}


def test_every_code_is_explained_and_every_explained_code_is_told() -> None:
    assert codes_told() == set(CODES), "core/files/codes.py holds exactly the codes that are told"
    assert list(CODES) == sorted(CODES, key=lambda code: (code[0] != "M", code))


def test_the_page_is_made_from_the_table() -> None:
    assert PAGE.read_text() == errors_page(), "syncline generate"


def test_every_code_has_a_section_of_its_own() -> None:
    anchors = re.findall(r"^## ([MD]\d\d)$", PAGE.read_text(), flags=re.MULTILINE)

    assert anchors == list(CODES)
    assert Finding("a.yaml", 1, 1, "M01", "x").docs == "docs/errors.md#m01"


def test_all_but_what_a_database_tells_is_shown_by_files() -> None:
    assert set(CODES) - set(OFFLINE) == {"D01"}


@pytest.mark.parametrize(("code", "said"), OFFLINE.items(), ids=list(OFFLINE))
def test_a_bad_example_is_refused_at_the_marked_line_with_that_code(tmp_path: Path, code: str, said: Code) -> None:
    marked, root = _written(tmp_path, said, said.example.bad)

    told = {(finding.path, finding.line) for finding in check_project(root)[1] if finding.code == code}

    assert marked, "mark the line that is told: # <- M01"
    assert told == marked
    assert {found for _, found in re.findall(r"(# <- )([MD]\d\d)", said.example.bad)} == {code}


@pytest.mark.parametrize("said", OFFLINE.values(), ids=list(OFFLINE))
def test_a_mended_example_is_without_a_mistake(tmp_path: Path, said: Code) -> None:
    _, root = _written(tmp_path, said, said.example.mended)

    jobs, findings = check_project(root)

    assert findings == []
    assert [job.id for job in jobs] == [JOB]


def _written(root: Path, said: Code, lines: str) -> tuple[set[tuple[str, int]], Path]:
    """The marked places of an example, and a good project in which its lines stand."""
    example = said.example
    if example.kind == "files":
        return _files_written(root, lines), root
    good, replaced = GOOD[example.kind], example.instead_of or example.mended
    assert good.count(replaced) == 1, "an example stands for lines of the good project"
    text = good.replace(replaced, "\n".join(ARROW.sub("", line) for line in lines.splitlines()))
    first = good[: good.index(replaced)].count("\n") + 1
    path = f"include/{example.kind}s/{JOB}.yaml"
    marked = {(path, first + n) for n, line in enumerate(lines.splitlines()) if ARROW.search(line)}
    return marked, write_project(root, **{**GOOD, example.kind: text})


def _files_written(root: Path, lines: str) -> set[tuple[str, int]]:
    """Write the good manifest under the listed names, filled up to their sizes; the names that are marked."""
    write_project(root)
    (root / "include" / "manifests" / f"{JOB}.yaml").unlink()
    marked = set()
    for line in lines.splitlines():
        listed = LISTED.fullmatch(line)
        assert listed, f"{line!r} is no name of a file"
        filling = "#" * (int(listed[2] or 0) * 1024 - len(MANIFEST))
        (root / listed[1]).write_text(MANIFEST + filling)
        marked |= {(listed[1], 1)} if listed[3] else set()
    return marked
