"""Read YAML the way a reviewer reads it, and remember where everything stands.

PyYAML's own constructors turn `NO` into False, `010` into 8, `12:30:45` into 45045 and `1.10` into 1.1, keep the
last of two equal keys and expand aliases without bound. Here a plain scalar is a string, unless it is plainly a
number, `true`, `false` or null; what could be read two ways is refused with "quote this value". Tags, anchors,
aliases, duplicate keys, several documents, tabs, NUL and bidi characters are refused with their place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from syncline.core.findings import Finding

BYTES_MAX = 256 * 1024  # no manifest that people review is larger; a larger one stalls the parser


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml: 8 times faster
    """Nodes without YAML 1.1's guesses: every untagged plain scalar stays a string for us to judge."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # as PyYAML declares it


TRUTH = {"true": True, "false": False}
NOTHING = {"null", "~", ""}
INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]*[1-9]|-?(0|[1-9][0-9]*)\.0")
# Plain scalars that YAML 1.1 readers and people read differently.
AMBIGUOUS = re.compile(
    r"(?i:yes|no|on|off|y|n)|True|TRUE|False|FALSE|Null|NULL"
    r"|[-+]?0[0-9]+|0[xob][0-9a-fA-F]+|\+[0-9]+|[0-9]+(:[0-9]{2})+(\.[0-9]+)?"
    r"|[-+]?[0-9_]*\.[0-9_]*|[-+]?[0-9.]+[eE][-+]?[0-9]+|[0-9]+_[0-9_]+|[-+]?\.(?i:inf|nan)"
)
HIDDEN = re.compile("[\u0000\u202a-\u202e\u2066-\u2069\u200b-\u200f\ufeff]")


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
        line, column = self.place(where)
        self.findings.append(Finding(self.path, line, column, code, found, allowed, nearest))


def read(path: Path, shown_as: str) -> Document:
    """Read one file; mistakes are collected in `findings`, nothing is raised for a user's mistake."""
    document = Document(shown_as)
    text = _text(path, document)
    if text is None:
        return document
    root = _compose(text, document)
    if root is None:
        return document
    if not isinstance(root, yaml.MappingNode):
        document.mistake((), "M12", "the file is not a mapping", "a file starts with `key: value` lines")
        return document
    document.data = _Builder(document).build(root, ())
    return document


def _text(path: Path, document: Document) -> str | None:
    try:
        if path.stat().st_size > BYTES_MAX:
            document.mistake((), "M10", "the file is larger than 256 KB", "split it, or keep data out of it")
            return None
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        document.mistake((), "M12", f"byte {error.start} is not UTF-8", "save the file as UTF-8")
        return None
    except OSError as error:
        document.mistake((), "M12", f"the file cannot be read ({error.strerror})")
        return None
    if hidden := HIDDEN.search(text):
        line, column = text.count("\n", 0, hidden.start()) + 1, hidden.start() - text.rfind("\n", 0, hidden.start())
        document.places[()] = (line, column)
        document.mistake(
            (), "M12", f"invisible character U+{ord(hidden[0]):04X}", "remove it: NUL, BOM, zero-width and bidi"
        )
        return None
    return text


