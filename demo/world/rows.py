"""The rows of the hub, as text ready for COPY; pure: a plan in, rows out.

Each table is a generator, so a million rows need no more memory than one. A tenant's rows come from a
stream of chance of its own (`Plan.random`), so that one tenant's rows do not depend on how many rows
another one has.

Values are text because PostgreSQL reads them better than Python writes them: `infinity` or `0044-03-15 BC`
are dates there and cannot be built here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from random import Random

import pycountry

from demo.world import iban
from demo.world.dirt import Planted, Planter, Value
from demo.world.people import Pool, job_titles, pick, pool
from demo.world.plan import PRESENT_DAY, UNITED_KINGDOM, Country, Plan, Tenant, has_uk_payroll

Row = list[Value]

# The hub was itself migrated once: a tenth of its rows share one `updated_at`, so that one is no order.
MIGRATED_AT = "2024-11-02 03:00:00+00"
MIGRATED_RATIO = 0.10
DELETED_RATIO = 0.005
HISTORY_DAYS = 730  # updates are spread over the last two years
BORROWED_NAME_RATIO = 0.18  # of GB workers: people whose names come from another Latin-script country
NO_TAX_CODE_RATIO = 0.015  # starters without a P45
LATIN_LOCALES = ("pl_PL", "fr_FR", "es_ES", "pt_PT", "de_DE", "it_IT", "cs_CZ", "sv_SE", "ro_RO", "en_IE")

_CALENDAR_FROM = date(1950, 1, 1)
_DAYS = tuple(
    (_CALENDAR_FROM + timedelta(days=i)).isoformat()
    for i in range((PRESENT_DAY - _CALENDAR_FROM).days + 4_000)  # contracts may end after the present day
)
_TODAY = (PRESENT_DAY - _CALENDAR_FROM).days

COLUMNS: dict[str, tuple[str, ...]] = {
    "country": ("country_code", "alpha3", "numeric_code", "name", "updated_at"),
    "currency": ("currency_code", "numeric_code", "name", "minor_units", "updated_at"),
    "organisation": (
        "tenant_id", "organisation_id", "legal_name", "registration_no", "country_code", "city",
        "updated_at", "is_deleted",
    ),
    "client": (
        "tenant_id", "client_id", "organisation_id", "status_code", "currency_code", "payment_terms",
        "credit_limit", "billing_email", "onboarded_on", "account_manager", "updated_at", "is_deleted",
    ),
    "worker": (
        "tenant_id", "worker_id", "given_name", "family_name", "birth_date", "email", "country_code", "city",
        "job_title", "iban", "hired_on", "status_code", "annual_salary", "salary_currency", "tax_code",
        "updated_at", "is_deleted",
    ),
    "contract": (
        "tenant_id", "contract_id", "worker_id", "contract_type", "starts_on", "ends_on", "weekly_hours",
        "rate_amount", "rate_currency", "signed_at", "status_code", "updated_at", "is_deleted",
    ),
    "contract_event": (
        "tenant_id", "event_id", "contract_id", "kind", "occurred_at", "updated_at", "is_deleted",
    ),
}  # fmt: skip

# ISO 4217 digits after the point where they are not 2; pycountry does not carry them.
_MINOR_UNITS: dict[str, int | None] = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI"), 0),
    **dict.fromkeys(("VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
    **dict.fromkeys(("XAG", "XAU", "XBA", "XBB", "XBC", "XBD", "XDR", "XPD", "XPT", "XSU"), None),
    **dict.fromkeys(("XTS", "XUA", "XXX"), None),
}


def country_rows() -> Iterator[Row]:
    for country in sorted(pycountry.countries, key=lambda country: country.alpha_2):
        yield [country.alpha_2, country.alpha_3, country.numeric, country.name, MIGRATED_AT]


def currency_rows() -> Iterator[Row]:
    for currency in sorted(pycountry.currencies, key=lambda currency: currency.alpha_3):
        digits = _MINOR_UNITS.get(currency.alpha_3, 2)
        yield [currency.alpha_3, currency.numeric, currency.name, digits, MIGRATED_AT]


def organisation_rows(plan: Plan, planted: list[Planted]) -> Iterator[Row]:
    """One to three legal entities for each client; o1 is the one that is invoiced."""
    planter = Planter("organisation", COLUMNS["organisation"])
    for tenant in plan.tenants:
        rng = plan.random("organisation", tenant.tenant_id)
        for number in range(1, 2 + int(rng.random() * rng.random() * 3)):
            country = _entity_country(rng, tenant, number)
            names = pool(plan.seed, country.locale)
            row: Row = [
                tenant.tenant_id, f"o{number}", pick(rng, names.companies),
                f"{country.code}{rng.randrange(10**8):08d}", country.code, pick(rng, names.cities),
                _updated_at(rng), False,
            ]  # fmt: skip
            planter.maybe_spoil(rng, row)
            yield row
    planted += planter.planted


def client_rows(plan: Plan, planted: list[Planted]) -> Iterator[Row]:
    planter = Planter("client", COLUMNS["client"])
    managers = pool(plan.seed, "en_GB")
    for tenant in plan.tenants:
        rng = plan.random("client", tenant.tenant_id)
        row: Row = [
            tenant.tenant_id, f"c{tenant.tenant_id[1:]}", "o1",
            rng.choices(("A", "S", "C"), (92, 5, 3))[0], pick(rng, tenant.worker_countries).currency,
            rng.choices(("N15", "N30", "N60", "EOM"), (1, 6, 2, 1))[0],
            _money(rng, 200_000, digits=6) if rng.random() < 0.9 else None,
            f"accounts@{tenant.tenant_id}.example.com", _DAYS[_TODAY - rng.randrange(1, 4_000)],
            f"{pick(rng, managers.given)} {pick(rng, managers.family)}" if rng.random() < 0.95 else None,
            _updated_at(rng), rng.random() < DELETED_RATIO,
        ]  # fmt: skip
        planter.maybe_spoil(rng, row)
        yield row
    planted += planter.planted


def worker_rows(plan: Plan, planted: list[Planted]) -> Iterator[Row]:
    planter = Planter("worker", COLUMNS["worker"])
    for tenant in plan.tenants:
        rng = plan.random("worker", tenant.tenant_id)
        for number, country in enumerate(tenant.worker_countries, start=1):
            row = worker_row(plan, rng, tenant.tenant_id, number, country)
            planter.maybe_spoil(rng, row, is_gb=country is UNITED_KINGDOM)
            yield row
    planted += planter.planted


def worker_row(plan: Plan, rng: Random, tenant_id: str, number: int, country: Country) -> Row:
    """A clean worker. Numbers start again in every tenant, so a key without its tenant meets strangers."""
    is_gb = country is UNITED_KINGDOM
    names = _names_of(plan, rng, country)
    given_at, family_at = int(rng.random() * len(names.given)), int(rng.random() * len(names.family))
    birth_day = _TODAY - 20 * 365 - int(rng.random() * 16_000)
    adult_days = _TODAY - birth_day - 18 * 365
    hired_day = _TODAY - int(rng.random() * min(adult_days, 7_300))
    status = rng.random()
    return [
        tenant_id,
        f"w{number:05d}",
        names.given[given_at],
        names.family[family_at],
        _DAYS[birth_day],
        f"{names.given_ascii[given_at]}.{names.family_ascii[family_at]}{number}@{tenant_id}.example.com",
        country.code,
        pick(rng, pool(plan.seed, country.locale).cities),
        pick(rng, job_titles(plan.seed)),
        _iban_of(rng, country),
        _DAYS[hired_day],
        "ACT" if status < 0.90 else "LOA" if status < 0.94 else "TRM",
        _money(rng, country.salary_median, digits=4),
        country.currency,
        _tax_code(rng) if is_gb else None,
        _updated_at(rng),
        rng.random() < DELETED_RATIO,
    ]


def contract_rows(plan: Plan, planted: list[Planted]) -> Iterator[Row]:
    planter = Planter("contract", COLUMNS["contract"])
    for tenant in plan.tenants:
        rng = plan.random("contract", tenant.tenant_id)
        workers = len(tenant.worker_countries)
        for number in range(1, tenant.contracts + 1):
            worker = number if number <= workers else 1 + int(rng.random() * workers)  # a first one for each
            row = contract_row(rng, tenant.tenant_id, number, worker, tenant.worker_countries[worker - 1])
            planter.maybe_spoil(rng, row)
            yield row
    planted += planter.planted


def contract_row(rng: Random, tenant_id: str, number: int, worker: int, country: Country) -> Row:
    """A clean contract of one worker."""
    starts = _TODAY - int(rng.random() * 3_650)
    kind_draw = rng.random()
    kind = "PERM" if kind_draw < 0.7 else "FIX" if kind_draw < 0.88 else "HRLY"
    ends = starts + 180 + int(rng.random() * 720) if kind == "FIX" else None
    hours = 8_000 + int(rng.random() * 32_001) if kind == "HRLY" or rng.random() < 0.2 else 37_500
    is_over = ends is not None and ends < _TODAY
    is_draft = not is_over and rng.random() < 0.02
    return [
        tenant_id,
        f"k{number:05d}",
        f"w{worker:05d}",
        kind,
        _DAYS[starts],
        None if ends is None else _DAYS[ends],
        f"{hours // 1000}.{hours % 1000:03d}",
        _money(rng, country.salary_median // (1_800 if kind == "HRLY" else 1), digits=4),
        country.currency,
        None if is_draft else _moment(rng, starts - int(rng.random() * 60)),
        "DRAFT" if is_draft else "ENDED" if is_over else "LIVE",
        _updated_at(rng),
        rng.random() < DELETED_RATIO,
    ]


def event_rows(plan: Plan, planted: list[Planted]) -> Iterator[Row]:
    planter = Planter("contract_event", COLUMNS["contract_event"])
    for tenant in plan.tenants:
        rng = plan.random("contract_event", tenant.tenant_id)
        for number in range(1, tenant.events + 1):
            occurred_at = _updated_at(rng)
            contract = 1 + int(rng.random() * tenant.contracts)
            draw = rng.random()
            kind = "SIGNED" if draw < 0.7 else "AMENDED" if draw < 0.9 else "ENDED"
            row = event_row(tenant.tenant_id, number, f"k{contract:05d}", kind, occurred_at)
            planter.maybe_spoil(rng, row)
            yield row
    planted += planter.planted


def event_row(tenant_id: str, number: int, contract_id: str, kind: str, occurred_at: str) -> Row:
    """An event is written when it happens: its `updated_at` is its moment, and never moves."""
    return [tenant_id, number, contract_id, kind, occurred_at, occurred_at, False]


# Smallest first: what is seen first is finished first.
TABLES: dict[str, Callable[[Plan, list[Planted]], Iterator[Row]]] = {
    "country": lambda _plan, _planted: country_rows(),
    "currency": lambda _plan, _planted: currency_rows(),
    "organisation": organisation_rows,
    "client": client_rows,
    "worker": worker_rows,
    "contract": contract_rows,
    "contract_event": event_rows,
}


def new_iban(rng: Random, country_code: str) -> str:
    return iban.as_people_type_it(rng, iban.make(rng, country_code))


def _iban_of(rng: Random, country: Country) -> str | None:
    if not country.has_iban:
        return None
    is_paid_abroad = country is UNITED_KINGDOM and rng.random() < 0.05
    return new_iban(rng, pick(rng, ("IE", "DE", "FR", "PL", "ES")) if is_paid_abroad else country.code)


def _names_of(plan: Plan, rng: Random, country: Country) -> Pool:
    """British names are many kinds of Latin-script names: the bank's character set has work to do."""
    if country is UNITED_KINGDOM and rng.random() < BORROWED_NAME_RATIO:
        return pool(plan.seed, pick(rng, LATIN_LOCALES))
    return pool(plan.seed, country.locale)


