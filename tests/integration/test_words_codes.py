"""The words on codes, on a real PostgreSQL, against a dict and the days of Python's own calendar."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from syncline.core.mapping import Mapping
from syncline.core.reference_files import ProjectReferences
from tests.integration.mapping_engine import Engine

MANY = settings(
    max_examples=20, deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip
TEXT = st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
# What a code of another system may look like; many, so that neighbours in any order of letters are among them.
CODES = [
    *"AaBbZz019",
    "",
    " ",
    "A ",
    "AA",
    "Aa",
    "aA",
    "a-",
    "é",
    "e",
    "É",
    "漢",
    "\U0001f600",
    "\uffff",
    "it's",
    "50%",
    "\\",
    '"',
    "{}",
    "{a}",
    "null",
]


class Lists:
    """Code lists of this test, beside an engine that reads them."""

    def __init__(self, engine: Engine, root: Path) -> None:
        self.engine, self.folder = engine, root / "include" / "code_lists"
        self.folder.mkdir(parents=True)
        self.written = 0

    def write(self, entries: dict[str, Any]) -> str:
        """A new file each time; returns its name."""
        self.written += 1
        name = f"list_{self.written}"
        said = {"version": "1.0.0", "description": "Codes of a test", "entries": entries}
        text = yaml.safe_dump(said, allow_unicode=True, default_style='"', sort_keys=False)
        (self.folder / f"{name}.yaml").write_text(text, encoding="utf-8")
        return name

    def refuses(self, item: dict[str, Any], *, check: bool = False, **source: str) -> str:
        """What is said against a mapping that uses a word so."""
        columns = {"code": "text", **source}
        fields = {name: {"from": name, "type": kind} for name, kind in columns.items()}
        fields["code"]["checks" if check else "steps"] = [item]  # type: ignore[assignment]
        document = {"version": "1.0.0", "source": columns, "fields": fields}
        try:
            faults = Mapping.model_validate(document, context=ProjectReferences(self.engine.root)).faults()
        except ValidationError as error:
            return str(error)
        return "; ".join(fault[2] for fault in faults)


@pytest.fixture
def lists(engine: Engine, tmp_path: Path) -> Iterator[Lists]:
    usual, engine.root = engine.root, tmp_path
    yield Lists(engine, tmp_path)
    engine.root = usual


# -- without periods ------------------------------------------------------------------------------------------

TABLES = st.dictionaries(
    st.sampled_from(CODES), TEXT | st.sampled_from(["it's", "50 % {}", ""]), min_size=1, max_size=25
)


@MANY
@given(table=TABLES, otherwise=st.none() | st.sampled_from(["", "other", "it's"]), texts=st.lists(TEXT, max_size=5))
def test_a_map_is_a_dict(engine: Engine, table: dict[str, str], otherwise: str | None, texts: list[str]) -> None:
    step = {"map": {"values": table} if otherwise is None else {"values": table, "otherwise": otherwise}}
    codes = [*CODES, *texts]

    told = engine.values("text", {"type": "text", "steps": [step]}, [*codes, None])

    expected = [table.get(code, otherwise) for code in codes]
    assert told == [*((value, [] if value is not None else ["map"]) for value in expected), (None, [])]


@pytest.mark.parametrize(
    "table", [{"word": "a", "x": "b"}, {"A": "a", "values_": "b"}, {"null": "a", "true": "b", "1": "c"}]
)
def test_a_map_may_hold_what_looks_like_our_own_words(engine: Engine, table: dict[str, str]) -> None:
    assert engine.values("text", {"type": "text", "steps": [{"map": table}]}, list(table)) == [
        (value, []) for value in table.values()
    ]


def test_a_map_of_padded_codes_sees_them_without_their_padding(engine: Engine) -> None:
    for table in ({"A": "active"}, dict.fromkeys("ABCDEFGHIJ", "active")):
        told = engine.values("char(3)", {"type": "text", "steps": [{"map": table}]}, ["A", "A  ", "AB"])

        assert told == [("active", []), ("active", []), (None, ["map"])]


@MANY
@given(table=TABLES, texts=st.lists(TEXT, max_size=5), otherwise=st.none() | st.just("other"))
def test_a_code_list_is_a_dict_in_a_file(
    lists: Lists, table: dict[str, str], texts: list[str], otherwise: str | None
) -> None:
    table = {code: value for code, value in table.items() if value.isprintable()}  # a file shows what it says
    table = {code: value for code, value in table.items() if code.isprintable()} or {"A": "a"}
    name, codes = lists.write(table), [*CODES, *texts]
    step = {"list": name} if otherwise is None else {"list": name, "otherwise": otherwise}

    told = lists.engine.values("text", {"type": "text", "steps": [{"code_list": step}]}, [*codes, None])
    of_codes = lists.engine.values("text", {"type": "text", "checks": [{"in_code_list": name}]}, [*codes, None])
    of_values = lists.engine.values(
        "text", {"type": "text", "checks": [{"in_code_list": {"list": name, "of": "values"}}]}, [*codes, None]
    )

    expected = [table.get(code, otherwise) for code in codes]
    assert told == [*((value, [] if value is not None else ["code_list"]) for value in expected), (None, [])]
    assert of_codes == [*((code, [] if code in table else ["in_code_list"]) for code in codes), (None, [])]
    assert of_values == [*((code, [] if code in table.values() else ["in_code_list"]) for code in codes), (None, [])]


def test_the_counterparts_fit_the_type_that_the_word_gives(lists: Lists) -> None:
    """A varchar of the longest one: no guard, no loss."""
    name = lists.write({"A": "four", "B": "é漢\U0001f600!!"})

    for step in (
        {"code_list": {"list": name, "otherwise": "sixsix"}},
        {"map": {"values": {"A": "four"}, "otherwise": "sixsix"}},
    ):
        assert lists.engine.values("text", {"type": "varchar(6)", "steps": [step]}, ["A", "?"]) == [
            ("four", []),
            ("sixsix", []),
        ]


# -- with periods ---------------------------------------------------------------------------------------------

FIRST, LAST = date(1999, 12, 1), date(2000, 3, 31)  # a leap day among them
DAYS = [FIRST + timedelta(n) for n in range((LAST - FIRST).days + 1)]
Periods = list[tuple[date | None, date | None, str]]  # from, to, counterpart


@st.composite
def periods(draw: st.DrawFn) -> Periods:
    """Up to four that follow each other, with gaps or without; the first and the last may have no end."""
    cuts = sorted(draw(st.lists(st.sampled_from(DAYS[1:-1]), min_size=2, max_size=8, unique=True)))
    found: Periods = [
        (
            begin,
            end - timedelta(draw(st.booleans()) and end - begin > timedelta(1)),
            draw(st.sampled_from(["x", "y", "it's", ""])),
        )
        for begin, end in zip(cuts[::2], cuts[1::2], strict=False)
    ]
    if draw(st.booleans()):
        found[0] = (None, *found[0][1:])
    if draw(st.booleans()):
        found[-1] = (found[-1][0], None, found[-1][2])
    return draw(st.permutations(found))


DATED = st.dictionaries(
    st.sampled_from(CODES), periods() | st.sampled_from(["always", "it's"]), min_size=1, max_size=22
).filter(
    lambda table: any(isinstance(said, list) and any(begin or end for begin, end, _ in said) for said in table.values())
)


def as_entries(table: dict[str, Any]) -> dict[str, Any]:
    def entry(begin: date | None, end: date | None, value: str) -> dict[str, str]:
        days = {"valid_from": begin and begin.isoformat(), "valid_to": end and end.isoformat()}
        return {"value": value, **{name: day for name, day in days.items() if day}}

    return {
        code: said if isinstance(said, str) else [entry(*period) for period in said] for code, said in table.items()
    }


def on_day(table: dict[str, Any], code: str, day: date | None) -> list[str]:
    """What a code stands for on a day: one counterpart or none; none without a day."""
    if day is None or code not in table:
        return []
    if isinstance(table[code], str):
        return [table[code]]
    return [value for begin, end, value in table[code] if (begin or date.min) <= day <= (end or date.max)]


def boundaries(table: dict[str, Any]) -> list[date]:
    """The first and the last day of every period, with their neighbours."""
    ends = {day for said in table.values() if isinstance(said, list) for period in said for day in period[:2] if day}
    return sorted({day + timedelta(n) for day in ends for n in (-1, 0, 1)})


@MANY
@given(table=DATED, otherwise=st.none() | st.just("other"))
def test_the_day_decides_what_a_code_means(lists: Lists, table: dict[str, Any], otherwise: str | None) -> None:
    name = lists.write(as_entries(table))
    asked = [(code, day) for code in CODES for day in (*boundaries(table)[:12], FIRST, LAST, None)] + [
        (None, FIRST),
        (None, None),
    ]
    step = {"list": name, "at": "day", **({} if otherwise is None else {"otherwise": otherwise})}
    fields = {
        "mapped": {"from": "code", "type": "text", "steps": [{"code_list": step}]},
        "code": {"from": "code", "type": "text", "checks": [{"in_code_list": {"list": name, "at": "day"}}]},
        "value": {
            "from": "code",
            "type": "text",
            "checks": [{"in_code_list": {"list": name, "at": "day", "of": "values"}}],
        },
        "day": {"from": "day", "type": "date"},
    }

    rows = lists.engine.rows(
        {"code": "text", "day": "date"}, fields, [{"code": code, "day": day and day.isoformat()} for code, day in asked]
    )

    for row, (code, day) in zip(rows, asked, strict=True):
        found = [] if code is None else on_day(table, code, day)
        holds = [value for known in table for value in on_day(table, known, day)]
        errors = [] if code is None or found or otherwise is not None else ["mapped:code_list"]
        errors += [] if code is None or found else ["code:in_code_list"]
        errors += [] if code is None or code in holds else ["value:in_code_list"]
        assert row.errors == errors, (code, day)
        assert row.values["mapped"] == (None if code is None else [*found, otherwise][0]), (code, day)


@pytest.mark.parametrize(
    ("day", "rate"),
    [("2008-11-30", "17.5"), ("2008-12-01", "15"), ("2009-12-31", "15"), ("2010-01-01", "17.5"), ("2011-01-03", "17.5"), ("2011-01-04", "20"),
     ("1991-03-31", None), ("1991-04-01", "17.5"), ("infinity", "20"), ("-infinity", None), ("0044-03-15 BC", None), ("5874897-12-31", "20"), (None, None)],
)  # fmt: skip
def test_the_rate_of_a_tax_on_the_day_it_changed(engine: Engine, day: str | None, rate: str | None) -> None:
    fields = {
        "rate": {"from": "letter", "type": "text", "steps": [{"code_list": {"list": "uk_vat_rate", "at": "day"}}]},
        "letter": {
            "from": "letter",
            "type": "text",
            "checks": [{"in_code_list": {"list": "uk_vat_rate", "at": "day"}}],
        },
        "day": {"from": "day", "type": "date"},
    }

    standard, zero = engine.rows(
        {"letter": "text", "day": "date"}, fields, [{"letter": "S", "day": day}, {"letter": "Z", "day": day}]
    )

    assert (standard.values["rate"], standard.errors) == (
        rate,
        [] if rate else ["rate:code_list", "letter:in_code_list"],
    )
    # Zero is zero for ever; but without a day nobody can say so.
    assert (zero.values["rate"], zero.errors) == (
        ("0", []) if day else (None, ["rate:code_list", "letter:in_code_list"])
    )


def test_every_code_of_a_long_list_is_found_and_none_between_them(lists: Lists) -> None:
    """700 codes: as many branches as halving makes, in the order of their bytes."""
    codes = sorted({f"{a}{b}" for a in "AZaz09é漢\U0001f600" for b in CODES} | {str(n) for n in range(500)})
    table = {code: [(FIRST, LAST, f"of {code}")] for code in codes}
    name = lists.write(as_entries(table))
    near = [
        change(code) for code in codes for change in (str.swapcase, lambda code: code + " ", lambda code: code[:-1])
    ]

    rows = lists.engine.rows(
        {"code": "text", "day": "date"},
        {"x": {"from": "code", "type": "text", "steps": [{"code_list": {"list": name, "at": "day"}}]}},
        [{"code": code, "day": "2000-02-29"} for code in (*codes, *near)],
    )

    expected = [on_day(table, code, date(2000, 2, 29)) for code in (*codes, *near)]
    assert [row.values["x"] for row in rows] == [found[0] if found else None for found in expected]


# -- mistakes -------------------------------------------------------------------------------------------------


def test_a_dated_list_wants_a_day_and_another_one_has_no_use_for_it(lists: Lists) -> None:
    dated, plain = lists.write({"A": {"value": "a", "valid_from": "2000-01-01"}}), lists.write({"A": "a"})

    for word, check in (("code_list", False), ("in_code_list", True)):
        assert "has periods: say `at`" in lists.refuses({word: dated}, check=check)
        assert "no periods, so `at` decides nothing" in lists.refuses(
            {word: {"list": plain, "at": "day"}}, check=check, day="date"
        )
        assert "'day' is timestamptz" in lists.refuses(
            {word: {"list": dated, "at": "day"}}, check=check, day="timestamptz"
        )
        assert "'dya' is" in lists.refuses({word: {"list": dated, "at": "dya"}}, check=check, day="date")
        assert lists.refuses({word: {"list": dated, "at": "day"}}, check=check, day="date") == ""


def test_a_list_that_is_not_there_is_told_with_the_nearest_name(lists: Lists) -> None:
    lists.write({"A": "a"})

    assert "include/code_lists/list_l.yaml does not exist. Did you mean 'list_1'?" in lists.refuses(
        {"code_list": "list_l"}
    )
    assert "is not a name" in lists.refuses({"in_code_list": "../code_lists/list_1"}, check=True)


@pytest.mark.parametrize("entries", [{"A": {"value": "a", "valid_to": "2000-02-30"}}, {}, {"A": 1}])
def test_a_list_with_mistakes_of_its_own_is_not_used(lists: Lists, entries: dict[str, Any]) -> None:
    name = lists.write(entries)
    (lists.folder / f"{name}.yaml").write_text(
        yaml.safe_dump({"version": "1.0.0", "description": "Codes of a test", "entries": entries})
    )

    assert "has mistakes of its own" in lists.refuses({"code_list": name})


def test_the_lists_of_the_project_are_those_of_their_standards(engine: Engine) -> None:
    pycountry = pytest.importorskip("pycountry")
    codes = sorted(country.alpha_2 for country in pycountry.countries)

    for name, of in (("iso_3166_alpha_3", "alpha_3"), ("iso_3166_numeric", "numeric")):
        told = engine.values("text", {"type": "text", "steps": [{"code_list": name}]}, codes)
        assert told == [(getattr(pycountry.countries.get(alpha_2=code), of), []) for code in codes]
