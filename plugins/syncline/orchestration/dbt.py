"""Make the DAG that builds the published tables: one task per dbt model, each with its tests, through Cosmos.

Which models there are, who owns them and which jobs feed them is read from the manifest that `dbt parse` writes; the
DAG file asks no database and no variable. When a task runs, dbt works in a copy of the project in the temporary
folder, with a profile made from Airflow's connection `dbt`, and writes nothing anywhere else.

The SQL and its laws live in dbt_project/; why it is built this way stands in
docs/decisions/0003-published-tables-keep-the-last-good-batch.md.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Asset, AssetAny, AssetOrTimeSchedule, CronTriggerTimetable
from cosmos.airflow.dag import DbtDag
from cosmos.config import ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos.constants import (
    ExecutionMode,
    InvocationMode,
    LoadMode,
    TestBehavior,
    TestIndirectSelection,
)
from cosmos.profiles.postgres import PostgresUserPasswordProfileMapping

from syncline.adapters.project import root, var
from syncline.core.alerts import Alert
from syncline.core.errors import EnvironmentFailure, TerminalError
from syncline.orchestration.assets import COMPARISONS, job_asset
from syncline.orchestration.callbacks import close_alerts, failure_name
from syncline.orchestration.retry import SETTINGS

DAG_ID = "publish_tables"
START = datetime(2020, 1, 1, tzinfo=UTC)
LATEST = "41 * * * *"  # hourly at the latest: rows become `delayed` by time alone; off the hour, when jobs start
POOL = "target_warehouse"  # the tables stand in the warehouse: dbt's connections count there too
PRIORITY = 10  # of a job of medium criticality: loads that wait for the same pool go first
THREADS = 2  # connections of one task; its tests run side by side
TASK_TIMEOUT = timedelta(minutes=30)  # far above any build; below it a hung server would block the next run for ever
# Always set, the same when the run is cleared, and the moment that the run was due, whatever triggered it.
AS_OF = "{{ dag_run.run_after.isoformat() }}"
log = logging.getLogger(__name__)


class PublicationDoubtful(TerminalError):
    """A published table is built, and a test of its promises failed."""

    def __init__(self, tests: list[str]) -> None:
        super().__init__(
            f"{DAG_ID}: {len(tests)} tests of a published table failed: {', '.join(tests)}. The table is built and "
            "readers see it; nothing that depends on it was built. Trying again changes nothing. The query that finds "
            "the rows is under Rendered Templates, compiled_sql, or on a shell: "
            f"`dbt compile --select {tests[0]}`. Once the rows are mended and synced, this DAG follows by itself."
        )
        self.tests = tests


def build_dag(doc_md: str | None) -> DAG:
    """The DAG `publish_tables`, with the DAG file's docstring as its guide.

    Raises:
        EnvironmentFailure: The dbt project was not parsed on this machine, or before models were added or removed.
    """
    manifest_path = var() / "dbt" / "manifest.json"
    models = _models(manifest_path)
    meta = _shared_meta(models)
    return DbtDag(  # type: ignore[no-any-return]
        dag_id=DAG_ID,
        description="Build the pub_ tables from published batches",
        doc_md=doc_md,
        schedule=AssetOrTimeSchedule(
            # any: a job that is held or weekly keeps nobody waiting
            assets=AssetAny(*feeding_assets(models), COMPARISONS),
            timetable=CronTriggerTimetable(LATEST, timezone="UTC"),
        ),
        start_date=START,
        catchup=False,
        max_active_runs=1,  # while one runs, further publications wait and become one next run
        tags=["publish", "dbt", "target:warehouse"],
        owner_links={meta["owner"]: f"mailto:{meta['oncall']}"},
        project_config=ProjectConfig(
            root() / "dbt_project", manifest_path=manifest_path, project_name="syncline", install_dbt_deps=False
        ),
        profile_config=ProfileConfig(
            profile_name="syncline",
            target_name="warehouse",
            profile_mapping=PostgresUserPasswordProfileMapping(
                conn_id="dbt", profile_args={"schema": "stg", "threads": THREADS}
            ),
        ),
        render_config=RenderConfig(
            load_method=LoadMode.DBT_MANIFEST,
            test_behavior=TestBehavior.BUILD,  # a model and its tests in one task: half the starts of dbt
            exclude=["config.materialized:ephemeral"],  # parts of other models' SQL, nothing to run
            normalize_task_id=_task_id,
            normalize_task_display_name=_task_id,
            emit_datasets=False,  # would need OpenLineage; nobody waits for these tables yet
        ),
        execution_config=ExecutionConfig(
            execution_mode=ExecutionMode.LOCAL,
            invocation_mode=InvocationMode.DBT_RUNNER,
            test_indirect_selection=TestIndirectSelection.BUILDABLE,  # tests wait for all the models they look at
        ),
        operator_args={
            "vars": {"as_of": AS_OF},
            "env": {"DBT_TARGET_PATH": "target", "DBT_LOG_PATH": "logs"},  # in the copy, whatever the shell exports
            "callback": judge_tests,
            "pool": POOL,
            "priority_weight": PRIORITY,
            "weight_rule": "upstream",  # finish the run that is begun
            "execution_timeout": TASK_TIMEOUT,
        },
        default_args={**SETTINGS, "owner": meta["owner"], "on_failure_callback": alert_build_failed},
        on_success_callback=partial(close_alerts, DAG_ID),  # of a whole run: no table of it is in doubt
    )


def feeding_assets(models: list[dict[str, Any]]) -> list[Asset]:
    """The assets of the jobs that feed a published table (`meta.job_id` of its model)."""
    return [job_asset(job_id) for job_id in sorted({m["job_id"] for m in map(_meta, models) if "job_id" in m})]


def judge_tests(project_dir: str, **_context: Any) -> None:
    """Cosmos calls this after dbt ended: a failed test is final, a database error may pass and is retried.

    Raises:
        PublicationDoubtful: At least one test failed.
    """
    results = Path(project_dir) / "target" / "run_results.json"
    if not results.exists():  # dbt did not get so far; Cosmos raises what it said
        return
    found = json.loads(results.read_text(encoding="utf-8"))["results"]
    failed = sorted(one["unique_id"].split(".")[2] for one in found if one["status"] == "fail")
    if failed:
        raise PublicationDoubtful(failed)


def alert_build_failed(context: Any) -> None:
    """Tell the owner of the models that a table could not be published (SYNC-007). Never raises."""
    task_id = context["task"].task_id
    try:
        from syncline.orchestration.connections import use_airflow
        from syncline.steps import alerting

        use_airflow()
        alerting.tell(_alert(task_id, failure_name(context.get("exception"))))
    except Exception as failure:
        log.error("alert not sent dag=%s task=%s failure=%s", DAG_ID, task_id, type(failure).__name__)


def _alert(model: str, error_type: str) -> Alert:
    meta = _shared_meta(_models(var() / "dbt" / "manifest.json"))
    return Alert(
        job_id=DAG_ID,
        batch_id=None,
        control="SYNC-007",
        severity="ticket",  # readers still have a table, and see it grow old
        oncall=meta["oncall"],
        summary=f"{DAG_ID}: {model} failed with {error_type}; the guide of the DAG says what to do",
        kind=model,
    )


def _models(manifest_path: Path) -> list[dict[str, Any]]:
    try:
        nodes = json.loads(manifest_path.read_text(encoding="utf-8"))["nodes"]
    except FileNotFoundError:
        raise _unparsed(manifest_path, "is missing") from None
    models = [node for node in nodes.values() if node["resource_type"] == "model"]
    if {node["name"] for node in models} != {path.stem for path in (root() / "dbt_project/models").rglob("*.sql")}:
        raise _unparsed(manifest_path, "is older than dbt_project/models, which has other models")
    return models


def _unparsed(manifest_path: Path, how: str) -> EnvironmentFailure:
    folder = manifest_path.parent
    return EnvironmentFailure(
        f"{manifest_path} {how}, so there is no DAG {DAG_ID}; published tables stay as they are. Make it: "
        f"DBT_TARGET_PATH={folder} DBT_LOG_PATH={folder} "
        "dbt parse --project-dir dbt_project --profiles-dir dbt_project"
    )


def _shared_meta(models: list[dict[str, Any]]) -> dict[str, str]:
    """`meta` that dbt_project.yml gives to every model: owner and oncall."""
    meta: dict[str, str] = _meta(models[0])
    return meta


def _meta(model: dict[str, Any]) -> dict[str, Any]:
    meta: dict[str, Any] = model["config"]["meta"]
    return meta


def _task_id(node: Any) -> str:
    return str(node.name)