def _entity_country(rng: Random, tenant: Tenant, number: int) -> Country:
    if number == 1 and has_uk_payroll(tenant.tenant_id) and rng.random() < 0.6:
        return UNITED_KINGDOM
    return pick(rng, tenant.worker_countries)


def _tax_code(rng: Random) -> str | None:
    draw = rng.random()
    if draw < NO_TAX_CODE_RATIO:
        return None
    return "1257L" if draw < 0.85 else "BR" if draw < 0.9 else f"{900 + int(rng.random() * 400)}L"


def _money(rng: Random, median: int, *, digits: int) -> str:
    """An amount between half and five times the median, most of them low; a third ends in a tie to round."""
    draw = rng.random()
    cents = int(median * 50 * (1 + 9 * draw * draw * draw))
    tail = 5 * 10 ** (digits - 3) if rng.random() < 0.33 else int(rng.random() * 10 ** (digits - 2))
    return f"{cents // 100}.{cents % 100:02d}{tail:0{digits - 2}d}"


def _updated_at(rng: Random) -> str:
    if rng.random() < MIGRATED_RATIO:
        return MIGRATED_AT
    return _moment(rng, _TODAY - 1 - int(rng.random() * HISTORY_DAYS))


def _moment(rng: Random, day: int) -> str:
    """Some microsecond of that day, UTC."""
    second, micros = int(rng.random() * 86_400), int(rng.random() * 1_000_000)
    return f"{_DAYS[day]} {second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}.{micros:06d}+00"
