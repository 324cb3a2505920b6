"""One seed for all machines: what they do follows from it, and a failure says how to see it again.

`SYNCLINE_TEST_SEED` chooses the seed, `SYNCLINE_TEST_EXAMPLES` how many examples a machine tries. docs/testing.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

SEED = int(os.environ.get("SYNCLINE_TEST_SEED", "20260704"))
EXAMPLES = int(os.environ.get("SYNCLINE_TEST_EXAMPLES", "0"))


def again(node_id: str) -> str:
    """The line that repeats a test as it was."""
    examples = f" SYNCLINE_TEST_EXAMPLES={EXAMPLES}" if EXAMPLES else ""
    return f"SYNCLINE_TEST_SEED={SEED}{examples} .venv/bin/python -m pytest '{node_id}' -m 'long or not long'"


def search(
    request: pytest.FixtureRequest, machine: Callable[[], RuleBasedStateMachine], *, examples: int, steps: int = 12
) -> None:
    """Run a machine from the seed. No shrinking: an example takes seconds, and its steps are printed as they were."""
    try:
        run_state_machine_as_test(
            seed(SEED)(lambda: machine()),
            settings=settings(
                max_examples=EXAMPLES or examples,
                stateful_step_count=steps,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                print_blob=False,
                suppress_health_check=list(HealthCheck),
            ),
        )
    except BaseException as error:
        error.add_note(f"seed {SEED}; again: {again(request.node.nodeid)}")
        raise
