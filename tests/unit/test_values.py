"""Law 1 and law 2 as values: rows are conserved, and nothing is green that nobody looked at."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.core.values import Balance, Batch, Counts, KeyCheck, Mode, State, TenantCheck, Verdict

OUTCOMES = (
    "inserted_rows",
    "updated_rows",
    "deleted_rows",
    "unchanged_rows",
    "superseded_rows",
    "conflicted_rows",
)
ROWS = st.integers(min_value=0, max_value=10**9)


@st.composite
def balanced(draw: st.DrawFn) -> Counts:
    outcomes = {name: draw(ROWS) for name in OUTCOMES}
    staged, rejected = sum(outcomes.values()), draw(ROWS)
    return Counts(extracted_rows=staged + rejected, rejected_rows=rejected, staged_rows=staged, **outcomes)


@given(counts=balanced())
def test_rows_that_are_all_accounted_for_balance(counts: Counts) -> None:
    assert counts.imbalance() is None


@given(counts=balanced(), name=st.sampled_from([*OUTCOMES, "extracted_rows", "rejected_rows", "staged_rows"]))
def test_one_row_too_many_anywhere_is_an_imbalance(counts: Counts, name: str) -> None:
    assert replace(counts, **{name: getattr(counts, name) + 1}).imbalance() is not None


@given(one=balanced(), other=balanced())
def test_balanced_counts_add_up_to_balanced_counts(one: Counts, other: Counts) -> None:
    total = Balance({"t1": one, "t2": other}).total

    assert total.imbalance() is None
    assert total.extracted_rows == one.extracted_rows + other.extracted_rows


def test_two_tenants_whose_faults_cancel_out_do_not_balance() -> None:
    lost = Counts(extracted_rows=2, staged_rows=2, inserted_rows=1)
    found = Counts(extracted_rows=2, staged_rows=2, inserted_rows=3)
    balance = Balance({"t1": lost, "t2": found})

    assert balance.total.imbalance() is None
    assert balance.imbalance() == "tenant t1: staged 2 rows, but outcomes are known for 1"


def test_the_imbalance_of_a_job_without_tenants_can_be_read() -> None:
    assert "tenant (none): extracted 1 rows" in (Balance({"": Counts(extracted_rows=1)}).imbalance() or "")


def test_a_balance_is_the_sum_of_extraction_and_load() -> None:
    extracted = Balance({"t1": Counts(extracted_rows=3, rejected_rows=1, staged_rows=2)})
    loaded = Balance({"t1": Counts(inserted_rows=2), "t2": Counts(unchanged_rows=1)})

    merged = extracted.merged(loaded)

    assert merged.tenants["t1"].imbalance() is None
    assert merged.tenants["t2"].imbalance() is not None  # an outcome out of nowhere


def test_a_driver_that_counts_minus_one_is_not_believed() -> None:
    with pytest.raises(ValueError, match=r"cannot be negative: \['inserted_rows'\]"):
        Counts(inserted_rows=-1)


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        ([], Verdict.UNVERIFIED),  # nothing was looked at
        ([Verdict.MATCHED], Verdict.MATCHED),
        ([Verdict.MATCHED, Verdict.MATCHED], Verdict.MATCHED),
        ([Verdict.MATCHED, Verdict.UNVERIFIED], Verdict.UNVERIFIED),
        ([Verdict.UNVERIFIED, Verdict.MISMATCHED, Verdict.MATCHED], Verdict.MISMATCHED),
    ],
)
def test_several_checks_are_as_good_as_the_worst(verdicts: list[Verdict], worst: Verdict) -> None:
    assert Verdict.worst(verdicts) is worst
    assert Verdict.worst(iter(verdicts)) is worst


def test_only_matched_is_ok() -> None:
    assert [verdict for verdict in Verdict if verdict.ok] == [Verdict.MATCHED]


@pytest.mark.parametrize(
    ("changed", "moves"),
    [
        ({}, True),
        ({"mode": Mode.FULL}, True),
        ({"mode": Mode.WINDOW}, False),  # it read an interval, not all that is owed
        ({"tenants": ("t1",)}, False),
        ({"is_dry_run": True}, False),
    ],
)
def test_only_a_batch_that_read_all_it_owed_moves_the_watermark(changed: dict[str, object], moves: bool) -> None:
    batch = Batch(1, "mdm__payroll__worker", "run", Mode.INCREMENTAL, State.LOADED, epoch=1)

    assert replace(batch, **changed).moves_watermark is moves  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "excused", "target", "difference", "ratio"),
    [
        (10_000, 0, 9_990, 10, 0.001),
        (10_000, 10, 9_990, 0, 0.0),  # rows in dead letters are missing with a reason
        (10_000, 0, 10_001, 1, 0.0001),
        (0, 0, 0, 0, 0.0),  # a quiet night
        (0, 0, 1, 1, 1.0),  # a row out of nowhere
        (5, 5, 1, 1, 0.2),  # an excused row that is there after all
    ],
)
def test_a_tenants_difference_is_counted_both_ways(
    source: int, excused: int, target: int, difference: int, ratio: float
) -> None:
    check = TenantCheck("t1", source, excused, target)

    assert (check.difference_rows, check.mismatch_ratio) == (difference, ratio)


@pytest.mark.parametrize(
    ("source", "target", "keys", "missing", "extra", "ratio"),
    [
        (10, 10, KeyCheck(10), 0, 0, 0.0),
        (10, 10, KeyCheck(4, missing_rows=3), 3, 3, 0.75),  # counts agree: as many strangers as lost rows
        (10, 12, KeyCheck(4, extra_rows=1), 0, 2, 0.25),  # one of two is known by its key
        (10, 7, KeyCheck(4, missing_rows=1), 3, 0, 0.3),
        (10, 9, KeyCheck(2, missing_rows=0, extra_rows=2), 3, 2, 1.0),
        (10, 7, None, 3, 0, 0.3),  # nobody could look: counts alone
    ],
)
def test_missing_and_extra_rows_do_not_cancel_as_far_as_keys_can_tell(
    source: int, target: int, keys: KeyCheck | None, missing: int, extra: int, ratio: float
) -> None:
    check = TenantCheck("t1", source, 0, target, keys)

    assert (check.missing_rows, check.extra_rows, check.mismatch_ratio) == (missing, extra, ratio)
    assert check.expected_rows + check.extra_rows == check.target_rows + check.missing_rows


def test_the_sums_of_a_batch_are_said_and_a_sum_that_does_not_hold_is_not_hidden() -> None:
    settled = Counts(extracted_rows=1_200, staged_rows=1_199, rejected_rows=1, updated_rows=1_000, unchanged_rows=199)

    assert settled.sums() == [
        "extracted 1,200 = staged 1,199 + rejected 1",
        "staged 1,199 = updated 1,000 + unchanged 199",
    ]
    assert Counts(extracted_rows=3, staged_rows=2).sums() == ["extracted 3 <> staged 2", "staged 2 <> 0"]
    assert Counts().sums() == ["extracted 0 = 0", "staged 0 = 0"]


@pytest.mark.parametrize("state", list(State))
def test_a_batch_that_is_over_is_over(state: State) -> None:
    assert state.is_final is (state in {State.PUBLISHED, State.HELD, State.ABANDONED, State.DRY_RUN})
