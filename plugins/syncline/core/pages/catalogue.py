"""The reference pages docs/transforms.md and docs/manifests.md, made from the classes and models themselves.

A page that is written by hand says what was true when it was written. Here every word tells its docstring, its
parameters, its examples and the SQL it becomes, and every key of a file what its model says of it; `syncline
generate` writes the pages, a test compares them. Only the few sentences of introduction are written here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from psycopg import sql
from psycopg.sql import Composable
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from syncline.core import field_values, registry
from syncline.core.expressions import ExpressionRefused
from syncline.core.field_values import Beginning, Types
from syncline.core.files.codes import errors_page
from syncline.core.files.findings import printable
from syncline.core.files.strict_yaml import written
from syncline.core.mapping import BEGINNINGS, FieldMap
from syncline.core.pages.equality_page import equality_page
from syncline.core.pages.families_page import families_page
from syncline.core.pages.schema_rules import Schema
from syncline.core.pages.schemas import (
    example_value,
    first_sentence,
    paragraphs,
    schema_files,
    schemas,
    word_schema,
)
from syncline.core.pages.types_page import types_page
from syncline.core.reference_files import ProjectReferences
from syncline.core.references import References
from syncline.core.suites import generated_suites
from syncline.core.transforms import WORD_MODULES, AnyCheck, Step
from syncline.core.transforms.base import Check, NotApplicable, Row, Transform, Worded
from syncline.core.types import EVERY_FAMILY, PgType

MADE = "<!-- Made by `syncline generate`; change the classes and models, not this page. -->"
SQL_SHOWN = 600  # signs; a list of all currencies teaches nothing
# family -> the type that stands for it where types and SQL are shown
SHOWN_TYPES = {
    "text": "text", "boolean": "boolean", "number": "numeric", "float": "double precision", "money": "money",
    "date": "date", "time": "time", "timetz": "timetz", "timestamp": "timestamp", "timestamptz": "timestamptz",
    "interval": "interval", "uuid": "uuid", "json": "json", "jsonb": "jsonb", "bytea": "bytea", "inet": "inet",
    "array": "text[]",
}  # fmt: skip
FEW = 4  # so many types that a word does not take are named, rather than all that it takes

TRANSFORMS_INTRO = """\
# Words of the mapping language

A field of a mapping **begins** with something (a column, a constant, a lookup ...), goes through **steps** in order,
and its finished value must pass **checks**:

```yaml
bank_iban: {from: iban, type: text, steps: [{remove: " "}, upper], checks: [required, iban], pii: financial}
```

A word stands alone (`trim`), with the one value that it is mostly given (`{max_length: 40}`), or with its parameters
by name (`{round: {scale: 2, mode: half_even}}`). An editor that reads the schema named in the first line of a file
completes them all.

- **NULL** goes through every step as NULL and passes every check, unless the word says otherwise below.
- **A bad value never fails a batch.** A step that cannot do its work, or a check that does not hold, rejects the row:
  it becomes a dead letter with the code `<field>:<word>`.
- **Cost** is measured per million rows beside a plain column: *free* adds at most half of it, *light* at most three
  times it, *heavy* more. Many rows through a heavy word are worth a thought. A PostgreSQL session keeps 32 compiled
  patterns: a mapping with more different ones has them compiled for each row, at 20 times the price. `syncline
  explain` counts them.
