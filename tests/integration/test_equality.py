"""What is one value and what is two: on real servers, for the spelling that is hashed and the condition that judges.

Two corpora: the same value in many spellings, as the columns of a copy may hold it, and every change of a value that is
a change. A value is written as an SQL expression; it stands in a temporary table, as values of batches and copies do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import combinations
from typing import Any, NamedTuple

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.sql import Composable

from syncline.adapters import connections
from syncline.core.checksums import hash_of
from syncline.core.equality import differs, is_exact, spelled
from syncline.core.mapping import FieldMap
from syncline.core.reference_files import ProjectReferences
from syncline.core.transforms import template
from tests.conftest import PG15_PROGRAMS, PG15_URI, ROOT, SERVERS, Postgres
from tests.integration.mapping_engine import Engine


@pytest.fixture(scope="module", params=["embedded", pytest.param("pg15", marks=[pytest.mark.long, *SERVERS[1].marks])])
def server(request: pytest.FixtureRequest) -> Postgres:
    """Each PostgreSQL that two sides may stand on; the older one in `make faults`."""
    found: Postgres = request.getfixturevalue("pg" if request.param == "embedded" else "pg15")
    return found


PREPARED = """
    create type pg_temp.status as enum ('active', 'left');
    create domain pg_temp.amount as numeric(12,4);
    create domain pg_temp.ratio as double precision;
    create domain pg_temp.label as text;
