"""Steps on dates: a declared format in, a date out; what is ambiguous or impossible is an error of the row.

Every step that computes with a date knows the years 1 to 9999. Infinity and what lies beyond are errors of the row:
other systems cannot hold them, and PostgreSQL's own arithmetic fails at the ends of its calendar.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Literal, Self

from psycopg import sql
from psycopg.sql import Composable
from pydantic import Field, StrictInt, model_validator
from pydantic_core import PydanticCustomError

from syncline.core.cron import zones
from syncline.core.models import Name
from syncline.core.transforms.base import Cost, NotApplicable, Row, Transform, lit, template
from syncline.core.types import DATE, PgType

# A whole calendar in one expression: years 0001 to 9999, months, their days, 29 February in leap years only.
# `date` itself would also take `now`, `infinity` and 3 spellings of the same day; a failed cast would end the batch.
# Digits are [0-9]: \\d would take the digits of any script. Most dates have a day that every month has, and a short
# expression finds them in half the time of the whole calendar.
ORDINARY_DAY = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])"
ANY_DAY = (
    "([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    "|02-(0[1-9]|1[0-9]|2[0-8]))"
    "|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)"
)
FIRST_YEAR = "0001"  # a text of ten characters below it is year 0, which no calendar has
FIRST_DAY, LAST_DAY = "0001-01-01", "9999-12-31"
# What may be added or taken away: from the year 1 more would leave PostgreSQL's calendar, which begins in 4714 BC.
DAYS_MAX = 1_700_000
MONTHS_MAX = 12 * 4_000

FormatName = Literal[
    "iso", "yyyymmdd", "yyyy/mm/dd", "yyyy.mm.dd",
    "dd/mm/yyyy", "dd.mm.yyyy", "dd-mm-yyyy", "ddmmyyyy", "d/m/yyyy", "d.m.yyyy", "d-m-yyyy",
    "mm/dd/yyyy", "mm-dd-yyyy", "mmddyyyy", "m/d/yyyy",
    "yymmdd", "dd/mm/yy", "dd.mm.yy", "dd-mm-yy", "ddmmyy", "mm/dd/yy",
    "dd-mon-yyyy", "dd mon yyyy", "dd-mon-yy", "dd month yyyy", "d month yyyy", "mon dd, yyyy", "month d, yyyy",
]  # fmt: skip
Language = Literal["english", "german", "french", "spanish", "italian", "dutch", "portuguese"]
# language -> short and long names of the months, as Unicode CLDR writes them, without full stops
MONTHS: dict[str, tuple[str, str]] = {
    "english": ("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
                "January February March April May June July August September October November December"),
    "german": ("Jan Feb Mär Apr Mai Jun Jul Aug Sep Okt Nov Dez",
               "Januar Februar März April Mai Juni Juli August September Oktober November Dezember"),
    "french": ("janv févr mars avr mai juin juil août sept oct nov déc",
               "janvier février mars avril mai juin juillet août septembre octobre novembre décembre"),
    "spanish": ("ene feb mar abr may jun jul ago sep oct nov dic",
                "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre"),
    "italian": ("gen feb mar apr mag giu lug ago set ott nov dic",
                "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre"),
    "dutch": ("jan feb mrt apr mei jun jul aug sep okt nov dec",
              "januari februari maart april mei juni juli augustus september oktober november december"),
    "portuguese": ("jan fev mar abr mai jun jul ago set out nov dez",
                   "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro"),
}  # fmt: skip
# Other short names that people write.
ALSO_SHORT: dict[str, dict[str, int]] = {
    "english": {"sept": 9}, "german": {"mrz": 3, "jän": 1, "sept": 9}, "spanish": {"sept": 9}, "french": {"fév": 2},
}  # fmt: skip
ACCENTS = ("ÄÉÛÇ", "äéûç")  # lower() of a database may know a to z only
TOKEN = re.compile("yyyy|yy|month|mon|mm|m|dd|d")
# token -> what it looks like, and how to_char writes it
LOOKS = {
    "yyyy": "[0-9]{4}", "yy": "[0-9]{2}", "mm": "[0-9]{2}", "dd": "[0-9]{2}", "m": "[0-9]{1,2}", "d": "[0-9]{1,2}",
    "mon": "[^][0-9 ,/-]{3,5}", "month": "[^][0-9 ,/-]{3,12}",
}  # fmt: skip
WRITTEN = {"yyyy": "YYYY", "yy": "YY", "mm": "MM", "dd": "DD", "m": "FMMM", "d": "FMDD"}


@dataclass(frozen=True)
class DateFormat:
    """A named format taken apart: tokens, and the texts before, between and after them."""

    tokens: tuple[str, ...]
    texts: tuple[str, ...]

    @property
    def named(self) -> str | None:
        """`mon` or `month` where months are written as names."""
        return next((token for token in self.tokens if token in ("mon", "month")), None)

    @property
    def is_short_year(self) -> bool:
        return "yy" in self.tokens

    @property
    def is_fixed(self) -> bool:
        """Whether every part stands at its own place."""
        return not {"d", "m", "mon", "month"} & set(self.tokens)

    @property
    def shape(self) -> str:
        """Regular expression of the whole text."""
        looks = [re.escape(text) + LOOKS[token] for text, token in zip(self.texts, self.tokens, strict=False)]
        return f"^{''.join(looks)}$".replace("\\/", "/").replace("\\ ", " ")

    def part(self, token: str, value: Composable) -> Composable:
        """SQL of one part of a text of this shape."""
        n = self.tokens.index(token)
        if self.is_fixed:
            before = "".join(text + ahead for text, ahead in zip(self.texts, self.tokens[:n], strict=False))
            start = len(before) + len(self.texts[n]) + 1
            return template("substr({v}, {n}, {l})", v=value, n=lit(start), l=lit(len(token)))
        plain = template("replace({v}, ',', '')", v=value) if any("," in text for text in self.texts) else value
        return template("split_part({v}, {s}, {n})", v=plain, s=lit(self.texts[1].lstrip(",")), n=lit(n + 1))


@cache
def date_format(name: str) -> DateFormat:
    spelt = "yyyy-mm-dd" if name == "iso" else name
    return DateFormat(tuple(TOKEN.findall(spelt)), tuple(TOKEN.split(spelt)))


def month_names(language: str, style: str) -> list[str]:
    """January to December."""
    return MONTHS[language][0 if style == "mon" else 1].split()


def iso_day(value: Composable, name: str, pivot: int | None = None, language: str | None = None) -> Composable:
    """SQL of a text of a format's shape as yyyy-mm-dd; whether that is a day is asked by `is_day`."""
    if name == "iso":
        return value
    form = date_format(name)
    year = form.part("yyyy", value) if not form.is_short_year else _whole_year(form.part("yy", value), pivot or 0)
    if form.named:
        month = _month_of(form.part(form.named, value), language or "", form.named)
    else:
        month = _two_digits(form, "m", value)
    return template("({y} || '-' || {m} || '-' || {d})", y=year, m=month, d=_two_digits(form, "d", value))


