"""What analysts read about reconciliation, and what `syncline trend` tells: both from one ledger, and alike.

The comparisons and drifts are written by hand, as plugins/syncline/adapters/ledger/comparisons.py leaves them.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from syncline import __main__ as command
from tests.integration.dbt_world import JOBS, WORKERS, World, at, insert, messages

pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning:dbt_common")
CLIENTS = "mdm__warehouse__client"
CONTRACTS = "mdm__warehouse__contract"
PAYROLL = "mdm__payroll__worker"
assert set(JOBS) == {WORKERS, CLIENTS, CONTRACTS, PAYROLL}
MODELS = ("pub_reconciliation_history", "pub_drift", "pub_reconciliation", "pub_reconciliation_trend")


def compared(
    world: World,
    ended_at: datetime,
    *,
    job_id: str = WORKERS,
    mismatched: int = 0,
    missing: int = 0,
    excused: int = 0,
    total: int = 1000,
    **more: Any,
) -> int:
    """A comparison that ended: of its `mismatched` records `excused` are in dead letters, the others differ in a name."""
    unexcused = mismatched + missing - excused
    identical = total - mismatched - missing
    values = {
        "run_key": "r",
        "control": "SYNC-008",
        "depth": "records",
        "is_scheduled": True,
        "manifest_hash": "0",
        "state": "done",
        "source_as_of": ended_at - timedelta(minutes=6),
        "target_as_of": ended_at - timedelta(minutes=6),
        "source_rows": total,
        "target_rows": total - missing,
        "identical_rows": identical,
        "mismatched_rows": mismatched,
        "missing_in_target_rows": missing,
        "missing_in_source_rows": 0,
        "duplicate_rows": 0,
        "excused_rows": excused,
        "raw_match_ratio": identical / total,
        "match_ratio": identical / (total - excused),
        "severity": "critical" if unexcused else None,
        "verdict": "mismatched" if unexcused else "matched",
        "started_at": ended_at - timedelta(minutes=7),
        "ended_at": ended_at,
    }
    comparison_id: int = insert(world.admin, "ledger.comparison", job_id=job_id, **values | more)["comparison_id"]

    def count(record_class: str, rows: int, cause: str, *, is_excused: bool, columns: list[str]) -> None:
        if rows:
            insert(
                world.admin, "ledger.record_count", comparison_id=comparison_id, tenant_id="t1", rows=rows, cause=cause,
                record_class=record_class, severity="critical", is_excused=is_excused, columns=columns,
            )  # fmt: skip

    count("mismatched", excused, "dead_letter", is_excused=True, columns=["status"])
    count("mismatched", mismatched - excused, "unknown", is_excused=False, columns=["full_name", "birth_year"])
    count("missing_in_target", missing, "held_batch", is_excused=False, columns=[])
    return comparison_id


def failed(world: World, ended_at: datetime, **more: Any) -> int:
    """A comparison that found nothing out."""
    nothing = dict.fromkeys(
        ("source_as_of", "source_rows", "target_rows", "identical_rows", "mismatched_rows", "missing_in_target_rows",
         "missing_in_source_rows", "duplicate_rows", "excused_rows", "raw_match_ratio", "match_ratio"),
    )  # fmt: skip
    said = {"state": "failed", "verdict": "unverified", "reason": "the source could not be reached"}
    return compared(world, ended_at, **nothing | said | more)


def drifted(
    world: World,
    first: int,
    first_seen_at: datetime,
    *,
    closing: int | None = None,
    closed_at: datetime | None = None,
    found_by: str = "automation",
    job_id: str = WORKERS,
) -> int:
    drift_id: int = insert(
        world.admin, "ledger.drift", job_id=job_id, first_comparison_id=first, first_seen_at=first_seen_at,
        found_by=found_by, differing_rows_max=3, severity="critical", last_comparison_id=closing or first,
        closed_comparison_id=closing, closed_at=closed_at,
    )["drift_id"]  # fmt: skip
    return drift_id


def judged(world: World, batch_id: int, verdict: str, ratio: float, judged_at: datetime) -> None:
    insert(
        world.admin, "ledger.result", batch_id=batch_id, control="SYNC-005", verdict=verdict, mismatch_ratio=ratio,
        mismatch_ratio_max=0.001, evidence="{}", judged_at=judged_at,
    )  # fmt: skip


def publish(world: World, as_of: datetime, *models: str) -> None:
    result = world.build(as_of, "--select", "stg_ledger__batch", *(models or MODELS))
    assert result.success, messages(result)


def rows(world: World, model: str, *columns: str, where: str = "true", by: str = "1") -> list[tuple[Any, ...]]:
    found = world.fetch(f"select {', '.join(columns)} from pub.{model} where {where} order by {by}")
    return [tuple(row.values()) for row in found]


def test_one_line_for_each_job_says_whether_its_sides_agree_and_since_when_they_do_not(world: World) -> None:
    held = world.batch("held", as_of=at(1))
    judged(world, held, "mismatched", 0.25, at(1))
    judged(world, held, "mismatched", 0.5, at(1.1))
    first = compared(world, at(2), mismatched=5, missing=1, excused=2)
    drift = drifted(world, first, at(2))
    compared(world, at(3), job_id=CLIENTS, depth="checksums", is_scheduled=False)
    failed(world, at(4), job_id=CONTRACTS)
    insert(
        world.admin, "ledger.comparison", job_id=PAYROLL, run_key="r", depth="records", is_scheduled=True,
        manifest_hash="0",
    )  # fmt: skip  # under way: it has found nothing yet

    publish(world, at(28))

    told = ("job_id", "depth", "verdict", "freshness_state", "age_s", "reason", "match_ratio", "raw_match_ratio")
    assert rows(world, "pub_reconciliation", *told) == [
        (PAYROLL, None, "unverified", "unreliable", None, "never compared record by record", None, None),
        (CLIENTS, "checksums", "matched", "current", 25 * 3600 + 360, "", 1.0, 1.0),
        (CONTRACTS, "records", "unverified", "unreliable", None, "the source could not be reached", None, None),
        (WORKERS, "records", "mismatched", "delayed", 26 * 3600 + 360, "", 994 / 998, 0.994),
    ]
    assert world.fetch(f"select * from pub.pub_reconciliation where job_id = '{WORKERS}'") == [
        {
            "job_id": WORKERS,
            "source_system": "mdm",
            "target_system": "warehouse",
            "criticality": "high",
            "comparison_id": first,
            "control": "SYNC-008",
            "depth": "records",
            "is_scheduled": True,
            "sample_ratio": None,
            "confidence": None,
            "tenant_count": None,
            "verdict": "mismatched",
            "reason": "",
            "source_rows": 1000,
            "target_rows": 999,
            "identical_rows": 994,
            "mismatched_rows": 5,
            "missing_in_target_rows": 1,
            "missing_in_source_rows": 0,
            "duplicate_rows": 0,
            "differing_rows": 6,
            "excused_rows": 2,
            "mismatched_excused_rows": 2,
            "missing_in_target_excused_rows": 0,
            "missing_in_source_excused_rows": 0,
            "duplicate_excused_rows": 0,
            "unknown_rows": 3,
            "differing_fields": "birth_year, full_name",
            "raw_match_ratio": 0.994,
            "match_ratio": 994 / 998,
            "severity": "critical",
            "published_batch_id": None,
            "compared_at": at(2),
            "fresh_as_of": at(1.9),
            "freshness_state": "delayed",
            "age_s": 26 * 3600 + 360,
            "newest_checksums_verdict": None,
            "newest_checksums_at": None,
            "newest_records_verdict": "mismatched",
            "newest_records_at": at(2),
            "newest_batch_id": held,
            "newest_batch_verdict": "mismatched",
            "newest_batch_mismatch_ratio": 0.5,
            "drift_id": drift,
            "drift_open_since": at(2),
            "drift_open_h": 26,
            "drift_found_by": "automation",
            "as_of": at(28),
        }
    ]


def test_what_compares_less_than_every_record_can_refute_and_cannot_prove(world: World) -> None:
    refuted = compared(world, at(1), mismatched=1)
    for less in ({"sample_ratio": 0.01, "confidence": 0.9}, {"tenants": ["t1"]}):
        compared(world, at(2), **less)
    compared(world, at(1), job_id=CLIENTS)
    of_one = compared(world, at(2), job_id=CLIENTS, missing=1, tenants=["t1"], depth="checksums")
    sampled = compared(world, at(1), job_id=CONTRACTS, sample_ratio=0.01, confidence=0.9)
    compared(world, at(1), job_id=PAYROLL, tenants=["t1", "t2"])

    publish(world, at(3))

    assert rows(world, "pub_reconciliation", "job_id", "comparison_id", "verdict", "confidence") == [
        (PAYROLL, None, "unverified", None),
        (CLIENTS, of_one, "mismatched", None),
        (CONTRACTS, sampled, "matched", 0.9),
        (WORKERS, refuted, "mismatched", None),
    ]
    assert rows(world, "pub_reconciliation", "newest_records_verdict", "newest_checksums_verdict", by="job_id") == [
        ("matched", None), ("matched", "mismatched"), ("matched", None), ("matched", None),
    ]  # fmt: skip


def test_months_and_days_tell_how_agreement_develops_and_the_command_line_tells_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Drift of the first month is closed in the third; nothing was compared in the second."""
    today = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    third = today.replace(day=1, hour=0)
    second = (third - timedelta(days=1)).replace(day=1)
    begin = (second - timedelta(days=1)).replace(day=1)
    compared(world, begin + timedelta(hours=5))
    found = compared(world, begin + timedelta(days=3), mismatched=10)
    asked = compared(world, begin + timedelta(days=4), mismatched=20, excused=10, is_scheduled=False)
    compared(world, begin + timedelta(days=4, hours=1), tenants=["t1"], match_ratio=0.1)
    failed(world, begin + timedelta(days=9))
    closing = compared(world, third + timedelta(minutes=30))
    drifted(world, found, begin + timedelta(days=3), closing=asked, closed_at=begin + timedelta(days=4))
    drifted(
        world,
        asked,
        begin + timedelta(days=4),
        found_by="user",
        closing=closing,
        closed_at=third + timedelta(minutes=30),
    )
    compared(world, third, job_id=CLIENTS)
    judged(world, world.batch("published", as_of=begin), "matched", 0, begin)
    judged(world, world.batch("held", as_of=begin), "mismatched", 1, begin)

    publish(world, today + timedelta(minutes=59))

    trend, of_workers = "pub_reconciliation_trend", f"job_id = '{WORKERS}'"
    told = (
        "starts_on", "comparisons", "matched_comparisons", "match_ratio_min", "match_ratio_last", "drifts_opened",
        "drifts_found_by_automation", "drifts_repaired", "time_to_repair_h_mean::float8",
    )  # fmt: skip
    repaired_h = (third + timedelta(minutes=30) - begin).total_seconds() / 3600 - 96
    months = [
        (begin.date(), 5, 2, 980 / 990, 980 / 990, 2, 1, 1, 24.0),
        (second.date(), 0, 0, None, None, 0, 0, 0, None),
        (third.date(), 1, 1, 1.0, 1.0, 0, 0, 1, repaired_h),
    ]
    assert rows(world, trend, *told, where=f"{of_workers} and period = 'month'") == months
    shares = ("starts_on", "matched_share", "automation_share", "judged_batches", "matched_batches")
    assert rows(world, trend, *shares, where=f"{of_workers} and period = 'month'") == [
        (begin.date(), 0.4, 0.5, 2, 1), (second.date(), None, None, 0, 0), (third.date(), 1.0, None, 0, 0),
    ]  # fmt: skip
    assert rows(world, trend, *told[:3], where=f"{of_workers} and period = 'day' and comparisons > 0") == [
        (day, comparisons, matched)
        for day, comparisons, matched in (
            (begin.date(), 1, 1), ((begin + timedelta(days=3)).date(), 1, 0), ((begin + timedelta(days=4)).date(), 2, 1),
            ((begin + timedelta(days=9)).date(), 1, 0), (third.date(), 1, 1),
        )
    ]  # fmt: skip
    days = today.date() - begin.date()
    assert rows(world, trend, "count(*)", where=f"{of_workers} and period = 'day'") == [(days.days + 1,)]

    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", _uri(world))
    shown = json.loads(said_by(monkeypatch, capsys, "trend", WORKERS, "--json"))
    names = [name.removesuffix("::float8") for name in told[1:]]
    assert [(date.fromisoformat(row["month"]), *(row[name] for name in names)) for row in shown] == months
    assert [row["days"] for row in shown] == [{"1": 1.0, "4": 0.99, "5": 980 / 990, "10": None}, {}, {"1": 1.0}]
    page = said_by(monkeypatch, capsys, "trend")
    assert "█··▃▂····?·" in page
    assert [line.split()[0] for line in page.splitlines() if "__" in line] == [CLIENTS, WORKERS, WORKERS, WORKERS]
    assert said_by(monkeypatch, capsys, "trend", WORKERS, "--months", "1").count(WORKERS) == 1
    assert said_by(monkeypatch, capsys, "trend", CONTRACTS) == "nothing was compared record by record yet\n"


