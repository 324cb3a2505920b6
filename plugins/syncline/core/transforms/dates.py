"""Steps on dates: a declared format in, a date out; what is ambiguous or impossible is an error of the row."""

from __future__ import annotations

from typing import ClassVar, Literal

from psycopg.sql import Composable

from syncline.core.cron import zones
from syncline.core.transforms.base import NotApplicable, Transform, lit, template
from syncline.core.types import DATE, PgType

# A whole calendar in one expression: years 0001 to 9999, months, their days, 29 February in leap years only.
# `date` itself would also take `now`, `infinity` and 3 spellings of the same day; a failed cast would end the batch.
# Digits are [0-9]: \\d would take the digits of any script. Most dates have a day that every month has, and a short
# expression finds them in half the time of the whole calendar.
ORDINARY_DATE = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])$"
ISO_DATE = (
    "^([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    "|02-(0[1-9]|1[0-9]|2[0-8]))"
    "|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)$"
)
FIRST_YEAR = "0001"  # a text of ten characters below it is year 0, which no calendar has
# format -> (shape of the text, where year, month and day begin)
FORMATS = {
    "yyyymmdd": (r"^[0-9]{8}$", (1, 5, 7)),
    "dd/mm/yyyy": (r"^[0-9]{2}/[0-9]{2}/[0-9]{4}$", (7, 4, 1)),
    "dd.mm.yyyy": (r"^[0-9]{2}\.[0-9]{2}\.[0-9]{4}$", (7, 4, 1)),
    "dd-mm-yyyy": (r"^[0-9]{2}-[0-9]{2}-[0-9]{4}$", (7, 4, 1)),
    "mm/dd/yyyy": (r"^[0-9]{2}/[0-9]{2}/[0-9]{4}$", (7, 1, 4)),
}


class ParseDate(Transform):
    """Text in one declared format to a date: `{parse_date: iso}`, `{parse_date: dd/mm/yyyy}`."""

    word: Literal["parse_date"] = "parse_date"
    shorthand: ClassVar[str | None] = "format"
    is_partial: ClassVar[bool] = True
    format: Literal["iso", "yyyymmdd", "dd/mm/yyyy", "dd.mm.yyyy", "dd-mm-yyyy", "mm/dd/yyyy"] = "iso"

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return DATE

    def sql(self, value: Composable, given: PgType) -> Composable:
        iso = value
        shape: Composable = template("true")
        if self.format != "iso":
            pattern, (year, month, day) = FORMATS[self.format]
            shape = template("{v} ~ {pattern}", v=value, pattern=lit(pattern))
            iso = template(
                "(substr({v}, {y}, 4) || '-' || substr({v}, {m}, 2) || '-' || substr({v}, {d}, 2))",
                v=value, y=lit(year), m=lit(month), d=lit(day),
            )  # fmt: skip
        return template(
            'case when {shape} and ({iso} ~ {ordinary} or {iso} ~ {whole}) and {iso} collate "C" >= {first}'
            " then {iso}::date end",
            shape=shape, iso=iso, ordinary=lit(ORDINARY_DATE), whole=lit(ISO_DATE), first=lit(FIRST_YEAR),
        )  # fmt: skip


class YearOf(Transform):
    """The calendar year of a date, as an integer: enough for statistics, less than a birthday."""

    word: Literal["year"] = "year"
    takes: ClassVar[tuple[str, ...]] = ("date",)
    is_partial: ClassVar[bool] = True  # infinity has no year

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return PgType("integer")

    def sql(self, value: Composable, given: PgType) -> Composable:
        return template("case when isfinite({v}) then extract(year from {v})::integer end", v=value)


class DateOf(Transform):
    """The day of a time stamp in a named zone: `{date_in: Europe/London}`. Years 1 to 9999 have days."""

    word: Literal["date_in"] = "date_in"
    shorthand: ClassVar[str | None] = "zone"
    takes: ClassVar[tuple[str, ...]] = ("timestamptz",)
    is_partial: ClassVar[bool] = True
    zone: str

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        if self.zone not in zones():
            raise NotApplicable(f"'{self.zone}' is not a time zone of the IANA database")
        return DATE

    def sql(self, value: Composable, given: PgType) -> Composable:
        # At the ends of PostgreSQL's calendar a shift of zone fails.
        return template(
            "case when {v} >= '0001-01-02 00:00:00+00' and {v} < '9999-12-31 00:00:00+00'"
            " then ({v} at time zone {zone})::date end",
            v=value,
            zone=lit(self.zone),
        )
