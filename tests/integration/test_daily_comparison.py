"""The daily look alerts where a copy does not match, once while it lasts, and says when it is over."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from syncline import steps
from syncline.core.record_comparison import ComparisonRequest, Depth
from syncline.core.values import Verdict
from tests.integration.conftest import Lab


@pytest.fixture
def synced(lab: Lab) -> Lab:
    lab.sql("mdm", "insert into lab.person (tenant_id, person_id, name) values ('t1', 'p1', 'Ann'), ('t1', 'p2', 'Bo')")
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


def test_a_comparison_that_proves_nothing_is_told_too(lab: Lab) -> None:
    assert look(lab) is Verdict.UNVERIFIED
    (told,) = alerts(lab)
    assert told["kind"] == "unverified"
