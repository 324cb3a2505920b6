"""Any session may be lost at any of its exchanges with a server: told in a sentence, and nothing is lost with it.

Rows F04 and F49 of FAULTS.md cut at chosen places. Here nobody chooses: the line of the n-th exchange is cut, for every n.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import psycopg
import pytest

from syncline import steps
from syncline.adapters import ledger
from syncline.core.errors import TerminalError, TransientError
from syncline.core.record_comparison import ComparisonRequest, ComparisonSummary
from syncline.core.repair import Approval
from syncline.core.values import State, Verdict
from syncline.steps.repair import apply_repair
from tests.faults.invariants import settled
from tests.integration.conftest import Lab
from tests.integration.faults import cut_line, person

BY = Approval("Ann of payroll", "drift found by SYNC-008")
STRIDE = 97  # each test cuts every so-manieth exchange; all of them together cut each
STARTS = [1, *(pytest.param(start, marks=pytest.mark.long) for start in range(2, STRIDE + 1))]


def cut_at(number: int, work: Callable[[], Any]) -> tuple[bool, Any]:
    """Whether there was such an exchange, and what the work came to; the failure if it was a transient one."""
    exchanges = 0
    wait_as_itself = psycopg.Connection.wait

    def wait(session: psycopg.Connection, *arguments: Any, **named: Any) -> Any:
        nonlocal exchanges
        exchanges += (session.info.parameter_status("application_name") or "").startswith("syncline")
        if exchanges == number and not session.closed:
            cut_line(session)
        return wait_as_itself(session, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Connection, "wait", wait)
        try:
            ended = work()
        except TransientError as failure:
            ended = failure
    return exchanges >= number, ended


@pytest.mark.parametrize("start", STARTS)
def test_a_batch_whose_session_is_lost_at_any_exchange_is_ended_by_the_next_try(lab: Lab, start: int) -> None:
    lab.hub(person("bad", born="never"))
    number, was_cut = start, True
    while was_cut:
        lab.hub(person(f"p{number}"))
        was_cut, ended = cut_at(number, lambda: lab.run(f"night {number}"))  # noqa: B023 called at once
        if isinstance(ended, TransientError) and not is_published(lab):
            ended = lab.run(f"night {number}")
        assert is_published(lab), number
        assert isinstance(ended, TransientError) or ended.verdict is Verdict.MATCHED, number
        number += STRIDE
    settled(lab)


def is_published(lab: Lab) -> bool:
    last = lab.ledger("select state from ledger.batch order by batch_id desc limit 1")
    return last == [{"state": State.PUBLISHED}]


def compare(lab: Lab, run_key: str) -> ComparisonSummary:
    return steps.compare_records(lab.job, ComparisonRequest(run_key=run_key), settle_s=0.02)


@pytest.mark.parametrize("start", STARTS)
def test_a_comparison_whose_session_is_lost_at_any_exchange_is_ended_by_the_next_try(lab: Lab, start: int) -> None:
    lab.hub(*(person(f"p{number}") for number in range(30)))
    lab.run("night")
    lab.sql("payroll", "update lab.person set name = 'Eve' where person_no = 'p7'")
    number, was_cut = start, True
    while was_cut:
        run_key = f"at {number}"
        was_cut, ended = cut_at(number, lambda: compare(lab, run_key))  # noqa: B023 called at once
        if isinstance(ended, TransientError):
            ended = compare(lab, run_key)
        assert (ended.verdict, ended.mismatched_rows, ended.differing_rows) == (Verdict.MISMATCHED, 1, 1), number
        number += STRIDE


def apply_again(lab: Lab, comparison_id: int) -> None:
    """A repair that has published says that nothing is left to do."""
    with ledger.opened("test") as book:
        is_applied = book.applied_repair(comparison_id) is not None
    refused = pytest.raises(TerminalError, match=f"has repaired what comparison {comparison_id} found")
    with refused if is_applied else nullcontext():
        apply_repair(comparison_id, BY, take_over=True)


@pytest.mark.parametrize("start", STARTS)
def test_a_repair_whose_session_is_lost_at_any_exchange_is_ended_by_the_next_try(lab: Lab, start: int) -> None:
    lab.hub(*(person(f"p{number}") for number in range(30)))
    lab.run("night")
    number, was_cut = start, True
    while was_cut:
        lab.sql("payroll", "update lab.person set name = 'Eve' where person_no = 'p7'")
        found = compare(lab, f"before {number}").comparison_id
        was_cut, ended = cut_at(number, lambda: apply_repair(found, BY))  # noqa: B023 called at once
        if isinstance(ended, TransientError):
            apply_again(lab, found)
        assert compare(lab, f"after {number}").verdict is Verdict.MATCHED, number
        number += STRIDE
    settled(lab)
