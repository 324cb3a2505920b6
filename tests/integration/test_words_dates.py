"""Words on dates, time stamps and business calendars against Python's datetime, zoneinfo and calendar."""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from syncline.core.cron import zones
from syncline.core.mapping import Mapping
from syncline.core.reference_files import ProjectReferences
from syncline.core.transforms.dates import ABBREVIATIONS, FormatName, date_format, month_names
from tests.conftest import ROOT
from tests.integration.mapping_engine import Engine

MANY = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FEW = settings(MANY, max_examples=15)
DATES = st.dates()
FORMATS: tuple[str, ...] = FormatName.__args__
LANGUAGES = ["english", "german", "french", "spanish", "italian", "dutch", "portuguese"]


def one(engine: Engine, kind: str, to: str, steps: list[Any], values: list[Any]) -> list[tuple[Any, list[str]]]:
    return engine.values(kind, {"type": to, "steps": steps, "pii": "none"}, values)


def refused(kind: str, to: str, step: Any, **others: str) -> str:
    """Why a mapping with the step is refused."""
    document = {"version": "1.0.0", "source": {"a": kind, **others},
                "fields": {"x": {"from": "a", "type": to, "steps": [step], "pii": "none"},
                           **{name: {"from": name, "type": t, "pii": "none"} for name, t in others.items()}}}  # fmt: skip
    try:
        return " ".join(
            fault[2] for fault in Mapping.model_validate(document, context=ProjectReferences(ROOT)).faults()
        )
    except ValidationError as error:
        return str(error)


# -- formats --------------------------------------------------------------------------------------------------


def spelt(day: date, name: str, language: str | None = None) -> str:
    """A date in a named format, said by Python."""
    text = "yyyy-mm-dd" if name == "iso" else name
    parts = {"yyyy": f"{day.year:04}", "yy": f"{day.year % 100:02}", "mm": f"{day.month:02}", "dd": f"{day.day:02}",
             "d": str(day.day), "m": str(day.month)}  # fmt: skip
    for style in ("month", "mon"):
        if language and 1 <= day.month <= 12:
            parts[style] = month_names(language, style)[day.month - 1]
    out, rest = "", text
    while rest:
        token = next((t for t in ("yyyy", "month", "mon", "yy", "mm", "dd", "m", "d") if rest.startswith(t)), None)
        out, rest = (out + parts[token], rest[len(token) :]) if token else (out + rest[0], rest[1:])
    return out


def step_of(word: str, name: str, language: str, pivot: int | None = None) -> dict[str, Any]:
    form = date_format(name)
    given_ = {"format": name} | ({"language": language} if form.named else {})
    return {word: given_ | ({"pivot": pivot} if pivot and form.is_short_year else {})}


@pytest.mark.parametrize("name", FORMATS)
@MANY
@given(days=st.lists(DATES, min_size=1, max_size=20), language=st.sampled_from(LANGUAGES), pivot=st.integers(1, 9900))
def test_a_date_is_read_and_written_in_every_format(
    engine: Engine, name: str, days: list[date], language: str, pivot: int
) -> None:
    if date_format(name).is_short_year:
        days = [day for day in days if pivot <= day.year < pivot + 100] or [
            date(pivot, 2, 28),
            date(pivot + 99, 12, 31),
        ]
    texts = [spelt(day, name, language) for day in days]

    read = one(engine, "text", "date", [step_of("parse_date", name, language, pivot)], texts)
    written = one(engine, "date", "text", [step_of("format_date", name, language)], [str(day) for day in days])

    assert read == [(str(day), []) for day in days]
    assert written == [(text, []) for text in texts]


@pytest.mark.parametrize("name", FORMATS)
@FEW
@given(parts=st.lists(st.tuples(st.integers(0, 9999), st.integers(0, 13), st.integers(0, 32)), min_size=1, max_size=20))
def test_a_day_that_no_calendar_has_is_refused(engine: Engine, name: str, parts: list[tuple[int, int, int]]) -> None:
    class Any_:  # what `spelt` needs of a date, without being one
        def __init__(self, year: int, month: int, day: int) -> None:
            self.year, self.month, self.day = year, month, day

    if date_format(name).named:
        parts = [(year, month or 1, day) for year, month, day in parts if month < 13] or [(2026, 2, 30)]
    texts = [spelt(Any_(*part), name, "english") for part in parts]  # type: ignore[arg-type]

    read = one(engine, "text", "date", [step_of("parse_date", name, "english", 1950)], texts)

    for (year, month, day), (value, codes) in zip(parts, read, strict=True):
        whole = year if not date_format(name).is_short_year else (1900 if year % 100 >= 50 else 2000) + year % 100
        try:
            expected = (date(whole, month, day).isoformat(), [])
        except ValueError:
            expected = (None, ["parse_date"])
        assert (value, codes) == expected


