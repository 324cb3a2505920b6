"""What is to be done about records that differ: sent again, deleted, or a person decides. Always from source to copy.

A plan only names keys and actions; who runs it, and how its rows are written, is the load's matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from syncline.core.job import SyncJob
from syncline.core.mapping import FieldMap
from syncline.core.record_comparison import DifferingRecord, RecordClass


class Action(StrEnum):
    """`leave` is for what is expected: the line, or the manifest, has it so."""

    SEND = "send"
    DELETE = "delete"
    ESCALATE = "escalate"
    LEAVE = "leave"


@dataclass(frozen=True)
class Planned:
    """What is to be done about one record, and why where a person must decide."""

    record: DifferingRecord
    action: Action
    because: str = ""


@dataclass(frozen=True)
class Approval:
    """Who answers for a repair, and whether financial and critical fields may be written, too."""

    by: str
    reason: str
    with_critical: bool = False


def plan(job: SyncJob, differing: Iterable[DifferingRecord], *, with_critical: bool) -> list[Planned]:
    """What repair would do, for each record.

    Args:
        with_critical: Somebody has approved that fields with severity critical, or financial ones, are written.
    """
    return [_planned(job, record, with_critical) for record in differing]


def guarded_fields(job: SyncJob) -> list[str]:
    """Fields that are written only when that was approved by name."""
    return [name for name, field in job.mapping.fields.items() if _is_guarded(field)]


def _planned(job: SyncJob, record: DifferingRecord, with_critical: bool) -> Planned:
    if record.is_excused:
        return Planned(record, Action.LEAVE, f"expected: {record.cause}")
    if because := _undecided(job, record):
        return Planned(record, Action.ESCALATE, because)
    touched = record.columns or tuple(job.mapping.fields)
    if not with_critical and (guarded := [name for name in touched if _is_guarded(job.mapping.fields[name])]):
        return Planned(record, Action.ESCALATE, f"critical fields need an approval of their own: {', '.join(guarded)}")
    is_extra = record.record_class is RecordClass.MISSING_IN_SOURCE
    return Planned(record, Action.DELETE if is_extra else Action.SEND)


def _undecided(job: SyncJob, record: DifferingRecord) -> str:
    """Why nobody but a person can say what is right; '' where the source is."""
    target = job.target
    if job.manifest.group is not None:
        return f"it is published with its group alone: `{job.command} --mode full`"
    if target.write == "replace":
        return "a replacing job writes everything or nothing: run it in mode full"
    if None in record.target_key:
        return "its key cannot be mapped"
    if record.record_class is RecordClass.DUPLICATE_KEY:
        return "two rows have one key: which of them is right?"
    if record.record_class is RecordClass.MISMATCHED and target.write == "append":
        return "the manifest says write: append, which never changes a row"
    if record.record_class is RecordClass.MISSING_IN_SOURCE and (job.on_delete == "ignore" or target.write != "upsert"):
        return "the manifest deletes nothing from this copy"
    return ""


def _is_guarded(field: FieldMap) -> bool:
    return field.severity == "critical" or field.pii == "financial"
