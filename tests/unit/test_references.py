"""Code lists and calendars are read whole or not at all, and all their mistakes are told at once, each at its place."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from syncline.core.reference_files import ProjectReferences, examine_reference
from syncline.core.references import Calendar, CodeList, Entry
from tests.conftest import ROOT

HEAD = "version: 1.0.0\ndescription: What a test is about\n"
YEAR = HEAD + "first_day: 2026-01-01\nlast_day: 2026-12-31\n"


class Project:
    """Files of a project, each written anew for every question."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("code_lists", "calendars"):
            (root / "include" / folder).mkdir(parents=True)

    def write(self, folder: str, text: str, name: str = "tried") -> Path:
        path = self.root / "include" / folder / f"{name}.yaml"
        is_new = not path.exists()
        path.write_text(text, encoding="utf-8")
        if not is_new:  # within one tick of the file system's clock two versions of one length would look alike
            os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1_000))
        return path

    def told(self, folder: str, text: str) -> list[str]:
        """`line:column code found; allowed. Did you mean ...`, in the order of the file."""
        path = self.write(folder, text)
        model, _, findings = examine_reference(self.root, folder, path.stem)
        assert (model is None) is bool(findings), "a file is a model, or it has mistakes"
        shown = f"include/{folder}/tried.yaml:"
        assert all(finding.path == shown[:-1] for finding in findings)
        return [str(finding).removeprefix(shown).replace(": M", " M", 1) for finding in sorted(findings)]

    def entries(self, text: str) -> list[str]:
        """The same of a code list's entries, which begin in line 4."""
        return self.told("code_lists", f"{HEAD}entries:\n{text}")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


# -- code lists -----------------------------------------------------------------------------------------------


def test_a_code_list_says_when_a_code_means_what(project: Project) -> None:
    project.write("code_lists", f"""{HEAD}source: somebody
entries:
  A: always
  B: {{value: once, valid_from: 2000-02-29, valid_to: 2000-02-29}}
  "no":
    - {{value: late, valid_from: "2020-01-01"}}
    - {{value: early, valid_to: 2009-12-31}}  # ten years in which the code meant nothing
""")  # fmt: skip

    found = ProjectReferences(project.root).code_list("tried")

    assert [(code, entry.value, entry.valid_from, entry.valid_to) for code, entry in found.periods()] == [
        ("A", "always", None, None),
        ("B", "once", date(2000, 2, 29), date(2000, 2, 29)),
        ("no", "late", date(2020, 1, 1), None),
        ("no", "early", None, date(2009, 12, 31)),
    ]
    assert (found.is_dated, found.values) == (True, {"always", "once", "late", "early"})
    assert not CodeList.model_validate(
        {"version": "1.0.0", "description": "Without periods", "entries": {"A": "a"}}
    ).is_dated


@pytest.mark.parametrize(
    ("first", "second", "meet"),
    [
        (("2020-01-01", "2020-06-30"), ("2020-07-01", "2020-12-31"), False),  # the day after
        (("2020-01-01", "2020-06-30"), ("2020-06-30", "2020-12-31"), True),  # both days are included
        (("2020-01-01", None), ("2019-01-01", "2019-12-31"), False),
        (("2020-01-01", None), ("2019-01-01", "2020-01-01"), True),
        (("2020-01-01", None), ("2030-01-01", "2030-01-01"), True),
        ((None, "2020-01-01"), ("2020-01-02", None), False),
        ((None, "2020-01-01"), (None, "1900-01-01"), True),
        ((None, None), ("2020-01-01", "2020-01-01"), True),
        (("2020-01-01", "2020-12-31"), ("2020-06-01", "2020-06-02"), True),  # one inside of the other
    ],
)
def test_two_periods_of_a_code_share_no_day(
    project: Project, first: tuple[str | None, str | None], second: tuple[str | None, str | None], meet: bool
) -> None:
    def entry(value: str, period: tuple[str | None, str | None]) -> str:
        days = zip(("valid_from", "valid_to"), period, strict=True)
        return ", ".join([f"value: {value}", *(f"{name}: {day}" for name, day in days if day)])

    for one, other in ((first, second), (second, first)):
        said = project.entries(f"  A:\n    - {{{entry('a', one)}}}\n    - {{{entry('b', other)}}}\n")
        assert said == (["4:3 M20 two counterparts on one day: 'a' and 'b'"] if meet else [])


