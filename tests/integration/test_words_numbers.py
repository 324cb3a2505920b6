"""The words on numbers, money and booleans, and `cast`, on a real PostgreSQL, against Python's own arithmetic."""

from __future__ import annotations

import base64
import ipaddress
import re
import string
import struct
import uuid
from datetime import time
from decimal import Context, Decimal
from fractions import Fraction
from math import ceil, floor, trunc
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from syncline.core.reference_files import ProjectReferences
from syncline.core.transforms import NotApplicable, Transform
from syncline.core.transforms.base import normalise
from syncline.core.types import PgType
from tests.conftest import ROOT
from tests.integration.mapping_engine import Engine

MANY = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
EXACT = Context(prec=40_000, Emax=10**6, Emin=-(10**6))  # every number of these tests, without a loss
TEXT = st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30).map(str),
    st.integers(-(10**25), 10**25).map(lambda n: str(Decimal(n) / 2)),  # exactly at the half
    st.integers(-(10**6), 10**6).map(lambda n: str(Decimal(n).scaleb(-3))),
    st.integers(-(10**60), 10**60).map(str),
    st.sampled_from(["-0", "-0.00", "0.5", "-2.5", "1e900", "1e131071", "NaN", "Infinity", "-Infinity"]),
)
# Long ones are slow to draw: they are tried once for each step.
EXTREMES = ["1e899", "-" + "9" * 900, "0." + "9" * 900, "1e-16000", "1e-16001", "1e900", "-1e900", "1e131071", "-1e131071",
            "1e-16383", "1" + "0" * 900 + ".5", "9" * 899 + ".5", "NaN", "Infinity", "-Infinity"]  # fmt: skip
NUMBER_LISTS = st.lists(NUMBERS, max_size=15)
ENDS = {"smallint": 2**15, "integer": 2**31, "bigint": 2**63}


def word(item: Any) -> Transform:
    said = normalise(item, Transform.known)
    return Transform.known[said["word"]].model_validate(said, context=ProjectReferences(ROOT))


def number(text: Any) -> Decimal | None:
    """A JSON value as a number: NaN and infinity travel as text."""
    return None if text is None else Decimal(text)


def is_business_number(text: str) -> bool:
    """At most 900 digits before the point and 16,000 behind it."""
    n = Decimal(text)
    return n.is_finite() and n.copy_abs() < Decimal("1e900") and decimals(n) <= 16_000


def decimals(n: Decimal) -> int:
    return max(0, -int(n.as_tuple().exponent))


def judged(engine: Engine, kind: str, step: Any, given_values: list[Any], to: str = "numeric") -> list[Any]:
    """Numbers of a step, or the codes of what it refuses."""
    told = engine.values(kind, {"type": to, "steps": [step]}, given_values)
    return [codes or number(value) for value, codes in told]


def at_the_ends(kind: str) -> list[Decimal]:
    """The least and the greatest value of a type, and their neighbours."""
    if kind in ENDS:
        return [Decimal(n) for n in (-ENDS[kind], 1 - ENDS[kind], -1, 0, 1, ENDS[kind] - 1)]
    precision, scale = map(int, re.findall("[0-9]+", kind))
    most = Decimal(10**precision - 1).scaleb(-scale, EXACT)
    return [most.copy_negate(), Decimal(-1).scaleb(-scale), Decimal(0), Decimal(1).scaleb(-scale), most]


KINDS = ["smallint", "integer", "bigint", "numeric(5,2)", "numeric(3,3)", "numeric(38,0)", "numeric(800,3)"]

# -- arithmetic -----------------------------------------------------------------------------------------------

FACTORS = st.one_of(
    st.sampled_from([100, 0.01, -0.01, 0, -1, 1, "1e30", "-1e-30", "0.1", 999, "9" * 30, "0." + "9" * 30]),
    st.integers(-(10**20), 10**20).map(lambda n: str(Decimal(n).scaleb(-12))),
)


def products(numbers: list[str], by: Any) -> list[Any]:
    factor = Decimal(str(by))
    return [EXACT.multiply(Decimal(n), factor) if is_business_number(n) else ["multiply"] for n in numbers]


@MANY
@given(numbers=NUMBER_LISTS, by=FACTORS)
def test_a_product_has_all_its_decimals(engine: Engine, numbers: list[str], by: Any) -> None:
    assert judged(engine, "numeric", {"multiply": by}, [*numbers, None]) == [*products(numbers, by), None]


@pytest.mark.parametrize("by", [100, "-1e-30"])
def test_a_product_of_a_number_beyond_all_business_is_refused(engine: Engine, by: Any) -> None:
    assert judged(engine, "numeric", {"multiply": by}, EXTREMES) == products(EXTREMES, by)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "step",
    [{"multiply": 1000}, {"multiply": "-0.999"}, {"multiply": "9" * 30}, {"multiply": 0}, {"divide_by": 100},
     {"divide_by": "-0.0016"}, {"divide_by": "1e-30"}, {"divide_by": 1024}],
)  # fmt: skip
def test_the_type_of_a_result_holds_what_the_ends_of_a_type_become(engine: Engine, kind: str, step: Any) -> None:
    values = at_the_ends(kind)
    ((name, by),) = step.items()
    by = Fraction(str(by)) if name == "multiply" else 1 / Fraction(str(by))

    results = judged(engine, kind, step, list(map(str, values)), to=str(word(step).gives(PgType.parse(kind))))

    assert [Fraction(n) for n in results] == [Fraction(n) * by for n in values]


