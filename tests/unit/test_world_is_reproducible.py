"""The demo world follows from its seed alone: a number seen once in a balance sheet can be asked about again.

No database: the rows are made by pure generators. What PostgreSQL then does with them is tested elsewhere.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from demo.world import iban
from demo.world.dirt import BY_TABLE, Planted
from demo.world.plan import PRESENT_DAY, Plan, has_uk_payroll, shares
from demo.world.rows import COLUMNS, TABLES, Row

ROOT = Path(__file__).resolve().parents[2]
SMALL = Plan(seed=7, workers=6_000, clients=120, contracts=7_200)
IBAN_LENGTHS = {
    "BR": 29, "CZ": 24, "DE": 22, "ES": 24, "FR": 27, "GB": 22, "GR": 27, "IE": 22,
    "IT": 27, "NL": 18, "PL": 28, "PT": 25, "RO": 24, "SE": 24, "TR": 26, "UA": 29,
}  # fmt: skip  # the ISO 13616 registry

World = dict[str, list[Row]]


def make(plan: Plan) -> tuple[World, list[Planted]]:
    planted: list[Planted] = []
    return {table: list(rows(plan, planted)) for table, rows in TABLES.items()}, planted


def digest(plan: Plan) -> str:
    """What COPY would be given, with the list of planted mistakes."""
    return hashlib.sha256(repr(make(plan)).encode()).hexdigest()


@pytest.fixture(scope="module")
def world() -> World:
    return make(SMALL)[0]


@pytest.fixture(scope="module")
def planted() -> list[Planted]:
    return make(SMALL)[1]


def column(world: World, table: str, name: str) -> list[object]:
    at = COLUMNS[table].index(name)
    return [row[at] for row in world[table]]


@pytest.mark.parametrize("hash_seed", ["1", "2"])  # sets of text are ordered by it
def test_another_process_makes_the_same_world(hash_seed: str) -> None:
    found = subprocess.run(
        [sys.executable, __file__],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == digest(SMALL)


def test_another_seed_makes_another_world() -> None:
    assert digest(Plan(seed=8, workers=300, clients=6, contracts=300)) != digest(
        Plan(seed=7, workers=300, clients=6, contracts=300)
    )


def test_a_world_has_exactly_the_rows_that_were_asked_for(world: World) -> None:
    assert {table: len(world[table]) for table in ("client", "worker", "contract", "contract_event")} == {
        "client": 120,
        "worker": 6_000,
        "contract": 7_200,
        "contract_event": 3_600,
    }


@pytest.mark.parametrize("table", ["organisation", "client", "worker", "contract", "contract_event"])
def test_a_key_is_unique_with_its_tenant(world: World, table: str) -> None:
    keys = [(row[0], row[1]) for row in world[table]]
    assert len(set(keys)) == len(keys)


def test_a_key_without_its_tenant_meets_strangers(world: World) -> None:
    assert Counter(column(world, "worker", "worker_id"))["w00001"] == 120


def test_workers_are_spread_over_clients_as_in_life(world: World) -> None:
    sizes = sorted(Counter(column(world, "worker", "tenant_id")).values())
    assert len(sizes) == 120
    assert sizes[-1] > 10 * sizes[len(sizes) // 2]


def test_about_two_in_five_workers_are_in_the_uk(world: World) -> None:
    assert 0.33 < Counter(column(world, "worker", "country_code"))["GB"] / 6_000 < 0.47


def test_only_clients_with_a_uk_entity_employ_people_there(world: World) -> None:
    rows = zip(column(world, "worker", "tenant_id"), column(world, "worker", "country_code"), strict=True)
    assert all(has_uk_payroll(str(tenant)) for tenant, country in rows if country == "GB")


def test_every_iban_holds_except_the_ones_spoilt_on_purpose(world: World, planted: list[Planted]) -> None:
    spoilt = {(each.tenant_id, each.entity_id) for each in planted if each.kind == "iban_check_digits"}
    typed = zip(world["worker"], column(world, "worker", "iban"), strict=True)
    ibans = {(row[0], row[1]): str(value).replace(" ", "").upper() for row, value in typed if value is not None}

    assert {key for key, value in ibans.items() if iban.remainder(value) != 1} == spoilt
    assert all(len(value) == IBAN_LENGTHS[value[:2]] for value in ibans.values())


def test_wrong_check_digits_never_happen_to_be_right() -> None:
    rng = Random(1)
    wrong = [iban.with_wrong_check_digits(rng, iban.make(rng, "GB")) for _ in range(2_000)]
    assert all(iban.remainder(each) != 1 for each in wrong)


@pytest.mark.parametrize("table", sorted(BY_TABLE))
def test_dirt_stays_about_a_row_in_a_hundred(world: World, planted: list[Planted], table: str) -> None:
    dirty = sum(each.table_name == table for each in planted)
    assert dirty <= max(3, 0.02 * len(world[table]))


def test_every_mistake_is_in_the_row_that_the_list_names(world: World, planted: list[Planted]) -> None:
    rows = {(table, str(row[0]), str(row[1])): row for table in BY_TABLE for row in world[table]}
    for each in planted:
        row = rows[each.table_name, each.tenant_id, each.entity_id]
        assert row[COLUMNS[each.table_name].index(each.column_name)] != each.clean_value, each.kind


def test_the_full_world_shows_every_kind_of_mistake() -> None:
    planted: list[Planted] = []
    plan = Plan(seed=7)
    for rows in (TABLES["organisation"], TABLES["client"], TABLES["worker"], TABLES["contract"]):
        for _row in rows(plan, planted):
            pass
    missing = {
        (table, mistake.kind)
        for table in ("organisation", "client", "worker", "contract")
        for mistake in BY_TABLE[table]
    } - {(each.table_name, each.kind) for each in planted}
    assert not missing


@pytest.mark.parametrize("table", sorted(TABLES))
def test_nothing_was_updated_in_the_future(world: World, table: str) -> None:
    newest = max(str(value) for value in column(world, table, "updated_at") if value != "infinity")
    assert re.match(r"\d{4}-\d\d-\d\d ", newest)
    assert newest[:10] <= PRESENT_DAY.isoformat() < datetime.now(UTC).date().isoformat()


def test_names_come_in_several_scripts(world: World) -> None:
    names = "".join(map(str, column(world, "worker", "given_name")))
    for script in ("[\u03b1-\u03c9]", "[\u0430-\u044f]", "[\u4e00-\u9fff]", "[\u0900-\u097f]", "[łśżé]"):
        assert re.search(script, names), script


def test_shares_add_up_and_leave_nobody_out() -> None:
    assert shares(10, [100, 1, 1]) == [8, 1, 1]
    assert sum(shares(99_991, list(range(1, 1_000)))) == 99_991
    assert shares(2, [5, 1, 1]) == [2, 0, 0]


def test_a_world_without_a_worker_for_each_client_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one worker"):
        Plan(seed=1, workers=5, clients=6, contracts=6)


if __name__ == "__main__":  # run by test_another_process_makes_the_same_world
    print(digest(SMALL))