DAYS = st.dates(date(2020, 1, 1), date(2020, 1, 12))
PERIODS = st.lists(
    st.tuples(st.none() | DAYS, st.none() | DAYS).filter(lambda p: not (p[0] and p[1]) or p[0] <= p[1]),
    min_size=1,
    max_size=4,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(periods=PERIODS)
def test_periods_are_refused_exactly_where_a_day_is_in_two_of_them(
    project: Project, periods: list[tuple[date | None, date | None]]
) -> None:
    entries = "".join(
        f"    - {{value: v{n}, valid_from: {begin or 'null'}, valid_to: {end or 'null'}}}\n"
        for n, (begin, end) in enumerate(periods)
    )
    calendar = [date.fromordinal(n) for n in range(date(2019, 12, 31).toordinal(), date(2020, 1, 14).toordinal())]

    told = project.entries(f"  A:\n{entries}")

    held = [sum((begin or day) <= day <= (end or day) for begin, end in periods) for day in calendar]
    assert bool(told) is (max(held) > 1)


def test_the_ends_of_time_do_not_meet_what_is_between_them() -> None:
    early, late = Entry(value="a", valid_to=date(2000, 1, 1)), Entry(value="b", valid_from=date(2000, 1, 2))

    assert not early.meets(late)
    assert not late.meets(early)
    assert early.meets(early)


def test_all_mistakes_of_a_code_list_are_told_at_once(project: Project) -> None:
    assert project.entries("""\
  A: {value: x, valid_from: 2020-02-30}
  B: {value: x, valid_from: 20200101, valid_until: 2020-12-31}
  C: {value: x, valid_from: 2021-01-01, valid_to: 2020-12-31}
  D: 5
  E: []
  F: {valid_from: 2020-01-01}
  A: again
  G: [{value: x}, {value: z}]
  H: true
  I: {value: x, valid_from: 2020-01-01, valid_to: }
  J: 0x10
  K:
    - {value: x, valid_to: 2020-01-01}
    - z
""") == [
        "4:29 M02 '2020-02-30' is not a day; write \"2026-01-31\"",
        "5:29 M02 '20200101' is not a day; write \"2026-01-31\"",
        "5:39 M01 unknown key 'valid_until'; one of: value, valid_from, valid_to. Did you mean 'valid_to'?",
        "6:3 M02 valid_from is after valid_to",
        '7:6 M02 5 is no counterpart; a text in quotes: "5"',
        "8:3 M02 'E' has no items; at least 1 item",
        "9:3 M02 'value' is missing; write value: active",
        "10:3 M03 key 'A' stands twice, first in line 4; keep one of them",
        "11:3 M20 two counterparts on one day: 'x' and 'z'",
        '12:6 M02 true is no counterpart; a text in quotes: "true"',
        "13:41 M02 'valid_to' is empty; write null where null is meant; else its value, or leave it out",
        '14:6 M06 `0x10` can be read in two ways; quote this value: "0x10"',
        "17:7 M02 item 2 of 'K' is 'z'; a mapping",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ["1:1 M12 the file is empty"]),
        ("entries: {A: a}\n", ["1:1 M02 'description' is missing", "1:1 M02 'version' is missing"]),
        (HEAD, ["1:1 M02 'entries' is missing"]),
        (HEAD + "entries: {}\n", ["3:1 M02 'entries' has no items; at least 1 item"]),
        (HEAD + "entries:\n", ["3:1 M02 'entries' is empty; a mapping"]),
        (HEAD + "entries: [A, B]\n", ["3:1 M02 'entries' is a list; a mapping"]),
        (HEAD + "entrys: {A: a}\n", ["3:1 M01 unknown key 'entrys'"]),
        (HEAD + "entries: {A: a}\nsource: 5\n", ["4:9 M02 'source' is 5; text; put it in quotes"]),
        ("version: 1.0\ndescription: short\nentries: {A: a}\n", ["1:10 M02", "2:14 M02 'short' tells a reader too little"]),
        (HEAD + "entries: {A: {value: a, valid_from: {}}}\n", ["3:25 M02"]),
        (HEAD + "entries: &x {A: a}\n", ["3:10 M10 an anchor"]),
        (HEAD + 'entries: {A: "a\\u0000"}\n', ["3:"]),
        (HEAD + "entries: {A: '{{ ds }}'}\n", ["3:14 M16 Jinja is not rendered here"]),
    ],
)  # fmt: skip
def test_a_code_list_is_told_what_it_lacks(project: Project, text: str, told: list[str]) -> None:
    said = project.told("code_lists", text)

    assert len(said) == len(told), said
    assert all(found.startswith(begin) for found, begin in zip(said, told, strict=True)), said