def test_a_drift_is_open_until_the_history_knows_the_comparison_that_closed_it(world: World) -> None:
    first = compared(world, at(1), mismatched=1)
    drift = drifted(world, first, at(1))
    publish(world, at(2))
    closing = compared(world, at(3))
    world.admin.execute(
        "update ledger.drift set closed_comparison_id = %s, closed_at = %s where drift_id = %s", [closing, at(3), drift]
    )

    publish(world, at(4), "pub_drift")
    assert rows(world, "pub_drift", "closed_comparison_id", "repaired_at") == [(None, None)]

    publish(world, at(4))
    assert rows(world, "pub_drift", "closed_comparison_id", "repaired_at", "time_to_repair_h") == [(closing, at(3), 2)]
    agreed = rows(world, "pub_reconciliation", "verdict", "drift_id", where=f"job_id = '{WORKERS}'")
    assert agreed == [("matched", None)]


def test_a_second_run_writes_nothing_new_and_what_the_ledger_forgot_stays(world: World) -> None:
    gave_up = failed(world, at(1))
    forgotten = compared(world, at(2), mismatched=1)
    publish(world, at(3))
    written = "select comparison_id, ctid::text, xmin::text from pub.pub_reconciliation_history order by 1"
    before = world.fetch(written)

    world.admin.execute("delete from ledger.record_count; delete from ledger.comparison where verdict = 'mismatched'")
    publish(world, at(3.1), "pub_reconciliation_history")
    assert world.fetch(written) == before

    world.admin.execute("update ledger.comparison set state = 'done', verdict = 'matched', reason = ''")
    publish(world, at(3.2), "pub_reconciliation_history")
    assert rows(world, "pub_reconciliation_history", "comparison_id", "verdict") == [
        (gave_up, "matched"), (forgotten, "mismatched"),
    ]  # fmt: skip


