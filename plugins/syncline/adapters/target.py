"""Write a PostgreSQL target: stage a batch, load it in one guarded transaction, count what stands there.

A batch is streamed into an unlogged staging table of its own, schema `staged`. The load is one transaction: it
passes the job's fence and opens the tenant scope (`syncline.enter`), becomes the tenant role, judges every staged
row against the table, writes what differs, compares what was written with what was judged, and leaves a marker.
Row-level security is the tenant boundary; nothing here adds a tenant filter of its own to a write.

Counting for reconciliation happens here too, but never from the loader's numbers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime

import psycopg
from psycopg import sql
from psycopg.sql import Composable
from psycopg.types.json import Jsonb

from syncline.adapters import connections
from syncline.adapters.catalog import read_catalog
from syncline.adapters.failpoints import failpoint
from syncline.adapters.failures import telling
from syncline.adapters.source import tenant_name
from syncline.core.catalogs.fitting_target import fit_target
from syncline.core.compile import DELETED, REJECT, CompiledMapping, payload
from syncline.core.errors import EnvironmentFailure, Fenced, SchemaDrift, TenantRefused, TransientError
from syncline.core.job import SyncJob
from syncline.core.models import table_identifier
from syncline.core.values import NO_TENANT, Balance, Batch, Counts

FENCED, TENANT_REFUSED = "SY001", "SY002"  # include/target/001_corridor.sql
WORK_MEM = "128MB"  # the join of 2 million staged rows stays in memory
LETTERS_AT_ONCE = 1_000
LEFTOVERS = """
    select relname from pg_class
    where relnamespace = to_regnamespace('staged') and relkind = 'r'
      and pg_get_userbyid(relowner) = current_user
      and substring(relname from '^' || %(job)s || '__([0-9]+)$')::bigint < %(batch)s
"""
# A role counts with all that it may become by SET ROLE. Permissive policies add up: one open door is enough.
BOUNDARY = """
    select bool_or(r.rolsuper or r.rolbypassrls), bool_or(r.oid = c.relowner),
           bool_and(c.relrowsecurity and c.relforcerowsecurity),
           exists (
               select from pg_policy as p, unnest(p.polroles) as bound
               cross join lateral (values (p.polqual), (p.polwithcheck)) as rule (tree)
               where p.polrelid = to_regclass(%(table)s) and p.polpermissive and rule.tree is not null
                 and (bound = 0 or pg_has_role(%(role)s, bound, 'usage'))
                 and pg_get_expr(rule.tree, p.polrelid) not like '%%scoped_tenants()%%'),
           bool_or(c.relrowsecurity) and not exists (
               select from pg_policy as p, unnest(p.polroles) as bound
               where p.polrelid = to_regclass(%(table)s) and p.polpermissive
                 and (bound = 0 or pg_has_role(%(role)s, bound, 'usage')))
    from pg_class as c, pg_roles as r
    where c.oid = to_regclass(%(table)s)
      and (pg_has_role(session_user, r.oid, 'member') or pg_has_role(%(role)s, r.oid, 'member'))
"""

UNFORCED = "the table has not both ENABLE and FORCE ROW LEVEL SECURITY"
CORRIDOR = """
    select session_user, r.oid is not null, coalesce(pg_has_role(session_user, r.oid, 'member'), false),
           exists (select from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
                   where n.nspname = 'syncline' and p.proname = 'enter') and s.oid is not null,
           coalesce(has_schema_privilege(session_user, s.oid, 'create'), false)
    from (values (1)) as once
    left join pg_roles as r on r.rolname = %(role)s
    left join pg_namespace as s on s.nspname = 'staged'
