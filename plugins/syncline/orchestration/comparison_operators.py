"""The tasks of comparisons, and of the control SYNC-008 that judges them and has them signed.

As in operators.py: each calls a step, ids and counts go through XCom, rows never do. A task is red where a person must
act, also when it has done its work: a copy that differs is red, as a held batch is. What it found stands in the ledger
by then, and the tasks after it go on (docs/decisions/0023-the-control-run-is-judged-and-signed.md).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk.exceptions import AirflowSkipException

from syncline.core.alerts import Alert
from syncline.core.control_runs import ControlRun
from syncline.core.errors import TerminalError
from syncline.core.job import SyncJob
from syncline.core.record_comparison import ComparisonSummary, percent_digits
from syncline.core.values import Verdict
from syncline.orchestration.callbacks import TOLD_OTHERWISE, ToldAlready, failure_name
from syncline.orchestration.comparison_form import (
    CONTROL,
    check,
    chosen,
    control_request,
    daily_request,
    signers_note,
)
from syncline.orchestration.connections import use_airflow
from syncline.orchestration.operators import StepTask
from syncline.orchestration.params import reason
from syncline.orchestration.retry import SETTINGS
from syncline.orchestration.windows import wait_for_window

CONTROL_DAG = "sync_008"
OWNER, ONCALL = "SYNCLINE_SYNC_008_OWNER", "SYNCLINE_SYNC_008_ONCALL"
BROKEN = "broken"  # XCom of `choose`: manifests that nobody can compare
JUDGED = "judged"  # XCom of `judge`: handed on although the task then fails
SHOWN = "shown"  # XCom of `sign_off`: the report that the owner is asked about
SIGN, REJECT = "Sign", "Reject"
log = logging.getLogger(__name__)


class CopyDiffers(ToldAlready):
    """A comparison is done, and the copy is not `matched`."""

    def __init__(self, found: ComparisonSummary) -> None:
        why = f" ({found.reason})" if found.reason else ""
        super().__init__(
            f"{found.job_id}: comparison {found.comparison_id} is {found.verdict}{why}: {counts(found)}. Nothing was "
            f"changed on either side; the ledger has the counts and causes. Look: `syncline diff {found.job_id}`. Once "
            f"mended, trigger this DAG again, or clear this task."
        )


class ControlNotMatched(ToldAlready):
    """The control is judged and its report written; what it proves is not that the copies agree."""

    def __init__(self, run: ControlRun) -> None:
        super().__init__(
            f"{CONTROL_DAG}: control run {run.control_run_id} is {run.verdict}: {run.summary} The report is written "
            f"and waits to be signed. Once the copies are mended, trigger {CONTROL_DAG} anew: this run stays as it is."
        )


class ControlIncomplete(ToldAlready):
    """What was compared matched; how critical the jobs are whose manifests cannot be read, nobody knows."""

    def __init__(self, control_run_id: int, broken: Sequence[str]) -> None:
        super().__init__(
            f"{CONTROL_DAG}: control run {control_run_id} is matched, but {len(broken)} manifests have mistakes, so "
            f"that their consumers could neither be ranked nor compared: {', '.join(broken)}. The report is written "
            f"and waits to be signed. Mend them (`syncline check`) and trigger {CONTROL_DAG} anew."
        )


class NothingProven(ToldAlready):
    """Nothing is proven, and the task before it says why."""


class ReportRejected(ToldAlready):
    """The owner of the control does not accept the report."""

    def __init__(self, control_run_id: int, signer: str) -> None:
        super().__init__(
            f"{CONTROL_DAG}: {signer} rejected the report of control run {control_run_id}; the note stands in the "
            f"ledger and beside the report. Mend what it says and trigger {CONTROL_DAG} again."
        )


def counts(found: ComparisonSummary) -> str:
    """A comparison in one line of numbers."""
    parts = [
        f"{found.source_rows:,} rows at the source, {found.target_rows:,} at the target",
        f"{found.identical_rows:,} identical",
        f"{found.mismatched_rows:,} mismatched",
        f"{found.missing_in_target_rows:,} missing in the target",
        f"{found.missing_in_source_rows:,} missing in the source",
        f"{found.duplicate_rows:,} duplicate",
        f"{found.excused_rows:,} of the differences expected",
    ]
    return ", ".join(parts)


class Choose(StepTask):
    """Chooses what the run compares. It asks the manifests, and no database."""

    def __init__(self, *, jobs: Sequence[SyncJob], broken: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.jobs, self.broken = jobs, broken

    def work(self, context: Any) -> list[str]:
        check(self.dag_id, context, self.dag.params)
        ids = chosen(self.dag_id, self.jobs, context["params"])
        if not context["params"]["jobs"]:  # who names jobs knows what is left out
            context["ti"].xcom_push(key=BROKEN, value=list(self.broken))
            for job_id in self.broken:
                log.warning("not compared, its manifest has mistakes, see `syncline check` job=%s", job_id)
        log.info("chosen jobs=%s reason=%s", ",".join(ids), reason(context) or "none")
        return ids


class Compare(StepTask):
    """Compares one job, where the run has chosen it; hands on the comparison's id."""

    def __init__(self, *, job: SyncJob, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job = job

    @property
    def about(self) -> str:
        return f"{self.job.id} compare"

    def work(self, context: Any) -> int:
        if self.job.id not in (context["ti"].xcom_pull(task_ids="choose") or ()):
            raise AirflowSkipException(f"this run does not ask for {self.job.id}")
        wait_for_window(self.job, "compare", context)
        found = self.compare(context)
        log.info("comparison=%d verdict=%s: %s", found.comparison_id, found.verdict, counts(found))
        if found.verdict is not Verdict.MATCHED:
            raise CopyDiffers(found)
        return found.comparison_id

    def compare(self, context: Any) -> ComparisonSummary:
        raise NotImplementedError


class CompareControl(Compare):
    """A comparison as evidence of SYNC-008: every field of every record. `judge` tells who must know."""

    def compare(self, context: Any) -> ComparisonSummary:
        from syncline import steps

        return steps.compare_records(self.job, control_request(context))


class CompareDaily(Compare):
    """The daily look: counts and checksums."""

    def compare(self, context: Any) -> ComparisonSummary:
        from syncline import steps

        return steps.compare_daily(self.job, daily_request(context))


class Judge(StepTask):
    """Judges the control over all chosen jobs, however their comparisons ended."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trigger_rule="all_done", **kwargs)

    def work(self, context: Any) -> int:
        from syncline.steps import sync_008

        ti = context["ti"]
        job_ids = ti.xcom_pull(task_ids="choose")
        if job_ids is None:
            raise NothingProven(f"{CONTROL_DAG}: `choose` chose nothing, see there. Nothing was compared or judged.")
        run: ControlRun = sync_008.judge(context["dag_run"].run_id, job_ids)
        broken: list[str] = ti.xcom_pull(task_ids="choose", key=BROKEN) or []
        ti.xcom_push(key=JUDGED, value=_told(run, broken))
        log.info("control_run=%d verdict=%s report=%s: %s", run.control_run_id, run.verdict, run.html_path, run.summary)
        if run.verdict is not Verdict.MATCHED:
            raise ControlNotMatched(run)
        if broken:
            raise ControlIncomplete(run.control_run_id, broken)
        return run.control_run_id


def _told(run: ControlRun, broken: Sequence[str]) -> dict[str, Any]:
    return {
        "broken": list(broken),
        "control_run_id": run.control_run_id,
        "verdict": str(run.verdict),
        "match_ratio": run.match_ratio,
        "summary": run.summary,
        "html_path": run.html_path,
        "csv_path": run.csv_path,
        "sha256": run.sha256,
        "job_ids": list(run.job_ids),
    }


class SignOff(HITLOperator):
    """Asks the control's owner to sign the report; waits as long as it takes, without a worker."""

    template_fields = ()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            subject=f"{CONTROL}: sign the report",
            options=[SIGN, REJECT],
            params={"note": signers_note()},
            trigger_rule="all_done",
            execution_timeout=None,  # Airflow would take a limit for running tasks as the owner's time to answer
            **kwargs,
        )

    def execute(self, context: Any) -> Any:
        judged = context["ti"].xcom_pull(task_ids="judge", key=JUDGED)
        if judged is None:
            raise AirflowSkipException("`judge` came to no verdict, so there is nothing to sign")
        self.subject = f"{CONTROL}: control run {judged['control_run_id']} is {judged['verdict']}. Sign the report"
        self.body = report_body(judged, reason(context))
        self.assigned_users = [{"id": user, "name": user} for user in signers()] or None
        context["ti"].xcom_push(key=SHOWN, value=judged["sha256"])
        _tell_owner(judged)
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> dict[str, Any]:
        answer = super().execute_complete(context, event)
        is_approved = answer["chosen_options"] == [SIGN]
        note = (answer["params_input"].get("note") or "").strip()
        verdict = context["ti"].xcom_pull(task_ids="judge", key=JUDGED)["verdict"]
        if not note and not (is_approved and verdict == Verdict.MATCHED):
            raise TerminalError(
                f"{CONTROL_DAG}: the report is {verdict} and was {'signed' if is_approved else 'rejected'} without a "
                f"note, which says why. Nothing was kept. Clear this task: the owner is asked again."
            )
        return {
            "is_approved": is_approved,
            "signer": signer_of(answer["responded_by_user"]),
            "note": note,
            "sha256": context["ti"].xcom_pull(task_ids=self.task_id, key=SHOWN),
        }


