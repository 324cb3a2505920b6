"""What is written twice is compared: manifest and mapping of a job against the contract of the table it feeds.

The YAML is read as it stands; whether the SQL keeps the contract is dbt's own check (tests/integration).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "dbt_project" / "models"
INCLUDE = ROOT / "include"
STAMPS = {
    "sync_batch_id": "bigint",
    "source_system": "text",
    "source_event_at": "timestamptz",
    "loaded_at": "timestamptz",
    "fresh_as_of": "timestamptz",
    "freshness_state": "text",
}


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


DESCRIBED = {model["name"]: model for path in sorted(MODELS.rglob("*.yml")) for model in read(path).get("models", [])}
MANIFESTS = {path.stem: read(path) for path in sorted((INCLUDE / "manifests").glob("*.yaml"))}
PUB = {path.stem: path.read_text(encoding="utf-8") for path in sorted((MODELS / "pub").glob("*.sql"))}
FED = {name: found[1] for name, text in PUB.items() if (found := re.search(r"job_id = '(\w+)'", text))}

each_fed = pytest.mark.parametrize(("model", "job_id"), FED.items(), ids=FED)
each_model = pytest.mark.parametrize("model", DESCRIBED.values(), ids=DESCRIBED)


def columns_of(model: str) -> dict[str, dict[str, Any]]:
    return {column["name"]: column for column in DESCRIBED[model]["columns"]}


def fields_of(job_id: str) -> dict[str, dict[str, Any]]:
    fields: dict[str, dict[str, Any]] = read(INCLUDE / "mappings" / f"{MANIFESTS[job_id]['mapping']}.yaml")["fields"]
    return {name: field for name, field in fields.items() if name not in STAMPS}


def steps_of(field: dict[str, Any]) -> dict[str, Any]:
    steps: dict[str, Any] = {}
    for step in field.get("steps", []):
        steps.update(step if isinstance(step, dict) else {step: None})
    return steps


def is_not_null(column: dict[str, Any]) -> bool:
    return {"type": "not_null"} in column.get("constraints", [])


def test_each_published_table_is_fed_by_the_job_it_is_named_after() -> None:
    assert FED, "no pub_ model names its job; is `{% set job_id = '...' %}` still the form?"
    assert {f"pub_{job_id.split('__', 1)[1]}": job_id for job_id in FED.values()} == FED
    assert set(FED.values()) <= set(MANIFESTS)


@each_fed
def test_a_published_table_has_the_columns_and_types_of_its_mapping(model: str, job_id: str) -> None:
    contract = {name: column["data_type"] for name, column in columns_of(model).items()}

    assert contract == {name: field["type"] for name, field in fields_of(job_id).items()} | STAMPS


@each_fed
def test_a_column_is_never_null_where_the_mapping_sees_to_it(model: str, job_id: str) -> None:
    promised = {name for name, column in columns_of(model).items() if is_not_null(column)} - set(STAMPS)
    kept = {
        name
        for name, field in fields_of(job_id).items()
        if "required" in field.get("checks", []) or "default" in steps_of(field)
    }

    assert promised == kept


@each_fed
def test_every_stamp_is_there_on_every_row(model: str, job_id: str) -> None:
    assert [name for name in STAMPS if not is_not_null(columns_of(model)[name])] == []


@each_fed
def test_the_primary_key_is_the_target_key_of_the_manifest(model: str, job_id: str) -> None:
    key = MANIFESTS[job_id]["target"]["key"]

    assert {"type": "primary_key", "columns": key} in DESCRIBED[model]["constraints"]


@each_fed
def test_accepted_values_are_the_values_of_the_mapping(model: str, job_id: str) -> None:
    accepted = {
        name: sorted(test["accepted_values"]["arguments"]["values"])
        for name, column in columns_of(model).items()
        for test in column.get("data_tests", [])
        if name not in STAMPS
    }
    mapped = {
        name: sorted(steps["map"]["values"].values())
        for name, field in fields_of(job_id).items()
        if field["type"] == "text" and "map" in (steps := steps_of(field))
    }

    assert accepted == mapped


@each_fed
def test_a_published_table_reads_the_target_of_its_job_and_nothing_else(model: str, job_id: str) -> None:
    target = MANIFESTS[job_id]["target"]["table"]
    staging = MODELS / "staging" / "warehouse" / f"{model.replace('pub_', 'stg_', 1)}.sql"

    for text in (PUB[model], staging.read_text(encoding="utf-8")):
        assert re.findall(r"source\('(\w+)', '(\w+)'\)", text) == [tuple(target.split("."))]


@each_fed
def test_its_job_marks_deleted_rows_and_keeps_them(model: str, job_id: str) -> None:
    """A row that a held batch removed for good could not be told from one that was never published."""
    target = MANIFESTS[job_id]["target"]

    assert (target["write"], target["on_delete"], target["deleted"]) == ("upsert", "soft", "is_deleted")


@pytest.mark.parametrize("job_id", MANIFESTS)
def test_what_a_manifest_calls_downstream_exists(job_id: str) -> None:
    downstream = MANIFESTS[job_id].get("downstream", [])

    assert [name for name in downstream if name.startswith("pub_") and name not in PUB] == []
    assert [model for model, feeding in FED.items() if feeding == job_id and model not in downstream] == []


@each_model
def test_every_model_and_column_says_what_it_is(model: dict[str, Any]) -> None:
    assert model.get("description")
    assert [column["name"] for column in model["columns"] if not column.get("description")] == []


def test_every_model_is_described_and_says_its_grain() -> None:
    files = {path.stem: path.read_text(encoding="utf-8") for path in MODELS.rglob("*.sql")}

    assert set(files) == set(DESCRIBED)
    assert [name for name, text in files.items() if not text.startswith("-- Grain: one row per ")] == []


def test_no_model_asks_the_server_what_time_it_is() -> None:
    clock = re.compile(r"\b(now\(\)|current_timestamp|current_date|clock_timestamp|localtimestamp)", re.IGNORECASE)
    comment = re.compile(r"{#.*?#}|--[^\n]*", re.DOTALL)
    said = {
        path.name: comment.sub("", path.read_text(encoding="utf-8"))
        for folder in ("models", "macros", "tests")
        for path in (ROOT / "dbt_project" / folder).rglob("*.sql")
    }

    assert [name for name, text in said.items() if clock.search(text)] == []


def test_dbt_brings_no_foreign_code_and_meets_no_module_of_its_own_prefix() -> None:
    """Packages may override macros (CVE-2024-40637); dbt imports every top-level module called dbt_*."""
    project = ROOT / "dbt_project"

    assert [name for name in ("packages.yml", "dependencies.yml", "__init__.py") if (project / name).exists()] == []
    assert list((ROOT / "dags").glob("dbt_*.py")) == []
