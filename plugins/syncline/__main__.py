"""The `syncline` command: check, explain, preview, run and watch jobs from a shell, without Airflow.

Exit codes: 0 all is well, 1 mistakes in files, a batch that is not `matched`, or a leak, 2 wrong usage or nothing that
could be judged, 3 the place is not fit, or a system is down.
Only words for people are decided here; what is done stands in `steps`.
"""

from __future__ import annotations

import getpass
import io
import json
import sys
import time
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from syncline.adapters import project
from syncline.core import equality
from syncline.core.alerts import age
from syncline.core.calendar_week import Collision
from syncline.core.checking import JOBS_SHOWN, check_project, coming_week
from syncline.core.cron import moment, next_runs
from syncline.core.errors import EnvironmentFailure, SynclineError, TransientError
from syncline.core.files.findings import Finding, nearest, printable
from syncline.core.job import SyncJob
from syncline.core.job_files import examine_job, job_ids
from syncline.core.leaks import LeakReport, Wall
from syncline.core.trend import LEGEND, drawn, percent
from syncline.core.values import BatchSummary, Mode, RunRequest, State
from syncline.shell import records
from syncline.shell.common import (
    AsJson,
    DespiteWindows,
    JobId,
    Reason,
    TakeOver,
    find_job,
    out,
    require_open_hours,
    run_key,
    tell_progress,
)

if TYPE_CHECKING:
    from syncline.core.registry import Registry
    from syncline.steps.connecting import Compared
    from syncline.steps.differing import MappingDifference
    from syncline.steps.looking import PreviewRow

app = typer.Typer(
    help=__doc__.splitlines()[0], no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
MEETINGS_SHOWN = 10  # places in the coming week at which runs meet; the others are counted
AcceptSource = Annotated[
    bool, typer.Option("--accept-source", help="Another source than before is right; with mode full and a reason")
]
ApproveDeletes = Annotated[
    int | None, typer.Option(metavar="BATCH", help="Allow the deletions that this batch was held for; needs --reason")
]


@app.command()
def check(
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="[JOB or file]...", help="Jobs or YAML files, or a project's root; all without it"),
    ] = None,
    connect: Annotated[bool, typer.Option("--connect", help="Compare with the databases, too; no row is read")] = False,
    as_json: AsJson = False,
) -> None:
    """Report every mistake of all manifests and mappings at once; exit code 1 if there is any."""
    root, only = _root_and_files(what or [])
    started = time.monotonic()
    jobs, findings = check_project(root)
    elapsed_s = time.monotonic() - started
    compared = _compare(root, jobs, only) if connect else None
    findings = sorted([*findings, *(compared.findings if compared else [])])
    findings = [finding for finding in findings if only is None or finding.path in only]
    notes = [*_future_reviews(root, jobs), *(compared.notes if compared else [])]
    notes = [note for note in notes if only is None or note.path in only]
    asked = None if only is None else {job.id for job in jobs if f"include/manifests/{job.id}.yaml" in only}
    week = coming_week(root, jobs, datetime.now(UTC), asked) if asked is None or asked else []
    spoilt = {finding.path for finding in findings}
    jobs = [job for job in jobs if not _files_of(job) & spoilt]
    if as_json:
        said = {"jobs": len(jobs), "findings": [finding.as_dict() for finding in findings]}
        said |= {"notes": [note.as_dict() for note in [*notes, *(note for _, note in week)]]}
        if compared is not None:
            said |= {"compared": compared.compared, "proposals": compared.proposals}
        print(json.dumps(said, indent=2))
    else:
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
        _print_week(week, jobs)
        _print_findings(findings, len(jobs), elapsed_s)
        if compared is not None:
            for job_id, change in compared.proposals.items():
                print(f"proposed change for {job_id}:\n{change}\n")
            print(f"{len(compared.compared)} jobs were compared with their databases", file=sys.stderr)
        for job in jobs:
            if only is not None and f"include/manifests/{job.id}.yaml" in only:
                print(f"{job.id} runs next: {_next_runs(job)}")
    raise typer.Exit(1 if findings else 0)


