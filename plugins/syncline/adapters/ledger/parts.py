"""Parts of a batch in the ledger: posted by the attempt that holds the snapshot, taken by whoever comes first.

A part belongs to the session that has taken it, as long as that session lives: of a worker that died, another takes it.
"""

from __future__ import annotations

from dataclasses import dataclass

from syncline.adapters.ledger.session import LedgerSession
from syncline.core.errors import Fenced
from syncline.core.parts import Part
from syncline.core.values import Batch

TAKE = """
    update ledger.part set state = 'taken',
        (taken_pid, taken_start) = (select pid, backend_start from pg_stat_activity where pid = pg_backend_pid())
    where batch_id = %s and number = (
        select number from ledger.part
        where batch_id = %s and (state = 'free' or state = 'taken' and not exists (
            select from pg_stat_activity as session
            where session.pid = part.taken_pid and session.backend_start = part.taken_start))
        order by number limit 1 for update skip locked)
    returning *
"""


@dataclass(frozen=True)
class TakenPart:
    """A part, the snapshot to read it under, and the epoch under which it may be staged."""

    part: Part
    snapshot: str
    epoch: int


class Parts(LedgerSession):
    """What is still to be read of a batch."""

    def post_parts(self, batch: Batch, snapshot: str, parts: list[Part]) -> None:
        """Offer the parts of a batch; those of an earlier attempt are gone."""
        with self._doing(batch.job_id, "posting parts"):
            row = self._one("select epoch from ledger.job where job_id = %s for update", batch.job_id)
            if row is None or row["epoch"] != batch.epoch:
                raise Fenced(batch.job_id, batch.batch_id, batch.epoch)
            self._session.execute("delete from ledger.part where batch_id = %s", [batch.batch_id])
            self._session.cursor().executemany(
                "insert into ledger.part (batch_id, number, parts, epoch, snapshot, first_block, end_block,"
                " is_by_block) values (%s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    (batch.batch_id, part.number, part.parts, batch.epoch, snapshot, *(part.blocks or (None, None)),
                     part.blocks is not None)
                    for part in parts
                ],
            )  # fmt: skip

    def take_part(self, batch_id: int) -> TakenPart | None:
        """Take a part that nobody reads; None where none is left, or none was posted."""
        with self._doing(f"batch {batch_id}", "taking a part"):
            row = self._one(TAKE, batch_id, batch_id)
        if row is None:
            return None
        blocks = (row["first_block"], row["end_block"]) if row["is_by_block"] else None
        return TakenPart(Part(row["number"], row["parts"], blocks), row["snapshot"], row["epoch"])

    def part_done(self, batch_id: int, taken: TakenPart) -> None:
        """Record that a part is staged; what was posted anew since then is not touched."""
        self._leave(batch_id, taken, "done")

    def release_part(self, batch_id: int, taken: TakenPart) -> None:
        """Give a part back that could not be staged."""
        self._leave(batch_id, taken, "free")

    def has_posted(self, batch_id: int) -> bool:
        """Whether the parts of a batch stand here."""
        return self._one("select from ledger.part where batch_id = %s limit 1", batch_id) is not None

    def parts_left(self, batch_id: int) -> int:
        """Parts that are not staged yet."""
        row = self._one("select count(*) as n from ledger.part where batch_id = %s and state <> 'done'", batch_id)
        return int(row["n"]) if row else 0

    def drop_parts(self, batch_id: int) -> None:
        with self._doing(f"batch {batch_id}", "forgetting its parts"):
            self._session.execute("delete from ledger.part where batch_id = %s", [batch_id])

    def _leave(self, batch_id: int, taken: TakenPart, state: str) -> None:
        with self._doing(f"batch {batch_id}", "recording a part"):
            self._session.execute(
                "update ledger.part set state = %s where batch_id = %s and number = %s and epoch = %s"
                " and state = 'taken'",
                [state, batch_id, taken.part.number, taken.epoch],
            )
