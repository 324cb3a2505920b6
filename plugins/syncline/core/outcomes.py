"""What a batch did, or a dry run would have done, as a small table for people: the total, then a few tenants.

Plain text in fixed columns, because it is read in Airflow's log and in a terminal alike. Counts and tenants only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import astuple

from syncline.core.values import NO_TENANT, Balance, Counts, TenantCheck

TENANTS_SHOWN = 10
COLUMNS = {
    "read": "extracted_rows",
    "rejected": "rejected_rows",
    "inserted": "inserted_rows",
    "updated": "updated_rows",
    "deleted": "deleted_rows",
    "unchanged": "unchanged_rows",
}
CHECKED = {
    "source": "source_rows",
    "excused": "excused_rows",
    "target": "target_rows",
    "missing": "missing_rows",
    "extra": "extra_rows",
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
    return [f"{head}. Nothing was written", *_table(told, columns)]


def balance_sheet(
    batch_id: int, counts: Counts, checks: Collection[TenantCheck], *, top: int = TENANTS_SHOWN
) -> list[str]:
    """Law 1 and SYNC-005 of a batch at one glance: its sums, then the tenants that differ, the worst first.

    Args:
        checks: What was counted for it; empty before it was reconciled.
    """
    lines = [f"balance sheet of batch {batch_id}", *counts.sums()]
    if counts.removed_rows:
        lines.append(f"removed {counts.removed_rows:,} rows of the copy that the source no longer has")
    if not checks:
        return lines
    source, excused, target, missing, extra = (sum(getattr(c, name) for c in checks) for name in CHECKED.values())
    lines.append(f"source {source:,} = target {target:,} + excused {excused:,} + missing {missing:,} - extra {extra:,}")
    lines.append(_keys_told(checks))
    differing = sorted((c for c in checks if c.difference_rows), key=lambda c: (-c.mismatch_ratio, c.tenant_id))
    if differing and differing[0].tenant_id != NO_TENANT:
        lines.append(f"{len(differing):,} of {len(checks):,} tenants differ")
        lines += _table({check.tenant_id: check for check in differing[:top]}, CHECKED)
    return lines


def _keys_told(checks: Iterable[TenantCheck]) -> str:
    keys = [check.keys for check in checks if check.keys is not None]
    if not keys:
        return "keys of the batch: not looked up, its staging table was lost"
    brought, missing, extra = (sum(each) for each in zip(*map(astuple, keys), strict=True))
    return f"keys of the batch {brought:,}: missing {missing:,}, extra {extra:,}"


def _table(told: Mapping[str, Counts | TenantCheck], columns: Mapping[str, str]) -> list[str]:
    rows = [["tenant", *columns], *(_cells(tenant, counts, columns.values()) for tenant, counts in told.items())]
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]


def _cells(name: str, counts: Counts | TenantCheck, columns: Iterable[str]) -> list[str]:
    return [name, *(f"{getattr(counts, column):,}" for column in columns)]
