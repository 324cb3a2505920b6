"""Turn pydantic's errors into findings with a line, a code and the nearest right name.

pydantic knows the path of a mistake, the document knows the line of a path; neither knows the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from syncline.core.findings import nearest
from syncline.core.strict_yaml import Document
from syncline.core.transforms.base import Check, Transform, Worded

Where = tuple[str | int, ...]


def tell(error: ValidationError, document: Document, kind: type[BaseModel]) -> None:
    """Add one finding per mistake that pydantic found in the document."""
    for mistake in error.errors(include_url=False, include_input=False):
        where = tuple(mistake["loc"])
        code, found, allowed, near = _said(mistake, where, kind)
        document.mistake(_in_file(where), code, found, allowed, near)


def _said(mistake: Any, where: Where, kind: type[BaseModel]) -> tuple[str, str, str, str]:
    last = where[-1] if where else ""
    match mistake["type"]:
        case "extra_forbidden":
            names = _allowed_names(kind, where[:-1])
            return "M01", f"unknown key '{last}'", f"one of: {', '.join(names)}", nearest(str(last), names)
        case "missing":
            return "M02", f"'{last}' is missing", "it has no default", ""
        case "union_tag_invalid":
            tag, words = mistake["ctx"]["tag"], _words(where)
            return "M01", f"unknown word '{tag}'", f"one of: {', '.join(words)}", nearest(tag, words)
        case "model_attributes_type" | "union_tag_not_found":
            return "M02", "not a step or check", "write `trim` or `{max_length: 40}`", ""
        case custom if custom.startswith("M") and custom[1:].isdigit():
            return custom, mistake["msg"], "", ""
        case _:
            return "M02", f"'{last}': {mistake['msg'].removeprefix('Value error, ')}", "", ""


def _words(where: Where) -> Iterable[str]:
    return sorted((Check if "checks" in where else Transform).known)


def _in_file(where: Where) -> Where:
    """pydantic names `from` by its alias already; only its marker of dict keys is not a path of the file."""
    return tuple(part for part in where if part != "[key]")


def _allowed_names(kind: type[BaseModel], where: Where) -> list[str]:
    """The keys that the model at a path allows."""
    model: type[BaseModel] = kind
    for part in where:
        model = _step_into(model, part) or model
    return [field.alias or name for name, field in model.model_fields.items() if name != "word"]


def _step_into(model: type[BaseModel], part: str | int) -> type[BaseModel] | None:
    for known in (Transform.known, Check.known):
        if isinstance(part, str) and part in known and not issubclass(model, Worded):
            field = next((f for n, f in model.model_fields.items() if (f.alias or n) == part), None)
            if field is None:
                return known[part]
    for name, field in model.model_fields.items():
        if part in (name, field.alias):
            return next(iter(_models_in(field.annotation)), None)
    return None


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]
