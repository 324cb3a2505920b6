"""Codes and numbers with rules of their own, on a real PostgreSQL, against python-stdnum and the rules said again.

Where python-stdnum and the published rule differ, the oracle below says in a comment which one we follow. It forgives
separators, lower case and other scripts' digits; our words check the value as it is, so the oracle asks for that first.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable
from datetime import date

import pycountry
import pytest
import stdnum.be.bis
import stdnum.be.nn
import stdnum.be.vat
import stdnum.bic
import stdnum.de.idnr
import stdnum.de.vat
import stdnum.es.nif
import stdnum.fr.nir
import stdnum.fr.tva
import stdnum.gb.vat
import stdnum.iban
import stdnum.iso7064.mod_11_10
import stdnum.it.codicefiscale
import stdnum.it.iva
import stdnum.lei
import stdnum.luhn
import stdnum.nl.bsn
import stdnum.nl.btw
import stdnum.pl.nip
import stdnum.pl.pesel
import stdnum.se.personnummer
import stdnum.se.vat
import stdnum.us.ssn
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from stdnum import numdb
from stdnum.iso7064 import mod_97_10

from syncline.core.transforms.identifiers import IBAN_LENGTHS
from tests.integration.mapping_engine import Engine

MANY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
DIGITS, UPPER = string.digits, string.ascii_uppercase
Oracle = Callable[[str], bool]


def accepted(engine: Engine, check: object, texts: list[str]) -> dict[str, bool]:
    """Which of the texts pass; what does not has the check's word as its only code."""
    (word,) = [check] if isinstance(check, str) else check  # type: ignore[misc]
    mapped = engine.values("text", {"type": "text", "checks": [check]}, list(texts))
    assert {code for _, codes in mapped for code in codes} <= {word}
    return {text: not codes for text, (_, codes) in zip(texts, mapped, strict=True)}


# -- what is right, said a second time ------------------------------------------------------------------------


def plain(text: str, signs: str = DIGITS + UPPER) -> bool:
    return bool(text) and set(text) <= set(signs)


