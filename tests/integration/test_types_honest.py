"""Types are honest: every pair of types, over values chosen to break it, on a real server.

A value either arrives equal, or its row is rejected with `overflow` or `too_long`; the statement itself never fails.
What "equal" means is said here a second time, in Python and by PostgreSQL's own spelling of the values. Values travel
through real tables: JSON would lose duplicate keys, bounds of arrays and the padding of char.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from decimal import Decimal
from itertools import product, zip_longest

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from syncline.core.compile import compile_mapping
from syncline.core.mapping import Mapping
from syncline.core.types import FAMILIES, PgType
from tests.integration.mapping_engine import Engine

REFUSED = {"overflow", "too_long"}
FEW = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)

TEXTS = [
    "",
    " ",
    "a",
    "ab   ",
    "abcde",
    "abcdef",
    "漢字漢字漢",
    "\U0010ffff" * 6,
    "é\u0301",
    "x" * 10_000,
    "12",
    "NaN",
    "2026-01-31",
    "{}",
    "%s",
]
WHOLE = ["0", "-1", "9", "99", "-32768", "32767", "32768", "-2147483648", "2147483647", "2147483648", "16777217", "9007199254740993",
         "-9223372036854775808", "9223372036854775807"]  # fmt: skip
NUMBERS = [*WHOLE, "NaN", "Infinity", "-Infinity", "0.5", "-0.5", "2.5", "0.005", "1.005", "9999999999.995", "9999999999.99", "1e-50", "1e40",
           "1e400", "-1e400", "1e-400", "1e131071", "1e-16383", "3.4028235e38", "3.5e38", "1e-45", "7e-46", "1e-46", "4.9e-324", "1e-320",
           "1.7976931348623157e308", "1.8e308", "0.1", "123456789012345678.119"]  # fmt: skip
FLOATS = ["0", "-0", "NaN", "Infinity", "-Infinity", "0.1", "1e40", "1e-50", "1.7976931348623157e308", "-1.7976931348623157e308", "2.2e-308",
          "4.9e-324", "16777217", "9007199254740993", "1e22", "123456.789", "3.4028235e38", "3.5e38", "2147483647.5", "-2147483648.4"]  # fmt: skip
DAYS = ["infinity", "-infinity", "4714-11-24 BC", "0044-03-15 BC", "0001-01-01", "2026-02-28", "10000-01-01", "294276-12-31", "294277-01-01",
        "5874897-12-31"]  # fmt: skip
CLOCKS = ["00:00:00", "23:59:59.999999", "24:00:00", "12:30:00.0005", "12:30:00.9999995"]
MOMENTS = ["infinity", "-infinity", "4714-11-24 00:00:00 BC", "0044-03-15 12:00:00.5 BC", "1970-01-01 00:00:00", "2026-03-29 01:30:00.123456",
           "2026-12-31 23:59:59.9999995", "294276-12-31 00:00:00", "294276-12-31 23:59:59.999999"]  # fmt: skip
NUL_IN_JSON = '"\\u0000"'  # json holds it, jsonb does not
JSONS = ['{"a": 1, "a": 2}', "null", "[]", '{"b": 1.50, "a": [1, {"c": null}]}', " 1e400", "12345678901234567890.1234567890",
         "[" * 500 + "]" * 500, '"x"', '"\\ud83d\\ude00"']  # fmt: skip
# type -> values as PostgreSQL reads them
VALUES: dict[str, list[str]] = {
    "text": TEXTS, "varchar": TEXTS, "varchar(5)": [text[:5] for text in TEXTS], "char": ["", "a", "漢"],
    "char(5)": [text[:5] for text in TEXTS], "boolean": ["true", "false"],
    "smallint": WHOLE[:6], "integer": [n for n in WHOLE if abs(int(n)) <= 2**31 - 1], "bigint": WHOLE,
    "numeric": NUMBERS, "numeric(5,0)": ["NaN", "99999", "-99999", "0"], "numeric(12,2)": ["NaN", "9999999999.99", "-0.01", "0.00", "5.00"],
    "numeric(14,4)": ["NaN", "9999999999.9999", "0.0050", "1.2300"], "numeric(4,4)": ["0.9999", "-0.0001"],
    "real": ["0", "NaN", "Infinity", "-Infinity", "3.4028235e38", "1e-45", "0.1", "16777216", "32767.5"], "double precision": FLOATS,
    "money": ["0", "-92233720368547758.08", "92233720368547758.07", "12.34"], "date": DAYS, "time": CLOCKS, "time(3)": CLOCKS[:4],
    "timetz": ["00:00:00+15:59", "24:00:00-15:59", "12:30:00.123456+02"], "timestamp": MOMENTS, "timestamp(0)": MOMENTS[:-1],
    "timestamptz": MOMENTS, "timestamptz(3)": MOMENTS[:-1],
    "interval": ["1 month", "30 days", "-178000000 years", "1 year 2 mons -3 days +04:05:06.000007", "00:00:00", "24:00:00"],
    "uuid": ["00000000-0000-0000-0000-000000000000", "FFFFFFFF-ffff-ffff-ffff-ffffffffffff"], "json": JSONS,
    "jsonb": JSONS, "bytea": ["\\x", "\\x00ff", "\\x" + "00" * 2000],
    "inet": ["::1", "10.0.0.1/8", "10.0.0.0/8", "255.255.255.255", "::ffff:1.2.3.4/100"], "cidr": ["10.0.0.0/8", "::/0", "10.1.2.3/32"],
    "text[]": ["{}", "{a,NULL,b}", "{{a,b},{c,d}}", '{"",NULL,"NULL"}', "[2:3]={a,b}", "{abcdef}"], "varchar(5)[]": ["{}", "{abcde,NULL}"],
    "smallint[]": ["{}", "{32767,NULL,-32768}", "{{1,2},{3,4}}", "[0:1]={1,2}"], "bigint[]": ["{}", "{9223372036854775807}", "{{1},{2}}"],
    "numeric(12,2)[]": ["{}", "{NaN,1.10,NULL}"], "numeric[]": ["{1e400,NaN,Infinity}"], "date[]": ["{infinity,NULL}", "{5874897-12-31}"],
    "time[]": ["{24:00:00}"], "jsonb[]": ["{}", '{"{\\"a\\": 1}",NULL}'], "json[]": ['{"{\\"a\\": 1, \\"a\\": 2}"}'],
    "char(5)[]": ["{ab,NULL}", "{}"], "real[]": ["{0.1,NaN}"], "boolean[]": ["{t,f,NULL}"], "uuid[]": ["{}"], "timestamp(0)[]": ["{infinity}"],
    "cidr[]": ["{10.0.0.0/8}"], "money[]": ["{1.50}"],
}  # fmt: skip
TARGETS = [
    *VALUES,
    "varchar(3)",
    "char(3)",
    "numeric(9,0)",
    "numeric(19,0)",
    "numeric(30,10)",
    "timestamp(3)",
    "timestamptz(0)",
    "timetz(2)",
]
SINGLE = [pytest.param(spelling, id=spelling) for spelling in VALUES]


def verdict(source: str, target: str) -> str:
    return PgType.parse(source).as_read.becomes(PgType.parse(target))


class Answer:
    """What one value of a source column became in every target type."""

    def __init__(self, said: str, became: dict[str, str | None], errors: list[str]) -> None:
        self.said, self.became = said, became
        self.codes = {
            target: [e.partition(":")[2] for e in errors if e.startswith(f"x{n}:")] for n, target in enumerate(became)
        }


def converted(session: psycopg.Connection, source: str, targets: list[str], values: list[str]) -> Iterator[Answer]:
    """Bring values from a real table to every target type at once; all as PostgreSQL spells them."""
    kind = sql.SQL(source)
    with session.transaction(force_rollback=True):
        session.execute("set local intervalstyle = 'postgres'")
        session.execute(sql.SQL("create temp table honest (a {})").format(kind))
        for value in [*values, None]:
            session.execute(sql.SQL("insert into honest values ({}::text::{})").format(sql.Literal(value), kind))
        mapping = Mapping.model_validate({
            "version": "1.0.0", "source": {"a": source}, "fields": {
                f"x{n}": {"from": "a", "type": target, "pii": "none",
                          **({"lossy": "this test reads what is lost"} if verdict(source, target) == "lossy" else {})}
                for n, target in enumerate(targets)}})  # fmt: skip
        assert mapping.faults() == []
        compiled = compile_mapping(mapping, sql.SQL("(select a from honest)"))
        columns = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(f"x{n}")) for n in range(len(targets)))
        told = session.execute(
            sql.SQL("select {}, _reject -> 'errors', (_reject is not null) from ({}) as q").format(
                columns, compiled.select
            )
        ).fetchall()
        # The mapping keeps the order of a sequential scan; what was said is read by the same scan.
        shown = sql.SQL("a::numeric::text" if source == "money" else "a::text")
        said = [row[0] for row in session.execute(sql.SQL("select {} from honest").format(shown)).fetchall()]
    assert len(told) == len(said)
    for text, (*became, errors, _) in zip(said, told, strict=True):
        if text is None:
            assert set(became) == {None} and errors is None, "NULL stays NULL and is no error"  # noqa: PT018
        else:
            yield Answer(text, dict(zip(targets, became, strict=True)), errors or [])


def is_same(said: str, became: str | None, source: PgType, target: PgType) -> bool:
    """Whether a value is the same in its new type, as PostgreSQL spells both."""
    if became is None:
        return False
    if target.is_array:
        return _is_same_array(said, became, source.element, target.element)
    if source.name == "char":
        said = said.rstrip(" ")
    if target.family == "text":
        return became.rstrip(" ") == said.rstrip(" ") if target.name == "char" else became == said
    if (
        target.family == "float" and source.family == "float"
    ):  # a real is a double exactly, with more digits to its name
        return _double(became, target) == _double(said, source) or became == said
    if target.family == "float":
        return Decimal(float(became)) == Decimal(said)
    if target.family == "number":
        return Decimal(became) == Decimal(said) or became == said
    if (source.name, target.name) == ("date", "timestamp"):
        day, _, era = said.partition(" ")
        return became == (said if "infinity" in said else f"{day} 00:00:00" + (f" {era}" if era else ""))
    return became == said


PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|[^{},]+|[{}]')


def _is_same_array(said: str, became: str, source: PgType, target: PgType) -> bool:
    """The same brackets, and between them the same elements."""
    pairs = list(zip_longest(PIECE.findall(said), PIECE.findall(became), fillvalue="?"))
    return all(
        one == other or is_same(_element(one, source), _element(other, target), source, target) for one, other in pairs
    )


def _element(piece: str, kind: PgType) -> str:
    text = re.sub(r"\\(.)", r"\1", piece[1:-1]) if piece.startswith('"') else piece
    return {"t": "true", "f": "false"}.get(text, text) if kind.name == "boolean" else text


def _double(text: str, kind: PgType) -> float:
    number = float(text)
    return number if kind.name == "double precision" else struct.unpack("f", struct.pack("f", number))[0]


@pytest.mark.parametrize("source", SINGLE)
def test_a_value_arrives_equal_or_its_row_is_rejected(engine: Engine, source: str) -> None:
    targets = [target for target in TARGETS if verdict(source, target) != "impossible"]
    if not targets:
        assert source in ("money", "money[]")
        return

    for answer in converted(engine.session, source, targets, VALUES[source]):
        for target, became in answer.became.items():
            codes, how = answer.codes[target], verdict(source, target)
            where = f"{source} -> {target} ({how}): {answer.said[:60]} became {became and became[:60]}, {codes}"
            if how == "lossless":
                assert codes == [], where
            if codes:
                assert set(codes) <= REFUSED, where
                assert became is None, where
            elif how == "lossy":
                assert became is not None, where  # something may be lost, but never all of it without a word
            else:
                assert is_same(answer.said, became, PgType.parse(source), PgType.parse(target)), where


def test_V16_a_character_that_jsonb_cannot_hold_passes_as_json_and_text(engine: Engine) -> None:
    (answer,) = converted(engine.session, "json", ["json", "text"], [NUL_IN_JSON])

    assert (answer.became, answer.codes["text"]) == ({"json": NUL_IN_JSON, "text": NUL_IN_JSON}, [])


def test_V16_a_row_with_it_can_be_rejected(engine: Engine) -> None:
    (answer,) = converted(engine.session, "json", ["varchar(3)"], [NUL_IN_JSON])

    assert answer.codes["varchar(3)"] == ["too_long"]


def test_every_type_is_tried() -> None:
    assert {PgType.parse(spelling).name for spelling in VALUES} == set(FAMILIES)


def test_what_is_refused_is_refused_because_it_does_not_fit(engine: Engine) -> None:
    """The other side: a guard that rejected everything would pass the test above."""
    expected = {
        ("bigint", "smallint"): {"0", "-1", "9", "99", "-32768", "32767"},
        ("numeric(5,0)", "smallint"): {"0"},
        ("numeric(12,2)", "numeric(9,0)"): {"0.00", "5.00", "-0.01"},
        ("text", "varchar(3)"): {"", " ", "a", "12", "NaN", "{}", "%s"} | {"é\u0301"},
        ("date", "timestamp"): {day for day in DAYS if day not in ("294277-01-01", "5874897-12-31")},
        ("double precision", "real"): {"0", "-0", "NaN", "Infinity", "-Infinity", "0.1", "16777217", "9.007199254740992e+15", "1e+22",
                                       "123456.789", "2147483647.5", "-2147483648.4"},
    }  # fmt: skip
    for (source, target), taken in expected.items():
        answers = converted(engine.session, source, [target], VALUES[source])
        assert {answer.said for answer in answers if not answer.codes[target]} == taken, (source, target)


# -- the pairs of numbers and texts, over values that nobody chose ---------------------------------------------

ANY_NUMBER = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.decimals(allow_nan=True, allow_infinity=True)
    .filter(lambda n: not n.is_snan())
    .map(lambda n: "NaN" if n.is_nan() else str(n)),
    st.tuples(st.integers(-(10**20), 10**20), st.integers(-60, 60)).map(lambda n: f"{n[0]}e{n[1]}"),
)
ANY_FLOAT = st.floats(width=64).map(repr) | st.floats(width=32).map(repr)
ANY_TEXT = st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
NUMERICS = [t for t in TARGETS if PgType.parse(t).family in ("number", "float")]


@FEW
@given(values=st.lists(ANY_NUMBER, min_size=1, max_size=10))
def test_any_number_arrives_or_is_rejected(engine: Engine, values: list[str]) -> None:
    for answer in converted(engine.session, "numeric", NUMERICS, values):
        for target, became in answer.became.items():
            if answer.codes[target]:
                assert answer.codes[target] == ["overflow"]
                assert became is None
            else:
                assert became is not None
                assert _is_near(answer.said, became, PgType.parse(target)), (answer.said, target, became)


def _is_near(said: str, became: str, target: PgType) -> bool:
    """Within half a unit of the target's last place: that is all that `lossy` may lose of a number."""
    if not Decimal(said).is_finite():
        return said == became
    if target.family == "float":
        return _double(became, target) == _double(said, target)
    step = Decimal(0) if target == PgType("numeric") else Decimal(1).scaleb(-(target.scale or 0))
    return abs(Decimal(said) - Decimal(became)) <= step / 2


