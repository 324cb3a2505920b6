"""Read YAML the way a reviewer reads it, and remember where everything stands.

PyYAML's own constructors turn `NO` into False, `010` into 8, `12:30:45` into 45045 and `1.10` into 1.1, keep the
last of two equal keys and expand aliases without bound. Here a plain scalar is a string, unless it is plainly a
number, `true`, `false` or null; what could be read two ways is refused with "quote this value". Tags, anchors,
aliases, duplicate keys, several documents, tabs, invisible characters, Jinja and secrets are refused with their place.

The file is read as a stream of events, not as a tree: PyYAML builds trees by recursion in C, and 100,000 opening
brackets would end the whole process, not just this file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from syncline.core.findings import Finding
from syncline.core.sensitive import blotted, secrets_in

BYTES_MAX = 256 * 1024  # no manifest that people review is larger; a larger one stalls the parser
DEPTH_MAX = 20  # the deepest honest file has 8 levels

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml: 8 times faster

TRUTH = {"true": True, "false": False}
NOTHING = {"null", "~", ""}
INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")  # 18 digits fit every reader's integer
DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)\.([0-9]*[1-9]|0)")
DIGITS_EXACT = 15  # a float keeps that many decimal digits, whatever they are
# Plain scalars that YAML 1.1 readers and people read differently.
AMBIGUOUS = re.compile(
    r"(?i:yes|no|on|off|y|n)|True|TRUE|False|FALSE|Null|NULL"
    r"|[-+]?0[0-9]+|0[xob][0-9a-fA-F]+|\+[0-9]+|[0-9]+(:[0-9]{2})+(\.[0-9]+)?|-?[0-9]{19,}"
    r"|[-+]?[0-9_]*\.[0-9_]*|[-+]?[0-9.]+[eE][-+]?[0-9]+|[0-9]+_[0-9_]+|[-+]?\.(?i:inf|nan)"
)
# Control characters (a terminal obeys them), zero-width and bidi ones (a reviewer is shown something else), and
# line ends that only some readers see.
HIDDEN = re.compile(
    "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)


@dataclass
class Document:
    """A parsed file: plain data, and the line and column of every key path in it.

    `places` maps a path such as ("source", "key", 0) to its (line, column), counted from 1.
    """

    path: str
    data: Any = None
    places: dict[tuple[str | int, ...], tuple[int, int]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def place(self, where: tuple[str | int, ...]) -> tuple[int, int]:
        """Where a key path stands, or the nearest of its parents."""
        while where and where not in self.places:
            where = where[:-1]
        return self.places.get(where, (1, 1))

    def mistake(
        self, where: tuple[str | int, ...], code: str, found: str, allowed: str = "", nearest: str = ""
    ) -> None:
        self.mistake_at(self.place(where), code, found, allowed, nearest)

    def mistake_at(self, place: tuple[int, int], code: str, found: str, allowed: str = "", nearest: str = "") -> None:
        self.findings.append(Finding(self.path, *place, code, found, allowed, nearest))


def read(path: Path, shown_as: str) -> Document:
    """Read one file; mistakes are collected in `findings`, nothing is raised for a user's mistake."""
    document = Document(shown_as)
    text = _text(path, document)
    if text is not None:
        document.data = _parsed(_without_secrets(text, document), document)
    return document


def _text(path: Path, document: Document) -> str | None:
    try:
        if path.stat().st_size > BYTES_MAX:
            document.mistake((), "M23", "the file is larger than 256 KB", "split it, or keep data out of it")
            return None
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        document.mistake((), "M12", f"byte {error.start} is not UTF-8", "save the file as UTF-8")
        return None
    except OSError as error:
        document.mistake((), "M12", f"the file cannot be read ({error.strerror})")
        return None
    if hidden := HIDDEN.search(text):
        _refuse_hidden(document, _place_in(text, hidden.start()), hidden[0])
        return None
    return text


def _without_secrets(text: str, document: Document) -> str:
    spans = list(secrets_in(text))
    for begin, _ in spans:
        document.mistake_at(
            _place_in(text, begin), "M21", "this looks like a secret; it is not shown",
            "remove it, and change it where it is valid: files name connection ids, the operator keeps the secrets",
        )  # fmt: skip
    return blotted(text, spans)


def _place_in(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def _place_of(mark: Any) -> tuple[int, int]:
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)


def _refuse_hidden(document: Document, place: tuple[int, int], character: str) -> None:
    said = f"invisible character U+{ord(character):04X}"
    document.mistake_at(place, "M12", said, "remove it: control, zero-width and bidi characters, and BOM")


def _parsed(text: str, document: Document) -> Any:
    """The file's data; None when there is none, or when it cannot be read to its end."""
    try:
        return _Builder(document, yaml.parse(text, Loader=Loader)).file()
    except yaml.MarkedYAMLError as error:
        line, column = _place_of(error.problem_mark or error.context_mark)
        document.mistake_at((line, column), *_syntax(error, text, line))
    except yaml.YAMLError as error:  # the reader's errors carry no mark
        document.mistake((), "M12", f"not readable as YAML ({type(error).__name__})", "plain printable text")
    except _TooDeep as error:
        document.mistake_at(error.place, "M10", f"nested deeper than {DEPTH_MAX} levels", "a few levels")
    return None


