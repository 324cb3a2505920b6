"""Restricted expressions on real servers: the SQL never fails, and means what it says.

Three second opinions: the rows that break statements (NaN, infinity, ends of calendars, megabytes), PostgreSQL's own
reading of the author's text, and the meaning said again in Python.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.conninfo import make_conninfo

from syncline.core.expressions import Expression, ExpressionRefused, read_expression
from syncline.core.expressions.functions import FUNCTIONS
from syncline.core.expressions.words import INFIX, KEYWORDS, PREDICATES, RESERVED
from syncline.core.types import PgType
from tests.conftest import Postgres

DATABASE = "syncline_test_expressions"
MANY = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
TYPES = {
    name: PgType.parse(kind)
    for name, kind in {
        "no": "integer", "a": "numeric(14,4)", "n": "numeric", "small": "smallint", "i": "integer", "big": "bigint", "s": "text",
        "v": "varchar(20)", "d": "date", "e": "date", "t": "timestamp", "z": "timestamptz", "b": "boolean", "c": "boolean",
        "u": "uuid", "j": "jsonb", "x": "double precision", "tags": "text[]",
    }.items()
}  # fmt: skip
COLUMNS = {name: sql.Identifier(name) for name in TYPES}
NASTY = """
insert into nasty values
(0, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null),
(1, 'NaN', 'NaN', 32767, 2147483647, 9223372036854775807, '', '', 'infinity', '-infinity', 'infinity', '-infinity', true, null,
    '00000000-0000-0000-0000-000000000000', '{}', 'NaN', '{}'),
(2, 9999999999.9999, 'Infinity', -32768, -2147483648, -9223372036854775808, repeat('x', 1500000), repeat('x', 20), '4713-01-01 BC',
    '5874897-12-31', '4713-01-01 00:00:00 BC', '294276-12-31 23:59:59.999999', false, true,
    'ffffffff-ffff-ffff-ffff-ffffffffffff', to_jsonb(repeat('y', 1500000)), 'Infinity', array[repeat('x', 100000)]),
(3, -9999999999.9999, '-Infinity', 0, 0, 0, E'a''b"c\\d%_ \\n\\t', '%_\\', '0001-01-01', '9999-12-31', '0001-01-01',
    '0001-01-01 00:00:00+00', true, true, null, 'null', 1e308, '{a,NULL}'),
(4, 0, ('1' || repeat('0', 1000))::numeric, 1, 1, 1, '日本語 ñandú ß İ 🙂 e\u0301 \u00a0', '🙂', '9999-12-31', '0001-01-01',
    '9999-12-31 23:59:59.999999', '9999-12-31 23:59:59+00', false, false, null, '[1,2]', -0.0, null),
(5, 0.0001, ('0.' || repeat('0', 16000) || '1')::numeric, -1, -1, -1, ' ', ' ', '10000-01-01', '0001-12-31 BC', '10000-01-01',
    '10000-01-01 00:00:00+00', null, true, null, '"x"', 5e-324, '{}'),
(6, 1, ('9' || repeat('9', 899))::numeric, 7, 1000000, 999999999999, 'a-b-c', 'A', '2024-02-29', '2025-02-28',
    '2024-02-29 12:34:56.789', '2024-03-31 01:30:00+01', true, false, null, '{"a": 1}', 0.1, '{x}'),
(7, -0.5, ('-1' || repeat('0', 131071))::numeric, -7, -999999, 1000000000000, 'AbC', 'abc', '1970-01-01', 'infinity', '1970-01-01',
    'infinity', false, null, null, '1', 1, '{x}');
