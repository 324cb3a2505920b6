"""Which column of a source is meant by a column of a target: by name, by type, and by values that both hold.

A proposal, never a decision: the confidence is shown, and what tipped the scale in words. Values are compared in
memory and forgotten; of a sample only shares leave this module, and what bridging.py lets out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation

from syncline.core.catalogs.bridging import (
    DATE_FORMATS,
    LOOKS_MIN,
    NUMBER,
    Bridge,
    Known,
    bridge_between,
    bridge_of_types,
)
from syncline.core.catalogs.naming import ALIKE_MIN, english, name_likeness
from syncline.core.catalogs.tables import Column

TELLING_VALUES = 10  # a column of fewer different values agrees with many others by chance
PROPOSED_MIN = 0.55
TRUSTED_MIN = 0.75
KNOWN_BY_DUTY = 0.9
MISFITS_WEIGHT = 0.5  # what is left of the confidence where every sampled value would be rejected
STRANGERS_MAX = 0.05  # share of common values below which two columns seem to hold different things
SUGGESTED_MAX, SAME_KIND = 3, 0.5
DATES = frozenset({"date", "timestamp", "timestamptz"})


@dataclass(frozen=True)
class Sample:
    """Values of some rows as text, per column; None is NULL. `why_none` says why there are none."""

    values: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    why_none: str = ""

    _spelt: dict[str, frozenset[str]] = field(default_factory=dict, compare=False, repr=False)

    def of(self, column: str) -> list[str]:
        return [value for value in self.values.get(column, ()) if value is not None]

    def empty(self, column: str) -> int:
        """How many rows have no value there."""
        return sum(value is None for value in self.values.get(column, ()))

    def spelt(self, column: str) -> frozenset[str]:
        """The different values as both sides would spell them; found once, for it is asked by every pair."""
        if column not in self._spelt:
            self._spelt[column] = frozenset(map(_plain, self.of(column)))
        return self._spelt[column]


@dataclass(frozen=True)
class Pair:
    """A proposed pair: target column, source column, and why.

    Attributes:
        confidence: 0 to 1; less where sampled values would be rejected.
        likelihood: The same before values were tried: whether the two columns are the same thing.
    """

    target: str
    source: str
    bridge: Bridge
    confidence: float
    likelihood: float
    reason: str

    @property
    def is_trusted(self) -> bool:
        """Whether the two are the same thing; values that do not fit are asked about by themselves."""
        return self.likelihood >= TRUSTED_MIN


def propose(
    source: Iterable[Column],
    target: Iterable[Column],
    given: Sample,
    held: Sample,
    *,
    fixed: Mapping[str, tuple[str, str]],
    lists: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, Pair]:
    """Target column -> the pair proposed for it; each source column goes to one target column at most.

    Args:
        given, held: Samples of the source and of the target.
        fixed: Target column -> the source column that is known already, and by what.
        lists: The project's code lists, as `Known` has them.
    """
    sources, targets = list(source), list(target)
    beside = Known(tuple(column.name for column in sources if _says_currency(column)), lists or {})
    by_name = {column.name: column for column in sources}
    pairs: dict[str, Pair] = {}
    scored = []
    for column in targets:
        known, duty = fixed.get(column.name, ("", ""))
        if not known and column.name in by_name and _bridged(by_name[column.name], column, given):
            known = column.name  # no other name can be closer
        for candidate in [by_name[known]] if known in by_name else sources:
            if (pair := _pair(candidate, column, given, held, beside, duty)) is not None:
                scored.append((column.name not in fixed, -pair.confidence, column.name, candidate.name, pair))
    taken: set[str] = set()
    for is_free, _, name, candidate_name, pair in sorted(scored, key=lambda one: one[:4]):
        if name in pairs or candidate_name in taken or (is_free and pair.likelihood < PROPOSED_MIN):
            continue
        pairs[name] = pair
        taken.add(candidate_name)
    return pairs


def _says_currency(column: Column) -> bool:
    return column.type is not None and column.type.family == "text" and "currency" in english(column.name)


def _bridged(source: Column, target: Column, given: Sample) -> bool:
    return bridge_of_types(source, target, given.of(source.name)) is not None


def _pair(source: Column, target: Column, given: Sample, held: Sample, beside: Known, duty: str = "") -> Pair | None:
    likeness, words = name_likeness(source.name, target.name)
    share = shared_values(given.spelt(source.name), held.spelt(target.name))
    if not duty and _likelihood(likeness, 1.0, share) < PROPOSED_MIN:
        return None  # whatever lies between them
    bridge = bridge_between(source, target, given.of(source.name), beside)
    if bridge is None:
        return None
    reasons = [duty or words, bridge.said]
    if share is not None:
        reasons.append(f"{round(share.ratio * 100)} % of sampled values occur on the other side")
    likelihood = _likelihood(likeness, bridge.fit, share)
    if duty:
        likelihood = max(likelihood, KNOWN_BY_DUTY)
    confidence = round(likelihood * (1 - MISFITS_WEIGHT * bridge.misfits), 2)
    bridge = replace(bridge, decide=(*bridge.decide, *_empty(source, target, given)))
    return Pair(target.name, source.name, bridge, confidence, round(likelihood, 2), ", ".join(reasons))


def _likelihood(likeness: float, fit: float, share: Share | None) -> float:
    likelihood = 0.8 * likeness + 0.2 * fit
    return likelihood if share is None else _with_values(likelihood, share.ratio, share.is_telling)


def _empty(source: Column, target: Column, given: Sample) -> list[str]:
    """Rows that have nothing for a column that must be filled."""
    if target.is_nullable or not (empty := given.empty(source.name)):
        return []
    said = f"{empty} of {len(given.values[source.name])} sampled rows have no {source.name}, and {target.name}"
    return [f"{said} is NOT NULL: reject them, or fill them with steps: [{{default: ...}}]?"]


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
    bridge = bridge_of_types(source, target, given.of(source.name))
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
    is_named = bool({"date", "birth"} & set(english(column.name)))
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


def shared_values(given: frozenset[str], held: frozenset[str]) -> Share | None:
    """None where one side has no values."""
    smaller = min(len(given), len(held))
    return Share(len(given & held) / smaller, smaller >= TELLING_VALUES) if smaller else None


def _plain(value: str) -> str:
    """The value as both sides would spell it: 12.500 is 12.5."""
    try:
        return str(Decimal(value).normalize())
    except InvalidOperation:
        return value.strip()