def _syntax(error: yaml.MarkedYAMLError, text: str, line: int) -> tuple[str, str, str]:
    lines = text.splitlines()
    shown = lines[line - 1] if 0 < line <= len(lines) else ""
    if "alias" in str(error) or re.search(r":\s+\*", shown):
        if re.search(r"\*[\s/*\d]", shown):
            return "M07", "an unquoted `*`", 'quote cron expressions: cron: "15 1 * * *"'
        return "M10", "an alias", "anchors and aliases are not allowed: write the value out"
    if "\t" in shown:
        return "M12", "a tab", "indent with spaces"
    if start := re.search(r":\s+([@`%])", shown):
        return "M12", f"a value that begins with `{start[1]}`", "quote this value"
    return "M12", f"{error.problem or 'not readable as YAML'}", "see the line above it too"


class _TooDeep(Exception):
    def __init__(self, place: tuple[int, int]) -> None:
        self.place = place


class _Builder:
    """Events to plain data, remembering places and collecting what is refused."""

    def __init__(self, document: Document, events: Iterator[yaml.Event]) -> None:
        self.document, self.events = document, events

    def file(self) -> Any:
        next(self.events)  # the stream begins
        begin = next(self.events)
        if isinstance(begin, yaml.StreamEndEvent):
            self.document.mistake((), "M12", "the file is empty", "see docs/naming.md for a manifest to start from")
            return None
        first = next(self.events)
        data = self.build(first, ())
        next(self.events)  # the document ends
        more = next(self.events)
        if not isinstance(more, yaml.StreamEndEvent):
            place = _place_of(more.start_mark)
            self.document.mistake_at(place, "M12", "a second document begins here", "one document per file")
            return None
        if not isinstance(first, yaml.MappingStartEvent):
            self.document.mistake((), "M12", "the file is not a mapping", "a file starts with `key: value` lines")
            return None
        return data

    def build(self, event: yaml.Event, where: tuple[str | int, ...]) -> Any:
        place = _place_of(event.start_mark)
        self.document.places.setdefault(where, place)
        self._refuse_references(event, place)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, place)
        if len(where) > DEPTH_MAX:
            raise _TooDeep(place)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(where)
        return self._sequence(where) if isinstance(event, yaml.SequenceStartEvent) else None  # None: an alias

    def _refuse_references(self, event: Any, place: tuple[int, int]) -> None:
        if event.anchor is not None:
            name = "an alias" if isinstance(event, yaml.AliasEvent) else "an anchor"
            self.document.mistake_at(place, "M10", name, "anchors and aliases are not allowed: write the value out")
        elif event.tag is not None:
            self.document.mistake_at(place, "M09", f"the tag {event.tag[:80]}", "YAML tags are not allowed")

    def _sequence(self, where: tuple[str | int, ...]) -> list[Any]:
        built: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            built.append(self.build(event, (*where, len(built))))
        return built

    def _mapping(self, where: tuple[str | int, ...]) -> dict[str, Any]:
        built: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            place = _place_of(event.start_mark)
            key = self._key(event, place, where)
            if key is None:
                self.build(next(self.events), (*where, "?"))  # read on: there may be more mistakes
            elif key in built:
                first = self.document.places[(*where, key)][0]
                said = f"key '{key}' stands twice, first in line {first}"
                self.document.mistake_at(place, "M03", said, "keep one of them")
                self.build(next(self.events), (*where, "?"))
            else:
                self.document.places[(*where, key)] = place
                built[key] = self.build(next(self.events), (*where, key))
        return built

    def _key(self, event: yaml.Event, place: tuple[int, int], where: tuple[str | int, ...]) -> str | None:
        if not isinstance(event, yaml.ScalarEvent) or event.value == "<<":
            self.document.mistake_at(place, "M12", "a key that is not a plain word", "keys are plain words")
            if not isinstance(event, yaml.ScalarEvent):
                self.build(event, (*where, "?"))
            return None
        self._refuse_references(event, place)
        key: str = event.value
        self._refuse_characters(key, place)
        return key

    def _scalar(self, event: yaml.ScalarEvent, place: tuple[int, int]) -> Any:
        text: str = event.value
        self._refuse_characters(text, place)
        if not event.implicit[0]:  # quoted or block text means what it says
            return text
        if text in NOTHING:
            return None
        if text in TRUTH:
            return TRUTH[text]
        if INTEGER.fullmatch(text):
            return int(text)
        if DECIMAL.fullmatch(text) and len(text) <= DIGITS_EXACT:
            return float(text)
        if AMBIGUOUS.fullmatch(text):
            said = f"`{text[:40]}` can be read in two ways"
            self.document.mistake_at(place, "M06", said, f'quote this value: "{text[:40]}"')
        return text

    def _refuse_characters(self, text: str, place: tuple[int, int]) -> None:
        if not text.isprintable() and (hidden := HIDDEN.search(text)):  # quoted text may spell one: "\e"
            _refuse_hidden(self.document, place, hidden[0])
        if "{{" in text or "{%" in text:
            said = "Jinja is not rendered here; what you read is what runs"
            self.document.mistake_at(place, "M16", said, "write the value itself")
