"""The manifest as an agreement: what it must say, what follows from it, and that reading a thousand is cheap."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml
from pydantic import ValidationError

from syncline.core import cron
from syncline.core.cron import next_runs, run_within, skipped_run, zone_shifts
from syncline.core.errors import ManifestInvalid
from syncline.core.files.strict_yaml import read
from syncline.core.job import SyncJob
from syncline.core.job_files import job_ids, load_job
from syncline.core.manifest import Manifest
from syncline.core.values import Mode
from tests.conftest import ROOT
from tests.unit.project_files import JOB, MANIFEST, MAPPING, findings_of, line_of, write_project

MakeJob = Callable[..., SyncJob]


@pytest.fixture
def job(tmp_path: Path) -> MakeJob:
    """The good job with pieces of its manifest replaced: job(("write: upsert", "write: replace"))."""

    def make(*changes: tuple[str, str], mapping: str = MAPPING) -> SyncJob:
        text = MANIFEST
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        return load_job(write_project(tmp_path, text, mapping), JOB)

    return make


@pytest.mark.parametrize("missing", ["owner", "tenancy", "sla", "version"])
def test_SYNC_001_no_job_without_owner_tenancy_sla_and_version(tmp_path: Path, missing: str) -> None:
    lines = [line for line in MANIFEST.splitlines(keepends=True) if not line.startswith(f"{missing}:")]

    with pytest.raises(ManifestInvalid, match=f"M02 '{missing}' is missing"):
        load_job(write_project(tmp_path, "".join(lines)), JOB)


@pytest.mark.parametrize("who", ["team", "oncall", "business"])
def test_SYNC_001_an_owner_is_a_team_a_person_on_call_and_a_business(tmp_path: Path, who: str) -> None:
    document = yaml.safe_load(MANIFEST)
    del document["owner"][who]

    with pytest.raises(ManifestInvalid, match=f"M02 '{who}' is missing"):
        load_job(write_project(tmp_path, yaml.safe_dump(document)), JOB)


def test_a_manifest_cannot_be_changed_after_it_was_read(job: MakeJob) -> None:
    read_job = job()

    with pytest.raises(ValidationError, match="frozen"):
        read_job.manifest.reconcile.mismatch_ratio_max = 1.0
    with pytest.raises(AttributeError):
        read_job.id = "other"  # type: ignore[misc]


def test_a_manifest_that_is_written_out_reads_back_the_same(job: MakeJob, tmp_path: Path) -> None:
    manifest = job().manifest
    path = tmp_path / "again.yaml"
    path.write_text(yaml.safe_dump(manifest.model_dump(mode="json", by_alias=True, exclude_none=True)))
    document = read(path, "again.yaml")

    assert document.findings == []
    assert Manifest.model_validate(document.data) == manifest


@pytest.mark.parametrize("path", sorted((ROOT / "include" / "manifests").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_jobs_of_the_demo_are_valid(path: Path) -> None:
    assert load_job(ROOT, path.stem).id == path.stem


@pytest.mark.parametrize(
    ("changes", "mode"),
    [
        ([], Mode.INCREMENTAL),
        ([("write: upsert", "write: replace")], Mode.FULL),  # it must hold everything afterwards
        ([("  cursor: updated_at\n", ""), ("  version: source_event_at\n", "")], Mode.FULL),  # who says what changed?
    ],
)
def test_the_job_decides_what_an_unasked_run_reads(job: MakeJob, changes: list[tuple[str, str]], mode: Mode) -> None:
    assert job(*changes).default_mode is mode


def test_without_a_flag_in_the_source_nothing_is_deleted(job: MakeJob) -> None:
    assert job().on_delete == "hard"
    assert job(("  deleted: is_deleted\n", ""), ("on_delete: hard", "on_delete: ignore")).on_delete == "ignore"


def test_a_job_without_tenants_gives_a_reason(job: MakeJob) -> None:
    public = job(("{column: tenant_id}", "{none: countries belong to no tenant}"), ("  tenant: tenant_id\n", ""))

    assert public.tenant_column is None


def test_jobs_are_listed_in_a_stable_order(tmp_path: Path) -> None:
    for name in ("b__b__b", "a__a__a", "c__c__c"):
        write_project(tmp_path, job=name)

    assert job_ids(tmp_path) == ["a__a__a", "b__b__b", "c__c__c"]
    assert job_ids(tmp_path / "nowhere") == []


@pytest.mark.parametrize("stamped", ["sync_batch_id", "loaded_at"])
def test_what_the_loader_fills_is_not_mapped_too(job: MakeJob, stamped: str) -> None:
    spoilt = MAPPING + f"  {stamped}: {{constant: 5, type: bigint}}\n"

    with pytest.raises(ManifestInvalid, match=f"M20 '{stamped}' is filled by the loader"):
        job(mapping=spoilt)


def test_a_filter_that_its_column_cannot_hold_is_refused(job: MakeJob) -> None:
    assert job(("filter: {country_code: [GB]}", "filter: {given_name: [Ann]}"))
    with pytest.raises(ManifestInvalid, match=r"M20 filter of 'annual_salary': 'GB' is not a numeric\(14,4\)"):
        job(("filter: {country_code: [GB]}", "filter: {annual_salary: [GB]}"))


def test_a_flag_that_is_no_boolean_is_refused(job: MakeJob) -> None:
    with pytest.raises(ManifestInvalid, match="M19 `source.deleted` 'iban' is text, not boolean"):
        job(("deleted: is_deleted", "deleted: iban"))


def test_K10_two_versions_of_syncline_do_not_share_a_batch(job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    before = job().manifest_hash
    monkeypatch.setattr("syncline.core.job_files.__version__", "99.0.0")

    assert job().manifest_hash != before


def test_K10_a_changed_manifest_has_another_hash_and_a_comment_has_not(job: MakeJob) -> None:
    plain = job().manifest_hash

    assert job(("domain: workforce", "domain: workforce  # people")).manifest_hash == plain
    assert job(("[GB]", "[GB, IE]")).manifest_hash != plain
    assert job(mapping=MAPPING.replace("min: 0", "min: 1")).manifest_hash != plain


# -- schedules -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "clock_range", "hit"),
    [
        ("0 2 * * *", "02:00-02:40", "02:00"),  # both ends belong to it
        ("40 2 * * *", "02:00-02:40", "02:40"),
        ("41 2 * * *", "02:00-02:40", None),
        ("59 1 * * *", "02:00-02:40", None),
        ("30 * * * *", "02:00-02:40", "02:30"),
        ("0 */6 * * *", "23:30-00:30", "00:00"),  # over midnight
        ("0 12 * * *", "23:30-00:30", None),
        ("0 2 * * mon", "02:00-02:40", "02:00"),
        ("* * * * *", "02:00-02:00", "02:00"),
    ],
)
def test_M08_a_run_inside_an_avoided_range_is_found(expression: str, clock_range: str, hit: str | None) -> None:
    assert run_within(expression, clock_range) == hit


@pytest.mark.parametrize(
    ("expression", "run_minutes", "hit"),
    [
        ("50 1 * * *", 10, None),  # ends as the range begins
        ("51 1 * * *", 10, "01:51"),
        ("20 2 * * *", 10, "02:20"),
        ("41 2 * * *", 10, None),
        ("0 0 * * *", 24 * 60, "00:00"),
    ],
)
def test_M08_a_run_that_lasts_into_a_range_is_found(expression: str, run_minutes: int, hit: str | None) -> None:
    assert run_within(expression, "02:00-02:40", run_minutes) == hit


@pytest.mark.parametrize(
    ("zone", "other", "shifts"),
    [
        ("Europe/London", "Europe/London", (0,)),
        ("Europe/London", "UTC", (0, 60)),
        ("UTC", "Europe/London", (-60, 0)),
        ("Europe/Berlin", "Europe/London", (60,)),
        ("Europe/London", "America/New_York", (240, 300)),  # three weeks a year it is only four hours
        ("Australia/Lord_Howe", "UTC", (630, 660)),
    ],
)
def test_M08_zones_are_compared_in_every_season(zone: str, other: str, shifts: tuple[int, ...]) -> None:
    assert zone_shifts(zone, other) == shifts


@pytest.mark.parametrize(
    ("side", "expression", "hit"),
    [
        ("source", "15 3 * * *", None),
        ("source", "55 1 * * *", "01:55 for 10 minutes"),
        ("target", "55 1 * * *", "01:55 for 10 minutes"),
        ("target", "15 2 * * *", "02:15 for 10 minutes"),
    ],
)
def test_M08_a_run_is_kept_out_of_the_hours_of_both_its_systems(
    tmp_path: Path, side: str, expression: str, hit: str | None
) -> None:
    text = MANIFEST.replace('  avoid: ["02:00-02:40"]\n', "").replace("15 3 * * *", expression)
    text = text.replace("Europe/London", "UTC")
    after = "  connections_max: 2\n" if side == "source" else "  on_delete: hard\n"
    text = text.replace(after, f'{after}  avoid: ["02:00-02:40"]\n')

    found = [finding.found for finding in findings_of(write_project(tmp_path, text))]

    assert found == ([f"`cron` runs at {hit}, within the avoided 02:00-02:40"] if hit else [])


def test_M08_a_range_in_another_zone_is_met_in_summer_only_and_told_all_the_same(tmp_path: Path) -> None:
    text = MANIFEST.replace('["02:00-02:40"]', '["02:00-02:40 UTC"]')  # 03:15 in London's summer is 02:15

    assert [finding.code for finding in findings_of(write_project(tmp_path, text))] == ["M08"]


def test_when_and_how_politely_a_job_reads_does_not_decide_which_rows_it_holds(job: MakeJob) -> None:
    plain = job()
    polite = job(("  connections_max: 2\n", '  connections_max: 1\n  avoid: ["02:00-02:40"]\n  lock_timeout_s: 5\n'))

    assert polite.rows_hash == plain.rows_hash  # otherwise the next run would read everything anew
    assert polite.manifest_hash != plain.manifest_hash


@pytest.mark.parametrize(
    ("expression", "zone", "skipped"),
    [
        ("15 1 * * *", "Europe/London", datetime(2026, 3, 29, 1, 15)),
        ("15 3 * * *", "Europe/London", None),
        ("15 1 * * *", "UTC", None),
        ("15 1 1 * *", "Europe/London", None),  # the first of a month is never the last Sunday of March
        ("15 1 29 3 *", "Europe/London", datetime(2026, 3, 29, 1, 15)),
        ("15 1 * * mon", "Europe/London", None),
        ("15 * * * *", "Europe/London", None),  # an hour later the next one comes anyway
        ("5 0 * * *", "Africa/Cairo", datetime(2026, 4, 24, 0, 5)),  # some countries change at midnight
        ("15 2 * * *", "Australia/Lord_Howe", datetime(2026, 10, 4, 2, 15)),  # by half an hour
        ("45 2 * * *", "Australia/Lord_Howe", None),
        ("30 2 * * *", "Asia/Tokyo", None),
    ],
)
def test_M08_a_time_that_a_zone_skips_is_found(expression: str, zone: str, skipped: datetime | None) -> None:
    assert skipped_run(expression, zone) == skipped


def test_the_next_runs_follow_the_wall_clock_of_the_zone() -> None:
    runs = next_runs("15 3 * * *", "Europe/London", datetime(2026, 3, 28, 12, tzinfo=UTC))

    assert [f"{run:%m-%d %H:%M %Z}" for run in runs] == ["03-29 03:15 BST", "03-30 03:15 BST", "03-31 03:15 BST"]
    assert next_runs("0 * * * *", "Europe/London", datetime(2026, 3, 29, 0, 30, tzinfo=UTC), 2) == [
        datetime(2026, 3, 29, 2, 0, tzinfo=ZoneInfo("Europe/London")),
        datetime(2026, 3, 29, 3, 0, tzinfo=ZoneInfo("Europe/London")),
    ]


# -- cost ----------------------------------------------------------------------------------------------------


def test_what_is_pure_is_computed_once_for_a_thousand_manifests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def counted() -> set[str]:
        calls.append("available_timezones")
        return {"Europe/London", "UTC"}

    monkeypatch.setattr(cron, "available_timezones", counted)
    cron.zones.cache_clear()
    for n in range(20):
        write_project(tmp_path, job=f"mdm__payroll__worker{n}")

    for job_id in job_ids(tmp_path):
        load_job(tmp_path, job_id)

    assert calls == ["available_timezones"]  # it reads 600 files: 8 ms each time
    cron.zones.cache_clear()


def test_a_manifest_is_read_in_a_few_milliseconds(tmp_path: Path) -> None:
    """Airflow reads all of them every half minute. 2.5 ms is the aim; the limit here forgives a slow machine."""
    for n in range(100):
        write_project(tmp_path, MANIFEST.replace("15 3", f"{n % 60} {4 + n // 60}"), job=f"mdm__payroll__worker{n}")
    ids = job_ids(tmp_path)
    load_job(tmp_path, ids[0])
    started = time.process_time()

    for job_id in ids:
        load_job(tmp_path, job_id)

    assert (time.process_time() - started) / len(ids) * 1000 < 10


def test_a_key_may_lose_nothing_even_with_a_reason(tmp_path: Path) -> None:
    mapping = MAPPING.replace("  worker_id: text", "  worker_id: numeric(8,2)").replace(
        "{from: worker_id, type: text,", "{from: worker_id, type: integer, lossy: only whole numbers,"
    )
    assert mapping.count("worker_id: numeric(8,2)") == mapping.count("lossy: only") == 1

    (found,) = findings_of(write_project(tmp_path, mapping=mapping))

    assert (found.code, found.line) == ("M19", line_of(MANIFEST, "  key: [tenant_id, employee_no]"))
    assert "`lossy` on key column 'employee_no': two keys could become one" in str(found)


def test_versions_are_ordered_by_the_cursor_and_nothing_else(job: MakeJob) -> None:
    mapping = MAPPING.replace(
        "source_event_at: {from: updated_at,", "source_event_at: {constant: 2026-01-01T00:00:00Z,"
    )
    assert mapping != MAPPING

    with pytest.raises(ManifestInvalid, match="M19 `target.version` 'source_event_at' is not the cursor 'updated_at'"):
        job(mapping=mapping)
