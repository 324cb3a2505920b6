"""Load a staged batch in one guarded transaction, counted by outcome.

Every staged row is judged against the table as it stands; what differs is written; what was written is compared with
what was judged; a marker with the counts is left in the same transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import datetime

from psycopg import sql
from psycopg.sql import Composable
from psycopg.types.json import Jsonb

from syncline.adapters.failpoints import failpoint
from syncline.adapters.target.session import TargetSession, listed, s, t
from syncline.core.compile import DELETED, REJECT
from syncline.core.errors import TransientError
from syncline.core.values import Balance, Counts

WORK_MEM = "128MB"  # the join of 2 million staged rows stays in memory
log = logging.getLogger(__name__)


class Loading(TargetSession):
    """The one transaction that changes a target."""

    def load(self, tenants: Iterable[str], *, loaded_at: datetime, before_commit: Callable[[Balance], None]) -> Balance:
        """Load the staging table in one transaction; counts by outcome per tenant.

        Args:
            before_commit: Sees the counts while everything can still be rolled back, and raises if they are wrong.

        Raises:
            Fenced: A newer attempt of the job has entered; nothing was written.
            TenantRefused: The target does not grant a tenant of the batch.
            TransientError: Somebody else changed the table meanwhile; nothing was written.
        """
        with self._transaction("loading"):
            self._enter(tenants)
            if (earlier := self._marker()) is not None:  # committed by an older attempt while this one waited
                return earlier
            self._session.execute(sql.SQL("set local work_mem = {}").format(sql.Literal(WORK_MEM)))
            self._become_tenant()
            self._enums = self._find_enums()
            judged = self._judge()
            if not self.batch.is_dry_run:
                self._write(judged, loaded_at)
                self._session.execute("reset role")
                self._mark(judged)
            failpoint("load.before_commit")
            before_commit(judged)
        return judged

    def _judge(self) -> Balance:
        """The outcome of every staged row against the table as it stands, before anything is written."""
        statement = sql.SQL(
            "select {tenant}, {outcome}, count(*)\nfrom {staged} as s left join {table} as t on {key}\n"
            "where {reject} is null group by 1, 2"
        ).format(
            tenant=self._tenant_of_staged(),
            outcome=self._outcome(),
            staged=self._staged,
            table=self._table,
            key=self._same_key(),
            reject=s(REJECT),
        )
        judged: dict[str, dict[str, int]] = {}
        for tenant, outcome, rows in self._session.execute(statement):
            judged.setdefault(tenant, {})[f"{outcome}_rows"] = rows
        return Balance({tenant: Counts(**counts) for tenant, counts in judged.items()})

    def _outcome(self) -> Composable:
        target = self.job.target
        is_new = sql.SQL("{} is null").format(t(target.key[0]))
        if target.write == "append":
            return sql.SQL("case when {} then 'inserted' else 'unchanged' end").format(is_new)
        return sql.SQL(
            "case when {is_new} then case when {deleted} then 'unchanged' else 'inserted' end"
            " when {older} then 'superseded'"
            " when {deleted} then {delete} when {differs} then 'updated' else 'unchanged' end"
        ).format(
            is_new=is_new,
            deleted=s(DELETED),
            older=self._is_older(),
            differs=self._differs(),
            delete=sql.SQL("case when {} then 'unchanged' else 'deleted' end").format(t(target.deleted))
            if self._is_soft and target.deleted
            else sql.SQL("'deleted'"),
        )

    def _write(self, judged: Balance, loaded_at: datetime) -> None:
        """Write what was judged to differ. The numbers must agree: the judge counted, the statements wrote."""
        total = judged.total
        if self.job.target.write == "replace":
            self._remove_absent()
        for statement, expected in (
            (self._delete(loaded_at), total.deleted_rows),
            (self._update(loaded_at), total.updated_rows),
            (self._insert(loaded_at), total.inserted_rows),
        ):
            written = self._session.execute(statement).rowcount if expected else 0
            if written != expected:
                raise TransientError(
                    f"{self._doing('loading')}: {written} rows written where {expected} were judged: two rows of "
                    f"{self.job.source.table} have one key ({', '.join(self.job.source.key)}), or somebody else "
                    f"changes {self.job.target.table}. Rolled back, nothing was written"
                )

    def _remove_absent(self) -> None:
        """Replace: rows that the batch does not carry leave the table; readers see it at commit, all at once."""
        removed = self._session.execute(
            sql.SQL("delete from {} as t where not exists (select from {} as s where {} and not {})").format(
                self._table, self._staged, self._same_key(), s(DELETED)
            )
        ).rowcount
        log.info("absent rows removed job=%s batch=%d removed_rows=%d", self.job.id, self.batch.batch_id, removed)

    def _insert(self, loaded_at: datetime) -> sql.Composed:
        names = [*self.job.mapping.fields]
        return sql.SQL(
            "insert into {table} ({columns}) select {values} from {staged} as s"
            " where {reject} is null and not {deleted} and not exists (select from {table} as t where {key})"
        ).format(
            table=self._table,
            staged=self._staged,
            reject=s(REJECT),
            deleted=s(DELETED),
            key=self._same_key(),
            columns=listed(sql.Identifier(name) for name in [*names, *self._stamps(loaded_at)]),
            values=listed([*(self._value(name) for name in names), *self._stamps(loaded_at).values()]),
        )

    def _update(self, loaded_at: datetime) -> sql.Composed:
        changed = [name for name in self.job.mapping.fields if name not in self.job.target.key]
        settings = {name: self._value(name) for name in changed} | self._stamps(loaded_at)
        if self._is_soft and self.job.target.deleted:
            settings[self.job.target.deleted] = sql.SQL("false")
        return sql.SQL(
            "update {table} as t set {settings} from {staged} as s where {key} and {reject} is null"
            " and not {deleted} and not {older} and {differs}"
        ).format(
            table=self._table,
            staged=self._staged,
            key=self._same_key(),
            reject=s(REJECT),
            deleted=s(DELETED),
            older=self._is_older(),
            differs=self._differs(),
            settings=_settings(settings),
        )

    def _delete(self, loaded_at: datetime) -> sql.Composed:
        which = sql.SQL("{key} and {reject} is null and {deleted} and not {older}").format(
            key=self._same_key(), reject=s(REJECT), deleted=s(DELETED), older=self._is_older()
        )
        deleted, version = self.job.target.deleted, self.job.target.version
        if not self._is_soft or deleted is None:
            return sql.SQL("delete from {} as t using {} as s where {}").format(self._table, self._staged, which)
        settings = {deleted: sql.SQL("true")} | self._stamps(loaded_at)
        if version is not None:
            settings[version] = s(version)
        return sql.SQL("update {} as t set {} from {} as s where {} and {} is not true").format(
            self._table, _settings(settings), self._staged, which, t(deleted)
        )

    def _mark(self, judged: Balance) -> None:
        counts = {tenant: asdict(row) for tenant, row in judged.tenants.items()}
        self._session.execute(
            "insert into syncline.marker (batch_id, job_id, epoch, counts) values (%s, %s, %s, %s)",
            [self.batch.batch_id, self.job.id, self.batch.epoch, Jsonb(counts)],
        )

    def _is_older(self) -> Composable:
        """Law 5: late is not newer. Unknown versions do not decide."""
        version = self.job.target.version
        if version is None:
            return sql.SQL("false")
        return sql.SQL("coalesce({} > {}, false)").format(t(version), s(version))

    def _differs(self) -> Composable:
        names = [name for name in self.job.mapping.fields if name not in self.job.target.key]
        parts: list[Composable] = [sql.SQL("{} is distinct from {}").format(t(n), self._value(n)) for n in names]
        # A month equals 30 days to PostgreSQL, and is another interval.
        spelt = [name for name in names if self.job.mapping.fields[name].type.name == "interval"]
        parts += [sql.SQL("{}::text is distinct from {}::text").format(t(n), s(n)) for n in spelt]
        if self._is_soft and self.job.target.deleted:
            parts.append(t(self.job.target.deleted))
        return sql.SQL("({})").format(sql.SQL(" or ").join(parts)) if parts else sql.SQL("false")

    def _stamps(self, loaded_at: datetime) -> dict[str, Composable]:
        stamps = self.job.target.stamps
        filled: dict[str, Composable] = {}
        if stamps.batch is not None:
            filled[stamps.batch] = sql.Literal(self.batch.batch_id)
        if stamps.loaded_at is not None:
            filled[stamps.loaded_at] = sql.SQL("{}::timestamptz").format(sql.Literal(loaded_at.isoformat()))
        return filled


def _settings(settings: dict[str, Composable]) -> Composable:
    return listed(sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in settings.items())