@pytest.mark.parametrize("day", ["2020-02-30", "2020-1-1", "20200101", "2020-W01-1", "2020-001", "2020-01-01T00:00:00", "01/02/2020", "2020", "2020-01", "today", "0000-01-01",
                                 "10000-01-01", "-2020-01-01", "２０２０-01-01", "infinity", " 2020-01-01", "true", "[]"])  # fmt: skip
def test_a_day_has_one_spelling(project: Project, day: str) -> None:
    quoted = day if day in ("2020", "true", "[]") else f'"{day}"'

    (of_list,) = project.entries(f"  A: {{value: x, valid_from: {quoted}}}\n")
    told = project.told("calendars", YEAR + f"holidays: {{{quoted if day != '[]' else 'x'}: a name}}\n")

    assert of_list.startswith("4:")
    assert "is not a day" in of_list
    assert len(told) == 1
    assert told[0].startswith("5:12 M02")


def test_a_day_may_stand_in_quotes_or_without(project: Project) -> None:
    assert project.entries('  A: {value: x, valid_from: 2020-01-01, valid_to: "2020-12-31"}\n') == []
    assert project.told("calendars", YEAR + 'holidays: {2026-12-25: one, "2026-12-26": other}\n') == []


# -- calendars ------------------------------------------------------------------------------------------------


def test_a_calendar_knows_its_days(project: Project) -> None:
    project.write("calendars", YEAR + "weekend: [friday]\nholidays:\n  2026-01-01: New Year\n  2026-12-31: Last\n")

    found = ProjectReferences(project.root).calendar("tried")

    assert (found.weekend, found.holidays) == (("friday",), {date(2026, 1, 1): "New Year", date(2026, 12, 31): "Last"})
    assert ProjectReferences(ROOT).calendar("england").weekend == ("saturday", "sunday")


def test_all_mistakes_of_a_calendar_are_told_at_once(project: Project) -> None:
    said = project.told("calendars", YEAR + """\
weekend: [saturday, sundy]
holidays:
  2026-12-25: Christmas
  2027-01-01: Outside
  2025-12-31: Outside too
  2026-02-30: No day
  2026-12-25: Again
  2026-12-26:
  2026-12-27: 5
holiday: {}
""")  # fmt: skip

    assert said == [
        "5:21 M02 item 2 of 'weekend' is 'sundy'; one of: monday, tuesday, wednesday, thursday, friday, saturday, sunday. Did you mean 'sunday'?",
        "8:3 M02 holiday 2027-01-01 is outside first_day to last_day",
        "9:3 M02 holiday 2025-12-31 is outside first_day to last_day",
        "10:3 M02 '2026-02-30' is not a day; write \"2026-01-31\"",
        "11:3 M03 key '2026-12-25' stands twice, first in line 7; keep one of them",
        "12:3 M02 '2026-12-26' is empty; text",
        "13:15 M02 '2026-12-27' is 5; text; put it in quotes",
        "14:1 M01 unknown key 'holiday'; one of: version, description, source, weekend, first_day, last_day, holidays. Did you mean 'holidays'?",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HEAD + "first_day: 2026-12-31\nlast_day: 2026-01-01\n", ["4:11 M02 first_day is not before last_day"]),
        (HEAD + "first_day: 2026-01-01\nlast_day: 2026-01-01\n", ["4:11 M02 first_day is not before last_day"]),
        (HEAD + "first_day: 2026-01-01\n", ["1:1 M02 'last_day' is missing"]),
        # What the days of a calendar are is not known: whether a holiday is outside of them neither.
        (HEAD + "last_day: 2026-12-31\nholidays: {2030-01-01: x}\n", ["1:1 M02 'first_day' is missing", "4:12 M02 holiday 2030-01-01 is outside"]),
        (HEAD + "first_day: 2026-1-1\nlast_day: 2026-12-31\nholidays: {1930-01-01: x}\n", ["3:12 M02 '2026-1-1' is not a day"]),
        (YEAR + "weekend: [monday, tuesday, wednesday, thursday, friday, saturday, sunday]\n", ["5:1 M02 a calendar needs a working day in the week"]),
        (YEAR + "weekend: saturday\n", ["5:10 M02 'weekend' is 'saturday'; a list"]),
        (YEAR + "weekend: [Saturday]\n", ["5:11 M02 item 1 of 'weekend' is 'Saturday'"]),
        (YEAR + "weekend:\n", ["5:1 M02 'weekend' is empty"]),
        (YEAR + "holidays:\n", ["5:1 M02 'holidays' is empty"]),
        (YEAR + "holidays: [2026-01-01]\n", ["5:1 M02 'holidays' is a list; a mapping"]),
    ],
)  # fmt: skip
def test_a_calendar_is_told_what_it_lacks(project: Project, text: str, told: list[str]) -> None:
    said = project.told("calendars", text)

    assert len(said) == len(told), said
    assert all(found.startswith(begin) for found, begin in zip(said, told, strict=True)), said


