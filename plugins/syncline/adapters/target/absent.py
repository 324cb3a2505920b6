"""Rows of the copy that the source no longer has: compared by ranges of key hashes, counted, and removed.

No flag tells of them and no change time: they are found by what is missing. A batch that looks for them carries the
numbers of the ranges that differ, and the keys that the source has there; what the copy has beyond these is absent.
What is removed leaves a marker (`syncline.deleted`), so that nothing older brings it back.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from psycopg import sql
from psycopg.sql import Composable

from syncline.adapters.comparing import Ranges
from syncline.adapters.target.session import TargetSession, assigned, listed, t
from syncline.core.checksums import in_hashes, range_of, table_checksums
from syncline.core.equality import spelled_as_loaded
from syncline.core.values import Balance, Counts, Mode


class Absent(TargetSession):
    """Compare the copy by ranges, and let go what is absent."""

    def compare(self, tenants: Iterable[str], bits: int, ranges: Ranges, *, only_keys: bool) -> None:
        """Add up what the copy holds per range, softly deleted rows left out."""
        compared = self.key()
        if not only_keys:
            fields = self.job.mapping.fields.items()
            compared = {name: spelled_as_loaded(t(name), field) for name, field in fields}
        relation = sql.SQL("{} as t").format(self._table)
        statement = table_checksums(relation, self.key(), compared, bits, where=[self._alive()])
        with self._transaction("comparing"):
            self._enter(tenants)
            self._become_tenant()
            ranges.ask(self._session, statement)

    def is_empty(self, tenants: Iterable[str]) -> bool:
        """Whether the copy holds no row of these tenants: then there is nothing to compare with."""
        with self._transaction("looking at the target"):
            self._enter(tenants)
            self._become_tenant()
            return not self._session.execute(sql.SQL("select from {} limit 1").format(self._table)).rowcount

    def stage_ranges(self, ranges: Iterable[int]) -> None:
        """Note which ranges differ, in a table that survives a crash of the server: an empty one would say 'none'."""
        with self._transaction("staging the ranges that differ"):
            self._enter(())
            self._make(self._ranges, sql.SQL("range integer"))
            statement = sql.SQL("copy {} from stdin").format(self._ranges)
            with self._session.cursor() as cursor, cursor.copy(statement) as rows:
                rows.write("".join(f"{number}\n" for number in ranges).encode())
            self._session.execute(sql.SQL("analyze {}").format(self._ranges))

    def stage_keys(self, blocks: Iterable[bytes]) -> None:
        """Note which keys the source has in the ranges that differ, from a binary COPY stream."""
        typed = listed(
            sql.SQL("{} {}").format(sql.Identifier(name), self.job.mapping.fields[name].type.sql)
            for name in self.job.target.key
        )
        with self._transaction("staging keys"):
            self._enter(())
            self._make(self._keys, typed)
            self._copy_in(self._keys, blocks)
            self._session.execute(sql.SQL("analyze {}").format(self._keys))

    def standing_rows(self, tenants: Iterable[str]) -> int:
        """Rows of the copy that readers see, within whatever transaction is open."""
        with self._transaction("counting the target"):
            self._enter(tenants)
            self._become_tenant()
            counted = self._session.execute(
                sql.SQL("select count(*) from {} as t where {}").format(self._table, self._alive())
            ).fetchone()
            self._session.execute("reset role")
        return counted[0] if counted else 0

    def forget_deleted(self, older_than: str) -> None:
        """Forget markers that no replay can reach any more."""
        with self._transaction("forgetting old delete markers"):
            self._session.execute("select syncline.forget_deleted(%s, %s::interval)", [self.job.id, older_than])

    def _remove_absent(self, loaded_at: datetime) -> Balance:
        """Let go what the source no longer has; counts per tenant."""
        if not self._looks_for_absent:
            return Balance()
        deleted = self.job.target.deleted
        if self._is_soft and deleted is not None:
            settings = {deleted: sql.SQL("true"), **self._stamps(loaded_at)}
            gone = sql.SQL("with gone as (update {} as t set {} where {} returning {} as tenant_id)").format(
                self._table, assigned(settings), self._is_absent(), self._tenant_text(t)
            )
        else:
            delete = sql.SQL("delete from {} as t where {}").format(self._table, self._is_absent())
            gone = sql.SQL("{}, marked as ({})").format(self._gone(delete), self._marks())
        found = self._session.execute(sql.SQL("{} select tenant_id, count(*) from gone group by 1").format(gone))
        return Balance({tenant_id: Counts(removed_rows=rows) for tenant_id, rows in found})

    def _marking(self, delete: Composable) -> sql.Composed:
        """The deletion, and a marker for each row that it takes: as many rows are written as were deleted."""
        return sql.SQL("{} {}").format(self._gone(delete), self._marks())

    def _gone(self, delete: Composable) -> Composable:
        version = self.job.target.version
        return sql.SQL("with gone as ({} returning {} as tenant_id, {} as key, {} as version)").format(
            delete,
            self._tenant_text(t),
            self._key_text(t),
            t(version) if version is not None else sql.SQL("null::timestamptz"),
        )

    def _marks(self) -> Composable:
        return sql.SQL(
            "insert into syncline.deleted as mark (job_id, tenant_id, key, version, source_as_of, batch_id)"
            " select {job}, tenant_id, key, version, {as_of}, {batch} from gone"
            " on conflict (job_id, tenant_id, key) do update set version = excluded.version,"
            " source_as_of = greatest(mark.source_as_of, excluded.source_as_of), batch_id = excluded.batch_id,"
            " deleted_at = now()"
        ).format(job=sql.Literal(self.job.id), as_of=self._as_of(), batch=sql.Literal(self.batch.batch_id))

    def _is_absent(self) -> Composable:
        present = self._keys if self.batch.mode is Mode.INCREMENTAL else self._staged  # flagged ones too
        parts = [
            self._alive(),
            sql.SQL("not exists (select from {} as s where {})").format(present, self._same_key()),
        ]
        if self.batch.repair is not None:
            parts.append(in_hashes(self.key(), self.batch.repair.delete))
        if self.batch.difference is not None:
            number = range_of(self.key(), self.batch.difference.bits)
            parts.append(sql.SQL("{} in (select range from {})").format(number, self._ranges))
        if version := self.job.target.version:  # what another hand has written since the source was read is not judged
            parts.append(
                sql.SQL("({v} is null or {v} <= {as_of} or not {by_another})").format(
                    v=t(version), as_of=self._as_of(), by_another=self._is_by_another()
                )
            )
        return sql.SQL(" and ").join(parts)

    def _is_by_another(self) -> Composable:
        """Whether a row stands as another hand wrote it, not an earlier batch of this job.

        To a repair only other jobs are other hands: a version that no batch wrote is what it is there to undo.
        """
        standing = sql.SQL("not in" if self.batch.repair is None else "in")
        return sql.SQL("(t.xmin {} (select by_xact from known_writes))").format(standing)

    @property
    def _looks_for_absent(self) -> bool:
        return self.job.finds_absent(self.batch.mode) and (
            self.batch.difference is None or self.batch.difference.differing_ranges > 0
        )

    def _make(self, table: Composable, columns: Composable) -> None:
        self._session.execute(sql.SQL("drop table if exists {}").format(table))
        self._session.execute(sql.SQL("create table {} ({})").format(table, columns))
        self._session.execute(sql.SQL("grant select on {} to {}").format(table, sql.Identifier(self.job.target.role)))