def rounded(quotient: Fraction, scale: int, mode: str) -> Fraction:
    """The neighbour that the mode names, of the exact quotient."""
    n = quotient * 10**scale
    away = floor(abs(n) + Fraction(1, 2)) * (1 if n > 0 else -1)
    neighbour = {"floor": floor(n), "ceiling": ceil(n), "truncate": trunc(n), "half_even": round(n), "half_up": away}
    return Fraction(neighbour[mode], 10**scale)


MODES = ["half_even", "half_up", "floor", "ceiling", "truncate"]
DIVISORS = st.one_of(
    st.sampled_from([3, 12, -7, 0.3, 2, -2, 1, "1e30", "-1e-30", "9" * 30, 365.25, 8]),
    st.integers(-(10**12), 10**12).filter(bool).map(lambda n: str(Decimal(n).scaleb(-6))),
)


def quotients(engine: Engine, numbers: list[Any], step: dict[str, Any]) -> list[Any]:
    """As the server has them, with fractions in place of numbers."""
    found = judged(engine, "numeric", {"divide_by": step}, numbers)
    return [Fraction(n) if isinstance(n, Decimal) else n for n in found]


def rounded_quotients(numbers: list[str], divisor: Any, scale: int, mode: str) -> list[Any]:
    by = Fraction(str(divisor))
    return [rounded(Fraction(n) / by, scale, mode) if is_business_number(n) else ["divide_by"] for n in numbers]


@pytest.mark.parametrize("mode", MODES)
@MANY
@given(numbers=NUMBER_LISTS, divisor=DIVISORS, scale=st.integers(0, 12))
def test_a_quotient_is_rounded_once_from_its_exact_value(
    engine: Engine, mode: str, numbers: list[str], divisor: Any, scale: int
) -> None:
    found = quotients(engine, [*numbers, None], {"divisor": divisor, "scale": scale, "mode": mode})

    assert found == [*rounded_quotients(numbers, divisor, scale, mode), None], divisor


@pytest.mark.parametrize("mode", MODES)
def test_a_quotient_of_a_number_beyond_all_business_is_refused(engine: Engine, mode: str) -> None:
    found = quotients(engine, EXTREMES, {"divisor": -7, "scale": 2, "mode": mode})

    assert found == rounded_quotients(EXTREMES, -7, 2, mode)


@pytest.mark.parametrize("mode", MODES)
@MANY
@given(
    wholes=st.lists(st.integers(-(10**20), 10**20), min_size=1, max_size=15), divisor=st.sampled_from([2, -4, 6, -20])
)
def test_a_quotient_at_the_half_goes_where_the_mode_says(
    engine: Engine, mode: str, wholes: list[int], divisor: int
) -> None:
    step = {"divide_by": {"divisor": divisor, "scale": 1, "mode": mode}}
    halves = [Fraction(2 * n + 1, 20) for n in wholes]

    quotients = judged(engine, "numeric", step, [str(Decimal(int(half * divisor * 20)) / 20) for half in halves])

    assert [Fraction(n) for n in quotients] == [rounded(half, 1, mode) for half in halves]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("divisor", [10**30 - 1, 1 - 10**30, 10**29 + 1])
def test_a_divisor_of_30_digits_counts_to_its_last(engine: Engine, mode: str, divisor: int) -> None:
    """Python's Decimal rounds to 28 digits wherever it calculates."""
    numbers = [str(n * divisor + more) for n in (931322574615478515625, -(10**22), 7) for more in (-1, 0, 1)]

    found = quotients(engine, numbers, {"divisor": str(divisor), "scale": 0, "mode": mode})

    assert found == rounded_quotients(numbers, divisor, 0, mode)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("divisor", [3, "-0.7", "0.0000000000000000000000000003", 1])
@pytest.mark.parametrize("mode", ["half_up", "floor"])
def test_the_type_of_a_rounded_quotient_holds_it(engine: Engine, kind: str, divisor: Any, mode: str) -> None:
    step = {"divide_by": {"divisor": divisor, "scale": 2, "mode": mode}}
    values = at_the_ends(kind)

    quotients = judged(engine, kind, step, list(map(str, values)), to=str(word(step).gives(PgType.parse(kind))))

    by = Fraction(str(divisor))
    assert [Fraction(n) for n in quotients] == [rounded(Fraction(n) / by, 2, mode) for n in values]


LONG_DIVISOR = f"{2**59}E-47"  # its reciprocal has 42 digits


