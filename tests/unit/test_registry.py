"""The register of integrations (SYNC-001) and its coverage (metric 11)."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from syncline import __main__ as command
from syncline.core.checking import check_project
from syncline.core.governance import Surroundings, anchors, runbooks_of
from syncline.core.job_files import load_job
from syncline.core.pages.catalogue import generated
from syncline.core.registry import Integration, future_reviews, page, span, take_stock
from syncline.core.suites import GENERAL
from tests.conftest import ROOT
from tests.unit.project_files import JOB, MANIFEST, MAPPING, findings_of, line_of, write_project

OTHER = "mdm__billing__client"
GOVERNED = MANIFEST + "contract: docs/contract.md\nreviewed_on: 2026-10-06\n"
DAY = date(2026, 11, 1)


RUNBOOKS = (
    "batch-held", "batch-unverified", "mass-delete", "publish-tables-failed", "records-differ", "rows-rejected", "source-replaced",
    "system-down", "task-failed",
)  # fmt: skip
NO_ALERTS = {"backfill"}  # pages that say how something is done
CONTRACT = "# Workers\n\n## Payroll: who is paid?\n\nThe hub owes ...\n"
JUDGES = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "mismatch_ratio", "min_value": 0, "max_value": {"$PARAMETER": "mismatch_ratio_max"}},
}


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def write_suite(root: Path, *expectations: object) -> None:
    write(root, GENERAL, json.dumps({"name": "sync_005", "expectations": expectations}))


def govern(root: Path) -> Path:
    """Give a project what coverage asks for beside its manifests."""
    write(root, "docs/contract.md", CONTRACT)
    write_suite(root, JUDGES)
    for name in RUNBOOKS:
        write(root, f"docs/runbooks/{name}.md", f"# {name}\n")
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
        "mode": "incremental",
        "write": "upsert",
        "on_delete": "hard",
        "direction": "mdm -> payroll",
        "source": {"connection": "mdm", "table": "mdm.worker"},
        "target": {"connection": "payroll", "table": "hr.employee"},
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


def test_a_file_that_is_not_read_counts_as_broken_as_check_tells_it(tmp_path: Path) -> None:
    write_project(govern(tmp_path), GOVERNED)
    for stray in ("x.yml", "notes.txt", f"old/{OTHER}.yaml", "README.md"):
        write(tmp_path, f"include/manifests/{stray}", "version: 1.0.0\n")
    stock = take_stock(tmp_path)

    assert [one.id for one in stock.broken()] == ["notes.txt", f"old/{OTHER}.yaml", "x.yml"]
    assert [one.finding for one in stock.broken()] == [one for one in check_project(tmp_path)[1] if one.code == "M22"]
    assert (stock.coverage(DAY)["integrations"], stock.coverage(DAY)["coverage"]) == (4, 0.25)
    assert "| [x.yml](#xyml) | **broken**" in page(stock)


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
        ("contract", lambda root: write(root, "docs/contract.md", "\n")),
        ("reconciled", lambda root: (root / GENERAL).unlink()),
        ("reconciled", lambda root: write(root, GENERAL, "{")),
        ("reconciled", lambda root: write_suite(root)),
        ("reconciled", lambda root: write_suite(root, JUDGES | {"kwargs": JUDGES["kwargs"] | {"max_value": 1}})),
        ("reconciled", lambda root: write_suite(root, JUDGES | {"kwargs": JUDGES["kwargs"] | {"mostly": 0.5}})),
        ("reconciled", lambda root: write_project(root, GOVERNED.replace("0.001, on", "0.0011, on"))),
        ("runbook", lambda root: (root / "docs" / "runbooks" / "batch-held.md").unlink()),
        ("runbook", lambda root: write(root, "docs/runbooks/rows-rejected.md", "")),
        ("runbook", lambda root: (root / "docs" / "runbooks" / "publish-tables-failed.md").unlink()),
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


@pytest.mark.parametrize(
    "reference",
    ["https://contracts.example.org/1", "docs/contract.md", "docs/contract.md#workers",
     "docs/contract.md#payroll-who-is-paid", "docs/contract.pdf"],
)  # fmt: skip
def test_a_contract_is_a_page_elsewhere_or_one_that_is_there(tmp_path: Path, reference: str) -> None:
    write_project(govern(tmp_path), GOVERNED.replace("docs/contract.md", reference))
    (tmp_path / "docs" / "contract.pdf").write_bytes(b"%PDF-1.7 \xff")

    assert only(tmp_path).keeps(DAY)["contract"]


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("docs/contract.md#nonsense", "has no heading '#nonsense'"),
        ("docs/contract.md#Workers", "has no heading '#Workers'"),  # browsers find `workers` only
        ("docs/gone.md", "does not exist"),
        ("docs", "does not exist"),
        ("docs/out.md", "does not exist"),
        ("docs/registry.md", "is generated"),
        ("docs/registry.md#nonsense", "is generated"),
        (f"docs/registry.md#{JOB}", "is generated"),
        ("docs/notes.txt#part", "has no heading"),
        (f"include/manifests/{JOB}.yaml", "is what jobs are made of"),
        (f"docs/../include/mappings/{JOB}.yaml", "is what jobs are made of"),
    ],
)
def test_what_was_not_agreed_on_is_no_contract(tmp_path: Path, reference: str, why: str) -> None:
    root = govern(tmp_path / "project")
    write_project(root, GOVERNED.replace("docs/contract.md", reference.replace("docs/../", "docs/up/")))
    write(root, "docs/registry.md", page(take_stock(root)))
    write(root, "docs/notes.txt", "part\n")
    write(tmp_path, "elsewhere.md", "# Of somebody else")
    (root / "docs" / "out.md").symlink_to(tmp_path / "elsewhere.md")
    (root / "docs" / "up").symlink_to(root)

    assert why in only(root).lacks(DAY)["contract"]
    assert "**none**: " in page(take_stock(root))


def test_no_generated_page_is_a_contract() -> None:
    around = Surroundings(ROOT)
    for path in generated(ROOT):
        assert around.contract_lack(path), f"{path} counts as a contract"


def test_an_anchor_is_a_heading_that_readers_see() -> None:
    text = """\
