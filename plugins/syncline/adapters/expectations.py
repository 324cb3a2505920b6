"""Let Great Expectations judge whether a batch's target agrees with its source (control SYNC-005).

The rules are data: `include/expectations/sync_005.json` says what must hold, the manifest gives the limits. Here the
counts of both sides are laid out as one small table, a row per tenant and one for the total; how a suite is evaluated,
and when its answer proves nothing, is judging.py's. It counts nothing itself and knows no database.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syncline.adapters import judging
from syncline.adapters.judging import Evidence, Unproven
from syncline.core.values import OUTCOMES, TOTAL, Counts, Verdict

if TYPE_CHECKING:
    import pandas as pd

COUNTED = ("source_rows", "excused_rows", "target_rows")
KEYS = ("brought_rows", "missing_keys", "extra_keys")  # of the batch; empty where they could not be looked up
BALANCE = tuple(item.name for item in fields(Counts))
NUMBERS = (*COUNTED, *KEYS, *BALANCE)
DIFFERENCES = ("expected_rows", "missing_rows", "extra_rows", "difference_rows", "mismatch_ratio")
WORST_TENANTS_MAX = 10  # evidence names where to look first; all tenants are in ledger.tenant_count


@dataclass(frozen=True)
class Judgement:
    """What the suite found for one batch.

    Attributes:
        verdict: `matched` only if every expectation of the suite was evaluated on rows and held.
        mismatch_ratio: The worst of all tenants and the total, the number that the limit is compared with.
            Above 1.0 where a target holds rows that no source row explains; 1.0 where it is not known.
        evidence: The validation result made compact: JSON without NaN, fit for jsonb. Ids, counts and ratios.
        docs_index: The Data Docs' first page; None where the site was not wanted or could not be built.
    """

    verdict: Verdict
    mismatch_ratio: float
    evidence: Evidence
    docs_index: Path | None


def judge(
    counts: pd.DataFrame,
    *,
    job_id: str,
    batch_id: int,
    limits: dict[str, float],
    suite_path: Path,
    docs_dir: Path | None,
    may_be_empty: bool = False,
) -> Judgement:
    """Have the suite compare the counts of both sides; a check that saw nothing is `unverified`.

    Args:
        counts: One row per tenant and one with tenant_id '*' for the total, each counted on its own. Needs
            tenant_id and NUMBERS. What follows from them (expected_rows, missing_rows, extra_rows, mismatch_ratio,
            unbalanced_rows and others) is computed here, whatever is handed in.
        limits: What the suite's `$PARAMETER`s stand for, >= 0 ({"mismatch_ratio_max": 0.001} is 0.1 %). Each
            must be used by the suite: a limit that nothing applies proves nothing.
        docs_dir: Folder of the Data Docs, shared by all jobs and processes; None builds none.
        may_be_empty: Nothing may be owed, as by a window in which nothing changed: lines of tenants that count 0 on
            both sides show that the source was looked at. Without any line nothing was.

    Returns:
        A Judgement, always: whatever fails on the way makes it `unverified`, with `reason` in the evidence.

    Source: control SYNC-005, docs/controls.md; docs/decisions/0004-great-expectations-is-the-judge.md.
    """
    ratio = 1.0

    def draw_up(evidence: Evidence) -> pd.DataFrame:
        nonlocal ratio
        table = _tabulate(counts)
        ratio = _worst_ratio(table)
        evidence |= _balance(table)
        if not may_be_empty or table["is_total"].all():
            _refuse_nothing(table)
        return table

    found = judging.evaluate(
        draw_up,
        about=job_id,
        run_name=f"{job_id}#{batch_id}",
        limits=limits,
        suite_path=suite_path,
        docs_dir=docs_dir,
    )
    return Judgement(found.verdict, ratio, found.evidence, found.docs_index)


# --- the table that is judged


def _tabulate(counts: pd.DataFrame) -> pd.DataFrame:
    """The counts with what follows from them; everything the suite may speak about is a column here."""
    import pandas as pd

    if missing := [name for name in ("tenant_id", *NUMBERS) if name not in counts.columns]:
        raise Unproven(f"the counts have no column {', '.join(missing)}")
    if counts.empty:
        raise Unproven("the counts have no row: nothing was counted")
    table = pd.DataFrame({"tenant_id": counts["tenant_id"].to_list()})
    for name in NUMBERS:
        try:
            table[name] = pd.to_numeric(counts[name]).to_list()
        except (TypeError, ValueError):
            raise Unproven(f"column {name} of the counts is not made of numbers") from None
    table = table.astype(dict.fromkeys(NUMBERS, "float64"))
    table["is_total"] = (table["tenant_id"] == TOTAL).astype("int64")
    table["unaccounted_rows"] = _on_total(table, _unaccounted(table))
    table["expected_rows"] = table["source_rows"] - table["excused_rows"]
    table["missing_rows"] = _missing(table)
    table["extra_rows"] = table["missing_rows"] - (table["expected_rows"] - table["target_rows"])
    table["difference_rows"] = table["missing_rows"] + table["extra_rows"]
    table["mismatch_ratio"] = table["difference_rows"] / table["source_rows"].clip(lower=1)
    differing_keys = table["missing_keys"] + table["extra_keys"]
    table["batch_mismatch_ratio"] = differing_keys / table["brought_rows"].clip(lower=1)
    table["unbalanced_rows"] = _unbalanced(table)
    table["rejected_ratio"] = _on_total(table, table["rejected_rows"] / table["extracted_rows"].clip(lower=1))
    return table


def _missing(table: pd.DataFrame) -> pd.Series:
    """Rows that a target lacks, at least: by its counts, by the batch's keys; in total as many as all tenants lack."""
    by_counts = table["expected_rows"] - table["target_rows"] + table["extra_keys"].fillna(0)
    missing = by_counts.clip(lower=table["missing_keys"].fillna(0))
    is_total = table["is_total"] == 1
    return missing.clip(lower=missing[~is_total].sum() * is_total)


