"""Repair a copy from a comparison: plan, approve, apply; never the other way round.

What is approved runs as an ordinary batch of mode repair: its keys are read from the source as they are now, mapped,
loaded under the guards of every load, reconciled, published and audited. Afterwards the job is compared again: a repair
that did not repair is not green.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from syncline.adapters import ledger, project
from syncline.core.errors import SynclineError, TerminalError
from syncline.core.job import SyncJob
from syncline.core.job_files import load_job
from syncline.core.record_comparison import ComparisonRequest, ComparisonSummary
from syncline.core.repair import Action, Approval, Planned, plan
from syncline.core.values import BatchSummary, Mode, RunRequest
from syncline.steps.line import run_line
from syncline.steps.record_comparison import compare_records

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RepairPlan:
    """What a repair would do. `unlisted_rows` differ as well, and were too many to be kept by key."""

    job: SyncJob
    comparison: ComparisonSummary
    planned: tuple[Planned, ...]
    unlisted_rows: int

    def of(self, *actions: Action) -> list[Planned]:
        return [one for one in self.planned if one.action in actions]


@dataclass(frozen=True)
class Repaired:
    """What a repair did, and the comparison that proves it.

    Attributes:
        comparison: None of a dry run, and where it had no answer.
        left: How many records need a person.
        unproven: Why the comparison had no answer.
    """

    batch: BatchSummary
    comparison: ComparisonSummary | None
    left: int = 0
    unproven: str = ""


def plan_repair(comparison_id: int, *, with_critical: bool = False) -> RepairPlan:
    """List what would be sent again, deleted, or put before a person. Nothing is written.

    Raises:
        TerminalError: There is no such comparison, or the job's files have changed since.
    """
    with ledger.opened("repair") as book:
        comparison = book.comparison_summary(comparison_id)
        differing = book.differences(comparison_id)
        manifest_hash = book.compared_files(comparison_id)
    job = load_job(project.root(), comparison.job_id)
    if manifest_hash != job.manifest_hash:
        raise TerminalError(
            f"{job.id}: the manifest or mapping changed after comparison {comparison_id}: what differed then may be "
            f"right now. Nothing was planned. `syncline diff {job.id}` compares anew."
        )
    planned = plan(job, differing, with_critical=with_critical)
    return RepairPlan(job, comparison, tuple(planned), comparison.differing_rows - len(planned))


def apply_repair(comparison_id: int, approval: Approval, *, dry_run: bool = False, take_over: bool = False) -> Repaired:
    """Do what the plan lists, as one ordinary batch, and compare again.

    Args:
        take_over: Abandon a batch of the job that is under way, or was left unfinished a moment ago.

    Raises:
        TerminalError: Nobody answers for it, or there is nothing to do.
        BatchHeld: The guards of the load, or SYNC-005, hold it back.
    """
    if not approval.by.strip() or not approval.reason.strip():
        raise TerminalError("a repair needs --approved-by and --reason. Nothing was done.")
    made = plan_repair(comparison_id, with_critical=approval.with_critical)
    send, delete = (_hashes(made.of(action)) for action in (Action.SEND, Action.DELETE))
    if not send and not delete:
        raise TerminalError(
            f"{made.job.id}: comparison {comparison_id} leaves nothing to send or to delete: "
            f"{len(made.of(Action.ESCALATE))} records need a person, {len(made.of(Action.LEAVE))} are expected. "
            f"Nothing was done. `syncline repair plan {comparison_id}` says why."
        )
    with ledger.opened(f"{made.job.id} repair") as book:
        if (batch_id := book.applied_repair(comparison_id)) is not None:
            raise TerminalError(
                f"{made.job.id}: batch {batch_id} has repaired what comparison {comparison_id} found; what differs now "
                f"needs a comparison and an approval of its own. Nothing was done. `syncline diff {made.job.id}`"
            )
        repair_id = book.approve_repair(made.comparison, approval, send, delete, is_dry_run=dry_run)
    run_key = f"repair__{repair_id}__{uuid.uuid4().hex[:8]}"
    request = RunRequest(
        run_key, mode=Mode.REPAIR, dry_run=dry_run, reason=approval.reason, repairs=repair_id, take_over=take_over
    )
    done = run_line(made.job, request)
    log.info(
        "repaired job=%s comparison=%d repair=%d batch=%d sent_keys=%d deleted_keys=%d",
        made.job.id, comparison_id, repair_id, done.batch_id, len(send), len(delete),
    )  # fmt: skip
    left = len(made.of(Action.ESCALATE))
    if dry_run:
        return Repaired(done, None, left)
    try:
        return Repaired(done, compare_records(made.job, ComparisonRequest(run_key)), left)
    except SynclineError as error:  # what is published stays so, and is told
        return Repaired(done, None, left, unproven=str(error))


def _hashes(planned: Iterable[Planned]) -> list[int]:
    return [one.record.key_hash for one in planned]