@pytest.mark.parametrize(
    ("step", "text", "day"),
    [
        ({"format": "dd-mon-yyyy", "language": "english"}, "31-JAN-2026", "2026-01-31"),  # as Oracle writes it
        ({"format": "dd-mon-yyyy", "language": "english"}, "30-Sept-2026", "2026-09-30"),
        ({"format": "dd-mon-yyyy", "language": "english"}, "31-Mai-2026", None),
        ({"format": "dd-mon-yyyy", "language": "german"}, "31-MÄR-2026", "2026-03-31"),
        ({"format": "dd-mon-yyyy", "language": "german"}, "31-Mrz-2026", "2026-03-31"),
        ({"format": "dd mon yyyy", "language": "french"}, "01 déc. 2026", "2026-12-01"),
        ({"format": "dd month yyyy", "language": "french"}, "01 AOÛT 2026", "2026-08-01"),
        ({"format": "mon dd, yyyy", "language": "english"}, "Jan 01, 2026", "2026-01-01"),
        ({"format": "mon dd, yyyy", "language": "english"}, "Jan 01 2026", None),
        ({"format": "month d, yyyy", "language": "english"}, "May 5, 2026", "2026-05-05"),
        ({"format": "d.m.yyyy"}, "05.5.2026", "2026-05-05"),
        ({"format": "d.m.yyyy"}, "005.5.2026", None),
        ({"format": "d/m/yyyy"}, "5-5-2026", None),
        ({"format": "dd.mm.yy", "pivot": 1950}, "31.12.49", "2049-12-31"),
        ({"format": "dd.mm.yy", "pivot": 1950}, "01.01.50", "1950-01-01"),
        ({"format": "yymmdd", "pivot": 2000}, "000229", "2000-02-29"),
        ({"format": "yymmdd", "pivot": 1901}, "000229", "2000-02-29"),
        ({"format": "yymmdd", "pivot": 1900}, "000229", None),
        ({"format": "yyyy/mm/dd"}, "2026/01/31\n", None),
        ({"format": "dd/mm/yyyy"}, "٣١/٠١/٢٠٢٦", None),
    ],
)
def test_spellings_of_days(engine: Engine, step: dict[str, Any], text: str, day: str | None) -> None:
    assert one(engine, "text", "date", [{"parse_date": step}], [text]) == [(day, [] if day else ["parse_date"])]


@pytest.mark.parametrize(
    "step",
    [{"parse_date": "dd/mm/yy"}, {"parse_date": "dd-mon-yyyy"}, {"parse_date": {"format": "iso", "pivot": 1950}},
     {"parse_date": {"format": "iso", "language": "german"}}, {"parse_date": {"format": "dd.mm.yy", "pivot": 0}},
     {"parse_date": {"format": "dd mon yyyy", "language": "klingon"}}, {"parse_date": "yyyy-dd-mm"}],
)  # fmt: skip
def test_what_is_ambiguous_is_refused_until_it_is_said(step: Any) -> None:
    assert refused("text", "date", step) != ""


OUTSIDE = ["infinity", "-infinity", "0044-03-15 BC", "4714-11-24 BC", "10000-01-01", "5874897-12-31"]
ON_DATES: list[tuple[Any, str]] = [
    ({"format_date": "iso"}, "text"), ("start_of_month", "date"), ("end_of_month", "date"), ({"add_days": 1}, "date"),
    ({"add_days": -1_700_000}, "date"), ({"add_months": {"months": 48_000, "end": "clamp"}}, "date"), ("start_of_day", "timestamp"),
    ({"add_months": {"months": -48_000, "end": "last_day"}}, "date"), ({"next_working_day": "england"}, "date"),
]  # fmt: skip


@pytest.mark.parametrize(("step", "to"), ON_DATES)
def test_V10_what_lies_outside_the_years_1_to_9999_is_refused(engine: Engine, step: Any, to: str) -> None:
    word = step if isinstance(step, str) else next(iter(step))

    assert one(engine, "date", to, [step], [*OUTSIDE, None]) == [(None, [word])] * len(OUTSIDE) + [(None, [])]


# -- reckoning ------------------------------------------------------------------------------------------------


def shifted(day: date, months: int, end: str) -> date | None:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    if not 1 <= year <= 9999:
        return None
    last = calendar.monthrange(year, month + 1)[1]
    was_last = day.day == calendar.monthrange(day.year, day.month)[1]
    if end == "reject" and day.day > last:
        return None
    return date(year, month + 1, last if end == "last_day" and was_last else min(day.day, last))


