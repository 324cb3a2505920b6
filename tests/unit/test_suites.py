"""Suites of SYNC-005: what is generated from a manifest, what a person wrote, and which of them judges."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from syncline import __main__ as command
from syncline.core.job_files import load_job
from syncline.core.pages.catalogue import generated
from syncline.core.registry import take_stock
from syncline.core.suites import GENERAL, generated_suites, judging_suite, own_suite
from tests.conftest import ROOT
from tests.unit.project_files import JOB, MANIFEST, write_project

OWN = own_suite(JOB)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_project(tmp_path, MANIFEST)
    (tmp_path / "include/expectations").mkdir()
    shutil.copy(ROOT / GENERAL, tmp_path / GENERAL)
    return tmp_path


def write_suite(root: Path) -> dict[str, Any]:
    text = generated_suites(root)[OWN]
    assert text is not None
    (root / OWN).write_text(text)
    suite: dict[str, Any] = json.loads(text)
    return suite


def promised(root: Path, manifest: str) -> set[str]:
    """Columns that a job's own rules speak about, beside the general ones."""
    write_project(root, manifest)
    own = json.loads(generated_suites(root)[OWN] or "")["expectations"]
    general = json.loads((root / GENERAL).read_text())["expectations"]
    assert own[: len(general)] == general
    return {rule["kwargs"]["column"] for rule in own[len(general) :]}


def test_every_job_here_has_its_suite_as_generated_or_a_persons() -> None:
    jobs = {one.id for one in take_stock(ROOT).integrations}

    assert {own_suite(job) for job in jobs} <= {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "include/expectations").iterdir()
    }
    for path, text in generated_suites(ROOT).items():
        assert (ROOT / path).read_text() == text, f"{path}: run `syncline generate`"


def test_a_suite_says_what_the_manifest_promises(root: Path) -> None:
    keeps = MANIFEST.replace("  deleted: is_deleted\n", "").replace("on_delete: hard", "on_delete: ignore")
    appends = keeps.replace("write: upsert", "write: append")

    assert promised(root, MANIFEST) == {"rejected_ratio"}  # it upserts, and its source flags deleted rows
    assert promised(root, keeps) == {"rejected_ratio", "deleted_rows", "removed_rows"}
    assert promised(root, appends) == {"rejected_ratio", "deleted_rows", "removed_rows", "updated_rows"}


def test_a_suite_by_hand_is_not_generated_and_judges_as_it_is(root: Path) -> None:
    for by_hand in ("{", "[]", '{"name": "mine", "expectations": [], "meta": {}}'):
        (root / OWN).write_text(by_hand)

        assert OWN not in generated(root)
        assert judging_suite(root, load_job(root, JOB)) == (OWN, False)


def test_who_reviewed_a_suite_keeps_it_as_it_is(root: Path) -> None:
    suite = write_suite(root)
    suite["meta"]["reviewed_by"] = "head-of-payroll"
    (root / OWN).write_text(json.dumps(suite))

    assert generated_suites(root) == {}
    assert judging_suite(root, load_job(root, JOB)) == (OWN, False)


def test_a_stale_suite_is_passed_over_and_generate_check_says_so(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SYNCLINE_HOME", str(root))
    assert judging_suite(root, load_job(root, JOB)) == (GENERAL, False)
    write_suite(root)
    assert judging_suite(root, load_job(root, JOB)) == (OWN, False)
    write_project(root, MANIFEST.replace("rejected_ratio_max: 0.05", "rejected_ratio_max: 0.04"))

    assert judging_suite(root, load_job(root, JOB)) == (GENERAL, True)
    with pytest.raises(command.typer.Exit):
        command.generate(only_check=True)
    assert OWN in capsys.readouterr().err


def test_the_suite_of_a_job_that_is_gone_goes_too_and_a_persons_stays(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SYNCLINE_HOME", str(root))
    write_suite(root)
    by_hand = root / "include/expectations/withdrawn.json"
    by_hand.write_text('{"name": "mine", "expectations": [], "meta": {}}')
    (root / f"include/manifests/{JOB}.yaml").unlink()

    with pytest.raises(command.typer.Exit):
        command.generate(only_check=True)
    assert OWN in capsys.readouterr().err
    command.generate()

    assert f"{OWN} (removed: its job is gone)" in capsys.readouterr().out
    assert not (root / OWN).exists()
    assert by_hand.exists()
    assert (root / GENERAL).exists()


def test_the_register_looks_at_the_suite_that_judges(root: Path) -> None:
    (root / OWN).write_text('{"name": "mine", "expectations": [{"type": "expect_table_row_count_to_equal"}]}')

    (one,) = take_stock(root).integrations

    assert one.lacking["reconciled"] == f"{OWN} does not compare mismatch_ratio with the manifest's limit"


def test_without_a_general_suite_nothing_is_made_up(tmp_path: Path) -> None:
    write_project(tmp_path, MANIFEST)

    assert generated_suites(tmp_path) == {}
