"""The DAG that builds the published tables, as Airflow sees it after parsing. No database, no connection."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from syncline.orchestration.pools import pools
from tests.conftest import ROOT
from tests.dags.test_parsing_touches_nothing import parse

PROJECT = ROOT / "dbt_project"
TABLES = {"pub_warehouse__worker", "pub_warehouse__client", "pub_warehouse__contract", "pub_sync_freshness"}
RECONCILIATION = {  # one after the other: they speak of one moment, and history takes the note of it
    "pub_reconciliation_history": set(),
    "pub_drift": {"pub_reconciliation_history"},
    "pub_reconciliation": {"stg_ledger__batch", "pub_reconciliation_history", "pub_drift"},
    "pub_reconciliation_trend": {"stg_ledger__batch", "pub_reconciliation_history", "pub_drift"},
}


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A var/ folder in which the project was parsed once, as the remedy of the missing manifest says."""
    var = tmp_path_factory.mktemp("var")
    environment = {
        **os.environ,
        "DBT_TARGET_PATH": str(var / "dbt"),
        "DBT_LOG_PATH": str(var / "dbt"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    arguments = ["parse", "--quiet", "--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
    subprocess.run([sys.executable, "-m", "dbt.cli.main", *arguments], env=environment, check=True)
    return var


@pytest.fixture(scope="module")
def module(parsed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """`syncline.orchestration.dbt`, imported where Cosmos keeps its cache below a temporary folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNCLINE_VAR", str(parsed))
        cache = tmp_path_factory.mktemp("cosmos")
        patch.setenv("AIRFLOW__COSMOS__CACHE_DIR", str(cache))  # for processes started here
        patch.setenv("AIRFLOW__COSMOS__ENABLE_TELEMETRY", "False")
        from cosmos import settings

        patch.setattr(settings, "cache_dir", cache)
        from syncline.orchestration import dbt

        yield dbt


@pytest.fixture(scope="module")
def dag(module: ModuleType) -> Any:
    return _dag_file().publish_tables


def _dag_file() -> ModuleType:
    spec = importlib.util.spec_from_file_location("publish_tables_file", ROOT / "dags" / "publish_tables.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SYNCLINE_VAR", str(tmp_path))
    return tmp_path


def test_each_table_is_one_task_behind_what_it_reads(dag: Any) -> None:
    assert {task.task_id: set(task.upstream_task_ids) for task in dag.tasks} == {
        "stg_ledger__batch": set(),
        **{table: {"stg_ledger__batch"} for table in TABLES},
        **RECONCILIATION,
    }


def test_any_job_that_feeds_a_table_starts_it_and_comparisons_and_the_clock_at_the_latest(dag: Any) -> None:
    from airflow.sdk import AssetAny, AssetOrTimeSchedule

    assert isinstance(dag.schedule, AssetOrTimeSchedule)
    assert isinstance(dag.schedule.asset_condition, AssetAny)
    assert {asset.name for asset in dag.schedule.asset_condition.objects} == {
        "sync://mdm__warehouse__worker",
        "sync://mdm__warehouse__client",
        "sync://mdm__warehouse__contract",
        "sync://comparisons",
    }
    assert re.fullmatch(r"\d+ \* \* \* \*", dag.schedule.timetable.expression)


def test_two_runs_never_build_at_the_same_time_and_none_are_made_up_for(dag: Any) -> None:
    assert (dag.max_active_runs, dag.catchup) == (1, False)


def test_somebody_owns_it_and_is_told_when_it_fails(dag: Any, module: ModuleType) -> None:
    for task in dag.tasks:
        assert task.owner == "analytics-engineering", f"{task.task_id}: name an owner in dbt_project.yml (meta)"
        assert task.on_failure_callback in (module.alert_build_failed, [module.alert_build_failed])
        assert task.retries == 3


def test_the_owner_in_the_ui_writes_to_the_one_on_call(dag: Any) -> None:
    assert dag.owner_links == {"analytics-engineering": "mailto:analytics-oncall@example.org"}


def test_the_pool_that_its_tasks_wait_in_will_exist(dag: Any) -> None:
    assert {task.pool for task in dag.tasks} <= set(pools(ROOT)), "the tasks would never start"


def test_parsing_touches_no_database_no_network_and_no_connection(dag: Any) -> None:
    assert parse(ROOT / "dags" / "publish_tables.py", ROOT) == {"dags": ["publish_tables"], "errors": {}, "touched": []}


def test_parsing_twice_makes_no_new_dag_version(dag: Any) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    assert DagSerialization.to_dict(_dag_file().publish_tables) == DagSerialization.to_dict(dag)


def test_the_time_of_the_run_is_what_freshness_is_judged_at(dag: Any) -> None:
    from jinja2 import Template

    due = datetime(2026, 3, 1, 6, 41, tzinfo=UTC)
    run = type("DagRun", (), {"run_after": due})
    templates = {task.vars["as_of"] for task in dag.tasks}

    assert [Template(template).render(dag_run=run) for template in templates] == ["2026-03-01T06:41:00+00:00"]


def test_dbt_writes_into_its_copy_whatever_the_worker_exports(dag: Any) -> None:
    assert [task.env for task in dag.tasks] == [{"DBT_TARGET_PATH": "target", "DBT_LOG_PATH": "logs"}] * len(dag.tasks)


def test_a_test_waits_for_every_model_it_looks_at(dag: Any) -> None:
    assert {task.indirect_selection for task in dag.tasks} == {"buildable"}


def test_an_operator_finds_a_guide_in_it(dag: Any) -> None:
    for word in ("**Runs**", "When a task failed", "A batch is held"):
        assert word in dag.doc_md


def test_without_a_manifest_the_import_error_says_what_to_type(module: ModuleType, var: Path) -> None:
    with pytest.raises(Exception, match=r"manifest\.json is missing.*dbt parse --project-dir dbt_project"):
        _dag_file()


def test_a_manifest_with_other_models_than_the_project_is_not_believed(module: ModuleType, var: Path) -> None:
    (var / "dbt").mkdir()
    (var / "dbt" / "manifest.json").write_text(json.dumps({"nodes": {}}))

    with pytest.raises(Exception, match="is older than dbt_project/models"):
        _dag_file()


def results(*statuses: tuple[str, str]) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        (folder / "target").mkdir()
        found = [{"unique_id": unique_id, "status": status} for unique_id, status in statuses]
        (folder / "target" / "run_results.json").write_text(json.dumps({"results": found}))
        return str(folder)

    return write


def test_a_failed_test_is_final(module: ModuleType, tmp_path: Path) -> None:
    folder = results(("model.syncline.m", "success"), ("test.syncline.one_row_per_m.0a1b2c", "fail"))(tmp_path)

    with pytest.raises(module.PublicationDoubtful, match="one_row_per_m") as caught:
        module.judge_tests(folder)

    from syncline.orchestration.retry import ByExceptionType

    assert ByExceptionType().evaluate(caught.value, 1, 3).action.name == "FAIL"


def test_a_database_error_is_left_to_be_tried_again(module: ModuleType, tmp_path: Path) -> None:
    module.judge_tests(results(("model.syncline.m", "error"), ("test.syncline.t.0a", "skipped"))(tmp_path))


def test_a_dbt_that_never_started_is_left_to_say_so_itself(module: ModuleType, tmp_path: Path) -> None:
    module.judge_tests(str(tmp_path))


def test_an_alert_that_cannot_be_sent_hides_no_failure(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from syncline.adapters import ledger

    def broken(_doing: str) -> Any:
        raise OSError("no")

    monkeypatch.setattr(ledger, "opened", broken)

    module.alert_build_failed({"task": type("Task", (), {"task_id": "pub_x"}), "exception": None})

    assert "alert not sent dag=publish_tables task=pub_x failure=OSError" in caplog.text
