"""Steps on how a text is written: Unicode's normal forms, Latin letters for other alphabets, a reader's character set.

None of them puts a question mark where a letter has no spelling: such a row is rejected. The sets and the letters are
in alphabets.py. They need a database in UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, Literal

from psycopg import sql
from psycopg.sql import Composable
from pydantic import Field

from syncline.core.transforms.alphabets import CHARSETS, LANGUAGES, LATIN, Alphabet, Charset, Rule
from syncline.core.transforms.base import Cost, Transform, lit, template
from syncline.core.transforms.text import once
from syncline.core.types import PgType

MARKS = r"[\u0300-\u036f]"  # accents, once Unicode has taken them off their letters
# Code points of nobody's, which mark a letter while it waits for its spelling; a text that has one is refused.
START, CAPITALS = "\ue000", "\ue001"
ASCII = r"^[\u0001-\u007f]*$"
CAPITAL_LATIN = "A-ZÀ-ÖØ-Þ"
SMALL_LATIN = "a-zß-öø-ÿ"


class Normalise(Transform):
    """One of Unicode's normal forms, so that equal texts are equal: `é` is one character or two, and looks the same.

    NFC composes, NFD takes apart; NFKC and NFKD also write compatibility characters out (the ligature ﬁ as fi, ² as 2),
    which loses how they looked. NULL stays NULL; no value is an error. Source: Unicode Standard Annex 15.
    """

    word: Literal["normalise"] = "normalise"
    shorthand: ClassVar[str | None] = "form"
    cost: ClassVar[Cost] = "heavy"
    examples: ClassVar[tuple[str, ...]] = ("{normalise: NFC}",)
    form: Literal["NFC", "NFD", "NFKC", "NFKD"] = Field(description="Unicode's name of the form")

    def sql(self, value: Composable, given: PgType) -> Composable:
        # Most values are ASCII, and in every form by that; to find it out costs a tenth of normalising.
        normal = "case when octet_length({v}) = char_length({v}) then {v} else normalize({v}, " + self.form + ") end"
        return once(value, lambda v: template(normal, v=v))


class Encode(Transform):
    """Spell a name in a reader's character set: accents fall, ligatures are written out.

    sepa and swift_x are those of banks, uk_bacs that of Bacs (capitals only, no apostrophe), irs_name that of the US
    tax authority (letters, hyphen, space; `remove` other signs before), latin1 and latin9 those of older files, which
    keep the accents they have. What has no spelling in the set (another script) is an error of the row, never a
    question mark. NULL stays NULL.
    Source: EPC217-08; SWIFT character set X; Bacs Standard 18; IRS efileTypes.xsd; ISO/IEC 8859-1 and 8859-15.
    """

    word: Literal["encode"] = "encode"
    shorthand: ClassVar[str | None] = "charset"
    may_reject: ClassVar[bool] = True
    cost: ClassVar[Cost] = "heavy"
    examples: ClassVar[tuple[str, ...]] = ("{encode: sepa}", "{encode: uk_bacs}", "{encode: latin1}")
    charset: Literal["sepa", "swift_x", "uk_bacs", "irs_name", "ascii", "latin1", "latin9"] = Field(
        description="The set of the reader; docs/transforms.md names the source of each"
    )

    def sql(self, value: Composable, given: PgType) -> Composable:
        charset = CHARSETS[self.charset]
        if charset.is_capital:
            value = _capitals(value)
        allowed = lit(f"^[{charset.letters}]*$")
        # Most names are in the set already: the regular expression decides in one pass, the spelling is rare.
        return once(
            value,
            lambda v: template(
                "case when {v} ~ {allowed} then {v} else"
                " (select r.spelt from (select {spelt} offset 0) as r (spelt) where r.spelt ~ {allowed}) end",
                v=v, allowed=allowed, spelt=_spelt(v, charset),
            ),
        )  # fmt: skip


def _spelt(value: Composable, charset: Charset) -> Composable:
    if charset.has_accents:
        return _letter_by_letter(_written_out(template("normalize({v}, NFC)", v=value), charset), charset)
    spelt = _without_accents(_written_out(value, charset))
    return _capitals(spelt) if charset.is_capital else spelt


def _written_out(value: Composable, charset: Charset) -> Composable:
    """Letters that the set has not and Unicode does not take apart, by their usual spelling."""
    has = re.compile(f"[{charset.letters}]")
    return _replaced(value, {letter: spelling for letter, spelling in LATIN.items() if not has.fullmatch(letter)})


def _without_accents(value: Composable) -> Composable:
    return template("regexp_replace(normalize({v}, NFKD), {marks}, '', 'g')", v=value, marks=lit(MARKS))


def _letter_by_letter(value: Composable, charset: Charset) -> Composable:
    """Only letters that the set has not lose their accents."""
    return template(
        "(select string_agg(case when l.c ~ {one} then l.c else {bare} end, '' order by l.n)"
        " from unnest(string_to_array({v}, null)) with ordinality as l (c, n))",
        one=lit(f"^[{charset.letters}]$"), bare=_without_accents(sql.SQL("l.c")), v=value,
    )  # fmt: skip


def _replaced(value: Composable, spellings: Mapping[str, str]) -> Composable:
    """Each letter by its spelling: one pass for all that become one letter or none, one for each other."""
    for letter, spelling in spellings.items():
        if len(letter) > 1 or len(spelling) > 1:
            value = template("replace({v}, {a}, {b})", v=value, a=lit(letter), b=lit(spelling))
    single = sorted((pair for pair in spellings.items() if max(map(len, pair)) == 1), key=lambda pair: not pair[1])
    letters, written = ("".join(part) for part in (zip(*single, strict=True) if single else ("", "")))
    return template("translate({v}, {a}, {b})", v=value, a=lit(letters), b=lit(written)) if single else value


def _capitals(value: Composable) -> Composable:
    """a to z as A to Z whatever the locale: in Turkish the capital of i is another one."""
    return template('(upper(({v}) collate "C") collate "default")', v=value)


class Transliterate(Transform):
    """Write a name in the letters A to Z by its language's rules: `{transliterate: ru}` makes `Shchukin` of `Щукин`.

    Latin languages have their own rules too: in German ä is ae, in Danish å is aa. A capital that becomes several
    letters has one large one (`Жук` is `Zhuk`), but all of them where a capital follows, or where it ends a word behind
    a capital (`ЖУК` is `ZHUK`). Letters of other Latin alphabets lose their accents. What has no rule is an error of
    the row, never a question mark. NULL stays NULL.
    Source: ICAO Doc 9303 part 3 (cs, da, de, fi, is, nb, nn, pl, ru, sv, tr); Bulgarian Transliteration Act 2009 (bg);
    ELOT 743 and ISO 843 type 2 (el); Ukrainian Cabinet resolution 55 of 2010 (uk).
    """

    word: Literal["transliterate"] = "transliterate"
    shorthand: ClassVar[str | None] = "language"
    cost: ClassVar[Cost] = "heavy"
    may_reject: ClassVar[bool] = True
    examples: ClassVar[tuple[str, ...]] = ("{transliterate: ru}", "{transliterate: el}", "{transliterate: de}")
    language: Literal["bg", "cs", "da", "de", "el", "fi", "is", "nb", "nn", "pl", "ru", "sv", "tr", "uk"] = Field(
        description="ISO 639-1 code of the language that the names are in"
    )

    def sql(self, value: Composable, given: PgType) -> Composable:
        writing = _Writing(LANGUAGES[self.language])
        return once(
            value,
            lambda v: template(
                "case when octet_length({v}) = char_length({v}) then {v} when {v} !~ {marked} then {written} end",
                v=v, marked=lit(f"[{START}{CAPITALS}]"), written=writing.sql(v),
            ),
        )  # fmt: skip


class _Writing:
    """The SQL of one alphabet. Letters whose spelling depends on where they stand are marked first."""

    def __init__(self, alphabet: Alphabet) -> None:
        self.alphabet = alphabet
        self.starts = alphabet.starts or {}
        self.capital = {
            letter: letter.upper()
            for letter in alphabet.letters
            if len(letter.upper()) == 1 and letter.upper() != letter and not letter.upper().isascii()
        }
        self.small = "".join(letter for letter in alphabet.letters if letter.islower())
        self.capitals = "".join(
            {letter: None for letter in (*self.capital.values(), *alphabet.letters) if letter.isupper()}
        )
        self.any_capital = f"[{self.capitals}{CAPITAL_LATIN}]"
        self.any_letter = f"[{self.small}{SMALL_LATIN}{self.capitals}{CAPITAL_LATIN}]"

    def sql(self, value: Composable) -> Composable:
        """The value in A to Z; NULL where a letter has no rule."""
        return template(
            "(select case when l.c ~ {ascii} then l.c else"
            " (select o.c from (select {others} offset 0) as o (c) where o.c ~ {ascii}) end"
            " from (select {letters} from (select {marked} offset 0) as m (c) offset 0) as l (c))",
            ascii=lit(ASCII),
            others=_without_accents(_replaced(sql.SQL("l.c"), _OTHERS)),
            letters=_replaced(self._capitals_spelt(sql.SQL("m.c")), self._spellings()),
            marked=self._marked(value),
        )

    def _marked(self, value: Composable) -> Composable:
        """Composed, rewritten by the language's rules, and with the letters at the start of a word marked."""
        value, own = template("normalize({v}, NFC)", v=value), f"[{self.small}{self.capitals}]"
        rules = [Rule(f"({own})[{self.alphabet.drops}](?={own})", r"\1")] if self.alphabet.drops else []
        rules += self.alphabet.rules
        if self.starts:
            starting = "".join(self.starts) + "".join(self.capital[letter] for letter in self.starts)
            rules.append(Rule(f"{{N}}([{starting}])", rf"\1\2{START}"))
        for rule in rules:
            pattern = rule.pattern.replace("{L}", self.any_letter).replace("{N}", f"(^|[^{self.any_letter[1:]})")
            value = template("regexp_replace({v}, {a}, {b}, 'g')", v=value, a=lit(pattern), b=lit(rule.becomes))
        return value

    def _capitals_spelt(self, value: Composable) -> Composable:
        """Where capitals stand side by side, those that become several letters are written in capitals."""
        several = [letter for letter in self.capital if max(map(len, self._both(letter))) > 1]
        if not several:
            return value
        these = f"[{''.join(self.capital[letter] for letter in several)}]"
        # First those with a capital behind them, then the last ones of their words; no look behind, see `Alphabet`.
        found = [
            (f"({these}{START}?)(?={self.any_capital})", rf"\1{CAPITALS}"),
            (f"({self.any_capital}{START}?{CAPITALS}?{these})(?![{self.small}{SMALL_LATIN}{START}{CAPITALS}])",
             rf"\1{CAPITALS}"),
        ]  # fmt: skip
        marked = value
        for pattern, becomes in found:
            marked = template("regexp_replace({v}, {a}, {b}, 'g')", v=marked, a=lit(pattern), b=lit(becomes))
        spellings = {}
        for letter in several:
            at_start, elsewhere = self._both(letter)
            if letter in self.starts:
                spellings[self.capital[letter] + START + CAPITALS] = at_start.upper()
            spellings[self.capital[letter] + CAPITALS] = elsewhere.upper()
        return template(
            "case when {v} ~ {two} then {spelt} else {v} end",
            v=value, two=lit(f"{self.any_capital}{START}?{self.any_capital}"), spelt=_replaced(marked, spellings),
        )  # fmt: skip

    def _spellings(self) -> dict[str, str]:
        spellings: dict[str, str] = {}
        for letter, spelling in self.starts.items():
            spellings[letter + START] = spelling
            spellings[self.capital[letter] + START] = spelling.capitalize()
        small = self.alphabet.letters
        return spellings | small | {self.capital[letter]: small[letter].capitalize() for letter in self.capital}

    def _both(self, letter: str) -> tuple[str, str]:
        """How it is written at the start of a word, and elsewhere."""
        elsewhere = self.alphabet.letters[letter]
        return self.starts.get(letter, elsewhere), elsewhere


# ASCII stays; of other alphabets' letters only what Unicode does not take apart has a spelling here.
_OTHERS = {letter: spelling for letter, spelling in LATIN.items() if not letter.isascii()}