def _compose(text: str, document: Document) -> yaml.Node | None:
    try:
        nodes = list(yaml.compose_all(text, Loader=Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if mark is not None:
            document.places[()] = (mark.line + 1, mark.column + 1)
        document.mistake((), *_syntax(error, text, document.place(())[0]))
        return None
    except yaml.YAMLError as error:  # the reader's errors carry no mark
        document.mistake((), "M12", f"not readable as YAML ({type(error).__name__})", "plain printable text")
        return None
    except RecursionError:
        document.mistake((), "M10", "the file is nested too deeply", "a few levels")
        return None
    if len(nodes) > 1:
        mark = nodes[1].start_mark
        document.places[()] = (mark.line + 1, mark.column + 1)
        document.mistake((), "M12", "a second document begins here", "one document per file")
        return None
    if not nodes or nodes[0] is None:
        document.mistake((), "M12", "the file is empty", "see docs/naming.md for a manifest to start from")
        return None
    if "&" in text:
        _refuse_anchors(text, document)
    root: yaml.Node = nodes[0]
    return root


def _refuse_anchors(text: str, document: Document) -> None:
    for token in yaml.scan(text, Loader=Loader):
        if isinstance(token, yaml.AnchorToken):
            line, column = token.start_mark.line + 1, token.start_mark.column + 1
            allowed = "anchors and aliases are not allowed: write the value out"
            document.findings.append(Finding(document.path, line, column, "M10", "an anchor", allowed))


def _syntax(error: yaml.MarkedYAMLError, text: str, line: int) -> tuple[str, str, str]:
    lines = text.splitlines()
    shown = lines[line - 1] if 0 < line <= len(lines) else ""
    if "alias" in str(error) or re.search(r":\s+\*", shown):
        if re.search(r"\*[\s/*\d]", shown):
            return "M07", "an unquoted `*`", 'quote cron expressions: cron: "15 1 * * *"'
        return "M10", "an alias", "anchors and aliases are not allowed: write the value out"
    if "\t" in shown:
        return "M12", "a tab", "indent with spaces"
    return "M12", f"{error.problem or 'not readable as YAML'}", "see the line above it too"


class _Builder:
    """Nodes to plain data, remembering places and collecting what is refused."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.seen: set[int] = set()

    def build(self, node: yaml.Node, where: tuple[str | int, ...]) -> Any:
        self.document.places.setdefault(where, (node.start_mark.line + 1, node.start_mark.column + 1))
        if id(node) in self.seen:  # libyaml hands out the same node again for an alias
            self.document.mistake(where, "M10", "an alias", "anchors and aliases are not allowed: write it out")
            return None
        self.seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, where)
        if isinstance(node, yaml.SequenceNode):
            if not self._tag_is(node, where, "tag:yaml.org,2002:seq"):
                return None
            return [self.build(item, (*where, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, where)
        raise TypeError(f"PyYAML composed an unknown node: {type(node).__name__}")

    def _tag_is(self, node: yaml.Node, where: tuple[str | int, ...], *plain: str) -> bool:
        if node.tag in plain:
            return True
        self.document.mistake(where, "M09", f"the tag {node.tag}", "YAML tags are not allowed")
        return False

    def _mapping(self, node: yaml.MappingNode, where: tuple[str | int, ...]) -> Any:
        if not self._tag_is(node, where, "tag:yaml.org,2002:map"):
            return None
        built: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.value == "<<":
                self.document.mistake(where, "M12", "a key that is not a plain word", "keys are plain words")
                continue
            key = key_node.value
            place = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if key in built:
                first = self.document.places[(*where, key)][0]
                line, column = place
                self.document.findings.append(
                    Finding(
                        self.document.path, line, column, "M03",
                        f"key '{key}' stands twice, first in line {first}", "keep one of them",
                    )
                )  # fmt: skip
                continue
            self.document.places[(*where, key)] = place
            built[key] = self.build(value_node, (*where, key))
        return built

    def _scalar(self, node: yaml.ScalarNode, where: tuple[str | int, ...]) -> Any:
        text: str = node.value
        if not self._tag_is(node, where, "tag:yaml.org,2002:str"):
            return None
        if node.style in ('"', "'", "|", ">"):  # quoted or block text means what it says
            if hidden := HIDDEN.search(text):
                self.document.mistake(where, "M12", f"invisible character U+{ord(hidden[0]):04X}", "remove it")
            return text
        if text in NOTHING:
            return None
        if text in TRUTH:
            return TRUTH[text]
        if INTEGER.fullmatch(text):
            return int(text) if len(text) < 20 else text
        if DECIMAL.fullmatch(text):
            return float(text)
        if AMBIGUOUS.fullmatch(text):
            self.document.mistake(where, "M06", f"`{text}` can be read in two ways", f'quote this value: "{text}"')
        return text