@pytest.mark.parametrize("end", ["clamp", "last_day", "reject"])
@MANY
@given(days=st.lists(DATES | st.sampled_from([date(2024, 1, 31), date(2023, 2, 28), date(2024, 2, 29), date(1, 1, 1), date(9999, 12, 31)]),
                     min_size=1, max_size=15),
       months=st.integers(-30, 30) | st.integers(-48_000, 48_000))  # fmt: skip
def test_months_are_added_by_the_declared_rule(engine: Engine, end: str, days: list[date], months: int) -> None:
    expected = [(str(found), []) if (found := shifted(day, months, end)) else (None, ["add_months"]) for day in days]
    texts = [str(day) for day in days]

    assert one(engine, "date", "date", [{"add_months": {"months": months, "end": end}}], texts) == expected
    fields = {"x": {"from": "a", "type": "date", "steps": [{"add_months": {"months_from": "n", "end": end}}], "pii": "none"},
              "n": {"from": "n", "type": "integer"}}  # fmt: skip
    rows = engine.rows({"a": "date", "n": "integer"}, fields, [{"a": text, "n": months} for text in texts])
    assert [row.values["x"] for row in rows] == [value for value, _ in expected]


@MANY
@given(days=st.lists(DATES, min_size=1, max_size=15), n=st.integers(-100, 100) | st.integers(-1_700_000, 1_700_000))
def test_days_are_added(engine: Engine, days: list[date], n: int) -> None:
    def later(day: date) -> tuple[str | None, list[str]]:
        try:
            return str(day + timedelta(days=n)), []
        except OverflowError:
            return None, ["add_days"]

    assert one(engine, "date", "date", [{"add_days": n}], [str(day) for day in days]) == [later(day) for day in days]


@pytest.mark.parametrize("n", [None, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63), 1_700_001])
def test_a_number_of_days_that_no_date_can_bear_is_an_error_of_the_row(engine: Engine, n: int | None) -> None:
    for word, more in (("add_days", {"days_from": "n"}), ("add_months", {"months_from": "n", "end": "clamp"})):
        fields = {"x": {"from": "a", "type": "date", "steps": [{word: more}]}, "n": {"from": "n", "type": "bigint"}}
        (row,) = engine.rows({"a": "date", "n": "bigint"}, fields, [{"a": "2026-01-31", "n": n}])
        assert (row.values["x"], row.errors) == (None, [f"x:{word}"])


@MANY
@given(days=st.lists(DATES, min_size=1, max_size=20))
def test_a_month_begins_and_ends(engine: Engine, days: list[date]) -> None:
    texts = [str(day) for day in days]

    assert one(engine, "date", "date", ["start_of_month"], texts) == [(str(day.replace(day=1)), []) for day in days]
    assert one(engine, "date", "date", ["end_of_month"], texts) == [
        (str(day.replace(day=calendar.monthrange(day.year, day.month)[1])), []) for day in days
    ]
    assert one(engine, "date", "timestamp", ["start_of_day"], texts) == [(f"{day}T00:00:00", []) for day in days]
    assert one(engine, "timestamp", "date", ["to_date"], [f"{day} 23:59:59.999999" for day in days]) == [
        (str(day), []) for day in days
    ]


@pytest.mark.parametrize(
    "step", [{"add_days": {}}, {"add_days": {"days": 1, "days_from": "n"}}, {"add_days": 2_000_000}, {"add_months": {"months": 1}},
             {"add_days": {"days_from": "a"}}, {"add_days": {"days_from": "nobody"}}]
)  # fmt: skip
def test_what_is_added_is_said_once(step: Any) -> None:
    assert refused("date", "date", step, n="integer") != ""


# -- calendars ------------------------------------------------------------------------------------------------


@cache
def closed(name: str) -> tuple[date, date, set[date]]:
    """A calendar, read without the code under test: first and last day, and the days on which nobody works."""
    said = yaml.safe_load((ROOT / "include" / "calendars" / f"{name}.yaml").read_text())
    first, last = said["first_day"], said["last_day"]
    every = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return first, last, {day for day in every if day.strftime("%A").lower() in said["weekend"]} | set(said["holidays"])


def nth(day: date, n: int, step: int, name: str) -> date | None:
    first, last, free = closed(name)
    if not first <= day <= last:
        return None
    while n:
        day += timedelta(days=step)
        if not first <= day <= last:
            return None
        n -= day not in free
    return day


