"""Every word of the mapping language on a real PostgreSQL, against the rule said again in Python.

Python's own `decimal`, `datetime`, `unicodedata`, `re` and `pycountry` are the second opinion.
"""

from __future__ import annotations

import hashlib
import json
import re
import string
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pycountry
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from psycopg import sql

from syncline.core.compile import compile_mapping, sample_relation
from syncline.core.field_values import NAMESPACE
from syncline.core.mapping import Mapping
from syncline.core.transforms import Check, Transform
from syncline.core.transforms.patterns import why_not_portable
from syncline.core.types import PgType
from tests.integration.mapping_engine import Engine

MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
EXACT = Context(prec=3000)


def number(text: Any) -> Decimal | None:
    """A JSON value as a number: NaN and infinity travel as text."""
    return None if text is None else Decimal(text)


# What PostgreSQL can hold as text: no NUL, no half of a surrogate pair.
TEXT = st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
ASCII = st.text(alphabet=string.printable, max_size=20)
TEXTS = st.lists(TEXT, max_size=20)
NUMBERS = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-100, max_value=100, places=3),
    st.integers(-(10**25), 10**25).map(lambda n: Decimal(n) / 2),  # exactly at the half
    st.integers(-(10**6), 10**6).map(lambda n: Decimal(n).scaleb(-3)),
    st.sampled_from(
        [Decimal("0"), Decimal("-0.0"), Decimal("0.5"), Decimal("-2.5"), Decimal("123456789012345678.119")]
    ),
)


# -- numbers --------------------------------------------------------------------------------------------------

ROUNDINGS = {
    "half_even": ROUND_HALF_EVEN, "half_up": ROUND_HALF_UP, "floor": ROUND_FLOOR, "ceiling": ROUND_CEILING,
    "truncate": ROUND_DOWN,
}  # fmt: skip


@pytest.mark.parametrize("mode", ROUNDINGS)
@MANY
@given(numbers=st.lists(NUMBERS, max_size=20), scale=st.integers(0, 12))
def test_rounding_is_what_it_says(engine: Engine, mode: str, numbers: list[Decimal], scale: int) -> None:
    field = {"type": "numeric", "steps": [{"round": {"scale": scale, "mode": mode}}]}

    mapped = engine.values("numeric", field, [str(n) for n in numbers])

    unit = Decimal(1).scaleb(-scale)
    expected = [n.quantize(unit, rounding=ROUNDINGS[mode], context=EXACT) for n in numbers]
    assert [number(value) for value, _ in mapped] == expected
    assert all(not codes for _, codes in mapped)


@pytest.mark.parametrize("mode", ROUNDINGS)
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e1100", "-1e131071", None, "1e-16000"])
def test_what_has_no_rounded_value_is_refused_and_not_a_failure(engine: Engine, mode: str, value: str | None) -> None:
    field = {"type": "numeric", "steps": [{"round": {"scale": 2, "mode": mode}}]}

    ((mapped, codes),) = engine.values("numeric", field, [value])

    if value == "1e-16000":
        assert (number(mapped), codes) == (Decimal("0.01") if mode == "ceiling" else 0, [])
    else:
        assert (mapped, codes) == (None, [] if value is None else ["round"])


@MANY
@given(numbers=st.lists(st.integers(-(10**7), 10**7).map(lambda n: Decimal(n).scaleb(-4)), max_size=20))
def test_pennies_of_a_salary(engine: Engine, numbers: list[Decimal]) -> None:
    field = {"type": "numeric(12,2)", "steps": [{"round": {"scale": 2, "mode": "half_even"}}]}

    mapped = engine.values("numeric(14,4)", field, [str(n) for n in numbers])

    assert [number(value) for value, _ in mapped] == [n.quantize(Decimal("0.01"), ROUND_HALF_EVEN) for n in numbers]


@MANY
@given(numbers=st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-70_000, 70_000), max_size=20))
@pytest.mark.parametrize("target", ["smallint", "integer", "numeric(6,2)", "numeric(9,0)"])
def test_a_number_that_is_too_large_is_null_and_overflow(engine: Engine, target: str, numbers: list[int]) -> None:
    limits = {"smallint": (-(2**15), 2**15 - 1), "integer": (-(2**31), 2**31 - 1), "numeric(6,2)": (-9999, 9999),
              "numeric(9,0)": (-(10**9) + 1, 10**9 - 1)}  # fmt: skip
    low, high = limits[target]

    mapped = engine.values("bigint", {"type": target}, [str(n) for n in numbers])

    assert mapped == [(n, []) if low <= n <= high else (None, ["overflow"]) for n in numbers]


@pytest.mark.parametrize(("kind", "target"), [("numeric(5,0)", "integer"), ("numeric(12,2)", "numeric(8,2)")])
def test_nan_is_an_overflow_and_not_a_failure(engine: Engine, kind: str, target: str) -> None:
    assert engine.values(kind, {"type": target}, ["NaN", None]) == [(None, ["overflow"]), (None, [])]


@MANY
@given(texts=st.lists(
    TEXT | st.from_regex(r"[+-]?[0-9]{1,4}([.,' ][0-9]{1,4}){0,3}", fullmatch=True)
    | st.sampled_from(["1,234.50", "1.234,50", "1 234,5", "12,34.5", "-0", "+5", "1" * 31, "1" * 30, "٣", "1e5", "NaN",
                       "1.", ".5", "1" + ",000" * 20, "1" + ",000" * 9, "1.5\n", "- 5", "0.0000000000000000000000000000001"]),
    max_size=20))  # fmt: skip
@pytest.mark.parametrize(
    ("decimal", "thousands"), [(".", ""), (",", ""), (".", ","), (",", "."), (",", " "), (".", "'")]
)
def test_a_number_is_read_in_its_declared_spelling(
    engine: Engine, decimal: str, thousands: str, texts: list[str]
) -> None:
    field = {"type": "numeric", "steps": [{"parse_number": {"decimal": decimal, "thousands": thousands}}]}

    mapped = engine.values("text", field, texts)

    expected = [_number_in(text, decimal, thousands) for text in texts]
    assert [(number(value), codes) for value, codes in mapped] == [
        (value, [] if value is not None else ["parse_number"]) for value in expected
    ]


def _number_in(text: str, decimal: str, thousands: str) -> Decimal | None:
    """An optional sign, up to 30 digits in one piece or in threes, then up to 30 decimals. ASCII digits only."""
    sign, rest = (text[0], text[1:]) if text[:1] in ("+", "-") else ("", text)
    whole, mark, decimals = rest.partition(decimal)
    pieces = whole.split(thousands) if thousands else [whole]
    is_grouped = len(pieces) > 1
    well_grouped = not is_grouped or (1 <= len(pieces[0]) <= 3 and all(len(piece) == 3 for piece in pieces[1:]))
    digits = "".join(pieces) + decimals
    if not well_grouped or len(pieces) > 10 or not digits or set(digits) - set(string.digits):
        return None
    if not 1 <= len("".join(pieces)) <= 30 or (mark and not 1 <= len(decimals) <= 30):
        return None
    return Decimal(f"{sign}{''.join(pieces)}.{decimals or 0}")


@MANY
@given(texts=st.lists(TEXT | st.from_regex(r"[+-]?[0-9]{1,22}(\.0{0,3})?", fullmatch=True), max_size=20))
@pytest.mark.parametrize("to", ["smallint", "integer", "bigint"])
def test_a_text_is_a_whole_number_in_its_plain_spelling_only(engine: Engine, to: str, texts: list[str]) -> None:
    bits = {"smallint": 15, "integer": 31, "bigint": 63}[to]

    mapped = engine.values("text", {"type": to, "steps": [{"cast": to}]}, texts)

    for text, (value, codes) in zip(texts, mapped, strict=True):
        is_plain = re.fullmatch(r"[+-]?[0-9]{1,19}", text) and not text.endswith("\n")
        fits = bool(is_plain) and -(2**bits) <= int(text) < 2**bits
        assert (value, codes) == ((int(text), []) if fits else (None, ["cast"])), text


