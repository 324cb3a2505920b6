"""SYNC-008: judge the record comparisons of a run, keep the report, and take the decision of the control's owner.

The comparisons are in the ledger already (compare_records). The judge is the suite include/expectations/sync_008.json.
What was found decides who is told: critical pages the on-call, medium is a ticket, low is for the weekly review. The
report is drafted, then signed or refused, once; its hash stands in the ledger and in the audit trail.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from syncline.adapters import control_report, judging, ledger, project, record_judging
from syncline.adapters.control_report import Report
from syncline.adapters.ledger.control_runs import ControlRecord
from syncline.core.alerts import OF_FIELD
from syncline.core.control_runs import (
    Compared,
    ControlRun,
    ControlState,
    Decision,
    Kept,
    lowest_ratio,
    percent,
    sentence,
)
from syncline.core.errors import SynclineError, TerminalError
from syncline.core.job_files import load_job
from syncline.steps import alerting
from syncline.steps.alerting import DIFFERENCES, UNVERIFIED

log = logging.getLogger(__name__)
CONTROL = "SYNC-008"
MATCH_RATIO_MIN = 0.999  # of the control: 99.9 %
REPORTS = "reports/sync_008"  # below project.var()


def judge(run_key: str, job_ids: Sequence[str]) -> ControlRun:
    """Judge what a run compared, and write its report. Asked again, it judges anew, until somebody has decided.

    Args:
        job_ids: Every job that was to be compared: one without a comparison in this run is `unverified`.

    Returns:
        The control run, drafted, whatever its verdict.

    Raises:
        TerminalError: The run is signed or refused.
        EnvironmentFailure: The report cannot be written; the run has no verdict.

    Source: control SYNC-008, docs/controls.md.
    """
    judging.prepare()
    jobs = [load_job(project.root(), job_id) for job_id in dict.fromkeys(job_ids)]
    with ledger.opened(f"{CONTROL} judge") as book:
        control_run_id = book.control_run_begun(CONTROL, run_key, [job.id for job in jobs])
        compared = book.compared_in_run(run_key, CONTROL, [job.id for job in jobs])
        found = record_judging.judge(
            compared,
            control=CONTROL,
            control_run_id=control_run_id,
            match_ratio_min=MATCH_RATIO_MIN,
            suite_path=project.root() / "include" / "expectations" / "sync_008.json",
            docs_dir=project.var() / "data_docs",
        )
        reason = found.evidence.get("reason", "")
        summary = sentence(compared, found.verdict, match_ratio_min=MATCH_RATIO_MIN, reason=reason)
        report = Report(
            control=CONTROL,
            control_run_id=control_run_id,
            run_key=run_key,
            judged_at=datetime.now(UTC),
            verdict=found.verdict,
            summary=summary,
            match_ratio_min=MATCH_RATIO_MIN,
            parts=list(zip(jobs, compared, strict=True)),
            checks=list(zip(found.rules, found.evidence.get("results", []), strict=False)),
            reason=reason,
        )
        kept = _write(report, book)
        _tell(report, book)
        ratio = lowest_ratio(compared)
        book.control_run_drafted(
            control_run_id,
            verdict=found.verdict,
            match_ratio=ratio,
            summary=summary,
            comparison_ids=[one.summary.comparison_id for one in compared if one.summary],
            evidence=found.evidence,
            kept=kept,
        )
    alerting.deliver_pending()
    log.info("control judged control=%s run=%d jobs=%d verdict=%s", CONTROL, control_run_id, len(jobs), found.verdict)
    return ControlRun(
        control_run_id=control_run_id,
        verdict=found.verdict,
        job_ids=tuple(job.id for job in jobs),
        match_ratio=ratio,
        summary=summary,
        html_path=kept.html_path,
        csv_path=kept.csv_path,
        sha256=kept.html_sha256,
    )


def sign(control_run_id: int, *, is_approved: bool, signer: str, sha256: str, note: str = "") -> None:
    """Record what the control's owner decided about the report, and keep the report with the signature beside it.

    Args:
        sha256: Of the report that was shown: a run that is judged again has another.
        signer: Who decided, as the place where it was decided knows them.
        note: Needed to sign what is not `matched`: why it is accepted.

    Raises:
        TerminalError: There is no report, somebody has decided already, or the files are not what was drafted.
    """
    signer, note = signer.strip(), note.strip()
    state = ControlState.SIGNED if is_approved else ControlState.REFUSED
    with ledger.opened(f"{CONTROL} sign") as book, book.deciding(control_run_id) as run:
        if (run.state, run.signer, run.note) == (state, signer, note):
            return  # a task that died after it had recorded this, and is tried again
        kept = _require_open(run)
        if sha256 != kept.html_sha256:
            raise TerminalError(
                f"control run {control_run_id} was judged again since its report was shown: what was decided is about "
                f"another report. Nothing was recorded. Clear `sign_off`: the owner is asked again."
            )
        if not signer:
            raise TerminalError(f"control run {control_run_id}: a decision needs a name. Nothing was recorded.")
        if is_approved and not run.verdict.ok and not note:
            raise TerminalError(
                f"control run {control_run_id} is {run.verdict}: to sign it all the same, say why in the note. "
                f"Nothing was recorded."
            )
        if spoilt := _spoilt(run, kept, book):
            raise TerminalError(
                f"control run {control_run_id} cannot be decided on: {'; '.join(spoilt)}. Nothing was recorded. "
                f"Have the control judge the run again: it drafts a new report."
            )
        decision = Decision(state, signer, note, datetime.now(UTC))
        signed, sha256 = control_report.write_signed(project.var() / kept.html_path, decision, kept.html_sha256)
        try:
            book.control_run_decided(control_run_id, decision, signed_sha256=sha256)
        except SynclineError:
            signed.unlink(missing_ok=True)  # a page that says what nobody recorded
            raise
    log.info("control decided control=%s run=%d state=%s", CONTROL, control_run_id, state)


def verify(control_run_id: int) -> list[str]:
    """What speaks against the kept report: files that are missing or not what was drafted and signed. Nothing: none."""
    with ledger.opened(f"{CONTROL} verify") as book:
        run = book.control_run(control_run_id)
        if run.kept is None:
            return ["it has no report yet"]
        return _spoilt(run, run.kept, book)


def _require_open(run: ControlRecord) -> Kept:
    if run.state.is_final:
        raise TerminalError(
            f"control run {run.control_run_id} is {run.state} already: a report is decided on once. Nothing was "
            f"recorded. Start a new run of the control."
        )
    if run.kept is None or run.state is not ControlState.DRAFTED:
        raise TerminalError(f"control run {run.control_run_id} has no report: it is not judged. Nothing was recorded.")
    return run.kept


def _spoilt(run: ControlRecord, kept: Kept, book: ledger.Ledger) -> list[str]:
    """How files, ledger and audit trail disagree about a report."""
    html = project.var() / kept.html_path
    files = {
        "html_sha256": (html, kept.html_sha256),
        "csv_sha256": (project.var() / kept.csv_path, kept.csv_sha256),
    }
    if run.signed_sha256 is not None:
        files["signed_sha256"] = (html.with_name(control_report.SIGNED), run.signed_sha256)
    audited = book.audited_hashes(run.control_run_id)
    said = []
    for name, (path, sha256) in files.items():
        if not path.is_file():
            said.append(f"{path.name} is missing")
        elif control_report.sha256(path) != sha256:
            said.append(f"{path.name} was changed after it was written")
        if audited.get(name) != sha256:
            said.append(f"the audit trail knows another hash of {path.name} than the ledger")
    if (entry := book.broken_audit_entry()) is not None:
        said.append(f"the audit trail is broken at entry {entry}")
    return said


def _write(report: Report, book: ledger.Ledger) -> Kept:
    def keys(comparison_id: int) -> closing[Generator[dict[str, Any], None, None]]:
        return closing(book.differing_keys(comparison_id))

    return control_report.write(report, Path(REPORTS) / str(report.control_run_id), keys)


def _tell(report: Report, book: ledger.Ledger) -> None:
    """One alert for each job whose records differ unexplained, or are unverified.

    A comparison that matched has closed those of differences when it was recorded; what was found since stays open.
    Before the draft is recorded: who dies between tells it twice, and the second time only counts.
    """
    for job, one in report.parts:
        unproven = one.unproven or report.reason
        if unproven:
            because = f"{CONTROL} is unverified: {unproven}; see docs/runbooks/records-differ.md"
            book.queue_alert(alerting.alert(job, None, CONTROL, because, kind=UNVERIFIED))
            continue
        book.close_alerts(job.id, CONTROL, UNVERIFIED)
        if (severity := one.total.severity) is None:
            continue
        told = alerting.alert(job, None, CONTROL, _because(one), kind=DIFFERENCES, severity=OF_FIELD[severity])
        book.queue_alert(told)


def _because(one: Compared) -> str:
    total = one.total
    return (
        f"{CONTROL} found {total.unexcused_rows:,} of {total.compared_rows:,} records that differ without an "
        f"explanation, {total.critical_rows:,} of them in a critical field ({percent(total.match_ratio)} match). Look: "
        f"`syncline diff {one.job_id}` and docs/runbooks/records-differ.md"
    )
