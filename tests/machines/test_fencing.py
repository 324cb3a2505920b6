"""Of two attempts, no write of the older one commits after the newer one's first commit.

Attempts run in threads, step by step, and are held at any failpoint while the other goes on. The target itself keeps
the order of commits.
"""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from syncline.core.errors import SynclineError
from tests.machines.attempts import LINE, PATIENCE_S, Attempt, nothing_is_overtaken, noting_commits
from tests.machines.hub import Change
from tests.machines.seeds import search
from tests.machines.world import ANCHOR, PLACES, World

ATTEMPTS = ("one", "two")
KEYS = [ANCHOR, ("t1", "p1"), ("t2", "p1")]


class Fencing(RuleBasedStateMachine):
    """Two attempts of one job that know nothing of each other."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.attempts: dict[str, Attempt] = {}
        self.runs = 0

    @initialize()
    def begin(self) -> None:
        self.world.reset()
        self.world.ask("payroll", "truncate lab.commits")
        self.world.hub.write(Change(ANCHOR))
        self.attempts = {name: Attempt(self.world) for name in ATTEMPTS}

    @rule(keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=2), what=st.sampled_from(["write", "flag"]))
    def write(self, keys: list[tuple[str, str]], what: Any) -> None:
        self.world.hub.write(*(Change(key, what if key != ANCHOR else "write") for key in keys))

    @precondition(lambda self: self.idle())
    @rule(data=st.data(), is_same_run=st.booleans())
    def open(self, data: st.DataObject, is_same_run: bool) -> None:
        """A new run, or the scheduler trying the last one again because it believes the attempt dead."""
        self.runs += not is_same_run
        self.attempts[data.draw(st.sampled_from(self.idle()))].open(f"run {self.runs}")

    @precondition(lambda self: self.ready())
    @rule(data=st.data(), place=st.sampled_from(PLACES))
    def step_and_hold(self, data: st.DataObject, place: str) -> None:
        """The next step, held at a place if it comes there."""
        self.attempts[data.draw(st.sampled_from(self.ready()))].step(place)

    @precondition(lambda self: self.ready())
    @rule(data=st.data(), count=st.integers(1, len(LINE)))
    def go_on(self, data: st.DataObject, count: int) -> None:
        """Some of the steps that are left, as far as nothing holds them up."""
        attempt = self.attempts[data.draw(st.sampled_from(self.ready()))]
        while count and attempt.is_idle and attempt.rest:
            attempt.step(None)
            count -= 1

    @precondition(lambda self: self.held())
    @rule(data=st.data(), how=st.sampled_from(["go on", "go on", "die"]))
    def release(self, data: st.DataObject, how: Any) -> None:
        self.attempts[data.draw(st.sampled_from(self.held()))].release(how)

    @invariant()
    def nothing_old_is_written_after_something_new(self) -> None:
        nothing_is_overtaken(self.world)
        self.world.nothing_older_wins()
        self.world.questions_are_answered()
        for attempt in self.attempts.values():
            assert attempt.error is None or isinstance(attempt.error, SynclineError), attempt.error

    def idle(self) -> list[str]:
        return [name for name, attempt in self.attempts.items() if attempt.is_idle]

    def ready(self) -> list[str]:
        return [name for name in self.idle() if self.attempts[name].rest]

    def held(self) -> list[str]:
        return [name for name, attempt in self.attempts.items() if attempt.is_held.is_set()]

    def teardown(self) -> None:
        is_failed = sys.exc_info()[0] is not None
        for attempt in self.attempts.values():
            if not attempt.is_idle:
                attempt.release()
        for attempt in self.attempts.values():
            if attempt.thread is not None:
                attempt.thread.join(PATIENCE_S)
        if self.attempts and not is_failed:
            self.nothing_old_is_written_after_something_new()
            self.world.settle_all()


def test_no_write_of_an_older_attempt_commits_after_the_newer_ones_first(
    world: World, request: pytest.FixtureRequest
) -> None:
    with noting_commits(world):
        search(request, lambda: Fencing(world), examples=3, steps=12)


@pytest.mark.long
@pytest.mark.timeout(0)
def test_no_write_of_an_older_attempt_commits_after_the_newer_ones_at_length(
    world: World, request: pytest.FixtureRequest
) -> None:
    with noting_commits(world):
        search(request, lambda: Fencing(world), examples=60, steps=25)