def _tell_owner(judged: Mapping[str, Any]) -> None:
    """An alert that is open until somebody signs, and escalates if nobody does."""
    from syncline.steps import alerting

    use_airflow()
    run_id = judged["control_run_id"]
    because = f"control run {run_id} is {judged['verdict']} and waits to be signed, under Required Actions in Airflow"
    alerting.tell(_alert(CONTROL_DAG, CONTROL, _waiting(run_id), f"{because}. {judged['summary']}"))


def signers() -> list[str]:
    """Ids of the Airflow users who may sign; empty where anybody may who may edit the DAG."""
    return [user for part in os.environ.get(OWNER, "").split(",") if (user := part.strip())]


def signer_of(user: Mapping[str, str] | None) -> str:
    """Name and id of an Airflow user; once where they are the same."""
    if not user:
        return "unknown"
    return user["name"] if user["name"] == user["id"] else f"{user['name']} ({user['id']})"


def report_body(judged: Mapping[str, Any], because: str) -> str:
    """What the owner reads before signing: counts and ids, and where the report is."""
    ratio = judged["match_ratio"]
    lines = [
        judged["summary"],
        f"- Verdict: **{judged['verdict']}**",
        f"- Lowest match ratio of a job: {'nothing was compared' if ratio is None else f'{percent_digits(ratio)}%'}",
        f"- Jobs: {', '.join(f'`{job_id}`' for job_id in judged['job_ids'])}",
        f"- Report: `{judged['html_path']}`; rows for a spreadsheet: `{judged['csv_path']}`",
        f"- SHA-256 of the report: `{judged['sha256']}`",
    ]
    if judged["broken"]:
        lines.append(f"- **Not in the report**, because their manifests have mistakes: {', '.join(judged['broken'])}")
    if because:
        lines.append(f"- Started by hand: {because}")
    lines += [
        "",
        f"**{SIGN}** confirms that you have seen this report, whatever it says. To sign what is not `matched` needs a "
        f"note; the verdict stays, and this run stays red. **{REJECT}** says that it is no evidence, and needs a note.",
    ]
    return "\n".join(lines)