@pytest.mark.parametrize(
    ("to", "text", "value"),
    [("integer", "12.0", None), ("integer", "", None), ("integer", " 5", None), ("integer", "1." + "0" * 20_000, None),
     ("integer", "0" * 20, None), ("integer", "٣", None), ("boolean", "true", True), ("boolean", "F", False),
     ("boolean", "1", True), ("boolean", "yes", None), ("boolean", "", None),
     ("uuid", "0E8F9D5C-7c34-4a3c-9f2d-3a6a2b1c0d9e", "0e8f9d5c-7c34-4a3c-9f2d-3a6a2b1c0d9e"),
     ("uuid", "{0e8f9d5c-7c34-4a3c-9f2d-3a6a2b1c0d9e}", None), ("uuid", "0e8f9d5c7c344a3c9f2d3a6a2b1c0d9e", None)],
)  # fmt: skip
def test_a_cast_takes_what_is_plain(engine: Engine, to: str, text: str, value: object) -> None:
    mapped = engine.values("text", {"type": to, "steps": [{"cast": to}]}, [text])

    assert mapped == [(value, [] if value is not None else ["cast"])]


@pytest.mark.parametrize(
    ("given_value", "value"), [("12.00", 12), ("12.50", None), ("-0.00", 0), ("40000.00", None), ("NaN", None)]
)
def test_a_number_is_cast_to_an_integer_only_if_nothing_is_lost(
    engine: Engine, given_value: str, value: int | None
) -> None:
    mapped = engine.values("numeric(9,2)", {"type": "smallint", "steps": [{"cast": "smallint"}]}, [given_value])

    assert mapped == [(value, [] if value is not None else ["cast"])]


# -- dates ----------------------------------------------------------------------------------------------------

FORMATS = {
    "iso": "{y:04}-{m:02}-{d:02}", "yyyymmdd": "{y:04}{m:02}{d:02}", "dd/mm/yyyy": "{d:02}/{m:02}/{y:04}",
    "dd.mm.yyyy": "{d:02}.{m:02}.{y:04}", "dd-mm-yyyy": "{d:02}-{m:02}-{y:04}", "mm/dd/yyyy": "{m:02}/{d:02}/{y:04}",
}  # fmt: skip
PARTS = st.tuples(st.integers(0, 9999), st.integers(0, 13), st.integers(0, 32))


@pytest.mark.parametrize("format_", FORMATS)
@MANY
@given(parts=st.lists(PARTS | st.dates().map(lambda d: (d.year, d.month, d.day)), max_size=30))
def test_a_date_is_read_in_its_declared_format(engine: Engine, format_: str, parts: list[tuple[int, int, int]]) -> None:
    texts = [FORMATS[format_].format(y=y, m=m, d=d) for y, m, d in parts]

    mapped = engine.values("text", {"type": "date", "steps": [{"parse_date": format_}]}, texts)

    assert mapped == [_date_of(*part) for part in parts]


def _date_of(year: int, month: int, day: int) -> tuple[str | None, list[str]]:
    try:
        return date(year, month, day).isoformat(), []
    except ValueError:
        return None, ["parse_date"]


@pytest.mark.parametrize("format_", FORMATS)
@MANY
@given(texts=TEXTS)
def test_what_is_no_date_is_refused(engine: Engine, format_: str, texts: list[str]) -> None:
    shape = "".join("[0-9]{4}" if "y:" in part else "[0-9]{2}" if ":0" in part else re.escape(part)
                    for part in re.split(r"(\{.*?\})", FORMATS[format_]))  # fmt: skip
    assume(not any(re.fullmatch(shape, text) for text in texts))

    mapped = engine.values("text", {"type": "date", "steps": [{"parse_date": format_}]}, texts)

    assert mapped == [(None, ["parse_date"])] * len(texts)


@pytest.mark.parametrize(
    "text",
    ["31/12/2024", "2026-02-30", "2023-02-29", "1900-02-29", "", " 2026-01-01", "2026-01-01\n", "2026-1-1", "today", "now",
     "infinity", "0000-01-01", "2026-01-01 BC", "10000-01-01", "٢٠٢٦-٠١-٠١", "２０２６-01-01", "2026-01-01T00:00:00",
     "epoch", "2026-13-01", "20260101", "allballs"],
)  # fmt: skip
def test_V09_what_postgres_would_guess_is_refused(engine: Engine, text: str) -> None:
    mapped = engine.values(
        "text", {"type": "date", "steps": [{"parse_date": "iso"}]}, [text, "2024-02-29", "2000-02-29"]
    )

    assert mapped == [(None, ["parse_date"]), ("2024-02-29", []), ("2000-02-29", [])]


@MANY
@given(dates=st.lists(st.dates(), max_size=20))
def test_the_year_of_a_date(engine: Engine, dates: list[date]) -> None:
    mapped = engine.values("date", {"type": "integer", "steps": ["year"]}, [d.isoformat() for d in dates])

    assert mapped == [(d.year, []) for d in dates]


@pytest.mark.parametrize(
    ("day", "year"), [("infinity", None), ("-infinity", None), ("0044-03-15 BC", -44), ("5874897-12-31", 5874897)]
)
def test_V10_dates_that_python_cannot_hold(engine: Engine, day: str, year: int | None) -> None:
    assert engine.values("date", {"type": "integer", "steps": ["year"]}, [day]) == [
        (year, [] if year is not None else ["year"])
    ]
    assert engine.values("date", {"type": "date"}, [day]) == [(day, [])]  # they pass where nobody asks for more


ZONES = ["UTC", "Europe/London", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati", "Pacific/Pago_Pago"]
INSTANTS = st.datetimes(datetime(1900, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC))


@pytest.mark.parametrize("zone", ZONES)
@MANY
@given(instants=st.lists(INSTANTS, max_size=20))
def test_the_day_of_an_instant_depends_on_the_place(engine: Engine, zone: str, instants: list[datetime]) -> None:
    field = {"type": "date", "steps": [{"date_in": zone}]}

    mapped = engine.values("timestamptz", field, [at.isoformat() for at in instants])

    for at, (value, codes) in zip(instants, mapped, strict=True):
        offset = at.astimezone(ZoneInfo(zone)).utcoffset() or timedelta()
        if offset.microseconds or offset.seconds % 60:  # before zones had whole minutes, tables differ
            continue
        assert (value, codes) == (at.astimezone(ZoneInfo(zone)).date().isoformat(), [])


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    "instant",
    ["infinity", "-infinity", "294276-12-31 23:59:59+00", "4714-11-24 00:00:00+00 BC", "0044-03-15 00:00:00+00 BC",
     "10000-01-01 00:00:00+00"],
)  # fmt: skip
def test_an_instant_at_the_end_of_the_calendar_is_refused(engine: Engine, zone: str, instant: str) -> None:
    mapped = engine.values("timestamptz", {"type": "date", "steps": [{"date_in": zone}]}, [instant])

    assert mapped == [(None, ["date_in"])]


# -- text -----------------------------------------------------------------------------------------------------

WHITE = " \t\n\r\u00a0\u3000"
LETTERS = st.text(
    alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x52F, exclude_categories=["Cc", "Cn", "Cs"]), max_size=20
)


@MANY
@given(texts=st.lists(st.text(alphabet=WHITE + "ab\u2003é", max_size=12) | TEXT, max_size=20))
def test_trim_takes_white_space_from_both_ends(engine: Engine, texts: list[str]) -> None:
    mapped = engine.values("text", {"type": "text", "steps": ["trim"]}, texts)

    assert [value for value, _ in mapped] == [text.strip(WHITE) or None for text in texts]


