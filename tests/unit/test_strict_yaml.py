"""YAML as a reviewer reads it: what could be read in two ways is refused, and every mistake has its place."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncline.core.files.documents import KEY, MISTAKES_MAX, Document
from syncline.core.files.strict_yaml import BYTES_MAX, DEPTH_MAX, read, read_text, written


def parsed(tmp_path: Path, content: str | bytes) -> Document:
    path = tmp_path / "file.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read(path, "file.yaml")


def told(tmp_path: Path, content: str | bytes) -> list[str]:
    return [str(finding) for finding in parsed(tmp_path, content).findings]


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("text", "text"),
        ("GB", "GB"),
        ("2026-01-01", "2026-01-01"),  # a date is text here: who wants a date says so in a type
        ("12", 12),
        ("-3", -3),
        ("0", 0),
        ("0.001", 0.001),
        ("2.0", 2.0),
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        ('"NO"', "NO"),
        ("'010'", "010"),
        ('"1.10"', "1.10"),
        ("1.2.0", "1.2.0"),
        ("numeric(12,2)", "numeric(12,2)"),
        ("none", "none"),
        ("0T", "0T"),
        ("R&D wins!", "R&D wins!"),
    ],
)
def test_a_plain_scalar_is_what_it_plainly_is(tmp_path: Path, written: str, means: object) -> None:
    document = parsed(tmp_path, f"a: {written}\n")

    assert document.findings == []
    assert document.data == {"a": means}
    assert type(document.data["a"]) is type(means)


@pytest.mark.parametrize(
    "written",
    ["NO", "no", "Yes", "on", "OFF", "y", "N", "True", "FALSE", "Null", "010", "0o17", "0x1F", "+5", "12:30:45", "1:30",
     "1.10", "1.", ".5", "-.5", "1e3", "1_000", ".inf", "-.inf", ".NaN", "12345678901234567890", "0.12345678901234567"],
)  # fmt: skip
def test_what_can_be_read_in_two_ways_wants_quotes(tmp_path: Path, written: str) -> None:
    (said,) = told(tmp_path, f"b: x\na: {written}\n")

    assert said.startswith(f"file.yaml:2:4: M06 `{written}`")
    assert f'quote this value: "{written}"' in said


@pytest.mark.parametrize(
    ("text", "plain"),
    [("yes", "true"), ("On", "true"), ("True", "true"), ("N", "false"), ("OFF", "false"), ("NULL", "null"),
     ("0.10", "0.1"), ("1.", "1"), (".5", "0.5"), ("1e-3", "0.001"), ("1_000", "1000"), ("+5", "5"), ("010", "10")],
)  # fmt: skip
def test_who_meant_no_text_is_told_what_to_write(tmp_path: Path, text: str, plain: str) -> None:
    (said,) = told(tmp_path, f"a: {text}\n")

    assert said.endswith(f'quote this value: "{text}"; or write {plain}, if that is meant')
    assert told(tmp_path, f"a: {plain}\n") == []


@pytest.mark.parametrize("text", ["0x1F", "12:30:45", ".inf", "12345678901234567890"])
def test_what_has_no_other_spelling_is_only_quoted(tmp_path: Path, text: str) -> None:
    assert "if that is meant" not in told(tmp_path, f"a: {text}\n")[0]


@pytest.mark.parametrize(
    ("content", "whole", "column"),
    [
        ("a: {type: numeric(12,2)}\n", "numeric(12,2)", 11),
        ("a: {type: numeric(12, 2), from: b}\n", "numeric(12, 2)", 11),
        ("a:\n  {from: b, type: numeric(12,2) }\n", "numeric(12,2)", 19),
    ],
)
def test_a_value_that_a_comma_cuts_in_two_is_one_mistake(tmp_path: Path, content: str, whole: str, column: int) -> None:
    document = parsed(tmp_path, content)

    (finding,) = document.findings
    assert (finding.code, finding.column, finding.length) == ("M06", column, len(whole))
    assert finding.allowed == f'put it in quotes: "{whole}"'
    assert document.data["a"]["type"] == whole  # so that nothing else is told of it


@pytest.mark.parametrize(
    "content", ["a: {f(x, y)}\n", "a: {b: f(x, y): z}\n", "a: {b: 'f(x', y)}\n", "a: {b: (x), y)}\n"]
)
def test_what_only_looks_cut_is_left_alone(tmp_path: Path, content: str) -> None:
    assert not any("cut in two" in said for said in told(tmp_path, content))


@pytest.mark.parametrize("kind", ["text[]", "numeric(12,2)[]", "double precision[]"])
@pytest.mark.parametrize("form", ["a: {{type: {}}}\n", "a: {{type: {}, from: b}}\n", "a: [{}]\n"])
def test_brackets_of_a_type_inside_of_brackets_want_quotes(tmp_path: Path, kind: str, form: str) -> None:
    (said,) = told(tmp_path, form.format(kind))

    assert said.endswith('M06 a value that ends in [], inside { } or [ ]; put a type in quotes there: "text[]"')


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.sampled_from([0.1, 2.0, 0.00001])
        | st.text(alphabet="aNyes01.,:-_@/ '\"{}[]#&*!|>%?é") | st.sampled_from(["NO", "on", "null", "~", "1.10", "010"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("aNy0 -:.,", min_size=1), inner, max_size=3),
        max_leaves=6,
    )
)  # fmt: skip
def test_what_is_written_is_read_back(value: object) -> None:
    document = read_text(f"a: {written(value)}\n", "file.yaml")

    assert [finding for finding in document.findings if finding.code != "M16"] == []  # Jinja has no other spelling
    assert document.data == {"a": value}


def test_a_number_that_a_float_would_round_is_not_rounded_in_silence(tmp_path: Path) -> None:
    assert parsed(tmp_path, "a: 0.1234567890123\n").findings == []
    assert told(tmp_path, "a: 0.12345678901234567890\n")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a: 1\na: 2\n", "2:1: M03 key 'a' stands twice, first in line 1"),
        ("x:\n  a: 1\n  b: 2\n  a: 3\n", "4:3: M03 key 'a' stands twice, first in line 2"),
        ("a: !!python/object/apply:os.system [id]\n", "1:4: M09 the tag tag:yaml.org,2002:python/object/apply:os.system"),
        ("!!int 3: x\n", "1:1: M09 the tag"),
        ("a: !!str 12\n", "1:4: M09 the tag"),
        ("a: ! 12\n", "1:4: M09 the tag"),
        ("a: !secret x\n", "1:4: M09 the tag !secret"),
        ("a: &x 1\nb: 2\n", "1:4: M10 an anchor"),
        ("a: *x\n", "1:4: M10 an alias"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "3:3: M12 a key that is not a plain word"),
        ("cron: * * * * *\n", "M07 an unquoted `*`; quote cron expressions"),
        ("cron: */5 * * * *\n", "M07 an unquoted `*`; quote cron expressions"),
        ("every: @daily\n", "1:8: M12 a value that begins with `@`; quote this value"),
        ("", "1:1: M12 the file is empty"),
        ("# only a comment\n", "1:1: M12 the file is empty"),
        ("- a\n- b\n", "1:1: M12 the file is not a mapping"),
        ("just words\n", "1:1: M12 the file is not a mapping"),
        ("a: 1\n---\nb: 2\n", "2:1: M12 a second document begins here"),
        ("a:\n\tb: 1\n", "2:1: M12 a tab; indent with spaces"),
        ("a: b\tc\n", "1:5: M12 a tab; write spaces; in a value write \"\\t\" in double quotes"),
        ("a:\tb\n", "1:3: M12 a tab"),
        ("a: 'b\tc'\n", "1:6: M12 a tab"),
        ("a: |\n  b\n  \tc\n", "3:3: M12 a tab"),
        ("a: [1, 2\nb: 3\n", "M12"),
        ("a: b: c\n", "1:5: M12 a second `: ` in one line"),
        ('a: "x\n', "M12"),
        ("? [a]\n: 1\n", "1:3: M12 a key that is not a plain word"),
        ("\ufeffa: 1\n", "1:1: M12 invisible character U+FEFF"),
        ("a: x\u202ey\n", "1:5: M12 invisible character U+202E"),
        ("a: b\nc: x\u200by\n", "2:5: M12 invisible character U+200B"),
        ("a: x\u2028b: y\n", "1:5: M12 invisible character U+2028"),
        ("a: \x1b[31m\n", "1:4: M12 invisible character U+001B"),
        ("a: x\x00y\n", "1:5: M12 invisible character U+0000"),
        ('a: "x\\0y"\n', "1:4: M12 invisible character U+0000"),
        ('a: "\\e[31m"\n', "1:4: M12 invisible character U+001B"),
        ('"a\\u202eb": 1\n', "1:1: M12 invisible character U+202E"),
        ('a: "\\ud800"\n', "M12"),
        (b"\xff\xfea\x00:\x00 \x001\x00", "1:1: M12 byte 0 is not UTF-8"),
        (b"a: caf\xe9\n", "1:7: M12 byte 6 is not UTF-8"),
        ("a: '{{ conn.mdm.password }}'\n", "1:4: M16 Jinja is not rendered here"),
        ("a:\n  b: ['{% raw %}']\n", "2:7: M16 Jinja is not rendered here"),
        ('"{{ x }}": 1\n', "1:1: M16 Jinja is not rendered here"),
        ("a: |\n  {{ ds }}\n", "1:4: M16 Jinja is not rendered here"),
        ('a: "\\x7b{ ds }}"\n', "1:4: M16 Jinja is not rendered here"),
    ],
)  # fmt: skip
def test_a_refusal_names_place_code_and_remedy(tmp_path: Path, content: str | bytes, expected: str) -> None:
    assert any(expected in said for said in told(tmp_path, content)), told(tmp_path, content)


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    said = told(tmp_path, "a: NO\nb: !x 1\na: 2\nc: [&y 1, 010]\nd: '{{ x }}'\n")

    assert [line.split(" ")[1] for line in said] == ["M06", "M09", "M03", "M10", "M06", "M16"]
    assert [int(line.split(":")[1]) for line in said] == [1, 2, 3, 4, 4, 5]


def test_the_place_of_everything_is_known(tmp_path: Path) -> None:
    document = parsed(tmp_path, "a: 1\nb:\n  c:\n    - x\n    - {d: 2}\n")

    assert document.place(("b", "c")) == (3, 3)
    assert document.place(("b", "c", 1, "d")) == (5, 11)  # its value
    assert document.place(("b", "c", 1, "d", KEY)) == (5, 8)
    assert document.place(("b", "c", 1, "missing")) == (5, 7)  # the nearest parent
    assert document.place(("b", "missing")) == (2, 1)
    assert document.place(()) == (1, 1)


def test_an_alias_bomb_neither_explodes_nor_passes(tmp_path: Path) -> None:
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]

    assert all(" M10 " in said for said in told(tmp_path, "a0: &a0 [x]\n" + "\n".join(levels)))


def test_a_file_above_the_limit_is_not_read(tmp_path: Path) -> None:
    (said,) = told(tmp_path, "a: " + "x" * BYTES_MAX)

    assert "M23 the file is larger than 256 KB" in said


def test_honest_nesting_passes_and_a_tower_does_not(tmp_path: Path) -> None:
    assert told(tmp_path, "a: " + "[" * 8 + "]" * 8) == []
    assert "M10 nested deeper than" in told(tmp_path, "a: " + "[" * (DEPTH_MAX + 1) + "]" * (DEPTH_MAX + 1))[0]


@pytest.mark.parametrize("opening", ["[", "{", "- ", "? ", "a: [", "[a, {b: "])
def test_a_tower_of_brackets_cannot_take_the_process_with_it(tmp_path: Path, opening: str) -> None:
    """PyYAML's tree builder recurses in C: this was a segmentation fault, and every DAG of Airflow with it."""
    (tmp_path / "file.yaml").write_text("x: " + opening * (250_000 // len(opening)))
    code = "import sys, pathlib; from syncline.core.files.strict_yaml import read;"
    code += "print(len(read(pathlib.Path(sys.argv[1]), 'f').findings))"
    started = time.monotonic()

    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "file.yaml")], capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip

    assert ended.returncode == 0, ended.stderr[-300:]
    assert int(ended.stdout) >= 1
    assert time.monotonic() - started < 20