def _two_digits(form: DateFormat, token: str, value: Composable) -> Composable:
    if token * 2 in form.tokens:
        return form.part(token * 2, value)
    return template("lpad({part}, 2, '0')", part=form.part(token, value))


def _whole_year(two: Composable, pivot: int) -> Composable:
    """Two digits as the year from `pivot` on that ends in them."""
    century, from_ = divmod(pivot, 100)
    return template(
        'case when {two} collate "C" >= {start} then {same} else {next} end || {two}',
        two=two, start=lit(f"{from_:02}"), same=lit(f"{century:02}"), next=lit(f"{century + 1:02}"),
    )  # fmt: skip


def _month_of(name: Composable, language: str, style: str) -> Composable:
    spelt = {name.lower(): f"{n:02}" for n, name in enumerate(month_names(language, style), 1)}
    if style == "mon":
        spelt |= {name: f"{n:02}" for name, n in ALSO_SHORT.get(language, {}).items()}
    return template(
        "({names}::jsonb ->> lower(translate(rtrim({name}, '.'), {large}, {small})))",
        names=sql.Literal(json.dumps(spelt, ensure_ascii=False)), name=name,
        large=lit(ACCENTS[0]), small=lit(ACCENTS[1]),
    )  # fmt: skip


def is_day(iso: Composable, more: str = "") -> Composable:
    """Whether a text is yyyy-mm-dd of the calendar, followed by what `more` matches."""
    return template(
        '({iso} ~ {ordinary} or {iso} ~ {whole}) and {iso} collate "C" >= {first}',
        iso=iso, ordinary=lit(f"^{ORDINARY_DAY}{more}$"), whole=lit(f"^{ANY_DAY}{more}$"), first=lit(FIRST_YEAR),
    )  # fmt: skip


