"""Load a staged batch in one guarded transaction, counted by outcome.

Every staged row is judged against the table as it stands; what differs is written; what was written is compared with
what was judged; a marker with the counts is left in the same transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import asdict
from datetime import datetime

from psycopg import sql
from psycopg.sql import Composable
from psycopg.types.json import Jsonb

from syncline.adapters.connections import WORK_MEM
from syncline.adapters.failpoints import failpoint
from syncline.adapters.target.absent import Absent
from syncline.adapters.target.session import assigned, listed, s, t
from syncline.core.compile import DELETED, REJECT, VERSION
from syncline.core.errors import TransientError
from syncline.core.repair import guarded_fields
from syncline.core.values import Balance, Counts

LARGE_SHARE = 0.03  # of the target's size: beyond it a scan of the target is cheaper than looking rows up
# Outcome of a staged row, with its place and that of the row that it was judged against (of which table: partitions).
JUDGED = "create temp table judged (outcome text, place tid, stands_in oid, stands tid) on commit drop"
# Partitions and children have sizes of their own: such a table is never known to be empty.
EMPTY = """
    select from pg_class
    where oid = to_regclass(%s) and relkind = 'r' and not relhassubclass and pg_relation_size(oid) = 0
"""
log = logging.getLogger(__name__)


class Loading(Absent):
    """The one transaction that changes a target."""

    _has_newer_deletes = False
    _is_first = False  # no row stands in the table

    def load(self, tenants: Iterable[str], *, loaded_at: datetime, before_commit: Callable[[Balance], None]) -> Balance:
        """Load the staging table in one transaction; counts by outcome per tenant.

        Args:
            before_commit: Sees the counts while everything can still be rolled back, and raises if they are wrong.

        Raises:
            Fenced: A newer attempt of the job has entered; nothing was written.
            TenantRefused: The target does not grant a tenant of the batch.
            TransientError: Somebody else changed the table meanwhile; nothing was written.
            RowRefused: A row is refused; nothing was written. `load_apart` finds out which.
        """
        with self._transaction("loading"):
            if (earlier := self._begin(tenants)) is not None:
                return earlier
            self._analyse_if_large()
            self._act_as_tenant()
            judged = self._judge()
            # A dry run writes too, and takes it back: what the target refuses, only the target can say.
            with self._session.transaction(force_rollback=True) if self.batch.is_dry_run else nullcontext():
                removed = self._remove_absent(loaded_at)
                self._write(judged, loaded_at)
                if self.batch.is_dry_run:
                    self._session.execute("set constraints all immediate")
            self._session.execute("reset role")
            judged = judged.merged(removed)
            if not self.batch.is_dry_run:
                self._agree()
                self._mark(judged)
            failpoint("load.before_commit")
            before_commit(judged)
        return judged

    def _begin(self, tenants: Iterable[str]) -> Balance | None:
        """Pass the fence; the marker's counts where an older attempt committed while this one waited."""
        self._enter(tenants)
        earlier = self._marker()
        if earlier is None:
            self._session.execute(sql.SQL("set local work_mem = {}").format(sql.Literal(WORK_MEM)))
            self._note_writes()
            self._session.execute(JUDGED)
            self._session.execute(
                sql.SQL("grant select, insert, delete on judged to {}").format(sql.Identifier(self.job.target.role))
            )
        return earlier

    def _analyse_if_large(self) -> None:
        """Have the planner know that nearly all rows are good, and how wide; else it thinks of one in 200, and of kB.

        Of a small batch it is right to look each row up in the target's index, and with statistics it would not.
        """
        staged_bytes = self._size_of(self._staged)
        self._become_tenant()  # the login may not even see the table's schema
        target_bytes = self._size_of(self._table)
        self._session.execute("reset role")
        if staged_bytes > LARGE_SHARE * target_bytes:
            self._session.execute("set local default_statistics_target = 10")  # 3,000 rows: a few milliseconds
            self._session.execute(sql.SQL("analyze {}").format(self._staged))

    def _act_as_tenant(self) -> None:
        """From here on row-level security binds the transaction; what the statements depend on is looked up."""
        self._become_tenant()
        self._enums = self._find_enums()
        if not self._has_scope:
            return
        newer = self._session.execute(
            sql.SQL("select from syncline.deleted as gone where gone.job_id = {} and {} limit 1").format(
                sql.Literal(self.job.id), self._is_later()
            )
        )
        self._has_newer_deletes = newer.rowcount > 0
        empty = self._session.execute(EMPTY, [self._table.as_string(None)])
        self._is_first = empty.rowcount > 0

    def _judge(self) -> Balance:
        """The outcome of every staged row against the table as it stands, before anything is written.

        Where rows are to be written, both their places are kept, so that the tables are joined once. The rows of a
        first load are all new; they need no place.
        """
        statement = sql.SQL(
            "with judged as (select {tenant} as tenant, {outcome} as outcome, {place} as place,\n"
            "    t.tableoid as stands_in, t.ctid as stands\n"
            "  from {staged} as s left join {table} as t on {key} where {reject} is null),\n"
            "kept as (insert into judged (outcome, place, stands_in, stands)\n"
            "  select outcome, place, stands_in, stands from judged\n"
            "  where outcome = any({written}))\n"
            "select tenant, outcome, count(*) from judged group by 1, 2"
        ).format(
            written=sql.Literal(["deleted", "updated", *([] if self._is_first else ["inserted"])]),
            place=self._place,
            tenant=self._tenant_of_staged(),
            outcome=self._outcome(),
            staged=self._staged,
            table=self._table,
            key=self._same_key(),
            reject=s(REJECT),
        )
        self._session.execute("delete from judged")
        judged: dict[str, dict[str, int]] = {}
        for tenant, outcome, rows in self._session.execute(statement):
            judged.setdefault(tenant, {})[f"{outcome}_rows"] = rows
        return Balance({tenant: Counts(**counts) for tenant, counts in judged.items()})

    def _outcome(self) -> Composable:
        target = self.job.target
        is_new = sql.SQL("{} is null").format(t(target.key[0]))
        if target.write == "append":
            return sql.SQL("case when not {} then 'unchanged' when {} then 'superseded' else 'inserted' end").format(
                is_new, self._is_gone()
            )
        return sql.SQL(
            "case when {is_new} then case when {deleted} then 'unchanged' when {gone} then 'superseded'"
            " when {guards} then 'conflicted' else 'inserted' end"
            " when {older} then 'superseded' when {guarded} then 'conflicted'"
            " when {deleted} then {delete} when {differs} then 'updated' else 'unchanged' end"
        ).format(
            is_new=is_new,
            gone=self._is_gone(),
            deleted=s(DELETED),
            older=self._is_older(),
            guards=sql.Literal(bool(self._guarded)),
            guarded=self._touches_guarded(),
            differs=self._differs(),
            delete=sql.SQL("case when {} then 'unchanged' else 'deleted' end").format(t(target.deleted))
            if self._is_soft and target.deleted
            else sql.SQL("'deleted'"),
        )

    def _write(self, judged: Balance, loaded_at: datetime) -> None:
        """Write what was judged to differ. The numbers must agree: the judge counted, the statements wrote."""
        total = judged.total
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

    def _insert(self, loaded_at: datetime) -> sql.Composed:
        names = [*self.job.mapping.fields]
        chosen = sql.SQL("join judged as j on j.place = {} where j.outcome = 'inserted'").format(self._place)
        if self._is_first:
            chosen = sql.SQL("where {} is null and not {} and not {}").format(s(REJECT), s(DELETED), self._is_gone())
        return sql.SQL("insert into {table} ({columns}) select {values} from {staged} as s {chosen}").format(
            table=self._table,
            staged=self._staged,
            chosen=chosen,
            columns=listed(sql.Identifier(name) for name in [*names, *self._stamps(loaded_at)]),
            values=listed([*(self._value(name) for name in names), *self._stamps(loaded_at).values()]),
        )

    def _update(self, loaded_at: datetime) -> sql.Composed:
        changed = [name for name in self.job.mapping.fields if name not in self.job.target.key]
        settings = {name: self._value(name) for name in changed} | self._stamps(loaded_at)
        if self._is_soft and self.job.target.deleted:
            settings[self.job.target.deleted] = sql.SQL("false")
        return sql.SQL("update {} as t set {} from {}").format(self._table, assigned(settings), self._judged("updated"))

    def _delete(self, loaded_at: datetime) -> sql.Composed:
        chosen = self._judged("deleted")
        deleted, version = self.job.target.deleted, self.job.target.version
        if not self._is_soft or deleted is None:
            return self._marking(sql.SQL("delete from {} as t using {}").format(self._table, chosen))
        settings = {deleted: sql.SQL("true")} | self._stamps(loaded_at)
        if version is not None:
            settings[version] = s(version)
        return sql.SQL("update {} as t set {} from {}").format(self._table, assigned(settings), chosen)

    def _judged(self, outcome: str) -> Composable:
        """Staged rows of an outcome, each with the row of the table that it was judged against."""
        return sql.SQL(
            "{} as s join judged as j on j.place = {}"
            " where t.ctid = j.stands and t.tableoid = j.stands_in and {} and j.outcome = {}"
        ).format(self._staged, self._place, self._same_key(), sql.Literal(outcome))

    def _mark(self, judged: Balance) -> None:
        counts = {tenant: asdict(row) for tenant, row in judged.tenants.items()}
        self._session.execute(
            "insert into syncline.marker (batch_id, job_id, epoch, counts) values (%s, %s, %s, %s)",
            [self.batch.batch_id, self.job.id, self.batch.epoch, Jsonb(counts)],
        )

    def _note_writes(self) -> None:
        """For `_is_by_another`, the transactions of this job's batches, or for a repair of the other jobs'.

        The tenant role may not read all markers.
        """
        if self.job.target.version is None:
            return
        self._session.execute("create temp table known_writes (by_xact xid) on commit drop")
        self._session.execute(
            "insert into known_writes select xmin from syncline.marker where (job_id = %s) = %s and batch_id < %s",
            [self.job.id, self.batch.repair is None, self.batch.batch_id],
        )
        self._session.execute(
            sql.SQL("grant select on known_writes to {}").format(sql.Identifier(self.job.target.role))
        )

    def _is_older(self) -> Composable:
        """Law 5: late is not newer. Unknown versions do not decide.

        Nor do versions decide over a row that stands as an earlier batch of this job wrote it: the fence puts this
        batch's snapshot after that one's, so a version that went back is a clock of the source that did.
        """
        if self.job.target.side_table or self.job.target.version is None:
            return self._is_newer()
        return sql.SQL("({} and {})").format(self._is_newer(), self._is_by_another())

    def _agree(self) -> None:
        """Keep the version of each row that this batch brought, unless another job's is newer."""
        if not self.job.target.side_table:
            return
        self._become_tenant()
        parts = {
            "relation": sql.Literal(self.job.target.table),
            "tenant": self._tenant_text(s),
            "key": self._key_text(s),
            "version": s(VERSION),
            "job": sql.Literal(self.job.id),
            "batch": sql.Literal(self.batch.batch_id),
            "staged": self._staged,
            "good": sql.SQL("{} is null and not {} and {} is not null").format(s(REJECT), s(DELETED), s(VERSION)),
        }
        self._session.execute(
            sql.SQL(
                "insert into syncline.agreed as a (relation, tenant_id, key, version, job_id, batch_id)"
                " select {relation}, {tenant}, {key}, {version}, {job}, {batch} from {staged} as s where {good}"
                " on conflict (relation, tenant_id, key) do update set version = excluded.version,"
                " job_id = excluded.job_id, batch_id = excluded.batch_id"
                " where a.version <= excluded.version or a.job_id = excluded.job_id"
            ).format(**parts)
        )
        self._session.execute("reset role")

    @property
    def _guarded(self) -> list[str]:
        """Fields that this batch may not write: those of a repair that was not approved for them."""
        repair = self.batch.repair
        return [] if repair is None or repair.with_critical else guarded_fields(self.job)

    def _touches_guarded(self) -> Composable:
        return _any_of(self._distinct(self._guarded))

    def _is_gone(self) -> Composable:
        """Whether the row was deleted after this batch had read it: what is older does not bring it back."""
        if not self._has_newer_deletes:
            return sql.SQL("false")
        return sql.SQL(
            "exists (select from syncline.deleted as gone where gone.job_id = {} and gone.tenant_id = {}"
            " and gone.key = {} and {})"
        ).format(sql.Literal(self.job.id), self._tenant_text(s), self._key_text(s), self._is_later())

    def _is_later(self) -> Composable:
        """Of a marker: its deletion was seen after this batch read. An earlier batch's was not, whatever clocks say."""
        return sql.SQL("gone.source_as_of > {} and gone.batch_id not between 1 and {}").format(
            self._as_of(), sql.Literal(self.batch.batch_id)
        )

    def _differs(self) -> Composable:
        parts = self._distinct([name for name in self.job.mapping.fields if name not in self.job.target.key])
        if self._is_soft and self.job.target.deleted:
            parts.append(t(self.job.target.deleted))
        return _any_of(parts)

    def _distinct(self, names: list[str]) -> list[Composable]:
        """For each of some fields, that both sides have another value."""
        parts: list[Composable] = [sql.SQL("{} is distinct from {}").format(t(n), self._value(n)) for n in names]
        # A month equals 30 days to PostgreSQL, and is another interval.
        spelt = [name for name in names if self.job.mapping.fields[name].type.name == "interval"]
        return parts + [sql.SQL("{}::text is distinct from {}::text").format(t(n), s(n)) for n in spelt]


def _any_of(conditions: list[Composable]) -> Composable:
    return sql.SQL("({})").format(sql.SQL(" or ").join(conditions)) if conditions else sql.SQL("false")
