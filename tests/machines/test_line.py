"""Any interleaving of writers, runs of every kind, crashes and changes of the mapping ends in what the source says.

Rows conserved, the watermark behind every open transaction, nothing older over anything newer, no letter lost: asked
after every step (tests/machines/world.py). Several transactions of the source are open at once, with savepoints,
prepared, with clocks that run ahead and behind.
"""

from __future__ import annotations

import sys

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.machines.hub import CLOCKS, WRITERS, Change
from tests.machines.seeds import search
from tests.machines.world import ANCHOR, KEYS, MAPPINGS, PLACES, World, requests

KINDS = st.sampled_from(["incremental", "incremental", *requests()])  # twice: it is the one that runs every night
WHO = st.sampled_from(WRITERS)
CHANGE = st.builds(
    Change,
    key=st.sampled_from(KEYS),
    what=st.sampled_from(["write", "write", "write", "spoil", "flag"]),
    clock=st.sampled_from(["now", *CLOCKS]),
)
CHANGES = st.lists(CHANGE, min_size=1, max_size=3)
ENDS = st.sampled_from(["commit", "abort"])
PLACE = st.sampled_from(PLACES)


class Line(RuleBasedStateMachine):
    """Rules: what writers, operators and bad luck do. The world judges."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world, self.hub = world, world.hub

    @initialize()
    def begin(self) -> None:
        self.world.reset()
        self.hub.write(Change(ANCHOR))

    # -- writers ----------------------------------------------------------------------------------------------

    @rule(changes=CHANGES)
    def write_at_once(self, changes: list[Change]) -> None:
        self.hub.write(*changes)

    @rule(who=WHO)
    def open_a_transaction(self, who: str) -> None:
        self.hub.begin(who)

    @rule(who=WHO, changes=CHANGES)
    def write_in_a_transaction(self, who: str, changes: list[Change]) -> None:
        self.hub.write(*changes, by=who)

    @rule(who=WHO, changes=CHANGES, is_kept=st.booleans())
    def write_in_a_savepoint(self, who: str, changes: list[Change], is_kept: bool) -> None:
        self.hub.write_in_savepoint(*changes, by=who, is_kept=is_kept)

    @precondition(lambda self: self.hub.under_way)
    @rule(data=st.data(), how=st.sampled_from(["commit", "commit", "abort", "prepare"]))
    def end_a_transaction(self, data: st.DataObject, how: str) -> None:
        self.hub.end(data.draw(st.sampled_from(sorted(self.hub.under_way))), how)

    @precondition(lambda self: self.hub.prepared)
    @rule(data=st.data(), how=ENDS)
    def end_a_prepared_transaction(self, data: st.DataObject, how: str) -> None:
        self.hub.end_prepared(data.draw(st.sampled_from(sorted(self.hub.prepared))), how)

    # -- runs -------------------------------------------------------------------------------------------------

    @rule(kind=KINDS)
    def run(self, kind: str) -> None:
        self.world.run(kind)

    @rule(changes=CHANGES, kind=KINDS, place=PLACE, is_retried=st.booleans(), changes_between=CHANGES)
    def crash(
        self, changes: list[Change], kind: str, place: str, is_retried: bool, changes_between: list[Change]
    ) -> None:
        self.hub.write(*changes)
        self.world.run(kind, place=place)
        self.hub.write(*changes_between)
        if is_retried:
            run_key, _ = self.world.runs[-1]
            self.world.run(kind, again=run_key)

    @rule(kind=KINDS, place=PLACE, changes=CHANGES)
    def write_while_it_runs(self, kind: str, place: str, changes: list[Change]) -> None:
        self.world.run(kind, place=place, act=lambda: self.hub.write(*changes))

    @rule(kind=KINDS, place=PLACE, who=WHO, changes=CHANGES)
    def commit_while_it_runs(self, kind: str, place: str, who: str, changes: list[Change]) -> None:
        self.hub.write(*changes, by=who)
        self.world.run(kind, place=place, act=lambda: self.hub.end(who, "commit"))

    @precondition(lambda self: self.world.runs)
    @rule(data=st.data())
    def run_an_old_run_again(self, data: st.DataObject) -> None:
        run_key, kind = data.draw(st.sampled_from(self.world.runs))
        self.world.run(kind, again=run_key)

    # -- changes around it ------------------------------------------------------------------------------------

    @rule(mapping=st.sampled_from([*MAPPINGS]))
    def change_the_mapping(self, mapping: str) -> None:
        self.world.map(mapping)

    @rule(key=st.sampled_from(KEYS))
    def lose_a_row_at_the_target(self, key: tuple[str, str]) -> None:
        self.world.lose(key)

    def teardown(self) -> None:
        if sys.exc_info()[0] is None and self.hub.rows:
            self.world.settle_all()


def test_the_target_converges_whatever_happens_in_between(world: World, request: pytest.FixtureRequest) -> None:
    search(request, lambda: Line(world), examples=3)


class Killed(Line):
    """The same, with processes of their own that are killed."""

    @rule(kind=KINDS, place=PLACE, changes=CHANGES)
    def kill(self, kind: str, place: str, changes: list[Change]) -> None:
        self.hub.write(*changes)
        self.world.kill(kind, place)


@pytest.mark.long
@pytest.mark.timeout(0)
def test_the_target_converges_at_length_and_though_processes_are_killed(
    world: World, request: pytest.FixtureRequest
) -> None:
    search(request, lambda: Killed(world), examples=80, steps=25)