def in_calendar(value: Composable) -> Composable:
    """Whether a date lies in the years 1 to 9999; false for infinity."""
    return template("{v} between {first} and {last}", v=value, first=_day(FIRST_DAY), last=_day(LAST_DAY))


def _day(day: str) -> Composable:
    return sql.SQL("{}::date").format(sql.Literal(day))


# Names that the IANA database has as zones, but PostgreSQL reads as abbreviations: a fixed offset, which a setting of
# the server may even change (EST is +10 to an Australian one). Measured: noon of a July day in CET is 11:00 UTC to it.
ABBREVIATIONS = frozenset({"CET", "EET", "EST", "HST", "MET", "MST", "WET"})


def check_zone(zone: str) -> None:
    """Refuse what is no time zone; raises NotApplicable."""
    if zone in ABBREVIATIONS:
        raise NotApplicable(f"'{zone}' is a fixed offset to PostgreSQL, summer and winter; name a place: Europe/Paris")
    if zone not in zones():
        raise NotApplicable(f"'{zone}' is not a time zone of the IANA database")


def _check_format(name: str, *, pivot: int | None, language: str | None, wants_pivot: bool) -> None:
    form = date_format(name)
    if wants_pivot and form.is_short_year != (pivot is not None):
        raise PydanticCustomError(
            "M02",
            "`{format}` has years of two digits: say `pivot`, the first year they may mean"
            if form.is_short_year
            else "`pivot` belongs to formats with years of two digits, and `{format}` has four",
            {"format": name},
        )
    if (form.named is not None) != (language is not None):
        raise PydanticCustomError(
            "M02",
            "`{format}` has names of months: say their `language`"
            if form.named
            else "`language` belongs to formats with names of months, and `{format}` has none",
            {"format": name},
        )


class ParseDate(Transform):
    """Text in one declared format to a date: `{parse_date: iso}`, `{parse_date: dd/mm/yyyy}`.

    NULL stays NULL. What has another shape, or is no day of the calendar (30 February, year 0, `today`), is an error
    of the row. Years of two digits need `pivot`, names of months need `language`.

    Source: ISO 8601-1 for `iso`; names of months from Unicode CLDR.
    """

    word: Literal["parse_date"] = "parse_date"
    shorthand: ClassVar[str | None] = "format"
    may_reject: ClassVar[bool] = True
    cost: ClassVar[Cost] = "heavy"
    examples: ClassVar[tuple[str, ...]] = (
        "{parse_date: iso}",
        "{parse_date: dd/mm/yyyy}",
        "{parse_date: {format: dd.mm.yy, pivot: 1950}}",
        "{parse_date: {format: dd-mon-yyyy, language: english}}",
    )
    format: FormatName = Field(
        "iso",
        description="How the text is written; d and m may have one digit or two, mon and month are names",
        examples=["iso", "dd/mm/yyyy", "yyyymmdd"],
    )
    pivot: StrictInt | None = Field(
        None,
        ge=1,
        le=9_900,
        description="First year that two digits may mean: 1950 means 1950 to 2049",
        examples=[1950],
    )
    language: Language | None = Field(None, description="Language of the months' names", examples=["english"])

    @model_validator(mode="after")
    def _is_said_whole(self) -> Self:
        _check_format(self.format, pivot=self.pivot, language=self.language, wants_pivot=True)
        return self

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return DATE

    def sql(self, value: Composable, given: PgType) -> Composable:
        if self.format == "iso":
            return template("case when {day} then {v}::date end", day=is_day(value), v=value)
        iso = iso_day(value, self.format, self.pivot, self.language)
        # OFFSET 0: the text is put together once, not once per question
        return template(
            "case when {v} ~ {shape} then (select case when {day} then iso::date end"
            " from (select {iso} as iso offset 0) as x) end",
            v=value, shape=lit(date_format(self.format).shape), day=is_day(sql.SQL("iso")), iso=iso,
        )  # fmt: skip


