"""Steps on text: trimming, case, removal, declared truncation, defaults and a bank's character set."""

from __future__ import annotations

from typing import ClassVar, Literal

from psycopg.sql import Composable
from pydantic import Field, StrictInt

from syncline.core.transforms.base import Scalar, Transform, lit, template
from syncline.core.transforms.literals import check_literal, untyped
from syncline.core.types import FAMILIES, TEXT, PgType

EVERYTHING = tuple(sorted(set(FAMILIES.values())))


class Trim(Transform):
    """White space at both ends is removed; a text of white space alone becomes NULL."""

    word: Literal["trim"] = "trim"

    def sql(self, value: Composable, given: PgType) -> Composable:
        # With the spaces of spreadsheets and of Japanese, but not all of Unicode's: each sign costs.
        return template(r"nullif(btrim({v}, E' \t\n\r\u00a0\u3000'), '')", v=value)


class Upper(Transform):
    """Upper case by the rules of the database that maps; its locale decides whether it knows more than a to z."""

    word: Literal["upper"] = "upper"

    def sql(self, value: Composable, given: PgType) -> Composable:
        return template("upper({v})", v=value)


class Lower(Transform):
    """Lower case by the rules of the database that maps; its locale decides whether it knows more than A to Z."""

    word: Literal["lower"] = "lower"

    def sql(self, value: Composable, given: PgType) -> Composable:
        return template("lower({v})", v=value)


class Remove(Transform):
    """Every one of the given characters is removed: `{remove: " -"}`."""

    word: Literal["remove"] = "remove"
    shorthand: ClassVar[str | None] = "characters"
    characters: str = Field(min_length=1)

    def sql(self, value: Composable, given: PgType) -> Composable:
        if len(self.characters) == 1:  # half the price of translate
            return template("replace({v}, {character}, '')", v=value, character=lit(self.characters))
        return template("translate({v}, {characters}, '')", v=value, characters=lit(self.characters))


class Truncate(Transform):
    """Declared truncation: at most so many characters are kept. Undeclared length is a `max_length` error."""

    word: Literal["truncate"] = "truncate"
    shorthand: ClassVar[str | None] = "length"
    length: StrictInt = Field(ge=1, le=10_000)

    def sql(self, value: Composable, given: PgType) -> Composable:
        return template("left({v}, {n})", v=value, n=lit(self.length))


class Default(Transform):
    """NULL becomes the given value, read as the type of the field."""

    word: Literal["default"] = "default"
    shorthand: ClassVar[str | None] = "value"
    takes: ClassVar[tuple[str, ...]] = EVERYTHING
    value: Scalar

    def gives(self, given: PgType) -> PgType:
        check_literal(self.value, given)
        return given

    def sql(self, value: Composable, given: PgType) -> Composable:
        return template("coalesce({v}, {default})", v=value, default=untyped(self.value))


class AsText(Transform):
    """Any value in PostgreSQL's own spelling; dates and times in ISO 8601."""

    word: Literal["to_text"] = "to_text"
    takes: ClassVar[tuple[str, ...]] = EVERYTHING

    def gives(self, given: PgType) -> PgType:
        return TEXT

    def sql(self, value: Composable, given: PgType) -> Composable:
        return template("({v})::text", v=value)


# Latin letters that Unicode does not decompose, with the spelling banks use.
LATIN = {
    "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L",
    "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "TH", "ı": "i", "ħ": "h", "Ħ": "H",
    "’": "'", "‘": "'", "`": "'", "´": "'", "–": "-", "—": "-", "“": "'", "”": "'", "&": "+", "_": "-",
}  # fmt: skip
# charset name -> inside of a bracket expression of an ARE; `-` stands last
CHARSETS = {
    # European Payments Council: the basic Latin set that every SEPA bank must accept
    "sepa": r"a-zA-Z0-9/?:().,'+ -",
    "ascii": r"\u0020-\u007e",
}


class Encode(Transform):
    """Spell a name in a bank's character set: accents fall, ligatures are written out.

    What has no spelling in the set (another script) is an error of the row, never a question mark.
    Source: SEPA requirements for an extended character set, EPC217-08.
    """

    word: Literal["encode"] = "encode"
    shorthand: ClassVar[str | None] = "charset"
    is_partial: ClassVar[bool] = True
    charset: Literal["sepa", "ascii"]

    def sql(self, value: Composable, given: PgType) -> Composable:
        allowed = lit(f"^[{CHARSETS[self.charset]}]*$")
        # Most names are in the set already: the regular expression decides in one pass, the spelling is rare.
        return template(
            "case when {v} ~ {allowed} then {v} else (select spelt from (select {spelt}) as s (spelt)"
            " where spelt ~ {allowed}) end",
            v=value, allowed=allowed, spelt=self._spelt(value),
        )  # fmt: skip

    def _spelt(self, value: Composable) -> Composable:
        foreign = {letter: spelling for letter, spelling in LATIN.items() if not self._has(letter)}
        single = {letter: spelling for letter, spelling in foreign.items() if len(spelling) == 1}
        spelt = template("{v}", v=value)
        for letter, spelling in foreign.items():
            if len(spelling) > 1:
                spelt = template("replace({v}, {a}, {b})", v=spelt, a=lit(letter), b=lit(spelling))
        spelt = template("translate({v}, {a}, {b})", v=spelt, a=lit("".join(single)), b=lit("".join(single.values())))
        return template(r"regexp_replace(normalize({v}, NFKD), '[\u0300-\u036f]', '', 'g')", v=spelt)

    def _has(self, letter: str) -> bool:
        return self.charset == "ascii" and letter.isascii()
