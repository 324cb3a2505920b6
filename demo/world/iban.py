"""Make bank account numbers whose check digits hold, and some whose check digits do not (ISO 13616, mod 97).

Only lengths, alphabets and the international check digits are right. Bank codes are made up and national
check digits are not computed, so no number here is likely to be anybody's account.
"""

from __future__ import annotations

from random import Random

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_AS_DIGITS = str.maketrans({letter: str(10 + i) for i, letter in enumerate(_LETTERS)})

# Country -> (letters of the bank code, digits after them); alphanumeric places are filled with digits.
_BBAN = {
    "BR": (0, 23), "CZ": (0, 20), "DE": (0, 18), "ES": (0, 20), "FR": (0, 23), "GB": (4, 14), "GR": (0, 23),
    "IE": (4, 14), "IT": (1, 22), "NL": (4, 10), "PL": (0, 24), "PT": (0, 21), "RO": (4, 16), "SE": (0, 20),
    "TR": (0, 22), "UA": (0, 25),
}  # fmt: skip
_BR_TAIL = "P1"  # Brazil ends with the kind of account and the owner's number


def remainder(iban: str) -> int:
    """1 for a right IBAN. Takes it without spaces, in capitals."""
    return int((iban[4:] + iban[:4]).translate(_AS_DIGITS)) % 97


def make(rng: Random, country_code: str) -> str:
    """A right IBAN of a country that has them, without spaces."""
    letters, digits = _BBAN[country_code]
    bban = "".join([_LETTERS[int(rng.random() * 26)] for _ in range(letters)])
    bban += f"{rng.getrandbits(96) % 10**digits:0{digits}d}"
    if country_code == "BR":
        bban += _BR_TAIL
    check = 98 - remainder(f"{country_code}00{bban}")
    return f"{country_code}{check:02d}{bban}"


def with_wrong_check_digits(rng: Random, iban: str) -> str:
    """The same account with check digits that do not hold. Right ones lie in 02..98; so do these."""
    right = int(iban.replace(" ", "")[2:4])
    wrong = 2 + (right - 2 + rng.randint(1, 96)) % 97
    compact = iban.replace(" ", "").upper()
    return f"{compact[:2]}{wrong:02d}{compact[4:]}"


def as_people_type_it(rng: Random, iban: str) -> str:
    """Most paste it plain, many in groups of four, a few in small letters."""
    habit = rng.random()
    if habit < 0.70:
        return iban
    grouped = " ".join(iban[i : i + 4] for i in range(0, len(iban), 4))
    return grouped if habit < 0.97 else grouped.lower()
