"""Read YAML the way a reviewer reads it, and remember where everything stands.

PyYAML's own constructors turn `NO` into False, `010` into 8, `12:30:45` into 45045 and `1.10` into 1.1, keep the
last of two equal keys and expand aliases without bound. Here a plain scalar is a string, unless it is plainly a
number, `true`, `false` or null; what could be read two ways is refused with "quote this value". Tags, anchors,
aliases, duplicate keys, several documents, tabs, invisible characters, Jinja and secrets are refused with their place.

The file is read as a stream of events, not as a tree: PyYAML builds trees by recursion in C, and 100,000 opening
brackets would end the whole process, not just this file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from syncline.core.files.documents import Document, Spot, Where, is_secret, spot_of
from syncline.core.sensitive import blotted, secrets_in

__all__ = ["BYTES_MAX", "DEPTH_MAX", "Document", "read", "read_text", "written"]

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
# What a word of AMBIGUOUS may have meant, if no text.
MEANT = {
    **dict.fromkeys(("yes", "on", "y", "true"), "true"), **dict.fromkeys(("no", "off", "n", "false"), "false"),
    "null": "null",
}  # fmt: skip
PLAIN_WORD = re.compile(r"[^\W\d][\w.@/-]*")
# An array's type: in { } and [ ] its brackets begin a list.
CUT_TYPE = re.compile(r"[a-z)]\[\]")
COMMENT = re.compile(r"(?:^|\s)#")
BOM = "\ufeff"
HIDDEN_MAX = 20  # told of one file: more is a file of another kind
TAG_SHOWN, KEY_SHOWN = 80, 80  # signs of what is quoted in a message
AGAIN = -1  # in a path: no key and no item of the data, but something that stands there too
# Control characters (a terminal obeys them), zero-width and bidi ones (a reviewer is shown something else), and
# line ends that only some readers see.
HIDDEN = re.compile(
    "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)
# What libyaml says, and what it means to who wrote the file.
NO_NODE = "did not find expected node content"
OPEN_QUOTE = ("a quote that is never closed", "close it, or escape the quote inside")
DIRECTIVE = ("a directive", "remove the line that begins with %")
BACKSLASH = ("a backslash and a sign that YAML does not know", "use single quotes, or write two backslashes")
PROBLEMS = {
    "mapping values are not allowed in this context": (
        "a second `: ` in one line",
        "quote a value that holds `: `",
    ),
    "could not find expected ':'": (
        "a line that is no `key: value`",
        "write `key: value`, with a space behind the colon",
    ),
    "did not find expected key": (
        "a line that does not fit those above it",
        "align the keys of one mapping; close every quote and bracket",
    ),
    "did not find expected '-' indicator": (
        "a line that does not fit the list above it",
        "align it with the list's dashes",
    ),
    "block sequence entries are not allowed in this context": (
        "a list that begins in the line of its key",
        "write it below the key, or as [a, b]",
    ),
    NO_NODE: (
        "a sign of YAML's own where a value should stand",
        "quote a value that begins with a comma or a bracket",
    ),
    "did not find expected <document start>": (
        "a line that does not fit those above it",
        "align the keys of one mapping; close every quote and bracket",
    ),
    "found character that cannot start any token": (
        "a value that begins with a sign of YAML's own",
        "quote this value",
    ),
    "found unexpected ':'": ("a `:` inside of a plain value", "quote the value"),
    "did not find expected comment or line break": (
        "more text in the line of `|` or `>`",
        "begin the text in the next line",
    ),
    "did not find expected ',' or '}'": (
        "a `{` that is not closed, or a missing comma",
        "write a comma between the items and } behind the last",
    ),
    "did not find expected ',' or ']'": (
        "a `[` that is not closed, or a missing comma",
        "write a comma between the items and ] behind the last",
    ),
    "found incompatible YAML document": DIRECTIVE,
    "found unknown directive name": DIRECTIVE,
    "found duplicate %YAML directive": DIRECTIVE,
    "found duplicate %TAG directive": DIRECTIVE,
    "found unexpected end of stream": OPEN_QUOTE,
    "found unexpected document indicator": OPEN_QUOTE,
    "found unknown escape character": BACKSLASH,
    "did not find expected hexdecimal number": BACKSLASH,
    "found invalid Unicode character escape code": ("an escape that is no character", "write the character itself"),
}
UNCLOSED = {
    "did not find expected ',' or '}'", "did not find expected ',' or ']'", "found unexpected end of stream",
    "found unexpected document indicator", "could not find expected ':'",
}  # fmt: skip


def read(path: Path, shown_as: str) -> Document:
    """Read one file; mistakes are collected in `findings`, nothing is raised for a user's mistake."""
    document = Document(shown_as, is_read=False)
    text = _text(path, document)
    if text is not None:
        document.data = _parsed(document.text, document)
    else:
        document.is_whole = False
    document.finish()
    return document


