"""The words on JSON and arrays, on a real PostgreSQL, against Python's `json`, lists and `str`."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import sql
from pydantic import ValidationError

from syncline.core.compile import compile_mapping
from syncline.core.mapping import Mapping
from syncline.core.transforms import NotApplicable, Transform
from syncline.core.transforms.base import normalise
from syncline.core.types import PgType
from tests.integration.mapping_engine import Engine

MANY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
# What PostgreSQL can hold as text: no NUL, no half of a surrogate pair.
TEXT = st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
KEYS = ["a", "b", "a b", "é", "0", "-1", "$", "[0]", "", "_x1", "'", "50%", "{}", "null"]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**40), 10**40), TEXT, st.sampled_from(["", "null", "NaN", '"', "\\", "1", "é\U0001f600", "\x7f"]),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**6), max_value=10**6, places=3),
)  # fmt: skip
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | TEXT, inner, max_size=4),
    max_leaves=12,
)


def word(item: Any) -> Transform:
    said = normalise(item, Transform.known)
    return Transform.known[said["word"]].model_validate(said)


def reject(_: str) -> None:
    raise ValueError


def numeric(text: str) -> Decimal:
    """A number within what PostgreSQL's documentation says of numeric: 131,072 digits before the point, 16,383 behind."""
    number = Decimal(text)
    if (number and number.adjusted() >= 131_072) or -int(number.as_tuple().exponent) > 16_383:
        raise ValueError
    return number


def read(text: str) -> Any:
    """JSON as RFC 8259 and jsonb have it: no NaN, numbers exactly, the last of equal keys."""
    return json.loads(text, parse_float=numeric, parse_int=numeric, parse_constant=reject)


def spelt(value: Any, *, ascii_only: bool = False, indent: int | None = None) -> str:
    """JSON of a value, its decimals as numbers."""
    if isinstance(value, dict):
        pairs = (
            f"{json.dumps(k, ensure_ascii=ascii_only)}: {spelt(v, ascii_only=ascii_only)}" for k, v in value.items()
        )
        return "{" + (", " if indent is None else ",\n" + " " * indent).join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(spelt(item, ascii_only=ascii_only) for item in value) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=ascii_only)


