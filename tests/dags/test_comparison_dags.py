"""The DAGs that compare: SYNC-008, judged and signed, and the daily look. Structure, form, and what each task hands on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRescheduleException, AirflowSkipException, ParamValidationError

from syncline import steps
from syncline.core.control_runs import ControlRun
from syncline.core.errors import TerminalError
from syncline.core.files import strict_yaml
from syncline.core.record_comparison import ComparisonRequest, ComparisonSummary, Depth
from syncline.core.values import Verdict
from syncline.orchestration import windows
from syncline.orchestration.assets import COMPARISONS
from syncline.orchestration.callbacks import alert_comparison_failed
from syncline.orchestration.comparison_factory import build_control_dag, build_daily_dag, known
from syncline.orchestration.comparison_operators import (
    REJECT,
    SIGN,
    ControlIncomplete,
    ControlNotMatched,
    CopyDiffers,
    NothingProven,
    ReportRejected,
    alert_failed,
)
from syncline.orchestration.params import RunRefused
from syncline.orchestration.pools import pools
from syncline.steps import alerting
from tests.conftest import ROOT
from tests.dags.jobs import CLIENT, WORKER, bag, write_job
from tests.dags.test_parsing_touches_nothing import parse

FILE = "comparisons.py"
BOTH = ["sync_008", "sync_compare_daily"]
JUDGED = ControlRun(3, Verdict.MATCHED, (WORKER,), 1.0, "1 job, all alike.", "c/3.html", "c/3.csv", "ab" * 32)
SAID: dict[str, Any] = {
    "jobs": None, "consumers": None, "consumers_max": 5, "tenants": None, "sample_percent": None,
    "despite_windows": False, "reason": None,
}  # fmt: skip
LIMITS = """
from syncline.adapters.project import root
from syncline.orchestration.comparison_factory import build_control_dag, known
dag = build_control_dag(known(root(), None))
asks = dag.get_task("sign_off")
print("judge", dag.get_task("judge").execution_timeout, "sign_off", asks.execution_timeout, asks.response_timeout,
      asks.defaults)
"""
each_dag = pytest.mark.parametrize("dag_id", BOTH)


@pytest.fixture
def two_jobs(home: Path) -> Path:
    """Two consumers of one hub: billing's is the less critical one."""
    write_job(home, WORKER)
    write_job(home, CLIENT, criticality="low", target__connection="billing", source__connections_max=2)
    return home


@pytest.fixture
def control(two_jobs: Path) -> Any:
    return build_control_dag(known(two_jobs, None))


@pytest.fixture
def daily(two_jobs: Path) -> Any:
    return build_daily_dag(known(two_jobs, None))


def context(handed: dict[Any, Any] | None = None, run_type: str = "manual", **params: Any) -> dict[str, Any]:
    """Of a task: what earlier tasks handed on, by task, or by task and key, and what the form says."""
    pushed: dict[Any, Any] = {**(handed or {})}
    ti = SimpleNamespace(
        id="0", pushed=pushed,
        xcom_pull=lambda task_ids, key=None: pushed.get((task_ids, key) if key else task_ids),
        xcom_push=lambda key, value: pushed.update({key: value}),
    )  # fmt: skip
    run = SimpleNamespace(run_id="r1", run_type=run_type, conf=params)
    return {"ti": ti, "task_instance": ti, "dag_run": run, "params": SAID | params}


# -- structure -------------------------------------------------------------------------------------------------


def test_the_tasks_of_the_control_tell_its_story(control: Any) -> None:
    compared = {f"compare.{WORKER}", f"compare.{CLIENT}"}

    assert {task.task_id: set(task.downstream_task_ids) for task in control.tasks} == {
        "choose": {*compared, "judge", "proven"},
        **{task: {"judge", "tell"} for task in compared},
        "judge": {"sign_off", "proven"},
        "sign_off": {"keep"},
        "keep": {"proven"},
        "proven": set(),
        "tell": set(),
    }
    rules = {task.task_id: str(task.trigger_rule.value) for task in control.tasks}
    assert (rules["judge"], rules["sign_off"]) == ("all_done", "all_done")  # a failed comparison is judged too
    assert {rules["keep"], rules["proven"]} == {"all_success"}


