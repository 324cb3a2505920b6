"""Any interleaving of writes, runs of every kind, crashes and drift ends, after one more run, in what the source says.

A hypothesis machine on the real lab. Small here, larger by hand; everything it does follows from one seed:
`SYNCLINE_SEED=7 SYNCLINE_EXAMPLES=200 .venv/bin/python -m pytest tests/integration/test_convergence.py --timeout 0`
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from syncline.adapters import failpoints
from syncline.core.errors import BatchHeld, TransientError
from syncline.core.values import Mode, State, Verdict
from tests.integration.conftest import LEDGER_RESET, SOURCE_DDL, TARGET_DDL, Lab
from tests.integration.faults import BOUNDARIES

SEED = int(os.environ.get("SYNCLINE_SEED", "20260704"))
EXAMPLES = int(os.environ.get("SYNCLINE_EXAMPLES", "5"))
GRANTED, REFUSED = ("t1", "t2"), "t9"
Key: TypeAlias = tuple[str, str]
KEYS = [(tenant, person) for tenant in (*GRANTED, REFUSED) for person in ("p1", "p2")]
DAY = timedelta(days=1)
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)
RUNS: dict[str, dict[str, Any]] = {
    "incremental": {},
    "full": {"mode": Mode.FULL},
    "window": {"mode": Mode.WINDOW, "window": (datetime.now(UTC) - DAY, datetime.now(UTC) + DAY)},
    "empty window": {"mode": Mode.WINDOW, "window": (LONG_AGO, LONG_AGO + DAY)},
    "dry": {"dry_run": True},
    "one tenant": {"tenants": ("t2",)},
}
KINDS = st.sampled_from(["incremental", *RUNS])  # twice: it is the one that runs every night
UNBALANCED = """
    select c.* from ledger.tenant_count as c join ledger.batch as b using (batch_id)
    where b.loaded_at is not null
      and (c.extracted_rows <> c.staged_rows + c.rejected_rows
           or c.staged_rows <> c.inserted_rows + c.updated_rows + c.deleted_rows + c.unchanged_rows
                               + c.superseded_rows + c.conflicted_rows)
