"""A writer of the hub that keeps its own account of what it wrote, outside both databases.

Each transaction is a line in a file, forced to disk before the transaction begins, and a second line with its
outcome: committed, undone, or, where the connection was lost at the commit, unknown. What source and target say is
compared with the account, so that a loss which both sides agree on is found as well.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import psycopg
from psycopg.conninfo import make_conninfo

from tests.integration.conftest import Lab

UPSERT = (
    "insert into lab.person (tenant_id, person_id, name, born) values (%s, %s, %s, '1990-01-01')"
    " on conflict (tenant_id, person_id) do update set name = excluded.name, updated_at = clock_timestamp()"
)


class Oracle:
    """Writes people of the hub, by way of any connection, and knows what must be there."""

    def __init__(self, lab: Lab, conninfo: str = "") -> None:
        self._conninfo = conninfo or make_conninfo(lab.admin, dbname="mdm")
        self.path: Path = lab.folder / "oracle.jsonl"
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._turn = 0

    def write(self, people: dict[tuple[str, str], str], *, is_undone: bool = False) -> None:
        """One transaction: (tenant, person) -> name."""
        self._turn += 1
        rows = [[*key, name] for key, name in people.items()]
        self._note({"turn": self._turn, "rows": rows})
        outcome = "unknown"
        try:
            with psycopg.connect(self._conninfo) as session:
                session.cursor().executemany(UPSERT, rows)
                if is_undone:
                    session.rollback()
                    outcome = "undone"
                else:
                    session.commit()
                    outcome = "committed"
        except psycopg.Error:
            pass  # cut before or at its commit: both are possible
        self._note({"turn": self._turn, "outcome": outcome})

    @contextmanager
    def busy(self, seed: int, keys: int = 40) -> Iterator[None]:
        """Write all the while, one small transaction after the other; every seventh is undone."""
        random, is_over = Random(seed), threading.Event()

        def write() -> None:
            while not is_over.wait(0.005):
                chosen = random.sample(range(keys), k=random.randint(1, 4))
                self.write(
                    {("t1", f"w{n}"): f"Ann {self._turn}" for n in sorted(chosen)}, is_undone=random.random() < 1 / 7
                )

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join(30)

    def possible(self) -> dict[tuple[str, str], set[str]]:
        """Per person the names that may stand: one, or more where an outcome is unknown."""
        outcomes, written = {}, {}
        for line in self.path.read_text().splitlines():
            said = json.loads(line)
            if "rows" in said:
                written[said["turn"]] = said["rows"]
            else:
                outcomes[said["turn"]] = said["outcome"]
        may: dict[tuple[str, str], set[str]] = {}
        for turn in sorted(written):
            outcome = outcomes.get(turn, "unknown")
            for tenant, person_id, name in written[turn]:
                if outcome == "committed":
                    may[(tenant, person_id)] = {name}
                elif outcome == "unknown":
                    may[(tenant, person_id)] = {*may.get((tenant, person_id), {""}), name}
        return may

    def agrees(self, lab: Lab) -> None:
        """Assert that source and target hold what was written; an empty name stands for no row."""
        hub = lab.sql("mdm", "select tenant_id, person_id, name from lab.person where not is_deleted")
        for what, found in (
            ("source", {(row["tenant_id"], row["person_id"]): row["name"] for row in hub}),
            ("target", {tuple(key.split("/")): name for key, name in lab.people().items()}),
        ):
            for key, names in self.possible().items():
                assert found.get(key, "") in names, f"{what}: {key} is not what was committed"

    def _note(self, said: dict[str, object]) -> None:
        os.write(self._file, (json.dumps(said) + "\n").encode())
        os.fsync(self._file)