@pytest.mark.parametrize("step", ["upper", "lower"])
@MANY
@given(texts=st.lists(LETTERS, max_size=20))
def test_case_follows_unicodes_simple_rules_where_the_database_knows_them(
    engine: Engine, step: str, texts: list[str]
) -> None:
    assume(not any(letter in NEW_LETTERS for text in texts for letter in text))
    mapped = engine.values("text", {"type": "text", "steps": [step]}, texts)

    change = str.upper if step == "upper" else str.lower
    assert [value for value, _ in mapped] == [
        "".join(_simple(letter, change, engine.knows_letters_beyond_ascii()) for letter in text) for text in texts
    ]


# Letters whose case Unicode changed between the versions of our servers, or that only full rules change.
NEW_LETTERS = {"\u0130", "\u019b", "\u0264"}


def _simple(letter: str, change: Any, beyond_ascii: bool) -> str:
    changed: str = change(letter)
    return changed if len(changed) == 1 and (beyond_ascii or letter.isascii()) else letter


@MANY
@given(texts=TEXTS, characters=st.text(alphabet="-. /'\"\\%{}éa", min_size=1, max_size=5))
def test_remove_removes_every_one(engine: Engine, texts: list[str], characters: str) -> None:
    texts = [*texts, "a-b. c/d'e\"f\\g%h{i}éa"]

    mapped = engine.values("text", {"type": "text", "steps": [{"remove": characters}]}, texts)

    assert [value for value, _ in mapped] == ["".join(c for c in text if c not in characters) for text in texts]


@MANY
@given(texts=TEXTS, length=st.integers(1, 40))
def test_length_is_counted_in_characters(engine: Engine, texts: list[str], length: int) -> None:
    cut = engine.values("text", {"type": "text", "steps": [{"truncate": length}]}, texts)
    judged = engine.values("text", {"type": "text", "checks": [{"max_length": length}]}, texts)

    assert [value for value, _ in cut] == [text[:length] for text in texts]
    assert judged == [(text, ["max_length"] if len(text) > length else []) for text in texts]


@MANY
@given(texts=st.lists(TEXT | st.sampled_from(["A", "B", "a", "", "it's", "50%"]), max_size=20))
@pytest.mark.parametrize("otherwise", [None, "other"])
def test_a_code_becomes_its_counterpart(engine: Engine, otherwise: str | None, texts: list[str]) -> None:
    table = {"A": "active", "B": "50 % \\ '{}'", "it's": "", "": "none"}
    field = {"type": "text", "steps": [{"map": {"values": table, "otherwise": otherwise}}]}

    mapped = engine.values("text", field, [*texts, None])

    for text, (value, codes) in zip(texts, mapped, strict=False):
        expected = table.get(text, otherwise)
        assert (value, codes) == (expected, [] if expected is not None else ["map"])
    assert mapped[-1] == (None, [])  # NULL is no code


def test_to_text_and_text_columns_spell_alike(engine: Engine) -> None:
    given_row = {"d": "2026-01-31", "t": "2026-01-31 12:30:00+02", "n": "1.50", "f": True, "j": {"b": [1, None]}}
    source = {"d": "date", "t": "timestamptz", "n": "numeric(9,2)", "f": "boolean", "j": "jsonb"}
    said = {"d": {"from": "d", "type": "text"}} | {
        f"{name}_text": {"from": name, "type": "text", "steps": ["to_text"], "checks": [{"max_length": 99}]}
        for name in source
    }

    (row,) = engine.rows(source, {**said, **{f"{n}_plain": {"from": n, "type": "text"} for n in "tnfj"}}, [given_row])

    assert row.errors == []
    assert row.values["d"] == row.values["d_text"] == "2026-01-31"
    assert row.values["t_plain"] == row.values["t_text"] == "2026-01-31 10:30:00+00"
    assert row.values["n_plain"] == row.values["n_text"] == "1.50"
    assert row.values["f_plain"] == row.values["f_text"] == "true"
    assert json.loads(row.values["j_plain"]) == json.loads(row.values["j_text"]) == {"b": [1, None]}


def test_a_check_sees_the_value_as_its_field_has_it(engine: Engine) -> None:
    """An integer in a text field is text when its length is judged."""
    assert engine.values("integer", {"type": "text", "checks": [{"max_length": 2}, {"pattern": "[0-9]+"}]}, [12, 123]) == [
        ("12", []), ("123", ["max_length"]),
    ]  # fmt: skip


@pytest.mark.parametrize("separator", [" ", "", ", ", "%", "'", "\\"])
@MANY
@given(rows=st.lists(st.lists(st.none() | TEXT, min_size=3, max_size=3), max_size=10))
@pytest.mark.parametrize("columns", [2, 3])
def test_concat_leaves_nulls_out(engine: Engine, columns: int, separator: str, rows: list[list[str | None]]) -> None:
    names = ["a", "b", "c"][:columns]
    field = {"concat": {"columns": names, "separator": separator}, "type": "text"}

    mapped = engine.rows(
        dict.fromkeys(names, "text"), {"x": field}, [dict(zip(names, row, strict=False)) for row in rows]
    )

    expected = [separator.join(part for part in row[:columns] if part is not None) or None for row in rows]
    assert [row.values["x"] for row in mapped] == expected


def test_concat_takes_many_columns_of_any_type(engine: Engine) -> None:
    source = {f"c{n}": "text" for n in range(48)} | {"d": "date", "i": "integer"}
    field = {"concat": {"columns": list(source), "separator": ""}, "type": "text"}

    (row,) = engine.rows(
        source, {"x": field}, [{**{f"c{n}": str(n % 10) for n in range(48)}, "d": "2026-01-02", "i": 7}]
    )

    assert row.values["x"] == "".join(str(n % 10) for n in range(48)) + "2026-01-027"


def test_concat_takes_two_columns_that_are_no_text(engine: Engine) -> None:
    field = {"concat": {"columns": ["d", "i"], "separator": "/"}, "type": "text"}
    given_rows = [
        {"d": "2026-01-02", "i": 7},
        {"d": None, "i": 7},
        {"d": "infinity", "i": None},
        {"d": None, "i": None},
    ]

    rows = engine.rows({"d": "date", "i": "integer"}, {"x": field}, given_rows)

    assert [row.values["x"] for row in rows] == ["2026-01-02/7", "7", "infinity", None]


@pytest.mark.parametrize(
    ("kind", "default", "shown"),
    [("text", "none", "none"), ("text", "it's 50 % {x} \\", "it's 50 % {x} \\"), ("integer", 7, 7), ("boolean", False, False),
     ("date", "2026-01-31", "2026-01-31"), ("numeric(9,2)", 1.5, Decimal("1.5")), ("jsonb", '{"a": 1}', {"a": 1})],
)  # fmt: skip
def test_null_becomes_the_default_and_a_value_stays(engine: Engine, kind: str, default: Any, shown: Any) -> None:
    stays: dict[str, Any] = {"text": "x", "integer": 1, "boolean": True, "date": "2000-01-01", "jsonb": [1]}

    mapped = engine.values(kind, {"type": kind, "steps": [{"default": default}]}, [None, stays.get(kind, 0)])

    assert mapped == [(shown, []), (stays.get(kind, 0), [])]


@pytest.mark.parametrize(
    ("constant", "kind", "shown"),
    [("mdm", "text", "mdm"), ("50 % 'q' \\n {x}", "text", "50 % 'q' \\n {x}"), (5, "text", "5"), (True, "text", "true"),
     (5, "smallint", 5), (0.5, "numeric(3,1)", Decimal("0.5")), ("2026-02-28", "date", "2026-02-28"), (False, "boolean", False)],
)  # fmt: skip
def test_a_constant_is_what_stands_in_the_file(engine: Engine, constant: Any, kind: str, shown: Any) -> None:
    (row,) = engine.rows({}, {"x": {"constant": constant, "type": kind, "checks": ["required"]}}, [{}])

    assert (row.values["x"], row.errors) == (shown, [])


