"""The dirt of real life, planted on purpose and written down.

About one row in a hundred of each table carries one mistake. `mdm.world_dirt` remembers where and what
would have been right, so that a test can count by hand what a job must reject, and a later day can repair
some of it.

A mistake spoils one column of one row. Which job refuses it depends on the job: payroll minds a wrong IBAN,
the warehouse never reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from demo.world import iban
from demo.world.people import pick, pool

Value = str | int | bool | None
Spoil = Callable[[Random, Value], Value]


class Planted(NamedTuple):
    """One mistake that was made; a row of mdm.world_dirt."""

    table_name: str
    tenant_id: str
    entity_id: str
    kind: str
    column_name: str
    clean_value: str | None


@dataclass(frozen=True)
class Mistake:
    """One way in which a column goes wrong, and in how many of 10,000 rows."""

    kind: str
    column: str
    per_10_000: int
    spoil: Spoil
    only_gb: bool = False
    needs_value: bool = False  # nothing to spoil where the clean row has no value


def _one_of(*values: Value) -> Spoil:
    return lambda rng, _clean: pick(rng, values)


def _missing(_rng: Random, _clean: Value) -> Value:
    return None


def _wrong_check_digits(rng: Random, clean: Value) -> Value:
    return iban.with_wrong_check_digits(rng, str(clean))


def _very_long(_rng: Random, clean: Value) -> Value:
    """Somebody pasted the same name many times; longer than 70 (the bank) and than 120 (billing)."""
    return " ".join([str(clean)] * (140 // (len(str(clean)) + 1) + 1))


def _other_script(rng: Random, _clean: Value) -> Value:
    return pick(rng, pool(0, "ja_JP").family)  # no way to write it in a bank's character set


BAD_DATES = ("31/12/2024", "2026-02-30", "", "2023-13-01", "03/04/2021", "yesterday", "20240115T", "n/a")
BAD_BIRTH_DATES = ("1873-05-01", "2091-01-31", "infinity", "0044-03-15 BC")

WORKER = (
    Mistake("iban_check_digits", "iban", 20, _wrong_check_digits, needs_value=True),
    Mistake("iban_missing", "iban", 5, _missing, only_gb=True),
    Mistake("birth_date_range", "birth_date", 8, _one_of(*BAD_BIRTH_DATES)),
    Mistake("birth_date_missing", "birth_date", 8, _missing),
    Mistake("hired_on_format", "hired_on", 20, _one_of(*BAD_DATES)),
    Mistake("status_unknown", "status_code", 15, _one_of("ACTV", "X", "?", "act", "")),
    Mistake("name_too_long", "family_name", 6, _very_long),
    Mistake("name_script", "family_name", 3, _other_script, only_gb=True),
    Mistake("salary_missing", "annual_salary", 5, _missing),
    Mistake("salary_range", "annual_salary", 6, _one_of("-1.0000", "-38500.0000", "NaN")),
    Mistake("currency_unknown", "salary_currency", 6, _one_of("GBR", "EURO", "", None)),
    Mistake("country_unknown", "country_code", 8, _one_of("UK", "XX", "", None)),
)
CONTRACT = (
    Mistake("type_unknown", "contract_type", 20, _one_of("PERMANENT", "TEMP", "?", "")),
    Mistake("currency_unknown", "rate_currency", 15, _one_of("GBR", "EURO", "", None)),
    Mistake("hours_range", "weekly_hours", 12, _one_of("375.000", "-8.000", "168.500", "NaN")),
    Mistake("starts_on_range", "starts_on", 10, _one_of("1024-03-01", "9999-12-31", "infinity")),
    Mistake("rate_missing", "rate_amount", 8, _missing),
    Mistake("worker_missing", "worker_id", 5, _missing),
)
EVENT = (
    Mistake("kind_unknown", "kind", 30, _one_of("SIGND", "AMEND", "")),
    Mistake("contract_missing", "contract_id", 20, _missing),
    Mistake("occurred_at_range", "occurred_at", 10, _one_of("infinity", "1024-03-01 09:00:00+00")),
)
CLIENT = (
    Mistake("status_unknown", "status_code", 25, _one_of("ACTIVE", "X", "")),
    Mistake("terms_unknown", "payment_terms", 30, _one_of("N45", "30 days", "")),
    Mistake("onboarded_on_format", "onboarded_on", 25, _one_of(*BAD_DATES)),
    Mistake("organisation_unknown", "organisation_id", 15, _one_of("o99", "O1", None)),
    Mistake("currency_unknown", "currency_code", 15, _one_of("GBR", "EURO", "", None)),
)
ORGANISATION = (Mistake("name_too_long", "legal_name", 15, _very_long),)

BY_TABLE = {
    "worker": WORKER,
    "contract": CONTRACT,
    "contract_event": EVENT,
    "client": CLIENT,
    "organisation": ORGANISATION,
}


class Planter:
    """Spoils some rows of one table on their way, and remembers which.

    One draw decides per row, so that clean rows, which are 99 of 100, cost next to nothing.
    """

    def __init__(self, table_name: str, columns: tuple[str, ...], *, without: Collection[str] = ()) -> None:
        self.planted: list[Planted] = []
        self._table_name = table_name
        self._mistakes = [mistake for mistake in BY_TABLE[table_name] if mistake.kind not in without]
        self._at = {column: i for i, column in enumerate(columns)}
        self.ratio = sum(mistake.per_10_000 for mistake in self._mistakes) / 10_000

    def maybe_spoil(self, rng: Random, row: list[Value], *, is_gb: bool = False) -> None:
        if rng.random() < self.ratio:
            self.spoil(rng, row, is_gb=is_gb)

    def spoil(self, rng: Random, row: list[Value], *, is_gb: bool = False) -> Planted:
        """Make one mistake that is possible in this row, in place."""
        possible = [
            mistake
            for mistake in self._mistakes
            if (is_gb or not mistake.only_gb) and not (mistake.needs_value and row[self._at[mistake.column]] is None)
        ]
        (mistake,) = rng.choices(possible, weights=[mistake.per_10_000 for mistake in possible])
        at = self._at[mistake.column]
        clean = row[at]
        row[at] = mistake.spoil(rng, clean)
        text = None if clean is None else str(clean)
        planted = Planted(self._table_name, str(row[0]), str(row[1]), mistake.kind, mistake.column, text)
        self.planted.append(planted)
        return planted
