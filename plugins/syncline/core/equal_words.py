"""What a mapping may say under `equal`: which differences of a field's values do not count in a comparison.

Words, and which types take them. The SQL that they become is equality.py's matter. Nothing here changes what is
written: the loader knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Self

from pydantic import Field, PrivateAttr, StrictBool, StrictFloat, StrictInt, ValidationInfo, model_validator

from syncline.core.models import Frozen, Name
from syncline.core.references import CodeList, references_of
from syncline.core.text_forms import Ignored, text_formed
from syncline.core.types import INTEGER_DIGITS, MICROSECONDS, PgType

DECIMALS_MAX = 30
NUMBERS, CLOCKS, TEXTS = ("number", "float"), ("timestamp", "timestamptz", "time"), ("text",)
# word -> families of types that take it
TAKES = {
    "decimals": NUMBERS, "within": NUMBERS, "within_s": CLOCKS, "second_digits": CLOCKS, "ignore": TEXTS,
    "empty_is_null": TEXTS, "codes": TEXTS, "code_list": TEXTS, "is_json": ("text", "json"), "alike": TEXTS,
}  # fmt: skip
# Of two words that both decide, which the second is redundant or contrary to.
ONE_OF_BOTH = (
    ("decimals", "within"), ("second_digits", "within_s"), ("alike", "ignore"), ("alike", "codes"),
    ("alike", "code_list"), ("is_json", "ignore"), ("is_json", "codes"), ("is_json", "code_list"), ("is_json", "alike"),
)  # fmt: skip
WIDER: dict[Ignored, Ignored] = {
    "padding": "whitespace",
    "normalization": "compatibility",
}  # what says the same, and more
Tolerance = Annotated[StrictFloat, Field(gt=0, allow_inf_nan=False)]
Mistake = tuple[tuple[str | int, ...], str, str]  # place below `equal`, found, allowed


class Equality(Frozen):
    """Which differences of a field's values do not count when both sides are compared (docs/equality.md).

    It concerns comparisons alone: what is written stays as the loader judges it, value by value.
    """

    decimals: Annotated[StrictInt, Field(ge=0, le=DECIMALS_MAX)] | None = Field(
        None, description="Numbers are compared rounded to so many decimals", examples=[2]
    )
    within: Tolerance | None = Field(
        None, description="Numbers that are no further apart than this are equal", examples=[0.01]
    )
    within_s: Tolerance | None = Field(
        None, description="Times that are no more than so many seconds apart are equal", examples=[1]
    )
    second_digits: Annotated[StrictInt, Field(ge=0, lt=MICROSECONDS)] | None = Field(
        None, description="Times are compared cut to so many digits of a second", examples=[3]
    )
    ignore: Annotated[tuple[Ignored, ...], Field(max_length=5)] = Field(
        (),
        description="What of a text does not count. case: of letters; whitespace: at both ends, and how much between"
        " words; padding: blanks at the end; normalization: how Unicode composes letters (NFC); compatibility: the"
        " same, and ligatures, full width, superscripts (NFKC)",
        examples=[["case", "whitespace"]],
    )
    empty_is_null: StrictBool = Field(False, description="An empty text and NULL are equal", examples=[True])
    codes: Annotated[tuple[Annotated[tuple[str, ...], Field(min_length=2)], ...], Field(max_length=1_000)] = Field(
        (), description="Groups of values that mean the same", examples=[[["GB", "UK", "GBR"]]]
    )
    code_list: Name | None = Field(
        None,
        description="A file of include/code_lists/, without .yaml: a code, its counterpart and every other code with"
        " that counterpart mean the same",
        examples=["iso_3166_alpha_3"],
    )
    is_json: StrictBool = Field(
        False,
        description="A text or json is compared as the JSON value that it says: neither order of keys nor spelling"
        " counts",
        examples=[True],
    )
    alike: Annotated[StrictFloat, Field(gt=0, le=1)] | None = Field(
        None,
        description="Names are equal whose words share at least this much of their trigrams, 0 to 1; case, signs and"
        " the order of words do not count",
        examples=[0.8],
    )
    _found: CodeList | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _find(self, info: ValidationInfo) -> Self:
        if self.code_list is not None:
            self._found = references_of(info).code_list(self.code_list)
        return self

    @property
    def words(self) -> tuple[str, ...]:
        """The words that say something."""
        said = {word: getattr(self, word) for word in TAKES}
        return tuple(word for word, value in said.items() if value is not None and value is not False and value != ())

    @cached_property
    def meanings(self) -> dict[str, str]:
        """Form of a value -> the form that stands for all values which mean the same."""
        groups: list[set[str]] = []
        for said in [*map(set, self._formed_codes()), *map(set, self._listed())]:
            met = [group for group in groups if group & said]
            groups = [group for group in groups if not group & said] + [said.union(*met)]
        return {value: min(group) for group in groups for value in sorted(group)}

    def faults(self, kind: PgType) -> Iterator[Mistake]:
        """What of it says nothing about values of a type, or contradicts itself."""
        for word in self.words:
            if kind.family not in TAKES[word]:
                allowed = f"`{word}` takes {' or '.join(TAKES[word])}"
                yield (word,), f"`{word}` says nothing about {kind}", allowed
        for one, other in ONE_OF_BOTH:
            if one in self.words and other in self.words:
                yield (other,), f"`{other}` beside `{one}`: only one can decide", f"keep `{one}`, or `{other}`"
        yield from self._idle(kind)
        yield from self._two_meanings()

    def _idle(self, kind: PgType) -> Iterator[Mistake]:
        """Words that change nothing."""
        if self.decimals is not None and kind.name in INTEGER_DIGITS:
            yield ("decimals",), f"{kind} has no decimals", "drop `decimals`; `within` takes whole numbers too"
        if self.decimals is not None and kind.scale is not None and self.decimals > kind.scale:
            yield ("decimals",), f"{kind} has only {kind.scale} decimals", f"0 to {kind.scale}"
        if self.second_digits is not None and kind.precision is not None and self.second_digits > kind.precision:
            yield ("second_digits",), f"{kind} has only {kind.precision} digits of a second", f"0 to {kind.precision}"
        for n, word in enumerate(self.ignore):
            wider = WIDER.get(word)
            if word in self.ignore[:n]:
                yield ("ignore", n), f"`{word}` twice", "drop one"
            elif wider in self.ignore:
                yield ("ignore", n), f"`{word}` beside `{wider}`, which says it too", f"drop `{word}`"
            elif word == "padding" and kind.name == "char":
                yield ("ignore", n), f"padding of {kind} never counts", "drop `padding`"

    def _two_meanings(self) -> Iterator[Mistake]:
        seen: dict[str, int] = {}
        for n, group in enumerate(self._formed_codes()):
            for code in sorted(group):
                if (earlier := seen.setdefault(code, n)) != n or group.count(code) > 1:
                    said = "twice in one group" if earlier == n else f"in groups {earlier + 1} and {n + 1}"
                    yield (
                        ("codes", n),
                        f"'{code[:40]}' stands {said}",
                        "each value once; what means the same is one group",
                    )
                    break
        if self._found is None:
            return
        if self._found.is_dated:
            said = f"code list '{self.code_list}' has periods: what a code means depends on the day"
            yield ("code_list",), said, "say under `codes` what means the same"
        for code, entries in self._found.entries.items():
            meant = entries[0].value
            if meant != code and any(entry.value != meant for entry in self._found.entries.get(meant, ())):
                said = f"code list '{self.code_list}' leads on: '{code[:40]}' means '{meant[:40]}', a code itself"
                yield ("code_list",), said, "say under `codes` what means the same"
                return

    def _formed_codes(self) -> list[list[str]]:
        return [[text_formed(code, self.ignore) for code in group] for group in self.codes]

    def _listed(self) -> Iterator[list[str]]:
        """A code and its counterpart, entry by entry."""
        if self._found is not None:
            for code, entry in self._found.periods():
                yield [text_formed(code, self.ignore), text_formed(entry.value, self.ignore)]
