"""Failpoints: none is dead, none is misspelt, and without the variable there are none."""

from __future__ import annotations

import ast
import signal
from collections.abc import Iterator
from time import monotonic

import pytest

from syncline.adapters import failpoints
from syncline.core.errors import BatchHeld, TerminalError, TransientError
from syncline.core.values import Verdict
from tests.conftest import ROOT
from tests.faults.invariants import settled
from tests.integration.conftest import JOB, Lab
from tests.integration.faults import SEVERAL_BLOCKS, arm, disarm, many, person, states
from tests.integration.test_groups import hire, pair
from tests.integration.test_groups import run as run_pair

OF_GROUPS = [place for place in failpoints.PLACES if place.startswith("group.")]
OF_COMPARISONS = [place for place in failpoints.PLACES if place.startswith("compare.")]
OF_PARTS = [place for place in failpoints.PLACES if place.startswith("parts.")]
__all__ = ["pair"]  # a fixture


def places_in_code() -> Iterator[str]:
    for path in sorted((ROOT / "plugins" / "syncline").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            if node.func.id in ("failpoint", "after_each") and path.name != "failpoints.py":
                place = node.args[0]
                assert isinstance(place, ast.Constant), f"{path}:{node.lineno}: name the place by a literal"
                yield str(place.value)


def test_the_list_of_places_is_the_places_in_the_code() -> None:
    found = set(places_in_code())
    assert found - failpoints.PLACES.keys() == set(), "name it in failpoints.PLACES"
    assert failpoints.PLACES.keys() - found == set(), "no code passes this place"


def test_a_batch_that_is_published_and_one_that_is_held_pass_every_place(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A place that no test can come to proves nothing; a new way through the line is added here."""
    arm(monkeypatch, "copy.after_rows=1000000:RAISE")  # armed, and never due
    lab.manifest["source"]["parts"] = 2
    lab.hub(person("p1"), person("bad", born="never"))
    lab.run()
    lab.manifest["errors"]["rejected_ratio_max"] = 0.1
    lab.hub(person("bad", born="not yet"))
    with pytest.raises(BatchHeld):
        lab.run()

    assert failpoints.PLACES.keys() - failpoints._passed.keys() == {*OF_GROUPS, *OF_COMPARISONS}


@pytest.mark.parametrize(
    ("place", "action"),
    [("group.before", "RAISE"), ("group.before", "FAIL_AFTER_WRITE"), ("group.recorded", "RAISE")],
)
def test_a_crash_around_the_publication_of_a_group_leaves_all_members_or_none(
    pair: Lab, monkeypatch: pytest.MonkeyPatch, place: str, action: str
) -> None:
    hire(pair, "p1")
    arm(monkeypatch, f"{place}:{action}")
    with pytest.raises(TransientError, match=place):
        run_pair(pair, "night")
    disarm(monkeypatch)
    assert len({row["state"] for row in pair.ledger("select state from ledger.batch")}) == 1

    hire(pair, "p2")
    assert run_pair(pair, "next") == [Verdict.MATCHED, Verdict.MATCHED]
    assert {*pair.people()} == {"t1/p1", "t1/p2"}


@pytest.mark.parametrize("place", OF_PARTS)
def test_a_crash_between_the_parts_of_a_batch_loses_and_doubles_none(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    lab.manifest["source"]["parts"] = 3
    many(lab)
    arm(monkeypatch, f"{place}:RAISE")
    with pytest.raises(TransientError, match=place):
        lab.run("night")
    disarm(monkeypatch)

    assert lab.run("night").counts.inserted_rows == SEVERAL_BLOCKS
    settled(lab)


def test_what_is_asked_for_wrongly_is_refused_at_once_and_all_of_it(lab: Lab) -> None:
    lab.hub(person("p1"))

    said = lab.shell(
        "run", JOB, SYNCLINE_FAILPOINTS="nowhere:KILL, open.before:EXPLODE, load.begun@x:RAISE,open.recorded"
    )

    assert (said.returncode, said.stdout) == (1, "")
    assert "Traceback" not in said.stderr
    for wrong in ("no place 'nowhere'", "no action 'EXPLODE'", "'x' is no number", "no action ''"):
        assert wrong in said.stderr
    for known in (*failpoints.PLACES, *failpoints.ACTIONS):
        assert known in said.stderr
    assert states(lab) == []


@pytest.mark.parametrize(
    "asked", ["open.before@0:RAISE", "open.before@:RAISE", "open.before@-1:RAISE", "open.before@²:RAISE"]
)
def test_a_passing_is_counted_from_one(asked: str) -> None:
    with pytest.raises(TerminalError, match="is no number from 1"):
        failpoints.read(asked)


def test_without_the_variable_nothing_is_counted_and_nothing_is_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    disarm(monkeypatch)
    rows = iter([b"1"])
    failpoints.failpoint("open.before")
    assert failpoints.after_each("copy.after_rows", rows) is rows
    assert not failpoints._passed


def test_a_place_acts_at_the_passing_that_was_asked_for_and_at_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    arm(monkeypatch, "extract.block@3:RAISE")
    for _ in range(2):
        failpoints.failpoint("extract.block")
    with pytest.raises(TransientError, match=r"extract\.block"):
        failpoints.failpoint("extract.block")
    failpoints.failpoint("extract.block")


def test_fail_after_write_lets_the_write_happen_and_tells_it_as_failed(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.hub(person("p1"))
    arm(monkeypatch, "load.before_commit:FAIL_AFTER_WRITE")
    with pytest.raises(TransientError, match="FAIL_AFTER_WRITE: all up to load.before_ledger has happened"):
        lab.run("night")
    disarm(monkeypatch)

    assert lab.people() == {"t1/p1": "Ann"}
    assert lab.run("night").counts.inserted_rows == 1  # as the marker says
    settled(lab)


def test_slow_slows_each_passing_from_there_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failpoints, "SLOW_S", 0.05)
    arm(monkeypatch, "extract.block@2:SLOW")
    began = monotonic()
    for _ in range(4):
        failpoints.failpoint("extract.block")
    assert 0.15 <= monotonic() - began < 1


def test_a_row_of_the_copy_is_counted_only_where_one_is_asked_for(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    many(lab)
    arm(monkeypatch, f"copy.after_rows={SEVERAL_BLOCKS - 1}:RAISE")
    with pytest.raises(TransientError, match=r"copy\.after_rows"):
        lab.run()
    assert failpoints._passed["copy.after_rows"] == SEVERAL_BLOCKS - 1
    disarm(monkeypatch)
    settled(lab)


@pytest.mark.long
@pytest.mark.parametrize("action", ["KILL", "FAIL_AFTER_WRITE"])
@pytest.mark.parametrize("place", sorted(failpoints.PLACES.keys() - {*OF_GROUPS, *OF_COMPARISONS}))
def test_a_process_that_ends_at_any_place_leaves_what_the_next_run_mends(lab: Lab, place: str, action: str) -> None:
    lab.hub(person("p0"))
    if place in OF_PARTS:  # only what is read whole is read in parts
        lab.manifest["source"]["parts"] = 3
    else:
        lab.run()
    many(lab, 1_000)
    lab.hub(person("p0", name="Bea"), person("p1", is_deleted=True), person("bad", born="never"))
    is_held = place in ("hold.recorded", "alert.sent")
    lab.manifest["errors"]["rejected_ratio_max"] = 0.0001 if is_held else 0.5

    died = lab.shell("run", JOB, SYNCLINE_FAILPOINTS=f"{place}:{action}")

    told = 1 if is_held else 3  # an alert that cannot be delivered hides no failure: the batch is held
    assert died.returncode == (-signal.SIGKILL if action == "KILL" else told), died.stderr
    lab.manifest["errors"]["rejected_ratio_max"] = 0.5
    settled(lab)
