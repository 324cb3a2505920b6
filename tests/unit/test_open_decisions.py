"""`# DECIDE:` in a manifest or mapping: told once each with its place, and no job before they are gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncline.core.checking import check_project
from syncline.core.errors import ManifestInvalid
from syncline.core.job_files import load_job
from tests.unit.project_files import JOB, MANIFEST, MAPPING, findings_of, line_of, write_project

WRITE = "  write: upsert"


def test_an_open_decision_is_told_with_its_place_and_the_job_is_none(tmp_path: Path) -> None:
    root = write_project(tmp_path, MANIFEST.replace(WRITE, f"{WRITE}  # DECIDE: may rows change?"))

    jobs, (told,) = check_project(root)

    assert jobs == []
    assert str(told) == (
        f"include/manifests/{JOB}.yaml:{line_of(MANIFEST, WRITE)}:18: M24 still open: may rows change?; "
        "decide, then take the comment away"
    )
    assert told.page().splitlines()[1:3] == [
        "  25 |   write: upsert  # DECIDE: may rows change?",
        "     |                  ^^^^^^^^^^^^^^^^^^^^^^^^^^",
    ]
    with pytest.raises(ManifestInvalid, match="M24"):
        load_job(root, JOB)


@pytest.mark.parametrize(
    "comment",
    ["# DECIDE: a", "#DECIDE: a", "  # tenant: tenant_id  # DECIDE: a", "# DECIDE: a # DECIDE: b", "# DECIDE:"],
)
def test_each_comment_is_one_finding(tmp_path: Path, comment: str) -> None:
    root = write_project(tmp_path, f"{MANIFEST}{comment}\n", f"{comment}\n{MAPPING}")

    assert [(told.path.split("/")[1], told.code) for told in findings_of(root)] == [
        ("manifests", "M24"), ("mappings", "M24"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "description",
    [
        '"of # DECIDE: none"', "'of # DECIDE: none'", '"of\n  # DECIDE: none"', "|\n  of\n  # DECIDE: none",
        ">-\n  of\n\n  # DECIDE: none",
    ],
)  # fmt: skip
def test_in_a_value_the_words_are_text(tmp_path: Path, description: str) -> None:
    said = "description: UK workers as payroll needs them"
    root = write_project(tmp_path, MANIFEST.replace(said, f"description: {description}"))

    assert "M24" not in {told.code for told in findings_of(root)}


def test_behind_and_below_a_block_a_comment_is_a_comment(tmp_path: Path) -> None:
    block = "description: | # DECIDE: one\n  of # DECIDE: none\n# DECIDE: two\n"
    root = write_project(tmp_path, MANIFEST.replace("description: UK workers as payroll needs them\n", block))

    assert [(told.line, told.column) for told in findings_of(root)] == [(2, 16), (4, 1)]


def test_a_mapping_that_no_job_uses_is_told_too(tmp_path: Path) -> None:
    root = write_project(tmp_path, name="spare", mapping=f"# DECIDE: a\n{MAPPING}")
    write_project(root)

    assert [told.path for told in findings_of(root)] == ["include/mappings/spare.yaml"]


def test_decisions_are_told_beside_other_mistakes(tmp_path: Path) -> None:
    root = write_project(tmp_path, MANIFEST.replace(WRITE, "  write: upsrt  # DECIDE: what?"))

    assert [told.code for told in findings_of(root)] == ["M02", "M24"]


def test_a_line_that_announces_a_secret_is_not_quoted(tmp_path: Path) -> None:
    told = findings_of(write_project(tmp_path, f"{MANIFEST}# DECIDE: password: Kx9vTq3zLw or mellon\n"))

    assert {finding.code for finding in told} == {"M21", "M24"}
    for secret in ("Kx9vTq3zLw", "mellon"):
        assert not any(secret in finding.page() + str(finding.as_dict()) for finding in told)
