"""The line between a source under way and its target, with an oracle beside it.

`World` does what operators, schedulers and bad luck do, and after each of these asks what must hold whatever
happened (FAULTS.md section 4): rows conserved as the target itself shows it, the watermark behind every open
transaction, nothing older over anything newer, no dead letter lost. Machines draw what happens from a seed, scenarios
of planted bugs write it down; both use this.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from syncline import steps
from syncline.adapters import failpoints
from syncline.core.errors import BatchHeld, TransientError
from syncline.core.values import BatchSummary, Mode, RunRequest, State, Verdict
from tests.faults.invariants import AT_THE_TARGET, QUESTIONS
from tests.integration.conftest import JOB, MANIFEST, MAPPING, Lab
from tests.integration.faults import until
from tests.machines.hub import BAD, Change, Hub, Key, Row

GRANTED, REFUSED = ("t1", "t2"), "t9"
KEYS: list[Key] = [(tenant, person) for tenant in (*GRANTED, REFUSED) for person in ("p1", "p2")]
ANCHOR: Key = ("t1", "anchor")  # an empty source proves nothing, and is another test
DAY = timedelta(days=1)
MAPPINGS: dict[str, list[Any]] = {"as it is": ["trim"], "in capitals": ["trim", "upper"]}
PLACES = tuple(failpoints.PLACES)
TARGET_ROWS = """
    select tenant_id, person_no, name, born::text, source_event_at, is_gone, xmin::text, sync_batch_id from lab.person
"""


def requests() -> dict[str, dict[str, Any]]:
    """Runs of every kind, by name. Windows are days around today, and overlap."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = {"last week": (-4, -1), "until today": (-2, 1), "today": (0, 1), "this week": (0, 4), "never": (-900, -899)}
    windows = {name: (today + DAY * begin, today + DAY * end) for name, (begin, end) in days.items()}
    return {
        "incremental": {},
        "full": {"mode": Mode.FULL},
        "dry incremental": {"dry_run": True},
        "dry full": {"mode": Mode.FULL, "dry_run": True},
        "one tenant": {"tenants": ("t2",)},
        "one tenant, full": {"mode": Mode.FULL, "tenants": ("t1",)},
        **{f"window {name}": {"mode": Mode.WINDOW, "window": window} for name, window in windows.items()},
        **{f"backfill {name}": {"is_backfill": True, "window": window} for name, window in windows.items()},
    }


@dataclass(frozen=True)
class Shown:
    """One row of the target, with the transaction that wrote it."""

    name: str
    born: str | None
    at: datetime
    is_gone: bool
    xmin: str
    batch_id: int

    @property
    def content(self) -> tuple[Any, ...]:
        return self.name, self.born, self.at, self.is_gone

    @property
    def serial(self) -> int:
        return int(self.name.split()[1])


Table = dict[Key, Shown]


