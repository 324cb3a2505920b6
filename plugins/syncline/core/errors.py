"""The family of failures, drawn before anything else.

    SynclineError
        TransientError          the same call may succeed later: retried, three times, with growing delay
        TerminalError           a person must act: never retried
            ManifestInvalid     a YAML file has mistakes
            EnvironmentFailure  disk full, refused login, missing grant: the job waits, rows are not to blame
            SchemaDrift         source or target lack what the mapping was written for
            Fenced              a newer attempt of the job has taken over
            TenantRefused       the target does not grant the job a tenant
            BatchHeld           reconciliation or a limit stopped the batch before publication

Steps raise one of these; nobody reads a message to decide. A message carries ids, counts, column names and
SQLSTATE, never a row's values: server errors quote them, so `from error` chains stay out of logs too.
"""

from __future__ import annotations


class SynclineError(Exception):
    """Base of all failures that Syncline raises on purpose."""


class TransientError(SynclineError):
    """The same call may succeed later: a cut connection, a lock, a deadlock."""


class TerminalError(SynclineError):
    """A person must act; trying again changes nothing."""


class ManifestInvalid(TerminalError):
    """A manifest or mapping has mistakes; the text is the whole report, one line per mistake."""


class EnvironmentFailure(TerminalError):
    """The place is not fit: disk full, login refused, a grant or a secret is missing. Rows are not to blame."""


class SchemaDrift(TerminalError):
    """Source or target no longer has the columns that the mapping was written for."""


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


class BatchHeld(TerminalError):
    """The batch stays unpublished; readers of `pub_*` keep the last good one."""

    def __init__(self, job_id: str, batch_id: int, because: str, *, runbook: str = "batch-held") -> None:
        super().__init__(
            f"{job_id}: batch {batch_id} is held: {because}. Not published: `pub_` readers keep the last good "
            f"batch, the watermark stays. Look: `syncline status {job_id}` and docs/runbooks/{runbook}.md. "
            f"Once mended, run the job again: the next batch reads the same window."
        )
        self.job_id, self.batch_id, self.because = job_id, batch_id, because
