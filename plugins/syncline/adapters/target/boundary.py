"""Whether a target is fit before the first row: its columns, its corridor, and the roles that row-level security binds.

`syncline check --connect` asks the same questions as the line does.
"""

from __future__ import annotations

import psycopg

from syncline.adapters.catalog import read_catalog
from syncline.adapters.target.session import TargetSession
from syncline.adapters.target.walls import wall_faults
from syncline.core.catalogs.fitting import drifted
from syncline.core.catalogs.fitting_target import fit_target
from syncline.core.errors import EnvironmentFailure
from syncline.core.job import SyncJob

CORRIDOR = """
    select session_user, r.oid is not null, coalesce(pg_has_role(session_user, r.oid, 'member'), false),
           exists (select from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
                   where n.nspname = 'syncline' and p.proname = 'enter') and s.oid is not null,
           coalesce(has_schema_privilege(session_user, s.oid, 'create'), false),
           exists (select from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
                   where n.nspname = 'syncline' and p.proname = 'look')
    from (values (1)) as once
    left join pg_roles as r on r.rolname = %(role)s
    left join pg_namespace as s on s.nspname = 'staged'
"""


class Boundary(TargetSession):
    """Refuse a target that does not fit, before anything is read or written."""

    _shape: dict[str, str] = {}  # noqa: RUF012  # replaced by the preflight, never filled

    def preflight(self) -> None:
        """Stop before the first row: columns that do not fit, or a role that row-level security would not bind."""
        with self._transaction("looking at the target"):
            self._look_at_corridor()
            self._become_tenant()  # the login may not even see the table's schema
            self._look_at_columns()
            self._look_at_role()

    def _look_at_corridor(self) -> None:
        wrong = [f"{said} ({mend})" for said, mend in corridor_faults(self.job, self._session)]
        if wrong:
            raise EnvironmentFailure(
                f"{self.job.id}: '{self.job.target.connection}' does not lend what Syncline needs: {'; '.join(wrong)}. "
                f"Nothing was read or written. See include/target/README.md."
            )

    def _look_at_columns(self) -> None:
        target = self.job.target
        catalog = read_catalog(self._session, [target.table], role=target.role)
        table = catalog.tables.get(target.table)
        self._shape = table.shape if table is not None else {}
        wrong = [misfit for misfit in fit_target(self.job, catalog) if misfit.weight == "certain"]
        if wrong:
            raise drifted(self.job, f"{target.table} at '{target.connection}'", wrong, "Nothing was read or written")

    def columns(self) -> dict[str, str]:
        """Column -> type of the table that is written, as the preflight found it."""
        return self._shape

    def _look_at_role(self) -> None:
        if self.job.tenant_column is None:
            return
        wrong = wall_faults(self.job, self._session)
        self._session.execute("reset role")
        wrong += [f"{said} ({mend})" for said, mend in grant_faults(self.job, self._session)]
        if wrong:
            raise EnvironmentFailure(
                f"{self.job.id}: the tenant boundary of {self.job.target.table} is not the database's: "
                f"{'; '.join(wrong)}. Nothing was read or written. See include/target/README.md."
            )


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
    login, is_role, is_member, is_installed, may_stage, is_current = row or ("", *[False] * 5)
    if not is_installed:
        return [("schemas syncline and staged are missing", "the target's owner runs include/target/001_corridor.sql")]
    told = (
        (not is_role, f"role {role} does not exist", "see include/target/README.md"),
        (is_role and not is_member, f"login {login} may not become role {role}", f"grant {role} to {login};"),
        (not is_current, "the corridor is of an older version, without all its tables and functions",
         "the target's owner runs include/target/001_corridor.sql again"),
        (not may_stage, f"login {login} may not create tables in schema staged",
         f"grant usage, create on schema staged to {login};"),
    )  # fmt: skip
    return [(said, mend) for is_wrong, said, mend in told if is_wrong]
