"""Run the checksums of core.checksums on several sessions at once and say which ranges differ.

What a side tells about its ranges arrives as fixed-width binary COPY and is added up in arrays: the worker's memory is
the number of ranges, never the number of rows, and no key leaves a database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql
from psycopg.sql import Composable

HEADER_BYTES, TRAILER_BYTES = 19, 2  # of binary COPY
LENGTHS = {"range": ">i4", "rows": ">i4", "deleted": ">i4", "rejected": ">i4", "checksum": ">i8"}
ROW = np.dtype([("fields", ">i2"), *((n, t) for c, k in LENGTHS.items() for n, t in ((f"{c}_length", ">i4"), (c, k)))])


@dataclass
class Ranges:
    """What one side holds, by the number of the range.

    Attributes:
        rows: Rows that the copy should hold, or holds. deleted, rejected: Rows of the source that it should not.
        checksum: Of the first, in no order.
    """

    rows: NDArray[np.int64]
    deleted: NDArray[np.int64]
    rejected: NDArray[np.int64]
    checksum: NDArray[np.int64]

    @classmethod
    def none(cls, bits: int) -> Ranges:
        return cls(*(np.zeros(2**bits, dtype=np.int64) for _ in range(4)))

    def add(self, told: bytes) -> None:
        """Add what a binary COPY of the checksums' columns told."""
        found = np.frombuffer(told, dtype=ROW, offset=HEADER_BYTES, count=(len(told) - HEADER_BYTES) // ROW.itemsize)
        at = found["range"]  # each range stands once in a COPY
        self.rows[at] += found["rows"]
        self.deleted[at] += found["deleted"]
        self.rejected[at] += found["rejected"]
        self.checksum[at] ^= found["checksum"]

    def differing(self, other: Ranges) -> NDArray[np.int64]:
        """Numbers of the ranges that are not the same on both sides, or have rejected rows, which must be told."""
        is_other = (self.rows != other.rows) | (self.checksum != other.checksum) | (self.rejected > 0)
        return np.flatnonzero(is_other)


def told(session: psycopg.Connection, statement: Composable) -> bytes:
    """What a statement of core.checksums says, as binary COPY."""
    with (
        session.cursor() as cursor,
        cursor.copy(sql.SQL("copy ({}) to stdout (format binary)").format(statement)) as rows,
    ):
        told = bytearray()
        for piece in rows:
            told += piece
        return bytes(told)


def side_by_side(tasks: Iterable[tuple[psycopg.Connection, Callable[[], bytes]]]) -> list[bytes]:
    """Run one task per session at the same time; where one fails, the others are cancelled and its error raised."""
    tasks = list(tasks)
    with ThreadPoolExecutor(len(tasks)) as pool:
        running = [pool.submit(task) for _, task in tasks]
        try:
            for one in wait(running, return_when=FIRST_EXCEPTION).done:
                one.result()  # raises what went wrong, before the others are waited for
            return [one.result() for one in running]
        except BaseException:  # also when the task is asked to stop
            for session, _ in tasks:
                with suppress(psycopg.Error):
                    session.cancel_safe(timeout=5)
            raise