def test_the_daily_run_has_one_line_for_each_job(daily: Any) -> None:
    assert {task.task_id for task in daily.tasks} == {"choose", "tell", f"compare.{WORKER}", f"compare.{CLIENT}"}


@each_dag
def test_downstream_hears_of_comparisons_whatever_they_found_and_a_red_line_makes_the_run_red(
    two_jobs: Path, dag_id: str
) -> None:
    tell = bag(FILE).dags[dag_id].get_task("tell")

    assert tell.outlets == [COMPARISONS]
    assert tell.is_teardown  # runs after failures, and is not asked whether the run succeeded
    assert not tell.on_failure_fail_dagrun


@each_dag
def test_each_comparison_waits_in_its_sources_pool_behind_the_batches_there(two_jobs: Path, dag_id: str) -> None:
    comparisons = [task for task in bag(FILE).dags[dag_id].tasks if task.task_id.startswith("compare.")]

    assert len(comparisons) == 2
    for task in comparisons:
        assert task.pool == "source_mdm"
        assert task.pool in pools(two_jobs)
        assert (task.priority_weight, task.weight_rule) == (0, "absolute")


@each_dag
def test_a_failed_task_is_retried_and_then_told_to_a_person(two_jobs: Path, dag_id: str) -> None:
    for task in bag(FILE).dags[dag_id].tasks:
        assert task.retries == 3, task.task_id
        assert task.retry_policy is not None, task.task_id
        told_by = alert_comparison_failed if task.task_id.startswith("compare.") else alert_failed
        assert task.on_failure_callback in (told_by, [told_by]), task.task_id
        assert task.owner != "airflow", task.task_id
        assert not task.template_fields, task.task_id


@each_dag
def test_an_operator_finds_a_guide_at_the_dag_and_at_every_task(two_jobs: Path, dag_id: str) -> None:
    dag = bag(FILE).dags[dag_id]

    assert "**Trigger**" in dag.doc_md
    assert {"syncline", "comparison"} <= set(dag.tags)
    assert dag.owner_links["payroll-integration"] == "mailto:oncall@example.org"
    for task in dag.tasks:
        assert "*Red" in task.doc_md, task.task_id
    for path in re.findall(r"docs/[a-z/-]+\.md", dag.doc_md + "".join(task.doc_md for task in dag.tasks)):
        assert (ROOT / path).is_file(), path


def test_the_guide_says_what_a_red_run_means(control: Any) -> None:
    for said in ("How a run ends", "Red at `judge`", "`proven` is orange", "evidence of its own day"):
        assert said in control.doc_md, said


@each_dag
def test_a_schedule_makes_no_run_up_and_none_at_once(two_jobs: Path, dag_id: str) -> None:
    dag = bag(FILE).dags[dag_id]

    assert not dag.catchup
    assert type(dag.timetable).__name__ == "CronTriggerTimetable"  # an interval timetable would owe one at once,
    assert dag.start_date is None  # and so would a trigger timetable since a start


def test_a_report_that_nobody_signs_keeps_no_later_run_waiting(control: Any, daily: Any) -> None:
    assert control.max_active_runs >= 12
    assert daily.max_active_runs == 1


def test_an_owner_has_all_the_time_in_the_world(two_jobs: Path) -> None:
    """Compose limits how long tasks may run, and Airflow would take that for the time in which to answer."""
    told = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", LIMITS], check=True, capture_output=True, text=True,
        env={**os.environ, "AIRFLOW__CORE__DEFAULT_TASK_EXECUTION_TIMEOUT": "82800"},
    ).stdout.splitlines()[-1]  # fmt: skip

    assert told == "judge 23:00:00 sign_off None None None"


# -- parsing ---------------------------------------------------------------------------------------------------