"""

log = logging.getLogger(__name__)
Column = Callable[[str], Composable]


@dataclass(frozen=True)
class Letter:
    """One rejected row on its way to the dead letters. `payload` is personal data: seal it, never log it."""

    tenant_id: str
    source_key: tuple[str | None, ...]
    target_key: tuple[str, ...] | None
    errors: tuple[str, ...]
    payload: bytes


@dataclass(frozen=True)
class DeadKey:
    """The target key of a row that waits in dead letters."""

    dead_letter_id: int
    batch_id: int
    tenant_id: str
    target_key: tuple[str, ...] | None


class Target:
    """A session on a job's target for one batch. Made by `writing`; each method is a transaction of its own."""

    def __init__(self, job: SyncJob, batch: Batch, session: psycopg.Connection) -> None:
        self.job, self.batch, self._session = job, batch, session
        self._table = table_identifier(job.target.table)
        self._staged = sql.Identifier("staged", f"{job.id}__{batch.batch_id}")
        self._enums: dict[str, Composable] = {}  # target column -> its enumeration, as the load found them

    # -- staging ------------------------------------------------------------------------------------------

    def stage(self, compiled: CompiledMapping, blocks: Iterable[bytes]) -> None:
        """Fill a fresh staging table from a binary COPY stream; a leftover of an earlier attempt is dropped.

        The fence stands here too: an overtaken attempt that came to life again would put its older rows under the
        newer one's name, and the newer one would load them as its own.
        """
        with self._transaction("staging"):
            self._enter(())
            self._session.execute(sql.SQL("drop table if exists {}").format(self._staged))
            self._session.execute(
                sql.SQL("create unlogged table {} ({}) with (autovacuum_enabled = false)").format(
                    self._staged, compiled.staging_columns
                )
            )
            copy = sql.SQL("copy {} from stdin (format binary)").format(self._staged)
            with self._session.cursor() as cursor, cursor.copy(copy) as rows:
                for block in blocks:
                    rows.write(block)
            self._session.execute(
                sql.SQL("grant select on {} to {}").format(self._staged, sql.Identifier(self.job.target.role))
            )

    def settle_staging(self) -> dict[str, int]:
        """Refuse what no transaction could load, so that it becomes dead letters; returns superseded rows.

        A tenant that the target does not grant rejects its rows (`tenant:not_granted`). Of rows with one key
        the newest stays; the others are superseded and leave the staging table.
        """
        with self._transaction("settling the staging table"):
            if self.job.tenant_column is not None:
                self._refuse_foreign_tenants(self.job.tenant_column)
            return self._collapse_equal_keys()

    def has_staged(self, rows: int) -> bool:
        """Whether the staging table still holds the rows of the ledger: it is unlogged, a crash empties it."""
        with self._transaction("looking at the staging table"):
            known = self._session.execute("select to_regclass(%s)", [self._staged.as_string(None)]).fetchone()
            if known is None or known[0] is None:
                return False
            counted = self._session.execute(sql.SQL("select count(*) from {}").format(self._staged)).fetchone()
        return counted is not None and counted[0] == rows

    def count_staged(self) -> dict[str, tuple[int, int]]:
        """Tenant -> (rows staged, rows rejected), counted in the staging table."""
        statement = sql.SQL(
            "select {tenant}, count(*) filter (where {reject} is null), count(*) filter (where {reject} is not null)"
            " from {staged} as s group by 1"
        ).format(tenant=self._tenant_of_staged(), reject=_s(REJECT), staged=self._staged)
        with self._transaction("counting the staging table"):
            counted: dict[str, tuple[int, int]] = {}
            for tenant, kept, rejected in self._session.execute(statement):
                so_far = counted.get(tenant_name(tenant), (0, 0))
                counted[tenant_name(tenant)] = (so_far[0] + kept, so_far[1] + rejected)
            return counted

    def letters(self) -> Iterator[list[Letter]]:
        """The rejected rows, in portions of bounded size."""
        statement = sql.SQL(
            "select {tenant}, array[{source_key}]::text[], array[{target_key}]::text[],"
            " array(select jsonb_array_elements_text({reject} -> 'errors')), ({reject} -> 'payload')::text"
            " from {staged} as s where {reject} is not null"
        ).format(
            tenant=self._tenant_of_staged(),
            source_key=_list(
                sql.SQL("{} #>> {}").format(_s(REJECT), sql.Literal(["payload", c])) for c in self.job.source.key
            ),
            target_key=_list(sql.SQL("{}::text").format(_s(c)) for c in self.job.target.key),
            reject=_s(REJECT),
            staged=self._staged,
        )
        with self._transaction("reading rejected rows"), self._session.cursor(name="letters") as cursor:
            cursor.execute(statement)
            while rows := cursor.fetchmany(LETTERS_AT_ONCE):
                yield [_letter(row) for row in rows]

    def drop_staging(self) -> None:
        with self._transaction("dropping the staging table"):
            self._session.execute(sql.SQL("drop table if exists {}").format(self._staged))

    def drop_leftovers(self) -> None:
        """Drop staging tables of the job's earlier batches: held or abandoned, they will never be loaded."""
        with self._transaction("looking for staging tables"):
            found = self._session.execute(LEFTOVERS, {"job": self.job.id, "batch": self.batch.batch_id}).fetchall()
        for (name,) in found:
            # One that a dying session still holds stays for the next batch.
            with suppress(TransientError), self._transaction("dropping an old staging table"):
                self._session.execute("set local lock_timeout = '1s'")
                self._session.execute(sql.SQL("drop table if exists {}").format(sql.Identifier("staged", name)))
                log.info("old staging table dropped job=%s table=%s", self.job.id, name)

    # -- loading ------------------------------------------------------------------------------------------

    def loaded(self) -> Balance | None:
        """The counts of the marker: proof that this batch was loaded, whatever became of the attempt."""
        with self._transaction("reading its marker"):
            return self._marker()

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

    def count_rows(self, tenants: Iterable[str]) -> dict[str, int]:
        """Rows of the final table per tenant, counted now, whoever wrote them; softly deleted ones are not."""
        target = self.job.target
        is_deleted: Composable = _t(target.deleted) if target.deleted else sql.SQL("false")
        tenant = sql.SQL("{}::text").format(_t(self.job.tenant_column)) if self.job.tenant_column else sql.Literal("")
        statement = sql.SQL("select {}, count(*) from {} as t where {} is not true group by 1").format(
            tenant, self._table, is_deleted
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
        """What became of waiting rows: letters that this batch settled, and per tenant those not in the target."""
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
                "select tenant, count(*) from waiting where id <> all(%s) and not exists"
                " (select from {} as t where {}) group by 1"
            ).format(self._table, self._same_key_as_waiting(_t, self.job.target.key))
            return settled, dict(self._session.execute(absent, [settled]).fetchall())

    # -- before anything ----------------------------------------------------------------------------------

    def preflight(self) -> None:
        """Stop before the first row: columns that do not fit, or a role that row-level security would not bind."""
        with self._transaction("looking at the target"):
            self._become_tenant()  # the login may not even see the table's schema
            self._look_at_columns()
            self._look_at_role()

    def _look_at_columns(self) -> None:
        target = self.job.target
        catalog = read_catalog(self._session, [target.table], role=target.role)
        wrong = [misfit.said for misfit in fit_target(self.job, catalog) if misfit.weight == "certain"]
        if wrong:
            raise SchemaDrift(
                f"{self.job.id}: {target.table} at '{target.connection}' differs from the mapping: "
                f"{'; '.join(wrong)}. Nothing was read or written. Mend the mapping or the table; "
                f"`syncline check --connect {self.job.id}` says how."
            )

    def _look_at_role(self) -> None:
        if self.job.tenant_column is None:
            return
        wrong = boundary_faults(self.job, self._session)
        self._session.execute("reset role")
        wrong += [f"{said} ({mend})" for said, mend in grant_faults(self.job, self._session)]
        if wrong:
            raise EnvironmentFailure(
                f"{self.job.id}: the tenant boundary of {self.job.target.table} is not the database's: "
                f"{'; '.join(wrong)}. Nothing was read or written. See include/target/README.md."
            )

    # -- inside one transaction ---------------------------------------------------------------------------

    def _enter(self, tenants: Iterable[str]) -> None:
        asked = [tenant for tenant in tenants if tenant != NO_TENANT]
        try:
            self._session.execute("select syncline.enter(%s, %s, %s)", [self.job.id, self.batch.epoch, asked])
        except psycopg.Error as error:
            if error.sqlstate == FENCED:
                raise Fenced(self.job.id, self.batch.batch_id, self.batch.epoch) from None
            if error.sqlstate == TENANT_REFUSED:
                raise TenantRefused(self.job.id, self.batch.batch_id) from None
            raise

    def _become_tenant(self) -> None:
        self._session.execute(sql.SQL("set local role {}").format(sql.Identifier(self.job.target.role)))

    def _find_enums(self) -> dict[str, Composable]:
        """Enumerations among the columns: PostgreSQL takes no text for one without a cast."""
        table = read_catalog(self._session, [self.job.target.table]).tables.get(self.job.target.table)
        columns = table.columns.values() if table is not None else ()
        return {column.name: sql.Identifier(*column.enum) for column in columns if column.enum is not None}

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
            reject=_s(REJECT),
        )
        judged: dict[str, dict[str, int]] = {}
        for tenant, outcome, rows in self._session.execute(statement):
            judged.setdefault(tenant, {})[f"{outcome}_rows"] = rows
        return Balance({tenant: Counts(**counts) for tenant, counts in judged.items()})

    def _outcome(self) -> Composable:
        target = self.job.target
        is_new = sql.SQL("{} is null").format(_t(target.key[0]))
        if target.write == "append":
            return sql.SQL("case when {} then 'inserted' else 'unchanged' end").format(is_new)
        return sql.SQL(
            "case when {is_new} then case when {deleted} then 'unchanged' else 'inserted' end"
            " when {older} then 'superseded'"
            " when {deleted} then {delete} when {differs} then 'updated' else 'unchanged' end"
        ).format(
            is_new=is_new,
            deleted=_s(DELETED),
            older=self._is_older(),
            differs=self._differs(),
            delete=sql.SQL("case when {} then 'unchanged' else 'deleted' end").format(_t(target.deleted))
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
                self._table, self._staged, self._same_key(), _s(DELETED)
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
            reject=_s(REJECT),
            deleted=_s(DELETED),
            key=self._same_key(),
            columns=_list(sql.Identifier(name) for name in [*names, *self._stamps(loaded_at)]),
            values=_list([*(self._value(name) for name in names), *self._stamps(loaded_at).values()]),
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
            reject=_s(REJECT),
            deleted=_s(DELETED),
            older=self._is_older(),
            differs=self._differs(),
            settings=_settings(settings),
        )

    def _delete(self, loaded_at: datetime) -> sql.Composed:
        which = sql.SQL("{key} and {reject} is null and {deleted} and not {older}").format(
            key=self._same_key(), reject=_s(REJECT), deleted=_s(DELETED), older=self._is_older()
        )
        deleted, version = self.job.target.deleted, self.job.target.version
        if not self._is_soft or deleted is None:
            return sql.SQL("delete from {} as t using {} as s where {}").format(self._table, self._staged, which)
        settings = {deleted: sql.SQL("true")} | self._stamps(loaded_at)
        if version is not None:
            settings[version] = _s(version)
        return sql.SQL("update {} as t set {} from {} as s where {} and {} is not true").format(
            self._table, _settings(settings), self._staged, which, _t(deleted)
        )

    def _marker(self) -> Balance | None:
        row = self._session.execute(
            "select counts from syncline.marker where batch_id = %s", [self.batch.batch_id]
        ).fetchone()
        return None if row is None else Balance({tenant: Counts(**counts) for tenant, counts in row[0].items()})

    def _mark(self, judged: Balance) -> None:
        counts = {tenant: asdict(row) for tenant, row in judged.tenants.items()}
        self._session.execute(
            "insert into syncline.marker (batch_id, job_id, epoch, counts) values (%s, %s, %s, %s)",
            [self.batch.batch_id, self.job.id, self.batch.epoch, Jsonb(counts)],
        )

    def _refuse_foreign_tenants(self, tenant_column: str) -> None:
        """The payload is the mapped row and its source key: what was read is not kept for rows that looked good."""
        refused = self._refused_tenants(tenant_column)
        if not refused:
            return
        fields = self.job.mapping.fields
        source_key = _list(
            part
            for name in self.job.target.key
            for part in (sql.Literal(fields[name].from_), sql.SQL("{}::text").format(_s(name)))
        )
        self._session.execute(
            sql.SQL(
                "update {staged} as s set {rejects} = jsonb_build_object('errors', jsonb_build_array({code}),"
                " 'payload', {payload} || jsonb_build_object({source_key}))"
                " where {reject} is null and coalesce({tenant}::text, '') = any({refused}::text[])"
            ).format(
                staged=self._staged,
                rejects=sql.Identifier(REJECT),
                code=sql.SQL("{}::text").format(sql.Literal(f"{tenant_column}:not_granted")),
                payload=payload("s", {name: spec.type for name, spec in fields.items()}),
                reject=_s(REJECT),
                source_key=source_key,
                refused=sql.Literal(refused),
                tenant=_s(tenant_column),
            )
        )

    def _refused_tenants(self, tenant_column: str) -> list[str]:
        """Tenants of the batch that the target does not grant to the job. '' and '*' are no tenants' names."""
        statement = sql.SQL(
            "select tenant from (select distinct coalesce({tenant}::text, '') from {staged} as s"
            " where {reject} is null) as asked (tenant) where tenant in ('', '*') or not exists"
            " (select from syncline.job_tenant as g where g.job_id = {job} and g.tenant_id in (tenant, '*'))"
        ).format(tenant=_s(tenant_column), staged=self._staged, reject=_s(REJECT), job=sql.Literal(self.job.id))
        return [row[0] for row in self._session.execute(statement)]

    def _collapse_equal_keys(self) -> dict[str, int]:
        """Only a mapping that changes its key can make keys meet; a plain key is unique in the source already."""
        if not any(self.job.mapping.fields[name].steps for name in self.job.target.key):
            return {}
        version = self.job.target.version
        newest = sql.SQL("{} desc nulls last, ").format(_s(version)) if version else sql.SQL("")
        statement = sql.SQL(
            "with ranked as (select s.ctid as place, {tenant} as tenant, row_number() over"
            " (partition by {key} order by {newest}s.ctid) as rank from {staged} as s where {reject} is null),"
            " gone as (delete from {staged} as s using ranked where s.ctid = ranked.place and rank > 1"
            " returning ranked.tenant) select tenant, count(*) from gone group by 1"
        ).format(
            tenant=self._tenant_of_staged(),
            key=_list(_s(name) for name in self.job.target.key),
            newest=newest,
            staged=self._staged,
            reject=_s(REJECT),
        )
        return dict(self._session.execute(statement).fetchall())

    def _settled_letters(self) -> list[int]:
        """Older letters whose row came through clean in this batch; none where the staging table is gone."""
        if not self._session.execute("select from waiting where not is_new limit 1").rowcount:
            return []
        known = self._session.execute("select to_regclass(%s)", [self._staged.as_string(None)]).fetchone()
        if known is None or known[0] is None:
            return []
        statement = sql.SQL(
            "select id from waiting where not is_new and exists (select from {} as s where {} is null and {})"
        ).format(self._staged, _s(REJECT), self._same_key_as_waiting(_s, self.job.target.key))
        return [row[0] for row in self._session.execute(statement)]

    # -- pieces of SQL ------------------------------------------------------------------------------------

    @property
    def _is_soft(self) -> bool:
        return self.job.on_delete == "soft"

    def _value(self, name: str) -> Composable:
        """A staged value as its column takes it."""
        return sql.SQL("{}::{}").format(_s(name), self._enums[name]) if name in self._enums else _s(name)

    def _same_key(self) -> Composable:
        return sql.SQL(" and ").join(sql.SQL("{} = {}").format(_t(name), _s(name)) for name in self.job.target.key)

    def _same_key_as_waiting(self, side: Column, key: tuple[str, ...]) -> Composable:
        types = self.job.mapping.fields
        return sql.SQL(" and ").join(
            sql.SQL("{} = (waiting.key[{}])::{}").format(side(name), sql.Literal(n), types[name].type.sql)
            for n, name in enumerate(key, start=1)
        )

    def _is_older(self) -> Composable:
        """Law 5: late is not newer. Unknown versions do not decide."""
        version = self.job.target.version
        if version is None:
            return sql.SQL("false")
        return sql.SQL("coalesce({} > {}, false)").format(_t(version), _s(version))

    def _differs(self) -> Composable:
        names = [name for name in self.job.mapping.fields if name not in self.job.target.key]
        parts: list[Composable] = [sql.SQL("{} is distinct from {}").format(_t(n), self._value(n)) for n in names]
        # A month equals 30 days to PostgreSQL, and is another interval.
        spelt = [name for name in names if self.job.mapping.fields[name].type.name == "interval"]
        parts += [sql.SQL("{}::text is distinct from {}::text").format(_t(n), _s(n)) for n in spelt]
        if self._is_soft and self.job.target.deleted:
            parts.append(_t(self.job.target.deleted))
        return sql.SQL("({})").format(sql.SQL(" or ").join(parts)) if parts else sql.SQL("false")

    def _stamps(self, loaded_at: datetime) -> dict[str, Composable]:
        stamps = self.job.target.stamps
        filled: dict[str, Composable] = {}
        if stamps.batch is not None:
            filled[stamps.batch] = sql.Literal(self.batch.batch_id)
        if stamps.loaded_at is not None:
            filled[stamps.loaded_at] = sql.SQL("{}::timestamptz").format(sql.Literal(loaded_at.isoformat()))
        return filled

    def _tenant_of_staged(self) -> Composable:
        """The tenant of a staged row; of one whose tenant could not be mapped, what its source said."""
        if self.job.tenant_column is None:
            return sql.Literal(NO_TENANT)
        return sql.SQL("coalesce({}::text, {} #>> {}, '')").format(
            _s(self.job.tenant_column), _s(REJECT), sql.Literal(["payload", self.job.source.tenant or ""])
        )

    @contextmanager
    def _transaction(self, what: str) -> Iterator[None]:
        """One transaction, all or nothing; what the driver says about it is told in our words."""
        with (
            telling(self._doing(what)),
            connections.naming_holders(
                self._doing(what), self.job.target.connection, self.job.target.table, "syncline.fence"
            ),
            self._session.transaction(),
        ):
            yield

    def _doing(self, what: str) -> str:
        return f"{self.job.id}: batch {self.batch.batch_id}: {what} at '{self.job.target.connection}'"


