"""Which column of a source is meant by a column of a target: by name, by type, and by values that both hold.

A proposal, never a decision: the confidence is shown, and what tipped the scale in words. Values are compared in
memory and forgotten; of a sample only shares leave this module, and the few codes of a column that holds codes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import cache

from syncline.core.catalogs.tables import Column
from syncline.core.types import PgType

# Words that mean the same in column names of different houses and languages; the first of a line stands for all.
SYNONYMS = (
    "id no nr num number key identifier ref nummer numero", "name title", "date day dt on datum fecha am",
    "at time ts timestamp datetime", "start begin starts hired hire joined since from onboarded von beginn eintritt",
    "end until ends left to leaving bis ende austritt", "person worker employee staff people mitarbeiter personal",
    "client customer account kunde kunden", "amount amt value sum total betrag montant importe",
    "salary pay wage gehalt", "currency ccy curr waehrung devise moneda", "country nation land pays pais",
    "email mail", "phone telephone mobile tel telefon", "given first fore forename",
    "family last surname sur lastname", "status state stat", "type kind class category", "birth dob born birthday",
    "postcode zip postal plz", "quantity qty count", "code cd", "price rate", "organisation org",
    "description descr desc beschreibung bezeichnung", "invoice bill billing rechnung", "created inserted",
    "updated modified changed upd geaendert", "deleted removed gone geloescht", "tenant mandant mandanten",
    "city town ort ville ciudad", "street strasse rue calle",
)  # fmt: skip
# Words that say in one what English says in two.
WHOLE = {
    "vorname": ("given", "name"), "prenom": ("given", "name"), "nombre": ("given", "name"),
    "nachname": ("family", "name"), "nom": ("family", "name"), "apellido": ("family", "name"),
    "apellidos": ("family", "name"), "geburtsdatum": ("birth", "date"), "geburtstag": ("birth", "date"),
}  # fmt: skip
TAILS, HEAD_MIN = ("nummer", "datum", "betrag", "name", "nr"), 3  # a German word may be two: rechnungs-datum
JOINTS = ("", "s", "n", "en")  # what joins them
MEANS = {word: line.split()[0] for line in SYNONYMS for word in line.split()}
WEAK, WEAK_WEIGHT = frozenset({"id", "code", "name", "date", "at", "type"}), 0.4
SAME, MEANT, ALIKE = 1.0, 0.95, 0.6  # of a name that is the same, means the same, looks alike
MEANT_MIN, ALIKE_MIN = 0.9, 0.5
CODES_MAX, CODE_LENGTH_MAX, REPEATED_MIN = 20, 20, 5  # a column of codes: few, short, each several times
CODE = re.compile(r"[A-Za-z0-9_+-]+")
TELLING_VALUES = 10  # a column of fewer different values agrees with many others by chance
PROPOSED_MIN = 0.55
TRUSTED_MIN = 0.75
KNOWN_BY_DUTY = 0.9
STRANGERS_MAX = 0.05  # share of common values below which two columns seem to hold different things
LOOKS_MIN = 0.8  # share of a sample that must look like a format
DATE_FORMATS = {
    "iso": re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"),
    "yyyymmdd": re.compile(r"(19|20)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])"),
    "dd.mm.yyyy": re.compile(r"[0-3][0-9]\.[01][0-9]\.[0-9]{4}"),
    "dd/mm/yyyy": re.compile(r"[0-3][0-9]/[01][0-9]/[0-9]{4}"),
    "mm/dd/yyyy": re.compile(r"[01][0-9]/[0-3][0-9]/[0-9]{4}"),
}
NUMBER = re.compile(r"[-+]?[0-9]+([.,][0-9]+)?")
SUGGESTED_MAX, SAME_KIND = 3, 0.5
DATES = frozenset({"date", "timestamp", "timestamptz"})
CASTS = frozenset({"boolean", "smallint", "integer", "bigint", "uuid"})


@dataclass(frozen=True)
class Sample:
    """Values of some rows as text, per column; None is NULL. `why_none` says why there are none."""

    values: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    why_none: str = ""

    def of(self, column: str) -> list[str]:
        return [value for value in self.values.get(column, ()) if value is not None]


@dataclass(frozen=True)
class Bridge:
    """How values of one type come into a column of another.

    Attributes:
        steps: As written in a mapping.
        fit: 1.0 as it is, less with steps.
        decide: What a person must say about it.
    """

    steps: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    fit: float = 1.0
    said: str = "types fit"
    decide: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pair:
    """A proposed pair: target column, source column, and why."""

    target: str
    source: str
    bridge: Bridge
    confidence: float
    reason: str

    @property
    def is_trusted(self) -> bool:
        return self.confidence >= TRUSTED_MIN


def propose(
    source: Iterable[Column],
    target: Iterable[Column],
    given: Sample,
    held: Sample,
    *,
    fixed: Mapping[str, tuple[str, str]],
) -> dict[str, Pair]:
    """Target column -> the pair proposed for it; each source column goes to one target column at most.

    Args:
        given, held: Samples of the source and of the target.
        fixed: Target column -> the source column that is known already, and by what.
    """
    sources, targets = list(source), list(target)
    by_name = {column.name: column for column in sources}
    pairs: dict[str, Pair] = {}
    scored = []
    for column in targets:
        known, duty = fixed.get(column.name, ("", ""))
        if not known and column.name in by_name and _bridged(by_name[column.name], column, given):
            known = column.name  # no other name can be closer
        for candidate in [by_name[known]] if known else sources:
            if (pair := _pair(candidate, column, given, held, duty)) is not None:
                scored.append((column.name not in fixed, -pair.confidence, column.name, candidate.name, pair))
    taken: set[str] = set()
    for is_free, lost, name, candidate_name, pair in sorted(scored, key=lambda one: one[:4]):
        if name in pairs or candidate_name in taken or (is_free and -lost < PROPOSED_MIN):
            continue
        pairs[name] = pair
        taken.add(candidate_name)
    return pairs


def _bridged(source: Column, target: Column, given: Sample) -> bool:
    return bridge_between(source, target, given.of(source.name)) is not None


def name_likeness(one: str, other: str) -> tuple[float, str]:
    """0 to 1, and in words."""
    if one == other:
        return SAME, "same name"
    a, b = _meanings(one), _meanings(other)
    shared = 2 * _weight(a & b) / (_weight(a) + _weight(b)) if a and b else 0.0
    if shared >= MEANT_MIN:
        return MEANT, "names mean the same"
    matcher = difflib.SequenceMatcher(None, _strong(one), _strong(other))
    looks = matcher.ratio() * ALIKE if matcher.real_quick_ratio() * ALIKE > shared * MEANT else 0.0
    likeness = max(shared * MEANT, looks)
    return likeness, "names are alike" if likeness >= ALIKE_MIN else "names differ"


@cache
def _words(name: str) -> tuple[str, ...]:
    return tuple(part for word in re.split(r"[_\d]+", name.lower()) if word for part in _parts(word))


def _parts(word: str) -> tuple[str, ...]:
    """The words of which one is made: rechnungsdatum is an invoice's date."""
    if word in MEANS or word in WHOLE:
        return WHOLE.get(word, (word,))
    tail = next((tail for tail in TAILS if word.endswith(tail) and len(word) >= len(tail) + HEAD_MIN), "")
    if not tail:
        return (word,)
    head = word.removesuffix(tail)
    known = (head.removesuffix(joint) for joint in JOINTS if head.removesuffix(joint) in MEANS)
    return next(known, head), tail