def test_the_file_parses_with_every_way_out_walled_up(two_jobs: Path) -> None:
    assert parse(ROOT / "dags" / FILE, two_jobs) == {"dags": BOTH, "errors": {}, "touched": []}


@pytest.mark.parametrize("text", ["", "version: [", "just words", "\x00", "a: !!python/object/apply:os.system [x]"])
def test_a_broken_manifest_takes_neither_dag_away(two_jobs: Path, text: str) -> None:
    (two_jobs / "include" / "manifests" / f"{CLIENT}.yaml").write_text(text)

    found = bag(FILE)

    assert (sorted(found.dag_ids), found.import_errors) == (BOTH, {})
    for dag in found.dags.values():
        assert {task.task_id for task in dag.tasks if "compare." in task.task_id} == {f"compare.{WORKER}"}


def test_without_any_manifest_both_dags_stand(home: Path) -> None:
    assert sorted(bag(FILE).dag_ids) == BOTH


@pytest.mark.parametrize(
    ("task_id", "read"),
    [
        (f"compare.{WORKER}", [WORKER]),
        ("choose", [CLIENT, WORKER]),
        ("judge", []),
        ("sign_off", []),
        ("keep", []),
        ("tell", []),
    ],
)
def test_a_worker_reads_only_the_manifests_that_its_task_needs(
    two_jobs: Path, monkeypatch: pytest.MonkeyPatch, task_id: str, read: list[str]
) -> None:
    seen, real = [], strict_yaml.read

    def spy(path: Path, shown_as: str) -> strict_yaml.Document:
        if path.parent.name == "manifests":
            seen.append(path.stem)
        return real(path, shown_as)

    monkeypatch.setattr(strict_yaml, "read", spy)
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "sync_008")
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_TASK_ID", task_id)

    dag = bag(FILE).dags["sync_008"]

    assert seen == read
    assert dag.has_task(task_id)


@each_dag
def test_parsing_twice_makes_no_new_dag_version(two_jobs: Path, dag_id: str) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    once, again = (DagSerialization.to_dict(bag(FILE).dags[dag_id]) for _ in range(2))

    assert once == again


# -- the form, and what is chosen ------------------------------------------------------------------------------


def accepted(dag: Any, conf: dict[str, Any]) -> dict[str, Any]:
    """The params of a run as the API server makes them."""
    from airflow.serialization.serialized_objects import DagSerialization

    return dict(DagSerialization.from_dict(DagSerialization.to_dict(dag)).params.deep_merge(conf).validate())


@pytest.mark.parametrize(
    "conf",
    [
        {"jobs": []},
        {"jobs": WORKER},
        {"consumers_max": 0},
        {"sample_percent": 0},
        {"sample_percent": 100},
        {"tenants": ["a b"]},
        {"reason": 7},
    ],
    ids=str,
)
def test_a_run_that_its_schema_does_not_allow_is_not_created(control: Any, conf: dict[str, Any]) -> None:
    with pytest.raises((ParamValidationError, ValueError), match="Invalid input for param"):
        accepted(control, conf)


def test_the_form_offers_jobs_and_consumers_and_explains_itself(control: Any, daily: Any) -> None:
    assert accepted(control, {}) == SAID
    assert control.params.get_param("jobs").schema["examples"] == [CLIENT, WORKER]
    assert control.params.get_param("consumers").schema["examples"] == ["billing", "payroll"]
    for dag in (control, daily):
        for name, param in dag.params.items():
            assert all(param.schema[said] for said in ("title", "description_md", "section")), name