def test_the_newest_cut_off_is_believed_and_not_the_comparison_that_ended_last(world: World) -> None:
    newer = compared(world, at(2), mismatched=2)
    compared(world, at(3), source_as_of=at(1))  # it was interrupted, and went on with what it knew

    publish(world, at(4))

    said = rows(
        world, "pub_reconciliation", "comparison_id", "verdict", "newest_records_verdict", where=f"job_id = '{WORKERS}'"
    )
    assert said == [(newer, "mismatched", "mismatched")]


def test_a_matched_comparison_that_found_a_difference_is_not_believed(world: World) -> None:
    compared(world, at(1), mismatched=2, excused=1, verdict="matched", severity=None)

    result = world.build(at(2), "--select", "pub_reconciliation_history", "pub_drift")

    assert not result.success
    assert "matched_hides_nothing" in messages(result)
    assert "pub_drift: skipped" in messages(result)


def said_by(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    monkeypatch.setattr("sys.argv", ["syncline", *arguments])
    with pytest.raises(SystemExit) as left:
        command.main()
    assert left.value.code in (0, None)
    return capsys.readouterr().out


def _uri(world: World) -> str:
    info = world.admin.info
    return f"postgresql://{info.user}:{info.password}@{info.host}:{info.port}/{info.dbname}"