# Workers & pay: *who*, `what_for`?
## [Pay](pay.md) ##
```sh
# a comment
```
<!--
# hidden
-->
## Pay
    # code
#hashtag
"""
    assert list(anchors(text)) == ["workers--pay-who-what_for", "pay", "pay-1"]


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
        assert one.reviewed_on is not None, f"{one.id}: say in `reviewed_on` when its owner last went through it"
        assert one.lacks(one.reviewed_on) == {}, one.id


@pytest.mark.parametrize("job_id", [one.id for one in take_stock(ROOT).integrations])
def test_contract_and_manifest_say_the_same(job_id: str) -> None:
    manifest = load_job(ROOT, job_id).manifest
    path, _, anchor = str(manifest.contract).partition("#")
    part = (ROOT / path).read_text().split(f"\n## {anchor}\n")[1].split("\n## ")[0]
    assert anchor == job_id
    assert f"Answers: {manifest.owner.team}; decides: {manifest.owner.business}." in part
    assert f"**Cut-off**: `{manifest.schedule.cron}` {manifest.schedule.timezone}" in part
    sla = manifest.sla
    assert f"half within {span(sla.latency_p50_s_max)}, 99 of 100 within {span(sla.latency_p99_s_max)}." in part
    mismatch, rejected = manifest.reconcile.mismatch_ratio_max, manifest.errors.rejected_ratio_max
    assert f"{mismatch * 100:g} % of rows may differ, {rejected * 100:g} % may be rejected" in part


def test_an_integration_needs_the_runbooks_of_its_own_alerts(tmp_path: Path) -> None:
    quiet = GOVERNED.replace("ratio_max: 0.05", "ratio_max: 1").replace("[pub_sync_freshness]", "[reports]")
    write_project(govern(tmp_path), quiet)
    for name in ("rows-rejected", "publish-tables-failed"):
        (tmp_path / "docs" / "runbooks" / f"{name}.md").unlink()
    assert only(tmp_path).keeps(DAY)["runbook"]

    write_project(tmp_path, GOVERNED)
    assert only(tmp_path).lacks(DAY) == {"runbook": "docs/runbooks has no rows-rejected, publish-tables-failed"}


def test_every_runbook_that_an_alert_names_is_asked_for() -> None:
    code = "".join(path.read_text() for path in sorted((ROOT / "plugins" / "syncline").glob("[aos]*/*.py")))
    named = set(re.findall(r"runbooks/([a-z-]+)\.md", code))
    named |= {name for line in re.findall(r"runbook ?= ?(.*)", code) for name in re.findall(r'"([a-z-]+)"', line)}
    assert len(named) >= 4
    of_group = replace(load_job(ROOT, JOB), manifest=load_job(ROOT, JOB).manifest.model_copy(update={"group": "one"}))
    assert named - NO_ALERTS <= set(runbooks_of(of_group))


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
    first = told["integrations"][0]
    assert (first["direction"], first["source"]["table"]) == ("mdm -> payroll", "mdm.worker")
    assert (told["as_of"], told["coverage"]["coverage"]) == ("2026-11-01", 1.0)
    assert told["integrations"][0]["review"] == "in time"
    assert told["integrations"][0]["keeps"]["contract"] is True


def test_the_command_fails_when_asked_to_be_strict_and_something_is_due_or_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(govern(tmp_path), GOVERNED)
    for arguments in (("--strict",), ("--strict", "--json")):
        assert run(monkeypatch, tmp_path, *arguments, "--as-of", "2026-11-01") == 0
        assert run(monkeypatch, tmp_path, *arguments, "--as-of", "2027-02-01") == 1
    assert run(monkeypatch, tmp_path, "--as-of", "2027-02-01") == 0

    write(tmp_path, "include/manifests/x.yml", "")
    assert run(monkeypatch, tmp_path, "--strict", "--as-of", "2026-11-01") == 1
    assert run(monkeypatch, tmp_path, "--as-of", "2026-11-01") == 0


def test_the_command_says_what_one_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_project(govern(tmp_path), GOVERNED.replace("0.001, on", "0.01, on"))

    assert run(monkeypatch, tmp_path, "--as-of", "2026-11-01") == 0

    assert f"{JOB}: reconciled: mismatch_ratio_max 0.01 is above SYNC-005's 0.001\n" in capsys.readouterr().out


# --- syncline check -------------------------------------------------------------------------------------------------


def test_a_review_on_a_day_that_has_not_come_is_told_at_its_place(tmp_path: Path) -> None:
    write_project(tmp_path, GOVERNED)
    jobs = check_project(tmp_path)[0]

    assert future_reviews(tmp_path, jobs, date(2026, 10, 6)) == []
    (told,) = future_reviews(tmp_path, jobs, date(2026, 10, 5))
    assert (told.path, told.line, told.code) == (
        f"include/manifests/{JOB}.yaml", line_of(GOVERNED, "reviewed_on"), "M02",
    )  # fmt: skip
    assert told.found == "'2026-10-06' has not come yet, or this machine's clock is behind"


def test_check_notes_it_and_does_not_fail_on_a_machine_whose_clock_is_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_project(tmp_path, GOVERNED.replace("2026-10-06", "2999-01-01"))
    monkeypatch.setenv("SYNCLINE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["syncline", "check"])

    with pytest.raises(SystemExit) as left:
        command.main()

    said = capsys.readouterr()
    assert (left.value.code, said.out) == (0, "")
    assert said.err.startswith("note: include/manifests/")
    assert "M02 '2999-01-01' has not come yet" in said.err
