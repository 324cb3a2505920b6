"""What the ledger remembers of a job's two sides: the source that its watermark belongs to, and their columns."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg.types.json import Jsonb

from syncline.adapters.ledger.session import LedgerSession
from syncline.core.errors import Fenced
from syncline.core.identity import Sighting, SourceIdentity
from syncline.core.values import Batch


class Sources(LedgerSession):
    """What the batch of the watermark saw, and what this one sees."""

    def known_sighting(self, job_id: str) -> Sighting | None:
        """What the last published batch saw; None before the first, and for batches that left nothing yet."""
        rows = self._all(
            "select source_identity, source_columns, target_columns from ledger.watermark join ledger.batch"
            " using (batch_id) where watermark.job_id = %s and source_identity is not null",
            job_id,
        )
        if not rows:
            return None
        (row,) = rows
        return Sighting(
            SourceIdentity.from_dict(row["source_identity"]), row["source_columns"] or {}, row["target_columns"] or {}
        )

    def saw(self, batch: Batch, sighting: Sighting, accepted: Iterable[str]) -> None:
        """Record what a batch saw, before the rows that it read; another attempt of it records its own.

        Args:
            accepted: In what the source is another one than was remembered, where a person said that it is right.
        """
        with self._doing(batch.job_id, "recording which source was read"):
            changed = self._session.execute(
                "update ledger.batch set source_identity = %s, source_columns = %s, target_columns = %s,"
                " schema_notes = %s where batch_id = %s and epoch = %s",
                [
                    Jsonb(sighting.identity.as_dict()),
                    Jsonb(dict(sighting.source_columns)),
                    Jsonb(dict(sighting.target_columns)),
                    list(sighting.notes),
                    batch.batch_id,
                    batch.epoch,
                ],
            )
            if not changed.rowcount:
                raise Fenced(batch.job_id, batch.batch_id, batch.epoch)
            if differences := list(accepted):
                detail = {"differences": differences, "reason": batch.reason}
                self._audit(batch.job_id, batch.batch_id, "source_accepted", detail)
            if sighting.notes:
                self._audit(batch.job_id, batch.batch_id, "schema_changed", {"notes": list(sighting.notes)})