"""
BENIGN = """
insert into benign values
(0, 12.5, 3, 2, 3, 30, 'Anna Bell', 'A', '2024-02-29', '2025-01-31', '2024-02-29 12:34:56', '2024-07-01 12:00:00+00', true, false),
(1, -7.25, 0.5, 0, 0, 0, '', 'B', '2026-12-31', '2026-12-31', '2026-12-31 23:59:59.5', '2024-01-01 00:00:00+00', false, false),
(2, 0, 0, -3, -3, 3, 'a-b-c', null, '1999-01-01', null, null, null, null, true),
(3, null, null, null, null, null, null, 'c', null, '2000-02-29', '2000-02-29 00:00:00', '1969-12-31 23:59:59+00', true, null),
(4, 100.0001, -1.5, 1, 7, -7, '  padded ', 'ab', '2024-03-31', '2024-03-30', '2024-03-31 02:30:00', '2024-03-31 01:00:00+00', false, true);
"""


class Engine:
    """Evaluates expressions over the rows of one server."""

    def __init__(self, session: psycopg.Connection) -> None:
        self.session = session
        session.execute("set timezone = 'UTC'")  # as adapters.connections does
        session.execute("set statement_timeout = '60s'")
        columns = sql.SQL(", ").join(sql.SQL("{} {}").format(COLUMNS[name], kind.sql) for name, kind in TYPES.items())
        for table in ("nasty", "benign"):
            session.execute(sql.SQL("create table {} ({})").format(sql.Identifier(table), columns))
        session.execute(NASTY.encode())
        session.execute(BENIGN.encode())

    def told(self, expression: Expression, table: str) -> list[tuple[str | None, bool]]:
        """Text of the value, and whether the row is rejected, for every row."""
        fails = expression.fails(COLUMNS) or sql.SQL("false")
        query = sql.SQL("select ({v})::text, coalesce({f}, false) from {t} order by no").format(
            v=expression.sql(COLUMNS), f=fails, t=sql.Identifier(table)
        )
        return [(row[0], row[1]) for row in self.session.execute(query)]

    def natively(self, marked: str, no: int) -> tuple[str | None, str]:
        """What PostgreSQL makes of an author's text itself, for a benign row: value, or SQLSTATE.

        Literals in marks are columns there: of constants it works out some before it reads any row, and what it then
        need not compute raises nothing.
        """
        names = {literal: f"l{n}" for n, literal in enumerate(LITERALS)}
        text = re.sub("«(.*?)»", lambda found: names[found[1]], marked)
        query = f"select ({text})::text from (select * from benign, (values ({', '.join(LITERALS)})) as k ({', '.join(names.values())}) offset 0) as r where no = {no}"
        try:
            row = self.session.execute(query.encode()).fetchone()
        except psycopg.Error as error:
            return None, error.sqlstate or "none"
        return (row[0] if row else None), ""


@pytest.fixture(scope="module")
def engine(server: Postgres) -> Iterator[Engine]:
    admin_conninfo = server.admin_conninfo
    drop = sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(DATABASE))
    with psycopg.connect(admin_conninfo, autocommit=True) as admin:
        admin.execute(drop)
        admin.execute(sql.SQL("create database {}").format(sql.Identifier(DATABASE)))
        with psycopg.connect(make_conninfo(admin_conninfo, dbname=DATABASE), autocommit=True) as session:
            yield Engine(session)
        admin.execute(drop)


# Literals that may stand wherever a value may.
LITERALS = ["1.5", "0.25", "100.0", "2.5", "1", "7", "30", "'x'::text", "''::text", "'Anna'::text", "'ß🙂'::text", "true", "date '2024-12-31'",
            "timestamp '2024-12-31 10:00:00'", "3", "9999999999", "999999"]  # fmt: skip


def _unmarked(marked: str) -> str:
    """The text as an author writes it."""
    return marked.replace("::text»", "»").replace("«", "").replace("»", "")


# -- expressions that may be written ------------------------------------------------------------------------------


def _made(form: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """A form with its `{}` filled."""
    return st.tuples(*parts).map(lambda filled: form.format(*filled))


class Grammar:
    """Texts of every family. `wrap` decides about parentheses that the meaning may or may not need."""

    def __init__(self, *, is_native: bool) -> None:
        """is_native: only what PostgreSQL reads in the same way, so without the declared differences."""
        wrap = self._wrapped if is_native else (lambda inner: inner.map(lambda text: f"({text})"))
        self.number = st.deferred(lambda: st.one_of(self.atom, wrap(self.number_made)))
        self.whole = st.deferred(lambda: st.one_of(self.whole_atom, wrap(self.whole_made)))
        self.text = st.deferred(lambda: st.one_of(self.text_atom, wrap(self.text_made)))
        self.condition = st.deferred(
            lambda: st.one_of(st.sampled_from(["b", "c", "«true»"]), wrap(self.condition_made))
        )
        self.day = st.deferred(
            lambda: st.one_of(st.sampled_from(["d", "e", "«date '2024-12-31'»"]), wrap(self.day_made))
        )
        self.moment = st.deferred(lambda: st.one_of(
            st.sampled_from(["t", "«timestamp '2024-12-31 10:00:00'»"]), self.moment_made))  # fmt: skip
        number, whole, text, condition, day, moment = (
            self.number, self.whole, self.text, self.condition, self.day, self.moment)  # fmt: skip
        self.atom = st.sampled_from(
            ["a", "n", "«1.5»", "«0.25»", "«100.0»"] + ([] if is_native else ["i", "big", "small", "«3»", "«9999999999»"])
        )  # fmt: skip
        self.whole_atom = st.sampled_from(
            ["i", "small", "«1»", "«7»", "«30»"] + ([] if is_native else ["big", "«999999»"])
        )
        self.text_atom = st.sampled_from(["s", "v", "«'x'::text»", "«''::text»", "«'Anna'::text»", "«'ß🙂'::text»"])
        divisor = st.sampled_from(["a", "n", "(a - 100.0001)", "nullif(n, 0.0)", "«2.5»", "(n * n)"])
        self.number_made = st.one_of(
            *(_made(f"{{}} {sign} {{}}", number, number) for sign in "+-*"), _made("-({})", number), _made("- {}", self.atom),
            _made("({})::numeric / {}", number, divisor), _made("({}) % {}", number, divisor), _made("mod({}, {})", number, divisor),
            *(_made(f"{name}({{}})", number) for name in ("abs", "sign", "floor", "ceil", "round", "trunc")),
            *(_made(f"{name}({{}}, 2)", number) for name in ("round", "trunc")), _made("greatest({}, {})", number, number),
            _made("least({}, {}, {})", number, number, number), _made("coalesce({}, {})", number, number), _made("nullif({}, {})", number, number),
            _made("case when {} then {} else {} end", condition, number, number), _made("({})::numeric", whole),
        )  # fmt: skip
        fields = st.sampled_from(["year", "isoyear", "quarter", "month", "week", "day", "doy", "dow", "isodow"])
        self.whole_made = st.one_of(
            *(_made(f"{{}} {sign} {{}}", whole, whole) for sign in ("+", "-", "*")), _made("length({})", text), _made("strpos({}, {})", text, text),
            _made("{} - {}", st.sampled_from(["d", "e"]), st.sampled_from(["d", "e"])), _made("coalesce({}, {})", whole, whole),
            _made("case {} when {} then {} end", whole, whole, whole),
            *([] if is_native else [_made("extract({} from {})", fields, st.one_of(day, moment))]),
        )  # fmt: skip
        count, start = (
            (st.sampled_from(["2", "-1", "i"]), st.sampled_from(["1", "2", "0"])) if is_native else (whole, whole)
        )
        self.text_made = st.one_of(
            _made("{} || {}", text, text), _made("concat({}, {})", text, text), _made("concat_ws('-', {}, {}, {})", text, text, text),
            *(_made(f"{name}({{}})", text) for name in ("lower", "upper", "trim", "ltrim", "rtrim", "btrim")),
            *(_made(f"{name}({{}}, {{}})", text, text) for name in ("trim", "btrim", "ltrim", "rtrim") if name != "trim" or not is_native),
            *(_made(f"{name}({{}}, {{}})", text, count) for name in ("left", "right")), _made("substr({}, {})", text, start),
            _made("substring({}, {}, {})", text, start, count), _made("replace({}, {}, 'yy')", text, text), _made("lpad({}, 5, '*')", text),
            _made("rpad({}, 3)", text), _made("split_part({}, '-', {})", text, st.sampled_from(["1", "-1", "3"])), _made("({})::text", whole),
            _made("({})::text", number), _made("({})::text", condition), _made("({})::text", day), _made("coalesce({}, {})", text, text),
            _made("nullif({}, {})", text, text), _made("greatest({}, {})", text, text), _made("case when {} then {} end", condition, text),
            _made("case {} when {} then {} when {} then {} else {} end", text, text, text, text, text, text),
            _made("to_char({}, 'YYYY-MM-DD HH24:MI:SS.US')", moment),
            *([] if is_native else [_made("to_char({}, 'DDD/IYYY-IW Q')", day), st.sampled_from(["u::text", "j::text", "coalesce(j, j)::text"])]),
        )  # fmt: skip
        signs = st.sampled_from(["=", "<>", "!=", "<", "<=", ">", ">="])
        compared = st.one_of(
            *(st.tuples(side, signs, side).map(" ".join) for side in (number, text, day, moment, whole))
        )
        self.condition_made = st.one_of(
            compared, *(_made(f"{{}} {word} {{}}", condition, condition) for word in ("and", "or", "=", "<>")), _made("not {}", condition),
            *(_made(f"{{}} {word}", st.one_of(condition, number, text, day)) for word in ("is null", "is not null")),
            *(_made(f"{{}} {word}", condition) for word in ("is true", "is not true", "is false", "is not false")),
            *(_made(f"{{}} {word} {{}}", text, text) for word in ("is distinct from", "is not distinct from")),
            *(_made(f"{{}} {word} {{}}", number, number) for word in ("is distinct from", "is not distinct from")),
            *(_made(f"{{}} {word} ('x', 'A', '')", text) for word in ("in", "not in")), _made("{} not in (1, 2.5)", number),
            *(_made(f"{{}} {word} {{}} and {{}}", side, side, side) for word in ("between", "not between") for side in (number, text, day)),
            *(_made(f"{{}} {word} '{pattern}'", text) for word, pattern in (
                ("like", "a%"), ("not like", "%_"), ("ilike", "A%"), ("not ilike", "x\\%%"), ("~", "^[A-Za-z]+$"), ("!~", "[0-9]+"))),
            _made("starts_with({}, {})", text, text), _made("coalesce({}, {})", condition, condition),
            *([] if is_native else [st.sampled_from(["u = u", "x = x", "tags <> tags", "j is distinct from j", "u is null", "x is not null", "z > z"])]),
        )  # fmt: skip
        self.day_made = st.one_of(
            _made("{} + {}", day, whole), _made("{} - {}", day, st.sampled_from(["«1»", "i", "small", "«30»"])), _made("greatest({}, {})", day, day),
            _made("coalesce({}, {})", day, day), _made("case when {} then {} else {} end", condition, day, day), _made("({})::date", moment),
            *([] if is_native else [_made("date_trunc('{}', {})", st.sampled_from(["year", "quarter", "month", "week", "day"]), day)]),
        )  # fmt: skip
        units = st.sampled_from(["year", "quarter", "month", "week", "day", "hour", "minute", "second"])
        self.moment_made = st.one_of(
            _made("date_trunc('{}', {})", units, moment), st.sampled_from(["(z at time zone 'Europe/London')"]), _made("coalesce({}, {})", moment, moment),
        )  # fmt: skip
        self.any = st.one_of(number, whole, text, condition, day, moment)

    @staticmethod
    def _wrapped(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.tuples(st.booleans(), inner).map(lambda drawn: f"({drawn[1]})" if drawn[0] else drawn[1])


PARENTHESISED, NATIVE = Grammar(is_native=False), Grammar(is_native=True)


@st.composite
def texts_of(draw: st.DrawFn, grammar: Grammar) -> str:
    return draw(grammar.any)


PG_NAMES = {"timestamp": "timestamp without time zone", "timestamptz": "timestamp with time zone"}


def _read(text: str) -> Expression:
    """The expression, or an example that is not counted: too deep, or too large a result."""
    try:
        return read_expression(_unmarked(text), TYPES)
    except ExpressionRefused as refused:
        assume(False)
        raise AssertionError from refused


# -- it never fails -----------------------------------------------------------------------------------------------


@settings(MANY, max_examples=150)
@given(text=texts_of(PARENTHESISED))
def test_no_expression_fails_on_any_row_and_its_type_is_what_it_says(engine: Engine, text: str) -> None:
    expression = _read(text)
    value, fails = expression.sql(COLUMNS), expression.fails(COLUMNS) or sql.SQL("false")
    fits = sql.SQL("({v})::{t} is not distinct from {v}").format(v=sql.SQL("v"), t=expression.type.sql)

    told = engine.session.execute(
        sql.SQL("select no, pg_typeof(v)::text, {fits}, f, length(v::text) from (select no, {v} as v, {f} as f from nasty offset 0) as r").format(
            fits=fits, v=value, f=fails)
    ).fetchall()  # fmt: skip

    assert len(told) == 8, "one row for each"
    assert {kind for _, kind, *_ in told} == {PG_NAMES.get(expression.type.name, expression.type.name)}
    assert all(fits for _, _, fits, *_ in told), "the type holds every value, without rounding"
    assert {f for _, _, _, f, _ in told} <= {True, False, None}


@pytest.mark.parametrize(
    ("text", "rejected"),
    [
        ("a + 1", [1]), ("n + 1", [1, 2, 3, 4, 7]), ("n::text", [1, 2, 3, 4, 7]), ("n > 1", []), ("coalesce(n, a)", []),
        ("a / i", [1, 3]), ("mod(big, small)", [3]), ("d + 1", [1, 2, 5]), ("d - e", [1, 2, 5, 7]), ("d > e", []),
        ("d + i", [1, 2, 5, 6]), ("extract(year from t)", [1, 2, 5]), ("z at time zone 'UTC'", [1, 2, 3, 4, 5, 7]),
        ("s || v", [2]), ("upper(s)", [2]), ("s like 'x%'", []), ("left(s, i)", [1, 2]), ("j::text", [2]), ("to_char(d, 'YYYY')", [1, 2, 5]),
        ("substring(s, 1, small)", [2, 5, 7]), ("case when i <> 0 then a / i end", [1]), ("i <> 0 and a / i > 0", [1]),
        ("i = 0 or a / i > 0", [1]), ("a / i > 0 and i <> 0", [1, 3]), ("coalesce(1, a / i)", []), ("coalesce(a / i, 1)", [1, 3]),
        ("nullif(a / i, 0)", [1, 3]), ("case i when 0 then 0 else a / i end", [1]), ("case a / i when 1 then 2 end", [1, 3]),
        ("case when b then n + 1 end", [1, 3]), ("greatest(a, n) + 1", [1, 2, 3, 4, 7]), ("s is null", []), ("length(s)", [2]),
    ],
)  # fmt: skip
def test_a_row_is_rejected_for_what_is_computed_and_has_no_value(
    engine: Engine, text: str, rejected: list[int]
) -> None:
    told = engine.told(read_expression(text, TYPES), "nasty")

    found = [no for no, (_, fails) in enumerate(told) if fails]
    # With i = -2147483648 and 2147483647 the columns are within bounds; what they are used for may not be.
    assert found == rejected


def test_the_longest_numbers_and_texts_stay_below_what_postgres_holds(engine: Engine) -> None:
    for text in (
        "n * " * 40 + "n",
        "s || " * 40 + "s",
        "n / n / n / n / n / n",
        "round(n, 30) / n / n",
        "replace(replace(s, 'x', 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy'), 'y', 'zzzzzzzzzzzzzzz')",
    ):
        engine.told(read_expression(text, TYPES), "nasty")


# -- it means what PostgreSQL says it means -----------------------------------------------------------------------

# division by zero, negative length of a substring
RAISED = {"22012", "22011"}


@settings(MANY, max_examples=250)
@given(text=texts_of(NATIVE))
def test_an_expression_means_what_postgres_reads_and_fails_where_postgres_raises(engine: Engine, text: str) -> None:
    expression = _read(text)

    for no, (value, fails) in enumerate(engine.told(expression, "benign")):
        native, sqlstate = engine.natively(text, no)
        if sqlstate == "22003":  # integers of PostgreSQL overflow; ours do not
            continue
        assert sqlstate in RAISED | {""}, f"PostgreSQL refuses it: {sqlstate}"
        if not (fails and "between" in text):  # PostgreSQL looks at the second end only if the first one lets it
            assert fails is bool(sqlstate)
            assert fails or value == native


@settings(MANY, max_examples=300)
@given(text=texts_of(NATIVE), chance=st.randoms(use_true_random=False))
def test_what_we_can_read_of_a_bent_text_postgres_reads_in_the_same_way(
    engine: Engine, text: str, chance: random.Random
) -> None:
    pieces = re.findall(r"«.*?»|'[^']*'|::\w+|\w+|[(),]|[^\w\s«(),']+", text)
    for _ in range(chance.randint(1, 3)):
        at, other = chance.randrange(len(pieces)), chance.randrange(len(pieces))
        match chance.randrange(4):
            case 0 if len(pieces) > 1:
                del pieces[at]
            case 1:
                pieces[at] = pieces[other]
            case 2:
                pieces.insert(
                    at,
                    chance.choice(["(", ")", "not", "-", "+", "and", "=", "||", "is null", "between", "s", "a", "b"]),
                )
            case _:
                pieces[at], pieces[other] = pieces[other], pieces[at]
    bent = " ".join(pieces)
    try:
        expression = read_expression(_unmarked(bent), TYPES)
    except ExpressionRefused:
        return
    for no, (value, fails) in enumerate(engine.told(expression, "benign")):
        native, sqlstate = engine.natively(bent, no)
        # 42883: where integers are wanted we take any whole number. 22003: our integers do not overflow.
        assert sqlstate in RAISED | {"", "42883", "22003"}, f"PostgreSQL refuses it: {sqlstate}"
        # Division of integers is a declared difference.
        if sqlstate in RAISED | {""} and "/" not in pieces and not (fails and "between" in pieces):
            assert fails is bool(sqlstate)
            assert fails or value == native


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("i / 2", ["1.5000000000000000", "0.00000000000000000000", "-1.5000000000000000", None, "3.5000000000000000"]),
        ("date_trunc('month', d)", ["2024-02-01", "2026-12-01", "1999-01-01", None, "2024-03-01"]),
        ("to_char(d, 'YYYY/MM')", ["2024/02", "2026/12", "1999/01", None, "2024/03"]),
        ("extract(isodow from d)", ["4", "4", "5", None, "7"]),
        ("extract(second from t)", ["56.000000", "59.500000", None, "0.000000", "0.000000"]),
        ("(z at time zone 'Europe/London')::text", None),
        ("to_char(z at time zone 'Europe/London', 'YYYY-MM-DD HH24:MI')",
         ["2024-07-01 13:00", "2024-01-01 00:00", None, "1970-01-01 00:59", "2024-03-31 02:00"]),
        ("s < 'a'", ["true", "true", "false", None, "true"]),
        ("'Z' < 'a' and 'a' < 'ä'", ["true"] * 5),
    ],
)  # fmt: skip
def test_declared_differences_are_as_declared(engine: Engine, text: str, values: list[str | None] | None) -> None:
    if values is None:
        with pytest.raises(ExpressionRefused):
            read_expression(text, TYPES)
        return
    assert [value for value, _ in engine.told(read_expression(text, TYPES), "benign")] == values


# -- it means what it says ----------------------------------------------------------------------------------------

EXACT = Context(prec=4_000, Emax=999_999, Emin=-999_999)
Row = dict[str, Any]
NUMBERS = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e1000",
    "-1e901",
    "0",
    "-0.00",
    "1",
    "-2.5",
    "0.005",
    "1e30",
    "-123456789.123456789",
    "9e899",
]
TEXTS = ["", " ", "a", "A", "ab-cd", "日本🙂", "O'Neil", "%_\\", "zz", "é"]
DAYS = [date(2024, 2, 29), date(1, 1, 1), date(9999, 12, 31), date(1999, 12, 31)]


class Failed(Exception):
    """The row is rejected."""


@dataclass(frozen=True)
class Said:
    """An expression, and what it means: by itself, and where it is calculated with."""

    text: str
    meaning: Callable[[Row], Any]
    guarded: Callable[[Row], Any]


def _said(text: str, meaning: Callable[[Row], Any]) -> Said:
    return Said(text, meaning, meaning)


def _strict(form: str, meaning: Callable[..., Any], *parts: Said, is_calculated: bool = True) -> Said:
    """NULL if any operand is."""

    def value(row: Row) -> Any:
        operands = [part.guarded(row) if is_calculated else part.meaning(row) for part in parts]
        return None if any(operand is None for operand in operands) else meaning(*operands)

    return _said("(" + form.format(*(part.text for part in parts)) + ")", value)


def _finite(name: str) -> Said:
    """A column of numbers: what is calculated with is finite, and below a bound."""

    def value(row: Row) -> Any:
        number = row[name]
        if number is not None and (not number.is_finite() or abs(number) >= Decimal("1e900")):
            raise Failed
        return number

    return Said(name, lambda row: row[name], value)


def _remainder(one: Decimal, other: Decimal) -> Decimal:
    if other == 0:
        raise Failed
    return EXACT.remainder(one, other)


def _order(number: Any) -> Any:
    """NaN stands above everything and equals itself."""
    if isinstance(number, Decimal):
        return (1, Decimal(0)) if number.is_nan() else (0, number)
    return (0, number)


COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda x, y: _order(x) == _order(y), "<>": lambda x, y: _order(x) != _order(y), "<": lambda x, y: _order(x) < _order(y),
    "<=": lambda x, y: _order(x) <= _order(y), ">": lambda x, y: _order(x) > _order(y), ">=": lambda x, y: _order(x) >= _order(y),
}  # fmt: skip


def _case(condition: Said, one: Said, other: Said) -> Said:
    def chosen(row: Row) -> Said:
        return one if condition.meaning(row) is True else other

    return Said(
        f"(case when {condition.text} then {one.text} else {other.text} end)",
        lambda row: chosen(row).meaning(row),
        lambda row: chosen(row).guarded(row),
    )


def _coalesce(one: Said, other: Said) -> Said:
    def value(row: Row) -> Any:
        first = one.meaning(row)
        return first if first is not None else other.meaning(row)

    def guarded(row: Row) -> Any:
        first = one.guarded(row)
        return first if first is not None else other.guarded(row)

    return Said(f"coalesce({one.text}, {other.text})", value, guarded)


def _and(one: Said, other: Said) -> Said:
    def value(row: Row) -> Any:
        left = one.meaning(row)
        if left is False:
            return False
        right = other.meaning(row)
        return False if right is False else None if left is None or right is None else True

    return _said(f"({one.text} and {other.text})", value)


def _or(one: Said, other: Said) -> Said:
    def value(row: Row) -> Any:
        left = one.meaning(row)
        if left is True:
            return True
        right = other.meaning(row)
        return True if right is True else None if left is None or right is None else False

    return _said(f"({one.text} or {other.text})", value)


def _is_null(part: Said) -> Said:
    return _said(f"({part.text} is null)", lambda row: part.meaning(row) is None)


def _column(name: str) -> Said:
    return _said(name, lambda row: row[name])


def _constant(text: str, value: Any) -> Said:
    return _said(text, lambda row: value)


def _round(number: Decimal, rounding: str, places: int = 0) -> Decimal:
    return number.quantize(Decimal(1).scaleb(-places), rounding=rounding, context=EXACT)


def _left(text: str, count: int) -> str:
    return text[:count] if count >= 0 else text[: max(len(text) + count, 0)]


def _part(text: str, part: int) -> str:
    parts = text.split("-")
    return parts[part] if -len(parts) <= part < len(parts) else ""


NUMBER_ATOMS = [
    _finite("n"), _finite("m"), _constant("2", Decimal(2)), _constant("0.5", Decimal("0.5")), _constant("-3", Decimal(-3))
]  # fmt: skip
calculated = st.deferred(lambda: st.one_of(st.sampled_from(NUMBER_ATOMS), calculated_made))
conditions = st.deferred(lambda: st.one_of(st.sampled_from([_column("b"), _constant("true", True)]), conditions_made))
texts = st.deferred(
    lambda: st.one_of(
        st.sampled_from([_column("s"), _column("v"), _constant("'a'", "a"), _constant("''", "")]), texts_made
    )
)
days = st.deferred(
    lambda: st.one_of(st.sampled_from([_column("d"), _constant("date '2024-02-29'", date(2024, 2, 29))]), days_made)
)
small = st.integers(-5, 400)


def _of(
    form: str, meaning: Callable[..., Any], *parts: st.SearchStrategy[Said], is_calculated: bool = True
) -> st.SearchStrategy[Said]:
    return st.tuples(*parts).map(lambda drawn: _strict(form, meaning, *drawn, is_calculated=is_calculated))


calculated_made = st.one_of(
    _of("{} + {}", EXACT.add, calculated, calculated), _of("{} - {}", EXACT.subtract, calculated, calculated),
    _of("{} * {}", EXACT.multiply, calculated, calculated), _of("{} % {}", _remainder, calculated, calculated),
    _of("- {}", lambda one: EXACT.minus(one), calculated), _of("abs({})", abs, calculated),
    _of("round({}, 2)", lambda one: _round(one, ROUND_HALF_UP, 2), calculated), _of("trunc({})", lambda one: _round(one, ROUND_DOWN), calculated),
    _of("floor({})", lambda one: _round(one, ROUND_FLOOR), calculated), _of("ceil({})", lambda one: _round(one, ROUND_CEILING), calculated),
    _of("sign({})", lambda one: Decimal((one > 0) - (one < 0)), calculated), _of("length({})", lambda one: Decimal(len(one)), texts),
    _of("strpos({}, {})", lambda one, part: Decimal(one.find(part) + 1), texts, texts),
    _of("extract(year from {})", lambda day: Decimal(day.year), days), _of("{} - {}", lambda one, other: Decimal((one - other).days), days, days),
    st.builds(_case, conditions, calculated, calculated), st.builds(_coalesce, calculated, calculated),
)  # fmt: skip
conditions_made = st.one_of(
    *(_of(f"{{}} {sign} {{}}", meaning, side, side, is_calculated=False)
      for sign, meaning in COMPARED.items() for side in (calculated, texts, days)),
    _of("not {}", lambda one: not one, conditions), st.builds(_and, conditions, conditions), st.builds(_or, conditions, conditions),
    st.builds(_is_null, st.one_of(texts, conditions, calculated)), _of("starts_with({}, {})", str.startswith, texts, texts),
    _of("{} in ('a', 'zz', '')", lambda one: one in ("a", "zz", ""), texts), _of("{} like 'a%'", lambda one: one.startswith("a"), texts),
    _of("{} ~ '^[a-z]+$'", lambda one: bool(re.fullmatch("[a-z]+", one)), texts),
)  # fmt: skip
texts_made = st.one_of(
    _of("{} || {}", str.__add__, texts, texts), _of("replace({}, {}, 'yy')", lambda one, old: one.replace(old, "yy") if old else one, texts, texts),
    small.flatmap(lambda n: _of(f"left({{}}, {n})", lambda one: _left(one, n), texts)),
    *(_of(f"split_part({{}}, '-', {part})", lambda one, at=at: _part(one, at), texts) for part, at in ((1, 0), (2, 1), (-1, -1))),
    _of("btrim({})", lambda one: one.strip(" "), texts), _of("btrim({}, 'a')", lambda one: one.strip("a"), texts),
    _of("lpad({}, 3, '*')", lambda one: one[:3].rjust(3, "*"), texts), _of("substring({}, 2, 2)", lambda one: one[1:3], texts),
    st.builds(_case, conditions, texts, texts), st.builds(_coalesce, texts, texts), _of("({})::text", date.isoformat, days),
)  # fmt: skip
days_made = st.one_of(
    st.builds(_case, conditions, days, days), st.builds(_coalesce, days, days),
    _of("date_trunc('month', {})", lambda day: day.replace(day=1), days),
    _of("greatest({}, {})", max, st.just(_constant("date '2024-02-29'", date(2024, 2, 29))), st.just(_constant("date '2000-01-01'", date(2000, 1, 1)))),
)  # fmt: skip
OF_MEANING = {"n": "numeric", "m": "numeric", "s": "text", "v": "text", "d": "date", "b": "boolean"}
rows = st.lists(
    st.fixed_dictionaries({
        "n": st.none() | st.sampled_from(NUMBERS).map(Decimal), "m": st.none() | st.sampled_from(NUMBERS).map(Decimal),
        "s": st.none() | st.sampled_from(TEXTS), "v": st.none() | st.sampled_from(TEXTS),
        "d": st.none() | st.sampled_from(DAYS), "b": st.none() | st.booleans(),
    }), min_size=4, max_size=8,
)  # fmt: skip


def _expected(said: Said, row: Row) -> tuple[Any, bool]:
    try:
        return said.meaning(row), False
    except Failed:
        return None, True


@st.composite
def sayings(draw: st.DrawFn) -> Said:
    return draw(st.one_of(calculated_made, conditions_made, texts_made, days_made))


@settings(MANY, max_examples=250)
@given(said=sayings(), given_rows=rows)
def test_an_expression_means_what_python_says_it_means(engine: Engine, said: Said, given_rows: list[Row]) -> None:
    types = {name: PgType.parse(kind) for name, kind in OF_MEANING.items()}
    try:
        expression = read_expression(said.text, types)
    except ExpressionRefused:
        assume(False)
        raise
    columns = {name: sql.Identifier(name) for name in OF_MEANING}
    tuples = sql.SQL(", ").join(
        sql.SQL("({})").format(sql.SQL(", ").join(
            sql.SQL("{}::{}").format(sql.Literal(None if row[name] is None else str(row[name]).lower() if isinstance(row[name], bool) else str(row[name])), sql.SQL(kind))
            for name, kind in OF_MEANING.items()))
        for row in given_rows
    )  # fmt: skip
    query = sql.SQL("select ({v})::text, coalesce({f}, false) from (values {rows}) as r ({names})").format(
        v=expression.sql(columns), f=expression.fails(columns) or sql.SQL("false"), rows=tuples,
        names=sql.SQL(", ").join(columns.values()),
    )  # fmt: skip

    for row, (text, fails) in zip(given_rows, engine.session.execute(query), strict=True):
        value, is_failed = _expected(said, row)
        assert fails is is_failed
        if not fails:
            assert _typed(text, expression.type) == _order(value)


def _typed(text: str | None, kind: PgType) -> Any:
    """A value of the server, to be compared with Python's."""
    if text is None or kind.family == "text":
        return _order(text)
    if kind.family == "boolean":
        return _order(text == "true")
    return _order(date.fromisoformat(text) if kind.family == "date" else Decimal(text))


