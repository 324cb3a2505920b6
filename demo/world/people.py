"""Pools of names, towns and companies, by locale, from Faker.

Faker takes 20 to 60 microseconds a call; half a million calls would be the whole time of the demo. So it is
asked for a few thousand names once, and the rows combine them: 300 given and 400 family names are 120,000
people.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import TypeVar

from faker import Faker

T = TypeVar("T")

GIVEN_DRAWS, FAMILY_DRAWS, OTHER_DRAWS = 800, 1_200, 150
_PROVIDERS = [f"faker.providers.{name}" for name in ("person", "company", "address", "job")]


@dataclass(frozen=True)
class Pool:
    """Names of one locale, in its own script; the `_ascii` ones stand in addresses of e-mail."""

    given: tuple[str, ...]
    given_ascii: tuple[str, ...]
    family: tuple[str, ...]
    family_ascii: tuple[str, ...]
    cities: tuple[str, ...]
    companies: tuple[str, ...]


@lru_cache(maxsize=64)
def pool(seed: int, locale: str) -> Pool:
    faker = Faker(locale, providers=_PROVIDERS)
    faker.seed_instance(f"{seed}/{locale}")
    _put_in_order(faker)
    given = _distinct(faker.first_name() for _ in range(GIVEN_DRAWS))
    family = _distinct(faker.last_name() for _ in range(FAMILY_DRAWS))
    return Pool(
        given=given,
        given_ascii=tuple(map(_ascii, given)),
        family=family,
        family_ascii=tuple(map(_ascii, family)),
        cities=_distinct(faker.city() for _ in range(OTHER_DRAWS)),
        companies=_distinct(faker.company() for _ in range(OTHER_DRAWS)),
    )


@lru_cache(maxsize=8)
def job_titles(seed: int) -> tuple[str, ...]:
    faker = Faker("en_GB", providers=_PROVIDERS)
    faker.seed_instance(f"{seed}/jobs")
    return _distinct(faker.job() for _ in range(OTHER_DRAWS))


def pick(rng: Random, options: tuple[T, ...]) -> T:
    """`rng.choice` at a third of its cost, which half a million calls notice."""
    return options[int(rng.random() * len(options))]


def _put_in_order(faker: Faker) -> None:
    """Faker's it_IT keeps its towns in the order of a set, another one in every process."""
    for provider in faker.get_providers():
        if isinstance(towns := getattr(provider, "cities", None), list):
            provider.cities = sorted(towns)


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))  # in order; a set would shuffle them from process to process


def _ascii(name: str) -> str:
    """A local part for e-mail; scripts that have no ASCII form become a plain word."""
    decomposed = unicodedata.normalize("NFKD", name.replace("ł", "l").replace("Ł", "L"))
    letters = (letter for letter in decomposed.lower() if letter.isascii() and letter.isalpha())
    return "".join(letters) or "person"