def is_date(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def is_be(text: str) -> bool:
    """python-stdnum lets counters 000 and 999 and days up to 99 pass, and asks today's date whether a year is over.

    The decree counts from 001 to 998; a clock would make yesterday's bad number good today.
    """
    if not plain(text, DIGITS) or len(text) != 11 or text[6:9] in ("000", "999") or int(text[4:6]) > 31:
        return False
    if stdnum.be.nn.is_valid(text) or stdnum.be.bis.is_valid(text):
        return True
    month = int(text[2:4])
    is_future = int(text[:2]) + 2000 > date.today().year  # as python-stdnum asks
    return is_future and month < 60 and month % 20 <= 12 and 97 - int("2" + text[:9]) % 97 == int(text[9:])


def is_de(text: str) -> bool:
    """ITZBund: a digit that occurs three times does not stand in a row; python-stdnum does not look."""
    return plain(text, DIGITS) and stdnum.de.idnr.is_valid(text) and not re.search(r"(.)\1\1", text[:10])


def is_es(text: str) -> bool:
    """python-stdnum's NIF takes companies too; a national identifier is a person's."""
    return plain(text) and text[0] in DIGITS + "XYZKLM" and stdnum.es.nif.is_valid(text) and len(text) == 9


def is_fr(text: str) -> bool:
    """INSEE: the first digit is 1 to 4, 7 or 8, the month 01 to 12, 20 to 42 or 50 to 99; python-stdnum does not look."""
    if not plain(text) or not stdnum.fr.nir.is_valid(text):
        return False
    month = int(text[3:5])
    return text[0] in "123478" and (1 <= month <= 12 or 20 <= month <= 42 or month >= 50)


def is_gb(text: str) -> bool:
    """HMRC, NIM39110."""
    if not (len(text) == 9 and plain(text) and plain(text[2:8], DIGITS)):
        return False
    one, two = text[:2]
    return (
        one in UPPER and one not in "DFIQUV" and two in UPPER and two not in "DFIOQUV" and text[8] in "ABCD"
        and text[:2] not in ("BG", "GB", "NK", "KN", "TN", "NT", "ZZ")
    )  # fmt: skip


def is_it(text: str) -> bool:
    """Days are 01 to 31, or 41 to 71; python-stdnum takes 81 too, and a company's eleven digits."""
    if not plain(text) or len(text) != 16 or not stdnum.it.codicefiscale.is_valid(text):
        return False
    return text[9] not in "89UV"


def is_nl(text: str) -> bool:
    """python-stdnum adds zeros that are missing in front."""
    return plain(text, DIGITS) and len(text) == 9 and stdnum.nl.bsn.is_valid(text)


def is_pl(text: str) -> bool:
    return plain(text, DIGITS) and stdnum.pl.pesel.is_valid(text)


def is_se(text: str) -> bool:
    """With coordination numbers (days 61 to 91, SKV 707), which python-stdnum refuses; and centuries 18 to 20 only."""
    found = re.fullmatch(r"((?:18|19|20)?)([0-9]{2})([0-9]{2})([0-9]{2})([-+]?)([0-9]{4})", text)
    if not found:
        return False
    century, year, month, day, _, last = found.groups()
    born = [int(c) * 100 + int(year) for c in ([century] if century else ["19", "20"])]
    real_day = int(day) - 60 if int(day) > 60 else int(day)
    exists = any(is_date(one, int(month), real_day) for one in born)
    return exists and stdnum.luhn.is_valid(year + month + day + last)


def is_us(text: str) -> bool:
    """457-55-5462, which python-stdnum knows from an advertisement, is somebody's; and hyphens stand at both places."""
    if not re.fullmatch("[0-9]{9}|[0-9]{3}-[0-9]{2}-[0-9]{4}", text):
        return False
    return stdnum.us.ssn.is_valid(text) or text.replace("-", "") == "457555462"


PERSONS: dict[str, Oracle] = {
    "BE": is_be, "DE": is_de, "ES": is_es, "FR": is_fr, "GB": is_gb, "IT": is_it, "NL": is_nl, "PL": is_pl, "SE": is_se, "US": is_us,
}  # fmt: skip


def _vat(country: str, valid: Oracle, shape: str) -> Oracle:
    return lambda text: bool(re.fullmatch(country + shape, text)) and valid(text)


TAXPAYERS: dict[str, Oracle] = {
    # Nine digits are the form before 2008; VIES wants ten.
    "BE": _vat("BE", stdnum.be.vat.is_valid, "[0-9]{10}"),
    "DE": _vat("DE", stdnum.de.vat.is_valid, "[0-9]{9}"),
    "ES": _vat("ES", stdnum.es.nif.is_valid, "[0-9A-Z]{9}"),
    "FR": _vat("FR", stdnum.fr.tva.is_valid, "[0-9A-Z]{11}"),
    # GD8888nnncc is a form of EU databases before Brexit, which nobody writes.
    "GB": _vat("(?:GB|XI)", stdnum.gb.vat.is_valid, "(?:[0-9]{9}|[0-9]{12}|(?:GD|HA)[0-9]{3})"),
    "IT": _vat("IT", stdnum.it.iva.is_valid, "[0-9]{11}"),
    "NL": _vat("NL", stdnum.nl.btw.is_valid, "[0-9]{9}B[0-9]{2}"),
    "PL": _vat("PL", stdnum.pl.nip.is_valid, "[0-9]{10}"),
    "SE": _vat("SE", stdnum.se.vat.is_valid, "[0-9]{12}"),
}  # fmt: skip

# Texts of the right look, of which about one in ten to one in a hundred is right by chance.
DAY, NUMBER = "(?:0[0-9]|[12][0-9]|3[0-2])", "[0-9]"
LOOKS = {
    "BE": f"[0-9]{{2}}(?:0[0-9]|1[0-3]|[2-5][0-9]){DAY}[0-9]{{5}}",
    "DE": "(?:[1-9]{2}0[2-8]{2}91[0-9]{4}|6[58]9[23]{1}7048[0-9]{3}|[0-9]{11})",
    "ES": "(?:[0-9]|[XYZKLMA])[0-9]{7}[A-Z]",
    "FR": "[0-9]{3}(?:0[0-9]|1[0-3]|[0-9]{2})(?:[0-9]{2}|2[ABC])[0-9]{8}",
    "GB": "[A-Z]{2}[0-9]{6}[A-E]",
    "IT": "[A-Z]{6}[0-9L-V]{2}[A-EHLMPR-T](?:[0-7][0-9]|[0-7L-V][0-9L-V])[A-Z][0-9]{2}[0-9L-V][A-Z]",
    "NL": "[0-9]{9}",
    "PL": f"[0-9]{{2}}(?:[0-9][0-9])(?:{DAY}|2[0-9])[0-9]{{5}}",
    "SE": f"(?:1[789]|2[01])?[0-9]{{2}}(?:0[0-9]|1[0-3])(?:{DAY}|[5-9][0-9])[-+]?[0-9]{{4}}",
    "US": "[0-9]{3}(?:[0-9]{6}|-[0-9]{2}-[0-9]{4}|-[0-9]{6})",
}  # fmt: skip
VAT_LOOKS = {
    "BE": "BE[0-2][0-9]{9}", "DE": "DE[0-9]{9}", "ES": "ES[0-9A-Z][0-9]{7}[0-9A-Z]", "FR": "FR(?:[0-9]{2}|[0-9A-Z]{2})(?:000)?[0-9]{6,9}",
    "GB": "(?:GB|XI)(?:[0-9]{9}|[0-9]{12}|(?:GD|HA)[0-9]{3}|0[0-9]{8})", "IT": "IT[0-9]{7}(?:0[0-9]{2}|1[02][0-9]|888|999)[0-9]",
    "NL": "NL[0-9]{9}B[0-9]{2}", "PL": "PL[0-9]{10}", "SE": "SE[0-9]{10}0[0-2]",
}  # fmt: skip


def likely(rand: random.Random, looks: str, valid: Oracle, count: int) -> list[str]:
    """Texts that look right, and some that are; the right ones are found by trying other signs."""
    drawn = [_drawn(rand, looks) for _ in range(count)]
    return drawn + [made for text in drawn if (made := _mended(text, valid))]


def _drawn(rand: random.Random, looks: str) -> str:
    """One text of a regular expression, at random."""
    import re._parser as parser  # the standard library's own reader of patterns

    return "".join(_signs(rand, parser.parse(looks)))


def _signs(rand: random.Random, parsed: object) -> list[str]:
    signs: list[str] = []
    for kind, what in parsed:  # type: ignore[attr-defined]
        match str(kind):
            case "LITERAL":
                signs.append(chr(what))
            case "IN":
                one = rand.choice(what)
                signs.append(chr(one[1]) if str(one[0]) == "LITERAL" else chr(rand.randint(*one[1])))
            case "BRANCH":
                signs += _signs(rand, rand.choice(what[1]))
            case "SUBPATTERN":
                signs += _signs(rand, what[3])
            case "MAX_REPEAT":
                low, high, inner = what
                for _ in range(rand.randint(low, high)):
                    signs += _signs(rand, inner)
    return signs


def _mended(text: str, valid: Oracle) -> str | None:
    """The text with another sign at one place or at the last two, so that it is right; None where that is not found."""
    kinds = {at: DIGITS if sign in DIGITS else UPPER for at, sign in enumerate(text) if sign in DIGITS + UPPER}
    ones = (text[:at] + sign + text[at + 1 :] for at in reversed(kinds) for sign in kinds[at])
    twos = (f"{text[:-2]}{n:02}" for n in range(100))
    return next((made for made in (*twos, *ones) if valid(made)), None)


def spoilt(rand: random.Random, text: str) -> str:
    """One sign replaced by another of its kind."""
    at = rand.choice([n for n, sign in enumerate(text) if sign in DIGITS + UPPER])
    kind = DIGITS if text[at] in DIGITS else UPPER
    return text[:at] + rand.choice(kind.replace(text[at], "")) + text[at + 1 :]


SEEDS = st.integers(0, 2**32)
DRAWN = (Phase.explicit, Phase.generate)  # a smaller seed tells nobody more: no shrinking


@pytest.mark.parametrize("country", PERSONS)
@settings(max_examples=2, deadline=None, phases=DRAWN)
@given(seed=SEEDS)
def test_a_national_identifier_passes_where_the_state_says_so(engine: Engine, country: str, seed: int) -> None:
    rand = random.Random(seed)
    texts = likely(rand, LOOKS[country], PERSONS[country], 80)
    texts += [spoilt(rand, text) for text in texts if PERSONS[country](text)]

    passed = accepted(engine, {"national_id": {"country": country}}, sorted(set(texts)))

    assert passed == {text: PERSONS[country](text) for text in passed}
    assert sum(passed.values()) >= 20, "too few right ones were tried"


@pytest.mark.parametrize("country", TAXPAYERS)
@settings(max_examples=2, deadline=None, phases=DRAWN)
@given(seed=SEEDS)
def test_a_vat_number_passes_where_the_tax_office_says_so(engine: Engine, country: str, seed: int) -> None:
    rand = random.Random(seed)
    texts = likely(rand, VAT_LOOKS[country], TAXPAYERS[country], 80)
    texts = sorted({*texts, *(spoilt(rand, text) for text in texts if TAXPAYERS[country](text))})

    passed = accepted(engine, {"vat_number": {"country": country}}, texts)
    bare = accepted(engine, {"vat_number": {"country": country, "prefix": "absent"}}, [text[2:] for text in texts])

    assert passed == {text: TAXPAYERS[country](text) for text in texts}
    right = {text for text, ok in passed.items() if ok and text[:2] == country}
    assert len(right) >= 8, "too few right ones were tried"
    assert all(bare[text[2:]] for text in right)
    assert not any(accepted(engine, {"vat_number": {"country": country}}, [text[2:] for text in right]).values())


# Country -> numbers from the state's own papers or encyclopaedias, and ones that must not pass.
KNOWN = {
    "BE": (["85073003328", "17073003384", "98472899765", "01490700185"], ["85073003327", "85133003328", "12345678901", "00000100097"]),
    "DE": (["36574261809", "12345678995", "65929970489"], ["36574261890", "36554266806", "01234567890", "11123456780"]),
    "ES": (["12345678Z", "54362315K", "X2482300W", "X5253868R", "Z2345678M"], ["12345678A", "X2482300A", "A58818501", "1234567Z"]),
    "FR": (["295109912611193", "253072A07300443", "253072B07300470", "101012A00400159"], ["253072C07300443", "295109912611199", "295139912611193"]),
    "GB": (["AB123456C", "JG103759A", "PW123456D"], ["BG123456A", "QQ123456C", "AO123456C", "AB123456E", "AB123456", "DA123456A"]),
    "IT": (["RCCMNL83S18D969H", "CNTCHR83T41D969D", "MRTMTT91D08F205J"], ["RCCMNL83S18D969", "RCCMNL83S32D969H", "CNTCHR83T41D969E", "00743110157"]),
    "NL": (["111222333", "123456782"], ["111252333", "000000000", "11122233", "123456789"]),
    "PL": (["44051401359", "02070803628"], ["44051401358", "02381307589", "44053201359"]),
    "SE": (["880320-0016", "8803200016", "198112289874", "811228-9874", "701063-2391", "890102-3286"], ["880320-0018", "880230-0014", "88032O0016"]),
    "US": (["111-22-3333", "536904399", "457-55-5462"], ["078-05-1120", "219099999", "000-12-3456", "666-12-3456", "900-12-3456", "123-00-4567",
                                                       "123-45-0000", "12345678", "123-456789"]),
}  # fmt: skip


@pytest.mark.parametrize("country", KNOWN)
def test_known_national_identifiers(engine: Engine, country: str) -> None:
    right, wrong = KNOWN[country]

    passed = accepted(engine, {"national_id": country}, [*right, *wrong])

    assert passed == {**dict.fromkeys(right, True), **dict.fromkeys(wrong, False)}


def _fr_key(body: str) -> str:
    return body + f"{97 - int(body) % 97:02}"


def test_the_rules_of_repetition_of_a_steuer_id(engine: Engine) -> None:
    """Check digits are right in all of them."""
    bodies = {"1213145678": True, "1112345678": False, "1213141567": False, "1123456789": True, "1122345678": False, "1122334567": False,
              "1234567890": False, "2113456781": True, "0123456781": False, "4567811181": False}  # fmt: skip
    texts = {body + stdnum.iso7064.mod_11_10.calc_check_digit(body): ok for body, ok in bodies.items()}

    assert accepted(engine, {"national_id": "DE"}, list(texts)) == texts


def test_nobody_is_the_zeroth_or_the_last_of_a_belgian_day(engine: Engine) -> None:
    bodies = {"850730000": False, "850730999": False, "850730001": True, "850730998": True}
    texts = {f"{body}{97 - int(body) % 97:02}": ok for body, ok in bodies.items()}

    assert accepted(engine, {"national_id": "BE"}, list(texts)) == texts


# A body with year, month and day, and the whole number with the check digits that belong to it.
WHOLE: dict[str, Callable[[str], str]] = {
    "BE": lambda day: f"{day}001{97 - int(day + '001') % 97:02}",
    "FR": lambda day: _fr_key(f"1{day[:4]}{day[4:]}051001"),
    "IT": lambda day: (body := f"MRTMTT{day[:2]}{'ABCDEHLMPRST'[int(day[2:4]) % 12]}{day[4:]}F205") + stdnum.it.codicefiscale.calc_check_digit(body),
    "PL": lambda day: f"{day}0135" + stdnum.pl.pesel.calc_check_digit(day + "0135"),
    "SE": lambda day: f"{day}-123" + stdnum.luhn.calc_check_digit(day + "123"),
}  # fmt: skip


@pytest.mark.parametrize("country", WHOLE)
def test_each_day_of_a_calendar_and_each_that_is_none(engine: Engine, country: str) -> None:
    """Every month and day that two digits can say, in a leap year, another year, and a year 00; all check digits right."""
    texts = {WHOLE[country](f"{year}{month:02}{day:02}") for year in ("00", "04", "19") for month in range(100) for day in range(0, 100, 1 if country != "FR" else 9)}  # fmt: skip

    passed = accepted(engine, {"national_id": country}, sorted(texts))

    assert passed == {text: PERSONS[country](text) for text in passed}
    assert 20 < sum(passed.values()) < len(passed)


# What each check digit promises to find, over the places it covers.
PROMISES = {
    "DE": range(11),
    "ES": range(1, 8),
    "FR": range(15),
    "NL": range(9),
    "PL": range(11),
    "SE": range(10),
    "IT": (0, 1, 2, 3, 4, 5, 11, 15),
}


@pytest.mark.parametrize("country", PROMISES)
def test_one_wrong_sign_is_found_where_the_check_digit_promises_it(engine: Engine, country: str) -> None:
    right = next(text for text in KNOWN[country][0] if len(text) != 11 or country != "SE")
    kinds = {at: DIGITS if right[at] in DIGITS else UPPER for at in PROMISES[country]}
    wrong = {right[:at] + sign + right[at + 1 :] for at, kind in kinds.items() for sign in kind if sign != right[at]}

    passed = accepted(engine, {"national_id": country}, [right, *sorted(wrong)])

    assert [text for text, ok in passed.items() if ok] == [right]


def test_a_belgian_number_is_of_either_century(engine: Engine) -> None:
    """The number does not say whether 26 is 1926 or 2026, and no clock is asked: each has its own check digits."""
    body = "260101001"
    both = [body + f"{97 - int(century + body) % 97:02}" for century in ("", "2")]

    assert accepted(engine, {"national_id": "BE"}, both) == dict.fromkeys(both, True)


def test_each_office_that_gives_italian_vat_numbers(engine: Engine) -> None:
    bodies = [f"0074311{office:03}" for office in range(1000)]
    texts = [f"IT{body}{stdnum.luhn.calc_check_digit(body)}" for body in bodies]

    assert accepted(engine, {"vat_number": "IT"}, texts) == {text: TAXPAYERS["IT"](text) for text in texts}


# -- accounts, banks, entities --------------------------------------------------------------------------------

REGISTRY = {
    cc: 4 + sum(map(int, re.findall(r"(\d+)!", numdb.get("iban").info(cc)[0][1]["bban"])))
    for cc in (line[:2] for line in IBAN_LENGTHS.split())
}


def is_iban(text: str) -> bool:
    """Length by the registry, check digits by ISO 7064; python-stdnum's places of digits and letters are not asked."""
    if (
        not plain(text)
        or len(text) != REGISTRY.get(text[:2])
        or not re.fullmatch("0[2-9]|[1-8][0-9]|9[0-8]", text[2:4])
    ):
        return False
    return mod_97_10.is_valid(text[4:] + text[:4])


def made_iban(rand: random.Random, country: str, length: int) -> str:
    body = "".join(rand.choice(DIGITS + UPPER) for _ in range(length - 4))
    return country + mod_97_10.calc_check_digits(body + country) + body


def test_the_countries_of_an_iban_are_those_of_the_registry() -> None:
    ours = {line[:2]: int(line[2:]) for line in IBAN_LENGTHS.split()}
    theirs = {prefix for _, prefix, *_ in _prefixes(numdb.get("iban"))}

    assert ours == REGISTRY
    assert theirs == set(ours), "the registry has moved: bring IBAN_LENGTHS up to date, and its release and date"


def _prefixes(registry: object) -> list[tuple[int, str, str]]:
    return [(one[0], one[1], one[2]) for one in registry.prefixes]  # type: ignore[attr-defined]


@MANY
@given(seed=SEEDS)
def test_an_iban_passes_with_its_countrys_length_and_check_digits(engine: Engine, seed: int) -> None:
    rand = random.Random(seed)
    right = [made_iban(rand, country, length) for country, length in rand.sample(sorted(REGISTRY.items()), 12)]
    wrong = [spoilt(rand, text) for text in right] + [text[:-1] for text in right] + [text + "0" for text in right]
    wrong += [made_iban(rand, rand.choice(["US", "XX", "AA", "CN"]), 22) for _ in range(3)]

    passed = accepted(engine, "iban", sorted({*right, *wrong}))

    assert passed == {text: is_iban(text) for text in passed}
    assert all(passed[text] for text in right)
    assert not any(
        passed[text] for text in wrong if text[:2] in REGISTRY and len(text) == REGISTRY[text[:2]] and text not in right
    )


def test_what_python_stdnum_calls_an_iban_passes(engine: Engine) -> None:
    rand = random.Random(1)
    texts = []
    for country in REGISTRY:
        structure = numdb.get("iban").info(country)[0][1]["bban"]
        looks = re.sub(
            r"(\d+)!([nac])", lambda m: {"n": "[0-9]", "a": "[A-Z]", "c": "[A-Z0-9]"}[m[2]] + f"{{{m[1]}}}", structure
        )
        body = _drawn(rand, looks)
        texts.append(country + mod_97_10.calc_check_digits(body + country) + body)
    assert all(stdnum.iban.is_valid(text, check_country=False) for text in texts)

    assert all(accepted(engine, "iban", texts).values())


def test_check_digits_that_nobody_computes_are_refused(engine: Engine) -> None:
    """97 is 0 modulo 97: 00, 01 and 99 would pass the sum, but 98 - n never gives them."""
    rand = random.Random(2)
    valid = [made_iban(rand, "GB", 22) for _ in range(300)]
    twins = [f"GB{int(iban[2:4]) - 97:02}{iban[4:]}" for iban in valid if iban[2:4] in ("97", "98")]
    twins += [f"GB{int(iban[2:4]) + 97:02}{iban[4:]}" for iban in valid if iban[2:4] == "02"]
    assert len(twins) >= 3
    assert all(mod_97_10.is_valid(text[4:] + text[:4]) for text in twins)

    assert not any(accepted(engine, "iban", twins).values())


@MANY
@given(seed=SEEDS)
def test_a_lei_has_20_places_and_check_digits(engine: Engine, seed: int) -> None:
    rand = random.Random(seed)
    bodies = ["".join(rand.choice(DIGITS + UPPER) for _ in range(rand.choice([17, 18, 18, 18, 19]))) for _ in range(12)]
    texts = [body + mod_97_10.calc_check_digits(body) for body in bodies]
    texts += [spoilt(rand, text) for text in texts] + [body + "01" for body in bodies]

    passed = accepted(engine, "lei", sorted(set(texts)))

    # Without a length, as python-stdnum has it, any such number would be a LEI; and 98 - n never gives 00, 01, 99.
    assert passed == {
        text: len(text) == 20 and text[-2:] not in ("00", "01", "99") and stdnum.lei.is_valid(text) for text in passed
    }


@MANY
@given(texts=st.lists(st.text(DIGITS, max_size=22) | st.text(DIGITS + "٣- a", max_size=20), max_size=40))
@example(["00", "79927398713", "79927398710", "4111111111111111", "0" * 19, "0" * 20, "1", ""])
def test_a_luhn_number_ends_in_its_digit(engine: Engine, texts: list[str]) -> None:
    texts = sorted({*texts, *(text + stdnum.luhn.calc_check_digit(text) for text in texts if plain(text, DIGITS))})

    passed = accepted(engine, "luhn", texts)

    assert passed == {
        text: plain(text, DIGITS) and 2 <= len(text) <= 19 and stdnum.luhn.is_valid(text) for text in texts
    }


def is_bic(text: str) -> bool:
    """python-stdnum wants letters in the prefix; ISO 9362 has allowed digits there since 2014."""
    return plain(text) and len(text) in (8, 11) and stdnum.bic.is_valid("ABCD" + text[4:])


def test_a_bic_names_a_country_that_exists(engine: Engine) -> None:
    pairs = [a + b for a in UPPER + "1" for b in UPPER]
    texts = [f"DEUT{pair}FF" for pair in pairs] + [f"1B2C{pair}2L500" for pair in pairs]
    texts += ["DEUTDEFF50", "DEUTDEFF5", "DEUTDEF", "deutdeff", "DEUT DEFF", "", "DEUTDEFF500X"]

    assert accepted(engine, "bic", texts) == {text: is_bic(text) for text in texts}


# -- codes of ISO ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "alphabet", "size", "codes"),
    [("iso_country", UPPER, 2, {one.alpha_2 for one in pycountry.countries}),
     ({"iso_country": "alpha3"}, UPPER, 3, {one.alpha_3 for one in pycountry.countries}),
     ({"iso_country": {"form": "numeric"}}, DIGITS, 3, {one.numeric for one in pycountry.countries}),
     ("iso_currency", UPPER, 3, {one.alpha_3 for one in pycountry.currencies}),
     ({"iso_currency": "numeric"}, DIGITS, 3, {one.numeric for one in pycountry.currencies}),
     ("iso_language", string.ascii_lowercase, 2, {one.alpha_2 for one in pycountry.languages if hasattr(one, "alpha_2")}),
     ({"iso_language": "alpha3"}, string.ascii_lowercase, 3, {one.alpha_3 for one in pycountry.languages})],
)  # fmt: skip
def test_iso_codes_are_those_of_the_standard(
    engine: Engine, check: object, alphabet: str, size: int, codes: set[str]
) -> None:
    texts = [""]
    for _ in range(size):
        texts = [text + sign for text in texts for sign in alphabet]
    texts += ["gb", "eur", "", " GB", "GB\n", "UK", "EU", "DEM", "ger", "EN", "en-GB", "8 26", "٨٢٦"]

    passed = accepted(engine, check, sorted(set(texts)))

    assert {text for text, ok in passed.items() if ok} == codes