@pytest.mark.parametrize(
    ("params", "ids"),
    [
        ({}, [WORKER, CLIENT]),  # the most critical consumer first
        ({"consumers_max": 1}, [WORKER]),
        ({"consumers": ["billing"]}, [CLIENT]),
        ({"jobs": [CLIENT]}, [CLIENT]),
    ],
    ids=str,
)
def test_a_run_compares_the_most_critical_consumers_or_what_it_names(
    control: Any, params: dict[str, Any], ids: list[str]
) -> None:
    assert control.get_task("choose").work(context(**params)) == ids


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"jobs": ["mdm__payroll__wroker"]}, f"did you mean '{WORKER}'"),
        ({"consumers": ["biling"]}, "did you mean 'billing'"),
        ({"jobs": [WORKER], "consumers": ["billing"]}, "not both"),
        ({"job": [WORKER]}, "unknown key 'job', did you mean 'jobs'"),
        ({"despite_windows": True}, "needs a reason"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_before_anything_is_compared(
    control: Any, params: dict[str, Any], said: str
) -> None:
    with pytest.raises(RunRefused, match=re.escape(said)):
        control.get_task("choose").work(context(**params))


def test_a_manifest_with_mistakes_is_handed_on_to_be_told(two_jobs: Path) -> None:
    """How critical its consumer is nobody knows; to leave it out would be a proof of something else."""
    write_job(two_jobs, CLIENT, criticality="urgent")
    choose = build_control_dag(known(two_jobs, None)).get_task("choose")
    as_usual, by_name = context(), context(jobs=[WORKER])

    assert choose.work(as_usual) == choose.work(by_name) == [WORKER]
    assert as_usual["ti"].pushed == {"broken": [CLIENT]}
    assert by_name["ti"].pushed == {}
    with pytest.raises(RunRefused, match="a manifest with mistakes is none"):
        choose.work(context(jobs=[CLIENT]))


@pytest.mark.parametrize("build", [build_control_dag, build_daily_dag])
def test_nothing_to_compare_is_no_success(home: Path, build: Callable[..., Any]) -> None:
    with pytest.raises(RunRefused, match="nothing is proven"):
        build(known(home, None)).get_task("choose").work(context())


def test_every_day_every_job_is_compared_or_those_that_somebody_names(daily: Any) -> None:
    choose = daily.get_task("choose")

    def daily_context(**params: Any) -> dict[str, Any]:
        made = context(**params)
        return {**made, "params": {name: made["params"][name] for name in daily.params}}

    assert choose.work(daily_context()) == [CLIENT, WORKER]
    assert choose.work(daily_context(jobs=[WORKER])) == [WORKER]
    with pytest.raises(RunRefused, match="there is no job"):
        choose.work(daily_context(jobs=["x"]))


# -- comparing -------------------------------------------------------------------------------------------------


def found(verdict: Verdict = Verdict.MATCHED, **counts: Any) -> ComparisonSummary:
    return ComparisonSummary(7, WORKER, Depth.RECORDS, verdict, **counts)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ComparisonRequest]]:
    """What the step was asked; it finds what `monkeypatch` says, or that all is alike."""
    made: list[tuple[str, ComparisonRequest]] = []
    for step in ("compare_records", "compare_daily"):
        monkeypatch.setattr(steps, step, lambda job, request: made.append((job.id, request)) or found())
    return made


def test_the_control_compares_records_as_evidence(control: Any, asked: list[Any]) -> None:
    task = control.get_task(f"compare.{WORKER}")

    assert task.work(context({"choose": [WORKER]}, sample_percent=0.5, tenants=["t1"])) == 7
    assert task.work(context({"choose": [WORKER]}, run_type="scheduled")) == 7

    assert asked == [
        (WORKER, ComparisonRequest("r1", Depth.RECORDS, "SYNC-008", False, 0.005, ("t1",))),
        (WORKER, ComparisonRequest("r1", Depth.RECORDS, "SYNC-008", True)),
    ]


def test_the_daily_look_compares_checksums_and_is_evidence_of_no_control(daily: Any, asked: list[Any]) -> None:
    daily.get_task(f"compare.{WORKER}").work(context({"choose": [WORKER]}, run_type="scheduled"))

    assert asked == [(WORKER, ComparisonRequest("r1", Depth.CHECKSUMS, is_scheduled=True))]


def test_a_job_that_is_not_chosen_is_skipped(control: Any, asked: list[Any]) -> None:
    with pytest.raises(AirflowSkipException, match=f"does not ask for {CLIENT}"):
        control.get_task(f"compare.{CLIENT}").work(context({"choose": [WORKER]}))
    assert asked == []


