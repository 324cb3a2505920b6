"""The daily look alerts where a copy does not match, once while it lasts, and says when it is over."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from syncline import steps
from syncline.core.record_comparison import ComparisonRequest, Depth
from syncline.core.values import Verdict
from syncline.steps import alerting, looking
from tests.integration.conftest import JOB, Lab
from tests.integration.faults import person


@pytest.fixture
def synced(lab: Lab) -> Lab:
    lab.sql(
        "mdm",
        "insert into lab.person (tenant_id, person_id, name) values ('t1', 'p1', 'Ann'), ('t1', 'p2', 'Bo'), ('t2', 'q1', 'Cy')",
    )
    lab.run()
    return lab


def look(lab: Lab) -> Verdict:
    return steps.compare_daily(lab.job, ComparisonRequest(uuid.uuid4().hex, Depth.CHECKSUMS, is_scheduled=True)).verdict


def alerts(lab: Lab) -> list[dict[str, Any]]:
    return lab.sql(
        "warehouse",
        "select control, kind, seen_times, closed_at is null as is_open, summary from ledger.alert order by alert_id",
    )


def test_a_copy_that_matches_alerts_nobody(synced: Lab) -> None:
    assert look(synced) is Verdict.MATCHED
    assert alerts(synced) == []


def test_a_copy_that_differs_is_told_once_while_it_lasts_and_is_over_when_it_matches(synced: Lab) -> None:
    synced.sql("payroll", "update lab.person set name = 'Eve' where person_no = 'p1'")

    assert [look(synced), look(synced)] == [Verdict.MISMATCHED] * 2

    (told,) = alerts(synced)
    assert (told["control"], told["kind"], told["seen_times"], told["is_open"]) == ("SYNC-008", "differences", 2, True)
    assert "found 1 records that differ" in told["summary"]
    assert "Eve" not in told["summary"]

    synced.sql("payroll", "update lab.person set name = 'Ann' where person_no = 'p1'")
    assert look(synced) is Verdict.MATCHED
    assert [told["is_open"] for told in alerts(synced)] == [False]


@pytest.mark.parametrize(("column", "severity"), [("name = 'Eve'", "log"), ("born = '2000-01-01'", "page")])
def test_the_fields_that_differ_decide_who_is_told(synced: Lab, column: str, severity: str) -> None:
    for name, field in synced.mapping["fields"].items():
        field["severity"] = "critical" if name == "born" else "low"
    synced.run()
    synced.sql("payroll", f"update lab.person set {column} where person_no = 'p1'")

    assert look(synced) is Verdict.MISMATCHED

    assert synced.ledger("select severity from ledger.alert") == [{"severity": severity}]


def test_what_was_found_after_a_comparison_began_is_not_ended_by_it(
    synced: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies after it has hashed, and goes on when another has seen more."""
    monkeypatch.setenv("SYNCLINE_FAILPOINTS", "compare.hashed:KILL")
    synced.shell("diff", JOB)
    monkeypatch.delenv("SYNCLINE_FAILPOINTS")
    synced.sql("payroll", "update lab.person set name = 'Eve' where person_no = 'p1'")
    assert look(synced) is Verdict.MISMATCHED

    assert synced.shell("diff", JOB, "--resume").returncode == 0

    assert [told["is_open"] for told in alerts(synced)] == [True]
    assert synced.ledger("select closed_at is null as is_open from ledger.drift") == [{"is_open": True}]
    assert looking.status()[0]["compared_verdict"] == "mismatched"
    synced.sql("payroll", "update lab.person set name = 'Ann' where person_no = 'p1'")
    assert look(synced) is Verdict.MATCHED
    assert [told["is_open"] for told in alerts(synced)] == [False]
    assert synced.ledger("select closed_at is null as is_open from ledger.drift") == [{"is_open": False}]


def test_the_status_of_a_job_is_not_a_comparison_of_some_tenants(synced: Lab) -> None:
    def told() -> Any:
        return looking.status()[0]["compared_verdict"]

    synced.sql("payroll", "update lab.person set name = 'Eve' where person_no = 'p1'")
    for verdict, tenants in (("mismatched", None), ("matched", ("t2",)), ("mismatched", ("t1",))):
        asked = ComparisonRequest(uuid.uuid4().hex, tenants=tenants)
        assert steps.compare_records(synced.job, asked, settle_s=0.02).verdict == verdict
        assert told() == "mismatched"
    synced.sql("payroll", "update lab.person set name = 'Ann' where person_no = 'p1'")
    look(synced)
    assert told() == "matched"


@pytest.mark.parametrize("is_equal", [True, False])
def test_a_comparison_that_failed_is_over_with_the_next_answer_and_not_with_a_batch(
    synced: Lab, *, is_equal: bool
) -> None:
    alerting.comparison_failed(synced.job, f"compare.{JOB}", "TransientError")
    synced.hub(person("p3"))
    synced.run()
    assert [(told["control"], told["is_open"]) for told in alerts(synced)] == [("SYNC-008", True)]

    if not is_equal:
        synced.sql("payroll", "update lab.person set name = 'Eve' where person_no = 'p1'")
    look(synced)

    (failed, *others) = alerts(synced)
    assert not failed["is_open"]
    assert [told["kind"] for told in others] == ([] if is_equal else ["differences"])


def test_a_comparison_that_proves_nothing_is_told_too(lab: Lab) -> None:
    assert look(lab) is Verdict.UNVERIFIED
    (told,) = alerts(lab)
    assert told["kind"] == "unverified"
