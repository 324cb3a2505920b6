"""The source with several writers at once, and beside it what each of them has said: the model of the machines.

A writer's transaction may stay open over many runs of the line, have savepoints, be prepared, and set the cursor
column to any time. Two writers never wait for each other here: a key that one has touched is left alone by others
until its transaction ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

import psycopg
from psycopg.conninfo import make_conninfo

from tests.integration.conftest import Lab

Key: TypeAlias = tuple[str, str]
What: TypeAlias = Literal["write", "spoil", "flag", "vanish"]
Clock: TypeAlias = Literal["now", "equal", "behind", "long ago", "ahead"]
AUTOCOMMIT = "autocommit"
WRITERS = ("first", "second", "third")
GOOD, BAD = "1990-01-01", "never"
CLOCKS: dict[Clock, str] = {  # what a writer puts into the cursor column
    "now": "now()",
    "equal": "date_trunc('hour', now())",
    "behind": "now() - interval '30 minutes'",  # less than source.CURSOR_MARGIN_S
    "long ago": "now() - interval '3 days'",
    "ahead": "now() + interval '2 days'",
}
WRITE = """
insert into lab.person (tenant_id, person_id, name, born, is_deleted, updated_at)
values (%s, %s, %s, %s, %s, {at})
on conflict (tenant_id, person_id) do update set (name, born, is_deleted, updated_at)
    = (excluded.name, excluded.born, excluded.is_deleted, excluded.updated_at)
returning updated_at
"""


@dataclass(frozen=True)
class Change:
    """What a writer does to one row."""

    key: Key
    what: What = "write"
    clock: Clock = "now"


@dataclass(frozen=True)
class Row:
    """A row of the source. `serial` counts writes of the whole hub, and stands in the name: the order of truth."""

    serial: int
    born: str
    is_deleted: bool
    at: datetime

    @property
    def name(self) -> str:
        return f"Ann {self.serial}"


@dataclass
class Writer:
    """One transaction that is under way: what it would change, and the transaction id that a watermark may not pass."""

    xid: int | None = None
    changes: dict[Key, Row | None] = field(default_factory=dict)
    touched: set[Key] = field(default_factory=set)


class Hub:
    """Rows as committed, and transactions under way."""

    def __init__(self, lab: Lab) -> None:
        conninfo = make_conninfo(lab.admin, dbname="mdm", application_name="a writer of the hub")
        names = (AUTOCOMMIT, *WRITERS)
        self._sessions = {name: psycopg.connect(conninfo, autocommit=True) for name in names}
        self._forget()

    def _forget(self) -> None:
        self.rows: dict[Key, Row] = {}
        self.under_way: dict[str, Writer] = {}
        self.prepared: dict[str, Writer] = {}
        self.serial = 0

    def reset(self) -> None:
        for name in [*self.under_way]:
            self.end(name, "abort")
        for (name,) in self._ask("select gid from pg_prepared_xacts where database = current_database()"):
            self._say(AUTOCOMMIT, f"rollback prepared '{name}'")
        self._say(AUTOCOMMIT, "truncate lab.person")
        self._forget()

    def close(self) -> None:
        self.reset()
        for session in self._sessions.values():
            session.close()

    # -- writing ----------------------------------------------------------------------------------------------

    def begin(self, writer: str) -> None:
        """Open a transaction that has written nothing yet: its time is now, its id comes with the first write."""
        if writer not in self.under_way:
            self._say(writer, "begin")
            self.under_way[writer] = Writer()

    def write(self, *changes: Change, by: str = AUTOCOMMIT) -> None:
        """Change rows, in one transaction; what another transaction has touched is left out."""
        alone = by == AUTOCOMMIT
        self.begin(by)
        writer = self.under_way[by]
        for change in changes:
            if change.key not in self._touched_by_others(writer):
                self._change(by, writer, change)
        if alone:
            self.end(by, "commit")

    def write_in_savepoint(self, *changes: Change, by: str, is_kept: bool) -> None:
        """The same in a subtransaction, whose transaction id is its own; kept or rolled back."""
        self.begin(by)
        writer = self.under_way[by]
        before = dict(writer.changes)
        self._say(by, "savepoint here")
        self.write(*changes, by=by)
        self._say(by, "release savepoint here" if is_kept else "rollback to savepoint here")
        if not is_kept:
            writer.changes = before

    def fill(self, rows: int) -> None:
        """Many rows of one tenant in one statement: a table of several blocks."""
        statement = (
            "insert into lab.person (tenant_id, person_id, name, born) select 't1', 'f' || n, 'Ann ' || n, %s"
            " from generate_series(%s::integer, %s::integer) as n returning updated_at"
        )
        first, self.serial = self.serial + 1, self.serial + rows
        said = self._sessions[AUTOCOMMIT].execute(statement.encode(), [GOOD, first, self.serial]).fetchall()
        for n, (at,) in enumerate(said, start=first):
            self.rows["t1", f"f{n}"] = Row(n, GOOD, False, at)

    def end(self, writer: str, how: Literal["commit", "abort", "prepare"]) -> None:
        """End a writer's transaction. A prepared one goes on without it."""
        ended = self.under_way.pop(writer)
        if how == "prepare":
            self.serial += 1
            name = f"prepared {self.serial}"
            self._say(writer, f"prepare transaction '{name}'")
            self.prepared[name] = ended
            return
        self._say(writer, "commit" if how == "commit" else "rollback")
        if how == "commit":
            self._commit(ended)

    def end_prepared(self, name: str, how: Literal["commit", "abort"]) -> None:
        self._say(AUTOCOMMIT, f"{'commit' if how == 'commit' else 'rollback'} prepared '{name}'")
        ended = self.prepared.pop(name)
        if how == "commit":
            self._commit(ended)

    def end_all(self, how: Literal["commit", "abort"]) -> None:
        for writer in [*self.under_way]:
            self.end(writer, how)
        for name in [*self.prepared]:
            self.end_prepared(name, how)

    # -- what is so -------------------------------------------------------------------------------------------

    def open_xids(self) -> list[int]:
        """Transactions that may still commit."""
        return [w.xid for w in (*self.under_way.values(), *self.prepared.values()) if w.xid is not None]

    # -- inside -----------------------------------------------------------------------------------------------

    def _touched_by_others(self, me: Writer) -> set[Key]:
        others = (w for w in (*self.under_way.values(), *self.prepared.values()) if w is not me)
        return {key for other in others for key in other.touched}

    def _change(self, name: str, writer: Writer, change: Change) -> None:
        session = self._sessions[name]
        writer.touched.add(change.key)
        if change.what == "vanish":
            session.execute("delete from lab.person where tenant_id = %s and person_id = %s", change.key)
            writer.changes[change.key] = None
        else:
            self.serial += 1
            born, is_deleted = (BAD if change.what == "spoil" else GOOD), change.what == "flag"
            statement = WRITE.format(at=CLOCKS[change.clock]).encode()
            said = (*change.key, f"Ann {self.serial}", born, is_deleted)
            ((at,),) = session.execute(statement, said).fetchall()
            writer.changes[change.key] = Row(self.serial, born, is_deleted, at)
        if writer.xid is None:
            ((xid,),) = session.execute("select pg_current_xact_id()::text").fetchall()
            writer.xid = int(xid)

    def _commit(self, writer: Writer) -> None:
        for key, row in writer.changes.items():
            if row is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = row

    def _say(self, name: str, statement: str) -> None:
        self._sessions[name].execute(statement.encode())

    def _ask(self, query: str) -> Iterable[tuple[Any, ...]]:
        return self._sessions[AUTOCOMMIT].execute(query.encode()).fetchall()
