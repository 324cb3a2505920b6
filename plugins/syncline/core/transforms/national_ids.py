"""Checks on numbers that states give to persons and to taxpayers, with the check digits that each state defines.

One function per kind of number: a shape, and what must hold of a value that has it. They say that a number is well
formed; whom it belongs to, and whether it was ever issued, only the state knows. No clock: a number with a two-digit
year passes if it can be right in any century.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal, get_args

from psycopg import sql
from psycopg.sql import Composable
from pydantic import Field

from syncline.core.transforms.base import Check, Cost, template
from syncline.core.transforms.check_digits import (
    LETTERS,
    byte,
    digit,
    looked_up,
    luhn,
    luhn_sum,
    mod_11_10,
    refused_unless,
    weighted,
)
from syncline.core.types import PgType

# Months as 01 to 12 with the days they have; 29 February is judged with the year.
DAY_31, DAY_30, DAY_28 = "(?:0[1-9]|[12][0-9]|3[01])", "(?:0[1-9]|[12][0-9]|30)", "(?:0[1-9]|1[0-9]|2[0-8])"
LEAP_NOT_00 = "(?:0[48]|[2468][048]|[13579][26])"  # years 00 are leap years in 2000 only


def _gb(value: Composable) -> Composable:
    shape = "(?!BG|GB|KN|NK|NT|TN|ZZ)[ABCEGHJ-PR-TW-Z][ABCEGHJ-NPR-TW-Z][0-9]+[A-D]"
    return refused_unless(value, shape, size="char_length({v}) = 9")


def _us(value: Composable) -> Composable:
    shape = "(?!000|666|9)[0-9]{3}(?:-(?!00)[0-9][0-9]-|(?!00)[0-9][0-9])(?!0000)[0-9]{4}"
    is_own = template("{v} not in ('078-05-1120', '078051120', '219-09-9999', '219099999')", v=value)
    return refused_unless(value, shape, is_own, size="char_length({v}) in (9, 11)")


def _fr(value: Composable) -> Composable:
    month = "(?:0[1-9]|1[0-2]|[23][0-9]|4[0-2]|[5-9][0-9])"
    holds = template(
        "97 - replace(replace(substr({v}, 1, 13), '2A', '19'), '2B', '18')::bigint % 97 = substr({v}, 14)::integer",
        v=value,
    )
    shape = f"[1-478][0-9][0-9]{month}(?:[0-9][0-9]|2[AB])[0-9]+"
    return refused_unless(value, shape, holds, size="char_length({v}) = 15")


NIF_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"


def _es(value: Composable, start: int = 0) -> Composable:
    holds = template(
        "substr({letters}, translate(substr({v}, {first}, 8), 'XYZKLM', '012000')::integer % 23 + 1, 1)"
        " = substr({v}, {last})",
        v=value, letters=sql.Literal(NIF_LETTERS), first=sql.Literal(start + 1), last=sql.Literal(start + 9),
    )  # fmt: skip
    prefix = "ES" if start else ""
    return refused_unless(value, f"{prefix}[0-9XYZKLM][0-9]+[{NIF_LETTERS}]", holds, size=_sized(start + 9))


def _sized(*lengths: int) -> str:
    return f"char_length({{v}}) in ({', '.join(map(str, lengths))})"


# The codice fiscale writes a digit as a letter where two persons would have the same code: 0 L, 1 M ... 9 V.
IT_DIGIT, IT_1_TO_9, IT_0_TO_8 = "[0-9LMNP-V]", "[1-9MNP-V]", "[0-8LMNP-U]"
IT_LEAP = "(?:[02468LNQSU][048LQU]|[13579MPRTV][26NS])"
# Days of women are 40 more: the tens of days 0, 1, 2, 3 are 4, 5, 6, 7 too.
IT_DAY_28 = f"(?:[0L4Q]{IT_1_TO_9}|[1M5R]{IT_DIGIT}|[2N6S]{IT_0_TO_8})"
IT_DAY_30 = f"(?:[0L4Q]{IT_1_TO_9}|[1M5R2N6S]{IT_DIGIT}|[3P7T][0L])"
IT_DAY_31 = f"(?:[0L4Q]{IT_1_TO_9}|[1M5R2N6S]{IT_DIGIT}|[3P7T][0L1M])"
IT_BORN = f"(?:{IT_DIGIT}{IT_DIGIT}(?:[ACELMRT]{IT_DAY_31}|[DHPS]{IT_DAY_30}|B{IT_DAY_28})|{IT_LEAP}B[2N6S][9V])"
IT_ODD_VALUES = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
IT_ODD = {sign: IT_ODD_VALUES[n] for signs in ("0123456789", LETTERS) for n, sign in enumerate(signs)}
IT_EVEN = {sign: n for signs in ("0123456789", LETTERS) for n, sign in enumerate(signs)}


def _it(value: Composable) -> Composable:
    terms = [looked_up(IT_EVEN if at % 2 else IT_ODD, value, at) for at in range(15)]  # the first place is "odd"
    holds = template("({sum}) % 26 = {last} - 65", sum=sql.SQL(" + ").join(terms), last=byte(value, 15))
    shape = f"[A-Z]+{IT_BORN}[A-Z]{IT_DIGIT}{IT_DIGIT}{IT_DIGIT}[A-Z]"
    return refused_unless(value, shape, holds, size="char_length({v}) = 16")


def _de(value: Composable) -> Composable:
    """Each of the first ten digits is counted in four bits of one number."""
    counts = sql.SQL(" + ").join(template("(1::bigint << (4 * {d}))", d=digit(value, at)) for at in range(10))
    more_than_one, more_than_three = int("E" * 10, 16), int("C" * 10, 16)
    one_repeated = template(
        "(select twice <> 0 and twice & (twice - 1) = 0 and twice & {more} = 0"
        " from (select ({counts}) & {mask} as twice offset 0) as x)",
        counts=counts, mask=sql.Literal(more_than_one), more=sql.Literal(more_than_three),
    )  # fmt: skip
    three_in_a_row = "|".join(sign * 3 for sign in "0123456789")
    holds = template(
        "{check} and {one_repeated} and substr({v}, 1, 10) !~ {row}",
        check=mod_11_10(value, 11), one_repeated=one_repeated, v=value, row=sql.Literal(three_in_a_row),
    )  # fmt: skip
    return refused_unless(value, "[1-9][0-9]+", holds, size="char_length({v}) = 11")


def _eleven_test(value: Composable, start: int = 0) -> Composable:
    """Of nine digits, not all of them 0. Source: the Dutch `elfproef` with weight -1 for the last."""
    return template(
        "({sum} % 11 = 0 and substr({v}, {first}, 9) <> '000000000')",
        sum=weighted(value, (9, 8, 7, 6, 5, 4, 3, 2, -1), start), v=value, first=sql.Literal(start + 1),
    )  # fmt: skip


def _nl(value: Composable) -> Composable:
    return refused_unless(value, "[0-9]+", _eleven_test(value), size="char_length({v}) = 9")


# The month of a PESEL tells the century too: 80 more in 18.., 20 more in 20.., 40 more in 21.., 60 more in 22..
PL_MONTH_31, PL_MONTH_30 = "(?:[02468][13578]|[13579][02])", "(?:[02468][469]|[13579]1)"
PL_BORN = (
    f"(?:[0-9][0-9](?:{PL_MONTH_31}{DAY_31}|{PL_MONTH_30}{DAY_30}|[02468]2{DAY_28})|{LEAP_NOT_00}[02468]229|002229)"
)


def _pl(value: Composable) -> Composable:
    holds = template("{sum} % 10 = 0", sum=weighted(value, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)))
    return refused_unless(value, f"{PL_BORN}[0-9]+", holds, size="char_length({v}) = 11")


# Days of a coordination number are 60 more.
SE_31, SE_30, SE_28 = (
    "(?:[06][1-9]|[1278][0-9]|[39][01])",
    "(?:[06][1-9]|[1278][0-9]|[39]0)",
    "(?:[06][1-9]|[17][0-9]|[28][0-8])",
)
SE_CENTURY = "(?:18|19|20)?"
SE_BORN = (
    f"(?:{SE_CENTURY}[0-9][0-9](?:(?:0[13578]|1[02]){SE_31}|(?:0[469]|11){SE_30}|02{SE_28})"
    f"|(?:{SE_CENTURY}{LEAP_NOT_00}|(?:20)?00)02[28]9)"
)


def _se(value: Composable) -> Composable:
    holds = luhn(template("right(translate({v}, '-+', ''), 10)", v=value), 10)
    shape = f"{SE_BORN}[+-]?[0-9][0-9][0-9][0-9]"
    return refused_unless(value, shape, holds, size="char_length({v}) between 10 and 13")


def _be(value: Composable) -> Composable:
    number, check = template("substr({v}, 1, 9)::bigint", v=value), template("substr({v}, 10)::integer", v=value)
    holds = template("97 - {n} % 97 = {c} or 97 - (2000000000 + {n}) % 97 = {c}", n=number, c=check)
    shape = "[0-9][0-9](?:[024][0-9]|[135][0-2])(?:[0-2][0-9]|3[01])(?!000|999)[0-9]+"
    return refused_unless(value, shape, holds, size="char_length({v}) = 11")


IdCountry = Literal["BE", "DE", "ES", "FR", "GB", "IT", "NL", "PL", "SE", "US"]
NATIONAL_IDS: dict[str, Callable[[Composable], Composable]] = {
    "BE": _be, "DE": _de, "ES": _es, "FR": _fr, "GB": _gb, "IT": _it, "NL": _nl, "PL": _pl, "SE": _se, "US": _us,
}  # fmt: skip


class NationalId(Check):
    """A well-formed number of a person, as the named country gives them, with the check digits that it defines.

    Upper case, without blanks, dots or strokes (US and SE may have their hyphens). NULL passes.
    BE: national register or BIS number, 11 digits, modulo 97 for births before or from 2000.
    DE: Steuer-Identifikationsnummer, 11 digits: among the first ten exactly one occurs two or three times, and not
    three in a row; ISO 7064 MOD 11,10.
    ES: DNI or NIE, also K, L and M numbers, with the letter of modulo 23.
    FR: NIR of 15 places with its key; Corsica is 2A, 2B; months 20 to 42 and 50 to 99 stand for incomplete papers.
    GB: National Insurance number with its suffix A to D; it has no check digit.
    IT: codice fiscale of a person, 16 places, a day that exists, letters for digits allowed, control letter.
    NL: burgerservicenummer, nine digits, the eleven test.
    PL: PESEL, 11 digits with a day that exists.
    SE: personnummer or coordination number, 10 or 12 digits, `-` or `+` before the last four allowed, Luhn.
    US: Social Security number with or without hyphens; no area 000, 666 or 9xx, no group or serial of zeros, not the
    two numbers that were printed in advertisements; it has no check digit.
    Source: BE royal decree of 3 April 1984; DE AO 139b, ITZBund on its Prüfziffer; ES Real Decreto 1553/2005 and
    1065/2007; FR décret 82-103, INSEE; GB HMRC NIM39110; IT DM 23 December 1976; NL Wabb, RvIG Logisch Ontwerp;
    PL Ustawa o ewidencji ludności (PESEL); SE Folkbokföringslag 1991:481, SKV 704 and 707; US SSA POMS RM 10201.035.
    """

    word: Literal["national_id"] = "national_id"
    shorthand: ClassVar[str | None] = "country"
    takes: ClassVar[tuple[str, ...]] = ("text",)
    cost: ClassVar[Cost] = "heavy"
    examples: ClassVar[tuple[str, ...]] = tuple(f"{{national_id: {country}}}" for country in get_args(IdCountry))
    country: IdCountry = Field(description="ISO 3166-1 alpha-2 code of the state that gave it", examples=["GB", "FR"])

    def fails(self, value: Composable, given: PgType) -> Composable:
        return NATIONAL_IDS[self.country](value)


# -- taxpayers ------------------------------------------------------------------------------------------------

# Each takes the value and where its number begins: 0, or 2 behind the country's prefix.


def _vat_gb(value: Composable, start: int) -> Composable:
    """Nine digits, perhaps three more of a branch, modulo 97 or "9755"; or a department or health authority."""
    total = weighted(value, (8, 7, 6, 5, 4, 3, 2, 10, 1), start)
    holds = template(
        "case when {first} > 57 then true when char_length({v}) = {short} then false"
        " when substr({v}, {at}, 3)::integer < 100 then {total} % 97 = 0 else {total} % 97 in (0, 42, 55) end",
        v=value, first=byte(value, start), short=sql.Literal(start + 5), at=sql.Literal(start + 1), total=total,
    )  # fmt: skip
    prefix = "(?:GB|XI)" if start else ""
    shape = f"{prefix}(?:[0-9]+|GD[0-4][0-9][0-9]|HA[5-9][0-9][0-9])"
    return refused_unless(value, shape, holds, size=_sized(start + 5, start + 9, start + 12))


def _vat_de(value: Composable, start: int) -> Composable:
    holds = mod_11_10(value, 9, start)
    return refused_unless(value, f"{'DE' if start else ''}[1-9][0-9]+", holds, size=_sized(start + 9))


FR_KEY = {sign: n for n, sign in enumerate("0123456789ABCDEFGHJKLMNPQRSTUVWXYZ")}  # without I and O


def _vat_fr(value: Composable, start: int) -> Composable:
    """A key of two signs, digits or (the newer kind) with letters, then the SIREN; Monaco's begins with 000."""
    siren = template("substr({v}, {at})::bigint", v=value, at=sql.Literal(start + 3))
    one, two = looked_up(FR_KEY, value, start), looked_up(FR_KEY, value, start + 1)
    key = template(
        "(case when {one} < 10 then {one} * 24 + {two} - 10 else {one} * 34 + {two} - 100 end)", one=one, two=two
    )
    holds = template(
        "({siren} < 1000000 or {luhn} = 0) and case when {one} < 10 and {two} < 10"
        " then {one} * 10 + {two} = ({siren} * 100 + 12) % 97"
        " else ({siren} + 1 + {key} / 11) % 11 = {key} % 11 end",
        siren=siren, luhn=luhn_sum(value, 9, start + 2), one=one, two=two, key=key,
    )  # fmt: skip
    prefix = "FR" if start else ""
    return refused_unless(value, f"{prefix}[0-9A-HJ-NP-Z][0-9A-HJ-NP-Z][0-9]+", holds, size=_sized(start + 11))


