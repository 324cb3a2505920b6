"""Presence, size, shape and agreement between fields, on a real PostgreSQL, against the rules said again in Python."""

from __future__ import annotations

import itertools
import operator
import re
import string
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from syncline.core.mapping import Mapping
from syncline.core.transforms.patterns import for_server, why_not_portable
from tests.integration.mapping_engine import Engine

MANY = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TEXT = st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
TEXTS = st.lists(st.none() | TEXT | st.text("09٣ \n", max_size=6), max_size=25)
NASTY = [
    None,
    "",
    " ",
    "\n",
    "1\n",
    "\u00a0\u3000\t",
    "\u200b",
    "é",
    "٣",
    "\uff11",
    "1",
    "12",
    "1" * 10_000,
    " " * 10_000,
    "%",
    "\\",
]


def refused(engine: Engine, check: Any, texts: list[Any], kind: str = "text") -> list[bool]:
    (word,) = [check] if isinstance(check, str) else check
    mapped = engine.values(kind, {"type": kind, "checks": [check]}, texts)
    assert all(codes in ([], [word]) for _, codes in mapped)
    return [bool(codes) for _, codes in mapped]


@MANY
@given(texts=TEXTS)
@example(NASTY)
def test_not_blank_wants_more_than_what_trim_takes(engine: Engine, texts: list[str | None]) -> None:
    expected = [text is not None and not text.strip(" \t\n\r\u00a0\u3000") for text in texts]

    assert refused(engine, "not_blank", texts) == expected


@MANY
@given(texts=TEXTS)
@example(NASTY)
def test_digits_are_those_of_ascii(engine: Engine, texts: list[str | None]) -> None:
    expected = [text is not None and (not text or bool(set(text) - set(string.digits))) for text in texts]

    assert refused(engine, "digits", texts) == expected


@MANY
@given(texts=TEXTS, low=st.integers(0, 8), more=st.integers(0, 6))
@example(NASTY, 1, 1)
def test_a_length_is_counted_in_characters(engine: Engine, texts: list[str | None], low: int, more: int) -> None:
    sizes = [None if text is None else len(text) for text in texts]
    high = low + more

    assert refused(engine, {"length": low}, texts) == [n is not None and n != low for n in sizes]
    assert refused(engine, {"length": {"min": low}}, texts) == [n is not None and n < low for n in sizes]
    assert refused(engine, {"length": {"max": high}}, texts) == [n is not None and n > high for n in sizes]
    between = [n is not None and not low <= n <= high for n in sizes]
    assert refused(engine, {"length": {"min": low, "max": high}}, texts) == between


