"""A project is checked as a whole: every mistake of every file at once, each with its place, sorted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from syncline.core.checking import check_project
from syncline.core.files.findings import Finding, nearest, printable, report
from tests.conftest import ROOT
from tests.unit.project_files import JOB, MANIFEST, MAPPING, findings_of, line_of, write_project


def test_the_real_project_has_no_mistakes() -> None:
    jobs, findings = check_project(ROOT)

    assert findings == []
    assert len(jobs) >= 6


def test_all_mistakes_of_all_files_are_told_at_once_in_the_order_of_the_files(tmp_path: Path) -> None:
    root = write_project(tmp_path, MANIFEST.replace("write: upsert", "write: upsrt").replace("2\ntarget", "0\ntarget"))
    write_project(root, MANIFEST.replace("Europe/London", "Europe/Londn"), MAPPING.replace("upper", "uper"),
                  job="mdm__billing__client", name="client")  # fmt: skip
    (root / "include" / "manifests" / "notes.txt").write_text("not a manifest")

    jobs, findings = check_project(root)

    assert jobs == []
    assert findings == sorted(findings)
    assert [(finding.path.split("/", 1)[1], finding.line, finding.code) for finding in findings] == [
        ("manifests/mdm__billing__client.yaml", 9, "M08"),
        ("manifests/mdm__payroll__worker.yaml", 20, "M02"),
        ("manifests/mdm__payroll__worker.yaml", 25, "M02"),
        ("manifests/notes.txt", 1, "M22"),
        ("mappings/client.yaml", line_of(MAPPING, "upper"), "M01"),
    ]


def test_an_empty_project_has_no_mistakes(tmp_path: Path) -> None:
    assert check_project(tmp_path) == ([], [])


def test_a_readme_may_lie_beside_the_files(tmp_path: Path) -> None:
    root = write_project(tmp_path)
    (root / "include" / "manifests" / "README.md").write_text("How manifests are written.")

    assert findings_of(root) == []


def test_a_folder_that_is_named_like_a_manifest_is_told(tmp_path: Path) -> None:
    root = write_project(tmp_path)
    (root / "include" / "manifests" / "mdm__payroll__person.yaml").mkdir()

    assert [finding.code for finding in findings_of(root)] == ["M12"]


def test_a_finding_is_one_clickable_line() -> None:
    finding = Finding("include/manifests/a.yaml", 7, 3, "M01", "unknown key 'retrys'", "one of: retries", "retries")

    assert str(finding) == (
        "include/manifests/a.yaml:7:3: M01 unknown key 'retrys'; one of: retries. Did you mean 'retries'?"
    )
    assert json.loads(json.dumps(finding.as_dict()))["nearest"] == "retries"


def test_a_report_is_sorted_by_place() -> None:
    late, early = Finding("a.yaml", 10, 1, "M01", "late"), Finding("a.yaml", 9, 1, "M01", "early")

    assert report([late, early]).splitlines() == [str(early), str(late)]


def test_the_nearest_name_is_near() -> None:
    assert nearest("tenant", ["tenant_id", "worker_id"]) == "tenant_id"
    assert nearest("zzz", ["tenant_id", "worker_id"]) == ""


def test_what_a_terminal_would_obey_is_spelt_out() -> None:
    assert printable("a\x1b[2Jb\nc") == "a\\x1b[2Jb\\nc"
    assert printable("Müller 王") == "Müller 王"


def test_nothing_of_a_file_is_read_twice_into_findings(tmp_path: Path) -> None:
    root = write_project(tmp_path, mapping=MAPPING.replace("[required, iban]", "[requird, iban]"))

    assert [finding.path for finding in findings_of(root)] == [f"include/mappings/{JOB}.yaml"]


CODE_LIST = """\
version: 1.0.0
description: Status of a worker as payroll says it
entries: {ACT: active, LOA: leave}
"""


def test_code_lists_and_calendars_are_checked_with_the_rest_and_told_once(tmp_path: Path) -> None:
    root = write_project(tmp_path)
    (root / "include" / "code_lists").mkdir()
    (root / "include" / "code_lists" / "status.yaml").write_text(CODE_LIST)
    assert findings_of(root) == []

    (root / "include" / "code_lists" / "status.yaml").write_text(CODE_LIST.replace("entries", "entrys"))
    (root / "include" / "code_lists" / "notes.txt").write_text("not read")

    assert [(finding.path, finding.line, finding.code) for finding in findings_of(root)] == [
        ("include/code_lists/notes.txt", 1, "M22"),
        ("include/code_lists/status.yaml", 3, "M01"),
    ]


@pytest.mark.parametrize("folder", ["mappings", "code_lists", "calendars"])
def test_what_cannot_be_read_or_named_is_told_and_stops_nothing(tmp_path: Path, folder: str) -> None:
    root = write_project(tmp_path / "project")
    (tmp_path / "elsewhere.yaml").write_text("password: hunter2")
    place = root / "include" / folder
    place.mkdir(exist_ok=True)
    (place / "out.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    (place / "gone.yaml").symlink_to(place / "nowhere")
    (place / "folder.yaml").mkdir()
    (place / "No-Name.yaml").write_text(CODE_LIST)

    jobs, findings = check_project(root)

    assert [job.id for job in jobs] == [JOB]
    assert [(finding.path.rsplit("/", 1)[1], finding.code) for finding in findings] == [
        ("No-Name.yaml", "M22"), ("folder.yaml", "M12"), ("gone.yaml", "M12"), ("out.yaml", "M17"),
    ]  # fmt: skip


def test_a_mistake_in_one_field_hides_no_mistake_of_another(tmp_path: Path) -> None:
    root = write_project(tmp_path, mapping=MAPPING.replace("upper", "uper").replace("from: hired_on", "from: hired"))

    assert [(finding.line, finding.code) for finding in findings_of(root)] == [
        (line_of(MAPPING, "upper"), "M01"),
        (line_of(MAPPING, "from: hired_on"), "M20"),
    ]


# -- closed hours of a system, whichever manifest says them -----------------------------------------------------------

OTHER = "mdm__billing__client"


def with_closed_target(tmp_path: Path, other: str) -> Path:
    """Payroll is closed 02:00-02:40 in London, as one job says; another job's manifest is what it is."""
    closed = MANIFEST.replace('  avoid: ["02:00-02:40"]\n', "").replace(
        "  on_delete: hard\n", '  on_delete: hard\n  avoid: ["02:00-02:40"]\n'
    )
    return write_project(write_project(tmp_path, closed), other, job=OTHER, name="client")