@pytest.mark.parametrize("divisor", [100, 8, 0.25, -4, "1e30", "1e-30", "0.0000016", LONG_DIVISOR])
@MANY
@given(numbers=NUMBER_LISTS)
def test_twos_and_fives_divide_without_rounding(engine: Engine, divisor: Any, numbers: list[str]) -> None:
    numbers = [*numbers, "1", "-0.001", "NaN"]
    quotients = judged(engine, "numeric", {"divide_by": divisor}, numbers)

    by = Decimal(str(divisor))
    assert quotients == [EXACT.divide(Decimal(n), by) if is_business_number(n) else ["divide_by"] for n in numbers]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"divide_by": 3}, "no last decimal"), ({"divide_by": 0}, "by zero"), ({"divide_by": "-0.00"}, "by zero"),
        ({"divide_by": {"divisor": 3, "scale": 2}}, "go together"), ({"divide_by": {"divisor": 3, "mode": "floor"}}, "go together"),
        ({"multiply": "NaN"}, "plain number"), ({"multiply": "Infinity"}, "plain number"), ({"multiply": True}, "plain number"),
        ({"multiply": "9" * 31}, "plain number"), ({"multiply": "1e31"}, "plain number"), ({"multiply": "1_000"}, "plain number"),
        ({"multiply": "٣"}, "plain number"), ({"multiply": " 5 "}, "plain number"), ({"divide_by": "1,5"}, "plain number"),
        ({"multiply": ""}, "plain number"), ({"divide_by": "sNaN"}, "plain number"),
    ],
)  # fmt: skip
def test_a_factor_that_is_no_plain_number_is_told(step: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        word(step)


@pytest.mark.parametrize("kind", [*ENDS, *KINDS[3:]])
def test_the_least_integer_has_a_counterpart(engine: Engine, kind: str) -> None:
    values = at_the_ends(kind)
    given_values = [*map(str, values), None]

    for step, change in (("absolute", EXACT.abs), ("negate", EXACT.minus)):
        to = str(word(step).gives(PgType.parse(kind)))
        assert judged(engine, kind, step, given_values, to=to) == [*map(change, values), None]


@MANY
@given(numbers=NUMBER_LISTS)
def test_a_sign_is_changed_on_every_number(engine: Engine, numbers: list[str]) -> None:
    absolute = judged(engine, "numeric", "absolute", numbers)
    negated = judged(engine, "numeric", "negate", numbers)

    assert list(map(str, absolute)) == [str(_plain(Decimal(n).copy_abs())) for n in numbers]
    assert list(map(str, negated)) == [str(_plain(Decimal(n).copy_negate())) for n in numbers]


def _plain(n: Decimal) -> Decimal:
    """As PostgreSQL spells it: no exponent, no sign of a zero, NaN without one."""
    if n.is_nan():
        return Decimal("NaN")
    return n if n.is_infinite() else Decimal(f"{n + 0 if n == 0 else n:f}")


@pytest.mark.parametrize("kind", ["double precision", "real"])
def test_a_sign_is_changed_on_every_float(engine: Engine, kind: str) -> None:
    values = ["NaN", "Infinity", "-Infinity", "-0", "0.5", "-1e30", None]

    def changed(step: str) -> list[Any]:
        told = engine.values(kind, {"type": kind, "steps": [step]}, values)
        assert not [codes for _, codes in told if codes]
        return [None if value is None else str(value) if isinstance(value, str) else float(value) for value, _ in told]

    assert changed("absolute") == ["NaN", "Infinity", "Infinity", 0.0, 0.5, 1e30, None]
    assert changed("negate") == ["NaN", "-Infinity", "Infinity", 0.0, -0.5, 1e30, None]


# -- minor units ----------------------------------------------------------------------------------------------

DECIMALS = {"JPY": 0, "GBP": 2, "USD": 2, "KWD": 3, "CLF": 4}  # ISO 4217
NO_CURRENCY = ["gbp", "GB", "", "XXX", "XAU", " GBP", "GBP\n", "DEM", None]
AMOUNTS = st.one_of(
    st.integers(-(10**9), 10**9).map(lambda n: str(Decimal(n).scaleb(-4))),
    st.integers(-(2**63), 2**63).map(lambda n: str(Decimal(n).scaleb(-2, EXACT))),
    NUMBERS,
    st.sampled_from(
        ["92233720368547758.07", "92233720368547758.08", "-92233720368547758.08", "-92233720368547758.09", "1.50000",
         str(2**63 - 1), str(2**63), str(-(2**63)), "922337203685477.5807", "922337203685477.5808", "1.000", "0.001", "0.00001"]
    ),
)  # fmt: skip


def minor_units(amount: str, currency: str | None) -> Any:
    """Whole minor units that a bigint holds."""
    n = Decimal(amount)
    if currency not in DECIMALS or not n.is_finite():
        return ["to_minor_units"]
    units = Fraction(n) * 10 ** DECIMALS[currency]
    fits = units.denominator == 1 and -(2**63) <= units < 2**63
    return Decimal(int(units)) if fits else ["to_minor_units"]


@pytest.mark.parametrize("currency", DECIMALS)
@MANY
@given(amounts=st.lists(AMOUNTS, max_size=20))
def test_an_amount_in_minor_units_is_whole_or_refused(engine: Engine, currency: str, amounts: list[str]) -> None:
    units = judged(engine, "numeric", {"to_minor_units": {"currency": currency}}, [*amounts, None], to="bigint")

    assert units == [*(minor_units(amount, currency) for amount in amounts), None]


CURRENCIES = st.sampled_from([*DECIMALS, *NO_CURRENCY])


@MANY
@given(rows=st.lists(st.tuples(AMOUNTS, CURRENCIES), max_size=25))
def test_each_row_has_a_currency_of_its_own(engine: Engine, rows: list[tuple[str, str | None]]) -> None:
    source = {"amount": "numeric", "cur": "text"}
    given_rows = [{"amount": amount, "cur": cur} for amount, cur in rows]
    fields = {
        name: {"from": "amount", "type": kind, "steps": [{name: {"currency_from": "cur"}}]}
        for name, kind in (("to_minor_units", "bigint"), ("from_minor_units", "numeric"))
    }

    mapped = engine.rows(source, fields, [*given_rows, {"amount": None, "cur": "GBP"}, {"amount": None, "cur": None}])

    for row, (amount, cur) in zip(mapped, rows, strict=False):
        refused = [code.partition(":")[2] for code in row.errors]
        to, back = minor_units(amount, cur), major_units(amount, cur)
        assert refused == [code for said in (to, back) if isinstance(said, list) for code in said], (amount, cur)
        assert row.values["to_minor_units"] == (None if isinstance(to, list) else to)
        assert row.values["from_minor_units"] == (None if isinstance(back, list) else back)
    assert [row.errors for row in mapped[-2:]] == [[], []]


def major_units(units: str, currency: str | None) -> Any:
    n = Decimal(units)
    is_whole = n.is_finite() and n.copy_abs() < Decimal("1e900") and Fraction(n).denominator == 1
    if currency not in DECIMALS or not is_whole:
        return ["from_minor_units"]
    return EXACT.scaleb(n, -DECIMALS[currency])


@pytest.mark.parametrize("currency", DECIMALS)
@pytest.mark.parametrize("kind", [*ENDS, "numeric(5,2)", "numeric(38,0)", "numeric(800,3)", "numeric(1,0)"])
def test_the_ends_of_a_type_are_amounts_too(engine: Engine, currency: str, kind: str) -> None:
    step = {"from_minor_units": {"currency": currency}}
    values = list(map(str, at_the_ends(kind)))

    amounts = judged(engine, kind, step, values, to=str(word(step).gives(PgType.parse(kind))))

    assert amounts == [major_units(value, currency) for value in values]


def test_an_amount_beyond_all_business_is_refused(engine: Engine) -> None:
    for currency in ("JPY", "CLF"):
        how = {"currency": currency}
        to = judged(engine, "numeric", {"to_minor_units": how}, EXTREMES, to="bigint")
        back = judged(engine, "numeric", {"from_minor_units": how}, EXTREMES)

        assert to == [minor_units(n, currency) for n in EXTREMES]
        assert back == [major_units(n, currency) for n in EXTREMES]


@MANY
@given(units=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=15), currency=st.sampled_from(sorted(DECIMALS)))
def test_there_and_back_is_the_same_amount(engine: Engine, units: list[int], currency: str) -> None:
    steps = [{"from_minor_units": {"currency": currency}}, {"to_minor_units": {"currency": currency}}]

    told = engine.values("bigint", {"type": "bigint", "steps": steps}, list(map(str, units)))

    assert told == [(n, []) for n in units]