def rolled(day: date, roll: str, name: str) -> date | None:
    first, last, free = closed(name)
    if not first <= day <= last:
        return None
    step = 1 if "following" in roll else -1
    found = day if day not in free else nth(day, 1, step, name)
    if "modified" in roll and found and found.month != day.month:
        found = nth(day, 1, -step, name)
    return found


NEAR_HOLIDAYS = st.one_of(
    st.dates(date(2004, 12, 1), date(2036, 1, 31)),
    st.builds(lambda year, n: date(year, 12, 20) + timedelta(days=n), st.integers(2004, 2035), st.integers(0, 16)),
    st.sampled_from([date(2026, 4, 2), date(2026, 4, 3), date(2026, 4, 6), date(2005, 1, 1), date(2035, 12, 31), date(2026, 5, 30)]),
)  # fmt: skip


@pytest.mark.parametrize("name", ["england", "target2", "united_states"])
@FEW
@given(days=st.lists(NEAR_HOLIDAYS, min_size=5, max_size=15), skip=st.integers(0, 12))
def test_working_days(engine: Engine, name: str, days: list[date], skip: int) -> None:
    texts = [str(day) for day in days]
    for word, step in (("next_working_day", 1), ("previous_working_day", -1)):
        expected = [nth(day, skip + 1, step, name) for day in days]
        mapped = one(engine, "date", "date", [{word: {"calendar": name, "skip": skip}}], texts)
        assert mapped == [(str(day), []) if day else (None, [word]) for day in expected]
    for roll in ("following", "modified_following", "preceding", "modified_preceding"):
        expected = [rolled(day, roll, name) for day in days]
        mapped = one(engine, "date", "date", [{"working_day": {"calendar": name, "roll": roll}}], texts)
        assert mapped == [(str(day), []) if day else (None, ["working_day"]) for day in expected]


@pytest.mark.parametrize(
    ("step", "day", "worked"),
    [
        ({"next_working_day": "england"}, "2026-04-02", "2026-04-07"),  # Maundy Thursday, then Easter
        ({"next_working_day": {"calendar": "target2", "skip": 1}}, "2026-07-24", "2026-07-28"),  # Friday, T+2
        ({"previous_working_day": "germany"}, "2026-01-01", "2025-12-31"),
        ({"working_day": {"calendar": "england", "roll": "modified_following"}}, "2026-05-31", "2026-05-29"),
        ({"working_day": {"calendar": "england", "roll": "following"}}, "2026-05-31", "2026-06-01"),
        ({"working_day": {"calendar": "united_states", "roll": "preceding"}}, "2026-07-04", "2026-07-02"),
        ({"working_day": {"calendar": "france", "roll": "following"}}, "2026-07-14", "2026-07-15"),
        ({"next_working_day": "england"}, "2035-12-31", None),  # what comes then, nobody knows yet
    ],
)
def test_days_that_people_know(engine: Engine, step: Any, day: str, worked: str | None) -> None:
    ((value, codes),) = one(engine, "date", "date", [step], [day])

    assert (value, codes) == (worked, [] if worked else [next(iter(step))])


def test_a_calendar_that_does_not_exist_is_told_with_the_nearest() -> None:
    assert "Did you mean 'england'" in refused("date", "date", {"next_working_day": "englnd"})
    assert "M17" in refused("date", "date", {"next_working_day": "englnd"}) or "does not exist" in refused("date", "date", {"next_working_day": "englnd"})  # fmt: skip


# -- zones ----------------------------------------------------------------------------------------------------

ZONES = ["Europe/London", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "America/St_Johns", "Africa/Casablanca",
         "Antarctica/Troll", "Asia/Tehran", "America/Havana", "Europe/Dublin", "Pacific/Kiritimati", "UTC"]  # fmt: skip


@cache
def transitions(zone: str, first: int = 1970, last: int = 2037) -> list[datetime]:
    """Instants at which the zone's offset changes, to the second."""
    info, found = ZoneInfo(zone), []
    at, end = datetime(first, 1, 1, tzinfo=UTC), datetime(last, 12, 31, tzinfo=UTC)
    while at < end:
        after = at + timedelta(days=5)
        if at.astimezone(info).utcoffset() != after.astimezone(info).utcoffset():
            low, high = at, after
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) // 2
                middle = middle.replace(microsecond=0)
                same = middle.astimezone(info).utcoffset() == low.astimezone(info).utcoffset()
                low, high = (middle, high) if same else (low, middle)
            found.append(high)
        at = after
    return found


