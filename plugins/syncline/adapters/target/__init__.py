"""Write a PostgreSQL target: stage a batch, load it in one guarded transaction, count what stands there.

One room for each stop: `boundary` before the first row, `staging`, `loading`, `isolating` where a row is refused,
`counting`; `session` is what they share.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from syncline.adapters import connections
from syncline.adapters.target.boundary import Boundary, corridor_faults, grant_faults
from syncline.adapters.target.counting import Counting, DeadKey
from syncline.adapters.target.isolating import Isolating
from syncline.adapters.target.staging import Letter
from syncline.adapters.target.walls import UNFORCED, wall_faults
from syncline.core.job import SyncJob
from syncline.core.values import Batch

__all__ = (
    "UNFORCED", "DeadKey", "Letter", "Target", "corridor_faults", "grant_faults", "wall_faults", "writing",
)  # fmt: skip


class Target(Boundary, Isolating, Counting):
    """A session on a job's target for one batch. Made by `writing`."""


@contextmanager
def writing(job: SyncJob, batch: Batch, *, step: str) -> Iterator[Target]:
    """A session on the target for one step of one batch."""
    session = connections.connect(
        job.target.connection,
        purpose=f"{job.id} {step}",
        autocommit=True,
        lock_timeout_s=job.target.lock_timeout_s,
    )
    with session:
        yield Target(job, batch, session)