CIF_CONTROL = {sign: n for signs in ("0123456789", "JABCDEFGHI") for n, sign in enumerate(signs)}


def _vat_es(value: Composable, start: int) -> Composable:
    """A person's number, or a company's: a letter, seven digits, and their Luhn digit as a digit or letter."""
    company = "[ABCDEFGHJNPQRSUVW][0-9][0-9]+[0-9A-J]"
    seven = template(
        "({sum} + {last}) % 10 = 0", sum=_doubled_first(value, start + 1), last=looked_up(CIF_CONTROL, value, start + 8)
    )
    prefix = "ES" if start else ""
    is_company = template("{v} ~ {shape}", v=value, shape=sql.Literal(f"^{prefix}[A-JNP-W]"))
    return template(
        "case when {is_company} then {refused} else {refused_person} end",
        is_company=is_company,
        refused=refused_unless(value, prefix + company, seven, size=_sized(start + 9)),
        refused_person=_es(value, start),
    )


def _doubled_first(value: Composable, start: int) -> Composable:
    """The Luhn sum of seven digits whose check digit would follow: the first is doubled."""
    doubled = (template("2 * {d} + {d} / 5", d=digit(value, at)) for at in range(start, start + 7, 2))
    plain = (digit(value, at) for at in range(start + 1, start + 7, 2))
    return sql.SQL(" + ").join([*doubled, *plain])