@pytest.mark.parametrize("verdict", [Verdict.MISMATCHED, Verdict.UNVERIFIED])
def test_a_copy_that_is_not_matched_is_red_with_counts_and_the_next_step(
    control: Any, monkeypatch: pytest.MonkeyPatch, verdict: Verdict
) -> None:
    counts = {"source_rows": 1200, "target_rows": 1199, "missing_in_target_rows": 1, "reason": "because"}
    monkeypatch.setattr(steps, "compare_records", lambda *_: found(verdict, **counts))

    with pytest.raises(
        CopyDiffers, match=f"comparison 7 is {verdict}.*1 missing in the target.*`syncline diff {WORKER}`"
    ):
        control.get_task(f"compare.{WORKER}").work(context({"choose": [WORKER]}))


def test_a_comparison_waits_for_the_end_of_closed_hours(
    two_jobs: Path, monkeypatch: pytest.MonkeyPatch, asked: list[Any]
) -> None:
    monkeypatch.delenv("SYNCLINE_DESPITE_WINDOWS", raising=False)
    write_job(two_jobs, WORKER, schedule__avoid=[], target__avoid=["02:00-02:40"])
    task = build_daily_dag(known(two_jobs, None)).get_task(f"compare.{WORKER}")
    monkeypatch.setattr(windows, "now", lambda: datetime(2026, 11, 23, 2, 10, tzinfo=UTC))

    with pytest.raises(AirflowRescheduleException):
        task.work(context({"choose": [WORKER]}))
    assert asked == []

    task.work(context({"choose": [WORKER]}, despite_windows=True, reason="OPS-1"))
    assert len(asked) == 1


