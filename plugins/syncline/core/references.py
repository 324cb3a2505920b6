"""Code lists and business calendars: data that words of a mapping name, kept in files of their own.

They change when an authority or a works council says so, not when a mapping does; so each has a version, a source and
dates of validity. What a word does with them is the word's matter, how the files are read reference_files.py's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from syncline.core.models import Frozen, Sentence, Version

DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")  # the other spellings of ISO 8601 are for machines
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


def _day(value: Any) -> Any:
    try:
        return date.fromisoformat(value) if isinstance(value, str) and DAY.fullmatch(value) else _no_day(value)
    except ValueError:
        return _no_day(value)


def _no_day(value: Any) -> Any:
    if type(value) is date:
        return value
    raise PydanticCustomError("M02", "'{value}' is not a day; write \"2026-01-31\"", {"value": str(value)[:40]})


Day = Annotated[date, BeforeValidator(_day)]


class Entry(Frozen):
    """What a code stands for, and when: from the first day to the last, both included; without them always."""

    value: str = Field(description="What the code stands for", examples=["active"])
    valid_from: Day | None = Field(None, description="First day on which it holds; without it since ever")
    valid_to: Day | None = Field(None, description="Last day on which it holds; without it for ever")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.valid_from is not None and self.valid_to is not None and self.valid_from > self.valid_to:
            raise PydanticCustomError("M02", "valid_from is after valid_to", {})
        return self

    def meets(self, other: Entry) -> bool:
        """Whether there is a day on which both hold."""
        starts = max(self.valid_from or date.min, other.valid_from or date.min)
        return starts <= min(self.valid_to or date.max, other.valid_to or date.max)


def _entries(value: Any) -> Any:
    if isinstance(value, str):
        return ({"value": value},)
    if isinstance(value, int | float):
        shown = {"value": str(value).lower()[:40], "allowed": f'a text in quotes: "{str(value).lower()[:40]}"'}
        raise PydanticCustomError("M02", "{value} is no counterpart", shown)
    return (value,) if isinstance(value, dict) else value


def _one_at_a_time(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    for n, entry in enumerate(entries):
        for other in entries[:n]:
            if entry.meets(other):
                shown = {"one": other.value[:40], "other": entry.value[:40]}
                raise PydanticCustomError("M20", "two counterparts on one day: '{one}' and '{other}'", shown)
    return entries


Entries = Annotated[tuple[Entry, ...], BeforeValidator(_entries), Field(min_length=1), AfterValidator(_one_at_a_time)]


class CodeList(Frozen):
    """One `include/code_lists/<name>.yaml`: code -> its counterpart, or several with their periods."""

    version: Version = Field(description="Version of this list; every change raises it")
    description: Sentence = Field(
        description="What the codes are, and whose", examples=["Status of a worker, as payroll calls it"]
    )
    source: str = Field("", description="Who publishes the list, and where", examples=["ISO 4217, list one"])
    entries: dict[str, Entries] = Field(
        min_length=1,
        description="Code -> its counterpart, or its counterparts with their periods",
        examples=[{"ACT": "active", "TRM": "left"}],
    )

    @property
    def is_dated(self) -> bool:
        """Whether the day decides what a code means."""
        return any(entry.valid_from or entry.valid_to for entries in self.entries.values() for entry in entries)

    @property
    def values(self) -> frozenset[str]:
        return frozenset(entry.value for entries in self.entries.values() for entry in entries)

    def periods(self) -> Iterator[tuple[str, Entry]]:
        """Code and entry, in the order of the file."""
        for code, entries in self.entries.items():
            for entry in entries:
                yield code, entry


def _within(day: date, info: ValidationInfo) -> date:
    first, last = info.data.get("first_day", day), info.data.get("last_day", day)
    if not first <= day <= last:
        raise PydanticCustomError("M02", "holiday {day} is outside first_day to last_day", {"day": str(day)})
    return day


class Calendar(Frozen):
    """One `include/calendars/<name>.yaml`: the days on which nobody works, from first_day to last_day.

    A day outside that range is unknown, never a working day.
    """

    version: Version = Field(description="Version of this calendar; every change raises it")
    description: Sentence = Field(description="Whose days these are", examples=["Bank holidays of England and Wales"])
    source: str = Field(
        "", description="Who publishes the days, and where", examples=["https://www.gov.uk/bank-holidays"]
    )
    weekend: tuple[Weekday, ...] = Field(
        ("saturday", "sunday"), description="Days of the week on which nobody works", examples=[["saturday", "sunday"]]
    )
    first_day: Day = Field(description="First day that the calendar knows")
    last_day: Day = Field(description="Last day that the calendar knows; a day outside is unknown, never a working day")
    holidays: dict[Annotated[Day, AfterValidator(_within)], str] = Field(
        default_factory=dict, description="Day -> its name", examples=[{"2026-12-25": "Christmas Day"}]
    )

    @field_validator("weekend")
    @classmethod
    def _leaves_a_day(cls, weekend: tuple[Weekday, ...]) -> tuple[Weekday, ...]:
        if len(set(weekend)) == len(WEEKDAYS):
            raise PydanticCustomError("M02", "a calendar needs a working day in the week", {})
        return weekend

    @field_validator("last_day")
    @classmethod
    def _follows(cls, day: date, info: ValidationInfo) -> date:
        if "first_day" in info.data and day <= info.data["first_day"]:
            raise PydanticCustomError("M02", "first_day is not before last_day", {})
        return day


class References(Protocol):
    """Where words find what they name. Both raise PydanticCustomError (M17) with the nearest right name."""

    def code_list(self, name: str) -> CodeList: ...

    def calendar(self, name: str) -> Calendar: ...


def references_of(info: ValidationInfo) -> References:
    """The references that a mapping is read with: words resolve their names while they are validated."""
    if info.context is None:
        raise PydanticCustomError("M17", "this word needs the project's files; the mapping was read without them", {})
    found: References = info.context
    return found
