"""Which Great Expectations suite judges a job's batches (SYNC-005), and how one is made where none is written by hand.

The general suite, include/expectations/sync_005.json, says what holds for every batch. A job's own, named like the job,
says beside it what its manifest promises and what counts can judge: a job that appends updates nothing. `syncline
generate` writes it for review; a suite without `generated_by` in its meta, or with `reviewed_by`, is a person's, judges
as it is and is never overwritten.

What mapping and keys promise of values (required, codes, unique keys) is judged where each row passes anyway: by the
mapping's checks before the load, by the target's constraints in it, by record comparisons after it. No table is scanned
again for a suite.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from syncline.core.job import SyncJob
from syncline.core.job_files import examine_job, job_ids
from syncline.core.values import NO_TENANT, TOTAL, Mode

FOLDER = "include/expectations"
GENERAL = f"{FOLDER}/sync_005.json"
MADE_BY = "syncline generate"


def own_suite(job_id: str) -> str:
    """Where a job's own suite is, if it has one."""
    return f"{FOLDER}/{job_id}.json"


def judging_suite(root: Path, job: SyncJob) -> tuple[str, bool]:
    """The suite that judges a job's batches, and whether its own is passed over because its manifest has changed since.

    One that was generated for other promises would hold a batch for keeping today's; the general suite does not.
    """
    own = _text(root / own_suite(job.id))
    if own is None:
        return GENERAL, False
    if _is_by_hand(own) or own == _generated(root, job):
        return own_suite(job.id), False
    return GENERAL, True


def generated_suites(root: Path) -> dict[str, str | None]:
    """Path -> text of the suite of each valid job that has none by hand; None for one whose job is gone."""
    jobs = job_ids(root)
    gone = {path.stem for path in (root / FOLDER).glob("*.json")} - set(jobs)
    found: dict[str, str | None] = {
        own_suite(name): None for name in gone if not _is_by_hand(_text(root / own_suite(name)) or "")
    }
    for job_id in jobs:
        job, findings = examine_job(root, job_id)
        own = _text(root / own_suite(job_id))
        if job is None or findings or (own is not None and _is_by_hand(own)):
            continue
        if (text := _generated(root, job)) is not None:
            found[own_suite(job_id)] = text
    return found


def _generated(root: Path, job: SyncJob) -> str | None:
    """The general suite and the job's promises, a rule a line; None where there is no general suite to begin with."""
    general = _parsed(_text(root / GENERAL) or "")
    rules, meta = general.get("expectations"), general.get("meta")
    if not isinstance(rules, list) or not isinstance(meta, dict):
        return None
    notes = (
        f"SYNC-005 for {job.target.table} at {job.target.connection}: the rules of {GENERAL}, and what the manifest of"
        f" {job.id} promises. Made by `{MADE_BY}`; to change it by hand, put who reviewed it into meta.reviewed_by:"
        " from then on it stays as it is."
    )
    lines = [f"    {json.dumps(rule)}" for rule in [*rules, *_promises(job)]]
    parts = {
        "name": json.dumps(job.id),
        "notes": json.dumps(notes),
        "expectations": "[\n" + ",\n".join(lines) + "\n  ]",
        "meta": json.dumps({**meta, "generated_by": MADE_BY}),
    }
    return "{\n" + ",\n".join(f'  "{name}": {text}' for name, text in parts.items()) + "\n}\n"


def _promises(job: SyncJob) -> list[dict[str, Any]]:
    """Rules that follow from the manifest and that a batch's counts can break."""
    allowed = job.manifest.errors.rejected_ratio_max
    rules = [
        _rule(
            f"At most {allowed:.2%} of the rows read are rejected, as the manifest allows (errors.rejected_ratio_max).",
            column="rejected_ratio",
            max_value=allowed,
        )
    ]
    if job.target.write == "append":
        rules.append(_rule("The job appends: it changes no row that is there.", column="updated_rows", max_value=0))
    if job.source.deleted is None or job.on_delete == "ignore":
        rules.append(_rule("No flag of the source deletes rows here.", column="deleted_rows", max_value=0))
    if not any(job.finds_absent(mode) for mode in Mode):
        rules.append(_rule("No row is removed for its absence at the source.", column="removed_rows", max_value=0))
    if job.tenant_column is None:
        tenants = {"column": "tenant_id", "value_set": [NO_TENANT, TOTAL]}
        rules.append(_told("expect_column_values_to_be_in_set", tenants, "The job has no tenants."))
    return rules


def _rule(said: str, *, column: str, max_value: float) -> dict[str, Any]:
    takes = {"column": column, "min_value": 0, "max_value": max_value}
    return _told("expect_column_values_to_be_between", takes, said)


def _told(kind: str, takes: dict[str, Any], said: str) -> dict[str, Any]:
    return {"type": kind, "kwargs": takes, "description": said, "meta": {"control": "SYNC-005"}}


def _is_by_hand(text: str) -> bool:
    """What cannot be read is a person's too: it is neither believed nor overwritten."""
    meta = _parsed(text).get("meta")
    return not isinstance(meta, dict) or "generated_by" not in meta or bool(meta.get("reviewed_by"))


def _parsed(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
