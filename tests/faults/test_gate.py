"""The gate stays closed unless the batch is proven, whatever the judge does: row F55 of FAULTS.md."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from syncline import steps
from syncline.adapters import expectations
from syncline.core.errors import BatchHeld, TerminalError
from syncline.core.values import RunRequest, Verdict
from tests.integration.conftest import LEDGER_RESET, Lab
from tests.integration.faults import (
    person,
    states,
)

# -- the judge ------------------------------------------------------------------------------------------------


def test_F55_a_judge_that_raises_leaves_the_gate_closed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.hub(person("p1"))

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("the judge is ill")

    with monkeypatch.context() as patched:
        patched.setattr(expectations, "judge", broken)
        with pytest.raises(RuntimeError):
            lab.run("night")
    with pytest.raises(BatchHeld, match="unverified"):
        steps.publish(lab.job, 1)
    assert lab.ledger("select verdict, published_by from ledger.batch") == [
        {"verdict": "unverified", "published_by": None}
    ]

    assert lab.run("night").verdict is Verdict.MATCHED


def test_F55_rows_without_any_tenant_in_the_source_are_not_proof(lab: Lab) -> None:
    lab.hub(person("p1"))
    lab.run()
    lab.ledger(LEDGER_RESET)
    lab.sql("payroll", "delete from syncline.marker; delete from syncline.fence")
    lab.sql("mdm", "delete from lab.person")

    with pytest.raises(BatchHeld, match="SYNC-005"):  # a lost grant and an empty source look alike
        lab.run()

    assert (states(lab), lab.ledger("select * from ledger.watermark")) == (["held"], [])


def test_F55_a_run_for_a_tenant_without_rows_is_not_green_also_while_letters_wait(lab: Lab) -> None:
    lab.hub(person("p1"), person("bad", born="never"))
    lab.run()
    lab.sql("payroll", "delete from syncline.job_tenant where tenant_id = 't2'")  # its policy would be asked for rows

    with pytest.raises(TerminalError, match="neither the source has rows of nor the target grants"):
        lab.run(tenants=("t2",))


def test_F55_the_ledger_itself_refuses_to_publish_what_is_not_matched(lab: Lab) -> None:
    lab.hub(person("p1"))
    steps.open_batch(lab.job, RunRequest(run_key="night"))

    with pytest.raises(psycopg.errors.CheckViolation):
        lab.ledger("update ledger.batch set state = 'published'")
