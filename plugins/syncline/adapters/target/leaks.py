"""Attack the tenant wall of a job's real target, as its own login and role, and leave nothing behind.

Each attack is written as a statement of the loader would be if somebody had broken it, runs with one tenant in scope
and goes for a row of another. It stands in a transaction that is rolled back whatever happens, touches one row at
most, waits a second for a lock and three for an answer. Keys of both tenants are read for it and go nowhere: neither
reports nor errors carry them. Two things a rollback does not undo: a number taken from a sequence, and what a trigger
of the table does outside the database.

Rights that no policy binds (TRUNCATE, ...) are looked up and not exercised: emptying a table would lock it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.sql import SQL, Composable, Composed

from syncline.adapters import connections
from syncline.adapters.failures import telling
from syncline.adapters.target.session import listed
from syncline.adapters.target.walls import FAMILY, REACHABLE, VIEWS, leading_past, wall_faults
from syncline.core.job import SyncJob
from syncline.core.leaks import Attempt, FamilyResult, Outcome
from syncline.core.models import table_identifier

# No right or past a policy, COPY under policies, no unique index to speak of, tenant not granted, no scope.
REFUSALS = ("42501", "0A000", "42P10", "SY002", "SY003")
IMPATIENT = ("55P03", "57014")
CANDIDATES_MAX = 500  # tenants that are asked for a row; each is one look into an index
OBJECTS_MAX = 50  # partitions, or views, that are tried one by one
TOLD = "syncline leakcheck: asked"
TELLS = sql.SQL("""
    set local client_min_messages = notice;
    create function pg_temp.syncline_tells(given text, sought text) returns boolean language plpgsql cost 0.0001
    as 'begin if given = sought then raise notice ''{}''; end if; return true; end'
""").format(sql.SQL(TOLD))
ROWS_MAX = 100  # of the two tenants, where a statement without its filter is tried
CAREFUL = """
    set statement_timeout = '3s';
    set idle_in_transaction_session_timeout = '30s';
"""
# Indexes that compare rows of all tenants. A column that the server alone fills (a sequence, a generated id) tells
# nothing of a tenant by being taken; expressions are columns '' here.
ACROSS = REACHABLE + sql.SQL("""
    select ic.relname::text,
        ic.relname || array(select part.relname::text from pg_partition_tree(ic.oid)
                            join pg_class as part on part.oid = relid),
        array_agg(coalesce(a.attname::text, '') order by k.place)
    from pg_index as i join pg_class as ic on ic.oid = i.indexrelid
    cross join lateral unnest(i.indkey::int2[]) with ordinality as k (attnum, place)
    left join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum and k.attnum <> 0
    where i.indrelid = (select oid from target) and (i.indisunique or i.indisexclusion) and k.place <= i.indnkeyatts
    group by ic.relname, ic.oid
    having not bool_or(coalesce(a.attname, '') = %(tenant)s)
       and not bool_and(a.attnum is not null and not a.attname = any(%(filled)s)
           and (a.attidentity <> '' or a.atthasdef))
    order by 1
""")
# References to rows that belong to tenants, made without the tenant: the server looks past every policy for them.
REFERENCES = REACHABLE + sql.SQL("""
    select con.conname::text, con.confrelid::regclass::text,
        array(select a.attname::text from unnest(con.conkey) with ordinality as k (attnum, place)
              join pg_attribute as a on a.attrelid = con.conrelid and a.attnum = k.attnum order by k.place)
    from pg_constraint as con join pg_class as p on p.oid = con.confrelid
    where con.conrelid = (select oid from target) and con.contype = 'f'
      and (p.relrowsecurity
           or exists (select from pg_attribute as a where a.attrelid = p.oid and a.attname = %(tenant)s))
      and not exists (select from unnest(con.conkey) as k (attnum) join pg_attribute as a
                      on a.attrelid = con.conrelid and a.attnum = k.attnum where a.attname = %(tenant)s)
    order by 1