def test_steps_follow_each_other(engine: Engine) -> None:
    steps = ["trim", "upper", {"map": {"values": {"N30": "30,50", "EOM": " x"}}}, {"parse_number": {"decimal": ","}},
             {"round": {"scale": 0, "mode": "half_even"}}, {"cast": "integer"}]  # fmt: skip

    mapped = engine.values(
        "text", {"type": "integer", "steps": steps, "checks": ["required"]}, [" n30 ", "eom", "?", " "]
    )

    assert mapped == [
        (30, []),
        (None, ["parse_number", "required"]),
        (None, ["map", "required"]),  # the first word that lost the value is told, not those after it
        (None, ["required"]),
    ]


# -- checks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "is_iban"),
    [("GB33BUKB20201555555555", True), ("DE89370400440532013000", True), ("NO9386011117947", True),
     ("GB33BUKB20201555555556", False), ("GB33 BUKB 2020 1555 5555 55", False), ("gb33bukb20201555555555", False),
     ("", False), ("GB33BUKB20201555555555\n", False), ("X" * 10_000, False), ("١" * 22, False), ("GB33", False)],
)  # fmt: skip
def test_known_ibans(engine: Engine, text: str, is_iban: bool) -> None:
    mapped = engine.values("text", {"type": "text", "checks": ["iban"]}, [text, None])

    assert [codes for _, codes in mapped] == [[] if is_iban else ["iban"], []]


@pytest.mark.parametrize(
    ("check", "codes"),
    [("iso_country", {country.alpha_2 for country in pycountry.countries}),
     ("iso_currency", {currency.alpha_3 for currency in pycountry.currencies})],
)  # fmt: skip
def test_iso_codes_are_those_of_the_standard(engine: Engine, check: str, codes: set[str]) -> None:
    size = len(next(iter(codes)))
    letters = string.ascii_uppercase
    texts = (
        [a + b for a in letters for b in letters]
        if size == 2
        else [a + b + c for a in letters for b in letters for c in letters]
    )
    texts += ["gb", "eur", "", " GB", "UK", "EU", "DEM"]

    mapped = engine.values("text", {"type": "text", "checks": [check]}, texts)

    assert {text for text, said in mapped if not said} == codes & set(texts)
    assert {"GB"} <= codes or {"GBP"} <= codes


@MANY
@given(texts=TEXTS)
def test_one_of_is_exact(engine: Engine, texts: list[str]) -> None:
    allowed = ["GBP", "it's", "50%", "", "{}"]

    mapped = engine.values("text", {"type": "text", "checks": [{"one_of": allowed}]}, [*texts, *allowed, None])

    assert [codes for _, codes in mapped] == [
        [] if text in allowed or text is None else ["one_of"] for text in [*texts, *allowed, None]
    ]


@st.composite
def patterns(draw: st.DrawFn) -> str:
    """Regular expressions of all shapes, good and bad."""
    piece = st.sampled_from(
        ["a", "b", "0", ".", r"\d", r"\w", r"\s", r"\.", r"\-", r"\\", "[a-c]", "[^b]", "[0-9a-f]", "[a.*+?-]", r"[\d-]",
         "(?:ab)", "(a|b0)", "(a)", "(?:)", "()", "^", "$", "|", "[", "]", "(", ")", "{", "}", "?", "*", "+", "{2}", "{1,3}",
         "{2,}", "{0}", "{0,255}", "??", "*?", "+?", "{2}?", "-", "/", "%", "'", "[^a]", "[-a]", "[a-]", "(?:a{2}){3}", " "]
    )  # fmt: skip
    return "".join(draw(st.lists(piece, min_size=1, max_size=7)))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(regex=patterns(), texts=st.lists(st.text(alphabet="ab0c.-/% '\\\n", max_size=8), min_size=1, max_size=10))
def test_a_pattern_that_is_taken_runs_and_means_what_python_means(engine: Engine, regex: str, texts: list[str]) -> None:
    assume(why_not_portable(regex) is None)

    mapped = engine.values("text", {"type": "text", "checks": [{"pattern": regex}]}, texts)

    # As the page says it: the dot is any character, ^ and $ are the ends of the text.
    matching = re.compile(re.sub(r"(?<!\\)\$", r"\\Z", regex), re.ASCII | re.DOTALL)
    assert [codes for _, codes in mapped] == [[] if matching.fullmatch(text) else ["pattern"] for text in texts], regex


BOUNDS = st.one_of(st.none(), st.integers(-100, 100), st.decimals(-100, 100, places=2).map(float))


@pytest.mark.parametrize("kind", ["smallint", "integer", "bigint", "numeric", "numeric(9,2)"])
@MANY
@given(low=BOUNDS, high=BOUNDS, numbers=st.lists(st.integers(-120, 120), max_size=10))
def test_a_range_holds_both_of_its_ends(
    engine: Engine, kind: str, low: float | None, high: float | None, numbers: list[int]
) -> None:
    assume(low is not None or high is not None)
    assume(low is None or high is None or Decimal(str(low)) <= Decimal(str(high)))
    field = {"type": kind, "checks": [{"range": {"min": low, "max": high}}]}

    mapped = engine.values(kind, field, [*map(str, numbers), None])

    inside = [
        (low is None or Decimal(str(low)) <= n) and (high is None or n <= Decimal(str(high)))
        for n in map(Decimal, numbers)
    ]
    assert [codes for _, codes in mapped] == [*([] if fits else ["range"] for fits in inside), []]


@pytest.mark.parametrize("bounds", [{"min": 0}, {"max": 0}, {"min": -1, "max": 1}])
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_no_bound_lets_nan_or_infinity_pass(engine: Engine, bounds: dict[str, int], value: str) -> None:
    assert engine.values("numeric", {"type": "numeric", "checks": [{"range": bounds}]}, [value])[0][1] == ["range"]


@pytest.mark.parametrize("bounds", [{"min": 0}, {"max": 0}])
def test_a_bounded_numeric_may_still_be_nan(engine: Engine, bounds: dict[str, int]) -> None:
    field = {"type": "numeric(9,2)", "checks": [{"range": bounds}]}

    assert engine.values("numeric(9,2)", field, ["NaN", "0"]) == [("NaN", ["range"]), (0, [])]


@pytest.mark.parametrize(
    ("kind", "bound", "inside", "outside"),
    [("date", "2000-01-01", "2000-01-01", "1999-12-31"), ("timestamp", "2000-01-01 00:00:00", "2000-01-01T00:00:00", "1999-12-31T23:59:59"),
     ("timestamptz", "2000-01-01 00:00:00+00", "2000-01-01T01:00:00+01:00", "2000-01-01T00:00:00+01:00")],
)  # fmt: skip
def test_a_range_of_time(engine: Engine, kind: str, bound: str, inside: str, outside: str) -> None:
    given_values = [inside, outside, "infinity", "-infinity", None]

    lower = engine.values(kind, {"type": kind, "checks": [{"range": {"min": bound}}]}, given_values)
    upper = engine.values(kind, {"type": kind, "checks": [{"range": {"max": bound}}]}, given_values)

    assert [codes for _, codes in lower] == [[], ["range"], ["range"], ["range"], []]
    assert [codes for _, codes in upper] == [[], [], ["range"], ["range"], []]


def test_a_bound_that_no_smallint_can_hold_is_still_a_bound(engine: Engine) -> None:
    checks = [{"range": {"min": -0.5, "max": 100_000}}]

    assert engine.values("smallint", {"type": "smallint", "checks": checks}, [32767, 0, -1]) == [
        (32767, []), (0, []), (-1, ["range"]),
    ]  # fmt: skip


# -- rows -----------------------------------------------------------------------------------------------------


