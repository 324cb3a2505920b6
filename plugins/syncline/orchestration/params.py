"""The form that a person fills to run a job by hand, and how it becomes a RunRequest.

Each field is checked by its JSON Schema when the run is created; what concerns several fields, and keys that the
form does not have, is checked here, in the run's first task. A schedule fills nothing: defaults are the daily work.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow.sdk import Param

from syncline.core.errors import TerminalError
from syncline.core.files.findings import nearest
from syncline.core.groups import Group
from syncline.core.job import SyncJob
from syncline.core.values import Mode, RunRequest

MOMENT = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})$"  # Airflow does not check `format`
TENANT = r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,62}$"
REASON_MAX = 500
TENANTS_MAX = 1000
MODES = {
    Mode.INCREMENTAL: "incremental: what changed since the last published batch; all rows once after a changed mapping",
    Mode.FULL: "full: every row of the source, compared with the target",
    Mode.WINDOW: "window: rows changed within one interval; the watermark stays",
}
AS_USUAL = "as usual"
FOR_GROUPS = ("accept_source", "approve_deletes", "despite_windows", "reason")
WHAT, WHY, REACH = "What to read", "Why", "How far"
NEVER = "What is already there is never written again, and an older value never replaces a newer one."
WINDOWED = (
    "**incremental** is the daily run. **full** finds and mends whatever was missed. **window** mends one interval. A "
    f"**backfill** reads the interval of each of its runs in mode window, whatever stands here. {NEVER}"
)
WHOLE = (
    "This job can only read everything, and compares it with the target. A **backfill** has nothing to catch up: its "
    f"runs are skipped once a published batch has read everything after their interval. {NEVER}"
)


class RunRefused(TerminalError):
    """The run asks for something that makes no sense together; nothing was opened."""


def modes(job: SyncJob) -> list[Mode]:
    """What the job can read: without a change column, or when it replaces its target, only everything."""
    return [job.default_mode] if job.default_mode is Mode.FULL else [mode for mode in Mode if mode is not Mode.REPAIR]


def run_params(job: SyncJob) -> dict[str, Param]:
    """The fields of the form. New objects for each DAG: Airflow writes a run's values into them."""
    allowed = modes(job)
    fields = {
        "mode": field(
            job.default_mode.value,
            WHAT,
            "Mode",
            type="string",
            enum=[mode.value for mode in allowed],
            values_display={mode.value: MODES[mode] for mode in allowed},
            description=WHOLE if allowed == [Mode.FULL] else WINDOWED,
        )
    }
    if Mode.WINDOW in allowed:
        fields["window_from"] = _moment("first moment that belongs to it")
        fields["window_to"] = _moment("first moment after it")
    if job.tenant_column is not None and job.target.write != "replace":  # replacing for some would drop the others
        fields["tenants"] = tenants_param(
            "Empty: every tenant of the job. A run of some tenants does not move the watermark."
        )
    fields["dry_run"] = field(
        False,
        REACH,
        "Dry run",
        type="boolean",
        description="Count what would change, in all and by tenant, and change nothing: the log of `load` has the "
        "table, `reconcile` and `publish` are skipped. In a backfill, Airflow takes a day that was run dry for done: "
        "for the real one choose to reprocess completed runs too, with `dry_run` false.",
    )
    if any(side.avoid for side in (job.manifest.schedule, job.source, job.target)):
        fields["despite_windows"] = field(
            False,
            REACH,
            "Begin in closed hours",
            type="boolean",
            description="Do not wait for the end of hours in which the job or its systems are closed (`avoid`). Ask "
            "their owner first, and write who said so as the reason.",
        )
    if job.on_delete != "ignore":
        fields["approve_deletes"] = field(
            None,
            REACH,
            "Approve the deletions of batch",
            type=["integer", "null"],
            minimum=1,
            description="The number of a batch that was held because it would delete much. This run may delete as "
            "many rows, once. Needs a reason; see `docs/runbooks/mass-delete.md`.",
        )
    fields["accept_source"] = field(
        False,
        REACH,
        "Accept another source",
        type="boolean",
        description="The source was restored, replaced or failed over, and that is right. Only with mode **full** "
        "and a reason; see `docs/runbooks/source-replaced.md`.",
    )
    fields["reason"] = text_param(
        "Reason", "For the audit trail. Needed when you start a **full** or **window** run by hand."
    )
    return fields


def tenants_param(effect: str) -> Param:
    """Which tenants a run is about; `effect` says what it means to name some."""
    return field(
        None,
        REACH,
        "Only these tenants",
        type=["array", "null"],
        items={"type": "string", "pattern": TENANT},
        minItems=1,
        maxItems=TENANTS_MAX,
        uniqueItems=True,
        description=f"One id a line, no empty line. {effect}",
    )


def text_param(title: str, purpose: str) -> Param:
    """What a person writes and the ledger keeps, such as a reason."""
    return field(
        None,
        WHY,
        title,
        type=["string", "null"],
        maxLength=REASON_MAX,
        description=f"{purpose} No personal data, please: write ticket numbers.",
    )


def reason(context: Mapping[str, Any]) -> str:
    """Why a person started the run; empty where nobody said."""
    return (context["params"]["reason"] or "").strip()


def field(default: Any, section: str, title: str, *, description: str, **schema: Any) -> Param:
    """A field of the form that the DAG itself offers; `schema` is JSON Schema."""
    return Param(default, source="dag", section=section, title=title, description_md=description, **schema)


