"""Fill the hub of the demo world, once.

The rows come from rows.py; this module moves them: one COPY per table in one transaction, so the hub is
full or empty and nothing between. What was put there is written down in `mdm.world`, and a second call with
the same wishes returns at once. A hub that holds something else is never emptied: what was read from it
stands in targets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from demo.problems import DemoError
from demo.world.dirt import Planted
from demo.world.plan import CLIENTS_DEFAULT, CONTRACTS_DEFAULT, RECIPE, WORKERS_DEFAULT, Plan
from demo.world.rows import COLUMNS, TABLES, Row

PROGRESS_EVERY_ROWS = 10_000

# Called with (table, rows so far): at the start of a table, every 10,000 rows, and at its end.
Progress = Callable[[str, int], None]


class HubHoldsAnotherWorld(DemoError):
    """The hub was filled with another seed, size or recipe, or not by the demo at all."""

    def __init__(self, found: str, wanted: Plan) -> None:
        super().__init__(
            f"the hub holds {found}; asked for seed {wanted.seed} with {wanted.workers} workers, "
            f"{wanted.clients} clients, {wanted.contracts} contracts (recipe {RECIPE}). Nothing was changed. "
            "Ask for what is there, or start with a new server: targets hold rows of the old world."
        )


def generate(
    mdm_conninfo: str,
    *,
    workers: int = WORKERS_DEFAULT,
    clients: int = CLIENTS_DEFAULT,
    contracts: int = CONTRACTS_DEFAULT,
    seed: int = 7,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Fill the hub from a seed; the same seed and sizes make the same bytes in every process.

    Args:
        mdm_conninfo: The hub's database as a role that may become mdm_owner (`provision.hub_conninfo`).
        workers, clients, contracts: Rows wanted, at least one worker and contract for each client.
        progress: Told how far it is; see `Progress`.

    Returns:
        Rows by table, as generated; also when they were there already.

    Raises:
        HubHoldsAnotherWorld: The hub is not empty and holds something else. Nothing is changed.
    """
    plan = Plan(seed=seed, workers=workers, clients=clients, contracts=contracts)
    with psycopg.connect(mdm_conninfo) as hub:
        hub.execute("set local role mdm_owner")
        hub.execute("lock table mdm.world in exclusive mode")  # of two generators the second finds it done
        if (there := _what_is_there(hub, plan)) is not None:
            return there
        planted: list[Planted] = []
        rows = {
            table: _copy(hub, table, make_rows(plan, planted), progress or _silent)
            for table, make_rows in TABLES.items()
        }
        _write_down(hub, plan, rows, planted)
    _analyze(mdm_conninfo)
    return rows


def _what_is_there(hub: psycopg.Connection, plan: Plan) -> dict[str, int] | None:
    """The rows of this very world if the hub is full of it, None if it is empty."""
    world = hub.execute("select recipe, seed, workers, clients, contracts, rows from mdm.world").fetchone()
    if world is None:
        if hub.execute("select from mdm.worker union all select from mdm.client limit 1").fetchone() is not None:
            raise HubHoldsAnotherWorld("rows that the demo did not make", plan)
        return None
    recipe, *wishes, rows = world
    if (recipe, *wishes) != (RECIPE, plan.seed, plan.workers, plan.clients, plan.contracts):
        seed, workers, clients, contracts = wishes
        found = f"seed {seed} with {workers} workers, {clients} clients, {contracts} contracts (recipe {recipe})"
        raise HubHoldsAnotherWorld(found, plan)
    return dict(rows)


def copy_rows(hub: psycopg.Connection, table: str, columns: Iterable[str], rows: Iterable[Row]) -> int:
    """COPY rows into a table of the hub; returns how many."""
    return _copy_into(hub, table, tuple(columns), rows, _silent)


def _copy(hub: psycopg.Connection, table: str, rows: Iterable[Row], progress: Progress) -> int:
    return _copy_into(hub, table, COLUMNS[table], rows, progress)


def _copy_into(
    hub: psycopg.Connection, table: str, columns: tuple[str, ...], rows: Iterable[Row], progress: Progress
) -> int:
    statement = sql.SQL("copy {} ({}) from stdin").format(
        sql.Identifier("mdm", table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    count = 0
    progress(table, 0)
    with hub.cursor() as cursor, cursor.copy(statement) as copy:
        for count, row in enumerate(rows, start=1):
            copy.write_row(row)
            if count % PROGRESS_EVERY_ROWS == 0:
                progress(table, count)
    progress(table, count)
    return count


def _write_down(hub: psycopg.Connection, plan: Plan, rows: dict[str, int], planted: list[Planted]) -> None:
    copy_rows(hub, "world_dirt", (*Planted._fields, "planted_in"), ([*each, 0] for each in planted))
    hub.execute(
        "insert into mdm.world (recipe, seed, workers, clients, contracts, rows) values (%s, %s, %s, %s, %s, %s)",
        [RECIPE, plan.seed, plan.workers, plan.clients, plan.contracts, Jsonb(rows)],
    )


def _analyze(mdm_conninfo: str) -> None:
    """The first batch must not be planned for empty tables."""
    with psycopg.connect(mdm_conninfo, autocommit=True) as hub:
        hub.execute("set role mdm_owner")
        for table in TABLES:
            hub.execute(sql.SQL("analyze {}").format(sql.Identifier("mdm", table)))


def _silent(_table: str, _rows: int) -> None:
    """Progress that nobody watches."""