def test_a_bad_row_says_everything_that_is_wrong_and_what_it_was_made_of(engine: Engine) -> None:
    source = {"a": "text", "n": "numeric(14,4)", "d": "date"}
    fields = {
        "x": {"from": "a", "type": "date", "steps": [{"parse_date": "iso"}], "checks": ["required"]},
        "y": {"from": "n", "type": "numeric(4,1)", "steps": [{"round": {"scale": 1, "mode": "floor"}}]},
        "z": {"from": "d", "type": "date", "checks": [{"range": {"max": "2000-01-01"}}]},
    }
    bad, good = engine.rows(source, fields, [
        {"a": "yesterday", "n": "12345.6789", "d": "infinity"}, {"a": "2026-01-01", "n": "1.25", "d": "1999-01-01"},
    ])  # fmt: skip

    assert bad.errors == ["x:parse_date", "x:required", "y:overflow", "z:range"]
    assert bad.payload == {"a": "yesterday", "n": Decimal("12345.6789"), "d": "infinity", "row_no": 0}
    assert (bad.values["x"], bad.values["y"]) == (None, None)
    assert (good.errors, good.payload, good.values["y"]) == ([], None, Decimal("1.2"))


@pytest.fixture(scope="module")
def hub(engine: Engine) -> Engine:
    engine.session.execute("""
        drop schema if exists hub cascade; create schema hub;
        create table hub.org (tenant text, id text, name text, is_big boolean, no uuid, n numeric(14,4), extra jsonb);
        insert into hub.org values
            ('t1', 'one', 'First', true, '00000000-0000-0000-0000-000000000001', 1.5, '{"a": 1}'),
            ('t2', 'one', 'Other tenant''s', false, null, null, null),
            ('t1', 'two', 'A', true, null, null, null), ('t1', 'two', 'B', false, null, null, null),
            ('t1', 'unnamed', null, null, null, null, null)
    """)
    return engine


LOOKUP = {"table": "hub.org", "match": {"tenant": "t", "id": "k"}, "take": "name"}
KEYS = [("t1", "one"), ("t1", "none"), ("t1", "two"), ("t1", None), (None, "one"), ("t1", "unnamed"), ("t2", "one")]


@pytest.mark.parametrize(
    ("on_missing", "checks", "codes"),
    [("reject", [], [[], ["lookup"], ["lookup_ambiguous"], [], [], [], []]),
     ("null", [], [[], [], ["lookup_ambiguous"], [], [], [], []]),
     ("reject", ["required"], [[], ["lookup", "required"], ["lookup_ambiguous"], ["required"], ["required"], ["required"], []])],
)  # fmt: skip
def test_a_lookup_takes_the_one_row_that_matches(
    hub: Engine, on_missing: str, checks: list[str], codes: list[list[str]]
) -> None:
    field = {"lookup": {**LOOKUP, "on_missing": on_missing}, "type": "text", "checks": checks}
    rows = hub.rows({"t": "text", "k": "text"}, {"x": field}, [{"t": t, "k": k} for t, k in KEYS])

    assert [[error.removeprefix("x:") for error in row.errors] for row in rows] == codes
    assert [rows[n].values["x"] for n in (0, 1, 3, 4, 5, 6)] == ["First", None, None, None, None, "Other tenant's"]


@pytest.mark.parametrize(
    ("take", "kind", "value"),
    [("is_big", "boolean", True), ("no", "uuid", "00000000-0000-0000-0000-000000000001"), ("n", "numeric(14,4)", Decimal("1.5")),
     ("extra", "jsonb", {"a": 1})],
)  # fmt: skip
def test_a_lookup_takes_any_type(hub: Engine, take: str, kind: str, value: Any) -> None:
    field = {"lookup": {**LOOKUP, "take": take, "take_type": kind}, "type": kind}

    (row,) = hub.rows({"t": "text", "k": "text"}, {"x": field}, [{"t": "t1", "k": "one"}])

    assert (row.values["x"], row.errors) == (value, [])


def test_several_lookups_and_steps_on_them_do_not_multiply_rows(hub: Engine) -> None:
    fields = {name: {"lookup": LOOKUP, "type": "text", "steps": ["trim", "upper"]} for name in ("x", "y", "x" * 63)}

    rows = hub.rows({"t": "text", "k": "text"}, fields, [{"t": t, "k": k} for t, k in KEYS * 3])

    assert rows[0].values["x" * 63] == "FIRST"


def test_of_a_deleted_row_only_the_key_is_judged(engine: Engine) -> None:
    fields = {
        "k": {"from": "k", "type": "text", "checks": ["required"]},
        "x": {"from": "a", "type": "date", "steps": [{"parse_date": "iso"}], "checks": ["required"]},
    }
    source = {"k": "text", "a": "text", "gone": "boolean"}
    fields["gone"] = {"from": "gone", "type": "boolean"}
    given_rows = [
        {"k": k, "a": a, "gone": gone} for gone in (True, False, None) for k, a in (("1", "?"), (None, "2026-01-01"))
    ]

    rows = engine.rows(source, fields, given_rows, deleted="gone", key=["k"])

    assert [(row.is_deleted, row.errors) for row in rows] == [
        (True, []), (True, ["k:required"]),
        (False, ["x:parse_date", "x:required"]), (False, ["k:required"]),
        (False, ["x:parse_date", "x:required"]), (False, ["k:required"]),  # no flag is no deletion
    ]  # fmt: skip


def test_a_condition_selects_rows_of_the_relation(engine: Engine) -> None:
    mapping = Mapping.model_validate(
        {"version": "1.0.0", "source": {"a": "text"}, "fields": {"x": {"from": "a", "type": "text"}}}
    )
    where = sql.SQL("s.a in ({})").format(sql.Literal("50%"))

    compiled = compile_mapping(mapping, sample_relation(mapping, json.dumps([{"a": "50%"}, {"a": "x"}])), where=where)

    assert engine.session.execute(compiled.select).fetchall() == [("50%", False, None)]


# -- names and parameters -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "nasty", ["%", "%s", "%(x)s", "'", "''", '"', "\\", "\\'", "{}", "{v}", "$1", "$$", "--", "/*", ";", "é", "\t"]
)
def test_no_parameter_can_leave_its_place(engine: Engine, nasty: str) -> None:
    fields = {
        "removed": {"from": "a", "type": "text", "steps": [{"remove": nasty}]},
        "mapped": {"from": "a", "type": "text", "steps": [{"map": {"values": {nasty: nasty + "!"}, "otherwise": nasty}}]},
        "defaulted": {"from": "b", "type": "text", "steps": [{"default": nasty}]},
        "constant": {"constant": nasty, "type": "text", "checks": [{"one_of": [nasty]}]},
        "joined": {"concat": {"columns": ["a", "a"], "separator": nasty}, "type": "text"},
        "matched": {"from": "a", "type": "text", "checks": [{"pattern": "".join("\\" + c if not c.isalnum() and not c.isspace() else c for c in nasty)}]},
    }  # fmt: skip

    (row,) = engine.rows({"a": "text", "b": "text"}, fields, [{"a": nasty, "b": None}])

    assert row.errors == []
    assert row.values == {
        "removed": "", "mapped": nasty + "!", "defaulted": nasty, "constant": nasty, "joined": nasty * 3, "matched": nasty,
        "row_no": 0,
    }  # fmt: skip


KEYWORDS = ["select", "from", "where", "order", "group", "user", "table", "end", "case", "null", "s", "m", "p", "r", "x", "row",
            "all", "array", "offset", "current_date", "taken", "matches", "payload", "errors", "value", "v0_select"]  # fmt: skip


