"""Turn pydantic's errors into findings with a line, a code and the nearest right name.

pydantic knows the path of a mistake, the document knows the line of a path; neither knows the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from syncline.core.files.documents import Document, Where
from syncline.core.files.findings import KEY, nearest
from syncline.core.sensitive import is_secret_key

WANTED = {
    "int": "a whole number",
    "float": "a number",
    "string": "text",
    "bool": "true or false",
    "tuple": "a list",
    "dict": "a mapping",
    "model": "a mapping",
}
SHOWN_MAX = 60
QUOTED = re.compile(r"'([^']*)'")  # how pydantic lists what it expects
WORDS_MAX = 20  # where more are known and one is near, the others are no help
Said = tuple[str, str, str, str]  # code, what was found, what is allowed, the nearest right name


def tell(error: ValidationError, document: Document, kind: type[BaseModel]) -> None:
    """Add one finding per mistake that pydantic found in the document."""
    for mistake in error.errors(include_url=False):
        where = _in_document(mistake["loc"], document)
        is_about_key = where[-1:] == (KEY,) and where not in document.values
        said = _said(mistake, where[:-1] if is_about_key else where, kind)
        context = mistake.get("ctx", {})
        document.mistake(
            where if is_about_key else _told_at(mistake, where), *said,
            offset=context.get("offset"), length=context.get("length", 1),
        )  # fmt: skip


def tell_empties(document: Document) -> None:
    """Add one finding per place with nothing in it that no mistake was told of: a forgotten value shall not be null."""
    told = {(finding.line, finding.column) for finding in document.findings}
    for where in document.empties:
        if document.place(where) not in told:
            name = next(f"'{part[:SHOWN_MAX]}'" for part in reversed(where) if isinstance(part, str))
            said = f"{name} is empty" if isinstance(where[-1], str) else f"an item of {name} is empty"
            document.mistake(where, "M02", said, "write null where null is meant; else its value, or leave it out")


def sound_part(error: ValidationError, data: dict[str, Any], of: str) -> dict[str, Any] | None:
    """The data without those items of its mapping `of` that have mistakes; None where something else has one too.

    What only a whole document can tell is then told of the sound items, in the same report.
    """
    places = [mistake["loc"] for mistake in error.errors(include_url=False)]
    spoilt = {place[1] if place[:1] == (of,) and len(place) > 1 else None for place in places}
    items = data.get(of)
    if None in spoilt or not isinstance(items, dict) or spoilt >= items.keys():
        return None
    return {**data, of: {name: item for name, item in items.items() if name not in spoilt}}


def _in_document(where: Where, document: Document) -> Where:
    """The path without the parts that only the model has: `{truncate: 3}` holds no `length` that is written."""
    while where[:-1] and where not in document.values:
        for n in range(len(where) - 1):
            if where[: n + 1] not in document.values and (*where[:n], where[n + 1]) in document.values:
                where = where[:n] + where[n + 1 :]
                break
        else:
            break
    return where


def _told_at(mistake: Any, where: Where) -> Where:
    """The path that is underlined: a name that is not known is a key, not what stands under it."""
    match mistake["type"]:
        case "extra_forbidden":
            return (*where, KEY)
        case "union_tag_invalid":
            return (*where, mistake["ctx"]["tag"], KEY)
        case _:
            return where


def _said(mistake: Any, where: Where, kind: type[BaseModel]) -> Said:
    last, given = where[-1] if where else "", mistake["input"]
    match mistake["type"]:
        case "extra_forbidden" if is_secret_key(str(last)):
            return "M21", f"the key '{last}' announces a secret", "files name connection ids, never secrets", ""
        case "extra_forbidden":
            names = _allowed_names(kind, where[:-1])
            allowed = f"one of: {', '.join(names)}" if names else "it takes no keys"
            return "M01", f"unknown key '{str(last)[:SHOWN_MAX]}'", allowed, nearest(str(last), names)
        case "missing":
            return "M02", f"'{last}' is missing", "it has no default", ""
        case "union_tag_invalid":
            words = sorted(QUOTED.findall(mistake["ctx"]["expected_tags"]))
            return _unknown_word(str(mistake["ctx"]["tag"]), words)
        case "union_tag_not_found" | "model_attributes_type" if isinstance(last, int):
            return "M02", f"{_what(given)} is no item of {_list_name(where)}", "write `trim` or `{max_length: 40}`", ""
        case "literal_error":
            choices = QUOTED.findall(mistake["ctx"]["expected"])
            near = nearest(given, choices) if isinstance(given, str) else ""
            return "M02", f"{_named(where)} is {_what(given)}", f"one of: {', '.join(choices)}", near
        case custom if re.fullmatch(r"M\d\d", custom):
            context = mistake.get("ctx", {})
            return custom, mistake["msg"], str(context.get("allowed", "")), str(context.get("nearest", ""))
        case simple if (wanted := WANTED.get(simple.split("_")[0])) and simple.endswith(
            ("_type", "_parsing", "_float")
        ):
            quotes = "; put it in quotes" if wanted == "text" and isinstance(given, int | float) else ""
            return "M02", f"{_named(where)} is {_what(given)}", wanted + quotes, ""
        case _:
            return "M02", f"{_named(where)} is {_what(given)}", _limit(mistake["msg"]), ""


def _unknown_word(word: str, words: list[str]) -> Said:
    near = nearest(word, words)
    allowed = f"one of: {', '.join(words)}"
    if near and len(words) > WORDS_MAX:
        allowed = f"docs/transforms.md lists the {len(words)} that are known here"
    return "M01", f"unknown word '{word[:SHOWN_MAX]}'", allowed, near


def _named(where: Where) -> str:
    """The key that a mistake is about, or the item of a list."""
    if not where:
        return "the file"
    last = where[-1]
    return f"item {last + 1} of {_list_name(where)}" if isinstance(last, int) else f"'{str(last)[:SHOWN_MAX]}'"


def _list_name(where: Where) -> str:
    return next((f"'{part[:SHOWN_MAX]}'" for part in reversed(where) if isinstance(part, str)), "the list")


def _limit(message: str) -> str:
    """pydantic's sentence about a limit, as what is allowed."""
    said = message.removeprefix("Value error, ")
    for begin in ("Input should be ", "Value should ", "Tuple should ", "Dictionary should ", "String should "):
        if said.startswith(begin):
            return f"it should {'be ' if begin == 'Input should be ' else ''}{said.removeprefix(begin)}"
    return said


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
    models: list[type[BaseModel]] = [kind]
    is_key = False  # of a mapping whose keys are the author's own: a field may be named like a key of ours
    for part in where:
        found = [annotation for model in models for name, annotation in _fields(model) if name == part and not is_key]
        if found:
            is_key = any(_is_free(annotation) for annotation in found)
            models = [model for annotation in found for model in _models_in(annotation)] or models
        elif not isinstance(part, int):  # a key of the author's own, or the word that says which item this is
            models = [model for model in models if _word_of(model) == part] or models
            is_key = False
    return list(dict.fromkeys(name for model in models for name, _ in _fields(model) if name != "word"))


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    """The keys of a model as files write them, and what stands under them."""
    return ((field.alias or name, field.annotation) for name, field in model.model_fields.items())


def _word_of(model: type[BaseModel]) -> Any:
    word = model.model_fields.get("word")
    return word.default if word is not None else None


def _is_free(annotation: Any) -> bool:
    """Whether a mapping with keys of the author's own stands here."""
    return get_origin(annotation) is dict or any(_is_free(argument) for argument in get_args(annotation))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]