@pytest.mark.parametrize(
    ("checks", "said"),
    [([{"length": {"min": 3, "max": 2}}], "min above max"), (["length"], "either `exact`"), ([{"length": {"exact": 2, "min": 1}}], "either `exact`"),
     ([{"length": -1}], "greater than or equal to 0"), ([{"length": True}], "integer"), ([{"required_when": {"field": "b", "values": []}}], "at least 1"),
     ([{"compare": {"is": "more", "field": "b"}}], "at_least"), ([{"national_id": "AQ"}], "'GB'"), ([{"iso_country": "iso"}], "alpha3")],
)  # fmt: skip
def test_a_check_that_makes_no_sense_is_told(checks: list[Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Mapping.model_validate(
            {
                "version": "1.0.0",
                "source": {"a": "text"},
                "fields": {"x": {"from": "a", "type": "text", "checks": checks}},
            }
        )


# -- regular expressions --------------------------------------------------------------------------------------


def as_python(regex: str) -> re.Pattern[str]:
    """As the page says it: ASCII classes, a dot for any character."""
    return re.compile(regex, re.ASCII | re.DOTALL)


def test_brackets_that_are_taken_mean_the_same_to_the_server(engine: Engine) -> None:
    """All brackets of up to four of these members, each with all of the signs."""
    members = ["a", "c", "-", "9", "+", ".", r"\d", r"\-", "é"]
    brackets = [
        f"[{negated}{''.join(inside)}]"
        for negated in ("", "^")
        for size in range(1, 5)
        for inside in itertools.product(members, repeat=size)
    ]
    taken = [bracket for bracket in brackets if why_not_portable(bracket) is None]
    signs = "abc-039+,.\\d[]^é٣\n"
    # The server gets them as an array: a mapping of so many fields would be too large a statement.
    told = engine.session.execute(
        "select array_agg(sign order by n) filter (where sign ~ ('^' || regex || '$')) from unnest(%s::text[])"
        " with ordinality as r (regex, place), unnest(%s::text[]) with ordinality as s (sign, n)"
        " group by place order by place",
        [[for_server(bracket) for bracket in taken], list(signs)],
    ).fetchall()

    assert 1_000 < len(taken) < len(brackets)
    expected = ([sign for sign in signs if as_python(bracket).fullmatch(sign)] or None for bracket in taken)
    assert [(bracket, row[0]) for bracket, row in zip(taken, told, strict=True)] == list(
        zip(taken, expected, strict=True)
    )


@pytest.mark.parametrize("regex", ["[a-c-e]", "[a-z-9]", "[0-9-a]", "[+-.-:]", r"[\d-a]", r"[a-\d]", "[c-a]", "[--a]"])
def test_a_dash_in_brackets_has_one_meaning_or_none(regex: str) -> None:
    assert "in brackets" in str(why_not_portable(regex))


@pytest.mark.parametrize(
    "regex", [r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", r"[\d-]", r"[^\d.]", r"[\s\w]", r"[^\s]", ".", "[^a]", r"[^\w\s]"]
)  # fmt: skip
def test_classes_are_those_of_ascii_wherever_a_pattern_stands(engine: Engine, regex: str) -> None:
    signs = [chr(n) for n in range(1, 0x180)] + list("٣\u0966\u1680\u2003\u2028\u3000\u200b\u20ac中😀")
    fields = {
        "checked": {"from": "a", "type": "text", "checks": [{"pattern": regex}]},
        "extracted": {"from": "a", "type": "text", "steps": [{"extract": {"pattern": regex, "on_missing": "null"}}]},
        "matched": {"expression": f"a ~ '{regex}'", "type": "boolean"},
        "unmatched": {"expression": f"a !~ '{regex}'", "type": "boolean"},
    }

    rows = engine.rows({"a": "text"}, fields, [{"a": sign} for sign in signs])

    fits = [as_python(regex).fullmatch(sign) is not None for sign in signs]
    assert [not row.errors for row in rows] == fits
    assert [row.values["extracted"] is not None for row in rows] == fits
    assert [row.values["matched"] for row in rows] == fits
    assert [row.values["unmatched"] for row in rows] == [not fit for fit in fits]


@pytest.mark.parametrize(
    "regex",
    ["(?:(a?b?c?d?e?){20}){100}", "(?:[a-z]?[0-9]?[A-Z]?[_]?[!]?[%]?[&]?[/]?){255}", "(?:[a-z]{255}){255}", "(?:a?){255}",
     "(?:(?:(?:a{9}){9}){9}){9}", "(?:[a-z]{1,100}){1,100}", "(?:a*b*c*d*e*f*){90}", "(a|b?|c?){200}", "((?:a?){15}(?:b?){15}){10}"],
)  # fmt: skip
def test_what_takes_a_server_long_to_prepare_is_refused(regex: str) -> None:
    assert "too many" in str(why_not_portable(regex))


@pytest.mark.parametrize(
    "regex",
    ["(?:[a-z]?[0-9]?[A-Z]?[_]?[!]?[%]?[&]?[/]?){12}", "(?:[a-z]{70}){70}", "(?:a?){99}", "(?:[a-z]{1,40}){1,40}", "[a-z]{0,255}",
     "(?:.*[a-m].{0,255}[b-z].{255})+", "(?:(a?b?c?d?e?){4}){4}", "(?:a|b)*a(?:a|b){255}", "(?:[a-z]+-?){1,60}", "(?:.?[a-c]?[b-d]?){19}"],
)  # fmt: skip
def test_the_largest_patterns_that_are_taken_are_soon_decided(engine: Engine, regex: str) -> None:
    texts = ["aB3_" * 8, "abcde" * 8, "ab" * 2_000, "a" * 4_900, "ab-" * 60, ""]
    assert why_not_portable(regex) is None

    with engine.session.transaction():
        engine.session.execute("set local statement_timeout = '20s'")  # a hundredth of it is usual
        refused(engine, {"pattern": regex}, texts)


# -- fields beside each other ---------------------------------------------------------------------------------

COMPARISONS = {
    "at_least": operator.ge,
    "above": operator.gt,
    "at_most": operator.le,
    "below": operator.lt,
    "equal": operator.eq,
    "different": operator.ne,
}
DATES = st.dates(date(1900, 1, 1), date(2100, 1, 1)) | st.sampled_from([date(2026, 1, 31), date(2026, 2, 1)])
NUMBERS = st.integers(-5, 5).map(lambda n: Decimal(n) / 2)
KINDS: dict[str, tuple[st.SearchStrategy[Any], Any]] = {
    "date": (DATES, str),
    "numeric(9,2)": (NUMBERS, str),
    "integer": (st.integers(-3, 3), int),
    "text": (st.text("aBbéZ_z 0漢", max_size=3), str),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_", COMPARISONS)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_a_field_stands_to_another_as_said(engine: Engine, is_: str, kind: str, data: st.DataObject) -> None:
    values, shown = KINDS[kind]
    pairs = data.draw(st.lists(st.tuples(st.none() | values, st.none() | values), min_size=5, max_size=30))
    fields = {
        "x": {"from": "a", "type": kind, "checks": [{"compare": {"is": is_, "field": "y"}}]},
        "y": {"from": "b", "type": kind},
    }

    rows = engine.rows(
        {"a": kind, "b": kind}, fields,
        [{"a": a if a is None else shown(a), "b": b if b is None else shown(b)} for a, b in pairs],
    )  # fmt: skip

    # Python orders texts by code points too.
    holds = [a is None or b is None or COMPARISONS[is_](a, b) for a, b in pairs]
    assert [row.errors for row in rows] == [[] if ok else ["x:compare"] for ok in holds]


def test_fields_are_compared_as_they_are_finished(engine: Engine) -> None:
    """Not the columns they come from; and a field that was refused is NULL, which tells nothing about the other."""
    fields = {
        "starts_on": {"from": "a", "type": "date", "steps": [{"parse_date": "iso"}]},
        "ends_on": {"from": "b", "type": "date", "steps": [{"parse_date": "dd/mm/yyyy"}],
                    "checks": [{"compare": {"is": "at_least", "field": "starts_on"}}]},
    }  # fmt: skip

    rows = engine.rows({"a": "text", "b": "text"}, fields, [
        {"a": "2026-02-01", "b": "01/02/2026"}, {"a": "2026-02-01", "b": "31/01/2026"}, {"a": "2026-02-30", "b": "31/01/2026"},
        {"a": None, "b": "31/01/2026"}, {"a": "2026-02-01", "b": None},
    ])  # fmt: skip

    assert [row.errors for row in rows] == [[], ["ends_on:compare"], ["starts_on:parse_date"], [], []]


@pytest.mark.parametrize(
    ("kind", "other", "a", "b", "is_", "ok"),
    [("integer", "numeric(9,2)", 1, "1.00", "equal", True), ("varchar(5)", "text", "ab", "ab", "equal", True),
     ("char(5)", "text", "ab", "ab", "equal", True), ("boolean", "boolean", True, False, "different", True), ("numeric", "numeric", "NaN", "1", "at_least", True),
     ("numeric", "numeric", "1", "NaN", "at_least", False), ("date", "date", "infinity", "2026-01-01", "above", True),
     ("uuid", "uuid", "00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000001", "equal", False),
     ("jsonb", "jsonb", {"a": 1, "b": 2}, {"b": 2, "a": 1}, "equal", True), ("inet", "inet", "::1", "::1", "different", False),
     ("interval", "interval", "1 day", "23 hours", "above", True), ("time", "time", "10:00", "09:59", "below", False),
     ("timestamptz", "timestamptz", "2026-01-01 00:00:00+00", "2026-01-01 01:00:00+01", "equal", True)],
)  # fmt: skip
def test_what_equal_and_above_mean_per_type(
    engine: Engine, kind: str, other: str, a: Any, b: Any, is_: str, ok: bool
) -> None:
    fields = {
        "x": {"from": "a", "type": kind, "checks": [{"compare": {"is": is_, "field": "y"}}]},
        "y": {"from": "b", "type": other},
    }

    (row,) = engine.rows({"a": kind, "b": other}, fields, [{"a": a, "b": b}])

    assert row.errors == ([] if ok else ["x:compare"])


def faults(checks: list[Any], kind: str = "text", other: str = "date") -> list[str]:
    mapping = Mapping.model_validate(
        {
            "version": "1.0.0",
            "source": {"a": kind, "b": other},
            "fields": {"x": {"from": "a", "type": kind, "checks": checks}, "y": {"from": "b", "type": other}},
        }
    )
    return [fault[2] for fault in mapping.faults()]


@pytest.mark.parametrize(
    ("kind", "other", "check", "said"),
    [("text", "date", {"compare": {"is": "equal", "field": "y"}}, "two values of one kind; 'y' is date"),
     ("uuid", "uuid", {"compare": {"is": "above", "field": "y"}}, "uuid has no order"),
     ("text", "date", {"compare": {"is": "equal", "field": "z"}}, "'z' is no other field"),
     ("text", "date", {"compare": {"is": "equal", "field": "x"}}, "'x' is no other field"),
     ("text", "text", {"required_with": "z"}, "'z' is no other field"),
     ("text", "integer", {"required_when": {"field": "y", "values": ["left"]}}, "'left' is not a numeric"),
     ("text", "boolean", {"required_when": {"field": "y", "values": ["yes"]}}, "'yes' is not a boolean"),
     ("text", "jsonb", {"required_when": {"field": "y", "values": ["{}"]}}, "not jsonb"),
     ("date", "date", "iban", "`iban` takes text, not date")],
)  # fmt: skip
def test_a_check_that_does_not_fit_its_fields_is_told(kind: str, other: str, check: Any, said: str) -> None:
    (fault,) = faults([check], kind, other)

    assert said in fault


ROWS = [("a", None), (None, None), (None, "left"), ("a", "left"), (None, ""), (None, "x"), (None, "left\n")]


def test_required_with_asks_where_the_other_has_a_value(engine: Engine) -> None:
    fields = {
        "x": {"from": "a", "type": "text", "checks": [{"required_with": "y"}]},
        "y": {"from": "b", "type": "text"},
    }

    rows = engine.rows({"a": "text", "b": "text"}, fields, [{"a": a, "b": b} for a, b in ROWS])

    assert [row.errors for row in rows] == [["x:required_with"] if a is None and b is not None else [] for a, b in ROWS]


@pytest.mark.parametrize(
    ("other", "values", "given_values", "wanted"),
    [("text", ["left", "dismissed", "%s'"], ["left", "dismissed", "%s'", "Left", "", None, "active"], 3),
     ("integer", [1, 2.5, 99999999999], [1, 0, 2, None], 1), ("numeric(9,2)", [1, 2.5], ["1.00", "2.50", "2.51", "NaN", None], 2),
     ("boolean", [True], [True, False, None], 1), ("date", ["2026-01-31"], ["2026-01-31", "2026-02-01", None], 1),
     ("char(3)", ["ab"], ["ab", "abc"], 1)],
)  # fmt: skip
def test_required_when_asks_where_the_other_has_one_of_the_values(
    engine: Engine, other: str, values: list[Any], given_values: list[Any], wanted: int
) -> None:
    fields = {
        "x": {"from": "a", "type": "text", "checks": [{"required_when": {"field": "y", "values": values}}]},
        "y": {"from": "b", "type": other},
    }

    empty = engine.rows({"a": "text", "b": other}, fields, [{"a": None, "b": value} for value in given_values])
    filled = engine.rows({"a": "text", "b": other}, fields, [{"a": "", "b": value} for value in given_values])

    assert [row.errors for row in empty] == [["x:required_when"]] * wanted + [[]] * (len(given_values) - wanted)
    assert [row.errors for row in filled] == [[]] * len(given_values)


def test_a_finished_value_is_compared_once_more_where_a_constant_stands(engine: Engine) -> None:
    fields = {
        "x": {"constant": "2026-01-01", "type": "date", "checks": [{"compare": {"is": "below", "field": "y"}}]},
        "y": {"from": "b", "type": "date"},
        "n": {"constant": "213800KUD8LAJWSQ9D15", "type": "text", "checks": ["lei", {"national_id": "DE"}]},
    }

    rows = engine.rows({"b": "date"}, fields, [{"b": "2026-01-02"}, {"b": "2026-01-01"}])

    assert [row.errors for row in rows] == [["n:national_id"], ["x:compare", "n:national_id"]]


@pytest.mark.parametrize("text", ["\\", "\\x", "12345678\\", "\\xzz", "€", "'"])
def test_a_constant_that_is_no_number_fails_no_statement(engine: Engine, text: str) -> None:
    """A planner folds constants before it runs: what stands behind a test must not be folded in front of it."""
    checks = ["luhn", "iban", "lei", "email", *({"national_id": c} for c in ("BE", "DE", "ES", "FR", "IT", "NL", "PL", "SE")),
              *({"vat_number": {"country": c, "prefix": "absent"}} for c in ("BE", "DE", "ES", "FR", "GB"))]  # fmt: skip

    (row,) = engine.rows(
        {"a": "text"},
        {"x": {"constant": text, "type": "text", "checks": checks}, "a": {"from": "a", "type": "text"}},
        [{"a": ""}],
    )

    assert len(row.errors) == len(checks)
