"""The generated reference pages: every word, every beginning, every key, with what the classes say of them."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from syncline import __main__ as command
from syncline.core.files.strict_yaml import read_text
from syncline.core.mapping import BEGINNINGS
from syncline.core.pages import catalogue
from syncline.core.pages.catalogue import BEGINNING_EXAMPLES, generated, manifests_page, transforms_page
from syncline.core.pages.schemas import FILES, example_value, paragraphs, word_schema
from syncline.core.pages.snippets import SNIPPETS
from syncline.core.reference_files import ProjectReferences
from syncline.core.transforms.base import Check, Transform, Worded
from tests.conftest import ROOT
from tests.unit.project_files import write_project

KNOWN = [*Transform.known.values(), *Check.known.values()]
PAGE = transforms_page(ROOT)
HEADING = re.compile(r"^#{2,3} (.+)$", re.MULTILINE)


def word_of(kind: type[Worded]) -> str:
    word: str = kind.model_fields["word"].default
    return word


def section(page: str, heading: str) -> str:
    """From a heading to the next one."""
    return re.split(r"^#{2,3} ", page.split(f"\n### {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


@pytest.mark.parametrize("kind", KNOWN, ids=word_of)
def test_a_word_has_a_line_in_the_index_and_a_section(kind: type[Worded]) -> None:
    assert f"| [`{word_of(kind)}`](#{catalogue.anchor(kind)}) |" in PAGE
    told = section(PAGE, catalogue.heading(kind))
    assert all(paragraph in told for paragraph in paragraphs(kind.__doc__ or ""))
    assert all(f"| `{name}`" in told for name in word_schema(kind)["properties"])
    assert all(f"  - {example}" in told for example in kind.examples)
    assert f"Cost: {kind.cost}." in told


@pytest.mark.parametrize("kind", KNOWN, ids=word_of)
def test_a_word_shows_the_sql_of_its_first_example(kind: type[Worded]) -> None:
    word = catalogue.made(kind, kind.examples[0], ProjectReferences(ROOT))
    shown = catalogue.word_sql(word)
    assert shown
    assert f"```sql\n{shown}\n```" in section(PAGE, catalogue.heading(kind))


@pytest.mark.parametrize("kind", KNOWN, ids=word_of)
def test_a_word_says_what_it_does_and_what_null_and_errors_do(kind: type[Worded]) -> None:
    told = " ".join(paragraphs(kind.__doc__ or ""))
    assert kind.__doc__
    assert kind.__doc__ != Worded.__doc__
    assert re.search(r"NULL|empty", told) or issubclass(kind, Check), "say what it does with NULL"


def test_every_heading_stands_once() -> None:
    headings = [heading for heading in HEADING.findall(PAGE) if heading != "Index"]
    assert len(headings) == len(set(headings)), "a link would lead to the first of them"


def test_every_link_within_a_page_leads_to_a_heading() -> None:
    for page in generated(ROOT).values():
        anchors = {
            heading.lower().replace(" ", "-").replace("(", "").replace(")", "") for heading in HEADING.findall(page)
        }
        assert set(re.findall(r"\]\(#([^)]+)\)", page)) <= anchors


def test_every_beginning_is_told_and_its_example_is_read() -> None:
    words = [word.rstrip("_") for word in BEGINNINGS]
    assert list(BEGINNING_EXAMPLES) == words
    for word in words:
        assert catalogue.beginning(word) is not None
        assert "```yaml" in section(PAGE, word)


@pytest.mark.parametrize("kind", KNOWN, ids=word_of)
def test_what_a_word_tells_may_be_written_in_a_file(kind: type[Worded]) -> None:
    quoted = re.findall(r"`(\{.*?\})`", " ".join(paragraphs(kind.__doc__ or "")))
    for example in (*kind.examples, *quoted):
        assert read_text(f"x: {example}\n", "example").findings == []


def test_the_yaml_of_every_page_may_be_written_in_a_file() -> None:
    pages = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / "docs").rglob("*.md")}
    for name, page in {**pages, **generated(ROOT)}.items():
        for block in re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL):
            told = [
                finding for finding in read_text(block, name).findings if finding.code != "M03"
            ]  # a list of examples
            assert told == [] or "# <- M" in block, block


@pytest.mark.parametrize("snippet", [one for snippets in SNIPPETS.values() for one in snippets], ids=str)
def test_what_an_editor_offers_comes_back_from_the_file_as_it_is(snippet: dict[str, Any]) -> None:
    page = "\n".join(catalogue._as_yaml(snippet["body"]))

    assert read_text(page, "snippet").findings == []
    assert read_text(page, "snippet").data == snippet["body"]


def test_examples_mean_what_a_mapping_would_read() -> None:
    with pytest.raises(ValueError, match="can be read in two ways"):
        example_value("{parse_number: {thousands: .}}")
    assert example_value("{range: {min: 1950-01-01}}") == {"range": {"min": "1950-01-01"}}
    assert example_value("trim") == "trim"


def test_every_key_of_every_file_is_told() -> None:
    page = manifests_page()
    for kind in FILES.values():
        for name, field in kind.model_fields.items():
            assert f"| `{field.alias or name}` |" in page
    assert "### manifest: `target.stamps`" in page
    assert "### mapping: `fields.<name>`" in page


def test_what_a_value_may_be_is_said_in_few_words() -> None:
    assert catalogue.kind_of({"type": "integer", "minimum": 1, "maximum": 64}) == "whole number, 1 to 64"
    assert catalogue.kind_of({"type": ["string", "null"]}) == "text"
    assert catalogue.kind_of({"enum": ["a", "b", None]}) == "`a`, `b`"
    assert catalogue.kind_of({"anyOf": [{"type": "string"}, {"type": "null"}]}) == "text"


# --- syncline generate --------------------------------------------------------------------------------------------


def run(monkeypatch: pytest.MonkeyPatch, home: Path, *arguments: str) -> int:
    monkeypatch.setenv("SYNCLINE_HOME", str(home))
    monkeypatch.setattr(sys, "argv", ["syncline", "generate", *arguments])
    with pytest.raises(SystemExit) as left:
        command.main()
    return int(left.value.code or 0)


def test_generate_writes_what_its_check_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_project(tmp_path)

    assert run(monkeypatch, tmp_path, "--check") == 1
    assert "include/schemas/manifest.schema.json" in capsys.readouterr().err
    assert not (tmp_path / "docs").exists()

    assert run(monkeypatch, tmp_path) == 0
    assert capsys.readouterr().out.split() == list(generated(tmp_path))
    assert run(monkeypatch, tmp_path, "--check") == 0

    (tmp_path / "docs" / "registry.md").write_text("by hand")
    assert run(monkeypatch, tmp_path, "--check") == 1
    assert capsys.readouterr().err.startswith("not as generated: docs/registry.md;")
