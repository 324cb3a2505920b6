"""Stage a batch: a stream of binary COPY into an unlogged table of its own, schema `staged`, and what is refused there.

The loader owns its staging tables and nothing else at the target. A crash of the server empties them; they are filled
again from the source.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from psycopg import sql
from psycopg.sql import Composable

from syncline.adapters.failpoints import failpoint
from syncline.adapters.source import tenant_name
from syncline.adapters.target.session import TargetSession, listed, s
from syncline.core.compile import REJECT, CompiledMapping, payload
from syncline.core.errors import TransientError

LETTERS_AT_ONCE = 1_000
LEFTOVERS = """
    select relname from pg_class
    where relnamespace = to_regnamespace('staged') and relkind = 'r'
      and pg_get_userbyid(relowner) = current_user
      and substring(relname from '^' || %(job)s || '__([0-9]+)(?:__[rkp])?$')::bigint < %(batch)s
"""
# A role counts with all that it may become by SET ROLE. Permissive policies add up: one open door is enough.
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Letter:
    """One rejected row on its way to the dead letters. `payload` is personal data: seal it, never log it."""

    tenant_id: str
    source_key: tuple[str | None, ...]
    target_key: tuple[str, ...] | None
    errors: tuple[str, ...]
    payload: bytes


class Staging(TargetSession):
    """Fill, settle, count and drop the staging table of a batch."""

    def stage(self, compiled: CompiledMapping, blocks: Iterable[bytes]) -> None:
        """Fill a fresh staging table from a binary COPY stream; a leftover of an earlier attempt is dropped.

        The fence stands here too: an overtaken attempt that came to life again would put its older rows under the
        newer one's name, and the newer one would load them as its own.
        """
        with self._transaction("staging"):
            self._enter(())
            self._make_staging(compiled)
            self._copy_in(self._staged, blocks)
            failpoint("extract.before_commit")

    def make_staging(self, compiled: CompiledMapping) -> None:
        """A fresh staging table for parts that several sessions stage."""
        with self._transaction("making the staging table"):
            self._enter(())
            self._make_staging(compiled)
            self._session.execute(
                sql.SQL("create unlogged table {} (number integer primary key, sent_rows bigint)").format(self._parts)
            )

    def stage_part(self, number: int, blocks: Iterable[bytes], sent_rows: Callable[[], int]) -> None:
        """Stage one part, unless it is: then whoever did so died before it could say so.

        The fence is asked at the end: its lock is one for all sessions of the job, and they are to work side by side.
        """
        with self._transaction("staging a part"):
            noted = sql.SQL("insert into {} (number) values ({}) on conflict do nothing")
            if not self._session.execute(noted.format(self._parts, sql.Literal(number))).rowcount:
                return
            self._copy_in(self._staged, blocks)
            self._session.execute(
                sql.SQL("update {} set sent_rows = {} where number = {}").format(
                    self._parts, sql.Literal(sent_rows()), sql.Literal(number)
                )
            )
            self._enter(())
            failpoint("extract.before_commit")

    def sent_rows(self) -> int:
        """What the source sent, in all parts."""
        with self._transaction("looking at the staging table"):
            row = self._session.execute(
                sql.SQL("select coalesce(sum(sent_rows), 0) from {}").format(self._parts)
            ).fetchone()
        return int(row[0]) if row else 0

    def _make_staging(self, compiled: CompiledMapping) -> None:
        self._session.execute(sql.SQL("drop table if exists {}, {}").format(self._staged, self._parts))
        self._session.execute(
            sql.SQL("create unlogged table {} ({}) with (autovacuum_enabled = false)").format(
                self._staged, compiled.staging_columns
            )
        )
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
            if not self._has_staging():
                return False
            counted = self._session.execute(sql.SQL("select count(*) from {}").format(self._staged)).fetchone()
        return counted is not None and counted[0] == rows

    def count_staged(self) -> dict[str, tuple[int, int]]:
        """Tenant -> (rows staged, rows rejected), counted in the staging table."""
        statement = sql.SQL(
            "select {tenant}, count(*) filter (where {reject} is null), count(*) filter (where {reject} is not null)"
            " from {staged} as s group by 1"
        ).format(tenant=self._tenant_of_staged(), reject=s(REJECT), staged=self._staged)
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
            source_key=listed(
                sql.SQL("{} #>> {}").format(s(REJECT), sql.Literal(["payload", c])) for c in self.job.source.key
            ),
            target_key=listed(sql.SQL("{}::text").format(s(c)) for c in self.job.target.key),
            reject=s(REJECT),
            staged=self._staged,
        )
        with self._transaction("reading rejected rows"), self._session.cursor(name="letters") as cursor:
            cursor.execute(statement)
            while rows := cursor.fetchmany(LETTERS_AT_ONCE):
                yield [_letter(row) for row in rows]

    def drop_staging(self) -> None:
        with self._transaction("dropping the staging table"):
            self._session.execute(
                sql.SQL("drop table if exists {}, {}, {}, {}").format(
                    self._staged, self._ranges, self._keys, self._parts
                )
            )

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

    def _refuse_foreign_tenants(self, tenant_column: str) -> None:
        refused = self._refused_tenants(tenant_column)
        if not refused:
            return
        self._session.execute(
            sql.SQL(
                "update {staged} as s set {rejects} = {rejected}"
                " where {reject} is null and coalesce({tenant}::text, '') = any({refused}::text[])"
            ).format(
                staged=self._staged,
                rejects=sql.Identifier(REJECT),
                rejected=self._rejected(sql.Literal(f"{tenant_column}:not_granted")),
                reject=s(REJECT),
                refused=sql.Literal(refused),
                tenant=s(tenant_column),
            )
        )

    def _rejected(self, said: Composable) -> Composable:
        """What stands in the reject of a row that looked good, for one reason that is SQL.

        The payload is the mapped row and its source key: what was read is not kept for such rows.
        """
        fields = self.job.mapping.fields
        source_key = listed(
            part
            for name in self.job.target.key
            for part in (sql.Literal(fields[name].from_), s(name))  # spelt as the payload of other rejects
        )
        return sql.SQL(
            "jsonb_build_object('errors', jsonb_build_array({said}::text),"
            " 'payload', {payload} || jsonb_build_object({source_key}))"
        ).format(
            said=said,
            payload=payload("s", {name: spec.type for name, spec in fields.items()}),
            source_key=source_key,
        )

    def _refused_tenants(self, tenant_column: str) -> list[str]:
        """Tenants of the batch that the target does not grant to the job. '' and '*' are no tenants' names."""
        statement = sql.SQL(
            "select tenant from (select distinct coalesce({tenant}::text, '') from {staged} as s"
            " where {reject} is null) as asked (tenant) where tenant in ('', '*') or not exists"
            " (select from syncline.job_tenant as g where g.job_id = {job} and g.tenant_id in (tenant, '*'))"
        ).format(tenant=s(tenant_column), staged=self._staged, reject=s(REJECT), job=sql.Literal(self.job.id))
        return [row[0] for row in self._session.execute(statement)]

    def _collapse_equal_keys(self) -> dict[str, int]:
        """Only a mapping that changes its key can make keys meet; a plain key is unique in the source already."""
        if not any(self.job.mapping.fields[name].steps for name in self.job.target.key):
            return {}
        version = self.job.target.version
        newest = sql.SQL("{} desc nulls last, ").format(s(version)) if version else sql.SQL("")
        statement = sql.SQL(
            "with ranked as (select s.ctid as place, {tenant} as tenant, row_number() over"
            " (partition by {key} order by {newest}s.ctid) as rank from {staged} as s where {reject} is null),"
            " gone as (delete from {staged} as s using ranked where s.ctid = ranked.place and rank > 1"
            " returning ranked.tenant) select tenant, count(*) from gone group by 1"
        ).format(
            tenant=self._tenant_of_staged(),
            key=listed(s(name) for name in self.job.target.key),
            newest=newest,
            staged=self._staged,
            reject=s(REJECT),
        )
        return dict(self._session.execute(statement).fetchall())


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
