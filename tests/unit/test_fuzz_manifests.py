"""Two thousand spoilt copies of the real manifests, mappings, code lists and calendars: none fails, none is misread.

A mutant is refused with places inside its file, or it is accepted. Then a reader that is not ours, PyYAML's own in
Python with its own rules for values, says what the file says; all of that, and no more, must stand in the models, and
the manifest's hash must be another one exactly when the file says something else. Where it says the same in plain YAML
it must be accepted.

Replay one mutant: `python -m tests.unit.test_fuzz_manifests 1234`.
"""

from __future__ import annotations

import json
import os
import random
import re
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import date
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from pydantic import BaseModel

from syncline.core.files.excerpts import lines_of
from syncline.core.files.findings import Finding
from syncline.core.files.strict_yaml import HIDDEN
from syncline.core.job import SyncJob
from syncline.core.job_files import examine_job, job_ids
from syncline.core.reference_files import examine_reference
from syncline.core.types import PgType
from tests.conftest import ROOT

SEED = "syncline"
MUTANTS = 2_000
CHUNK = 100
KINDS = ("manifests", "mappings", "code_lists", "calendars")
PROJECTS = (ROOT, ROOT / "examples" / "chinook")
OFTEN = {
    "borrow a value": 4,
    "change a number": 2,
    "quote a value": 2,
}  # the rest once; these give good files more often


# -- how a file is spoilt ---------------------------------------------------------------------------------------

Luck = random.Random
Spoil = Callable[[str, Luck], str]
SCALAR = re.compile(
    r"(?<=[:\[,] )[^\s\[\]{},#][^\[\]{},#\n]*(?=[\n\],}])"
)  # a value of a block or flow mapping or list
PAIR = re.compile(r"([a-z0-9_]+): ([^\s\[\]{},#][^\[\]{},#\n]*(?=[\n\],}])|\[[^\[\]{}\n]*\])")  # a key with its value
WORD = re.compile(r"[a-z_]+(?=:)")  # a key
ODD = [
    "", "null", "~", "true", "-1", "0", "-0", "1.5", "99999999999999999", "1" * 40, "1e999", ".inf", "0x1F", "010", "NO",
    "12:30:45", "1_000", "2026-02-30", "[]", "{}", "[[]]", "{a: {b: c}}", "'x'", '"x y"', '""', '" "', "x y", "x: y", "- x",
    "*x", "&x y", "!!str x", "!x y", "{{ x }}", "'{{ x }}'", "'; drop table x;--", "../../etc/passwd", "|", ">-", "é", "王",
    "\u202e", "\x00", "\x1b[31m", "@x", "%x", "`x`", "? x", ": x", "#", "text", "numeric(1,2)", "password: x", "worker_id",
    "[" * 30 + "]" * 30, "{a: " * 25 + "1" + "}" * 25, "x" * 3_000, "[" + "1, " * 200 + "]",
]  # fmt: skip
SIGNS = "\t \x00\x07\x1b\x7f\x85\u200b\u202e\u2028\ufeff\ufffd\U0001f600é王,:#&*!|>'\"%@`{}[]-?~\\\r\n0aZ_"


def _lines(change: Callable[[list[str], int, Luck], None]) -> Spoil:
    """A change of one line of a text."""

    def spoil(text: str, luck: Luck) -> str:
        lines = text.split("\n")
        change(lines, luck.randrange(len(lines)), luck)
        return "\n".join(lines)

    return spoil


def _swap_lines(lines: list[str], n: int, luck: Luck) -> None:
    other = luck.randrange(len(lines))
    lines[n], lines[other] = lines[other], lines[n]


def _shift(lines: list[str], n: int, luck: Luck) -> None:
    lines[n] = (
        luck.choice([" ", "  ", "    ", "\t"]) + lines[n] if luck.random() < 0.5 else lines[n][luck.randint(1, 2) :]
    )