# -- it is the same everywhere and every time ---------------------------------------------------------------------

CORPUS = [
    "a + n - a * n / n % n", "-a", "abs(a) + sign(a) + round(a, 2) + trunc(a) + floor(a) + ceil(a) + mod(a, n) + round(a)", "s || v || concat(s, v) || concat_ws('-', s, v)",
    "lower(s) || upper(s) || trim(s) || btrim(s, v) || ltrim(s) || rtrim(s, v) || ltrim(s, v) || rtrim(s) || trim(s, v)",
    "length(s) + strpos(s, v)", "substring(s, 1) || substr(s, 1, 2) || left(s, 1) || right(s, i) || replace(s, v, 'x') || lpad(s, 3) || rpad(s, 3, 'x') || lpad(s, 3, 'x') || rpad(s, 3)",
    "split_part(s, '-', 1)", "starts_with(s, v)", "coalesce(s, v)", "nullif(s, v)", "nullif(a, n)", "nullif(d, e)", "greatest(a, n)", "least(s, v)", "greatest(d, e)", "least(t, t)",
    "d + i", "d - 1", "d - e", "30 + d", "date_trunc('month', d)", "date_trunc('month', t)", "to_char(d, 'YYYY-MM-DD')", "to_char(t, 'YYYY-MM-DD HH24:MI:SS.US')",
    *(f"extract({field} from t)" for field in ("year", "isoyear", "quarter", "month", "week", "day", "doy", "dow", "isodow", "hour", "minute", "second")),
    "extract(year from d)", "(z at time zone 'Europe/London')::date", "z at time zone 'Asia/Kolkata'", "t::date",
    *(f"{column} {sign} {column}" for column in ("a", "i", "big", "s", "d", "t", "z") for sign in ("=", "<>", "<", "<=", ">", ">=", "is distinct from")),
    "b = c", "b <> c", "u = u", "j = j", "x = x", "tags = tags", "i = a", "small < big", "a = 1.5", "i = 40000", "z > timestamptz '2024-01-01 00:00:00+00'", "t > timestamp '2024-01-01 00:00:00'",
    "a between n and 3", "s between 'a' and 'b'", "d between e and date '2024-01-01'", "s in ('a', 'b')", "i not in (1, 2)", "d in (date '2024-01-01')",
    "s like 'a%'", "s not like 'a%'", "s ilike 'a%'", "s not ilike 'a%'", "s ~ 'a'", "s !~ 'a'", "b and c or not b", "s is null", "b is true", "b is not false",
    "case when b then s else v end", "case s when 'a' then 1 when v then 2 end", "a::text", "i::text", "b::text", "d::text", "u::text", "j::text", "i::numeric", "cast(s as text)", "big::text", "small::text",
]  # fmt: skip
# STABLE, and why that is right for the operands that we give them.
STABLE = {
    "concat_ws": "it writes out operands of any type; ours are texts",
    "to_char": "it knows names of months in the session's language; our formats have digits only",
}


