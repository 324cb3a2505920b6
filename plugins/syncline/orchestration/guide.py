"""What an operator reads in Airflow's UI about a job, without knowing Python or opening a repository.

Texts only. Each task's note says what it does, where the truth is afterwards, and what to do when it is red.
"""

from __future__ import annotations

from syncline.core.groups import Group
from syncline.core.job import SyncJob
from syncline.core.values import Mode
from syncline.core.windows import windows_of

GROUP_GUIDE = """\
**Group `{name}`**: its jobs are read at one moment, under one snapshot of their source, and published together. Readers
see all of them as of that moment, or the last good state of all of them.

{members}

`extract_and_map` stages all members; each is loaded and reconciled by tasks of its own; `publish` opens the gate for
all, or holds all where one is not proven: see `docs/runbooks/group-held.md`. Clearing from `open` is always safe.

A backfill of a group reads what is owed, as any run of it does: it has no windows. The members' own DAGs have no
schedule. Alone a member may only be counted (a dry run)."""
TASKS = {
    "open": """\
**Opens the batch**: takes the job's lock with a new epoch and fixes what will be read, from the watermark of the
last published batch. Afterwards the ledger has a batch in state `open`.

*Turquoise (`up_for_reschedule`)*: another run of this job is under way, or these are hours in which the job or one of
its systems is closed; the log says until when. It waits and loses no retry, and so does every later task.

*Pink (`skipped`)*: a backfill that has nothing to do, because the job reads everything in every run and has done so
since; the log names the batch.

*Red*: the log names the reason. A refused run (missing reason, unknown key) is triggered again, rightly filled.
Nothing was read or written.""",
    "extract_and_map": """\
**Reads the source** under one snapshot; the mapping runs inside the source's database as one SELECT, and the rows
stream into a staging table at the target. Rows that break a rule become dead letters, with their reason.

*Grey (`scheduled`) and never starts*: its pool is missing or full, see Admin > Pools.

*Red*: clear this task; staging starts over. `BatchHeld`: more rows were rejected than the manifest allows, an alert is
out, see `docs/runbooks/rows-rejected.md`.""",
    "read_parts": """\
**Helps to read a large batch** (`source.parts` in the manifest): takes parts of the source that nobody reads yet, under
the snapshot that `extract_and_map` holds. When none is left it is done; `extract_and_map` reads what is left over.

*Turquoise (`up_for_reschedule`)*: the snapshot is not there yet. *Red*: clear it; its parts were read by others.""",
    "load": """\
**Merges staging into the target** in one transaction, as the tenant role: only rows that differ are written, older
versions never win, and the counts must balance before the commit. Afterwards the target has the rows, and a marker
with the counts in the same transaction. A dry run writes nothing: its log has a table of what would change.

*Red*: nothing is half done. Clear this task: it merges again, or finds the marker and changes nothing.""",
    "reconcile": """\
**Proves the batch** (SYNC-005): counts the target anew, per tenant, against the source as of the batch's cut-off, and
looks up each key that the batch brought; a difference is counted twice. The log ends with the batch's balance sheet,
the evidence stays in the ledger. Only `matched` goes on.

*Red with `BatchHeld`*: source and target differ by more than agreed; nothing is published, readers keep the last good
batch, an alert is out. See `docs/runbooks/batch-held.md`, or `docs/runbooks/batch-unverified.md` if the check proved
nothing. Marking it success opens no gate: `publish` asks the ledger.

*Pink (`skipped`)*: a dry run, there is nothing to compare.""",
    "publish": """\
**Opens the gate**: the batch becomes `published`, the watermark moves, the asset `sync://<job>` is updated and the
`pub_*` models are built. Its event carries the batch's id, counts and verdict.

*Red*: clear this task. Publishing twice is publishing once.

*Pink (`skipped`)*: a dry run, nothing was published.""",
}