def _vat_it(value: Composable, start: int) -> Composable:
    province = "(?:0(?:0[1-9]|[1-9][0-9])|100|120|121|888|999)"
    holds = template(
        "{luhn} = 0 and substr({v}, {at}, 7) <> '0000000' and substr({v}, {after}, 3) ~ {province}",
        luhn=luhn_sum(value, 11, start), v=value, at=sql.Literal(start + 1), after=sql.Literal(start + 8),
        province=sql.Literal(province),
    )  # fmt: skip
    return refused_unless(value, f"{'IT' if start else ''}[0-9]+", holds, size=_sized(start + 11))


def _vat_nl(value: Composable, start: int) -> Composable:
    """Of a legal entity: the eleven test; of a person since 2020: modulo 97 of the whole, letters as in an IBAN."""
    holds = template(
        "substr({v}, {at}, 9) <> '000000000' and substr({v}, {suffix}, 2) <> '00' and ({eleven}"
        " or ('2321' || substr({v}, {at}, 9) || '11' || substr({v}, {suffix}, 2))::bigint % 97 = 1)",
        v=value, at=sql.Literal(start + 1), suffix=sql.Literal(start + 11), eleven=_eleven_test(value, start),
    )  # fmt: skip
    return refused_unless(value, f"{'NL' if start else ''}[0-9]+B[0-9][0-9]", holds, size=_sized(start + 12))