def test_columns_may_be_called_like_words_of_sql(engine: Engine) -> None:
    fields = {
        name: {"from": name, "type": "text", "steps": ["trim", {"encode": "ascii"}], "checks": ["required"]}
        for name in KEYWORDS
    }

    good, bad = engine.rows(dict.fromkeys(KEYWORDS, "text"), fields, [
        {name: f" {name} " for name in KEYWORDS}, dict.fromkeys(KEYWORDS, "é王"),
    ])  # fmt: skip

    assert good.values == {name: name for name in KEYWORDS} | {"row_no": 0}
    assert bad.payload == dict.fromkeys(KEYWORDS, "é王") | {"row_no": 1}
    assert len(bad.errors) == 2 * len(KEYWORDS)


def test_the_longest_names_do_not_run_into_each_other(engine: Engine) -> None:
    names = ["a" * 62 + letter for letter in "xyz"]
    fields = {
        name: {"from": name, "type": "date", "steps": [{"parse_date": "iso"}], "checks": ["required"]} for name in names
    }

    (row,) = engine.rows(
        dict.fromkeys(names, "text"), fields, [{name: f"2026-01-0{n}" for n, name in enumerate(names, 1)}]
    )

    assert [row.values[name] for name in names] == ["2026-01-01", "2026-01-02", "2026-01-03"]


def test_a_mapping_of_120_columns_runs(engine: Engine) -> None:
    source = {f"c{n}": "text" for n in range(120)}
    fields = {
        name: {"from": name, "type": "numeric(12,2)", "checks": ["required", {"range": {"min": 0, "max": 1000}}],
               "steps": ["trim", "parse_number", {"round": {"scale": 2, "mode": "half_even"}}]}
        for name in source
    }  # fmt: skip

    good, bad = engine.rows(source, fields, [dict.fromkeys(source, " 12.345 "), dict.fromkeys(source, "x")])

    assert set(good.values.values()) == {Decimal("12.34"), 0}
    assert (len(good.errors), len(bad.errors)) == (0, 240)


def test_partial_steps_upon_each_other_run(engine: Engine) -> None:
    steps = [{"round": {"scale": 12 - n, "mode": "half_even"}} for n in range(12)]

    mapped = engine.values("numeric", {"type": "numeric", "steps": steps}, ["0.5000000000005", "NaN", None])

    assert mapped == [(Decimal("0.5"), []), (None, ["round"]), (None, [])]


# -- many words in one statement; each word by itself: test_every_word.py --------------------------------------------------------------------------

EVERYTHING: dict[str, dict[str, Any]] = {
    "trimmed": {"from": "a", "type": "text", "steps": ["trim", "upper", "lower", {"remove": " -"}, {"truncate": 5}]},
    "cleaned": {"from": "a", "type": "text", "steps": [{"encode": "sepa"}], "checks": [{"max_length": 3}, {"pattern": "[a-z]+"}]},
    "plain": {"from": "a", "type": "text", "steps": [{"encode": "ascii"}, {"default": "x"}], "checks": ["required", "iban"]},
    "coded": {"from": "a", "type": "text", "steps": [{"map": {"values": {"A": "b"}}}], "checks": [{"one_of": ["b"]}]},
    "land": {"from": "a", "type": "text", "checks": ["iso_country", "iso_currency", "iban", {"pattern": r"(a|b)*\d{2,5}"}]},
    **{f"date_{n}": {"from": "a", "type": "date", "steps": [{"parse_date": name}], "checks": [{"range": {"min": "1900-01-01"}}]}
       for n, name in enumerate(FORMATS)},
    "amount": {"from": "a", "type": "numeric(12,2)",
               "steps": [{"parse_number": {"decimal": ",", "thousands": "."}}, {"round": {"scale": 2, "mode": "half_even"}}]},
    **{f"cast_{to}": {"from": "a", "type": to, "steps": [{"cast": to}]} for to in ("boolean", "smallint", "integer", "bigint", "uuid")},
    **{f"round_{mode}": {"from": "n", "type": "numeric(9,3)", "steps": [{"round": {"scale": 3, "mode": mode}}],
                         "checks": [{"range": {"min": 0}}]} for mode in ROUNDINGS},
    "narrow": {"from": "n", "type": "integer", "steps": [{"cast": "integer"}], "checks": [{"range": {"max": 5}}]},
    "as_is": {"from": "n", "type": "numeric", "checks": [{"range": {"max": 5}}]},
    "spelt": {"from": "n", "type": "text", "steps": ["to_text"], "checks": [{"max_length": 9}]},
    "small": {"from": "b", "type": "smallint", "checks": [{"range": {"min": -0.5, "max": 1e6}}]},
    "narrower": {"from": "b", "type": "numeric(6,2)", "steps": [{"default": 0}]},
    "rounded_int": {"from": "b", "type": "smallint", "steps": [{"round": {"scale": 0, "mode": "half_up"}}]},
    "bounded": {"from": "m", "type": "integer"},
    "year": {"from": "d", "type": "smallint", "steps": ["year"], "checks": [{"range": {"min": 1900, "max": 2100}}]},
    "day": {"from": "d", "type": "date", "checks": [{"range": {"min": "1900-01-01"}}]},
    "day_text": {"from": "d", "type": "text", "steps": ["to_text"]},
    **{f"day_{n}": {"from": "t", "type": "date", "steps": [{"date_in": zone}]} for n, zone in enumerate(ZONES)},
    "at": {"from": "t", "type": "timestamptz", "checks": [{"range": {"max": "2100-01-01 00:00:00+00"}}]},
    "at_text": {"from": "t", "type": "text"},
    "local": {"from": "ts", "type": "timestamp", "checks": [{"range": {"min": "1900-01-01 00:00:00"}}]},
    "joined": {"concat": {"columns": ["a", "d", "n"], "separator": "-"}, "type": "text", "steps": [{"encode": "sepa"}]},
    "paired": {"concat": {"columns": ["a", "a"]}, "type": "text", "checks": [{"max_length": 9}]},
    "json": {"from": "j", "type": "jsonb"},
    "json_text": {"from": "j", "type": "text", "checks": [{"max_length": 9}]},
    "flag": {"from": "f", "type": "boolean", "steps": [{"default": False}], "checks": ["required"]},
    "looked_up": {"lookup": {"table": "hub.org", "match": {"id": "a"}, "take": "name"}, "type": "text", "steps": ["trim"]},
    "source": {"constant": "mdm", "type": "text"},
}  # fmt: skip
COLUMNS = {"a": "text", "n": "numeric", "b": "bigint", "m": "numeric(5,0)", "d": "date", "t": "timestamptz", "ts": "timestamp",
           "j": "jsonb", "f": "boolean"}  # fmt: skip