@app.command()
def new(
    source: Annotated[str, typer.Option(help="<connection>.<table> or <connection>:<schema>.<table>")],
    target: Annotated[str, typer.Option(help="The same for the table that is to be filled")],
    entity: Annotated[str, typer.Option(help="Last part of the job's name; the source table's without it")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print both files, write nothing")] = False,
) -> None:
    """Draft a manifest and a mapping from two tables, and say what a person must decide."""
    from syncline.steps import drafting

    made = drafting.new_job(source, target, entity=entity)
    if dry_run:
        for path, text in made.files.items():
            print(f"# {path}\n{text}")
        return
    for path in drafting.write(made, project.root()):
        print(f"written: {path}")
    print("to decide, then `syncline check`:")
    for said in made.decisions:
        print(f"  {said}")


@app.command()
def explain(job_id: JobId) -> None:
    """Print the DAG that a manifest becomes, when two values of a field are equal, and the SELECT of its mapping."""
    from syncline.steps import looking

    job = find_job(job_id)
    print(_dag_plan(job))
    print(_equality(job))
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

    job = find_job(job_id)
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
    window_from: Annotated[
        datetime | None, typer.Option("--window-from", "--from", help="Mode window: begin, UTC")
    ] = None,
    window_to: Annotated[
        datetime | None, typer.Option("--window-to", "--to", help="Mode window: end, UTC, not included")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what would change, in all and by tenant; write nothing")
    ] = False,
    take_over: TakeOver = False,
    accept_source: AcceptSource = False,
    approve_deletes: ApproveDeletes = None,
    despite_windows: DespiteWindows = False,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Run a whole batch here: open, extract and map, load, reconcile, publish."""
    from syncline.steps import looking, run_line

    tell_progress()
    window = _window(window_from, window_to)
    if window is not None and mode not in (None, Mode.WINDOW):
        raise typer.BadParameter(f"--window-from and --window-to belong to --mode window, not {mode}")
    request = RunRequest(
        run_key=run_key(),
        mode=Mode.WINDOW if window is not None else mode,
        tenants=tuple(tenant) if tenant else None,
        dry_run=dry_run,
        reason=reason,
        window=window,
        take_over=take_over,
        accept_source=accept_source,
        approve_deletes=approve_deletes,
    )
    job = find_job(job_id)
    require_open_hours(job, reason, despite_windows=despite_windows)
    summary = run_line(job, request)
    print(json.dumps(summary.as_dict()) if as_json else _sentence(summary))
    if summary.state is State.DRY_RUN and not as_json:
        print("\n".join(looking.would_change(summary.batch_id)))


@app.command("run-group")
def run_group(
    group: Annotated[str, typer.Argument(metavar="GROUP", help="As manifests say it under `group`")],
    mode: Annotated[Mode | None, typer.Option(help="What to read; each job decides without it")] = None,
    accept_source: AcceptSource = False,
    approve_deletes: ApproveDeletes = None,
    take_over: TakeOver = False,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Run all jobs of a group as one: read at one moment, published together or not at all."""
    if mode is Mode.WINDOW:
        raise typer.BadParameter("a group has no windows: it reads what is owed, or everything")
    from syncline import steps
    from syncline.core.groups import load_group

    tell_progress()
    found = load_group(project.root(), group)
    if not found.jobs:
        raise typer.BadParameter(f"no manifest says `group: {group}`")
    for job in found.jobs:
        require_open_hours(job)
    request = RunRequest(
        run_key=run_key(),
        mode=mode,
        reason=reason,
        take_over=take_over,
        accept_source=accept_source,
        approve_deletes=approve_deletes,
    )
    for summary in steps.run_group(found, request):
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
    sheet = rows[0].pop("balance_sheet") if job_id and rows else []
    out.print(_status_of_one(rows[0]) if job_id and rows else _status_table(rows))
    for line in sheet:
        print(line)
    for said in looking.systems_down():
        print(said)


@app.command()
def trend(
    job_id: Annotated[str | None, typer.Argument(metavar="[JOB]", help="One job; all without it")] = None,
    months: Annotated[int, typer.Option(min=1, max=120, help="How many, to the current one")] = 6,
    as_json: AsJson = False,
) -> None:
    """Per job and month how often both sides were compared and agreed, and how drifts were found and mended."""
    from syncline.steps import looking

    rows = looking.trend(job_id, months=months)
    if job_id is not None and not rows:
        find_job(job_id)  # a misspelt job is said; one whose manifest is gone keeps its past
    if as_json:
        print(json.dumps(rows, default=_jsonable, indent=2))
    elif rows:
        out.print(_trend_table(rows))
        print(LEGEND)
    else:
        print("nothing was compared record by record yet")


@app.command("close-breaker")
def close_breaker(
    connection_id: Annotated[str, typer.Argument(metavar="CONNECTION", help="The connection id of the manifests")],
) -> None:
    """Let jobs start work at once on a system that counts as down, after it was mended."""
    from syncline.steps import looking

    was_open = looking.close_breaker(connection_id)
    print(f"'{connection_id}' is open for work" if was_open else f"'{connection_id}' did not count as down")


@app.command()
def leakcheck(job_id: JobId, as_json: AsJson = False) -> None:
    """Attack the tenant wall of a job's target, in transactions that are rolled back.

    Exit code 0: closed; 1: a leak was found; 2: it could not be judged.
    """
    from syncline.steps.leakcheck import leakcheck as attack

    job = find_job(job_id)
    try:
        report = attack(job)
    except (EnvironmentFailure, TransientError):
        raise
    except SynclineError as error:  # exit code 1 would say that there is a leak
        report = LeakReport(job.id, because=str(error).removeprefix(f"{job.id}: "))
    if as_json:
        print(json.dumps(report.as_dict(), indent=2))
    else:
        _print_leaks(report)
    raise typer.Exit({Wall.CLOSED: 0, Wall.LEAKS: 1, Wall.UNVERIFIED: 2}[report.wall])


@app.command()
def doctor(job_id: JobId, as_json: AsJson = False) -> None:
    """Examine a job's source, target and ledger: grants, window, identity, clocks. Exit 0 well, 1 warnings, 2 wrong."""
    from syncline.steps.doctor import examine

    report = examine(find_job(job_id))
    if as_json:
        print(json.dumps(report.as_dict(), indent=2))
    else:
        for line in report.lines:
            print(_printable_lines(str(line)))
    raise typer.Exit(report.exit_code)


@app.command()
def registry(
    as_of: Annotated[datetime | None, typer.Option(help="Day on which reviews are judged; today without it")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 if one is broken or due for review")] = False,
    as_json: AsJson = False,
) -> None:
    """List every integration with owner, direction, promises and review, and how much of it is as it should be."""
    from syncline.core.registry import take_stock

    day = (as_of or datetime.now(UTC)).date()
    found = take_stock(project.root())
    if as_json:
        print(json.dumps(found.as_dict(day), indent=2))
    else:
        _print_registry(found, day)
    raise typer.Exit(1 if strict and (found.broken() or found.overdue(day)) else 0)


@app.command()
def generate(
    only_check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 if a file is not equal")
    ] = False,
) -> None:
    """Write JSON Schemas, reference pages and the suites that nobody wrote by hand, from models and manifests."""
    from syncline.core.pages.catalogue import generated

    root = project.root()
    stale = {path: text for path, text in generated(root).items() if _text_of(root / path) != text}
    if only_check and stale:
        print(f"not as generated: {', '.join(stale)}; run `syncline generate`", file=sys.stderr)
        raise typer.Exit(1)
    for path, text in stale.items():
        if text is None:
            (root / path).unlink()
            print(f"{path} (removed: its job is gone)")
        else:
            project.write(root / path, text)
            print(path)


@app.command("verify-report")
def verify_report(
    control_run_id: Annotated[int, typer.Argument(metavar="CONTROL_RUN", help="Its number, as its report says it")],
) -> None:
    """Say whether the kept files of a control's report are those that were drafted and signed; exit code 1 if not."""
    from syncline.steps import sync_008

    spoilt = sync_008.verify(control_run_id)
    for said in spoilt or ["its files are those that the ledger and the audit trail know"]:
        print(f"control run {control_run_id}: {said}")
    raise typer.Exit(1 if spoilt else 0)


@app.command("install-ledger")
def install_ledger() -> None:
    """Create or update schema `ledger` at connection `ledger`; safe to repeat."""
    from syncline.adapters import ledger

    files = ledger.install(project.root() / "include" / "ledger")
    print(f"ledger is up to date: {', '.join(files)}")


@app.command("deliver-alerts")
def deliver_alerts() -> None:
    """Escalate alerts that nobody took up, and offer queued ones to their channels again."""
    from syncline.steps import alerting

    print(f"delivered {alerting.deliver_pending()} alerts")


@app.command()
def alerts(as_json: AsJson = False) -> None:
    """List open alerts and who took them up, and what was only logged in the last week: the weekly review."""
    from syncline.steps import alerting

    rows = alerting.listed()
    if as_json:
        print(json.dumps(rows, default=_jsonable, indent=2))
    elif rows:
        _print_alerts(rows, datetime.now(UTC))
    else:
        print("no alert is open, and nothing was logged in the last week")


@app.command()
def ack(
    alert_id: Annotated[int, typer.Argument(metavar="ALERT", help="Its number, as `syncline alerts` lists it")],
    note: Annotated[str, typer.Option(help="What is done about it; kept in the audit trail")],
    by: Annotated[str, typer.Option(help="Who takes it up; the login without it")] = "",
) -> None:
    """Take an alert up: it is escalated no more, and closes by itself once the thing is over."""
    from syncline.steps import alerting

    who = by or getpass.getuser()
    found = alerting.acknowledge(alert_id, by=who, note=note)
    print(printable(f"alert {found['alert_id']} of {found['job_id']} ({found['control']}) is taken up by {who}"))


records.add_to(app)


def main() -> None:
    """Run the command; a failure that has a name is one sentence, not a traceback."""
    try:
        app()
    except SynclineError as error:
        print(f"syncline: {error}", file=sys.stderr)
        sys.exit(3 if isinstance(error, EnvironmentFailure | TransientError) else 1)


def _compare(root: Path, jobs: list[SyncJob], only: set[str] | None) -> Compared:
    """The valid jobs among those asked for, beside their databases; of no job at all nothing can be said."""
    from syncline.steps.connecting import compare_with_databases

    asked = [job for job in jobs if only is None or only & _files_of(job)]
    compared = compare_with_databases(root, asked, named=frozenset(job.id for job in asked if only is not None))
    if jobs and asked and not compared.compared and not compared.findings:
        raise EnvironmentFailure(
            "no connection of any job is configured: nothing was compared. Set AIRFLOW_CONN_<ID> to a postgresql:// "
            "URI for each connection of the manifests"
        )
    return compared


def _future_reviews(root: Path, jobs: list[SyncJob]) -> list[Finding]:
    """Reviews that nobody can have held yet, anywhere: in the east it is up to 14 hours later than here."""
    from syncline.core.registry import future_reviews

    return future_reviews(root, jobs, (datetime.now(UTC) + timedelta(hours=14)).date())


def _files_of(job: SyncJob) -> set[str]:
    return {f"include/manifests/{job.id}.yaml", f"include/mappings/{job.manifest.mapping}.yaml"}


def _root_and_files(what: list[str]) -> tuple[Path, set[str] | None]:
    """The project, and which of its files: a file or a job means only its own findings; None means all."""
    if not what:
        return _project(project.root()), None
    paths = [_path(one) for one in what]
    if len(paths) == 1 and paths[0].is_dir():
        return _project(paths[0]), None
    roots = {path.parent.parent.parent for path in paths}
    for path in paths:
        if path.parent not in [root / "include" / kind for root in roots for kind in ("manifests", "mappings")]:
            raise typer.BadParameter(f"{path} is not a file of include/manifests or include/mappings")
    if len(roots) > 1:
        raise typer.BadParameter("the files are of several projects; check one at a time")
    root = _project(roots.pop())
    only = {path.relative_to(root).as_posix() for path in paths}
    for path in paths:
        if path.parent.name == "manifests":
            only |= _files_behind(root, path.stem)
    return root, only


def _files_behind(root: Path, job_id: str) -> set[str]:
    """The files that a manifest stands on: it makes no DAG while one of them has a mistake."""
    job, findings = examine_job(root, job_id)
    return {finding.path for finding in findings} | (_files_of(job) if job is not None else set())


def _path(what: str) -> Path:
    """A file or folder; or the manifest of a job that is named."""
    path = Path(what).absolute()
    if not path.exists() and what in (known := job_ids(project.root())):
        return (project.root() / "include" / "manifests" / f"{what}.yaml").absolute()
    if not path.exists():
        near = nearest(what, known)
        raise typer.BadParameter(f"{path} does not exist" + (f". Did you mean job '{near}'?" if near else ""))
    return path


def _project(root: Path) -> Path:
    root = root.absolute()
    if not (root / "include" / "manifests").is_dir():
        raise typer.BadParameter(f"{root} is not a project: it has no include/manifests")
    return root


def _print_leaks(report: LeakReport) -> None:
    """One line per family, then the verdict in a sentence."""
    for one in report.families:
        tried = f", {one.tried} tried" if one.tried else ""
        print(f"{one.family:<19} {one.outcome}{tried}" + (f": {one.said}" if one.said else ""))
    said = {
        Wall.CLOSED: "no row of another tenant was reached",
        Wall.LEAKS: "rows of another tenant can be reached. Nothing was changed. See docs/runbooks/tenant-leak.md",
        Wall.UNVERIFIED: report.because or "what could not be tried is said above",
    }[report.wall]
    print(f"{report.job_id}: {report.wall}: {said}")


STYLES: dict[str, dict[str, Any]] = {
    "place": {"bold": True}, "code": {"fg": "red", "bold": True}, "gutter": {"fg": "blue"}, "caret": {"fg": "red"},
    "hint": {"fg": "green"},
}  # fmt: skip


def _print_findings(findings: list[Finding], jobs: int, elapsed_s: float) -> None:
    """Each mistake with its line on stdout, one sentence about all on stderr; colours only for a terminal's eyes."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter is no reason to fail
    is_coloured = out.is_terminal and not out.no_color
    for finding in findings:
        page = finding.page(lambda style, text: typer.style(text, **STYLES[style])) if is_coloured else finding.page()
        print(page, end="\n\n")
    files = len({finding.path for finding in findings})
    codes = ", ".join(sorted({finding.code for finding in findings}))
    said = f"{len(findings)} mistakes in {files} files" if findings else "no mistakes"
    valid = "1 job is valid" if jobs == 1 else f"{jobs} jobs are valid"
    print(f"{valid}, {said}, read in {elapsed_s:.2f} s", file=sys.stderr)
    if findings:
        print(f"docs/errors.md explains {codes}", file=sys.stderr)


def _print_week(week: list[tuple[Collision, Finding]], jobs: list[SyncJob]) -> None:
    """The first places at which runs meet, then the next runs of the jobs that are named; how many more there are."""
    shown = week[:MEETINGS_SHOWN]
    for _, note in shown:
        print(f"note: {note}", file=sys.stderr)
    named = {job_id for one, _ in shown for job_id in one.jobs[:JOBS_SHOWN]}
    alike: dict[str, list[str]] = {}
    for job in jobs:
        if job.id in named:
            alike.setdefault(_next_runs(job), []).append(job.id)
    for runs, same in alike.items():
        others = f" and {len(same) - JOBS_SHOWN} more" if len(same) > JOBS_SHOWN else ""
        print(f"note: {', '.join(same[:JOBS_SHOWN])}{others} runs next: {runs}", file=sys.stderr)
    if len(week) > MEETINGS_SHOWN:
        more = len(week) - MEETINGS_SHOWN
        print(f"note: runs meet at {more} more places; `syncline check --json` tells all", file=sys.stderr)


def _next_runs(job: SyncJob) -> str:
    schedule = job.manifest.schedule
    runs = next_runs(schedule.cron, schedule.timezone, datetime.now(UTC))
    return ", ".join(moment(run, schedule.timezone) for run in runs)


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


def _equality(job: SyncJob) -> str:
    """How a difference in each field weighs, and what is none."""
    fields, says = job.mapping.fields, equality.profile(job.mapping)
    width = max(map(len, fields))
    told = [f"--   {name:<{width}}  {field.severity:<8}  {'; '.join(says[name])}" for name, field in fields.items()]
    return "\n".join(["-- what is compared, how grave a difference is, and what is none (docs/equality.md)", *told])


def _sentence(summary: BatchSummary) -> str:
    """What a batch did, for a person."""
    counts = summary.counts
    outcomes = ", ".join(
        f"{getattr(counts, name):,} {name.removesuffix('_rows')}"
        for name in (
            "inserted_rows",
            "updated_rows",
            "deleted_rows",
            "removed_rows",
            "unchanged_rows",
            "superseded_rows",
        )
        if name != "removed_rows" or counts.removed_rows
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
        read = ", ".join(f"{column} = {_shown(row.source[column])}" for column in job.mapping.reads(name))
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


def _print_alerts(rows: list[dict[str, Any]], now: datetime) -> None:
    """A line for each alert, and below it what it says now."""
    for row in rows:
        first, taken = age(now - row["raised_at"]), f"{row['acknowledged_by']}: {row['acknowledged_note']}"
        said = [f"{row['job_id']} {row['control']}", f"open for {first}" if not row["closed_at"] else "over"]
        if row["seen_times"] > 1:
            said.append(f"seen {row['seen_times']} times, last {age(now - row['last_seen_at'])} ago")
        if row["delivered_at"] is None:
            said.append("not delivered yet")
        if row["escalation_level"]:
            said.append(f"escalated {row['escalation_level']} times")
        said.append(f"taken up by {taken}" if row["acknowledged_at"] else "taken up by nobody")
        print(printable(f"{row['alert_id']:>5} {row['severity']:<6} {'; '.join(said)}"))
        print(printable(f"             {row['last_summary'] or row['summary']}"))


def _printable_lines(text: str) -> str:
    """Several lines, each without what a terminal would obey."""
    return "\n".join(printable(line) for line in text.split("\n"))


def _text_of(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _print_registry(found: Registry, day: date) -> None:
    """Two lines for each integration, then what is broken or due, then coverage."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("integration\nfrom -> to", "team\ncriticality", "pattern\nSLA p50 / p99", "version", "review\ndue"):
        table.add_column(title, overflow="fold")
    for one in found.integrations:
        state = "broken" if one.is_broken else one.review(day)
        table.add_row(*(Text(cell) for cell in one.cells()), Text(f"{state}\n{one.review_due or ''}"))
    out.print(table)
    for one in found.broken():
        print(f"{one.id} is broken: {one.finding}")
    for one in found.overdue(day):
        print(f"{one.id}: {one.review_said(day)}; go through it with its readers and set `reviewed_on` in its manifest")
    for one in found.integrations:
        if not one.is_broken:
            for rule, why in one.lacks(day).items():
                if rule != "reviewed":  # said above
                    print(f"{one.id}: {rule}: {why}")
    shares = found.coverage(day)
    told = ", ".join(
        f"{rule} {_percent(share)}" for rule, share in shares.items() if rule not in ("integrations", "coverage")
    )
    print(f"coverage on {day}: {_percent(shares['coverage'])} of {shares['integrations']} integrations ({told})")


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{share:.0%}"


STATUS_COLUMNS = (
    ("job", "job_id"), ("batch", "batch_id"), ("state", "state"), ("verdict", "verdict"),
    ("freshness", "freshness_state"), ("fresh as of", "fresh_as_of"), ("waiting", "open_dead_letters"),
    ("records", "compared_verdict"), ("alerts", "open_alerts"),
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


TREND_COLUMNS = (
    ("job", "job_id"), ("month", "month"), ("compared", "comparisons"), ("matched", "matched_comparisons"),
    ("lowest", "match_ratio_min"), ("latest", "match_ratio_last"), ("drifts", "drifts_opened"),
    ("by automation", "drifts_found_by_automation"), ("mended", "drifts_repaired"),
    ("mean hours", "time_to_repair_h_mean"), ("days", "days"),
)  # fmt: skip


def _trend_table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title, _ in TREND_COLUMNS:
        table.add_column(title, no_wrap=True, overflow="fold")
    for row in rows:
        told = row | {
            "month": f"{row['month']:%Y-%m}",
            "match_ratio_min": percent(row["match_ratio_min"]),
            "match_ratio_last": percent(row["match_ratio_last"]),
            "days": drawn(row["month"], row["days"]),
        }
        table.add_row(*(_cell(told[name]) for _, name in TREND_COLUMNS))
    return table


def _shown(value: Any) -> str:
    """A value of a row as SQL's readers know it."""
    return "NULL" if value is None else str(value)


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_cell(told)}" for name, told in value.items())
    if isinstance(value, list):
        return "; ".join(map(str, value))
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
