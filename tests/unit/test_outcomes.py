"""What a dry run tells: every count, the tenants that change most, and nothing of the others."""

from __future__ import annotations

from syncline.core.outcomes import COLUMNS, SELDOM, would_change
from syncline.core.values import NO_TENANT, Balance, Counts


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