@contextmanager
def writing(job: SyncJob, batch: Batch, *, step: str) -> Iterator[Target]:
    """A session on the target for one step of one batch."""
    session = connections.connect(job.target.connection, purpose=f"{job.id} {step}", autocommit=True)
    with session:
        yield Target(job, batch, session)


def boundary_faults(job: SyncJob, session: psycopg.Connection) -> list[str]:
    """Why row-level security would not keep the job's tenants apart. The session acts as the target's role."""
    row = session.execute(BOUNDARY, {"table": job.target.table, "role": job.target.role}).fetchone()
    exempt, owner, forced, unscoped, shut = row or (True, True, False, True, True)
    told = (
        (exempt, "a role that loads is, or may become, a superuser or one with BYPASSRLS"),
        (owner, "a role that loads owns the table, or may become its owner"),
        (not forced, UNFORCED),
        (unscoped, f"a policy lets {job.target.role} in without syncline.scoped_tenants()"),
        (shut, f"no policy lets {job.target.role} in: it would see and write no row"),
    )
    return [said for is_wrong, said in told if is_wrong]


def grant_faults(job: SyncJob, session: psycopg.Connection) -> list[tuple[str, str]]:
    """Whether the target's owner lets the job touch any tenant, and how; asked as the login itself."""
    if job.tenant_column is None:
        return []
    row = session.execute("select from syncline.job_tenant where job_id = %s limit 1", [job.id]).fetchone()
    if row is not None:
        return []
    mend = f"add ('{job.id}', '*') to syncline.job_tenant, or a row for each tenant; '*' is all of them"
    return [("the job may touch no tenant at the target", mend)]