def _vat_be(value: Composable, start: int) -> Composable:
    holds = template(
        "(substr({v}, {at}, 8)::bigint + substr({v}, {last})::bigint) % 97 = 0 and {v} !~ '0000000000$'",
        v=value, at=sql.Literal(start + 1), last=sql.Literal(start + 9),
    )  # fmt: skip
    return refused_unless(value, f"{'BE' if start else ''}[01][0-9]+", holds, size=_sized(start + 10))


def _vat_pl(value: Composable, start: int) -> Composable:
    holds = template("{sum} % 11 = 0", sum=weighted(value, (6, 5, 7, 2, 3, 4, 5, 6, 7, -1), start))
    return refused_unless(value, f"{'PL' if start else ''}[0-9]+", holds, size=_sized(start + 10))


def _vat_se(value: Composable, start: int) -> Composable:
    holds = template("{luhn} = 0", luhn=luhn_sum(value, 10, start))
    return refused_unless(value, f"{'SE' if start else ''}[0-9]+01", holds, size=_sized(start + 12))


VatCountry = Literal["BE", "DE", "ES", "FR", "GB", "IT", "NL", "PL", "SE"]
VAT_NUMBERS: dict[str, Callable[[Composable, int], Composable]] = {
    "BE": _vat_be, "DE": _vat_de, "ES": _vat_es, "FR": _vat_fr, "GB": _vat_gb, "IT": _vat_it, "NL": _vat_nl,
    "PL": _vat_pl, "SE": _vat_se,
}  # fmt: skip


