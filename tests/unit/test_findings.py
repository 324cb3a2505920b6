"""How a mistake is shown: the line as a terminal can show it, the carets under what is wrong, nothing that is secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from syncline.core.files.documents import KEY, Document
from syncline.core.files.excerpts import WIDTH_MAX, columns_of, excerpt
from syncline.core.files.findings import Finding
from syncline.core.files.strict_yaml import read
from tests.unit.project_files import MANIFEST, MAPPING, findings_of, line_of, write_project


def document(tmp_path: Path, content: str) -> Document:
    (tmp_path / "file.yaml").write_bytes(content.encode())
    return read(tmp_path / "file.yaml", "file.yaml")


def page(tmp_path: Path, content: str, *where: str | int, offset: int | None = None, length: int = 1) -> list[str]:
    """The page of a mistake told at a path: its lines after the first."""
    read_ = document(tmp_path, content)
    read_.findings.clear()
    read_.mistake(where, "M02", "wrong", "right", offset=offset, length=length)
    (finding,) = read_.findings
    return finding.page().splitlines()[1:]


# -- what is underlined -----------------------------------------------------------------------------------------


def test_a_mistake_shows_its_line_with_the_whole_value_underlined(tmp_path: Path) -> None:
    assert page(tmp_path, "a: 1\nhired:\n  hired_on: txt   # why\n", "hired", "hired_on") == [
        "   3 |   hired_on: txt   # why",
        "     |             ^^^",
        "     = right",
    ]


@pytest.mark.parametrize(
    ("line", "where", "underlined"),
    [
        ("a: 'two words'", ("a",), "'two words'"),
        ("a: [x, yy, z]", ("a", 1), "yy"),
        ("a: [x, yy, z]", ("a",), "a"),  # a list: its key
        ("a: [x, {yy: 1}, z]", ("a", 1), "{yy: 1}"),  # an item that has no key
        ("a: {b: {c: 1}}", ("a", "b", "c"), "1"),
        ("a: {b: {c: 1}}", ("a", "b", "c", KEY), "c"),
        ("a: {b: {c: 1}}", ("a", "b", "d"), "b"),  # what is missing is missing in its parent
        ("a: {b: {c: 1}}", ("a", "b", "d", KEY), "b"),
        ("a: {b: }", ("a", "b"), "b"),  # nothing stands there
        ("a:", ("a",), "a"),
        ('"a b": c', ("a b", KEY), '"a b"'),
        ("a: one\n  two", ("a",), "one"),  # to the end of the first line
        ("a: |\n  one", ("a",), "|"),
    ],
)  # fmt: skip
def test_what_is_underlined(tmp_path: Path, line: str, where: tuple[str | int, ...], underlined: str) -> None:
    read_ = document(tmp_path, line + "\n")

    spot = read_.spot(where)

    assert read_.lines[spot.line - 1][spot.column - 1 : spot.column - 1 + spot.length] == underlined


@pytest.mark.parametrize(
    ("content", "offset", "length", "line", "underlined"),
    [
        ("a: one two", 4, 3, 1, "two"),
        ("a: 'one two'", 4, 3, 1, "two"),
        ("a: 'it''s two'", 5, 3, 1, "two"),
        ('a: "one two"', 4, 3, 1, "two"),
        ('a: "o\\u006ee \\"two"', 5, 3, 1, "two"),
        ("a: |\n  one two", 4, 3, 2, "two"),
        ("a: |-\n    one\n    two\n", 4, 3, 3, "two"),
        ("a: |\n  one\n\n    two\n", 7, 3, 4, "two"),  # an indented line of the block
        ("a: >\n  one two", 4, 3, 2, "two"),
        ("x:\n  - {a: one two}", 4, 3, 2, "two"),
        ("a: one two", 4, 99, 1, "two"),  # never beyond the value
        ("a: one two", 7, 1, 1, ""),  # its end: something is missing there
        # what the file does not hold as it is, is underlined as a whole
        ("a: one\n  two", 4, 3, 1, "one"),
        ("a: >\n  one\n  two", 4, 3, 1, ">"),
        ('a: "one\n  two"', 4, 3, 1, '"one'),
        ("a:", 4, 3, 1, "a"),
    ],
)  # fmt: skip
def test_a_part_of_a_text_is_underlined_where_the_file_holds_it(
    tmp_path: Path, content: str, offset: int, length: int, line: int, underlined: str
) -> None:
    read_ = document(tmp_path, content)
    where = next(where for where in read_.values if where[-1:] == ("a",))

    spot = read_.spot(where, offset, length)

    assert spot.line == line
    assert read_.lines[spot.line - 1][spot.column - 1 :][: spot.length] == underlined


# -- how a line is shown ----------------------------------------------------------------------------------------


def test_the_carets_stand_under_wide_letters_of_east_asia(tmp_path: Path) -> None:
    assert page(tmp_path, "{名前: 王小明, b: 東京}\n", "b")[:2] == [
        "   1 | {名前: 王小明, b: 東京}",
        "     |                   ^^^^",
    ]


@pytest.mark.parametrize(
    ("text", "columns"),
    [("abc", 3), ("Müller", 6), ("Mu\u0308ller", 6), ("王", 2), ("ﾊﾝｶｸ", 4), ("Ａ", 2), ("🙂", 2), ("", 0)],
)
def test_columns_are_those_of_a_terminal(text: str, columns: int) -> None:
    assert columns_of(text) == columns


def test_what_a_terminal_obeys_is_spelt_out_and_the_carets_follow() -> None:
    shown = excerpt("a:\tx\x1b[2J \u202ey: z", 13, 14)

    assert shown.text == "a:\\tx\\x1b[2J \\u202ey: z"
    assert shown.text[shown.indent :][: shown.width] == "z"


@pytest.mark.parametrize("at", [0, 5, 80, 158, 159, 160, 400, 990, 999])
def test_a_long_line_is_cut_around_the_carets(at: int) -> None:
    line = "".join(str(n % 10) for n in range(1000))
    line = line[:at] + "#" + line[at + 1 :]

    shown = excerpt(line, at, at + 1)

    assert columns_of(shown.text) <= WIDTH_MAX
    assert shown.text[shown.indent :][: shown.width] == "#"
    assert shown.text.startswith("…") or at < 160
    assert shown.text.endswith("…") or at > 900


def test_a_long_value_is_underlined_as_far_as_it_is_shown() -> None:
    shown = excerpt("a: " + "王" * 500, 3, 503)

    assert columns_of(shown.text) <= WIDTH_MAX
    assert shown.indent + shown.width <= WIDTH_MAX


@pytest.mark.parametrize("line", ["", "a"])
def test_a_place_behind_the_line_has_a_caret_too(line: str) -> None:
    assert excerpt(line, 7, 9).width >= 1


# -- what is not shown ------------------------------------------------------------------------------------------

# Each holds a secret in one way or another, and a mistake beside it.
SECRETS = [
    "password: hunter-zwei\n",
    "owner: {password: hunter-zwei, b: NO}\n",
    "owner: {b: NO, password: hunter-zwei}\n",
    "owner: {password: hunter-zwei(1,2)}\n",
    "owner: {b: x, password: (hunter-zwei,2)}\n",
    "owner: {password: hunterzwei[]}\n",
    "owner: {password: 'hunter-zwei', b: NO}\n",
    "owner: {password:\n  hunter-zwei, b: NO}\n",
    "owner: {password:\nhunter-zwei, b: NO}\n",
    "owner: {password: [hunter-zwei, NO]}\n",
    "owner: {password: {x: hunter-zwei, y: NO}}\n",
    "password: |\n  hunter-zwei\n  NO\n",
    "password:\n  hunter-zwei\n",
    "password:\n  - hunter-zwei\n  - NO\n",
    'password: "hunter-zwei\n  goes on"\n',
    "password: hunter-zwei: x\n",  # no YAML
    "password: @hunter-zwei\n",
    "password: [hunter-zwei\nb: NO\n",
    'password: "hunter-zwei\nb: NO\n',
    "password:\n\thunter-zwei\n",
    "password: hunter-zwei\u200b\n",  # not read at all
    "{password:\nhunter-zwei: : }\n",
    '"pass\\u0077ord": hunter-zwei\n',
    "? password\n: hunter-zwei\n",
    "password: a\npassword: hunter-zwei\n",  # twice
    "password: &x hunter-zwei\n",
    "password: !x hunter-zwei\n",
    "password: '{{ hunter-zwei }}'\n",
    "# the password: hunter-zwei\nb: NO\n",
    "# password:\n  # hunter-zwei\nb: NO\n",
    "b: @x  # password=hunter-zwei\n",
    "api_key: hunter-zwei\n",
    "b: NO  # api-key = 'hunter-zwei'\n",
    "mdm_token: hunter-zwei\n",
    "b: postgresql://u:hunter-zwei@h/db\n",
    "b: [NO, postgresql://u:hunter-zwei@h/db]\n",
    "b: |\n  -----BEGIN RSA PRIVATE KEY-----\n  hunter-zwei\n  -----END RSA PRIVATE KEY-----\n",
]  # fmt: skip


@pytest.mark.parametrize("kind", ["manifest", "mapping"])
@pytest.mark.parametrize("content", SECRETS)
def test_a_secret_stands_in_no_part_of_a_report(tmp_path: Path, content: str, kind: str) -> None:
    """Each mistake is told, and one more at every path and every line of the file."""
    good = {"manifest": MANIFEST, "mapping": MAPPING, kind: content}
    findings = findings_of(write_project(tmp_path, good["manifest"], good["mapping"]))
    read_ = document(tmp_path, content)
    for where in list(read_.values):
        read_.mistake(where, "M02", "wrong", offset=1, length=3)
    for number in range(1, len(read_.lines) + 1):
        read_.mistake_at(read_.spot(())._replace(line=number), "M02", "wrong")

    said = "\n".join(f"{finding}\n{finding.page()}\n{json.dumps(finding.as_dict())}" for finding in findings)
    said += "\n".join(finding.page() for finding in read_.findings)

    assert findings
    assert "hunter" not in said
    assert "zwei" not in said


@pytest.mark.parametrize(
    "where", [("password",), ("owner", "api_key"), ("source", "filter", "token", 0), ("fields", "secret", "constant")]
)
def test_what_is_said_of_a_value_that_may_be_a_secret_does_not_quote_it(where: tuple[str | int, ...]) -> None:
    read_ = Document("file.yaml")
    read_.mistake(where, "M02", "'hunter2' is wrong", "anything but 'hunter2'", "hunter3")

    (finding,) = read_.findings
    assert "hunter" not in finding.page() + str(finding)
    assert "is refused (not shown: it may be a secret)" in str(finding)


@pytest.mark.parametrize(
    "where", [("fields", "token", "type"), ("fields", "token", "steps", 0), ("owner", "password", KEY)]
)
def test_what_is_said_of_a_name_is_said(where: tuple[str | int, ...]) -> None:
    read_ = Document("file.yaml")
    read_.mistake(where, "M02", "'x' is wrong")

    assert read_.findings[0].found == "'x' is wrong"


def test_what_stands_beside_a_secret_is_masked_and_the_carets_still_stand_right(tmp_path: Path) -> None:
    (finding, *_) = document(tmp_path, "a: postgresql://u:hunter2@h/db # b\nc: 1\n").findings

    assert finding.page().splitlines()[1:3] == [
        "   1 | a: postgresql://***@h/db # b",
        "     |                 ^^^",
    ]
    assert finding.as_dict()["end_column"] == finding.column  # nor its length


def test_a_target_field_may_be_named_like_a_secret(tmp_path: Path) -> None:
    mapping = MAPPING.replace("  bank_iban: {from: iban,", "  api_token: {form: iban,")

    (finding,) = findings_of(
        write_project(tmp_path, MANIFEST.replace("bank_iban", "api_token"), mapping.replace("pii: financial", "pii: none"))
    )  # fmt: skip

    assert finding.found == "unknown key 'form'"
    assert finding.nearest == "from"


# -- a finding --------------------------------------------------------------------------------------------------


def test_a_mistake_without_a_remedy_of_its_own_has_that_of_its_code() -> None:
    assert Finding("a.yaml", 1, 1, "M17", "mapping x does not exist").remedy == "name a file that exists"
    assert Finding("a.yaml", 1, 1, "M02", "'x' is not a version; write 1.2.0").remedy == ""
    assert Finding("a.yaml", 1, 1, "M02", "wrong", "right").remedy == "right"


def test_a_page_for_programs_says_where_the_code_is_explained(tmp_path: Path) -> None:
    (finding,) = findings_of(write_project(tmp_path, MANIFEST.replace("write: upsert", "write: upsrt")))

    assert json.loads(json.dumps(finding.as_dict())) == {
        "path": "include/manifests/mdm__payroll__worker.yaml",
        "line": line_of(MANIFEST, "write:"),
        "column": 10,
        "end_column": 15,
        "code": "M02",
        "found": "'write' is 'upsrt'",
        "allowed": "one of: upsert, append, replace",
        "nearest": "upsert",
        "text": "  write: upsrt",
        "docs": "docs/errors.md#m02",
    }


def test_a_page_is_painted_in_parts() -> None:
    finding = Finding("a.yaml", 7, 3, "M01", "unknown key 'a'", "one of: b", "b", 1, excerpt("  a: 1", 2, 3))

    assert finding.page(lambda style, text: f"<{style}>{text}</>").splitlines() == [
        "<place>a.yaml:7:3:</> <code>M01</> unknown key 'a'. Did you mean 'b'?",
        "<gutter>   7 |</>   a: 1",
        "<gutter>     |</>   <caret>^</>",
        "<gutter>     =</> <hint>one of: b</>",
    ]