"""


@pytest.fixture(scope="module")
def servers(engine: Engine) -> Engine:
    engine.session.execute(PREPARED)
    return engine


def field(kind: str, **equal: Any) -> FieldMap:
    return FieldMap.model_validate(
        {"from": "a", "type": kind, **({"equal": equal} if equal else {})}, context=ProjectReferences(ROOT)
    )


class Judged(NamedTuple):
    """What both ways of comparing say of two values."""

    is_spelled_alike: bool
    differs: bool


def judged(engine: Engine, spec: FieldMap, pairs: Iterable[tuple[str, str]]) -> list[Judged]:
    """Compare pairs of SQL expressions, each in columns of their own types."""
    return [_judged(engine.session, spec, one, other) for one, other in pairs]


def _judged(session: psycopg.Connection, spec: FieldMap, one: str, other: str) -> Judged:
    a, b = sql.Identifier("x", "a"), sql.Identifier("x", "b")
    pair = sql.SQL("(select {} as a, {} as b offset 0) as x").format(_sql(one), _sql(other))
    statement = template(
        "select {one} = {other}, {differs}, {back}, {self_a}, {self_b} from {pair}",
        one=_hashed(a, spec), other=_hashed(b, spec), differs=differs(a, b, spec), back=differs(b, a, spec),
        self_a=differs(a, a, spec), self_b=differs(b, b, spec), pair=pair,
    )  # fmt: skip
    row = session.execute(statement).fetchone()
    assert row is not None
    assert None not in row, f"{one} and {other}: never NULL"
    assert row[1] == row[2], f"{one} and {other}: in either order"
    assert not row[3], f"{one} is itself"
    assert not row[4], f"{other} is itself"
    assert not (row[0] and row[1]), f"{one} and {other} are spelled alike, and differ"
    return Judged(row[0], row[1])


def _hashed(value: Composable, spec: FieldMap) -> Composable:
    return hash_of({"a": spelled(value, spec)})


def _sql(text: str) -> Composable:
    return sql.SQL(text)  # type: ignore[arg-type]  # a text of this file


SAME = Judged(is_spelled_alike=True, differs=False)
SECOND_LOOK = Judged(is_spelled_alike=False, differs=False)
OTHER = Judged(is_spelled_alike=False, differs=True)

# type, `equal`, spellings of one value
EQUAL: list[tuple[str, dict[str, Any], list[str]]] = [
    ("numeric(12,2)", {}, ["1.10::numeric", "1.1::numeric", "1.1000::pg_temp.amount", "1.1::numeric(20,5)"]),
    ("numeric(12,0)", {}, ["5::numeric", "5::integer", "5.00::numeric", "5::bigint"]),
    ("numeric", {}, ["0::numeric", "-0::numeric", "-0.00::numeric", "0::smallint"]),
    ("numeric", {}, ["'NaN'::numeric", "'nan'::numeric"]),
    ("numeric", {}, ["'Infinity'::numeric", "'inf'::numeric"]),
    ("integer", {}, ["7::integer", "7::bigint", "7::numeric", "7.0::numeric(9,3)", "7::double precision", "7::real",
                     "7::pg_temp.ratio"]),
    ("bigint", {}, ["9223372036854775807::bigint", "9223372036854775807::numeric"]),
    ("double precision", {}, ["0::float8", "'-0'::float8", "0::real"]),
    ("double precision", {}, ["'NaN'::float8", "'NaN'::real"]),
    ("real", {}, ["1.1::real", "1.1::real::float8"]),
    ("text", {}, ["'active'::text", "'active'::varchar(9)", "'active'::pg_temp.status", "'active'::pg_temp.label",
                  "'active'::char(9)"]),
    ("varchar(9)", {}, ["'ab'::varchar(9)", "'ab'::char(9)", "'ab'::text"]),
    ("char(5)", {}, ["'ab'::char(5)", "'ab'::char(2)", "'ab   '::char(5)", "'ab'::text", "'ab'::varchar"]),
    ("timestamptz", {}, ["'2026-03-29 01:30+00'::timestamptz", "'2026-03-29 02:30+01'::timestamptz",
                         "timestamp '2026-03-29 01:30' at time zone 'UTC'", "'2026-03-29 01:30+00'::timestamptz(0)"]),
    ("date", {}, ["'2026-01-31'::date", "'2026-01-31 00:00'::timestamp"]),
    ("date", {}, ["'infinity'::date", "'infinity'::timestamp"]),
    ("timestamp", {}, ["'2026-01-31 24:00'::timestamp", "'2026-02-01'::timestamp(3)"]),
    ("time", {}, ["'12:30'::time", "'12:30'::time(3)", "'12:30'::interval"]),
    ("jsonb", {}, ["""'{"a": 1.1, "b": [1, 2]}'::jsonb""", """'{"b":[1,2],"a":1.1}'::jsonb""",
                   """'{"a": 9, "b": [1, 2], "a": 11e-1}'::jsonb"""]),
    ("inet", {}, ["'10.0.0.0/8'::inet", "'10.0.0.0/8'::cidr"]),
    ("boolean", {}, ["true", "'yes'::boolean"]),
    ("uuid", {}, ["'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid", "'{a0eebc999c0b4ef8bb6d6bb9bd380a11}'::uuid"]),
    ("bytea", {}, [r"'\x6162'::bytea", "'ab'::bytea"]),
    ("interval", {}, ["'1 day 60 minutes'::interval", "'P1DT1H'::interval"]),
    ("text[]", {}, ["'{a,b}'::text[]", "array['a', 'b']", "'{a,b}'::char(4)[]"]),
    ("numeric", {"decimals": 2}, ["1.004::numeric", "1::numeric", "0.995::numeric", "1.0::float8"]),
    ("double precision", {"decimals": 1}, ["0.1::float8 + 0.2::float8", "0.3::float8", "0.3::real"]),
    ("double precision", {"decimals": 2}, ["'NaN'::float8", "'NaN'::real"]),
    ("timestamptz", {"second_digits": 3}, ["'2026-01-01 10:00:00.123456Z'::timestamptz",
                                           "'2026-01-01 10:00:00.123Z'::timestamptz(3)"]),
    ("timestamp", {"second_digits": 0}, ["'1969-12-31 23:59:59.9'::timestamp", "'1969-12-31 23:59:59'::timestamp"]),
    ("timestamptz", {"second_digits": 0}, ["'infinity'::timestamptz", "'infinity'::timestamptz(0)"]),
    ("time", {"second_digits": 0}, ["'12:00:00.9'::time", "'12:00'::time", "'12:00:00.5'::interval"]),
    ("text", {"ignore": ["case"]}, ["'Müller'", "'MÜLLER'", "'müller'::char(12)"]),
    ("text", {"ignore": ["case"]}, ["'STRASSE'", "'straße'", "'Straẞe'"]),
    ("text", {"ignore": ["case"]}, ["'ΟΔΟΣ'", "'οδος'"]),
    ("text", {"ignore": ["case"]}, ["'ЖУКОВ'", "'жуков'"]),
    ("text", {"ignore": ["whitespace"]}, ["'Anna  Lee'", "E' Anna\\tLee\\n'", "E'Anna\\u00a0Lee\\u3000'", "'Anna Lee'"]),
    ("text", {"ignore": ["padding"]}, ["'ab'", "'ab   '", "'ab'::char(5)"]),
    ("text", {"ignore": ["normalization"]}, ["U&'Zo\\00EB'", "U&'Zoe\\0308'"]),
    ("text", {"ignore": ["compatibility"]}, ["'Ｓｍｉｔｈ'", "'Smith'"]),
    ("text", {"ignore": ["compatibility", "case", "whitespace"]}, ["' oﬃce '", "'OFFICE'", "U&'Office\\3000'"]),
    ("text", {"empty_is_null": True}, ["null::text", "''", "''::char(3)"]),
    ("text", {"ignore": ["whitespace"], "empty_is_null": True}, ["null::text", "'  '"]),
    ("text", {"codes": [["GB", "UK", "GBR"], ["IE", "IRL"]]}, ["'GB'", "'UK'", "'GBR'::char(4)"]),
    ("text", {"codes": [["GB", "UK", "Großbritannien"]], "ignore": ["case", "whitespace"]},
     ["'gb'", "' Uk'", "'GROSSBRITANNIEN'"]),
    ("text", {"code_list": "iso_3166_alpha_3"}, ["'DE'", "'DEU'"]),
    ("text", {"codes": [["UK", "GB"]], "code_list": "iso_3166_alpha_3"}, ["'UK'", "'GBR'", "'GB'"]),
    ("text", {"is_json": True}, ["""'{"a": 1.1, "b": [true, null]}'""", """'{"b":[true,null],"a":1.1}'"""]),
    ("text", {"is_json": True}, ["""'"Zo\\u00eb \\"x\\" \\\\ \\/"'""", """'"Zoë \\"x\\" \\\\ /"'"""]),
    ("json", {"is_json": True}, ["""'{"a": 1, "b": 2}'::json""", """'{"b": 2, "a": 1e0}'::json""", """'{"b":2,"a":1}'::jsonb"""]),
    ("text", {"alike": 0.6}, ["'Anna-Maria Lee'", "'anna maria LEE'"]),
    ("numeric", {"within": 0.01}, ["5.001::numeric", "5.004::numeric", "5.0030::numeric"]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "equal", "spellings"), EQUAL, ids=lambda value: str(value)[:40])
def test_one_value_in_many_spellings_is_equal(
    servers: Engine, kind: str, equal: dict[str, Any], spellings: list[str]
) -> None:
    pairs = list(combinations(spellings, 2))

    told = judged(servers, field(kind, **equal), pairs)

    assert dict(zip(pairs, told, strict=True)) == dict.fromkeys(pairs, SAME)


@pytest.mark.parametrize(
    ("kind", "equal", "one", "other"),
    [
        ("numeric", {"within": 0.01}, "1.004::numeric", "1.006::numeric"),
        ("numeric", {"within": 0.01}, "1.00::numeric", "1.01::numeric"),  # the limit itself is allowed
        ("double precision", {"within": 0.1}, "0.1::float8 + 0.2", "0.4::float8"),
        ("integer", {"within": 1}, "9::integer", "10::bigint"),
        (
            "timestamptz",
            {"within_s": 1},
            "'2026-01-01 10:00:00Z'::timestamptz",
            "'2026-01-01 11:00:01+01'::timestamptz",
        ),
        ("time", {"within_s": 0.5}, "'12:00'::time", "'12:00:00.5'::time"),
        ("text", {"alike": 0.6}, "'Katherine Johnson'", "'Katharine Johnson'"),
        ("text", {"alike": 0.6}, "'Lee, Anna'", "'Anna Lee'"),
        ("jsonb", {}, "'[1.10]'::jsonb", "'[1.1]'::jsonb"),
        ("text", {"is_json": True}, "'[1.10]'", "'[11e-1]'"),
        ("numeric[]", {}, "'{1.10}'::numeric[]", "'{1.1}'::numeric(9,3)[]"),
        ("time", {}, "'24:00'::time", "'1 day'::interval"),  # as the loader has it
        ("varchar(5)", {}, "'ab  '::varchar(5)", "'ab'::char(5)"),  # a column that keeps no blanks
        ("char(5)", {}, "'ab'::char(5)", "'ab '::varchar(5)"),
    ],
)
def test_what_only_both_together_show_as_equal_is_never_called_different(
    servers: Engine, kind: str, equal: dict[str, Any], one: str, other: str
) -> None:
    spec = field(kind, **equal)

    (told,) = judged(servers, spec, [(one, other)])

    assert not told.differs
    assert told.is_spelled_alike or not is_exact(spec), "a checksum alone must not decide here"


# type, `equal`, different values: every one differs from every other
DIFFERENT: list[tuple[str, dict[str, Any], list[str]]] = [
    ("numeric(12,2)", {}, ["1.10::numeric", "1.11::numeric", "-1.10::numeric", "0::numeric", "null::numeric",
                           "'NaN'::numeric", "'Infinity'::numeric", "'-Infinity'::numeric", "1.1000000001::numeric",
                           "11::integer"]),
    ("integer", {}, ["5::integer", "6::integer", "null::integer", "5.0000000000000001::numeric",
                     "5.000000000000001::float8", "'NaN'::float8", "5.001::real"]),
    ("integer", {}, ["1234567890::integer", "1234567890.0000002::float8", "1234567890.0000005::pg_temp.ratio"]),
    ("bigint", {}, ["9007199254740993::bigint", "9007199254740992::bigint"]),
    ("double precision", {}, ["0.3::float8", "0.1::float8 + 0.2::float8", "'NaN'::float8", "'Infinity'::float8",
                              "1e-320::float8", "0::float8", "null::float8"]),
    ("text", {}, ["'Ann'", "'ann'", "' Ann'", "'Ann '", "'Ann  '", "''", "null::text", "'Änn'", "U&'A\\0308nn'", "'Ann.'",
                  "E'Ann\\n'", "'NULL'"]),
    ("text", {}, ["'active'::pg_temp.status", "'left'::pg_temp.status", "'activ'"]),
    ("varchar(5)", {}, ["'ab'::varchar(5)", "'ab '::varchar(5)", "'aB'::char(5)", "' ab'::char(5)", "null::char(5)"]),
    ("char(5)", {}, ["'ab'::char(5)", "' ab'::char(5)", "'abc'::char(5)", "''::char(5)", "null::char(5)"]),
    ("boolean", {}, ["true", "false", "null::boolean"]),
    ("date", {}, ["'2026-01-31'::date", "'2026-02-01'::date", "'2026-01-31 00:00:01'::timestamp", "null::date",
                  "'infinity'::date", "'-infinity'::date", "'5874897-12-31'::date", "'5874897-12-30'::date",
                  "'294276-12-31'::date", "'294277-01-01'::date", "'4713-01-01 BC'::date"]),
    ("timestamptz", {}, ["'2026-01-01 10:00Z'::timestamptz", "'2026-01-01 10:00:00.000001Z'::timestamptz",
                         "'2026-01-01 10:00+01'::timestamptz", "null::timestamptz", "'infinity'::timestamptz"]),
    ("timestamp", {}, ["'2026-01-01 10:00'::timestamp", "'2026-01-01 10:00:00.001'::timestamp", "null::timestamp"]),
    ("time", {}, ["'00:00'::time", "'24:00'::time", "'25:00'::interval", "'1 month'::interval", "null::time"]),
    ("timetz", {}, ["'12:00+00'::timetz", "'13:00+01'::timetz", "null::timetz"]),
    ("interval", {}, ["'1 month'::interval", "'30 days'::interval", "'720 hours'::interval", "null::interval"]),
    ("jsonb", {}, ["""'{"a": 1}'::jsonb""", """'{"a": "1"}'::jsonb""", """'{"a": null}'::jsonb""", "'{}'::jsonb",
                   "'[]'::jsonb", "'[[]]'::jsonb", "'[1]'::jsonb", "'[[[1]]]'::jsonb", "'[1, 2]'::jsonb", "'[2, 1]'::jsonb", "'null'::jsonb", "null::jsonb"]),
    ("json", {}, ["""'{"a": 1}'::json""", """'{"a":1}'::json""", "null::json"]),
    ("inet", {}, ["'10.0.0.1'::inet", "'10.0.0.1/8'::inet", "'10.0.0.2'::inet", "'::1'::inet", "null::inet"]),
    ("uuid", {}, ["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12'::uuid",
                  "null::uuid"]),
    ("bytea", {}, [r"'\x61'::bytea", r"'\x6100'::bytea", r"'\x'::bytea", "null::bytea"]),
    ("integer[]", {}, ["'{1,2}'::integer[]", "'{2,1}'::integer[]", "'{{1,2}}'::integer[]", "'[0:1]={1,2}'::integer[]",
                       "'{{1},{2}}'::integer[]", "'{1,2,NULL}'::integer[]", "'{}'::integer[]", "null::integer[]"]),
    ("text[]", {}, ["'{a,b}'::text[]", "array['a,b']", "array['a', null]", "array['a', 'NULL']", "array['a', '']"]),
    ("interval[]", {}, ["array['1 month'::interval]", "array['30 days'::interval]"]),
    ("numeric", {"decimals": 2}, ["1.00::numeric", "1.01::numeric", "'NaN'::numeric", "null::numeric",
                                  "'Infinity'::numeric"]),
    ("numeric", {"within": 0.5}, ["1::numeric", "1.50001::numeric", "'NaN'::numeric", "'Infinity'::numeric",
                                  "'-Infinity'::numeric", "-0.25::numeric", "null::numeric"]),
    ("numeric", {"within": 3}, ["-2.99::numeric", "2.99::numeric"]),
    ("double precision", {"within": 0.5}, ["0::float8", "0.6::float8", "'NaN'::float8", "'Infinity'::float8",
                                           "1.7e308::float8", "null::float8"]),
    ("timestamptz", {"within_s": 1}, ["'2026-01-01 10:00Z'::timestamptz", "'2026-01-01 10:00:01.000001Z'::timestamptz",
                                      "'infinity'::timestamptz", "'-infinity'::timestamptz", "null::timestamptz"]),
    ("timestamptz", {"second_digits": 3}, ["'2026-01-01 10:00:00.123Z'::timestamptz",
                                           "'2026-01-01 10:00:00.124Z'::timestamptz", "null::timestamptz"]),
    ("timestamp", {"second_digits": 0}, ["'1969-12-31 23:59:59.9'::timestamp", "'1970-01-01 00:00:00.1'::timestamp"]),
    ("text", {"ignore": ["case"]}, ["'Ann'", "'Anna'", "'Änn'", "'Ann '", "''", "null::text", "U&'A\\0308nn'"]),
    ("text", {"ignore": ["case"]}, ["'ı'", "'i'"]),
    ("text", {"ignore": ["whitespace"]}, ["'Anna Lee'", "'AnnaLee'", "'anna lee'", "''", "null::text"]),
    ("text", {"ignore": ["padding"]}, ["'ab'", "' ab'", "E'ab\\t'", "'Ab'", "null::text"]),
    ("text", {"ignore": ["normalization"]}, ["'é'", "'e'", "'É'", "'ﬁ'", "'fi'"]),
    ("text", {"empty_is_null": True}, ["''", "' '", "'NULL'"]),
    ("text", {"codes": [["GB", "UK"], ["IE", "IRL"]]}, ["'GB'", "'IE'", "'gb'", "'FR'", "''", "null::text"]),
    ("text", {"code_list": "iso_3166_alpha_3"}, ["'DE'", "'FRA'", "'deu'", "'D'", "null::text"]),
    ("text", {"alike": 0.6}, ["'Anna Lee'", "'Bob Smith'", "''", "null::text"]),
    ("text", {"alike": 1}, ["'Anna Lee'", "'Ann Lee'"]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "equal", "values"), DIFFERENT, ids=lambda value: str(value)[:40])
def test_every_change_of_a_value_is_a_difference(
    servers: Engine, kind: str, equal: dict[str, Any], values: list[str]
) -> None:
    pairs = list(combinations(values, 2))

    told = judged(servers, field(kind, **equal), pairs)

    assert dict(zip(pairs, told, strict=True)) == dict.fromkeys(pairs, OTHER)


NO_JSON = [
    "{", '{"a":1', '{"a" 1}', "[1,]", "[,1]", "01", "1 2", "tru", "truefalse", "tr ue", "", " ", "{a:1}", '"\\x"', '"a', 'a"',
    '"a""b"', "NaN", "-", "1.", ".5", "[1", "]", '{"a":1,}', "{1:1}", "[}", '"a\nb"', "\u0001", "[\u0002]", "[\u0001]",
    "[1]\u00a0", "active", "[" * 7_000, '"\\u12"', '{"a":1 "b":2}', "'1'", "1e", "nullnull", '{"a"::1}',
]  # fmt: skip
NO_JSONB = ['"\\u0000"', '"\\ud800"', "1e999999", "[1e999999]", "9" * 140_000, "[" * 70 + "]" * 70]
JSON = [
    "1",
    "2",
    '"1"',
    "[1]",
    '["[1]"]',
    "null",
    '{"a":1}',
    '{"a":{}}',
    "[[]]",
    "[{}]",
    "[[1]]",
    '["\\u0041\\n"]',
    "true",
    '[{"b":[0]}]',
]


def test_a_text_that_is_no_json_is_compared_as_a_text_and_fails_nothing(servers: Engine) -> None:
    spec, texts = field("text", is_json=True), [*NO_JSON, *NO_JSONB, *JSON]

    told = of_all_pairs(servers.session, spec, "text", "text", texts)

    assert told.differing == len(texts) * (len(texts) - 1), "each differs from every other"
    assert told.broken == 0


def test_what_is_valid_json_is_known_as_postgresql_knows_it(servers: Engine) -> None:
    if servers.session.info.server_version < 160000:
        pytest.skip("pg_input_is_valid came with PostgreSQL 16")
    form = spelled(sql.Identifier("t"), field("text", is_json=True))[0]
    statement = template(
        "select t, left({f}, 1) = '[', pg_input_is_valid(t, 'jsonb') from unnest(%s::text[]) as r (t)", f=form
    )
    texts = [text for text in [*NO_JSON, *JSON] if len(text) < 1_000]

    told = servers.session.execute(_escaped(statement, 1), [texts]).fetchall()

    assert [(text[:20], ours) for text, ours, theirs in told if ours != theirs] == []


class Pairs(NamedTuple):
    """Of all pairs of some values: how many differ, how many break the law, how many the loader sees otherwise."""

    differing: int
    broken: int
    unlike_loader: int


def of_all_pairs(session: psycopg.Connection, spec: FieldMap, here: str, there: str, texts: list[str]) -> Pairs:
    """Compare each value with each, in columns of two types, in one statement."""
    a, b = sql.Identifier("a", "v"), sql.Identifier("b", "v")
    loads = template("{b} is distinct from {a}", a=a, b=b)
    if spec.type.name == "interval":
        loads = template("{b}::text is distinct from {a}::text", a=a, b=b)
    statement = template(
        "with a as materialized (select n, t::{here} as v, {hash_a} as h from unnest(%s::text[]) with ordinality as r (t, n),"
        " lateral (select t::{here}) as a (v)),"
        " b as materialized (select n, t::{there} as v, {hash_b} as h from unnest(%s::text[]) with ordinality as r (t, n),"
        " lateral (select t::{there}) as b (v)),"
        " judged as (select a.n = b.n as is_same, a.h = b.h as alike, {differs} as d, {loads} as l from a, b)"
        " select count(*) filter (where d), count(*) filter (where d is null or (alike and d)), count(*) filter (where d <> l)"
        " from judged",
        here=sql.SQL(here), there=sql.SQL(there), hash_a=_hashed(a, spec), hash_b=_hashed(b, spec),
        differs=differs(a, b, spec), loads=loads,
    )  # fmt: skip
    row = session.execute(_escaped(statement, 2), [texts, texts]).fetchone()
    assert row is not None
    return Pairs(*row)


def _escaped(statement: Composable, parameters: int) -> bytes:
    text = statement.as_string()
    assert text.count("%s::text[]") == parameters
    return text.replace("%", "%%").replace("%%s::text[]", "%s::text[]").encode()


whole = st.integers(-3, 3) | st.sampled_from([2**31 - 1, -(2**31), 1_234_567_890])
decimal = st.builds(lambda n, d: f"{n}e-{d}", st.integers(-12_000, 12_000), st.integers(0, 6))
odd_number = st.sampled_from(["NaN", "Infinity", "-Infinity", "0", "-0.000", "1e30", "1e-30"])
number = decimal | odd_number
float_ = number | st.floats(allow_subnormal=True).map(repr)
moment = st.builds(
    lambda day, s, f: f"{day} 10:00:{s:02}.{f:06}",
    st.sampled_from(["1969-12-31", "1970-01-01", "2026-03-29", "0001-01-01"]), st.integers(0, 3), st.integers(0, 999_999),
) | st.sampled_from(["infinity", "-infinity", "294276-12-31 23:59:59.999999", "4713-01-01 BC"])  # fmt: skip
clock = st.builds(lambda s, f: f"12:00:{s:02}.{f:06}", st.integers(0, 3), st.integers(0, 999_999)) | st.just("24:00")
day = st.dates().map(str) | st.sampled_from(["infinity", "-infinity", "5874897-12-31", "294277-01-01", "4713-01-01 BC"])
letters = st.text(st.sampled_from(list("aAbBiIıİßẞéÉe\u0308  \t\u00a0-'ﬁſ")), max_size=5)
word = letters | st.text(max_size=4).filter(lambda t: "\0" not in t and t.isprintable())
json_text = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | letters, lambda of: st.lists(of, max_size=3) | st.dictionaries(letters, of, max_size=3),
    max_leaves=5,
).map(json.dumps)  # fmt: skip
span = st.builds(
    lambda m, d, h: f"{m} months {d} days {h} hours", st.integers(-1, 2), st.integers(-30, 60), st.integers(0, 24)
)
array = st.lists(st.none() | st.integers(-2, 2), max_size=3).map(
    lambda of: "{" + ",".join("NULL" if n is None else str(n) for n in of) + "}"
)
# type of the field, `equal`, types of the two columns, values as text
LAW: list[tuple[str, dict[str, Any], str, str, st.SearchStrategy[str]]] = [
    ("numeric", {}, "numeric", "numeric", number),
    ("integer", {}, "integer", "integer", whole.map(str)),
    ("integer", {}, "integer", "double precision", whole.map(str)),
    ("double precision", {}, "double precision", "double precision", float_),
    ("real", {}, "real", "double precision", decimal),
    ("text", {}, "text", "text", word),
    ("text", {}, "text", "char(9)", word),
    ("varchar(9)", {}, "varchar(9)", "char(9)", word),
    ("char(9)", {}, "char(9)", "varchar(9)", word),
    ("timestamptz", {}, "timestamptz", "timestamptz", moment),
    ("date", {}, "date", "date", day),
    ("time", {}, "time", "interval", clock),
    ("interval", {}, "interval", "interval", span),
    ("jsonb", {}, "jsonb", "jsonb", json_text),
    ("integer[]", {}, "integer[]", "integer[]", array),
    ("numeric[]", {}, "numeric[]", "numeric[]", array),
    ("numeric", {"decimals": 2}, "numeric", "numeric", number),
    ("numeric", {"within": 0.01}, "numeric", "numeric", number),
    ("numeric", {"within": 3}, "numeric", "numeric", number),
    ("double precision", {"within": 0.3}, "double precision", "real", number.filter(lambda n: "e30" not in n and "e-30" not in n)),
    ("timestamptz", {"within_s": 0.25}, "timestamptz", "timestamptz", moment),
    ("timestamp", {"second_digits": 1}, "timestamp", "timestamp", moment),
    ("text", {"ignore": ["case"]}, "text", "char(9)", word),
    ("text", {"ignore": ["whitespace", "compatibility", "case"], "empty_is_null": True}, "text", "text", word),
    ("text", {"codes": [["a", "B"], ["b", "i", ""]], "ignore": ["padding"]}, "text", "text", word),
    ("text", {"is_json": True}, "text", "text", json_text | word),
    ("text", {"alike": 0.5}, "text", "text", word),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "equal", "here", "there", "values"), LAW, ids=lambda value: str(value)[:30])
def test_values_that_are_spelled_alike_never_differ(
    servers: Engine, kind: str, equal: dict[str, Any], here: str, there: str, values: st.SearchStrategy[str]
) -> None:
    spec = field(kind, **equal)

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(values, min_size=4, max_size=14))
    def law(texts: list[str]) -> None:
        told = of_all_pairs(servers.session, spec, here, there, texts)
        assert told.broken == 0, "spelled alike, and differing; or neither"
        if not equal:
            assert told.unlike_loader == 0, "the loader sees some of them otherwise"

    law()


def test_two_servers_spell_alike(pg: Postgres, request: pytest.FixtureRequest) -> None:
    if PG15_PROGRAMS is None and not PG15_URI:
        pytest.skip("no second server")
    told = []
    for conninfo in (pg.admin_conninfo, request.getfixturevalue("pg15").admin_conninfo):
        with psycopg.connect(conninfo, autocommit=True) as session:
            session.execute(connections.SPELLING)
            session.execute(PREPARED)
            told.append([_hash(session, field(kind, **equal), one) for kind, equal, (one, *_) in [*EQUAL, *DIFFERENT]])

    assert told[0] == told[1]


def _hash(session: psycopg.Connection, spec: FieldMap, one: str) -> int:
    hashed = _hashed(sql.Identifier("x", "a"), spec)
    row = session.execute(template("select {h} from (select {v} as a offset 0) as x", h=hashed, v=_sql(one))).fetchone()
    assert row is not None
    return int(row[0])


def test_a_database_that_is_not_utf8_compares_and_fails_nothing(server: Postgres) -> None:
    with psycopg.connect(server.admin_conninfo, autocommit=True) as admin:
        admin.execute("drop database if exists equality_latin")
        admin.execute("create database equality_latin template template0 encoding 'LATIN1' locale 'C'")
        try:
            with psycopg.connect(
                make_conninfo(server.admin_conninfo, dbname="equality_latin"), autocommit=True
            ) as session:
                session.execute(connections.SPELLING)
                for equal in (
                    {"ignore": ["case", "whitespace", "compatibility"]}, {"alike": 0.6}, {"is_json": True},
                    {"codes": [["a", "b"]]},
                ):  # fmt: skip
                    told = of_all_pairs(
                        session, field("text", **equal), "text", "char(9)", ["Müller", "x ", '"\\u20ac"', "a"]
                    )
                    assert told.broken == 0
        finally:
            admin.execute("drop database equality_latin with (force)")


@pytest.fixture(scope="module")
def blunt(servers: Engine) -> None:
    """A collation that ignores case."""
    try:
        servers.session.execute(
            "create collation blunt (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
        )
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this server was built without ICU")


@pytest.mark.usefixtures("blunt")
def test_a_collation_that_ignores_case_is_believed_as_the_loader_believes_it(servers: Engine) -> None:
    (told,) = judged(servers, field("text"), [("'Ann'::text", "'ANN'::text collate blunt")])

    assert told == SECOND_LOOK


@pytest.mark.usefixtures("blunt")
def test_no_collation_of_a_column_decides_what_a_mapping_declares(servers: Engine) -> None:
    told = judged(servers, field("text", ignore=["case", "whitespace"]), [
        ("'INN  I'::text collate \"tr-x-icu\"", "'inn i'::text collate blunt"),
        ("'Ann'::text collate blunt", "'ann'::text collate \"C\""),
    ])  # fmt: skip

    assert told == [SAME, SAME]