""")
# Functions that the login or its role may call, that act as somebody whom policies do not bind, and speak of the table.
FUNCTIONS = REACHABLE + sql.SQL("""
    select p.oid::regprocedure::text, pg_get_userbyid(p.proowner)::text
    from pg_proc as p join pg_roles as o on o.oid = p.proowner cross join target as c
    where p.prosecdef and p.prorettype <> 'trigger'::regtype
      and p.prolang not in (select l.oid from pg_language as l where l.lanname in ('c', 'internal'))
      and p.pronamespace not in ('pg_catalog'::regnamespace, coalesce(to_regnamespace('syncline'), 0::oid))
      and (o.rolsuper or o.rolbypassrls or not c.relrowsecurity
           or pg_has_role(o.oid, c.relowner, 'usage') and not c.relforcerowsecurity
           or exists (select from pg_policy as l, unnest(l.polroles) as bound
                      where l.polrelid = c.oid and l.polpermissive and bound <> 0
                        and not bound in (select oid from role) and pg_has_role(o.oid, bound, 'usage')))
      and (position(lower(c.relname) in lower(p.prosrc)) > 0
           or exists (select from pg_depend as d where d.classid = 'pg_proc'::regclass and d.objid = p.oid
                      and d.refclassid = 'pg_class'::regclass and d.refobjid = c.oid))
      and exists (select from role where has_function_privilege(role.oid, p.oid, 'execute')
                  and has_schema_privilege(role.oid, p.pronamespace, 'usage'))
    order by 1