def walls_around(zone: str) -> list[datetime]:
    """What the zone's clock shows, would show or shows twice near every change of its offset."""
    info, walls = ZoneInfo(zone), set()
    for at in transitions(zone):
        before = at - timedelta(seconds=1)
        for base in (at.astimezone(info).replace(tzinfo=None), before.astimezone(info).replace(tzinfo=None)):
            walls |= {base + timedelta(minutes=n) for n in (-1500, -90, -61, -30, -1, 0, 1, 15, 29, 59, 61, 719, 1500)}
    return sorted(wall.replace(microsecond=0) for wall in walls)


def resolved(wall: datetime, zone: str, gap: str, overlap: str) -> datetime | None:
    """PEP 495: fold 0 is the offset of before, fold 1 that of after; a reading is right if it reads back."""
    readings = [wall.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1)]
    right = [at for at in readings if at.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == wall]
    if len(right) == 2 and readings[0] != readings[1]:
        return {"reject": None, "first": readings[0], "second": readings[1]}[overlap]
    if right:
        return right[0]
    return {"reject": None, "forward": readings[0], "backward": readings[1]}[gap]


@pytest.mark.parametrize("zone", ZONES)
def test_a_gap_and_an_overlap_are_what_the_mapping_says(engine: Engine, zone: str) -> None:
    walls = walls_around(zone) or [datetime(2026, 1, 1, 12)]
    for gap, overlap in (("reject", "reject"), ("forward", "first"), ("backward", "second")):
        mapped = one(
            engine,
            "timestamp",
            "timestamptz",
            [{"in_zone": {"zone": zone, "gap": gap, "overlap": overlap}}],
            [str(w) for w in walls],
        )
        for wall, (value, codes) in zip(walls, mapped, strict=True):
            expected = resolved(wall, zone, gap, overlap)
            assert codes == ([] if expected else ["in_zone"]), (wall, gap, overlap)
            assert (value and datetime.fromisoformat(value)) == expected, (wall, gap, overlap)


@pytest.mark.parametrize("year", [2005, 2024])
def test_every_zone_of_the_world_reads_its_clock_back(engine: Engine, year: int) -> None:
    """One statement with a column per zone: no server lacks a zone that a mapping may name."""
    names = sorted(zones() & available_timezones() - ABBREVIATIONS)
    fields = {
        f"z{n}": {"from": "a", "type": "timestamptz", "steps": [{"in_zone": zone}]} for n, zone in enumerate(names)
    }
    walls = [datetime(year, month, 15, 12) for month in (1, 7)]

    for chunk in range(0, len(names), 300):
        some = dict(list(fields.items())[chunk : chunk + 300])
        for wall, row in zip(
            walls, engine.rows({"a": "timestamp"}, some, [{"a": str(wall)} for wall in walls]), strict=True
        ):
            for n in range(chunk, min(chunk + 300, len(names))):
                offset = wall.replace(tzinfo=ZoneInfo(names[n])).utcoffset() or timedelta()
                assert datetime.fromisoformat(row.values[f"z{n}"]) == (wall - offset).replace(tzinfo=UTC), names[n]


@pytest.mark.parametrize(
    ("zone", "wall", "gap", "overlap", "instant"),
    [
        ("Europe/London", "2026-03-29 01:30:00", "reject", "reject", None),
        ("Europe/London", "2026-03-29 01:30:00", "forward", "reject", "2026-03-29T01:30:00+00:00"),
        ("Europe/London", "2026-03-29 01:30:00", "backward", "reject", "2026-03-29T00:30:00+00:00"),
        ("Europe/London", "2026-10-25 01:30:00", "forward", "reject", None),
        ("Europe/London", "2026-10-25 01:30:00", "reject", "first", "2026-10-25T00:30:00+00:00"),
        ("Europe/London", "2026-10-25 01:30:00", "reject", "second", "2026-10-25T01:30:00+00:00"),
        ("Australia/Lord_Howe", "2026-04-05 01:45:00", "reject", "reject", None),  # half an hour twice
        ("Australia/Lord_Howe", "2026-10-04 02:15:00", "forward", "reject", "2026-10-03T15:45:00+00:00"),
        ("Pacific/Apia", "2011-12-30 12:00:00", "reject", "reject", None),  # a day that never was
        ("Pacific/Apia", "2011-12-30 12:00:00", "forward", "reject", "2011-12-30T22:00:00+00:00"),
    ],
)
def test_clocks_that_people_know(
    engine: Engine, zone: str, wall: str, gap: str, overlap: str, instant: str | None
) -> None:
    step = {"zone": zone, "gap": gap, "overlap": overlap}

    assert one(engine, "timestamp", "timestamptz", [{"in_zone": step}], [wall]) == [
        (instant, [] if instant else ["in_zone"])
    ]
    assert one(engine, "text", "timestamptz", [{"parse_timestamp": step}], [wall]) == [
        (instant, [] if instant else ["parse_timestamp"])
    ]


