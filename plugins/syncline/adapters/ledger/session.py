"""One session on the ledger: transactions, the epoch that must be the newest, and the audit trail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.types.json import Jsonb

from syncline.adapters.failures import telling
from syncline.core.errors import Fenced
from syncline.core.values import Batch


class LedgerSession:
    """What all rooms of the ledger stand on."""

    def __init__(self, session: psycopg.Connection[dict[str, Any]]) -> None:
        self._session = session

    @contextmanager
    def _doing(self, about: str, what: str) -> Iterator[None]:
        with telling(f"{about}: {what} in the ledger"), self._session.transaction():
            yield

    @contextmanager
    def _changing(self, batch: Batch, event: str, **detail: Any) -> Iterator[None]:
        """One change of a batch's state: only under the newest epoch, and on the record."""
        with self._doing(batch.job_id, f"recording {event}"):
            row = self._one("select epoch, batch_id from ledger.job where job_id = %s for update", batch.job_id)
            if row is None or row["epoch"] != batch.epoch:
                raise Fenced(batch.job_id, batch.batch_id, batch.epoch)
            yield
            self._audit(batch.job_id, batch.batch_id, f"batch_{event}", detail)

    def _audit(self, job_id: str, batch_id: int | None, event: str, detail: Mapping[str, Any]) -> None:
        self._session.execute(
            "insert into ledger.audit (job_id, batch_id, event, detail) values (%s, %s, %s, %s)",
            [job_id, batch_id, event, Jsonb(dict(detail))],
        )

    def _one(self, query: str, *parameters: Any) -> dict[str, Any] | None:
        with self._reading():
            return self._session.execute(query.encode(), parameters).fetchone()

    def _all(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        with self._reading():
            return self._session.execute(query.encode(), parameters).fetchall()

    def _reading(self) -> AbstractContextManager[None]:
        """Within a change its own words say more about what failed."""
        is_within = self._session.info.transaction_status is TransactionStatus.INTRANS
        return nullcontext() if is_within else telling("reading the ledger")
