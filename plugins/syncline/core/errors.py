"""The family of failures, drawn before anything else.

    SynclineError
        TransientError          the same call may succeed later: retried, three times, with growing delay
            SystemDown          a circuit breaker is open: nothing was started, and no retry is used up
        TerminalError           a person must act: never retried
            ManifestInvalid     a YAML file has mistakes
            EnvironmentFailure  disk full, refused login, missing grant: the job waits, rows are not to blame
            RowRefused          a row's value is refused: the load isolates the row
            SchemaDrift         source or target lack what the mapping was written for
            SourceReplaced      the source is not the one that the watermark belongs to
            Fenced              a newer attempt of the job has taken over
            TenantRefused       the target does not grant the job a tenant
            BatchHeld           reconciliation or a limit stopped the batch before publication

Steps raise one of these; nobody reads a message to decide. A message carries ids, counts, column names and
SQLSTATE, never a row's values: server errors quote them, so `from error` chains stay out of logs too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any


class SynclineError(Exception):
    """Base of all failures that Syncline raises on purpose.

    Attributes:
        sqlstate: What the server said, where it said something.
        down: The connection id whose whole system the failure speaks of; None where one statement failed.
    """

    sqlstate: str | None = None
    down: str | None = None


class TransientError(SynclineError):
    """The same call may succeed later: a cut connection, a lock, a deadlock."""


class SystemDown(TransientError):
    """The circuit breaker of a connection is open. Nothing was started; at `until` one attempt is let through."""

    def __init__(self, job_id: str, connection: str, until: datetime, failures: int) -> None:
        super().__init__(
            f"{job_id}: system '{connection}' is down: {failures} attempts in a row failed. Nothing was started, no "
            f"retry is used up. From {until:%Y-%m-%d %H:%M:%S} UTC on one attempt is let through, and its success lets "
            f"all others through. Look: `syncline status` and docs/runbooks/system-down.md. "
            f"Once mended, at once: `syncline close-breaker {connection}`."
        )
        self.job_id, self.connection, self.until = job_id, connection, until


class TerminalError(SynclineError):
    """A person must act; trying again changes nothing."""


class ManifestInvalid(TerminalError):
    """A manifest or mapping has mistakes; the text is the whole report, one line per mistake."""


class EnvironmentFailure(TerminalError):
    """The place is not fit: disk full, login refused, a grant or a secret is missing. Rows are not to blame."""


class RowRefused(TerminalError):
    """A row's value is refused by a constraint, a type or a trigger. Trying the same rows again changes nothing.

    Attributes:
        code: Kind of constraint, as dead letters tell it. column: The column that is to blame alone, or "".
        by: Name of the constraint, or the SQLSTATE where there is none.
    """

    code: str = "refused"
    column: str = ""
    by: str = ""


class TooManyRefused(TerminalError):
    """The target refuses more rows than can be told one by one; nothing was written."""

    def __init__(self, job_id: str, batch_id: int, refused_rows: int, by: str) -> None:
        self.because = (
            f"the target refuses more rows than can be told one by one: the search ended at {refused_rows}, the last "
            f"one by {by}"
        )
        super().__init__(f"{job_id}: batch {batch_id}: {self.because}. Rolled back, nothing was written.")


class SchemaDrift(TerminalError):
    """Source or target no longer has the columns that the mapping was written for.

    Attributes:
        misfits: What differs, where that was found out by comparison (core/catalogs/fitting.py).
    """

    misfits: tuple[Any, ...] = ()


class SourceReplaced(TerminalError):
    """The source is not the one that the last batch read, or it has gone back in time: nothing can be continued."""

    def __init__(self, job_id: str, table: str, connection: str, differences: Sequence[str], command: str) -> None:
        super().__init__(
            f"{job_id}: source identity changed: {table} at '{connection}' is not the source that the last published "
            f"batch read: {'; '.join(differences)}. It was restored, replaced, failed over or made anew, so nobody can "
            f"tell what changed since. Nothing was read, the watermark stays. If the connection leads to the wrong "
            f"place, mend it. If this source is right: `{command} --mode full --accept-source --reason "
            f"'<why>'` reads everything and starts anew from it. See docs/runbooks/source-replaced.md."
        )
        self.job_id, self.differences = job_id, tuple(differences)


class Fenced(TerminalError):
    """A newer attempt of this job has taken over; this one must not write."""

    def __init__(self, job_id: str, batch_id: int, epoch: int) -> None:
        super().__init__(
            f"{job_id}: batch {batch_id} at epoch {epoch} was overtaken by a newer attempt of the same job. "
            f"Nothing was written. If the newer one read less (a dry run, some tenants, another window), run this one "
            f"again; otherwise only follow it: `syncline status {job_id}`."
        )
        self.job_id, self.batch_id, self.epoch = job_id, batch_id, epoch


class TenantRefused(TerminalError):
    """The target does not grant this job a tenant that the batch carries."""

    def __init__(self, job_id: str, batch_id: int) -> None:
        super().__init__(
            f"{job_id}: batch {batch_id} carries a tenant that the target does not grant to this job. "
            f"Nothing was written. The target's owner decides: add the tenant to syncline.job_tenant, or mend the "
            f"source row; then run the job again."
        )
        self.job_id, self.batch_id = job_id, batch_id


class GroupMember(TerminalError):
    """The job is one of a group: alone it would be published at another moment than the others."""

    def __init__(self, job_id: str, group: str) -> None:
        super().__init__(
            f"{job_id} belongs to group '{group}', which is read at one moment and published together: alone it may "
            f"only be counted (a dry run). Nothing was opened. Run the group: DAG sync_group__{group}, or "
            f"`syncline run-group {group}`."
        )


class BatchHeld(TerminalError):
    """The batch stays unpublished; readers of `pub_*` keep the last good one."""

    def __init__(self, job_id: str, batch_id: int, because: str, *, runbook: str = "batch-held") -> None:
        super().__init__(
            f"{job_id}: batch {batch_id} is held: {because}. Not published: `pub_` readers keep the last good "
            f"batch, the watermark stays. Look: `syncline status {job_id}` and docs/runbooks/{runbook}.md. "
            f"Once mended, run the job again: the next batch reads the same window."
        )
        self.job_id, self.batch_id, self.because = job_id, batch_id, because
