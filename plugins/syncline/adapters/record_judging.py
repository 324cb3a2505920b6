"""Let Great Expectations judge record comparisons of several jobs (control SYNC-008).

The rules are data: `include/expectations/sync_008.json`; its own words are record_expectations.py. Here the engine's
counts are laid out as one table, a row per job ('*') and one per tenant of it. How a suite is evaluated, and when its
answer proves nothing, is judging.py's. Nothing is compared here.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syncline.adapters import judging
from syncline.adapters.judging import Evidence, Outcome, Unproven
from syncline.core.control_runs import Compared, RecordTally
from syncline.core.values import TOTAL

if TYPE_CHECKING:
    import pandas as pd


def judge(
    compared: Sequence[Compared],
    *,
    control: str,
    control_run_id: int,
    match_ratio_min: float,
    suite_path: Path,
    docs_dir: Path | None,
) -> Outcome:
    """Have the suite judge what was compared; a job that was not, or that proved nothing, is `unverified`.

    Args:
        compared: Each job that was asked for, compared or not.
        match_ratio_min: Share of a job's records that must match, 0 to 1.
        docs_dir: Folder of the Data Docs; None builds none.

    Source: control SYNC-008, docs/controls.md; docs/decisions/0023-the-control-run-is-judged-and-signed.md.
    """

    def draw_up(evidence: Evidence) -> pd.DataFrame:
        judging.great_expectations()
        importlib.import_module("syncline.adapters.record_expectations")  # its words are known from here on
        evidence |= {"jobs": [_told(one) for one in compared]}
        return _table(compared)

    return judging.evaluate(
        draw_up,
        about="records",
        run_name=f"{control}#{control_run_id}",
        limits={"match_ratio_min": match_ratio_min, "jobs": len(compared)},
        suite_path=suite_path,
        docs_dir=docs_dir,
    )


def _table(compared: Sequence[Compared]) -> pd.DataFrame:
    import pandas as pd

    if not compared:
        raise Unproven("no job was asked for: nothing was compared")
    lines = [line for one in compared for line in _lines(one)]
    if not any(line["compared_rows"] for line in lines):
        raise Unproven("no record of any job was compared")
    return pd.DataFrame(lines)


def _lines(one: Compared) -> list[dict[str, Any]]:
    of_job = {
        "job_id": one.job_id,
        "is_compared": int(one.summary is not None),
        "is_verified": int(not one.unproven),
        "unaccounted_rows": one.unaccounted_rows,
    }
    total = of_job | {"tenant_id": TOTAL, "is_total": 1} | _counts(one.total)
    tenants = [of_job | {"tenant_id": tenant, "is_total": 0} | _counts(tally) for tenant, tally in one.tenants.items()]
    # Counted once: sums over the column are sums over jobs.
    return [total, *({**line, "is_compared": 0} for line in tenants)]


def _counts(tally: RecordTally) -> dict[str, Any]:
    return {
        "compared_rows": tally.compared_rows,
        "identical_rows": tally.identical_rows,
        "excused_rows": tally.excused_rows,
        "unexcused_rows": tally.unexcused_rows,
        "critical_rows": tally.critical_rows,
        "medium_rows": tally.unexcused.get("medium", 0),
        "low_rows": tally.unexcused.get("low", 0),
        "match_ratio": tally.match_ratio,
    }


def _told(one: Compared) -> dict[str, Any]:
    """A job's line of the evidence."""
    told: dict[str, Any] = {"job_id": one.job_id, "comparison_id": one.summary and one.summary.comparison_id}
    if one.unproven:
        told["unverified"] = one.unproven
    return told | _counts(one.total) | {"raw_match_ratio": one.total.raw_match_ratio}
