"""The suite of SYNC-008 over what the engine counted: verdicts, blindness, and results without a value (F55)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from syncline.adapters import record_judging
from syncline.adapters.judging import Outcome
from syncline.core.control_runs import Compared, sentence
from syncline.core.record_comparison import Cause, ComparisonSummary, Depth, RecordClass, RecordCount, Severity
from syncline.core.values import Verdict

SUITE = Path(__file__).parents[2] / "include" / "expectations" / "sync_008.json"
JOB, OTHER = "mdm__payroll__worker", "mdm__billing__client"


def compared(
    rows: int = 1000, differing: int = 0, severity: Severity | None = "medium", *, job: str = JOB, excused: int = 0, **said: object
) -> Compared:  # fmt: skip
    """A comparison of so many records, of which some differ unexplained in a field of a severity, some explained."""
    counts = [
        RecordCount("t1", RecordClass.IDENTICAL, None, None, False, rows - differing - excused),
        RecordCount("t1", RecordClass.MISMATCHED, Cause.UNKNOWN, severity, False, differing, ("name",)),
        RecordCount("t2", RecordClass.MISSING_IN_TARGET, Cause.IN_FLIGHT, "critical", True, excused),
    ]
    told = {
        "comparison_id": 1, "job_id": job, "depth": Depth.RECORDS,
        "verdict": Verdict.MISMATCHED if differing else Verdict.MATCHED, "source_rows": rows, "target_rows": rows,
        "identical_rows": rows - differing - excused, "mismatched_rows": differing, "missing_in_target_rows": excused,
        "excused_rows": excused, **said,
    }  # fmt: skip
    return Compared(job, ComparisonSummary(**told), tuple(counts))


def judged(*jobs: Compared, suite: Path = SUITE, docs_dir: Path | None = None) -> Outcome:
    return record_judging.judge(
        jobs, control="SYNC-008", control_run_id=7, match_ratio_min=0.999, suite_path=suite, docs_dir=docs_dir
    )


def failing(found: Outcome) -> list[str]:
    return [each["expectation"] for each in found.evidence["results"] if not each["success"]]


# --- the suite decides


@pytest.mark.parametrize(
    ("rows", "differing", "verdict"),
    [
        (1_000, 0, Verdict.MATCHED),
        (1_000_000, 500, Verdict.MATCHED),  # 99.95 %
        (1_000, 1, Verdict.MATCHED),  # exactly 99.9 %: the limit itself is allowed
        (10_000, 15, Verdict.MISMATCHED),  # 99.85 %
        (1_000_000, 1_001, Verdict.MISMATCHED),
    ],
)
def test_a_job_passes_down_to_and_including_the_agreed_match_ratio(rows: int, differing: int, verdict: Verdict) -> None:
    found = judged(compared(rows, differing))

    assert found.verdict is verdict
    assert failing(found) == ([] if verdict.ok else ["expect_records_to_match"])


def test_one_jobs_loss_is_not_hidden_by_another_that_is_large() -> None:
    assert failing(judged(compared(1_000_000), compared(100, 1, job=OTHER))) == ["expect_records_to_match"]


@pytest.mark.parametrize("severity", ["critical", None])
def test_one_critical_difference_among_a_million_records_is_a_mismatch(severity: Severity | None) -> None:
    """One whose severity nobody said is taken for critical."""
    found = judged(compared(1_000_000, 1, severity))

    assert found.verdict is Verdict.MISMATCHED
    assert failing(found) == ["expect_no_unexplained_difference"]


def test_explained_differences_count_in_the_raw_rate_alone() -> None:
    found = judged(compared(1_000, excused=400))

    assert found.verdict is Verdict.MATCHED
    told = found.evidence["jobs"][0]
    assert (told["raw_match_ratio"], told["match_ratio"], told["excused_rows"], told["critical_rows"]) == (
        0.6,
        1,
        400,
        0,
    )


def test_results_are_shaped_as_great_expectations_shapes_them_and_count_records() -> None:
    found = judged(compared(10_000, 15), compared(5_000, job=OTHER))

    assert found.evidence["results"][0] == {
        "expectation": "expect_records_to_match",
        "kwargs": {"match_ratio_min": 0.999},
        "success": False,
        "result": {"element_count": 15_000, "unexpected_count": 15, "observed_value": 0.9985},
    }
    assert found.rules[0] == "Of each job at least 99.90 % of the records match, excused differences left out."
    assert len(found.rules) == len(found.evidence["results"]) == 7


# --- unverified: nothing was proved


UNVERIFIED = {"verdict": Verdict.UNVERIFIED, "reason": "the copy cannot be hashed"}


@pytest.mark.parametrize(
    ("second", "because"),
    [
        (compared(job=OTHER, **UNVERIFIED), "the copy cannot be hashed"),
        (Compared(OTHER), "it was not compared in this run"),
        (compared(0, job=OTHER), "no record was found on either side"),
        (compared(job=OTHER, mismatched_rows=900), "its counts by class do not add up to its totals"),
        (compared(job=OTHER, excused_rows=3), "its counts by class do not add up to its totals"),
        (compared(job=OTHER, identical_rows=1), "its counts by class do not add up to its totals"),
    ],
)
def test_one_job_that_proves_nothing_makes_all_unverified(second: Compared, because: str) -> None:
    found = judged(compared(), second)

    assert found.verdict is Verdict.UNVERIFIED
    assert "expect_everything_verified" in failing(found)
    said = sentence([compared(), second], found.verdict, match_ratio_min=0.999)
    assert said == f"1 of 2 jobs is unverified: {OTHER} ({because})."


def test_a_difference_is_not_hidden_by_a_job_that_is_unverified() -> None:
    assert judged(compared(1_000, 500), Compared(OTHER)).verdict is Verdict.MISMATCHED


def test_a_job_that_is_judged_twice_proves_nothing() -> None:
    assert failing(judged(compared(), compared())) == ["expect_compound_columns_to_be_unique"]
    assert judged(compared(), compared()).verdict is Verdict.UNVERIFIED


@pytest.mark.parametrize(
    ("jobs", "because"),
    [([], "no job was asked for"), ([Compared(JOB)], "no record of any job"), ([compared(0)], "no record of any job")],
)
def test_f55_nothing_at_all_is_unverified(jobs: list[Compared], because: str) -> None:
    found = judged(*jobs)

    assert found.verdict is Verdict.UNVERIFIED
    assert because in found.evidence["reason"]


@pytest.mark.parametrize(
    ("text", "because"),
    [
        (None, "cannot be read: FileNotFoundError"),
        ("{", "cannot be read"),
        ('{"name": "sync_008", "expectations": []}', "holds no expectation"),
        (SUITE.read_text().replace('"critical"', '"dreadful"'), "1 of 7 expectations raised an error"),
        (SUITE.read_text().replace("expect_everything_verified", "expect_everything_fine"), "could read 6 of"),
        (SUITE.read_text().replace('{"$PARAMETER": "match_ratio_min"}', "0.5"), "asks for limits ['jobs']"),
        (SUITE.read_text().replace('"failed_is": "unverified"', '"failed_is": "fine"'), "is not a valid Verdict"),
    ],
)  # fmt: skip
def test_f55_a_suite_that_is_missing_empty_raising_or_weakened_is_unverified(
    tmp_path: Path, text: str | None, because: str
) -> None:
    suite = tmp_path / "sync_008.json"
    if text is not None:
        suite.write_text(text)

    found = judged(compared(), Compared(OTHER), suite=suite)

    assert found.verdict is Verdict.UNVERIFIED
    assert because in found.evidence["reason"]


def test_the_suite_file_is_great_expectations_own_format() -> None:
    rules = json.loads(SUITE.read_text())

    assert {rule["meta"]["control"] for rule in rules["expectations"]} == {"SYNC-008"}
    assert len(judged(compared()).evidence["results"]) == len(rules["expectations"])
