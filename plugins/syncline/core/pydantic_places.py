"""Turn pydantic's errors into findings with a line, a code and the nearest right name.

pydantic knows the path of a mistake, the document knows the line of a path; neither knows the other.
"""

from __future__ import annotations

from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from syncline.core.findings import nearest
from syncline.core.sensitive import is_secret_key
from syncline.core.strict_yaml import Document
from syncline.core.transforms.base import Check, Transform

Where = tuple[str | int, ...]
WORDS: dict[str | int, dict[str, Any]] = {"steps": Transform.known, "checks": Check.known}  # list of words -> its words
WANTED = {
    "int": "a whole number",
    "float": "a number",
    "string": "text; put it in quotes",
    "bool": "true or false",
    "tuple": "a list",
    "dict": "a mapping",
    "model": "a mapping",
}
SHOWN_MAX = 60


def tell(error: ValidationError, document: Document, kind: type[BaseModel]) -> None:
    """Add one finding per mistake that pydantic found in the document."""
    for mistake in error.errors(include_url=False):
        where = tuple(part for part in mistake["loc"] if part != "[key]")  # pydantic's marker of dict keys
        document.mistake(where, *_said(mistake, where, kind))


def _said(mistake: Any, where: Where, kind: type[BaseModel]) -> tuple[str, str, str, str]:
    """Code, what was found, what is allowed, the nearest right name."""
    last, given = where[-1] if where else "", mistake["input"]
    match mistake["type"]:
        case "extra_forbidden" if is_secret_key(str(last)):
            return "M21", f"the key '{last}' announces a secret", "files name connection ids, never secrets", ""
        case "extra_forbidden":
            names = _allowed_names(kind, where[:-1])
            allowed = f"one of: {', '.join(names)}" if names else "it takes no keys"
            return "M01", f"unknown key '{last}'", allowed, nearest(str(last), names)
        case "missing":
            return "M02", f"'{last}' is missing", "it has no default", ""
        case "union_tag_invalid":
            words = sorted(WORDS[where[-2]])
            tag = mistake["ctx"]["tag"]
            return "M01", f"unknown word '{tag[:SHOWN_MAX]}'", f"one of: {', '.join(words)}", nearest(tag, words)
        case "union_tag_not_found" | "model_attributes_type":
            return "M02", f"{_what(given)} is no item of {where[-2]}", "write `trim` or `{max_length: 40}`", ""
        case "literal_error":
            choices = [choice.strip("'") for choice in mistake["ctx"]["expected"].replace(" or ", ", ").split(", ")]
            near = nearest(given, choices) if isinstance(given, str) else ""
            return "M02", f"'{last}' is {_what(given)}", f"one of: {', '.join(choices)}", near
        case custom if custom.startswith("M") and custom[1:].isdigit():
            return custom, mistake["msg"], "", ""
        case simple if (wanted := WANTED.get(simple.split("_")[0])) and simple.endswith(
            ("_type", "_parsing", "_float")
        ):
            return "M02", f"'{last}' is {_what(given)}", wanted, ""
        case _:
            return "M02", f"'{last}': {mistake['msg'].removeprefix('Value error, ')}", "", ""


def _what(given: Any) -> str:
    """What stands in the file, in its author's words."""
    match given:
        case None:
            return "empty"
        case bool() | int() | float():
            return str(given).lower()
        case str():
            return f"'{given[:SHOWN_MAX]}'"
        case dict():
            return "a mapping"
        case _:
            return "a list"


def _allowed_names(kind: type[BaseModel], where: Where) -> list[str]:
    """The keys that the model at a path allows."""
    model: type[BaseModel] = kind
    is_key = False  # of a mapping whose keys are the author's own: a field may be named like a key of ours
    for before, part in zip(("", *where), where, strict=False):
        if isinstance(before, int):  # an item of steps or checks: its word
            model = Transform.known.get(str(part)) or Check.known.get(str(part)) or model
            continue
        fields = {field.alias or name: field for name, field in model.model_fields.items()}
        if is_key or part not in fields:
            is_key = False
            continue
        annotation = fields[str(part)].annotation
        is_key = get_origin(annotation) is dict
        model = next(iter(_models_in(annotation)), model)
    return [field.alias or name for name, field in model.model_fields.items() if name != "word"]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]
