"""`syncline diff` and `syncline repair`: whether a copy agrees with its source by record; and if not, what then."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from dataclasses import asdict, replace
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from syncline.core.errors import SynclineError
from syncline.core.files.findings import printable
from syncline.core.job import SyncJob
from syncline.core.record_comparison import (
    ComparisonRequest,
    ComparisonSummary,
    Depth,
    DifferingRecord,
    RecordCount,
    percent_digits,
)
from syncline.core.repair import Action, Approval
from syncline.core.values import Verdict
from syncline.shell.common import (
    AsJson,
    DespiteWindows,
    JobId,
    TakeOver,
    find_job,
    out,
    require_open_hours,
    run_key,
    tell_progress,
)

EXIT = {Verdict.MATCHED: 0, Verdict.MISMATCHED: 1, Verdict.UNVERIFIED: 2}
SHOWN = 20  # keys
MASK = "***"
PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,6})?) ?%")


ComparisonId = Annotated[
    int, typer.Argument(metavar="COMPARISON", help="Number of a comparison, as `syncline diff` says it")
]
Critical = Annotated[
    bool, typer.Option("--critical", help="Critical and financial fields, too: approved by the owner of the data")
]
repair = typer.Typer(
    help="Mend what a comparison has found: from the source to the copy, after somebody approved.",
    no_args_is_help=True, pretty_exceptions_enable=False,
)  # fmt: skip


def add_to(app: typer.Typer) -> None:
    app.command()(diff)
    app.add_typer(repair, name="repair")


def diff(
    job_id: JobId,
    sample: Annotated[str, typer.Option(metavar="PERCENT", help="Compare a share of the keys only, e.g. 1%")] = "",
    tenant: Annotated[list[str] | None, typer.Option(help="Only this tenant; may be repeated")] = None,
    depth: Annotated[
        Depth, typer.Option(help="records: say which fields differ; checksums: only which keys, no field travels")
    ] = Depth.RECORDS,
    strict: Annotated[bool, typer.Option("--strict", help="Expected differences count, too")] = False,
    show: Annotated[int, typer.Option(min=0, max=100_000, help="So many keys that differ are listed")] = SHOWN,
    unmask: Annotated[bool, typer.Option("--unmask", help="Show keys that are personal data")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the last one, if it was interrupted")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare a copy with its source, record by record; exit code 0 matched, 1 mismatched, 2 unverified."""
    from syncline.adapters import ledger
    from syncline.steps import compare_records

    tell_progress()
    try:
        ratio = _ratio(sample)
        job = find_job(job_id)
        request = ComparisonRequest(
            _interrupted_run(job) if resume else run_key(),
            depth=depth,
            sample_ratio=ratio,
            tenants=tuple(tenant) if tenant else None,
        )
        done = compare_records(job, request)
        with ledger.opened("diff") as book:
            counts, found = book.record_counts(done.comparison_id), book.differences(done.comparison_id, show)
    except typer.BadParameter as error:
        if not as_json:
            raise
        _tell_failure(job_id, error.message, as_json)
        raise typer.Exit(EXIT[Verdict.UNVERIFIED]) from None
    except (Exception, KeyboardInterrupt) as error:  # whatever ends it, nothing was found out: never exit code 1
        said = str(error) if isinstance(error, SynclineError) else type(error).__name__
        if isinstance(error, KeyboardInterrupt):
            said = "it was interrupted; --resume goes on with it"
        _tell_failure(job_id, said, as_json)
        raise typer.Exit(EXIT[Verdict.UNVERIFIED]) from None
    if strict and done.verdict is Verdict.MATCHED and done.differing_rows > 0:
        done = replace(done, verdict=Verdict.MISMATCHED)
    if as_json:
        print(json.dumps(_as_json(job, done, counts, found, unmask), ensure_ascii=False, indent=2))
    else:
        _print(job, done, counts, found, unmask)
    raise typer.Exit(EXIT[done.verdict])