- The SQL shown is what the first example becomes for a column `value`; other columns of the row stand in quotes too.
"""


def generated(root: Path) -> dict[str, str | None]:
    """Every generated file of a project: its path below the root -> what must stand there, None for nothing."""
    return {
        **schema_files(),
        **generated_suites(root),
        "docs/transforms.md": transforms_page(root),
        "docs/manifests.md": manifests_page(),
        "docs/types.md": types_page(),
        "docs/equality.md": equality_page(),
        "docs/errors.md": errors_page(),
        "docs/errors_sql.md": families_page(),
        "docs/registry.md": registry.page(registry.take_stock(root)),
    }


# --- words ----------------------------------------------------------------------------------------------------------


def transforms_page(root: Path) -> str:
    """The catalogue: an index by theme, then each beginning and each word."""
    references = ProjectReferences(root)
    themes = list(_themes())
    lines = [MADE, "", TRANSFORMS_INTRO, "", "## Index", ""]
    lines += ["| begins with | gives | what it does |", "|---|---|---|", *_index_of_beginnings(), ""]
    for title, words in themes:
        lines += [f"**{title}**", "", "| word | takes | gives | cost | what it does |", "|---|---|---|---|---|"]
        lines += [_index_line(kind, references) for kind in words]
        lines.append("")
    lines += ["## Beginnings", "", *_beginnings()]
    for title, words in themes:
        lines += [f"## {title}", ""]
        for kind in words:
            lines += [*_word_section(kind, references), ""]
    return _page(lines)


def _page(lines: list[str]) -> str:
    text = "\n".join(line.rstrip() for line in lines)
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text.strip("\n") + "\n"


def _known() -> Iterator[type[Worded]]:
    yield from Transform.known.values()
    yield from Check.known.values()


def _themes() -> Iterator[tuple[str, list[type[Worded]]]]:
    """Title and words of each module, in the order in which the modules are listed."""
    modules: dict[str, Any] = {module.__name__: module for module in WORD_MODULES}
    for kind in _known():
        if kind.__module__ not in modules:
            raise LookupError(f"{kind.__module__} has words and is not in WORD_MODULES")
    for name, module in modules.items():
        words = [kind for kind in _known() if kind.__module__ == name]
        if words:
            yield _title(module), words


def _title(module: Any) -> str:
    """`Steps on text: trimming, ...` -> `Steps on text`."""
    return first_sentence(module.__doc__ or module.__name__).split(":")[0].rstrip(".")


def word_of(kind: type[Worded]) -> str:
    word: str = kind.model_fields["word"].default
    return word


def _is_step(kind: type[Worded]) -> bool:
    return issubclass(kind, Transform)


def made(kind: type[Worded], example: str, references: References) -> Worded:
    """An example of a word as the word; raises ValidationError where it is none."""
    adapter: TypeAdapter[Any] = TypeAdapter(Step if _is_step(kind) else AnyCheck)
    word: Worded = adapter.validate_python(example_value(example), context=references)
    return word


def _first(kind: type[Worded], references: References) -> Worded | None:
    """The word as its first example has it, or alone; None where the project lacks what it names."""
    try:
        return made(kind, kind.examples[0] if kind.examples else word_of(kind), references)
    except (ValidationError, PydanticCustomError):
        return None


def _takes(kind: type[Worded]) -> str:
    left_out = [family for family in EVERY_FAMILY if family not in kind.takes]
    if len(left_out) > FEW:
        return ", ".join(kind.takes)
    return f"anything but {', '.join(left_out)}" if left_out else "anything"


def _gives(kind: type[Worded], word: Worded | None) -> str:
    """What comes out: of a check the value as it is, of a step the type for each type that goes in."""
    if not isinstance(word, Transform):
        return "" if not _is_step(kind) else "?"
    found: dict[str, str] = {}
    for family in kind.takes:
        given = PgType.parse(SHOWN_TYPES[family]).as_read
        try:
            found[str(given)] = str(word.gives(given))
        except NotApplicable:
            continue
    if all(given == result for given, result in found.items()):
        return "the same type"
    return ", ".join(dict.fromkeys(found.values()))


def _index_line(kind: type[Worded], references: References) -> str:
    word = word_of(kind)
    gives = _gives(kind, _first(kind, references)) if _is_step(kind) else "(check)"
    line = _cell(first_sentence(kind.__doc__ or ""))
    return f"| [`{word}`](#{anchor(kind)}) | {_takes(kind)} | {gives} | {kind.cost} | {line} |"


def heading(kind: type[Worded]) -> str:
    """The heading of a word's section: the word, and what it is where it is a beginning or a step as well."""
    word, is_step = word_of(kind), _is_step(kind)
    is_taken = word in _beginning_words() or (not is_step and word in Transform.known)
    return f"{word} ({'step' if is_step else 'check'})" if is_taken else word


def anchor(kind: type[Worded]) -> str:
    """The link to a word's section, as the renderers of Markdown make it from the heading."""
    return heading(kind).replace(" (", "-").replace(")", "")


def _word_section(kind: type[Worded], references: References) -> Iterator[str]:
    word = _first(kind, references)
    yield from (f"### {heading(kind)}", "", *_spaced(paragraphs(kind.__doc__ or "")))
    takes = word_schema(kind)["properties"]
    facts = [f"Takes {_takes(kind)}"]
    if _is_step(kind):
        facts.append(f"gives {_gives(kind, word)}")
    yield f"{', '.join(facts)}. Cost: {kind.cost}.{_error(kind)}{_server(kind)}"
    yield ""
    if takes:
        yield from _parameters(kind, takes)
    if kind.examples:
        yield from ("```yaml", f"{'steps' if _is_step(kind) else 'checks'}:", *(f"  - {e}" for e in kind.examples))
        yield from ("```", "")
    if word is not None and (shown := word_sql(word)):
        yield from ("```sql", shown, "```", "")