@pytest.mark.parametrize("step", ["to_minor_units", "from_minor_units"])
@pytest.mark.parametrize(
    ("how", "said"),
    [({"currency": "XXX"}, "not a currency"), ({"currency": "gbp"}, "not a currency"), ({}, "either"),
     ({"currency": "GBP", "currency_from": "cur"}, "either")],
)  # fmt: skip
def test_a_currency_that_is_none_is_told(step: str, how: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        word({step: how})


# -- numbers as text ------------------------------------------------------------------------------------------

MARKS = [(".", ""), (",", ""), (".", ","), (",", "."), (",", " "), (".", "'"), (".", " ")]


def written(n: Decimal, places: int, decimal: str, thousands: str) -> str | None:
    if not n.is_finite() or n.copy_abs() >= Decimal("1e30") or Fraction(n) * 10**places % 1:
        return None
    plain = f"{0 if n == 0 else n:,.{places}f}"
    return plain.translate({ord(","): thousands, ord("."): decimal})


@pytest.mark.parametrize(("decimal", "thousands"), MARKS)
@MANY
@given(numbers=NUMBER_LISTS, places=st.integers(0, 12))
def test_a_number_is_written_with_all_its_decimals(
    engine: Engine, decimal: str, thousands: str, numbers: list[str], places: int
) -> None:
    step = {"format_number": {"decimals": places, "decimal": decimal, "thousands": thousands}}
    numbers = [*numbers, "999", "-1000", "1234567.5", "9" * 30, "1" + "0" * 30, "0.05", "-0.05"]

    told = engine.values("numeric", {"type": "text", "steps": [step]}, [*numbers, None])

    expected = [written(Decimal(n), places, decimal, thousands) for n in numbers]
    assert told == [*((text, ["format_number"] if text is None else []) for text in expected), (None, [])]


@pytest.mark.parametrize("thousands", ["", ","])
def test_what_is_too_long_to_be_written_is_refused(engine: Engine, thousands: str) -> None:
    step = {"format_number": {"decimals": 12, "thousands": thousands}}
    numbers = [*EXTREMES, "9" * 30 + "." + "9" * 12, "9" * 30 + "." + "9" * 13]

    found = engine.values("numeric", {"type": "text", "steps": [step]}, numbers)

    expected = [written(Decimal(n), 12, ".", thousands) for n in numbers]
    assert found == [(text, ["format_number"] if text is None else []) for text in expected]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("places", [0, 3])
@pytest.mark.parametrize(("decimal", "thousands"), MARKS[:4])
def test_the_type_of_a_written_number_holds_it(
    engine: Engine, kind: str, places: int, decimal: str, thousands: str
) -> None:
    step = {"format_number": {"decimals": places, "decimal": decimal, "thousands": thousands}}
    values = at_the_ends(kind)

    to = str(word(step).gives(PgType.parse(kind)))
    told = engine.values(kind, {"type": to, "steps": [step]}, list(map(str, values)))

    expected = [written(n, places, decimal, thousands) for n in values]
    assert told == [(text, ["format_number"] if text is None else []) for text in expected]


@pytest.mark.parametrize(("decimal", "thousands"), MARKS)
@MANY
@given(
    numbers=st.lists(st.integers(-(10**29), 10**29).map(lambda n: Decimal(n).scaleb(-3)), max_size=15),
    places=st.integers(3, 12),
)
def test_what_is_written_is_read_again(
    engine: Engine, decimal: str, thousands: str, numbers: list[Decimal], places: int
) -> None:
    marks = {"decimal": decimal, "thousands": thousands}
    steps = [{"format_number": {"decimals": places, **marks}}, {"parse_number": marks}]

    told = engine.values("numeric", {"type": "numeric", "steps": steps}, list(map(str, numbers)))

    assert [(number(value), codes) for value, codes in told] == [(n, []) for n in numbers]


@pytest.mark.parametrize("mark", [".", ","])
def test_one_sign_is_not_for_two_things(mark: str) -> None:
    marks = {"decimal": mark, "thousands": mark}

    with pytest.raises(ValidationError, match="one sign"):
        word({"format_number": {"decimals": 2, **marks}})
    with pytest.raises(NotApplicable, match="one sign"):
        word({"parse_number": marks}).gives(PgType("text"))


# -- booleans -------------------------------------------------------------------------------------------------

YES, NO = ["Y", "Yes", "1", "it's", "50%", "J\\A"], ["N", "no", "0", "", "{}"]
SPELLINGS = st.sampled_from([*YES, *NO, "y", "yes", "YES", "NO", "IT'S", " Y", "Y ", "1.0", "true", "٣", "Y\n"]) | TEXT


@pytest.mark.parametrize("ignore_case", [False, True])
@MANY
@given(texts=st.lists(SPELLINGS, max_size=20))
def test_a_boolean_has_the_declared_spellings_only(engine: Engine, ignore_case: bool, texts: list[str]) -> None:
    step = {"parse_boolean": {"true_is": YES, "false_is": NO, "ignore_case": ignore_case}}

    told = engine.values("text", {"type": "boolean", "steps": [step]}, [*texts, None])

    def ascii_lower(text: str) -> str:
        return "".join(sign.lower() if sign.isascii() else sign for sign in text)

    change = ascii_lower if ignore_case else str
    yes, no = set(map(change, YES)), set(map(change, NO))
    expected = [True if change(text) in yes else False if change(text) in no else None for text in texts]
    # A letter beyond ASCII may become one of ASCII (the Kelvin sign is a k); none of the spellings has such a letter.
    assert told == [*((value, [] if value is not None else ["parse_boolean"]) for value in expected), (None, [])]


@pytest.mark.parametrize(
    ("kind", "given_values", "expected"),
    [("integer", [1, 0, -1, 2, 10], [True, False, None, None, None]), ("smallint", [1, 0, 32767], [True, False, None]),
     ("numeric", ["1", "0", "-0", "1.0", "NaN", "1e0", "1e131071"], [True, False, False, None, None, True, None])],
)  # fmt: skip
def test_a_number_is_a_boolean_by_its_digits(
    engine: Engine, kind: str, given_values: list[Any], expected: list[Any]
) -> None:
    step = {"parse_boolean": {"true_is": [1], "false_is": [0]}}

    told = engine.values(kind, {"type": "boolean", "steps": [step]}, given_values)

    assert told == [(value, [] if value is not None else ["parse_boolean"]) for value in expected]


@pytest.mark.parametrize(
    "how",
    [{"true_is": ["Y"], "false_is": ["N", "Y"]}, {"true_is": ["y"], "false_is": ["Y"], "ignore_case": True},
     {"true_is": [1], "false_is": ["1"]}, {"true_is": [True], "false_is": ["true"]}, {"true_is": ["É"], "false_is": ["é"], "ignore_case": True}],
)  # fmt: skip
def test_no_spelling_is_true_and_false(how: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="for true and for false"):
        word({"parse_boolean": how})


@pytest.mark.parametrize(
    ("yes", "no"), [("Y", "N"), (1, 0), ("", "N"), ("it's 50 % \\ {x}", "é漢\U0001f600"), (True, False), (0.5, -1)]
)
def test_a_boolean_is_written_as_said_and_read_again(engine: Engine, yes: Any, no: Any) -> None:
    spellings = {"true_is": yes, "false_is": no}
    step = {"format_boolean": spellings}
    back = {"parse_boolean": {name: [said] for name, said in spellings.items()}}
    spelt = [str(said).lower() if isinstance(said, bool) else str(said) for said in (yes, no)]
    to = str(word(step).gives(PgType("boolean")))

    told = engine.values("boolean", {"type": to, "steps": [step]}, [True, False, None])
    again = engine.values("boolean", {"type": "boolean", "steps": [step, back]}, [True, False, None])

    assert told == [(spelt[0], []), (spelt[1], []), (None, [])]
    assert again == [(True, []), (False, []), (None, [])]


def test_true_and_false_are_not_written_alike() -> None:
    with pytest.raises(ValidationError, match="written alike"):
        word({"format_boolean": {"true_is": 1, "false_is": "1"}})


# -- cast -----------------------------------------------------------------------------------------------------


def cast(
    engine: Engine, to: str, given_values: list[Any], kind: str = "text", **how: str
) -> list[tuple[Any, list[str]]]:
    return engine.values(kind, {"type": to, "steps": [{"cast": {"to": to, **how}}]}, given_values)


def told(expected: list[Any]) -> list[tuple[Any, list[str]]]:
    return [(value, [] if value is not None else ["cast"]) for value in expected]


@MANY
@given(
    texts=st.lists(
        TEXT | st.sampled_from(["t", "F", "TRUE", "fAlse", "1", "0", "yes", "on", " t", "t\n", "01"]), max_size=20
    )
)
def test_a_boolean_in_its_plain_spelling(engine: Engine, texts: list[str]) -> None:
    meaning = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}

    assert cast(engine, "boolean", texts) == told([meaning.get(text.lower()) for text in texts])