@cache
def english(name: str) -> tuple[str, ...]:
    """The words of a name, each as the one that stands for all of its meaning."""
    return tuple(MEANS.get(word, word) for word in _words(name))


@cache
def _meanings(name: str) -> frozenset[str]:
    return frozenset(english(name))


def _weight(words: frozenset[str]) -> float:
    """Half the columns of the world end in _code or _id: such a word says little."""
    return sum(WEAK_WEIGHT if word in WEAK else 1 for word in words)


@cache
def _strong(name: str) -> str:
    """The name without its weak words, where anything is left."""
    strong = [word for word in _words(name) if MEANS.get(word, word) not in WEAK]
    return "_".join(strong or _words(name))


def _pair(source: Column, target: Column, given: Sample, held: Sample, duty: str = "") -> Pair | None:
    bridge = bridge_between(source, target, given.of(source.name))
    if bridge is None:
        return None
    likeness, words = name_likeness(source.name, target.name)
    confidence = 0.8 * likeness + 0.2 * bridge.fit
    reasons = [duty or words, bridge.said]
    share = shared_values(given.of(source.name), held.of(target.name))
    if share is not None:
        confidence = _with_values(confidence, share.ratio, share.is_telling)
        reasons.append(f"{round(share.ratio * 100)} % of sampled values occur on the other side")
    if duty:
        confidence = max(confidence, KNOWN_BY_DUTY)
    return Pair(target.name, source.name, bridge, round(confidence, 2), ", ".join(reasons))


