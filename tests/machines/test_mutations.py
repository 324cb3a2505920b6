"""Meta: whatever one row of the copy is changed into by somebody else, a batch sees it.

Missing, extra and swapped rows are seen by every run, because counts per tenant disagree; a changed field by a full
run, which compares all records. Seen means: held, or mended and told as written.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.machines.hub import Change
from tests.machines.seeds import search
from tests.machines.world import ANCHOR, World

KEYS = [ANCHOR, ("t1", "p1"), ("t1", "p2"), ("t2", "p1"), ("t2", "p2")]
KEY = st.sampled_from(KEYS)
FIELDS = {"name": "'Ann 0'", "born": "date '1999-09-09'", "source_event_at": "now() - interval '9 days'"}


class Mutations(RuleBasedStateMachine):
    """One mutation at a time, each mended before the next."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.numbers: Iterator[int] = count()

    @initialize()
    def begin(self) -> None:
        self.world.reset()
        self.world.hub.write(*(Change(key) for key in KEYS))
        self.world.settle("full", is_replayed=False)

    @rule(key=KEY)
    def missing(self, key: tuple[str, str]) -> None:
        self.world.lose(key)
        self._is_seen_by_counts()
        self._is_mended()

    @rule(tenant=st.sampled_from(["t1", "t2"]))
    def extra(self, tenant: str) -> None:
        """Nobody may delete what the source never had: a person must look."""
        name = f"extra {next(self.numbers)}"
        row = [tenant, name]
        self.world.ask("payroll", "insert into lab.person (tenant_id, person_no, name) values (%s, %s, 'Ann 0')", *row)
        self._is_seen_by_counts()
        assert self.world.lab_run("full") is None
        self.world.ask("payroll", "delete from lab.person where tenant_id = %s and person_no = %s", *row)

    @rule(key=KEY, field=st.sampled_from([*FIELDS]))
    def changed(self, key: tuple[str, str], field: str) -> None:
        changed = f"update lab.person set {field} = {FIELDS[field]} where tenant_id = %s and person_no = %s"
        self.world.ask("payroll", changed, *key)
        self._is_mended()

    @rule(key=KEY)
    def swapped(self, key: tuple[str, str]) -> None:
        """The row of one tenant stands under another's name, where the number is free."""
        tenant, name = key
        other = {"t1": "t2", "t2": "t1"}[tenant]
        moved = f"moved {next(self.numbers)}"
        self.world.ask(
            "payroll",
            "update lab.person set tenant_id = %s, person_no = %s where tenant_id = %s and person_no = %s",
            other, moved, tenant, name,
        )  # fmt: skip
        self._is_seen_by_counts()
        self.world.ask("payroll", "delete from lab.person where tenant_id = %s and person_no = %s", other, moved)
        self._is_mended()

    def _is_seen_by_counts(self) -> None:
        assert self.world.lab_run("incremental") is None, "an incremental run saw nothing"

    def _is_mended(self) -> None:
        done = self.world.lab_run("full")
        assert done is not None
        assert done.counts.changed_rows == 1, "the mutation was not told as written"
        self.world.target_agrees(self.world.hub.rows)


def test_every_single_row_mutation_is_seen(world: World, request: pytest.FixtureRequest) -> None:
    search(request, lambda: Mutations(world), examples=1, steps=4)


@pytest.mark.long
@pytest.mark.timeout(0)
def test_every_single_row_mutation_is_seen_at_length(world: World, request: pytest.FixtureRequest) -> None:
    search(request, lambda: Mutations(world), examples=40, steps=20)
