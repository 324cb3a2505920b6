"""One function per task of the line: ids in, ids out. Each runs from a shell, without Airflow.

    open_batch -> extract_and_map -> load -> reconcile -> publish

A step may be run again at any time: it finds out what already happened and does the rest. The transaction
boundaries are here; what a step *is* stands in its module.
"""

from syncline.steps.extract import extract_and_map
from syncline.steps.line import run_line
from syncline.steps.load import load
from syncline.steps.open import open_batch
from syncline.steps.publish import publish
from syncline.steps.reconcile import reconcile

__all__ = ["extract_and_map", "load", "open_batch", "publish", "reconcile", "run_line"]