"""


class Line(RuleBasedStateMachine):
    """The hub as a dictionary beside the real hub; the line under test; what must always hold."""

    def __init__(self, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.lab, self.monkeypatch = lab, monkeypatch
        self.hub: dict[Key, tuple[str, str, bool]] = {}
        self.runs = 0
        self.watermark = 0
        self.has_lost = False

    @initialize(number=st.integers(0, 2**64))
    def begin(self, number: int) -> None:
        # Changes are drawn from here: hypothesis prefers simple ones, and then no row is ever changed twice.
        self.random = Random(number)
        self.lab.sql("mdm", SOURCE_DDL)
        self.lab.sql("payroll", TARGET_DDL)
        self.lab.ledger(LEDGER_RESET)
        self._put(("t1", "anchor"), "Ann", "1990-01-01")  # an empty source proves nothing, and is another test

    # -- nights -----------------------------------------------------------------------------------------------

    @rule(kind=KINDS)
    def night(self, kind: str) -> None:
        self._change()
        self._run(self._next_key(), kind)

    @rule(kind=KINDS, place=st.sampled_from(BOUNDARIES), is_retried=st.booleans())
    def night_with_a_crash(self, kind: str, place: str, is_retried: bool) -> None:
        self._change()
        run_key = self._next_key()
        with self.monkeypatch.context() as armed, suppress(TransientError):
            armed.setattr(failpoints, "_ARMED", f"{place}:RAISE")
            failpoints._passed.clear()
            self._run(run_key, kind)
        self._change()
        if is_retried:
            self._run(run_key, kind)

    @rule(kind=KINDS)
    def night_after_a_loss_at_the_target(self, kind: str) -> None:
        self.has_lost = True
        lost = self.random.choice(KEYS)
        self.lab.sql("payroll", "delete from lab.person where tenant_id = %s and person_no = %s", *lost)
        self._run(self._next_key(), kind)

    # -- what holds -------------------------------------------------------------------------------------------

    @invariant()
    def rows_are_conserved(self) -> None:
        assert self.lab.ledger(UNBALANCED) == []

    @invariant()
    def the_watermark_is_published_and_never_moves_backwards(self) -> None:
        rows = self.lab.ledger(
            "select pg_snapshot_xmin(snapshot)::text::bigint as at, state from ledger.watermark"
            " join ledger.batch using (batch_id)"
        )
        now = rows[0]["at"] if rows else 0
        assert now >= self.watermark
        assert {row["state"] for row in rows} <= {"published"}
        self.watermark = now

    @invariant()
    def no_row_of_a_refused_tenant_is_in_the_target(self) -> None:
        assert self.lab.sql("payroll", "select * from lab.person where tenant_id = %s", REFUSED) == []

    def teardown(self) -> None:
        """An incremental run settles everything; only what was lost at the target takes a full one."""
        if not self.hub:
            return
        if not self.has_lost:
            self._settle("incremental")
        self._settle("full")

    def _settle(self, kind: str) -> None:
        done = self.lab.run(**RUNS[kind])
        assert (done.state, done.verdict) == (State.PUBLISHED, Verdict.MATCHED)
        self.rows_are_conserved()
        self.the_watermark_is_published_and_never_moves_backwards()
        self._target_says_what_the_source_says()
        self._letters_name_what_is_rejected()
        rows = "select xmin::text, * from lab.person order by 2, 3"
        before = self.lab.sql("payroll", rows)
        assert self.lab.run(**RUNS[kind]).counts.changed_rows == 0
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

    def _letters_name_what_is_rejected(self) -> None:
        """A letter of a row that is deleted by now may be open or closed: nobody has to act on it."""
        letters = self.lab.ledger("select source_key from ledger.dead_letter where state = 'open'")
        told = {tuple(row["source_key"]) for row in letters}
        gone = {key for key, (_, _, is_gone) in self.hub.items() if is_gone}
        assert told - gone == {key for key in self.hub if self._is_rejected(key)} - gone

    # -- inside -----------------------------------------------------------------------------------------------

    def _is_rejected(self, key: Key) -> bool:
        _, born, is_gone = self.hub[key]
        return key[0] == REFUSED or (born == "never" and not is_gone)

    def _change(self) -> None:
        """Write, flag as deleted, or delete for good; the last only where no copy of the row can be in the target."""
        for key in self.random.choices(KEYS, k=self.random.randrange(5)):
            what = self.random.choice(["write", "write", "flag", "vanish"])
            if what == "vanish" and key[0] == REFUSED:
                self.hub.pop(key, None)
                self.lab.sql("mdm", "delete from lab.person where tenant_id = %s and person_id = %s", *key)
                continue
            born = self.random.choice(["1990-01-01", "1991-02-03", "never"])
            self._put(key, self.random.choice(["Ann", "Bea", "Zoë"]), born, is_gone=what == "flag")

    def _put(self, key: Key, name: str, born: str, *, is_gone: bool = False) -> None:
        self.hub[key] = (name, born, is_gone)
        self.lab.hub({"tenant_id": key[0], "person_id": key[1], "name": name, "born": born, "is_deleted": is_gone})

    def _next_key(self) -> str:
        self.runs += 1
        return f"run-{self.runs}"

    def _run(self, run_key: str, kind: str) -> None:
        """A run may be held (drift, an interval that leaves rows owed); nothing else may go wrong."""
        with suppress(BatchHeld):
            self.lab.run(run_key, **RUNS[kind])


def test_the_target_converges_whatever_happens_in_between(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.manifest["errors"]["rejected_ratio_max"] = 1.0
    print(f"again: SYNCLINE_SEED={SEED} SYNCLINE_EXAMPLES={EXAMPLES} .venv/bin/python -m pytest {__file__}")
    run_state_machine_as_test(
        seed(SEED)(lambda: Line(lab, monkeypatch)),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=8,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