class FormatDate(Transform):
    """A date as text in one declared format: `{format_date: dd/mm/yyyy}`.

    NULL stays NULL. Infinity and days outside the years 1 to 9999 are errors of the row.
    """

    word: Literal["format_date"] = "format_date"
    shorthand: ClassVar[str | None] = "format"
    takes: ClassVar[tuple[str, ...]] = ("date",)
    may_reject: ClassVar[bool] = True
    examples: ClassVar[tuple[str, ...]] = (
        "{format_date: yyyymmdd}",
        "{format_date: {format: dd month yyyy, language: french}}",
    )
    format: FormatName = Field(
        "iso", description="How the text is written, as in parse_date", examples=["iso", "dd/mm/yyyy", "yyyymmdd"]
    )
    language: Language | None = Field(None, description="Language of the months' names", examples=["english"])

    @model_validator(mode="after")
    def _is_said_whole(self) -> Self:
        _check_format(self.format, pivot=None, language=self.language, wants_pivot=False)
        return self

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        form = date_format(self.format)
        length = sum(map(len, form.texts)) + sum(self._width(token) for token in form.tokens)
        return PgType("varchar", length=length)

    def _width(self, token: str) -> int:
        if token in ("mon", "month"):
            return max(map(len, month_names(self.language or "", token)))
        return max(len(token), 2)

    def sql(self, value: Composable, given: PgType) -> Composable:
        return template("case when {in_} then {said} end", in_=in_calendar(value), said=self._text(value))

    def _text(self, value: Composable) -> Composable:
        form = date_format(self.format)
        ahead, name, behind = "", "", ""
        for text, token in zip(form.texts, (*form.tokens, ""), strict=True):
            said = f'"{text}"' if text else ""
            if token == form.named:
                ahead, name = behind + said, token
                behind = ""
            else:
                behind += said + WRITTEN.get(token, "")
        if not name:
            return template("to_char({v}::timestamp, {f})", v=value, f=lit(behind))
        names = template("({n}::text[])", n=sql.Literal(f"{{{','.join(month_names(self.language or '', name))}}}"))
        parts = [template("{n}[extract(month from {v})::integer]", n=names, v=value)]
        if ahead:
            parts.insert(0, template("to_char({v}::timestamp, {f})", v=value, f=lit(ahead)))
        parts.append(template("to_char({v}::timestamp, {f})", v=value, f=lit(behind)))
        return sql.SQL(" || ").join(parts)


class YearOf(Transform):
    """The calendar year of a date, as an integer: enough for statistics, less than a birthday.

    NULL stays NULL. Infinity is an error of the row: it has no year.
    """

    word: Literal["year"] = "year"
    takes: ClassVar[tuple[str, ...]] = ("date",)
    may_reject: ClassVar[bool] = True  # infinity has no year
    examples: ClassVar[tuple[str, ...]] = ("year",)

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return PgType("integer")

    def sql(self, value: Composable, given: PgType) -> Composable:
        return template("case when isfinite({v}) then extract(year from {v})::integer end", v=value)


class DateOf(Transform):
    """The day of a time stamp in a named zone: `{date_in: Europe/London}`.

    NULL stays NULL. Infinity and what lies outside the years 1 to 9999 are errors of the row.

    Source: IANA time zone database, as the server that maps has it.
    """

    word: Literal["date_in"] = "date_in"
    shorthand: ClassVar[str | None] = "zone"
    takes: ClassVar[tuple[str, ...]] = ("timestamptz",)
    may_reject: ClassVar[bool] = True
    examples: ClassVar[tuple[str, ...]] = ("{date_in: Europe/London}",)
    zone: str = Field(description="Time zone of the IANA database", examples=["Europe/London", "UTC"])

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        check_zone(self.zone)
        return DATE

    def sql(self, value: Composable, given: PgType) -> Composable:
        # At the ends of PostgreSQL's calendar a shift of zone fails.
        return template(
            "case when {v} >= '0001-01-02 00:00:00+00' and {v} < '9999-12-31 00:00:00+00'"
            " then ({v} at time zone {zone})::date end",
            v=value,
            zone=lit(self.zone),
        )