@FEW
@given(values=st.lists(ANY_FLOAT, min_size=1, max_size=10))
def test_any_float_arrives_or_is_rejected(engine: Engine, values: list[str]) -> None:
    targets = [target for target in NUMERICS if verdict("double precision", target) != "impossible"]

    for answer in converted(engine.session, "double precision", targets, values):
        for target, became in answer.became.items():
            if answer.codes[target]:
                assert answer.codes[target] == ["overflow"]
            else:
                assert became is not None
                assert _is_near(answer.said, became, PgType.parse(target)), (answer.said, target, became)


@FEW
@given(values=st.lists(ANY_TEXT, min_size=1, max_size=10))
@pytest.mark.parametrize("source", ["text", "varchar(5)", "char(5)"])
def test_any_text_arrives_or_is_too_long(engine: Engine, source: str, values: list[str]) -> None:
    targets = [target for target in TARGETS if PgType.parse(target).family == "text"]
    values = [value if source == "text" else value[:5] for value in values]

    for answer in converted(engine.session, source, targets, values):
        said = answer.said.rstrip(" ") if source == "char(5)" else answer.said
        for target, became in answer.became.items():
            length = PgType.parse(target).length or (1 if target == "char" else 10**6)
            if len(said) > length:
                assert (became, answer.codes[target]) == (None, ["too_long"]), target
            else:
                assert answer.codes[target] == []
                assert is_same(said, became, PgType.parse(source), PgType.parse(target)), target


def test_no_pair_is_forgotten() -> None:
    """Every pair has an answer, and of one type to itself it is: lossless."""
    for source, target in product(VALUES, TARGETS):
        assert PgType.parse(source).becomes(PgType.parse(target)) in ("lossless", "guarded", "lossy", "impossible")
        if source == target:
            assert PgType.parse(source).becomes(PgType.parse(target)) == "lossless"
