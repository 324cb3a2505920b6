"""The `syncline` command as far as it needs no database: check, explain, and what it says to wrong usage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from syncline import __main__ as command
from syncline.core.job_files import load_job
from syncline.steps.looking import PreviewRow
from tests.conftest import ROOT
from tests.unit.project_files import JOB, MANIFEST, MAPPING, line_of, write_project


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def said(self) -> str:
        """Standard error without the box that the terminal library draws."""
        return " ".join(self.err.replace("│", " ").split())


Syncline = Callable[..., Ended]


@pytest.fixture
def syncline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Syncline:
    """Run the command in this process, in the project of `tmp_path`."""

    def run(*arguments: str | Path) -> Ended:
        monkeypatch.setenv("SYNCLINE_HOME", str(tmp_path))
        monkeypatch.setattr(sys, "argv", ["syncline", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            command.main()  # typer leaves by SystemExit, also when all is well
        said = capsys.readouterr()
        return Ended(int(left.value.code or 0), said.out, said.err)

    return run


def test_check_of_a_good_project_ends_with_0(tmp_path: Path, syncline: Syncline) -> None:
    write_project(tmp_path)

    ended = syncline("check")

    assert (ended.code, ended.out) == (0, "")
    assert ended.err.startswith("1 job is valid, no mistakes, read in 0.")


def test_check_tells_every_mistake_of_every_file_and_ends_with_1(tmp_path: Path, syncline: Syncline) -> None:
    spoilt = MANIFEST.replace("write: upsert", "write: upsrt").replace("15 3", "61 3")
    write_project(tmp_path, spoilt, MAPPING.replace("{from: iban", "{form: iban"))
    write_project(
        tmp_path, MANIFEST.replace("domain: workforce", "domain: on"), job="mdm__billing__client", name="other"
    )

    ended = syncline("check")

    assert ended.code == 1
    told = [line for line in ended.lines if line.startswith("include/")]
    assert [line.split(" ")[:2] for line in told] == [
        ["include/manifests/mdm__billing__client.yaml:3:9:", "M06"],
        [f"include/manifests/{JOB}.yaml:8:9:", "M08"],
        [f"include/manifests/{JOB}.yaml:{line_of(MANIFEST, 'write:')}:10:", "M02"],
        [f"include/mappings/{JOB}.yaml:{line_of(MAPPING, 'from: iban')}:15:", "M01"],
    ]
    assert ended.err.startswith("0 jobs are valid, 4 mistakes in 3 files")
    assert "docs/errors.md explains M01, M02, M06, M08" in ended.err


def test_check_shows_the_line_what_is_wrong_in_it_and_the_remedy(tmp_path: Path, syncline: Syncline) -> None:
    write_project(tmp_path, MANIFEST.replace("write: upsert", "write: upsrt"))

    assert syncline("check").lines == [
        f"include/manifests/{JOB}.yaml:25:10: M02 'write' is 'upsrt'. Did you mean 'upsert'?",
        "  25 |   write: upsrt",
        "     |          ^^^^^",
        "     = one of: upsert, append, replace",
        "",
    ]


def test_check_is_coloured_on_a_terminal_only(
    tmp_path: Path, syncline: Syncline, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(tmp_path, MANIFEST.replace("write: upsert", "write: upsrt"))
    assert "\x1b" not in syncline("check").out

    monkeypatch.setattr("syncline.__main__.out", Console(force_terminal=True, no_color=False))
    assert "\x1b[31m^^^^^" in syncline("check").out

    monkeypatch.setattr("syncline.__main__.out", Console(force_terminal=True, no_color=True))
    assert "\x1b" not in syncline("check").out


def test_check_does_not_fail_where_the_terminal_lacks_a_letter(tmp_path: Path) -> None:
    write_project(tmp_path, MANIFEST.replace("write: upsert", "write: žluť"))

    ended = subprocess.run(
        [sys.executable, "-m", "syncline", "check", str(tmp_path)],
        capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip

    assert ended.returncode == 1
    assert "write: \\u017elu\\u0165" in ended.stdout
    assert "Traceback" not in ended.stderr


def test_check_as_json_is_for_programs(tmp_path: Path, syncline: Syncline) -> None:
    write_project(tmp_path, MANIFEST.replace("write: upsert", "write: upsrt"))

    ended = syncline("check", "--json")

    assert ended.code == 1
    assert json.loads(ended.out) == {
        "jobs": 0,
        "findings": [
            {
                "path": f"include/manifests/{JOB}.yaml",
                "line": line_of(MANIFEST, "write:"),
                "column": 10,
                "end_column": 15,
                "code": "M02",
                "found": "'write' is 'upsrt'",
                "allowed": "one of: upsert, append, replace",
                "nearest": "upsert",
                "text": "  write: upsrt",
                "docs": "docs/errors.md#m02",
            }
        ],
        "notes": [],
    }
    write_project(tmp_path)
    assert (syncline("check", "--json").code, ended.err) == (0, "")


def test_check_of_one_file_tells_its_own_mistakes_only(tmp_path: Path, syncline: Syncline) -> None:
    write_project(tmp_path, MANIFEST.replace("write: upsert", "write: upsrt"), MAPPING.replace("upper", "uper"))

    ended = syncline("check", tmp_path / "include" / "mappings" / f"{JOB}.yaml")

    assert ended.code == 1
    assert [line.split(" ")[1] for line in ended.lines if line.startswith("include/")] == ["M01"]


def test_check_of_one_manifest_tells_the_mistakes_of_all_that_it_stands_on(tmp_path: Path, syncline: Syncline) -> None:
    root = write_project(tmp_path, mapping=MAPPING.replace("upper", "uper"))

    ended = syncline("check", str(root / "include" / "manifests" / f"{JOB}.yaml"))

    assert (ended.code, ended.out.startswith(f"include/mappings/{JOB}.yaml:")) == (1, True)


def test_check_of_one_manifest_shows_when_it_runs_next(tmp_path: Path, syncline: Syncline) -> None:
    write_project(tmp_path)

    ended = syncline("check", tmp_path / "include" / "manifests" / f"{JOB}.yaml")

    assert ended.code == 0
    assert ended.out.startswith(f"{JOB} runs next: 2")
    assert ended.out.count(" 03:15 ") == 3


def test_check_of_another_project_takes_its_folder(tmp_path: Path, syncline: Syncline) -> None:
    write_project(tmp_path / "other", MANIFEST.replace("write: upsert", "write: upsrt"))

    assert syncline("check", tmp_path / "other").code == 1


@pytest.mark.parametrize("path", ["nowhere", "empty", "stray.yaml", "include/manifests/none.yaml"])
def test_a_path_where_nothing_is_to_check_is_not_green(tmp_path: Path, syncline: Syncline, path: str) -> None:
    write_project(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "stray.yaml").write_text("version: 1.0.0")

    assert syncline("check", tmp_path / path).code == 2


def test_a_secret_is_not_shown(tmp_path: Path, syncline: Syncline) -> None:
    write_project(tmp_path, MANIFEST.replace("connection: mdm", "connection: postgresql://u:hunter2@h/db"))

    ended = syncline("check")

    assert ended.code == 1
    assert "M21" in ended.out
    assert "hunter2" not in ended.out + ended.err


def test_explain_prints_the_dag_and_the_statement(tmp_path: Path, syncline: Syncline) -> None:
    write_project(tmp_path, MANIFEST.replace("UK workers as payroll needs them", '"UK [/bold] workers, 100 %"'))

    ended = syncline("explain", JOB)

    assert ended.code == 0
    assert ended.lines[0] == f"-- DAG sync__{JOB}: UK [/bold] workers, 100 %"
    told = [line for line in ended.lines if line.startswith("-- ")]
    plan, equal = told[:8], told[8:]
    assert [line.split()[1] for line in plan] == [
        "DAG", "schedule", "next", "open", "extract_and_map", "load", "reconcile", "publish",
    ]  # fmt: skip
    assert "docs/equality.md" in equal[0]
    weights = {line.split()[1]: line.split()[2] for line in equal[1:]}
    assert weights == {name: field.severity for name, field in load_job(tmp_path, JOB).mapping.fields.items()}
    assert any(line.endswith("a day and its midnight are equal") for line in equal)
    assert 'from "mdm"."worker" as s' in ended.out
    assert """where "s"."country_code" in ('GB')""" in ended.out
    assert '"start_date"' in ended.out


def test_explain_of_a_broken_job_is_the_report(tmp_path: Path, syncline: Syncline) -> None:
    write_project(tmp_path, MANIFEST.replace("write: upsert", "write: upsrt"))

    ended = syncline("explain", JOB)

    assert ended.code == 1
    assert ended.err.startswith(f"syncline: include/manifests/{JOB}.yaml:{line_of(MANIFEST, 'write:')}:10: M02 ")
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("verb", ["explain", "preview", "run"])
def test_an_unknown_job_is_wrong_usage_and_names_the_nearest(tmp_path: Path, syncline: Syncline, verb: str) -> None:
    write_project(tmp_path)

    ended = syncline(verb, "mdm__payroll__workr")

    assert ended.code == 2
    assert "there is no job 'mdm__payroll__workr'" in ended.said
    assert f"Did you mean '{JOB}'?" in ended.said


def test_a_connection_that_is_not_configured_is_a_place_that_is_not_fit(
    tmp_path: Path, syncline: Syncline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_MDM", raising=False)
    write_project(tmp_path)

    ended = syncline("preview", JOB)

    assert ended.code == 3
    assert "set AIRFLOW_CONN_MDM" in ended.err


@pytest.mark.parametrize(
    "window",
    [["--window-from", "2026-01-01"], ["--window-to", "2026-01-01"],
     ["--window-from", "2026-01-02", "--window-to", "2026-01-01"],
     ["--window-from", "2026-01-01", "--window-to", "2026-01-01"]],
)  # fmt: skip
def test_half_a_window_is_wrong_usage(tmp_path: Path, syncline: Syncline, window: list[str]) -> None:
    write_project(tmp_path)

    ended = syncline("run", JOB, "--mode", "window", *window)

    assert ended.code == 2
    assert "--window-from and --window-to go together" in ended.said


def test_a_preview_obeys_no_sign_of_the_data(
    tmp_path: Path, syncline: Syncline, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(tmp_path)
    job = load_job(tmp_path, JOB)
    read, mapped = dict.fromkeys(job.mapping.source, "x"), dict.fromkeys(job.mapping.fields, "y")
    row = PreviewRow(
        read | {"given_name": "[/red] \x1b[2J =1+1"}, mapped | {"full_name": "[bold]"}, ["full_name:required"]
    )
    monkeypatch.setattr("syncline.steps.looking.preview", lambda job, **_: [row])

    ended = syncline("preview", JOB)

    assert ended.code == 0
    assert "[/red] \\x1b[2J" in ended.out
    assert "[bold]" in ended.out
    assert "\x1b[2J" not in ended.out


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["chek"], 2), (["check", "--jsn"], 2), (["--help"], 0)])
def test_wrong_usage_ends_with_2(syncline: Syncline, arguments: list[str], code: int) -> None:
    assert syncline(*arguments).code == code


def test_the_command_is_installed_and_checks_the_real_project(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "syncline", "check", str(ROOT)], capture_output=True, text=True, timeout=120, check=False
    )  # fmt: skip

    assert (ended.returncode, ended.stdout) == (0, "")


# -- the coming week, and closed hours --------------------------------------------------------------------------------


def crowded(tmp_path: Path, jobs: int) -> None:
    """So many jobs that write one table at the same minute, through two connections."""
    for n in range(jobs):
        write_project(tmp_path, MANIFEST, job=f"mdm__payroll__w{n}")


def test_check_notes_what_meets_in_the_coming_week_with_the_next_runs(tmp_path: Path, syncline: Syncline) -> None:
    crowded(tmp_path, 3)

    ended = syncline("check")

    assert ended.code == 0, "nothing is wrong with a file"
    notes = [line.removeprefix("note: ") for line in ended.err.splitlines() if line.startswith("note: ")]
    assert [note.split(": ")[0] for note in notes] == [
        *["include/manifests/mdm__payroll__w0.yaml:8:9"] * 3,
        "mdm__payroll__w0, mdm__payroll__w1, mdm__payroll__w2 runs next",
    ]
    assert (
        "M08 hr.employee at 'payroll' is written by 3 jobs at the same time: 7 times in the coming week, first 2"
        in notes[0]
    )
    assert "source 'mdm' lends 2 connections at one time, up to 3 runs meet there" in notes[1]
    assert notes[3].count("03:15") == 3


def test_check_of_one_job_tells_what_it_meets_at_its_own_schedule(tmp_path: Path, syncline: Syncline) -> None:
    crowded(tmp_path, 2)
    write_project(tmp_path, MANIFEST.replace("15 3", "15 7").replace("hr.employee", "hr.x"), job="mdm__payroll__alone")

    assert (
        "note: include/manifests/mdm__payroll__w1.yaml:8:9: M08 hr.employee"
        in syncline("check", "mdm__payroll__w1").err
    )
    assert "note:" not in syncline("check", "mdm__payroll__alone").err


def test_check_of_many_jobs_that_meet_stays_short(tmp_path: Path, syncline: Syncline) -> None:
    for n in range(24):
        text = MANIFEST.replace("hr.employee", f"hr.t{n // 2}")
        write_project(tmp_path, text, job=f"mdm__payroll__w{n:02}")

    told = syncline("check").err.splitlines()

    assert len(told) < 50
    assert "note: runs meet at 4 more places; `syncline check --json` tells all" in told
    assert len(json.loads(syncline("check", "--json").out)["notes"]) == 14


def test_run_refuses_to_begin_in_closed_hours_and_says_until_when(
    tmp_path: Path, syncline: Syncline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SYNCLINE_DESPITE_WINDOWS")
    at = datetime.now(UTC)
    hours = f"{at - timedelta(hours=1):%H:%M}-{at + timedelta(hours=1):%H:%M}"
    away = f"{(at.hour + 12) % 24}"
    text = MANIFEST.replace("15 3", f"15 {away}").replace("Europe/London", "UTC").replace("02:00-02:40", hours)
    write_project(tmp_path, text)

    ended = syncline("run", JOB)

    assert ended.code == 3
    assert f"syncline: {JOB}: the job is closed {hours} UTC" in ended.err
    assert "Nothing was opened. Run it from 2" in ended.err


def test_run_despite_closed_hours_needs_a_reason(tmp_path: Path, syncline: Syncline) -> None:
    write_project(tmp_path)

    ended = syncline("run", JOB, "--despite-windows")

    assert ended.code == 2
    assert "--despite-windows needs --reason" in ended.said
