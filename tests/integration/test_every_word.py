"""Every word of the catalogue, by its own examples, on every type it takes, over values that were chosen to break it.

What a word means is tested in test_words_*.py against an independent statement of its rule. Here stands what must hold
of all of them: a bad value never fails the statement, NULL is never an error of a step, and the type that `gives` names
is the type that comes. A new word is tested here as soon as it has an example.
"""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
import yaml

from syncline.core.mapping import Mapping
from syncline.core.reference_files import ProjectReferences
from syncline.core.transforms import Check, Transform
from syncline.core.transforms.base import NotApplicable, Worded
from syncline.core.types import FAMILIES, PgType
from tests.conftest import ROOT
from tests.integration.mapping_engine import Engine

TEXTS = [
    "", " ", "a", "Ab c", "ß", "é", "\u0130", "ﷺ" * 20, "漢字", "\U0010ffff", "a" * 10_000, "%s", "\\", "'", "{", "[1", "null",
    "9" * 5_000, "0", "-1", "+1", "1.5", "1,5", "1e400", "NaN", "infinity", "٢٠٢٦-٠١-٠١", "2026-02-30", "2026-01-31",
    "0000-00-00", "99999999", "31/12/2026", "2026-01-31T24:00:00Z", "2026-03-29 01:30:00", "GB" + "9" * 40,
    "GB82WEST12345698765432", "00000000-0000-0000-0000-00000000000g", "true", "Y", "a,b,,c", ",", "a@b.c", "+441632960961",
    '{"a": {"b": [1]}}', "[" * 7_000 + "]" * 7_000, '{"a": 1e999999}', '"\\u0000"', "ABCDEF", "AB123456C", "1234567890123", "\n", "x\n",
]  # fmt: skip
NUMBERS = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e131071",
    "-1e131071",
    "1e-16383",
    "0.0005",
    "-0",
    "1e900",
    "12.345",
    "-7",
    "253402300800",
]
FLOATS = ["NaN", "Infinity", "-Infinity", "1e308", "-1e308", "5e-324", "0.1", "-0"]
DATES = [
    "infinity",
    "-infinity",
    "0044-03-15 BC",
    "4714-11-24 BC",
    "5874897-12-31",
    "0001-01-01",
    "10000-01-01",
    "2024-02-29",
    "2026-12-25",
]
TIMES = ["infinity", "-infinity", "294276-12-31 23:59:59.999999", "4714-11-24 00:00:00 BC", "0001-01-01 00:00:00", "2026-03-29 01:30:00",
         "2026-10-25 01:30:00.123456"]  # fmt: skip
# type -> nasty values; for a family, every type of it stands here
VALUES: dict[str, list[Any]] = {
    "text": TEXTS, "varchar(20)": [text[:20] for text in TEXTS], "char(5)": ["", "a", "ab   ", "12345"],
    "boolean": [True, False], "smallint": [-32768, 32767, 0], "integer": [-(2**31), 2**31 - 1, 0], "bigint": [str(-(2**63)), str(2**63 - 1), "0"],
    "numeric": NUMBERS, "numeric(12,2)": ["NaN", "9999999999.99", "-0.01"], "real": ["NaN", "Infinity", "3e38", "1e-45", "0.1"],
    "double precision": FLOATS, "money": ["0", "-92233720368547758.08", "12.34"], "date": DATES, "time": ["00:00:00", "24:00:00", "23:59:59.999999"],
    "timetz": ["00:00:00+15:59", "24:00:00-15:59"], "timestamp": TIMES,
    "timestamptz": [value if "inf" in value else value.replace(" BC", "+00 BC") if "BC" in value else value + "+00" for value in TIMES],
    "interval": ["1 mon", "-178000000 years", "00:00:00.000001"], "uuid": ["00000000-0000-0000-0000-000000000000"],
    "json": [{"a": [1, {"b": None}]}, "x", 1, [], None], "jsonb": [{"a": {"b": [1, "x"]}}, "x", 1e300, [], True, {"a": None}],
    "bytea": ["\\x", "\\x00ff"], "inet": ["::1", "10.0.0.0/8"], "cidr": ["10.0.0.0/8"],
    "text[]": [[], ["a", None, "b"], [["a"], ["b"]], [""]], "integer[]": [[], [1, None], [[1, 2], [3, 4]]],
}  # fmt: skip
EXAMPLES = [
    pytest.param(kind, example, id=example)
    for kind in (*Transform.known.values(), *Check.known.values())
    for example in kind.examples
]