def test_a_missing_file_is_a_finding(tmp_path: Path) -> None:
    (finding,) = read(tmp_path / "none.yaml", "none.yaml").findings

    assert str(finding) == "none.yaml:1:1: M12 the file cannot be read (No such file or directory)"


def test_a_terminal_obeys_nothing_that_a_finding_quotes(tmp_path: Path) -> None:
    findings = parsed(tmp_path, 'a: 1\n"a\\e[2J": 1\n"a\\e[2J": 2\n').findings

    assert len(findings) >= 2
    for finding in findings:
        assert all(line.isprintable() for line in (str(finding), *finding.page().splitlines()))


SECRETS = [
    ("dsn: postgresql://loader:hunter2@db.example.org/payroll", "hunter2"),
    ("a: x  # redis://:s3cr3t!@cache:6379", "s3cr3t!"),
    ('password: "correct-h0rse"', "correct-h0rse"),
    ("# api_key = 9f8e7d6c5b4a", "9f8e7d6c5b4a"),
    ("key: AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
    ("x: ghp_abcdefghijklmnopqrstuvwxyz0123456789", "ghp_abcdefghijklmnopqrstuvwxyz0123456789"),
    ("x: xoxb-123456789012-abcdefghijkl", "xoxb-123456789012-abcdefghijkl"),
    ("x: eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "eyJhbGciOiJIUzI1NiJ9"),
    ("x: |\n  -----BEGIN RSA PRIVATE KEY-----\n  MIIEpAIBAAKCAQEA\n  -----END RSA PRIVATE KEY-----", "MIIEpAIBAAKCAQEA"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "secret"), SECRETS)
def test_a_secret_is_refused_and_nobody_gets_to_see_it(tmp_path: Path, content: str, secret: str) -> None:
    document = parsed(tmp_path, f"first: 1\n{content}\nlast: NO\n")

    assert [finding.code for finding in document.findings].count("M21") == 1
    assert "M06" in {finding.code for finding in document.findings}  # and the rest of the file is still read
    assert secret not in repr(document)


@pytest.mark.parametrize(
    "content",
    ["source: {password: text, token: \"numeric(14,4)\"}", "a: https://example.org/tokens/x:y", "a: 'the token is kept'",
     "url: postgresql://db.example.org/payroll", "mail: someone@example.org", "c: sk-short"],
)  # fmt: skip
def test_what_only_sounds_like_a_secret_passes(tmp_path: Path, content: str) -> None:
    assert told(tmp_path, content) == []


@settings(max_examples=300, deadline=None)
@given(
    content=st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode("utf-8", "ignore")))
)
def test_any_bytes_give_data_or_findings_and_nothing_else(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    document = parsed(tmp_path_factory.getbasetemp(), content)

    assert document.data is not None or document.findings


YAML_SIGNS = st.text(alphabet="ab01:-{}[],&*!|>'\"%@`#? \n\t.~<\\", max_size=80)


@settings(max_examples=500, deadline=None)
@given(content=YAML_SIGNS)
def test_any_soup_of_yaml_signs_gives_data_or_findings(content: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    document = parsed(tmp_path_factory.getbasetemp(), content)

    assert document.data is not None or document.findings
    assert all(str(finding).isprintable() for finding in document.findings)


FLOODS = {
    "one long line": "a: [" + "NO, " * 60_000 + "]",
    "secrets": "a: [" + "ghp_abcdefghijklmnop1234567, " * 9_000 + "]",
    "lines that announce secrets": "password: NO\n" * 18_000,
    "the same key": "a: NO\n" * 40_000,
    "Jinja": "a: [" + "'{{', " * 40_000 + "]",
    "combining marks": "a: [NO, x" + "\u0301" * 100_000 + "]",
    "invisible characters": "a: " + "\u200b" * 80_000,
}


@pytest.mark.parametrize("content", FLOODS.values(), ids=FLOODS)
def test_a_flood_of_mistakes_is_told_up_to_a_limit_and_in_time(tmp_path: Path, content: str) -> None:
    """Airflow reads every file again and again: one bad one must not keep it from the others."""
    started = time.monotonic()

    said = told(tmp_path, content)

    assert time.monotonic() - started < 15  # it takes one; without the limit half a minute
    assert 1 <= len(said) <= MISTAKES_MAX + 1
    assert len(said) <= MISTAKES_MAX or "M23 more than 200 mistakes; mend those above first" in said[-1]
