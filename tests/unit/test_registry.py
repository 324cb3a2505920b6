"""The register of integrations (SYNC-001) and its coverage (metric 11)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from syncline import __main__ as command
from syncline.core.registry import RUNBOOKS, SUITE, Integration, page, span, take_stock
from tests.conftest import ROOT
from tests.unit.project_files import JOB, MANIFEST, MAPPING, findings_of, write_project

OTHER = "mdm__billing__client"
GOVERNED = MANIFEST + "contract: docs/contract.md\nreviewed_on: 2026-10-06\n"
DAY = date(2026, 11, 1)


def govern(root: Path) -> Path:
    """Give a project what coverage asks for beside its manifests."""
    for path in ("docs/contract.md", SUITE, *(f"docs/runbooks/{name}.md" for name in RUNBOOKS)):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("")
    return root


def only(root: Path) -> Integration:
    (found,) = take_stock(root).integrations
    return found


def test_an_integration_says_who_answers_and_what_flows_where(tmp_path: Path) -> None:
    write_project(govern(tmp_path), GOVERNED)

    assert only(tmp_path).as_dict() == {
        "id": JOB,
        "state": "valid",
        "description": "UK workers as payroll needs them",
        "owner": {
            "team": "payroll-integration", "oncall": "payroll-oncall@example.org", "business": "head-of-payroll",
        },
        "pattern": "batch upsert, incremental",
        "source": "mdm.mdm.worker",
        "target": "payroll.hr.employee",
        "sla": {"latency_p50_s_max": 7200, "latency_p99_s_max": 93600},
        "version": "1.2.0",
        "mapping_version": "1.0.0",
        "criticality": "critical",
        "domain": "workforce",
        "tenancy": "tenant_id",
        "schedule": "15 3 * * * Europe/London",
        "pii": ["financial", "name"],
        "contract": "docs/contract.md",
        "reviewed_on": "2026-10-06",
        "review_due": "2027-01-06",
        "downstream": ["pub_sync_freshness"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("as_of", "said"),
    [
        ("2026-10-05", "in the future"),  # a day that has not come is no review
        ("2026-10-06", "in time"),
        ("2027-01-06", "in time"),  # 92 days later: the last day of the quarter is in time
        ("2027-01-07", "overdue"),
    ],
)
def test_a_review_is_due_again_after_92_days(tmp_path: Path, as_of: str, said: str) -> None:
    write_project(tmp_path, GOVERNED)

    assert only(tmp_path).review(date.fromisoformat(as_of)) == said


def test_what_was_never_reviewed_is_overdue(tmp_path: Path) -> None:
    write_project(tmp_path)
    stock = take_stock(tmp_path)

    assert only(tmp_path).review(DAY) == "never"
    assert [one.id for one in stock.overdue(DAY)] == [JOB]


@pytest.mark.parametrize("spoilt", ["write: upsrt", "write: [", "\x00"])
def test_a_broken_manifest_is_listed_with_its_first_mistake(tmp_path: Path, spoilt: str) -> None:
    write_project(tmp_path, GOVERNED)
    write_project(tmp_path, MANIFEST.replace("write: upsert", spoilt), job=OTHER)
    stock = take_stock(tmp_path)

    assert [one.id for one in stock.integrations] == [OTHER, JOB]
    broken = stock.integrations[0].as_dict()
    assert broken["state"] == "broken"
    assert broken["finding"].startswith(f"include/manifests/{OTHER}.yaml:")
    assert f"## {OTHER}\n\n**Broken:** `include/manifests/{OTHER}.yaml:" in page(stock)


def test_a_mistake_in_the_mapping_breaks_the_integration(tmp_path: Path) -> None:
    write_project(tmp_path, GOVERNED, MAPPING.replace("upper", "uper"))

    assert only(tmp_path).is_broken
    assert not only(tmp_path).keeps(DAY)["reconciled"]


def test_coverage_is_the_share_that_keeps_every_rule(tmp_path: Path) -> None:
    write_project(govern(tmp_path), GOVERNED)
    write_project(tmp_path, MANIFEST.replace("write: upsert", "write: upsrt"), job=OTHER)

    assert take_stock(tmp_path).coverage(DAY) == {
        "integrations": 2, "coverage": 0.5, "valid": 0.5, "contract": 0.5, "reviewed": 0.5, "reconciled": 0.5,
        "runbook": 0.5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "bend"),
    [
        ("valid", lambda root: write_project(root, GOVERNED.replace("write: upsert", "write: upsrt"))),
        ("contract", lambda root: write_project(root, GOVERNED.replace("contract: docs/contract.md\n", ""))),
        ("contract", lambda root: (root / "docs" / "contract.md").unlink()),
        ("reviewed", lambda root: write_project(root, GOVERNED.replace("2026-10-06", "2026-07-01"))),
        ("reviewed", lambda root: write_project(root, GOVERNED.replace("2026-10-06", "2026-12-01"))),
        ("reconciled", lambda root: (root / SUITE).unlink()),
        ("runbook", lambda root: (root / "docs" / "runbooks" / "batch-held.md").unlink()),
    ],
)
def test_one_rule_that_is_not_kept_uncovers_the_integration(
    tmp_path: Path, rule: str, bend: Callable[[Path], Any]
) -> None:
    write_project(govern(tmp_path), GOVERNED)
    assert take_stock(tmp_path).coverage(DAY)["coverage"] == 1.0

    bend(tmp_path)

    found = take_stock(tmp_path).coverage(DAY)
    assert (found[rule], found["coverage"]) == (0.0, 0.0)


def test_of_no_integrations_nothing_is_covered(tmp_path: Path) -> None:
    assert take_stock(tmp_path).coverage(DAY)["coverage"] is None


@pytest.mark.parametrize("reference", ["https://contracts.example.org/1", "docs/registry.md#x", "docs/registry.md"])
def test_a_contract_may_be_a_page_elsewhere_or_the_register_itself(tmp_path: Path, reference: str) -> None:
    write_project(tmp_path, GOVERNED.replace("docs/contract.md", reference))

    assert only(tmp_path).contract_is_there


@pytest.mark.parametrize("reference", ["../secret.md", "/etc/passwd", "http://plain.example.org", "see the wiki"])
def test_a_contract_that_is_no_reference_is_refused(tmp_path: Path, reference: str) -> None:
    write_project(tmp_path, GOVERNED.replace("docs/contract.md", reference))

    assert "is no reference to a contract" in findings_of(tmp_path)[0].found


def test_a_day_of_review_that_is_no_day_is_refused(tmp_path: Path) -> None:
    write_project(tmp_path, GOVERNED.replace("2026-10-06", "2026-02-30"))

    assert "is not a day" in findings_of(tmp_path)[0].found


def test_the_page_is_the_same_on_every_day(tmp_path: Path) -> None:
    write_project(govern(tmp_path), GOVERNED)
    told = page(take_stock(tmp_path))

    assert f"| [{JOB}](#{JOB}) | payroll-integration | mdm: mdm.worker -> payroll: hr.employee |" in told
    assert "2026-10-06 | 2027-01-06 |" in told
    assert "overdue |" not in told


def test_every_job_of_this_project_is_governed() -> None:
    for one in take_stock(ROOT).integrations:
        assert one.contract_is_there, f"{one.id}: name its data contract in `contract`"
        assert one.reviewed_on is not None, f"{one.id}: say in `reviewed_on` when its owner last went through it"


@pytest.mark.parametrize(("seconds", "said"), [(7200, "2 h"), (86_400, "1 d"), (90, "90 s"), (120, "2 min")])
def test_a_promise_is_told_in_its_largest_whole_unit(seconds: int, said: str) -> None:
    assert span(seconds) == said


# --- syncline registry --------------------------------------------------------------------------------------------


def run(monkeypatch: pytest.MonkeyPatch, home: Path, *arguments: str) -> int:
    monkeypatch.setenv("SYNCLINE_HOME", str(home))
    monkeypatch.setattr(sys, "argv", ["syncline", "registry", *arguments])
    with pytest.raises(SystemExit) as left:
        command.main()
    return int(left.value.code or 0)


def test_the_command_names_what_is_broken_and_what_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_project(govern(tmp_path), GOVERNED)
    write_project(tmp_path, MANIFEST.replace("write: upsert", "write: upsrt"), job=OTHER)

    assert run(monkeypatch, tmp_path, "--as-of", "2027-02-01") == 0

    said = capsys.readouterr().out
    assert f"{OTHER} is broken: include/manifests/{OTHER}.yaml:" in said
    assert f"{JOB}: its review was due on 2027-01-06; go through it" in said
    assert "coverage on 2027-02-01: 0% of 2 integrations (valid 50%, contract 50%, reviewed 0%" in said


def test_the_command_as_json_is_for_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_project(govern(tmp_path), GOVERNED)

    assert run(monkeypatch, tmp_path, "--json", "--as-of", "2026-11-01") == 0

    told = json.loads(capsys.readouterr().out)
    assert (told["as_of"], told["coverage"]["coverage"]) == ("2026-11-01", 1.0)
    assert told["integrations"][0]["review"] == "in time"
    assert told["integrations"][0]["keeps"]["contract"] is True