class Keep(StepTask):
    """Keeps what the owner decided."""

    def work(self, context: Any) -> None:
        from syncline.steps import alerting, sync_008

        ti = context["ti"]
        judged, decision = ti.xcom_pull(task_ids="judge", key=JUDGED), ti.xcom_pull(task_ids="sign_off")
        if judged is None or decision is None:
            raise TerminalError(
                f"{CONTROL_DAG}: nobody decided; was `sign_off` marked success by hand? Nothing was kept. "
                f"Clear `sign_off`."
            )
        sync_008.sign(judged["control_run_id"], **decision)
        alerting.over(CONTROL_DAG, CONTROL, _waiting(judged["control_run_id"]))
        alerting.over(CONTROL_DAG, "SYNC-007")
        if not decision["is_approved"]:
            raise ReportRejected(judged["control_run_id"], decision["signer"])


class Proven(StepTask):
    """Green only where the control is matched and signed, whatever was marked success by hand before it."""

    def work(self, context: Any) -> None:
        judged = context["ti"].xcom_pull(task_ids="judge", key=JUDGED) or {}
        decision = context["ti"].xcom_pull(task_ids="sign_off") or {}
        if judged.get("verdict") != Verdict.MATCHED or judged.get("broken") or not decision.get("is_approved"):
            raise NothingProven(
                f"{CONTROL_DAG}: not matched, or not signed; a task was marked success by hand. Nothing is proven. "
                f"Clear that task, or trigger {CONTROL_DAG} again."
            )


def alert_failed(context: Any) -> None:
    """Tell the control's on-call that a task that is no job's has failed for good (SYNC-007). Never raises."""
    error = context.get("exception")
    if isinstance(error, TOLD_OTHERWISE):
        return
    task = context["task"]
    kind = f"{task.task_id} {failure_name(error)}"
    try:
        from syncline.steps import alerting

        use_airflow()
        alerting.tell(_alert(task.dag_id, "SYNC-007", kind, f"task {kind}; see docs/runbooks/task-failed.md"))
    except Exception as failure:
        log.error("alert not sent dag=%s task=%s failure=%s", task.dag_id, task.task_id, type(failure).__name__)


def _alert(dag_id: str, control: str, kind: str, because: str) -> Alert:
    return Alert(
        job_id=dag_id,
        batch_id=None,
        control=control,
        severity="ticket",
        oncall=os.environ.get(ONCALL) or f"owner of {CONTROL}",
        summary=f"{dag_id}: {because}",
        kind=kind,
    )


def _waiting(control_run_id: int) -> str:
    """The kind of the alert that a report waits to be signed: open until somebody does."""
    return f"sign_off {control_run_id}"


CONTROL_SETTINGS: dict[str, Any] = {**SETTINGS, "owner": "sync-008", "on_failure_callback": alert_failed}