def test_the_corpus_has_every_function_and_operator() -> None:
    everything = " ".join(CORPUS)
    assert [name for name in FUNCTIONS if f"{name}(" not in everything] == []
    assert [word for word in PREDICATES | INFIX - {",", "!="} if f" {word} " not in everything] == ["!="]


def test_every_function_of_the_sql_is_immutable_and_gives_one_value(engine: Engine) -> None:
    session = engine.session
    functions: set[int] = set()
    operators: set[int] = set()
    for text in CORPUS:
        expression = read_expression(text, TYPES)
        fails = expression.fails(COLUMNS) or sql.SQL("false")
        session.execute(
            sql.SQL("create or replace temp view told as select {v} as v from nasty").format(v=sql.SQL("1"))
        )
        session.execute("drop view told")
        session.execute(
            sql.SQL("create temp view told as select {v} as v, {f} as f from nasty").format(
                v=expression.sql(COLUMNS), f=fails
            )
        )
        row = session.execute("select ev_action::text from pg_rewrite where ev_class = 'told'::regclass").fetchone()
        assert row is not None
        session.execute("drop view told")
        assert not re.search(r"\{(SUBLINK|AGGREF|WINDOWFUNC|SQLVALUEFUNCTION|PARAM|NEXTVALUEEXPR|XMLEXPR) ", row[0]), (
            text
        )
        assert ":funcretset true" not in row[0], text
        functions |= {int(oid) for oid in re.findall(r":funcid (\d+)", row[0])}
        operators |= {int(oid) for oid in re.findall(r":opno (\d+)", row[0])}
    told = session.execute(
        "select proname, provolatile, proretset, prokind from pg_proc where oid = any(%s)"
        " or oid in (select oprcode from pg_operator where oid = any(%s))"
        # what a cast to text writes with
        " or oid in (select typoutput from pg_type where typname in ('int2', 'int4', 'int8', 'numeric', 'bool', 'uuid', 'jsonb', 'text'))",
        [list(functions), list(operators)],
    ).fetchall()
    assert len(told) > 100
    assert all(kind == "f" and not is_set for _, _, is_set, kind in told)
    assert {name for name, volatility, *_ in told if volatility != "i"} == set(STABLE)