def test_countries_are_those_that_banks_know_too(engine: Engine) -> None:
    """python-stdnum's own list is a second source; it has Kosovo, which ISO 3166-1 has not."""
    known = sorted(stdnum.bic._country_codes)

    passed = accepted(engine, "iso_country", known)

    assert {text for text, ok in passed.items() if not ok} == {"XK"}


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [("iso_country", "GB", "UK"), ({"iso_country": "alpha3"}, "DEU", "GER"), ({"iso_country": "numeric"}, "036", "36"),
     ("iso_currency", "EUR", "DEM"), ({"iso_currency": "numeric"}, "978", "280"), ("iso_language", "en", "eng"),
     ({"iso_language": "alpha3"}, "deu", "ger")],
)  # fmt: skip
def test_codes_that_are_often_confused(engine: Engine, check: object, right: str, wrong: str) -> None:
    assert accepted(engine, check, [right, wrong]) == {right: True, wrong: False}


# -- addresses ------------------------------------------------------------------------------------------------

ATOM = set(string.ascii_letters + DIGITS + "!#$%&'*+/=?^_`{|}~-")
ALNUM = set(string.ascii_letters + DIGITS)


def is_email(text: str) -> bool:
    local, at, domain = text.rpartition("@")
    labels = domain.split(".")
    last = labels[-1]
    return (
        bool(at) and 1 <= len(local) <= 64 and len(text) <= 254
        and all(part and set(part) <= ATOM for part in local.split("."))
        and len(labels) >= 2
        and all(1 <= len(label) <= 63 and set(label) <= ALNUM | {"-"} and label[0] != "-" != label[-1] for label in labels)
        and ((len(last) >= 2 and set(last) <= set(string.ascii_letters)) or (last[:4].lower() == "xn--" and len(last) > 4))
    )  # fmt: skip


