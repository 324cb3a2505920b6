"""Attack the tenant wall of one job where it really stands: `syncline leakcheck JOB`.

The attacks run as the job's own login and role, on its real target, and are rolled back (adapters/target/leaks.py).
Here is decided whether they may run at all and with which tenants: not while a batch of the job is under way, and not
without two tenants of which one has rows. What could not be judged is `unverified`, never green.
"""

from __future__ import annotations

import uuid

from syncline.adapters import ledger
from syncline.adapters.target.leaks import Attacker, Pair, attacking
from syncline.core.job import SyncJob
from syncline.core.leaks import LeakReport
from syncline.core.values import NO_TENANT

ALL = "*"


def leakcheck(job: SyncJob) -> LeakReport:
    """Try every family of attacks on a job's target; nothing is kept of them.

    Raises:
        TerminalError: A batch of the job is under way; nothing was tried.
    """
    if job.tenant_column is None:
        return LeakReport(
            job.id, because=f"its rows belong to no tenant ({job.manifest.tenancy.none}): there is no wall"
        )
    with ledger.opened(f"{job.id} leakcheck") as book:
        epoch, known = book.epoch_at_rest(job), book.known_tenants(job.id)
    with attacking(job, epoch) as attacker:
        pair = _pair(job, attacker, known)
        if isinstance(pair, str):
            return LeakReport(job.id, because=pair)
        return LeakReport(job.id, tuple(attacker.attack(pair)))


def _pair(job: SyncJob, attacker: Attacker, known: set[str]) -> Pair | str:
    """Two tenants to attack with, or why there are none.

    A job that may touch every tenant has no list of them: the last published batch knows some, and a made-up one may
    stand in scope beside them.
    """
    grants = attacker.grants()
    if not grants:
        return "the target grants the job no tenant (syncline.job_tenant)"
    candidates = (grants - {ALL}) | (known - {NO_TENANT, ALL} if ALL in grants else set())
    if not candidates:
        return "no tenant is known: every one is granted, and no batch of the job is published yet"
    pair = attacker.pair(candidates, made_up=_nobody(job) if ALL in grants else None)
    if pair is None:
        return "fewer than two tenants are granted, or none of them has a row: there is nothing that could be seen"
    return pair


def _nobody(job: SyncJob) -> str:
    """A tenant that has no rows, as the type of the tenant column takes it."""
    kind = job.mapping.fields[job.tenant_column or ""].type
    return str(uuid.uuid4()) if kind.name == "uuid" else "-1"