DIRT = TEXT | ASCII | st.sampled_from(
    ["1" * 40, "1" + ".000" * 40, "1." + "0" * 20_000, "9" * 5_000, "2026-02-30", "0000-00-00", "99999999", "٢٠٢٦-٠١-٠١", "infinity",
     "NaN", "GB" + "9" * 40, "GB00", "\u0130", "ﷺ" * 20, "a" * 10_000, "{", "%s", "\\", "'", "00000000-0000-0000-0000-00000000000g",
     "{00000000-0000-0000-0000-000000000000}", "TRUE", "-9223372036854775809", "1e400", "\ufffe", "\U0010ffff", "\u200f"]
)  # fmt: skip
EXTREMES: dict[str, st.SearchStrategy[Any]] = {
    "a": st.none() | DIRT,
    "n": st.none() | NUMBERS.map(str) | st.sampled_from(
        ["NaN", "Infinity", "-Infinity", "1e131071", "-1e131071", "1e-16383", "0.0005", "-0", "1e900", "-1e899", "1e988"]),
    "b": st.none() | st.integers(-(2**63), 2**63 - 1).map(str),
    "m": st.sampled_from([None, "NaN", "99999", "-99999"]),
    "d": st.none() | st.dates().map(str) | st.sampled_from(
        ["infinity", "-infinity", "0044-03-15 BC", "4714-11-24 BC", "5874897-12-31", "0001-01-01", "10000-01-01"]),
    "t": st.none() | INSTANTS.map(str) | st.sampled_from(
        ["infinity", "-infinity", "294276-12-31 23:59:59.999999+00", "4714-11-24 00:00:00+00 BC", "0001-01-01 00:00:00+14",
         "9999-12-31 23:59:59-12"]),
    "ts": st.sampled_from([None, "infinity", "-infinity", "294276-12-31 23:59:59.999999", "4714-11-24 00:00:00 BC"]),
    "j": st.recursive(st.none() | st.booleans() | TEXT | st.integers(), lambda x: st.lists(x, max_size=3), max_leaves=5),
    "f": st.sampled_from([None, True, False]),
}  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(given_rows=st.lists(st.fixed_dictionaries(EXTREMES), min_size=1, max_size=8), has_flag=st.booleans())
def test_a_bad_value_never_fails_a_batch(hub: Engine, given_rows: list[dict[str, Any]], has_flag: bool) -> None:
    how = {"deleted": "f", "key": ["trimmed"]} if has_flag else {}

    for row, given_row in zip(hub.rows(COLUMNS, EVERYTHING, given_rows, **how), given_rows, strict=True):
        assert (row.payload is None) is (row.errors == [])
        if row.payload is not None:
            assert row.payload["a"] == given_row["a"]
        for error in row.errors:
            name, code = error.split(":")
            assert name in EVERYTHING
            assert code in {*Transform.known, *Check.known, "overflow", "lookup", "lookup_ambiguous"}


@settings(max_examples=30, deadline=None)
@given(given_rows=st.lists(st.fixed_dictionaries(EXTREMES), min_size=1, max_size=8))
def test_every_row_can_be_copied_into_a_staging_table(hub: Engine, given_rows: list[dict[str, Any]]) -> None:
    """As the line does it: binary COPY out of the SELECT and into the columns that the mapping declares."""
    mapping = Mapping.model_validate({"version": "1.0.0", "source": COLUMNS, "fields": EVERYTHING})
    compiled = compile_mapping(mapping, sample_relation(mapping, json.dumps(given_rows)))
    session = hub.session
    table = sql.Identifier(f"staged_{uuid.uuid4().hex}")

    session.execute(sql.SQL("create temp table {} ({})").format(table, compiled.staging_columns))
    copy_out = sql.SQL("copy ({}) to stdout (format binary)").format(compiled.select)
    with session.cursor() as out, out.copy(copy_out) as rows:
        blocks = [bytes(block) for block in rows]
    with session.cursor() as into, into.copy(sql.SQL("copy {} from stdin (format binary)").format(table)) as rows:
        for block in blocks:
            rows.write(block)
    counted = session.execute(sql.SQL("select count(*) from {}").format(table)).fetchone()
    session.execute(sql.SQL("drop table {}").format(table))

    assert counted == (len(given_rows),)


def test_staging_columns_are_the_types_that_the_mapping_declares(engine: Engine) -> None:
    mapping = Mapping.model_validate({"version": "1.0.0", "source": COLUMNS, "fields": EVERYTHING})

    compiled = compile_mapping(mapping, sql.Identifier("t"))

    assert list(compiled.columns.values()) == [PgType.parse(field["type"]) for field in EVERYTHING.values()]


# -- what a field may begin with ------------------------------------------------------------------------------


def test_a_condition_that_cannot_be_computed_rejects_its_row(engine: Engine) -> None:
    cases = [{"if": {"b": [7]}, "then": {"constant": "seven"}}, {"if": "a / b > 2", "then": {"constant": "big"}}]
    fields = {"x": {"when": cases, "otherwise": {"constant": "small"}, "type": "text"}}
    given = [{"a": 9, "b": 3}, {"a": 1, "b": 3}, {"a": 1, "b": 0}, {"a": 1, "b": 7}, {"a": None, "b": 1}]

    rows = engine.rows({"a": "integer", "b": "integer"}, fields, given)

    assert [(row.values["x"], row.errors) for row in rows] == [
        ("big", []), ("small", []), ("small", ["x:expression"]), ("seven", []), ("small", []),
    ]  # fmt: skip


def test_a_row_that_meets_no_case_is_rejected_unless_null_is_said(engine: Engine) -> None:
    cases = [
        {"if": {"a": ["GB", None]}, "then": {"from": "b"}},
        {"if": {"a": "FR", "b": ["x"]}, "then": {"constant": "fx"}},
    ]
    given = [
        {"a": "GB", "b": "b"},
        {"a": None, "b": "c"},
        {"a": "FR", "b": "x"},
        {"a": "FR", "b": "y"},
        {"a": "DE", "b": None},
    ]
    source = {"a": "text", "b": "varchar(5)"}

    strict = engine.rows(source, {"x": {"when": cases, "type": "text"}}, given)
    lax = engine.rows(source, {"x": {"when": cases, "otherwise": None, "type": "text"}}, given)

    expected = ["b", "c", "fx", None, None]
    assert [row.values["x"] for row in strict] == [row.values["x"] for row in lax] == expected
    assert [row.errors for row in strict] == [[], [], [], ["x:when"], ["x:when"]]
    assert all(row.errors == [] for row in lax)


@MANY
@given(
    values=st.lists(st.tuples(st.none() | TEXT, st.none() | st.integers(-(2**31), 2**31 - 1)), max_size=10),
    name=st.text("ab", min_size=1),
)
def test_a_surrogate_key_is_what_rfc_9562_says(engine: Engine, values: list[tuple[Any, Any]], name: str) -> None:
    """Version 8 of the first 128 bits of SHA-256 over the namespace and a JSON array; computed here with hashlib."""
    field = {"surrogate_key": {"columns": ["a", "n"], "namespace": name}, "type": "uuid"}
    namespace = uuid.uuid5(NAMESPACE, name)

    rows = engine.rows({"a": "text", "n": "integer"}, {"x": field}, [{"a": a, "n": n} for a, n in values])

    for row, (a, n) in zip(rows, values, strict=True):
        array = engine.session.execute(
            "select jsonb_build_array(%s::text, %s::text)::text", [a, None if n is None else str(n)]
        )
        (said,) = array.fetchone() or ("",)
        assert json.loads(said) == [a, None if n is None else str(n)]
        expected = None if a is None or n is None else _version_8(namespace.bytes + said.encode())
        assert row.values["x"] == expected
        assert row.errors == []


def _version_8(name: bytes) -> str:
    head = bytearray(hashlib.sha256(name).digest()[:16])
    head[6] = head[6] & 0x0F | 0x80
    head[8] = head[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(head)))


def test_columns_become_an_object_an_array_or_the_first_of_them(engine: Engine) -> None:
    fields = {
        "o": {"json_object": {"Name": "a", "count": "n", "day": "d"}, "type": "jsonb"},
        "l": {"array": ["a", "b"], "type": "text[]"},
        "c": {"coalesce": ["b", "a"], "type": "text"},
        "m": {"coalesce": ["n", "w"], "type": "numeric"},
    }
    source = {"a": "text", "b": "varchar(9)", "n": "integer", "w": "numeric(9,2)", "d": "date"}
    given = [
        {"a": "x", "b": None, "n": 1, "w": "2.50", "d": "infinity"},
        {"a": None, "b": "y", "n": None, "w": "2.50", "d": None},
    ]

    one, other = engine.rows(source, fields, given)

    assert one.values["o"] == {"Name": "x", "count": 1, "day": "infinity"}
    assert other.values["o"] == {"Name": None, "count": None, "day": None}
    assert [row.values["l"] for row in (one, other)] == [["x", None], [None, "y"]]
    assert [row.values["c"] for row in (one, other)] == ["x", "y"]
    assert [row.values["m"] for row in (one, other)] == [Decimal(1), Decimal("2.50")]


