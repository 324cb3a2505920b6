"""A delete reaches the target by the declared way, and is never undone by anything older.

Flags, hard deletes that only comparing keys can find, and rows that come back; policies soft, hard and ignore; late
windows and crashes in between. What a row's deletion was is remembered by the world (`nothing_older_wins`).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.machines.hub import CLOCKS, Change, Key
from tests.machines.seeds import search
from tests.machines.world import ANCHOR, GRANTED, PLACES, World, requests

KEYS: list[Key] = [(tenant, person) for tenant in GRANTED for person in ("p1", "p2", "p3")]
KEY, CLOCK, PLACE = st.sampled_from(KEYS), st.sampled_from([*CLOCKS]), st.sampled_from(PLACES)
KINDS = st.sampled_from(["incremental", "incremental", "full", *requests()])


@dataclass(frozen=True)
class Way:
    """How deletes are known, and what they do."""

    policy: str
    flag: bool
    key_set: str = "never"

    @property
    def may_vanish(self) -> bool:
        return self.key_set != "never"


WAYS = [
    Way("soft", flag=True),
    Way("hard", flag=True),
    Way("ignore", flag=True),
    Way("soft", flag=False, key_set="full"),
    Way("hard", flag=False, key_set="every_run"),
    Way("soft", flag=True, key_set="every_run"),
    Way("hard", flag=True, key_set="full"),
]


class Deletes(RuleBasedStateMachine):
    """Rows come and go."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world, self.hub = world, world.hub

    @initialize(way=st.sampled_from(WAYS))
    def begin(self, way: Way) -> None:
        self.way = way
        self.world.reset()
        self.world.delete_by(way.policy, flag=way.flag, key_set=way.key_set)
        self.hub.write(Change(ANCHOR), *(Change(key) for key in KEYS))

    @rule(key=KEY, clock=CLOCK)
    def write(self, key: Key, clock: str) -> None:
        """Change a row, or bring one back."""
        self.hub.write(Change(key, clock=clock))

    @precondition(lambda self: self.way.flag)
    @rule(keys=st.lists(KEY, min_size=1, max_size=3), clock=CLOCK)
    def flag(self, keys: list[Key], clock: str) -> None:
        self.hub.write(*(Change(key, "flag", clock) for key in keys))

    @precondition(lambda self: self.way.may_vanish)
    @rule(keys=st.lists(KEY, min_size=1, max_size=3))
    def vanish(self, keys: list[Key]) -> None:
        self.world.vanish(*keys)

    @precondition(lambda self: self.way.may_vanish)
    @rule(key=KEY, tenant=st.sampled_from(GRANTED), clock=CLOCK)
    def change_the_key(self, key: Key, tenant: str, clock: str) -> None:
        """The row moves: a delete and an insert in one transaction."""
        self.world.vanish(key)
        self.hub.write(Change((tenant, key[1]), clock=clock))

    @rule(kind=KINDS)
    def run(self, kind: str) -> None:
        self.world.run(kind)

    @rule(key=KEY, kind=KINDS, place=PLACE)
    def delete_while_it_runs(self, key: Key, kind: str, place: str) -> None:
        """The batch may have read the row already: it must be gone after the next."""
        delete = self.world.vanish if self.way.may_vanish else lambda key: self.hub.write(Change(key, "flag"))
        self.world.run(kind, place=place, act=lambda: delete(key))

    @rule(kind=KINDS, place=PLACE, key=KEY)
    def crash(self, kind: str, place: str, key: Key) -> None:
        """Between two tries the row changes, or comes back."""
        self.world.run(kind, place=place)
        self.hub.write(Change(key))
        run_key, _ = self.world.runs[-1]
        self.world.run(kind, again=run_key)

    @precondition(lambda self: self.world.runs)
    @rule(data=st.data())
    def run_an_old_run_again(self, data: st.DataObject) -> None:
        run_key, kind = data.draw(st.sampled_from(self.world.runs))
        self.world.run(kind, again=run_key)

    def teardown(self) -> None:
        if sys.exc_info()[0] is None and self.hub.rows:
            self.world.settle_all()


def test_a_delete_arrives_and_is_never_undone_by_anything_older(world: World, request: pytest.FixtureRequest) -> None:
    search(request, lambda: Deletes(world), examples=2)


@pytest.mark.long
@pytest.mark.timeout(0)
def test_a_delete_arrives_and_is_never_undone_at_length(world: World, request: pytest.FixtureRequest) -> None:
    search(request, lambda: Deletes(world), examples=60, steps=20)
