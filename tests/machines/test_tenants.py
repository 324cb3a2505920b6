"""Whatever runs, crashes and moves between tenants: with tenant t set, what is reachable is t's, and only t's is written.

The machine logs in as the job does, enters the corridor for one tenant, and tries what a forgotten filter would do.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from syncline.adapters import connections
from tests.integration.conftest import JOB
from tests.machines.hub import Change, Key
from tests.machines.seeds import search
from tests.machines.world import ANCHOR, GRANTED, PLACES, REFUSED, World, requests

TENANTS = (*GRANTED, "t3", REFUSED)
KEYS: list[Key] = [(tenant, person) for tenant in TENANTS for person in ("p1", "p2")]
KEY, TENANT = st.sampled_from(KEYS), st.sampled_from(TENANTS)
KINDS = st.sampled_from(["incremental", "full", *requests()])
# What somebody may try who has forgotten the filter, or has it wrong; %(other)s is not the tenant that is set.
ATTACKS = {
    "read": "select tenant_id from lab.person",
    "read by a join": "select q.tenant_id from lab.person as p full join lab.person as q on true",
    "ask for another": "select tenant_id from lab.person where tenant_id = %(other)s",
    "change all": "update lab.person set name = 'stolen 0' returning tenant_id",
    "change another's": "update lab.person set name = 'stolen 0' where tenant_id = %(other)s returning tenant_id",
    "move to another": "update lab.person set tenant_id = %(other)s returning tenant_id",
    "move here": "update lab.person set tenant_id = %(mine)s where tenant_id = %(other)s returning %(other)s",
    "write another's": "insert into lab.person (tenant_id, person_no, name) values (%(other)s, 'x', 'y 0')"
    " returning tenant_id",
    "probe another's key": "insert into lab.person (tenant_id, person_no, name) values (%(other)s, 'p1', 'y 0')"
    " on conflict do nothing returning tenant_id",
    "delete all": "delete from lab.person returning tenant_id",
}


class Tenants(RuleBasedStateMachine):
    """Rows change tenants, tenants are granted, and somebody tries what they should not."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world, self.hub = world, world.hub

    @initialize()
    def begin(self) -> None:
        self.world.reset()
        self.world.delete_by("hard", flag=False, key_set="every_run")
        self.hub.write(Change(ANCHOR), *(Change(key) for key in KEYS))

    @rule(keys=st.lists(KEY, min_size=1, max_size=3))
    def write(self, keys: list[Key]) -> None:
        self.hub.write(*(Change(key) for key in keys))

    @rule(key=KEY, tenant=TENANT)
    def swap_the_tenant(self, key: Key, tenant: str) -> None:
        self.world.vanish(key)
        self.hub.write(Change((tenant, key[1])))

    @rule()
    def grant(self) -> None:
        self.world.grant("t3")

    @rule(kind=KINDS)
    def run(self, kind: str) -> None:
        self.world.run(kind)

    @rule(kind=KINDS, place=st.sampled_from(PLACES))
    def crash(self, kind: str, place: str) -> None:
        self.world.run(kind, place=place)

    @rule(kind=KINDS, place=st.sampled_from(PLACES), mine=TENANT, other=TENANT, attack=st.sampled_from([*ATTACKS]))
    def attack_while_it_runs(self, kind: str, place: str, mine: str, other: str, attack: str) -> None:
        """The load's own scope is open in another session at that moment."""
        self.world.run(kind, place=place, act=lambda: refuse(self.world, mine, other, attack))

    @rule(mine=TENANT, other=TENANT, attack=st.sampled_from([*ATTACKS]))
    def attack(self, mine: str, other: str, attack: str) -> None:
        refuse(self.world, mine, other, attack)

    @invariant()
    def what_is_reachable_is_ones_own(self) -> None:
        for tenant in self.world.granted:
            reached = Counted(self.world, tenant).rows
            assert reached == len([key for key in self.world.target() if key[0] == tenant])
        letters = self.world.ask("warehouse", "select tenant_id, source_key from ledger.dead_letter")
        assert all(letter["tenant_id"] == letter["source_key"][0] for letter in letters)

    def teardown(self) -> None:
        if sys.exc_info()[0] is None and self.hub.rows:
            self.world.settle_all()


class Counted:
    """What a session of the job reaches with one tenant set; all of it must be that tenant's."""

    def __init__(self, world: World, tenant: str) -> None:
        with entered(world, tenant) as session:
            found = [row[0] for row in session.execute("select tenant_id from lab.person")]
        assert {*found} <= {tenant}, f"with {tenant} set, rows of others are reached"
        self.rows = len(found)


@contextmanager
def entered(world: World, tenant: str) -> Iterator[psycopg.Connection[Any]]:
    """A session of the job's own login, in the corridor for one tenant; what it does is undone."""
    fence = world.ask("payroll", "select epoch from syncline.fence where job_id = %s", JOB)
    session = connections.connect("payroll", purpose="attack")
    try:
        session.execute("set lock_timeout = '200ms'")
        session.execute("select syncline.enter(%s, %s, %s)", [JOB, fence[0]["epoch"] if fence else 0, [tenant]])
        session.execute("set local role syncline_tenant")
        yield session
    finally:
        session.rollback()
        session.close()


def refuse(world: World, mine: str, other: str, attack: str) -> None:
    """Try one attack; nothing of another tenant comes out or is changed. An error is a refusal."""
    before = world.target()
    try:
        with entered(world, mine) as session:
            said = session.execute(ATTACKS[attack].encode(), {"mine": mine, "other": other}).fetchall()
            assert {row[0] for row in said} <= {mine, None}, f"{attack}: rows of another tenant"
            assert mine in world.granted, f"{attack}: a tenant that is not granted was let in"
    except psycopg.Error:
        pass
    assert world.target() == before


def test_with_a_tenant_set_only_its_rows_are_reached(world: World, request: pytest.FixtureRequest) -> None:
    search(request, lambda: Tenants(world), examples=2)


@pytest.mark.long
@pytest.mark.timeout(0)
def test_with_a_tenant_set_only_its_rows_are_reached_at_length(world: World, request: pytest.FixtureRequest) -> None:
    search(request, lambda: Tenants(world), examples=60, steps=20)
