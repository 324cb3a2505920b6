"""What validators and models of ours refuse, said as JSON Schema: the part that pydantic cannot export by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from pydantic import BaseModel

from syncline.core import manifest, models
from syncline.core.field_values import Branch, Condition, Lookup
from syncline.core.manifest import Manifest, Tenancy
from syncline.core.mapping import BEGINNINGS, FieldMap
from syncline.core.references import Day
from syncline.core.transforms.base import Scalar
from syncline.core.types import CLOCKS, FAMILIES, MICROSECONDS, PRECISION_MAX, TypeName

Schema = dict[str, Any]
ANY_SCALAR: Schema = {"type": ["string", "number", "boolean"]}
SCALAR_OR_NULL: Schema = {"type": ["string", "number", "boolean", "null"]}

# --- what a validator of ours accepts, said as a schema -----------------------------------------------------------


def function_of(annotated: Any) -> Callable[..., Any]:
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
    function_of(models.Name): NAME,
    function_of(models.Table): _text(
        rf"{models.NAME.pattern}\.{models.NAME.pattern}", "a table with its schema: mdm.worker"
    ),
    function_of(models.Sentence): {
        "type": "string", "pattern": rf"^\s*\S[\s\S]{{{models.SENTENCE_MIN - 2},}}\S\s*$",
        "patternErrorMessage": "a sentence for whoever reviews the file",
    },
    function_of(models.Version): _text(
        models.VERSION.pattern.replace(r"\d", "[0-9]"), "three numbers: 1.2.0", examples=["1.0.0"]
    ),
    function_of(TypeName): _text(
        _types_pattern(), "a type: text, numeric(12,2), varchar(40), timestamptz, text[] ...",
        examples=list(TYPES_SHOWN),
        defaultSnippets=[{"label": name, "body": name} for name in FAMILIES if name not in TYPES_SHOWN],
    ),
    function_of(Scalar): ANY_SCALAR,
    function_of(Day): DAY,
    function_of(Condition): {
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
    function_of(manifest.MappingName): _text(models.NAME.pattern, "the stem of a file in include/mappings"),
    function_of(manifest.Contact): _text(
        manifest.MAIL.pattern, "an address, or the name of a team or role", maxLength=manifest.MAIL_MAX
    ),
    function_of(manifest.Cron): _text(
        r"\s*\S+(\s+\S+){4}\s*", "five fields: minute, hour, day of month, month, day of week"
    ),
    function_of(manifest.Zone): _text(manifest.ZONE, "a zone of the IANA database"),
    function_of(manifest.ClockRange): _text(manifest.CLOCK_RANGE.pattern, 'a range of the clock: "02:00-02:40"'),
    function_of(manifest.Contract): _text(manifest.CONTRACT.pattern, "https://... or a path below the project's root"),
}  # fmt: skip


# --- what concerns several keys of one file -----------------------------------------------------------------------


def one_of(names: tuple[str, ...], wanted: str) -> Schema:
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