def test_nobody_has_to_rest(project: Project) -> None:
    assert project.told("calendars", YEAR + "weekend: []\nholidays: {}\n") == []


# -- names ----------------------------------------------------------------------------------------------------


def refusal(references: ProjectReferences, kind: str, name: str) -> str:
    with pytest.raises(PydanticCustomError) as refused:
        getattr(references, kind)(name)
    assert refused.value.type == "M17"
    return refused.value.message()


def test_a_name_that_is_not_there_is_told_with_the_nearest_one(project: Project) -> None:
    for folder, kind in (("code_lists", "code_list"), ("calendars", "calendar")):
        project.write(folder, "", name="worker_status")
        references = ProjectReferences(project.root)

        assert refusal(references, kind, "worker_state") == (
            f"include/{folder}/worker_state.yaml does not exist. Did you mean 'worker_status'?"
        )
        assert refusal(references, kind, "zzz") == f"include/{folder}/zzz.yaml does not exist"
        assert (
            refusal(references, kind, "worker_status") == f"include/{folder}/worker_status.yaml has mistakes of its own"
        )


@pytest.mark.parametrize(
    "name", ["", "../secret", "a/b", "Tried", "tried.yaml", "tried\n", "t" * 64, "é", "/etc/passwd", "\0"]
)
def test_a_name_leads_to_no_other_file(project: Project, name: str) -> None:
    project.write("code_lists", HEAD + "entries: {A: a}\n")
    (project.root / "include" / "secret.yaml").write_text(HEAD + "entries: {A: a}\n")

    assert "does not exist" in refusal(ProjectReferences(project.root), "code_list", name)


def test_a_link_that_leads_out_is_not_followed(project: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "list.yaml"
    elsewhere.write_text(HEAD + "entries: {A: a}\n")
    (project.root / "include" / "code_lists" / "linked.yaml").symlink_to(elsewhere)

    assert "does not exist" in refusal(ProjectReferences(project.root), "code_list", "linked")


def test_a_calendar_is_no_code_list(project: Project) -> None:
    project.write("code_lists", YEAR, name="england")

    assert "mistakes of its own" in refusal(ProjectReferences(project.root), "code_list", "england")


def test_a_job_stands_on_what_its_lists_say(project: Project) -> None:
    """What was used is remembered as it is written, and read again when the file has changed."""
    project.write("code_lists", HEAD + "entries: {A: a}\n")
    project.write("calendars", YEAR)
    project.write("calendars", YEAR, name="unused")
    references = ProjectReferences(project.root)
    assert (references.code_list("tried").values, references.calendar("tried").last_day) == ({"a"}, date(2026, 12, 31))

    project.write("code_lists", HEAD + "entries: {A: b}\n")

    assert references.used.keys() == {"include/code_lists/tried.yaml", "include/calendars/tried.yaml"}
    assert references.used["include/code_lists/tried.yaml"]["entries"] == {"A": "a"}
    assert ProjectReferences(project.root).code_list("tried").values == {"b"}


@pytest.mark.parametrize("folder", ["code_lists", "calendars"])
def test_the_files_of_the_project_say_whose_they_are(folder: str) -> None:
    for path in sorted((ROOT / "include" / folder).glob("*.yaml")):
        model, _, findings = examine_reference(ROOT, folder, path.stem)
        assert findings == []
        assert isinstance(model, CodeList | Calendar)
        assert model.source, f"{path.name}: say who publishes it"
