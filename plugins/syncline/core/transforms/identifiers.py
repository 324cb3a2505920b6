"""Checks on codes and numbers that a standard defines: accounts, banks, countries, currencies, languages, addresses.

They say that a value is well formed and its check digits hold; not that somebody has it. Values are checked as they
are: upper case (languages and e-mail excepted), without blanks or separators; the steps `upper` and `remove` bring
them there. Numbers of persons and of taxpayers are national_ids.py's matter.
"""

from __future__ import annotations

from functools import cache
from typing import ClassVar, Literal

from psycopg.sql import Composable
from pydantic import Field

from syncline.core.transforms.base import Check, Cost, lit, template
from syncline.core.transforms.check_digits import luhn, mod_97_10, refused_unless
from syncline.core.transforms.checks import not_in
from syncline.core.types import PgType

# Country and length of its IBANs.
# Source: SWIFT, IBAN Registry, release 101, as python-stdnum 2.2 has it; read in November 2026.
IBAN_LENGTHS = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
    "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 "
    "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 "
    "PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 "
    "YE30"
)
CHECK_DIGITS = "(?:0[2-9]|[1-8][0-9]|9[0-8])"  # 98 - n mod 97 is never 00, 01 or 99
KOSOVO = "XK"  # not in ISO 3166-1, but in use for IBAN and BIC


class Iban(Check):
    """A well-formed IBAN: a country of the registry, its length, and check digits that hold.

    Upper case, without spaces. NULL passes. The country's own structure within the account number (which places are
    digits, national check digits) is not checked: the two check digits find a wrong or lost sign.
    Source: ISO 13616-1; ISO/IEC 7064 MOD 97-10; lengths from the SWIFT IBAN Registry, release 101.
    """

    word: Literal["iban"] = "iban"
    takes: ClassVar[tuple[str, ...]] = ("text",)
    cost: ClassVar[Cost] = "heavy"
    examples: ClassVar[tuple[str, ...]] = ("iban",)

    def fails(self, value: Composable, given: PgType) -> Composable:
        rearranged = template("substr({v}, 5) || substr({v}, 1, 4)", v=value)
        lengths = "substr({v}, 1, 2) || char_length({v}) = any ('{{" + IBAN_LENGTHS.replace(" ", ",") + "}}'::text[])"
        return refused_unless(value, f"[A-Z][A-Z]{CHECK_DIGITS}[A-Z0-9]+", mod_97_10(rearranged), size=lengths)


class Bic(Check):
    """A well-formed BIC of 8 or 11 signs: party prefix, ISO country, party suffix, and perhaps a branch.

    Upper case, without spaces. NULL passes. The prefix may have digits, as the standard says since 2014, though the
    codes in use have letters there. XK (Kosovo) passes as a country.
    Source: ISO 9362:2022; ISO 3166-1 as pycountry has it.
    """

    word: Literal["bic"] = "bic"
    takes: ClassVar[tuple[str, ...]] = ("text",)
    examples: ClassVar[tuple[str, ...]] = ("bic",)

    def fails(self, value: Composable, given: PgType) -> Composable:
        country = template("substr({v}, 5, 2)", v=value)
        is_foreign = not_in(country, (*iso_codes("countries", "alpha_2"), KOSOVO))
        return refused_unless(
            value, "[A-Z0-9]+", template("not ({f})", f=is_foreign), size="char_length({v}) in (8, 11)"
        )


class Lei(Check):
    """A legal entity identifier: 18 letters and digits, then two check digits that hold.

    Upper case, without spaces. NULL passes.
    Source: ISO 17442-1; ISO/IEC 7064 MOD 97-10.
    """

    word: Literal["lei"] = "lei"
    takes: ClassVar[tuple[str, ...]] = ("text",)
    cost: ClassVar[Cost] = "heavy"
    examples: ClassVar[tuple[str, ...]] = ("lei",)

    def fails(self, value: Composable, given: PgType) -> Composable:
        return refused_unless(value, f"[A-Z0-9]+{CHECK_DIGITS}", mod_97_10(value), size="char_length({v}) = 20")


LUHN_MAX = 19  # digits of the longest card number


class Luhn(Check):
    """Two to 19 digits of which the last is the Luhn check digit: card numbers, SIREN and SIRET, IMEI and many more.

    Digits only, without blanks. NULL passes.
    Source: ISO/IEC 7812-1, annex B.
    """

    word: Literal["luhn"] = "luhn"
    takes: ClassVar[tuple[str, ...]] = ("text",)
    cost: ClassVar[Cost] = "heavy"
    examples: ClassVar[tuple[str, ...]] = ("luhn",)

    def fails(self, value: Composable, given: PgType) -> Composable:
        padded = template("lpad({v}, {n}, '0')", v=value, n=lit(LUHN_MAX))  # zeros in front change nothing
        return refused_unless(
            value, "[0-9]+", luhn(padded, LUHN_MAX), size=f"char_length({{v}}) between 2 and {LUHN_MAX}"
        )


