"""Count what stands at the target, for reconciliation: whoever wrote it, never from the loader's numbers.

Two questions in one statement, so that both are answered of one moment: how many rows each tenant has, and what became
of each key that the batch brought. The second is asked of the staged rows only: of a small batch by as many looks into
the target's index, of a large one by the same join that its load has made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from psycopg import sql
from psycopg.sql import Composable

from syncline.adapters.connections import WORK_MEM
from syncline.adapters.target.session import Column, TargetSession, s, t
from syncline.core.compile import DELETED, REJECT
from syncline.core.values import KeyCheck, Mode


@dataclass(frozen=True)
class DeadKey:
    """The target key of a row that waits in dead letters."""

    dead_letter_id: int
    batch_id: int
    tenant_id: str
    target_key: tuple[str, ...] | None


@dataclass(frozen=True)
class TargetCount:
    """Rows that the target shows per tenant, and the batch's keys; None where the staging table was lost."""

    rows: dict[str, int]
    keys: dict[str, KeyCheck] | None


class Counting(TargetSession):
    """Independent numbers about the final table."""

    def count_rows(self, tenants: Iterable[str]) -> TargetCount:
        """Rows of the final table and what became of the batch's keys, per tenant, counted now."""
        with self._transaction("counting the target"):
            outcomes = self._marker()
            is_staged = outcomes is not None and self._has_staging()
            self._session.execute(sql.SQL("set local work_mem = {}").format(sql.Literal(WORK_MEM)))
            self._enter(tenants)
            self._become_tenant()
            counted = self._session.execute(self._count(with_keys=is_staged)).fetchall()
        rows = {tenant: n for tenant, n, *_ in counted if n}
        keys = {tenant: KeyCheck(*found) for tenant, _, *found in counted}
        brought_rows = sum(key.brought_rows for key in keys.values())
        if outcomes is None or brought_rows != outcomes.total.settled_rows:
            return TargetCount(rows, None)  # unlogged: a crash emptied it
        return TargetCount(rows, {tenant: key for tenant, key in keys.items() if key.brought_rows})

    def _count(self, *, with_keys: bool) -> sql.Composed:
        """Softly deleted rows are none. Of a window only rows whose key it has staged are counted, rejected ones too:
        the older version of such a row may stand.
        """
        which: Composable = sql.SQL("")
        if self.batch.mode.answers_for_itself:
            which = sql.SQL(" and exists (select from {} as s where {})").format(self._staged, self._same_key())
        standing = sql.SQL("select {} as tenant, count(*) as n from {} as t where {}{} group by 1").format(
            self._tenant_text(t), self._table, self._alive(), which
        )
        if not with_keys:
            return sql.SQL("select tenant, n, 0, 0, 0 from ({}) as standing").format(standing)
        return sql.SQL(
            "with standing as ({standing}),\n"
            "brought as (select {tenant} as tenant, count(*) as n,\n"
            "    count(*) filter (where {is_absent} and not {deleted}) as missing,\n"
            "    count(*) filter (where not {is_absent} and {deleted} and not {newer}) as extra\n"
            "  from {staged} as s left join {table} as t on {key} and {alive} where {reject} is null group by 1)\n"
            "select coalesce(standing.tenant, brought.tenant), coalesce(standing.n, 0), coalesce(brought.n, 0),\n"
            "  coalesce(missing, 0), coalesce(extra, 0)\n"
            "from standing full join brought on brought.tenant = standing.tenant"
        ).format(
            standing=standing,
            tenant=self._tenant_of_staged(),
            is_absent=sql.SQL("{} is null").format(t(self.job.target.key[0])),
            deleted=s(DELETED),
            newer=self._is_newer(),  # then it stands although the source deleted it
            staged=self._staged,
            table=self._table,
            key=self._same_key(),
            alive=self._alive(),
            reject=s(REJECT),
        )

    def settle_letters(self, tenants: Iterable[str], keys: Iterable[DeadKey]) -> tuple[list[int], dict[str, int]]:
        """What became of waiting rows: letters that this batch settled, and per tenant those not in the target.

        A window is excused only for rows that it rejected itself: others were not counted for it.
        """
        with self._transaction("comparing dead letters"):
            self._session.execute(
                "create temp table waiting (id bigint, tenant text, key text[], is_new boolean) on commit drop"
            )
            with self._session.cursor() as cursor, cursor.copy("copy waiting from stdin") as rows:
                for key in keys:
                    target_key = key.target_key and list(key.target_key)
                    rows.write_row((key.dead_letter_id, key.tenant_id, target_key, key.batch_id == self.batch.batch_id))
            self._session.execute("analyze waiting")
            self._session.execute(sql.SQL("grant select on waiting to {}").format(sql.Identifier(self.job.target.role)))
            self._enter(tenants)
            settled = self._settled_letters()
            self._become_tenant()
            absent = sql.SQL(
                "select tenant, count(*) from waiting where id <> all(%s) and (is_new or %s) and not exists"
                " (select from {} as t where {} and {}) group by 1"
            ).format(self._table, self._same_key_as_waiting(t, self.job.target.key), self._alive())
            counts_old = not self.batch.mode.answers_for_itself
            return settled, dict(self._session.execute(absent, [settled, counts_old]).fetchall())

    def _settled_letters(self) -> list[int]:
        """Older letters whose row came through clean in this batch; none where the staging table is gone.

        A batch that compared everything tells each rejected row anew, so a row that it did not reject is clean: the
        row may lie in a range that is equal, and is not staged.
        """
        if self.batch.mode is Mode.FULL and self.batch.difference is not None:
            mended = "select id from waiting where not is_new and (%s::text[] is null or tenant = any(%s))"
            tenants = list(self.batch.tenants) if self.batch.tenants is not None else None
            return [row[0] for row in self._session.execute(mended, [tenants, tenants])]
        if not self._session.execute("select from waiting where not is_new limit 1").rowcount:
            return []
        if not self._has_staging():
            return []
        statement = sql.SQL(
            "select id from waiting where not is_new and exists (select from {} as s where {} is null and {})"
        ).format(self._staged, s(REJECT), self._same_key_as_waiting(s, self.job.target.key))
        return [row[0] for row in self._session.execute(statement)]

    def _same_key_as_waiting(self, side: Column, key: tuple[str, ...]) -> Composable:
        types = self.job.mapping.fields
        return sql.SQL(" and ").join(
            sql.SQL("{} = (waiting.key[{}])::{}").format(side(name), sql.Literal(n), types[name].type.sql)
            for n, name in enumerate(key, start=1)
        )
