"""Whether a target is fit before the first row: its columns, its corridor, and the roles that row-level security binds.

`syncline check --connect` asks the same questions as the line does.
"""

from __future__ import annotations

import psycopg

from syncline.adapters.catalog import read_catalog
from syncline.adapters.target.session import TargetSession
from syncline.core.catalogs.fitting_target import fit_target
from syncline.core.errors import EnvironmentFailure, SchemaDrift
from syncline.core.job import SyncJob

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


class Boundary(TargetSession):
    """Refuse a target that does not fit, before anything is read or written."""

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