def _unbalanced(table: pd.DataFrame) -> pd.Series:
    """Law 1: rows that were read and are neither staged nor rejected, or staged without an outcome."""
    unread = table["extracted_rows"] - table["staged_rows"] - table["rejected_rows"]
    unsettled = table["staged_rows"] - table[list(OUTCOMES)].sum(axis="columns", skipna=False)
    return unread.abs() + unsettled.abs()


def _unaccounted(table: pd.DataFrame) -> pd.Series:
    """How far a row is from the sum of the tenants, over all numbers."""
    of_tenants = table.loc[table["is_total"] == 0, list(NUMBERS)].sum()
    return (table[list(NUMBERS)] - of_tenants).abs().sum(axis="columns")


def _on_total(table: pd.DataFrame, values: pd.Series) -> pd.Series:
    """What is asked of the total alone."""
    return values.where(table["is_total"] == 1, 0.0)


def _worst_ratio(table: pd.DataFrame) -> float:
    worst = float(table["mismatch_ratio"].max(skipna=False))
    of_batch = float(table["batch_mismatch_ratio"].fillna(0.0).max())
    return max(worst, of_batch) if math.isfinite(worst) else 1.0


def _balance(table: pd.DataFrame) -> dict[str, Any]:
    """What a person reads first: the batch's balance sheet, how many tenants, the total, and those that differ most."""
    columns = ["tenant_id", *COUNTED, *DIFFERENCES, *KEYS]
    is_total = table["is_total"] == 1
    tenants = table[table["is_total"] == 0]
    worst = tenants[tenants["difference_rows"] > 0].nlargest(WORST_TENANTS_MAX, "mismatch_ratio")
    return {
        "balance_sheet": table.loc[is_total, list(BALANCE)].to_dict("records"),
        "keys_looked_up": bool(table["brought_rows"].notna().all()),
        "tenants": len(tenants),
        "tenants_differing": int((tenants["difference_rows"] > 0).sum()),
        "total": table.loc[is_total, columns].to_dict("records"),
        "worst_tenants": worst[columns].to_dict("records"),
    }


def _refuse_nothing(table: pd.DataFrame) -> None:
    """Two empty sides agree about nothing: a lost grant or a filter that matches no row looks the same."""
    if not table[["source_rows", "target_rows"]].to_numpy(na_value=1).any():
        raise Unproven(
            "0 rows on both sides: nothing was compared. Check that the source role may see its rows "
            "and that the manifest's filter and tenants are right"
        )