def test_the_session_decides_nothing(engine: Engine) -> None:
    def everything() -> list[Any]:
        found = []
        for text in CORPUS:
            expression = read_expression(text, TYPES)
            # dates and time stamps are written without the session's help
            value = sql.SQL("to_jsonb({v})::text").format(v=expression.sql(COLUMNS))
            fails = expression.fails(COLUMNS) or sql.SQL("false")
            found.append(
                engine.session.execute(
                    sql.SQL("select {v}, {f} from benign order by no").format(v=value, f=fails)
                ).fetchall()
            )
        return found

    plain = everything()
    settings_ = {"timezone": "Asia/Kathmandu", "datestyle": "German, DMY", "intervalstyle": "sql_standard", "extra_float_digits": "-5",
                 "standard_conforming_strings": "on", "search_path": "pg_temp", "lc_time": "C", "bytea_output": "escape"}  # fmt: skip
    try:
        for name, value in settings_.items():
            engine.session.execute(
                "select set_config(%s, %s, false)", [name, value if name != "search_path" else "public, pg_temp"]
            )
        assert everything() == plain
    finally:
        for name in settings_:
            engine.session.execute(sql.SQL("reset {}").format(sql.Identifier(name)))
        engine.session.execute("set timezone = 'UTC'")


def test_words_that_postgres_reserves_are_reserved(engine: Engine) -> None:
    known = {row[0] for row in engine.session.execute("select word from pg_get_keywords() where catcode in ('R', 'T')")}
    assert known - RESERVED - KEYWORDS == set()