DAG_GUIDE = """\
{description}.

| | |
|---|---|
| From | `{source_table}` at `{source}` |
| To | `{target_table}` at `{target}`, {writing} |
| Tenants | {tenants} |
| Owner | {team}; business: {business} |
| On call | **{oncall}**, alerted as `{severity}` |
| Promised age | half of all changes within {p50}, 99 % within {p99} |
| Held when | more than {mismatch:.3%} of rows differ, or more than {rejected:.3%} are rejected |
| Runs | `{cron}` {timezone}{avoid} |
| Feeds | {downstream} |
| Agreement | `include/manifests/{job_id}.yaml` {version}, mapping `{mapping}` |

### The story of a batch
`open` → `extract_and_map` → `load` → `reconcile` → `publish`. Rows never pass through Airflow: tasks hand on the
batch's id. Until `publish` is green no reader sees the batch, and the next run reads the same window again. Click
a task for what it does and what to do when it is red.

### When something is red
1. A failed task was tried up to 4 times, unless a person must act: then it failed at once. The log says what happened,
   what state is left and what to do; `docs/runbooks/task-failed.md` helps to read it.
2. `BatchHeld` → `docs/runbooks/batch-held.md`. Nothing is broken: readers have the last good batch. Once mended,
   trigger the job, or clear this run from `open`.
3. `EnvironmentFailure` → disk, login or grant: mend it, then clear the task.
4. Otherwise mend what the log names and clear the failed task. Clearing is safe at any time, one task or the whole run
   from `open`: what is written already is found, not written again.
5. `Fenced`: a later run has overtaken this batch and does its work. Leave it.

### What a click does
{clicks}

Always: what is already there counts as `unchanged`, an older value never replaces a newer one, and nothing is published
that is not `matched`. Runs of one job wait for each other, backfilled ones let all others go first: `open` is turquoise
meanwhile. **Dry run**, as a field of the form or as `{{"dry_run": true}}` in a backfill, reads the same, counts what
would change, in all and by tenant, in the log of `load`, and writes nothing. Step by step: `docs/runbooks/backfill.md`.

Look closer: `syncline status {job_id}`, `syncline explain {job_id}`, `syncline preview {job_id} --limit 20`.
"""

WINDOWED = """\
| You | It reads | The watermark |
|---|---|---|
| **Trigger**, mode incremental | what changed since the last published batch | moves |
| **Trigger**, mode full | every row, and compares it with the target | moves |
| **Trigger**, mode window | rows changed from `window_from` up to, not including, `window_to` | stays |
| **Trigger** for some tenants | the same, of these tenants | stays |
| **Backfill**, either direction | rows changed within the interval of each run, whatever the mode says | stays |
| **Clear** a finished run | what it read then, as it is now | never moves back |"""
WHOLE = """\
| You | It reads | The watermark |
|---|---|---|
| **Trigger** | every row, and compares it with the target: this job can read nothing less | moves |
| **Backfill** | every row, once; runs whose interval was read since by a published batch are skipped | moves |
| **Clear** a finished run | every row, as it is now | moves |"""

WRITING = {
    "upsert": "inserting and updating by key",
    "append": "inserting what is missing, changing nothing",
    "replace": "replacing the whole table",
}


def tags(job: SyncJob) -> set[str]:
    manifest = job.manifest
    return {
        "syncline",
        f"domain:{manifest.domain}",
        f"criticality:{manifest.criticality}",
        f"source:{job.source.connection}",
        f"target:{job.target.connection}",
    }


def owner_links(job: SyncJob) -> dict[str, str]:
    """Clicking the owner in the UI writes to the person on call, where that is an address."""
    owner = job.manifest.owner
    return {owner.team: f"mailto:{owner.oncall}"} if "@" in owner.oncall else {}


def dag_guide(job: SyncJob) -> str:
    manifest, source, target = job.manifest, job.source, job.target
    return DAG_GUIDE.format(
        job_id=job.id,
        clicks=WHOLE if job.default_mode is Mode.FULL else WINDOWED,
        description=manifest.description.rstrip("."),
        source=source.connection,
        source_table=source.table,
        target=target.connection,
        target_table=target.table,
        writing=WRITING[target.write],
        tenants=f"by `{job.tenant_column}`" if job.tenant_column else f"none: {manifest.tenancy.none}",
        team=manifest.owner.team,
        business=manifest.owner.business,
        oncall=manifest.owner.oncall,
        severity=manifest.errors.severity,
        p50=_duration(manifest.sla.latency_p50_s_max),
        p99=_duration(manifest.sla.latency_p99_s_max),
        mismatch=manifest.reconcile.mismatch_ratio_max,
        rejected=manifest.errors.rejected_ratio_max,
        cron=manifest.schedule.cron,
        timezone=manifest.schedule.timezone,
        avoid=_closed(job),
        downstream=", ".join(f"`{model}`" for model in manifest.downstream) or "nothing yet",
        version=manifest.version,
        mapping=manifest.mapping,
    )


def group_guide(group: Group) -> str:
    """What an operator reads about a group."""
    members = "\n".join(f"- `{job.id}`: {job.manifest.description.rstrip('.')}" for job in group.jobs)
    return GROUP_GUIDE.format(name=group.name, members=members)


def _closed(job: SyncJob) -> str:
    """`, not within 02:00-02:40 Europe/London ('payroll')`; nothing where no hours are closed."""
    windows = [window for key in ("schedule", "source", "target") for window in windows_of(job.manifest, key)]
    said = [f"{window.clock_range} {window.zone} ({window.whose})" for window in windows]
    return f", not within {', '.join(said)}" if said else ""


def _duration(seconds: int) -> str:
    """`21600` as `6 h`: the largest unit that says it exactly, minutes at least."""
    for unit, unit_s in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds % unit_s == 0 and seconds > unit_s:
            return f"{seconds // unit_s} {unit}"
    return f"{seconds} s"
