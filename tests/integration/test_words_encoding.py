"""Normal forms, transliteration and character sets on a real PostgreSQL, against `unicodedata`, Python's codecs, the
published examples of each authority, and the rules of the languages said again letter by letter."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Callable
from itertools import product
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncline.core.transforms.alphabets import CHARSETS, LANGUAGES, LATIN
from syncline.core.transforms.encoding import Encode, Transliterate
from tests.integration.mapping_engine import Engine

MANY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
TEXT = st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs", "Cn"]), max_size=20)
# Names: Latin letters with what hangs on them, other scripts, punctuation; assigned long before our servers.
NAMES = st.text(
    alphabet=st.one_of(
        st.sampled_from(string.ascii_letters + " -'.&_"),
        st.characters(min_codepoint=0xA1, max_codepoint=0x24F),
        st.sampled_from("’‘`´–—“”ßẞÆœŁđÞıħЯ王سﬁ①½Å\u0301\u0300\u0489€Šžŷ"),
    ),
    max_size=15,
)
# Older than both of our servers' Unicode (13 and 16).
OLD = st.text(
    alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs", "Cn"], max_codepoint=0x1DFF), max_size=20
)


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
@MANY
@given(texts=st.lists(NAMES | OLD | st.text("e\u0301\u0323ÅﬁΩ한글", max_size=8), max_size=20))
def test_normal_forms_are_unicodes(engine: Engine, form: str, texts: list[str]) -> None:
    mapped = engine.values("text", {"type": "text", "steps": [{"normalise": form}]}, [*texts, None])

    assert mapped == [*((unicodedata.normalize(form, text), []) for text in texts), (None, [])]


# -- character sets -------------------------------------------------------------------------------------------


def of_codec(codec: str) -> set[str]:
    """What a codec of Python holds, without control characters."""
    letters = bytes(range(256)).decode(codec)
    return {letter for letter in letters if unicodedata.category(letter) != "Cc"}


SEPA = set(string.ascii_letters + string.digits + "/-?:().,'+ ")
SETS: dict[str, set[str]] = {
    "sepa": SEPA,
    "swift_x": SEPA,
    "uk_bacs": set(string.ascii_uppercase + string.digits + ".&/- "),
    "irs_name": set(string.ascii_letters + "- "),
    "ascii": {chr(code) for code in range(0x20, 0x7F)},
    "latin1": of_codec("iso8859-1"),
    "latin9": of_codec("iso8859-15"),
}


@pytest.mark.parametrize("charset", SETS)
@MANY
@given(texts=st.lists(NAMES | TEXT, max_size=20))
def test_a_name_is_spelt_in_the_readers_letters_or_refused(engine: Engine, charset: str, texts: list[str]) -> None:
    mapped = engine.values("text", {"type": "text", "steps": [{"encode": charset}]}, texts)

    for text, (value, codes) in zip(texts, mapped, strict=True):
        spelt = _spelt(text, charset)
        assert (value, codes) == ((spelt, []) if spelt is not None else (None, ["encode"])), text


def _spelt(text: str, charset: str) -> str | None:
    """Letters of the set stay; others are written out or lose their accents; what is still foreign has no spelling."""
    allowed = SETS[charset]
    if charset == "uk_bacs":
        text = "".join(letter.upper() if letter.isascii() else letter for letter in text)
    if set(text) <= allowed:
        return text
    if charset.startswith("latin"):
        bare = "".join(_written(letter, allowed) for letter in unicodedata.normalize("NFC", text))
    else:
        bare = _bare("".join(letter if letter in allowed else LATIN.get(letter, letter) for letter in text))
    if charset == "uk_bacs":
        bare = "".join(letter.upper() if letter.isascii() else letter for letter in bare)
    return bare if set(bare) <= allowed else None


def _written(letter: str, allowed: set[str]) -> str:
    written = letter if letter in allowed else LATIN.get(letter, letter)
    return "".join(part if part in allowed else _bare(part) for part in written)


def _bare(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not "\u0300" <= c <= "\u036f")


@pytest.mark.parametrize("charset", SETS)
def test_every_sign_of_a_set_passes_as_it_is(engine: Engine, charset: str) -> None:
    signs = sorted(SETS[charset])

    assert engine.values("text", {"type": "text", "steps": [{"encode": charset}]}, signs) == [
        (sign, []) for sign in signs
    ]


@pytest.mark.parametrize(
    ("text", "spelt"),
    [("Müller", "Muller"), ("Łukasz Żółć", "Lukasz Zolc"), ("Straße", "Strasse"), ("Ærøskøbing", "AEroskobing"),
     ("O’Neill", "O'Neill"), ("Ñandú & Söhne", "Nandu + Sohne"), ("Яна", None), ("王芳", None), ("", ""),
     ("a\nb", None), ("a;b", None), ("Đặng", "Dang")],
)  # fmt: skip
def test_a_bank_reads_the_name(engine: Engine, text: str, spelt: str | None) -> None:
    mapped = engine.values("text", {"type": "text", "steps": [{"encode": {"charset": "sepa"}}]}, [text])

    assert mapped == [(spelt, [] if spelt is not None else ["encode"])]


@pytest.mark.parametrize(
    ("charset", "text", "spelt"),
    [("uk_bacs", "Zoë Smith & Co.", "ZOE SMITH & CO."), ("uk_bacs", "Straße 5/6", "STRASSE 5/6"), ("uk_bacs", "O'Neill", None),
     ("irs_name", "Zoë-Ann", "Zoe-Ann"), ("irs_name", "O'Neill", None), ("irs_name", "Henry 2", None), ("latin1", "Łódź: café", "Lódz: café"),
     ("latin1", "cafe\u0301", "café"), ("latin1", "5 €", None), ("latin9", "5 € à Šibenik", "5 € à Šibenik"), ("latin9", "½", None)],
)  # fmt: skip
def test_other_readers_have_other_letters(engine: Engine, charset: str, text: str, spelt: str | None) -> None:
    mapped = engine.values("text", {"type": "text", "steps": [{"encode": charset}]}, [text, None])

    assert mapped == [(spelt, [] if spelt is not None else ["encode"]), (None, [])]


def test_what_a_charset_has_stays_as_it_is_beside_what_it_has_not(engine: Engine) -> None:
    mapped = engine.values("text", {"type": "text", "steps": [{"encode": "ascii"}]}, ["A & B_`", "Ä & B_`"])

    assert [value for value, _ in mapped] == ["A & B_`", "A & B_`"]


def test_the_words_know_all_sets_and_languages_and_each_has_a_source() -> None:
    assert set(get_args(Encode.model_fields["charset"].annotation)) == set(CHARSETS) == set(SETS)
    assert set(get_args(Transliterate.model_fields["language"].annotation)) == set(LANGUAGES) == set(EXAMPLES)
    assert all(entry.source for entry in (*CHARSETS.values(), *LANGUAGES.values()))


# -- transliteration ------------------------------------------------------------------------------------------

# The examples of the authorities where they give some (uk: all of resolution 55, bg: the Act), else names by their table.
EXAMPLES = {
    "uk": "Алушта Alushta, Андрій Andrii, Борщагівка Borshchahivka, Борисенко Borysenko, Вінниця Vinnytsia, Володимир Volodymyr,"
          " Гадяч Hadiach, Богдан Bohdan, Згурський Zghurskyi, Ґалаґан Galagan, Ґорґани Gorgany, Донецьк Donetsk, Дмитро Dmytro,"
          " Рівне Rivne, Олег Oleh, Есмань Esman, Єнакієве Yenakiieve, Гаєвич Haievych, Короп'є Koropie, Житомир Zhytomyr, Жанна Zhanna,"
          " Жежелів Zhezheliv, Закарпаття Zakarpattia, Казимирчук Kazymyrchuk, Медвин Medvyn, Михайленко Mykhailenko, Іванків Ivankiv,"
          " Іващенко Ivashchenko, Їжакевич Yizhakevych, Кадиївка Kadyivka, Мар'їне Marine, Йосипівка Yosypivka, Стрий Stryi,"
          " Олексій Oleksii, Київ Kyiv, Коваленко Kovalenko, Лебедин Lebedyn, Леонід Leonid, Миколаїв Mykolaiv, Маринич Marynych,"
          " Ніжин Nizhyn, Наталія Nataliia, Одеса Odesa, Онищенко Onyshchenko, Полтава Poltava, Петро Petro, Решетилівка Reshetylivka,"
          " Рибчинський Rybchynskyi, Суми Sumy, Соломія Solomiia, Тернопіль Ternopil, Троць Trots, Ужгород Uzhhorod, Уляна Uliana,"
          " Фастів Fastiv, Філіпчук Filipchuk, Харків Kharkiv, Христина Khrystyna, Біла Bila, Церква Tserkva, Стеценко Stetsenko,"
          " Чернівці Chernivtsi, Шевченко Shevchenko, Шостка Shostka, Кишеньки Kyshenky, Щербухи Shcherbukhy, Гоща Hoshcha,"
          " Гаращенко Harashchenko, Юрій Yurii, Корюківка Koriukivka, Яготин Yahotyn, Ярошенко Yaroshenko, Костянтин Kostiantyn,"
          " Знам'янка Znamianka, Феодосія Feodosiia, Розгон Rozghon, ЗГУРСЬКИЙ ZGHURSKYI, ЄНАКІЄВЕ YENAKIIEVE, ЯРОШЕНКО YAROSHENKO",
    "ru": "Щукин Shchukin, ЩУКИН SHCHUKIN, Юрий Iurii, ЮРИЙ IURII, Жук Zhuk, Подъездов Podieezdov, Соловьёва Soloveva, Цой Tsoi,"
          " МАРИЯ MARIIA, Эльза Elza, Ж. Zh., Ч.Ю.Я. Ch.Iu.Ia., Хрущёв-ЩУКИН Khrushchev-SHCHUKIN",
    "bg": "София Sofia, СОФИЯ SOFIA, София-Град Sofia-Grad, България Bulgaria, БЪЛГАРИЯ BULGARIA, Българска Balgarska, Мария Maria,"
          " Мариян Mariyan, Щъркел Shtarkel, Пловдив Plovdiv, Кюстендил Kyustendil, Ямбол Yambol, Златьо Zlatyo, ЖАН ZHAN",
    "el": "Ευάγγελος Evangelos, ΕΥΑΓΓΕΛΟΣ EVANGELOS, Μπάμπης Bampis, κεμπάμπ kempab, Χατζηγιάννης Chatzigiannis, αυτός aftos, Ψυχή Psychi,"
          " άυλος aylos, Θεόδωρος Theodoros, ΘΕΟΔΩΡΟΣ THEODOROS, εφηύρε efivre, απηύθυνε apifthyne, άνευ anef, προϋπόθεση proypothesi,"
          " Ούρσουλα Oursoula, ελέγξω elenxo, άγχος anchos, αγκώνας agkonas, Εύβοια Evvoia, Ευβοϊκός Evvoikos, ντόμινο ntomino",
    "de": "Müller Mueller, MÜLLER MUELLER, Ägidius Aegidius, Straße Strasse, STRAẞE STRASSE, André Andre, Ö Oe, Łukasz Lukasz",
    "da": "Ærøskøbing Aeroeskoebing, Åse Aase, ÅSE AASE, Aabenraa Aabenraa", "nb": "Bjørnstjerne Bjoernstjerne, Åge Aage",
    "nn": "Ørnulf Oernulf", "sv": "Åsa Aasa, Öberg Oeberg, Ängström Aengstroem, Linné Linne", "fi": "Mäkelä Maekelae, Åbo Aabo, Häkkinen Haekkinen",
    "is": "Þórður Thordur, ÞÓRÐUR THORDUR, Ægir Aegir, Björk Bjoerk", "tr": "Şahin Sahin, Yıldız Yildiz, İnönü Inoenue, ÇAĞLAR CAGLAR",
    "pl": "Żółć Zolc, Łukasz Lukasz, Święty Swiety", "cs": "Dvořák Dvorak, Růžička Ruzicka, Ďuriš Duris",
}  # fmt: skip


@pytest.mark.parametrize("language", EXAMPLES)
def test_names_are_written_as_the_authority_writes_them(engine: Engine, language: str) -> None:
    pairs = [pair.split() for pair in EXAMPLES[language].split(", ")]

    mapped = engine.values(
        "text", {"type": "text", "steps": [{"transliterate": language}]}, [name for name, _ in pairs]
    )

    assert [value for value, _ in mapped] == [latin for _, latin in pairs]


@pytest.mark.parametrize(
    ("language", "text"),
    [("ru", text) for text in ("Іван", "王", "ж\ue000", "ἀ", "½", "€")]
    + [("uk", text) for text in ("ы", "аЄ\ue000", "ЖЖ Ж\ue001", "\ue000", "\ue001")],
)  # fmt: skip
def test_what_has_no_rule_is_an_error_and_no_question_mark(engine: Engine, language: str, text: str) -> None:
    mapped = engine.values("text", {"type": "text", "steps": [{"transliterate": language}]}, [text, f"Анна {text}"])

    assert mapped == [(None, ["transliterate"])] * 2


SMALL_LATIN, CAPITAL_LATIN = (
    string.ascii_lowercase + "ßàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþÿ",
    string.ascii_uppercase + "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞ",
)


class Writer:
    """The same rules, letter by letter."""

    def __init__(self, language: str) -> None:
        alphabet = LANGUAGES[language]
        self.language, self.table, self.starts = language, alphabet.letters, alphabet.starts or {}
        self.small = {letter for letter in self.table if letter.islower()}
        self.capitals = {
            letter.upper() for letter in self.small if len(letter.upper()) == 1 and not letter.upper().isascii()
        }
        self.capitals |= {letter for letter in self.table if letter.isupper()}
        self.own = self.small | self.capitals

    def written(self, text: str) -> str | None:
        if text.isascii():
            return text
        if "\ue000" in text or "\ue001" in text:
            return None
        letters = list(unicodedata.normalize("NFC", text))
        letters = RULES.get(self.language, lambda letters, writer: letters)(letters, self)
        latin = "".join(self._one(letters, at) for at in range(len(letters)))
        if not latin.isascii():
            latin = _bare("".join(letter if letter.isascii() else LATIN.get(letter, letter) for letter in latin))
        return latin if latin.isascii() else None

    def is_letter(self, letters: list[str], at: int) -> bool:
        return 0 <= at < len(letters) and (letters[at] in self.own or letters[at] in SMALL_LATIN + CAPITAL_LATIN)

    def is_capital(self, letters: list[str], at: int) -> bool:
        return 0 <= at < len(letters) and (letters[at] in self.capitals or letters[at] in CAPITAL_LATIN)

    def _one(self, letters: list[str], at: int) -> str:
        letter = letters[at]
        if letter not in self.own:
            return letter
        if letter in self.table and letter.isupper():
            return self.table[letter]
        small = letter.lower()
        table = self.table if self.is_letter(letters, at - 1) else {**self.table, **self.starts}
        spelt = table[small]
        if letter.islower() or not spelt:
            return spelt
        behind_capital = self.is_capital(letters, at - 1) and not self.is_letter(letters, at + 1)
        return spelt.upper() if self.is_capital(letters, at + 1) or behind_capital else spelt.capitalize()


def _greek(letters: list[str], writer: Writer) -> list[str]:
    voiced = set("αάεέηήιίϊΐοόυύϋΰωώβγδζλμνρ")
    said = list(letters)
    for at in range(1, len(letters)):
        before, here = letters[at - 1], letters[at]
        if here not in "υύΥΎ":
            continue
        after = letters[at + 1].lower() if at + 1 < len(letters) else "end"
        if before in "αεηΑΕΗ":
            sound = "β" if after in voiced else "φ"
            said[at] = sound if here.islower() else sound.upper()
        elif before in "οΟ":
            said[at] = "u" if here.islower() else "U"
    for at in range(len(said) - 1):
        if said[at] + said[at + 1] in ("γγ", "γξ", "γχ"):
            said[at] = "ν"
        elif said[at] == "Γ" and said[at + 1] in "γξχΓΞΧ":
            said[at] = "Ν"
    return _mp(said, writer)


def _mp(letters: list[str], writer: Writer) -> list[str]:
    said: list[str] = []
    at = 0
    while at < len(letters):
        pair = "".join(letters[at : at + 2])
        is_edge = not writer.is_letter(letters, at - 1) or not writer.is_letter(letters, at + 2)
        if pair in ("μπ", "Μπ", "ΜΠ") and is_edge:
            said.append("b" if pair == "μπ" else "B")
            at += 2
        else:
            said.append(letters[at])
            at += 1
    return said


def _bulgarian(letters: list[str], writer: Writer) -> list[str]:
    said = list(letters)
    for at in range(len(said)):
        word = "".join(letters[at : at + 8])
        is_whole = not writer.is_letter(letters, at - 1) and not writer.is_letter(letters, at + 8)
        if is_whole and word in ("България", "БЪЛГАРИЯ"):
            said[at + 1] = "у" if word == "България" else "У"
    for at in range(len(said) - 1):
        if "".join(said[at : at + 2]) in ("ия", "Ия", "ИЯ") and not writer.is_letter(said, at + 2):
            said[at + 1] = "а" if said[at + 1] == "я" else "А"
    return said


def _ukrainian(letters: list[str], writer: Writer) -> list[str]:
    last = len(letters) - 1
    said = [
        letter for at, letter in enumerate(letters)
        if not (letter in "'’ʼ" and 0 < at < last and letters[at - 1] in writer.own and letters[at + 1] in writer.own)
    ]  # fmt: skip
    joined = "".join(said)
    return list(joined.replace("зг", "зgh").replace("Зг", "Зgh").replace("ЗГ", "ЗGH"))


RULES: dict[str, Callable[[list[str], Writer], list[str]]] = {"el": _greek, "bg": _bulgarian, "uk": _ukrainian}


# Letters whose neighbours decide how they are written.
TELLING = {"el": "αεηοουύΰγξχμπΘβ ΑΕΥΎΜΠΓΧΟ", "bg": "ияИЯщЩюaZ '", "uk": "зЗгГєЄїЙюЯщЩь' ’aZ", "ru": "жЖщЩъЪаАья Z."}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_three_letters_are_written_by_the_rules(engine: Engine, language: str) -> None:
    writer = Writer(language)
    telling = TELLING.get(
        language, "".join(sorted(writer.own, key=lambda letter: -len(writer.written(letter) or "")))[:9] + "aZ "
    )
    texts = ["".join(three) for three in product(telling, repeat=3)]
    texts += ["".join(three) for three in product("αεηΑΕΗ", "υύΥΎ", sorted(writer.own))] if language == "el" else []

    mapped = engine.values("text", {"type": "text", "steps": [{"transliterate": language}]}, texts)

    assert {text: value for text, (value, _) in zip(texts, mapped, strict=True)} == {
        text: writer.written(text) for text in texts
    }


@pytest.mark.parametrize("language", LANGUAGES)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_every_text_is_written_by_the_rules_or_refused(engine: Engine, language: str, data: st.DataObject) -> None:
    writer = Writer(language)
    alphabet = st.sampled_from(sorted(writer.own)) | st.sampled_from("aZéÉ -'’.1&_ßøŁ\u0301\u0306ЖжŠ王\ue000")
    words = st.sampled_from(["България", "БЪЛГАРИЯ", "ия", "Μπ", "зг"])
    texts = data.draw(st.lists(st.lists(alphabet | words, max_size=10).map("".join), min_size=10, max_size=20))

    mapped = engine.values("text", {"type": "text", "steps": [{"transliterate": language}]}, texts)

    expected = [writer.written(text) for text in texts]
    assert mapped == [(latin, [] if latin is not None else ["transliterate"]) for latin in expected]


@MANY
@given(texts=st.lists(TEXT | NAMES, max_size=20))
@pytest.mark.parametrize("language", ["uk", "el", "de"])
def test_any_text_is_written_in_ascii_or_refused(engine: Engine, language: str, texts: list[str]) -> None:
    for text, (value, codes) in zip(
        texts, engine.values("text", {"type": "text", "steps": [{"transliterate": language}]}, texts), strict=True
    ):
        assert (codes == [] and value.isascii()) or (value is None and codes == ["transliterate"]), text
        assert not text.isascii() or value == text


@pytest.mark.parametrize(
    ("language", "unit", "written"),
    [("ru", "ЖШ", "ZHSH"), ("bg", "ЩЦ", "SHTTS"), ("el", "ΘΨ", "THPS"), ("uk", "ЖЄ", "ZHIE"), ("uk", "є'є ", "yeie "), ("uk", "Яв ", "Yav "),
     ("bg", "България ", "Bulgaria "), ("el", "μπ ", "b "), ("el", "Μπα-", "Ba-"), ("ru", "ЖУК ", "ZHUK ")],
)  # fmt: skip
def test_a_long_text_takes_no_longer_for_each_of_its_letters(
    engine: Engine, language: str, unit: str, written: str
) -> None:
    """Looking behind, the server would read the text from its beginning at every letter: minutes for this one."""
    count = 120_000 // len(unit)

    with engine.session.transaction():
        engine.session.execute("set local statement_timeout = '10s'")
        ((told, codes),) = engine.values(
            "text", {"type": "text", "steps": [{"transliterate": language}]}, [unit * count]
        )

    assert (told, codes) == (written * count, [])


def test_capitals_are_told_beside_each_other_wherever_they_stand(engine: Engine) -> None:
    texts = ["ЖШ", "Ж", "Жж", "ЖЖж", "аЖ", "АЖ", "АЖ.", "АЖж", "ЖАж", "BЖ", "bЖ", "ЖB"]

    told = engine.values("text", {"type": "text", "steps": [{"transliterate": "ru"}]}, texts)

    assert [value for value, _ in told] == [
        "ZHSH", "Zh", "Zhzh", "ZHZhzh", "aZh", "AZH", "AZH.", "AZhzh", "ZHAzh", "BZH", "bZh", "ZHB",
    ]  # fmt: skip
