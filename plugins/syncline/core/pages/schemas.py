"""JSON Schemas of all YAML files, exported from the models that read them: an editor completes and underlines by them.

Draft-07, because every editor knows it: yaml-language-server (VS Code, Neovim, Emacs) and the IDEs of JetBrains read
it in full, newer drafts only in part or in new releases. Nothing here needs more than draft-07 has.

A word of the mapping language may be written in several ways (`trim`, `{trim: null}`, `{max_length: 40}`,
`{round: {scale: 2, mode: half_even}}`). All of them are in the schema, so that completion alone teaches the language.
What needs two files or the types of columns to see is not: `syncline check` tells it. Where both can judge, they
agree; tests/unit/test_schemas.py holds a second validator against `syncline check`.

`title` is left out: it would only say the key again. A model's docstring and `Field(description=..., examples=...)`
are the texts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from typing import Any, get_origin

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from syncline.core.files.findings import report
from syncline.core.files.strict_yaml import read_text
from syncline.core.manifest import Manifest
from syncline.core.mapping import FieldMap, Mapping
from syncline.core.pages.schema_rules import (
    ONE_OF,
    RULES,
    SPELT,
    Schema,
    function_of,
    one_of,
)
from syncline.core.pages.snippets import SNIPPETS
from syncline.core.references import Calendar, CodeList, Entries
from syncline.core.transforms.base import Check, Transform, Worded
from syncline.core.types import PgType

DRAFT = "http://json-schema.org/draft-07/schema#"
# name of the schema -> the model that reads such files
FILES: dict[str, type[BaseModel]] = {
    "manifest": Manifest, "mapping": Mapping, "code_list": CodeList, "calendar": Calendar,
}  # fmt: skip
# folder below include/ -> the schema of its files
FOLDERS = {"manifests": "manifest", "mappings": "mapping", "code_lists": "code_list", "calendars": "calendar"}
WORDS: dict[str, dict[str, Any]] = {"step": Transform.known, "check": Check.known}


def schemas() -> dict[str, Schema]:
    """Name of a schema -> the schema."""
    return {name: _of_file(kind) for name, kind in FILES.items()}


def schema_files() -> dict[str, str]:
    """Path below a project's root -> what must stand there."""
    return {
        f"include/schemas/{name}.schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for name, schema in schemas().items()
    }


def modeline(folder: str, schemas_folder: str = "..") -> str:
    """The first line of a YAML file below include/<folder>: by it an editor finds the schema."""
    return f"# yaml-language-server: $schema={schemas_folder}/schemas/{FOLDERS[folder]}.schema.json"


def word_schema(kind: type[Worded]) -> Schema:
    """The parameters of a word as an object; what a mapping may leave out is not required."""
    return deepcopy(_word_schema(kind))


@cache
def _word_schema(kind: type[Worded]) -> Schema:
    schema = _of_model(kind)
    schema["properties"].pop("word")
    required = [name for name in schema.get("required", ()) if name != "word"]
    schema.pop("required", None)
    return schema | ({"required": required} if required else {})


def paragraphs(text: str) -> list[str]:
    """A docstring's paragraphs, each on one line; what it names as its source is one of its own."""
    parts = re.split(r"\n\s*\n|\n\s*(?=Source: )", text.strip())
    return [" ".join(part.split()) for part in parts if part.strip()]


def first_sentence(text: str) -> str:
    """A docstring's line in lists: up to the first full stop that ends a sentence."""
    whole = paragraphs(text)[0] if text.strip() else ""
    return re.split(r"(?<=\.)\s", whole, maxsplit=1)[0]


def example_value(example: str) -> Any:
    """What an example of a word says, as a mapping would read it; raises ValueError where no mapping may say it."""
    read = read_text(f"example: {example}\n", "example")
    if read.findings:
        raise ValueError(f"`{example}`: {report(read.findings)}")
    return read.data["example"]


