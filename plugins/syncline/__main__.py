"""The `syncline` command: check, explain, preview, run and watch jobs from a shell, without Airflow.

Exit codes: 0 all is well, 1 mistakes in files or a batch that is not `matched`, 2 wrong usage, 3 the place is not fit.
Only words for people are decided here; what is done stands in `steps`.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import uuid
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from syncline.adapters import project
from syncline.core.checking import check_project
from syncline.core.cron import next_runs
from syncline.core.errors import EnvironmentFailure, SynclineError, TransientError
from syncline.core.findings import Finding, nearest, printable
from syncline.core.manifest import SyncJob, job_ids, load_job
from syncline.core.values import BatchSummary, Mode, RunRequest, State

if TYPE_CHECKING:
    from syncline.steps.differing import MappingDifference
    from syncline.steps.looking import PreviewRow

app = typer.Typer(
    help=__doc__.splitlines()[0], no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
WIDTH_MIN = 110  # a narrower terminal wraps the line; a table squeezed into it could not be read
out = Console(soft_wrap=True)
out.width = max(out.width, WIDTH_MIN)
JobId = Annotated[str, typer.Argument(metavar="JOB", help="The manifest's file stem, e.g. mdm__payroll__worker")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for other programs")]


@app.command()
def check(
    path: Annotated[Path | None, typer.Argument(help="Project root or one YAML file; all files without it")] = None,
    as_json: AsJson = False,
) -> None:
    """Report every mistake of all manifests and mappings at once; exit code 1 if there is any."""
    root, only = _root_and_file(path)
    started = time.monotonic()
    jobs, findings = check_project(root)
    elapsed_s = time.monotonic() - started
    findings = [finding for finding in findings if only is None or finding.path == only]
    if as_json:
        print(json.dumps({"jobs": len(jobs), "findings": [finding.as_dict() for finding in findings]}, indent=2))
    else:
        _print_findings(findings, len(jobs), elapsed_s)
        for job in jobs:
            if only == f"include/manifests/{job.id}.yaml":
                print(f"{job.id} runs next: {_next_runs(job)}")
    raise typer.Exit(1 if findings else 0)


@app.command()
def explain(job_id: JobId) -> None:
    """Print the DAG that a manifest becomes and the SELECT that its mapping becomes."""
    from syncline.steps import looking

    job = _job(job_id)
    print(_dag_plan(job))
    print(looking.explain_sql(job))


@app.command()
def preview(
    job_id: JobId,
    limit: Annotated[int, typer.Option(help="Rows to map")] = 20,
    unmask: Annotated[bool, typer.Option("--unmask", help="Show personal data")] = False,
    as_json: AsJson = False,
) -> None:
    """Show source row, target row and errors side by side, mapped by the source's own engine."""
    from syncline.steps import looking

    job = _job(job_id)
    rows = looking.preview(job, limit=limit, unmask=unmask)
    if as_json:
        print(json.dumps([row.__dict__ for row in rows], ensure_ascii=False, indent=2))
        return
    for number, row in enumerate(rows, start=1):
        out.print(_side_by_side(number, row, job))


@app.command("diff-mapping")
def diff_mapping(
    before: Annotated[str, typer.Argument(help="A mapping: its name, its file, or <git revision>:<name>")],
    after: Annotated[str, typer.Argument(help="The other one, the same way")],
    job_id: Annotated[str | None, typer.Option("--job", help="Whose source is sampled")] = None,
    sample: Annotated[int, typer.Option(help="Rows of the source to map both ways")] = 1_000,
    limit: Annotated[int, typer.Option(help="Changed rows to show")] = 20,
    unmask: Annotated[bool, typer.Option("--unmask", help="Show personal data")] = False,
    as_json: AsJson = False,
) -> None:
    """Show which rows of a sample two versions of a mapping see differently; exit code 1 if anything differs."""
    from syncline.steps import differing

    found = differing.diff_mappings(
        project.root(), before, after, job_id=job_id, sample_rows=sample, shown_rows=limit, unmask=unmask
    )
    if as_json:
        print(json.dumps(asdict(found), ensure_ascii=False, indent=2))
    else:
        _print_difference(found)
    raise typer.Exit(0 if found.is_empty else 1)