def _insert(lines: list[str], n: int, luck: Luck) -> None:
    lines.insert(
        n, luck.choice(["---", "...", "%YAML 1.1", "- x", "x", "x: y", "  x: y", "<<: *x", "? x", "\t", "# x", ""])
    )


def _at_match(pattern: re.Pattern[str], change: Callable[[str, Luck], str]) -> Spoil:
    """A change of one place that a pattern finds."""

    def spoil(text: str, luck: Luck) -> str:
        found = list(pattern.finditer(text))
        if not found:
            return text
        place = luck.choice(found)
        return text[: place.start()] + change(place[0], luck) + text[place.end() :]

    return spoil


def _typo(word: str, luck: Luck) -> str:
    n, letter = luck.randrange(len(word)), luck.choice("abcdefghijklmnopqrstuvwxyz_")
    return luck.choice(
        [word[:n] + letter + word[n:], word[:n] + word[n + 1 :], word[:n] + letter + word[n + 1 :], word.upper()]
    )


def _swap_values(text: str, luck: Luck) -> str:
    found = list(SCALAR.finditer(text))
    if len(found) < 2:
        return text
    first, other = sorted(luck.sample(found, 2), key=lambda place: place.start())
    between = text[first.end() : other.start()]
    return text[: first.start()] + other[0] + between + first[0] + text[other.end() :]


def _borrow(text: str, luck: Luck) -> str:
    """The value of a key becomes one that the same key has elsewhere."""
    found = list(PAIR.finditer(text))
    place = luck.choice(found) if found else None
    values = _values_of_real_files().get(place[1], []) if place else []
    return text[: place.start(2)] + luck.choice(values) + text[place.end(2) :] if place and values else text


def _sign_in(text: str, luck: Luck) -> str:
    n = luck.randrange(len(text) + 1)
    return text[:n] + luck.choice(SIGNS) + text[n:]


def _sign_out(text: str, luck: Luck) -> str:
    n = luck.randrange(len(text) + 1)
    return text[:n] + text[n + 1 :]


def _merge(text: str, luck: Luck) -> str:
    other = luck.choice(list(real_files().values()))
    return luck.choice([text + other, text[: luck.randrange(len(text))] + other[luck.randrange(len(other)) :]])


SPOILS: dict[str, Spoil] = {
    "delete a line": _lines(lambda lines, n, _: lines.__delitem__(n)),
    "repeat a line": _lines(lambda lines, n, _: lines.insert(n, lines[n])),
    "swap two lines": _lines(_swap_lines),
    "shift a line": _lines(_shift),
    "join two lines": _lines(lambda lines, n, _: lines.__setitem__(slice(n, n + 2), [" ".join(lines[n : n + 2])])),
    "insert a line": _lines(_insert),
    "comment a line out": _lines(lambda lines, n, _: lines.__setitem__(n, "# " + lines[n])),
    "swap two values": _swap_values,
    "change a value": _at_match(SCALAR, lambda _, luck: luck.choice(ODD)),
    "borrow a value": _borrow,
    "mistype a value": _at_match(SCALAR, _typo),
    "quote a value": _at_match(SCALAR, lambda value, luck: luck.choice([f'"{value}"', f"'{value}'"])),
    "tag or anchor a value": _at_match(SCALAR, lambda value, luck: luck.choice(["!!str ", "!x ", "&x ", "*"]) + value),
    "mistype a key": _at_match(WORD, _typo),
    "change a key": _at_match(WORD, lambda _, luck: luck.choice([*ODD, *_keys_of_real_files()])),
    "change a number": _at_match(re.compile(r"\b[0-9]+\b"), lambda digits, luck: luck.choice(["-", "0", "9" * 30, ".", ""]) + digits),
    "remove a quote": _at_match(re.compile("[\"']"), lambda _, __: ""),
    "remove a bracket": _at_match(re.compile(r"[\[\]{}]"), lambda _, __: ""),
    "remove a colon": _at_match(re.compile(":"), lambda _, __: ""),
    "add a sign": _sign_in,
    "drop a sign": _sign_out,
    "truncate": lambda text, luck: text[: luck.randrange(len(text))],
    "merge with another file": _merge,
    "nest deeply": lambda text, luck: text.replace(": ", ": " + luck.choice("[{") * luck.choice([1, 5, 30, 1_000]), 1),
}  # fmt: skip