class ToDate(Transform):
    """The day on which a time stamp without zone lies: its time of day is dropped, because the step says so.

    NULL stays NULL. Infinity and what lies outside the years 1 to 9999 are errors of the row. A time stamp with a
    zone has a day only in some zone: see `date_in`.
    """

    word: Literal["to_date"] = "to_date"
    takes: ClassVar[tuple[str, ...]] = ("timestamp",)
    may_reject: ClassVar[bool] = True
    cost: ClassVar[Cost] = "free"
    examples: ClassVar[tuple[str, ...]] = ("to_date",)

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return DATE

    def sql(self, value: Composable, given: PgType) -> Composable:
        return template(
            "case when {v} >= '0001-01-01 00:00:00' and {v} < '10000-01-01 00:00:00' then {v}::date end", v=value
        )


class StartOfMonth(Transform):
    """The first day of the date's month.

    NULL stays NULL. Infinity and days outside the years 1 to 9999 are errors of the row.
    """

    word: Literal["start_of_month"] = "start_of_month"
    takes: ClassVar[tuple[str, ...]] = ("date",)
    may_reject: ClassVar[bool] = True
    examples: ClassVar[tuple[str, ...]] = ("start_of_month",)

    def sql(self, value: Composable, given: PgType) -> Composable:
        return template(
            "case when {in_} then date_trunc('month', {v}::timestamp)::date end", in_=in_calendar(value), v=value
        )


class EndOfMonth(Transform):
    """The last day of the date's month.

    NULL stays NULL. Infinity and days outside the years 1 to 9999 are errors of the row.
    """

    word: Literal["end_of_month"] = "end_of_month"
    takes: ClassVar[tuple[str, ...]] = ("date",)
    may_reject: ClassVar[bool] = True
    examples: ClassVar[tuple[str, ...]] = ("end_of_month",)

    def sql(self, value: Composable, given: PgType) -> Composable:
        return template(
            "case when {in_} then {last} end",
            in_=in_calendar(value),
            last=_end_of_month(template("{v}::timestamp", v=value)),
        )


def _end_of_month(moment: Composable) -> Composable:
    return template("(date_trunc('month', {m}) + '1 month -1 day'::interval)::date", m=moment)


def _one_of_both(word: str, number: int | None, column: str | None, names: tuple[str, str]) -> None:
    if (number is None) == (column is None):
        said = "`{word}` takes either `{number}` or `{column}`"
        raise PydanticCustomError("M02", said, {"word": word, "number": names[0], "column": names[1]})


def _require_integer(word: str, column: str, types: Mapping[str, PgType]) -> None:
    if (kind := types.get(column)) is not None and kind.name not in ("smallint", "integer", "bigint"):
        raise NotApplicable(f"`{word}` counts with an integer column, and '{column}' is {kind}")


def _count(
    value: Composable, number: int | None, column: str | None, row: Row, most: int
) -> tuple[Composable, Composable]:
    """How many, and whether date and number can be reckoned with."""
    if column is None:
        return lit(number), in_calendar(value)
    many = row.values[column]
    counted = template(
        "{c} and {n} between {low} and {high}", c=in_calendar(value), n=many, low=lit(-most), high=lit(most)
    )
    return many, counted


