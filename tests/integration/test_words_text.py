"""The words on text, on a real PostgreSQL, against Python's own `str`, `re` and UTF-8."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.conninfo import make_conninfo
from pydantic import ValidationError

from syncline.adapters import connections
from syncline.core.compile import compile_mapping
from syncline.core.mapping import Mapping
from syncline.core.transforms import Transform
from syncline.core.transforms.base import normalise
from syncline.core.types import PgType
from tests.conftest import Postgres
from tests.integration.mapping_engine import Engine

MANY = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
# What PostgreSQL can hold as text: no NUL, no half of a surrogate pair.
TEXT = st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
TEXTS = st.lists(TEXT, max_size=20)
# All that Unicode calls White_Space.
WHITE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"


def mapped(engine: Engine, step: Any, texts: list[Any], kind: str = "text", to: str = "text") -> list[Any]:
    """Values of a step that refuses none."""
    told = engine.values(kind, {"type": to, "steps": [step]}, texts)
    assert not [codes for _, codes in told if codes]
    return [value for value, _ in told]


def word(item: Any) -> Transform:
    said = normalise(item, Transform.known)
    return Transform.known[said["word"]].model_validate(said)


# -- white space and case -------------------------------------------------------------------------------------


@MANY
@given(texts=st.lists(st.text(alphabet=WHITE + "ab\u200b\x1fé", max_size=12) | TEXT, max_size=20))
def test_collapse_makes_one_space_of_every_run_of_white_space(engine: Engine, texts: list[str]) -> None:
    assert mapped(engine, "collapse", texts) == [re.sub(f"[{WHITE}]+", " ", text) for text in texts]


def test_collapse_and_trim_leave_only_the_spaces_between_words(engine: Engine) -> None:
    ((value, codes),) = engine.values(
        "text", {"type": "text", "steps": ["collapse", "trim"]}, [f"{WHITE}a{WHITE}b{WHITE}"]
    )

    assert (value, codes) == ("a b", [])


# Letters whose case Unicode changed between the versions of our servers, or that only full rules change.
NEW_LETTERS = {"\u0130", "\u019b", "\u0264"}
LETTERS = st.text(
    alphabet=st.one_of(
        st.sampled_from(" -'’aBé"), st.characters(min_codepoint=0x20, max_codepoint=0x52F, exclude_categories=["Cc", "Cn", "Cs"])
    ), max_size=20,
)  # fmt: skip


@MANY
@given(texts=st.lists(LETTERS, max_size=20))
def test_capitalise_raises_the_first_letter_of_each_word(engine: Engine, texts: list[str]) -> None:
    assume(not any(letter in NEW_LETTERS for text in texts for letter in text))
    beyond_ascii = engine.knows_letters_beyond_ascii()

    def cased(text: str, at: int) -> str:
        changed = text[at].upper() if at == 0 or text[at - 1] in " -'’" else text[at].lower()
        return changed if len(changed) == 1 and (beyond_ascii or text[at].isascii()) else text[at]

    assert mapped(engine, "capitalise", texts) == [
        "".join(cased(text, at) for at in range(len(text))) for text in texts
    ]


@pytest.mark.parametrize(
    ("given_text", "value"),
    [("ANNA-LENA O'NEILL", "Anna-Lena O'Neill"), ("van der berg", "Van Der Berg"), ("--a", "--A"), ("", ""), ("mcDONALD", "Mcdonald")],
)  # fmt: skip
def test_capitalise_knows_no_names(engine: Engine, given_text: str, value: str) -> None:
    assert mapped(engine, "capitalise", [given_text, None]) == [value, None]


# -- cutting and joining --------------------------------------------------------------------------------------


@MANY
@given(texts=TEXTS, text=st.text(alphabet="ab'\\%.{", min_size=1, max_size=2), other=TEXT)
def test_replace_is_literal(engine: Engine, texts: list[str], text: str, other: str) -> None:
    texts = [*texts, "a'b\\a%{ab}ab..a"]

    assert mapped(engine, {"replace": {"text": text, "with": other}}, texts) == [t.replace(text, other) for t in texts]


@MANY
@given(
    texts=st.lists(st.text(alphabet="0012a ", max_size=8) | TEXT, max_size=20),
    characters=st.sampled_from(["0", "0 ", "a0"]),
)
def test_strip_leading_never_leaves_nothing_of_something(engine: Engine, texts: list[str], characters: str) -> None:
    expected = [text.lstrip(characters) or text[-1:] for text in texts]

    assert mapped(engine, {"strip_leading": characters}, texts) == expected


@pytest.mark.parametrize("side", ["left", "right"])
@MANY
@given(texts=TEXTS, length=st.integers(1, 40), sign=st.sampled_from("0 *é漢\U0001f600'\\"))
def test_pad_fills_and_never_cuts(engine: Engine, side: str, texts: list[str], length: int, sign: str) -> None:
    filled = {"left": str.rjust, "right": str.ljust}[side]

    values = mapped(engine, {"pad": {"length": length, "side": side, "with": sign}}, texts)

    assert values == [filled(text, length, sign) for text in texts]


@MANY
@given(texts=TEXTS, piece=st.text(alphabet="ab'\\%{é ", min_size=1, max_size=4))
def test_prefix_and_suffix(engine: Engine, texts: list[str], piece: str) -> None:
    assert mapped(engine, {"prefix": piece}, [*texts, None]) == [*(piece + text for text in texts), None]
    assert mapped(engine, {"suffix": piece}, [*texts, None]) == [*(text + piece for text in texts), None]


@MANY
@given(texts=st.lists(TEXT | st.text(alphabet="aé漢\U0001f600", max_size=30), max_size=20), length=st.integers(1, 40))
def test_truncated_bytes_never_split_a_character(engine: Engine, texts: list[str], length: int) -> None:
    values = mapped(engine, {"truncate_bytes": length}, texts)

    assert values == [text.encode()[:length].decode(errors="ignore") for text in texts]


@MANY
@given(texts=TEXTS, start=st.integers(-12, 12).filter(bool), length=st.none() | st.integers(1, 12))
def test_substring_is_a_slice(engine: Engine, texts: list[str], start: int, length: int | None) -> None:
    step = {"start": start} if length is None else {"start": start, "length": length}

    values = mapped(engine, {"substring": step}, texts)

    assert values == [(text[start:] if start < 0 else text[start - 1 :])[:length] for text in texts]


# -- pieces and patterns --------------------------------------------------------------------------------------


@MANY
@given(
    texts=st.lists(st.text(alphabet="a,; é", max_size=12) | TEXT, max_size=20),
    separator=st.sampled_from([",", ", ", ",,", "é", "a"]),
    take=st.integers(-5, 5).filter(bool),
)
def test_split_takes_one_piece(engine: Engine, texts: list[str], separator: str, take: int) -> None:
    refused = engine.values(
        "text", {"type": "text", "steps": [{"split": {"separator": separator, "take": take}}]}, [*texts, None]
    )
    as_null = mapped(engine, {"split": {"separator": separator, "take": take, "on_missing": None}}, [*texts, None])

    pieces = [text.split(separator) for text in texts]
    at = take if take < 0 else take - 1
    expected = [(some[at] if -len(some) <= at < len(some) else "") or None for some in pieces]
    assert refused == [*((piece, [] if piece else ["split"]) for piece in expected), (None, [])]
    assert as_null == [*expected, None]


@st.composite
def regexes(draw: st.DrawFn) -> str:
    piece = st.sampled_from(
        ["a", "b", "0", ".", r"\d", "[ab]", "[^b]", "(?:ab)", "(a|ab)", "(b0)", "a*", "b+", "(?:a|b)*", "0?", "a{2}"]
    )
    return "|".join("".join(draw(st.lists(piece, min_size=1, max_size=4))) for _ in range(draw(st.integers(1, 2))))


@settings(max_examples=120, deadline=None)
@given(regex=regexes(), texts=st.lists(st.text(alphabet="ab0.\n", max_size=7), min_size=1, max_size=8))
def test_extract_takes_the_first_place_and_there_the_longest_match(
    engine: Engine, regex: str, texts: list[str]
) -> None:
    """Python takes the first alternative that fits, so every part of the text is tried as a whole."""
    whole = re.compile(regex, re.ASCII | re.DOTALL)

    def longest(text: str) -> str | None:
        spans = ((i, j) for i in range(len(text) + 1) for j in range(len(text), i - 1, -1))
        return next((text[i:j] for i, j in spans if whole.fullmatch(text[i:j])), None)

    told = engine.values("text", {"type": "text", "steps": [{"extract": {"pattern": regex, "group": 0}}]}, texts)

    expected = [longest(text) for text in texts]
    assert told == [(part, [] if part is not None else ["extract"]) for part in expected], regex


@pytest.mark.parametrize(
    ("pattern", "group"),
    [("([0-9]+)", None), ("([a-z]+)-([0-9]+)", None), ("([a-z]+)-([0-9]+)", 2), ("^([a-z]+)-([0-9]+)$", 1), (r"(\d{4})(\d{2})(\d{2})", 3),
     ("x(?:y)(z+)?", 1), ("[a-z]+", None), (r"\((\w+)\)", None)],
)  # fmt: skip
@MANY
@given(
    texts=st.lists(
        st.from_regex(r"[a-z]{0,3}-?[0-9]{0,9}", fullmatch=True) | st.text(alphabet="xyz()12-ab", max_size=10),
        max_size=20,
    )
)
def test_extract_takes_a_group(engine: Engine, pattern: str, group: int | None, texts: list[str]) -> None:
    step = {"pattern": pattern, "on_missing": "null"} | ({} if group is None else {"group": group})
    found = [re.search(pattern, text, re.ASCII | re.DOTALL) for text in texts]
    taken = min(1, re.compile(pattern).groups) if group is None else group

    values = mapped(engine, {"extract": step}, [*texts, None])

    assert values == [*(match and match[taken] for match in found), None]


def test_groups_that_are_not_taken_cost_nothing(engine: Engine) -> None:
    """The server tries all ways to divide a text among repeated groups that keep their part: hours for this one."""
    text = "s" + "ab" * 200 + "c"
    asked = [{"pattern": "^((sab|ab|abab|sa|ba|bc)*)$", "group": n} for n in (0, 1)]

    with engine.session.transaction():
        engine.session.execute("set local statement_timeout = '20s'")
        assert [mapped(engine, {"extract": step}, [text]) for step in asked] == [[text], [text]]


@pytest.mark.parametrize(
    ("step", "said"),
    [({"extract": "a*?"}, "longest"), ({"extract": "(a"}, "cannot run"), ({"extract": "(ab|a)*c"}, "several values"),
     ({"extract": {"pattern": "((a)b){2}(c)", "group": 2}}, "several values"), ({"extract": {"pattern": "(a)", "group": 2}}, "no group 2"),
     ({"split": {"separator": ",", "take": 0}}, "first piece"), ({"split": {"separator": "", "take": 1}}, "at least 1"),
     ({"substring": {"start": 0}}, "first character"), ({"pad": {"length": 3, "side": "left", "with": "ab"}}, "at most 1"),
     ({"pad": {"length": 3, "side": "left"}}, "required"), ({"truncate": 0}, "greater"), ({"null_if": []}, "at least 1"),
     ({"strip_leading": ""}, "at least 1"), ({"replace": {"text": ""}}, "at least 1")],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_when_the_file_is_read(step: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Mapping.model_validate(
            {
                "version": "1.0.0",
                "source": {"a": "text"},
                "fields": {"x": {"from": "a", "type": "text", "steps": [step]}},
            }
        )


# -- NULL and text --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "values", "given_values", "expected"),
    [("text", ["N/A", "-", ""], ["N/A", "n/a", "-", "", " -", None], [None, "n/a", None, None, " -", None]),
     ("varchar(3)", "N/A", ["N/A", "N/B"], [None, "N/B"]), ("integer", 0, [0, 1, None], [None, 1, None]),
     ("numeric(9,2)", [0, -1.5], ["0.00", "-1.50", "1.5"], [None, None, Decimal("1.5")]), ("boolean", [False], [True, False], [True, None]),
     ("date", "1900-01-01", ["1900-01-01", "infinity"], [None, "infinity"]),
     ("timestamptz", "1970-01-01 00:00:00Z", ["1970-01-01T01:00:00+01:00", "1970-01-01T00:00:01Z"], [None, "1970-01-01T00:00:01+00:00"]),
     ("uuid", "00000000-0000-0000-0000-000000000000", ["00000000-0000-0000-0000-000000000000"], [None])],
)  # fmt: skip
def test_values_that_say_that_there_is_none_become_null(
    engine: Engine, kind: str, values: Any, given_values: list[Any], expected: list[Any]
) -> None:
    assert mapped(engine, {"null_if": values}, given_values, kind, kind) == expected


def test_a_default_that_is_longer_than_the_column_is_not_cut(engine: Engine) -> None:
    source, field = "varchar(3)", {"steps": [{"default": "unknown"}]}

    assert engine.values(source, {**field, "type": "text"}, [None, "abc"]) == [("unknown", []), ("abc", [])]
    assert engine.values(source, {**field, "type": "varchar(3)"}, [None, "abc"]) == [(None, ["too_long"]), ("abc", [])]


SPELT = {
    "date": ("infinity", "infinity"), "timestamptz": ("2026-01-31 12:30:00+02", "2026-01-31 10:30:00+00"), "bytea": ("\\x00ff", "\\x00ff"),
    "timestamp": ("2026-01-31 12:30:00.5", "2026-01-31 12:30:00.5"), "interval": ("1 mon -1 days +00:00:00.5", "P1M-1DT0.5S"),
    "double precision": ("0.1", "0.1"), "real": ("16777216", "1.6777216e+07"), "boolean": (True, "true"), "numeric(5,2)": ("-0.10", "-0.10"),
    "uuid": ("0E8F9D5C-7C34-4A3C-9F2D-3A6A2B1C0D9E", "0e8f9d5c-7c34-4a3c-9f2d-3a6a2b1c0d9e"), "time": ("24:00:00", "24:00:00"),
    "inet": ("::1", "::1/128"), "cidr": ("10.0.0.0/8", "10.0.0.0/8"), "text[]": (["a", None, "b c"], '{a,NULL,"b c"}'), "money": ("1234.5", "1234.50"),
    "timetz": ("12:00:00+01", "12:00:00+01"), "char(4)": ("ab", "ab"), "bigint": ("9007199254740993", "9007199254740993"),
}  # fmt: skip
# A server that somebody has set otherwise.
ODD = {
    "timezone": "Asia/Tokyo",
    "datestyle": "SQL, DMY",
    "intervalstyle": "sql_standard",
    "bytea_output": "escape",
    "extra_float_digits": "-5",
}


def test_no_setting_of_a_database_changes_how_values_are_spelt(
    pg: Postgres, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = engine.session.info.dbname
    monkeypatch.setenv(
        "AIRFLOW_CONN_ODD", make_conninfo(engine.session.info.dsn, password=engine.session.info.password)
    )
    monkeypatch.setattr(connections, "_resolve", connections.from_environment)
    for name, value in ODD.items():
        engine.session.execute(
            sql.SQL("alter database {} set {} = {}").format(*map(sql.Identifier, (database, name)), sql.Literal(value))
        )
    try:
        with connections.connect("odd", purpose="test", autocommit=True) as session:
            there = Engine.__new__(Engine)  # with the session as it comes
            there.session, there.root = session, engine.root
            told = {kind: mapped(there, "to_text", [value], kind)[0] for kind, (value, _) in SPELT.items()}
    finally:
        engine.session.execute(sql.SQL("alter database {} reset all").format(sql.Identifier(database)))

    assert told == {kind: text for kind, (_, text) in SPELT.items()}


# -- what holds of all ----------------------------------------------------------------------------------------

STEPS: list[Any] = [
    "trim", "collapse", "capitalise", {"remove": "ab"}, {"replace": {"text": "a", "with": "b"}}, {"replace": {"text": "a", "with": "bcd"}},
    {"strip_leading": "0"}, {"pad": {"length": 4, "side": "left", "with": "0"}}, {"pad": {"length": 9, "side": "right", "with": " "}},
    {"prefix": "GB"}, {"suffix": "-é"}, {"truncate": 3}, {"truncate": 99}, {"truncate_bytes": 3}, {"substring": {"start": 2}},
    {"substring": {"start": -2}}, {"substring": {"start": 1, "length": 2}}, {"split": {"separator": ",", "take": 1, "on_missing": "null"}},
    {"extract": {"pattern": "[a-z]+", "on_missing": "null"}}, {"null_if": ["a"]}, {"default": "unknown"}, "to_text", "upper", "lower",
    {"normalise": "NFKD"}, {"mask": {"keep_last": 1}}, {"keyed_hash": {"key": "people"}}, {"tokenise": {"key": "people", "prefix": "w_"}},
]  # fmt: skip


@pytest.mark.parametrize("step", STEPS, ids=str)
@settings(max_examples=8, deadline=None)
@given(texts=st.lists(st.text(alphabet="ab,0 éﷺ漢\U0001f600", max_size=5) | st.none(), min_size=5, max_size=20))
def test_no_result_is_longer_than_its_type(engine: Engine, step: Any, texts: list[str | None]) -> None:
    engine.set_hash_keys()
    gives = word(step).gives(PgType("varchar", length=5))

    values = mapped(engine, step, texts, "varchar(5)", "text")

    assert gives.length is None or all(len(value) <= gives.length for value in values if value is not None)


@pytest.mark.parametrize(
    "steps", [*([step] for step in STEPS), [{"split_to_array": ","}, {"element": {"number": 1, "on_missing": "null"}}]],
    ids=str,
)  # fmt: skip
def test_twenty_times_the_same_is_no_monster(steps: list[Any]) -> None:
    """A word that names its value twice would be 2**20 copies of it in a statement."""
    field = {"from": "a", "type": "text", "steps": steps * (20 // len(steps))}
    mapping = Mapping.model_validate({"version": "1.0.0", "source": {"a": "text"}, "fields": {"x": field}})

    assert len(compile_mapping(mapping, sql.Identifier("t")).select.as_string(None)) < 50_000


@pytest.mark.parametrize(
    "step",
    [*STEPS, {"encode": "sepa"}, {"encode": "latin9"}, {"transliterate": "uk"}, {"transliterate": "el"}],
    ids=str,
)
@pytest.mark.parametrize("text", ["é ", "Щю"], ids=ascii)
def test_a_text_of_a_megabyte_passes(engine: Engine, step: Any, text: str) -> None:
    engine.set_hash_keys()
    try:
        engine.session.execute("set statement_timeout = '10s'")
        ((value, codes),) = engine.values("text", {"type": "text", "steps": [step]}, [text * 150_000])
    except psycopg.errors.QueryCanceled:
        pytest.fail("it takes ages")
    finally:
        engine.session.execute("reset statement_timeout")

    assert unicodedata.name(text[0])
    assert value is not None or codes or step == {"extract": {"pattern": "[a-z]+", "on_missing": "null"}}