@app.command()
def run(
    job_id: JobId,
    mode: Annotated[Mode | None, typer.Option(help="What to read; the job decides without it")] = None,
    tenant: Annotated[list[str] | None, typer.Option(help="Only this tenant; may be repeated")] = None,
    window_from: Annotated[datetime | None, typer.Option(help="Mode window: begin, UTC")] = None,
    window_to: Annotated[datetime | None, typer.Option(help="Mode window: end, UTC, not included")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would change, write nothing")] = False,
    take_over: Annotated[bool, typer.Option("--take-over", help="Abandon a batch that is under way")] = False,
    reason: Annotated[str, typer.Option(help="Why; kept in the ledger")] = "",
    as_json: AsJson = False,
) -> None:
    """Run a whole batch here: open, extract and map, load, reconcile, publish."""
    from syncline.steps import run_line

    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("syncline").setLevel(logging.INFO)
    window = _window(window_from, window_to)
    if window is not None and mode not in (None, Mode.WINDOW):
        raise typer.BadParameter(f"--window-from and --window-to belong to --mode window, not {mode}")
    request = RunRequest(
        run_key=f"shell__{datetime.now(UTC):%Y%m%dT%H%M%S}__{uuid.uuid4().hex[:8]}",
        mode=Mode.WINDOW if window is not None else mode,
        tenants=tuple(tenant) if tenant else None,
        dry_run=dry_run,
        reason=reason,
        window=window,
        take_over=take_over,
    )
    summary = run_line(_job(job_id), request)
    print(json.dumps(summary.as_dict()) if as_json else _sentence(summary))


@app.command()
def status(
    job_id: Annotated[str | None, typer.Argument(metavar="[JOB]", help="One job; all without it")] = None,
    as_json: AsJson = False,
) -> None:
    """Per job the last batch, its counts and verdict, the watermark and how fresh the copy is."""
    from syncline.steps import looking

    rows = looking.status(job_id)
    if as_json:
        print(json.dumps(rows, default=_jsonable, indent=2))
        return
    out.print(_status_of_one(rows[0]) if job_id and rows else _status_table(rows))


@app.command("install-ledger")
def install_ledger() -> None:
    """Create or update schema `ledger` at connection `ledger`; safe to repeat."""
    from syncline.adapters import ledger

    files = ledger.install(project.root() / "include" / "ledger")
    print(f"ledger is up to date: {', '.join(files)}")


@app.command("deliver-alerts")
def deliver_alerts() -> None:
    """Offer queued alerts to the channel again, after it was down."""
    from syncline.steps import alerting

    print(f"delivered {alerting.deliver_pending()} alerts")


def main() -> None:
    """Run the command; a failure that has a name is one sentence, not a traceback."""
    try:
        app()
    except SynclineError as error:
        print(f"syncline: {error}", file=sys.stderr)
        sys.exit(3 if isinstance(error, EnvironmentFailure | TransientError) else 1)


def _root_and_file(path: Path | None) -> tuple[Path, str | None]:
    """A YAML file means its project, and only its own findings."""
    path = (path or project.root()).absolute()
    if not path.exists():
        raise typer.BadParameter(f"{path} does not exist")
    root = path.parents[2] if path.is_file() else path
    if path.is_file() and path.parent not in (root / "include" / "manifests", root / "include" / "mappings"):
        raise typer.BadParameter(f"{path} is not a file of include/manifests or include/mappings")
    if not (root / "include" / "manifests").is_dir():
        raise typer.BadParameter(f"{root} is not a project: it has no include/manifests")
    return root, path.relative_to(root).as_posix() if path.is_file() else None


def _job(job_id: str) -> SyncJob:
    known = job_ids(project.root())
    if job_id not in known:
        near = nearest(job_id, known)
        raise typer.BadParameter(
            f"there is no job '{job_id}'; one of: {', '.join(known) or 'none'}"
            + (f". Did you mean '{near}'?" if near else "")
        )
    return load_job(project.root(), job_id)


def _print_findings(findings: list[Finding], jobs: int, elapsed_s: float) -> None:
    for finding in findings:
        print(finding)
    files = len({finding.path for finding in findings})
    said = f"{len(findings)} mistakes in {files} files" if findings else "no mistakes"
    print(f"{jobs} jobs are valid, {said}, read in {elapsed_s:.2f} s", file=sys.stderr)


def _next_runs(job: SyncJob) -> str:
    schedule = job.manifest.schedule
    runs = next_runs(schedule.cron, schedule.timezone, datetime.now(UTC))
    return ", ".join(f"{run:%Y-%m-%d %H:%M %Z}" for run in runs)


def _dag_plan(job: SyncJob) -> str:
    manifest = job.manifest
    limit = manifest.reconcile.mismatch_ratio_max
    return "\n".join(
        [
            f"-- DAG sync__{job.id}: {manifest.description}",
            f"-- schedule {manifest.schedule.cron} ({manifest.schedule.timezone}), owner {manifest.owner.team}",
            f"-- next runs {_next_runs(job)}",
            f"-- open             takes the job's lock and the window; default mode {job.default_mode}",
            f"-- extract_and_map  {job.source.connection}: {job.source.table}, pool source_{job.source.connection}",
            f"-- load             {job.target.connection}: {job.target.table}, {job.target.write} by"
            f" {', '.join(job.target.key)}, pool target_{job.target.connection}",
            f"-- reconcile        SYNC-005: at most {limit:.3%} of rows may differ, in total and per tenant",
            f"-- publish          moves the watermark, updates asset sync://{job.id}",
        ]
    )


def _sentence(summary: BatchSummary) -> str:
    """What a batch did, for a person."""
    counts = summary.counts
    outcomes = ", ".join(
        f"{getattr(counts, name):,} {name.removesuffix('_rows')}"
        for name in ("inserted_rows", "updated_rows", "deleted_rows", "unchanged_rows", "superseded_rows")
    )
    would = "would be " if summary.state is State.DRY_RUN else ""
    return (
        f"{summary.job_id}: batch {summary.batch_id} ({summary.mode}) is {summary.state}, {summary.verdict}: "
        f"{counts.extracted_rows:,} rows read, {counts.rejected_rows:,} rejected; {would}{outcomes}."
    )


def _side_by_side(number: int, row: PreviewRow, job: SyncJob) -> Table:
    """One line per target field: what it read, what it became, what was wrong with it."""
    verdict = ", ".join(row.errors) if row.errors else "no errors"
    table = Table(title=f"row {number}: {verdict}", title_justify="left", title_style="red" if row.errors else "green")
    for name in ("source", "target column", "target value", "error"):
        table.add_column(name, overflow="fold")
    for name in job.mapping.fields:
        read = ", ".join(f"{column} = {row.source[column]}" for column in job.mapping.reads(name))
        wrong = ", ".join(said.partition(":")[2] for said in row.errors if said.partition(":")[0] == name)
        table.add_row(*(Text(printable(cell)) for cell in (read, name, _cell(row.target[name]), wrong)))
    return table


def _print_difference(found: MappingDifference) -> None:
    for name in found.added:
        print(f"+ {name}: a field that {found.before} does not have")
    for name in found.removed:
        print(f"- {name}: a field that {found.after} does not have")
    for name, (was, becomes) in found.retyped.items():
        print(f"~ {name}: {was} becomes {becomes}")
    for row in found.rows:
        table = Table(box=SIMPLE_HEAD, pad_edge=False, title_justify="left")
        table.title = printable(", ".join(f"{name} = {value}" for name, value in row.key.items()))
        for heading in ("target column", "before", "after"):
            table.add_column(heading, overflow="fold")
        for change in row.fields:
            table.add_row(*(Text(printable(_cell(cell))) for cell in (change.name, change.before, change.after)))
        if row.errors_before != row.errors_after:
            table.add_row("errors", ", ".join(row.errors_before), ", ".join(row.errors_after), style="red")
        out.print(table)
    shown = f"; the first {len(found.rows)} are shown" if found.changed_rows > len(found.rows) else ""
    print(f"{found.changed_rows:,} of {found.sampled_rows:,} sampled rows differ{shown}", file=sys.stderr)


STATUS_COLUMNS = (
    ("job", "job_id"), ("batch", "batch_id"), ("state", "state"), ("verdict", "verdict"),
    ("freshness", "freshness_state"), ("fresh as of", "fresh_as_of"), ("waiting", "open_dead_letters"),
)  # fmt: skip


def _status_table(rows: list[dict[str, Any]]) -> Table:
    """All jobs in a line each; the counts of a batch stand in the page of one job."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title, _ in STATUS_COLUMNS:
        table.add_column(title, no_wrap=True, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row[name]) for _, name in STATUS_COLUMNS))
    return table


def _status_of_one(row: dict[str, Any]) -> Table:
    table = Table(box=SIMPLE_HEAD, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in row.items():
        table.add_row(name.replace("_", " "), _cell(value))
    return table


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}Z"
    return "" if value is None else str(value)


def _jsonable(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _window(begin: datetime | None, end: datetime | None) -> tuple[datetime, datetime] | None:
    if begin is None and end is None:
        return None
    if begin is None or end is None or begin >= end:
        raise typer.BadParameter("--window-from and --window-to go together, from before to")
    return begin.replace(tzinfo=UTC), end.replace(tzinfo=UTC)


if __name__ == "__main__":
    main()
