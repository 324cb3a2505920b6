"""The JSON Schemas: they say what the models say, a second validator judges by them as `syncline check` does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from pydantic import TypeAdapter, ValidationError

from syncline.core.job_files import examine_job, examine_mapping
from syncline.core.pages.catalogue import generated
from syncline.core.pages.schemas import FOLDERS, example_value, modeline, schemas
from syncline.core.reference_files import ProjectReferences, examine_reference
from syncline.core.transforms import AnyCheck, Step
from syncline.core.transforms.base import Check, Transform, Worded
from tests.conftest import ROOT

CORPUS = Path(__file__).parent / "schema_corpus"
JOB = "mdm__payroll__worker"
# Where projects are: their YAML files begin with the line by which an editor finds the schema.
PROJECTS = [ROOT, ROOT / "benchmarks" / "project", *sorted((ROOT / "examples").glob("*"))]
REAL = [path for home in PROJECTS for folder in FOLDERS for path in sorted((home / "include" / folder).glob("*.yaml"))]
GENERATED = generated(ROOT)
KNOWN = [*Transform.known.values(), *Check.known.values()]

SEVERAL_KEYS = "two values of one file are compared"
ANOTHER_FILE = "another file has to be read"
MEANING = "the text has to be understood, not only matched"
TYPES = "types of columns are followed through words"
WRITING = "it is the same data to a reader of YAML; how it is written is refused"
# Bad files that only `syncline check` sees, and why a schema cannot. What a schema has learnt to see must go from here.
ONLY_OURS = {
    "manifests/zone_unknown": MEANING,
    "manifests/cron_never_runs": MEANING,
    "manifests/runs_in_avoided_range": MEANING,
    "manifests/jinja": MEANING,
    "manifests/secret": MEANING,
    "manifests/p50_above_p99": SEVERAL_KEYS,
    "manifests/tenant_not_in_key": SEVERAL_KEYS,
    "manifests/one_stamp_twice": SEVERAL_KEYS,
    "manifests/mapping_missing": ANOTHER_FILE,
    "manifests/key_unmapped": ANOTHER_FILE,
    "manifests/plain_no": WRITING,
    "manifests/octal": WRITING,
    "manifests/float_that_is_whole": WRITING,
    "manifests/anchor": WRITING,
    "manifests/tag": WRITING,
    "mappings/scale_above_precision": SEVERAL_KEYS,
    "mappings/unknown_column": SEVERAL_KEYS,
    "mappings/column_read_by_nobody": SEVERAL_KEYS,
    "mappings/types_do_not_fit": TYPES,
    "mappings/step_of_another_type": TYPES,
    "mappings/lossy_for_nothing": TYPES,
    "mappings/equal_of_another_type": TYPES,
    "mappings/equal_alike_and_ignoring": SEVERAL_KEYS,
    "mappings/constant_does_not_fit": TYPES,
    "mappings/bounds_crossed": SEVERAL_KEYS,
    "mappings/personal_without_class": MEANING,
    "mappings/reserved_name": MEANING,
    "mappings/expression_refused": MEANING,
    "mappings/plain_off": WRITING,
    "code_lists/two_on_one_day": SEVERAL_KEYS,
    "code_lists/period_backwards": SEVERAL_KEYS,
    "code_lists/plain_no": WRITING,
    "calendars/days_backwards": SEVERAL_KEYS,
    "calendars/holiday_outside": SEVERAL_KEYS,
    "calendars/nobody_ever_works": SEVERAL_KEYS,
}  # fmt: skip


def corpus(how: str) -> list[Path]:
    return sorted(CORPUS.glob(f"*/{how}/*.yaml"))


def name_of(path: Path) -> str:
    return (
        f"{path.parent.parent.name}/{path.stem}" if path.is_relative_to(CORPUS) else f"{path.parent.name}/{path.stem}"
    )


def folder_of(path: Path) -> str:
    return next(part for part in reversed(path.parts) if part in FOLDERS)


# --- files are as generated ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", GENERATED)
def test_a_generated_file_is_as_models_words_and_manifests_say(path: str) -> None:
    assert (ROOT / path).is_file(), "run `syncline generate`"
    assert (ROOT / path).read_text(encoding="utf-8") == GENERATED[path], "run `syncline generate`"


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_yaml_file_names_its_schema_in_its_first_line(path: Path) -> None:
    includes = os.path.relpath(ROOT / "include", path.parent)
    assert path.read_text().splitlines()[0] == modeline(path.parent.name, includes), "an editor goes by this line"


@pytest.mark.parametrize("name", schemas())
def test_a_schema_is_one_of_draft_07(name: str) -> None:
    Draft7Validator.check_schema(schemas()[name])


# --- a schema teaches -----------------------------------------------------------------------------------------------


def without_text(schema: Any, path: tuple[str, ...]) -> Iterator[str]:
    """Keys that no description tells of, and scalars that nothing shows an example of."""
    for key in ("properties", "definitions"):
        for name, inner in schema.get(key, {}).items():
            yield from _told(inner, (*path, name)) if key == "properties" else ()
            yield from without_text(inner, (*path, name))
    for key in ("items", "additionalProperties", "anyOf"):
        below = schema.get(key)
        for inner in below if isinstance(below, list) else [below]:
            if isinstance(inner, dict):
                yield from without_text(inner, path)


def _told(schema: Any, path: tuple[str, ...]) -> Iterator[str]:
    if not schema.get("description"):
        yield f"{'.'.join(path)}: give it a description"
    kinds = schema.get("type", [])
    is_scalar = bool({"string", "integer", "number"} & set([kinds] if isinstance(kinds, str) else kinds))
    if is_scalar and not schema.keys() & {"enum", "const", "examples", "default"}:
        yield f"{'.'.join(path)}: give it an example"


@pytest.mark.parametrize("name", schemas())
def test_every_key_has_a_description_and_every_scalar_an_example(name: str) -> None:
    assert list(without_text(schemas()[name], (name,))) == []


def test_a_key_without_text_is_seen() -> None:
    bare = {"properties": {"a": {"type": "string"}, "b": {"type": "object", "properties": {"c": {"type": "integer"}}}}}
    assert list(without_text(bare, ("x",))) == [
        "x.a: give it a description", "x.a: give it an example", "x.b: give it a description",
        "x.b.c: give it a description", "x.b.c: give it an example",
    ]  # fmt: skip


def closed(schema: Any) -> Iterator[Any]:
    """Objects with keys of their own, wherever they are."""
    if isinstance(schema, list):
        for inner in schema:
            yield from closed(inner)
    elif isinstance(schema, dict):
        if "properties" in schema and schema.get("type") == "object":
            yield schema
        for key, inner in schema.items():
            if key not in ("examples", "defaultSnippets", "if", "then"):
                yield from closed(inner)


@pytest.mark.parametrize("name", schemas())
def test_no_object_lets_an_unknown_key_pass(name: str) -> None:
    found = list(closed(schemas()[name]))
    assert found
    assert [sorted(one["properties"]) for one in found if one.get("additionalProperties") is not False] == []


@pytest.mark.parametrize("name", schemas())
def test_a_file_begun_from_its_snippet_is_valid(name: str) -> None:
    schema = schemas()[name]
    for snippet in schema["defaultSnippets"]:
        assert [error.message for error in Draft7Validator(schema).iter_errors(snippet["body"])] == []
    if name == "mapping":
        of_field = schema["properties"]["fields"]["additionalProperties"]
        for snippet in of_field["defaultSnippets"]:
            body = {**schema["defaultSnippets"][0]["body"], "fields": {"x": snippet["body"]}}
            assert [error.message for error in Draft7Validator(schema).iter_errors(body)] == [], snippet["label"]


# --- words, by all their spellings --------------------------------------------------------------------------------


def spellings(kind: type[Worded]) -> Iterator[Any]:
    """Right and wrong ways to write a word."""
    word = kind.model_fields["word"].default
    yield from (word, {word: None}, {word: {}}, {word: 1}, {word: "x"}, {word: True}, {word: ["x"]}, {word: {"x": "y"}})
    yield from ({word: None, "trim": None}, {word.upper(): None}, f"{word} ", {word: {"word": word}})
    for example in kind.examples:
        said = example_value(example)
        yield said
        if not isinstance(said, dict):
            continue
        ((_, given),) = said.items()
        yield from ([said], {word: [given]}, {word: {"unheard_of": given}})
        if isinstance(given, dict):
            yield {word: {**given, "unheard_of": 1}}
            for key in given:
                yield {word: {name: value for name, value in given.items() if name != key}}
                yield from ({word: {**given, key: wrong}} for wrong in (None, "", 0, -1, 1.5, 10**9, True, [], {}, "x"))
        elif kind.shorthand is not None:
            yield from ({word: {kind.shorthand: given}}, {word: {kind.shorthand: given, "unheard_of": 1}})


@cache
def words_validator(name: str) -> Draft7Validator:
    return Draft7Validator(
        {**schemas()["mapping"]["definitions"][name], "definitions": schemas()["mapping"]["definitions"]}
    )


@cache
def adapter(name: str) -> TypeAdapter[Any]:
    return TypeAdapter({"step": Step, "check": AnyCheck}[name])


def refused_by_us(name: str, said: Any) -> list[str]:
    """The kinds of mistakes that the models find; none where the word is read."""
    try:
        adapter(name).validate_python(said, context=ProjectReferences(ROOT))
    except ValidationError as error:
        return [mistake["type"] for mistake in error.errors()]
    return []


@pytest.mark.parametrize("kind", KNOWN, ids=lambda kind: kind.model_fields["word"].default)
def test_schema_and_model_agree_on_every_spelling_of_a_word(kind: type[Worded]) -> None:
    name = "check" if issubclass(kind, Check) else "step"
    for said in spellings(kind):
        refused = refused_by_us(name, said)
        is_accepted = words_validator(name).is_valid(said)
        if not refused:
            assert is_accepted, f"{said} is right, and an editor would underline it"
        elif any(not told.startswith("M") for told in refused):  # pydantic's own types: a schema can say them
            assert not is_accepted, f"{said} is wrong ({refused}), and an editor would not say so"


@pytest.mark.parametrize("kind", KNOWN, ids=lambda kind: kind.model_fields["word"].default)
def test_the_examples_of_a_word_are_right_by_both(kind: type[Worded]) -> None:
    name = "check" if issubclass(kind, Check) else "step"
    assert kind.examples, "give the word an example: the schema and the catalogue show it"
    for example in kind.examples:
        assert refused_by_us(name, example_value(example)) == []
        assert words_validator(name).is_valid(example_value(example))


# --- a second validator ---------------------------------------------------------------------------------------------


@cache
def refused_by_the_schema(folder: str) -> frozenset[Path]:
    """The files that check-jsonschema refuses, among the corpus and the real ones of a kind."""
    files = [path for path in (*corpus("good"), *corpus("bad"), *REAL) if folder_of(path) == folder]
    schema = ROOT / "include" / "schemas" / f"{FOLDERS[folder]}.schema.json"
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--schemafile", str(schema), "-o", "json", *map(str, files)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    told = json.loads(done.stdout)
    return frozenset(Path(error["filename"]) for error in (*told["errors"], *told.get("parse_errors", ())))


def refused_by_check(path: Path, home: Path) -> bool:
    """Whether `syncline check` finds a mistake in a file of the corpus, put into a project of its own."""
    folder = folder_of(path)
    put = home / "include" / folder / f"{JOB}.yaml"
    put.parent.mkdir(parents=True)
    put.write_bytes(path.read_bytes())
    if folder == "manifests":
        (home / "include" / "mappings").mkdir()
        (home / "include" / "mappings" / "companion.yaml").write_bytes((CORPUS / "companion.yaml").read_bytes())
        return bool(examine_job(home, JOB)[1])
    if folder == "mappings":
        return bool(examine_mapping(home, JOB)[1])
    return bool(examine_reference(home, folder, JOB)[2])


@pytest.mark.parametrize("path", corpus("bad"), ids=name_of)
def test_a_bad_file_is_refused_by_both(path: Path, tmp_path: Path) -> None:
    assert refused_by_check(path, tmp_path), "`syncline check` accepts it"
    is_refused = path in refused_by_the_schema(folder_of(path))
    if name_of(path) in ONLY_OURS:
        assert not is_refused, "the schema sees it too: take it out of ONLY_OURS"
    else:
        assert is_refused, "an editor would not underline it"


@pytest.mark.parametrize("path", corpus("good"), ids=name_of)
def test_a_good_file_is_accepted_by_both(path: Path, tmp_path: Path) -> None:
    assert not refused_by_check(path, tmp_path)
    assert path not in refused_by_the_schema(folder_of(path))


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_real_file_is_accepted_by_the_schema(path: Path) -> None:
    assert path not in refused_by_the_schema(folder_of(path))


def test_what_only_we_see_is_in_the_corpus() -> None:
    assert ONLY_OURS.keys() <= {name_of(path) for path in corpus("bad")}


def test_the_corpus_is_large_enough_and_of_every_kind() -> None:
    bad = [path for path in corpus("bad") if name_of(path) not in ONLY_OURS]
    assert len(bad) >= 40
    assert {folder_of(path) for path in bad} == set(FOLDERS) == {folder_of(path) for path in corpus("good")}