@MANY
@given(
    texts=st.lists(
        st.uuids().map(str) | st.uuids().map(lambda u: str(u).upper()) | st.uuids().map(lambda u: u.hex)
        | st.uuids().map(lambda u: f"{{{u}}}") | st.uuids().map(lambda u: f"{u}\n") | TEXT,
        max_size=20,
    )
)  # fmt: skip
def test_a_uuid_in_its_plain_spelling(engine: Engine, texts: list[str]) -> None:
    def plain(text: str) -> str | None:
        hyphens = [at for at, sign in enumerate(text) if sign == "-"]
        digits = set(text.replace("-", "")) <= set(string.hexdigits)
        return str(uuid.UUID(text)) if len(text) == 36 and hyphens == [8, 13, 18, 23] and digits else None

    assert cast(engine, "uuid", texts) == told(list(map(plain, texts)))


ODD_ADDRESSES = ["::", "::1", "1::", ":", ":::", "::/0", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8", "1::3:4:5:6:7:8", "1:2:3:4:5:6::8",
                 "1:2:3:4:5:6:7:8:9", "1::2::3", "::ffff:1.2.3.4", "fe80::1%eth0", "10.0.0.0/08", "010.0.0.1", "10.1", "10.0.0.1/", "10.0.0.1\n", "٣.0.0.1",
                 "0.0.0.0/0", "1.2.3.4/32", "1.2.3.4/33", "1.2.3.4/31", "255.255.255.255", "256.0.0.1", "::1/128", "::1/129", "::1/127"]  # fmt: skip
