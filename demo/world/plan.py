"""Who exists in the demo world and how much of everything there is.

Sizes are skewed as in life: of 2,000 clients the largest employs about 5 % of all workers, half of them
fewer than twenty. All of it is integer arithmetic on the seed, so that every machine gets the same world.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cached_property
from random import Random

RECIPE = 1  # raise it when the same seed would no longer make the same rows
# Nothing in the hub is newer. A fixed day in the past, so that `updated_at` is never ahead of a clock.
PRESENT_DAY = date(2025, 6, 30)
CLIENTS_DEFAULT = 2_000
WORKERS_DEFAULT = 100_000
CONTRACTS_DEFAULT = 120_000
GB_RATIO = 0.5  # of the workers of a client with a UK entity: 40 % of all

# One client in five has no UK entity. It is not admitted to payroll, and employs nobody in the UK.
NO_UK_EVERY = 5


@dataclass(frozen=True)
class Country:
    """Where workers live: its code and weight, the locale of its names, its money, whether it has IBANs."""

    code: str
    weight: int
    locale: str
    currency: str
    salary_median: int
    has_iban: bool = True


UNITED_KINGDOM = Country("GB", 0, "en_GB", "GBP", 36_000)
ABROAD = (
    Country("DE", 18, "de_DE", "EUR", 48_000),
    Country("US", 14, "en_US", "USD", 62_000, has_iban=False),
    Country("FR", 12, "fr_FR", "EUR", 39_000),
    Country("PL", 9, "pl_PL", "PLN", 92_000),
    Country("ES", 8, "es_ES", "EUR", 29_000),
    Country("IN", 8, "hi_IN", "INR", 1_150_000, has_iban=False),
    Country("IT", 7, "it_IT", "EUR", 32_000),
    Country("NL", 6, "nl_NL", "EUR", 46_000),
    Country("IE", 5, "en_IE", "EUR", 45_000),
    Country("PT", 4, "pt_PT", "EUR", 22_000),
    Country("GR", 4, "el_GR", "EUR", 20_000),
    Country("UA", 4, "uk_UA", "UAH", 310_000),
    Country("SE", 4, "sv_SE", "SEK", 460_000),
    Country("RO", 4, "ro_RO", "RON", 88_000),
    Country("CZ", 3, "cs_CZ", "CZK", 540_000),
    Country("TR", 3, "tr_TR", "TRY", 780_000),
    Country("JP", 3, "ja_JP", "JPY", 5_200_000, has_iban=False),
    Country("BR", 3, "pt_BR", "BRL", 78_000),
    Country("KR", 2, "ko_KR", "KRW", 42_000_000, has_iban=False),
)
COUNTRIES = (UNITED_KINGDOM, *ABROAD)


def tenant_id(number: int) -> str:
    return f"t{number:04d}"


def tenant_ids(clients: int) -> tuple[str, ...]:
    return tuple(tenant_id(number) for number in range(1, clients + 1))


def has_uk_payroll(tenant: str) -> bool:
    """Whether a tenant has a UK entity, and with it UK workers and a place in payroll."""
    return int(tenant[1:]) % NO_UK_EVERY != 0


@dataclass(frozen=True)
class Tenant:
    """One client company: how many workers, contracts and events it has, and where its people live."""

    tenant_id: str
    worker_countries: tuple[Country, ...]  # of worker 1, 2, ...
    contracts: int
    events: int


@dataclass(frozen=True)
class Plan:
    """The world that belongs to a seed and three sizes."""

    seed: int
    workers: int = WORKERS_DEFAULT
    clients: int = CLIENTS_DEFAULT
    contracts: int = CONTRACTS_DEFAULT

    def __post_init__(self) -> None:
        if not 1 <= self.clients <= 9_999 or self.workers < self.clients or self.contracts < self.clients:
            raise ValueError(
                "a world needs 1 to 9,999 clients, and at least one worker and one contract for each; "
                f"asked for {self.clients} clients, {self.workers} workers, {self.contracts} contracts"
            )

    def random(self, *purpose: object) -> Random:
        """A stream of chance of its own for each purpose: one table's rows do not depend on another's."""
        return Random("/".join(map(str, (self.seed, *purpose))))  # str seeds hash the same in every process

    @cached_property
    def tenants(self) -> tuple[Tenant, ...]:
        weights = _skewed_weights(self.clients, self.random("sizes"))
        workers = shares(self.workers, weights)
        contracts = shares(self.contracts, weights)
        events = shares(self.contracts // 2, weights)
        return tuple(
            Tenant(
                tenant_id=name,
                worker_countries=_countries_of(name, workers[i], self.random("countries", name)),
                contracts=contracts[i],
                events=events[i],
            )
            for i, name in enumerate(tenant_ids(self.clients))
        )


def shares(total: int, weights: list[int]) -> list[int]:
    """Split `total` by weight in whole numbers that add up exactly; nobody gets 0 if there is 1 for each."""
    floor = 1 if total >= len(weights) else 0
    rest, weight_sum = total - floor * len(weights), sum(weights)
    exact = [divmod(rest * weight, weight_sum) for weight in weights]
    result = [floor + whole for whole, _ in exact]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-exact[i][1], i))
    for i in by_remainder[: total - sum(result)]:
        result[i] += 1
    return result


def _skewed_weights(count: int, rng: Random) -> list[int]:
    """Zipf's law with its head rounded off: rank + 2 gives the largest of 2,000 about 5 % of everything."""
    weights = [10**12 // (rank + 2) for rank in range(1, count + 1)]
    rng.shuffle(weights)
    return weights


def _countries_of(tenant: str, workers: int, rng: Random) -> tuple[Country, ...]:
    """A client works in a few countries, not in all."""
    abroad = rng.choices(ABROAD, weights=[country.weight for country in ABROAD], k=rng.randint(2, 5))
    gb_ratio = GB_RATIO if has_uk_payroll(tenant) else 0.0
    return tuple(
        UNITED_KINGDOM if rng.random() < gb_ratio else abroad[int(rng.random() * len(abroad))] for _ in range(workers)
    )
