"""Any interleaving of writes, runs of every kind, crashes and drift ends, after one full run, in what the source says.

A hypothesis machine on the real lab. Small here, larger by hand; everything it does follows from one seed:
`SYNCLINE_SEED=7 SYNCLINE_EXAMPLES=200 .venv/bin/python -m pytest tests/integration/test_convergence.py`
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from syncline.adapters import failpoints
from syncline.core.errors import BatchHeld, TransientError
from syncline.core.values import Mode, State, Verdict
from tests.integration.conftest import LEDGER_RESET, SOURCE_DDL, TARGET_DDL, Lab
from tests.integration.faults import BOUNDARIES

SEED = int(os.environ.get("SYNCLINE_SEED", "20260704"))
EXAMPLES = int(os.environ.get("SYNCLINE_EXAMPLES", "5"))
GRANTED, REFUSED = ("t1", "t2"), "t9"
KEYS = st.tuples(st.sampled_from([*GRANTED, REFUSED]), st.sampled_from(["p1", "p2", "p3"]))
VALUES = st.tuples(st.sampled_from(["Ann", "Bea", "Zoë"]), st.sampled_from(["1990-01-01", "1991-02-03", "never"]))
DAY = timedelta(days=1)
RUNS: dict[str, dict[str, Any]] = {
    "incremental": {},
    "full": {"mode": Mode.FULL},
    "window": {"mode": Mode.WINDOW, "window": (datetime.now(UTC) - DAY, datetime.now(UTC) + DAY)},
    "empty window": {
        "mode": Mode.WINDOW,
        "window": (datetime(2001, 1, 1, tzinfo=UTC), datetime(2001, 1, 2, tzinfo=UTC)),
    },
    "dry": {"dry_run": True},
    "one tenant": {"tenants": ("t2",)},
}
UNBALANCED = """
    select c.* from ledger.tenant_count as c join ledger.batch as b using (batch_id)
    where b.state in ('loaded', 'reconciled', 'published', 'held', 'dry_run') and b.loaded_at is not null
      and (c.extracted_rows <> c.staged_rows + c.rejected_rows
           or c.staged_rows <> c.inserted_rows + c.updated_rows + c.deleted_rows + c.unchanged_rows
                               + c.superseded_rows + c.conflicted_rows)