class AddDays(Transform):
    """So many days later: `{add_days: 30}`; earlier where the number is negative; or as many as a column says.

    NULL stays NULL. A column that is NULL, infinity, and a result outside the years 1 to 9999 are errors of the row.
    """

    word: Literal["add_days"] = "add_days"
    shorthand: ClassVar[str | None] = "days"
    takes: ClassVar[tuple[str, ...]] = ("date",)
    may_reject: ClassVar[bool] = True
    cost: ClassVar[Cost] = "free"
    examples: ClassVar[tuple[str, ...]] = ("{add_days: 30}", "{add_days: {days_from: payment_terms_days}}")
    days: StrictInt | None = Field(None, ge=-DAYS_MAX, le=DAYS_MAX, description="How many days", examples=[30, -1])
    days_from: Name | None = Field(
        None, description="Integer column of the row that says how many days", examples=["payment_terms_days"]
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        _one_of_both(self.word, self.days, self.days_from, ("days", "days_from"))
        return self

    @property
    def reads(self) -> tuple[str, ...]:
        return () if self.days_from is None else (self.days_from,)

    def require_row(self, types: Mapping[str, PgType]) -> None:
        for column in self.reads:
            _require_integer(self.word, column, types)

    def sql_in(self, value: Composable, given: PgType, row: Row) -> Composable:
        days, counted = _count(value, self.days, self.days_from, row, DAYS_MAX)
        later = template("{v} + ({n})::integer", v=value, n=days)
        return template(
            "case when {counted} then case when {in_} then {later} end end",
            counted=counted, in_=in_calendar(template("({l})", l=later)), later=later,
        )  # fmt: skip


class AddMonths(Transform):
    """So many months later, with a declared rule for days that a month does not have.

    `clamp`: 31 January and one month is 28 or 29 February. `last_day`: the same, and the last day of a month stays the
    last day: 28 February 2023 and one month is 31 March. `reject`: a day that the month does not have is an error of
    the row. NULL stays NULL. A column that is NULL, infinity, and a result outside the years 1 to 9999 are errors of
    the row.
    """

    word: Literal["add_months"] = "add_months"
    takes: ClassVar[tuple[str, ...]] = ("date",)
    may_reject: ClassVar[bool] = True
    examples: ClassVar[tuple[str, ...]] = (
        "{add_months: {months: 1, end: clamp}}",
        "{add_months: {months: -3, end: last_day}}",
        "{add_months: {months_from: notice_months, end: reject}}",
    )
    months: StrictInt | None = Field(None, ge=-MONTHS_MAX, le=MONTHS_MAX, description="How many months", examples=[1])
    months_from: Name | None = Field(
        None, description="Integer column of the row that says how many months", examples=["notice_months"]
    )
    end: Literal["clamp", "last_day", "reject"] = Field(
        description="What becomes of a day that the month does not have", examples=["clamp"]
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        _one_of_both(self.word, self.months, self.months_from, ("months", "months_from"))
        return self

    @property
    def reads(self) -> tuple[str, ...]:
        return () if self.months_from is None else (self.months_from,)

    def require_row(self, types: Mapping[str, PgType]) -> None:
        for column in self.reads:
            _require_integer(self.word, column, types)

    def sql_in(self, value: Composable, given: PgType, row: Row) -> Composable:
        months, counted = _count(value, self.months, self.months_from, row, MONTHS_MAX)
        span = template("make_interval(months => ({n})::integer)", n=months)
        later = template("({v}::timestamp + {span})::date", v=value, span=span)
        asked = in_calendar(template("({l})", l=later))
        if self.end == "last_day":
            last = template("({v}::timestamp + {span})", v=value, span=span)
            later = template(
                "case when {is_last} then {last} else {later} end",
                is_last=_is_last(value), last=_end_of_month(last), later=later,
            )  # fmt: skip
        if self.end == "reject":
            asked = template("{in_} and extract(day from {l}) = extract(day from {v})", in_=asked, l=later, v=value)
        return template(
            "case when {counted} then case when {asked} then {later} end end", counted=counted, asked=asked, later=later
        )


def _is_last(value: Composable) -> Composable:
    """Whether a date is the last of its month."""
    return template("extract(day from {v} + 1) = 1", v=value)


class StartOfDay(Transform):
    """Midnight at which a date begins, as a time stamp without zone; `in_zone` says where.

    NULL stays NULL. Infinity and days outside the years 1 to 9999 are errors of the row.
    """

    word: Literal["start_of_day"] = "start_of_day"
    takes: ClassVar[tuple[str, ...]] = ("date",)
    may_reject: ClassVar[bool] = True
    cost: ClassVar[Cost] = "free"
    examples: ClassVar[tuple[str, ...]] = ("start_of_day",)

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return PgType("timestamp")

    def sql(self, value: Composable, given: PgType) -> Composable:
        return template("case when {in_} then {v}::timestamp end", in_=in_calendar(value), v=value)
