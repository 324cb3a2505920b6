"""Run the checksums of core.checksums on several sessions at once and say which ranges differ.

What a side tells about its ranges arrives as fixed-width binary COPY and is added up in arrays as it comes: the
worker's memory is the number of ranges, never the number of rows, and no key leaves a database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql
from psycopg.sql import Composable

from syncline.adapters.connections import WORK_MEM
from syncline.core.checksums import FLAGGED, HELD, NOT_HELD, REJECTED, STATES

HEADER_BYTES = 19  # of binary COPY; its trailer is shorter than a row
BLOCK_BYTES = 1024 * 1024


def _row(**columns: str) -> np.dtype[np.void]:
    """A row of binary COPY in fixed width; a column whose kind names two parts is one value of both."""
    parts: list[tuple[str, str]] = [("fields", ">i2")]
    for name, kinds in columns.items():
        one, *more = kinds.split()
        parts += [(f"{name}_length", ">i4"), (name, one), *((f"{name}_{n}", kind) for n, kind in enumerate(more))]
    return np.dtype(parts)


GROUP = _row(number=">i4", rows=">i4", checksum=">i8")
LISTED = _row(key=">i8", state=">i8", place=">u4 >u2")  # a place is a block, and a number within it


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
        for found in _told(session, statement, GROUP):
            with self._lock:
                for state, rows in ((HELD, self.rows), (FLAGGED, self.deleted), (REJECTED, self.rejected)):
                    told = found[found["number"] % STATES == state]  # each group stands once in a COPY
                    rows[told["number"] // STATES] += told["rows"]
                    if state == HELD:
                        self.checksum[told["number"] // STATES] ^= told["checksum"]

    def differing(self, other: Ranges) -> NDArray[np.int64]:
        """Numbers of the ranges that are not the same on both sides, or have rejected rows, which must be told."""
        is_other = (self.rows != other.rows) | (self.checksum != other.checksum) | (self.rejected > 0)
        return np.flatnonzero(is_other)


class Listing:
    """Single rows of one side, by hashes alone: of the key and of what is compared, and where each row stands."""

    KEPT = ("key", "state", "place", "place_0")

    def __init__(self) -> None:
        self._told: list[NDArray[np.void]] = []

    def ask(self, session: psycopg.Connection, statement: Composable) -> None:
        self._told += [found[list(self.KEPT)].copy() for found in _told(session, statement, LISTED)]

    @property
    def rows(self) -> NDArray[np.void]:
        kinds = np.dtype([(name, LISTED[name]) for name in self.KEPT])
        return np.concatenate(self._told).astype(kinds) if self._told else np.zeros(0, dtype=kinds)


@dataclass(frozen=True)
class Candidates:
    """Keys that may differ, by their hashes, and the places of their rows on either side."""

    keys: list[int]
    here: list[str]
    there: list[str]


def candidates(here: Listing, there: Listing, most: int) -> Candidates | None:
    """Keys whose rows are not one on each side with equal hashes; None where there are more than `most`.

    A row that a copy should not hold is none, where the copy has no such key, or the source has a living row of it.
    """
    source, copy = here.rows, there.rows
    is_held = source["state"] != NOT_HELD
    source = source[is_held | ~np.isin(source["key"], source["key"][is_held])]
    keys, at_source, of_source = np.unique(source["key"], return_index=True, return_counts=True)
    copies, at_copy, of_copy = np.unique(copy["key"], return_index=True, return_counts=True)
    common, mine, theirs = np.intersect1d(keys, copies, assume_unique=True, return_indices=True)
    is_equal = (of_source[mine] == 1) & (of_copy[theirs] == 1)
    is_equal &= source["state"][at_source[mine]] == copy["state"][at_copy[theirs]]
    is_rightly_absent = ~np.isin(keys, copies) & (source["state"][at_source] == NOT_HELD)
    settled = np.concatenate([common[is_equal], keys[is_rightly_absent]])
    differing = np.setdiff1d(np.union1d(keys, copies), settled)
    if len(differing) > most:
        return None
    return Candidates(differing.tolist(), _places(source, differing), _places(copy, differing))


def _places(rows: NDArray[np.void], keys: NDArray[np.int64]) -> list[str]:
    found = rows[np.isin(rows["key"], keys)]
    return [f"({block},{number})" for block, number in zip(found["place"], found["place_0"], strict=True)]


def _told(session: psycopg.Connection, statement: Composable, kind: np.dtype[np.void]) -> Iterator[NDArray[np.void]]:
    """The rows of a statement, block by block."""
    session.execute(sql.SQL("set local work_mem = {}").format(sql.Literal(WORK_MEM)))
    copy = sql.SQL("copy ({}) to stdout (format binary)").format(statement)
    told, skipped = bytearray(), HEADER_BYTES
    with session.cursor() as cursor, cursor.copy(copy) as pieces:
        for piece in pieces:
            told += piece
            if len(told) >= BLOCK_BYTES:
                rows = (len(told) - skipped) // kind.itemsize
                yield np.frombuffer(bytes(told), dtype=kind, offset=skipped, count=rows)
                del told[: skipped + rows * kind.itemsize]
                skipped = 0
    yield np.frombuffer(bytes(told), dtype=kind, offset=skipped, count=(len(told) - skipped) // kind.itemsize)


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