def fields_of(kind: type[Worded], example: str) -> list[tuple[str, str, Mapping]]:
    """A mapping per type that the word takes: (source type, type of the result, mapping)."""
    said, is_check = yaml.safe_load(example), issubclass(kind, Check)
    found: list[tuple[str, str, Mapping]] = []
    for spelling in VALUES:
        if PgType.parse(spelling).as_read.family not in kind.takes:
            continue
        # Other columns that the word reads: of the first type that it takes for them.
        for other in ("text", "date", "integer", spelling):
            if (made := _made(said, spelling, other, is_check)) is not None:
                found.append((spelling, made[0], made[1]))
                break
    return found


def _made(said: Any, spelling: str, other: str, is_check: bool) -> tuple[str, Mapping] | None:
    draft: dict[str, Any] = {"from": "a", "type": spelling, "checks" if is_check else "steps": [said], "pii": "none"}
    try:
        first = _mapping({"a": spelling}, {"x": draft})
        (word,) = first.fields["x"].checks if is_check else first.fields["x"].steps
        given = PgType.parse(spelling).as_read
        draft["type"] = str(given if is_check else word.gives(given))
        others = {name: {"from": name, "type": other, "pii": "none"} for name in word.reads}
        mapping = _mapping({"a": spelling, **dict.fromkeys(word.reads, other)}, {"x": draft, **others})
    except NotApplicable:
        return None
    return None if mapping.faults() else (draft["type"], mapping)


def _mapping(source: dict[str, str], fields: dict[str, Any]) -> Mapping:
    return Mapping.model_validate(
        {"version": "1.0.0", "source": source, "fields": fields}, context=ProjectReferences(ROOT)
    )


@pytest.mark.parametrize(("kind", "example"), EXAMPLES)
def test_no_value_of_any_type_fails_the_statement(engine: Engine, kind: type[Worded], example: str) -> None:
    engine.set_hash_keys()
    tried = fields_of(kind, example)
    assert tried, "the word takes none of the types above with this example"

    for spelling, _gives, mapping in tried:
        if kind.server_min > engine.session.info.server_version // 10_000:
            pytest.skip(f"needs PostgreSQL {kind.server_min}")
        others = [name for name in mapping.source if name != "a"]
        kinds = {name: str(kind) for name, kind in mapping.source.items()}
        fields = {name: field.model_dump(by_alias=True, exclude_unset=True) for name, field in mapping.fields.items()}
        fields["x"] = {**fields["x"], "steps" if "steps" in fields["x"] else "checks": [yaml.safe_load(example)]}
        nasty = [*VALUES[spelling], None]
        given = [
            {"a": value, **{name: VALUES[kinds[name]][(n + at) % len(VALUES[kinds[name]])] for name in others}}
            for at, value in enumerate(nasty)
            for n in ((0, 7, 13) if others else (0,))
        ]
        try:
            rows = engine.rows(kinds, fields, given)
        except psycopg.Error as error:
            pytest.fail(f"{example} on {spelling}: {error.diag.message_primary}")
        for row, was in zip(rows, given, strict=True):
            assert (row.payload is None) is (row.errors == [])
            if was["a"] is None and issubclass(kind, Transform):
                assert not [code for code in row.errors if code == f"x:{kind.model_fields['word'].default}"], (
                    f"NULL is refused on {spelling}"
                )


def test_every_word_has_an_example_that_is_tried() -> None:
    assert {kind.values[0] for kind in EXAMPLES} == {*Transform.known.values(), *Check.known.values()}


def test_every_type_is_among_the_values() -> None:
    assert {PgType.parse(spelling).name for spelling in VALUES} == set(FAMILIES)