def _spaced(said: list[str]) -> Iterator[str]:
    for part in said:
        yield from (part, "")


def _error(kind: type[Worded]) -> str:
    if not _is_step(kind):
        return f" What it refuses is the error `{word_of(kind)}` of its row."
    may_reject = getattr(kind, "may_reject", False)
    return f" What it cannot take is the error `{word_of(kind)}` of its row." if may_reject else ""


def _server(kind: type[Worded]) -> str:
    default = Worded.server_min
    return f" Needs PostgreSQL {kind.server_min}." if kind.server_min > default else ""


def _parameters(kind: type[Worded], takes: Schema) -> Iterator[str]:
    required = word_schema(kind).get("required", ())
    yield from ("| parameter | what it may be | default | meaning |", "|---|---|---|---|")
    for name, schema in takes.items():
        short = " (may stand alone)" if name == kind.shorthand else ""
        default = "" if name in required else _default(schema)
        yield f"| `{name}`{short} | {kind_of(schema)} | {default} | {_cell(schema.get('description', ''))} |"
    yield ""


def word_sql(word: Worded) -> str:
    """The SQL that a word becomes for a column `value`; '' where its first type does not fit it."""
    for family in word.takes:
        given = PgType.parse(SHOWN_TYPES[family]).as_read
        for other in ("text", "date", "numeric", SHOWN_TYPES[family]):
            row = Row({name: sql.Identifier(name) for name in word.reads},
                      dict.fromkeys(word.reads, PgType.parse(other)))  # fmt: skip
            try:
                if isinstance(word, Transform):
                    word.require_row(row.types)
                    word.gives(given)
                    return _shown(word.sql_in(sql.Identifier("value"), given, row))
                if isinstance(word, Check):
                    word.require(given)
                    word.require_row(row.types)
                    return _shown(word.fails_in(sql.Identifier("value"), given, row))
            except NotApplicable:
                continue
    return ""


def _shown(composed: Composable) -> str:
    text = printable(re.sub(r"\n\s*", " ", composed.as_string(None).strip()))
    return text if len(text) <= SQL_SHOWN else f"{text[:SQL_SHOWN]} ...  -- {len(text):,} signs in all"


# --- beginnings -----------------------------------------------------------------------------------------------------

SAMPLE_TYPES: Types = {
    "given_name": PgType.parse("text"), "family_name": PgType.parse("text"), "nick": PgType.parse("text"),
    "status_code": PgType.parse("text"), "amount": PgType.parse("numeric(14,4)"), "tenant_id": PgType.parse("text"),
    "organisation_id": PgType.parse("text"), "worker_id": PgType.parse("text"),
}  # fmt: skip
# word of a beginning -> class whose docstring tells of it, an example of a field, type of what it gives
BEGINNING_EXAMPLES: dict[str, tuple[type, dict[str, Any]]] = {
    "from": (field_values.Column, {"from": "given_name", "type": "text"}),
    "constant": (field_values.Constant, {"constant": "mdm", "type": "text"}),
    "concat": (field_values.Concat, {"concat": {"columns": ["given_name", "family_name"]}, "type": "text"}),
    "coalesce": (field_values.Coalesce, {"coalesce": ["nick", "given_name"], "type": "text"}),
    "lookup": (
        field_values.Lookup,
        {
            "lookup": {
                "table": "mdm.organisation",
                "match": {"tenant_id": "tenant_id", "organisation_id": "organisation_id"},
                "take": "legal_name",
            },
            "type": "text",
        },
    ),
    "when": (
        field_values.When,
        {
            "when": [{"if": {"status_code": ["ACT", "LOA"]}, "then": {"constant": "employed"}}],
            "otherwise": {"constant": "left"},
            "type": "text",
        },
    ),
    "expression": (field_values.Computed, {"expression": "amount * 12", "type": "numeric"}),
    "json_object": (
        field_values.JsonObject,
        {"json_object": {"given": "given_name", "family": "family_name"}, "type": "jsonb"},
    ),
    "array": (field_values.ArrayOf, {"array": ["given_name", "family_name"], "type": "text[]"}),
    "surrogate_key": (
        field_values.SurrogateKey,
        {"surrogate_key": {"columns": ["tenant_id", "worker_id"], "namespace": "worker"}, "type": "uuid"},
    ),
}
MORE_ABOUT = {"expression": "The language of expressions is told in [expressions.md](expressions.md)."}
BEGINNING_GIVES = {
    "from": "the column's type", "constant": "the field's type", "coalesce": "the columns' type",
    "lookup": "`take_type`", "when": "the field's type", "expression": "what it computes", "array": "an array",
}  # fmt: skip