@repair.command("plan")
def repair_plan(
    comparison: ComparisonId,
    critical: Critical = False,
    show: Annotated[int, typer.Option(min=0, max=100_000, help="So many keys are listed")] = SHOWN,
    unmask: Annotated[bool, typer.Option("--unmask", help="Show keys that are personal data")] = False,
    as_json: AsJson = False,
) -> None:
    """List what would be sent again, deleted or put before a person. Nothing is written."""
    from syncline.steps.repair import plan_repair

    made = plan_repair(comparison, with_critical=critical)
    rows = Counter((one.action, one.because) for one in made.planned)
    keys: list[dict[str, Any]] = [
        {
            "tenant_id": one.record.tenant_id, "key": _key(made.job, one.record.target_key, unmask),
            "action": one.action, "record_class": one.record.record_class, "because": one.because,
        }
        for one in made.of(Action.SEND, Action.DELETE, Action.ESCALATE)[:show]
    ]  # fmt: skip
    if as_json:
        actions: dict[str, Any] = {
            action: sum(n for (done, _), n in rows.items() if done is action) for action in Action
        }
        told: dict[str, Any] = {
            "job_id": made.job.id,
            "comparison_id": comparison,
            **actions,
            "unlisted_rows": made.unlisted_rows,
        }
        print(json.dumps({**told, "keys": keys}, ensure_ascii=False, indent=2))
        return
    print(f"repair of {made.job.id} from comparison {comparison}; nothing is written yet")
    for (action, because), number in sorted(rows.items(), key=lambda item: (list(Action).index(item[0][0]), -item[1])):
        print(f"  {action:<9}{number:>10,}" + (f"  {because}" if because else ""))
    for key in keys:
        said = " ".join(f"{name}={value}" for name, value in key["key"].items())
        print(printable(f"    {key['action']} {said}"))
    if made.unlisted_rows:
        print(f"  {made.unlisted_rows:,} more differ and were not kept by key: run the job in mode full")
    if made.of(Action.SEND, Action.DELETE):
        flag = " --critical" if critical else ""
        print(f"to do it: syncline repair apply {comparison}{flag} --approved-by <who> --reason <why>")


@repair.command("apply")
def repair_apply(
    comparison: ComparisonId,
    approved_by: Annotated[str, typer.Option("--approved-by", help="Who answers for it; kept in the audit trail")],
    reason: Annotated[str, typer.Option(help="Why; kept in the audit trail")],
    critical: Critical = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would change, write nothing")] = False,
    take_over: TakeOver = False,
    despite_windows: DespiteWindows = False,
    as_json: AsJson = False,
) -> None:
    """Send and delete what the plan lists, as one ordinary batch, and compare again; exit code as of `diff`."""
    from syncline.steps.repair import apply_repair, plan_repair

    tell_progress()
    require_open_hours(plan_repair(comparison).job, reason, despite_windows=despite_windows)
    approval = Approval(approved_by, reason, critical)
    done = apply_repair(comparison, approval, dry_run=dry_run, take_over=take_over)
    counts = done.batch.counts
    if as_json:
        compared = done.comparison.as_dict() if done.comparison else None
        said = {"batch": done.batch.as_dict(), "comparison": compared, "unproven": done.unproven or None}
        print(json.dumps(said, indent=2, default=str))
    else:
        print(
            f"batch {done.batch.batch_id} of {done.batch.job_id} is {done.batch.state}: {counts.inserted_rows}"
            f" inserted, {counts.updated_rows} updated, {counts.gone_rows} deleted, {counts.unchanged_rows} unchanged,"
            f" {counts.rejected_rows} rejected"
        )
        if done.comparison is not None:
            print(_sentence(done.comparison))
        if done.left:
            print(f"{done.left} records need a person: `syncline repair plan {comparison}` says why")
    if done.unproven:
        _tell_failure(done.batch.job_id, f"{done.unproven} What the batch did stands", as_json=False)
        raise typer.Exit(EXIT[Verdict.UNVERIFIED])
    raise typer.Exit(EXIT[done.comparison.verdict] if done.comparison else 0)