GROUP = st.sampled_from(["", "0", "1", "ffff", "ABCD", "00ab", "12345"])
ADDRESSES = st.one_of(
    st.lists(GROUP, min_size=2, max_size=10).map(":".join),  # some are addresses, most are nearly
    st.ip_addresses().map(str),
    st.ip_addresses(v=6).map(lambda a: a.exploded),
    st.tuples(st.ip_addresses().map(str), st.integers(-1, 140)).map(lambda pair: f"{pair[0]}/{pair[1]}"),
    st.lists(st.integers(0, 300), min_size=3, max_size=5).map(lambda parts: ".".join(map(str, parts))),
    st.ip_addresses().flatmap(lambda a: st.integers(0, a.max_prefixlen).map(
        lambda bits: str(ipaddress.ip_network(f"{a}/{bits}", strict=False)))),
)  # fmt: skip


def interface(text: str) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface | None:
    """An address in its plain spelling: no zone, no dots inside of colons, no leading zeros of a number of bits."""
    address, slash, bits = text.partition("/")
    is_mixed = ":" in text and ("." in text or "%" in text)
    if is_mixed or (slash and not re.fullmatch("0|[1-9][0-9]*", bits)) or not text.isascii() or "\n" in text:
        return None
    try:
        ipaddress.ip_address(address)
        return ipaddress.ip_interface(text)
    except ValueError:
        return None