LOCALS = st.text("ab.Z9+-_'é\"\\@ ", max_size=8) | st.sampled_from(
    ["a" * 64, "a" * 65, "a" * 63 + ".", "a", "first.last"]
)
DOMAINS = st.lists(
    st.text("ab-9éX", max_size=5) | st.sampled_from(["a" * 63, "b" * 64, "com", "xn--p1ai", "xn--", "uk", "c", "1", "co2"]), max_size=5
).map(".".join)  # fmt: skip
EMAILS = st.builds(
    lambda local, at, domain: local + at + domain, LOCALS, st.sampled_from(["@", "@", "@", "@@", ""]), DOMAINS
)


@settings(MANY, max_examples=60)
@given(texts=st.lists(EMAILS, min_size=10, max_size=50))
@example(["a@b.co", "a@" + "b" * 63 + ".com", "a@" + "b" * 64 + ".com", "a" * 64 + "@b.co", "a" * 65 + "@b.co", "a@b", "a@b.c", "a@-b.com",
          "a@b-.com", "a@b.co.", ".a@b.co", "a.@b.co", "a..b@c.co", "a@[10.0.0.1]", '"a b"@c.co', "a@b.co\n", "a@b.xn--p1ai", "a@b.123",
          ".".join(["a@" + "b" * 60, "c" * 60, "d" * 60, "e" * 60, "com"]), ".".join(["aa@" + "b" * 60, "c" * 60, "d" * 60, "e" * 60, "comm"]),
          "a@" + ".".join(["b" * 63] * 3) + "." + "c" * 60, "a@b--c.com", "a@x.co@b.co"])  # fmt: skip