def corridor_faults(job: SyncJob, session: psycopg.Connection) -> list[tuple[str, str]]:
    """What the target does not lend yet, each with its remedy; asked as the login itself."""
    role = job.target.role
    row = session.execute(CORRIDOR, {"role": role}).fetchone()
    login, is_role, is_member, is_installed, may_stage = row or ("", False, False, False, False)
    if not is_installed:
        return [("schemas syncline and staged are missing", "the target's owner runs include/target/001_corridor.sql")]
    told = (
        (not is_role, f"role {role} does not exist", "see include/target/README.md"),
        (is_role and not is_member, f"login {login} may not become role {role}", f"grant {role} to {login};"),
        (not may_stage, f"login {login} may not create tables in schema staged",
         f"grant usage, create on schema staged to {login};"),
    )  # fmt: skip
    return [(said, mend) for is_wrong, said, mend in told if is_wrong]


def _letter(row: tuple[str, list[str | None], list[str | None], list[str], str | None]) -> Letter:
    tenant, source_key, target_key, errors, payload = row
    whole = tuple(part for part in target_key if part is not None)
    return Letter(
        tenant_id=tenant_name(tenant),
        source_key=tuple(source_key),
        target_key=whole if len(whole) == len(target_key) else None,
        errors=tuple(errors),
        payload=(payload or "{}").encode(),
    )


def _settings(settings: dict[str, Composable]) -> Composable:
    return _list(sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in settings.items())


def _list(parts: Iterable[Composable]) -> Composable:
    return sql.SQL(", ").join(parts)


def _s(name: str) -> Composable:
    return sql.Identifier("s", name)


def _t(name: str) -> Composable:
    return sql.Identifier("t", name)
