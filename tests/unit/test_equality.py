"""What may be said under `equal`: what says nothing about a type, or contradicts itself, is refused with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from syncline.core.equality import differs, is_exact, profile, spelled
from syncline.core.job_files import load_job
from syncline.core.mapping import FieldMap, Mapping
from syncline.core.reference_files import ProjectReferences
from syncline.core.text_forms import FOLDED, text_formed
from syncline.core.transforms import lit
from tests.conftest import ROOT
from tests.unit.project_files import JOB, MAPPING, findings_of, write_project


def mapping(kind: str, **equal: Any) -> Mapping:
    return Mapping.model_validate(
        {"version": "1.0.0", "source": {"a": kind}, "fields": {"x": {"from": "a", "type": kind, "equal": equal}}},
        context=ProjectReferences(ROOT),
    )


def refused(kind: str, **equal: Any) -> list[str]:
    """Place below `equal`, and what is said there."""
    told = mapping(kind, **equal).faults()
    assert all(
        place[:3] == ("fields", "x", "equal") and code == "M20" and allowed for place, code, _, allowed, *_ in told
    )
    return [f"{'.'.join(map(str, place[3:]))}: {found}" for place, _, found, *_ in told]


@pytest.mark.parametrize(
    ("kind", "equal"),
    [
        ("numeric(12,2)", {"decimals": 2}),
        ("numeric(12,2)", {"decimals": 0}),
        ("double precision", {"decimals": 3}),
        ("bigint", {"within": 5}),
        ("real", {"within": 0.01}),
        ("timestamptz", {"within_s": 1}),
        ("time", {"second_digits": 0}),
        ("timestamp(3)", {"second_digits": 3}),
        ("text", {"ignore": ["case", "whitespace", "normalization"], "empty_is_null": True}),
        ("varchar(9)", {"ignore": ["padding", "compatibility"]}),
        ("char(3)", {"codes": [["GB", "UK", "GBR"], ["IE", "IRL"]]}),
        ("text", {"code_list": "iso_3166_alpha_3", "codes": [["UK", "GB"]], "ignore": ["case"]}),
        ("text", {"alike": 0.8, "empty_is_null": True}),
        ("json", {"is_json": True}),
        ("text", {"is_json": True}),
    ],
)
def test_what_says_something_is_taken(kind: str, equal: dict[str, Any]) -> None:
    assert refused(kind, **equal) == []


@pytest.mark.parametrize(
    ("kind", "equal", "said"),
    [
        ("text", {"decimals": 2}, "decimals: `decimals` says nothing about text"),
        ("date", {"within_s": 1}, "within_s: `within_s` says nothing about date"),
        ("numeric", {"within_s": 1}, "within_s: `within_s` says nothing about numeric"),
        ("timestamptz", {"within": 1}, "within: `within` says nothing about timestamptz"),
        ("text[]", {"ignore": ["case"]}, "ignore: `ignore` says nothing about text[]"),
        ("jsonb", {"is_json": True}, "is_json: `is_json` says nothing about jsonb"),
        ("integer", {"decimals": 0}, "decimals: integer has no decimals"),
        ("numeric(12,2)", {"decimals": 3}, "decimals: numeric(12,2) has only 2 decimals"),
        ("timestamptz(3)", {"second_digits": 4}, "second_digits: timestamptz(3) has only 3 digits of a second"),
        ("numeric", {"decimals": 2, "within": 0.01}, "within: `within` beside `decimals`: only one can decide"),
        ("time", {"second_digits": 1, "within_s": 1}, "within_s: `within_s` beside `second_digits`: only one can decide"),
        ("text", {"alike": 0.8, "ignore": ["case"]}, "ignore: `ignore` beside `alike`: only one can decide"),
        ("text", {"is_json": True, "codes": [["a", "b"]]}, "codes: `codes` beside `is_json`: only one can decide"),
        ("text", {"ignore": ["case", "case"]}, "ignore.1: `case` twice"),
        ("text", {"ignore": ["padding", "whitespace"]}, "ignore.0: `padding` beside `whitespace`, which says it too"),
        ("text", {"ignore": ["compatibility", "normalization"]},
         "ignore.1: `normalization` beside `compatibility`, which says it too"),
        ("char(9)", {"ignore": ["padding"]}, "ignore.0: padding of char(9) never counts"),
        ("text", {"codes": [["GB", "UK"], ["UK", "UA"]]}, "codes.1: 'UK' stands in groups 1 and 2"),
        ("text", {"codes": [["GB", "GB"]]}, "codes.0: 'GB' stands twice in one group"),
        ("text", {"codes": [["GB", "UK"], ["uk", "UA"]], "ignore": ["case"]}, "codes.1: 'uk' stands in groups 1 and 2"),
        ("text", {"code_list": "euro_area"},
         "code_list: code list 'euro_area' has periods: what a code means depends on the day"),
    ],
)  # fmt: skip
def test_what_says_nothing_or_contradicts_itself_is_refused(kind: str, equal: dict[str, Any], said: str) -> None:
    assert refused(kind, **equal) == [said]


def test_all_mistakes_are_told_at_once() -> None:
    told = refused("integer", decimals=2, within=1, ignore=["case", "case"])

    assert [line.split(":")[0] for line in told] == ["ignore", "within", "decimals", "ignore.1"]


@pytest.mark.parametrize(
    "equal",
    [
        {"within": 0}, {"within": -1}, {"within": float("nan")}, {"within": "0.1"}, {"within": True}, {"decimals": 1.5},
        {"decimals": -1}, {"second_digits": 6}, {"alike": 0}, {"alike": 1.1}, {"ignore": ["accents"]}, {"ignore": "case"},
        {"codes": [["GB"]]}, {"codes": [["GB", 1]]}, {"code_list": "no_such_list"}, {"empty_is_null": 1}, {"near": 1},
    ],
)  # fmt: skip
def test_a_value_that_no_word_takes_is_refused(equal: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        mapping("text", **equal)


def test_a_key_is_compared_as_it_is(tmp_path: Path) -> None:
    key = "employee_no: {from: worker_id, type: text, checks: [required]"
    write_project(tmp_path, mapping=MAPPING.replace(key, key + ", equal: {ignore: [case]}"))

    (said,) = findings_of(tmp_path)

    assert "`equal` on key column 'employee_no'" in str(said)


def test_a_mistake_is_told_with_its_line(tmp_path: Path) -> None:
    write_project(tmp_path, mapping=MAPPING.replace("    pii: name\n", "    pii: name\n    equal: {within: 1}\n"))

    (said,) = findings_of(tmp_path)

    line = MAPPING[: MAPPING.index("    pii: name")].count("\n") + 2
    assert (said.line, said.code) == (line, "M20")
    assert said.found == "`within` says nothing about text"


def test_what_is_equal_does_not_decide_which_rows_are_owed(tmp_path: Path) -> None:
    before = load_job(write_project(tmp_path / "a"), JOB)
    changed = MAPPING.replace("    pii: name\n", "    pii: name\n    equal: {ignore: [case]}\n")

    after = load_job(write_project(tmp_path / "b", mapping=changed), JOB)

    assert after.mapping.fields["full_name"].equal.ignore == ("case",)
    assert after.rows_hash == before.rows_hash
    assert after.manifest_hash != before.manifest_hash


def test_groups_of_codes_and_lists_that_share_a_value_are_one_group() -> None:
    equal = mapping("text", codes=[["UK", "gb"]], code_list="iso_3166_alpha_3", ignore=["case"]).fields["x"].equal

    assert len({equal.meanings[code] for code in ("uk", "gb", "gbr")}) == 1
    assert equal.meanings["de"] == equal.meanings["deu"] != equal.meanings["uk"]


def test_letters_are_folded_as_unicode_says() -> None:
    assert all(letter.casefold() == folded for letter, folded in FOLDED.items())
    assert text_formed(" STRAẞE\u3000Ä ", ("case", "whitespace")) == "strasse ä"
    assert text_formed("Zoe\u0308  ", ("normalization", "padding")) == "Zoë"


def test_a_tolerance_is_the_number_that_is_written() -> None:
    field = mapping("numeric", within=0.1).fields["x"]

    assert (
        "0.1," in differs(lit("a"), lit("b"), field).as_string()
        or "> 0.1" in differs(lit("a"), lit("b"), field).as_string()
    )
    assert "0.05" in spelled(lit("a"), field)[0].as_string()


@pytest.mark.parametrize(
    ("kind", "equal", "exact"),
    [
        ("numeric", {}, True), ("numeric", {"decimals": 1}, True), ("numeric", {"within": 1}, False), ("text", {}, True),
        ("text", {"alike": 0.5}, False), ("text", {"ignore": ["case"]}, True), ("jsonb", {}, False),
        ("varchar(5)", {}, False), ("timestamptz", {"within_s": 1}, False), ("timestamptz", {"second_digits": 1}, True),
    ],
)  # fmt: skip
def test_whether_a_checksum_alone_decides(kind: str, equal: dict[str, Any], exact: bool) -> None:
    field = FieldMap.model_validate({"from": "a", "type": kind, "equal": equal})

    assert is_exact(field) is exact


def test_what_equal_means_is_told_in_sentences() -> None:
    told = profile(mapping("numeric(12,2)", within=0.01))["x"]

    assert told == [
        "numbers at most 0.01 apart are equal",
        "NULL equals NULL alone",
        "numbers are equal whatever their scale: 1.10 and 1.1; NaN equals NaN",
    ]
