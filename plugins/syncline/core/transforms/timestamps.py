"""Steps on time stamps: reading and writing them, and bringing them from a place's clock to an instant and back.

What a place's clock shows is not always an instant: in spring it skips an hour, in autumn it shows one twice.
PostgreSQL resolves both without a word: a skipped time is read with the offset of before, a repeated one with the
offset of after. Here a mapping says what it wants, and without a word such a row is rejected.

All steps know the years 1 to 9999; infinity and what lies beyond are errors of the row.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from psycopg import sql
from psycopg.sql import Composable
from pydantic import Field

from syncline.core.transforms.base import Cost, NotApplicable, Transform, lit, template
from syncline.core.transforms.dates import check_zone, date_format, is_day, iso_day
from syncline.core.types import PgType

TIMESTAMP, TIMESTAMPTZ = PgType("timestamp"), PgType("timestamptz")
CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]({fraction})?)?"
FRACTION, LONGER_FRACTION = r"\.[0-9]{1,6}", r"\.[0-9]{1,30}"
OFFSET = "(Z|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?)"
IN_TEXT, NONE = "in_text", "none"
# A second's width from the ends, so that no shift of zone leaves the years that every system knows.
FIRST_MOMENT, LAST_MOMENT = "0001-01-03 00:00:00", "9999-12-29 00:00:00"
FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799  # of the years 1 to 9999, counted from 1970
# Longer than any gap or overlap since 1970, shorter than the time between two changes of a zone's clocks.
AROUND = "'24 hours'::interval"

Gap = Literal["reject", "forward", "backward"]
Overlap = Literal["reject", "first", "second"]


def instant_of(wall: Composable, zone: str, gap: Gap, overlap: Overlap) -> Composable:
    """SQL of the instant at which the clock of a zone shows `wall`; NULL where that is not decided.

    `a` reads the clock with the offset of a day before, `b` with that of a day after. They differ only near a change;
    a reading is right if the zone's clock shows it back.
    """
    return template(
        "case when {w} >= {first} and {w} < {last} then"
        " (select case when a = b then a"
        " when a at time zone {z} = {w} and b at time zone {z} = {w} then {overlap}"
        " when a at time zone {z} = {w} then a when b at time zone {z} = {w} then b else {gap} end"
        " from (select (({w} - {day}) at time zone {z}) + {day} as a, (({w} + {day}) at time zone {z}) - {day} as b"
        " offset 0) as x) end",
        w=wall, z=lit(zone), day=sql.SQL(AROUND),
        first=sql.SQL("{}::timestamp").format(sql.Literal(FIRST_MOMENT)),
        last=sql.SQL("{}::timestamp").format(sql.Literal(LAST_MOMENT)),
        overlap=sql.SQL({"first": "a", "second": "b", "reject": "null"}[overlap]),
        gap=sql.SQL({"forward": "a", "backward": "b", "reject": "null"}[gap]),
    )  # fmt: skip


def wall_of(instant: Composable, zone: str) -> Composable:
    """SQL of what the clock of a zone shows at an instant of the years 1 to 9999; NULL outside them."""
    return template("case when {in_} then {v} at time zone {z} end", in_=in_years(instant), v=instant, z=lit(zone))


def in_years(instant: Composable) -> Composable:
    """Whether an instant lies in the years 1 to 9999, two days from the ends."""
    return template(
        "{v} >= {first} and {v} < {last}",
        v=instant,
        first=sql.SQL("{}::timestamptz").format(sql.Literal(FIRST_MOMENT + "+00")),
        last=sql.SQL("{}::timestamptz").format(sql.Literal(LAST_MOMENT + "+00")),
    )


class ParseTimestamp(Transform):
    """Text to a time stamp: `2026-01-31T09:30:00.123Z`, or another declared order of the date, then the time of day.

    `zone` says where the clock hung: in_text (the text ends in Z or an offset) or a named zone give a timestamptz,
    `none` gives a timestamp without zone. With a named zone, `gap` and `overlap` say what becomes of times that the
    clock skips or shows twice.

    NULL stays NULL. Another shape, a day or time that does not exist (24:00, a second 60), an offset where none is
    expected or none where one is, and more than six digits of a second (unless `fraction: truncate`) are errors of
    the row.

    Source: ISO 8601-1, with a blank allowed in place of T, as RFC 3339 has it.
    """

    word: Literal["parse_timestamp"] = "parse_timestamp"
    may_reject: ClassVar[bool] = True
    cost: ClassVar[Cost] = "heavy"
    examples: ClassVar[tuple[str, ...]] = (
        "{parse_timestamp: {zone: in_text}}",
        "{parse_timestamp: {zone: none, fraction: truncate}}",
        "{parse_timestamp: {format: dd/mm/yyyy, zone: Europe/London, gap: forward, overlap: first}}",
    )
    zone: str = Field(
        description="in_text, none, or the time zone whose clock the text shows",
        examples=["in_text", "none", "Europe/London"],
    )
    format: Literal["iso", "yyyymmdd", "yyyy/mm/dd", "dd/mm/yyyy", "dd.mm.yyyy", "dd-mm-yyyy", "mm/dd/yyyy"] = Field(
        "iso", description="How the date in front of the time of day is written", examples=["iso", "dd/mm/yyyy"]
    )
    fraction: Literal["reject", "truncate"] = Field(
        "reject", description="What becomes of a second's digits after the sixth", examples=["truncate"]
    )
    gap: Gap = Field("reject", description="A time that the zone's clock skips; see in_zone", examples=["forward"])
    overlap: Overlap = Field("reject", description="A time that it shows twice; see in_zone", examples=["first"])

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        if self.zone in (IN_TEXT, NONE):
            if (self.gap, self.overlap) != ("reject", "reject"):
                raise NotApplicable(f"`gap` and `overlap` belong to a named zone, not to `zone: {self.zone}`")
            return TIMESTAMP if self.zone == NONE else TIMESTAMPTZ
        check_zone(self.zone)
        return TIMESTAMPTZ

    def sql(self, value: Composable, given: PgType) -> Composable:
        read = self._read(value)
        if self.zone in (IN_TEXT, NONE):
            return read
        wall = instant_of(sql.SQL("wall"), self.zone, self.gap, self.overlap)
        return template("(select {instant} from (select {read} as wall offset 0) as y)", instant=wall, read=read)

    def _read(self, value: Composable) -> Composable:
        """SQL of the text as it stands, NULL where it is no time stamp."""
        clock = CLOCK.format(fraction=FRACTION if self.fraction == "reject" else LONGER_FRACTION)
        rest = f"[ T]{clock}{OFFSET if self.zone == IN_TEXT else ''}"
        kind = sql.SQL("timestamptz" if self.zone == IN_TEXT else "timestamp")
        if self.format == "iso":
            return template(
                "case when {day} then {t}::{kind} end", day=is_day(value, rest), t=self._cut(value), kind=kind
            )
        form = date_format(self.format)
        length = lit(sum(map(len, form.tokens + form.texts)))
        whole = template(
            "{iso} || substr({v}, {n} + 1)",
            iso=iso_day(template("left({v}, {n})", v=value, n=length), self.format),
            v=value,
            n=length,
        )
        return template(
            "case when {v} ~ {shape} then (select case when {day} then {t}::{kind} end"
            " from (select {whole} as whole offset 0) as x) end",
            v=value, shape=lit(form.shape.removesuffix("$")), day=is_day(sql.SQL("whole"), rest),
            t=self._cut(sql.SQL("whole")), kind=kind, whole=whole,
        )  # fmt: skip

    def _cut(self, value: Composable) -> Composable:
        """PostgreSQL would round the seventh digit."""
        if self.fraction == "reject":
            return value
        return template(
            "regexp_replace({v}, {longer}, {kept})", v=value, longer=lit(r"(\.[0-9]{6})[0-9]+"), kept=lit(r"\1")
        )


class InZone(Transform):
    """A time stamp without zone, as the clock of a named zone shows it, to the instant: `{in_zone: Europe/London}`.

    `gap` is a time that the clock skips: `forward` reads it with the offset of before (01:30 becomes 02:30),
    `backward` with the offset of after (00:30). `overlap` is a time that it shows twice: the `first` or the `second`.
    Both are errors of the row unless they are declared. NULL stays NULL. Infinity and what lies outside the years
    1 to 9999 are errors of the row.

    Source: IANA time zone database, as the server that maps has it.
    """

    word: Literal["in_zone"] = "in_zone"
    shorthand: ClassVar[str | None] = "zone"
    takes: ClassVar[tuple[str, ...]] = ("timestamp",)
    may_reject: ClassVar[bool] = True
    cost: ClassVar[Cost] = "heavy"
    examples: ClassVar[tuple[str, ...]] = (
        "{in_zone: Europe/London}",
        "{in_zone: {zone: America/New_York, gap: forward, overlap: second}}",
    )
    zone: str = Field(description="Time zone of the IANA database", examples=["Europe/London", "America/New_York"])
    gap: Gap = Field("reject", description="A time that the zone's clock skips in spring", examples=["forward"])
    overlap: Overlap = Field("reject", description="A time that it shows twice in autumn", examples=["first"])

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        check_zone(self.zone)
        return PgType("timestamptz", given.precision)

    def sql(self, value: Composable, given: PgType) -> Composable:
        return instant_of(value, self.zone, self.gap, self.overlap)


class LocalTime(Transform):
    """What the clock of a named zone shows at an instant, as a time stamp without zone: `{local_time: Europe/London}`.

    NULL stays NULL. Infinity and what lies outside the years 1 to 9999 are errors of the row. The way back is not
    always clear: in autumn two instants show the same time.

    Source: IANA time zone database, as the server that maps has it.
    """

    word: Literal["local_time"] = "local_time"
    shorthand: ClassVar[str | None] = "zone"
    takes: ClassVar[tuple[str, ...]] = ("timestamptz",)
    may_reject: ClassVar[bool] = True
    examples: ClassVar[tuple[str, ...]] = ("{local_time: Europe/London}",)
    zone: str = Field(description="Time zone of the IANA database", examples=["Europe/London", "UTC"])

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        check_zone(self.zone)
        return PgType("timestamp", given.precision)

    def sql(self, value: Composable, given: PgType) -> Composable:
        return wall_of(value, self.zone)


Unit = Literal["day", "hour", "minute", "second", "millisecond"]
DIGITS_LEFT = {"day": 0, "hour": 0, "minute": 0, "second": 0, "millisecond": 3}  # of a second's fraction


class TruncateTo(Transform):
    """The beginning of the day, hour, minute, second or millisecond of a time stamp: `{truncate_to: second}`.

    Days and hours of an instant begin elsewhere at other moments, so a timestamptz needs a `zone` for them; a day
    begins at the first moment that the zone's clock shows its date. NULL stays NULL. Infinity and what lies outside the
    years 1 to 9999 are errors of the row.
    """

    word: Literal["truncate_to"] = "truncate_to"
    shorthand: ClassVar[str | None] = "unit"
    takes: ClassVar[tuple[str, ...]] = ("timestamp", "timestamptz")
    may_reject: ClassVar[bool] = True
    examples: ClassVar[tuple[str, ...]] = ("{truncate_to: second}", "{truncate_to: {unit: day, zone: Europe/London}}")
    unit: Unit = Field(description="What is kept", examples=["second", "day"])
    zone: str | None = Field(None, description="Whose days and hours, for a timestamptz", examples=["Europe/London"])

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        wants_zone = given.family == "timestamptz" and self.unit in ("day", "hour")
        if wants_zone != (self.zone is not None):
            raise NotApplicable(
                f"`truncate_to: {self.unit}` of a {given} needs `zone`: days and hours begin elsewhere at other moments"
                if wants_zone
                else f"`truncate_to: {self.unit}` of a {given} does not depend on a zone; drop `zone`"
            )
        if self.zone is not None:
            check_zone(self.zone)
        digits = DIGITS_LEFT[self.unit]
        return PgType(given.name, digits if given.precision is None else min(digits, given.precision))

    def sql(self, value: Composable, given: PgType) -> Composable:
        if given.family == "timestamp":
            known = template("{v} >= '0001-01-01 00:00:00' and {v} < '10000-01-01 00:00:00'", v=value)
            return template("case when {k} then date_trunc({u}, {v}) end", k=known, u=lit(self.unit), v=value)
        if self.unit == "day":
            midnight = template("date_trunc('day', {wall})", wall=wall_of(value, self.zone or ""))
            began = instant_of(sql.SQL("midnight"), self.zone or "", "forward", "first")
            return template("(select {b} from (select {m} as midnight offset 0) as y)", b=began, m=midnight)
        return template(
            "case when {known} then date_trunc({u}, {v}, {z}) end",
            known=in_years(value), u=lit(self.unit), v=value, z=lit(self.zone or "UTC"),
        )  # fmt: skip


EpochUnit = Literal["seconds", "milliseconds", "microseconds"]
PER_SECOND = {"seconds": 1, "milliseconds": 1_000, "microseconds": 1_000_000}
DECIMALS = {"seconds": 6, "milliseconds": 3, "microseconds": 0}  # that a microsecond has in the unit


class FromEpoch(Transform):
    """Seconds, milliseconds or microseconds since 1970-01-01 UTC to the instant: `{from_epoch: milliseconds}`.

    NULL stays NULL. NaN, infinity, what is finer than a microsecond, and what lies outside the years 1 to 9999 are
    errors of the row. Leap seconds are not counted, as in POSIX.

    Source: POSIX.1, Seconds Since the Epoch.
    """

    word: Literal["from_epoch"] = "from_epoch"
    shorthand: ClassVar[str | None] = "unit"
    takes: ClassVar[tuple[str, ...]] = ("number",)
    may_reject: ClassVar[bool] = True
    cost: ClassVar[Cost] = "heavy"
    examples: ClassVar[tuple[str, ...]] = ("{from_epoch: seconds}", "{from_epoch: milliseconds}")
    unit: EpochUnit = Field(description="What is counted", examples=["seconds", "milliseconds"])

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        whole = given.name != "numeric" or given.scale == 0
        return PgType("timestamptz", {1: 0, 1_000: 3}.get(PER_SECOND[self.unit]) if whole else None)

    def sql(self, value: Composable, given: PgType) -> Composable:
        per, micros = PER_SECOND[self.unit], 1_000_000 // PER_SECOND[self.unit]
        low, high = FIRST_SECOND * per, (LAST_SECOND + 1) * per
        number = template("({v})::numeric", v=value)
        exact = template("trunc({n}, {d}) = {n}", n=number, d=lit(DECIMALS[self.unit]))
        # In floating point whole seconds and what is left are exact, their sum would not be.
        return template(
            "case when {n} >= {low} and {n} < {high} then case when {exact} then"
            " to_timestamp((div({n}, {per}))::double precision)"
            " + mod({n}, {per})::double precision * {unit} end end",
            n=number, low=lit(low), high=lit(high), exact=exact, per=lit(per),
            unit=sql.SQL("{}::interval").format(sql.Literal(f"{micros} microseconds")),
        )  # fmt: skip


class ToEpoch(Transform):
    """Seconds, milliseconds or microseconds since 1970-01-01 UTC, with the decimals that the instant has.

    `{to_epoch: milliseconds}` gives numeric(18,3); where a whole number is wanted, `truncate_to: millisecond` before it
    and `cast: bigint` behind it. NULL stays NULL. Infinity and what lies outside the years 1 to 9999 are errors of the
    row.

    Source: POSIX.1, Seconds Since the Epoch.
    """

    word: Literal["to_epoch"] = "to_epoch"
    shorthand: ClassVar[str | None] = "unit"
    takes: ClassVar[tuple[str, ...]] = ("timestamptz",)
    may_reject: ClassVar[bool] = True
    examples: ClassVar[tuple[str, ...]] = ("{to_epoch: seconds}", "{to_epoch: milliseconds}")
    unit: EpochUnit = Field(description="What is counted", examples=["seconds", "milliseconds"])

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        return PgType("numeric", 18, DECIMALS[self.unit])

    def sql(self, value: Composable, given: PgType) -> Composable:
        return template(
            "case when {in_} then extract(epoch from {v}) * {per} end",
            in_=in_years(value), v=value, per=lit(PER_SECOND[self.unit]),
        )  # fmt: skip


class FormatTimestamp(Transform):
    """A time stamp as ISO 8601 text: `2026-01-31T09:30:00Z`, `2026-06-30T10:30:00.123+01:00`.

    A timestamptz needs the `zone` whose clock the text shows: UTC ends in Z, every other zone in its offset. A
    timestamp without zone has none. NULL stays NULL. More digits of a second than `digits`, infinity, what lies outside
    the years 1 to 9999, and an offset that has seconds (before about 1930) are errors of the row.

    Source: ISO 8601-1, RFC 3339.
    """

    word: Literal["format_timestamp"] = "format_timestamp"
    takes: ClassVar[tuple[str, ...]] = ("timestamp", "timestamptz")
    may_reject: ClassVar[bool] = True
    cost: ClassVar[Cost] = "heavy"
    examples: ClassVar[tuple[str, ...]] = (
        "{format_timestamp: {zone: UTC}}",
        "{format_timestamp: {zone: Europe/London, digits: 3}}",
        "format_timestamp",
    )
    zone: str | None = Field(
        None, description="Whose clock the text shows, for a timestamptz", examples=["UTC", "Europe/London"]
    )
    digits: Literal[0, 3, 6] = Field(0, description="Digits of a second's fraction", examples=[3])
    separator: Literal["T", " "] = Field("T", description="What stands between date and time", examples=["T"])

    def gives(self, given: PgType) -> PgType:
        self.require(given)
        if (given.family == "timestamptz") != (self.zone is not None):
            raise NotApplicable(
                f"`format_timestamp` of a {given} needs `zone`"
                if self.zone is None
                else f"`format_timestamp` of a {given} takes no `zone`: it has none"
            )
        suffix = 0
        if self.zone is not None:
            check_zone(self.zone)
            suffix = len("Z" if self.zone == "UTC" else "+01:00")
        return PgType("varchar", length=len("2026-01-31T09:30:00") + (self.digits and self.digits + 1) + suffix)

    def sql(self, value: Composable, given: PgType) -> Composable:
        if self.zone is None:
            known = template("{v} >= '0001-01-01 00:00:00' and {v} < '10000-01-01 00:00:00'", v=value)
            return template("case when {k} and {e} then {t} end", k=known, e=self._exact(value), t=self._said(value))
        if self.zone == "UTC":
            said = self._said(sql.SQL("wall"))
            return template(
                "(select case when {e} then {t} || 'Z' end from (select {wall} as wall offset 0) as x)",
                e=self._exact(sql.SQL("wall")), t=said, wall=wall_of(value, "UTC"),
            )  # fmt: skip
        return template(
            "(select case when {exact} and away % 60 = 0 then {said} || case when away < 0 then '-' else '+' end"
            " || to_char(make_interval(secs => abs(away)), 'HH24:MI') end from (select wall,"
            " extract(epoch from wall - {v} at time zone 'UTC')::integer as away"
            " from (select {wall} as wall offset 0) as x offset 0) as y)",
            exact=self._exact(sql.SQL("wall")), said=self._said(sql.SQL("wall")),
            v=value, wall=wall_of(value, self.zone),
        )  # fmt: skip

    def _exact(self, wall: Composable) -> Composable:
        """Whether the time has no more digits than are written."""
        if self.digits == 6:
            return sql.SQL("true")
        unit = {0: "second", 3: "milliseconds"}[self.digits]
        return template("date_trunc({u}, {w}) = {w}", u=lit(unit), w=wall)

    def _said(self, wall: Composable) -> Composable:
        fraction = {0: "", 3: ".MS", 6: ".US"}[self.digits]
        return template("to_char({w}, {f})", w=wall, f=lit(f'YYYY-MM-DD"{self.separator}"HH24:MI:SS{fraction}'))