INSTANTS = st.datetimes(datetime(1935, 1, 1), datetime(2037, 12, 31), timezones=st.just(UTC))
TIMES_OUTSIDE = [
    "infinity",
    "-infinity",
    "4714-11-24 00:00:00+00 BC",
    "294276-12-31 23:59:59.999999+00",
    "10000-01-01 00:00:00+00",
]


@pytest.mark.parametrize("zone", ZONES[:6])
@MANY
@given(instants=st.lists(INSTANTS, min_size=1, max_size=15))
def test_an_instant_on_the_clock_of_a_place(engine: Engine, zone: str, instants: list[datetime]) -> None:
    info = ZoneInfo(zone)
    instants = [at for at in instants if (at.astimezone(info).utcoffset() or timedelta()).seconds % 60 == 0]
    texts = [at.isoformat() for at in instants]

    local = one(engine, "timestamptz", "timestamp", [{"local_time": zone}], texts)
    written = one(engine, "timestamptz", "text", [{"format_timestamp": {"zone": zone, "digits": 6}}], texts)
    hours = one(engine, "timestamptz", "timestamptz", [{"truncate_to": {"unit": "hour", "zone": zone}}], texts)
    days = one(engine, "timestamptz", "timestamptz", [{"truncate_to": {"unit": "day", "zone": zone}}], texts)

    for n, at in enumerate(instants):
        wall = at.astimezone(info)
        assert datetime.fromisoformat(local[n][0]) == wall.replace(tzinfo=None)
        suffix = "Z" if zone == "UTC" else wall.isoformat(timespec="microseconds")[26:]
        assert written[n] == (wall.isoformat(timespec="microseconds")[:26] + suffix, [])
        hour = at - timedelta(minutes=wall.minute, seconds=wall.second, microseconds=wall.microsecond)
        assert datetime.fromisoformat(hours[n][0]) == hour
        began = resolved(datetime.combine(wall.date(), datetime.min.time()), zone, "forward", "first")
        assert datetime.fromisoformat(days[n][0]) == began
        assert began is not None and began <= at  # noqa: PT018


@pytest.mark.parametrize(
    ("step", "to"),
    [({"local_time": "Europe/London"}, "timestamp"), ({"truncate_to": "second"}, "timestamptz"), ({"to_epoch": "seconds"}, "numeric"),
     ({"truncate_to": {"unit": "day", "zone": "Asia/Tokyo"}}, "timestamptz"), ({"format_timestamp": {"zone": "UTC"}}, "text"),
     ({"format_timestamp": {"zone": "Asia/Tokyo", "digits": 6}}, "text")],
)  # fmt: skip
def test_V10_instants_outside_the_years_1_to_9999_are_refused(engine: Engine, step: Any, to: str) -> None:
    mapped = one(engine, "timestamptz", to, [step], [*TIMES_OUTSIDE, None])

    assert mapped == [(None, [next(iter(step))])] * len(TIMES_OUTSIDE) + [(None, [])]


# -- reading and writing time stamps --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "in_text", "none"),
    [
        ("2026-01-31T09:30:00Z", "2026-01-31T09:30:00+00:00", None),
        ("2026-01-31 09:30:00+01:00", "2026-01-31T08:30:00+00:00", None),
        ("2026-01-31T09:30:00.5-0330", "2026-01-31T13:00:00.5+00:00", None),
        ("2026-01-31T09:30+01", "2026-01-31T08:30:00+00:00", None),
        ("2026-01-31T09:30:00", None, "2026-01-31T09:30:00"),
        ("2026-01-31 09:30", None, "2026-01-31T09:30:00"),
        ("2026-01-31 09:30:00.123456", None, "2026-01-31T09:30:00.123456"),
        ("2026-01-31 09:30:00.1234567", None, None),  # V13: PostgreSQL would round it
        ("2026-01-31", None, None), ("2026-01-31T24:00:00", None, None), ("2026-01-31T23:59:60", None, None),
        ("2026-02-30T00:00:00Z", None, None), ("2026-01-31T09:30:00+15:00", None, None), ("2026-01-31T9:30:00Z", None, None),
        ("2026-01-31T09:30:00 Europe/London", None, None), ("now", None, None), ("2026-01-31T09:30:00Z\n", None, None),
        ("0000-01-01T00:00:00", None, None), ("2026-01-31T09:30:00 BC", None, None), ("", None, None), ("2026-01-31  09:30", None, None),
        ("2024-02-29T23:59:59.999999Z", "2024-02-29T23:59:59.999999+00:00", None),
    ],
)  # fmt: skip
def test_a_time_stamp_is_read_in_its_declared_spelling(
    engine: Engine, text: str, in_text: str | None, none: str | None
) -> None:
    with_zone = one(engine, "text", "timestamptz", [{"parse_timestamp": {"zone": "in_text"}}], [text])
    without = one(engine, "text", "timestamp", [{"parse_timestamp": {"zone": "none"}}], [text])

    assert with_zone == [(in_text, [] if in_text else ["parse_timestamp"])]
    assert without == [(none, [] if none else ["parse_timestamp"])]


