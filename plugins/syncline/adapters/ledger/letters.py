"""Dead letters: rows that could not go on, sealed, until a later batch loads or rejects them again."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable
from typing import Any

from syncline.adapters.ledger.session import LedgerSession
from syncline.adapters.target import DeadKey, Letter
from syncline.adapters.vault import Vault
from syncline.core.values import Batch


class Letters(LedgerSession):
    """Rows that wait."""

    def waiting_keys(self, job_id: str) -> Generator[DeadKey, None, None]:
        """Target keys of all rows of a job that wait in dead letters. Close it: it holds a transaction."""
        with self._doing(job_id, "reading dead letters"), self._session.cursor(name="waiting") as cursor:
            cursor.execute(
                "select dead_letter_id, batch_id, tenant_id, target_key from ledger.dead_letter"
                " where job_id = %s and state = 'open'",
                [job_id],
            )
            for row in cursor:
                key = tuple(row["target_key"]) if row["target_key"] is not None else None
                yield DeadKey(row["dead_letter_id"], row["batch_id"], row["tenant_id"], key)

    def waiting_rows(self, batch: Batch) -> list[tuple[int, list[str | None]]]:
        """Letters of earlier batches with the source key of their row."""
        rows = self._all(
            "select dead_letter_id, source_key from ledger.dead_letter"
            " where job_id = %s and state = 'open' and batch_id < %s",
            batch.job_id,
            batch.batch_id,
        )
        return [(row["dead_letter_id"], row["source_key"]) for row in rows]

    def _reject_anew(self, batch: Batch, letters: Iterable[list[Letter]]) -> None:
        """The batch's rejected rows; those of an earlier try are among them again, or good by now."""
        self._session.execute(
            "update ledger.dead_letter set state = 'superseded', settled_by = %s, settled_at = clock_timestamp()"
            " where batch_id = %s and state = 'open'",
            [batch.batch_id, batch.batch_id],
        )
        if not batch.is_dry_run:
            for portion in letters:
                self._bury(batch, portion)

    def _bury(self, batch: Batch, letters: list[Letter]) -> None:
        """Keep rejected rows, sealed; letters that older batches wrote for the same keys are superseded."""
        vault = Vault.from_environment()
        rows = [_sealed(batch, letter, vault) for letter in letters]
        self._session.execute(
            "update ledger.dead_letter set state = 'superseded', settled_by = %s, settled_at = clock_timestamp()"
            " where job_id = %s and state = 'open' and source_key = any(%s::jsonb[]) and batch_id <> %s",
            [batch.batch_id, batch.job_id, [row[3] for row in rows], batch.batch_id],
        )
        self._session.cursor().executemany(
            "insert into ledger.dead_letter (job_id, batch_id, tenant_id, source_key, target_key, errors, payload,"
            " payload_key_id) values (%s, %s, %s, %s::jsonb, %s::jsonb, %s::jsonb, %s, %s)",
            rows,
        )

    def _close_letters(self, batch: Batch, letter_ids: Iterable[int], state: str) -> None:
        self._session.execute(
            "update ledger.dead_letter set state = %s, settled_by = %s, settled_at = clock_timestamp()"
            " where dead_letter_id = any(%s) and state = 'open'",
            [state, batch.batch_id, list(letter_ids)],
        )


def _sealed(batch: Batch, letter: Letter, vault: Vault) -> tuple[Any, ...]:
    key = json.dumps(letter.source_key, ensure_ascii=False)
    payload, key_id = vault.seal(letter.payload, tenant_id=letter.tenant_id, job_id=batch.job_id, key=key)
    # The third part stands where the target refused the row: its constraint, or the SQLSTATE.
    errors = [dict(zip(("column", "code", "by"), said.split(":", 2), strict=False)) for said in letter.errors]
    target_key = json.dumps(letter.target_key, ensure_ascii=False) if letter.target_key is not None else None
    return (batch.job_id, batch.batch_id, letter.tenant_id, key, target_key, json.dumps(errors), payload, key_id)
