"""Whether a contender did what it was timed for: its rows against the hub's view, value by value.

A time counts only for rows that are right. Both sides are reduced to one order-free checksum inside their databases,
every value cast to the view's type. Rows that the hub no longer has are counted apart: most tools cannot see them go.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks import _programs
from benchmarks._world import MOVING, WAREHOUSE, World

VIEW = "mdm.assignment_by_hand"
COLUMNS = f"""
    select string_agg(format('%I::%s', attname, format_type(atttypid, atttypmod)), ', ' order by attnum)
    from pg_attribute where attrelid = '{VIEW}'::regclass and attnum > 0
"""
GONE = "select coalesce(jsonb_agg(jsonb_build_array(tenant_id, assignment_id)), '[]')::text from bench.gone"
OF_GONE = "(tenant_id, assignment_no) in (select g ->> 0, g ->> 1 from jsonb_array_elements('{gone}') as g)"
CHECKSUM = f"""
    select count(*), coalesce(sum(hashtextextended(row({{columns}})::text, 0)::numeric), 0)
    from {{table}} where {{which}} and not {OF_GONE}
"""
LEFT = f"select count(*) from {{table}} where {{which}} and {OF_GONE}"


@dataclass(frozen=True)
class Held:
    """The table that a contender filled, and which of its rows, or of the view's, are meant to be there."""

    table: str
    where: str = "true"
    of_view: str = "true"


def missed_deletes(world: World, held: Held) -> int:
    """Rows of the warehouse that the moving hub has no more.

    Raises:
        Failed: The other rows are not the view's: what was timed is not the work that was asked for.
    """
    (columns,) = world.ask(MOVING, COLUMNS)
    (gone,) = world.ask(MOVING, GONE)
    wanted = world.ask(MOVING, CHECKSUM.format(columns=columns, table=VIEW, which=held.of_view, gone=gone))
    found = world.ask(WAREHOUSE, CHECKSUM.format(columns=columns, table=held.table, which=held.where, gone=gone))
    if wanted != found:
        raise _programs.Failed(f"{held.table} holds other values than {VIEW}: {found[0]} rows, the hub has {wanted[0]}")
    (left,) = world.ask(WAREHOUSE, LEFT.format(table=held.table, which=held.where, gone=gone))
    return int(str(left))