def read_text(text: str, shown_as: str) -> Document:
    """Read a text as `read` reads a file that holds it."""
    document = Document(shown_as, is_read=False)
    _keep_without_secrets(text, document)
    document.data = _parsed(document.text, document)
    document.finish()
    return document


def written(value: Any) -> str:
    """A value as one line of YAML that `read` takes, and takes back as the same value."""
    match value:
        case None:
            return "null"
        case bool() | int():
            return json.dumps(value)
        case float():
            return f"{Decimal(repr(value)):f}"
        case list() | tuple():
            return f"[{', '.join(map(written, value))}]"
        case dict():
            return "{" + ", ".join(f"{written(str(key))}: {written(item)}" for key, item in value.items()) + "}"
    text = str(value)
    is_plain = PLAIN_WORD.fullmatch(text) and text not in {*TRUTH, *NOTHING} and not AMBIGUOUS.fullmatch(text)
    return text if is_plain else json.dumps(text, ensure_ascii=False)


def _text(path: Path, document: Document) -> str | None:
    """The file's text without its secrets, which is the document's text too; None where there is none to parse."""
    try:
        if path.stat().st_size > BYTES_MAX:
            document.mistake((), "M23", "the file is larger than 256 KB", "split it, or keep data out of it")
            return None
        content = path.read_bytes()
    except OSError as error:
        document.mistake((), "M12", f"the file cannot be read ({error.strerror})")
        return None
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        readable = content[: error.start].decode("utf-8")
        _keep_without_secrets(readable + content[error.start :].decode("utf-8", "backslashreplace"), document)
        spot = document.spot_at(len(readable), len(readable) + len(r"\xff"))
        document.mistake_at(spot, "M12", f"byte {error.start} is not UTF-8", "save the file as UTF-8")
        return None
    if text.startswith(BOM):
        document.mistake_at(Spot(1, 1), "M12", "invisible character U+FEFF", "save the file as UTF-8 without BOM")
        text = text[1:]
    _keep_without_secrets(text, document)
    hidden = list(islice(HIDDEN.finditer(text), HIDDEN_MAX))
    for found in hidden:
        _refuse_hidden(document, document.spot_at(*found.span()), found[0])
    return None if hidden else document.text


def _keep_without_secrets(text: str, document: Document) -> None:
    document.blots = list(secrets_in(text))
    document.text = blotted(text, document.blots)
    for begin, behind in document.blots:
        document.mistake_at(
            document.spot_at(begin, behind), "M21", "this looks like a secret; it is not shown",
            "remove it, and change it where it is valid: files name connection ids, the operator keeps the secrets",
        )  # fmt: skip


def _refuse_hidden(document: Document, spot: Spot, character: str) -> None:
    said = f"invisible character U+{ord(character):04X}"
    document.mistake_at(spot, "M12", said, "remove it: control, zero-width and bidi characters, and BOM")


