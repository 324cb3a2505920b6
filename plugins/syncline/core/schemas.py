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
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import date
from functools import cache
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from syncline.core import manifest, models
from syncline.core.field_values import Branch, Condition, Lookup
from syncline.core.manifest import Manifest, Tenancy
from syncline.core.mapping import BEGINNINGS, FieldMap, Mapping
from syncline.core.references import Calendar, CodeList, Day, Entries
from syncline.core.transforms.base import Check, Scalar, Transform, Worded
from syncline.core.types import CLOCKS, FAMILIES, MICROSECONDS, PRECISION_MAX, PgType, TypeName

Schema = dict[str, Any]
DRAFT = "http://json-schema.org/draft-07/schema#"
# name of the schema -> the model that reads such files
FILES: dict[str, type[BaseModel]] = {
    "manifest": Manifest, "mapping": Mapping, "code_list": CodeList, "calendar": Calendar,
}  # fmt: skip
# folder below include/ -> the schema of its files
FOLDERS = {"manifests": "manifest", "mappings": "mapping", "code_lists": "code_list", "calendars": "calendar"}
WORDS: dict[str, dict[str, Any]] = {"step": Transform.known, "check": Check.known}

ANY_SCALAR: Schema = {"type": ["string", "number", "boolean"]}
SCALAR_OR_NULL: Schema = {"type": ["string", "number", "boolean", "null"]}


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
    """What an example of a word says, as a mapping would read it."""
    return _undated(yaml.safe_load(example))


