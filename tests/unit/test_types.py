"""Which type may become which: nothing is lost, rounded or misread without a step that says so."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.core.transforms import NotApplicable
from syncline.core.transforms.literals import check_literal
from syncline.core.types import FAMILIES, INTEGER_DIGITS, TEXT, PgType


@st.composite
def number_types(draw: st.DrawFn) -> PgType:
    name = draw(st.sampled_from(["smallint", "integer", "bigint", "numeric", "numeric(p,s)"]))
    if name != "numeric(p,s)":
        return PgType(name)
    precision = draw(st.integers(1, 40))
    return PgType("numeric", precision, draw(st.integers(0, precision)))


@pytest.mark.parametrize(
    ("spelling", "shown"),
    [("text", "text"), ("numeric", "numeric"), ("numeric(12,2)", "numeric(12,2)"), ("numeric(5)", "numeric(5,0)"),
     ("numeric(14, 4)", "numeric(14,4)"), ("numeric(1000,1000)", "numeric(1000,1000)"), ("timestamptz", "timestamptz"),
     ("varchar(10)", "varchar(10)"), ("char", "char"), ("char(2)", "char(2)"), ("timestamptz(3)", "timestamptz(3)"),
     ("timestamp(6)", "timestamp"), ("time(0)", "time(0)"), ("double precision", "double precision"), ("text[]", "text[]"),
     ("numeric(12,2)[]", "numeric(12,2)[]"), ("money", "money")],
)  # fmt: skip
def test_a_type_is_shown_as_postgres_shows_it(spelling: str, shown: str) -> None:
    assert str(PgType.parse(spelling)) == shown
    assert PgType.parse(shown) == PgType.parse(spelling)


@pytest.mark.parametrize(
    "spelling",
    ["", "txt", "varchar(0)", "varchar(10485761)", "char(a)", "text(5)", "timestamp(7)", "interval(3)", "date(3)", "text[][]", "[]",
     "double  precision", "timestamp(3,1)", "varchar(3,1)", "numeric(0,0)", "numeric(2,3)", "numeric(1001,0)", "numeric(a,b)", "TEXT",
     "text; drop table x", "numeric(١٢,2)", "numeric(12,2", "numeric (12,2)", "text [] ", "integer(4)", "numeric(-1,0)", "text\n"],
)  # fmt: skip
def test_what_is_not_in_the_list_is_no_type(spelling: str) -> None:
    with pytest.raises(ValueError, match=r"is not a type|precision|length|digits"):
        PgType.parse(spelling)


@pytest.mark.parametrize(
    ("spelling", "right"),
    [("NUMBER(12,2)", "numeric(12,2)"), ("number(10)", "numeric(10,0)"), ("Decimal(12, 2)", "numeric(12,2)"),
     ("VARCHAR2(40 CHAR)", "varchar(40)"), ("character varying(40)", "varchar(40)"), ("NVARCHAR(40)", "varchar(40)"),
     ("TEXT", "text"), ("int(11)", "integer"), ("integer(4)", "integer"), ("TIMESTAMP WITH TIME ZONE", "timestamptz"),
     ("timestamp(3) with time zone", "timestamptz(3)"), ("timestamp(3) without time zone", "timestamp(3)"),
     ("string[]", "text[]"), ("BOOL[]", "boolean[]"), ("numeric (12,2)", "numeric(12,2)"), ("text ", "text"),
     ("numeric( 12, 2 )", "numeric(12,2)"), ("float(24)", "double precision"), ("datetime", "timestamp")],
)  # fmt: skip
def test_who_writes_another_systems_spelling_is_told_ours(spelling: str, right: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"'{spelling}' is not a type; write {right}") + "$"):
        PgType.parse(spelling)
    assert str(PgType.parse(right)) == right


@pytest.mark.parametrize(
    "spelling", ["txt", "NUMERIC(2,3)", "varchar2(0)", "numeric(a,b)", "text[][]", "nvarchar(max)"]
)
def test_what_no_type_is_known_for_has_the_list(spelling: str) -> None:
    with pytest.raises(ValueError, match=r"is not a type; one of: text, varchar"):
        PgType.parse(spelling)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_type_becomes_itself_and_text(name: str) -> None:
    assert PgType(name).becomes(PgType(name)) == "lossless"
    assert PgType(name).becomes(TEXT) == ("impossible" if name == "money" else "lossless")


# Two families that have one meaning; everything else needs a step that says which.
ACROSS = {
    ("number", "float"), ("float", "number"), ("date", "timestamp"), ("timestamp", "date"), ("timestamp", "time"),
    ("time", "interval"), ("jsonb", "json"),
}  # fmt: skip


def test_families_do_not_mix_without_a_step() -> None:
    for one, other in product(FAMILIES, FAMILIES):
        if (
            FAMILIES[one] != FAMILIES[other]
            and FAMILIES[other] != "text"
            and (FAMILIES[one], FAMILIES[other]) not in ACROSS
        ):
            assert PgType(one).becomes(PgType(other)) == "impossible", (one, other)


@pytest.mark.parametrize(
    ("one", "other", "verdict"),
    [
        ("text", "varchar(5)", "guarded"),  # a longer text is rejected, not cut
        ("varchar(5)", "varchar(6)", "lossless"),
        ("varchar(5)", "char(5)", "lossless"),
        ("varchar(6)", "char(5)", "guarded"),
        ("varchar", "text", "lossless"),
        ("integer", "varchar(5)", "guarded"),
        ("real", "double precision", "lossless"),
        ("double precision", "real", "lossy"),
        ("smallint", "real", "lossless"),
        ("integer", "real", "lossy"),  # 16777217 has no real
        ("integer", "double precision", "lossless"),
        ("bigint", "double precision", "lossy"),
        ("numeric(12,2)", "double precision", "lossy"),
        ("double precision", "numeric", "lossy"),
        ("double precision", "numeric(12,2)", "lossy"),
        ("double precision", "integer", "impossible"),
        ("date", "timestamp", "guarded"),  # a date may lie beyond the last time stamp
        ("date", "timestamptz", "impossible"),  # whose midnight?
        ("timestamp", "timestamptz", "impossible"),  # whose clock?
        ("timestamptz", "timestamp", "impossible"),
        ("timestamptz", "date", "impossible"),
        ("timestamp", "date", "lossy"),
        ("timestamp", "time", "lossy"),
        ("timestamp(3)", "timestamp", "lossless"),
        ("timestamp", "timestamp(3)", "lossy"),
        ("time", "timetz", "impossible"),
        ("interval", "text", "lossless"),
        ("interval", "integer", "impossible"),
        ("jsonb", "json", "lossless"),
        ("json", "jsonb", "impossible"),  # duplicate keys, and what jsonb cannot hold: parse_json
        ("text", "uuid", "impossible"),
        ("cidr", "inet", "lossless"),
        ("inet", "cidr", "impossible"),  # a cast would drop the host's bits
        ("money", "text", "impossible"),  # the signs of a locale
        ("boolean", "integer", "impossible"),
        ("smallint[]", "bigint[]", "lossless"),
        ("bigint[]", "smallint[]", "impossible"),
        ("text[]", "varchar(5)[]", "impossible"),
        ("text[]", "text", "impossible"),
        ("text", "text[]", "impossible"),
    ],
)
def test_what_two_types_have_to_do_with_each_other(one: str, other: str, verdict: str) -> None:
    assert PgType.parse(one).becomes(PgType.parse(other)) == verdict


@pytest.mark.parametrize(
    ("one", "other", "verdict"),
    [
        ("numeric(14,4)", "numeric(12,2)", "lossy"),  # decimals would be rounded
        ("numeric(14,4)", "numeric(12,4)", "guarded"),  # only too large a number is lost, and that is seen
        ("numeric(14,4)", "numeric(16,4)", "lossless"),
        ("numeric", "numeric(12,2)", "lossy"),
        ("numeric(12,2)", "numeric", "lossless"),
        ("numeric(12,2)", "integer", "lossy"),
        ("numeric(5,0)", "integer", "guarded"),  # NaN is a numeric(5,0)
        ("integer", "smallint", "guarded"),
        ("smallint", "integer", "lossless"),
        ("bigint", "integer", "guarded"),
        ("integer", "numeric(10,0)", "lossless"),
        ("integer", "numeric(9,0)", "guarded"),
        ("bigint", "numeric(18,0)", "guarded"),
        ("bigint", "numeric(19,0)", "lossless"),
    ],
)
def test_numbers_become_wider_and_never_rounder(one: str, other: str, verdict: str) -> None:
    assert PgType.parse(one).becomes(PgType.parse(other)) == verdict


@given(one=number_types(), other=number_types(), data=st.data())
def test_lossless_means_that_every_number_fits(one: PgType, other: PgType, data: st.DataObject) -> None:
    if one.becomes(other) != "lossless" or (one.name == "numeric" and one.precision is None):
        return
    largest = "9" * ((one.precision or 0) - (one.scale or 0)) + "." + "9" * (one.scale or 0) + "0"
    edges = ["-0" + largest, "0" + largest] if one.name == "numeric" else [str(bound) for bound in one.bounds]
    check_literal(data.draw(st.sampled_from(edges)), other)  # raises if it does not fit


@given(kind=number_types(), number=st.integers(-(10**45), 10**45))
def test_an_integer_fits_exactly_where_postgres_would_store_it(kind: PgType, number: int) -> None:
    if kind.name in INTEGER_DIGITS:
        bits = {"smallint": 15, "integer": 31, "bigint": 63}[kind.name]
        fits = -(2**bits) <= number < 2**bits
    else:
        fits = kind.precision is None or abs(number) < 10 ** (kind.precision - (kind.scale or 0))
    try:
        check_literal(number, kind)
    except NotApplicable:
        assert not fits
    else:
        assert fits


@pytest.mark.parametrize(
    ("value", "kind"),
    [("5", "smallint"), (5, "integer"), ("-9223372036854775808", "bigint"), (0.1, "numeric"), ("1e2", "numeric"),
     ("9999999999.99", "numeric(12,2)"), ("1.50", "numeric(12,2)"), ("2024-02-29", "date"),
     ("2026-01-01 00:00:00+00", "timestamptz"), ("2026-01-01T00:00:00Z", "timestamptz"),
     ("2026-01-01 12:30", "timestamp"), (True, "boolean"), (True, "text"), ("x", "text"), (5, "text"), ("", "text"),
     ("0e8f9d5c-7c34-4a3c-9f2d-3a6a2b1c0d9e", "uuid"), ('{"a": [1, null]}', "jsonb")],
)  # fmt: skip
def test_a_literal_that_its_type_holds_is_taken(value: object, kind: str) -> None:
    check_literal(value, PgType.parse(kind))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (70_000, "smallint"), ("9223372036854775808", "bigint"), (1.5, "integer"), ("5.0", "integer"), (5.0, "integer"),
        ("1_000", "integer"), ("٣", "integer"), (" 5", "integer"), ("", "integer"), (True, "integer"), ("1e3", "integer"),
        ("1.005", "numeric(12,2)"), (10_000_000_000, "numeric(12,2)"), ("NaN", "numeric"), ("Infinity", "numeric"),
        ("1_0", "numeric"), ("0x10", "numeric"), ("1e999999", "numeric"), (True, "numeric"),
        ("2026-02-30", "date"), ("20260101", "date"), ("2026-W01-1", "date"), ("today", "date"), ("infinity", "date"),
        ("31/12/2026", "date"), ("2026-01-01 00:00", "date"), ("0000-01-01", "date"), (20260101, "date"),
        ("2026-01-01 00:00:00", "timestamptz"), ("2026-01-01", "timestamptz"), ("2026-01-01 25:00+00", "timestamptz"),
        ("2026-01-01 00:00:00+00", "timestamp"), ("now", "timestamptz"), ("2026-01-01 00:00+99", "timestamptz"),
        ("true", "boolean"), (1, "boolean"), ("not-a-uuid", "uuid"), ("{0e8f9d5c-7c34-4a3c-9f2d-3a6a2b1c0d9e}", "uuid"),
        ("{bad", "jsonb"), ('"\\u0000"', "jsonb"), ("NaN", "jsonb"), ("[" * 100_000, "jsonb"),
    ],
)  # fmt: skip
def test_a_literal_that_would_fail_every_batch_or_be_rounded_is_refused(value: object, kind: str) -> None:
    with pytest.raises(NotApplicable, match=f"is not a {kind.split('(')[0]}"):
        check_literal(value, PgType.parse(kind))  # type: ignore[arg-type]
