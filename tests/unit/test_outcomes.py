"""What a batch and a dry run tell: every count, the tenants that matter most, and nothing of the others."""

from __future__ import annotations

from syncline.core.outcomes import COLUMNS, SELDOM, balance_sheet, would_change
from syncline.core.values import NO_TENANT, Balance, Counts, KeyCheck, TenantCheck


def updated(rows: int, unchanged: int = 0) -> Counts:
    read = rows + unchanged
    return Counts(extracted_rows=read, staged_rows=read, updated_rows=rows, unchanged_rows=unchanged)


def test_tenants_that_change_most_come_first_and_the_rest_is_said() -> None:
    tenants = {f"t{n}": updated(n, unchanged=1000) for n in range(5)}

    head, titles, total, *shown = would_change(7, Balance(tenants), top=3)

    assert head == (
        "dry run of batch 7: 5,010 rows read, 10 would change, in 4 tenants; the first 3 are shown. Nothing was written"
    )
    assert titles.split() == ["tenant", *COLUMNS]
    assert total.split() == ["all", "5,010", "0", "0", "10", "0", "5,000"]
    assert [line.split()[0] for line in shown] == ["t4", "t3", "t2"]
    assert len({len(line) for line in (titles, total, *shown)}) == 1


def test_a_job_without_tenants_tells_the_total_only() -> None:
    assert len(would_change(7, Balance({NO_TENANT: updated(3)}))) == 3


def test_nothing_would_change() -> None:
    assert would_change(7, Balance())[0] == "dry run of batch 7: 0 rows read, 0 would change. Nothing was written"


def test_every_count_of_a_batch_has_its_column() -> None:
    assert {*COLUMNS.values(), *SELDOM.values()} == {*Counts.__dataclass_fields__} - {"staged_rows"}


def test_what_seldom_happens_is_shown_when_it_does() -> None:
    counts = Counts(extracted_rows=2, staged_rows=2, superseded_rows=1, deleted_rows=1, removed_rows=3)

    head, titles, total, _ = would_change(7, Balance({"t1": counts}))

    assert "2 rows read, 4 would change" in head
    assert titles.split()[-2:] == ["removed", "superseded"]
    assert total.split()[-2:] == ["3", "1"]


def test_a_balance_sheet_before_reconciliation_is_the_sums_alone() -> None:
    assert balance_sheet(7, updated(3), []) == [
        "balance sheet of batch 7", "extracted 3 = staged 3", "staged 3 = updated 3",
    ]  # fmt: skip


def test_a_balance_sheet_tells_the_tenants_that_differ_and_how_many_more() -> None:
    checks = [TenantCheck(f"t{n}", 10, 0, 10 - n % 3, KeyCheck(10, n % 3)) for n in range(9)]

    told = balance_sheet(7, Counts(removed_rows=2), checks, top=2)

    assert told[3:7] == [
        "removed 2 rows of the copy that the source no longer has",
        "source 90 = target 81 + excused 0 + missing 9 - extra 0",
        "keys of the batch 90: missing 9, extra 0",
        "6 of 9 tenants differ",
    ]
    assert [line.split()[0] for line in told[7:]] == ["tenant", "t2", "t5"]


def test_a_job_without_tenants_has_no_table_of_them() -> None:
    assert len(balance_sheet(7, updated(3), [TenantCheck(NO_TENANT, 3, 0, 2)])) == 5