def _parsed(text: str, document: Document) -> Any:
    """The file's data; None when there is none, or when it cannot be read to its end."""
    try:
        data = _Builder(document, yaml.parse(text, Loader=Loader)).file()
        _refuse_tabs(document)
        return data
    except yaml.MarkedYAMLError as error:
        spot = _spot_of_error(error, document)
        document.mistake_at(spot, *_syntax(error, document, spot))
    except yaml.YAMLError as error:  # the reader's errors carry no mark
        document.mistake((), "M12", f"not readable as YAML ({type(error).__name__})", "plain printable text")
    except _TooDeep as error:
        document.mistake_at(error.spot, "M10", f"nested deeper than {DEPTH_MAX} levels", "a few levels")
    document.is_whole = False
    return None


def _refuse_tabs(document: Document) -> None:
    """A tab is a space to one reader and an end to another, and people do not see it. In a comment it may stand."""
    if "\t" not in document.text:
        return
    for number, line in enumerate(document.lines, start=1):
        column = COMMENT.split(line, maxsplit=1)[0].find("\t")
        if column >= 0:
            spot = Spot(number, column + 1, 1)
            document.mistake_at(spot, "M12", "a tab", 'write spaces; in a value write "\\t" in double quotes')


def _spot_of_error(error: yaml.MarkedYAMLError, document: Document) -> Spot:
    """Where the parser gave up; what was opened and never closed is told where it was opened."""
    mark: Any = _left_open(error, document) or error.problem_mark or error.context_mark
    if mark is None:
        return Spot(1, 1)
    line = min(mark.line + 1, len(document.lines))
    length = len(document.lines[line - 1])
    return Spot(line, min(mark.column, length) + 1, 1 if mark.column < length else 0)


def _left_open(error: yaml.MarkedYAMLError, document: Document) -> Any:
    """The mark of what should have been closed before the parser gave up, if that is what is wrong."""
    mark, opened = error.problem_mark, error.context_mark
    if mark is None or opened is None:
        return None
    if opened.line < mark.line and error.problem in UNCLOSED:
        return opened
    return document.open_bracket() if _is_at_end(mark, document) else None


def _is_at_end(mark: Any, document: Document) -> bool:
    return not "".join(document.lines[mark.line :])[mark.column :].strip()


def _syntax(error: yaml.MarkedYAMLError, document: Document, spot: Spot) -> tuple[str, str, str]:
    """Code, what was found and what is allowed, for a file that is no YAML."""
    problem = error.problem_mark.line + 1 if error.problem_mark is not None else spot.line
    shown = document.lines[problem - 1] if problem <= len(document.lines) else ""
    if "alias" in str(error) or re.search(r":\s+\*", shown):
        if re.search(r"\*[\s/*\d]", shown):
            return "M07", "an unquoted `*`", 'quote cron expressions: cron: "15 1 * * *"'
        return "M10", "an alias", "anchors and aliases are not allowed: write the value out"
    if "anchor" in str(error):
        return "M10", "an anchor", "anchors and aliases are not allowed: write the value out"
    if re.search(r"\btag\b", str(error)):
        return "M09", "a tag", "YAML tags are not allowed; quote a value that begins with `!`"
    if "\t" in shown:
        return "M12", "a tab", "indent with spaces"
    if start := re.search(r":\s+([@`%])", shown):
        return "M12", f"a value that begins with `{start[1]}`", "quote this value"
    if any(_is_behind(error, cut.end() - 2) for cut in CUT_TYPE.finditer(shown)):  # not quoted: it may be a secret
        return "M06", "a value that ends in [], inside { } or [ ]", 'put a type in quotes there: "text[]"'
    said = (error.problem or "not readable as YAML", "see the line above it too")
    if error.problem == NO_NODE and _is_at_end(error.problem_mark, document):
        return "M12", "a `[` or `{` that is not closed", "close it"
    return "M12", *(_misaligned(error, shown) or PROBLEMS.get(error.problem or "", said))


