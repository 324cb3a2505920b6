"""Count what stands at the target, for reconciliation: whoever wrote it, never from the loader's numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from psycopg import sql
from psycopg.sql import Composable

from syncline.adapters.target.session import Column, TargetSession, s, t
from syncline.core.compile import REJECT
from syncline.core.values import Mode


@dataclass(frozen=True)
class DeadKey:
    """The target key of a row that waits in dead letters."""

    dead_letter_id: int
    batch_id: int
    tenant_id: str
    target_key: tuple[str, ...] | None


class Counting(TargetSession):
    """Independent numbers about the final table."""

    def count_rows(self, tenants: Iterable[str]) -> dict[str, int]:
        """Rows of the final table per tenant, counted now, whoever wrote them; softly deleted ones are not.

        Of a window those rows whose key it has staged, rejected ones too: the older version of such a row may stand.
        """
        which: Composable = sql.SQL("")
        if self.batch.mode is Mode.WINDOW:
            which = sql.SQL(" and exists (select from {} as s where {})").format(self._staged, self._same_key())
        statement = sql.SQL("select {}, count(*) from {} as t where {}{} group by 1").format(
            self._tenant_text(t), self._table, self._alive(), which
        )
        with self._transaction("counting the target"):
            self._enter(tenants)
            self._become_tenant()
            return dict(self._session.execute(statement).fetchall())

    def grants(self) -> set[str]:
        """The tenants that the target's owner lets the job touch; `*` is all of them."""
        with self._transaction("reading its grants"):
            rows = self._session.execute("select tenant_id from syncline.job_tenant where job_id = %s", [self.job.id])
            return {row[0] for row in rows}

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
            counts_old = self.batch.mode is not Mode.WINDOW
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
        known = self._session.execute("select to_regclass(%s)", [self._staged.as_string(None)]).fetchone()
        if known is None or known[0] is None:
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