def test_an_email_address_passes_by_the_stated_rule(engine: Engine, texts: list[str]) -> None:
    passed = accepted(engine, "email", sorted(set(texts)))

    assert passed == {text: is_email(text) for text in passed}


def test_what_passes_as_email_is_one_for_a_library_too(engine: Engine) -> None:
    library = pytest.importorskip("email_validator")
    rand = random.Random(3)
    texts = [
        _drawn(
            rand, "[a-zA-Z0-9]{1,5}[.+_-]?[a-z0-9]{1,9}@[a-z0-9]{1,9}-?[a-z0-9]{1,5}(?:[.](?:co|com|org|xn--p1ai)){1,2}"
        )
        for _ in range(300)
    ]

    for text, ok in accepted(engine, "email", texts).items():
        assert ok
        assert library.validate_email(text, check_deliverability=False).ascii_email.lower() == text.lower()


@MANY
@given(
    texts=st.lists(st.from_regex(r"[+]?[0-9]{5,17}", fullmatch=True) | st.text("+12 -()٣", max_size=16), max_size=40)
)
@example(
    [
        "+441632960961",
        "+44 1632 960961",
        "00441632960961",
        "+0123456789",
        "+1234567",
        "+123456",
        "+123456789012345",
        "+1234567890123456",
    ]
)
def test_a_phone_number_is_international_and_nothing_else(engine: Engine, texts: list[str]) -> None:
    passed = accepted(engine, "phone", sorted(set(texts)))

    assert passed == {
        text: text[:1] == "+" and plain(text[1:], DIGITS) and 7 <= len(text[1:]) <= 15 and text[1] != "0"
        for text in passed
    }