@MANY
@given(texts=st.lists(ADDRESSES | TEXT, max_size=40))
def test_an_address_and_a_network_in_their_plain_spelling(engine: Engine, texts: list[str]) -> None:
    texts = [*texts, *ODD_ADDRESSES]
    found = list(map(interface, texts))
    networks = [at if at is not None and at.ip == at.network.network_address else None for at in found]

    def shown(told: list[tuple[Any, list[str]]]) -> list[Any]:
        return [codes or ipaddress.ip_interface(value) for value, codes in told]

    assert shown(cast(engine, "inet", texts)) == [at or ["cast"] for at in found]
    assert shown(cast(engine, "cidr", texts)) == [at or ["cast"] for at in networks]


@MANY
@given(
    values=st.lists(st.binary(max_size=12), max_size=15),
    spoilt=st.lists(TEXT | st.sampled_from(["0", "0g", "\\x00", "00 ", "A", "AA=", "AA==\n", "AAA", "====", "QQ=Q", "QQ-_", "٣٣"])),
)  # fmt: skip
def test_bytes_in_both_their_spellings(engine: Engine, values: list[bytes], spoilt: list[str]) -> None:
    def strict(text: str) -> bytes | None:
        try:
            return base64.b64decode(text, validate=True) if text.isascii() and len(text) % 4 == 0 else None
        except ValueError:
            return None

    in_hex = [*(value.hex() for value in values), *(value.hex().upper() for value in values), *spoilt]
    in_base64 = [*(base64.b64encode(value).decode() for value in values), *spoilt]
    by_hex = [bytes.fromhex(t) if len(t) % 2 == 0 and set(t) <= set(string.hexdigits) else None for t in in_hex]
    by_base64 = list(map(strict, in_base64))

    assert cast(engine, "bytea", in_hex, encoding="hex") == told([b if b is None else f"\\x{b.hex()}" for b in by_hex])
    assert cast(engine, "bytea", in_base64, encoding="base64") == told(
        [b if b is None else f"\\x{b.hex()}" for b in by_base64]
    )


@MANY
@given(
    texts=st.lists(
        st.times().map(str) | st.times().map(lambda t: t.isoformat("minutes")) | st.from_regex("[0-9]{2}:[0-9]{2}(:[0-9]{2})?", fullmatch=True)
        | st.sampled_from(["24:00:00", "23:59:60", "9:00", "12:00:00.1234567", "12:00:00.", "12:00 PM", "12:00:00Z", "now", "allballs",
                           "12:00\n", "", "٠٩:٠٠"]), max_size=20)
)  # fmt: skip
def test_a_time_of_day_in_its_plain_spelling(engine: Engine, texts: list[str]) -> None:
    def plain(text: str) -> time | None:
        shape = re.fullmatch(r"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?", text, re.ASCII)
        if shape is None or text.endswith("\n"):
            return None
        hour, minute, second, micro = shape[1], shape[2], shape[3] or 0, (shape[4] or "").ljust(6, "0")
        fits = int(hour) < 24 and int(minute) < 60 and int(second) < 60
        return time(int(hour), int(minute), int(second), int(micro)) if fits else None

    found = [
        codes or time.fromisoformat(f"{value:<015}" if "." in value else value)
        for value, codes in cast(engine, "time", texts)
    ]

    assert found == [plain(text) or ["cast"] for text in texts]


DATE_PARTS, TIME_PARTS = "YMWD", "HMS"


@st.composite
def durations(draw: st.DrawFn) -> str:
    def part(letters: str) -> str:
        some = [letter for letter in letters if draw(st.booleans())]
        return "".join(f"{draw(st.integers(0, 9999))}{letter}" for letter in some)

    days, clock = part(DATE_PARTS), part(TIME_PARTS)
    fraction = draw(st.sampled_from(["", ".5", ".000001", ".123456"]))
    if clock.endswith("S"):
        clock = clock[:-1] + fraction + "S"
    return f"P{days}T{clock}" if clock else f"P{days}"