"""


class Line(RuleBasedStateMachine):
    """The hub as a dictionary beside the real hub; the line under test; what must always hold."""

    def __init__(self, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.lab, self.monkeypatch = lab, monkeypatch
        self.hub: dict[tuple[str, str], tuple[str, str, bool]] = {}
        self.runs = 0
        self.unfinished: str | None = None
        self.watermark = 0

    @initialize()
    def begin(self) -> None:
        self.lab.sql("mdm", SOURCE_DDL)
        self.lab.sql("payroll", TARGET_DDL)
        self.lab.ledger(LEDGER_RESET)
        self.write(("t1", "anchor"), ("Ann", "1990-01-01"))  # an empty source proves nothing, and is another test

    # -- what others do ---------------------------------------------------------------------------------------

    @rule(key=KEYS, value=VALUES)
    def write(self, key: tuple[str, str], value: tuple[str, str]) -> None:
        self._put(key, *value, is_deleted=False)

    @precondition(lambda self: len(self.hub) > 1)
    @rule(data=st.data())
    def flag_deleted(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(key for key in self.hub if key[1] != "anchor")))
        name, born, _ = self.hub[key]
        self._put(key, name, born, is_deleted=True)

    @rule(person_id=st.sampled_from(["p1", "p2", "p3"]))
    def lose_a_rejected_row_at_the_source(self, person_id: str) -> None:
        self.hub.pop((REFUSED, person_id), None)
        self.lab.sql("mdm", "delete from lab.person where tenant_id = %s and person_id = %s", REFUSED, person_id)

    @rule(key=KEYS)
    def lose_a_row_at_the_target(self, key: tuple[str, str]) -> None:
        self.lab.sql("payroll", "delete from lab.person where tenant_id = %s and person_no = %s", *key)

    # -- what we do -------------------------------------------------------------------------------------------

    @rule(kind=st.sampled_from(sorted(RUNS)))
    def run(self, kind: str) -> None:
        self._run(self._next_key(), **RUNS[kind])

    @rule(kind=st.sampled_from(sorted(RUNS)), place=st.sampled_from(BOUNDARIES))
    def crash(self, kind: str, place: str) -> None:
        self.unfinished = self._next_key()
        with self.monkeypatch.context() as armed:
            armed.setattr(failpoints, "_ARMED", f"{place}:RAISE")
            failpoints._passed.clear()
            self._run(self.unfinished, **RUNS[kind])

    @precondition(lambda self: self.unfinished is not None)
    @rule()
    def retry(self) -> None:
        self._run(self.unfinished or "")

    # -- what holds -------------------------------------------------------------------------------------------

    @invariant()
    def rows_are_conserved(self) -> None:
        assert self.lab.ledger(UNBALANCED) == []

    @invariant()
    def the_watermark_never_moves_backwards(self) -> None:
        rows = self.lab.ledger("select pg_snapshot_xmin(snapshot)::text::bigint as at from ledger.watermark")
        now = rows[0]["at"] if rows else 0
        assert now >= self.watermark
        self.watermark = now

    @invariant()
    def each_batch_has_at_most_one_marker_and_only_matched_ones_are_published(self) -> None:
        published = self.lab.ledger("select verdict from ledger.batch where state = 'published'")
        assert {row["verdict"] for row in published} <= {"matched"}
        refused = self.lab.sql("payroll", "select * from lab.person where tenant_id <> all(%s)", list(GRANTED))
        assert refused == []

    def teardown(self) -> None:
        """One full run settles everything; a second one changes nothing."""
        if self.hub:
            self._settle()

    def _settle(self) -> None:
        done = self.lab.run(mode=Mode.FULL)
        assert (done.state, done.verdict) == (State.PUBLISHED, Verdict.MATCHED)
        self.rows_are_conserved()
        self.the_watermark_never_moves_backwards()
        self._target_says_what_the_source_says()
        letters = self.lab.ledger("select source_key from ledger.dead_letter where state = 'open'")
        assert sorted(tuple(row["source_key"]) for row in letters) == sorted(filter(self._is_rejected, self.hub))
        rows = "select xmin::text, * from lab.person order by 2, 3"
        before = self.lab.sql("payroll", rows)
        assert self.lab.run(mode=Mode.FULL).counts.changed_rows == 0
        assert self.lab.sql("payroll", rows) == before

    def _target_says_what_the_source_says(self) -> None:
        """Of a row that is rejected now the target keeps what it had, or nothing."""
        rows = self.lab.sql("payroll", "select tenant_id, person_no, name, born::text from lab.person")
        found = {(row["tenant_id"], row["person_no"]): (row["name"], row["born"]) for row in rows}
        expected = {key: (name, born) for key, (name, born, is_gone) in self.hub.items() if not is_gone}
        assert {key: value for key, value in found.items() if not self._is_rejected(key)} == {
            key: value for key, value in expected.items() if not self._is_rejected(key)
        }
        assert set(found) <= set(expected)

    def _is_rejected(self, key: tuple[str, str]) -> bool:
        _, born, is_gone = self.hub[key]
        return key[0] == REFUSED or (born == "never" and not is_gone)

    def _put(self, key: tuple[str, str], name: str, born: str, *, is_deleted: bool) -> None:
        self.hub[key] = (name, born, is_deleted)
        self.lab.hub({"tenant_id": key[0], "person_id": key[1], "name": name, "born": born, "is_deleted": is_deleted})

    def _next_key(self) -> str:
        self.runs += 1
        return f"run-{self.runs}"

    def _run(self, run_key: str, **request: Any) -> None:
        """A run may be held (drift, an interval that leaves rows owed) or crash; nothing else may go wrong."""
        with suppress(BatchHeld, TransientError):
            self.lab.run(run_key, **request)


def test_the_target_converges_whatever_happens_in_between(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.manifest["errors"]["rejected_ratio_max"] = 1.0
    print(f"again: SYNCLINE_SEED={SEED} SYNCLINE_EXAMPLES={EXAMPLES} .venv/bin/python -m pytest {__file__}")
    run_state_machine_as_test(
        seed(SEED)(lambda: Line(lab, monkeypatch)),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=10,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
