"""Run the checksums of core.checksums on several sessions at once and say which ranges differ.

What a side tells about its ranges arrives as fixed-width binary COPY and is added up in arrays as it comes: the
worker's memory is the number of ranges, never the number of rows, and no key leaves a database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from threading import Lock

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql
from psycopg.sql import Composable

from syncline.adapters.connections import WORK_MEM

HEADER_BYTES = 19  # of binary COPY; its trailer is shorter than a row
BLOCK_BYTES = 1024 * 1024
COLUMNS = {"range": ">i4", "rows": ">i4", "deleted": ">i4", "rejected": ">i4", "checksum": ">i8"}
ROW = np.dtype([("fields", ">i2"), *((n, t) for c, k in COLUMNS.items() for n, t in ((f"{c}_length", ">i4"), (c, k)))])


class Ranges:
    """What one side holds, by the number of the range; several sessions may tell their parts at one time.

    Attributes:
        rows: Rows that the copy should hold, or holds. deleted, rejected: Rows of the source that it should not.
        checksum: Of the first, in no order.
    """

    def __init__(self, bits: int) -> None:
        self.rows, self.deleted, self.rejected = (np.zeros(2**bits, dtype=np.int32) for _ in range(3))
        self.checksum = np.zeros(2**bits, dtype=np.int64)
        self._lock = Lock()

    @property
    def all_rows(self) -> NDArray[np.int64]:
        return self.rows.astype(np.int64) + self.deleted + self.rejected

    def ask(self, session: psycopg.Connection, statement: Composable) -> None:
        """Add up what a statement of core.checksums says, within the transaction that is open."""
        session.execute(sql.SQL("set local work_mem = {}").format(sql.Literal(WORK_MEM)))
        copy = sql.SQL("copy ({}) to stdout (format binary)").format(statement)
        with session.cursor() as cursor, cursor.copy(copy) as pieces:
            told, skipped = bytearray(), HEADER_BYTES
            for piece in pieces:
                told += piece
                if len(told) >= BLOCK_BYTES:
                    self._add(told, skipped)
                    del told[: skipped + (len(told) - skipped) // ROW.itemsize * ROW.itemsize]
                    skipped = 0
            self._add(told, skipped)

    def differing(self, other: Ranges) -> NDArray[np.int64]:
        """Numbers of the ranges that are not the same on both sides, or have rejected rows, which must be told."""
        is_other = (self.rows != other.rows) | (self.checksum != other.checksum) | (self.rejected > 0)
        return np.flatnonzero(is_other)

    def _add(self, told: bytearray, skipped: int) -> None:
        rows = (len(told) - skipped) // ROW.itemsize
        found = np.frombuffer(bytes(told), dtype=ROW, offset=skipped, count=rows)
        at = found["range"]  # each range stands once in a COPY
        with self._lock:
            self.rows[at] += found["rows"]
            self.deleted[at] += found["deleted"]
            self.rejected[at] += found["rejected"]
            self.checksum[at] ^= found["checksum"]


def side_by_side(tasks: Iterable[tuple[psycopg.Connection, Callable[[], None]]]) -> None:
    """Run one task per session at the same time; where one fails, the others are cancelled and its error raised."""
    tasks = list(tasks)
    with ThreadPoolExecutor(len(tasks)) as pool:
        running = [pool.submit(task) for _, task in tasks]
        try:
            for one in wait(running, return_when=FIRST_EXCEPTION).done:
                one.result()  # raises what went wrong, before the others are waited for
        except BaseException:  # also when the task is asked to stop
            for session, _ in tasks:
                with suppress(psycopg.Error):
                    session.cancel_safe(timeout=5)
            raise