def _undated(value: Any) -> Any:
    """A plain 2026-01-01 is text in our files, a date to PyYAML."""
    if isinstance(value, dict):
        return {key: _undated(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_undated(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


# --- what a validator of ours accepts, said as a schema -----------------------------------------------------------


def _function_of(annotated: Any) -> Callable[..., Any]:
    """The function that validates an annotated type."""
    found: Callable[..., Any] = next(part.func for part in get_args(annotated)[1:] if hasattr(part, "func"))
    return found


def _text(pattern: str, wanted: str, **more: Any) -> Schema:
    return {"type": "string", "pattern": f"^(?:{pattern})$", "patternErrorMessage": wanted, **more}


def _types_pattern() -> str:
    """The spellings of types. Which scale goes with which precision only `syncline check` knows."""
    number, digit = "[0-9]{1,8}", f"0*[0-{MICROSECONDS}]"
    sized = {"varchar": rf"(\({number}\))?", "char": rf"(\({number}\))?"}
    sized |= dict.fromkeys(CLOCKS, rf"(\({digit}\))?")
    sized["numeric"] = rf"(\(0*([1-9][0-9]{{0,2}}|{PRECISION_MAX})(, ?[0-9]{{1,4}})?\))?"
    return f"({'|'.join(name + sized.get(name, '') for name in FAMILIES)})" + r"(\[\])?"


NAME: Schema = _text(models.NAME.pattern, "a name: a-z, 0-9 and _, not beginning with a digit, at most 63 characters")
TYPES_SHOWN = ("text", "integer", "numeric(12,2)", "date", "timestamptz", "boolean", "varchar(40)", "text[]")
DAY: Schema = {
    **_text("[0-9]{4}-[0-9]{2}-[0-9]{2}", "a day: 2026-01-31", format="date"),
    "examples": ["2026-01-01", "2026-12-31"],
}
# function of a validator -> the schema of what it accepts
SPELT: dict[Callable[..., Any], Schema] = {
    _function_of(models.Name): NAME,
    _function_of(models.Table): _text(
        rf"{models.NAME.pattern}\.{models.NAME.pattern}", "a table with its schema: mdm.worker"
    ),
    _function_of(models.Version): _text(
        models.VERSION.pattern.replace(r"\d", "[0-9]"), "three numbers: 1.2.0", examples=["1.0.0"]
    ),
    _function_of(TypeName): _text(
        _types_pattern(), "a type: text, numeric(12,2), varchar(40), timestamptz, text[] ...",
        examples=list(TYPES_SHOWN),
        defaultSnippets=[{"label": name, "body": name} for name in FAMILIES if name not in TYPES_SHOWN],
    ),
    _function_of(Scalar): ANY_SCALAR,
    _function_of(Day): DAY,
    _function_of(Condition): {
        "anyOf": [
            {
                "description": "Columns, each with the value or values that it may have; null is NULL",
                "type": "object",
                "propertyNames": NAME,
                "additionalProperties": {
                    "anyOf": [SCALAR_OR_NULL, {"type": "array", "items": SCALAR_OR_NULL, "minItems": 1}]
                },
            },
            {"description": "A restricted expression (docs/expressions.md)", "type": "string"},
        ]
    },
    _function_of(manifest.MappingName): _text(models.NAME.pattern, "the stem of a file in include/mappings"),
    _function_of(manifest.Contact): _text(
        manifest.MAIL.pattern, "an address, or the name of a team or role", maxLength=manifest.MAIL_MAX
    ),
    _function_of(manifest.Cron): _text(
        r"\s*\S+(\s+\S+){4}\s*", "five fields: minute, hour, day of month, month, day of week"
    ),
    _function_of(manifest.Zone): _text("[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*", "a zone of the IANA database"),
    _function_of(manifest.ClockRange): _text(manifest.CLOCK_RANGE.pattern, 'a range of the clock: "02:00-02:40"'),
    _function_of(manifest.Contract): _text(manifest.CONTRACT.pattern, "https://... or a path below the project's root"),
}  # fmt: skip


# --- what concerns several keys of one file -----------------------------------------------------------------------


def _one_of(names: tuple[str, ...], wanted: str) -> Schema:
    """Exactly one of these keys; the message stands at the second one, or where all are missing."""
    return {
        "anyOf": [{"required": [name], "errorMessage": wanted} for name in names],
        "allOf": [
            {
                "if": {"required": [name]},
                "then": {"properties": {other: False for other in names if other != name}, "errorMessage": wanted},
            }
            for name in names
        ],
    }


def _when(condition: Schema, wanted: str, needed: tuple[str, ...] = (), refused: tuple[str, ...] = ()) -> Schema:
    """Under a condition some keys must be there (null is not there), and some must not."""
    then: Schema = {"errorMessage": wanted}
    if needed:
        then |= {"required": list(needed)}
    properties: Schema = {name: {"not": {"type": "null"}} for name in needed}
    properties |= {name: {"type": "null", "errorMessage": wanted} for name in refused}
    return {"if": condition, "then": then | {"properties": properties}}


def _only_with(condition: Schema, name: str, value: str) -> Schema:
    """Under a condition a key must have a value."""
    wanted = f"this needs `{name}: {value}`"
    there = {"const": value, "errorMessage": wanted}
    return {"if": condition, "then": {"required": [name], "properties": {name: there}, "errorMessage": wanted}}


def _says(**values: Any) -> Schema:
    """A condition: these keys are there with these values."""
    return {"required": list(values), "properties": {name: {"const": value} for name, value in values.items()}}


def _has(*path: str) -> Schema:
    """A condition: the key at the end of a path is there and not null."""
    name, *rest = path
    return {"required": [name], "properties": {name: _has(*rest) if rest else {"not": {"type": "null"}}}}


def _within(name: str, rule: Schema) -> Schema:
    return {"properties": {name: rule}}


def _none(condition: Schema, path: tuple[str, str], wanted: str) -> Schema:
    """Under a condition a nested key must not be there."""
    outer, inner = path
    return {"if": condition, "then": _within(outer, _within(inner, {"type": "null", "errorMessage": wanted}))}


def _needed(condition: Schema, path: tuple[str, str], wanted: str) -> Schema:
    """Under a condition a nested key must be there."""
    outer, inner = path
    there = {"required": [inner], "properties": {inner: {"not": {"type": "null"}}}, "errorMessage": wanted}
    return {"if": condition, "then": _within(outer, there)}


ONE_OF: dict[type[BaseModel], tuple[tuple[str, ...], str]] = {
    FieldMap: (
        tuple(word.rstrip("_") for word in BEGINNINGS),
        f"a field begins with exactly one of {', '.join(word.rstrip('_') for word in BEGINNINGS)}",
    ),
    Tenancy: (("column", "none"), "tenancy is `column: <target column>` or `none: <the reason>`"),
    Branch: (("from", "constant"), "a branch is `from: <column>` or `constant: <value>`"),
}
SOFT, HARD = ({"properties": {"target": _says(on_delete=how)}, "required": ["target"]} for how in ("soft", "hard"))
RULES: dict[type[BaseModel], list[Schema]] = {
    FieldMap: [_when({"required": ["otherwise"]}, "`otherwise` belongs to `when`", needed=("when",))],
    Lookup: [
        _when(_says(on_missing="default"), "`on_missing: default` needs `default: <value>`", needed=("default",)),
        _only_with(_has("default"), "on_missing", "default"),
        _when(_says(on_several="newest"), "`on_several: newest` needs `newest_by: <column>`", needed=("newest_by",)),
        _only_with(_has("newest_by"), "on_several", "newest"),
    ],
    manifest.Target: [
        _when(_says(on_delete="soft"), "on_delete: soft needs `deleted`, a boolean column", needed=("deleted",)),
        _when({"not": _says(on_delete="soft")}, "`deleted` is set by on_delete: soft only", refused=("deleted",)),
    ],
    Manifest: [
        _needed(_has("tenancy", "column"), ("source", "tenant"), "which column of the source names the tenant?"),
        _none(_has("tenancy", "none"), ("source", "tenant"), "tenancy is none, but this names a tenant column"),
        _needed(SOFT, ("source", "deleted"), "on_delete: soft needs the boolean column that flags deleted rows"),
        _needed(HARD, ("source", "deleted"), "on_delete: hard needs the boolean column that flags deleted rows"),
        _none(
            {"properties": {"target": _says(write="append")}, "required": ["target"]},
            ("source", "deleted"), "an append job cannot delete",
        ),
        _needed(_has("target", "version"), ("source", "cursor"), "target.version needs the cursor to order by"),
    ],
}  # fmt: skip


class _Export(GenerateJsonSchema):
    """pydantic's exporter, taught our validators, our words and our rules."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def _spelt(self, schema: Any) -> Schema | None:
        function = schema["function"]["function"]
        if function is _function_of(Entries):
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
            exactly = _one_of(names, wanted)
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


# --- what an editor offers to begin with ---------------------------------------------------------------------------

SNIPPETS: dict[type[BaseModel], list[Schema]] = {
    Manifest: [
        {
            "label": "a manifest",
            "description": "All that a job needs; the rest has defaults",
            "body": {
                "version": "1.0.0",
                "description": "What is copied, and what for",
                "domain": "workforce",
                "criticality": "medium",
                "owner": {"team": "team-name", "oncall": "oncall@example.org", "business": "owner@example.org"},
                "tenancy": {"column": "tenant_id"},
                "schedule": {"cron": "15 3 * * *", "timezone": "Europe/London"},
                "sla": {"latency_p50_s_max": 7200, "latency_p99_s_max": 93600},
                "source": {
                    "connection": "mdm",
                    "table": "mdm.worker",
                    "key": ["tenant_id", "worker_id"],
                    "cursor": "updated_at",
                    "tenant": "tenant_id",
                },
                "target": {
                    "connection": "payroll",
                    "table": "hr.employee",
                    "key": ["tenant_id", "employee_no"],
                    "version": "source_event_at",
                },
                "mapping": "mdm__payroll__worker",
            },
        }
    ],
    Mapping: [
        {
            "label": "a mapping",
            "description": "Source columns with their types, then one entry for each target column",
            "body": {
                "version": "1.0.0",
                "description": "What becomes what",
                "source": {"tenant_id": "text", "worker_id": "text", "updated_at": "timestamptz"},
                "fields": {
                    "tenant_id": {"from": "tenant_id", "type": "text", "checks": ["required"]},
                    "employee_no": {"from": "worker_id", "type": "text", "checks": ["required"]},
                    "source_event_at": {"from": "updated_at", "type": "timestamptz", "checks": ["required"]},
                },
            },
        }
    ],
    FieldMap: [
        {"label": "a column as it is", "body": {"from": "tenant_id", "type": "text", "checks": ["required"]}},
        {
            "label": "a text, tidied up",
            "body": {"from": "status_code", "type": "text", "steps": ["trim", "upper"], "checks": ["required"]},
        },
        {
            "label": "two columns joined",
            "body": {
                "concat": {"columns": ["given_name", "family_name"]},
                "type": "text", "steps": ["trim"], "checks": ["required"], "pii": "name",
            },
        },
        {"label": "the same value in every row", "body": {"constant": "mdm", "type": "text"}},
        {"label": "the first column with a value", "body": {"coalesce": ["nick", "code"], "type": "text"}},
        {
            "label": "a value of another table",
            "body": {
                "lookup": {
                    "table": "mdm.organisation",
                    "match": {"tenant_id": "tenant_id", "organisation_id": "organisation_id"},
                    "take": "legal_name",
                },
                "type": "text",
            },
        },
        {
            "label": "one value or another",
            "body": {
                "when": [{"if": {"status_code": ["ACT", "LOA"]}, "then": {"constant": "employed"}}],
                "otherwise": {"constant": "left"},
                "type": "text",
            },
        },
        {
            "label": "a date in a text",
            "body": {"from": "hired_on", "type": "date", "steps": [{"parse_date": "iso"}], "checks": ["required"]},
        },
        {
            "label": "an amount, rounded",
            "body": {
                "from": "amount", "type": "numeric(12,2)", "steps": [{"round": {"scale": 2, "mode": "half_even"}}],
            },
        },
    ],
    CodeList: [
        {
            "label": "a code list",
            "body": {
                "version": "1.0.0",
                "description": "What each code stands for",
                "source": "who publishes the list, and where",
                "entries": {"A": "active", "C": "closed"},
            },
        }
    ],
    Calendar: [
        {
            "label": "a calendar",
            "body": {
                "version": "1.0.0",
                "description": "Days on which nobody works",
                "source": "who publishes the days, and where",
                "weekend": ["saturday", "sunday"],
                "first_day": "2026-01-01",
                "last_day": "2026-12-31",
                "holidays": {"2026-12-25": "Christmas Day"},
            },
        }
    ],
}  # fmt: skip
