"""One function per task of the line: ids in, ids out. Each runs from a shell, without Airflow.

    open_batch -> extract_and_map -> load -> reconcile -> publish

A step may be run again at any time: it finds out what already happened and does the rest. The transaction
boundaries are here; what a step *is* stands in its module.
"""

from syncline.steps.daily_comparison import compare_daily
from syncline.steps.extract import extract_and_map
from syncline.steps.group import extract_group, open_group, publish_group, run_group
from syncline.steps.line import run_line
from syncline.steps.load import load
from syncline.steps.open import covering_batch, open_batch
from syncline.steps.publish import publish
from syncline.steps.reconcile import reconcile
from syncline.steps.record_comparison import compare_records

__all__ = [
    "compare_daily", "compare_records", "covering_batch", "extract_and_map", "extract_group", "load", "open_batch",
    "open_group", "publish", "publish_group", "reconcile", "run_group", "run_line",
]  # fmt: skip