class _Export(GenerateJsonSchema):
    """pydantic's exporter, taught our validators, our words and our rules."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def _spelt(self, schema: Any) -> Schema | None:
        function = schema["function"]["function"]
        if function is function_of(Entries):
            entry = self.generate_inner(_first_model(schema["schema"]))
            return {
                "anyOf": [
                    {"description": "What the code stands for, always", "type": "string"},
                    {**entry, "description": "What it stands for in one period"},
                    {"description": "What it stands for, period by period", "type": "array", "items": entry,
                     "minItems": 1},
                ]
            }  # fmt: skip
        return deepcopy(SPELT[function]) if function in SPELT else None

    def function_before_schema(self, schema: Any) -> JsonSchemaValue:
        return self._spelt(schema) or _also(schema["function"], super().function_before_schema(schema))

    def function_after_schema(self, schema: Any) -> JsonSchemaValue:
        return self._spelt(schema) or super().function_after_schema(schema)

    def function_plain_schema(self, schema: Any) -> JsonSchemaValue:
        return self._spelt(schema) or super().function_plain_schema(schema)

    def tagged_union_schema(self, schema: Any) -> JsonSchemaValue:
        if schema["discriminator"] != "word":
            return super().tagged_union_schema(schema)
        of = "check" if set(schema["choices"]) == set(Check.known) else "step"
        return {"x-words": of}  # pydantic would look the reference up; it becomes one below

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        """Only a default that an author could have written is worth saying."""
        made = super().default_schema(schema)
        default = schema.get("default")
        if isinstance(default, PgType):
            made["default"] = str(default)
        elif not isinstance(default, str | int | float | tuple) or default in ("", ()):
            made.pop("default", None)
        return made

    def nullable_schema(self, schema: Any) -> JsonSchemaValue:
        inner = self.generate_inner(schema["schema"])
        if "type" in inner and not inner.keys() & {"enum", "const"}:
            kinds = inner["type"] if isinstance(inner["type"], list) else [inner["type"]]
            return {**inner, "type": [*kinds, "null"] if "null" not in kinds else kinds}
        return {"anyOf": [inner, {"type": "null"}]}

    def dict_schema(self, schema: Any) -> JsonSchemaValue:
        """pydantic would let keys pass that do not match the pattern of the keys."""
        made = super().dict_schema(schema)
        if found := made.pop("patternProperties", None):
            ((_, values),) = found.items()
            keys = self.generate_inner(schema["keys_schema"])
            made |= {"propertyNames": keys, "additionalProperties": values}
        return made

    def model_schema(self, schema: Any) -> JsonSchemaValue:
        made = super().model_schema(schema)
        kind = schema["cls"]
        made.pop("title", None)
        if "description" in made:
            made["description"] = "\n\n".join(paragraphs(made["description"]))
        rules = list(RULES.get(kind, ()))
        if kind in ONE_OF:
            names, wanted = ONE_OF[kind]
            for name in names:  # null would be no beginning: it is not offered
                made["properties"][name] = _without_null(made["properties"][name])
            exactly = one_of(names, wanted)
            made["anyOf"] = exactly["anyOf"]
            rules += exactly["allOf"]
        if rules:
            made["allOf"] = [*made.get("allOf", ()), *rules]
        return made


def _also(function: Any, made: JsonSchemaValue) -> JsonSchemaValue:
    """What a word's own function makes of two spellings that words like to take: it is asked, not read."""
    if function["type"] != "no-info":
        return made
    asked = function["function"]
    if "null" in made.get("enum", ()) and asked(None) == "null":  # `on_missing: null` is what people write
        return {**made, "type": ["string", "null"], "enum": [*made["enum"], None]}
    if made.get("type") == "array" and asked("x") == ("x",):  # one value is a list of one
        return {"anyOf": [made["items"], made]}
    return made


def _first_model(schema: Any) -> Any:
    """The schema of the model that a list holds."""
    while schema["type"] not in ("model", "definition-ref"):
        schema = schema.get("items_schema") or schema["schema"]
        schema = schema[0] if isinstance(schema, list) else schema
    return schema


def _without_null(schema: Schema) -> Schema:
    """The same without null among what is accepted."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kinds = [name for name in kind if name != "null"]
        return {**schema, "type": kinds[0] if len(kinds) == 1 else kinds}
    if "anyOf" not in schema:
        return schema
    choices = [_without_null(choice) for choice in schema["anyOf"] if choice.get("type") != "null"]
    others = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**choices[0], **others} if len(choices) == 1 else {**others, "anyOf": choices}


def _of_model(kind: type[BaseModel]) -> Schema:
    """A model's schema with everything in its place: no references but to words."""
    made = kind.model_json_schema(schema_generator=_Export)
    return _inlined(made, made.pop("$defs", {}))  # type: ignore[no-any-return]


def _inlined(node: Any, known: Schema) -> Any:
    if isinstance(node, list):
        return [_inlined(item, known) for item in node]
    if not isinstance(node, dict):
        return node
    if isinstance(node.get("x-words"), str):
        return {"$ref": f"#/definitions/{node['x-words']}"}
    if isinstance(node.get("$ref"), str):
        target = known[node["$ref"].rsplit("/", 1)[-1]]
        return _inlined({**target, **{key: value for key, value in node.items() if key != "$ref"}}, known)
    if "anyOf" in node and "type" not in node:
        node = _length_of_list(node)
    return {key: _inlined(value, known) for key, value in node.items()}


def _length_of_list(node: Schema) -> Schema:
    """pydantic says the bounds of a list that was made of one value as if they were a text's."""
    bounds = {"minItems": node.get("minLength"), "maxItems": node.get("maxLength")}
    said = {name: bound for name, bound in bounds.items() if bound is not None}
    choices = [{**choice, **said} if choice.get("type") == "array" else choice for choice in node["anyOf"]]
    return {key: value for key, value in node.items() if key not in ("minLength", "maxLength")} | {"anyOf": choices}