@cache
def real_files() -> dict[tuple[str, str], str]:
    return {
        (kind, path.stem): path.read_text()
        for project in PROJECTS
        for kind in KINDS
        for path in sorted((project / "include" / kind).glob("*.yaml"))
    }


@cache
def _keys_of_real_files() -> list[str]:
    return sorted({key for text in real_files().values() for key in WORD.findall(text)})


@cache
def _values_of_real_files() -> dict[str, list[str]]:
    values: dict[str, set[str]] = defaultdict(set)
    for text in real_files().values():
        for key, value in PAIR.findall(text):
            values[key].add(value)
    return {key: sorted(found) for key, found in values.items()}


class Mutant(NamedTuple):
    kind: str
    stem: str
    content: bytes
    spoilt_by: tuple[str, ...]


def mutant(number: int) -> Mutant:
    """The same mutant for the same number, whatever ran before."""
    luck = random.Random(f"{SEED} {number}")
    chosen = luck.choice(["manifests"] * 3 + ["mappings"] * 4 + list(KINDS[2:]))
    (kind, stem), text = luck.choice([item for item in real_files().items() if item[0][0] == chosen])
    names = luck.choices(list(SPOILS), [OFTEN.get(name, 1) for name in SPOILS], k=luck.choice([1, 1, 1, 2, 3]))
    for name in names:
        text = SPOILS[name](text, luck) or "\n"
    content = text.encode("utf-8", "surrogatepass")
    if luck.random() < 0.05:  # noise below the level of letters
        names.append("change bytes")
        noisy = bytearray(content)
        for _ in range(luck.randint(1, 4)):
            noisy[luck.randrange(len(noisy))] = luck.randrange(256)
        content = bytes(noisy)
    return Mutant(kind, stem, content, tuple(names))


# -- the other reader -------------------------------------------------------------------------------------------