def _ratio(said: str) -> float | None:
    if not said:
        return None
    if (read := PERCENT.fullmatch(said)) is None or not 0 < float(read[1]) < 100:
        raise typer.BadParameter(f"--sample {printable(said[:20])!r}: above 0% and below 100%, e.g. 1% or 0.5%")
    return float(read[1]) / 100


def _interrupted_run(job: SyncJob) -> str:
    from syncline.adapters import ledger

    with ledger.opened("diff") as book:
        return book.interrupted_run(job.id) or run_key()


def _tell_failure(job_id: str, reason: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"job_id": job_id, "verdict": Verdict.UNVERIFIED, "reason": reason}, indent=2))
    else:
        print(f"{job_id} is unverified: {printable(reason)}", file=sys.stderr)


def _key(job: SyncJob, key: tuple[str | None, ...], unmask: bool) -> dict[str, str | None]:
    fields = job.mapping.fields
    return {
        name: value if unmask or fields[name].pii == "none" else MASK
        for name, value in zip(job.target.key, key, strict=True)
    }


def _as_json(
    job: SyncJob, done: ComparisonSummary, counts: list[RecordCount], found: list[DifferingRecord], unmask: bool
) -> dict[str, Any]:
    return {
        **done.as_dict(),
        "differing_rows": done.differing_rows,
        "unexcused_rows": done.unexcused_rows,
        "counts": [
            asdict(one) for one in counts
        ],
        "differences": [
            {
                "tenant_id": one.tenant_id, "key": _key(job, one.target_key, unmask), "record_class": one.record_class,
                "cause": one.cause, "severity": one.severity, "is_excused": one.is_excused, "columns": one.columns,
            }
            for one in found
        ],
    }  # fmt: skip


def _print(
    job: SyncJob, done: ComparisonSummary, counts: list[RecordCount], found: list[DifferingRecord], unmask: bool
) -> None:
    print(_sentence(done))
    if done.differing_rows == 0:
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("rows", "class", "cause", "severity", "expected", "fields"):
        table.add_column(title, justify="right" if title == "rows" else "left", no_wrap=title != "fields")
    rows: Counter[tuple[str, ...]] = Counter()
    for one in counts:
        if one.cause is not None:
            expected = "yes" if one.is_excused else "no"
            rows[one.record_class, one.cause, one.severity or "", expected, ", ".join(one.columns)] += one.rows
    for said, number in sorted(rows.items(), key=lambda item: (item[0][3] == "yes", -item[1])):
        table.add_row(f"{number:,}", *said)
    out.print(table)
    for record in found:
        key = " ".join(f"{name}={value}" for name, value in _key(job, record.target_key, unmask).items())
        fields = f" ({', '.join(record.columns)})" if record.columns else ""
        weight = "expected" if record.is_excused else record.severity
        print(printable(f"  {weight:<8} {record.record_class} {key}{fields}: {record.cause}"))
    if done.differing_rows > len(found):
        print(f"  ... {done.differing_rows - len(found):,} more; --show N lists more of them", file=sys.stderr)


def _sentence(done: ComparisonSummary) -> str:
    said = f"{done.job_id} is {done.verdict}"
    if done.verdict is Verdict.UNVERIFIED:
        return f"{said}: {done.reason} (comparison {done.comparison_id})"
    said += (
        f": {done.identical_rows:,} of {done.identical_rows + done.differing_rows:,} records are identical"
        f" ({_percent(done.raw_match_ratio)}); {done.excused_rows:,} of {done.differing_rows:,} differences are"
        f" expected ({_percent(done.match_ratio)} match without them)"
    )
    if done.sample_ratio is not None:
        said += (
            f"; a sample of {done.sample_ratio:.4%}: at most 0.1 % of all records differ with a confidence of"
            f" {done.confidence or 0:.2%}"
        )
    as_of = f" as of {done.source_as_of:%Y-%m-%d %H:%M:%S%z}" if done.source_as_of else ""
    return f"{said}{as_of} (comparison {done.comparison_id})"


def _percent(ratio: float | None) -> str:
    return "-" if ratio is None else f"{percent_digits(ratio)}%"
