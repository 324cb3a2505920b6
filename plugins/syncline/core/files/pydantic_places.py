"""Turn pydantic's errors into findings with a line, a code and the nearest right name.

pydantic knows the path of a mistake, the document knows the line of a path; neither knows the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from syncline.core.files.documents import Document, Where
from syncline.core.files.findings import KEY, nearest
from syncline.core.files.strict_yaml import written
from syncline.core.mapping import BEGINNINGS
from syncline.core.sensitive import is_secret_key
from syncline.core.transforms.base import Check, Transform
from syncline.core.types import PgType

WANTED = {
    "int": "a whole number",
    "float": "a number",
    "string": "text",
    "bool": "true or false",
    "tuple": "a list",
    "dict": "a mapping",
    "model": "a mapping",
}
OF_THE_READER = {"M06", "M09", "M16"}  # strict_yaml.py tells them of one value
FINDINGS = "findings"  # in a mistake's context: those of another file, because of which the value is refused
FORMS: dict[str, type] = {"dict": dict, "str": str}  # where a value may be either, as pydantic calls them
EITHER_FORM = "a mapping of columns to their values, or an expression as text"
SHOWN_MAX = 60
QUOTED = re.compile(r"'([^']*)'")  # how pydantic lists what it expects
WORDS_MAX = 20  # where more are known and one is near, the others are no help
# Where a word of the mapping language belongs, if not where it stands.
BELONGS = (
    ("checks", Check.known, "is a check: write it under `checks`"),
    ("steps", Transform.known, "is a step: write it under `steps`"),
    ("", {word.rstrip("_") for word in BEGINNINGS}, "begins a field: write it beside `type`"),
)
Said = tuple[str, str, str, str]  # code, what was found, what is allowed, the nearest right name


def tell(error: ValidationError, document: Document, kind: type[BaseModel]) -> None:
    """Add one finding per mistake that pydantic found in the document.

    Where the reader refused the value, nobody knows what it is: no second mistake is told of it. Where a value names
    a file that has mistakes, they are told too.
    """
    refused = {(finding.line, finding.column) for finding in document.findings if finding.code in OF_THE_READER}
    for mistake in _own(error.errors(include_url=False), document, kind):
        where = _in_document(mistake["loc"], document)
        is_about_key = where[-1:] == (KEY,) and where not in document.values
        said = _said(mistake, where[:-1] if is_about_key else where, kind)
        told_at = where if is_about_key else _told_at(mistake, where)
        if document.place(told_at) in refused:
            continue
        context = mistake.get("ctx", {})
        document.findings += [other for other in context.get(FINDINGS, ()) if other not in document.findings]
        document.mistake(told_at, *said, offset=context.get("offset"), length=context.get("length", 1))


def _own(mistakes: list[Any], document: Document, kind: type[BaseModel]) -> Iterator[Any]:
    """The mistakes without those that only follow from another one."""
    strangers = [mistake["loc"] for mistake in mistakes if mistake["type"] == "extra_forbidden"]
    said: set[Where] = set()  # places of which one form of several is told
    for mistake in mistakes:
        where, given = mistake["loc"], mistake["input"]
        match mistake["type"]:
            case "too_short" if len(given) >= mistake["ctx"]["min_length"]:
                continue  # pydantic counts the items that are right
            case "missing" if any(_is_meant(stranger, where, document, kind) for stranger in strangers):
                continue
        if (at := _form_at(where, document)) is not None:
            held = _held(document.data, where[:at])
            if isinstance(held, FORMS[_form_name(where[at])]):
                yield {**mistake, "loc": where[:at] + where[at + 1 :]}
            elif not isinstance(held, dict | str) and where[:at] not in said:
                said.add(where[:at])
                yield {**mistake, "loc": where[:at], "type": "any_form_type"}
        else:
            yield mistake


def _is_meant(stranger: Where, missing: Where, document: Document, kind: type[BaseModel]) -> bool:
    """Whether the unknown key is the missing one, misspelt."""
    if stranger[:-1] != missing[:-1]:
        return False
    names = _allowed_names(kind, _in_document(stranger, document)[:-1])
    return nearest(str(stranger[-1]), names) == missing[-1]


def _form_at(where: Where, document: Document) -> int | None:
    """Where in a path pydantic says which of several forms it tried: `str`, `dict[...]`."""
    for n, part in enumerate(where):
        if _form_name(part) in FORMS and _in_document(where[: n + 1], document) not in document.values:
            return n
    return None


def _form_name(part: str | int) -> str:
    return str(part).split("[")[0]


def _held(data: Any, where: Where) -> Any:
    """What stands at a path of the model; the parts that only the model has are passed over."""
    for part in where:
        if isinstance(data, dict):
            data = data.get(part, data)
        elif isinstance(data, list) and isinstance(part, int):
            data = data[part]
    return data


def tell_empties(document: Document) -> None:
    """Add one finding per place with nothing in it that no mistake was told of: a forgotten value shall not be null."""
    told = {(finding.line, finding.column) for finding in document.findings if finding.path == document.path}
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
            return "M02", f"'{last}' is missing", _form(kind, where), ""
        case "union_tag_invalid":
            words = sorted(QUOTED.findall(mistake["ctx"]["expected_tags"]))
            return _unknown_word(str(mistake["ctx"]["tag"]), words, where)
        case "union_tag_not_found" | "model_attributes_type" if isinstance(last, int):
            return "M02", f"{_what(given)} is no item of {_list_name(where)}", "write `trim` or `{max_length: 40}`", ""
        case "literal_error":
            choices = QUOTED.findall(mistake["ctx"]["expected"])
            near = nearest(given, choices) if isinstance(given, str) else ""
            return "M02", f"{_named(where)} is {_what(given)}", f"one of: {', '.join(choices)}", near
        case custom if re.fullmatch(r"M\d\d", custom):
            context = mistake.get("ctx", {})
            if custom == "M13" and (where[:1] == ("source",) or where[-1:] == ("from",)):
                return custom, f"{mistake['msg']}; a view of the source gives what is spelt otherwise a name", "", ""
            return custom, mistake["msg"], str(context.get("allowed", "")), str(context.get("nearest", ""))
        case simple if (wanted := WANTED.get(simple.split("_")[0])) and simple.endswith(
            ("_type", "_parsing", "_float")
        ):
            return "M02", f"{_named(where)} is {_what(given)}", wanted + _instead(wanted, given, kind, where), ""
        case "any_form_type":
            return "M02", f"{_named(where)} is {_what(given)}", EITHER_FORM, ""
        case "too_short" | "too_long":
            count = "no items" if not given else _items(len(given))
            return "M02", f"{_named(where)} has {count}", _limit(mistake), ""
        case _:
            return "M02", f"{_named(where)} is {_what(given)}", _limit(mistake), ""


def _instead(wanted: str, given: Any, kind: type[BaseModel], where: Where) -> str:
    """What to write, where something else was wanted."""
    match wanted, given:
        case "text", int() | float():
            return "; put it in quotes"
        case "a list", str() | int() | float():
            return f": {written([given])}"
        case "a list", dict():
            return ": put it in [ ]"
        case "a mapping", _ if form := _form(kind, where):
            return f"; {form}"
    return ""


def _unknown_word(word: str, words: list[str], where: Where) -> Said:
    for key, known, said in BELONGS:
        if word in known and key not in where:
            return "M01", f"'{word}' {said.split(':')[0]}", said.split(": ")[1], ""
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


def _limit(mistake: Any) -> str:
    """What a limit allows."""
    match mistake["type"], mistake.get("ctx", {}):
        case "greater_than_equal", {"ge": least}:
            return f"at least {_plain(least)}"
        case "less_than_equal", {"le": most}:
            return f"at most {_plain(most)}"
        case "greater_than", {"gt": bound}:
            return f"more than {_plain(bound)}"
        case "less_than", {"lt": bound}:
            return f"less than {_plain(bound)}"
        case "too_short", {"min_length": least}:
            return f"at least {_items(least)}"
        case "too_long", {"max_length": most}:
            return f"at most {_items(most)}"
        case "string_too_short", {"min_length": least}:
            return f"at least {least} character{'s' * (least > 1)}"
        case "string_too_long", {"max_length": most}:
            return f"at most {most} characters"
    return str(mistake["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")


def _plain(number: float) -> str:
    return str(int(number) if float(number).is_integer() else number)


def _items(count: int) -> str:
    return "1 item" if count == 1 else f"{count} items"


def _form(kind: type[BaseModel], where: Where) -> str:
    """How the key at a path is written, by the examples of its model; else what it is for."""
    found = [item for model in _models_at(kind, where[:-1]) for name, item in _infos(model) if name == where[-1]]
    for item in found:
        if choices := [choice for choice in get_args(item.annotation) if get_origin(item.annotation) is Literal]:
            return f"one of: {', '.join(map(str, choices))}"
        if examples := _examples(item):
            return f"write {where[-1]}: {', or '.join(map(written, examples))}"
    return next((item.description for item in found if item.description), "")


def _examples(item: FieldInfo) -> list[Any]:
    """What may stand under a key: its own example, or one made of the keys below it; several where one is enough."""
    if item.examples:
        return item.examples[:1]
    if item.annotation is PgType:
        return ["text"]
    below = [_below(model) for model in _models_in(item.annotation) if get_origin(item.annotation) is None]
    return below[0] if below else []


def _below(model: type[BaseModel]) -> list[Any]:
    shown = {name: _examples(item) for name, item in _infos(model)}
    must = [name for name, item in _infos(model) if item.is_required()]
    if not must:
        return [{name: examples[0]} for name, examples in shown.items() if examples]
    return [{name: shown[name][0] for name in must}] if all(shown[name] for name in must) else []


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
    models = _models_at(kind, where)
    return list(dict.fromkeys(name for model in models for name, _ in _infos(model) if name != "word"))


def _models_at(kind: type[BaseModel], where: Where) -> list[type[BaseModel]]:
    """The models that may stand at a path."""
    models: list[type[BaseModel]] = [kind]
    is_key = False  # of a mapping whose keys are the author's own: a field may be named like a key of ours
    for part in where:
        found = [item.annotation for model in models for name, item in _infos(model) if name == part and not is_key]
        if found:
            is_key = any(_is_free(annotation) for annotation in found)
            models = [model for annotation in found for model in _models_in(annotation)] or models
        elif not isinstance(part, int):  # a key of the author's own, or the word that says which item this is
            models = [model for model in models if _word_of(model) == part] or models
            is_key = False
    return models


def _infos(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    """The keys of a model as files write them, and what stands under them."""
    return ((field.alias or name, field) for name, field in model.model_fields.items())


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