class OtherReader(yaml.SafeLoader):
    """PyYAML in Python, with YAML 1.1's rules for plain values; but a date is text, and two equal keys are no file."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if len(set(map(repr, keys))) != len(keys):
            raise yaml.YAMLError("a key stands twice")
        return super().construct_mapping(node, deep)


class FastOtherReader(yaml.CSafeLoader):
    pass


for _reader in (OtherReader, FastOtherReader):
    _reader.yaml_implicit_resolvers = {
        sign: [(tag, pattern) for tag, pattern in known if not tag.endswith(":timestamp")]
        for sign, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def said_by(content: bytes, reader: Any = OtherReader) -> Any:
    return yaml.load(content.decode(), Loader=reader)


def not_shown(said: Any, shown: Any, where: str = "") -> Iterator[str]:
    """Where what a file says is not what a model shows, in both directions."""
    if isinstance(shown, BaseModel):
        yield from _not_shown_by_model(said, shown, where)
    elif isinstance(shown, dict):
        if not isinstance(said, dict) or [str(key) for key in said] != [str(key) for key in shown]:
            yield f"{where}: {said!r} is not {shown!r}"
            return
        for key, inner, seen in zip(said, said.values(), shown.values(), strict=True):
            yield from not_shown(inner, seen, f"{where}.{key}")
    elif isinstance(shown, tuple | list):
        if not isinstance(said, list) and len(shown) == 1:  # one entry of a code list needs no brackets
            said = [said]
        if not isinstance(said, list) or len(said) != len(shown):
            yield f"{where}: {said!r} is not {shown!r}"
            return
        for n, inner in enumerate(said):
            yield from not_shown(inner, shown[n], f"{where}[{n}]")
    elif isinstance(shown, PgType):
        if not isinstance(said, str) or str(shown) != str(PgType.parse(said)):
            yield f"{where}: {said!r} is not {shown}"
    elif isinstance(shown, date):
        if said != shown.isoformat():
            yield f"{where}: {said!r} is not {shown}"
    elif said is None and shown == "null":  # `on_missing: null` needs no quotes
        return
    elif said != shown or isinstance(said, bool) is not isinstance(shown, bool):
        yield f"{where}: {said!r} is not {shown!r}"


def _not_shown_by_model(said: Any, shown: BaseModel, where: str) -> Iterator[str]:
    kind = type(shown)
    names = {field.alias or name: name for name, field in kind.model_fields.items()}
    word = getattr(shown, "word", None)
    set_ = {alias for alias, name in names.items() if name in shown.model_fields_set and alias != "word"}
    if word is not None:
        if said == word:
            said = {}
        elif isinstance(said, dict) and list(said) == [word]:
            said = said[word] if said[word] is not None else {}
            if not isinstance(said, dict) or not set(said) <= set(names):  # the bare value of its one parameter
                said = {next(iter(set_), ""): said}
        else:
            yield f"{where}: {said!r} is not `{word}`"
            return
    if not isinstance(said, dict) and set_ == {"value"}:
        said = {"value": said}
    if not isinstance(said, dict) or set(said) != set_:
        yield f"{where}: {said!r} is not what {kind.__name__} was given: {sorted(set_)}"
        return
    for alias, inner in said.items():
        yield from not_shown(inner, getattr(shown, names[alias]), f"{where}.{alias}")


# -- the judgement ----------------------------------------------------------------------------------------------


class Project:
    """A copy of the real files in which one at a time is spoilt."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for kind in KINDS:
            (root / "include" / kind).mkdir(parents=True)
        for (kind, stem), text in real_files().items():
            (root / "include" / kind / f"{stem}.yaml").write_text(text)
        self.jobs = {job_id: self._job(job_id) for job_id in job_ids(root)}
        self.ticks = count(1)
        self.said = {key: said_by(text.encode()) for key, text in real_files().items()}

    def _job(self, job_id: str) -> SyncJob:
        job, findings = examine_job(self.root, job_id)
        assert job is not None
        assert not findings
        return job

    def judge(self, spoilt: Mutant) -> tuple[str, list[str]]:
        """Whether the mutant was refused, changed or the same, and what is wrong with that."""
        path = self.root / "include" / spoilt.kind / f"{spoilt.stem}.yaml"
        self._write(path, spoilt.content)
        try:
            found, findings = self._examined(spoilt)
            misplaced = [said for finding in findings for said in self._misplaced(finding)]
        finally:
            self._write(path, real_files()[spoilt.kind, spoilt.stem].encode())
        if found is None or findings:
            return "refused", [*misplaced, *self._wrongly_refused(spoilt, findings)]
        return self._accepted(spoilt, found)

    def _write(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        tick = next(self.ticks)  # what is remembered of a file is forgotten when its time changes
        os.utime(path, ns=(tick, tick))

    def _examined(self, spoilt: Mutant) -> tuple[SyncJob | BaseModel | None, list[Finding]]:
        if spoilt.kind in ("code_lists", "calendars"):
            model, _, findings = examine_reference(self.root, spoilt.kind, spoilt.stem)
            return model, findings
        return examine_job(self.root, self._job_of(spoilt))

    def _job_of(self, spoilt: Mutant) -> str:
        return next(job.id for job in self.jobs.values() if spoilt.stem in (job.id, job.manifest.mapping))

    def _misplaced(self, finding: Finding) -> Iterator[str]:
        path = self.root / finding.path
        lines = lines_of(path.read_bytes().decode("utf-8", "backslashreplace").removeprefix("\ufeff"))
        if not 1 <= finding.line <= len(lines):
            yield f"{finding}: the file has {len(lines)} lines"
        elif not 1 <= finding.column <= finding.column + finding.length <= len(lines[finding.line - 1]) + 1:
            yield f"{finding}: the line ends before column {finding.column + finding.length}"
        if not all(line.isprintable() for line in (str(finding), *finding.page().splitlines())):
            yield f"{finding!r}: not printable"
        if not finding.found or not (finding.remedy or re.search("; |Did you mean", str(finding))):
            yield f"{finding}: no remedy"
        json.dumps(finding.as_dict())

    def _wrongly_refused(self, spoilt: Mutant, findings: list[Finding]) -> Iterator[str]:
        if not findings:
            yield "refused without a mistake"
        try:
            text = spoilt.content.decode()
            is_same = said_by(spoilt.content, FastOtherReader) == self.said[spoilt.kind, spoilt.stem]
        except (UnicodeDecodeError, yaml.YAMLError, ValueError):
            return
        told = {finding.code for finding in findings}
        if is_same and not HIDDEN.search(text) and not told & {"M03", "M06", "M09", "M10", "M12"}:
            yield f"refused, though it says the same: {findings[0]}"

    def _accepted(self, spoilt: Mutant, found: SyncJob | BaseModel) -> tuple[str, list[str]]:
        said = said_by(spoilt.content)
        is_same = said == self.said[spoilt.kind, spoilt.stem]
        outcome = "same" if is_same else "changed"
        if not isinstance(found, SyncJob):
            return outcome, list(not_shown(said, found))
        before = self.jobs[found.id]
        wrong = list(not_shown(said, found.manifest if spoilt.kind == "manifests" else found.mapping))
        if is_same is not (found.manifest_hash == before.manifest_hash):
            wrong.append(f"hash {found.manifest_hash}, before {before.manifest_hash}, says the same: {is_same}")
        if is_same and (found.manifest, found.mapping) != (before.manifest, before.mapping):
            wrong.append("the file says the same, the models do not")
        return outcome, wrong


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("fuzz"))


