"""Which policy keeps to the tenants in scope, what many attacks prove together, and that the corridor is the known one."""

from __future__ import annotations

import hashlib
import re

import pytest

from syncline.adapters.target.walls import CORRIDOR_BODIES
from syncline.core.catalogs.policies import keeps_to_scope
from syncline.core.leaks import Attempt, FamilyResult, LeakReport, Outcome, Wall
from tests.conftest import ROOT

# As PostgreSQL 15 and 18 write them under an empty search path.
SCOPED = "(tenant_id IN ( SELECT syncline.scoped_tenants() AS scoped_tenants))"
REFUSED, CROSSED = Attempt(Outcome.REFUSED), Attempt(Outcome.CROSSED, "a row can be read")
DOUBT, NOTHING = Attempt(Outcome.NOT_TRIED, "read it", True), Attempt(Outcome.NOT_TRIED)


@pytest.mark.parametrize(
    "expression",
    [
        SCOPED,
        "((tenant_id)::text IN ( SELECT syncline.scoped_tenants() AS scoped_tenants))",
        "(tenant_id IN ( SELECT (syncline.scoped_tenants())::uuid AS scoped_tenants))",
        "(tenant_id = ANY (ARRAY( SELECT syncline.scoped_tenants() AS scoped_tenants)))",
        "(tenant_id IN ( SELECT s.s\n   FROM syncline.scoped_tenants() s(s)))",
        f"({SCOPED} AND (name <> 'a) OR (b'::text))",
        f"(((name = '1'::text) OR (name = '2'::text)) AND ((name IS NOT NULL) AND {SCOPED}))",
    ],
)
def test_a_policy_that_compares_the_tenant_with_the_scope_is_a_wall(expression: str) -> None:
    assert keeps_to_scope(expression, "tenant_id")


@pytest.mark.parametrize(
    "expression",
    [
        "true",
        f"({SCOPED} OR true)",
        f"({SCOPED} OR ((name = '1'::text) AND {SCOPED}))",
        f"(NOT {SCOPED})",
        f"({SCOPED} IS NOT NULL)",
        f"COALESCE({SCOPED}, true)",
        "(name IN ( SELECT syncline.scoped_tenants() AS scoped_tenants))",
        "(tenant_id IN ( SELECT mine.scoped_tenants() AS scoped_tenants))",
        "(tenant_id IN ( SELECT scoped_tenants() AS scoped_tenants))",
        "(((tenant_id)::character varying(1))::text IN ( SELECT syncline.scoped_tenants() AS scoped_tenants))",
        "(tenant_id IN ( SELECT syncline.scoped_tenants() AS scoped_tenants\nUNION\n SELECT 'a'::text))",
        "(tenant_id IN ( SELECT substr(syncline.scoped_tenants(), 1, 1) AS substr))",
        "(tenant_id IN ( SELECT t.x\n   FROM syncline.scoped_tenants() s(y)))",
        "(tenant_id = 'x AND tenant_id IN ( SELECT syncline.scoped_tenants() AS scoped_tenants)'::text)",
    ],
)
def test_a_policy_that_only_mentions_the_scope_is_none(expression: str) -> None:
    assert not keeps_to_scope(expression, "tenant_id")


def test_the_corridor_that_preflight_knows_is_the_one_that_is_shipped() -> None:
    """After a change of a function in 001_corridor.sql: add its new digest to CORRIDOR_BODIES, beside the old one."""
    shipped = (ROOT / "include/target/001_corridor.sql").read_text()
    for name, known in CORRIDOR_BODIES.items():
        body = re.search(rf"function syncline\.{name}\(.*?as \$\$(.*?)\$\$", shipped, re.DOTALL)
        assert body is not None
        assert hashlib.sha256(body[1].encode()).hexdigest() in known


@pytest.mark.parametrize(
    ("attempts", "wall"),
    [
        ([[REFUSED]], Wall.CLOSED),
        ([[REFUSED], []], Wall.CLOSED),
        ([[REFUSED], [NOTHING]], Wall.CLOSED),
        ([[REFUSED, CROSSED]], Wall.LEAKS),
        ([[REFUSED], [DOUBT]], Wall.UNVERIFIED),  # something stood there and was not tried
        ([[CROSSED], [DOUBT]], Wall.LEAKS),
        ([[NOTHING]], Wall.UNVERIFIED),
        ([], Wall.UNVERIFIED),
    ],
)
def test_one_crossing_is_a_leak_and_one_doubt_is_not_green(attempts: list[list[Attempt]], wall: Wall) -> None:
    families = tuple(FamilyResult.of(f"family {n}", made) for n, made in enumerate(attempts))
    assert LeakReport("mdm__payroll__person", families).wall is wall


def test_what_could_not_be_judged_is_never_closed() -> None:
    families = (FamilyResult.of("views", [REFUSED]),)
    assert LeakReport("mdm__payroll__person", families, because="a batch is under way").wall is Wall.UNVERIFIED