def beginning(word: str) -> Beginning:
    """The example of a beginning, read as a mapping would."""
    return FieldMap.model_validate(BEGINNING_EXAMPLES[word][1]).begins


def _beginning_words() -> list[str]:
    return [name.rstrip("_") for name in BEGINNINGS]


def _index_of_beginnings() -> Iterator[str]:
    for word in _beginning_words():
        kind, said = BEGINNING_EXAMPLES[word]
        gives = BEGINNING_GIVES.get(word) or said["type"]
        yield f"| [`{word}`](#{word}) | {gives} | {_cell(first_sentence(kind.__doc__ or ''))} |"


def _beginnings() -> Iterator[str]:
    fields = schemas()["mapping"]["properties"]["fields"]["additionalProperties"]["properties"]
    for word in _beginning_words():
        kind, said = BEGINNING_EXAMPLES[word]
        yield from (f"### {word}", "", *_spaced(paragraphs(kind.__doc__ or "")))
        if word in MORE_ABOUT:
            yield from (MORE_ABOUT[word], "")
        yield from _keys_table(fields[word], ())
        yield from ("```yaml", *_as_yaml({"field": said}), "```", "")
        if shown := _beginning_sql(word, said):
            yield from ("```sql", shown, "```", "")


def _beginning_sql(word: str, said: dict[str, Any]) -> str:
    """Its SQL over the sample columns; a lookup is a join, which no expression shows."""
    begins = beginning(word)
    if word in ("lookup", "from"):
        return ""
    row = Row({name: sql.Identifier(name) for name in SAMPLE_TYPES}, SAMPLE_TYPES)
    try:
        return _shown(begins.sql(row, begins.gives(SAMPLE_TYPES, PgType.parse(said["type"]))))
    except (NotApplicable, ExpressionRefused, NotImplementedError):
        return ""


# --- keys of files --------------------------------------------------------------------------------------------------

MANIFESTS_INTRO = """\
# Keys of manifests and mappings

A job is two files. The **manifest** `include/manifests/<job>.yaml` is the agreement between the team that owns a
source and the team that owns its copy; `<job>` is `<source>__<target>__<entity>`. The **mapping**
`include/mappings/<name>.yaml` says how each column of the target comes from columns of the source. Mappings may name
**code lists** and **calendars**, data that changes on other days and for other reasons than a mapping.

A key that is not listed here is an error. So is a value that can be read in two ways (`NO`, `010`, `12:30:45`): quote
it. `syncline check` tells every mistake of all files at once, with its line. The first line of a file names its schema,
and an editor that reads it completes keys, words and values.

A *name* is written in a-z, 0-9 and `_`, does not begin with a digit, and has at most 63 characters. A key whose default
is empty must be there; *none* means that it may be left out.
"""
FILES_SHOWN = {
    "manifest": "## Manifest", "mapping": "## Mapping", "code_list": "## Code list", "calendar": "## Calendar",
}  # fmt: skip
WORDS_SHOWN = {
    "steps": "[steps](transforms.md#index)", "checks": "[checks](transforms.md#index)", "equal": "[words](equality.md)",
}  # fmt: skip


def manifests_page() -> str:
    """Every key of every file."""
    lines = [MADE, "", MANIFESTS_INTRO, ""]
    for name, schema in schemas().items():
        lines += [FILES_SHOWN[name], "", *_spaced(schema["description"].split("\n\n")), *_keys_table(schema, ())]
        for snippet in schema.get("defaultSnippets", ()):
            lines += ["```yaml", *_as_yaml(snippet["body"]), "```", ""]
        lines += list(_nested(schema, (), name))
    return _page(lines)


def _nested(schema: Schema, path: tuple[str, ...], file: str) -> Iterator[str]:
    """The tables of the objects below, each under its own heading."""
    for key, item in schema.get("properties", {}).items():
        for inner, below in _objects_in(item, (*path, key)):
            yield from (f"### {file}: `{'.'.join(below)}`", "", *_spaced(inner.get("description", "").split("\n\n")))
            yield from _keys_table(inner, ())
            if file == "mapping" and below == ("fields", "<name>"):
                continue  # its own objects are beginnings: told in transforms.md
            yield from _nested(inner, below, file)