# -- whatever the word ----------------------------------------------------------------------------------------

RIGHT: list[tuple[object, str]] = [
    ("iban", "GB33BUKB20201555555555"), ("bic", "DEUTDEFF500"), ("lei", "213800KUD8LAJWSQ9D15"), ("luhn", "79927398713"),
    ("iso_country", "GB"), ("iso_currency", "EUR"), ("iso_language", "en"), ("email", "ann@example.org"), ("phone", "+441632960961"),
    *(({"national_id": country}, right[0]) for country, (right, _) in KNOWN.items()),
    ({"vat_number": "DE"}, "DE136695976"), ({"vat_number": "FR"}, "FR40303265045"), ({"vat_number": "FR"}, "FR23334175221"),
    ({"vat_number": "FR"}, "FRK7399859412"), ({"vat_number": "GB"}, "GB980780684"), ({"vat_number": "GB"}, "GBGD001"),
    ({"vat_number": "IT"}, "IT00743110157"), ({"vat_number": "ES"}, "ESA13585625"), ({"vat_number": "ES"}, "ES54362315K"),
    ({"vat_number": "NL"}, "NL004495445B01"), ({"vat_number": "BE"}, "BE0403019261"), ({"vat_number": "PL"}, "PL8567346215"),
    ({"vat_number": "SE"}, "SE123456789701"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "right"), RIGHT)
def test_a_right_value_passes_and_no_other_spelling_of_it(engine: Engine, check: object, right: str) -> None:
    arabic = right.translate({ord("0") + n: 0x0660 + n for n in range(10)})
    wide = "".join(chr(ord(sign) + 0xFEE0) for sign in right)
    spellings = {right + "\n", "\n" + right, right + " ", " " + right, right[:2] + " " + right[2:], arabic, wide, right * 500, "9" * 10_000, "A" * 10_000, "", " ", "\\", "\\x", right + "\u200f", right + "é"}  # fmt: skip
    if check != "email":
        spellings |= {right.swapcase(), right + "x"}
    spellings -= {right}
    mapped = engine.values("text", {"type": "text", "checks": [check]}, [right, None, *sorted(spellings)])

    assert [codes for _, codes in mapped[:2]] == [[], []]
    assert [text for text, (_, codes) in zip(sorted(spellings), mapped[2:], strict=True) if not codes] == []