def test_who_is_told_otherwise_gets_no_second_alert(control: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(alerting, "tell", told.append)
    compare = control.get_task(f"compare.{WORKER}")

    alert_comparison_failed({"task": compare, "exception": CopyDiffers(found())})
    alert_failed({"task": control.get_task("judge"), "exception": ControlNotMatched(JUDGED)})
    assert told == []

    alert_failed({"task": control.get_task("judge"), "exception": OSError("secret")})
    (alert,) = told
    assert (alert.job_id, alert.control) == ("sync_008", "SYNC-007")
    assert "judge OSError" in alert.summary
    assert "secret" not in alert.summary

    alert_comparison_failed({"task": compare, "exception": OSError("secret")})
    alert = told[1]
    assert (alert.job_id, alert.control, alert.kind) == (WORKER, "SYNC-008", "unverified")
    assert "OSError" in alert.summary
    assert "secret" not in alert.summary


def test_what_was_told_of_choosing_a_day_s_jobs_is_over_once_they_are_chosen(
    daily: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    over: list[Any] = []
    monkeypatch.setattr(alerting, "over", lambda *asked: over.append(asked))
    (close,) = daily.get_task("choose").on_success_callback

    close({})
    assert over == [("sync_compare_daily", "SYNC-007")]

    monkeypatch.setattr(alerting, "over", None)  # whatever goes wrong
    close({})
    assert "alerts not closed dag=sync_compare_daily failure=TypeError" in caplog.text


# -- judging and signing ---------------------------------------------------------------------------------------


class Control:
    """Stands in for the steps of SYNC-008, and notes what they were asked."""

    def __init__(self) -> None:
        self.judged = JUDGED
        self.calls: list[Any] = []

    def judge(self, run_key: str, job_ids: list[str]) -> ControlRun:
        self.calls.append((run_key, job_ids))
        return self.judged

    def sign(self, control_run_id: int, *, is_approved: bool, signer: str, sha256: str, note: str) -> None:
        self.calls.append((control_run_id, is_approved, signer, sha256, note))


@pytest.fixture
def sync_008(monkeypatch: pytest.MonkeyPatch) -> Control:
    made = Control()
    monkeypatch.setitem(sys.modules, "syncline.steps.sync_008", made)  # type: ignore[arg-type]
    monkeypatch.setattr(steps, "sync_008", made, raising=False)
    return made


@pytest.fixture
def alerts(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Alerts that are open."""
    kept: list[Any] = []
    monkeypatch.setattr(alerting, "tell", kept.append)

    def over(job_id: str, control: str, kind: str | None = None) -> None:
        kept[:] = [a for a in kept if (a.job_id, a.control) != (job_id, control) or kind not in (None, a.kind)]

    monkeypatch.setattr(alerting, "over", over)
    return kept


def test_the_control_is_judged_over_all_that_was_chosen(control: Any, sync_008: Control) -> None:
    at = context({"choose": [WORKER, CLIENT]})

    assert control.get_task("judge").work(at) == 3
    assert sync_008.calls == [("r1", [WORKER, CLIENT])]
    assert at["ti"].pushed["judged"]["html_path"] == "c/3.html"


@pytest.mark.parametrize("verdict", [Verdict.MISMATCHED, Verdict.UNVERIFIED])
def test_a_control_that_is_not_matched_is_red_and_handed_on_to_be_signed(
    control: Any, sync_008: Control, verdict: Verdict
) -> None:
    sync_008.judged = ControlRun(3, verdict, (WORKER,), None, "1 job differs.", "h", "c", "s")
    at = context({"choose": [WORKER]})

    with pytest.raises(ControlNotMatched, match=f"control run 3 is {verdict}: 1 job differs"):
        control.get_task("judge").work(at)
    assert at["ti"].pushed["judged"]["verdict"] == verdict


def test_a_control_that_left_a_broken_manifest_out_is_not_green(control: Any, sync_008: Control) -> None:
    at = context({"choose": [WORKER], ("choose", "broken"): [CLIENT]})

    with pytest.raises(ControlIncomplete, match=f"is matched, but 1 manifests have mistakes.*{CLIENT}"):
        control.get_task("judge").work(at)
    assert at["ti"].pushed["judged"]["broken"] == [CLIENT]


def test_where_nothing_was_chosen_nothing_is_proven_and_nobody_is_asked(control: Any, sync_008: Control) -> None:
    """Red, not skipped: marking a failed `choose` success by hand must not make the run green."""
    with pytest.raises(NothingProven):
        control.get_task("judge").work(context())
    with pytest.raises(AirflowSkipException):
        control.get_task(f"compare.{WORKER}").work(context())
    with pytest.raises(AirflowSkipException):
        control.get_task("sign_off").execute(context())
    assert sync_008.calls == []


Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(control: Any, monkeypatch: pytest.MonkeyPatch, alerts: list[Any]) -> Ask:
    """What Airflow is asked to show to the owner."""
    from airflow.providers.standard.operators import hitl
    from airflow.sdk.exceptions import TaskAwaitingInput

    shown: dict[str, Any] = {}
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **said: shown.update(said))

    def asking(**params: Any) -> dict[str, Any]:
        handed = {("judge", "judged"): {**JUDGED.__dict__, "verdict": "mismatched", "broken": [CLIENT]}}
        with pytest.raises(TaskAwaitingInput) as waits:
            control.get_task("sign_off").execute(context(handed, **params))
        assert waits.value.timeout is None
        return shown

    return asking


def test_the_owner_sees_the_verdict_the_ratio_and_where_the_report_is(ask: Ask) -> None:
    shown = ask(reason="OPS-7")

    assert shown["subject"] == "SYNC-008: control run 3 is mismatched. Sign the report"
    for said in (
        "1 job, all alike.",
        "100.0000%",
        "`c/3.html`",
        "ab" * 32,
        "OPS-7",
        WORKER,
        CLIENT,
        "this run stays red",
    ):
        assert said in shown["body"], said
    assert shown["options"] == [SIGN, REJECT]
    assert set(shown["params"]) == {"note"}
    assert shown["assigned_users"] is None


def test_only_the_owner_may_sign_where_one_is_named(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNCLINE_SYNC_008_OWNER", "ada, 7,")

    assert [user["id"] for user in ask()["assigned_users"]] == ["ada", "7"]


def test_an_alert_is_open_until_somebody_signs(
    ask: Ask, control: Any, alerts: list[Any], sync_008: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNCLINE_SYNC_008_ONCALL", "ada@example.org")
    ask()
    assert [(alert.control, alert.kind, alert.oncall) for alert in alerts] == [
        ("SYNC-008", "sign_off 3", "ada@example.org")
    ]

    decision = {"is_approved": True, "signer": "ada", "sha256": "ab", "note": ""}
    control.get_task("keep").work(context({("judge", "judged"): {"control_run_id": 3}, "sign_off": decision}))

    assert alerts == []
    assert sync_008.calls == [(3, True, "ada", "ab", "")]


def answer(
    control: Any, option: str, note: str | None = None, user: tuple[str, str] = ("ada", "ada"), verdict: str = "matched"
) -> Any:
    event = {
        "chosen_options": [option],
        "params_input": {} if note is None else {"note": note},
        "responded_at": datetime(2026, 12, 1, tzinfo=UTC),
        "responded_by_user": dict(zip(("id", "name"), user, strict=True)),
        "timedout": False,
    }
    handed = {("judge", "judged"): {"verdict": verdict, "sha256": "later"}, ("sign_off", "shown"): "ab"}
    return control.get_task("sign_off").execute_complete(context(handed), event)


def test_the_decision_names_who_made_it(control: Any) -> None:
    signed = {"is_approved": True, "signer": "ada", "sha256": "ab", "note": ""}
    assert answer(control, SIGN) == signed
    assert answer(control, SIGN, "seen", ("7", "ada"))["signer"] == "ada (7)"
    assert answer(control, SIGN, "seen", verdict="mismatched")["is_approved"]
    assert answer(control, REJECT, " wrong day ") == signed | {"is_approved": False, "note": "wrong day"}


@pytest.mark.parametrize("note", [None, "", "  "])
def test_a_rejection_needs_a_note_and_so_does_signing_what_is_not_matched(control: Any, note: str | None) -> None:
    with pytest.raises(TerminalError, match="rejected without a note"):
        answer(control, REJECT, note)
    with pytest.raises(TerminalError, match="is unverified and was signed without a note"):
        answer(control, SIGN, note, verdict="unverified")


def test_a_rejected_report_is_kept_and_the_run_is_red(control: Any, sync_008: Control, alerts: list[Any]) -> None:
    decision = {"is_approved": False, "signer": "ada", "sha256": "ab", "note": "wrong day"}

    with pytest.raises(ReportRejected, match="ada rejected the report of control run 3"):
        control.get_task("keep").work(context({("judge", "judged"): {"control_run_id": 3}, "sign_off": decision}))
    assert sync_008.calls == [(3, False, "ada", "ab", "wrong day")]


def test_a_decision_that_nobody_made_is_not_kept(control: Any, sync_008: Control) -> None:
    with pytest.raises(TerminalError, match="marked success by hand"):
        control.get_task("keep").work(context({("judge", "judged"): {"control_run_id": 3}}))
    assert sync_008.calls == []


@pytest.mark.parametrize(
    ("judged", "decision"),
    [
        ({"verdict": "mismatched", "broken": []}, {"is_approved": True}),
        ({"verdict": "unverified", "broken": []}, {"is_approved": True}),
        ({"verdict": "matched", "broken": [CLIENT]}, {"is_approved": True}),
        ({"verdict": "matched", "broken": []}, {"is_approved": False}),
        ({"verdict": "matched", "broken": []}, None),
        (None, {"is_approved": True}),
    ],
)
def test_marking_a_task_success_by_hand_proves_nothing(control: Any, judged: Any, decision: Any) -> None:
    with pytest.raises(NothingProven):
        control.get_task("proven").work(context({("judge", "judged"): judged, "sign_off": decision}))


def test_a_matched_and_signed_control_is_proven(control: Any) -> None:
    handed = {("judge", "judged"): {"verdict": "matched", "broken": []}, "sign_off": {"is_approved": True}}

    control.get_task("proven").work(context(handed))