def _moment(meaning: str) -> Param:
    return field(
        None,
        WHAT,
        f"Window: {meaning}",
        type=["string", "null"],
        format="date-time",
        pattern=MOMENT,
        description="Only for mode **window**, like 2026-11-01T00:00:00Z; compared with when rows were changed. "
        "Both empty: the run's data interval. A backfill has its own.",
    )


def group_params(group: Group) -> dict[str, Param]:
    """The fields of a group's form: what can be asked of all its members at once."""
    offered: dict[str, Param] = {}
    for job in group.jobs:
        offered |= {name: field for name, field in run_params(job).items() if name in FOR_GROUPS}
    mode = field(
        AS_USUAL,
        WHAT,
        "Mode",
        type="string",
        enum=[AS_USUAL, Mode.FULL.value],
        description="**full** compares every row of all members; needs a reason.",
    )
    return {"mode": mode, **{name: offered[name] for name in FOR_GROUPS if name in offered}}


def group_request(group: Group, context: Mapping[str, Any]) -> RunRequest:
    """What the run asks of all members.

    Raises:
        RunRefused: Unknown keys, or no reason where one is needed.
    """
    params, run = context["params"], context["dag_run"]
    refuse_unknown_keys(f"group {group.name}", run.conf or {}, group_params(group))
    request = RunRequest(
        run_key=run.run_id,
        mode=Mode.FULL if params["mode"] == Mode.FULL else None,
        reason=reason(context),
        accept_source=bool(params.get("accept_source")),
        approve_deletes=params.get("approve_deletes"),
    )
    is_special = request.mode or request.accept_source or request.approve_deletes or params.get("despite_windows")
    if is_special and not request.reason:
        raise RunRefused(
            f"group {group.name}: such a run needs a reason, which the audit trail keeps. Nothing was opened."
        )
    return request


def run_request(job: SyncJob, context: Mapping[str, Any]) -> RunRequest:
    """What the run asks of the job.

    Raises:
        RunRefused: Unknown keys, a missing reason or window, or a window that ends before it begins.
    """
    params, run = context["params"], context["dag_run"]
    refuse_unknown_keys(job.id, run.conf or {}, run_params(job))
    is_backfill = run.run_type == "backfill"
    mode = Mode(params["mode"])
    if is_backfill and job.default_mode is not Mode.FULL:
        mode = Mode.WINDOW  # a backfill is about its own interval, whatever the form's default says
    request = RunRequest(
        run_key=run.run_id,
        mode=None if mode is job.default_mode else mode,  # None: a run that is run again reads what it read
        tenants=tuple(params["tenants"]) if params.get("tenants") else None,
        dry_run=params["dry_run"],
        reason=reason(context),
        window=_interval(run) if is_backfill else _window(job, mode, params, run),
        is_backfill=is_backfill,
        accept_source=bool(params.get("accept_source")),
        approve_deletes=params.get("approve_deletes"),
    )
    if params.get("despite_windows") and not request.reason:
        raise RunRefused(
            f"{job.id}: a run that begins in closed hours needs a reason, which the audit trail keeps. "
            f"Nothing was opened. Trigger it again with `reason`, or without `despite_windows`: it then waits."
        )
    if (request.approve_deletes or request.accept_source) and not request.reason:
        raise RunRefused(f"{job.id}: an approval needs a reason, which the audit trail keeps. Nothing was opened.")
    is_by_hand = run.run_type == "manual"
    if is_by_hand and mode is not job.default_mode and not request.reason and not request.dry_run:
        raise RunRefused(
            f"{job.id}: a run of mode '{mode}' started by hand needs a reason, which the audit trail keeps. "
            f"Nothing was opened. Trigger it again with `reason`; backfills and dry runs need none."
        )
    return request


def refuse_unknown_keys(who: str, conf: Mapping[str, Any], known: Mapping[str, Param]) -> None:
    for key in sorted(conf.keys() - known.keys()):
        near = nearest(key, known)
        raise RunRefused(
            f"{who}: the run's conf has an unknown key '{key[:60]}'{f', did you mean {near!r}?' if near else ''}. "
            f"Known: {', '.join(known)}. Nothing was opened. Trigger the run again."
        )


def _window(job: SyncJob, mode: Mode, params: Mapping[str, Any], run: Any) -> tuple[datetime, datetime] | None:
    begin_text, end_text = params.get("window_from"), params.get("window_to")
    if mode is not Mode.WINDOW:
        if begin_text or end_text:
            raise RunRefused(
                f"{job.id}: window_from and window_to belong to mode 'window', the run asks for '{mode}'. "
                f"Nothing was opened. Trigger it again with one or the other."
            )
        return None
    if not begin_text and not end_text:
        return _interval(run) or _no_window(job)
    if not begin_text or not end_text:
        raise RunRefused(f"{job.id}: give both window_from and window_to, or neither. Nothing was opened.")
    try:
        begin, end = datetime.fromisoformat(begin_text), datetime.fromisoformat(end_text)
    except ValueError:  # the form of a moment, but there is no such day or hour
        raise RunRefused(
            f"{job.id}: window_from or window_to is no moment of the calendar. Nothing was opened."
        ) from None
    if not begin < end:
        raise RunRefused(f"{job.id}: window_from must be before window_to. Nothing was opened.")
    return begin, end


def _interval(run: Any) -> tuple[datetime, datetime] | None:
    """The run's data interval; a run triggered without a logical date has none."""
    if run.data_interval_start is None or run.data_interval_end is None:
        return None
    return run.data_interval_start, run.data_interval_end


def _no_window(job: SyncJob) -> tuple[datetime, datetime]:
    raise RunRefused(
        f"{job.id}: mode 'window' needs an interval and the run has none: it was triggered without a logical date. "
        f"Nothing was opened. Trigger it again with window_from and window_to."
    )