NO_HOURS = MANIFEST.replace('  avoid: ["02:00-02:40"]\n', "").replace(
    "mapping: mdm__payroll__worker", "mapping: client"
)
TO_BILLING = NO_HOURS.replace("connection: payroll", "connection: billing")
FROM_PAYROLL = TO_BILLING.replace("connection: mdm", "connection: payroll")


@pytest.mark.parametrize(
    ("other", "is_told"),
    [
        (NO_HOURS.replace("15 3", "55 1").replace("Europe/London", "UTC"), True),  # into it in winter
        (NO_HOURS.replace("15 3", "55 1").replace("Europe/London", "Europe/Berlin"), False),  # 00:55 there
        (NO_HOURS, False),
        (TO_BILLING.replace("15 3", "15 2"), False),  # another system
        (FROM_PAYROLL.replace("15 3", "15 2"), True),  # it may not be read either
    ],
)
def test_M08_the_hours_of_a_system_hold_for_every_job_that_uses_it(tmp_path: Path, other: str, is_told: bool) -> None:
    found = findings_of(with_closed_target(tmp_path, other))

    assert [(finding.path, finding.line, finding.code) for finding in found] == (
        [(f"include/manifests/{OTHER}.yaml", line_of(other, "cron:"), "M08")] if is_told else []
    )
    for finding in found:
        assert finding.found.endswith(f"02:00-02:40 Europe/London, as include/manifests/{JOB}.yaml says")