def _objects_in(schema: Schema, path: tuple[str, ...]) -> Iterator[tuple[Schema, tuple[str, ...]]]:
    """The objects with keys of their own that a value is, or holds."""
    if schema.get("properties"):
        yield schema, path
    elif isinstance(values := schema.get("additionalProperties"), dict):
        choices = [values] if values.get("properties") else values.get("anyOf", ())
        yield from (
            (choice, (*path, "<name>")) for choice in choices if isinstance(choice, dict) and choice.get("properties")
        )


def _keys_table(schema: Schema, path: tuple[str, ...]) -> Iterator[str]:
    keys = schema.get("properties", {})
    if not keys:
        return
    is_free = {name for rule in schema.get("anyOf", ()) for name in rule.get("required", ())}  # one of them
    yield from ("| key | what it may be | default | meaning | example |", "|---|---|---|---|---|")
    for key, item in keys.items():
        must = key in schema.get("required", ())
        default = "" if must else ("one of these" if key in is_free else _default(item, key))
        meaning = _cell(item.get("description", "").split("\n\n")[0]) + _meanings(item)
        what = WORDS_SHOWN.get(key) or kind_of(item)
        yield f"| `{'.'.join((*path, key))}` | {what} | {default} | {meaning} | {_example(item)} |"
    yield ""


def _meanings(schema: Schema) -> str:
    told = schema.get("enumDescriptions")
    if not told:
        return ""
    return ". " + "; ".join(f"`{value}`: {meaning}" for value, meaning in zip(schema["enum"], told, strict=True))


def _example(schema: Schema) -> str:
    return "".join(f"`{written(example)}`" for example in schema.get("examples", ())[:1])


def _default(schema: Schema, key: str = "") -> str:
    if schema.get("properties") and key not in WORDS_SHOWN:
        return "as below"
    return f"`{written(schema['default'])}`" if "default" in schema else "none"


def kind_of(schema: Schema) -> str:
    """What a schema allows, in a few words of a table."""
    if "enum" in schema:
        return ", ".join(f"`{written(value)}`" for value in schema["enum"] if value is not None)
    if "const" in schema:
        return f"`{written(schema['const'])}`"
    if "anyOf" in schema and "properties" not in schema:
        return " or ".join(dict.fromkeys(kind_of(choice) for choice in schema["anyOf"] if choice.get("type") != "null"))
    kinds = schema.get("type", "anything")
    kinds = [kind for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null"]
    return " or ".join(KINDS[kind](schema) if kind in KINDS else kind for kind in kinds)


def _number(schema: Schema, noun: str) -> str:
    match schema:
        case {"minimum": low, "maximum": high}:
            return f"{noun}, {low:,} to {high:,}"
        case {"minimum": low}:
            return f"{noun}, at least {low:,}"
        case {"maximum": high}:
            return f"{noun}, at most {high:,}"
    return noun


def _of_text(schema: Schema) -> str:
    if "patternErrorMessage" in schema:
        return str(_cell(schema["patternErrorMessage"].split(": ")[0]))
    if "minLength" in schema and schema["minLength"] > 1:
        return f"text of {schema['minLength']} signs or more"
    return "text"


def _of_object(schema: Schema) -> str:
    values = schema.get("additionalProperties")
    if schema.get("properties") or not isinstance(values, dict):
        return "a mapping"
    return f"a mapping: name -> {kind_of(values)}" if values else "a mapping"


def _of_list(schema: Schema) -> str:
    items = schema.get("items") or {}
    return f"a list: {kind_of(items)}" if items and "$ref" not in items else "a list"


KINDS = {
    "string": _of_text,
    "integer": lambda schema: _number(schema, "whole number"),
    "number": lambda schema: _number(schema, "number"),
    "boolean": lambda schema: "true or false",
    "object": _of_object,
    "array": _of_list,
}


# --- text -----------------------------------------------------------------------------------------------------------


def _cell(text: str) -> str:
    """Text in a cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def _as_yaml(value: dict[str, Any], indent: str = "") -> Iterator[str]:
    """A mapping as lines of YAML: small values in flow style, as people write them."""
    for key, item in value.items():
        line = f"{indent}{written(key)}: {written(item)}"
        if (
            isinstance(item, dict)
            and (len(line) > 100 or not indent)
            and any(isinstance(i, dict | list) for i in item.values())
        ):
            yield f"{indent}{written(key)}:"
            yield from _as_yaml(item, indent + "  ")
        else:
            yield line
