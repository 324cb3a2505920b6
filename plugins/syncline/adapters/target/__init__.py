"""Write a PostgreSQL target: stage a batch, load it in one guarded transaction, count what stands there.

One room for each stop: `boundary` before the first row, `staging`, `loading`, `counting`; `session` is what they
share.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from syncline.adapters import connections
from syncline.adapters.target.boundary import UNFORCED, Boundary, boundary_faults, corridor_faults, grant_faults
from syncline.adapters.target.counting import Counting, DeadKey
from syncline.adapters.target.loading import Loading
from syncline.adapters.target.staging import Letter, Staging
from syncline.core.job import SyncJob
from syncline.core.values import Batch

__all__ = (
    "UNFORCED", "DeadKey", "Letter", "Target", "boundary_faults", "corridor_faults", "grant_faults", "writing",
)  # fmt: skip


class Target(Boundary, Staging, Loading, Counting):
    """A session on a job's target for one batch. Made by `writing`."""


@contextmanager
def writing(job: SyncJob, batch: Batch, *, step: str) -> Iterator[Target]:
    """A session on the target for one step of one batch."""
    session = connections.connect(job.target.connection, purpose=f"{job.id} {step}", autocommit=True)
    with session:
        yield Target(job, batch, session)
