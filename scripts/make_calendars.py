#!/usr/bin/env python3
"""Write a business calendar of include/calendars/ from the `holidays` library: a draft that a person then owns.

    python scripts/make_calendars.py england --from 2005 --to 2035 > include/calendars/england.yaml

The file is the truth, not the library: read what changed, add what a works council decided, raise its version.
The library is needed here only, so it is no dependency of Syncline: `pip install holidays`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Country:
    """Which of the library's calendars a file is made from."""

    description: str
    source: str
    code: str
    subdivision: str | None = None
    is_market: bool = False


CALENDARS = {
    "austria": Country("Public holidays in Austria", "Arbeitsruhegesetz, section 7", "AT"),
    "england": Country(
        "Bank holidays in England and Wales",
        "Banking and Financial Dealings Act 1971 and proclamations; https://www.gov.uk/bank-holidays", "GB", "ENG",
    ),
    "france": Country("Public holidays in metropolitan France", "Code du travail, article L3133-1", "FR"),
    "germany": Country(
        "Public holidays of all German states; what single states add is not in it",
        "laws of the sixteen states on Sundays and holidays", "DE",
    ),
    "ireland": Country("Public holidays in Ireland", "Organisation of Working Time Act 1997, second schedule", "IE"),
    "netherlands": Country("Public holidays in the Netherlands", "Algemene termijnenwet, article 3", "NL"),
    "scotland": Country(
        "Bank holidays in Scotland",
        "Banking and Financial Dealings Act 1971 and proclamations; https://www.gov.uk/bank-holidays", "GB", "SCT",
    ),
    "target2": Country(
        "Closing days of TARGET, the euro's settlement system", "European Central Bank, T2 calendar", "ECB",
        is_market=True,
    ),
    "united_states": Country("Federal holidays of the United States", "5 U.S.C. 6103", "US"),
}  # fmt: skip


def holidays_of(country: Country, years: Iterable[int]) -> dict[date, str]:
    """The library's holidays, in order."""
    import holidays

    if country.is_market:
        found = holidays.financial_holidays(country.code, years=list(years), language="en_US")
    else:
        found = holidays.country_holidays(country.code, subdiv=country.subdivision, years=list(years), language="en_US")
    return dict(sorted(found.items()))


def written(name: str, first: int, last: int) -> str:
    """The file's text."""
    country = CALENDARS[name]
    days = holidays_of(country, range(first, last + 1))
    lines = [
        "# yaml-language-server: $schema=../schemas/calendar.schema.json",
        "# Days that no authority has announced yet follow the rule of the years before.",
        "version: 1.0.0",
        f"description: {json.dumps(country.description)}",
        f"source: {json.dumps(country.source + _library())}",
        "weekend: [saturday, sunday]",
        f"first_day: {first}-01-01",
        f"last_day: {last}-12-31",
        "holidays:",
        *(
            f"  {day}: {json.dumps(said, ensure_ascii=False)}"
            for day, said in days.items()
            if first <= day.year <= last
        ),
    ]
    return "\n".join(lines) + "\n"


def _library() -> str:
    import holidays

    return f" (drafted with holidays {holidays.__version__})"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", choices=sorted(CALENDARS))
    parser.add_argument("--from", dest="first", type=int, default=2005)
    parser.add_argument("--to", dest="last", type=int, default=2035)
    told = parser.parse_args()
    print(written(told.name, told.first, told.last), end="")


if __name__ == "__main__":
    main()