def _with_values(confidence: float, share: float, is_telling: bool) -> float:
    """Values that agree say much, values that do not say little: two samples may be of different rows."""
    if not is_telling:
        return confidence
    return confidence * 0.85 if share < STRANGERS_MAX else confidence + (1 - confidence) * share * 0.6


def suggested(sources: Iterable[Column], target: Column, given: Sample) -> list[str]:
    """The columns that a person should look at first for one without a pair, the likeliest first.

    All of them fit its type, as they are or with a step. A date comes from dates, a text from texts.
    """
    ranked = []
    for source in sources:
        likeness = name_likeness(source.name, target.name)[0]
        closeness = _closeness(source, target, given)
        if closeness and (closeness >= SAME_KIND or likeness >= ALIKE_MIN or _reads_as(source, target, given)):
            ranked.append((-(likeness if likeness >= ALIKE_MIN else 0), -closeness, -likeness, source.name))
    return [name for *_, name in sorted(ranked)][:SUGGESTED_MAX]


def _closeness(source: Column, target: Column, given: Sample) -> float:
    """How near two types are: 1.0 for the same, 0.0 where none of our steps leads from one to the other."""
    bridge = bridge_between(source, target, given.of(source.name))
    if bridge is None or source.type is None or target.type is None:
        return 0.0
    if _holds_dates(target) and not (_holds_dates(source) or _looks_like_dates(source, given)):
        return 0.0
    if source.type == target.type:
        return 1.0
    is_same_kind = source.type.family == target.type.family or _holds_dates(target)
    return (SAME_KIND if is_same_kind else 0.0) + 0.4 * bridge.fit


def _holds_dates(column: Column) -> bool:
    return column.type is not None and column.type.name in DATES and not column.type.is_array


def _looks_like_dates(column: Column, given: Sample) -> bool:
    """Whether a text holds dates, by what is in it or by its name."""
    said = [value for value in given.of(column.name) if value.strip()]
    looks = max(sum(1 for value in said if shape.fullmatch(value)) for shape in DATE_FORMATS.values())
    is_named = bool({"date", "birth"} & _meanings(column.name))
    return looks >= LOOKS_MIN * len(said) if said else is_named


def _reads_as(source: Column, target: Column, given: Sample) -> bool:
    """Whether a text holds what the target wants, by what is in it: numbers, or two words for true and false."""
    said = {value.strip() for value in given.of(source.name) if value.strip()}
    if source.type is None or target.type is None or source.type.family != "text" or not said:
        return False
    if target.type.family == "number":
        return sum(1 for value in said if NUMBER.fullmatch(value)) >= LOOKS_MIN * len(said)
    return target.type.name == "boolean" and len(said) <= len(("true", "false"))


@dataclass(frozen=True)
class Share:
    """How many of the smaller side's different values the other side has; telling if there are enough of them."""

    ratio: float
    is_telling: bool


def shared_values(given: list[str], held: list[str]) -> Share | None:
    """None where one side has no values."""
    one, other = {_plain(value) for value in given}, {_plain(value) for value in held}
    smaller = min(len(one), len(other))
    return Share(len(one & other) / smaller, smaller >= TELLING_VALUES) if smaller else None


def _plain(value: str) -> str:
    """The value as both sides would spell it: 12.500 is 12.5."""
    try:
        return str(Decimal(value).normalize())
    except InvalidOperation:
        return value.strip()


def bridge_between(source: Column, target: Column, values: list[str]) -> Bridge | None:
    """The steps from one column to another; None where no word of ours leads there."""
    if source.type is None or target.type is None or target.type.name == "json":
        return None
    given, wanted = source.type.as_read, PgType("text") if target.values is not None else target.type
    if target.values is not None and target.type.family == "text":
        return _to_codes(source, target, values) if given.family == "text" else None
    match given.becomes(wanted):
        case "lossless":
            if wanted.family == "text" and given.family != "text":
                return Bridge(fit=0.6, said=f"{given} becomes text")
            return Bridge()
        case "guarded":
            return Bridge(fit=0.95, said="types fit, what is too large is rejected")
        case "lossy" if given.family == wanted.family == "number":
            return _rounded(wanted)
    return _parsed(given, wanted, values)


def _rounded(wanted: PgType) -> Bridge:
    scale = wanted.scale or 0
    return Bridge(
        steps=(f"{{round: {{scale: {scale}, mode: half_even}}}}",),
        fit=0.9,
        said=f"rounded to {scale} decimals",
        decide=(f"how is it rounded to {scale} decimals? half_even, half_up, floor, ceiling or truncate",),
    )