@pytest.mark.parametrize(
    ("text", "cut"),
    [("2026-01-31 09:30:00.1234567", "2026-01-31T09:30:00.123456"), ("2026-01-31 09:30:00.9999999", "2026-01-31T09:30:00.999999"),
     ("2026-01-31 09:30:00.12345678901234567890", "2026-01-31T09:30:00.123456"), ("2026-01-31 09:30:00.5", "2026-01-31T09:30:00.5"),
     ("2026-01-31 09:30:00." + "1" * 31, None)],
)  # fmt: skip
def test_V13_a_fraction_is_cut_where_that_is_declared(engine: Engine, text: str, cut: str | None) -> None:
    mapped = one(engine, "text", "timestamp", [{"parse_timestamp": {"zone": "none", "fraction": "truncate"}}], [text])

    assert mapped == [(cut, [] if cut else ["parse_timestamp"])]


def test_a_fraction_is_cut_whatever_the_session_takes_a_backslash_for(engine: Engine) -> None:
    step = {"parse_timestamp": {"zone": "none", "fraction": "truncate"}}
    with engine.session.transaction():
        engine.session.execute("set local standard_conforming_strings = off")
        engine.session.execute("set local escape_string_warning = off")
        mapped = one(engine, "text", "timestamp", [step], ["2026-01-31 09:30:00.1234567"])

    assert mapped == [("2026-01-31T09:30:00.123456", [])]


@pytest.mark.parametrize("offset", ["+14:99", "+1460", "-00:60", "+15:00", "+14:5", "+0260"])
def test_a_moment_in_a_file_has_an_offset_that_exists(offset: str) -> None:
    assert "is not a timestamptz" in refused("timestamptz", "timestamptz", {"default": f"2026-01-31 09:30:00{offset}"})


@pytest.mark.parametrize("offset", ["Z", "+00", "-14", "+14:59", "+0530"])
def test_a_moment_in_a_file_is_read_by_the_server(engine: Engine, offset: str) -> None:
    wanted = datetime.fromisoformat(f"2026-01-31 09:30:00{offset}")

    ((moment, codes),) = one(
        engine, "timestamptz", "timestamptz", [{"default": f"2026-01-31 09:30:00{offset}"}], [None]
    )

    assert (datetime.fromisoformat(moment), codes) == (wanted, [])


@pytest.mark.parametrize(
    "name", ["iso", "yyyymmdd", "yyyy/mm/dd", "dd/mm/yyyy", "dd.mm.yyyy", "dd-mm-yyyy", "mm/dd/yyyy"]
)
@FEW
@given(moments=st.lists(st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 28)), min_size=1, max_size=15))
def test_the_date_of_a_time_stamp_may_be_in_another_order(engine: Engine, name: str, moments: list[datetime]) -> None:
    texts = [f"{spelt(at.date(), name)} {at.time().isoformat()}" for at in moments]

    local = one(engine, "text", "timestamp", [{"parse_timestamp": {"format": name, "zone": "none"}}], texts)
    zoned = one(engine, "text", "timestamptz", [{"parse_timestamp": {"format": name, "zone": "UTC"}}], texts)
    wrong = one(
        engine, "text", "timestamp", [{"parse_timestamp": {"format": name, "zone": "none"}}], ["x" + t for t in texts]
    )

    assert [datetime.fromisoformat(value) for value, _ in local] == moments
    assert [datetime.fromisoformat(value) for value, _ in zoned] == [at.replace(tzinfo=UTC) for at in moments]
    assert wrong == [(None, ["parse_timestamp"])] * len(texts)