def test_a_text_keeps_the_collation_of_the_database(engine: Engine) -> None:
    expression = read_expression("coalesce(s, v)", TYPES)
    row = engine.session.execute(
        sql.SQL("select pg_collation_for({v}) from nasty limit 1").format(v=expression.sql(COLUMNS))
    ).fetchone()
    assert row == ('"default"',)


def test_the_collation_of_a_column_decides_nothing(engine: Engine) -> None:
    """Some collations order otherwise; others refuse `like` and `replace`, or call different texts equal."""
    session = engine.session
    row = session.execute("select count(*) from pg_collation where collname = 'und-x-icu'").fetchone()
    if row == (0,):
        pytest.skip("this server has no ICU collations")
    session.execute("create collation sloppy (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    relation = "(values ('a' collate sloppy, 'B' collate \"und-x-icu\"), ('A', 'a')) as r (s, v)"
    texts = ("s < v", "s = v", "s in ('A')", "replace(s, 'A', 'x')", "s like 'A'", "s ilike 'A'", "s ~ 'A'", "split_part(s, 'A', 1)",
             "strpos(s, 'A')", "starts_with(s, 'A')", "greatest(s, v)", "case s when 'a' then 1 else 2 end", "upper(s)", "s || v",
             "s between 'A' and 'B'", "nullif(s, v)")  # fmt: skip
    for text in texts:
        expression = read_expression(text, TYPES)
        made = sql.SQL("select ({v})::text, {f} from {r}").format(
            v=expression.sql(COLUMNS), f=expression.fails(COLUMNS) or sql.SQL("false"), r=sql.SQL(relation)
        )
        plain = sql.SQL("select ({v})::text, {f} from (values ('a', 'B'), ('A', 'a')) as r (s, v)").format(
            v=expression.sql(COLUMNS), f=expression.fails(COLUMNS) or sql.SQL("false"))  # fmt: skip
        assert session.execute(made).fetchall() == session.execute(plain).fetchall()
    session.execute("drop collation sloppy")
