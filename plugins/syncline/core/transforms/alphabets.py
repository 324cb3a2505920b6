"""Character sets of those who read our names, and how languages are written in Latin letters. Data, no rules.

Each entry names its source. To add one: an entry here, a line of the source's own examples in test_words_encoding.py,
and its name in the Literal of encoding.py.
"""

# ruff: noqa: RUF001, RUF003 (letters that look alike are its purpose)
from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

# Letters that Unicode does not decompose, and signs of typography, with the spelling banks use.
LATIN = {
    "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L",
    "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "TH", "ı": "i", "ħ": "h", "Ħ": "H",
    "’": "'", "‘": "'", "`": "'", "´": "'", "–": "-", "—": "-", "“": "'", "”": "'", "&": "+", "_": "-",
}  # fmt: skip


@dataclass(frozen=True)
class Charset:
    """What a reader takes.

    Attributes:
        letters: The inside of a bracket expression that PostgreSQL and Python read alike; `-` stands last.
        source: Who says so.
        is_capital: Only capitals are in it, so small letters are written as capitals.
        has_accents: Letters with accents are in it, so they keep what the set has.
    """

    letters: str
    source: str
    is_capital: bool = False
    has_accents: bool = False


CHARSETS = {
    "sepa": Charset(
        r"a-zA-Z0-9/?:().,'+ -",
        "European Payments Council, EPC217-08: the basic Latin set that every SEPA bank must accept",
    ),
    # Its CR and LF divide lines; inside of a value they would begin a field of their own.
    "swift_x": Charset(r"a-zA-Z0-9/?:().,'+ -", "SWIFT, FIN character set X, without CR and LF"),
    "uk_bacs": Charset(r"A-Z0-9.&/ -", "Pay.UK, Bacs Standard 18: characters of names and references", is_capital=True),
    "irs_name": Charset(r"A-Za-z -", "US Internal Revenue Service, efileTypes.xsd: PersonFirstNameType"),
    "ascii": Charset(r"\u0020-\u007e", "ANSI X3.4 without control characters"),
    "latin1": Charset(r"\u0020-\u007e\u00a0-\u00ff", "ISO/IEC 8859-1", has_accents=True),
    "latin9": Charset(
        r"\u0020-\u007e\u00a0-\u00a3\u00a5\u00a7\u00a9-\u00b3\u00b5-\u00b7\u00b9-\u00bb\u00bf-\u00ff"
        r"\u20ac\u0160\u0161\u017d\u017e\u0152\u0153\u0178",
        "ISO/IEC 8859-15",
        has_accents=True,
    ),
}  # fmt: skip


class Rule(NamedTuple):
    """A rewriting before letters are: a regular expression of PostgreSQL, and what stands in its place."""

    pattern: str
    becomes: str


@dataclass(frozen=True)
class Alphabet:
    """How one language is written in Latin letters.

    Attributes:
        letters: Small letter -> small Latin letters; capitals follow from them.
        starts: The same at the start of a word, where it differs.
        source: Who says so.
        rules: Rewritings that need more than a letter, in order; `L` in braces is a letter of the language, `N` the
            start or another sign. No look behind, for which the server reads the text again from its beginning.
        drops: Signs between two letters of the language that are not written.
    """

    letters: dict[str, str]
    source: str
    starts: dict[str, str] | None = None
    rules: tuple[Rule, ...] = ()
    drops: str = ""


ICAO_LATIN = "ICAO Doc 9303, part 3, section 6.A: transliteration of multinational Latin-based characters"
ICAO_CYRILLIC = "ICAO Doc 9303, part 3, section 6.B: transliteration of Cyrillic characters"


def _plain(marked: str, plain: str) -> dict[str, str]:
    return dict(zip(marked, plain, strict=True))


NORDIC = {"å": "aa", "æ": "ae", "ø": "oe", "ä": "ae", "ö": "oe"}
GREEK_VOWELS = "αάεέηήιίϊΐοόυύϋΰωώ"
VOICED = "(?=[" + GREEK_VOWELS + "βγδζλμνρΑΆΕΈΗΉΙΊΪΟΌΥΎΫΩΏΒΓΔΖΛΜΝΡ])"