# Read from the top: what a thing is for, then what it is.
ORDER = ("$schema", "description", "markdownDescription", "type", "const", "enum", "pattern", "default", "examples",
         "required", "additionalProperties", "properties")  # fmt: skip
OF_NAMES = ("properties", "definitions")  # their keys are names, not ours to sort
AS_IT_IS = ("default", "examples", "enum", "const", "defaultSnippets", "required")  # no schemas are in these


def _tidy(node: Any, is_of_names: bool = False) -> Any:
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    if is_of_names:
        return {name: _tidy(schema) for name, schema in node.items()}
    keys = sorted(node, key=lambda key: ORDER.index(key) if key in ORDER else len(ORDER))
    return {key: node[key] if key in AS_IT_IS else _tidy(node[key], key in OF_NAMES) for key in keys}


def _of_file(kind: type[BaseModel]) -> Schema:
    schema = _of_model(kind)
    schema = {"$schema": DRAFT, "description": schema.pop("description"), **schema}
    snippets = SNIPPETS.get(kind, [])
    if snippets:
        schema["defaultSnippets"] = snippets
    if kind is Mapping:
        schema["definitions"] = {name: _words(known) for name, known in WORDS.items()}
        schema["properties"]["fields"]["additionalProperties"]["defaultSnippets"] = SNIPPETS[FieldMap]
    return _tidy(schema)  # type: ignore[no-any-return]


# --- words ----------------------------------------------------------------------------------------------------------


def _words(known: dict[str, type[Worded]]) -> Schema:
    """A closed union: a bare word, or one key that is a word."""
    takes = {word: word_schema(kind) for word, kind in sorted(known.items())}
    bare = {word: known[word] for word, schema in takes.items() if not schema["properties"]}
    # May stand alone, but are offered with their parameters: an editor would mix both spellings up.
    short = [word for word, schema in takes.items() if word not in bare and not schema.get("required")]
    return {
        "description": "A word by itself, or a word with what it takes: `trim`, `{max_length: 40}`",
        "anyOf": [
            {
                "type": "string",
                "enum": list(bare),
                "enumDescriptions": [first_sentence(kind.__doc__ or "") for kind in bare.values()],
                "markdownEnumDescriptions": [_markdown(kind) for kind in bare.values()],
            },
            {"type": "string", "pattern": f"^(?:{'|'.join(short)})$"} if short else False,
            {
                "type": "object",
                "additionalProperties": False,
                "minProperties": 1,
                "maxProperties": 1,
                "properties": {word: _word(kind) for word, kind in sorted(known.items())},
            },
        ],
    }


def _word(kind: type[Worded]) -> Schema:
    """What may follow the word's colon."""
    takes = word_schema(kind)
    takes.pop("description", None)
    told: Schema = {
        "description": "\n\n".join(paragraphs(kind.__doc__ or "")), "markdownDescription": _markdown(kind),
    }  # fmt: skip
    if not takes["properties"]:
        # Written `trim`; `{trim: null}` is accepted, but nobody shall be led to it.
        return {**told, "type": ["null", "object"], "additionalProperties": False, "doNotSuggest": True}
    choices = [*_shorthand(kind, takes), takes]
    if not takes.get("required"):
        choices.append({"type": "null"})
    said = {example: example_value(example) for example in kind.examples}
    snippets = [
        {"label": example, "description": first_sentence(kind.__doc__ or ""), "body": next(iter(value.values()))}
        for example, value in said.items()
        if isinstance(value, dict)
    ]
    return {**told, **({"defaultSnippets": snippets} if snippets else {}),
            **(choices[0] | told if len(choices) == 1 else {"anyOf": choices})}  # fmt: skip


def _shorthand(kind: type[Worded], takes: Schema) -> Iterator[Schema]:
    """The bare value that stands for one parameter."""
    if kind.shorthand is None:
        return
    schema = _without_null(takes["properties"][kind.shorthand])
    others = set(takes.get("required", ())) - {kind.shorthand}
    if others:  # the shorthand alone would leave them out
        return
    of_mapping = next(f.annotation for name, f in kind.model_fields.items() if kind.shorthand in (name, f.alias))
    if get_origin(of_mapping) is dict:
        # Any key that is a parameter makes the mapping one of parameters.
        names = {"not": {"enum": list(takes["properties"])}}
        keys = schema.get("propertyNames")
        schema = {**schema, "propertyNames": {"allOf": [keys, names]} if keys else names}
    yield schema


def _markdown(kind: type[Worded]) -> str:
    """What a hover shows: the word's text, its parameters and its examples."""
    said = paragraphs(kind.__doc__ or "")
    takes = word_schema(kind)["properties"]
    listed = "\n".join(f"- `{name}`: {schema.get('description', '')}" for name, schema in takes.items())
    examples = "\n".join(f"- {example}" for example in kind.examples)
    return "\n\n".join([*said, *([listed] if listed else []), *([f"```yaml\n{examples}\n```"] if examples else [])])