def spelt(months: int, days: int, micros: int) -> str:
    """An interval as PostgreSQL spells it in ISO 8601."""
    seconds, micro = divmod(micros, 10**6)
    years, hours = (months // 12, months % 12), (seconds // 3600, seconds % 3600 // 60)
    second = f"{seconds % 60}.{micro:06}".rstrip("0").rstrip(".")
    day_parts = zip((*years, days), "YMD", strict=True)
    time_parts = zip((*map(str, hours), second), "HMS", strict=True)
    date = "".join(f"{n}{letter}" for n, letter in day_parts if n)
    clock = "".join(f"{n}{letter}" for n, letter in time_parts if n != "0")
    return f"P{date}" + (f"T{clock}" if clock else "") if date or clock else "PT0S"


@MANY
@given(
    texts=st.lists(
        durations() | st.sampled_from(["P", "PT", "P1DT", "1 day", "P-1D", "-P1D", "P1.5D", "PT1.1234567S", "P1S", "PT1D", "p1d", "P1D\n",
                                       "P99999Y", "P1DT1H1H", "P1M1Y", "P0001-02-03", "infinity", "", "P٣D", "P9999Y99999M99999W999999D"]),
        max_size=20)
)  # fmt: skip
def test_a_duration_in_iso_8601(engine: Engine, texts: list[str]) -> None:
    shape = re.compile(
        r"P(?=.)(?:(\d{1,4})Y)?(?:(\d{1,5})M)?(?:(\d{1,5})W)?(?:(\d{1,6})D)?"
        r"(?:T(?=.)(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,6}(?:\.\d{1,6})?)S)?)?", re.ASCII,
    )  # fmt: skip

    def plain(text: str) -> str | None:
        if (found := shape.fullmatch(text)) is None:
            return None
        years, months, weeks, days, hours, minutes, seconds = (Decimal(part or 0) for part in found.groups())
        micros = ((hours * 60 + minutes) * 60 + seconds) * 10**6
        return spelt(int(years * 12 + months), int(weeks * 7 + days), int(micros))

    assert cast(engine, "interval", texts) == told(list(map(plain, texts)))


@pytest.mark.parametrize("kind", ["real", "double precision"])
@MANY
@given(bits=st.lists(st.integers(0, 2**64 - 1), max_size=15))
def test_a_float_becomes_the_shortest_number_that_reads_as_it(engine: Engine, kind: str, bits: list[int]) -> None:
    form, whole = (">f", ">I") if kind == "real" else (">d", ">Q")
    floats = [struct.unpack(form, struct.pack(whole, n & (2 ** (8 * struct.calcsize(whole)) - 1)))[0] for n in bits]
    floats += [
        0.0,
        -0.0,
        0.5,
        float("nan"),
        float("inf"),
        float("-inf"),
        struct.unpack(form, b"\0" * (struct.calcsize(form) - 1) + b"\1")[0],
    ]

    numbers = cast(engine, "numeric", [repr(value) for value in floats], kind=kind)

    for value, (found, codes) in zip(floats, numbers, strict=True):
        assert codes == []
        if value != value or abs(value) == float("inf"):
            assert str(found).lower() in (str(value), f"{value:f}inity"), value
        elif kind == "double precision":
            assert found == Decimal(repr(value)), value
        else:
            assert len(found.normalize().as_tuple().digits) <= 9
            assert struct.pack(form, found) == struct.pack(form, value + 0.0), value


@pytest.mark.parametrize("to", ENDS)
def test_a_boolean_becomes_0_or_1(engine: Engine, to: str) -> None:
    assert cast(engine, to, [True, False, None], kind="boolean") == [(1, []), (0, []), (None, [])]


@pytest.mark.parametrize("to", ENDS)
@pytest.mark.parametrize("kind", ["numeric", "bigint", "integer", "smallint"])
@MANY
@given(data=st.data())
def test_a_number_becomes_an_integer_if_it_is_one_that_fits(
    engine: Engine, to: str, kind: str, data: st.DataObject
) -> None:
    if kind == "numeric":
        near = st.sampled_from(sorted(ENDS.values())).flatmap(
            lambda end: st.sampled_from([end, end - 1, -end, -end - 1])
        )
        some = data.draw(
            st.lists(
                NUMBERS | near.map(str) | near.map(lambda n: f"{n}.000") | near.map(lambda n: f"{n}.5"), max_size=20
            )
        )
    else:
        some = [str(n) for n in data.draw(st.lists(st.integers(-ENDS[kind], ENDS[kind] - 1), max_size=20))]

    def plain(text: str) -> Decimal | None:
        n = Decimal(text)
        is_whole = n.is_finite() and Fraction(n).denominator == 1
        return n if is_whole and -ENDS[to] <= n < ENDS[to] else None

    assert cast(engine, to, some, kind=kind) == told(list(map(plain, some)))


@pytest.mark.parametrize(
    ("how", "kind", "said"),
    [("integer", "date", "takes"), ("numeric", "text", "no numeric of a text"), ("boolean", "integer", "no boolean"), ("numeric", "integer", "no numeric"),
     ({"to": "bytea", "encoding": "hex"}, "integer", "no bytea"), ("integer", "double precision", "no integer")],
)  # fmt: skip
def test_a_cast_that_has_no_meaning_is_told(how: Any, kind: str, said: str) -> None:
    with pytest.raises(NotApplicable, match=said):
        word({"cast": how}).gives(PgType.parse(kind))


@pytest.mark.parametrize("how", ["bytea", {"to": "uuid", "encoding": "hex"}])
def test_only_bytes_have_an_encoding(how: Any) -> None:
    with pytest.raises(ValidationError, match="go together"):
        word({"cast": how})