LANGUAGES = {
    "bg": Alphabet(
        {**_plain("абвгдезийклмнопрстуфхъьѝ", "abvgdeziyklmnoprstufhayi"), "ж": "zh", "ц": "ts", "ч": "ch", "ш": "sh",
         "щ": "sht", "ю": "yu", "я": "ya"},
        "Bulgaria, Transliteration Act of 2009: final -ия is -ia, the name of the state is Bulgaria",
        rules=(Rule("{N}Българи(?=я(?!{L}))", r"\1Булгари"), Rule("{N}БЪЛГАРИ(?=Я(?!{L}))", r"\1БУЛГАРИ"),
               Rule("([иИ])я(?!{L})", r"\1а"), Rule("ИЯ(?!{L})", "ИА")),
    ),
    "cs": Alphabet(_plain("áčďéěíňóřšťúůýž", "acdeeinorstuuyz"), ICAO_LATIN),
    "da": Alphabet({**NORDIC, "ü": "ue"}, ICAO_LATIN),
    "de": Alphabet({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"}, ICAO_LATIN),
    "el": Alphabet(
        {**_plain("αβγδεζηικλμνξοπρστυφως", "avgdeziiklmnxoprstyfos"), "θ": "th", "χ": "ch", "ψ": "ps",
         **_plain("άέήίόύώϊϋΐΰ", "aeiioyoiyiy")},
        "Greece, ELOT 743 (ISO 843:1997, type 2; UN resolution V/19 of 1987), as in passports",
        # αυ, ευ, ηυ: -v before a vowel or a voiced consonant, else -f; an accent on the first parts the two letters.
        rules=(Rule(f"([αεηΑΕΗ])[υύ]{VOICED}", r"\1β"), Rule("([αεηΑΕΗ])[υύ]", r"\1φ"),
               Rule(f"([αεηΑΕΗ])[ΥΎ]{VOICED}", r"\1Β"), Rule("([αεηΑΕΗ])[ΥΎ]", r"\1Φ"),
               Rule("([οΟ])[υύ]", r"\1u"), Rule("([οΟ])[ΥΎ]", r"\1U"),
               Rule("Γ(?=[γξχΓΞΧ])", "Ν"), Rule("γ(?=[γξχ])", "ν"),
               Rule("{N}μπ", r"\1b"), Rule("μπ(?!{L})", "b"), Rule("{N}Μ[πΠ]", r"\1B"), Rule("Μ[πΠ](?!{L})", "B")),
    ),
    "fi": Alphabet({"å": "aa", "ä": "ae", "ö": "oe", "š": "s", "ž": "z"}, ICAO_LATIN),
    "is": Alphabet({**_plain("áðéíóúý", "adeiouy"), "þ": "th", "æ": "ae", "ö": "oe"}, ICAO_LATIN),
    "nb": Alphabet(NORDIC, ICAO_LATIN),
    "nn": Alphabet(NORDIC, ICAO_LATIN),
    "pl": Alphabet(_plain("ąćęłńóśźż", "acelnoszz"), ICAO_LATIN),
    "ru": Alphabet(
        {**_plain("оаеинтрсвлкмдпуызбгйфэё", "oaeintrsvlkmdpuyzbgifee"), "ж": "zh", "х": "kh", "ц": "ts", "ч": "ch",
         "ш": "sh", "щ": "shch", "ъ": "ie", "ь": "", "ю": "iu", "я": "ia"},
        ICAO_CYRILLIC + ", Russian; as in passports since 2014",
    ),
    "sv": Alphabet({"å": "aa", "ä": "ae", "ö": "oe", "ü": "ue", "é": "e"}, ICAO_LATIN),
    "tr": Alphabet({**_plain("çğışİâîû", "cgisIaiu"), "ö": "oe", "ü": "ue"}, ICAO_LATIN),
    "uk": Alphabet(
        {**_plain("оанітрисвелкмдпузбгґф", "oanitrysvelkmdpuzbhgf"), "ж": "zh", "х": "kh", "ц": "ts", "ч": "ch",
         "ш": "sh", "щ": "shch", "є": "ie", "ї": "i", "й": "i", "ю": "iu", "я": "ia", "ь": ""},
        "Ukraine, resolution 55 of the Cabinet of Ministers of 27 January 2010",
        starts={"є": "ye", "ї": "yi", "й": "y", "ю": "yu", "я": "ya"},
        rules=(Rule("([зЗ])г", r"\1gh"), Rule("ЗГ", "ЗGH")),
        drops="'’ʼ",
    ),
}  # fmt: skip
