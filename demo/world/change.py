"""Let a day pass in the hub: about 1 % of it changes, so that an incremental batch can be seen beside the full one.

What happens is what happens in such a hub: raises, new bank accounts, marriages, people who join and leave, contracts
that are signed and amended, companies that change their name; some mistakes are mended and new ones are made.

One transaction, all of it stamped with its time. Which rows change follows from the seed and from how many changes
there were before, so the next call changes other rows, and a repeated demo is the same demo.

Not done here, because an incremental batch cannot see it and a full comparison (SYNC-008) must find it: rows deleted
without a flag, and workers who leave the country that a job filters by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import psycopg
import pycountry
from psycopg import sql

from demo.problems import DemoError
from demo.world.dirt import Planter, Value
from demo.world.generate import copy_rows
from demo.world.people import pick, pool
from demo.world.plan import COUNTRIES, Plan
from demo.world.rows import COLUMNS, Row, contract_row, event_row, new_iban, worker_row

# What becomes of the rows that change in one table; with the repaired and spoilt ones below, at most all of them.
WORKER_PARTS = {"raised": 0.30, "banked": 0.15, "renamed": 0.10, "moved": 0.10, "added": 0.15, "deleted": 0.08}
CONTRACT_PARTS = {"amended": 0.45, "ended": 0.15, "added": 0.25, "deleted": 0.05}
CLIENT_PARTS = {"limited": 0.40, "termed": 0.25, "renamed": 0.15, "deleted": 0.05}
REPAIRED_RATIO = {"worker": 0.09, "contract": 0.07, "client": 0.10}
# New mistakes stay well below the share of rejected rows that manifests allow, for any seed: of 430 UK workers that
# change in a day, 0.03 left 0.035 rejected, too near to payroll's limit of 0.05.
SPOILED_RATIO = {"worker": 0.015, "contract": 0.015, "client": 0.05}
SPOILED_EVENT_RATIO = 0.01
NOT_SPOILED = frozenset({"country_unknown"})  # see "Not done here"

ID_COLUMN = {"worker": "worker_id", "contract": "contract_id", "contract_event": "event_id", "client": "client_id"}
COUNTRY_BY_CODE = {country.code: country for country in COUNTRIES}

Key = tuple[str, str]


class HubIsEmpty(DemoError):
    """There is no world to change."""

    def __init__(self) -> None:
        super().__init__("The hub holds no demo world. Nothing was changed. Fill it first: demo.world.generate.")


@dataclass
class _Day:
    """One change under way: its connection, its chance, its number and its moment."""

    hub: psycopg.Connection
    plan: Plan
    rng: Random
    number: int
    now: str
    share: float
    counts: Counter[str] = field(default_factory=Counter)


def change(mdm_conninfo: str, *, seed: int, share: float = 0.01) -> dict[str, int]:
    """Change about `share` of the hub's workers, contracts and clients, in one transaction.

    Args:
        mdm_conninfo: The hub's database as a role that may become mdm_owner (`provision.hub_conninfo`).
        seed: With the number of changes so far, decides what happens.
        share: Of the rows of each table, 0 to 0.2.

    Returns:
        Rows by what happened to them, such as `workers_raised`, `contracts_added`, `dirt_repaired`.

    Raises:
        HubIsEmpty: The demo did not fill this hub.
    """
    if not 0 <= share <= 0.2:
        raise ValueError(f"share is {share}; a day changes 0 to 0.2 of the hub")
    with psycopg.connect(mdm_conninfo) as hub:
        hub.execute("set local role mdm_owner")
        day = _begin(hub, seed, share)
        _change_workers(day)
        _change_contracts(day)
        _change_clients(day)
        for table in ("worker", "contract", "client"):
            _repair(day, table)
            _spoil(day, table)
        _rename_a_country(day)
    return dict(sorted(day.counts.items()))


def _begin(hub: psycopg.Connection, seed: int, share: float) -> _Day:
    world = hub.execute(
        "update mdm.world set changes_made = changes_made + 1"
        " returning seed, workers, clients, contracts, changes_made, now()::text"
    ).fetchone()
    if world is None:
        raise HubIsEmpty
    world_seed, workers, clients, contracts, number, now = world
    plan = Plan(seed=world_seed, workers=workers, clients=clients, contracts=contracts)
    return _Day(hub, plan, plan.random("change", seed, number), number, now, share)


def _change_workers(day: _Day) -> None:
    parts = _portions(day, "worker", WORKER_PARTS, "country_code")
    _update(day, "worker", parts["raised"], "annual_salary = round(t.annual_salary * 1.0350, 4)", "workers_raised")
    paid = [row for row in parts["banked"] if COUNTRY_BY_CODE[row[2]].has_iban]
    _set(day, "worker", "iban", [(*row[:2], new_iban(day.rng, row[2])) for row in paid], "workers_banked")
    married = [(*row[:2], _family_name(day, row[2])) for row in parts["renamed"]]
    _set(day, "worker", "family_name", married, "workers_renamed")
    status = "status_code = case t.status_code when 'ACT' then 'LOA' when 'LOA' then 'TRM' else 'ACT' end"
    _update(day, "worker", parts["moved"], status, "workers_moved")
    _update(day, "worker", parts["deleted"], "is_deleted = true", "workers_deleted")
    _hire(day, parts["added"])


def _hire(day: _Day, colleagues: Sequence[tuple[Any, ...]]) -> None:
    """New people join where others work already: same client, same country. Each signs a contract."""
    number = _next_numbers(day, "worker", colleagues)
    workers: list[Row] = []
    hired: list[tuple[str, int, str]] = []
    for tenant, _colleague, country in colleagues:
        number[tenant] += 1
        workers.append(
            _today(day, "worker", worker_row(day.plan, day.rng, tenant, number[tenant], COUNTRY_BY_CODE[country]))
        )
        hired.append((tenant, number[tenant], country))
    day.counts["workers_added"] += copy_rows(day.hub, "worker", COLUMNS["worker"], workers)
    _sign(day, hired)


def _change_contracts(day: _Day) -> None:
    parts = _portions(day, "contract", CONTRACT_PARTS, "worker_id")
    _update(day, "contract", parts["amended"], "rate_amount = round(t.rate_amount * 1.0275, 4)", "contracts_amended")
    ended = "status_code = 'ENDED', ends_on = greatest(t.starts_on, now()::date)"
    _update(day, "contract", parts["ended"], ended, "contracts_ended")
    _update(day, "contract", parts["deleted"], "is_deleted = true", "contracts_deleted")
    happened = [(row, "AMENDED") for row in parts["amended"]] + [(row, "ENDED") for row in parts["ended"]]
    _record(day, [(tenant, contract, kind) for (tenant, contract, *_), kind in happened])
    _sign(day, [(tenant, int(worker[1:]), _country_of(day, tenant, worker)) for tenant, _, worker in parts["added"]])


def _sign(day: _Day, signed: Sequence[tuple[str, int, str]]) -> None:
    """One new contract for each (tenant, worker number, country), and its event."""
    number = _next_numbers(day, "contract", signed)
    contracts: list[Row] = []
    for tenant, worker, country in signed:
        number[tenant] += 1
        row = contract_row(day.rng, tenant, number[tenant], worker, COUNTRY_BY_CODE[country])
        contracts.append(_today(day, "contract", row))
    day.counts["contracts_added"] += copy_rows(day.hub, "contract", COLUMNS["contract"], contracts)
    _record(day, [(str(row[0]), str(row[1]), "SIGNED") for row in contracts])


def _record(day: _Day, happened: Sequence[tuple[str, str, str]]) -> None:
    """Append an event for each (tenant, contract, kind). Events are never changed: their dirt comes with them."""
    number = _next_numbers(day, "contract_event", happened)
    planter = Planter("contract_event", COLUMNS["contract_event"])
    events: list[Row] = []
    for tenant, contract, kind in happened:
        number[tenant] += 1
        events.append(event_row(tenant, number[tenant], contract, kind, day.now))
        if day.rng.random() < SPOILED_EVENT_RATIO:
            planter.spoil(day.rng, events[-1])
    day.counts["events_added"] += copy_rows(day.hub, "contract_event", COLUMNS["contract_event"], events)
    _remember(day, planter)


def _change_clients(day: _Day) -> None:
    parts = _portions(day, "client", CLIENT_PARTS, "organisation_id")
    limit = "credit_limit = coalesce(round(t.credit_limit * 1.1, 6), 10000)"
    _update(day, "client", parts["limited"], limit, "clients_limited")
    terms = "payment_terms = case t.payment_terms when 'N30' then 'N60' else 'N30' end"
    _update(day, "client", parts["termed"], terms, "clients_termed")
    _update(day, "client", parts["deleted"], "is_deleted = true", "clients_deleted")
    # Billing reads the name by lookup and sees only clients that changed, so the hub touches them together.
    _update(day, "client", parts["renamed"], "organisation_id = t.organisation_id", "clients_renamed")
    for tenant, _client, organisation in parts["renamed"]:
        day.counts["organisations_renamed"] += day.hub.execute(
            "update mdm.organisation set legal_name = legal_name || ' (Group)', updated_at = now()"
            " where tenant_id = %s and organisation_id = %s and length(legal_name) < 100",
            [tenant, organisation],
        ).rowcount


def _rename_a_country(day: _Day) -> None:
    """Reference data change too, and so rarely that one is a lot."""
    named = [country for country in pycountry.countries if hasattr(country, "common_name")]
    country = named[day.number % len(named)]
    day.counts["countries_renamed"] += day.hub.execute(
        "update mdm.country set name = %s, updated_at = now() where country_code = %s",
        [country.common_name, country.alpha_2],
    ).rowcount


def _repair(day: _Day, table: str) -> None:
    wanted = int(day.share * _count(day, table) * REPAIRED_RATIO[table])
    dirty = day.hub.execute(
        "select tenant_id, entity_id, column_name, clean_value from mdm.world_dirt"
        " where table_name = %s and repaired_in is null and planted_in < %s"
        " order by hashtextextended(tenant_id || '/' || entity_id, %s), tenant_id, entity_id limit %s",
        [table, day.number, day.rng.getrandbits(62), wanted],
    ).fetchall()
    for tenant, entity, column, clean in dirty:
        _set_one(day, table, (tenant, entity), column, clean)
        day.hub.execute(
            "update mdm.world_dirt set repaired_in = %s"
            " where table_name = %s and tenant_id = %s and entity_id = %s and repaired_in is null",
            [day.number, table, tenant, entity],
        )
    day.counts["dirt_repaired"] += len(dirty)


def _spoil(day: _Day, table: str) -> None:
    columns = COLUMNS[table]
    as_text = sql.SQL(", ").join(sql.SQL("t.{}::text").format(sql.Identifier(column)) for column in columns)
    planter = Planter(table, columns, without=NOT_SPOILED)
    wanted = int(day.share * _count(day, table) * SPOILED_RATIO[table])
    for found in _pick_clean(day, table, wanted, as_text):
        row: list[Value] = list(found)
        is_gb = table == "worker" and row[columns.index("country_code")] == "GB"
        planted = planter.spoil(day.rng, row, is_gb=is_gb)
        dirty = row[columns.index(planted.column_name)]
        _set_one(day, table, (planted.tenant_id, planted.entity_id), planted.column_name, dirty)
    _remember(day, planter)


def _remember(day: _Day, planter: Planter) -> None:
    for planted in planter.planted:
        day.hub.execute(
            "insert into mdm.world_dirt"
            " (table_name, tenant_id, entity_id, kind, column_name, clean_value, planted_in)"
            " values (%s, %s, %s, %s, %s, %s, %s)",
            [*planted, day.number],
        )
    day.counts["dirt_added"] += len(planter.planted)


def _portions(day: _Day, table: str, parts: dict[str, float], column: str) -> dict[str, list[tuple[Any, ...]]]:
    """Draw clean rows of a table, (tenant, id, column) each, and deal them out; no row gets two fates."""
    wanted = day.share * _count(day, table)
    rows = _pick_clean(
        day, table, int(wanted), sql.SQL("t.tenant_id, {}, {}").format(
            sql.Identifier("t", ID_COLUMN[table]), sql.Identifier("t", column)
        )
    )  # fmt: skip
    dealt: dict[str, list[tuple[Any, ...]]] = {}
    for name, ratio in parts.items():
        size = int(wanted * ratio)
        dealt[name], rows = rows[:size], rows[size:]
    return dealt


def _pick_clean(day: _Day, table: str, rows: int, columns: sql.Composable) -> list[tuple[Any, ...]]:
    """Rows without an open mistake that nobody deleted and this day has not touched, by a hash of seed and key."""
    statement = sql.SQL(
        "select {columns} from {table} as t where not t.is_deleted and t.updated_at < now() and not exists ("
        " select from mdm.world_dirt as d where d.table_name = %s and d.tenant_id = t.tenant_id"
        " and d.entity_id = {id} and d.repaired_in is null)"
        " order by hashtextextended(t.tenant_id || '/' || {id}, %s), t.tenant_id, {id} limit %s"
    ).format(columns=columns, table=sql.Identifier("mdm", table), id=sql.Identifier("t", ID_COLUMN[table]))
    return day.hub.execute(statement, [table, day.rng.getrandbits(62), rows]).fetchall()


def _update(day: _Day, table: str, rows: Sequence[tuple[Any, ...]], changes: str, counted_as: str) -> None:
    """`changes` is one of the fixed texts of this module."""
    statement = sql.SQL(
        "update {table} as t set {changes}, updated_at = now() from unnest(%s::text[], %s::text[]) as k (tenant, id)"
        " where t.tenant_id = k.tenant and {id} = k.id"
    ).format(
        table=sql.Identifier("mdm", table),
        changes=sql.SQL(changes),
        id=sql.Identifier("t", ID_COLUMN[table]),
    )
    keys = [[row[0] for row in rows], [row[1] for row in rows]]
    day.counts[counted_as] += day.hub.execute(statement, keys).rowcount


def _set(day: _Day, table: str, column: str, values: Iterable[tuple[str, str, str]], counted_as: str) -> None:
    for tenant, entity, value in values:
        _set_one(day, table, (tenant, entity), column, value)
        day.counts[counted_as] += 1


def _set_one(day: _Day, table: str, key: Key, column: str, value: Value) -> None:
    statement = sql.SQL("update {} set {} = %s, updated_at = now() where tenant_id = %s and {} = %s").format(
        sql.Identifier("mdm", table), sql.Identifier(column), sql.Identifier(ID_COLUMN[table])
    )
    day.hub.execute(statement, [value, *key])


def _next_numbers(day: _Day, table: str, rows: Iterable[tuple[Any, ...]]) -> Counter[str]:
    """The highest number given so far in each tenant: w00017 is 17, an event's id is its number."""
    number = sql.SQL("max({id}::bigint)" if table == "contract_event" else "max(substr({id}, 2)::bigint)")
    statement = sql.SQL("select tenant_id, {number} from {table} where tenant_id = any(%s) group by 1").format(
        number=number.format(id=sql.Identifier(ID_COLUMN[table])), table=sql.Identifier("mdm", table)
    )
    tenants = sorted({row[0] for row in rows})
    return Counter(dict(day.hub.execute(statement, [tenants]).fetchall()))


def _today(day: _Day, table: str, row: Row) -> Row:
    """A row as if written now."""
    row[COLUMNS[table].index("updated_at")] = day.now
    row[COLUMNS[table].index("is_deleted")] = False
    return row


def _country_of(day: _Day, tenant: str, worker: str) -> str:
    """Where a worker lives; where the hub does not know a real country, any will do for a contract."""
    found = day.hub.execute(
        "select country_code from mdm.worker where tenant_id = %s and worker_id = %s", [tenant, worker]
    ).fetchone()
    return found[0] if found is not None and found[0] in COUNTRY_BY_CODE else "DE"


def _family_name(day: _Day, country_code: str) -> str:
    return pick(day.rng, pool(day.plan.seed, COUNTRY_BY_CODE[country_code].locale).family)


def _count(day: _Day, table: str) -> int:
    found = day.hub.execute(sql.SQL("select count(*) from {}").format(sql.Identifier("mdm", table))).fetchone()
    return found[0] if found is not None else 0
