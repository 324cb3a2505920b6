"""The form of a comparison by hand, and which jobs a run compares.

As in params.py: each field is checked by its JSON Schema when the run is created, and what concerns several fields, or
the manifests, in the run's first task. A schedule fills nothing: defaults are the control as it is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow.sdk import Param

from syncline.core.consumers import CONSUMERS_MAX, most_critical
from syncline.core.files.findings import nearest
from syncline.core.job import SyncJob
from syncline.core.record_comparison import ComparisonRequest, Depth
from syncline.orchestration.params import (
    REACH,
    WHAT,
    RunRefused,
    field,
    reason,
    refuse_unknown_keys,
    tenants_param,
    text_param,
)

CONTROL = "SYNC-008"
NAMES_MAX = 1000


def control_params(job_ids: Sequence[str], consumers: Sequence[str]) -> dict[str, Param]:
    """The fields of SYNC-008's form; what is offered to choose from is checked when the run chooses."""
    return {
        "jobs": _names("Only these jobs", job_ids, "Empty: all jobs of the consumers."),
        "consumers": _names(
            "Only these consumers", consumers, "Target connections. Empty: the most critical ones, by the manifests."
        ),
        "consumers_max": field(
            CONSUMERS_MAX,
            WHAT,
            "How many of the most critical consumers",
            type="integer",
            minimum=1,
            maximum=NAMES_MAX,
            description="Where neither jobs nor consumers are named.",
        ),
        "tenants": tenants_param("Empty: every tenant. The report says that others were not seen."),
        "sample_percent": field(
            None,
            REACH,
            "Only a sample of the records, in percent",
            type=["number", "null"],
            exclusiveMinimum=0,
            exclusiveMaximum=100,
            description="Like 1 or 0.5. Empty: every record. The report says how sure a sample is.",
        ),
        **_common(),
    }


def daily_params(job_ids: Sequence[str]) -> dict[str, Param]:
    """The fields of the daily comparison's form."""
    return {
        "jobs": _names("Only these jobs", job_ids, "Empty: every job."),
        **_common(),
    }


def _common() -> dict[str, Param]:
    return {
        "despite_windows": field(
            False,
            REACH,
            "Begin in closed hours",
            type="boolean",
            description="Do not wait for the end of hours in which a job or its systems are closed (`avoid`). Ask "
            "their owner first, and write who said so as the reason.",
        ),
        "reason": text_param("Reason", "Kept with the run."),
    }


def signers_note() -> Param:
    """What the owner of the control writes beside the answer; a field of the task that asks."""
    note = text_param("Note", "Needed to reject, and to sign what is not `matched`.")
    note.source = "task"
    return note


def _names(title: str, offered: Sequence[str], description: str) -> Param:
    """A choice of several: the form offers `examples`, and JSON Schema leaves other names to us."""
    return field(
        None,
        WHAT,
        title,
        type=["array", "null"],
        items={"type": "string"},
        examples=list(offered),
        minItems=1,
        maxItems=NAMES_MAX,
        uniqueItems=True,
        description=description,
    )


def check(who: str, context: Mapping[str, Any], known: Mapping[str, Param]) -> None:
    """Refuse a run whose conf has keys that the form does not have, or that lacks a reason."""
    refuse_unknown_keys(who, context["dag_run"].conf or {}, known)
    if context["params"]["despite_windows"] and not reason(context):
        raise RunRefused(f"{who}: a comparison that begins in closed hours needs a reason. Nothing was compared.")


def chosen(dag_id: str, jobs: Sequence[SyncJob], params: Mapping[str, Any]) -> list[str]:
    """Ids of the jobs that a run compares: the most critical consumers first, or every job where nobody asks for them.

    Raises:
        RunRefused: A name that does not exist, jobs and consumers at once, or no job at all.
    """
    consumers = params.get("consumers")
    if params["jobs"] and consumers:
        raise RunRefused(f"{dag_id}: name jobs, or consumers, not both. Nothing was compared.")
    if not jobs:
        raise RunRefused(
            f"{dag_id}: there is no manifest without mistakes, so there is nothing to compare: nothing is proven."
        )
    if params["jobs"]:
        return named(dag_id, "job", params["jobs"], (job.id for job in jobs))
    if consumers:
        names = named(dag_id, "consumer", consumers, {job.target.connection for job in jobs})
        return [job.id for job in most_critical((j for j in jobs if j.target.connection in names), len(names))]
    if "consumers_max" in params:
        return [job.id for job in most_critical(jobs, params["consumers_max"])]
    return [job.id for job in jobs]


def named(who: str, kind: str, asked: Sequence[str], there_are: Iterable[str]) -> list[str]:
    """Names that a person gave, each of which exists.

    Raises:
        RunRefused: One does not.
    """
    known = sorted(there_are)
    for name in asked:
        if name not in known:
            near = nearest(name, known)
            raise RunRefused(
                f"{who}: there is no {kind} '{name[:60]}'{f', did you mean {near!r}?' if near else ''}. "
                f"There are: {', '.join(known)}; a manifest with mistakes is none (`syncline check`). Nothing was "
                f"compared. Trigger the run again."
            )
    return list(asked)


def control_request(context: Mapping[str, Any]) -> ComparisonRequest:
    """What a run of SYNC-008 asks of each job that it compares."""
    params = context["params"]
    percent: float | None = params["sample_percent"]
    return ComparisonRequest(
        run_key=context["dag_run"].run_id,
        control=CONTROL,
        is_scheduled=_is_scheduled(context),
        sample_ratio=None if percent is None else percent / 100,
        tenants=tuple(params["tenants"]) if params["tenants"] else None,
    )


def daily_request(context: Mapping[str, Any]) -> ComparisonRequest:
    """What a run of the daily comparison asks of each job."""
    return ComparisonRequest(
        run_key=context["dag_run"].run_id,
        depth=Depth.CHECKSUMS,
        is_scheduled=_is_scheduled(context),
    )


def _is_scheduled(context: Mapping[str, Any]) -> bool:
    return bool(context["dag_run"].run_type == "scheduled")