@pytest.fixture(scope="module")
def outcomes() -> Counter[str]:
    return Counter()


@pytest.mark.parametrize("first", range(0, MUTANTS, CHUNK))
def test_a_mutant_is_refused_with_its_place_or_understood_as_a_whole(
    project: Project, outcomes: Counter[str], first: int
) -> None:
    wrong: dict[int, list[str]] = {}
    for number in range(first, first + CHUNK):
        outcome, said = project.judge(mutant(number))
        outcomes[outcome] += 1
        if said:
            wrong[number] = [*mutant(number).spoilt_by, *said]

    assert not wrong, "replay: python -m tests.unit.test_fuzz_manifests <number>"


def test_the_mutants_were_of_every_kind(outcomes: Counter[str]) -> None:
    """Only after the chunks above: a fuzz in which all are refused would show nothing about acceptance."""
    if outcomes.total() < MUTANTS:
        pytest.skip("not all mutants were judged in this process")
    assert outcomes["refused"] > MUTANTS // 2
    assert outcomes["changed"] > MUTANTS // 20
    assert outcomes["same"] > MUTANTS // 50


def test_the_spoilers_are_what_they_say() -> None:
    used = Counter(name for number in range(MUTANTS) for name in mutant(number).spoilt_by)

    assert set(used) == {*SPOILS, "change bytes"}
    assert mutant(7) == mutant(7)


def main() -> None:
    """Judge mutants by number and show what was made of them."""
    for number in map(int, sys.argv[1:]):
        spoilt = mutant(number)
        with tempfile.TemporaryDirectory() as folder:
            outcome, wrong = Project(Path(folder)).judge(spoilt)
        print(f"{number}: {spoilt.kind}/{spoilt.stem} {outcome} {spoilt.spoilt_by}", *wrong, sep="\n  ")
        print(spoilt.content.decode("utf-8", "backslashreplace"))


if __name__ == "__main__":
    main()