""")
PARTS = FAMILY + sql.SQL(" select oid, name from kin where not is_target and relkind in ('r', 'p') order by 2")
ROLES = REACHABLE + sql.SQL(" select rolname::text from role where rolname <> %(role)s order by 1")


@dataclass(frozen=True)
class Pair:
    """The tenant in scope and the one that is gone for, each with the key of one row if it has any. Never shown."""

    own: str
    other: str
    own_key: tuple[str, ...] | None
    other_key: tuple[str, ...]


class Attacker:
    """A session that attacks one job's target. Made by `attacking`."""

    def __init__(self, job: SyncJob, epoch: int, session: psycopg.Connection) -> None:
        self.job, self._epoch, self._session = job, epoch, session
        self._table = table_identifier(job.target.table)
        self._tenant = job.tenant_column or ""
        self._about = {"table": job.target.table, "role": job.target.role, "tenant": self._tenant}

    # -- what there is to go for --------------------------------------------------------------------------

    def grants(self) -> set[str]:
        """The tenants that the target's owner lets the job touch; `*` is all of them."""
        rows = self._session.execute("select tenant_id from syncline.job_tenant where job_id = %s", [self.job.id])
        return {row[0] for row in rows}

    def pair(self, candidates: Iterable[str], *, made_up: str | None) -> Pair | None:
        """Two tenants, the other with rows; None where no tenant has any, or there is only one.

        Args:
            made_up: A tenant without rows to stand in scope where only one tenant is known.
        """
        asked = sorted(candidates)[:CANDIDATES_MAX]
        keys: dict[str, tuple[str, ...]] = {}
        with self._inside(asked):
            for tenant in asked:
                if (key := self._key_of(tenant)) is not None:
                    keys[tenant] = key
                if len(keys) == 2:
                    break
        empty = [tenant for tenant in asked if tenant not in keys] + ([made_up] if made_up else [])
        match [*keys]:
            case [other, own]:
                return Pair(own, other, keys[own], keys[other])
            case [other] if empty:
                return Pair(empty[0], other, None, keys[other])
        return None

    def _key_of(self, tenant: str) -> tuple[str, ...] | None:
        key = listed(sql.SQL("{}::text").format(sql.Identifier(name)) for name in self.job.target.key)
        found = self._session.execute(
            sql.SQL("select {} from {} where {} limit 1").format(key, self._table, self._is(tenant))
        ).fetchone()
        return None if found is None else tuple(found)

    # -- attacks ------------------------------------------------------------------------------------------

    def attack(self, pair: Pair) -> Iterator[FamilyResult]:
        """Every family in turn."""
        for family, attempts in (
            ("catalog", self._catalog()),
            ("missing filter", self._missing_filter(pair)),
            ("swapped tenant", self._swapped_tenant(pair)),
            ("wrong role", self._wrong_role(pair)),
            ("scope", self._scope(pair)),
            ("session used again", self._used_again(pair)),
            ("copy", self._copy(pair)),
            ("unique probe", self._unique_probe(pair)),
            ("foreign key probe", self._reference_probe(pair)),
            ("views", self._views(pair)),
            ("partitions", self._parts(pair)),
            ("functions", self._functions()),
            ("leaky operator", self._leaky(pair)),
        ):
            with telling(f"{self.job.id}: attacking {self.job.target.table} ({family})"):
                yield FamilyResult.of(family, attempts)

    def _catalog(self) -> Iterator[Attempt]:
        """What preflight would say: rights past every policy are no attempt, and no less open for it."""
        faults = leading_past(wall_faults(self.job, self._session))
        yield from (Attempt(Outcome.CROSSED, said) for said in faults)
        if not faults:
            yield Attempt(Outcome.REFUSED)

    def _missing_filter(self, pair: Pair) -> Iterator[Attempt]:
        """Reads and writes that would reach the other tenant's row if only the statement's filter kept them off."""
        either = sql.SQL("({} or {})").format(self._is(pair.own), self._is(pair.other))
        is_other, one_row = self._is(pair.other), self._row(pair.other_key)
        first = sql.Identifier(self.job.target.key[0])
        with self._inside([pair.own]):
            yield self._goes(
                sql.SQL("select from (select {} from {} where {} limit {}) as seen where {}").format(
                    sql.Identifier(self._tenant), self._table, either, sql.Literal(ROWS_MAX), is_other
                ),
                "rows of another tenant can be read",
            )
            yield self._goes(
                sql.SQL("select from {} where {} limit 1 for update skip locked").format(self._table, is_other),
                "rows of another tenant can be locked",
            )
            yield self._goes(
                sql.SQL("update {} set {} = {} where {}").format(self._table, first, first, one_row),
                "a row of another tenant can be changed",
            )
            yield self._goes(
                sql.SQL("delete from {} where {}").format(self._table, one_row),
                "a row of another tenant can be deleted",
            )

    def _swapped_tenant(self, pair: Pair) -> Iterator[Attempt]:
        """Rows that bear the other tenant's id: new ones, ones that exist, and own ones that move."""
        tenant, key = sql.Identifier(self._tenant), self.job.target.key
        names = listed(map(sql.Identifier, key))
        theirs = listed(map(sql.Literal, pair.other_key))
        conflict = sql.SQL("insert into {} ({}) values ({}) on conflict ({}) do ").format(
            self._table, names, theirs, names
        )
        wrote, told = "a row can be written for another tenant", "a key of another tenant can be found out"
        with self._inside([pair.own]):
            yield self._goes(
                sql.SQL("insert into {} ({}) values ({})").format(self._table, tenant, sql.Literal(pair.other)), wrote
            )
            yield self._goes(sql.SQL("insert into {} ({}) values ({})").format(self._table, names, theirs), told)
            yield self._goes(conflict + sql.SQL("nothing"), told)
            yield self._goes(
                conflict + sql.SQL("update set {} = excluded.{}").format(*[sql.Identifier(key[0])] * 2), wrote
            )
            yield self._goes(
                sql.SQL(
                    "merge into {} as t using (values (1)) as v on {} when matched then delete"
                    " when not matched then insert ({}) values ({})"
                ).format(self._table, self._row(pair.other_key), names, theirs),
                wrote,
            )
            if pair.own_key is not None:
                yield self._goes(
                    sql.SQL("update {} set {} = {} where {}").format(
                        self._table, tenant, sql.Literal(pair.other), self._row(pair.own_key)
                    ),
                    "a row can be moved to another tenant",
                )

    def _wrong_role(self, pair: Pair) -> Iterator[Attempt]:
        """The login without its role, and every other role that it may become."""
        look = sql.SQL("select from {} where {} limit 1").format(self._table, self._is(pair.other))
        for (name,) in self._session.execute(ROLES, self._about).fetchall()[:OBJECTS_MAX]:
            with self._inside([pair.own], role=None):
                become = sql.SQL("set local role {}").format(sql.Identifier(name))
                if self._goes(become, "").outcome is Outcome.REFUSED:
                    self._session.execute(become)
                    yield self._goes(look, f"role {name} sees rows of another tenant")

    def _scope(self, pair: Pair) -> Iterator[Attempt]:
        """The scope itself: chosen by the tenant role, written by the login, or absent."""
        add = sql.SQL("insert into syncline.scope (xact, tenant_id) values (pg_current_xact_id(), {})").format(
            sql.Literal(pair.other)
        )
        with self._inside([pair.own]):
            yield self._goes(self._enter(pair.other), f"role {self.job.target.role} can open a scope of its own")
            yield self._goes(add, f"role {self.job.target.role} can write the scope")
            yield self._goes(
                sql.SQL("select from syncline.scoped_tenants() as seen where seen <> {}").format(sql.Literal(pair.own)),
                "the scope holds tenants that were not asked for",
            )
        with self._inside([pair.own], role=None):
            yield self._goes(add, "the login can write the scope")
            if "*" not in self.grants():
                yield self._goes(self._enter(str(uuid.uuid4())), "a tenant that is not granted can be entered")

    def _used_again(self, pair: Pair) -> Iterator[Attempt]:
        """What a session keeps when its transaction ends: a role, a statement that was prepared for the other."""
        look = sql.SQL("select from {} where {} limit 1").format(self._table, self._is(pair.other))
        with self._inside([pair.other]):
            self._session.execute(sql.SQL("prepare syncline_leakcheck as ") + look)
        try:
            with self._inside([pair.own]):
                yield self._goes(sql.SQL("execute syncline_leakcheck"), "a prepared statement keeps an earlier scope")
            self._session.execute(sql.SQL("set role {}").format(sql.Identifier(self.job.target.role)))
            yield self._goes(look, "rows of a tenant can be read when its scope has ended")
        finally:
            with suppress(psycopg.OperationalError):
                self._session.execute("reset role")
                self._session.execute("deallocate syncline_leakcheck")

    def _copy(self, pair: Pair) -> Iterator[Attempt]:
        select = sql.SQL("copy (select 1 from {} where {} limit 1) to stdout").format(self._table, self._is(pair.other))
        into = sql.SQL("copy {} ({}) from stdin").format(self._table, sql.Identifier(self._tenant))
        with self._inside([pair.own]):
            yield self._copies(select, [], "rows of another tenant can be copied out")
            yield self._copies(into, [pair.other], "rows can be copied in past every policy")

    def _unique_probe(self, pair: Pair) -> Iterator[Attempt]:
        """An index across tenants refuses a value because another tenant has it, and so tells that it has."""
        about = {**self._about, "filled": [*self.job.mapping.fields]}
        for name, spelt, columns in self._session.execute(ACROSS, about).fetchall():
            said = f"unique index {name} is without {self._tenant}: it tells which values other tenants have"
            if "" in columns:
                yield Attempt(Outcome.NOT_TRIED, f"unique index {name} is of an expression: read it", True)
            else:
                yield self._own_row_takes(pair, columns, said, indexes=spelt)

    def _reference_probe(self, pair: Pair) -> Iterator[Attempt]:
        """A reference without the tenant is looked up past every policy: it reaches others' rows, or tells of them."""
        for name, table, columns in self._session.execute(REFERENCES, self._about).fetchall():
            said = f"foreign key {name} to {table} is without {self._tenant}: it reaches rows of other tenants"
            yield self._own_row_takes(pair, columns, said, indexes=None)

    def _own_row_takes(self, pair: Pair, columns: list[str], said: str, *, indexes: list[str] | None) -> Attempt:
        """Give an own row the other row's values in these columns.

        Of indexes only their own refusal tells something; of a reference that it is taken, and that it is refused.
        """
        if pair.own_key is None:
            return Attempt(Outcome.NOT_TRIED, f"{said}, as it seems; no row in scope to try it with", True)
        if not self._may_update(columns):
            return Attempt(Outcome.NOT_TRIED, f"{said}, as it seems; the role may not update to try it", True)
        names = listed(map(sql.Identifier, columns))
        with self._inside([pair.other]):
            found = self._session.execute(
                sql.SQL("select {} from {} where {}").format(
                    listed(sql.SQL("{}::text").format(sql.Identifier(name)) for name in columns),
                    self._table,
                    self._row(pair.other_key),
                )
            ).fetchone()
        if found is None or None in found:
            return Attempt(Outcome.NOT_TRIED, f"{said}, as it seems; no value to try it with", True)
        update = sql.SQL("update {} set ({}) = row({}) where {}").format(
            self._table, names, listed(map(sql.Literal, found)), self._row(pair.own_key)
        )
        with self._inside([pair.own]):
            self._session.execute("set constraints all immediate")  # deferred ones speak at COMMIT, which never comes
            if indexes is None:
                return self._goes(update, said, is_told=lambda error: error.sqlstate == "23503")
            return self._goes(update, said, may_touch=True, is_told=lambda e: e.diag.constraint_name in indexes)

    def _may_update(self, columns: list[str]) -> bool:
        row = self._session.execute(
            REACHABLE
            + sql.SQL(
                " select bool_and(has_column_privilege(%(role)s, target.oid, name, 'update'))"
                " from target, unnest(%(columns)s::text[]) as name"
            ),
            {**self._about, "columns": columns},
        ).fetchone()
        return row is not None and bool(row[0])

    def _views(self, pair: Pair) -> Iterator[Attempt]:
        """Views over the table, at any height, as the login and as its role."""
        rows = self._session.execute(VIEWS, self._about).fetchall()
        for view, name, _kind, _owner, _invoker, roles, _below in rows[:OBJECTS_MAX]:
            if roles:
                yield from self._through(view, name, pair)
        if len(rows) > OBJECTS_MAX:
            yield Attempt(Outcome.NOT_TRIED, f"{len(rows) - OBJECTS_MAX} more views", True)

    def _through(self, view: int, name: str, pair: Pair) -> Iterator[Attempt]:
        found = self._session.execute(
            "select from pg_attribute where attrelid = %s and attname = %s and not attisdropped", [view, self._tenant]
        )
        if not found.rowcount:
            yield Attempt(Outcome.NOT_TRIED, f"view {name} does not show {self._tenant}: read it", True)
            return
        look = sql.SQL("select from {} where {} limit 1").format(self._named(view), self._is(pair.other))
        for role in (self.job.target.role, None):
            with self._inside([pair.own], role=role):
                yield self._goes(look, f"view {name} shows rows of another tenant")

    def _parts(self, pair: Pair) -> Iterator[Attempt]:
        """Partitions and children asked for by their own name: their own policies count there, not the table's."""
        rows = self._session.execute(PARTS, self._about).fetchall()
        for oid, name in rows[:OBJECTS_MAX]:
            look = sql.SQL("select from {} where {} limit 1").format(self._named(oid), self._is(pair.other))
            for role in (self.job.target.role, None):
                with self._inside([pair.own], role=role):
                    yield self._goes(look, f"{name} shows rows of another tenant")
        if len(rows) > OBJECTS_MAX:  # what the catalog says was asked of all of them
            yield Attempt(Outcome.NOT_TRIED, f"{len(rows) - OBJECTS_MAX} more by their rights alone")

    def _functions(self) -> Iterator[Attempt]:
        """Somebody else's function is not called: nobody knows what it does. That it is there is told."""
        for name, owner in self._session.execute(FUNCTIONS, self._about):
            said = f"function {name} acts as {owner}, whom policies do not bind, and speaks of the table: read it"
            yield Attempt(Outcome.NOT_TRIED, said, True)

    def _leaky(self, pair: Pair) -> Iterator[Attempt]:
        """A condition that tells what it is asked about must be asked after the policy, however cheap it is."""
        either = sql.SQL("({} or {})").format(self._is(pair.own), self._is(pair.other))
        look = sql.SQL("select from {} where {} and pg_temp.syncline_tells({}::text, {}) limit {}").format(
            self._table, either, sql.Identifier(self._tenant), sql.Literal(pair.other), sql.Literal(ROWS_MAX)
        )
        heard: list[str | None] = []

        def hear(notice: psycopg.errors.Diagnostic) -> None:
            heard.append(notice.message_primary)

        self._session.add_notice_handler(hear)
        try:
            with self._inside([pair.own], role=None):
                self._session.execute(TELLS)
                self._session.execute(sql.SQL("set local role {}").format(sql.Identifier(self.job.target.role)))
                asked = self._goes(look, "", may_touch=True)
        except psycopg.errors.InsufficientPrivilege:
            asked = Attempt(Outcome.NOT_TRIED, "the login may make no function of its own")
        finally:
            self._session.remove_notice_handler(hear)
        yield Attempt(Outcome.CROSSED, "a condition is asked before the policy") if TOLD in heard else asked

    # -- how ----------------------------------------------------------------------------------------------

    @contextmanager
    def _inside(self, tenants: list[str], *, role: str | None = "") -> Iterator[None]:
        """A transaction with these tenants in scope, rolled back; as the target's role, another one, or the login."""
        with self._session.transaction(force_rollback=True):
            self._session.execute("select syncline.enter(%s, %s, %s)", [self.job.id, self._epoch, tenants])
            if role is not None:
                self._session.execute(sql.SQL("set local role {}").format(sql.Identifier(role or self.job.target.role)))
            yield

    def _goes(
        self,
        statement: SQL | Composed,
        said: str,
        *,
        may_touch: bool = False,
        is_told: Callable[[psycopg.Error], bool] = lambda error: True,
    ) -> Attempt:
        """Whether a statement touches a row that it must not; a broken constraint says that no wall stood before it.

        Args:
            may_touch: Its row is its own: only what the server tells about others counts.
            is_told: Which broken constraints tell something of another tenant.
        """
        try:
            with self._session.transaction(force_rollback=True):
                touched = self._session.execute(statement).rowcount
        except psycopg.Error as error:
            return _refusal(error, said, is_told)
        return Attempt(Outcome.CROSSED, said) if touched > 0 and not may_touch else Attempt(Outcome.REFUSED)

    def _copies(self, statement: SQL | Composed, rows: list[str], said: str) -> Attempt:
        """COPY out or in; what it is given is taken back."""
        try:
            with (
                self._session.transaction(force_rollback=True),
                self._session.cursor() as cursor,
                cursor.copy(statement) as copy,
            ):
                for row in rows:
                    copy.write_row([row])
                touched = len(rows) or sum(1 for _ in copy)
        except psycopg.Error as error:
            return _refusal(error, said, lambda error: True)
        return Attempt(Outcome.CROSSED, said) if touched else Attempt(Outcome.REFUSED)

    def _enter(self, tenant: str) -> Composed:
        return sql.SQL("select syncline.enter({}, {}, array[{}])").format(
            sql.Literal(self.job.id), sql.Literal(self._epoch), sql.Literal(tenant)
        )

    def _is(self, tenant: str) -> Composable:
        """The literal has no type of its own: it takes the column's, and the index can be used."""
        return sql.SQL("{} = {}").format(sql.Identifier(self._tenant), sql.Literal(tenant))

    def _row(self, key: tuple[str, ...]) -> Composable:
        return sql.SQL(" and ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(value))
            for name, value in zip(self.job.target.key, key, strict=True)
        )

    def _named(self, oid: int) -> Composable:
        row = self._session.execute(
            "select n.nspname, c.relname from pg_class as c join pg_namespace as n on n.oid = c.relnamespace"
            " where c.oid = %s",
            [oid],
        ).fetchone()
        return sql.Identifier(*(row or ("", "")))


def _refusal(error: psycopg.Error, said: str, is_told: Callable[[psycopg.Error], bool]) -> Attempt:
    state = error.sqlstate or ""
    if not state:  # no server said anything: the connection is gone
        raise error
    if state in IMPATIENT:
        return Attempt(Outcome.NOT_TRIED, f"an attack was given up (SQLSTATE {state}): a lock, or a slow table", True)
    if state in REFUSALS or (state.startswith("23") and not is_told(error)):
        return Attempt(Outcome.REFUSED)
    if state.startswith("23"):
        return Attempt(Outcome.CROSSED, f"{said} (SQLSTATE {state})")
    return Attempt(Outcome.NOT_TRIED, f"an attack failed with SQLSTATE {state}", True)


@contextmanager
def attacking(job: SyncJob, epoch: int) -> Iterator[Attacker]:
    """A session of the job's own login on its target, with little patience."""
    purpose = f"{job.id} leakcheck"
    session = connections.connect(job.target.connection, purpose=purpose, autocommit=True, lock_timeout_s=1)
    with session, telling(f"{job.id}: leakcheck at '{job.target.connection}'"):
        session.execute(CAREFUL)
        yield Attacker(job, epoch, session)