@MANY
@given(moments=st.lists(st.datetimes(), min_size=1, max_size=15))
def test_a_time_stamp_without_zone_is_cut_and_written(engine: Engine, moments: list[datetime]) -> None:
    texts = [str(at) for at in moments]
    cut = {"day": {"hour": 0, "minute": 0, "second": 0, "microsecond": 0}, "minute": {"second": 0, "microsecond": 0},
           "hour": {"minute": 0, "second": 0, "microsecond": 0}, "second": {"microsecond": 0}}  # fmt: skip
    for unit, zeros in cut.items():
        mapped = one(engine, "timestamp", "timestamp", [{"truncate_to": unit}], texts)
        assert [datetime.fromisoformat(value) for value, _ in mapped] == [at.replace(**zeros) for at in moments]  # type: ignore[arg-type]
    millis = one(engine, "timestamp", "timestamp(3)", [{"truncate_to": "millisecond"}], texts)
    assert [datetime.fromisoformat(value) for value, _ in millis] == [
        at.replace(microsecond=at.microsecond // 1000 * 1000) for at in moments
    ]
    for digits, spec in ((6, "microseconds"), (3, "milliseconds"), (0, "seconds")):
        written = one(engine, "timestamp", "text", [{"format_timestamp": {"digits": digits, "separator": " "}}], texts)
        for at, (value, codes) in zip(moments, written, strict=True):
            is_exact = at.microsecond % 10 ** (6 - digits) == 0
            expected = at.isoformat(sep=" ", timespec=spec) if is_exact else None
            assert (value, codes) == (expected, [] if expected else ["format_timestamp"])


@pytest.mark.parametrize(
    ("kind", "to", "step"),
    [("timestamptz", "timestamptz", {"truncate_to": "day"}), ("timestamp", "timestamp", {"truncate_to": {"unit": "day", "zone": "UTC"}}),
     ("timestamptz", "timestamptz", {"truncate_to": {"unit": "second", "zone": "UTC"}}), ("timestamptz", "text", "format_timestamp"),
     ("timestamp", "text", {"format_timestamp": {"zone": "UTC"}}), ("text", "timestamptz", {"parse_timestamp": {}}),
     ("text", "timestamptz", {"parse_timestamp": {"zone": "London"}}), ("timestamp", "timestamptz", {"in_zone": "EST5EDT4"}), ("timestamp", "timestamptz", {"in_zone": "CET"}),
     ("timestamptz", "date", {"date_in": "EST"}),
     ("text", "timestamp", {"parse_timestamp": {"zone": "none", "gap": "forward"}}), ("timestamptz", "timestamp", {"local_time": "localtime"})],
)  # fmt: skip
def test_what_depends_on_a_place_names_it(kind: str, to: str, step: Any) -> None:
    assert refused(kind, to, step) != ""


# -- counted from 1970 ----------------------------------------------------------------------------------------

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICRO = timedelta(microseconds=1)


@pytest.mark.parametrize(("unit", "per"), [("seconds", 10**6), ("milliseconds", 10**3), ("microseconds", 1)])
@MANY
@given(
    instants=st.lists(
        st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 28), timezones=st.just(UTC)), min_size=1, max_size=15
    )
)
def test_an_instant_is_counted_exactly(engine: Engine, unit: str, per: int, instants: list[datetime]) -> None:
    from decimal import Decimal

    counts = [Decimal((at - EPOCH) // MICRO) / per for at in instants]

    counted = one(engine, "timestamptz", "numeric", [{"to_epoch": unit}], [at.isoformat() for at in instants])
    back = one(engine, "numeric", "timestamptz", [{"from_epoch": unit}], [str(count) for count in counts])

    assert [Decimal(value) for value, _ in counted] == counts
    assert [datetime.fromisoformat(value) for value, _ in back] == instants


@pytest.mark.parametrize("unit", ["seconds", "milliseconds", "microseconds"])
@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e40", "-1e18", "1e18", "0.00000001", "1e131071", "1e-16383"]
)
def test_a_count_that_is_no_instant_is_refused(engine: Engine, unit: str, number: str) -> None:
    ((value, codes),) = one(engine, "numeric", "timestamptz", [{"from_epoch": unit}], [number])

    assert (value is None) == (codes == ["from_epoch"])
    assert value is None or (unit == "microseconds") == (number == "never")


@pytest.mark.parametrize(
    ("kind", "number"),
    [("bigint", str(2**63 - 1)), ("bigint", str(-(2**63))), ("integer", "-2147483648"), ("smallint", "0")],
)
def test_a_count_may_be_any_integer(engine: Engine, kind: str, number: str) -> None:
    ((value, codes),) = one(engine, kind, "timestamptz", [{"from_epoch": "seconds"}], [number])

    expected = EPOCH + timedelta(seconds=int(number)) if abs(int(number)) < 10**11 else None
    assert (value and datetime.fromisoformat(value), codes) == (expected, [] if expected else ["from_epoch"])