@pytest.mark.parametrize(
    ("how", "expected", "errors"),
    [
        ({}, [None, "only", None], [["x:lookup"], [], ["x:lookup_ambiguous"]]),
        ({"on_missing": None}, [None, "only", None], [[], [], ["x:lookup_ambiguous"]]),
        ({"on_missing": "default", "default": "none"}, ["none", "only", None], [[], [], ["x:lookup_ambiguous"]]),
        ({"on_several": None}, [None, "only", None], [["x:lookup"], [], []]),
        ({"on_several": "newest", "newest_by": "at"}, [None, "only", "new"], [["x:lookup"], [], []]),
        ({"on_several": "newest", "newest_by": "at", "on_missing": None}, [None, "only", "new"], [[], [], []]),
    ],
)  # fmt: skip
def test_no_match_and_several_matches_are_what_the_lookup_says(
    engine: Engine, how: dict[str, Any], expected: list[Any], errors: list[list[str]]
) -> None:
    engine.session.execute("create schema if not exists hub_lookup; drop table if exists hub_lookup.org;"
        " create table hub_lookup.org (id text, name text, at date);"
        " insert into hub_lookup.org values ('1', 'only', null), ('2', 'old', '2020-01-01'), ('2', 'new', '2021-01-01'), ('2', 'undated', null)")  # fmt: skip
    lookup = {"table": "hub_lookup.org", "match": {"id": "a"}, "take": "name", **how}

    rows = engine.rows({"a": "text"}, {"x": {"lookup": lookup, "type": "text"}}, [{"a": "0"}, {"a": "1"}, {"a": "2"}])

    assert [row.errors for row in rows] == errors
    assert [row.values["x"] if not row.errors else expected[n] for n, row in enumerate(rows)] == expected


def test_of_several_equally_new_rows_the_same_one_is_taken_in_any_order(engine: Engine) -> None:
    lookup = {
        "table": "hub_lookup.tie",
        "match": {"id": "a"},
        "take": "name",
        "on_several": "newest",
        "newest_by": "at",
    }
    for order in ("asc", "desc"):
        engine.session.execute("create schema if not exists hub_lookup; drop table if exists hub_lookup.tie;"
            " create table hub_lookup.tie as select '1' as id, name, at from (values ('b', date '2021-01-01'), ('a', '2021-01-01'),"
            f" ('0', '2020-01-01'), ('', null)) as v (name, at) order by name {order}".encode())  # fmt: skip

        (row,) = engine.rows({"a": "text"}, {"x": {"lookup": lookup, "type": "text"}}, [{"a": "1"}])
        assert (row.values["x"], row.errors) == ("a", [])


def test_a_lookup_takes_arrays_and_meets_keys_of_another_collation(engine: Engine) -> None:
    engine.session.execute("create schema if not exists hub_lookup; drop table if exists hub_lookup.tags;"
        """ create table hub_lookup.tags (id text collate "POSIX", tags text[], at date);"""
        " insert into hub_lookup.tags values ('1', '{}', null), ('2', '{x,NULL}', '2020-01-01'), ('2', '{y}', '2021-01-01')")  # fmt: skip
    lookup = {"table": "hub_lookup.tags", "match": {"id": "a"}, "take": "tags", "take_type": "text[]"}
    newest = {**lookup, "on_several": "newest", "newest_by": "at"}

    fields = {"x": {"lookup": lookup, "type": "text[]"}, "y": {"lookup": newest, "type": "text[]"}}
    one, two = engine.rows({"a": "text"}, fields, [{"a": "1"}, {"a": "2"}])

    assert (one.values["x"], one.values["y"], one.errors) == ([], [], [])
    assert (two.values["y"], two.errors) == (["y"], ["x:lookup_ambiguous"])


def test_a_step_on_what_was_looked_up_reads_columns_of_the_row(engine: Engine) -> None:
    engine.session.execute("create schema if not exists hub_lookup; drop table if exists hub_lookup.start;"
        " create table hub_lookup.start as select 1 as id, date '2026-01-30' as begins")  # fmt: skip
    lookup = {"table": "hub_lookup.start", "match": {"id": "n"}, "take": "begins", "take_type": "date"}

    (row,) = engine.rows(
        {"n": "integer"},
        {"x": {"lookup": lookup, "type": "date", "steps": [{"add_days": {"days_from": "n"}}]}},
        [{"n": 1}],
    )

    assert (row.values["x"], row.errors) == ("2026-01-31", [])


@pytest.mark.parametrize(
    ("kind", "field", "given", "expected"),
    [("integer", {"type": "numeric(12,2)", "checks": [{"range": {"min": 0}}]}, [-1, 1], [["range"], []]),
     ("smallint", {"type": "numeric(5,2)", "checks": [{"range": {"max": 99.5}}]}, [99, 100], [[], ["range"]]),
     ("integer", {"type": "bigint", "checks": [{"range": {"max": 3_000_000_000}}]}, [2_147_483_647], [[]]),
     ("numeric(8,2)", {"type": "numeric(12,2)", "steps": [{"to_minor_units": {"currency": "GBP"}}], "checks": [{"range": {"min": 1}}]},
      ["0.00", "0.01"], [["range"], []]),
     ("text", {"type": "char(34)", "checks": ["iban"]}, ["GB33BUKB20201555555555"], [[]]),
     ("varchar(4)", {"type": "char(5)", "checks": [{"pattern": "[a-z]+"}]}, ["ab", "1"], [[], ["pattern"]])],
)  # fmt: skip
def test_a_check_sees_the_value_in_the_type_of_its_field(
    engine: Engine, kind: str, field: dict[str, Any], given: list[Any], expected: list[list[str]]
) -> None:
    assert [codes for _, codes in engine.values(kind, field, given)] == expected


@pytest.mark.parametrize(
    ("kind", "said", "expected"),
    [("integer", 0, 0), ("text", 0, "0"), ("boolean", False, False), ("text", "", ""), ("numeric(4,2)", 0, 0)],
)
def test_a_branch_may_be_a_constant_that_is_false_to_python(
    engine: Engine, kind: str, said: Any, expected: Any
) -> None:
    field = {"when": [{"if": {"a": ["x"]}, "then": {"constant": said}}], "otherwise": {"constant": said}, "type": kind}

    assert engine.rows({"a": "text"}, {"x": field}, [{"a": "x"}, {"a": "y"}])[0].values["x"] == expected


def test_a_constant_meets_steps_without_padding(engine: Engine) -> None:
    field = {"constant": "{}", "type": "char(300)", "steps": [{"suffix": "."}, {"truncate_bytes": 7}]}

    (row,) = engine.rows({"a": "text"}, {"x": field, "y": {"from": "a", "type": "text"}}, [{"a": "x"}])

    assert (row.values["x"].rstrip(), row.errors) == ("{}.", [])


def test_columns_of_any_collation_are_mapped(engine: Engine) -> None:
    """A nondeterministic collation refuses patterns and `replace`; two collations refuse to be joined."""
    if not (
        engine.session.execute("select count(*) from pg_collation where collname = 'und-x-icu'").fetchone() or (0,)
    )[0]:
        pytest.skip("this server has no ICU")
    engine.session.execute("create collation if not exists loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
        ' drop table if exists collated; create table collated (a text collate loose, b text collate "C");'
        " insert into collated values ('Ab', 'cd')")  # fmt: skip
    mapping = Mapping.model_validate({"version": "1.0.0", "source": {"a": "text", "b": "text"}, "fields": {
        "x": {"from": "a", "type": "text", "steps": [{"replace": {"text": "b", "with": "c"}}], "checks": [{"pattern": "[A-Z]c"}]},
        "y": {"concat": {"columns": ["a", "b"]}, "type": "text"},
    }})  # fmt: skip

    row = engine.session.execute(compile_mapping(mapping, sql.Identifier("collated")).select).fetchone()

    assert row == ("Ac", "Ab cd", False, None)
