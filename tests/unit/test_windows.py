"""Hours in which systems are closed: when one has ended, and in the nights in which clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from syncline.core.job import SyncJob
from syncline.core.job_files import load_job
from syncline.core.manifest import Manifest
from syncline.core.windows import Window, closed, occurrences
from tests.unit.project_files import JOB, MANIFEST, write_project

SCHEDULE = '  avoid: ["02:00-02:40"]\n'


def manifest_with(
    tmp_path: Path, schedule: str = "", source: str = "", target: str = "", minutes: int = 10
) -> Manifest:
    """The job in UTC, with one range of each kind; '' is none."""
    text = MANIFEST.replace(SCHEDULE, f"  run_minutes: {minutes}\n" + _avoid(schedule))
    text = text.replace("timezone: Europe/London", "timezone: UTC").replace("15 3 * * *", "0 12 * * *")
    text = text.replace("  connections_max: 2\n", f"  connections_max: 2\n{_avoid(source)}")
    text = text.replace("  on_delete: hard\n", f"  on_delete: hard\n{_avoid(target)}")
    job: SyncJob = load_job(write_project(tmp_path, text), JOB)
    return job.manifest


def _avoid(clock_range: str) -> str:
    return f'  avoid: ["{clock_range}"]\n' if clock_range else ""


def at(clock: str, day: str = "2026-11-23") -> datetime:
    return datetime.fromisoformat(f"{day}T{clock}+00:00")


@pytest.mark.parametrize(
    ("clock", "until"),
    [
        ("01:59:59", None),
        ("02:00:00", "02:41"),
        ("02:40:59", "02:41"),  # the last minute belongs to it
        ("02:41:00", None),
    ],
)
def test_a_job_begins_neither_in_the_first_nor_in_the_last_minute_of_a_range(
    tmp_path: Path, clock: str, until: str | None
) -> None:
    found = closed(manifest_with(tmp_path, schedule="02:00-02:40"), "open", at(clock))

    assert (found and f"{found.until:%H:%M}") == until


def test_a_job_may_be_begun_before_its_own_range_but_not_so_that_it_reaches_into_a_systems(tmp_path: Path) -> None:
    assert closed(manifest_with(tmp_path, schedule="02:00-02:40"), "open", at("01:55")) is None

    found = closed(manifest_with(tmp_path, target="02:00-02:40"), "open", at("01:55"))

    assert found is not None
    assert found.until == at("02:41")
    assert str(found.window) == "'payroll' is closed 02:00-02:40 UTC"
    assert closed(manifest_with(tmp_path, target="02:00-02:40"), "open", at("01:50")) is None  # ends as it begins


@pytest.mark.parametrize(
    ("step", "waits_for"),
    [
        ("open", {"schedule", "source", "target"}),
        ("extract_and_map", {"source", "target"}),  # it stages at the target
        ("load", {"target"}),
        ("reconcile", {"target"}),
        ("publish", set()),  # the ledger only
    ],
)
def test_a_step_waits_for_the_systems_that_it_uses(tmp_path: Path, step: str, waits_for: set[str]) -> None:
    kinds = ("schedule", "source", "target")
    found = {
        kind
        for kind in kinds
        if closed(manifest_with(tmp_path, **{kind: "02:00-02:40"}), step, at("02:10")) is not None  # type: ignore[arg-type]
    }

    assert found == waits_for


def test_a_step_under_way_does_not_look_ahead(tmp_path: Path) -> None:
    assert closed(manifest_with(tmp_path, target="02:00-02:40"), "load", at("01:59")) is None


def test_after_one_window_the_next_is_looked_at(tmp_path: Path) -> None:
    found = closed(manifest_with(tmp_path, source="02:00-02:40", target="02:45-03:10"), "open", at("02:10"))

    assert found is not None
    assert (found.until, found.window.whose) == (at("03:11"), "'payroll'")


def test_a_range_over_midnight_is_closed_on_both_sides_of_it(tmp_path: Path) -> None:
    manifest = manifest_with(tmp_path, schedule="23:30-00:30")

    assert closed(manifest, "open", at("23:45")) == closed(manifest, "open", at("00:10", "2026-11-24"))
    assert closed(manifest, "open", at("00:31", "2026-11-24")) is None


def test_a_range_keeps_the_zone_that_it_names(tmp_path: Path) -> None:
    manifest = manifest_with(tmp_path, target="02:00-02:40 Europe/Berlin")

    assert closed(manifest, "load", at("01:10")) is not None  # winter
    assert closed(manifest, "load", at("02:10")) is None
    assert closed(manifest, "load", at("00:10", "2026-07-01")) is not None  # summer


@pytest.mark.parametrize(
    ("clock_range", "day", "begins", "ends"),
    [
        ("02:00-02:40", "2026-03-29", "01:00", "01:41"),  # summer time has begun an hour before
        ("01:15-01:45", "2026-03-29", "00:15", "01:46"),  # no such time: an hour earlier or later, both are closed
        ("00:30-01:15", "2026-03-29", "00:30", "01:16"),
        ("01:15-01:45", "2026-10-25", "00:15", "01:46"),  # twice: from the first beginning to the second end
        ("00:30-01:15", "2026-10-25", "23:30", "01:16"),
        ("02:00-02:40", "2026-10-25", "02:00", "02:41"),
    ],
)
def test_in_a_night_in_which_clocks_change_the_widest_reading_counts(
    clock_range: str, day: str, begins: str, ends: str
) -> None:
    noon = datetime.fromisoformat(f"{day}T12:00+00:00")
    window = Window(clock_range, "Europe/London", "the job")

    (hours,) = occurrences(window, noon - timedelta(hours=13), noon)

    assert [f"{hour.astimezone(UTC):%H:%M}" for hour in hours] == [begins, ends]


def test_there_is_an_end_even_where_nothing_is_ever_open(tmp_path: Path) -> None:
    """Such a manifest is refused; a loop without an end would hang a worker all the same."""
    manifest = manifest_with(tmp_path, schedule="02:00-02:40")
    schedule = manifest.schedule.model_copy(update={"avoid": ("00:00-23:59",)})
    never: Any = manifest.model_copy(update={"schedule": schedule})

    found = closed(never, "open", at("12:00"))

    assert found is not None
    assert found.until >= at("12:00") + timedelta(days=2)
