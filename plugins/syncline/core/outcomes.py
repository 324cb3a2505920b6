"""What a dry run would have changed, as a small table for people: the total, then the tenants that change most.

Plain text in fixed columns, because it is read in Airflow's log and in a terminal alike. Counts and tenants only.
"""

from __future__ import annotations

from collections.abc import Iterable

from syncline.core.values import Balance, Counts

TENANTS_SHOWN = 10
COLUMNS = {
    "read": "extracted_rows",
    "rejected": "rejected_rows",
    "inserted": "inserted_rows",
    "updated": "updated_rows",
    "deleted": "deleted_rows",
    "unchanged": "unchanged_rows",
}
SELDOM = {"removed": "removed_rows", "superseded": "superseded_rows", "conflicted": "conflicted_rows"}


def would_change(batch_id: int, balance: Balance, *, top: int = TENANTS_SHOWN) -> list[str]:
    """The lines of the table. Tenants in which nothing would change are counted, not listed."""
    changing = {tenant: counts for tenant, counts in balance.tenants.items() if tenant and counts.changed_rows}
    most = sorted(changing, key=lambda tenant: (-changing[tenant].changed_rows, tenant))[:top]
    total = balance.total
    head = f"dry run of batch {batch_id}: {total.extracted_rows:,} rows read, {total.changed_rows:,} would change"
    if len(changing) > len(most):
        head += f", in {len(changing):,} tenants; the first {len(most)} are shown"
    columns = COLUMNS | {title: name for title, name in SELDOM.items() if getattr(total, name)}
    told = {"all": total} | {tenant: changing[tenant] for tenant in most}
    rows = [["tenant", *columns], *(_cells(tenant, counts, columns.values()) for tenant, counts in told.items())]
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    table = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    return [f"{head}. Nothing was written", *table]


def _cells(name: str, counts: Counts, columns: Iterable[str]) -> list[str]:
    return [name, *(f"{getattr(counts, column):,}" for column in columns)]