class VatNumber(Check):
    """A well-formed VAT number of the named country, with its prefix and with the check digits that it defines.

    Upper case, without blanks or dots: `DE136695976`. With `prefix: absent` the value is the number alone. NULL passes.
    BE: ten digits, modulo 97. DE: nine digits, ISO 7064 MOD 11,10. ES: NIF of persons and of companies.
    FR: a key of two signs, then the SIREN. GB: nine or twelve digits, modulo 97 or "9755", or a government department
    or health authority; XI passes as its prefix. IT: eleven digits, Luhn. NL: nine digits, B, two digits; eleven test
    or modulo 97. PL: NIP, weights modulo 11. SE: an organisation number with its Luhn digit, then 01.
    Source: European Commission, VIES, structure of VAT identification numbers; algorithms as published by the tax
    authorities (HMRC, BZSt, DGFiP, AEAT, Agenzia delle Entrate, Belastingdienst, Skatteverket).
    """

    word: Literal["vat_number"] = "vat_number"
    shorthand: ClassVar[str | None] = "country"
    takes: ClassVar[tuple[str, ...]] = ("text",)
    cost: ClassVar[Cost] = "heavy"
    examples: ClassVar[tuple[str, ...]] = (
        *(f"{{vat_number: {country}}}" for country in get_args(VatCountry)),
        "{vat_number: {country: DE, prefix: absent}}",
    )
    country: VatCountry = Field(description="ISO 3166-1 alpha-2 code of the state that gave it", examples=["DE"])
    prefix: Literal["required", "absent"] = Field(
        "required", description="Whether the value begins with the country's two letters", examples=["absent"]
    )

    def fails(self, value: Composable, given: PgType) -> Composable:
        return VAT_NUMBERS[self.country](value, 2 if self.prefix == "required" else 0)