class IsoCountry(Check):
    """An officially assigned country code: alpha-2 (`GB`), or with `form` alpha-3 (`GBR`) or numeric (`826`).

    Upper case. NULL passes. Reserved codes such as UK and EU, and user-assigned ones such as XK, are refused.
    Source: ISO 3166-1 as pycountry has it.
    """

    word: Literal["iso_country"] = "iso_country"
    shorthand: ClassVar[str | None] = "form"
    takes: ClassVar[tuple[str, ...]] = ("text",)
    cost: ClassVar[Cost] = "free"
    examples: ClassVar[tuple[str, ...]] = ("iso_country", "{iso_country: {form: alpha3}}")
    form: Literal["alpha2", "alpha3", "numeric"] = Field(
        "alpha2", description="Two letters, three letters, or three digits as text", examples=["alpha3"]
    )

    def fails(self, value: Composable, given: PgType) -> Composable:
        attribute = {"alpha2": "alpha_2", "alpha3": "alpha_3", "numeric": "numeric"}[self.form]
        return not_in(value, iso_codes("countries", attribute))


class IsoCurrency(Check):
    """An active currency code: three letters (`GBP`), or with `form` three digits as text (`826`).

    Upper case. NULL passes. Withdrawn codes such as DEM are refused; funds and metals (XAU) are codes of the standard.
    Source: ISO 4217, list one, as pycountry has it.
    """

    word: Literal["iso_currency"] = "iso_currency"
    shorthand: ClassVar[str | None] = "form"
    takes: ClassVar[tuple[str, ...]] = ("text",)
    cost: ClassVar[Cost] = "free"
    examples: ClassVar[tuple[str, ...]] = ("iso_currency", "{iso_currency: {form: numeric}}")
    form: Literal["alpha3", "numeric"] = Field(
        "alpha3", description="Three letters, or three digits as text", examples=["numeric"]
    )

    def fails(self, value: Composable, given: PgType) -> Composable:
        return not_in(value, iso_codes("currencies", {"alpha3": "alpha_3", "numeric": "numeric"}[self.form]))


class IsoLanguage(Check):
    """A language code: two letters (`en`), or with `form: alpha3` the three letters of ISO 639-3 (`eng`).

    Lower case. NULL passes. Not a language tag: `en-GB` is refused; nor the bibliographic codes of ISO 639-2 (`ger`).
    Source: ISO 639 (sets 1 and 3) as pycountry has it.
    """

    word: Literal["iso_language"] = "iso_language"
    shorthand: ClassVar[str | None] = "form"
    takes: ClassVar[tuple[str, ...]] = ("text",)
    cost: ClassVar[Cost] = "free"
    examples: ClassVar[tuple[str, ...]] = ("iso_language", "{iso_language: {form: alpha3}}")
    form: Literal["alpha2", "alpha3"] = Field(
        "alpha2", description="ISO 639-1 (alpha2) or ISO 639-3 (alpha3)", examples=["alpha3"]
    )

    def fails(self, value: Composable, given: PgType) -> Composable:
        return not_in(value, iso_codes("languages", {"alpha2": "alpha_2", "alpha3": "alpha_3"}[self.form]))


ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
LABEL = "[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*"
TOP_LABEL = "(?:[A-Za-z][A-Za-z]+|[Xx][Nn]--[A-Za-z0-9-]*[A-Za-z0-9])"
EMAIL = rf"{ATOM}(?:\.{ATOM})*@(?:{LABEL}\.)+{TOP_LABEL}"


class Email(Check):
    """An e-mail address as most systems accept them: ASCII, a plain local part, a domain name with a dot.

    What passes: up to 64 letters, digits and signs of ``!#$%&'*+/=?^_`{|}~-.`` (no dot first, last or beside a dot),
    an @, and domain labels of up to 63 letters, digits and inner hyphens of which the last is letters only, two or
    more, or begins with `xn--`; 254 characters in all. NULL passes. What does not, though RFC 5321 allows it: quoted
    local parts, comments, addresses in brackets, letters beyond ASCII. Whether the mailbox exists nobody can see here.
    Source: RFC 5321 (4.1.2, 4.5.3.1), RFC 1035 (2.3.1); a stated part of them.
    """

    word: Literal["email"] = "email"
    takes: ClassVar[tuple[str, ...]] = ("text",)
    cost: ClassVar[Cost] = "heavy"
    examples: ClassVar[tuple[str, ...]] = ("email",)

    def fails(self, value: Composable, given: PgType) -> Composable:
        short_labels = template("(char_length({v}) < 66 or {v} !~ '@(?:.*[.])?[^.]{{64}}')", v=value)
        return refused_unless(value, EMAIL, short_labels, size="char_length({v}) <= 254 and strpos({v}, '@') <= 65")


class Phone(Check):
    """A telephone number in international form: `+`, then 7 to 15 digits of which the first is not 0.

    Without blanks, brackets or hyphens. NULL passes. Numbering plans of countries are not checked. The standard names
    no least length; the shortest numbers in use have 7 digits with their country code.
    Source: ITU-T E.164 (15 digits at most) and E.123 (`+`).
    """

    word: Literal["phone"] = "phone"
    takes: ClassVar[tuple[str, ...]] = ("text",)
    examples: ClassVar[tuple[str, ...]] = ("phone",)

    def fails(self, value: Composable, given: PgType) -> Composable:
        return refused_unless(value, r"\+[1-9][0-9]+", size="char_length({v}) between 8 and 16")


@cache
def iso_codes(kind: str, attribute: str) -> tuple[str, ...]:
    """All codes of one kind that the standard has, sorted."""
    import pycountry  # read when a mapping is compiled, not while a DAG file is parsed

    found = (getattr(entry, attribute, None) for entry in getattr(pycountry, kind))
    return tuple(sorted(code for code in found if code is not None))