def same(one: Any, other: Any) -> bool:
    """Equal, and of one kind: Python thinks that True is 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return (
        isinstance(one, bool) == isinstance(other, bool)
        and type(one) in _LIKE.get(type(other), (type(other),))
        and one == other
    )


_LIKE: dict[type, tuple[type, ...]] = {int: (int, Decimal), Decimal: (int, Decimal)}


# -- values in a file -----------------------------------------------------------------------------------------


def constant(kind: str, value: Any) -> Mapping:
    fields = {"x": {"constant": value, "type": kind}, "y": {"from": "a", "type": kind, "steps": [{"default": value}]}}
    return Mapping.model_validate({"version": "1.0.0", "source": {"a": kind}, "fields": fields})


@pytest.mark.parametrize(
    "value",
    ['"\\u0000"', '{"\\u0000": 1}', '"\\ud800"', '["\\udc00\\ud800"]', '{"\\udfff": 1}', "1e400000", "-1e-20000", "1" * 5_000, "1.0e99999999999",
     "NaN", "[1,]", "{a: 1}", "\ufeff1", "'a'", ""],
)  # fmt: skip
def test_json_in_a_file_is_what_jsonb_can_hold(engine: Engine, value: str) -> None:
    assert any("is not a jsonb" in str(fault) for fault in constant("jsonb", value).faults())


@pytest.mark.parametrize(
    "value",
    ['"\\\\u0000"', '"\\\\\\\\u0000"', '"\\ud83d\\ude00"', "1e999", "-1.5e-900", "1" * 900, '{"a": [1, null, true, {"b": "é"}]}', " 1 ", '"\\u0001\\/"'],
)  # fmt: skip
def test_json_in_a_file_is_read_by_the_server(engine: Engine, value: str) -> None:
    (row,) = engine.rows(
        {"a": "jsonb"}, {"x": {"constant": value, "type": "jsonb"}, "y": {"from": "a", "type": "jsonb", "steps": [{"default": value}]}}, [{"a": None}],
    )  # fmt: skip

    assert same(row.values["x"], read(value))
    assert same(row.values["y"], read(value))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.00001, "0.00001"), (-1e-7, "-0.0000001"), (1e22, "10000000000000000000000"), (0.1, "0.1"), (1.0, "1.0"), (12, "12"), (True, "true"),
     (123456789.25, "123456789.25")],
)  # fmt: skip
def test_a_number_in_a_file_is_a_text_of_plain_digits(engine: Engine, value: Any, text: str) -> None:
    fields = {
        "x": {"constant": value, "type": "text"},
        "y": {"from": "a", "type": "text", "steps": [{"default": value}]},
        "z": {
            "when": [{"if": {"a": [value]}, "then": {"constant": 1}}],
            "otherwise": {"constant": value},
            "type": "text",
        },
    }

    (row,) = engine.rows({"a": "text"}, fields, [{"a": None}])

    assert (row.values["x"], row.values["y"], row.values["z"]) == (text, text, text)


# -- parse_json -----------------------------------------------------------------------------------------------


@pytest.fixture
def modern(engine: Engine) -> Engine:
    if engine.session.info.server_version < 160_000:
        pytest.skip("parse_json needs PostgreSQL 16")
    return engine


def parsed(engine: Engine, texts: list[Any], kind: str = "text") -> list[tuple[Any, list[str]]]:
    return engine.values(kind, {"type": "jsonb", "steps": ["parse_json"]}, texts)


ONCE = settings(MANY, suppress_health_check=[*MANY.suppress_health_check, HealthCheck.function_scoped_fixture])


@ONCE
@given(values=st.lists(JSON, max_size=12), ascii_only=st.booleans(), indent=st.none() | st.integers(0, 4))
def test_json_is_read_whole(modern: Engine, values: list[Any], ascii_only: bool, indent: int | None) -> None:
    texts = [spelt(value, ascii_only=ascii_only, indent=indent) for value in values]

    found = parsed(modern, [*texts, None])

    assert [codes for _, codes in found] == [[]] * len(texts) + [[]]
    assert same([value for value, _ in found], [*values, None])


@st.composite
def nearly_json(draw: st.DrawFn) -> str:
    """JSON with one sign more, less or another."""
    text = spelt(draw(JSON), ascii_only=draw(st.booleans()))
    at = draw(st.integers(0, len(text)))
    sign = draw(st.sampled_from(list('{}[]",:.-+eE0129 \t\n\x0b\x1f\x7f\\utfn/\xa0\ufeffé')) | st.just(""))
    return text[:at] + sign + text[at + draw(st.integers(0, 1)) :]


def readable(text: str) -> Any:
    """What jsonb can hold, or the code of what it cannot."""
    try:
        value = read(text)
        json.dumps(value, ensure_ascii=False, default=str).encode()  # no half of a surrogate pair
    except (ValueError, RecursionError):
        return ["parse_json"]
    return ["parse_json"] if "\\u0000" in json.dumps(value, default=str).replace("\\\\", "") else [value]


@ONCE
@given(texts=st.lists(nearly_json() | TEXT, max_size=15))
@example(
    texts=[
        '"\\u0000"',
        '{"\\u0000": 1}',
        '"\\\\u0000"',
        '"\\ud83d\\ude00"',
        '"\\ud83d"',
        '"\\ude00\\ud83d"',
        '"\\uD83Dx"',
    ]
)
@example(
    texts=[
        "",
        " ",
        "01",
        "-",
        "-0",
        "+1",
        ".5",
        "5.",
        "1e",
        "1e+5",
        "1E-5",
        "0x1",
        "1_0",
        "٣",
        "NaN",
        "-Infinity",
        "nul",
        "True",
        "'a'",
    ]
)
@example(
    texts=[
        "[1,]",
        "{,}",
        '{"a"}',
        '{"a":}',
        "{1: 2}",
        "[1 2]",
        "[1] [2]",
        "/**/1",
        "\ufeff1",
        "\xa01",
        " \t\n\r1 \t\n\r",
    ]
)
@example(
    texts=[
        '"a\tb"',
        '"a\nb"',
        '"\x7f\x85"',
        '"\\x41"',
        '"\\/"',
        '"\\u12"',
        '"\\u00e9"',
        '"abc',
        "[",
        "]",
        '{"a": 1',
        '{"a": {"b": [}',
    ]
)
@example(
    texts=['{"a": 1, "a": 2}', '{"a": {"x": 1}, "b": 2, "a": {"y": 1}}', '{"a": 1, "\\u0061": 2}', '{"": 1, "": null}']
)
def test_what_is_no_json_is_refused(modern: Engine, texts: list[str]) -> None:
    found = parsed(modern, texts)

    for text, (value, codes) in zip(texts, found, strict=True):
        expected = readable(text)
        assert same(codes or [value], expected), text


@pytest.mark.parametrize(
    ("text", "number"),
    [("1" + "0" * 900, Decimal(10) ** 900), ("0." + "0" * 899 + "1", Decimal("1e-900")), ("1e131071", Decimal("1e131071")), ("1e131072", None),
     ("-1e400000", None), ("1e-400000", None), ("1e99999999999", None), ("9" * 131_072, Decimal("9" * 131_072)), ("9" * 131_073, None),
     ("12345678901234567890.12345678901234567890", Decimal("12345678901234567890.12345678901234567890"))],
)  # fmt: skip
def test_a_number_keeps_all_its_digits_or_is_refused(modern: Engine, text: str, number: Decimal | None) -> None:
    assert parsed(modern, [text]) == [(number, [] if number is not None else ["parse_json"])]


def test_V16_depth_and_size_have_a_limit_far_below_the_servers(modern: Engine) -> None:
    texts = ["[" * 5_000 + "]" * 5_000, "[" * 5_001 + "]" * 5_001, '"' + "a" * 999_998 + '"', '"' + "a" * 999_999 + '"',
             "[" + "[],{}," * 2_499 + "[]]", "[" + "[],{}," * 2_500 + "[]]", "[" * 100_000, " " * 1_000_000 + "1"]  # fmt: skip
    of_what_is_read = {"json_path": {"path": "$.a", "on_missing": None}}  # Python cannot read so deep an array

    rows = modern.values("text", {"type": "text", "steps": ["parse_json", of_what_is_read]}, texts)

    assert rows == [(None, []), (None, ["parse_json"])] * 3 + [(None, ["parse_json"])] * 2


def test_V16_json_is_read_from_json_too(modern: Engine) -> None:
    texts = ['{"a": "\\u0000"}', '{"a": [1, null], "a": [2]}', "null", "[" * 5_001 + "]" * 5_001, "1e400000", None]
    modern.session.execute("create temp table papers (n integer, a json)")
    with modern.session.cursor() as cursor:
        cursor.executemany("insert into papers values (%s, %s::json)", list(enumerate(texts)))
    field = {"from": "a", "type": "jsonb", "steps": ["parse_json"]}
    mapping = Mapping.model_validate({"version": "1.0.0", "source": {"a": "json"}, "fields": {"x": field}})

    relation = sql.SQL("(select a from papers order by n)")
    found = modern.session.execute(compile_mapping(mapping, relation).select).fetchall()

    assert [(value, reject and reject["errors"]) for value, _, reject in found] == [
        (None, ["x:parse_json"]), ({"a": [2]}, None), (None, None), (None, ["x:parse_json"]), (None, ["x:parse_json"]), (None, None),
    ]  # fmt: skip


def test_a_constant_that_is_no_json_fails_no_statement(modern: Engine) -> None:
    """The planner computes what is constant, a guarded cast too."""
    field = {"expression": "case when true then 'abc' else a end", "type": "jsonb", "steps": ["parse_json"]}

    (row,) = modern.rows({"a": "text"}, {"x": field}, [{"a": "1"}])

    assert (row.values["x"], row.errors) == (None, ["x:parse_json"])


# -- json_path ------------------------------------------------------------------------------------------------

PARTS = st.sampled_from(["a", "b", "a b", "é", "0", "-1", "$", "[0]", "_x1", "'", "50%", "{}", "null"]) | st.integers(
    -3, 3
)
DOCUMENTS = st.dictionaries(st.sampled_from(KEYS), JSON, max_size=4)
MISSING = object()


def path_of(parts: list[str | int]) -> str:
    def plain(part: str) -> bool:
        return part.isascii() and part.isidentifier()

    return "$" + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" if plain(p) else f'["{p}"]' for p in parts)


def walked(value: Any, parts: list[str | int]) -> Any:
    """The value at the end of a path: a name of an object, a place in a list, nothing else."""
    for part in parts:
        is_name = isinstance(value, dict) and isinstance(part, str) and part in value
        is_place = isinstance(value, list) and isinstance(part, int) and -len(value) <= part < len(value)
        if not (is_name or is_place):
            return MISSING
        value = value[part]
    return MISSING if value is None else value


def places(value: Any) -> list[list[str | int]]:
    """Every path that leads somewhere."""
    inner: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inner = [
            (key, item)
            for key, item in value.items()
            if key and '"' not in key and "\\" not in key and key.isprintable()
        ]
    if isinstance(value, list):
        inner = [(at, item) for n, item in enumerate(value) for at in (n, n - len(value))]
    return [[], *([part, *rest] for part, item in inner for rest in places(item))]


@MANY
@given(data=st.data(), documents=st.lists(DOCUMENTS, min_size=1, max_size=8))
def test_a_path_leads_to_one_value(engine: Engine, data: st.DataObject, documents: list[dict[str, Any]]) -> None:
    somewhere = st.sampled_from([path for document in documents for path in places(document)])
    parts = data.draw(somewhere | st.lists(PARTS, max_size=3))
    path, ends = path_of(parts), [walked(document, parts) for document in documents]
    kinds = {"text": (object,), "jsonb": (object,), "numeric": (int, Decimal), "boolean": (bool,)}
    fields = {kind: {"from": "a", "type": kind, "steps": [{"json_path": {"path": path, "as": kind}}]} for kind in kinds}
    fields |= {
        f"{kind}_or_null": {
            "from": "a",
            "type": kind,
            "steps": [{"json_path": {"path": path, "as": kind, "on_missing": None}}],
        }
        for kind in ("text", "jsonb")
    }

    rows = engine.rows({"a": "jsonb"}, fields, [{"a": json.loads(spelt(d), parse_float=_Exact)} for d in documents])

    for row, end in zip(rows, ends, strict=True):
        fits = {
            kind: end is not MISSING and isinstance(end, of) and not (kind == "numeric" and isinstance(end, bool))
            for kind, of in kinds.items()
        }
        assert row.errors == [f"{kind}:json_path" for kind in kinds if not fits[kind]], (path, end)
        for kind in (kind for kind in kinds if kind != "text" and fits[kind]):
            assert same(row.values[kind], end)
        for name in ("text", "text_or_null"):
            text = row.values[name]
            assert (text is None) == (end is MISSING)
            assert end is MISSING or (text == end if isinstance(end, str) else same(read(text), end))
        assert same(row.values["jsonb_or_null"], None if end is MISSING else end)


class _Exact(float):
    """A number that is written again as it was read."""

    def __new__(cls, text: str) -> _Exact:
        made = super().__new__(cls, text)
        made.text = text  # type: ignore[attr-defined]
        return made

    def __repr__(self) -> str:
        return str(self.text)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("path", "document", "value"),
    [
        ("$.a", {"a": None}, None), ("$.a", {}, None), ("$.a", [{"a": 1}], None), ("$[0]", {"0": 1}, None), ("$[0]", "x", None),
        ("$[0]", [[]], []), ("$.a.b", {"a": "b"}, None), ("$.a[0]", {"a": 5}, None), ('$["0"]', {"0": 1}, 1), ('$["0"]', ["x"], None),
        ("$.a[-1]", {"a": [1, 2]}, 2), ("$.a[-2]", {"a": [1, 2, 3]}, 2), ("$.a[-3]", {"a": [1, 2]}, None), ("$[-1][-1]", [[1], [2, 3]], 3), ("$[999999]", [1], None),
        ("$[0].a", [{"a": {"b": None}}], {"b": None}), ('$["$.a"]', {"$.a": 1, "a": 2}, 1), ('$["a.b"][0]', {"a.b": ["x"]}, "x"),
    ],
)  # fmt: skip
def test_no_path_is_guessed(engine: Engine, path: str, document: Any, value: Any) -> None:
    found = engine.values(
        "jsonb", {"type": "jsonb", "steps": [{"json_path": {"path": path, "as": "jsonb"}}]}, [document, None]
    )

    assert found == [(value, [] if value is not None else ["json_path"]), (None, [])]


@pytest.mark.parametrize("path", ["", "a", "$a", "$.", "$..a", "$.a-b", "$[a]", "$[1.5]", "$['a']", '$["a\\"b"]', "$[*]", "$.*", "$.a ", "$.a\n", "$[1", "$[٣]", "$.é",
                                  "lax $.a", "$.a ? (@ > 1)", "$[0 to 1]", '$[""]', "$[1234567]"])  # fmt: skip
def test_a_path_of_another_language_is_told(path: str) -> None:
    with pytest.raises(ValidationError, match="is not a path"):
        word({"json_path": path})


def test_a_number_that_may_be_missing_takes_two_steps(engine: Engine) -> None:
    steps = [
        {"json_path": {"path": "$.a", "as": "jsonb", "on_missing": None}},
        {"json_path": {"path": "$", "as": "numeric"}},
    ]

    found = engine.values(
        "jsonb", {"type": "numeric", "steps": steps}, [{"a": 1.5}, {"a": "1.5"}, {"a": None}, {}, None]
    )

    assert found == [(Decimal("1.5"), []), (None, ["json_path"]), (None, []), (None, []), (None, [])]
    with pytest.raises(ValidationError, match="a second step"):
        word({"json_path": {"path": "$", "as": "numeric", "on_missing": None}})


# -- to_json --------------------------------------------------------------------------------------------------


@MANY
@given(
    values=st.lists(JSON, max_size=10),
    texts=st.lists(TEXT, max_size=10),
    lists=st.lists(st.lists(st.none() | TEXT, max_size=4), max_size=6),
)
def test_a_value_is_itself_in_json(engine: Engine, values: list[Any], texts: list[str], lists: list[Any]) -> None:
    for kind, some in (("jsonb", values), ("text", texts), ("text[]", lists)):
        given_values = [json.loads(spelt(value), parse_float=_Exact) for value in some]
        found = engine.values(kind, {"type": "jsonb", "steps": ["to_json"]}, [*given_values, None])

        assert [codes for _, codes in found] == [[]] * (len(some) + 1)
        assert same([value for value, _ in found], [*some, None])


@pytest.mark.parametrize(
    ("kind", "given_value", "value"),
    [("numeric", "1.50", Decimal("1.50")), ("numeric", "NaN", "NaN"), ("numeric", "-Infinity", "-Infinity"), ("double precision", "NaN", "NaN"),
     ("double precision", "0.1", Decimal("0.1")), ("bigint", str(-(2**63)), Decimal(-(2**63))), ("boolean", False, False), ("date", "infinity", "infinity"),
     ("date", "2026-01-31", "2026-01-31"), ("timestamptz", "2026-01-31 12:00:00+02", "2026-01-31T10:00:00+00:00"), ("uuid", "0E8F9D5C-7c34-4a3c-9f2d-3a6a2b1c0d9e", "0e8f9d5c-7c34-4a3c-9f2d-3a6a2b1c0d9e"),
     ("bytea", "\\x00ff", "\\x00ff"), ("interval", "1 day", "P1D"), ("inet", "::1/128", "::1"), ("integer[]", [[1, None], [3, 4]], [[1, None], [3, 4]]), ("integer[]", [], []),
     ("char(4)", "a", "a"), ("money", "12.34", Decimal("12.34"))],
)  # fmt: skip
def test_a_value_of_any_type_has_one_form_in_json(engine: Engine, kind: str, given_value: Any, value: Any) -> None:
    ((found, codes),) = engine.values(kind, {"type": "jsonb", "steps": ["to_json"]}, [given_value])

    assert codes == []
    assert same(found, value)


def test_numbers_and_truth_come_back_out_of_json(engine: Engine) -> None:
    for kind, given_values in (
        ("numeric", ["0", "-1.50", "1e-900", "9" * 400, "NaN", "Infinity"]),
        ("boolean", [True, False]),
    ):
        steps = ["to_json", {"json_path": {"path": "$", "as": kind}}]
        found = engine.values(kind, {"type": kind, "steps": steps}, given_values)

        finite = [value for value in given_values if value not in ("NaN", "Infinity")]
        expected = [Decimal(value) if isinstance(value, str) else value for value in finite]
        assert found == [
            *((value, []) for value in expected),
            *[(None, ["json_path"])] * (len(given_values) - len(finite)),
        ]


@pytest.mark.parametrize(("kind", "said"), [("json", "takes"), ("json[]", r"json\[\]"), ("money[]", r"money\[\]")])
def test_json_that_was_not_read_is_no_value(kind: str, said: str) -> None:
    with pytest.raises(NotApplicable, match=said):
        word("to_json").gives(PgType.parse(kind))


# -- arrays ---------------------------------------------------------------------------------------------------

SEPARATORS = st.sampled_from(
    [",", ", ", ",,", ";", "é", "a", "ab", "'", "\\", "%", "{", '"', "\n", "\U0001f600", "NULL"]
)
PIECES = st.text(alphabet="ab,; é'\\\"{}%\nNUL\U0001f600", max_size=8) | TEXT


@MANY
@given(texts=st.lists(PIECES, max_size=20), separator=SEPARATORS)
def test_a_text_is_split_at_every_separator(engine: Engine, texts: list[str], separator: str) -> None:
    texts = [*texts, "", separator, separator * 3, f"a{separator}", f"{separator}a", "NULL"]

    kept = engine.values("text", {"type": "text[]", "steps": [{"split_to_array": separator}]}, [*texts, None])
    as_null = engine.values(
        "text",
        {"type": "text[]", "steps": [{"split_to_array": {"separator": separator, "empty": None}}]},
        [*texts, None],
    )

    pieces = [text.split(separator) if text else [] for text in texts]
    assert kept == [*((some, []) for some in pieces), (None, [])]
    assert as_null == [*(([piece or None for piece in some], []) for some in pieces), (None, [])]


ARRAYS = st.lists(st.none() | PIECES, max_size=5)


@MANY
@given(
    arrays=st.lists(ARRAYS, max_size=12),
    separator=SEPARATORS | st.just(""),
    null_as=st.sampled_from(["", "-", "NULL", "it's", "."]),
)
def test_an_array_is_joined_as_said(
    engine: Engine, arrays: list[list[str | None]], separator: str, null_as: str
) -> None:
    arrays = [*arrays, [], [None], [""], [None, None], ["", None], [None, "a", None], ["."], [".", None]]

    def joined(**how: str) -> list[tuple[Any, list[str]]]:
        return engine.values(
            "text[]", {"type": "text", "steps": [{"join": {"separator": separator, **how}}]}, [*arrays, None]
        )

    skipped = [separator.join(piece for piece in some if piece is not None) for some in arrays]
    assert joined(nulls="skip") == [*((text, []) for text in skipped), (None, [])]
    assert joined(nulls="reject") == [
        *((None, ["join"]) if None in some else (text, []) for some, text in zip(arrays, skipped, strict=True)), (None, []),
    ]  # fmt: skip
    assert joined(null_as=null_as) == [
        *((separator.join(null_as if piece is None else piece for piece in some), []) for some in arrays), (None, []),
    ]  # fmt: skip


@MANY
@given(arrays=st.lists(st.lists(PIECES, min_size=1, max_size=5), max_size=12), separator=SEPARATORS)
def test_joined_and_split_is_the_same_unless_a_value_holds_the_separator(
    engine: Engine, arrays: list[list[str]], separator: str
) -> None:
    steps = [{"join": {"separator": separator, "nulls": "reject"}}, {"split_to_array": separator}]

    found = engine.values("text[]", {"type": "text[]", "steps": steps}, arrays)

    texts = [separator.join(some) for some in arrays]
    assert [value for value, _ in found] == [text.split(separator) if text else [] for text in texts]


@pytest.mark.parametrize(
    ("kind", "array", "text"),
    [("integer[]", [3, 1, 2], "3;1;2"), ("numeric[]", ["1.50", "NaN"], "1.50;NaN"), ("date[]", ["2026-01-31", "infinity"], "2026-01-31;infinity"),
     ("timestamptz[]", ["2026-01-31 12:00:00+02"], "2026-01-31 10:00:00+00"), ("integer[]", [[1, 2], [3, 4]], "1;2;3;4"), ("text[]", "[3:4]={a,b}", "a;b"),
     ("bytea[]", ["\\x00ff"], "\\x00ff"), ("uuid[]", [], ""), ("interval[]", ["1 day"], "P1D"), ("double precision[]", ["0.1", "1e300"], "0.1;1e+300")],
)  # fmt: skip
def test_elements_of_any_type_are_spelt_as_to_text_does(engine: Engine, kind: str, array: Any, text: str) -> None:
    for how in ({"nulls": "skip"}, {"nulls": "reject"}, {"null_as": "-"}):
        step = {"join": {"separator": ";", **how}}
        assert engine.values(kind, {"type": "text", "steps": [step]}, [array]) == [(text, [])]


@MANY
@given(
    arrays=st.lists(ARRAYS, max_size=15), number=st.integers(-6, 6).filter(bool) | st.sampled_from([-100_000, 100_000])
)
def test_an_element_is_counted_from_either_end(engine: Engine, arrays: list[list[str | None]], number: int) -> None:
    refused = engine.values("text[]", {"type": "text", "steps": [{"element": number}]}, [*arrays, None])
    as_null = engine.values(
        "text[]", {"type": "text", "steps": [{"element": {"number": number, "on_missing": None}}]}, [*arrays, None]
    )

    at = number - 1 if number > 0 else number
    expected = [some[at] if -len(some) <= at < len(some) else None for some in arrays]
    assert refused == [*((value, [] if value is not None else ["element"]) for value in expected), (None, [])]
    assert as_null == [*((value, []) for value in expected), (None, [])]


@pytest.mark.parametrize(
    ("kind", "array", "first", "last"),
    [("text[]", "[3:4]={a,b}", "a", "b"), ("text[]", "[-1:0]={a,b}", "a", "b"), ("integer[]", [[1, 2], [3, 4]], None, None), ("text[]", "{}", None, None),
     ("text[]", '{"NULL",NULL}', "NULL", None), ("integer[]", "[2147483645:2147483646]={1,2}", 1, 2), ("integer[]", "[-2147483648:-2147483647]={1,2}", 1, 2), ("char(3)[]", ["a", "b"], "a", "b"), ("numeric(4,2)[]", ["1.50", "NaN"], Decimal("1.50"), "NaN")],
)  # fmt: skip
def test_an_array_need_not_begin_at_1(engine: Engine, kind: str, array: Any, first: Any, last: Any) -> None:
    to = str(word({"element": 1}).gives(PgType.parse(kind)))

    for number, value in ((1, first), (-1, last)):
        found = engine.values(kind, {"type": to, "steps": [{"element": number}]}, [array])
        assert found == [(value, [] if value is not None else ["element"])]


@pytest.mark.parametrize("number", [3, -100, 100_000, -100_000])
@pytest.mark.parametrize(
    "array", ["[2147483645:2147483646]={1,2}", "[-2147483648:-2147483647]={1,2}", "{}", "{{1,2,3},{4,5,6}}"]
)
def test_an_element_beyond_the_end_fails_no_statement(engine: Engine, array: str, number: int) -> None:
    """Subscripts may end where integers do, so nothing is added to them."""
    steps = [{"element": number}]

    assert engine.values("integer[]", {"type": "integer", "steps": steps}, [array, None]) == [
        (None, ["element"]), (None, []),
    ]  # fmt: skip


def test_an_element_of_padded_text_has_no_padding(engine: Engine) -> None:
    steps = [{"element": 1}, "parse_number"]

    assert engine.values("char(5)[]", {"type": "numeric", "steps": steps}, [["12"], ["1 2"]]) == [
        (Decimal(12), []), (None, ["parse_number"]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("item", "said"),
    [({"element": 0}, "the first"), ({"join": {"separator": ","}}, "either"), ({"join": {"separator": ",", "nulls": "skip", "null_as": "-"}}, "either"),
     ({"split_to_array": ""}, "at least 1"), ({"element": 100_001}, "less than or equal"), ({"join": ","}, "takes what it needs by name")],
)  # fmt: skip
def test_what_is_not_said_is_not_guessed(item: Any, said: str) -> None:
    with pytest.raises((ValidationError, ValueError), match=said):
        word(item)


# -- beginnings -----------------------------------------------------------------------------------------------

NAMES = ["t", "n", "b", "d", "j", "l"]
SOURCE = {"t": "text", "n": "numeric", "b": "boolean", "d": "date", "j": "jsonb", "l": "text[]"}
ROWS = st.fixed_dictionaries({
    "t": st.none() | TEXT, "n": st.none() | st.integers(-(10**30), 10**30).map(str), "b": st.none() | st.booleans(),
    "d": st.none() | st.dates().map(str) | st.just("infinity"), "j": st.none() | DOCUMENTS, "l": st.none() | ARRAYS,
})  # fmt: skip


@MANY
@given(
    keys=st.dictionaries(st.sampled_from(KEYS) | TEXT, st.sampled_from(NAMES), min_size=1, max_size=8),
    rows=st.lists(ROWS, max_size=6),
)
def test_an_object_has_every_key_even_of_null(engine: Engine, keys: dict[str, str], rows: list[dict[str, Any]]) -> None:
    given_rows = [{**row, "j": row["j"] and json.loads(spelt(row["j"]), parse_float=_Exact)} for row in rows]
    source = {name: SOURCE[name] for name in set(keys.values())}

    found = engine.rows(source, {"x": {"json_object": keys, "type": "jsonb"}}, given_rows)

    for mapped, row in zip(found, rows, strict=True):
        whole = {**row, "n": row["n"] and Decimal(row["n"])}
        assert mapped.errors == []
        assert same(mapped.values["x"], {key: whole[name] for key, name in keys.items()})


def test_an_object_has_50_keys(engine: Engine) -> None:
    keys = {f"key {n}": "t" for n in range(50)}

    (row,) = engine.rows({"t": "text"}, {"x": {"json_object": keys, "type": "jsonb"}}, [{"t": "x"}])

    assert row.values["x"] == dict.fromkeys(keys, "x")


@MANY
@given(rows=st.lists(st.tuples(st.none() | TEXT, st.none() | PIECES, st.none() | PIECES), max_size=10))
def test_an_array_keeps_its_nulls_and_its_order(engine: Engine, rows: list[tuple[str | None, ...]]) -> None:
    given_rows = [dict(zip("abc", row, strict=True)) for row in rows]
    for columns in ("abc", "cab", "a", "aab"):
        fields: dict[str, Any] = {"x": {"array": list(columns), "type": "text[]"}}
        fields["joined"] = {
            "array": list(columns),
            "type": "text",
            "steps": [{"join": {"separator": "", "nulls": "skip"}}],
        }
        source = dict.fromkeys(sorted(set(columns)), "text")

        found = engine.rows(source, fields, given_rows)

        expected = [[row[name] for name in columns] for row in given_rows]
        assert [row.values["x"] for row in found] == expected
        assert [row.values["joined"] for row in found] == ["".join(part or "" for part in some) for some in expected]


def test_an_array_of_numbers_has_the_type_that_holds_them_all(engine: Engine) -> None:
    fields = {
        "mixed": {"array": ["i", "n"], "type": "numeric[]"},
        "plain": {"array": ["i", "i"], "type": "integer[]"},
        "padded": {"array": ["p", "v"], "type": "text[]"},
    }

    (row,) = engine.rows(
        {"i": "integer", "n": "numeric(4,2)", "p": "char(3)", "v": "varchar(2)"},
        fields,
        [{"i": 1, "n": "1.50", "p": "a", "v": None}],
    )

    assert row.errors == []
    assert row.values["mixed"] == [Decimal(1), Decimal("1.50")]
    assert row.values["plain"] == [1, 1]
    assert row.values["padded"] == ["a", None]