class Places:
    """Has a thread of this process do something when it comes to a failpoint."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, always: dict[str, Callable[[], None]]) -> None:
        """`always` is done at every passing, before anything else."""
        self._mine, self._always = threading.local(), always
        armed = tuple(failpoints.Armed(place, 1, "RAISE") for place in PLACES)
        monkeypatch.setattr(failpoints, "_armed", armed)
        monkeypatch.setattr(failpoints, "_pass", self._pass)

    @contextmanager
    def at(self, place: str, act: Callable[[], None], *, turn: int = 1) -> Iterator[None]:
        """Do something at the n-th passing of a place by the calling thread."""
        self._mine.plan = (place, act)
        self._mine.left = turn
        try:
            yield
        finally:
            self._mine.plan = None

    def _pass(self, name: str) -> None:
        if name in self._always:
            self._always[name]()
        plan = getattr(self._mine, "plan", None)
        if plan is None or plan[0] != name:
            return
        self._mine.left -= 1
        if self._mine.left == 0:
            plan[1]()


def crash() -> None:
    raise TransientError("a crash, as the machine wants it")


class World:
    """One job between hub and target, and what must always hold."""

    is_unfenced = False  # where a test takes the fence away, to see what holds without it

    def __init__(self, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lab = lab
        self.hub = Hub(lab)
        self.places = Places(monkeypatch, {"extract.begun": self._see})
        self._sessions: dict[str, psycopg.Connection[dict[str, Any]]] = {}
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.mapping = "as it is"
        self.runs: list[tuple[str, str]] = []  # run key, kind
        self.watermark = 0
        self.granted = {*GRANTED}
        self.seen: dict[Key, Row] = {}  # the source as the last extraction saw it
        self.losses = self.losses_seen = self.losses_mended = 0  # what only a full run looks for
        self.lost: set[Key] = set()  # rows of the target that went by somebody else's hand
        self.oldest: dict[Key, int] = {}  # the oldest write that the target may show from now on
        self.shown: set[Key] = set()

    def reset(self) -> None:
        """An empty world; databases, tables and grants stay."""
        self.hub.reset()
        self._empty("payroll", "truncate lab.person")
        self.ask(
            "payroll", "delete from syncline.job_tenant where job_id = %s and tenant_id <> all(%s)", JOB, [*GRANTED]
        )
        for table in self._tables("payroll", "syncline"):
            if table != "job_tenant":
                self.ask("payroll", f'delete from syncline."{table}"')
        for table in self._tables("payroll", "staged"):
            self._empty("payroll", f'drop table staged."{table}"')
        tables = ", ".join(f'ledger."{table}"' for table in self._tables("warehouse", "ledger"))
        self.ask("warehouse", "alter table ledger.audit disable trigger user")
        self._empty("warehouse", f"truncate {tables} restart identity")
        self.ask("warehouse", "alter table ledger.audit enable trigger user")
        self.lab.manifest, self.lab.mapping = deepcopy(MANIFEST), deepcopy(MAPPING)
        self.lab.manifest["errors"] |= {"rejected_ratio_max": 1.0, "deleted_ratio_max": 1.0}
        self._begin_anew()

    def close(self) -> None:
        self.hub.close()
        for session in self._sessions.values():
            session.close()

    # -- what happens -----------------------------------------------------------------------------------------

    def map(self, mapping: str) -> None:
        """Let another version of the mapping be deployed."""
        self.mapping = mapping
        self.lab.mapping["fields"]["name"]["steps"] = MAPPINGS[mapping]

    def lose(self, key: Key) -> None:
        """Have somebody else delete a row of the target."""
        self.losses += 1
        self.lost.add(key)
        self.ask("payroll", "delete from lab.person where tenant_id = %s and person_no = %s", *key)

    def vanish(self, *keys: Key) -> None:
        """Delete rows of the source for good; only a batch that compares keys sees it."""
        self.hub.write(*(Change(key, "vanish") for key in keys))
        self.losses += self.lab.manifest["source"].get("key_set") != "every_run"

    def grant(self, tenant: str) -> None:
        """Let the job touch one more tenant; what was refused before is read again by a full run."""
        self.granted.add(tenant)
        self.losses += 1
        self.ask("payroll", "insert into syncline.job_tenant values (%s, %s) on conflict do nothing", JOB, tenant)

    def delete_by(self, policy: str, *, flag: bool, key_set: str = "never") -> None:
        """What a deleted row of the source does to the target, and how the job comes to know of it."""
        source, target = self.lab.manifest["source"], self.lab.manifest["target"]
        target["on_delete"] = policy
        if policy == "soft":
            target["deleted"] = "is_gone"
        if not flag:
            del source["deleted"]
        source["key_set"] = key_set

    def run(
        self,
        kind: str = "incremental",
        *,
        again: str = "",
        place: str = "",
        act: Callable[[], None] | None = None,
        turn: int = 1,
    ) -> BatchSummary | None:
        """One run of the line, judged by what it leaves; None where it was held or died.

        Args:
            again: The key of an earlier run; a new one without it.
            place, act, turn: What happens while it runs; at a place without `act` it dies.
        """
        run_key = again or f"run {len(self.runs) + 1}"
        if not again:
            self.runs.append((run_key, kind))
        with self.judged(), self.places.at(place, act or crash, turn=turn):
            try:
                return steps.run_line(self.lab.job, RunRequest(run_key=run_key, **requests()[kind]))
            except BatchHeld:
                return None
            except TransientError:
                if not place or act is not None:
                    raise
                return None

    def lab_run(self, kind: str) -> BatchSummary | None:
        """A run that is not judged, for tests that bend the target behind its back; None where it was held."""
        try:
            return self.lab.run(**requests()[kind])
        except BatchHeld:
            return None

    def kill(self, kind: str, place: str) -> None:
        """The same in a process of its own, which is killed at a place, or comes through where it never gets there."""
        asked = requests()[kind]
        arguments = ["--take-over"]
        if "mode" in asked or "window" in asked:
            arguments += ["--mode", str(asked.get("mode", Mode.WINDOW))]
        if "window" in asked:
            begin, end = (f"{moment:%Y-%m-%d}" for moment in asked["window"])
            arguments += ["--window-from", begin, "--window-to", end]
        arguments += [f"--tenant={tenant}" for tenant in asked.get("tenants", ())]
        arguments += ["--dry-run"] if asked.get("dry_run") else []
        self._see()
        with self.judged():
            self.lab.shell("run", JOB, *arguments, SYNCLINE_FAILPOINTS=f"{place}:KILL" if place else "")
            until(
                "the dead sessions end",
                lambda: (
                    not self.ask(
                        "payroll",
                        "select from pg_stat_activity where application_name like 'syncline %%' and pid <> %s",
                        0,
                    )
                ),
            )

    # -- what must hold ---------------------------------------------------------------------------------------

    @contextmanager
    def judged(self) -> Iterator[None]:
        """Whatever happens inside, afterwards the target and the ledger must be explained by each other."""
        target, loaded, mark = self.target(), self._markers(), self._mark()
        yield
        self._changes_are_those_of_one_batch(target, self.target(), {*self._markers()} - {*loaded})
        self.questions_are_answered()
        self.nothing_older_wins()
        self._watermark_is_safe()
        moved = self._mark()
        if moved is None or moved == mark:
            return
        if moved["mode"] == Mode.FULL:
            self.losses_mended = self.losses_seen
        if not self.has_lost:
            self.target_agrees(self.seen)
            self.letters_agree(self.seen)

    def _changes_are_those_of_one_batch(self, before: Table, after: Table, loaded: set[int]) -> None:
        """C and O: what differs in the target is what one marker and the ledger's counts say, tenant by tenant."""
        changed = _difference(before, after)
        if not loaded:
            assert not changed, f"rows changed by nobody: {changed}"
            return
        (batch_id,) = loaded
        found = Counter((tenant, outcome) for (tenant, _), outcome in changed.items())
        marked = self.ask("payroll", "select counts from syncline.marker where batch_id = %s", batch_id)[0]["counts"]
        told = self.ask(
            "warehouse",
            "select c.* from ledger.tenant_count as c join ledger.batch as b using (batch_id)"
            " where batch_id = %s and loaded_at is not null",
            batch_id,
        )
        for counts in (marked, {row["tenant_id"]: row for row in told} or marked):
            for tenant in {tenant for tenant, _ in (*before, *after, *self.hub.rows)}:
                said = counts.get(tenant, {})
                gone = said.get("deleted_rows", 0) + said.get("removed_rows", 0)
                for outcome, rows in (("inserted", None), ("updated", None), ("deleted", gone)):
                    rows = said.get(f"{outcome}_rows", 0) if rows is None else rows
                    assert rows == found[tenant, outcome], f"{rows} {outcome} in {tenant}, the target shows {changed}"
        refused = {tuple(row["source_key"]) for row in self._letters("batch_id = %s", batch_id)}
        assert not refused & {*changed}, "rows that were rejected and written"

    def questions_are_answered(self) -> None:
        """C, G, F, T, A and L, as tests/faults asks for them."""
        for said, question in QUESTIONS.items():
            assert self.ask("warehouse", question) == [], said
        for said, question in AT_THE_TARGET.items():
            assert self.ask("payroll", question) == [], said

    def nothing_older_wins(self) -> None:
        """M and D: a row never goes back to an earlier write, and what was deleted comes back by a later one only."""
        alive = self.alive()
        for key in self.shown - {*alive} - self.lost:
            self.oldest[key] += 1
        for key, row in alive.items():
            assert row.serial >= self.oldest.get(key, 0), f"{key} went back to write {row.serial}"
            self.oldest[key] = row.serial
        self.shown = {*alive}
        self.lost -= self.shown

    def _watermark_is_safe(self) -> None:
        """W and the gate: it stands on a published batch, behind every open transaction, and never goes back."""
        mark = self._mark()
        if mark is None:
            return
        assert mark["state"] == State.PUBLISHED
        assert mark["at"] >= self.watermark, "the watermark went back"
        assert mark["is_loaded"], "the watermark stands on a batch that was never loaded"
        assert all(mark["at"] <= xid for xid in self.hub.open_xids()), "the watermark has passed an open transaction"
        self.watermark = mark["at"]

    def target_agrees(self, rows: dict[Key, Row]) -> None:
        """V: both ways, every row as the mapping makes it. Of a row that is rejected the target may keep an old one."""
        alive = self.alive()
        found = {key: (row.name, row.born) for key, row in alive.items() if not self.is_rejected(key, rows)}
        expected = {key: row for key, row in rows.items() if not self.is_deleted(row)}
        assert {*alive} <= {*expected}, "rows that the source has not"
        assert found == {key: self._mapped(row) for key, row in expected.items() if not self.is_rejected(key, rows)}

    def letters_agree(self, rows: dict[Key, Row]) -> None:
        """Who is rejected has an open letter, and nobody else; of a row that is gone nobody has to act on it."""
        told = {tuple(row["source_key"]) for row in self._letters("state = 'open'")}
        kept = {key for key, row in rows.items() if not self.is_deleted(row)}
        assert told & kept == {key for key in kept if self.is_rejected(key, rows)}

    def settle(self, kind: str = "incremental", *, is_replayed: bool = True) -> None:
        """Faults stop: one run makes all well, and running it again changes nothing, not even a row's xmin."""
        done = self.run(kind)
        assert done is not None, "a quiet run was held"
        assert (done.state, done.verdict) == (State.PUBLISHED, Verdict.MATCHED)
        assert not self.has_lost
        self.target_agrees(self.hub.rows)
        self.letters_agree(self.hub.rows)
        if is_replayed:
            self.nothing_changes(lambda: self.run(kind))

    def nothing_changes(self, replay: Callable[[], Any]) -> None:
        """N: the same rows, written by the same transactions, and the same letters."""
        target = self.target()
        replay()
        assert self.target() == target
        self.letters_agree(self.hub.rows)

    def settle_all(self) -> None:
        """N ticks after the last fault: with transactions still open, after they ended, and for every old run key."""
        if not self.has_lost:
            self.settle(is_replayed=False)
        self.settle("full")
        if self.hub.under_way or self.hub.prepared:
            self.hub.end_all("commit")
            self.settle()
        for run_key, kind in self.runs[:: max(1, len(self.runs) // 3)]:
            self.nothing_changes(lambda run_key=run_key, kind=kind: self.run(kind, again=run_key))
        assert self._tables("payroll", "staged") == []

    # -- what is so -------------------------------------------------------------------------------------------

    def target(self) -> Table:
        return {
            (row["tenant_id"], row["person_no"]): Shown(
                row["name"], row["born"], row["source_event_at"], row["is_gone"], row["xmin"], row["sync_batch_id"]
            )
            for row in self.ask("payroll", TARGET_ROWS)
        }

    def alive(self) -> Table:
        return {key: row for key, row in self.target().items() if not row.is_gone}

    def is_deleted(self, row: Row) -> bool:
        """Whether a row of the source is flagged, in a job that looks at flags and acts on them."""
        acts = self.lab.manifest["target"]["on_delete"] != "ignore" and "deleted" in self.lab.manifest["source"]
        return row.is_deleted and acts

    def is_rejected(self, key: Key, rows: dict[Key, Row]) -> bool:
        return key[0] not in self.granted or (key in rows and rows[key].born == BAD)

    @property
    def has_lost(self) -> bool:
        """Whether something has happened that only a full run looks for, and none has since."""
        return self.losses > self.losses_mended

    def ask(self, database: str, statement: str, *parameters: Any) -> list[dict[str, Any]]:
        """Anything, as the superuser, over a session that stays."""
        if database not in self._sessions:
            conninfo = make_conninfo(self.lab.admin, dbname=database, application_name="the oracle")
            self._sessions[database] = psycopg.connect(conninfo, autocommit=True, row_factory=dict_row)
        cursor = self._sessions[database].execute(statement.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def _see(self) -> None:
        self.seen, self.losses_seen = dict(self.hub.rows), self.losses

    # -- inside -----------------------------------------------------------------------------------------------

    def _mapped(self, row: Row) -> tuple[str, str]:
        return (row.name.upper() if self.mapping == "in capitals" else row.name), row.born

    def _mark(self) -> dict[str, Any] | None:
        rows = self.ask(
            "warehouse",
            "select batch_id, state, mode, pg_snapshot_xmin(snapshot)::text::bigint as at"
            " from ledger.watermark join ledger.batch using (batch_id)",
        )
        return {**rows[0], "is_loaded": rows[0]["batch_id"] in self._markers()} if rows else None

    def _markers(self) -> list[int]:
        return [row["batch_id"] for row in self.ask("payroll", "select batch_id from syncline.marker")]

    def _letters(self, which: str, *parameters: Any) -> list[dict[str, Any]]:
        return self.ask("warehouse", f"select * from ledger.dead_letter where {which}", *parameters)

    def _tables(self, database: str, schema: str) -> list[str]:
        found = self.ask(
            database,
            "select relname from pg_class where relkind = 'r' and relnamespace = to_regnamespace(%s) order by 1",
            schema,
        )
        return [row["relname"] for row in found]

    def _empty(self, database: str, statement: str) -> None:
        """What needs a lock on a table; a session that is left over must not make the test wait for ever."""
        self.ask(database, "set lock_timeout = '10s'")
        self.ask(database, statement)


def _difference(before: Table, after: Table) -> dict[Key, str]:
    """What happened to each row that differs, as the table itself shows it. A row rewritten as it was is a fault."""
    found: dict[Key, str] = {}
    for key in {*before, *after}:
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        assert old is None or new is None or old.content != new.content, f"{key} was written anew as it was"
        if new is None or (old is not None and new.is_gone and not old.is_gone):
            found[key] = "deleted"
        else:
            found[key] = "inserted" if old is None else "updated"
    return found