def _parsed(given: PgType, wanted: PgType, values: list[str]) -> Bridge | None:
    """Text that is read, and times that need a zone."""
    if given.family == "text" and not wanted.is_array:
        if wanted.name == "date":
            return _date(values)
        if wanted.name in CASTS:
            return Bridge((f"{{cast: {wanted.name}}}",), fit=0.7, said=f"text is read as {wanted}")
        if wanted.name == "numeric":
            steps = ("parse_number",) if wanted.precision is None else ("parse_number", *_rounded(wanted).steps)
            decide = () if wanted.precision is None else _rounded(wanted).decide
            return Bridge(steps, fit=0.7, said="text is read as a number", decide=decide)
    match given.name, wanted.name:
        case "timestamp", "timestamptz":
            asked = "in which time zone is the source's clock? UTC is a guess"
            return Bridge(("{in_zone: {zone: UTC}}",), fit=0.7, said="a zone is given", decide=(asked,))
        case "timestamptz", "date":
            asked = "the day in which time zone? UTC is a guess"
            return Bridge(("{date_in: UTC}",), fit=0.7, said="the day of the instant", decide=(asked,))
    return None


def _date(values: list[str]) -> Bridge:
    said = [value for value in values if value.strip()]
    looks = {name: sum(1 for value in said if shape.fullmatch(value)) for name, shape in DATE_FORMATS.items()}
    best = max(looks, key=lambda name: looks[name])
    if said and looks[best] >= LOOKS_MIN * len(said):
        rivals = [name for name in looks if name != best and looks[name] == looks[best]]
        asked = (f"03/04/2026 is two days: {best} or {rivals[0]}?",) if rivals else ()
        text = f"text that looks like {best} dates is read"
        return Bridge((f"{{parse_date: {best}}}",), fit=0.85, said=text, decide=asked)
    asked = ("which date format has the text? no format fits most of the sample" if said else
             "which date format has the text? there is no sample to look at",)  # fmt: skip
    return Bridge(("{parse_date: iso}",), fit=0.6, said="text is read as a date", decide=asked)


def _to_codes(source: Column, target: Column, values: list[str]) -> Bridge:
    """Into a column of certain values: as they are where all fit, else by a map of those that are plainly meant."""
    wanted = target.labels or target.allowed or ()
    listed = ", ".join(quoted(value) for value in wanted)
    codes = source.labels or source.allowed or codes_in(values)
    if codes and set(codes) <= set(wanted):
        return Bridge(checks=(f"{{one_of: [{listed}]}}",), said="codes are the same")
    counterparts = {code: meant for code in codes if (meant := _meant(code, wanted))}
    if not counterparts:
        asked = f"which code stands for which of {', '.join(wanted)}? say steps: [{{map: {{...}}}}]"
        return Bridge(checks=(f"{{one_of: [{listed}]}}",), fit=0.6, said="codes differ", decide=(asked,))
    pairs = ", ".join(f"{quoted(code)}: {quoted(meant)}" for code, meant in counterparts.items())
    unmeant = [code for code in codes if code not in counterparts]
    asked = f"is each code meant so? one of: {', '.join(wanted)}"
    asked += f". Rejected as yet: {', '.join(unmeant)}" if unmeant else ""
    return Bridge((f"{{map: {{values: {{{pairs}}}}}}}",), fit=0.8, said="codes are mapped", decide=(asked,))


def codes_in(values: list[str]) -> tuple[str, ...]:
    """The codes of a column that holds codes; nothing of one that holds anything else."""
    different = sorted(set(values))
    is_repeated = len(values) >= REPEATED_MIN * len(different)
    is_short = all(len(value) <= CODE_LENGTH_MAX and CODE.fullmatch(value) for value in different)
    return tuple(different) if different and len(different) <= CODES_MAX and is_repeated and is_short else ()


def _meant(code: str, wanted: Iterable[str]) -> str:
    """The one value that a code equals or abbreviates; '' where none or several are."""
    folded = code.casefold()
    equal = [value for value in wanted if value.casefold() == folded]
    begun = [value for value in wanted if value.casefold().startswith(folded) or folded.startswith(value.casefold())]
    return equal[0] if equal else begun[0] if len(begun) == 1 else ""


def quoted(value: str) -> str:
    """A text that YAML reads as itself, whatever it looks like."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
