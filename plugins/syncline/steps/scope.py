"""Whose rows a batch looks at, at the target: for reconciliation, and for what the source no longer has."""

from __future__ import annotations

from syncline.core.job import SyncJob
from syncline.core.values import NO_TENANT, Batch

ANY_TENANT = "*"  # in the target's grants


def scope(job: SyncJob, batch: Batch, known: set[str], grants: set[str]) -> set[str]:
    """The tenants to look at: those that the batch is for, as far as the target grants them to the job.

    A tenant that is granted by name and that only the target has rows of is looked at too: rows out of nowhere.

    Args:
        known: Tenants that the source has, or that the last published batch knew.
        grants: As the target's owner wrote them.
    """
    if job.tenant_column is None:
        return known - {NO_TENANT, ANY_TENANT}
    named = grants - {ANY_TENANT}
    asked = {*batch.tenants} if batch.tenants is not None else known | named
    return (asked if ANY_TENANT in grants else asked & named) - {NO_TENANT, ANY_TENANT}