def _misaligned(error: yaml.MarkedYAMLError, shown: str) -> tuple[str, str] | None:
    """A `key: value` where none may stand: the line is indented too far, or the one above goes on in it."""
    mark = error.problem_mark
    if mark is None or error.problem != "mapping values are not allowed in this context":
        return None
    if re.search(r"[:\"']", shown[: mark.column]):  # the first colon was fine, the second is not
        return None
    return "a line that does not fit those above it", "align the keys of a mapping; a space stands behind each colon"


def _is_behind(error: yaml.MarkedYAMLError, column: int) -> bool:
    """Whether the parser gave up in a column of its line."""
    return error.problem_mark is not None and error.problem_mark.column == column


class _TooDeep(Exception):
    def __init__(self, spot: Spot) -> None:
        self.spot = spot


class _Builder:
    """Events to plain data, remembering places and collecting what is refused."""

    def __init__(self, document: Document, events: Iterator[yaml.Event]) -> None:
        self.document, self.events = document, events

    def file(self) -> Any:
        next(self.events)  # the stream begins
        begin: Any = next(self.events)
        if isinstance(begin, yaml.StreamEndEvent):
            self.document.mistake((), "M12", "the file is empty", "see docs/naming.md for a manifest to start from")
            return None
        if begin.version is not None or begin.tags:
            self.document.mistake_at(spot_of(begin), "M12", *DIRECTIVE)
        first = next(self.events)
        data = self.build(first, ())
        next(self.events)  # the document ends
        more = next(self.events)
        if not isinstance(more, yaml.StreamEndEvent):
            self.document.mistake_at(spot_of(more), "M12", "a second document begins here", "one document per file")
            return None
        if not isinstance(first, yaml.MappingStartEvent):
            self.document.mistake((), "M12", "the file is not a mapping", "a file starts with `key: value` lines")
            return None
        return data

    def build(self, event: Any, where: Where) -> Any:
        self.document.values.setdefault(where, event)
        if event.__class__ is yaml.ScalarEvent:
            if event.anchor is not None or event.tag is not None:
                self._refuse_references(event, where)
            return self._scalar(event, where)
        self._refuse_references(event, where)
        if len(where) > DEPTH_MAX:
            raise _TooDeep(spot_of(event)._replace(length=1))
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(where)
        return self._sequence(where) if isinstance(event, yaml.SequenceStartEvent) else None  # None: an alias

    def _refuse_references(self, event: Any, where: Where) -> None:
        """Anchors, aliases and tags; the carets stand under the name, not under the value behind it."""
        if event.anchor is not None:
            spot = spot_of(event)._replace(length=len(event.anchor) + 1)
            name = "an alias" if isinstance(event, yaml.AliasEvent) else "an anchor"
            said = "anchors and aliases are not allowed: write the value out"
            self.document.mistake_at(spot, "M10", name, said)
        elif event.tag is not None:
            self.document.mistake_at(
                spot_of(event), "M09", f"the tag {event.tag[:TAG_SHOWN]}", "YAML tags are not allowed"
            )

    def _sequence(self, where: Where) -> list[Any]:
        built: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            built.append(self.build(event, (*where, len(built))))
        self.document.ends[where] = event
        return built

    def _mapping(self, where: Where) -> dict[str, Any]:
        built: dict[str, Any] = {}
        inner: Where = where
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if inner[-1:] and inner[-1] in built and (whole := self._cut_off(inner, event)) is not None:
                built[str(inner[-1])] = whole
                next(self.events)  # no value stands behind it
                continue
            key = self._key(event, where)
            inner = (*where, key if key is not None else AGAIN)
            if key is None or key in built:
                if key is not None:
                    first = spot_of(self.document.keys[inner]).line
                    said = f"key '{key[:KEY_SHOWN]}' stands twice, first in line {first}"
                    self.document.mistake_at(spot_of(event), "M03", said, "keep one of them")
                inner = (*inner, AGAIN, len(self.document.values))  # read on: there may be more mistakes
                self.build(next(self.events), inner)
            else:
                self.document.keys[inner] = event
                built[key] = self.build(next(self.events), inner)
        self.document.ends[where] = event
        return built

    def _cut_off(self, where: Where, key: Any) -> str | None:
        """The value that a comma has cut in two, `numeric(12,2)` in { }, where its end was read as the next key."""
        value = self.document.values[where]
        is_plain = all(event.__class__ is yaml.ScalarEvent and event.implicit[0] for event in (value, key))
        if not is_plain or not self._is_open(value.value) or "(" in key.value or not key.value.endswith(")"):
            return None
        begin, end = value.start_mark, key.end_mark
        if begin.line != end.line:
            return None
        line = self.document.lines[begin.line]
        whole: str = line[begin.column : end.column]
        if line[end.column :].lstrip()[:1] not in (",", "}"):  # a value stands behind it: a key after all
            return None
        said, mend = f"`{whole}` is cut in two: in {{ }} a comma ends the value", f'put it in quotes: "{whole}"'
        if is_secret(where):
            self.document.mistake(where, "M06", said, mend)  # tells neither
        else:
            self.document.mistake_at(spot_of(value, key), "M06", said, mend)
        return whole

    @staticmethod
    def _is_open(text: str) -> bool:
        return text.count("(") > text.count(")")

    def _key(self, event: Any, where: Where) -> str | None:
        if not isinstance(event, yaml.ScalarEvent) or event.value == "<<":
            self.document.mistake_at(spot_of(event), "M12", "a key that is not a plain word", "keys are plain words")
            if not isinstance(event, yaml.ScalarEvent):
                self.build(event, (*where, AGAIN, len(self.document.values)))
            return None
        self._refuse_references(event, where)
        key: str = event.value
        if _is_odd(key):
            self._refuse_characters(key, spot_of(event))
        return key

    def _scalar(self, event: Any, where: Where) -> Any:
        text: str = event.value
        if _is_odd(text):
            self._refuse_characters(text, self.document.spot(where))
        if not event.implicit[0]:  # quoted or block text means what it says
            return text
        if text in NOTHING:
            if not text:
                self.document.empties.append(where)
            return None
        if text in TRUTH:
            return TRUTH[text]
        if INTEGER.fullmatch(text):
            return int(text)
        if DECIMAL.fullmatch(text) and len(text) <= DIGITS_EXACT:
            return float(text)
        if AMBIGUOUS.fullmatch(text):
            said = f"`{text[:40]}` can be read in two ways"
            self.document.mistake(where, "M06", said, f'quote this value: "{text[:40]}"{_meant(text)}')
        return text

    def _refuse_characters(self, text: str, spot: Spot) -> None:
        if hidden := HIDDEN.search(text):  # quoted text may spell one: "\e"
            _refuse_hidden(self.document, spot, hidden[0])
        if "{{" in text or "{%" in text:
            said = "Jinja is not rendered here; what you read is what runs"
            self.document.mistake_at(spot, "M16", said, "write the value itself")


def _meant(text: str) -> str:
    """What to write where an ambiguous scalar is no text."""
    try:
        plain = f"{Decimal(text).normalize():f}" if len(text) <= DIGITS_EXACT else ""
    except InvalidOperation:
        plain = MEANT.get(text.lower(), "")
    is_one = plain and (plain in MEANT.values() or INTEGER.fullmatch(plain) or DECIMAL.fullmatch(plain))
    return f"; or write {plain}, if that is meant" if is_one else ""


def _is_odd(text: str) -> bool:
    """Whether a text may hold what `_refuse_characters` looks for."""
    return "{" in text or not text.isprintable()
