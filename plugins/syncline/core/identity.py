"""Which source a batch read, and whether the next one reads the same.

A remembered snapshot means something only in the history that it was taken in. A source that was restored, cloned,
failed over or made anew counts its transactions from another point: rows would be missed without a word. So each
batch leaves what identifies its source, and the next compares before its first row.

A role may not see all of it; what one side does not say is not compared. A copy that was restored without a new
timeline, and that has since written more than was lost, looks like its original: no counter of the server tells it.
Only values are compared here; adapters/identity.py asks for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class SourceIdentity:
    """What identifies a source, and how far its history had come.

    Attributes:
        connection, table: As the manifest named them.
        system: System identifier: of all servers that were copied from one another the same. None: not told.
        timeline: Grows with each promotion and each recovery to a point in time. None: not told.
        database, relation: Their oids; the relation's is None where the database has no such table.
        leaves: Oids of the tables that hold the rows: partitions, and tables that inherit.
        columns: Number of each column that the job reads: a column that was dropped and made again has another.
        position: Bytes of the log that are safe, or that a replica has replayed. None: not told.
        next_xid: Every later transaction has this number or a higher one.
        oldest_xid: No transaction below it was still open.
        is_replica: In recovery: it follows another server and may be behind it.
    """

    connection: str
    table: str
    database: int
    next_xid: int
    oldest_xid: int
    system: str | None = None
    timeline: int | None = None
    relation: int | None = None
    leaves: tuple[int, ...] = ()
    columns: Mapping[str, int] = field(default_factory=dict)
    position: int | None = None
    is_replica: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Self:
        return cls(**{**said, "leaves": tuple(said["leaves"])})

    def is_named_like(self, other: SourceIdentity) -> bool:
        """Whether the manifest still names what it named then: another name is another source, and meant so."""
        return (self.connection, self.table) == (other.connection, other.table)

    def server_differences(self, stored: SourceIdentity) -> list[str]:
        """In what the server is another one than was remembered, or has gone back; empty where it has not."""
        said = [*_unequal(self, stored, "system", "system identifier"), *_unequal(self, stored, "timeline", "timeline"),
                *_unequal(self, stored, "database", "database oid")]  # fmt: skip
        return said or ([] if self.is_replica else self.went_back(stored))

    def went_back(self, stored: SourceIdentity) -> list[str]:
        """Counters that stand below what was remembered: history was undone, or a replica is not yet as far."""
        said = []
        if self.next_xid < stored.oldest_xid:
            said.append(f"next transaction {self.next_xid}, it was {stored.oldest_xid} at least")
        if self.position is not None and stored.position is not None and self.position < stored.position:
            said.append(f"log position {lsn(self.position)}, it was {lsn(stored.position)}")
        return said

    def table_differences(self, stored: SourceIdentity) -> list[str]:
        return list(_unequal(self, stored, "relation", f"oid of {self.table}"))

    def new_leaves(self, stored: SourceIdentity) -> tuple[int, ...]:
        """Tables that have joined since: rows in them may be older than the remembered snapshot."""
        return tuple(sorted({*self.leaves} - {*stored.leaves}))

    def remade_columns(self, stored: SourceIdentity) -> list[str]:
        """Columns that were dropped and made again: their values changed, and no row version says so."""
        return sorted(name for name, n in self.columns.items() if stored.columns.get(name, n) != n)


@dataclass(frozen=True)
class Sighting:
    """What a batch saw of its two sides, as the next one will compare it.

    Attributes:
        source_columns, target_columns: Column -> type, of the tables that are read and written.
        notes: Changes that pass, in words: names and types only.
    """

    identity: SourceIdentity
    source_columns: Mapping[str, str] = field(default_factory=dict)
    target_columns: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def lsn(position: int) -> str:
    """A position in the log as PostgreSQL writes it."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def _unequal(found: SourceIdentity, stored: SourceIdentity, name: str, called: str) -> Iterator[str]:
    now, then = getattr(found, name), getattr(stored, name)
    if now is not None and then is not None and now != then:
        yield f"{called} {now}, it was {then}"
